"""Writes the tables of docs/commands.md and docs/data.md from the source itself: `python docs/fill.py`.

A table stands between `<!-- options: WORDS -->` and `<!-- end -->`, where WORDS are those that call a command, or
between `<!-- NAME -->` and `<!-- end -->` for one of TABLES. What is outside of such a pair is written by people and
stays. tests/unit/test_docs.py fails while a page is not filled.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from tunesmith.cli import build_app
from tunesmith.data.codebase import ledger, middles, overlap
from tunesmith.data.codebase.limits import Limits
from tunesmith.data.codebase.options import Options

PAGES = (Path(__file__).parent / "commands.md", Path(__file__).parent / "data.md")
BLOCK = re.compile(r"(<!-- (?:options: )?(.+?) -->\n).*?(<!-- end -->)", re.S)
# Every command takes these; they are described once.
COMMON = frozenset({"json_output", "home", "debug", "help"})


def commands() -> dict[str, Any]:
    """Every command that does something, by the words that call it after `tunesmith`."""
    return dict(_below("", typer.main.get_command(build_app())))


def table(command: Any) -> str:
    """The command's arguments and options with their help texts, as a Markdown table."""
    lines = ["| | |", "| --- | --- |"]
    for parameter in command.params:
        if parameter.name not in COMMON and not getattr(parameter, "hidden", False):
            lines.append(f"| {_spelling(parameter)} | {_text(parameter)} |")
    return "\n".join(lines) + "\n" if len(lines) > 2 else "No options of its own.\n"


def filled(page: str) -> str:
    """The page with every table as it should be."""
    known = commands()

    def block(found: re.Match[str]) -> str:
        lines = TABLES[found[2]]() if found[2] in TABLES else table(known[found[2]])
        return f"{found[1]}\n{lines}\n{found[3]}"

    return BLOCK.sub(block, page)


def reasons() -> str:
    """Why a file may be left out."""
    return _table(("reason", "what it means"), [(f"`{code}`", text) for code, text in ledger.reasons().items()])


def overlaps() -> str:
    """In what way a row that was taken out gave another one away."""
    return _table(("how", "what it means"), [(f"`{code}`", text) for code, text in overlap.HOW.items()])


def shares() -> str:
    """Of the kinds of holes, with their lengths."""
    rows = [
        (f"`{kind}`", f"{share:.0%}", f"{middles.SHORTEST[kind]} to {middles.LONGEST[kind]:,}")
        for kind, share in middles.SHARES.items()
    ]
    return _table(("hole", "share", "bytes"), rows)


def fields(kind: type[Any]) -> str:
    """Of a class of values: name, default, and the explanation that stands under each."""
    (body,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(body, ast.ClassDef)
    rows = []
    for field, said in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(said, ast.Expr):
            name, default = ast.unparse(field.target), getattr(kind(), ast.unparse(field.target))
            text = " ".join(ast.literal_eval(said.value).split())
            rows.append((f"`{name}`", _default(default), text))
    return _table(("name", "default", ""), rows)


def _default(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, tuple | frozenset):
        return ", ".join(map(str, value)) or "none"
    return str(value) or "none"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


TABLES: Mapping[str, Callable[[], str]] = {
    "reasons": reasons,
    "overlaps": overlaps,
    "shares": shares,
    "limits": lambda: fields(Limits),
    "build options": lambda: fields(Options),
}


def _below(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    for name, inner in getattr(command, "commands", {}).items():
        path = f"{words} {name}".strip()
        if hasattr(inner, "commands"):
            yield from _below(path, inner)
        else:
            yield path, inner


def _spelling(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar}`"
    names = " / ".join([*parameter.opts, *parameter.secondary_opts])
    value = "" if _is_flag(parameter) else f" {parameter.metavar}"
    return f"`{names}{value}`".replace("|", "\\|")


def _text(parameter: Any) -> str:
    said = "[default:" in parameter.help or _is_flag(parameter) or parameter.default in (None, "")
    default = "" if said else f" [default: {parameter.default}]"
    return (parameter.help + default).replace("|", "\\|")


def _is_flag(parameter: Any) -> bool:
    return getattr(parameter, "is_flag", False)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text("utf-8")), "utf-8")
