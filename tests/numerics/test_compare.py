"""Base against tuned: what is measured, what is taken over, and that it can be stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tiny_run import make_plan, prepared
from tunesmith import catalog, folder
from tunesmith.data import build
from tunesmith.data.pack import Shard
from tunesmith.engine.compare import TRAINING_ROWS, compare, forgetting
from tunesmith.engine.device import probe
from tunesmith.engine.measure import measure
from tunesmith.engine.model import load
from tunesmith.engine.parallel import Ranks
from tunesmith.engine.train import train
from tunesmith.errors import Cancelled
from tunesmith.folder import AttemptFolder


def _rows(path: Path, start: int, count: int) -> Path:
    rows = [
        {"input_text": f"Write the code in Python: add {i} to x.", "output_text": f"x += {i}"}
        for i in range(start, start + count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _tuned(base: Path, place: Path, *, evaluated: bool, examples: int = 20) -> tuple[Any, Any, Path]:
    """Plan, training result and shards of a short run over real rows."""
    fields: dict[str, Any] = {"dataset": str(_rows(place / "train.jsonl", 0, examples)), "train_steps": 10}
    if evaluated:
        fields["evaluation_data"] = str(_rows(place / "evaluation.jsonl", 900, 10))
    plan = make_plan(base, **fields)
    shards = place / "shards"
    build.build(plan, base, shards)
    result = train(plan, AttemptFolder(place / "tune"), shards=shards, base=prepared(base))
    return plan, result, shards


def _compare(base: Path, place: Path, plan: Any, result: Any, shards: Path) -> dict[str, Any]:
    return compare(
        plan,
        AttemptFolder(place / "evaluate").create(),
        shards=shards,
        base=prepared(base),
        found=catalog.from_folder(base),
        tuned=Path(result.tuned),
        measured=result.metrics,
    )


def test_held_out_scores_are_those_of_the_run_and_examples_are_answered(base: Path, tmp_path: Path) -> None:
    plan, result, shards = _tuned(base, tmp_path, evaluated=True)
    found = _compare(base, tmp_path, plan, result, shards)
    assert found["held_out"] == "evaluation"
    assert found["base"] == {key: result.metrics["base"][key] for key in ("loss", "accuracy")}
    assert found["tuned"] == {key: result.metrics["best"][key] for key in ("loss", "accuracy")}
    assert [example["wanted"][:4] for example in found["examples"]] == ["x +="] * 3
    assert all({"prompt", "wanted", "base", "tuned"} == example.keys() for example in found["examples"])


def test_without_held_out_rows_a_few_training_rows_are_measured(base: Path, tmp_path: Path) -> None:
    plan, result, shards = _tuned(base, tmp_path, evaluated=False, examples=3 * TRAINING_ROWS)
    found = _compare(base, tmp_path, plan, result, shards)
    shard = Shard.open(shards / "training")
    rows = list(range(0, 3 * TRAINING_ROWS, 3))
    wanted = measure(load(base, probe()), shard, 1024, Ranks(0, 1, 0), examples=rows)
    assert found["held_out"] == "training"
    assert found["base"] == {"loss": pytest.approx(wanted.loss), "accuracy": pytest.approx(wanted.accuracy)}
    assert found["tuned"]["loss"] < found["base"]["loss"]


def test_a_comparison_stops_when_asked(base: Path, tmp_path: Path) -> None:
    plan, result, shards = _tuned(base, tmp_path, evaluated=True)
    AttemptFolder(tmp_path / "evaluate").create().stop_file.touch()
    with pytest.raises(Cancelled, match="stopped while comparing"):
        _compare(base, tmp_path, plan, result, shards)


def test_progress_names_the_model_and_what_it_does(base: Path, tmp_path: Path) -> None:
    plan, result, shards = _tuned(base, tmp_path, evaluated=True)
    _compare(base, tmp_path, plan, result, shards)
    said = folder.read_json(tmp_path / "evaluate" / "progress.json")
    assert said["phase"] == "comparing"
    assert said["message"].startswith("tuned model, ")


def test_a_model_forgets_nothing_of_itself(base: Path, shards: Path) -> None:
    score = measure(load(base, probe()), Shard.open(shards / "forgetting"), 1024, Ranks(0, 1, 0))
    found = forgetting(score, score)
    assert found["change"] == 0.0
    assert found["interval"] == [0.0, 0.0]


def test_the_interval_is_the_standard_error_of_a_ratio_by_hand(base: Path, shards: Path) -> None:
    score = measure(load(base, probe()), Shard.open(shards / "forgetting"), 1024, Ranks(0, 1, 0))
    counts = score.example_targets
    shifted = score._replace(example_nll=score.example_nll + 0.5 * counts)  # the same change in every row: no error
    found = forgetting(score, shifted)
    assert found["change"] == pytest.approx(0.5)
    assert found["interval"] == pytest.approx([0.5, 0.5])
