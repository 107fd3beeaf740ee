"""A stand-in for the engine, run by the real task program: tasks that do what the job's data set tells them to.

The "data set" is a JSON file (Behaviour). `tune` behaves as a real one does: a line of metrics a step, checkpoints
by `folder.sealed`, resuming from the newest of any earlier attempt, STOP looked at every step. Its "weights" are a
hash chain over the steps, so a step that was lost or done twice shows in them. `serve` answers as a serving process
does, with a text that follows from the weights and the prompt.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tunesmith import errors, folder, process, task
from tunesmith.task import Order


@dataclass(frozen=True)
class Behaviour:
    steps: int = 10
    step_s: float = 0.02
    checkpoint_every: int = 3
    checkpoint_s: float = 0.0
    """How long a checkpoint is being written."""
    other_s: float = 0.0
    """How long each of the other tasks takes."""
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
    uri = folder.read_json(order.plan)["spec"]["dataset"]
    path = order.local_buckets / uri.removeprefix("gs://") if uri.startswith("gs://") else Path(uri)
    return Behaviour(**json.loads(path.read_text()))


def validate(order: Order) -> dict[str, Any]:
    time.sleep(_behaviour(order).other_s)
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
        # Lines of two attempts for one step differ in length, as real ones do by their times.
        line = {"step": step, "train_total_loss": 1 / step, "attempt": "I" * order.attempt}
        folder.append_jsonl(order.folder.metrics, line)
        folder.write_json(order.folder.progress, {"phase": "training", "step": step, "steps": behaviour.steps})
        stopping = order.folder.stop_requested() and behaviour.trouble != "deaf"
        if stopping or step % behaviour.checkpoint_every == 0:
            with folder.sealed(order.folder.checkpoints / f"step-{step:06d}") as unfinished:
                folder.write_json(unfinished / "state.json", {"step": step, "weights": weights})
                time.sleep(behaviour.checkpoint_s)
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
    time.sleep(_behaviour(order).other_s)
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


def serve(order: Order) -> dict[str, Any]:
    token = secrets.token_hex(16)
    front = ThreadingHTTPServer(("127.0.0.1", 0), _front(token))
    threading.Thread(target=front.serve_forever, daemon=True).start()
    address = {"url": f"http://127.0.0.1:{front.server_port}", "token": token}
    folder.write_json(order.folder.address, address, mode=0o600)
    while not order.folder.stop_requested():
        time.sleep(0.02)
    order.folder.address.unlink()
    front.shutdown()
    return {}


def _front(token: str) -> type[BaseHTTPRequestHandler]:
    class Front(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200, process.proof(token, self.path.partition("?")[2]))

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.headers["Authorization"] != f"Bearer {token}":
                error = errors.Unauthenticated("another process's token")
                self.answer(401, json.dumps(error.to_json()))
                return
            adapter = Path(asked["model"]["folder"]) / "adapter" / "adapter.json"
            text = answer_of(folder.read_json(adapter)["weights"], asked["conversation"]["prefix"])
            lines = [{"candidate": 0, "text": text}, {"candidate": 0, "finish": "stop", "output_tokens": 3}]
            self.answer(200, "".join(json.dumps(line) + "\n" for line in [*lines, {"input_tokens": 5}]))

        def answer(self, code: int, text: str) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *arguments: object) -> None:
            """Silent."""

    return Front


def answer_of(weights: str, prefix: str) -> str:
    """What a model of these weights says."""
    return _update(weights, len(prefix))[:12]


FUNCTIONS = {"validate-dataset": validate, "tune": tune, "evaluate": evaluate, "serve": serve}

if __name__ == "__main__":
    sys.exit(task.main(functions=FUNCTIONS))
