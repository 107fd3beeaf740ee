"""Everything that is wrong or unwise in a data file, with its line, in one pass and bounded memory.

A finding has a severity: an error means that the file cannot be trained on as it is; a warning is advice or a note.
Codes are stable and listed in docs/finding-codes.md. Of each code the first FINDINGS_SHOWN are findings of their own
and one more says how many follow; the statistics name every line. Nothing is changed, dropped or repaired here.

Not here: forms (formats.py), lengths in tokens and what the model's template refuses (build.py).
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tunesmith.data import advice, duplicates, secrets, text_faults
from tunesmith.data.duplicates import Text
from tunesmith.data.formats import (
    KEYS,
    Conversation,
    Format,
    detect,
    mixed,
    parse,
    parse_row,
    unknown_keys,
)
from tunesmith.data.lines import Problem, RawLine, ReadingLimits, read_lines
from tunesmith.errors import NotFound

Severity = Literal["error", "warning"]
Role = Literal["training", "evaluation"]

FINDINGS_SHOWN = 20


class Finding(NamedTuple):
    """One thing to mend or to know. Line 0: the file as a whole."""

    line: int
    field: str
    code: str
    severity: Severity
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a data set may hold, each with where the number comes from."""

    least_examples: int = 10
    """S8."""
    recommended_examples: int = 500
    """S8: fewer is a warning."""
    most_examples: int = 10_000
    """S11."""
    most_authors: int = 10_000
    """S14: messages of all chat examples together."""
    least_evaluation: int = 10
    """S18."""
    most_evaluation: int = 250
    """S18."""
    reading: ReadingLimits = field(default_factory=ReadingLimits)


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found."""

    examples: int
    format: Format | None
    sha256: str
    findings: list[Finding]
    statistics: dict[str, Any]
    evaluation: Report | None = None

    @property
    def valid(self) -> bool:
        """Whether it can be trained on (and measured with, if there is an evaluation file)."""
        own = not any(finding.severity == "error" for finding in self.findings)
        return own and (self.evaluation is None or self.evaluation.valid)

    def to_json(self) -> dict[str, Any]:
        """What `data check --json` prints; findings of the evaluation file have fields that begin with `evaluation`."""
        value: dict[str, Any] = {
            "valid": self.valid,
            "examples": self.examples,
            "format": self.format,
            "sha256": self.sha256,
            "findings": [finding._asdict() for finding in self.findings],
            "statistics": self.statistics,
        }
        if self.evaluation is not None:
            inner = self.evaluation.to_json()
            value["evaluation"] = {k: v for k, v in inner.items() if k != "findings"}
            for finding in inner["findings"]:
                where = f"evaluation.{finding['field']}" if finding["field"] else "evaluation"
                value["findings"].append({**finding, "field": where})
        return value


@dataclass(slots=True)
class _Pass:
    """What is gathered while the lines go by."""

    format: Format | None = None
    problems: list[Finding] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    blank: list[int] = field(default_factory=list)
    keys: Counter[str] = field(default_factory=Counter)
    authors: Counter[str] = field(default_factory=Counter)
    turns: list[int] = field(default_factory=list)
    uninstructed: list[int] = field(default_factory=list)
    examples: int = 0
    rows: int = 0

    def add(self, line: int, severity: Severity, problem: Problem) -> None:
        code, where, message, remedy = problem
        self.problems.append(Finding(line, where, code, severity, message, remedy))


def check(
    path: Path,
    *,
    evaluation: Path | None = None,
    role: Role = "training",
    limits: Limits = Limits(),
    special_tokens: Collection[str] = (),
    suite: Path | None = None,
) -> Report:
    """Everything found in the file, and in the evaluation file beside it.

    special_tokens  texts that the base model knows as control tokens, beside those that are known of the families
    suite           a JSONL file of benchmark problems (`prompt` or `text`) that must not be among the rows
    NotFound if a file is not there; all else is a finding.
    """
    if not path.is_file():
        raise NotFound(f"dataset: {path}: no such file")
    seen = _read(path, limits, special_tokens)
    _judge_amount(seen, role, limits)
    _judge_repetition(seen)
    _judge_advice(seen)
    _judge_benchmarks(seen, suite)
    other = None
    if evaluation is not None:
        other = check(evaluation, role="evaluation", limits=limits, special_tokens=special_tokens)
        _judge_overlap(seen, _read(evaluation, limits, ()))
        if other.format and seen.format and other.format != seen.format:
            other.findings.append(_whole_file("error", mixed(other.format, seen.format), "mixed_formats"))
    findings = _shortened(seen.problems)
    return Report(seen.examples, seen.format, digest(path), findings, _statistics(path, seen), other)


def digest(path: Path) -> str:
    """Hex SHA-256 of the file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# The pass over the lines.


