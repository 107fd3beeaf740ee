"""Loss and token accuracy of a model over a whole shard: the same numbers at every call, on any number of ranks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from tunesmith.data.pack import Shard
from tunesmith.engine.batches import Row, deal, fill
from tunesmith.engine.model import LanguageModel, flat_batch
from tunesmith.engine.parallel import Ranks


class Score(NamedTuple):
    """Over all targets of a shard."""

    loss: float
    """Nats per target."""
    accuracy: float
    """Share of targets that were the most likely token."""
    predictions: int
    """Number of targets."""
    example_nll: np.ndarray
    """Per example: sum of -log p of its targets. On several ranks: this rank's, zeros elsewhere."""
    example_targets: np.ndarray


@torch.no_grad()
def measure(
    model: LanguageModel,
    shard: Shard,
    micro_batch_tokens: int,
    ranks: Ranks,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    examples: Sequence[int] | None = None,
) -> Score:
    """The score over every example of the shard, or over these. Each rank computes its share; the sums are added.

    on_progress  is told after each micro-batch how many of how many examples are done; may raise to stop.
    """
    chosen = range(shard.num_examples) if examples is None else examples
    rows = [Row(i, False) for i in chosen]
    mine = deal(rows, [int(n) for n in shard.lengths], ranks.num_ranks)[ranks.rank]
    nll = np.zeros(shard.num_examples)
    correct = 0
    targets = np.zeros(shard.num_examples, dtype=np.int64)
    for i in chosen:
        targets[i] = np.count_nonzero(shard.weights(i)[1:])
    done = 0
    for group in fill(mine, [int(shard.lengths[r.index]) for r in mine], micro_batch_tokens):
        tokens = [torch.from_numpy(shard.tokens(r.index).astype(np.int64)) for r in group]
        batch = flat_batch(
            [t.to(model.device.torch_device) for t in tokens], [shard.weights(r.index).tolist() for r in group]
        )
        loss = model.targets(batch)
        parts = torch.split(loss.nll_N.double().cpu(), [int(targets[r.index]) for r in group])
        for row, part in zip(group, parts, strict=True):
            nll[row.index] = float(part.sum())
        correct += int(loss.correct_N.sum())
        done += len(group)
        on_progress(done, len(mine))
    nll_sum, correct_sum = ranks.sum([math.fsum(nll), float(correct)], model.device.torch_device)
    count = int(targets.sum())
    return Score(nll_sum / count, correct_sum / count, count, nll, targets)
