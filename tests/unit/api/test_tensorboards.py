"""TensorBoard resources through the application: made, listed, changed, written, read; a job's own experiment."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from making import make_plan
from tunesmith import folder, pipeline, resources
from tunesmith.api.app import create_app
from tunesmith.api.wire import Listing
from tunesmith.folder import AttemptFolder, JobFolder
from tunesmith.settings import Settings
from tunesmith.store import Asked, Claim, Ending, Job, Store

PARENT = "/v1/projects/p/locations/us-central1"
JOB = {
    "templateUri": "https://us-kfp.pkg.dev/ml-pipeline/large-language-model-pipelines/tune-large-model/v3.0.0",
    "runtimeConfig": {
        "parameterValues": {
            "model_display_name": "m",
            "dataset_uri": "gs://bucket/train.jsonl",
            "large_model_reference": "code-bison@002",
            "location": "us-central1",
        }
    },
}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(tmp_path)), base_url="http://127.0.0.1") as found:
        yield found


@pytest.fixture
def store(client: TestClient) -> Store:
    found: Store = client.app.state.store  # type: ignore[attr-defined]
    return found


def good(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def violations(answer: Any) -> dict[str, str]:
    assert answer.status_code == 400, answer.text
    details = answer.json()["error"]["details"]
    return {v["field"]: v["description"] for d in details for v in d["fieldViolations"]}


def refused(answer: Any, status: str) -> str:
    assert answer.json()["error"]["status"] == status, answer.text
    message: str = answer.json()["error"]["message"]
    return message


def make_board(client: TestClient, **body: Any) -> str:
    """The path of a new tensorboard."""
    made = good(client.post(f"{PARENT}/tensorboards", json={"displayName": "board", **body}))
    return "/v1/" + made["response"]["name"]


def make_run(client: TestClient, board: str) -> str:
    good(client.post(f"{board}/experiments?tensorboardExperimentId=e", json={"displayName": "e"}))
    return (
        "/v1/" + good(client.post(f"{board}/experiments/e/runs?tensorboardRunId=r", json={"displayName": "r"}))["name"]
    )


def make_series(client: TestClient, run: str, name: str = "loss") -> str:
    body = {"displayName": f"/{name}", "valueType": 1, "pluginName": "scalars"}
    return "/v1/" + good(client.post(f"{run}/timeSeries?tensorboardTimeSeriesId={name}", json=body))["name"]


def written(client: TestClient, run: str, points: dict[int, float], name: str = "loss") -> None:
    values = [
        {"wallTime": "2026-11-24T02:35:48.850Z", "step": str(step), "scalar": {"value": value}}
        for step, value in points.items()
    ]
    data = {"tensorboardTimeSeriesId": name, "valueType": 1, "values": values}
    assert good(client.post(f"{run}:write", json={"timeSeriesData": [data]})) == {}


def steps(data: Any) -> list[int]:
    return [int(value["step"]) for value in data["timeSeriesData"].get("values", [])]


def start_job(store: Store, board: str, **fields: Any) -> tuple[Job, AttemptFolder]:
    """A job that has begun to tune into that tensorboard, and the folder of its first attempt."""
    plan = make_plan(project="p", location="us-central1", display_name="m", **fields)
    asked = Asked(location="us-central1", tensorboard=board.rpartition("/")[2], request={})
    job = store.create_job(plan, job_id="job", asked=asked)
    now_s = store._now(None)
    while (claim := store.claim("w", now_s=now_s, lease_s=10.0, only_job=job.id)) is not None:
        store.started(claim, "h", now_s=now_s)
        if claim.task == pipeline.TUNE:
            break
        store.settle(claim, Ending("succeeded"), now_s=now_s)
    return job, attempt(store, job, 1)


def attempt(store: Store, job: Job, number: int) -> AttemptFolder:
    return JobFolder(store._models_folder.parent / "jobs" / job.id).attempt(pipeline.TUNE, number).create()


def measured(of: AttemptFolder, first: int, last: int, loss: float) -> None:
    for step in range(first, last + 1):
        folder.append_jsonl(of.metrics, {"step": step, "wall_time": 1000.0 + step, "train_total_loss": loss})


def losses(client: TestClient, board: str) -> list[tuple[int, float]]:
    name = f"{board}/experiments/job/runs/tune/timeSeries/train-total-loss".removeprefix("/v1/")
    [data] = good(client.get(f"{board}:batchRead", params={"timeSeries": name}))["timeSeriesData"]
    return [(int(value["step"]), value["scalar"]["value"]) for value in data.get("values", [])]


def again(store: Store, job: Job) -> Claim:
    """The job's tuning is killed, and begun a second time."""
    now_s = store._now(None) + 60.0
    lost = store.claim("w2", now_s=now_s, lease_s=10.0, only_job=job.id)
    assert lost is not None
    killed = {"status": "UNAVAILABLE", "message": "killed", "details": {}}
    store.settle(lost, Ending("failed", killed, retryable=True), now_s=now_s)
    claim = store.claim("w2", now_s=now_s, lease_s=1e6, only_job=job.id)
    assert claim is not None
    store.started(claim, "h2", now_s=now_s)
    return claim


