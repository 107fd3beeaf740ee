"""Which files are code that people wrote: what is generated, vendored, minified, a lock, data or binary is not.

In: a path and the bytes there. Out: the text, or the reason why there is none, as a code of the ledger (REASONS). Every
rule looks at names or at the first kilobytes, but for those on lines and letters, which look at all.
"""

from __future__ import annotations

import codecs
import re
from pathlib import PurePosixPath
from typing import NamedTuple

from tunesmith.data.codebase.languages import Language
from tunesmith.data.codebase.limits import Limits

REASONS = {
    "empty": "nothing but white space",
    "binary": "not a text",
    "encoding": "a text, but neither UTF-8 nor UTF-16 with a mark",
    "vendored": "somebody else's code, by its folder or its banner",
    "lock": "a list of versions that a package manager keeps",
    "generated": "made by a program, by its name or its own words",
    "minified": "made short for machines, by its name or its lines",
    "data": "mostly numbers or text that is no code",
    "not-code": "of a language that no examples are made of, or of none that is known",
}
"""Of what this file rejects: code -> what it means."""

_HEAD_CHARACTERS = 4000
_TAIL_CHARACTERS = 400


class Screened(NamedTuple):
    """Either a text or a reason."""

    text: str
    reason: str = ""
    detail: str = ""
    """What of the file gave the reason: a folder, a name, words, a figure."""


def by_name(path: str, accepted: frozenset[str]) -> Screened:
    """What the path alone says: a reason, or nothing yet."""
    name = PurePosixPath(path).name
    if (folder := _vendored_by(path)) and "vendored" not in accepted:
        return Screened("", "vendored", folder)
    if (folder := _built_in(path)) and "generated" not in accepted:
        return Screened("", "generated", folder)
    if _LOCK.fullmatch(name) and "lock" not in accepted:
        return Screened("", "lock", name)
    if (pattern := _GENERATED_NAME.search(name)) is not None and "generated" not in accepted:
        return Screened("", "generated", pattern[0])
    if (pattern := _MINIFIED_NAME.search(name)) is not None and "minified" not in accepted:
        return Screened("", "minified", pattern[0])
    return Screened("")


def by_content(data: bytes, language: Language | None, limits: Limits) -> Screened:
    """What the bytes say; their path has been looked at."""
    if len(data) > limits.max_bytes:
        return Screened("", "too-large", f"{len(data):,} bytes")
    read = decoded(data)
    if read.reason:
        return read
    if language is None or not language.is_parsed:
        return Screened("", "not-code", language.name if language else "")
    return _of_text(read.text, limits)


def _of_text(text: str, limits: Limits) -> Screened:
    solid, letters = _solid_and_letters(text)
    if not solid:
        return Screened("", "empty")
    accepted = limits.accept
    if "generated" not in accepted and (words := _GENERATED.search(text[:_HEAD_CHARACTERS])) is not None:
        return Screened("", "generated", " ".join(words[0].split()).lstrip("#/*;!%-' ")[:80])
    if "generated" not in accepted and (mark := _made_by(text)):
        return Screened("", "generated", mark)
    if "vendored" not in accepted and (banner := _BANNER.match(text)) is not None:
        return Screened("", "vendored", " ".join(banner[1].split())[:80])
    lengths = [len(line) for line in text.splitlines() if line.strip()]
    if max(lengths) > limits.longest_line and "minified" not in accepted:
        return Screened("", "minified", f"a line of {max(lengths):,} characters")
    if sum(lengths) / len(lengths) > limits.mean_line and "minified" not in accepted:
        return Screened("", "minified", f"{sum(lengths) / len(lengths):.0f} characters a line")
    if letters < limits.least_letters * solid and "data" not in accepted:
        return Screened("", "data", f"{letters / solid:.0%} letters")
    return Screened(text)


def _made_by(text: str) -> str:
    """What a compiler or bundler has left in its output, if it has."""
    if (found := _SOURCE_MAP.search(text[-_TAIL_CHARACTERS:])) is not None:
        return found[1]
    return next((mark for mark in _GLUE if mark in text), "")


