"""The tables of the store, as the newest migration leaves them. Times are seconds since 1970, UTC."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

# One row a job. `id` is its key in this installation, `job_id` what its client called it, `request` what of its body
# is only given back; `kind` says what its plan is. A job that has begun holds `units` devices of its `pool` until it
# comes to rest.
jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("location", sa.Text, nullable=False),
    sa.Column("job_id", sa.Text, nullable=False),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("wanted", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("body_sha256", sa.Text, nullable=False),
    sa.Column("request", sa.JSON(none_as_null=True)),
    sa.Column("owner", sa.Text, nullable=False, server_default=""),
    sa.Column("pool", sa.Text, nullable=False),
    sa.Column("units", sa.Integer, nullable=False),
    sa.Column("error", sa.JSON(none_as_null=True)),
    sa.Column("model", sa.Text),
    sa.Column("create_time", sa.Double, nullable=False),
    sa.Column("start_time", sa.Double),
    sa.Column("end_time", sa.Double),
    sa.Column("update_time", sa.Double, nullable=False),
    sa.UniqueConstraint("project", "job_id"),
    sa.Index("jobs_by_state", "state", "sequence"),
    sa.Index("jobs_by_project", "project", "location", "sequence"),
    sa.Index("jobs_by_create_time", "project", "location", "create_time", "sequence"),
)

job_labels = sa.Table(
    "job_labels",
    metadata,
    sa.Column("job", sa.Integer, sa.ForeignKey("jobs.sequence"), primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.Index("job_labels_by_value", "key", "value", "job"),
)

# One row a task of a job. `attempt` counts all tries and names their folders, `tries` those since it last got on.
tasks = sa.Table(
    "tasks",
    metadata,
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
    sa.Index("tasks_by_state", "state", "job", "position"),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("task", sa.Integer, sa.ForeignKey("tasks.number"), primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("worker", sa.Text, nullable=False),
    sa.Column("start_time", sa.Double, nullable=False),
    sa.Column("end_time", sa.Double),
    sa.Column("outcome", sa.Text),
    sa.Column("error", sa.JSON(none_as_null=True)),
    sa.Column("step", sa.Integer),
)

# A model and its versions. A version is never edited, and its number never given again; `default` is an alias that one
# of them always has.
models = sa.Table(
    "models",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("location", sa.Text, nullable=False),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("last_version", sa.Integer, nullable=False),
    sa.Column("create_time", sa.Double, nullable=False),
    sa.Column("update_time", sa.Double, nullable=False),
    sa.Index("models_by_project", "project", "location", "create_time"),
)

model_versions = sa.Table(
    "model_versions",
    metadata,
    sa.Column("model", sa.Text, sa.ForeignKey("models.id"), primary_key=True),
    sa.Column("version_id", sa.Text, primary_key=True),
    sa.Column("job", sa.Integer, sa.ForeignKey("jobs.sequence"), unique=True),
    sa.Column("base_model", sa.Text, nullable=False),
    sa.Column("lineage", sa.JSON, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("create_time", sa.Double, nullable=False),
)

model_aliases = sa.Table(
    "model_aliases",
    metadata,
    sa.Column("model", sa.Text, sa.ForeignKey("models.id"), primary_key=True),
    sa.Column("alias", sa.Text, primary_key=True),
    sa.Column("version_id", sa.Text, nullable=False),
)

# `traffic_split`: id of a deployed model -> percent.
endpoints = sa.Table(
    "endpoints",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("location", sa.Text, nullable=False),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("traffic_split", sa.JSON, nullable=False),
    sa.Column("kms_key_name", sa.Text),
    sa.Column("create_time", sa.Double, nullable=False),
    sa.Column("update_time", sa.Double, nullable=False),
    sa.Index("endpoints_by_project", "project", "location", "create_time"),
)

# `request` is what of the client's DeployedModel is only given back.
deployed_models = sa.Table(
    "deployed_models",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("endpoint", sa.Text, sa.ForeignKey("endpoints.id"), nullable=False),
    sa.Column("model", sa.Text, sa.ForeignKey("models.id"), nullable=False),
    sa.Column("version_id", sa.Text, nullable=False),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("request", sa.JSON, nullable=False),
    sa.Column("create_time", sa.Double, nullable=False),
    sa.Index("deployed_models_by_endpoint", "endpoint"),
    sa.Index("deployed_models_by_model", "model"),
)

# One row a serving process that is wanted, or was: a base model's, or that of a model whose every weight was tuned.
servers = sa.Table(
    "servers",
    metadata,
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

# Long-running operations; all of ours are done when they are written down.
operations = sa.Table(
    "operations",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("metadata", sa.JSON, nullable=False),
    sa.Column("response", sa.JSON, nullable=False),
    sa.Column("create_time", sa.Double, nullable=False),
)

# Bearer keys, by the hash of their secret. A null project: all of them.
keys = sa.Table(
    "keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("sha256", sa.Text, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("project", sa.Text),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("create_time", sa.Double, nullable=False),
    sa.Column("last_use_time", sa.Double),
    sa.Column("revoke_time", sa.Double),
)

# TensorBoard resources: tensorboard > experiment > run > time series > points. Below an experiment with a `job` there
# are no points: they are in the job's metrics files, as far as it has got.
tensorboards = sa.Table(
    "tensorboards",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("location", sa.Text, nullable=False),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("kms_key_name", sa.Text),
    sa.Column("create_time", sa.Double, nullable=False),
    sa.Column("update_time", sa.Double, nullable=False),
    sa.Index("tensorboards_by_project", "project", "location", "create_time"),
)

tensorboard_experiments = sa.Table(
    "tensorboard_experiments",
    metadata,
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

tensorboard_runs = sa.Table(
    "tensorboard_runs",
    metadata,
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

tensorboard_series = sa.Table(
    "tensorboard_series",
    metadata,
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

tensorboard_points = sa.Table(
    "tensorboard_points",
    metadata,
    sa.Column("tensorboard", sa.Text, primary_key=True),
    sa.Column("experiment", sa.Text, primary_key=True),
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("series", sa.Text, primary_key=True),
    sa.Column("step", sa.BigInteger, primary_key=True),
    sa.Column("wall_time", sa.Double, nullable=False),
    sa.Column("value", sa.Double, nullable=False),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("job", sa.Integer, sa.ForeignKey("jobs.sequence"), nullable=False),
    sa.Column("time", sa.Double, nullable=False),
    sa.Column("task", sa.Text),
    sa.Column("attempt", sa.Integer),
    sa.Column("state_before", sa.Text),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Index("events_by_job", "job", "number"),
)
