"""What workers do: claim a task under a lease, keep it, settle how its attempt ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tunesmith import pipeline, resources
from tunesmith.errors import Aborted
from tunesmith.pipeline import Next, Outcome, Settled
from tunesmith.resources import JobState, TaskState
from tunesmith.store import tables
from tunesmith.store.database import Database
from tunesmith.store.jobs import (
    Job,
    add_event,
    cancel_pending_tasks,
    cancelled,
    change_job,
    change_task,
    job_of,
    job_row,
    read_job,
    task_row,
    update_job,
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's right to one attempt of one task, until its lease ends."""

    job: str
    task: str
    attempt: int
    worker: str
    handle: str | None
    """Of what another worker started, if this attempt was taken over from it and it said so."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended, as its worker saw it."""

    outcome: Outcome
    error: Mapping[str, Any] | None = None
    retryable: bool = False
    counts: bool = True
    """False: it failed through no fault of its own (it was stopped from outside), and is not one of the few tries."""
    step: int = 0
    """How far it got; an attempt that got further than all before it is the first of its task's tries again."""


class Claims(Database):
    """Tasks as workers see them."""

    # What workers do.

    def claim(
        self,
        worker: str,
        *,
        now_s: float,
        lease_s: float,
        only_job: str | None = None,
        dead: Sequence[str] = (),
        capacity: Mapping[str, int] | None = None,
    ) -> Claim | None:
        """The next task for this worker, oldest job first; None if there is none.

        First an attempt whose worker is among the `dead` or has let its lease run out: it stays the same attempt,
        and what it started may still run. Then a task that waits: a new attempt.

        capacity  devices of each pool: a job that has not begun waits while those before it hold them
        """
        with self._writing() as connection:
            lease = {"worker": worker, "lease_until": now_s + lease_s}
            taken = _take(connection, _orphan(now_s, lease_s, only_job, dead), lease)
            if taken is not None:
                job = job_of(connection, taken.job)
                message = f"taken over by worker {worker}"
                add_event(connection, job.sequence, now_s, "RUNNING", "RUNNING", taken, message)
                return Claim(job.id, taken.name, taken.attempt, worker, taken.handle)
            free = _free(connection, capacity) if capacity is not None else None
            begun = {"state": "RUNNING", "attempt": tables.tasks.c.attempt + 1, "start_time": now_s, "handle": None}
            taken = _take(connection, pending(only_job, free), lease | begun | {"end_time": None, "error": None})
            if taken is None:
                return None
            job = job_of(connection, taken.job)
            _begin(connection, job, taken, worker, now_s)
            return Claim(job.id, taken.name, taken.attempt, worker, None)

    def started(self, claim: Claim, handle: str, *, now_s: float) -> None:
        """Notes what runs the attempt; the job is RUNNING from now on. Aborted if the attempt is not this worker's."""
        with self._writing() as connection:
            job = job_row(connection, claim.job)
            _write_owned(connection, job.sequence, claim, handle=handle)
            if job.state == "PENDING":
                change_job(connection, job, "RUNNING", now_s, start_time=job.start_time or now_s)

    def heartbeat(self, claim: Claim, *, now_s: float, lease_s: float) -> None:
        """Renews the lease; Aborted if the attempt is not this worker's any more."""
        with self._writing() as connection:
            job = job_row(connection, claim.job)
            _write_owned(connection, job.sequence, claim, lease_until=now_s + lease_s)

    def settle(self, claim: Claim, ending: Ending, *, now_s: float) -> Job:
        """Writes down how an attempt ended, and what follows: the next task, another try, or the end of the job.

        Aborted if the attempt is not this worker's (any more): somebody else has its task, or it is settled.
        """
        with self._writing() as connection:
            job = job_row(connection, claim.job)
            settle(connection, job, claim, ending, now_s)
            return read_job(connection, claim.job)

    def workers(self, only_job: str | None = None) -> set[str]:
        """The workers that hold a running task (of that job)."""
        query = (
            sa.select(tables.tasks.c.worker)
            .distinct()
            .where(tables.tasks.c.state == "RUNNING", tables.tasks.c.worker.is_not(None))
        )
        with self._reading() as connection:
            return set(connection.execute(of_job(query, only_job)).scalars())

    def is_idle(self) -> bool:
        """Whether there is nothing to do: no task runs, and none waits that may begin."""
        running = sa.select(tables.tasks.c.number).where(tables.tasks.c.state == "RUNNING")
        with self._reading() as connection:
            return connection.execute(sa.union_all(running, pending(None)).limit(1)).first() is None


