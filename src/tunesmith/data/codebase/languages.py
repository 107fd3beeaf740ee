"""Which language a file is written in: by its name, else by its first line; by its content where a name says two.

Those with a grammar can be cut into examples. The others are known by name only, so that a ledger says what they are
and not merely that they were left.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

_HEAD_BYTES = 8192
"""What is looked at of a content."""


@dataclass(frozen=True, slots=True)
class Language:
    """A language by the name that its community writes."""

    name: str
    endings: tuple[str, ...] = ()
    """Of file names, in lower case, with the dot."""
    names: tuple[str, ...] = ()
    """Whole file names, in lower case."""
    interpreters: tuple[str, ...] = ()
    """Programs of a `#!` line, without versions."""
    grammar: str = ""
    """Module of the tree-sitter grammar; empty: the language is only known."""
    fence: str = ""
    """The word behind the three backticks of a fenced block."""

    @property
    def is_parsed(self) -> bool:
        """Whether files of it can be cut into examples."""
        return bool(self.grammar)


def _language(name: str, endings: str, *, names: str = "", run_by: str = "", grammar: str, fence: str) -> Language:
    return Language(name, _words(endings), _words(names), _words(run_by), f"tree_sitter_{grammar}", fence)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PARSED = (
    _language("Python", ".py .pyi .pyw", names="sconstruct sconscript wscript", run_by="python pypy", grammar="python",
              fence="python"),
    _language("JavaScript", ".js .mjs .cjs .jsx", names="jakefile", run_by="node nodejs", grammar="javascript",
              fence="javascript"),
    _language("TypeScript", ".ts .mts .cts", run_by="deno bun ts-node tsx", grammar="typescript", fence="typescript"),
    _language("TSX", ".tsx", grammar="typescript", fence="tsx"),
    _language("Java", ".java", grammar="java", fence="java"),
    _language("Go", ".go", grammar="go", fence="go"),
    _language("Rust", ".rs", grammar="rust", fence="rust"),
    _language("C", ".c", grammar="c", fence="c"),
    _language("C++", ".cc .cpp .cxx .c++ .hh .hpp .hxx .h++ .inl .ipp .tpp", grammar="cpp", fence="cpp"),
    _language("C#", ".cs .csx", grammar="c_sharp", fence="csharp"),
    _language("Ruby", ".rb .rake .gemspec .ru .podspec",
              names="rakefile gemfile guardfile podfile vagrantfile brewfile", run_by="ruby jruby",
              grammar="ruby", fence="ruby"),
    _language("PHP", ".php .phtml .php5 .php7 .phps", run_by="php", grammar="php", fence="php"),
    _language("Kotlin", ".kt .kts", grammar="kotlin", fence="kotlin"),
    _language("Scala", ".scala .sc .sbt", run_by="scala", grammar="scala", fence="scala"),
    _language("Bash", ".sh .bash .bats .ebuild", names=".bashrc .bash_profile .profile pkgbuild",
              run_by="sh bash dash ash ksh", grammar="bash", fence="bash"),
    _language("SQL", ".sql .ddl .dml .pgsql", grammar="sql", fence="sql"),
)  # fmt: skip

KNOWN = (
    Language("Assembly", (".asm", ".s")),
    Language("Batch", (".bat", ".cmd")),
    Language("CMake", (".cmake",), ("cmakelists.txt",)),
    Language("CSS", (".css", ".scss", ".sass", ".less", ".styl")),
    Language("CSV", (".csv", ".tsv")),
    Language("CUDA", (".cu", ".cuh")),
    Language("Clojure", (".clj", ".cljs", ".cljc", ".edn")),
    Language("Cython", (".pyx", ".pxd", ".pxi")),
    Language("Dart", (".dart",)),
    Language("Dockerfile", (".dockerfile",), ("dockerfile", "containerfile")),
    Language("Elixir", (".ex", ".exs"), (), ("elixir",)),
    Language("Erlang", (".erl", ".hrl"), (), ("escript",)),
    Language("F#", (".fs", ".fsi", ".fsx")),
    Language("Fish", (".fish",), (), ("fish",)),
    Language("Fortran", (".f", ".for", ".f90", ".f95", ".f03", ".f08")),
    Language("GraphQL", (".graphql", ".gql")),
    Language("Groovy", (".groovy", ".gradle"), ("jenkinsfile",), ("groovy",)),
    Language("HCL", (".tf", ".hcl", ".tfvars")),
    Language("HTML", (".html", ".htm", ".xhtml", ".vue", ".svelte", ".jinja", ".j2", ".erb", ".ejs", ".hbs")),
    Language("Haskell", (".hs", ".lhs"), (), ("runhaskell", "runghc")),
    Language("INI", (".ini", ".cfg", ".conf", ".properties", ".env"), (".editorconfig", ".gitconfig", ".gitmodules")),
    Language("JSON", (".json", ".jsonl", ".ndjson", ".json5", ".jsonc", ".geojson", ".map"), (".babelrc", ".eslintrc")),
    Language("Julia", (".jl",), (), ("julia",)),
    Language("Jupyter Notebook", (".ipynb",)),
    Language("Lua", (".lua",), (), ("lua", "luajit")),
    Language("Makefile", (".mk", ".mak"), ("makefile", "gnumakefile"), ("make",)),
    Language("Markdown", (".md", ".markdown", ".mdx")),
    Language("Nix", (".nix",)),
    Language("OCaml", (".ml", ".mli"), (), ("ocaml",)),
    Language("Objective-C", (".m", ".mm")),
    Language("Pascal", (".pas", ".dpr")),
    Language("Perl", (".pl", ".pm", ".t", ".pod"), (), ("perl",)),
    Language("PowerShell", (".ps1", ".psm1", ".psd1"), (), ("pwsh", "powershell")),
    Language("Protocol Buffers", (".proto",)),
    Language("R", (".r", ".rmd"), (), ("rscript",)),
    Language("Solidity", (".sol",)),
    Language("Swift", (".swift",), (), ("swift",)),
    Language("TOML", (".toml",), ("pipfile",)),
    Language("Text", (".txt", ".rst", ".adoc", ".asciidoc", ".tex", ".log", ".po", ".pot"), ("readme", "changes",
             "changelog", "authors", "contributors", "license", "licence", "copying", "notice", "news", "todo",
             "install", "maintainers", "codeowners", "version")),
    Language("Thrift", (".thrift",)),
    Language("VHDL", (".vhd", ".vhdl")),
    Language("Verilog", (".v", ".sv", ".svh")),
    Language("Visual Basic", (".vb", ".vbs", ".bas")),
    Language("XML", (".xml", ".xsd", ".xsl", ".xslt", ".svg", ".plist", ".csproj", ".resx", ".xaml", ".wsdl", ".pom")),
    Language("YAML", (".yaml", ".yml"), (".clang-format",)),
    Language("Zig", (".zig",)),
    Language("Zsh", (".zsh",), (".zshrc",), ("zsh",)),
)  # fmt: skip

_ALL = (*PARSED, *KNOWN)
_BY_NAME = {language.name: language for language in _ALL}
_BY_FILE = {name: language for language in _ALL for name in language.names}
_BY_ENDING = {ending: language for language in _ALL for ending in language.endings}
_BY_INTERPRETER = {program: language for language in _ALL for program in language.interpreters}

_SHEBANG = re.compile(rb"#![ \t]*(\S+)([^\n]*)")
_CPP = re.compile(
    rb"^\s*(?:template\s*<|namespace\b|using\s|class\s+\w+[^;\n]*(?:\{|$)|(?:public|private|protected)\s*:)"
    rb"|\bstd::|^\s*#\s*include\s*<(?:\w+)>",
    re.M,
)
_OBJECTIVE_C = re.compile(rb"^\s*(?:@(?:interface|implementation|protocol|class|end)\b|#\s*import\b)", re.M)


def language_named(name: str) -> Language:
    """KeyError if there is none."""
    return _BY_NAME[name]


def language_of(path: str, data: bytes) -> Language | None:
    """Of a file, by its path and its content; None if neither tells."""
    name = PurePosixPath(path).name.lower()
    head = data[:_HEAD_BYTES]
    if name in _BY_FILE:
        return _BY_FILE[name]
    ending = PurePosixPath(name).suffix
    if ending == ".h":
        return _of_header(head)
    if ending == ".ts" and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<?xml", b"<!DOCTYPE TS", b"<TS")):
        return _BY_NAME["XML"]  # translations of Qt
    if ending == ".m" and not _OBJECTIVE_C.search(head):
        return None  # MATLAB, Octave, Mathematica and others
    return _BY_ENDING.get(ending) or _by_first_line(head)


def _of_header(head: bytes) -> Language:
    """.h is a header of three languages; C, which the others include, where nothing tells another one."""
    if _OBJECTIVE_C.search(head):
        return _BY_NAME["Objective-C"]
    return _BY_NAME["C++" if _CPP.search(head) else "C"]


def _by_first_line(head: bytes) -> Language | None:
    found = _SHEBANG.match(head)
    if found is None:
        return None
    words = [found[1], *found[2].split()]
    program = PurePosixPath(words[0].decode("latin-1")).name
    if program == "env":
        # env -S and its like: options and NAME=value stand before the program.
        named = [w.decode("latin-1") for w in words[1:] if not w.startswith(b"-") and b"=" not in w]
        program = PurePosixPath(named[0]).name if named else ""
    return _BY_INTERPRETER.get(re.sub(r"[\d.]+$", "", program).lower())
