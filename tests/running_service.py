"""`tunesmith up` as a process of its own, on a free port, with the tiny model behind the reference product's names."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiny_model import make_tiny_model

ROOT = Path(__file__).resolve().parents[1]
PATHS = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
START_S = 120.0
"""Until it listens; it is there in two seconds, on a machine that does nothing else."""


@dataclass
class Service:
    """One that runs; its home, its URL, what it logged."""

    url: str
    home: Path
    log: Path
    process: subprocess.Popen[bytes]

    def ask(self, method: str, path: str, body: object = None, expect: int | Sequence[int] = 200) -> Any:
        """The answer's JSON; AssertionError, with the whole answer, for another status than the expected."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json; charset=utf-8"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        expected = (expect,) if isinstance(expect, int) else expect
        assert status in expected, f"{method} {path}: {status} {text.decode()[:2000]}"
        return json.loads(text) if text.strip() else None

    def figures(self, board: str, job_id: str) -> dict[str, list[tuple[int, float]]]:
        """Step and value of every point of a job's time series, as a client of its tensorboard reads them."""
        run = f"{board}/experiments/{job_id}/runs/tune"
        listed = self.ask("GET", f"/v1/{run}/timeSeries")["tensorboardTimeSeries"]
        names = {series["name"].rpartition("/")[2]: series for series in listed}
        query = urllib.parse.urlencode({"timeSeries": [series["name"] for series in listed]}, doseq=True)
        found = self.ask("GET", f"/v1/{board}:batchRead?{query}")["timeSeriesData"]
        return {
            names[data["tensorboardTimeSeriesId"]]["displayName"]: [
                (int(point["step"]), point["scalar"]["value"]) for point in data.get("values", [])
            ]
            for data in found
        }

    def put(self, bucket: str, name: str, text: str) -> str:
        """Writes an object where a bucket lies by default; its URI."""
        path = self.home / "buckets" / bucket / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return f"gs://{bucket}/{name}"


@contextmanager
def running_service(folder: Path, **environment: str) -> Iterator[Service]:
    """A service with its home below `folder`. It must end well on SIGTERM."""
    home, log = folder / "home", folder / "up.log"
    home.mkdir(parents=True, exist_ok=True)
    tiny = str(make_tiny_model(folder / "base"))
    aliases = json.dumps(dict.fromkeys(("code-bison@002", "codechat-bison@002"), tiny))
    variables = {**os.environ, "PYTHONPATH": PATHS, "TUNESMITH_ALIASES": aliases, **environment}
    command = [sys.executable, "-m", "tunesmith.cli", "up", "--home", str(home), "--port", "0"]
    with open(log, "wb") as file:
        process = subprocess.Popen(command, env=variables, stdout=file, stderr=file)
    try:
        yield Service(wait_for_url(process, log), home, log, process)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(START_S)
    assert code == 0, log.read_text()


def wait_for_url(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where a starting service listens, read from its log."""
    deadline_s = time.monotonic() + START_S
    while "url=http" not in (text := log.read_text()):
        assert process.poll() is None, text
        assert time.monotonic() < deadline_s, text
        time.sleep(0.05)
    return text.split("url=")[1].split()[0]


def wait_until(condition: Any, limit_s: float = 540.0) -> Any:
    """What the condition gives once it is true."""
    deadline_s = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline_s, f"not within {limit_s:g} s"
        time.sleep(0.1)
    return found
