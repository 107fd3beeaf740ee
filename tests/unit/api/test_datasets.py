"""Data in buckets, looked at through the application and its process: checked by line, shown as the model sees them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tiny_model import make_tiny_model
from tunesmith import inspection
from tunesmith.api.app import create_app
from tunesmith.api.inspector import Inspector
from tunesmith.errors import FailedPrecondition
from tunesmith.settings import Settings
from tunesmith.storage import Storage
from tunesmith.store import Store

ROOT = "/v1/projects/local/locations/us-central1/datasets"
ROWS = [{"input_text": f"Write the code in Python: add {i}", "output_text": f"x += {i}"} for i in range(20)]
LONG = {"input_text": "Write the code in Python: " + "add 1, " * 1500, "output_text": "x += 1"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("inspected")
    make_tiny_model(found / "tiny", fim=True)
    return found


@pytest.fixture(scope="module")
def client(home: Path) -> Iterator[TestClient]:
    tiny = str(home / "tiny")
    settings = Settings(home, aliases={"code-bison@002": tiny, "codechat-bison@002": tiny})
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as found:
        yield found


def put(home: Path, rows: list[Any], name: str = "train.jsonl") -> str:
    """The object's URI; a row that is a text stands in it as it is."""
    path = home / "buckets" / "data" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), "utf-8")
    return f"gs://data/{name}"


def ask(client: TestClient, verb: str, expect: int = 200, **body: Any) -> Any:
    answer = client.post(f"{ROOT}:{verb}", json=body)
    assert answer.status_code == expect, answer.text
    return answer.json()


def fields(answer: Any) -> dict[str, str]:
    """Violations by their fields."""
    (detail,) = answer["error"]["details"]
    return {violation["field"]: violation["description"] for violation in detail["fieldViolations"]}


# Check.


def test_a_finding_shows_the_text_of_its_line(client: TestClient, home: Path) -> None:
    uri = put(home, [*ROWS, '{"input_text": "a", "output_text": }'])
    found = ask(client, "check", datasetUri=uri)
    (wrong,) = [finding for finding in found["findings"] if finding["severity"] == "error"]
    assert not found["valid"]
    assert (wrong["line"], wrong["code"], wrong["text"]) == (21, "not_json", '{"input_text": "a", "output_text": }')


def test_the_text_of_a_line_is_cut_and_tells_no_secret(client: TestClient, home: Path) -> None:
    key = "AKIA" + "Q3EGRTZ7PLMK2WVX"
    uri = put(home, [*ROWS, {"input_text": f"Write the code in Python: {key}", "output_text": "y" * 1000}])
    answer = ask(client, "check", datasetUri=uri)
    (wrong,) = [finding for finding in answer["findings"] if finding["code"] == "secret"]
    assert "input_text" in wrong["text"]
    assert len(wrong["text"]) == 300
    assert key not in json.dumps(answer)


def test_a_finding_in_the_evaluation_shows_the_evaluations_line(client: TestClient, home: Path) -> None:
    training = put(home, ROWS)
    held_out = [{**row, "input_text": row["input_text"].replace("add", "take away")} for row in ROWS]
    evaluation = put(home, [*held_out, "none"], "evaluation.jsonl")
    found = ask(client, "check", datasetUri=training, evaluationDataUri=evaluation)
    (wrong,) = [finding for finding in found["findings"] if finding["severity"] == "error"]
    assert (wrong["line"], wrong["field"], wrong["text"]) == (21, "evaluation", "none")
    assert (found["valid"], found["evaluation"]["valid"]) == (False, False)


def test_with_a_base_model_rows_that_are_too_long_for_it_are_found(client: TestClient, home: Path) -> None:
    uri = put(home, [*ROWS, LONG])
    assert ask(client, "check", datasetUri=uri)["valid"]
    found = ask(client, "check", datasetUri=uri, baseModel="code-bison@002")
    (wrong,) = [finding for finding in found["findings"] if finding["severity"] == "error"]
    assert not found["valid"]
    assert (wrong["line"], wrong["code"]) == (21, "too-long")
    assert "the limit is 2,048" in wrong["message"]
    assert "tokens" not in found


