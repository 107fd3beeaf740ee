"""Unmodified client libraries, in an environment of their own (`make clients`), against a real service.

The model is tiny.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import signatures

from tiny_model import make_tiny_model

ROOT = Path(__file__).resolve().parents[2]
FLOWS = ROOT / "tests" / "e2e" / "clients"
PATHS = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("home")
    tiny = str(make_tiny_model(tmp_path_factory.mktemp("base") / "tiny"))
    aliases = dict.fromkeys(("code-bison@002", "codechat-bison@002"), tiny)
    environment = {**os.environ, "PYTHONPATH": PATHS, "TUNESMITH_ALIASES": json.dumps(aliases)}
    command = [sys.executable, "-m", "tunesmith.cli", "up", "--home", str(home), "--port", "0"]
    with open(home / "up.log", "w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield _url(process, home / "up.log")
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    while True:
        assert process.poll() is None, log.read_text()
        found = [word for word in log.read_text().split() if word.startswith("url=http")]
        if found:
            url = found[0].removeprefix("url=")
            with urllib.request.urlopen(f"{url}/readyz") as answer:
                assert answer.status == 200
            return url
        time.sleep(0.1)


@pytest.mark.parametrize("flow", ["storage_flow.py", "sdk_flow.py"])
def test_every_step_of_a_flow_works(server: str, flow: str) -> None:
    environment = {**os.environ, "PYTHONPATH": PATHS}
    command = [os.environ["CLIENTS"], "-W", "ignore", str(FLOWS / flow), server]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="module")
def google() -> Any:
    """What the SDK's classes take, by module."""
    script = Path(__file__).parent / "signatures.py"
    done = subprocess.run([os.environ["CLIENTS"], str(script)], capture_output=True, text=True, check=False)
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
