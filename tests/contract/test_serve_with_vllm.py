"""What is particular to serving through vLLM (a stand-in of it): what it is told, and that it never stays behind."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from test_serve import Process, lines, request, text_of, wait

from tiny_served import Home, make_home
from tunesmith import folder
from tunesmith.folder import AttemptFolder


class Behind:
    """The stand-in behind a serving process, asked directly."""

    def __init__(self, process: Process) -> None:
        pid = next(int(p) for p in _children(folder.read_json(process.attempt.pid_file)["pid"]))
        variables = dict(
            pair.split("=", 1) for pair in Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in pair
        )
        arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        self.pid = pid
        self.arguments = arguments
        self.key = variables["VLLM_API_KEY"]
        self.url = f"http://127.0.0.1:{arguments[arguments.index('--port') + 1]}"

    def seen(self) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.key}"}
        found: dict[str, Any] = httpx.get(f"{self.url}/seen", headers=headers, trust_env=False).json()
        return found

    @property
    def lives(self) -> bool:
        return Path(f"/proc/{self.pid}").exists()


def _children(pid: int) -> list[str]:
    return [word for task in Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return make_home(tmp_path_factory.mktemp("served"))


@pytest.fixture
def start(home: Home, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    with contextlib.ExitStack() as stack:

        def make(**order: Any) -> Process:
            process = Process(home, AttemptFolder(tmp_path / "attempt-1"), serving="vllm", **order)
            stack.callback(process.stop)
            return process

        yield make


def test_the_key_is_in_no_argument_and_everything_stays_on_this_machine(start: Callable[..., Process]) -> None:
    process = start()
    with process.ready():
        behind = Behind(process)
        assert not any(behind.key in argument for argument in behind.arguments)
        assert behind.arguments[behind.arguments.index("--host") + 1] == "127.0.0.1"
        variables = Path(f"/proc/{behind.pid}/environ").read_text().split("\0")
        assert {"HF_HUB_OFFLINE=1", "VLLM_NO_USAGE_STATS=1"} <= set(variables)


def test_an_adapter_that_was_changed_is_refused_before_vllm_hears_of_it(
    start: Callable[..., Process], home: Home
) -> None:
    tuned = home.tuned(9)
    weights = tuned.folder / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    process = start()
    with process.ready() as client:
        answer = client.post("/generate", json=request("x", model={"name": tuned.name, "folder": str(tuned.folder)}))
        assert answer.json()["status"] == "DATA_LOSS"
        assert Behind(process).seen()["loaded"] == []


def test_the_adapter_asked_for_longest_ago_makes_room(start: Callable[..., Process], home: Home) -> None:
    process = start(limits={"rows": 2, "adapters": 2})
    with process.ready() as client:
        texts = {}
        for number in (1, 2, 3, 1):
            tuned = home.tuned(number)
            model = {"name": tuned.name, "folder": str(tuned.folder)}
            text = text_of(lines(client.post("/generate", json=request("def f(", model=model))))
            assert texts.setdefault(number, text) == text
        seen = Behind(process).seen()
    assert len(set(texts.values())) == 3
    assert [len(seen["loaded"]), len(seen["unloaded"])] == [4, 2]


def test_a_client_that_goes_away_ends_the_request_at_vllm(start: Callable[..., Process]) -> None:
    process = start()
    with process.ready() as client:
        with client.stream("POST", "/generate", json=request("x = 1", max_output_tokens=2000)) as answer:
            received = answer.iter_lines()
            next(received)
        wait(lambda: Behind(process).seen()["running"] == 0)
        assert Behind(process).seen()["ended"] == 0


def test_a_request_too_many_is_refused_and_taken_once_there_is_room(start: Callable[..., Process]) -> None:
    process = start(limits={"rows": 1, "waiting": 0})
    endless = request("x = 1", max_output_tokens=2000)
    with process.ready() as client:
        with client.stream("POST", "/generate", json=endless) as answer:
            received = answer.iter_lines()
            next(received)
            refused = client.post("/generate", json=request("def f("))
            assert (refused.status_code, refused.json()["status"]) == (429, "RESOURCE_EXHAUSTED")
        wait(lambda: client.post("/generate", json=request("def f(")).status_code == 200)


def test_when_vllm_dies_the_answer_fails_and_the_process_ends(start: Callable[..., Process]) -> None:
    process = start()
    endless = request("x = 1", max_output_tokens=2000)
    with process.ready() as client, client.stream("POST", "/generate", json=endless) as answer:
        received = answer.iter_lines()
        next(received)
        os.kill(Behind(process).pid, signal.SIGKILL)
        assert "UNAVAILABLE" in list(received)[-1]
    assert process.end().code != 0
    assert "vLLM ended with" in folder.read_json(process.attempt.error)["message"]


@pytest.mark.parametrize("killed", [False, True])
def test_vllm_ends_with_the_process(start: Callable[..., Process], killed: bool) -> None:
    process = start()
    with process.ready():
        behind = Behind(process)
        if killed:
            os.kill(folder.read_json(process.attempt.pid_file)["pid"], signal.SIGKILL)
        else:
            process.sigterm()
    process.end()
    process.stop()
    wait(lambda: not behind.lives)
