"""What a file asks of other files, as it is written: imports, uses, includes, requires; and the package it is of.

In: a text with its tree. Out: Imports in the order of the text, each with the names it brings. Words find where one may
stand, the tree says whether one does, so what stands in a comment or a literal is none. Which files are meant is not
decided here (resolution.py does).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from tunesmith.data.codebase.parsing import Node, Parsed

MAX_IMPORTS = 200
"""Of a file, the first ones; people write fewer than 100."""
MAX_NAMES = 200
"""Of an import, the first ones."""
_MAX_PLACES = 4000
"""Places where a word of an import stands that are looked at: a text that quotes code has many and imports little."""
_HIGHEST = 2
"""Nodes from the first leaf of what imports up to the node that does."""
_LONGEST = 300
"""Characters of a module or a name. Paths are shorter; what is longer leads nowhere."""
ALL = "*"


class Import(NamedTuple):
    """Something that a file takes from another one."""

    module: str
    """As it is written: a dotted name, a path, a package, a namespace."""
    names: tuple[str, ...] = ()
    """As the other file has them; none: the module as a whole; ALL: whatever it offers."""
    level: int = 0
    """Python: dots in front. Elsewhere 1 where the place is told from the file (quotes of C, require_relative)."""
    aliases: tuple[str, ...] = ()
    """What this file calls `names`, one each, where any differs; else none."""


def imports(parsed: Parsed) -> tuple[Import, ...]:
    """Of a file, in the order of the text, MAX_IMPORTS at most; none of a language that has none."""
    reader = _readers().get(parsed.language.name)
    if reader is None:
        return ()
    found: list[Import] = []
    for node in _statements(parsed, reader):
        found += islice(filter(_sane, reader.read(parsed, node)), MAX_IMPORTS - len(found))
        if len(found) == MAX_IMPORTS:
            break
    return tuple(found)


def package(parsed: Parsed) -> str:
    """What the file says it belongs to: a package or namespace with dots between its names, the first where it has two.

    Empty for languages whose files say no such thing, or none that says where a file lies (Go).
    """
    form = _PACKAGES.get(parsed.language.name)
    if form is None:
        return ""
    names = [_package_name(parsed, node) for node in parsed.root.named_children[:_LAST_PACKAGE] if node.type in form]
    # Scala's package clauses add up.
    return ".".join(filter(None, names if parsed.language.name == "Scala" else names[:1]))[:_LONGEST]


def _package_name(parsed: Parsed, node: Node) -> str:
    named = node.child_by_field_name("name")
    if named is None:
        named = next((c for c in node.named_children if c.type not in ("annotation", "marker_annotation")), None)
    return "" if named is None else re.sub(r"[\\.]+", ".", _solid(parsed.text(named)))


def _statements(parsed: Parsed, reader: _Reader) -> Iterator[Node]:
    """The nodes that import something, each once."""
    last = -1
    for place, at in enumerate(reader.words.finditer(parsed.data)):
        if place == _MAX_PLACES:
            return
        start = at.start(1)
        node = parsed.root.descendant_for_byte_range(start, start + 1)
        for _ in range(_HIGHEST):
            node = node.parent if node is not None and not reader.reads(node) else node
        if node is not None and reader.reads(node) and node.start_byte > last:
            last = node.start_byte
            yield node


def _sane(found: Import) -> bool:
    """Whether it can lead anywhere: hostile texts have NULs and names of a megabyte."""
    return bool(found.module or (found.level and found.names)) and all(
        len(name) <= _LONGEST and name.isprintable() for name in (found.module, *found.names, *found.aliases)
    )


def _import(module: str, pairs: Iterable[tuple[str, str]] = (), level: int = 0) -> Import:
    """Of names with what they are called here."""
    pairs = tuple(islice(pairs, MAX_NAMES))
    names, aliases = tuple(name for name, _ in pairs), tuple(alias for _, alias in pairs)
    return Import(module, names, level, () if names == aliases else aliases)


def _solid(text: str) -> str:
    return "".join(text.split())


def _field(parsed: Parsed, node: Node, name: str) -> str:
    child = node.child_by_field_name(name)
    return "" if child is None else _solid(parsed.text(child))


def _pair(parsed: Parsed, node: Node) -> tuple[str, str]:
    """Name and alias of a node that has both in fields, or is a name."""
    name = _field(parsed, node, "name") or _solid(parsed.text(node))
    return name, _field(parsed, node, "alias") or name


def _split(path: str, mark: str) -> tuple[str, str]:
    """a.b.C -> a.b, C."""
    module, _, name = path.rpartition(mark)
    return module, name


def _python(parsed: Parsed, node: Node) -> Iterator[Import]:
    named = (_pair(parsed, child) for child in node.children_by_field_name("name"))
    if node.type == "import_statement":
        yield from (Import(name) for name, _ in named)
        return
    where = _field(parsed, node, "module_name")
    module = where.lstrip(".")
    if any(child.type == "wildcard_import" for child in node.named_children):
        yield Import(module, (ALL,), len(where) - len(module))
        return
    yield _import(module, named, len(where) - len(module))


def _web(parsed: Parsed, node: Node) -> Iterator[Import]:
    """JavaScript and TypeScript: import and export statements, calls of require and import."""
    if node.type == "call_expression":
        yield from _web_call(parsed, node)
        return
    clause = next((c for c in node.named_children if c.type in _WEB_CLAUSES), None)
    source = node.child_by_field_name("source")
    if source is None and clause is not None:
        source = clause.child_by_field_name("source")  # import x = require("y")
    module = _literal(parsed, source)
    if not module:
        return
    if node.type == "export_statement" and clause is None:
        yield Import(module, (ALL,))
        return
    parts = () if clause is None else clause.named_children
    names = () if clause is None else tuple(islice(_web_names(parsed, clause), MAX_NAMES))
    yield _import(module, names)
    if names and any(part.type == "namespace_import" for part in parts):
        yield Import(module)  # import a, * as b


def _web_names(parsed: Parsed, clause: Node) -> Iterator[tuple[str, str]]:
    if clause.type == "export_clause":
        yield from (_pair(parsed, child) for child in clause.named_children)
    if clause.type != "import_clause":
        return
    for child in clause.named_children:
        if child.type == "identifier":
            yield "default", parsed.text(child)
        elif child.type == "named_imports":
            yield from (_pair(parsed, one) for one in child.named_children if one.type == "import_specifier")


def _web_call(parsed: Parsed, node: Node) -> Iterator[Import]:
    called, given = node.child_by_field_name("function"), node.child_by_field_name("arguments")
    if called is None or given is None or parsed.text(called) not in ("require", "import"):
        return
    module = _literal(parsed, next(iter(given.named_children), None))
    taken: Node | None = node
    while taken is not None and taken.type in ("call_expression", "await_expression"):
        taken = taken.parent
    pattern = taken.child_by_field_name("name") if taken is not None and taken.type == "variable_declarator" else None
    if module:
        yield _import(module, () if pattern is None else _unpacked(parsed, pattern))


def _unpacked(parsed: Parsed, pattern: Node) -> Iterator[tuple[str, str]]:
    """{a, b: c} on the left of a declaration."""
    for child in pattern.named_children if pattern.type == "object_pattern" else ():
        if child.type == "shorthand_property_identifier_pattern":
            yield parsed.text(child), parsed.text(child)
        elif child.type == "pair_pattern":
            key = _field(parsed, child, "key")
            yield key, (_field(parsed, child, "value") or key).partition("=")[0]


def _literal(parsed: Parsed, node: Node | None) -> str:
    """What stands between quotes; nothing of a literal with anything but characters in it."""
    if node is None or node.type not in ("string", "encapsed_string", "template_string"):
        return ""
    kinds = {child.type for child in node.named_children} - {"string_start", "string_end"}
    return parsed.text(node)[1:-1].strip() if kinds <= {"string_fragment", "string_content"} else ""


def _java(parsed: Parsed, node: Node) -> Iterator[Import]:
    """Java and Kotlin: one name with dots, a star, an alias."""
    words = _solid_dotted(parsed, node)
    if words is None:
        return
    if any(child.type in ("asterisk", "*") for child in node.children):
        yield Import(words, (ALL,))
        return
    module, name = _split(words, ".")
    alias = parsed.text(node.named_children[-1]) if node.named_children[-1].type == "identifier" else name
    yield _import(module, [(name, alias if len(node.named_children) > 1 else name)])


def _solid_dotted(parsed: Parsed, node: Node) -> str | None:
    named = next((c for c in node.named_children if c.type in ("scoped_identifier", "qualified_identifier")), None)
    if named is None:
        named = next((c for c in node.named_children if c.type == "identifier"), None)
    return None if named is None else _solid(parsed.text(named)).replace("`", "")


def _scala(parsed: Parsed, node: Node) -> Iterator[Import]:
    """import a.b.C, d.{E, F => G}, h._: the paths of one statement lie side by side, commas between."""
    path: list[str] = []
    for child in (*node.children[1:], None):
        if child is not None and child.type in ("identifier", "operator_identifier"):
            path.append(parsed.text(child).replace("`", ""))
        elif child is not None and child.type == "namespace_wildcard":
            yield Import(".".join(path), (ALL,))
            path = []
        elif child is not None and child.type == "namespace_selectors":
            yield _import(".".join(path), (_scala_pair(parsed, one) for one in child.named_children))
            path = []
        elif (child is None or child.type == ",") and path:
            yield Import(".".join(path[:-1]), (path[-1],))
            path = []


def _scala_pair(parsed: Parsed, node: Node) -> tuple[str, str]:
    return (ALL, ALL) if node.type == "namespace_wildcard" else _pair(parsed, node)


def _go(parsed: Parsed, node: Node) -> Iterator[Import]:
    lists = [child for child in node.named_children if child.type == "import_spec_list"]
    for spec in (child for one in (node, *lists) for child in one.named_children if child.type == "import_spec"):
        names = (ALL,) if _field(parsed, spec, "name") == "." else ()
        yield Import(_field(parsed, spec, "path").strip('"`'), names)


def _rust(parsed: Parsed, node: Node) -> Iterator[Import]:
    if node.type == "mod_item":
        if node.child_by_field_name("body") is None:
            yield Import("self::" + _field(parsed, node, "name"))
        return
    argument = node.child_by_field_name("argument")
    modules: dict[str, list[tuple[str, str]]] = {}
    for path, alias in () if argument is None else islice(_rust_paths(parsed, argument), MAX_NAMES):
        module, name = _split(path.removeprefix("::"), "::")
        if name == "self":  # a::{self}: the module itself
            module, name = _split(module, "::")
            alias = name if alias == "self" else alias
        modules.setdefault(module, []).append((name, alias or name))
    yield from (_import(module or "self", pairs) for module, pairs in modules.items())


def _rust_paths(parsed: Parsed, node: Node, before: str = "") -> Iterator[tuple[str, str]]:
    """Whole paths of a tree of them, with their aliases. As deep as the text, which parsing bounds."""
    if node.type == "use_list":
        for child in node.named_children:
            yield from _rust_paths(parsed, child, before)
    elif node.type == "scoped_use_list":
        listed = node.child_by_field_name("list")
        path = _field(parsed, node, "path")
        if listed is not None:
            yield from _rust_paths(parsed, listed, f"{before}{path}::" if path else before)
    elif node.type == "use_as_clause":
        yield before + _field(parsed, node, "path"), _field(parsed, node, "alias")
    elif not node.type.endswith("comment"):
        path = before + _solid(parsed.text(node))
        yield path, _split(path, "::")[1]


def _include(parsed: Parsed, node: Node) -> Iterator[Import]:
    path = node.child_by_field_name("path")
    if path is not None and path.type in ("string_literal", "system_lib_string"):
        yield Import(parsed.text(path)[1:-1].strip(), (), int(path.type == "string_literal"))


def _using(parsed: Parsed, node: Node) -> Iterator[Import]:
    """C#: a namespace, a class for its statics, or an alias of either."""
    alias = _field(parsed, node, "name")
    named = [child for child in node.named_children if child.type in _C_SHARP_NAMES]
    if not named:
        return
    path = _solid(parsed.text(named[-1])).partition("<")[0].removeprefix("global::")
    if alias and "." in path:
        module, name = _split(path, ".")
        yield _import(module, [(name, alias)])
    elif any(child.type == "static" for child in node.children):
        yield Import(path)
    else:
        yield Import(path, (ALL,))


