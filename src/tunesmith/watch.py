"""A running job as a person watches it: where it stands now, and the live line that shows it.

In: the files that a job's attempts write (progress.json, metrics.jsonl). Out: views of the job (`Follower.look`),
shown by a Display: a bar on a terminal (`Bar`), plain lines anywhere else (`Lines`). Reads only; knows no store
and starts nothing. Displays write to the stream they are given (standard error), never to standard output.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from tunesmith import pipeline
from tunesmith.errors import NotFound
from tunesmith.folder import AttemptFolder, JobFolder, read_json, tail_jsonl

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress

# What a person is told while a task of that name runs and has not yet said what it does.
TITLES = {
    pipeline.VALIDATE: "checking the data",
    pipeline.TUNE: "tuning",
    pipeline.EVALUATE: "comparing with the base model",
    pipeline.UPLOAD: "registering the model",
    pipeline.DEPLOY: "deploying the model",
    pipeline.READ: "reading the instances",
    pipeline.PREDICT: "predicting",
    pipeline.BUILD: "building the data set",
    pipeline.SEND: "writing the data set into the bucket",
}

# Between plain lines that say nothing but how far it is: a log of 12 minutes then has some 70.
LINE_INTERVAL_S = 10.0
# A line that says what the last one said is a sign of life only.
SAME_LINE_INTERVAL_S = 60.0


@dataclass(frozen=True, slots=True)
class View:
    """Where a job stands. Numbers are None until the task has said them."""

    task: str
    attempt: int
    phase: str
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    accuracy: float | None = None
    tokens_per_s: float | None = None
    seconds_left: float | None = None
    evaluated: int | None = None
    """Examples measured in the evaluation that runs, of `to_evaluate`."""
    to_evaluate: int | None = None
    message: str = ""
    evaluations: tuple[Mapping[str, Any], ...] = ()
    """Lines of metrics.jsonl with an evaluation that the last look had not seen."""


@dataclass(slots=True)
class Follower:
    """Looks at one job's folder again and again, and remembers how far it has read."""

    folder: JobFolder
    _offsets: dict[str, int] = field(default_factory=dict)
    _seen: set[int] = field(default_factory=set)

    def look(self) -> View | None:
        """Where the job stands now; None before its first attempt has begun."""
        newest = newest_attempt(self.folder)
        if newest is None:
            return None
        task, number, attempt = newest
        return view_of(task, number, _progress(attempt), tuple(self._evaluations()))

    def _evaluations(self) -> list[Mapping[str, Any]]:
        # A resumed attempt may repeat an evaluation that an earlier one has shown.
        found = []
        for attempt in self.folder.attempts(pipeline.TUNE):
            name = attempt.root.name
            lines, self._offsets[name] = tail_jsonl(attempt.metrics, self._offsets.get(name, 0))
            for line in lines:
                if "eval_total_loss" in line and line["step"] not in self._seen:
                    self._seen.add(line["step"])
                    found.append(line)
        return found


def view_of(task: str, attempt: int, said: Mapping[str, Any], evaluations: tuple[Mapping[str, Any], ...] = ()) -> View:
    """The view of what an attempt's progress.json says."""
    return View(
        task=task,
        attempt=attempt,
        phase=_phase(said),
        step=said.get("step"),
        steps=said.get("steps"),
        loss=said.get("loss"),
        accuracy=said.get("accuracy"),
        tokens_per_s=said.get("tokens_per_s"),
        seconds_left=said.get("seconds_left"),
        evaluated=said.get("evaluated") if _phase(said) == "evaluating" else None,
        to_evaluate=said.get("to_evaluate"),
        message=said.get("message", ""),
        evaluations=evaluations,
    )


def _phase(said: Mapping[str, Any]) -> str:
    # The figures of a finished evaluation stay until the next step is done, which may take a minute.
    phase: str = said.get("phase", "starting")
    if phase == "evaluating" and "step" in said and said.get("evaluated") == said.get("to_evaluate"):
        return "training"
    return phase


