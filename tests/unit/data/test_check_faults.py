"""The check against section A of the faults: each is found, on its line, under its code, and nothing else is."""

from __future__ import annotations

import ast
import gzip
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunesmith.data import advice, findings, signature
from tunesmith.data.check import Limits, Report, check, digest
from tunesmith.data.findings import CODES, FINDINGS_SHOWN
from tunesmith.errors import InvalidArgument, NotFound

ROOT = Path(__file__).parents[3]
EXPECTED_IN_SMALL_FILES = {"few_examples"}


def example(i: int, **fields: Any) -> dict[str, Any]:
    prompt = f"Write the code in Python: add {i} to the number {i * 7} and name it v{i}"
    return {"input_text": prompt, "output_text": f"```python\nv{i} = {i} + {i * 7}\n```", **fields}


def turns(*authors: str, content: str = "what is it?") -> list[dict[str, str]]:
    return [{"author": author, "content": f"{content} {i}"} for i, author in enumerate(authors)]


def chat(i: int, messages: int = 2) -> dict[str, Any]:
    authors = ("user", "assistant") * (messages // 2)
    return {"messages": turns(*authors, content=f"what is {i}?")}


def lines(rows: Iterable[dict[str, Any] | str]) -> bytes:
    return b"".join((row if isinstance(row, str) else json.dumps(row)).encode() + b"\n" for row in rows)


GOOD = [example(i) for i in range(12)]
GOOD_CHATS = [chat(i) for i in range(12)]
LAST = len(GOOD) + 1
"""The line of a row that follows the good ones."""


class Checked:
    """A report with questions that tests ask of it."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.valid = report.valid
        self.findings = [f for f in report.findings if f.code not in EXPECTED_IN_SMALL_FILES]

    def places(self) -> list[tuple[int, str, str]]:
        return [(f.line, f.field, f.code) for f in self.findings]

    def codes(self) -> set[str]:
        return {f.code for f in self.findings}

    def lines_of(self, code: str) -> str:
        found: str = self.report.statistics["codes"][code]["lines"]
        return found


class Desk:
    """Writes files and checks them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, data: bytes, name: str = "train.jsonl") -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def bytes(self, data: bytes, **options: Any) -> Checked:
        return Checked(check(self.write(data), **options))

    def rows(self, *rows: dict[str, Any] | str, **options: Any) -> Checked:
        """Twelve good rows, then these."""
        return self.bytes(lines([*GOOD, *rows]), **options)

    def chats(self, *rows: dict[str, Any] | str) -> Checked:
        return self.bytes(lines([*GOOD_CHATS, *rows]))

    def with_evaluation(self, training: bytes, evaluation: bytes, **options: Any) -> Checked:
        return self.bytes(training, evaluation=self.write(evaluation, "evaluation.jsonl"), **options)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_good_file_has_no_findings_but_that_it_is_small(desk: Desk) -> None:
    found = desk.bytes(lines(GOOD))
    assert found.valid
    assert [f.code for f in found.report.findings] == ["few_examples"]
    assert (found.report.examples, found.report.format) == (12, "vertex-generation")


# A1 to A4: amounts.


def test_a1_an_empty_file(desk: Desk) -> None:
    found = desk.bytes(b"")
    assert not found.valid
    assert found.places() == [(0, "", "empty_file")]


def test_a2_only_blank_lines(desk: Desk) -> None:
    found = desk.bytes(b"\n \n\t\r\n\n")
    assert not found.valid
    assert found.places() == [(0, "", "empty_file")]
    assert "blank" in found.findings[0].message


@pytest.mark.parametrize(("rows", "codes"), [(9, {"too_few_examples"}), (10, set()), (1, {"too_few_examples"})])
def test_a3_nine_rows_are_too_few_and_ten_are_not(desk: Desk, rows: int, codes: set[str]) -> None:
    found = desk.bytes(lines(GOOD[:rows]))
    assert found.codes() == codes
    assert found.valid == (not codes)


@pytest.mark.parametrize(("rows", "warned"), [(499, True), (500, False)])
def test_s8_fewer_than_500_rows_are_a_warning(desk: Desk, rows: int, warned: bool) -> None:
    report = check(desk.write(lines(example(i) for i in range(rows))))
    assert report.valid
    assert [f.code for f in report.findings] == (["few_examples"] if warned else [])


@pytest.mark.parametrize(("rows", "valid"), [(10_000, True), (10_001, False)])
def test_a4_ten_thousand_and_one_rows_are_too_many(desk: Desk, rows: int, valid: bool) -> None:
    found = desk.bytes(lines(example(i) for i in range(rows)))
    assert found.codes() == (set() if valid else {"too_many_examples"})
    assert found.valid == valid


