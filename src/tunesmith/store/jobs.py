"""Jobs, their tasks and what has happened to them: what clients ask, and the changes of state that all others use."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy import exc

from tunesmith import pipeline, resources
from tunesmith.batch import BatchPlan
from tunesmith.dataset import DatasetPlan
from tunesmith.errors import AlreadyExists, FailedPrecondition, NotFound
from tunesmith.pipeline import Wanted
from tunesmith.resources import BatchJobName, DatasetJobName, JobKind, JobName, JobState, TaskState
from tunesmith.spec import TuningPlan
from tunesmith.store import tables
from tunesmith.store.database import Database
from tunesmith.store.listing import Fields, Page, Query, find, lies_in
from tunesmith.store.tensorboards import add_job_experiment, forget_job_experiments

_COLUMNS = {
    "name": tables.jobs.c.job_id,
    "display_name": tables.jobs.c.display_name,
    "create_time": tables.jobs.c.create_time,
    "update_time": tables.jobs.c.update_time,
    "start_time": tables.jobs.c.start_time,
    "end_time": tables.jobs.c.end_time,
}
_OF_TUNING: Mapping[str, Any] = {
    "pipeline_name": tables.jobs.c.request["pipelineName"].as_string(),
    "template_uri": tables.jobs.c.request["templateUri"].as_string(),
    "state": tables.jobs.c.state,
}
# Clients are told that such a job waits by one word, whatever it waits for.
_STATE = sa.case((tables.jobs.c.state == "QUEUED", "PENDING"), else_=tables.jobs.c.state)
_OF_BATCH: Mapping[str, Any] = {
    "model_display_name": tables.jobs.c.request["modelDisplayName"].as_string(),
    "state": _STATE,
}
_OF_DATASET: Mapping[str, Any] = {
    "repository": tables.jobs.c.request[("codebaseSource", "repository")].as_string(),
    "state": _STATE,
}
_OF_KIND: Mapping[JobKind, Mapping[str, Any]] = {"tuning": _OF_TUNING, "batch": _OF_BATCH, "dataset": _OF_DATASET}
_NAMES = {"tuning": JobName, "batch": BatchJobName, "dataset": DatasetJobName}
_PLANS: Mapping[JobKind, Any] = {"tuning": TuningPlan, "batch": BatchPlan, "dataset": DatasetPlan}
_FIELDS: Mapping[JobKind, Fields] = {
    kind: Fields(key=tables.jobs.c.sequence, columns={**_COLUMNS, **own}, labels=tables.job_labels)
    for kind, own in _OF_KIND.items()
}


@dataclass(frozen=True, slots=True)
class Task:
    """One step of a job. `attempt` is the newest try, 0 before the first."""

    name: str
    state: TaskState
    attempt: int
    handle: str | None
    start_time: float | None
    end_time: float | None
    error: Mapping[str, Any] | None


_TASK = [tables.tasks.c[each.name] for each in fields(Task)]


@dataclass(frozen=True, slots=True)
class Job:
    """A job and where it stands."""

    kind: JobKind
    id: str
    """Unique in this installation; names the job's folder."""
    job_id: str
    """As its client calls it, unique in the project."""
    project: str
    location: str
    display_name: str
    owner: str
    """Name of the key that submitted it; empty where none was wanted."""
    pool: str
    units: int
    request: Mapping[str, Any]
    """What its client sent that is only given back; empty for a job of the command line."""
    state: JobState
    wanted: Wanted
    """What was asked for and has not happened yet: `pause` or `cancel`; else `run`."""
    planned: TuningPlan | BatchPlan | DatasetPlan
    """By the job's kind."""
    error: Mapping[str, Any] | None
    model: str | None
    """Resource name of the tuned model, once there is one."""
    create_time: float
    start_time: float | None
    end_time: float | None
    update_time: float
    tasks: tuple[Task, ...]

    @property
    def name(self) -> str:
        """The resource name."""
        return str(_NAMES[self.kind](self.project, self.location, self.job_id))

    @property
    def plan(self) -> TuningPlan:
        """Of a tuning job."""
        assert isinstance(self.planned, TuningPlan), f"{self.id} is no tuning job"
        return self.planned

    @property
    def batch(self) -> BatchPlan:
        """Of a batch prediction job."""
        assert isinstance(self.planned, BatchPlan), f"{self.id} is no batch prediction job"
        return self.planned

    @property
    def dataset(self) -> DatasetPlan:
        """Of a job that builds a data set."""
        assert isinstance(self.planned, DatasetPlan), f"{self.id} builds no data set"
        return self.planned

    def task(self, name: str) -> Task:
        return next(t for t in self.tasks if t.name == name)


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a job's state (`task` is None) or of one of its tasks'."""

    number: int
    time: float
    task: str | None
    attempt: int | None
    state_before: str | None
    state: str
    message: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a task, as it was left."""

    task: str
    number: int
    start_time: float
    end_time: float | None
    outcome: str | None
    error: Mapping[str, Any] | None
    step: int | None
    """How far it got."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """An attempt that has tuned a model: the job's id, the attempt's number."""

    job_id: str
    number: int


@dataclass(frozen=True, slots=True)
class PoolUse:
    """What jobs make of a pool."""

    used: int
    """Devices that are held."""
    running: int
    """Jobs that hold them."""
    waiting: int
    """Jobs in the queue."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client's request for a job says beside the plan."""

    location: str = ""
    """Where the pipeline runs (S23); the plan's own location if empty."""
    display_name: str = ""
    request: Mapping[str, Any] | None = None
    """Parts of the body that are only given back."""
    owner: str = ""
    """Name of the key that asks."""
    body_sha256: str = ""
    """Of the body; two requests with one are the same request. Made from the plan's spec if empty."""
    units: int = 0
    """Devices of its pool that the job holds while it runs (S72)."""
    deploys: bool = False
    """Whether the tuned model is put on an endpoint of its own."""
    tensorboard: str = ""
    """Id of the tensorboard that gets an experiment for this job."""


