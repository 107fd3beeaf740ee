"""A tuned model's folder: complete or absent, the same whoever makes it, and honest about what made it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from making import make_plan, make_store
from tunesmith import folder
from tunesmith.errors import DataLoss
from tunesmith.folder import AttemptFolder
from tunesmith.store import Job
from tunesmith.work import publish as publish_module
from tunesmith.work.publish import Published, publish, remove_leftovers

NAME = "projects/local/locations/us-central1/models/7"
CHECKED = {
    "base": {"name": "smollm2-135m-instruct", "folder": "/b", "sha256": "b" * 64},
    "shards": "/s",
    "examples": 500,
    "tokens": 61_234,
    "sha256": {"training": "d" * 64},
    "versions": {"python": "3.11"},
}
COMPARED = {
    "held_out": "evaluation",
    "base": {"loss": 1.25, "accuracy": 0.71},
    "tuned": {"loss": 0.75, "accuracy": 0.82},
    "forgetting": {"rows": 24, "base_loss": 1.0, "tuned_loss": 1.03, "change": 0.03, "interval": [-0.01, 0.07]},
    "examples": [],
}


@dataclass
class Made:
    job: Job
    inputs: dict[str, AttemptFolder]
    target: Path

    def publish(self) -> Published:
        return publish(self.job, self.inputs, name=NAME, target=self.target, now_s=5.5)


def make(home: Path, method: str = "lora", compared: dict[str, Any] = COMPARED, **fields: Any) -> Made:
    job = make_store(home).create_job(make_plan(tuning_method=method, **fields), job_id="job", now_s=1.0)
    inputs = {t: AttemptFolder(home / t).create() for t in ("validate-dataset", "tune", "evaluate")}
    weights = inputs["tune"].out / ("adapter" if method == "lora" else "model")
    with folder.sealed(weights) as unfinished:
        (unfinished / "weights.safetensors").write_bytes(b"w" * 1000)
    folder.append_jsonl(inputs["tune"].metrics, {"step": 1})
    tuned = {
        "steps": 60,
        "selected_step": 40,
        "stopped_early": False,
        "metrics": {"best": {"loss": 0.75}},
        "tuned": str(weights),
        "method": method,
        "epochs": 0.96,
        "device": "cpu",
        "dtype": "float32",
    }
    folder.write_json(inputs["validate-dataset"].result, CHECKED)
    folder.write_json(inputs["tune"].result, tuned)
    folder.write_json(inputs["evaluate"].result, compared)
    return Made(job, inputs, home / "models" / "7" / "1")


@pytest.mark.parametrize(("method", "weights"), [("lora", "adapter"), ("full", "model")])
def test_folder_holds_weights_spec_lineage_card_and_report(tmp_path: Path, method: str, weights: str) -> None:
    made = make(tmp_path, method)
    made.publish()
    files = set(folder.verify(made.target)["files"])
    assert files == {
        f"{weights}/weights.safetensors",
        f"{weights}/manifest.json",
        "spec.json",
        "lineage.json",
        "README.md",
        "report/evaluation.json",
        "report/metrics.jsonl",
    }
    assert (made.target / weights / "weights.safetensors").read_bytes() == b"w" * 1000


def test_row_says_what_the_folder_says(tmp_path: Path) -> None:
    made = make(tmp_path)
    row = made.publish()
    assert row.lineage == folder.read_json(made.target / "lineage.json")
    assert row.labels == {"google-vertex-llm-tuning-base-model-id": "code-bison-002"}
    assert (row.metrics["base"], row.metrics["tuned"]) == (COMPARED["base"], COMPARED["tuned"])
    assert row.metrics["selected_step"] == 40


def test_lineage_names_all_that_made_the_model(tmp_path: Path) -> None:
    made = make(tmp_path)
    lineage = made.publish().lineage
    assert lineage["plan_sha256"] == made.job.plan.sha256()
    assert lineage["base"]["sha256"] == "b" * 64
    assert lineage["data"]["sha256"] == {"training": "d" * 64}
    assert lineage["versions"]["validate-dataset"] == {"python": "3.11"}
    assert lineage["code_version"]
    assert lineage["times"]["registered"] == "1970-01-01T00:00:05.500000Z"
    assert lineage["job"] == made.job.name


def test_published_again_is_the_same_folder(tmp_path: Path) -> None:
    made = make(tmp_path)
    first = made.publish()
    before = (made.target / folder.MANIFEST).stat()
    assert publish(made.job, made.inputs, name=NAME, target=made.target, now_s=99.0) == first
    assert (made.target / folder.MANIFEST).stat() == before


@pytest.mark.parametrize("damage", ["flipped", "torn"])
def test_damaged_weights_are_not_published(tmp_path: Path, damage: str) -> None:
    made = make(tmp_path)
    weights = made.inputs["tune"].out / "adapter" / "weights.safetensors"
    weights.write_bytes(b"w" * 999 + b"x" if damage == "flipped" else b"w" * 500)
    with pytest.raises(DataLoss):
        made.publish()
    assert list(made.target.parent.iterdir()) == []


def test_two_at_once_leave_one_whole_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(tmp_path)
    both_full = threading.Barrier(2)
    move = publish_module._move
    monkeypatch.setattr(publish_module, "_move", lambda *paths: (both_full.wait(20), move(*paths)))
    rows: list[Published] = []
    threads = [threading.Thread(target=lambda: rows.append(made.publish())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows) == 2
    assert rows[0] == rows[1]
    folder.verify(made.target)
    assert [p.name for p in made.target.parent.iterdir()] == ["1"]


def test_leftovers_of_killed_workers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    made = make(tmp_path)
    made.publish()
    for name in (".1-3f9a", "..1-3f9a.tmp"):
        (made.target.parent / name / "deep").mkdir(parents=True)
    (made.target.parent / "10").mkdir()
    remove_leftovers(made.target)
    assert sorted(p.name for p in made.target.parent.iterdir()) == ["1", "10"]
    folder.verify(made.target)


# The card.


def test_card_tells_the_measured_figures(tmp_path: Path) -> None:
    made = make(tmp_path)
    made.publish()
    card = (made.target / "README.md").read_text()
    for figure in ("| base model | 1.2500 | 71.00% |", "| this model | 0.7500 | 82.00% |", "+0.0300", "500 examples"):
        assert figure in card
    assert "after step 40" in card
    assert NAME in card
    assert "Apache-2.0" in card


def test_card_says_when_the_figures_are_of_the_training_data(tmp_path: Path) -> None:
    made = make(tmp_path, compared=COMPARED | {"held_out": "training"})
    made.publish()
    assert "flatters the tuned model" in (made.target / "README.md").read_text()


def test_card_says_what_was_not_measured(tmp_path: Path) -> None:
    made = make(tmp_path, compared={k: v for k, v in COMPARED.items() if k != "forgetting"})
    made.publish()
    assert "was not measured" in (made.target / "README.md").read_text()


def test_card_of_a_fully_tuned_model_loads_it_whole(tmp_path: Path) -> None:
    made = make(tmp_path, "full")
    made.publish()
    card = (made.target / "README.md").read_text()
    assert 'from_pretrained("model")' in card
    assert "peft" not in card


def test_front_matter_is_one_whatever_the_base_is_called(tmp_path: Path) -> None:
    base = tmp_path / 'a "quoted": model'
    base.mkdir()
    folder.write_json(base / "config.json", {"hidden_size": 64, "max_position_embeddings": 128})
    made = make(tmp_path, base_model=str(base))
    made.publish()
    head = (made.target / "README.md").read_text().split("---")[1]
    assert f'base_model: "{tmp_path}/a \\"quoted\\": model"' in head
    assert "license" not in head
