"""What a job will cost on this machine, from the model's dimensions and two timed matrix products. Loads no weights.

Work per token of tuning (multiply-adds counted as two): with adapters 4 per weight of the linear layers (forward and
input gradient) and 6 per adapter weight; with all weights 6. The head costs 4 (or 6) per weight on target tokens only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol

from tunesmith.engine import memory
from tunesmith.engine.device import Device, probe
from tunesmith.spec import TuningPlan

# Share of the measured matrix-product speed that whole steps reach (0.5 to 0.7 on CPUs with examples of 50 to 500
# tokens; attention, norms and copies take the rest).
_EFFICIENCY = 0.55
_START_S = 25.0
"""Loading the model and its libraries in three tasks, writing the result, three answers."""


class Survey(Protocol):
    """What data/build.py counted."""

    @property
    def examples(self) -> int: ...
    @property
    def tokens(self) -> int: ...
    @property
    def target_tokens(self) -> int: ...
    @property
    def longest(self) -> int: ...
    @property
    def evaluation_tokens(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Estimate:
    """Expected cost of a job."""

    seconds: float
    memory_bytes: int
    tokens_per_s: float
    device: str
    dtype: str
    bfloat16_gain: float
    """How many times as fast products in bfloat16 would be; 1 or less where it is no gain or in use already."""


@dataclass(frozen=True, slots=True)
class Dimensions:
    """What the work and the memory depend on."""

    linear_weights: int
    """In all linear layers but the head."""
    head_weights: int
    adapter_weights_per_rank: int
    layers: int
    width: int
    mlp_width: int


def estimate(plan: TuningPlan, base_folder: Path, survey: Survey) -> Estimate:
    """Time and memory of the whole job. Times are wall seconds on this machine while nothing else runs on it."""
    device = probe(plan.spec.precision)
    dimensions = read_dimensions(base_folder)
    target_share = survey.target_tokens / survey.tokens
    tokens_per_s = _EFFICIENCY * device.peak_flops / flops_per_token(plan, dimensions, target_share)
    mean_tokens = survey.tokens / survey.examples
    trained = plan.spec.train_steps * (plan.batch_size + plan.replay_rows) * mean_tokens
    # Evaluation is a forward pass alone: half of adapter tuning's work, a third of full tuning's.
    evaluations = plan.spec.train_steps // plan.evaluation_interval + 2 if survey.evaluation_tokens else 0
    forward_share = 1 / 3 if plan.adapter is None else 1 / 2
    work = trained + forward_share * evaluations * survey.evaluation_tokens
    return Estimate(
        seconds=_START_S + work / tokens_per_s,
        memory_bytes=_memory_bytes(plan, dimensions, device, survey.longest),
        tokens_per_s=tokens_per_s,
        device=device.name,
        dtype=device.dtype_name,
        bfloat16_gain=device.bfloat16_gain if device.dtype_name == "float32" else 1.0,
    )


def flops_per_token(plan: TuningPlan, dimensions: Dimensions, target_share: float) -> float:
    """Operations of forward and backward pass for one token of the data."""
    head = dimensions.head_weights * target_share
    if plan.adapter is None:
        return 6 * (dimensions.linear_weights + head)
    adapters = dimensions.adapter_weights_per_rank * plan.adapter.rank
    return 4 * (dimensions.linear_weights + head) + 6 * adapters


def read_dimensions(base_folder: Path) -> Dimensions:
    """The dimensions in a model folder's config.json, for decoder layers of the usual form."""
    facts = json.loads((base_folder / "config.json").read_text("utf-8"))
    facts = facts.get("text_config", facts)
    width, layers, heads = facts["hidden_size"], facts["num_hidden_layers"], facts["num_attention_heads"]
    head_width = facts.get("head_dim") or width // heads
    key_heads = facts.get("num_key_value_heads") or heads
    mlp = facts.get("intermediate_size") or 4 * width
    # Gated MLPs have three matrices; GPT-like ones (StarCoder2, GPTBigCode) two.
    mlp_matrices = 2 if facts["model_type"] in ("starcoder2", "gpt_bigcode", "gpt_neox", "gpt2", "phi") else 3
    query, key = heads * head_width, key_heads * head_width
    shapes = [(width, query), (width, key), (width, key), (query, width)] + [(width, mlp)] * mlp_matrices
    return Dimensions(
        linear_weights=layers * sum(rows * columns for rows, columns in shapes),
        head_weights=facts["vocab_size"] * width,
        adapter_weights_per_rank=layers * sum(rows + columns for rows, columns in shapes),
        layers=layers,
        width=width,
        mlp_width=mlp,
    )


def _memory_bytes(plan: TuningPlan, dimensions: Dimensions, device: Device, longest: int) -> int:
    settings = SimpleNamespace(
        hidden_size=dimensions.width, num_hidden_layers=dimensions.layers, intermediate_size=dimensions.mlp_width
    )
    most = memory.MAX_TOKENS_CUDA if device.is_cuda else memory.MAX_TOKENS_CPU
    tokens = max(plan.spec.micro_batch_tokens or most, longest)
    activations = tokens * memory.activation_bytes_per_token(settings, device.dtype)
    weights = dimensions.linear_weights + dimensions.head_weights
    libraries = 600 << 20
    if plan.adapter is None:
        return libraries + activations + 16 * weights  # float32 weight, gradient and two averages
    trained = dimensions.adapter_weights_per_rank * plan.adapter.rank
    return libraries + activations + weights * device.dtype.itemsize + 16 * trained
