"""pipelineJobs: create, get, list, cancel, delete, the batch verbs, and a job as it runs (watch).

A request writes into the store and returns; workers do the rest. What goes out is made here from a stored job.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from tunesmith import filters, folder, pipeline, resources
from tunesmith.api import buckets, job_progress, operations, templates, watch_place
from tunesmith.api.auth import Principal, Tuner, Viewer
from tunesmith.api.tuning_request import PipelineJobBody, understand
from tunesmith.api.watch_place import Place
from tunesmith.api.wire import (
    Listing,
    Wire,
    body_of,
    documented,
    filter_value,
    masked,
    page_of,
    parse_json,
    present,
    read_as,
    read_body,
    status_of,
    timestamp,
)
from tunesmith.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted, TunesmithError
from tunesmith.folder import JobFolder
from tunesmith.resources import JobName
from tunesmith.settings import Settings
from tunesmith.store import Job, Store, Task

MAX_BATCH = 32
WATCH_INTERVAL_S = 0.5
_STATE = "PIPELINE_STATE_"
PARENT = "/v1/projects/{project}/locations/{location}/pipelineJobs"

router = APIRouter(tags=["pipelineJobs"])


class Names(Wire):
    """Which jobs a batch verb is for."""

    names: list[str]


@router.post(PARENT, openapi_extra=documented(PipelineJobBody))
async def create_pipeline_job(
    request: Request,
    caller: Tuner,
    project: str,
    location: str,
    job_id: Annotated[str | None, Query(alias="pipelineJobId")] = None,
) -> JSONResponse:
    """Submits a tuning job. The same id with the same body is the same job; with another body it is a conflict."""
    raw = parse_json(await read_body(request))
    body = read_as(PipelineJobBody, raw)
    return JSONResponse(await run_in_threadpool(_create, request, caller, body, raw, project, location, job_id))


def _create(
    request: Request,
    caller: Principal,
    body: PipelineJobBody,
    raw: Mapping[str, Any],
    project: str,
    location: str,
    job_id: str | None,
) -> dict[str, Any]:
    settings, store = _of(request)
    if job_id is not None:
        resources.check_job_id(job_id)
    asked = understand(body, raw, project, location, settings)
    spec = asked.plan.spec
    data = [uri for uri in (spec.dataset, spec.evaluation_data) if uri is not None]
    buckets.refuse_closed(request.app.state.storage, caller, data)
    _refuse_without_quota(settings, spec.accelerator_type, asked.asked.units)
    chosen = job_id or resources.new_job_id_of(str(asked.asked.request and asked.asked.request["pipelineName"]))
    made = store.create_job(asked.plan, job_id=chosen, asked=replace(asked.asked, owner=caller.name))
    return shown(made, request)


# Before the plain GET, whose path would match it too.
@router.get(
    PARENT + "/{job}:watch",
    response_class=StreamingResponse,
    responses={200: {"description": "Server-sent events.", "content": {"text/event-stream": {}}}},
)
async def watch_pipeline_job(
    request: Request, caller: Viewer, project: str, location: str, job: str, after: str = "", news: bool = False
) -> StreamingResponse:
    """A job as it runs, until it rests.

    Events: `state`, `progress` (what the newest attempt does now), `metrics` (a line of metrics.jsonl), `log` (a line).
    Each has an id: with it in `after`, or in the header Last-Event-ID as browsers send it, one goes on where one was.
    `news`: leaves out the metrics and the log lines that there are already.
    """
    settings, store = _of(request)
    found = await run_in_threadpool(_job, store, project, location, job)
    seen = watch_place.read(after or request.headers.get("last-event-id", ""))
    if seen is None:
        seen = await run_in_threadpool(_present, settings, found) if news else watch_place.Place()
    return StreamingResponse(_events(settings, store, found.id, seen), media_type="text/event-stream")


@router.get(PARENT + "/{job}")
def get_pipeline_job(request: Request, caller: Viewer, project: str, location: str, job: str) -> JSONResponse:
    """A job, with its tasks."""
    return JSONResponse(shown(find(request, project, location, job), request))


@router.get(PARENT)
def list_pipeline_jobs(
    request: Request,
    caller: Viewer,
    project: str,
    location: str,
    listing: Annotated[Listing, Depends()],
) -> Response:
    """Jobs of a project in a region, newest first unless another order is asked for; without their tasks."""
    _, store = _of(request)
    parent = f"projects/{project}/locations/{location}/pipelineJobs"
    page = store.list_jobs(project, location, listing.query(parent, _filter_value))
    before = store.queued_before(page.rows)
    jobs = [masked(shown(job, request, detail=False, before=before), listing.read_mask) for job in page.rows]
    following = listing.token(parent, page.next_position)
    return page_of(present(pipelineJobs=jobs, nextPageToken=following))


@router.post(PARENT + "/{job}:cancel")
def cancel_pipeline_job(request: Request, caller: Tuner, project: str, location: str, job: str) -> dict[str, Any]:
    """Asks for a job's end; it is CANCELLING until what runs has stopped. Twice is once."""
    _, store = _of(request)
    store.request_cancel(_job(store, project, location, job).id)
    return {}


