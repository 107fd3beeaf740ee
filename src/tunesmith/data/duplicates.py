"""Rows that stand twice, and texts that another file gives away.

Exact: the same texts, by hash. Near: Jaccard similarity of 5-token shingles of at least 0.7. `Shingled` holds a small
set of texts (an evaluation file, a suite) as postings; the rows of a large file are compared with all of them as they
go by, each pair exactly, so nothing is missed and nothing is claimed that was not computed.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SHINGLE_TOKENS = 5
NEAR = 0.7
"""Jaccard similarity from which two rows are one row in other words."""
CONTAINED = 0.8
"""Share of a text's shingles in a row from which the row holds the text."""
_LEAST_SHINGLES = 10
# A shorter text may be in a row by chance.
_TOKEN = re.compile(r"\w+|[^\w\s]")


class Match(NamedTuple):
    """A text of the small set, and how much of it is in the row that was compared."""

    text: int
    similarity: float


@dataclass(slots=True)
class Rows:
    """What is remembered of the rows that went by: hashes and lines, no texts."""

    by_row: dict[bytes, list[int]] = field(default_factory=dict)
    by_prompt: dict[bytes, dict[bytes, list[int]]] = field(default_factory=dict)

    def add(self, line: int, prompt: str, answer: str) -> None:
        row, answered = key(prompt, answer), key(answer)
        self.by_row.setdefault(row, []).append(line)
        self.by_prompt.setdefault(key(prompt), {}).setdefault(answered, []).append(line)

    def repeated(self) -> list[list[int]]:
        """Groups of lines with the same prompt and answer, by their first lines."""
        return [lines for lines in self.by_row.values() if len(lines) > 1]

    def conflicts(self) -> list[list[int]]:
        """Groups of lines with the same prompt and different answers, by their first lines."""
        several = (answers.values() for answers in self.by_prompt.values() if len(answers) > 1)
        return sorted(sorted(line for lines in group for line in lines) for group in several)


class Shingled:
    """A few texts, each as a set of shingles, to compare many others with. Built once, then only read."""

    def __init__(self, texts: Sequence[str]) -> None:
        postings: dict[int, list[int]] = defaultdict(list)
        sizes = []
        for number, text in enumerate(texts):
            shingles = set(_shingles(text))
            sizes.append(len(shingles))
            for shingle in shingles:
                postings[shingle].append(number)
        self._sizes = np.array(sizes, np.int64)
        self._postings = {shingle: np.array(numbers, np.int64) for shingle, numbers in postings.items()}

    def near(self, text: str) -> Iterator[Match]:
        """The texts at least NEAR like this one, by Jaccard similarity."""
        shingles = set(_shingles(text))
        shared = self._shared(shingles)
        if shared is None:
            return
        similarity = shared / (self._sizes + len(shingles) - shared)
        for number in np.flatnonzero(similarity >= NEAR):
            yield Match(int(number), float(similarity[number]))

    def contained(self, text: str) -> Match | None:
        """The text of which most is in this one, if that is at least CONTAINED and the text is not tiny."""
        shared = self._shared(set(_shingles(text)))
        if shared is None:
            return None
        share = np.where(self._sizes >= _LEAST_SHINGLES, shared / np.maximum(self._sizes, 1), 0.0)
        best = int(share.argmax())
        return Match(best, float(share[best])) if share[best] >= CONTAINED else None

    def _shared(self, shingles: set[int]) -> NDArray[np.int64] | None:
        """How many of these shingles each text has; None if none of them has any."""
        found = [self._postings[shingle] for shingle in self._postings.keys() & shingles]
        return np.bincount(np.concatenate(found), minlength=len(self._sizes)) if found else None


def key(*texts: str) -> bytes:
    """16 bytes that stand for the texts, whatever characters they have."""
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()


def _shingles(text: str) -> Iterator[int]:
    """Hashes of the runs of 5 tokens; of the whole text if it is shorter."""
    tokens = _TOKEN.findall(text)
    if len(tokens) < SHINGLE_TOKENS:
        return iter((hash(tuple(tokens)),))
    return map(hash, zip(*(tokens[start:] for start in range(SHINGLE_TOKENS)), strict=False))
