"""The connection to the database, its transactions and its schema; what every part of the store stands on.

SQLite in the home by default, PostgreSQL by URL. Nothing outside this file knows which: on both, one transaction
writes at a time, and one that reads sees the database as it was at its first look. So what is proven with one holds
with the other, and no two writers can wait for each other. A database that does not answer is Unavailable: the same
call may be repeated.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import exc

from tunesmith.errors import FailedPrecondition, Internal, Unavailable
from tunesmith.settings import Settings

SCHEMA = "0006"
"""The migration that this code is written for."""

BUSY_TIMEOUT_S = 10.0
"""How long a statement waits for another process's transaction; ours take milliseconds."""

HELD_LIMIT_S = 30.0
"""PostgreSQL ends a transaction that does nothing for so long: its process is frozen, and all writers wait for it."""

POOL_SIZE = 10
MAX_OVERFLOW = 30
"""Connections to PostgreSQL: as many as requests are answered at once; it takes 100 if nobody has told it otherwise."""

_POSTGRESQL = "postgresql"
_PSYCOPG = "postgresql+psycopg"
_WRITING = 7_163_402_019_001
"""Key of the advisory lock that every transaction which writes to PostgreSQL holds, as SQLite's one write lock."""


class Database:
    """An open database. Any number of threads may use one."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._engine = _open_engine(settings)
        self._snapshots = _for_reading(self._engine)
        self._models_folder: Path = settings.models
        self._clock = clock

    def close(self) -> None:
        self._engine.dispose()

    def migrate(self) -> None:
        """Runs the migrations that the database lacks, if any, in one transaction."""
        with self._reading() as connection:
            if _schema(connection) == SCHEMA:
                return
        with self._writing() as connection:
            found = _schema(connection)
            if found is not None and found > SCHEMA:
                raise FailedPrecondition(
                    f"{self._engine.url} was written by a later Tunesmith (schema {found}, this one knows {SCHEMA}); "
                    "install that version again, or give another --home"
                )
            if found != SCHEMA:
                _upgrade(connection)

    def is_answering(self) -> bool:
        """Whether a query comes back."""
        try:
            with self._reading() as connection:
                connection.execute(sa.select(1))
        except Unavailable:
            return False
        return True

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with _answering(self._engine), self._snapshots.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """A transaction that holds the one write lock from its start: a later upgrade could find it taken."""
        writing = self._engine.execution_options(tunesmith_writes=True)
        with _answering(self._engine), writing.connect() as connection, connection.begin():
            if connection.dialect.name == _POSTGRESQL:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITING)))
            yield connection

    def _now(self, now_s: float | None) -> float:
        return self._clock() if now_s is None else now_s


def _open_engine(settings: Settings) -> sa.Engine:
    settings.home.mkdir(parents=True, exist_ok=True)
    if settings.database_url:
        return _open_postgresql(settings.database_url)
    _make_file(settings.database)
    engine = sa.create_engine(f"sqlite:///{settings.database}", creator=lambda: _connect(settings.database))
    _configure_sqlite(engine)
    return engine


def _open_postgresql(url: str) -> sa.Engine:
    # A connection that has died, or whose other end no longer answers, is noticed before a statement depends on it.
    patience = {"connect_timeout": max(2, round(BUSY_TIMEOUT_S)), "tcp_user_timeout": round(2000 * BUSY_TIMEOUT_S)}
    engine = sa.create_engine(
        sa.make_url(url).set(drivername=_PSYCOPG),
        pool_pre_ping=True,
        pool_size=POOL_SIZE,
        max_overflow=MAX_OVERFLOW,
        connect_args=patience,
    )

    @sa.event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        connection.execute(f"SET lock_timeout = {round(1000 * BUSY_TIMEOUT_S)}")
        connection.execute(f"SET idle_in_transaction_session_timeout = {round(1000 * HELD_LIMIT_S)}")
        connection.commit()

    return engine


def _for_reading(engine: sa.Engine) -> sa.Engine:
    """The same engine for transactions that only read: a snapshot, as SQLite gives one by itself."""
    if engine.dialect.name != _POSTGRESQL:
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _make_file(database: Path) -> None:
    """Once, when a home is opened: a database that is moved away later must not be found empty, and begun anew."""
    log = database.with_name(f"{database.name}-wal")
    if log.exists() and not database.exists():
        raise Unavailable(
            f"{database} is not there, but {log.name}, which belongs to it, is: it was moved or deleted while in use. "
            f"Put it back; or move {log.name} away to begin with an empty database"
        )
    try:
        os.close(os.open(database, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666))
    except OSError as error:
        raise Unavailable(f"the database {database} could not be opened: {error}") from error


def _connect(database: Path) -> sqlite3.Connection:
    address = f"file:{quote(str(database))}?mode=rw"  # rw: never made
    return sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT_S, check_same_thread=False)


def _configure_sqlite(engine: sa.Engine) -> None:
    """WAL, so that readers never wait; every commit on disk; transactions that begin where we say so."""

    @sa.event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver itself would begin one only before the first write
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @sa.event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("tunesmith_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextlib.contextmanager
def _answering(engine: sa.Engine) -> Iterator[None]:
    """Turns a database that is locked, full, read-only or away into Unavailable."""
    try:
        yield
    except exc.ProgrammingError as error:
        raise _not_understood(engine, error.orig) from error
    # InternalError: PostgreSQL has ended the transaction, or is a replica that takes no writes.
    except (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError) as error:
        reason = getattr(error, "orig", None) or error
        # SQLite calls a wrong statement by the same name as a database that is away.
        if getattr(reason, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
            raise _not_understood(engine, reason) from error
        raise Unavailable(f"the database {engine.url} does not answer: {reason}; trying again may help") from error


def _not_understood(engine: sa.Engine, reason: object) -> Internal:
    """For a statement that is wrong, or tables that another code has made: no trying again helps."""
    return Internal(f"the database {engine.url} does not understand this code: {reason}")


def _schema(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def _upgrade(connection: sa.Connection) -> None:
    # Imported here: Alembic takes longer to import than everything else in this file.
    from alembic import command
    from alembic.config import Config

    alembic = Config()
    alembic.set_main_option("script_location", "tunesmith:migrations")
    alembic.set_main_option("path_separator", "os")
    alembic.attributes["connection"] = connection
    command.upgrade(alembic, SCHEMA)
