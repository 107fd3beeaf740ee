"""kill -9 of the server, the worker, the task and the serving process at random moments: nothing is lost or doubled.

KILLS in the environment says how many there are (100, as `make faults` and `make full` run it); nine of ten over
stand-in tasks with the real server, worker, task program and store, the rest over the real engine and the tiny model.
The plan of all kills follows from SEED; each is printed before it happens, so that a failure shows how it came about.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from faults.house import assert_history_is_legal, assert_one_whole_model
from faults.service import BUCKET, JOBS, Service
from faults.slow_task import Behaviour, answer_of, final_weights
from tiny_model import make_tiny_model
from tunesmith import folder, pipeline, process
from tunesmith.folder import JobFolder

KILLS = int(os.environ.get("KILLS", "100"))
SEED = 51
KILLS_A_JOB = 5
STEPS = 50
VICTIMS = ("server", "worker", "serving", "task")
VICTIMS_BETWEEN_TASKS = VICTIMS[:3]
STAGES = ("submitted", pipeline.VALIDATE, pipeline.TUNE, "tuned", pipeline.EVALUATE, pipeline.UPLOAD, pipeline.DEPLOY)
"""When: a task of that name has begun; `tuned`: it is trained, and nothing of a model is registered."""


class Moment(NamedTuple):
    """Whom to kill, and when: so long after the job has come to the stage, and in `tune` to the step."""

    stage: int
    step: int
    victim: str
    after_s: float


def plan_of_job(moments: random.Random, kills: int, steps: int) -> list[Moment]:
    """In the order in which they happen. The task dies twice at most: the third time in a row would end the job."""
    while True:
        plan = []
        for _ in range(kills):
            stage = moments.randrange(len(STAGES))
            step = moments.randrange(steps) if STAGES[stage] == pipeline.TUNE else 0
            victims = VICTIMS if STAGES[stage] in pipeline.PROCESS_TASKS else VICTIMS_BETWEEN_TASKS
            plan.append(Moment(stage, step, moments.choice(victims), moments.uniform(0, 0.15)))
        if sum(moment.victim == "task" for moment in plan) < pipeline.MAX_ATTEMPTS:
            return sorted(plan)


class Killer:
    """Does to a service what a plan says, and starts again what does not start by itself."""

    def __init__(self, service: Service, add_worker: Callable[[], subprocess.Popen]) -> None:
        self.service, self.add_worker = service, add_worker
        self.worker = add_worker()
        self.done: dict[str, int] = dict.fromkeys(VICTIMS, 0)

    def kill(self, key: str, moment: Moment) -> None:
        service = self.service
        service.wait(lambda: self._has_come_to(key, moment), f"{moment} of {key}")
        time.sleep(moment.after_s)
        print(f"SEED={SEED} kill={sum(self.done.values()) + 1} job={key} stage={STAGES[moment.stage]} {moment}")
        victim = moment.victim
        if victim == "task" and not service.kill_task(key):
            victim = "worker"  # between two tasks
        if victim == "server":
            service.kill(service.server)
            service.start_server()
        elif victim == "worker":
            service.kill(self.worker)
            self.worker = self.add_worker()
        elif victim == "serving":
            service.wait(service.kill_serving, "a serving process runs")
        self.done[victim] += 1

    def _has_come_to(self, key: str, moment: Moment) -> bool:
        """Whether the job is at the moment's stage, or past it."""
        job, stage = self.service.job(key), STAGES[moment.stage]
        if job.end_time is not None or stage == "submitted":
            return True
        if stage == "tuned":
            return job.task(pipeline.TUNE).state == "SUCCEEDED"
        begun = job.task(stage).attempt > 0
        if stage != pipeline.TUNE or job.task(stage).state == "SUCCEEDED":
            return begun
        attempts = JobFolder(self.service.home / "jobs" / key).attempts(stage)
        return any(line["step"] >= moment.step for a in attempts for line in folder.read_jsonl(a.metrics))


def told_by_watch(service: Service, key: str) -> list[dict[str, Any]]:
    """All events of the job's :watch, which ends with the job."""
    text = service.ask("GET", f"{JOBS}/{key.partition('.')[2]}:watch").text
    events = [dict(line.split(": ", 1) for line in part.splitlines()) for part in text.strip().split("\n\n")]
    return [{"event": e["event"], **json.loads(e["data"])} for e in events if "event" in e]


def steps_told(events: Sequence[dict[str, Any]]) -> list[int]:
    return [e["step"] for e in events if e["event"] == "metrics" and "train_total_loss" in e]