@router.delete(PARENT + "/{job}")
def delete_pipeline_job(request: Request, caller: Tuner, project: str, location: str, job: str) -> dict[str, Any]:
    """Deletes a job that has ended, with its folder. The model that it made stays."""
    settings, store = _of(request)
    _delete(settings, store, [_job(store, project, location, job)])
    return operations.done(store, project, location, "DeleteOperationMetadata", operations.EMPTY)


@router.post(PARENT + ":batchDelete", openapi_extra=documented(Names))
def batch_delete_pipeline_jobs(
    request: Request, caller: Tuner, project: str, location: str, body: Annotated[Names, Depends(body_of(Names))]
) -> dict[str, Any]:
    """Deletes up to 32 jobs, all or none."""
    settings, store = _of(request)
    jobs = [_job_of_batch(store, project, location, name) for name in _names(body)]
    before = [to_wire(job, store) for job in jobs]
    _delete(settings, store, jobs)
    response = operations.message("BatchDeletePipelineJobsResponse", pipelineJobs=before)
    return operations.done(store, project, location, "DeleteOperationMetadata", response)


@router.post(PARENT + ":batchCancel", openapi_extra=documented(Names))
def batch_cancel_pipeline_jobs(
    request: Request, caller: Tuner, project: str, location: str, body: Annotated[Names, Depends(body_of(Names))]
) -> dict[str, Any]:
    """Cancels up to 32 jobs; those that have ended are left as they are."""
    _, store = _of(request)
    jobs = [_job_of_batch(store, project, location, name) for name in _names(body)]
    cancelled = []
    for job in jobs:
        try:
            cancelled.append(to_wire(store.request_cancel(job.id), store))
        except FailedPrecondition:
            continue
    response = operations.message("BatchCancelPipelineJobsResponse", pipelineJobs=cancelled)
    return operations.done(store, project, location, "BatchCancelPipelineJobsOperationMetadata", response)


# A job as it goes out.


