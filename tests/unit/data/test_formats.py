"""Forms: what is written is what is read, of every form, and whatever is wrong has a code, a field and a remedy."""

from __future__ import annotations

import gzip
import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.formats import (
    KEYS,
    MAX_DEPTH,
    Conversation,
    Fim,
    Format,
    Message,
    detect,
    parse,
    parse_row,
    read,
    unknown_keys,
)
from tunesmith.data.lines import Problem
from tunesmith.errors import InvalidArgument, NotFound

Row = dict[str, Any]
_ROOT = Path(__file__).parents[3]

# Two answers in our own words with all that the reference product's samples hold (S12).
_SHELVES = (
    "Here is one way to do it.\n\n```python\r\ndef shelf_label(shelf: dict[str, int]) -> str:\r\n"
    '\t"""Says \\"full\\" when nothing more fits.\r\n\r\n\r\n\tNever raises."""\r\n'
    "\tfree = {k: v for k, v in shelf.items() if v}\r\n\treturn f\"{shelf['name']!r}: {len(free):>3}\"\r\n```\n"
)
_TIDES = (
    "# \u6f6e\u6c50\u8868\u2028next\u0085line \U0001f30a e\u0301\n\n* `tide`\t\u00b7 3 m\r\n\n"
    "```sql\nSELECT *\r\n  FROM tides -- {not} a \\n field\n WHERE place = 'D\u00fcne' AND n <> \"\\\\\";\n```\r\n  \n"
)
_TEXTS = [
    _SHELVES,
    _TIDES,
    " a",
    "a ",
    "\ta\r",
    "\r\n\r\na",
    "<|im_end|>",
    "a\u200bb\u202e",
    "\x00",
    "\x7f\ufeff",
    '\\"',
]
_QUESTION = "Write the code in Python: label a shelf."

_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(lambda text: text.strip())
_any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
_turns = st.lists(st.tuples(_text, _text), min_size=1, max_size=4)
_system = st.none() | _any_text


def _openai(turns: list[tuple[str, str]], system: str | None = None) -> list[Row]:
    first = [] if system is None else [{"role": "system", "content": system}]
    return first + [
        {"role": r, "content": c} for pair in turns for r, c in zip(("user", "assistant"), pair, strict=True)
    ]


def _vertex(turns: list[tuple[str, str]], system: str | None = None) -> Row:
    messages = [{"author": turn["role"], "content": turn["content"]} for turn in _openai(turns)]
    return {"messages": messages} if system is None else {"context": system, "messages": messages}


def _gemini(turns: list[tuple[str, str]], system: str | None = None) -> Row:
    contents = [{"role": r, "parts": [{"text": c}]} for p in turns for r, c in zip(("user", "model"), p, strict=True)]
    row: Row = {"contents": contents}
    return row if system is None else {"systemInstruction": {"parts": [{"text": system}]}, **row}


def _sharegpt(turns: list[tuple[str, str]], system: str | None = None) -> Row:
    first = [] if system is None else [{"from": "system", "value": system}]
    return {
        "conversations": first
        + [{"from": f, "value": v} for pair in turns for f, v in zip(("human", "gpt"), pair, strict=True)]
    }


def _chat(turns: list[tuple[str, str]], context: str | None = None, line: int = 1) -> Conversation:
    messages = tuple(m for q, a in turns for m in (Message("user", q, False), Message("assistant", a, True)))
    return Conversation(line, "chat", context, messages)


def _pair(question: str, answer: str, line: int = 1) -> Conversation:
    messages = (Message("user", question, False), Message("assistant", answer, True))
    return Conversation(line, "generation", None, messages)


def _row(value: Any, *, ascii_only: bool = True) -> Row:
    row = parse_row(json.dumps(value, ensure_ascii=ascii_only).encode())
    assert isinstance(row, dict)
    return row


def _through(row: Row, *, ascii_only: bool = True) -> tuple[Format | Problem, Conversation | list[Problem]]:
    """Writes the row as a line, and reads it."""
    found = _row(row, ascii_only=ascii_only)
    form = detect(found)
    assert not isinstance(form, Problem), form
    return form, parse(found, 1, form)


def _faults(row: Row) -> list[tuple[str, str]]:
    form = detect(row)
    if isinstance(form, Problem):
        return [(form.code, form.field)]
    found = parse(row, 1, form)
    assert isinstance(found, list), "the row was accepted"
    assert all(problem.message and problem.remedy for problem in found)
    return [(problem.code, problem.field) for problem in found]


def _problem(data: bytes) -> Problem:
    found = parse_row(data)
    assert isinstance(found, Problem), "the line was accepted"
    return found


