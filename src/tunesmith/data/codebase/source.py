"""Where a repository comes from: REPO of `tunesmith data build`."""

from __future__ import annotations

from pathlib import Path

from tunesmith.data.codebase.archives import ARCHIVES, Tar, Zip
from tunesmith.data.codebase.git import DEFAULT_REVISION, Git, git_folder
from tunesmith.data.codebase.plain import Folder
from tunesmith.data.codebase.repository import Repository
from tunesmith.errors import FailedPrecondition, InvalidArgument, NotFound


def open_repository(place: Path, revision: str = "") -> Repository:
    """A git repository as it is at a revision (HEAD), any other folder as it lies there, or an archive by its name."""
    if not place.exists():
        raise NotFound(f"REPO {place} does not exist; give a folder or an archive ({', '.join(ARCHIVES)})")
    if git_folder(place) is not None:
        return Git(place, revision or DEFAULT_REVISION)
    if revision:
        raise FailedPrecondition(f"{place} is no git repository, so it has no revisions; leave --revision out")
    if place.is_dir():
        return Folder(place)
    if not place.name.lower().endswith(ARCHIVES):
        raise InvalidArgument.of("REPO", f"{place} is neither a folder nor an archive ({', '.join(ARCHIVES)})")
    return Zip(place) if place.name.lower().endswith(".zip") else Tar(place)
