"""Reading lines: the numbers that an editor shows, plain or gzip, and never more memory than the limits allow."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.lines import Problem, RawLine, ReadingLimits, read_lines
from tunesmith.errors import InvalidArgument, NotFound

_CHUNK = 1 << 16


def _lines(path: Path, content: bytes, **limits: int) -> list[RawLine]:
    path.write_bytes(content)
    return list(read_lines(path, ReadingLimits(**limits)))


def _numbered(lines: list[RawLine]) -> list[tuple[int, bytes]]:
    assert [line.problem for line in lines] == [None] * len(lines)
    return [(line.number, line.data) for line in lines]


def _code(problem: Problem | None) -> str | None:
    return problem.code if problem else None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rows"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CR LF", "CR"])
def test_every_line_end_counts_once(file: Path, end: bytes) -> None:
    wanted = [(1, b"{}"), (2, b""), (3, b'{"a": 1}'), (4, b"last")]
    assert _numbered(_lines(file, end.join(data for _, data in wanted))) == wanted
    assert _numbered(_lines(file, end.join(data for _, data in wanted) + end)) == wanted


@pytest.mark.parametrize("inside", ["\u2028", "\u2029", "\u0085", "\u000b", "\u000c", "\u001c", "\u001e"])
def test_other_separators_end_no_line(file: Path, inside: str) -> None:
    text = f'"one{inside}two"'.encode()
    assert _numbered(_lines(file, text + b"\n")) == [(1, text)]


@given(content=st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"\xe2\x80\xa8"]), max_size=30).map(b"".join))
def test_lines_are_those_of_bytes_splitlines(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.mktemp("lines") / "rows"
    assert _numbered(_lines(file, content)) == list(enumerate(content.splitlines(), 1))


@pytest.mark.parametrize("pad", [_CHUNK - 2, _CHUNK - 1, _CHUNK, _CHUNK + 1])
def test_a_line_end_across_two_reads_counts_once(file: Path, pad: int) -> None:
    wanted = [(1, b"x" * pad), (2, b"y"), (3, b"z")]
    assert _numbered(_lines(file, b"\r\n".join(data for _, data in wanted))) == wanted


def test_an_empty_file_has_no_lines(file: Path) -> None:
    assert _lines(file, b"") == []


def test_a_byte_order_mark_is_left_out_and_noted(file: Path) -> None:
    first, second = _lines(file, b"\xef\xbb\xbf{}\n{}\n")
    assert (first.data, _code(first.problem)) == (b"{}", "byte_order_mark")
    assert second == RawLine(2, b"{}", None)


def test_only_the_first_line_has_a_byte_order_mark_to_leave_out(file: Path) -> None:
    assert _lines(file, b"{}\n\xef\xbb\xbf{}\n")[1] == RawLine(2, b"\xef\xbb\xbf{}", None)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.gz", "dataset"])
def test_the_first_bytes_tell_whether_a_file_is_compressed(tmp_path: Path, name: str) -> None:
    assert _numbered(_lines(tmp_path / name, b"{}\n[]\n")) == [(1, b"{}"), (2, b"[]")]
    assert _numbered(_lines(tmp_path / name, gzip.compress(b"{}\n[]\n"))) == [(1, b"{}"), (2, b"[]")]


def test_compressed_files_joined_end_to_end_are_one(file: Path) -> None:
    joined = gzip.compress(b"a\nb") + gzip.compress(b"c\n") + b"\0" * (_CHUNK + 9) + gzip.compress(b"d") + b"\0" * 512
    assert _numbered(_lines(file, joined)) == [(1, b"a"), (2, b"bc"), (3, b"d")]


@given(cut=st.integers(min_value=3, max_value=10_000))
def test_half_a_compressed_file_gives_its_lines_and_then_a_problem(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    rows = [f"{i} {zlib.crc32(b'%d' % i)}".encode() for i in range(2000)]
    whole = gzip.compress(b"\n".join(rows) + b"\n")
    *lines, last = _lines(tmp_path_factory.mktemp("cut") / "rows", whole[: min(cut, len(whole) - 1)])
    assert _numbered(lines) == list(enumerate(rows[: len(lines)], 1))
    assert (last.number, last.data, _code(last.problem)) == (len(lines) + 1, b"", "gzip_truncated")


@pytest.mark.parametrize("at", [12, -6], ids=["data", "checksum"])
def test_a_damaged_compressed_file_is_a_problem(file: Path, at: int) -> None:
    packed = bytearray(gzip.compress(b"{}\n" * 50))
    packed[at] ^= 0xFF
    assert _code(_lines(file, bytes(packed))[-1].problem) == "gzip_damaged"


def _bomb(mebibytes: int) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = [engine.compress(b"\n" + b"0" * ((1 << 20) - 1)) for _ in range(mebibytes)]
    return b"".join(packed) + engine.flush()


def test_a_compression_bomb_is_a_problem_and_stays_small(file: Path) -> None:
    file.write_bytes(_bomb(256))
    tracemalloc.start()
    try:
        last = None
        for line in read_lines(file, ReadingLimits(unpacked_free_bytes=8 << 20)):
            last = line
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert last is not None
    assert _code(last.problem) == "gzip_bomb"
    assert last.number < 20
    assert peak < 8 << 20


def test_a_small_file_may_repeat_itself(file: Path) -> None:
    assert len(_numbered(_lines(file, gzip.compress(b'{"a": "the same"}\n' * 500_000)))) == 500_000


def test_a_line_over_the_limit_is_a_problem_of_that_line_alone(file: Path) -> None:
    lines = _lines(file, b"ok\n" + b"x" * 101 + b"\n" + b"y" * 100 + b"\n", line_bytes=100)
    assert [(line.number, len(line.data), _code(line.problem)) for line in lines] == [
        (1, 2, None),
        (2, 0, "row_too_large"),
        (3, 100, None),
    ]


def test_a_last_line_over_the_limit_is_a_problem_without_a_line_end_too(file: Path) -> None:
    (line,) = _lines(file, b"x" * 1000, line_bytes=100)
    assert _code(line.problem) == "row_too_large"


def test_a_line_of_50_megabytes_is_not_held_in_memory(file: Path) -> None:
    with file.open("wb") as out:
        for _ in range(50):
            out.write(b"x" * (1 << 20))
        out.write(b"\nnext\n")
    tracemalloc.start()
    try:
        lines = list(read_lines(file))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [(line.number, line.data, _code(line.problem)) for line in lines] == [
        (1, b"", "row_too_large"),
        (2, b"next", None),
    ]
    assert peak < 3 * ReadingLimits().line_bytes


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_file_over_the_limit_stops_with_a_problem(file: Path, pack: Callable[[bytes], bytes]) -> None:
    *lines, last = _lines(file, pack(b"0123456789\n" * 20_000), total_bytes=100_000)
    assert lines
    assert (last.number, _code(last.problem)) == (len(lines) + 1, "file_too_large")


def test_a_missing_file_is_named(file: Path) -> None:
    with pytest.raises(NotFound, match="rows: no such file"):
        list(read_lines(file))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="is a folder"):
        list(read_lines(tmp_path))
