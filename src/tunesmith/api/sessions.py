"""Signing in with a browser: a key is typed once, and a cookie stands for it from then on.

The cookie is a pass made from the key: it ends after 12 hours, with the browser's session, with the key, or when one
signs out. No script can read it, no other site can send it, and only this server's own page can change anything with
it (auth.py).
"""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from tunesmith import __version__
from tunesmith.api import auth
from tunesmith.api.wire import Wire, body_of, documented
from tunesmith.errors import Unauthenticated
from tunesmith.store import Store

PATH = "/v1/session"
SESSION_S = 12 * 3600.0

router = APIRouter(tags=["session"])


class SignIn(Wire):
    """Who signs in."""

    key: str


@router.get(PATH)
async def get_session(request: Request) -> JSONResponse:
    """Whether this server wants a key, and whose session this is. Answers without a key too."""
    return JSONResponse(await run_in_threadpool(_session, request))


@router.post(PATH, openapi_extra=documented(SignIn))
async def create_session(request: Request, body: Annotated[SignIn, Depends(body_of(SignIn))]) -> JSONResponse:
    """Signs in with a key: the browser gets a cookie that stands for it."""
    auth.refuse_foreign_page(request)
    store: Store = request.app.state.store
    key = await run_in_threadpool(store.key_of, body.key.strip())
    if key is None:
        raise Unauthenticated("no key in force has this secret; `tunesmith keys create` makes one")
    answer = JSONResponse(_said(True, auth.of_key(key)))
    await run_in_threadpool(sign_in, request, answer, body.key.strip())
    return answer


def sign_in(request: Request, answer: Response, secret: str) -> None:
    """Gives the browser a cookie that stands for the key of that secret."""
    store: Store = request.app.state.store
    made = store.make_pass(secret, auth.PLACE, time.time() + SESSION_S)
    if made is not None:
        secure = request.url.scheme == "https"
        answer.set_cookie(auth.COOKIE, made, path="/", httponly=True, samesite="strict", secure=secure)


@router.delete(PATH)
async def delete_session(request: Request) -> JSONResponse:
    """Signs out: the browser forgets the cookie."""
    auth.refuse_foreign_page(request)
    answer = JSONResponse({})
    answer.delete_cookie(auth.COOKIE, path="/", httponly=True, samesite="strict")
    return answer


def _session(request: Request) -> dict[str, Any]:
    store: Store = request.app.state.store
    try:
        return _said(store.has_keys(), auth.caller_of(request))
    except Unauthenticated:
        return _said(True, None)


def _said(keys_required: bool, principal: auth.Principal | None) -> dict[str, Any]:
    said: dict[str, Any] = {"keysRequired": keys_required, "signedIn": principal is not None, "version": __version__}
    if principal is not None:
        said["principal"] = {"name": principal.name, "project": principal.project, "role": principal.role}
    return said
