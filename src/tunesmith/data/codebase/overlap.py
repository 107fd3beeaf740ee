"""Rows that give the evaluation away, or hold a task of a benchmark: found in what was written, after all else.

The split keeps copies of files and texts apart (split.py); this looks at the rows themselves, whatever they were made
from. In: the rows of a build. Out: which of them to take out, and a line for the report on each. Of a training row and
an evaluation row that overlap the training row goes: the evaluation stays as large as it was and measures what it
says, and training loses one row of thousands. A row with a task of a benchmark goes from either file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tunesmith.data.benchmarks import Suite, held, open_suite
from tunesmith.data.duplicates import LEAST_CODE_SHINGLES, Match, Shingled
from tunesmith.data.shingles import Hashes, distinct, shingles_of

HOW = {
    "same-row": "prompt and answer are those of an evaluation row, but for white space",
    "same-prompt": "the prompt is that of an evaluation row, and has ten words",
    "same-answer": "an answer is that of an evaluation row, and has ten words",
    "near": "at least 0.7 of the runs of five tokens are common to both rows (Jaccard similarity)",
    "holds-answer": "at least 0.8 of the runs of an evaluation row's answer, which are 20, are in the row",
}
"""In what way a training row gives an evaluation row away, the surest first: code -> what it means."""

_LEAST_WORDS = 10


class Written(NamedTuple):
    """A row of a file, in the parts that are compared."""

    file: str
    line: int
    prompt: str
    answers: tuple[str, ...]
    whole: str
    """As it stands in the source: prefix, middle and suffix of a row that fills in; else prompt and answers."""
    context: str = ""
    """What stands before it all; only looked through for answers and tasks."""


class Overlap(NamedTuple):
    """A training row that gives an evaluation row away."""

    file: str
    row: int
    evaluation_file: str
    evaluation_row: int
    how: str
    """A code of HOW."""
    share: float


class Task(NamedTuple):
    """A row that holds a task of a benchmark."""

    file: str
    row: int
    suite: str
    task: str
    what: str
    """prompt or solution."""
    share: float


class Overlaps(NamedTuple):
    """What is wrong with the rows of a build, each row once."""

    overlaps: tuple[Overlap, ...]
    tasks: tuple[Task, ...]


def written(file: str, line: int, row: Mapping[str, Any]) -> Written:
    """A row of any form that a build writes."""
    context = row.get("context") or ""
    if "middle" in row:
        prefix, middle, suffix = row["prefix"], row["middle"], row["suffix"]
        return Written(file, line, f"{prefix}\0{suffix}", (middle,), f"{prefix}{middle}{suffix}", context)
    if "messages" in row:
        said = [(message["author"], message["content"]) for message in row["messages"]]
        prompt = "\n".join(content for author, content in said if author == "user")
        answers = tuple(content for author, content in said if author != "user")
        return Written(file, line, prompt, answers, "\n".join(content for _, content in said), context)
    prompt, answer = row["input_text"], row["output_text"]
    return Written(file, line, prompt, (answer,), f"{prompt}\n{answer}", context)


class Share(NamedTuple):
    """Some of the training rows, to be compared with all that is held out."""

    training: Sequence[Written]
    evaluation: Sequence[Written]
    suites: Sequence[Path]


def compare_share(share: Share) -> Overlaps:
    """For a process of its own; what is found in the evaluation is found by each."""
    return compare(share.training, share.evaluation, [open_suite(path) for path in share.suites])


def compare(training: Sequence[Written], evaluation: Sequence[Written], suites: Sequence[Suite] = ()) -> Overlaps:
    """Every row that is to go: first those with a task, then what gives away an evaluation row that stays.

    10,000 training rows of 3 KB and 250 evaluation rows take 2 s on one core.
    """
    tasks: list[Task] = []
    stays = []
    for row in evaluation:
        found = list(_tasks(row, _everything(row, shingles_of(row.whole)), suites))
        tasks += found
        if not found:
            stays.append(row)
    tested = _Tested(stays)
    overlaps: list[Overlap] = []
    whole, shingles, near = "", shingles_of(""), None
    for row in training:
        if row.whole != whole:  # several rows that fill in are cut from one text
            whole, shingles = row.whole, shingles_of(row.whole)
            near = tested.near(shingles)
        everything = _everything(row, shingles)
        found = list(_tasks(row, everything, suites))
        tasks += found
        if not found and (overlap := tested.overlap(row, near, everything)):
            overlaps.append(overlap)
    return Overlaps(tuple(overlaps), tuple(tasks))


def _everything(row: Written, shingles: Hashes) -> Hashes:
    return distinct(np.concatenate([shingles, shingles_of(row.context)])) if row.context else shingles


def _tasks(row: Written, shingles: Hashes, suites: Sequence[Suite]) -> Iterator[Task]:
    """The task that it holds of each suite."""
    for suite in suites:
        if found := held(shingles, suite):
            yield Task(row.file, row.line, suite.file, found.task, found.what, round(found.share, 4))


class _Tested:
    """The evaluation rows, to look training rows up in. Built once, then only read."""

    def __init__(self, rows: Sequence[Written]) -> None:
        self._rows = rows
        self._exact: dict[tuple[str, bytes], int] = {}
        for number, row in enumerate(rows):
            for how in _exactly(row):
                self._exact.setdefault(how, number)
        self._wholes = Shingled([row.whole for row in rows])
        answers = [(number, answer) for number, row in enumerate(rows) for answer in row.answers]
        self._answered = [number for number, _ in answers]
        self._answers = Shingled([answer for _, answer in answers])

    def near(self, shingles: Hashes) -> Match | None:
        """The row most like a text, of those that are near to it."""
        return max(self._wholes.near_to(shingles), key=lambda match: match.similarity, default=None)

    def overlap(self, row: Written, near: Match | None, everything: Hashes) -> Overlap | None:
        """The surest way in which the row gives one of them away; `near` is the one that its text is near to."""
        for how in _exactly(row):
            if (number := self._exact.get(how)) is not None:
                return self._found(row, number, how[0], 1.0)
        if near is not None:
            return self._found(row, near.text, "near", near.similarity)
        if answer := self._answers.contained_in(everything, LEAST_CODE_SHINGLES):
            return self._found(row, self._answered[answer.text], "holds-answer", answer.similarity)
        return None

    def _found(self, row: Written, number: int, how: str, share: float) -> Overlap:
        other = self._rows[number]
        return Overlap(row.file, row.line, other.file, other.line, how, round(share, 4))


def _exactly(row: Written) -> Iterator[tuple[str, bytes]]:
    """What must not be the same in another row, with the code of HOW; the surest first."""
    prompt, answers = _solid(row.prompt), [_solid(answer) for answer in row.answers]
    yield "same-row", _hash(prompt, *answers)
    if _has_words(row.prompt):
        yield "same-prompt", _hash(prompt)
    for text, answer in zip(row.answers, answers, strict=True):
        if _has_words(text):
            yield "same-answer", _hash(answer)


def _has_words(text: str) -> bool:
    return len(text.split(maxsplit=_LEAST_WORDS - 1)) == _LEAST_WORDS


def _solid(text: str) -> bytes:
    """A text without white space."""
    if text.isascii():
        return text.encode().translate(None, _BLANKS)
    return "".join(text.split()).encode("utf-8", "surrogatepass")


_BLANKS = bytes(code for code in range(128) if chr(code).isspace())


def _hash(*texts: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        digest.update(len(text).to_bytes(8, "little") + text)
    return digest.digest()
