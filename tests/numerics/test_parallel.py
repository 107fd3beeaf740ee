"""Two processes compute what one computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tiny_run import make_plan, prepared, run, train_lines
from tunesmith import folder
from tunesmith.engine.ranks import train_on
from tunesmith.errors import Cancelled, FailedPrecondition
from tunesmith.folder import AttemptFolder

EVALUATED = {"evaluation_data": "evaluation.jsonl", "evaluation_interval": 4}


@pytest.mark.parametrize("method", ["lora", "full"])
def test_two_processes_equal_one(base: Path, shards: Path, tmp_path: Path, method: str) -> None:
    # 5 examples a step on 2 ranks: an uneven share, as on 3 GPUs with a batch of 8.
    plan = make_plan(base, train_steps=8, tuning_method=method, replay=0.2, batch_size=5, **EVALUATED)
    run(plan, base, shards, tmp_path / "one")
    result = train_on(2, plan, AttemptFolder(tmp_path / "two").create(), shards=shards, base=prepared(base))
    assert result.ranks == 2
    one, two = (train_lines(tmp_path / name) for name in ("one", "two"))
    assert [line["step"] for line in two] == [line["step"] for line in one]
    assert [line["train_num_predictions"] for line in two] == [line["train_num_predictions"] for line in one]
    np.testing.assert_allclose(
        [line["train_total_loss"] for line in two], [line["train_total_loss"] for line in one], rtol=1e-4
    )
    np.testing.assert_allclose(_evaluations(tmp_path / "two"), _evaluations(tmp_path / "one"), rtol=1e-4)
    name = "adapter/adapter_model.safetensors" if method == "lora" else "model/model.safetensors"
    first, second = (load_file(tmp_path / which / "out" / name) for which in ("one", "two"))
    for key in first:
        np.testing.assert_allclose(second[key], first[key], atol=2e-3)


def _evaluations(attempt: Path) -> list[float]:
    lines = folder.read_jsonl(attempt / "metrics.jsonl")
    return [line["eval_total_loss"] for line in lines if "eval_total_loss" in line]


def test_ranks_that_are_asked_to_stop_save_and_say_so(base: Path, shards: Path, tmp_path: Path) -> None:
    attempt = AttemptFolder(tmp_path / "a").create()
    attempt.stop_file.touch()
    with pytest.raises(Cancelled, match="stopped after step 1"):
        train_on(2, make_plan(base, train_steps=50), attempt, shards=shards, base=prepared(base))
    assert [path.name for path in attempt.checkpoints.iterdir()] == ["step-000001"]


def test_two_processes_go_on_where_one_stopped(base: Path, shards: Path, tmp_path: Path) -> None:
    plan = make_plan(base, train_steps=6)
    run(plan, base, shards, tmp_path / "one")
    first = AttemptFolder(tmp_path / "first").create()
    first.stop_file.touch()
    with pytest.raises(Cancelled):
        run(plan, base, shards, first.root)
    result = train_on(
        2, plan, AttemptFolder(tmp_path / "two").create(), shards=shards, base=prepared(base), earlier=[first]
    )
    assert result.resumed_from == 1
    one, two = (train_lines(tmp_path / name) for name in ("one", "two"))
    np.testing.assert_allclose(
        [line["train_total_loss"] for line in two], [line["train_total_loss"] for line in one], rtol=1e-4
    )


def test_a_rank_that_fails_is_heard(base: Path, shards: Path, tmp_path: Path) -> None:
    plan, attempt = make_plan(base, train_steps=6), AttemptFolder(tmp_path / "a").create()
    attempt.stop_file.touch()
    with pytest.raises(Cancelled):
        train_on(2, plan, attempt, shards=shards, base=prepared(base))
    changed = prepared(base)._replace(sha256="1" * 64)
    with pytest.raises(FailedPrecondition, match="its files changed"):
        train_on(2, plan, AttemptFolder(tmp_path / "b").create(), shards=shards, base=changed, earlier=[attempt])
