"""The database over time: every schema that was ever written becomes today's, and nothing in it is lost.

On SQLite, and with `--database postgresql` on a PostgreSQL server.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from database_server import settings_for
from making import make_plan, make_store
from tunesmith import filters
from tunesmith.errors import Internal
from tunesmith.store import Store, database, tables
from tunesmith.store.listing import Query


def opened_at(home: Path, schema: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store as the code of that schema left it."""
    with monkeypatch.context() as patch:
        patch.setattr(database, "SCHEMA", schema)
        store = Store(settings_for(home), lambda: 1.0)
        store.migrate()
    return store


FIRST = {
    "jobs": {
        "id": "job",
        "project": "local",
        "location": "us-central1",
        "job_id": "job",
        "display_name": "d",
        "state": "SUCCEEDED",
        "wanted": "run",
        "plan": make_plan().model_dump(mode="json"),
        "body_sha256": "x",
        "create_time": 1.0,
        "end_time": 2.0,
        "update_time": 2.0,
    },
    "models": {
        "id": "7",
        "project": "local",
        "location": "us-central1",
        "version_id": "1",
        "job": 1,
        "display_name": "m",
        "base_model": "b",
        "labels": {"a": "b"},
        "lineage": {"x": 1},
        "metrics": {"loss": 0.5},
        "create_time": 3.0,
    },
}


def test_jobs_and_models_of_the_first_schema_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = opened_at(tmp_path, "0001", monkeypatch)
    with old._writing() as connection:
        for name, row in FIRST.items():
            types = [sa.column(key, sa.JSON if isinstance(value, dict) else None) for key, value in row.items()]
            connection.execute(sa.insert(sa.table(name, *types)).values(row))
    old.close()
    store = make_store(tmp_path)
    job = store.job("job")
    assert (job.state, job.plan, job.request, job.pool, job.units) == ("SUCCEEDED", make_plan(), {}, "GPU", 0)
    model = store.model("7@default")
    assert (model.job, model.version_id, model.aliases) == ("job", "1", ("default",))
    assert (model.labels, model.lineage, model.metrics, model.create_time) == ({"a": "b"}, {"x": 1}, {"loss": 0.5}, 3.0)


def test_labels_of_jobs_of_an_earlier_schema_are_still_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = opened_at(tmp_path, "0004", monkeypatch)
    row = FIRST["jobs"] | {"kind": "tuning", "pool": "GPU", "units": 0}
    labelled = {"labelled": {"team": "a", "run": "7"}, "bare": None, "other": {"team": "b"}}
    with old._writing() as connection:
        for job_id, labels in labelled.items():
            values = row | {"id": job_id, "job_id": job_id, "labels": labels}
            json = sa.JSON(none_as_null=True)
            types = [sa.column(k, json if k in ("plan", "labels") else None) for k in values]
            connection.execute(sa.insert(sa.table("jobs", *types)).values(values))
    old.close()
    store = make_store(tmp_path)
    where = filters.parse('labels.team="a" AND labels.run="7"', lambda field, value: value)
    page = store.list_jobs("local", "us-central1", Query(10, where))
    assert [job.job_id for job in page.rows] == ["labelled"]


def test_old_database_and_new_one_have_the_same_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    opened_at(tmp_path / "old", "0001", monkeypatch).close()
    for home in (tmp_path / "old", tmp_path / "new"):
        with make_store(home)._reading() as connection:
            assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []


def test_migration_that_fails_leaves_the_old_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = opened_at(tmp_path, "0001", monkeypatch)
    with old._writing() as connection:
        connection.execute(sa.text("CREATE TABLE endpoints (id TEXT)"))  # 0002 makes one: it fails half-way
    old.close()
    with pytest.raises(Internal, match="endpoints"), old._writing() as connection:
        database._upgrade(connection)
    with old._reading() as connection:
        names = set(sa.inspect(connection).get_table_names())
        assert {"jobs", "models", "endpoints"} <= names
        assert not names & {"models_0001", "model_versions", "keys"}
        assert database._schema(connection) == "0001"
