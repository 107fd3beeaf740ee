"""A worker process over the stand-in tasks, with waits that suit a test: `python -m faults.run_worker HOME [JOB]`.

In its environment: DIE_AT=METHOD:before|after makes it kill itself around its first call of that method of the store;
SERVES=1 has it serve models; POOLS is the quota, as JSON; INLINE=1 has tasks done within the worker, at once.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from database_server import settings_for
from faults import slow_task
from tunesmith import task
from tunesmith.folder import AttemptFolder
from tunesmith.settings import DEFAULT_POOLS
from tunesmith.store import Store, database, open_store
from tunesmith.work.executors import LocalExecutor, Status
from tunesmith.work.worker import Timing, work

TIMING = Timing(poll_s=0.02, lease_s=2.0, heartbeat_s=0.3, silence_s=4.0, grace_s=2.0, kill_grace_s=0.5)
COMMAND = (sys.executable, "-m", "faults.slow_task")


def main() -> None:
    settings = settings_for(Path(sys.argv[1]), pools=json.loads(os.environ.get("POOLS", "null")) or DEFAULT_POOLS)
    only_job = sys.argv[2] if len(sys.argv) > 2 else None
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    database.BUSY_TIMEOUT_S = float(os.environ.get("BUSY_TIMEOUT_S", "10"))
    if die_at := os.environ.get("DIE_AT"):
        _die_at(*die_at.split(":"))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _signal, _frame: stop.set())
    executor = Inline() if "INLINE" in os.environ else LocalExecutor(os.environ, COMMAND)
    serves = "SERVES" in os.environ
    work(settings, open_store(settings), only_job=only_job, stop=stop, executor=executor, timing=TIMING, serves=serves)


class Inline:
    """Attempts that have ended when they have started."""

    def start(self, attempt: AttemptFolder) -> str:
        order = task.read_order(attempt)
        attempt.result.write_text(json.dumps({**slow_task.FUNCTIONS[order.task](order), "versions": {}}))
        return str(attempt.root)

    def poll(self, handle: str) -> Status:
        return Status("exited", 0)

    def stop(self, handle: str, grace_s: float) -> None:
        """Nothing runs."""


def _die_at(method: str, when: str) -> None:
    cls = LocalExecutor if method == "start" else Store
    real = getattr(cls, method)

    @functools.wraps(real)
    def dying(*arguments, **named):
        answer = None if when == "before" else real(*arguments, **named)
        if answer is not None or method != "claim":
            os.kill(os.getpid(), signal.SIGKILL)
        return answer if when == "after" else real(*arguments, **named)

    setattr(cls, method, dying)


if __name__ == "__main__":
    main()
