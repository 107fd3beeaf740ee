"""The store against a real database: what is created once, whose writes count, what each request leads to.

On SQLite, and with `--database postgresql` (`make postgresql`) on a PostgreSQL server.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from making import make_plan, make_store
from tunesmith import filters, pipeline, resources
from tunesmith.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from tunesmith.store import Asked, Claim, Ending, Job, Model, Store, database, tables
from tunesmith.store.listing import Query
from tunesmith.store.models import Uploaded

SUCCEEDED = Ending("succeeded")
CRASHED = Ending("failed", {"status": "UNAVAILABLE", "message": "killed", "details": {}}, retryable=True)
BUG = Ending("failed", {"status": "INTERNAL", "message": "a bug", "details": {}})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path)


def create(store: Store, job_id: str = "job", now_s: float = 1.0, **fields: object) -> Job:
    return store.create_job(make_plan(**fields), job_id=job_id, now_s=now_s)


def claim(store: Store, now_s: float = 2.0, worker: str = "w", **named: object) -> Claim:
    found = store.claim(worker, now_s=now_s, lease_s=10.0, **named)
    assert found is not None
    store.started(found, f"handle-{found.task}-{found.attempt}", now_s=now_s)
    return found


def run_through(store: Store, upto: str = pipeline.UPLOAD) -> Claim:
    """Succeeds in every task before `upto`; the claim of that one."""
    while (found := claim(store)).task != upto:
        store.settle(found, SUCCEEDED, now_s=3.0)
    return found


def register(store: Store, of_last: Claim) -> Model:
    return store.register_model(of_last, labels={"a": "b"}, lineage={"x": 1}, metrics={"loss": 0.5}, now_s=4.0)


# Creating.


def test_new_job_is_queued_and_its_first_task_pending(store: Store) -> None:
    job = create(store)
    assert (job.state, job.wanted, job.create_time, job.start_time) == ("QUEUED", "run", 1.0, None)
    assert [t.state for t in job.tasks] == ["PENDING", "NOT_TRIGGERED", "NOT_TRIGGERED", "NOT_TRIGGERED"]
    assert job.plan == make_plan()


def test_same_id_and_same_spec_is_the_same_job(store: Store) -> None:
    assert create(store, now_s=1.0) == create(store, now_s=99.0)
    assert len(store.jobs()) == 1


def test_default_spelled_out_is_the_same_spec(store: Store) -> None:
    assert create(store) == create(store, seed=0)


def test_same_id_and_another_spec_is_refused(store: Store) -> None:
    create(store)
    with pytest.raises(AlreadyExists, match="job job of project local exists"):
        create(store, train_steps=7)


def test_same_id_in_two_projects_is_two_jobs(store: Store) -> None:
    first, second = create(store, project="one"), create(store, project="two")
    assert first.id != second.id
    assert (first.name, second.name) == (
        "projects/one/locations/us-central1/pipelineJobs/job",
        "projects/two/locations/us-central1/pipelineJobs/job",
    )
    assert store.job(resources.job_key("one", "job")) == first


def test_jobs_without_an_id_get_different_ones_in_the_same_second(store: Store) -> None:
    made = {store.create_job(make_plan(), now_s=5.0).id for _ in range(20)}
    assert len(made) == 20


@pytest.mark.parametrize("bad", ["Job", "1job", "a/b", "a" * 129, "j\u043eb", "../x", "a.b"])
def test_id_that_vertex_would_refuse_is_refused(store: Store, bad: str) -> None:
    with pytest.raises(InvalidArgument, match="pipelineJobId"):
        create(store, bad)
    assert store.jobs() == []


def test_unknown_job_is_named_in_the_error(store: Store) -> None:
    with pytest.raises(NotFound, match="no job is called nothing"):
        store.job("nothing")


def test_jobs_are_listed_newest_first(store: Store) -> None:
    for name in ("first", "second", "third"):
        create(store, name)
    assert [j.id for j in store.jobs()] == ["third", "second", "first"]


LABELLED: dict[str, dict[str, str]] = {
    "red-1": {"team": "red", "run": "1"},
    "blue-2": {"team": "blue", "run": "2"},
    "blue-3": {"team": "Blue%", "run": "3"},
    "bare": {},
    "other": {"run": "red"},
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('labels.team="red"', {"red-1"}),
        ('labels.team="Red"', set()),
        ('labels.team!="red"', {"blue-2", "blue-3", "bare", "other"}),
        ("labels.team:*", {"red-1", "blue-2", "blue-3"}),
        ("NOT labels.team:*", {"bare", "other"}),
        ('labels.team:"blu"', {"blue-2", "blue-3"}),
        ('labels.team:"%"', {"blue-3"}),
        ('labels.run<"2"', {"red-1"}),
        ('labels.run>="2"', {"blue-2", "blue-3", "other"}),
        ('-labels.team="red" AND labels.run:*', {"blue-2", "blue-3", "other"}),
        ('labels.team="red" OR labels.run="red"', {"red-1", "other"}),
        ('labels.nothing="red"', set()),
    ],
)
def test_jobs_are_found_by_their_labels(store: Store, text: str, found: set[str]) -> None:
    for job_id, labels in LABELLED.items():
        store.create_job(make_plan(), job_id=job_id, asked=Asked(request={"labels": labels}))
    where = filters.parse(text, lambda field, value: value)
    pages = [store.list_jobs("local", "us-central1", Query(limit, where)) for limit in (10, 1)]
    assert {job.job_id for job in pages[0].rows} == found
    assert [job.job_id for job in pages[1].rows] == [job.job_id for job in pages[0].rows][:1]


def test_jobs_are_ordered_by_a_label_and_those_without_it_come_first(store: Store) -> None:
    for job_id, labels in LABELLED.items():
        store.create_job(make_plan(), job_id=job_id, asked=Asked(request={"labels": labels}))
    query = Query(2, order=[("labels.run", False)])
    ordered = []
    while True:
        page = store.list_jobs("local", "us-central1", query)
        ordered += [job.job_id for job in page.rows]
        if not page.next_position:
            break
        query = replace(query, position=page.next_position)
    assert ordered == ["bare", "red-1", "blue-2", "blue-3", "other"]


def test_deleted_job_leaves_no_label_to_a_later_one(store: Store) -> None:
    asked = Asked(request={"labels": {"team": "red"}})
    store.create_job(make_plan(), job_id="job", asked=asked)
    store.request_cancel("job")
    store.delete_jobs(["job"])
    store.create_job(make_plan(), job_id="job")
    where = filters.parse('labels.team="red"', lambda field, value: value)
    assert store.list_jobs("local", "us-central1", Query(10, where)).rows == []


def test_job_is_the_same_after_reopening(tmp_path: Path) -> None:
    job = create(make_store(tmp_path))
    assert make_store(tmp_path).job("job") == job


# Claiming.


def test_claim_begins_a_new_attempt_of_the_oldest_job(store: Store) -> None:
    create(store, "old")
    create(store, "new")
    found = store.claim("w", now_s=2.0, lease_s=10.0)
    assert found == Claim("old", pipeline.VALIDATE, 1, "w", None)
    assert store.job("old").state == "PENDING"


def test_started_task_makes_its_job_running(store: Store) -> None:
    create(store)
    claim(store, now_s=5.0)
    job = store.job("job")
    assert (job.state, job.start_time) == ("RUNNING", 5.0)
    assert job.task(pipeline.VALIDATE).handle == "handle-validate-dataset-1"


def test_claimed_task_is_nobody_elses(store: Store) -> None:
    create(store)
    claim(store)
    assert store.claim("other", now_s=3.0, lease_s=10.0) is None


def test_only_job_leaves_other_jobs_alone(store: Store) -> None:
    create(store, "other")
    create(store, "mine")
    assert claim(store, only_job="mine").job == "mine"
    assert store.claim("w", now_s=3.0, lease_s=10.0, only_job="mine") is None


def test_attempt_with_an_expired_lease_is_taken_over_as_the_same_attempt(store: Store) -> None:
    create(store)
    claim(store, now_s=2.0)
    assert store.claim("other", now_s=11.0, lease_s=10.0) is None
    taken = store.claim("other", now_s=12.5, lease_s=10.0)
    assert taken == Claim("job", pipeline.VALIDATE, 1, "other", "handle-validate-dataset-1")


def test_attempt_of_a_dead_worker_is_taken_over_at_once(store: Store) -> None:
    create(store)
    claim(store, now_s=2.0, worker="dead")
    taken = store.claim("other", now_s=2.1, lease_s=10.0, dead=["dead"])
    assert taken is not None
    assert taken.attempt == 1


def test_heartbeat_renews_the_lease(store: Store) -> None:
    create(store)
    store.heartbeat(claim(store, now_s=2.0), now_s=11.0, lease_s=10.0)
    assert store.claim("other", now_s=20.0, lease_s=10.0) is None
    assert store.claim("other", now_s=22.0, lease_s=10.0) is not None


def test_lease_written_before_the_clock_was_put_back_does_not_last_for_hours(store: Store) -> None:
    create(store)
    claim(store, now_s=10_000.0)
    assert store.claim("other", now_s=6_400.0, lease_s=10.0) is not None


# Whose writes count.


@pytest.fixture
def given_away(store: Store) -> Claim:
    """A claim whose attempt another worker has taken over."""
    create(store)
    mine = claim(store, now_s=2.0)
    assert store.claim("other", now_s=50.0, lease_s=10.0) is not None
    return mine


def test_heartbeat_of_a_given_away_attempt_is_refused(store: Store, given_away: Claim) -> None:
    with pytest.raises(Aborted, match="not this worker's any more"):
        store.heartbeat(given_away, now_s=51.0, lease_s=10.0)


def test_result_of_a_given_away_attempt_is_refused(store: Store, given_away: Claim) -> None:
    before = store.job("job"), store.events("job")
    with pytest.raises(Aborted):
        store.settle(given_away, SUCCEEDED, now_s=51.0)
    assert (store.job("job"), store.events("job")) == before


def test_result_of_an_earlier_attempt_is_refused(store: Store) -> None:
    create(store)
    first = claim(store)
    store.settle(first, CRASHED, now_s=3.0)
    second = claim(store)
    assert second.attempt == 2
    with pytest.raises(Aborted):
        store.settle(first, SUCCEEDED, now_s=4.0)
    assert store.job("job").task(pipeline.VALIDATE).state == "RUNNING"


def test_attempt_is_settled_once(store: Store) -> None:
    create(store)
    mine = claim(store)
    store.settle(mine, SUCCEEDED, now_s=3.0)
    with pytest.raises(Aborted):
        store.settle(mine, BUG, now_s=4.0)
    assert store.job("job").state == "RUNNING"


def test_model_of_a_given_away_attempt_is_not_registered(store: Store) -> None:
    create(store)
    mine = run_through(store)
    assert store.claim("other", now_s=50.0, lease_s=10.0) is not None
    with pytest.raises(Aborted):
        register(store, mine)
    assert store.models() == []
    assert store.job("job").model is None


# What follows.


def test_job_with_all_tasks_done_succeeds_with_one_model(store: Store) -> None:
    created = create(store)
    model = register(store, run_through(store))
    job = store.job("job")
    assert (job.state, job.model, job.end_time) == ("SUCCEEDED", model.name, 4.0)
    assert {t.state for t in job.tasks} == {"SUCCEEDED"}
    assert store.models() == [model]
    assert model.name == store.model_name(created)
    assert model.folder == store.model_folder(created)
    assert (model.labels, model.lineage, model.metrics, model.job) == ({"a": "b"}, {"x": 1}, {"loss": 0.5}, "job")


def test_second_model_of_a_job_is_impossible(store: Store) -> None:
    create(store)
    register(store, run_through(store))
    with store._writing() as connection:
        row = dict(connection.execute(sa.select(tables.model_versions)).mappings().one()) | {"version_id": "2"}
        with pytest.raises(sa.exc.IntegrityError, match="model_versions"):
            connection.execute(sa.insert(tables.model_versions).values(row))
    assert len(store.models()) == 1


def test_retryable_failure_is_tried_again_as_the_next_attempt(store: Store) -> None:
    create(store)
    job = store.settle(claim(store), CRASHED, now_s=3.0)
    assert job.state == "RUNNING"
    assert job.task(pipeline.VALIDATE).state == "PENDING"
    assert claim(store).attempt == 2


def test_last_failure_ends_the_job_with_every_reason(store: Store) -> None:
    create(store)
    for number in range(1, pipeline.MAX_ATTEMPTS + 1):
        error = {"status": "UNAVAILABLE", "message": f"reason {number}", "details": {}}
        job = store.settle(claim(store), Ending("failed", error, retryable=True), now_s=3.0)
    assert job.state == "FAILED"
    assert job.error is not None
    assert all(f"reason {number}" in job.error["message"] for number in (1, 2, 3))


def test_attempt_that_got_further_than_all_before_is_a_first_one_again(store: Store) -> None:
    create(store)
    store.settle(claim(store), SUCCEEDED, now_s=3.0)
    for step in (5, 5, 6, 6, 7, 7):
        ending = Ending(CRASHED.outcome, CRASHED.error, retryable=True, step=step)
        assert store.settle(claim(store), ending, now_s=3.0).state == "RUNNING"
    assert store.settle(claim(store), ending, now_s=3.0).state == "FAILED"


def test_interruption_is_not_counted_as_a_failure(store: Store) -> None:
    create(store)
    for _ in range(10):
        ending = Ending(CRASHED.outcome, CRASHED.error, retryable=True, counts=False)
        assert store.settle(claim(store), ending, now_s=3.0).state == "RUNNING"


def test_failure_that_is_not_retryable_ends_the_job(store: Store) -> None:
    create(store)
    job = store.settle(claim(store), BUG, now_s=3.0)
    assert (job.state, job.end_time) == ("FAILED", 3.0)
    assert [t.state for t in job.tasks][:2] == ["FAILED", "NOT_TRIGGERED"]
    assert store.claim("w", now_s=9.0, lease_s=10.0) is None


# Requests.


def test_cancel_of_a_waiting_job_is_done_at_once(store: Store) -> None:
    create(store)
    job = store.request_cancel("job", now_s=2.0)
    assert (job.state, job.end_time) == ("CANCELLED", 2.0)
    assert store.claim("w", now_s=3.0, lease_s=10.0) is None


def test_cancel_of_a_running_job_waits_for_its_worker(store: Store) -> None:
    create(store)
    mine = claim(store)
    assert (store.request_cancel("job").state, store.job("job").wanted) == ("CANCELLING", "cancel")
    job = store.settle(mine, Ending("cancelled"), now_s=5.0)
    assert job.state == "CANCELLED"
    assert job.error is not None
    assert job.error["status"] == "CANCELLED"


def test_cancel_keeps_the_next_task_from_beginning(store: Store) -> None:
    create(store)
    mine = claim(store)
    store.request_cancel("job")
    job = store.settle(mine, SUCCEEDED, now_s=5.0)
    assert job.state == "CANCELLED"
    assert [t.state for t in job.tasks][:2] == ["SUCCEEDED", "NOT_TRIGGERED"]


def test_cancel_that_comes_too_late_leaves_a_success(store: Store) -> None:
    create(store)
    last = run_through(store)
    store.request_cancel("job")
    model = register(store, last)
    assert (store.job("job").state, store.job("job").model) == ("SUCCEEDED", model.name)


@pytest.mark.parametrize("request_", ["request_cancel", "request_pause"])
def test_request_to_a_job_that_has_ended_is_refused(store: Store, request_: str) -> None:
    create(store)
    register(store, run_through(store))
    with pytest.raises(FailedPrecondition, match="SUCCEEDED"):
        getattr(store, request_)("job")


def test_pause_of_a_running_job_waits_for_its_worker_and_resumes_the_same_task(store: Store) -> None:
    create(store)
    mine = claim(store)
    assert store.request_pause("job").state == "RUNNING"
    assert store.settle(mine, Ending("paused"), now_s=5.0).state == "PAUSED"
    assert store.claim("w", now_s=6.0, lease_s=10.0) is None
    assert store.resume_job("job").state == "QUEUED"
    again = claim(store)
    assert (again.task, again.attempt) == (mine.task, 2)


def test_pause_between_two_tasks_resumes_with_the_next(store: Store) -> None:
    create(store)
    mine = claim(store)
    store.request_pause("job")
    assert store.settle(mine, SUCCEEDED, now_s=5.0).state == "PAUSED"
    store.resume_job("job")
    assert claim(store).task == pipeline.TUNE


def test_resume_takes_back_a_pause_that_is_under_way(store: Store) -> None:
    create(store)
    mine = claim(store)
    store.request_pause("job")
    assert store.resume_job("job").wanted == "run"
    assert store.settle(mine, SUCCEEDED, now_s=5.0).state == "RUNNING"


def test_failed_job_resumes_with_all_its_tries(store: Store) -> None:
    create(store)
    store.settle(claim(store), SUCCEEDED, now_s=3.0)
    for _ in range(pipeline.MAX_ATTEMPTS):
        store.settle(claim(store), CRASHED, now_s=3.0)
    assert store.job("job").state == "FAILED"
    job = store.resume_job("job")
    assert (job.state, job.error, job.end_time) == ("QUEUED", None, None)
    again = claim(store)
    assert (again.task, again.attempt) == (pipeline.TUNE, 4)
    assert store.settle(again, CRASHED, now_s=3.0).state == "RUNNING"


def test_cancelled_job_stays_cancelled(store: Store) -> None:
    create(store)
    store.request_cancel("job")
    with pytest.raises(FailedPrecondition, match="start a new job"):
        store.resume_job("job")


# Models.


def test_model_is_found_by_name_by_name_with_version_and_by_id(store: Store) -> None:
    create(store)
    model = register(store, run_through(store))
    number = model.name.rpartition("/")[2]
    assert store.model(model.name) == store.model(f"{model.name}@1") == store.model(number) == model


def test_model_of_another_project_is_not_found_by_its_number(store: Store) -> None:
    create(store)
    model = register(store, run_through(store))
    with pytest.raises(NotFound):
        store.model(model.name.replace("projects/local", "projects/other"))


def test_deleted_model_is_gone_with_its_files(store: Store) -> None:
    create(store)
    model = register(store, run_through(store))
    model.folder.mkdir(parents=True)
    (model.folder / "adapter.safetensors").write_bytes(b"x")
    assert store.delete_model(model.name) == model
    assert store.models() == []
    assert not model.folder.parent.exists()
    with pytest.raises(NotFound):
        store.model(model.name)


# The database.


def test_idle_means_that_nothing_runs_and_nothing_may_begin(store: Store) -> None:
    assert store.is_idle()
    create(store)
    assert not store.is_idle()
    mine = claim(store)
    assert not store.is_idle()
    store.request_pause("job")
    store.settle(mine, Ending("paused"), now_s=3.0)
    assert store.is_idle()


def test_every_change_of_a_state_has_its_event(store: Store) -> None:
    create(store)
    register(store, run_through(store))
    events = store.events("job")
    assert [e.state for e in events if e.task is None] == ["QUEUED", "PENDING", "RUNNING", "SUCCEEDED"]
    assert [e.state for e in events if e.task == pipeline.TUNE] == ["PENDING", "RUNNING", "SUCCEEDED"]
    assert store.events("job", after=events[-2].number) == events[-1:]


def test_migrations_make_the_tables_that_the_code_describes(store: Store) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    with store._reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []


def test_jobs_and_models_of_before_are_tuning_jobs_and_have_one_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "SCHEMA", "0002")
    before = make_store(tmp_path)
    plan = json.dumps(make_plan().model_dump(mode="json"))
    request = json.dumps({"labels": {"team": "x"}})
    job = ("job", "local", "us-central1", "job", "j", "QUEUED", "run", plan, request, "b", "GPU", 0, 1.0, 1.0)
    names = "id project location job_id display_name state wanted plan request body_sha256 pool units"
    columns = [*names.split(), "create_time", "update_time"]
    with before._writing() as connection:
        marks = ", ".join(f":{name}" for name in columns)
        insert = sa.text(f"INSERT INTO jobs ({', '.join(columns)}) VALUES ({marks})")
        connection.execute(insert, dict(zip(columns, job, strict=True)))
        insert = "INSERT INTO models VALUES ('7', 'local', 'us-central1', 'm', '', '{}', 1.0, 1.0)"
        connection.execute(sa.text(insert))
    before.close()
    monkeypatch.undo()
    store = make_store(tmp_path)
    assert (store.job("job").kind, store.job("job").plan) == ("tuning", make_plan())
    with store._reading() as open_connection:
        assert open_connection.execute(sa.select(tables.job_labels)).all() == [(1, "team", "x")]
        assert open_connection.execute(sa.select(tables.models.c.last_version)).scalar_one() == 1
    store.close()


def test_database_of_a_later_version_is_refused(tmp_path: Path) -> None:
    with make_store(tmp_path)._writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(FailedPrecondition, match="later Tunesmith"):
        make_store(tmp_path)


def test_write_that_another_process_holds_up_too_long_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.01)
    store, holder = make_store(tmp_path), make_store(tmp_path)
    with holder._writing(), pytest.raises(Unavailable, match="does not answer"):
        create(store)
    assert store.jobs() == []
    create(store)


def test_transaction_that_reads_sees_one_moment(tmp_path: Path) -> None:
    reader, writer = make_store(tmp_path), make_store(tmp_path)
    count = sa.select(sa.func.count()).select_from(tables.jobs)
    with reader._reading() as connection:
        before = connection.execute(count).scalar_one()
        create(writer)
        assert connection.execute(count).scalar_one() == before == 0
    assert len(reader.jobs()) == 1


def test_transaction_that_reads_waits_for_no_writer(tmp_path: Path) -> None:
    reader, writer = make_store(tmp_path), make_store(tmp_path)
    create(writer)
    with writer._writing() as connection:
        connection.execute(sa.update(tables.jobs).values(display_name="changed"))
        assert reader.job("job").display_name != "changed"


def test_failed_transaction_leaves_nothing(store: Store) -> None:
    create(store)
    before = store.job("job"), store.events("job")
    with contextlib.suppress(ZeroDivisionError), store._writing() as connection:
        connection.execute(sa.update(tables.jobs).values(state="SUCCEEDED"))
        _ = 1 / 0
    assert (store.job("job"), store.events("job")) == before


def test_a_query_that_is_wrong_is_no_database_that_is_away(store: Store) -> None:
    with pytest.raises(Internal, match="does not understand this code"), store._reading() as connection:
        connection.exec_driver_sql("SELECT nothing FROM nowhere")


def test_files_of_a_model_that_takes_a_deleted_ones_id_meanwhile_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(tmp_path)

    def upload() -> Model:
        staging = tmp_path / "models" / ".staging"
        staging.mkdir(parents=True)
        (staging / "weights").touch()
        name = resources.ModelName("local", "us-central1", "7")
        return store.add_uploaded(Uploaded(name, "m", "", {}, [], "b", {}, staging))

    first = upload()
    removing = store._remove

    def upload_first(folder: Path, taken: sa.Select[Any]) -> None:
        upload()
        removing(folder, taken)

    monkeypatch.setattr(store, "_remove", upload_first)
    store.delete_model(first.name)
    assert (store.model(first.name).folder / "weights").exists()
    monkeypatch.undo()
    store.delete_model(first.name)
    assert list((tmp_path / "models").iterdir()) == []