@contextmanager
def _at_once() -> Iterator[None]:
    """Ends a computation that grows with the square of its input; what is linear takes a hundredth of this."""

    def stop(*_: Any) -> None:
        raise TimeoutError("still running after 20 s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(20)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# What is written is what is read.


@given(question=_text, answer=_text, ascii_only=st.booleans())
def test_generation_rows_are_read_as_they_were_written(question: str, answer: str, ascii_only: bool) -> None:
    found = _through({"input_text": question, "output_text": answer}, ascii_only=ascii_only)
    assert found == ("vertex-generation", _pair(question, answer))


@given(turns=_turns, system=_system, ascii_only=st.booleans())
def test_chats_with_authors_are_read_as_they_were_written(
    turns: list[tuple[str, str]], system: str | None, ascii_only: bool
) -> None:
    assert _through(_vertex(turns, system), ascii_only=ascii_only) == ("vertex-chat", _chat(turns, system))


@given(turns=_turns, system=_system, ascii_only=st.booleans())
def test_chats_with_roles_are_read_as_they_were_written(
    turns: list[tuple[str, str]], system: str | None, ascii_only: bool
) -> None:
    row = {"messages": _openai(turns, system)}
    assert _through(row, ascii_only=ascii_only) == ("openai-chat", _chat(turns, system))


@given(turns=_turns, system=_system, ascii_only=st.booleans())
def test_gemini_rows_are_read_as_they_were_written(
    turns: list[tuple[str, str]], system: str | None, ascii_only: bool
) -> None:
    assert _through(_gemini(turns, system), ascii_only=ascii_only) == ("gemini", _chat(turns, system))


@given(turns=_turns, system=_system, ascii_only=st.booleans())
def test_sharegpt_rows_are_read_as_they_were_written(
    turns: list[tuple[str, str]], system: str | None, ascii_only: bool
) -> None:
    assert _through(_sharegpt(turns, system), ascii_only=ascii_only) == ("sharegpt", _chat(turns, system))


@given(question=_text, answer=_text, ascii_only=st.booleans())
def test_prompts_and_completions_are_read_as_they_were_written(question: str, answer: str, ascii_only: bool) -> None:
    found = _through({"prompt": question, "completion": answer}, ascii_only=ascii_only)
    assert found == ("prompt-completion", _pair(question, answer))


@given(prefix=_any_text, suffix=_any_text, middle=_text, ascii_only=st.booleans())
def test_holes_are_read_as_they_were_written(prefix: str, suffix: str, middle: str, ascii_only: bool) -> None:
    found = _through({"prefix": prefix, "suffix": suffix, "middle": middle}, ascii_only=ascii_only)
    assert found == ("fim", Conversation(1, "fim", None, (), Fim(prefix, suffix, middle)))


@given(instruction=_text, extra=_any_text, output=_text)
def test_instruction_and_input_are_joined_by_an_empty_line(instruction: str, extra: str, output: str) -> None:
    prompt = instruction + "\n\n" + extra if extra else instruction
    found = _through({"instruction": instruction, "input": extra, "output": output})
    assert found == ("alpaca", _pair(prompt, output))


@pytest.mark.parametrize("row", [{}, {"input": None}, {"input": ""}], ids=["missing", "null", "empty"])
def test_an_instruction_without_input_stands_alone(row: Row) -> None:
    assert _through({"instruction": "q", "output": "a", **row}) == ("alpaca", _pair("q", "a"))


@pytest.mark.parametrize("text", _TEXTS, ids=ascii)
def test_texts_survive_byte_for_byte_in_every_form(tmp_path: Path, text: str) -> None:  # S12
    rows: list[Row] = [
        {"input_text": _QUESTION, "output_text": text},
        _vertex([(_QUESTION, text)]),
        {"messages": _openai([(_QUESTION, text)])},
        _gemini([(_QUESTION, text)]),
        {"instruction": _QUESTION, "output": text},
        _sharegpt([(_QUESTION, text)]),
        {"prompt": _QUESTION, "completion": text},
        {"prefix": _QUESTION, "suffix": "", "middle": text},
    ]
    read_back = set()
    for row in rows:
        file = tmp_path / "row"
        file.write_bytes(json.dumps(row, ensure_ascii=False).encode() + b"\r\n")
        (example,) = read(file)
        answer = example.fim.middle if example.fim else example.messages[-1].content
        read_back.add(answer.encode())
    assert read_back == {text.encode()}


def test_the_forms_tested_here_are_all_there_are() -> None:
    assert set(KEYS) == set(get_args(Format))
    assert len(KEYS) == 8


# Chats.


def test_a_missing_context_differs_from_an_empty_one() -> None:  # S15
    given_none = parse(_vertex([("q", "a")]), 1, "vertex-chat")
    given_empty = parse(_vertex([("q", "a")], ""), 1, "vertex-chat")
    assert isinstance(given_none, Conversation)
    assert isinstance(given_empty, Conversation)
    assert (given_none.context, given_empty.context) == (None, "")


def test_weight_0_leaves_an_answer_out_and_null_is_no_weight() -> None:
    turns = _openai([("q", "a"), ("q", "b"), ("q", "c"), ("q", "d")])
    for turn, weight in zip(turns[1::2], [0, 1, None, 0], strict=True):
        turn["weight"] = weight
    found = parse({"messages": turns}, 1, "openai-chat")
    assert isinstance(found, Conversation)
    assert [message.trainable for message in found.messages] == [False, False, False, True, False, True, False, False]


def test_the_developer_speaks_as_the_system() -> None:
    row = {"messages": [{"role": "developer", "content": "be brief"}, *_openai([("q", "a")])]}
    assert _through(row) == ("openai-chat", _chat([("q", "a")], "be brief"))


def test_text_parts_are_joined_with_nothing_between_them() -> None:
    parts = [{"type": "text", "text": "a\n"}, {"type": "text", "text": " b"}]
    row: Row = {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "c"}]}
    assert _through(row) == ("openai-chat", _chat([("a\n b", "c")]))
    row = _gemini([("", "c")])
    row["contents"][0]["parts"] = [{"text": "a\n"}, {"text": " b"}]
    assert _through(row) == ("gemini", _chat([("a\n b", "c")]))