# Tensorboards.


def test_a_tensorboard_is_made_changed_and_deleted_by_operations_of_the_right_kind(client: TestClient) -> None:
    made = good(client.post(f"{PARENT}/tensorboards", json={"displayName": "a", "labels": {"k": "v"}}))
    path = "/v1/" + made["response"]["name"]
    changed = good(client.patch(f"{path}?updateMask=displayName", json={"displayName": "b", "description": "not this"}))
    deleted = good(client.delete(path))
    prefix = "type.googleapis.com/google.cloud.aiplatform.v1."
    kinds = [done["metadata"]["@type"].removeprefix(prefix) for done in (made, changed, deleted)]
    assert kinds == [
        "CreateTensorboardOperationMetadata",
        "UpdateTensorboardOperationMetadata",
        "DeleteOperationMetadata",
    ]
    assert made["response"]["@type"] == changed["response"]["@type"] == f"{prefix}Tensorboard"
    assert (changed["response"]["displayName"], "description" in changed["response"]) == ("b", False)
    assert good(client.get(f"/ui/{made['name']}"))["done"] is True
    assert client.get(path).status_code == 404


def test_tensorboards_are_listed_by_filter_and_page(client: TestClient) -> None:
    for name in ("one", "two", "three"):
        make_board(client, displayName=name, labels={"team": "x" if name != "two" else "y"})
    asked = {"filter": 'labels.team="x"', "orderBy": "display_name", "pageSize": 1, "readMask": "displayName"}
    first = good(client.get(f"{PARENT}/tensorboards", params=asked))
    second = good(client.get(f"{PARENT}/tensorboards", params={**asked, "pageToken": first["nextPageToken"]}))
    assert [first["tensorboards"], second["tensorboards"]] == [[{"displayName": "one"}], [{"displayName": "three"}]]
    assert "nextPageToken" not in second


def test_the_beta_address_is_the_same(client: TestClient) -> None:
    board = make_board(client)
    assert good(client.get(board.replace("/v1/", "/v1beta1/"))) == good(client.get(board))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "displayName"),
        ({"displayName": "x" * 129}, "displayName"),
        ({"displayName": "x", "description": "x" * 8193}, "description"),
        ({"displayName": "x", "labels": {"No": "y"}}, "labels"),
        ({"displayName": "x", "encryptionSpec": {}}, "encryptionSpec.kmsKeyName"),
        ({"displayName": "x", "isDefault": True}, "isDefault"),
        ({"displayName": "x", "desription": "d"}, "desription"),
    ],
)
def test_a_tensorboard_that_cannot_be_as_asked_is_refused_by_field(
    client: TestClient, body: dict[str, Any], field: str
) -> None:
    assert list(violations(client.post(f"{PARENT}/tensorboards", json=body))) == [field]
    assert good(client.get(f"{PARENT}/tensorboards")) == {}


