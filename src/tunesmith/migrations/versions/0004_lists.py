"""What lists of many jobs look for: labels, the order of creation. The customer's key of endpoints and tensorboards.

Safe before the new code is deployed.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("labels", sa.JSON(none_as_null=True)))
    _copy_labels(op.get_bind())
    op.create_index("jobs_by_create_time", "jobs", ["project", "location", "create_time", "sequence"])
    for table in ("endpoints", "tensorboards"):
        op.add_column(table, sa.Column("kms_key_name", sa.Text))


def _copy_labels(connection: sa.Connection) -> None:
    """Out of the request, where a list that looks for one would have to read all of it."""
    jobs = sa.table(
        "jobs", sa.column("sequence"), sa.column("request", sa.JSON()), sa.column("labels", sa.JSON(none_as_null=True))
    )
    found = connection.execute(sa.select(jobs.c.sequence, jobs.c.request).where(jobs.c.request.is_not(None)))
    for sequence, request in found.all():
        if labels := (request or {}).get("labels"):
            connection.execute(sa.update(jobs).where(jobs.c.sequence == sequence).values(labels=labels))
