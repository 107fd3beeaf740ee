"""Bearer keys: kept as hashes, scoped to a project, with a role; revocable, and it is seen when one was last used."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa

from tunesmith import resources
from tunesmith.errors import NotFound
from tunesmith.resources import Role
from tunesmith.store import tables
from tunesmith.store.database import Database

PREFIX = "tsk_"
"""So that a secret scanner, ours too, knows one when it sees it."""

USE_INTERVAL_S = 60.0
"""Last use is written down this often at most."""


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key; its secret is not."""

    id: str
    name: str
    project: str | None
    """None: every project."""
    role: Role
    create_time: float
    last_use_time: float | None
    revoke_time: float | None


class NewKey(NamedTuple):
    """A key and its secret, which nobody can look up again."""

    key: Key
    secret: str


class Keys(Database):
    """Keys as their owner and the API see them."""

    def create_key(self, name: str, project: str | None, role: Role, *, now_s: float | None = None) -> NewKey:
        """A new key; the secret is in the answer and nowhere else."""
        secret = PREFIX + secrets.token_urlsafe(32)
        key = Key(resources.new_id(), name, project, role, self._now(now_s), None, None)
        values = {"name": name, "project": project, "role": role, "create_time": key.create_time}
        with self._writing() as connection:
            connection.execute(sa.insert(tables.keys).values(id=key.id, sha256=_sha256(secret), **values))
        return NewKey(key, secret)

    def keys(self) -> list[Key]:
        """All keys, newest first, revoked ones too."""
        with self._reading() as connection:
            rows = connection.execute(sa.select(tables.keys).order_by(tables.keys.c.create_time.desc())).all()
        return [_as_key(row) for row in rows]

    def has_keys(self) -> bool:
        """Whether a key is in force: then nobody gets in without one."""
        query = sa.select(tables.keys.c.id).where(tables.keys.c.revoke_time.is_(None)).limit(1)
        with self._reading() as connection:
            return connection.execute(query).first() is not None

    def key_of(self, secret: str, *, now_s: float | None = None) -> Key | None:
        """The key in force with that secret, its use noted; None if there is none."""
        now = self._now(now_s)
        in_force = tables.keys.c.sha256 == _sha256(secret), tables.keys.c.revoke_time.is_(None)
        with self._reading() as connection:
            row = connection.execute(sa.select(tables.keys).where(*in_force)).first()
        if row is None:
            return None
        if row.last_use_time is None or now - row.last_use_time > USE_INTERVAL_S:
            with self._writing() as connection:
                connection.execute(sa.update(tables.keys).where(tables.keys.c.id == row.id).values(last_use_time=now))
        return _as_key(row)

    def make_pass(self, secret: str, place: str, until_s: float) -> str | None:
        """What stands for a key in one place until a time, and is of no use elsewhere; None if no key in force has it.

        Sealed with the key's hash: nothing is stored, and it ends with the key.
        """
        key = self.key_of(secret)
        if key is None:
            return None
        until = str(int(until_s))
        return f"{key.id}.{until}.{_seal(_sha256(secret), place, until)}"

    def key_of_pass(self, text: str, place: str, *, now_s: float | None = None) -> Key | None:
        """The key in force that a pass stands for; None if it was made for another place, has run out, or is none."""
        key_id, _, rest = text.partition(".")
        until, _, seal = rest.partition(".")
        in_force = tables.keys.c.id == key_id, tables.keys.c.revoke_time.is_(None)
        with self._reading() as connection:
            row = connection.execute(sa.select(tables.keys).where(*in_force)).first()
        if row is None or not hmac.compare_digest(_seal(row.sha256, place, until).encode(), seal.encode()):
            return None
        return _as_key(row) if int(until) > self._now(now_s) else None

    def revoke_key(self, key_id: str, *, now_s: float | None = None) -> Key:
        """Ends a key for good; NotFound if there is none of that id. Twice is once."""
        with self._writing() as connection:
            of_id = tables.keys.c.id == key_id
            values = {"revoke_time": sa.func.coalesce(tables.keys.c.revoke_time, self._now(now_s))}
            row = connection.execute(
                sa.update(tables.keys).where(of_id).values(values).returning(*tables.keys.c)
            ).first()
            if row is None:
                raise NotFound(f"no key has the id {key_id}; `tunesmith keys list` shows those there are", name=key_id)
            return _as_key(row)


def _seal(sha256: str, place: str, until: str) -> str:
    return hmac.new(bytes.fromhex(sha256), f"{place} {until}".encode(), hashlib.sha256).hexdigest()


def _sha256(secret: str) -> str:
    # A key has 256 random bits: nothing is gained by a slow hash.
    return hashlib.sha256(secret.encode()).hexdigest()


def _as_key(row: sa.Row[tuple[object, ...]]) -> Key:
    return Key(row.id, row.name, row.project, row.role, row.create_time, row.last_use_time, row.revoke_time)
