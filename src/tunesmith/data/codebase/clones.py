"""Files that are copies of one another, in other words or other names: which they are, and which one of them stays.

In: texts, one at a time (`signature_of`, a pure function for worker processes); then the signatures of all of them.
Out: clusters, each with the one file that is kept. A signature is 0.7 KB, so the texts themselves need not stay in
memory: those that look alike are asked for again, and only an exact comparison joins two files.

Tokens are what shingles.py says, without comments, white space, `;` and a `,` before a bracket that closes, and with
one sign for all quotes. Two files are alike if

    exact    their contents are the same
    near     their tokens are the same, however few; or of their runs of five tokens at least NEAR are common to both
    renamed  likewise of their runs of twelve tokens, each name in them replaced by how many tokens ago it stood last

and if a is like b and b is like c, all three are one cluster. All languages are compared with one another.
What can be missed: of two files whose similarity is 0.7, 0.5 % (near) and 1.7 % (renamed) meet in no bucket or look
unlike there; of 0.75, 0.03 % and 0.3 %; and see _MOST_REFUSED. What is joined was always compared exactly.

Measured on 13,141 files (227 MB of the standard library, numpy, scipy, pandas, sympy, networkx, sqlalchemy, torch
without its generated headers, transformers): 23 exact, 302 near, 35 renamed, 99 in a cluster by way of another member.
Of 26 near ones that were read, 24 were copies that people had adapted, 2 were lists of imports in one form; of the 35
renamed ones, 30 and 5 (classes that only wrap something, imports).
Speed on one core: signatures of 15 MB of source a second; 200,000 signatures, 20,000 of them of copies, in 13 s.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunesmith.data.duplicates import NEAR, key
from tunesmith.data.shingles import (
    SPACE,
    WORD,
    Hashes,
    code_points,
    distinct,
    hashes_of,
    jaccard,
    kinds_of,
    mixed,
    numbers,
    runs_of,
    starts_of,
    tokens_of,
)

NAMELESS_TOKENS = 12
"""Tokens of a run without names. Five of them are much the same in all code of a language; with eight, twice as many
pairs of files are alike that have nothing in common but their form."""
_REACH = 6
# Tokens back to where a name may have stood before; further back, whatever is put in between would change a run.
LEAST_RUNS = 30
"""Files with fewer are near only if all their tokens are the same: two different short files share half by chance."""
FEW_RUNS = 100
"""About 400 bytes. A file with fewer runs must be NEAR_OF_FEW: at NEAR, 150 short headers and lists of imports of torch
and scipy were joined that have only their form in common. It is never found without its names."""
NEAR_OF_FEW = 0.9
LEAST_VARIED = 0.5
"""Share of runs without names that must differ from one another: 1,000 lines that each include another file are one
run in this form, and like any other such list."""

_CACHE_BYTES = 64 << 20
_MOST_REFUSED = 64
# Files that one is compared with in vain before it is compared with no more: an end to what was made to look alike.
_MOST_COMPARED = 1000
# Files of other clusters that a file looks at in one bucket, for the same reason.
_BLOCK = 128
# Runs that are permuted at once: 128 KB of values, which a core keeps near it.


class Signature(NamedTuple):
    """What is remembered of a text."""

    content: bytes
    """Hash of the text."""
    tokens: bytes
    """Hash of its tokens; empty if it has none."""
    plain: bytes
    """256 minima of its runs; empty if they are too few to compare."""
    renamed: bytes
    """64 minima of its runs without names; empty likewise."""


class Shingles(NamedTuple):
    """A text's sets of runs, ascending: as they are, and without names."""

    plain: Hashes
    renamed: Hashes


class Member(NamedTuple):
    """A file of a cluster that is not kept."""

    file: int
    """Its index."""
    kind: str
    """exact, near or renamed: how it is like the one that is kept; linked: only by way of another member."""
    similarity: float
    """With the one that is kept: Jaccard similarity of the sets that the kind names."""


class Cluster(NamedTuple):
    """Files that are alike."""

    id: str
    kind: str
    """exact if all have one content, else near."""
    kept: int
    members: tuple[Member, ...]
    """The others, ordered by path."""