@pytest.mark.parametrize("key", ["systemInstruction", "system_instruction"])
def test_a_system_instruction_may_be_spelled_either_way(key: str) -> None:
    row = {key: {"role": "system", "parts": [{"text": "be brief"}]}, **_gemini([("q", "a")])}
    assert _through(row) == ("gemini", _chat([("q", "a")], "be brief"))


def test_of_lists_of_messages_only_the_completion_is_learnt() -> None:
    turns = _openai([("q", "a"), ("r", "b")], "s")
    found = parse({"prompt": turns[:4], "completion": turns[4:]}, 1, "prompt-completion")
    assert isinstance(found, Conversation)
    assert (found.kind, found.context) == ("chat", "s")
    assert [(m.content, m.trainable) for m in found.messages] == [("q", False), ("a", False), ("r", False), ("b", True)]


def test_nulls_that_exports_write_are_no_tools() -> None:
    turns = [{**turn, "tool_calls": None, "function_call": None, "name": None} for turn in _openai([("q", "a")])]
    row = {"messages": turns, "tools": [], "functions": None}
    assert _through(row) == ("openai-chat", _chat([("q", "a")]))
    assert unknown_keys(row, "openai-chat") == []


# Faults of chats (A14), each with its place.


def _said(*turns: tuple[Any, Any]) -> Row:
    return {"messages": [{"author": author, "content": content} for author, content in turns]}


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"messages": []}, [("empty_messages", "messages")]),
        ({"messages": None}, [("not_a_list", "messages")]),
        ({"messages": "hello"}, [("not_a_list", "messages")]),
        ({"messages": ["hello"]}, [("not_an_object", "messages[0]")]),
        (_said(("assistant", "a"), ("user", "q"), ("assistant", "a")), [("starts_with_assistant", "messages[0]")]),
        (_said(("user", "q"), ("user", "q"), ("assistant", "a")), [("same_author_twice", "messages[1]")]),
        (_said(("user", "q"), ("assistant", "a"), ("assistant", "a")), [("same_author_twice", "messages[2]")]),
        (_said(("user", "q"), ("bot", "a")), [("unknown_author", "messages[1].author")]),
        (_said(("user", "q"), ("Assistant", "a")), [("unknown_author", "messages[1].author")]),
        (_said(("system", "s"), ("user", "q"), ("assistant", "a")), [("unknown_author", "messages[0].author")]),
        (_said(("user", "q"), (None, "a")), [("not_text", "messages[1].author")]),
        (_said(("user", "q"), ("assistant", "a"), ("user", "q")), [("ends_with_user", "messages[2]")]),
        (_said(("user", "q")), [("ends_with_user", "messages[0]")]),
        (_said(("user", ""), ("assistant", "a")), [("empty_text", "messages[0].content")]),
        (_said(("user", "q"), ("assistant", " \n\t\u3000")), [("blank_text", "messages[1].content")]),
        (_said(("user", 7), ("assistant", None)), [("not_text", f"messages[{i}].content") for i in range(2)]),
        (_said(("user", ["q"]), ("assistant", "a")), [("not_text", "messages[0].content")]),
        ({**_said(("user", "q"), ("assistant", "a")), "context": 5}, [("not_text", "context")]),
        ({**_said(("user", "q"), ("assistant", "a")), "context": "\ud800"}, [("lone_surrogate", "context")]),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_a_fault_of_a_chat_has_its_code_and_its_message(row: Row, wanted: list[tuple[str, str]]) -> None:
    assert _faults(row) == wanted


