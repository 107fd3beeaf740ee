"""What the engine reports, computed again by other programs: transformers with PEFT, and TRL."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tiny_run import make_plan, make_rows, run, train_lines
from tunesmith.data.pack import Shard
from tunesmith.engine.batches import Batches
from tunesmith.spec import Schedule

EVALUATED = {"evaluation_data": "evaluation.jsonl", "evaluation_interval": 6}


def _load(base: Path, tuned: Path | None, method: str) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    if method == "full":
        return AutoModelForCausalLM.from_pretrained(tuned, dtype=torch.float32).eval()
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return (model if tuned is None else PeftModel.from_pretrained(model, tuned)).eval()


@torch.no_grad()
def _loss_and_accuracy(model: Any, shard: Shard) -> tuple[float, float]:
    nll, right, count = 0.0, 0, 0
    for i in range(shard.num_examples):
        tokens = torch.from_numpy(np.array(shard.tokens(i), dtype=np.int64))
        target = torch.from_numpy(np.array(shard.weights(i), dtype=bool))[1:]
        logits = model(input_ids=tokens[None]).logits[0, :-1].float()
        losses = torch.nn.functional.cross_entropy(logits, tokens[1:], reduction="none")
        nll += float(losses[target].double().sum())
        right += int((logits.argmax(-1) == tokens[1:])[target].sum())
        count += int(target.sum())
    return nll / count, right / count


@pytest.mark.parametrize("method", ["lora", "full"])
def test_reported_evaluation_equals_transformers_and_peft(
    base: Path, shards: Path, tmp_path: Path, method: str
) -> None:
    plan = make_plan(base, train_steps=18, tuning_method=method, checkpoint_selection="false", **EVALUATED)
    result, _ = run(plan, base, shards, tmp_path / "a")
    shard = Shard.open(shards / "evaluation")
    for tuned, reported in ((None, result.metrics["base"]), (Path(result.tuned), result.metrics["last"])):
        if tuned is None and method == "full":
            continue
        loss, accuracy = _loss_and_accuracy(_load(base, tuned, method), shard)
        assert reported["loss"] == pytest.approx(loss, rel=1e-3)
        assert reported["accuracy"] == pytest.approx(accuracy, rel=1e-3)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_first_twenty_training_losses_equal_those_of_trl(
    base: Path, shards: Path, tmp_path: Path, method: str
) -> None:
    steps = 20
    plan = make_plan(base, train_steps=steps, tuning_method=method, seed=4, replay=0)
    # A small rate: AdamW's first steps are the signs of the gradients, and at a high one rounding alone drives two
    # runs of a model with random weights apart.
    constant = Schedule(peak=1e-4, warmup_steps=0, anneal_steps=1)
    plan = plan.model_copy(update={"schedule": constant})
    run(plan, base, shards, tmp_path / "ours")
    ours = [line["train_total_loss"] for line in train_lines(tmp_path / "ours")]
    theirs = _trl_losses(base, shards, plan, tmp_path / "trl")
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def _trl_losses(base: Path, shards: Path, plan: Any, output: Path) -> list[float]:
    """TRL's training losses on the same batches in the same order, from the same start."""
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    training = Shard.open(shards / "training")
    batches = Batches(training, None, plan.batch_size, 0, plan.spec.seed)
    order = [row.index for step in range(1, plan.spec.train_steps + 1) for row in batches.rows(step)]
    rows = [
        {
            "input_ids": training.tokens(i).tolist(),
            "completion_mask": training.weights(i).tolist(),
        }
        for i in order
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        if plan.adapter is not None:
            torch.manual_seed(plan.spec.seed)
            layout = LoraConfig(
                r=plan.adapter.rank, lora_alpha=plan.adapter.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
            )
            model = get_peft_model(model, layout)
        settings = SFTConfig(
            output_dir=str(output),
            max_steps=plan.spec.train_steps,
            per_device_train_batch_size=plan.batch_size,
            learning_rate=plan.schedule.peak,
            lr_scheduler_type="constant",
            max_grad_norm=1.0,
            weight_decay=0.0,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            disable_tqdm=True,
            train_sampling_strategy="sequential",
            completion_only_loss=True,
        )
        trainer = SFTTrainer(
            model=model,
            args=settings,
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(base),
        )
        trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_rows_used_here_have_prompts_of_different_lengths() -> None:
    assert len({row.prompt_tokens for row in make_rows(40, seed=1)}) > 5
