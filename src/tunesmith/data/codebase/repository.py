"""The files of a repository as it lies there or in an archive: each one once, read without trusting anything.

A repository is hostile input. Nothing of it runs, no link of it is followed, no name leaves it, and nothing larger
than a limit is read. What cannot be read is an entry too, with the reason: whoever counts the files of a repository
must be able to find each of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tunesmith.errors import DataLoss, ResourceExhausted

T = TypeVar("T")

REASONS = {
    "symlink": "a link, which is not followed",
    "hard-link": "another name of a file in the archive, which is not followed",
    "special-file": "a device, a pipe or a socket",
    "submodule": "another repository, which is not fetched",
    "too-large": "longer than is opened",
    "too-deep": "in more folders in folders than are gone into",
    "unsafe-name": "a name that leaves the repository",
    "same-name": "a name that an earlier file of the archive has",
    "unreadable": "could not be read",
}
"""Of what lies in the place of a file: code -> what it means."""

MAX_FILES = 1_000_000
MAX_DEPTH = 100
"""Folders in folders."""
MAX_FILE_BYTES = 1 << 20
"""Source that people wrote is shorter; what is longer is not opened."""
OF_VERSION_CONTROL = frozenset({".git", ".hg", ".svn"})
# What they hold is not of the repository.


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, or what lies in the place of one."""

    path: str
    """From the repository's root, with `/`; bytes that are no UTF-8 are written as `\\xNN`."""
    size_bytes: int
    reason: str = ""
    """Why it is not read, as a code of the ledger: one of REASONS."""
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
        """The bytes of an entry without a reason.

        DataLoss if it is no longer what it was when it was listed; InvalidArgument if an archive is damaged there.
        """

    @abstractmethod
    def close(self) -> None: ...


def ordered(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(counted(entries), key=lambda entry: entry.path)


def counted(entries: Iterable[T]) -> Iterator[T]:
    """The same, until there are too many."""
    for number, entry in enumerate(entries, 1):
        if number > MAX_FILES:
            raise ResourceExhausted(f"REPO has more than {MAX_FILES:,} files; give a part of it")
        yield entry


def shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def changed(entry: Entry, reason: Exception | None = None) -> DataLoss:
    said = f" ({reason})" if reason else ""
    return DataLoss(f"{entry.path} is not what it was when REPO was listed{said}; build again", path=entry.path)
