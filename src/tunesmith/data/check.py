"""Everything that is wrong or unwise in a data file, with its line, in one pass.

In: a file, perhaps the evaluation file that goes with it, limits. Out: a `Report`. What a finding's code means stands
in findings.py. Nothing is changed, dropped or repaired here. Memory is bounded by the number of rows and by the
longest one: of a row that went by only hashes, lengths and line numbers are kept.

Not here: forms (formats.py), lengths in tokens and what the model's template refuses (build.py).
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tunesmith.data import advice, benchmarks, duplicates, secrets, signature, text_faults
from tunesmith.data.findings import Finding, Findings, Lines, displayable, ranges
from tunesmith.data.formats import (
    KEYS,
    Conversation,
    Format,
    Row,
    beside,
    detect,
    parse,
    parse_row,
    unknown_keys,
)
from tunesmith.data.histogram import histogram
from tunesmith.data.lines import Problem, RawLine, ReadingLimits, read_lines
from tunesmith.errors import NotFound
from tunesmith.spec import EVALUATION_ROWS

Role = Literal["training", "evaluation"]

_KEYS_COUNTED = 1000
_KEYS_LISTED = 40
# Unknown keys of one row that are looked at; a row with more of them is no example of any form.
_KEYS_JUDGED = 20
# Bytes that no text in Latin-1 or Windows-1252 is likely to have; the euro sign, dots, quotes and dashes are left out.
_NOT_LATIN1 = re.compile(rb"[\x81-\x84\x86-\x90\x98\x9a-\x9f\xff]")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a data set may hold, each with where the number comes from."""

    least_examples: int = 10
    """S8."""
    recommended_examples: int = 500
    """S8: fewer is a warning."""
    most_examples: int = 10_000
    """S11: of training examples that are no chats."""
    most_authors: int = 10_000
    """S14, T8: messages of all chat examples together, whatever the number of examples."""
    least_evaluation: int = EVALUATION_ROWS[0]
    most_evaluation: int = EVALUATION_ROWS[1]
    rows_read: int = 100_000
    """Ten times what is allowed: enough to say by how much a file is too long, and a bound for what is remembered."""
    lines_read: int = 1_000_000
    """Blank lines count too: 2 GB of them would otherwise be read to the end."""
    reading: ReadingLimits = field(default_factory=ReadingLimits)
    """Bytes of a line and of the file, and how much gzip may expand."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found."""

    examples: int
    """Rows that are examples without an error of their own."""
    format: Format | None
    """Of rows of fim among those of another form, the other; how many they are stands in the statistics."""
    sha256: str
    """Of the file's bytes, as they lie on disk."""
    findings: list[Finding]
    statistics: dict[str, Any]
    evaluation: Report | None = None

    @property
    def valid(self) -> bool:
        """Whether it can be trained on (and measured with, if there is an evaluation file)."""
        own = not any(finding.severity == "error" for finding in self.findings)
        return own and (self.evaluation is None or self.evaluation.valid)

    def to_json(self) -> dict[str, Any]:
        """What `data check --json` prints.

        The evaluation file's report stands whole under `evaluation`; its findings are also among `findings`, with
        fields that begin with `evaluation`, so that a reader of that list misses nothing that makes it invalid.
        """
        value: dict[str, Any] = {
            "valid": self.valid,
            "examples": self.examples,
            "format": self.format,
            "sha256": self.sha256,
            "findings": [finding._asdict() for finding in self.findings],
            "statistics": self.statistics,
        }
        if self.evaluation is not None:
            value["evaluation"] = inner = self.evaluation.to_json()
            for finding in inner["findings"]:
                where = f"evaluation.{finding['field']}" if finding["field"] else "evaluation"
                value["findings"].append({**finding, "field": where})
        return value


class _Named(NamedTuple):
    """A text of an example and the field in which it stands."""

    field: str
    text: str


class _Search(NamedTuple):
    """What every row is searched for."""

    role: Role
    limits: Limits
    special_tokens: Sequence[str]
    suite: benchmarks.Suite | None
    against: _Evaluation | None


class _Evaluation(NamedTuple):
    """The evaluation rows, to recognise them in the training file."""

    lines: list[int]
    exact: dict[bytes, int]
    shingled: duplicates.Shingled