HERE = Asked()
"""A job of the command line."""


class Jobs(Database):
    """Jobs as their clients see them."""

    # What clients ask.

    def create_job(
        self,
        plan: TuningPlan,
        *,
        job_id: str | None = None,
        asked: Asked = HERE,
        now_s: float | None = None,
    ) -> Job:
        """A new tuning job, QUEUED; or the one that the same request has made before.

        AlreadyExists if the project has a job of that id that was asked for with another body, or in another region.
        """
        now = self._now(now_s)
        project = plan.spec.project
        chosen = resources.check_job_id(job_id or resources.new_job_id(now, secrets.token_hex(3)))
        values = {
            "kind": "tuning",
            "project": project,
            "location": asked.location or plan.spec.location,
            "job_id": chosen,
            "display_name": asked.display_name or plan.display_name,
            "plan": plan.model_dump(mode="json"),
            "body_sha256": asked.body_sha256 or _spec_sha256(plan),
            "pool": plan.spec.accelerator_type,
        }
        return self._create(values, pipeline.tasks_for(deploys=asked.deploys), asked, now)

    def create_batch_job(
        self, plan: BatchPlan, *, project: str, job_id: str, asked: Asked, pool: str, now_s: float | None = None
    ) -> Job:
        """A new batch prediction job, QUEUED; or the one of that id. AlreadyExists as `create_job`."""
        values = {
            "kind": "batch",
            "project": project,
            "location": asked.location,
            "job_id": job_id,
            "display_name": asked.display_name,
            "plan": plan.model_dump(mode="json"),
            "body_sha256": asked.body_sha256,
            "pool": pool,
        }
        return self._create(values, pipeline.BATCH_TASKS, asked, self._now(now_s))

    def create_dataset_job(
        self, plan: DatasetPlan, *, project: str, job_id: str, asked: Asked, now_s: float | None = None
    ) -> Job:
        """A new job that builds a data set, QUEUED; or the one of that id. AlreadyExists as `create_job`."""
        values = {
            "kind": "dataset",
            "project": project,
            "location": asked.location,
            "job_id": job_id,
            "display_name": asked.display_name,
            "plan": plan.model_dump(mode="json"),
            "body_sha256": asked.body_sha256,
            "pool": "",
        }
        return self._create(values, pipeline.DATASET_TASKS, asked, self._now(now_s))

    def _create(self, values: Mapping[str, Any], tasks: Sequence[str], asked: Asked, now_s: float) -> Job:
        """The job of these values, or the one of its id that the same request has made before."""
        key = resources.job_key(values["project"], values["job_id"])
        new = {
            "id": key,
            "state": "QUEUED",
            "wanted": "run",
            "request": dict(asked.request) if asked.request is not None else None,
            "owner": asked.owner,
            "units": asked.units,
            "create_time": now_s,
            "update_time": now_s,
        }
        try:
            with self._writing() as connection:
                made = sa.insert(tables.jobs).values({**values, **new}).returning(tables.jobs.c.sequence)
                sequence = connection.execute(made).scalar_one()
                connection.execute(sa.insert(tables.tasks), [_new_task(sequence, i, n) for i, n in enumerate(tasks)])
                if labels := (asked.request or {}).get("labels"):
                    rows = [{"job": sequence, "key": key, "value": value} for key, value in labels.items()]
                    connection.execute(sa.insert(tables.job_labels), rows)
                add_event(connection, sequence, now_s, "QUEUED", message="created")
                if asked.tensorboard:
                    add_job_experiment(
                        connection,
                        job_of(connection, sequence),
                        asked.tensorboard,
                        display_name=values["plan"]["display_name"],
                        evaluates=values["plan"]["spec"]["evaluation_data"] is not None,
                    )
        except exc.IntegrityError:
            return self._job_made_before(key, values["location"], values["body_sha256"])
        return self.job(key)

    def job(self, job_id: str) -> Job:
        """The job of that id (its key, for a project other than `local`: resources.job_key)."""
        with self._reading() as connection:
            return read_job(connection, job_id)

    def jobs(self, kind: JobKind | None = None, project: str | None = None) -> list[Job]:
        """All jobs, or those of a kind and of a project, newest first."""
        said = (tables.jobs.c.kind, kind), (tables.jobs.c.project, project)
        wanted = [column == value for column, value in said if value is not None]
        query = sa.select(tables.jobs).where(*wanted).order_by(tables.jobs.c.sequence.desc())
        with self._reading() as connection:
            rows = connection.execute(query).all()
            of_these = tables.tasks.c.job.in_(sa.select(tables.jobs.c.sequence).where(*wanted))
            tasks = _tasks_of(connection, of_these)
        return [_as_job(row, tasks[row.sequence]) for row in rows]

    def list_jobs(self, project: str, location: str, query: Query, kind: JobKind = "tuning") -> Page[Job]:
        """One page of a project's jobs of that kind in a location, or EVERYWHERE."""
        wanted = lies_in(tables.jobs, project, location), tables.jobs.c.kind == kind
        with self._reading() as connection:
            page = find(connection, sa.select(tables.jobs).where(*wanted), _FIELDS[kind], query)
            tasks = _tasks_of(connection, tables.tasks.c.job.in_([row.sequence for row in page.rows]))
        return Page([_as_job(row, tasks[row.sequence]) for row in page.rows], page.next_position)

    def count_jobs(self) -> dict[tuple[JobKind, str], int]:
        """How many jobs of each kind are in each state that one is in."""
        of = tables.jobs.c.kind, tables.jobs.c.state
        query = sa.select(*of, sa.func.count()).group_by(*of).order_by(*of)
        with self._reading() as connection:
            return {(row[0], row[1]): row[2] for row in connection.execute(query)}

    def pool_use(self, pool: str) -> PoolUse:
        """How much of a pool jobs hold, and how many wait for it."""
        of_pool = tables.jobs.c.pool == pool
        holding = tables.jobs.c.state.in_(resources.HOLDING)
        count = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(tables.jobs.c.units), 0)).where(
            of_pool, holding
        )
        queued = sa.select(sa.func.count()).where(of_pool, tables.jobs.c.state == "QUEUED")
        with self._reading() as connection:
            running, used = connection.execute(count).one()
            return PoolUse(int(used), int(running), int(connection.execute(queued).scalar_one()))

    def attempts(self, job_id: str) -> list[Attempt]:
        """Every try of every task of a job, in order."""
        of, tasks = tables.attempts.c, tables.tasks.c
        columns = tasks.name, of.attempt, of.start_time, of.end_time, of.outcome, of.error, of.step
        query = (
            sa.select(*columns)
            .join(tables.tasks, tasks.number == of.task)
            .join(tables.jobs, tables.jobs.c.sequence == tasks.job)
            .where(tables.jobs.c.id == job_id)
            .order_by(tasks.position, of.attempt)
        )
        with self._reading() as connection:
            return [Attempt(*row) for row in connection.execute(query)]

    def last_worker(self) -> str | None:
        """Who began the newest attempt of all: a process's identity. None before the first one."""
        query = sa.select(tables.attempts.c.worker).order_by(tables.attempts.c.start_time.desc()).limit(1)
        with self._reading() as connection:
            return connection.execute(query).scalar()

    def last_tuned(self) -> Tuned | None:
        """The newest attempt that has tuned a model."""
        query = (
            sa.select(tables.jobs.c.id, tables.tasks.c.attempt)
            .join(tables.jobs, tables.jobs.c.sequence == tables.tasks.c.job)
            .where(tables.tasks.c.name == pipeline.TUNE, tables.tasks.c.state == "SUCCEEDED")
            .order_by(tables.tasks.c.number.desc())
            .limit(1)
        )
        with self._reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else Tuned(*row)

    def queued_before(self, jobs: Sequence[Job]) -> dict[str, int]:
        """Of each of them that waits in the queue of its pool, how many wait before it; by the jobs' ids."""
        places: dict[str, int] = {}
        for pool in {job.pool for job in jobs if job.state == "QUEUED"}:
            waiting = sa.select(tables.jobs.c.id).where(tables.jobs.c.pool == pool, tables.jobs.c.state == "QUEUED")
            with self._reading() as connection:
                ids = connection.execute(waiting.order_by(tables.jobs.c.sequence)).scalars().all()
            places |= {job_id: place for place, job_id in enumerate(ids)}
        return {job.id: places[job.id] for job in jobs if job.id in places}

    def projects(self) -> list[str]:
        """Projects that have a job, a model, an endpoint or a key in force."""
        named = [sa.select(table.c.project) for table in (tables.jobs, tables.models, tables.endpoints)]
        keys = sa.select(tables.keys.c.project).where(
            tables.keys.c.revoke_time.is_(None), tables.keys.c.project.is_not(None)
        )
        with self._reading() as connection:
            return sorted(connection.execute(sa.union(*named, keys)).scalars())

    def delete_jobs(self, job_ids: Sequence[str], *, now_s: float | None = None) -> list[Job]:
        """Forgets jobs that have come to rest, all or none; what they were. Their folders are the caller's to remove.

        FailedPrecondition if one is not at rest. The models that they made stay.
        """
        with self._writing() as connection:
            jobs = [read_job(connection, job_id) for job_id in dict.fromkeys(job_ids)]
            for job in jobs:
                if job.state not in resources.RESTING:
                    raise FailedPrecondition(f"job {job.job_id} is {job.state}; cancel it before deleting it")
            for job in jobs:
                _forget(connection, job_row(connection, job.id))
        return jobs

    def events(self, job_id: str, after: int = 0) -> list[Event]:
        """What has happened to a job and its tasks since event number `after`, oldest first."""
        with self._reading() as connection:
            sequence = job_row(connection, job_id).sequence
            query = sa.select(tables.events).where(tables.events.c.job == sequence, tables.events.c.number > after)
            rows = connection.execute(query.order_by(tables.events.c.number)).all()
        return [
            Event(row.number, row.time, row.task, row.attempt, row.state_before, row.state, row.message) for row in rows
        ]

    def request_cancel(self, job_id: str, *, now_s: float | None = None) -> Job:
        """CANCELLED at once if nothing of the job runs, else CANCELLING until its worker has stopped it.

        Twice is once. FailedPrecondition if it has succeeded or failed.
        """
        now = self._now(now_s)
        with self._writing() as connection:
            row = job_row(connection, job_id)
            if row.state in ("SUCCEEDED", "FAILED"):
                raise FailedPrecondition(f"job {job_id} has already ended ({row.state}); there is nothing to cancel")
            if row.state in ("CANCELLING", "CANCELLED"):
                return read_job(connection, job_id)
            change_job(connection, row, "CANCELLING", now, "cancel requested", wanted="cancel")
            if not is_running(connection, row.sequence):
                cancel_pending_tasks(connection, row.sequence, now)
                change_job(connection, job_row(connection, job_id), "CANCELLED", now, **cancelled(now))
            return read_job(connection, job_id)

    def request_pause(self, job_id: str, *, now_s: float | None = None) -> Job:
        """PAUSED at once if nothing of the job runs, else as soon as its task has saved and left.

        Twice is once. FailedPrecondition if the job has ended or is being cancelled.
        """
        now = self._now(now_s)
        with self._writing() as connection:
            row = job_row(connection, job_id)
            if row.state == "CANCELLING" or row.state in resources.ENDED:
                raise FailedPrecondition(f"job {job_id} is {row.state} and cannot be paused")
            if row.state == "PAUSED":
                return read_job(connection, job_id)
            if is_running(connection, row.sequence):
                update_job(connection, row.sequence, now, wanted="pause")
            else:
                change_job(connection, row, "PAUSED", now, "paused")
            return read_job(connection, job_id)

    def resume_job(self, job_id: str, *, now_s: float | None = None) -> Job:
        """A paused or failed job, QUEUED again to go on where it stopped; a pause still under way is taken back.

        FailedPrecondition if the job has succeeded or was cancelled.
        """
        now = self._now(now_s)
        with self._writing() as connection:
            row = job_row(connection, job_id)
            if row.state in ("SUCCEEDED", "CANCELLED", "CANCELLING"):
                raise FailedPrecondition(f"job {job_id} is {row.state}; start a new job instead")
            if row.state in ("PAUSED", "FAILED"):
                _retry_failed_task(connection, row.sequence, now)
                change_job(connection, row, "QUEUED", now, "resumed", wanted="run", error=None, end_time=None)
            else:
                update_job(connection, row.sequence, now, wanted="run")
            return read_job(connection, job_id)

    def _job_made_before(self, key: str, location: str, body_sha256: str) -> Job:
        with self._reading() as connection:
            row = job_row(connection, key)
            if row.location != location:
                raise AlreadyExists(
                    f"job {row.job_id} of project {row.project} exists in {row.location}; choose another id, or send "
                    "the same request there to get the same job",
                    job=row.job_id,
                )
            if row.body_sha256 != body_sha256:
                raise AlreadyExists(
                    f"job {row.job_id} of project {row.project} exists and was asked for with other settings; "
                    "choose another id, or send the same request to get the same job",
                    job=row.job_id,
                )
            return read_job(connection, key)


