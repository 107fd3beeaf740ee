"""What a file offers to others: names at its top with their signatures, as they are written but on one line each.

In: a text with its tree. Out: Offers in the order of the text, each class before its methods and fields. Bodies,
documentation, comments and annotations are left out, and what is marked as private to a class. Only the top of a tree
and the insides of classes are looked at, so the cost does not grow with what functions hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from tunesmith.data.codebase.parsing import Node, Parsed, walk

MAX_OFFERS = 300
"""Of a file, methods and fields not counted. A file with more is a table."""
_MAX_LOOKED_AT = 2000
"""Of a file's nodes that may offer something: not all do, where a module says what it exports."""
MAX_MEMBERS = 20
"""Of a class: the first ones."""
MAX_SIGNATURE = 300
"""Characters; what is longer ends in three dots."""
_SHORT = 100
"""Characters up to which a constant, an enumeration or a plain structure stands there as a whole."""
_DEEPEST = 12
"""Namespaces, conditions and groups within one another that are looked into."""
DEFAULT = "default"
"""Name of what a module of JavaScript exports by default."""


class Offer(NamedTuple):
    """A name that other files may use."""

    name: str
    """As an import names it."""
    qualname: str
    """With the class that it is of, or the module within the file: Store.get."""
    kind: str
    """function, class, method, field or constant."""
    signature: str


class _Found(NamedTuple):
    """A node that offers something, and how it was come to."""

    node: Node
    outer: Node
    """What holds it: an export, a template, a declaration with several names."""
    exported: bool
    within: str
    """Modules around it, as a qualified name's beginning."""


class _Shape(NamedTuple):
    """Where a grammar has what a file offers: types of nodes with the kinds of what they offer."""

    units: dict[str, str]
    members: dict[str, str]
    inside: frozenset[str]
    """Types of nodes that only hold others."""


def offers(parsed: Parsed) -> tuple[Offer, ...]:
    """Of a file; none of a language without a shape."""
    shape = _SHAPES.get(parsed.language.name)
    if shape is None:
        return ()
    exports = _exports(parsed) if parsed.language.name in _WEB else None
    tops: list[Offer] = []
    members: dict[str, list[Offer]] = {}
    for found in islice(_units(parsed, shape, parsed.root), _MAX_LOOKED_AT):
        if len(tops) == MAX_OFFERS:
            break
        if found.node.type == "impl_item":
            owner = _text_of(parsed, found.node, "type").partition("<")[0]
            if found.node.child_by_field_name("trait") is None:
                members.setdefault(owner, []).extend(_members(parsed, shape, found.node, owner))
        elif (offer := _offer(parsed, shape, found, exports)) is not None:
            tops.append(offer)
            if offer.kind == "class":
                inner = _members(parsed, shape, found.node, offer.qualname)
                is_whole = offer.signature.endswith("}")  # and so shows its fields
                members.setdefault(offer.qualname, []).extend(m for m in inner if not is_whole or m.kind != "field")
    return tuple(_in_order(tops, members))


def is_public(language: str, offer: Offer) -> bool:
    """Whether an import of all takes it along; what is not can still be named."""
    if language == "Go":
        return offer.name[:1].isupper()
    if language == "Rust" and offer.kind not in ("method", "field"):
        return offer.signature.startswith(("pub", "macro_rules!"))
    return not offer.name.startswith("_")


def _in_order(tops: list[Offer], members: dict[str, list[Offer]]) -> Iterator[Offer]:
    """Members behind their class. Go writes methods outside: those of a class that stands here go to it."""
    classes = {top.qualname for top in tops if top.kind == "class"}
    rest = []
    for top in tops:
        owner = top.qualname.rpartition(".")[0]
        if top.kind == "method" and owner in classes:
            members.setdefault(owner, []).append(top)
        else:
            rest.append(top)
    for top in rest:
        yield top
        if top.kind == "class":
            yield from members.pop(top.qualname, [])[:MAX_MEMBERS]


