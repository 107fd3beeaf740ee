"""What a target's file imports from its own repository, as the text that stands before the target.

In: an index of the repository, the path of a file, the text of a target in it, and how many characters may be used.
Out: a block of comments (laid out by context_layout.py), the files in it, and how many signatures found no room. Of
what a file imports by name, the signatures; of what it imports as a whole, those whose names stand in the target. A
name that a module only passes on is followed to where it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tunesmith.data.codebase.imports import ALL, Import
from tunesmith.data.codebase.offers import DEFAULT, is_public
from tunesmith.data.codebase.resolution import Index, Target
from tunesmith.data.context_layout import COMMENT_MARKS, comment_line, lay_out, path_line

MAX_SIGNATURES = 400
"""That are looked at for one target; a block has room for fewer."""
_MAX_PASSES = 4
"""Modules that a name is followed through."""
_MAX_USED = 100_000
"""Characters of a target whose words are looked at."""
_INDENT = "    "
_LEAST_LINE = 8
# Characters of the shortest signature with its mark: where fewer are left, the others are only counted.


class Context(NamedTuple):
    """What stands before a target."""

    text: str
    files: tuple[str, ...]
    """Whose signatures are in it, in its order."""
    left_out: int
    """Signatures that are wanted and found no room."""


class _Used(NamedTuple):
    """The words of a target."""

    words: frozenset[str]
    attributes: frozenset[str]
    """Those behind a dot or two colons."""

    def of(self, language: str, *, is_whole: bool) -> frozenset[str]:
        """The words that may be names of a module's: behind its own name, where it was imported as a whole."""
        return self.attributes if is_whole and language in _DOTTED else self.words


class _Line(NamedTuple):
    """A signature that is wanted."""

    rank: int
    """0: used; 1: used members and constructors of 0; 2: its others; 3: imported by name only; 4: members of 3."""
    place: int
    path: str
    number: int
    """Of the offer in its file."""


def context_for(index: Index, path: str, *, used: str | None, budget_characters: int) -> Context:
    """The block before a target of a file, `used` being the target's text; None: nothing is known of the target."""
    language = index.files[path].language
    if language not in COMMENT_MARKS:
        return Context("", (), 0)
    found = _wanted(index, path, None if used is None else _used(used, language))
    taken: dict[str, set[int]] = {}
    left = budget_characters - 1  # the empty line at the end
    left_out = 0
    wanted = sorted(found)
    for place, line in enumerate(wanted):
        if left < _LEAST_LINE:
            left_out += len(wanted) - place
            break
        cost, numbers = _cost(index, language, line, taken)
        if cost > left:
            left_out += 1
            continue
        left -= cost
        taken.setdefault(line.path, set()).update(numbers)
    files = tuple(dict.fromkeys(line.path for line in found if line.path in taken))
    entries = [(file, [_written(index, file, number) for number in sorted(taken[file])]) for file in files]
    return Context(lay_out(language, entries), files, left_out)


def _used(text: str, language: str) -> _Used:
    text = text[:_MAX_USED]
    words = frozenset(_WORD.findall(text))
    if language == "Ruby":
        words = words.union(_RUBY_WORD.findall(text))
    return _Used(words, frozenset(_ATTRIBUTE.findall(text)))


def _cost(index: Index, language: str, line: _Line, taken: dict[str, set[int]]) -> tuple[int, set[int]]:
    """Characters that a line adds, and the offers that it shows: with it the path and the class that it is under."""
    there = taken.get(line.path)
    numbers = {line.number}
    owner = index.unpacked(line.path).owners[line.number]
    if owner is not None:
        numbers.add(owner)
    numbers -= there or set()
    cost = sum(len(comment_line(language, _written(index, line.path, number))) for number in numbers)
    return cost + (len(path_line(language, line.path)) if there is None else 0), numbers


def _written(index: Index, path: str, number: int) -> str:
    file = index.unpacked(path)
    signature = file.offers[number].signature
    return signature if file.owners[number] is None else _INDENT + signature


def _wanted(index: Index, path: str, used: _Used | None) -> list[_Line]:
    """Signatures that belong before a target, each once, in the order of the imports; the file's own are none."""
    found: dict[tuple[str, int], int] = {}
    for target in _targets(index, path, used):
        for file, number, rank in _of_target(index, path, target, used):
            found[file, number] = min(rank, found.get((file, number), rank))
        if len(found) >= MAX_SIGNATURES:
            break
    return [_Line(rank, place, *key) for place, (key, rank) in enumerate(found.items())]