# Claiming: one transaction counts free devices, picks a task and marks it; no other writes meanwhile.


def pending(only_job: str | None, free: Mapping[str, int] | None = None) -> sa.Select[Any]:
    """Tasks that may begin. `free`: devices of each pool that a job which has not begun may take."""
    query = sa.select(tables.tasks.c.number).where(tables.tasks.c.state == "PENDING", _may_begin(free))
    return of_job(query, only_job)


def _free(connection: sa.Connection, capacity: Mapping[str, int]) -> dict[str, int]:
    """Devices of each pool that no job holds."""
    held = sa.select(tables.jobs.c.pool, sa.func.sum(tables.jobs.c.units)).where(
        tables.jobs.c.state.in_(resources.HOLDING)
    )
    in_use = {pool: int(units) for pool, units in connection.execute(held.group_by(tables.jobs.c.pool))}
    return {pool: devices - in_use.get(pool, 0) for pool, devices in capacity.items()}


def _may_begin(free: Mapping[str, int] | None) -> Any:
    may = [tables.jobs.c.state.in_(resources.CLAIMABLE), tables.jobs.c.wanted == "run"]
    if free:
        devices = sa.case(*[(tables.jobs.c.pool == pool, number) for pool, number in free.items()], else_=0)
        may.append(sa.or_(tables.jobs.c.state != "QUEUED", tables.jobs.c.units == 0, tables.jobs.c.units <= devices))
    # A look at one job for each task in order, and not all jobs that may begin: there may be thousands of them.
    return sa.exists().where(tables.jobs.c.sequence == tables.tasks.c.job, *may)


def _orphan(now_s: float, lease_s: float, only_job: str | None, dead: Sequence[str]) -> sa.Select[Any]:
    # A lease that ends much further ahead than leases last was written before the clock was put back.
    ended = sa.or_(tables.tasks.c.lease_until < now_s, tables.tasks.c.lease_until > now_s + 10 * lease_s)
    query = sa.select(tables.tasks.c.number).where(
        tables.tasks.c.state == "RUNNING", sa.or_(ended, tables.tasks.c.worker.in_(dead)) if dead else ended
    )
    return of_job(query, only_job)


def of_job(query: sa.Select[Any], only_job: str | None) -> sa.Select[Any]:
    if only_job is None:
        return query
    return query.where(
        tables.tasks.c.job == sa.select(tables.jobs.c.sequence).where(tables.jobs.c.id == only_job).scalar_subquery()
    )


def _take(connection: sa.Connection, candidates: sa.Select[Any], values: Mapping[str, Any]) -> Any:
    oldest = candidates.order_by(tables.tasks.c.job, tables.tasks.c.position).limit(1)
    statement = sa.update(tables.tasks).where(tables.tasks.c.number == oldest.scalar_subquery()).values(values)
    return connection.execute(statement.returning(*tables.tasks.c)).first()


def _begin(connection: sa.Connection, job: Any, task: Any, worker: str, now_s: float) -> None:
    attempt = {"task": task.number, "attempt": task.attempt, "worker": worker, "start_time": now_s}
    connection.execute(sa.insert(tables.attempts).values(attempt))
    add_event(connection, job.sequence, now_s, "RUNNING", "PENDING", task, f"claimed by worker {worker}")
    if job.state == "QUEUED":
        change_job(connection, job, "PENDING", now_s)


# Changing states.


def _write_owned(connection: sa.Connection, job: int, claim: Claim, **values: Any) -> Any:
    """Writes to a running task that is this worker's; else Aborted. The row as it is now."""
    owned = (
        tables.tasks.c.job == job,
        tables.tasks.c.name == claim.task,
        tables.tasks.c.state == "RUNNING",
        tables.tasks.c.attempt == claim.attempt,
        tables.tasks.c.worker == claim.worker,
    )
    row = connection.execute(sa.update(tables.tasks).where(*owned).values(values).returning(*tables.tasks.c)).first()
    if row is None:
        raise Aborted(
            f"attempt {claim.attempt} of {claim.task} of job {claim.job} is not this worker's any more; "
            "its result was not written"
        )
    return row


