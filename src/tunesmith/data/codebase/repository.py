"""The files of a repository as it lies there or in an archive: each one once, read without trusting anything.

A repository is hostile input. Nothing of it runs, no link of it is followed, no name leaves it, and nothing larger
than a limit is read. What cannot be read is an entry too, with the reason: whoever counts the files of a repository
must be able to find each of them.
"""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from tunesmith.errors import DataLoss, InvalidArgument, NotFound, ResourceExhausted

MAX_FILES = 1_000_000
MAX_DEPTH = 100
"""Folders in folders."""
MAX_FILE_BYTES = 1 << 20
"""Source that people wrote is shorter; what is longer is not opened."""
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_OF_VERSION_CONTROL = frozenset({".git", ".hg", ".svn"})
# What they hold is not of the repository.


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, or what lies in the place of one."""

    path: str
    """From the repository's root, with `/`; bytes that are no UTF-8 are written as `\\xNN`."""
    size_bytes: int
    reason: str = ""
    """Why it is not read, as a code of the ledger: symlink, hard-link, special-file, too-large, too-deep,
    unsafe-name, same-name, unreadable."""
    place: Any = field(default=None, repr=False, compare=False)
    """Where its repository finds it."""


class Repository(ABC):
    """What all sources of files have in common. A context: files that are open are closed at its end."""

    def __enter__(self) -> Repository:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def entries(self) -> Sequence[Entry]:
        """Every entry once, ordered by path. ResourceExhausted if there are more than MAX_FILES."""

    @abstractmethod
    def read(self, entry: Entry) -> bytes:
        """The bytes of an entry without a reason. DataLoss if it is no longer what it was when it was listed."""

    @abstractmethod
    def close(self) -> None: ...


def open_repository(place: Path) -> Repository:
    """A folder, or an archive by its name's end (ARCHIVES)."""
    if place.is_dir():
        return Folder(place)
    if not place.exists():
        raise NotFound(f"REPO {place} does not exist; give a folder or an archive ({', '.join(ARCHIVES)})")
    if not place.name.lower().endswith(ARCHIVES):
        raise InvalidArgument.of("REPO", f"{place} is neither a folder nor an archive ({', '.join(ARCHIVES)})")
    return Zip(place) if place.name.lower().endswith(".zip") else Tar(place)


class Folder(Repository):
    """A folder with all that lies in it, but for the folders of version control."""

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def entries(self) -> Sequence[Entry]:
        return _ordered(self._walked())

    def read(self, entry: Entry) -> bytes:
        parts: tuple[bytes, ...] = entry.place
        try:
            folder = self._opened(parts[:-1])
            try:
                # Neither a link, nor a pipe that nobody writes, though it was a file when it was listed.
                file = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise _changed(entry, error) from error
        with open(file, "rb") as opened:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise _changed(entry)
            return _exactly(opened, entry)

    def close(self) -> None:
        os.close(self._root)

    def _walked(self) -> Iterator[Entry]:
        left: list[tuple[bytes, ...]] = [()]
        while left:
            parts = left.pop()
            if len(parts) > MAX_DEPTH:
                yield Entry(_shown(b"/".join(parts)) + "/", 0, "too-deep")
                continue
            try:
                folder = self._opened(parts)
            except OSError:
                yield Entry(_shown(b"/".join(parts)) + "/", 0, "unreadable")
                continue
            try:
                for name in os.listdir(folder):
                    inner = (*parts, os.fsencode(name))
                    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                    if not stat.S_ISDIR(found.st_mode):
                        yield _entry_of(inner, found)
                    elif name not in _OF_VERSION_CONTROL:
                        left.append(inner)
            finally:
                os.close(folder)

    def _opened(self, parts: Sequence[bytes]) -> int:
        """A folder below the root, by a path of which no part is a link."""
        here = os.dup(self._root)
        for part in parts:
            try:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            finally:
                os.close(here)
            here = inner
        return here


class Zip(Repository):
    """A .zip file. Its folder at the top, if all lies in one, is left out of the paths."""

    def __init__(self, path: Path) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise InvalidArgument.of("REPO", f"{path} cannot be read as a .zip file: {error}") from error

    def entries(self) -> Sequence[Entry]:
        return _ordered(_in_archive(_zipped(info) for info in self._archive.infolist() if not info.is_dir()))

    def read(self, entry: Entry) -> bytes:
        try:
            with self._archive.open(entry.place) as opened:
                return _exactly(opened, entry)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError) as error:
            raise _changed(entry, error) from error

    def close(self) -> None:
        self._archive.close()


