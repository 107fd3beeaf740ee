"""Processes that work on files: one that dies or hangs on a file costs that file, not the build.

In: the name of a task of worker.py and its items. Out: for each item, in order, what the task made of it, or why
nothing (Lost). Parsers are C code and repositories are hostile; so they run in processes of their own, with an eye on
the time and a bound on the memory. Items go in lots, and no more are on the way than the processes can soon take.
"""

from __future__ import annotations

import pickle
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Any, NamedTuple

LOT_BYTES = 256 * 1024
LOT_ITEMS = 64
LOTS_A_PROCESS = 200
"""Then another one takes over: what parsers leave behind in memory goes with the old one."""
ITEM_TIMEOUT_S = 60.0
"""For one item, and for a lot, which takes a second; parsing alone stops after 5 s."""
_AHEAD = 4
# Lots on the way for each process.
_WORKER = (sys.executable, "-m", "tunesmith.data.codebase.worker")
_LENGTH = struct.Struct("<Q")


NO_MEMORY = 74
"""With which a process ends that has no memory left."""
_SAID = {-9: "took too long, or too much memory", NO_MEMORY: "took too much memory"}


class Lost(NamedTuple):
    """An item that no process came back from."""

    detail: str


class Crew:
    """A context: its processes end with it."""

    def __init__(
        self, processes: int, item_timeout_s: float = ITEM_TIMEOUT_S, command: Sequence[str] = _WORKER
    ) -> None:
        self._count = processes
        self._command = command
        self._timeout_s = item_timeout_s
        self._threads = ThreadPoolExecutor(processes, "crew")
        self._own = threading.local()
        self._started: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()
        self._is_closed = False

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends what is under way: nobody waits for it any more."""
        self._is_closed = True
        self._kill()
        self._threads.shutdown(cancel_futures=True)
        self._kill()  # one that was being started meanwhile
        for process in self._started:
            process.wait()
            _close(process)

    def _kill(self) -> None:
        with self._lock:
            for process in self._started:
                process.kill()

    def map(self, task: str, items: Iterable[Any], size: Callable[[Any], int]) -> Iterator[tuple[Any, Any]]:
        """(item, result) for each, in order. `size` says how many bytes an item is."""
        waiting: deque[Future[list[tuple[Any, Any]]]] = deque()
        for lot in _lots(items, size):
            waiting.append(self._threads.submit(self._done, task, lot))
            while len(waiting) > self._count * _AHEAD:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()

    def _done(self, task: str, lot: list[Any]) -> list[tuple[Any, Any]]:
        results = self._asked(task, lot)
        if isinstance(results, Lost):  # one of them did it: each by itself, to know which
            results = [self._alone(task, item) for item in lot] if len(lot) > 1 else [results]
        return list(zip(lot, results, strict=True))

    def _alone(self, task: str, item: Any) -> Any:
        results = self._asked(task, [item])
        return results if isinstance(results, Lost) else results[0]

    def _asked(self, task: str, lot: list[Any]) -> list[Any] | Lost:
        """What this thread's process answers; a new one is started if it has none."""
        if self._is_closed:
            return Lost("the build was stopped")
        process = self._process()
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(self._timeout_s, process.kill)
        timer.daemon = True
        timer.start()
        try:
            send(process.stdin, (task, lot))
            answer = receive(process.stdout)
        except OSError:
            answer = None
        finally:
            timer.cancel()
        if answer is None:
            return self._ended(process)
        if isinstance(answer, BaseException):
            raise answer
        return answer  # type: ignore[no-any-return]

    def _process(self) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] | None = getattr(self._own, "process", None)
        self._own.lots = getattr(self._own, "lots", 0) + 1
        if process is not None and self._own.lots % LOTS_A_PROCESS == 0:
            self._ended(process)
            process = None
        if process is None:
            process = self._own.process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # an interrupt is for us; the process ends with its input
            )
            with self._lock:
                self._started.append(process)
        return process

    def _ended(self, process: subprocess.Popen[bytes]) -> Lost:
        process.kill()
        code = process.wait()
        self._own.process = None
        with self._lock:
            self._started.remove(process)
        _close(process)
        return Lost(_SAID.get(code, f"the process that read it ended with {code}"))


def send(stream: IO[bytes], value: Any) -> None:
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any | None:
    """None at the end of the stream, also in the middle of a value."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    length = _LENGTH.unpack(head)[0]
    data = stream.read(length)
    return pickle.loads(data) if len(data) == length else None


def _lots(items: Iterable[Any], size: Callable[[Any], int]) -> Iterator[list[Any]]:
    lot: list[Any] = []
    held = 0
    for item in items:
        lot.append(item)
        held += size(item)
        if held >= LOT_BYTES or len(lot) >= LOT_ITEMS:
            yield lot
            lot, held = [], 0
    if lot:
        yield lot


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except BrokenPipeError:  # it died with something unread
                continue
