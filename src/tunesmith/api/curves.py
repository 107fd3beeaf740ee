"""What tuning jobs have measured, as curves: every figure of metrics.jsonl, live, and thinned for a picture.

In: a job's metrics files. Out: for each name its steps, values and times. A file only grows, so only its new lines are
read; what was read of the last jobs that somebody asked for stays in memory. Which attempts count is as in
job_metrics.py. A picture gets the smallest and the largest value of each stretch, so no peak goes missing.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from tunesmith import folder, pipeline
from tunesmith.errors import DataLoss
from tunesmith.folder import JobFolder
from tunesmith.settings import Settings
from tunesmith.store import Job

MOST_JOBS = 32
"""Whose curves stay in memory: 100,000 points with nine figures each take 70 MB."""
ACCURACY = "eval_fraction_of_correct_next_step_preds"
_BESIDE = ("step", "wall_time")


class Series(NamedTuple):
    """Values by rising steps; times in seconds since 1970."""

    steps: Sequence[int]
    values: Sequence[float]
    times: Sequence[float]


@dataclass
class _Growing:
    """A series that is being read; steps mostly come in their order."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def add(self, step: int, value: float, time: float) -> None:
        """A step that is there already has the later value."""
        if not self.steps or step > self.steps[-1]:
            self.steps.append(step)
            self.values.append(value)
            self.times.append(time)
            return
        at = bisect_left(self.steps, step)
        end = at + (self.steps[at] == step)
        self.steps[at:end], self.values[at:end], self.times[at:end] = [step], [value], [time]


@dataclass
class _Known:
    """What has been read of a job's files."""

    attempts: tuple[int, ...] = ()
    read_bytes: int = 0
    """Of the last attempt's file."""
    growing: dict[str, _Growing] = field(default_factory=dict)
    given: dict[str, Series] = field(default_factory=dict)
    """The same as it was given out: copies, which do not grow."""


class Curves:
    """The curves of an installation's jobs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: OrderedDict[tuple[str, float], _Known] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, job: Job) -> dict[str, Series]:
        """Every figure that the job has measured so far."""
        with self._lock:
            known = self._known.pop((job.id, job.create_time), None) or _Known()
            self._known[job.id, job.create_time] = known
            while len(self._known) > MOST_JOBS:
                self._known.popitem(last=False)
            self._read(job, known)
            for name, one in known.growing.items():
                if name not in known.given:
                    known.given[name] = Series(one.steps.copy(), one.values.copy(), one.times.copy())
            return dict(known.given)

    def _read(self, job: Job, known: _Known) -> None:
        task = job.task(pipeline.TUNE)
        first = task.attempt if task.state == "SUCCEEDED" else 1
        wanted = tuple(range(first, task.attempt + 1))
        if known.attempts != wanted[: len(known.attempts)]:
            known.attempts, known.read_bytes, known.growing, known.given = (), 0, {}, {}
        for number in wanted[max(len(known.attempts) - 1, 0) :]:
            if number not in known.attempts:
                known.attempts, known.read_bytes = (*known.attempts, number), 0
            file = JobFolder(self._settings.jobs / job.id).attempt(pipeline.TUNE, number).metrics
            lines, known.read_bytes = _lines(file, known.read_bytes)
            for line in lines:
                step, time = line["step"], line["wall_time"]
                for name, value in line.items():
                    if name not in _BESIDE and isinstance(value, int | float):
                        if name not in known.growing:
                            known.growing[name] = _Growing()
                        known.growing[name].add(step, float(value), time)
                        known.given.pop(name, None)


_LINES = TypeAdapter(list[dict[str, Any]])


def _lines(file: Path, offset_bytes: int) -> tuple[list[dict[str, Any]], int]:
    """As folder.tail_jsonl, in a quarter of its time."""
    data, end = folder.tail_bytes(file, offset_bytes)
    try:
        return _LINES.validate_json(b"[" + data.rstrip(b"\n").replace(b"\n", b",") + b"]"), end
    except ValidationError as error:
        raise DataLoss(f"{file}: damaged; a line after byte {offset_bytes} is not a JSON object") from error


def between(series: Series, first_step: int | None, last_step: int | None) -> Series:
    """The part of the steps from first to last, both in it; None: no bound."""
    start = 0 if first_step is None else bisect_left(series.steps, first_step)
    end = len(series.steps) if last_step is None else bisect_right(series.steps, last_step)
    return Series(series.steps[start:end], series.values[start:end], series.times[start:end])


def thinned(series: Series, most: int) -> Series:
    """At most that many points (4 or more): the first, the last, and of each stretch the smallest and the largest."""
    count = len(series.steps)
    if count <= most:
        return series
    stretches = (most - 2) // 2
    kept = {0, count - 1}
    values = series.values
    for number in range(stretches):
        start, end = number * count // stretches, (number + 1) * count // stretches
        kept.add(min(range(start, end), key=values.__getitem__))
        kept.add(max(range(start, end), key=values.__getitem__))
    places = sorted(kept)
    return Series([series.steps[p] for p in places], [values[p] for p in places], [series.times[p] for p in places])
