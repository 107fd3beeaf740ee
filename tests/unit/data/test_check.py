"""What the check finds: a test for each fault of a data set's content."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.advice import instructs
from tunesmith.data.check import Finding, check, ranges

ROOT = Path(__file__).parents[3]


def rows(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "input_text": f"Write the code in Python: add {start + i} to x.",
            "output_text": f"```python\nx += {start + i}\n```",
        }
        for i in range(count)
    ]


def write(path: Path, found: Sequence[Any]) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in found), "utf-8")
    return path


def findings(tmp_path: Path, found: Sequence[Any], **options: Any) -> dict[str, Finding]:
    report = check(write(tmp_path / "rows.jsonl", found), **options)
    return {finding.code: finding for finding in reversed(report.findings)}


def with_text(text: str) -> list[dict[str, Any]]:
    return [*rows(600), {"input_text": f"Write the code in Python: {text}", "output_text": "pass"}]


def test_a_clean_file_has_no_findings(tmp_path: Path) -> None:
    report = check(write(tmp_path / "rows", rows(500)))
    assert (report.valid, report.examples, report.format, report.findings) == (True, 500, "vertex-generation", [])


@pytest.mark.parametrize("text", ["", "\n\n \n"])
def test_an_empty_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows").write_text(text)
    report = check(tmp_path / "rows")
    assert [finding.code for finding in report.findings] == ["empty_file"]
    assert not report.valid


@pytest.mark.parametrize(
    ("count", "role", "code"),
    [
        (9, "training", "too_few_examples"),
        (10, "training", "few_examples"),
        (10_001, "training", "too_many_examples"),
        (9, "evaluation", "too_few_examples"),
        (251, "evaluation", "too_many_examples"),
    ],
)
def test_amounts(tmp_path: Path, count: int, role: str, code: str) -> None:
    assert code in findings(tmp_path, rows(count), role=role)


@pytest.mark.parametrize(
    ("count", "role"), [(500, "training"), (10_000, "training"), (10, "evaluation"), (250, "evaluation")]
)
def test_amounts_at_the_limits_are_fine(tmp_path: Path, count: int, role: str) -> None:
    assert findings(tmp_path, rows(count), role=role) == {}


def test_ten_thousand_authors_in_few_rows(tmp_path: Path) -> None:
    turns = [{"author": ("user", "assistant")[i % 2], "content": f"Write the code {i}"} for i in range(1002)]
    assert "too_many_authors" in findings(tmp_path, [{"messages": turns, "context": str(i)} for i in range(10)])


def test_a_byte_order_mark_is_noted_and_read(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(b"\xef\xbb\xbf" + "\n".join(map(json.dumps, rows(500))).encode())
    report = check(tmp_path / "rows")
    assert [(f.code, f.severity) for f in report.findings] == [("byte_order_mark", "warning")]
    assert report.examples == 500


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("\n".join(map(json.dumps, rows(12))).encode("utf-16"), "utf16"),
        ("\n".join(map(json.dumps, rows(12))).encode("utf-16-le"), "utf16"),
        (b'{"input_text": "caf\xe9", "output_text": "x"}\n', "invalid_utf8"),
        (json.dumps(rows(12)).encode(), "json_array"),
        (b"input_text,output_text\na,b\n", "csv"),
        (b"PAR1\x15\x04", "parquet"),
        (b"PK\x03\x04\x14\0", "zip_archive"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, data: bytes, code: str) -> None:
    (tmp_path / "rows.jsonl").write_bytes(data)
    report = check(tmp_path / "rows.jsonl")
    assert code in [finding.code for finding in report.findings]
    assert not report.valid


def test_a_fault_has_its_line_as_an_editor_counts(tmp_path: Path) -> None:
    found = findings(tmp_path, [*rows(500), "", '{"input_text": "a"}'])
    assert (found["missing_field"].line, found["missing_field"].field) == (502, "output_text")
    assert found["blank_lines"].line == 501


def test_mixed_forms_in_one_file(tmp_path: Path) -> None:
    assert findings(tmp_path, [*rows(500), {"prompt": "a", "completion": "b"}])["mixed_formats"].line == 501


def test_unknown_keys_are_warned_of(tmp_path: Path) -> None:
    found = findings(tmp_path, [*rows(500), {**rows(1, 900)[0], "id": 7}])["unknown_key"]
    assert (found.line, found.field, found.severity) == (501, "id", "warning")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a<|im_end|>b", "special_token_text"),
        ("a\0b", "nul_character"),
        ("a\u202eb", "bidi_control"),
        ("a\u200bb", "invisible_character"),
        ("cafe\u0301", "not_normalized"),
    ],
)
def test_characters_that_deceive(tmp_path: Path, text: str, code: str) -> None:
    found = findings(tmp_path, with_text(text))
    assert list(found) == [code]
    assert found[code].line == 601


def test_the_models_own_control_tokens_are_known(tmp_path: Path) -> None:
    assert "special_token_text" in findings(tmp_path, with_text("a @@END@@ b"), special_tokens={"@@END@@"})


def test_repeated_and_conflicting_rows_are_grouped(tmp_path: Path) -> None:
    again = rows(1)[0]
    found = findings(tmp_path, [*rows(500), again, again, {**again, "output_text": "other"}])
    assert found["duplicate_example"].message == "the same example stands 3 times: lines 1, 501-502"
    assert "lines 1, 501-503" in found["conflicting_answers"].message


def test_evaluation_rows_in_the_training_file(tmp_path: Path) -> None:
    body = "for item in warehouse.items: total = total + item.weight * item.count if item.open else total - 1 "
    near = {"input_text": f"Write the code in Python: {body} alpha", "output_text": "done"}
    training = write(tmp_path / "train", [*rows(500), near])
    evaluation = [*rows(10, 9000), rows(1)[0], {**near, "input_text": near["input_text"].replace("alpha", "beta")}]
    report = check(training, evaluation=write(tmp_path / "eval", evaluation))
    found = {finding.code: finding for finding in report.findings}
    assert found["evaluation_row_in_training"].message == "evaluation line 11 is training line 1"
    assert found["evaluation_row_in_training"].severity == "error"
    assert re.match(
        r"evaluation line 12 is [89]\d% like training line 501", found["evaluation_row_near_training"].message
    )


def test_benchmark_tasks_are_found_by_mark_and_by_suite(tmp_path: Path) -> None:
    assert "benchmark_task" in findings(tmp_path, with_text("HumanEval/12"))
    problem = "Return the number of boats that may pass the lock before noon, given the tide table."
    suite = write(tmp_path / "suite.jsonl", [{"task_id": "x/1", "prompt": problem}])
    assert "x/1" in findings(tmp_path, with_text(problem), suite=suite)["benchmark_task"].message


KEY = "-----BEGIN RSA PRIVATE " + "KEY-----"  # put together here, so that no scanner takes this file for a leak
LIVE = ["AKIA" + "Q3EGRTZ7PLMK2WVX", "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8", "xoxb-" + "2384756102-abcdefGHIJ"]


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        f"{KEY}\\nMIIE",
        '"-----BEGIN " + "PRIVATE KEY-----"',
        *LIVE,
        base64.b64encode(f"key = {LIVE[0]}; more".encode()).decode(),
        base64.b64encode(base64.b64encode(f"key = {LIVE[0]}; and so on and on".encode())).decode(),
        "postgres://admin:" + "tr0ub4dor@db.internal/x",
    ],
)
def test_secrets_are_found_and_never_shown(tmp_path: Path, text: str) -> None:
    found = findings(tmp_path, with_text(f"connect with {text}"))["secret"]
    assert found.severity == "error"
    assert found.line == 601
    for secret in (*LIVE, "tr0ub4dor"):
        assert secret not in json.dumps(found._asdict())


def test_a_documented_placeholder_is_no_error(tmp_path: Path) -> None:
    assert list(findings(tmp_path, with_text("AKIAIOSFODNN7" + "EXAMPLE"))) == ["secret_placeholder"]


def test_prompts_without_an_instruction() -> None:  # S17, its own pair
    assert not instructs("Calculate the sum of a list of integers.")
    assert instructs("Write the code in Python: calculate the sum of a list of integers")


def test_missing_instructions_name_their_lines(tmp_path: Path) -> None:
    found = findings(tmp_path, [*rows(600), {"input_text": "Calculate the sum.", "output_text": "sum(x)"}])
    assert "lines 601" in found["no_instruction"].message


def test_fields_in_another_order(tmp_path: Path) -> None:  # S16
    usual = [{"input_text": f"question: what is {i}?\ncontext: c{i}", "output_text": str(i)} for i in range(600)]
    swapped = {"input_text": "context: c\nquestion: what?", "output_text": "z"}
    found = findings(tmp_path, [*usual, swapped])["inconsistent_fields"]
    assert found.message == "fields are question:, context: in most prompts, but context:, question: on lines 601"


def test_many_findings_of_one_code_are_counted_and_none_is_lost(tmp_path: Path) -> None:
    report = check(write(tmp_path / "rows", ['{"input_text": "a"}'] * 3000))
    shown = [finding for finding in report.findings if finding.code == "missing_field"]
    assert len(shown) == 21
    assert "and 2,980 more of this kind, on lines 21-3000" in shown[-1].message
    assert report.statistics["codes"]["missing_field"] == {"count": 3000, "lines": "1-3000"}


def test_ranges_read_as_an_editor_shows_lines() -> None:
    assert ranges([3, 1, 2, 9, 12, 13]) == "1-3, 9, 12-13"
    assert ranges(range(0, 40, 2), most=2) == "0, 2 and 18 more"
