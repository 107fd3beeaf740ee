"""The optimizer (AdamW, no weight decay), gradient clipping, and the learning rate of every step.

The rate is a pure function of the step, the plan's schedule and where the run ends; an early stop moves the end,
and the rate falls to 0 from where it stands, since a model is judged at rate 0 or looks worse than it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch

from tunesmith.spec import Schedule

BETAS = (0.9, 0.999)
EPSILON = 1e-8
CLIP_NORM = 1.0
# After an early stop: a fifth of the steps done, at least 10, never past the last step asked for.
COOL_DOWN_SHARE, COOL_DOWN_MIN_STEPS = 0.2, 10


class Course(NamedTuple):
    """Which step is the last one, and where an early stop (if any) began the final fall of the rate."""

    last_step: int
    stopped_at: int | None = None


def rate(schedule: Schedule, course: Course, total_steps: int, step: int) -> float:
    """Learning rate of update `step` (from 1): warm-up, constant, linear towards 0; or the fall after an early stop."""
    if course.stopped_at is None or step <= course.stopped_at:
        return _planned(schedule, total_steps, step)
    start = _planned(schedule, total_steps, course.stopped_at)
    left = course.last_step - step + 1
    return start * left / (course.last_step - course.stopped_at + 1)


def stop_early(step: int, total_steps: int) -> Course:
    """The course of a run that is stopped after `step`: a short cool-down, never past the last step asked for."""
    cool_down = max(COOL_DOWN_MIN_STEPS, round(COOL_DOWN_SHARE * step))
    return Course(last_step=min(total_steps, step + cool_down), stopped_at=step)


def make_optimizer(parameters: Iterable[torch.nn.Parameter]) -> torch.optim.AdamW:
    """AdamW over what trains; one fused kernel a step. The rate is set before each step."""
    return torch.optim.AdamW(parameters, lr=0.0, betas=BETAS, eps=EPSILON, weight_decay=0.0, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = value


def _planned(schedule: Schedule, total_steps: int, step: int) -> float:
    rising = min(1.0, step / (schedule.warmup_steps + 1))
    falling = min(1.0, (total_steps - step + 1) / schedule.anneal_steps)
    return schedule.peak * min(rising, falling)
