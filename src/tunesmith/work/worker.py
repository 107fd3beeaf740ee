"""The worker: claims tasks, starts them, watches them, settles how they ended. Makes happen what the store says.

In: the store, and the files that attempts write. Out: state changes in the store; task.json, STOP and links in the
folders of jobs. The database says what should be, the folder what is; exit codes are hints. No transaction is open
while anything runs, so a database that is away for a while delays what is written and starts nothing twice.

Every attempt, claimed new or taken over from a dead worker, goes the same way: prepare its folder (again), start it
(again: the executor finds the one that runs), look at it until it has ended, settle it. Opens no tensors; knows
nothing of tuning but the names of the tasks.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tunesmith import folder, pipeline, process, resources
from tunesmith.errors import (
    Aborted,
    Cancelled,
    DataLoss,
    FailedPrecondition,
    Internal,
    NotFound,
    ResourceExhausted,
    TunesmithError,
    Unavailable,
    from_exception,
    from_json,
)
from tunesmith.folder import AttemptFolder, JobFolder
from tunesmith.settings import Settings
from tunesmith.store import Claim, Ending, Job, Store
from tunesmith.work.deploy import Deployments
from tunesmith.work.executors import Executor, LocalExecutor, Status
from tunesmith.work.publish import Published, publish, remove_leftovers

log = logging.getLogger(__name__)

TASKS_AT_ONCE = 1
"""A task takes all devices of its machine: two at once would share its memory and slow each other down."""

MAX_BACKOFF_S = 5.0
_LAST_BYTES = 2000


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the worker waits for what."""

    poll_s: float = 0.2
    """Between two looks at what runs."""
    lease_s: float = 30.0
    """A worker that has been silent for so long is taken for dead, where it cannot be seen that it is."""
    heartbeat_s: float = 5.0
    silence_s: float = 1800.0
    """An attempt that writes nothing for so long hangs. Loading 60 GB of weights from a slow disk takes 10 minutes."""
    grace_s: float = 120.0
    """From STOP to SIGTERM: one step and one checkpoint of a large model."""
    kill_grace_s: float = 5.0
    """From SIGTERM to SIGKILL."""


DEFAULT_TIMING = Timing()


def work(
    settings: Settings,
    store: Store,
    *,
    only_job: str | None = None,
    on_change: Callable[[Job], None] | None = None,
    until_idle: bool = False,
    stop: threading.Event | None = None,
    executor: Executor | None = None,
    timing: Timing = DEFAULT_TIMING,
    serves: bool = False,
) -> None:
    """Runs jobs until `stop` is set; or until there is nothing to do; or until `only_job` has come to rest.

    only_job   no other job is touched; returns too when a stop has paused it, or another worker has it
    on_change  told of every change of `only_job` that this worker sees, by whomever it was made
    serves     whether the models that are asked for and deployed are served by this worker too
    stop       what runs is asked to save and leave. `only_job` is then PAUSED; any other job goes on where it was
               with the next worker
    """
    stop = stop or threading.Event()
    runner = executor or LocalExecutor(os.environ)
    worker = Worker(settings, store, runner, timing, only_job, on_change)
    deployments = Deployments(settings, store, runner, worker.name, _is_dead) if serves else None
    backoff_s = timing.poll_s
    while True:
        try:
            if deployments is not None and not stop.is_set():
                deployments.turn()
            if worker.turn(stopping=stop.is_set(), until_idle=until_idle):
                if deployments is not None:
                    deployments.stop()
                return
            backoff_s = timing.poll_s
        except Unavailable as error:
            log.warning("waiting reason=%s", error.message)
            backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)
        _sleep(stop, backoff_s)


def _is_dead(worker: str) -> bool:
    """Whether a worker's process is seen to have ended; False too if it cannot be seen from here."""
    of_process = worker.rpartition(":")[0]
    return process.is_here(of_process) and not process.is_running(of_process)


