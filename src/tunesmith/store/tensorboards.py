"""TensorBoard resources: tensorboard > experiment > run > time series > points.

An experiment that has a job belongs to it: its one run and its time series were made with the job, nobody else writes
there, and their points are not here but in the job's folder, which alone says what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa

from tunesmith import resources
from tunesmith.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from tunesmith.resources import BoardPath, JobName
from tunesmith.store import tables
from tunesmith.store.database import Database
from tunesmith.store.listing import Fields, Page, Query, find

JOB_RUN = "tune"
"""Of a job's experiment: the only run."""
SCALAR = "SCALAR"
SCALARS_PLUGIN = "scalars"
_STEPS_AT_ONCE = 500
"""Bound parameters of one statement."""

# From the outermost on: the tables, what their rows are called, and the columns that say what a row lies in.
_LEVELS = (
    tables.tensorboards,
    tables.tensorboard_experiments,
    tables.tensorboard_runs,
    tables.tensorboard_series,
)
_NOUNS = ("tensorboard", "experiment", "run", "time series")
_KEYS = ("tensorboard", "experiment", "run", "series")
_UNIQUE_NAMES = (2, 3)
"""Levels at which no two have the same display name under one parent."""


@dataclass(frozen=True, slots=True)
class BoardPart:
    """A tensorboard, or an experiment, a run or a time series in one: its path says which."""

    path: BoardPath
    display_name: str
    description: str
    labels: Mapping[str, str]
    create_time: float
    update_time: float
    run_count: int = 0
    """Of a tensorboard."""
    source: str = ""
    """Of an experiment: the resource name of what made it."""
    job: str | None = None
    """Of an experiment: id of the job that it belongs to, which is where its points are."""
    value_type: str = ""
    """Of a time series."""
    plugin_name: str = ""
    max_step: int | None = None
    """Of a time series that has points here."""
    max_wall_time: float | None = None
    kms_key_name: str | None = None
    """Of a tensorboard: a customer's key, as it came."""

    @property
    def etag(self) -> str:
        return f"{self.update_time:.6f}"


@dataclass(frozen=True, slots=True)
class NewPart:
    """A BoardPart to make."""

    path: BoardPath
    display_name: str
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    value_type: str = SCALAR
    plugin_name: str = ""
    kms_key_name: str | None = None


class Point(NamedTuple):
    """One measured value of a time series."""

    step: int
    wall_time: float
    value: float


class Tensorboards(Database):
    """TensorBoard resources as clients see them."""

    def create_board_parts(self, new: Sequence[NewPart], *, now_s: float | None = None) -> list[BoardPart]:
        """Makes all or none of them; AlreadyExists for an id, or a run's or series' display name, that is taken."""
        now = self._now(now_s)
        with self._writing() as connection:
            for part in new:
                if len(part.path.ids) > 1:
                    _refuse_if_of_job(connection, part.path.parent)
                _insert(connection, part, now)
            return [_read(connection, part.path) for part in new]

    def board_part(self, path: BoardPath) -> BoardPart:
        """What lies there; NotFound if nothing does."""
        with self._reading() as connection:
            return _read(connection, path)

    def list_board_parts(self, parent: BoardPath, query: Query) -> Page[BoardPart]:
        """One page of what lies directly in `parent`; of a project's tensorboards, if it names none."""
        level = len(parent.ids)
        with self._reading() as connection:
            if level:
                _read(connection, parent)
                lies_there = _inside(_LEVELS[level], parent)
            else:
                board = tables.tensorboards.c
                lies_there = [board.project == parent.project, board.location == parent.location]
            page = find(connection, _select(level).where(*lies_there), _fields(level), query)
        return Page([_as_part(row, parent.project, parent.location) for row in page.rows], page.next_position)

    def board_series(self, project: str | None) -> list[BoardPart]:
        """Every time series with points in the project (None: in all of them), those of jobs' experiments left out."""
        board, experiment, series = tables.tensorboards.c, tables.tensorboard_experiments.c, tables.tensorboard_series.c
        query = (
            _select(3)
            .add_columns(board.project, board.location)
            .join_from(tables.tensorboard_series, tables.tensorboards, series.tensorboard == board.id)
        )
        of_series = sa.and_(experiment.tensorboard == series.tensorboard, experiment.id == series.experiment)
        query = query.join(tables.tensorboard_experiments, of_series).where(experiment.job.is_(None))
        if project is not None:
            query = query.where(board.project == project)
        with self._reading() as connection:
            rows = connection.execute(query.order_by(series.create_time)).all()
        return [_as_part(row, row.project, row.location) for row in rows if row.max_step is not None]

    def update_board_part(
        self, path: BoardPath, values: Mapping[str, Any], *, etag: str = "", now_s: float | None = None
    ) -> BoardPart:
        """The part with display_name, description or labels changed; Aborted if it has another etag than the given."""
        with self._writing() as connection:
            if len(path.ids) > 2:
                _refuse_if_of_job(connection, path)
            found = _read(connection, path)
            if etag and etag != found.etag:
                raise Aborted(f"{path} has changed since etag {etag}; read it again, then send the change again")
            name = values.get("display_name", found.display_name)
            if name != found.display_name:
                _refuse_taken_name(connection, path, name)
            table, here = _place(path)
            changed = sa.update(table).where(*here).values(update_time=self._now(now_s), **values)
            connection.execute(changed)
            return _read(connection, path)

    def delete_board_part(self, path: BoardPath) -> None:
        """Deletes it with all that lies in it; FailedPrecondition if a job that has not ended writes there."""
        with self._writing() as connection:
            if len(path.ids) > 2:
                _refuse_if_of_job(connection, path)
            _read(connection, path)
            _refuse_while_written(connection, path)
            _forget(connection, path)

    def write_points(self, series: Mapping[BoardPath, Sequence[Point]]) -> None:
        """Adds points to time series, all or none. A step that is there already, or comes twice, has the last value."""
        with self._writing() as connection:
            for path, points in series.items():
                _refuse_if_of_job(connection, path)
                if not _is_there(connection, path):  # _read would count all that it holds
                    raise NotFound(f"{path} does not exist", name=str(path))
                _write(connection, path, {point.step: point for point in points})

    def points(self, path: BoardPath) -> list[Point]:
        """The points of a time series, by step; NotFound if there is none. Those of a job are in its folder."""
        point = tables.tensorboard_points.c
        query = sa.select(point.step, point.wall_time, point.value).where(*_inside(tables.tensorboard_points, path))
        with self._reading() as connection:
            _read(connection, path)
            return [Point(*row) for row in connection.execute(query.order_by(point.step)).all()]


