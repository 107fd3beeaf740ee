"""Keys: who gets in, with which role, into which project; over every route that the OpenAPI document lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from making import make_plan
from tunesmith import resources
from tunesmith.api.app import create_app
from tunesmith.resources import Role
from tunesmith.settings import Settings
from tunesmith.store import Asked, Store
from unit.api.test_batch_prediction_jobs import BODY as BATCH
from unit.api.test_dataset_build_jobs import BODY as BUILD
from unit.api.test_tensorboards import JOB as TUNING

OPEN = ("/v1/session", "/healthz", "/readyz", "/metrics", "/templates/")
MINE = "/v1/projects/mine/locations/us-central1"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(tmp_path)), base_url="http://127.0.0.1") as found:
        yield found


def key(client: TestClient, role: Role, project: str | None = "mine") -> dict[str, str]:
    store: Store = client.app.state.store  # type: ignore[attr-defined]
    return {"Authorization": "Bearer " + store.create_key("k", project, role).secret}


def routes(client: TestClient) -> list[tuple[str, str]]:
    document = client.get("/openapi.json").json()
    return [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]


def filled(path: str) -> str:
    for name in ("job", "model", "endpoint", "operation", "evaluation", "bucket", "key", "name", "version", "object"):
        path = path.replace("{" + name + "}", "1").replace("{" + name + ":path}", "1")
    return path.replace("{project}", "theirs").replace("{location}", "us-central1")


def test_every_route_of_another_project_is_closed(client: TestClient) -> None:
    mine = key(client, "admin")
    of_projects = [(m, p) for m, p in routes(client) if "{project}" in p]
    assert len(of_projects) > 30
    for method, path in of_projects:
        answer = client.request(method, filled(path), headers=mine, json={} if method in ("POST", "PATCH") else None)
        assert answer.status_code in (403, 404), f"{method} {path} answered {answer.status_code}"


def test_without_a_key_nothing_is_open_but_health_and_templates(client: TestClient) -> None:
    key(client, "admin")
    for method, path in routes(client):
        if path.startswith(OPEN):
            continue
        answer = client.request(method, filled(path), json={} if method in ("POST", "PATCH") else None)
        assert answer.status_code == 401, f"{method} {path} answered {answer.status_code}"
        assert answer.json()["error"]["status"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("mine", ["local", "a"])
def test_no_cut_of_a_jobs_key_opens_another_projects_job(client: TestClient, mine: str) -> None:
    store: Store = client.app.state.store  # type: ignore[attr-defined]
    region = "us-central1"
    store.create_job(make_plan(project="a.b"), job_id="tune-1", asked=Asked(location=region))
    made = client.post(f"/v1/projects/a.b/locations/{region}/batchPredictionJobs", json=BATCH).json()
    build = client.post(f"/v1/projects/a.b/locations/{region}/datasetBuildJobs", json=BUILD).json()
    jobs = {"pipelineJobs": "tune-1", "batchPredictionJobs": made["name"].rpartition("/")[2]}
    jobs["datasetBuildJobs"] = build["name"].rpartition("/")[2]
    mine_alone = key(client, "admin", mine)
    for kind, job_id in jobs.items():
        cut = resources.job_key("a.b", job_id).removeprefix("" if mine == "local" else f"{mine}.")
        path = f"/v1/projects/{mine}/locations/{region}/{kind}/{cut}"
        answers = [client.get(path, headers=mine_alone), client.delete(path, headers=mine_alone)]
        answers.append(client.post(f"{path}:cancel", headers=mine_alone, json={}))
        assert [answer.status_code for answer in answers] == [404, 404, 404], answers[0].text
    assert {job.state for job in store.jobs()} == {"QUEUED"}


def test_a_viewer_looks_and_does_nothing_else(client: TestClient) -> None:
    viewer = key(client, "viewer")
    assert client.get(f"{MINE}/pipelineJobs", headers=viewer).status_code == 200
    assert client.post(f"{MINE}/pipelineJobs", headers=viewer, json={}).status_code == 403
    assert client.post(f"{MINE}/endpoints", headers=viewer, json={"displayName": "e"}).status_code == 403


def test_a_key_in_the_url_is_refused(client: TestClient) -> None:
    answer = client.get(f"{MINE}/pipelineJobs?key=secret")
    assert answer.status_code == 401
    assert "ends up in logs" in answer.json()["error"]["message"]


def test_a_revoked_key_is_closed_at_once_and_its_use_was_noted(client: TestClient) -> None:
    store: Store = client.app.state.store  # type: ignore[attr-defined]
    made = store.create_key("k", None, "admin")
    store.create_key("other", None, "admin")
    headers = {"Authorization": f"Bearer {made.secret}"}
    assert client.get(f"{MINE}/models", headers=headers).status_code == 200
    assert next(k for k in list(store.keys()) if k.id == made.key.id).last_use_time is not None
    store.revoke_key(made.key.id)
    assert client.get(f"{MINE}/models", headers=headers).status_code == 401


def test_the_secret_is_nowhere_on_disk(client: TestClient, tmp_path: Path) -> None:
    store: Store = client.app.state.store  # type: ignore[attr-defined]
    secret = store.create_key("k", None, "admin").secret.encode()
    assert all(secret not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def places_of_batch(source: str, place: str) -> dict[str, Any]:
    return {
        "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": [source]}},
        "outputConfig": {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": place}},
    }


@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_no_uri_opens_the_bucket_of_another_project(client: TestClient, scheme: str) -> None:
    mine, theirs = key(client, "admin"), key(client, "tuner", "theirs")
    for owner, headers in (("mine", mine), ("theirs", theirs)):
        body = {"name": f"{owner}-data"}
        assert client.post(f"/storage/v1/b?project={owner}", json=body, headers=headers).status_code == 200
    own, foreign = f"{scheme}://mine-data", f"{scheme}://theirs-data"

    def tuning(dataset: str, evaluation: str) -> tuple[str, dict[str, Any]]:
        values = TUNING["runtimeConfig"]["parameterValues"] | {
            "dataset_uri": dataset,
            "evaluation_data_uri": evaluation,
        }
        return "pipelineJobs", {**TUNING, "runtimeConfig": {"parameterValues": values}}

    def batch(source: str, place: str) -> tuple[str, dict[str, Any]]:
        changed = {"model": "publishers/google/models/code-bison@002", **places_of_batch(source, place)}
        return "batchPredictionJobs", {**BATCH, **changed}

    def build(source: str, place: str, suite: str) -> tuple[str, dict[str, Any]]:
        destination = {"gcsDestination": {"outputUriPrefix": place}}
        said = {"codebaseSource": {"repository": source}, "outputConfig": destination, "options": {"suites": [suite]}}
        return "datasetBuildJobs", {**BUILD, **said}

    def upload(place: str) -> tuple[str, dict[str, Any]]:
        return "models:upload", {"model": {"displayName": "m", "artifactUri": place}}

    refused = [
        tuning(f"{foreign}/d.jsonl", f"{own}/e.jsonl"), tuning(f"{own}/d.jsonl", f"{foreign}/e.jsonl"),
        build(f"{foreign}/a.zip", own, f"{own}/s"), build(f"{foreign}/a/", own, f"{own}/s"),
        build(f"{own}/a.zip", foreign, f"{own}/s"), build(f"{own}/a.zip", own, f"{foreign}/s"),
        batch(f"{foreign}/*.jsonl", f"{own}/out"), batch(f"{own}/b.jsonl", foreign), upload(f"{foreign}/adapter"),
    ]  # fmt: skip
    for path, body in refused:
        answer = client.post(f"{MINE}/{path}", json=body, headers=mine)
        assert (answer.status_code, answer.json()["error"]["status"]) == (403, "PERMISSION_DENIED"), answer.text
        assert f"{foreign}" in answer.json()["error"]["message"]
    allowed = [tuning(f"{own}/d.jsonl", f"{own}/e.jsonl"), batch(f"{own}/b.jsonl", own)]
    for path, body in [*allowed, build(f"{own}/a.zip", own, f"{own}/s")]:
        assert client.post(f"{MINE}/{path}", json=body, headers=mine).status_code == 200
    nobodys = client.post(f"{MINE}/pipelineJobs", json=tuning(f"{scheme}://to-come/d", f"{own}/e")[1], headers=mine)
    assert nobodys.json()["error"]["status"] == "NOT_FOUND", nobodys.text
