"""When a run stops early and which checkpoint it returns: pure rules over the evaluations made so far.

Early stopping is on token accuracy, as in the reference product (S44). An evaluation improves if its accuracy is
at least MIN_GAIN above the bar, and then becomes the bar; after PATIENCE evaluations in a row without improvement
the run stops. The base's own evaluation (step 0) is the first bar; small gains add up until they count. `replay`
shows the count after every evaluation, so that anybody can check a finished run from its metrics file.

Selection is by evaluation loss, since accuracy is flat where answers still get better (docs/decisions.md): the
lowest loss wins, of equals the later step. Step 0 is the base and never a candidate; `base_is_best` says so aloud.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

MIN_GAIN = 0.001
PATIENCE = 3

# Training losses that the divergence rule looks at: five windows of twenty steps.
_WINDOWS, _WINDOW_STEPS = 5, 20
LOSSES_KEPT = _WINDOWS * _WINDOW_STEPS
_RISE_NATS = 0.5


class Evaluation(NamedTuple):
    """One pass over the whole evaluation set."""

    step: int
    loss: float
    accuracy: float
    kinds: dict[str, dict[str, float]] | None = None
    """Loss and accuracy of the rows that answer, and of those that fill in the middle; None if none of these are."""


def replay(evaluations: Sequence[Evaluation]) -> list[int]:
    """After each evaluation: how many in a row have not improved. The first one is 0."""
    bar = float("-inf")
    without_gain = 0
    counts = []
    for evaluation in evaluations:
        if evaluation.accuracy >= bar + MIN_GAIN:
            bar, without_gain = evaluation.accuracy, 0
        else:
            without_gain += 1
        counts.append(without_gain)
    return counts


def should_stop(evaluations: Sequence[Evaluation]) -> bool:
    """Whether the run stops after the last of these evaluations."""
    return bool(evaluations) and replay(evaluations)[-1] >= PATIENCE


def best_step(evaluations: Sequence[Evaluation]) -> int | None:
    """The step to return: lowest loss of those after step 0, of equals the later; None if there is none."""
    trained = [e for e in evaluations if e.step > 0]
    return min(trained, key=lambda e: (e.loss, -e.step)).step if trained else None


def base_is_best(evaluations: Sequence[Evaluation]) -> bool:
    """Whether the untuned base has a lower loss than every checkpoint."""
    base = [e.loss for e in evaluations if e.step == 0]
    trained = [e.loss for e in evaluations if e.step > 0]
    return bool(base and trained) and base[0] <= min(trained)


def divergence(losses: Sequence[float]) -> str | None:
    """Why the run is not learning any more, from its training losses up to now; None if all is well.

    A loss of exactly 0 means that nothing is being predicted. A rise over five windows of 20 steps in a row, by half
    a nat in all, is a rate that is too high.
    """
    if losses and losses[-1] == 0.0:
        return "the loss became exactly 0"
    recent = losses[-LOSSES_KEPT:]
    if len(recent) < LOSSES_KEPT:
        return None
    means = [math.fsum(recent[i : i + _WINDOW_STEPS]) / _WINDOW_STEPS for i in range(0, LOSSES_KEPT, _WINDOW_STEPS)]
    rising = all(later > earlier for earlier, later in itertools.pairwise(means))
    if rising and means[-1] - means[0] > _RISE_NATS:
        return f"the loss rose for {LOSSES_KEPT} steps, from {means[0]:.2f} to {means[-1]:.2f}"
    return None