def test_a_message_without_its_keys_is_told_which() -> None:
    row = {"messages": [{"author": "user"}, {"content": "a"}]}
    assert _faults(row) == [("missing_field", "messages[0].content"), ("missing_field", "messages[1].author")]


def test_all_faults_of_a_row_are_told_at_once() -> None:
    row = _said(("assistant", ""), ("bot", 3), ("user", "q"), ("user", " "))
    assert _faults(row) == [
        ("empty_text", "messages[0].content"),
        ("unknown_author", "messages[1].author"),
        ("not_text", "messages[1].content"),
        ("blank_text", "messages[3].content"),
        ("starts_with_assistant", "messages[0]"),
        ("same_author_twice", "messages[3]"),
        ("ends_with_user", "messages[3]"),
    ]


@pytest.mark.parametrize(
    ("row", "field", "name"),
    [
        (_said(("user", "q"), ("bot", "a")), "messages[1].author", '"assistant"'),
        (_said(("Human", "q"), ("assistant", "a")), "messages[0].author", '"user"'),
        (_said(("system", "s"), ("user", "q"), ("assistant", "a")), "messages[0].author", "context"),
        ({"contents": [{"role": "assistant", "parts": [{"text": "a"}]}]}, "contents[0].role", '"model"'),
        ({"contents": [{"role": "system", "parts": [{"text": "a"}]}]}, "contents[0].role", "systemInstruction"),
        ({"conversations": [{"from": "bot", "value": "a"}]}, "conversations[0].from", '"gpt"'),
        (_said(("nobody", "q")), "messages[0].author", "one of user, assistant"),
    ],
)
def test_the_remedy_for_an_author_is_the_name_in_that_form(row: Row, field: str, name: str) -> None:
    form = detect(row)
    assert not isinstance(form, Problem)
    found = parse(row, 1, form)
    assert isinstance(found, list)
    assert [name in problem.remedy for problem in found if problem.field == field] == [True]


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"tools": [{"type": "function"}]}, ("tools_unsupported", "tools")),
        ({"functions": [{"name": "f"}]}, ("tools_unsupported", "functions")),
        ({"messages": [*_openai([("q", "a")]), {"role": "system", "content": "s"}]}, ("late_system", "messages[2]")),
        ({"messages": [{"role": "system", "content": "s"}]}, ("empty_messages", "messages")),
        (
            {"messages": [*_openai([("q", "a")]), {"role": "tool", "content": "1"}]},
            ("tools_unsupported", "messages[2].role"),
        ),
        (
            {
                "messages": [
                    _openai([("q", "a")])[0],
                    {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
                ]
            },
            ("tools_unsupported", "messages[1].tool_calls"),
        ),
        (
            {"messages": [_openai([("q", "a")])[0], {"role": "assistant", "content": "a", "weight": 0}]},
            ("nothing_to_learn", "messages"),
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {}}]},
                    *_openai([("q", "a")])[1:],
                ]
            },
            ("not_text", "messages[0].content[0]"),
        ),
        (
            {"messages": [{"role": "user", "content": []}, *_openai([("q", "a")])[1:]]},
            ("empty_text", "messages[0].content"),
        ),
        ({"context": "be brief"}, ("ambiguous_format", "context")),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_what_roles_can_say_and_cannot_be_learnt_is_refused(change: Row, wanted: tuple[str, str]) -> None:
    assert _faults({"messages": _openai([("q", "a")]), **change}) == [wanted]


@pytest.mark.parametrize("weight", [2, -1, 0.5, "1", True, False, [], {}])
def test_a_weight_is_0_or_1(weight: Any) -> None:
    turns = _openai([("q", "a"), ("r", "b")])
    turns[1]["weight"] = weight
    assert _faults({"messages": turns}) == [("bad_weight", "messages[1].weight")]


def test_a_question_is_not_learnt_whatever_its_weight() -> None:
    turns = [{**turn, "weight": 1} for turn in _openai([("q", "a")], "s")]
    assert _through({"messages": turns}) == ("openai-chat", _chat([("q", "a")], "s"))


@pytest.mark.parametrize(
    "part",
    [{"inlineData": {"data": ""}}, {"text": "hm", "thought": True}, {"text": 5}, "text", None, {"functionCall": {}}],
    ids=ascii,
)
def test_parts_that_are_not_all_text_are_refused(part: Any) -> None:
    row = _gemini([("q", "a")])
    row["contents"][1]["parts"].append(part)
    assert _faults(row) == [("not_text", "contents[1].parts[1]")]