def _sleep(stop: threading.Event, seconds: float) -> None:
    # A stop that is already set must not turn the waiting for what runs into spinning.
    if stop.is_set():
        time.sleep(seconds)
    else:
        stop.wait(seconds)


class Running(Protocol):
    """One attempt that runs, wherever it does."""

    def poll(self) -> Status: ...

    def end(self) -> None:
        """Makes sure that nothing of it runs any more."""

    def error_of(self, watch: Watch, status: Status) -> TunesmithError | None:
        """Why it failed, now that it has ended; None if it did not. Cancelled if it left because it was asked to."""


@dataclass(slots=True)
class Watch:
    """What the worker knows of an attempt that it has claimed."""

    claim: Claim
    job: Job
    attempt: AttemptFolder
    running: Running
    handle: str
    next_heartbeat_s: float
    """On the monotonic clock, as all times here: the wall clock may jump."""
    changed_s: float
    recorded: bool = False
    signs: tuple[int, ...] = ()
    asked_s: float | None = None
    """When it was asked to stop."""
    killed: str | None = None
    """Why it was ended by force."""
    ending: Ending | None = None
    """How it ended, once that is known and not yet in the store."""


@dataclass(slots=True)
class Worker:
    """The attempts that this worker has claimed, and what it does about them in each turn."""

    settings: Settings
    store: Store
    executor: Executor
    timing: Timing
    only_job: str | None = None
    on_change: Callable[[Job], None] | None = None
    name: str = field(default_factory=lambda: f"{process.own()}:{secrets.token_hex(4)}")
    """Says which process this is, so that another worker on this machine sees when it is dead."""
    watches: list[Watch] = field(default_factory=list)
    _seen: tuple[Any, ...] = ()
    _pause_asked: bool = False

    def turn(self, *, stopping: bool, until_idle: bool) -> bool:
        """One look at everything; True if there is nothing more to do."""
        for watch in list(self.watches):
            self._look(watch, stopping)
        if stopping:
            return self._is_stopped()
        while len(self.watches) < TASKS_AT_ONCE and (claim := self._claim()) is not None:
            self._take(claim)
        self._tell()
        if self.watches:
            return False
        if self.only_job is not None:
            return self.store.job(self.only_job).state in resources.RESTING
        return until_idle and self.store.is_idle()

    def _is_stopped(self) -> bool:
        """Asks for the foreground job's pause, once; True when nothing of this worker's runs any more."""
        if self.only_job is not None and not self._pause_asked and self._is_ours(self.only_job):
            with contextlib.suppress(FailedPrecondition):  # it has ended meanwhile
                self.store.request_pause(self.only_job, now_s=time.time())
            self._pause_asked = True
        self._tell()
        return not self.watches

    def _is_ours(self, job_id: str) -> bool:
        return not self.store.workers(job_id) - {self.name}

    def _tell(self) -> None:
        if self.only_job is None or self.on_change is None:
            return
        job = self.store.job(self.only_job)
        seen = (job.state, job.wanted, job.model, job.tasks)
        if seen != self._seen:
            self._seen = seen
            self.on_change(job)

    # Claim and start.

    def _claim(self) -> Claim | None:
        others = self.store.workers(self.only_job) - {self.name}
        dead = [other for other in others if _is_dead(other)]
        return self.store.claim(
            self.name,
            now_s=time.time(),
            lease_s=self.timing.lease_s,
            only_job=self.only_job,
            dead=dead,
            capacity=self.settings.pools,
        )

    def _take(self, claim: Claim) -> None:
        job = self.store.job(claim.job)
        log.info("claimed job=%s task=%s attempt=%d", claim.job, claim.task, claim.attempt)
        try:
            attempt, order = self._prepare(claim, job)
            running, handle = self._start(claim, job, attempt, order)
        except Exception as error:  # noqa: BLE001 (a job that cannot be begun must not end the worker)
            self._give_up(claim, error)
            return
        now_s = time.monotonic()
        self.watches.append(Watch(claim, job, attempt, running, handle, now_s + self.timing.heartbeat_s, now_s))

    def _prepare(self, claim: Claim, job: Job) -> tuple[AttemptFolder, dict[str, Any]]:
        """The attempt's folder with its task.json, and what that says."""
        of_job = JobFolder(self.settings.jobs / job.id)
        attempt = of_job.attempt(claim.task, claim.attempt).create()
        if not of_job.spec.exists():
            folder.write_json(of_job.spec, job.planned.model_dump(mode="json"))
        order = {
            "job": job.id,
            "task": claim.task,
            "attempt": claim.attempt,
            "job_created": job.create_time,
            "plan": str(of_job.spec),
            "base_models": str(self.settings.base_models),
            "models": str(self.settings.models),
            "aliases": dict(self.settings.aliases),
            "serving": self.settings.serving,
            "local_buckets": str(self.settings.local_buckets),
            "buckets": dict(self.settings.buckets),
            "git": _git_of(self.settings),
            # Of each project its own: how long a build takes must not tell what code another project has.
            "cache": str(self.settings.cache / "projects" / job.project),
            "inputs": {
                t.name: str(of_job.attempt(t.name, t.attempt).root) for t in job.tasks if t.state == "SUCCEEDED"
            },
            "earlier": [str(of_job.attempt(claim.task, number).root) for number in range(1, claim.attempt)],
        }
        if not attempt.task_file.exists():
            folder.write_json(attempt.task_file, order)
        elif folder.read_json(attempt.task_file)["job_created"] != job.create_time:
            raise FailedPrecondition(
                f"{of_job.root} belongs to an older job of the same id that the database does not know any more; "
                "move it away and resume the job, or start one with another id"
            )
        if claim.task == pipeline.TUNE:
            _link(of_job.root / attempt.metrics.name, attempt.metrics)
            _link(of_job.root / attempt.tensorboard.name, attempt.tensorboard)
        return attempt, order

    def _start(self, claim: Claim, job: Job, attempt: AttemptFolder, order: Mapping[str, Any]) -> tuple[Running, str]:
        if claim.task in pipeline.PROCESS_TASKS:
            handle = self.executor.start(attempt)
            return _Process(self.executor, handle, self.timing.kill_grace_s), handle
        if claim.task == pipeline.DEPLOY:
            return _Deployment(), str(attempt.root)
        inputs = {task: AttemptFolder(Path(path)) for task, path in order["inputs"].items()}
        name, target = self.store.model_name(job), self.store.model_folder(job)
        now_s = time.time()
        upload = _Upload(lambda: publish(job, inputs, name=name, target=target, now_s=now_s), attempt.log)
        return upload, str(attempt.root)

    def _give_up(self, claim: Claim, error: Exception) -> None:
        log.error("not started job=%s task=%s", claim.job, claim.task, exc_info=error)
        known = from_exception(error)
        ending = Ending("failed", _said(known), retryable=known.retryable)
        with contextlib.suppress(Aborted):
            self.store.settle(claim, ending, now_s=time.time())

    # Watch.

    def _look(self, watch: Watch, stopping: bool) -> None:
        """Moves one attempt on; drops it once it is settled, or is another worker's."""
        try:
            if watch.ending is None:
                self._keep(watch)
                self._follow(watch, stopping)
            if watch.ending is not None:
                self._settle(watch)
                self.watches.remove(watch)
        except Aborted as error:
            # Another worker has taken over: it watches the same process, which is left alone.
            log.warning("dropped job=%s task=%s reason=%s", watch.claim.job, watch.claim.task, error.message)
            self.watches.remove(watch)
        except Unavailable:
            raise
        except Exception as error:
            if watch.ending is not None and watch.ending.outcome == "failed":
                raise
            log.error("giving up job=%s task=%s", watch.claim.job, watch.claim.task, exc_info=error)
            watch.running.end()
            watch.ending = Ending("failed", _said(from_exception(error)))

    def _keep(self, watch: Watch) -> None:
        now_s = time.monotonic()
        if not watch.recorded:
            self.store.started(watch.claim, watch.handle, now_s=time.time())
            watch.recorded = True
        if now_s >= watch.next_heartbeat_s:
            self.store.heartbeat(watch.claim, now_s=time.time(), lease_s=self.timing.lease_s)
            watch.next_heartbeat_s = now_s + self.timing.heartbeat_s

    def _follow(self, watch: Watch, stopping: bool) -> None:
        now_s = time.monotonic()
        status = watch.running.poll()
        if status.state in ("exited", "lost"):
            watch.running.end()
            watch.ending = self._ending(watch, status)
            return
        if watch.asked_s is None and (stopping or self.store.job(watch.claim.job).wanted != "run"):
            with contextlib.suppress(OSError):  # on a full disk SIGTERM says the same, after the grace time
                watch.attempt.stop_file.touch()
            watch.asked_s = now_s
        signs = _signs_of_life(watch.attempt)
        if signs != watch.signs:
            watch.signs, watch.changed_s = signs, now_s
        if watch.asked_s is not None and now_s - watch.asked_s > self.timing.grace_s:
            watch.killed = f"did not leave within {self.timing.grace_s:g} s of being asked to"
        elif now_s - watch.changed_s > self.timing.silence_s:
            watch.killed = f"wrote nothing for {self.timing.silence_s:g} s"
        if watch.killed is not None:
            log.warning("stopping job=%s task=%s reason=%s", watch.claim.job, watch.claim.task, watch.killed)
            watch.running.end()
            watch.ending = self._ending(watch, watch.running.poll())

    # Settle.

    def _ending(self, watch: Watch, status: Status) -> Ending:
        """How the attempt ended, by what it left in its folder; failing that, by how its process did."""
        step = _furthest_step(watch.attempt)
        error = watch.running.error_of(watch, status)
        if error is None:
            return Ending("succeeded", step=step)
        if not isinstance(error, Cancelled):
            return Ending("failed", _said(error), retryable=error.retryable, step=step)
        wanted = self.store.job(watch.claim.job).wanted
        if wanted != "run":
            return Ending("paused" if wanted == "pause" else "cancelled", step=step)
        # Stopped by a worker that ended, or by somebody from outside: it goes on where it saved.
        interrupted = Unavailable(f"attempt {watch.claim.attempt} was interrupted: {error.message}")
        return Ending("failed", _said(interrupted), retryable=True, counts=False, step=step)

    def _settle(self, watch: Watch) -> None:
        claim, ending = watch.claim, watch.ending
        assert ending is not None
        published = watch.running.published if isinstance(watch.running, _Upload) else None
        if ending.outcome == "succeeded" and published is not None:
            # Before the transaction: nobody comes back to a job that has ended.
            remove_leftovers(self.store.model_folder(watch.job))
            self.store.register_model(
                claim,
                labels=published.labels,
                lineage=published.lineage,
                metrics=published.metrics,
                now_s=time.time(),
            )
        elif ending.outcome == "succeeded" and claim.task == pipeline.DEPLOY:
            self.store.deploy_model_of_job(claim, now_s=time.time())
        else:
            self.store.settle(claim, ending, now_s=time.time())
        log.info("settled job=%s task=%s outcome=%s", claim.job, claim.task, ending.outcome)
        if claim.task == pipeline.TUNE and ending.outcome == "succeeded":
            for name in ("adapter", "model"):
                if (watch.attempt.out / name).exists():
                    _link(self.settings.jobs / claim.job / name, watch.attempt.out / name)


