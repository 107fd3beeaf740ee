"""The database away, the disk full, a port that another program has: work goes on, and nobody is told too much."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from faults.house import assert_history_is_legal, assert_one_whole_model
from faults.service import Service
from faults.slow_task import Behaviour, answer_of, final_weights
from faults.test_service_kills import steps_told, told_by_watch
from tunesmith import errors, folder
from tunesmith.folder import JobFolder
from tunesmith.settings import Settings
from tunesmith.store import open_store

STEPS = 150
SLOW = Behaviour(steps=STEPS, step_s=0.02)
SHORT = Behaviour(steps=3, step_s=0.0)


def served(service: Service) -> tuple[str, str]:
    """An endpoint that answers, and what it says."""
    endpoint = service.endpoint_of(service.wait_for_end(service.submit("served", SHORT)).id)
    return endpoint, service.predicted(endpoint)


def assert_went_on_as_if_nothing_had_been(service: Service, key: str) -> None:
    assert service.wait_for_end(key).state == "SUCCEEDED", service.job(key)
    assert_one_whole_model(service, key, steps=STEPS)
    assert_history_is_legal(service.store, key)
    assert [task.attempt for task in service.job(key).tasks] == [1] * 5
    assert steps_told(told_by_watch(service, key)) == list(range(1, STEPS + 1))


def test_a_locked_database_delays_jobs_and_predictions_and_starts_nothing_twice(service: Service) -> None:
    """Locked for longer than a worker's lease; a client that asks again is answered as before."""
    for _ in range(2):
        service.add_worker(SERVES="1", BUSY_TIMEOUT_S="0.05")
    endpoint, said = served(service)
    key = service.submit("job", SLOW)
    service.wait_for_step(3, job_id=key)
    answers: list[str] = []
    asking = threading.Event()
    client = threading.Thread(target=lambda: [answers.append(service.predicted(endpoint)) for _ in until(asking)])
    client.start()
    try:
        holder = sqlite3.connect(service.home / "tunesmith.db", isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        metrics = JobFolder(service.home / "jobs" / key).attempt("tune", 1).metrics
        before = len(folder.read_jsonl(metrics))
        # A lease of the workers here is 2 s; the task goes on meanwhile, which is how the time is told.
        service.wait(lambda: len(folder.read_jsonl(metrics)) >= min(STEPS, before + 140), "140 steps of 0.02 s")
        service.wait(lambda: "does not answer" in service.log(), "the workers notice")
        holder.execute("ROLLBACK")
        holder.close()
        assert_went_on_as_if_nothing_had_been(service, key)
    finally:
        asking.set()
        client.join()
    assert set(answers) == {said}
    assert len(list(service.home.glob("servers/*/attempt-*"))) == 1


def until(event: threading.Event) -> Iterator[None]:
    while not event.is_set():
        yield


def test_a_database_that_is_moved_away_and_back_has_lost_nothing(service: Service) -> None:
    worker = service.add_worker(SERVES="1")
    endpoint, said = served(service)
    key = service.submit("job", SLOW)
    service.wait_for_step(3, job_id=key)
    database, away = service.home / "tunesmith.db", service.home / "away.db"
    database.rename(away)
    service.wait_for_step(STEPS // 2, job_id=key)
    # Whoever comes now must neither find an empty database nor make one.
    service.kill(worker)
    late = service.add_worker(SERVES="1")
    assert late.wait(60) != 0
    assert "belongs to it" in service.log()
    assert not database.exists()
    away.rename(database)
    service.add_worker(SERVES="1")
    assert_went_on_as_if_nothing_had_been(service, key)
    assert service.predicted(endpoint) == said
    assert {job.id for job in service.store.jobs()} == {"p.served", "p.job"}


def test_an_open_store_never_makes_a_database_anew(tmp_path: Path) -> None:
    store = open_store(Settings(tmp_path))
    store._engine.dispose()  # as when the pool opens one more connection
    for path in tmp_path.glob("tunesmith.db*"):
        path.unlink()
    with pytest.raises(errors.Unavailable, match="unable to open"):
        store.jobs()
    assert list(tmp_path.iterdir()) == []


# A full disk.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 32 MB. Where none can be mounted the test fails: nobody is to believe that it was tried."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.fail(f"a full disk was not tried: run this test as root, to mount a tmpfs ({done.stderr.strip()})")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> Path:
    """Takes every free byte."""
    filler = place / "filler"
    with open(filler, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue
    return filler


def test_a_full_disk_ends_no_process_and_a_job_that_it_failed_goes_on_once_there_is_room(small_disk: Path) -> None:
    service = Service(small_disk / "home")
    try:
        server = service.start_server()
        worker = service.add_worker(SERVES="1")
        endpoint, said = served(service)
        key = service.submit("job", SLOW)
        service.wait_for_step(8, job_id=key)
        filler = fill(small_disk)
        attempt = JobFolder(service.home / "jobs" / key).attempt("tune", 1)
        leader = folder.read_json(attempt.pid_file)["pid"]
        service.wait(lambda: not Path(f"/proc/{leader}/cmdline").read_bytes(), "the task has failed to write")
        answer = service.ask("POST", "/v1/projects/p/locations/us-central1/endpoints", json={"displayName": "e"})
        assert answer.status_code in (200, 503), answer.text
        assert service.predicted(endpoint) == said
        assert (server.poll(), worker.poll()) == (None, None)
        filler.unlink()
        job = service.wait_for_end(key)
        assert job.state == "FAILED"
        assert job.error["status"] == "RESOURCE_EXHAUSTED"
        assert "resume the job" in job.error["message"]
        service.store.resume_job(key)
        assert service.wait_for_end(key).state == "SUCCEEDED", service.job(key)
        assert_one_whole_model(service, key, steps=STEPS)
        assert_history_is_legal(service.store, key)
        assert steps_told(told_by_watch(service, key)) == list(range(1, STEPS + 1))
        assert (server.poll(), worker.poll()) == (None, None)
        assert service.predicted(service.endpoint_of(key)) == answer_of(final_weights(STEPS), "def f(")
    finally:
        service.close()


# A port of a process that is no more.


@pytest.fixture
def stranger() -> Iterator[tuple[str, list[str]]]:
    """Another program behind a port, and all that it is told."""
    told: list[str] = []

    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer("0" * 64)

        def do_POST(self) -> None:
            self.answer('{"candidate": 0, "text": "mine"}\n{"input_tokens": 1}\n')

        def answer(self, text: str) -> None:
            size = int(self.headers.get("Content-Length", 0))
            told.append(f"{self.path} {self.headers} {self.rfile.read(size)!r}")
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *arguments: object) -> None:
            """Silent."""

    front = ThreadingHTTPServer(("127.0.0.1", 0), Stranger)
    threading.Thread(target=front.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{front.server_port}", told
    front.shutdown()
    front.server_close()


def test_a_program_that_got_a_dead_servers_port_is_told_neither_token_nor_prompt(
    service: Service, stranger: tuple[str, list[str]]
) -> None:
    worker = service.add_worker(SERVES="1")
    endpoint, said = served(service)
    service.kill(worker)
    assert service.kill_serving()
    # As after a power cut: the row says READY, at a port that somebody else was given.
    url, told = stranger
    with sqlite3.connect(service.home / "tunesmith.db") as database:
        ((token,),) = database.execute("SELECT token FROM servers").fetchall()
        database.execute("UPDATE servers SET url = ?", (url,))
    database.close()
    answered: list[str] = []
    client = threading.Thread(target=lambda: answered.append(service.predicted(endpoint, prefix="a secret")))
    client.start()
    service.wait(lambda: told, "the gateway has come to the stranger")
    service.add_worker(SERVES="1")
    client.join()
    assert all(line.startswith("/who?") for line in told), told
    assert not any(token in line or "secret" in line for line in told)
    assert answered != ["mine"]
    assert service.predicted(endpoint) == said


def test_a_process_that_is_not_the_servers_own_is_not_believed_by_its_pid_alone(service: Service) -> None:
    """A pid file of before a restart of the machine, whose pid another process has now: the server is started anew."""
    worker = service.add_worker(SERVES="1")
    endpoint, said = served(service)
    service.kill(worker)
    assert service.kill_serving()
    (attempt,) = service.home.glob("servers/*/attempt-*")
    leader = folder.read_json(attempt / "pid")
    other = json.dumps({"pid": os.getpid(), "process": leader["process"].replace(str(leader["pid"]), str(os.getpid()))})
    (attempt / "pid").write_text(other)
    service.add_worker(SERVES="1")
    assert service.predicted(endpoint) == said
    assert len(list(service.home.glob("servers/*/attempt-*"))) == 2