def test_half_characters_of_two_parts_are_no_character() -> None:
    row = _gemini([("q", "a")])
    row["contents"][1]["parts"] = [{"text": "\ud83d"}, {"text": "\ude00"}]
    assert _faults(row) == [("lone_surrogate", "contents[1].parts")]


def test_two_system_texts_are_one_too_many() -> None:
    row = {**_sharegpt([("q", "a")], "one"), "system": "two"}
    assert _faults(row) == [("late_system", "conversations[0]")]
    row = {**_gemini([("q", "a")], "one"), "system_instruction": "two"}
    assert _faults(row) == [("late_system", "system_instruction")]


@pytest.mark.parametrize(
    ("prompt", "completion", "wanted"),
    [
        (_openai([("q", "a")]), [], [("empty_messages", "completion")]),
        (_openai([("q", "a")]), _openai([("r", "b")])[1:], [("same_author_twice", "completion[0]")]),
        ([], _openai([("q", "a")])[1:], [("empty_messages", "prompt"), ("starts_with_assistant", "completion[0]")]),
        (_openai([("q", "a")])[:1], "a", [("not_a_list", "completion")]),
        ("q", _openai([("q", "a")])[1:], [("not_a_list", "prompt"), ("starts_with_assistant", "completion[0]")]),
        (
            _openai([("q", "a")])[:1],
            [{"role": "assistant", "content": "a", "weight": 0}],
            [("nothing_to_learn", "completion")],
        ),
    ],
)
def test_prompts_without_a_completion_to_learn_are_refused(
    prompt: Any, completion: Any, wanted: list[tuple[str, str]]
) -> None:
    found = _faults({"prompt": prompt, "completion": completion})
    assert [fault for fault in found if fault[0] != "ends_with_user"] == wanted


# Faults of texts (A11, A12).


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "not_text"),
        (7, "not_text"),
        (True, "not_text"),
        ({}, "not_text"),
        ("", "empty_text"),
        (" \r\n\t\u00a0", "blank_text"),
        ("a\ud83d", "lone_surrogate"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"input_text": "q", "output_text": "a"}, "input_text"),
        ({"input_text": "q", "output_text": "a"}, "output_text"),
        ({"instruction": "q", "output": "a"}, "instruction"),
        ({"instruction": "q", "output": "a"}, "output"),
        ({"prompt": "q", "completion": "a"}, "completion"),
        ({"prefix": "p", "suffix": "s", "middle": "m"}, "middle"),
    ],
    ids=str,
)
def test_a_text_that_cannot_be_learnt_is_refused(row: Row, field: str, value: Any, code: str) -> None:
    assert _faults({**row, field: value}) == [(code, field)]


@pytest.mark.parametrize("field", ["prefix", "suffix"])
def test_what_is_around_a_hole_may_be_empty_but_must_be_there(field: str) -> None:
    row = {"prefix": "p", "suffix": "s", "middle": "m"}
    assert isinstance(parse({**row, field: ""}, 1, "fim"), Conversation)
    del row[field]
    assert _faults(row) == [("missing_field", field)]


# One row of each form.
_ROWS: dict[str, Row] = {
    "vertex-generation": {"input_text": "q", "output_text": "a"},
    "vertex-chat": _vertex([("q", "a")], "s"),
    "openai-chat": {"messages": _openai([("q", "a")], "s")},
    "gemini": _gemini([("q", "a")], "s"),
    "alpaca": {"instruction": "q", "input": "", "output": "a"},
    "sharegpt": _sharegpt([("q", "a")], "s"),
    "prompt-completion": {"prompt": "q", "completion": "a"},
    "fim": {"prefix": "", "suffix": "", "middle": "m"},
}


@given(context=st.text(st.characters(exclude_categories=["Cs"])), order=st.sampled_from(["psm", "spm"]))
def test_a_hole_may_have_a_context_and_an_order(context: str, order: Any) -> None:
    row = {"prefix": "p", "suffix": "s", "middle": "m", "context": context, "order": order}
    found = parse(row, 1, "fim")
    assert isinstance(found, Conversation)
    assert found.fim == Fim("p", "s", "m", context, order)
    assert found.context is None
    assert unknown_keys(row, "fim") == []


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"order": "mps"}, ("bad_order", "order")),
        ({"order": 1}, ("bad_order", "order")),
        ({"order": ["psm"]}, ("bad_order", "order")),
        ({"context": 1}, ("not_text", "context")),
        ({"context": "\ud83d"}, ("lone_surrogate", "context")),
    ],
)
def test_a_wrong_context_or_order_of_a_hole_is_named(row: Row, fault: tuple[str, str]) -> None:
    assert _faults({"prefix": "p", "suffix": "s", "middle": "m", **row}) == [fault]