def _forget(connection: sa.Connection, job: Any) -> None:
    of_job = sa.select(tables.tasks.c.number).where(tables.tasks.c.job == job.sequence)
    connection.execute(sa.delete(tables.attempts).where(tables.attempts.c.task.in_(of_job)))
    for table in (tables.tasks, tables.events, tables.job_labels):
        connection.execute(sa.delete(table).where(table.c.job == job.sequence))
    forget_job_experiments(connection, job)
    made = tables.model_versions.c.job == job.sequence
    connection.execute(sa.update(tables.model_versions).where(made).values(job=None))
    connection.execute(sa.delete(tables.jobs).where(tables.jobs.c.sequence == job.sequence))


def _spec_sha256(plan: TuningPlan) -> str:
    """Of what the caller asked for, without the defaults: a later version may have other ones, or more fields."""
    asked = plan.spec.model_dump(mode="json", exclude_defaults=True)
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _new_task(job: int, position: int, name: str) -> dict[str, Any]:
    state: TaskState = "PENDING" if position == 0 else "NOT_TRIGGERED"
    counts = {"attempt": 0, "tries": 0, "furthest_step": 0}
    return {"job": job, "position": position, "name": name, "state": state, **counts}


# Reading.


def job_row(connection: sa.Connection, job_id: str) -> Any:
    row = connection.execute(sa.select(tables.jobs).where(tables.jobs.c.id == job_id)).first()
    if row is None:
        raise NotFound(f"no job is called {job_id}; `tunesmith jobs list` shows those there are", name=job_id)
    return row


