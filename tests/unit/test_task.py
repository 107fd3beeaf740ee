"""The task program: takes its attempt, runs one function, and says how it ended in files."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from making import make_plan
from tiny_model import make_tiny_model
from tunesmith import errors, folder, pipeline, process, task
from tunesmith.folder import AttemptFolder
from tunesmith.task import Order


@pytest.fixture(autouse=True)
def _restored_signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def attempt(tmp_path: Path) -> AttemptFolder:
    made = AttemptFolder(tmp_path / "tune" / "attempt-2").create()
    order = {
        "job": "job",
        "task": "tune",
        "attempt": 2,
        "plan": str(tmp_path / "spec.json"),
        "base_models": str(tmp_path / "base-models"),
        "aliases": {"code-bison": "qwen3-8b"},
        "inputs": {"validate-dataset": str(tmp_path / "validate-dataset" / "attempt-1")},
        "earlier": [str(tmp_path / "tune" / "attempt-1")],
    }
    folder.write_json(made.task_file, order)
    return made


def run(attempt: AttemptFolder, function: Callable[[Order], dict[str, Any]]) -> int:
    return task.main([str(attempt.root)], {"tune": function})


def fail_with(attempt: AttemptFolder, error: BaseException) -> tuple[int, dict[str, Any]]:
    def function(order: Order) -> dict[str, Any]:
        raise error

    return run(attempt, function), folder.read_json(attempt.error)


def test_result_is_what_the_function_returned_and_what_computed_it(attempt: AttemptFolder) -> None:
    assert run(attempt, lambda order: {"steps": 7}) == 0
    result = folder.read_json(attempt.result)
    assert result["steps"] == 7
    assert {"python", "tunesmith", "numpy"} <= set(result["versions"])
    assert not attempt.error.exists()


def test_function_is_told_what_task_json_says(attempt: AttemptFolder, tmp_path: Path) -> None:
    orders = []
    run(attempt, lambda order: orders.append(order) or {})
    (order,) = orders
    assert (order.job, order.task, order.attempt, order.folder) == ("job", "tune", 2, attempt)
    assert order.plan == tmp_path / "spec.json"
    assert order.aliases == {"code-bison": "qwen3-8b"}
    assert order.inputs == {"validate-dataset": AttemptFolder(tmp_path / "validate-dataset" / "attempt-1")}
    assert order.earlier == (AttemptFolder(tmp_path / "tune" / "attempt-1"),)


def test_pid_file_is_there_before_the_function_runs(attempt: AttemptFolder) -> None:
    run(attempt, lambda order: {"pid": folder.read_json(order.folder.pid_file)})
    assert folder.read_json(attempt.result)["pid"] == {"pid": os.getpid(), "process": process.own()}


def test_attempt_that_another_process_has_taken_is_left_alone(attempt: AttemptFolder) -> None:
    attempt.pid_file.write_text("another's")
    assert run(attempt, lambda order: {"steps": 7}) == 0
    assert attempt.pid_file.read_text() == "another's"
    assert not attempt.result.exists()
    assert sorted(p.name for p in attempt.root.iterdir()) == ["out", "pid", "task.json"]


@pytest.mark.parametrize(
    "error", [errors.Diverged("nan", step=4), errors.DataLoss("torn"), errors.Cancelled("stopped")]
)
def test_error_of_the_tree_is_told_as_it_is(attempt: AttemptFolder, error: errors.TunesmithError) -> None:
    code, said = fail_with(attempt, error)
    assert code == error.exit_code == said["exit_code"]
    copy = errors.from_json(said, said["exit_code"])
    assert (type(copy), copy.message, copy.details) == (type(error), error.message, error.details)
    assert not attempt.result.exists()


def test_bug_is_told_as_one(attempt: AttemptFolder) -> None:
    code, said = fail_with(attempt, KeyError("x"))
    assert (code, said["status"]) == (1, "INTERNAL")
    assert "KeyError: 'x'" in said["message"]


class OutOfMemoryError(RuntimeError):
    """As torch names it; torch is not imported here."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_what_ran_out_is_told_with_what_to_do(attempt: AttemptFolder, error: BaseException) -> None:
    code, said = fail_with(attempt, error)
    assert (code, said["status"]) == (4, "RESOURCE_EXHAUSTED")
    assert "micro_batch_tokens" in said["message"] or "free some space" in said["message"]


def test_other_errors_of_the_system_are_bugs(attempt: AttemptFolder) -> None:
    assert fail_with(attempt, PermissionError(errno.EACCES, "denied"))[0] == 1


def test_unknown_task_is_told(attempt: AttemptFolder) -> None:
    assert task.main([str(attempt.root)], {}) == 1
    assert folder.read_json(attempt.error)["status"] == "INTERNAL"


