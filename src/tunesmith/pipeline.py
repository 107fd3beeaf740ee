"""Which tasks a job consists of, and what follows when one of them ends. Pure: no clock, no store, no process.

Task names are the reference product's, since clients look for them (`upload-llm-model` carries the model's name).

    validate-dataset -> tune -> evaluate -> upload-llm-model [-> deploy-llm-model]

    read-instances -> batch-predict

    build-dataset -> upload-dataset
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

VALIDATE = "validate-dataset"
TUNE = "tune"
EVALUATE = "evaluate"
UPLOAD = "upload-llm-model"
DEPLOY = "deploy-llm-model"
READ = "read-instances"
PREDICT = "batch-predict"
BUILD = "build-dataset"
SEND = "upload-dataset"

TASKS = (VALIDATE, TUNE, EVALUATE, UPLOAD)
BATCH_TASKS = (READ, PREDICT)
DATASET_TASKS = (BUILD, SEND)
MAX_ATTEMPTS = 3

# Run as a process of its own; the others are done by the worker itself.
PROCESS_TASKS = frozenset({VALIDATE, TUNE, EVALUATE, READ, PREDICT, BUILD, SEND})

Outcome = Literal["succeeded", "failed", "cancelled", "paused"]
Wanted = Literal["run", "pause", "cancel"]


class Settled(NamedTuple):
    """How the last attempt of a task ended. `attempts`: those that count, this one among them."""

    task: str
    outcome: Outcome
    retryable: bool
    attempts: int


class Next(NamedTuple):
    """What to do now: run `task`, or leave the job in `state`; with PAUSED, `task` is where it goes on."""

    task: str | None
    state: Literal["SUCCEEDED", "FAILED", "CANCELLED", "PAUSED"] | None


def tasks_for(*, deploys: bool) -> tuple[str, ...]:
    """The tasks of a tuning job, in order; with `deploys` the tuned model is put on an endpoint at the end."""
    return (*TASKS, DEPLOY) if deploys else TASKS


def first() -> Next:
    """Where a job begins."""
    return Next(TASKS[0], None)


def after(settled: Settled, tasks: Sequence[str] = TASKS, wanted: Wanted = "run") -> Next:
    """What follows an attempt that has ended. A retryable failure is tried again, MAX_ATTEMPTS times in all.

    `wanted` is what the job's owner asked for meanwhile: it keeps a further task or try from beginning, and takes
    nothing back that has ended.
    """
    if settled.outcome == "cancelled":
        return Next(None, "CANCELLED")
    if settled.outcome == "paused":
        return Next(settled.task, "PAUSED")
    if settled.outcome == "failed":
        again = settled.retryable and settled.attempts < MAX_ATTEMPTS
        return _unless(wanted, settled.task) if again else Next(None, "FAILED")
    position = tasks.index(settled.task) + 1
    return _unless(wanted, tasks[position]) if position < len(tasks) else Next(None, "SUCCEEDED")


def _unless(wanted: Wanted, task: str) -> Next:
    if wanted == "cancel":
        return Next(None, "CANCELLED")
    return Next(task, "PAUSED" if wanted == "pause" else None)
