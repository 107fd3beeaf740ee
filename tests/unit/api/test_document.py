"""The OpenAPI document against the application, route by route: what a client may send, and all that may come back.

Every route of the document is tested, so a new one is held to what is said of it by itself. Three kinds of requests are
made to each: such as the document allows, to things that exist and to anything; and such as it forbids. Examples are
the same in every run; TESTS_EXAMPLES is how many of each kind (`make full`: 60).
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

from database_server import settings_for
from making import make_plan
from served import Served, finish, served
from tunesmith.api.app import create_app
from tunesmith.settings import Settings
from tunesmith.store import Asked

EXAMPLES = int(os.environ.get("TESTS_EXAMPLES", "8"))
PARENT = "/v1/projects/p/locations/us-central1"

BATCH = {
    "displayName": "b",
    "model": "publishers/google/models/code-bison@002",
    "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://bucket/object"]}},
    "outputConfig": {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": "gs://bucket/out"}},
}

BUILD = {
    "displayName": "b",
    "codebaseSource": {"repository": "gs://bucket/shop.zip"},
    "outputConfig": {"gcsDestination": {"outputUriPrefix": "gs://bucket/out"}},
}

# A text that the document allows may be no filter, no time, no URI of a data set for all that: it may be refused.
LEFT_OUT = {"positive_data_acceptance", "ignored_auth", "unsupported_method"}


@functools.cache
def routes() -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as home:
        app = create_app(Settings(Path(home)))
        paths = app.openapi()["paths"]
        app.state.store.close()
    return [(method, path) for path, methods in paths.items() for method in methods]


class Api(NamedTuple):
    """A server, and how it is spoken with."""

    server: Served
    schema: Any
    session: requests.Session


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, tests_database: object) -> Iterator[Api]:
    home = tmp_path_factory.mktemp("home")
    with served(settings_for(home)) as running, requests.Session() as session:
        yield Api(running, schemathesis.openapi.from_url(f"{running.url}/openapi.json"), session)


def make_known(api: Api) -> Mapping[str, str]:
    """The parts of paths that lead to something, made for the test that asks: it may delete them."""
    store = api.server.store
    asked = Asked(deploys=True, request={"pipelineName": "tune-large-model"})
    job = store.create_job(make_plan(project="p"), asked=asked)
    model = finish(store, job.id)
    with httpx.Client(base_url=api.server.url) as client:
        client.post("/storage/v1/b?project=p", json={"name": "bucket"})
        client.post("/upload/storage/v1/b/bucket/o?uploadType=media&name=object", content=b"x")
        made = client.post(f"{PARENT}/endpoints", json={"displayName": "e"}).json()
        batch = client.post(f"{PARENT}/batchPredictionJobs", json=BATCH).json()
        build = client.post(f"{PARENT}/datasetBuildJobs", json=BUILD).json()
        board = client.post(f"{PARENT}/tensorboards", json={"displayName": "b"}).json()["response"]["name"]
        run = f"{board}/experiments/e/runs/r"
        for path, own in (
            (f"{board}/experiments?tensorboardExperimentId=e", {}),
            (f"{board}/experiments/e/runs?tensorboardRunId=r", {}),
            (f"{run}/timeSeries", {"valueType": "SCALAR"}),
        ):
            last = client.post(f"/v1/{path}", json={"displayName": "d", **own})
            assert last.status_code == 200, last.text
    return {
        "project": "p",
        "location": "us-central1",
        "job": job.job_id,
        "model": model.rpartition("/")[2],
        "endpoint": store.endpoint_name(job).rpartition("/")[2],
        "operation": made["name"].rpartition("/")[2],
        "evaluation": "1",
        "batch": batch["name"].rpartition("/")[2],
        "build": build["name"].rpartition("/")[2],
        "tensorboard": board.rpartition("/")[2],
        "experiment": "e",
        "run": "r",
        "series": last.json()["name"].rpartition("/")[2],
        "bucket": "bucket",
        "name": "object",
    }


def names(path: str) -> list[str]:
    return [part.strip("{}") for part in path.replace(":", "/").split("/") if part.startswith("{")]


@pytest.fixture
def _open_again(api: Api) -> Iterator[None]:
    """Ends the keys that a test has made: with one in force, the server is closed to the others."""
    yield
    every = api.server.store.keys()
    for key in every:
        api.server.store.revoke_key(key.id)


@pytest.mark.usefixtures("_open_again")
@pytest.mark.parametrize("kind", ["known", "any", "forbidden"])
@pytest.mark.parametrize(("method", "path"), routes(), ids=lambda part: part)
def test_answers_are_as_documented(api: Api, method: str, path: str, kind: str) -> None:
    operation = api.schema[path][method.upper()]
    mode = GenerationMode.NEGATIVE if kind == "forbidden" else GenerationMode.POSITIVE
    fixed = None
    if kind == "known":
        known = make_known(api)
        if "batchPredictionJobs" in path:
            known = {**known, "job": known["batch"]}
        if "datasetBuildJobs" in path:
            known = {**known, "job": known["build"]}
        fixed = {name: known[name] for name in names(path) if name in known}

    @hypothesis.given(case=operation.as_strategy(mode, path_parameters=fixed))
    @hypothesis.settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    def ask(case: Any) -> None:
        answer = case.call(session=api.session, timeout=30)
        case.validate_response(answer, excluded_checks=[CHECKS.get_one(name) for name in LEFT_OUT])

    try:
        ask()
    except hypothesis.errors.Unsatisfiable:
        assert kind == "forbidden"  # of what may vary here nothing is forbidden
