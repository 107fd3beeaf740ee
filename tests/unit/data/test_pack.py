"""A shard gives back what was written into it, row for row, and notices damage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tunesmith import folder
from tunesmith.data.pack import Shard, write_shard
from tunesmith.data.render import Rendered
from tunesmith.errors import DataLoss, InvalidArgument, NotFound


def _row(line: int, tokens: list[int], weights: list[int], prompt_tokens: int) -> Rendered:
    return Rendered(line, np.array(tokens, np.int32), np.array(weights, np.uint8), prompt_tokens)


ROWS = [_row(1, [5, 6, 7], [0, 1, 1], 1), _row(3, [2**31 - 1], [0], 1), _row(4, [9, 8], [0, 1], 1)]


@settings(deadline=None)
@given(
    st.lists(
        st.integers(1, 40).flatmap(
            lambda n: st.tuples(
                st.integers(1, 10**9),
                arrays(np.int32, n, elements=st.integers(0, 2**31 - 1)),
                arrays(np.uint8, n, elements=st.integers(0, 1)),
                st.integers(0, n),
            )
        ),
        min_size=1,
        max_size=20,
    )
)
def test_every_row_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    target = tmp_path_factory.mktemp("shards") / "training"
    write_shard(target, (Rendered(*row) for row in rows))
    shard = Shard.open(target)
    assert shard.num_examples == len(rows)
    for index, (line, tokens, weights, prompt_tokens) in enumerate(rows):
        assert shard.tokens(index).tolist() == tokens.tolist()
        assert shard.weights(index).tolist() == weights.tolist()
        assert (shard.line(index), shard.prompt_tokens(index)) == (line, prompt_tokens)
        assert shard.lengths[index] == len(tokens)


def test_rows_are_taken_one_at_a_time(tmp_path: Path) -> None:
    alive = 0

    def rows() -> Iterator[Rendered]:
        nonlocal alive
        for line in range(1, 4):
            alive += 1
            yield _row(line, [line], [1], 0)
            written = (tmp_path / "s" / "tokens.npy").exists()
            assert written, "the file is open before the second row is asked for"

    assert write_shard(tmp_path / "s", rows()).num_examples == alive == 3


def test_arrays_are_mapped_and_not_copied(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "s", ROWS)
    assert isinstance(shard.tokens(0).base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        shard.tokens(0)[0] = 1


def test_numpy_alone_reads_the_files(tmp_path: Path) -> None:
    write_shard(tmp_path / "s", ROWS)
    assert np.load(tmp_path / "s" / "tokens.npy", allow_pickle=False).tolist() == [5, 6, 7, 2**31 - 1, 9, 8]
    assert np.load(tmp_path / "s" / "offsets.npy", allow_pickle=False).tolist() == [0, 3, 4, 6]


def test_counts_are_kept_beside_the_arrays(tmp_path: Path) -> None:
    write_shard(tmp_path / "s", ROWS)
    assert folder.read_json(tmp_path / "s" / "shard.json") == {"examples": 3, "tokens": 6, "target_tokens": 3}


def test_no_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="no example"):
        write_shard(tmp_path / "s", [])


def test_an_absent_shard_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Shard.open(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["tokens", "weights", "offsets", "lines", "prompts"])
def test_a_cut_array_is_noticed(tmp_path: Path, name: str) -> None:
    write_shard(tmp_path / "s", ROWS)
    file = tmp_path / "s" / f"{name}.npy"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataLoss, match=name):
        Shard.open(tmp_path / "s")


def test_arrays_of_another_shard_are_noticed(tmp_path: Path) -> None:
    write_shard(tmp_path / "a", ROWS)
    write_shard(tmp_path / "b", ROWS[:2])
    (tmp_path / "a" / "lines.npy").write_bytes((tmp_path / "b" / "lines.npy").read_bytes())
    with pytest.raises(DataLoss, match="belong together"):
        Shard.open(tmp_path / "a")
