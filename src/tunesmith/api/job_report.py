"""A tuning job as one looks at it: its curves, its log, and what it found out, as far as it has got.

Everything comes from the files of the job's folder and the store at the moment of the request; a part that is not
there yet is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from tunesmith import folder, pipeline
from tunesmith.api import curves, pipeline_jobs
from tunesmith.api.auth import Viewer
from tunesmith.api.wire import page_of, present, timestamp
from tunesmith.errors import InvalidArgument, NotFound
from tunesmith.folder import JobFolder
from tunesmith.settings import Settings
from tunesmith.spec import TuningSpec
from tunesmith.store import Attempt, Job, Store

MOST_POINTS = 20_000
MOST_LINES = 5_000
TAIL_BYTES = 1 << 20
"""A log is read that far back at once, at most."""
_PRIVATE = ("dataset", "evaluation_data")
"""Parameters that name files of this machine where a job was made on it."""

router = APIRouter(tags=["pipelineJobs"])


# Before the plain GET of pipeline_jobs, whose path would match them too.
@router.get(pipeline_jobs.PARENT + "/{job}:metrics")
def get_pipeline_job_metrics(
    request: Request,
    caller: Viewer,
    project: str,
    location: str,
    job: str,
    from_step: Annotated[int | None, Query(alias="fromStep")] = None,
    to_step: Annotated[int | None, Query(alias="toStep")] = None,
    max_points: Annotated[int, Query(alias="maxPoints", ge=4, le=MOST_POINTS)] = 2_000,
    names: Annotated[str, Query(description="Names with commas between; all if empty.")] = "",
) -> Response:
    """What the job has measured, a series a name; of a long one the peaks of each stretch are among the points."""
    found = pipeline_jobs.find(request, project, location, job)
    every = request.app.state.curves.of(found)
    wanted = [name for name in names.split(",") if name] or sorted(every)
    series = {name: curves.between(every[name], from_step, to_step) for name in wanted if name in every}
    steps = [one.steps[-1] for one in every.values() if one.steps]
    shown = {name: curves.thinned(one, max_points) for name, one in series.items()}
    return page_of(
        {
            "lastStep": max(steps, default=0),
            "totalPoints": max((len(one.steps) for one in series.values()), default=0),
            "series": {
                name: {"steps": one.steps, "values": one.values, "wallTimes": one.times} for name, one in shown.items()
            },
        }
    )


@router.get(pipeline_jobs.PARENT + "/{job}:log")
def get_pipeline_job_log(
    request: Request,
    caller: Viewer,
    project: str,
    location: str,
    job: str,
    task: str = "",
    attempt: Annotated[int, Query(ge=0)] = 0,
    lines: Annotated[int, Query(ge=1, le=MOST_LINES)] = 500,
    before_byte: Annotated[int | None, Query(alias="beforeByte", ge=0)] = None,
    after_byte: Annotated[int, Query(alias="afterByte", ge=0)] = 0,
) -> Response:
    """The last lines of what an attempt printed: of the task that began last, unless one is named.

    With an answer's `startByte` in `beforeByte` one gets the lines before it, with its `endByte` in `afterByte` those
    that have been written since.
    """
    settings: Settings = request.app.state.settings
    found = pipeline_jobs.find(request, project, location, job)
    printing = [one for one in found.tasks if one.name in pipeline.PROCESS_TASKS]
    begun = [(one.name, number) for one in printing for number in range(1, one.attempt + 1)]
    of = [(name, number) for name, number in begun if task in ("", name) and attempt in (0, number)]
    if (task or attempt) and not of:
        raise NotFound(f"{found.name} has no log of attempt {attempt or 1} of a task {task or 'at all'}")
    said: dict[str, Any] = {"attempts": [{"task": name, "attempt": number} for name, number in begun]}
    if of:
        name, number = of[-1]
        path = JobFolder(settings.jobs / found.id).attempt(name, number).log
        said |= {"task": name, "attempt": number, **_tail(path, lines, before_byte, after_byte)}
    return page_of(said)


@router.get(pipeline_jobs.PARENT + "/{job}:report")
def get_pipeline_job_report(request: Request, caller: Viewer, project: str, location: str, job: str) -> Response:
    """What there is to say of a job: parameters, data, tasks and attempts, scores, examples, the steps that matter."""
    settings: Settings = request.app.state.settings
    store: Store = request.app.state.store
    found = pipeline_jobs.find(request, project, location, job)
    root = JobFolder(settings.jobs / found.id)
    results = {task.name: _result(root, found, task.name) for task in found.tasks}
    checked, tuned, compared = (results.get(name) or {} for name in pipeline.TASKS[:3])
    return page_of(
        present(
            parameters=_parameters(found),
            schedule=found.plan.schedule.model_dump(),
            batchSize=found.plan.batch_size,
            data=_data(checked),
            tasks=_tasks(found, store),
            training=_training(tuned),
            evaluation=_evaluation(compared),
            examples=compared.get("examples"),
            error=found.error,
        )
    )


def _tail(path: Path, lines: int, before_byte: int | None, after_byte: int) -> dict[str, Any]:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        size = 0
    for name, byte in (("beforeByte", before_byte or 0), ("afterByte", after_byte)):
        if byte > size:
            raise InvalidArgument.of(name, f"is {byte:,}, and the log has {size:,} bytes")
    if not size:
        return {"lines": [], "startByte": 0, "endByte": 0}
    end = size if before_byte is None else before_byte
    start = max(after_byte, end - TAIL_BYTES)
    with open(path, "rb") as file:
        file.seek(start)
        data = file.read(max(0, end - start))
    if before_byte is None and not data.endswith(b"\n"):
        data = data[: data.rfind(b"\n") + 1]  # a line that is being written
    end = start + len(data)
    pieces = data.splitlines(keepends=True)
    if start > after_byte and len(pieces) > lines:
        pieces = pieces[1:]  # it begins in the middle
    kept = pieces[-lines:]
    return {
        "lines": [piece.decode("utf-8", "replace").rstrip("\r\n") for piece in kept],
        "startByte": end - sum(map(len, kept)),
        "endByte": end,
    }


def _result(root: JobFolder, job: Job, task: str) -> Mapping[str, Any] | None:
    """The result of the attempt that succeeded."""
    of = job.task(task)
    if of.state != "SUCCEEDED":
        return None
    try:
        found: Mapping[str, Any] = folder.read_json(root.attempt(task, of.attempt).result)
    except NotFound:
        return None  # done by the worker itself
    return found


def _parameters(job: Job) -> list[dict[str, Any]]:
    spec = job.plan.spec
    fields = TuningSpec.model_fields
    values = {name: getattr(spec, name) for name in fields}
    for name in _PRIVATE:
        if values[name] and "://" not in values[name]:
            values[name] = Path(values[name]).name
    return [
        {
            "name": name,
            "value": values[name],
            "default": None if one.is_required() else one.default,
            "isDefault": not one.is_required() and getattr(spec, name) == one.default,
            "description": one.description,
        }
        for name, one in fields.items()
        if name not in ("project", "location")
    ]


def _data(checked: Mapping[str, Any]) -> dict[str, Any]:
    names = (
        "examples", "tokens", "target_tokens", "longest", "epochs", "evaluation_examples", "evaluation_tokens",
        "statistics", "sha256", "format", "findings", "built_from",
    )  # fmt: skip
    return {_camel(name): checked[name] for name in names if checked.get(name) is not None}


def _training(tuned: Mapping[str, Any]) -> dict[str, Any]:
    names = (
        "steps", "selected_step", "stopped_early", "base_is_best", "method", "examples_seen", "tokens_seen", "epochs",
        "seconds", "tokens_per_s", "parameters", "device", "dtype", "ranks", "resumed_from",
    )  # fmt: skip
    return {_camel(name): tuned[name] for name in names if tuned.get(name) is not None}


def _evaluation(compared: Mapping[str, Any]) -> dict[str, Any]:
    if not compared:
        return {}
    forgetting = compared["forgetting"]
    return present(
        heldOut=compared["held_out"] == "evaluation",
        base=compared["base"],
        tuned=compared["tuned"],
        kinds=compared.get("kinds"),
        forgetting={
            "rows": forgetting["rows"],
            "baseLoss": forgetting["base_loss"],
            "tunedLoss": forgetting["tuned_loss"],
            "change": forgetting["change"],
            "interval": forgetting["interval"],
        },
    )


def _tasks(job: Job, store: Store) -> list[dict[str, Any]]:
    attempts = store.attempts(job.id)
    return [
        present(
            name=task.name,
            state=task.state,
            startTime=timestamp(task.start_time),
            endTime=timestamp(task.end_time),
            error=task.error,
            attempts=[_attempt(one) for one in attempts if one.task == task.name],
        )
        for task in job.tasks
    ]


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return present(
        attempt=attempt.number,
        startTime=timestamp(attempt.start_time),
        endTime=timestamp(attempt.end_time),
        outcome=attempt.outcome,
        step=attempt.step,
        error=attempt.error,
    )


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)
