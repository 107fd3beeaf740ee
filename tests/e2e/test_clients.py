"""Unmodified client libraries, each version in an environment of its own, against a real service with a tiny model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="module")
def google() -> Any:
    """What the classes of the SDK's two modules take."""
    return surfaces(
        python_with(NEWEST), {"ga": "vertexai.language_models", "preview": "vertexai.preview.language_models"}
    )


@pytest.fixture(scope="module")
def ours() -> Any:
    return surfaces(Path(sys.executable), {"ours": "tunesmith.language_models"})["ours"]


def surfaces(python: Path, modules: dict[str, str]) -> Any:
    """What the classes of modules take, seen by that interpreter."""
    command = [str(python), str(FLOWS / "signatures.py"), *modules.values()]
    environment = {**os.environ, "PYTHONPATH": PATHS}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(zip(modules, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("module", ["ga", "preview"])
def test_language_models_has_every_public_method_of_the_sdk(google: Any, ours: Any, module: str) -> None:
    missing = [
        f"{kind}.{name}"
        for kind, methods in google[module].items()
        for name in methods
        if name not in ours.get(kind, {})
    ]
    assert missing == []


def test_its_methods_take_what_those_of_the_preview_take(google: Any, ours: Any) -> None:
    for kind, methods in google["preview"].items():
        for name, parameters in methods.items():
            assert ours[kind][name] == parameters, f"{kind}.{name}"


def test_its_methods_take_all_that_the_others_take(google: Any, ours: Any) -> None:
    """Order and defaults too: what is called by position means the same."""
    for kind, methods in google["ga"].items():
        for name, parameters in methods.items():
            by_position = [p for p in parameters or [] if p[1] == "POSITIONAL_OR_KEYWORD"]
            taken = ours[kind][name] or []
            assert all(parameter in taken for parameter in parameters or []), f"{kind}.{name}"
            if kind != "CodeChatSession" or name != "__init__":  # users call start_chat
                assert taken[: len(by_position)] == by_position, f"{kind}.{name}"
