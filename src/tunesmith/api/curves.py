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
from typing import NamedTuple

from tunesmith import folder, pipeline
from tunesmith.folder import JobFolder
from tunesmith.settings import Settings
from tunesmith.store import Job

MOST_JOBS = 32
"""Whose curves stay in memory: 100,000 points with nine figures each take 60 MB."""
ACCURACY = "eval_fraction_of_correct_next_step_preds"
_BESIDE = ("step", "wall_time")


class Series(NamedTuple):
    """Values by rising steps; times in seconds since 1970."""

    steps: Sequence[int]
    values: Sequence[float]
    times: Sequence[float]


@dataclass
class _Known:
    """What has been read of a job's files."""

    attempts: tuple[int, ...] = ()
    read_bytes: int = 0
    """Of the last attempt's file."""
    points: dict[str, dict[int, tuple[float, float]]] = field(default_factory=dict)
    """Name -> step -> value and time."""
    sorted: dict[str, Series] = field(default_factory=dict)


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
            for name, points in known.points.items():
                if name not in known.sorted:
                    known.sorted[name] = _series(points)
            return dict(known.sorted)

    def _read(self, job: Job, known: _Known) -> None:
        task = job.task(pipeline.TUNE)
        first = task.attempt if task.state == "SUCCEEDED" else 1
        wanted = tuple(range(first, task.attempt + 1))
        if known.attempts != wanted[: len(known.attempts)]:
            known.attempts, known.read_bytes, known.points, known.sorted = (), 0, {}, {}
        for number in wanted[max(len(known.attempts) - 1, 0) :]:
            if number not in known.attempts:
                known.attempts, known.read_bytes = (*known.attempts, number), 0
            file = JobFolder(self._settings.jobs / job.id).attempt(pipeline.TUNE, number).metrics
            lines, known.read_bytes = folder.tail_jsonl(file, known.read_bytes)
            for line in lines:
                for name, value in line.items():
                    if name not in _BESIDE and isinstance(value, int | float):
                        known.points.setdefault(name, {})[line["step"]] = (float(value), line["wall_time"])
                        known.sorted.pop(name, None)


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


def _series(points: dict[int, tuple[float, float]]) -> Series:
    steps = sorted(points)
    return Series(steps, [points[step][0] for step in steps], [points[step][1] for step in steps])
