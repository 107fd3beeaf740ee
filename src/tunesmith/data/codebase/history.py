"""When the files of a repository were last changed, for splits by time.

In: a git repository at a revision, and a moment. Out: the files that commits at or after it touched, with the time of
the newest of these. The times are those of the commits, in seconds since 1970: when somebody wrote a change (the
author's date) is said by him alone, and rebasing keeps it. Either can be forged; whoever splits by time believes the
repository in this. Contents are not read.

All commits that lead to the revision count, not only its first parents: what was written on a branch counts with its
own time, not with that of the merge, since it could be read elsewhere before. A merge touches what differs from all
of its parents. A file that was renamed is a new one.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import IO

from tunesmith.data.codebase.git import Commit
from tunesmith.data.codebase.repository import Repository, shown
from tunesmith.errors import FailedPrecondition, InvalidArgument

MAX_COMMITS_BYTES = 256 << 20
"""Of the list of commits: 5,000,000. Linux has 1,300,000."""
MAX_CHANGES_BYTES = 16 << 30
"""Of the list of changes, about 150 bytes each."""
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}:\d{2})")
_LAST_S = 253_402_300_799
"""The end of the year 9999, the last that a date has."""


def moment(text: str, now: datetime) -> datetime:
    """What --since says: a day, which begins at midnight in UTC, or an RFC 3339 time."""
    try:
        if _DAY.fullmatch(text):
            found = datetime.fromisoformat(text).replace(tzinfo=UTC)
        elif _MOMENT.fullmatch(text):
            found = datetime.fromisoformat(text.upper()).astimezone(UTC)
        else:
            raise ValueError("not a date")
    except (ValueError, OverflowError) as error:
        raise InvalidArgument.of(
            "--since", f"{text[:100]!r} is no date; write it as 2025-01-31 or 2025-01-31T12:00:00Z"
        ) from error
    if found > now:
        raise InvalidArgument.of("--since", f"{text} has not come yet; give a date before {now:%Y-%m-%d}")
    return found


def changed_at(repository: Repository, since: datetime) -> dict[str, int]:
    """Path -> the time of the newest commit at or after `since` that touched it, for files at the revision.

    In the order of the paths. FailedPrecondition where there is no history, or not enough of it; InvalidArgument where
    all of it, or nothing of it, lies before `since`.
    """
    if not isinstance(repository, Commit):
        raise FailedPrecondition("REPO is no git repository, so it has no history; leave --since out")
    with tempfile.TemporaryFile() as commits:
        times = _commits_since(repository, since, commits)
        found = {entry.path: -1 for entry in repository.entries()}
        for digest, name in _changes(repository, commits):
            path = shown(name)
            if path in found:  # there still is such a file
                found[path] = max(found[path], times[digest])
    return {path: time_s for path, time_s in found.items() if time_s >= 0}


def _commits_since(repository: Commit, since: datetime, commits: IO[bytes]) -> dict[bytes, int]:
    """Hash -> time; the hashes are written to `commits` too."""
    times: dict[bytes, int] = {}
    oldest, newest, earliest = _LAST_S, 0, since.timestamp()
    cut_at = {name.encode() for name in repository.cut_at}
    # Every commit is looked at: one with a wrong clock may lie before or behind any other.
    asked = ("rev-list", "--timestamp", repository.revision)
    with closing(repository.said(*asked, limit_bytes=MAX_COMMITS_BYTES, end=b"\n")) as lines:
        for line in lines:
            said, _, digest = line.partition(b" ")
            time_s = int(said)
            oldest, newest = min(oldest, time_s), max(newest, time_s)
            if time_s < earliest:
                continue
            if digest in cut_at:
                raise FailedPrecondition(
                    f"{repository.place} is a shallow clone that begins at {_day(time_s)}; fetch all of it (`git fetch "
                    "--unshallow`), or give a later --since"
                )
            times[digest] = time_s
            commits.write(digest + b"\n")
    _refuse_empty_side(repository, since, oldest, newest)
    commits.seek(0)
    return times


def _refuse_empty_side(repository: Commit, since: datetime, oldest: int, newest: int) -> None:
    if newest < since.timestamp():
        raise InvalidArgument.of(
            "--since",
            f"nothing was committed to {repository.place} since {_day(since.timestamp())}; its newest commit is of "
            f"{_day(newest)}",
        )
    if oldest >= since.timestamp():
        raise InvalidArgument.of(
            "--since",
            f"nothing was committed to {repository.place} before {_day(since.timestamp())}; its oldest commit is of "
            f"{_day(oldest)}, give a later date",
        )


def _changes(repository: Commit, commits: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Commit and name. A name may look like anything else: it is what follows a field that begins with a colon."""
    asked = ("diff-tree", "--stdin", "-r", "-z", "--raw", "--no-renames", "--root", "-c")
    digest = b""
    with closing(repository.said(*asked, limit_bytes=MAX_CHANGES_BYTES, given=commits)) as fields:
        for field in fields:
            if field.startswith(b":"):
                yield digest, next(fields)
            else:
                digest = field


def _day(time_s: float) -> str:
    return f"{datetime.fromtimestamp(min(max(time_s, 0), _LAST_S), UTC):%Y-%m-%d}"