def _units(
    parsed: Parsed, shape: _Shape, node: Node, exported: bool = False, within: str = "", depth: int = 0
) -> Iterator[_Found]:
    for child in node.named_children:
        if child.type in shape.units:
            yield _Found(child, node, exported, within)
        elif child.type in shape.inside and depth < _DEEPEST and not _is_closed(child):
            inner = within
            if child.type == "module" and child.is_named:  # Ruby's; elsewhere it is the root or has no name
                inner += _text_of(parsed, child, "name").replace("::", ".") + "."
            is_export = exported or child.type == "export_statement"
            yield from _units(parsed, shape, child, is_export, inner, depth + 1)


def _is_closed(node: Node) -> bool:
    """Whether nothing outside the file sees what it holds: a namespace of C++ without a name."""
    return node.type == "namespace_definition" and bool(node.named_children) and node.named_children[0] == _body(node)


def _offer(parsed: Parsed, shape: _Shape, found: _Found, exports: dict[str, str] | None) -> Offer | None:
    """What a node at the top offers; None if it is nothing to speak of, or is not exported."""
    node = found.node
    if node.type in _NOTHING_WITHOUT and node.child_by_field_name(_NOTHING_WITHOUT[node.type]) is None:
        return None
    kind = _kind(node, shape.units[node.type])
    name = _name_behind_macro(parsed, node) if (node.type, kind) == _MACRO_CLASS else _name(parsed, node)
    called = name
    if _is_default(found):
        called, name = DEFAULT, name or DEFAULT
    elif exports and not found.exported:
        if name not in exports:
            return None
        called = exports[name]
    signature = _signature(parsed, node, found.outer, kind) if name and kind else ""
    if not signature or "private" in signature.partition("(")[0].split():
        return None
    receiver = node.child_by_field_name("receiver")
    owner = "" if receiver is None else _receiver(parsed.text(receiver)) + "."
    return Offer(called, found.within + owner + name, kind, signature)


def _exports(parsed: Parsed) -> dict[str, str]:
    """Of a module of JavaScript: names in it -> what it exports them as; empty if it has no export statement at all."""
    found: dict[str, str] = {}
    for node in parsed.root.named_children:
        if node.type != "export_statement":
            continue
        found[""] = ""
        value = node.child_by_field_name("value")
        if value is not None and value.type == "identifier":
            found[parsed.text(value)] = DEFAULT
        for clause in node.named_children if node.child_by_field_name("source") is None else ():
            for one in clause.named_children if clause.type == "export_clause" else ():
                name = _text_of(parsed, one, "name")
                found[name] = _text_of(parsed, one, "alias") or name
    return found


def _is_default(found: _Found) -> bool:
    if found.outer.type == "export_statement":
        return any(child.type == "default" for child in found.outer.children)
    left = found.node.child_by_field_name("left") if found.node.type == "assignment_expression" else None
    return left is not None and left.text == b"module.exports"


def _members(parsed: Parsed, shape: _Shape, node: Node, owner: str) -> list[Offer]:
    """Methods and fields of a class that others may use, MAX_MEMBERS at most."""
    body = _body(node)
    found: list[Offer] = []
    is_open = _is_open(parsed, node)
    for child, outer in () if body is None else _within(shape, body):
        if len(found) == MAX_MEMBERS:
            break
        if child.type in _ACCESS:
            word = parsed.text(child).rstrip(": ")
            is_open = word == "public" if word in ("public", "private", "protected") else is_open
        elif is_open:
            kind = _kind(child, shape.members[child.type])
            name = _name(parsed, child)
            kind = {"function": "method", "constant": "field"}.get(kind, kind)
            if _is_member(parsed, child, name, kind):
                signature = _signature(parsed, child, outer, kind)
                if signature and _is_visible(parsed.language.name, signature, kind, node.type):
                    found.append(Offer(name, f"{owner}.{name}", kind, signature))
    return found


