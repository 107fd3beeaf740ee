"""The loop on the tiny model: what must not change its result, and what must stop it."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tiny_run import adapter_bytes, make_plan, make_rows, make_shards, prepared, run, train_lines
from tunesmith import folder
from tunesmith.engine import checkpoint
from tunesmith.engine.loss import TargetLoss
from tunesmith.engine.model import FlatBatch, LanguageModel
from tunesmith.engine.train import train
from tunesmith.errors import Cancelled, DataLoss, Diverged, FailedPrecondition
from tunesmith.folder import AttemptFolder

EVALUATED = {"evaluation_data": "evaluation.jsonl", "evaluation_interval": 4}


def weights(attempt: Path) -> dict[str, torch.Tensor]:
    return load_file(attempt / "out" / "adapter" / "adapter_model.safetensors")


def largest_difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def losses(attempt: Path) -> list[float]:
    return [line["train_total_loss"] for line in train_lines(attempt)]


def test_tuning_learns(base: Path, shards: Path, tmp_path: Path) -> None:
    plan = make_plan(base, train_steps=40, tuning_method="full", learning_rate_multiplier=20, **EVALUATED)
    result, _ = run(plan, base, shards, tmp_path / "a")
    assert result.metrics["best"]["loss"] < 0.9 * result.metrics["base"]["loss"]
    assert result.metrics["best"]["accuracy"] > result.metrics["base"]["accuracy"]


def test_the_same_plan_gives_the_same_bytes(base: Path, shards: Path, tmp_path: Path) -> None:
    plan = make_plan(base, train_steps=6, replay=0.25, **EVALUATED)
    for name in ("a", "b"):
        run(plan, base, shards, tmp_path / name)
    assert adapter_bytes(tmp_path / "a") == adapter_bytes(tmp_path / "b")
    assert train_lines(tmp_path / "a") == train_lines(tmp_path / "b")


def test_another_seed_gives_another_order(base: Path, shards: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        run(make_plan(base, train_steps=3, seed=seed), base, shards, tmp_path / str(seed))
    assert losses(tmp_path / "0") != losses(tmp_path / "1")


@pytest.mark.parametrize("method", ["lora", "full"])
def test_packed_equals_unpacked_and_accumulated_equals_one_batch(
    base: Path, shards: Path, tmp_path: Path, method: str
) -> None:
    # 16 tokens: every example alone, its gradient added up; 4,096: the whole global batch as one flat run.
    for tokens in (16, 64, 4096):
        plan = make_plan(base, train_steps=8, tuning_method=method, replay=0.25, micro_batch_tokens=tokens)
        run(plan, base, shards, tmp_path / str(tokens))
    for tokens in ("16", "64"):
        np.testing.assert_allclose(losses(tmp_path / tokens), losses(tmp_path / "4096"), rtol=2e-5)


def test_resumed_equals_uninterrupted_to_the_bit(base: Path, shards: Path, tmp_path: Path) -> None:
    plan = make_plan(base, train_steps=14, checkpoint_interval=3, replay=0.25, **EVALUATED)
    run(plan, base, shards, tmp_path / "whole")
    _stop_after(plan, base, shards, tmp_path / "first", step=5)
    _stop_after(plan, base, shards, tmp_path / "second", step=9, earlier=[tmp_path / "first"])
    result, _ = run(plan, base, shards, tmp_path / "third", [tmp_path / "first", tmp_path / "second"])
    assert 9 <= result.resumed_from < 14
    assert adapter_bytes(tmp_path / "third") == adapter_bytes(tmp_path / "whole")
    assert train_lines(tmp_path / "third") == train_lines(tmp_path / "whole")


def test_a_stopped_run_saves_where_it_stopped(base: Path, shards: Path, tmp_path: Path) -> None:
    plan = make_plan(base, train_steps=200, checkpoint_interval=100)
    step = _stop_after(plan, base, shards, tmp_path / "a", step=3)
    folder.verify(checkpoint.step_folder(tmp_path / "a" / "out" / "checkpoints", step))


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_a_damaged_newest_checkpoint_is_passed_over(base: Path, shards: Path, tmp_path: Path, damage: str) -> None:
    plan = make_plan(base, train_steps=12, checkpoint_interval=3, **EVALUATED)
    run(plan, base, shards, tmp_path / "whole")
    _stop_after(plan, base, shards, tmp_path / "first", step=8)
    newest = sorted((tmp_path / "first" / "out" / "checkpoints").glob("step-*"))[-1]
    _damage(newest / "weights.safetensors", damage)
    result, _ = run(plan, base, shards, tmp_path / "second", [tmp_path / "first"])
    assert 0 < result.resumed_from < int(newest.name.removeprefix("step-"))
    assert adapter_bytes(tmp_path / "second") == adapter_bytes(tmp_path / "whole")
    assert train_lines(tmp_path / "second") == train_lines(tmp_path / "whole")


def test_with_every_checkpoint_damaged_the_run_begins_anew(base: Path, shards: Path, tmp_path: Path) -> None:
    plan = make_plan(base, train_steps=8, checkpoint_interval=3)
    run(plan, base, shards, tmp_path / "whole")
    _stop_after(plan, base, shards, tmp_path / "first", step=5)
    for path in (tmp_path / "first" / "out" / "checkpoints").glob("step-*"):
        _damage(path / "optimizer.safetensors", "flip")
    result, _ = run(plan, base, shards, tmp_path / "second", [tmp_path / "first"])
    assert result.resumed_from == 0
    assert adapter_bytes(tmp_path / "second") == adapter_bytes(tmp_path / "whole")


def test_a_changed_base_refuses_to_resume(base: Path, shards: Path, tmp_path: Path) -> None:
    plan = make_plan(base, train_steps=9, checkpoint_interval=3)
    _stop_after(plan, base, shards, tmp_path / "first", step=4)
    changed = prepared(base)._replace(sha256="1" * 64)
    with pytest.raises(FailedPrecondition, match="its files changed"):
        train(
            plan,
            AttemptFolder(tmp_path / "b"),
            shards=shards,
            base=changed,
            earlier=[AttemptFolder(tmp_path / "first")],
        )


def test_another_plan_refuses_to_resume(base: Path, shards: Path, tmp_path: Path) -> None:
    _stop_after(make_plan(base, train_steps=9, checkpoint_interval=3), base, shards, tmp_path / "first", step=4)
    with pytest.raises(FailedPrecondition, match="another plan"):
        run(make_plan(base, train_steps=10, checkpoint_interval=3), base, shards, tmp_path / "b", [tmp_path / "first"])


def test_a_loss_that_is_not_a_number_stops_before_the_update(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make_rows(12, seed=1)
    rows[6].tokens[0] = 300  # line 7, the only one with this token, overflows
    sound = LanguageModel.targets

    def overflowing(self: LanguageModel, batch: FlatBatch) -> TargetLoss:
        loss = sound(self, batch)
        if not bool((batch.tokens_1T == 300).any()):
            return loss
        return loss._replace(nll_sum=loss.nll_sum * float("nan"), nll_N=loss.nll_N * float("nan"))

    monkeypatch.setattr(LanguageModel, "targets", overflowing)
    shards = make_shards(tmp_path / "shards", rows=rows, evaluation=0)
    plan = make_plan(base, train_steps=6, batch_size=2, checkpoint_interval=1, seed=3)
    with pytest.raises(Diverged, match="the loss became nan") as caught:
        run(plan, base, shards, tmp_path / "a")
    step = caught.value.details["step"]
    assert step > 1
    assert 7 in caught.value.details["lines"]
    assert [line["step"] for line in train_lines(tmp_path / "a")] == list(range(1, step))
    kept = checkpoint.weights_of(checkpoint.step_folder(tmp_path / "a" / "out" / "checkpoints", step - 1))
    assert all(bool(torch.isfinite(tensor).all()) for tensor in kept.values())


def test_damaged_base_weights_are_named(base: Path, shards: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(base, damaged)
    tensors = load_file(base / "model.safetensors")
    tensors["model.embed_tokens.weight"][300] = float("nan")
    save_file(tensors, damaged / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataLoss, match="weights are damaged"):
        run(make_plan(damaged, train_steps=2), damaged, shards, tmp_path / "a")


def test_the_best_checkpoint_is_returned_when_asked(base: Path, shards: Path, tmp_path: Path) -> None:
    # A rate that ruins the model after a good start: the last checkpoint is not the best one.
    fields = dict(train_steps=40, learning_rate_multiplier=60, early_stopping=False, **EVALUATED)
    for choice in ("true", "false"):
        run(make_plan(base, checkpoint_selection=choice, **fields), base, shards, tmp_path / choice)
    measured = [line for line in folder.read_jsonl(tmp_path / "true" / "metrics.jsonl") if "eval_total_loss" in line]
    best = min((line for line in measured if line["step"]), key=lambda line: line["eval_total_loss"])["step"]
    saved = checkpoint.weights_of(checkpoint.step_folder(tmp_path / "true" / "out" / "checkpoints", best))
    got = weights(tmp_path / "true")
    assert best < 40
    assert sum(float(t.abs().sum()) for t in saved.values()) == sum(float(t.abs().sum()) for t in got.values())
    assert adapter_bytes(tmp_path / "true") != adapter_bytes(tmp_path / "false")


def test_a_damaged_best_checkpoint_is_never_returned(base: Path, shards: Path, tmp_path: Path) -> None:
    plan = make_plan(base, train_steps=8, **EVALUATED)
    run(plan, base, shards, tmp_path / "a")
    newest = sorted((tmp_path / "a" / "out" / "checkpoints").glob("step-*"))[-1]
    _damage(newest / "weights.safetensors", "flip")
    with pytest.raises(DataLoss, match=r"weights\.safetensors"):
        checkpoint.weights_of(newest)


def test_metrics_have_the_reference_names_and_one_line_a_step(base: Path, shards: Path, tmp_path: Path) -> None:
    run(make_plan(base, train_steps=6, **EVALUATED), base, shards, tmp_path / "a")
    lines = folder.read_jsonl(tmp_path / "a" / "metrics.jsonl")
    train_names = {"train_total_loss", "train_fraction_of_correct_next_step_preds", "train_num_predictions"}
    eval_names = {name.replace("train_", "eval_") for name in train_names}
    assert [line["step"] for line in lines if train_names <= line.keys()] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines if eval_names <= line.keys()] == [0, 4, 6]


def test_tensorboard_reads_the_reference_tags(base: Path, shards: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(make_plan(base, train_steps=5, **EVALUATED), base, shards, tmp_path / "a")
    events = EventAccumulator(str(tmp_path / "a" / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {
        "/train_total_loss",
        "/train_fraction_of_correct_next_step_preds",
        "/train_num_predictions",
        "/eval_total_loss",
        "/eval_fraction_of_correct_next_step_preds",
        "/eval_num_predictions",
    }
    assert [event.step for event in events.Scalars("/train_total_loss")] == [1, 2, 3, 4, 5]


def test_losses_are_the_golden_ones(base: Path, shards: Path, tmp_path: Path) -> None:
    """A change that is not meant to change numbers leaves the file alone; write_golden.py accepts new ones."""
    run(make_plan(base, train_steps=10, replay=0.125), base, shards, tmp_path / "a")
    golden = json.loads((Path(__file__).parent / "golden_losses.json").read_text())
    np.testing.assert_allclose(losses(tmp_path / "a"), golden, rtol=2e-4)


def _stop_after(plan, base: Path, shards: Path, attempt: Path, step: int, earlier: list[Path] = []) -> int:
    """Runs until STOP is written once that step's line is there; returns the step it stopped after."""

    def watch() -> None:
        while not any(line["step"] >= step for line in train_lines(attempt)):
            time.sleep(0.001)
        (attempt / "STOP").touch()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    with pytest.raises(Cancelled) as caught:
        run(plan, base, shards, attempt, earlier)
    thread.join()
    return int(caught.value.details["step"])


def _damage(path: Path, how: str) -> None:
    if how == "remove":
        path.unlink()
        return
    data = bytearray(path.read_bytes())
    if how == "truncate":
        data = data[: len(data) // 2]
    else:
        data[len(data) // 2] ^= 1
    path.write_bytes(data)
