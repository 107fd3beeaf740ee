"""Exact attention over a flat run of examples, registered with transformers under the name FLAT.

A micro-batch is one row [1, T]: its examples one after another, no padding. Each query sees its own example's
earlier keys and nothing else. Where the examples end is passed through the model's forward as `example_lengths`,
which transformers hands on to the attention function of every architecture that uses its attention interface.

Tokens that all examples begin with (a system line, the same instruction) may stand in the run once, before the
first example: `prefix_tokens` of them. They go through every layer once; here each example attends to them as to its
own, so outputs and gradients are those of the run with the prefix repeated.

On a CPU: causal scaled-dot-product attention example by example, so that no block mask is built and no square
of the whole run is computed. On CUDA in half precision: torch's variable-length flash attention, all at once.

Shapes: T tokens of the run, H query heads, K key heads, D head width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface

FLAT = "tunesmith_flat"

_FLASH_DTYPES = (torch.bfloat16, torch.float16)
_FLASH_MAX_HEAD_WIDTH = 256


def register_flat_attention() -> None:
    """Makes FLAT a value of `attn_implementation`; calling it again changes nothing."""
    AttentionInterface.register(FLAT, flat_attention)


def flat_attention(
    module: torch.nn.Module,
    query_1HTD: torch.Tensor,
    key_1KTD: torch.Tensor,
    value_1KTD: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    example_lengths: Sequence[int] | None = None,
    prefix_tokens: int = 0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention output [1, T, H, D], in transformers' calling convention. Dropout is not applied: we train without.

    example_lengths  tokens of each example without the prefix; with the prefix they sum to T. None: one example.
    prefix_tokens    tokens at the run's start that belong to every example.
    sliding_window   a query sees itself and at most sliding_window - 1 tokens before it.
    """
    lengths = [query_1HTD.shape[2]] if example_lengths is None else list(example_lengths)
    longest = prefix_tokens + max(lengths)
    window = sliding_window if sliding_window is not None and longest > sliding_window else None
    if softcap is None and not prefix_tokens and _has_flash(query_1HTD):
        return _flash(query_1HTD, key_1KTD, value_1KTD, lengths, scaling, window), None
    heads_per_key = query_1HTD.shape[1] // key_1KTD.shape[1]
    if heads_per_key > 1:
        key_1KTD = key_1KTD.repeat_interleave(heads_per_key, 1)
        value_1KTD = value_1KTD.repeat_interleave(heads_per_key, 1)
    outputs = []
    parts = [torch.split(t, [prefix_tokens, *lengths], 2) for t in (query_1HTD, key_1KTD, value_1KTD)]
    for number, example in enumerate(zip(*(part[1:] for part in parts), strict=True)):
        query, key, value = (
            torch.cat([part[0], own], 2) if prefix_tokens else own for part, own in zip(parts, example, strict=True)
        )
        output = _attend(query, key, value, scaling, window, softcap)
        # The prefix's own rows see nothing but the prefix: the same in every example, kept from the first.
        outputs.append(output if number == 0 else output[:, :, prefix_tokens:])
    return torch.cat(outputs, 2).transpose(1, 2), None


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    window: int | None,
    softcap: float | None,
) -> torch.Tensor:
    """Causal attention of one example [1, H, T, D]."""
    if softcap is not None:
        return _softcapped(query, key, value, scaling, window, softcap)
    if window is not None and query.shape[2] > window:
        mask = _window_mask(query.shape[2], window, query.device)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
    return F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)


def _has_flash(query: torch.Tensor) -> bool:
    return query.is_cuda and query.dtype in _FLASH_DTYPES and query.shape[-1] <= _FLASH_MAX_HEAD_WIDTH


def _flash(
    query_1HTD: torch.Tensor,
    key_1KTD: torch.Tensor,
    value_1KTD: torch.Tensor,
    lengths: list[int],
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    ends = torch.tensor([0, *lengths], device=query_1HTD.device).cumsum(0).to(torch.int32)
    query, key, value = (t[0].transpose(0, 1).contiguous() for t in (query_1HTD, key_1KTD, value_1KTD))
    output = varlen_attn(
        query,
        key,
        value,
        ends,
        ends,
        max(lengths),
        max(lengths),
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=key.shape[1] != query.shape[1],
    )
    assert isinstance(output, torch.Tensor)
    return output[None]


def _window_mask(length: int, window: int, device: torch.device) -> torch.Tensor:
    """True where a query (row) may look: itself and window - 1 tokens before it."""
    position = torch.arange(length, device=device)
    distance = position[:, None] - position[None, :]
    return (distance >= 0) & (distance < window)


def _softcapped(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    window: int | None,
    softcap: float,
) -> torch.Tensor:
    """Gemma-2's capped scores, spelled out: no kernel of torch has the cap."""
    length = query.shape[2]
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    scores = softcap * torch.tanh(scores / softcap)
    mask = _window_mask(length, window or length, query.device)
    weights = torch.softmax(scores.masked_fill(~mask, float("-inf")), -1, dtype=torch.float32)
    return weights.to(query.dtype) @ value
