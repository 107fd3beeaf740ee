"""A PostgreSQL server that these tests may stop, and a store on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import database_server
from database_server import Server
from making import make_store
from tunesmith.store import Store


@pytest.fixture(scope="session")
def stoppable() -> Iterator[Server]:
    """Not the one that `--database postgresql` starts: other tests need that."""
    started = Server()
    yield started
    started.close()


@pytest.fixture
def postgresql(stoppable: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that runs; every home that the test names is a database in it."""
    monkeypatch.setenv(database_server.ANNOUNCED, str(stoppable.folder))
    yield stoppable
    stoppable.start()
    stoppable.drop(stoppable.databases())


@pytest.fixture
def store(postgresql: Server, tmp_path: Path) -> Store:
    return make_store(tmp_path)
