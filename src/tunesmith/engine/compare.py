"""What tuning changed, base against tuned: on the held-out rows, on general code, and in three answers side by side.

The held-out scores are those that the task `tune` took at step 0 and at the selected checkpoint; without evaluation
data a few training rows are measured here instead, and the result says so. Forgetting is the change of loss on fixed
general code (rows of this machine's own standard library that no job is ever trained on). Its interval is over rows,
paired: mean of (tuned - base) per target, two standard errors each way. Where rows that fill in the middle are among
those that are scored, each kind is also scored by itself, with how close a few greedy answers come to the wanted ones
(closeness.py); other jobs are not made to wait for that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith import catalog, cost, folder
from tunesmith.data.build import SHOWN_FILE
from tunesmith.data.formats import Conversation, Message
from tunesmith.data.pack import Shard
from tunesmith.data.render import Renderer
from tunesmith.engine.adapters import load_tuned
from tunesmith.engine.closeness import closeness, spread
from tunesmith.engine.device import Device, probe
from tunesmith.engine.generate import Generator
from tunesmith.engine.measure import Score, measure
from tunesmith.engine.model import Prepared, load
from tunesmith.engine.parallel import Ranks
from tunesmith.engine.progress import Progress
from tunesmith.errors import Cancelled
from tunesmith.folder import AttemptFolder
from tunesmith.spec import TuningPlan

TRAINING_ROWS = 48
"""Measured where nothing was held out: enough to see the change, whatever the size of the data."""
_MAX_OUTPUT_TOKENS = 256
_ALONE = Ranks(0, 1, 0)


def compare(
    plan: TuningPlan,
    attempt: AttemptFolder,
    *,
    shards: Path,
    base: Prepared,
    found: catalog.BaseModel,
    tuned: Path,
    measured: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """result.json of the task `evaluate`: scores of base and tuned model, forgetting, answers side by side.

    measured  the tune task's `metrics`. Raises Cancelled when asked to stop.
    """
    device = probe(plan.spec.precision)
    held_out = (shards / "evaluation").is_dir()
    general, training = Shard.open(shards / "forgetting"), Shard.open(shards / "training")
    scored = Shard.open(shards / "evaluation") if held_out else training
    rows = list(range(scored.num_examples)) if held_out else spread(range(training.num_examples), TRAINING_ROWS)
    shown = folder.read_json(shards / SHOWN_FILE)
    questions = [conversation_from_json(example) for example in shown]
    result: dict[str, Any] = {"held_out": "evaluation" if held_out else "training"}
    on_general: list[Score] = []
    answers: list[list[str]] = []
    kinds: dict[str, dict[str, Any]] = {}
    for name, source in (("base", "base"), ("tuned", "best")):
        tell = _teller(attempt, Progress(attempt), name)
        model = load(base.folder, device) if name == "base" else load_tuned(tuned, base, device)
        tokens = _micro_batch_tokens(device, general, training)
        on_general.append(measure(model, general, tokens, _ALONE, tell("general code")))
        if held_out:
            score = measured[source]
        else:
            score = _as_measured(measure(model, training, tokens, _ALONE, tell("training rows"), rows))
        result[name] = {key: score[key] for key in ("loss", "accuracy")}
        renderer = Renderer.open(base.folder, found)
        generator = Generator(model, renderer, plan.context_tokens)
        answers.append(
            generator.answer(questions, max_output_tokens=_MAX_OUTPUT_TOKENS, on_progress=tell("tokens of its answers"))
        )
        if parts := score.get("kinds"):
            close = closeness(generator, renderer, scored, rows, tell("tokens of answers to held-out rows"))
            kinds[name] = {kind: {**parts[kind], **close[kind]._asdict()} for kind in parts}
        del model, generator
    result["forgetting"] = forgetting(*on_general)
    if kinds:
        result["kinds"] = _side_by_side(kinds["base"], kinds["tuned"])
    result["examples"] = [
        {"prompt": c.messages[-1].content, "wanted": example["wanted"], "base": before, "tuned": after}
        for c, example, before, after in zip(questions, shown, *answers, strict=True)
    ]
    return result


def forgetting(base: Score, tuned: Score) -> dict[str, Any]:
    """Change of loss on general code in nats per target, with its interval of two standard errors over rows."""
    change = (tuned.example_nll - base.example_nll).sum() / base.predictions
    # A ratio's standard error: residuals of the rows' changes around the common ratio.
    residuals = (tuned.example_nll - base.example_nll) - change * base.example_targets
    rows = len(residuals)
    error = math.sqrt(rows / (rows - 1) * float(np.square(residuals).sum())) / base.predictions
    return {
        "rows": rows,
        "base_loss": base.loss,
        "tuned_loss": tuned.loss,
        "change": float(change),
        "interval": [float(change - 2 * error), float(change + 2 * error)],
        "base_accuracy": base.accuracy,
        "tuned_accuracy": tuned.accuracy,
    }


def conversation_from_json(value: dict[str, Any]) -> Conversation:
    """A question as data/build.py kept it in SHOWN_FILE: context and messages, without the wanted answer."""
    messages = tuple(Message(m["author"], m["content"], False) for m in value["messages"])
    return Conversation(value["line"], value["kind"], value["context"], messages, None)


def _teller(attempt: AttemptFolder, progress: Progress, model: str) -> Callable[[str], Callable[[int, int], None]]:
    """Makes callbacks that write how far the model is with something, and stop where the attempt is to stop."""

    def tell(what: str) -> Callable[[int, int], None]:
        def on_progress(done: int, total: int) -> None:
            if attempt.stop_requested():
                raise Cancelled(f"stopped while comparing: the {model} model had done {done} of {total} {what}")
            progress.comparing(f"{model} model, {what}", done, total)

        on_progress(0, 0)
        return on_progress

    return tell


def _micro_batch_tokens(device: Device, *shards: Shard) -> int:
    longest = max(int(shard.lengths.max()) for shard in shards)
    return max(longest, cost.MAX_TOKENS_CUDA if device.is_cuda else cost.MAX_TOKENS_CPU)


def _as_measured(score: Score) -> dict[str, Any]:
    """In the form of the tune task's metrics."""
    kinds = {kind: part._asdict() for kind, part in score.kinds.items()}
    return {"loss": score.loss, "accuracy": score.accuracy, "kinds": kinds}


def _side_by_side(base: dict[str, Any], tuned: dict[str, Any]) -> dict[str, Any]:
    """Of each kind: how many rows were scored and how many asked, and the four scores of both models."""
    scores = ("loss", "accuracy", "exact_match", "edit_similarity")
    return {
        kind: {
            "rows": base[kind]["rows"],
            "asked": base[kind]["asked"],
            "base": {name: base[kind][name] for name in scores},
            "tuned": {name: tuned[kind][name] for name in scores},
        }
        for kind in base
    }
