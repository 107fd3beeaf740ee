"""Tasks of public benchmarks among the rows: a model that has seen them cannot be scored on them.

Told by marks that their files carry (HumanEval's ids and checks, MBPP's ids and prompts) and by sentences that stand
in their tasks alone; the tasks of a suite that is named are compared in full (duplicates.py).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tunesmith.data.duplicates import LEAST_CODE_SHINGLES, LEAST_SHINGLES, Shingled
from tunesmith.data.formats import parse_row
from tunesmith.data.lines import read_lines
from tunesmith.data.shingles import Hashes
from tunesmith.errors import InvalidArgument, NotFound

_ID = re.compile(r"\bHumanEval/\d+|(?i:\bmbpp)[/ _-]\d+")
_ID_HINTS = ("HumanEval/", "mbpp", "MBPP", "Mbpp")
# As they stand with runs of blanks folded to one.
_MARKS: tuple[tuple[str, str], ...] = (
    ("HumanEval", "METADATA = { 'author': 'jt'"),
    ("HumanEval", "def check(candidate):"),
    ("HumanEval", "def has_close_elements("),
    ("HumanEval", "def separate_paren_groups("),
    ("HumanEval", "any two numbers closer to each other than given threshold"),
    ("HumanEval", "a string containing multiple groups of nested parentheses"),
    ("HumanEval", "it can be decomposed into and integer part"),
    ("HumanEval", "a list of deposit and withdrawal operations on a bank account"),
    ("HumanEval", "calculate Mean Absolute Deviation around the mean"),
    ("HumanEval", "Insert a number 'delimeter' between every two consecutive"),
    ("MBPP", "Your code should pass these tests:"),
    ("MBPP", "find the minimum cost path to reach (m, n) from (0, 0)"),
    ("MBPP", "find the similar elements from the given two tuple lists"),
    ("MBPP", "python function to identify non-prime numbers"),
    ("MBPP", "largest integers from a given list of numbers using heap queue algorithm"),
    ("MBPP", "check whether the two numbers differ at one bit position only or not"),
)


class Suite(NamedTuple):
    """The tasks of a file of problems: their names, and their texts to compare with; empty where one has none."""

    file: str
    names: list[str]
    prompts: Shingled
    solutions: Shingled


class Held(NamedTuple):
    """A task that a text holds."""

    task: str
    what: str
    """prompt or solution."""
    share: float
    """Of its shingles."""


def open_suite(path: Path) -> Suite:
    """The suite in a JSONL file whose rows have a `prompt` or `text`. NotFound, or InvalidArgument if it has none.

    Solutions are `canonical_solution` (HumanEval) or `code` (MBPP).
    """
    if not path.is_file():
        raise NotFound(f"suite: {path}: no such file")
    names, prompts, solutions = [], [], []
    for raw in read_lines(path):
        row = parse_row(raw.data) if raw.data.strip() else None
        prompt = (row.get("prompt") or row.get("text")) if isinstance(row, dict) else None
        if isinstance(row, dict) and isinstance(prompt, str):
            names.append(str(row.get("task_id") or row.get("id") or f"line {raw.number}"))
            prompts.append(prompt)
            solution = row.get("canonical_solution") or row.get("code")
            solutions.append(solution if isinstance(solution, str) else "")
    if not prompts:
        raise InvalidArgument.of("suite", f"{path} has no row with a prompt; give a JSONL file of problems")
    return Suite(path.name, names, Shingled(prompts), Shingled(solutions))


def held(shingles: Hashes, suite: Suite) -> Held | None:
    """The task of which a text, given by its shingles, holds a prompt, or else a solution."""
    for what, texts, least in (
        ("prompt", suite.prompts, LEAST_SHINGLES),
        ("solution", suite.solutions, LEAST_CODE_SHINGLES),
    ):
        if found := texts.contained_in(shingles, least):
            return Held(suite.names[found.text], what, found.similarity)
    return None


def find(text: str, suite: Suite | None = None) -> str | None:
    """Which task the text holds, in words; None if it holds none that is known."""
    if any(hint in text for hint in _ID_HINTS) and (match := _ID.search(text)):
        return f"names the benchmark task {match[0]}"
    folded = " ".join(text.split())
    for benchmark, mark in _MARKS:
        if mark in folded:
            return f"has a mark of {benchmark}: {mark!r}"
    if suite is not None and (found := suite.prompts.contained(text)):
        return f"holds {found.similarity:.0%} of the task {suite.names[found.text]} of {suite.file}"
    return None
