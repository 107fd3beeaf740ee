"""What TRL's defaults make of the private-library example at equal steps: pass@1 and the loss on general code.

    python benchmarks/compare_quality.py --output build/bench [--seed 1] [--steps 60] [--base FOLDER]

The data, the tasks, the adapter's shape (rank 16 on all linear layers), the batch of 8 and the number of steps are
those of `examples/private_library/run.py` with the same seed; rate, schedule, number format and all else are what TRL
chooses when it is told nothing. Needs the sandbox, like the example. Compare with what the example prints.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from bench_train import embedded

EXAMPLE = Path(__file__).parents[1] / "examples" / "private_library"
sys.path.insert(0, str(EXAMPLE))
BATCH = 8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--base", type=Path, help="a Hugging Face folder; default: the embedded model")
    chosen = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    found = measure_trl(chosen.output / "trl-quality", chosen.seed, chosen.steps, chosen.base or embedded())
    (chosen.output / "quality.json").write_text(json.dumps(found, indent=2))
    print(json.dumps(found, indent=2))
    return 0


def measure_trl(place: Path, seed: int, steps: int, base: Path) -> dict[str, Any]:
    """Trains, scores and measures; the figures."""
    import generate
    import score
    from run import EVALUATION_ROWS, PROBLEMS, ROWS

    data = place / "data"
    generate.write_all(data, rows=ROWS, evaluation_rows=EVALUATION_ROWS, problems=PROBLEMS, seed=seed)
    settings = train(data / "train.jsonl", place / "adapter", seed, steps, base)
    scores = score.score(data / "problems.jsonl", place / "scores", tuned=place / "adapter")
    return {
        "seed": seed,
        "steps": steps,
        "trl": settings,
        "pass_at_1": scores.pass_at_1,
        "interval": [scores.low_95, scores.high_95],
        "general_code": general_code(base, place / "adapter"),
    }


def train(rows: Path, adapter: Path, seed: int, steps: int, base: Path) -> dict[str, Any]:
    """TRL's SFTTrainer, told the data, the batch, the steps and the adapter's shape; what it chose otherwise."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    examples = [
        {
            "prompt": [{"role": "user", "content": row["input_text"]}],
            "completion": [{"role": "assistant", "content": row["output_text"]}],
        }
        for row in map(json.loads, rows.read_text("utf-8").splitlines())
    ]
    settings = SFTConfig(
        output_dir=str(adapter.with_name("trl")),
        max_steps=steps,
        per_device_train_batch_size=BATCH,
        seed=seed,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
    )
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(base, dtype="float32"),
        args=settings,
        train_dataset=Dataset.from_list(examples),
        processing_class=AutoTokenizer.from_pretrained(base),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    trainer.train()
    trainer.save_model(str(adapter))
    return {
        "learning_rate": settings.learning_rate,
        "schedule": str(settings.lr_scheduler_type),
        "bf16": settings.bf16,
        "loss_of_the_last_steps": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry][-1],
    }


def general_code(base: Path, adapter: Path) -> dict[str, Any]:
    """The change of loss on the rows on which every job measures forgetting."""
    from tempfile import TemporaryDirectory

    from tunesmith import catalog
    from tunesmith.data import stdlib
    from tunesmith.data.formats import Conversation, Message
    from tunesmith.data.pack import write_shard
    from tunesmith.data.render import Renderer
    from tunesmith.engine.adapters import load_tuned
    from tunesmith.engine.compare import forgetting
    from tunesmith.engine.device import probe
    from tunesmith.engine.measure import measure
    from tunesmith.engine.model import Prepared, load
    from tunesmith.engine.parallel import Ranks

    renderer = Renderer.open(base, catalog.from_folder(base))
    rows = [
        Conversation(
            line,
            "generation",
            None,
            (Message("user", row.input_text, False), Message("assistant", row.output_text, True)),
        )
        for line, row in enumerate(stdlib.forgetting_rows(), 1)
    ]
    device, prepared = probe(), Prepared(base, "", "base")
    with TemporaryDirectory() as temporary:
        shard = write_shard(Path(temporary) / "general", [renderer.example(row) for row in rows])
        scores = [
            measure(model, shard, 1024, Ranks(0, 1, 0))
            for model in (load(base, device), load_tuned(adapter, prepared, device))
        ]
    return forgetting(*scores)


if __name__ == "__main__":
    sys.exit(main())
