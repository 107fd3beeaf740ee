"""The accepted forms of an example, and how each becomes a Conversation.

    vertex-generation   {"input_text", "output_text"}                                  the reference product's (S10)
    vertex-chat         {"messages": [{"author", "content"}], "context"?}              (S13, S15)
    openai-chat         {"messages": [{"role", "content", "weight"?}]}
    gemini              {"contents": [{"role", "parts": [{"text"}]}], "systemInstruction"?}
    alpaca              {"instruction", "input"?, "output"}
    sharegpt            {"conversations": [{"from", "value"}]}
    prompt-completion   {"prompt", "completion"}: strings, or lists of OpenAI messages
    fim                 {"prefix", "suffix", "middle"}

`parse_row` turns one line into a value, `detect` names its form from its keys alone, `parse` makes the Conversation or
lists what is wrong with it. Texts are taken byte for byte: nothing is stripped, normalised or cut. Not here: limits
and advice over the whole file (check.py), tokens (render.py).
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tunesmith.data.lines import Problem, ReadingLimits, read_lines
from tunesmith.errors import InvalidArgument

Format = Literal[
    "vertex-generation",
    "vertex-chat",
    "openai-chat",
    "gemini",
    "alpaca",
    "sharegpt",
    "prompt-completion",
    "fim",
]
Author = Literal["user", "assistant"]
Row = dict[str, Any]

MAX_DEPTH = 64
"""Brackets inside brackets; an example of any form needs 5."""

# Of each form: the keys that it has, and those that it may have.
KEYS: Mapping[Format, tuple[frozenset[str], frozenset[str]]] = {
    "vertex-generation": (frozenset({"input_text", "output_text"}), frozenset()),
    "vertex-chat": (frozenset({"messages"}), frozenset({"context"})),
    "openai-chat": (frozenset({"messages"}), frozenset({"tools", "functions", "parallel_tool_calls"})),
    "gemini": (frozenset({"contents"}), frozenset({"systemInstruction", "system_instruction", "tools"})),
    "alpaca": (frozenset({"instruction", "output"}), frozenset({"input"})),
    "sharegpt": (frozenset({"conversations"}), frozenset({"system"})),
    "prompt-completion": (frozenset({"prompt", "completion"}), frozenset()),
    "fim": (frozenset({"prefix", "suffix", "middle"}), frozenset()),
}
# One key that no other form has; enough to know what was meant when another one is missing or misspelt.
_TELLING: Mapping[str, Format] = {
    "input_text": "vertex-generation",
    "output_text": "vertex-generation",
    "contents": "gemini",
    "instruction": "alpaca",
    "conversations": "sharegpt",
    "completion": "prompt-completion",
    "prompt": "prompt-completion",
    "middle": "fim",
    "prefix": "fim",
    "suffix": "fim",
}
_FORMS = "; ".join(f"{name}: {', '.join(sorted(must))}" for name, (must, _) in KEYS.items())
_SHAREGPT = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `trainable` is true for the answers that are to be learnt."""

    author: Author
    content: str
    trainable: bool


@dataclass(frozen=True, slots=True)
class Fim:
    """A text with a hole: `middle` is what belongs between prefix and suffix."""

    prefix: str
    suffix: str
    middle: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """One example, whatever form it came in."""

    line: int
    kind: Literal["generation", "chat", "fim"]
    context: str | None
    """What a system turn says; None: not given, so that the job's default applies; "": explicitly none."""
    messages: tuple[Message, ...]
    """In order, beginning with the user; empty for fim."""
    fim: Fim | None = None


class _Faults(Exception):
    def __init__(self, *problems: Problem) -> None:
        super().__init__()
        self.problems = problems