def _ruby(parsed: Parsed, node: Node) -> Iterator[Import]:
    method = _field(parsed, node, "method")
    given = node.child_by_field_name("arguments")
    if given is None or method not in ("require", "require_relative", "load", "autoload"):
        return
    # The path is the last one: autoload has a constant before it, File.expand_path the file behind it.
    level = int(method == "require_relative")
    last = given.named_children[-1] if given.named_children else None
    if last is not None and last.type == "call" and "__FILE__" in parsed.text(last):
        inner = last.child_by_field_name("arguments")
        last, level = (None if inner is None or not inner.named_children else inner.named_children[0]), 2
    path = _literal(parsed, last)
    if path:
        # ../x told from the file __FILE__, not from its folder, is one folder less.
        yield Import(path.removeprefix("../") if level == 2 else path, (), min(level, 1))


def _php(parsed: Parsed, node: Node) -> Iterator[Import]:
    if node.type != "namespace_use_declaration":
        given = [child for child in node.named_children if child.type != "comment"]
        yield from _php_file(parsed, given[0] if given else None)
        return
    before = next((parsed.text(c) + "\\" for c in node.named_children if c.type == "namespace_name"), "")
    group = node.child_by_field_name("body")
    for clause in (node if group is None else group).named_children:
        if clause.type == "namespace_use_clause" and clause.named_children:
            path = before + _solid(parsed.text(clause.named_children[0]))
            module, name = _split(path.strip("\\"), "\\")
            yield _import(module.replace("\\", "."), [(name, _field(parsed, clause, "alias") or name)])


