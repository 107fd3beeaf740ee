"""What was found out about files is kept by key, survives a crash, and makes objects of ours only."""

from __future__ import annotations

import pickle
import sqlite3
import stat
from pathlib import Path

import pytest

from tunesmith.data.codebase.cache import Cache, key_of, sealed, tools_sha256
from tunesmith.data.codebase.middles import Hole

KEY, OTHER = key_of("a"), key_of("b")
HOLE = Hole(1, 2, "block", "psm")


def test_what_was_put_is_there_for_the_next_build(tmp_path: Path) -> None:
    with Cache(tmp_path / "c.sqlite") as cache:
        cache.put(KEY, {"hole": HOLE, "some": (1, b"x", frozenset({"y"}))})
    with Cache(tmp_path / "c.sqlite") as cache:
        assert cache.get([KEY, OTHER]) == {KEY: {"hole": HOLE, "some": (1, b"x", frozenset({"y"}))}}


def test_what_was_put_is_there_at_once(tmp_path: Path) -> None:
    with Cache(tmp_path / "c.sqlite") as cache:
        cache.put(KEY, HOLE)
        assert cache.get([KEY]) == {KEY: HOLE}


def test_a_build_that_is_killed_loses_only_the_last_values(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c.sqlite")
    for number in range(1200):
        cache.put(key_of(str(number)), number)
    del cache  # as a kill does: nothing more is written
    with Cache(tmp_path / "c.sqlite") as again:
        assert len(again.get([key_of(str(number)) for number in range(1200)])) >= 1000


def test_a_damaged_cache_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    path.write_bytes(b"no database, but long enough to be taken for one" * 100)
    with Cache(path) as cache:
        cache.put(KEY, HOLE)
        assert cache.get([KEY]) == {KEY: HOLE}
    assert (tmp_path / "c.damaged").exists()


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    with Cache(tmp_path / "new" / "c.sqlite"):
        assert stat.S_IMODE((tmp_path / "new" / "c.sqlite").stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


class _Planted:
    def __init__(self, module: str, name: str, argument: str) -> None:
        self.value = f"c{module}\n{name}\n(V{argument}\ntR.".encode()


@pytest.mark.parametrize(
    "planted",
    [
        _Planted("os", "system", "true").value,
        _Planted("builtins", "eval", "1").value,
        _Planted("tunesmith.data.codebase.crew", "receive", "x").value,
        b"\x80\x04\x8c\x1ctunesmith.data.codebase.crew\x8c\x10subprocess.Popen\x93\x8c\x04true\x85R.",
    ],
)
def test_nothing_but_our_classes_is_made_of_what_it_holds(tmp_path: Path, planted: bytes) -> None:
    with Cache(tmp_path / "c.sqlite") as cache:
        cache.put(KEY, 1)
        cache.get([KEY])
    connection = sqlite3.connect(tmp_path / "c.sqlite")
    connection.execute("UPDATE found SET value = ?", (sealed(planted),))
    connection.commit()
    connection.close()
    with Cache(tmp_path / "c.sqlite") as cache, pytest.raises(pickle.UnpicklingError):
        cache.get([KEY])


def test_a_value_that_is_not_as_it_was_written_is_found_out_again(tmp_path: Path) -> None:
    with Cache(tmp_path / "c.sqlite") as cache:
        cache.put(KEY, 1)
        cache.put(OTHER, 2)
        cache.get([KEY])
    connection = sqlite3.connect(tmp_path / "c.sqlite")
    connection.execute("UPDATE found SET value = substr(value, 1, 9) WHERE key = ?", (KEY,))
    connection.commit()
    connection.close()
    with Cache(tmp_path / "c.sqlite") as cache:
        assert cache.get([KEY, OTHER]) == {OTHER: 2}


def test_keys_of_other_parts_are_others() -> None:
    assert len({key_of("ab", "c"), key_of("a", "bc"), key_of("abc"), key_of(b"abc", "")}) == 4


def test_the_tools_hash_is_the_same_twice() -> None:
    assert tools_sha256() == tools_sha256()
