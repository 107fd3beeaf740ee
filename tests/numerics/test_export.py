"""Merged equals adapter, and an export is proven or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tiny_run import make_plan, make_rows, prepared, run
from tunesmith import catalog
from tunesmith.engine.adapters import load_tuned
from tunesmith.engine.device import Device
from tunesmith.engine.export import export
from tunesmith.engine.model import flat_batch
from tunesmith.errors import AlreadyExists, DataLoss, InvalidArgument

CPU = Device(torch.device("cpu"), torch.float32, "cpu", 1.0, 1.0)


@pytest.fixture(scope="module")
def tuned(base: Path, shards: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A registry-like folder of each method: it holds adapter/ or model/."""
    found = {}
    for method in ("lora", "full"):
        attempt = tmp_path_factory.mktemp(method)
        run(make_plan(base, train_steps=12, tuning_method=method), base, shards, attempt)
        found[method] = attempt / "out"
    return found


def test_merged_equals_adapter(base: Path, tuned: dict[str, Path], tmp_path: Path) -> None:
    facts = catalog.from_folder(base)
    export(tuned["lora"], prepared(base), facts, "merged", tmp_path / "merged")
    rows = make_rows(6, seed=8)
    batch = flat_batch([torch.from_numpy(r.tokens).long() for r in rows], [r.weights.tolist() for r in rows])
    with torch.no_grad():
        beside = load_tuned(tuned["lora"] / "adapter", prepared(base), CPU).targets(batch).nll_N
        merged = load_tuned(tmp_path / "merged", prepared(base), CPU).targets(batch).nll_N
    torch.testing.assert_close(merged, beside, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("method", "form"), [("lora", "peft"), ("lora", "merged"), ("full", "merged")])
def test_an_export_carries_its_proof(
    base: Path, tuned: dict[str, Path], tmp_path: Path, method: str, form: str
) -> None:
    proof = export(tuned[method], prepared(base), catalog.from_folder(base), form, tmp_path / "out")
    assert proof["equal"] == proof["prompts"] > 0
    assert (tmp_path / "out" / "proof.json").is_file()


def test_a_full_model_has_no_adapter_to_export(base: Path, tuned: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="has no adapter"):
        export(tuned["full"], prepared(base), catalog.from_folder(base), "peft", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_export_overwrites_nothing(base: Path, tuned: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(AlreadyExists, match="not empty"):
        export(tuned["lora"], prepared(base), catalog.from_folder(base), "peft", tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_a_damaged_adapter_is_not_exported(base: Path, tuned: dict[str, Path], tmp_path: Path) -> None:
    import shutil

    shutil.copytree(tuned["lora"], tmp_path / "registry")
    file = tmp_path / "registry" / "adapter" / "adapter_model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(DataLoss, match="damaged"):
        export(tmp_path / "registry", prepared(base), catalog.from_folder(base), "peft", tmp_path / "out")