def test_a_customers_key_is_given_back(client: TestClient) -> None:
    key = {"encryptionSpec": {"kmsKeyName": "projects/p/locations/l/keyRings/r/cryptoKeys/k"}}
    for kind in ("tensorboards", "endpoints"):
        made = good(client.post(f"{PARENT}/{kind}", json={"displayName": "x", **key}))["response"]
        assert made["encryptionSpec"] == key["encryptionSpec"]
        assert good(client.get(f"/v1/{made['name']}"))["encryptionSpec"] == key["encryptionSpec"]


def test_what_cannot_be_changed_is_not_in_a_mask(client: TestClient) -> None:
    board = make_board(client)
    series = make_series(client, make_run(client, board))
    assert (
        "value_type" in violations(client.patch(f"{series}?updateMask=valueType", json={"valueType": 1}))["updateMask"]
    )
    assert "updateMask" in violations(client.patch(board, json={}))
    assert "displayName" in violations(client.patch(f"{board}?updateMask=displayName", json={}))


# What lies in one.


def test_experiments_runs_and_series_are_listed_changed_and_deleted(client: TestClient) -> None:
    board = make_board(client)
    run = make_run(client, board)
    series = make_series(client, run)
    for path, field in (
        (f"{board}/experiments/e", "tensorboardExperiments"),
        (run, "tensorboardRuns"),
        (series, "tensorboardTimeSeries"),
    ):
        changed = good(client.patch(f"{path}?updateMask=description", json={"description": "new"}))
        assert good(client.get(path)) == changed
        assert good(client.get(path.rpartition("/")[0]))[field] == [changed]
    for path in (series, run, f"{board}/experiments/e"):
        assert good(client.delete(path))["metadata"]["@type"].endswith(".DeleteOperationMetadata")
        assert client.get(path).status_code == 404


@pytest.mark.parametrize("part_id", ["", "Upper", "-first", "a_b", "x" * 129, "a/b"])
def test_an_id_that_a_name_cannot_hold_is_refused(client: TestClient, part_id: str) -> None:
    board = make_board(client)
    answer = client.post(f"{board}/experiments", params={"tensorboardExperimentId": part_id}, json={})
    assert list(violations(answer)) == ["tensorboardExperimentId"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"valueType": 1}, "displayName"),
        ({"displayName": "x"}, "valueType"),
        ({"displayName": "x", "valueType": "TENSOR"}, "valueType"),
        ({"displayName": "x", "valueType": 3}, "valueType"),
        ({"displayName": "x", "valueType": 9}, "valueType"),
        ({"displayName": "x", "valueType": 1, "pluginData": "AAAA"}, "pluginData"),
    ],
)
def test_a_series_that_cannot_be_kept_is_refused_by_field(client: TestClient, body: dict[str, Any], field: str) -> None:
    run = make_run(client, make_board(client))
    assert list(violations(client.post(f"{run}/timeSeries", json=body))) == [field]


def test_runs_and_series_are_made_in_batches(client: TestClient) -> None:
    board = make_board(client)
    make_run(client, board)
    experiment = f"{board}/experiments/e"
    name = experiment.removeprefix("/v1/")
    requests = [
        {"parent": name, "tensorboardRun": {"displayName": f"n{i}"}, "tensorboardRunId": f"n{i}"} for i in range(2)
    ]
    made = good(client.post(f"{experiment}/runs:batchCreate", json={"parent": name, "requests": requests}))
    assert [run["displayName"] for run in made["tensorboardRuns"]] == ["n0", "n1"]
    series = {"displayName": "/loss", "valueType": "SCALAR"}
    asked = [{"parent": f"{name}/runs/{run}", "tensorboardTimeSeries": series} for run in ("n0", "n1")]
    both = good(client.post(f"{experiment}:batchCreate", json={"requests": asked}))["tensorboardTimeSeries"]
    assert [one["name"].split("/")[9] for one in both] == ["n0", "n1"]


