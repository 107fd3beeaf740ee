"""Endpoints: what is deployed where, who gets which share of the traffic, and the routes that predict.

Deploying writes a row; the worker keeps the serving processes that deployed models need. A prediction goes to one
deployed model by the traffic split, or to a publisher's model; a name that is not known is never answered by another.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from tunesmith import catalog, filters, resources
from tunesmith.api import models, operations, predictions
from tunesmith.api.auth import Tuner, Viewer
from tunesmith.api.predictions import Target
from tunesmith.api.wire import (
    Encryption,
    Flag,
    Listing,
    Whole,
    Wire,
    body_of,
    documented,
    filter_value,
    parse_json,
    present,
    read_as,
    read_body,
    timestamp,
)
from tunesmith.errors import FailedPrecondition, InvalidArgument, NotFound
from tunesmith.resources import EndpointName
from tunesmith.store import DeployedModel, Endpoint, Store, Wanted

PARENT = "/v1/projects/{project}/locations/{location}/endpoints"
_PUBLISHER = "/projects/{project}/locations/{location}/publishers/google/models/{model}"

router = APIRouter(tags=["endpoints"])


class EndpointBody(Wire):
    """An endpoint as a client sends it. What only the server fills in is taken and not looked at."""

    display_name: str = ""
    description: str = ""
    labels: dict[str, str] | None = None
    traffic_split: dict[str, Whole] | None = None
    name: Any = None
    etag: Any = None
    create_time: Any = None
    update_time: Any = None
    deployed_models: Any = None
    network: str = ""
    encryption_spec: Encryption | None = None
    dedicated_endpoint_enabled: Flag = False
    enable_private_service_connect: Flag = False


class DeployedModelBody(Wire):
    """A model to deploy. Resources are given back as they came: a serving process takes what the machine has."""

    model: str
    id: str = ""
    display_name: str = ""
    model_version_id: Any = None
    dedicated_resources: dict[str, Any] | None = None
    automatic_resources: dict[str, Any] | None = None
    shared_resources: str = ""
    service_account: str = ""
    enable_access_logging: Flag = False
    disable_container_logging: Flag = False
    enable_container_logging: Flag = False
    create_time: Any = None


class Deploy(Wire):
    """The body of :deployModel."""

    deployed_model: DeployedModelBody
    traffic_split: dict[str, Whole] | None = None


class Undeploy(Wire):
    """The body of :undeployModel."""

    deployed_model_id: str
    traffic_split: dict[str, Whole] | None = None


@router.post(PARENT, openapi_extra=documented(EndpointBody))
def create_endpoint(
    request: Request,
    caller: Tuner,
    project: str,
    location: str,
    body: Annotated[EndpointBody, Depends(body_of(EndpointBody))],
    endpoint_id: Annotated[str | None, Query(alias="endpointId")] = None,
) -> dict[str, Any]:
    """A new endpoint with nothing on it."""
    store: Store = request.app.state.store
    if not 0 < len(body.display_name) <= models.MAX_NAME:
        raise InvalidArgument.of("displayName", f"must have 1 to {models.MAX_NAME} characters")
    resources.check_labels(body.labels or {})
    if endpoint_id is not None:
        resources.parse_endpoint_name(str(EndpointName(project, location, endpoint_id)))
    made = store.create_endpoint(
        project,
        location,
        display_name=body.display_name,
        description=body.description,
        labels=body.labels,
        endpoint_id=endpoint_id,
        kms_key_name=body.encryption_spec.kms_key_name if body.encryption_spec else None,
    )
    response = operations.message("Endpoint", **to_wire(made))
    return operations.done(store, project, location, "CreateEndpointOperationMetadata", response)


@router.get(PARENT)
def list_endpoints(
    request: Request,
    caller: Viewer,
    project: str,
    location: str,
    listing: Annotated[Listing, Depends()],
) -> JSONResponse:
    """Endpoints of a project in a region, newest first unless another order is asked for."""
    store: Store = request.app.state.store
    parent = f"projects/{project}/locations/{location}/endpoints"
    page = store.list_endpoints(project, location, listing.query(parent, filter_value))
    following = listing.token(parent, page.next_position)
    return JSONResponse(present(endpoints=[to_wire(one) for one in page.rows], nextPageToken=following))


@router.get(PARENT + "/{endpoint}")
def get_endpoint(request: Request, caller: Viewer, project: str, location: str, endpoint: str) -> JSONResponse:
    """An endpoint, with what is deployed on it."""
    return JSONResponse(to_wire(_find(request.app.state.store, project, location, endpoint)))


@router.patch(PARENT + "/{endpoint}", openapi_extra=documented(EndpointBody))
async def update_endpoint(
    request: Request,
    caller: Tuner,
    project: str,
    location: str,
    endpoint: str,
    update_mask: Annotated[str, Query(alias="updateMask")] = "",
) -> JSONResponse:
    """Changes an endpoint's display name, description, labels or traffic split."""
    body = read_as(EndpointBody, parse_json(await read_body(request)))
    return JSONResponse(await run_in_threadpool(_update, request, body, project, location, endpoint, update_mask))


