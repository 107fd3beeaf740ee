"""Models: the publisher's (the reference product's names, over base models) and the tuned ones of the registry.

A tuned model is shown as Vertex shows one: with the label by which the SDK finds it, its versions and aliases, where it
is deployed, and its evaluation. What a version is never changes; names, labels and aliases do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from tunesmith import catalog, filters, resources
from tunesmith.api import operations, predictions
from tunesmith.api.auth import Tuner, Viewer
from tunesmith.api.wire import (
    Listing,
    Wire,
    body_of,
    documented,
    filter_value,
    masked,
    parse_json,
    present,
    read_as,
    read_body,
    timestamp,
)
from tunesmith.errors import InvalidArgument, NotFound
from tunesmith.settings import Settings
from tunesmith.store import Model, Store

PARENT = "/v1/projects/{project}/locations/{location}/models"
MAX_NAME = 128
MAX_DESCRIPTION = 8192
PEFT, SAFETENSORS = "peft", "safetensors"
"""Formats in which versions lie in the registry, and leave it."""
_SCHEMA = "gs://google-cloud-aiplatform/schema/predict/{part}/{stem}_generation_1.0.0.yaml"
_TEMPLATE = "projects/{user-project}/locations/{location}/publishers/google/models/"
_EVAL_SCHEMA = "gs://google-cloud-aiplatform/schema/modelevaluation/text_generation_metrics_1.0.0.yaml"

router = APIRouter(tags=["models"])


class ModelUpdate(Wire):
    """What of a model can be changed. Clients send the whole model; the mask says what of it counts."""

    display_name: str = ""
    description: str = ""
    labels: dict[str, str] = Field(default_factory=dict)


class Aliases(Wire):
    """Aliases to give a version, or with a `-` before them to take away."""

    version_aliases: list[str]


# The publisher's.


def get_publisher_model(request: Request, caller: Viewer, model: str) -> dict[str, Any]:
    """A model of the reference product, or of the catalog, as something that can be tuned and asked."""
    settings: Settings = request.app.state.settings
    found = publisher_model(model, settings)
    stem = found.name.partition("@")[0].partition("-bison")[0] if found.reference else "code"
    parts = {"instanceSchemaUri": "instance", "parametersSchemaUri": "params", "predictionSchemaUri": "prediction"}
    plain, _, version = found.name.partition("@")
    return {
        "name": f"publishers/google/models/{plain}",
        "versionId": version or "001",
        "openSourceCategory": "PROPRIETARY",
        "launchStage": "GA",
        "publisherModelTemplate": _TEMPLATE + found.name,
        "predictSchemata": {key: _SCHEMA.format(part=part, stem=stem) for key, part in parts.items()},
    }


for _prefix in ("/v1", "/v1beta1"):
    router.add_api_route(
        _prefix + "/publishers/google/models/{model}",
        get_publisher_model,
        methods=["GET"],
        operation_id=f"get_publisher_model{_prefix.replace('/', '_')}",
    )


class Published(NamedTuple):
    """A publisher model: the name with which it is tuned and asked, and what stands behind it."""

    name: str
    base: catalog.BaseModel
    reference: catalog.ReferenceModel | None


def publisher_model(name: str, settings: Settings) -> Published:
    """What a publisher model's id stands for; NotFound if there is none. A missing version is the newest, 002."""
    full = name if "@" in name or name not in catalog.REFERENCE_MODELS else f"{name}@002"
    known = full in catalog.REFERENCE_MODELS or full in catalog.BASE_MODELS
    if not known:
        raise NotFound(f"Publisher Model `publishers/google/models/{name}` is not found.", name=name)
    found = catalog.find(full, settings.aliases, settings.base_models)
    return Published(full, found.base, found.reference)


# The registry's.


@router.get(PARENT)
def list_models(
    request: Request,
    caller: Viewer,
    project: str,
    location: str,
    listing: Annotated[Listing, Depends()],
) -> JSONResponse:
    """Models of a project in a region, each in its default version, newest first unless another order is asked for."""
    store: Store = request.app.state.store
    parent = f"projects/{project}/locations/{location}/models"
    page = store.list_models(project, location, listing.query(parent, filter_value))
    models = [masked(shown(model, store), listing.read_mask) for model in page.rows]
    following = listing.token(parent, page.next_position)
    return JSONResponse(present(models=models, nextPageToken=following))


