"""`tunesmith data check` as a user calls it: a process, its document, its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[2] / "src"
ROWS = [
    {"input_text": f"Write the code in Python: add {i} to {i * 3}", "output_text": f"{i} + {i * 3}"} for i in range(12)
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def run(home: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    program = "from tunesmith.cli import main; main()"
    command = [sys.executable, "-c", program, "data", "check", *words, "--home", home]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)


def test_a_good_file_ends_with_0_and_one_document(tmp_path: Path) -> None:
    done = run(tmp_path / "home", write(tmp_path / "train.jsonl", ROWS), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["valid"], found["examples"]) == (True, 12)
    assert [finding["code"] for finding in found["findings"]] == ["few_examples"]


def test_a_bad_file_ends_with_2_and_names_line_field_and_remedy(tmp_path: Path) -> None:
    bad = [*ROWS, {"input_txt": "Write the code", "output_text": "x"}, {"input_text": 5, "output_text": "x"}]
    done = run(tmp_path / "home", write(tmp_path / "train.jsonl", bad), "--json")
    assert done.returncode == 2, done.stderr
    wrong = [finding for finding in json.loads(done.stdout)["findings"] if finding["severity"] == "error"]
    assert [(w["line"], w["field"], w["code"]) for w in wrong] == [
        (13, "input_text", "missing_field"),
        (14, "input_text", "not_text"),
    ]
    assert all(w["message"] and w["remedy"] for w in wrong)


def test_for_people_it_prints_what_is_wrong_and_never_a_secret(tmp_path: Path) -> None:
    token = "ghp_" + "a1B2" * 9
    path = write(tmp_path / "train.jsonl", [*ROWS, {"input_text": f"Write the code {token}", "output_text": "x"}])
    done = run(tmp_path / "home", path)
    assert done.returncode == 2, done.stderr
    assert "cannot be trained on" in done.stdout
    assert token not in done.stdout + done.stderr


def test_keys_that_no_terminal_can_show_are_no_reason_to_fail(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", [*ROWS, {**ROWS[0], "input_text": "Write code 13", "\ud800\x1b[2J": 1}])
    done = run(tmp_path / "home", path)
    assert done.returncode == 0, done.stderr
    assert "unknown" in done.stdout or "not read" in done.stdout
    assert "\x1b[2J" not in done.stdout


def test_the_evaluation_file_is_checked_too(tmp_path: Path) -> None:
    training = write(tmp_path / "train.jsonl", ROWS)
    evaluation = write(tmp_path / "evaluation.jsonl", ROWS[:9])
    done = run(tmp_path / "home", training, "--evaluation-data", evaluation, "--json")
    assert done.returncode == 2, done.stderr
    found = json.loads(done.stdout)
    assert found["evaluation"]["valid"] is False
    codes = {finding["code"] for finding in found["findings"] if finding["severity"] == "error"}
    assert codes == {"too_few_examples", "evaluation_row_in_training"}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    done = run(tmp_path / "home", tmp_path / "nowhere.jsonl")
    assert done.returncode == 2
    assert "nowhere.jsonl" in done.stderr
