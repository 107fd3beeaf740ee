"""The application on a real port, with a serving process that is a few lines of HTTP; and a server with a script.

For tests of what calls a server. No worker runs: jobs are taken on by hand (`finish`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import uvicorn

from tunesmith import catalog, pipeline, process, resources
from tunesmith.api.app import create_app
from tunesmith.settings import Settings
from tunesmith.store import Ending, Store, Wanted

_TOKEN = "t"


@dataclass
class Served:
    """A server that runs."""

    url: str
    store: Store
    asked: list[dict[str, Any]] = field(default_factory=list)
    """What the serving process was asked."""


@contextmanager
def served(settings: Settings) -> Iterator[Served]:
    """Within, the application answers; the embedded model says `a`, then `b`."""
    app = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
        port = server.servers[0].sockets[0].getsockname()[1]
        found = Served(f"http://127.0.0.1:{port}", app.state.store)
        with scripted(lambda request: _answer(found.asked, request)) as model:
            _announce(found.store, model)
            yield found
    finally:
        server.should_exit = True
        thread.join()


def _announce(store: Store, url: str) -> None:
    store.ask_for_server(Wanted(catalog.EMBEDDED, catalog.EMBEDDED))
    server = store.claim_server("w", now_s=store._now(None), lease_s=1e6, idle_s=1e6)
    assert server is not None
    store.note_server(server, now_s=store._now(None), state="READY", url=url, token=_TOKEN)


def _answer(asked: list[dict[str, Any]], request: Request) -> Reply:
    path, _, challenge = request.path.partition("?")
    if path == "/who":
        return Reply(200, process.proof(_TOKEN, challenge).encode())
    question = json.loads(request.body)
    asked.append(question | {"path": request.path})
    each = range(question.get("candidates", 1))
    lines: list[dict[str, Any]] = [{"tokens": 7}]
    if request.path == "/generate":
        lines = [{"candidate": i, "text": text} for text in ("a", "b") for i in each]
        lines += [{"candidate": i, "finish": "stop", "output_tokens": 2} for i in each]
        lines.append({"input_tokens": 7, "model": "m"})
    return Reply(200, b"".join(json.dumps(line).encode() + b"\n" for line in lines))


def finish(store: Store, job_key: str) -> str:
    """Does a job's tasks, as far as the store sees it; the model's name."""
    plan = store.job(job_key).plan
    while (claim := store.claim("w", now_s=store._now(None), lease_s=1e6, only_job=job_key)) is not None:
        now_s = store._now(None)
        store.started(claim, "h", now_s=now_s)
        if claim.task == pipeline.UPLOAD:
            label = resources.base_model_label(plan.base_model, plan.reference or "")
            store.register_model(
                claim,
                labels={resources.BASE_MODEL_LABEL: label},
                lineage={"job": store.job(job_key).name, "plan": plan.model_dump(mode="json")},
                metrics={"steps": 2, "selected_step": 2, "tuning": {"last": {"step": 2}}},
                now_s=now_s,
            )
        elif claim.task == pipeline.DEPLOY:
            store.deploy_model_of_job(claim, now_s=now_s)
        else:
            store.settle(claim, Ending("succeeded"), now_s=now_s)
    name = store.job(job_key).model
    assert name is not None
    return name


@dataclass(frozen=True)
class Request:
    """What a scripted server was sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What it answers; `cut`: it says that more comes, and hangs up."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


@contextmanager
def scripted(script: Callable[[Request], Reply | None]) -> Iterator[str]:
    """Within, an HTTP server answers with what the script says; None hangs up without a word."""

    class Front(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            reply = script(Request(self.command, self.path, dict(self.headers.items()), body))
            self.close_connection = True
            if reply is None:
                return
            self.send_response(reply.status)
            self.send_header("Connection", "close")
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body) + (1 if reply.cut else 0)))
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, *args: object) -> None:
            """Silent."""

    front = ThreadingHTTPServer(("127.0.0.1", 0), Front)
    thread = threading.Thread(target=front.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{front.server_port}"
    finally:
        front.shutdown()
        thread.join()
        front.server_close()