@pytest.mark.parametrize(("last", "too_many"), [(3332, False), (3333, True), (3334, True)])
def test_a4_ten_thousand_and_one_authors_in_three_chats_are_too_many(desk: Desk, last: int, too_many: bool) -> None:
    authors = [("user", "assistant")[i % 2] for i in range(last)]
    found = desk.bytes(lines([chat(1, 3334), chat(2, 3334), {"messages": turns(*authors)}]))
    assert ("too_many_authors" in found.codes()) == too_many


@pytest.mark.parametrize(("chats", "valid"), [(5_000, True), (5_001, False)])
def test_t8_the_limit_of_chats_is_on_authors_and_not_on_examples(desk: Desk, chats: int, valid: bool) -> None:
    found = desk.bytes(lines(chat(i) for i in range(chats)))
    assert found.codes() == (set() if valid else {"too_many_authors"})


def test_messages_of_rows_with_errors_count_as_authors_too(desk: Desk) -> None:
    rows = [*GOOD_CHATS, *({"messages": turns("user", "bot")} for _ in range(5_001))]
    assert "too_many_authors" in desk.bytes(lines(rows)).codes()


def test_a_file_without_end_is_not_read_to_its_end(desk: Desk) -> None:
    found = desk.bytes(lines(GOOD), limits=Limits(rows_read=10))
    assert (11, "", "reading_stopped") in found.places()
    assert found.report.examples == 10
    assert not found.valid


def test_blank_lines_without_end_are_not_read_to_their_end(desk: Desk) -> None:
    found = desk.bytes(b"\n" * 200, limits=Limits(lines_read=100))
    assert (101, "", "reading_stopped") in found.places()


# A5 to A8: bytes and lines.


def test_a5_a_byte_order_mark_is_accepted_and_noted(desk: Desk) -> None:
    found = desk.bytes(b"\xef\xbb\xbf" + lines(GOOD))
    assert found.valid
    assert found.places() == [(1, "", "byte_order_mark")]
    assert found.report.examples == 12


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_a6_utf16_is_one_finding_for_the_file(desk: Desk, encoding: str, compressed: bool) -> None:
    data = lines(GOOD).decode().encode(encoding)
    found = desk.bytes(gzip.compress(data) if compressed else data)
    assert found.places() == [(0, "", encoding.replace("-", "")[:5])]
    assert not found.valid


def test_a6_latin1_is_one_finding_that_names_every_line(desk: Desk) -> None:
    rows = [{"input_text": f"Write the code: na\xefve caf\xe9 {i}", "output_text": "\xe9t\xe9"} for i in range(15)]
    found = desk.bytes("\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode("latin-1"))
    assert found.places() == [(1, "", "latin1")]
    assert found.lines_of("latin1") == "1-15"


def test_a6_a_file_with_utf8_in_it_is_not_called_latin1(desk: Desk) -> None:
    good = json.dumps({**example(1), "input_text": "Write the code: \xe9"}, ensure_ascii=False).encode()
    bad = b'{"input_text": "Write code \xe9", "output_text": "x"}\n'
    found = desk.bytes(lines(GOOD) + good + b"\n" + bad + bad)
    assert [(f.line, f.code) for f in found.findings] == [(14, "invalid_utf8"), (15, "invalid_utf8")]


def test_a6_invalid_bytes_are_placed(desk: Desk) -> None:
    found = desk.bytes(lines(GOOD) + b'{"input_text": "a\xff", "output_text": "b"}\n')
    assert found.places() == [(LAST, "", "invalid_utf8")]
    assert "byte 18 (0xff)" in found.findings[0].message


@pytest.mark.parametrize("end", [b"\r\n", b"\r"], ids=["CRLF", "CR"])
def test_a7_other_line_ends_count_lines_as_an_editor_does(desk: Desk, end: bytes) -> None:
    found = desk.bytes(lines([*GOOD, "{", example(99)]).replace(b"\n", end))
    assert [(f.line, f.code) for f in found.findings] == [(LAST, "unfinished_row")]
    assert found.report.examples == 13


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85"], ids=["LS", "PS", "NEL"])
def test_a7_unicode_line_ends_inside_texts_split_no_row(desk: Desk, mark: str) -> None:
    row = json.dumps({"input_text": f"Write the code a{mark}b", "output_text": "x"}, ensure_ascii=False)
    found = desk.rows(row)
    assert found.findings == []
    assert found.report.examples == 13


def test_a8_the_last_line_needs_no_end(desk: Desk) -> None:
    found = desk.bytes(lines(GOOD).rstrip(b"\n"))
    assert found.findings == []
    assert found.report.examples == 12


# A9, A10: JSON.


@pytest.mark.parametrize("indent", [None, 1, 2])
def test_a9_a_json_array_is_told_once(desk: Desk, indent: int | None) -> None:
    found = desk.bytes(json.dumps(GOOD, indent=indent).encode())
    assert found.places() == [(1, "", "json_array")]


def test_a9_an_array_of_one_object_a_line_is_told_once(desk: Desk) -> None:
    found = desk.bytes(b"[\n" + b",\n".join(json.dumps(row).encode() for row in GOOD) + b"\n]\n")
    assert found.places() == [(1, "", "json_array")]


def test_objects_over_several_lines_are_told_once(desk: Desk) -> None:
    found = desk.bytes(b"\n".join(json.dumps(row, indent=2).encode() for row in GOOD))
    assert found.places() == [(1, "", "pretty_printed")]


@pytest.mark.parametrize(
    ("line", "field", "code"),
    [
        ('{"input_text": "a", "output_text": "b",}', "", "trailing_comma"),
        ('{"input_text": "a", "output_text": "b"},', "", "trailing_comma"),
        ("{'input_text': 'a', 'output_text': 'b'}", "", "single_quotes"),
        ('{"input_text": NaN, "output_text": "b"}', "", "not_a_number"),
        ('{"input_text": "a", "output_text": "b", "x": -Infinity}', "", "not_a_number"),
        ('{"input_text": "a", "input_text": "c", "output_text": "b"}', "input_text", "duplicate_key"),
        ('{"input_text": "a\tb", "output_text": "b"}', "", "control_character"),
        ('{"input_text": "a", "output_text": "b"', "", "unfinished_row"),
        ('"a text"', "", "not_an_object"),
        ("[1, 2]", "", "json_array"),
    ],
)
def test_a10_what_is_not_json_is_named(desk: Desk, line: str, field: str, code: str) -> None:
    found = desk.rows(line, example(99))
    assert found.places() == [(LAST, field, code)]
    assert found.report.examples == 13


# A11 to A15: rows.


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "not_text"),
        (5, "not_text"),
        (["a"], "not_text"),
        (True, "not_text"),
        ("", "empty_text"),
        (" \n", "blank_text"),
    ],
)
@pytest.mark.parametrize("name", ["input_text", "output_text"])
def test_a11_a12_a_field_that_is_no_text_or_an_empty_one(desk: Desk, name: str, value: Any, code: str) -> None:
    found = desk.rows({**example(99), name: value})
    assert found.places() == [(LAST, name, code)]
    assert not found.valid


