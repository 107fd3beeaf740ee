"""What the service needs: models with versions, endpoints, serving processes, operations, keys, TensorBoard resources.

Not safe before the new code is deployed: an older one looks for a model's version in another table.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_COPY_MODELS = """
INSERT INTO models (id, project, location, display_name, description, labels, create_time, update_time)
SELECT id, project, location, display_name, '', labels, create_time, create_time FROM models_0001
"""
_COPY_VERSIONS = """
INSERT INTO model_versions (model, version_id, job, base_model, lineage, metrics, create_time)
SELECT id, version_id, job, base_model, lineage, metrics, create_time FROM models_0001
"""
_COPY_ALIASES = """
INSERT INTO model_aliases (model, alias, version_id) SELECT id, 'default', version_id FROM models_0001
"""


def upgrade() -> None:
    _jobs()
    op.rename_table("models", "models_0001")
    _models()
    _model_versions()
    _model_aliases()
    for copy in (_COPY_MODELS, _COPY_VERSIONS, _COPY_ALIASES):
        op.execute(copy)
    op.drop_table("models_0001")
    _endpoints()
    _deployed_models()
    _servers()
    _operations()
    _keys()
    _tensorboards()
    _tensorboard_experiments()
    _tensorboard_runs()
    _tensorboard_series()
    _tensorboard_points()


def _jobs() -> None:
    op.add_column("jobs", sa.Column("request", sa.JSON(none_as_null=True)))
    op.add_column("jobs", sa.Column("pool", sa.Text, nullable=False, server_default="GPU"))
    op.add_column("jobs", sa.Column("units", sa.Integer, nullable=False, server_default="0"))
    op.create_index("jobs_by_project", "jobs", ["project", "location", "sequence"])


def _models() -> None:
    op.create_table(
        "models",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("create_time", sa.Double, nullable=False),
        sa.Column("update_time", sa.Double, nullable=False),
    )
    op.create_index("models_by_project", "models", ["project", "location", "create_time"])


def _model_versions() -> None:
    op.create_table(
        "model_versions",
        sa.Column("model", sa.Text, sa.ForeignKey("models.id"), primary_key=True),
        sa.Column("version_id", sa.Text, primary_key=True),
        sa.Column("job", sa.Integer, sa.ForeignKey("jobs.sequence"), unique=True),
        sa.Column("base_model", sa.Text, nullable=False),
        sa.Column("lineage", sa.JSON, nullable=False),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("create_time", sa.Double, nullable=False),
    )


def _model_aliases() -> None:
    op.create_table(
        "model_aliases",
        sa.Column("model", sa.Text, sa.ForeignKey("models.id"), primary_key=True),
        sa.Column("alias", sa.Text, primary_key=True),
        sa.Column("version_id", sa.Text, nullable=False),
    )


def _endpoints() -> None:
    op.create_table(
        "endpoints",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("traffic_split", sa.JSON, nullable=False),
        sa.Column("create_time", sa.Double, nullable=False),
        sa.Column("update_time", sa.Double, nullable=False),
    )
    op.create_index("endpoints_by_project", "endpoints", ["project", "location", "create_time"])


def _deployed_models() -> None:
    op.create_table(
        "deployed_models",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("endpoint", sa.Text, sa.ForeignKey("endpoints.id"), nullable=False),
        sa.Column("model", sa.Text, sa.ForeignKey("models.id"), nullable=False),
        sa.Column("version_id", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("create_time", sa.Double, nullable=False),
    )
    op.create_index("deployed_models_by_endpoint", "deployed_models", ["endpoint"])
    op.create_index("deployed_models_by_model", "deployed_models", ["model"])


def _servers() -> None:
    op.create_table(
        "servers",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("base_model", sa.Text, nullable=False),
        sa.Column("weights", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("worker", sa.Text),
        sa.Column("lease_until", sa.Double),
        sa.Column("handle", sa.Text),
        sa.Column("url", sa.Text),
        sa.Column("token", sa.Text),
        sa.Column("error", sa.JSON(none_as_null=True)),
        sa.Column("asked_time", sa.Double, nullable=False),
        sa.Column("update_time", sa.Double, nullable=False),
    )


def _operations() -> None:
    op.create_table(
        "operations",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("response", sa.JSON, nullable=False),
        sa.Column("create_time", sa.Double, nullable=False),
    )


def _keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("sha256", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("project", sa.Text),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("create_time", sa.Double, nullable=False),
        sa.Column("last_use_time", sa.Double),
        sa.Column("revoke_time", sa.Double),
    )


def _tensorboards() -> None:
    op.create_table(
        "tensorboards",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("create_time", sa.Double, nullable=False),
        sa.Column("update_time", sa.Double, nullable=False),
    )
    op.create_index("tensorboards_by_project", "tensorboards", ["project", "location", "create_time"])


def _tensorboard_experiments() -> None:
    op.create_table(
        "tensorboard_experiments",
        sa.Column("tensorboard", sa.Text, sa.ForeignKey("tensorboards.id"), primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("job", sa.Integer, sa.ForeignKey("jobs.sequence")),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("create_time", sa.Double, nullable=False),
        sa.Column("update_time", sa.Double, nullable=False),
    )


def _tensorboard_runs() -> None:
    op.create_table(
        "tensorboard_runs",
        sa.Column("tensorboard", sa.Text, primary_key=True),
        sa.Column("experiment", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("create_time", sa.Double, nullable=False),
        sa.Column("update_time", sa.Double, nullable=False),
        sa.ForeignKeyConstraint(
            ["tensorboard", "experiment"], ["tensorboard_experiments.tensorboard", "tensorboard_experiments.id"]
        ),
    )


def _tensorboard_series() -> None:
    op.create_table(
        "tensorboard_series",
        sa.Column("tensorboard", sa.Text, primary_key=True),
        sa.Column("experiment", sa.Text, primary_key=True),
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("value_type", sa.Text, nullable=False),
        sa.Column("plugin_name", sa.Text, nullable=False),
        sa.Column("create_time", sa.Double, nullable=False),
        sa.Column("update_time", sa.Double, nullable=False),
        sa.UniqueConstraint("tensorboard", "experiment", "run", "display_name"),
        sa.ForeignKeyConstraint(
            ["tensorboard", "experiment", "run"],
            ["tensorboard_runs.tensorboard", "tensorboard_runs.experiment", "tensorboard_runs.id"],
        ),
    )


def _tensorboard_points() -> None:
    op.create_table(
        "tensorboard_points",
        sa.Column("tensorboard", sa.Text, primary_key=True),
        sa.Column("experiment", sa.Text, primary_key=True),
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("series", sa.Text, primary_key=True),
        sa.Column("step", sa.BigInteger, primary_key=True),
        sa.Column("wall_time", sa.Double, nullable=False),
        sa.Column("value", sa.Double, nullable=False),
    )
