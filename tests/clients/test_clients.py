"""Unmodified client libraries, in an environment of their own (`make clients`), against a real service.

The model is tiny.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiny_model import make_tiny_model
from tiny_served import make_home

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


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an adapter for the tiny base model, as PEFT writes it."""
    home = make_home(tmp_path_factory.mktemp("adapter"))
    return home.tuned(7).folder / "adapter"


def test_every_step_of_the_batch_flow_works(server: str, adapter: Path, tmp_path: Path) -> None:
    # What Tunesmith writes beside an adapter names the folder of a base model that the server does not have.
    own = tmp_path / "adapter"
    shutil.copytree(adapter, own, ignore=shutil.ignore_patterns("base.json", "manifest.json"))
    environment = {**os.environ, "PYTHONPATH": PATHS}
    command = [os.environ["CLIENTS"], "-W", "ignore", str(FLOWS / "batch_flow.py"), server, str(own)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.parametrize("flow", ["storage_flow.py", "sdk_flow.py"])
def test_every_step_of_a_flow_works(server: str, flow: str) -> None:
    environment = {**os.environ, "PYTHONPATH": PATHS}
    command = [os.environ["CLIENTS"], "-W", "ignore", str(FLOWS / flow), server]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
