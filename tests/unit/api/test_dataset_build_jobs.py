"""datasetBuildJobs through the application: what is taken, what is refused in which words, lists, ends."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from making import make_plan
from tunesmith import folder, pipeline
from tunesmith.api.app import create_app
from tunesmith.data.codebase.options import Options, options_of
from tunesmith.folder import JobFolder
from tunesmith.settings import Settings
from tunesmith.store import Asked, Ending, Store

ROOT = "/v1/projects/p/locations/us-central1"
PARENT = f"{ROOT}/datasetBuildJobs"
SOURCE = "codebaseSource.repository"
PREFIX = "outputConfig.gcsDestination.outputUriPrefix"
BODY: dict[str, Any] = {
    "displayName": "Our shop",
    "labels": {"team": "search"},
    "codebaseSource": {"repository": "https://example.com/shop.git", "revision": "main"},
    "outputConfig": {"gcsDestination": {"outputUriPrefix": "gs://bucket/data/"}},
    "options": {"kinds": ["fim"], "evaluationRows": 20, "suites": ["gs://bucket/suite.jsonl"]},
}
COUNTS = {
    "files": {"used": 3, "rejected": 2},
    "bytes": {"used": 99},
    "reasons": {"binary": 2},
    "languages": {"Go": 3},
    "licences": {"MIT": 3},
    "rows": {"training": {"fim": 12}, "evaluation": {"fim": 10}},
    "redactions": {"email": 1},
    "held_out_whole": "folder",
    "notes": ["n"],
}
BUILT = {
    "source": {"kind": "git", "name": "shop", "revision": "abc"},
    "counts": COUNTS,
    "manifest_sha256": "f00",
    "overlap": {"found": 1, "training_rows_taken_out": 1, "held_out_rows_taken_out": 0},
}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(tmp_path)), base_url="http://127.0.0.1") as found:
        yield found


@pytest.fixture
def store(client: TestClient) -> Store:
    found: Store = client.app.state.store  # type: ignore[attr-defined]
    return found


def changed(path: str, value: Any) -> dict[str, Any]:
    """BODY with the value at a path with dots; None takes it away."""
    new = copy.deepcopy(BODY)
    *parents, last = path.split(".")
    place = new
    for part in parents:
        place = place.setdefault(part, {})
    place.pop(last, None)
    if value is not None:
        place[last] = value
    return new


def make(client: TestClient, **fields: Any) -> dict[str, Any]:
    answer = client.post(PARENT, json={**BODY, **fields})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def key_of(job: dict[str, Any]) -> str:
    return "p." + job["name"].rpartition("/")[2]


def end(store: Store, job: dict[str, Any], ending: Ending = Ending("succeeded")) -> None:
    while (claim := store.claim("w", now_s=1.0, lease_s=10.0, only_job=key_of(job))) is not None:
        store.started(claim, "h", now_s=2.0)
        store.settle(claim, ending, now_s=3.0)


def violations(client: TestClient, body: dict[str, Any]) -> dict[str, str]:
    answer = client.post(PARENT, json=body)
    assert answer.status_code == 400, answer.text
    found = answer.json()["error"]["details"][0]["fieldViolations"]
    assert len({one["field"] for one in found}) == len(found)
    return {one["field"]: one["description"] for one in found}


@pytest.mark.parametrize("version", ["/v1", "/v1beta1"])
def test_a_body_makes_a_job_that_waits(client: TestClient, version: str) -> None:
    made = client.post(version + PARENT.removeprefix("/v1"), json=BODY).json()
    assert made["state"] == "JOB_STATE_PENDING"
    assert {key: made[key] for key in BODY if key != "options"} == {k: v for k, v in BODY.items() if k != "options"}
    number = made["name"].rpartition("/")[2]
    assert made["outputInfo"] == {"gcsOutputDirectory": f"gs://bucket/data/Our_shop-{number}"}
    assert client.get(f"{version}/{made['name']}").json() == made


def test_every_option_is_filled_with_the_default_of_the_build(client: TestClient, store: Store) -> None:
    made = make(client, options={})
    plan = store.job(key_of(made)).dataset
    assert options_of(plan.options, datetime.now(UTC)) == Options(revision="main")
    assert set(plan.options) == {field.name for field in dataclasses.fields(Options)}
    assert made["options"]["licencePolicy"] == "permissive"
    assert made["options"]["evaluationRows"] is None
    assert {"revision", "since"} & set(made["options"]) == set()


def test_the_plan_holds_what_was_chosen(client: TestClient, store: Store) -> None:
    chosen = {"rules": ["tests/**: longest_line=8000"], "splitBy": "time", "seed": "7", "include": ["src/"]}
    source = {"repository": "https://example.com/shop.git", "since": "2025-01-01"}
    plan = store.job(key_of(make(client, options=chosen, codebaseSource=source))).dataset
    assert plan.repository == "https://example.com/shop.git"
    assert (plan.options["rules"], plan.options["split_by"], plan.options["seed"]) == (chosen["rules"], "time", 7)
    assert (plan.options["since"], plan.options["include"]) == ("2025-01-01", ["src/"])


@pytest.mark.parametrize(
    ("path", "value", "field", "words"),
    [
        ("displayName", "", "displayName", "1 to 128"),
        ("displayName", None, "displayName", "required"),
        ("dispName", "x", "dispName", "did you mean displayName"),
        ("labels", {"A": "b"}, "labels", "not a label's key"),
        ("codebaseSource", None, "codebaseSource", "required"),
        ("codebaseSource.repository", None, SOURCE, "required"),
        ("codebaseSource.repositry", "x", "codebaseSource.repositry", "did you mean repository"),
        ("outputConfig", None, "outputConfig", "required"),
        ("outputConfig.gcsDestination", None, "outputConfig.gcsDestination", "say where the data set goes"),
        (PREFIX, "out", PREFIX, "gs://"),
        (PREFIX, "gs://bucket/a/../b", PREFIX, "'..'"),
        (PREFIX, "gs://bucket/" + "a" * 1000, PREFIX, "255 bytes"),
        ("codebaseSource.revision", "-x", "codebaseSource.revision", "is no name on a server"),
        ("codebaseSource.revision", "a..b", "codebaseSource.revision", "is no name on a server"),
        ("codebaseSource.since", "soon", "codebaseSource.since", "is no date"),
        ("codebaseSource.since", "2025-01-01", "codebaseSource.since", "give options.splitBy time with it"),
        ("options.splitBy", "time", "options.splitBy", "time needs codebaseSource.since"),
        ("options.splitBy", "size", "options.splitBy", "choose of path, package, time"),
        ("options.kinds", [], "options.kinds", "names none; choose of instruction, fim, chat"),
        ("options.kinds", ["poem"], "options.kinds", "'poem' is not known"),
        ("options.licencePolicy", "MITT", "options.licencePolicy", "is it MIT?"),
        ("options.rules", ["a: longest=1"], "options.rules", "did you mean longest_line?"),
        ("options.include", ["!"], "options.include", "is no glob"),
        ("options.exclude", ["*a*a*a*a"], "options.exclude", "more than 3"),
        ("options.evaluationRows", 5, "options.evaluationRows", "0 (none) or at least 10"),
        ("options.evaluationRows", -1, "options.evaluationRows", "at least 0"),
        ("options.mostRows", 0, "options.mostRows", "at least 1"),
        ("options.rowCharacters", 399, "options.rowCharacters", "at least 400"),
        ("options.contextCharacters", 1.5, "options.contextCharacters", "whole number"),
        ("options.seed", True, "options.seed", "whole number"),
        ("options.suites", ["/etc/shadow"], "options.suites[0]", "gs://BUCKET/OBJECT"),
        ("options.maxRows", 3, "options.maxRows", "did you mean mostRows"),
        ("options.revision", "x", "options.revision", "is not a field"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(client: TestClient, path: str, value: Any, field: str, words: str) -> None:
    found = violations(client, changed(path, value))
    assert set(found) == {field}
    assert words in found[field]


@pytest.mark.parametrize(
    ("repository", "words"),
    [
        ("", "is a path"),
        ("/srv/shop", "upload that into a bucket and give its gs:// URI"),
        ("shop", "is a path"),
        ("../shop.zip", "is a path"),
        ("file:///srv/shop", "upload that into a bucket"),
        ("http://example.com/shop.git", "write https://"),
        ("git://example.com/shop.git", "write https://"),
        ("ext::sh -c id", "would run a program"),
        ("--upload-pack=id", "is a path"),
        ("https://example.com", "not how a URL is written"),
        ("https://example.com/shop.git?token=1", "cannot be fetched"),
        ("ssh://git@example.com/shop.git", "this server has no TUNESMITH_GIT_SSH_KEY"),
        ("git@example.com:shop.git", "this server has no TUNESMITH_GIT_SSH_KEY"),
        ("https://127.0.0.1/shop.git", "list the host in TUNESMITH_GIT_HOSTS"),
        ("https://localhost/shop.git", "list the host in TUNESMITH_GIT_HOSTS"),
        ("https://10.1.2.3/shop.git", "list the host in TUNESMITH_GIT_HOSTS"),
        ("https://[::1]/shop.git", "list the host in TUNESMITH_GIT_HOSTS"),
        ("https://169.254.169.254/latest", "nothing is fetched from there"),
        ("https://2130706433/shop.git", "neither a name nor an IP address"),
        ("gs://bucket/shop.gz", "is no archive"),
        ("gs://bucket", "names no object"),
        ("gs://bucket/../other/a.zip", "'..'"),
        ("bq://bucket/a.zip", "give an https or ssh URL, or an archive in a bucket"),
    ],
)  # fmt: skip
def test_a_repository_that_no_client_may_have_read_is_refused_with_a_remedy(
    client: TestClient, repository: str, words: str
) -> None:
    found = violations(client, changed(SOURCE, repository))
    assert set(found) == {SOURCE}
    assert words in found[SOURCE]
    assert "--" not in found[SOURCE].replace(repository, "")


@pytest.mark.parametrize("url", ["https://me:hush-hush@example.com/shop.git", "https://hush-hush@example.com/shop.git",
                                 "ssh://git:hush-hush@example.com/shop.git"])  # fmt: skip
def test_a_secret_in_a_url_is_refused_and_is_nowhere(
    client: TestClient, store: Store, tmp_path: Path, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.post(PARENT, json=changed(SOURCE, url))
    assert answer.status_code == 400
    assert "ends up in logs" in answer.text
    assert "hush" not in answer.text + caplog.text
    assert store.jobs() == []
    assert all(b"hush" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("field", ["revision", "since"])
def test_what_lies_in_a_bucket_has_neither_revision_nor_history(client: TestClient, field: str) -> None:
    source = {"repository": "gs://bucket/shop.zip", field: "2025-01-01"}
    options = {"splitBy": "time"} if field == "since" else {}
    found = violations(client, {**BODY, "codebaseSource": source, "options": options})
    assert set(found) == {f"codebaseSource.{field}"}
    assert "leave it out" in found[f"codebaseSource.{field}"]


@pytest.mark.parametrize("place", ["shop.zip", "a/shop.tar.gz", "shop.TGZ", "folder/of/files/"])
def test_archives_and_folders_of_buckets_are_taken(client: TestClient, place: str) -> None:
    assert make(client, codebaseSource={"repository": f"gs://bucket/{place}"})["state"] == "JOB_STATE_PENDING"


def test_hosts_and_keys_of_the_installation_open_what_is_closed_without(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("")
    settings = Settings(tmp_path, git_hosts=("localhost", "10.1.2.3:8443"), git_ssh_key=tmp_path / "key")
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        for url in ("https://localhost:9/a.git", "https://10.1.2.3:8443/a.git", "git@example.com:a.git"):
            make(client, codebaseSource={"repository": url})
        assert "TUNESMITH_GIT_HOSTS" in violations(client, changed(SOURCE, "https://10.1.2.3/a.git"))[SOURCE]
        assert "nothing is fetched" in violations(client, changed(SOURCE, "https://169.254.169.254/a"))[SOURCE]


def test_all_that_is_wrong_is_said_at_once(client: TestClient) -> None:
    body = changed("options", {"kinds": ["poem"], "seed": -1, "suites": ["x", "gs://bucket/s", "y"]})
    body = {**body, "displayName": "", "codebaseSource": {"repository": "/x"}, "outputConfig": {}}
    said = client.post(PARENT.replace("us-central1", "us-centra1"), json=body).json()["error"]
    assert {violation["field"] for violation in said["details"][0]["fieldViolations"]} == {
        "location", "displayName", SOURCE, "outputConfig.gcsDestination", "options.kinds", "options.seed",
        "options.suites[0]", "options.suites[2]",
    }  # fmt: skip


def test_a_repeated_request_is_one_job_and_another_body_is_a_conflict(client: TestClient) -> None:
    one, two = (client.post(f"{PARENT}?requestId=abc-1", json=BODY).json() for _ in range(2))
    assert one == two
    assert client.post(f"{PARENT}?requestId=abc-1", json={**BODY, "displayName": "x"}).status_code == 409
    assert client.post(f"{PARENT}?requestId=abc-2", json=BODY).json()["name"] != one["name"]
    assert client.post(f"{PARENT}?requestId=a/b", json=BODY).status_code == 400
    assert len(client.get(PARENT).json()["datasetBuildJobs"]) == 2


def test_one_request_sent_by_many_at_once_is_one_job(client: TestClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post(f"{PARENT}?requestId=r", json=BODY).json()["name"], range(16)))
    assert len(set(answers)) == 1


def test_jobs_of_other_kinds_are_not_seen_and_not_touched(client: TestClient, store: Store) -> None:
    made = make(client)
    store.create_job(make_plan(project="p"), job_id="tuning")
    assert [one["name"] for one in client.get(PARENT).json()["datasetBuildJobs"]] == [made["name"]]
    number = made["name"].rpartition("/")[2]
    for kind in ("pipelineJobs", "batchPredictionJobs"):
        for verb, path in (("GET", number), ("DELETE", number), ("POST", f"{number}:cancel")):
            assert client.request(verb, f"{ROOT}/{kind}/{path}").status_code == 404
    for verb, path in (("GET", "tuning"), ("DELETE", "tuning"), ("POST", "tuning:cancel")):
        assert client.request(verb, f"{PARENT}/{path}").status_code == 404
    assert {job.state for job in store.jobs()} == {"QUEUED"}


def test_lists_filter_order_page_and_mask(client: TestClient, store: Store) -> None:
    made = [make(client, displayName=f"j{i}", labels={"run": "odd" if i % 2 else "even"}) for i in range(5)]
    end(store, made[0])
    seen, token = [], ""
    while True:
        params = {"filter": 'labels.run="even"', "pageSize": 2, "pageToken": token, "readMask": "name,displayName"}
        page = client.get(PARENT, params=params).json()
        seen += page["datasetBuildJobs"]
        if not (token := page.get("nextPageToken", "")):
            break
    assert [job["displayName"] for job in seen] == ["j4", "j2", "j0"]
    assert set(seen[0]) == {"name", "displayName"}

    def names(**params: str) -> list[str]:
        return [job["displayName"] for job in client.get(PARENT, params=params).json().get("datasetBuildJobs", [])]

    assert names(orderBy="create_time") == ["j0", "j1", "j2", "j3", "j4"]
    assert names(filter='state="JOB_STATE_SUCCEEDED"') == ["j0"]
    assert names(filter='state="JOB_STATE_PENDING" AND display_name="j3"') == ["j3"]
    assert len(names(filter='repository="https://example.com/shop.git"')) == 5
    assert names(filter='repository="shop.git"') == []
    assert client.get(PARENT, params={"filter": 'model_display_name="x"'}).status_code == 400


def test_cancel_before_the_start_twice_and_after_the_end(client: TestClient, store: Store) -> None:
    made = make(client)
    for _ in range(2):
        assert client.post(f"/v1/{made['name']}:cancel", json={}).json() == {}
    job = client.get(f"/v1/{made['name']}").json()
    assert (job["state"], job["error"]["code"]) == ("JOB_STATE_CANCELLED", 1)
    assert "outputInfo" not in job
    other = make(client)
    end(store, other)
    assert client.post(f"/v1/{other['name']}:cancel").status_code == 400


def test_a_running_job_says_what_it_does_and_how_far_it_is(client: TestClient, store: Store, tmp_path: Path) -> None:
    made = make(client)
    claim = store.claim("w", now_s=1.0, lease_s=10.0)
    assert claim is not None
    store.started(claim, "h", now_s=1.0)

    def progress() -> Any:
        return client.get(f"/v1/{made['name']}").json()["progress"]

    assert progress() == {"task": "build-dataset", "attempt": 1, "phase": "starting"}
    attempt = JobFolder(tmp_path / "jobs" / key_of(made)).attempt(pipeline.BUILD, 1).create()
    folder.write_json(attempt.progress, {"phase": "reading", "step": 0, "steps": 100})
    assert progress() == {"task": "build-dataset", "attempt": 1, "phase": "reading", "done": 0, "total": 100}
    client.post(f"/v1/{made['name']}:cancel")
    assert client.get(f"/v1/{made['name']}").json()["state"] == "JOB_STATE_CANCELLING"
    store.settle(claim, Ending("cancelled"), now_s=2.0)
    job = client.get(f"/v1/{made['name']}").json()
    assert (job["state"], "progress" in job) == ("JOB_STATE_CANCELLED", False)


def test_a_finished_job_says_where_its_objects_are_and_what_was_counted(
    client: TestClient, store: Store, tmp_path: Path
) -> None:
    made = make(client)
    of_job, where = JobFolder(tmp_path / "jobs" / key_of(made)), made["outputInfo"]["gcsOutputDirectory"]
    folder.write_json(of_job.attempt(pipeline.BUILD, 1).create().result, BUILT)
    running = client.get(f"/v1/{made['name']}").json()
    assert running["outputInfo"] == {"gcsOutputDirectory": where}
    assert running["statistics"] == {
        "source": BUILT["source"],
        "manifestSha256": "f00",
        "files": {"used": 3, "rejected": 2, "total": 5},
        "usedBytes": 99,
        "rejectedByReason": {"binary": 2},
        "languages": {"Go": 3},
        "licences": {"MIT": 3},
        "rows": {"training": {"fim": 12}, "evaluation": {"fim": 10}},
        "redactions": {"email": 1},
        "overlap": {"found": 1, "trainingRowsTakenOut": 1, "heldOutRowsTakenOut": 0},
        "heldOutWhole": "folder",
        "notes": ["n"],
    }
    objects = ["evaluation.jsonl", "ledger.jsonl", "report.html", "train.jsonl", "manifest.json"]
    folder.write_json(of_job.attempt(pipeline.SEND, 1).create().result, {"objects": objects})
    end(store, made)
    assert client.get(f"/v1/{made['name']}").json()["outputInfo"] == {
        "gcsOutputDirectory": where,
        "trainingDataUri": f"{where}/train.jsonl",
        "evaluationDataUri": f"{where}/evaluation.jsonl",
        "ledgerUri": f"{where}/ledger.jsonl",
        "reportUri": f"{where}/report.html",
        "manifestUri": f"{where}/manifest.json",
    }


def test_a_failed_job_says_why_as_a_google_status(client: TestClient, store: Store) -> None:
    made = make(client)
    error = {"status": "NOT_FOUND", "message": "https://example.com/shop.git is no repository", "details": {}}
    end(store, made, Ending("failed", error))
    job = client.get(f"/v1/{made['name']}").json()
    assert job["state"] == "JOB_STATE_FAILED"
    assert job["error"] == {"code": 5, "message": "https://example.com/shop.git is no repository"}


def test_a_running_job_is_not_deleted_and_an_ended_one_is_with_its_folder(
    client: TestClient, store: Store, tmp_path: Path
) -> None:
    made = make(client)
    assert client.delete(f"/v1/{made['name']}").status_code == 400
    end(store, made)
    place = tmp_path / "jobs" / key_of(made)
    place.mkdir(parents=True)
    assert client.delete(f"/v1/{made['name']}").json()["done"]
    assert client.get(f"/v1/{made['name']}").status_code == 404
    assert not place.exists()


def test_a_build_waits_for_no_devices(client: TestClient, store: Store) -> None:
    store.create_job(make_plan(project="p"), job_id="tuning", asked=Asked(units=8))
    made = make(client)
    free = {"GPU": 8, "TPU": 64}
    claims = [store.claim("w", now_s=1.0, lease_s=10.0, capacity=free) for _ in range(2)]
    assert [claim and claim.job for claim in claims] == ["p.tuning", key_of(made)]


def test_what_is_stored_is_json_without_a_place_of_this_machine(
    client: TestClient, store: Store, tmp_path: Path
) -> None:
    plan = store.job(key_of(make(client))).dataset
    assert str(tmp_path) not in json.dumps(plan.model_dump(mode="json"))
