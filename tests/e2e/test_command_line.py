"""The command as a person uses it: real processes, a real store, the tiny model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tiny_model import make_tiny_model
from tunesmith import folder


def command(home: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TUNESMITH_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", "from tunesmith.cli import main; main()", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{done.stderr[-3000:]}"
    return done


def document(home: Path, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command(home, *arguments, "--json").stdout)
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny base model, data, and the home of one finished job."""
    place = tmp_path_factory.mktemp("place")
    make_tiny_model(place / "tiny")
    for name, start, count in (("train.jsonl", 0, 40), ("evaluation.jsonl", 900, 12)):
        rows = [
            {"input_text": f"Write the code in Python: add {i} to x.", "output_text": f"```python\nx += {i}\n```"}
            for i in range(start, start + count)
        ]
        (place / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return place


@pytest.fixture(scope="module")
def tuned(place: Path) -> dict[str, Any]:
    return document(
        place / "home",
        "tune",
        str(place / "train.jsonl"),
        "--evaluation-data",
        str(place / "evaluation.jsonl"),
        "--base-model",
        str(place / "tiny"),
        "--train-steps",
        "12",
        "--evaluation-interval",
        "4",
    )


def test_tune_ends_with_a_registered_model_and_its_figures(tuned: dict[str, Any]) -> None:
    assert tuned["state"] == "SUCCEEDED"
    assert tuned["model"].startswith("projects/local/locations/us-central1/models/")
    assert tuned["steps"] == 12
    assert tuned["metrics"]["best"]["loss"] < tuned["metrics"]["base"]["loss"]


def test_the_job_folder_can_be_read_by_any_tool(tuned: dict[str, Any]) -> None:
    job = Path(tuned["folder"])
    steps = [line["step"] for line in folder.read_jsonl(job / "metrics.jsonl") if "train_total_loss" in line]
    assert steps == list(range(1, 13))
    assert list((job / "tensorboard").glob("events.*"))
    assert (job / "report" / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_tuned_adapter_loads_with_peft_alone(place: Path, tuned: dict[str, Any]) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(place / "tiny")
    model = PeftModel.from_pretrained(base, Path(tuned["folder"]) / "adapter")
    assert any("lora_B" in name and bool(p.abs().sum() > 0) for name, p in model.named_parameters())


def test_the_model_answers_and_is_listed_and_exported(place: Path, tuned: dict[str, Any]) -> None:
    home = place / "home"
    listed = document(home, "models", "list")["models"]
    assert [model["name"] for model in listed] == [tuned["model"]]
    prompt = "Write the code in Python: add 3 to x."
    answers = {
        command(home, "predict", tuned["model"], "--prefix", prompt, "--max-output-tokens", "8").stdout
        for _ in range(2)
    }
    assert len(answers) == 1
    proof = document(home, "models", "export", tuned["model"], "--format", "merged", "--output", str(place / "merged"))
    assert proof["equal"] == proof["prompts"]


def test_a_dry_run_trains_nothing(place: Path) -> None:
    found = document(
        place / "other", "tune", str(place / "train.jsonl"), "--base-model", str(place / "tiny"), "--dry-run"
    )
    assert found["examples"] == 40
    assert found["epochs"] == 300 * 8 / 40  # S54
    assert not list((place / "other").glob("jobs/*"))


def test_bad_data_are_refused_with_their_line_before_a_job_is_made(place: Path) -> None:
    rows = (place / "train.jsonl").read_text().splitlines()
    (place / "bad.jsonl").write_text("\n".join([*rows[:20], '{"input_text": "x"}', *rows[20:]]))
    done = command(place / "third", "tune", str(place / "bad.jsonl"), "--base-model", str(place / "tiny"), code=2)
    assert "21" in done.stderr
    assert "output_text" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((place / "third").glob("jobs/*"))
