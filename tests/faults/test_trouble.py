"""Tasks that fail, hang, lose children or do not listen, and workers that stop, freeze or lose their database."""

from __future__ import annotations

import os
import signal
import sqlite3
import time

import pytest

from faults.house import House, assert_history_is_legal, assert_one_whole_model, processes_of
from faults.slow_task import Behaviour
from tunesmith import errors, folder
from tunesmith.folder import JobFolder


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        ("bug", errors.Internal),
        ("exits", errors.Internal),
        ("diverged", errors.Diverged),
        ("memory", errors.ResourceExhausted),
    ],
)
def test_failure_that_would_come_again_fails_the_job_at_once(house: House, trouble: str, error: type) -> None:
    house.add_job(behaviour=Behaviour(trouble=trouble))
    house.add_worker()
    job = house.wait_for_end()
    assert job.state == "FAILED"
    assert type(errors.from_json(job.error, job.error["exit_code"])) is error
    assert job.task("tune").attempt == 1
    assert house.store.models() == []
    assert_history_is_legal(house.store, "job")


@pytest.mark.parametrize("trouble", ["killed", "unavailable"])
def test_third_failure_in_a_row_fails_the_job_with_all_reasons(house: House, trouble: str) -> None:
    house.add_job(behaviour=Behaviour(trouble=trouble))
    house.add_worker()
    job = house.wait_for_end()
    assert job.state == "FAILED"
    reasons = job.error["details"]["attempts"]
    assert [reason["attempt"] for reason in reasons] == [1, 2, 3]
    assert all(reason["message"] in job.error["message"] for reason in reasons)


@pytest.mark.parametrize("trouble", ["killed", "unavailable", "hangs"])
def test_failure_that_passes_does_not_fail_the_job(house: House, trouble: str) -> None:
    house.add_job(behaviour=Behaviour(trouble=trouble, trouble_attempts=2))
    house.add_worker()
    job = house.wait_for_end()
    assert job.task("tune").attempt == 3
    assert_one_whole_model(house)


def test_being_interrupted_is_not_failing_however_often(house: House) -> None:
    house.add_job(behaviour=Behaviour(trouble="interrupted", trouble_attempts=5))
    house.add_worker()
    job = house.wait_for_end()
    assert job.task("tune").attempt == 6
    assert_one_whole_model(house)


def test_failed_job_resumes_from_its_last_checkpoint(house: House) -> None:
    house.add_job(behaviour=Behaviour(trouble="bug", trouble_attempts=1))
    house.add_worker()
    assert house.wait_for_end().state == "FAILED"
    house.store.resume_job("job")
    house.wait_for_end()
    assert_one_whole_model(house)
    assert house.job().error is None
    second = JobFolder(house.home / "jobs" / "job").attempt("tune", 2)
    assert "started" in second.log.read_text()


def test_children_that_made_their_own_session_die_with_their_task(house: House) -> None:
    house.add_job(behaviour=Behaviour(trouble="orphan"))
    house.add_worker()
    assert house.wait_for_end().state == "FAILED"
    assert processes_of(house.home) == []


def test_cancel_before_the_start_begins_nothing(house: House) -> None:
    house.add_job()
    assert house.store.request_cancel("job").state == "CANCELLED"
    worker = house.add_worker("job")
    assert worker.wait(60) == 0
    assert not (house.home / "jobs").exists()


@pytest.mark.parametrize("trouble", ["", "deaf"])
def test_cancel_while_running_ends_the_task_and_the_job(house: House, trouble: str) -> None:
    # "deaf" looks at neither STOP nor SIGTERM, and is ended by force after the grace time.
    house.add_job(behaviour=Behaviour(steps=100_000, trouble=trouble))
    house.add_worker()
    house.wait_for_step(5)
    assert house.store.request_cancel("job").state == "CANCELLING"
    assert house.store.request_cancel("job").state == "CANCELLING"
    job = house.wait_for_end()
    assert job.state == "CANCELLED"
    assert job.error["status"] == "CANCELLED"
    assert processes_of(house.home) == []
    assert house.store.request_cancel("job").state == "CANCELLED"
    assert_history_is_legal(house.store, "job")


def test_cancel_without_a_worker_is_done_by_the_next_one(house: House) -> None:
    house.add_job(behaviour=Behaviour(steps=100_000))
    worker = house.add_worker()
    house.wait_for_step(5)
    worker.kill()
    worker.wait()
    assert house.store.request_cancel("job").state == "CANCELLING"
    house.add_worker("job")
    assert house.wait_for_end().state == "CANCELLED"
    assert processes_of(house.home) == []


def test_cancel_after_the_end_is_refused(house: House) -> None:
    house.add_job()
    house.add_worker()
    house.wait_for_end()
    with pytest.raises(errors.FailedPrecondition, match="already ended"):
        house.store.request_cancel("job")
    assert house.job().state == "SUCCEEDED"


