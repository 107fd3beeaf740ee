"""A job run here, in the foreground: a worker beside a display, and what Ctrl+C means.

In: settings, a job that is in the store, a display. Out: the job as it came to rest. The first Ctrl+C (or SIGTERM)
stops the worker, which has the task save a checkpoint and leave; the job is then PAUSED. The second one kills the
task, and the last checkpoint counts. Knows nothing of commands or of how an end is reported.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from tunesmith import process
from tunesmith.errors import NotFound
from tunesmith.folder import AttemptFolder, JobFolder, read_json
from tunesmith.settings import Settings
from tunesmith.watch import Display, Follower, newest_attempt

if TYPE_CHECKING:
    from tunesmith.store import Job, Store

# A person sees the line move, and the files are read four times a second at most.
LOOK_INTERVAL_S = 0.25


@dataclass(slots=True)
class Interrupts:
    """How often this process has been asked to stop."""

    count: int = 0

    def note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1


@contextmanager
def counted_interrupts() -> Iterator[Interrupts]:
    """Within, SIGINT and SIGTERM are counted and do nothing else."""
    interrupts = Interrupts()
    before = {number: signal.signal(number, interrupts.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(settings: Settings, job_id: str, display: Display) -> None:
    """Works on the job until it has come to rest: ended, or paused."""
    stop = threading.Event()
    follower = Follower(JobFolder(settings.jobs / job_id))
    with counted_interrupts() as interrupts, display, ThreadPoolExecutor(1) as pool:
        working = pool.submit(_work, settings, job_id, stop)
        heard = 0
        while not working.done():
            if interrupts.count > heard:
                heard += 1
                _stop(heard, stop, follower.folder, display)
            _show(follower, display)
            wait([working], LOOK_INTERVAL_S)
        _show(follower, display)
    working.result()


def follow(store: Store, settings: Settings, job_id: str, display: Display) -> Job:
    """Shows a job that runs elsewhere until it has ended or been paused; Ctrl+C stops the showing, not the job."""
    from tunesmith.resources import RESTING

    follower = Follower(JobFolder(settings.jobs / job_id))
    with counted_interrupts() as interrupts, display:
        waiting = threading.Event()
        while store.job(job_id).state not in RESTING and not interrupts.count:
            _show(follower, display)
            waiting.wait(LOOK_INTERVAL_S)
        _show(follower, display)
    return store.job(job_id)


def serve(settings: Settings, *, until_idle: bool, beside: int | None = None) -> None:
    """Works on every job, and serves models, until Ctrl+C; with `until_idle` on jobs, until nothing is left to do.

    beside  pid of the process that started this one: its end, by whatever means, means the same as Ctrl+C
    """
    stop = threading.Event()
    with counted_interrupts() as interrupts, ThreadPoolExecutor(1) as pool:
        working = pool.submit(_work, settings, None, stop, until_idle=until_idle)
        while not working.done():
            if interrupts.count or beside not in (None, os.getppid()):
                stop.set()
            wait([working], LOOK_INTERVAL_S)
    working.result()


def _work(settings: Settings, only_job: str | None, stop: threading.Event, *, until_idle: bool = False) -> None:
    """`only_job` None: every job; such a worker serves models too, unless it is to leave when it is idle."""
    from tunesmith.store import open_store
    from tunesmith.work.worker import work

    serves = only_job is None and not until_idle
    work(settings, open_store(settings), only_job=only_job, until_idle=until_idle, stop=stop, serves=serves)


def _stop(times: int, stop: threading.Event, folder: JobFolder, display: Display) -> None:
    stop.set()
    if times == 1:
        display.say("pausing: the task saves a checkpoint and leaves (Ctrl+C again stops it at once)")
        return
    display.say("stopping at once")
    newest = newest_attempt(folder)
    if newest is not None:
        _kill(newest[2])


def _kill(attempt: AttemptFolder) -> None:
    """Ends the attempt's process and its children, which form a session of their own, if it runs."""
    with contextlib.suppress(NotFound):
        said = read_json(attempt.pid_file)
        if process.is_running(said["process"]):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(said["pid"], signal.SIGKILL)


def _show(follower: Follower, display: Display) -> None:
    view = follower.look()
    if view is not None:
        display.show(view)
