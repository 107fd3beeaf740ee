"""Many processes on one database: what is created once is created once, what is claimed once is claimed once."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import threading
from collections import Counter
from pathlib import Path

from making import make_plan, make_store
from tunesmith import pipeline
from tunesmith.resources import HOLDING
from tunesmith.store import Asked, Ending

BUG = Ending("failed", {"status": "INTERNAL", "message": "a bug", "details": {}})


def _create_many(home: Path, times: int) -> list[str]:
    with concurrent.futures.ThreadPoolExecutor(5) as threads:
        store = make_store(home)
        plan = make_plan()
        futures = [threads.submit(store.create_job, plan, job_id="job", now_s=float(i)) for i in range(times)]
        return [f.result().id for f in futures]


def test_a_thousand_parallel_duplicates_make_one_job(tmp_path: Path) -> None:
    # Nobody has made the database yet either.
    spawned = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(4, mp_context=spawned) as processes:
        futures = [processes.submit(_create_many, tmp_path, 250) for _ in range(4)]
        answers = Counter(job_id for f in futures for job_id in f.result())
    assert answers == {"job": 1000}
    store = make_store(tmp_path)
    assert len(store.jobs()) == 1
    assert len(store.job("job").tasks) == len(pipeline.TASKS)
    assert len(store.events("job")) == 1


def _claim_all(home: Path, worker: str, barrier: threading.Barrier) -> list[tuple[str, str, int]]:
    store, done = make_store(home), []
    barrier.wait(30)
    while (found := store.claim(worker, now_s=2.0, lease_s=1000.0)) is not None:
        store.settle(found, BUG, now_s=3.0)
        done.append((found.job, found.task, found.attempt))
    return done


def test_parallel_workers_never_claim_the_same_task(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    for number in range(120):
        store.create_job(make_plan(), job_id=f"job-{number}", now_s=1.0)
    with (
        multiprocessing.Manager() as shared,
        concurrent.futures.ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as processes,
    ):
        barrier = shared.Barrier(3)
        futures = [processes.submit(_claim_all, tmp_path, f"w{i}", barrier) for i in range(3)]
        claimed = [c for f in futures for c in f.result()]
    assert len(claimed) == len(set(claimed)) == 120
    assert {job.state for job in store.jobs()} == {"FAILED"}


def _fill_the_pool(home: Path, worker: str, barrier: threading.Barrier) -> list[int]:
    """Devices in use at every moment that this worker looked, while it began and ended all jobs that it could get."""
    store, seen = make_store(home), []
    barrier.wait(30)
    while any(job.state not in ("SUCCEEDED", "FAILED") for job in store.jobs()):
        found = store.claim(worker, now_s=2.0, lease_s=1000.0, capacity={"GPU": 16})
        seen.append(sum(job.units for job in store.jobs() if job.state in HOLDING))
        if found is not None:
            store.settle(found, BUG, now_s=3.0)
    return seen


def test_parallel_workers_never_give_out_more_devices_than_there_are(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    for number in range(60):
        store.create_job(make_plan(), job_id=f"job-{number}", asked=Asked(units=8), now_s=1.0)
    with (
        multiprocessing.Manager() as shared,
        concurrent.futures.ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as processes,
    ):
        barrier = shared.Barrier(4)
        futures = [processes.submit(_fill_the_pool, tmp_path, f"w{i}", barrier) for i in range(4)]
        seen = [devices for f in futures for devices in f.result()]
    assert {job.state for job in store.jobs()} == {"FAILED"}
    assert max(seen) == 16
