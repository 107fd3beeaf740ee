"""Asks the process that looks into data files (inspection.py): what it loads, and what rows may do to it, stays there.

One process, one question at a time, each within a limit; a process that took too long or died is replaced by another
one with the next question. The copies that it makes lie below the home's cache.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from typing import Any

from tunesmith import errors
from tunesmith.cost import Machine
from tunesmith.errors import FailedPrecondition, Unavailable
from tunesmith.settings import Settings

LIMIT_S = 120.0
"""For one question: 10,000 long rows are checked and counted in less, and a base model is made ready in half of it."""
WAIT_S = 60.0
"""For the questions before it."""
_COMMAND = (sys.executable, "-m", "tunesmith.inspection")


class Inspector:
    """The one process of an installation's server. Safe to use from several threads."""

    def __init__(self, settings: Settings, command: tuple[str, ...] = _COMMAND, limit_s: float = LIMIT_S) -> None:
        self._settings = settings
        self._told = {
            "local_buckets": str(settings.local_buckets),
            "buckets": dict(settings.buckets),
            "base_models": str(settings.base_models),
            "aliases": dict(settings.aliases),
            "cache": str(settings.cache / "inspected"),
        }
        self._command = command
        self._limit_s = limit_s
        self._process: subprocess.Popen[str] | None = None
        self._turn = threading.Lock()
        self._measuring = threading.Lock()
        self._machines: dict[str, Machine] = {}

    def ask(self, question: str, **said: Any) -> dict[str, Any]:
        """Its answer; raises what it raised. FailedPrecondition if it took too long or died of the question."""
        if not self._turn.acquire(timeout=WAIT_S):
            raise Unavailable(f"other data are being looked at since {WAIT_S:g} s; try again")
        try:
            return self._asked({"question": question, **self._told, **said})
        finally:
            self._turn.release()

    def machine(self, precision: str) -> Machine:
        """How fast this machine is; measured once, by a process of its own: it takes the engine, and then leaves."""
        with self._measuring:
            if precision not in self._machines:
                with contextlib.closing(Inspector(self._settings, self._command, self._limit_s)) as once:
                    self._machines[precision] = Machine(**once.ask("machine", precision=precision))
            return self._machines[precision]

    def close(self) -> None:
        """Ends the process, also in the middle of a question."""
        if self._process is not None:
            self._process.kill()
        with self._turn:
            self._end()

    def _asked(self, question: dict[str, Any]) -> dict[str, Any]:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        overdue = threading.Event()

        def kill() -> None:
            overdue.set()
            process.kill()

        timer = threading.Timer(self._limit_s, kill)
        timer.daemon = True
        timer.start()
        try:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        finally:
            timer.cancel()
        if not line.endswith("\n"):
            code = self._end()
            raise FailedPrecondition(self._why(overdue.is_set(), code))
        answer = json.loads(line)
        if answer["last"]:
            self._end()
        if "error" in answer:
            raise errors.from_json(answer["error"])
        found: dict[str, Any] = answer["answer"]
        return found

    def _why(self, overdue: bool, code: int) -> str:
        if overdue:
            return (
                f"looking at these data took longer than {self._limit_s:g} s, and was stopped; start the job: its own "
                "check has no such limit"
            )
        return f"the process that looked at these data ended with {code}; the server's log may say why"

    def _running(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._process is None:
            try:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    encoding="utf-8",
                    start_new_session=True,  # an interrupt is for the server; the process ends with its input
                )
            except OSError as error:
                raise Unavailable(f"{self._command[0]} could not be started: {error}") from error
        return self._process

    def _end(self) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        try:
            process.communicate(timeout=1.0)  # it leaves by itself as its input ends
        except (subprocess.TimeoutExpired, OSError, ValueError):
            process.kill()
            process.communicate()
        return process.returncode
