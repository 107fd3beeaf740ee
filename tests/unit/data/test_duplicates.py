"""Repetition and nearness are what their definitions say, compared with sets computed the plain way."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.duplicates import CONTAINED, NEAR, Rows, Shingled, key

# Texts that are often near to one another: one text, with a word here and there exchanged, taken out or put in.
ALPHABET = [f"w{i}" for i in range(16)]


@st.composite
def variants(draw: st.DrawFn) -> str:
    words = ALPHABET[: draw(st.integers(0, 16))]
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, max(0, len(words) - 1)))
        words = (
            words[:at] + draw(st.sampled_from([[], ["x"], ["y"], ["x", "y"]])) + words[at + draw(st.integers(0, 1)) :]
        )
    return " ".join(words)


WORDS = variants() | st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=14).map(" ".join)


def shingles(text: str) -> set[tuple[str, ...]]:
    tokens = re.findall(r"\w+|[^\w\s]", text)
    return {tuple(tokens[i : i + 5]) for i in range(max(1, len(tokens) - 4))}


def jaccard(one: str, other: str) -> float:
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


@given(texts=st.lists(WORDS, max_size=6), text=WORDS)
def test_near_are_exactly_the_texts_of_enough_similarity(texts: list[str], text: str) -> None:
    found = {match.text: match.similarity for match in Shingled(texts).near(text)}
    wanted = {i: jaccard(one, text) for i, one in enumerate(texts)}
    assert found == pytest.approx({i: value for i, value in wanted.items() if value >= NEAR})


@given(texts=st.lists(WORDS, max_size=6), text=WORDS)
def test_contained_is_the_text_of_which_most_is_there(texts: list[str], text: str) -> None:
    match = Shingled(texts).contained(text)
    sets = [shingles(one) for one in texts]
    shares = [len(one & shingles(text)) / len(one) if len(one) >= 10 else 0.0 for one in sets]
    best = max(shares, default=0.0)
    assert (match is not None) == (best >= CONTAINED)
    if match is not None:
        assert match.similarity == pytest.approx(best)
        assert shares[match.text] == best


def test_nearness_begins_at_seven_shingles_of_ten() -> None:
    one, other = ALPHABET[:12], [*ALPHABET[:11], "x", "y"]
    assert jaccard(" ".join(one), " ".join(other)) == 0.7
    assert [match.text for match in Shingled([" ".join(one)]).near(" ".join(other))] == [0]
    assert list(Shingled([" ".join(one)]).near(" ".join([*other, "z"]))) == []


def test_layout_does_not_matter_to_nearness() -> None:
    one = "def f(a, b):\n    return a + b  # the sum of both"
    other = "def f(a,b):\r\n\treturn a+b # the sum of both"
    assert [match.similarity for match in Shingled([one]).near(other)] == [1.0]


@given(st.lists(st.tuples(st.sampled_from("pqr"), st.sampled_from("xyz")), max_size=20))
def test_groups_are_those_of_equal_rows_and_of_equal_prompts(rows: list[tuple[str, str]]) -> None:
    seen = Rows()
    for line, (prompt, answer) in enumerate(rows, 1):
        seen.add(line, prompt, answer)
    same = [[i for i, row in enumerate(rows, 1) if row == one] for one in dict.fromkeys(rows)]
    assert seen.repeated() == [group for group in same if len(group) > 1]
    by_prompt = {p: {a for q, a in rows if q == p} for p, _ in rows}
    conflicting = [
        [i for i, (q, _) in enumerate(rows, 1) if q == p] for p, answers in by_prompt.items() if len(answers) > 1
    ]
    assert seen.conflicts() == sorted(conflicting)


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_keys_differ_where_texts_or_their_borders_do(one: list[str], other: list[str]) -> None:
    assert (key(*one) == key(*other)) == (one == other)
