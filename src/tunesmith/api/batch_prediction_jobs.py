"""batchPredictionJobs: create, get, list, cancel, delete, at /v1 and /v1beta1.

A request looks up the model, writes a plan into the store and returns; a worker reads the instances, asks the model and
writes the predictions. What goes out is made from the stored job, and counts from what its tasks say of themselves.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from tunesmith import catalog, filters, folder, pipeline, resources
from tunesmith.api import buckets, operations
from tunesmith.api.auth import Principal, Tuner, Viewer
from tunesmith.api.batch_request import POOL, BatchPredictionJobBody, understand
from tunesmith.api.wire import (
    Listing,
    documented,
    filter_value,
    masked,
    parse_json,
    present,
    read_as,
    read_body,
    status_of,
    timestamp,
)
from tunesmith.errors import DataLoss, InvalidArgument, NotFound, ResourceExhausted
from tunesmith.folder import AttemptFolder, JobFolder
from tunesmith.resources import BatchJobName
from tunesmith.settings import Settings
from tunesmith.store import Job, Store

PARENT = "/projects/{project}/locations/{location}/batchPredictionJobs"
_STATE = "JOB_STATE_"
_REQUEST_ID = re.compile(r"[-A-Za-z0-9_]{1,128}")

router = APIRouter(tags=["batchPredictionJobs"])


async def create_batch_prediction_job(
    request: Request,
    caller: Tuner,
    project: str,
    location: str,
    request_id: Annotated[str, Query(alias="requestId")] = "",
) -> JSONResponse:
    """Asks for predictions of many instances. The same requestId with the same body is the same job."""
    raw = parse_json(await read_body(request))
    body = read_as(BatchPredictionJobBody, raw)
    return JSONResponse(await run_in_threadpool(_create, request, caller, body, raw, project, location, request_id))


def _create(
    request: Request,
    caller: Principal,
    body: BatchPredictionJobBody,
    raw: Mapping[str, Any],
    project: str,
    location: str,
    request_id: str,
) -> dict[str, Any]:
    settings, store = _of(request)
    _refuse_without_quota(settings)
    check_request_id(request_id)
    job_id = resources.batch_job_id(project, request_id)
    plan, asked = understand(body, raw, project, location, job_id, settings, store)
    buckets.refuse_closed(request.app.state.storage, caller, plan.sources)
    buckets.refuse_closed(request.app.state.storage, caller, [plan.destination], writes=True)
    return to_wire(store.create_batch_job(plan, project=project, job_id=job_id, asked=asked, pool=POOL), settings)


def get_batch_prediction_job(request: Request, caller: Viewer, project: str, location: str, job: str) -> JSONResponse:
    """A job, and how far it is."""
    settings, store = _of(request)
    return JSONResponse(to_wire(_job(store, project, location, job), settings))


def list_batch_prediction_jobs(
    request: Request, caller: Viewer, project: str, location: str, listing: Annotated[Listing, Depends()]
) -> JSONResponse:
    """Jobs of a project in a region, newest first unless another order is asked for."""
    settings, store = _of(request)
    parent = f"projects/{project}/locations/{location}/batchPredictionJobs"
    page = store.list_jobs(project, location, listing.query(parent, _filter_value), kind="batch")
    jobs = [masked(to_wire(job, settings), listing.read_mask) for job in page.rows]
    following = listing.token(parent, page.next_position)
    return JSONResponse(present(batchPredictionJobs=jobs, nextPageToken=following))


def cancel_batch_prediction_job(request: Request, caller: Tuner, project: str, location: str, job: str) -> JSONResponse:
    """Asks for a job's end; it is CANCELLING until what runs has stopped. Twice is once."""
    _, store = _of(request)
    store.request_cancel(_job(store, project, location, job).id)
    return JSONResponse({})


def delete_batch_prediction_job(request: Request, caller: Tuner, project: str, location: str, job: str) -> JSONResponse:
    """Deletes a job that has ended, with its folder. The predictions that it has written stay."""
    settings, store = _of(request)
    found = _job(store, project, location, job)
    store.delete_jobs([found.id])
    shutil.rmtree(settings.jobs / found.id, ignore_errors=True)
    done = operations.done(store, project, location, "DeleteOperationMetadata", operations.EMPTY)
    return JSONResponse(done)


