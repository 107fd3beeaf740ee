"""Two processes compute what one computes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tiny_run import make_plan, run, train_lines
from tunesmith import folder

EVALUATED = {"evaluation_data": "evaluation.jsonl", "evaluation_interval": 4}

SCRIPT = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tiny_run import run
from tunesmith.spec import TuningPlan
plan = TuningPlan.model_validate_json(Path(sys.argv[1]).read_text())
run(plan, *(Path(p) for p in sys.argv[2:]))
"""


@pytest.mark.parametrize("method", ["lora", "full"])
def test_two_processes_equal_one(base: Path, shards: Path, tmp_path: Path, method: str) -> None:
    # 5 examples a step on 2 ranks: an uneven share, as on 3 GPUs with a batch of 8.
    plan = make_plan(base, train_steps=8, tuning_method=method, replay=0.2, batch_size=5, **EVALUATED)
    run(plan, base, shards, tmp_path / "one")
    (tmp_path / "run.py").write_text(SCRIPT)
    (tmp_path / "plan.json").write_text(plan.model_dump_json())
    arguments = [str(tmp_path / "run.py"), str(tmp_path / "plan.json"), str(base), str(shards), str(tmp_path / "two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *arguments],
        check=True,
        env=environment,
        timeout=300,
    )
    one, two = (train_lines(tmp_path / name) for name in ("one", "two"))
    assert [line["step"] for line in two] == [line["step"] for line in one]
    assert [line["train_num_predictions"] for line in two] == [line["train_num_predictions"] for line in one]
    np.testing.assert_allclose(
        [line["train_total_loss"] for line in two], [line["train_total_loss"] for line in one], rtol=1e-4
    )
    np.testing.assert_allclose(_evaluations(tmp_path / "two"), _evaluations(tmp_path / "one"), rtol=1e-4)
    name = "adapter/adapter_model.safetensors" if method == "lora" else "model/model.safetensors"
    first, second = (load_file(tmp_path / which / "out" / name) for which in ("one", "two"))
    for key in first:
        np.testing.assert_allclose(second[key], first[key], atol=2e-3)


def _evaluations(attempt: Path) -> list[float]:
    lines = folder.read_jsonl(attempt / "metrics.jsonl")
    return [line["eval_total_loss"] for line in lines if "eval_total_loss" in line]
