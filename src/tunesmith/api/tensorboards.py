"""TensorBoard resources: tensorboards, and the experiments, runs and time series in them. Points are in `time_series`.

A tuning job that names a tensorboard gets an experiment in it, which nobody else can write to. Changes of tensorboards
are operations, as in the reference product; those of what lies in them are not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse
from pydantic import Field, field_validator

from tunesmith import filters, resources
from tunesmith.api import models, operations, time_series
from tunesmith.api.auth import Tuner, Viewer
from tunesmith.api.time_series import (
    BOARD,
    EXPERIMENT,
    RUN,
    SERIES,
    VALUE_TYPES,
    Board,
    Experiment,
    Reader,
    Run,
    Series,
    inner_path,
)  # fmt: skip
from tunesmith.api.wire import (
    Encryption,
    Listing,
    Wire,
    body_of,
    documented,
    enum_name,
    filter_value,
    masked,
    present,
    timestamp,
)
from tunesmith.errors import InvalidArgument
from tunesmith.resources import BoardPath
from tunesmith.store import BoardPart, NewPart, Store

PARENT = "/projects/{project}/locations/{location}/tensorboards"
MAX_BATCH = 1000

routes = APIRouter(tags=["tensorboards"])


# Bodies. What only a server fills in is taken and not looked at.


class PartBody(Wire):
    """What a tensorboard and everything in one have."""

    display_name: str = ""
    description: str = ""
    etag: str = ""
    name: Any = None
    create_time: Any = None
    update_time: Any = None


class TensorboardBody(PartBody):
    """A tensorboard as a client sends it."""

    labels: dict[str, str] = Field(default_factory=dict)
    encryption_spec: Encryption | None = None
    is_default: bool = False
    run_count: Any = None
    blob_storage_path_prefix: Any = None
    satisfies_pzs: Any = None
    satisfies_pzi: Any = None

    @field_validator("is_default")
    @classmethod
    def _default(cls, value: bool) -> bool:
        if value:
            raise ValueError("no tensorboard is the default one here; name the one that is meant")
        return value


class ExperimentBody(PartBody):
    """An experiment as a client sends it."""

    labels: dict[str, str] = Field(default_factory=dict)
    source: str = ""


class RunBody(PartBody):
    """A run as a client sends it."""

    labels: dict[str, str] = Field(default_factory=dict)


class SeriesBody(PartBody):
    """A time series as a client sends it."""

    value_type: str = ""
    plugin_name: str = ""
    plugin_data: str = ""
    metadata: Any = None

    @field_validator("value_type", mode="before")
    @classmethod
    def _type(cls, value: Any) -> str:
        name = enum_name(value, VALUE_TYPES)
        if name != "SCALAR":
            raise ValueError(f"only SCALAR is kept here, got {name}")
        return name

    @field_validator("plugin_data")
    @classmethod
    def _data(cls, value: str) -> str:
        if value:
            raise ValueError("is not kept here; leave it out")
        return value


class RunRequest(Wire):
    """One run of a batch."""

    parent: str = ""
    tensorboard_run: RunBody
    tensorboard_run_id: str


class RunRequests(Wire):
    """Runs to make together."""

    parent: str = ""
    requests: list[RunRequest]


class SeriesRequest(Wire):
    """One time series of a batch."""

    parent: str
    tensorboard_time_series: SeriesBody
    tensorboard_time_series_id: str = ""


class SeriesRequests(Wire):
    """Time series to make together."""

    parent: str = ""
    requests: list[SeriesRequest]


# Tensorboards.


@routes.post(PARENT, openapi_extra=documented(TensorboardBody))
def create_tensorboard(
    request: Request,
    caller: Tuner,
    project: str,
    location: str,
    body: Annotated[TensorboardBody, Depends(body_of(TensorboardBody))],
) -> dict[str, Any]:
    """A new tensorboard with nothing in it."""
    path = BoardPath(project, location, resources.new_id())
    [made] = _store(request).create_board_parts([_new(path, body)])
    response = operations.message("Tensorboard", **to_wire(made))
    return operations.done(_store(request), project, location, "CreateTensorboardOperationMetadata", response)


@routes.get(PARENT)
def list_tensorboards(
    request: Request, caller: Viewer, project: str, location: str, listing: Annotated[Listing, Depends()]
) -> JSONResponse:
    """Tensorboards of a project in a region, newest first unless another order is asked for."""
    return _list(request, BoardPath(project, location), listing, "tensorboards")


@routes.get(BOARD)
def get_tensorboard(request: Request, caller: Viewer, board: Board) -> JSONResponse:
    """A tensorboard."""
    return JSONResponse(to_wire(_store(request).board_part(board)))


@routes.patch(BOARD, openapi_extra=documented(TensorboardBody))
def update_tensorboard(
    request: Request,
    caller: Tuner,
    board: Board,
    body: Annotated[TensorboardBody, Depends(body_of(TensorboardBody))],
    update_mask: Annotated[str, Query(alias="updateMask")] = "",
) -> dict[str, Any]:
    """Changes a tensorboard's display name, description or labels: what the mask names, or what is given without."""
    response = operations.message("Tensorboard", **_update(request, board, body, update_mask))
    kind = "UpdateTensorboardOperationMetadata"
    return operations.done(_store(request), board.project, board.location, kind, response)


