"""The files of a git repository at one revision: what was committed, not what lies in the folder.

git itself reads the objects, but never under the repository's own settings, which could name programs to run (hooks,
filters, fsmonitor, ssh commands) or places to fetch from: it runs in an empty repository of ours that borrows the
objects and has a copy of the names (`remote.py` fetches them into one instead). Nothing is checked out, and what git
may hold in memory is limited. The revision is looked up once, and all that is read later is read by its hash. Needs
the program `git`.
"""

from __future__ import annotations

import itertools
import os
import re
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO

from tunesmith.data.codebase import repository
from tunesmith.data.codebase.repository import Entry, Repository, changed, ordered, shown
from tunesmith.errors import DataLoss, FailedPrecondition, InvalidArgument, ResourceExhausted

DEFAULT_REVISION = "HEAD"
MAX_LIST_BYTES = 512 << 20
"""Of a list of files; 200,000 files of the length that paths have make 30 MB."""
MEMORY_BYTES = 4 << 30
"""Address space of one git: some tens of bytes of a bad pack unfold to any length."""
_NAMES = ("HEAD", "packed-refs", "shallow")
_MAX_NAMES_BYTES = 64 << 20
"""Of one file of names; a repository with half a million tags has one of this length."""
_PARTIAL = "partial"
"""A file of ours, beside git's: the objects borrowed are those of a partial clone."""
_CHUNK_BYTES = 1 << 20
_SHOWN_NAMES = 10
_SETTINGS = (
    "core.commitGraph=false", "core.multiPackIndex=false",  # what they say of commits nobody checks
    "core.packedGitWindowSize=32m", "core.packedGitLimit=512m", "core.bigFileThreshold=16m",  # within MEMORY_BYTES
    "core.hooksPath=/dev/null", "core.fsmonitor=false", "core.logAllRefUpdates=false",
    "gc.auto=0", "maintenance.auto=false",
)  # fmt: skip


class Commit(Repository):
    """The files of one commit in a repository of ours, which `fill` makes in a folder; it is removed at the end.

    place: what messages call the repository. revision: what they call the commit. named: what git calls it, if that
    differs.
    """

    def __init__(self, fill: Callable[[Path], None], place: str, revision: str, named: str = "") -> None:
        self.place = place
        self._own = Path(tempfile.mkdtemp(prefix="tunesmith-git-"))
        self._objects: subprocess.Popen[bytes] | None = None
        try:
            fill(self._own)
            self.revision = self._resolved(revision, named or revision)
            """Of the commit: its hash."""
        except BaseException:
            self.close()
            raise

    def entries(self) -> Sequence[Entry]:
        asked = ("ls-tree", "-r", "-z", "--long", "--full-tree", self.revision)
        with closing(self.said(*asked, limit_bytes=MAX_LIST_BYTES)) as lines:
            return _once_each(ordered(map(self._listed, lines)))

    def read(self, entry: Entry) -> bytes:
        objects = self._objects = self._objects or self._started("cat-file", "--batch")
        assert objects.stdin is not None
        assert objects.stdout is not None
        try:
            objects.stdin.write(f"{entry.place}\n".encode())
            objects.stdin.flush()
            said = objects.stdout.readline().split()  # hash, type, size
            if said[1:] != [b"blob", str(entry.size_bytes).encode()]:
                raise changed(entry)
            data = objects.stdout.read(entry.size_bytes + 1)  # and a line end
        except OSError as error:
            raise changed(entry, error) from error
        if len(data) != entry.size_bytes + 1:
            raise changed(entry)
        return data[:-1]

    def close(self) -> None:
        if self._objects is not None:
            self._objects.kill()
            self._objects.communicate()
        shutil.rmtree(self._own, ignore_errors=True)

    def said(
        self, *arguments: str, limit_bytes: int, end: bytes = b"\0", given: IO[bytes] | None = None
    ) -> Generator[bytes, None, None]:
        """What a command of git answers, piece by piece, each without the `end` that it had.

        ResourceExhausted beyond `limit_bytes`; DataLoss where git fails.
        """
        with tempfile.TemporaryFile() as complaints:
            process = self._started(*arguments, given=given or subprocess.DEVNULL, complaints=complaints)
            assert process.stdout is not None
            try:
                yield from _pieces(process.stdout, end, limit_bytes)
                if process.wait():
                    complaints.seek(0)
                    raise unreadable(complaints.read(_CHUNK_BYTES))
            finally:
                process.kill()
                process.stdout.close()
                process.wait()

    @property
    def cut_at(self) -> frozenset[str]:
        """The hashes of the commits whose parents are not here, in a shallow clone."""
        path = self._own / "shallow"
        return frozenset(path.read_text("ascii", "replace").split()) if path.exists() else frozenset()

    def _listed(self, line: bytes) -> Entry:
        said, _, name = line.partition(b"\t")
        mode, kind, digest, size = said.split()
        if kind == b"blob" and not size.isdigit():
            raise self._missing(digest.decode(), shown(name))
        size_bytes = int(size) if kind == b"blob" else 0
        return Entry(shown(name), size_bytes, _reason(int(mode, 8), kind, name, size_bytes), digest.decode())

    def _missing(self, digest: str, path: str) -> DataLoss | FailedPrecondition:
        if (self._own / _PARTIAL).exists():
            return FailedPrecondition(
                f"{self.place} is a partial clone: {path} is not in it; fetch the rest (`git fetch --refetch "
                "--no-filter`), or give a full clone"
            )
        return DataLoss(f"{self.place} lacks the object {digest} of {path}; look at it with `git fsck`", path=path)

    def _resolved(self, revision: str, named: str) -> str:
        # A name that begins with a dash would be an option.
        asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{named}^{{commit}}")
        done = subprocess.run(command(self._own, *asked), env=environment(), capture_output=True, check=False)
        found = done.stdout.decode("utf-8", "replace").strip()
        if done.returncode or not found:
            raise InvalidArgument.of("--revision", f"{self.place} has no commit {revision!r}; {self._remedy(revision)}")
        return found.splitlines()[-1]

    def _remedy(self, revision: str) -> str:
        if revision != DEFAULT_REVISION:
            return "give a branch, a tag or a hash"
        asked = ("for-each-ref", "--format=%(refname:short)", f"--count={_SHOWN_NAMES}")
        names = [shown(name) for name in self.said(*asked, limit_bytes=_MAX_NAMES_BYTES, end=b"\n")]
        if not names:
            return "it is empty; commit something first"
        return f"its HEAD names a branch that is not there; give --revision, such as {', '.join(names)}"

    def _started(
        self,
        *arguments: str,
        given: IO[bytes] | int = subprocess.PIPE,
        complaints: IO[bytes] | int = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command(self._own, *arguments), env=environment(), stdin=given, stdout=subprocess.PIPE, stderr=complaints
        )
        limit_memory(process.pid)
        return process


