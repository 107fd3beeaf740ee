"""Judges untrusted Python code: runs a solution and its tests apart, each in a closed room, and says who passed.

In: the solution's text (from a model), the tests' text (from a suite), modules that the solution may import.
Out: a `Verdict`. Two processes run, each in a room of its own (jail.py says what a room keeps out and what not):

    solution room   answering.py: the solution's code, and nothing that would be worth stealing
    tests room      examining.py: the tests; asks for values and compares. No code of the solution's runs here

This process passes questions and answers between them as lines of text, watches the clock and the amount of output,
and kills both rooms with all that is in them. The verdict comes from the tests room, so a solution that prints PASS,
exits with 0, patches assert or unittest, or reads every byte of its own memory changes nothing but its own answers;
the expected ones are never where it could see them.

Not done here: choosing problems, counting scores. Not protected against: errors of the kernel; a solution that knows
the right answers without computing them; memory up to `memory_bytes` times `processes` for the time of the run.
Where a host cannot close a room, `self_test` says which property is missing and nothing is run: there is no weaker way.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from tunesmith.errors import FailedPrecondition, InvalidArgument

Reason = Literal["passed", "failed", "raised", "died", "timeout", "flood"]

MAX_LINE_BYTES = 1 << 20  # one answer; more counts as a flood
KEPT_OUTPUT_BYTES = 4_096  # of what the solution printed, for the log
NOT_CLOSED = 125  # jail.py's exit code for a room that could not be closed
STOP_GRACE_S = 10.0  # the keeper needs milliseconds; after this it is killed too

# Besides the interpreter's own folder: the C library and what it loads. Links among them are shown as links.
_SYSTEM_FOLDERS = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")


@dataclass(frozen=True)
class Limits:
    """What one room may use; `processes` counts threads too, memory is per process."""

    wall_s: float = 10.0  # for loading, all tests and both starts (0.1 s)
    cpu_s: int = 10
    memory_bytes: int = 512 << 20
    file_bytes: int = 8 << 20
    disk_bytes: int = 16 << 20
    output_bytes: int = 64 << 10
    processes: int = 8
    open_files: int = 64


@dataclass(frozen=True)
class Verdict:
    """Passed or not, why not, and what the solution printed (its first 4,096 bytes)."""

    reason: Reason
    detail: str = ""
    output: str = ""
    wall_s: float = 0.0

    @property
    def passed(self) -> bool:
        return self.reason == "passed"


def judge(
    solution: str,
    tests: str,
    *,
    entry_point: str = "",
    modules: Mapping[str, str] | None = None,
    limits: Limits | None = None,
) -> Verdict:
    """Whether the solution passes the tests; examining.py lists what tests can say. modules: name -> source text.

    Raises FailedPrecondition if this host cannot close a room, InvalidArgument if the tests ask the solution nothing.
    """
    limits = limits or Limits()
    started = time.monotonic()
    deadline = started + limits.wall_s
    with _Room("answering.py", limits, deadline) as solving, _Room("examining.py", limits, deadline) as examining:
        load = {"kind": "load", "modules": dict(modules or {}), "code": solution}
        try:
            verdict = _examine(solving, examining, load, tests, entry_point)
        except _RoomEnded as ended:
            verdict = Verdict(ended.reason, ended.detail)
        output = solving.printed()
    return Verdict(verdict.reason, verdict.detail, output, time.monotonic() - started)


@lru_cache(maxsize=1)
def self_test() -> None:
    """Attacks this host's rooms once; FailedPrecondition names every property that does not hold. About 3 s."""
    if not sys.platform.startswith("linux"):
        raise FailedPrecondition(
            f"generated code is not run on {sys.platform}, since its sandbox needs Linux: evaluate on a Linux machine"
        )
    broken = []
    for claim, code, tests, reason in _PROBES:
        verdict = judge(code, tests, limits=_PROBE_LIMITS)
        if verdict.reason != reason:
            broken.append(f"{claim}: expected {reason}, got {verdict.reason} ({verdict.detail or verdict.output})")
    if broken:
        raise FailedPrecondition(
            "generated code is not run on this host, since its sandbox does not hold:\n" + "\n".join(broken)
        )


def _examine(solving: _Room, examining: _Room, load: dict[str, Any], tests: str, entry_point: str) -> Verdict:
    loaded = _answer(solving.exchange(load))
    if "raised" in loaded:
        return Verdict("raised", f"{loaded['raised']}: {loaded['message']}")
    names = re.findall(r"'([^\W\d]\w*)'", loaded["value"])
    message = examining.exchange({"tests": tests, "entry_point": entry_point, "names": names})
    asked = 0
    while "verdict" not in message:
        asked += 1
        message = examining.exchange(_answer(solving.exchange(message)))
    if message["verdict"] == "passed" and not asked:
        raise InvalidArgument.of("tests", f"ask the solution nothing, so everything would pass them: {tests[:200]!r}")
    return Verdict("passed" if message["verdict"] == "passed" else "failed", message["detail"])


