"""The whole example: writes the data, scores the base model, tunes it, scores it again, prints what changed.

    python run.py --output DIR [--seed 0] [--train-steps 60] [-- more options of `tunesmith tune`]

About 8 minutes on two cores with the embedded model, 5 of them tuning. DIR must be new or empty; it keeps the data,
both models' answers with their verdicts, and the tuned adapter as PEFT wrote it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import generate
import score

from tunesmith.errors import TunesmithError
from tunesmith.evals.evaluate import COMPLETIONS, VERDICTS, Scores
from tunesmith.folder import JobFolder, read_json, read_jsonl
from tunesmith.pipeline import EVALUATE

COMMAND = [sys.executable, "-c", "import sys; from tunesmith.cli import main; sys.exit(main())"]
ROWS, EVALUATION_ROWS, PROBLEMS = 500, 48, 80


def run(output: Path, *, seed: int, train_steps: int, tune_options: list[str]) -> None:
    data, adapter = output / "data", output / "adapter"
    generate.write_all(data, rows=ROWS, evaluation_rows=EVALUATION_ROWS, problems=PROBLEMS, seed=seed)
    print(f"scoring the base model on {PROBLEMS} tasks", flush=True)
    base = score.score(data / "problems.jsonl", output / "base")
    job = tune(data, seed=seed, train_steps=train_steps, options=tune_options)
    tunesmith("models", "export", job["model"], "--format", "peft", "--output", str(adapter))
    print(f"scoring the tuned model on {PROBLEMS} tasks", flush=True)
    tuned = score.score(data / "problems.jsonl", output / "tuned", tuned=adapter)
    print(report(output, base, tuned))
    print(forgetting(Path(job["folder"])))


def tune(data: Path, *, seed: int, train_steps: int, options: list[str]) -> dict[str, Any]:
    """What `tunesmith tune --json` said; its progress goes to this program's standard error."""
    return tunesmith(
        *(
            "tune",
            str(data / "train.jsonl"),
            "--name",
            "wharfline",
            "--evaluation-data",
            str(data / "evaluation.jsonl"),
        ),
        *("--train-steps", str(train_steps), "--seed", str(seed), *options),
    )


def tunesmith(*arguments: str) -> dict[str, Any]:
    """One command's JSON; a command that fails has said why on standard error, and its exit code becomes ours."""
    done = subprocess.run([*COMMAND, *arguments, "--json"], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(done.returncode)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def report(output: Path, base: Scores, tuned: Scores) -> str:
    """The table, why answers failed, and one task with both answers."""
    lines = [
        "",
        f"{'model':<8}{'pass@1':>9}{'95 % interval':>20}   of {base.problems} tasks; none of their chains was shown",
    ]
    for name, scores in (("base", base), ("tuned", tuned)):
        interval = f"{scores.low_95:.1%} to {scores.high_95:.1%}"
        why = ", ".join(f"{number} {reason}" for reason, number in scores.reasons.items())
        lines.append(f"{name:<8}{scores.pass_at_1:>9.1%}{interval:>20}   {why}")
    return "\n".join([*lines, "", *shown_task(output)])


def forgetting(job: Path) -> str:
    """What the job measured on general code."""
    found = read_json(JobFolder(job).attempts(EVALUATE)[-1].result)["forgetting"]
    low, high = found["interval"]
    return f"general code: loss {found['change']:+.3f} [{low:+.3f}, {high:+.3f}] against the base, {found['rows']} rows"


def shown_task(output: Path) -> list[str]:
    """The first task that only the tuned model solved, if there is one."""
    verdicts = {name: {line["id"]: line for line in read_jsonl(output / name / VERDICTS)} for name in ("base", "tuned")}
    for asked in read_jsonl(output / "tuned" / COMPLETIONS):
        if verdicts["tuned"][asked["id"]]["passed"] and not verdicts["base"][asked["id"]]["passed"]:
            base_code = verdicts["base"][asked["id"]]["code"].strip().splitlines()[:12]
            return [asked["prompt"], "", "base:", *base_code, "", "tuned:", verdicts["tuned"][asked["id"]]["code"]]
    return []


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Tunes a model on an invented private library, and measures it.")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train-steps", type=int, default=60)
    parser.add_argument("tune_options", nargs="*", help="after --, handed to `tunesmith tune`")
    chosen = parser.parse_args(arguments)
    if chosen.output.exists() and any(chosen.output.iterdir()):
        parser.error(f"--output {chosen.output} is not empty; name a new folder")
    try:
        run(chosen.output, seed=chosen.seed, train_steps=chosen.train_steps, tune_options=chosen.tune_options)
    except TunesmithError as error:
        parser.exit(error.exit_code, f"{error.message}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
