"""`tunesmith up` as a person runs it: it answers, and when it is told to go nothing of it stays."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from running_service import wait_for_url


def _processes_of(home: Path) -> list[str]:
    listed = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(home) in line]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_service_answers_and_leaves_nothing_running(tmp_path: Path, number: signal.Signals) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    command = [sys.executable, "-m", "tunesmith.cli", "up", "--home", str(home), "--port", "0"]
    with open(log, "wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        url = wait_for_url(process, log)
        with urllib.request.urlopen(f"{url}/readyz") as answer:
            assert answer.status == 200
    finally:
        process.send_signal(number)
        code = process.wait(60)
    assert code == 0, log.read_text()
    assert _processes_of(home) == []


def test_an_open_address_without_keys_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tunesmith.cli", "up", "--home", str(tmp_path), "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "tunesmith keys create" in done.stderr
