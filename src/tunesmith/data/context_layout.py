"""How what other files offer stands before a target: as comments of the target's language, a block of them or nothing.

In: the name of a language, and files with lines about what they offer. Out: text that ends with an empty line. Whoever
builds training data and whoever serves lay it out with this, so that a model is asked as it was taught; which files
and which lines is theirs to decide. Nothing that stands in a path or a line gets out of its comment.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence

COMMENT_MARKS = {
    "Python": "#",
    "JavaScript": "//",
    "TypeScript": "//",
    "TSX": "//",
    "Java": "//",
    "Go": "//",
    "Rust": "//",
    "C": "//",
    "C++": "//",
    "C#": "//",
    "Ruby": "#",
    "PHP": "//",
    "Kotlin": "//",
    "Scala": "//",
    "Bash": "#",
    "SQL": "--",
}
"""What begins a comment up to the end of its line, by the name of a language."""

_KEPT_LINES = 32_768
"""Lines that are kept: a signature stands before many targets. 10 MB at most."""

Entry = tuple[str, Sequence[str]]
"""A path and lines about what lies there."""


def lay_out(language: str, entries: Iterable[Entry]) -> str:
    """The block before a target in `language`; empty if no file has a line. KeyError for an unknown language."""
    lines = [text for path, rest in entries if rest for text in (path_line(language, path), *_lines(language, rest))]
    return "".join([*lines, "\n"]) if lines else ""


def path_line(language: str, path: str) -> str:
    """The line, with its end, that opens what a file has."""
    return comment_line(language, f"Path: {path}")


@functools.lru_cache(maxsize=_KEPT_LINES)
def comment_line(language: str, text: str) -> str:
    """`text` as one line of comment, with its end; blanks in front stay, any other white space becomes one blank."""
    plain = text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
    words = " ".join(plain.split())
    indent = " " * (len(text) - len(text.lstrip(" ")))
    return f"{COMMENT_MARKS[language]} {indent}{_kept_in(language, words)}".rstrip(" ") + "\n"


def _lines(language: str, texts: Iterable[str]) -> Iterable[str]:
    return (comment_line(language, text) for text in texts)


def _kept_in(language: str, line: str) -> str:
    """Without what ends a line of comment although it is none's end: a blank is put in between."""
    if language == "PHP":
        return line.replace("?>", "? >")
    if language in ("Java", "Scala"):  # \u000a is a new line even there
        return re.sub(r"\\(?=u)", r"\\ ", line)
    # A line of C goes on in the next one behind a backslash.
    return line.rstrip("\\ ") if language in ("C", "C++") else line
