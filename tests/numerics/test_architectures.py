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
