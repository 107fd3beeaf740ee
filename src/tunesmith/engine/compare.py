"""What tuning changed, base against tuned: on the held-out rows, on general code, and in three answers side by side.

Forgetting is the change of loss on fixed general code (rows of this machine's own standard library that no job is
ever trained on). Its interval is over rows, paired: mean of (tuned - base) per target, two standard errors each way.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith import catalog, folder
from tunesmith.data.formats import Conversation, Message
from tunesmith.data.pack import Shard
from tunesmith.data.render import Renderer
from tunesmith.engine import memory
from tunesmith.engine.adapters import load_tuned
from tunesmith.engine.device import Device, probe
from tunesmith.engine.generate import Generator
from tunesmith.engine.measure import Score, measure
from tunesmith.engine.model import LanguageModel, Prepared, load
from tunesmith.engine.parallel import Ranks
from tunesmith.engine.progress import Progress
from tunesmith.folder import AttemptFolder
from tunesmith.spec import TuningPlan

SHOWN_FILE = "shown.json"
_MAX_OUTPUT_TOKENS = 256
_ALONE = Ranks(0, 1, 0)


def compare(
    plan: TuningPlan, attempt: AttemptFolder, *, shards: Path, base: Prepared, found: catalog.BaseModel, tuned: Path
) -> dict[str, Any]:
    """result.json of the task `evaluate`: scores of base and tuned model, forgetting, answers side by side."""
    progress = Progress(attempt)
    device = probe(plan.spec.precision)
    held_out = _held_out(shards)
    general = Shard.open(shards / "forgetting")
    shown = folder.read_json(shards / SHOWN_FILE)
    conversations = [conversation_from_json(example) for example in shown]
    result: dict[str, Any] = {"held_out": "evaluation" if (shards / "evaluation").is_dir() else "training"}
    scores: dict[str, tuple[Score, Score]] = {}
    answers: dict[str, list[str]] = {}
    for name in ("base", "tuned"):
        progress.say(f"measuring the {name} model")
        model = load(base.folder, device) if name == "base" else load_tuned(tuned, base, device)
        scores[name] = _scores(model, device, held_out, general)
        generator = Generator(model, Renderer.open(base.folder, found), plan.context_tokens)
        answers[name] = generator.answer(conversations, max_output_tokens=_MAX_OUTPUT_TOKENS)
        del model, generator
    for name, (score, _) in scores.items():
        result[name] = {"loss": score.loss, "accuracy": score.accuracy, "predictions": score.predictions}
    result["forgetting"] = forgetting(scores["base"][1], scores["tuned"][1])
    result["examples"] = [
        {"prompt": c.messages[-1].content, "wanted": example["wanted"], "base": before, "tuned": after}
        for c, example, before, after in zip(conversations, shown, answers["base"], answers["tuned"], strict=True)
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


def _held_out(shards: Path) -> Shard:
    """The evaluation rows; without any the training rows, and the result says so."""
    evaluation = shards / "evaluation"
    return Shard.open(evaluation if evaluation.is_dir() else shards / "training")


def _scores(model: LanguageModel, device: Device, held_out: Shard, general: Shard) -> tuple[Score, Score]:
    longest = int(max(held_out.lengths.max(), general.lengths.max()))
    tokens = max(longest, memory.MAX_TOKENS_CUDA if device.is_cuda else memory.MAX_TOKENS_CPU)
    return measure(model, held_out, tokens, _ALONE), measure(model, general, tokens, _ALONE)
