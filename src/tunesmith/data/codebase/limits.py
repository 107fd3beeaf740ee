"""What a file of code may look like: all limits in one place, and rules that change them for files by glob.

    tests/**: longest_line=8000, accept=generated
    /third_party/ours/: accept=vendored

A glob means what it means in .gitignore; of two rules that fit, the later one counts. `accept` names the reasons of
screening.py that do not reject a file.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pathspec

from tunesmith.data.codebase.repository import MAX_FILE_BYTES
from tunesmith.errors import InvalidArgument

MOST_STARS = 3
"""In a glob. What it costs to try one grows with the length of a name to the power of them: 3 take 12 ms, 4 0.8 s."""
ACCEPTABLE = ("vendored", "lock", "generated", "minified", "data")
"""Reasons that are told by marks and may be wrong; the others are facts."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one file."""

    max_bytes: int = MAX_FILE_BYTES
    """1 MiB, and never more: longer files are not opened."""
    longest_line: int = 2000
    """Characters. People break lines long before; the longest of a file may be a literal."""
    mean_line: float = 100.0
    """Characters a line over the whole file, empty lines left out (the bound of StarCoder's data)."""
    least_letters: float = 0.25
    """Share of letters among the characters that are not white space (again StarCoder's): below it, a table."""
    most_broken: float = 0.05
    """Share of the bytes that the grammar may fail to understand: dialects and macros have a little."""
    accept: frozenset[str] = frozenset()
    """Reasons that do not reject."""

    def written(self) -> str:
        """The same text for the same limits."""
        return repr({**dataclasses.asdict(self), "accept": sorted(self.accept)})


@dataclass(frozen=True, slots=True)
class Rule:
    """Changes to the limits for the files that a glob fits."""

    glob: str
    changes: tuple[tuple[str, Any], ...]


class Rules:
    """The limits of every file."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = [(pathspec.GitIgnoreSpec.from_lines([rule.glob]), dict(rule.changes)) for rule in rules]

    def of(self, path: str) -> Limits:
        limits = Limits()
        for spec, changes in self._rules:
            if spec.match_file(path):
                limits = dataclasses.replace(limits, **changes)
        return limits


def rule_of(text: str) -> Rule:
    """`GLOB: name=value, name=value`; InvalidArgument names what is wrong with it."""
    glob, colon, changes = text.rpartition(":")
    if not colon or not glob.strip() or not changes.strip():
        raise InvalidArgument.of("limit", f"{text!r}: write GLOB: NAME=VALUE, such as 'tests/**: longest_line=5000'")
    found: dict[str, Any] = {}
    for change in changes.split(","):
        name, equals, value = (part.strip() for part in change.partition("="))
        if not equals:
            raise InvalidArgument.of("limit", f"{text!r}: {name!r} has no value; write NAME=VALUE")
        if name == "accept":
            found[name] = found.get(name, frozenset()) | {_known(text, value, ACCEPTABLE)}
        else:
            found[name] = _number(text, name, value)
    return Rule(checked_glob(glob.strip(), "limit"), tuple(sorted(found.items())))


def checked_glob(glob: str, option: str) -> str:
    """The same; InvalidArgument if it fits nothing, or could take hours to be tried on one name."""
    try:
        globs([glob])
    except (ValueError, re.error) as error:
        raise InvalidArgument.of(option, f"{glob!r:.200} is no glob as in .gitignore ({error})") from error
    if glob.count("**") > MOST_STARS or any(part.count("*") > MOST_STARS for part in glob.split("/")):
        raise InvalidArgument.of(
            option, f"{glob!r:.200} has more than {MOST_STARS} of ** or, between two slashes, of *; write it shorter"
        )
    return glob


def _number(text: str, name: str, value: str) -> int | float:
    known = {field.name: field.default for field in dataclasses.fields(Limits) if field.name != "accept"}
    kind = float if isinstance(known[_known(text, name, (*known, "accept"))], float) else int
    try:
        number = kind(value)
    except ValueError as error:
        raise InvalidArgument.of("limit", f"{text!r}: {value!r} is no number") from error
    most = {"max_bytes": MAX_FILE_BYTES, "least_letters": 1, "most_broken": 1}.get(name, 1 << 40)
    if not 0 <= number <= most:
        raise InvalidArgument.of("limit", f"{text!r}: {name} must be 0 to {most:,}, got {value}")
    return number


def _known(text: str, name: str, names: Sequence[str]) -> str:
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise InvalidArgument.of("limit", f"{text!r}: {name!r} is not known; {hint}known: {', '.join(names)}")


def globs(patterns: Sequence[str]) -> pathspec.GitIgnoreSpec:
    """What fits any of the globs."""
    return pathspec.GitIgnoreSpec.from_lines(patterns)
