"""A served model as a process, by its contract: the address file, the token, HTTP, and how it leaves.

Both that compute answer to it: transformers here, and vLLM, for which tests/stand_ins stands in.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tiny_served import Home, make_home, question
from tunesmith import folder
from tunesmith.folder import AttemptFolder
from tunesmith.process import proof
from tunesmith.work.executors import LocalExecutor, Status

TESTS = Path(__file__).resolve().parents[1]
SOURCE = TESTS.parent / "src"
STAND_INS = TESTS / "stand_ins"
LIMIT_S = 120.0
ENDLESS = 2000
"""Tokens of an answer that does not end by itself while a test looks."""


def wait(condition: Callable[[], Any]) -> Any:
    deadline_s = time.monotonic() + LIMIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    return found


class Process:
    """A serving process, started as the worker starts it, and a client of it."""

    def __init__(self, home: Home, attempt: AttemptFolder, **order: Any) -> None:
        self.attempt = attempt.create()
        said = {
            "job": "served",
            "task": "serve",
            "attempt": 1,
            "base_models": str(home.root / "base-models"),
            "aliases": {},
            "base_model": str(home.prepared.folder),
            "models": str(home.models),
            **order,
        }
        folder.write_json(attempt.task_file, said)
        paths = [SOURCE, *([STAND_INS] if order.get("serving") == "vllm" else [])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"}
        self.executor = LocalExecutor(environment, (sys.executable, "-m", "tunesmith.task"))
        self.handle = self.executor.start(attempt)

    def ready(self) -> httpx.Client:
        wait(lambda: self.attempt.address.exists() or (self.state.state != "running" and self.state.state != "waiting"))
        assert self.attempt.address.exists(), self.attempt.log.read_text()
        self.address = folder.read_json(self.attempt.address)
        return httpx.Client(
            base_url=self.address["url"],
            headers={"Authorization": f"Bearer {self.address['token']}"},
            timeout=LIMIT_S,
            trust_env=False,
        )

    @property
    def state(self) -> Status:
        return self.executor.poll(self.handle)

    def stop(self) -> None:
        self.executor.stop(self.handle, 0.0)
        self.end()

    def end(self) -> Status:
        """How it ended, after it has been told to."""
        wait(lambda: self.state.state == "exited")
        return self.state

    def sigterm(self) -> None:
        os.kill(folder.read_json(self.attempt.pid_file)["pid"], signal.SIGTERM)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return make_home(tmp_path_factory.mktemp("served"))


@pytest.fixture
def start(home: Home, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    with contextlib.ExitStack() as stack:

        def make(**order: Any) -> Process:
            process = Process(home, AttemptFolder(tmp_path / "attempt-1"), **order)
            stack.callback(process.stop)
            return process

        yield make


@pytest.fixture(scope="module", params=["transformers", "vllm"])
def shared(request: pytest.FixtureRequest, home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One process for all tests that leave it as it was."""
    attempt = AttemptFolder(tmp_path_factory.mktemp("shared") / "attempt-1")
    process = Process(home, attempt, serving=request.param)
    yield process
    process.stop()


@pytest.fixture(scope="module")
def client(shared: Process) -> Iterator[httpx.Client]:
    with shared.ready() as client:
        yield client


def request(text: str, **fields: Any) -> dict[str, Any]:
    return {"conversation": {"prefix": text}, "max_output_tokens": 16, **fields}


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def text_of(said: list[dict[str, Any]], candidate: int = 0) -> str:
    return "".join(line["text"] for line in said if "text" in line and line["candidate"] == candidate)


def idle(client: httpx.Client) -> bool:
    said = client.get("/health").json()
    return (said["running"], said["waiting"]) == (0, 0)


