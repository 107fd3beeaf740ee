"""What a file asks of others: every form of every language, nothing that merely looks so, and bounded."""

from __future__ import annotations

import pytest

from tunesmith.data.codebase.imports import MAX_IMPORTS, MAX_NAMES, Import, imports, package
from tunesmith.data.codebase.languages import PARSED, language_named
from tunesmith.data.codebase.parsing import Parsed, parse


def read(language: str, text: str) -> Parsed:
    parsed = parse(text, language_named(language))
    assert isinstance(parsed, Parsed)
    return parsed


FORMS = [
    ("Python", "import os, a.b as c\n", [Import("os"), Import("a.b")]),
    ("Python", "from ..x import y as z, w\n", [Import("x", ("y", "w"), 2, ("z", "w"))]),
    ("Python", "from . import q\n", [Import("", ("q",), 1)]),
    ("Python", "from m import *\n", [Import("m", ("*",))]),
    ("Python", "from m import (\n    a,  # one\n    b,\n)\n", [Import("m", ("a", "b"))]),
    ("Python", "def f():\n    if x:\n        from m import n\n", [Import("m", ("n",))]),
    ("Python", "from __future__ import annotations\n", []),
    ("JavaScript", "import d, {a as b, c} from './x';", [Import("./x", ("default", "a", "c"), 0, ("d", "b", "c"))]),
    ("JavaScript", "import * as ns from \"./ns.js\";import './side'", [Import("./ns.js"), Import("./side")]),
    ("JavaScript", "import d, * as ns from './k'", [Import("./k", ("default",), 0, ("d",)), Import("./k")]),
    ("JavaScript", "export {q, r as s} from '../y';", [Import("../y", ("q", "r"), 0, ("q", "s"))]),
    ("JavaScript", "export * from './all'; export * as n from './n'", [Import("./all", ("*",)), Import("./n")]),
    ("JavaScript", "const {m, n: o} = require('./z');", [Import("./z", ("m", "n"), 0, ("m", "o"))]),
    ("JavaScript", "require('./w'); f(require(`./v`).x)", [Import("./w"), Import("./v")]),
    ("JavaScript", "async () => { const {a} = await import('./lazy') }", [Import("./lazy", ("a",))]),
    ("JavaScript", "require('./' + x); import(y); export {h}; export default 1", []),
    ("TypeScript", "import type { A } from './a'; import X = require('./x')", [Import("./a", ("A",)), Import("./x")]),
    ("TypeScript", "type Z = import('./t').T", [Import("./t")]),
    ("TSX", "export type { Q } from './q'; const a = <b>import c</b>", [Import("./q", ("Q",))]),
    ("Java", "import x.y.Z;\nimport x.y.*;\n", [Import("x.y", ("Z",)), Import("x.y", ("*",))]),
    ("Java", "import static x.y.Z.m;\nimport static q.R.*;", [Import("x.y.Z", ("m",)), Import("q.R", ("*",))]),
    ("Kotlin", "import q.f as g\nimport a.`in`.*\n", [Import("q", ("f",), 0, ("g",)), Import("a.in", ("*",))]),
    ("Scala", "import x.y.{A, B => C, _}", [Import("x.y", ("A", "B", "*"), 0, ("A", "C", "*"))]),
    ("Scala", "import a.B, c.d._\nimport q.*\n", [Import("a", ("B",)), Import("c.d", ("*",)), Import("q", ("*",))]),
    ("Go", 'import "fmt"\nimport (\n x "m/p"\n . "a/b"\n)\n', [Import("fmt"), Import("m/p"), Import("a/b", ("*",))]),
    ("Rust", "use crate::a::{self, b::C, d as e, f::*};", [
        Import("crate", ("a",)), Import("crate::a::b", ("C",)), Import("crate::a", ("d",), 0, ("e",)),
        Import("crate::a::f", ("*",)),
    ]),
    ("Rust", "pub use self::y::Z;\nmod m;\nmod n { use super::K; }\nuse ::std::io;", [
        Import("self::y", ("Z",)), Import("self::m"), Import("std", ("io",)),
    ]),
    ("Rust", "mod n {\n    use super::super::K;\n}", [Import("super::super", ("K",))]),
    ("C", '#include "x.h"\n#ifndef A\n# include <sys/y.h>\n#endif\n#include M\n',
     [Import("x.h", (), 1), Import("sys/y.h")]),
    ("C++", '#include "a/b.hpp"\n', [Import("a/b.hpp", (), 1)]),
    ("C#", "using N.M;\nglobal using G;\nusing static N.X;\nusing Al = N.Q.Z;\n", [
        Import("N.M", ("*",)), Import("G", ("*",)), Import("N.X"), Import("N.Q", ("Z",), 0, ("Al",)),
    ]),
    ("C#", "class A { void F() {\n using var x = new X(); } }", []),
    ("Ruby", "require 'set'\nrequire_relative '../x'\nautoload :Z, 'f/z'\n",
     [Import("set"), Import("../x", (), 1), Import("f/z")]),
    ("Ruby", "require File.expand_path('../x', __FILE__)\nrequire \"#{a}/b\"\n", [Import("x", (), 1)]),
    ("PHP", "<?php use C\\D; use C\\E as F; use function C\\{f, g as h};", [
        Import("C", ("D",)), Import("C", ("E",), 0, ("F",)), Import("C", ("f",)), Import("C", ("g",), 0, ("h",)),
    ]),
    ("PHP", "<?php require_once __DIR__ . '/y.php'; include('z.php'); require dirname(__DIR__).'/w.php';", [
        Import("./y.php", (), 1), Import("z.php", (), 1), Import("../w.php", (), 1),
    ]),
    ("Bash", "source ./x.sh\n. 'y.sh' arg\n", [Import("./x.sh", (), 1), Import("y.sh", (), 1)]),
    ("Bash", '. "$(dirname "$0")/lib/z.sh"\nif true; then source "$D"/w.sh; fi\nsource "$F"\n',
     [Import("lib/z.sh", (), 1), Import("w.sh", (), 1)]),
    ("SQL", "CREATE TABLE t (a INT);", []),
]  # fmt: skip