def test_a_batch_for_another_parent_is_refused_whole(client: TestClient) -> None:
    board, other = make_board(client), make_board(client)
    make_run(client, board)
    make_run(client, other)
    asked = [
        {
            "parent": f"{b}/experiments/e".removeprefix("/v1/"),
            "tensorboardRun": {"displayName": "n"},
            "tensorboardRunId": "n",
        }
        for b in (board, other)
    ]
    answer = client.post(f"{board}/experiments/e/runs:batchCreate", json={"requests": asked})
    assert list(violations(answer)) == ["requests.1.parent"]
    assert len(good(client.get(f"{board}/experiments/e/runs"))["tensorboardRuns"]) == 1


# Points.


def test_points_are_read_as_they_were_written(client: TestClient) -> None:
    board = make_board(client)
    run = make_run(client, board)
    series = make_series(client, run)
    written(client, run, {1: 1.5, 0: 2.0})
    [data] = good(client.get(f"{board}:batchRead", params={"timeSeries": series.removeprefix("/v1/")}))[
        "timeSeriesData"
    ]
    assert (data["tensorboardTimeSeriesId"], data["valueType"]) == ("loss", "SCALAR")
    assert data["values"][1] == {"wallTime": "2026-11-24T02:35:48.850000Z", "step": "1", "scalar": {"value": 1.5}}
    assert good(client.get(series))["metadata"] == {"maxStep": "1", "maxWallTime": "2026-11-24T02:35:48.850000Z"}


def test_a_zero_that_a_client_leaves_out_is_a_zero(client: TestClient) -> None:
    """Google's clients leave out what has its default value."""
    run = make_run(client, make_board(client))
    series = make_series(client, run)
    data = {"tensorboardTimeSeriesId": "loss", "values": [{"scalar": {}}]}
    good(client.post(f"{run}:write", json={"timeSeriesData": [data]}))
    [value] = good(client.get(f"{series}:read"))["timeSeriesData"]["values"]
    assert (value["step"], value["scalar"]) == ("0", {"value": 0.0})


def test_points_of_several_runs_are_written_at_once(client: TestClient) -> None:
    board = make_board(client)
    run = make_run(client, board)
    series = make_series(client, run)
    data = {"tensorboardTimeSeriesId": "loss", "values": [{"step": "7", "scalar": {"value": 1}}]}
    number = resources.project_number("p")
    name = run.removeprefix("/v1/").replace("projects/p/", f"projects/{number}/")
    body = {"writeRunDataRequests": [{"tensorboardRun": name, "timeSeriesData": [data]}]}
    assert good(client.post(f"{board}/experiments/e:write", json=body)) == {}
    assert steps(good(client.get(f"{series}:read"))) == [7]


@pytest.mark.parametrize(
    ("point", "field"),
    [
        ({"step": "1"}, "timeSeriesData.0.values.0.scalar"),
        ({"step": "1", "tensor": {"value": "AA"}}, "timeSeriesData.0.values.0.scalar"),
        ({"step": "1.5", "scalar": {"value": 1}}, "timeSeriesData.0.values.0.step"),
        ({"step": str(2**63), "scalar": {"value": 1}}, "timeSeriesData.0.values.0.step"),
        ({"step": "1", "scalar": {"value": "NaN"}}, "timeSeriesData.0.values.0.scalar.value"),
        ({"step": "1", "scalar": {"value": 1}, "wallTime": "yesterday"}, "timeSeriesData.0.values.0.wallTime"),
        (
            {"step": "1", "scalar": {"value": 1}, "wallTime": "2026-11-24T02:35:48"},
            "timeSeriesData.0.values.0.wallTime",
        ),
    ],
)
def test_a_point_that_cannot_be_kept_is_refused_by_place(client: TestClient, point: dict[str, Any], field: str) -> None:
    run = make_run(client, make_board(client))
    series = make_series(client, run)
    good_one = {"tensorboardTimeSeriesId": "loss", "values": [{"step": "1", "scalar": {"value": 1}}]}
    data = {"tensorboardTimeSeriesId": "loss", "values": [point]}
    assert list(violations(client.post(f"{run}:write", json={"timeSeriesData": [data, good_one]}))) == [field]
    assert steps(good(client.get(f"{series}:read"))) == []


