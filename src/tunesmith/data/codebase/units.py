"""Functions, methods, classes and the module itself of a parsed file, each with its documentation.

In: a text with its tree. Out: units by places in bytes, and of a unit the code that answers a question for it. What a
unit looks like in a grammar stands in grammars.py, what a comment says in documentation.py. Nothing here judges
whether code is good.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from tunesmith.data.codebase.documentation import (
    from_comment,
    from_docstring,
    is_directive,
    is_licence,
    is_prose,
    summary,
)
from tunesmith.data.codebase.grammars import SHAPES, Shape
from tunesmith.data.codebase.parsing import Node, Parsed, captures, matches, query

__all__ = ["Code", "Unit", "answer", "answer_of", "code_of", "documented", "head", "summary", "units"]

LEAST_BODY_BYTES = 30
"""A body shorter than that is said by its signature."""
LEAST_MODULE_WORDS = 5
"""A file is long, and a short remark at its top is seldom on all of it."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of code with a name. Places are in bytes, between characters; -1 where there is no such thing."""

    kind: Literal["function", "method", "class", "module"]
    name: str
    qualname: str
    """With the classes it stands in, or belongs to, by dots in every language; namespaces and packages do not count."""
    start: int
    """With decorators, attributes and `export`; without the comment above."""
    end: int
    signature: str
    """The head without body and comments, on one line."""
    doc: str
    """Documentation as plain text; tags stay, one a line, as `@param x ...`."""
    doc_start: int
    doc_end: int
    body_start: int
    """Of the node: braces belong to it, a docstring does not unless it is all there is. Of a module: the whole file."""
    body_end: int
    parent: str
    """Qualified name of the class, or empty."""
    statements: int
    """Of the body, or members; 0: a stub."""
    licences: tuple[tuple[int, int], ...] = ()
    """Of a module: places of the comments above its code that state a licence, or whose it is."""


def units(parsed: Parsed, path: str) -> list[Unit]:
    """In the order of the text, outer before inner, the module first.

    Left out: what stands in a function, what has an error in it, functions without a body.
    """
    shape = SHAPES[parsed.language.name]
    pieces, margin = _read(parsed, shape)
    found = _nested(parsed, shape, pieces, margin)
    if parsed.root.has_error:
        return found
    return [_module(parsed, shape, path, margin), *found]


def documented(unit: Unit) -> bool:
    """Whether it can be asked for by its documentation: prose enough, and code enough to be an answer."""
    if unit.statements < 1 or unit.body_end - unit.body_start < LEAST_BODY_BYTES:
        return False
    return is_prose(unit.doc, LEAST_MODULE_WORDS) if unit.kind == "module" else is_prose(unit.doc)


class Code(NamedTuple):
    """Where the code of a unit lies: all that its answer is made of, when there is no tree any more."""

    is_module: bool
    start: int
    end: int
    doc_start: int
    doc_end: int
    body_start: int
    body_end: int
    spans: tuple[tuple[int, int], ...]
    """Of a module: comments that state a licence; else literals of several lines, none inside another."""


def code_of(parsed: Parsed, unit: Unit) -> Code:
    data, start, end = parsed.data, unit.start, unit.end
    is_module = unit.kind == "module"
    spans: tuple[tuple[int, int], ...] = unit.licences
    if not is_module and b"\n" in data[start:end] and _indentation(data, start):
        spans = tuple(place for place in _literals(parsed, unit) if b"\n" in data[place[0] : place[1]])
    return Code(is_module, start, end, unit.doc_start, unit.doc_end, unit.body_start, unit.body_end, spans)


def answer(parsed: Parsed, unit: Unit) -> str:
    """The code of a unit without its documentation, outdented; ends without a line end. Of a module without licences.

    Lines that begin in a literal stay as they are, since their indentation is content.
    """
    return answer_of(parsed.data, code_of(parsed, unit))