def assert_all_is_told_once(service: Service, key: str, steps: int) -> None:
    """In :watch, in the job's folder and in TensorBoard's events: every step, once."""
    expected = list(range(1, steps + 1))
    assert steps_told(told_by_watch(service, key)) == expected
    lines = folder.read_jsonl(service.home / "jobs" / key / "metrics.jsonl")
    assert [line["step"] for line in lines if "train_total_loss" in line] == expected


def assert_nothing_is_left(service: Service, killer: Killer) -> None:
    """Told to go, everything goes: tasks, serving processes, worker and server."""
    mine = f":{killer.worker.pid}:"
    service.wait(lambda: all(mine in str(s.worker) for s in service.store.servers()), "the worker has taken over")
    killer.worker.send_signal(signal.SIGTERM)
    assert killer.worker.wait(120) == 0
    assert service.server is not None
    service.server.send_signal(signal.SIGTERM)
    assert service.server.wait(60) == 0
    assert service.processes() == {}


def test_a_hundred_kills_leave_one_model_a_job_and_endpoints_that_answer(service: Service) -> None:
    moments = random.Random(SEED)
    killer = Killer(service, lambda: service.add_worker(SERVES="1"))
    behaviour = Behaviour(steps=STEPS, step_s=0.03, checkpoint_every=2, other_s=0.4)
    endpoint = service.endpoint_of(service.wait_for_end(service.submit("undisturbed", behaviour)).id)
    expected = answer_of(final_weights(STEPS), "def f(")
    assert service.predicted(endpoint) == expected
    kills = KILLS - KILLS // 10
    for number in range(-(-kills // KILLS_A_JOB)):
        key = service.submit(f"job-{number}", behaviour)
        for moment in plan_of_job(moments, min(KILLS_A_JOB, kills - number * KILLS_A_JOB), STEPS):
            killer.kill(key, moment)
            assert service.predicted(endpoint) == expected
        assert service.wait_for_end(key).state == "SUCCEEDED", service.job(key)
        assert_one_whole_model(service, key, steps=STEPS)
        assert_history_is_legal(service.store, key)
        assert_all_is_told_once(service, key, STEPS)
        assert service.predicted(service.endpoint_of(key)) == expected
    assert sum(killer.done.values()) == kills
    assert min(killer.done.values()) > 0, killer.done
    assert len(service.store.models()) == len(service.store.jobs())
    assert_nothing_is_left(service, killer)


def test_a_watcher_is_told_every_step_once_however_often_the_task_dies(service: Service) -> None:
    service.add_worker()
    key = service.submit("job", Behaviour(steps=STEPS, step_s=0.03, checkpoint_every=4))
    told: list[list[dict[str, Any]]] = []
    watcher = threading.Thread(target=lambda: told.append(told_by_watch(service, key)))
    watcher.start()
    for attempt, step in enumerate((6, 15, 31, 46), 1):
        service.wait_for_step(step, attempt, key)
        assert service.kill_task(key)
    assert service.wait_for_end(key).state == "SUCCEEDED"
    watcher.join()
    assert steps_told(told[0]) == list(range(1, STEPS + 1))
    assert [e["state"] for e in told[0] if e["event"] == "state" and "task" not in e][-1] == "SUCCEEDED"


ROWS = [
    {"input_text": f"Write the code in Python: add {i} to x.", "output_text": f"```python\nx += {i}\n```"}
    for i in range(40)
]


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Service]:
    """A service over the real engine, in which code-bison@002 is the tiny model."""
    base = make_tiny_model(tmp_path / "tiny")
    home = tmp_path / "home"
    aliases = {"TUNESMITH_ALIASES": json.dumps({"code-bison@002": str(base)})}
    opened = Service(home, environment=aliases)
    data = home / "buckets" / BUCKET
    data.mkdir(parents=True)
    (data / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    try:
        yield opened
    finally:
        opened.close()


def submit_real(service: Service, job_id: str, steps: int) -> str:
    body = service.body(job_id, Behaviour(steps=steps))
    body["runtimeConfig"]["parameterValues"]["dataset_uri"] = f"gs://{BUCKET}/rows.jsonl"
    answer = service.ask("POST", f"{JOBS}?pipelineJobId={job_id}", json=body)
    assert answer.status_code == 200, answer.text
    return f"p.{job_id}"


def events_of(service: Service, key: str) -> list[int]:
    """The steps whose training TensorBoard shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown = EventAccumulator(str(service.home / "jobs" / key / "tensorboard")).Reload()
    return [scalar.step for scalar in shown.Scalars("/train_total_loss")]


def test_kills_of_the_real_engine_change_no_byte_of_the_model(real: Service) -> None:
    steps, moments = 12, random.Random(SEED + 1)
    real.start_server()
    killer = Killer(real, lambda: real.command("work"))
    first = real.wait_for_end(submit_real(real, "undisturbed", steps)).id
    endpoint = real.endpoint_of(first)
    expected = real.predicted(endpoint)
    weights = weights_of(real, first)
    kills = KILLS // 10
    for number in range(-(-kills // KILLS_A_JOB)):
        key = submit_real(real, f"job-{number}", steps)
        for moment in plan_of_job(moments, min(KILLS_A_JOB, kills - number * KILLS_A_JOB), steps):
            killer.kill(key, moment)
        assert real.wait_for_end(key).state == "SUCCEEDED", real.job(key)
        assert real.predicted(endpoint) == expected
        assert real.predicted(real.endpoint_of(key)) == expected
        assert weights_of(real, key) == weights
        assert [m.job for m in real.store.models()].count(key) == 1
        assert_history_is_legal(real.store, key)
        assert_all_is_told_once(real, key, steps)
        assert events_of(real, key) == list(range(1, steps + 1))
    assert_nothing_is_left(real, killer)


def weights_of(service: Service, key: str) -> bytes:
    (model,) = [m for m in service.store.models() if m.job == key]
    folder.verify(model.folder)
    return (model.folder / "adapter" / "adapter_model.safetensors").read_bytes()


def test_up_killed_takes_its_worker_and_its_models_with_it_and_up_again_brings_them_back(real: Service) -> None:
    parent = real.start_server("up")
    endpoint = real.endpoint_of(real.wait_for_end(submit_real(real, "job", 3)).id)
    expected = real.predicted(endpoint)
    assert len(real.processes()) >= 3  # the API, its worker, a served model
    real.kill(parent)
    real.wait(lambda: real.processes() == {}, "nothing runs any more")
    real.start_server("up")
    assert real.predicted(endpoint) == expected


def test_a_worker_killed_for_good_leaves_no_model_served_for_ever(real: Service) -> None:
    # The limit is 5 minutes; the process takes it from its order, which a test may write first.
    attempt = folder.AttemptFolder(real.home / "servers" / "made" / "attempt-1").create()
    order = {"job": "serve", "task": "serve", "attempt": 1, "base_models": str(real.home / "base-models")}
    base = json.loads(real.environment["TUNESMITH_ALIASES"])["code-bison@002"]
    folder.write_json(attempt.task_file, {**order, "aliases": {}, "base_model": base, "untended_s": 2.0})
    from tunesmith.work.executors import LocalExecutor

    executor = LocalExecutor({**os.environ, "OMP_NUM_THREADS": "1"})
    handle = executor.start(attempt)
    real.wait(attempt.address.exists, "the model is served")
    tended_s = time.monotonic()
    while time.monotonic() < tended_s + 4.0:  # twice the limit
        attempt.tended_file.touch()
        time.sleep(0.05)
    assert attempt.address.exists()
    real.wait(lambda: executor.poll(handle).state == "exited", "it has left")
    assert executor.poll(handle).code == 0
    assert not attempt.address.exists()
    assert process.identity(folder.read_json(attempt.pid_file)["pid"]) is None


def test_a_frozen_worker_that_wakes_to_be_stopped_leaves_alone_what_another_has_taken_over(service: Service) -> None:
    frozen = service.add_worker(SERVES="1")
    endpoint = service.endpoint_of(service.wait_for_end(service.submit("job", Behaviour(steps=3))).id)
    expected = service.predicted(endpoint)
    os.kill(frozen.pid, signal.SIGSTOP)
    with sqlite3.connect(service.home / "tunesmith.db") as database:
        database.execute("UPDATE servers SET lease_until = 1")  # it is 30 s, and cannot be waited for here
    database.close()
    second = service.add_worker(SERVES="1")
    mine = f":{second.pid}:"
    service.wait(lambda: all(mine in str(s.worker) for s in service.store.servers()), "the second one has taken over")
    frozen.send_signal(signal.SIGTERM)
    os.kill(frozen.pid, signal.SIGCONT)
    assert frozen.wait(120) == 0
    assert "dropped key=" in service.log()
    assert service.predicted(endpoint) == expected
    assert len(list(service.home.glob("servers/*/attempt-*"))) == 1
    assert second.poll() is None