def newest_attempt(folder: JobFolder) -> tuple[str, int, AttemptFolder] | None:
    """Task, number and folder of the attempt that was begun last."""
    for task in reversed((*pipeline.TASKS, *pipeline.BATCH_TASKS, *pipeline.DATASET_TASKS)):
        attempts = folder.attempts(task)
        if attempts:
            return task, len(attempts), attempts[-1]
    return None


class Display(Protocol):
    """Shows views of one job until it is left."""

    def __enter__(self) -> Display: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, view: View) -> None:
        """Shows where the job stands."""

    def say(self, text: str) -> None:
        """Shows a line that stays."""


def display_on(stream: TextIO) -> Display:
    """A live bar if the stream is a terminal, else plain lines."""
    return Bar(stream) if stream.isatty() else Lines(stream)


class Lines:
    """Plain lines: every change of phase, every evaluation, and how far it is now and then."""

    def __init__(
        self, stream: TextIO, interval_s: float = LINE_INTERVAL_S, same_interval_s: float = SAME_LINE_INTERVAL_S
    ) -> None:
        self._stream = stream
        self._interval_s = interval_s
        self._same_interval_s = same_interval_s
        self._phase = ("", 0, "", "")
        self._line = ""
        self._said_s = float("-inf")

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, view: View) -> None:
        for evaluation in view.evaluations:
            self.say(evaluation_line(evaluation))
        phase = (view.task, view.attempt, view.phase, view.message)
        line, now_s = progress_line(view), time.monotonic()
        wait_s = self._interval_s if line != self._line else self._same_interval_s
        if phase != self._phase or now_s >= self._said_s + wait_s:
            self._phase, self._line, self._said_s = phase, line, now_s
            self.say(line)

    def say(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


class Bar:
    """One live line on a terminal; evaluations stay above it."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        self._progress: Progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[facts]}"),
            console=Console(file=stream),
            expand=True,
        )
        self._line = self._progress.add_task("starting", total=None, facts="")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, view: View) -> None:
        for line in view.evaluations:
            self.say(evaluation_line(line))
        self._progress.update(
            self._line, description=_title(view), total=view.steps, completed=view.step or 0, facts=facts_line(view)
        )

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)


def progress_line(view: View) -> str:
    """`tuning: training step 40/120, loss 1.312, ...`"""
    facts = facts_line(view)
    return f"{_title(view)} {facts}" if facts else _title(view)


def facts_line(view: View) -> str:
    """Step, loss, accuracy, speed and time left, as far as they are known."""
    left = None if view.seconds_left is None else duration(view.seconds_left)
    known: list[tuple[str, object]] = [
        (f"step {{}}/{view.steps}" if view.steps else "step {}", view.step),
        (f"example {{}}/{view.to_evaluate}", view.evaluated),
        ("loss {:.3f}", view.loss),
        ("accuracy {:.1%}", view.accuracy),
        ("{:,.0f} tokens/s", view.tokens_per_s),
        ("{} left", left),
    ]
    return ", ".join(form.format(value) for form, value in known if value is not None)


def evaluation_line(line: Mapping[str, Any]) -> str:
    """One evaluation of metrics.jsonl in words."""
    accuracy = line["eval_fraction_of_correct_next_step_preds"]
    what = "base model" if line["step"] == 0 else f"step {line['step']}"
    return f"{what}: held-out loss {line['eval_total_loss']:.4f}, token accuracy {accuracy:.2%}"


def duration(seconds: float) -> str:
    """`45 s`, `5 min 20 s`, `2 h 5 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _title(view: View) -> str:
    again = f" (attempt {view.attempt})" if view.attempt > 1 else ""
    # What a task says in words tells more than the name of its phase.
    return f"{TITLES[view.task]}{again}: {view.message or view.phase}"


def _progress(attempt: AttemptFolder) -> dict[str, Any]:
    try:
        said: dict[str, Any] = read_json(attempt.progress)
    except NotFound:
        return {}
    return said
