"""Requests that mean harm, on every route that the OpenAPI document lists: bodies, page tokens, filters, names."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from making import make_plan
from tunesmith.api.app import create_app
from tunesmith.settings import Settings
from tunesmith.store import Asked, Store

PARENT = "/v1/projects/p/locations/us-central1"
JOBS = f"{PARENT}/pipelineJobs"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(tmp_path)), base_url="http://127.0.0.1") as found:
        yield found


def add_jobs(client: TestClient, number: int, project: str = "p") -> None:
    store: Store = client.app.state.store  # type: ignore[attr-defined]
    for i in range(number):
        labels = {"team": "a%b" if i % 2 else "a_b"}
        asked = Asked(display_name=f"job {i}", request={"pipelineName": "tune-large-model", "labels": labels})
        store.create_job(make_plan(project=project), job_id=f"job-{i}", asked=asked, now_s=float(i))


def all_routes(client: TestClient) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and what the document says, of every route."""
    paths = client.get("/openapi.json").json()["paths"]
    return [(method.upper(), path, said) for path, methods in paths.items() for method, said in methods.items()]


def filled(path: str, part: str = "1", project: str = "p") -> str:
    """The path with what varies filled in."""
    plain = path.replace("{project}", project).replace("{location}", "us-central1")
    return re.sub(r"\{\w+\}", part, plain)


def routes(client: TestClient, *, takes: str) -> list[tuple[str, str]]:
    """Method and a path of every route that takes a body of that type, or a query argument of that name."""
    found = []
    for method, path, said in all_routes(client):
        names = [p["name"] for p in said.get("parameters", []) if p["in"] == "query"]
        if takes in names or takes in said.get("requestBody", {}).get("content", {}):
            found.append((method, filled(path)))
    return found


def refused(answer: httpx.Response, where: str) -> None:
    assert answer.status_code in (400, 404), f"{where} answered {answer.status_code} {answer.text[:300]}"
    assert answer.json()["error"]["message"]