def test_null_in_a_hole_is_left_out() -> None:
    found = parse({"prefix": "p", "suffix": "s", "middle": "m", "context": None, "order": None}, 1, "fim")
    assert isinstance(found, Conversation)
    assert found.fim == Fim("p", "s", "m")


@pytest.mark.parametrize("other", [form for form in get_args(Format) if form != "fim"])
def test_holes_may_stand_among_the_rows_of_one_other_form(other: Format, tmp_path: Path) -> None:
    hole, row = {"prefix": "p", "suffix": "s", "middle": "m"}, _ROWS[other]
    for number, order in enumerate([(hole, row, hole), (row, hole, row), (hole, hole, row)]):
        path = tmp_path / f"{number}.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in order))
        assert [found.fim is not None for found in read(path)] == [one is hole for one in order]


def test_two_other_forms_are_refused_also_with_holes_between_them(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    rows = [_ROWS["vertex-generation"], {"prefix": "p", "suffix": "s", "middle": "m"}, _ROWS["prompt-completion"]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InvalidArgument, match="line 3: a prompt-completion row in a file of vertex-generation rows"):
        list(read(path))


def test_a_missing_field_that_is_misspelt_is_recognised() -> None:
    (problem,) = parse({"input_text": "q", "ouput_text": "a"}, 1, "vertex-generation")  # type: ignore[misc]
    assert problem == ("missing_field", "output_text", "is missing", "did you mean output_text by ouput_text?")


@pytest.mark.parametrize("text", ["\ud83d", "a\udc00b", "\ude00\ud83d"], ids=ascii)
def test_half_a_character_is_told_with_its_place(text: str) -> None:
    row = _row({"input_text": "q", "output_text": text})
    (problem,) = parse(row, 1, "vertex-generation")  # type: ignore[misc]
    assert (problem.code, problem.field) == ("lone_surrogate", "output_text")
    assert f"character {2 if text[0] == 'a' else 1} " in problem.message


# Forms.


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({}, "unknown_format"),
        ({"question": 1, "answer": 2}, "unknown_format"),
        ({"input_text": "q", "output_text": "a", "prompt": "q", "completion": "a"}, "ambiguous_format"),
        ({"input_text": "q", "output_text": "a", **_vertex([("q", "a")])}, "ambiguous_format"),
        ({"input_text": "q", "completion": "a"}, "ambiguous_format"),
        ({"messages": [{"author": "user", "role": "user", "content": "q"}]}, "ambiguous_format"),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "preference_data"),
    ],
    ids=ascii,
)
def test_keys_of_no_form_or_of_several_are_named(row: Row, code: str) -> None:
    found = detect(row)
    assert isinstance(found, Problem)
    assert found.code == code
    assert all(key in found.message for key in row) or found.field == "messages"


def test_an_unknown_form_is_told_what_the_accepted_ones_are() -> None:
    found = detect({"inputtext": "q"})
    assert isinstance(found, Problem)
    assert found.remedy.startswith("did you mean input_text by inputtext?")
    assert all(name in found.remedy for name in KEYS)


@pytest.mark.parametrize("row", [{"input_text": "q"}, {"output_text": "a", "input": "q"}])
def test_half_a_row_is_of_the_form_that_it_begins(row: Row) -> None:
    assert detect(row) == "vertex-generation"


def test_other_keys_do_not_change_the_form() -> None:
    assert detect({"id": 1, "prompt": "q", "messages": _openai([("q", "a")])}) == "openai-chat"


@pytest.mark.parametrize("form", get_args(Format))
def test_keys_that_nothing_reads_are_listed_and_no_fault(form: Format) -> None:
    row = _ROWS[form]
    assert unknown_keys(row, form) == []
    more = {"id": 1, **row, "labels": ["x"]}
    assert unknown_keys(more, form) == ["id", "labels"]
    assert isinstance(parse(more, 1, form), Conversation)


def test_keys_of_messages_that_nothing_reads_are_listed_with_their_place() -> None:
    turns = _openai([("q", "a"), ("r", "b")])
    turns[3]["weights"] = 0
    assert unknown_keys({"messages": turns}, "openai-chat") == ["messages[3].weights"]
    assert unknown_keys({"prompt": turns[:3], "completion": turns[3:]}, "prompt-completion") == [
        "completion[0].weights"
    ]


def test_keys_are_shown_harmlessly() -> None:
    (name,) = unknown_keys(
        {"input_text": "q", "output_text": "a", "\x1b[2J\u202e" + "k" * 1000: 1}, "vertex-generation"
    )
    assert name.isprintable()
    assert len(name) <= 40


