"""What was found out about files, kept from build to build by their hashes; a build that was killed goes on from it.

One SQLite file. A key is a hash of everything that a value depends on: the bytes of the file, its name, the limits and
options, and the tools (`tools_sha256`: our own source and the versions of the libraries), so nothing is out of date.
Values are Python objects of ours; nothing else is made of what the file holds. It holds code: its owner alone may read
it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import io
import logging
import pickle
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

FILE_NAME = "codebase.sqlite"
MOST_BYTES = 4 << 30
"""Of the file: beyond it, what the last builds did not use is forgotten."""
_PUT_ROWS = 500
# Values that a crash loses at most.
_ASKED_KEYS = 500
_CHECKSUM_BYTES = 8
_LIBRARIES = ("tree-sitter", "detect-secrets", "kingfisher-bin", "numpy", "license-expression")


class Cache:
    """A context: what was put is on the disk at its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.folder = path.parent
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._connection = _opened(path)
        self._waiting: list[tuple[bytes, bytes, int]] = []
        self._build = 1 + (self._connection.execute("SELECT max(used) FROM found").fetchone()[0] or 0)

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self._put()
        if self._path.exists() and self._path.stat().st_size > MOST_BYTES:
            self._connection.execute("DELETE FROM found WHERE used < ?", (self._build - 1,))
            self._connection.commit()
            self._connection.execute("VACUUM")
        self._connection.close()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Any]:
        """The values of those keys that have one."""
        self._put()
        found = {}
        for start in range(0, len(keys), _ASKED_KEYS):
            asked = keys[start : start + _ASKED_KEYS]
            marks = ",".join("?" * len(asked))
            rows = self._connection.execute(f"SELECT key, value FROM found WHERE key IN ({marks})", asked).fetchall()
            found.update({key: _loaded(value) for key, value in rows if _is_whole(value)})
            self._connection.execute(
                f"UPDATE found SET used = ? WHERE key IN ({marks}) AND used < ?", (self._build, *asked, self._build)
            )
        self._connection.commit()
        return found

    def put(self, key: bytes, value: Any) -> None:
        self._waiting.append((key, sealed(pickle.dumps(value, pickle.HIGHEST_PROTOCOL)), self._build))
        if len(self._waiting) >= _PUT_ROWS:
            self._put()

    def _put(self) -> None:
        if self._waiting:
            self._connection.executemany("INSERT OR REPLACE INTO found VALUES (?, ?, ?)", self._waiting)
            self._connection.commit()
            self._waiting = []


@functools.cache
def tools_sha256() -> str:
    """Of all that a value depends on beside the file: the source of this package, and its libraries' versions."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.parent.rglob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    for name, version in _versions():
        digest.update(f"{name}=={version}\n".encode())
    return digest.hexdigest()


def key_of(*parts: str | bytes) -> bytes:
    """32 bytes that stand for the parts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()


def _versions() -> Iterator[tuple[str, str]]:
    installed: Mapping[str, str] = {
        (dist.metadata["Name"] or "").lower(): dist.version for dist in importlib.metadata.distributions()
    }
    for name in sorted(installed):
        if name in _LIBRARIES or name.startswith("tree-sitter"):
            yield name, installed[name]


def _opened(path: Path) -> sqlite3.Connection:
    """The database; a damaged one is put aside, since everything in it can be found out again."""
    try:
        return _connected(path)
    except sqlite3.DatabaseError:
        aside = path.with_suffix(".damaged")
        log.warning("the cache is damaged and was put aside path=%s aside=%s", path, aside)
        path.replace(aside)
        return _connected(path)


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=60)
    path.chmod(0o600)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS found (key BLOB PRIMARY KEY, value BLOB, used INTEGER) WITHOUT ROWID"
    )
    connection.commit()
    return connection


class _Ours(pickle.Unpickler):
    """Makes objects of classes of this package only."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("tunesmith.data.") and "." not in name:
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module:
                return found
        if (module, name) == ("builtins", "frozenset"):
            return frozenset
        raise pickle.UnpicklingError(f"{module}.{name} is no class of ours")


def sealed(data: bytes) -> bytes:
    """The bytes behind a checksum of theirs."""
    return hashlib.blake2b(data, digest_size=_CHECKSUM_BYTES).digest() + data


def _is_whole(value: bytes) -> bool:
    return sealed(value[_CHECKSUM_BYTES:]) == value


def _loaded(value: bytes) -> Any:
    return _Ours(io.BytesIO(value[_CHECKSUM_BYTES:])).load()