class _Level(NamedTuple):
    permutations: int
    band: int
    """Minima that must agree for two files to meet in a bucket."""
    likely: float
    """Least share of agreeing minima for which the texts are compared: 3.5 and 2.6 deviations below NEAR."""


_PLAIN = _Level(permutations=256, band=6, likely=0.6)
_NAMELESS = _Level(permutations=64, band=4, likely=0.55)


def signature_of(text: str, language: str) -> Signature:
    """Of one text in a language by its name; the same in every process."""
    tokens, nameless = _tokens_of(text, language)
    sets = _sets_of(tokens, nameless)
    return Signature(
        key(text),
        hashlib.blake2b(tokens.tobytes(), digest_size=16).digest() if len(tokens) else b"",
        _minima(sets.plain, _PLAIN.permutations) if len(sets.plain) >= LEAST_RUNS else b"",
        _minima(sets.renamed, _NAMELESS.permutations) if len(sets.renamed) >= FEW_RUNS else b"",
    )


def shingles_of(text: str, language: str) -> Shingles:
    """The sets that are compared where signatures are alike."""
    return _sets_of(*_tokens_of(text, language))


def clusters(
    paths: Sequence[str],
    signatures: Sequence[Signature],
    shingles: Callable[[int], Shingles],
    context: Callable[[int], Any],
) -> list[Cluster]:
    """Every group of files that are alike, ordered by its first path; whatever the order of the files.

    shingles  those of the file at an index; asked again where two signatures are alike
    context   a key to sort by: the file with the largest stays; of several, the least deep, then the first by path
    """
    order = sorted(range(len(paths)), key=lambda index: paths[index])
    files = [signatures[index] for index in order]
    sets = _Sets(lambda rank: shingles(order[rank]))
    forest = _Forest(len(files))
    firsts = _join_by_hash(files, forest)
    _join_by_likeness(_PLAIN, _are_near, [(rank, files[rank].plain) for rank in firsts], sets, forest)
    _join_by_likeness(_NAMELESS, _are_renamed, [(rank, files[rank].renamed) for rank in firsts], sets, forest)
    found: list[Cluster] = []
    for group in forest.groups():
        contexts = {rank: context(order[rank]) for rank in group}
        most = max(contexts.values())
        richest = [rank for rank in group if contexts[rank] == most]
        kept = min(richest, key=lambda rank: (paths[order[rank]].count("/"), rank))
        found.append(_cluster(f"c{len(found) + 1:06}", group, kept, files, sets, order))
    return found


def _join_by_hash(files: Sequence[Signature], forest: _Forest) -> list[int]:
    """Joins files of one content or the same tokens; the first of each group, in order."""
    first: dict[bytes, int] = {}
    firsts = []
    for rank, file in enumerate(files):
        known = [first.setdefault(one, rank) for one in (file.content, file.tokens) if one]
        for other in known:
            forest.join(other, rank)
        if all(other == rank for other in known):
            firsts.append(rank)
    return firsts


def _join_by_likeness(
    level: _Level, alike: _Alike, files: Sequence[tuple[int, bytes]], sets: _Sets, forest: _Forest
) -> None:
    """Joins the files, given by rank and minima, that are alike.

    Two files of similarity s meet in a bucket with the probability 1 - (1 - s**band)**(permutations // band).
    """
    comparable = [(rank, minima) for rank, minima in files if minima]
    if not comparable:
        return
    minima = np.frombuffer(b"".join(one for _, one in comparable), "<u2").reshape(-1, level.permutations)
    meeting = _Meeting(level.likely, alike, [rank for rank, _ in comparable], minima, sets, forest)
    for start in range(0, level.permutations - level.band + 1, level.band):
        for bucket in _equal(_keys(minima[:, start : start + level.band])):
            meeting.join(bucket)


def _keys(part: NDArray[np.uint16]) -> Hashes:
    keys = np.zeros(len(part), np.uint64)
    for column, weight in zip(part.T, numbers(3, part.shape[1]), strict=True):
        keys += column * weight
    return mixed(keys)


