"""The first tables: jobs, their tasks and attempts, the models that they make, and every change of state.

Safe before and after the new code is deployed: there was nothing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _jobs()
    _tasks()
    _attempts()
    _models()
    _events()


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("wanted", sa.Text, nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("body_sha256", sa.Text, nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True)),
        sa.Column("model", sa.Text),
        sa.Column("create_time", sa.Double, nullable=False),
        sa.Column("start_time", sa.Double),
        sa.Column("end_time", sa.Double),
        sa.Column("update_time", sa.Double, nullable=False),
        sa.UniqueConstraint("project", "job_id"),
    )
    op.create_index("jobs_by_state", "jobs", ["state", "sequence"])


def _tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("job", sa.Integer, sa.ForeignKey("jobs.sequence"), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("furthest_step", sa.Integer, nullable=False),
        sa.Column("worker", sa.Text),
        sa.Column("lease_until", sa.Double),
        sa.Column("handle", sa.Text),
        sa.Column("error", sa.JSON(none_as_null=True)),
        sa.Column("start_time", sa.Double),
        sa.Column("end_time", sa.Double),
        sa.UniqueConstraint("job", "name"),
    )
    op.create_index("tasks_by_state", "tasks", ["state", "job", "position"])


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("task", sa.Integer, sa.ForeignKey("tasks.number"), primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("start_time", sa.Double, nullable=False),
        sa.Column("end_time", sa.Double),
        sa.Column("outcome", sa.Text),
        sa.Column("error", sa.JSON(none_as_null=True)),
        sa.Column("step", sa.Integer),
    )


def _models() -> None:
    op.create_table(
        "models",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("version_id", sa.Text, nullable=False),
        sa.Column("job", sa.Integer, sa.ForeignKey("jobs.sequence"), nullable=False, unique=True),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("base_model", sa.Text, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("lineage", sa.JSON, nullable=False),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("create_time", sa.Double, nullable=False),
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("job", sa.Integer, sa.ForeignKey("jobs.sequence"), nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("task", sa.Text),
        sa.Column("attempt", sa.Integer),
        sa.Column("state_before", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
    )
    op.create_index("events_by_job", "events", ["job", "number"])
