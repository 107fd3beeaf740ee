"""What a job will cost, asked before it is submitted: counted, reckoned, placed in the queue; unknown where it is."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from making import make_plan
from served import served
from tiny_model import make_tiny_model
from tunesmith import catalog, cost, folder, process
from tunesmith.api.app import create_app
from tunesmith.api.inspector import Inspector
from tunesmith.client import Client
from tunesmith.cost import Counts, Machine
from tunesmith.folder import JobFolder
from tunesmith.settings import Settings
from tunesmith.spec import TuningSpec, resolve
from tunesmith.store import Asked, Ending, Store

PATH = "/v1/projects/local/locations/us-central1/pipelineJobs"
ROWS = [{"input_text": f"Write the code in Python: add {i}", "output_text": f"x += {i}"} for i in range(20)]
BODY: dict[str, Any] = {
    "displayName": "a job",
    "templateUri": "https://us-kfp.pkg.dev/ml-pipeline/large-language-model-pipelines/tune-large-model/v3.0.0",
    "runtimeConfig": {
        "gcsOutputDirectory": "gs://data/out",
        "parameterValues": {
            "project": "local",
            "model_display_name": "m",
            "dataset_uri": "gs://data/train.jsonl",
            "large_model_reference": "code-bison@002",
            "train_steps": 50,
        },
    },
}
MACHINE = Machine("a device", "float32", False, 1e11, 1.0, 2**34)
ELSEWHERE = "another-boot.1:77:88"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    tiny = str(make_tiny_model(tmp_path / "tiny"))
    data = tmp_path / "buckets" / "data"
    data.mkdir(parents=True)
    (data / "train.jsonl").write_text("\n".join(map(json.dumps, ROWS)), "utf-8")
    return Settings(tmp_path, aliases={"code-bison@002": tiny})


@pytest.fixture(autouse=True)
def _measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine has been measured: taking the engine for it costs seconds."""
    monkeypatch.setattr(Inspector, "machine", lambda self, precision: MACHINE)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as found:
        yield found


def ask(client: TestClient, expect: int = 200, **parameters: Any) -> Any:
    body = copy.deepcopy(BODY)
    body["runtimeConfig"]["parameterValues"] |= parameters
    answer = client.post(f"{PATH}:estimate", json=body)
    assert answer.status_code == expect, answer.text
    return answer.json()


def store_of(client: TestClient) -> Store:
    found: Store = client.app.state.store  # type: ignore[attr-defined]
    return found


def tuned_by(client: TestClient, settings: Settings, worker: str, **result: Any) -> None:
    """A job whose first two tasks that worker has done."""
    store = store_of(client)
    job = store.create_job(make_plan(), job_id="before")
    for name in ("validate-dataset", "tune"):
        claim = store.claim(worker, now_s=1.0, lease_s=1e9)
        assert claim is not None
        assert claim.task == name
        store.started(claim, "h", now_s=1.0)
        attempt = JobFolder(settings.jobs / job.id).attempt(name, 1).create()
        folder.write_json(attempt.result, result)
        store.settle(claim, Ending("succeeded"), now_s=2.0)


def test_tokens_are_counted_as_the_job_would(client: TestClient) -> None:
    found = ask(client)
    assert found["valid"]
    assert found["examples"] == 20
    assert found["tokens"] > found["targetTokens"] > 0
    assert found["longestTokens"] * 20 >= found["tokens"]
    assert (found["steps"], found["batchSize"], found["epochs"]) == (50, 8, 20.0)


def test_time_and_memory_are_those_of_the_measured_machine(client: TestClient, settings: Settings) -> None:
    found = ask(client)
    spec = TuningSpec.parse({"dataset": "-", "base_model": settings.aliases["code-bison@002"], "train_steps": 50})
    plan = resolve(spec, catalog.find(spec.base_model, {}, settings.base_models))
    counts = Counts(20, found["tokens"], found["targetTokens"], found["longestTokens"], 0)
    wanted = cost.estimate(plan, cost.read_dimensions(Path(spec.base_model)), counts, MACHINE)
    assert (found["seconds"], found["memoryBytes"]) == (wanted.seconds, wanted.memory_bytes)
    assert (found["device"], found["memoryAvailableBytes"]) == ("a device", 2**34)


def test_nothing_is_submitted(client: TestClient, settings: Settings) -> None:
    ask(client)
    assert store_of(client).jobs() == []
    assert not settings.jobs.exists()


