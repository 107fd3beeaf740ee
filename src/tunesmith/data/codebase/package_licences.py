"""The licence that a package's own description states: pyproject.toml, package.json, Cargo.toml, pom.xml and others.

In: the file's name and text. Out: an SPDX expression, LicenseRef-Unknown for words that nothing here knows, '' where
nothing is stated or a licence file is pointed to. Only the few lines that matter are read, with bounded patterns: no
XML parser, no code run.
"""

from __future__ import annotations

import csv
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

from tunesmith.data.codebase.licence_texts import in_licence
from tunesmith.data.codebase.spdx import UNIDENTIFIED, all_of, any_of, named

_TABLE_CHARACTERS = 32_768
"""Of one table of a TOML file; what people write has a tenth of it, and the parser takes 10 ms."""
_TOML_CHARACTERS = 262_144
_JSON_CHARACTERS = 1_048_576
_HEADER_CHARACTERS = 100_000
_LONGEST_NAME = 200
"""A field that is longer holds a licence's text."""


def is_description(path: str) -> bool:
    """Whether a package is described there, by the name."""
    return _reader(path) is not None


def in_description(path: str, text: str) -> str:
    """What the description of a package states."""
    read = _reader(path)
    return read(text) if read is not None else ""


def lists_files(path: str) -> bool:
    """Whether the files of an installed Python package are listed there, by the name."""
    place = PurePosixPath(path)
    return place.name == "RECORD" and place.parent.name.endswith(".dist-info")


def listed_in(path: str, text: str) -> set[str]:
    """The paths of the files that are listed, but for those outside of the folder that the package lies in.

    Source: the core metadata of Python, recording installed projects.
    """
    folder = path.rpartition("/")[0].rpartition("/")[0]
    try:
        names = [line[0] for line in csv.reader(text.splitlines()) if line]
    except csv.Error:
        return set()
    inside = f"{folder}/" if folder else ""
    return {inside + name for name in names if not name.startswith("/") and ".." not in name.split("/")}


def _reader(path: str) -> Callable[[str], str] | None:
    place = PurePosixPath(path)
    if place.name in ("DESCRIPTION", "PKG-INFO"):
        return _headers
    if place.name == "METADATA":
        return _headers if place.parent.name.endswith(".dist-info") else None
    return _BY_NAME.get(place.name.lower()) or _BY_ENDING.get(place.suffix.lower())


# Python.


def _pyproject(text: str) -> str:
    project = _table(text, "project")
    stated = _of_value(project.get("license")) or _of_value(_table(text, "project.license"))
    for table in ("tool.poetry", "tool.flit.metadata"):
        stated = stated or _of_value(_table(text, table).get("license"))
    return _unless_known(stated, text)


def _setup_cfg(text: str) -> str:
    section = re.search(r"(?m)^\[metadata\]", text)
    inside = text[section.end() : section.end() + _TABLE_CHARACTERS].split("\n[", 1)[0] if section else ""
    found = re.search(r"(?m)^licen[cs]e[ \t]*[=:][ \t]*([^\n]{1,300})", inside)
    return _unless_known(_of_value(found[1]) if found else "", inside)


def _setup_py(text: str) -> str:
    found = _SETUP_LICENCE.search(text[:_HEADER_CHARACTERS])
    return _unless_known(_of_value(found[2]) if found else "", text)


def _headers(text: str) -> str:
    """Of a core metadata file, or of an R package: fields up to the first empty line."""
    head = text[:_HEADER_CHARACTERS].replace("\r\n", "\n").split("\n\n", 1)[0]
    fields = {found[1].lower(): found[2] for found in _HEADER_LICENCE.finditer(head)}
    if expression := fields.get("license-expression"):
        return named(expression)
    stated = fields.get("license", "")
    if re.search(r"(?m)^Package:", head):
        stated = _R_FILE.sub("", _R_LATER.sub(r"\1 or later", stated))
    return _unless_known(_of_value(stated), head)


def _unless_known(stated: str, text: str) -> str:
    """What is stated if it is known, else what the classifiers of PyPI say."""
    if stated and stated != UNIDENTIFIED:
        return stated
    found = (match[1].strip() for match in _CLASSIFIER.finditer(text[:_HEADER_CHARACTERS]))
    names = [name.rpartition("::")[2].strip() for name in found]
    return all_of(named(name) for name in names if name not in _NO_CLASSIFIER) or stated


# Others.


def _package_json(text: str) -> str:
    content = _json(text)
    several = content.get("licenses")
    return _of_value(content.get("license")) or (_choice(several) if isinstance(several, list) else _of_value(several))


def _composer(text: str) -> str:
    stated = _json(text).get("license")
    return _choice(stated) if isinstance(stated, list) else _of_value(stated)


