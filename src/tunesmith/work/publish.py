"""The task upload-llm-model, all but its transaction: a tuned model's folder in the registry.

In: the attempt folders of a job's tasks that succeeded. Out: settings.models/N/1, complete or absent, with adapter/
(or model/), spec.json, lineage.json, README.md and report/; and what the registry's row says. Done again after a crash,
or by two workers at once, it leaves one folder: each fills a folder of its own, and one rename wins.
Opens no tensors: weights are copied as they are, after their hashes were checked.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tunesmith
from tunesmith import catalog, folder, pipeline, resources
from tunesmith.folder import AttemptFolder
from tunesmith.model_card import model_card
from tunesmith.spec import TuningPlan
from tunesmith.store import Job

LINEAGE = "lineage.json"

# In a result for the next task's sake only: where something lies on this machine.
_PATHS = ("shards", "tuned", "base", "versions")


@dataclass(frozen=True, slots=True)
class Published:
    """What the registry's row says of the model."""

    labels: Mapping[str, str]
    lineage: Mapping[str, Any]
    metrics: Mapping[str, Any]


def publish(job: Job, inputs: Mapping[str, AttemptFolder], *, name: str, target: Path, now_s: float) -> Published:
    """Makes the folder `target` of the model `name`, unless it is there; DataLoss if the tuned weights are damaged.

    inputs  the attempt that succeeded, of each task before this one
    """
    results = {task: folder.read_json(found.result) for task, found in inputs.items()}
    if not _is_whole(target):
        lineage = _lineage(job, results, name, now_s)
        # A name of its own: a worker that was taken for dead may be filling one too.
        staging = target.with_name(f".{target.name}-{secrets.token_hex(4)}")
        with folder.sealed(staging) as unfinished:
            _fill(unfinished, job.plan, inputs, results, name, lineage)
        _move(staging, target)
    reference, base_model = job.plan.reference, job.plan.base_model
    return Published(
        labels={resources.BASE_MODEL_LABEL: resources.base_model_label(base_model, reference)},
        lineage=folder.read_json(target / LINEAGE),
        metrics=_metrics(results),
    )


def remove_leftovers(target: Path) -> None:
    """What killed workers left beside the complete folder of a model."""
    for left in target.parent.glob(f".*{target.name}-*"):
        shutil.rmtree(left, ignore_errors=True)


def _fill(
    unfinished: Path,
    plan: TuningPlan,
    inputs: Mapping[str, AttemptFolder],
    results: Mapping[str, Any],
    name: str,
    lineage: Mapping[str, Any],
) -> None:
    checked, tuned, compared = (results[task] for task in (pipeline.VALIDATE, pipeline.TUNE, pipeline.EVALUATE))
    weights = Path(tuned["tuned"])
    folder.verify(weights)
    shutil.copytree(weights, unfinished / ("adapter" if tuned["method"] == "lora" else "model"))
    folder.write_json(unfinished / "spec.json", plan.model_dump(mode="json"))
    folder.write_json(unfinished / LINEAGE, lineage)
    card = model_card(plan, name=name, checked=checked, tuned=tuned, compared=compared)
    folder.write_text(unfinished / "README.md", card)
    folder.write_json(unfinished / "report" / "evaluation.json", compared)
    metrics = inputs[pipeline.TUNE].metrics
    if metrics.exists():
        shutil.copy2(metrics, unfinished / "report" / metrics.name)


def _lineage(job: Job, results: Mapping[str, Any], name: str, now_s: float) -> dict[str, Any]:
    """All that made the model: what was asked, the data and the base by hash, the code, the libraries, the times."""
    plan = job.plan
    checked, tuned = results[pipeline.VALIDATE], results[pipeline.TUNE]
    known = catalog.known(plan.base_model)
    base = {"name": checked["base"]["name"], "sha256": checked["base"]["sha256"], "reference": plan.reference}
    return {
        "model": name,
        "job": job.name,
        "plan_sha256": plan.sha256(),
        "plan": plan.model_dump(mode="json"),
        "base": base | {"licence": known.licence if known else "unknown"},
        "data": _without_paths(checked),
        "tuning": _without_paths(tuned),
        "versions": {task: result.get("versions", {}) for task, result in results.items()},
        "code_version": tunesmith.__version__,
        "times": {
            "created": resources.rfc3339(job.create_time),
            "started": resources.rfc3339(job.start_time or job.create_time),
            "registered": resources.rfc3339(now_s),
        },
    }


def _metrics(results: Mapping[str, Any]) -> dict[str, Any]:
    tuned, compared = results[pipeline.TUNE], results[pipeline.EVALUATE]
    said = {key: tuned[key] for key in ("steps", "selected_step", "stopped_early") if key in tuned}
    measured = {key: compared[key] for key in ("held_out", "base", "tuned", "kinds", "forgetting") if key in compared}
    return {**said, "tuning": tuned["metrics"], **measured}


def _is_whole(target: Path) -> bool:
    return (target / folder.MANIFEST).is_file()


def _move(staging: Path, target: Path) -> None:
    """Gives the finished folder its name; if another worker's has it already, that one is as good."""
    try:
        os.rename(staging, target)
    except OSError:
        if not _is_whole(target):
            raise
        shutil.rmtree(staging)
    folder.sync_directory(target.parent)


def _without_paths(result: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key not in _PATHS}
