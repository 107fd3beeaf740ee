"""The log of a job by the API: its end, what was before it, what has been written since."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from making import make_plan
from tunesmith import pipeline
from tunesmith.api.app import create_app
from tunesmith.folder import AttemptFolder, JobFolder
from tunesmith.settings import Settings
from tunesmith.store import Store

LOG = "/v1/projects/p/locations/us-central1/pipelineJobs/mine:log"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(tmp_path)), base_url="http://127.0.0.1") as found:
        yield found


@pytest.fixture
def attempt(client: TestClient, tmp_path: Path) -> AttemptFolder:
    """The first attempt of a job's first task, which runs."""
    store: Store = client.app.state.store  # type: ignore[attr-defined]
    job = store.create_job(make_plan(project="p"), job_id="mine")
    claim = store.claim("w", now_s=store._now(None), lease_s=1e6, only_job=job.id)
    assert claim is not None
    return JobFolder(tmp_path / "jobs" / job.id).attempt(pipeline.VALIDATE, 1).create()


def look(client: TestClient, **query: object) -> dict[str, Any]:
    answer = client.get(LOG, params={name: str(value) for name, value in query.items()})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_task_that_has_said_nothing_has_an_empty_log(client: TestClient, attempt: AttemptFolder) -> None:
    found = look(client)
    assert (found["task"], found["attempt"], found["lines"]) == (pipeline.VALIDATE, 1, [])


def test_its_end_and_what_was_before_it_are_the_whole_log(client: TestClient, attempt: AttemptFolder) -> None:
    attempt.log.write_text("".join(f"line {number}\n" for number in range(10)))
    end = look(client, lines=4)
    before = look(client, lines=100, beforeByte=end["startByte"])
    assert [*before["lines"], *end["lines"]] == [f"line {number}" for number in range(10)]


def test_after_its_end_comes_what_has_been_written_since(client: TestClient, attempt: AttemptFolder) -> None:
    attempt.log.write_text("one\ntwo\n")
    end = look(client)["endByte"]
    assert look(client, afterByte=end)["lines"] == []
    with open(attempt.log, "a") as file:
        file.write("three\nfo")
    more = look(client, afterByte=end)
    assert (more["lines"], more["startByte"]) == (["three"], end)
    with open(attempt.log, "a") as file:
        file.write("ur\n")
    assert look(client, afterByte=more["endByte"])["lines"] == ["four"]


def test_of_a_log_that_grew_fast_the_last_lines_come_and_where_they_begin(
    client: TestClient, attempt: AttemptFolder
) -> None:
    attempt.log.write_text("old\n" + "new\n" * 20)
    found = look(client, afterByte=4, lines=5)
    assert (found["lines"], found["startByte"]) == (["new"] * 5, 4 + 15 * 4)


@pytest.mark.parametrize("name", ["beforeByte", "afterByte"])
def test_a_place_behind_the_end_is_refused(client: TestClient, attempt: AttemptFolder, name: str) -> None:
    attempt.log.write_text("one\n")
    answer = client.get(LOG, params={name: 5})
    assert answer.status_code == 400
    assert f"{name}: is 5, and the log has 4 bytes" in answer.json()["error"]["message"]


def test_a_task_that_prints_nothing_has_no_log(client: TestClient, attempt: AttemptFolder) -> None:
    assert client.get(LOG, params={"task": pipeline.UPLOAD}).status_code == 404
