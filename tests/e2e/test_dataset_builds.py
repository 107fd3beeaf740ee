"""From a codebase to a tuned model over the service alone: real processes, a real git server, the tiny model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from git_places import Server, begun, certificate, committed, serving
from made_codebase import make_codebase
from running_service import PATHS, Service, running_service, wait_until
from tunesmith import pipeline
from tunesmith.folder import MANIFEST, JobFolder, read_json
from tunesmith.settings import Settings
from tunesmith.store import open_store

PARENT = "/v1/projects/p/locations/us-central1"
JOBS = f"{PARENT}/datasetBuildJobs"
ENDED = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED")
TEMPLATE = "https://us-kfp.pkg.dev/ml-pipeline/large-language-model-pipelines/tune-large-model/v3.0.0"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def shop(place: Path) -> Path:
    """A codebase, as a repository."""
    root = begun(place / "git" / "shop")
    make_codebase(root, packages=2)
    committed(root, {"pyproject.toml": b'[project]\nname = "shop"\nlicense = "MIT"\n'})
    return root


@pytest.fixture(scope="module")
def server(place: Path, shop: Path) -> Iterator[Server]:
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl, which makes the server's certificate, is not on this machine")
    with serving(place / "git", certificate(place)) as made:
        made.answers["/slow"] = lambda _request: made.stopped.wait() and None
        yield made


@pytest.fixture(scope="module")
def service(place: Path, shop: Path, server: Server) -> Iterator[Service]:
    hosts = json.dumps([server.url.removeprefix("https://")])
    settings = {"TUNESMITH_GIT_HOSTS": hosts, "TUNESMITH_GIT_CERTIFICATES": str(place / "certificate.pem")}
    with running_service(place / "service", **settings) as made:
        bucket = made.home / "buckets" / "code"
        bucket.mkdir(parents=True)
        with tarfile.open(bucket / "shop.tar.gz", "w:gz") as archive:
            archive.add(shop / "src", "shop/src")
            archive.add(shop / "pyproject.toml", "shop/pyproject.toml")
        yield made


def body(repository: str, **options: Any) -> dict[str, Any]:
    return {
        "displayName": "shop",
        "codebaseSource": {"repository": repository},
        "outputConfig": {"gcsDestination": {"outputUriPrefix": "gs://code/out"}},
        "options": options,
    }


def ended(service: Service, name: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        job: dict[str, Any] = service.ask("GET", f"/v1/{name}")
        return job if job["state"] in ENDED else None

    found: dict[str, Any] = wait_until(look)
    return found


def objects(service: Service, job: dict[str, Any]) -> set[str]:
    folder = service.home / "buckets" / job["outputInfo"]["gcsOutputDirectory"].removeprefix("gs://")
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_an_archive_becomes_a_data_set_that_a_tuning_job_takes(service: Service) -> None:
    chosen = {"kinds": ["instruction"], "rowCharacters": 900, "contextCharacters": 0, "evaluationRows": 10}
    made = service.ask("POST", JOBS, body("gs://code/shop.tar.gz", **chosen))
    job = ended(service, made["name"])
    assert job["state"] == "JOB_STATE_SUCCEEDED", job
    assert MANIFEST in objects(service, job)
    counts = job["statistics"]
    assert (counts["files"]["used"], counts["languages"], counts["licences"]) == (10, {"Python": 10}, {"MIT": 10})
    values = {
        "project": "p",
        "model_display_name": "m",
        "dataset_uri": job["outputInfo"]["trainingDataUri"],
        "evaluation_data_uri": job["outputInfo"]["evaluationDataUri"],
        "large_model_reference": "code-bison@002",
        "train_steps": 2,
    }
    runtime = {"gcsOutputDirectory": "gs://code/tuned", "parameterValues": values}
    asked = {"displayName": "t", "runtimeConfig": runtime, "templateUri": TEMPLATE}
    tuning = service.ask("POST", f"{PARENT}/pipelineJobs?pipelineJobId=tune-1", asked)

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = service.ask("GET", f"/v1/{tuning['name']}")
        return found if found["state"].endswith(("SUCCEEDED", "FAILED")) else None

    tuned = wait_until(look)
    assert tuned["state"] == "PIPELINE_STATE_SUCCEEDED", tuned
    data = service.ask("GET", f"/v1/{tuned['tunesmith']['model']}")["tunesmith"]["lineage"]["data"]
    assert data["built_from"]["manifest_sha256"] == counts["manifestSha256"]


def test_the_command_sends_a_folder_and_shows_what_came_of_it(service: Service, shop: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tunesmith.cli", "data", "build", str(shop), "--output", "gs://mine/out", "--json"]
    more = ["--server", service.url, "--project", "p", "--kinds", "chat", "--home", str(tmp_path)]
    done = subprocess.run(
        [*command, *more], env={**os.environ, "PYTHONPATH": PATHS}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert "packed 11 files" in done.stderr
    assert set(said["counts"]["rows"]["training"]) == {"chat"}
    assert said["source"]["name"].startswith("shop-")
    assert (service.home / "buckets" / said["folder"].removeprefix("gs://") / MANIFEST).is_file()


def test_a_repository_of_a_listed_host_is_fetched(service: Service, server: Server, shop: Path) -> None:
    made = service.ask("POST", JOBS, body(f"{server.url}/shop/.git", kinds=["instruction"]))
    job = ended(service, made["name"])
    assert job["state"] == "JOB_STATE_SUCCEEDED", job
    commit = (shop / ".git" / "refs" / "heads" / "main").read_text().strip()
    assert job["statistics"]["source"] == {"kind": "git", "name": "shop", "revision": commit}


def test_a_repository_that_is_not_there_fails_in_the_words_of_the_service(service: Service, server: Server) -> None:
    job = ended(service, service.ask("POST", JOBS, body(f"{server.url}/none/.git"))["name"])
    assert (job["state"], job["error"]["code"]) == ("JOB_STATE_FAILED", 5)
    assert "none/.git is no repository" in job["error"]["message"]


def test_a_job_that_waits_for_a_server_leaves_nothing_when_it_is_killed_and_cancelled(
    service: Service, server: Server
) -> None:
    made = service.ask("POST", JOBS, body(f"{server.url}/slow/shop.git"))
    job = JobFolder(service.home / "jobs" / f"p.{made['name'].rpartition('/')[2]}")

    def left(attempt: int) -> list[str]:
        """What runs of an attempt, and what lies there."""
        root = job.attempt(pipeline.BUILD, attempt).root
        listed = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
        running = [line for line in listed.splitlines() if str(root) in line]
        return [*running, *(str(path) for path in root.glob("scratch/*"))]

    wait_until(lambda: len([path for path in server.asked if path.startswith("/slow")]) == 1)
    assert any("git-dir" in line for line in left(1))
    assert service.ask("GET", f"/v1/{made['name']}")["progress"]["phase"] == "fetching"
    os.kill(read_json(job.attempt(pipeline.BUILD, 1).pid_file)["pid"], signal.SIGKILL)
    wait_until(lambda: len([path for path in server.asked if path.startswith("/slow")]) == 2)
    assert left(1) == []
    service.ask("POST", f"/v1/{made['name']}:cancel", {})
    said = ended(service, made["name"])
    assert (said["state"], said["error"]["code"]) == ("JOB_STATE_CANCELLED", 1)
    assert left(2) == []
    assert objects(service, made) == set()


def test_a_key_of_another_project_reads_neither_job_nor_bucket(service: Service) -> None:
    made = service.ask("POST", JOBS, body("gs://code/none.zip"))
    store = open_store(Settings(service.home))
    key = store.create_key("k", "other", "tuner")

    def status(method: str, path: str, said: object = None) -> int:
        data = None if said is None else json.dumps(said).encode()
        headers = {"Authorization": f"Bearer {key.secret}", "Content-Type": "application/json"}
        try:
            with urllib.request.urlopen(urllib.request.Request(service.url + path, data, headers, method=method)) as a:
                return int(a.status)
        except urllib.error.HTTPError as error:
            return error.code

    try:
        theirs = "/v1/projects/other/locations/us-central1/datasetBuildJobs"
        number = made["name"].rpartition("/")[2]
        assert status("GET", f"/v1/{made['name']}") == 403
        assert status("POST", f"/v1/{made['name']}:cancel", {}) == 403
        assert status("GET", f"{theirs}/{number}") == 404
        assert status("GET", f"{theirs}/../p.{number}") in (400, 404)
        assert status("POST", theirs, body("gs://p-tunesmith-staging/x.zip")) == 403
    finally:
        store.revoke_key(key.key.id)
        store.close()
    assert ended(service, made["name"])["error"]["code"] == 5


def test_a_secret_in_a_url_is_refused_and_kept_nowhere(service: Service) -> None:
    said = service.ask("POST", JOBS, body("https://me:hush-hush@example.com/shop.git"), expect=400)
    assert "ends up in logs" in said["error"]["message"]
    files = [service.log, *(path for path in service.home.rglob("*") if path.is_file())]
    assert not [path for path in files if b"hush-hush" in path.read_bytes()]
