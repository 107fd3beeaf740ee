"""Unmodified client libraries, each version in an environment of its own, against a real service with a tiny model.

The environments are made from the package index once, below build/clients (a minute each).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from running_service import PATHS, ROOT, Service, running_service

FLOWS = ROOT / "tests" / "e2e" / "clients"
NEWEST = "2.7.0"
PACKAGES = {
    NEWEST: (
        f"google-cloud-aiplatform[pipelines]=={NEWEST}",
        "google-cloud-storage==3.17.1",
        "google-api-core[async_rest]",
        "google-auth[aiohttp]",
        "pandas",
    ),
    # March 2024: the days of the reference page.
    "1.45.0": ("google-cloud-aiplatform==1.45.0", "google-cloud-storage==2.19.0", "PyYAML", "pandas"),
}


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


def python_with(version: str) -> Path:
    """The interpreter that has this version of the SDK; its environment is complete or it is not there."""
    folder = ROOT / "build" / "clients" / version
    python, installed = folder / "bin" / "python", folder / ".installed"
    if not installed.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*pip, *PACKAGES[version]], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        installed.touch()
    return python
