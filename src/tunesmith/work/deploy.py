"""Serving processes: starts those that are wanted, sees that they answer, starts again what died, stops what is idle.

In: the store's servers, and the files that serving processes write. Out: states, addresses and errors in the store. A
server is a task that does not end (`serve`), run by the same executor in a folder of its own:

    servers/<key>/attempt-<n>/        task.json, STOP, TENDED, pid, log.txt, progress.json, out/address.json

A worker that takes over from a dead one finds the process that still runs, and its address, by that folder. If none
does, the process leaves by itself when TENDED has not been written for a while.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith import folder
from tunesmith.errors import Aborted, DataLoss, NotFound, Unavailable, from_exception, from_json
from tunesmith.folder import AttemptFolder
from tunesmith.settings import Settings
from tunesmith.store import Server, Store
from tunesmith.work.executors import Executor

log = logging.getLogger(__name__)

ADDRESS = "address.json"
TASK = "serve"


@dataclass(frozen=True, slots=True)
class ServingTiming:
    """How long the worker waits for what."""

    look_s: float = 0.3
    """Between two looks at the servers."""
    deployed_s: float = 3.0
    """Between two looks at what is deployed; a prediction asks for its server by itself."""
    lease_s: float = 30.0
    heartbeat_s: float = 5.0
    idle_s: float = 900.0
    """A server that nobody has asked for so long, and no deployed model needs, is stopped."""
    silence_s: float = 600.0
    """A server that writes nothing for so long hangs; it gives a sign of life every 20 s once it has loaded."""
    again_s: float = 1.0
    """Before a server that could not be started is started again; twice as long each time."""
    max_failures: int = 3
    """In a row, before a server is given up until somebody asks for it again."""
    untended_s: float = 300.0
    """A server leaves when no worker has looked after it for so long. One that stops waits 120 s for its task first."""
    kill_grace_s: float = 40.0
    """From SIGTERM to SIGKILL: answers under way have 30 s."""


SERVING_TIMING = ServingTiming()


@dataclass(slots=True)
class _Served:
    """A server that this worker runs."""

    server: Server
    attempt: AttemptFolder
    handle: str
    next_heartbeat_s: float
    changed_s: float
    sign: int = 0
    tended_s: float = float("-inf")


@dataclass(slots=True)
class Deployments:
    """The serving processes of one worker, and what it does about them in each turn."""

    settings: Settings
    store: Store
    executor: Executor
    worker: str
    is_dead: Callable[[str], bool]
    timing: ServingTiming = SERVING_TIMING
    _served: dict[str, _Served] = field(default_factory=dict)
    _again_s: dict[str, float] = field(default_factory=dict)
    """Of servers that failed: before when they are not started again."""
    _next_look_s: float = 0.0
    _next_deployed_s: float = 0.0

    def turn(self) -> None:
        """One look at everything, if it is time for one."""
        now_s = time.monotonic()
        if now_s < self._next_look_s:
            return
        self._next_look_s = now_s + self.timing.look_s
        self._tend(now_s)  # first of all: a database that is away is no reason for a server to leave
        if now_s >= self._next_deployed_s:
            self._next_deployed_s = now_s + self.timing.deployed_s
            self.store.ask_for_deployed(now_s=time.time())
        for served in list(self._served.values()):
            try:
                self._look(served)
            except Aborted as error:
                self._drop(served, error)
        while (server := self._claim()) is not None:
            self._start(server)

    def stop(self) -> None:
        """Ends every serving process of this worker; the next worker starts them again."""
        for served in list(self._served.values()):
            try:
                # Its task may have taken long to leave, and the lease may have ended meanwhile.
                lease_s = self.timing.kill_grace_s + self.timing.lease_s
                served.server = self.store.keep_server(served.server, now_s=time.time(), lease_s=lease_s)
            except Aborted as error:
                self._drop(served, error)
        ending = list(self._served.values())
        for served in ending:
            _touch(served.attempt.stop_file)
        for served in ending:
            self.executor.stop(served.handle, self.timing.kill_grace_s)
            with contextlib.suppress(Aborted):
                self._note(served, state="WANTED", url=None, token=None, worker=None, lease_until=None)
            del self._served[served.server.key]

    def _tend(self, now_s: float) -> None:
        for served in self._served.values():
            if now_s - served.tended_s >= self.timing.heartbeat_s and _touch(served.attempt.tended_file):
                served.tended_s = now_s

    def _drop(self, served: _Served, error: Aborted) -> None:
        """Another worker has taken over: it watches the same process, which is left alone."""
        log.warning("dropped key=%s reason=%s", served.server.key, error.message)
        self._served.pop(served.server.key, None)

    def _claim(self) -> Server | None:
        servers = self.store.servers()
        others = {s.worker for s in servers if s.worker is not None and s.worker != self.worker}
        mine = {s.key for s in servers if s.worker == self.worker and s.state in ("STARTING", "READY")}
        if not others and mine <= self._served.keys() and all(s.state != "WANTED" for s in servers):
            return None  # without a transaction that writes
        dead: Sequence[str] = [other for other in others if self.is_dead(other)]
        waiting = [key for key, again_s in self._again_s.items() if time.monotonic() < again_s]
        lease_s, idle_s = self.timing.lease_s, self.timing.idle_s
        return self.store.claim_server(
            self.worker, now_s=time.time(), lease_s=lease_s, idle_s=idle_s, dead=dead, but=waiting
        )

    def _start(self, server: Server) -> None:
        attempt = self._attempt(server)
        try:
            attempt.create()
            if not attempt.task_file.exists():
                folder.write_json(attempt.task_file, self._order(server))
            handle = self.executor.start(attempt)
        except (Unavailable, OSError) as error:  # the disk may be full
            with contextlib.suppress(Aborted):
                self.store.note_server(server, now_s=time.time(), state="FAILED", error=from_exception(error).to_json())
            return
        log.info("serving key=%s attempt=%d", server.key, server.attempt)
        now_s = time.monotonic()
        # Before the note, which fails while the database is away: what runs is looked after all the same.
        served = _Served(server, attempt, handle, now_s + self.timing.heartbeat_s, now_s)
        self._served[server.key] = served
        try:
            served.server = self._note(served, handle=handle)
        except Aborted as error:
            self._drop(served, error)

    def _look(self, served: _Served) -> None:
        now_s, status = time.monotonic(), self.executor.poll(served.handle)
        if status.state in ("exited", "lost"):
            self._ended(served)
            return
        if now_s >= served.next_heartbeat_s:
            served.server = self.store.keep_server(served.server, now_s=time.time(), lease_s=self.timing.lease_s)
            served.next_heartbeat_s = now_s + self.timing.heartbeat_s
            if time.time() - served.server.asked_time > self.timing.idle_s:
                self._stop(served, "STOPPED")
                return
        self._look_for_signs(served, now_s)
        if served.server.state == "STARTING" and (address := _address(served.attempt)) is not None:
            known = {"url": address["url"], "token": address["token"]}
            served.server = self._note(served, state="READY", failures=0, error=None, **known)
            log.info("ready key=%s url=%s", served.server.key, address["url"])

    def _look_for_signs(self, served: _Served, now_s: float) -> None:
        sign = folder.mtime_ns(served.attempt.progress)
        if sign != served.sign:
            served.sign, served.changed_s = sign, now_s
        elif now_s - served.changed_s > self.timing.silence_s:
            log.warning("hangs key=%s", served.server.key)
            self.executor.stop(served.handle, 0)

    def _ended(self, served: _Served) -> None:
        """The process has gone: start it again, unless it was told to go or fails every time."""
        self.executor.stop(served.handle, 0)
        error = _error_of(served.attempt)
        failures = served.server.failures + 1
        if served.server.state != "READY":
            self._again_s[served.server.key] = time.monotonic() + self.timing.again_s * 2 ** (failures - 1)
        given_up = failures >= self.timing.max_failures or (error is not None and not from_json(error).retryable)
        state = "FAILED" if given_up else "WANTED"
        said = error or {"status": "UNAVAILABLE", "message": "the serving process ended without a word", "details": {}}
        log.warning("ended key=%s state=%s reason=%s", served.server.key, state, said["message"])
        ended: dict[str, Any] = {"url": None, "token": None, "worker": None, "lease_until": None}
        self._note(served, state=state, failures=failures, error=said, **ended)
        del self._served[served.server.key]

    def _stop(self, served: _Served, state: str) -> None:
        log.info("stopping key=%s", served.server.key)
        self._note(served, state=state, url=None, token=None)
        _touch(served.attempt.stop_file)
        self.executor.stop(served.handle, self.timing.kill_grace_s)
        del self._served[served.server.key]

    def _note(self, served: _Served, **values: Any) -> Server:
        return self.store.note_server(served.server, now_s=time.time(), **values)

    def _attempt(self, server: Server) -> AttemptFolder:
        name = re.sub(r"[^A-Za-z0-9._-]", "-", server.key)[-100:]
        return AttemptFolder(self.settings.servers / name / f"attempt-{server.attempt}")

    def _order(self, server: Server) -> dict[str, Any]:
        return {
            "job": f"serve {server.key}",
            "task": TASK,
            "attempt": server.attempt,
            "base_model": server.base_model,
            "weights": server.weights,
            "models": str(self.settings.models),
            "base_models": str(self.settings.base_models),
            "aliases": dict(self.settings.aliases),
            "serving": self.settings.serving,
            "untended_s": self.timing.untended_s,
        }


def _address(attempt: AttemptFolder) -> dict[str, str] | None:
    """Where the process answers, once it does."""
    with contextlib.suppress(NotFound):
        found: dict[str, str] = folder.read_json(attempt.out / ADDRESS)
        return found
    return None


def _touch(file: Path) -> bool:
    """Whether it could be written. A full disk must not end a worker: what STOP says, SIGTERM says too."""
    try:
        file.touch()
    except OSError as error:
        log.warning("not written path=%s reason=%s", file, error)
        return False
    return True


def _error_of(attempt: AttemptFolder) -> dict[str, Any] | None:
    with contextlib.suppress(NotFound, DataLoss):
        found: dict[str, Any] = folder.read_json(attempt.error)
        return found
    return None