def test_paused_job_ends_as_if_it_had_not_been_paused(house: House) -> None:
    house.add_job(behaviour=Behaviour(steps=60))
    worker = house.add_worker("job")
    house.wait_for_step(7)
    house.store.request_pause("job")
    assert worker.wait(60) == 0
    assert "stopping job=job" not in (house.home / "workers.log").read_text()
    assert house.job().state == "PAUSED"
    assert house.job().task("tune").state == "PENDING"
    assert processes_of(house.home) == []
    assert house.store.resume_job("job").state == "QUEUED"
    house.add_worker("job").wait(60)
    assert_one_whole_model(house, steps=60)
    assert_history_is_legal(house.store, "job")


def test_stopped_foreground_worker_pauses_its_job(house: House) -> None:
    house.add_job(behaviour=Behaviour(steps=100_000))
    worker = house.add_worker("job")
    house.wait_for_step(3)
    worker.terminate()
    assert worker.wait(60) == 0
    assert house.job().state == "PAUSED"
    assert processes_of(house.home) == []


def test_stopped_foreground_worker_leaves_alone_what_another_runs(house: House) -> None:
    house.add_job(behaviour=Behaviour(steps=80))
    house.add_worker()
    house.wait_for_step(3)
    watching = house.add_worker("job")
    time.sleep(0.7)
    watching.terminate()
    assert watching.wait(60) == 0
    house.wait_for_end()
    assert_one_whole_model(house, steps=80)
    assert house.job().task("tune").attempt == 1


def test_stopped_service_worker_leaves_its_job_to_the_next_one(house: House) -> None:
    house.add_job(behaviour=Behaviour(steps=80))
    for attempt in (1, 2, 3, 4):  # more than MAX_ATTEMPTS: being stopped is not a failure
        worker = house.add_worker()
        house.wait_for_step(attempt * 4, attempt)
        worker.terminate()
        assert worker.wait(60) == 0
        assert processes_of(house.home) == []
        assert house.job().state == "RUNNING"
    house.add_worker()
    house.wait_for_end()
    assert_one_whole_model(house, steps=80)
    assert_history_is_legal(house.store, "job")


def test_task_that_is_sent_sigterm_saves_and_goes_on(house: House) -> None:
    house.add_job(behaviour=Behaviour(steps=40, checkpoint_every=1000))
    house.add_worker()
    first = house.wait_for_step(8)
    assert house.kill_task(number=signal.SIGTERM)
    house.wait_for_end()
    assert_one_whole_model(house, steps=40)
    assert folder.read_json(first.error)["status"] == "CANCELLED"
    assert house.job().task("tune").attempt == 2


def test_frozen_worker_that_wakes_is_refused(house: House) -> None:
    house.add_job(behaviour=Behaviour(steps=250))
    frozen = house.add_worker()
    house.wait_for_step(3)
    os.kill(frozen.pid, signal.SIGSTOP)
    second = house.add_worker()
    taken_over = f"taken over by worker {_worker_prefix(second.pid)}"
    house.wait_for(lambda _: any(taken_over in e.message for e in house.store.events("job")))
    os.kill(frozen.pid, signal.SIGCONT)
    house.wait_for_end()
    assert_one_whole_model(house, steps=250)
    assert house.job().task("tune").attempt == 1
    assert_history_is_legal(house.store, "job")
    assert "dropped job=job task=tune" in (house.home / "workers.log").read_text()


def _worker_prefix(pid: int) -> str:
    from tunesmith import process

    return str(process.identity(pid))


def test_database_that_is_away_for_a_while_starts_nothing_twice(house: House) -> None:
    house.add_job(behaviour=Behaviour(steps=300))
    house.add_worker(BUSY_TIMEOUT_S="0.05")
    house.add_worker(BUSY_TIMEOUT_S="0.05")
    house.wait_for_step(3)
    holder = sqlite3.connect(house.home / "tunesmith.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    time.sleep(3.0)  # longer than a lease: the other worker finds it ended
    holder.execute("ROLLBACK")
    holder.close()
    house.wait_for_end()
    assert "does not answer" in (house.home / "workers.log").read_text()
    assert_one_whole_model(house, steps=300)
    assert [t.attempt for t in house.job().tasks] == [1, 1, 1, 1]
    assert_history_is_legal(house.store, "job")


def test_two_workers_drain_many_jobs_once_each(house: House) -> None:
    names = [f"job-{number}" for number in range(12)]
    for name in names:
        house.add_job(name, Behaviour(steps=2, step_s=0.0))
    house.add_worker()
    house.add_worker()
    for name in names:
        house.wait_for_end(name)
        assert_one_whole_model(house, name, steps=2)
        assert [t.attempt for t in house.job(name).tasks] == [1, 1, 1, 1]
    claimed = [house.store.events(name)[1].time for name in names]
    assert claimed == sorted(claimed)


def test_folder_of_an_older_job_of_the_same_id_is_not_taken_for_its_own(house: House) -> None:
    house.add_job()
    house.add_worker("job").wait(60)
    assert house.job().state == "SUCCEEDED"
    house.store.close()
    for path in house.home.glob("tunesmith.db*"):
        path.unlink()
    house.__post_init__()
    house.add_job()
    house.add_worker("job").wait(60)
    assert house.job().state == "FAILED"
    assert "older job of the same id" in house.job().error["message"]
