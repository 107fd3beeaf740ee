"""The three promises of an executor, kept by each: starts once, answers whoever asks, leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tunesmith import folder, process
from tunesmith.errors import Unavailable
from tunesmith.folder import MARK, AttemptFolder
from tunesmith.work.executors import Executor, LocalExecutor, Status, task_environment

# A task that takes its attempt as every task does, then does what its task.json says in Python.
PROGRAM = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
from tunesmith import task
from tunesmith.folder import MARK, AttemptFolder
attempt = AttemptFolder(Path(sys.argv[1]))
time.sleep(json.loads(attempt.task_file.read_text()).get("late_s", 0))
if not task.take(attempt):
    sys.exit(0)
exec(json.loads(attempt.task_file.read_text())["does"])
"""
LIMIT_S = 30.0

Make = Callable[[], Executor]


@pytest.fixture(params=["local"])
def make_executor(request: pytest.FixtureRequest, attempt: AttemptFolder) -> Iterator[Make]:
    """A new executor at every call, as a restarted worker has one."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src")}
    made: list[Executor] = []

    def make() -> Executor:
        made.append(LocalExecutor(environment, (sys.executable, "-c", PROGRAM)))
        return made[-1]

    yield make
    for executor in made:
        executor.stop(str(attempt.root), 0.0)


@pytest.fixture
def attempt(tmp_path: Path) -> AttemptFolder:
    return AttemptFolder(tmp_path / "attempt-1").create()


def order(attempt: AttemptFolder, does: str, late_s: float = 0.0) -> AttemptFolder:
    folder.write_json(attempt.task_file, {"does": does, "late_s": late_s})
    return attempt


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_for(executor: Executor, handle: str, *states: str) -> Status:
    wait(lambda: executor.poll(handle).state in states)
    return executor.poll(handle)


def left_of(attempt: AttemptFolder) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and process.identity(int(entry.name)) is not None:
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"{MARK}={attempt.root}\0".encode() in environment + b"\0":
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("code", [0, 1, 7])
def test_exit_code_is_told(make_executor: Make, attempt: AttemptFolder, code: int) -> None:
    executor = make_executor()
    handle = executor.start(order(attempt, f"sys.exit({code})"))
    assert wait_for(executor, handle, "exited", "lost") == Status("exited", code)


def test_signal_is_told_as_a_negative_code(make_executor: Make, attempt: AttemptFolder) -> None:
    executor = make_executor()
    handle = executor.start(order(attempt, "os.kill(os.getpid(), signal.SIGKILL)"))
    assert wait_for(executor, handle, "exited", "lost") == Status("exited", -signal.SIGKILL)


def test_running_attempt_runs_for_another_executor_too(make_executor: Make, attempt: AttemptFolder) -> None:
    handle = make_executor().start(order(attempt, "time.sleep(60)"))
    assert wait_for(make_executor(), handle, "running", "exited").state == "running"


def test_another_executor_reads_from_the_files_how_it_ended(make_executor: Make, attempt: AttemptFolder) -> None:
    first = make_executor()
    write = "from tunesmith import folder; folder.write_json(attempt.error, {'exit_code': 6}); sys.exit(6)"
    handle = first.start(order(attempt, write))
    wait_for(first, handle, "exited")
    assert make_executor().poll(handle) == Status("exited", 6)
    folder.write_json(attempt.result, {})
    assert make_executor().poll(handle) == Status("exited", 0)


def test_attempt_that_left_no_word_is_lost_to_another_executor(make_executor: Make, attempt: AttemptFolder) -> None:
    first = make_executor()
    handle = first.start(order(attempt, "os._exit(0)"))
    wait_for(first, handle, "exited")
    assert make_executor().poll(handle).state == "lost"


def test_attempt_that_nobody_started_is_lost(make_executor: Make, attempt: AttemptFolder) -> None:
    assert make_executor().poll(str(attempt.root)).state == "lost"


def test_recycled_pid_is_not_taken_for_the_attempt(make_executor: Make, attempt: AttemptFolder) -> None:
    machine, pid, start = process.own().split(":")
    told = {"pid": int(pid), "process": f"{machine}:{pid}:{int(start) - 1}"}
    attempt.pid_file.write_text(json.dumps(told))
    assert make_executor().poll(str(attempt.root)).state == "lost"
    make_executor().stop(str(attempt.root), 0.0)  # would end this very process


def test_started_twice_runs_once_and_gives_one_handle(make_executor: Make, attempt: AttemptFolder) -> None:
    # Each starter would see none other: the first has not said yet that it is there.
    count = "open(attempt.root / 'runs', 'a').write('x'); time.sleep(0.5)"
    order(attempt, count, late_s=0.3)
    executors = [make_executor() for _ in range(3)]
    handles = {executor.start(attempt) for executor in executors for _ in range(2)}
    assert len(handles) == 1
    (handle,) = handles
    for executor in executors:
        wait_for(executor, handle, "exited", "lost")
    assert (attempt.root / "runs").read_text() == "x"


def test_what_it_prints_is_in_its_log(make_executor: Make, attempt: AttemptFolder) -> None:
    executor = make_executor()
    handle = executor.start(order(attempt, "print('out'); print('err', file=sys.stderr)"))
    wait_for(executor, handle, "exited")
    assert sorted(attempt.log.read_text().split()) == ["err", "out"]


def test_stop_lets_it_end_by_itself_within_the_grace(make_executor: Make, attempt: AttemptFolder) -> None:
    saves = (
        "signal.signal(signal.SIGTERM, lambda *_: ((attempt.root / 'saved').touch(), sys.exit(3)));"
        "(attempt.root / 'ready').touch(); time.sleep(60)"
    )
    executor = make_executor()
    handle = executor.start(order(attempt, saves))
    wait((attempt.root / "ready").exists)
    executor.stop(handle, LIMIT_S)
    assert (attempt.root / "saved").exists()
    assert executor.poll(handle) == Status("exited", 3)


@pytest.mark.parametrize("asking", ["the starter", "another"])
def test_stop_ends_what_does_not_listen(make_executor: Make, attempt: AttemptFolder, asking: str) -> None:
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN); (attempt.root / 'ready').touch(); time.sleep(60)"
    executor = make_executor()
    handle = executor.start(order(attempt, deaf))
    wait((attempt.root / "ready").exists)
    stopping = executor if asking == "the starter" else make_executor()
    stopping.stop(handle, 0.1)
    assert left_of(attempt) == []
    assert stopping.poll(handle).state in ("exited", "lost")


@pytest.mark.parametrize("new_session", [False, True])
@pytest.mark.parametrize("parent_first", [False, True])
def test_stop_ends_children_too(
    make_executor: Make, attempt: AttemptFolder, new_session: bool, parent_first: bool
) -> None:
    child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    starts = (
        f"subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session={new_session});"
        f"(attempt.root / 'ready').touch(); {'os._exit(1)' if parent_first else 'time.sleep(60)'}"
    )
    executor = make_executor()
    handle = executor.start(order(attempt, starts))
    wait((attempt.root / "ready").exists)
    if parent_first:
        wait_for(executor, handle, "exited")
    assert left_of(attempt)
    executor.stop(handle, 0.1)
    assert left_of(attempt) == []


def test_stop_before_it_has_said_that_it_is_there(make_executor: Make, attempt: AttemptFolder) -> None:
    executor = make_executor()
    handle = executor.start(order(attempt, "(attempt.root / 'ran').touch()", late_s=60))
    assert executor.poll(handle).state == "waiting"
    executor.stop(handle, 0.0)
    assert left_of(attempt) == []
    assert executor.poll(handle).state == "exited"
    assert not (attempt.root / "ran").exists()


def test_stop_of_what_has_ended_does_nothing(make_executor: Make, attempt: AttemptFolder) -> None:
    executor = make_executor()
    handle = executor.start(order(attempt, "sys.exit(2)"))
    before = wait_for(executor, handle, "exited")
    executor.stop(handle, 1.0)
    executor.stop(handle, 1.0)
    assert executor.poll(handle) == before


def test_command_that_cannot_be_started_may_be_tried_again(attempt: AttemptFolder) -> None:
    with pytest.raises(Unavailable, match="no-such-program"):
        LocalExecutor({}, ("/no-such-program",)).start(order(attempt, ""))


def test_task_sees_no_settings_and_no_secrets() -> None:
    secrets = {
        "TUNESMITH_HOME": "/h",
        "HF_TOKEN": "t",
        "AWS_SECRET_ACCESS_KEY": "k",
        "OPENAI_API_KEY": "k",
        "LC_API_KEY": "k",
        "CUDA_LICENSE_TOKEN": "t",
        "GOOGLE_APPLICATION_CREDENTIALS": "/c",
        "HTTPS_PROXY": "http://user:password@proxy",
    }
    needed = {
        "PATH": "/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "LC_ALL": "C",
        "CUDA_VISIBLE_DEVICES": "0",
        "OMP_NUM_THREADS": "1",
        "LD_LIBRARY_PATH": "/lib",
        "PYTHONPATH": "/src",
    }
    seen = task_environment({**secrets, **needed})
    assert not set(seen) & set(secrets)
    assert needed.items() <= seen.items()


def test_task_is_told_to_stay_offline() -> None:
    seen = task_environment({"HF_HUB_OFFLINE": "0"})
    assert (seen["HF_HUB_OFFLINE"], seen["TRANSFORMERS_OFFLINE"], seen["TOKENIZERS_PARALLELISM"]) == ("1", "1", "false")
