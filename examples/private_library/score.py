"""Scores a model on the tasks of the private library: how many of its first answers pass the tests.

    python score.py --problems DIR/problems.jsonl --output DIR/base                      the base model
    python score.py --problems DIR/problems.jsonl --output DIR/tuned --tuned ADAPTER     a tuned one (PEFT or merged)
    python score.py --problems DIR/problems.jsonl --output DIR/tuned --again             the stored answers once more

The answers are sampled greedily and kept in the output folder, then judged in Tunesmith's sandbox. A model sees the
prompt as it stands in the training rows, and nothing of the tests.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tunesmith.errors import TunesmithError
from tunesmith.evals.evaluate import Sampler, Scores, evaluate, rescore
from tunesmith.evals.suites import read_problems

BASE_MODEL = "smollm2-135m-instruct"
MAX_OUTPUT_TOKENS = 120  # the longest wanted answer has 70


def score(problems_file: Path, output: Path, *, tuned: Path | None = None, base_model: str = BASE_MODEL) -> Scores:
    """Asks the base model, or the tuned one in the folder `tuned`, and judges its answers."""
    return evaluate(read_problems(problems_file), local_sampler(base_model, tuned), folder=output)


def local_sampler(base_model: str, tuned: Path | None) -> Sampler:
    """Greedy answers of a model on this machine; loaded when it is first asked."""

    def sample(prompts: list[str]) -> list[str]:
        from tunesmith import catalog
        from tunesmith.data.formats import Conversation, Message
        from tunesmith.engine.generate import Generator
        from tunesmith.engine.model import prepare
        from tunesmith.settings import read_settings

        settings = read_settings(os.environ)
        base = catalog.find(base_model, settings.aliases, settings.base_models).base
        generator = Generator.load(prepare(base, settings.base_models), base, tuned)
        asked = [
            Conversation(line=1, kind="generation", context=None, messages=(Message("user", prompt, False),), fim=None)
            for prompt in prompts
        ]
        return generator.answer(asked, max_output_tokens=MAX_OUTPUT_TOKENS)

    return sample


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="pass@1 of a model on the private library's tasks.")
    parser.add_argument("--problems", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder for answers, verdicts and scores")
    parser.add_argument("--tuned", type=Path, help="folder of an exported adapter or merged model")
    parser.add_argument("--base-model", default=BASE_MODEL)
    parser.add_argument("--again", action="store_true", help="judge the answers in --output again, ask no model")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.again:
            scores = rescore(read_problems(chosen.problems), folder=chosen.output)
        else:
            scores = score(chosen.problems, chosen.output, tuned=chosen.tuned, base_model=chosen.base_model)
    except TunesmithError as error:
        parser.exit(error.exit_code, f"{error.message}\n")
    print(scores)
    return 0


if __name__ == "__main__":
    sys.exit(main())
