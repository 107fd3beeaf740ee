"""The application: its routes, the one place where errors become HTTP, and what lives as long as it does.

In: settings. Out: an ASGI application for uvicorn. The store, the object storage and the settings hang on app.state;
there are no globals. Loads no torch, transformers or numpy.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from tunesmith import __version__
from tunesmith.api import (
    batch_prediction_jobs,
    board,
    buckets,
    console,
    dataset_build_jobs,
    datasets,
    document,
    endpoints,
    estimates,
    health,
    installation,
    job_report,
    keys,
    model_export,
    model_upload,
    models,
    operations,
    pipeline_jobs,
    predictions,
    sessions,
    templates,
    tensorboards,
)
from tunesmith.api.curves import Curves
from tunesmith.api.inspector import Inspector
from tunesmith.api.wire import HTTP_STATUS, check_text, error_body
from tunesmith.errors import (
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    TunesmithError,
    Violation,
    from_exception,
)
from tunesmith.settings import Settings
from tunesmith.storage import Storage
from tunesmith.store import open_store

log = logging.getLogger(__name__)

ROUTERS = (
    health.router,
    templates.router,
    operations.router,
    job_report.router,
    estimates.router,
    datasets.router,
    pipeline_jobs.router,
    model_export.router,
    models.router,
    model_upload.router,
    endpoints.router,
    tensorboards.router,
    board.router,
    batch_prediction_jobs.router,
    dataset_build_jobs.router,
    buckets.router,
    sessions.router,
    keys.router,
    installation.router,
    console.router,
)


def create_app(settings: Settings) -> FastAPI:
    """The application of one installation; its store is open from now until the application has shut down."""
    app = FastAPI(
        title="Tunesmith",
        version=__version__,
        summary="Supervised tuning of code models, on one's own machines.",
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(check_text)],
    )
    app.state.settings = settings
    app.state.store = open_store(settings)
    app.state.storage = Storage(settings.local_buckets, settings.buckets)
    app.state.forwarding = predictions.open_forwarding()
    app.state.console = console.read()
    app.state.curves = Curves(settings)
    app.state.inspector = Inspector(settings)
    app.state.board = board.TensorBoard(settings, app.state.store)
    for router in ROUTERS:
        app.include_router(router)
    app.openapi = lambda: document.describe(app)  # type: ignore[method-assign]
    app.add_exception_handler(TunesmithError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await app.state.forwarding.aclose()
    app.state.inspector.close()
    app.state.store.close()


# Errors.


async def _known(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TunesmithError)
    headers = {"Retry-After": "1"} if error.retryable else {}
    return JSONResponse(error_body(error), HTTP_STATUS.get(error.status, 500), headers=headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """A query or path parameter of the wrong kind."""
    assert isinstance(error, RequestValidationError)
    violations = [Violation(str(e["loc"][-1]), f"{e['msg'].lower()}, got {e.get('input')!r}") for e in error.errors()]
    return await _known(request, InvalidArgument.of_all(violations))


async def _http(request: Request, error: Exception) -> JSONResponse:
    """No such route, or not with this method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return await _known(request, _no_route(request))
    if error.status_code == 405:
        known = FailedPrecondition(f"{request.url.path} does not take {request.method}")
        return JSONResponse(error_body(known), 405, headers=error.headers)
    known = FailedPrecondition(str(error.detail))
    return JSONResponse(error_body(known), error.status_code, headers=error.headers)


async def _bug(request: Request, error: Exception) -> JSONResponse:
    token = secrets.token_hex(6)
    log.error("bug request=%s method=%s path=%s", token, request.method, request.url.path, exc_info=error)
    known = from_exception(error)
    if isinstance(known, Internal):
        known = Internal(f"a bug of this server; its log has the traceback under request={token}")
    return JSONResponse(error_body(known), HTTP_STATUS.get(known.status, 500))


def _no_route(request: Request) -> TunesmithError:
    path = request.url.path
    if "//" in path:
        before = path.partition("//")[0].rpartition("/")[2]
        return InvalidArgument.of(
            "path", f"the part after {before!r} is empty in {path}; is a variable of the calling script not set?"
        )
    return NotFound(f"there is nothing at {path}; /openapi.json lists all routes", name=path)
