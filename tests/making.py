"""What many tests need: a plan, a store in a temporary home."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from database_server import settings_for
from tunesmith import catalog
from tunesmith.spec import TuningPlan, TuningSpec, resolve
from tunesmith.store import Store, open_store


def make_plan(**fields: Any) -> TuningPlan:
    """The plan of a spec with these fields, over the embedded model."""
    spec = TuningSpec.parse({"dataset": "/data/train.jsonl", **fields})
    return resolve(spec, catalog.find(spec.base_model, {}, Path("/nowhere")))


def make_store(home: Path) -> Store:
    return open_store(settings_for(home))