def test_of_many_rows_that_are_too_long_the_first_are_told_and_the_others_counted(
    client: TestClient, home: Path
) -> None:
    uri = put(home, [*ROWS, *[{**LONG, "output_text": f"x += {i}"} for i in range(25)]])
    found = ask(client, "check", datasetUri=uri, baseModel="code-bison@002")
    wrong = [finding for finding in found["findings"] if finding["code"] == "too-long"]
    assert len(wrong) == 21
    assert wrong[-1]["message"] == "and 5 more of this kind, on lines 41-45"


def test_rows_of_the_other_kind_than_the_model_takes_are_a_finding(client: TestClient, home: Path) -> None:
    found = ask(client, "check", datasetUri=put(home, ROWS), baseModel="codechat-bison@002")
    assert not found["valid"]
    assert "use code-bison@002" in found["findings"][-1]["message"]


def test_histograms_count_every_row(client: TestClient, home: Path) -> None:
    found = ask(client, "check", datasetUri=put(home, ROWS), baseModel="code-bison@002")
    pictures = found["statistics"]["histograms"]
    assert set(pictures) == {"promptCharacters", "answerCharacters", "tokens", "promptTokens", "targetTokens"}
    assert {sum(picture["counts"]) for picture in pictures.values()} == {len(ROWS)}
    assert found["tokens"]["examples"] == len(ROWS)


def test_keys_of_the_data_keep_their_spelling(client: TestClient, home: Path) -> None:
    found = ask(client, "check", datasetUri=put(home, ROWS))
    assert found["statistics"]["keys"] == {"input_text": 20, "output_text": 20}


# Preview.


def test_the_tokens_of_a_row_are_what_the_model_sees_and_what_is_learnt_is_the_answer(
    client: TestClient, home: Path
) -> None:
    row = {"input_text": "Write the code in Python: \u2014 \U0001f600", "output_text": "x = '\u00e9'  # \U0001f600"}
    (shown,) = ask(client, "preview", datasetUri=put(home, [row]))["rows"]
    texts = [token["text"] for token in shown["tokens"]]
    assert "".join(texts) == (
        f"<|im_start|>user\n{row['input_text']}<|im_end|>\n<|im_start|>assistant\n{row['output_text']}<|im_end|>\n"
    )
    learnt = "".join(token["text"] for token in shown["tokens"] if token["weight"])
    assert learnt == f"{row['output_text']}<|im_end|>\n"
    assert shown["length"] == len(texts) == shown["promptTokens"] + shown["targetTokens"]


def test_a_hole_is_shown_by_its_parts(client: TestClient, home: Path) -> None:
    row = {"prefix": "def f(x):\n    ", "suffix": "\n", "middle": "return x", "order": "spm"}
    (shown,) = ask(client, "preview", datasetUri=put(home, [row]))["rows"]
    assert {name: shown[name] for name in ("kind", *row)} == {"kind": "fim", **row}
    texts = [token["text"] for token in shown["tokens"]]
    assert texts[:2] == ["<|fim_prefix|>", "<|fim_suffix|>"]
    assert "".join(token["text"] for token in shown["tokens"] if token["weight"]).startswith("return x")


def test_a_row_with_a_fault_stands_in_its_place(client: TestClient, home: Path) -> None:
    rows = ask(client, "preview", datasetUri=put(home, [ROWS[0], "{", ROWS[1]]))["rows"]
    assert [row["line"] for row in rows] == [1, 2, 3]
    assert "error" in rows[1]
    assert rows[1]["text"] == "{"
    assert "tokens" in rows[2]


def test_of_a_long_row_the_beginning_and_the_end_are_shown(client: TestClient, home: Path) -> None:
    (row,) = ask(client, "preview", datasetUri=put(home, [LONG]))["rows"]
    assert row["tooLong"]
    assert row["hidden"]["after"] == 2000
    assert len(row["tokens"]) + row["hidden"]["tokens"] == row["length"]
    assert row["tokens"][0]["text"] == "<|im_start|>"
    assert row["tokens"][-1]["weight"] == 1