def read(path: Path, limits: ReadingLimits = ReadingLimits()) -> Iterator[Conversation]:  # noqa: B008 - frozen
    """Every example of a file that has passed the check; InvalidArgument with line and field at the first fault."""
    form: Format | None = None
    for raw in read_lines(path, limits):
        if raw.problem and raw.problem.code != "byte_order_mark":
            raise _refused(path, raw.number, raw.problem)
        if not raw.data.strip():
            continue
        row = parse_row(raw.data)
        if isinstance(row, Problem):
            raise _refused(path, raw.number, row)
        found = detect(row)
        if isinstance(found, Problem):
            raise _refused(path, raw.number, found)
        form = form or found
        if found != form:
            raise _refused(path, raw.number, mixed(found, form))
        example = parse(row, raw.number, form)
        if not isinstance(example, Conversation):
            raise _refused(path, raw.number, example[0])
        yield example


def parse_row(data: bytes) -> Row | Problem:
    """The JSON object of one line, or what is wrong with it as JSON, with the column."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = data[error.start]
        return Problem(
            "invalid_utf8", "", f"byte {error.start + 1} (0x{byte:02x}) is not UTF-8", "save the file as UTF-8"
        )
    if _depth_exceeds(text, MAX_DEPTH):
        return Problem("too_deep", "", f"more than {MAX_DEPTH} brackets inside one another", "flatten the row")
    try:
        value = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except _Faults as faults:
        return faults.problems[0]
    except (json.JSONDecodeError, RecursionError) as error:
        return _json_problem(text, error)
    except ValueError as error:  # an integer of more digits than Python converts
        return Problem("not_json", "", str(error), "write the number shorter")
    if not isinstance(value, dict):
        if isinstance(value, list):
            return Problem(
                "json_array", "", "the line is a JSON array", "write one object a line, without [ ] around them"
            )
        return Problem("not_an_object", "", f"the line is {_kind(value)}, not a JSON object", f"write one of: {_FORMS}")
    return value


def detect(row: Row) -> Format | Problem:
    """The form whose keys the row has; a Problem that names the keys if it has those of none, or of several."""
    keys = frozenset(row)
    if "messages" in keys:
        return _messages_form(row)
    whole = [form for form, (must, _) in KEYS.items() if must <= keys]
    if len(whole) == 1:
        return whole[0]
    named = ", ".join(sorted(keys)) or "none"
    if len(whole) > 1:
        return Problem("ambiguous_format", "", f"keys of several forms: {named}", f"keep those of one form: {_FORMS}")
    begun = {_TELLING[key] for key in keys if key in _TELLING}
    if len(begun) == 1:
        return begun.pop()
    near = [(key, m[0]) for key in sorted(keys) if (m := difflib.get_close_matches(key, _TELLING, 1, 0.75))]
    hint = "; ".join(f"did you mean {known} by {key}?" for key, known in near) or f"the accepted forms: {_FORMS}"
    return Problem("unknown_format", "", f"no form has the keys {named}", hint)


def mixed(found: Format, form: Format) -> Problem:
    """A row of another form than the rows before it."""
    return Problem("mixed_formats", "", f"a {found} row in a file of {form} rows", "keep one form a file")


def parse(row: Row, line: int, form: Format) -> Conversation | list[Problem]:
    """The row's example, or everything that is wrong with it."""
    try:
        return _PARSERS[form](row, line)
    except _Faults as faults:
        return list(faults.problems)


def unknown_keys(row: Row, form: Format) -> list[str]:
    """Keys that nothing reads; the check warns of them."""
    must, may = KEYS[form]
    return [key for key in row if key not in must and key not in may]


# Each form.


def _generation(row: Row, line: int) -> Conversation:
    prompt, answer = _texts(row, ("input_text", False), ("output_text", False))
    return _pair(line, prompt, answer)


def _alpaca(row: Row, line: int) -> Conversation:
    instruction, output = _texts(row, ("instruction", False), ("output", False))
    extra = row.get("input")
    if extra is not None and not isinstance(extra, str):
        raise _Faults(_not_text("input", extra))
    return _pair(line, f"{instruction}\n\n{extra}" if extra else instruction, output)


def _fim(row: Row, line: int) -> Conversation:
    prefix, suffix, middle = _texts(row, ("prefix", True), ("suffix", True), ("middle", False))
    return Conversation(line, "fim", None, (), Fim(prefix, suffix, middle))


