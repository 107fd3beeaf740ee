"""The accepted forms of an example, and how each becomes a Conversation.

    vertex-generation   {"input_text", "output_text"}                                  the reference product's (S10)
    vertex-chat         {"messages": [{"author", "content"}], "context"?}              (S13, S15)
    openai-chat         {"messages": [{"role", "content", "weight"?}]}
    gemini              {"contents": [{"role", "parts": [{"text"}]}], "systemInstruction"?}
    alpaca              {"instruction", "input"?, "output"}
    sharegpt            {"conversations": [{"from", "value"}]}
    prompt-completion   {"prompt", "completion"}: strings, or lists of OpenAI messages
    fim                 {"prefix", "suffix", "middle", "context"?, "order"?: "psm" or "spm"}

A file has rows of one form; rows of fim may stand among those of one other form.
`parse_row` turns one line into a value, `detect` names its form from its keys alone, `parse` makes the Conversation or
lists what is wrong with it. Texts are taken byte for byte: nothing is stripped, normalised or cut. Not here: limits
and advice over the whole file (check.py), tokens (render.py).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

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
Order = Literal["psm", "spm"]
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
    "fim": (frozenset({"prefix", "suffix", "middle"}), frozenset({"context", "order"})),
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
_TURN_KEYS = {"vertex-chat": " of author and content", "openai-chat": " of role and content"}
_FORMS = "; ".join(f"{name}: {', '.join(sorted(must))}{_TURN_KEYS.get(name, '')}" for name, (must, _) in KEYS.items())
# Every name that some form reads: none of them is a misspelling of another.
_NAMES = frozenset({"author", "role", "from", "content", "value", "parts"}.union(*(a | b for a, b in KEYS.values())))
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# Longer keys and values are cut in messages; more keys than these are not looked at for a likely misspelling.
_SHOWN_CHARACTERS, _SHOWN_KEYS = 40, 12


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
    context: str = ""
    """Stands directly before the prefix and is no part of the file: what other files declare, as comments."""
    order: Order = "psm"
    """psm: prefix, suffix, middle; spm: suffix, prefix, middle. A base that was taught one order keeps to it."""


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


@dataclass(frozen=True, slots=True)
class _Chat:
    """How a form writes one turn: its keys, its names for user, assistant and system."""

    author_key: str
    text_key: str
    authors: Mapping[str, str]
    parts: bool = False
    """Whether a text may be a list of {"text"} parts."""
    weighted: bool = False

    @property
    def keys(self) -> frozenset[str]:
        return frozenset({self.author_key, self.text_key} | ({"weight"} if self.weighted else set()))


class _Turn(NamedTuple):
    """One turn as read; author None: it was not to be made out."""

    at: str
    author: str | None
    content: str
    taught: bool


_TWO = {"user": "user", "assistant": "assistant"}
_VERTEX = _Chat("author", "content", _TWO)
_OPENAI = _Chat("role", "content", {**_TWO, "system": "system", "developer": "system"}, parts=True, weighted=True)
_GEMINI = _Chat("role", "parts", {"user": "user", "model": "assistant"}, parts=True)
_SHAREGPT = _Chat("from", "value", {"human": "user", "gpt": "assistant", "system": "system", **_TWO})
# What other forms and products call the three; only for the remedy.
_OTHER_NAMES: Mapping[str, str] = {
    **dict.fromkeys(("bot", "model", "ai", "gpt", "chatbot"), "assistant"),
    **dict.fromkeys(("human", "customer", "prompter"), "user"),
    "developer": "system",
}
_TOOL_AUTHORS = frozenset({"tool", "function", "function_call", "tool_call", "observation"})
_TOOL_KEYS = ("tools", "functions", "tool_calls", "function_call", "tool_call_id")


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
        joined = beside(found, form)
        if isinstance(joined, Problem):
            raise _refused(path, raw.number, joined)
        form = joined
        example = parse(row, raw.number, found)
        if not isinstance(example, Conversation):
            raise _refused(path, raw.number, example[0])
        yield example


def parse_row(data: bytes) -> Row | Problem:
    """The JSON object of one line, or what is wrong with it as JSON, with the column (from 1, in characters)."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = data[error.start]
        return Problem(
            "invalid_utf8", "", f"byte {error.start + 1} (0x{byte:02x}) is not UTF-8", "save the file as UTF-8"
        )
    if column := _too_deep_at(text):
        message = f"column {column}: more than {MAX_DEPTH} brackets inside one another"
        return Problem("too_deep", "", message, "flatten the row")
    try:
        value = _DECODER.decode(text)
    except _RepeatedKey:
        return _repeated_key(text)
    except _NotANumber:
        return _not_a_number(text)
    except json.JSONDecodeError as error:
        return _json_problem(text, error)
    except ValueError:  # an integer of more digits than Python converts
        return Problem("not_json", "", "a number of more than 4,300 digits", "write it as a text, or leave it out")
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return Problem("json_array", "", "the line is a JSON array", "write one object a line, without [ ] around them")
    return Problem("not_an_object", "", f"the line is {_kind(value)}, not a JSON object", f"write one of: {_FORMS}")


