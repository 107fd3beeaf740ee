"""Writes golden_losses.json anew, for a change that is meant to change numbers. Run as a program, without arguments."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tiny_model import make_tiny_model
from tiny_run import make_plan, make_shards, run, train_lines

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        base = make_tiny_model(Path(temporary) / "tiny")
        shards = make_shards(Path(temporary) / "shards", replay=20)
        run(make_plan(base, train_steps=10, replay=0.125), base, shards, Path(temporary) / "a")
        losses = [line["train_total_loss"] for line in train_lines(Path(temporary) / "a")]
    (Path(__file__).parent / "golden_losses.json").write_text(json.dumps(losses, indent=1) + "\n")
