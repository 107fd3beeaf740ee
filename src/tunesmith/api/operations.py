"""Long-running operations: made by calls that Vertex answers with one, asked for at /v1, /v1beta1 and /ui."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from tunesmith import resources
from tunesmith.api import auth
from tunesmith.api.auth import Principal
from tunesmith.api.wire import timestamp
from tunesmith.errors import NotFound
from tunesmith.store import Operation, Store

_TYPE = "type.googleapis.com/google.cloud.aiplatform.v1."
EMPTY: Mapping[str, Any] = {"@type": "type.googleapis.com/google.protobuf.Empty"}

router = APIRouter(tags=["operations"])


def done(
    store: Store, project: str, location: str, kind: str, response: Mapping[str, Any], **said: Any
) -> dict[str, Any]:
    """A new operation that has ended well, as it goes out. `kind`: the message of its metadata; `said`: more of it."""
    now_s = time.time()
    times = {"createTime": timestamp(now_s), "updateTime": timestamp(now_s)}
    name = f"projects/{project}/locations/{location}/operations/{resources.new_id()}"
    metadata = {"@type": _TYPE + kind, "genericMetadata": times, **said}
    return _wire(store.add_operation(name, project, metadata, response, now_s=now_s))


def message(kind: str, **fields: Any) -> dict[str, Any]:
    """The response of an operation: a message of the API with its type."""
    return {"@type": _TYPE + kind, **fields}


def get_operation(request: Request, caller: Annotated[Principal, Depends(auth.viewer)]) -> dict[str, Any]:
    """A long-running operation. Those of this server are done when the call that makes them returns."""
    store: Store = request.app.state.store
    parts = request.path_params
    name = f"projects/{parts['project']}/locations/{parts['location']}/operations/{parts['operation']}"
    operation = store.operation(name)
    if operation.project != parts["project"]:
        raise NotFound(f"no operation is called {name}", name=name)
    return _wire(operation)


for _prefix in ("/v1", "/v1beta1", "/ui"):
    router.add_api_route(
        _prefix + "/projects/{project}/locations/{location}/operations/{operation}",
        get_operation,
        methods=["GET"],
        operation_id=f"get_operation{_prefix.replace('/', '_')}",
    )


def _wire(operation: Operation) -> dict[str, Any]:
    return {
        "name": operation.name,
        "metadata": dict(operation.metadata),
        "done": True,
        "response": dict(operation.response),
    }
