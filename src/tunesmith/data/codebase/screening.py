"""Which files are code that people wrote: what is generated, vendored, minified, a lock, data or binary is not.

In: a path and the bytes there. Out: the text, or the reason why there is none, as a code of the ledger (REASONS). Every
rule looks at names or at the first kilobytes, but for those on lines and letters, which look at all.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from tunesmith.data.codebase.languages import Language

REASONS = {
    "empty": "nothing but white space",
    "binary": "not a text",
    "encoding": "a text, but neither UTF-8 nor UTF-16 with a mark",
    "vendored": "somebody else's code, in a folder for such",
    "lock": "a list of versions that a package manager keeps",
    "generated": "made by a program, by its name or its own words",
    "minified": "made short for machines, by its name or its lines",
    "data": "mostly numbers or text that is no code",
    "not-code": "of a language that no examples are made of, or of none that is known",
}
"""Of what this file rejects: code -> what it means."""

_HEAD_CHARACTERS = 4000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file of code may look like."""

    longest_line: int = 2000
    """Characters. People break lines long before; the longest of a file may be a literal."""
    mean_line: float = 100.0
    """Characters a line over the whole file, lines without anything left out (the bound of StarCoder's data)."""
    least_letters: float = 0.25
    """Share of letters among the characters that are not white space (again StarCoder's): below it, a table."""


class Screened(NamedTuple):
    """Either a text or a reason."""

    text: str
    reason: str = ""
    detail: str = ""
    """What of the file gave the reason: a folder, a name, words, a figure."""


def screen(path: str, data: bytes, language: Language | None, limits: Limits = Limits()) -> Screened:
    """The text of a file that people wrote in a language that is parsed; line ends as they are, no mark in front."""
    name = PurePosixPath(path).name
    if folder := _vendored_by(path):
        return Screened("", "vendored", folder)
    if _LOCK.fullmatch(name):
        return Screened("", "lock", name)
    if (pattern := _GENERATED_NAME.search(name)) is not None:
        return Screened("", "generated", pattern[0])
    if (pattern := _MINIFIED_NAME.search(name)) is not None:
        return Screened("", "minified", pattern[0])
    read = _decoded(data)
    if read.reason:
        return read
    if language is None or not language.is_parsed:
        return Screened("", "not-code", language.name if language else "")
    return _by_content(read.text, limits)


def _by_content(text: str, limits: Limits) -> Screened:
    solid = len("".join(text.split()))
    if not solid:
        return Screened("", "empty")
    if (words := _GENERATED.search(text[:_HEAD_CHARACTERS])) is not None:
        return Screened("", "generated", " ".join(words[0].split())[:80])
    lengths = [len(line) for line in text.splitlines() if line.strip()]
    if max(lengths) > limits.longest_line:
        return Screened("", "minified", f"a line of {max(lengths):,} characters")
    if sum(lengths) / len(lengths) > limits.mean_line:
        return Screened("", "minified", f"{sum(lengths) / len(lengths):.0f} characters a line")
    letters = sum(map(str.isalpha, text)) / solid
    if letters < limits.least_letters:
        return Screened("", "data", f"{letters:.0%} letters")
    return Screened(text)


def _decoded(data: bytes) -> Screened:
    mark, encoding = next((known for known in _MARKS if data.startswith(known[0])), (b"", "utf-8"))
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        if not mark and _is_noise(data):
            return Screened("", "binary")
        place = len(mark) + error.start
        return Screened("", "encoding", f"byte {place} is {data[place]:#04x}")
    return Screened("", "binary", "NUL") if "\0" in text else Screened(text)


def _is_noise(data: bytes) -> bool:
    """Whether the first kilobytes have NUL or many control characters, which no text of one byte a character has."""
    head = data[:8192]
    return 0 in head or sum(byte < 32 and byte not in b"\t\n\r\f\b\x1b" for byte in head) > len(head) / 20


def _vendored_by(path: str) -> str:
    parts = PurePosixPath(path.lower()).parts[:-1]
    return next((part for part in parts if part in _VENDOR_FOLDERS), "")


_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))

_VENDOR_FOLDERS = frozenset({
    "vendor", "vendors", "vendored", "_vendor", "_vendored", "third_party", "thirdparty", "third-party", "3rdparty",
    "external", "externals", "extern", "node_modules", "bower_components", "jspm_packages", "web_modules",
    "site-packages", "dist-packages", ".venv", "venv", "virtualenv", ".tox", ".nox", ".eggs", "pods", "carthage",
    "godeps", ".yarn", ".bundle", ".gradle", ".m2", ".cargo", ".terraform",
})  # fmt: skip
_LOCK = re.compile(
    r"(?i)(?:.+[.-]lock(?:\.json|\.yaml|b)?|package-lock\.json|npm-shrinkwrap\.json|pnpm-lock\.yaml|go\.sum|"
    r"packages\.lock\.json|gradle\.lockfile|podfile\.lock|\.terraform\.lock\.hcl|package\.resolved|bun\.lockb?)"
)
_GENERATED_NAME = re.compile(
    r"(?i)(?:_pb2(?:_grpc)?\.pyi?|\.pb(?:\.gw|\.validate)?\.(?:go|cc|h|rb|swift)|_pb\.(?:js|d\.ts|rb)|_grpc_pb\.js|"
    r"\.g(?:\.i)?\.(?:cs|dart|kt|ts)|\.designer\.cs|\.generated\.\w+|[._-]generated\.\w+|[._-]gen\.(?:go|ts|rs)|"
    r"^zz_generated\.\S+|_string\.go(?!.)|^moc_\S+\.cpp|^ui_\S+\.(?:h|py)|\.tab\.[ch]|^lex\.yy\.c|_?versioneer\.py)$"
)
_MINIFIED_NAME = re.compile(r"(?i)(?:[.-]min\.(?:js|mjs|cjs|css)|\.(?:bundle|chunk)\.js|\.umd(?:\.prod)?\.js)$")
# As programs say it of what they have made; "do not edit" alone is said of many things that people wrote.
_GENERATED = re.compile(
    r"(?i)(?<![\w.])@generated\b|\bcode generated by .{1,80}do not (?:edit|modify)"
    r"|\b(?:this (?:file|code|class|source|module) (?:is|was|has been)|automatically|auto-?) ?"
    r"(?:automatically |auto-?|machine[- ])?generated\b(?! (?:docs|documentation|id|name|key)s?\b)"
    r"|\bgenerated (?:automatically )?by (?:the )?(?:protocol buffer compiler|protoc\b|swig\b|cython\b|bison\b|flex\b|"
    r"gnu autoconf|autoconf|antlr|openapi[ -]generator|swagger[ -]codegen|thrift\b|grpc\b|flatc\b|the flatbuffers|"
    r"bindgen|cbindgen|rust-bindgen|mockgen|sqlc|kotlinpoet|javapoet|jooq|xsd\b|lalrpop|ragel|jison|peg\.?js)"
    r"|<auto-?generated ?/?>|\bautogenerated (?:by|from|file|code)\b"
)
