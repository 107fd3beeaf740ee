"""REUSE's lists of which files are under which licence: REUSE.toml, and the older .reuse/dep5.

In: such a file. Out: its annotations, each a pattern of paths with an expression. Source: REUSE specification 3.3.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tunesmith.data.codebase.spdx import UNIDENTIFIED, all_of, canonical

_LONGEST = 32_768
"""Characters of such a file that are read; real ones have a tenth of it."""
_DEEP_KEY = re.compile(r"(?m)^[^=\n.]{0,200}(?:\.[^=\n.]{0,200}){10}")
"""The parser takes the square of their length."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """What files whose paths fit are under; of several that fit, the last one of the deepest folder counts."""

    folder: str
    """The patterns are relative to it; '' is the root."""
    patterns: tuple[str, ...]
    expression: str
    precedence: str
    """`closest`: the file's own words count more; `override`: less; `aggregate`: both."""
    source: str

    def fits(self, path: str) -> bool:
        inside = f"{self.folder}/" if self.folder else ""
        return path.startswith(inside) and any(_fits(path[len(inside) :], pattern) for pattern in self.patterns)


def annotations_of(path: str, text: str) -> list[Annotation]:
    """Those of a file, in its order; none of one that cannot be read."""
    if path.endswith("dep5"):
        folder = path.removesuffix(".reuse/dep5").rstrip("/")
        return list(_of_dep5(folder, path, text[:_LONGEST]))
    try:
        content = tomllib.loads(text) if len(text) <= _LONGEST and not _DEEP_KEY.search(text) else {}
    except (ValueError, RecursionError):
        return []
    return list(_of_toml(path.rpartition("/")[0], path, content.get("annotations")))


def _of_toml(folder: str, path: str, tables: Any) -> Iterator[Annotation]:
    for table in tables if isinstance(tables, list) else ():
        if isinstance(table, dict):
            stated = all_of(canonical(one) or UNIDENTIFIED for one in _strings(table.get("SPDX-License-Identifier")))
            if stated:
                precedence = str(table.get("precedence", "closest"))
                yield Annotation(folder, tuple(_strings(table.get("path"))), stated, precedence, path)


def _of_dep5(folder: str, path: str, text: str) -> Iterator[Annotation]:
    """Paragraphs of a Debian copyright file, where * goes over slashes as well."""
    for paragraph in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")):
        files = re.search(r"(?m)^Files:([^\n]{0,2000}(?:\n[ \t][^\n]{0,500}){0,200})", paragraph)
        licence = re.search(r"(?m)^License:[ \t]*([^\n]{1,300})", paragraph)
        if files is not None and licence is not None:
            patterns = tuple(re.sub(r"\*+", "**", word) for word in files[1].split())
            yield Annotation(folder, patterns, canonical(licence[1].strip()) or UNIDENTIFIED, "closest", path)


def _strings(value: Any) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]


def _fits(path: str, pattern: str) -> bool:
    """`*` stands for anything without a slash, `**` for anything. Never worse than the square of the lengths."""
    at = place = 0
    star: tuple[int, int] | None = None
    stars: tuple[int, int] | None = None
    while place < len(path):
        if pattern.startswith("**", at):
            stars, star, at = (at + 2, place), None, at + 2
        elif pattern.startswith("*", at):
            star, at = (at + 1, place), at + 1
        elif pattern[at : at + 1] == path[place]:
            at, place = at + 1, place + 1
        elif star is not None and path[star[1]] != "/":
            star = (star[0], star[1] + 1)
            at, place = star
        elif stars is not None:
            stars, star = (stars[0], stars[1] + 1), None
            at, place = stars
        else:
            return False
    return not pattern[at:].strip("*")
