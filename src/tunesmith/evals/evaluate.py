"""Problems x sampler -> scores: how many of a model's first answers pass the tests.

In: problems, and a sampler (prompts -> completions: local weights, a deployed endpoint, or a function in a test).
Out: `Scores`, and a folder that explains them:

    completions.jsonl   what the model said, written before anything is judged      id, prompt, completion
    verdicts.jsonl      one line a problem, in the problems' order                  id, passed, reason, detail, code
    scores.json         the sums, with standard error and 95 % interval

`rescore` judges the stored completions again without asking the model. All code runs in sandbox.py's closed rooms; a
host on which these do not hold gets an error, never a score. Not here: sampling, choosing what to compare.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from tunesmith.errors import DataLoss, InvalidArgument
from tunesmith.evals import sandbox
from tunesmith.evals.suites import Problem, answer_program
from tunesmith.folder import read_jsonl, write_json, write_text

Sampler = Callable[[list[str]], list[str]]
Program = Callable[[Problem, str], str]

COMPLETIONS, VERDICTS, SCORES = "completions.jsonl", "verdicts.jsonl", "scores.json"
_Z_95 = 1.959964  # two-sided 95 % of the normal distribution


@dataclass(frozen=True)
class Scores:
    """pass@1 of one answer a problem. The interval is Wilson's, which stays right near 0 and 1."""

    problems: int
    passed: int
    pass_at_1: float
    standard_error: float
    low_95: float
    high_95: float
    reasons: dict[str, int]

    def __str__(self) -> str:
        interval = f"95 % interval {self.low_95:.1%} to {self.high_95:.1%}"
        return f"pass@1 {self.pass_at_1:.1%} ({self.passed} of {self.problems}, {interval})"


def evaluate(
    problems: Sequence[Problem],
    sampler: Sampler,
    *,
    folder: Path,
    program: Program = answer_program,
    limits: sandbox.Limits | None = None,
    workers: int = 2,
) -> Scores:
    """Asks the sampler for one answer to each problem, judges them all, leaves the three files in `folder`.

    workers: how many are judged at a time. Raises InvalidArgument without problems or with an answer too few,
    FailedPrecondition where generated code cannot be run safely; then nothing has been asked.
    """
    if not problems:
        raise InvalidArgument.of("problems", "there are none to evaluate on")
    sandbox.self_test()
    prompts = [problem.prompt for problem in problems]
    completions = sampler(prompts)
    if len(completions) != len(problems):
        raise InvalidArgument.of("sampler", f"gave {len(completions)} completions for {len(problems)} prompts")
    _write_lines(
        folder / COMPLETIONS,
        [
            {"id": problem.id, "prompt": problem.prompt, "completion": completion}
            for problem, completion in zip(problems, completions, strict=True)
        ],
    )
    return rescore(problems, folder=folder, program=program, limits=limits, workers=workers)


def rescore(
    problems: Sequence[Problem],
    *,
    folder: Path,
    program: Program = answer_program,
    limits: sandbox.Limits | None = None,
    workers: int = 2,
) -> Scores:
    """Judges the completions in `folder` again and replaces verdicts and scores.

    Raises DataLoss if a problem has no completion there, or has one to another prompt.
    """
    sandbox.self_test()
    completions = _stored_completions(problems, folder)

    def judged(pair: tuple[Problem, str]) -> dict[str, object]:
        return _judged(pair[0], program(*pair), limits)

    with ThreadPoolExecutor(max_workers=workers) as pool:
        lines = list(pool.map(judged, zip(problems, completions, strict=True)))
    scores = summarise([str(line["reason"]) for line in lines])
    _write_lines(folder / VERDICTS, lines)
    write_json(folder / SCORES, asdict(scores))
    return scores


def summarise(reasons: Sequence[str]) -> Scores:
    """Scores of at least one verdict's reason, "passed" or another. Source of the interval: E. B. Wilson, 1927."""
    total, passed = len(reasons), sum(reason == "passed" for reason in reasons)
    share = passed / total
    widened = 1 + _Z_95**2 / total
    centre = (share + _Z_95**2 / (2 * total)) / widened
    half = _Z_95 / widened * math.sqrt(share * (1 - share) / total + _Z_95**2 / (4 * total**2))
    return Scores(
        problems=total,
        passed=passed,
        pass_at_1=share,
        standard_error=math.sqrt(share * (1 - share) / total),
        low_95=max(0.0, centre - half),
        high_95=min(1.0, centre + half),
        reasons=dict(sorted(Counter(reasons).items())),
    )


def _stored_completions(problems: Sequence[Problem], folder: Path) -> list[str]:
    stored = {(line["id"], line["prompt"]): str(line["completion"]) for line in read_jsonl(folder / COMPLETIONS)}
    missing = [problem.id for problem in problems if (problem.id, problem.prompt) not in stored]
    if missing:
        raise DataLoss(
            f"{folder / COMPLETIONS} has no completion for {len(missing)} of {len(problems)} problems as they are now "
            f"(first: {missing[0]}): the problems changed, so evaluate again"
        )
    return [stored[problem.id, problem.prompt] for problem in problems]


def _judged(problem: Problem, code: str, limits: sandbox.Limits | None) -> dict[str, object]:
    modules = {module.name: module.source for module in problem.modules}
    verdict = sandbox.judge(code, problem.tests, entry_point=problem.entry_point, modules=modules, limits=limits)
    return {
        "id": problem.id,
        "passed": verdict.passed,
        "reason": verdict.reason,
        "detail": verdict.detail,
        "code": code,
        "output": verdict.output,
        "wall_s": round(verdict.wall_s, 3),
    }


def _write_lines(path: Path, rows: Sequence[dict[str, object]]) -> None:
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