def _php_file(parsed: Parsed, node: Node | None) -> Iterator[Import]:
    """What require names: a literal, or one behind __DIR__ or dirname(__FILE__), which are the file's folder."""
    while node is not None and node.type == "parenthesized_expression":
        node = next(iter(node.named_children), None)
    above = ""
    if node is not None and node.type == "binary_expression":
        left = _field(parsed, node, "left")
        above = {"dirname(__DIR__)": "..", "__DIR__": ".", "dirname(__FILE__)": "."}.get(left, "")
        node = node.child_by_field_name("right") if above else None
    path = _literal(parsed, node)
    if path:
        yield Import(above + path if above else path, (), 1)


def _bash(parsed: Parsed, node: Node) -> Iterator[Import]:
    """source FILE; of a name with variables in it the part behind the last one, told from the file itself."""
    given = node.child_by_field_name("argument")
    if given is None or _field(parsed, node, "name") not in ("source", "."):
        return
    text = parsed.text(given)
    path = re.split(r"[)}]|\$\w+", text.replace('"', "").replace("'", ""))[-1]
    if path != text.strip("\"'"):
        path = path.lstrip("/")
    if path and not path.isspace() and "`" not in path:
        yield Import(path, (), 1)


class _Reader(NamedTuple):
    """How the imports of a language are found and read."""

    words: re.Pattern[bytes]
    """Its first group is where the first leaf of one starts."""
    types: frozenset[str]
    read: Callable[[Parsed, Node], Iterable[Import]]

    def reads(self, node: Node) -> bool:
        return node.is_named and node.type in self.types


