"""Watching a running job: what its files say, and the plain lines that say it on."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from tunesmith import watch
from tunesmith.folder import JobFolder, append_jsonl, write_json

TRAINING = {"phase": "training", "step": 12, "steps": 60, "loss": 1.25, "accuracy": 0.625, "tokens_per_s": 214.4}


def evaluation(step: int) -> dict[str, Any]:
    return {"step": step, "eval_total_loss": 1.5, "eval_fraction_of_correct_next_step_preds": 0.5}


def test_a_job_that_has_not_begun_shows_nothing(tmp_path: Path) -> None:
    assert watch.Follower(JobFolder(tmp_path)).look() is None


def test_an_attempt_that_has_said_nothing_is_starting(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    folder.attempt("tune", 1).create()
    view = watch.Follower(folder).look()
    assert view is not None
    assert (view.task, view.phase, view.step) == ("tune", "starting", None)


def test_the_newest_attempt_of_the_latest_task_is_shown(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    folder.attempt("validate-dataset", 1).create()
    folder.attempt("tune", 1).create()
    write_json(folder.attempt("tune", 2).create().progress, TRAINING)
    view = watch.Follower(folder).look()
    assert view is not None
    assert (view.task, view.attempt, view.step, view.loss) == ("tune", 2, 12, 1.25)


def test_an_evaluation_is_shown_once(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    metrics = folder.attempt("tune", 1).create().metrics
    follower = watch.Follower(folder)
    append_jsonl(metrics, evaluation(0))
    assert [line["step"] for line in seen(follower)] == [0]
    append_jsonl(metrics, {"step": 1, "train_total_loss": 2.0})
    assert seen(follower) == []
    append_jsonl(metrics, evaluation(20))
    assert [line["step"] for line in seen(follower)] == [20]


def test_a_resumed_attempt_does_not_show_its_copied_evaluations_again(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    follower = watch.Follower(folder)
    append_jsonl(folder.attempt("tune", 1).create().metrics, evaluation(0))
    seen(follower)
    for step in (0, 20):
        append_jsonl(folder.attempt("tune", 2).create().metrics, evaluation(step))
    assert [line["step"] for line in seen(follower)] == [20]


def test_plain_lines_come_with_every_phase_and_every_evaluation_but_not_with_every_look() -> None:
    stream = io.StringIO()
    lines = watch.Lines(stream, interval_s=3600)
    for step in range(5):
        lines.show(watch.View("tune", 1, "training", step=step, steps=60))
    lines.show(watch.View("tune", 1, "training", step=20, steps=60, evaluations=(evaluation(20),)))
    lines.show(watch.View("evaluate", 1, "comparing"))
    assert stream.getvalue().splitlines() == [
        "tuning: training step 0/60",
        "step 20: held-out loss 1.5000, token accuracy 50.00%",
        "comparing with the base model: comparing",
    ]


def test_a_line_that_says_nothing_new_is_left_out() -> None:
    stream = io.StringIO()
    lines = watch.Lines(stream, interval_s=0, same_interval_s=3600)
    for step in (1, 1, 1, 2, 2):
        lines.show(watch.View("tune", 1, "training", step=step))
    assert stream.getvalue().splitlines() == ["tuning: training step 1", "tuning: training step 2"]


def test_a_finished_evaluation_is_not_shown_as_running(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    progress = folder.attempt("tune", 1).create().progress
    write_json(progress, {**TRAINING, "phase": "evaluating", "evaluated": 12, "to_evaluate": 48})
    running = watch.Follower(folder).look()
    write_json(progress, {**TRAINING, "phase": "evaluating", "evaluated": 48, "to_evaluate": 48})
    finished = watch.Follower(folder).look()
    assert running is not None
    assert finished is not None
    assert "example 12/48" in watch.progress_line(running)
    assert "tuning: training step 12/60" in watch.progress_line(finished)


def test_plain_lines_go_on_once_the_interval_is_over() -> None:
    stream = io.StringIO()
    lines = watch.Lines(stream, interval_s=0)
    for step in range(3):
        lines.show(watch.View("tune", 1, "training", step=step))
    assert len(stream.getvalue().splitlines()) == 3


def test_a_line_holds_every_figure_that_is_known() -> None:
    view = watch.View("tune", 1, "training", 12, 60, 1.25, 0.625, 214.4, 65.0)
    assert watch.facts_line(view) == "step 12/60, loss 1.250, accuracy 62.5%, 214 tokens/s, 1 min 5 s left"


def test_a_later_attempt_is_said_to_be_one() -> None:
    assert "(attempt 2)" in watch.progress_line(watch.View("tune", 2, "training"))


def test_the_bar_ends_without_an_answer_on_a_stream_that_is_no_terminal() -> None:
    stream = io.StringIO()
    with watch.Bar(stream) as bar:
        bar.show(watch.View("tune", 1, "training", 12, 60, 1.25, evaluations=(evaluation(0),)))
        bar.say("[bold]as it is[/bold]")
    assert "base model: held-out loss" in stream.getvalue()
    assert "[bold]as it is[/bold]" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599.9, "1 h 0 min"), (7500, "2 h 5 min")]
)
def test_durations_are_rounded_before_they_are_cut_into_units(seconds: float, text: str) -> None:
    assert watch.duration(seconds) == text


def seen(follower: watch.Follower) -> list[Any]:
    view = follower.look()
    assert view is not None
    return list(view.evaluations)