def _answer(message: dict[str, Any]) -> dict[str, str]:
    """What the solution's room said, cut down to an answer: the solution may have written the line itself."""
    for fields in (("value",), ("raised", "message")):
        if all(isinstance(message.get(field), str) for field in fields):
            return {field: message[field] for field in fields}
    raise _RoomEnded("died", f"an answer without a value: {str(message)[:80]}")


class _RoomEnded(Exception):
    """The program in a room gave no more answers."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class _Room:
    """One program in a closed room: a line in, a line out, until the deadline; leaving the block kills all of it."""

    def __init__(self, program: str, limits: Limits, deadline: float) -> None:
        self._name = program.removesuffix(".py")
        self._limits = limits
        self._deadline = deadline
        self._folder = tempfile.TemporaryDirectory(prefix="tunesmith-room-")
        self._replies, reply_end = os.pipe()
        self._process = self._start(program, reply_end)
        os.close(reply_end)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._pending = bytearray()  # of replies
        self._printed = bytearray()
        self._printed_bytes = 0
        for fd in (self._requests, self._output, self._replies):
            os.set_blocking(fd, False)

    def __enter__(self) -> _Room:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Everything inside is dead when this returns: the keeper ends only after the kernel has emptied the room."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)  # init dies with its keeper
            self._process.wait()
        survivor = self._is_held()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        os.close(self._replies)
        self._folder.cleanup()
        if survivor:
            raise FailedPrecondition(
                "a process outlived its closed room; generated code is not safe to run on this host"
            )

    def _is_held(self) -> bool:
        """True if some process still has the other end of the replies: the end of file comes when the last one dies."""
        try:
            while os.read(self._replies, 65_536):
                pass
        except BlockingIOError:
            return True
        return False

    def exchange(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Sends one line and waits for one; _RoomEnded if none comes, or none that is an answer."""
        unsent = memoryview(json.dumps(request).encode() + b"\n")
        with selectors.DefaultSelector() as selector:
            selector.register(self._requests, selectors.EVENT_WRITE)
            selector.register(self._output, selectors.EVENT_READ)
            selector.register(self._replies, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                ready = {key.fd for key, _ in self._wait(selector)}
                if self._requests in ready:
                    unsent = unsent[self._write(unsent) :]
                    if not unsent:
                        selector.unregister(self._requests)
                if self._output in ready and not self._read_output():
                    selector.unregister(self._output)
                if self._replies in ready:
                    self._read_replies()
        line, _, rest = bytes(self._pending).partition(b"\n")
        self._pending = bytearray(rest)
        return self._parsed(line)

    def printed(self) -> str:
        return self._printed.decode("utf-8", "replace")

    def _start(self, program: str, reply_end: int) -> subprocess.Popen[bytes]:
        here = Path(__file__).parent
        job = {
            "program": (here / program).read_text("utf-8"),
            "judge": os.getpid(),
            "root": self._folder.name,
            "interpreter": os.path.realpath(sys.executable),
            "readable": [sys.base_prefix, *_SYSTEM_FOLDERS],
            "replies_fd": reply_end,
            "cpu_s": self._limits.cpu_s,
            "memory_bytes": self._limits.memory_bytes,
            "file_bytes": self._limits.file_bytes,
            "disk_bytes": self._limits.disk_bytes,
            "processes": self._limits.processes,
            "open_files": self._limits.open_files,
        }
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(here / "jail.py"), json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[reply_end],
            env={},
            start_new_session=True,
        )

    def _wait(self, selector: selectors.DefaultSelector) -> list[tuple[selectors.SelectorKey, int]]:
        left_s = self._deadline - time.monotonic()
        ready = selector.select(max(0.0, left_s))
        if left_s <= 0 or not ready:
            raise _RoomEnded("timeout", f"no end after {self._limits.wall_s:g} s")
        return ready

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._requests, data)
        except BrokenPipeError:
            raise self._died() from None

    def _read_output(self) -> bool:
        """False at its end: the program may close its output and go on."""
        data = os.read(self._output, 65_536)
        self._printed_bytes += len(data)
        self._printed += data[: KEPT_OUTPUT_BYTES - len(self._printed)]
        if self._printed_bytes > self._limits.output_bytes:
            raise _RoomEnded("flood", f"more than {self._limits.output_bytes} bytes printed")
        return bool(data)

    def _read_replies(self) -> None:
        data = os.read(self._replies, 65_536)
        if not data:
            raise self._died()
        self._pending += data
        if len(self._pending) > MAX_LINE_BYTES:
            raise _RoomEnded("flood", f"an answer of more than {MAX_LINE_BYTES} bytes")

    def _died(self) -> _RoomEnded:
        """What to raise when the room is silent for good; FailedPrecondition if it could not be closed at all."""
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return _RoomEnded("died", f"the {self._name} program closed its channel")
        if code == NOT_CLOSED:
            os.set_blocking(self._output, True)
            said = (bytes(self._printed) + os.read(self._output, KEPT_OUTPUT_BYTES)).decode("utf-8", "replace")
            raise FailedPrecondition(
                f"generated code is not run on this host, since no closed room can be made: {said.strip()}. "
                "Namespaces are needed: run as root outside a container, in one that has CAP_SYS_ADMIN, "
                "or where unprivileged user namespaces are allowed"
            )
        if code == 128 + signal.SIGXCPU:
            return _RoomEnded("timeout", f"more than {self._limits.cpu_s} s of CPU time")
        how = f"killed by signal {code - 128}" if code > 128 else f"exit code {code}"
        return _RoomEnded("died", f"the {self._name} program ended without an answer ({how})")

    def _parsed(self, line: bytes) -> dict[str, Any]:
        """The line as a message; one that is none counts as the room's end."""
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            raise _RoomEnded("died", f"the {self._name} program answered {line[:80]!r}")
        return message