def test_more_points_than_a_request_may_have_are_refused(client: TestClient) -> None:
    run = make_run(client, make_board(client))
    make_series(client, run)
    values = [{"step": step, "scalar": {"value": 1}} for step in range(5001)]
    body = {"timeSeriesData": [{"tensorboardTimeSeriesId": "loss", "values": values}]}
    assert "5,000" in violations(client.post(f"{run}:write", json=body))["timeSeriesData"]


def test_a_long_series_is_thinned_evenly_and_keeps_its_end(client: TestClient) -> None:
    board = make_board(client)
    run = make_run(client, board)
    series = make_series(client, run)
    written(client, run, dict.fromkeys(range(1, 2501), 1.0))
    assert steps(good(client.get(f"{series}:read?maxDataPoints=5"))) == [500, 1000, 1500, 2000, 2500]
    assert len(steps(good(client.get(f"{series}:read")))) == 1000
    assert len(steps(good(client.get(f"{series}:read?maxDataPoints=-1")))) == 2500
    assert "maxDataPoints" in violations(client.get(f"{series}:read?maxDataPoints=10001"))


def test_points_are_filtered_by_step(client: TestClient) -> None:
    run = make_run(client, make_board(client))
    series = make_series(client, run)
    written(client, run, dict.fromkeys(range(10), 1.0))
    asked = {"filter": "step >= 3 AND step < 7 AND NOT step = 5"}
    assert steps(good(client.get(f"{series}:read", params=asked))) == [3, 4, 6]
    assert "loss" in violations(client.get(f"{series}:read", params={"filter": "loss > 1"}))["filter"]


def test_a_series_is_exported_page_by_page_while_it_grows(client: TestClient) -> None:
    run = make_run(client, make_board(client))
    series = make_series(client, run)
    written(client, run, dict.fromkeys(range(5), 1.0))
    asked: dict[str, Any] = {"pageSize": 2, "orderBy": "step desc", "filter": "step < 100"}
    seen: list[str] = []
    for _ in range(4):
        page = good(client.post(f"{series}:exportTensorboardTimeSeries", json=asked))
        seen += [point["step"] for point in page["timeSeriesDataPoints"]]
        written(client, run, {50: 1.0})
        if "nextPageToken" not in page:
            break
        asked["pageToken"] = page["nextPageToken"]
    assert seen == ["4", "3", "2", "1", "0"]
    assert "pageToken" in violations(client.post(f"{series}:exportTensorboardTimeSeries", json={**asked, "filter": ""}))


def test_a_series_of_another_tensorboard_is_not_read_through_this_one(client: TestClient) -> None:
    board, other = make_board(client), make_board(client)
    series = make_series(client, make_run(client, other)).removeprefix("/v1/")
    assert "timeSeries" in violations(client.get(f"{board}:batchRead", params={"timeSeries": series}))
    assert "timeSeries" in violations(client.get(f"{board}:batchRead"))


# A job's experiment.