def _read(path: Path, limits: Limits, special_tokens: Collection[str]) -> _Pass:
    seen = _Pass()
    if foreign := _foreign(path):
        seen.problems.append(_whole_file("error", foreign, foreign.code))
        return seen
    for raw in read_lines(path, limits.reading):
        if raw.problem:
            note = raw.problem.code == "byte_order_mark"
            seen.add(raw.number, "warning" if note else "error", raw.problem)
            if not note:
                seen.rows += 1
                continue
        if not raw.data.strip():
            seen.blank.append(raw.number)
            continue
        seen.rows += 1
        if not _row(seen, raw, special_tokens):
            break
    if seen.blank and seen.rows:
        problem = Problem("blank_lines", "", f"{len(seen.blank):,} blank lines are skipped", "remove them")
        seen.add(seen.blank[0], "warning", problem)
    return seen


def _row(seen: _Pass, raw: RawLine, special_tokens: Collection[str]) -> bool:
    """Takes one row in; False if the file is something else altogether and reading on is of no use."""
    row = parse_row(raw.data)
    if isinstance(row, Problem):
        seen.add(raw.number, "error", row)
        return not (row.code == "json_array" or (raw.number == 1 and raw.data.strip() == b"["))
    seen.keys.update(row.keys())
    form = detect(row)
    if isinstance(form, Problem):
        seen.add(raw.number, "error", form)
        return True
    seen.format = seen.format or form
    if form != seen.format:
        seen.add(raw.number, "error", mixed(form, seen.format))
        return True
    for key in unknown_keys(row, form):
        must, may = KEYS[form]
        hint = "remove it" if "." in key else f"read are: {', '.join(sorted(must | may))}"
        seen.add(raw.number, "warning", Problem("unknown_key", key, "is not read", hint))
    example = parse(row, raw.number, form)
    if not isinstance(example, Conversation):
        for problem in example:
            seen.add(raw.number, "error", problem)
        return True
    _example(seen, example, special_tokens)
    return True


def _example(seen: _Pass, example: Conversation, special_tokens: Collection[str]) -> None:
    seen.examples += 1
    seen.authors.update(message.author for message in example.messages)
    seen.turns.append(len(example.messages))
    texts = _named_texts(example)
    for name, text in texts:
        for fault in text_faults.find(text, special_tokens):
            severity: Severity = "error" if fault.code == "nul_character" else "warning"
            seen.add(example.line, severity, Problem(fault.code, name, fault.message, fault.remedy))
        for secret in secrets.find(text):
            _secret(seen, example.line, name, secret)
    answer = _answer(example)
    prompt = "\0".join(text for name, text in texts if name != _ANSWER) if example.messages else _hole(example)
    seen.texts.append(Text(example.line, prompt, answer))
    if example.messages and not any(advice.instructs(m.content) for m in example.messages if m.author == "user"):
        seen.uninstructed.append(example.line)


_ANSWER = "answer"


def _named_texts(example: Conversation) -> list[tuple[str, str]]:
    """Every text of the example with a name for messages; the last answer is called `answer`."""
    if example.fim is not None:
        return [("prefix", example.fim.prefix), ("suffix", example.fim.suffix), (_ANSWER, example.fim.middle)]
    named = [(f"message {i + 1}", message.content) for i, message in enumerate(example.messages)]
    named[-1] = (_ANSWER, named[-1][1])
    if len(named) == 2:
        named[0] = ("prompt", named[0][1])
    return [("context", example.context), *named] if example.context else named


def _answer(example: Conversation) -> str:
    return example.fim.middle if example.fim is not None else example.messages[-1].content


def _hole(example: Conversation) -> str:
    assert example.fim is not None
    return f"{example.fim.prefix}\0{example.fim.suffix}"


def _secret(seen: _Pass, line: int, name: str, secret: secrets.Secret) -> None:
    place = f"at character {secret.position}, {secret.length} long"
    if secret.example:
        problem = Problem("secret_placeholder", name, f"what looks like an example of a {secret.kind} {place}", "")
        seen.add(line, "warning", problem)
    else:
        remedy = "revoke it, and replace it by a placeholder: a tuned model repeats what it was taught"
        seen.add(line, "error", Problem("secret", name, f"what looks like a {secret.kind} {place}", remedy))


