"""What may be chosen of a build; every default with its source stands here and nowhere else."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from tunesmith.data.codebase.analysis import Cutting, RowKind
from tunesmith.data.codebase.limits import Rule

SplitBy = Literal["path", "package", "time"]
KINDS: tuple[RowKind, ...] = ("instruction", "fim", "chat")


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
        found["rules"] = [f"{rule.glob}: {_changes(rule)}" for rule in self.rules]
        found["suites"] = [suite.rpartition("/")[2] for suite in self.suites]
        return found


def _changes(rule: Rule) -> str:
    parts = []
    for name, value in rule.changes:
        values = sorted(value) if isinstance(value, frozenset) else [value]
        parts += [f"{name}={one}" for one in values]
    return ", ".join(parts)