def shown(
    job: Job, request: Request, *, detail: bool = True, before: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """The job as Vertex spells it, and in one object of ours what Vertex has no field for.

    Not for what is inside an operation, where clients take no field that they do not know. `before`: how many wait
    before a job, by its id, where it was asked for.
    """
    _, store = _of(request)
    places = store.queued_before([job]) if before is None else before
    own = present(
        baseModel=job.plan.base_model,
        reference=job.plan.reference,
        method=job.plan.spec.tuning_method,
        owner=job.owner,
        model=job.model,
        error=job.error,
        queuePosition=places[job.id] + 1 if job.id in places else None,
        **job_progress.of(job, request.app.state.settings, request.app.state.curves),
        tasks=[present(name=t.name, state=t.state, attempt=t.attempt, error=t.error) for t in job.tasks],
    )
    return {**to_wire(job, store, detail=detail), "tunesmith": own}


def to_wire(job: Job, store: Store, *, detail: bool = True) -> dict[str, Any]:
    """The job as Vertex spells it; `detail`: with its tasks."""
    asked = dict(job.request)
    template = templates.of_pipeline(asked.get("pipelineName", "")) or templates.TEMPLATES[0]
    number = resources.project_number(job.project)
    return present(
        name=job.name,
        displayName=job.display_name,
        createTime=timestamp(job.create_time),
        startTime=timestamp(job.start_time),
        endTime=timestamp(job.end_time),
        updateTime=timestamp(job.update_time),
        pipelineSpec=asked.get("pipelineSpec") or templates.spec_of(template),
        state=_STATE + job.state,
        jobDetail=_detail(job, store) if detail else None,
        error=status_of(job.error),
        labels={**asked.get("labels", {}), "vertex-ai-pipelines-run-billing-id": str(_task_id(job, "billing"))},
        runtimeConfig=asked.get("runtimeConfig"),
        encryptionSpec=asked.get("encryptionSpec"),
        serviceAccount=asked.get("serviceAccount") or f"{number}-compute@developer.gserviceaccount.com",
        network=asked.get("network"),
        reservedIpRanges=asked.get("reservedIpRanges"),
        templateUri=asked.get("templateUri"),
        templateMetadata={"version": templates.version_of(template)} if asked.get("templateUri") else None,
    )


def _detail(job: Job, store: Store) -> dict[str, Any]:
    root = _task_id(job, "root")
    made = _outputs(job, store)
    of_root = {
        "name": f"{job.name}/executions/{root}",
        "displayName": job.job_id,
        "schemaTitle": "system.Run",
        "schemaVersion": "0.0.1",
        "metadata": made,
        **({"state": "COMPLETE"} if job.state == "SUCCEEDED" else {}),
    }
    run = present(
        taskId=str(root),
        taskName=job.job_id,
        createTime=timestamp(job.create_time),
        startTime=timestamp(job.start_time),
        endTime=timestamp(job.end_time),
        state=_run_state(job),
        execution=of_root,
        error=status_of(job.error),
    )
    return {"taskDetails": [run, *[_task(job, task, root, made) for task in job.tasks]]}


def _task(job: Job, task: Task, root: int, made: Mapping[str, str]) -> dict[str, Any]:
    number = _task_id(job, task.name)
    carries = task.name in (pipeline.UPLOAD, pipeline.DEPLOY) and task.state == "SUCCEEDED"
    execution = present(
        name=f"{job.name}/executions/{number}",
        displayName=task.name,
        state="COMPLETE" if task.state == "SUCCEEDED" else None,
        schemaTitle="system.ContainerExecution",
        schemaVersion="0.0.1",
        metadata=dict(made) if carries else None,
    )
    cancelling = task.state == "RUNNING" and job.state == "CANCELLING"
    return present(
        taskId=str(number),
        parentTaskId=str(root),
        taskName=task.name,
        createTime=timestamp(job.create_time),
        startTime=timestamp(task.start_time),
        endTime=timestamp(task.end_time),
        state="CANCELLING" if cancelling else task.state,
        execution=execution,
        error=status_of(task.error),
    )


def _outputs(job: Job, store: Store) -> dict[str, str]:
    """What a client looks for in a job's tasks: the names of what it has made so far."""
    if job.model is None:
        return {}
    made = {"output:model_resource_name": job.model}
    if any(t.name == pipeline.DEPLOY and t.state == "SUCCEEDED" for t in job.tasks):
        made["output:endpoint_resource_name"] = store.endpoint_name(job)
    return made


def _run_state(job: Job) -> str:
    states = {"QUEUED": "PENDING", "PAUSED": "PENDING"}
    return states.get(job.state, job.state)


def _task_id(job: Job, name: str) -> int:
    """A number below 2^63, which the client's int64 demands, that stays the same."""
    digest = hashlib.sha256(f"{job.id} {job.create_time!r} {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 2


# What requests name.


def _of(request: Request) -> tuple[Settings, Store]:
    return request.app.state.settings, request.app.state.store


def find(request: Request, project: str, location: str, job_id: str) -> Job:
    """The project's job of that id in that region; NotFound if it has none."""
    return _job(request.app.state.store, project, location, job_id)


def _job(store: Store, project: str, location: str, job_id: str) -> Job:
    """The project's job of that id in that region; NotFound if it has none."""
    name = JobName(project, location, job_id)
    try:
        job = store.job(resources.job_key(project, job_id))
    except NotFound as error:
        raise NotFound(f"{name} does not exist", name=str(name)) from error
    if (job.project, job.job_id) != (project, job_id):
        # The same key, with the project and the id cut elsewhere: another project's job.
        raise NotFound(f"{name} does not exist", name=str(name))
    if job.kind != "tuning":
        raise NotFound(f"{name} does not exist; {job.name} is a batch prediction job", name=str(name))
    if job.location != location:
        raise NotFound(f"{name} does not exist; there is one of this id in {job.location}", name=str(name))
    return job


def _names(body: Names) -> list[str]:
    if not 0 < len(body.names) <= MAX_BATCH:
        raise InvalidArgument.of("names", f"must be 1 to {MAX_BATCH} jobs, got {len(body.names)}")
    return body.names


def _job_of_batch(store: Store, project: str, location: str, name: str) -> Job:
    parsed = resources.parse_job_name(name)
    if (parsed.project, parsed.location) != (project, location):
        raise InvalidArgument.of("names", f"{name} is not of projects/{project}/locations/{location}")
    return _job(store, project, location, parsed.id)


def _delete(settings: Settings, store: Store, jobs: list[Job]) -> None:
    store.delete_jobs([job.id for job in jobs])
    for job in jobs:
        shutil.rmtree(settings.jobs / job.id, ignore_errors=True)


def _refuse_without_quota(settings: Settings, accelerator: str, units: int) -> None:
    have = settings.pools.get(accelerator, 0)
    if units > have:
        raise ResourceExhausted(
            f"a {accelerator} job takes {units} devices and the quota of its pool is {have}: it could never run. "
            f'Raise it with TUNESMITH_POOLS={{"{accelerator}": {units}}}, or choose another accelerator_type'
        )


def _filter_value(field: str, text: str) -> filters.Value:
    return text.removeprefix(_STATE) if field == "state" else filter_value(field, text)


# Live.


async def _events(settings: Settings, store: Store, job_id: str, seen: Place) -> AsyncIterator[str]:
    """What is new of a job, as server-sent events."""
    while True:
        try:
            lines = await run_in_threadpool(_news, settings, store, job_id, seen)
        except TunesmithError as error:  # deleted meanwhile, or the database is away
            yield _event("error", error.to_json())
            return
        for line in lines:
            yield line
        if seen.state in resources.RESTING:
            if not lines:
                return
            continue  # a long log comes in several looks
        if not lines:
            yield ": still here\n\n"
        await asyncio.sleep(WATCH_INTERVAL_S)


def _news(settings: Settings, store: Store, job_id: str, seen: Place) -> list[str]:
    """What there is beyond the place, which goes along: each event's id is the place behind it."""
    job = store.job(job_id)
    root = JobFolder(settings.jobs / job.id)
    news = [*_metrics_events(root, job.task(pipeline.TUNE).attempt, seen)]
    for task in job.tasks:
        if task.attempt:
            news += _log_events(root, task.name, task.attempt, seen)
    progress = _progress(job, root)
    if progress != seen.progress:
        seen.progress = progress
        news.append(_event("progress", progress, seen))
    for event in store.events(job_id, after=seen.event):
        seen.event = event.number
        said = {"task": event.task, "attempt": event.attempt, "state": event.state, "message": event.message}
        news.append(_event("state", present(time=timestamp(event.time), **said), seen))
    seen.state = job.state
    return news


def _present(settings: Settings, job: Job) -> Place:
    """Where one is who has seen all metrics and log lines, and no state yet."""
    root, seen = JobFolder(settings.jobs / job.id), Place()
    for _ in _metrics_events(root, job.task(pipeline.TUNE).attempt, seen):
        pass
    for task in job.tasks:
        log = root.attempt(task.name, task.attempt).log
        if task.attempt and log.is_file():
            seen.log_bytes[f"{task.name}/{task.attempt}"] = log.stat().st_size
    return seen


def _metrics_events(root: JobFolder, attempt: int, seen: Place) -> Iterator[str]:
    """Lines that were not shown yet: an attempt that resumes another has that one's lines in its own file again."""
    if attempt != seen.attempt:
        seen.attempt, seen.metrics_bytes = attempt, 0
    found, end = folder.tail_jsonl(root.attempt(pipeline.TUNE, attempt).metrics, seen.metrics_bytes)
    for line in found:
        place = line["step"], "eval_total_loss" in line
        if place > seen.measured:
            seen.measured = place
            yield _event("metrics", line, seen)
    seen.metrics_bytes = end


def _log_events(root: JobFolder, task: str, attempt: int, seen: Place) -> Iterator[str]:
    place = f"{task}/{attempt}"
    lines, end = folder.tail_text(root.attempt(task, attempt).log, seen.log_bytes.get(place, 0))
    for number in range(seen.log_lines.get(place, 0), len(lines)):
        seen.log_lines[place] = number + 1
        yield _event("log", {"task": task, "attempt": attempt, "line": lines[number]}, seen)
    seen.log_lines.pop(place, None)
    seen.log_bytes[place] = end


def _progress(job: Job, root: JobFolder) -> dict[str, Any]:
    """What the attempt that was begun last says of itself; nothing before the first."""
    begun = [task for task in job.tasks if task.attempt]
    if not begun:
        return {}
    try:
        said = folder.read_json(root.attempt(begun[-1].name, begun[-1].attempt).progress)
    except NotFound:
        said = {}
    return {**said, "task": begun[-1].name, "attempt": begun[-1].attempt}


def _event(kind: str, data: Any, place: Place | None = None) -> str:
    # In ASCII: to some clients more characters end a line than to others.
    at = f"id: {watch_place.written(place)}\n" if place is not None else ""
    return f"event: {kind}\n{at}data: {json.dumps(data)}\n\n"
