"""What stands before a target: what its file imports, what of it the target uses first, within its room."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hash_seeds import said_by_each
from small_repository import index_of
from tunesmith.data.codebase.context import MAX_SIGNATURES, Context, context_for
from tunesmith.data.codebase.resolution import Index

ROOM = 10_000

PYTHON = {
    "pkg/__init__.py": "from .store import Store, open_store as opened\nfrom .inner import *\n",
    "pkg/store.py": '''
"""Doc."""
class Store:
    """Doc."""
    def __init__(self, path: str): self.path = path
    def get(self, key: str) -> bytes: return b""
    def put(self, key: str, value: bytes) -> None: ...
def open_store(path: str) -> Store: return Store(path)
def close_store(store): ...
''',
    "pkg/errors.py": "class Broken(Exception): ...\nclass Missing(Exception): ...\nLIMIT = 3\n",
    "pkg/inner.py": "def helped(a): ...\ndef other(): ...\ndef _hidden(): ...\n",
    "pkg/use.py": "import os\nfrom pkg.errors import Missing, Broken\nfrom .store import Store as S, open_store\n",
    "outer.py": "import pkg\nfrom pkg import opened\n",
}


def before(files: dict[str, str], path: str, used: str | None, room: int = ROOM) -> Context:
    return context_for(index_of(files), path, used=used, budget_characters=room)


def test_signatures_of_imported_names_stand_in_the_order_of_the_imports() -> None:
    assert before(PYTHON, "pkg/use.py", None) == Context(
        text="# Path: pkg/errors.py\n"
        "# class Broken(Exception):\n"
        "# class Missing(Exception):\n"
        "# Path: pkg/store.py\n"
        "# class Store:\n"
        "#     def __init__(self, path: str)\n"
        "#     def get(self, key: str) -> bytes\n"
        "#     def put(self, key: str, value: bytes) -> None\n"
        "# def open_store(path: str) -> Store\n"
        "\n",
        files=("pkg/errors.py", "pkg/store.py"),
        left_out=0,
    )


def test_what_the_target_uses_comes_first_where_room_is_short() -> None:
    used = "def f(key):\n    return S(key).put(key)\n"
    first = "# Path: pkg/store.py\n# class Store:\n"
    init, put = "#     def __init__(self, path: str)\n", "#     def put(self, key: str, value: bytes) -> None\n"
    assert before(PYTHON, "pkg/use.py", used, len(first) + 1).text == first + "\n"
    assert before(PYTHON, "pkg/use.py", used, len(first + init) + 1).text == first + init + "\n"
    found = before(PYTHON, "pkg/use.py", used, len(first + init + put) + 1)
    assert found == Context(first + init + put + "\n", ("pkg/store.py",), 4)


def test_a_used_name_comes_before_one_that_is_imported_only() -> None:
    only = "# Path: pkg/store.py\n# def open_store(path: str) -> Store\n\n"
    assert before(PYTHON, "pkg/use.py", "open_store(1)", len(only)).text == only


def test_where_a_class_finds_no_room_its_methods_stand_nowhere() -> None:
    files = {"a.py": f"class A({', '.join(f'Parent{i}' for i in range(20))}):\n    def m(self): ...\n"}
    files["x.py"] = "from a import A\n"
    assert before(files, "x.py", "A().m()", 100) == Context("", (), 2)


def test_of_a_module_imported_as_a_whole_stands_what_the_target_uses() -> None:
    files = {**PYTHON, "x.py": "import pkg.store\nfrom pkg import errors\n"}
    found = before(files, "x.py", "def f():\n    pkg.store.close_store(errors.LIMIT)\n")
    assert found.text == (
        "# Path: pkg/store.py\n# def close_store(store)\n# Path: pkg/errors.py\n# LIMIT = 3\n\n"
    )  # fmt: skip
    assert before(files, "x.py", "def f():\n    pass\n") == Context("", (), 0)
    assert before(files, "x.py", "close_store = Broken") == Context("", (), 0)  # words that merely are the same
    starred = {**PYTHON, "x.py": "from pkg.store import *\n"}
    assert "def close_store" in before(starred, "x.py", "close_store(1)").text
    assert "def open_store" in before(files, "x.py", None).text


def test_names_that_a_module_passes_on_are_followed_to_where_they_are_written() -> None:
    assert before(PYTHON, "outer.py", "opened(1)").text == (
        "# Path: pkg/store.py\n# def open_store(path: str) -> Store\n\n"
    )  # fmt: skip
    files = {**PYTHON, "outer.py": "import pkg\n"}
    assert before(files, "outer.py", "pkg.helped(pkg._hidden)").text == "# Path: pkg/inner.py\n# def helped(a)\n\n"
    assert before(files, "outer.py", "pkg.opened(1)").files == ("pkg/store.py",)
    web = {
        "index.js": "export { a as b } from './one';\nexport * from './two';\n"
        "import d from './three';\nexport { d };\n",
        "one.js": "export function a(x) {}\n", "two.js": "export class T { m() {} }\n",
        "three.js": "export default function named(y) {}\n", "x.js": "import { b, T, d } from './index';\n",
    }  # fmt: skip
    assert before(web, "x.js", "").text == (
        "// Path: one.js\n// function a(x)\n// Path: two.js\n// class T\n//     m()\n"
        "// Path: three.js\n// function named(y)\n\n"
    )


def test_cycles_and_files_that_import_themselves_end() -> None:
    files = {
        "p/__init__.py": "from .a import *\nfrom . import *\nfrom p import x\n",
        "p/a.py": "from .b import *\nfrom p.a import y\n",
        "p/b.py": "from .a import *\nfrom . import z\n",
        "q.py": "from p import x, y, z, w\nfrom p import *\nimport q\nfrom q import q\ndef q(): ...\n",
    }
    assert before(files, "q.py", "x y z w q") == Context("", (), 0)
    assert before(files, "p/__init__.py", None) == Context("", (), 0)
    back = {"p/__init__.py": "from .x import own\n", "p/x.py": "from p import own\ndef own(): ...\n"}
    assert before(back, "p/x.py", "own()") == Context("", (), 0)


def test_what_a_file_of_a_package_defines_itself_is_not_told_from_its_neighbours() -> None:
    files = {
        "a/X.kt": "package a\nfun f() = 1\nfun x() = f() + g()\n",
        "a/Y.kt": "package a\nfun f() = 2\nfun g() = 3\n",
    }
    assert before(files, "a/X.kt", "fun x() = f() + g()").text == "// Path: a/Y.kt\n// fun g()\n\n"


FAMILIES = {
    "Java": (
        {"a/S.java": "package a;\npublic class S { public int m(int x) { return 1; } }",
         "a/Near.java": "package a;\nclass Near { void n() {} }\n",
         "b/W.java": "package b;\npublic class W {}", "b/V.java": "package b;\npublic class V {}",
         "a/X.java": "package a;\nimport b.*;\nclass X { Near f(W w) { return null; } }"},
        "a/X.java", "Near f(W w) {}",
        "// Path: b/W.java\n// public class W\n// Path: a/Near.java\n// class Near\n//     void n()\n\n",
    ),
    "Kotlin": (
        {"a/S.kt": "package a\nfun ext(x: Int): Int = x\nfun other() {}\n", "X.kt": "import a.ext\nfun f() = ext(1)\n"},
        "X.kt", "ext(1)", "// Path: a/S.kt\n// fun ext(x: Int): Int\n\n",
    ),
    "Scala": (
        {"a/S.scala": "package a\nobject S { def m(x: Int): Int = x }\n", "X.scala": "import a.{S => T}\nclass X\n"},
        "X.scala", "T.m(1)", "// Path: a/S.scala\n// object S\n//     def m(x: Int): Int\n\n",
    ),
    "Go": (
        {"store/a.go": "package store\ntype S struct{ A int }\nfunc (s *S) Get(k string) int { return 1 }\n"
         "func hidden() {}\nfunc Open() *S { return nil }\n",
         "main.go": 'package main\nimport "example.com/m/store"\nfunc main() { near() }\n',
         "near.go": "package main\nfunc near() {}"},
        "main.go", "func main() { var s *store.S = store.Open(); s.Get(1); hidden(); near() }",
        "// Path: store/a.go\n// type S struct{ A int }\n//     func (s *S) Get(k string) int\n// func Open() *S\n"
        "// Path: near.go\n// func near()\n\n",
    ),
    "Rust": (
        {"src/lib.rs": "pub mod a;\nmod x;\n", "src/a.rs": "pub struct S { b: u8 }\nimpl S { pub fn new() -> S {} }\n",
         "src/x.rs": "use crate::a::S;\n"},
        "src/x.rs", "S::new()", "// Path: src/a.rs\n// pub struct S { b: u8 }\n//     pub fn new() -> S\n\n",
    ),
    "C": (
        {"x.h": "#define N 3\nint f(int a);\nint g(void);\n", "x.c": '#include "x.h"\n'},
        "x.c", "return f(N);", "// Path: x.h\n// #define N 3\n// int f(int a)\n\n",
    ),
    "C++": (
        {"x.hpp": "class A { public: int m() { return 1; } };\n", "x.cc": '#include "x.hpp"\n'},
        "x.cc", "A().m()", "// Path: x.hpp\n// class A\n//     int m()\n\n",
    ),
    "C#": (
        {"A.cs": "namespace N { public class A { public int M() { return 1; } } public class B {} }",
         "X.cs": "using N;\nclass X {}"},
        "X.cs", "new A().M()", "// Path: A.cs\n// public class A\n//     public int M()\n\n",
    ),
    "Ruby": (
        {"lib/a.rb": "module A\n class C\n  def ok?(x)\n  end\n end\nend\n", "lib/x.rb": "require 'a'\n"},
        "lib/x.rb", "A::C.new.ok?(1)", "# Path: lib/a.rb\n# class C\n#     def ok?(x)\n\n",
    ),
    "PHP": (
        {"A.php": "<?php\nnamespace N;\nclass A { public function m(): int { return 1; } }",
         "x.php": "<?php\nuse N\\A;\n"},
        "x.php", "(new A)->m();", "// Path: A.php\n// class A\n//     public function m(): int\n\n",
    ),
    "TSX": (
        {"b.tsx": "export const B = (p: P) => <b/>;\n", "x.tsx": "import { B as C } from './b';\n"},
        "x.tsx", "<C/>", "// Path: b.tsx\n// const B = (p: P)\n\n",
    ),
    "TypeScript": (
        {"b.ts": "export interface I { a: number }\n", "x.ts": "import type { I } from './b';\n"},
        "x.ts", "I", "// Path: b.ts\n// interface I\n//     a: number\n\n",
    ),
    "Bash": (
        {"lib/a.sh": "log() { echo; }\nother() { echo; }\n", "x.sh": ". lib/a.sh\n"},
        "x.sh", "log hello", "# Path: lib/a.sh\n# log()\n\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("language", FAMILIES)
def test_each_language_gives_what_its_target_uses(language: str) -> None:
    files, path, used, text = FAMILIES[language]
    index = index_of(files, {"go.mod": "module example.com/m\n"})
    found = context_for(index, path, used=used, budget_characters=ROOM)
    assert (found.text, found.left_out) == (text, 0)


def test_a_file_that_imports_nothing_here_has_nothing_before_it() -> None:
    assert before({"a.sql": "CREATE TABLE t (a INT);"}, "a.sql", "t") == Context("", (), 0)
    assert before({"a.py": "import os\nimport numpy as np\n"}, "a.py", "np.array(os)") == Context("", (), 0)


MANY = {
    "all.py": "from names import *\nfrom store import Store, f1, f2\nimport names\n",
    "names.py": "".join(f"def f{i}(argument_{i}: int) -> None: ...\n" for i in range(30)),
    "store.py": "class Store:\n" + "".join(f"    def m{i}(self, x{i}): ...\n" for i in range(15)) + "def f1(): ...\n",
}
INDEX = index_of(MANY)
WORDS = [f"f{i}" for i in range(32)] + [f"m{i}" for i in range(16)] + ["Store"]


@given(st.one_of(st.none(), st.lists(st.sampled_from(WORDS)).map(" ".join)), st.integers(-10, 2500))
def test_room_is_never_exceeded_and_every_signature_is_there_or_counted(used: str | None, room: int) -> None:
    whole = context_for(INDEX, "all.py", used=used, budget_characters=10**6)
    found = context_for(INDEX, "all.py", used=used, budget_characters=room)
    assert whole.left_out == 0
    assert len(found.text) <= max(room, 0)
    signatures = [line for line in found.text.splitlines() if line and not line.startswith("# Path: ")]
    wanted = [line for line in whole.text.splitlines() if line and not line.startswith("# Path: ")]
    assert len(signatures) + found.left_out == len(wanted)
    assert set(found.text.splitlines()) <= set(whole.text.splitlines())
    assert list(found.files) == [line[8:] for line in found.text.splitlines() if line.startswith("# Path: ")]
    # A method never stands without its class.
    assert "#     def " not in found.text or "# class Store:\n" in found.text


def test_a_target_that_asks_for_very_much_is_given_a_bound() -> None:
    files = {f"m{i}.py": "".join(f"def f{j}(): ...\n" for j in range(100)) for i in range(20)}
    files["x.py"] = "".join(f"from m{i} import *\n" for i in range(20))
    lines = before(files, "x.py", None, 10**6).text.count("# def ")
    assert MAX_SIGNATURES <= lines < MAX_SIGNATURES + 100


SCRIPT = f"""
import sys
sys.path.append({str(Path(__file__).parent)!r})
from test_context import MANY, PYTHON, WORDS, before
print(before(MANY, "all.py", " ".join(WORDS), 1500), before(PYTHON, "outer.py", "pkg opened helped other Store", 400))
"""


def test_order_of_hashes_changes_nothing() -> None:
    assert len(set(said_by_each(SCRIPT))) == 1


def test_an_index_is_not_changed_by_what_it_is_asked() -> None:
    index: Index = index_of(PYTHON)
    first = [context_for(index, path, used=None, budget_characters=ROOM) for path in PYTHON]
    assert [context_for(index, path, used=None, budget_characters=ROOM) for path in PYTHON] == first