def _within(shape: _Shape, body: Node, depth: int = 0) -> Iterator[tuple[Node, Node]]:
    """Members and the words that say who sees the following ones, each with what holds it."""
    for child in body.named_children:
        if child.type in shape.members or child.type in _ACCESS:
            yield child, body
        elif child.type in shape.inside and depth < _DEEPEST:
            yield from _within(shape, child, depth + 1)


def _is_open(parsed: Parsed, node: Node) -> bool:
    """Whether others see what stands first in a class."""
    return not (parsed.language.name == "C++" and parsed.data[node.start_byte : node.start_byte + 5] == b"class")


def _is_member(parsed: Parsed, node: Node, name: str, kind: str) -> bool:
    if not name or (name.startswith(("_", "#")) and name not in _CALLED_UNNAMED):
        return False
    # Of Python's attributes those that a type is given: fields of a dataclass.
    return not (parsed.language.name == "Python" and kind == "field") or node.child_by_field_name("type") is not None


def _is_visible(language: str, signature: str, kind: str, owner: str) -> bool:
    """By the words before the name."""
    words = signature.partition("(")[0].split()
    if any(word in ("private", "protected", "friend", "using") or word.startswith("private[") for word in words):
        return False
    if owner in ("interface_declaration", "trait_item", "annotation_type_declaration", "union_item"):
        return True
    if language == "Rust":
        return words[0].startswith("pub")
    return language not in _MARKED[kind == "method"] or "public" in words


def _signature(parsed: Parsed, node: Node, outer: Node, kind: str) -> str:
    """On one line; empty for what has none that is worth a line."""
    before = _before(parsed, node, outer)
    if before is None:
        return ""
    start = outer.start_byte if outer.type == "template_declaration" else _start(node)
    body = _body(node)
    if kind == "constant" or (body is not None and body.type in _PLAIN_BODIES):
        whole = _line(parsed, node, start, node.end_byte).rstrip(" ;,") if node.end_byte - start < 2 * _SHORT else ""
        if whole and len(whole) <= _SHORT and (kind == "constant" or _is_plain(body, whole)):
            return before + whole
        if kind == "constant" and node.child_by_field_name("type") is None:
            return ""
    line = before + _trimmed(_line(parsed, node, start, _end(node, kind)))
    if kind == "field" and len(line) > _SHORT:
        line = line.partition(" = ")[0]
    if parsed.language.name == "Python" and kind == "class":
        line += ":"
    if parsed.language.name == "Ruby":
        line = line.removesuffix(" end").rstrip("; ")  # of a body without anything in it
    return line if len(line) <= MAX_SIGNATURE else line[: MAX_SIGNATURE - 3] + "..."


def _is_plain(body: Node | None, whole: str) -> bool:
    """Whether a body has nothing but constants or fields in it."""
    if body is None or whole.count("{") > 1 or (body.type == "field_declaration_list" and "(" in whole):
        return False
    return not any(child.type in ("function_declaration", "method_declaration") for child in body.named_children)


def _before(parsed: Parsed, node: Node, outer: Node) -> str | None:
    """A word that stands outside the node and belongs to it; None where another node says the same already."""
    if outer.type == "decorated_definition":
        marks = [parsed.text(child) for child in outer.named_children if child.type == "decorator"]
        if any(mark.endswith((".setter", ".deleter")) for mark in marks):
            return None
        return "".join(f"{mark} " for mark in marks if mark in _TOLD_DECORATORS)
    return _WORDS_BEFORE.get(outer.type, "") or (
        parsed.text(outer.children[0]) + " " if outer.type in ("lexical_declaration", "variable_declaration") else ""
    )


def _start(node: Node) -> int:
    """Where it begins, annotations in front left out."""
    for child in node.children:
        if child.type == "modifiers":
            start = _start(child)
            if start < child.end_byte:
                return start
        elif child.type not in _ANNOTATIONS:
            return child.start_byte
    return node.end_byte


