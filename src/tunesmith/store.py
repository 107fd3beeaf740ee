"""All tables, all queries, all state changes: the only channel between those who ask for jobs and those who run them.

In: plans, requests (cancel, pause, resume) and what a worker has seen. Out: frozen rows (Job, Task, Model, Claim,
Event). Times are seconds since 1970, UTC. Every change of a state is one that `resources` allows and is written in
one transaction with its event. A worker's write counts only while the attempt and the lease are its own (`Aborted`
otherwise), so one that was believed dead spoils nothing when it wakes. What exists once (a job of an id, a model of
a job) is guarded by a unique constraint, not by a look beforehand.

SQLite in the home by default; nothing here is particular to it but `_configure_sqlite`. A database that does not
answer is Unavailable: the same call may be repeated. Opens no job's folder, starts no process.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy import exc

from tunesmith import pipeline, resources
from tunesmith.errors import Aborted, AlreadyExists, FailedPrecondition, NotFound, Unavailable
from tunesmith.pipeline import Next, Outcome, Settled, Wanted
from tunesmith.resources import JobName, JobState, ModelName, TaskState
from tunesmith.settings import Settings
from tunesmith.spec import TuningPlan

SCHEMA = "0001"
"""The migration that this code is written for."""

BUSY_TIMEOUT_S = 10.0
"""How long a statement waits for another process's transaction; ours take milliseconds."""

FIRST_VERSION = "1"

_metadata = sa.MetaData()

# One row a job. `id` is its key in this installation, `job_id` what its client called it.
_jobs = sa.Table(
    "jobs",
    _metadata,
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("location", sa.Text, nullable=False),
    sa.Column("job_id", sa.Text, nullable=False),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("wanted", sa.Text, nullable=False),
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("body_sha256", sa.Text, nullable=False),
    sa.Column("error", sa.JSON(none_as_null=True)),
    sa.Column("model", sa.Text),
    sa.Column("create_time", sa.Double, nullable=False),
    sa.Column("start_time", sa.Double),
    sa.Column("end_time", sa.Double),
    sa.Column("update_time", sa.Double, nullable=False),
    sa.UniqueConstraint("project", "job_id"),
    sa.Index("jobs_by_state", "state", "sequence"),
)

