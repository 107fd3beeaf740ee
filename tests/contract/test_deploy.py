"""Serving processes as a worker keeps them: real processes of a few lines, a real store, a real executor.

What a process does follows from the name of its base model.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest

from database_server import settings_for
from faults.house import processes_of
from tunesmith import folder, process
from tunesmith.errors import Unavailable
from tunesmith.folder import AttemptFolder
from tunesmith.store import Server, Store, Wanted, database, open_store
from tunesmith.work.deploy import Deployments, ServingTiming
from tunesmith.work.executors import LocalExecutor

PROGRAM = """
import http.server, json, os, signal, sys, threading, time
from pathlib import Path
from tunesmith import errors, folder, task
from tunesmith.folder import AttemptFolder

attempt = AttemptFolder(Path(sys.argv[1]))
if not task.take(attempt):
    sys.exit(0)
signal.signal(signal.SIGTERM, lambda number, frame: attempt.stop_file.touch())  # as task.py does
order = folder.read_json(attempt.task_file)
does, number = order["base_model"], order["attempt"]

def fail(error):
    folder.write_json(attempt.error, {**error.to_json(), "exit_code": error.exit_code})
    sys.exit(error.exit_code)

if does == "dies" or (does == "dies once" and number == 1):
    os._exit(7)
if does == "refuses":
    fail(errors.FailedPrecondition("the adapter is for another base"))
if does == "hangs":
    time.sleep(3600)