@pytest.mark.parametrize("name", ["input_text", "output_text"])
def test_a11_a_missing_field(desk: Desk, name: str) -> None:
    row = example(99)
    del row[name]
    assert desk.rows(row).places() == [(LAST, name, "missing_field")]


def test_a13_unknown_keys_are_warned_of_with_the_nearest_known_name(desk: Desk) -> None:
    found = desk.rows(example(99, input_txt="x", note=3))
    assert found.valid
    assert found.places() == [(LAST, "input_txt", "unknown_key"), (LAST, "note", "unknown_key")]
    assert "did you mean input_text?" in found.findings[0].remedy
    assert "did you mean" not in found.findings[1].remedy


def test_a13_a_misspelt_key_names_the_right_one(desk: Desk) -> None:
    found = desk.rows({"input_txt": "Write the code", "output_text": "x"})
    assert (LAST, "input_text", "missing_field") in found.places()
    assert all("input_text" in f.remedy for f in found.findings)


@pytest.mark.parametrize(
    ("row", "field", "code"),
    [
        ({"messages": []}, "messages", "empty_messages"),
        ({"messages": turns("assistant")}, "messages[0]", "starts_with_assistant"),
        ({"messages": turns("user", "user", "assistant")}, "messages[1]", "same_author_twice"),
        ({"messages": turns("user", "bot")}, "messages[1].author", "unknown_author"),
        ({"messages": turns("user", "assistant", "user")}, "messages[2]", "ends_with_user"),
        ({"messages": turns("user", "assistant"), "context": 5}, "context", "not_text"),
        ({"messages": "x"}, "messages", "not_a_list"),
        ({"messages": [{"author": "user"}]}, "messages[0].content", "missing_field"),
    ],
)
def test_a14_faults_of_chats(desk: Desk, row: dict[str, Any], field: str, code: str) -> None:
    found = desk.chats(row)
    assert (LAST, field, code) in found.places()
    assert not found.valid
    assert {f.line for f in found.findings} == {LAST}


def test_a15_forms_are_not_mixed(desk: Desk) -> None:
    assert desk.rows(chat(1)).places() == [(LAST, "", "mixed_formats")]


def hole(i: int, **fields: Any) -> dict[str, Any]:
    return {"prefix": f"v{i} = ", "suffix": f"\nprint(v{i})\n", "middle": f"{i} + {i * 7}", **fields}


@pytest.mark.parametrize(("good", "form"), [(GOOD, "vertex-generation"), (GOOD_CHATS, "vertex-chat")])
def test_a15_holes_may_stand_among_rows_of_one_other_form(desk: Desk, good: list[dict[str, Any]], form: str) -> None:
    for rows in ([*good, hole(1), hole(2)], [hole(1), *good, hole(2)]):
        found = desk.bytes(lines(rows))
        assert found.valid
        assert found.findings == []
        assert (found.report.format, found.report.examples) == (form, len(good) + 2)
        assert (found.report.statistics["fim_rows"], found.report.statistics["format"]) == (2, form)
        assert found.report.statistics["turns"]["min"] == 2