def job_of(connection: sa.Connection, sequence: int) -> Any:
    return connection.execute(sa.select(tables.jobs).where(tables.jobs.c.sequence == sequence)).one()


def task_row(connection: sa.Connection, job: int, name: str) -> Any:
    return connection.execute(
        sa.select(tables.tasks).where(tables.tasks.c.job == job, tables.tasks.c.name == name)
    ).one()


def read_job(connection: sa.Connection, job_id: str) -> Job:
    row = job_row(connection, job_id)
    return _as_job(row, _tasks_of(connection, tables.tasks.c.job == row.sequence)[row.sequence])


def _tasks_of(connection: sa.Connection, wanted: Any) -> Mapping[int, list[Task]]:
    """Each job's tasks that are wanted, in their order."""
    query = sa.select(tables.tasks.c.job, *_TASK).where(wanted).order_by(tables.tasks.c.job, tables.tasks.c.position)
    tasks: defaultdict[int, list[Task]] = defaultdict(list)
    for job, *task in connection.execute(query).all():
        tasks[job].append(Task(*task))
    return tasks


def _as_job(row: Any, tasks: Sequence[Task]) -> Job:
    return Job(
        kind=row.kind,
        id=row.id,
        job_id=row.job_id,
        project=row.project,
        location=row.location,
        display_name=row.display_name,
        owner=row.owner,
        pool=row.pool,
        units=row.units,
        request=row.request or {},
        state=row.state,
        wanted=row.wanted,
        planned=_PLANS[row.kind].model_validate(row.plan),
        error=row.error,
        model=row.model,
        create_time=row.create_time,
        start_time=row.start_time,
        end_time=row.end_time,
        update_time=row.update_time,
        tasks=tuple(tasks),
    )


