"""What may be chosen of a build, and what is refused; every default with its source stands here and nowhere else.

Errors name options as the command line does (`service_words.py` has the words of the service for them).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal, get_args

from tunesmith.data.codebase.history import moment
from tunesmith.data.codebase.limits import Rule, checked_glob, rule_of
from tunesmith.data.codebase.spdx import policy_of
from tunesmith.errors import InvalidArgument, Violation

RowKind = Literal["instruction", "fim", "chat"]
SplitBy = Literal["path", "package", "time"]
KINDS: tuple[RowKind, ...] = get_args(RowKind)
SPLITS: tuple[SplitBy, ...] = get_args(SplitBy)
LEAST: Mapping[str, int] = {
    "evaluation_rows": 0, "most_rows": 1, "row_characters": 400, "context_characters": 0, "seed": 0,
}  # fmt: skip
"""Of the options that are numbers."""
FEWEST_HELD_OUT = 10
"""Evaluation rows that tuning takes (S18), if there are any."""
_FLAGS = {"split_by": "--split", "most_rows": "--max-rows", "rules": "--limit", "suites": "--suite"}
"""Where the command line has another name."""


@dataclass(frozen=True, slots=True)
class Cutting:
    """How rows are cut: what of the build's options a file's analysis depends on."""

    row_characters: int
    """Longest row: prompt and answer, or prefix, middle, suffix and context together."""
    context_characters: int
    """Room in it for signatures from other files."""
    seed: int


@dataclass(frozen=True, slots=True)
class Options:
    """Of one build. Together with the files and the version of Tunesmith they determine every byte of the output."""

    revision: str = ""
    """Of a git repository: a branch, tag or commit; its default branch if empty."""
    since: str = ""
    """Date from which on history is read; with a split by time, files changed since are held out."""
    include: tuple[str, ...] = ()
    """Globs as in .gitignore; if there are any, only files that fit one are read."""
    exclude: tuple[str, ...] = ()
    """Globs of files that are left out."""
    rules: tuple[Rule, ...] = ()
    """Limits of limits.py, changed for the files that a glob fits."""
    licence_policy: str = "permissive"
    """permissive, weak-copyleft, any, or SPDX ids with commas between; `unknown` is one too."""
    kinds: tuple[RowKind, ...] = KINDS
    """Which kinds of rows are made."""
    split_by: SplitBy = "path"
    """What is held out whole: folders, packages, or what changed last."""
    evaluation_rows: int | None = None
    """Held-out rows of each form; None: a tenth, 10 to 250, as many as tuning takes (S18); 0: none."""
    most_rows: int = 10_000
    """Training rows at most, for each form: the reference product's own limit (S11; authors of messages, S14)."""
    row_characters: int = 8000
    """Longest row: some 2,500 tokens, which every base model of the catalog takes with room to spare."""
    context_characters: int = 1200
    """Room in a row for signatures from other files; 0: none are given."""
    suites: tuple[str, ...] = ()
    """JSONL files of problems, HumanEval- or MBPP-shaped: no row may hold one of their tasks."""
    seed: int = 0
    """Of the holes, of what is held out, and of what is taken where there is too much."""

    @property
    def cutting(self) -> Cutting:
        return Cutting(self.row_characters, self.context_characters, self.seed)

    def to_json(self) -> dict[str, Any]:
        """As the manifest holds them; suites by their names, since their places are this machine's."""
        found = dataclasses.asdict(self)
        found["rules"] = self.rule_texts()
        found["suites"] = [suite.rpartition("/")[2] for suite in self.suites]
        return found

    def rule_texts(self) -> list[str]:
        """As `rule_of` reads them."""
        return [f"{rule.glob}: {_changes(rule)}" for rule in self.rules]


def options_of(given: Mapping[str, Any], now: datetime) -> Options:
    """The options by their names, `rules` as texts and lists of any kind; InvalidArgument has all that is wrong.

    now  before which `since` must lie
    """
    wrong: list[Violation] = []
    rules = [rule for text in given.get("rules", ()) for rule in _read(wrong, "rules", rule_of, text)]
    for name in ("include", "exclude"):
        for glob in given.get(name, ()):
            list(_read(wrong, name, partial(checked_glob, option=name), glob))
    found: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    options = Options(**found | {"rules": tuple(rules)})
    list(_read(wrong, "licence_policy", policy_of, options.licence_policy))
    if options.since:
        list(_read(wrong, "since", lambda text: moment(text, now), options.since))
    wrong += _unknown(options)
    wrong += _contradictions(options)
    if wrong:
        raise InvalidArgument.of_all(wrong)
    return dataclasses.replace(options, kinds=tuple(kind for kind in KINDS if kind in options.kinds))


def flag_of(name: str) -> str:
    """What an option is called on the command line."""
    return _FLAGS.get(name, "--" + name.replace("_", "-"))


def _read(wrong: list[Violation], name: str, read: Any, text: str) -> Iterator[Any]:
    """What is read of a text, or nothing, and a violation more."""
    try:
        yield read(text)
    except InvalidArgument as error:
        wrong += [Violation(flag_of(name), violation.message) for violation in error.violations]


def _unknown(options: Options) -> Iterator[Violation]:
    if not options.kinds:
        yield Violation("--kinds", f"names none; choose of {', '.join(KINDS)}")
    words: tuple[tuple[str, Sequence[str], Sequence[str]], ...] = (
        ("kinds", options.kinds, KINDS),
        ("split_by", (options.split_by,), SPLITS),
    )
    for name, chosen, known in words:
        for word in chosen:
            if word not in known:
                yield Violation(flag_of(name), f"{word!r:.80} is not known; choose of {', '.join(known)}")


def _contradictions(options: Options) -> Iterator[Violation]:
    for name, least in LEAST.items():
        value = getattr(options, name)
        if value is not None and value < least:
            yield Violation(flag_of(name), f"must be at least {least:,}, got {value:,}")
    if options.split_by == "time" and not options.since:
        yield Violation("--split", "time needs --since DATE: files that changed since then are held out")
    if options.since and options.split_by != "time":
        yield Violation("--since", "says what is held out by time; give --split time with it")
    if options.evaluation_rows is not None and 0 < options.evaluation_rows < FEWEST_HELD_OUT:
        text = f"must be 0 (none) or at least {FEWEST_HELD_OUT} (S18), got {options.evaluation_rows}"
        yield Violation("--evaluation-rows", text)


def _changes(rule: Rule) -> str:
    parts = []
    for name, value in rule.changes:
        values = sorted(value) if isinstance(value, frozenset) else [value]
        parts += [f"{name}={one}" for one in values]
    return ", ".join(parts)