@routes.delete(BOARD)
def delete_tensorboard(request: Request, caller: Tuner, board: Board) -> dict[str, Any]:
    """Deletes a tensorboard with all that lies in it; refused while a job writes to it."""
    return _delete(request, board)


# Experiments.


@routes.post(BOARD + "/experiments", openapi_extra=documented(ExperimentBody, required=False))
def create_tensorboard_experiment(
    request: Request,
    caller: Tuner,
    board: Board,
    body: Annotated[ExperimentBody, Depends(body_of(ExperimentBody))],
    experiment_id: Annotated[str, Query(alias="tensorboardExperimentId")] = "",
) -> JSONResponse:
    """A new experiment with nothing in it."""
    path = board.below(resources.check_board_id(experiment_id, "tensorboardExperimentId"))
    return _created(request, path, body)


@routes.get(BOARD + "/experiments")
def list_tensorboard_experiments(
    request: Request, caller: Viewer, board: Board, listing: Annotated[Listing, Depends()]
) -> JSONResponse:
    """Experiments of a tensorboard, newest first unless another order is asked for."""
    return _list(request, board, listing, "tensorboardExperiments")


@routes.get(EXPERIMENT)
def get_tensorboard_experiment(request: Request, caller: Viewer, experiment: Experiment) -> JSONResponse:
    """An experiment; `source` names the job that it belongs to, if it belongs to one."""
    return JSONResponse(to_wire(_store(request).board_part(experiment)))


@routes.patch(EXPERIMENT, openapi_extra=documented(ExperimentBody))
def update_tensorboard_experiment(
    request: Request,
    caller: Tuner,
    experiment: Experiment,
    body: Annotated[ExperimentBody, Depends(body_of(ExperimentBody))],
    update_mask: Annotated[str, Query(alias="updateMask")] = "",
) -> JSONResponse:
    """Changes an experiment's display name, description or labels."""
    return JSONResponse(_update(request, experiment, body, update_mask))


@routes.delete(EXPERIMENT)
def delete_tensorboard_experiment(request: Request, caller: Tuner, experiment: Experiment) -> dict[str, Any]:
    """Deletes an experiment with all that lies in it; refused while a job writes to it."""
    return _delete(request, experiment)


# Runs.


@routes.post(EXPERIMENT + "/runs", openapi_extra=documented(RunBody))
def create_tensorboard_run(
    request: Request,
    caller: Tuner,
    experiment: Experiment,
    body: Annotated[RunBody, Depends(body_of(RunBody))],
    run_id: Annotated[str, Query(alias="tensorboardRunId")] = "",
) -> JSONResponse:
    """A new run with nothing in it; its display name is its own within the experiment."""
    return _created(request, experiment.below(resources.check_board_id(run_id, "tensorboardRunId")), body)


@routes.post(EXPERIMENT + "/runs:batchCreate", openapi_extra=documented(RunRequests))
def batch_create_tensorboard_runs(
    request: Request,
    caller: Tuner,
    experiment: Experiment,
    body: Annotated[RunRequests, Depends(body_of(RunRequests))],
) -> JSONResponse:
    """Up to 1,000 new runs, all or none."""
    new = []
    for number, one in enumerate(_batch(body.requests)):
        field = f"requests.{number}"
        if one.parent:
            inner_path(one.parent, experiment, 2, f"{field}.parent")
        run_id = resources.check_board_id(one.tensorboard_run_id, f"{field}.tensorboardRunId")
        new.append(_new(experiment.below(run_id), one.tensorboard_run, f"{field}.tensorboardRun."))
    made = _store(request).create_board_parts(new)
    return JSONResponse({"tensorboardRuns": [to_wire(part) for part in made]})


