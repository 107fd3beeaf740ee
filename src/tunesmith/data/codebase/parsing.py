"""A text and its syntax tree: the only file that touches tree-sitter.

Nodes are tree-sitter's own, with places in bytes of UTF-8; `Parsed.data` is what they count in. A grammar mends what it
does not understand: how much of a file that is, is said (`broken`), and whoever cuts a file into examples decides.
"""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import tree_sitter

from tunesmith.data.codebase.languages import Language

PARSE_TIMEOUT_S = 5.0
"""A file of 1 MiB takes a tenth of it; what takes longer is made to."""
MAX_NESTING = 400
"""Nodes in nodes. What people write stays below 100; walking deeper ones costs its square."""
_PIECE_BYTES = 65_536

Node = tree_sitter.Node


class Failed(NamedTuple):
    """Why a text has no tree, as a code of the ledger (unparsable) and in words."""

    detail: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """A text with its tree."""

    language: Language
    data: bytes = field(repr=False)
    """The text in UTF-8."""
    root: Node = field(repr=False)
    broken: float
    """Share of the bytes that the grammar did not understand."""

    def text(self, node: Node) -> str:
        return self.data[node.start_byte : node.end_byte].decode()

    def between(self, start: int, end: int) -> str:
        """Of the bytes start to end, which lie between characters."""
        return self.data[start:end].decode()


def parse(text: str, language: Language, timeout_s: float = PARSE_TIMEOUT_S) -> Parsed | Failed:
    """The tree of a text in a language that is parsed."""
    data = text.encode()
    given = _given(data, language)
    ends = time.monotonic() + timeout_s
    timed_out = False

    def piece(offset: int, _point: tree_sitter.Point) -> bytes:
        return given[offset : offset + _PIECE_BYTES]

    def past(_offset: int, _has_error: bool) -> bool:
        nonlocal timed_out
        timed_out = time.monotonic() > ends
        return timed_out

    # Only a text given in pieces is parsed with an eye on the time.
    try:
        tree = tree_sitter.Parser(grammar(language)).parse(piece, progress_callback=past)
    except ValueError:  # how the library says that `past` stopped it
        if not timed_out:
            raise
        return Failed(f"not parsed in {timeout_s:g} s")
    depth, broken = _surveyed(tree)
    if depth > MAX_NESTING:
        return Failed(f"more than {MAX_NESTING} brackets or blocks inside one another")
    return Parsed(language, data, tree.root_node, broken / max(len(data), 1))


def _given(data: bytes, language: Language) -> bytes:
    """What the parser reads: the text, with a line end behind it where a scanner would look for one for ever.

    Kotlin's (1.1.0) does so from an annotation in the last line. What is added is in the root and in errors only.
    """
    endless = language.name == "Kotlin" and b"@" in data[data.rfind(b"\n") + 1 :]
    return data + b"\n" if endless else data


@functools.cache
def grammar(language: Language) -> tree_sitter.Language:
    """Of a language that is parsed; loaded once a process."""
    module = importlib.import_module(language.grammar)
    return tree_sitter.Language(getattr(module, _LOADERS.get(language.name, "language"))())


@functools.cache
def query(language: Language, source: str) -> tree_sitter.Query:
    """A compiled query; compiled once a process."""
    return tree_sitter.Query(grammar(language), source)


def captures(compiled: tree_sitter.Query, node: Node) -> dict[str, list[Node]]:
    """Nodes below `node` by the names that the query gives them, in the order of the text."""
    found = tree_sitter.QueryCursor(compiled).captures(node)
    return {name: sorted(nodes, key=lambda n: (n.start_byte, -n.end_byte)) for name, nodes in found.items()}


def matches(compiled: tree_sitter.Query, node: Node) -> list[dict[str, list[Node]]]:
    """For each place below `node` that a pattern of the query fits: the nodes that the pattern names."""
    return [named for _pattern, named in tree_sitter.QueryCursor(compiled).matches(node)]


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, each before what it holds; not recursive, so no depth is too deep."""
    cursor = node.walk()
    while True:
        yield _at(cursor)
        if cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return


def _surveyed(tree: tree_sitter.Tree) -> tuple[int, int]:
    """Of a tree: its depth, as far as it may be too much, and how many bytes lie in nodes that are errors.

    A node with few nodes below it cannot be deep: only the largest hundredth of a tree is looked at.
    """
    deepest = broken = 0
    left = [(tree.root_node, 0, False)]
    while left:
        node, depth, is_counted = left.pop()
        deepest = max(deepest, depth)
        if deepest > MAX_NESTING:
            break
        if not is_counted and (node.is_error or node.is_missing):
            broken += max(node.end_byte - node.start_byte, 1)
            is_counted = True
        if (node.has_error and not is_counted) or depth + node.descendant_count > MAX_NESTING:
            left += [(child, depth + 1, is_counted) for child in node.children]
    return deepest, broken


def _at(cursor: tree_sitter.TreeCursor) -> Node:
    assert cursor.node is not None  # it never leaves its tree
    return cursor.node


_LOADERS: dict[str, str] = {"TypeScript": "language_typescript", "TSX": "language_tsx", "PHP": "language_php"}