def test_result_that_is_not_json_is_told(attempt: AttemptFolder) -> None:
    assert run(attempt, lambda order: {"loss": float("nan")}) == 1
    assert attempt.error.exists()
    assert not attempt.result.exists()


def test_sigterm_means_stop(attempt: AttemptFolder) -> None:
    def function(order: Order) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGTERM)
        if order.folder.stop_requested():
            raise errors.Cancelled("saved and left")
        return {}

    assert run(attempt, function) == 3


def test_progress_is_written_and_stops_the_task_when_asked(attempt: AttemptFolder) -> None:
    on_progress = task._progress(attempt)
    on_progress("checking", 3, 10)
    assert folder.read_json(attempt.progress) == {"phase": "checking", "step": 3, "steps": 10}
    on_progress("rendering")
    assert folder.read_json(attempt.progress) == {"phase": "rendering"}
    attempt.stop_file.touch()
    with pytest.raises(errors.Cancelled, match="while rendering"):
        on_progress("rendering")


def test_every_process_task_has_its_function() -> None:
    # `serve` is no task of a job: a served model is a command that does not end.
    assert set(task.FUNCTIONS) - {"serve"} == pipeline.PROCESS_TASKS


def test_order_without_a_task_file_is_told(tmp_path: Path) -> None:
    attempt = AttemptFolder(tmp_path).create()
    assert task.main([str(attempt.root)]) == 2
    assert "task.json" in json.loads(attempt.error.read_text())["message"]


def test_a_task_that_is_deep_in_other_code_leaves_when_it_is_asked_to(attempt: AttemptFolder) -> None:
    def function(order: Order) -> dict[str, Any]:
        with task._stopped_anywhere(order.folder):
            order.folder.stop_file.touch()
            threading.Event().wait()  # for ever
        return {}

    before = signal.getsignal(signal.SIGALRM)
    code = run(attempt, function)
    assert (code, folder.read_json(attempt.error)["status"]) == (3, "CANCELLED")
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_stop_that_was_lost_on_the_way_comes_again(attempt: AttemptFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "STOP_AGAIN_S", 0.05)
    lost = []

    def function(order: Order) -> dict[str, Any]:
        with task._stopped_anywhere(order.folder):
            order.folder.stop_file.touch()
            while len(lost) < 2:
                try:
                    threading.Event().wait()
                except errors.Cancelled:
                    lost.append(1)
            threading.Event().wait()
        return {}

    assert run(attempt, function) == 3


def test_the_cache_and_what_git_is_to_use_are_told(attempt: AttemptFolder, tmp_path: Path) -> None:
    said = folder.read_json(attempt.task_file)
    folder.write_json(attempt.task_file, {**said, "cache": str(tmp_path / "c"), "git": {"hosts": ["h"]}})
    orders = []
    run(attempt, lambda order: orders.append(order) or {})
    assert (orders[0].cache, orders[0].git) == (tmp_path / "c", {"hosts": ["h"]})


def test_a_data_set_of_a_bucket_keeps_what_says_where_it_comes_from(attempt: AttemptFolder, tmp_path: Path) -> None:
    bucket = tmp_path / "buckets" / "data"
    for place in ("built", "plain"):
        (bucket / place).mkdir(parents=True)
        (bucket / place / "train.jsonl").write_text("{}")
    (bucket / "built" / folder.MANIFEST).write_text("{}")
    said = folder.read_json(attempt.task_file)
    folder.write_json(attempt.task_file, {**said, "local_buckets": str(tmp_path / "buckets")})
    order = task.read_order(attempt)
    plan = make_plan(dataset="gs://data/built/train.jsonl", evaluation_data="gs://data/plain/train.jsonl")
    found = task._with_files(plan, order).spec
    assert found.evaluation_data is not None
    beside = [sorted(p.name for p in Path(path).parent.iterdir()) for path in (found.dataset, found.evaluation_data)]
    assert beside == [[folder.MANIFEST, "train.jsonl"], ["train.jsonl"]]


def test_wrong_data_in_a_bucket_are_named_as_their_owner_knows_them(
    attempt: AttemptFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = tmp_path / "buckets" / "code"
    bucket.mkdir(parents=True)
    (bucket / "train.jsonl").write_text('{"input_text": "a"}\n')
    plan = make_plan(dataset="gs://code/train.jsonl").model_dump(mode="json")
    folder.write_json(tmp_path / "spec.json", plan)
    said = folder.read_json(attempt.task_file)
    folder.write_json(attempt.task_file, {**said, "task": "validate", "local_buckets": str(tmp_path / "buckets")})
    base = make_tiny_model(tmp_path / "base")
    monkeypatch.setattr(task, "_prepare", lambda order: type("Base", (), {"folder": base}))
    assert task.main([str(attempt.root)], {"validate": task.validate}) == 2
    message = folder.read_json(attempt.error)["message"]
    assert message.startswith("gs://code/train.jsonl cannot be trained on:")
    assert str(tmp_path) not in message