def settle(connection: sa.Connection, job: Any, claim: Claim, ending: Ending, now_s: float) -> None:
    """As Claims.settle, within a transaction that writes."""
    task = _write_owned(connection, job.sequence, claim, lease_until=None)
    _end_attempt(connection, task, ending, now_s)
    furthest = max(task.furthest_step, ending.step)
    tries = (0 if furthest > task.furthest_step else task.tries) + ending.counts
    settled = Settled(task.name, ending.outcome, ending.retryable, tries)
    follows = pipeline.after(settled, _tasks_of(connection, job.sequence), wanted=job.wanted)
    state = _state_of_task(task.name, ending.outcome, follows)
    error = ending.error if state == "FAILED" else None
    values = {"tries": tries, "furthest_step": furthest, "worker": None, "end_time": now_s, "error": error}
    change_task(connection, task, state, now_s, _message(ending), **values)
    if follows.task is not None and follows.task != task.name:
        change_task(connection, task_row(connection, job.sequence, follows.task), "PENDING", now_s)
    if follows.state is None:
        if job.state == "PENDING":
            change_job(connection, job, "RUNNING", now_s, start_time=job.start_time or now_s)
        else:
            update_job(connection, job.sequence, now_s)
        return
    _leave(connection, job, task, ending, follows.state, now_s)


def _tasks_of(connection: sa.Connection, job: int) -> list[str]:
    query = sa.select(tables.tasks.c.name).where(tables.tasks.c.job == job).order_by(tables.tasks.c.position)
    return list(connection.execute(query).scalars())


def _leave(connection: sa.Connection, job: Any, task: Any, ending: Ending, state: JobState, now_s: float) -> None:
    """The job comes to rest."""
    if state == "FAILED":
        error = _final_error(connection, task, ending)
        change_job(connection, job, state, now_s, error["message"], error=error, wanted="run", end_time=now_s)
    elif state == "CANCELLED":
        cancel_pending_tasks(connection, job.sequence, now_s)
        change_job(connection, job, state, now_s, **cancelled(now_s))
    elif state == "SUCCEEDED":
        if job.state == "PENDING":
            change_job(connection, job, "RUNNING", now_s)
            job = job_of(connection, job.sequence)
        change_job(connection, job, state, now_s, wanted="run", end_time=now_s)
    else:
        change_job(connection, job, state, now_s, wanted="run")


def _state_of_task(name: str, outcome: Outcome, follows: Next) -> TaskState:
    if outcome == "succeeded":
        return "SUCCEEDED"
    if follows.task == name:
        return "PENDING"
    return "CANCELLED" if follows.state == "CANCELLED" else "FAILED"


def _end_attempt(connection: sa.Connection, task: Any, ending: Ending, now_s: float) -> None:
    error = dict(ending.error) if ending.error is not None else None
    of_task = (tables.attempts.c.task == task.number, tables.attempts.c.attempt == task.attempt)
    values = {"end_time": now_s, "outcome": ending.outcome, "error": error, "step": ending.step}
    connection.execute(sa.update(tables.attempts).where(*of_task).values(values))


def _final_error(connection: sa.Connection, task: Any, ending: Ending) -> dict[str, Any]:
    """The last attempt's error, with the reasons of all that failed: a person sees whether they are the same."""
    error = dict(ending.error or {"status": "INTERNAL", "message": f"{task.name} failed", "details": {}})
    failed = tables.attempts.c.task == task.number, tables.attempts.c.outcome == "failed"
    rows = connection.execute(sa.select(tables.attempts).where(*failed).order_by(tables.attempts.c.attempt)).all()
    reasons = [{"attempt": row.attempt, "message": (row.error or {}).get("message", "")} for row in rows]
    if len(reasons) > 1:
        listed = "; ".join(f"attempt {r['attempt']}: {r['message']}" for r in reasons)
        error["message"] = f"{task.name} failed {len(reasons)} times; {listed}"
    error["details"] = {**error.get("details", {}), "task": task.name, "attempts": reasons}
    return error


def _message(ending: Ending) -> str:
    return str(ending.error["message"]) if ending.error else ending.outcome
