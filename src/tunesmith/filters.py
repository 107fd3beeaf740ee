"""The filter language of lists (AIP-160): a text becomes a tree. Pure; knows neither tables nor HTTP.

    labels.team="search" AND (state="PIPELINE_STATE_SUCCEEDED" OR display_name:"*nightly*")

AND binds before OR; NOT and a leading `-` negate; two comparisons side by side are joined by AND. A value is quoted
or a single word. Field names may be camelCase; label keys are left as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from tunesmith.errors import InvalidArgument

Value = str | float

MAX_CHARACTERS = 2000
MAX_DEPTH = 20


@dataclass(frozen=True, slots=True)
class Comparison:
    """`field operator value`; the operator is one of = != < <= > >= and : (has)."""

    field: str
    operator: str
    value: Value


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Filter


Filter = Comparison | And | Or | Not


class _Word(NamedTuple):
    kind: str
    text: str
    at: int


_WORDS = re.compile(
    r"""(?P<space>\s+)|(?P<bracket>[()])|(?P<operator>!=|<=|>=|=|<|>|:)
    |(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<bare>[^\s()"'=<>:!]+)""",
    re.VERBOSE,
)


def parse(text: str, convert: Callable[[str, str], Value]) -> Filter | None:
    """The tree of a filter; None for an empty one. InvalidArgument says at which character it is wrong.

    convert  gets a field's name in snake_case and the text of a value; gives what the field holds, or raises ValueError
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidArgument.of("filter", f"has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read")
    words = _split(text)
    if not words:
        return None
    reading = _Reading(text, words, convert)
    tree = reading.any_of()
    if reading.next is not None:
        raise reading.wrong(f"{reading.next.text!r} was not expected")
    return tree


def snake_case(name: str) -> str:
    """displayName -> display_name; what is snake_case already stays."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda m: "_" + m.group(1).lower(), name)


class _Reading:
    """Where a filter's reading has got to."""

    def __init__(self, text: str, words: list[_Word], convert: Callable[[str, str], Value]) -> None:
        self._text, self._words, self._convert = text, words, convert
        self._at = 0
        self._depth = 0

    @property
    def next(self) -> _Word | None:
        return self._words[self._at] if self._at < len(self._words) else None

    def any_of(self) -> Filter:
        parts = [self._all_of()]
        while self._take("bare", "OR"):
            parts.append(self._all_of())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _all_of(self) -> Filter:
        parts = [self._part()]
        while self.next is not None and (self.next.kind, self.next.text) not in (("bare", "OR"), ("bracket", ")")):
            self._take("bare", "AND")
            parts.append(self._part())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _part(self) -> Filter:
        if self._take("bare", "NOT"):
            self._deeper()
            negated = Not(self._part())
            self._depth -= 1
            return negated
        if self._take("bracket", "("):
            self._deeper()
            inside = self.any_of()
            if not self._take("bracket", ")"):
                raise self.wrong("a closing bracket is missing")
            self._depth -= 1
            return inside
        return self._comparison()

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.wrong(f"brackets and NOT are nested more than {MAX_DEPTH} deep")

    def _comparison(self) -> Filter:
        field = self._word("a field's name", ("bare",)).text
        negated, field = field.startswith("-"), field.removeprefix("-")
        operator = self._word("one of = != < <= > >= :", ("operator",)).text
        word = self._word("a value", ("quoted", "bare"))
        name = _field_name(field)
        if operator == ":" and name == "labels":  # `labels:team` asks whether there is such a label
            comparison: Filter = Comparison(f"labels.{_unquoted(word)}", ":", "*")
        else:
            comparison = Comparison(name, operator, self._value(name, operator, word))
        return Not(comparison) if negated else comparison

    def _value(self, name: str, operator: str, word: _Word) -> Value:
        if operator == ":":
            return _unquoted(word)
        try:
            return self._convert(name, _unquoted(word))
        except ValueError as error:
            raise self.wrong(str(error), word.at) from error

    def _word(self, wanted: str, kinds: tuple[str, ...]) -> _Word:
        word = self.next
        if word is None or word.kind not in kinds:
            raise self.wrong(f"{wanted} is missing")
        self._at += 1
        return word

    def _take(self, kind: str, text: str) -> bool:
        taken = self.next is not None and (self.next.kind, self.next.text) == (kind, text)
        self._at += taken
        return taken

    def wrong(self, what: str, at: int | None = None) -> InvalidArgument:
        where = at if at is not None else (self.next.at if self.next is not None else len(self._text))
        return InvalidArgument.of("filter", f"at character {where + 1} of {self._text!r}: {what}")


def _split(text: str) -> list[_Word]:
    words, at = [], 0
    while at < len(text):
        match = _WORDS.match(text, at)
        if match is None:
            raise InvalidArgument.of("filter", f"at character {at + 1} of {text!r}: {text[at]!r} was not expected")
        if match.lastgroup != "space":
            words.append(_Word(match.lastgroup or "", match.group(), at))
        at = match.end()
    return words


def _field_name(field: str) -> str:
    head, dot, key = field.partition(".")
    return snake_case(head) + dot + key


def _unquoted(word: _Word) -> str:
    return re.sub(r"\\(.)", r"\1", word.text[1:-1]) if word.kind == "quoted" else word.text
