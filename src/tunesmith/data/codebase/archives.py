"""An archive as a repository: what a .zip or .tar file says it holds, read member by member, never unpacked."""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from tunesmith.data.codebase import repository
from tunesmith.data.codebase.repository import (
    OF_VERSION_CONTROL,
    Entry,
    Repository,
    changed,
    counted,
    exactly,
    ordered,
    shown,
)
from tunesmith.errors import InvalidArgument

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


class Zip(Repository):
    """A .zip file. Its folder at the top, if all lies in one, is left out of the paths."""

    def __init__(self, path: Path) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise InvalidArgument.of("REPO", f"{path} cannot be read as a .zip file: {error}") from error

    def entries(self) -> Sequence[Entry]:
        return ordered(_in_archive(_zipped(info) for info in self._archive.infolist() if not info.is_dir()))

    def read(self, entry: Entry) -> bytes:
        try:
            with self._archive.open(entry.place) as opened:
                return exactly(opened, entry)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError) as error:
            raise changed(entry, error) from error

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
            return ordered(_in_archive(_in_tar(info) for info in self._archive if not info.isdir()))
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            raise InvalidArgument.of("REPO", f"{self._path} is damaged: {error}") from error

    def read(self, entry: Entry) -> bytes:
        try:
            opened = self._archive.extractfile(entry.place)
            assert opened is not None, f"{entry.path} is no file"
            with opened:
                return exactly(opened, entry)
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            raise changed(entry, error) from error

    def close(self) -> None:
        self._archive.close()


def _zipped(info: zipfile.ZipInfo) -> Entry:
    reason = ""
    if stat.S_ISLNK(info.external_attr >> 16):
        reason = "symlink"
    elif info.flag_bits & 1:
        reason = "unreadable"  # encrypted
    elif info.file_size > repository.MAX_FILE_BYTES:
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
    elif info.size > repository.MAX_FILE_BYTES:
        reason = "too-large"
    return Entry(shown(os.fsencode(info.name)), info.size, reason, info)


def _in_archive(entries: Iterable[Entry]) -> Iterator[Entry]:
    """With names as a folder would have them; those that lead out of it, or come twice, with that as their reason."""
    found = [entry for entry in counted(entries) if not OF_VERSION_CONTROL & {*entry.path.split("/")}]
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
