"""TensorBoard resources in the store: what lies in what, whose experiment it is, points that are written twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from making import make_plan, make_store
from tunesmith import filters, resources
from tunesmith.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from tunesmith.resources import BoardPath
from tunesmith.store import Asked, Job, NewPart, Point, Query, Store, tables

BOARD = BoardPath("p", "us-central1", "1")
RUN = BOARD.below("e").below("r")
LOSS = RUN.below("loss")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = make_store(tmp_path)
    found.create_board_parts([NewPart(BOARD, "board")], now_s=1.0)
    return found


def fill(store: Store) -> None:
    parts = [NewPart(LOSS.parent.parent, "e"), NewPart(RUN, "r"), NewPart(LOSS, "/loss", plugin_name="scalars")]
    store.create_board_parts(parts, now_s=2.0)


def create_job(store: Store, tensorboard: str = "1", **fields: object) -> Job:
    plan = make_plan(project="p", location="us-central1", display_name="my model", **fields)
    asked = Asked(location="us-central1", tensorboard=tensorboard, request={})
    return store.create_job(plan, job_id="job", asked=asked, now_s=3.0)


def rows_below_boards(store: Store) -> int:
    with store._reading() as connection:
        below = [t for t in tables.metadata.tables.values() if t.name.startswith("tensorboard_")]
        return sum(len(connection.execute(table.select()).all()) for table in below)


def names(store: Store, parent: BoardPath) -> list[str]:
    return [part.display_name for part in store.list_board_parts(parent, Query(100)).rows]


# What lies in what.


def test_parts_that_are_made_together_are_all_made_or_none(store: Store) -> None:
    with pytest.raises(AlreadyExists):
        store.create_board_parts([NewPart(BOARD.below("e"), "e"), NewPart(BOARD.below("e"), "again")])
    assert names(store, BOARD) == []


def test_nothing_is_made_in_what_is_not_there(store: Store) -> None:
    with pytest.raises(NotFound, match="experiments/e does not exist"):
        store.create_board_parts([NewPart(RUN, "r")])


@pytest.mark.parametrize("path", [RUN._replace(run="r2"), LOSS._replace(series="loss2")])
def test_a_display_name_of_a_run_or_series_is_taken_once(store: Store, path: BoardPath) -> None:
    fill(store)
    taken = store.board_part(RUN if path.series == "" else LOSS).display_name
    with pytest.raises(AlreadyExists, match="already"):
        store.create_board_parts([NewPart(path, taken)])


def test_a_run_is_not_renamed_to_the_name_of_another(store: Store) -> None:
    fill(store)
    store.create_board_parts([NewPart(BOARD.below("e").below("other"), "other")])
    with pytest.raises(AlreadyExists):
        store.update_board_part(RUN, {"display_name": "other"})
    assert store.update_board_part(RUN, {"display_name": "r", "description": "d"}).description == "d"


def test_a_path_through_another_project_or_region_leads_nowhere(store: Store) -> None:
    fill(store)
    for elsewhere in (LOSS._replace(project="q"), LOSS._replace(location="europe-west4")):
        with pytest.raises(NotFound):
            store.board_part(elsewhere)
        with pytest.raises(NotFound):
            store.points(elsewhere)
        with pytest.raises(NotFound):
            store.write_points({elsewhere: [Point(1, 1.0, 1.0)]})
        with pytest.raises(NotFound):
            store.delete_board_part(elsewhere)


def test_a_tensorboard_takes_all_that_lies_in_it_with_it(store: Store) -> None:
    fill(store)
    store.write_points({LOSS: [Point(1, 1.0, 2.0)]})
    store.create_board_parts([NewPart(BOARD._replace(tensorboard="2"), "stays")])
    store.delete_board_part(BOARD)
    assert rows_below_boards(store) == 0
    assert names(store, BoardPath("p", "us-central1")) == ["stays"]


def test_a_run_that_is_deleted_leaves_its_sisters(store: Store) -> None:
    fill(store)
    sister = BOARD.below("e").below("s")
    store.create_board_parts([NewPart(sister, "s"), NewPart(sister.below("loss"), "/loss")])
    store.write_points({LOSS: [Point(1, 1.0, 2.0)], sister.below("loss"): [Point(1, 1.0, 3.0)]})
    store.delete_board_part(RUN)
    assert names(store, BOARD.below("e")) == ["s"]
    assert store.points(sister.below("loss")) == [Point(1, 1.0, 3.0)]


def test_runs_of_a_tensorboard_are_counted(store: Store) -> None:
    fill(store)
    assert store.board_part(BOARD).run_count == 1


def test_a_change_with_an_old_etag_is_refused(store: Store) -> None:
    first = store.board_part(BOARD).etag
    changed = store.update_board_part(BOARD, {"description": "d"}, etag=first, now_s=5.0)
    with pytest.raises(Aborted):
        store.update_board_part(BOARD, {"description": "late"}, etag=first)
    assert store.board_part(BOARD) == changed


def test_a_list_is_filtered_and_continued_where_it_stopped(store: Store) -> None:
    parent = BOARD.below("e")
    store.create_board_parts([NewPart(parent, "e")])
    for number in range(5):
        part = NewPart(parent.below(f"r{number}"), f"run {number}", labels={"odd": str(number % 2)})
        store.create_board_parts([part], now_s=float(number))
    where = filters.parse('labels.odd="0"', lambda _, text: text)
    page = store.list_board_parts(parent, Query(2, where))
    rest = store.list_board_parts(parent, Query(2, where, position=page.next_position))
    assert [[p.display_name for p in found.rows] for found in (page, rest)] == [["run 4", "run 2"], ["run 0"]]
    assert list(rest.next_position) == []


# Points.


def test_a_step_that_is_written_again_has_the_later_value(store: Store) -> None:
    fill(store)
    store.write_points({LOSS: [Point(2, 1.0, 5.0), Point(1, 1.0, 6.0)]})
    store.write_points({LOSS: [Point(2, 2.0, 4.0)]})
    store.write_points({LOSS: [Point(2, 2.0, 4.0), Point(3, 3.0, 1.0), Point(3, 3.0, 0.0)]})
    assert store.points(LOSS) == [Point(1, 1.0, 6.0), Point(2, 2.0, 4.0), Point(3, 3.0, 0.0)]
    assert store.board_part(LOSS).max_step == 3


def test_points_for_a_series_that_is_not_there_leave_the_others_unwritten(store: Store) -> None:
    fill(store)
    with pytest.raises(NotFound):
        store.write_points({LOSS: [Point(1, 1.0, 1.0)], RUN.below("none"): [Point(1, 1.0, 1.0)]})
    assert store.points(LOSS) == []


def test_steps_beyond_what_one_statement_takes_are_written_once(store: Store) -> None:
    fill(store)
    many = [Point(step, 1.0, float(step)) for step in range(-600, 700)]
    for _ in range(2):
        store.write_points({LOSS: many})
    assert store.points(LOSS) == many


# A job's.


def test_a_job_with_a_tensorboard_gets_an_experiment_with_what_it_will_measure(store: Store) -> None:
    create_job(store, evaluation_data="/data/evaluation.jsonl")
    experiment = store.board_part(BOARD.below("job"))
    assert (experiment.display_name, experiment.job) == ("my model", "p.job")
    assert experiment.source == "projects/p/locations/us-central1/pipelineJobs/job"
    run = experiment.path.below("tune")
    wanted = {f"/{name}" for name in resources.TRAINING_METRICS + resources.EVALUATION_METRICS}
    assert set(names(store, run)) == wanted


def test_a_job_without_evaluation_data_has_no_series_for_it(store: Store) -> None:
    """S71."""
    create_job(store)
    run = BOARD.below("job").below("tune")
    assert set(names(store, run)) == {f"/{name}" for name in resources.TRAINING_METRICS}


def test_a_job_for_a_tensorboard_that_is_not_there_is_not_made(store: Store) -> None:
    with pytest.raises(InvalidArgument) as caught:
        create_job(store, tensorboard="999")
    assert [v.field for v in caught.value.violations] == ["runtimeConfig.parameterValues.tensorboard_resource_id"]
    assert "projects/p/locations/us-central1/tensorboards/999" in caught.value.message
    assert store.jobs() == []


def test_a_job_does_not_take_over_an_experiment_of_its_name(store: Store) -> None:
    store.create_board_parts([NewPart(BOARD.below("job"), "mine")])
    with pytest.raises(InvalidArgument, match="choose another id"):
        create_job(store)
    assert store.jobs() == []


def test_the_same_job_asked_for_again_has_one_experiment(store: Store) -> None:
    assert create_job(store) == create_job(store)
    assert names(store, BOARD) == ["my model"]


def test_nobody_else_writes_to_a_jobs_experiment(store: Store) -> None:
    create_job(store)
    run = BOARD.below("job").below("tune")
    [series, *_] = store.list_board_parts(run, Query(10)).rows
    for change in (
        lambda: store.write_points({series.path: [Point(1, 1.0, 1.0)]}),
        lambda: store.create_board_parts([NewPart(run.below("mine"), "mine")]),
        lambda: store.create_board_parts([NewPart(BOARD.below("job").below("mine"), "mine")]),
        lambda: store.update_board_part(run, {"display_name": "mine"}),
        lambda: store.delete_board_part(series.path),
    ):
        with pytest.raises(FailedPrecondition, match=r"belongs to job p\.job"):
            change()


@pytest.mark.parametrize("path", [BOARD, BOARD.below("job")])
def test_what_a_job_writes_to_is_deleted_after_its_end_only(store: Store, path: BoardPath) -> None:
    job = create_job(store)
    with pytest.raises(FailedPrecondition, match="job job writes, which is QUEUED"):
        store.delete_board_part(path)
    store.request_cancel(job.id)
    store.delete_board_part(path)
    assert rows_below_boards(store) == 0
    assert store.job(job.id).state == "CANCELLED"


def test_a_job_that_is_deleted_takes_its_experiment_with_it(store: Store) -> None:
    job = create_job(store)
    store.request_cancel(job.id)
    store.delete_jobs([job.id])
    assert rows_below_boards(store) == 0
    assert store.board_part(BOARD).display_name == "board"


def test_series_of_jobs_are_not_among_those_that_clients_wrote(store: Store) -> None:
    create_job(store)
    fill(store)
    assert store.board_series("p") == []
    store.write_points({LOSS: [Point(1, 1.0, 1.0)]})
    assert [part.path for part in store.board_series("p")] == [LOSS]
    assert [part.path for part in store.board_series(None)] == [LOSS]
    assert store.board_series("q") == []


# Passes.


def test_a_pass_stands_for_its_key_in_its_place_until_its_time(store: Store) -> None:
    made = store.create_key("k", "p", "viewer")
    text = store.make_pass(made.secret, "/here", 100.0)
    assert text is not None
    found = store.key_of_pass(text, "/here", now_s=99.0)
    assert found is not None
    assert found.id == made.key.id
    assert store.key_of_pass(text, "/there", now_s=99.0) is None
    assert store.key_of_pass(text, "/here", now_s=100.0) is None
    assert made.secret not in text


def test_a_pass_ends_with_its_key(store: Store) -> None:
    made = store.create_key("k", "p", "viewer")
    text = store.make_pass(made.secret, "/here", 100.0)
    assert text is not None
    store.revoke_key(made.key.id)
    assert store.key_of_pass(text, "/here", now_s=1.0) is None
    assert store.make_pass(made.secret, "/here", 100.0) is None


def test_a_pass_is_not_prolonged_or_made_by_hand(store: Store) -> None:
    made = store.create_key("k", "p", "viewer")
    text = store.make_pass(made.secret, "/here", 100.0)
    assert text is not None
    key_id, until, seal = text.split(".")
    for forged in (
        f"{key_id}.999.{seal}",
        f"{key_id}.{until}.",
        f"{key_id}.{until}",
        "",
        "..",
        "a.b.c",
        f"{text}\u00e9",
    ):
        assert store.key_of_pass(forged, "/here", now_s=1.0) is None