def _foreign(path: Path) -> Problem | None:
    """What the file is instead of JSONL, from its first bytes."""
    with open(path, "rb") as file:
        head = file.read(4096)
    if not head.strip():
        return None
    kinds = {
        b"PAR1": ("parquet", "a Parquet file"),
        b"PK\x03\x04": ("zip_archive", "a zip archive (or a spreadsheet)"),
        b"\xfe\xff": ("utf16", "UTF-16 text"),
        b"\xff\xfe": ("utf16", "UTF-16 text"),
        b"%PDF": ("pdf", "a PDF"),
        b"BZh": ("bzip2", "a bzip2 file"),
        b"\xfd7zXZ": ("xz", "an xz file"),
        b"\x28\xb5\x2f\xfd": ("zstd", "a zstandard file"),
    }
    remedy = "write JSON Lines: one JSON object a line, as UTF-8, plain or gzip"
    for magic, (code, name) in kinds.items():
        if head.startswith(magic):
            return Problem(code, "", f"is {name}", remedy)
    if head[1:64:2].count(0) > 20 or head[0:64:2].count(0) > 20:
        return Problem("utf16", "", "is UTF-16 text without a byte order mark", remedy)
    first = head.lstrip(b"\xef\xbb\xbf").splitlines()[0]
    if b"{" not in first and re.fullmatch(rb'"?[\w .-]+"?([,;\t]"?[\w .-]+"?)+', first.strip()):
        return Problem("csv", "", "is a table (CSV), not JSON Lines", remedy)
    return None


# Judgements over the whole file.


def _judge_amount(seen: _Pass, role: Role, limits: Limits) -> None:
    if not seen.rows and not seen.problems:
        what = "has only blank lines" if seen.blank else "is empty"
        seen.add(0, "error", Problem("empty_file", "", f"the file {what}", "write one JSON object a line"))
        return
    if any(finding.line == 0 for finding in seen.problems):
        return
    rows = seen.rows
    least = limits.least_evaluation if role == "evaluation" else limits.least_examples
    most = limits.most_evaluation if role == "evaluation" else limits.most_examples
    if rows < least:
        problem = Problem("too_few_examples", "", f"{rows} examples; at least {least} are needed", "add examples")
        seen.add(0, "error", problem)
    elif role == "training" and rows < limits.recommended_examples:
        message = f"{rows} examples; {limits.recommended_examples} or more are recommended"
        seen.add(0, "warning", Problem("few_examples", "", message, "add examples if you can"))
    if rows > most:
        problem = Problem(
            "too_many_examples", "", f"{rows:,} examples; at most {most:,} are taken", "choose among them"
        )
        seen.add(0, "error", problem)
    authors = sum(seen.authors.values())
    if role == "training" and authors > limits.most_authors and max(seen.turns, default=0) > 2:
        message = f"{authors:,} messages in all examples together; at most {limits.most_authors:,} are taken"
        seen.add(0, "error", Problem("too_many_authors", "", message, "shorten conversations or leave some out"))


def _judge_repetition(seen: _Pass) -> None:
    for lines in duplicates.same_rows(seen.texts):
        message = f"the same example stands {len(lines)} times: lines {ranges(lines)}"
        seen.add(
            lines[0], "warning", Problem("duplicate_example", "", message, "keep one: repetition is learnt by heart")
        )
    for lines in duplicates.conflicts(seen.texts):
        message = f"one prompt with different answers: lines {ranges(lines)}"
        seen.add(lines[0], "warning", Problem("conflicting_answers", "", message, "keep the answer that is wanted"))


def _judge_advice(seen: _Pass) -> None:
    if seen.uninstructed:
        lines = seen.uninstructed
        message = (
            f"{len(lines):,} prompts name no instruction such as 'Write the code in Python: ...': lines {ranges(lines)}"
        )
        seen.add(
            lines[0], "warning", Problem("no_instruction", "", message, "say in each prompt what is to be written")
        )
    prompts = [(text.line, text.prompt) for text in seen.texts]
    odd = advice.field_order(prompts)
    if odd is not None:
        usual, shown = (", ".join(f"{name}:" for name in names) or "none" for names in (odd.usual, odd.shown))
        message = f"fields are {usual} in most prompts, but {shown} on lines {ranges(odd.lines)}"
        remedy = "use the same fields in the same order in all examples, and in production"
        seen.add(odd.lines[0], "warning", Problem("inconsistent_fields", "", message, remedy))


_BENCHMARK = re.compile(
    r"HumanEval/\d+|\bdef has_close_elements\b|(?i:\bmbpp)[/ ]\d+|METADATA = \{\s*'author'|\bcheck\(candidate\)"
)