def test_the_address_file_is_its_owner_s_alone_and_says_which_base(
    shared: Process, client: httpx.Client, home: Home
) -> None:
    assert stat.S_IMODE(shared.attempt.address.stat().st_mode) == 0o600
    assert set(shared.address) == {"url", "token", "base_sha256"}
    assert shared.address["base_sha256"] == home.prepared.sha256
    assert shared.address["url"].startswith("http://127.0.0.1:")
    assert folder.read_json(shared.attempt.progress)["phase"] == "serving"


@pytest.mark.parametrize("token", [None, "", "Bearer", "Bearer x", "Basic eDp4"])
@pytest.mark.parametrize("path", ["/generate", "/count", "/health", "/nothing"])
def test_without_the_token_nothing_is_answered(client: httpx.Client, token: str | None, path: str) -> None:
    headers = {} if token is None else {"Authorization": token}
    answer = httpx.post(f"{client.base_url}{path}", headers=headers, json=request("def f("), trust_env=False)
    assert answer.status_code == 401
    assert answer.json()["status"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("challenge", ["", "0123abcd", "%ff" * 100])
def test_who_asks_without_the_token_is_told_only_that_the_process_has_it(
    shared: Process, client: httpx.Client, challenge: str
) -> None:
    answer = httpx.get(f"{client.base_url}/who?{challenge}", trust_env=False)
    assert (answer.status_code, answer.text) == (200, proof(shared.address["token"], challenge))
    assert answer.headers["content-length"] == "64"


def test_an_answer_is_lines_of_text_then_how_each_candidate_ended_then_the_whole(
    client: httpx.Client, home: Home
) -> None:
    said = lines(client.post("/generate", json=request("def f(", candidates=2)))
    (alone,) = home.generator().answer([question("def f(")], max_output_tokens=16)
    assert (text_of(said, 0), text_of(said, 1)) == (alone, alone)
    assert [line for line in said if "finish" in line] == [
        {"candidate": i, "finish": "length", "output_tokens": 16} for i in range(2)
    ]
    tokens = client.post("/count", json={"conversation": {"prefix": "def f("}}).json()["tokens"]
    assert said[-1] == {"input_tokens": tokens, "model": home.base.name}


def test_text_comes_while_the_answer_is_being_made(client: httpx.Client) -> None:
    with client.stream("POST", "/generate", json=request("x = 1", max_output_tokens=ENDLESS)) as answer:
        received = answer.iter_lines()
        first = json.loads(next(received))
        assert first["candidate"] == 0
        assert first["text"]
        assert client.get("/health").json()["running"] == 1
    wait(lambda: idle(client))


@pytest.mark.parametrize("shared", ["transformers"], indirect=True)
def test_a_client_that_goes_away_frees_its_row(client: httpx.Client) -> None:
    with client.stream("POST", "/generate", json=request("x = 1", max_output_tokens=ENDLESS, candidates=8)) as answer:
        received = answer.iter_lines()  # kept: httpx closes the connection with it
        next(received)
        # All rows are taken: this one gets no line before it gives up.
        with pytest.raises(httpx.ReadTimeout):
            client.post("/generate", json=request("never"), timeout=httpx.Timeout(LIMIT_S, read=0.3))
        wait(lambda: client.get("/health").json()["waiting"] == 0)
        assert client.get("/health").json()["running"] == 8
        assert next(received)
    wait(lambda: idle(client))


def test_tuned_models_answer_at_once_each_as_alone(client: httpx.Client, home: Home) -> None:
    models = [home.tuned(1), home.tuned(2), None]

    def ask(tuned: Any) -> list[dict[str, Any]]:
        model = None if tuned is None else {"name": tuned.name, "folder": str(tuned.folder)}
        return lines(client.post("/generate", json=request("def f(", model=model)))

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(ask, models * 2))
    for tuned, said in zip(models * 2, answers, strict=True):
        assert [text_of(said)] == home.generator(tuned).answer([question("def f(")], max_output_tokens=16)
        assert said[-1]["model"] == (tuned.name if tuned else home.base.name)
    assert set(client.get("/health").json()["adapters"]) == {models[0].name, models[1].name}  # type: ignore[union-attr]


