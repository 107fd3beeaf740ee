"""What follows an attempt, as a table."""

from __future__ import annotations

import pytest

from tunesmith.pipeline import (
    BUILD,
    DATASET_TASKS,
    EVALUATE,
    MAX_ATTEMPTS,
    PROCESS_TASKS,
    SEND,
    TASKS,
    TUNE,
    UPLOAD,
    VALIDATE,
    Next,
    Settled,
    after,
    first,
)

DATASET_SUCCEEDED = {task: Settled(task, "succeeded", False, 1) for task in DATASET_TASKS}
SUCCEEDED = {task: Settled(task, "succeeded", False, 1) for task in TASKS}
AGAIN = Settled(TUNE, "failed", True, 1)
FOR_THE_LAST_TIME = Settled(TUNE, "failed", True, MAX_ATTEMPTS)
BUG = Settled(TUNE, "failed", False, 1)


@pytest.mark.parametrize(
    ("settled", "wanted", "follows"),
    [
        (SUCCEEDED[VALIDATE], "run", Next(TUNE, None)),
        (SUCCEEDED[TUNE], "run", Next(EVALUATE, None)),
        (SUCCEEDED[EVALUATE], "run", Next(UPLOAD, None)),
        (SUCCEEDED[UPLOAD], "run", Next(None, "SUCCEEDED")),
        (SUCCEEDED[TUNE], "pause", Next(EVALUATE, "PAUSED")),
        (SUCCEEDED[TUNE], "cancel", Next(None, "CANCELLED")),
        (SUCCEEDED[UPLOAD], "pause", Next(None, "SUCCEEDED")),
        (SUCCEEDED[UPLOAD], "cancel", Next(None, "SUCCEEDED")),
        (AGAIN, "run", Next(TUNE, None)),
        (AGAIN, "pause", Next(TUNE, "PAUSED")),
        (AGAIN, "cancel", Next(None, "CANCELLED")),
        (FOR_THE_LAST_TIME, "run", Next(None, "FAILED")),
        (FOR_THE_LAST_TIME, "cancel", Next(None, "FAILED")),
        (BUG, "run", Next(None, "FAILED")),
        (BUG, "pause", Next(None, "FAILED")),
        (Settled(TUNE, "cancelled", False, 1), "cancel", Next(None, "CANCELLED")),
        (Settled(TUNE, "paused", False, 1), "pause", Next(TUNE, "PAUSED")),
        (Settled(TUNE, "paused", False, 1), "run", Next(TUNE, "PAUSED")),
    ],
)
def test_what_follows(settled: Settled, wanted: str, follows: Next) -> None:
    assert after(settled, wanted=wanted) == follows


def test_job_begins_with_its_data() -> None:
    assert first() == Next(VALIDATE, None)


def test_every_task_but_the_upload_is_a_process() -> None:
    assert set(TASKS) - PROCESS_TASKS == {UPLOAD}


def test_success_all_along_visits_every_task_once() -> None:
    visited, follows = [], first()
    while follows.task is not None:
        visited.append(follows.task)
        follows = after(SUCCEEDED[follows.task])
    assert visited == list(TASKS)
    assert follows.state == "SUCCEEDED"


def test_a_data_set_is_built_then_uploaded() -> None:
    assert after(DATASET_SUCCEEDED[BUILD], DATASET_TASKS) == Next(SEND, None)
    assert after(DATASET_SUCCEEDED[SEND], DATASET_TASKS) == Next(None, "SUCCEEDED")
    assert set(DATASET_TASKS) <= PROCESS_TASKS
