"""500 queued jobs and two workers: they drain in order and within the quota, and nobody is starved.

All that is asserted is read from the events that the store wrote while it happened, and so holds throughout.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from faults.house import House, assert_history_is_legal
from faults.slow_task import Behaviour
from making import make_plan
from tunesmith import resources
from tunesmith.store import Asked, Store

GPU, TPU = 8, 64
POOLS = '{"GPU": 8, "TPU": 64}'
LIMIT_S = 400.0


class Change(NamedTuple):
    """One job's change of state, at its place among all that happened."""

    number: int
    job: str
    state: str


def add(house: House, job_id: str, *, project: str = "p", pool: str = "GPU", behaviour: Behaviour) -> str:
    """The key of a job as the API makes them: it takes its pool's devices."""
    path = house.home / f"{pool}.json"
    if not path.exists():
        behaviour.write(path)
    plan = make_plan(dataset=str(path), project=project, accelerator_type=pool)
    asked = Asked(units=GPU if pool == "GPU" else TPU, deploys=True, request={}, body_sha256=job_id)
    return house.store.create_job(plan, job_id=job_id, asked=asked).id


def changes(store: Store) -> list[Change]:
    """The changes of all jobs' states, as they happened."""
    found = [Change(e.number, job.id, e.state) for job in store.jobs() for e in store.events(job.id) if e.task is None]
    return sorted(found)


def begun(store: Store) -> list[str]:
    """Keys of the jobs in the order in which they began."""
    return [change.job for change in changes(store) if change.state == "PENDING"]


def most_in_use(store: Store) -> Mapping[str, int]:
    """The most devices of each pool that were in use at once."""
    jobs = {job.id: job for job in store.jobs()}
    held: dict[str, int] = {}
    most: dict[str, int] = {}
    for change in changes(store):
        pool = jobs[change.job].pool
        held[change.job] = jobs[change.job].units if change.state in resources.HOLDING else 0
        in_use = sum(units for job, units in held.items() if jobs[job].pool == pool)
        most[pool] = max(most.get(pool, 0), in_use)
    return most


@pytest.fixture(scope="module")
def drained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """500 jobs of a flooding project and of two others, after two workers have drained them."""
    house = House(tmp_path_factory.mktemp("queue"))
    fast = Behaviour(steps=1, step_s=0.0)
    try:
        for number in range(470):
            add(house, f"flood-{number:03d}", project="flood", behaviour=fast)
            if number == 200:
                add(house, "quiet", project="quiet", behaviour=fast)
        for number in range(29):
            add(house, f"other-{number:03d}", project="other", pool="TPU", behaviour=fast)
        for _ in range(2):
            house.add_worker(INLINE="1", POOLS=POOLS)
        last = house.store.jobs()[0].id
        for key in ("flood.flood-469", last):
            house.wait_for(lambda job: job.state in resources.ENDED, key, LIMIT_S)
        yield house
    finally:
        house.close()


def test_five_hundred_queued_jobs_all_succeed_with_one_model_each(drained: House) -> None:
    jobs = drained.store.jobs()
    assert len(jobs) == 500
    assert {job.state for job in jobs} == {"SUCCEEDED"}
    assert {task.attempt for job in jobs for task in job.tasks} == {1}
    assert sorted(str(model.job) for model in drained.store.models()) == sorted(job.id for job in jobs)
    for job in jobs:
        assert_history_is_legal(drained.store, job.id)


def test_jobs_of_a_pool_begin_in_the_order_of_their_submission(drained: House) -> None:
    jobs = list(reversed(drained.store.jobs()))
    order = begun(drained.store)
    for pool in ("GPU", "TPU"):
        submitted = [job.id for job in jobs if job.pool == pool]
        assert [key for key in order if key in set(submitted)] == submitted


def test_no_more_devices_are_in_use_than_a_pool_has(drained: House) -> None:
    assert most_in_use(drained.store) == {"GPU": GPU, "TPU": TPU}


def test_a_flood_of_later_jobs_does_not_overtake_another_projects(drained: House) -> None:
    order = begun(drained.store)
    assert order.index("quiet.quiet") < order.index("flood.flood-201")
    assert order.index("quiet.quiet") > order.index("flood.flood-200")


def test_a_flood_of_one_pool_does_not_keep_the_other_waiting(drained: House) -> None:
    """The last jobs that were submitted are of the pool that was free, and end long before the flood does."""
    happened = changes(drained.store)
    ended = max(c.number for c in happened if c.job.startswith("other.") and c.state == "SUCCEEDED")
    flood_begun = [c.number for c in happened if c.job.startswith("flood.") and c.state == "PENDING"]
    assert ended < flood_begun[-1]


@pytest.fixture
def crowded(house: House) -> House:
    """Two jobs that run and two that wait, with devices for two."""
    behaviour = Behaviour(steps=100, step_s=0.01)
    for number in range(4):
        add(house, f"job-{number}", behaviour=behaviour)
    for _ in range(2):
        house.add_worker(POOLS='{"GPU": 16}')
    for key in ("p.job-0", "p.job-1"):
        house.wait_for_step(5, job_id=key)
    assert house.job("p.job-2").state == "QUEUED"
    return house


@pytest.mark.parametrize("quota", [8, 0])
def test_a_quota_lowered_below_what_runs_ends_nothing_and_begins_nothing(crowded: House, quota: int) -> None:
    for worker in crowded.workers:
        worker.kill()
        worker.wait()
    for _ in range(2):
        crowded.add_worker(POOLS=f'{{"GPU": {quota}}}')
    for key in ("p.job-0", "p.job-1"):
        assert crowded.wait_for_end(key).state == "SUCCEEDED"
        assert [task.attempt for task in crowded.job(key).tasks] == [1] * 5
    if quota == 0:
        # Nobody may begin: raised again, the workers' next look finds them.
        assert [crowded.job(f"p.job-{n}").state for n in (2, 3)] == ["QUEUED", "QUEUED"]
        crowded.add_worker(POOLS='{"GPU": 8}')
    for key in ("p.job-2", "p.job-3"):
        assert crowded.wait_for_end(key).state == "SUCCEEDED"
    happened = changes(crowded.store)
    both_ended = max(c.number for c in happened if c.job in ("p.job-0", "p.job-1") and c.state == "SUCCEEDED")
    later = [c for c in happened if c.job in ("p.job-2", "p.job-3") and c.state in ("PENDING", "SUCCEEDED")]
    assert later[0].number > both_ended
    assert [c.state for c in later] == ["PENDING", "SUCCEEDED"] * 2


def test_queued_jobs_survive_the_death_of_every_worker_in_order(house: House, tmp_path: Path) -> None:
    keys = [add(house, f"job-{n}", behaviour=Behaviour(steps=2, step_s=0.01)) for n in range(8)]
    for key in keys:
        worker = house.add_worker(POOLS=POOLS)
        house.wait_for(lambda job: job.state != "QUEUED", key)
        worker.kill()
        worker.wait()
    house.add_worker(POOLS=POOLS)
    for key in keys:
        assert house.wait_for_end(key).state == "SUCCEEDED"
    assert begun(house.store) == keys
    assert most_in_use(house.store) == {"GPU": GPU}