def test_what_create_would_refuse_is_refused_in_the_same_words(client: TestClient) -> None:
    wrong = {"train_steps": 0, "dataset_uri": "here.jsonl"}
    body = copy.deepcopy(BODY)
    body["runtimeConfig"]["parameterValues"] |= wrong
    assert ask(client, 400, **wrong) == client.post(PATH, json=body).json()


def test_data_that_cannot_be_trained_on_have_findings_and_no_cost(client: TestClient, settings: Settings) -> None:
    (settings.local_buckets / "data" / "train.jsonl").write_text("{\n" * 20, "utf-8")
    found = ask(client)
    assert not found["valid"]
    assert found["findings"][0]["line"] == 1
    assert "seconds" not in found
    assert "tokens" not in found


def test_rows_that_are_too_long_are_counted(client: TestClient, settings: Settings) -> None:
    long = {"input_text": "Write the code in Python: " + "add 1, " * 1500, "output_text": "x += 1"}
    (settings.local_buckets / "data" / "train.jsonl").write_text("\n".join(map(json.dumps, [*ROWS, long])), "utf-8")
    found = ask(client)
    assert (found["valid"], found["refusedExamples"]) == (False, 1)


def test_data_that_are_not_there_are_named(client: TestClient) -> None:
    answer = ask(client, 404, dataset_uri="gs://data/none.jsonl")
    assert "gs://data/none.jsonl" in answer["error"]["message"]


def test_a_job_that_would_begin_at_once_has_no_place_in_the_queue(client: TestClient) -> None:
    assert ask(client)["queuePosition"] == 0


def test_behind_those_who_wait_a_job_has_the_next_place(client: TestClient) -> None:
    store = store_of(client)
    for number in range(3):
        store.create_job(make_plan(), job_id=f"waits-{number}", asked=Asked(units=8))
    assert ask(client)["queuePosition"] == 4


def test_while_others_hold_the_pool_a_job_waits(client: TestClient) -> None:
    store = store_of(client)
    store.create_job(make_plan(), job_id="runs", asked=Asked(units=8))
    claim = store.claim(process.own(), now_s=1.0, lease_s=1e9, capacity={"GPU": 8})
    assert claim is not None
    store.started(claim, "h", now_s=1.0)
    assert ask(client)["queuePosition"] == 1


def test_where_workers_are_elsewhere_what_the_last_job_ran_on_counts(client: TestClient, settings: Settings) -> None:
    tuned_by(client, settings, ELSEWHERE, machine=asdict(replace(MACHINE, name="theirs")))
    found = ask(client)
    assert found["device"] == "theirs"
    assert "last job" in found["deviceKnown"]


def test_where_workers_are_elsewhere_and_said_nothing_the_device_is_unknown(
    client: TestClient, settings: Settings
) -> None:
    tuned_by(client, settings, ELSEWHERE)
    found = ask(client)
    assert (found["device"], "seconds" in found, "memoryBytes" in found) == ("unknown", False, False)
    assert "another machine" in found["deviceKnown"]
    assert found["tokens"] > 0


def test_of_a_base_model_of_another_form_time_and_memory_are_unknown(client: TestClient, settings: Settings) -> None:
    file = Path(settings.aliases["code-bison@002"]) / "config.json"
    said = json.loads(file.read_text("utf-8"))
    del said["num_hidden_layers"]
    file.write_text(json.dumps(said), "utf-8")
    found = ask(client)
    assert (found["device"], "seconds" in found) == ("unknown", False)
    assert "config.json" in found["deviceKnown"]


def test_where_the_worker_is_here_this_machine_counts(client: TestClient, settings: Settings) -> None:
    tuned_by(client, settings, process.own(), machine=asdict(replace(MACHINE, name="of before")))
    assert ask(client)["device"] == "a device"


def test_a_viewer_estimates_nothing(client: TestClient) -> None:
    secret = store_of(client).create_key("looks", project="local", role="viewer").secret
    answer = client.post(f"{PATH}:estimate", json=BODY, headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 403


def test_a_client_asks_for_estimate_check_and_report(settings: Settings) -> None:
    with served(settings) as server, Client(server.url) as client:
        server.store.create_job(make_plan(), job_id="tune-1")
        assert client.estimate_job(BODY)["device"] == "a device"
        assert client.check_data("gs://data/train.jsonl", base_model="code-bison@002")["tokens"]["examples"] == 20
        assert client.job_report("tune-1")["batchSize"] == 8
