"""The end report: what it reads from a job's files, what it says, what it writes."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tunesmith import catalog, report
from tunesmith.errors import FailedPrecondition
from tunesmith.folder import JobFolder, append_jsonl, read_json, write_json
from tunesmith.spec import TuningSpec, resolve

MODEL = "projects/local/locations/us-central1/models/1234567890123456789"


def job(home: Path, *, selected: int = 40, stopped_early: bool = False, base_is_best: bool = False) -> JobFolder:
    """A finished job of 60 steps with its three results and its metrics."""
    folder = JobFolder(home / "jobs" / "tune-1")
    asked = {"dataset": "/data/train.jsonl", "evaluation_data": "/data/evaluation.jsonl", "train_steps": 60}
    spec = TuningSpec.parse({**asked, "display_name": "my library"})
    write_json(folder.spec, resolve(spec, catalog.find(spec.base_model, {}, home)).model_dump(mode="json"))
    write_json(folder.attempt("validate-dataset", 1).create().result, {"examples": 320})
    tune = folder.attempt("tune", 1).create()
    for step in range(61):
        append_jsonl(tune.metrics, line(step))
    write_json(tune.result, tuned_result(selected, stopped_early, base_is_best))
    write_json(folder.attempt("evaluate", 1).create().result, compared())
    return folder


def line(step: int, loss: float | None = None) -> dict[str, Any]:
    loss = 1 + math.exp(-step / 20) if loss is None else loss
    found: dict[str, Any] = {"step": step, "wall_time": step * 2.0}
    for kind in ("train",) * (step > 0) + ("eval",) * (step % 20 == 0):
        found[f"{kind}_total_loss"] = loss
        found[f"{kind}_fraction_of_correct_next_step_preds"] = 1 - loss / 3
    return found


def tuned_result(selected: int, stopped_early: bool, base_is_best: bool) -> dict[str, Any]:
    return {
        "steps": 60,
        "selected_step": selected,
        "stopped_early": stopped_early,
        "base_is_best": base_is_best,
        "method": "lora",
        "epochs": 1.5,
        "tokens_per_s": 214.4,
        "device": "CPU, 2 threads, AVX2",
        "dtype": "float32",
        "metrics": {},
    }


def compared() -> dict[str, Any]:
    forgetting = {"rows": 24, "base_loss": 1.43, "tuned_loss": 1.51, "change": 0.08, "interval": [0.03, 0.13]}
    sample = {"prompt": "Add two numbers.", "wanted": "```python\na + b\n```", "base": "Sure!", "tuned": "a + b"}
    scores = {"base": {"loss": 2.0, "accuracy": 0.5}, "tuned": {"loss": 1.25, "accuracy": 0.625}}
    return {"held_out": "evaluation", **scores, "forgetting": forgetting, "examples": [sample] * 3}


def shown(found: report.Report) -> str:
    stream = io.StringIO()
    Console(file=stream, width=120).print(report.terminal(found))
    return stream.getvalue()


def test_the_table_has_both_scores_their_change_and_the_interval_of_forgetting(tmp_path: Path) -> None:
    loss, accuracy, general = report.rows(report.read(job(tmp_path)))
    assert loss == ("held-out loss", "2.000", "1.250", "-0.750", True)
    assert accuracy == ("held-out token accuracy", "50.0%", "62.5%", "+12.5 points", True)
    assert general == ("general code loss (24 rows)", "1.430", "1.510", "+0.080 [+0.030, +0.130]", False)


def test_rows_that_fill_in_the_middle_are_scored_apart(tmp_path: Path) -> None:
    folder = job(tmp_path)
    one = {"loss": 2.0, "accuracy": 0.5, "exact_match": 0.25, "edit_similarity": 0.5}
    two = {"loss": 1.0, "accuracy": 0.75, "exact_match": 0.25, "edit_similarity": 0.75}
    unasked = {**one, "exact_match": None, "edit_similarity": None}
    kinds = {
        "fim": {"rows": 20, "asked": 16, "base": one, "tuned": two},
        "instruction": {"rows": 9, "asked": 0, "base": unasked, "tuned": unasked},
    }
    write_json(folder.attempt("evaluate", 1).result, {**compared(), "kinds": kinds})
    found = report.read(folder)
    assert [row[:4] for row in report.rows(found)[2:-1]] == [
        ("instruction rows: loss", "2.000", "2.000", "+0.000"),
        ("instruction rows: token accuracy", "50.0%", "50.0%", "+0.0 points"),
        ("fim rows: loss", "2.000", "1.000", "-1.000"),
        ("fim rows: token accuracy", "50.0%", "75.0%", "+25.0 points"),
        ("fim rows: exact match (16 asked)", "25.0%", "25.0%", "+0.0 points"),
        ("fim rows: edit similarity (16 asked)", "50.0%", "75.0%", "+25.0 points"),
    ]
    assert "| fim rows: edit similarity (16 asked) | 50.0% | 75.0% | +25.0 points |" in report.markdown(found)
    assert "fim rows: exact match" in shown(found)


def test_scores_of_the_training_rows_are_called_so(tmp_path: Path) -> None:
    folder = job(tmp_path)
    write_json(folder.attempt("evaluate", 1).result, {**compared(), "held_out": "training"})
    assert [row.name for row in report.rows(report.read(folder))][:2] == [
        "training-set loss",
        "training-set token accuracy",
    ]


def test_the_newest_attempt_that_has_a_result_counts(tmp_path: Path) -> None:
    folder = job(tmp_path)
    write_json(folder.attempt("tune", 2).create().result, tuned_result(60, False, False))
    folder.attempt("tune", 3).create()
    assert report.read(folder).selected_step == 60


def test_a_step_that_a_resumed_attempt_measured_again_is_on_the_curve_once(tmp_path: Path) -> None:
    folder = job(tmp_path)
    append_jsonl(folder.attempt("tune", 2).create().metrics, line(60, loss=0.75))
    write_json(folder.attempt("tune", 2).result, tuned_result(60, False, False))
    found = report.read(folder)
    assert [point.step for point in found.evaluation] == [0, 20, 40, 60]
    assert found.evaluation[-1] == (60, 0.75, 0.75)


def test_a_job_without_a_result_is_refused_by_the_task_that_lacks_it(tmp_path: Path) -> None:
    folder = job(tmp_path)
    folder.attempt("evaluate", 1).result.unlink()
    with pytest.raises(FailedPrecondition, match="task evaluate has no result"):
        report.read(folder)


def test_a_base_model_that_stayed_better_is_said_aloud(tmp_path: Path) -> None:
    assert "worse than the base model" in report.headline(report.read(job(tmp_path, base_is_best=True)))
    assert "worse than the base model" not in report.headline(report.read(job(tmp_path / "other")))


def test_an_early_stop_is_said_and_marked_on_the_curve(tmp_path: Path) -> None:
    found = report.read(job(tmp_path, stopped_early=True))
    assert "stopped early" in report.headline(found)
    labels = [text.get_text() for text in report.draw(found).axes[0].get_legend().get_texts()]
    assert "stopped early" in labels


def test_the_curve_rings_the_taken_checkpoint_at_its_own_loss(tmp_path: Path) -> None:
    found = report.read(job(tmp_path, selected=40))
    axes = report.draw(found).axes[0]
    [ring] = [line for line in axes.get_lines() if line.get_label() == "taken: step 40"]
    assert list(ring.get_xdata()) == [40]
    assert list(ring.get_ydata()) == [pytest.approx(1 + math.exp(-2))]


def test_a_curve_without_evaluations_still_marks_the_taken_step(tmp_path: Path) -> None:
    folder = job(tmp_path, selected=60)
    metrics = folder.attempt("tune", 1).metrics
    metrics.unlink()
    for step in range(1, 61):
        kept = {name: value for name, value in line(step).items() if not name.startswith("eval")}
        append_jsonl(metrics, kept)
    axes = report.draw(report.read(folder)).axes[0]
    [mark] = [line for line in axes.get_lines() if line.get_label() == "taken: step 60"]
    assert set(mark.get_xdata()) == {60}


def test_smoothing_keeps_a_constant_curve_constant() -> None:
    assert report._smooth([2.0] * 500) == pytest.approx([2.0] * 500)


def test_the_report_is_written_as_markdown_png_and_svg(tmp_path: Path) -> None:
    found = report.read(job(tmp_path), MODEL)
    page = report.write(found)
    assert page == tmp_path / "jobs" / "tune-1" / "report" / "report.md"
    assert (page.parent / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (page.parent / "curve.svg").read_text("utf-8")
    assert MODEL in page.read_text("utf-8")


def test_an_answer_with_a_fence_does_not_end_the_fence_around_it(tmp_path: Path) -> None:
    page = report.markdown(report.read(job(tmp_path)))
    assert "````\n```python\na + b\n```\n````" in page


def test_the_terminal_shows_three_examples_with_all_four_texts(tmp_path: Path) -> None:
    text = shown(report.read(job(tmp_path), MODEL))
    assert text.count("held-out example") == 3
    for part in ("Add two numbers.", "a + b", "Sure!"):
        assert part in text


def test_markup_in_an_answer_is_shown_as_it_is(tmp_path: Path) -> None:
    folder = job(tmp_path)
    sample = {"prompt": "[red]p[/red]", "wanted": "[bold]w", "base": "[/x]", "tuned": "x[0]"}
    write_json(folder.attempt("evaluate", 1).result, {**compared(), "examples": [sample]})
    text = shown(report.read(folder))
    for part in sample.values():
        assert part in text


def test_a_long_answer_is_cut_and_says_by_how_much() -> None:
    text = report._cut("\n".join(str(n) for n in range(30)), 10)
    assert text.splitlines() == [*(str(n) for n in range(9)), "... 21 more lines"]


def test_the_predict_command_names_the_model_and_a_home_that_is_not_the_default(tmp_path: Path) -> None:
    found = report.read(job(tmp_path), MODEL)
    assert report.predict_command(found).startswith("tunesmith predict 1234567890123456789 --prefix ")
    assert f"--home {tmp_path}" in report.predict_command(found, tmp_path)


@pytest.mark.parametrize(
    ("prompts", "typed"),
    [
        (["two\nlines", "write 'it'"], """'write '"'"'it'"'"''"""),
        (["two\nlines", "x" * 301], "-"),
        ([], "-"),
    ],
)
def test_the_predict_command_asks_a_held_out_prompt_that_can_be_typed(
    tmp_path: Path, prompts: list[str], typed: str
) -> None:
    folder = job(tmp_path)
    examples = [{"prompt": prompt, "wanted": "w", "base": "b", "tuned": "t"} for prompt in prompts]
    write_json(folder.attempt("evaluate", 1).result, {**compared(), "examples": examples})
    assert report.predict_command(report.read(folder, MODEL)) == (
        f"tunesmith predict 1234567890123456789 --prefix {typed}"
    )


def test_reading_changes_no_file_of_the_job(tmp_path: Path) -> None:
    folder = job(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in folder.root.rglob("*")}
    report.read(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.root.rglob("*")} == before
    assert read_json(folder.spec)["display_name"] == "my library"
