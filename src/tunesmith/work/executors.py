"""Executors: start an attempt as a process somewhere, ask how it is, make sure that it is gone.

In: an attempt's folder with its task.json. Out: a handle, a text that finds the process again after the worker itself
was restarted. Nothing here knows what an attempt does, or writes into its folder anything but the log.

An executor keeps three promises, which one contract suite tests: the same attempt started twice runs once and gives
the same handle; `poll` answers whoever started it; after `stop` nothing of it is left.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tunesmith import folder, process
from tunesmith.errors import EXIT_DONE, DataLoss, NotFound, Unavailable
from tunesmith.folder import MARK, AttemptFolder

log = logging.getLogger(__name__)

_POLL_S = 0.02
_KILL_LIMIT_S = 10.0
"""A process that outlives SIGKILL for so long hangs in a driver or a file system; waiting on helps nobody."""

# What a task may see of the worker's environment: where programs, libraries and devices are. Never keys or tokens.
_PASSED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|TZ|TMPDIR|LD_LIBRARY_PATH|DYLD_LIBRARY_PATH|PYTHONPATH|VIRTUAL_ENV"
    r"|SYSTEMROOT|HF_HOME|HF_HUB_CACHE|XDG_CACHE_HOME|PYTORCH_CUDA_ALLOC_CONF|PYTORCH_ALLOC_CONF"
    r"|(?:LC|CUDA|NVIDIA|NCCL|GLOO|HIP|ROCR|HSA|OMP|MKL|KMP|GOMP|OPENBLAS|VECLIB|NUMEXPR|MALLOC|ATEN)_[A-Z0-9_]+"
)
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|KEY|CREDENTIAL")

# A task never goes to the network, and its tokenizer does not fork threads that survive it.
_SET = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True)
class Status:
    """waiting: not begun; running; exited with `code` (negative: a signal's number); lost: nobody knows any more."""

    state: Literal["waiting", "running", "exited", "lost"]
    code: int | None = None


WAITING, RUNNING, LOST = Status("waiting"), Status("running"), Status("lost")


class Executor(Protocol):
    """Runs attempts. Knows nothing of tuning."""

    def start(self, attempt: AttemptFolder) -> str:
        """Starts the attempt, unless it was started before; its handle either way."""

    def poll(self, handle: str) -> Status:
        """How the attempt of that handle is."""

    def stop(self, handle: str, grace_s: float) -> None:
        """Asks it to end and ends it after `grace_s`; if it has ended, ends what it has left behind."""


class LocalExecutor:
    """Attempts as processes of this machine, each the leader of a session of its own.

    The handle is the attempt's folder; the pid file in it, which the task takes first of all, says which process it
    is, so a second start of one attempt finds the first one, whoever made it.
    """

    def __init__(
        self, environment: Mapping[str, str], command: Sequence[str] = (sys.executable, "-m", "tunesmith.task")
    ) -> None:
        self._environment = task_environment(environment)
        self._command = tuple(command)
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, attempt: AttemptFolder) -> str:
        handle = str(attempt.root)
        if handle not in self._children and _leader(attempt) is None:
            try:
                self._children[handle] = self._spawn(attempt)
            except OSError as error:
                raise Unavailable(f"{self._command[0]} could not be started: {error}") from error
        return handle

    def poll(self, handle: str) -> Status:
        attempt = AttemptFolder(Path(handle))
        child = self._children.get(handle)
        code = child.poll() if child is not None else None
        leader = _leader(attempt)
        if leader is None:
            if child is None:
                return LOST
            return WAITING if code is None else Status("exited", code)
        if process.is_running(leader):
            return RUNNING
        if child is not None and child.pid == process.pid_of(leader):
            return Status("exited", child.wait())
        said = _said_exit_code(attempt)
        return LOST if said is None else Status("exited", said)

    def stop(self, handle: str, grace_s: float) -> None:
        leader = _leader(AttemptFolder(Path(handle)))
        child = self._children.get(handle)
        if leader is None and child is not None and child.poll() is None:
            leader = process.identity(child.pid)
        if leader is not None and process.is_running(leader):
            _signal_group(process.pid_of(leader), signal.SIGTERM)
            self._wait(handle, leader, grace_s)
        # SIGTERM went to the group, for the children's sake; what is left now has had its time.
        deadline_s = time.monotonic() + _KILL_LIMIT_S
        while left := _left_of(handle, leader):
            if time.monotonic() > deadline_s:
                log.error("unkillable attempt=%s pids=%s", handle, left)
                break
            for pid in left:
                _signal(pid, signal.SIGKILL)
            self._reap(handle)
            time.sleep(_POLL_S)
        self._reap(handle)

    def _spawn(self, attempt: AttemptFolder) -> subprocess.Popen[bytes]:
        with open(attempt.log, "ab") as log_file:
            return subprocess.Popen(
                [*self._command, str(attempt.root)],
                env={**self._environment, MARK: str(attempt.root)},
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                close_fds=True,
            )

    def _wait(self, handle: str, leader: str, grace_s: float) -> None:
        deadline_s = time.monotonic() + grace_s
        while process.is_running(leader) and time.monotonic() < deadline_s:
            self._reap(handle)
            time.sleep(_POLL_S)

    def _reap(self, handle: str) -> None:
        if (child := self._children.get(handle)) is not None:
            child.poll()


def task_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What of `environment` a task may see, and what we set for it. No settings of ours, no secrets."""
    passed = {k: v for k, v in environment.items() if _PASSED.fullmatch(k) and not _SECRET.search(k)}
    return passed | _SET


def _leader(attempt: AttemptFolder) -> str | None:
    """The identity of the process that took the attempt; None before one has."""
    try:
        found: str = folder.read_json(attempt.pid_file)["process"]
    except NotFound:
        return None
    return found


def _said_exit_code(attempt: AttemptFolder) -> int | None:
    """What the files say of a process whose exit code nobody waited for; None if it left no word."""
    if attempt.result.exists():
        return EXIT_DONE
    try:
        code: int | None = folder.read_json(attempt.error).get("exit_code")
    except (NotFound, DataLoss):
        return None
    return code


def _left_of(handle: str, leader: str | None) -> list[int]:
    """Pids of all that an attempt started and that still runs: its session, and whatever bears its mark."""
    if not Path("/proc/self").exists():
        return [process.pid_of(leader)] if leader is not None and process.is_running(leader) else []
    mark = f"{MARK}={handle}".encode()
    return [pid for pid in _pids() if process.identity(pid) is not None and mark in _environ(pid)]


def _pids() -> Iterable[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _environ(pid: int) -> list[bytes]:
    try:
        return (Path("/proc") / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []  # ended meanwhile, or another user's


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
