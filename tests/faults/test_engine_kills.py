"""A training process killed at 50 random moments, also inside its checkpoint writes, ends in the same bits.

The parent has imported everything; each attempt is a fork of it, so that the moments of death fall into the run and
not into the imports.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from tiny_model import make_tiny_model
from tiny_run import adapter_bytes, make_plan, make_shards, run, train_lines
from tunesmith import folder
from tunesmith.engine import checkpoint
from tunesmith.spec import TuningPlan

KILLS = 50
STEPS = 800


class Moment(NamedTuple):
    """When to kill: so long after the metrics tell of that step."""

    step: int
    after_s: float


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)  # a pool of threads does not survive a fork
    return make_tiny_model(tmp_path_factory.mktemp("base") / "tiny")


def test_fifty_kills_change_nothing(base: Path, tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", replay=10)
    plan = make_plan(
        base,
        train_steps=STEPS,
        checkpoint_interval=2,
        replay=0.2,
        batch_size=2,
        evaluation_data="evaluation.jsonl",
        evaluation_interval=40,
        early_stopping=False,
    )
    assert _in_a_child(plan, base, shards, tmp_path / "whole", [], None) == 0

    moments = random.Random(11)
    attempts: list[Path] = []
    inside_writes, done = 0, 0
    for kill in range(KILLS):
        attempts.append(tmp_path / f"attempt-{kill}")
        # By steps, and somewhere inside a step: by the clock alone, a fast machine would finish before the last kill.
        moment = Moment(done + moments.randint(1, 10), moments.uniform(0, 0.02))
        status = _in_a_child(plan, base, shards, attempts[-1], attempts[:-1], moment)
        assert status == -signal.SIGKILL, f"attempt {kill} ended by itself: {status}"
        inside_writes += any((attempts[-1] / "out" / "checkpoints").glob(".step-*.tmp"))
        done = max(done, _last_step(attempts[-1]))
    attempts.append(tmp_path / "last")
    assert _in_a_child(plan, base, shards, attempts[-1], attempts[:-1], None) == 0

    assert inside_writes > 0, "no kill fell into the writing of a checkpoint; make them denser"
    assert adapter_bytes(attempts[-1]) == adapter_bytes(tmp_path / "whole")
    assert [line["step"] for line in train_lines(attempts[-1])] == list(range(1, STEPS + 1))
    assert train_lines(attempts[-1]) == train_lines(tmp_path / "whole")


def _in_a_child(
    plan: TuningPlan,
    base: Path,
    shards: Path,
    attempt: Path,
    earlier: list[Path],
    moment: Moment | None,
    prepare: Callable[[], None] = lambda: None,
) -> int:
    """Runs an attempt in a fork, killed at that moment if one is given. The exit status, or -signal."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            prepare()
            run(plan, base, shards, attempt, earlier)
            code = 0
        finally:
            os._exit(code)
    if moment is not None:
        while _last_step(attempt) < moment.step:
            time.sleep(0.002)
        time.sleep(moment.after_s)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _last_step(attempt: Path) -> int:
    lines = folder.read_jsonl(attempt / "metrics.jsonl")
    return int(lines[-1]["step"]) if lines else 0


def test_a_kill_leaves_only_whole_checkpoints_and_temporary_folders(base: Path, tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", evaluation=0)
    plan = make_plan(base, train_steps=STEPS, checkpoint_interval=1, batch_size=2)
    _in_a_child(plan, base, shards, tmp_path / "a", [], Moment(20, 0.01))
    present = list((tmp_path / "a" / "out" / "checkpoints").iterdir())
    assert present
    for path in present:
        if path.name.startswith("step-"):
            folder.verify(path)
        else:
            assert path.name.startswith(".step-")


@pytest.mark.parametrize("point", ["adopt", "restore"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_resume_killed_before_its_first_step_loses_and_doubles_no_metrics(
    base: Path, tmp_path: Path, point: str, when: str
) -> None:
    steps = 300
    shards = make_shards(tmp_path / "shards", evaluation=0)
    plan = make_plan(base, train_steps=steps, checkpoint_interval=5, batch_size=2)
    attempts = [tmp_path / name for name in "abc"]
    assert _in_a_child(plan, base, shards, attempts[0], [], Moment(23, 0.0)) == -signal.SIGKILL

    def dies_there() -> None:
        real = getattr(checkpoint, point)

        def dying(*arguments: object) -> None:
            if when == "after":
                real(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(checkpoint, point, dying)

    assert _in_a_child(plan, base, shards, attempts[1], attempts[:1], None, dies_there) == -signal.SIGKILL
    assert _in_a_child(plan, base, shards, attempts[2], attempts[:2], None) == 0
    assert [line["step"] for line in train_lines(attempts[2])] == list(range(1, steps + 1))
