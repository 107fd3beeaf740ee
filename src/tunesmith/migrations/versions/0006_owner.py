"""Who submitted a job: the name of the key; empty where no key was wanted, and for jobs of before.

Safe while a server and a worker of the code before run.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("owner", sa.Text, nullable=False, server_default=""))