def _judge_benchmarks(seen: _Pass, suite: Path | None) -> None:
    wanted = _suite_texts(suite) if suite else []
    for text in seen.texts:
        both = f"{text.prompt}\n{text.answer}"
        if marker := _BENCHMARK.search(both):
            _benchmark(seen, text.line, f"holds {marker[0]!r}, the mark of a public benchmark")
        elif wanted:
            plain = " ".join(both.split())
            name = next((name for name, problem in wanted if problem in plain), None)
            if name:
                _benchmark(seen, text.line, f"holds the problem {name} of {suite.name if suite else ''}")


def _benchmark(seen: _Pass, line: int, message: str) -> None:
    remedy = "take the row out, or scores on that benchmark mean nothing"
    seen.add(line, "warning", Problem("benchmark_task", "", message, remedy))


def _suite_texts(suite: Path) -> list[tuple[str, str]]:
    """Names and texts (blanks folded) of a suite's problems; a text under 40 characters says too little."""
    found = []
    for raw in read_lines(suite):
        row = parse_row(raw.data) if raw.data.strip() else None
        if isinstance(row, dict):
            text = " ".join(str(row.get("prompt") or row.get("text") or "").split())
            if len(text) >= 40:
                found.append((str(row.get("task_id", raw.number)), text))
    return found


def _judge_overlap(seen: _Pass, evaluation: _Pass) -> None:
    for overlap in duplicates.overlaps(seen.texts, evaluation.texts):
        exact = overlap.similarity == 1.0
        how = "is" if exact else f"is {overlap.similarity:.0%} like"
        message = f"evaluation line {overlap.evaluation_line} {how} training line {overlap.training_line}"
        code = "evaluation_row_in_training" if exact else "evaluation_row_near_training"
        remedy = "take one of them out: the evaluation would measure memory"
        seen.add(overlap.training_line, "error" if exact else "warning", Problem(code, "", message, remedy))


# Putting it together.


def _whole_file(severity: Severity, problem: Problem, code: str) -> Finding:
    return Finding(0, problem.field, code, severity, problem.message, problem.remedy)


def _shortened(problems: Sequence[Finding]) -> list[Finding]:
    """The first FINDINGS_SHOWN of each code, then one that counts the rest of it; in the order of lines."""
    by_code: dict[str, list[Finding]] = defaultdict(list)
    for finding in problems:
        by_code[finding.code].append(finding)
    shown = []
    for found in by_code.values():
        shown += found[:FINDINGS_SHOWN]
        rest = found[FINDINGS_SHOWN:]
        if rest:
            message = f"and {len(rest):,} more of this kind, on lines {ranges(f.line for f in rest)}"
            shown.append(_in_other_words(rest[0], message))
    return sorted(shown, key=lambda finding: finding.line)


def _in_other_words(finding: Finding, message: str) -> Finding:
    """The finding in other words; the severity is the worst that the words stand for."""
    return finding._replace(message=message, field="")


def ranges(lines: Iterable[int], most: int = 12) -> str:
    """Line numbers as an editor's user reads them: `3-7, 9, 12`; after `most` pieces how many more there are."""
    pieces = _runs(sorted(set(lines)))
    shown = ", ".join(f"{a}-{b}" if b > a else str(a) for a, b in pieces[:most])
    more = sum(b - a + 1 for a, b in pieces[most:])
    return f"{shown} and {more:,} more" if more else shown


def _runs(lines: Sequence[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for line in lines:
        if runs and line == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], line)
        else:
            runs.append((line, line))
    return runs


def _statistics(path: Path, seen: _Pass) -> dict[str, Any]:
    lines: dict[str, set[int]] = defaultdict(set)
    counts: Counter[str] = Counter()
    for finding in seen.problems:
        lines[finding.code].add(finding.line)
        counts[finding.code] += 1
    return {
        "bytes": path.stat().st_size,
        "format": seen.format,
        "rows": seen.rows,
        "blank_lines": len(seen.blank),
        "prompt_characters": _spread([len(text.prompt) for text in seen.texts]),
        "answer_characters": _spread([len(text.answer) for text in seen.texts]),
        "turns": _spread(seen.turns),
        "authors": dict(seen.authors),
        "keys": dict(seen.keys.most_common(40)),
        "codes": {
            code: {"count": count, "lines": ranges(lines[code], most=len(lines[code]))}
            for code, count in counts.most_common()
        },
    }


def _spread(values: Sequence[int]) -> dict[str, float]:
    if not values:
        return {}
    ordered = sorted(values)
    last = len(ordered) - 1
    return {
        "min": ordered[0],
        "mean": round(sum(ordered) / len(ordered), 1),
        "p50": ordered[last // 2],
        "p95": ordered[round(0.95 * last)],
        "max": ordered[-1],
    }
