"""Whether the server lives, whether it can work, and its figures for Prometheus. Open to everybody.

Says nothing secret.
"""

from __future__ import annotations

from collections import Counter

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse

from tunesmith.store import Store

router = APIRouter(tags=["health"])


@router.get("/healthz")
def is_alive() -> dict[str, str]:
    """200 while the process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "The database does not answer."}})
def is_ready(request: Request) -> JSONResponse:
    """200 while requests can be served: the database answers."""
    store: Store = request.app.state.store
    ready = store.is_answering()
    return JSONResponse({"status": "ready" if ready else "the database does not answer"}, 200 if ready else 503)


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(request: Request) -> PlainTextResponse:
    """Jobs by state and servers by state, in Prometheus' text form."""
    store: Store = request.app.state.store
    lines = ["# HELP tunesmith_jobs Jobs by kind and state.", "# TYPE tunesmith_jobs gauge"]
    lines += [
        f'tunesmith_jobs{{kind="{kind}",state="{state}"}} {count}'
        for (kind, state), count in store.count_jobs().items()
    ]
    lines += ["# HELP tunesmith_servers Serving processes by state.", "# TYPE tunesmith_servers gauge"]
    servers = Counter(server.state for server in store.servers())
    lines += [f'tunesmith_servers{{state="{state}"}} {count}' for state, count in sorted(servers.items())]
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")