def test_a15_holes_do_not_let_a_third_form_in(desk: Desk) -> None:
    assert desk.rows(hole(1), chat(1), hole(2)).places() == [(LAST + 1, "", "mixed_formats")]


@pytest.mark.parametrize(
    ("training", "evaluation", "valid"),
    [
        ([*GOOD, hole(1)], [hole(i, prefix=f"w{i} = ") for i in range(20, 30)], True),
        ([hole(i) for i in range(12)], [example(i) for i in range(20, 30)], True),
        ([*GOOD, hole(1)], [*(hole(i) for i in range(20, 30)), chat(1)], False),
    ],
)
def test_a15_holes_may_be_measured_beside_another_form(
    desk: Desk, training: list[dict[str, Any]], evaluation: list[dict[str, Any]], valid: bool
) -> None:
    assert desk.with_evaluation(lines(training), lines(evaluation)).valid == valid


def test_holes_beside_chats_have_a_limit_of_their_own(desk: Desk) -> None:
    limits = Limits(most_examples=15, most_authors=24)
    assert desk.bytes(lines([*GOOD_CHATS, *(hole(i) for i in range(15))]), limits=limits).valid
    found = desk.bytes(lines([*GOOD_CHATS, *(hole(i) for i in range(16))]), limits=limits)
    assert [f.message for f in found.findings] == ["16 examples; at most 15 are taken"]


def test_a_hole_is_searched_in_its_context_too(desk: Desk) -> None:
    token = "ghp_" + "".join("aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC2dF4hJ6"[i] for i in range(36))
    found = desk.rows(hole(1, context=f'# TOKEN = "{token}"\n'))
    assert [(line, field) for line, field, _ in found.places()] == [(LAST, "context")]


def test_one_hole_in_two_orders_or_split_elsewhere_stands_twice(desk: Desk) -> None:
    found = desk.rows(hole(1), hole(1, order="spm"), hole(1, context="v", prefix="1 = "))
    assert found.lines_of("duplicate_example") == f"{LAST}-{LAST + 2}"


def test_a15_the_evaluation_file_has_the_form_of_the_training_file(desk: Desk) -> None:
    found = desk.with_evaluation(lines(GOOD), lines(GOOD_CHATS))
    assert not found.valid
    assert found.report.evaluation is not None
    assert [f.code for f in found.report.evaluation.findings] == ["mixed_formats"]


# A16 to A18: sizes.


def test_a16_a_row_of_50_mb_is_refused_and_the_rest_is_read(desk: Desk) -> None:
    found = desk.rows(example(98, output_text="x" * 50_000_000), example(99))
    assert found.places() == [(LAST, "", "row_too_large")]
    assert found.report.examples == 13


@pytest.mark.parametrize(
    "line", ["[" * 100_000, '{"a":' * 100_000, '{"input_text":' + "[" * 100_000 + "]" * 100_000 + "}"]
)
def test_a17_deep_nesting_is_refused(desk: Desk, line: str) -> None:
    found = desk.rows(line, example(99))
    assert found.places() == [(LAST, "", "too_deep")]


@pytest.mark.parametrize(
    ("byte", "code"),
    [(b"\0", "gzip_bomb"), (b" ", "gzip_bomb"), (b"\n", "reading_stopped")],
    ids=["NUL", "blank", "LF"],
)
def test_a18_a_gzip_bomb_is_not_unpacked(desk: Desk, byte: bytes, code: str) -> None:
    found = desk.bytes(gzip.compress(byte * 100_000_000))
    assert code in found.codes()
    assert not found.valid