def answer_of(data: bytes, code: Code) -> str:
    """As `answer`, of the text in UTF-8."""
    if code.is_module:
        return _answer_of_module(data, code)
    start, end = code.start, code.end
    indentation = _indentation(data, start)
    if not start <= code.doc_start < end:
        return _outdented(data, start, end, indentation, code.spans).rstrip()
    head = _outdented(data, start, code.doc_start, indentation, code.spans)
    if code.body_start <= code.doc_start < code.body_end:
        return head + "pass"  # the docstring was all there was
    rest = _outdented(data, _after_doc(data, code.doc_end, end), end, indentation, code.spans)
    return (head + rest).strip("\r\n").rstrip()


def _answer_of_module(data: bytes, code: Code) -> str:
    """What is left of it stays as it is, a `#!` line too."""
    kept, place = [], 0
    documentation = [(code.doc_start, code.doc_end)] if code.doc_start >= 0 else []
    for start, end in sorted([*documentation, *code.spans]):
        kept.append(data[place:start])
        place = _after_doc(data, end, code.end) if start == code.doc_start else _after_licence(data, end)
    kept.append(data[place:])
    return b"".join(kept).decode().strip("\r\n").rstrip()


def head(parsed: Parsed, unit: Unit) -> str:
    """What stands before body and documentation, as it is written, outdented; empty for a module.

    The signature where the documentation stands in the head, or nothing shows where the head ends.
    """
    if unit.kind == "module":
        return ""
    end = min((place for place in (unit.body_start, unit.doc_start) if place > unit.start), default=-1)
    if end < 0:
        return unit.signature
    text = _outdented(parsed.data, unit.start, end, _indentation(parsed.data, unit.start), [])
    return text.rstrip().rstrip("{").rstrip() or unit.signature


class _Piece(NamedTuple):
    """A place that a query found: a unit, or code that hides what is declared in it."""

    start: int
    end: int
    role: str
    node: Node
    name: Node | None = None
    body: Node | None = None
    owner: Node | None = None


class _Mark(NamedTuple):
    """A comment or an attribute, without the line end that some grammars count to it."""

    start: int
    end: int
    is_comment: bool


class _Margin(NamedTuple):
    """All comments and attributes of a text, in order; none inside another, so that both kinds of places rise."""

    marks: list[_Mark]
    starts: list[int]
    ends: list[int]
    comments: frozenset[int]
    """Where comments start."""


class _Doc(NamedTuple):
    text: str = ""
    start: int = -1
    end: int = -1


class _Body(NamedTuple):
    start: int
    end: int
    statements: int
    doc: _Doc


_NO_BODY = _Body(-1, -1, 0, _Doc())


def _read(parsed: Parsed, shape: Shape) -> tuple[list[_Piece], _Margin]:
    """What the query finds, outer before inner, each place once."""
    pieces: dict[tuple[int, int], _Piece] = {}
    marks: list[_Mark] = []
    opened: set[int] = set()
    for named in matches(query(parsed.language, shape.query), parsed.root):
        if "comment" in named or "attribute" in named:  # by far the most
            is_comment = "comment" in named
            marks.append(_mark(parsed.data, named["comment" if is_comment else "attribute"][0], is_comment))
        elif "open" in named:
            opened.add(named["open"][0].id)
        else:
            role = next(role for role in _ROLES if role in named)
            piece = _piece(parsed, shape, role, named[role][0], named)
            known = pieces.get((piece.start, piece.end))
            # `typedef struct tag { ... } name;` is found twice; its own node knows the better name.
            if known is None or (role != "closure" and piece.node == named[role][0]):
                pieces[piece.start, piece.end] = piece
    ordered = sorted(pieces.values(), key=lambda piece: (piece.start, -piece.end))
    pieces_left = [piece for piece in ordered if piece.role != "closure" or piece.node.id not in opened]
    return pieces_left, _margin(marks)


def _margin(found: list[_Mark]) -> _Margin:
    marks: list[_Mark] = []
    for mark in sorted(found):
        if not marks or mark.start >= marks[-1].end:
            marks.append(mark)
    comments = frozenset(mark.start for mark in marks if mark.is_comment)
    return _Margin(marks, [mark.start for mark in marks], [mark.end for mark in marks], comments)


def _mark(data: bytes, node: Node, is_comment: bool) -> _Mark:
    start, end = node.start_byte, node.end_byte
    while end > start and data[end - 1] in b"\r\n":
        end -= 1
    return _Mark(start, end, is_comment)


