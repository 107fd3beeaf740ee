"""Long-running operations: what a client may ask about after a call that Vertex answers with one.

All of ours are done when their call returns; the row is there for clients that look once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tunesmith.errors import NotFound
from tunesmith.store import tables
from tunesmith.store.database import Database

KEPT_S = 7 * 24 * 3600.0
"""Nobody polls an operation for a week."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A call that is done, and its answer."""

    name: str
    project: str
    metadata: Mapping[str, Any]
    response: Mapping[str, Any]
    create_time: float


class Operations(Database):
    """Operations as clients see them."""

    def add_operation(
        self, name: str, project: str, metadata: Mapping[str, Any], response: Mapping[str, Any], *, now_s: float
    ) -> Operation:
        """Writes one down; forgets those that are too old to be asked for."""
        operation = Operation(name, project, metadata, response, now_s)
        with self._writing() as connection:
            old = tables.operations.c.create_time < now_s - KEPT_S
            connection.execute(sa.delete(tables.operations).where(old))
            values = {"metadata": dict(metadata), "response": dict(response), "create_time": now_s}
            connection.execute(sa.insert(tables.operations).values(name=name, project=project, **values))
        return operation

    def operation(self, name: str) -> Operation:
        """The operation of that name; NotFound if there is none."""
        with self._reading() as connection:
            row = connection.execute(sa.select(tables.operations).where(tables.operations.c.name == name)).first()
        if row is None:
            raise NotFound(f"no operation is called {name}", name=name)
        return Operation(row.name, row.project, row.metadata, row.response, row.create_time)
