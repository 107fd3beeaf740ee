"""Rows that stand twice, and evaluation rows that the training file gives away.

Exact: the same texts. Near: Jaccard similarity of 5-token shingles of at least 0.7, found through an inverted index of
the rarest shingles and confirmed on the whole sets, so no pair is claimed that was not computed.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

SHINGLE_TOKENS = 5
NEAR = 0.7
_TOKEN = re.compile(r"\w+|[^\w\s]")


class Text(NamedTuple):
    """One example as the rows are compared: line, prompt and answer."""

    line: int
    prompt: str
    answer: str


class Overlap(NamedTuple):
    """An evaluation row and the training row that gives it away."""

    evaluation_line: int
    training_line: int
    similarity: float
    """1.0: the same texts."""


def same_rows(texts: Sequence[Text]) -> list[list[int]]:
    """Groups of lines whose prompt and answer are the same, in the order of their first lines."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for text in texts:
        groups[_key(text.prompt, text.answer)].append(text.line)
    return [lines for lines in groups.values() if len(lines) > 1]


def conflicts(texts: Sequence[Text]) -> list[list[int]]:
    """Groups of lines with the same prompt and different answers."""
    answers: dict[bytes, dict[bytes, list[int]]] = defaultdict(lambda: defaultdict(list))
    for text in texts:
        answers[_key(text.prompt)][_key(text.answer)].append(text.line)
    groups = [
        sorted(line for lines in by_answer.values() for line in lines)
        for by_answer in answers.values()
        if len(by_answer) > 1
    ]
    return sorted(groups)


def overlaps(training: Sequence[Text], evaluation: Sequence[Text]) -> list[Overlap]:
    """For each evaluation row the most similar training row, if it is the same or nearly so."""
    exact: dict[bytes, int] = {}
    for text in training:
        exact.setdefault(_key(text.prompt, text.answer), text.line)
    found = []
    remaining = []
    for text in evaluation:
        line = exact.get(_key(text.prompt, text.answer))
        if line is None:
            remaining.append(text)
        else:
            found.append(Overlap(text.line, line, 1.0))
    return sorted(found + _near(training, remaining))


def _near(training: Sequence[Text], evaluation: Sequence[Text]) -> list[Overlap]:
    wanted = [(text.line, _shingles(text)) for text in evaluation]
    # A pair of similarity s shares at least s/(1+s) of both sets' sum; sharing one of the rare ones is necessary.
    counts = Counter(shingle for _, shingles in wanted for shingle in shingles)
    index: dict[int, list[int]] = defaultdict(list)
    for position, (_, shingles) in enumerate(wanted):
        # By pigeonhole: two sets of similarity >= NEAR share one of any (1 - NEAR) share + 1 of the first's elements.
        rare = sorted(shingles, key=lambda s: (counts[s], s))[: int((1 - NEAR) * len(shingles)) + 1]
        for shingle in rare:
            index[shingle].append(position)
    best: dict[int, Overlap] = {}
    for text in training:
        shingles = _shingles(text)
        for position in {p for shingle in shingles if shingle in index for p in index[shingle]}:
            line, other = wanted[position]
            similarity = len(shingles & other) / len(shingles | other)
            if similarity >= NEAR and (line not in best or similarity > best[line].similarity):
                best[line] = Overlap(line, text.line, similarity)
    return list(best.values())


def _shingles(text: Text) -> frozenset[int]:
    """Hashes of the runs of 5 tokens of prompt and answer; of the whole if it is shorter."""
    tokens = [*_TOKEN.findall(text.prompt), "\x00", *_TOKEN.findall(text.answer)]
    runs = range(max(1, len(tokens) - SHINGLE_TOKENS + 1))
    return frozenset(hash(tuple(tokens[i : i + SHINGLE_TOKENS])) for i in runs)


def _key(*texts: str) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()