def _equal(keys: Hashes) -> Iterator[NDArray[np.int64]]:
    """Places of keys that occur several times, ascending."""
    order = np.argsort(keys, kind="stable")
    borders = np.flatnonzero(np.diff(keys[order])) + 1
    starts, ends = np.append(0, borders), np.append(borders, len(keys))
    several = ends - starts > 1
    for start, end in zip(starts[several].tolist(), ends[several].tolist(), strict=True):
        yield order[start:end]


class _Meeting:
    """Files that met in a bucket, compared; remembers who was refused."""

    def __init__(
        self,
        likely: float,
        alike: _Alike,
        ranks: Sequence[int],
        minima: NDArray[np.uint16],
        sets: _Sets,
        forest: _Forest,
    ) -> None:
        self._likely, self._alike, self._sets, self._forest = likely, alike, sets, forest
        self._ranks, self._minima = np.array(ranks), minima
        self._refused: set[tuple[int, int]] = set()
        self._refusals: dict[int, int] = defaultdict(int)

    def join(self, bucket: NDArray[np.int64]) -> None:
        """Joins the files at these places that are alike.

        Afterwards any two of them are in one cluster, or look unlike, or were compared and refused. Those that are in
        one cluster already are not compared: 10,000 near copies cost 10,000 comparisons, not 50 million.
        """
        roots = np.array([self._forest.root(rank) for rank in self._ranks[bucket].tolist()])
        for at in range(len(bucket) - 1):
            others = at + 1 + np.flatnonzero(roots[at + 1 :] != roots[at])[:_MOST_COMPARED]
            if not len(others):
                if (roots == roots[at]).all():
                    return
                continue
            for other in self._likely_of(bucket, at, others):
                if roots[other] != roots[at] and self._compared(int(bucket[at]), int(bucket[other])):
                    low, high = sorted((roots[at], roots[other]))
                    self._forest.join(int(low), int(high))
                    roots[roots == high] = low

    def _likely_of(self, bucket: NDArray[np.int64], at: int, others: NDArray[np.int64]) -> list[int]:
        """Of the others those that look alike, the likest first."""
        shares = (self._minima[bucket[others]] == self._minima[bucket[at]]).mean(axis=1)
        likest = np.argsort(-shares, kind="stable")
        return list(others[likest[shares[likest] >= self._likely]].tolist())

    def _compared(self, one: int, other: int) -> bool:
        if (one, other) in self._refused or self._refusals[one] >= _MOST_REFUSED:
            return False
        if self._alike(self._sets.of(int(self._ranks[one])), self._sets.of(int(self._ranks[other]))):
            return True
        self._refused.add((one, other))
        self._refusals[one] += 1
        return False


def _cluster(
    name: str, group: Sequence[int], kept: int, files: Sequence[Signature], sets: _Sets, order: Sequence[int]
) -> Cluster:
    members = tuple(
        Member(order[rank], *_likeness(files[kept], files[rank], kept, rank, sets)) for rank in group if rank != kept
    )
    kind = "exact" if all(member.kind == "exact" for member in members) else "near"
    return Cluster(name, kind, order[kept], members)


def _likeness(one: Signature, other: Signature, rank: int, other_rank: int, sets: _Sets) -> tuple[str, float]:
    if one.content == other.content:
        return "exact", 1.0
    if one.tokens == other.tokens:
        return "near", 1.0
    a, b = sets.of(rank), sets.of(other_rank)
    plain = round(jaccard(a.plain, b.plain), 4)
    if _are_near(a, b):
        return "near", plain
    return ("renamed", round(jaccard(a.renamed, b.renamed), 4)) if _are_renamed(a, b) else ("linked", plain)


def _are_near(one: Shingles, other: Shingles) -> bool:
    fewest = min(len(one.plain), len(other.plain))
    least = NEAR if fewest >= FEW_RUNS else NEAR_OF_FEW
    return fewest >= LEAST_RUNS and jaccard(one.plain, other.plain) >= least


def _are_renamed(one: Shingles, other: Shingles) -> bool:
    fewest = min(len(one.renamed), len(other.renamed))
    return fewest >= FEW_RUNS and jaccard(one.renamed, other.renamed) >= NEAR


