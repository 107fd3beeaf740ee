"""Where holes for fill-in-the-middle are cut: whole nodes of the syntax tree in stated shares, and random spans.

In: a parsed text and a seed. Out: places in bytes, between characters. A hole is what an editor is asked for: an
expression, a statement, a block, a body, an argument list, or any span, which no tree knows of. What stands around it
in a row is a window of lines (`window`): the whole text where it fits.
"""

from __future__ import annotations

import functools
import hashlib
import random
import re
from typing import Literal, NamedTuple

from tunesmith.data.codebase.languages import Language
from tunesmith.data.codebase.parsing import Node, Parsed

Kind = Literal["expression", "statement", "block", "body", "arguments", "random"]
Order = Literal["psm", "spm"]

SHARES: dict[Kind, float] = {
    "expression": 0.20,
    "statement": 0.25,
    "block": 0.15,
    "body": 0.15,
    "arguments": 0.10,
    "random": 0.15,
}
"""Of the holes of a text. Nodes, as editors ask for them, with some random spans, since a cursor stands anywhere."""
SPM_SHARE = 0.5
"""Of the training rows with the suffix first: both orders, as Bavarian et al. (2022) found best for either."""
BYTES_A_HOLE = 1500
MOST_HOLES = 12
"""Of one text, so that no file outweighs many."""
SHORTEST: dict[Kind, int] = {"expression": 6, "statement": 10, "block": 20, "body": 20, "arguments": 6, "random": 4}
LONGEST: dict[Kind, int] = {
    "expression": 300, "statement": 600, "block": 1200, "body": 1600, "arguments": 400, "random": 600,
}  # fmt: skip
"""Bytes of a hole: shorter ones are a name, longer ones are not written at one go."""
_DRAWS = 12
# Places looked at for a node of a kind before another kind is taken.


class Hole(NamedTuple):
    """What is to be filled in: bytes start to end of the text."""

    start: int
    end: int
    kind: Kind
    order: Order


class Window(NamedTuple):
    """The bytes of a text that stand in a row."""

    start: int
    end: int


