"""A person beside a real service: asks what a job would cost, starts it, watches it over a connection that breaks."""

from __future__ import annotations

import itertools
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from running_service import Service, running_service

PARENT = "/v1/projects/local/locations/us-central1"
JOBS = f"{PARENT}/pipelineJobs"
BODY = {
    "displayName": "watched",
    "templateUri": "https://us-kfp.pkg.dev/ml-pipeline/large-language-model-pipelines/tune-large-model/v3.0.0",
    "runtimeConfig": {
        "gcsOutputDirectory": "gs://data/out",
        "parameterValues": {
            "project": "local",
            "model_display_name": "watched",
            "large_model_reference": "code-bison@002",
            "dataset_uri": "gs://data/train.jsonl",
            "train_steps": 12,
        },
    },
}
ROWS = [{"input_text": f"Write the code in Python: add {n}", "output_text": f"x += {n}"} for n in range(24)]

Event = tuple[str, str, Any]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(Path(tmp_path_factory.mktemp("service"))) as made:
        made.put("data", "train.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS))
        yield made


def watch(service: Service, job: str, place: str = "") -> Iterator[Event]:
    """(kind, id, data) of each event, behind that place."""
    request = urllib.request.Request(
        f"{service.url}{JOBS}/{job}:watch", headers={"Last-Event-ID": place} if place else {}
    )
    with urllib.request.urlopen(request) as answer:
        said: dict[str, str] = {}
        for line in answer:
            name, colon, value = line.decode().rstrip("\n").partition(": ")
            if colon and name:
                said[name] = value
            elif not name and said:
                yield said["event"], said.get("id", ""), json.loads(said["data"])
                said = {}


def told(events: list[Event]) -> list[tuple[str, Any]]:
    """In the order of each kind; what an attempt says of itself now is no history."""
    every = [(kind, data) for kind, _, data in events if kind != "progress"]
    return sorted(every, key=lambda event: event[0])


def test_the_cost_that_is_told_is_of_what_the_job_then_counts(service: Service) -> None:
    expected = service.ask("POST", f"{JOBS}:estimate", BODY)
    assert expected["valid"]
    assert expected["device"].startswith("CPU")
    assert expected["seconds"] > 0
    service.ask("POST", f"{JOBS}?pipelineJobId=watched", BODY)
    every = list(watch(service, "watched"))
    assert every[-1][2]["state"] == "SUCCEEDED"
    report = service.ask("GET", f"{JOBS}/watched:report")
    counted = ("examples", "tokens", "targetTokens", "epochs")
    assert {name: report["data"][name] for name in counted} == {name: expected[name] for name in counted}
    assert report["data"]["longest"] == expected["longestTokens"]
    assert report["training"]["device"] == expected["device"]


def test_a_watch_that_is_cut_again_and_again_tells_what_one_in_one_piece_tells(service: Service) -> None:
    body = {**BODY, "displayName": "again"}
    service.ask("POST", f"{JOBS}?pipelineJobId=again", body)
    place = ""
    heard: list[Event] = []
    pieces = itertools.cycle(range(1, 8))
    while not any(kind == "state" and "task" not in data and data["state"] == "SUCCEEDED" for kind, _, data in heard):
        heard += itertools.islice(watch(service, "again", place), next(pieces))
        place = heard[-1][1]
        assert place
    assert told(heard) == told(list(watch(service, "again")))
    assert [data["step"] for kind, _, data in heard if kind == "metrics"] == list(range(1, 13))
