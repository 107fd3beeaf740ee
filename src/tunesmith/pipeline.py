"""Which tasks a job consists of, and what follows when one of them ends. Pure: no clock, no store, no process.

Task names are the reference product's, since clients look for them (`upload-llm-model` carries the model's name).

    validate-dataset -> tune -> evaluate -> upload-llm-model
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

VALIDATE = "validate-dataset"
TUNE = "tune"
EVALUATE = "evaluate"
UPLOAD = "upload-llm-model"

TASKS = (VALIDATE, TUNE, EVALUATE, UPLOAD)
MAX_ATTEMPTS = 3

# Run as a process of its own; the others are done by the worker itself.
PROCESS_TASKS = frozenset({VALIDATE, TUNE, EVALUATE})

Outcome = Literal["succeeded", "failed", "cancelled", "paused"]


class Settled(NamedTuple):
    """How the last attempt of a task ended."""

    task: str
    outcome: Outcome
    retryable: bool
    attempts: int


class Next(NamedTuple):
    """What to do now: run `task`, or end the job in `state`."""

    task: str | None
    state: Literal["SUCCEEDED", "FAILED", "CANCELLED", "PAUSED"] | None


def first() -> Next:
    """Where a job begins."""
    return Next(TASKS[0], None)


def after(settled: Settled, tasks: Sequence[str] = TASKS) -> Next:
    """What follows an attempt that has ended. A retryable failure is tried again, MAX_ATTEMPTS times in all."""
    if settled.outcome == "succeeded":
        position = tasks.index(settled.task) + 1
        return Next(tasks[position], None) if position < len(tasks) else Next(None, "SUCCEEDED")
    if settled.outcome == "cancelled":
        return Next(None, "CANCELLED")
    if settled.outcome == "paused":
        return Next(None, "PAUSED")
    if settled.retryable and settled.attempts < MAX_ATTEMPTS:
        return Next(settled.task, None)
    return Next(None, "FAILED")
