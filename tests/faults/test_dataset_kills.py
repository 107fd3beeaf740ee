"""Data set build jobs with real workers and real tasks, whoever is killed or told to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.house import TESTS, assert_history_is_legal, processes_of
from made_codebase import make_codebase
from tunesmith import folder, pipeline, process, resources
from tunesmith.data.codebase.options import Options
from tunesmith.dataset import DatasetPlan
from tunesmith.errors import NotFound
from tunesmith.folder import AttemptFolder, JobFolder
from tunesmith.settings import Settings
from tunesmith.storage import Storage
from tunesmith.store import Asked, Job, open_store

DESTINATION = "gs://code/out/shop-1"
LIMIT_S = 240.0


class Service:
    """A home with one job, and workers for it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.store = open_store(Settings(home))
        self.storage = Storage(home / "buckets")
        self.storage.create_bucket("code", "p")
        make_codebase(home / "buckets" / "code" / "shop", packages=30)
        (home / "buckets" / "code" / "shop" / "LICENSE").write_text("SPDX-License-Identifier: MIT\n")
        plan = DatasetPlan(repository="gs://code/shop/", destination=DESTINATION, options=Options().to_json())
        asked = Asked(location="us-central1", display_name="j", request={}, body_sha256="b")
        self.id = self.store.create_dataset_job(plan, project="p", job_id="1", asked=asked).id
        self.workers: list[subprocess.Popen[bytes]] = []

    @property
    def job(self) -> Job:
        return self.store.job(self.id)

    def work(self) -> subprocess.Popen[bytes]:
        paths = os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)])
        command = [sys.executable, "-m", "tunesmith.cli", "work", "--home", str(self.home)]
        with open(self.home / "work.log", "ab") as log:
            environment = {**os.environ, "PYTHONPATH": paths}
            self.workers.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        return self.workers[-1]

    def attempt(self, task: str = pipeline.BUILD) -> AttemptFolder:
        """The newest one of a task."""
        return JobFolder(self.home / "jobs" / self.id).attempt(task, self.job.task(task).attempt)

    def phase(self) -> str:
        """What the attempt that builds does now."""
        try:
            said: dict[str, Any] = folder.read_json(self.attempt().progress)
        except NotFound:
            return ""
        return str(said["phase"])

    def kill_task(self) -> None:
        leader = folder.read_json(self.attempt().pid_file)["process"]
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid_of(leader), signal.SIGKILL)

    def objects(self) -> dict[str, bytes]:
        place = self.home / "buckets" / DESTINATION.removeprefix("gs://")
        return {path.name: path.read_bytes() for path in place.iterdir()} if place.exists() else {}

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


@pytest.fixture
def open_service(tmp_path: Path) -> Iterator[Callable[[str], Service]]:
    opened: list[Service] = []

    def make(name: str) -> Service:
        (tmp_path / name).mkdir()
        opened.append(Service(tmp_path / name))
        return opened[-1]

    yield make
    for service in opened:
        service.close()


def test_kill_9_of_the_task_and_of_the_worker_costs_an_attempt_and_changes_nothing(
    open_service: Callable[[str], Service],
) -> None:
    quiet = open_service("quiet")
    quiet.work()
    assert quiet.wait_for_end().state == "SUCCEEDED"
    wanted = quiet.objects()
    assert folder.MANIFEST in wanted

    service = open_service("loud")
    worker = service.work()
    service.wait(lambda: service.phase() == "reading")
    left = service.attempt().scratch
    assert left.exists()
    service.kill_task()
    service.wait(lambda: service.job.task(pipeline.BUILD).attempt > 1 and service.phase() == "reading")
    assert not left.exists()
    worker.kill()
    worker.wait()
    service.kill_task()
    service.work()
    job = service.wait_for_end()
    assert job.state == "SUCCEEDED", job.error
    assert job.task(pipeline.BUILD).attempt == 3
    assert service.objects() == wanted
    assert_history_is_legal(service.store, service.id)
    assert processes_of(service.home) == []
    assert list((service.home / "jobs").rglob("scratch")) == []


LATE = ("cutting rows", "looking for leaks", "writing")


@pytest.mark.parametrize("phases", [(), ("reading",), LATE], ids=["waiting", "early", "late"])
def test_cancelled_in_any_phase_it_leaves_no_process_and_no_object(
    open_service: Callable[[str], Service], phases: tuple[str, ...]
) -> None:
    service = open_service("home")
    if phases:
        service.work()
        service.wait(lambda: service.phase() in phases)
    service.store.request_cancel(service.id)
    assert service.wait_for_end().state == "CANCELLED"
    assert service.objects() == {}
    assert processes_of(service.home) == []
    assert list((service.home / "jobs").rglob("scratch")) == []
    assert_history_is_legal(service.store, service.id)


def test_a_worker_told_to_go_hands_its_build_to_the_next(open_service: Callable[[str], Service]) -> None:
    service = open_service("home")
    first = service.work()
    service.wait(lambda: service.phase() == "reading")
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0
    assert processes_of(service.home) == []
    assert service.job.state == "RUNNING"
    service.work()
    assert service.wait_for_end().state == "SUCCEEDED"
    assert folder.MANIFEST in service.objects()
