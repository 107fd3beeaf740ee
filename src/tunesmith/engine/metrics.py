"""A run's metrics as it goes: one line a step in metrics.jsonl, and TensorBoard events with the reference's tags.

Names are the reference product's (S69, S70); a tag in TensorBoard is the name with a leading slash. Lines also carry
what else is worth plotting (learning_rate, gradient_norm, tokens_per_s). The file is the truth: a resumed attempt
copies the lines up to its checkpoint from the attempt it resumes, and both files go on from there, so no step
stands twice and none is missing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from tunesmith import folder
from tunesmith.folder import AttemptFolder

TRAIN_LOSS = "train_total_loss"
TRAIN_ACCURACY = "train_fraction_of_correct_next_step_preds"
TRAIN_PREDICTIONS = "train_num_predictions"
EVAL_LOSS = "eval_total_loss"
EVAL_ACCURACY = "eval_fraction_of_correct_next_step_preds"
EVAL_PREDICTIONS = "eval_num_predictions"

TAGS = (TRAIN_LOSS, TRAIN_ACCURACY, TRAIN_PREDICTIONS, EVAL_LOSS, EVAL_ACCURACY, EVAL_PREDICTIONS)


class MetricsWriter:
    """The one writer of an attempt's metrics."""

    def __init__(self, attempt: AttemptFolder, source: AttemptFolder | None, up_to_step: int) -> None:
        """Starts the files; with the lines of `source` up to that step if this attempt resumes another."""
        self._attempt = attempt
        kept = [line for line in folder.read_jsonl(source.metrics) if line["step"] <= up_to_step] if source else []
        # As one step: the source may be this attempt's own file.
        folder.write_jsonl(attempt.metrics, kept)
        self._events = _event_writer(attempt)
        for line in kept:
            self._show(line)
        self.flush()

    def write(self, step: int, values: Mapping[str, float | int]) -> None:
        """One line: the step, the time, the values."""
        line = {"step": step, "wall_time": time.time(), **values}
        folder.append_jsonl(self._attempt.metrics, line)
        self._show(line)

    def flush(self) -> None:
        """Everything written so far survives a crash. Called before a checkpoint that refers to it."""
        self._events.flush()
        descriptor = os.open(self._attempt.metrics, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        self.flush()
        self._events.close()

    def _show(self, line: Mapping[str, Any]) -> None:
        """The line as TensorBoard's event."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        # Written by hand: torch's SummaryWriter strips the leading slash that the reference's tags have.
        values = [Summary.Value(tag=f"/{name}", simple_value=line[name]) for name in TAGS if name in line]
        self._events.add_event(Event(wall_time=line["wall_time"], step=line["step"], summary=Summary(value=values)))


def _event_writer(attempt: AttemptFolder) -> Any:
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    for old in attempt.tensorboard.glob("events.*"):
        old.unlink()
    return EventFileWriter(str(attempt.tensorboard), flush_secs=2)
