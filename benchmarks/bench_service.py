"""How soon the service answers, what it weighs, and how it answers with many jobs stored.

    python benchmarks/bench_service.py --output build/bench [--jobs 10000] [--rounds 3] [--requests 200]

A real `tunesmith serve` with its own home; requests one after the other over one connection, as a client sends them.
Of each figure the rounds' best stands beside all of them: other programs on the machine only ever add time. Nothing
here asserts a speed; TUNESMITH_DATABASE_URL measures PostgreSQL instead of SQLite.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from tunesmith import catalog, folder
from tunesmith.folder import JobFolder
from tunesmith.settings import read_settings
from tunesmith.spec import TuningSpec, resolve
from tunesmith.store import Asked, Ending, open_store, tables

PARENT = "/v1/projects/p/locations/us-central1"
JOBS = f"{PARENT}/pipelineJobs"
TEMPLATE = "https://us-kfp.pkg.dev/ml-pipeline/large-language-model-pipelines/tune-large-model/v3.0.0"
BODY = {
    "displayName": "a job",
    "templateUri": TEMPLATE,
    "runtimeConfig": {
        "gcsOutputDirectory": "gs://bucket/output",
        "parameterValues": {
            "project": "p",
            "location": "us-central1",
            "model_display_name": "m",
            "large_model_reference": "code-bison@002",
            "dataset_uri": "gs://bucket/train.jsonl",
            "train_steps": 300,
        },
    },
}


TOLD_JOBS = 2000
"""The newest jobs, whose folders say how they went."""
RESULT = {
    "steps": 300, "selected_step": 300, "stopped_early": False, "tokens_per_s": 1000.0, "device": "a device",
    "metrics": {"best": {"loss": 1.0, "accuracy": 0.5}},
}  # fmt: skip
FIGURES = (
    "train_total_loss", "train_fraction_of_correct_next_step_preds", "learning_rate", "gradient_norm", "tokens_per_s",
)  # fmt: skip


@dataclass
class Server:
    url: str
    pid: int
    ready_s: float
    """From exec to the first 200 of /readyz."""

    def memory_mib(self) -> float:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=200)
    chosen = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="bench-service-"))
    try:
        figures = measure(home, chosen.jobs, chosen.points, chosen.rounds, chosen.requests)
    finally:
        shutil.rmtree(home)
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "service.json").write_text(json.dumps(figures, indent=2))
    print(table(figures))
    return 0


def measure(home: Path, jobs: int, points: int, rounds: int, requests: int) -> dict[str, Any]:
    """All figures."""
    open_store(read_settings(os.environ, home)).close()
    started = []
    for _ in range(rounds):
        with serving(home) as server:
            started.append({"ready_s": server.ready_s, "memory_mib": server.memory_mib()})
    fill(home, jobs)
    fill_curves(home, points)
    with serving(home) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        asked = questions(client, jobs)
        first_s = time.perf_counter()
        client.get(f"{JOBS}/job-1:metrics").raise_for_status()
        first_s = time.perf_counter() - first_s
        answered = [{name: times(ask, requests) for name, ask in asked.items()} for _ in range(rounds)]
        worked_mib = server.memory_mib()
    load = os.getloadavg()
    claims = [claims_per_s(home, requests) for _ in range(rounds)]
    return {
        "machine": {"cores": os.cpu_count(), "load_average": load},
        "jobs": jobs,
        "start": started,
        "memory_after_requests_mib": worked_mib,
        "points": points,
        "first_curves_ms": 1000 * first_s,
        "requests": answered,
        "claims_per_s": claims,
    }


@contextmanager
def serving(home: Path) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "tunesmith.cli", "serve", "--home", str(home), "--port", str(port)]
    began_s = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        while not answers(url):
            assert process.poll() is None, "the server ended"
            time.sleep(0.005)
        yield Server(url, process.pid, time.perf_counter() - began_s)
    finally:
        process.terminate()
        process.wait(60)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


def fill(home: Path, number: int) -> None:
    """Jobs as clients have made them, most of them ended; written at once, since it is not their making that counts."""
    store = open_store(read_settings(os.environ, home))
    first = store.create_job(plan(), job_id="first", asked=Asked(display_name="a job", request=request(0), units=8))
    with store._writing() as connection:
        job = connection.execute(sa.select(tables.jobs).where(tables.jobs.c.id == first.id)).mappings().one()
        of_job = sa.select(tables.tasks).where(tables.tasks.c.job == job["sequence"])
        tasks = connection.execute(of_job).mappings().all()
        rows, task_rows, label_rows = [], [], []
        for i in range(1, number):
            sequence = job["sequence"] + i
            state = ("SUCCEEDED", "SUCCEEDED", "SUCCEEDED", "FAILED", "CANCELLED")[i % 5]
            asked = request(i)
            named = {"id": f"p.job-{i}", "job_id": f"job-{i}", "state": state, "request": asked}
            times_of = {"create_time": 1e9 + i, "update_time": 1e9 + i + 60.0, "end_time": 1e9 + i + 60.0}
            rows.append({**job, "sequence": sequence, **named, **times_of})
            label_rows += [{"job": sequence, "key": key, "value": value} for key, value in asked["labels"].items()]
            for task in tasks:
                place = {
                    "number": sequence * 10 + task["position"],
                    "job": sequence,
                    "state": "SUCCEEDED",
                    "attempt": 1,
                }
                task_rows.append({**task, **place})
        connection.execute(sa.insert(tables.jobs), rows)
        connection.execute(sa.insert(tables.tasks), task_rows)
        connection.execute(sa.insert(tables.job_labels), label_rows)
        if connection.dialect.name == "postgresql":
            for name, key in (("jobs", "sequence"), ("tasks", "number")):
                connection.execute(sa.text(f"SELECT setval('{name}_{key}_seq', (SELECT max({key}) FROM {name}))"))
    store.close()
    for i in range(max(1, number - TOLD_JOBS), number):
        folder.write_json(attempt(home, f"p.job-{i}").result, RESULT)


def fill_curves(home: Path, points: int) -> None:
    """What a long run has measured, below the job `job-1`."""
    measured = attempt(home, "p.job-1").metrics
    with open(measured, "w", encoding="utf-8") as file:
        for step in range(1, points + 1):
            said = dict.fromkeys(FIGURES, 3.0 / step + 0.001 * (step % 97))
            file.write(json.dumps({"step": step, "wall_time": 1e9 + step, **said}) + "\n")
            if step % 20 == 0:
                file.write(json.dumps({"step": step, "wall_time": 1e9 + step, "eval_total_loss": 2.0}) + "\n")


def attempt(home: Path, job_id: str) -> folder.AttemptFolder:
    """The one that tuned."""
    return JobFolder(read_settings(os.environ, home).jobs / job_id).attempt("tune", 1).create()


def request(number: int) -> dict[str, Any]:
    labels = {"team": f"team-{number % 50}"}
    return {
        "pipelineName": "tune-large-model",
        "templateUri": TEMPLATE,
        "labels": labels,
        "runtimeConfig": BODY["runtimeConfig"],
    }


def plan() -> Any:
    spec = TuningSpec.parse({"dataset": "gs://bucket/train.jsonl", "project": "p", "base_model": "code-bison@002"})
    return resolve(spec, catalog.find(spec.base_model, {}, Path("/nowhere")))


def questions(client: httpx.Client, jobs: int) -> dict[str, Callable[[int], httpx.Response]]:
    """Name -> one request; its argument is which of a series it is."""
    deep = {"pageSize": 1000}
    for _ in range(jobs // 1000 - 1):
        deep["pageToken"] = client.get(JOBS, params=deep).json()["nextPageToken"]
    deep["pageSize"] = 100
    made = str(time.time_ns())
    window = {"fromStep": 1000, "toStep": 3000}
    label = {"filter": 'labels.team="team-7"', "pageSize": 100}
    rare = {"filter": 'display_name="no such name"', "pageSize": 100}
    state = {"filter": 'state="PIPELINE_STATE_FAILED"', "pageSize": 100}
    ordered = {"orderBy": "create_time desc", "pageSize": 100}
    return {
        "get": lambda i: client.get(f"{JOBS}/job-{1 + i * 37 % (jobs - 1)}"),
        "list": lambda i: client.get(JOBS, params={"pageSize": 100}),
        "list, by a part of the name": lambda i: client.get(
            JOBS, params={"filter": 'display_name:"a j"', "pageSize": 100}
        ),
        "list, ordered by state": lambda i: client.get(JOBS, params={"orderBy": "state", "pageSize": 100}),
        "curves": lambda i: client.get(f"{JOBS}/job-1:metrics"),
        "curves, a window": lambda i: client.get(f"{JOBS}/job-1:metrics", params=window),
        "report": lambda i: client.get(f"{JOBS}/job-{jobs - 1}:report"),
        "list, deep page": lambda i: client.get(JOBS, params=deep),
        "list, by label": lambda i: client.get(JOBS, params=label),
        "list, by state": lambda i: client.get(JOBS, params=state),
        "list, nothing found": lambda i: client.get(JOBS, params=rare),
        "list, ordered": lambda i: client.get(JOBS, params=ordered),
        "create": lambda i: client.post(JOBS, params={"pipelineJobId": f"new-{made}-{next(_COUNTER)}"}, json=BODY),
        "healthz": lambda i: client.get("/healthz"),
    }


_COUNTER = iter(range(10**9))


def times(ask: Callable[[int], httpx.Response], number: int) -> dict[str, float]:
    """p50 and p99 of so many requests, in ms."""
    took = []
    for i in range(number):
        began_s = time.perf_counter()
        answer = ask(i)
        took.append((time.perf_counter() - began_s) * 1000)
        assert answer.status_code == 200, answer.text
    return {"p50_ms": statistics.median(took), "p99_ms": statistics.quantiles(took, n=100)[98]}


def claims_per_s(home: Path, number: int) -> float:
    """Claims of one worker, each with the success of its task; jobs that wait are those that were created above."""
    store = open_store(read_settings(os.environ, home))
    began_s, done = time.perf_counter(), 0
    while done < number:
        claim = store.claim("worker", now_s=time.time(), lease_s=60.0)
        assert claim is not None, "no task is left to claim; create more jobs"
        store.started(claim, "handle", now_s=time.time())
        store.settle(claim, Ending("failed", {"status": "INTERNAL", "message": "x", "details": {}}), now_s=time.time())
        done += 1
    took_s = time.perf_counter() - began_s
    store.close()
    return number / took_s


def table(figures: dict[str, Any]) -> str:
    lines = [
        f"ready in {min(s['ready_s'] for s in figures['start']):.2f} s, "
        f"{min(s['memory_mib'] for s in figures['start']):.0f} MiB; "
        f"{figures['memory_after_requests_mib']:.0f} MiB after all requests",
        f"the first look at {figures['points']:,} points: {figures['first_curves_ms']:.0f} ms",
        "",
        f"{'with ' + format(figures['jobs'], ',') + ' jobs':24} {'p50 ms':>8} {'p99 ms':>8}   (best of the rounds)",
    ]
    for name in figures["requests"][0]:
        best = {key: min(r[name][key] for r in figures["requests"]) for key in ("p50_ms", "p99_ms")}
        lines.append(f"{name:24} {best['p50_ms']:8.1f} {best['p99_ms']:8.1f}")
    lines.append(f"\n{max(figures['claims_per_s']):.0f} tasks claimed, started and settled a second")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
