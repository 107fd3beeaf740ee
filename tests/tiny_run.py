"""A whole run of the engine on the tiny model, in about a second: shards of made-up rows, a plan, an attempt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith import catalog, folder
from tunesmith.data.pack import write_shard
from tunesmith.data.render import Rendered
from tunesmith.engine.model import Prepared
from tunesmith.engine.train import TrainResult, train
from tunesmith.folder import AttemptFolder
from tunesmith.spec import TuningPlan, TuningSpec, resolve

VOCABULARY = 512


def make_rows(count: int, seed: int, longest: int = 40) -> list[Rendered]:
    """Rows of random tokens with a pattern to learn: the answer repeats the prompt's tokens, one higher."""
    random = np.random.default_rng(seed)
    rows = []
    for line in range(1, count + 1):
        prompt = random.integers(10, 120, size=int(random.integers(3, longest // 2)))
        answer = np.concatenate([prompt + 1, [2]])
        tokens = np.concatenate([prompt, answer]).astype(np.int32)
        weights = np.array([0] * len(prompt) + [1] * len(answer), dtype=np.uint8)
        rows.append(Rendered(line=line, tokens=tokens, weights=weights, prompt_tokens=len(prompt)))
    return rows


def make_shards(
    target: Path, *, rows: Sequence[Rendered] | None = None, evaluation: int = 12, replay: int = 0, examples: int = 40
) -> Path:
    """A shards folder as data/build.py leaves it."""
    with folder.sealed(target) as temporary:
        write_shard(temporary / "training", rows or make_rows(examples, seed=1))
        write_shard(temporary / "forgetting", make_rows(10, seed=9))
        if evaluation:
            write_shard(temporary / "evaluation", make_rows(evaluation, seed=2))
        if replay:
            write_shard(temporary / "replay", make_rows(replay, seed=3))
    return target


def make_plan(base: Path, **fields: Any) -> TuningPlan:
    """A plan over the tiny model; evaluation fields are kept only if evaluation_data is given."""
    spec = TuningSpec.parse({"dataset": "train.jsonl", "base_model": str(base), **fields})
    return resolve(spec, catalog.find(spec.base_model, {}, base.parent))


def prepared(base: Path) -> Prepared:
    return Prepared(base, "0" * 64, "tiny")


def run(
    plan: TuningPlan, base: Path, shards: Path, attempt: Path, earlier: Sequence[Path] = ()
) -> tuple[TrainResult, AttemptFolder]:
    """One attempt, to its end."""
    place = AttemptFolder(attempt)
    result = train(plan, place, shards=shards, base=prepared(base), earlier=[AttemptFolder(path) for path in earlier])
    return result, place


def adapter_bytes(attempt: Path) -> bytes:
    return (attempt / "out" / "adapter" / "adapter_model.safetensors").read_bytes()


def train_lines(attempt: Path) -> list[dict[str, Any]]:
    """The metrics lines of training steps, in the file's order, without times."""
    lines = [line for line in folder.read_jsonl(attempt / "metrics.jsonl") if "train_total_loss" in line]
    return [{k: v for k, v in line.items() if k not in ("wall_time", "tokens_per_s")} for line in lines]
