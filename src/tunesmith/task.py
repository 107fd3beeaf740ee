"""One attempt of one task, as a process: `python -m tunesmith.task FOLDER`.

In: FOLDER/task.json, which says what to do and on what. Out: FOLDER/result.json, or error.json and an exit code of
`errors`; in between the task's own files. The pid file comes first and is taken, not written: of two processes
started for one attempt one does the work. SIGTERM means the same as the STOP file. Writes into its own folder only
and opens no database, so an attempt that nobody waits for any more hurts nobody.

The only file that knows both sides. Importing it loads the standard library; each task imports what it needs.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import logging
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import folder, process
from tunesmith.errors import (
    EXIT_DONE,
    Cancelled,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    from_exception,
)
from tunesmith.folder import AttemptFolder

if TYPE_CHECKING:
    from types import FrameType

    from tunesmith.batch import BatchPlan
    from tunesmith.catalog import BaseModel
    from tunesmith.dataset import DatasetPlan
    from tunesmith.engine.model import Prepared
    from tunesmith.spec import TuningPlan
    from tunesmith.storage import Storage

log = logging.getLogger(__name__)

# Part of what made a result, so part of the model's lineage.
_LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "safetensors", "numpy")
PROGRESS_INTERVAL_S = 0.25
STOP_INTERVAL_S = 0.25
STOP_AGAIN_S = 10.0
"""Python forgets what is raised while it clears something away. By then a task has cleared away what it had begun."""


@dataclass(frozen=True, slots=True)
class Order:
    """What task.json says."""

    job: str
    task: str
    attempt: int
    folder: AttemptFolder
    plan: Path | None
    """None for a served model, which is no part of a job of tuning."""
    base_models: Path
    aliases: Mapping[str, str]
    inputs: Mapping[str, AttemptFolder]
    """The attempt that succeeded, of each task before this one."""
    earlier: tuple[AttemptFolder, ...]
    """Attempts of this task before this one, oldest first."""
    local_buckets: Path | None = None
    """Where buckets are folders."""
    buckets: Mapping[str, str] = field(default_factory=dict)
    """Buckets that are elsewhere."""
    base_model: str | None = None
    """What `serve` serves: a name as `catalog.find` takes it."""
    weights: Path | None = None
    """Folder of a fully tuned model to serve in its place."""
    models: Path | None = None
    """Folder of the registered models that may be asked for."""
    limits: Mapping[str, Any] = field(default_factory=dict)
    """Fields of engine/continuous.py's Limits that differ from the defaults."""
    serving: str = "auto"
    """What computes a served model's answers, as in the settings."""
    git: Mapping[str, Any] = field(default_factory=dict)
    """What repositories on servers are fetched with: fields of data/codebase/client_source.py's Reach."""
    cache: Path | None = None
    """Where a build of a data set keeps what it has found out about files."""
    untended_s: float | None = None
    """A served model that no worker has looked after for so long leaves; None: it stays."""

    def result_of(self, task: str) -> dict[str, Any]:
        """The result.json of an earlier task."""
        found: dict[str, Any] = folder.read_json(self.inputs[task].result)
        return found


TaskFunction = Callable[[Order], dict[str, Any]]


def main(arguments: list[str] | None = None, functions: Mapping[str, TaskFunction] | None = None) -> int:
    """Runs the attempt in the folder that is the only argument; the exit code."""
    (path,) = sys.argv[1:] if arguments is None else arguments
    attempt = AttemptFolder(Path(path).absolute())
    if not take(attempt):
        return EXIT_DONE
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, lambda _signal, _frame: attempt.stop_file.touch())
    try:
        order = read_order(attempt)
        log.info("started job=%s task=%s attempt=%d pid=%d", order.job, order.task, order.attempt, os.getpid())
        result = (FUNCTIONS if functions is None else functions)[order.task](order)
        folder.write_json(attempt.result, {**result, "versions": versions()})
    except BaseException as error:  # noqa: BLE001 (whatever it is, the worker must be told)
        return _report(attempt, error)
    log.info("done")
    return EXIT_DONE


def take(attempt: AttemptFolder) -> bool:
    """Makes this process the attempt's own, and says so in its pid file; False if another has done so before."""
    me = process.own()
    beside = attempt.root / f".pid.{os.getpid()}"
    beside.write_text(json.dumps({"pid": os.getpid(), "process": me}) + "\n", "utf-8")
    try:
        # A link appears with its text, or fails if the name is taken.
        os.link(beside, attempt.pid_file)
    except FileExistsError:
        return False
    finally:
        beside.unlink()
    return True


