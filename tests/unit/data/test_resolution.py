"""Which files an import means: each language's rules on a small repository, and nothing outside of it."""

from __future__ import annotations

import pickle
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from small_repository import index_of, symbols_of
from tunesmith.data.codebase.imports import Import
from tunesmith.data.codebase.languages import language_of
from tunesmith.data.codebase.offers import Offer
from tunesmith.data.codebase.resolution import Index
from tunesmith.data.codebase.symbols import pack


def resolved(files: Mapping[str, str], path: str, manifests: Mapping[str, str] | None = None) -> list[str]:
    """Where the imports of a file lead, in their order."""
    index = index_of(files, manifests)
    return [place for one in index.files[path].imports for place in index.resolve(path, one)]


PYTHON = {
    "src/pkg/__init__.py": "", "src/pkg/a.py": "", "src/pkg/sub/__init__.py": "", "src/pkg/sub/b.py": "",
    "src/pkg/sub/c.pyi": "", "src/ns/deep/d.py": "", "tests/test_a.py": "", "tests/tools.py": "", "top.py": "",
    "other/pkg/__init__.py": "", "other/pkg/a.py": "", "scripts/json.py": "", "src/pkg/json.py": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ("src/pkg/x.py", "from . import a", ["src/pkg/a.py"]),
        ("src/pkg/x.py", "from .sub import b, name", ["src/pkg/sub/b.py", "src/pkg/sub/__init__.py"]),
        ("src/pkg/sub/x.py", "from ..a import f", ["src/pkg/a.py"]),
        ("src/pkg/sub/__init__.py", "from .b import f", ["src/pkg/sub/b.py"]),
        ("src/pkg/x.py", "import pkg.sub.c", ["src/pkg/sub/c.pyi"]),
        ("src/pkg/x.py", "from pkg.a import f", ["src/pkg/a.py"]),
        ("src/pkg/x.py", "import ns.deep.d\nfrom ns.deep import d", ["src/ns/deep/d.py"] * 2),
        ("tests/test_a.py", "import pkg", ["src/pkg/__init__.py"]),
        ("tests/test_a.py", "import tools, top", ["tests/tools.py", "top.py"]),
        ("other/pkg/x.py", "from pkg import a", ["other/pkg/a.py"]),
        ("src/pkg/x.py", "import json", []),
        ("src/pkg/x.py", "import sub.b", []),
        ("src/pkg/x.py", "from pkg import json", ["src/pkg/json.py"]),
        ("src/pkg/x.py", "import os, numpy.linalg\nfrom typing import Any", []),
        ("src/pkg/x.py", "from pkg.missing import f", []),
        ("src/pkg/x.py", "from ..... import a", []),
        ("top.py", "from . import top, tests", []),
        ("src/pkg/a.py", "from . import a\nfrom pkg.a import a\nimport pkg.a", []),
    ],
)
def test_python_knows_packages_roots_and_levels(path: str, text: str, found: list[str]) -> None:
    assert resolved({**PYTHON, path: text}, path) == found


WEB = {
    "src/a.ts": "", "src/b.tsx": "", "src/c.js": "", "src/lib/index.ts": "", "src/types.d.ts": "", "index.js": "",
    "packages/core/src/index.ts": "", "packages/core/src/deep/x.ts": "", "packages/plain/main.js": "", "src/e.mts": "",
}  # fmt: skip
WEB_MANIFESTS = {
    "packages/core/package.json": '{"name": "@me/core"}',
    "packages/plain/package.json": '{"name": "plain", "main": "./main.js"}',
    "tsconfig.json": '{ // comments\n  "compilerOptions": {"baseUrl": ".", "paths": {"@/*": ["src/*"],}}}',
    "broken/package.json": "{",
}


