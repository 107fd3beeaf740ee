"""Findings of a data check: their stable codes, and the heap in which they are gathered in bounded memory.

In: problems with their lines. Out: `Finding`s, at most FINDINGS_SHOWN of a code and one that counts the rest, and for
each code every line by number. Texts are made fit for a screen here: short, printable, and without secrets.
Not here: what is looked for (check.py and the files that it calls).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from tunesmith.data import secrets
from tunesmith.data.lines import Problem

Severity = Literal["error", "warning"]

FINDINGS_SHOWN = 20
"""A reader mends a kind of mistake after a few of it; 10,000 of them hide the other kinds."""
MESSAGE_CHARACTERS = 400
FIELD_CHARACTERS = 80


class Finding(NamedTuple):
    """One thing to mend or to know. Line 0: the file as a whole."""

    line: int
    field: str
    code: str
    severity: Severity
    message: str
    remedy: str


class Code(NamedTuple):
    """What a code means. An error: the file cannot be trained on as it is. A warning: advice, or a note."""

    severity: Severity
    meaning: str


# docs/finding-codes.md is this table; a test compares them.
CODES: Mapping[str, Code] = {
    # The file as a whole.
    "empty_file": Code("error", "no bytes, or only blank lines"),
    "too_few_examples": Code("error", "fewer than 10 examples (training and evaluation alike)"),
    "few_examples": Code("warning", "fewer than the 500 training examples that are recommended"),
    "too_many_examples": Code("error", "more than 10,000 training or 250 evaluation examples"),
    "too_many_authors": Code("error", "more than 10,000 messages in all chat examples together"),
    "reading_stopped": Code("error", "so many lines that it cannot be a data set; the rest was not looked at"),
    "file_too_large": Code("error", "more text than any data set within the limits has"),
    "byte_order_mark": Code("warning", "begins with a UTF-8 byte order mark, which is skipped"),
    "blank_lines": Code("warning", "lines without anything, which are skipped"),
    "utf16": Code("error", "UTF-16 instead of UTF-8"),
    "utf32": Code("error", "UTF-32 instead of UTF-8"),
    "latin1": Code("error", "Latin-1 or Windows-1252 instead of UTF-8"),
    "csv": Code("error", "a table, comma-, semicolon- or tab-separated"),
    "parquet": Code("error", "a Parquet file; it is never opened"),
    "zip_archive": Code("error", "a zip archive or a spreadsheet; it is never unpacked"),
    "compressed": Code("error", "compressed otherwise than by gzip, or twice"),
    "binary_file": Code("error", "something else than text"),
    "web_page": Code("error", "HTML or XML, as a failed download leaves"),
    "lfs_pointer": Code("error", "a Git LFS pointer in place of the file"),
    "json_array": Code("error", "a JSON array instead of one object a line"),
    "pretty_printed": Code("error", "objects that are spread over several lines"),
    "gzip_bomb": Code("error", "becomes far more when it is unpacked than text does"),
    "gzip_damaged": Code("error", "not valid gzip"),
    "gzip_truncated": Code("error", "gzip that ends in the middle"),
    # A line as JSON.
    "invalid_utf8": Code("error", "bytes that are not UTF-8; the first one is placed"),
    "row_too_large": Code("error", "a line of more than 4 MiB"),
    "too_deep": Code("error", "more than 64 brackets inside one another"),
    "not_json": Code("error", "not JSON"),
    "trailing_comma": Code("error", "a comma before a closing bracket or after the object"),
    "single_quotes": Code("error", "texts quoted with ' instead of \""),
    "control_character": Code("error", "a control character inside a text that is not escaped"),
    "not_a_number": Code("error", "NaN or Infinity"),
    "duplicate_key": Code("error", "a key twice in one object"),
    "not_an_object": Code("error", "a row or a message is not an object"),
    # A row as an example.
    "unknown_format": Code("error", "the keys of no accepted form"),
    "ambiguous_format": Code("error", "the keys of several forms at once"),
    "mixed_formats": Code("error", "another form than the rows before, or than the training file"),
    "missing_field": Code("error", "a field is missing"),
    "not_text": Code("error", "a field is null, a number, a list or an object instead of a text"),
    "empty_text": Code("error", "a text is empty"),
    "blank_text": Code("error", "a text has only blanks"),
    "lone_surrogate": Code("error", "half of a character"),
    "nul_character": Code("error", "a NUL character in a text"),
    "not_a_list": Code("error", "messages are not a list"),
    "empty_messages": Code("error", "no messages"),
    "starts_with_assistant": Code("error", "the first message is the assistant's"),
    "same_author_twice": Code("error", "two messages of one author in a row"),
    "ends_with_user": Code("error", "no answer to learn at the end"),
    "late_system": Code("error", "a system message that is not the first"),
    "unknown_author": Code("error", "an author other than user and assistant (or as the form calls them)"),
    "bad_weight": Code("error", "a message's weight is neither 0 nor 1"),
    "nothing_to_learn": Code("error", "every answer has weight 0"),
    "tools_unsupported": Code("error", "tool calls"),
    "unknown_key": Code("warning", "a key that is not read"),
    # A text.
    "special_token_text": Code("warning", "text that looks like a control token; it is encoded as text"),
    "bidi_control": Code("warning", "a character that reorders how code is shown (Trojan Source)"),
    "invisible_character": Code("warning", "a zero-width character"),
    "not_normalized": Code("warning", "accents as characters of their own (not NFC)"),
    "secret": Code("error", "a key, token or password; its kind and place, never the value"),
    "secret_placeholder": Code("warning", "what is plainly an example of a secret"),
    # Rows among rows.
    "duplicate_example": Code("warning", "the same example on several lines"),
    "conflicting_answers": Code("warning", "one prompt with different answers"),
    "evaluation_row_in_training": Code("error", "an evaluation example is a training example"),
    "evaluation_row_near_training": Code("warning", "an evaluation example is at least 70 % like a training example"),
    "benchmark_task": Code("warning", "a task of a public benchmark, or of the suite that was named"),
    # Advice.
    "no_instruction": Code("warning", "prompts that do not say what is to be written"),
    "inconsistent_fields": Code("warning", "labelled fields of prompts that differ in name or order"),
}


@dataclass(slots=True)
class Lines:
    """Line numbers as runs: a million lines in a row cost what one costs."""

    runs: list[tuple[int, int]] = field(default_factory=list)

    def add(self, line: int) -> None:
        if not line:
            return
        first, last = self.runs[-1] if self.runs else (0, -1)
        if line == last + 1:
            self.runs[-1] = (first, line)
        elif not first <= line <= last:
            self.runs.append((line, line))

    def merged(self) -> list[tuple[int, int]]:
        """The runs in order, each as long as can be."""
        merged: list[tuple[int, int]] = []
        for first, last in sorted(self.runs):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        return merged

    def __str__(self) -> str:
        return ",".join(_run(first, last) for first, last in self.merged())


@dataclass(slots=True)
class _Kind:
    """All findings of one code: the first ones whole, all others as lines."""

    count: int = 0
    lines: Lines = field(default_factory=Lines)
    shown: list[Finding] = field(default_factory=list)
    rest: Lines = field(default_factory=Lines)
    more: int = 0


@dataclass(slots=True)
class Findings:
    """The heap. Adding costs the same however many there are."""

    kinds: dict[str, _Kind] = field(default_factory=dict)

    def add(self, problem: Problem, line: int = 0, lines: Sequence[int] = ()) -> None:
        """One finding; `lines` are all lines of one that is about several, `line` is where to look first."""
        code, name, message, remedy = problem
        severity = CODES[code].severity
        kind = self.kinds.setdefault(code, _Kind())
        concerned = lines or (line,)
        kind.count += len(concerned)
        for number in concerned:
            kind.lines.add(number)
        if len(kind.shown) < FINDINGS_SHOWN:
            texts = displayable(name, FIELD_CHARACTERS), code, severity, displayable(message), displayable(remedy)
            kind.shown.append(Finding(line, *texts))
            return
        kind.more += 1
        for number in concerned:
            kind.rest.add(number)

    def take_back(self, code: str) -> Lines:
        """Removes the findings of a code, which turned out to be one of another; their lines."""
        return self.kinds.pop(code, _Kind()).lines

    def has(self, *codes: str) -> bool:
        return any(code in self.kinds for code in codes)

    def is_full(self, code: str) -> bool:
        """Whether another finding of this code would only be counted, so that its words need no thought."""
        return code in self.kinds and len(self.kinds[code].shown) >= FINDINGS_SHOWN

    def listed(self) -> list[Finding]:
        """In the order of lines, what concerns the whole file first."""
        found = [finding for kind in self.kinds.values() for finding in kind.shown + _summary(kind)]
        return sorted(found, key=lambda finding: finding.line)

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Of each code: how often, and on which lines, as `3-7,9`."""
        return {code: {"count": kind.count, "lines": str(kind.lines)} for code, kind in sorted(self.kinds.items())}


