"""Serving processes: which are wanted, who runs them, where they answer.

A server is one process for one base model, with all adapters that were tuned on it, or for one model whose every
weight was tuned. It is wanted while a deployed model needs it, and for a while after somebody has asked for it. The
lease is a worker's right to run it, as with tasks; url and token are those of the process that is READY.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from tunesmith.errors import Aborted
from tunesmith.store import tables
from tunesmith.store.endpoints import Endpoints
from tunesmith.store.models import Model

ServerState = Literal["WANTED", "STARTING", "READY", "FAILED", "STOPPED"]

ASKED_INTERVAL_S = 10.0
"""Asking is written down this often at most: it happens with every prediction."""

FULL = "full"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a server is to hold."""

    key: str
    base_model: str
    weights: str | None = None
    """Folder of a fully tuned model; None: the base model's own weights."""


@dataclass(frozen=True, slots=True)
class Server:
    """A serving process, as its worker last saw it."""

    key: str
    base_model: str
    weights: str | None
    state: ServerState
    attempt: int
    failures: int
    """Since it was last READY."""
    worker: str | None
    handle: str | None
    url: str | None
    token: str | None
    error: Mapping[str, Any] | None
    asked_time: float
    update_time: float


def server_of(model: Model) -> Wanted:
    """The server that a tuned model answers from."""
    if model.lineage.get("tuning", {}).get("method") == FULL:
        return Wanted(f"{model.name}@{model.version_id}", model.base_model, str(model.folder / "model"))
    return Wanted(model.base_model, model.base_model)


class Servers(Endpoints):
    """Servers as predictions and workers see them."""

    def ask_for_server(self, wanted: Wanted, *, now_s: float | None = None) -> Server:
        """The server, wanted from now on; one that has failed is tried again."""
        now = self._now(now_s)
        with self._reading() as connection:
            row = _row(connection, wanted.key)
        if row is not None and row.state in ("STARTING", "READY") and now - row.asked_time < ASKED_INTERVAL_S:
            return _as_server(row)
        with self._writing() as connection:
            _ask(connection, wanted, now)
            return _as_server(_row(connection, wanted.key))

    def server(self, key: str) -> Server | None:
        """The server of that key; None if nobody has ever asked for it."""
        with self._reading() as connection:
            row = _row(connection, key)
        return None if row is None else _as_server(row)

    def servers(self) -> list[Server]:
        """All servers."""
        with self._reading() as connection:
            return [_as_server(row) for row in connection.execute(sa.select(tables.servers).order_by("key"))]

    def ask_for_deployed(self, *, now_s: float) -> None:
        """Keeps the servers wanted that deployed models need."""
        with self._reading() as connection:
            wanted = {server_of(model) for model in self._deployed_models(connection)}
            fresh = tables.servers.c.asked_time > now_s - ASKED_INTERVAL_S, tables.servers.c.state != "STOPPED"
            kept = set(connection.execute(sa.select(tables.servers.c.key).where(*fresh)).scalars())
        missing = [w for w in wanted if w.key not in kept]
        if missing:
            with self._writing() as connection:
                for one in missing:
                    _ask(connection, one, now_s, again=False)

    def claim_server(
        self,
        worker: str,
        *,
        now_s: float,
        lease_s: float,
        idle_s: float,
        dead: Sequence[str] = (),
        but: Sequence[str] = (),
    ) -> Server | None:
        """A server for this worker to run: one that nobody runs, or whose worker is dead or silent; None without.

        Of one that was taken over, the handle says what may still run. `but`: keys that are left alone.
        """
        servers = tables.servers.c
        wanted = servers.asked_time > now_s - idle_s
        lost = sa.or_(servers.lease_until < now_s, servers.lease_until > now_s + 10 * lease_s, servers.worker.in_(dead))
        running = sa.and_(servers.state.in_(("STARTING", "READY")), lost)
        free = sa.or_(sa.and_(servers.state == "WANTED", wanted), running)
        one = sa.select(servers.key).where(free, servers.key.not_in(but)).order_by(servers.asked_time).limit(1)
        begun = servers.state == "WANTED"
        values = {
            "worker": worker,
            "lease_until": now_s + lease_s,
            "attempt": sa.case((begun, servers.attempt + 1), else_=servers.attempt),
            "handle": sa.case((begun, None), else_=servers.handle),
            "state": sa.case((begun, "STARTING"), else_=servers.state),
            "update_time": now_s,
        }
        statement = sa.update(tables.servers).where(servers.key == one.scalar_subquery()).values(values)
        with self._writing() as connection:
            row = connection.execute(statement.returning(*servers)).first()
        return None if row is None else _as_server(row)

    def keep_server(self, server: Server, *, now_s: float, lease_s: float) -> Server:
        """Renews the lease; the server as it is now. Aborted if it is another worker's."""
        return self._write_server(server, now_s, lease_until=now_s + lease_s)

    def note_server(self, server: Server, *, now_s: float, **values: Any) -> Server:
        """Writes what its worker has seen (handle, state, url, token, error, failures); Aborted as `keep_server`."""
        return self._write_server(server, now_s, **values)

    def _write_server(self, server: Server, now_s: float, **values: Any) -> Server:
        mine = (
            tables.servers.c.key == server.key,
            tables.servers.c.worker == server.worker,
            tables.servers.c.attempt == server.attempt,
        )
        statement = sa.update(tables.servers).where(*mine).values(update_time=now_s, **values)
        with self._writing() as connection:
            row = connection.execute(statement.returning(*tables.servers.c)).first()
        if row is None:
            raise Aborted(f"the server of {server.key} is not this worker's any more")
        return _as_server(row)


def _row(connection: sa.Connection, key: str) -> Any:
    return connection.execute(sa.select(tables.servers).where(tables.servers.c.key == key)).first()


def _ask(connection: sa.Connection, wanted: Wanted, now_s: float, *, again: bool = True) -> None:
    """`again`: one that has failed is wanted once more."""
    row = _row(connection, wanted.key)
    if row is None:
        values = {"key": wanted.key, "base_model": wanted.base_model, "weights": wanted.weights, "state": "WANTED"}
        counts = {"attempt": 0, "failures": 0, "asked_time": now_s, "update_time": now_s}
        connection.execute(sa.insert(tables.servers).values(values | counts))
        return
    ended = ("STOPPED", "FAILED") if again else ("STOPPED",)
    state = {"state": "WANTED", "error": None, "failures": 0} if row.state in ended else {}
    of_key = tables.servers.c.key == wanted.key
    connection.execute(sa.update(tables.servers).where(of_key).values(asked_time=now_s, **state))


def _as_server(row: Any) -> Server:
    return Server(
        key=row.key,
        base_model=row.base_model,
        weights=row.weights,
        state=row.state,
        attempt=row.attempt,
        failures=row.failures,
        worker=row.worker,
        handle=row.handle,
        url=row.url,
        token=row.token,
        error=row.error,
        asked_time=row.asked_time,
        update_time=row.update_time,
    )
