"""A data file judged as somebody looks at it: what the check finds with the lines' own text, and what a base model
makes of the rows.

In: files of this machine, and perhaps a plan with its base model's folder. Out: JSON. Without a plan it is the check
alone (check.py); with one, rows that are too long for the model or that its template refuses are findings too, and
tokens are counted. Writes nothing. Not here: where the files come from (inspection.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.data import build
from tunesmith.data.check import check
from tunesmith.data.findings import FINDINGS_SHOWN, displayable, ranges
from tunesmith.data.histogram import histogram
from tunesmith.data.lines import read_lines
from tunesmith.errors import InvalidArgument
from tunesmith.spec import TuningPlan

TEXT_CHARACTERS = 300
"""Of a line that a finding is about."""
_EVALUATION = "evaluation"


def judge(
    training: Path, evaluation: Path | None = None, plan: TuningPlan | None = None, base_folder: Path | None = None
) -> dict[str, Any]:
    """The check's report as JSON, each finding with `text`; with a plan, `survey` and histograms of tokens as well.

    The plan's data are these files. `survey` is left out, and `refused` is how many rows are, where some cannot be
    trained on.
    """
    special = build.open_renderer(plan, base_folder).special_tokens if plan and base_folder else ()
    report = check(training, evaluation=evaluation, special_tokens=special)
    said = report.to_json()
    if plan is not None and base_folder is not None and report.valid:
        _count_tokens(said, plan, base_folder)
    files = {"training": training} | ({_EVALUATION: evaluation} if evaluation else {})
    said["findings"] = _with_texts(said["findings"], files)
    return said


def _count_tokens(said: dict[str, Any], plan: TuningPlan, base_folder: Path) -> None:
    try:
        tallies = build.count_rows(plan, base_folder)
    except InvalidArgument as error:  # rows of the other kind than the reference model takes
        texts = [violation.message for violation in error.violations] or [error.message]
        said["findings"] += [_finding("other-kind", text) for text in texts]
        said["valid"] = False
        return
    for role, tally in tallies.items():
        said["findings"] += _limited(tally.refused, "" if role == "training" else _EVALUATION)
        place = said["statistics"] if role == "training" else said[_EVALUATION]["statistics"]
        place["histograms"] |= {
            "tokens": histogram(tally.lengths),
            "prompt_tokens": histogram(tally.prompts),
            "target_tokens": histogram(tally.targets),
        }
    said["refused"] = sum(len(tally.refused) for tally in tallies.values())
    if said["refused"]:
        said["valid"] = False
    else:
        said["survey"] = build.survey_of(plan, tallies).to_json()


def _finding(code: str, message: str) -> dict[str, Any]:
    return {"severity": "error", "code": code, "line": 0, "field": "", "message": message, "remedy": ""}


def _limited(refused: Sequence[Mapping[str, Any]], field: str) -> list[dict[str, Any]]:
    """The first ones of each code, and one that counts the rest."""
    shown: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    rest: dict[str, list[int]] = {}
    for finding in refused:
        counts[finding["code"]] += 1
        if counts[finding["code"]] <= FINDINGS_SHOWN:
            shown.append({**finding, "field": field})
        else:
            rest.setdefault(finding["code"], []).append(finding["line"])
    for code, lines in rest.items():
        message = f"and {len(lines):,} more of this kind, on lines {ranges(lines)}"
        shown.append({**_finding(code, message), "line": lines[0], "field": field})
    return shown


def _with_texts(findings: Iterable[Mapping[str, Any]], files: Mapping[str, Path]) -> list[dict[str, Any]]:
    """The findings in the order of lines, each with its line's beginning, without secrets and control characters."""
    ordered = sorted(findings, key=lambda finding: (finding["line"], _role(finding)))
    wanted = {role: {f["line"] for f in ordered if _role(f) == role and f["line"]} for role in files}
    texts = {role: _texts(path, wanted[role]) for role, path in files.items() if wanted[role]}
    return [{**finding, "text": texts.get(_role(finding), {}).get(finding["line"], "")} for finding in ordered]


def _role(finding: Mapping[str, Any]) -> str:
    return _EVALUATION if str(finding["field"]).partition(".")[0] == _EVALUATION else "training"


def _texts(path: Path, lines: set[int]) -> dict[int, str]:
    found = {}
    last = max(lines)
    for raw in read_lines(path):
        if raw.number in lines:
            # More than is shown: what is cut must not cut a secret in two.
            text = raw.data[: 8 * TEXT_CHARACTERS].decode("utf-8", "replace")
            found[raw.number] = displayable(text, TEXT_CHARACTERS)
        if raw.number >= last:
            break
    return found