def _prompt_completion(row: Row, line: int) -> Conversation:
    if isinstance(row.get("prompt"), list) and isinstance(row.get("completion"), list):
        turns = [*row["prompt"], *row["completion"]]
        answers = range(len(row["prompt"]), len(turns))
        context, messages = _turns(turns, "messages", _openai_turn)
        taught = tuple(
            Message(m.author, m.content, m.trainable and i + (context is not None) in answers)
            for i, m in enumerate(messages)
        )
        return Conversation(line, "chat", context, taught)
    prompt, completion = _texts(row, ("prompt", False), ("completion", False))
    return _pair(line, prompt, completion)


def _vertex_chat(row: Row, line: int) -> Conversation:
    context = row.get("context")
    if context is not None and not isinstance(context, str):
        raise _Faults(_not_text("context", context))
    _, messages = _turns(_list(row, "messages"), "messages", _vertex_turn)
    return Conversation(line, "chat", context, messages)


def _openai_chat(row: Row, line: int) -> Conversation:
    for key in ("tools", "functions"):
        if row.get(key):
            raise _Faults(_no_tools(key))
    context, messages = _turns(_list(row, "messages"), "messages", _openai_turn)
    return Conversation(line, "chat", context, messages)


def _gemini(row: Row, line: int) -> Conversation:
    if row.get("tools"):
        raise _Faults(_no_tools("tools"))
    context = None
    for key in ("systemInstruction", "system_instruction"):
        if row.get(key) is not None:
            context = _parts(row[key], key)
    _, messages = _turns(_list(row, "contents"), "contents", _gemini_turn)
    return Conversation(line, "chat", context, messages)


def _sharegpt(row: Row, line: int) -> Conversation:
    context, messages = _turns(_list(row, "conversations"), "conversations", _sharegpt_turn)
    system = row.get("system")
    if system is not None and not isinstance(system, str):
        raise _Faults(_not_text("system", system))
    return Conversation(line, "chat", context if context is not None else system, messages)


_PARSERS: Mapping[Format, Callable[[Row, int], Conversation]] = {
    "vertex-generation": _generation,
    "vertex-chat": _vertex_chat,
    "openai-chat": _openai_chat,
    "gemini": _gemini,
    "alpaca": _alpaca,
    "sharegpt": _sharegpt,
    "prompt-completion": _prompt_completion,
    "fim": _fim,
}


# One turn of each chat form: (author or "system", content, weight).

_Turn = tuple[str, str, bool]


def _vertex_turn(turn: Row, at: str) -> _Turn:
    author = _author(turn, "author", at, {"user": "user", "assistant": "assistant"})
    (content,) = _texts(turn, ("content", False), at=at)
    return author, content, True


def _openai_turn(turn: Row, at: str) -> _Turn:
    for key in ("tool_calls", "function_call"):
        if turn.get(key):
            raise _Faults(_no_tools(f"{at}.{key}"))
    known = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
    role = _author(turn, "role", at, known)
    weight = turn.get("weight", 1)
    if weight not in (0, 1) or isinstance(weight, bool):
        raise _Faults(
            Problem("bad_weight", f"{at}.weight", f"must be 0 or 1, got {weight!r}", "0 leaves the answer out")
        )
    if isinstance(turn.get("content"), list):
        return role, _parts({"parts": turn["content"]}, f"{at}.content"), weight == 1
    (content,) = _texts(turn, ("content", False), at=at)
    return role, content, weight == 1


def _gemini_turn(turn: Row, at: str) -> _Turn:
    role = _author(turn, "role", at, {"user": "user", "model": "assistant"})
    return role, _parts(turn, at), True


def _sharegpt_turn(turn: Row, at: str) -> _Turn:
    author = _author(turn, "from", at, _SHAREGPT)
    (content,) = _texts(turn, ("value", False), at=at)
    return author, content, True