def displayable(text: str, most: int = MESSAGE_CHARACTERS) -> str:
    """The text without secrets, control characters and half characters, and cut; messages quote what users send."""
    if len(text) > most:
        text = secrets.redact(text[: 2 * most])
        text = f"{text[: most - 3]}..."
    else:
        text = secrets.redact(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def ranges(lines: Iterable[int], most: int = 12) -> str:
    """Line numbers in a sentence: `3-7, 9, 12`; after so many pieces how many more there are."""
    numbers = Lines()
    for line in lines:
        numbers.add(line)
    return _phrase(numbers, most)


def _phrase(lines: Lines, most: int = 12) -> str:
    pieces = lines.merged()
    shown = ", ".join(_run(first, last) for first, last in pieces[:most])
    more = sum(last - first + 1 for first, last in pieces[most:])
    return f"{shown} and {more:,} more" if more else shown


def _run(first: int, last: int) -> str:
    return f"{first}-{last}" if last > first else str(first)


def _summary(kind: _Kind) -> list[Finding]:
    if not kind.more:
        return []
    one = kind.shown[0]
    first = kind.rest.merged()[0][0] if kind.rest.runs else one.line
    where = f", on lines {_phrase(kind.rest)}" if kind.rest.runs else ""
    message = f"and {kind.more:,} more of this kind{where}"
    return [one._replace(line=first, field="", message=message)]
