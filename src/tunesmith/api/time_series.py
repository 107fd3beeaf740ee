"""Points of TensorBoard time series: written by clients, read with a filter and a limit, exported a page at a time.

A series of a job's experiment is read from the job's folder, live; any other one from the store. Scalars only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, Field, field_validator

from tunesmith import filters, resources
from tunesmith.api import job_metrics
from tunesmith.api.auth import Tuner, Viewer
from tunesmith.api.wire import Listing, Wire, body_of, documented, enum_name, filter_value, present
from tunesmith.errors import InvalidArgument, Violation
from tunesmith.filters import And, Comparison, Filter, Not, Or
from tunesmith.instances import whole
from tunesmith.resources import BoardPath
from tunesmith.store import BoardPart, Point, Store

BOARD = "/projects/{project}/locations/{location}/tensorboards/{tensorboard}"
EXPERIMENT = BOARD + "/experiments/{experiment}"
RUN = EXPERIMENT + "/runs/{run}"
SERIES = RUN + "/timeSeries/{series}"
VALUE_TYPES = ("VALUE_TYPE_UNSPECIFIED", "SCALAR", "TENSOR", "BLOB_SEQUENCE")

MAX_WRITTEN = 5000
"""Points of one run in one request, as in the reference product."""
READ = 1000
"""Points of a series in an answer, unless the request says otherwise."""
MAX_READ = 10_000
MAX_INT64 = 2**63 - 1

router = APIRouter(tags=["tensorboards"])


# What a path names.


def board_path(project: str, location: str, tensorboard: str) -> BoardPath:
    return BoardPath(project, location, tensorboard)


def experiment_path(project: str, location: str, tensorboard: str, experiment: str) -> BoardPath:
    return BoardPath(project, location, tensorboard, experiment)


def run_path(project: str, location: str, tensorboard: str, experiment: str, run: str) -> BoardPath:
    return BoardPath(project, location, tensorboard, experiment, run)


def series_path(project: str, location: str, tensorboard: str, experiment: str, run: str, series: str) -> BoardPath:
    return BoardPath(project, location, tensorboard, experiment, run, series)


Board = Annotated[BoardPath, Depends(board_path)]
Experiment = Annotated[BoardPath, Depends(experiment_path)]
Run = Annotated[BoardPath, Depends(run_path)]
Series = Annotated[BoardPath, Depends(series_path)]


def inner_path(name: str, parent: BoardPath, depth: int, field: str) -> BoardPath:
    """The path of a resource name in a body or query, which must lie in `parent`; the project may be its number."""
    path = resources.parse_board_path(name, field)
    if path.project == resources.project_number(parent.project):
        path = path._replace(project=parent.project)
    if len(path.ids) != depth or path[: 2 + len(parent.ids)] != parent[: 2 + len(parent.ids)]:
        noun = ("tensorboard", "experiment", "run", "time series")[depth - 1]
        raise InvalidArgument.of(field, f"must name a {noun} of {parent}, got {name!r}")
    return path


# Bodies.


class Scalar(Wire):
    """One number. Clients leave a zero out."""

    value: float = 0.0


class PointBody(Wire):
    """One measured value. Clients leave a step of zero out; without a time it is the time of the request."""

    step: int = 0
    wall_time: AwareDatetime | None = None
    scalar: Scalar | None = None
    tensor: Any = None
    blobs: Any = None

    @field_validator("step", mode="before")
    @classmethod
    def _step(cls, value: Any) -> int:
        step = whole(value)
        if not -MAX_INT64 - 1 <= step <= MAX_INT64:
            raise ValueError(f"must fit in 64 bits, got {value!r}")
        return step

    @field_validator("wall_time")
    @classmethod
    def _time(cls, value: datetime | None) -> datetime | None:
        """One that can be written again: in UTC, and as the seconds that are kept, the first and the last year end."""
        try:
            resources.rfc3339(0.0 if value is None else value.timestamp())
        except (ValueError, OverflowError) as error:
            raise ValueError(f"must lie in the years 1 to 9999 of UTC, got {value}") from error
        return value


class SeriesData(Wire):
    """Points of one time series."""

    tensorboard_time_series_id: str
    value_type: str = "SCALAR"
    values: list[PointBody] = Field(default_factory=list)

    @field_validator("value_type", mode="before")
    @classmethod
    def _type(cls, value: Any) -> str:
        return enum_name(value, VALUE_TYPES)


class RunData(Wire):
    """Points of a run's time series."""

    tensorboard_run: str = ""
    time_series_data: list[SeriesData]


class ExperimentData(Wire):
    """Points of the time series of an experiment's runs."""

    tensorboard_experiment: str = ""
    write_run_data_requests: list[RunData]


class Export(Wire):
    """Which points of a series, in which order, and from where on."""

    tensorboard_time_series: str = ""
    filter: str = ""
    order_by: str = ""
    page_size: int = 0
    page_token: str = ""


# Writing.