@routes.get(EXPERIMENT + "/runs")
def list_tensorboard_runs(
    request: Request, caller: Viewer, experiment: Experiment, listing: Annotated[Listing, Depends()]
) -> JSONResponse:
    """Runs of an experiment, newest first unless another order is asked for."""
    return _list(request, experiment, listing, "tensorboardRuns")


@routes.get(RUN)
def get_tensorboard_run(request: Request, caller: Viewer, run: Run) -> JSONResponse:
    """A run."""
    return JSONResponse(to_wire(_store(request).board_part(run)))


@routes.patch(RUN, openapi_extra=documented(RunBody))
def update_tensorboard_run(
    request: Request,
    caller: Tuner,
    run: Run,
    body: Annotated[RunBody, Depends(body_of(RunBody))],
    update_mask: Annotated[str, Query(alias="updateMask")] = "",
) -> JSONResponse:
    """Changes a run's display name, description or labels."""
    return JSONResponse(_update(request, run, body, update_mask))


@routes.delete(RUN)
def delete_tensorboard_run(request: Request, caller: Tuner, run: Run) -> dict[str, Any]:
    """Deletes a run with its time series."""
    return _delete(request, run)


# Time series.


@routes.post(RUN + "/timeSeries", openapi_extra=documented(SeriesBody))
def create_tensorboard_time_series(
    request: Request,
    caller: Tuner,
    run: Run,
    body: Annotated[SeriesBody, Depends(body_of(SeriesBody))],
    series_id: Annotated[str, Query(alias="tensorboardTimeSeriesId")] = "",
) -> JSONResponse:
    """A new time series without points; its display name is its own within the run. Scalars only."""
    return _created(request, run.below(_series_id(series_id, "tensorboardTimeSeriesId")), body)


@routes.post(EXPERIMENT + ":batchCreate", openapi_extra=documented(SeriesRequests))
def batch_create_tensorboard_time_series(
    request: Request,
    caller: Tuner,
    experiment: Experiment,
    body: Annotated[SeriesRequests, Depends(body_of(SeriesRequests))],
) -> JSONResponse:
    """Up to 1,000 new time series in runs of the experiment, all or none."""
    new = []
    for number, one in enumerate(_batch(body.requests)):
        field = f"requests.{number}"
        run = inner_path(one.parent, experiment, 3, f"{field}.parent")
        series_id = _series_id(one.tensorboard_time_series_id, f"{field}.tensorboardTimeSeriesId")
        new.append(_new(run.below(series_id), one.tensorboard_time_series, f"{field}.tensorboardTimeSeries."))
    made = _store(request).create_board_parts(new)
    return JSONResponse({"tensorboardTimeSeries": [to_wire(part) for part in made]})


@routes.get(RUN + "/timeSeries")
def list_tensorboard_time_series(
    request: Request, caller: Viewer, run: Run, listing: Annotated[Listing, Depends()]
) -> JSONResponse:
    """Time series of a run, newest first unless another order is asked for."""
    return _list(request, run, listing, "tensorboardTimeSeries", _with_last(request, run))


@routes.get(SERIES)
def get_tensorboard_time_series(request: Request, caller: Viewer, series: Series) -> JSONResponse:
    """A time series; `metadata` says how far its points go."""
    part = _store(request).board_part(series)
    return JSONResponse(to_wire(_with_last(request, series)(part)))


@routes.patch(SERIES, openapi_extra=documented(SeriesBody))
def update_tensorboard_time_series(
    request: Request,
    caller: Tuner,
    series: Series,
    body: Annotated[SeriesBody, Depends(body_of(SeriesBody))],
    update_mask: Annotated[str, Query(alias="updateMask")] = "",
) -> JSONResponse:
    """Changes a time series' display name or description."""
    return JSONResponse(_update(request, series, body, update_mask))


@routes.delete(SERIES)
def delete_tensorboard_time_series(request: Request, caller: Tuner, series: Series) -> dict[str, Any]:
    """Deletes a time series with its points."""
    return _delete(request, series)


router = APIRouter()
for _prefix in ("/v1", "/v1beta1"):
    # Points first: the path of `:batchRead` is one of a tensorboard too.
    router.include_router(time_series.router, prefix=_prefix)
    router.include_router(routes, prefix=_prefix)


# As it goes out.