def is_running(connection: sa.Connection, job: int) -> bool:
    query = sa.select(tables.tasks.c.number).where(tables.tasks.c.job == job, tables.tasks.c.state == "RUNNING")
    return connection.execute(query).first() is not None


def _retry_failed_task(connection: sa.Connection, job: int, now_s: float) -> None:
    failed = tables.tasks.c.job == job, tables.tasks.c.state == "FAILED"
    for task in connection.execute(sa.select(tables.tasks).where(*failed)).all():
        change_task(connection, task, "PENDING", now_s, "resumed", error=None)
    connection.execute(sa.update(tables.tasks).where(tables.tasks.c.job == job).values(tries=0))


def cancel_pending_tasks(connection: sa.Connection, job: int, now_s: float) -> None:
    pending = tables.tasks.c.job == job, tables.tasks.c.state == "PENDING"
    for task in connection.execute(sa.select(tables.tasks).where(*pending)).all():
        change_task(connection, task, "CANCELLED", now_s, end_time=now_s)


def cancelled(now_s: float) -> dict[str, Any]:
    error = {
        "status": "CANCELLED",
        "message": "cancelled on request",
        "retryable": False,
        "details": {},
        "exit_code": 3,
    }
    return {"message": "cancelled on request", "error": error, "end_time": now_s, "wanted": "run"}