@router.post(RUN + ":write", openapi_extra=documented(RunData))
def write_run(
    request: Request, caller: Tuner, run: Run, body: Annotated[RunData, Depends(body_of(RunData))]
) -> dict[str, Any]:
    """Adds points to time series of a run, all or none. A step that has a value already gets the new one."""
    if body.tensorboard_run and inner_path(body.tensorboard_run, run.parent, 3, "tensorboardRun") != run:
        raise InvalidArgument.of("tensorboardRun", f"is not the run of the URL, {run}")
    _store(request).write_points(_given(body, run, "timeSeriesData"))
    return {}


@router.post(EXPERIMENT + ":write", openapi_extra=documented(ExperimentData))
def write_experiment(
    request: Request,
    caller: Tuner,
    experiment: Experiment,
    body: Annotated[ExperimentData, Depends(body_of(ExperimentData))],
) -> dict[str, Any]:
    """Adds points to time series of several runs, all or none."""
    series: dict[BoardPath, list[Point]] = {}
    for number, each in enumerate(body.write_run_data_requests):
        field = f"writeRunDataRequests.{number}"
        run = inner_path(each.tensorboard_run, experiment, 3, f"{field}.tensorboardRun")
        for path, points in _given(each, run, f"{field}.timeSeriesData").items():
            series.setdefault(path, []).extend(points)
    _store(request).write_points(series)
    return {}


def _given(body: RunData, run: BoardPath, field: str) -> dict[BoardPath, list[Point]]:
    """The points of a body, every one checked."""
    count = sum(len(data.values) for data in body.time_series_data)
    if count > MAX_WRITTEN:
        raise InvalidArgument.of(field, f"has {count:,} points; at most {MAX_WRITTEN:,} are taken at once")
    now_s = datetime.now(UTC).timestamp()
    wrong: list[Violation] = []
    series: dict[BoardPath, list[Point]] = {}
    for number, data in enumerate(body.time_series_data):
        where = f"{field}.{number}"
        wrong += _wrong_points(data, where)
        points = [Point(p.step, _seconds(p, now_s), p.scalar.value) for p in data.values if p.scalar is not None]
        resources.check_board_id(data.tensorboard_time_series_id, f"{where}.tensorboardTimeSeriesId")
        series.setdefault(run.below(data.tensorboard_time_series_id), []).extend(points)
    if wrong:
        raise InvalidArgument.of_all(wrong)
    return series


def _wrong_points(data: SeriesData, where: str) -> list[Violation]:
    if data.value_type != "SCALAR":
        return [Violation(f"{where}.valueType", f"only SCALAR is kept here, got {data.value_type}")]
    return [
        Violation(f"{where}.values.{number}.scalar", "is missing; scalars are all that is kept here")
        for number, point in enumerate(data.values)
        if point.scalar is None or point.tensor is not None or point.blobs is not None
    ]


def _seconds(point: PointBody, now_s: float) -> float:
    return point.wall_time.timestamp() if point.wall_time is not None else now_s


# Reading.


@router.get(BOARD + ":batchRead")
def batch_read(
    request: Request,
    caller: Viewer,
    board: Board,
    names: Annotated[list[str] | None, Query(alias="timeSeries")] = None,
) -> JSONResponse:
    """The points of several time series of a tensorboard; of a long one 1,000, evenly spaced."""
    if not names:
        raise InvalidArgument.of("timeSeries", "is missing; give the name of at least one time series")
    reader = Reader(request)
    found = [reader.points(inner_path(name, board, 4, "timeSeries")) for name in names]
    return JSONResponse({"timeSeriesData": [_data(part, thinned(points, READ)) for part, points in found]})


@router.get(SERIES + ":read")
def read_series(
    request: Request,
    caller: Viewer,
    series: Series,
    limit: Annotated[int, Query(alias="maxDataPoints")] = 0,
    text: Annotated[str, Query(alias="filter")] = "",
) -> JSONResponse:
    """The points of a series that a filter on `step` and `wall_time` leaves; evenly spaced if they are too many."""
    if limit < -1 or limit > MAX_READ:
        raise InvalidArgument.of("maxDataPoints", f"must be 1 to {MAX_READ:,}, or -1 for all, got {limit}")
    part, points = Reader(request).points(series)
    kept = _kept(points, filters.parse(text, _filter_value))
    return JSONResponse({"timeSeriesData": _data(part, kept if limit == -1 else thinned(kept, limit or READ))})


