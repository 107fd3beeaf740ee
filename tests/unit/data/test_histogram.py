"""Bins of whole numbers: every value in one, edges that rise."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.histogram import MOST_BINS, histogram

VALUES = st.lists(st.integers(0, 1 << 24), min_size=1, max_size=60)


@given(VALUES)
def test_every_value_lies_in_the_bin_that_counts_it(values: list[int]) -> None:
    found = histogram(values)
    bins = zip(itertools.pairwise(found["edges"]), found["counts"], strict=True)
    assert all(sum(low <= value < high for value in values) == count for (low, high), count in bins)
    assert sum(found["counts"]) == len(values)


@given(VALUES)
def test_edges_rise_from_the_smallest_to_behind_the_largest(values: list[int]) -> None:
    edges = histogram(values)["edges"]
    assert edges == sorted(set(edges))
    assert (edges[0], edges[-1]) == (min(values), max(values) + 1)
    assert len(edges) <= MOST_BINS + 1


def test_values_that_lie_close_have_a_bin_each() -> None:
    assert histogram([3, 5, 5]) == {"edges": [3, 4, 5, 6], "counts": [1, 0, 2]}


def test_no_values_have_no_bins() -> None:
    assert histogram([]) == {"edges": [], "counts": []}