def test_many_clients_are_all_answered_beside_one_that_does_not_read(client: httpx.Client, home: Home) -> None:
    def ask(i: int) -> list[dict[str, Any]]:
        return lines(client.post("/generate", json=request(f"x = {i % 4}")))

    slow = client.stream("POST", "/generate", json=request("x = 1", max_output_tokens=500))
    with slow, ThreadPoolExecutor(40) as threads:
        answers = list(threads.map(ask, range(40)))
    for i, said in enumerate(answers):
        assert text_of(said) == text_of(answers[i % 4])
    wait(lambda: idle(client))


@pytest.mark.parametrize(
    ("fields", "status", "name"),
    [
        ({"candidates": 1000}, 400, "INVALID_ARGUMENT"),
        ({"conversation": {"prefix": "a", "suffix": "b"}}, 400, "INVALID_ARGUMENT"),
        ({"model": {"name": "m", "folder": "/etc"}}, 400, "INVALID_ARGUMENT"),
        ({"model": {"name": "m", "folder": "{models}/77/1"}}, 404, "NOT_FOUND"),
    ],
)
def test_an_error_before_the_first_line_is_its_status_and_our_json(
    client: httpx.Client, home: Home, fields: dict[str, Any], status: int, name: str
) -> None:
    said = json.loads(json.dumps(request("def f(", **fields)).replace("{models}", str(home.models)))
    answer = client.post("/generate", json=said)
    assert answer.status_code == status
    assert (answer.json()["status"], answer.json()["retryable"]) == (name, False)
    assert answer.json()["message"]


def test_a_request_too_many_is_refused_with_429(start: Callable[..., Process]) -> None:
    process = start(limits={"rows": 1, "waiting": 0})
    with process.ready() as client:
        answer = client.post("/generate", json=request("def f("))
        assert (answer.status_code, answer.json()["status"]) == (429, "RESOURCE_EXHAUSTED")


def test_told_to_end_it_finishes_what_runs_and_leaves_well(start: Callable[..., Process], home: Home) -> None:
    process = start()
    long = request("x = 1", max_output_tokens=200)
    with process.ready() as client, client.stream("POST", "/generate", json=long) as answer:
        received = answer.iter_lines()
        said = [json.loads(next(received))]
        process.sigterm()
        said += [json.loads(line) for line in received]
    assert said[-2]["finish"] == "length"
    assert "input_tokens" in said[-1]
    assert process.end() == Status("exited", 0)
    assert folder.read_json(process.attempt.result)["base"]["sha256"] == home.prepared.sha256
    assert not process.attempt.address.exists()
    assert not process.attempt.error.exists()


def test_what_does_not_end_in_the_grace_time_is_told_so_in_its_last_line(start: Callable[..., Process]) -> None:
    process = start(limits={"grace_s": 0.0})
    endless = request("x = 1", max_output_tokens=ENDLESS)
    with process.ready() as client, client.stream("POST", "/generate", json=endless) as answer:
        received = answer.iter_lines()
        next(received)
        process.attempt.stop_file.touch()
        *_, last = received
    assert json.loads(last)["error"]["status"] == "UNAVAILABLE"
    assert json.loads(last)["error"]["retryable"] is True
    assert process.end() == Status("exited", 0)


def test_a_base_that_is_not_there_ends_it_with_an_error(start: Callable[..., Process], tmp_path: Path) -> None:
    process = start(base_model=str(tmp_path / "nothing"))
    assert process.end() == Status("exited", 2)
    assert folder.read_json(process.attempt.error)["status"] == "NOT_FOUND"


def test_fully_tuned_weights_are_served_in_the_base_s_place(start: Callable[..., Process], home: Home) -> None:
    whole = home.tuned(9, "full")
    process = start(weights=str(whole.folder / "model"))
    with process.ready() as client:
        said = lines(client.post("/generate", json=request("def f(")))
    assert [text_of(said)] == home.generator(whole).answer([question("def f(")], max_output_tokens=16)
