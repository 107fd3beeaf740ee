"""pipelineJobs through the application: what is taken, what is refused in which words (T1-T11), lists, cancelling."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tunesmith import pipeline
from tunesmith.api.app import create_app
from tunesmith.settings import Settings
from tunesmith.store import Ending, Store

PARENT = "/v1/projects/myproject/locations/us-central1/pipelineJobs"
TEMPLATES = "https://us-kfp.pkg.dev/ml-pipeline/large-language-model-pipelines"
KEY = "projects/myproject/locations/us-central1/keyRings/sample-key/cryptoKeys/sample-key"

GENERATION: dict[str, Any] = {
    "displayName": "my pipeline",
    "runtimeConfig": {
        "gcsOutputDirectory": "gs://my-gcs-bucket-uri/output",
        "parameterValues": {
            "project": "myproject",
            "model_display_name": "name in the UI",
            "dataset_uri": "gs://my-gcs-bucket-uri/dataset",
            "evaluation_data_uri": "gs://my-gcs-bucket-uri/evaluation.jsonl",
            "location": "us-central1",
            "accelerator_type": "GPU",
            "large_model_reference": "code-bison@002",
            "learning_rate_multiplier": 1,
            "train_steps": 300,
        },
    },
    "templateUri": f"{TEMPLATES}/tune-large-model/v3.0.0",
}
CHAT: dict[str, Any] = {
    "displayName": "my chat pipeline",
    "runtimeConfig": {
        "gcsOutputDirectory": "gs://my-gcs-bucket-uri/output",
        "parameterValues": {
            "project": "myproject",
            "model_display_name": "chat",
            "dataset_uri": "gs://my-gcs-bucket-uri/dataset",
            "location": "us-central1",
            "large_model_reference": "codechat-bison@002",
            "default_context": "You write Go.",
            "train_steps": "300",
            "learning_rate_multiplier": "1",
            "encryption_spec_key_name": KEY,
        },
    },
    "encryptionSpec": {"kmsKeyName": KEY},
    "templateUri": f"{TEMPLATES}/tune-large-chat-model/v3.0.0",
}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(tmp_path)), base_url="http://127.0.0.1") as found:
        yield found


def store_of(client: TestClient) -> Store:
    found: Store = client.app.state.store  # type: ignore[attr-defined]
    return found


def changed(body: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    """The body with parameters changed; None takes one away."""
    new = copy.deepcopy(body)
    values = new["runtimeConfig"]["parameterValues"]
    for name, value in parameters.items():
        values.pop(name, None)
        if value is not None:
            values[name] = value
    return new


def violations(answer: Any) -> dict[str, str]:
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["status"] == "INVALID_ARGUMENT"
    return {v["field"].rpartition(".")[2]: v["description"] for v in error["details"][0]["fieldViolations"]}


@pytest.mark.parametrize("body", [GENERATION, CHAT], ids=["generation", "chat"])
def test_the_bodies_of_the_reference_page_make_jobs(client: TestClient, body: dict[str, Any]) -> None:
    made = client.post(f"{PARENT}?pipelineJobId=tune-large-model-20240401120000", json=body).json()
    assert made["name"] == PARENT.removeprefix("/v1/") + "/tune-large-model-20240401120000"
    assert made["state"] == "PIPELINE_STATE_QUEUED"
    assert made["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]
    assert made["runtimeConfig"]["parameterValues"] == body["runtimeConfig"]["parameterValues"]
    assert client.get("/v1/" + made["name"]).json() == made


def test_a_job_resolves_to_the_defaults_of_the_reference_product(client: TestClient) -> None:
    """S43, S44, S48, S50, S51, S53."""
    body = changed(GENERATION, train_steps=None, learning_rate_multiplier=None, accelerator_type="")
    client.post(f"{PARENT}?pipelineJobId=j", json=body)
    plan = store_of(client).job("myproject.j").plan
    assert (plan.spec.train_steps, plan.spec.learning_rate_multiplier, plan.batch_size) == (300, 1.0, 8)
    assert (plan.evaluation_interval, plan.early_stopping, plan.select_best) == (20, True, True)
    assert plan.tuning_location == "us-central1"


def test_strings_that_lose_nothing_are_numbers_and_booleans(client: TestClient) -> None:
    """T5."""
    body = changed(GENERATION, train_steps="20", evaluation_interval="5", enable_early_stopping="false")
    client.post(f"{PARENT}?pipelineJobId=j", json=body)
    spec = store_of(client).job("myproject.j").plan.spec
    assert (spec.train_steps, spec.evaluation_interval, spec.early_stopping) == (20, 5, False)


@pytest.mark.parametrize(
    ("value", "meant"), [(True, "true"), (False, "false"), ("default", "default"), ("true", "true")]
)
def test_checkpoint_selection_comes_as_boolean_or_text(client: TestClient, value: object, meant: str) -> None:
    client.post(f"{PARENT}?pipelineJobId=j", json=changed(GENERATION, enable_checkpoint_selection=value))
    assert store_of(client).job("myproject.j").plan.spec.checkpoint_selection == meant


@pytest.mark.parametrize(
    ("parameters", "field", "words"),
    [
        ({"evaluation_data_uri:": "gs://b/e"}, "parameterValues[evaluation_data_uri:]", "mean evaluation_data_uri"),
        ({"train_steps": 0}, "train_steps", "greater than or equal to 1"),
        ({"train_steps": 1.5}, "train_steps", "got 1.5"),
        ({"train_steps": True}, "train_steps", "boolean"),
        ({"train_steps": 10**9}, "train_steps", "less than or equal"),
        ({"learning_rate_multiplier": 0}, "learning_rate_multiplier", "greater than 0"),
        ({"learning_rate_multiplier": -1}, "learning_rate_multiplier", "greater than 0"),
        ({"evaluation_interval": 301}, "evaluation_interval", "more than train_steps"),
        ({"evaluation_data_uri": None, "evaluation_interval": 10}, "evaluation_interval", "needs evaluation_data"),
        ({"location": "us-centra1"}, "location", "did you mean us-central1"),
        ({"large_model_reference": "code-bisson@002"}, "large_model_reference", "did you mean code-bison@002"),
        ({"large_model_reference": "/etc"}, "large_model_reference", "not a folder"),
        ({"large_model_reference": "codechat-bison@002"}, "large_model_reference", "chat model"),
        ({"tuning_method": "rlhf"}, "tuning_method", "supervised tuning only"),
        ({"dataset_uri": "EVAL_DATASET_URI"}, "dataset_uri", "gs://BUCKET/OBJECT"),
        ({"dataset_uri": "file:///etc/shadow"}, "dataset_uri", "gs://BUCKET/OBJECT"),
        ({"dataset_uri": "http://169.254.169.254/x"}, "dataset_uri", "gs://BUCKET/OBJECT"),
        ({"dataset_uri": ""}, "dataset_uri", "missing or empty"),
        ({"model_display_name": None}, "model_display_name", "missing or empty"),
        ({"project": "other"}, "project", "not the project of the URL"),
        ({"accelerator_type": "NPU"}, "accelerator_type", "GPU"),
        ({"tensorboard_resource_id": "projects/p/locations/l/tensorboards/1"}, "tensorboard_resource_id", "same"),
        ({"encryption_spec_key_name": KEY.replace("l1", "1")}, "encryption_spec_key_name", "us-central1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_by_name(
    client: TestClient, parameters: dict[str, Any], field: str, words: str
) -> None:
    said = violations(client.post(PARENT, json=changed(GENERATION, **parameters)))
    assert words in said[field], said
    assert store_of(client).jobs() == []


def test_everything_that_is_wrong_is_said_at_once(client: TestClient) -> None:
    said = violations(client.post(PARENT, json=changed(GENERATION, train_steps=0, dataset_uri="x", no_such="y")))
    assert set(said) == {"train_steps", "dataset_uri", "parameterValues[no_such]"}


def test_missing_comma_is_placed(client: TestClient) -> None:
    """T1."""
    text = '{"displayName": "a",\n "runtimeConfig": {}\n "templateUri": "x"}'
    answer = client.post(PARENT, content=text, headers={"Content-Type": "application/json; charset=utf-8"})
    assert "line 3, column 2" in violations(answer)["body"]


def test_unclosed_object_is_placed(client: TestClient) -> None:
    """T3."""
    text = json.dumps(CHAT, indent=1).rstrip("}\n")
    answer = client.post(PARENT, content=text, headers={"Content-Type": "application/json"})
    assert "line " in violations(answer)["body"]


def test_variables_that_were_not_set_are_named(client: TestClient) -> None:
    """T4."""
    answer = client.post(PARENT.replace("us-central1", ""), json=GENERATION)
    assert "'locations' is empty" in violations(answer)["path"]
    assert "1 to 128" in violations(client.post(PARENT, json={**GENERATION, "displayName": ""}))["displayName"]


def test_two_keys_that_differ_are_refused(client: TestClient) -> None:
    """T11."""
    body = {**CHAT, "encryptionSpec": {"kmsKeyName": KEY.replace("sample", "other")}}
    assert "differs" in violations(client.post(PARENT, json=body))["encryption_spec_key_name"]


def test_chat_takes_no_evaluation_data_as_in_the_reference_product(client: TestClient) -> None:
    """T9, S18."""
    said = violations(client.post(PARENT, json=changed(CHAT, evaluation_data_uri="gs://bucket/e")))
    assert "TUNESMITH_CHAT_EVALUATION" in said["evaluation_data_uri"]


def test_chat_evaluation_can_be_allowed(tmp_path: Path) -> None:
    with TestClient(create_app(Settings(tmp_path, chat_evaluation=True)), base_url="http://127.0.0.1") as client:
        assert client.post(PARENT, json=changed(CHAT, evaluation_data_uri="gs://bucket/e")).status_code == 200


@pytest.mark.parametrize("job_id", ["Tune", "a/b", "1x", "", "x" * 129, "tun\u0435"])
def test_ids_that_are_none_are_refused(client: TestClient, job_id: str) -> None:
    assert "pipelineJobId" in violations(client.post(PARENT, params={"pipelineJobId": job_id}, json=GENERATION))


def test_same_request_is_the_same_job_and_another_a_conflict(client: TestClient) -> None:
    first = client.post(f"{PARENT}?pipelineJobId=j", json=GENERATION)
    again = client.post(f"{PARENT}?pipelineJobId=j", json=changed(GENERATION, train_steps=300.0))
    other = client.post(f"{PARENT}?pipelineJobId=j", json=changed(GENERATION, train_steps=301))
    assert again.json() == first.json()
    assert (other.status_code, other.json()["error"]["status"]) == (409, "ALREADY_EXISTS")


def test_a_thousand_parallel_duplicates_are_one_job(client: TestClient) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: client.post(f"{PARENT}?pipelineJobId=j", json=GENERATION), range(1000)))
    assert {a.status_code for a in answers} == {200}
    assert len(store_of(client).jobs()) == 1


def test_a_quota_that_can_never_be_met_is_refused_with_the_numbers(tmp_path: Path) -> None:
    """S72, S73."""
    with TestClient(create_app(Settings(tmp_path, pools={"GPU": 4})), base_url="http://127.0.0.1") as client:
        answer = client.post(PARENT, json=GENERATION)
    assert answer.status_code == 429
    assert "takes 8 devices and the quota of its pool is 4" in answer.json()["error"]["message"]


def test_jobs_beyond_the_quota_wait_in_order(client: TestClient) -> None:
    store = store_of(client)
    for name in ("a", "b"):
        client.post(f"{PARENT}?pipelineJobId={name}", json=GENERATION)
    free = {"GPU": 8, "TPU": 64}
    first = store.claim("w", now_s=1.0, lease_s=10.0, capacity=free)
    assert first is not None
    assert first.job == "myproject.a"
    assert store.claim("w2", now_s=1.0, lease_s=10.0, capacity=free) is None
    assert store.claim("w2", now_s=1.0, lease_s=10.0, capacity={"GPU": 16}) is not None


def test_lists_filter_order_page_and_mask(client: TestClient) -> None:
    for i in range(5):
        client.post(f"{PARENT}?pipelineJobId=j{i}", json={**GENERATION, "labels": {"run": "odd" if i % 2 else "even"}})
    seen, token = [], ""
    while True:
        params = {"filter": 'labels.run="even"', "pageSize": 2, "pageToken": token, "readMask": "name,labels.run"}
        page = client.get(PARENT, params=params).json()
        seen += page["pipelineJobs"]
        if not (token := page.get("nextPageToken", "")):
            break
    assert [job["name"][-2:] for job in seen] == ["j4", "j2", "j0"]
    assert set(seen[0]) == {"name", "labels"}
    oldest = client.get(PARENT, params={"orderBy": "create_time", "pageSize": 1}).json()["pipelineJobs"][0]
    assert oldest["name"].endswith("j0")
    assert "jobDetail" not in oldest


@pytest.mark.parametrize("wrong", [{"pageToken": "forged"}, {"pageSize": -1}, {"filter": "x ="}, {"orderBy": "secret"}])
def test_list_arguments_that_are_none_are_refused(client: TestClient, wrong: dict[str, str]) -> None:
    assert set(violations(client.get(PARENT, params=wrong))) == set(wrong)


def test_a_page_token_of_another_project_is_refused(client: TestClient) -> None:
    for i in range(2):
        client.post(f"{PARENT}?pipelineJobId=j{i}", json=GENERATION)
    token = client.get(PARENT, params={"pageSize": 1}).json()["nextPageToken"]
    other = PARENT.replace("myproject", "other")
    assert "pageToken" in violations(client.get(other, params={"pageSize": 1, "pageToken": token}))


def test_filters_cannot_reach_beyond_their_project(client: TestClient) -> None:
    client.post(f"{PARENT}?pipelineJobId=j", json=GENERATION)
    other = PARENT.replace("myproject", "other")
    text = 'display_name="x" OR name:"*" OR display_name="\' OR 1=1 --"'
    assert client.get(other, params={"filter": text}).json() == {}
    assert len(client.get(PARENT, params={"filter": 'display_name:"%"'}).json()) == 0


def test_cancel_before_the_start_twice_and_after_the_end(client: TestClient) -> None:
    client.post(f"{PARENT}?pipelineJobId=j", json=GENERATION)
    for _ in range(2):
        assert client.post(f"{PARENT}/j:cancel", json={}).json() == {}
    job = client.get(f"{PARENT}/j").json()
    assert (job["state"], job["error"]["code"]) == ("PIPELINE_STATE_CANCELLED", 1)


def test_a_running_job_is_not_deleted_and_an_ended_one_is(client: TestClient) -> None:
    client.post(f"{PARENT}?pipelineJobId=j", json=GENERATION)
    refused = client.delete(f"{PARENT}/j")
    assert (refused.status_code, refused.json()["error"]["status"]) == (400, "FAILED_PRECONDITION")
    client.post(f"{PARENT}/j:cancel", json={})
    operation = client.delete(f"{PARENT}/j").json()
    assert operation["done"]
    assert client.get("/ui/" + operation["name"]).json() == operation
    assert client.get(f"{PARENT}/j").status_code == 404


def test_batches_are_all_or_none_and_skip_what_has_ended(client: TestClient) -> None:
    for name in ("a", "b"):
        client.post(f"{PARENT}?pipelineJobId={name}", json=GENERATION)
    names = [PARENT.removeprefix("/v1/") + "/" + n for n in ("a", "b")]
    client.post(f"{PARENT}/a:cancel", json={})
    assert client.post(f"{PARENT}:batchDelete", json={"names": names}).status_code == 400
    assert client.get(f"{PARENT}/a").status_code == 200
    assert client.post(f"{PARENT}:batchCancel", json={"names": names}).json()["done"]
    assert len(client.post(f"{PARENT}:batchDelete", json={"names": names}).json()["response"]["pipelineJobs"]) == 2


def test_a_failed_job_says_why_as_a_google_status(client: TestClient) -> None:
    client.post(f"{PARENT}?pipelineJobId=j", json=GENERATION)
    store = store_of(client)
    claim = store.claim("w", now_s=1.0, lease_s=10.0)
    assert claim is not None
    assert claim.task == pipeline.VALIDATE
    store.started(claim, "h", now_s=1.0)
    error = {"status": "INVALID_ARGUMENT", "message": "line 3: no answer", "details": {}}
    store.settle(claim, Ending("failed", error), now_s=2.0)
    job = client.get(f"{PARENT}/j").json()
    assert job["state"] == "PIPELINE_STATE_FAILED"
    assert job["error"] == {"code": 3, "message": "line 3: no answer"}


def test_unknown_fields_are_refused_with_the_nearest(client: TestClient) -> None:
    assert (
        "did you mean displayName"
        in violations(client.post(PARENT, json={**GENERATION, "displaName": "x"}))["displaName"]
    )


def test_a_page_in_a_browser_cannot_call(client: TestClient) -> None:
    """Neither as a form without asking first, nor under another host's name."""
    plain = client.post(PARENT, content=json.dumps(GENERATION), headers={"Content-Type": "text/plain"})
    assert "Content-Type" in violations(plain)
    assert client.get(PARENT, headers={"Host": "evil.example"}).status_code == 403


def test_bodies_are_bounded(client: TestClient) -> None:
    answer = client.post(PARENT, content=b" " * (9 << 20), headers={"Content-Type": "application/json"})
    assert "longer than" in violations(answer)["body"]
    deep = client.post(PARENT, content=b"[" * 100_000, headers={"Content-Type": "application/json"})
    assert deep.status_code == 400
    twice = client.post(PARENT, content=b'{"a": 1, "a": 2}', headers={"Content-Type": "application/json"})
    assert "stands twice" in violations(twice)["a"]