def _end(node: Node, kind: str) -> int:
    """Where its body or its value begins."""
    for name in ("value", "right"):
        value = node.child_by_field_name(name)
        if value is not None and value.type in _FUNCTIONS:
            return _end(value, kind)
    body = _body(node)
    if body is not None and body.type == "interface_type":
        return body.start_byte + len(b"interface")
    ends = [node.end_byte] if body is None else [body.start_byte]
    ends += [child.start_byte for child in node.named_children if child.type in _CUTS]
    for name in _VALUES if kind in ("field", "constant") else ():
        if (value := node.child_by_field_name(name)) is not None:
            ends.append(value.start_byte)
    return min(ends)


def _body(node: Node) -> Node | None:
    body = node.child_by_field_name("body")
    if body is None and node.type == "type_spec":  # Go: type S struct {...}
        inner = node.child_by_field_name("type")
        if inner is not None and inner.type == "interface_type":
            return inner
        node = node if inner is None else inner
    if body is None:
        body = next((child for child in node.named_children if child.type in _BODIES), None)
    return body


def _line(parsed: Parsed, node: Node, start: int, end: int) -> str:
    """The text between two places of a node on one line, without comments."""
    data = parsed.data[start : min(end, start + _MAX_BYTES)]
    if any(mark in data for mark in (b"//", b"#", b"/*", b"--")):
        pieces, at = [], start
        for inner in walk(node):
            if inner.start_byte >= end or inner.start_byte > start + _MAX_BYTES:
                break
            if inner.type.endswith("comment") and inner.start_byte >= at:
                pieces.append(parsed.data[at : inner.start_byte])
                at = inner.end_byte
        data = b" ".join([*pieces, parsed.data[at : max(at, min(end, at + _MAX_BYTES))]])
    # A cut may lie within a character.
    line = " ".join(data.decode(errors="ignore").split())
    return _GAPS.sub("", line) if b"\n" in data else line


def _trimmed(line: str) -> str:
    """Without the marks that lead over to a body."""
    line = line.rstrip(" {=;:,")
    return line[:-2].rstrip(" {=;:,") if line.endswith(("=>", "->")) else line


def _kind(node: Node, kind: str) -> str:
    """Of a node; one and the same type is several things in C, and in JavaScript by the value."""
    if kind == "value":
        value = node.child_by_field_name("value") or node.child_by_field_name("right")
        called = "" if value is None else value.type
        return (
            "function" if called in _FUNCTIONS else "class" if called in ("class", "class_expression") else "constant"
        )
    if kind != "declared":
        return kind
    if _declarator(node, "function_declarator") is not None:
        return "function"
    if node.type == "function_definition":  # class API Name : Other {...}, as the grammar reads a macro before a name
        typed = node.child_by_field_name("type")
        return "class" if typed is not None and typed.type in ("class_specifier", "struct_specifier") else ""
    return "constant"


def _declarator(node: Node, kind: str) -> Node | None:
    """Of a type, in the declarator of a node."""
    inner = node.child_by_field_name("declarator")
    for _ in range(_DEEPEST):
        if inner is None or inner.type == kind:
            return inner
        inner = inner.child_by_field_name("declarator") or (
            inner.named_children[0] if inner.type in _WRAPPERS and inner.named_children else None
        )
    return None


def _name(parsed: Parsed, node: Node) -> str:
    """Empty where there is none, or it is of something declared elsewhere (C++: C::f)."""
    found = node
    for _ in range(_DEEPEST):
        inner = next(filter(None, (found.child_by_field_name(name) for name in _NAMES)), None)
        if inner is None:
            inner = found.named_children[0] if found.type in _WRAPPERS and found.named_children else None
        if inner is None:
            break
        found = inner
        if found.type in ("qualified_identifier", "scoped_identifier", "array_pattern", "object_pattern"):
            return ""
    if found == node:
        found = next((child for child in node.named_children if child.type in _NAME_TYPES), node)
        found = found.named_children[0] if found.type in _WRAPPERS and found.named_children else found
    text = "" if found == node else parsed.text(found).lstrip("$")
    text = text.rpartition(".")[2] if node.type in _DOTTED or found.type == "object_reference" else text
    text = text.rpartition("::")[2]
    return text if len(text) <= _SHORT and _NAME.fullmatch(text) and text != "__all__" else ""