def test_a_job_names_its_tensorboard_by_id_or_by_full_name(client: TestClient, store: Store) -> None:
    board = make_board(client)
    full = board.removeprefix("/v1/")
    by_number = full.replace("projects/p/", f"projects/{resources.project_number('p')}/")
    for number, said in enumerate((full.rpartition("/")[2], full, by_number)):
        body = json.loads(json.dumps(JOB))
        body["runtimeConfig"]["parameterValues"]["tensorboard_resource_id"] = said
        good(client.post(f"{PARENT}/pipelineJobs?pipelineJobId=job-{number}", json=body))
    experiments = good(client.get(f"{board}/experiments"))["tensorboardExperiments"]
    assert [e["name"].rpartition("/")[2] for e in experiments] == ["job-2", "job-1", "job-0"]
    assert experiments[0]["displayName"] == "m"


@pytest.mark.parametrize(
    "said",
    [
        "999",
        "not-an-id",
        "projects/p/locations/us-central1/tensorboards/",
        "projects/p/locations/us-central1/tensorboards/999",
        "projects/p/locations/europe-west4/tensorboards/{id}",
        "projects/q/locations/us-central1/tensorboards/{id}",
    ],
)
def test_a_tensorboard_that_the_job_cannot_write_to_is_refused_by_field(client: TestClient, said: str) -> None:
    body = json.loads(json.dumps(JOB))
    said = said.replace("{id}", make_board(client).rpartition("/")[2])
    body["runtimeConfig"]["parameterValues"]["tensorboard_resource_id"] = said
    wrong = violations(client.post(f"{PARENT}/pipelineJobs?pipelineJobId=job", json=body))
    assert list(wrong) == ["runtimeConfig.parameterValues.tensorboard_resource_id"]
    assert said.rpartition("/")[2] in wrong["runtimeConfig.parameterValues.tensorboard_resource_id"]
    assert good(client.get(f"{PARENT}/pipelineJobs")) == {}


def test_what_a_job_has_measured_is_read_while_it_runs(client: TestClient, store: Store) -> None:
    board = make_board(client)
    _, first = start_job(store, board)
    assert losses(client, board) == []
    measured(first, 1, 2, 0.5)
    assert losses(client, board) == [(1, 0.5), (2, 0.5)]
    measured(first, 3, 3, 0.25)
    assert losses(client, board)[-1] == (3, 0.25)
    series = good(client.get(f"{board}/experiments/job/runs/tune/timeSeries"))["tensorboardTimeSeries"]
    assert {one["displayName"]: one.get("metadata", {}).get("maxStep") for one in series} == {
        "/train_total_loss": "3",
        "/train_fraction_of_correct_next_step_preds": None,
        "/train_num_predictions": None,
    }


def test_an_attempt_that_resumes_neither_loses_nor_doubles_a_step(client: TestClient, store: Store) -> None:
    board = make_board(client)
    job, first = start_job(store, board)
    measured(first, 1, 6, 0.5)
    with open(first.metrics, "ab") as file:
        file.write(b'{"step": 7, "wall')  # what a kill leaves
    again(store, job)
    assert [step for step, _ in losses(client, board)] == [1, 2, 3, 4, 5, 6]
    second = attempt(store, job, 2)
    measured(second, 1, 4, 0.5)
    measured(second, 5, 5, 0.25)
    assert losses(client, board) == [(1, 0.5), (2, 0.5), (3, 0.5), (4, 0.5), (5, 0.25), (6, 0.5)]
    measured(second, 6, 8, 0.25)
    assert losses(client, board)[4:] == [(5, 0.25), (6, 0.25), (7, 0.25), (8, 0.25)]


def test_only_the_attempt_that_succeeded_counts_in_the_end(client: TestClient, store: Store) -> None:
    board = make_board(client)
    job, first = start_job(store, board)
    measured(first, 1, 6, 0.5)
    claim = again(store, job)
    measured(attempt(store, job, 2), 1, 5, 0.25)
    store.settle(claim, Ending("succeeded"), now_s=store._now(None))
    assert losses(client, board) == [(step, 0.25) for step in range(1, 6)]