@pytest.mark.parametrize(
    ("module", "found"),
    [
        ("./a", ["src/a.ts"]),
        ("./a.js", ["src/a.ts"]),
        ("./e.mjs", ["src/e.mts"]),
        ("./b", ["src/b.tsx"]),
        ("./c.js", ["src/c.js"]),
        ("./lib", ["src/lib/index.ts"]),
        ("./types", ["src/types.d.ts"]),
        ("..", ["index.js"]),
        ("@me/core", ["packages/core/src/index.ts"]),
        ("@me/core/deep/x", ["packages/core/src/deep/x.ts"]),
        ("plain", ["packages/plain/main.js"]),
        ("@/lib", ["src/lib/index.ts"]),
        ("src/a", ["src/a.ts"]),
        ("react", []),
        ("@me/other", []),
        ("./missing", []),
        ("./x", []),
        ("../../../a", []),
        ("/src/a", []),
    ],
)
def test_javascript_knows_endings_folders_packages_and_paths(module: str, found: list[str]) -> None:
    files = {**WEB, "src/x.ts": f"import {{f}} from '{module}'"}
    assert resolved(files, "src/x.ts", WEB_MANIFESTS) == found


def test_java_kotlin_and_scala_know_each_others_classes_by_their_packages() -> None:
    files = {
        "src/main/a/b/C.java": "package a.b;\npublic class C { public static int m() { return 1; } }",
        "src/main/a/b/Many.kt": "package a.b\nclass D\nfun ext(): Int = 1\n",
        "src/main/a/b/e.scala": "package a\npackage b\nobject E { def z() = 1 }\n",
        "odd/place.java": "package p.q;\nclass R {}",
        "x/X.java": "package x;\nimport a.b.C;\nimport a.b.D;\nimport static a.b.C.m;\nimport a.b.C.Inner;\n"
        "import p.q.*;\nimport java.util.List;\nimport a.b.Missing;\nimport x.X;\nimport a.b.ext;\nimport a.b.E;\n",
    }
    assert resolved(files, "x/X.java") == [
        "src/main/a/b/C.java", "src/main/a/b/Many.kt", "src/main/a/b/C.java", "src/main/a/b/C.java", "odd/place.java",
        "src/main/a/b/Many.kt", "src/main/a/b/e.scala",
    ]  # fmt: skip


def test_go_knows_folders_by_the_module_of_go_mod() -> None:
    files = {
        "store/a.go": "package store\nfunc Open() {}", "store/b.go": "package store\n",
        "store/a_test.go": "package store",
        "tools/gen/g.go": "package gen\n", "root.go": "package m\n",
        "main/x.go": 'package main\nimport (\n"fmt"\n"example.com/m/store"\n'
        '"example.com/m/tools/gen"\n"example.com/m"\n)',
    }  # fmt: skip
    manifests = {"go.mod": "// c\nmodule example.com/m\n", "moved/go.mod": "module example.com/m/tools"}
    files = {**files, "moved/gen/h.go": "package gen\n"}
    places = ["store/a.go", "store/b.go", "moved/gen/h.go", "root.go"]
    assert resolved(files, "main/x.go", manifests) == places
    assert resolved(dict(reversed(files.items())), "main/x.go", manifests) == places
    assert resolved(files, "main/x.go") == ["tools/gen/g.go"]
    without = {**files, "main/x.go": 'package main\nimport "github.com/me/proj/store"'}
    assert resolved(without, "main/x.go") == []


RUST = {
    "one/src/lib.rs": "mod a;", "one/src/a/mod.rs": "", "one/src/a/b.rs": "", "one/src/c.rs": "", "one/src/c/d.rs": "",
    "two-x/src/lib.rs": "", "two-x/src/e.rs": "", "named/src/lib.rs": "", "one/tests/it.rs": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ("one/src/lib.rs", "mod a;\npub mod c;", ["one/src/a/mod.rs", "one/src/c.rs"]),
        ("one/src/c.rs", "use crate::a::b::Thing;", ["one/src/a/b.rs"]),
        ("one/src/c.rs", "use crate::a::b;\nuse crate::a::Enum::Variant;", ["one/src/a/b.rs", "one/src/a/mod.rs"]),
        ("one/src/c.rs", "use self::d::X;\nmod d;\nuse d::Y;", ["one/src/c/d.rs"] * 3),
        ("one/src/c/d.rs", "use super::X;\nuse super::super::a::*;", ["one/src/c.rs", "one/src/a/mod.rs"]),
        ("one/src/c.rs", "use crate::Root;", ["one/src/lib.rs"]),
        ("one/tests/it.rs", "use two_x::e::E;\nuse real_name::F;", ["two-x/src/e.rs", "named/src/lib.rs"]),
        ("one/src/c.rs", "use std::io;\nuse super::super::super::X;\nuse serde::Y;", []),
        ("one/src/c.rs", "use crate::c::X;\nuse self::Y;", []),
    ],
)
def test_rust_knows_crates_and_modules(path: str, text: str, found: list[str]) -> None:
    manifests = {"named/Cargo.toml": '[package]\nversion = "1"\nname = "real-name"\n[lib]\nname = "x"\n'}
    assert resolved({**RUST, path: text}, path, manifests) == found