_Alike = Callable[[Shingles, Shingles], bool]


class _Sets:
    """Shingles by rank; the last ones asked for are kept, up to _CACHE_BYTES."""

    def __init__(self, ask: Callable[[int], Shingles]) -> None:
        self._ask = ask
        self._kept: OrderedDict[int, Shingles] = OrderedDict()
        self._bytes = 0

    def of(self, rank: int) -> Shingles:
        if rank in self._kept:
            self._kept.move_to_end(rank)
            return self._kept[rank]
        found = self._kept[rank] = self._ask(rank)
        self._bytes += _size(found)
        while self._bytes > _CACHE_BYTES and len(self._kept) > 1:
            self._bytes -= _size(self._kept.popitem(last=False)[1])
        return found


def _size(found: Shingles) -> int:
    return found.plain.nbytes + found.renamed.nbytes


class _Forest:
    """Union-find over ranks; the root of a group is its least member."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def root(self, rank: int) -> int:
        above = self._above
        while above[rank] != rank:
            above[rank] = rank = above[above[rank]]
        return rank

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.root(one), self.root(other)))
        self._above[high] = low

    def groups(self) -> list[list[int]]:
        """Groups of several, each ascending, by their least members."""
        found: dict[int, list[int]] = {}
        for rank in range(len(self._above)):
            found.setdefault(self.root(rank), []).append(rank)
        return [group for group in found.values() if len(group) > 1]


def _tokens_of(text: str, language: str) -> tuple[Hashes, NDArray[np.bool_]]:
    """The tokens of a text without comments, and which of them are names."""
    points = code_points(text)
    quoted = np.zeros(len(points), np.bool_)
    for found in _outside_code(language).finditer(text):
        start, end = found.span()
        if text[start] in _QUOTES:
            quoted[start:end] = True
        else:
            points[start:end] = ord(" ")
    points[(points == ord("'")) | (points == ord("`"))] = ord('"')
    kinds = kinds_of(points)
    starts = starts_of(kinds)
    layout = _is_layout(points[starts])
    kinds[starts[layout]] = SPACE
    starts = starts[~layout]
    tokens = hashes_of(points, kinds, starts)
    first = points[starts]
    names = (kinds[starts] == WORD) & ~quoted[starts] & ~((first >= ord("0")) & (first <= ord("9")))
    return tokens, names & ~_within(tokens, _keywords())


def _is_layout(first: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether a token, by its first character, is one that formatters put in and take out: `;`, and `,` before `)`."""
    closes = np.zeros(len(first), np.bool_)
    closes[:-1] = np.isin(first[1:], _CLOSERS)
    layout: NDArray[np.bool_] = (first == ord(";")) | (first == ord(",")) & closes
    return layout


def _sets_of(tokens: Hashes, names: NDArray[np.bool_]) -> Shingles:
    if not len(tokens):
        return Shingles(tokens, tokens)
    nameless = runs_of(_nameless(tokens, names), NAMELESS_TOKENS)
    found = distinct(nameless)
    return Shingles(distinct(runs_of(tokens)), found if len(found) >= LEAST_VARIED * len(nameless) else found[:0])


def _nameless(tokens: Hashes, names: NDArray[np.bool_]) -> Hashes:
    """The tokens with each name replaced by how many tokens ago it stood last, or 0 if that is more than _REACH."""
    back = np.zeros(len(tokens), np.uint8)
    known = np.where(names, tokens, 0)
    for distance in range(min(_REACH, len(tokens) - 1), 0, -1):
        back[distance:][known[distance:] == known[:-distance]] = distance
    codes = tokens.copy()
    codes[names] = numbers(5, _REACH + 1)[back[names]]
    return codes


def _minima(shingles: Hashes, permutations: int) -> bytes:
    """Of each permutation the least value's low 16 bits.

    A permutation is a * x modulo 2**32, a odd, of the upper half of a shingle. Two sets of similarity s have the same
    value at a place with the probability s, and by chance in 1 of 65,536; over 256 places the deviation is that of
    independent drawings (0.029 at 0.7, measured on sets of 30 to 10,000), with an offset as without.
    """
    values = (shingles >> np.uint64(32)).astype(np.uint32)
    least = np.full((permutations, 1), 0xFFFFFFFF, np.uint32)
    for start in range(0, len(values), _BLOCK):
        block = _factors(permutations) * values[start : start + _BLOCK]
        np.minimum(least, block.min(axis=1, keepdims=True), out=least)
    return (least & np.uint32(0xFFFF)).astype("<u2").tobytes()