def test_pages_go_by_rows_and_begin_at_a_line(client: TestClient, home: Path) -> None:
    uri = put(home, [ROWS[0], "", *ROWS[1:5]])
    answer = ask(client, "preview", datasetUri=uri, offset=1, limit=2)
    assert ([row["line"] for row in answer["rows"]], answer["total"]) == ([3, 4], 5)
    answer = ask(client, "preview", datasetUri=uri, fromLine=4, offset=1, limit=5)
    assert [row["line"] for row in answer["rows"]] == [5, 6]
    assert ask(client, "preview", datasetUri=uri, offset=100)["rows"] == []


def test_an_object_that_was_replaced_is_seen_as_it_is_now(client: TestClient, home: Path) -> None:
    uri = put(home, ROWS[:1], "again.jsonl")
    assert ask(client, "preview", datasetUri=uri)["total"] == 1
    path = home / "buckets" / "data" / "again.jsonl"
    path.unlink()
    put(home, ROWS[:3], "again.jsonl")
    assert ask(client, "preview", datasetUri=uri)["total"] == 3


# What is refused.


@pytest.mark.parametrize("uri", ["/etc/passwd", "file:///etc/passwd", "gs://data/../x", "train.jsonl", ""])
@pytest.mark.parametrize("verb", ["check", "preview"])
def test_what_is_no_object_of_a_bucket_is_refused_by_its_field(client: TestClient, verb: str, uri: str) -> None:
    assert list(fields(ask(client, verb, 400, datasetUri=uri))) == ["datasetUri"]


@pytest.mark.parametrize("name", ["/etc", "./tiny", "../x", "a/b"])
def test_a_folder_is_no_model(client: TestClient, home: Path, name: str) -> None:
    assert "not a folder" in fields(ask(client, "check", 400, datasetUri=put(home, ROWS), baseModel=name))["baseModel"]


def test_an_unknown_model_gets_the_name_of_the_nearest(client: TestClient, home: Path) -> None:
    answer = ask(client, "preview", 404, datasetUri=put(home, ROWS), baseModel="code-bisn@002")
    assert "did you mean code-bison@002" in answer["error"]["message"]


def test_an_object_that_is_not_there_is_named(client: TestClient) -> None:
    assert "gs://data/none.jsonl" in ask(client, "check", 404, datasetUri="gs://data/none.jsonl")["error"]["message"]


def test_more_rows_than_a_page_has_are_refused(client: TestClient, home: Path) -> None:
    assert "limit" in fields(ask(client, "preview", 400, datasetUri=put(home, ROWS), limit=21))


@pytest.mark.parametrize("verb", ["check", "preview"])
def test_another_projects_bucket_is_closed(tmp_path: Path, verb: str) -> None:
    with TestClient(create_app(Settings(tmp_path)), base_url="http://127.0.0.1") as client:
        store: Store = client.app.state.store  # type: ignore[attr-defined]
        storage: Storage = client.app.state.storage  # type: ignore[attr-defined]
        storage.create_bucket("theirs", "theirs")
        storage.put("gs://theirs/train.jsonl", [b"x"])
        secret = store.create_key("mine", project="local", role="admin").secret
        headers = {"Authorization": f"Bearer {secret}"}
        answer = client.post(f"{ROOT}:{verb}", json={"datasetUri": "gs://theirs/train.jsonl"}, headers=headers)
    assert answer.status_code == 403


# The process.


def inspector(tmp_path: Path, program: str, limit_s: float = 60.0) -> Inspector:
    return Inspector(Settings(tmp_path), (sys.executable, "-c", program), limit_s)


ANSWERS = """
import json, os, sys, time
for line in sys.stdin:
    question = json.loads(line)
    if question.get("die"):
        os._exit(9)
    if question.get("hang"):
        time.sleep(600)
    print(json.dumps({"answer": {"pid": os.getpid()}, "last": bool(question.get("leave"))}), flush=True)
    if question.get("leave"):
        break
"""