def _turns(
    turns: Sequence[Any], field: str, one: Callable[[Row, str], _Turn]
) -> tuple[str | None, tuple[Message, ...]]:
    """The system text, if the first turn has one, and the messages; every fault of every turn."""
    problems: list[Problem] = []
    read_turns: list[tuple[str, _Turn]] = []
    for i, turn in enumerate(turns):
        at = f"{field}[{i}]"
        if not isinstance(turn, dict):
            problems.append(Problem("not_an_object", at, f"is {_kind(turn)}", "write an object with author and text"))
            continue
        try:
            read_turns.append((at, one(turn, at)))
        except _Faults as faults:
            problems += faults.problems
    if not turns:
        problems.append(Problem("empty_messages", field, "has no messages", "remove the row or fill it"))
    if problems:
        raise _Faults(*problems)
    context = read_turns[0][1][1] if read_turns[0][1][0] == "system" else None
    spoken = read_turns[1:] if context is not None else read_turns
    _refuse_order(spoken, field)
    return context, tuple(
        Message("user" if author == "user" else "assistant", content, author == "assistant" and weight)
        for _, (author, content, weight) in spoken
    )


def _refuse_order(spoken: Sequence[tuple[str, _Turn]], field: str) -> None:
    """Faults unless user and assistant alternate, from a user to an assistant, with something to learn."""
    problems = []
    expected = "user"
    for at, (author, _, _) in spoken:
        if author == "system":
            problems.append(Problem("late_system", at, "a system message after the first", "put it first"))
        elif author != expected:
            code = "starts_with_assistant" if at == spoken[0][0] else "same_author_twice"
            message = f"is by the {author}, where the {expected} was to speak"
            problems.append(Problem(code, at, message, "user and assistant take turns, the user first"))
        expected = "assistant" if author == "user" else "user"
    if not spoken:
        problems.append(
            Problem("empty_messages", field, "has no message beside the system's", "add question and answer")
        )
    elif spoken[-1][1][0] == "user":
        message = "the last message is the user's: there is no answer to learn"
        problems.append(Problem("ends_with_user", spoken[-1][0], message, "end with the assistant's answer"))
    elif not any(author == "assistant" and weight for _, (author, _, weight) in spoken):
        problems.append(Problem("nothing_to_learn", field, "every answer has weight 0", "give one weight 1"))
    if problems:
        raise _Faults(*problems)


# Pieces.


def _pair(line: int, prompt: str, answer: str) -> Conversation:
    return Conversation(line, "generation", None, (Message("user", prompt, False), Message("assistant", answer, True)))


def _texts(row: Row, *fields: tuple[str, bool], at: str = "") -> tuple[str, ...]:
    """The texts of these fields; (name, whether it may be empty)."""
    problems, texts = [], []
    for name, may_be_empty in fields:
        where = f"{at}.{name}" if at else name
        value = row.get(name)
        if name not in row:
            near = difflib.get_close_matches(name, [k for k in row if k not in dict(fields)], 1, 0.7)
            hint = f"did you mean {name} by {near[0]}?" if near else f"add {name}"
            problems.append(Problem("missing_field", where, "is missing", hint))
        elif not isinstance(value, str):
            problems.append(_not_text(where, value))
        elif not value and not may_be_empty:
            problems.append(Problem("empty_text", where, "is empty", "fill it or remove the row"))
        elif not value.strip() and not may_be_empty:
            problems.append(Problem("blank_text", where, "has only blanks", "fill it or remove the row"))
        elif surrogate := _SURROGATE.search(value):
            message = f"character {surrogate.start() + 1} is half of a surrogate pair (U+{ord(surrogate[0]):04X})"
            problems.append(Problem("lone_surrogate", where, message, "write the whole character"))
        else:
            texts.append(value)
    if problems:
        raise _Faults(*problems)
    return tuple(texts)


def _author(turn: Row, field: str, at: str, known: Mapping[str, str]) -> str:
    value = turn.get(field)
    if field not in turn:
        raise _Faults(Problem("missing_field", f"{at}.{field}", "is missing", f"one of {', '.join(known)}"))
    if not isinstance(value, str):
        raise _Faults(_not_text(f"{at}.{field}", value))
    if value not in known:
        hint = f"one of {', '.join(known)}"
        if value in ("bot", "model", "ai"):
            hint = f"in training data the model's author is called {'assistant' if 'assistant' in known else 'model'}"
        raise _Faults(Problem("unknown_author", f"{at}.{field}", f"{value!r} is not known", hint))
    return known[value]