def test_a18_gzip_cut_in_half_keeps_what_could_be_read(desk: Desk) -> None:
    whole = gzip.compress(lines(example(i) for i in range(400)))
    found = desk.bytes(whole[: len(whole) // 2])
    assert found.codes() == {"gzip_truncated"}
    assert 100 < found.report.examples < 400
    assert found.findings[0].line == found.report.examples + 1


def test_a18_good_gzip_under_any_name_is_read(desk: Desk) -> None:
    found = desk.bytes(gzip.compress(lines(GOOD)))
    assert found.findings == []
    assert found.report.examples == 12


def test_a18_a_zip_is_not_unpacked(desk: Desk) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jsonl", b"\0" * 10_000_000)
    assert desk.bytes(buffer.getvalue()).places() == [(0, "", "zip_archive")]


# A19, A20: characters.


@pytest.mark.parametrize(
    "token",
    ["<|im_end|>", "<|endoftext|>", "</s>", "[INST]", "<fim_prefix>", "<|fim_middle|>", "<\uff5cfim\u2581hole\uff5c>"],
)
@pytest.mark.parametrize("name", ["input_text", "output_text"])
def test_a19_control_tokens_in_texts_are_warned_of(desk: Desk, token: str, name: str) -> None:
    row = example(99)
    found = desk.rows({**row, name: row[name] + token})
    assert found.valid
    assert found.places() == [(LAST, name, "special_token_text")]


def test_a19_control_tokens_of_the_base_model_are_known(desk: Desk) -> None:
    row = example(99, output_text="x ~~STOP~~ y")
    assert desk.rows(row).findings == []
    assert desk.rows(row, special_tokens=["~~STOP~~"]).places() == [(LAST, "output_text", "special_token_text")]


@pytest.mark.parametrize(
    ("escape", "code", "valid"),
    [
        ("\\ud800", "lone_surrogate", False),
        ("\\u0000", "nul_character", False),
        ("\\u202e", "bidi_control", True),
        ("\\u2067", "bidi_control", True),
        ("\\u200b", "invisible_character", True),
        ("\\ufeff", "invisible_character", True),
        ("e\\u0301", "not_normalized", True),
    ],
)
def test_a20_characters_that_cannot_be_seen(desk: Desk, escape: str, code: str, valid: bool) -> None:
    found = desk.rows('{"input_text": "Write the code a' + escape + 'b", "output_text": "x"}')
    assert found.places() == [(LAST, "input_text", code)]
    assert found.valid == valid


def test_a20_findings_can_be_printed_whatever_the_keys_are(desk: Desk) -> None:
    found = desk.rows('{"input_text": "Write code", "output_text": "x", "\\ud800\\u001b[2J": 1}')
    assert found.codes() == {"unknown_key"}
    text = json.dumps(found.report.to_json(), ensure_ascii=False)
    text.encode("utf-8")
    assert "\x1b" not in found.findings[0].field


def test_ordinary_letters_of_other_languages_are_no_fault(desk: Desk) -> None:
    text = "Write the code: \u043a\u043b\u044e\u0447 \u5bc6\u94a5 caf\xe9 \U0001f469\u200d\U0001f4bb"
    assert desk.rows(example(99, input_text=text)).findings == []


# A21, A22: rows among rows.


def test_a21_a_row_that_stands_500_times_is_one_finding_with_its_lines(desk: Desk) -> None:
    found = desk.rows(*[GOOD[0]] * 499)
    assert found.places() == [(1, "", "duplicate_example")]
    assert found.valid
    assert "500 times" in found.findings[0].message
    assert found.lines_of("duplicate_example") == "1,13-511"
    assert found.report.statistics["duplicates"] == 499


def test_conflicting_answers_are_named_with_both_lines(desk: Desk) -> None:
    found = desk.rows(example(3, output_text="something else"))
    assert found.places() == [(4, "", "conflicting_answers")]
    assert found.lines_of("conflicting_answers") == "4,13"


def long_example(i: int, extra: str = "") -> dict[str, str]:
    words = " ".join(f"w{(i * 37 + k * 11) % 1009}" for k in range(60))
    return {
        "input_text": f"Write the code in Python: {words} {extra}",
        "output_text": f"```python\nprint({words!r})\n```",
    }


def test_a21_training_rows_in_the_evaluation_set_are_found_exactly(desk: Desk) -> None:
    training = lines(long_example(i) for i in range(20))
    found = desk.with_evaluation(training, lines(long_example(i) for i in [*range(100, 110), 7]))
    assert found.places() == [(8, "", "evaluation_row_in_training")]
    assert "evaluation line 11 is training line 8" in found.findings[0].message
    assert not found.valid


def test_a21_training_rows_near_those_of_the_evaluation_set_are_found(desk: Desk) -> None:
    training = lines(long_example(i) for i in range(20))
    found = desk.with_evaluation(training, lines([*(long_example(i) for i in range(100, 110)), long_example(7, "now")]))
    assert found.places() == [(8, "", "evaluation_row_near_training")]
    assert found.valid


@pytest.mark.parametrize(
    ("rows", "code"), [(9, "too_few_examples"), (10, None), (250, None), (251, "too_many_examples")]
)
def test_a22_an_evaluation_set_has_10_to_250_rows(desk: Desk, rows: int, code: str | None) -> None:
    report = desk.with_evaluation(lines(GOOD), lines(long_example(i) for i in range(rows))).report
    assert report.evaluation is not None
    assert [f.code for f in report.evaluation.findings] == ([code] if code else [])
    assert report.valid == (code is None)
    merged = [f for f in report.to_json()["findings"] if f["field"].startswith("evaluation")]
    assert [f["code"] for f in merged] == ([code] if code else [])


def test_a22_a_file_alone_can_be_checked_as_an_evaluation_set(desk: Desk) -> None:
    assert desk.bytes(lines(example(i) for i in range(251)), role="evaluation").codes() == {"too_many_examples"}


# A23, A24: what must not be taught.


@pytest.mark.parametrize(
    "prompt",
    [
        "Write the code: HumanEval/12",
        "def has_close_elements(numbers: List[float], threshold: float) -> bool:",
        "Write a function to find the minimum cost path to reach (m, n) from\n(0, 0) for the given cost matrix",
        "Write the code.\nYour code should pass these tests:\nassert f(1) == 2",
    ],
)
def test_a23_marks_of_public_benchmarks_are_found(desk: Desk, prompt: str) -> None:
    found = desk.rows(example(99, input_text=prompt))
    assert (LAST, "", "benchmark_task") in found.places()


def test_a23_tasks_of_a_suite_are_found_though_they_are_laid_out_otherwise(desk: Desk) -> None:
    task = (
        "def tide(levels):\n    '''Return the highest of the levels that is lower than all levels that come later.'''"
    )
    suite = desk.write(
        lines([{"task_id": "tide/1", "prompt": task}, {"task_id": "x", "prompt": "short"}]), "suite.jsonl"
    )
    inside = example(98, input_text="Write the code in Python.\n" + task.replace("    ", "\t").replace("\n", "\r\n"))
    found = desk.rows(inside, example(99, input_text="Write the code: short"), suite=suite)
    assert found.places() == [(LAST, "", "benchmark_task")]
    assert "tide/1" in found.findings[0].message


def test_a_suite_without_prompts_is_refused(desk: Desk) -> None:
    with pytest.raises(InvalidArgument, match="suite"):
        desk.rows(suite=desk.write(b'{"question": "x"}\n', "suite.jsonl"))


KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq1s0vW3kq0b8xqJm2cVn4t\n-----END RSA PRIVATE KEY-----"


def test_a24_a_secret_is_an_error_that_does_not_show_it(desk: Desk) -> None:
    token = "ghp_" + "a1B2" * 9
    found = desk.rows(example(98, output_text=f"x\n{KEY}"), example(99, input_text=f"Write the code with {token}"))
    assert found.places() == [(LAST, "output_text", "secret"), (LAST + 1, "input_text", "secret")]
    assert "GitHub token at character 21, 40 long" in found.findings[1].message
    text = json.dumps(found.report.to_json())
    assert token not in text
    assert "MIIE" not in text
    assert not found.valid


def test_a24_documentations_own_key_is_a_warning(desk: Desk) -> None:
    found = desk.rows(example(99, output_text="key = 'AKIAIOSFODNN7EXAMPLE'"))
    assert found.places() == [(LAST, "output_text", "secret_placeholder")]
    assert found.valid


def test_a24_secrets_are_found_in_rows_that_are_no_examples(desk: Desk) -> None:
    token = "ghp_" + "a1B2" * 9
    mixed_form, no_form = {"messages": turns("user"), "x": token}, {"foo": token}
    found = desk.rows({"input_text": token}, '{"input_text": "' + token, mixed_form, no_form)
    assert found.lines_of("secret") == "13-16"


def test_a24_secrets_in_names_are_not_repeated(desk: Desk) -> None:
    token = "ghp_" + "a1B2" * 9
    found = desk.rows(example(98) | {token: 1}, {"messages": [{"author": token, "content": "x"}]})
    assert token not in json.dumps(found.report.to_json())


def test_a24_every_turn_of_a_chat_is_looked_at(desk: Desk) -> None:
    messages = turns("user", "assistant", "user", "assistant")
    messages[2]["content"] = f"what is {KEY}?"
    assert desk.chats({"messages": messages, "context": KEY}).places() == [
        (LAST, "context", "secret"),
        (LAST, "messages[2].content", "secret"),
    ]


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        ({"instruction": "Write the code @", "output": "@"}, ["instruction", "output"]),
        ({"prompt": "Write the code @", "completion": "@"}, ["prompt", "completion"]),
        ({"prefix": "@", "suffix": "@", "middle": "@"}, ["prefix", "suffix", "middle"]),
        (
            {"messages": [{"role": "user", "content": "what? @"}, {"role": "assistant", "content": "@"}]},
            ["messages[0].content", "messages[1].content"],
        ),
        (
            {
                "messages": [
                    {"role": "system", "content": "be good"},
                    {"role": "user", "content": "what? @"},
                    {"role": "assistant", "content": "a"},
                ]
            },
            ["messages[1].content"],
        ),
        (
            {"contents": [{"role": "user", "parts": [{"text": "why?"}]}, {"role": "model", "parts": [{"text": "@"}]}]},
            ["contents[1].parts"],
        ),
        (
            {"conversations": [{"from": "human", "value": "what? @"}, {"from": "gpt", "value": "a"}]},
            ["conversations[0].value"],
        ),
    ],
)
def test_fields_of_findings_are_those_of_the_form(desk: Desk, row: dict[str, Any], fields: list[str]) -> None:
    found = desk.bytes(json.dumps(row).replace("@", "</s>").encode())
    assert [f.field for f in found.findings if f.code == "special_token_text"] == fields