C = {
    "src/x.h": "", "include/proj/y.h": "", "include/z.h": "", "lib/one/dup.h": "", "lib/two/dup.h": "",
    "src/data.txt.h": "", "include/proj/w.hpp": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "include", "found"),
    [
        ("src/a.c", '"x.h"', ["src/x.h"]),
        ("src/sub/a.c", '"../x.h"', ["src/x.h"]),
        ("src/a.cc", '"proj/y.h"', ["include/proj/y.h"]),
        ("src/a.cc", "<proj/w.hpp>", ["include/proj/w.hpp"]),
        ("src/a.c", '"z.h"', ["include/z.h"]),
        ("src/a.c", "<z.h>", []),
        ("lib/two/a.c", '"dup.h"', ["lib/two/dup.h"]),
        ("lib/two/sub/a.c", '"dup.h"', ["lib/two/dup.h"]),
        ("src/a.c", '"dup.h"', ["lib/one/dup.h"]),
        ("src/a.c", '"/etc/passwd"', []),
        ("src/a.c", '"/x.h"', []),
        ("src/a.c", '"../../../z.h/../../"', []),
        ("src/a.c", "<stdio.h>", []),
        ("src/x.h", '"x.h"', []),
    ],
)
def test_c_looks_beside_the_file_then_for_the_nearest_that_ends_so(path: str, include: str, found: list[str]) -> None:
    assert resolved({**C, path: f"#include {include}\n"}, path) == found


def test_c_sharp_knows_namespaces() -> None:
    files = {
        "a/One.cs": "namespace A.B { public class One { } }",
        "b/Two.cs": "namespace A.B;\npublic class Two { }",
        "c/X.cs": "using System;\nusing A.B;\nusing static A.B.One;\nusing T = A.B.Two;\nnamespace C { class X {} }",
    }
    assert resolved(files, "c/X.cs") == ["a/One.cs", "b/Two.cs", "a/One.cs", "b/Two.cs"]


def test_ruby_knows_lib_and_its_own_folder() -> None:
    files = {
        "lib/gem/a.rb": "", "lib/gem.rb": "", "test/helper.rb": "", "b.rb": "",
        "test/x.rb": "require 'set'\nrequire 'gem'\nrequire 'gem/a'\nrequire_relative 'helper'\n"
        "require_relative '../../b'\nrequire 'helper'\nrequire_relative 'x'\nrequire 'b'\n",
    }  # fmt: skip
    assert resolved(files, "test/x.rb") == ["lib/gem.rb", "lib/gem/a.rb", "test/helper.rb", "b.rb"]


def test_php_knows_namespaces_composer_and_required_files() -> None:
    files = {
        "src/Db/Store.php": "<?php\nnamespace App\\Db;\nclass Store {}",
        "src/Odd/Plain.php": "<?php\nclass Whatever {}",
        "lib/functions.php": "<?php\nnamespace App;\nfunction run() {}",
        "web/helpers.php": "<?php\n",
        "web/x.php": "<?php\nuse App\\Db\\Store;\nuse App\\Odd\\Plain;\nuse function App\\run;\nuse Other\\Thing;\n"
        "require __DIR__ . '/helpers.php';\nrequire 'lib/functions.php';\nrequire '/etc/passwd';\n",
    }
    composer = {"composer.json": '{"autoload": {"psr-4": {"App\\\\": ["src/"]}}}'}
    assert resolved(files, "web/x.php", composer) == [
        "src/Db/Store.php", "src/Odd/Plain.php", "lib/functions.php", "web/helpers.php", "lib/functions.php",
    ]  # fmt: skip
    assert resolved(files, "web/x.php") == [
        "src/Db/Store.php", "lib/functions.php", "web/helpers.php", "lib/functions.php",
    ]  # fmt: skip