class Front(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            (attempt.root / "asked").touch()
            time.sleep(0.5)
        said = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
    def log_message(self, *arguments):
        pass

class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False  # answers under way end before the process does
    allow_reuse_address = False

taken = Path(order["models"]) / "port"
try:
    server = Server(("127.0.0.1", int(taken.read_text()) if does == "port" and number == 1 else 0), Front)
except OSError as error:
    fail(errors.Unavailable(f"the port is taken: {error}"))
threading.Thread(target=server.serve_forever).start()
folder.write_json(attempt.address, {"url": f"http://127.0.0.1:{server.server_port}", "token": "t"}, mode=0o600)
beat = 0
while not attempt.stop_requested():
    if does != "falls silent":
        beat += 1
        folder.write_json(attempt.progress, {"phase": "serving", "beat": beat})
    time.sleep(0.05)
server.shutdown()
server.server_close()
folder.write_json(attempt.result, {})
"""
TIMING = ServingTiming(
    look_s=0.0, deployed_s=0.0, lease_s=30.0, heartbeat_s=0.05, idle_s=3600.0, again_s=0.01, kill_grace_s=20.0
)
SOURCE = Path(__file__).resolve().parents[2] / "src"


@dataclass
class Machine:
    """A home, and the workers on it."""

    home: Path
    timing: ServingTiming = TIMING
    dead: set[str] = field(default_factory=set)
    command: tuple[str, ...] = (sys.executable, "-c", PROGRAM)
    store: Store = field(init=False)
    executors: list[LocalExecutor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = open_store(settings_for(self.home))
        (self.home / "models").mkdir()

    def worker(self, name: str = "w", store: Store | None = None) -> Deployments:
        executor = LocalExecutor({**os.environ, "PYTHONPATH": str(SOURCE)}, self.command)
        self.executors.append(executor)
        store = store or self.store
        return Deployments(settings_for(self.home), store, executor, name, self.dead.__contains__, self.timing)

    def want(self, does: str) -> None:
        self.store.ask_for_server(Wanted(does, does))

    def server(self, does: str) -> Server:
        found = self.store.server(does)
        assert found is not None
        return found

    def attempts(self, does: str) -> list[AttemptFolder]:
        root = self.home / "servers" / does.replace(" ", "-")
        return [AttemptFolder(path) for path in sorted(root.glob("attempt-*"))]

    def leader(self, does: str) -> str:
        """The process of the newest attempt."""
        found: str = folder.read_json(self.attempts(does)[-1].pid_file)["process"]
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    for executor in made.executors:
        for attempt in (tmp_path / "servers").glob("*/attempt-*"):
            executor.stop(str(attempt), 0.0)


def until(deployments: Deployments, condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    """Takes turns until the condition holds; the limit ends a test that hangs."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, deployments.store.servers()
        deployments.turn()
        time.sleep(0.01)


def ready(machine: Machine, does: str = "serves") -> Deployments:
    """A worker that has brought up that server."""
    deployments = machine.worker()
    machine.want(does)
    until(deployments, lambda: machine.server(does).state == "READY")
    return deployments


def pid_at(server: Server) -> int:
    """Of the process that answers at its address."""
    return int(httpx.get(f"{server.url}/").text)


def kill(machine: Machine, does: str) -> None:
    os.kill(process.pid_of(machine.leader(does)), signal.SIGKILL)


# Starting.


def test_wanted_server_is_started_and_known_by_its_address_once_it_answers(machine: Machine) -> None:
    ready(machine)
    server = machine.server("serves")
    assert (server.worker, server.attempt, server.failures, server.error) == ("w", 1, 0, None)
    assert pid_at(server) == process.pid_of(machine.leader("serves"))
    assert server.token == "t"


def test_server_that_nobody_wants_is_not_started(machine: Machine) -> None:
    machine.timing = replace(TIMING, idle_s=0.0)
    machine.want("serves")
    deployments = machine.worker()
    for _ in range(3):
        deployments.turn()
    assert machine.server("serves").state == "WANTED"
    assert machine.attempts("serves") == []


def test_server_whose_folder_cannot_be_made_says_so(machine: Machine) -> None:
    (machine.home / "servers").write_text("in the way")
    machine.want("serves")
    machine.worker().turn()
    server = machine.server("serves")
    assert server.state == "FAILED"
    assert server.error is not None
    assert "File exists" in server.error["message"] or "Not a directory" in server.error["message"]


def test_server_whose_program_is_not_there_says_so(machine: Machine) -> None:
    machine.command = ("/nowhere/python",)
    machine.want("serves")
    machine.worker().turn()
    server = machine.server("serves")
    assert (server.state, server.error and server.error["status"]) == ("FAILED", "UNAVAILABLE")
    assert server.error is not None
    assert "/nowhere/python could not be started" in server.error["message"]


# Dying.


def test_server_that_is_killed_is_started_again_at_another_address(machine: Machine) -> None:
    deployments = ready(machine)
    first = machine.server("serves")
    kill(machine, "serves")
    until(deployments, lambda: machine.server("serves").state != "READY")
    between = machine.server("serves")
    assert (between.url, between.token, between.failures) == (None, None, 1)
    until(deployments, lambda: machine.server("serves").state == "READY")
    second = machine.server("serves")
    assert (second.attempt, second.failures, second.error) == (2, 0, None)
    assert pid_at(second) == process.pid_of(machine.leader("serves")) != first


def test_failure_at_the_start_that_passes_is_forgotten(machine: Machine) -> None:
    ready(machine, "dies once")
    server = machine.server("dies once")
    assert (server.attempt, server.failures, server.error) == (2, 0, None)


def test_server_that_dies_every_time_is_given_up_with_the_reason(machine: Machine) -> None:
    deployments = machine.worker()
    machine.want("dies")
    until(deployments, lambda: machine.server("dies").state == "FAILED")
    for _ in range(5):
        deployments.turn()
    server = machine.server("dies")
    assert (server.failures, server.attempt, len(machine.attempts("dies"))) == (TIMING.max_failures,) * 3
    assert server.error is not None
    assert server.error["message"] == "the serving process ended without a word"


def test_server_that_was_given_up_is_tried_again_when_somebody_asks(machine: Machine) -> None:
    deployments = machine.worker()
    machine.want("dies")
    until(deployments, lambda: machine.server("dies").state == "FAILED")
    machine.want("dies")
    assert (machine.server("dies").state, machine.server("dies").error) == ("WANTED", None)
    until(deployments, lambda: machine.server("dies").state == "FAILED")
    assert machine.server("dies").attempt == 2 * TIMING.max_failures


def test_failure_that_would_come_again_is_given_up_at_once_in_the_processs_words(machine: Machine) -> None:
    deployments = machine.worker()
    machine.want("refuses")
    until(deployments, lambda: machine.server("refuses").state == "FAILED")
    server = machine.server("refuses")
    assert (server.attempt, server.error and server.error["message"]) == (1, "the adapter is for another base")


def test_failed_server_waits_before_it_is_started_again_while_others_are_started(machine: Machine) -> None:
    machine.timing = replace(TIMING, again_s=3600.0)
    deployments = machine.worker()
    machine.want("dies")
    until(deployments, lambda: machine.server("dies").failures == 1)
    machine.want("serves")
    until(deployments, lambda: machine.server("serves").state == "READY")
    assert (machine.server("dies").state, len(machine.attempts("dies"))) == ("WANTED", 1)


def test_port_that_is_taken_is_another_try(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        (machine.home / "models" / "port").write_text(str(other.getsockname()[1]))
        deployments = machine.worker()
        machine.want("port")
        until(deployments, lambda: machine.server("port").failures == 1)
        error = machine.server("port").error
        assert error is not None
        assert "the port is taken" in error["message"]
        until(deployments, lambda: machine.server("port").state == "READY")
    assert machine.server("port").attempt == 2


@pytest.mark.parametrize("does", ["hangs", "falls silent"])
def test_server_that_gives_no_sign_of_life_is_ended_and_given_up(machine: Machine, does: str) -> None:
    machine.timing = replace(TIMING, silence_s=0.3, max_failures=2)
    deployments = machine.worker()
    machine.want(does)
    until(deployments, lambda: machine.server(does).attempt == 2)
    first = folder.read_json(machine.attempts(does)[0].pid_file)["process"]
    assert not process.is_running(first)
    deployments.stop()


# Stopping.


def test_server_that_nobody_has_asked_for_is_stopped(machine: Machine) -> None:
    deployments = ready(machine)
    leader = machine.leader("serves")
    deployments.timing = replace(TIMING, idle_s=0.0)
    until(deployments, lambda: machine.server("serves").state == "STOPPED")
    assert not process.is_running(leader)
    assert machine.server("serves").url is None
    assert processes_of(machine.home) == []


def test_stopped_worker_lets_answers_end_and_leaves_its_servers_to_the_next_one(machine: Machine) -> None:
    deployments = ready(machine)
    url, said = machine.server("serves").url, []
    asking = threading.Thread(target=lambda: said.append(httpx.get(f"{url}/slow").text))
    asking.start()
    until(deployments, (machine.attempts("serves")[0].root / "asked").exists)
    leader = machine.leader("serves")
    deployments.stop()
    asking.join()
    assert said == [str(process.pid_of(leader))]
    assert processes_of(machine.home) == []
    server = machine.server("serves")
    assert (server.state, server.worker, server.url, server.failures) == ("WANTED", None, None, 0)
    following = machine.worker("next")
    until(following, lambda: machine.server("serves").state == "READY")
    assert machine.server("serves").attempt == 2


# Several workers.


def test_server_of_a_dead_worker_is_taken_over_as_it_runs(machine: Machine) -> None:
    ready(machine)
    leader = machine.leader("serves")
    machine.dead.add("w")
    following = machine.worker("next")
    until(following, lambda: machine.server("serves").worker == "next")
    for _ in range(5):
        following.turn()
    server = machine.server("serves")
    assert (server.state, server.attempt, machine.leader("serves")) == ("READY", 1, leader)
    assert pid_at(server) == process.pid_of(leader)


def test_server_whose_worker_and_process_died_together_is_started_again(machine: Machine) -> None:
    ready(machine)
    kill(machine, "serves")
    machine.dead.add("w")
    following = machine.worker("next")
    until(following, lambda: machine.server("serves").attempt == 2 and machine.server("serves").state == "READY")
    assert pid_at(machine.server("serves")) == process.pid_of(machine.leader("serves"))


def test_worker_that_was_believed_dead_drops_what_another_has_and_ends_nothing(machine: Machine) -> None:
    zombie = ready(machine)
    leader = machine.leader("serves")
    machine.dead.add("w")
    following = machine.worker("next")
    until(following, lambda: machine.server("serves").worker == "next")
    time.sleep(TIMING.heartbeat_s)
    until(zombie, lambda: not zombie._served)
    zombie.stop()
    assert process.is_running(leader)
    assert machine.server("serves").worker == "next"


def test_server_of_a_living_worker_is_left_alone(machine: Machine) -> None:
    ready(machine)
    other = machine.worker("other")
    for _ in range(5):
        other.turn()
    assert machine.server("serves").worker == "w"
    assert len(machine.attempts("serves")) == 1


# The database is away.


def test_server_outlives_a_database_that_is_away(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.02)
    machine.store = open_store(settings_for(machine.home))
    holder = open_store(settings_for(machine.home))
    deployments = ready(machine)
    leader = machine.leader("serves")
    with holder._writing():
        time.sleep(TIMING.heartbeat_s)
        for _ in range(3):
            with pytest.raises(Unavailable):
                deployments.turn()
    for _ in range(3):
        deployments.turn()
    server = machine.server("serves")
    assert (server.state, server.attempt, machine.leader("serves")) == ("READY", 1, leader)
    assert process.is_running(leader)


def test_server_that_dies_while_the_database_is_away_is_started_again_once_it_is_back(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.02)
    machine.store = open_store(settings_for(machine.home))
    holder = open_store(settings_for(machine.home))
    deployments = ready(machine)
    with holder._writing():
        kill(machine, "serves")
        with pytest.raises(Unavailable):
            until(deployments, lambda: False)
    until(deployments, lambda: machine.server("serves").attempt == 2 and machine.server("serves").state == "READY")
    assert len(machine.attempts("serves")) == 2


def test_order_says_all_that_a_serving_process_needs(machine: Machine) -> None:
    ready(machine)
    order = json.loads(machine.attempts("serves")[0].task_file.read_text())
    assert (order["task"], order["attempt"], order["weights"]) == ("serve", 1, None)
    assert order["models"] == str(machine.home / "models")


def test_server_whose_claim_was_never_heard_of_is_claimed_again(machine: Machine) -> None:
    machine.want("serves")
    deployments = machine.worker()
    claimed = machine.store.claim_server("w", now_s=time.time() - 1000, lease_s=1.0, idle_s=1e9, dead=[], but=[])
    assert claimed is not None  # by this worker, whose answer from the database was lost
    until(deployments, lambda: machine.server("serves").state == "READY")
