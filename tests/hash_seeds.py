"""Programs that are run in processes of their own whose sets and dicts of hashes have another order each."""

from __future__ import annotations

import os
import subprocess
import sys

SEEDS = ("0", "1", "2")


def said_by_each(program: str, given: str = "") -> list[str]:
    """What a program prints under each seed, when it is given a text to read. It imports what the caller can."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return [
        subprocess.run(
            [sys.executable, "-c", program],
            input=given,
            env={**environment, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in SEEDS
    ]