# What a job does.


def add_job_experiment(
    connection: sa.Connection, job: Any, tensorboard: str, *, display_name: str, evaluates: bool
) -> None:
    """The experiment of a new job (S46), named as the job, with the time series that it will fill (S69, S70).

    InvalidArgument unless the tensorboard is beside the job, and has no experiment of this id.
    """
    argument = "runtimeConfig.parameterValues.tensorboard_resource_id"
    board = BoardPath(job.project, job.location, tensorboard)
    path = board.below(job.job_id)
    if not _is_there(connection, board):
        raise InvalidArgument.of(argument, f"there is no tensorboard {board}; create it, or leave this out")
    if _is_there(connection, path):
        raise InvalidArgument.of(argument, f"{path} exists and is not of this job; choose another id for the job")
    source = str(JobName(job.project, job.location, job.job_id))
    now_s = job.create_time
    _insert(connection, NewPart(path, display_name, source=source), now_s, job=job.sequence)
    run = path.below(JOB_RUN)
    _insert(connection, NewPart(run, JOB_RUN), now_s)
    for name in (*resources.TRAINING_METRICS, *(resources.EVALUATION_METRICS if evaluates else ())):
        series = run.below(name.replace("_", "-"))
        _insert(connection, NewPart(series, f"/{name}", plugin_name=SCALARS_PLUGIN), now_s)


def forget_job_experiments(connection: sa.Connection, job: Any) -> None:
    """Deletes what belongs to the job of that row."""
    experiment = tables.tensorboard_experiments.c
    found = sa.select(experiment.tensorboard, experiment.id).where(experiment.job == job.sequence)
    for row in connection.execute(found).all():
        _forget(connection, BoardPath(job.project, job.location, row.tensorboard, row.id))


# Rules.


def _refuse_if_of_job(connection: sa.Connection, path: BoardPath) -> None:
    """For changes inside an experiment; one of a tensorboard is none."""
    experiment = BoardPath(*path[:4])
    job = _read(connection, experiment).job if experiment.experiment else None
    if job is not None:
        raise FailedPrecondition(
            f"{experiment} belongs to job {job}, which alone writes there; create another experiment for other data"
        )


def _refuse_while_written(connection: sa.Connection, path: BoardPath) -> None:
    job, experiment = tables.jobs.c, tables.tensorboard_experiments
    query = sa.select(job.job_id, job.state).join(experiment, experiment.c.job == job.sequence)
    inside = _inside(experiment, path) if len(path.ids) == 1 else _place(BoardPath(*path[:4]))[1]
    row = connection.execute(query.where(*inside, job.state.not_in(resources.ENDED))).first()
    if row is not None:
        raise FailedPrecondition(
            f"{path} is where job {row.job_id} writes, which is {row.state}; cancel the job or wait for its end"
        )


def _refuse_taken_name(connection: sa.Connection, path: BoardPath, name: str) -> None:
    level = len(path.ids) - 1
    if level not in _UNIQUE_NAMES:
        return
    table = _LEVELS[level]
    taken = sa.select(table.c.id).where(*_inside(table, path.parent), table.c.display_name == name)
    found = connection.execute(taken).scalar()
    if found is not None:
        raise AlreadyExists(f"{path.parent} has a {_NOUNS[level]} with displayName {name!r} already: {found}")


# Rows.


def _place(path: BoardPath) -> tuple[sa.Table, list[Any]]:
    """The table of what lies at a path, and what its row is told by."""
    table = _LEVELS[len(path.ids) - 1]
    here = [*_inside(table, path.parent), table.c.id == path.id]
    if table is tables.tensorboards:
        here += [table.c.project == path.project, table.c.location == path.location]
    return table, here