# A26: other files.


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"input_text,output_text\n" + b"a,b\n" * 12, "csv"),
        (b'"input text";"output text"\n"a";"b"\n', "csv"),
        (b"input_text\toutput_text\na\tb\n", "csv"),
        (b"\xef\xbb\xbfinput_text,output_text\na,b\n", "csv"),
        (b"PAR1" + bytes(range(256)), "parquet"),
        (b"PK\x03\x04" + bytes(50), "zip_archive"),
        (b"\x80\x04\x95" + bytes(50), "binary_file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "binary_file"),
        (b"SQLite format 3\0" + bytes(50), "binary_file"),
        (b"BZh91AY&SY" + bytes(50), "bzip2"),
        (gzip.compress(gzip.compress(b"{}")), "compressed"),
        (b"<!DOCTYPE html><html>not found</html>", "web_page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "lfs_pointer"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_a26_other_files_are_told_by_what_they_are(desk: Desk, data: bytes, code: str, compressed: bool) -> None:
    found = desk.bytes(gzip.compress(data) if compressed else data)
    assert found.places() == [(0, "", code)]
    assert not found.valid


# Advice.


def test_s17_prompts_without_an_instruction_are_named(desk: Desk) -> None:
    without = example(98, input_text="Calculate the sum of a list of integers.")
    instructed = example(99, input_text="Write the code in Python: calculate the sum of a list of integers")
    found = desk.rows(without, instructed)
    assert found.places() == [(LAST, "", "no_instruction")]
    assert found.lines_of("no_instruction") == "13"


def test_s17_an_instruction_may_stand_in_the_context(desk: Desk) -> None:
    messages = [{"author": "user", "content": "The sum of a list."}, {"author": "assistant", "content": "sum(x)"}]
    assert desk.chats({"messages": messages}).codes() == {"no_instruction"}
    assert desk.chats({"messages": messages, "context": "Answer with Python code."}).findings == []


def questions(n: int) -> list[dict[str, str]]:
    return [{"input_text": f"question: what is {i}?\ncontext: number {i}", "output_text": f"{i}"} for i in range(n)]


@pytest.mark.parametrize(
    "prompt",
    [
        "context: a\nquestion: what is it?",
        "question: what is it?",
        "Question: what is it?\ncontext: a",
        "query: what is it?\ncontext: a",
        "what is it?",
    ],
)
def test_s16_prompts_with_other_fields_or_another_order_are_named(desk: Desk, prompt: str) -> None:
    found = desk.bytes(lines([*questions(12), {"input_text": prompt, "output_text": "x"}]))
    assert found.places() == [(13, "", "inconsistent_fields")]
    assert "question:, context:" in found.findings[0].message


@pytest.mark.parametrize(
    "prompt",
    [
        "question: what is it?\ncontext: a\nnote: of its own",
        "question: what is it?\ncontext:\n```python\nelse:\n    x\nvalue: int\n```",
    ],
)
def test_s16_labels_in_texts_and_code_are_no_fields(desk: Desk, prompt: str) -> None:
    assert desk.bytes(lines([*questions(12), {"input_text": prompt, "output_text": "x"}])).findings == []


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("question: a\ncontext: b", ("question", "context")),
        ("Question: a\nGiven code:\n```yaml\nhost: a\nport: b\n```\nanswer:", ("Question", "Given code", "answer")),
        ("Write code: do it", ()),
        ("Answer in Python: 1", ()),
        ("try:\n    x\nfinally:\n    y\nelse:\n", ()),
        ("    question: indented", ()),
        ("a very long sentence before it: x", ()),
        ("http://host:80", ()),
    ],
)
def test_s16_what_a_label_is(prompt: str, names: tuple[str, ...]) -> None:
    assert advice.labels(prompt) == names