@router.get(PARENT + "/{model}:listVersions")
def list_model_versions(request: Request, caller: Viewer, project: str, location: str, model: str) -> JSONResponse:
    """All versions of a model, newest first."""
    store: Store = request.app.state.store
    versions = store.model_versions(_name(project, location, model))
    return JSONResponse({"models": [shown(version, store) for version in versions]})


@router.get(PARENT + "/{model}")
def get_model(request: Request, caller: Viewer, project: str, location: str, model: str) -> JSONResponse:
    """A model; `N@VERSION` or `N@ALIAS` for another version than the default one."""
    store: Store = request.app.state.store
    return JSONResponse(shown(find(store, project, location, model), store))


@router.patch(PARENT + "/{model}", openapi_extra=documented(ModelUpdate))
async def update_model(
    request: Request,
    caller: Tuner,
    project: str,
    location: str,
    model: str,
    update_mask: Annotated[str, Query(alias="updateMask")] = "",
) -> JSONResponse:
    """Changes a model's display name, description or labels: what the mask names, or what is given without one."""
    raw = parse_json(await read_body(request))
    return JSONResponse(await run_in_threadpool(_update, request, raw, _name(project, location, model), update_mask))


def _update(request: Request, raw: Any, name: str, update_mask: str) -> dict[str, Any]:
    store: Store = request.app.state.store
    if not isinstance(raw, Mapping):
        raise InvalidArgument.of("body", "must be a JSON object")
    known = ("display_name", "description", "labels")
    masks = [filters.snake_case(part.strip()) for part in update_mask.split(",") if part.strip()]
    for mask in masks:
        if mask.partition(".")[0] not in known:
            raise InvalidArgument.of("updateMask", f"{mask!r} cannot be changed; can: displayName, description, labels")
    given = {filters.snake_case(key): value for key, value in raw.items() if filters.snake_case(key) in known}
    body = read_as(ModelUpdate, given)
    chosen = {mask.partition(".")[0] for mask in masks} or set(given)
    check_texts(body)
    changed = store.update_model(
        name,
        display_name=body.display_name if "display_name" in chosen else None,
        description=body.description if "description" in chosen else None,
        labels=_kept_labels(store.model(name), body.labels) if "labels" in chosen else None,
    )
    return shown(changed, store)


@router.post(PARENT + "/{model}:mergeVersionAliases", openapi_extra=documented(Aliases))
def merge_version_aliases(
    request: Request,
    caller: Tuner,
    project: str,
    location: str,
    model: str,
    body: Annotated[Aliases, Depends(body_of(Aliases))],
) -> JSONResponse:
    """Gives a version aliases, or takes them away."""
    store: Store = request.app.state.store
    if not body.version_aliases:
        raise InvalidArgument.of("versionAliases", "is empty; nothing would change")
    changed = store.merge_aliases(_name(project, location, model), body.version_aliases)
    return JSONResponse(shown(changed, store))


@router.delete(PARENT + "/{model}:deleteVersion")
def delete_model_version(request: Request, caller: Tuner, project: str, location: str, model: str) -> dict[str, Any]:
    """Deletes one version that is neither the default nor deployed."""
    store: Store = request.app.state.store
    store.delete_version(_name(project, location, model))
    return operations.done(store, project, location, "DeleteOperationMetadata", operations.EMPTY)


@router.delete(PARENT + "/{model}")
def delete_model(request: Request, caller: Tuner, project: str, location: str, model: str) -> dict[str, Any]:
    """Deletes a model with all versions and their files; refused while one is deployed."""
    store: Store = request.app.state.store
    store.delete_model(_name(project, location, model))
    return operations.done(store, project, location, "DeleteOperationMetadata", operations.EMPTY)


@router.get(PARENT + "/{model}/evaluations")
def list_model_evaluations(request: Request, caller: Viewer, project: str, location: str, model: str) -> JSONResponse:
    """What was measured of a version at the end of its job."""
    found = find(request.app.state.store, project, location, model)
    return JSONResponse(present(modelEvaluations=_evaluations(found)))


@router.get(PARENT + "/{model}/evaluations/{evaluation}")
def get_model_evaluation(
    request: Request, caller: Viewer, project: str, location: str, model: str, evaluation: str
) -> JSONResponse:
    """One evaluation of a version."""
    found = find(request.app.state.store, project, location, model)
    for one in _evaluations(found):
        if one["name"].endswith(f"/{evaluation}"):
            return JSONResponse(one)
    raise NotFound(f"{found.name} has no evaluation {evaluation!r}", name=evaluation)