@dataclass(slots=True)
class _Pass:
    """What is gathered while the lines go by."""

    search: _Search
    found: Findings = field(default_factory=Findings)
    format: Format | None = None
    rows: int = 0
    fim: int = 0
    """Rows in the form fim, whatever the form of the others."""
    blank: int = 0
    blank_lines: Lines = field(default_factory=Lines)
    examples: int = 0
    not_latin1: bool = False
    """Whether a line has UTF-8 beyond ASCII, or bytes that are no letters of Latin-1."""
    keys: Counter[str] = field(default_factory=Counter)
    authors: Counter[str] = field(default_factory=Counter)
    chat_messages: int = 0
    turns: list[int] = field(default_factory=list)
    prompts: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    labels: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    uninstructed: list[int] = field(default_factory=list)
    seen: duplicates.Rows = field(default_factory=duplicates.Rows)
    kept: list[tuple[int, str]] = field(default_factory=list)
    """Line and text of evaluation rows, which are few; of training rows none."""


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
    NotFound if a file is not there; all else about the data is a finding.
    """
    for name, file in (("dataset", path), ("evaluation_data", evaluation)):
        if file is not None and not file.is_file():
            raise NotFound(f"{name}: {file}: no such file", path=str(file))
    tokens = text_faults.not_known(special_tokens)
    opened = benchmarks.open_suite(suite) if suite is not None else None
    if evaluation is None:
        return _report(path, _read(path, _Search(role, limits, tokens, opened, None)))
    other = _read(evaluation, _Search("evaluation", limits, tokens, None, None))
    seen = _read(path, _Search(role, limits, tokens, opened, _to_recognise(other)))
    if other.format is not None:
        joined = beside(other.format, seen.format)
        if isinstance(joined, Problem):
            other.found.add(joined._replace(message=_other_form(other.format, str(seen.format))))
    return _report(path, seen, _report(evaluation, other))


def digest(path: Path) -> str:
    """Hex SHA-256 of the file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _report(path: Path, seen: _Pass, evaluation: Report | None = None) -> Report:
    listed, statistics = seen.found.listed(), _statistics(path, seen)
    return Report(seen.examples, seen.format, digest(path), listed, statistics, evaluation)


def _other_form(evaluation: str, training: str) -> str:
    return f"the evaluation file has {evaluation} rows, the training file {training} rows"


# The pass over the lines.


def _read(path: Path, search: _Search) -> _Pass:
    seen = _Pass(search)
    if foreign := signature.foreign(path):
        line = 1 if foreign.code in ("json_array", "pretty_printed") else 0
        seen.found.add(foreign, line)
        return seen
    for raw in _bounded(seen, read_lines(path, search.limits.reading)):
        _line(seen, raw)
    _judge_encoding(seen)
    _judge_amount(seen)
    _judge_repetition(seen)
    _judge_advice(seen)
    return seen


def _bounded(seen: _Pass, lines: Iterator[RawLine]) -> Iterator[RawLine]:
    """The lines, up to the limits on their number."""
    limits = seen.search.limits
    for raw in lines:
        if seen.rows >= limits.rows_read or raw.number > limits.lines_read:
            message = f"{seen.rows:,} rows in {raw.number - 1:,} lines were read; what follows was not looked at"
            remedy = f"give a file of at most {limits.most_examples:,} examples"
            seen.found.add(Problem("reading_stopped", "", message, remedy), raw.number)
            return
        yield raw


def _line(seen: _Pass, raw: RawLine) -> None:
    if raw.problem:
        seen.found.add(raw.problem, raw.number)
        if raw.problem.code != "byte_order_mark":
            seen.rows += 1
            return
    if not raw.data.strip():
        seen.blank += 1
        seen.blank_lines.add(raw.number)
        return
    seen.rows += 1
    if not _row(seen, raw):
        # What could not be read as an example may still hold a key; the line is searched as it stands.
        _look_for_secrets(seen, raw.number, _Named("", raw.data.decode("utf-8", "replace")))


