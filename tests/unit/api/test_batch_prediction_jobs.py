"""batchPredictionJobs through the application: what is taken, what is refused in which words, lists, ends."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from making import make_plan
from tunesmith import folder, pipeline
from tunesmith.api.app import create_app
from tunesmith.folder import JobFolder
from tunesmith.settings import Settings
from tunesmith.store import Ending, Model, Store
from unit.api.test_endpoints import tuned

ROOT = "/v1/projects/p/locations/us-central1"
PARENT = f"{ROOT}/batchPredictionJobs"
BASE = "publishers/google/models/code-bison@002"
PREFIX = "outputConfig.gcsDestination.outputUriPrefix"
BODY: dict[str, Any] = {
    "displayName": "BatchPredictionJob 2026-11-24 02:34:55.390038",
    "model": f"projects/p/locations/us-central1/{BASE}",
    "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://bucket/batch.jsonl"]}},
    "modelParameters": {"maxOutputTokens": 16.0, "temperature": 0.1},
    "outputConfig": {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": "gs://bucket/out/base"}},
}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(tmp_path)), base_url="http://127.0.0.1") as found:
        yield found


@pytest.fixture
def store(client: TestClient) -> Store:
    found: Store = client.app.state.store  # type: ignore[attr-defined]
    return found


def changed(path: str, value: Any) -> dict[str, Any]:
    """BODY with the value at a path with dots; None takes it away."""
    new = copy.deepcopy(BODY)
    *parents, last = path.split(".")
    place = new
    for part in parents:
        place = place.setdefault(part, {})
    place.pop(last, None)
    if value is not None:
        place[last] = value
    return new


def make(client: TestClient, **fields: Any) -> dict[str, Any]:
    answer = client.post(PARENT, json={**BODY, **fields})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def key_of(job: dict[str, Any]) -> str:
    return "p." + job["name"].rpartition("/")[2]


def end(store: Store, job: dict[str, Any], ending: Ending = Ending("succeeded")) -> None:
    while (claim := store.claim("w", now_s=1.0, lease_s=10.0, only_job=key_of(job))) is not None:
        store.started(claim, "h", now_s=2.0)
        store.settle(claim, ending, now_s=3.0)


@pytest.mark.parametrize("version", ["/v1", "/v1beta1"])
def test_the_bodies_of_the_recordings_make_jobs(client: TestClient, version: str) -> None:
    made = client.post(version + PARENT.removeprefix("/v1"), json=BODY).json()
    assert made["state"] == "JOB_STATE_PENDING"
    assert {key: made[key] for key in BODY} == BODY
    assert made["outputInfo"]["gcsOutputDirectory"].startswith("gs://bucket/out/base/prediction-code-bison-20")
    assert client.get(f"{version}/{made['name']}").json() == made


def test_a_publishers_model_is_the_base_that_stands_for_it(client: TestClient, store: Store) -> None:
    plan = store.job(key_of(make(client, model=BASE))).batch
    assert (plan.base_model, plan.model, plan.kind) == ("smollm2-135m-instruct", None, "generation")
    assert plan.drawing == {"max_output_tokens": 16, "temperature": 0.1}
    assert store.job(key_of(make(client, model="publishers/google/models/codechat-bison"))).batch.kind == "chat"


def test_a_tuned_model_is_asked_in_the_version_that_was_named(client: TestClient, store: Store) -> None:
    model, _ = tuned(store)
    made = make(client, model=model.name)
    assert (made["model"], made["modelVersionId"]) == (model.name, "1")
    said = store.job(key_of(made)).batch.model
    assert said is not None
    assert (said.name, said.place, said.full) == (f"{model.name}@1", f"{model.name.rpartition('/')[2]}/1", False)
    assert make(client, model=f"{model.name}@default")["modelVersionId"] == "1"
    assert (
        f"/prediction-{model.display_name[:20].replace('@', '_').replace(' ', '_')}"
        in made["outputInfo"]["gcsOutputDirectory"]
    )


@pytest.mark.parametrize(
    ("model", "status"),
    [
        ("publishers/google/models/code-bisson@002", 404),
        ("projects/p/locations/us-central1/models/123", 404),
        ("projects/p/locations/us-central1/models/123@2", 404),
        ("projects/other/locations/us-central1/models/123", 400),
        ("projects/p/locations/europe-west4/models/123", 400),
        ("code-bison@002", 400),
        ("", 400),
    ],
)
def test_a_model_that_is_not_known_is_never_answered_by_another(client: TestClient, model: str, status: int) -> None:
    answer = client.post(PARENT, json={**BODY, "model": model})
    assert answer.status_code == status, answer.text
    assert client.get(PARENT).json() == {}


@pytest.mark.parametrize(
    ("path", "value", "field", "words"),
    [
        ("displayName", "", "displayName", "1 to 128"),
        ("displayName", None, "displayName", "required"),
        ("dispName", "x", "dispName", "did you mean displayName"),
        ("inputConfig.instancesFormat", "csv", "inputConfig.instancesFormat", "must be jsonl, got 'csv'"),
        ("outputConfig.predictionsFormat", "bigquery", "outputConfig.predictionsFormat", "must be jsonl"),
        ("inputConfig.gcsSource", None, "inputConfig.gcsSource.uris", "1 to 1,000 URIs"),
        ("inputConfig.gcsSource.uris", [], "inputConfig.gcsSource.uris", "1 to 1,000 URIs"),
        ("inputConfig.gcsSource.uris", ["/etc/shadow"], "inputConfig.gcsSource.uris[0]", "gs://BUCKET/OBJECT"),
        ("inputConfig.gcsSource.uris", ["gs://b/../x"], "inputConfig.gcsSource.uris[0]", "3 to 63"),
        ("inputConfig.gcsSource.uris", ["gs://bucket/a"] * 2, "inputConfig.gcsSource.uris[1]", "stands there twice"),
        ("inputConfig.bigquerySource", {"inputUri": "bq://x"}, "inputConfig.bigquerySource", "is not offered"),
        ("outputConfig.gcsDestination", None, "outputConfig.gcsDestination", "is missing"),
        (PREFIX, "out", PREFIX, "gs://"),
        (PREFIX, "gs://bucket/*", PREFIX, "none of"),
        ("instanceConfig", {"keyField": "id"}, "instanceConfig", "is not offered"),
        ("generateExplanation", True, "generateExplanation", "is not offered"),
        ("modelParameters.temperature", 3, "modelParameters.temperature", "less than or equal to 2"),
        ("modelParameters.maxOutputTokens", 0, "modelParameters.maxOutputTokens", "greater than or equal to 1"),
        ("modelParameters.maxOutputTokens", 10**9, "modelParameters.maxOutputTokens", "context of 8,192"),
        ("modelParameters.candidateCount", 99, "modelParameters.candidateCount", "less than or equal to 8"),
        ("modelParameters.topK", 0, "modelParameters.topK", "greater than or equal to 1"),
        ("modelParameters.stopSequences", {"#": 1}, "modelParameters.stopSequences", "must be a list of texts"),
        ("modelParameters.stopSequences", [""], "modelParameters.stopSequences", "1 to 1,000 characters"),
        ("modelParameters.temprature", 1, "modelParameters.temprature", "did you mean temperature"),
        ("modelParameters.echo", True, "modelParameters.echo", "is not offered"),
        ("manualBatchTuningParameters", {"batchSize": 65}, "manualBatchTuningParameters.batchSize", "1 to 64"),
        ("labels", {"A": "b"}, "labels", "not a label's key"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(client: TestClient, path: str, value: Any, field: str, words: str) -> None:
    answer = client.post(PARENT, json=changed(path, value))
    assert answer.status_code == 400, answer.text
    (found,) = answer.json()["error"]["details"][0]["fieldViolations"]
    assert (found["field"], words in found["description"]) == (field, True), found


def test_all_that_is_wrong_is_said_at_once(client: TestClient) -> None:
    body = {**changed("modelParameters.topP", 7), "displayName": "", "labels": {"A": "b"}}
    said = client.post(PARENT.replace("us-central1", "us-centra1"), json={**body, "model": BASE}).json()["error"]
    fields = {violation["field"] for violation in said["details"][0]["fieldViolations"]}
    assert fields == {"location", "displayName", "labels", "modelParameters.topP"}


def test_a_number_that_no_float_holds_is_refused(client: TestClient) -> None:
    text = json.dumps(BODY).replace("16.0", "1e999")
    answer = client.post(PARENT, content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "1e999" in answer.text


def test_a_repeated_request_is_one_job_and_another_body_is_a_conflict(client: TestClient) -> None:
    one, two = (client.post(f"{PARENT}?requestId=abc-1", json=BODY).json() for _ in range(2))
    assert one == two
    assert client.post(f"{PARENT}?requestId=abc-1", json={**BODY, "displayName": "x"}).status_code == 409
    assert client.post(f"{PARENT}?requestId=abc-2", json=BODY).json()["name"] != one["name"]
    assert client.post(f"{PARENT}?requestId=a/b", json=BODY).status_code == 400
    assert len(client.get(PARENT).json()["batchPredictionJobs"]) == 2


def test_one_request_sent_by_many_at_once_is_one_job(client: TestClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post(f"{PARENT}?requestId=r", json=BODY).json()["name"], range(16)))
    assert len(set(answers)) == 1


def test_without_a_request_id_every_request_is_a_job_with_a_folder_of_its_own(client: TestClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: make(client), range(16)))
    assert len({job["name"] for job in made}) == 16
    assert len({job["outputInfo"]["gcsOutputDirectory"] for job in made}) == 16


def test_the_two_kinds_of_jobs_are_not_seen_in_each_others_lists(client: TestClient, store: Store) -> None:
    made = make(client)
    job = store.create_job(make_plan(project="p"), job_id="tuning")
    assert [one["name"] for one in client.get(PARENT).json()["batchPredictionJobs"]] == [made["name"]]
    assert [one["name"] for one in client.get(f"{ROOT}/pipelineJobs").json()["pipelineJobs"]] == [job.name]
    number = made["name"].rpartition("/")[2]
    for verb, path in (("GET", number), ("DELETE", number), ("POST", f"{number}:cancel"), ("GET", f"{number}:watch")):
        assert client.request(verb, f"{ROOT}/pipelineJobs/{path}").status_code == 404
    name = made["name"].replace("batchPredictionJobs", "pipelineJobs")
    assert client.post(f"{ROOT}/pipelineJobs:batchDelete", json={"names": [name]}).status_code in (400, 404)
    for verb, path in (("GET", "tuning"), ("DELETE", "tuning"), ("POST", "tuning:cancel")):
        assert client.request(verb, f"{PARENT}/{path}").status_code == 404
    assert store.job("p.tuning").state == "QUEUED"
    assert store.job(key_of(made)).state == "QUEUED"


def test_lists_filter_order_page_and_mask(client: TestClient, store: Store) -> None:
    made = [make(client, displayName=f"j{i}", labels={"run": "odd" if i % 2 else "even"}) for i in range(5)]
    end(store, made[0])
    seen, token = [], ""
    while True:
        params = {"filter": 'labels.run="even"', "pageSize": 2, "pageToken": token, "readMask": "name,displayName"}
        page = client.get(PARENT, params=params).json()
        seen += page["batchPredictionJobs"]
        if not (token := page.get("nextPageToken", "")):
            break
    assert [job["displayName"] for job in seen] == ["j4", "j2", "j0"]
    assert set(seen[0]) == {"name", "displayName"}

    def names(**params: str) -> list[str]:
        return [job["displayName"] for job in client.get(PARENT, params=params).json().get("batchPredictionJobs", [])]

    assert names(orderBy="create_time") == ["j0", "j1", "j2", "j3", "j4"]
    assert names(filter='state="JOB_STATE_SUCCEEDED"') == ["j0"]
    assert names(filter='state="JOB_STATE_PENDING" AND display_name="j3"') == ["j3"]
    assert names(filter='model_display_name="code-bison"', orderBy="display_name desc")[0] == "j4"
    assert names(filter='model_display_name="other"') == []
    assert client.get(PARENT, params={"filter": 'pipeline_name="x"'}).status_code == 400


def test_cancel_before_the_start_twice_and_after_the_end(client: TestClient, store: Store) -> None:
    made = make(client)
    for _ in range(2):
        assert client.post(f"/v1/{made['name']}:cancel", json={}).json() == {}
    job = client.get(f"/v1/{made['name']}").json()
    assert (job["state"], job["error"]["code"]) == ("JOB_STATE_CANCELLED", 1)
    assert "outputInfo" not in job
    other = make(client)
    end(store, other)
    assert client.post(f"/v1/{other['name']}:cancel").status_code == 400


def test_cancelling_a_running_job_is_shown(client: TestClient, store: Store) -> None:
    made = make(client)
    claim = store.claim("w", now_s=1.0, lease_s=10.0)
    assert claim is not None
    store.started(claim, "h", now_s=1.0)
    assert client.get(f"/v1/{made['name']}").json()["state"] == "JOB_STATE_RUNNING"
    client.post(f"/v1/{made['name']}:cancel")
    assert client.get(f"/v1/{made['name']}").json()["state"] == "JOB_STATE_CANCELLING"
    store.settle(claim, Ending("cancelled"), now_s=2.0)
    assert client.get(f"/v1/{made['name']}").json()["state"] == "JOB_STATE_CANCELLED"


def test_a_running_job_is_not_deleted_and_an_ended_one_is_with_its_folder(
    client: TestClient, store: Store, tmp_path: Path
) -> None:
    made = make(client)
    assert client.delete(f"/v1/{made['name']}").status_code == 400
    end(store, made)
    place = tmp_path / "jobs" / key_of(made)
    place.mkdir(parents=True)
    operation = client.delete(f"/v1/{made['name']}").json()
    assert operation["name"].startswith("projects/p/locations/us-central1/operations/")
    assert operation["done"]
    assert client.get("/ui/" + operation["name"]).json() == operation
    assert client.get(f"/v1/{made['name']}").status_code == 404
    assert not place.exists()


def test_a_failed_job_says_why_as_a_google_status(client: TestClient, store: Store) -> None:
    made = make(client)
    error = {"status": "INVALID_ARGUMENT", "message": "gs://bucket/batch.jsonl: has no instances", "details": {}}
    end(store, made, Ending("failed", error))
    job = client.get(f"/v1/{made['name']}").json()
    assert job["state"] == "JOB_STATE_FAILED"
    assert job["error"] == {"code": 3, "message": "gs://bucket/batch.jsonl: has no instances"}


def test_completion_is_seen_while_the_job_runs_and_after_it(client: TestClient, store: Store, tmp_path: Path) -> None:
    made = make(client)
    of_job = JobFolder(tmp_path / "jobs" / key_of(made))

    def stats() -> Any:
        found = client.get(f"/v1/{made['name']}").json().get("completionStats")
        return found and tuple(found[f"{name}Count"] for name in ("successful", "failed", "incomplete"))

    assert stats() is None
    read = of_job.attempt(pipeline.READ, 1).create()
    folder.write_json(read.result, {"lines": 10, "unreadable": 2})
    assert stats() == ("0", "2", "8")
    first = of_job.attempt(pipeline.PREDICT, 1).create()
    folder.write_json(first.progress, {"phase": "predicting", "step": 5, "steps": 10, "successful": 3, "failed": 2})
    assert stats() == ("3", "2", "5")
    second = of_job.attempt(pipeline.PREDICT, 2).create()
    folder.write_json(second.progress, {"phase": "loading"})
    assert stats() == ("3", "2", "5")
    folder.write_json(second.result, {"successful": 7, "failed": 3, "total": 10, "failures": ["gs://b/x line 3: bad"]})
    assert stats() == ("7", "3", "0")
    job = client.get(f"/v1/{made['name']}").json()
    assert job["partialFailures"] == [{"code": 3, "message": "gs://b/x line 3: bad"}]


def test_a_batch_waits_for_the_devices_that_a_tuning_job_holds(client: TestClient, store: Store) -> None:
    from tunesmith.store import Asked

    store.create_job(make_plan(project="p"), job_id="tuning", asked=Asked(units=8))
    make(client)
    free = {"GPU": 8, "TPU": 64}
    first = store.claim("w", now_s=1.0, lease_s=10.0, capacity=free)
    assert first is not None
    assert first.job == "p.tuning"
    assert store.claim("w2", now_s=1.0, lease_s=10.0, capacity=free) is None


def test_a_job_that_could_never_run_is_refused_with_the_numbers(tmp_path: Path) -> None:
    settings = Settings(tmp_path, pools={"GPU": 4, "TPU": 64})
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        answer = client.post(PARENT, json=BODY)
    assert answer.status_code == 429
    assert "takes 8 devices of the pool GPU, whose quota is 4" in answer.json()["error"]["message"]


def test_a_model_that_was_tuned_whole_is_loaded_in_its_bases_place(client: TestClient, store: Store) -> None:
    model, _ = tuned(store)
    whole = Model(
        **{**{f: getattr(model, f) for f in model.__dataclass_fields__}, "lineage": {"tuning": {"method": "full"}}}
    )
    from tunesmith.api import predictions

    assert predictions.target_of(whole).server.weights == str(model.folder / "model")


def test_jobs_of_another_project_are_not_found(client: TestClient) -> None:
    made = make(client)
    assert client.get(f"/v1/{made['name']}".replace("/p/", "/other/")).status_code == 404
    assert client.get(f"/v1/{made['name']}".replace("us-central1", "us-west1")).status_code == 404


def test_the_same_request_in_another_region_is_a_conflict(client: TestClient) -> None:
    body = changed("model", BASE)
    paths = [PARENT, PARENT.replace("us-central1", "europe-west4")]
    first, other = (client.post(path, params={"requestId": "r"}, json=body) for path in paths)
    assert first.status_code == 200
    assert (other.status_code, other.json()["error"]["status"]) == (409, "ALREADY_EXISTS")
    assert "us-central1" in other.json()["error"]["message"]


def test_a_prefix_without_room_for_the_predictions_is_refused_before_they_are_made(client: TestClient) -> None:
    prefix = "gs://bucket/" + "/".join(["a" * 200] * 5)
    answer = client.post(PARENT, json=changed("outputConfig.gcsDestination.outputUriPrefix", prefix))
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"].startswith(f"{PREFIX}: an object's name has at most 1,024 bytes")
