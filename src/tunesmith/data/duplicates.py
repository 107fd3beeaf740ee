"""Rows that stand twice, and texts that another file gives away.

Exact: the same texts, by hash. Near: Jaccard similarity of 5-token shingles of at least 0.7. `Shingled` holds a small
set of texts (an evaluation file, a suite) as postings; the rows of a large file are compared with all of them as they
go by, each pair exactly, so nothing is missed and nothing is claimed that was not computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunesmith.data.shingles import Hashes, shingles_of

NEAR = 0.7
"""Jaccard similarity from which two rows are one row in other words."""
CONTAINED = 0.8
"""Share of a text's shingles in a row from which the row holds the text."""
LEAST_SHINGLES = 10
"""A shorter text may be in a row by chance."""
LEAST_CODE_SHINGLES = 20
"""Likewise of code alone: 24 tokens, about three lines. With 10, one held-out `s = pd.Series([1, 2, 3])` stood in 517
of 10,000 rows made from pandas; with 20, all 250 held-out rows together in 18, with 30 in 9."""


_SLOTS_A_SHINGLE = 16
_MOST_BITS = 22
# Of a table by the first bits of shingles, in which those of the small set are marked: 4 MB, near to a core.


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
        sets = [shingles_of(text) for text in texts]
        self._sizes = np.array([len(one) for one in sets], np.int64)
        every = np.concatenate(sets) if sets else np.zeros(0, np.uint64)
        order = np.argsort(every, kind="stable")
        self._known, starts = np.unique(every[order], return_index=True)
        self._ends = np.append(starts, len(every))
        self._holders = np.repeat(np.arange(len(sets)), self._sizes)[order]
        bits = min((_SLOTS_A_SHINGLE * len(self._known)).bit_length(), _MOST_BITS)
        self._shift = np.uint64(64 - bits)
        self._slots = np.zeros(1 << bits, np.bool_)
        self._slots[self._known >> self._shift] = True

    def near(self, text: str) -> Iterator[Match]:
        """The texts at least NEAR like this one, by Jaccard similarity."""
        return self.near_to(shingles_of(text))

    def near_to(self, shingles: Hashes) -> Iterator[Match]:
        """As `near`, of a text by its shingles."""
        shared = self._shared(shingles)
        if shared is None:
            return
        similarity = shared / (self._sizes + len(shingles) - shared)
        for number in np.flatnonzero(similarity >= NEAR):
            yield Match(int(number), float(similarity[number]))

    def contained(self, text: str) -> Match | None:
        """The text of which most is in this one, if that is at least CONTAINED and the text is not tiny."""
        return self.contained_in(shingles_of(text))

    def contained_in(self, shingles: Hashes, least_shingles: int = LEAST_SHINGLES) -> Match | None:
        """As `contained`, of a text by its shingles; a text with fewer than `least_shingles` is tiny."""
        shared = self._shared(shingles)
        if shared is None:
            return None
        share = np.where(self._sizes >= least_shingles, shared / np.maximum(self._sizes, 1), 0.0)
        best = int(share.argmax())
        return Match(best, float(share[best])) if share[best] >= CONTAINED else None

    def _shared(self, shingles: Hashes) -> NDArray[np.int64] | None:
        """How many of these shingles each text has; None if none of them has any."""
        if not len(self._known):
            return None
        likely = shingles[self._slots[shingles >> self._shift]]  # most are in none, and seen to be at once
        places = np.searchsorted(self._known, likely)
        places[places == len(self._known)] = 0
        places = places[self._known[places] == likely]
        if not len(places):
            return None
        starts, counts = self._ends[places], self._ends[places + 1] - self._ends[places]
        ends = np.cumsum(counts)
        found = self._holders[np.arange(ends[-1]) + np.repeat(starts - ends + counts, counts)]
        return np.bincount(found, minlength=len(self._sizes))


def key(*texts: str) -> bytes:
    """16 bytes that stand for the texts, whatever characters they have."""
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()