def test_the_folder_of_an_older_job_of_the_same_id_is_not_read(client: TestClient, store: Store) -> None:
    board = make_board(client)
    job, first = start_job(store, board)
    measured(attempt(store, job, 2), 1, 3, 9.0)
    measured(first, 1, 1, 0.5)
    assert losses(client, board) == [(1, 0.5)]


def test_a_tensorboard_stays_while_a_job_writes_to_it(client: TestClient, store: Store) -> None:
    board = make_board(client)
    start_job(store, board)
    assert "RUNNING" in refused(client.delete(board), "FAILED_PRECONDITION")
    assert "RUNNING" in refused(client.delete(f"{board}/experiments/job"), "FAILED_PRECONDITION")
    assert client.get(board).status_code == 200


def test_nobody_writes_into_a_jobs_experiment(client: TestClient, store: Store) -> None:
    board = make_board(client)
    start_job(store, board)
    run = f"{board}/experiments/job/runs/tune"
    data = {"tensorboardTimeSeriesId": "train-total-loss", "values": [{"step": 1, "scalar": {"value": 1}}]}
    assert "p.job" in refused(client.post(f"{run}:write", json={"timeSeriesData": [data]}), "FAILED_PRECONDITION")
    assert good(client.patch(f"{board}/experiments/job", json={"description": "mine"}))["description"] == "mine"


def test_a_viewer_reads_everything_and_changes_nothing(client: TestClient, store: Store) -> None:
    board = make_board(client)
    run = make_run(client, board)
    series = make_series(client, run)
    viewer = {"Authorization": "Bearer " + store.create_key("k", "p", "viewer").secret}
    name = series.removeprefix("/v1/")
    for path in (board, f"{board}/experiments", run, series, f"{series}:read", f"{board}:batchRead?timeSeries={name}"):
        good(client.get(path, headers=viewer))
    good(client.post(f"{series}:exportTensorboardTimeSeries", json={}, headers=viewer))
    for answer in (
        client.post(f"{PARENT}/tensorboards", json={"displayName": "b"}, headers=viewer),
        client.post(f"{run}:write", json={"timeSeriesData": []}, headers=viewer),
        client.patch(board, json={"displayName": "b"}, headers=viewer),
        client.delete(series, headers=viewer),
    ):
        assert "tuner" in refused(answer, "PERMISSION_DENIED")


@pytest.mark.parametrize("wall_time", ["9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+14:00"])
def test_a_time_that_cannot_be_written_again_is_not_taken(client: TestClient, wall_time: str) -> None:
    run = make_run(client, make_board(client))
    series = make_series(client, run)
    values = [{"wallTime": wall_time, "step": "1", "scalar": {"value": 1.0}}]
    body = {"timeSeriesData": [{"tensorboardTimeSeriesId": "loss", "valueType": 1, "values": values}]}
    wrong = violations(client.post(f"{run}:write", json=body))
    assert "years 1 to 9999" in wrong["timeSeriesData.0.values.0.wallTime"]
    good(client.get(f"{series}:read"))


@pytest.mark.parametrize("position", [[1], ["a", "b", "c"], [1, 2.0, 3.0, 4.0], [True, 2.0, 3.0], [{}, [], None]])
def test_a_page_token_that_somebody_made_up_is_refused(client: TestClient, position: list[Any]) -> None:
    run = make_run(client, make_board(client))
    series = make_series(client, run)
    written(client, run, {1: 1.0, 2: 2.0})
    token = Listing().token(series.removeprefix("/v1/"), position)
    wrong = violations(client.post(f"{series}:exportTensorboardTimeSeries", json={"pageToken": token}))
    assert "is not one of this list's" in wrong["pageToken"]


def test_a_date_in_a_filter_of_points_is_one_of_utc(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(client, make_board(client))
    series = make_series(client, run)
    written(client, run, {1: 1.0})
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        read = good(client.get(f"{series}:read", params={"filter": 'wall_time>"2026-11-24T02:00:00"'}))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert len(read["timeSeriesData"]["values"]) == 1
