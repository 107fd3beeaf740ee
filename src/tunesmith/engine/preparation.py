"""From a spec alone to what the loop needs: the plan, the base model's folder and the packed data.

In a job the task `validate-dataset` has done all this before `tune` starts; here it is for whoever calls
`train(spec, folder)` from Python, without a home, a store or a server.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tunesmith import catalog
from tunesmith.engine.model import Prepared, prepare
from tunesmith.folder import AttemptFolder
from tunesmith.spec import TuningPlan, TuningSpec, resolve


class Ready(NamedTuple):
    """All that a run is made of."""

    plan: TuningPlan
    base: Prepared
    shards: Path


def make_ready(
    asked: TuningSpec | TuningPlan,
    attempt: AttemptFolder,
    base: Prepared | None,
    shards: Path | None,
    base_models: Path | None,
    aliases: Mapping[str, str],
) -> Ready:
    """What is missing of plan, base and shards is made; the shards below the attempt's folder, once.

    base_models  folder of prepared base models; None: the default home's.
    """
    models = base_models or Path.home() / ".tunesmith" / "base-models"
    name = asked.base_model
    found = catalog.find(name, aliases, models)
    plan = resolve(asked, found) if isinstance(asked, TuningSpec) else asked
    base = base or prepare(catalog.find(plan.base_model, aliases, models).base, models)
    if shards is None:
        from tunesmith.data import build

        shards = attempt.out / "shards"
        if not shards.is_dir():
            build.build(plan, base.folder, shards)
    return Ready(plan, base, shards)
