"""TensorBoard itself, mounted at /tensorboard/: every job's metrics, live, and what clients wrote to time series.

In: requests of a browser with a key, or a pass for one in a cookie. Out: TensorBoard's own pages and data, of the
caller's project only. TensorBoard asks us for runs and points (its data provider), so it reads no files, starts no
thread and keeps nothing; a run is called PROJECT/JOB, one that a client wrote PROJECT/TENSORBOARD/EXPERIMENT/RUN, and
/tensorboard/experiment/PROJECT/ shows one project. The package is loaded by the first request, and may be absent.

A key does not go into a URL or a cookie: the page's form posts it once, and the browser gets a pass that opens nothing
but this place, for 12 hours, and ends with its key.
"""

from __future__ import annotations

import argparse
import io
import sys
import threading
import time
import traceback
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from tunesmith import pipeline
from tunesmith.api import auth, job_metrics
from tunesmith.api.auth import Principal
from tunesmith.api.time_series import thinned
from tunesmith.api.wire import read_bytes
from tunesmith.errors import InvalidArgument, NotFound, PermissionDenied, Unauthenticated
from tunesmith.settings import Settings
from tunesmith.store import BoardPart, Job, Point, Store

PLACE = "/tensorboard"
COOKIE = "tunesmith_tensorboard"
PASS_S = 12 * 3600.0
MAX_BODY_BYTES = 1 << 20
_SCALARS = "scalars"
_NO_EXPERIMENT = "defaultExperimentId"
"""What TensorBoard's Time Series page says where the other pages say nothing. No project can be called so."""
_PROJECT = "tunesmith.project"
"""In the environment of a WSGI request, and of TensorBoard's context: the one project that may be seen, or None."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>TensorBoard - Tunesmith</title>
<body style="font: 16px sans-serif; margin: 4em auto; max-width: 30em">
<h1 style="font-size: 1.3em">TensorBoard</h1>
<p>{said}</p>
<form method="post" action="/tensorboard/login">
<label>Key <input type="password" name="key" autocomplete="off" required autofocus></label> <button>Open</button>
</form></body></html>
"""

router = APIRouter(tags=["tensorboards"])


# Routes.


@router.post(PLACE + "/login", response_class=RedirectResponse, status_code=303)
async def open_tensorboard(request: Request) -> Response:
    """Takes a key from a form's field `key` and gives the browser a pass for TensorBoard, in a cookie."""
    _refuse_foreign_page(request)
    form = urllib.parse.parse_qs((await read_bytes(request)).decode("utf-8", "replace"))
    secret = form.get("key", [""])[0].strip()
    store: Store = request.app.state.store
    made = await run_in_threadpool(store.make_pass, secret, PLACE, time.time() + PASS_S)
    if made is None:
        said = "No key in force has this secret; <code>tunesmith keys create</code> makes one."
        return _refused(request, Unauthenticated("no key in force has this secret"), said)
    answer = RedirectResponse(PLACE + "/", 303, _HEADERS)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, made, path=PLACE + "/", httponly=True, samesite="strict", secure=secure)
    return answer


@router.get(PLACE, include_in_schema=False)
def find_tensorboard() -> Response:
    """The place has a slash at its end."""
    return RedirectResponse(PLACE + "/", 307)


async def show_tensorboard(request: Request) -> Response:
    """TensorBoard: its page, its files and its data."""
    try:
        caller = await _caller(request)
    except Unauthenticated as error:
        return _refused(request, error, "This server wants a key.")
    body = await read_bytes(request)
    board: TensorBoard = request.app.state.board
    return await run_in_threadpool(board.answer, request, body, caller.project)


for _method in ("GET", "POST"):
    router.add_api_route(
        PLACE + "/{path:path}",
        show_tensorboard,
        methods=[_method],
        operation_id=f"show_tensorboard_{_method.lower()}",
        response_class=Response,
        # A path parameter that the function does not take is not described by itself.
        openapi_extra={"parameters": [{"name": "path", "in": "path", "required": True, "schema": {"type": "string"}}]},
    )


async def _caller(request: Request) -> Principal:
    """Who looks: by the Authorization header as everywhere, else by the pass in the cookie."""
    try:
        return await auth.principal(request)
    except Unauthenticated:
        text = request.cookies.get(COOKIE)
        if text is None or "authorization" in request.headers or {"key", "access_token"} & set(request.query_params):
            raise
        store: Store = request.app.state.store
        key = await run_in_threadpool(store.key_of_pass, text, PLACE)
        if key is None:
            raise
        return Principal(key.project, key.role)


def _refused(request: Request, error: Unauthenticated, said: str) -> Response:
    """The form for a browser, the error for any other client."""
    if "text/html" not in request.headers.get("accept", ""):
        raise error
    return HTMLResponse(_PAGE.format(said=said), 401, _HEADERS)


