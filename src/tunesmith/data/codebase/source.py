"""Where a repository comes from: REPO of `tunesmith data build`."""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path

from tunesmith.data.codebase.addresses import Network, address_of, is_address
from tunesmith.data.codebase.archives import ARCHIVES, Tar, Zip
from tunesmith.data.codebase.git import DEFAULT_REVISION, Commit, Git, git_folder
from tunesmith.data.codebase.plain import Folder
from tunesmith.data.codebase.remote import Access, Progress, Remote
from tunesmith.data.codebase.repository import Repository
from tunesmith.errors import FailedPrecondition, InvalidArgument, NotFound
from tunesmith.folder import file_sha256


def open_repository(
    place: str | Path,
    revision: str = "",
    *,
    since: datetime | None = None,
    ssh_key: Path | None = None,
    known_hosts: Path | None = None,
    certificates: Path | None = None,
    network: Network = "private",
    progress: Progress | None = None,
) -> Repository:
    """A git repository as it is at a revision (HEAD), any other folder as it lies there, or an archive by its name.

    A string may be an https or ssh URL, unless a file has that name; a Path never is. since: the moment that
    `changed_at` will be asked about; without one no history is fetched. The rest is for URLs alone, as in `Access`.
    """
    access = Access(ssh_key, known_hosts, certificates, network)
    if isinstance(place, str):
        if place.startswith("-") or not place:
            raise InvalidArgument.of("REPO", f"{place!r} looks like an option; give a URL, or a folder as ./{place}")
        if is_address(place) and not os.path.lexists(place):
            return _remote(place, revision, access, since is not None, progress)
    if access != Access():
        raise InvalidArgument.of("REPO", f"{place} is no URL, so no key, host or certificate is needed; leave them out")
    return _local(Path(place), revision, since is not None)


def _remote(place: str, revision: str, access: Access, history: bool, progress: Progress | None) -> Repository:
    address = address_of(place)
    if address.scheme == "https" and (access.ssh_key or access.known_hosts):
        raise InvalidArgument.of("--ssh-key", f"{address.shown} is no ssh URL; leave --ssh-key and --known-hosts out")
    if address.scheme == "ssh" and access.certificates:
        raise InvalidArgument.of("--certificates", f"{address.shown} is no https URL; leave --certificates out")
    return Remote(address, revision, access, history=history, progress=progress)


def _local(place: Path, revision: str, history: bool) -> Repository:
    if not place.exists():
        raise NotFound(f"REPO {place} does not exist; give a folder, an archive ({', '.join(ARCHIVES)}) or a URL")
    if git_folder(place) is not None:
        return Git(place, revision or DEFAULT_REVISION)
    if revision or history:
        raise _no_git(place, *(("--revision", "revisions") if revision else ("--since", "history")))
    if place.is_dir():
        return Folder(place)
    if not place.name.lower().endswith(ARCHIVES):
        raise InvalidArgument.of("REPO", f"{place} is neither a folder nor an archive ({', '.join(ARCHIVES)})")
    return Zip(place) if place.name.lower().endswith(".zip") else Tar(place)


def _no_git(place: Path, option: str, what: str) -> FailedPrecondition:
    if (place / ".git").is_file():
        return FailedPrecondition(
            f"{place} is a linked worktree or a submodule: its .git is a file that leads to another folder, which is "
            f"not followed; give the repository's own folder, or leave {option} out"
        )
    return FailedPrecondition(f"{place} is no git repository, so it has no {what}; leave {option} out")


def name_of(place: str) -> str:
    """The last part of a URL, also of one that ends in /.git, or the name of what lies at a path."""
    if is_address(place):
        return re.split(r"[/:\\]", place.rstrip("/").removesuffix("/.git"))[-1]
    return Path(place).resolve().name


def said_of(place: str, repository: Repository) -> dict[str, str]:
    """What a manifest says of where a data set comes from: kind, name, and the commit's or the archive's hash.

    No path of this machine: the same repository makes the same manifest wherever it lies.
    """
    name = name_of(place)
    if isinstance(repository, Commit):
        return {"kind": "git", "name": name.removesuffix(".git"), "revision": repository.revision}
    if isinstance(repository, Folder):
        return {"kind": "folder", "name": name, "revision": ""}
    return {"kind": "archive", "name": name, "revision": f"sha256:{file_sha256(Path(place))}"}
