"""TensorBoard itself at /tensorboard/: its page, its data, and who may see what of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from making import make_plan
from tunesmith import folder, pipeline
from tunesmith.api.app import create_app
from tunesmith.folder import JobFolder
from tunesmith.resources import BoardPath
from tunesmith.settings import Settings
from tunesmith.store import Ending, NewPart, Point, Store

SCALARS = "/tensorboard/data/plugin/scalars"
HTML = {"Accept": "text/html"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(tmp_path)), base_url="http://127.0.0.1", follow_redirects=False) as found:
        yield found


@pytest.fixture
def store(client: TestClient) -> Store:
    found: Store = client.app.state.store  # type: ignore[attr-defined]
    return found


def tune(store: Store, project: str, losses: list[float], job_id: str = "job") -> None:
    """A job of that project that has measured these losses."""
    job = store.create_job(make_plan(project=project), job_id=job_id)
    now_s = store._now(None)
    while (claim := store.claim("w", now_s=now_s, lease_s=1e6, only_job=job.id)) is not None:
        store.started(claim, "h", now_s=now_s)
        if claim.task == pipeline.TUNE:
            break
        store.settle(claim, Ending("succeeded"), now_s=now_s)
    attempt = JobFolder(store._models_folder.parent / "jobs" / job.id).attempt(pipeline.TUNE, 1).create()
    for step, loss in enumerate(losses, 1):
        folder.append_jsonl(attempt.metrics, {"step": step, "wall_time": 100.0 + step, "train_total_loss": loss})


def write(store: Store, project: str, values: list[float]) -> None:
    """A run of that project that a client wrote."""
    board = BoardPath(project, "us-central1", "7" if project == "mine" else "8")
    series = board.below("e").below("r").below("s")
    parts = [NewPart(path, f"/{path.id}") for path in (board, board.below("e"), series.parent, series)]
    store.create_board_parts(parts)
    store.write_points({series: [Point(step, 100.0 + step, value) for step, value in enumerate(values, 1)]})


def key(store: Store, project: str | None = "mine") -> dict[str, str]:
    return {"Authorization": "Bearer " + store.create_key("k", project, "viewer").secret}


def good(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


# What it shows.


def test_the_page_and_its_script_are_served_below_the_prefix(client: TestClient) -> None:
    page = client.get("/tensorboard/", headers=HTML)
    assert page.status_code == 200
    assert '<meta name="tb-relative-root" content="./">' in page.text
    assert "default-src" in page.headers["content-security-policy"]
    assert client.get("/tensorboard/index.js").status_code == 200
    assert client.get("/tensorboard").headers["location"] == "/tensorboard/"
    assert client.get("/tensorboard/data/no-such").status_code == 404


def test_a_run_is_called_by_its_job_and_has_its_tags(client: TestClient, store: Store) -> None:
    tune(store, "mine", [3.0, 2.0])
    assert good(client.get("/tensorboard/data/runs")) == ["mine/job"]
    assert list(good(client.get(f"{SCALARS}/tags"))["mine/job"]) == ["/train_total_loss"]
    points = good(client.get(f"{SCALARS}/scalars", params={"run": "mine/job", "tag": "/train_total_loss"}))
    assert points == [[101.0, 1, 3.0], [102.0, 2, 2.0]]


def test_what_a_client_wrote_is_shown_beside_the_jobs(client: TestClient, store: Store) -> None:
    tune(store, "mine", [3.0])
    write(store, "mine", [5.0, 4.0])
    assert set(good(client.get("/tensorboard/data/runs"))) == {"mine/job", "mine/7/e/r"}
    points = good(client.get(f"{SCALARS}/scalars", params={"run": "mine/7/e/r", "tag": "/s"}))
    assert points == [[101.0, 1, 5.0], [102.0, 2, 4.0]]


def test_the_time_series_page_gets_several_runs_at_once(client: TestClient, store: Store) -> None:
    for number in range(2):
        tune(store, "mine", [float(number)], f"job-{number}")
    asked = {"tag": "/train_total_loss", "runs": ["mine/job-0", "mine/job-1"]}
    both = good(client.post(f"{SCALARS}/scalars_multirun", data=asked))
    assert both == {"mine/job-0": [[101.0, 1, 0.0]], "mine/job-1": [[101.0, 1, 1.0]]}
    wanted = '[{"plugin": "scalars", "tag": "/train_total_loss"}]'
    [series] = good(client.post("/tensorboard/data/plugin/timeseries/timeSeries", data={"requests": wanted}))
    assert sorted(series["runToSeries"]) == ["mine/job-0", "mine/job-1"]


def test_the_time_series_page_s_word_for_no_experiment_is_no_project(client: TestClient, store: Store) -> None:
    tune(store, "mine", [1.0])
    tune(store, "theirs", [1.0])
    runs = "/tensorboard/experiment/defaultExperimentId/data/runs"
    assert set(good(client.get(runs, headers=key(store, None)))) == {"mine/job", "theirs/job"}
    assert good(client.get(runs, headers=key(store))) == ["mine/job"]


def test_both_pages_are_offered(client: TestClient) -> None:
    listed = good(client.get("/tensorboard/data/plugins_listing"))
    assert {name: plugin["enabled"] for name, plugin in listed.items()} == {"scalars": True, "timeseries": True}


def test_what_a_job_measures_later_is_shown_later(client: TestClient, store: Store, tmp_path: Path) -> None:
    tune(store, "mine", [3.0])
    asked = {"run": "mine/job", "tag": "/train_total_loss"}
    assert len(good(client.get(f"{SCALARS}/scalars", params=asked))) == 1
    [metrics] = (tmp_path / "jobs").rglob("metrics.jsonl")
    folder.append_jsonl(metrics, {"step": 2, "wall_time": 102.0, "train_total_loss": 2.0})
    assert len(good(client.get(f"{SCALARS}/scalars", params=asked))) == 2


def test_nothing_of_tensorboard_is_loaded_before_it_is_asked_for(client: TestClient) -> None:
    assert client.app.state.board._application is None  # type: ignore[attr-defined]
    client.get("/tensorboard/")
    assert client.app.state.board._application is not None  # type: ignore[attr-defined]


def test_a_server_without_the_package_says_so(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.backend.application", None)
    answer = client.get("/tensorboard/")
    assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")
    assert "pip install tensorboard" in answer.json()["error"]["message"]


# Who sees it.


def test_a_key_shows_its_project_only(client: TestClient, store: Store) -> None:
    for project in ("mine", "theirs"):
        tune(store, project, [1.0])
        write(store, project, [1.0])
    mine = key(store)
    assert set(good(client.get("/tensorboard/data/runs", headers=mine))) == {"mine/job", "mine/7/e/r"}
    assert set(good(client.get(f"{SCALARS}/tags", headers=mine))) == {"mine/job", "mine/7/e/r"}
    for run, tag in (("theirs/job", "/train_total_loss"), ("theirs/8/e/r", "/s")):
        answer = client.get(f"{SCALARS}/scalars", params={"run": run, "tag": tag}, headers=mine)
        assert answer.status_code == 404, answer.text
    assert len(good(client.get("/tensorboard/data/runs", headers=key(store, None)))) == 4


def test_one_project_is_shown_under_its_own_address(client: TestClient, store: Store) -> None:
    for project in ("mine", "theirs"):
        tune(store, project, [1.0])
    every = key(store, None)
    assert good(client.get("/tensorboard/experiment/theirs/data/runs", headers=every)) == ["theirs/job"]
    assert good(client.get("/tensorboard/experiment/mine/data/runs", headers=key(store))) == ["mine/job"]
    assert client.get("/tensorboard/experiment/theirs/data/runs", headers=key(store)).status_code == 404


def test_a_browser_without_a_key_gets_the_form_and_a_program_the_error(client: TestClient, store: Store) -> None:
    key(store)
    page = client.get("/tensorboard/", headers=HTML)
    assert (page.status_code, 'type="password"' in page.text) == (401, True)
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert client.get("/tensorboard/").json()["error"]["status"] == "UNAUTHENTICATED"
    assert client.get("/tensorboard/data/runs").status_code == 401


def test_the_form_gives_a_cookie_that_scripts_and_other_sites_do_not_get(client: TestClient, store: Store) -> None:
    tune(store, "mine", [1.0])
    secret = store.create_key("k", "mine", "viewer").secret
    answer = client.post("/tensorboard/login", data={"key": secret})
    assert (answer.status_code, answer.headers["location"]) == (303, "/tensorboard/")
    cookie = answer.headers["set-cookie"]
    assert secret not in cookie
    assert {"httponly", "samesite=strict", "path=/tensorboard/"} <= {part.strip().lower() for part in cookie.split(";")}
    assert good(client.get("/tensorboard/data/runs")) == ["mine/job"]


def test_the_cookie_opens_nothing_but_tensorboard(client: TestClient, store: Store) -> None:
    secret = store.create_key("k", "mine", "admin").secret
    client.post("/tensorboard/login", data={"key": secret})
    text = client.cookies["tunesmith_tensorboard"]
    models = "/v1/projects/mine/locations/us-central1/models"
    assert client.get(models, headers={"Cookie": f"tunesmith_tensorboard={text}"}).status_code == 401
    assert client.get(models, headers={"Authorization": f"Bearer {text}"}).status_code == 401


def test_the_cookie_ends_with_its_key(client: TestClient, store: Store) -> None:
    made = store.create_key("k", "mine", "viewer")
    key(store)
    client.post("/tensorboard/login", data={"key": made.secret})
    assert client.get("/tensorboard/data/runs").status_code == 200
    store.revoke_key(made.key.id)
    assert client.get("/tensorboard/data/runs").status_code == 401


def test_a_wrong_key_gets_no_cookie(client: TestClient, store: Store) -> None:
    key(store)
    answer = client.post("/tensorboard/login", data={"key": "tsk_<script>"}, headers=HTML)
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
    assert "<script>" not in answer.text


def test_a_form_of_another_site_is_refused(client: TestClient, store: Store) -> None:
    secret = store.create_key("k", "mine", "viewer").secret
    for origin in ("https://elsewhere.test", "null"):
        answer = client.post("/tensorboard/login", data={"key": secret}, headers={"Origin": origin})
        assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
    own = client.post("/tensorboard/login", data={"key": secret}, headers={"Origin": "http://127.0.0.1"})
    assert own.status_code == 303


def test_a_key_in_the_url_is_refused_even_with_a_cookie(client: TestClient, store: Store) -> None:
    secret = store.create_key("k", "mine", "viewer").secret
    client.post("/tensorboard/login", data={"key": secret})
    assert "ends up in logs" in client.get(f"/tensorboard/data/runs?key={secret}").text


def test_without_keys_only_this_machine_looks(client: TestClient) -> None:
    assert client.get("/tensorboard/data/runs").status_code == 200
    answer = client.get("/tensorboard/data/runs", headers={"Host": "elsewhere.test"})
    assert answer.json()["error"]["status"] == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "timeseries/timeSeries?", 400),
        ("GET", "timeseries/timeSeries?requests=[1]", 400),
        ("GET", "timeseries/timeSeries?requests=5", 400),
        ("GET", "timeseries/imageData?imageId=x", 404),
    ],
)
def test_what_tensorboard_cannot_read_is_the_callers_fault(
    client: TestClient, method: str, path: str, status: int
) -> None:
    form = {"requests": '[{"plugin": "scalars", "tag": "a"}, null]'} if method == "POST" else None
    answer = client.request(method, f"/tensorboard/data/plugin/{path}", data=form)
    assert answer.status_code == status, answer.text


def test_a_histogram_and_an_image_are_asked_for_in_vain(client: TestClient) -> None:
    asked = (
        '[{"plugin": "histograms", "tag": "a", "run": "r"}, {"plugin": "images", "tag": "a", "run": "r", "sample": 0}]'
    )
    answers = good(client.get("/tensorboard/data/plugin/timeseries/timeSeries", params={"requests": asked}))
    assert [answer["runToSeries"] for answer in answers] == [{}, {}]


def test_a_fault_of_our_own_is_not_called_the_callers(store: Store, client: TestClient) -> None:
    def broken(project: str | None) -> list[Any]:
        raise ValueError("ours")

    store.board_series = broken  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="ours"):
        client.get("/tensorboard/data/runs")
