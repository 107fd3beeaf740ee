"""Early stopping, selection and divergence, against tables worked out by hand."""

from __future__ import annotations

from tunesmith.engine.selection import Evaluation, base_is_best, best_step, divergence, replay, should_stop


def evaluations(*values: tuple[float, float]) -> list[Evaluation]:
    """At steps 0, 20, 40, ...: (loss, accuracy)."""
    return [Evaluation(20 * i, loss, accuracy) for i, (loss, accuracy) in enumerate(values)]


def test_the_count_after_each_evaluation_by_hand() -> None:
    accuracies = [0.50, 0.80, 0.8005, 0.8011, 0.8012, 0.8013, 0.8014]
    #             bar   gain  +.0005  +.0011  less    less    less than 0.001 above 0.8011
    assert replay(evaluations(*[(1.0, a) for a in accuracies])) == [0, 0, 1, 0, 1, 2, 3]


def test_a_run_stops_after_three_evaluations_without_gain() -> None:
    found = evaluations((2.0, 0.5), (1.0, 0.9), (0.9, 0.9), (0.8, 0.9))
    assert not should_stop(found)
    assert should_stop([*found, Evaluation(80, 0.7, 0.9)])


def test_a_gain_just_large_enough_resets_the_count() -> None:
    found = evaluations((2.0, 0.5), (1.0, 0.5), (0.9, 0.5), (0.8, 0.5011))
    assert replay(found)[-1] == 0


def test_a_base_that_is_never_beaten_stops_the_run() -> None:
    assert should_stop(evaluations((1.0, 0.9), (1.1, 0.8), (1.2, 0.7), (1.3, 0.6)))


def test_nothing_measured_never_stops() -> None:
    assert not should_stop([])


def test_the_lowest_loss_is_selected_whatever_the_accuracy() -> None:
    assert best_step(evaluations((2.0, 0.5), (0.5, 0.80), (0.4, 0.79), (0.6, 0.99))) == 40


def test_of_equal_losses_the_later_is_selected() -> None:
    assert best_step(evaluations((2.0, 0.5), (0.5, 0.8), (0.5, 0.8))) == 40


def test_the_base_is_never_selected_but_said_to_be_best() -> None:
    found = evaluations((0.3, 0.9), (0.5, 0.8), (0.4, 0.8))
    assert best_step(found) == 40
    assert base_is_best(found)
    assert not base_is_best(evaluations((0.3, 0.9), (0.2, 0.8)))


def test_without_evaluations_nothing_is_selected() -> None:
    assert best_step([]) is None
    assert not base_is_best([])


def test_a_loss_of_exactly_zero_is_no_learning() -> None:
    assert divergence([1.0, 0.5, 0.0]) == "the loss became exactly 0"


def test_a_loss_that_rises_for_a_hundred_steps_is_named() -> None:
    assert "rose for 100 steps" in (divergence([1.0 + 0.01 * i for i in range(100)]) or "")


def test_a_noisy_or_slowly_rising_loss_is_left_alone() -> None:
    assert divergence([1.0 + 0.001 * i for i in range(100)]) is None
    assert divergence([1.0 + 0.5 * (i % 2) for i in range(300)]) is None
    assert divergence([1.0 + 0.01 * i for i in range(99)]) is None