def detect(row: Row) -> Format | Problem:
    """The form whose keys the row has; a Problem that names the keys if it has those of none, or of several."""
    keys = frozenset(row)
    whole = [form for form, (must, _) in KEYS.items() if must <= keys and form != "openai-chat"]
    if len(whole) > 1:
        return _ambiguous(row, "keys of several forms")
    if whole == ["vertex-chat"]:
        return _messages_form(row)
    if whole:
        return whole[0]
    if {"chosen", "rejected"} <= keys:
        remedy = "keep the better answer only, as the answer of a form; tuning is by examples"
        return Problem("preference_data", "", f"pairs of answers to choose between: {_listed(row)}", remedy)
    begun = {_TELLING[key] for key in keys if key in _TELLING}
    if len(begun) == 1:
        return begun.pop()
    return _ambiguous(row, "some keys of several forms") if begun else _unknown(row)


def beside(found: Format, form: Format | None) -> Format | Problem:
    """The form of a file that has a row of `found` after rows of `form` (None: there were none).

    Rows of fim may stand among those of one other form, by which the file is then called; all else is a Problem.
    """
    if form in (None, "fim"):
        return found
    if found in (form, "fim"):
        return form
    message = f"a {found} row in a file of {form} rows"
    return Problem("mixed_formats", "", message, "keep one form a file; only fim rows may stand beside another")


def parse(row: Row, line: int, form: Format) -> Conversation | list[Problem]:
    """The row's example, or everything that is wrong with it."""
    problems: list[Problem] = []
    example = _PARSERS[form](row, line, problems)
    return problems or example


def unknown_keys(row: Row, form: Format) -> list[str]:
    """Keys that nothing reads, as `name` or `messages[3].weights`; the check warns of them."""
    must, may = KEYS[form]
    unknown = [_name(key) for key in row if key not in must and key not in may]
    if form in _CHATS:
        known = _CHATS[form].keys.union(_TOOL_KEYS)
        for field in must:
            turns = row[field] if isinstance(row.get(field), list) else []
            for i, turn in enumerate(turns):
                if isinstance(turn, dict) and not turn.keys() <= known:
                    # Exports write null for each key that some other turn has.
                    unread = (key for key, value in turn.items() if key not in known and value is not None)
                    unknown += [f"{field}[{i}].{_name(key)}" for key in unread]
    return unknown


# Each form. A parser appends to `problems`; what it returns counts only if there are none.


def _generation(row: Row, line: int, problems: list[Problem]) -> Conversation:
    return _pair(line, _text(row, "input_text", problems), _text(row, "output_text", problems))


def _alpaca(row: Row, line: int, problems: list[Problem]) -> Conversation:
    instruction, output = _text(row, "instruction", problems), _text(row, "output", problems)
    extra = _optional(row, "input", problems)
    return _pair(line, f"{instruction}\n\n{extra}" if extra else instruction, output)


def _fim(row: Row, line: int, problems: list[Problem]) -> Conversation:
    prefix, suffix = (_text(row, name, problems, may_be_empty=True) for name in ("prefix", "suffix"))
    middle, context = _text(row, "middle", problems), _optional(row, "context", problems)
    return Conversation(line, "fim", None, (), Fim(prefix, suffix, middle, context or "", _order(row, problems)))


def _order(row: Row, problems: list[Problem]) -> Order:
    value = row.get("order")
    if value in (None, "psm"):
        return "psm"
    if value != "spm":
        message, remedy = f'must be "psm" or "spm", got {_shown(value)}', "leave it out for prefix, suffix, middle"
        problems.append(Problem("bad_order", "order", message, remedy))
    return "spm"