def _piece(parsed: Parsed, shape: Shape, role: str, node: Node, named: dict[str, list[Node]]) -> _Piece:
    if role == "closure":
        return _Piece(node.start_byte, node.end_byte, role, node)
    outer = node
    if shape.outer:
        while (around := outer.parent) is not None and around.type in shape.outer:
            outer = around
    end = outer.end_byte
    if shape.semicolon:
        end = _past_semicolon(parsed.data, end)
    name, body, owner = (named[part][0] if part in named else None for part in ("name", "body", "owner"))
    return _Piece(outer.start_byte, end, role, outer, name, body, owner)


def _past_semicolon(data: bytes, end: int) -> int:
    place = end
    while data[place : place + 1] in (b" ", b"\t"):
        place += 1
    return place + 1 if data[place : place + 1] == b";" else end


def _nested(parsed: Parsed, shape: Shape, pieces: list[_Piece], margin: _Margin) -> list[Unit]:
    """Units of the pieces that stand in no function."""
    found: list[Unit] = []
    open_classes: list[tuple[int, str]] = []
    hidden_until = 0
    for piece in pieces:
        if piece.start < hidden_until:
            continue
        while open_classes and open_classes[-1][0] <= piece.start:
            open_classes.pop()
        if piece.role != "class":
            hidden_until = piece.end
        if piece.role == "closure":
            continue
        inside = open_classes[-1][1] if open_classes else ""
        owner, name = _named(parsed, piece)
        parent = inside or owner
        qualname = ".".join(filter(None, (inside, owner, name)))
        if piece.role == "class":
            open_classes.append((piece.end, qualname))
        if not piece.node.has_error and not (piece.role == "function" and _is_macro(parsed, piece, name, parent)):
            found.append(_unit(parsed, shape, piece, margin, (name, qualname, parent)))
    return found


def _unit(parsed: Parsed, shape: Shape, piece: _Piece, margin: _Margin, names: tuple[str, str, str]) -> Unit:
    name, qualname, parent = names
    kind: Literal["function", "method", "class"] = "class"
    if piece.role == "function":
        kind = "method" if parent and parsed.language.name != "SQL" else "function"
    body = _body(parsed, shape, piece.body)
    start, above = _above(parsed, piece.start, margin)
    doc = body.doc if body.doc.start >= 0 else above
    head_end = piece.end if piece.body is None else piece.body.start_byte
    return Unit(
        kind=kind,
        name=name,
        qualname=qualname,
        start=start,
        end=piece.end,
        signature=_signature(parsed, start, head_end, margin),
        doc=doc.text,
        doc_start=doc.start,
        doc_end=doc.end,
        body_start=body.start,
        body_end=body.end,
        parent=parent if kind != "function" else "",
        statements=body.statements,
    )


def _named(parsed: Parsed, piece: _Piece) -> tuple[str, str]:
    """The type that the declaration itself names as the owner, by dots, and the name."""
    language, node = parsed.language.name, piece.name
    if node is None:
        return "", "default"  # export default function () { ... }
    if language in ("C", "C++"):
        node = _declared(node)
    text = " ".join(parsed.text(node).split())
    if piece.owner is not None:
        words = re.findall(r"\w+", parsed.text(piece.owner).partition("[")[0])
        return (words[-1] if words else ""), text
    if node.type == "member_expression":
        parts = [part for part in text.split(".") if part not in _EXPORTED]
        return _path(parts) if _PLAIN.fullmatch(text) else ("", text)
    if node.type == "operator_cast":
        text = text.partition("(")[0]
    if piece.node.type in _NAME_MARKS:
        return "", _NAME_MARKS[piece.node.type] + text
    if piece.node.type == "impl_item":
        return "", (re.findall(r"\w+", _without_generics(text)) or [text])[-1]
    if language == "C++":
        before, operator, after = [*_OPERATOR.split(text, maxsplit=1), "", ""][:3]  # `<` of operator< is no bracket
        owners = [part.strip() for part in _without_generics(before).split("::")]
        return _path([*owners[:-1], owners[-1] + operator + after])
    if language == "Ruby" and piece.role == "class":
        return _path(text.split("::"))
    if language == "SQL":
        return _path([part.strip(' "`[]') for part in text.split(".")])
    return "", text