def test_bash_looks_beside_the_file_then_from_the_root_then_for_the_only_one() -> None:
    files = {
        "bin/lib/z.sh": "", "tools/log.sh": "", "deep/er/only.sh": "", "one/two.sh": "", "two/two.sh": "",
        "bin/x.sh": '. "$(dirname "$0")/lib/z.sh"\nsource tools/log.sh\n. $D/only.sh\n. $D/two.sh\n. /etc/profile.sh\n',
    }  # fmt: skip
    assert resolved(files, "bin/x.sh") == ["bin/lib/z.sh", "tools/log.sh", "deep/er/only.sh"]


def test_sql_leads_nowhere() -> None:
    assert index_of({"a.sql": "CREATE TABLE t (a INT);"}).resolve("a.sql", Import("a")) == ()


HOSTILE = st.one_of(
    st.sampled_from(["", ".", "..", "../" * 50, "/", "//", "\\..\\x", "a/../../..", "a..b", "::", "crate::" * 40, "*",
                     "super::" * 300 + "x", "\0", "~", "file:///etc/passwd", "a" * 5000, "." * 300]),
    st.text(max_size=20),
)  # fmt: skip


@given(
    st.sampled_from(["a.py", "a.ts", "p/A.java", "a.go", "a.rs", "a.c", "A.cs", "a.rb", "a.php", "a.sh", "a.scala"]),
    HOSTILE, st.lists(HOSTILE, max_size=3), st.integers(0, 10**6),
)  # fmt: skip
def test_whatever_is_imported_leads_to_other_files_of_the_repository_or_nowhere(
    path: str, module: str, names: list[str], level: int
) -> None:
    language = language_of(path, b"")
    assert language is not None
    files = {place: pack(language.name, "", (), [Offer("x", "x", "function", "x")]) for place in (path, "b/" + path)}
    index = Index(files, {"go.mod": "module x", "package.json": "[]", "composer.json": "{}", "tsconfig.json": "1"})
    found = index.resolve(path, Import(module, tuple(names), level))
    assert set(found) <= set(files) - {path}
    assert found == index.resolve(path, Import(module, tuple(names), level))


@pytest.mark.parametrize(
    "manifest",
    ["", "[" * 100_000, "null", '{"name": 3}', '{"autoload": {"psr-4": {"A\\\\": [1, "../../.."]}}}',
     '{"compilerOptions": {"paths": {"@/*": "x"}, "baseUrl": 3}}', '{"compilerOptions": []}'],
)  # fmt: skip
def test_manifests_that_say_nonsense_say_nothing(manifest: str) -> None:
    names = ("go.mod", "composer.json", "package.json", "tsconfig.json", "Cargo.toml")
    files = {"a/x.ts": "import '@/y'; import '../b'", "b.ts": ""}
    assert resolved(files, "a/x.ts", dict.fromkeys(names, manifest)) == ["b.ts"]


def test_order_of_the_files_changes_nothing() -> None:
    files = {f"d{i}/dup.h": "" for i in range(20)} | {"x/a.c": '#include "dup.h"\n'}
    assert resolved(files, "x/a.c") == resolved(dict(reversed(files.items())), "x/a.c") == ["d0/dup.h"]


TEXTS = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=10)
IMPORTS = st.builds(
    lambda module, pairs, level: Import(module, tuple(a for a, _ in pairs), level, tuple(b for _, b in pairs)),
    TEXTS, st.lists(st.tuples(TEXTS, TEXTS), max_size=3), st.integers(0, 9),
)  # fmt: skip
OFFERS = st.builds(Offer, TEXTS, TEXTS, st.sampled_from(["class", "method"]), TEXTS)


@given(st.lists(IMPORTS, max_size=5), st.lists(OFFERS, max_size=5))
def test_symbols_come_out_of_a_pack_and_a_pickle_as_they_went_in(imported: list[Import], offered: list[Offer]) -> None:
    packed = pickle.loads(pickle.dumps(pack("Go", "p", imported, offered)))
    assert (packed.language, packed.package) == ("Go", "p")
    assert packed.imports == tuple(imported)
    assert packed.offers == tuple(offered)


def test_a_pack_is_a_fraction_of_its_text() -> None:
    text = "".join(
        f"class Store{i}:\n    def get(self, key: str) -> bytes:\n        return self.a[key]\n" for i in range(99)
    )
    packed = symbols_of("a.py", text)
    assert len(packed.packed_offers) < len(text) / 4
    assert len(pickle.dumps(packed)) < len(packed.packed_offers) + 200
