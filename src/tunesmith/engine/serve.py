"""One base model behind HTTP, on this machine alone: the task `serve`, a command that does not end.

In: a base model, perhaps fully tuned weights of it, and the folder of registered models whose adapters may be asked
for. Out: out/address.json (url, token, hash of the base) once it is loaded, then answers, a line of JSON at a time:

    POST /generate   {"candidate", "text"} as they are made, {"candidate", "finish", "output_tokens"} for each,
                     then {"input_tokens", "model"}; {"error"} if it fails after the first line
    POST /count      {"tokens"}
    GET  /health     {"state", "base_model", "adapters", "running", "waiting"}
    GET  /who?TEXT   the proof that this process has the token of address.json, for that text (process.py)

Three threads: this one keeps progress.json fresh and looks for STOP, one computes (continuous.py, or vllm.py where
vLLM is), one speaks HTTP.
Asked to stop, or left alone by every worker, it takes no more requests, lets those it has end within a grace time, and
leaves. Every request bears the token of address.json, which only the user that runs it may read; only /who needs none,
since it is asked by those who do not know yet whether it is this process that they would show the token to.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import logging
import secrets
import socket
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import folder, process
from tunesmith.catalog import BaseModel
from tunesmith.data.render import Renderer
from tunesmith.engine import sentinels, vllm
from tunesmith.engine.adapters import load_tuned, refuse_another_base
from tunesmith.engine.continuous import Batcher, Done, Event, Failed, Finish, Limits, Piece, Ticket
from tunesmith.engine.device import Device, probe
from tunesmith.engine.generate import set_for_decoding
from tunesmith.engine.model import Prepared, load, prepare
from tunesmith.engine.progress import Progress
from tunesmith.engine.requests import RequestReader
from tunesmith.engine.shelf import Shelf
from tunesmith.errors import FailedPrecondition, TunesmithError, from_exception
from tunesmith.folder import AttemptFolder

log = logging.getLogger(__name__)

BEAT_S = 20.0
"""Between two signs of life; a worker looks for one a minute."""
_LOOK_S = 0.1
"""Between two looks for STOP."""
_LAST_WORDS_S = 2.0
"""For error lines to reach their readers, after the grace time."""

_HTTP = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNAVAILABLE": 503,
}


@dataclass(frozen=True, slots=True)
class Served:
    """A loaded model, ready for requests."""

    base: BaseModel
    sha256: str
    reader: RequestReader
    batcher: Batcher | vllm.VllmBatcher


def serve(
    attempt: AttemptFolder,
    *,
    base: BaseModel,
    base_models: Path,
    weights: Path | None = None,
    models: Path | None = None,
    limits: Mapping[str, Any],
    serving: str = "auto",
    untended_s: float | None = None,
) -> dict[str, Any]:
    """Serves until the attempt is asked to stop; what it leaves in result.json.

    weights  folder of a fully tuned model of this base, served in its place
    models   folder of registered models; adapters outside of it are refused
    limits   fields of Limits that differ from the defaults
    serving  what computes: vllm, transformers, or auto for vLLM where it and a CUDA device are
    untended_s  how long it stays when no worker looks after it any more: all were killed, and none came; None: for ever
    """
    Limits(**limits).check()
    progress = Progress(attempt)
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        loading = threads.submit(open_served, base, base_models, weights, models, limits, serving)
        while not _ended(loading, BEAT_S):
            progress.phase("loading")
        served = loading.result()
        computing = threads.submit(served.batcher.run)
        try:
            _answer(attempt, served, threads, computing, progress, Limits(**limits).grace_s, untended_s)
        finally:
            attempt.address.unlink(missing_ok=True)
            served.batcher.close()
        computing.result()
    return {"base": {"name": base.name, "sha256": served.sha256}}


def open_served(
    base: BaseModel,
    base_models: Path,
    weights: Path | None,
    models: Path | None,
    limits: Mapping[str, Any],
    serving: str = "auto",
) -> Served:
    """The base model, or `weights` in its place, loaded and ready; `serve` says what the folders are."""
    prepared = prepare(base, base_models)
    if weights is not None:
        folder.verify(weights)
        refuse_another_base(weights, prepared)
    renderer = Renderer.open(prepared.folder, base)
    reader = RequestReader(base, renderer, models)
    device = probe()
    if not _uses_vllm(serving, device, weights, prepared):
        batcher = _loaded(prepared, renderer, base.context_tokens, weights, Limits(**limits), device)
        return Served(base, prepared.sha256, reader, batcher)
    wide = Limits(**{**vllm.LIMITS, **limits}).check()
    process = vllm.start(prepared, weights, models, base.context_tokens, wide)
    behind = vllm.VllmBatcher(process, prepared, renderer, base.context_tokens, wide, weights)
    return Served(base, prepared.sha256, reader, behind)


def _uses_vllm(serving: str, device: Device, weights: Path | None, base: Prepared) -> bool:
    if weights is None and sentinels.added(base.folder):  # adapters with rows of their own, which vLLM cannot load
        if serving == "vllm":
            raise FailedPrecondition(
                f"vLLM serves no adapters of {base.name}, whose added sentinels each of them trains: set "
                "TUNESMITH_SERVING=auto, or tune with --tuning-method full"
            )
        return False
    if serving == "transformers" or (weights is not None and not (weights / "config.json").is_file()):
        return False
    if serving == "vllm" and not vllm.is_installed():
        raise FailedPrecondition(
            "vLLM is wanted and is not installed where tasks run: pip install vllm, or set TUNESMITH_SERVING=auto"
        )
    return serving == "vllm" or (device.is_cuda and vllm.is_installed())


def _loaded(
    base: Prepared, renderer: Renderer, context_tokens: int, weights: Path | None, limits: Limits, device: Device
) -> Batcher:
    model = load(base.folder, device) if weights is None else load_tuned(weights, base, device)
    set_for_decoding(model)
    return Batcher(Shelf(model, base, limits.adapters, weights), renderer, context_tokens, limits)


def _answer(
    attempt: AttemptFolder,
    served: Served,
    threads: concurrent.futures.ThreadPoolExecutor,
    computing: concurrent.futures.Future[None],
    progress: Progress,
    grace_s: float,
    untended_s: float | None,
) -> None:
    """Speaks HTTP until STOP, or until one of the two threads has ended by a mistake of its own."""
    token = secrets.token_urlsafe(32)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # As in up.py: else each answer waits 40 ms for the client to acknowledge its head.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = _server(served, token)
        speaking = threads.submit(server.run, sockets=[listening])
        try:
            folder.write_json(attempt.address, {"url": url, "token": token, "base_sha256": served.sha256}, mode=0o600)
            log.info("serving base=%s url=%s", served.base.name, url)
            _watch(attempt, progress, (computing, speaking), untended_s)
        finally:
            attempt.address.unlink(missing_ok=True)
            _stop(served.batcher, server, speaking, grace_s)


def _watch(
    attempt: AttemptFolder,
    progress: Progress,
    threads: tuple[concurrent.futures.Future[None], ...],
    untended_s: float | None,
) -> None:
    """Until STOP, the end of a thread, or too long without a worker: a sign of life now and then."""
    beat_s = float("-inf")
    tended, tended_s = 0, time.monotonic()
    while not attempt.stop_requested():
        now_s = time.monotonic()
        if (seen := folder.mtime_ns(attempt.tended_file)) != tended:
            tended, tended_s = seen, now_s
        if untended_s is not None and now_s - tended_s > untended_s:
            log.warning("leaving reason=no worker for %g s", untended_s)
            return
        if now_s - beat_s >= BEAT_S:
            beat_s = now_s
            progress.phase("serving")
        if concurrent.futures.wait(threads, _LOOK_S, concurrent.futures.FIRST_COMPLETED).done:
            return


def _stop(
    batcher: Batcher | vllm.VllmBatcher, server: Any, speaking: concurrent.futures.Future[None], grace_s: float
) -> None:
    """Takes no more requests, gives those taken their time, and ends the HTTP thread."""
    batcher.refuse_more()
    log.info("stopping running=%d waiting=%d", *batcher.counts())
    server.should_exit = True
    if not _ended(speaking, grace_s):
        batcher.close()
    if not _ended(speaking, _LAST_WORDS_S):
        server.force_exit = True
    speaking.result()


def _ended(thread: concurrent.futures.Future[Any], timeout_s: float) -> bool:
    return bool(concurrent.futures.wait([thread], timeout_s).done)


# HTTP -----------------------------------------------------------------------------------------------------------------


def _server(served: Served, token: str) -> Any:
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            guarded(create_app(served), token),
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
        )
    )


def guarded(app: Any, token: str) -> Any:
    """The app, for those who bear the token; and for everybody the proof that this process has it."""
    from fastapi.responses import JSONResponse, PlainTextResponse

    wanted = f"Bearer {token}".encode()
    message = "the request does not bear the token of address.json"
    said = {"status": "UNAUTHENTICATED", "message": message, "retryable": False, "details": {}}

    async def ask_for_token(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/who":
            await PlainTextResponse(process.proof(token, scope["query_string"].decode("latin-1")))(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"authorization", b"")
        answer = app if secrets.compare_digest(given, wanted) else JSONResponse(said, _HTTP["UNAUTHENTICATED"])
        await answer(scope, receive, send)

    return ask_for_token


def create_app(served: Served) -> Any:
    """The three routes; whatever is raised becomes our error as JSON."""
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse, Response, StreamingResponse

    app = FastAPI(openapi_url=None)

    async def generate(request: Request) -> Response:
        ask = await asyncio.to_thread(served.reader.generate, await request.body())
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[Event] = asyncio.Queue()
        ticket = served.batcher.submit(ask, lambda event: _told(loop, events, event))
        first = await _first(request, ticket, events)
        if isinstance(first, Failed):
            raise first.error
        return StreamingResponse(_lines(first, events, ticket, served.base.name), media_type="application/x-ndjson")

    async def count(request: Request) -> Response:
        return JSONResponse({"tokens": await asyncio.to_thread(served.reader.count, await request.body())})

    async def health(request: Request) -> Response:
        return JSONResponse(_health(served))

    async def refuse(request: Request, error: Exception) -> Response:
        known = from_exception(error)
        return JSONResponse(known.to_json(), _HTTP.get(known.status, 500))

    app.add_route("/generate", generate, ["POST"])
    app.add_route("/count", count, ["POST"])
    app.add_route("/health", health, ["GET"])
    app.add_exception_handler(TunesmithError, refuse)
    app.add_exception_handler(Exception, refuse)
    return app


def _health(served: Served) -> dict[str, Any]:
    running, waiting = served.batcher.counts()
    return {
        "state": "ready" if served.batcher.accepts else "stopping",
        "base_model": served.base.name,
        "adapters": list(served.batcher.names),
        "running": running,
        "waiting": waiting,
    }


def _told(loop: asyncio.AbstractEventLoop, events: asyncio.Queue[Event], event: Event) -> None:
    """Tells the HTTP thread from the computing one; a loop that was ended by force has nobody to tell."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(events.put_nowait, event)