def _path(parts: list[str]) -> tuple[str, str]:
    return (".".join(filter(None, parts[:-1])), parts[-1]) if parts else ("", "default")


def _without_generics(text: str) -> str:
    while (shorter := re.sub(r"<[^<>]*>", "", text)) != text:
        text = shorter
    return text


def _declared(node: Node) -> Node:
    """The name in a declarator of C: in pointers, references, parameters and brackets."""
    while node.type in _DECLARATORS:
        inner = node.child_by_field_name("declarator") or (node.named_children[-1] if node.named_child_count else None)
        if inner is None:
            break
        node = inner
    return node


def _is_macro(parsed: Parsed, piece: _Piece, name: str, parent: str) -> bool:
    """Whether what looks like a function of C is a macro with a block: TEST(a, b) { ... }."""
    return (
        parsed.language.name in ("C", "C++")
        and not parent
        and name.isupper()
        and piece.node.child_by_field_name("type") is None
    )


def _body(parsed: Parsed, shape: Shape, node: Node | None) -> _Body:
    if node is None:
        return _NO_BODY
    statements = _statements(node, shape)
    start, doc = node.start_byte, _Doc()
    literal = _docstring(parsed, statements) if shape.docstring else None
    if literal is not None:
        doc = _Doc(from_docstring(parsed.text(literal)), literal.start_byte, literal.end_byte)
        statements = statements[1:]
        start = statements[0].start_byte if statements else start
    return _Body(start, node.end_byte, 0 if _is_stub(parsed, statements) else len(statements), doc)


def _statements(node: Node, shape: Shape) -> list[Node]:
    """The children that say something; an expression as a body is one."""
    statements = [node]
    while len(statements) == 1 and statements[0].type in shape.blocks:
        statements = [
            child for child in statements[0].named_children if not child.is_extra and not child.type.startswith(_SILENT)
        ]
    return statements


def _docstring(parsed: Parsed, statements: list[Node]) -> Node | None:
    if not statements or statements[0].type != "expression_statement" or statements[0].named_child_count != 1:
        return None
    literal = statements[0].named_children[0]
    is_plain = literal.type == "string" and _QUOTED.match(parsed.data, literal.start_byte) is not None
    return literal if is_plain else None


def _is_stub(parsed: Parsed, statements: list[Node]) -> bool:
    if len(statements) != 1 or statements[0].end_byte - statements[0].start_byte > _STUB_BYTES:
        return not statements
    return _STUB.match(parsed.text(statements[0])) is not None


def _above(parsed: Parsed, start: int, margin: _Margin) -> tuple[int, _Doc]:
    """Where a unit begins with its attributes, and the comment directly above.

    Between them may be words for tools, and what says something of one word only: `/* static */ void f()`.
    """
    data, below = parsed.data, start
    for number in range(bisect_right(margin.ends, start) - 1, -1, -1):
        mark = margin.marks[number]
        line_ends = _line_ends(data, mark.end, below)
        if line_ends > 1 or not _begins_line(data, mark.start) or _is_inner(parsed, mark.start):
            break
        if not mark.is_comment:
            start = mark.start
        elif not is_directive(data[mark.start : min(mark.end, mark.start + _HEAD_BYTES)]) and (
            line_ends or data.startswith(b"/**", mark.start)
        ):
            doc = _doc(parsed, _run_start(data, mark.start, margin), mark.end)
            return start, _Doc() if doc.text and _FILE_TAG.search(data, doc.start, doc.end) else doc
        below = mark.start
    return start, _Doc()


def _is_inner(parsed: Parsed, start: int) -> bool:
    """Whether a comment documents what it stands in, not what follows: `//!` of Rust."""
    return parsed.language.name == "Rust" and parsed.data[start + 2 : start + 3] == b"!"


def _doc(parsed: Parsed, start: int, end: int) -> _Doc:
    text = from_comment(parsed.between(start, end))
    return _Doc(text, start, end) if text else _Doc()