def _row(seen: _Pass, raw: RawLine) -> bool:
    """Takes one row in; False if it is no example."""
    row = parse_row(raw.data)
    if isinstance(row, Problem):
        _not_json(seen, raw, row)
        return False
    if not raw.data.isascii():
        seen.not_latin1 = True
    _count_keys(seen, row)
    form = detect(row)
    if isinstance(form, Problem):
        seen.found.add(form, raw.number)
        return False
    joined = beside(form, seen.format)
    if isinstance(joined, Problem):
        seen.found.add(joined, raw.number)
        return False
    seen.format = joined
    seen.fim += form == "fim"
    _judge_keys(seen, raw.number, row, form)
    example = parse(row, raw.number, form)
    if not isinstance(example, Conversation):
        seen.chat_messages += _messages_written(row)
        for problem in example:
            seen.found.add(problem, raw.number)
        return False
    _example(seen, example, _named_texts(example, form))
    return True


def _not_json(seen: _Pass, raw: RawLine, problem: Problem) -> None:
    if problem.code == "invalid_utf8":
        seen.not_latin1 = seen.not_latin1 or not _may_be_latin1(raw.data)
    seen.found.add(problem, raw.number)


def _may_be_latin1(data: bytes) -> bool:
    """Whether all bytes beyond ASCII are letters and signs of Latin-1 or Windows-1252."""
    return not _NOT_LATIN1.search(data)


def _count_keys(seen: _Pass, row: Row) -> None:
    for key in row:
        if key in seen.keys or len(seen.keys) < _KEYS_COUNTED:
            seen.keys[key] += 1


def _judge_keys(seen: _Pass, line: int, row: Row, form: Format) -> None:
    must, may = KEYS[form]
    for key in unknown_keys(row, form)[:_KEYS_JUDGED]:
        remedy = ""
        if not seen.found.is_full("unknown_key"):
            near = [] if "." in key else difflib.get_close_matches(key[:64], [*must, *may], 1, 0.75)
            known = "remove it" if "." in key else f"read are: {', '.join(sorted(must | may))}"
            remedy = f"did you mean {near[0]}? {known}" if near else known
        seen.found.add(Problem("unknown_key", key, "is not read", remedy), line)
        value = row.get(key)  # None for the key of a message, and for one that was cut
        if isinstance(value, str):
            _look_for_secrets(seen, line, _Named(key, value))


def _messages_written(row: Row) -> int:
    """Messages of a row that is no example; its authors count all the same (S14)."""
    lists = (row.get(key) for key in ("messages", "contents", "conversations"))
    return sum(len(value) for value in lists if isinstance(value, list))


# One example.


def _example(seen: _Pass, example: Conversation, texts: Sequence[_Named]) -> None:
    seen.examples += 1
    seen.authors.update(message.author for message in example.messages)
    if example.kind != "fim":
        seen.turns.append(len(example.messages))
    if example.kind == "chat":
        seen.chat_messages += len(example.messages)
    for named in texts:
        for fault in text_faults.find(named.text, seen.search.special_tokens):
            seen.found.add(Problem(fault.code, named.field, fault.message, fault.remedy), example.line)
        _look_for_secrets(seen, example.line, named)
    prompt, answer = _sides(example)
    seen.prompts.append(len(prompt))
    seen.answers.append(len(answer))
    seen.seen.add(example.line, prompt, answer)
    _compare(seen, example.line, prompt, answer)
    if example.messages:
        _note_advice(seen, example)


def _named_texts(example: Conversation, form: Format) -> list[_Named]:
    """Every text of the example, with the field of the row in which it stands."""
    if example.fim is not None:
        named = ("context", "prefix", "suffix", "middle") if example.fim.context else ("prefix", "suffix", "middle")
        return [_Named(name, getattr(example.fim, name)) for name in named]
    texts = [message.content for message in example.messages]
    pair = {"vertex-generation": ("input_text", "output_text"), "alpaca": ("instruction", "output")}
    if form in pair or (form == "prompt-completion" and example.kind == "generation"):
        return [_Named(*both) for both in zip(pair.get(form, ("prompt", "completion")), texts, strict=True)]
    name, inner = {"gemini": ("contents", "parts"), "sharegpt": ("conversations", "value")}.get(
        form, ("messages", "content")
    )
    # In these forms a system turn is the first of the list.
    first = int(example.context is not None and form in ("openai-chat", "sharegpt", "prompt-completion"))
    turns = [_Named(f"{name}[{i}].{inner}", text) for i, text in enumerate(texts, first)]
    return [_Named("context", example.context), *turns] if example.context else turns


