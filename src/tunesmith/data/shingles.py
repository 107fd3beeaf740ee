"""A text as the set of its runs of five tokens, each a number of 64 bits: what nearness of texts is computed from.

A token is a run of letters, digits and underscores, or one other sign; white space parts tokens and is none. The
numbers are the same on every machine and in every process, and are reckoned in arrays: 25 MB of text a second and
core, where sets of tuples of strings make 4. Two runs that differ have the same number with a probability of 2**-64.
Not here: what is done with the sets (duplicates.py; codebase/clones.py, which knows comments and names).
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

SHINGLE_TOKENS = 5

Hashes = NDArray[np.uint64]

SPACE, WORD, SIGN = 0, 1, 2
_PLACES = 1024
# Characters of a token that differ in their weights; those of a longer one begin again.
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


def code_points(text: str) -> NDArray[np.uint32] | NDArray[np.uint8]:
    """The characters of a text as numbers; its own array, which may be changed."""
    if text.isascii():
        return np.frombuffer(bytearray(text, "ascii"), np.uint8)
    return np.frombuffer(bytearray(text, "utf-32-le", "surrogatepass"), np.uint32)


def kinds_of(points: NDArray[np.uint32] | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """SPACE, WORD or SIGN for each character, as `\\s`, `\\w` and the rest of a regular expression."""
    if points.dtype == np.uint8:
        return _kinds_of_ascii()[points]
    kinds = np.zeros(int(points.max(initial=0)) + 1, np.uint8)
    for point in np.unique(points).tolist():
        kinds[point] = _kind(chr(point))
    return kinds[points]


def starts_of(kinds: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where tokens start."""
    word = kinds == WORD
    starts = kinds == SIGN
    starts[:1] |= word[:1]
    starts[1:] |= word[1:] & ~word[:-1]
    return np.flatnonzero(starts)


def hashes_of(
    points: NDArray[np.uint32] | NDArray[np.uint8], kinds: NDArray[np.uint8], starts: NDArray[np.int64]
) -> Hashes:
    """The number of each token."""
    if not len(starts):
        return np.zeros(0, np.uint64)
    lengths = np.diff(starts, append=len(points))
    lengths[0] += starts[0]  # white space in front, which counts nothing
    places = np.arange(len(points)) - np.repeat(starts, lengths)
    values = _weights()[places & (_PLACES - 1)]
    values *= points + np.uint64(1)
    values[kinds == SPACE] = 0
    return mixed(np.add.reduceat(values, starts))


def tokens_of(text: str) -> Hashes:
    """The number of each token of a text."""
    points = code_points(text)
    kinds = kinds_of(points)
    return hashes_of(points, kinds, starts_of(kinds))


def runs_of(tokens: Hashes, length: int = SHINGLE_TOKENS) -> Hashes:
    """The number of each run of tokens, in the order of the text; of all tokens together if they are fewer."""
    length = min(length, len(tokens))
    runs = np.zeros(max(len(tokens) - length + 1, 1), np.uint64)
    for place in range(length):
        runs += tokens[place : place + len(runs)] * _weights()[place]
    return mixed(runs)


def shingles_of(text: str) -> Hashes:
    """The set of a text's runs: ascending, each once, never empty."""
    return distinct(runs_of(tokens_of(text)))


def distinct(hashes: Hashes) -> Hashes:
    """Each number once, ascending: np.unique of numpy 2.4 takes eight times as long."""
    ordered = np.sort(hashes)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def jaccard(one: Hashes, other: Hashes) -> float:
    """Shared members by all members of two ascending sets; 0 if both are empty."""
    shared = shared_by(one, other)
    return shared / max(len(one) + len(other) - shared, 1)


def shared_by(one: Hashes, other: Hashes) -> int:
    """How many members two ascending sets have in common."""
    few, many = (one, other) if len(one) <= len(other) else (other, one)
    places = np.searchsorted(many, few)
    places[places == len(many)] = 0
    return int(np.count_nonzero(many[places] == few)) if len(many) else 0


def mixed(values: Hashes) -> Hashes:
    """Each bit of the values spread over all bits; in place."""
    for _ in range(2):
        values ^= values >> _HALF
        values *= _FACTOR
    values ^= values >> _HALF
    return values


def numbers(seed: int, count: int) -> Hashes:
    """Odd numbers of 64 bits that look drawn by lot."""
    start = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0xD1342543DE82EF95) + np.uint64(seed)
    return mixed(start) | np.uint64(1)


@functools.cache
def _weights() -> Hashes:
    return numbers(1, _PLACES)


@functools.cache
def _kinds_of_ascii() -> NDArray[np.uint8]:
    return np.array([_kind(chr(point)) for point in range(128)], np.uint8)


def _kind(character: str) -> int:
    if character.isspace():
        return SPACE
    return WORD if character.isalnum() or character == "_" else SIGN
