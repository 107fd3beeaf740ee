"""Who calls, and what they may do: bearer keys scoped to a project, or nobody but this machine.

A browser that has signed in sends a cookie in a key's place (sessions.py). Other pages can make it send that cookie
too, so it counts only where the browser says, or a header that no other page can set proves, that our own page asks.

While no key is in force the server is for this machine's users alone (it then listens on loopback only), and a request
must name this machine as its host: a web page that makes a browser call it under another name is refused. Once there
is a key, every request needs one.
"""

from __future__ import annotations

import ipaddress
import urllib.parse
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from tunesmith.errors import PermissionDenied, Unauthenticated
from tunesmith.resources import Role
from tunesmith.store import Key, Store

COOKIE = "tunesmith_console"
PLACE = "/"
"""Where its pass is of use: everywhere on this server."""
PAGE_HEADER = "x-tunesmith-console"
"""The console sets it to 1 on whatever changes something; a page of another origin would have to ask first."""

_RANK: dict[Role, int] = {"viewer": 0, "tuner": 1, "admin": 2}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls."""

    project: str | None
    """The only project that may be touched; None: every project."""
    role: Role
    name: str = ""
    """Of the key; empty where none is wanted."""

    def check(self, project: str | None, role: Role) -> None:
        """PermissionDenied unless this role, or a higher one, is held in that project (None: in every project)."""
        if self.project is not None and project != self.project:
            raise PermissionDenied(f"this key is for project {self.project}, not for {project or 'every project'}")
        if _RANK[self.role] < _RANK[role]:
            raise PermissionDenied(f"this takes the role {role}; this key has the role {self.role}")


async def principal(request: Request) -> Principal:
    """Who calls; Unauthenticated without a key that is in force, once there are keys."""
    return await run_in_threadpool(caller_of, request)


def viewer(request: Request, caller: Annotated[Principal, Depends(principal)]) -> Principal:
    """The caller, who may look at the project in the path."""
    return _checked(request, caller, "viewer")


def tuner(request: Request, caller: Annotated[Principal, Depends(principal)]) -> Principal:
    """The caller, who may submit, change and predict in the project in the path."""
    return _checked(request, caller, "tuner")


def admin(request: Request, caller: Annotated[Principal, Depends(principal)]) -> Principal:
    """The caller, who is an admin of the project in the path; without one in it, of the caller's own or of all."""
    return _checked(request, caller, "admin")


Viewer = Annotated[Principal, Depends(viewer)]
Tuner = Annotated[Principal, Depends(tuner)]
Admin = Annotated[Principal, Depends(admin)]


def _checked(request: Request, caller: Principal, role: Role) -> Principal:
    caller.check(request.path_params.get("project", caller.project), role)
    return caller


def caller_of(request: Request) -> Principal:
    """As `principal`, for those who are in a thread already."""
    store: Store = request.app.state.store
    if "key" in request.query_params or "access_token" in request.query_params:
        raise Unauthenticated("a key in the URL ends up in logs; send it as `Authorization: Bearer KEY`")
    if not store.has_keys():
        _refuse_foreign_host(request)
        return Principal(None, "admin")
    if "authorization" not in request.headers and COOKIE in request.cookies:
        return _of_session(request, store)
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not secret:
        raise Unauthenticated("this server wants a key: send it as `Authorization: Bearer KEY`")
    key = store.key_of(secret.strip())
    if key is None:
        raise Unauthenticated("no key in force has this secret; `tunesmith keys create` makes one")
    return of_key(key)


def of_key(key: Key) -> Principal:
    """Who calls with that key."""
    return Principal(key.project, key.role, key.name)


def refuse_foreign_page(request: Request) -> None:
    """PermissionDenied for a request that a page of another origin makes a browser send.

    Browsers say so themselves where the connection is safe. Elsewhere the header that only our page sets stands for
    it, since a page of another origin would have to be allowed to set one; what only reads gives such a page nothing.
    """
    site = request.headers.get("sec-fetch-site")
    reads = request.method in ("GET", "HEAD")
    own_page = request.headers.get(PAGE_HEADER) == "1"
    origin = request.headers.get("origin")
    foreign = origin is not None and urllib.parse.urlsplit(origin).netloc != request.headers.get("host", "")
    known = site in (None, "same-origin") or (site == "none" and reads)
    if foreign or not known or not (reads or own_page):
        raise PermissionDenied(
            "a session of the console counts only for this server's own page; other clients send a key"
        )


def _of_session(request: Request, store: Store) -> Principal:
    refuse_foreign_page(request)
    key = store.key_of_pass(request.cookies[COOKIE], PLACE)
    if key is None:
        raise Unauthenticated("the session has ended; sign in again")
    return of_key(key)


def _refuse_foreign_host(request: Request) -> None:
    host = (request.url.hostname or "").rstrip(".")
    if host == "localhost" or _is_loopback(host):
        return
    raise PermissionDenied(
        f"without keys this server answers to localhost only, not to {host!r}; `tunesmith keys create` makes a key"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
