"""kill -9 of workers and tasks: every job ends, as if nothing had happened, with one model."""

from __future__ import annotations

import random
import signal
import time

import pytest

from faults.house import House, assert_history_is_legal, assert_one_whole_model, processes_of
from faults.slow_task import Behaviour

# Around every call by which a worker tells the store, or the executor, something.
POINTS = [
    "claim:after",
    "start:before",
    "start:after",
    "started:before",
    "started:after",
    "heartbeat:after",
    "settle:before",
    "settle:after",
    "register_model:before",
    "register_model:after",
]


@pytest.mark.parametrize("point", POINTS)
def test_worker_killed_at_a_named_point_leaves_one_model(house: House, point: str) -> None:
    house.add_job(behaviour=Behaviour(steps=30))
    first = house.add_worker(DIE_AT=point)
    assert first.wait(60) == -signal.SIGKILL
    house.add_worker()
    house.wait_for_end()
    assert_one_whole_model(house, steps=30)
    assert_history_is_legal(house.store, "job")
    # The task survived its worker, so nothing had to be done twice.
    assert [t.attempt for t in house.job().tasks] == [1, 1, 1, 1]


def test_a_hundred_kills_at_random_moments(house: House) -> None:
    moments = random.Random(51)
    behaviour = Behaviour(steps=40, step_s=0.01, checkpoint_every=1)
    kills, jobs = 0, 0
    worker = house.add_worker()
    while kills < 100:
        if jobs == 0 or house.job(f"job-{jobs}").state in ("SUCCEEDED", "FAILED"):
            jobs += 1
            house.add_job(f"job-{jobs}", behaviour)
        time.sleep(moments.random() * 0.35)
        if moments.random() < 0.5:
            worker.kill()
            worker.wait()
            kills += 1
            worker = house.add_worker()
        else:
            kills += house.kill_task(f"job-{jobs}")
    finished = 0
    for number in range(1, jobs + 1):
        job = house.wait_for_end(f"job-{number}")
        assert_history_is_legal(house.store, job.id)
        if job.state == "SUCCEEDED":
            assert_one_whole_model(house, job.id, steps=40)
            finished += 1
        else:
            # Killed three times in a row before it had got on: the one reason to give up.
            assert len(job.error["details"]["attempts"]) >= 3
            assert [m for m in house.store.models() if m.job == job.id] == []
    assert finished > 0
    assert processes_of(house.home) == []
