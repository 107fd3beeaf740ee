"""Unmodified client libraries, each version in an environment of its own, against a real service with a tiny model."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from client_environments import NEWEST, PACKAGES, python_with
from running_service import PATHS, ROOT, Service, running_service
from tiny_served import make_home

FLOWS = ROOT / "tests" / "e2e" / "clients"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter for the tiny base model as PEFT writes it, without what Tunesmith writes beside it."""
    made = make_home(tmp_path_factory.mktemp("adapter")).tuned(7).folder / "adapter"
    bare = tmp_path_factory.mktemp("bare") / "adapter"
    shutil.copytree(made, bare, ignore=shutil.ignore_patterns("base.json", "manifest.json"))
    return bare


@pytest.mark.parametrize("version", PACKAGES)
@pytest.mark.parametrize("flow", ["storage_flow.py", "sdk_flow.py"])
def test_every_step_of_a_flow_works(service: Service, flow: str, version: str) -> None:
    _run(service, python_with(version), flow)


@pytest.mark.parametrize("version", PACKAGES)
def test_batches_and_uploads_work(service: Service, adapter: Path, version: str) -> None:
    _run(service, python_with(version), "batch_flow.py", str(adapter))


def test_async_methods_work_over_rest(service: Service) -> None:
    _run(service, python_with(NEWEST), "async_flow.py")


def _run(service: Service, python: Path, flow: str, *arguments: str) -> None:
    environment = {**os.environ, "PYTHONPATH": PATHS}
    command = [str(python), "-W", "ignore", str(FLOWS / flow), service.url, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