def _run_start(data: bytes, start: int, margin: _Margin) -> int:
    """Where the first of the line comments stands that lead to the one at `start`, each on the line below the last."""
    marker = _marker(data, start)
    line = data.rfind(b"\n", 0, start) if marker not in _BLOCKS else -1
    while line >= 0:
        above = data.rfind(b"\n", 0, line)
        text = data[above + 1 : line].lstrip()
        place = line - len(text)
        if place not in margin.comments or _marker(data, place) != marker or is_directive(text):
            break
        start, line = place, above
    return start


def _marker(data: bytes, place: int) -> bytes:
    found = _MARKER.match(data, place)
    return found[0] if found is not None else b""


def _line_ends(data: bytes, start: int, end: int) -> int:
    """How many line ends part two places; 2 also if there are more, or anything but blanks."""
    if end - start > _HEAD_BYTES:
        return 2
    gap = data[start:end]
    return 2 if gap.strip() else min(gap.count(b"\n"), 2)


def _begins_line(data: bytes, place: int) -> bool:
    before = data[max(place - _HEAD_BYTES, 0) : place]
    return not before[before.rfind(b"\n") + 1 :].strip()


def _signature(parsed: Parsed, start: int, end: int, margin: _Margin) -> str:
    parts: list[str] = []
    for number in range(bisect_left(margin.starts, start), bisect_left(margin.starts, end)):
        if margin.marks[number].is_comment:
            parts.append(parsed.between(start, max(margin.marks[number].start, start)))
            start = margin.marks[number].end
    parts.append(parsed.between(start, max(start, end)))
    return " ".join(" ".join(parts).split()).rstrip(" ;=")


def _module(parsed: Parsed, shape: Shape, path: str, margin: _Margin) -> Unit:
    body = _body(parsed, shape, parsed.root)
    statements = _statements(parsed.root, shape)
    size = len(parsed.data)
    code = statements[0].start_byte if statements else size
    if body.doc.start >= 0:  # comments stand behind a docstring, too
        code = body.start if len(statements) > 1 else size
    runs = _runs(parsed.data, code, margin)
    doc = body.doc if body.doc.start >= 0 else _top(parsed, code, runs)
    name = PurePosixPath(path).name
    return Unit(
        kind="module",
        name=name,
        qualname=path,
        start=0,
        end=size,
        signature="",
        doc=doc.text,
        doc_start=doc.start,
        doc_end=doc.end,
        body_start=0,
        body_end=size,
        parent="",
        statements=body.statements,
        licences=tuple(run for run in runs if is_licence(parsed.between(*run))),
    )


def _runs(data: bytes, code: int, margin: _Margin) -> list[tuple[int, int]]:
    """Comments above a place, in order, lines that follow each other as one; none that speaks to a tool."""
    runs: list[tuple[int, int]] = []
    number = bisect_left(margin.starts, code) - 1
    while number >= 0:
        mark = margin.marks[number]
        start = mark.start
        if mark.is_comment and not is_directive(data[start : min(mark.end, start + _HEAD_BYTES)]):
            start = _run_start(data, start, margin)
            runs.append((start, mark.end))
        number = bisect_left(margin.starts, start) - 1
    return runs[::-1]


def _top(parsed: Parsed, code: int, runs: list[tuple[int, int]]) -> _Doc:
    """The first comment above the first code that speaks of the file: no licence, and not that code's own."""
    for start, end in runs:
        doc = _doc(parsed, start, end)
        if doc.text and _speaks_of_file(parsed, doc, code):
            return doc
    return _Doc()


def _speaks_of_file(parsed: Parsed, doc: _Doc, code: int) -> bool:
    data = parsed.data
    if parsed.language.name == "Rust" and data[doc.start + 2 : doc.start + 3] in (b"!", b"/", b"*"):
        return _is_inner(parsed, doc.start)
    apart = _line_ends(data, doc.end, code) > 1
    return apart or _FILE_TAG.search(data, doc.start, doc.end) is not None or _PREAMBLE.match(data, code) is not None


def _indentation(data: bytes, place: int) -> bytes:
    found = _BLANKS.match(data, data.rfind(b"\n", 0, place) + 1, place)
    assert found is not None  # it matches nothing, too
    return found[0]