def read_order(attempt: AttemptFolder) -> Order:
    """The attempt's task.json, its paths as paths."""
    said = folder.read_json(attempt.task_file)
    return Order(
        job=said["job"],
        task=said["task"],
        attempt=said["attempt"],
        folder=attempt,
        plan=_path(said, "plan"),
        base_models=Path(said["base_models"]),
        aliases=said["aliases"],
        inputs={task: AttemptFolder(Path(path)) for task, path in said.get("inputs", {}).items()},
        earlier=tuple(AttemptFolder(Path(path)) for path in said.get("earlier", [])),
        local_buckets=_path(said, "local_buckets"),
        buckets=said.get("buckets", {}),
        base_model=said.get("base_model"),
        weights=_path(said, "weights"),
        models=_path(said, "models"),
        limits=said.get("limits", {}),
        serving=said.get("serving", "auto"),
        git=said.get("git", {}),
        cache=_path(said, "cache"),
        untended_s=said.get("untended_s"),
    )


def _path(said: Mapping[str, Any], name: str) -> Path | None:
    return Path(said[name]) if said.get(name) else None


def versions() -> dict[str, str]:
    """The versions of Python, of Tunesmith and of the libraries that compute, as installed; none is imported."""
    found = {"python": platform.python_version(), "tunesmith": _own_version()}
    for name in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _report(attempt: AttemptFolder, error: BaseException) -> int:
    known = from_exception(error)
    if known is error:
        log.error("ended status=%s message=%s", known.status, known.message, exc_info=not isinstance(known, Cancelled))
    else:
        log.error("ended status=%s", known.status, exc_info=error)
    try:
        folder.write_json(attempt.error, {**known.to_json(), "exit_code": known.exit_code})
    except OSError:
        log.exception("%s could not be written", attempt.error)  # a full disk: the exit code must do
    return known.exit_code


def _own_version() -> str:
    from tunesmith import __version__

    return __version__


# The tasks.


def validate(order: Order) -> dict[str, Any]:
    """Checks the data and packs them for the base model: one folder of shards."""
    from tunesmith.data import build

    plan, base = _plan(order), _prepare(order)
    shards = order.folder.out / "shards"
    here = _with_files(plan, order)
    try:
        built = build.build(here, base.folder, shards, on_progress=_progress(order.folder))
    except InvalidArgument as error:
        raise _of_their_owner(error, plan, here) from error
    named = {"name": base.name, "folder": str(base.folder), "sha256": base.sha256}
    return {**built.to_json(), "base": named, "shards": str(shards)}


def tune(order: Order) -> dict[str, Any]:
    """Trains on the packed data, on every device that this machine has."""
    from tunesmith.engine import ranks, train

    checked = order.result_of("validate-dataset")
    plan, shards, base = _plan(order), Path(checked["shards"]), _same_base(order, checked)
    devices = ranks.num_devices()
    if devices > 1:
        result = ranks.train_on(devices, plan, order.folder, shards=shards, base=base, earlier=order.earlier)
    else:
        result = train.train(plan, order.folder, shards=shards, base=base, earlier=order.earlier)
    return result.to_json()


def evaluate(order: Order) -> dict[str, Any]:
    """Compares the tuned model with its base, on the evaluation data and on general code."""
    from tunesmith.engine import compare

    checked, trained = order.result_of("validate-dataset"), order.result_of("tune")
    return compare.compare(
        _plan(order),
        order.folder,
        shards=Path(checked["shards"]),
        base=_same_base(order, checked),
        found=_find(order),
        tuned=Path(trained["tuned"]),
        measured=trained["metrics"],
    )


def read_instances(order: Order) -> dict[str, Any]:
    """Reads and checks what a batch is asked: one sealed folder of lines."""
    from tunesmith.data import batch_input

    return batch_input.read(_batch(order), _storage(order), order.folder.out / "instances", _progress(order.folder))


def batch_predict(order: Order) -> dict[str, Any]:
    """Answers every line of a batch, and writes the answers into the bucket."""
    from tunesmith import catalog
    from tunesmith.engine import batch

    plan = _batch(order)
    assert order.models is not None, f"the order of {order.task} names no folder of models"
    return batch.predict(
        plan,
        order.folder,
        base=catalog.find(plan.base_model, order.aliases, order.base_models).base,
        base_models=order.base_models,
        models=order.models,
        read=Path(order.result_of("read-instances")["instances"]),
        storage=_storage(order),
        earlier=order.earlier,
        serving=order.serving,
    )


def build_dataset(order: Order) -> dict[str, Any]:
    """Builds the data set of a codebase: one sealed folder."""
    from tunesmith.data.codebase import job

    with _stopped_anywhere(order.folder):
        return job.build_dataset(
            _dataset(order),
            order.folder,
            storage=_storage(order),
            reach=job.reach_of(order.git),
            cache_folder=order.cache,
            earlier=order.earlier,
            on_progress=_progress(order.folder),
        )


def upload_dataset(order: Order) -> dict[str, Any]:
    """Writes a data set that was built into the bucket."""
    from tunesmith.data.codebase import job

    built = Path(order.result_of("build-dataset")["dataset"])
    with _stopped_anywhere(order.folder):
        return job.upload_dataset(_dataset(order), built, _storage(order), _progress(order.folder))