_ROUTES: tuple[tuple[str, str, Callable[..., Any], dict[str, Any]], ...] = (
    ("POST", "", create_batch_prediction_job, documented(BatchPredictionJobBody)),
    ("GET", "", list_batch_prediction_jobs, {}),
    ("POST", "/{job}:cancel", cancel_batch_prediction_job, {}),
    ("GET", "/{job}", get_batch_prediction_job, {}),
    ("DELETE", "/{job}", delete_batch_prediction_job, {}),
)
for _version in ("/v1", "/v1beta1"):
    for _method, _path, _route, _extra in _ROUTES:
        router.add_api_route(
            _version + PARENT + _path,
            _route,
            methods=[_method],
            operation_id=f"{_route.__name__}_{_version[1:]}",
            openapi_extra=_extra,
            response_model=None,
        )


def check_request_id(request_id: str) -> None:
    """InvalidArgument unless it is empty, or one that Vertex would take."""
    if request_id and not _REQUEST_ID.fullmatch(request_id):
        text = f"must have at most 128 of a-z, A-Z, 0-9, - and _, got {request_id!r:.80}"
        raise InvalidArgument.of("requestId", text)


def _refuse_without_quota(settings: Settings) -> None:
    units, have = catalog.POOLS[POOL].quota_multiple, settings.pools.get(POOL, 0)
    if units > have:
        raise ResourceExhausted(
            f"a batch prediction job takes {units} devices of the pool {POOL}, whose quota is {have}: it could never "
            f'run. Raise it with TUNESMITH_POOLS={{"{POOL}": {units}}}'
        )


# A job as it goes out.


def to_wire(job: Job, settings: Settings) -> dict[str, Any]:
    """The job as Vertex spells it."""
    asked = {key: value for key, value in job.request.items() if key != "modelDisplayName"}
    counts = _counts(job, settings)
    unwritten = job.state in ("FAILED", "CANCELLED")
    return present(
        name=job.name,
        displayName=job.display_name,
        **asked,
        state=_STATE + ("PENDING" if job.state == "QUEUED" else job.state),
        error=status_of(job.error),
        outputInfo=None if unwritten else {"gcsOutputDirectory": job.batch.destination},
        completionStats=_stats(job, counts),
        partialFailures=[{"code": 3, "message": text} for text in (counts or {}).get("failures", [])],
        createTime=timestamp(job.create_time),
        startTime=timestamp(job.start_time),
        endTime=timestamp(job.end_time),
        updateTime=timestamp(job.update_time),
    )


def _stats(job: Job, counts: Mapping[str, Any] | None) -> dict[str, str] | None:
    """int64 as texts, as in all of Google's JSON; None before the instances have been counted."""
    if counts is None:
        return None
    rest = counts["total"] - counts["successful"] - counts["failed"]
    return {
        "successfulCount": str(counts["successful"]),
        "failedCount": str(counts["failed"]),
        "incompleteCount": str(rest),
    }


def _counts(job: Job, settings: Settings) -> dict[str, Any] | None:
    """How many instances are done with, from the newest word of the job's tasks."""
    of_job = JobFolder(settings.jobs / job.id)
    for attempt in reversed(of_job.attempts(pipeline.PREDICT)):
        result = said_in(attempt, "result")
        if result is not None:
            return result
        said = said_in(attempt, "progress")
        if said is not None and "successful" in said:
            return {"successful": said["successful"], "failed": said["failed"], "total": said["steps"]}
    for attempt in reversed(of_job.attempts(pipeline.READ)):
        read = said_in(attempt, "result")
        if read is not None:
            return {"successful": 0, "failed": read["unreadable"], "total": read["lines"]}
    return None


def said_in(attempt: AttemptFolder, name: str) -> dict[str, Any] | None:
    """What an attempt has said of itself in `result` or `progress`; None while it has not."""
    path = attempt.result if name == "result" else attempt.progress
    try:
        found: dict[str, Any] = folder.read_json(path)
    except (NotFound, DataLoss):
        return None
    return found


# What requests name.


def _of(request: Request) -> tuple[Settings, Store]:
    return request.app.state.settings, request.app.state.store


def _job(store: Store, project: str, location: str, job_id: str) -> Job:
    """The project's job of that id in that region; NotFound if it has none."""
    name = str(BatchJobName(project, location, job_id))
    try:
        job = store.job(resources.job_key(project, job_id))
    except NotFound as error:
        raise NotFound(f"{name} does not exist", name=name) from error
    # A key with a dot in it is another project's job too, if the project and the id are cut elsewhere.
    if (job.kind, job.project, job.location, job.job_id) != ("batch", project, location, job_id):
        raise NotFound(f"{name} does not exist", name=name)
    return job


def _filter_value(field: str, text: str) -> filters.Value:
    return text.removeprefix(_STATE) if field == "state" else filter_value(field, text)
