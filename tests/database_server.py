"""A PostgreSQL server of the tests' own, and in it a database for each home.

In: the programs `initdb` and `postgres` of this machine. Out: a running server that only this user's processes reach,
by a socket in a temporary folder; `settings_for(home)`, which is where a test's store is: SQLite, unless a server was
announced in the environment by whoever started the tests (`pytest --database postgresql`). Processes that a test
starts find the same database by the same home.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tunesmith.settings import Settings

ANNOUNCED = "TESTS_POSTGRESQL"
"""In the environment: the folder of the server's socket."""
MISSING = (
    "PostgreSQL is not on this machine (no `initdb` and `postgres` on PATH, none under /usr/lib/postgresql); "
    "install it, for instance with: apt-get install postgresql"
)
USER = "tunesmith"
# Who may run it if we are root, which PostgreSQL refuses to be.
UNPRIVILEGED = ("postgres", "nobody")
# What is committed outlives the server's processes, and need not outlive the machine.
FAST = ("fsync=off", "full_page_writes=off", "max_connections=200", "listen_addresses=")


def program(name: str) -> str | None:
    """Where a program of PostgreSQL is; Debian keeps them off the path."""
    found = shutil.which(name)
    return found or next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)), None)


def is_installed() -> bool:
    return program("initdb") is not None and program("postgres") is not None


class Server:
    """A server in a temporary folder. It can be stopped and started again; `close` removes it."""

    def __init__(self) -> None:
        assert is_installed(), MISSING
        self.user = next(name for name in UNPRIVILEGED if _exists(name)) if os.geteuid() == 0 else None
        # Not pytest's folder: another user cannot pass through it, and a socket's path has 107 characters at most.
        self.folder = Path(tempfile.mkdtemp(prefix="tunesmith-pg-"))
        if self.user is not None:
            shutil.chown(self.folder, self.user)
        options = ["--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        self._run("initdb", f"--pgdata={self.folder / 'data'}", *options)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """If it does not run already; it answers when this returns."""
        if self._process is not None:
            return
        settings = [part for setting in FAST for part in ("-c", setting)]
        command = [str(program("postgres")), "-D", str(self.folder / "data"), "-k", str(self.folder), *settings]
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(command, user=self.user, group=self._group, stdout=log, stderr=log)
        deadline_s = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline_s, (self.folder / "log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """At once: connections break, as when its machine dies."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(60)
            self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def databases(self) -> list[str]:
        """Those that tests have made."""
        with _administer(str(self.folder)) as connection:
            found = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'home\\_%'").fetchall()
        return [name for (name,) in found]

    def drop(self, names: Iterable[str]) -> None:
        with _administer(str(self.folder)) as connection:
            for name in names:
                connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    @property
    def _group(self) -> int | None:
        import pwd

        return None if self.user is None else pwd.getpwnam(self.user).pw_gid

    def _answers(self) -> bool:
        import psycopg

        try:
            _administer(str(self.folder)).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, name: str, *arguments: str) -> None:
        command = [str(program(name)), *arguments]
        ran = subprocess.run(
            command, user=self.user, group=self._group, cwd="/", capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr


def settings_for(home: Path, **fields: Any) -> Settings:
    """Settings with the store of that home, in the database that the tests run on."""
    return Settings(home, database_url=url_for(home), **fields)


def url_for(home: Path) -> str:
    """Of the database of that home, which is made if need be; empty for SQLite."""
    folder = os.environ.get(ANNOUNCED)
    if not folder:
        return ""
    import psycopg

    name = "home_" + hashlib.sha256(str(home.absolute()).encode()).hexdigest()[:24]
    with _administer(folder) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchall():
            # Another process of the same test may be making it, too.
            with contextlib.suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                connection.execute(f'CREATE DATABASE "{name}"')
    return f"postgresql://{USER}@/{name}?host={folder}"


def _administer(folder: str) -> Any:
    import psycopg

    return psycopg.connect(host=folder, user=USER, dbname="postgres", autocommit=True)


def _exists(user: str) -> bool:
    import pwd

    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


if __name__ == "__main__":
    # For the Makefile: whether there is a PostgreSQL, and what to do if not.
    if not is_installed():
        sys.exit(MISSING)