# One row a task of a job. `attempt` counts all tries and names their folders, `tries` those since it last got on.
_tasks = sa.Table(
    "tasks",
    _metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("job", sa.Integer, sa.ForeignKey("jobs.sequence"), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("furthest_step", sa.Integer, nullable=False),
    sa.Column("worker", sa.Text),
    sa.Column("lease_until", sa.Double),
    sa.Column("handle", sa.Text),
    sa.Column("error", sa.JSON(none_as_null=True)),
    sa.Column("start_time", sa.Double),
    sa.Column("end_time", sa.Double),
    sa.UniqueConstraint("job", "name"),
    sa.Index("tasks_by_state", "state", "job", "position"),
)

_attempts = sa.Table(
    "attempts",
    _metadata,
    sa.Column("task", sa.Integer, sa.ForeignKey("tasks.number"), primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("worker", sa.Text, nullable=False),
    sa.Column("start_time", sa.Double, nullable=False),
    sa.Column("end_time", sa.Double),
    sa.Column("outcome", sa.Text),
    sa.Column("error", sa.JSON(none_as_null=True)),
    sa.Column("step", sa.Integer),
)

_models = sa.Table(
    "models",
    _metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("location", sa.Text, nullable=False),
    sa.Column("version_id", sa.Text, nullable=False),
    sa.Column("job", sa.Integer, sa.ForeignKey("jobs.sequence"), nullable=False, unique=True),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("base_model", sa.Text, nullable=False),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("lineage", sa.JSON, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("create_time", sa.Double, nullable=False),
)

_events = sa.Table(
    "events",
    _metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("job", sa.Integer, sa.ForeignKey("jobs.sequence"), nullable=False),
    sa.Column("time", sa.Double, nullable=False),
    sa.Column("task", sa.Text),
    sa.Column("attempt", sa.Integer),
    sa.Column("state_before", sa.Text),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Index("events_by_job", "job", "number"),
)


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


@dataclass(frozen=True, slots=True)
class Job:
    """A tuning job and where it stands."""

    id: str
    """Unique in this installation; names the job's folder."""
    job_id: str
    """As its client calls it, unique in the project."""
    project: str
    location: str
    display_name: str
    state: JobState
    wanted: Wanted
    """What was asked for and has not happened yet: `pause` or `cancel`; else `run`."""
    plan: TuningPlan
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
        return str(JobName(self.project, self.location, self.job_id))

    def task(self, name: str) -> Task:
        return next(t for t in self.tasks if t.name == name)


@dataclass(frozen=True, slots=True)
class Model:
    """A tuned model's version, as registered; never edited."""

    name: str
    """projects/P/locations/L/models/N"""
    version_id: str
    display_name: str
    folder: Path
    job: str
    """Id of the job that made it."""
    base_model: str
    labels: Mapping[str, str]
    lineage: Mapping[str, Any]
    metrics: Mapping[str, Any]
    create_time: float


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


def open_store(settings: Settings, clock: Callable[[], float] = time.time) -> Store:
    """The store of this installation; its database is made, or brought up to this code, if need be.

    FailedPrecondition if the database was written by a later version.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(f"sqlite:///{settings.database}", connect_args={"timeout": BUSY_TIMEOUT_S})
    _configure_sqlite(engine)
    store = Store(engine, settings, clock)
    store.migrate()
    return store


class Store:
    """The database of one installation. Any number of processes and threads may have one open on it."""

    def __init__(self, engine: sa.Engine, settings: Settings, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._models_folder = settings.models
        self._clock = clock

    def close(self) -> None:
        self._engine.dispose()

    def migrate(self) -> None:
        """Runs the migrations that the database lacks, if any, in one transaction."""
        with self._reading() as connection:
            if _schema(connection) == SCHEMA:
                return
        with self._writing() as connection:
            found = _schema(connection)
            if found is not None and found > SCHEMA:
                raise FailedPrecondition(
                    f"{self._engine.url} was written by a later Tunesmith (schema {found}, this one knows {SCHEMA}); "
                    "install that version again, or give another --home"
                )
            if found != SCHEMA:
                _upgrade(connection)

    # What clients ask.

    def create_job(self, plan: TuningPlan, *, job_id: str | None = None, now_s: float | None = None) -> Job:
        """A new job, QUEUED; or the one that the same request has made before.

        AlreadyExists if the project has a job of that id with another spec.
        """
        now = self._now(now_s)
        project = plan.spec.project
        chosen = resources.check_job_id(job_id or resources.new_job_id(now, secrets.token_hex(3)))
        key = resources.job_key(project, chosen)
        body = _body_sha256(plan)
        try:
            with self._writing() as connection:
                sequence = connection.execute(
                    sa.insert(_jobs)
                    .values(
                        id=key,
                        project=project,
                        location=plan.spec.location,
                        job_id=chosen,
                        display_name=plan.display_name,
                        state="QUEUED",
                        wanted="run",
                        plan=plan.model_dump(mode="json"),
                        body_sha256=body,
                        create_time=now,
                        update_time=now,
                    )
                    .returning(_jobs.c.sequence)
                ).scalar_one()
                connection.execute(sa.insert(_tasks), [_new_task(sequence, i) for i in range(len(pipeline.TASKS))])
                _add_event(connection, sequence, now, "QUEUED", message="created")
        except exc.IntegrityError:
            return self._job_made_before(key, body)
        return self.job(key)

    def job(self, job_id: str) -> Job:
        """The job of that id (its key, for a project other than `local`: resources.job_key)."""
        with self._reading() as connection:
            return _read_job(connection, job_id)

    def jobs(self) -> list[Job]:
        """All jobs, newest first."""
        with self._reading() as connection:
            rows = connection.execute(sa.select(_jobs).order_by(_jobs.c.sequence.desc())).all()
            tasks = connection.execute(sa.select(_tasks).order_by(_tasks.c.job, _tasks.c.position)).all()
        of_job: dict[int, list[Any]] = {}
        for task in tasks:
            of_job.setdefault(task.job, []).append(task)
        return [_as_job(row, of_job.get(row.sequence, [])) for row in rows]

    def events(self, job_id: str, after: int = 0) -> list[Event]:
        """What has happened to a job and its tasks since event number `after`, oldest first."""
        with self._reading() as connection:
            sequence = _job_row(connection, job_id).sequence
            query = sa.select(_events).where(_events.c.job == sequence, _events.c.number > after)
            rows = connection.execute(query.order_by(_events.c.number)).all()
        return [
            Event(row.number, row.time, row.task, row.attempt, row.state_before, row.state, row.message) for row in rows
        ]

    def request_cancel(self, job_id: str, *, now_s: float | None = None) -> Job:
        """CANCELLED at once if nothing of the job runs, else CANCELLING until its worker has stopped it.

        Twice is once. FailedPrecondition if it has succeeded or failed.
        """
        now = self._now(now_s)
        with self._writing() as connection:
            row = _job_row(connection, job_id, lock=True)
            if row.state in ("SUCCEEDED", "FAILED"):
                raise FailedPrecondition(f"job {job_id} has already ended ({row.state}); there is nothing to cancel")
            if row.state in ("CANCELLING", "CANCELLED"):
                return _read_job(connection, job_id)
            _change_job(connection, row, "CANCELLING", now, "cancel requested", wanted="cancel")
            if not _is_running(connection, row.sequence):
                _cancel_pending_tasks(connection, row.sequence, now)
                _change_job(connection, _job_row(connection, job_id), "CANCELLED", now, **_cancelled(now))
            return _read_job(connection, job_id)

    def request_pause(self, job_id: str, *, now_s: float | None = None) -> Job:
        """PAUSED at once if nothing of the job runs, else as soon as its task has saved and left.

        Twice is once. FailedPrecondition if the job has ended or is being cancelled.
        """
        now = self._now(now_s)
        with self._writing() as connection:
            row = _job_row(connection, job_id, lock=True)
            if row.state == "CANCELLING" or row.state in resources.ENDED:
                raise FailedPrecondition(f"job {job_id} is {row.state} and cannot be paused")
            if row.state == "PAUSED":
                return _read_job(connection, job_id)
            if _is_running(connection, row.sequence):
                _update_job(connection, row.sequence, now, wanted="pause")
            else:
                _change_job(connection, row, "PAUSED", now, "paused")
            return _read_job(connection, job_id)

    def resume_job(self, job_id: str, *, now_s: float | None = None) -> Job:
        """A paused or failed job, QUEUED again to go on where it stopped; a pause still under way is taken back.

        FailedPrecondition if the job has succeeded or was cancelled.
        """
        now = self._now(now_s)
        with self._writing() as connection:
            row = _job_row(connection, job_id, lock=True)
            if row.state in ("SUCCEEDED", "CANCELLED", "CANCELLING"):
                raise FailedPrecondition(f"job {job_id} is {row.state}; start a new job instead")
            if row.state in ("PAUSED", "FAILED"):
                _retry_failed_task(connection, row.sequence, now)
                _change_job(connection, row, "QUEUED", now, "resumed", wanted="run", error=None, end_time=None)
            else:
                _update_job(connection, row.sequence, now, wanted="run")
            return _read_job(connection, job_id)

    def models(self) -> list[Model]:
        """All registered models, newest first."""
        with self._reading() as connection:
            query = _select_models().order_by(_models.c.create_time.desc(), _models.c.id)
            return [self._as_model(row) for row in connection.execute(query)]

    def model(self, name: str) -> Model:
        """The model of that resource name (a version behind it is left off), or of that bare id."""
        with self._reading() as connection:
            return self._read_model(connection, name)

    def delete_model(self, name: str) -> Model:
        """Takes a model out of the registry, then removes its files; what it was."""
        with self._writing() as connection:
            model = self._read_model(connection, name)
            connection.execute(sa.delete(_models).where(_models.c.id == resources.parse_model_name(model.name).id))
        shutil.rmtree(model.folder.parent, ignore_errors=True)
        return model

    # What workers do.

    def claim(
        self,
        worker: str,
        *,
        now_s: float,
        lease_s: float,
        only_job: str | None = None,
        dead: Sequence[str] = (),
    ) -> Claim | None:
        """The next task for this worker, oldest job first; None if there is none.

        First an attempt whose worker is among the `dead` or has let its lease run out: it stays the same attempt,
        and what it started may still run. Then a task that waits: a new attempt.
        """
        with self._writing() as connection:
            lease = {"worker": worker, "lease_until": now_s + lease_s}
            taken = _take(connection, _orphan(now_s, lease_s, only_job, dead), lease)
            if taken is not None:
                job = _job_of(connection, taken.job)
                message = f"taken over by worker {worker}"
                _add_event(connection, job.sequence, now_s, "RUNNING", "RUNNING", taken, message)
                return Claim(job.id, taken.name, taken.attempt, worker, taken.handle)
            begun = {"state": "RUNNING", "attempt": _tasks.c.attempt + 1, "start_time": now_s, "handle": None}
            taken = _take(connection, _pending(only_job), lease | begun | {"end_time": None, "error": None})
            if taken is None:
                return None
            job = _job_of(connection, taken.job)
            _begin(connection, job, taken, worker, now_s)
            return Claim(job.id, taken.name, taken.attempt, worker, None)

    def started(self, claim: Claim, handle: str, *, now_s: float) -> None:
        """Notes what runs the attempt; the job is RUNNING from now on. Aborted if the attempt is not this worker's."""
        with self._writing() as connection:
            job = _job_row(connection, claim.job, lock=True)
            _write_owned(connection, job.sequence, claim, handle=handle)
            if job.state == "PENDING":
                _change_job(connection, job, "RUNNING", now_s, start_time=job.start_time or now_s)

    def heartbeat(self, claim: Claim, *, now_s: float, lease_s: float) -> None:
        """Renews the lease; Aborted if the attempt is not this worker's any more."""
        with self._writing() as connection:
            job = _job_row(connection, claim.job)
            _write_owned(connection, job.sequence, claim, lease_until=now_s + lease_s)

    def settle(self, claim: Claim, ending: Ending, *, now_s: float) -> Job:
        """Writes down how an attempt ended, and what follows: the next task, another try, or the end of the job.

        Aborted if the attempt is not this worker's (any more): somebody else has its task, or it is settled.
        """
        with self._writing() as connection:
            job = _job_row(connection, claim.job, lock=True)
            _settle(connection, job, claim, ending, now_s)
            return _read_job(connection, claim.job)

    def register_model(
        self,
        claim: Claim,
        *,
        labels: Mapping[str, str],
        lineage: Mapping[str, Any],
        metrics: Mapping[str, Any],
        now_s: float,
    ) -> Model:
        """The tuned model of a job, in the same transaction as the success of its last task and of the job itself.

        Its files must lie in `model_folder` already. Aborted as in `settle`.
        """
        with self._writing() as connection:
            job = _job_row(connection, claim.job, lock=True)
            name = _model_name(job)
            _settle(connection, job, claim, Ending("succeeded"), now_s, model=str(name))
            connection.execute(
                sa.insert(_models).values(
                    id=name.id,
                    project=name.project,
                    location=name.location,
                    version_id=FIRST_VERSION,
                    job=job.sequence,
                    display_name=job.display_name,
                    base_model=job.plan["base_model"],
                    labels=dict(labels),
                    lineage=dict(lineage),
                    metrics=dict(metrics),
                    create_time=now_s,
                )
            )
            return self._read_model(connection, str(name))

    def model_folder(self, job: Job) -> Path:
        """Where the files of the model that a job makes belong, whether it is registered yet or not."""
        return self._models_folder / resources.model_id(job.id, job.create_time) / FIRST_VERSION

    def model_name(self, job: Job) -> str:
        """The resource name of the model that a job makes, whether it is registered yet or not."""
        return str(ModelName(job.project, job.location, resources.model_id(job.id, job.create_time)))

    def workers(self, only_job: str | None = None) -> set[str]:
        """The workers that hold a running task (of that job)."""
        query = sa.select(_tasks.c.worker).distinct().where(_tasks.c.state == "RUNNING", _tasks.c.worker.is_not(None))
        with self._reading() as connection:
            return set(connection.execute(_of_job(query, only_job)).scalars())

    def is_idle(self) -> bool:
        """Whether there is nothing to do: no task runs, and none waits that may begin."""
        running = sa.select(_tasks.c.number).where(_tasks.c.state == "RUNNING")
        with self._reading() as connection:
            return connection.execute(sa.union_all(running, _pending(None)).limit(1)).first() is None

    # What holds it together.

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with _answering(self._engine), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """A transaction that holds SQLite's one write lock from its start: a later upgrade could find it taken."""
        writing = self._engine.execution_options(tunesmith_writes=True)
        with _answering(self._engine), writing.connect() as connection, connection.begin():
            yield connection

    def _now(self, now_s: float | None) -> float:
        return self._clock() if now_s is None else now_s

    def _job_made_before(self, key: str, body_sha256: str) -> Job:
        with self._reading() as connection:
            row = _job_row(connection, key)
            if row.body_sha256 != body_sha256:
                raise AlreadyExists(
                    f"job {row.job_id} of project {row.project} exists and was asked for with other settings; "
                    "choose another id, or send the same request to get the same job",
                    job=row.job_id,
                )
            return _read_job(connection, key)

    def _read_model(self, connection: sa.Connection, name: str) -> Model:
        wanted = None if name.isdecimal() else resources.parse_model_name(name)
        query = _select_models().where(_models.c.id == (wanted.id if wanted else name))
        if wanted:
            query = query.where(_models.c.project == wanted.project, _models.c.location == wanted.location)
        row = connection.execute(query).first()
        if row is None:
            raise NotFound(f"no model is called {name}; `tunesmith models list` shows those there are", name=name)
        return self._as_model(row)

    def _as_model(self, row: Any) -> Model:
        return Model(
            name=str(ModelName(row.project, row.location, row.id)),
            version_id=row.version_id,
            display_name=row.display_name,
            folder=self._models_folder / row.id / row.version_id,
            job=row.job_key,
            base_model=row.base_model,
            labels=row.labels,
            lineage=row.lineage,
            metrics=row.metrics,
            create_time=row.create_time,
        )


def _configure_sqlite(engine: sa.Engine) -> None:
    """WAL, so that readers never wait; every commit on disk; transactions that begin where we say so."""

    @sa.event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver itself would begin one only before the first write
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @sa.event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("tunesmith_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextlib.contextmanager
def _answering(engine: sa.Engine) -> Iterator[None]:
    """Turns a database that is locked, full, read-only or away into Unavailable."""
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
        reason = getattr(error, "orig", None) or error
        raise Unavailable(f"the database {engine.url} does not answer: {reason}; trying again may help") from error


def _schema(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def _upgrade(connection: sa.Connection) -> None:
    # Imported here: Alembic takes longer to import than everything else in this file.
    from alembic import command
    from alembic.config import Config

    alembic = Config()
    alembic.set_main_option("script_location", "tunesmith:migrations")
    alembic.set_main_option("path_separator", "os")
    alembic.attributes["connection"] = connection
    command.upgrade(alembic, SCHEMA)


def _body_sha256(plan: TuningPlan) -> str:
    """Of what the caller asked for, without the defaults: a later version may have other ones, or more fields."""
    asked = plan.spec.model_dump(mode="json", exclude_defaults=True)
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _new_task(job: int, position: int) -> dict[str, Any]:
    state: TaskState = "PENDING" if position == 0 else "NOT_TRIGGERED"
    name = pipeline.TASKS[position]
    counts = {"attempt": 0, "tries": 0, "furthest_step": 0}
    return {"job": job, "position": position, "name": name, "state": state, **counts}


# Reading.


def _job_row(connection: sa.Connection, job_id: str, lock: bool = False) -> Any:
    query = sa.select(_jobs).where(_jobs.c.id == job_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise NotFound(f"no job is called {job_id}; `tunesmith jobs list` shows those there are", name=job_id)
    return row


def _job_of(connection: sa.Connection, sequence: int) -> Any:
    return connection.execute(sa.select(_jobs).where(_jobs.c.sequence == sequence)).one()


def _task_row(connection: sa.Connection, job: int, name: str) -> Any:
    return connection.execute(sa.select(_tasks).where(_tasks.c.job == job, _tasks.c.name == name)).one()


def _read_job(connection: sa.Connection, job_id: str) -> Job:
    row = _job_row(connection, job_id)
    tasks = connection.execute(sa.select(_tasks).where(_tasks.c.job == row.sequence).order_by(_tasks.c.position))
    return _as_job(row, tasks.all())


def _as_job(row: Any, tasks: Sequence[Any]) -> Job:
    return Job(
        id=row.id,
        job_id=row.job_id,
        project=row.project,
        location=row.location,
        display_name=row.display_name,
        state=row.state,
        wanted=row.wanted,
        plan=TuningPlan.model_validate(row.plan),
        error=row.error,
        model=row.model,
        create_time=row.create_time,
        start_time=row.start_time,
        end_time=row.end_time,
        update_time=row.update_time,
        tasks=tuple(
            Task(t.name, t.state, t.attempt, t.handle, t.start_time, t.end_time, t.error)
            for t in sorted(tasks, key=lambda t: t.position)
        ),
    )


def _is_running(connection: sa.Connection, job: int) -> bool:
    query = sa.select(_tasks.c.number).where(_tasks.c.job == job, _tasks.c.state == "RUNNING")
    return connection.execute(query).first() is not None


def _select_models() -> sa.Select[Any]:
    return sa.select(_models, _jobs.c.id.label("job_key")).join(_jobs, _jobs.c.sequence == _models.c.job)


def _model_name(job: Any) -> ModelName:
    return ModelName(job.project, job.location, resources.model_id(job.id, job.create_time))


# Claiming: one statement picks a task and marks it, so that no two workers can pick the same.


def _pending(only_job: str | None) -> sa.Select[Any]:
    # A look at one job for each task in order, and not all jobs that may begin: there may be thousands of them.
    may_begin = sa.exists().where(
        _jobs.c.sequence == _tasks.c.job, _jobs.c.state.in_(resources.CLAIMABLE), _jobs.c.wanted == "run"
    )
    return _of_job(sa.select(_tasks.c.number).where(_tasks.c.state == "PENDING", may_begin), only_job)


def _orphan(now_s: float, lease_s: float, only_job: str | None, dead: Sequence[str]) -> sa.Select[Any]:
    # A lease that ends much further ahead than leases last was written before the clock was put back.
    ended = sa.or_(_tasks.c.lease_until < now_s, _tasks.c.lease_until > now_s + 10 * lease_s)
    query = sa.select(_tasks.c.number).where(
        _tasks.c.state == "RUNNING", sa.or_(ended, _tasks.c.worker.in_(dead)) if dead else ended
    )
    return _of_job(query, only_job)


def _of_job(query: sa.Select[Any], only_job: str | None) -> sa.Select[Any]:
    if only_job is None:
        return query
    return query.where(_tasks.c.job == sa.select(_jobs.c.sequence).where(_jobs.c.id == only_job).scalar_subquery())


def _take(connection: sa.Connection, candidates: sa.Select[Any], values: Mapping[str, Any]) -> Any:
    oldest = candidates.order_by(_tasks.c.job, _tasks.c.position).limit(1).with_for_update(skip_locked=True)
    statement = sa.update(_tasks).where(_tasks.c.number == oldest.scalar_subquery()).values(values)
    return connection.execute(statement.returning(*_tasks.c)).first()


def _begin(connection: sa.Connection, job: Any, task: Any, worker: str, now_s: float) -> None:
    attempt = {"task": task.number, "attempt": task.attempt, "worker": worker, "start_time": now_s}
    connection.execute(sa.insert(_attempts).values(attempt))
    _add_event(connection, job.sequence, now_s, "RUNNING", "PENDING", task, f"claimed by worker {worker}")
    if job.state == "QUEUED":
        _change_job(connection, job, "PENDING", now_s)


# Changing states.


def _write_owned(connection: sa.Connection, job: int, claim: Claim, **values: Any) -> Any:
    """Writes to a running task that is this worker's; else Aborted. The row as it is now."""
    owned = (
        _tasks.c.job == job,
        _tasks.c.name == claim.task,
        _tasks.c.state == "RUNNING",
        _tasks.c.attempt == claim.attempt,
        _tasks.c.worker == claim.worker,
    )
    row = connection.execute(sa.update(_tasks).where(*owned).values(values).returning(*_tasks.c)).first()
    if row is None:
        raise Aborted(
            f"attempt {claim.attempt} of {claim.task} of job {claim.job} is not this worker's any more; "
            "its result was not written"
        )
    return row


def _settle(
    connection: sa.Connection, job: Any, claim: Claim, ending: Ending, now_s: float, model: str | None = None
) -> None:
    task = _write_owned(connection, job.sequence, claim, lease_until=None)
    _end_attempt(connection, task, ending, now_s)
    furthest = max(task.furthest_step, ending.step)
    tries = (0 if furthest > task.furthest_step else task.tries) + ending.counts
    follows = pipeline.after(Settled(task.name, ending.outcome, ending.retryable, tries), wanted=job.wanted)
    state = _state_of_task(task.name, ending.outcome, follows)
    error = ending.error if state == "FAILED" else None
    values = {"tries": tries, "furthest_step": furthest, "worker": None, "end_time": now_s, "error": error}
    _change_task(connection, task, state, now_s, _message(ending), **values)
    if follows.task is not None and follows.task != task.name:
        _change_task(connection, _task_row(connection, job.sequence, follows.task), "PENDING", now_s)
    if follows.state is None:
        if job.state == "PENDING":
            _change_job(connection, job, "RUNNING", now_s, start_time=job.start_time or now_s)
        else:
            _update_job(connection, job.sequence, now_s)
        return
    _leave(connection, job, task, ending, follows.state, now_s, model)


def _leave(
    connection: sa.Connection, job: Any, task: Any, ending: Ending, state: JobState, now_s: float, model: str | None
) -> None:
    """The job comes to rest."""
    if state == "FAILED":
        error = _final_error(connection, task, ending)
        _change_job(connection, job, state, now_s, error["message"], error=error, wanted="run", end_time=now_s)
    elif state == "CANCELLED":
        _cancel_pending_tasks(connection, job.sequence, now_s)
        _change_job(connection, job, state, now_s, **_cancelled(now_s))
    elif state == "SUCCEEDED":
        if job.state == "PENDING":
            _change_job(connection, job, "RUNNING", now_s)
            job = _job_of(connection, job.sequence)
        _change_job(connection, job, state, now_s, wanted="run", end_time=now_s, model=model)
    else:
        _change_job(connection, job, state, now_s, wanted="run")


def _state_of_task(name: str, outcome: Outcome, follows: Next) -> TaskState:
    if outcome == "succeeded":
        return "SUCCEEDED"
    if follows.task == name:
        return "PENDING"
    return "CANCELLED" if follows.state == "CANCELLED" else "FAILED"


def _end_attempt(connection: sa.Connection, task: Any, ending: Ending, now_s: float) -> None:
    error = dict(ending.error) if ending.error is not None else None
    of_task = (_attempts.c.task == task.number, _attempts.c.attempt == task.attempt)
    values = {"end_time": now_s, "outcome": ending.outcome, "error": error, "step": ending.step}
    connection.execute(sa.update(_attempts).where(*of_task).values(values))


def _final_error(connection: sa.Connection, task: Any, ending: Ending) -> dict[str, Any]:
    """The last attempt's error, with the reasons of all that failed: a person sees whether they are the same."""
    error = dict(ending.error or {"status": "INTERNAL", "message": f"{task.name} failed", "details": {}})
    failed = _attempts.c.task == task.number, _attempts.c.outcome == "failed"
    rows = connection.execute(sa.select(_attempts).where(*failed).order_by(_attempts.c.attempt)).all()
    reasons = [{"attempt": row.attempt, "message": (row.error or {}).get("message", "")} for row in rows]
    if len(reasons) > 1:
        listed = "; ".join(f"attempt {r['attempt']}: {r['message']}" for r in reasons)
        error["message"] = f"{task.name} failed {len(reasons)} times; {listed}"
    error["details"] = {**error.get("details", {}), "task": task.name, "attempts": reasons}
    return error


def _retry_failed_task(connection: sa.Connection, job: int, now_s: float) -> None:
    failed = _tasks.c.job == job, _tasks.c.state == "FAILED"
    for task in connection.execute(sa.select(_tasks).where(*failed)).all():
        _change_task(connection, task, "PENDING", now_s, "resumed", error=None)
    connection.execute(sa.update(_tasks).where(_tasks.c.job == job).values(tries=0))


def _cancel_pending_tasks(connection: sa.Connection, job: int, now_s: float) -> None:
    pending = _tasks.c.job == job, _tasks.c.state == "PENDING"
    for task in connection.execute(sa.select(_tasks).where(*pending)).all():
        _change_task(connection, task, "CANCELLED", now_s, end_time=now_s)


def _cancelled(now_s: float) -> dict[str, Any]:
    error = {
        "status": "CANCELLED",
        "message": "cancelled on request",
        "retryable": False,
        "details": {},
        "exit_code": 3,
    }
    return {"message": "cancelled on request", "error": error, "end_time": now_s, "wanted": "run"}


def _message(ending: Ending) -> str:
    return str(ending.error["message"]) if ending.error else ending.outcome


def _change_job(
    connection: sa.Connection, job: Any, state: JobState, now_s: float, message: str = "", **values: Any
) -> None:
    """From the state that the row says to another; the caller holds the row."""
    before = cast(JobState, job.state)
    assert state in resources.JOB_TRANSITIONS[before], f"a job may not go from {before} to {state}"
    _update_job(connection, job.sequence, now_s, state=state, **values)
    _add_event(connection, job.sequence, now_s, state, before, message=message)


def _change_task(
    connection: sa.Connection, task: Any, state: TaskState, now_s: float, message: str = "", **values: Any
) -> None:
    before = cast(TaskState, task.state)
    assert state in resources.TASK_TRANSITIONS[before], f"task {task.name} may not go from {before} to {state}"
    connection.execute(sa.update(_tasks).where(_tasks.c.number == task.number).values(state=state, **values))
    _add_event(connection, task.job, now_s, state, before, task, message)


def _update_job(connection: sa.Connection, sequence: int, now_s: float, **values: Any) -> None:
    connection.execute(sa.update(_jobs).where(_jobs.c.sequence == sequence).values(update_time=now_s, **values))


def _add_event(
    connection: sa.Connection,
    job: int,
    now_s: float,
    state: str,
    before: str | None = None,
    task: Any = None,
    message: str = "",
) -> None:
    connection.execute(
        sa.insert(_events).values(
            job=job,
            time=now_s,
            task=None if task is None else task.name,
            attempt=None if task is None else task.attempt,
            state_before=before,
            state=state,
            message=message,
        )
    )