def _cargo(text: str) -> str:
    return _of_value(_table(text, "package").get("license")) or _of_value(
        _table(text, "workspace.package").get("license")
    )


def _gemspec(text: str) -> str:
    found = _GEM_LICENCE.search(text[:_HEADER_CHARACTERS])
    if found is None:
        return ""
    names = found[2].split() if found[2] else re.findall(r"[\"']([^\"'\n]{1,100})[\"']", found[1])
    return all_of(named(name) for name in names)


def _pom(text: str) -> str:
    """Several licences of a POM are a choice (Maven's reference)."""
    start = text.find("<licenses>")
    block = text[start : start + 20_000].split("</licenses>", 1)[0] if start >= 0 else ""
    return any_of(filter(None, map(_of_pom_licence, block.split("<license>")[1:])))


def _of_pom_licence(block: str) -> str:
    found = [named(match[1].strip()) for match in re.finditer(r"<(?:name|url)>([^<]{1,200})</", block)]
    return next((name for name in found if name and name != UNIDENTIFIED), UNIDENTIFIED if found else "")


def _dotnet(text: str) -> str:
    found = _DOTNET_LICENCE.search(text[:_HEADER_CHARACTERS])
    return named(found[1].strip()) if found else ""


# Values.


def _of_value(value: Any) -> str:
    if isinstance(value, dict):
        return next((_of_value(value[key]) for key in ("text", "type", "name") if key in value), "")
    if isinstance(value, list):
        return all_of(map(_of_value, value))
    if not isinstance(value, str) or _POINTER.match(value):
        return ""
    value = value.strip()
    return in_licence(value) if len(value) > _LONGEST_NAME or "\n" in value else named(value)


def _choice(values: Iterable[Any]) -> str:
    return any_of(filter(None, map(_of_value, values)))


def _json(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text.lstrip("\ufeff")) if len(text) <= _JSON_CHARACTERS else None
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _table(text: str, name: str) -> dict[str, Any]:
    """One table of a TOML file; {} if there is none, or none that can be read."""
    text = text[:_TOML_CHARACTERS].replace("\r\n", "\n")
    start = re.search(rf"(?m)^\[{re.escape(name)}\][ \t]*(?:#[^\n]*)?$", text)
    if start is None:
        return {}
    lines = list(_lines_of_table(text[start.end() : start.end() + _TABLE_CHARACTERS]))
    try:
        return tomllib.loads("\n".join(lines))
    except (ValueError, RecursionError):
        # The rest of the table may be cut or odd; the line that matters mostly is of one piece.
        wanted = [line for line in lines if re.match(r"license\s*=", line)][:1]
    try:
        return tomllib.loads("\n".join(wanted))
    except (ValueError, RecursionError):
        return {}


def _lines_of_table(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        if _TABLE.match(line):
            return
        yield line if line.count(".") < 50 or "=" in line.split(".", 1)[0] else ""


_TABLE = re.compile(r"\[{1,2}[A-Za-z0-9_.\"' \-]{1,200}\]{1,2}[ \t]*(?:#.*)?$")
_POINTER = re.compile(
    r"(?i)\s*(?:see\b|file:|licen[cs]e(?:\.\w{1,4})?\s*$|noassertion\b|unknown\s*$|file licen[cs]e|\s*$)"
)
_SETUP_LICENCE = re.compile(r"\blicen[cs]e\s{0,9}=\s{0,9}([\"'])([^\"'\n]{1,200})\1")
_HEADER_LICENCE = re.compile(r"(?m)^(License(?:-Expression)?):[ \t]*([^\n]{0,2000}(?:\n[ \t|][^\n]{0,2000}){0,1000})")
_CLASSIFIER = re.compile(r"\bLicense :: ([^\"'\n,]{1,150})")
_NO_CLASSIFIER = frozenset({"OSI Approved", "DFSG approved", "Free For Educational Use", "Free for non-commercial use"})
_R_LATER = re.compile(r"\(>=?\s{0,9}([\d.]{1,9})\)")
_R_FILE = re.compile(r"[+|]\s{0,9}file LICEN[CS]E")
_GEM_LICENCE = re.compile(
    r"\.licenses?\s{0,9}=\s{0,9}(\[[^\]]{0,300}\]|%w[\[({]([^\])}\n]{0,300})|[\"'][^\"'\n]{1,200}[\"'])"
)
_DOTNET_LICENCE = re.compile(r"<(?:PackageLicenseExpression|license type=\"expression\")>([^<]{1,200})<")

_BY_NAME = {
    "pyproject.toml": _pyproject,
    "setup.cfg": _setup_cfg,
    "setup.py": _setup_py,
    "package.json": _package_json,
    "composer.json": _composer,
    "cargo.toml": _cargo,
    "pom.xml": _pom,
}
_BY_ENDING = {".gemspec": _gemspec, ".csproj": _dotnet, ".nuspec": _dotnet}