def holes(parsed: Parsed, seed: int = 0) -> list[Hole]:
    """Holes of a text, ordered by place; the same for the same text and seed.

    No two overlap, none is white space only, and none lies in what the grammar did not understand.
    """
    draw = random.Random(_seed_of(parsed.data, seed))
    wanted = min(1 + len(parsed.data) // BYTES_A_HOLE, MOST_HOLES)
    found: list[Hole] = []
    for kind in draw.choices(list(SHARES), list(SHARES.values()), k=wanted):
        place = _random_span(parsed, draw) if kind == "random" else _node_of(parsed, kind, draw)
        order: Order = "spm" if draw.random() < SPM_SHARE else "psm"
        if place is not None and not any(place[0] < hole.end and hole.start < place[1] for hole in found):
            found.append(Hole(*place, kind, order))
    return sorted(found)


def window(data: bytes, hole: Hole, most: int) -> Window:
    """The lines around a hole that fit in `most` bytes: two thirds of the room before it, one behind it.

    The whole text if it fits. Room that one side does not need goes to the other.
    """
    if len(data) <= most:
        return Window(0, len(data))
    room = max(most - (hole.end - hole.start), 0)
    after = min(len(data) - hole.end, max(room // 3, room - hole.start))
    start = max(hole.start - (room - after), 0)
    if start:  # whole lines only
        start = _after_line_end(data, start, hole.start)
    end = hole.end + after
    if end < len(data):
        end = max(data.rfind(b"\n", hole.end, end) + 1, hole.end)
    return Window(start, end)


def _after_line_end(data: bytes, start: int, limit: int) -> int:
    """The first beginning of a line from `start` on; `limit` if the line of the hole begins before."""
    found = data.find(b"\n", start - 1, limit)
    return found + 1 if found >= 0 else limit


def _seed_of(data: bytes, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(b"holes:%d:" % seed + hashlib.sha256(data).digest()).digest()[:8], "big")


def _node_of(parsed: Parsed, kind: Kind, draw: random.Random) -> tuple[int, int] | None:
    kinds = _kinds_of(parsed.language)
    for _ in range(_DRAWS):
        place = draw.randrange(len(parsed.data)) if parsed.data else 0
        node = parsed.root.named_descendant_for_byte_range(place, place)
        while node is not None and node.parent is not None:
            length = node.end_byte - node.start_byte
            if length > LONGEST[kind]:
                break
            if length >= SHORTEST[kind] and kind in kinds.of(node) and not node.has_error:
                return node.start_byte, node.end_byte
            node = node.parent
    return None


def _random_span(parsed: Parsed, draw: random.Random) -> tuple[int, int] | None:
    """From any character on, short ones as likely as long ones of the same number of digits."""
    data = parsed.data
    length = int(SHORTEST["random"] * (LONGEST["random"] / SHORTEST["random"]) ** draw.random())
    if len(data) <= length:
        return None
    start = _at_character(data, draw.randrange(len(data) - length))
    end = _at_character(data, start + length)
    return (start, end) if _WORD.search(data, start, end) else None


def _at_character(data: bytes, place: int) -> int:
    """The place, or the next one between two characters; a line end of two characters is not parted."""
    while place < len(data) and (data[place] & 0xC0 == 0x80 or data[place - 1 : place + 1] == b"\r\n"):
        place += 1
    return place


class _Kinds(NamedTuple):
    """What the node types of a language are to an editor."""

    blocks: re.Pattern[str]
    arguments: re.Pattern[str]
    expressions: re.Pattern[str]
    owners: re.Pattern[str]

    def of(self, node: Node) -> tuple[Kind, ...]:
        """The kinds that a node may be cut as."""
        parent = node.parent
        assert parent is not None  # the root is never asked about
        if self.blocks.fullmatch(node.type):
            return ("body",) if self.owners.search(parent.type) else ("block",)
        if self.arguments.fullmatch(node.type):
            return ("arguments",)
        if "comment" in node.type or "comment" in parent.type or _is_documentation(node):
            return ()
        if parent.parent is None or self.blocks.fullmatch(parent.type):
            return () if self.owners.search(node.type) or _HEADS.search(node.type) else ("statement",)
        return ("expression",) if self.expressions.search(node.type) else ()


def _is_documentation(node: Node) -> bool:
    """Whether it is a string that is a statement, or in one, as Python documents."""
    only = node.named_child(0) if node.named_child_count == 1 and "statement" in node.type else node
    return only is not None and only.type == "string" and (only is not node or _stands_alone(node))


def _stands_alone(node: Node) -> bool:
    return node.parent is not None and node.parent.type in ("expression_statement", "block", "module")


@functools.cache
def _kinds_of(language: Language) -> _Kinds:
    blocks = _BLOCKS + _MORE_BLOCKS.get(language.name, "")
    return _Kinds(re.compile(blocks), re.compile(_ARGUMENTS), re.compile(_EXPRESSIONS), re.compile(_OWNERS))


# Types as the sixteen grammars name them.
_BLOCKS = (
    r"(?:\w+_)?block|block_body|compound_statement|statement_list|body_statement|(?:class|interface|enum|switch|"
    r"template|constructor|function|procedure|enum_class|annotation_type|enum_class|module)_body|(?:field_|enum_member_|"
    r"enum_)?declaration_list|do_group|enumerator_list|enum_variant_list"
)
_MORE_BLOCKS = {"Bash": r"|then_clause|else_clause", "SQL": r"|begin_end"}
_WORD = re.compile(rb"[A-Za-z0-9_\x80-\xff]")
# A span without any is a line of signs, or nothing.
_HEADS = re.compile(r"^(?:package|import|future_import|using|use_|namespace_use|preproc_|extern_crate|php_tag)")
# Lines at the head of a file, of which nothing before them tells.
_ARGUMENTS = r"(?:bracketed_)?argument_list|arguments|value_arguments|function_arguments"
_EXPRESSIONS = (
    r"expression|^call$|_call$|invocation|operator|^(?:attribute|subscript|list|dictionary|set|tuple|lambda|await|string|"
    r"concatenated_string|array|object|hash|binary|unary|conditional|element_reference|command_substitution|"
    r"string_literal|template_string|composite_literal|func_literal|object_literal|lambda_literal|arrow_function|"
    r"function_call|list_comprehension|dictionary_comprehension|generator|expansion|test_command|term)$"
)
_OWNERS = (
    r"function|method|constructor|class|struct|trait|impl|interface|^enum|object_d|^module|lambda|closure|"
    r"^func_|namespace|create_|declarator$|accessor|init(?:ializer)?_block|companion|record_d|union|arrow"
)