async def _first(request: Any, ticket: Ticket, events: asyncio.Queue[Event]) -> Event:
    """The first event. While it is waited for nobody else notices that the client goes away."""

    async def cancel_when_gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        ticket.cancel()

    gone = asyncio.create_task(cancel_when_gone())
    try:
        return await events.get()
    except asyncio.CancelledError:
        ticket.cancel()
        raise
    finally:
        gone.cancel()


async def _lines(first: Event, events: asyncio.Queue[Event], ticket: Ticket, base: str) -> AsyncIterator[str]:
    """The answer, an event a line; a client that goes away ends it, and the request with it."""
    event = first
    try:
        while True:
            yield json.dumps(_said(event, ticket, base)) + "\n"
            if isinstance(event, Done | Failed):
                return
            event = await events.get()
    finally:
        ticket.cancel()


def _said(event: Event, ticket: Ticket, base: str) -> dict[str, Any]:
    match event:
        case Piece(candidate, text):
            return {"candidate": candidate, "text": text}
        case Finish(candidate, reason, output_tokens):
            return {"candidate": candidate, "finish": reason, "output_tokens": output_tokens}
        case Done(input_tokens):
            return {"input_tokens": input_tokens, "model": ticket.ask.tuned.name if ticket.ask.tuned else base}
        case Failed(error):
            return {"error": error.to_json()}
