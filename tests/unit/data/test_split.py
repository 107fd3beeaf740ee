"""No group and no clone crosses the split, caps hold, and nothing depends on the order of what comes in."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hash_seeds import said_by_each
from tunesmith.data.codebase.split import (
    EVALUATION,
    LEFT_OUT,
    TRAINING,
    By,
    Division,
    Example,
    cap,
    packages_of,
    split,
)
from tunesmith.errors import FailedPrecondition, InvalidArgument


def made(folders: int, files: int, each: int, kinds: Sequence[str] = ("instruction", "fim")) -> list[Example]:
    """So many folders of files with so many examples each, the kinds by turns."""
    return [
        Example(f"{path}:{n}", kinds[n % len(kinds)], path, f"p{f}", changed_s=float(f * 100 + g), authors=4)
        for f in range(folders)
        for g in range(files)
        for path in [f"d{f}/f{g}.py"]
        for n in range(each)
    ]


@st.composite
def examples(draw: st.DrawFn) -> list[Example]:
    """Of a small repository in which texts stand in several files."""
    folders = draw(st.integers(1, 8))
    files = [f"d{draw(st.integers(0, folders))}/f{n}.py" for n in range(draw(st.integers(1, 40)))]
    found = []
    for path in files:
        changed_s = float(draw(st.integers(0, 30)))
        for n in range(draw(st.integers(1, 12))):
            clones = tuple(f"t{one}" for one in draw(st.lists(st.integers(0, 40), max_size=2)))
            kind = draw(st.sampled_from(["instruction", "fim", "fim", "chat"]))
            authors = draw(st.integers(2, 6))
            found.append(Example(f"{path}:{n}", kind, path, path.partition("/")[0], clones, changed_s, authors))
    return found


def divided(rows: Sequence[Example], by: By) -> Division | None:
    try:
        return split(rows, by)
    except FailedPrecondition:
        return None


def sides_of(rows: Sequence[Example], division: Division, name: str) -> dict[str, set[str]]:
    """For each value of an attribute the sides on which it is written."""
    found: dict[str, set[str]] = {}
    for example, place in zip(rows, division.places, strict=True):
        for value in getattr(example, name) if name == "clones" else [getattr(example, name)]:
            if place not in LEFT_OUT:
                found.setdefault(str(value), set()).add(place)
    return found


@settings(max_examples=60, deadline=None)
@given(examples(), st.sampled_from(["path", "package", "time"]))
def test_no_clone_crosses_the_split(rows: list[Example], by: By) -> None:
    if (division := divided(rows, by)) is not None:
        assert {name: sides for name, sides in sides_of(rows, division, "clones").items() if len(sides) > 1} == {}


@settings(max_examples=60, deadline=None)
@given(examples(), st.sampled_from(["path", "package", "time"]))
def test_no_group_crosses_the_split(rows: list[Example], by: By) -> None:
    if (division := divided(rows, by)) is None:
        return
    rows = [row._replace(package=row.path.rpartition("/")[0]) if division.by == "folder" else row for row in rows]
    name = {"folder": "package", "package": "package", "file": "path", "time": "changed_s"}[division.by]
    assert {one: sides for one, sides in sides_of(rows, division, name).items() if len(sides) > 1} == {}
    assert all(place in (division.sides[row.path], *LEFT_OUT) for row, place in zip(rows, division.places, strict=True))


@settings(max_examples=60, deadline=None)
@given(examples(), st.sampled_from(["path", "package", "time"]))
def test_what_is_held_out_is_enough_and_never_too_much(rows: list[Example], by: By) -> None:
    if (division := divided(rows, by)) is None:
        return
    held = [row for row, place in zip(rows, division.places, strict=True) if place == EVALUATION]
    chats = sum(row.kind == "chat" for row in held)
    assert chats == 0 or chats >= 10
    assert any(row.kind != "chat" for row in rows) <= (len(held) - chats >= 10)
    assert 5 * sum(side == EVALUATION for side in division.sides.values()) <= len(division.sides)
    assert list(division.sides) == sorted({row.path for row in rows})


@settings(max_examples=60, deadline=None)
@given(examples(), st.sampled_from(["path", "package", "time"]), st.randoms(use_true_random=False))
def test_the_order_of_the_examples_does_not_matter(rows: list[Example], by: By, drawn: random.Random) -> None:
    division = divided(rows, by)
    shuffled = rows[:]
    drawn.shuffle(shuffled)
    other = divided(shuffled, by)
    if division is None or other is None:
        assert division == other
        return
    one, two = (
        cap(rows, division, training_examples=20, authors=30),
        cap(shuffled, other, training_examples=20, authors=30),
    )
    places = dict(zip((row.id for row in rows), one.places, strict=True))
    assert dict(zip((row.id for row in shuffled), two.places, strict=True)) == places
    assert (one.sides, one.by, one.notes) == (two.sides, two.by, two.notes)


@settings(max_examples=60, deadline=None)
@given(examples(), st.integers(0, 60), st.integers(0, 60))
def test_caps_hold_and_only_training_is_capped(rows: list[Example], most: int, authors: int) -> None:
    division = divided(rows, "path") or split(rows, evaluation_rows=0)
    capped = cap(rows, division, training_examples=most, authors=authors)
    kept = [row for row, place in zip(rows, capped.places, strict=True) if place == TRAINING]
    were = [row for row, place in zip(rows, division.places, strict=True) if place == TRAINING]
    assert len([row for row in kept if row.kind != "chat"]) == min(most, len([r for r in were if r.kind != "chat"]))
    assert sum(row.authors for row in kept if row.kind == "chat") <= authors
    for before, after in zip(division.places, capped.places, strict=True):
        assert after == before or (before, after) == (TRAINING, "cap")


def counts(rows: Sequence[Example], division: Division, place: str) -> Counter[str]:
    return Counter(row.kind for row, at in zip(rows, division.places, strict=True) if at == place)


def test_a_tenth_is_held_out_of_both_kinds_by_whole_folders() -> None:
    rows = made(40, 5, 10)
    division = split(rows)
    assert counts(rows, division, EVALUATION) == {"instruction": 100, "fim": 100}
    assert (division.by, division.notes) == ("folder", ())
    assert counts(rows, division, "held-out-enough") == {}


def test_at_most_250_of_each_file_are_held_out_and_the_rest_of_their_files_is_left_out() -> None:
    rows = made(60, 7, 30, ("instruction", "fim", "chat"))
    division = split(rows)
    assert counts(rows, division, EVALUATION) == {"instruction": 125, "fim": 125, "chat": 250}
    assert set(division.places) == {TRAINING, EVALUATION, "held-out-enough"}


def test_more_are_held_out_on_request() -> None:
    rows = made(60, 5, 30)
    assert counts(rows, split(rows, evaluation_rows=1000), EVALUATION) == {"instruction": 500, "fim": 500}


def test_a_folder_with_all_files_is_split_by_file_and_says_so() -> None:
    rows = made(1, 20, 10)
    division = split(rows)
    assert division.by == "file"
    assert "held out by file" in division.notes[0]
    assert sum(counts(rows, division, EVALUATION).values()) == 20


def test_whole_packages_are_held_out() -> None:
    rows = [row._replace(path=f"{row.package}/{row.path}") for row in made(30, 6, 5)]
    division = split(rows, "package")
    assert division.by == "package"
    held = {path.partition("/")[0] for path, side in division.sides.items() if side == EVALUATION}
    assert {path for path in division.sides if path.partition("/")[0] in held} == {
        path for path, side in division.sides.items() if side == EVALUATION
    }


def test_what_was_changed_last_is_held_out() -> None:
    rows = made(10, 10, 4)
    division = split(rows, "time")
    held = [path for path, side in division.sides.items() if side == EVALUATION]
    assert held == [f"d9/f{n}.py" for n in range(10)]


def test_what_was_changed_since_a_time_is_held_out() -> None:
    rows = made(10, 10, 4)
    division = split(rows, "time", since_s=905.0)
    assert [path for path, side in division.sides.items() if side == EVALUATION] == [
        f"d9/f{n}.py" for n in range(5, 10)
    ]
    assert division.notes == ("20 examples are held out, 40 were wanted",)


def test_a_time_that_holds_out_too_much_is_refused() -> None:
    with pytest.raises(FailedPrecondition, match=r"40 files were changed since 600, .*later time"):
        split(made(10, 10, 4), "time", since_s=600.0)


def test_a_repository_without_history_is_not_split_by_time() -> None:
    rows = [row._replace(changed_s=None) for row in made(10, 10, 4)]
    with pytest.raises(FailedPrecondition, match=r"d0/f0.py has no time .*split by path"):
        split(rows, "time")


def test_too_few_files_are_refused_with_what_to_do() -> None:
    with pytest.raises(FailedPrecondition, match=r"80 examples in 4 files, 0 can be held out .* no evaluation"):
        split(made(1, 4, 20))


def test_of_five_files_the_one_with_enough_examples_is_held_out() -> None:
    rows = [row for row in made(1, 5, 12) if row.path == "d0/f3.py" or int(row.id.rpartition(":")[2]) < 6]
    division = split(rows)
    assert [path for path, side in division.sides.items() if side == EVALUATION] == ["d0/f3.py"]


def test_without_an_evaluation_all_is_trained_on() -> None:
    rows = made(1, 4, 20)
    assert set(split(rows, evaluation_rows=0).places) == {TRAINING}
    assert split([], "path").places == ()


@pytest.mark.parametrize("asked", [-1, 1, 9])
def test_fewer_than_ten_are_refused(asked: int) -> None:
    with pytest.raises(InvalidArgument, match=f"evaluation_rows: must be 0 .none. or at least 10, got {asked}"):
        split(made(10, 10, 4), evaluation_rows=asked)


def test_a_few_chats_are_all_trained_on() -> None:
    rows = made(20, 5, 10) + [row._replace(id=f"c{row.id}") for row in made(20, 1, 1, ("chat",))]
    division = split(rows)
    assert counts(rows, division, EVALUATION)["chat"] == 0
    assert "no chat examples are held out: there are too few" in division.notes


def test_chats_alone_have_an_evaluation() -> None:
    rows = made(20, 5, 4, ("chat",))
    assert counts(rows, split(rows), EVALUATION) == {"chat": 40}


def test_a_text_of_two_files_costs_training_the_example() -> None:
    rows = made(20, 5, 10)
    held = {path for path, side in split(rows).sides.items() if side == EVALUATION}
    one = next(at for at, row in enumerate(rows) if row.path in held)
    other = next(at for at, row in enumerate(rows) if row.path not in held)
    for at in (one, other):
        rows[at] = rows[at]._replace(clones=("same",))
    assert (split(rows).places[one], split(rows).places[other]) == (EVALUATION, "held-out-clone")


def test_a_text_of_many_files_costs_evaluation_the_example() -> None:
    rows = [row._replace(clones=("same",)) if row.id.endswith(":0") else row for row in made(20, 5, 10)]
    division = split(rows)
    assert counts(rows, division, "held-out-clone") == {}
    assert sum(counts(rows, division, "trained-clone").values()) == sum(
        side == EVALUATION for side in division.sides.values()
    )


def test_kinds_have_their_shares_and_what_one_does_not_need_goes_to_the_other() -> None:
    rows = made(10, 10, 10)
    division = split(rows, evaluation_rows=0)
    capped = cap(rows, division, training_examples=100, shares={"instruction": 0.3, "fim": 0.7})
    assert counts(rows, capped, TRAINING) == {"instruction": 30, "fim": 70}
    few = [row for row in rows if row.kind == "fim" or row.path == "d0/f0.py"]
    capped = cap(few, split(few, evaluation_rows=0), training_examples=100)
    assert counts(few, capped, TRAINING) == {"instruction": 5, "fim": 95}


def test_no_file_has_more_turns_than_another_that_has_some_left() -> None:
    rows = made(1, 10, 10, ("fim",)) + [
        Example(f"large:{n}", "fim", "large.py", authors=2) for n in range(1000)
    ]  # fmt: skip
    capped = cap(rows, split(rows, evaluation_rows=0), training_examples=55)
    taken = Counter(row.path for row, place in zip(rows, capped.places, strict=True) if place == TRAINING)
    assert set(taken.values()) == {5}


def test_another_seed_holds_out_other_groups() -> None:
    rows = made(40, 5, 10)
    assert split(rows, seed=1).sides != split(rows, seed=2).sides


@pytest.mark.parametrize(
    ("paths", "package"),
    [
        (["a/b/c.py", "a/pyproject.toml"], "a"),
        (["a/b/c.py", "a/pyproject.toml", "a/b/package.json"], "a/b"),
        (["a/b/c.py", "pyproject.toml"], "a"),
        (["src/b/c/d.py", "pyproject.toml"], "src/b"),
        (["src/d.py"], "src"),
        (["d.py", "pyproject.toml"], "."),
        (["a/b.csproj", "a/c/d.cs"], "a"),
    ],
)
def test_a_package_is_the_nearest_manifest_or_a_folder_at_the_top(paths: list[str], package: str) -> None:
    code = next(path for path in paths if path.endswith((".py", ".cs")))
    assert packages_of(paths)[code] == package


PROBE = """
import json, sys
from tunesmith.data.codebase.split import Example, cap, split
rows = [Example(*row[:4], tuple(row[4]), *row[5:]) for row in json.load(sys.stdin)]
print(json.dumps(cap(rows, split(rows), training_examples=300)))
"""


def test_a_split_is_the_same_in_every_process() -> None:
    rows = [row._replace(clones=(f"t{at % 300}",)) for at, row in enumerate(made(20, 5, 10))]
    said = said_by_each(PROBE, json.dumps(rows))
    assert len(set(said)) == 1
    assert EVALUATION in said[0]
