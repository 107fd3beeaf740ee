"""Jobs of another kind than tuning: batch prediction. How many versions a model has had: uploads add to them.

Those jobs that are there are tuning jobs, those models have one version. Safe before the new code is deployed, as long
as no batch prediction job is made.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("kind", sa.Text, nullable=False, server_default="tuning"))
    op.add_column("models", sa.Column("last_version", sa.Integer, nullable=False, server_default="1"))
