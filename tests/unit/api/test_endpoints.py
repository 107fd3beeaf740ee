"""Models, endpoints and predictions through the application, with a serving process that is a few lines of HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from making import make_plan
from tunesmith import catalog, pipeline, process, resources
from tunesmith.api.app import create_app
from tunesmith.settings import Settings
from tunesmith.store import Asked, Ending, Endpoint, Model, Store

PARENT = "/v1/projects/p/locations/us-central1"
PUBLISHER = f"{PARENT}/publishers/google/models"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(tmp_path)), base_url="http://127.0.0.1") as found:
        yield found


@pytest.fixture
def store(client: TestClient) -> Store:
    found: Store = client.app.state.store  # type: ignore[attr-defined]
    return found


@pytest.fixture
def asked(store: Store) -> Iterator[list[dict[str, Any]]]:
    """What the serving process of the embedded model was asked; it answers `a` and `b` for each candidate."""
    seen: list[dict[str, Any]] = []

    class Front(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = process.proof("t", self.path.partition("?")[2]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append(question | {"path": self.path, "authorization": self.headers["Authorization"]})
            lines: list[dict[str, Any]] = [{"tokens": 7}]
            if self.path == "/generate":
                each = range(question.get("candidates", 1))
                lines = [{"candidate": i, "text": text} for text in ("a", "b") for i in each]
                lines += [{"candidate": i, "finish": "stop", "output_tokens": 2} for i in each]
                lines.append({"input_tokens": 7, "model": "m"})
            self.send_response(200)
            self.end_headers()
            for line in lines:
                self.wfile.write(json.dumps(line).encode() + b"\n")

        def log_message(self, *args: object) -> None:
            """Silent."""

    front = ThreadingHTTPServer(("127.0.0.1", 0), Front)
    thread = threading.Thread(target=front.serve_forever)
    thread.start()
    from tunesmith.store import Wanted

    store.ask_for_server(Wanted(catalog.EMBEDDED, catalog.EMBEDDED))
    server = store.claim_server("w", now_s=store._now(None), lease_s=1e6, idle_s=1e6)
    assert server is not None
    url = f"http://127.0.0.1:{front.server_port}"
    store.note_server(server, now_s=store._now(None), state="READY", url=url, token="t")
    yield seen
    front.shutdown()
    thread.join()
    front.server_close()


def tuned(store: Store, job_id: str = "job", **fields: object) -> tuple[Model, Endpoint]:
    """A model as a job of the service makes and deploys it."""
    job = store.create_job(make_plan(project="p", **fields), job_id=job_id, asked=Asked(deploys=True, request={}))
    while (claim := store.claim("w", now_s=1.0, lease_s=10.0, only_job=job.id)) is not None:
        store.started(claim, "h", now_s=1.0)
        if claim.task == pipeline.UPLOAD:
            labels = {resources.BASE_MODEL_LABEL: "code-bison-002"}
            plan = job.plan.model_dump(mode="json")
            store.register_model(claim, labels=labels, lineage={"plan": plan, "job": job.name}, metrics={}, now_s=2.0)
        elif claim.task == pipeline.DEPLOY:
            store.deploy_model_of_job(claim, now_s=3.0)
        else:
            store.settle(claim, Ending("succeeded"), now_s=2.0)
    done = store.job(job.id)
    assert done.state == "SUCCEEDED"
    assert done.model is not None
    return store.model(done.model), store.endpoint(store.endpoint_name(done))


def test_a_tuned_model_is_found_by_the_label_of_its_base(client: TestClient, store: Store) -> None:
    """M.6."""
    model, endpoint = tuned(store)
    text = f'labels.{resources.BASE_MODEL_LABEL}="code-bison-002"'
    (found,) = client.get(f"{PARENT}/models", params={"filter": text}).json()["models"]
    assert found["name"] == model.name
    assert found["deployedModels"][0]["endpoint"] == endpoint.name
    assert found["versionAliases"] == ["default"]
    other = client.get(f"{PARENT}/models", params={"filter": text.replace("code-", "codechat-")}).json()
    assert other == {}


def test_code_gives_a_prediction_for_each_candidate(
    client: TestClient, store: Store, asked: list[dict[str, Any]]
) -> None:
    model, endpoint = tuned(store)
    body = {
        "instances": [{"prefix": "def f", "suffix": None}],
        "parameters": {"candidateCount": 2.0, "temperature": 0.5},
    }
    said = client.post(f"/v1/{endpoint.name}:predict", json=body).json()
    assert [p["content"] for p in said["predictions"]] == ["ab", "ab"]
    assert (said["model"], said["modelVersionId"]) == (model.name, "1")
    assert said["metadata"]["tokenMetadata"]["inputTokenCount"] == {"totalTokens": 7, "totalBillableCharacters": 4}
    (question,) = asked
    assert question["model"] == {"name": f"{model.name}@1", "folder": str(model.folder)}
    assert (question["candidates"], question["authorization"]) == (2, "Bearer t")


def test_a_chat_brings_its_context_or_takes_the_jobs(
    client: TestClient, store: Store, asked: list[dict[str, Any]]
) -> None:
    """S15, S52."""
    _, endpoint = tuned(store, base_model="codechat-bison@002", default_context="You write Go.")
    history = [
        {"author": "user", "content": "hi"},
        {"author": "bot", "content": "ho"},
        {"author": "user", "content": "x"},
    ]
    for context in (None, "Mine."):
        body = {"instances": [{"messages": history, **({"context": context} if context else {})}]}
        said = client.post(f"/v1/{endpoint.name}:predict", json=body).json()
        assert said["predictions"][0]["candidates"] == [{"author": "bot", "content": "ab"}]
        assert len(said["predictions"][0]["safetyAttributes"]) == 1
    assert [q["conversation"]["context"] for q in asked] == ["You write Go.", "Mine."]
    assert [m["author"] for m in asked[0]["conversation"]["messages"]] == ["user", "assistant", "user"]


def test_a_streamed_prediction_is_one_array_of_tensors(
    client: TestClient, store: Store, asked: list[dict[str, Any]]
) -> None:
    body = {
        "inputs": [{"structVal": {"prefix": {"stringVal": ["def f"]}}}],
        "parameters": {
            "structVal": {"maxOutputTokens": {"intVal": [8]}, "stopSequences": {"listVal": [{"stringVal": ["#"]}]}}
        },
    }
    said = client.post(f"{PUBLISHER}/code-bison@002:serverStreamingPredict", json=body).json()
    assert [line["outputs"][0]["structVal"]["content"]["stringVal"] for line in said] == [["a"], ["b"]]
    assert (asked[0]["max_output_tokens"], asked[0]["stop"], asked[0]["model"]) == (8, ["#"], None)


def test_a_streamed_prediction_ends_with_its_tokens_if_asked(client: TestClient, asked: list[dict[str, Any]]) -> None:
    body = {"inputs": [{"structVal": {"prefix": {"stringVal": ["def f"]}}}]}
    said = client.post(f"{PUBLISHER}/code-bison@002:serverStreamingPredict?usage=true", json=body).json()
    assert [len(line["outputs"]) for line in said] == [1, 1, 0]
    assert said[-1]["finishReason"] == "stop"
    assert said[-1]["metadata"]["tokenMetadata"] == {
        "inputTokenCount": {"totalTokens": 7},
        "outputTokenCount": {"totalTokens": 2},
    }


def test_tokens_are_counted_by_the_model(client: TestClient, asked: list[dict[str, Any]]) -> None:
    body = {"instances": [{"prefix": "def f(a, b):", "suffix": None}]}
    said = client.post(f"/v1beta1{PUBLISHER.removeprefix('/v1')}/code-bison%40002:countTokens", json=body).json()
    assert said == {"totalTokens": 7, "totalBillableCharacters": 10}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"instances": []}, "instances"),
        ({"instances": [{}]}, "instances[0].prefix"),
        ({"instances": [{"prefx": "a"}]}, "instances[0].prefx"),
        ({"instances": [{"prefix": "a"}], "parameters": {"maxOutputToken": 3}}, "parameters.maxOutputToken"),
        ({"instances": [{"prefix": "a"}], "parameters": {"maxOutputTokens": 1.5}}, "parameters.maxOutputTokens"),
        ({"instances": [{"prefix": "a"}], "parameters": {"echo": True}}, "parameters.echo"),
    ],
)
def test_a_question_that_is_none_is_refused_by_name(
    client: TestClient, asked: list[dict[str, Any]], body: dict[str, Any], field: str
) -> None:
    answer = client.post(f"{PUBLISHER}/code-bison@002:predict", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][0]["fieldViolations"][0]["field"] == field
    assert asked == []


def test_an_unknown_model_is_not_found_and_never_the_base(
    client: TestClient, store: Store, asked: list[dict[str, Any]]
) -> None:
    body = {"instances": [{"prefix": "a"}]}
    assert client.post(f"{PARENT}/endpoints/1:predict", json=body).status_code == 404
    assert client.post(f"{PUBLISHER}/no-such-model@001:predict", json=body).status_code == 404
    assert asked == []


def test_an_endpoint_without_traffic_says_so(client: TestClient) -> None:
    made = client.post(f"{PARENT}/endpoints", json={"displayName": "e"}).json()["response"]["name"]
    answer = client.post(f"/v1/{made}:predict", json={"instances": [{"prefix": "a"}]})
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "FAILED_PRECONDITION")


def test_models_are_deployed_and_undeployed_with_their_traffic(client: TestClient, store: Store) -> None:
    first, _ = tuned(store)
    second, _ = tuned(store, "other")
    name = client.post(f"{PARENT}/endpoints", json={"displayName": "e"}).json()["response"]["name"]
    ids = []
    for model, split in ((first, None), (second, "half")):
        body: dict[str, Any] = {
            "deployedModel": {"model": f"{model.name}@1", "dedicatedResources": {"minReplicaCount": 1}}
        }
        if split:
            body["trafficSplit"] = {"0": 50, ids[0]: 50}
        made = client.post(f"/v1/{name}:deployModel", json=body).json()["response"]["deployedModel"]
        ids.append(made["id"])
        assert made["dedicatedResources"] == {"minReplicaCount": 1}
    assert client.get(f"/v1/{name}").json()["trafficSplit"] == {ids[0]: 50, ids[1]: 50}
    assert client.delete(f"/v1/{name}").status_code == 400
    client.post(f"/v1/{name}:undeployModel", json={"deployedModelId": ids[0]})
    assert client.get(f"/v1/{name}").json()["trafficSplit"] == {ids[1]: 100}
    client.post(f"/v1/{name}:undeployModel", json={"deployedModelId": ids[1]})
    assert client.delete(f"/v1/{name}").json()["done"]
    assert client.get(f"/v1/{name}").status_code == 404


def test_a_deployed_model_is_not_deleted(client: TestClient, store: Store) -> None:
    model, endpoint = tuned(store)
    refused = client.delete(f"/v1/{model.name}")
    assert (refused.status_code, refused.json()["error"]["status"]) == (400, "FAILED_PRECONDITION")
    store.undeploy_model(endpoint.name, endpoint.deployed_models[0].id)
    assert client.delete(f"/v1/{model.name}").json()["done"]
    assert client.get(f"/v1/{model.name}").status_code == 404


def test_a_model_is_renamed_and_keeps_the_label_that_loads_it(client: TestClient, store: Store) -> None:
    model, _ = tuned(store)
    whole = client.get(f"/v1/{model.name}").json() | {"displayName": "new", "labels": {"team": "x"}}
    mask = {"updateMask": "displayName,labels"}
    said = client.patch(f"/v1/{model.name}", params=mask, json=whole).json()
    assert said["displayName"] == "new"
    assert said["labels"] == {"team": "x", resources.BASE_MODEL_LABEL: "code-bison-002"}


def test_a_version_answers_to_its_aliases(client: TestClient, store: Store) -> None:
    model, _ = tuned(store)
    merged = client.post(f"/v1/{model.name}@1:mergeVersionAliases", json={"versionAliases": ["golden"]}).json()
    assert set(merged["versionAliases"]) == {"default", "golden"}
    assert client.get(f"/v1/{model.name}%40golden").json()["versionId"] == "1"
    client.post(f"/v1/{model.name}@1:mergeVersionAliases", json={"versionAliases": ["-golden"]})
    assert client.get(f"/v1/{model.name}%40golden").status_code == 404
    assert len(client.get(f"/v1/{model.name}:listVersions").json()["models"]) == 1


@pytest.mark.parametrize(
    ("name", "stem"), [("code-bison@002", "code"), ("codechat-bison", "codechat"), ("text-bison@001", "text")]
)
def test_publisher_models_say_what_the_sdk_looks_for(client: TestClient, name: str, stem: str) -> None:
    said = client.get(f"/v1/publishers/google/models/{name}").json()
    assert said["name"] == f"publishers/google/models/{stem}-bison"
    assert said["publisherModelTemplate"].endswith(name if "@" in name else f"{name}@002")
    assert said["predictSchemata"]["instanceSchemaUri"].endswith(f"/{stem}_generation_1.0.0.yaml")
    assert client.get("/v1/publishers/google/models/none@1").status_code == 404
