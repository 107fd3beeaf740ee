"""An index of a repository that a test writes down: texts by their paths."""

from __future__ import annotations

from collections.abc import Mapping

from tunesmith.data.codebase.languages import language_of
from tunesmith.data.codebase.parsing import Parsed, parse
from tunesmith.data.codebase.resolution import Index
from tunesmith.data.codebase.symbols import FileSymbols, symbols


def index_of(files: Mapping[str, str], manifests: Mapping[str, str] | None = None) -> Index:
    return Index({path: symbols_of(path, text) for path, text in files.items()}, manifests)


def symbols_of(path: str, text: str) -> FileSymbols:
    language = language_of(path, text.encode())
    assert language is not None
    parsed = parse(text, language)
    assert isinstance(parsed, Parsed)
    return symbols(parsed)
