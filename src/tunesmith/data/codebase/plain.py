"""A folder as a repository: all files that lie in it, but for what version control keeps there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from tunesmith.data.codebase import repository
from tunesmith.data.codebase.repository import (
    OF_VERSION_CONTROL,
    Entry,
    Repository,
    changed,
    ordered,
    shown,
)


class Folder(Repository):
    """A folder with all that lies in it, but for the folders of version control."""

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def entries(self) -> Sequence[Entry]:
        return ordered(self._walked())

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
            raise changed(entry, error) from error
        with open(file, "rb") as opened:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise changed(entry)
            data = opened.read(entry.size_bytes + 1)
        if len(data) != entry.size_bytes:
            raise changed(entry)
        return data

    def close(self) -> None:
        os.close(self._root)

    def _walked(self) -> Iterator[Entry]:
        left: list[tuple[bytes, ...]] = [()]
        while left:
            parts = left.pop()
            if len(parts) > repository.MAX_DEPTH:
                yield Entry(shown(b"/".join(parts)) + "/", 0, "too-deep")
                continue
            try:
                folder = self._opened(parts)
            except OSError:
                yield Entry(shown(b"/".join(parts)) + "/", 0, "unreadable")
                continue
            try:
                for name in os.listdir(folder):
                    inner = (*parts, os.fsencode(name))
                    try:
                        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                    except FileNotFoundError:  # deleted since it was listed: no file any more
                        continue
                    if not stat.S_ISDIR(found.st_mode):
                        yield _entry_of(inner, found)
                    elif name not in OF_VERSION_CONTROL:
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


def _entry_of(parts: tuple[bytes, ...], found: os.stat_result) -> Entry:
    reason = ""
    if stat.S_ISLNK(found.st_mode):
        reason = "symlink"
    elif not stat.S_ISREG(found.st_mode):
        reason = "special-file"
    elif found.st_size > repository.MAX_FILE_BYTES:
        reason = "too-large"
    return Entry(shown(b"/".join(parts)), found.st_size, reason, parts)
