"""How far a tuning job is, and how good: the few figures that stand beside it in a list."""

from __future__ import annotations

from typing import Any

from tunesmith import folder, pipeline, resources
from tunesmith.api.curves import ACCURACY, Curves
from tunesmith.api.wire import present
from tunesmith.errors import DataLoss, NotFound
from tunesmith.folder import JobFolder
from tunesmith.settings import Settings
from tunesmith.store import Job


def of(job: Job, settings: Settings, curves: Curves) -> dict[str, Any]:
    """Steps, accuracy, speed and time left, as far as they are known."""
    task = job.task(pipeline.TUNE)
    said: dict[str, Any] = {"steps": job.plan.spec.train_steps}
    if not task.attempt:
        return said
    attempt = JobFolder(settings.jobs / job.id).attempt(pipeline.TUNE, task.attempt)
    try:
        if task.state == "SUCCEEDED":
            return said | _ended(folder.read_json(attempt.result))
        return said | _running(job, folder.read_json(attempt.progress), curves)
    except (NotFound, DataLoss):  # not written yet, or damaged: the job's own page says more
        return said


def _ended(result: dict[str, Any]) -> dict[str, Any]:
    best = result["metrics"].get("best") or {}
    return present(
        step=result["steps"],
        selectedStep=result["selected_step"],
        stoppedEarly=result["stopped_early"],
        bestAccuracy=best.get("accuracy"),
        bestLoss=best.get("loss"),
        tokensPerSecond=result.get("tokens_per_s"),
        device=result.get("device"),
    )


def _running(job: Job, progress: dict[str, Any], curves: Curves) -> dict[str, Any]:
    measured = curves.of(job).get(ACCURACY)
    lives = job.state not in resources.RESTING
    return present(
        step=progress.get("step"),
        bestAccuracy=max(measured.values) if measured else None,
        tokensPerSecond=progress.get("tokens_per_s"),
        secondsLeft=progress.get("seconds_left") if lives else None,
    )
