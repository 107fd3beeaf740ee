"""A random walk of jobs through the real store: whatever anybody does, in any order, what must hold holds.

Everybody is there: clients who ask for anything at any time, workers that claim, work, fall silent and come back
with what they once held, and a clock that jumps. Each step is tried as a caller would; refusals of the tree are fine.
"""

from __future__ import annotations

import random
from pathlib import Path

from faults.house import assert_history_is_legal
from making import make_plan, make_store
from tunesmith import pipeline, resources
from tunesmith.errors import TunesmithError
from tunesmith.store import Claim, Ending, Store

LEASE_S = 30.0
JOBS_AT_ONCE = 3
ERROR = {"status": "UNAVAILABLE", "message": "killed", "details": {}}


class Walk:
    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self.random = random.Random(seed)
        self.now_s = 1_000.0
        self.claims: list[Claim] = []
        """All that were ever given: a worker may come back with any."""
        self.held: list[Claim] = []
        """Those not settled yet."""
        self.made = 0
        self.refused = 0
        self.settled = 0

    def step(self) -> None:
        self.now_s += self.random.choice([0.1, 1.0, 10.0, 40.0])
        if self.random.random() < 0.03:
            self.now_s += self.random.choice([3600.0, -3600.0])
        act = self.random.choices(
            [self.create, self.claim, self.started, self.heartbeat, self.settle, self.ask], [1, 6, 4, 2, 8, 1]
        )[0]
        try:
            act()
        except TunesmithError:
            self.refused += 1

    def create(self) -> None:
        self.made += self.random.random() < 0.7
        self.store.create_job(make_plan(seed=self.random.choice([0, 0, 1])), job_id=self.job(), now_s=self.now_s)

    def claim(self) -> None:
        worker = self.random.choice(["w1", "w2", "w3"])
        dead = self.random.choice([[], [], ["w1"], ["w1", "w2"]])
        only_job = self.random.choice([None, None, self.job()])
        claim = self.store.claim(worker, now_s=self.now_s, lease_s=LEASE_S, only_job=only_job, dead=dead)
        if claim is not None:
            self.claims.append(claim)
            self.held.append(claim)

    def started(self) -> None:
        self.store.started(self.any_claim(), "handle", now_s=self.now_s)

    def heartbeat(self) -> None:
        self.store.heartbeat(self.any_claim(), now_s=self.now_s, lease_s=LEASE_S)

    def settle(self) -> None:
        claim = self.any_claim()
        self.held = [other for other in self.held if other != claim]
        wanted = self.store.job(claim.job).wanted
        ways = [Ending("succeeded")] * 12 + [
            Ending("failed", ERROR),
            Ending("failed", ERROR, retryable=True),
            Ending("failed", ERROR, retryable=True, counts=False),
            Ending("failed", ERROR, retryable=True, step=self.random.randrange(9)),
        ]
        if wanted != "run":
            ways += [Ending("paused" if wanted == "pause" else "cancelled")] * 5
        ending = self.random.choice(ways)
        if claim.task == pipeline.UPLOAD and ending.outcome == "succeeded":
            self.store.register_model(claim, labels={}, lineage={}, metrics={}, now_s=self.now_s)
        else:
            self.store.settle(claim, ending, now_s=self.now_s)
        self.settled += 1

    def ask(self) -> None:
        request = self.random.choice(
            [self.store.request_cancel, self.store.request_pause, self.store.resume_job, self.store.resume_job]
        )
        request(self.job(), now_s=self.now_s)

    def job(self) -> str:
        return f"job-{max(0, self.made - self.random.randrange(JOBS_AT_ONCE))}"

    def any_claim(self) -> Claim:
        # Mostly one that may count: a walk of nothing but refusals would prove nothing.
        some = self.held[-3:] if self.held and self.random.random() < 0.8 else self.claims
        if not some:
            raise TunesmithError("nothing was claimed yet")
        return self.random.choice(some)

    def check(self) -> None:
        models = {model.job: model.name for model in self.store.models()}
        for job in self.store.jobs():
            states = [task.state for task in job.tasks]
            assert states.count("RUNNING") + states.count("PENDING") <= 1, job
            assert (job.state == "SUCCEEDED") == (job.id in models) == (job.model is not None), job
            assert job.model == models.get(job.id)
            assert (job.state == "CANCELLING") == (job.wanted == "cancel"), job
            assert (job.end_time is not None) == (job.state in resources.ENDED), job
            assert (job.error is not None) == (job.state in ("FAILED", "CANCELLED")), job
            if job.state in resources.RESTING:
                assert "RUNNING" not in states, job
                assert job.wanted == "run"
            if job.state in resources.ENDED:
                assert "PENDING" not in states, job
            if job.state in resources.CLAIMABLE:
                assert "RUNNING" in states or "PENDING" in states, f"{job} would never go on"
            if job.state == "CANCELLING":
                assert "RUNNING" in states, f"{job} would never end"
            if job.state == "SUCCEEDED":
                assert set(states) == {"SUCCEEDED"}
            done = states.index(next((s for s in states if s != "SUCCEEDED"), "SUCCEEDED"))
            assert "SUCCEEDED" not in states[done:] or set(states) == {"SUCCEEDED"}, job


def test_random_walks_keep_every_promise(tmp_path: Path) -> None:
    settled, refused, states = 0, 0, set()
    for seed in range(8):
        walk = Walk(make_store(tmp_path / str(seed)), seed)
        for _ in range(300):
            walk.step()
            walk.check()
        for job in walk.store.jobs():
            assert_history_is_legal(walk.store, job.id)
            states |= {event.state for event in walk.store.events(job.id) if event.task is None}
        settled, refused = settled + walk.settled, refused + walk.refused
    # Else the walks went nowhere, and proved nothing.
    assert states == set(resources.JOB_TRANSITIONS)
    assert settled > 100
    assert refused > 100
