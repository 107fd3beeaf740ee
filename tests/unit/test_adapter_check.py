"""Adapters from outside: plain LoRA in safetensors passes, everything else is refused by name (G75, G76)."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tunesmith import adapter_check
from tunesmith.adapter_check import LAYOUT, WEIGHTS, Layout, check_files, check_weights, read_header, read_layout
from tunesmith.errors import InvalidArgument

GOOD: dict[str, Any] = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "smollm2-135m-instruct",
    "r": 4,
    "lora_alpha": 32,
    "target_modules": ["q_proj", "v_proj"],
    "bias": "none",
    "init_lora_weights": True,
    "auto_mapping": None,
    "loftq_config": {},
    "megatron_core": "megatron.core",
}
Q = "model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    "name", ["adapter_model.bin", "training_args.bin", "optimizer.pt", "x/y.PKL", "model.py", "a.npz"]
)
def test_files_that_run_code_are_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_files({LAYOUT: 100, WEIGHTS: 100, name: 1})
    assert [v.field for v in caught.value.violations] == [name]
    assert "can run code" in caught.value.message


def test_missing_and_too_large_files_are_named_and_others_are_left_out() -> None:
    with pytest.raises(InvalidArgument, match=r"adapter_config\.json: is not there"):
        check_files({WEIGHTS: 1})
    with pytest.raises(InvalidArgument, match="at most 8,589,934,592"):
        check_files({LAYOUT: 1, WEIGHTS: 9 << 30})
    assert check_files({LAYOUT: 1, WEIGHTS: 1, "README.md": 5, "tokenizer.json": 5}) == ["README.md", "tokenizer.json"]


def test_what_peft_writes_passes() -> None:
    layout = read_layout(json.dumps({**GOOD, "rank_pattern": {"q_proj": 8}}).encode())
    assert (layout.base, layout.rank) == ("smollm2-135m-instruct", 8)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("peft_type", "IA3", "must be LORA"),
        ("task_type", "SEQ_CLS", "must be CAUSAL_LM"),
        ("auto_mapping", {"parent_library": "os"}, "names code to run"),
        ("auto_map", {"AutoModel": "x.y"}, "names code to run"),
        ("base_model_name_or_path", "https://evil.example/model", "no address"),
        ("base_model_name_or_path", "hf://org/name", "no address"),
        ("revision", "abc123", "revisions"),
        ("r", 0, "from 1 to 512"),
        ("r", 513, "from 1 to 512"),
        ("r", True, "from 1 to 512"),
        ("r", None, "from 1 to 512"),
        ("rank_pattern", {"q_proj": 100_000}, "from 1 to 512"),
        ("rank_pattern", {"(a+)+$": 4}, "plain names"),
        ("rank_pattern", [1], "must be an object"),
        ("alpha_pattern", {"q_proj": -1}, "above 0"),
        ("lora_alpha", float("inf"), "above 0"),
        ("lora_alpha", "32", "above 0"),
        ("lora_alpha", 10**400, "at most 1,000,000"),
        ("alpha_pattern", {"q_proj": 1e308}, "at most 1,000,000"),
        ("use_rslora", "yes", "true or false"),
        ("lora_dropout", 2, "below 1"),
        ("target_modules", "(a+)+$", "list of names"),
        ("target_modules", [], "list of names"),
        ("target_modules", ["(a+)+$"], "list of names"),
        ("exclude_modules", "(a+)+$", "plain names"),
        ("layers_pattern", "(a+)+$", "plain names"),
        ("layers_to_transform", ["x"], "layers' numbers"),
        ("bias", "all", "must be none"),
        ("use_dora", True, "plain LoRA"),
        ("modules_to_save", ["lm_head"], "plain LoRA"),
        ("trainable_token_indices", [1], "plain LoRA"),
        ("layer_replication", [[0, 2]], "changes the base model"),
        ("init_lora_weights", "pissa", "changes the base model"),
        ("loftq_config", {"loftq_bits": 4}, "is not served"),
        ("a_field_of_tomorrow", 1, "is not served"),
    ],
)
def test_every_other_layout_is_refused_by_its_field(field: str, value: Any, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read_layout(json.dumps({**GOOD, field: value}).encode())
    assert any(v.field.startswith(f"{LAYOUT}: {field}") and words in v.message for v in caught.value.violations)


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"{", b"[" * 100_000, pickle.dumps(GOOD)])
def test_a_layout_that_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match=r"adapter_config\.json"):
        read_layout(data)


def write(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def entry(start: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def test_what_the_safetensors_library_writes_is_read_as_it_reads_it(tmp_path: Path) -> None:
    save_file({"a": np.zeros((2, 3), np.float32), "b": np.zeros(5, np.float16), "c": np.zeros((0, 4))}, tmp_path / "x")
    found = read_header(tmp_path / "x")
    assert {name: (t.dtype, t.shape) for name, t in found.items()} == {
        "a": ("F32", (2, 3)), "b": ("F16", (5,)), "c": ("F64", (0, 4)),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("header", "data", "length", "words"),
    [
        ({}, b"", 1 << 40, "header of 1,099,511,627,776 bytes"),
        ({}, b"", 2**64 - 1, "header of 18,446,744,073,709,551,615 bytes"),
        (pickle.dumps({"a": 1}), b"", None, "not JSON"),
        (b"[]", b"", None, "not a JSON object"),
        (b'{"a": 1, "a": 2}', b"", None, "stands twice"),
        ({"a": 5}, b"", None, "alone"),
        ({"a": {**entry(0, 4, [1]), "more": 1}}, bytes(4), None, "alone"),
        ({"a": entry(0, 4, [-1])}, bytes(4), None, "alone"),
        ({"a": entry(0, 4, [True])}, bytes(4), None, "alone"),
        ({"a": entry(0, 4, [1] * 9)}, bytes(4), None, "alone"),
        ({"a": entry(0, 4, [2])}, bytes(4), None, "has 8 bytes, its place has 4"),
        ({"a": entry(0, 4, [2**31, 2**31, 2**31])}, bytes(4), None, "its place has 4"),
        ({"a": entry(0, 4, [1], "F99")}, bytes(4), None, "unknown type"),
        ({"a": entry(4, 0, [1])}, bytes(4), None, "its place has -4"),
        ({"a": entry(0, 8, [2]), "b": entry(4, 8, [1])}, bytes(8), None, "overlaps"),
        ({"a": entry(0, 4, [1]), "b": entry(0, 4, [1])}, bytes(4), None, "overlaps"),
        ({"a": entry(4, 8, [1])}, bytes(8), None, "leaves a hole"),
        ({"a": entry(0, 4, [1])}, bytes(8), None, "tensors end at byte 4, its data at 8"),
        ({"a": entry(0, 8, [2])}, bytes(4), None, "tensors end at byte 8, its data at 4"),
        ({"__metadata__": {"a": 1}}, b"", None, "texts to texts"),
        ({"__metadata__": 5}, b"", None, "texts to texts"),
    ],
)
def test_a_header_that_lies_is_refused(
    tmp_path: Path, header: Any, data: bytes, length: int | None, words: str
) -> None:
    path = write(tmp_path / WEIGHTS, header, data, length)
    with pytest.raises(InvalidArgument, match=WEIGHTS) as caught:
        read_header(path)
    assert words in caught.value.message


@pytest.mark.parametrize("data", [b"", b"1234567", pickle.dumps({"weights": [1.0] * 100})])
def test_a_file_of_another_kind_with_the_name_of_safetensors_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / WEIGHTS).write_bytes(data)
    with pytest.raises(InvalidArgument, match="is not safetensors"):
        read_header(tmp_path / WEIGHTS)


def test_a_header_of_more_tensors_than_any_adapter_has_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter_check, "MAX_TENSORS", 3)
    path = write(tmp_path / WEIGHTS, {str(i): entry(0, 0, [0]) for i in range(4)})
    with pytest.raises(InvalidArgument, match="has 4 tensors"):
        read_header(path)


def weights(tmp_path: Path, **changes: Any) -> Path:
    """An adapter for one layer of a base whose q_proj is 6 x 8; `changes` replace tensors or, with None, drop them."""
    tensors = {"A": np.zeros((4, 8), np.float32), "B": np.zeros((6, 4), np.float32), **changes}
    names = {f"base_model.model.{Q}.lora_{side}.weight" if side in "AB" else side: t for side, t in tensors.items()}
    save_file({name: tensor for name, tensor in names.items() if tensor is not None}, tmp_path / WEIGHTS)
    base = tmp_path / "base"
    base.mkdir()
    save_file({f"{Q}.weight": np.zeros((6, 8), np.float32)}, base / "model.safetensors")
    return base


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"B": None}, "has lora_A alone"),
        ({"A": np.zeros((4, 9), np.float32)}, "is for [6, 9], and the base model's has [6, 8]"),
        ({"A": np.zeros((3, 8), np.float32)}, "is of rank 3 and 4"),
        ({"A": np.zeros((5, 8), np.float32), "B": np.zeros((6, 5), np.float32)}, "says 4"),
        ({"A": np.zeros((4, 8), np.int32)}, "is not lora_A or lora_B"),
        ({"A": np.zeros((4, 8, 1), np.float32)}, "is not lora_A or lora_B"),
        ({"base_model.model.model.embed_tokens.lora_embedding_A": np.zeros((4, 8), np.float32)}, "is not lora_A"),
        ({"__import__": np.zeros((4, 8), np.float32)}, "is not lora_A"),
    ],
)
def test_weights_that_do_not_fit_layout_or_base_are_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    base = weights(tmp_path, **changes)
    with pytest.raises(InvalidArgument) as caught:
        check_weights(tmp_path / WEIGHTS, Layout(GOOD, "", 4), base)
    assert words in caught.value.message


def test_an_adapter_for_layers_that_the_base_has_not_is_refused(tmp_path: Path) -> None:
    base = weights(tmp_path)
    check_weights(tmp_path / WEIGHTS, Layout(GOOD, "", 4), base)
    other = {f"base_model.model.model.layers.9.self_attn.q_proj.lora_{s}.weight": np.zeros(shape, np.float32)
             for s, shape in (("A", (4, 8)), ("B", (6, 4)))}  # fmt: skip
    save_file(other, tmp_path / WEIGHTS)
    with pytest.raises(InvalidArgument, match=r"no layer model\.layers\.9"):
        check_weights(tmp_path / WEIGHTS, Layout(GOOD, "", 4), base)


def test_an_adapter_without_tensors_is_refused(tmp_path: Path) -> None:
    write(tmp_path / WEIGHTS, {})
    with pytest.raises(InvalidArgument, match="holds no tensor"):
        check_weights(tmp_path / WEIGHTS, Layout(GOOD, "", 4), tmp_path)
