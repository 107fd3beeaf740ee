"""A worker process over the stand-in tasks: `python -m faults.run_worker HOME [JOB]`, with waits that suit a test."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path

from tunesmith.settings import Settings
from tunesmith.store import open_store
from tunesmith.work.executors import LocalExecutor
from tunesmith.work.worker import Timing, work

TIMING = Timing(poll_s=0.02, lease_s=2.0, heartbeat_s=0.3, silence_s=30.0, grace_s=10.0, kill_grace_s=1.0)
COMMAND = (sys.executable, "-m", "faults.slow_task")


def main() -> None:
    settings = Settings(Path(sys.argv[1]))
    only_job = sys.argv[2] if len(sys.argv) > 2 else None
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _signal, _frame: stop.set())
    executor = LocalExecutor(os.environ, COMMAND)
    work(settings, open_store(settings), only_job=only_job, stop=stop, executor=executor, timing=TIMING)


if __name__ == "__main__":
    main()
