"""A data set build as a job of the service: its two tasks.

    build-dataset     fetches the repository and builds its data set, sealed in the attempt's folder
    upload-dataset    makes objects of what was built, in the job's own folder of a bucket, the manifest last

An attempt that follows a killed one finds in the cache what that one had found out about files, and removes what it has
left. Objects have the same names and bytes whichever attempt writes them; a folder without a manifest is not complete.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from tunesmith import folder
from tunesmith.data.codebase.client_source import Reach, open_source
from tunesmith.data.codebase.dataset import build
from tunesmith.data.codebase.history import moment
from tunesmith.data.codebase.options import options_of
from tunesmith.data.codebase.service_words import in_service_words
from tunesmith.data.codebase.source import said_of
from tunesmith.dataset import DatasetPlan
from tunesmith.errors import Cancelled, NotFound, TunesmithError
from tunesmith.folder import AttemptFolder
from tunesmith.storage import Storage

OnProgress = Callable[..., None]
"""Told a phase, and how much of how much is done where that is known; raises Cancelled once the task is to stop."""


def reach_of(said: Mapping[str, Any]) -> Reach:
    """What task.json says of how far clients reach."""
    paths = {name: Path(said[name]) for name in ("ssh_key", "known_hosts", "certificates") if said.get(name)}
    return Reach(frozenset(said.get("hosts", ())), **paths)


def build_dataset(
    plan: DatasetPlan,
    attempt: AttemptFolder,
    *,
    storage: Storage,
    reach: Reach,
    cache_folder: Path | None,
    earlier: Sequence[AttemptFolder],
    on_progress: OnProgress,
) -> dict[str, Any]:
    """Builds the sealed folder out/dataset; what its manifest says, and the manifest's hash."""
    for before in earlier:
        shutil.rmtree(before.scratch, ignore_errors=True)
    target = attempt.out / "dataset"
    places: dict[str, str] = {}
    try:
        _refuse_without_bucket(plan, storage)
        with _scratch(attempt) as scratch:
            manifest = _built(plan, target, scratch, places, storage, reach, cache_folder, attempt, on_progress)
    except TunesmithError as error:
        raise in_service_words(error, places) from error
    said = {name: manifest[name] for name in ("source", "counts", "overlap", "files")}
    return {"dataset": str(target), "manifest_sha256": folder.file_sha256(target / folder.MANIFEST), **said}


def _built(
    plan: DatasetPlan,
    target: Path,
    scratch: Path,
    places: dict[str, str],
    storage: Storage,
    reach: Reach,
    cache_folder: Path | None,
    attempt: AttemptFolder,
    on_progress: OnProgress,
) -> dict[str, Any]:
    """The manifest. `places` gets the copies that messages may name, and what they are copies of."""

    def tell(phase: str, done: int, total: int) -> None:
        on_progress(phase, *((done, total) if total else ()))

    asked, now = dict(plan.options), datetime.now(UTC)
    on_progress("fetching")
    asked["suites"] = [str(path) for path in _suites(plan, storage, scratch, places)]
    options = options_of(asked, now)
    since = moment(options.since, now) if options.since else None
    places[str(scratch / "source" / plan.repository.rstrip("/").rpartition("/")[2])] = plan.repository
    repository, place = open_source(
        plan.repository,
        options.revision,
        since,
        reach,
        storage=storage,
        scratch=scratch / "source",
        mark={folder.MARK: str(attempt.root)},
        progress=lambda phase, share: tell(phase, int(100 * share), 100),
    )
    with repository:
        return build(
            repository,
            said_of(place, repository),
            target,
            options,
            since=since,
            cache_folder=cache_folder,
            processes=len(os.sched_getaffinity(0)),
            tell=tell,
        ).manifest


def _refuse_without_bucket(plan: DatasetPlan, storage: Storage) -> None:
    """Now, and not after an hour of building."""
    try:
        storage.check_place(f"{plan.destination}/{folder.MANIFEST}")
    except NotFound as error:
        raise NotFound(f"outputConfig.gcsDestination.outputUriPrefix: {error.message}", uri=plan.destination) from error


def _suites(plan: DatasetPlan, storage: Storage, scratch: Path, places: dict[str, str]) -> Iterator[Path]:
    for number, uri in enumerate(plan.options["suites"]):
        path = storage.fetch(uri, scratch / "suites" / str(number))
        places[str(path)] = uri
        yield path


@contextlib.contextmanager
def _scratch(attempt: AttemptFolder) -> Iterator[Path]:
    """A folder for everything temporary, in which a later attempt finds what a killed one has left."""
    attempt.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = tempfile.tempdir
    tempfile.tempdir = str(attempt.scratch)
    try:
        yield attempt.scratch
    finally:
        tempfile.tempdir = before
        shutil.rmtree(attempt.scratch, ignore_errors=True)


def upload_dataset(plan: DatasetPlan, built: Path, storage: Storage, on_progress: OnProgress) -> dict[str, Any]:
    """Writes the objects; none of them stays if the task is stopped meanwhile."""
    names = [*sorted(folder.verify(built)["files"]), folder.MANIFEST]
    try:
        for number, name in enumerate(names):
            on_progress("uploading", number, len(names))
            with open(built / name, "rb") as file:
                storage.put(f"{plan.destination}/{name}", iter(partial(file.read, 1 << 20), b""))
    except Cancelled:
        for name in reversed(names):
            with contextlib.suppress(NotFound):
                storage.delete(f"{plan.destination}/{name}")
        raise
    return {"destination": plan.destination, "objects": names}
