"""The service in the foreground: the API behind uvicorn, alone (`serve`) or with a worker beside it (`up`).

In: settings, an address. Runs until Ctrl+C or SIGTERM. The worker of `up` is a process of its own, started again if it
dies: what it ran is found by the next one. If this process is killed, the worker ends what it runs and leaves. Without
keys only a loopback address is taken.
"""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from tunesmith.errors import FailedPrecondition, Unavailable
from tunesmith.foreground import Interrupts, counted_interrupts
from tunesmith.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

log = logging.getLogger(__name__)

LOOK_S = 0.1
"""Between two looks for an interrupt."""
AGAIN_S = 2.0
"""Before a worker that died is started again."""
WORKER_LIMIT_S = 180.0
"""For a worker to have its task save and its servers finish."""
BACKLOG = 2048
"""Connections that may wait to be taken, as uvicorn has it."""
MAX_HEAD_BYTES = 64 << 10
"""Of a request's line and headers; with more, 400."""
MAX_CONNECTIONS = 800
"""With more at once, 503: a process has 1024 files by default, and needs some for itself."""
GRACE_S = 30
"""For answers under way when the server is told to stop."""


def run(settings: Settings, host: str, port: int, *, works: bool) -> None:
    """The API at that address until Ctrl+C or SIGTERM, then what is under way ends; `works`: with a worker beside it.

    FailedPrecondition for an open address without keys.
    """
    from tunesmith.api.app import create_app

    app = create_app(settings)
    if not is_loopback(host) and not app.state.store.has_keys():
        raise FailedPrecondition(
            f"--host {host} is open to others, and no key is in force; make one first: "
            "tunesmith keys create --name NAME --role admin"
        )
    listening = _listen(host, port)
    log.info("listening url=http://%s:%d", host, listening.getsockname()[1])
    with counted_interrupts() as interrupts, worker_beside(settings) if works else contextlib.nullcontext():
        _serve(app, listening, interrupts)


def _serve(app: FastAPI, listening: socket.socket, interrupts: Interrupts) -> None:
    """Answers until the first interrupt; the second one breaks off the answers under way.

    In a thread: in the main one uvicorn would take the signals, and end the process before its worker has ended.
    """
    import uvicorn

    from tunesmith.slow_clients import BoundedProtocol

    gc.freeze()  # what was loaded stays: looking through it again and again takes 30 ms each time
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=GRACE_S,
            http=BoundedProtocol,
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            limit_concurrency=MAX_CONNECTIONS,
            server_header=False,
        )
    )
    with ThreadPoolExecutor(1) as pool:
        serving = pool.submit(server.run, sockets=[listening])
        while not serving.done():
            server.should_exit = interrupts.count > 0
            server.force_exit = interrupts.count > 1
            wait([serving], LOOK_S)
    serving.result()


@contextlib.contextmanager
def worker_beside(settings: Settings) -> Iterator[None]:
    """Within, a worker of this installation runs in a process of its own."""
    ending = threading.Event()
    keeper = threading.Thread(target=_keep, args=(settings, ending), name="worker", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ending.set()
        keeper.join(WORKER_LIMIT_S + AGAIN_S)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _keep(settings: Settings, ending: threading.Event) -> None:
    command = [
        sys.executable,
        "-m",
        "tunesmith.cli",
        "work",
        "--home",
        str(settings.home),
        "--beside",
        str(os.getpid()),
    ]
    while not ending.is_set():
        # A session of its own: Ctrl+C in the terminal reaches this process, which tells the worker once.
        worker = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        while worker.poll() is None and not ending.wait(0.2):
            pass
        if ending.is_set():
            worker.terminate()
            try:
                worker.wait(WORKER_LIMIT_S)
            except subprocess.TimeoutExpired:
                log.error("the worker did not end within %g s; killing it", WORKER_LIMIT_S)
                worker.kill()
            return
        log.error("the worker ended code=%s; starting it again", worker.returncode)
        ending.wait(AGAIN_S)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit it. asyncio would set it by itself only on a socket made with IPPROTO_TCP; 40 ms an answer.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)  # from the line in the log on, clients wait and are not refused
    except OSError as error:
        listening.close()
        raise Unavailable(f"{host}:{port} cannot be listened on ({error}); choose another --port") from error
    return listening
