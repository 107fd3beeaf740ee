"""An archive as a repository: what a .zip or .tar file says it holds, read member by member, never unpacked."""

from __future__ import annotations

import contextlib
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from tunesmith.data.codebase import repository
from tunesmith.data.codebase.repository import (
    OF_VERSION_CONTROL,
    Entry,
    Repository,
    counted,
    ordered,
    shown,
)
from tunesmith.errors import InvalidArgument, ResourceExhausted

MAX_UNPACKED_BYTES = 16 << 30
_MAX_PADDING_BYTES = 64 << 20
_END_BYTES = 22
_ENCRYPTED = 1
_PACKED_BY = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, ValueError,
)  # fmt: skip
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


class Zip(Repository):
    """A .zip file. Its folder at the top, if all lies in one, is left out of the paths."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _damage_told(path):
            self._archive = zipfile.ZipFile(path)
            self._refuse_cut()

    def entries(self) -> Sequence[Entry]:
        return ordered(_in_archive(_zipped(info) for info in self._archive.infolist() if not info.is_dir()))

    def read(self, entry: Entry) -> bytes:
        with _damage_told(self._path, entry), self._archive.open(entry.place) as opened:
            return _exactly(opened, entry, self._path)

    def close(self) -> None:
        self._archive.close()

    def _refuse_cut(self) -> None:
        """The list's end says how long it is; zipfile does not look."""
        with open(self._path, "rb") as file:
            file.seek(-_END_BYTES - len(self._archive.comment), os.SEEK_END)
            *_, number = struct.unpack("<4s3H", file.read(_END_BYTES)[:10])
        if number not in (len(self._archive.infolist()), 0xFFFF):  # the latter: said elsewhere, for very long lists
            self._archive.close()
            raise zipfile.BadZipFile("its list of members breaks off")


class Tar(Repository):
    """A .tar file, packed or not. As `Zip`. A packed one is read best in the order of its entries' offsets."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _damage_told(path):
            self._archive = tarfile.open(path)  # noqa: SIM115 (closed by `close`)

    def entries(self) -> Sequence[Entry]:
        with _damage_told(self._path):
            members = list(self._members())
            self._refuse_cut()
        return ordered(_in_archive(_in_tar(info) for info in members if not info.isdir()))

    def read(self, entry: Entry) -> bytes:
        with _damage_told(self._path, entry):
            opened = self._archive.extractfile(entry.place)
            assert opened is not None, f"{entry.path} is no file"
            with opened:
                return _exactly(opened, entry, self._path)

    def close(self) -> None:
        self._archive.close()

    def _members(self) -> Iterator[tarfile.TarInfo]:
        for info in counted(self._archive):
            if info.offset_data + info.size > MAX_UNPACKED_BYTES:
                raise ResourceExhausted(f"{self._path} holds more than {MAX_UNPACKED_BYTES:,} bytes; give a part of it")
            yield info

    def _refuse_cut(self) -> None:
        """Where tarfile has stopped there must be the mark of the end: it stops at a broken member too, in silence."""
        unpacked = self._archive.fileobj
        assert unpacked is not None
        unpacked.seek(self._archive.offset)
        if unpacked.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("its list of members breaks off")
        # To the end, where the checksum of what was unpacked is. Padding, and there is little of it.
        for _ in range(_MAX_PADDING_BYTES >> 20):
            if not unpacked.read(1 << 20):
                return
        raise tarfile.ReadError("more than padding follows its last member")


@contextlib.contextmanager
def _damage_told(path: Path, entry: Entry | None = None) -> Iterator[None]:
    """Turns what the libraries raise over bytes that are no archive into an error that names it."""
    try:
        yield
    except NotImplementedError as error:  # zipfile's word for a format of later versions
        raise InvalidArgument.of("REPO", f"{path} is of a kind not read here ({error}); pack it again") from error
    except _DAMAGE as error:
        where = f", at {entry.path}" if entry else ""
        raise InvalidArgument.of("REPO", f"{path} is damaged or no archive{where} ({error}); pack it again") from error


def _exactly(opened: IO[bytes], entry: Entry, path: Path) -> bytes:
    """All of it; the archive's own word on a size is not believed."""
    data = opened.read(entry.size_bytes + 1)
    if len(data) != entry.size_bytes:
        raise InvalidArgument.of("REPO", f"{path} lies about the size of {entry.path}; pack it again")
    return data


def _zipped(info: zipfile.ZipInfo) -> Entry:
    reason = ""
    if stat.S_ISLNK(info.external_attr >> 16):
        reason = "symlink"
    elif info.flag_bits & _ENCRYPTED or info.compress_type not in _PACKED_BY:
        reason = "unreadable"
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
        name = path.removeprefix(top) if ok and top != "/" else path
        reason = "unsafe-name" if not ok else "same-name" if name in taken else entry.reason
        taken.add(name)
        yield Entry(name, entry.size_bytes, reason, entry.place)


def _leads_out(name: str) -> bool:
    parts = PurePosixPath(name).parts
    windows = "\\" in name or (len(name) > 1 and name[1] == ":")
    return not parts or name.startswith("/") or ".." in parts or "\0" in name or windows
