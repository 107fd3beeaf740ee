"""The two bodies that scripts of the reference product send, with the host changed and nothing else, to the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from running_service import Service, running_service, wait_until
from tunesmith import resources

HERE = "/v1/projects/myproject/locations/us-central1"
TEMPLATES = "https://us-kfp.pkg.dev/ml-pipeline/large-language-model-pipelines"
KEY = "projects/myproject/locations/us-central1/keyRings/sample-key/cryptoKeys/sample-key"
ENDED = ("PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED", "PIPELINE_STATE_CANCELLED")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service")) as service:
        service.put("my-gcs-bucket-uri", "dataset", _generation(40, "add"))
        service.put("my-gcs-bucket-uri", "evaluation.jsonl", _generation(12, "subtract"))
        service.put("my-gcs-bucket-uri", "chat", _chat(20))
        yield service


@pytest.fixture(scope="module")
def board(service: Service) -> str:
    name: str = service.ask("POST", f"{HERE}/tensorboards", {"displayName": "b"})["response"]["name"]
    return name


@pytest.fixture(scope="module")
def figures_while_running() -> dict[str, list[tuple[int, float]]]:
    """What was read of the generation job's metrics while it ran, the last time."""
    return {}


@pytest.fixture(scope="module")
def generation_job(
    service: Service, board: str, figures_while_running: dict[str, list[tuple[int, float]]]
) -> dict[str, Any]:
    body = {
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
                "tensorboard_resource_id": board.rpartition("/")[2],
            },
        },
        "templateUri": f"{TEMPLATES}/tune-large-model/v3.0.0",
    }
    job_id = "tune-large-model-20240401120000"

    def look(job: dict[str, Any]) -> None:
        if job["state"] == "PIPELINE_STATE_RUNNING":
            figures_while_running.update(service.figures(board, job_id))

    return _run(service, job_id, body, look)


@pytest.fixture(scope="module")
def chat_job(service: Service) -> dict[str, Any]:
    body = {
        "displayName": "my chat pipeline",
        "runtimeConfig": {
            "gcsOutputDirectory": "gs://my-gcs-bucket-uri/output",
            "parameterValues": {
                "project": "myproject",
                "model_display_name": "chat in the UI",
                "dataset_uri": "gs://my-gcs-bucket-uri/chat",
                "location": "us-central1",
                "large_model_reference": "codechat-bison@002",
                "default_context": "You are an assistant who adds.",
                "learning_rate_multiplier": "1",
                "train_steps": "20",
                "encryption_spec_key_name": KEY,
            },
        },
        "encryptionSpec": {"kmsKeyName": KEY},
        "templateUri": f"{TEMPLATES}/tune-large-chat-model/v3.0.0",
    }
    return _run(service, "tune-large-chat-model-20240401120000", body)


def test_the_generation_body_is_answered_with_its_template_and_succeeds(generation_job: dict[str, Any]) -> None:
    assert generation_job["state"] == "PIPELINE_STATE_SUCCEEDED", generation_job.get("error")
    assert "train_steps" in generation_job["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]


def test_the_six_metrics_are_in_the_tensorboard_live_and_in_the_end(
    service: Service, board: str, generation_job: dict[str, Any], figures_while_running: Any
) -> None:
    ended = service.figures(board, generation_job["name"].rpartition("/")[2])
    assert set(ended) == {f"/{name}" for name in (*resources.TRAINING_METRICS, *resources.EVALUATION_METRICS)}
    assert all(ended.values())
    live = figures_while_running
    assert len(live["/train_total_loss"]) > 1
    assert ended["/train_total_loss"][: len(live["/train_total_loss"])] == live["/train_total_loss"]


def test_the_model_is_listed_by_its_base_and_predicts(service: Service, generation_job: dict[str, Any]) -> None:
    model = _model_of(generation_job)
    label = "labels.google-vertex-llm-tuning-base-model-id=%22code-bison-002%22"
    found = service.ask("GET", f"{HERE}/models?filter={label}")
    assert model in [each["name"] for each in found["models"]]
    endpoint = service.ask("GET", f"/v1/{model}")["deployedModels"][0]["endpoint"]
    body = {"instances": [{"prefix": "Write a function"}], "parameters": {"temperature": 0.5, "maxOutputTokens": 8}}
    answer = _predict(service, endpoint, body)
    assert [type(each["content"]) for each in answer["predictions"]] == [str]
    assert answer["model"] == model


def test_the_chat_body_succeeds_and_its_model_chats(service: Service, chat_job: dict[str, Any]) -> None:
    assert chat_job["state"] == "PIPELINE_STATE_SUCCEEDED", chat_job.get("error")
    assert chat_job["encryptionSpec"] == {"kmsKeyName": KEY}
    endpoint = service.ask("GET", f"/v1/{_model_of(chat_job)}")["deployedModels"][0]["endpoint"]
    messages = [{"author": "user", "content": "what is 1 plus 2?"}]
    body = {"instances": [{"context": "Add.", "messages": messages}], "parameters": {"maxOutputTokens": 8}}
    (prediction,) = _predict(service, endpoint, body)["predictions"]
    assert len(prediction["candidates"]) == len(prediction["safetyAttributes"]) == 1


def _run(
    service: Service, job_id: str, body: dict[str, Any], look: Callable[[dict[str, Any]], None] = lambda job: None
) -> dict[str, Any]:
    created = service.ask("POST", f"{HERE}/pipelineJobs?pipelineJobId={job_id}", body)

    def ended() -> dict[str, Any] | None:
        job = service.ask("GET", f"/v1/{created['name']}")
        look(job)
        return job if job["state"] in ENDED else None

    job: dict[str, Any] = wait_until(ended)
    return job


def _model_of(job: dict[str, Any]) -> str:
    (upload,) = [t for t in job["jobDetail"]["taskDetails"] if t["taskName"] == "upload-llm-model"]
    name: str = upload["execution"]["metadata"]["output:model_resource_name"]
    return name


def _predict(service: Service, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = service.ask("POST", f"/v1/{endpoint}:predict", body)
    return answer


def _generation(number: int, word: str) -> str:
    rows = [
        {
            "input_text": f"Write the code in Python: {word} {i} to x",
            "output_text": f"def {word}_{i}(x):\n    return x + {i}\n",
        }
        for i in range(number)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


def _chat(number: int) -> str:
    rows = [
        {
            "messages": [
                {"author": "user", "content": f"what is {i} plus 1?"},
                {"author": "assistant", "content": f"it is {i + 1}"},
            ]
        }
        for i in range(number)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)