def _inside(table: sa.Table, path: BoardPath) -> list[Any]:
    """Says of the table's rows that they lie in a path, however deep."""
    return [table.c[key] == part_id for key, part_id in zip(_KEYS, path.ids, strict=False)]


def _select(level: int) -> sa.Select[Any]:
    """The rows of a level, and what is counted of what lies in them."""
    board, run, point = tables.tensorboards.c, tables.tensorboard_runs.c, tables.tensorboard_points.c
    experiment, series = tables.tensorboard_experiments.c, tables.tensorboard_series.c
    query = sa.select(_LEVELS[level])
    if level == 0:
        counted = sa.select(sa.func.count()).where(run.tensorboard == board.id)
        return query.add_columns(counted.scalar_subquery().label("run_count"))
    if level == 1:
        query = query.add_columns(tables.jobs.c.id.label("job_key"))
        return query.outerjoin(tables.jobs, tables.jobs.c.sequence == experiment.job)
    if level == 3:
        mine = [
            point.tensorboard == series.tensorboard, point.experiment == series.experiment,
            point.run == series.run, point.series == series.id,
        ]  # fmt: skip
        last = [sa.select(sa.func.max(c)).where(*mine).scalar_subquery() for c in (point.step, point.wall_time)]
        return query.add_columns(last[0].label("max_step"), last[1].label("max_wall_time"))
    return query


def _fields(level: int) -> Fields:
    columns = _LEVELS[level].c
    names = ("display_name", "description", "source", "value_type", "plugin_name", "create_time", "update_time")
    return Fields(
        key=columns.id,
        columns={"name": columns.id, **{name: columns[name] for name in names if name in columns}},
        labels=columns.get("labels"),
        newest=columns.create_time,
    )


def _is_there(connection: sa.Connection, path: BoardPath) -> bool:
    table, here = _place(path)
    return connection.execute(sa.select(table.c.id).where(*here)).first() is not None


def _read(connection: sa.Connection, path: BoardPath) -> BoardPart:
    level = len(path.ids) - 1
    query = _select(level).where(*_place(path)[1])
    row = connection.execute(query).first()
    if row is None or (level and not _is_there(connection, BoardPath(*path[:3]))):
        raise NotFound(f"{path} does not exist", name=str(path))
    return _as_part(row, path.project, path.location)


def _insert(connection: sa.Connection, part: NewPart, now_s: float, job: int | None = None) -> None:
    path = part.path
    table, level = _LEVELS[len(path.ids) - 1], len(path.ids) - 1
    if level:
        _read(connection, path.parent)
    if _is_there(connection, path):
        raise AlreadyExists(f"{path} exists already; choose another id", name=str(path))
    _refuse_taken_name(connection, path, part.display_name)
    values = {
        **dict(zip(_KEYS, path.ids[:-1], strict=False)),
        "id": path.id,
        "project": path.project,
        "location": path.location,
        "job": job,
        "display_name": part.display_name,
        "description": part.description,
        "labels": dict(part.labels),
        "source": part.source,
        "value_type": part.value_type,
        "plugin_name": part.plugin_name,
        "kms_key_name": part.kms_key_name,
        "create_time": now_s,
        "update_time": now_s,
    }
    connection.execute(sa.insert(table).values({key: value for key, value in values.items() if key in table.c}))


def _forget(connection: sa.Connection, path: BoardPath) -> None:
    for table in (tables.tensorboard_points, *reversed(_LEVELS[len(path.ids) :])):
        connection.execute(sa.delete(table).where(*_inside(table, path)))
    table, here = _place(path)
    connection.execute(sa.delete(table).where(*here))


def _write(connection: sa.Connection, path: BoardPath, points: Mapping[int, Point]) -> None:
    table, steps = tables.tensorboard_points, list(points)
    for first in range(0, len(steps), _STEPS_AT_ONCE):
        some = table.c.step.in_(steps[first : first + _STEPS_AT_ONCE])
        connection.execute(sa.delete(table).where(*_inside(table, path), some))
    of_series = dict(zip(_KEYS, path.ids, strict=True))
    if points:
        assert all(math.isfinite(point.value) for point in points.values()), "checked where it came in"
        connection.execute(sa.insert(table), [{**of_series, **point._asdict()} for point in points.values()])


def _as_part(row: Any, project: str, location: str) -> BoardPart:
    found = row._mapping
    ids = [found[key] for key in _KEYS if key in found]
    return BoardPart(
        path=BoardPath(*(project, location, *ids, row.id)),
        display_name=row.display_name,
        description=row.description,
        labels=found.get("labels", {}),
        create_time=row.create_time,
        update_time=row.update_time,
        run_count=found.get("run_count", 0),
        source=found.get("source", ""),
        job=found.get("job_key"),
        value_type=found.get("value_type", ""),
        plugin_name=found.get("plugin_name", ""),
        max_step=found.get("max_step"),
        max_wall_time=found.get("max_wall_time"),
        kms_key_name=found.get("kms_key_name"),
    )