@dataclass(frozen=True, slots=True)
class _Process:
    """An attempt that an executor runs."""

    executor: Executor
    handle: str
    kill_grace_s: float

    def poll(self) -> Status:
        return self.executor.poll(self.handle)

    def end(self) -> None:
        self.executor.stop(self.handle, self.kill_grace_s)

    def error_of(self, watch: Watch, status: Status) -> TunesmithError | None:
        if watch.attempt.result.exists():
            return None
        where = watch.claim.task
        if watch.killed is not None:
            text = f"{where} {watch.killed} and was ended by force"
            return Unavailable(text) if watch.asked_s is None else Cancelled(text)
        try:
            said = folder.read_json(watch.attempt.error)
        except (NotFound, DataLoss):
            return _unexplained(where, watch.attempt, status)
        return from_json(said, said.get("exit_code"))


class _Upload:
    """The one task that the worker does itself: in a thread, so that the lease is renewed meanwhile."""

    def __init__(self, act: Callable[[], Published], log_file: Path) -> None:
        self.published: Published | None = None
        self.error: BaseException | None = None
        self._act, self._log_file = act, log_file
        self._thread = threading.Thread(target=self._run, name="upload", daemon=True)
        self._thread.start()

    def poll(self) -> Status:
        if self._thread.is_alive():
            return Status("running")
        return Status("exited", 0 if self.error is None else 1)

    def end(self) -> None:
        self._thread.join()

    def error_of(self, watch: Watch, status: Status) -> TunesmithError | None:
        return None if self.error is None else from_exception(self.error)

    def _run(self) -> None:
        try:
            self.published = self._act()
        except BaseException as error:  # noqa: BLE001 (settled by the worker's thread)
            self.error = error
            self._log_file.write_text(traceback.format_exc(), "utf-8")