BODIES: dict[str, tuple[bytes, dict[str, str]]] = {
    "not JSON": (b"{", JSON),
    "a list": (b"[]", JSON),
    "a key twice": (b'{"displayName": "a", "displayName": "b"}', JSON),
    "not UTF-8": (b'{"displayName": "\xff"}', JSON),
    "NUL": (b'{"displayName": "a\\u0000b"}', JSON),
    "NUL in a key": (b'{"a\\u0000": 1}', JSON),
    "half a character": (b'{"displayName": "\\ud800"}', JSON),
    "NaN": (b'{"displayName": NaN}', JSON),
    "a number without end": (b'{"displayName": 1e999}', JSON),
    "a number of 5,000 digits": (b'{"displayName": ' + b"9" * 5000 + b"}", JSON),
    "100,000 deep": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, JSON),
    "65 deep": (b'{"a":' * 65 + b"1" + b"}" * 65, JSON),
    "9 MiB": (b'{"displayName": "' + b"a" * (9 << 20) + b'"}', JSON),
    "a form": (b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}),
    "no type": (b"{}", {}),
    "gzip": (gzip.compress(b" " * (64 << 20)), JSON | {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("kind", BODIES)
def test_body_is_refused_by_every_route_that_takes_one(client: TestClient, kind: str) -> None:
    body, headers = BODIES[kind]
    found = [(m, p) for m, p in routes(client, takes="application/json") if not p.startswith("/storage/")]
    assert len(found) > 15
    for method, path in found:
        answer = client.request(method, path, content=body, headers=headers)
        refused(answer, f"{method} {path}")


@pytest.mark.parametrize("kind", ["not JSON", "a list", "NUL", "half a character", "NaN", "100,000 deep", "9 MiB"])
def test_metadata_of_the_object_storage_is_refused(client: TestClient, kind: str) -> None:
    assert client.post("/storage/v1/b?project=p", json={"name": "bucket"}).status_code == 200
    body, headers = BODIES[kind]
    for method, path in (("POST", "/storage/v1/b?project=p"), ("PUT", "/storage/v1/b/bucket/iam")):
        refused(client.request(method, path, content=body, headers=headers), path)


# Lists.


def made_up(parent: str, position: Any, filter_text: str = "") -> str:
    """A token as somebody makes it who has read how we do."""
    body = json.dumps(position).encode()
    said = json.dumps([parent, filter_text, ""]).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(said + body).digest()[:9] + body).decode().rstrip("=")


TOKENS = ["x", "\u00e9", "a" * 5000, "====", "' OR 1=1 --", "AAAAAAAAAAAAAAAA"]
POSITIONS = [[], [1, 2], ["x"], [None], [[1]], {"a": 1}, 1, [10**30], [1e308], [True], ["\0"], [-1]]


def test_page_token_that_is_none_is_refused_by_every_list(client: TestClient) -> None:
    found = routes(client, takes="pageToken")
    assert len(found) >= 4
    for method, path in found:
        for token in TOKENS:
            answer = client.request(method, path, params={"pageToken": token})
            refused(answer, f"{method} {path} {token}")


@pytest.mark.parametrize("position", POSITIONS, ids=str)
def test_page_token_that_somebody_made_up_gives_a_page_or_is_refused(client: TestClient, position: Any) -> None:
    add_jobs(client, 3)
    for kind in ("pipelineJobs", "models", "endpoints"):
        parent = f"projects/p/locations/us-central1/{kind}"
        answer = client.get(f"/v1/{parent}", params={"pageToken": made_up(parent, position)})
        assert answer.status_code in (200, 400), answer.text


def test_page_token_of_another_project_or_filter_is_refused(client: TestClient) -> None:
    add_jobs(client, 3)
    add_jobs(client, 3, "other")
    token = client.get(JOBS, params={"pageSize": 1}).json()["nextPageToken"]
    assert len(client.get(JOBS, params={"pageToken": token}).json()["pipelineJobs"]) == 2
    refused(client.get(JOBS.replace("/p/", "/other/"), params={"pageToken": token}), "another project")
    refused(client.get(JOBS, params={"pageToken": token, "filter": 'state="PIPELINE_STATE_QUEUED"'}), "another filter")
    refused(client.get(JOBS, params={"pageToken": token, "orderBy": "create_time"}), "another order")


@pytest.mark.parametrize(
    ("size", "status"), [("0", 200), ("-1", 400), ("1000000000", 200), ("9" * 30, 200), ("x", 400)]
)
def test_page_size(client: TestClient, size: str, status: int) -> None:
    add_jobs(client, 2)
    for method, path in routes(client, takes="pageSize"):
        answer = client.request(method, path, params={"pageSize": size})
        assert answer.status_code in (status, 404), f"{path} {answer.text}"
    assert client.get(JOBS, params={"pageSize": size}).status_code == status


FILTERS = [
    "'; DROP TABLE jobs; --",
    'display_name="x" OR 1=1',
    'display_name="x\\" OR \\"1\\"=\\"1"',
    'labels.x"y=1',
    "labels.$.a[0]=1",
    'labels.a->>b="c"',
    "create_time:5",
    'create_time<"0001-01-01T00:00:00+23:59"',
    'create_time>"9999-12-31T23:59:59-23:59"',
    "create_time>tomorrow",
    "nothing=1",
    "(" * 500,
    "(" * 21 + "name=a" + ")" * 21,
    "NOT " * 480 + "name=a",
    "name=a " * 280,
    "labels.*:*",
    "=",
    ":",
    "a" * 3000,
    "\0",
]


@pytest.mark.parametrize("text", FILTERS)
def test_filter_does_no_harm(client: TestClient, text: str) -> None:
    add_jobs(client, 3)
    found = routes(client, takes="filter")
    assert len(found) >= 3
    for method, path in found:
        answer = client.request(method, path, params={"filter": text})
        assert answer.status_code in (200, 400, 404), f"{method} {path} {answer.text}"
        assert "job-" not in answer.text
    assert len(client.get(JOBS).json()["pipelineJobs"]) == 3


@pytest.mark.parametrize(("text", "number"), [("%", 2), ("_", 2), ("*b", 4), ("a*", 4), ("A%B", 2), ("\\", 0)])
def test_wildcards_of_sql_stand_for_themselves(client: TestClient, text: str, number: int) -> None:
    add_jobs(client, 4)
    found = client.get(JOBS, params={"filter": f'labels.team:"{text}"'.replace("\\", "\\\\")}).json()
    assert len(found.get("pipelineJobs", [])) == number


# Names.


@pytest.mark.parametrize("name", ["P", "..", "a b", "a%00b", "a%2Fb", "\u0440", "a" * 64, "-a", "%ff"])
def test_project_that_no_resource_can_have_is_refused_by_every_route(client: TestClient, name: str) -> None:
    found = [(method, filled(path, project=name)) for method, path, _ in all_routes(client) if "{project}" in path]
    assert len(found) > 30
    for method, path in found:
        answer = client.request(method, path, json={} if method in ("POST", "PATCH") else None)
        assert answer.status_code in (400, 404, 405), f"{method} {path} answered {answer.status_code}"


def test_nul_in_any_part_of_a_path_or_query_is_refused(client: TestClient) -> None:
    for method, path, _ in all_routes(client):
        if filled(path) != filled(path, "2"):
            answer = client.request(method, filled(path, "a%00"), json={} if method in ("POST", "PATCH") else None)
            assert answer.status_code in (400, 404), f"{method} {path} answered {answer.status_code}"
    for argument in ("filter", "orderBy", "pageToken", "readMask", "pipelineJobId", "updateMask", "anything"):
        assert client.get(JOBS, params={argument: "a\0"}).status_code == 400


def test_nul_is_found_in_every_value_of_a_repeated_argument(client: TestClient) -> None:
    refused = client.get(f"{JOBS}?filter=a%00&filter=")
    assert refused.status_code == 400
    assert "NUL" in refused.text


def test_body_that_is_wrong_in_ten_thousand_places_is_answered_in_short(client: TestClient) -> None:
    refused = client.post(f"{PARENT}/endpoints", json={f"unknown{i}": i for i in range(10_000)})
    assert refused.status_code == 400
    (detail,) = [d for d in refused.json()["error"]["details"] if "fieldViolations" in d]
    assert len(detail["fieldViolations"]) == 101
    assert detail["fieldViolations"][-1]["description"].startswith("has 9,900 more faults")