def _prompt_completion(row: Row, line: int, problems: list[Problem]) -> Conversation:
    if not (isinstance(row.get("prompt"), list) or isinstance(row.get("completion"), list)):
        return _pair(line, _text(row, "prompt", problems), _text(row, "completion", problems))
    asked = [turn._replace(taught=False) for turn in _turns(row, "prompt", _OPENAI, problems)]
    answered = _turns(row, "completion", _OPENAI, problems)
    return _conversation(line, None, asked + answered, "completion", problems)


def _vertex_chat(row: Row, line: int, problems: list[Problem]) -> Conversation:
    context = _optional(row, "context", problems)
    return _conversation(line, context, _turns(row, "messages", _VERTEX, problems), "messages", problems)


def _openai_chat(row: Row, line: int, problems: list[Problem]) -> Conversation:
    _refuse_tools(row, "", problems)
    return _conversation(line, None, _turns(row, "messages", _OPENAI, problems), "messages", problems)


def _gemini(row: Row, line: int, problems: list[Problem]) -> Conversation:
    _refuse_tools(row, "", problems)
    given = [key for key in ("systemInstruction", "system_instruction") if row.get(key) is not None]
    context = _instruction(row, given[0], problems) if given else None
    if len(given) > 1:
        problems.append(Problem("late_system", given[1], "a system text beside systemInstruction", "keep one of them"))
    return _conversation(line, context, _turns(row, "contents", _GEMINI, problems), "contents", problems)


def _instruction(row: Row, key: str, problems: list[Problem]) -> str | None:
    value = row[key]
    if isinstance(value, dict):
        return _content(value, key, _GEMINI, problems, may_be_empty=True)
    return _optional(row, key, problems)


def _sharegpt(row: Row, line: int, problems: list[Problem]) -> Conversation:
    turns = _turns(row, "conversations", _SHAREGPT, problems)
    return _conversation(line, _optional(row, "system", problems), turns, "conversations", problems)


_PARSERS: Mapping[Format, Callable[[Row, int, list[Problem]], Conversation]] = {
    "vertex-generation": _generation,
    "vertex-chat": _vertex_chat,
    "openai-chat": _openai_chat,
    "gemini": _gemini,
    "alpaca": _alpaca,
    "sharegpt": _sharegpt,
    "prompt-completion": _prompt_completion,
    "fim": _fim,
}
_CHATS: Mapping[Format, _Chat] = {
    "vertex-chat": _VERTEX,
    "openai-chat": _OPENAI,
    "gemini": _GEMINI,
    "sharegpt": _SHAREGPT,
    "prompt-completion": _OPENAI,
}


# Turns.


def _turns(row: Row, field: str, chat: _Chat, problems: list[Problem]) -> list[_Turn]:
    """Every turn of the list, with every fault of each of them."""
    turns = _list(row, field, problems)
    return [_turn(turn, f"{field}[{i}]", chat, problems) for i, turn in enumerate(turns)]


def _turn(turn: Any, at: str, chat: _Chat, problems: list[Problem]) -> _Turn:
    if not isinstance(turn, dict):
        hint = f"write an object with {chat.author_key} and {chat.text_key}"
        problems.append(Problem("not_an_object", at, f"is {_kind(turn)}", hint))
        return _Turn(at, None, "", False)
    author = _author(turn, at, chat, problems)
    if _refuse_tools(turn, at, problems):
        return _Turn(at, author, "", False)
    content = _content(turn, at, chat, problems, may_be_empty=author == "system")
    taught = _weight(turn, at, problems) if chat.weighted else True
    return _Turn(at, author, content, taught and author == "assistant")


def _author(turn: Row, at: str, chat: _Chat, problems: list[Problem]) -> str | None:
    where, names = f"{at}.{chat.author_key}", ", ".join(chat.authors)
    value = turn.get(chat.author_key)
    if isinstance(value, str) and value in chat.authors:
        return chat.authors[value]
    if chat.author_key not in turn:
        problems.append(_missing(turn, chat.author_key, where, f"one of {names}"))
    elif not isinstance(value, str):
        problems.append(_not_text(where, value))
    elif value in _TOOL_AUTHORS:
        problems.append(_no_tools(where))
    else:
        problems.append(
            Problem("unknown_author", where, f"{_shown(value)} is not known", _author_remedy(value, names, chat))
        )
    return None