def _literals(parsed: Parsed, unit: Unit) -> list[tuple[int, int]]:
    """Places of literals, none inside another."""
    around = parsed.root.descendant_for_byte_range(unit.start, unit.end) or parsed.root
    found: list[tuple[int, int]] = []
    for node in captures(query(parsed.language, SHAPES[parsed.language.name].strings), around).get("string", ()):
        if not found or node.end_byte > found[-1][1]:
            found.append((node.start_byte, node.end_byte))
    return found


def _outdented(data: bytes, start: int, end: int, indentation: bytes, literals: Sequence[tuple[int, int]]) -> str:
    if not indentation:
        return data[start:end].decode()
    lines: list[bytes] = []
    place, number = start, 0
    for line in data[start:end].split(b"\n"):
        while number < len(literals) and literals[number][1] <= place:
            number += 1
        in_literal = number < len(literals) and literals[number][0] < place
        lines.append(line if place == start or in_literal else line[_common(line, indentation) :])
        place += len(line) + 1
    return b"\n".join(lines).decode()


def _common(line: bytes, indentation: bytes) -> int:
    count = 0
    while count < min(len(line), len(indentation)) and line[count] == indentation[count]:
        count += 1
    return count


def _after_doc(data: bytes, place: int, end: int) -> int:
    """Where the code goes on behind documentation that stands in it."""
    found = _BEHIND.match(data, place, end)
    assert found is not None  # it matches nothing, too
    return found.end()


def _after_licence(data: bytes, place: int) -> int:
    """Where the next line that is not empty begins, or what stands behind the comment."""
    found = _BEHIND_LICENCE.match(data, place)
    assert found is not None  # it matches nothing, too
    return found.end()


_ROLES = ("function", "class", "closure")
_NAME_MARKS = {
    "operator_declaration": "operator ",
    "conversion_operator_declaration": "operator ",
    "destructor_declaration": "~",
}
_DECLARATORS = (
    "pointer_declarator", "reference_declarator", "function_declarator", "parenthesized_declarator",
    "array_declarator", "attributed_declarator",
)  # fmt: skip
_EXPORTED = frozenset({"module", "exports", "prototype", "this", "window", "global", "globalThis", "self"})
_PLAIN = re.compile(r"[\w$.#]+")
_OPERATOR = re.compile(r"(\boperator\b)")
_SILENT = (
    "keyword_", "dollar_quote", "attribute_item", "inner_attribute_item", "php_tag", "decorator", "access_specifier",
    "empty_statement",
)  # fmt: skip
"""How the types of children begin that are no statements, though they have names."""
_STUB_BYTES = 200
_STUB = re.compile(
    r"(?:pass|\.\.\.|\?\?\?|:)$|(?:raise|throw|panic|return|die|abort)\b.*(?i:not.?implemented|unsupported ?operation)"
    r"|(?:todo|unimplemented)!|TODO\("
)
_BLOCKS = (b"/*", b"=begin")
_HEAD_BYTES = 400
"""Of a comment, for what it begins with; a gap longer than that parts."""
_MARKER = re.compile(rb"/\*|//[/!]?|--|#|=begin")
_FILE_TAG = re.compile(rb"(?m)^[ \t/*!#]*[@\\](?:file|fileoverview|overview|module|packageDocumentation)\b")
_PREAMBLE = re.compile(
    rb"(?:package|import|from|require\w*|include\w*|use|using|namespace|mod|extern\s+crate|declare|library|source|set"
    rb"|module\.exports)\b|#\s*(?:include|pragma|ifndef|if|ifdef|define)\b|['\"]use strict|\.\s"
    rb"|(?:const|let|var)\s[^=;]*=\s*require\b"
)
"""Code that no comment above speaks of: what is above it speaks of the file."""
_QUOTED = re.compile(rb"[rRuU]?['\"]")
_BLANKS = re.compile(rb"[ \t]*")
_BEHIND_LICENCE = re.compile(rb"(?:[ \t\r\f]*\n)+|[ \t]*")
_BEHIND = re.compile(rb"[ \t]*(?:;[ \t]*)?(?:#[^\n]*)?\s*")
