"""A job as one looks at it: curves with their peaks, the log from its end, and a watch that goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from making import make_plan
from tunesmith import folder
from tunesmith.api import curves, watch_place
from tunesmith.api.app import create_app
from tunesmith.api.curves import Series
from tunesmith.folder import AttemptFolder, JobFolder
from tunesmith.settings import Settings
from tunesmith.store import Ending, Job, Store

PATH = "/v1/projects/local/locations/us-central1/pipelineJobs/tune-1"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(tmp_path)), base_url="http://127.0.0.1") as found:
        yield found


@pytest.fixture
def tuning(client: TestClient, tmp_path: Path) -> AttemptFolder:
    """The folder of the attempt that tunes."""
    store: Store = client.app.state.store  # type: ignore[attr-defined]
    job = store.create_job(make_plan(train_steps=100), job_id="tune-1")
    begin(store, job)
    claim = store.claim("w", now_s=2.0, lease_s=1e9)
    assert claim is not None
    store.started(claim, "h", now_s=2.0)
    return JobFolder(tmp_path / "jobs" / job.id).attempt("tune", 1).create()


def begin(store: Store, job: Job) -> None:
    claim = store.claim("w", now_s=1.0, lease_s=1e9, only_job=job.id)
    assert claim is not None
    store.started(claim, "h", now_s=1.0)
    store.settle(claim, Ending("succeeded"), now_s=1.5)


def measure(attempt: AttemptFolder, steps: range, **values: float) -> None:
    for step in steps:
        said = values or {"train_total_loss": 100.0 - step}
        folder.append_jsonl(attempt.metrics, {"step": step, "wall_time": 1000.0 + step, **said})


def series(client: TestClient, query: str = "") -> Any:
    return client.get(f"{PATH}:metrics{query}").json()["series"]


def test_a_curve_has_every_point_while_there_are_few(client: TestClient, tuning: AttemptFolder) -> None:
    measure(tuning, range(1, 6))
    found = series(client)["train_total_loss"]
    assert found["steps"] == [1, 2, 3, 4, 5]
    assert found["values"] == [99.0, 98.0, 97.0, 96.0, 95.0]


def test_a_curve_grows_with_its_file(client: TestClient, tuning: AttemptFolder) -> None:
    measure(tuning, range(1, 3))
    series(client)
    measure(tuning, range(3, 5))
    measure(tuning, range(2, 3), eval_total_loss=1.5)
    found = series(client)
    assert found["train_total_loss"]["steps"] == [1, 2, 3, 4]
    assert found["eval_total_loss"]["values"] == [1.5]


def test_a_line_that_is_being_written_waits(client: TestClient, tuning: AttemptFolder) -> None:
    measure(tuning, range(1, 3))
    with open(tuning.metrics, "a") as file:
        file.write('{"step": 3, "wall_time": 1')
    assert series(client)["train_total_loss"]["steps"] == [1, 2]
    with open(tuning.metrics, "a") as file:
        file.write('003.0, "train_total_loss": 5.0}\n')
    assert series(client)["train_total_loss"]["values"] == [99.0, 98.0, 5.0]


def test_a_window_has_only_its_steps(client: TestClient, tuning: AttemptFolder) -> None:
    measure(tuning, range(1, 50))
    assert series(client, "?fromStep=10&toStep=12")["train_total_loss"]["steps"] == [10, 11, 12]


def test_only_the_figures_that_are_asked_for_go_out(client: TestClient, tuning: AttemptFolder) -> None:
    measure(tuning, range(1, 3), train_total_loss=1.0, learning_rate=0.1)
    assert list(series(client, "?names=learning_rate")) == ["learning_rate"]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400), st.integers(4, 60))
def test_thinning_keeps_the_ends_and_the_peaks(values: list[float], most: int) -> None:
    whole = Series(range(len(values)), values, values)
    thin = curves.thinned(whole, most)
    assert len(thin.steps) <= max(most, 2) or len(values) <= most
    assert (thin.steps[0], thin.steps[-1]) == (0, len(values) - 1)
    assert (min(thin.values), max(thin.values)) == (min(values), max(values))
    assert list(thin.steps) == sorted(set(thin.steps))
    assert all(values[step] == value for step, value in zip(thin.steps, thin.values, strict=True))


def test_a_log_is_read_from_its_end_backwards(client: TestClient, tuning: AttemptFolder) -> None:
    tuning.log.write_text("".join(f"line {n}\n" for n in range(10)))
    last = client.get(f"{PATH}:log?lines=3").json()
    assert last["lines"] == ["line 7", "line 8", "line 9"]
    before = client.get(f"{PATH}:log?lines=3&beforeByte={last['startByte']}").json()
    assert before["lines"] == ["line 4", "line 5", "line 6"]
    assert (last["task"], last["attempt"]) == ("tune", 1)


def test_a_log_shows_bytes_that_are_no_text(client: TestClient, tuning: AttemptFolder) -> None:
    tuning.log.write_bytes(b"a \xff b\x1b[31m\n")
    assert client.get(f"{PATH}:log").json()["lines"] == ["a \ufffd b\x1b[31m"]


def test_an_attempt_that_there_is_not_has_no_log(client: TestClient, tuning: AttemptFolder) -> None:
    assert client.get(f"{PATH}:log?task=evaluate").status_code == 404
    assert client.get(f"{PATH}:log?task=tune&attempt=2").status_code == 404


def test_a_report_names_every_parameter_with_its_default(client: TestClient, tuning: AttemptFolder) -> None:
    report = client.get(f"{PATH}:report").json()
    said = {one["name"]: one for one in report["parameters"]}
    assert (said["train_steps"]["value"], said["train_steps"]["default"]) == (100, 300)
    assert said["train_steps"]["isDefault"] is False
    assert said["evaluation_interval"]["isDefault"] is True
    assert said["dataset"]["value"] == "train.jsonl"
    assert [task["name"] for task in report["tasks"]][:2] == ["validate-dataset", "tune"]


def test_a_list_says_how_far_a_job_is(client: TestClient, tuning: AttemptFolder) -> None:
    folder.write_json(tuning.progress, {"phase": "training", "step": 40, "tokens_per_s": 99.0, "seconds_left": 60.0})
    measure(tuning, range(20, 41, 20), eval_fraction_of_correct_next_step_preds=0.5)
    (job,) = client.get(PATH.rpartition("/")[0]).json()["pipelineJobs"]
    own = job["tunesmith"]
    assert (own["step"], own["steps"], own["bestAccuracy"], own["secondsLeft"]) == (40, 100, 0.5, 60.0)


def test_a_job_in_the_queue_says_its_place(client: TestClient) -> None:
    store: Store = client.app.state.store  # type: ignore[attr-defined]
    for number in range(3):
        store.create_job(make_plan(), job_id=f"wait-{number}")
    jobs = client.get("/v1/projects/local/locations/-/pipelineJobs").json()["pipelineJobs"]
    assert {job["name"][-6:]: job["tunesmith"]["queuePosition"] for job in jobs} == {
        "wait-0": 1, "wait-1": 2, "wait-2": 3,
    }  # fmt: skip


def test_a_job_has_the_name_of_the_key_that_submitted_it(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "buckets" / "bucket").mkdir(parents=True)
    store: Store = client.app.state.store  # type: ignore[attr-defined]
    secret = store.create_key("nightly cron", "myproject", "tuner").secret
    body = {
        "displayName": "n",
        "templateUri": "https://us-kfp.pkg.dev/ml-pipeline/large-language-model-pipelines/tune-large-model/v3.0.0",
        "runtimeConfig": {
            "gcsOutputDirectory": "gs://bucket/o",
            "parameterValues": {
                "project": "myproject", "location": "us-central1", "model_display_name": "n",
                "large_model_reference": "code-bison@002", "dataset_uri": "gs://bucket/t.jsonl",
            },
        },
    }  # fmt: skip
    path = "/v1/projects/myproject/locations/us-central1/pipelineJobs"
    answer = client.post(path, json=body, headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert made["tunesmith"]["owner"] == "nightly cron"


def test_every_region_is_listed_by_a_dash_and_nothing_else_takes_it(client: TestClient) -> None:
    store: Store = client.app.state.store  # type: ignore[attr-defined]
    for region in ("us-central1", "europe-west4"):
        store.create_job(make_plan(location=region), job_id=f"in-{region}")
    everywhere = "/v1/projects/local/locations/-"
    names = [job["name"] for job in client.get(f"{everywhere}/pipelineJobs").json()["pipelineJobs"]]
    assert {name.split("/")[3] for name in names} == {"us-central1", "europe-west4"}
    assert client.get(f"{everywhere}/models").json() == {}
    assert client.get(f"{everywhere}/pipelineJobs/in-us-central1").status_code == 400
    assert client.post(f"{everywhere}/pipelineJobs", json={}).status_code == 400


def watched(client: TestClient, query: str = "", **headers: str) -> list[tuple[str, str, Any]]:
    """(kind, id, data) of every event of a job that is at rest."""
    text = client.get(f"{PATH}:watch{query}", headers=headers).text
    events = []
    for block in text.split("\n\n"):
        said = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in said:
            events.append((said["event"], said.get("id", ""), json.loads(said["data"])))
    return events


@pytest.fixture
def ended(client: TestClient, tuning: AttemptFolder) -> AttemptFolder:
    """As `tuning`, with three points and two lines, and the job cancelled."""
    measure(tuning, range(1, 4))
    tuning.log.write_text("one\ntwo\n")
    store: Store = client.app.state.store  # type: ignore[attr-defined]
    store.request_cancel("tune-1")
    claim = store.claim("w", now_s=3e9, lease_s=1.0)  # the lease of before has run out: the same attempt
    assert claim is not None
    store.settle(claim, Ending("cancelled"), now_s=3e9)
    return tuning


def test_a_watch_goes_on_behind_each_of_its_events(client: TestClient, ended: AttemptFolder) -> None:
    first = watched(client)
    assert [data["step"] for kind, _, data in first if kind == "metrics"] == [1, 2, 3]
    assert [data["line"] for kind, _, data in first if kind == "log"] == ["one", "two"]
    for number, (_, place, _) in enumerate(first, 1):
        rest = told(first[number:])
        assert told(watched(client, f"?after={place}")) == rest
        assert told(watched(client, **{"Last-Event-ID": place})) == rest


def test_a_watch_goes_on_in_the_middle_of_what_has_grown_meanwhile(client: TestClient, ended: AttemptFolder) -> None:
    first = watched(client)
    middle = next(place for kind, place, data in first if kind == "log" and data["line"] == "one")
    measure(ended, range(4, 5))
    with open(ended.log, "a", encoding="utf-8") as log:
        log.write("three\n")
    rest = watched(client, f"?after={middle}")
    assert [data["step"] for kind, _, data in rest if kind == "metrics"] == [4]
    assert [data["line"] for kind, _, data in rest if kind == "log"] == ["two", "three"]


def told(events: list[tuple[str, str, Any]]) -> list[tuple[str, Any]]:
    """What is told once; what an attempt says of itself is told to whoever comes."""
    return [(kind, data) for kind, _, data in events if kind != "progress"]


def test_who_wants_news_gets_no_history(client: TestClient, ended: AttemptFolder) -> None:
    kinds = {kind for kind, _, _ in watched(client, "?news=true")}
    assert "metrics" not in kinds
    assert "log" not in kinds
    assert "state" in kinds


@given(st.text(max_size=200))
def test_no_text_is_a_place_that_breaks_a_watch(text: str) -> None:
    found = watch_place.read(text)
    assert found is None or watch_place.read(watch_place.written(found)) is not None
