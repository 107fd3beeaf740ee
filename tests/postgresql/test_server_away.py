"""PostgreSQL that dies, breaks connections, loses a client or takes no writes: what callers are told, and recovery."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from database_server import Server, settings_for, url_for
from faults.house import House, assert_history_is_legal, assert_one_whole_model
from faults.slow_task import Behaviour
from making import make_plan, make_store
from tunesmith.api.app import create_app
from tunesmith.errors import Unavailable
from tunesmith.store import Store, database, open_store


def execute(home: Path, statement: str) -> None:
    """By a connection of its own, as an administrator would."""
    with psycopg.connect(url_for(home), autocommit=True) as connection:
        connection.execute(statement)


def test_server_that_is_gone_is_unavailable_and_the_same_store_recovers(postgresql: Server, store: Store) -> None:
    store.create_job(make_plan(), job_id="before")
    postgresql.stop()
    with pytest.raises(Unavailable, match="does not answer"):
        store.jobs()
    with pytest.raises(Unavailable, match="does not answer"):
        store.create_job(make_plan(), job_id="meanwhile")
    assert not store.is_answering()
    postgresql.start()
    assert store.is_answering()
    assert [job.id for job in store.jobs()] == ["before"]
    store.create_job(make_plan(), job_id="after")


def test_connection_that_was_broken_meanwhile_is_not_noticed(store: Store, tmp_path: Path) -> None:
    store.create_job(make_plan(), job_id="job")
    execute(tmp_path, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    assert [job.id for job in store.jobs()] == ["job"]
    store.create_job(make_plan(), job_id="other")


def test_application_says_that_it_is_not_ready_while_the_server_is_gone(postgresql: Server, tmp_path: Path) -> None:
    jobs = "/v1/projects/p/locations/us-central1/pipelineJobs"
    with TestClient(create_app(settings_for(tmp_path)), base_url="http://127.0.0.1") as client:
        assert client.get("/readyz").status_code == 200
        postgresql.stop()
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 503
        answer = client.get(jobs)
        assert (answer.status_code, answer.json()["error"]["status"]) == (503, "UNAVAILABLE")
        assert answer.headers["Retry-After"] == "1"
        postgresql.start()
        assert client.get("/readyz").status_code == 200
        assert client.get(jobs).json() == {}


def test_password_is_in_no_message(store: Store, postgresql: Server, tmp_path: Path) -> None:
    url = url_for(tmp_path).replace("tunesmith@", "tunesmith:geheim@")
    known = open_store(dataclasses.replace(settings_for(tmp_path), database_url=url))
    postgresql.stop()
    with pytest.raises(Unavailable) as refused:
        known.jobs()
    assert "geheim" not in str(refused.value)
    assert "***" in str(refused.value)


def test_writer_that_freezes_is_put_out_so_that_others_go_on(
    postgresql: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "HELD_LIMIT_S", 0.3)
    frozen, other = make_store(tmp_path), make_store(tmp_path)

    def freeze() -> None:
        with frozen._writing() as connection:
            other.create_job(make_plan(), job_id="other")  # waits until the frozen one is put out
            connection.execute(sa.select(1))

    with pytest.raises(Unavailable, match="idle-in-transaction"):
        freeze()
    assert [job.id for job in frozen.jobs()] == ["other"]


def test_database_that_takes_no_writes_is_unavailable_until_it_does(store: Store, tmp_path: Path) -> None:
    change = "'ALTER DATABASE %I SET default_transaction_read_only = on', current_database()"
    execute(tmp_path, f"DO $$ BEGIN EXECUTE format({change}); END $$")
    execute(tmp_path, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    with pytest.raises(Unavailable, match="read-only"):
        store.create_job(make_plan(), job_id="job")
    assert store.jobs() == []


def test_more_threads_than_connections_wait_for_their_turn(
    postgresql: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "POOL_SIZE", 1)
    monkeypatch.setattr(database, "MAX_OVERFLOW", 1)
    store = make_store(tmp_path)
    made = [
        threading.Thread(target=store.create_job, args=(make_plan(),), kwargs={"job_id": f"job-{n}"}) for n in range(20)
    ]
    for thread in made:
        thread.start()
    for thread in made:
        thread.join()
    assert len(store.jobs()) == 20


def test_database_that_is_away_for_longer_than_a_lease_starts_nothing_twice(postgresql: Server, tmp_path: Path) -> None:
    house = House(tmp_path)
    try:
        house.add_job(behaviour=Behaviour(steps=300))
        house.add_worker(BUSY_TIMEOUT_S="0.05")
        house.add_worker(BUSY_TIMEOUT_S="0.05")
        house.wait_for_step(3)
        postgresql.stop()
        time.sleep(3.0)  # the stand-in worker's lease is 2 s
        postgresql.start()
        house.wait_for_end()
        assert "does not answer" in (tmp_path / "workers.log").read_text()
        assert_one_whole_model(house, steps=300)
        assert [t.attempt for t in house.job().tasks] == [1, 1, 1, 1]
        assert_history_is_legal(house.store, "job")
    finally:
        house.close()