def _update(
    request: Request, body: EndpointBody, project: str, location: str, endpoint: str, update_mask: str
) -> dict[str, Any]:
    store: Store = request.app.state.store
    known = ("display_name", "description", "labels", "traffic_split")
    masks = {filters.snake_case(part.strip()).partition(".")[0] for part in update_mask.split(",") if part.strip()}
    if not masks <= set(known):
        raise InvalidArgument.of("updateMask", "can name displayName, description, labels and trafficSplit")
    chosen = masks or {name for name in known if name in body.model_fields_set}
    resources.check_labels(body.labels or {})
    values = {name: getattr(body, name) or ({} if name in ("labels", "traffic_split") else "") for name in chosen}
    found = _find(store, project, location, endpoint)
    return to_wire(store.update_endpoint(found.name, values))


@router.delete(PARENT + "/{endpoint}")
def delete_endpoint(request: Request, caller: Tuner, project: str, location: str, endpoint: str) -> dict[str, Any]:
    """Deletes an endpoint with nothing on it."""
    store: Store = request.app.state.store
    store.delete_endpoint(_find(store, project, location, endpoint).name)
    return operations.done(store, project, location, "DeleteOperationMetadata", operations.EMPTY)


@router.post(PARENT + "/{endpoint}:deployModel", openapi_extra=documented(Deploy))
def deploy_model(
    request: Request,
    caller: Tuner,
    project: str,
    location: str,
    endpoint: str,
    body: Annotated[Deploy, Depends(body_of(Deploy))],
) -> dict[str, Any]:
    """Puts a model's version on an endpoint. In the traffic split, "0" is the one that is being deployed."""
    store: Store = request.app.state.store
    found, asked = _find(store, project, location, endpoint), body.deployed_model
    plain = resources.parse_model_name(asked.model)
    if (plain.project, plain.location) != (project, location):
        raise InvalidArgument.of("deployedModel.model", f"must be of projects/{project}/locations/{location}")
    kept = asked.model_dump(by_alias=True, exclude_none=True, include={"dedicated_resources", "automatic_resources"})
    version = asked.model.partition("@")[2]
    deployed = store.deploy_model(
        found.name,
        models.find(store, project, location, plain.id + (f"@{version}" if version else "")).name
        + (f"@{version}" if version else ""),
        display_name=asked.display_name,
        request=kept,
        traffic_split=body.traffic_split,
    )
    response = operations.message("DeployModelResponse", deployedModel=_deployed(deployed))
    return operations.done(store, project, location, "DeployModelOperationMetadata", response)


@router.post(PARENT + "/{endpoint}:undeployModel", openapi_extra=documented(Undeploy))
def undeploy_model(
    request: Request,
    caller: Tuner,
    project: str,
    location: str,
    endpoint: str,
    body: Annotated[Undeploy, Depends(body_of(Undeploy))],
) -> dict[str, Any]:
    """Takes a model off an endpoint."""
    store: Store = request.app.state.store
    found = _find(store, project, location, endpoint)
    store.undeploy_model(found.name, body.deployed_model_id, traffic_split=body.traffic_split)
    response = operations.message("UndeployModelResponse")
    return operations.done(store, project, location, "UndeployModelOperationMetadata", response)


# Predicting.


def _path_parameters(path: str) -> list[dict[str, Any]]:
    """For the OpenAPI document: the routes below take what is in their path from the request."""
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def target_of(request: Request) -> Target:
    """What the path names: an endpoint's model, or a publisher's."""
    parts = request.path_params
    if "endpoint" in parts:
        return _deployed_target(request, parts["project"], parts["location"], parts["endpoint"])
    return _publisher_target(request, parts["model"])