def find(store: Store, project: str, location: str, model: str) -> Model:
    """The project's model of that id (with `@version`); NotFound in the words of the reference product."""
    name = _name(project, location, model)
    try:
        return store.model(name)
    except NotFound as error:
        raise NotFound(f"The Model `{name}` is not found.", name=name) from error


def shown(model: Model, store: Store) -> dict[str, Any]:
    """The model as Vertex spells it, and in one object of ours what Vertex has no field for.

    Not for what is inside an operation, where clients take no field that they do not know.
    """
    own = present(
        baseModel=model.base_model,
        kind=predictions.kind_of(model),
        job=model.job and model.job.rpartition(".")[2],
        metrics=dict(model.metrics),
        lineage=dict(model.lineage),
    )
    return {**to_wire(model, store), "tunesmith": own}


def to_wire(model: Model, store: Store) -> dict[str, Any]:
    """The model's version as Vertex spells it."""
    return present(
        name=model.name,
        displayName=model.display_name,
        description=model.description,
        versionId=model.version_id,
        versionAliases=list(model.aliases),
        versionCreateTime=timestamp(model.version_create_time),
        versionUpdateTime=timestamp(model.update_time),
        createTime=timestamp(model.create_time),
        updateTime=timestamp(model.update_time),
        etag=f"{model.update_time:.6f}",
        labels=dict(model.labels),
        versionDescription=model.lineage.get("version_description"),
        artifactUri=model.lineage.get("source", {}).get("artifact_uri"),
        containerSpec=model.lineage.get("source", {}).get("container_spec"),
        encryptionSpec=model.lineage.get("source", {}).get("encryption_spec"),
        modelSourceInfo={"sourceType": "CUSTOM" if "source" in model.lineage else "GENIE"},
        pipelineJob=model.lineage.get("job"),
        deployedModels=[{"endpoint": d.endpoint, "deployedModelId": d.id} for d in model.deployments],
        supportedDeploymentResourcesTypes=["SHARED_RESOURCES", "DEDICATED_RESOURCES"],
        supportedExportFormats=[{"id": export_format(model), "exportableContents": ["ARTIFACT"]}],
        supportedInputStorageFormats=["jsonl"],
        supportedOutputStorageFormats=["jsonl"],
    )


def export_format(model: Model) -> str:
    """In which format the version's files can be had: an adapter beside its base, or a whole model."""
    return SAFETENSORS if model.lineage.get("tuning", {}).get("method") == "full" else PEFT


def _evaluations(model: Model) -> list[dict[str, Any]]:
    metrics = model.metrics.get("tuning") or {}
    evaluated = {key: value for key, value in metrics.items() if key.startswith("eval_")}
    compared = {key: model.metrics[key] for key in ("base", "tuned", "forgetting") if key in model.metrics}
    if not evaluated and not compared:
        return []
    return [
        {
            "name": f"{model.name}/evaluations/{model.version_id}",
            "displayName": "evaluation of the tuning job",
            "metricsSchemaUri": _EVAL_SCHEMA,
            "metrics": {**evaluated, **compared},
            "createTime": timestamp(model.version_create_time),
        }
    ]


def _name(project: str, location: str, model: str) -> str:
    name = f"projects/{project}/locations/{location}/models/{model}"
    try:
        resources.parse_model_name(name)
    except InvalidArgument as error:
        raise NotFound(f"The Model `{name}` is not found.", name=name) from error
    return name


def _kept_labels(model: Model, labels: Mapping[str, str]) -> dict[str, str]:
    """The new labels, and the one by which the SDK knows what the model was tuned from: without it nothing loads it."""
    kept = {resources.BASE_MODEL_LABEL: model.labels[resources.BASE_MODEL_LABEL]}
    return {**labels, **kept} if resources.BASE_MODEL_LABEL in model.labels else dict(labels)


def check_texts(body: ModelUpdate) -> None:
    """InvalidArgument for a name, a description or labels that Vertex would not take."""
    if len(body.display_name) > MAX_NAME:
        raise InvalidArgument.of("displayName", f"has {len(body.display_name)} characters; at most {MAX_NAME}")
    if len(body.description) > MAX_DESCRIPTION:
        raise InvalidArgument.of("description", f"has {len(body.description)} characters; at most {MAX_DESCRIPTION}")
    resources.check_labels(body.labels)
