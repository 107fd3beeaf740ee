"""The order of examples, their shares and their micro-batches."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tunesmith.engine.batches import Row, deal, fill, order

SIZES = st.integers(1, 60)
ROWS = st.lists(st.integers(1, 500), min_size=1, max_size=40)


def rows(count: int) -> list[Row]:
    return [Row(i, False) for i in range(count)]


@given(SIZES, SIZES, st.integers(0, 1000))
def test_every_epoch_sees_every_example_once(examples: int, batch_size: int, seed: int) -> None:
    steps = -(-2 * examples // batch_size)
    seen = [i for step in range(1, steps + 1) for i in order(examples, batch_size, seed, step)]
    assert sorted(seen[:examples]) == sorted(seen[examples : 2 * examples]) == list(range(examples))


def test_240_examples_20_steps_batch_24_are_two_epochs() -> None:  # S54
    seen = Counter(i for step in range(1, 21) for i in order(240, 24, 7, step))
    assert set(seen.values()) == {2}
    assert len(seen) == 240


def test_240_examples_15_steps_batch_8_are_half_an_epoch() -> None:  # S54
    seen = Counter(i for step in range(1, 16) for i in order(240, 8, 7, step))
    assert set(seen.values()) == {1}
    assert len(seen) == 120


def test_the_order_depends_on_seed_and_epoch() -> None:
    assert order(100, 50, 0, 1) != order(100, 50, 1, 1)
    assert order(100, 100, 0, 1) != order(100, 100, 0, 2)
    assert order(100, 50, 0, 1) == order(100, 50, 0, 1)


def test_replayed_rows_have_an_order_of_their_own() -> None:
    assert order(100, 50, 0, 1, stream=1) != order(100, 50, 0, 1)


@given(ROWS, st.integers(1, 9))
def test_ranks_share_a_step_without_loss_or_doubling(lengths: list[int], num_ranks: int) -> None:
    hands = deal(rows(len(lengths)), lengths, num_ranks)
    assert len(hands) == num_ranks
    assert sorted(row.index for hand in hands for row in hand) == list(range(len(lengths)))


@given(ROWS, st.integers(16, 800))
def test_micro_batches_keep_the_order_and_the_bound(lengths: list[int], budget: int) -> None:
    groups = fill(rows(len(lengths)), lengths, budget)
    assert [row.index for group in groups for row in group] == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or sum(lengths[row.index] for row in group) <= budget