class Git(Commit):
    """A folder on this machine with a `.git` folder in it, or a bare one."""

    def __init__(self, place: Path, revision: str = DEFAULT_REVISION) -> None:
        super().__init__(partial(_borrow, place), str(place), revision)


def git_folder(place: Path) -> Path | None:
    """Where the objects of a repository are; None if there is none at `place`."""
    for folder in (place / ".git", place):
        if all(_is_folder(folder / name) for name in ("objects", "refs")) and (folder / "HEAD").is_file():
            return folder
    return None


def begin(own: Path, hashes: str = "sha1") -> None:
    """Makes an empty repository. hashes: sha1 or sha256."""
    kind = [] if hashes == "sha1" else [f"--object-format={hashes}"]
    done = subprocess.run(
        [program(), "init", "--quiet", "--bare", "--template=", *kind, str(own)],
        env=environment(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise FailedPrecondition(f"git could not begin: {done.stderr.decode('utf-8', 'replace').strip()[:500]}")


def program() -> str:
    found = shutil.which("git")
    if found is None:
        raise FailedPrecondition("REPO is a git repository, and the program `git` is not on this machine; install it")
    return found


def environment() -> dict[str, str]:
    """Nobody's settings, and nothing of the caller's that git would follow. Fetching is not allowed."""
    return {
        "PATH": os.path.dirname(program()),
        "LC_ALL": "C",
        "HOME": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "",
    }


def command(own: Path, *arguments: str, settings: Sequence[str] = ()) -> list[str]:
    """A command of git in the repository of ours."""
    said = itertools.chain.from_iterable(("-c", setting) for setting in (*_SETTINGS, *settings))
    return [program(), f"--git-dir={own}", "--no-replace-objects", *said, *arguments]


def limit_memory(pid: int) -> None:
    """Before the process has anything to unfold. What it starts inherits the limit. Only Linux can do this."""
    if sys.platform == "linux":
        try:
            resource.prlimit(pid, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        except ProcessLookupError:  # it has already said what it had to say
            return


def unreadable(complaints: bytes) -> DataLoss | ResourceExhausted:
    text = complaints.decode("utf-8", "replace").strip()[-500:]
    if "Out of memory" in text:
        return ResourceExhausted(
            f"git needs more than {MEMORY_BYTES:,} bytes of memory for the repository ({text}); give a part of it"
        )
    return DataLoss(f"git could not read the repository: {text or 'it said nothing'}; look at it with `git fsck`")


def _borrow(place: Path, own: Path) -> None:
    """Makes a repository with another one's objects and its names for them."""
    theirs = git_folder(place)
    assert theirs is not None, f"{place} is no git repository"
    objects = theirs / "objects"
    if (theirs / "reftable").is_dir():
        raise FailedPrecondition(
            f"{place} keeps its branches in a form not read here; run `git refs migrate --ref-format=files` there"
        )
    _refuse_foreign_objects(objects)
    begin(own, "sha256" if _has_long_hashes(theirs) else "sha1")
    (own / "objects" / "info").mkdir(exist_ok=True)
    (own / "objects" / "info" / "alternates").write_bytes(os.fsencode(_quoted(objects.resolve())) + b"\n")
    if any((objects / "pack").glob("*.promisor")):
        (own / _PARTIAL).touch()
    for name in _names(theirs):
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_bytes(_text_of(theirs / name))


def _has_long_hashes(theirs: Path) -> bool:
    """The one thing that its settings are asked for, as a text."""
    if not _is_file(theirs / "config"):
        return False
    return re.search(rb"(?im)^\s*objectformat\s*=\s*\"?sha256", _text_of(theirs / "config")) is not None


def _refuse_foreign_objects(objects: Path) -> None:
    """A repository could name the objects of any other one that this user may read, and so give that one's files."""
    if os.path.lexists(objects / "info" / "alternates"):
        raise FailedPrecondition(
            f"{objects} borrows another repository's objects (info/alternates); run `git repack -a -d` there and "
            "remove that file, or give a full clone"
        )
    for folder, folders, files in os.walk(objects):
        for name in (*folders, *files):
            if os.path.islink(os.path.join(folder, name)):
                raise FailedPrecondition(f"{folder}/{name} is a link; give a full clone of the repository")


def _names(theirs: Path) -> Iterator[Path]:
    """The files that give commits names: those of the repository itself, no links."""
    for name in _NAMES:
        if _is_file(theirs / name):
            yield Path(name)
    for folder, _, files in os.walk(theirs / "refs"):  # does not follow links
        for name in files:
            if _is_file(Path(folder) / name):
                yield (Path(folder) / name).relative_to(theirs)


def _text_of(path: Path) -> bytes:
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW)) as file:
        data = file.read(_MAX_NAMES_BYTES + 1)
    if len(data) > _MAX_NAMES_BYTES:
        raise FailedPrecondition(f"{path} has more than {_MAX_NAMES_BYTES:,} bytes; no list of names is that long")
    return data


def _pieces(stream: IO[bytes], end: bytes, limit_bytes: int) -> Iterator[bytes]:
    rest, left = b"", limit_bytes
    while chunk := stream.read(_CHUNK_BYTES):
        left -= len(chunk)
        if left < 0:
            raise ResourceExhausted(f"REPO has lists of more than {limit_bytes:,} bytes; give a part of it")
        *pieces, rest = (rest + chunk).split(end)
        yield from pieces


def _reason(mode: int, kind: bytes, name: bytes, size_bytes: int) -> str:
    """Why a file is not read, "" if it is: git keeps names in a tree that no folder could have."""
    parts = name.split(b"/")
    if not {b"", b".", b".."}.isdisjoint(parts) or any(part.lower() == b".git" for part in parts):
        return "unsafe-name"
    if len(parts) - 1 > repository.MAX_DEPTH:
        return "too-deep"
    if kind == b"commit":
        return "submodule"
    if stat.S_ISLNK(mode):
        return "symlink"
    return "too-large" if size_bytes > repository.MAX_FILE_BYTES else ""


def _once_each(entries: Sequence[Entry]) -> list[Entry]:
    """Of those with one path only the first is read."""
    before = ["", *(entry.path for entry in entries)]
    return [
        replace(entry, reason="same-name") if entry.path == earlier else entry
        for earlier, entry in zip(before, entries, strict=False)
    ]


def _quoted(path: Path) -> str:
    """As the file of alternates wants a path with anything odd in it."""
    text = str(path)
    if text.isprintable() and text.isascii() and not set(text) & set('"\\#:'):
        return text
    escaped = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\' else f"\\{b:03o}" for b in os.fsencode(text))
    return f'"{escaped}"'


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
