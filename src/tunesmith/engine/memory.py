"""How many tokens are computed at once, so that a step fits the memory of its device, and what to say when it does not.

What a step keeps for its backward pass grows with the tokens of a micro-batch alone: about 14 values of the hidden
width and 6 of the MLP's width per layer and token (measured on Llama-like models with adapters on all linear layers).
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tunesmith import cost
from tunesmith.cost import MAX_TOKENS_CPU, MAX_TOKENS_CUDA
from tunesmith.engine.device import Device
from tunesmith.spec import TuningPlan

if TYPE_CHECKING:
    from tunesmith.engine.adapters import Trainable

# Names and numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP_BYTES = 1 << 30
_MIN_TOKENS = 256
_SHARE = 0.5


def micro_batch_tokens(plan: TuningPlan, trainable: Trainable, device: Device, longest: int) -> int:
    """The plan's own figure, else what half of the free memory holds. Turns on recomputation if `longest` needs it."""
    if plan.spec.micro_batch_tokens is not None:
        return plan.spec.micro_batch_tokens
    settings = trainable.model.causal_lm.config.get_text_config()
    optimizer_bytes = 12 * trainable.num_parameters  # two averages and a gradient, float32
    room = _SHARE * max(free_bytes(device) - optimizer_bytes, 0)
    fits = int(room / activation_bytes_per_token(settings, device.dtype))
    if fits < longest:
        trainable.model.causal_lm.gradient_checkpointing_enable({"use_reentrant": False})
        trainable.model.causal_lm.train()  # recomputation is off in eval mode; there is no dropout to switch on
        _without_dropout(trainable.model.causal_lm)
        fits = max(fits, longest)
    return min(max(fits, _MIN_TOKENS), MAX_TOKENS_CUDA if device.is_cuda else MAX_TOKENS_CPU)


def keep_freed_memory() -> None:
    """Has the C library keep what large tensors free, instead of giving it back and asking for it anew in every layer.

    Page faults were 6 % of a step on a CPU. Another C library than glibc is left alone: it costs nothing but time.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)


def activation_bytes_per_token(settings: Any, dtype: torch.dtype) -> int:
    """Bytes that one token of a micro-batch keeps for the backward pass."""
    width, layers = settings.hidden_size, settings.num_hidden_layers
    mlp = getattr(settings, "intermediate_size", None) or 4 * width
    return cost.activation_bytes(layers, width, mlp, dtype.itemsize)


def free_bytes(device: Device) -> int:
    """Memory of the device that nobody uses now."""
    if device.is_cuda:
        free, _ = torch.cuda.mem_get_info(device.torch_device)
        return int(free)
    return available_host_bytes()


def available_host_bytes() -> int:
    """What the kernel says programs can still get (MemAvailable), within this process's control group's limit."""
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def host_bytes() -> int:
    """The machine's memory, or less where a control group sets a limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text("ascii").strip() if limit.is_file() else "max"
    return min(total, int(text)) if text.isdecimal() else total


def message(step: int, longest: int, device: Device) -> str:
    """What to tell somebody whose longest example does not fit."""
    return (
        f"out of memory at step {step} on {device.name}: its longest example has {longest:,} tokens and does not fit "
        "even alone. Shorten that row, lower max_context_length, or use a smaller base model or tuning_method lora"
    )


def _without_dropout(model: torch.nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "attention_dropout"):
            setattr(module, "attention_dropout", 0.0)  # noqa: B010 - not a field of torch's Module
