"""How close answers are: the distance is Levenshtein's, and a similarity is a share of the longer text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.engine.closeness import distance, similarity, spread

texts = st.one_of(st.text(max_size=12), st.text("ab", max_size=80))


def _by_the_table(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        left, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            left, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, left + (x != y))
    return row[-1]


@given(texts, texts)
def test_the_distance_is_that_of_the_whole_table(a: str, b: str) -> None:
    assert distance(a, b) == _by_the_table(a, b)


@pytest.mark.parametrize(
    ("a", "b", "wanted"), [("", "", 1.0), ("abc", "abc", 1.0), ("", "abc", 0.0), ("kitten", "sitting", 1 - 3 / 7)]
)
def test_a_similarity_is_a_share_of_the_longer_text(a: str, b: str, wanted: float) -> None:
    assert similarity(a, b) == similarity(b, a) == pytest.approx(wanted)


@given(st.lists(st.integers(), unique=True), st.integers(1, 30))
def test_rows_are_spread_over_all_and_each_is_taken_once(rows: list[int], most: int) -> None:
    found = spread(rows, most)
    assert len(found) == min(len(rows), most) == len(set(found))
    assert found == [row for row in rows if row in found]