def _refuse_foreign_page(request: Request) -> None:
    """A form of another site could make a browser look at somebody else's figures."""
    origin = request.headers.get("origin")
    if origin is not None and urllib.parse.urlsplit(origin).netloc != request.headers.get("host", ""):
        raise PermissionDenied(f"this form belongs to this server's own page, not to one of {origin}")


# The application.


class TensorBoard:
    """TensorBoard's WSGI application over one installation's figures, made when it is first asked."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._figures = Figures(settings, store)
        self._application: Callable[..., Any] | None = None
        self._making = threading.Lock()

    def answer(self, request: Request, body: bytes, project: str | None) -> Response:
        """What TensorBoard answers to one who may see that project (None: all)."""
        with self._making:
            if self._application is None:
                self._application = _make_application(self._figures)
        begun: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            begun[:] = [int(status.split()[0]), headers]

        try:
            content = b"".join(self._application(_environment(request, body) | {_PROJECT: project}, start))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            if not _is_tensorboards_own(error):
                raise
            raise InvalidArgument.of("request", f"is nothing that TensorBoard can read ({error})") from error
        answer = Response(content, begun[0])
        answer.raw_headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in begun[1]]
        return answer


def _is_tensorboards_own(error: Exception) -> bool:
    """Whether its code fell over it, which looks at the shape of what it is sent with little care."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).startswith("tensorboard.")


def _make_application(figures: Figures) -> Callable[..., Any]:
    try:
        from tensorboard import assets
        from tensorboard.backend.application import TensorBoardWSGIApp
        from tensorboard.plugins.core.core_plugin import CorePlugin
        from tensorboard.plugins.metrics.metrics_plugin import MetricsPlugin
        from tensorboard.plugins.scalar.scalars_plugin import ScalarsPlugin
    except ImportError as error:
        raise NotFound(
            f"TensorBoard is not installed with this server ({error}); `pip install tensorboard`, start it again, or "
            "read the figures at /v1/projects/P/locations/L/tensorboards"
        ) from error
    flags = argparse.Namespace(
        logdir="",
        logdir_spec="",
        path_prefix=PLACE,
        window_title="Tunesmith",
        samples_per_plugin={},
        generic_data="true",
    )
    application: Callable[..., Any] = TensorBoardWSGIApp(
        flags,
        [CorePlugin, MetricsPlugin, ScalarsPlugin],
        data_provider=figures,
        assets_zip_provider=assets.get_default_assets_zip_provider(),
        auth_providers={_PROJECT: _Allowed()},
    )
    return application


class _Allowed:
    """TensorBoard's auth provider: what the route has found out is carried to the data provider."""

    def authenticate(self, environ: Mapping[str, Any]) -> str | None:
        project: str | None = environ[_PROJECT]
        return project