def test_questions_go_to_one_process(tmp_path: Path) -> None:
    asked = inspector(tmp_path, ANSWERS)
    assert asked.ask("a") == asked.ask("b")
    asked.close()


@pytest.mark.parametrize("how", ["die", "leave"])
def test_a_process_that_is_gone_is_replaced(tmp_path: Path, how: str) -> None:
    asked = inspector(tmp_path, ANSWERS)
    first = asked.ask("a")
    if how == "die":
        with pytest.raises(FailedPrecondition, match="ended with 9"):
            asked.ask("a", die=True)
    else:
        assert asked.ask("a", leave=True) == first
    assert asked.ask("a") != first
    asked.close()


def test_a_question_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    asked = inspector(tmp_path, ANSWERS, limit_s=0.5)
    with pytest.raises(FailedPrecondition, match=r"longer than 0\.5 s"):
        asked.ask("a", hang=True)
    asked.close()


def test_closing_ends_a_question_that_is_under_way(tmp_path: Path) -> None:
    asked = inspector(tmp_path, ANSWERS)
    pid = asked.ask("a")["pid"]
    ended: list[str] = []

    def ask() -> None:
        try:
            asked.ask("a", hang=True)
        except FailedPrecondition as error:
            ended.append(error.message)

    thread = threading.Thread(target=ask)
    thread.start()
    while not asked._turn.locked():
        pass
    asked.close()
    thread.join()
    assert ended
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_a_library_prints_is_no_answer(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom tunesmith import inspection\n"
        "def speak(question):\n    print('hello')\n    return {'said': 1}\n"
        "inspection.QUESTIONS = {'speak': speak}\nsys.exit(inspection.main())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        input='{"question": "speak"}\n',
        env={**os.environ, "PYTHONPATH": str(Path(inspection.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(ran.stdout) == {"answer": {"said": 1}, "last": False}


def test_a_bug_is_told_without_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "QUESTIONS", {"a": lambda _: 1 // 0})
    error = inspection.answer_to({"question": "a"})["error"]
    assert error["status"] == "INTERNAL"
    assert "Traceback" not in error["message"]


def test_copies_that_were_not_looked_at_for_longest_make_room(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "KEPT_BYTES", 250)
    question = {"local_buckets": str(home / "buckets"), "buckets": {}, "cache": str(tmp_path)}
    copies = [inspection.fetch(put(home, ["x" * 100], f"copy-{i}"), question) for i in range(2)]
    earlier = time.time() - 60.0
    os.utime(copies[1].parent, (earlier, earlier))
    copies.append(inspection.fetch(put(home, ["x" * 100], "copy-2"), question))
    assert [path.exists() for path in copies] == [True, False, True]


def test_a_copy_that_nobody_looks_at_goes_after_a_day(home: Path, tmp_path: Path) -> None:
    question = {"local_buckets": str(home / "buckets"), "buckets": {}, "cache": str(tmp_path)}
    old = inspection.fetch(put(home, ROWS, "old"), question)
    os.utime(old.parent, (time.time() - inspection.KEPT_S - 1.0,) * 2)
    inspection.fetch(put(home, ROWS, "new"), question)
    assert not old.exists()


def test_a_copy_that_failed_is_made_again(home: Path, tmp_path: Path) -> None:
    question = {"local_buckets": str(home / "buckets"), "buckets": {}, "cache": str(tmp_path)}
    made = inspection.fetch(put(home, ROWS, "failed"), question)
    made.unlink()
    assert inspection.fetch("gs://data/failed", question).is_file()


def test_an_object_that_is_no_data_set_by_its_size_is_not_copied(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "MOST_BYTES", 50)
    question = {
        "question": "check", "dataset": put(home, ["x" * 100], "large"), "local_buckets": str(home / "buckets"),
        "buckets": {}, "cache": str(tmp_path / "none"),
    }  # fmt: skip
    assert "100 bytes; a data set has at most 50" in inspection.answer_to(question)["error"]["message"]
    assert not (tmp_path / "none").exists()