def serve(order: Order) -> dict[str, Any]:
    """Answers requests with a base model and the adapters of models tuned on it, until it is told to stop."""
    from tunesmith.engine import serve

    return serve.serve(
        order.folder,
        base=_find(order),
        base_models=order.base_models,
        weights=order.weights,
        models=order.models,
        limits=order.limits,
        serving=order.serving,
        untended_s=order.untended_s,
    )


FUNCTIONS: Mapping[str, TaskFunction] = {
    "validate-dataset": validate,
    "tune": tune,
    "evaluate": evaluate,
    "read-instances": read_instances,
    "batch-predict": batch_predict,
    "build-dataset": build_dataset,
    "upload-dataset": upload_dataset,
    "serve": serve,
}


def _plan(order: Order) -> TuningPlan:
    from tunesmith.spec import TuningPlan

    assert order.plan is not None, f"the order of {order.task} names no plan"
    return TuningPlan.model_validate(folder.read_json(order.plan))


def _batch(order: Order) -> BatchPlan:
    from tunesmith.batch import BatchPlan

    assert order.plan is not None, f"the order of {order.task} names no plan"
    return BatchPlan.model_validate(folder.read_json(order.plan))


def _dataset(order: Order) -> DatasetPlan:
    from tunesmith.dataset import DatasetPlan

    assert order.plan is not None, f"the order of {order.task} names no plan"
    return DatasetPlan.model_validate(folder.read_json(order.plan))


def _storage(order: Order) -> Storage:
    from tunesmith.storage import Storage

    return Storage(order.local_buckets or Path(), order.buckets)


def _with_files(plan: TuningPlan, order: Order) -> TuningPlan:
    """The plan with its data as files of this machine: what lies in a bucket is copied here, once and whole."""
    fetched = {}
    for name in ("dataset", "evaluation_data"):
        uri = getattr(plan.spec, name)
        if uri is not None and "://" in uri:
            storage, place = _storage(order), order.folder.out / "inputs" / name
            fetched[name] = str(storage.fetch(uri, place))
            with contextlib.suppress(NotFound, PermissionDenied):  # says where a data set that was built comes from
                storage.fetch(f"{uri.rpartition('/')[0]}/{folder.MANIFEST}", place)
    return plan.model_copy(update={"spec": plan.spec.model_copy(update=fetched)})


def _of_their_owner(error: InvalidArgument, plan: TuningPlan, here: TuningPlan) -> InvalidArgument:
    """The error with the names by which whoever asked knows the data, not those of copies on this machine."""
    message = error.message
    for name in ("dataset", "evaluation_data"):
        said, copy = getattr(plan.spec, name), getattr(here.spec, name)
        if said != copy:
            message = message.replace(copy, said)
    return InvalidArgument(message, **error.details)


def _find(order: Order) -> BaseModel:
    from tunesmith import catalog

    name = _plan(order).base_model if order.base_model is None else order.base_model
    return catalog.find(name, order.aliases, order.base_models).base


def _prepare(order: Order) -> Prepared:
    from tunesmith.engine import model

    return model.prepare(_find(order), order.base_models)


def _same_base(order: Order, checked: Mapping[str, Any]) -> Prepared:
    """The base model; FailedPrecondition if its files are not those that the data were made ready for."""
    base = _prepare(order)
    if base.sha256 != checked["base"]["sha256"]:
        raise FailedPrecondition(
            f"base_model: the files in {base.folder} have changed since this job began "
            f"(hash {base.sha256[:12]}, was {checked['base']['sha256'][:12]}); put them back, or start a new job"
        )
    return base


def _progress(attempt: AttemptFolder) -> Callable[..., None]:
    """Writes progress.json, a few times a second at most; Cancelled once the attempt is to stop."""
    last_phase, last_s = "", 0.0

    def on_progress(phase: str, done: int | None = None, total: int | None = None) -> None:
        nonlocal last_phase, last_s
        if attempt.stop_requested():
            raise Cancelled(f"stopped while {phase}")
        now = time.monotonic()
        if phase != last_phase or now - last_s >= PROGRESS_INTERVAL_S:
            last_phase, last_s = phase, now
            counts = {"step": done, "steps": total}
            folder.write_json(attempt.progress, {"phase": phase} | {k: v for k, v in counts.items() if v is not None})

    return on_progress


@contextlib.contextmanager
def _stopped_anywhere(attempt: AttemptFolder) -> Iterator[None]:
    """Within, Cancelled comes up wherever the task just is once the attempt is to stop.

    For tasks that are long in other people's code, and lose nothing if they leave it in the middle.
    """

    def look(_number: int, _frame: FrameType | None) -> None:
        if attempt.stop_requested():
            signal.setitimer(signal.ITIMER_REAL, STOP_AGAIN_S, STOP_AGAIN_S)
            raise Cancelled("stopped on request")

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, STOP_INTERVAL_S, STOP_INTERVAL_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    sys.exit(main())
