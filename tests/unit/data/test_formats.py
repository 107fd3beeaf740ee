"""Each accepted form, read back byte for byte, and each fault of a row with its code and field."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.formats import Conversation, Problem, detect, parse, parse_row, read, unknown_keys
from tunesmith.data.lines import ReadingLimits, read_lines
from tunesmith.errors import InvalidArgument

# The two kinds of sample rows of the reference page, in our own words: fences, mixed line ends, tabs, braces, CJK.
FENCED = (
    'Here is a sketch:\r\n\r\n```python\nimport shelf\n\n\ndef label(box: dict) -> str:\n\t"""Names a box."""\r\n'
    '\treturn f"{box[\'id\']}: {{{box.get("size", 0)}}}"\n```\r\n\r\n'
    "It prints \u300c\u68da\u300d\u2028and \u0085 ends.\\n"
)
TEXT = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1).filter(lambda t: t.strip())


def one(row: dict[str, Any]) -> Conversation:
    form = detect(row)
    assert isinstance(form, str), form
    found = parse(row, 1, form)
    assert isinstance(found, Conversation), found
    return found


def faults(row: dict[str, Any]) -> list[tuple[str, str]]:
    form = detect(row)
    if isinstance(form, Problem):
        return [(form.code, form.field)]
    found = parse(row, 1, form)
    assert not isinstance(found, Conversation)
    return [(problem.code, problem.field) for problem in found]


@given(TEXT, TEXT)
def test_every_form_keeps_prompt_and_answer(prompt: str, answer: str) -> None:
    rows: list[dict[str, Any]] = [
        {"input_text": prompt, "output_text": answer},
        {"messages": [{"author": "user", "content": prompt}, {"author": "assistant", "content": answer}]},
        {"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]},
        {"contents": [{"role": "user", "parts": [{"text": prompt}]}, {"role": "model", "parts": [{"text": answer}]}]},
        {"instruction": prompt, "output": answer},
        {"conversations": [{"from": "human", "value": prompt}, {"from": "gpt", "value": answer}]},
        {"prompt": prompt, "completion": answer},
    ]
    for row in rows:
        back = parse_row(json.dumps(row).encode())
        assert isinstance(back, dict)
        found = one(back)
        assert [(m.author, m.content, m.trainable) for m in found.messages] == [
            ("user", prompt, False),
            ("assistant", answer, True),
        ]


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_sample_rows_survive_byte_for_byte(tmp_path: Path, ascii_only: bool, line_end: str) -> None:
    rows = [{"input_text": f"{FENCED}{i}", "output_text": f"{i}{FENCED}"} for i in range(3)]
    text = line_end.join(json.dumps(row, ensure_ascii=ascii_only) for row in rows)
    (tmp_path / "dataset").write_bytes(text.encode())
    found = list(read(tmp_path / "dataset"))
    assert [c.line for c in found] == [1, 2, 3]
    assert [[m.content for m in c.messages] for c in found] == [[r["input_text"], r["output_text"]] for r in rows]


def test_gzip_is_told_by_content_and_not_by_name(tmp_path: Path) -> None:
    row = json.dumps({"input_text": "a", "output_text": "b"}).encode() + b"\n"
    (tmp_path / "rows").write_bytes(gzip.compress(row) + gzip.compress(row))
    assert [c.line for c in read(tmp_path / "rows")] == [1, 2]


def test_a_gzip_cut_in_half_is_named(tmp_path: Path) -> None:
    data = gzip.compress(
        b"".join(json.dumps({"input_text": str(i), "output_text": "b"}).encode() + b"\n" for i in range(99))
    )
    (tmp_path / "rows").write_bytes(data[: len(data) // 2])
    assert [raw.problem.code for raw in read_lines(tmp_path / "rows") if raw.problem] == ["gzip_truncated"]


def test_a_gzip_bomb_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(gzip.compress(b"\n" * (64 << 20)))
    assert [raw.problem.code for raw in read_lines(tmp_path / "rows") if raw.problem] == ["gzip_bomb"]


def test_a_row_over_the_limit_does_not_hide_the_next(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(b"x" * 5000 + b"\n{}\n")
    found = list(read_lines(tmp_path / "rows", ReadingLimits(line_bytes=1000)))
    assert [(raw.number, raw.problem and raw.problem.code, raw.data) for raw in found] == [
        (1, "row_too_large", b""),
        (2, None, b"{}"),
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"a": 1,}', "trailing_comma"),
        ("{'a': 1}", "single_quotes"),
        ('{"a": NaN}', "not_a_number"),
        ('{"a": 1, "a": 2}', "duplicate_key"),
        ("[1, 2]", "json_array"),
        ('"text"', "not_an_object"),
        ('{"a": "\t"}', "control_character"),
        ('{"a": 1', "not_json"),
        ('{"a":' * 100_000, "too_deep"),
        ("[" * 100_000, "too_deep"),
    ],
)
def test_what_is_not_json_has_a_code(text: str, code: str) -> None:
    found = parse_row(text.encode())
    assert isinstance(found, Problem)
    assert found.code == code


def test_brackets_inside_texts_are_not_depth() -> None:
    assert isinstance(parse_row(json.dumps({"a": "[{" * 1000}).encode()), dict)


def test_invalid_utf8_names_the_byte() -> None:
    found = parse_row(b'{"a": "\xe9"}')
    assert isinstance(found, Problem)
    assert (found.code, found.message) == ("invalid_utf8", "byte 8 (0xe9) is not UTF-8")


USER = {"author": "user", "content": "q"}
ANSWER = {"author": "assistant", "content": "a"}


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"input_text": "a"}, [("missing_field", "output_text")]),
        ({"input_text": None, "output_text": 5}, [("not_text", "input_text"), ("not_text", "output_text")]),
        ({"input_text": "", "output_text": " \n"}, [("empty_text", "input_text"), ("blank_text", "output_text")]),
        ({"input_text": "\ud800", "output_text": "b"}, [("lone_surrogate", "input_text")]),
        ({"messages": []}, [("empty_messages", "messages")]),
        ({"messages": [ANSWER, USER, ANSWER]}, [("starts_with_assistant", "messages[0]")]),
        ({"messages": [USER, USER, ANSWER]}, [("same_author_twice", "messages[1]")]),
        ({"messages": [USER, {"author": "bot", "content": "a"}]}, [("unknown_author", "messages[1].author")]),
        ({"messages": [USER, ANSWER, USER]}, [("ends_with_user", "messages[2]")]),
        ({"messages": [USER, ANSWER], "context": 5}, [("not_text", "context")]),
        ({"messages": [USER, {"author": "assistant"}]}, [("missing_field", "messages[1].content")]),
        ({"messages": "hello"}, [("not_a_list", "messages")]),
        (
            {"messages": [{"role": "user", "content": "q"}, {"role": "tool", "content": "a"}]},
            [("unknown_author", "messages[1].role")],
        ),
        ({"messages": [{"role": "user", "author": "user", "content": "q"}]}, [("ambiguous_format", "messages")]),
        ({"prompt": "a", "completion": "b", "input_text": "c", "output_text": "d"}, [("ambiguous_format", "")]),
        ({"question": "a"}, [("unknown_format", "")]),
        ({"prefix": "a", "suffix": "", "middle": ""}, [("empty_text", "middle")]),
    ],
)
def test_each_fault_of_a_row_has_code_and_field(row: dict[str, Any], wanted: list[tuple[str, str]]) -> None:
    assert faults(row) == wanted


def test_weight_zero_is_not_learnt() -> None:
    turns = [("user", 1), ("assistant", 0), ("user", 1), ("assistant", 1)]
    row = {"messages": [{"role": role, "content": "x", "weight": weight} for role, weight in turns]}
    assert [m.trainable for m in one(row).messages] == [False, False, False, True]


def test_a_context_may_be_absent_empty_or_given() -> None:
    assert one({"messages": [USER, ANSWER]}).context is None
    assert one({"messages": [USER, ANSWER], "context": ""}).context == ""
    system = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a"},
    ]
    assert one({"messages": system}).context == "s"


def test_a_misspelt_key_is_named_with_the_known_one() -> None:
    assert unknown_keys({"input_text": "a", "output_text": "b", "evaluation_data_uri:": 1}, "vertex-generation") == [
        "evaluation_data_uri:"
    ]
    found = detect({"input_txt": "a", "outputtext": "b"})
    assert isinstance(found, Problem)
    assert "did you mean input_text by input_txt?" in found.remedy


def test_reading_an_unchecked_file_stops_at_the_first_fault_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text('{"input_text": "a", "output_text": "b"}\n\n{"input_text": "a"}\n')
    with pytest.raises(InvalidArgument, match="line 3, output_text: is missing"):
        list(read(tmp_path / "rows"))