def _sides(example: Conversation) -> tuple[str, str]:
    """What is given and what is wanted, each as one text; NUL stands between the parts."""
    if example.fim is not None:
        # The order is none of the example's: the same hole twice is the same row twice.
        return f"{example.fim.context}{example.fim.prefix}\0{example.fim.suffix}", example.fim.middle
    given = [message.content for message in example.messages[:-1]]
    return "\0".join([example.context, *given] if example.context else given), example.messages[-1].content


def _look_for_secrets(seen: _Pass, line: int, named: _Named) -> None:
    for secret in secrets.find(named.text):
        place = f"at character {secret.position}, {secret.length} long"
        if secret.example:
            remedy = "nothing to do if it is one; otherwise revoke it and take it out"
            message = f"what looks like an example of a {secret.kind} {place}"
            seen.found.add(Problem("secret_placeholder", named.field, message, remedy), line)
        else:
            remedy = "revoke it, and replace it by a placeholder: a tuned model repeats what it was taught"
            seen.found.add(Problem("secret", named.field, f"what looks like a {secret.kind} {place}", remedy), line)


def _compare(seen: _Pass, line: int, prompt: str, answer: str) -> None:
    """With the evaluation rows and the tasks of benchmarks."""
    whole = f"{prompt}\n\0\n{answer}"
    if seen.search.role == "evaluation":
        if len(seen.kept) < seen.search.limits.most_evaluation:
            seen.kept.append((line, whole))
        return
    if task := benchmarks.find(whole, seen.search.suite):
        remedy = "take the row out, or scores on that benchmark mean nothing"
        seen.found.add(Problem("benchmark_task", "", task, remedy), line)
    if seen.search.against is not None:
        _recognise(seen, seen.search.against, line, whole)


def _to_recognise(evaluation: _Pass) -> _Evaluation:
    lines = [line for line, _ in evaluation.kept]
    texts = [text for _, text in evaluation.kept]
    exact: dict[bytes, int] = {}
    for line, text in evaluation.kept:
        exact.setdefault(duplicates.key(text), line)
    return _Evaluation(lines, exact, duplicates.Shingled(texts))


def _recognise(seen: _Pass, evaluation: _Evaluation, line: int, whole: str) -> None:
    same = evaluation.exact.get(duplicates.key(whole))
    if same is not None:
        message = f"evaluation line {same} is training line {line}"
        remedy = "take one of them out: the evaluation would measure memory"
        seen.found.add(Problem("evaluation_row_in_training", "", message, remedy), line)
        return
    likest = max(evaluation.shingled.near(whole), key=lambda match: match.similarity, default=None)
    if likest is not None:
        message = (
            f"evaluation line {evaluation.lines[likest.text]} is {likest.similarity:.0%} like training line {line}"
        )
        remedy = "look at both: the evaluation may measure memory"
        seen.found.add(Problem("evaluation_row_near_training", "", message, remedy), line)


def _note_advice(seen: _Pass, example: Conversation) -> None:
    asked = [message.content for message in example.messages if message.author == "user"]
    if not any(advice.instructs(text) for text in ([example.context, *asked] if example.context else asked)):
        seen.uninstructed.append(example.line)
    seen.labels.append((example.line, advice.labels(asked[0])))


# Judgements over the whole file.


def _judge_encoding(seen: _Pass) -> None:
    """Several lines that are not UTF-8, and none that is UTF-8 and not ASCII: one finding instead of many."""
    kinds = seen.found.kinds
    if seen.not_latin1 or "invalid_utf8" not in kinds or kinds["invalid_utf8"].count < 2:
        return
    first = kinds["invalid_utf8"].shown[0]
    numbers = [n for a, b in seen.found.take_back("invalid_utf8").merged() for n in range(a, b + 1)]
    message = f"the file is not UTF-8 but probably Latin-1 (Windows-1252): lines {ranges(numbers)}; {first.message}"
    remedy = "save it as UTF-8: iconv -f WINDOWS-1252 -t UTF-8"
    seen.found.add(Problem("latin1", "", message, remedy), first.line, numbers)


