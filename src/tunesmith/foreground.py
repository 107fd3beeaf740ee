"""A job run here, in the foreground: a worker beside a display, and what Ctrl+C means.

In: settings, a job that is in the store, a display. Out: the job as it ended. The first Ctrl+C (or SIGTERM) asks
the store to pause the job, so that its task saves a checkpoint and leaves; the second one stops it at once, and the
last checkpoint counts. Knows nothing of commands or of how an end is reported.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from tunesmith.folder import JobFolder
from tunesmith.settings import Settings
from tunesmith.watch import Display, Follower

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


def run(settings: Settings, store: Store, job_id: str, display: Display) -> Job:
    """Works on the job until it has ended, is paused, or has been stopped by a second Ctrl+C; the job as it is then."""
    stop = threading.Event()
    follower = Follower(JobFolder(settings.jobs / job_id))
    with counted_interrupts() as interrupts, display, ThreadPoolExecutor(1) as pool:
        working = pool.submit(_work, settings, job_id, stop)
        _show_until_done(working, follower, display, store, job_id, interrupts, stop)
    working.result()
    return store.job(job_id)


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


def serve(settings: Settings, *, until_idle: bool, say: Callable[[str], None]) -> list[Job]:
    """Works on every job until Ctrl+C or, with `until_idle`, until nothing is left; the jobs that came to rest."""
    from tunesmith.resources import RESTING
    from tunesmith.store import open_store
    from tunesmith.work.worker import work

    rested = []

    def note(job: Job) -> None:
        say(f"job {job.id}: {job.state}")
        if job.state in RESTING:
            rested.append(job)

    stop = threading.Event()
    with counted_interrupts() as interrupts, ThreadPoolExecutor(1) as pool:
        working = pool.submit(work, settings, open_store(settings), on_change=note, until_idle=until_idle, stop=stop)
        while not working.done():
            if interrupts.count:
                stop.set()
            wait([working], LOOK_INTERVAL_S)
    working.result()
    return rested


def _work(settings: Settings, job_id: str, stop: threading.Event) -> None:
    from tunesmith.store import open_store
    from tunesmith.work.worker import work

    work(settings, open_store(settings), only_job=job_id, until_idle=True, stop=stop)


def _show_until_done(
    working: Future[None],
    follower: Follower,
    display: Display,
    store: Store,
    job_id: str,
    interrupts: Interrupts,
    stop: threading.Event,
) -> None:
    heard = 0
    while not working.done():
        if interrupts.count > heard:
            heard = interrupts.count
            if heard == 1:
                display.say("pausing: the task saves a checkpoint and leaves (Ctrl+C again stops it at once)")
                store.request_pause(job_id)
            else:
                display.say("stopping at once")
                stop.set()
        _show(follower, display)
        wait([working], LOOK_INTERVAL_S)
    _show(follower, display)


def _show(follower: Follower, display: Display) -> None:
    view = follower.look()
    if view is not None:
        display.show(view)
