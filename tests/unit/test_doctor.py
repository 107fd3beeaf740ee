"""The doctor: facts of this machine, and a remedy for whatever does not work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith import doctor
from tunesmith.doctor import Finding
from tunesmith.settings import read_settings


def test_the_diagnosis_of_this_machine_is_json(tmp_path: Path) -> None:
    found = json.loads(json.dumps(doctor.examine(read_settings({}, tmp_path)).to_json()))
    assert found["works"] is True
    assert found["cpu"]["cores"] >= 1
    assert found["memory_bytes"] > 2**30
    assert {finding["what"] for finding in found["findings"]} >= {"cpu", "memory", "gpu", "home", "disk", "sqlite"}


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    doctor.examine(read_settings({}, tmp_path / "home"))
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_made_is_an_error_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**where: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    finding = doctor._home(tmp_path / "home")
    assert (finding.verdict, "--home" in finding.remedy) == ("error", True)


def test_a_missing_library_is_named_with_what_it_is_for() -> None:
    finding = doctor._libraries("engine", {"torch": None, "peft": "0.21"}, {"torch": "tuning", "peft": "x"}, "install")
    assert (finding.verdict, finding.message, finding.remedy) == ("error", "not installed: torch (tuning)", "install")


def test_little_memory_is_a_warning_only_without_a_gpu() -> None:
    gpu = {"name": "H100", "memory_bytes": 80 * 2**30}
    assert doctor._memory(2**30, []).verdict == "warning"
    assert doctor._memory(2**30, [gpu]).verdict == "ok"


def test_little_disk_is_a_warning(tmp_path: Path) -> None:
    assert doctor._disk(tmp_path, 2**30).verdict == "warning"
    assert doctor._disk(tmp_path, 2**40).verdict == "ok"


def test_every_finding_that_is_not_ok_has_a_remedy() -> None:
    findings: list[Finding] = [
        doctor._memory(2**30, []),
        doctor._disk(Path("/"), 2**20),
        doctor._processor({"model": "old", "cores": 1, "flags": []}, []),
        doctor._libraries("x", {"y": None}, {"y": "z"}, "install y"),
    ]
    assert all(finding.remedy for finding in findings if finding.verdict != "ok")
    assert [finding.verdict for finding in findings].count("ok") == 0


def test_base_models_of_the_catalog_and_of_the_hub_are_found_by_name(tmp_path: Path) -> None:
    settings = read_settings({}, tmp_path)
    for name in ("smollm2-135m-instruct", "hf--Org--Name-1B", "unfinished"):
        (settings.base_models / name).mkdir(parents=True)
    for name in ("smollm2-135m-instruct", "hf--Org--Name-1B"):
        (settings.base_models / name / "config.json").write_text("{}")
    assert doctor.base_models(settings) == ["smollm2-135m-instruct", "hf:Org/Name-1B"]