class Tar(Repository):
    """A .tar file, packed or not. As `Zip`. A packed one is read best in the order of its entries' offsets."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._archive = tarfile.open(path)  # noqa: SIM115 (closed by `close`)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise InvalidArgument.of("REPO", f"{path} cannot be read as an archive: {error}") from error

    def entries(self) -> Sequence[Entry]:
        try:
            return _ordered(_in_archive(_in_tar(info) for info in self._archive if not info.isdir()))
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            raise InvalidArgument.of("REPO", f"{self._path} is damaged: {error}") from error

    def read(self, entry: Entry) -> bytes:
        try:
            opened = self._archive.extractfile(entry.place)
            assert opened is not None, f"{entry.path} is no file"
            with opened:
                return _exactly(opened, entry)
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            raise _changed(entry, error) from error

    def close(self) -> None:
        self._archive.close()


def _entry_of(parts: tuple[bytes, ...], found: os.stat_result) -> Entry:
    reason = ""
    if stat.S_ISLNK(found.st_mode):
        reason = "symlink"
    elif not stat.S_ISREG(found.st_mode):
        reason = "special-file"
    elif found.st_size > MAX_FILE_BYTES:
        reason = "too-large"
    return Entry(_shown(b"/".join(parts)), found.st_size, reason, parts)


def _zipped(info: zipfile.ZipInfo) -> Entry:
    reason = ""
    if stat.S_ISLNK(info.external_attr >> 16):
        reason = "symlink"
    elif info.flag_bits & 1:
        reason = "unreadable"  # encrypted
    elif info.file_size > MAX_FILE_BYTES:
        reason = "too-large"
    return Entry(info.filename, info.file_size, reason, info)


def _in_tar(info: tarfile.TarInfo) -> Entry:
    reason = ""
    if info.issym():
        reason = "symlink"
    elif info.islnk():
        reason = "hard-link"
    elif not info.isfile() or info.issparse():
        reason = "special-file"
    elif info.size > MAX_FILE_BYTES:
        reason = "too-large"
    return Entry(_shown(os.fsencode(info.name)), info.size, reason, info)


def _in_archive(entries: Iterator[Entry]) -> Iterator[Entry]:
    """With names as a folder would have them; those that lead out of it, or come twice, with that as their reason."""
    found = [entry for entry in _counted(entries) if not _OF_VERSION_CONTROL & {*entry.path.split("/")}]
    safe = [not _leads_out(entry.path) for entry in found]
    paths = [str(PurePosixPath(entry.path)) if ok else entry.path for entry, ok in zip(found, safe, strict=True)]
    tops = {path.partition("/")[0] if "/" in path else "" for path, ok in zip(paths, safe, strict=True) if ok}
    top = f"{tops.pop()}/" if len(tops) == 1 else ""
    taken: set[str] = set()
    for entry, path, ok in zip(found, paths, safe, strict=True):
        shown = path.removeprefix(top) if ok and top != "/" else path
        reason = "unsafe-name" if not ok else "same-name" if shown in taken else entry.reason
        taken.add(shown)
        yield Entry(shown, entry.size_bytes, reason, entry.place)


def _leads_out(name: str) -> bool:
    parts = PurePosixPath(name).parts
    windows = "\\" in name or (len(name) > 1 and name[1] == ":")
    return not parts or name.startswith("/") or ".." in parts or "\0" in name or windows


def _ordered(entries: Iterator[Entry]) -> list[Entry]:
    return sorted(_counted(entries), key=lambda entry: entry.path)


def _counted(entries: Iterator[Entry]) -> Iterator[Entry]:
    for number, entry in enumerate(entries, 1):
        if number > MAX_FILES:
            raise ResourceExhausted(f"REPO has more than {MAX_FILES:,} files; give a part of it")
        yield entry


def _exactly(opened: IO[bytes], entry: Entry) -> bytes:
    """All of it; an archive's own word on a size is not believed."""
    data = opened.read(entry.size_bytes + 1)
    if len(data) != entry.size_bytes:
        raise _changed(entry)
    return data


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _changed(entry: Entry, reason: Exception | None = None) -> DataLoss:
    said = f" ({reason})" if reason else ""
    return DataLoss(f"{entry.path} is not what it was when REPO was listed{said}; build again", path=entry.path)
