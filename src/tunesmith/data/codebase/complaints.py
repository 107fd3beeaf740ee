"""What git and ssh say when a repository cannot be fetched, as an error in our words with what to do about it.

In: the address, the revision asked for, the last lines of theirs, which are free of users and control characters. The
first row of the table that fits counts. Tested with git 2.39 and OpenSSH 9.2 under LC_ALL=C.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from tunesmith.data.codebase.addresses import Address
from tunesmith.errors import (
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    TunesmithError,
    Unauthenticated,
    Unavailable,
)

_SHOWN_LINES = 5


class _Row(NamedTuple):
    said: str
    """A regular expression."""
    error: type[TunesmithError]
    reason: str
    """{where}: the URL; {host}; {scan}: what ssh-keyscan wants; {revision}."""


_TABLE = (
    _Row(
        "REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .* has changed",
        PermissionDenied,
        "the host key of {host} is not the one that is known: somebody may stand between you and it. Ask who runs "
        "{host} for the fingerprint; only if the key was changed on purpose, put the new one in the place of the old "
        "one (--known-hosts, or ~/.ssh/known_hosts)",
    ),
    _Row(
        "Host key verification failed|No .* host key is known",
        FailedPrecondition,
        "the host key of {host} is not known. Get it with `ssh-keyscan {scan}`, compare its fingerprint (`ssh-keygen "
        "-lf FILE`) with what {host} publishes, and give the file as --known-hosts",
    ),
    _Row(
        "UNPROTECTED PRIVATE KEY FILE|bad permissions",
        FailedPrecondition,
        "ssh does not use a key that others on this machine may read; run `chmod 600` on the file of --ssh-key",
    ),
    _Row(
        r"Permission denied \(|Too many authentication failures|Load key .*|incorrect passphrase",
        Unauthenticated,
        "{host} does not take the key; give one that it knows and that has no passphrase, such as a deploy key, as "
        "--ssh-key, and a user in the URL (mostly git@)",
    ),
    _Row(
        "could not read (Username|Password)|Authentication failed|error: 401|terminal prompts disabled",
        Unauthenticated,
        "{where} is not there for everybody, or not there at all; look at the URL. For a repository that is not "
        "public use an ssh URL with --ssh-key, or clone it and give the folder",
    ),
    _Row("error: 403|Access denied", PermissionDenied, "{host} does not allow it; ask who runs it for access"),
    _Row(
        "certificate",
        PermissionDenied,
        "{host} cannot show that it is {host}: its certificate is not right. If a company's own authority signed it, "
        "give that one's certificate as --certificates",
    ),
    _Row(
        r"error: 30\d|redirect",
        InvalidArgument,
        "{where} sends on to another address, which is not followed; open it in a browser and give the address that "
        "it leads to (GitLab's end in .git)",
    ),
    _Row(
        "not our ref|unadvertised object|no such remote ref|couldn't find remote ref",
        InvalidArgument,
        "{where} has no commit {revision!r}, or gives none by its hash; give a branch or a tag that has it",
    ),
    _Row(
        "does not appear to be a git repository|[Rr]epository .*not (be )?found|error: 404|not valid: is this a git|"
        "does not exist",
        NotFound,
        "{where} is no repository, or one that not everybody may see; look at the URL",
    ),
    _Row("dumb http transport", FailedPrecondition, "{host} speaks git's old way only; clone it and give the folder"),
    _Row("mismatched algorithms", FailedPrecondition, "{where} has SHA-256 hashes; clone it and give the folder"),
    _Row("[Oo]ut of memory|malloc failed|mmap failed", ResourceExhausted, "git ran out of memory over {where}"),
    _Row("No space left|Disk quota", ResourceExhausted, "the disk is full; free some space, then fetch again"),
    _Row(
        "fsck|bad object|inflate|pack (is|has|signature)|corrupt|missing (blob|tree|commit)|invalid index-pack",
        DataLoss,
        "what {where} sends is damaged or made to do harm; ask who runs it to look at it with `git fsck`",
    ),
)
_ANYTHING_ELSE = _Row("", Unavailable, "{where} could not be fetched; try again, or clone it and give the folder")


def error_of(address: Address, revision: str, lines: Sequence[str]) -> TunesmithError:
    """The lines are the last that git and ssh said."""
    said = "\n".join(lines)
    row = next((row for row in _TABLE if re.search(row.said, said)), _ANYTHING_ELSE)
    scan = address.host if address.port == 22 else f"-p {address.port} {address.host}"
    reason = row.reason.format(where=address.shown, host=address.host, scan=scan, revision=revision)
    words = " / ".join(line for line in lines[-_SHOWN_LINES:])
    return row.error(f"{reason}. git said: {words or 'nothing'}")