def _name_behind_macro(parsed: Parsed, node: Node) -> str:
    """Of class API Name : Other {...}."""
    found = _MACRO_NAME.search(_line(parsed, node, node.start_byte, _end(node, "class")))
    return "" if found is None else found[1]


def _text_of(parsed: Parsed, node: Node, field: str) -> str:
    child = node.child_by_field_name(field)
    return "" if child is None else parsed.text(child)


def _receiver(text: str) -> str:
    """(s *Store[K]) -> Store."""
    found = re.search(r"(\w+)\s*(?:\[[^\]]*\])?\s*\)$", text[-_SHORT:])
    return "" if found is None else found[1]


_MAX_BYTES = 4 * MAX_SIGNATURE
"""Of a signature that are read: four times what of it is kept, since white space goes."""
_GAPS = re.compile(r"(?<=[(\[]) (?=\S)|,? (?=[)\]])")
_MACRO_CLASS = ("function_definition", "class")
_MACRO_NAME = re.compile(r"\b(?:class|struct) (?:\w+(?:\([^)]*\))? )*?(\w+)(?: final)? ?(?::(?!:).*)?$")
_NAME = re.compile(r"[\w$#]+[?!=]?|operator\s*\S+")
_WEB = ("JavaScript", "TypeScript", "TSX")
_FUNCTIONS = ("arrow_function", "function_expression", "function", "generator_function", "class")
_NOTHING_WITHOUT = {
    "preproc_def": "value", "struct_specifier": "body", "class_specifier": "body", "union_specifier": "body",
    "enum_specifier": "body",
}  # fmt: skip
"""Guards of headers, and names of what is written elsewhere."""
_CALLED_UNNAMED = ("__init__", "__call__", "__construct", "__invoke")
"""Methods that are called although nobody writes their names."""
_TOLD_DECORATORS = ("@property", "@staticmethod", "@classmethod", "@cached_property", "@functools.cached_property")
"""Those that change how what they stand before is called."""
_WORDS_BEFORE = {"type_declaration": "type ", "const_declaration": "const ", "var_declaration": "var ",
                 "var_spec_list": "var "}  # fmt: skip
_ANNOTATIONS = ("annotation", "marker_annotation", "attribute_list", "attribute_item", "attributes", "decorator",
                "ms_declspec_modifier")  # fmt: skip
_ACCESS = ("access_specifier", "statement_identifier", "identifier")
"""public: of C++; the same as a label, which it is read as behind a macro; a bare `private` of Ruby."""
_MARKED = (("C#", "PHP", "Java"), ("C#",))
"""Languages where fields, and where methods, are others' only if they are marked as public."""
_BODIES = ("class_body", "enum_class_body", "function_body", "field_declaration_list", "declaration_list", "enum_body")
_PLAIN_BODIES = ("enumerator_list", "enum_variant_list", "enum_body", "enum_member_declaration_list", "enum_class_body",
                 "ordered_field_declaration_list", "field_declaration_list", "enum_declaration_list")  # fmt: skip
_CUTS = ("field_initializer_list", "constructor_initializer", "constructor_delegation_call", "getter", "setter",
         "macro_rule")  # fmt: skip
_VALUES = ("value", "default_value", "accessors", "right")
_NAMES = ("name", "declarator", "pattern", "left")
_NAME_TYPES = ("identifier", "name", "variable_name", "variable_declaration", "const_element", "property_element",
               "variable_declarator", "object_reference", "destructor_name", "operator_name")  # fmt: skip
_DOTTED = ("assignment_expression",)
_WRAPPERS = ("reference_declarator", "parenthesized_declarator", "attributed_declarator", "variable_declaration",
             "property_element")  # fmt: skip


