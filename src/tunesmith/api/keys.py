"""Keys of the service's users: make one, list them, revoke one. For admins; an admin of one project sees its own only.

A secret is in the answer that makes the key, and nowhere else.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from tunesmith import resources
from tunesmith.api import auth, sessions
from tunesmith.api.auth import Admin, Principal
from tunesmith.api.wire import Wire, body_of, documented, present, timestamp
from tunesmith.errors import NotFound, PermissionDenied
from tunesmith.resources import Role
from tunesmith.store import Key, Store

PATH = "/v1/keys"

router = APIRouter(tags=["keys"])


class NewKeyBody(Wire):
    """The key that is wanted."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    """Whose, or what for."""
    project: str | None = None
    """The only one that it opens; left out: every project."""
    role: Role = "tuner"


@router.get(PATH)
def list_keys(request: Request, caller: Admin) -> dict[str, Any]:
    """The keys, newest first, revoked ones too; without their secrets."""
    store: Store = request.app.state.store
    every = store.keys()
    return {"keys": [_to_wire(key) for key in every if _may_see(caller, key)]}


@router.post(PATH, openapi_extra=documented(NewKeyBody))
def create_key(
    request: Request, caller: Admin, body: Annotated[NewKeyBody, Depends(body_of(NewKeyBody))]
) -> JSONResponse:
    """A new key. From the first one on, every request needs one."""
    if body.project is not None:
        resources.check_project(body.project)
    if caller.project is not None and body.project != caller.project:
        raise PermissionDenied(
            f"an admin of {caller.project} makes keys for {caller.project} only: say so in `project`"
        )
    store: Store = request.app.state.store
    was_open = not store.has_keys()
    made = store.create_key(body.name, body.project, body.role)
    answer = JSONResponse({"key": _to_wire(made.key), "secret": made.secret}, headers={"Cache-Control": "no-store"})
    if was_open and auth.PAGE_HEADER in request.headers:
        sessions.sign_in(request, answer, made.secret)  # the first key shuts nobody out of the page that made it
    return answer


@router.delete(PATH + "/{key}")
def revoke_key(request: Request, caller: Admin, key: str) -> dict[str, Any]:
    """Ends a key for good. Twice is once."""
    store: Store = request.app.state.store
    every = store.keys()
    found = next((one for one in every if one.id == key), None)
    if found is None or not _may_see(caller, found):
        raise NotFound(f"no key has the id {key}", name=key)
    return _to_wire(store.revoke_key(key))


def _may_see(caller: Principal, key: Key) -> bool:
    return caller.project is None or key.project == caller.project


def _to_wire(key: Key) -> dict[str, Any]:
    times = {"createTime": key.create_time, "lastUseTime": key.last_use_time, "revokeTime": key.revoke_time}
    said = {name: timestamp(time) for name, time in times.items()}
    return present(id=key.id, name=key.name, project=key.project, role=key.role, **said)
