"""Alembic's entry: runs the missing migrations on the connection, and in the transaction, that it is given.

Alembic executes this file and hands it the connection; nothing imports it.
"""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
