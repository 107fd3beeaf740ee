"""A home with jobs over the stand-in tasks, real worker processes for it, and what must hold of a job that ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from database_server import settings_for
from faults.slow_task import Behaviour, final_weights
from making import make_plan
from tunesmith import folder, process, resources
from tunesmith.folder import AttemptFolder, JobFolder
from tunesmith.store import Job, Store, open_store

TESTS = Path(__file__).resolve().parents[1]


@dataclass
class House:
    home: Path
    store: Store = field(init=False)
    workers: list[subprocess.Popen] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = open_store(settings_for(self.home))

    def add_job(self, job_id: str = "job", behaviour: Behaviour = Behaviour()) -> Job:
        data = behaviour.write(self.home / f"{job_id}.data.json")
        return self.store.create_job(make_plan(dataset=str(data)), job_id=job_id)

    def add_worker(self, only_job: str | None = None, **environment: str) -> subprocess.Popen:
        paths = [str(TESTS.parent / "src"), str(TESTS)]
        command = [sys.executable, "-m", "faults.run_worker", str(self.home), *([only_job] if only_job else [])]
        with open(self.home / "workers.log", "ab") as log:
            worker = subprocess.Popen(
                command, env={**os.environ, "PYTHONPATH": ":".join(paths), **environment}, stdout=log, stderr=log
            )
        self.workers.append(worker)
        return worker

    def job(self, job_id: str = "job") -> Job:
        return self.store.job(job_id)

    def wait_for(self, condition: Callable[[Job], bool], job_id: str = "job", limit_s: float = 60.0) -> Job:
        """The job as soon as the condition holds of it. The limit is there to end a test that hangs, not to time it."""
        deadline = time.monotonic() + limit_s
        while not condition(job := self.job(job_id)):
            assert time.monotonic() < deadline, f"{job}\n{(self.home / 'workers.log').read_text()[-5000:]}"
            time.sleep(0.01)
        return job

    def wait_for_step(self, step: int, attempt: int = 1, job_id: str = "job") -> AttemptFolder:
        found = JobFolder(self.home / "jobs" / job_id).attempt("tune", attempt)
        self.wait_for(lambda _: self.steps(found)[-1:] >= [step], job_id)
        return found

    def wait_for_end(self, job_id: str = "job") -> Job:
        return self.wait_for(lambda job: job.state in resources.ENDED, job_id)

    @staticmethod
    def steps(attempt: AttemptFolder) -> list[int]:
        return [line["step"] for line in folder.read_jsonl(attempt.metrics)]

    def kill_task(self, job_id: str = "job", number: int = signal.SIGKILL) -> bool:
        """Sends a signal to the running task of a job, if there is one."""
        running = [t for t in self.job(job_id).tasks if t.state == "RUNNING" and t.attempt]
        for task in running:
            attempt = JobFolder(self.home / "jobs" / job_id).attempt(task.name, task.attempt)
            if attempt.pid_file.exists():
                leader = folder.read_json(attempt.pid_file)["process"]
                if process.is_running(leader):
                    os.kill(process.pid_of(leader), number)
                    return True
        return False

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()
        self.store.close()
        for pid in processes_of(self.home):
            os.kill(pid, signal.SIGKILL)


def processes_of(home: Path) -> list[int]:
    """Pids of every task, and of whatever a task has started, that still runs for this home."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and process.identity(int(entry.name)) is not None:
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"ATTEMPT_FOLDER={home}".encode() in environment:
                found.append(int(entry.name))
    return found


def assert_history_is_legal(store: Store, job_id: str) -> None:
    """Every event is an allowed change, begins where the one before it ended, and no attempt began twice."""
    states: dict[str | None, str | None] = {None: None}
    begun = set()
    for event in store.events(job_id):
        known = states.get(event.task)
        if known is not None or event.task is None:
            assert event.state_before == known, f"{event} follows {known}"
        if event.state_before is not None and event.state_before != event.state:
            allowed = resources.JOB_TRANSITIONS if event.task is None else resources.TASK_TRANSITIONS
            assert event.state in allowed[event.state_before], event
        if event.task is not None and event.state == "RUNNING" and event.state_before == "PENDING":
            assert (event.task, event.attempt) not in begun, event
            begun.add((event.task, event.attempt))
        states[event.task] = event.state
    job = store.job(job_id)
    assert states[None] == job.state
    for task in job.tasks:
        assert states.get(task.name, task.state) == task.state


def assert_one_whole_model(house: House, job_id: str = "job", steps: int = 10) -> None:
    """One model, in the registry and on disk, with the weights and the metrics of an undisturbed run."""
    job = house.job(job_id)
    made = [m for m in house.store.models() if m.job == job_id]
    assert [m.name for m in made] == [job.model]
    assert job.state == "SUCCEEDED"
    (model,) = made
    folder.verify(model.folder)
    assert folder.read_json(model.folder / "adapter" / "adapter.json")["weights"] == final_weights(steps)
    metrics = folder.read_jsonl(model.folder / "report" / "metrics.jsonl")
    assert [line["step"] for line in metrics] == list(range(1, steps + 1))
    assert [p.name for p in model.folder.parent.iterdir()] == [model.folder.name]
