"""tunesmith.language_models takes what the Google SDK's classes of the same names take, method by method."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from clients import signatures

from client_environments import NEWEST, python_with
from running_service import ROOT

FOLDER = ROOT / "tests" / "e2e" / "clients"


@pytest.fixture(scope="module")
def google() -> Any:
    """What the SDK's classes take, by module."""
    script = FOLDER / "signatures.py"
    done = subprocess.run(
        [str(python_with(NEWEST)), "-W", "ignore", str(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def ours() -> Any:
    return json.loads(json.dumps(signatures.surface("tunesmith.language_models")))


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
