"""Several processes as one: each rank computes its share of a step's examples, and gradients and sums are added up.

Every rank holds the whole model; the loss's denominator is known to all before the step, so a plain sum of the
ranks' gradients is the gradient of the global batch, whatever each rank's share. One process is the same code with
nothing to add. Started by torchrun (ranks.py), which sets the environment that `join` reads.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist

# Gradients are added in runs of this many bytes: one message each, large enough to fill any link.
_BUCKET_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process's place among the processes of the run."""

    rank: int
    num_ranks: int
    local_rank: int

    @property
    def is_first(self) -> bool:
        """The rank that writes files."""
        return self.rank == 0

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replaces each gradient by its sum over the ranks."""
        if self.num_ranks == 1:
            return
        gradients = [p.grad if p.grad is not None else _zero_gradient(p) for p in parameters]
        for bucket in _buckets(gradients):
            flat = torch.cat([g.reshape(-1) for g in bucket])
            dist.all_reduce(flat)
            for gradient, part in zip(bucket, torch.split(flat, [g.numel() for g in bucket]), strict=True):
                gradient.copy_(part.view_as(gradient))

    def sum(self, values: Sequence[float], device: torch.device) -> list[float]:
        """Element-wise sums over the ranks."""
        if self.num_ranks == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(tensor)
        return [float(v) for v in tensor]

    def any(self, value: bool, device: torch.device) -> bool:
        """Whether it is true on any rank; the same answer on all."""
        return self.sum([float(value)], device)[0] > 0

    def barrier(self) -> None:
        if self.num_ranks > 1:
            dist.barrier()


def launched() -> bool:
    """Whether torchrun started this process."""
    return "WORLD_SIZE" in os.environ


def join() -> Ranks:
    """Joins the process group that the environment describes; alone if it describes none."""
    if not launched() or int(os.environ["WORLD_SIZE"]) == 1:
        return Ranks(0, 1, 0)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return Ranks(dist.get_rank(), dist.get_world_size(), int(os.environ["LOCAL_RANK"]))


def leave() -> None:
    """Ends the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _zero_gradient(parameter: torch.nn.Parameter) -> torch.Tensor:
    parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def _buckets(gradients: Sequence[torch.Tensor]) -> list[list[torch.Tensor]]:
    buckets: list[list[torch.Tensor]] = []
    filled = 0
    for gradient in gradients:
        size = gradient.numel() * gradient.element_size()
        if not buckets or filled + size > _BUCKET_BYTES or buckets[-1][0].dtype != gradient.dtype:
            buckets.append([])
            filled = 0
        buckets[-1].append(gradient)
        filled += size
    return buckets
