"""Holes are whole nodes or spans between characters, and what stands around them is the text itself."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snippets import SNIPPETS
from tunesmith.data.codebase.languages import PARSED, language_named
from tunesmith.data.codebase.middles import LONGEST, MOST_HOLES, SHARES, SHORTEST, Hole, holes, window
from tunesmith.data.codebase.parsing import Node, Parsed, parse, walk

LANGUAGES = sorted(SNIPPETS)
SEEDS = st.integers(0, 10_000)


def parsed(language: str, text: str | None = None) -> Parsed:
    found = parse(SNIPPETS[language] if text is None else text, language_named(language))
    assert isinstance(found, Parsed)
    return found


def nodes(tree: Parsed) -> set[tuple[int, int]]:
    return {(node.start_byte, node.end_byte) for node in walk(tree.root) if node.is_named}


def test_every_language_that_is_parsed_has_a_snippet() -> None:
    assert set(SNIPPETS) == {language.name for language in PARSED}


@pytest.mark.parametrize("language", LANGUAGES)
@given(seed=SEEDS, most=st.integers(1, 2000))
def test_prefix_middle_and_suffix_are_the_text(language: str, seed: int, most: int) -> None:
    tree = parsed(language)
    for hole in holes(tree, seed):
        room = window(tree.data, hole, most)
        parts = (
            tree.between(room.start, hole.start),
            tree.between(hole.start, hole.end),
            tree.between(hole.end, room.end),
        )
        assert "".join(parts).encode() == tree.data[room.start : room.end]


@pytest.mark.parametrize("language", LANGUAGES)
@given(seed=SEEDS)
def test_a_text_that_fits_is_in_the_row_whole(language: str, seed: int) -> None:
    tree = parsed(language)
    for hole in holes(tree, seed):
        assert window(tree.data, hole, len(tree.data)) == (0, len(tree.data))


@pytest.mark.parametrize("language", LANGUAGES)
@given(seed=SEEDS)
def test_holes_that_are_not_random_are_whole_nodes(language: str, seed: int) -> None:
    tree = parsed(language)
    whole = nodes(tree)
    assert all((hole.start, hole.end) in whole for hole in holes(tree, seed) if hole.kind != "random")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_expressions_and_statements_in_about_their_shares(language: str) -> None:
    tree = parsed(language)
    found = [hole.kind for seed in range(300) for hole in holes(tree, seed)]
    for kind in ("expression", "statement", "random"):
        assert found.count(kind) > 0.4 * SHARES[kind] * len(found), kind


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"SQL"}))
def test_every_language_with_functions_has_bodies_and_blocks(language: str) -> None:
    tree = parsed(language)
    found = {hole.kind for seed in range(300) for hole in holes(tree, seed)}
    assert {"body", "block"} <= found


@given(seed=SEEDS, language=st.sampled_from(LANGUAGES))
def test_holes_do_not_overlap_and_have_lengths_within_the_limits(seed: int, language: str) -> None:
    found = holes(parsed(language), seed)
    assert all(a.end <= b.start for a, b in pairwise(found))
    for hole in found:
        if hole.kind != "random":
            assert SHORTEST[hole.kind] <= hole.end - hole.start <= LONGEST[hole.kind]


@given(text=st.text(alphabet="aé漢🙂\r\n (){}=1", max_size=400), seed=SEEDS)
def test_random_spans_part_no_character_and_no_line_end(text: str, seed: int) -> None:
    tree = parsed("JavaScript", text)
    for hole in holes(tree, seed):
        before, middle = tree.between(0, hole.start), tree.between(hole.start, hole.end)
        assert not (before.endswith("\r") and middle.startswith("\n"))
        assert not (middle.endswith("\r") and tree.between(hole.end, len(tree.data)).startswith("\n"))


def test_the_same_text_has_the_same_holes() -> None:
    assert holes(parsed("Python"), 3) == holes(parsed("Python"), 3)


def test_another_seed_has_other_holes() -> None:
    assert len({tuple(holes(parsed("Python"), seed)) for seed in range(10)}) > 5


def test_a_long_text_has_more_holes_but_not_more_than_the_limit() -> None:
    long = parsed("Python", SNIPPETS["Python"] * 60)
    assert len(holes(parsed("Python"))) < len(holes(long)) <= MOST_HOLES


def test_documentation_is_not_cut_as_code() -> None:
    tree = parsed("Python")
    docs = {(n.start_byte, n.end_byte) for n in walk(tree.root) if n.type == "string" and _is_alone(n)}
    found = {(hole.start, hole.end) for seed in range(300) for hole in holes(tree, seed) if hole.kind != "random"}
    assert len(docs) == 4
    assert not docs & found


def _is_alone(node: Node) -> bool:
    return node.parent is not None and node.parent.type == "expression_statement"


def test_lines_of_signs_are_not_cut() -> None:
    tree = parsed("Python", "# " + "-" * 2000 + "\n")
    assert [hole for seed in range(50) for hole in holes(tree, seed)] == []


def test_an_empty_text_has_no_holes() -> None:
    assert holes(parsed("Python", "")) == []


def test_a_window_is_of_whole_lines_and_within_its_size() -> None:
    data = b"".join(b"line %03d\n" % number for number in range(200))
    hole = Hole(905, 912, "random", "psm")
    room = window(data, hole, 300)
    assert room.end - room.start <= 300
    assert data[room.start - 1] == data[room.end - 1] == ord("\n")
    assert hole.start - room.start > 1.5 * (room.end - hole.end) > 90


def test_room_that_one_side_does_not_need_goes_to_the_other() -> None:
    data = b"".join(b"line %03d\n" % number for number in range(200))
    first, last = Hole(0, 8, "random", "psm"), Hole(len(data) - 9, len(data), "random", "psm")
    assert window(data, first, 300).end > 280
    assert window(data, last, 300).start < len(data) - 280


def test_a_hole_longer_than_its_room_stands_alone() -> None:
    assert window(b"a\n" * 500, Hole(100, 400, "random", "psm"), 50) == (100, 400)