def test_s16_fields_in_few_prompts_are_no_form(desk: Desk) -> None:
    assert desk.rows({"input_text": "question: what is it?", "output_text": "x"}).findings == []


# The report.


def test_of_each_code_20_are_listed_and_no_line_vanishes(desk: Desk) -> None:
    bad = [example(i, output_text="") for i in range(100, 150)]
    found = desk.rows(*bad[:30], example(77), *bad[30:])
    listed = [f for f in found.findings if f.code == "empty_text"]
    assert len(listed) == FINDINGS_SHOWN + 1
    assert "30 more" in listed[-1].message
    assert found.report.statistics["codes"]["empty_text"] == {"count": 50, "lines": "13-42,44-63"}


def test_the_json_has_the_agreed_shape(desk: Desk) -> None:
    value = desk.rows(example(99, output_text="")).report.to_json()
    assert {"valid", "examples", "findings", "statistics"} <= set(value)
    assert value["valid"] is False
    assert value["examples"] == 12
    assert {tuple(finding) for finding in value["findings"]} == {
        ("line", "field", "code", "severity", "message", "remedy")
    }
    json.dumps(value)


def test_statistics_describe_the_rows(desk: Desk) -> None:
    data = lines([*GOOD_CHATS, {"messages": turns("user", "assistant", "user", "assistant"), "note": "x"}]) + b"\n\n"
    report = desk.bytes(data).report
    found = report.statistics
    assert found["bytes"] == len(data)
    assert (found["rows"], found["blank_lines"], found["examples"]) == (13, 2, 13)
    assert found["authors"] == {"user": 14, "assistant": 14}
    assert (found["turns"]["min"], found["turns"]["p50"], found["turns"]["max"]) == (2, 2, 4)
    assert found["keys"] == {"messages": 13, "note": 1}
    assert found["codes"]["blank_lines"] == {"count": 2, "lines": "14-15"}


