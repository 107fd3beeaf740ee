"""datasetBuildJobs: create, get, list, cancel, delete, at /v1 and /v1beta1. A resource of ours: Vertex has none.

A request writes a plan into the store and returns; a worker fetches the repository, builds the data set and writes it
into the bucket. What goes out is made from the stored job, and counts from what its tasks say of themselves.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse
from pydantic.alias_generators import to_camel
from starlette.concurrency import run_in_threadpool

from tunesmith import filters, folder, pipeline, resources
from tunesmith.api import buckets, operations
from tunesmith.api.auth import Principal, Tuner, Viewer
from tunesmith.api.batch_prediction_jobs import check_request_id, said_in
from tunesmith.api.dataset_request import DatasetBuildJobBody, understand
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
from tunesmith.errors import NotFound
from tunesmith.folder import JobFolder
from tunesmith.resources import DatasetJobName
from tunesmith.settings import Settings
from tunesmith.store import Job, Store

PARENT = "/projects/{project}/locations/{location}/datasetBuildJobs"
OBJECTS: Mapping[str, str] = {
    "trainingDataUri": "train.jsonl",
    "evaluationDataUri": "evaluation.jsonl",
    "chatTrainingDataUri": "train-chat.jsonl",
    "chatEvaluationDataUri": "evaluation-chat.jsonl",
    "rowsUri": "rows.jsonl",
    "ledgerUri": "ledger.jsonl",
    "clustersUri": "clusters.jsonl",
    "overlapUri": "overlap.jsonl",
    "reportUri": "report.html",
    "manifestUri": folder.MANIFEST,
}
"""Fields of outputInfo, and the objects in the job's folder that they name."""
_STATE = "JOB_STATE_"

router = APIRouter(tags=["datasetBuildJobs"])


async def create_dataset_build_job(
    request: Request,
    caller: Tuner,
    project: str,
    location: str,
    request_id: Annotated[str, Query(alias="requestId")] = "",
) -> JSONResponse:
    """Asks for the data set of a codebase. The same requestId with the same body is the same job."""
    raw = parse_json(await read_body(request))
    body = read_as(DatasetBuildJobBody, raw)
    return JSONResponse(await run_in_threadpool(_create, request, caller, body, raw, project, location, request_id))


def _create(
    request: Request,
    caller: Principal,
    body: DatasetBuildJobBody,
    raw: Mapping[str, Any],
    project: str,
    location: str,
    request_id: str,
) -> dict[str, Any]:
    settings, store = _of(request)
    check_request_id(request_id)
    job_id = resources.dataset_job_id(project, request_id)
    plan, asked, reads = understand(body, raw, location, job_id, settings)
    buckets.refuse_closed(request.app.state.storage, caller, reads)
    buckets.refuse_closed(request.app.state.storage, caller, [plan.destination], writes=True)
    return to_wire(store.create_dataset_job(plan, project=project, job_id=job_id, asked=asked), settings)


def get_dataset_build_job(request: Request, caller: Viewer, project: str, location: str, job: str) -> JSONResponse:
    """A job, and how far it is."""
    settings, store = _of(request)
    return JSONResponse(to_wire(_job(store, project, location, job), settings))


def list_dataset_build_jobs(
    request: Request, caller: Viewer, project: str, location: str, listing: Annotated[Listing, Depends()]
) -> JSONResponse:
    """Jobs of a project in a region, newest first unless another order is asked for."""
    settings, store = _of(request)
    parent = f"projects/{project}/locations/{location}/datasetBuildJobs"
    page = store.list_jobs(project, location, listing.query(parent, _filter_value), kind="dataset")
    jobs = [masked(to_wire(job, settings), listing.read_mask) for job in page.rows]
    following = listing.token(parent, page.next_position)
    return JSONResponse(present(datasetBuildJobs=jobs, nextPageToken=following))


def cancel_dataset_build_job(request: Request, caller: Tuner, project: str, location: str, job: str) -> JSONResponse:
    """Asks for a job's end; it is CANCELLING until what runs has stopped. Twice is once."""
    _, store = _of(request)
    store.request_cancel(_job(store, project, location, job).id)
    return JSONResponse({})


def delete_dataset_build_job(request: Request, caller: Tuner, project: str, location: str, job: str) -> JSONResponse:
    """Deletes a job that has ended, with its folder. The data set that it has written stays."""
    settings, store = _of(request)
    found = _job(store, project, location, job)
    store.delete_jobs([found.id])
    shutil.rmtree(settings.jobs / found.id, ignore_errors=True)
    done = operations.done(store, project, location, "DeleteOperationMetadata", operations.EMPTY)
    return JSONResponse(done)