def _shape(inside: str, members: str = "", **units: str) -> _Shape:
    kinds = {kind.strip("_"): types.split() for kind, types in units.items()}
    of_members = dict(word.split(":") for word in members.split())
    return _Shape({t: kind for kind, types in kinds.items() for t in types}, of_members, frozenset(inside.split()))


_WEB_SHAPE = _shape(
    "export_statement lexical_declaration variable_declaration ambient_declaration expression_statement "
    "statement_block internal_module",
    "method_definition:method abstract_method_signature:method method_signature:method property_signature:field "
    "public_field_definition:field",
    function="function_declaration generator_function_declaration function_signature function_expression "
    "arrow_function",
    class_="class_declaration abstract_class_declaration interface_declaration class enum_declaration",
    constant="type_alias_declaration",
    value="variable_declarator assignment_expression",
)
_C_SHAPE = _shape(
    "preproc_ifdef preproc_if preproc_else preproc_elif linkage_specification declaration_list "
    "namespace_definition template_declaration labeled_statement",
    "function_definition:declared declaration:declared field_declaration:declared",
    declared="function_definition declaration",
    class_="struct_specifier class_specifier union_specifier enum_specifier",
    constant="type_definition alias_declaration preproc_def",
    function="preproc_function_def",
)
_SHAPES = {
    "Python": _shape(
        "if_statement else_clause elif_clause try_statement except_clause block decorated_definition "
        "expression_statement",
        "function_definition:method assignment:field",
        function="function_definition", class_="class_definition", constant="assignment type_alias_statement",
    ),
    "JavaScript": _WEB_SHAPE, "TypeScript": _WEB_SHAPE, "TSX": _WEB_SHAPE,
    "Java": _shape(
        "enum_body_declarations",
        "method_declaration:method constructor_declaration:method field_declaration:field "
        "annotation_type_element_declaration:method",
        class_="class_declaration interface_declaration record_declaration enum_declaration "
        "annotation_type_declaration",
    ),
    "Go": _shape(
        "type_declaration const_declaration var_declaration var_spec_list",
        "field_declaration:field method_elem:method",
        function="function_declaration", method="method_declaration", class_="type_spec",
        constant="type_alias const_spec var_spec",
    ),
    "Rust": _shape(
        "", "function_item:method function_signature_item:method field_declaration:field const_item:field",
        function="function_item macro_definition", class_="struct_item enum_item trait_item union_item impl_item",
        constant="const_item static_item type_item",
    ),
    "C": _C_SHAPE, "C++": _C_SHAPE,
    "C#": _shape(
        "namespace_declaration declaration_list",
        "method_declaration:method constructor_declaration:method property_declaration:field field_declaration:field",
        class_="class_declaration interface_declaration struct_declaration record_declaration enum_declaration",
        constant="delegate_declaration",
    ),
    "Ruby": _shape(
        "module body_statement", "method:method singleton_method:method",
        class_="class", function="method singleton_method", constant="assignment",
    ),
    "PHP": _shape(
        "namespace_definition compound_statement const_declaration",
        "method_declaration:method property_declaration:field",
        class_="class_declaration interface_declaration trait_declaration enum_declaration",
        function="function_definition", constant="const_element",
    ),
    "Kotlin": _shape(
        "companion_object class_body", "function_declaration:method property_declaration:field",
        class_="class_declaration object_declaration", function="function_declaration",
        constant="property_declaration type_alias",
    ),
    "Scala": _shape(
        "package_clause package_object template_body",
        "function_definition:method function_declaration:method val_definition:field val_declaration:field",
        class_="class_definition object_definition trait_definition enum_definition",
        function="function_definition function_declaration", constant="val_definition type_definition",
    ),
    "Bash": _shape("", function="function_definition"),
    "SQL": _shape(
        "statement", class_="create_table create_view create_materialized_view create_type",
        function="create_function create_procedure",
    ),
}  # fmt: skip