@router.post(SERIES + ":exportTensorboardTimeSeries", openapi_extra=documented(Export, required=False))
def export_series(
    request: Request, caller: Viewer, series: Series, body: Annotated[Export, Depends(body_of(Export))]
) -> JSONResponse:
    """All points of a series, a page at a time; by step unless another order is asked for."""
    if body.page_size < 0:
        raise InvalidArgument.of("pageSize", f"must be 0 (the default) or more, got {body.page_size}")
    listing = Listing(filter_text=body.filter, order_by=body.order_by, page_token=body.page_token)
    query = listing.query(str(series), _filter_value)
    order = list(query.order) or [("step", False)]
    points = _kept(Reader(request).points(series)[1], query.where)
    ordered = sorted(points, key=lambda point: _rank(point, order))
    if query.position:
        behind = _rank(_last_point(query.position), order)
        ordered = [point for point in ordered if _rank(point, order) > behind]
    page = ordered[: min(body.page_size or READ, MAX_READ)]
    following = listing.token(str(series), list(page[-1]) if len(page) < len(ordered) else [])
    return JSONResponse(present(timeSeriesDataPoints=[_point(p) for p in page], nextPageToken=following))


def _last_point(position: Sequence[Any]) -> Point:
    """Of a page token, which can be made up by anybody who has read how one is made."""
    if len(position) != 3 or any(type(value) not in (int, float) for value in position):
        raise InvalidArgument.of("pageToken", "is not one of this list's; start again without it")
    return Point(*position)


class Reader:
    """Reads points for one request; a job's files once, however many of its series are asked for."""

    def __init__(self, request: Request) -> None:
        self._settings = request.app.state.settings
        self._store = _store(request)
        self._jobs: dict[str, Mapping[str, Sequence[Point]]] = {}

    def points(self, path: BoardPath) -> tuple[BoardPart, Sequence[Point]]:
        """A series and its points, by step."""
        part = self._store.board_part(path)
        job = self._store.board_part(BoardPath(*path[:4])).job
        return part, self._store.points(path) if job is None else self._of_job(job, part)

    def with_last(self, part: BoardPart, job: str | None) -> BoardPart:
        """A series of a job's experiment with its last step and time; any other part as it is."""
        points = [] if job is None or not part.path.series else self._of_job(job, part)
        if not points:
            return part
        return replace(part, max_step=points[-1].step, max_wall_time=max(point.wall_time for point in points))

    def _of_job(self, job_id: str, part: BoardPart) -> Sequence[Point]:
        if job_id not in self._jobs:
            self._jobs[job_id] = job_metrics.read(self._settings, self._store.job(job_id))
        return self._jobs[job_id].get(part.display_name.removeprefix("/"), [])


def thinned(points: Sequence[Point], limit: int) -> Sequence[Point]:
    """At most `limit` of them, evenly spaced, with the last one."""
    if len(points) <= limit:
        return points
    step = len(points) / limit
    return [points[math.ceil((number + 1) * step) - 1] for number in range(limit)]


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


def _data(part: BoardPart, points: Sequence[Point]) -> dict[str, Any]:
    values = [_point(point) for point in points]
    return present(tensorboardTimeSeriesId=part.path.series, valueType=part.value_type, values=values)


def _point(point: Point) -> dict[str, Any]:
    time = resources.rfc3339(point.wall_time)
    return {"wallTime": time, "step": str(point.step), "scalar": {"value": point.value}}


# Which of them.


def _filter_value(field: str, text: str) -> filters.Value:
    if field == "step":
        return whole(text)
    if field == "wall_time":
        return filter_value(field, text)
    raise ValueError(f"there is no field {field!r} to look at; known: step, wall_time")


def _kept(points: Sequence[Point], where: Filter | None) -> Sequence[Point]:
    return points if where is None else [point for point in points if _holds(where, point)]


def _holds(where: Filter, point: Point) -> bool:
    if isinstance(where, And):
        return all(_holds(part, point) for part in where.parts)
    if isinstance(where, Or):
        return any(_holds(part, point) for part in where.parts)
    if isinstance(where, Not):
        return not _holds(where.part, point)
    return _compare(where, point)


def _compare(comparison: Comparison, point: Point) -> bool:
    value, wanted = _field(point, comparison.field, "filter"), comparison.value
    if comparison.operator == ":":
        raise InvalidArgument.of("filter", f"{comparison.field} is compared with = != < <= > >=, not with :")
    assert not isinstance(wanted, str), "converted when it was parsed"
    compare: Mapping[str, Callable[[], bool]] = {
        "=": lambda: value == wanted,
        "!=": lambda: value != wanted,
        "<": lambda: value < wanted,
        "<=": lambda: value <= wanted,
        ">": lambda: value > wanted,
    }
    return compare.get(comparison.operator, lambda: value >= wanted)()


def _rank(point: Point, order: Sequence[tuple[str, bool]]) -> list[float]:
    """Where a point stands in an order: those with smaller ones come first."""
    wanted = [(_field(point, field, "orderBy"), falls) for field, falls in order]
    return [*[-value if falls else value for value, falls in wanted], -point.step if order[-1][1] else point.step]


def _field(point: Point, name: str, argument: str) -> float:
    if name not in ("step", "wall_time"):
        raise InvalidArgument.of(argument, f"there is no field {name!r} to look at; known: step, wall_time")
    return point.step if name == "step" else point.wall_time
