"""What became of every file: one line each, used or rejected, with the reason; nothing vanishes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tunesmith.data.codebase import redaction, repository, screening, spdx

Status = Literal["used", "rejected"]

_OWN = {
    "excluded": "left out by --include or --exclude",
    "unparsable": "not understood by the grammar of its language",
    "duplicate": "the same text as another file, which stays",
    "near-duplicate": "nearly the same text as another file, which stays",
    "no-example": "nothing in it that a row could be made of",
    "not-chosen": "rows could be made of it, but there are as many as are wanted",
    "overlap": "all its rows gave away rows of the evaluation, or of a suite",
}


def reasons() -> dict[str, str]:
    """Every reason for which a file may be rejected: code -> what it means."""
    return {**repository.REASONS, **screening.REASONS, **spdx.REASONS, **redaction.REASONS, **_OWN}


@dataclass(frozen=True, slots=True)
class Line:
    """One file of the repository."""

    path: str
    status: Status
    size_bytes: int
    reason: str = ""
    detail: str = ""
    language: str = ""
    licence: str = ""
    sha256: str = ""
    cluster: str = ""
    split: str = ""
    examples: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Rows that could be made and were not taken, by kind; and units too long for one."""
    redactions: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As ledger.jsonl holds it."""
        return {
            "path": self.path,
            "status": self.status,
            "reason": self.reason,
            "detail": self.detail,
            "language": self.language,
            "licence": self.licence,
            "bytes": self.size_bytes,
            "sha256": self.sha256,
            "cluster": self.cluster,
            "split": self.split,
            "examples": dict(sorted(self.examples.items())),
            "left_out": dict(sorted(self.left_out.items())),
            "redactions": dict(sorted(self.redactions.items())),
        }
