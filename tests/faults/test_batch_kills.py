"""Batch prediction jobs with real workers, real tasks and the tiny model, whoever is killed or told to stop."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batching import make_batch_plan, put_lines, written_lines
from faults.house import TESTS, assert_history_is_legal, processes_of
from tiny_model import make_tiny_model
from tunesmith import folder, pipeline, process, resources
from tunesmith.data.batch_output import ANSWERS
from tunesmith.folder import AttemptFolder, JobFolder
from tunesmith.settings import Settings
from tunesmith.storage import Storage
from tunesmith.store import Asked, Job, open_store

LINES = [{"prefix": f"def f{i}(x): " + "return x " * (i % 5)} for i in range(150)]
LIMIT_S = 240.0


class Service:
    """A home with one batch prediction job, and workers for it."""

    def __init__(self, home: Path, tiny: Path, lines: list[object]) -> None:
        self.home = home
        self.store = open_store(Settings(home))
        self.storage = Storage(home / "buckets")
        self.storage.create_bucket("bucket", "p")
        put_lines(self.storage, "in.jsonl", lines)
        drawing = {"max_output_tokens": 24, "temperature": 0.7}
        self.plan = make_batch_plan(base_model=str(tiny), drawing=drawing)
        asked = Asked(location="us-central1", display_name="j", request={}, body_sha256="b")
        self.id = self.store.create_batch_job(self.plan, project="p", job_id="1", asked=asked, pool="GPU").id
        self.workers: list[subprocess.Popen[bytes]] = []

    @property
    def job(self) -> Job:
        return self.store.job(self.id)

    def work(self) -> subprocess.Popen[bytes]:
        paths = os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)])
        command = [sys.executable, "-m", "tunesmith.cli", "work", "--home", str(self.home)]
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        with open(self.home / "work.log", "ab") as log:
            self.workers.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        return self.workers[-1]

    def attempt(self) -> AttemptFolder:
        """The newest one of the task that predicts."""
        number = self.job.task(pipeline.PREDICT).attempt
        return JobFolder(self.home / "jobs" / self.id).attempt(pipeline.PREDICT, number)

    def answers(self) -> int:
        try:
            return (self.attempt().out / ANSWERS).read_bytes().count(b"\n") - 1
        except FileNotFoundError:
            return 0

    def kill_task(self) -> None:
        leader = folder.read_json(self.attempt().pid_file)["process"]
        os.kill(process.pid_of(leader), signal.SIGKILL)

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline_s, (self.job, (self.home / "work.log").read_text()[-3000:])
            time.sleep(0.01)

    def wait_for_end(self) -> Job:
        self.wait(lambda: self.job.state in resources.ENDED)
        return self.job

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()
        for pid in processes_of(self.home):
            os.kill(pid, signal.SIGKILL)
        self.store.close()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def open_service(tmp_path: Path, tiny: Path) -> Iterator[Callable[..., Service]]:
    opened: list[Service] = []

    def make(lines: list[object] = LINES, name: str = "home") -> Service:  # type: ignore[assignment]
        (tmp_path / name).mkdir()
        opened.append(Service(tmp_path / name, tiny, lines))
        return opened[-1]

    yield make
    for service in opened:
        service.close()


def test_kill_9_of_tasks_and_workers_loses_and_doubles_nothing(open_service: Callable[..., Service]) -> None:
    quiet = open_service(name="quiet")
    quiet.work()
    assert quiet.wait_for_end().state == "SUCCEEDED"
    wanted = written_lines(quiet.storage, quiet.plan.destination)
    assert [line["instance"] for line in wanted] == LINES

    service, moments = open_service(name="loud"), random.Random(3)
    worker = service.work()
    for target in (5, 40, 90):
        service.wait(lambda target=target: service.job.state in resources.ENDED or all_answers(service) >= target)
        if moments.random() < 0.5:
            worker.kill()
            worker.wait()
            worker = service.work()
        service.kill_task()
        number = service.job.task(pipeline.PREDICT).attempt
        service.wait(lambda number=number: service.job.task(pipeline.PREDICT).attempt > number)
    job = service.wait_for_end()
    assert job.state == "SUCCEEDED", job.error
    assert written_lines(service.storage, service.plan.destination) == wanted
    assert_history_is_legal(service.store, service.id)
    # Nothing was asked twice but what was under way.
    assert all_answers(service) <= len(LINES) + 3 * 16


def all_answers(service: Service) -> int:
    """Lines that all attempts have answered."""
    attempts = JobFolder(service.home / "jobs" / service.id).attempts(pipeline.PREDICT)
    files = [attempt.out / ANSWERS for attempt in attempts if (attempt.out / ANSWERS).exists()]
    return sum(file.read_bytes().count(b"\n") - 1 for file in files)


@pytest.mark.parametrize("moment", ["waiting", "loading", "predicting"])
def test_cancelled_at_any_moment_it_leaves_no_process_and_no_object(
    open_service: Callable[..., Service], moment: str
) -> None:
    service = open_service()
    if moment != "waiting":
        service.work()
        service.wait(lambda: service.job.task(pipeline.PREDICT).attempt == 1)
    if moment == "predicting":
        service.wait(lambda: service.answers() > 3)
    service.store.request_cancel(service.id)
    assert service.wait_for_end().state == "CANCELLED"
    assert written_lines(service.storage, service.plan.destination) == []
    assert processes_of(service.home) == []
    assert_history_is_legal(service.store, service.id)


def test_a_worker_told_to_go_hands_its_batch_to_the_next(open_service: Callable[..., Service]) -> None:
    service = open_service()
    first = service.work()
    service.wait(lambda: service.answers() > 3)
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0
    assert service.job.state == "RUNNING"
    service.work()
    assert service.wait_for_end().state == "SUCCEEDED"
    assert [line["instance"] for line in written_lines(service.storage, service.plan.destination)] == LINES


def test_an_input_in_which_nothing_can_be_read_fails_the_job_before_a_model_is_loaded(
    open_service: Callable[..., Service],
) -> None:
    service = open_service(["no", "{}"])
    service.work()
    job = service.wait_for_end()
    assert job.state == "FAILED"
    assert job.error is not None
    assert job.error["status"] == "INVALID_ARGUMENT"
    assert "gs://bucket/in.jsonl: none of its 2 lines is an instance: line 1: is not JSON" in job.error["message"]
    assert [task.attempt for task in job.tasks] == [1, 0]
