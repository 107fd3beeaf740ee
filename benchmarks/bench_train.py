"""Tokens per second, loss and memory of our engine against TRL: same model, data, batches, order and adapter start.

    python benchmarks/bench_train.py --output build/bench [--steps 8] [--rounds 2] [--base FOLDER]

Each trainer runs in a process of its own, the processes take turns (A B A B ...), and of each run all steps but the
first are timed. Figures: tokens per second without padding, the ratio of each round, losses side by side, and the
process's peak resident memory. Nothing here asserts a speed; a difference of losses above 1e-3 ends non-zero.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TRAINERS = {
    "tunesmith": "this engine, with its defaults",
    "trl": "TRL, padded, float32, no recomputation",
    "trl-padding-free": "TRL, padding_free, float32, no recomputation",
    "trainer": "transformers Trainer with PEFT, padded, float32",
}
BATCH, RANK, ALPHA, RATE = 8, 16, 32, 2e-4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--trainers", default="tunesmith,trl")
    parser.add_argument("--base", type=Path, help="a Hugging Face folder; default: the embedded model, made if need be")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(run_one(chosen.one, chosen.base, chosen.rows, chosen.steps)))
        return 0
    return compare(chosen)


def compare(chosen: argparse.Namespace) -> int:
    """Runs the trainers in turn and prints the ratios of each round to the first one."""
    names = chosen.trainers.split(",")
    base = chosen.base or embedded()
    with tempfile.TemporaryDirectory() as temporary:
        rows = write_rows(base, Path(temporary) / "rows.jsonl", chosen.steps * BATCH)
        rounds = []
        for number in range(chosen.rounds):
            rounds.append({name: in_a_process(name, base, rows, chosen.steps) for name in names})
            for name, found in rounds[-1].items():
                print(f"round {number + 1}  {name:18} {found['tokens_per_s']:7.1f} tokens/s", flush=True)
    summary = summarise(names, rounds)
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "train.json").write_text(json.dumps({"rounds": rounds, "summary": summary}, indent=2))
    print(table(summary))
    return 0 if all(row["largest_loss_difference"] < 1e-3 for row in summary.values()) else 1


def summarise(names: list[str], rounds: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    ours = names[0]
    return {
        name: {
            "tokens_per_s": statistics.median(r[name]["tokens_per_s"] for r in rounds),
            "ours_is_faster_by": statistics.median(r[ours]["tokens_per_s"] / r[name]["tokens_per_s"] for r in rounds),
            "peak_gib": max(r[name]["peak_gib"] for r in rounds),
            "largest_loss_difference": max(
                abs(a - b) for r in rounds for a, b in zip(r[ours]["losses"], r[name]["losses"], strict=True)
            ),
        }
        for name in names
    }


def table(summary: dict[str, dict[str, float]]) -> str:
    lines = ["", f"{'':18} {'tokens/s':>9} {'ours is':>9} {'peak GiB':>9} {'loss differs by':>16}"]
    for name, row in summary.items():
        lines.append(
            f"{name:18} {row['tokens_per_s']:9.1f} {row['ours_is_faster_by']:8.2f}x {row['peak_gib']:9.2f} "
            f"{row['largest_loss_difference']:16.1e}"
        )
    return "\n".join(lines)


def in_a_process(name: str, base: Path, rows: Path, steps: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--output", ".", "--one", name, "--base", str(base), "--rows", str(rows)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [*command, "--steps", str(steps)], check=True, env=environment, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def embedded() -> Path:
    from tunesmith import catalog
    from tunesmith.engine.model import prepare
    from tunesmith.settings import read_settings

    settings = read_settings(os.environ)
    return prepare(catalog.BASE_MODELS[catalog.EMBEDDED], settings.base_models, print).folder


def write_rows(base: Path, target: Path, count: int) -> Path:
    """Documented functions of the standard library, rendered once, so that every trainer sees the same tokens."""
    from tunesmith import catalog
    from tunesmith.data import stdlib
    from tunesmith.data.formats import Conversation, Message
    from tunesmith.data.render import Renderer

    renderer = Renderer.open(base, catalog.from_folder(base))
    with open(target, "w", encoding="utf-8") as file:
        # A random order, as any trainer draws it: the library's own has modules' functions of like lengths together.
        for line, row in enumerate(random.Random(0).sample(stdlib.functions(), count), 1):
            messages = (Message("user", row.input_text, False), Message("assistant", row.output_text, True))
            example = renderer.example(Conversation(line, "generation", None, messages, None))
            value = {"input_ids": example.tokens.tolist(), "completion_mask": example.weights.tolist()}
            file.write(json.dumps(value) + "\n")
    return target


def run_one(name: str, base: Path, rows_file: Path, steps: int) -> dict[str, Any]:
    """One trainer over the rows in the file's order; its figures."""
    rows = [json.loads(line) for line in rows_file.read_text().splitlines()]
    times, losses = OURS_OR_THEIRS[name](base, rows, steps)
    tokens = [sum(len(row["input_ids"]) for row in rows[i * BATCH : (i + 1) * BATCH]) for i in range(steps)]
    return {
        "tokens_per_s": sum(tokens[1:]) / sum(times[1:]),
        "seconds": times,
        "tokens": tokens,
        "losses": losses,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def ours(base: Path, rows: list[dict[str, Any]], steps: int) -> tuple[list[float], list[float]]:
    """The engine's own step, without what surrounds it (metrics files, checkpoints)."""
    import torch

    from tunesmith import catalog
    from tunesmith.engine import memory
    from tunesmith.engine.adapters import make_trainable
    from tunesmith.engine.batches import Row, fill
    from tunesmith.engine.device import probe
    from tunesmith.engine.model import Prepared, flat_batch
    from tunesmith.engine.optim import CLIP_NORM, make_optimizer, set_rate
    from tunesmith.spec import TuningSpec, resolve

    spec = TuningSpec(dataset="rows", base_model=str(base), train_steps=steps)
    plan = resolve(spec, catalog.Found(catalog.from_folder(base), None))
    device = probe()
    memory.keep_freed_memory()
    trainable = make_trainable(plan, Prepared(base, "", "base"), device)
    optimizer = make_optimizer(trainable.parameters.values())
    set_rate(optimizer, RATE)
    budget = memory.micro_batch_tokens(plan, trainable, device, max(len(r["input_ids"]) for r in rows))
    times, losses = [], []
    for step in range(steps):
        start = time.perf_counter()
        batch = rows[step * BATCH : (step + 1) * BATCH]
        count = sum(sum(r["completion_mask"]) for r in batch)
        total = 0.0
        for group in fill([Row(i, False) for i in range(BATCH)], [len(r["input_ids"]) for r in batch], budget):
            tokens = [torch.tensor(batch[row.index]["input_ids"]) for row in group]
            loss = trainable.model.targets(flat_batch(tokens, [batch[row.index]["completion_mask"] for row in group]))
            (loss.nll_sum / count).backward()
            total += float(loss.nll_sum.detach())
        torch.nn.utils.clip_grad_norm_(trainable.parameters.values(), CLIP_NORM)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        times.append(time.perf_counter() - start)
        losses.append(total / count)
    return times, losses


def theirs(base: Path, rows: list[dict[str, Any]], steps: int, **options: Any) -> tuple[list[float], list[float]]:
    """TRL's SFTTrainer."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    settings = SFTConfig(**shared_settings(steps), completion_only_loss=True, **options)
    return timed(
        SFTTrainer(
            model=with_adapters(base),
            args=settings,
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(base),
        )
    )


def plain_trainer(base: Path, rows: list[dict[str, Any]], steps: int) -> tuple[list[float], list[float]]:
    """transformers' Trainer with a padding collator."""
    import torch
    from datasets import Dataset
    from transformers import Trainer, TrainingArguments

    def collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        pad = torch.nn.utils.rnn.pad_sequence
        ids = [torch.tensor(row["input_ids"]) for row in batch]
        labels = [torch.where(torch.tensor(r["completion_mask"]) > 0, i, -100) for r, i in zip(batch, ids, strict=True)]
        return {
            "input_ids": pad(ids, batch_first=True),
            "attention_mask": pad([torch.ones_like(i) for i in ids], batch_first=True),
            "labels": pad(labels, batch_first=True, padding_value=-100),
        }

    settings = TrainingArguments(**shared_settings(steps), remove_unused_columns=False)
    data = Dataset.from_list(rows)
    return timed(Trainer(model=with_adapters(base), args=settings, train_dataset=data, data_collator=collate))


def with_adapters(base: Path) -> Any:
    """The base with the adapters that our engine starts from: rank 16, seed 0."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    torch.manual_seed(0)
    layout = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(model, layout)


def shared_settings(steps: int) -> dict[str, Any]:
    return {
        "output_dir": tempfile.mkdtemp(),
        "max_steps": steps,
        "per_device_train_batch_size": BATCH,
        "learning_rate": RATE,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "train_sampling_strategy": "sequential",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
    }


def timed(trainer: Any) -> tuple[list[float], list[float]]:
    """Seconds and loss of each step of a Hugging Face trainer."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.marks: list[float] = []

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.marks.append(time.perf_counter())

        def on_train_end(self, *_: Any, **__: Any) -> None:
            self.marks.append(time.perf_counter())

    clock = Clock()
    trainer.add_callback(clock)
    trainer.train()
    times = [end - start for start, end in zip(clock.marks, clock.marks[1:], strict=False)]
    return times, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


OURS_OR_THEIRS = {
    "tunesmith": ours,
    "trl": theirs,
    "trl-padding-free": lambda base, rows, steps: theirs(base, rows, steps, padding_free=True, max_length=None),
    "trainer": plain_trainer,
}


if __name__ == "__main__":
    sys.exit(main())
