"""Jobs of another kind than tuning: batch prediction. Those that are there are tuning jobs.

Safe before the new code is deployed, as long as no batch prediction job is made.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("kind", sa.Text, nullable=False, server_default="tuning"))