def _refused(call: str) -> str:
    """Code whose answer() is True if the C library's `call` (with its errno in `e`) is refused."""
    return f"""
import ctypes, os
c = ctypes.CDLL(None, use_errno=True)
def answer():
    return {call} == -1 and ctypes.get_errno() in (1, 13, 38)
"""


_PROBE_LIMITS = Limits(wall_s=10.0, cpu_s=1, memory_bytes=256 << 20, processes=8)
_TRUE = "assert answer() is True"

# (what must hold, solution, tests, the verdict that shows it). The first two show that the rest can be believed.
_PROBES: tuple[tuple[str, str, str, Reason], ...] = (
    ("a right solution passes", "def answer():\n    return 42\n", "assert answer() == 42", "passed"),
    ("a wrong solution fails", "def answer():\n    return 41\n", "assert answer() == 42", "failed"),
    ("an endless loop is stopped", "while True:\n    pass\n", _TRUE, "timeout"),
    ("leaving with exit code 0 does not pass", "import os\nos._exit(0)\n", _TRUE, "died"),
    ("printing without end is stopped", "while True:\n    print('PASS' * 1000)\n", _TRUE, "flood"),
    ("memory is limited", "kept = bytearray(8 << 30)\n", _TRUE, "raised"),
    (
        "processes are limited and none is left over",
        """
import os, time
def answer():
    for started in range(100):
        try:
            if os.fork() == 0:
                os.setsid()
                time.sleep(600)
        except OSError:
            return started < 20
""",
        _TRUE,
        "passed",
    ),
    (
        "files are limited",
        """
def answer():
    try:
        with open("large", "wb") as file:
            file.truncate(1 << 40)
    except OSError:
        return True
""",
        _TRUE,
        "passed",
    ),
    (
        "nothing of the machine is seen but the interpreter",
        """
import os
def answer():
    hidden = ["/etc/passwd", "/proc/self/mem", "/proc/1/root", "/sys", "/home", "/var", "/run"]
    return [path for path in hidden if os.path.exists(path)] + os.listdir(".") + os.listdir("/tmp")
""",
        "assert answer() == []",
        "passed",
    ),
    (
        "nothing can be written but the empty folder",
        """
import os, sys
def answer():
    written = []
    for folder in ("/", "/dev", "/lib", "/usr/lib", sys.prefix, os.path.dirname(os.__file__)):
        try:
            open(os.path.join(folder, "sitecustomize.py"), "w").close()
            written.append(folder)
        except OSError:
            pass
    return written
""",
        "assert answer() == []",
        "passed",
    ),
    (
        "the environment is empty",
        "import os\ndef answer():\n    return sorted(os.environ)\n",
        "assert answer() == ['HOME', 'LANG', 'PATH', 'TMPDIR']",
        "passed",
    ),
    (
        "there is no network",
        """
import socket
def answer():
    reached = [name for _, name in socket.if_nameindex() if name != "lo"]
    for address in ("127.0.0.1", "169.254.169.254", "1.1.1.1"):
        with socket.socket() as s:
            s.settimeout(0.2)
            try:
                s.connect((address, 80))
                reached.append(address)
            except OSError as error:
                if error.errno != 101:
                    reached.append(f"{address}: {error}")
    return reached
""",
        "assert answer() == []",
        "passed",
    ),
    ("it has no root", "import os\ndef answer():\n    return 0 not in os.getresuid()\n", _TRUE, "passed"),
    ("namespaces are refused", _refused("c.unshare(0x10000000)"), _TRUE, "passed"),
    ("ptrace is refused", _refused("c.ptrace(0, 0, 0, 0)"), _TRUE, "passed"),
    ("mounting is refused", _refused("c.mount(b'x', b'/room', b'tmpfs', 0, None)"), _TRUE, "passed"),
    ("io_uring is refused", _refused("c.syscall(425, 1, None)"), _TRUE, "passed"),
    (
        "signals reach nobody else",
        """
import os
def answer():
    try:
        os.kill(1, 9)
    except OSError:
        pass
    return os.getpid()
""",
        "answer()\nassert answer() < 10",
        "passed",
    ),
)