_ROUTES: tuple[tuple[str, str, Callable[..., Any], dict[str, Any]], ...] = (
    ("POST", "", create_dataset_build_job, documented(DatasetBuildJobBody)),
    ("GET", "", list_dataset_build_jobs, {}),
    ("POST", "/{job}:cancel", cancel_dataset_build_job, {}),
    ("GET", "/{job}", get_dataset_build_job, {}),
    ("DELETE", "/{job}", delete_dataset_build_job, {}),
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


# A job as it goes out.


def to_wire(job: Job, settings: Settings) -> dict[str, Any]:
    """The job, spelled as Vertex spells its own. `options` are all of them, also those that the client left out."""
    of_job = JobFolder(settings.jobs / job.id)
    built = _newest(of_job, pipeline.BUILD, "result")
    options = {
        to_camel(name): value for name, value in job.dataset.options.items() if name not in ("revision", "since")
    }
    return present(
        name=job.name,
        displayName=job.display_name,
        **job.request,
        options=options,
        state=_STATE + ("PENDING" if job.state == "QUEUED" else job.state),
        error=status_of(job.error),
        progress=_progress(job, of_job),
        outputInfo=_output(job, of_job),
        statistics=statistics_of(built) if built is not None else None,
        createTime=timestamp(job.create_time),
        startTime=timestamp(job.start_time),
        endTime=timestamp(job.end_time),
        updateTime=timestamp(job.update_time),
    )


def _output(job: Job, of_job: JobFolder) -> dict[str, str] | None:
    """Where the data set lies, or will; the objects once all of them are there."""
    if job.state in ("FAILED", "CANCELLED"):
        return None
    sent = _newest(of_job, pipeline.SEND, "result") if job.state == "SUCCEEDED" else None
    names: Sequence[str] = sent["objects"] if sent is not None else ()
    where = job.dataset.destination
    found = {field: f"{where}/{name}" for field, name in OBJECTS.items() if name in names}
    return {"gcsOutputDirectory": where, **found}


def _progress(job: Job, of_job: JobFolder) -> dict[str, Any] | None:
    """What the running attempt does, and how far it is with that."""
    running = next((task for task in job.tasks if task.state == "RUNNING"), None)
    if running is None:
        return None
    said = said_in(of_job.attempt(running.name, running.attempt), "progress") or {}
    counts = {"done": said.get("step"), "total": said.get("steps")}
    known = {name: count for name, count in counts.items() if count is not None}
    return {"task": running.name, "attempt": running.attempt, "phase": said.get("phase", "starting"), **known}


def statistics_of(built: Mapping[str, Any]) -> dict[str, Any]:
    """What a build has counted: the result of the task that built."""
    counts = built["counts"]
    return {
        "source": built["source"],
        "manifestSha256": built["manifest_sha256"],
        "files": {**counts["files"], "total": sum(counts["files"].values())},
        "usedBytes": counts["bytes"]["used"],
        "rejectedByReason": counts["reasons"],
        "languages": counts["languages"],
        "licences": counts["licences"],
        "rows": counts["rows"],
        "redactions": counts["redactions"],
        "overlap": {to_camel(name): count for name, count in built["overlap"].items()},
        "heldOutWhole": counts["held_out_whole"],
        "notes": counts["notes"],
    }


def _newest(of_job: JobFolder, task: str, name: str) -> dict[str, Any] | None:
    said = (said_in(attempt, name) for attempt in reversed(of_job.attempts(task)))
    return next((found for found in said if found is not None), None)


# What requests name.


def _of(request: Request) -> tuple[Settings, Store]:
    return request.app.state.settings, request.app.state.store


def _job(store: Store, project: str, location: str, job_id: str) -> Job:
    """The project's job of that id in that region; NotFound if it has none."""
    name = str(DatasetJobName(project, location, job_id))
    try:
        job = store.job(resources.job_key(project, job_id))
    except NotFound as error:
        raise NotFound(f"{name} does not exist", name=name) from error
    # A key with a dot in it is another project's job too, if the project and the id are cut elsewhere.
    if (job.kind, job.project, job.location, job.job_id) != ("dataset", project, location, job_id):
        raise NotFound(f"{name} does not exist", name=name)
    return job


def _filter_value(field: str, text: str) -> filters.Value:
    if field == "repository":
        return text
    return text.removeprefix(_STATE) if field == "state" else filter_value(field, text)
