"""The files of a git repository on this machine, at one revision: what was committed, not what lies in the folder.

git itself reads the objects, but never under the repository's own settings, which could name programs to run (hooks,
filters, fsmonitor, ssh commands) or places to fetch from: it runs in an empty repository of ours that borrows the
objects and has a copy of the names. Nothing is checked out. Needs the program `git`.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tunesmith.data.codebase import repository
from tunesmith.data.codebase.repository import Entry, Repository, changed, ordered, shown
from tunesmith.errors import DataLoss, FailedPrecondition, InvalidArgument

DEFAULT_REVISION = "HEAD"
_NAMES = ("HEAD", "packed-refs")
_MAX_NAMES_BYTES = 64 << 20
"""Of one file of names; a repository with half a million tags has one of this length."""


class Git(Repository):
    """A folder with a `.git` folder in it, or a bare one."""

    def __init__(self, place: Path, revision: str = DEFAULT_REVISION) -> None:
        self._own = Path(tempfile.mkdtemp(prefix="tunesmith-git-"))
        self._objects: subprocess.Popen[bytes] | None = None
        try:
            _borrow(place, self._own)
            self.revision = self._resolved(place, revision)
            """Of the commit: its hash."""
        except BaseException:
            self.close()
            raise

    def entries(self) -> Sequence[Entry]:
        listed = self._run("ls-tree", "-r", "-z", "--long", "--full-tree", self.revision)
        return ordered(_listed(listed))

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

    def _resolved(self, place: Path, revision: str) -> str:
        # A name that begins with a dash would be an option.
        asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        done = subprocess.run(self._command(*asked), env=_environment(), capture_output=True, check=False)
        found = done.stdout.decode("utf-8", "replace").strip()
        if done.returncode or not found:
            raise InvalidArgument.of(
                "--revision", f"{place} has no commit {revision!r}; give a branch, a tag or a hash"
            )
        return found.splitlines()[-1]

    def _run(self, *arguments: str) -> bytes:
        done = subprocess.run(self._command(*arguments), env=_environment(), capture_output=True, check=False)
        if done.returncode:
            raise DataLoss(f"git could not read the repository: {done.stderr.decode('utf-8', 'replace').strip()[:500]}")
        return done.stdout

    def _started(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command(*arguments),
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def _command(self, *arguments: str) -> list[str]:
        return [_program(), f"--git-dir={self._own}", "--no-replace-objects", *arguments]


def git_folder(place: Path) -> Path | None:
    """Where the objects of a repository are; None if there is none at `place`."""
    for folder in (place / ".git", place):
        if all(_is_folder(folder / name) for name in ("objects", "refs")) and (folder / "HEAD").is_file():
            return folder
    return None


def _borrow(place: Path, own: Path) -> None:
    """An empty repository with another one's objects and its names for them."""
    theirs = git_folder(place)
    assert theirs is not None, f"{place} is no git repository"
    objects = theirs / "objects"
    _refuse_foreign_objects(objects)
    done = subprocess.run(
        [_program(), "init", "--quiet", "--bare", "--template=", str(own)],
        env=_environment(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise FailedPrecondition(f"git could not begin: {done.stderr.decode('utf-8', 'replace').strip()[:500]}")
    (own / "objects" / "info").mkdir(exist_ok=True)
    (own / "objects" / "info" / "alternates").write_bytes(os.fsencode(_quoted(objects.resolve())) + b"\n")
    for name in _names(theirs):
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_bytes(_text_of(theirs / name))


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


def _listed(data: bytes) -> Iterator[Entry]:
    for line in data.split(b"\0")[:-1]:
        said, _, name = line.partition(b"\t")
        mode, kind, digest, size = said.split()
        reason, size_bytes = "", int(size) if size.isdigit() else 0
        if kind == b"commit":
            reason = "submodule"
        elif stat.S_ISLNK(int(mode, 8)):
            reason = "symlink"
        elif size_bytes > repository.MAX_FILE_BYTES:
            reason = "too-large"
        yield Entry(shown(name), size_bytes, reason, digest.decode())


def _program() -> str:
    found = shutil.which("git")
    if found is None:
        raise FailedPrecondition("REPO is a git repository, and the program `git` is not on this machine; install it")
    return found


def _environment() -> dict[str, str]:
    """Nobody's settings, and nothing of the caller's that git would follow."""
    return {
        "PATH": os.path.dirname(_program()),
        "LC_ALL": "C",
        "HOME": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "",
    }


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