Targeted = Annotated[Target, Depends(target_of)]


async def predict(request: Request, caller: Tuner, target: Targeted) -> JSONResponse:
    """Predictions of a deployed model, or of the base model that stands for a publisher's."""
    return JSONResponse(await predictions.predict(request, target, await _body(request)))


async def server_streaming_predict(
    request: Request, caller: Tuner, target: Targeted, usage: bool = False
) -> StreamingResponse:
    """One prediction in pieces: a JSON array that grows. With `usage` it ends with the reason why, and with tokens."""
    chunks = await predictions.stream(request, target, await _body(request), usage=usage)
    return StreamingResponse(chunks, media_type="application/json")


async def count_tokens(request: Request, caller: Viewer, target: Targeted) -> JSONResponse:
    """How many tokens instances have for a model."""
    return JSONResponse(await predictions.count_tokens(request, target, await _body(request)))


_TENSORS = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}
_VERBS: Mapping[str, Callable[..., Any]] = {
    "predict": predict,
    "serverStreamingPredict": server_streaming_predict,
    "countTokens": count_tokens,
}
for _version in ("/v1", "/v1beta1"):
    for _target, _path in (("endpoint", PARENT.removeprefix("/v1") + "/{endpoint}"), ("publisher", _PUBLISHER)):
        for _verb, _route in _VERBS.items():
            router.add_api_route(
                f"{_version}{_path}:{_verb}",
                _route,
                methods=["POST"],
                operation_id=f"{_route.__name__}_{_target}_{_version[1:]}",
                openapi_extra={**_TENSORS, "parameters": _path_parameters(_path)},
                response_model=None,
            )


async def _body(request: Request) -> Mapping[str, Any]:
    body = parse_json(await read_body(request))
    if not isinstance(body, Mapping):
        raise InvalidArgument.of("body", "must be a JSON object")
    return body


def _deployed_target(request: Request, project: str, location: str, endpoint: str) -> Target:
    """One of the models deployed at the endpoint, drawn by the traffic split."""
    store: Store = request.app.state.store
    found = _find(store, project, location, endpoint)
    shares = {key: share for key, share in found.traffic_split.items() if share > 0}
    if not shares:
        raise FailedPrecondition(f"Endpoint `{found.name}` doesn't have traffic_split: no model is deployed on it")
    (drawn,) = random.choices(list(shares), list(shares.values()))
    deployed = next(d for d in found.deployed_models if d.id == drawn)
    model = store.model(f"{deployed.model}@{deployed.version_id}")
    return predictions.target_of(model, deployed.id)


def _publisher_target(request: Request, model: str) -> Target:
    found = models.publisher_model(model, request.app.state.settings)
    kind: catalog.Kind = found.reference.kind if found.reference else "generation"
    return Target(Wanted(found.base.name, found.base.name), kind, None)


# An endpoint as it goes out.


def to_wire(endpoint: Endpoint) -> dict[str, Any]:
    """The endpoint as Vertex spells it."""
    return {
        **present(
            name=endpoint.name,
            displayName=endpoint.display_name,
            description=endpoint.description or None,
            labels=dict(endpoint.labels),
            createTime=timestamp(endpoint.create_time),
            updateTime=timestamp(endpoint.update_time),
            etag=f"{endpoint.update_time:.6f}",
            encryptionSpec=present(kmsKeyName=endpoint.kms_key_name),
        ),
        "deployedModels": [_deployed(d) for d in endpoint.deployed_models],
        "trafficSplit": dict(endpoint.traffic_split),
    }


def _deployed(deployed: DeployedModel) -> dict[str, Any]:
    return present(
        id=deployed.id,
        model=deployed.model,
        modelVersionId=deployed.version_id,
        displayName=deployed.display_name,
        createTime=timestamp(deployed.create_time),
        **deployed.request,
    )


def _find(store: Store, project: str, location: str, endpoint: str) -> Endpoint:
    name = f"projects/{project}/locations/{location}/endpoints/{endpoint}"
    try:
        return store.endpoint(name)
    except (NotFound, InvalidArgument) as error:
        raise NotFound(f"Endpoint `{name}` is not found.", name=name) from error