def change_job(
    connection: sa.Connection, job: Any, state: JobState, now_s: float, message: str = "", **values: Any
) -> None:
    """From the state that the row says to another; the caller's transaction writes."""
    before = cast(JobState, job.state)
    assert state in resources.JOB_TRANSITIONS[before], f"a job may not go from {before} to {state}"
    update_job(connection, job.sequence, now_s, state=state, **values)
    add_event(connection, job.sequence, now_s, state, before, message=message)


def change_task(
    connection: sa.Connection, task: Any, state: TaskState, now_s: float, message: str = "", **values: Any
) -> None:
    before = cast(TaskState, task.state)
    assert state in resources.TASK_TRANSITIONS[before], f"task {task.name} may not go from {before} to {state}"
    connection.execute(
        sa.update(tables.tasks).where(tables.tasks.c.number == task.number).values(state=state, **values)
    )
    add_event(connection, task.job, now_s, state, before, task, message)


def update_job(connection: sa.Connection, sequence: int, now_s: float, **values: Any) -> None:
    connection.execute(
        sa.update(tables.jobs).where(tables.jobs.c.sequence == sequence).values(update_time=now_s, **values)
    )


def add_event(
    connection: sa.Connection,
    job: int,
    now_s: float,
    state: str,
    before: str | None = None,
    task: Any = None,
    message: str = "",
) -> None:
    connection.execute(
        sa.insert(tables.events).values(
            job=job,
            time=now_s,
            task=None if task is None else task.name,
            attempt=None if task is None else task.attempt,
            state_before=before,
            state=state,
            message=message,
        )
    )