# JSON (A6, A10, A17).


@pytest.mark.parametrize(
    ("line", "code", "place"),
    [
        (b'{"a": 1,}', "trailing_comma", "column 8"),
        (b'{"a": [1, ]}', "trailing_comma", "column 9"),
        (b'{"a": 1},', "trailing_comma", "column 9"),
        (b"{'a': 1}", "single_quotes", "column 2"),
        (b"{\"a\": 'b'}", "single_quotes", "column 7"),
        (b'{"a": NaN}', "not_a_number", "column 7: NaN"),
        (b'{"NaN": "NaN", "a": -Infinity}', "not_a_number", "column 21: -Infinity"),
        (b'{"a": 1, "b": {"a": 2, "a": 3}}', "duplicate_key", "column 24"),
        ('{"\u00fc": 1, "\\u00fc": 3}'.encode(), "duplicate_key", "column 10"),
        (b'{"a": True}', "python_literal", "column 7: True"),
        (b'{"a": None}', "python_literal", "column 7: None"),
        (b'{"a": "x\ty"}', "control_character", "column 9: control character U+0009"),
        (b'{"a": "C:\\dir"}', "not_json", "column 10"),
        (b'{"a": "x', "unfinished_row", "column 7"),
        (b"{", "unfinished_row", "column 2"),
        (b'{"a": 1} {"a": 2}', "several_values", "column 10"),
        (b"\xef\xbb\xbf{}", "inner_byte_order_mark", "column 1"),
        (b"{a: 1}", "not_json", "column 2"),
        (b'[{"a": 1}]', "json_array", ""),
        (b"7", "not_an_object", "a number"),
        (b"null", "not_an_object", "null"),
        (b'"text"', "not_an_object", "a text"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not_json", "4,300 digits"),
        ('{"a": "\u00fc'.encode() + b'\xff"}', "invalid_utf8", "byte 10 (0xff)"),
        ('{"a": "\u00fc"}'.encode("latin-1"), "invalid_utf8", "byte 8 (0xfc)"),
        (b'{"a": "\xed\xa0\xbd"}', "invalid_utf8", "byte 8 (0xed)"),
        (b'{"a": "\xe2\x82', "invalid_utf8", "byte 8 (0xe2)"),
        (b"[" * 100_000, "too_deep", f"column {MAX_DEPTH + 1}"),
        (b'{"a":' * 100_000, "too_deep", f"column {MAX_DEPTH * 5 + 1}"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_line_that_is_no_json_object_is_told_why_and_where(line: bytes, code: str, place: str) -> None:
    problem = _problem(line)
    assert problem.code == code
    assert place in problem.message
    assert problem.remedy


def test_the_deepest_row_is_read_and_one_deeper_is_not() -> None:
    inner = MAX_DEPTH - 1
    assert isinstance(parse_row(b'{"a": ' + b"[" * inner + b"]" * inner + b"}"), dict)
    assert _problem(b'{"a": ' + b"[" * (inner + 1) + b"]" * (inner + 1) + b"}").code == "too_deep"


@given(text=st.text(st.sampled_from('[]{}"\\:,a'), min_size=MAX_DEPTH * 2))
def test_brackets_in_texts_do_not_nest(text: str) -> None:
    assert _row({"a": text, "b": [text]}) == {"a": text, "b": [text]}


@given(data=st.binary(max_size=60) | st.text(st.sampled_from('{}[]",:\\ab1 N'), max_size=40).map(str.encode))
def test_whatever_a_line_holds_it_is_an_object_or_a_problem(data: bytes) -> None:
    found = parse_row(data)
    try:
        wanted = json.loads(data.decode())
    except ValueError:
        wanted = None
    if isinstance(found, Problem):
        assert not isinstance(wanted, dict) or found.code in ("duplicate_key", "not_a_number")
    else:
        assert found == wanted


_TURN_KEYS = {"author", "role", "content", "parts", "text", "from", "value", "weight"}
_KEYS = sorted(_TURN_KEYS.union(*(must | may for must, may in KEYS.values())))
_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(row=st.dictionaries(st.sampled_from(_KEYS), _json_values, max_size=5))
def test_whatever_a_row_holds_it_is_a_conversation_or_problems(row: Row) -> None:
    form = detect(row)
    for each in get_args(Format) if isinstance(form, Problem) else (form,):
        unknown_keys(row, each)
        found = parse(row, 3, each)
        if isinstance(found, Conversation):
            assert found.fim is not None or any(message.trainable for message in found.messages)
        else:
            assert found
            assert all(isinstance(problem, Problem) and problem.remedy for problem in found)


@pytest.mark.parametrize(
    "line",
    [
        b'{"a": ' + b"[]" * 80 + b'"' + b'\\"' * 1_000_000,
        ("{" + ",".join(f'"{i}": 1' for i in range(200_000)) + ',"0": 2}').encode(),
        b'{"a": "' + b"\\\\" * 1_000_000 + b'" "',
        b'{"a": 1' + b" " * 2_000_000 + b"x",
    ],
    ids=["quotes", "repeated key", "backslashes", "blanks"],
)
def test_a_hostile_line_costs_no_more_than_its_length(line: bytes) -> None:
    with _at_once():
        assert isinstance(parse_row(line), Problem)


def test_a_row_of_very_many_keys_costs_no_more_than_its_length() -> None:
    row = dict.fromkeys((f"input_tex{i}" for i in range(500_000)), 1)
    with _at_once():
        found = detect(row)
    assert isinstance(found, Problem)
    assert len(found.message) < 1000
    assert "499,988 more" in found.message


# Files.


def _file(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"\n".join(lines))
    return path


def _generation_line(i: int) -> bytes:
    return json.dumps({"input_text": f"q{i}", "output_text": f"a{i}"}).encode()


def test_a_file_is_read_with_the_lines_that_an_editor_shows(tmp_path: Path) -> None:
    file = _file(
        tmp_path / "dataset",
        b"\xef\xbb\xbf" + _generation_line(1),
        b"",
        b"  \t",
        _generation_line(4) + b"\r",
        _generation_line(5),
    )
    assert list(read(file)) == [_pair(f"q{i}", f"a{i}", line=i) for i in (1, 4, 5)]


def test_a_compressed_file_is_read_like_a_plain_one(tmp_path: Path) -> None:
    lines = [_generation_line(i) for i in range(1, 500)]
    (tmp_path / "packed").write_bytes(gzip.compress(b"\n".join(lines)))
    assert list(read(tmp_path / "packed")) == list(read(_file(tmp_path / "plain", *lines)))


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (b'{"input_text": "q"}', ["line 3, output_text", "missing", "add output_text"]),
        (b'{"input_text": "q",}', ["line 3", "column 19", "remove it"]),
        (json.dumps(_vertex([("q", "a")])).encode(), ["line 3", "a vertex-chat row", "one form a file"]),
        (b'{"q": 1}', ["line 3", "no form has the keys q"]),
        (b"\xff", ["line 3", "0xff"]),
    ],
    ids=ascii,
)
def test_reading_stops_at_the_first_fault_with_line_field_and_remedy(
    tmp_path: Path, line: bytes, wanted: list[str]
) -> None:
    rows = read(_file(tmp_path / "rows", _generation_line(1), b"", line, _generation_line(4)))
    assert next(rows).line == 1
    with pytest.raises(InvalidArgument) as caught:
        next(rows)
    assert [piece for piece in wanted if piece not in caught.value.message] == []


def test_reading_a_cut_file_raises_after_its_whole_rows(tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(gzip.compress(b"\n".join(_generation_line(i) for i in range(5000)))[:-4000])
    with pytest.raises(InvalidArgument, match=r"line \d+: the compressed file ends in the middle"):
        list(read(tmp_path / "cut"))


def test_reading_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        next(read(tmp_path / "absent"))


# The page.


def _table(page: str) -> list[tuple[str, str]]:
    """The name that each row of the page's table begins with, and the rest of the row."""
    return re.findall(r"^\| `(.+?)` \| (.+) \|$", (_ROOT / "docs" / page).read_text("utf-8"), re.M)


def test_each_row_on_the_page_is_read_as_the_form_beside_it() -> None:
    rows = _table("data-formats.md")
    assert {name for name, _ in rows} == set(KEYS)
    for name, text in rows:
        form, example = _through(json.loads(text.strip("`")))
        assert form == name
        assert isinstance(example, Conversation)


def test_every_code_that_reading_can_give_is_documented_once() -> None:
    source = "".join((_ROOT / "src/tunesmith/data" / name).read_text("utf-8") for name in ("formats.py", "lines.py"))
    # First argument of a Problem, a branch of `code = "a" if ... else "b"`, or first of a returned triple.
    given = re.findall(r'Problem\(\s*"(\w+)"', source)
    given += re.findall(r'^ +return "([a-z_0-9]+)", f?["\w]', source, re.M)
    given += [code for line in re.findall(r"^ +code = (.+)$", source, re.M) for code in re.findall(r'"(\w+)"', line)]
    listed = [code for code, _ in _table("finding-codes.md")]
    assert len(set(given)) > 35
    assert [(code, listed.count(code)) for code in sorted(set(given)) if listed.count(code) != 1] == []
