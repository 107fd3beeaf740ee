"""A whole service for each test: `tunesmith serve` as a process, workers beside it, and a client that is patient.

A House whose jobs come by HTTP. The server stands at one port however often it is started. Waits are for conditions;
their limits are there to end a test that hangs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from faults.house import TESTS, House
from faults.slow_task import Behaviour
from tunesmith import folder, process
from tunesmith.store import Job

LIMIT_S = 120.0
PROJECT = "p"
PARENT = f"projects/{PROJECT}/locations/us-central1"
JOBS = f"/v1/{PARENT}/pipelineJobs"
TEMPLATE = "https://us-kfp.pkg.dev/ml-pipeline/large-language-model-pipelines/tune-large-model/v3.0.0"
BUCKET = "bucket"


@dataclass
class Service(House):
    environment: dict[str, str] = field(default_factory=dict)
    """Of every process that is started, beside the tests' own."""
    port: int = field(default_factory=lambda: free_port())
    server: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # Processes.

    def start_server(self, command: str = "serve", port: int | None = None) -> subprocess.Popen:
        """`tunesmith serve` (or `up`), which answers when this returns."""
        port = port or self.port
        started = self.command(command, "--port", str(port))
        if port == self.port:
            self.server = started
        self.wait(lambda: _answers(f"http://127.0.0.1:{port}/readyz"), f"{command} answers")
        return started

    def command(self, *words: str) -> subprocess.Popen:
        """A command of the product, for this home."""
        command = [sys.executable, "-m", "tunesmith.cli", words[0], "--home", str(self.home), *words[1:]]
        paths = ":".join([str(TESTS.parent / "src"), str(TESTS)])
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **self.environment}
        with open(self.home / "workers.log", "ab") as log:
            started = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.workers.append(started)
        return started

    def kill(self, victim: subprocess.Popen | None) -> None:
        assert victim is not None
        victim.kill()
        victim.wait()

    def kill_serving(self) -> bool:
        """Kills the serving process that runs, if one does."""
        for pid_file in self.home.glob("servers/*/attempt-*/pid"):
            leader = folder.read_json(pid_file)["process"]
            if process.is_running(leader):
                os.kill(process.pid_of(leader), signal.SIGKILL)
                return True
        return False

    def processes(self) -> dict[int, str]:
        """All that still runs for this home: pids and command lines."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and int(entry.name) != os.getpid() and process.identity(int(entry.name)):
                try:
                    words, environment = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
                except OSError:
                    continue  # ended meanwhile, or another user's
                if str(self.home).encode() in words + b"\0" + environment:
                    found[int(entry.name)] = words.replace(b"\0", b" ").decode()
        return found

    def close(self) -> None:
        super().close()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # What a client does.

    def ask(self, method: str, path: str, **said: Any) -> httpx.Response:
        return httpx.request(method, f"{self.url}{path}", timeout=LIMIT_S, trust_env=False, **said)

    def body(self, job_id: str, behaviour: Behaviour, accelerator: str = "GPU", project: str = PROJECT) -> dict:
        """A PipelineJob whose data are the behaviour."""
        behaviour.write(self.home / "buckets" / BUCKET / f"{job_id}.json")
        values = {
            "project": project,
            "location": "us-central1",
            "model_display_name": job_id,
            "dataset_uri": f"gs://{BUCKET}/{job_id}.json",
            "large_model_reference": "code-bison@002",
            "accelerator_type": accelerator,
            "train_steps": behaviour.steps,
        }
        runtime = {"gcsOutputDirectory": f"gs://{BUCKET}/out", "parameterValues": values}
        return {"displayName": job_id, "runtimeConfig": runtime, "templateUri": TEMPLATE}

    def submit(self, job_id: str, behaviour: Behaviour = Behaviour(), **said: Any) -> str:
        """The key of a job that is asked for by HTTP."""
        answer = self.ask("POST", f"{JOBS}?pipelineJobId={job_id}", json=self.body(job_id, behaviour, **said))
        assert answer.status_code == 200, answer.text
        return f"{PROJECT}.{job_id}"

    def endpoint_of(self, key: str) -> str:
        """The name of the endpoint that a finished job has made."""
        job = self.job(key)
        assert job.state == "SUCCEEDED", job
        return self.store.endpoint_name(job)

    def predicted(self, endpoint: str, prefix: str = "def f(") -> str:
        """What the endpoint says at temperature 0; a refused connection or a 503 is asked again, as clients do."""
        body = {"instances": [{"prefix": prefix}], "parameters": {"temperature": 0, "maxOutputTokens": 8}}
        deadline_s = time.monotonic() + LIMIT_S
        while True:
            try:
                answer = self.ask("POST", f"/v1/{endpoint}:predict", json=body)
            except httpx.TransportError as error:
                said = repr(error)
            else:
                if answer.status_code == 200:
                    return answer.json()["predictions"][0]["content"]
                assert answer.status_code == 503, answer.text
                said = answer.text
            assert time.monotonic() < deadline_s, f"{said}\n{self.log()}"
            time.sleep(0.05)

    # Waiting.

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        deadline_s = time.monotonic() + LIMIT_S
        while not (found := condition()):
            assert time.monotonic() < deadline_s, f"not within {LIMIT_S:g} s: {what}\n{self.log()}"
            time.sleep(0.01)
        return found

    def wait_for_end(self, job_id: str = "job") -> Job:
        self.wait_for(lambda job: job.end_time is not None, job_id, LIMIT_S)
        return self.job(job_id)

    def log(self) -> str:
        return (self.home / "workers.log").read_text(errors="replace")[-5000:]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=LIMIT_S, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
