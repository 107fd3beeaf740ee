"""Writes the tables of options in docs/commands.md from the commands themselves: `python docs/fill.py`.

A table stands between `<!-- options: WORDS -->` and `<!-- end -->`; WORDS are those that call the command. What is
outside of such a pair is written by people and stays. tests/unit/test_docs.py fails while the page is not filled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from tunesmith.cli import build_app

PAGE = Path(__file__).parent / "commands.md"
BLOCK = re.compile(r"(<!-- options: (.+?) -->\n).*?(<!-- end -->)", re.S)
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
    return BLOCK.sub(lambda found: f"{found[1]}\n{table(known[found[2]])}\n{found[3]}", page)


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
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
