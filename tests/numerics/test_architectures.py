"""Every family of the catalog, tiny and of random weights: our flat run equals the model's own padded forward."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tunesmith.engine.device import Device
from tunesmith.engine.model import flat_batch, load

DIMENSIONS = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},  # SmolLM2, DeepSeek-Coder, CodeLlama, Granite code
    "qwen2": {},  # Qwen2.5-Coder
    "qwen3": {"head_dim": 8},
    "starcoder2": {"sliding_window": 8},
    "mistral": {"sliding_window": 8, "head_dim": 8},  # Codestral, with a window shorter than the examples
    "gemma": {"head_dim": 8},  # CodeGemma
    "gemma2": {"head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8},  # capped scores and logits
    "granite": {"logits_scaling": 4.0, "embedding_multiplier": 2.0},
    "cohere": {"logit_scale": 0.25},
}


def make(family: str, extra: dict[str, Any], folder: Path) -> Path:
    settings = transformers.CONFIG_MAPPING[family](**{**DIMENSIONS, **extra})
    torch.manual_seed(5)
    model = transformers.AutoModelForCausalLM.from_config(settings, attn_implementation="eager")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_the_flat_run_equals_the_padded_forward(family: str, tmp_path: Path) -> None:
    folder = make(family, FAMILIES[family], tmp_path / family)
    device = Device(torch.device("cpu"), torch.float32, "cpu", 1.0, 1.0)
    model = load(folder, device)
    own = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
    own.eval()
    lengths = (21, 4, 13)
    examples = [torch.arange(n) * 7 % 90 + 3 for n in lengths]
    padded = torch.nn.utils.rnn.pad_sequence(examples, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones(n, dtype=torch.long) for n in lengths], batch_first=True)
    with torch.no_grad():
        logits = own(input_ids=padded, attention_mask=mask, use_cache=False).logits.float()
        want = torch.cat(
            [
                torch.nn.functional.cross_entropy(logits[i, : n - 1], examples[i][1:], reduction="none")
                for i, n in enumerate(lengths)
            ]
        )
        got = model.targets(flat_batch(examples, [[0] + [1] * (n - 1) for n in lengths])).nll_N
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_an_example_does_not_see_its_neighbours(tmp_path: Path) -> None:
    folder = make("llama", {}, tmp_path / "llama")
    model = load(folder, Device(torch.device("cpu"), torch.float32, "cpu", 1.0, 1.0))
    first, second, other = torch.arange(3, 12), torch.arange(20, 40), torch.arange(50, 59)
    ones = [[0] + [1] * 8, [0] + [1] * 19]
    with torch.no_grad():
        beside_first = model.targets(flat_batch([first, second], ones)).nll_N[8:]
        beside_other = model.targets(flat_batch([other, second], ones)).nll_N[8:]
    assert torch.equal(beside_first, beside_other)


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2"])  # plain, a window shorter than the prefix, capped
def test_a_common_prefix_computed_once_changes_neither_loss_nor_gradients(family: str, tmp_path: Path) -> None:
    folder = make(family, FAMILIES[family], tmp_path / family)
    model = load(folder, Device(torch.device("cpu"), torch.float32, "cpu", 1.0, 1.0))
    model.causal_lm.requires_grad_(True)
    prefix = torch.arange(11) * 5 % 90 + 3
    examples = [torch.cat([prefix, torch.arange(n) * 7 % 90 + 3 + i]) for i, n in enumerate((9, 14, 6))]
    weights = [[0] * 13 + [1] * (len(tokens) - 13) for tokens in examples]
    shared = flat_batch(examples, weights)
    assert shared.prefix_tokens == 11
    assert shared.num_tokens == sum(map(len, examples))
    alone = [flat_batch([tokens], [weight]) for tokens, weight in zip(examples, weights, strict=True)]
    assert {batch.prefix_tokens for batch in alone} == {0}
    want, got = (_loss_and_gradients(model, batches) for batches in (alone, [shared]))
    torch.testing.assert_close(got[0], want[0], rtol=1e-5, atol=1e-5)
    for name in want[1]:
        torch.testing.assert_close(got[1][name], want[1][name], rtol=1e-3, atol=1e-4)


def _loss_and_gradients(model: Any, batches: list[Any]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.causal_lm.zero_grad(set_to_none=True)
    nll = []
    for batch in batches:
        loss = model.targets(batch)
        loss.nll_sum.backward()
        nll.append(loss.nll_N)
    return torch.cat(nll), {
        name: parameter.grad.clone()
        for name, parameter in model.causal_lm.named_parameters()
        if parameter.grad is not None
    }


def test_a_row_that_predicts_a_target_is_never_in_the_prefix() -> None:
    tokens = [torch.arange(20), torch.arange(20)]
    batch = flat_batch(tokens, [[0] * 12 + [1] * 8, [0] * 15 + [1] * 5])
    assert batch.prefix_tokens == 11
    assert min(batch.rows_N.tolist()) >= batch.prefix_tokens
    assert batch.targets_N.tolist() == [*range(12, 20), *range(15, 20)]