@functools.cache
def _factors(count: int) -> NDArray[np.uint32]:
    return ((numbers(11, count) >> np.uint64(32)).astype(np.uint32) | np.uint32(1))[:, None]


_CLOSERS = np.array([ord(sign) for sign in ")]}"])
_QUOTES = frozenset("\"'`")
_LINE = r'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"?'
_LINES = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'
_TRIPLE = r'"{3}.*?(?:"{3}|\Z)'
_LINE_SINGLE, _LINES_SINGLE, _TRIPLE_SINGLE = (one.replace('"', "'") for one in (_LINE, _LINES, _TRIPLE))
_BACKTICKS = _LINES.replace('"', "`")
_CHARACTER = r"'(?:[^'\\\n]|\\[^\n]{1,9}?)'"
_HASH = r"\#[^\n]*"
_SLASHES = r"//[^\n]*|/\*.*?(?:\*/|\Z)"
# What a text has besides code, by language: strings, which start with a quote, and comments. What is not closed ends
# with its line or with the text, so that each character is read once whatever the text.
_OUTSIDE_CODE: dict[str, tuple[str, ...]] = {
    "Python": (_TRIPLE, _TRIPLE_SINGLE, _LINE, _LINE_SINGLE, _HASH),
    "Ruby": (_LINES, _LINES_SINGLE, _HASH, r"^=begin\b.*?(?:^=end\b|\Z)"),
    "Bash": (_LINES, "'[^']*+'?", r"(?<![^\s;&|()])\#[^\n]*"),
    "PHP": (_LINES, _LINES_SINGLE, _SLASHES, r"\#(?!\[)[^\n]*"),
    "SQL": (_LINES, _LINES_SINGLE, r"--[^\n]*", _SLASHES),
    "JavaScript": (_LINE, _LINE_SINGLE, _BACKTICKS, _SLASHES),
    "Java": (_TRIPLE, _LINE, _CHARACTER, _SLASHES),
    "Go": (_LINE, _CHARACTER, "`[^`]*+`?", _SLASHES),
    "Rust": (_LINES, _CHARACTER, _SLASHES),
    "C": (_LINE, _CHARACTER, _SLASHES),
}
_WRITTEN_AS = {
    "TypeScript": "JavaScript", "TSX": "JavaScript", "Kotlin": "Java", "Scala": "Java", "C#": "Java", "C++": "C",
}  # fmt: skip


@functools.cache
def _outside_code(language: str) -> re.Pattern[str]:
    parts = _OUTSIDE_CODE.get(_WRITTEN_AS.get(language, language), ())
    return re.compile("|".join(parts) or "(?!)", re.S | re.M)


def _within(hashes: Hashes, known: Hashes) -> NDArray[np.bool_]:
    places = np.searchsorted(known, hashes)
    places[places == len(known)] = 0
    found: NDArray[np.bool_] = known[places] == hashes
    return found


@functools.cache
def _keywords() -> Hashes:
    return distinct(np.concatenate([tokens_of(word) for word in _KEYWORDS.split()]))


# Words that cannot be names in most of the languages that have them.
_KEYWORDS = """
    and as assert async await break case catch class const continue def default defer del do elif else elsif end enum
    except export extends extern false False finally fn for foreach from func function global go goto if impl
    implements import in instanceof interface is lambda let loop namespace new nil None nonlocal not null or pass
    private protected pub public raise rescue return static struct super switch this throw throws trait true True try
    typedef typename typeof unless until using var void when while with yield int long short char float double bool
    unsigned signed SELECT INSERT UPDATE DELETE CREATE TABLE INTO VALUES JOIN ON GROUP ORDER BY FROM WHERE AND OR NOT
    NULL AS
"""