def _solid_and_letters(text: str) -> tuple[int, int]:
    """How many characters are no white space, and how many are letters."""
    if not text.isascii():
        return len("".join(text.split())), sum(map(str.isalpha, text))
    data = text.encode()
    return len(data.translate(None, _BLANKS)), len(data) - len(data.translate(None, _LETTERS))


def decoded(data: bytes) -> Screened:
    """The text of the bytes without a mark, whatever it is of."""
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
    return next((part for part in parts if part in _VENDOR_FOLDERS or _RELEASE_FOLDER.fullmatch(part)), "")


def _built_in(path: str) -> str:
    """The folder into which bundlers write, if a file of the web lies in one; elsewhere it has other meanings."""
    return "dist" if _WEB.search(path) and "dist" in PurePosixPath(path.lower()).parts[:-1] else ""


_BLANKS = bytes(code for code in range(128) if chr(code).isspace())
_LETTERS = bytes(code for code in range(128) if chr(code).isalpha())
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))

_VENDOR_FOLDERS = frozenset({
    "vendor", "vendors", "vendored", "_vendor", "_vendored", "third_party", "thirdparty", "third-party", "3rdparty",
    "external", "externals", "extern", "node_modules", "bower_components", "jspm_packages", "web_modules",
    "site-packages", "dist-packages", ".venv", "venv", "virtualenv", ".tox", ".nox", ".eggs", "pods", "carthage",
    "bundled", "_bundled", "godeps", ".yarn", ".bundle", ".gradle", ".m2", ".cargo", ".terraform",
})  # fmt: skip
_RELEASE_FOLDER = re.compile(r"[a-z][\w.-]*@v?\d+\.\d[\w.+-]*")
"""A package as a registry names it: perspective-viewer@3.8.0."""
_WEB = re.compile(r"(?i)\.(?:[cm]?[jt]sx?|vue|svelte)\Z")
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
# Compilers and bundlers end what they have made with where it was made of.
_SOURCE_MAP = re.compile(r"(?:^|\n)(?://|/\*)[#@] ?(sourceMappingURL=)[^\s'\"]+(?: \*/)?\s*\Z")
_GLUE = ("__wbindgen_", "__webpack_require__")
# The comment that minifiers leave, with name and version: how a library is passed on, not how it is written.
_BANNER = re.compile(r"\s*/\*!\s*(?:\*\s*)?(?:@license\s+)?([\w@/.-]+(?: [\w@/.-]+){0,4},? v?\d+\.\d+\.\d+[\w.+-]*)")
# As programs say it of what they have made; "do not edit" alone is said of many things that people wrote.
_GENERATED = re.compile(
    r"(?im)(?<![\w.])@generated\b|\bcode generated by .{1,80}do not (?:edit|modify)"
    r"|\bthis (?:file|code|class|source|module) (?:is|was|has been) (?:an? )?"
    r"(?:automatically |auto-?|machine[- ])?generated\b(?! (?:docs|documentation|id|name|key)s?\b)"
    r"|^[^\w\n]*(?:semi-)?(?:automatically|auto-?) ?generated\b(?: (?:by|from|using|for|file|code|data)\b|[.:]?\s*$"
    r"|: (?!start))|\bplease do not modify directly\b"
    r"|\bgenerated (?:automatically )?by (?:the )?(?:protocol buffer compiler|protoc\b|swig\b|cython\b|bison\b|flex\b|"
    r"gnu autoconf|autoconf|antlr|openapi[ -]generator|swagger[ -]codegen|thrift\b|grpc\b|flatc\b|the flatbuffers|"
    r"bindgen|cbindgen|rust-bindgen|mockgen|sqlc|kotlinpoet|javapoet|jooq|xsd\b|lalrpop|ragel|jison|peg\.?js)"
    r"|<auto-?generated ?/?>|\bthis file is autogenerated\b"
    r"|\bthis is an? (?:auto-?|automatically )generated (?:file|code)\b"
)
