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
    "ambiguous_format": Code("error", "keys of more than one form in a row, or `context` beside roles"),
    "bad_order": Code("error", "an order of a fim row that is neither psm nor spm"),
    "bad_weight": Code("error", "an OpenAI weight that is not 0 or 1"),
    "benchmark_task": Code("warning", "a task of a public benchmark (or of the given suite)"),
    "bidi_control": Code("warning", "characters that reorder how code is shown"),
    "binary_file": Code("error", "something else than text"),
    "blank_lines": Code("warning", "blank lines, which are skipped"),
    "blank_text": Code("error", "a text of blanks only"),
    "byte_order_mark": Code("warning", "a UTF-8 byte order mark, which is skipped"),
    "bzip2": Code("error", "a bzip2 file"),
    "compressed": Code("error", "compressed twice, or by 7-Zip"),
    "conflicting_answers": Code("warning", "one prompt with different answers"),
    "control_character": Code("error", "a raw control character inside a JSON text"),
    "csv": Code("error", "a table instead of JSON Lines"),
    "duplicate_example": Code("warning", "the same example more than once"),
    "duplicate_key": Code("error", "a key that stands twice in one object"),
    "empty_file": Code("error", "nothing, or only blank lines"),
    "empty_messages": Code("error", "a conversation without messages"),
    "empty_text": Code("error", "an empty prompt, answer or message"),
    "ends_with_user": Code("error", "a conversation without a last answer"),
    "evaluation_row_in_training": Code("error", "an evaluation row that is also a training row"),
    "evaluation_row_near_training": Code("warning", "an evaluation row that is at least 70 % like a training row"),
    "few_examples": Code("warning", "fewer than 500 examples"),
    "file_too_large": Code("error", "more text than a data set has"),
    "gzip_bomb": Code("error", "gzip that expands more than source code can"),
    "gzip_damaged": Code("error", "gzip that cannot be read"),
    "gzip_truncated": Code("error", "gzip that ends in the middle"),
    "inconsistent_fields": Code("warning", "labelled fields that differ in name or order between prompts"),
    "inner_byte_order_mark": Code("error", "a byte order mark after the first line, as joining files leaves it"),
    "invalid_utf8": Code("error", "bytes that are not UTF-8, with their place"),
    "invisible_character": Code("warning", "zero-width and other invisible characters"),
    "json_array": Code("error", "a JSON array where an object belongs"),
    "late_system": Code("error", "a system message after the first message, or a second one"),
    "latin1": Code("error", "Latin-1 or Windows-1252 text, on more than one line"),
    "lfs_pointer": Code("error", "a Git LFS pointer in place of the file"),
    "lone_surrogate": Code("error", "half of a surrogate pair"),
    "missing_field": Code("error", "a field that the form needs"),
    "mixed_formats": Code("error", "rows of several forms in one file"),
    "no_instruction": Code("warning", "prompts that do not say what is to be written"),
    "not_a_list": Code("error", "something else where a list of messages belongs"),
    "not_a_number": Code("error", "NaN or Infinity, which JSON does not have"),
    "not_an_object": Code("error", "something else where an object belongs"),
    "not_json": Code("error", "a line that is not JSON, with the column"),
    "not_normalized": Code("warning", "letters and accents as separate characters"),
    "not_text": Code("error", "null, a number or an object where a text belongs, or a part that is not text alone"),
    "nothing_to_learn": Code("error", "a conversation whose answers all have weight 0"),
    "nul_character": Code("error", "a NUL inside a text"),
    "parquet": Code("error", "a Parquet file"),
    "pdf": Code("error", "a PDF"),
    "preference_data": Code("error", "pairs of a better and a worse answer"),
    "pretty_printed": Code("error", "objects that are spread over several lines"),
    "python_literal": Code("error", "True, False or None in place of true, false or null"),
    "reading_stopped": Code("error", "so many lines that it is no data set; the rest was not looked at"),
    "row_too_large": Code("error", "a line longer than any example"),
    "same_author_twice": Code("error", "two turns of one author in a row"),
    "secret": Code("error", "what looks like a live key, token or password; never shown"),
    "secret_placeholder": Code("warning", "what looks like an example of one"),
    "several_values": Code("error", "more than one JSON value on a line"),
    "single_quotes": Code("error", "texts quoted with single quotes"),
    "special_token_text": Code("warning", "text that spells a control token; it is learnt as text"),
    "starts_with_assistant": Code("error", "a conversation that the assistant begins"),
    "too_deep": Code("error", "brackets nested more than 64 deep"),
    "too_few_examples": Code("error", "fewer than 10 examples"),
    "too_many_authors": Code("error", "more than 10,000 messages in all conversations"),
    "too_many_examples": Code("error", "more than 10,000 examples, or more than 250 for evaluation"),
    "tools_unsupported": Code("error", "tools, their calls, or their results"),
    "trailing_comma": Code("error", "a comma with nothing after it"),
    "unfinished_row": Code("error", "an object or a text that does not end on its line"),
    "unknown_author": Code("error", "an author that the form does not know"),
    "unknown_format": Code("error", "keys of no form"),
    "unknown_key": Code("warning", "a key of a row or a message that nothing reads"),
    "utf16": Code("error", "UTF-16 text"),
    "utf32": Code("error", "UTF-32 text"),
    "web_page": Code("error", "HTML or XML, as a failed download leaves it"),
    "xz": Code("error", "an xz file"),
    "zip_archive": Code("error", "a zip archive or a spreadsheet"),
    "zstd": Code("error", "a zstandard file"),
}


@dataclass(slots=True)
class Lines:
    """Line numbers as runs: a million lines in a row cost what one costs."""

    runs: list[tuple[int, int]] = field(default_factory=list)

    def add(self, line: int) -> None:
        first, last = self.runs[-1] if self.runs else (-1, -2)
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
        numbered = [number for number in concerned if number]
        for number in numbered:
            kind.lines.add(number)
        if len(kind.shown) < FINDINGS_SHOWN:
            texts = displayable(name, FIELD_CHARACTERS), code, severity, displayable(message), displayable(remedy)
            kind.shown.append(Finding(line, *texts))
            return
        kind.more += 1
        for number in numbered:
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
