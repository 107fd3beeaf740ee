"""Which examples make up a step, and how they become micro-batches on a device.

The order is a pure function of seed, number of examples and step: each epoch is a permutation drawn from
(seed, epoch), epochs follow one another without a gap, and step s takes the next `batch_size` examples, across the
border of two epochs if need be (S54: examples seen = steps x batch size). So a position is one number, the step,
and a resumed run sees the same data in the same order. Replayed rows have an order of their own and come on top.

A micro-batch is a flat run of whole examples of at most `micro_batch_tokens`; a longer example is one by itself.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tunesmith.data.pack import Shard
from tunesmith.engine.model import FlatBatch, flat_batch

_REPLAY_STREAM = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One example of a step: where it lies, and whether it is the user's or a replayed one."""

    index: int
    replayed: bool


@dataclass(frozen=True, slots=True)
class Batches:
    """The steps of one run over its shards, seen from one rank of `num_ranks`."""

    training: Shard
    replay: Shard | None
    batch_size: int
    replay_rows: int
    seed: int
    rank: int = 0
    num_ranks: int = 1

    def rows(self, step: int) -> list[Row]:
        """The global batch of a step (from 1): the user's examples, then the replayed ones."""
        rows = [Row(i, False) for i in order(self.training.num_examples, self.batch_size, self.seed, step)]
        if self.replay is not None and self.replay_rows:
            picked = order(self.replay.num_examples, self.replay_rows, self.seed, step, _REPLAY_STREAM)
            rows += [Row(i, True) for i in picked]
        return rows

    def lines(self, step: int) -> list[int]:
        """Line numbers of the user's examples of a step, for messages."""
        return [self.training.line(row.index) for row in self.rows(step) if not row.replayed]

    def num_targets(self, step: int) -> int:
        """Targets of the global batch, replayed ones included: the loss's denominator, the same on every rank."""
        return sum(int(np.count_nonzero(self._shard(row).weights(row.index)[1:])) for row in self.rows(step))

    def longest(self, step: int) -> int:
        """Tokens of the step's longest example."""
        return max(self._length(row) for row in self.rows(step))

    def of(self, step: int, micro_batch_tokens: int, device: torch.device) -> list[FlatBatch]:
        """This rank's micro-batches of a step."""
        mine = deal(self.rows(step), [self._length(row) for row in self.rows(step)], self.num_ranks)[self.rank]
        groups = fill(mine, [self._length(row) for row in mine], micro_batch_tokens)
        return [self._flat(group, device) for group in groups]

    def _flat(self, rows: Sequence[Row], device: torch.device) -> FlatBatch:
        tokens = [torch.from_numpy(self._shard(r).tokens(r.index).astype(np.int64)).to(device) for r in rows]
        weights = [self._shard(r).weights(r.index).tolist() for r in rows]
        return flat_batch(tokens, weights, [not r.replayed for r in rows])

    def _shard(self, row: Row) -> Shard:
        shard = self.replay if row.replayed else self.training
        assert shard is not None
        return shard

    def _length(self, row: Row) -> int:
        return int(self._shard(row).lengths[row.index])


def order(num_examples: int, batch_size: int, seed: int, step: int, stream: int = 0) -> list[int]:
    """Indices of the `batch_size` examples of a step (from 1)."""
    first = (step - 1) * batch_size
    return [
        int(_permutation(num_examples, seed, position // num_examples, stream)[position % num_examples])
        for position in range(first, first + batch_size)
    ]


def deal(rows: Sequence[Row], lengths: Sequence[int], num_ranks: int) -> list[list[Row]]:
    """The rows of each rank: longest first, each to the rank with the fewest tokens so far."""
    hands: list[list[tuple[int, Row]]] = [[] for _ in range(num_ranks)]
    tokens = [0] * num_ranks
    for position in sorted(range(len(rows)), key=lambda i: (-lengths[i], i)):
        rank = tokens.index(min(tokens))
        hands[rank].append((position, rows[position]))
        tokens[rank] += lengths[position]
    return [[row for _, row in sorted(hand)] for hand in hands]


def fill(rows: Sequence[Row], lengths: Sequence[int], micro_batch_tokens: int) -> list[list[Row]]:
    """The rows in order, cut into groups of at most that many tokens."""
    groups: list[list[Row]] = []
    tokens = 0
    for row, length in zip(rows, lengths, strict=True):
        if not groups or tokens + length > micro_batch_tokens:
            groups.append([])
            tokens = 0
        groups[-1].append(row)
        tokens += length
    return groups


@functools.lru_cache(maxsize=8)
def _permutation(num_examples: int, seed: int, epoch: int, stream: int) -> np.ndarray:
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch, stream])))
    return generator.permutation(num_examples)
