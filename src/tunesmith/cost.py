"""What a job will cost on a machine, by arithmetic: the model's dimensions, the data's tokens, the machine's speed.

Measures nothing and loads no weights: engine/estimate.py measures. So the server can reckon too, which loads no torch.
Work per token of tuning (multiply-adds counted as two): with adapters 4 per weight of the linear layers (forward and
input gradient) and 6 per adapter weight; with all weights 6. The head costs 4 (or 6) per weight on target tokens only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from tunesmith.spec import TuningPlan

# More than this brings no speed, only memory: products of 1,024 rows run at a CPU's peak.
MAX_TOKENS_CPU, MAX_TOKENS_CUDA = 1024, 32_768
# Share of the measured matrix-product speed that whole steps reach (0.5 to 0.7 on CPUs with examples of 50 to 500
# tokens; attention, norms and copies take the rest).
_EFFICIENCY = 0.55
_START_S = 25.0
"""Loading the model and its libraries in three tasks, writing the result, three answers."""
_LIBRARY_BYTES = 600 << 20
_HIDDEN_VALUES, _MLP_VALUES = 14, 6
_ITEM_BYTES = {"float32": 4, "bfloat16": 2}


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


class Counts(NamedTuple):
    """A Survey as it comes back from another process."""

    examples: int
    tokens: int
    target_tokens: int
    longest: int
    evaluation_tokens: int


@dataclass(frozen=True, slots=True)
class Machine:
    """What a job runs on, as it was measured there."""

    name: str
    dtype: Literal["float32", "bfloat16"]
    """In which weights are multiplied."""
    is_cuda: bool
    peak_flops: float
    """Of a matrix product in that format, per second."""
    bfloat16_gain: float
    """How many times as fast as float32 products bfloat16 ones are there."""
    memory_bytes: int
    """Of the device."""


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


def estimate(plan: TuningPlan, dimensions: Dimensions, survey: Survey, machine: Machine) -> Estimate:
    """Time and memory of the whole job. Times are wall seconds on that machine while nothing else runs on it."""
    target_share = survey.target_tokens / survey.tokens
    tokens_per_s = _EFFICIENCY * machine.peak_flops / flops_per_token(plan, dimensions, target_share)
    mean_tokens = survey.tokens / survey.examples
    trained = plan.spec.train_steps * (plan.batch_size + plan.replay_rows) * mean_tokens
    # Evaluation is a forward pass alone: half of adapter tuning's work, a third of full tuning's.
    evaluations = plan.spec.train_steps // plan.evaluation_interval + 2 if survey.evaluation_tokens else 0
    forward_share = 1 / 3 if plan.adapter is None else 1 / 2
    work = trained + forward_share * evaluations * survey.evaluation_tokens
    return Estimate(
        seconds=_START_S + work / tokens_per_s,
        memory_bytes=memory_bytes(plan, dimensions, survey.longest, machine),
        tokens_per_s=tokens_per_s,
        device=machine.name,
        dtype=machine.dtype,
        bfloat16_gain=machine.bfloat16_gain if machine.dtype == "float32" else 1.0,
    )


def flops_per_token(plan: TuningPlan, dimensions: Dimensions, target_share: float) -> float:
    """Operations of forward and backward pass for one token of the data."""
    head = dimensions.head_weights * target_share
    if plan.adapter is None:
        return 6 * (dimensions.linear_weights + head)
    adapters = dimensions.adapter_weights_per_rank * plan.adapter.rank
    return 4 * (dimensions.linear_weights + head) + 6 * adapters


def memory_bytes(plan: TuningPlan, dimensions: Dimensions, longest: int, machine: Machine) -> int:
    """At the peak of a step whose micro-batch is as large as it may be; `longest`: tokens of the longest example."""
    most = MAX_TOKENS_CUDA if machine.is_cuda else MAX_TOKENS_CPU
    tokens = max(plan.spec.micro_batch_tokens or most, longest)
    item_bytes = _ITEM_BYTES[machine.dtype]
    activations = tokens * activation_bytes(dimensions.layers, dimensions.width, dimensions.mlp_width, item_bytes)
    weights = dimensions.linear_weights + dimensions.head_weights
    if plan.adapter is None:
        return _LIBRARY_BYTES + activations + 16 * weights  # float32 weight, gradient and two averages
    trained = dimensions.adapter_weights_per_rank * plan.adapter.rank
    return _LIBRARY_BYTES + activations + weights * item_bytes + 16 * trained


def activation_bytes(layers: int, width: int, mlp_width: int, item_bytes: int) -> int:
    """Bytes that one token of a micro-batch keeps for the backward pass."""
    return int(layers * (_HIDDEN_VALUES * width + _MLP_VALUES * mlp_width) * item_bytes)


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
