"""Unmodified client libraries, each version in an environment of its own, against a real service with a tiny model."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from client_environments import NEWEST, PACKAGES, python_with
from running_service import PATHS, ROOT, Service, running_service

FLOWS = ROOT / "tests" / "e2e" / "clients"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.mark.parametrize("version", PACKAGES)
@pytest.mark.parametrize("flow", ["storage_flow.py", "sdk_flow.py"])
def test_every_step_of_a_flow_works(service: Service, flow: str, version: str) -> None:
    _run(service, python_with(version), flow)


def test_async_methods_work_over_rest(service: Service) -> None:
    _run(service, python_with(NEWEST), "async_flow.py")


def _run(service: Service, python: Path, flow: str) -> None:
    environment = {**os.environ, "PYTHONPATH": PATHS}
    command = [str(python), "-W", "ignore", str(FLOWS / flow), service.url]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