def test_lengths_are_those_of_prompts_and_answers(desk: Desk) -> None:
    rows = [example(i, input_text="Write code " + "a" * i, output_text="b" * (i + 1)) for i in range(101)]
    found = desk.bytes(lines(rows)).report.statistics
    assert found["prompt_characters"] == {"min": 11, "mean": 61.0, "p50": 61, "p95": 106, "max": 111}
    assert found["answer_characters"] == {"min": 1, "mean": 51.0, "p50": 51, "p95": 96, "max": 101}


def test_the_hash_is_that_of_the_bytes(desk: Desk) -> None:
    data = gzip.compress(lines(GOOD))
    path = desk.write(data)
    assert check(path).sha256 == digest(path) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("which", ["dataset", "evaluation_data", "suite"])
def test_a_file_that_is_not_there_is_named(desk: Desk, which: str) -> None:
    there, missing = desk.write(lines(GOOD)), desk.folder / "missing.jsonl"
    options: dict[str, Any] = {"evaluation_data": {"evaluation": missing}, "suite": {"suite": missing}}.get(which, {})
    with pytest.raises(NotFound, match=rf"{which}.*missing\.jsonl"):
        check(missing if which == "dataset" else there, **options)


# The table of codes.


def trees() -> dict[str, ast.Module]:
    folder = ROOT / "src" / "tunesmith" / "data"
    return {path.name: ast.parse(path.read_text("utf-8")) for path in folder.glob("*.py")}


def test_every_problem_of_the_source_has_a_code_of_the_table() -> None:
    calls = [node for tree in trees().values() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [c.args[0] for c in calls if getattr(c.func, "id", "") in ("Problem", "TextFault", "_problem") and c.args]
    found = {name.value for name in named if isinstance(name, ast.Constant)} | {code for _, code, _ in signature._MAGIC}
    assert len(found) > 40
    assert found <= set(CODES)


def test_every_code_of_the_table_is_used_by_the_source() -> None:
    nodes = (node for name, tree in trees().items() if name != "findings.py" for node in ast.walk(tree))
    constants = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert set(CODES) <= constants


def test_the_document_is_the_table() -> None:
    page = (ROOT / "docs" / "finding-codes.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", page, re.M)
    assert rows == [(code, known.severity, known.meaning) for code, known in CODES.items()]


# Properties.


@given(st.lists(st.integers(1, 60), max_size=40))
def test_lines_are_told_as_runs_whatever_their_order(numbers: list[int]) -> None:
    kept = findings.Lines()
    for number in numbers:
        kept.add(number)
    told: set[int] = set()
    for piece in filter(None, str(kept).split(",")):
        first, _, last = piece.partition("-")
        told |= set(range(int(first), int(last or first) + 1))
    assert told == set(numbers)
    assert str(kept).count(",") + 1 == len(kept.merged()) or not numbers


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.one_of(
        st.binary(max_size=300),
        st.lists(
            st.sampled_from(
                [
                    b"{",
                    b"}",
                    b'"',
                    b"\\",
                    b"\n",
                    b"\r",
                    b"\xff",
                    b"a",
                    b":",
                    b",",
                    b"[",
                    b'{"input_text":"a","output_text":"b"}',
                    b"\x1f\x8b",
                    b"\0",
                ]
            ),
            max_size=40,
        ).map(b"".join),
    )
)
def test_any_bytes_at_all_give_a_report_that_can_be_written(desk: Desk, data: bytes) -> None:
    report = check(desk.write(data))
    json.dumps(report.to_json(), ensure_ascii=False).encode("utf-8")
    assert not report.valid or report.examples >= 10


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bad=st.sets(st.integers(1, 60)), end=st.sampled_from([b"\n", b"\r\n"]), compressed=st.booleans())
def test_exactly_the_bad_lines_are_named(desk: Desk, bad: set[int], end: bytes, compressed: bool) -> None:
    rows = [example(i, output_text="" if i in bad else f"x{i}") for i in range(1, 61)]
    data = lines(rows).replace(b"\n", end)
    report = check(desk.write(gzip.compress(data) if compressed else data))
    numbers = findings.Lines()
    for line in sorted(bad):
        numbers.add(line)
    assert report.statistics["codes"].get("empty_text", {"lines": ""})["lines"] == str(numbers)
    assert report.valid == (not bad)