def _author_remedy(value: str, names: str, chat: _Chat) -> str:
    folded = value.strip().lower()
    meant = _OTHER_NAMES.get(folded, folded)
    name = next((name for name, author in chat.authors.items() if author == meant), None)
    if name is not None:
        return f'in training data this author is called "{name}"'
    if meant == "system":
        return f"write it as {'context' if chat is _VERTEX else 'systemInstruction'} of the row"
    return f"one of {names}"


def _content(turn: Row, at: str, chat: _Chat, problems: list[Problem], *, may_be_empty: bool) -> str:
    value, where = turn.get(chat.text_key), f"{at}.{chat.text_key}"
    if not (chat.parts and isinstance(value, list)):
        return _text(turn, chat.text_key, problems, at, may_be_empty=may_be_empty)
    text = _joined(value, where, problems)
    return "" if text is None else _checked(text, where, problems, may_be_empty=may_be_empty)


def _joined(parts: Sequence[Any], where: str, problems: list[Problem]) -> str | None:
    """The texts of all parts with nothing between them; None if some part is something else."""
    texts = []
    for i, part in enumerate(parts):
        text = part.get("text") if isinstance(part, dict) else None
        # A thought, a file or a call beside the text would be lost, and the example another one.
        others = [key for key, value in part.items() if value and key not in ("text", "type")] if text else []
        if isinstance(text, str) and not others and part.get("type", "text") == "text":
            texts.append(text)
            continue
        what = f"has {_listed(others)} beside its text" if others else f"is {_kind(part)} that is no text"
        problems.append(Problem("not_text", f"{where}[{i}]", what, "only text can be learnt; remove the rest"))
    return "".join(texts) if len(texts) == len(parts) else None


def _weight(turn: Row, at: str, problems: list[Problem]) -> bool:
    weight = turn.get("weight")
    if weight is None:
        return True
    if isinstance(weight, bool) or weight not in (0, 1):
        message = f"must be 0 or 1, got {_shown(weight)}"
        problems.append(Problem("bad_weight", f"{at}.weight", message, "0 leaves the answer out"))
    return bool(weight == 1)


def _conversation(
    line: int, context: str | None, turns: Sequence[_Turn], field: str, problems: list[Problem]
) -> Conversation:
    """The turns as messages, a system text at their beginning as the context. `field`: where answers belong."""
    if turns and turns[0].author == "system":
        if context is not None:
            message = "a system message beside the row's own system text"
            problems.append(Problem("late_system", turns[0].at, message, "keep one of them"))
        context, turns = turns[0].content, turns[1:]
        if not turns:
            message = "has no message beside the system's"
            problems.append(Problem("empty_messages", field, message, "add question and answer"))
    _check_order(turns, field, problems)
    messages = tuple(Message("user" if t.author == "user" else "assistant", t.content, t.taught) for t in turns)
    return Conversation(line, "chat", context, messages)


def _check_order(turns: Sequence[_Turn], field: str, problems: list[Problem]) -> None:
    """User and assistant alternate, from a user to an assistant, with something to learn."""
    remedy = "user and assistant take turns, the user first"
    expected: str | None = "user"
    for i, turn in enumerate(turns):
        if turn.author == "system":
            problems.append(Problem("late_system", turn.at, "a system message after the first", "put it first"))
            continue
        if None not in (turn.author, expected) and turn.author != expected:
            code = "same_author_twice" if i else "starts_with_assistant"
            message = f"is by the {turn.author}, where the {expected} was to speak"
            problems.append(Problem(code, turn.at, message, remedy))
        expected = {"user": "assistant", "assistant": "user"}.get(turn.author or "")
    if turns and turns[-1].author == "user":
        message = "the last message is the user's: there is no answer to learn"
        problems.append(Problem("ends_with_user", turns[-1].at, message, "end with the assistant's answer"))
    elif not problems and not any(turn.taught for turn in turns):
        problems.append(Problem("nothing_to_learn", field, "every answer has weight 0", "give one weight 1"))


# Texts.


def _pair(line: int, prompt: str, answer: str) -> Conversation:
    return Conversation(line, "generation", None, (Message("user", prompt, False), Message("assistant", answer, True)))


