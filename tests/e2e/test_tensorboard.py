"""A real job that writes to a tensorboard, its tuning killed on the way: what is read live, in the end, and shown."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from running_service import Service, running_service, wait_until
from tunesmith import resources

PARENT = "/v1/projects/p/locations/us-central1"
STEPS = 150
INTERVAL = 10
TAGS = [f"/{name}" for name in (*resources.TRAINING_METRICS, *resources.EVALUATION_METRICS)]
TEMPLATE = "https://us-kfp.pkg.dev/ml-pipeline/large-language-model-pipelines/tune-large-model/v3.0.0"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service")) as service:
        for name, rows in (("train", 60), ("evaluation", 12)):
            lines = [{"input_text": f"{name} {i} to x", "output_text": f"return x + {i}"} for i in range(rows)]
            service.put("bucket", f"{name}.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        yield service


def state(service: Service) -> str:
    said: str = service.ask("GET", f"{PARENT}/pipelineJobs/job")["state"]
    return said.removeprefix("PIPELINE_STATE_")


def start(service: Service) -> str:
    """The name of a new tensorboard, to which a job has begun to write."""
    made = service.ask("POST", f"{PARENT}/tensorboards", {"displayName": "b"})
    board: str = made["response"]["name"]
    values = {
        "model_display_name": "m",
        "dataset_uri": "gs://bucket/train.jsonl",
        "evaluation_data_uri": "gs://bucket/evaluation.jsonl",
        "evaluation_interval": INTERVAL,
        "enable_early_stopping": False,
        "large_model_reference": "code-bison@002",
        "location": "us-central1",
        "train_steps": STEPS,
        "tensorboard_resource_id": board,
    }
    body = {"templateUri": TEMPLATE, "runtimeConfig": {"parameterValues": values}}
    service.ask("POST", f"{PARENT}/pipelineJobs?pipelineJobId=job", body)
    return board


def kill_tuning(service: Service) -> None:
    [attempt] = (service.home / "jobs").glob("*/tune/attempt-1")
    os.kill(json.loads((attempt / "pid").read_text())["pid"], signal.SIGKILL)


def written_events(service: Service) -> dict[str, list[tuple[int, float]]]:
    """What the job's own event files hold."""
    found: dict[str, list[tuple[int, float]]] = {}
    [link] = (service.home / "jobs").glob("*/tensorboard")
    for path in sorted(link.glob("events.*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                [number] = value.tensor.float_val
                found.setdefault(value.tag, []).append((event.step, number))
    return found


def test_a_jobs_figures_are_read_live_through_a_kill_and_are_the_same_everywhere(service: Service) -> None:
    board = start(service)
    wait_until(lambda: len(service.figures(board, "job")["/train_total_loss"]) >= 2 * INTERVAL)
    assert state(service) == "RUNNING"
    before = service.figures(board, "job")
    kill_tuning(service)

    seen = [len(before["/train_total_loss"])]
    while state(service) == "RUNNING" and seen[-1] < STEPS:
        live = service.figures(board, "job")
        steps = [step for step, _ in live["/train_total_loss"]]
        assert steps == list(range(1, len(steps) + 1)), "a step is missing or stands twice"
        seen.append(len(steps))
        time.sleep(0.05)
    assert seen == sorted(seen), "what was read once was lost"
    wait_until(lambda: state(service) in resources.ENDED)
    assert state(service) == "SUCCEEDED"
    assert len(list((service.home / "jobs").glob("*/tune/attempt-2"))) == 1

    found = service.figures(board, "job")
    assert sorted(found) == sorted(TAGS)
    assert [step for step, _ in found["/train_num_predictions"]] == list(range(1, STEPS + 1))
    assert [step for step, _ in found["/eval_total_loss"]] == list(range(0, STEPS + 1, INTERVAL))
    assert found["/train_total_loss"][: len(before["/train_total_loss"])] == before["/train_total_loss"]

    shown = {}
    for tag in TAGS:
        query = urllib.parse.urlencode({"run": "p/job", "tag": tag})
        points = service.ask("GET", f"/tensorboard/data/plugin/scalars/scalars?{query}")
        shown[tag] = [(step, value) for _, step, value in points]
    assert shown == found
    events = written_events(service)
    assert {tag: [step for step, _ in points] for tag, points in events.items()} == {
        tag: [step for step, _ in points] for tag, points in found.items()
    }
    for tag, points in events.items():
        assert [value for _, value in points] == pytest.approx([value for _, value in found[tag]])

    with urllib.request.urlopen(f"{service.url}/tensorboard/") as page:
        assert b"tb-relative-root" in page.read()
