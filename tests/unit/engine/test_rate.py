"""The learning rate of every step, against tables worked out by hand."""

from __future__ import annotations

import pytest

from tunesmith.engine.optim import Course, rate, stop_early
from tunesmith.spec import Schedule, schedule


def rates(plan: Schedule, course: Course, total: int, steps: range) -> list[float]:
    return [round(rate(plan, course, total, step), 6) for step in steps]


def test_warm_up_constant_and_anneal_by_hand() -> None:
    plan = Schedule(peak=1.0, warmup_steps=3, anneal_steps=4)
    want = [0.25, 0.5, 0.75, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    assert rates(plan, Course(10), 10, range(1, 11)) == want


def test_a_stopped_run_falls_in_a_straight_line_from_where_it_stands() -> None:
    plan = Schedule(peak=1.0, warmup_steps=0, anneal_steps=10)
    course = Course(last_step=14, stopped_at=10)
    assert rates(plan, course, 100, range(9, 15)) == [1, 1, 0.8, 0.6, 0.4, 0.2]


def test_a_stop_while_annealing_never_raises_the_rate() -> None:
    plan = Schedule(peak=1.0, warmup_steps=0, anneal_steps=40)
    course = stop_early(80, 100)
    found = rates(plan, course, 100, range(80, course.last_step + 1))
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.06


@pytest.mark.parametrize(
    ("step", "total", "last"),
    [(20, 300, 30), (100, 300, 120), (290, 300, 300), (295, 300, 300)],  # at least 10, a fifth, never past the end
)
def test_the_cool_down_is_short_and_ends_with_the_plan(step: int, total: int, last: int) -> None:
    assert stop_early(step, total) == Course(last, step)


@pytest.mark.parametrize(
    ("steps", "warmup", "anneal"), [(1, 0, 1), (3, 1, 1), (60, 5, 24), (300, 15, 120), (2000, 50, 800)]
)
def test_the_default_schedule_by_hand(steps: int, warmup: int, anneal: int) -> None:
    plan = schedule(1.0, steps)
    assert (plan.warmup_steps, plan.anneal_steps) == (warmup, anneal)


def test_every_rate_is_positive_and_at_most_the_peak() -> None:
    for steps in (1, 2, 5, 17, 300):
        plan = schedule(2e-3, steps)
        assert all(0 < rate(plan, Course(steps), steps, step) <= 2e-3 for step in range(1, steps + 1))
