"""Names and states as Vertex spells them."""

from __future__ import annotations

import re

import pytest

from tunesmith import catalog, resources
from tunesmith.engine import metrics
from tunesmith.errors import InvalidArgument
from tunesmith.resources import JobName, ModelName

LONG = "projects/p/locations/us-central1"


@pytest.mark.parametrize("name", [JobName("p-1", "us-central1", "tune-1"), JobName("a.b:c", "europe-west4", "x" * 128)])
def test_job_name_survives_its_text(name: JobName) -> None:
    assert resources.parse_job_name(str(name)) == name


def test_model_name_survives_its_text() -> None:
    name = ModelName("p", "us-central1", "1234567890123456789")
    assert str(name) == f"{LONG}/models/1234567890123456789"
    assert resources.parse_model_name(str(name)) == name


@pytest.mark.parametrize("version", ["@1", "@default", "@golden-1"])
def test_version_behind_a_model_name_is_left_off(version: str) -> None:
    assert resources.parse_model_name(f"{LONG}/models/7{version}") == ModelName("p", "us-central1", "7")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "7",
        "models/7",
        f"{LONG}/models/",
        f"{LONG}/models/seven",
        f"{LONG}/models/7/versions/1",
        f"{LONG}/models/../7",
        f"{LONG}/models/7\n",
        f"{LONG}/pipelineJobs/7",
        "projects/P/locations/us-central1/models/7",
        "projects/p/locations/us central1/models/7",
    ],
)
def test_what_is_not_a_models_name_is_refused_with_its_text(name: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(repr(name))):
        resources.parse_model_name(name)


@pytest.mark.parametrize("name", [f"{LONG}/pipelineJobs/Tune", f"{LONG}/models/7", f"{LONG}/pipelineJobs/{'x' * 129}"])
def test_what_is_not_a_jobs_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="pipelineJobs/ID"):
        resources.parse_job_name(name)


def test_states_that_have_ended_lead_nowhere_but_a_failed_job_back_to_the_queue() -> None:
    leads = {state: set(resources.JOB_TRANSITIONS[state]) for state in resources.ENDED}
    assert leads == {"SUCCEEDED": set(), "CANCELLED": set(), "FAILED": {"QUEUED"}}


def test_cancelling_job_can_only_end() -> None:
    assert resources.JOB_TRANSITIONS["CANCELLING"] == resources.ENDED


def test_every_state_is_reached_from_the_queue() -> None:
    reached, new = {"QUEUED"}, {"QUEUED"}
    while new:
        new = {after for state in new for after in resources.JOB_TRANSITIONS[state]} - reached
        reached |= new
    assert reached == set(resources.JOB_TRANSITIONS)


def test_only_a_cancelling_job_becomes_cancelled() -> None:
    assert {s for s, after in resources.JOB_TRANSITIONS.items() if "CANCELLED" in after} == {"CANCELLING"}


def test_keys_of_two_projects_jobs_never_meet() -> None:
    pairs = [("local", "job"), ("p", "job"), ("p.q", "job"), ("p", "q-job"), ("local.p", "job")]
    assert len({resources.job_key(*pair) for pair in pairs}) == len(pairs)
    assert resources.job_key("local", "job") == "job"


def test_new_job_id_is_one_that_is_accepted() -> None:
    job_id = resources.new_job_id(86_399.5, "3f9a")
    assert job_id == "tune-19700101235959-3f9a"
    assert resources.check_job_id(job_id) == job_id


def test_model_id_is_the_same_for_the_same_job_and_another_for_any_other() -> None:
    ids = [resources.model_id("job", 5.0), resources.model_id("job", 5.0)]
    others = [resources.model_id("job", 6.0), resources.model_id("job-2", 5.0)]
    assert ids[0] == ids[1]
    assert len({*ids, *others}) == 3
    assert all(re.fullmatch(r"[1-9][0-9]{18}", i) for i in ids + others)


@pytest.mark.parametrize(
    ("reference", "label"),
    [
        ("code-bison@002", "code-bison-002"),
        ("codechat-bison@001", "codechat-bison-001"),
        ("code-bison-32k@002", "code-bison-32k-002"),
        ("code-bison", "code-bison-002"),
        ("code-bison-32k", "code-bison-32k-002"),
    ],
)
def test_label_is_what_the_sdk_turns_back_into_the_models_id(reference: str, label: str) -> None:
    assert reference in catalog.REFERENCE_MODELS
    assert resources.base_model_label("smollm2-135m-instruct", reference) == label
    name, _, version = label.rpartition("-")
    assert f"{name}@{version}" in catalog.REFERENCE_MODELS


@pytest.mark.parametrize("base", ["smollm2-135m-instruct", "hf:Org/Name-1.5B", "/very/long" * 20, *catalog.BASE_MODELS])
def test_label_of_any_base_model_is_a_legal_value(base: str) -> None:
    assert re.fullmatch(r"[a-z0-9_-]{1,63}", resources.base_model_label(base, ""))


def test_the_metrics_that_clients_see_are_those_that_a_run_writes() -> None:
    assert (*resources.TRAINING_METRICS, *resources.EVALUATION_METRICS) == metrics.TAGS


@pytest.mark.parametrize(
    "name",
    [
        "projects/p/locations/us-central1/tensorboards/12",
        "projects/p/locations/us-central1/tensorboards/12/experiments/e",
        "projects/p/locations/us-central1/tensorboards/12/experiments/e/runs/r",
        "projects/p/locations/us-central1/tensorboards/12/experiments/e/runs/r/timeSeries/s",
    ],
)
def test_a_board_path_is_written_as_it_was_read(name: str) -> None:
    path = resources.parse_board_path(name)
    assert str(path) == name
    assert str(path.parent.below(path.id)) == name


@pytest.mark.parametrize(
    "name", ["12", "projects/p/locations/l/tensorboards/x", "projects/p/locations/l/tensorboards/1/runs/r", ""]
)
def test_what_is_no_board_path_is_refused_by_field(name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        resources.parse_board_path(name, "timeSeries")
    assert caught.value.violations[0].field == "timeSeries"
