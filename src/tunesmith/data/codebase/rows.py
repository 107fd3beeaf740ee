"""The rows of one file that were chosen, in full: cut, redacted, put into context and worded.

In: a file, the cuts that analysis.py found and dataset.py chose, signatures from other files. Out: the row as it is
written, and what is said of it in rows.jsonl. A pure function; runs in any process.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tunesmith.data.codebase import templates
from tunesmith.data.codebase.analysis import Cut, redacted_again
from tunesmith.data.codebase.languages import language_named
from tunesmith.data.codebase.secret_scan import Finding
from tunesmith.data.codebase.units import answer_of


class Chosen(NamedTuple):
    """A cut that becomes a row, and what stands before it."""

    cut: Cut
    context: str
    """Signatures from other files, laid out as comments."""
    evaluated: bool
    """Whether the row is for evaluation: asked as serving asks, with the prefix first."""


class Making(NamedTuple):
    """A file and what is to be made of it."""

    path: str
    data: bytes
    language: str
    findings: tuple[Finding, ...]
    chosen: tuple[Chosen, ...]


class Row(NamedTuple):
    """A row and where it comes from."""

    row: dict[str, Any]
    origin: dict[str, Any]


def make(making: Making) -> list[Row]:
    """One row for each of the chosen, in their order."""
    data = redacted_again(making.path, making.data, making.language, making.findings).encode()
    return [_fill_in(data, making, one) if one.cut.told is None else _told(data, making, one) for one in making.chosen]


def _fill_in(data: bytes, making: Making, chosen: Chosen) -> Row:
    cut, hole = chosen.cut, chosen.cut.hole
    assert hole is not None
    order = "psm" if chosen.evaluated else hole.order
    row = templates.fill_in_the_middle(
        prefix=data[cut.start : hole.start].decode(),
        middle=data[hole.start : hole.end].decode(),
        suffix=data[hole.end : cut.end].decode(),
        context=chosen.context,
        order=order,
    )
    return Row(row, _origin(making, cut, f"fim-{order}", hole.kind))


def _told(data: bytes, making: Making, chosen: Chosen) -> Row:
    cut, told = chosen.cut, chosen.cut.told
    assert told is not None
    asked = templates.Asked(
        language=making.language,
        fence=language_named(making.language).fence,
        path=making.path,
        qualname="" if told.kind == "module" else cut.unit,
        kind=told.kind,
        summary=told.summary,
        signature=told.head,
        context=chosen.context,
        code=answer_of(data, told.code),
    )
    if cut.kind == "instruction":
        return Row(templates.instruction(asked), _origin(making, cut, "instruction", ""))
    variant = cut.key[0] % templates.CHAT_VARIANTS
    return Row(templates.chat(asked, variant), _origin(making, cut, f"chat-{variant + 1}", ""))


def _origin(making: Making, cut: Cut, template: str, middle: str) -> dict[str, Any]:
    return {
        "kind": cut.kind,
        "path": making.path,
        "unit": cut.unit,
        "language": making.language,
        "template": f"{template}/{templates.VERSION}",
        "middle": middle,
        "start": cut.start,
        "end": cut.end,
    }