def _judge_amount(seen: _Pass) -> None:
    if seen.blank and seen.rows:
        problem = Problem("blank_lines", "", f"{seen.blank:,} blank lines are skipped", "remove them")
        lines = [n for a, b in seen.blank_lines.merged() for n in range(a, b + 1)]
        seen.found.add(problem, lines[0], lines)
    if not seen.rows:
        what = "has only blank lines" if seen.blank else "is empty"
        seen.found.add(Problem("empty_file", "", f"the file {what}", "write one JSON object a line"))
        return
    if not seen.found.has("gzip_bomb", "gzip_damaged", "gzip_truncated", "file_too_large", "latin1"):
        _judge_few(seen)
    _judge_many(seen)


def _judge_few(seen: _Pass) -> None:
    limits, training = seen.search.limits, seen.search.role == "training"
    least = limits.least_examples if training else limits.least_evaluation
    rows = f"{seen.rows:,} example{'s' * (seen.rows != 1)}"
    if seen.rows < least:
        seen.found.add(Problem("too_few_examples", "", f"{rows}; at least {least} are needed", "add examples"))
    elif training and seen.rows < limits.recommended_examples:
        message = f"{rows}; {limits.recommended_examples} or more are recommended"
        seen.found.add(Problem("few_examples", "", message, "add examples if you can: results get better"))


def _judge_many(seen: _Pass) -> None:
    limits, training = seen.search.limits, seen.search.role == "training"
    if training and seen.chat_messages > limits.most_authors:
        message = f"{seen.chat_messages:,} messages in all examples together; at most {limits.most_authors:,} are taken"
        remedy = "shorten conversations or leave some out"
        seen.found.add(Problem("too_many_authors", "", message, remedy))
    most = limits.most_examples if training else limits.most_evaluation
    # A chat's limit is that on authors; S11 speaks of the other kinds, of which fim rows may stand beside chats.
    counted = seen.fim if training and seen.chat_messages else seen.rows
    if counted > most:
        message = f"{counted:,} examples; at most {most:,} are taken"
        seen.found.add(Problem("too_many_examples", "", message, "choose among them"))


def _judge_repetition(seen: _Pass) -> None:
    for lines in seen.seen.repeated():
        message = f"the same example stands {len(lines):,} times: lines {ranges(lines)}"
        remedy = "keep one: what is repeated is learnt by heart"
        seen.found.add(Problem("duplicate_example", "", message, remedy), lines[0], lines)
    for lines in seen.seen.conflicts():
        message = f"one prompt with different answers: lines {ranges(lines)}"
        remedy = "keep the answer that is wanted"
        seen.found.add(Problem("conflicting_answers", "", message, remedy), lines[0], lines)


def _judge_advice(seen: _Pass) -> None:
    if lines := seen.uninstructed:
        count = f"{len(lines):,} prompts do" if len(lines) > 1 else "a prompt does"
        message = (
            f"{count} not say what is to be written, as 'Write the code in Python: ...' does: lines {ranges(lines)}"
        )
        remedy = "put the instruction into each prompt, and into those in production"
        seen.found.add(Problem("no_instruction", "", message, remedy), lines[0], lines)
    if odd := advice.field_order(seen.labels):
        usual, shown = (", ".join(f"{name}:" for name in names) or "none" for names in (odd.usual, odd.shown))
        message = f"fields are {usual} in most prompts, but {shown} on lines {ranges(odd.lines)}"
        remedy = "use the same fields in the same order in all examples, and in production"
        seen.found.add(Problem("inconsistent_fields", "", message, remedy), odd.lines[0], odd.lines)


# Statistics.


def _statistics(path: Path, seen: _Pass) -> dict[str, Any]:
    return {
        "examples": seen.examples,
        "bytes": path.stat().st_size,
        "format": seen.format,
        "rows": seen.rows,
        "fim_rows": seen.fim,
        "blank_lines": seen.blank,
        "duplicates": sum(len(lines) - 1 for lines in seen.seen.repeated()),
        "prompt_characters": _spread(seen.prompts),
        "answer_characters": _spread(seen.answers),
        "turns": _spread(seen.turns),
        "authors": dict(seen.authors),
        "keys": {displayable(key, 80): count for key, count in seen.keys.most_common(_KEYS_LISTED)},
        "codes": seen.found.statistics(),
        "histograms": {
            "prompt_characters": histogram(seen.prompts),
            "answer_characters": histogram(seen.answers),
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
