"""Loss and token accuracy of a model over a whole shard: the same numbers at every call, on any number of ranks.

Where rows that fill in the middle are among them, these and the others are also scored apart.
"""

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

INSTRUCTION, FIM = "instruction", "fim"
"""The two kinds of rows: those that answer (or talk), and those that fill in the middle."""


class Part(NamedTuple):
    """Over the targets of one kind of rows; as in Score."""

    loss: float
    accuracy: float
    rows: int


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
    kinds: dict[str, Part]
    """Each kind by itself; empty if no row fills in the middle."""


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
    correct = np.zeros(shard.num_examples, dtype=np.int64)
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
        counts = [int(targets[r.index]) for r in group]
        parts = torch.split(loss.nll_N.double().cpu(), counts), torch.split(loss.correct_N.cpu(), counts)
        for row, nll_n, correct_n in zip(group, *parts, strict=True):
            nll[row.index], correct[row.index] = float(nll_n.sum()), int(correct_n.sum())
        done += len(group)
        on_progress(done, len(mine))
    fim = np.array([kind_of(shard, i) == FIM for i in range(shard.num_examples)])
    kinds = {INSTRUCTION: ~fim, FIM: fim} if fim[list(chosen)].any() else {}
    sums = [(math.fsum(nll[those]), float(correct[those].sum())) for those in (fim | True, *kinds.values())]
    summed = ranks.sum([value for pair in sums for value in pair], model.device.torch_device)
    (nll_sum, correct_sum), *apart = zip(summed[::2], summed[1::2], strict=True)
    count = int(targets.sum())
    scored = {
        kind: Part(nll_kind / targets[those].sum(), right / targets[those].sum(), int((targets[those] > 0).sum()))
        for (kind, those), (nll_kind, right) in zip(kinds.items(), apart, strict=True)
        if targets[those].any()
    }
    return Score(nll_sum / count, correct_sum / count, count, nll, targets, scored)


def kind_of(shard: Shard, row: int) -> str:
    """INSTRUCTION or FIM."""
    return FIM if shard.is_fim(row) else INSTRUCTION
