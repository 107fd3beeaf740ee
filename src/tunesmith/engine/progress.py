"""What a task is doing now, for whoever watches: progress.json, replaced at most four times a second."""

from __future__ import annotations

import time
from typing import Any

from tunesmith import folder
from tunesmith.folder import AttemptFolder

_INTERVAL_S = 0.25


class Progress:
    """The one writer of an attempt's progress.json."""

    def __init__(self, attempt: AttemptFolder, *, enabled: bool = True) -> None:
        self._attempt = attempt
        self._enabled = enabled
        self._last_s = float("-inf")
        self._training: dict[str, Any] = {}
        self._message = ""

    def say(self, message: str) -> None:
        """Stays on show until something else is said."""
        self._message = message
        self._write({**self._training, "phase": self._training.get("phase", "preparing")}, at_once=True)

    def phase(self, name: str, step: int | None = None, steps: int | None = None) -> None:
        """Any work other than training: how far it is."""
        counts = {} if step is None else {"step": step, "steps": steps}
        self._write({"phase": name, **counts}, at_once=step is None)

    def comparing(self, message: str, done: int, total: int) -> None:
        """Base against tuned: which model does what, and how far it is."""
        self._message = message
        self._write({"phase": "comparing", "step": done, "steps": total}, at_once=total == 0)

    def evaluating(self, done: int, total: int) -> None:
        """Examples of the evaluation set measured; the training figures stay on show."""
        self._write({**self._training, "phase": "evaluating", "evaluated": done, "to_evaluate": total})

    def predicting(self, successful: int, failed: int, total: int, *, at_once: bool = False) -> None:
        """Instances of a batch that are done with."""
        done = successful + failed
        counts = {"step": done, "steps": total, "successful": successful, "failed": failed}
        self._write({"phase": "predicting", **counts}, at_once=at_once or done == total)

    def training(
        self, step: int, steps: int, loss: float, accuracy: float, tokens_per_s: float, seconds_left: float
    ) -> None:
        """One step done."""
        self._training = {
            "phase": "training",
            "step": step,
            "steps": steps,
            "loss": loss,
            "accuracy": accuracy,
            "tokens_per_s": tokens_per_s,
            "seconds_left": seconds_left,
        }
        self._write(self._training, at_once=step == steps)

    def _write(self, values: dict[str, Any], *, at_once: bool = False) -> None:
        now_s = time.monotonic()
        if self._enabled and (at_once or now_s - self._last_s >= _INTERVAL_S):
            self._last_s = now_s
            folder.write_json(self._attempt.progress, {**values, "message": self._message})
