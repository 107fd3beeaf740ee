"""Labels of jobs in a table of their own, where a list finds the jobs that have one without reading any other.

Safe once no server or worker of the code before runs any more: it reads the column that goes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    labels = op.create_table(
        "job_labels",
        sa.Column("job", sa.Integer, sa.ForeignKey("jobs.sequence"), primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Index("job_labels_by_value", "key", "value", "job"),
    )
    rows = _rows(op.get_bind())
    if rows:
        op.bulk_insert(labels, rows)
    op.drop_column("jobs", "labels")


def _rows(connection: sa.Connection) -> list[dict[str, object]]:
    jobs = sa.table("jobs", sa.column("sequence"), sa.column("labels", sa.JSON()))
    found = connection.execute(sa.select(jobs.c.sequence, jobs.c.labels).where(jobs.c.labels.is_not(None)))
    return [
        {"job": sequence, "key": key, "value": value}
        for sequence, labels in found
        for key, value in (labels or {}).items()
    ]