class _Deployment:
    """The task deploy-llm-model: all of it is the transaction that settles it."""

    def poll(self) -> Status:
        return Status("exited", 0)

    def end(self) -> None:
        """Nothing runs."""

    def error_of(self, watch: Watch, status: Status) -> TunesmithError | None:
        return None


def _git_of(settings: Settings) -> dict[str, Any]:
    """What repositories on servers are fetched with, for a task.json."""
    paths = {
        "ssh_key": settings.git_ssh_key,
        "known_hosts": settings.git_known_hosts,
        "certificates": settings.git_certificates,
    }
    return {"hosts": list(settings.git_hosts), **{name: str(path) for name, path in paths.items() if path}}


def _unexplained(where: str, attempt: AttemptFolder, status: Status) -> TunesmithError:
    """The error of a process that left neither result nor reason."""
    if status.state == "lost" or status.code is None:
        return Unavailable(f"{where} ended without a word: the machine was restarted, or somebody killed it")
    if status.code < 0:
        advice = "; it may have run out of memory: see the kernel's log" if status.code == -9 else ""
        return Unavailable(f"{where} was killed by signal {-status.code}{advice}")
    last = _last_line(attempt.log)
    if status.code == ResourceExhausted.exit_code:
        return ResourceExhausted(
            f"{where} ran out of disk or memory and could not write down why; free some, then resume the job. "
            f"Its log {attempt.log} ends: {last}"
        )
    return Internal(f"{where} ended with exit code {status.code} and no result; its log {attempt.log} ends: {last}")


def _last_line(log_file: Path) -> str:
    try:
        with open(log_file, "rb") as file:
            file.seek(max(0, os.path.getsize(log_file) - _LAST_BYTES))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except FileNotFoundError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _said(error: TunesmithError) -> dict[str, Any]:
    """As a task's error.json: the exit code tells errors of one status apart."""
    return {**error.to_json(), "exit_code": error.exit_code}


def _signs_of_life(attempt: AttemptFolder) -> tuple[int, ...]:
    """When each of the files that a living attempt writes was last written, in ns; 0 if it is not there."""
    return tuple(folder.mtime_ns(path) for path in (attempt.pid_file, attempt.progress, attempt.metrics, attempt.log))


def _furthest_step(attempt: AttemptFolder) -> int:
    """The last step that the attempt's metrics tell of; 0 without any."""
    lines = folder.read_jsonl(attempt.metrics)
    return int(lines[-1].get("step", 0)) if lines else 0


def _link(link: Path, target: Path) -> None:
    """A relative link for people to what lies below the same folder, in place of any older one."""
    if link.exists() and not link.is_symlink():
        return
    temporary = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(os.path.relpath(target, link.parent))
    os.replace(temporary, link)
