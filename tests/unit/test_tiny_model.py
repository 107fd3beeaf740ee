"""The tiny model of the tests is the same every time and is a model that transformers loads."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tiny_model import FIM_TOKENS, make_tiny_model


def _hashes(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


@pytest.mark.parametrize("fim", [False, True])
def test_same_seed_same_bytes(tmp_path: Path, fim: bool) -> None:
    assert _hashes(make_tiny_model(tmp_path / "a", fim=fim)) == _hashes(make_tiny_model(tmp_path / "b", fim=fim))


def test_another_seed_other_weights_same_tokenizer(tmp_path: Path) -> None:
    a, b = _hashes(make_tiny_model(tmp_path / "a")), _hashes(make_tiny_model(tmp_path / "b", seed=1))
    assert a["model.safetensors"] != b["model.safetensors"]
    assert a["tokenizer.json"] == b["tokenizer.json"]


def test_transformers_loads_it_and_it_computes(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = make_tiny_model(tmp_path / "tiny", fim=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], return_dict=False)
    with torch.no_grad():
        loss = model(torch.tensor([ids]), labels=torch.tensor([ids])).loss
    assert 4 < float(loss) < 9, "a model that knows nothing is about as wrong as ln(512) = 6.2"
    assert tokenizer.convert_tokens_to_ids(FIM_TOKENS[0]) >= 512
