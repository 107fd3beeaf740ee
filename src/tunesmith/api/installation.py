"""What this installation is and has: models, regions, pools and their use, defaults, health; and its projects.

Everything is read where it is decided (catalog, spec, settings, store) at the moment of the request; nothing secret,
and no path of the machine but the home's free space.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request

from tunesmith import __version__, catalog, resources
from tunesmith.api import templates
from tunesmith.api.auth import Viewer
from tunesmith.api.wire import present
from tunesmith.settings import Settings
from tunesmith.spec import CONTEXT_TOKENS, EVALUATION_ROWS, TuningSpec, pool_batch_size
from tunesmith.store import Store

RECOMMENDED = {"examples": 500, "fewestSteps": 200, "mostSteps": 1000, "sweep": [100, 200, 500]}
"""What the reference product recommends (S62, S63)."""

router = APIRouter(tags=["installation"])


@router.get("/v1/installation")
def get_installation(request: Request, caller: Viewer) -> dict[str, Any]:
    """What can be tuned here, on what, with which defaults, and how the installation is."""
    settings: Settings = request.app.state.settings
    store: Store = request.app.state.store
    usage = shutil.disk_usage(settings.home)
    return {
        "version": __version__,
        "python": platform.python_version(),
        "database": "postgresql" if settings.database_url else "sqlite",
        "serving": settings.serving,
        "regions": list(catalog.REGIONS),
        "baseModels": [_base_model(base, settings) for base in catalog.BASE_MODELS.values()],
        "referenceModels": [_reference_model(model, settings) for model in catalog.REFERENCE_MODELS.values()],
        "templates": {template.kind: template.uri for template in reversed(templates.TEMPLATES)},
        "pools": [_pool(name, settings, store) for name in sorted(settings.pools)],
        "servers": [
            present(baseModel=server.base_model, state=server.state, error=server.error) for server in store.servers()
        ],
        "disk": {"freeBytes": usage.free, "totalBytes": usage.total},
        "machine": {"cores": os.cpu_count() or 1, "memoryBytes": _memory_bytes()},
        "defaults": {name: field.default for name, field in TuningSpec.model_fields.items() if not field.is_required()},
        "batchSizes": [
            {"acceleratorType": name, "maxContextLength": context, "batchSize": pool_batch_size(name, tokens)}
            for name in ("GPU", "TPU")
            for context, tokens in CONTEXT_TOKENS.items()
        ],
        "recommended": RECOMMENDED,
        "evaluationRows": dict(zip(("fewest", "most"), EVALUATION_ROWS, strict=True)),
        "chatEvaluation": settings.chat_evaluation,
    }


@router.get("/v1/projects")
def list_projects(request: Request, caller: Viewer) -> dict[str, Any]:
    """The projects that the caller may see and that have something: a job, a model, an endpoint or a key."""
    store: Store = request.app.state.store
    names = {resources.LOCAL_PROJECT, *store.projects()} if caller.project is None else {caller.project}
    return {
        "projects": [
            {"projectId": name, "projectNumber": str(resources.project_number(name))} for name in sorted(names)
        ]
    }


def _base_model(base: catalog.BaseModel, settings: Settings) -> Mapping[str, Any]:
    folder = settings.base_models / catalog.folder_name(base.name)
    return present(
        name=base.name,
        contextTokens=base.context_tokens,
        parameters=base.parameters,
        licence=base.licence,
        fim=base.fim is not None,
        chat=base.chat_template,
        available=base.name == catalog.EMBEDDED or (folder / "config.json").is_file(),
    )


def _reference_model(model: catalog.ReferenceModel, settings: Settings) -> dict[str, Any]:
    base = settings.aliases.get(model.name, catalog.EMBEDDED)
    return {
        "name": model.name,
        "kind": model.kind,
        "contextTokens": model.context_tokens,
        "baseModel": Path(base).name if "/" in base and not base.startswith("hf:") else base,
    }


def _pool(name: str, settings: Settings, store: Store) -> dict[str, Any]:
    use = store.pool_use(name)
    devices = settings.pools[name]
    job_units = catalog.POOLS[name].quota_multiple
    return {"acceleratorType": name, "devices": devices, "jobDevices": job_units, **asdict(use)}


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
