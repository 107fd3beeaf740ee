"""What a tuning job will cost, before it is submitted: the same body, the same refusals, and no job.

The data are checked and counted in another process (inspector.py), the arithmetic is cost.py's, and what a job runs on
is measured here, or was written down by the last job where workers have a machine of their own. What is not known is
left out, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from tunesmith import catalog, cost, folder, pipeline, process
from tunesmith.api import datasets, pipeline_jobs
from tunesmith.api.auth import Principal, Tuner
from tunesmith.api.inspector import Inspector
from tunesmith.api.tuning_request import PipelineJobBody, understand
from tunesmith.api.wire import documented, page_of, parse_json, present, read_as, read_body
from tunesmith.cost import Counts, Dimensions, Machine
from tunesmith.errors import DataLoss, NotFound
from tunesmith.folder import JobFolder
from tunesmith.settings import Settings
from tunesmith.spec import TuningPlan
from tunesmith.store import Store

UNKNOWN = "unknown"

router = APIRouter(tags=["pipelineJobs"])


class _Device(NamedTuple):
    """What jobs run on, and how it is known; None and why not."""

    machine: Machine | None
    known: str


@router.post(pipeline_jobs.PARENT + ":estimate", openapi_extra=documented(PipelineJobBody))
async def estimate_pipeline_job(request: Request, caller: Tuner, project: str, location: str) -> Response:
    """What such a job would cost: its data checked and counted, its time and memory, its place in the queue."""
    raw = parse_json(await read_body(request))
    body = read_as(PipelineJobBody, raw)
    return page_of(await run_in_threadpool(_estimate, request, caller, body, raw, project, location))


def _estimate(
    request: Request, caller: Principal, body: PipelineJobBody, raw: Mapping[str, Any], project: str, location: str
) -> dict[str, Any]:
    settings: Settings = request.app.state.settings
    store: Store = request.app.state.store
    inspector: Inspector = request.app.state.inspector
    plan = understand(body, raw, project, location, settings).plan
    named = {"dataset_uri": plan.spec.dataset, "evaluation_data_uri": plan.spec.evaluation_data}
    uris = datasets.refuse_unreadable(request, caller, {field: uri for field, uri in named.items() if uri})
    spec = plan.spec.model_dump(mode="json", exclude_unset=True)
    found = datasets.asked(
        inspector, "estimate", uris, dataset=plan.spec.dataset, evaluation_data=plan.spec.evaluation_data, spec=spec
    )
    said = {
        **datasets.report(found),
        "refusedExamples": found.get("refused", 0),
        "batchSize": plan.batch_size,
        "steps": plan.spec.train_steps,
        "contextTokens": plan.context_tokens,
        "queuePosition": _place(plan, settings, store),
    }
    said.pop("tokens", None)
    return said | (_figures(plan, found, settings, store, inspector) if "survey" in found else {})


def _figures(
    plan: TuningPlan, found: Mapping[str, Any], settings: Settings, store: Store, inspector: Inspector
) -> dict[str, Any]:
    """What follows from the counted tokens."""
    survey = found["survey"]
    counted = {
        "examples": survey["examples"],
        "evaluationExamples": survey["evaluation_examples"],
        "tokens": survey["tokens"],
        "targetTokens": survey["target_tokens"],
        "longestTokens": survey["longest"],
        "epochs": survey["epochs"],
    }
    if found["dimensions"] is None:
        return {
            **counted,
            "device": UNKNOWN,
            "deviceKnown": "the base model's config.json has dimensions of another form",
        }
    device = _device(plan, settings, store, inspector)
    if device.machine is None:
        return {**counted, "device": UNKNOWN, "deviceKnown": device.known}
    counts = Counts(**{name: survey[name] for name in Counts._fields})
    expected = cost.estimate(plan, Dimensions(**found["dimensions"]), counts, device.machine)
    return {
        **counted,
        **present(
            seconds=expected.seconds,
            tokensPerSecond=expected.tokens_per_s,
            memoryBytes=expected.memory_bytes,
            memoryAvailableBytes=device.machine.memory_bytes,
            device=expected.device,
            dtype=expected.dtype,
            deviceKnown=device.known,
        ),
    }


def _device(plan: TuningPlan, settings: Settings, store: Store, inspector: Inspector) -> _Device:
    worker = store.last_worker()
    if worker is None or process.is_here(worker):
        return _Device(inspector.machine(plan.spec.precision), "measured on this server's machine, where jobs run")
    last = store.last_tuned()
    if last is not None:
        attempt = JobFolder(settings.jobs / last.job_id).attempt(pipeline.TUNE, last.number)
        try:
            said = folder.read_json(attempt.result).get("machine")
        except (NotFound, DataLoss):
            said = None
        if said is not None:
            return _Device(Machine(**said), "measured by the last job that was tuned, on its worker's machine")
    return _Device(None, "jobs run on another machine than this server, and none has been tuned there yet")


def _place(plan: TuningPlan, settings: Settings, store: Store) -> int:
    """In the queue of its pool, from 1; 0: it would begin at once."""
    pool = plan.spec.accelerator_type
    use = store.pool_use(pool)
    fits = use.used + catalog.POOLS[pool].quota_multiple <= settings.pools.get(pool, 0)
    return 0 if fits and not use.waiting else use.waiting + 1