@functools.cache
def _readers() -> dict[str, _Reader]:
    def reader(words: bytes, types: str, read: Callable[[Parsed, Node], Iterable[Import]]) -> _Reader:
        return _Reader(re.compile(words, re.M), frozenset(types.split()), read)

    web = reader(
        rb"\b(import\b|require[ \t]*\(|export[ \t]*(?:type[ \t]*)?[{*])",
        "import_statement export_statement call_expression",
        _web,
    )
    java = reader(rb"^[ \t]*(import)\b", "import_declaration import", _java)
    include = reader(rb"^[ \t]*(#[ \t]*include)\b", "preproc_include", _include)
    return {
        "Python": reader(rb"^[ \t]*(from|import)\b", "import_statement import_from_statement", _python),
        "JavaScript": web, "TypeScript": web, "TSX": web,
        "Java": java, "Kotlin": java,
        "Scala": reader(rb"^[ \t]*(import)\b", "import_declaration", _scala),
        "Go": reader(rb"^(import)\b", "import_declaration", _go),
        "Rust": reader(rb"^[ \t]*(?:pub(?:\([^)\n]*\))?[ \t]+)?(use|mod)\b", "use_declaration mod_item", _rust),
        "C": include, "C++": include,
        "C#": reader(rb"^[ \t]*(?:global[ \t]+)?(using)\b", "using_directive", _using),
        "Ruby": reader(rb"\b(require_relative|require|load|autoload)\b", "call", _ruby),
        "PHP": reader(rb"\b(use|(?:require|include)(?:_once)?)\b",
                      "namespace_use_declaration require_expression require_once_expression include_expression "
                      "include_once_expression", _php),
        "Bash": reader(rb"(?:^|[\s;&|])(source|\.)[ \t]", "command", _bash),
    }  # fmt: skip


_LAST_PACKAGE = 2000
"""Of the nodes at the top, the first of which are looked at: licences and imports of other people's generators."""
_PACKAGES = {
    "Java": ("package_declaration",),
    "Kotlin": ("package_header",),
    "Scala": ("package_clause",),
    "C#": ("namespace_declaration", "file_scoped_namespace_declaration"),
    "PHP": ("namespace_definition",),
}
_WEB_CLAUSES = ("import_clause", "export_clause", "namespace_export", "import_require_clause")
_C_SHARP_NAMES = ("identifier", "qualified_name", "alias_qualified_name", "generic_name")
