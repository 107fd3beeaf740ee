"""A stand-in for the engine, run by the real task program: tasks that do what the job's data set tells them to.

The "data set" is a JSON file (Behaviour). `tune` behaves as a real one does: a line of metrics a step, checkpoints
by `folder.sealed`, resuming from the newest of any earlier attempt, STOP looked at every step. Its "weights" are a
hash chain over the steps, so a step that was lost or done twice shows in them.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tunesmith import errors, folder, task
from tunesmith.task import Order


@dataclass(frozen=True)
class Behaviour:
    steps: int = 10
    step_s: float = 0.02
    checkpoint_every: int = 3
    trouble: str = ""
    """What goes wrong in `tune`; see `_trouble`."""
    trouble_attempts: int = 10**6
    """In how many attempts, from the first on."""

    def write(self, path: Path) -> Path:
        folder.write_json(path, asdict(self))
        return path


def final_weights(steps: int) -> str:
    """What an undisturbed run ends with."""
    weights = "base"
    for step in range(1, steps + 1):
        weights = _update(weights, step)
    return weights


def _update(weights: str, step: int) -> str:
    return hashlib.sha256(f"{weights} {step}".encode()).hexdigest()


def _behaviour(order: Order) -> Behaviour:
    return Behaviour(**json.loads(Path(folder.read_json(order.plan)["spec"]["dataset"]).read_text()))


def validate(order: Order) -> dict[str, Any]:
    with folder.sealed(order.folder.out / "shards") as unfinished:
        folder.write_json(unfinished / "rows.json", [1, 2, 3])
    base = {"name": "tiny", "folder": "/nowhere", "sha256": "b" * 64}
    sizes = {"examples": 12, "tokens": 345, "sha256": {"training": "d" * 64}}
    return {"base": base, "shards": str(order.folder.out / "shards"), **sizes}


def tune(order: Order) -> dict[str, Any]:
    behaviour = _behaviour(order)
    step, weights = _resume(order)
    while step < behaviour.steps:
        step += 1
        if order.attempt <= behaviour.trouble_attempts:
            _trouble(behaviour.trouble, step)
        time.sleep(behaviour.step_s)
        weights = _update(weights, step)
        folder.append_jsonl(order.folder.metrics, {"step": step, "train_total_loss": 1 / step})
        folder.write_json(order.folder.progress, {"phase": "training", "step": step, "steps": behaviour.steps})
        stopping = order.folder.stop_requested() and behaviour.trouble != "deaf"
        if stopping or step % behaviour.checkpoint_every == 0:
            with folder.sealed(order.folder.checkpoints / f"step-{step:06d}") as unfinished:
                folder.write_json(unfinished / "state.json", {"step": step, "weights": weights})
        if stopping and step < behaviour.steps:
            raise errors.Cancelled(f"stopped after step {step} of {behaviour.steps}", step=step)
    with folder.sealed(order.folder.out / "adapter") as unfinished:
        folder.write_json(unfinished / "adapter.json", {"weights": weights})
    return {
        "steps": step,
        "selected_step": step,
        "stopped_early": False,
        "metrics": {"last": {"loss": 0.5, "accuracy": 0.8}},
        "tuned": str(order.folder.out / "adapter"),
        "method": "lora",
        "epochs": 1.5,
    }


def evaluate(order: Order) -> dict[str, Any]:
    assert folder.verify(Path(order.result_of("tune")["tuned"]))
    interval = {"rows": 24, "base_loss": 1.0, "tuned_loss": 1.1, "change": 0.1, "interval": [0.05, 0.15]}
    scores = {"base": {"loss": 2.0, "accuracy": 0.5}, "tuned": {"loss": 1.0, "accuracy": 0.75}}
    return {"held_out": "evaluation", **scores, "forgetting": interval, "examples": []}


def _resume(order: Order) -> tuple[int, str]:
    """Step and weights of the newest whole checkpoint of any attempt; its metrics up to there are taken over."""
    found = [c for attempt in order.earlier for c in attempt.checkpoints.glob("step-*")]
    for path in sorted(found, key=lambda p: p.name, reverse=True):
        try:
            folder.verify(path)
        except errors.DataLoss:
            continue
        state = folder.read_json(path / "state.json")
        source = folder.AttemptFolder(path.parents[2])
        for line in folder.read_jsonl(source.metrics):
            if line["step"] <= state["step"]:
                folder.append_jsonl(order.folder.metrics, line)
        return state["step"], state["weights"]
    return 0, "base"


def _trouble(kind: str, step: int) -> None:
    if step < 4:
        return
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "bug":
        raise ZeroDivisionError("a bug")
    elif kind == "unavailable":
        raise errors.Unavailable("the hub did not answer")
    elif kind == "diverged":
        raise errors.Diverged("loss became NaN at step 4")
    elif kind == "interrupted":
        raise errors.Cancelled("stopped by somebody before anything was done")
    elif kind == "memory":
        raise MemoryError
    elif kind == "hangs":
        time.sleep(3600)
    elif kind == "exits":
        print("libcuda is not what it was")
        os._exit(1)
    elif kind == "orphan":
        # A child in a session of its own, as torchrun's ranks are; then death without a word.
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], start_new_session=True)
        os.kill(os.getpid(), signal.SIGKILL)


FUNCTIONS = {"validate-dataset": validate, "tune": tune, "evaluate": evaluate}

if __name__ == "__main__":
    sys.exit(task.main(functions=FUNCTIONS))
