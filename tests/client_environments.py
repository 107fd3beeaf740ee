"""Environments of their own for client libraries of others, made once from the package index, below build/clients."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from running_service import ROOT

NEWEST = "2.7.0"
PACKAGES = {
    NEWEST: (
        f"google-cloud-aiplatform[pipelines]=={NEWEST}",
        "google-cloud-storage==3.17.1",
        "google-api-core[async_rest]",
        "google-auth[aiohttp]",
        "pandas",
    ),
    # March 2024: the days of the reference page.
    "1.45.0": ("google-cloud-aiplatform==1.45.0", "google-cloud-storage==2.19.0", "PyYAML", "pandas"),
}


def python_with(version: str) -> Path:
    """The interpreter that has this version of the SDK; its environment is complete or it is not there."""
    folder = ROOT / "build" / "clients" / version
    python, installed = folder / "bin" / "python", folder / ".installed"
    if not installed.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*pip, *PACKAGES[version]], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        installed.touch()
    return python