def _parts(content: Any, at: str) -> str:
    """The joined text of a list of text parts."""
    parts = content.get("parts") if isinstance(content, dict) else content
    if isinstance(parts, str):
        parts = [{"text": parts}]
    if not isinstance(parts, list) or not parts:
        raise _Faults(Problem("missing_field", f"{at}.parts", "has no parts", 'write [{"text": "..."}]'))
    texts = []
    for i, part in enumerate(parts):
        if not isinstance(part, dict) or not isinstance(part.get("text"), str):
            where, hint = f"{at}.parts[{i}]", "only text can be learnt; remove other parts"
            raise _Faults(Problem("not_text", where, f"is {_kind(part)} without a text", hint))
        texts.append(part["text"])
    return _texts({"text": "".join(texts)}, ("text", False), at=at)[0]


def _list(row: Row, field: str) -> list[Any]:
    value = row.get(field)
    if not isinstance(value, list):
        message = "is missing" if field not in row else f"must be a list, is {_kind(value)}"
        raise _Faults(Problem("not_a_list", field, message, "write a list of messages"))
    return value


def _messages_form(row: Row) -> Format | Problem:
    """`messages` is in two forms: authors are the reference product's, roles are OpenAI's."""
    turns = row["messages"]
    keys = {key for turn in turns if isinstance(turn, dict) for key in turn} if isinstance(turns, list) else set()
    if "author" in keys and "role" in keys:
        return Problem("ambiguous_format", "messages", "has both author and role", "keep one of them")
    return "openai-chat" if "role" in keys else "vertex-chat"


def _not_text(where: str, value: Any) -> Problem:
    return Problem("not_text", where, f"must be a text, is {_kind(value)}", "write a string in quotes")


def _no_tools(where: str) -> Problem:
    return Problem("tools_unsupported", where, "tool calls cannot be tuned on", "remove the row or the calls")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


# JSON.


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _Faults(Problem("duplicate_key", twice, "stands twice in one object", "keep one of them"))
    return value


def _no_constant(name: str) -> Any:
    raise _Faults(Problem("not_a_number", "", f"{name} is not JSON", "write a number or null"))


def _depth_exceeds(text: str, limit: int) -> bool:
    """Whether brackets outside strings nest deeper; counted only where there are enough of them to matter."""
    if text.count("[") + text.count("{") <= limit:
        return False
    depth = 0
    for bracket in _brackets().finditer(text):
        if bracket[0] in "[{":
            depth += 1
            if depth > limit:
                return True
        elif bracket[0] in "]}":
            depth -= 1
    return False


@functools.cache
def _brackets() -> re.Pattern[str]:
    # A whole string is one match, so that brackets in it are not seen. Possessive: no catastrophic backtracking.
    return re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.S)


def _json_problem(text: str, error: Exception) -> Problem:
    if not isinstance(error, json.JSONDecodeError):
        return Problem("too_deep", "", "brackets nest too deep", "flatten the row")
    column = error.colno
    rest = text[error.pos :].lstrip()
    before = text[: error.pos].rstrip()
    if (before.endswith(",") and rest[:1] in ("}", "]")) or rest.startswith((",}", ",]")):
        return Problem("trailing_comma", "", f"column {column}: a comma before the closing bracket", "remove it")
    if rest.startswith("'"):
        return Problem("single_quotes", "", f"column {column}: texts are quoted with '", 'JSON quotes with "')
    if error.msg.startswith("Invalid control character"):
        code = f"U+{ord(text[error.pos]):04X}"
        message = f"column {column}: control character {code} inside a text"
        return Problem("control_character", "", message, "escape it, as in \\n or \\t")
    return Problem("not_json", "", f"column {column}: {error.msg}", "one JSON object a line")


def _refused(path: Path, line: int, problem: Problem) -> InvalidArgument:
    where = f", {problem.field}" if problem.field else ""
    message = f"line {line}{where}: {problem.message} ({problem.remedy})"
    return InvalidArgument.of(path.name, message)