def to_wire(part: BoardPart) -> dict[str, Any]:
    """The part as Vertex spells it."""
    last = present(
        maxStep=None if part.max_step is None else str(part.max_step), maxWallTime=timestamp(part.max_wall_time)
    )
    return present(
        name=str(part.path),
        displayName=part.display_name,
        description=part.description,
        labels=dict(part.labels),
        runCount=part.run_count or None,
        source=part.source,
        valueType=part.value_type,
        pluginName=part.plugin_name,
        metadata=last,
        createTime=timestamp(part.create_time),
        updateTime=timestamp(part.update_time),
        etag=part.etag,
        encryptionSpec=present(kmsKeyName=part.kms_key_name),
    )


# What the routes share.


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


def _created(request: Request, path: BoardPath, body: PartBody) -> JSONResponse:
    [made] = _store(request).create_board_parts([_new(path, body)])
    return JSONResponse(to_wire(made))


def _new(path: BoardPath, body: PartBody, where: str = "") -> NewPart:
    """What a body asks for; a field that is wrong is named as `where` says."""
    if not body.display_name and len(path.ids) != 2:
        raise InvalidArgument.of(f"{where}displayName", f"is missing; give 1 to {models.MAX_NAME} characters")
    if isinstance(body, SeriesBody) and not body.value_type:
        raise InvalidArgument.of(f"{where}valueType", "is missing; SCALAR is what is kept here")
    _check_texts(body, where)
    key: Encryption | None = getattr(body, "encryption_spec", None)
    return NewPart(
        path,
        body.display_name,
        body.description,
        labels=getattr(body, "labels", {}),
        source=getattr(body, "source", ""),
        value_type=getattr(body, "value_type", ""),
        plugin_name=getattr(body, "plugin_name", ""),
        kms_key_name=key.kms_key_name if key else None,
    )


def _update(request: Request, path: BoardPath, body: PartBody, update_mask: str) -> dict[str, Any]:
    known = [name for name in ("display_name", "description", "labels") if name in type(body).model_fields]
    masks = {filters.snake_case(part.strip()).partition(".")[0] for part in update_mask.split(",") if part.strip()}
    if masks == {"*"}:
        masks = set(known)
    for mask in sorted(masks - set(known)):
        raise InvalidArgument.of("updateMask", f"{mask!r} cannot be changed; can: {', '.join(known)}")
    chosen = masks or {name for name in known if name in body.model_fields_set}
    if not chosen:
        raise InvalidArgument.of(
            "updateMask", f"names nothing, and nothing is given; can be changed: {', '.join(known)}"
        )
    if "display_name" in chosen and not body.display_name and len(path.ids) != 2:
        raise InvalidArgument.of("displayName", "cannot be taken away; give another one")
    _check_texts(body)
    values = {name: getattr(body, name) for name in chosen}
    changed = _store(request).update_board_part(path, values, etag=body.etag)
    return to_wire(_with_last(request, path)(changed))


def _delete(request: Request, path: BoardPath) -> dict[str, Any]:
    _store(request).delete_board_part(path)
    kind = "DeleteOperationMetadata"
    return operations.done(_store(request), path.project, path.location, kind, operations.EMPTY)


def _list(
    request: Request,
    parent: BoardPath,
    listing: Listing,
    field: str,
    complete: Callable[[BoardPart], BoardPart] = lambda part: part,
) -> JSONResponse:
    said = f"{parent}/{field}"
    page = _store(request).list_board_parts(parent, listing.query(said, filter_value))
    parts = [masked(to_wire(complete(part)), listing.read_mask) for part in page.rows]
    return JSONResponse(present(**{field: parts}, nextPageToken=listing.token(said, page.next_position)))


def _with_last(request: Request, path: BoardPath) -> Callable[[BoardPart], BoardPart]:
    """What tells a time series of the path's experiment how far its points go, if they are a job's."""
    if len(path.ids) < 3:
        return lambda part: part
    job = _store(request).board_part(BoardPath(*path[:4])).job
    reader = Reader(request)
    return lambda part: reader.with_last(part, job)


def _series_id(asked: str, field: str) -> str:
    return resources.check_board_id(asked, field) if asked else resources.new_id()


def _batch(requests: Sequence[Any]) -> Sequence[Any]:
    if not 0 < len(requests) <= MAX_BATCH:
        raise InvalidArgument.of("requests", f"must be 1 to {MAX_BATCH:,}, got {len(requests):,}")
    return requests


def _check_texts(body: PartBody, where: str = "") -> None:
    for field, text, most in (
        ("displayName", body.display_name, models.MAX_NAME),
        ("description", body.description, models.MAX_DESCRIPTION),
    ):
        if len(text) > most:
            raise InvalidArgument.of(f"{where}{field}", f"has {len(text):,} characters; at most {most:,}")
    resources.check_labels(getattr(body, "labels", {}))