@pytest.mark.parametrize(("language", "text", "found"), FORMS)
def test_every_form_of_import_is_read(language: str, text: str, found: list[Import]) -> None:
    assert list(imports(read(language, text))) == found


def test_every_language_that_is_parsed_has_a_form() -> None:
    assert {language for language, _, _ in FORMS} == {language.name for language in PARSED}


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("Python", '"""\nimport a\nfrom b import c\n"""\n# import d\nx = "\\\nimport e"\n'),
        ("JavaScript", "// require('./a')\nconst s = `\nimport x from './b'`; /* export * from './c' */"),
        ("Java", "/*\nimport a.B;\n*/\nclass C {}"),
        ("C", '/*\n#include "a.h"\n*/\nchar *s = "\\\n#include";\n'),
        ("Rust", "/*\nuse a::b;\nmod c;\n*/"),
        ("Ruby", "=begin\nrequire 'a'\n=end\n# require 'b'\nx.require('c' => 1)\n"),
        ("Bash", "# source a.sh\ncat <<E\nsource b.sh\nE\necho source c.sh\n"),
        ("PHP", "<p>use A\\B; require 'x.php'</p><?php // use C\\D;\n"),
    ],
)
def test_what_stands_in_comments_and_literals_is_no_import(language: str, text: str) -> None:
    assert imports(read(language, text)) == ()


@pytest.mark.parametrize(
    ("language", "text", "name"),
    [
        ("Java", "/* x */ @A package a.b . c;\nclass D {}", "a.b.c"),
        ("Kotlin", "package a.b\n", "a.b"),
        ("Scala", "package a.b\npackage c\n", "a.b.c"),
        ("C#", "namespace A.B;\nclass C {}", "A.B"),
        ("C#", "using X;\nnamespace A { namespace B { } }\nnamespace C { }", "A"),
        ("PHP", "<?php\nnamespace A\\B;\n", "A.B"),
        ("Java", "class D {}", ""),
        ("Go", "package a\n", ""),
        ("Python", "x = 1\n", ""),
    ],
)
def test_package_is_what_the_file_says(language: str, text: str, name: str) -> None:
    assert package(read(language, text)) == name


def test_imports_beyond_the_bound_are_left() -> None:
    many = "".join(f"import a{i}\n" for i in range(MAX_IMPORTS * 10))
    assert imports(read("Python", many)) == tuple(Import(f"a{i}") for i in range(MAX_IMPORTS))
    names = ", ".join(f"a{i}" for i in range(MAX_IMPORTS * 10))
    assert len(imports(read("Python", f"import {names}\n"))) == MAX_IMPORTS
    for language, text in (
        ("Python", f"from m import {names}\n"),
        ("JavaScript", f"import {{{names}}} from 'm'"),
        ("Rust", f"use m::{{{names}}};"),
        ("Scala", f"import m.{{{names}}}\n"),
    ):
        [one] = imports(read(language, text))
        assert one.names == tuple(f"a{i}" for i in range(MAX_NAMES))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("JavaScript", "import './a\0b'"),
        ("JavaScript", "import './" + "a" * 1000 + "'"),
        ("JavaScript", 'import {"x\x01y" as z} from "./a"'),
        ("C", '#include "a\tb.h"\n'),
        ("Java", "import Z;"),
        ("C", '#include ""\n'),
    ],
)
def test_what_cannot_lead_anywhere_is_left(language: str, text: str) -> None:
    assert imports(read(language, text)) == ()


def test_a_broken_text_gives_what_of_it_can_be_read() -> None:
    assert Import("a") in imports(read("Python", "import a\ndef f(:\n  import (((\n"))