def _text(row: Row, name: str, problems: list[Problem], at: str = "", *, may_be_empty: bool = False) -> str:
    """The text of this field, unchanged; anything after a fault."""
    value, where = row.get(name), f"{at}.{name}" if at else name
    if isinstance(value, str):
        return _checked(value, where, problems, may_be_empty=may_be_empty)
    problems.append(_not_text(where, value) if name in row else _missing(row, name, where))
    return ""


def _optional(row: Row, name: str, problems: list[Problem]) -> str | None:
    """As `_text`; None if the field is missing or null."""
    return None if row.get(name) is None else _text(row, name, problems, may_be_empty=True)


def _checked(text: str, where: str, problems: list[Problem], *, may_be_empty: bool) -> str:
    if not may_be_empty and not text:
        problems.append(Problem("empty_text", where, "is empty", "fill it or remove the row"))
    elif not may_be_empty and text.isspace():
        problems.append(Problem("blank_text", where, "has only blanks", "fill it or remove the row"))
    elif surrogate := None if text.isascii() else _SURROGATE.search(text):
        message = f"character {surrogate.start() + 1} is half of a surrogate pair (U+{ord(surrogate[0]):04X})"
        problems.append(Problem("lone_surrogate", where, message, "write the whole character"))
    return text


def _list(row: Row, field: str, problems: list[Problem]) -> list[Any]:
    value = row.get(field)
    if isinstance(value, list):
        if not value:
            problems.append(Problem("empty_messages", field, "has no messages", "remove the row or fill it"))
        return value
    message = f"must be a list, is {_kind(value)}" if field in row else "is missing"
    problems.append(Problem("not_a_list", field, message, "write a list of messages"))
    return []


def _missing(row: Row, name: str, where: str, hint: str = "") -> Problem:
    candidates = [key for key in list(row)[:_SHOWN_KEYS] if key not in _NAMES and len(key) <= _SHOWN_CHARACTERS]
    near = difflib.get_close_matches(name, candidates, 1, 0.7)
    remedy = f"did you mean {name} by {near[0]}?" if near else hint or f"add {name}"
    return Problem("missing_field", where, "is missing", remedy)


def _not_text(where: str, value: Any) -> Problem:
    return Problem("not_text", where, f"must be a text, is {_kind(value)}", "write a string in quotes")


def _refuse_tools(row: Row, at: str, problems: list[Problem]) -> bool:
    """Whether there are any; null and empty lists, as exports write them, are none."""
    found = [key for key in _TOOL_KEYS if row.get(key)]
    problems += [_no_tools(f"{at}.{key}" if at else key) for key in found]
    return bool(found)


def _no_tools(where: str) -> Problem:
    return Problem("tools_unsupported", where, "tool calls cannot be tuned on", "remove the row or the calls")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _shown(value: Any) -> str:
    """A value in a message, in ASCII and not too long."""
    text = ascii(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


def _name(key: str) -> str:
    """A key as part of a field: nothing in it can move a cursor or turn the direction of writing."""
    text = key if key.isprintable() else ascii(key)[1:-1]
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


def _listed(keys: Collection[str]) -> str:
    shown = ", ".join(_name(key) for key in list(keys)[:_SHOWN_KEYS]) or "none"
    return f"{shown} and {len(keys) - _SHOWN_KEYS:,} more" if len(keys) > _SHOWN_KEYS else shown


# Forms that cannot be told.


def _messages_form(row: Row) -> Format | Problem:
    """`messages` is in two forms: authors are the reference product's, roles are OpenAI's."""
    turns = row["messages"]
    keys = {key for turn in turns if isinstance(turn, dict) for key in turn} if isinstance(turns, list) else set()
    if "author" in keys and "role" in keys:
        return Problem("ambiguous_format", "messages", "has both author and role", "keep one of them")
    if "role" in keys and row.get("context") is not None:
        message = "context goes with messages of author and content, these have role"
        return Problem("ambiguous_format", "context", message, "write it as a first message with role system")
    return "openai-chat" if "role" in keys else "vertex-chat"


def _ambiguous(row: Row, what: str) -> Problem:
    return Problem("ambiguous_format", "", f"{what}: {_listed(row)}", f"keep those of one form: {_FORMS}")


def _unknown(row: Row) -> Problem:
    near = []
    for key in list(row)[:_SHOWN_KEYS]:
        if len(key) <= _SHOWN_CHARACTERS and (match := difflib.get_close_matches(key, _TELLING, 1, 0.75)):
            near.append(f"did you mean {match[0]} by {_name(key)}?")
    remedy = f"{' '.join(near)} The accepted forms: {_FORMS}" if near else f"the accepted forms: {_FORMS}"
    return Problem("unknown_format", "", f"no form has the keys {_listed(row)}", remedy)


# JSON.


class _RepeatedKey(Exception):
    pass


class _NotANumber(Exception):
    pass


def _no_duplicates(pairs: list[tuple[str, Any]]) -> Row:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _RepeatedKey
    return value


def _no_constant(name: str) -> Any:
    raise _NotANumber(name)


_DECODER = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
# What makes the outline of a JSON text; a whole string is one match, so that nothing in it is seen. A string without
# an end matches too, and all quantifiers are possessive: one pass, whatever the text.
_OUTLINE = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}:]|-?Infinity|NaN', re.S)


