"""All that is found out about one file by itself: what it is, what its words say of its licence, what must be taken
out of it, what it is like, what it imports and offers, and where rows can be cut from it.

A pure function of the bytes, the file's name, limits and options, so that it can run in any process and be kept by
hash. Nothing in it depends on other files; which rows are made is decided when all are known (dataset.py).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple

from tunesmith.data.codebase import clones
from tunesmith.data.codebase.documentation import summary
from tunesmith.data.codebase.languages import language_named, language_of
from tunesmith.data.codebase.licence_texts import in_text
from tunesmith.data.codebase.limits import Limits
from tunesmith.data.codebase.middles import Hole, holes, window
from tunesmith.data.codebase.options import Cutting, RowKind
from tunesmith.data.codebase.parsing import Failed, Parsed, parse
from tunesmith.data.codebase.redaction import Unredactable, find, merged, redact
from tunesmith.data.codebase.screening import by_content, decoded
from tunesmith.data.codebase.secret_scan import Finding
from tunesmith.data.codebase.symbols import FileSymbols, symbols
from tunesmith.data.codebase.units import Code, Unit, answer_of, code_of, documented, head, units

MOST_UNITS = 40
"""Documented units of one file that become rows, so that no file outweighs many; the others are counted."""
SHORTEST_ANSWER = 40
"""Characters; a shorter one is a stub or an accessor."""


class Item(NamedTuple):
    """One file to analyse."""

    name: str
    """Without its folders."""
    data: bytes
    limits: Limits
    cutting: Cutting
    findings: tuple[Finding, ...] = ()
    """What other scanners have found in the text."""


class Telling(NamedTuple):
    """What a row on a unit is worded of."""

    kind: str
    """function, method, class or module."""
    summary: str
    head: str
    code: Code
    shown: tuple[int, int]
    """Its head and documentation, which a request shows."""


class Cut(NamedTuple):
    """A row that can be made of a file; places in bytes of its redacted text."""

    kind: RowKind
    start: int
    end: int
    hole: Hole | None
    unit: str
    characters: int
    key: bytes
    """Of what the row teaches, white space aside: the same code in two files has the same."""
    told: Telling | None = None
    """Of a unit; None for a hole."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What became of one file."""

    language: str = ""
    reason: str = ""
    detail: str = ""
    licence: str = ""
    """What its own words say, as an SPDX expression; empty if they say nothing."""
    findings: tuple[Finding, ...] = ()
    redactions: dict[str, int] = field(default_factory=dict)
    """How many of each kind were replaced."""
    signature: clones.Signature | None = None
    symbols: FileSymbols | None = None
    documented: int = 0
    """Units with documentation."""
    cuts: tuple[Cut, ...] = ()
    too_long: int = 0
    """Units that are longer than a row may be, are asked for like another one, or are too many for a file."""


def analyse(item: Item) -> Analysis:
    """Everything about the file; its reason if it is rejected. Never raises because of what the file holds."""
    language = language_of(item.name, item.data)
    screened = by_content(item.data, language, item.limits)
    name = language.name if language else ""
    if screened.reason or language is None:
        return Analysis(name, screened.reason, screened.detail)
    found = _found(screened.text, item.findings)
    redacted = redact(item.name, screened.text, found, language)
    if isinstance(redacted, Unredactable):
        return Analysis(name, redacted.reason, redacted.detail, findings=found)
    parsed = parse(redacted.text, language)
    if isinstance(parsed, Failed):
        return Analysis(name, "unparsable", parsed.detail)
    if parsed.broken > item.limits.most_broken:
        return Analysis(name, "unparsable", f"{parsed.broken:.0%} of it is not understood as {name}")
    cuts, all_documented, left = _cuts(parsed, item)
    return Analysis(
        name,
        licence=in_text(screened.text),
        findings=found,
        redactions=redacted.counts,
        signature=clones.signature_of(screened.text, language.name),
        symbols=symbols(parsed),
        documented=all_documented,
        cuts=tuple(cuts),
        too_long=left,
    )


def _found(text: str, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """What must not stay in the text, with what others have found in it."""
    return tuple(merged(text, findings, find(text)))


def redacted_again(path: str, data: bytes, language: str, findings: tuple[Finding, ...]) -> str:
    """The text of a file without what was found in it, as `analyse` had it."""
    redacted = redact(PurePosixPath(path).name, decoded(data).text, findings, language_named(language))
    assert not isinstance(redacted, Unredactable)  # the same text was redacted before
    return redacted.text


def _cuts(parsed: Parsed, item: Item) -> tuple[list[Cut], int, int]:
    """The cuts, how many units are documented, and how many of these are not cut."""
    told = [unit for unit in units(parsed, item.name) if documented(unit)]
    chosen = _chosen(_told_apart(told))
    cuts: list[Cut] = []
    for unit in chosen:
        cuts += _unit_cuts(parsed, unit, item.cutting)
    for hole in holes(parsed, item.cutting.seed):
        cuts.append(_hole_cut(parsed, hole, item.cutting))
    return cuts, len(told), len(told) - sum(cut.kind == "instruction" for cut in cuts)


def _told_apart(told: list[Unit]) -> list[Unit]:
    """The first of those for which a request would read the same: one prompt with two answers teaches neither."""
    first: dict[tuple[str, str, str], Unit] = {}
    for unit in told:
        first.setdefault((unit.qualname, unit.signature, summary(unit.doc)), unit)
    return list(first.values())


def _chosen(told: list[Unit]) -> list[Unit]:
    """At most MOST_UNITS, spread over the file."""
    if len(told) <= MOST_UNITS:
        return told
    return [told[number * len(told) // MOST_UNITS] for number in range(MOST_UNITS)]


def _unit_cuts(parsed: Parsed, unit: Unit, cutting: Cutting) -> list[Cut]:
    place = code_of(parsed, unit)
    code = answer_of(parsed.data, place)
    characters = len(code) + len(unit.signature) + len(unit.doc)
    if len(code) < SHORTEST_ANSWER or characters + cutting.context_characters > cutting.row_characters:
        return []
    key = key_of_code(code)
    told = Telling(unit.kind, summary(unit.doc), head(parsed, unit), place, _shown(unit))
    kinds: tuple[RowKind, ...] = ("instruction", "chat")
    return [Cut(kind, unit.start, unit.end, None, unit.qualname, characters, key, told) for kind in kinds]


def _shown(unit: Unit) -> tuple[int, int]:
    if unit.kind == "module":
        return unit.doc_start, unit.doc_end
    start = unit.start if unit.doc_start < 0 else min(unit.start, unit.doc_start)
    return start, unit.body_start if unit.body_start > unit.start else unit.end


def _hole_cut(parsed: Parsed, hole: Hole, cutting: Cutting) -> Cut:
    room = window(parsed.data, hole, cutting.row_characters - cutting.context_characters)
    around = parsed.data[max(hole.start - 400, room.start) : hole.end + 100]
    text = around.decode("utf-8", "replace")
    return Cut("fim", room.start, room.end, hole, "", room.end - room.start, key_of_code(text))


def key_of_code(code: str) -> bytes:
    """8 bytes that stand for the code, white space aside."""
    return hashlib.blake2b(" ".join(code.split()).encode("utf-8", "surrogatepass"), digest_size=8).digest()
