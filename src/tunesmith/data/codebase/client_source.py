"""A repository as a client of the service names it: a URL, or an object or folder of a bucket; never a path.

In: what the client said, and how far this installation lets clients reach. Out: the repository, open; what lies in a
bucket is copied into a folder of ours first. A client reads nothing of this machine's disk, with no key of its user's,
and of its network only what the installation lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from tunesmith.data.codebase.addresses import address_of, ips_of, is_address, is_literal
from tunesmith.data.codebase.archives import ARCHIVES, Tar, Zip
from tunesmith.data.codebase.plain import Folder
from tunesmith.data.codebase.remote import MAX_FETCHED_BYTES, Access, Progress, Remote, refuse_odd_revision
from tunesmith.data.codebase.repository import Repository, counted
from tunesmith.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from tunesmith.storage import MAX_PAGE, SCHEMES, ObjectInfo, Storage, Uri, parse_uri


class Reach(NamedTuple):
    """How far clients reach: the settings TUNESMITH_GIT_*."""

    hosts: frozenset[str] = frozenset()
    ssh_key: Path | None = None
    known_hosts: Path | None = None
    certificates: Path | None = None


def is_in_bucket(repository: str) -> bool:
    return repository.partition("://")[0] in SCHEMES


def check_source(repository: str, revision: str, since: str, reach: Reach) -> None:
    """InvalidArgument, or PermissionDenied, where it cannot be read whatever is there; asks nobody."""
    if is_in_bucket(repository):
        parse_uri(repository.removesuffix("/"))
        if not repository.lower().endswith((*ARCHIVES, "/")):
            raise InvalidArgument.of(
                "REPO", f"{repository!r:.200} is no archive ({', '.join(ARCHIVES)}), nor a folder with / at its end"
            )
        if revision:
            raise InvalidArgument.of("--revision", "is for git; what lies in a bucket has no revisions, leave it out")
        if since:
            raise InvalidArgument.of("--since", "is for git; what lies in a bucket has no history, leave it out")
        return
    if not is_address(repository):
        raise InvalidArgument.of(
            "REPO",
            f"{repository!r:.200} is a path, and a server reads nothing of its disk for a client; give an https or ssh "
            "URL, or pack the folder as an archive, upload that into a bucket and give its gs:// URI",
        )
    address = address_of(repository)
    if address.scheme == "ssh" and reach.ssh_key is None:
        raise InvalidArgument.of(
            "REPO", f"{address.shown} is an ssh URL, for which this server has no --ssh-key; give an https URL"
        )
    if is_literal(address):
        ips_of(address, "public", reach.hosts)
    if revision:
        refuse_odd_revision(revision)


def open_source(
    repository: str,
    revision: str,
    since: datetime | None,
    reach: Reach,
    *,
    storage: Storage,
    scratch: Path,
    mark: Mapping[str, str],
    progress: Progress,
) -> tuple[Repository, str]:
    """The repository, and what it is called: a URL, or the path of its copy in the folder `scratch`.

    mark  environment of the program that fetches
    """
    if not is_in_bucket(repository):
        access = Access(reach.ssh_key, reach.known_hosts, reach.certificates, "public", reach.hosts, mark)
        address = address_of(repository)
        return Remote(address, revision, access, history=since is not None, progress=progress), repository
    progress("copying", 0.0)
    place = copy_of(repository, storage, scratch)
    if place.is_dir():
        return Folder(place), str(place)
    return (Zip(place) if place.name.lower().endswith(".zip") else Tar(place)), str(place)


def copy_of(repository: str, storage: Storage, scratch: Path) -> Path:
    """A file or folder of ours with what lies in the bucket; NotFound if there is nothing."""
    uri = parse_uri(repository.removesuffix("/"))
    if not repository.endswith("/"):
        opened = storage.open(repository)
        opened.close()
        _refuse_too_much(repository, opened.info.size)
        return storage.fetch(repository, scratch)
    place = scratch / uri.key.rpartition("/")[2]
    total = 0
    for info in counted(_objects(uri, storage)):
        total += info.size
        _refuse_too_much(repository, total)
        parts = info.name.removeprefix(f"{uri.key}/").split("/")
        try:
            storage.fetch(f"{uri.scheme}://{uri.bucket}/{info.name}", place.joinpath(*parts[:-1]))
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise FailedPrecondition(
                f"{repository}: {info.name} is an object, and a folder of others too; pack it as an archive"
            ) from error
    if not place.exists():
        raise NotFound(f"nothing lies in {repository}; look at the URI", uri=repository)
    return place


def _objects(uri: Uri, storage: Storage) -> Iterator[ObjectInfo]:
    token = ""
    while True:
        page = storage.list_objects(f"{uri.scheme}://{uri.bucket}", f"{uri.key}/", page_token=token, page_size=MAX_PAGE)
        yield from page.items
        token = page.next_token
        if not token:
            return


def _refuse_too_much(repository: str, size_bytes: int) -> None:
    if size_bytes > MAX_FETCHED_BYTES:
        raise ResourceExhausted(f"{repository} has more than {MAX_FETCHED_BYTES:,} bytes; give a part of it")