def _too_deep_at(text: str) -> int:
    """The column where brackets nest too deep, or 0; looked for only where there are enough of them to matter."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    depth = 0
    for sign in _OUTLINE.finditer(text):
        if sign[0] in ("[", "{"):
            depth += 1
            if depth > MAX_DEPTH:
                return sign.start() + 1
        elif sign[0] in ("]", "}"):
            depth -= 1
    return 0


def _repeated_key(text: str) -> Problem:
    """The first key that stands twice in its object; up to there the text is known to be valid."""
    seen: list[set[str]] = []
    last = None
    for sign in _OUTLINE.finditer(text):
        if sign[0] in ("[", "{"):
            seen.append(set())
        elif sign[0] in ("]", "}"):
            seen.pop()
        elif sign[0] == ":" and last is not None:
            key = json.loads(last[0])
            if key in seen[-1]:
                message = f"column {last.start() + 1}: stands twice in one object"
                return Problem("duplicate_key", _name(key), message, "keep one of them")
            seen[-1].add(key)
        last = sign
    raise AssertionError("the decoder has seen a key twice")


def _not_a_number(text: str) -> Problem:
    found = next(sign for sign in _OUTLINE.finditer(text) if sign[0] in ("NaN", "Infinity", "-Infinity"))
    message = f"column {found.start() + 1}: {found[0]} is not JSON"
    return Problem("not_a_number", "", message, "write a number or null")


def _json_problem(text: str, error: json.JSONDecodeError) -> Problem:
    """The fault as people know it. Told from the text around it: the decoder's words differ between versions."""
    before, rest = text[: error.pos].rstrip(), text[error.pos :].lstrip()
    code, message, remedy = _json_fault(text, before, rest, error)
    column = len(before) if code == "trailing_comma" and before.endswith(",") else error.pos + 1
    return Problem(code, "", f"column {column}: {message}", remedy)


def _json_fault(text: str, before: str, rest: str, error: json.JSONDecodeError) -> tuple[str, str, str]:
    one_a_line = "one JSON object a line; a line end inside a text is written \\n"
    if error.msg.startswith("Invalid control character"):
        message = f"control character U+{ord(text[error.pos]):04X} inside a text"
        return "control_character", message, "escape it, as in \\n or \\t"
    if error.msg.startswith("Invalid \\"):
        return "not_json", "a backslash before a character that JSON does not escape", "write \\\\ for a backslash"
    if (before.endswith(",") and rest[:1] in ("}", "]")) or (
        rest[:1] == "," and rest[1:].strip()[:1] in ("", "}", "]")
    ):
        return "trailing_comma", "a comma with nothing after it", "remove it"
    if error.msg.startswith("Unterminated string") or not rest:
        return "unfinished_row", "what begins here does not end on this line", one_a_line
    if error.msg.startswith("Extra data"):
        return "several_values", "more follows after the end of the row", "one JSON object a line"
    if rest.startswith("'"):
        return "single_quotes", "texts are quoted with '", 'JSON quotes with "'
    if literal := re.match(r"(?:True|False|None|undefined)\b", rest):
        return "python_literal", f"{literal[0]} is not JSON", "write true, false or null"
    if rest.startswith("\ufeff"):
        return "inner_byte_order_mark", "a byte order mark, as joining files leaves them", "remove the bytes EF BB BF"
    return "not_json", error.msg, one_a_line


def _refused(path: Path, line: int, problem: Problem) -> InvalidArgument:
    where = f", {problem.field}" if problem.field else ""
    message = f"line {line}{where}: {problem.message} ({problem.remedy})"
    return InvalidArgument.of(path.name, message)
