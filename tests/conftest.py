"""What all tests share: on which database their stores are, and that none stays open.

`--database postgresql` runs the same tests on a PostgreSQL server that is started for them. Every home that a test
names is a database there, also for an application or a store that was opened with plain `Settings(home)`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

import database_server
from tunesmith.settings import Settings
from tunesmith.store import database


def pytest_addoption(parser: pytest.Parser) -> None:
    choices = ("sqlite", "postgresql")
    parser.addoption("--database", choices=choices, default="sqlite", help="what the stores of the tests stand on")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--database") == "postgresql" and not database_server.is_installed():
        raise pytest.UsageError(database_server.MISSING)


@pytest.fixture(scope="session")
def tests_database(request: pytest.FixtureRequest) -> Iterator[database_server.Server | None]:
    """The PostgreSQL server of this run; None on SQLite."""
    if request.config.getoption("--database") == "sqlite":
        yield None
        return
    started = database_server.Server()
    os.environ[database_server.ANNOUNCED] = str(started.folder)
    yield started
    del os.environ[database_server.ANNOUNCED]
    started.close()


@pytest.fixture(autouse=True)
def _stores(tests_database: database_server.Server | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Closes the stores that a test has opened, and removes its databases."""
    opened: list[sa.Engine] = []
    before = tests_database.databases() if tests_database is not None else []
    real = database._open_engine

    def open_engine(settings: Settings) -> sa.Engine:
        if tests_database is not None and not settings.database_url:
            settings = dataclasses.replace(settings, database_url=database_server.url_for(settings.home))
        opened.append(real(settings))
        return opened[-1]

    monkeypatch.setattr(database, "_open_engine", open_engine)
    yield
    for engine in opened:
        engine.dispose()
    if tests_database is not None:
        tests_database.drop(set(tests_database.databases()) - set(before))