def _environment(request: Request, body: bytes) -> dict[str, Any]:
    """A request as WSGI has it (PEP 3333)."""
    headers = {
        "HTTP_" + name.upper().replace("-", "_"): value
        for name, value in request.headers.items()
        if name not in ("authorization", "cookie", "content-type", "content-length")
    }
    return headers | {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": request.url.query,
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": request.url.hostname or "localhost",
        "SERVER_PORT": str(request.url.port or 80),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.url.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


# What it shows.


class _Series(NamedTuple):
    """One line of a chart, read when it is wanted."""

    run: str
    tag: str
    last: tuple[int, float]
    """Its last step, and the time of its last point."""
    read: Callable[[], Sequence[Point]]


class Figures:
    """TensorBoard's data provider: scalars of jobs and of time series. Of tensors and blobs there are none."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store

    def experiment_metadata(self, ctx: Any = None, *, experiment_id: str) -> Any:
        from tensorboard.data.provider import ExperimentMetadata

        return ExperimentMetadata(experiment_name=experiment_id, data_location="the jobs of this Tunesmith server")

    def list_plugins(self, ctx: Any = None, *, experiment_id: str) -> list[str]:
        return [_SCALARS]

    def list_runs(self, ctx: Any = None, *, experiment_id: str) -> list[Any]:
        from tensorboard.data.provider import Run

        begun = {_run_of_job(job): job.create_time for job in self._jobs(ctx, experiment_id)}
        for part in self._written(ctx, experiment_id):
            begun.setdefault(_run_of_series(part), part.create_time)
        return [Run(run_id=name, run_name=name, start_time=time_s) for name, time_s in begun.items()]

    def list_scalars(
        self, ctx: Any = None, *, experiment_id: str, plugin_name: str, run_tag_filter: Any = None
    ) -> dict[str, dict[str, Any]]:
        from tensorboard.data.provider import ScalarTimeSeries

        found: dict[str, dict[str, Any]] = {}
        for series in self._series(ctx, experiment_id, plugin_name, run_tag_filter):
            step, time_s = series.last
            described = {"plugin_content": b"", "description": "", "display_name": series.tag}
            shown = ScalarTimeSeries(max_step=step, max_wall_time=time_s, **described)
            found.setdefault(series.run, {})[series.tag] = shown
        return found

    def read_scalars(
        self,
        ctx: Any = None,
        *,
        experiment_id: str,
        plugin_name: str,
        downsample: int | None = None,
        run_tag_filter: Any = None,
    ) -> dict[str, dict[str, list[Any]]]:
        from tensorboard.data.provider import ScalarDatum

        found: dict[str, dict[str, list[Any]]] = {}
        for series in self._series(ctx, experiment_id, plugin_name, run_tag_filter):
            points = series.read()
            kept = points if downsample is None else thinned(points, downsample)
            data = [ScalarDatum(step=p.step, wall_time=p.wall_time, value=p.value) for p in kept]
            found.setdefault(series.run, {})[series.tag] = data
        return found

    def read_last_scalars(
        self, ctx: Any = None, *, experiment_id: str, plugin_name: str, run_tag_filter: Any = None
    ) -> dict[str, dict[str, Any]]:
        every = self.read_scalars(
            ctx, experiment_id=experiment_id, plugin_name=plugin_name, run_tag_filter=run_tag_filter
        )
        return {run: {tag: data[-1] for tag, data in tags.items() if data} for run, tags in every.items()}

    def list_tensors(self, ctx: Any = None, **_: Any) -> dict[str, Any]:
        return {}

    def list_blob_sequences(self, ctx: Any = None, **_: Any) -> dict[str, Any]:
        return {}

    def read_tensors(self, ctx: Any = None, **_: Any) -> dict[str, Any]:
        return {}

    def read_blob_sequences(self, ctx: Any = None, **_: Any) -> dict[str, Any]:
        return {}

    def read_blob(self, ctx: Any = None, *, blob_key: str) -> bytes:
        from tensorboard.errors import NotFoundError

        raise NotFoundError(f"there is no blob {blob_key}, nor any other")

    def _series(self, ctx: Any, experiment_id: str, plugin_name: str, wanted: Any) -> Iterator[_Series]:
        """What a caller may see of what is wanted."""
        if plugin_name != _SCALARS:
            return
        runs = None if wanted is None else wanted.runs
        tags = None if wanted is None else wanted.tags
        for series in self._every(ctx, experiment_id, runs):
            if tags is None or series.tag in tags:
                yield series

    def _every(self, ctx: Any, experiment_id: str, runs: Any) -> Iterator[_Series]:
        for job in self._jobs(ctx, experiment_id):
            run = _run_of_job(job)
            if runs is None or run in runs:
                yield from _series_of_job(run, job_metrics.read(self._settings, job))
        for part in self._written(ctx, experiment_id):
            run = _run_of_series(part)
            if runs is None or run in runs:
                yield _Series(run, part.display_name, _last_of(part), partial(self._store.points, part.path))

    def _jobs(self, ctx: Any, experiment_id: str) -> list[Job]:
        """Jobs that may be seen and have begun to tune."""
        project = _project(ctx, experiment_id)
        return [job for job in self._store.jobs("tuning", project) if job.task(pipeline.TUNE).attempt]

    def _written(self, ctx: Any, experiment_id: str) -> list[BoardPart]:
        return self._store.board_series(_project(ctx, experiment_id))


def _project(ctx: Any, experiment_id: str) -> str | None:
    """The one project to show; None: every one. A TensorBoard experiment is a project here."""
    from tensorboard.errors import NotFoundError

    allowed: str | None = ctx.auth.get(_PROJECT)
    if experiment_id == _NO_EXPERIMENT:
        return allowed
    if experiment_id and allowed is not None and experiment_id != allowed:
        raise NotFoundError(f"there is nothing of project {experiment_id} that this key may see")
    return experiment_id or allowed


def _run_of_job(job: Job) -> str:
    return f"{job.project}/{job.job_id}"


def _run_of_series(part: BoardPart) -> str:
    return "/".join([part.path.project, *part.path.ids[:3]])


def _series_of_job(run: str, measured: Mapping[str, Sequence[Point]]) -> Iterator[_Series]:
    for name, points in measured.items():
        last = (points[-1].step, points[-1].wall_time)
        yield _Series(run, f"/{name}", last, partial(tuple, points))


def _last_of(part: BoardPart) -> tuple[int, float]:
    assert part.max_step is not None, "a series without points is not shown"
    assert part.max_wall_time is not None
    return part.max_step, part.max_wall_time
