"""Signing in with a browser: what the cookie opens, for whom, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tunesmith.api.app import create_app
from tunesmith.resources import Role
from tunesmith.settings import Settings
from tunesmith.store import Store

JOBS = "/v1/projects/mine/locations/us-central1/pipelineJobs"
OWN_PAGE = {"Sec-Fetch-Site": "same-origin", "X-Tunesmith-Console": "1", "Origin": "http://127.0.0.1"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(tmp_path)), base_url="http://127.0.0.1") as found:
        yield found


def store_of(client: TestClient) -> Store:
    return client.app.state.store  # type: ignore[attr-defined, no-any-return]


def sign_in(client: TestClient, role: Role = "admin", project: str | None = "mine") -> str:
    """The id of a new key, with which the client has signed in."""
    made = store_of(client).create_key("somebody", project, role)
    answer = client.post("/v1/session", json={"key": made.secret}, headers=OWN_PAGE)
    assert answer.status_code == 200, answer.text
    return made.key.id


def test_a_server_without_keys_wants_none(client: TestClient) -> None:
    said = client.get("/v1/session").json()
    assert (said["keysRequired"], said["signedIn"]) == (False, True)
    assert said["principal"] == {"name": "", "project": None, "role": "admin"}


def test_a_server_with_keys_says_that_it_wants_one(client: TestClient) -> None:
    store_of(client).create_key("k", None, "admin")
    said = client.get("/v1/session").json()
    assert (said["keysRequired"], said["signedIn"]) == (True, False)
    assert "principal" not in said


def test_the_cookie_stands_for_the_key(client: TestClient) -> None:
    sign_in(client)
    assert client.get("/v1/session").json()["principal"] == {"name": "somebody", "project": "mine", "role": "admin"}
    assert client.get(JOBS).status_code == 200
    assert client.get(JOBS.replace("mine", "theirs")).status_code == 403


def test_no_script_reads_the_cookie_and_no_other_site_sends_it(client: TestClient) -> None:
    made = store_of(client).create_key("k", None, "admin")
    cookie = client.post("/v1/session", json={"key": made.secret}, headers=OWN_PAGE).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert made.secret not in cookie


def test_a_wrong_key_signs_nobody_in(client: TestClient) -> None:
    store_of(client).create_key("k", None, "admin")
    answer = client.post("/v1/session", json={"key": "tsk_wrong"}, headers=OWN_PAGE)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_a_viewer_by_cookie_is_a_viewer(client: TestClient) -> None:
    sign_in(client, "viewer")
    assert client.post(f"{JOBS}/1:cancel", headers=OWN_PAGE).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "null"},
    ],
)
def test_a_foreign_page_reads_nothing_with_the_cookie(client: TestClient, headers: dict[str, str]) -> None:
    sign_in(client)
    assert client.get(JOBS, headers=headers).status_code == 403


@pytest.mark.parametrize("left_out", ["X-Tunesmith-Console", "Sec-Fetch-Site"])
def test_what_changes_something_needs_the_header_of_our_page(client: TestClient, left_out: str) -> None:
    sign_in(client)
    headers = {name: value for name, value in OWN_PAGE.items() if name != left_out}
    status = client.post(f"{JOBS}/1:cancel", headers=headers).status_code
    # Where a connection is not safe, browsers leave Sec-Fetch-Site out: our header is enough then.
    assert status == (403 if left_out == "X-Tunesmith-Console" else 404)


def test_a_link_that_somebody_opens_may_read(client: TestClient) -> None:
    sign_in(client)
    assert client.get(JOBS, headers={"Sec-Fetch-Site": "none"}).status_code == 200
    assert client.post(f"{JOBS}/1:cancel", headers={**OWN_PAGE, "Sec-Fetch-Site": "none"}).status_code == 403


def test_a_key_in_the_header_wins_over_the_cookie(client: TestClient) -> None:
    sign_in(client)
    other = store_of(client).create_key("other", "theirs", "viewer")
    bearer = {"Authorization": f"Bearer {other.secret}"}
    assert client.get(JOBS, headers=bearer).status_code == 403
    assert client.get(JOBS.replace("mine", "theirs"), headers=bearer).status_code == 200


def test_a_revoked_key_ends_its_sessions(client: TestClient) -> None:
    key = sign_in(client)
    store_of(client).create_key("another", None, "admin")
    store_of(client).revoke_key(key)
    assert client.get(JOBS).status_code == 401
    assert client.get("/v1/session").json()["signedIn"] is False


def test_signing_out_forgets_the_cookie(client: TestClient) -> None:
    sign_in(client)
    assert client.delete("/v1/session", headers=OWN_PAGE).status_code == 200
    assert client.get(JOBS).status_code == 401


def test_a_foreign_page_signs_nobody_in_or_out(client: TestClient) -> None:
    made = store_of(client).create_key("k", None, "admin")
    foreign = {**OWN_PAGE, "Sec-Fetch-Site": "cross-site"}
    assert client.post("/v1/session", json={"key": made.secret}, headers=foreign).status_code == 403
    assert client.delete("/v1/session", headers=foreign).status_code == 403


def test_a_pass_for_another_place_opens_nothing_here(client: TestClient) -> None:
    made = store_of(client).create_key("k", None, "admin")
    elsewhere = store_of(client).make_pass(made.secret, "/tensorboard", 2e10)
    assert elsewhere is not None
    client.cookies.set("tunesmith_console", elsewhere)
    assert client.get(JOBS).status_code == 401
