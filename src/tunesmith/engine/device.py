"""Which device this machine has, and in which number format it multiplies: measured on it, not assumed.

On a CPU without native bfloat16 (AVX2 only) bfloat16 matrix products are 8 to 800 times slower than float32 ones, on
one with it 4 times faster; two small products, forward and as a backward pass calls them, tell. A GPU computes in
what is faster. A CPU computes in float32 unless asked: its runs are the exact reference, equal to transformers' and
the same on every machine, and bfloat16 base weights move the loss by 2e-3 (docs/decisions.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]

# 512 x 1024 x 1024: long enough to time (about 6 ms in float32 on two AVX2 cores), short enough to be free.
_ROWS, _WIDTH = 512, 1024
_CLEARLY_FASTER = 1.2


@dataclass(frozen=True, slots=True)
class Device:
    """Where tensors live and in which format weights are multiplied."""

    torch_device: torch.device
    dtype: torch.dtype
    name: str
    peak_flops: float
    """Measured on a matrix product in `dtype`, per second."""
    bfloat16_gain: float
    """How many times as fast as float32 products bfloat16 ones are here."""

    @property
    def is_cuda(self) -> bool:
        return self.torch_device.type == "cuda"

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")


def probe(precision: Precision = "auto", local_rank: int = 0) -> Device:
    """The CUDA device of this rank, else the CPU, computing in the precision asked for.

    auto: float32 on a CPU; on a GPU bfloat16 if its products are at least 1.2 times as fast.
    """
    if torch.cuda.is_available():
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
        name = torch.cuda.get_device_name(device)
    else:
        device = torch.device("cpu")
        name = f"CPU, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    single = product_flops(device, torch.float32)
    half = product_flops(device, torch.bfloat16)
    gain = half / single
    if precision == "bfloat16" or (precision == "auto" and device.type == "cuda" and gain > _CLEARLY_FASTER):
        return Device(device, torch.bfloat16, name, half, gain)
    return Device(device, torch.float32, name, single, gain)


def product_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of the slower of a forward and an input-gradient product."""
    x = torch.ones(_ROWS, _WIDTH, device=device, dtype=dtype)
    weight = torch.ones(_WIDTH, _WIDTH, device=device, dtype=dtype)
    operations = 2 * _ROWS * _WIDTH * _WIDTH
    slowest_s = max(_seconds(lambda: x @ weight.t(), device), _seconds(lambda: x @ weight, device))
    return operations / slowest_s


def _seconds(call: Callable[[], Any], device: torch.device) -> float:
    """Best of three after one warm-up; a format that needs more than 0.2 s for the warm-up is not timed again."""
    first = _once(call, device)
    return first if first > 0.2 else min(_once(call, device) for _ in range(3))


def _once(call: Callable[[], Any], device: torch.device) -> float:
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return max(time.perf_counter() - start, 1e-9)
