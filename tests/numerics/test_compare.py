"""Base against tuned: what is measured, what is taken over, and that it can be stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tiny_model import make_tiny_model
from tiny_run import make_plan, prepared
from tunesmith import catalog, folder
from tunesmith.data import build
from tunesmith.data.formats import read
from tunesmith.data.pack import Shard
from tunesmith.data.render import Renderer
from tunesmith.engine.adapters import load_tuned
from tunesmith.engine.closeness import ASKED_ROWS, similarity
from tunesmith.engine.compare import TRAINING_ROWS, compare, forgetting
from tunesmith.engine.device import probe
from tunesmith.engine.generate import Generator
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


def _add_holes(path: Path, name: str) -> None:
    """As many rows that fill in the middle, half of them before all others."""
    rows = path.read_text().splitlines(keepends=True)
    holes = [
        {"prefix": f"def {name}{i}(x):\n    ", "suffix": "\n", "middle": f"return x + {i}"} for i in range(len(rows))
    ]
    lines = [json.dumps(hole) + "\n" for hole in holes]
    path.write_text("".join([*lines[::2], *rows, *lines[1::2]]))


def _tuned(
    base: Path, place: Path, *, evaluated: bool, examples: int = 20, holes: bool = False
) -> tuple[Any, Any, Path]:
    """Plan, training result and shards of a short run over real rows."""
    fields: dict[str, Any] = {"dataset": str(_rows(place / "train.jsonl", 0, examples)), "train_steps": 10}
    if evaluated:
        fields["evaluation_data"] = str(_rows(place / "evaluation.jsonl", 900, 10))
    if holes:
        _add_holes(place / "train.jsonl", "f")
        if evaluated:
            _add_holes(place / "evaluation.jsonl", "held_out_")
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


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("taught") / "tiny", fim=True)


@pytest.mark.parametrize("evaluated", [True, False])
def test_rows_that_fill_in_the_middle_are_scored_apart_from_the_others(
    taught: Path, tmp_path: Path, evaluated: bool
) -> None:
    plan, result, shards = _tuned(taught, tmp_path, evaluated=evaluated, holes=True)
    found = _compare(taught, tmp_path, plan, result, shards)
    shard = Shard.open(shards / ("evaluation" if evaluated else "training"))
    assert set(found["kinds"]) == {"instruction", "fim"}
    for kind, said in found["kinds"].items():
        rows = [i for i in range(shard.num_examples) if shard.is_fim(i) == (kind == "fim")]
        for name, tuned in (("base", None), ("tuned", Path(result.tuned))):
            model = load(taught, probe()) if tuned is None else load_tuned(tuned, prepared(taught), probe())
            alone = measure(model, shard, 1024, Ranks(0, 1, 0), examples=rows)
            assert said[name]["loss"] == pytest.approx(alone.loss, rel=1e-5)
            assert said[name]["accuracy"] == pytest.approx(alone.accuracy)
            generator = Generator(model, Renderer.open(taught, catalog.from_folder(taught)), 2048)
            assert said[name]["edit_similarity"] == pytest.approx(_similarity(generator, plan, kind))
            assert 0 <= said[name]["exact_match"] <= 1
        assert (said["rows"], said["asked"]) == (len(rows), min(len(rows), ASKED_ROWS))
        assert said["tuned"]["loss"] < said["base"]["loss"]


def _similarity(generator: Generator, plan: Any, kind: str) -> float:
    """As the result should be, from the data file: the rows are few and their answers short, so all are asked."""
    file = Path(plan.spec.evaluation_data or plan.spec.dataset)
    rows = [row for row in read(file) if (row.fim is not None) == (kind == "fim")]
    wanted = [row.fim.middle if row.fim else row.messages[-1].content for row in rows]
    renderer = Renderer.open(Path(plan.base_model), catalog.from_folder(Path(plan.base_model)))
    longest = max(len(row.tokens) - row.prompt_tokens for row in renderer.examples(rows))
    answers = generator.answer(rows, max_output_tokens=longest)
    return sum(similarity(a.strip(), b.strip()) for a, b in zip(answers, wanted, strict=True)) / len(rows)


def test_evaluations_of_a_run_have_both_kinds_at_every_step(taught: Path, tmp_path: Path) -> None:
    _, result, _ = _tuned(taught, tmp_path, evaluated=True, holes=True)
    lines = [line for line in folder.read_jsonl(tmp_path / "tune" / "metrics.jsonl") if "eval_total_loss" in line]
    assert [line["step"] for line in lines] == [0, 10]
    assert [line["eval_fim_loss"] for line in lines] == [
        result.metrics[name]["kinds"]["fim"]["loss"] for name in ("base", "last")
    ]
    for line in lines:
        assert min(line["eval_instruction_loss"], line["eval_fim_loss"]) <= line["eval_total_loss"]
        assert line["eval_total_loss"] <= max(line["eval_instruction_loss"], line["eval_fim_loss"])


def test_a_job_without_such_rows_is_measured_as_before(base: Path, tmp_path: Path) -> None:
    plan, result, shards = _tuned(base, tmp_path, evaluated=True)
    assert "kinds" not in _compare(base, tmp_path, plan, result, shards)
    assert "kinds" not in result.metrics["base"]


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