def _targets(index: Index, path: str, used: _Used | None) -> Iterator[Target]:
    language = index.files[path].language
    for one in index.unpacked(path).imports:
        yield from index.targets(path, one, None if used is None else used.of(language, is_whole=not one.names))
    if used is not None and used.words:
        yield from index.own_package(path, used.words)


def _of_target(index: Index, path: str, target: Target, used: _Used | None) -> Iterator[tuple[str, int, int]]:
    """Files, places in them and ranks."""
    for file, number, is_used in _tops(index, target, used):
        if file == path:
            continue
        yield file, number, 0 if is_used else 3
        _, offers, owners, _ = index.unpacked(file)
        called = (offers[number].name, *_CONSTRUCTORS)
        for inner in range(number + 1, len(offers)):
            if owners[inner] != number:
                break
            is_called = offers[inner].name in called or (used is not None and offers[inner].name in used.words)
            yield file, inner, 4 if not is_used else 1 if is_called else 2


def _tops(index: Index, target: Target, used: _Used | None) -> Iterator[_Top]:
    """Offers that a target brings in, with whether the text uses them."""
    language = index.files[target.path].language
    for name, alias in target.pairs or ((ALL, ALL),):
        if name == ALL:
            words = None if used is None else used.of(language, is_whole=target.pairs is None)
            yield from _of_all(index, target.path, words, set())
        else:
            is_used = used is not None and alias in used.words
            yield from ((file, number, is_used) for file, number in _sources(index, target.path, name, set()))


def _of_all(index: Index, path: str, words: frozenset[str] | None, seen: set[str]) -> Iterator[_Top]:
    """What a module imported as a whole brings: of its own and of what it passes on, what is used."""
    seen.add(path)
    language = index.files[path].language
    imports, offers, _, tops = index.unpacked(path)
    for name, numbers in tops.items():
        if words is None or name in words or name == DEFAULT:
            yield from ((path, n, words is not None) for n in numbers if is_public(language, offers[n]))
    if words is None or language not in _PASSING or len(seen) > _MAX_PASSES:
        return
    for one in imports:
        if ALL in one.names:
            for target in index.targets(path, one):
                if target.path not in seen:
                    yield from _of_all(index, target.path, words, seen)
        for name in sorted(words.intersection(one.aliases or one.names)):
            yield from ((file, number, True) for file, number in _passed_on(index, path, one, name, {path}))


def _sources(index: Index, path: str, name: str, seen: set[str]) -> Iterator[tuple[str, int]]:
    """Where a name that a file offers is written: there, or where the file has it from."""
    imports, _, _, tops = index.unpacked(path)
    if name in tops:
        yield from ((path, number) for number in tops[name])
        return
    if path in seen or len(seen) >= _MAX_PASSES or index.files[path].language not in _PASSING:
        return
    seen.add(path)
    for one in imports:
        if name in (one.aliases or one.names) or ALL in one.names:
            found = list(_passed_on(index, path, one, name, seen))
            if found:
                yield from found
                return


def _passed_on(index: Index, path: str, one: Import, name: str, seen: set[str]) -> Iterator[tuple[str, int]]:
    """Where a name is written that a file has by one of its imports."""
    for there, here in zip(one.names, one.aliases or one.names, strict=True):
        if here == name or (there == ALL and name != DEFAULT):
            there = name if there == ALL else there
            for target in index.targets(path, Import(one.module, (there,), one.level)):
                if target.pairs is not None:
                    yield from _sources(index, target.path, there, seen)


_Top = tuple[str, int, bool]
_WORD = re.compile(r"[^\W\d][\w$]*")
_ATTRIBUTE = re.compile(r"(?:\.|::)\s*([^\W\d][\w$]*)")
_RUBY_WORD = re.compile(r"[^\W\d]\w*[?!]")
_CONSTRUCTORS = ("__init__", "constructor", "initialize", "__construct", "new")
_DOTTED = ("Python", "Go", "JavaScript", "TypeScript", "TSX", "Rust")
"""Languages in which what a module offers is called by the module's name, where that was imported."""
_PASSING = ("Python", "JavaScript", "TypeScript", "TSX", "Rust")
"""Languages whose modules pass on what they import."""
