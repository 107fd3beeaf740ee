"""Keys by the API: shown once, revoked for good, and seen by those who may."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tunesmith.api.app import create_app
from tunesmith.settings import Settings
from tunesmith.store import Store


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(tmp_path)), base_url="http://127.0.0.1") as found:
        yield found


def bearer(client: TestClient, role: str, project: str | None) -> dict[str, str]:
    store: Store = client.app.state.store  # type: ignore[attr-defined]
    return {"Authorization": f"Bearer {store.create_key('k', project, role).secret}"}  # type: ignore[arg-type]


def test_a_secret_is_in_the_answer_that_makes_it_and_nowhere_else(client: TestClient, tmp_path: Path) -> None:
    made = client.post("/v1/keys", json={"name": "cron", "role": "admin"})
    secret = made.json()["secret"]
    assert made.headers["cache-control"] == "no-store"
    mine = {"Authorization": f"Bearer {secret}"}
    assert secret not in client.get("/v1/keys", headers=mine).text
    assert all(secret.encode() not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def test_a_revoked_key_opens_nothing(client: TestClient) -> None:
    admin = bearer(client, "admin", None)
    made = client.post("/v1/keys", json={"name": "cron"}, headers=admin).json()
    assert client.delete(f"/v1/keys/{made['key']['id']}", headers=admin).json()["revokeTime"]
    assert client.get("/v1/projects", headers={"Authorization": f"Bearer {made['secret']}"}).status_code == 401


@pytest.mark.parametrize("role", ["viewer", "tuner"])
def test_only_an_admin_sees_keys(client: TestClient, role: str) -> None:
    assert client.get("/v1/keys", headers=bearer(client, role, None)).status_code == 403


def test_an_admin_of_a_project_has_that_projects_keys_only(client: TestClient) -> None:
    everybody = bearer(client, "admin", None)
    mine = bearer(client, "admin", "mine")
    theirs = client.post("/v1/keys", json={"name": "t", "project": "theirs"}, headers=everybody).json()["key"]
    assert [key["project"] for key in client.get("/v1/keys", headers=mine).json()["keys"]] == ["mine"]
    assert client.delete(f"/v1/keys/{theirs['id']}", headers=mine).status_code == 404
    for project in ("theirs", None):
        assert client.post("/v1/keys", json={"name": "x", "project": project}, headers=mine).status_code == 403
    assert client.post("/v1/keys", json={"name": "x", "project": "mine"}, headers=mine).status_code == 200


def test_the_first_key_does_not_shut_out_the_page_that_made_it(client: TestClient) -> None:
    page = {"Sec-Fetch-Site": "same-origin", "X-Tunesmith-Console": "1", "Origin": "http://127.0.0.1"}
    client.post("/v1/keys", json={"name": "first", "role": "admin"}, headers=page)
    assert client.get("/v1/keys").json()["keys"][0]["name"] == "first"


def test_the_first_key_signs_in_no_script(client: TestClient) -> None:
    assert "set-cookie" not in client.post("/v1/keys", json={"name": "first", "role": "admin"}).headers


def test_projects_are_those_that_the_caller_may_see(client: TestClient) -> None:
    client.post("/v1/keys", json={"name": "x", "project": "other", "role": "admin"})
    mine = bearer(client, "viewer", "mine")
    assert [one["projectId"] for one in client.get("/v1/projects", headers=mine).json()["projects"]] == ["mine"]
    found = client.get("/v1/projects", headers=bearer(client, "viewer", None)).json()["projects"]
    assert [one["projectId"] for one in found] == ["local", "mine", "other"]


def test_an_installation_says_what_it_has_and_names_no_path(client: TestClient, tmp_path: Path) -> None:
    answer = client.get("/v1/installation")
    said = answer.json()
    assert said["defaults"]["train_steps"] == 300
    assert {pool["acceleratorType"]: pool["devices"] for pool in said["pools"]} == {"GPU": 8, "TPU": 64}
    assert len(said["regions"]) == 13
    assert str(tmp_path) not in answer.text
