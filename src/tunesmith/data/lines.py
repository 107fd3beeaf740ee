"""A data file as lines of bytes, plain or gzip, in bounded memory, with the numbers that an editor shows.

A line ends at LF, CR LF or a lone CR (JSON allows none of them inside a string). U+2028, U+2029 and NEL are characters
of a string like any other and end nothing. Whether a file is compressed is told by its first bytes, never by its
name. What cannot be read on is reported as the last line's fault instead of being raised, so that everything before it
can still be checked.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tunesmith.errors import InvalidArgument, NotFound

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_CHUNK_BYTES = 1 << 16


class Problem(NamedTuple):
    """One thing that is wrong with a row: a stable code, the field, what and what to do."""

    code: str
    field: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ReadingLimits:
    """What a reader accepts before it stops believing that the file is a data set."""

    line_bytes: int = 4 << 20
    """2,000,000 tokens are some 8 MB of text; no context is nearly as long as half of it."""
    total_bytes: int = 2 << 30
    """10,000 rows of 200 kB; more is not 10,000 examples."""
    expansion: int = 200
    """gzip makes source code 3 to 10 times smaller; a thousandfold is a bomb."""
    unpacked_free_bytes: int = 64 << 20
    """Up to here no expansion is too much: a small file that repeats itself is no danger."""


class RawLine(NamedTuple):
    """One line: its number from 1, its bytes without the line end, and what kept it from being read whole."""

    number: int
    data: bytes
    problem: Problem | None


def read_lines(path: Path, limits: ReadingLimits = ReadingLimits()) -> Iterator[RawLine]:
    """The file's lines. A byte order mark at its beginning is left out and reported with line 1.

    NotFound or InvalidArgument, at the first line asked for, if there is no such file or it is a folder.
    """
    number = 0
    pending = bytearray()
    too_long = False
    after_cr = False
    for piece in _pieces(path, limits):
        if isinstance(piece, Problem):
            number += 1
            yield RawLine(number, b"", piece)
            return
        if after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        after_cr = piece.endswith(b"\r")
        # One split for all line ends; bytes.splitlines knows LF, CR and CR LF and no other.
        for part in piece.splitlines(keepends=True):
            ended = part.endswith((b"\n", b"\r"))
            if not too_long:
                pending += part.rstrip(b"\r\n") if ended else part
            if len(pending) > limits.line_bytes:
                too_long = True
                pending.clear()
            if ended:
                number += 1
                yield _line(number, bytes(pending), too_long, limits)
                pending.clear()
                too_long = False
    if pending or too_long:
        yield _line(number + 1, bytes(pending), too_long, limits)


def _line(number: int, data: bytes, too_long: bool, limits: ReadingLimits) -> RawLine:
    if too_long:
        message = f"longer than {limits.line_bytes:,} bytes"
        return RawLine(number, b"", Problem("row_too_large", "", message, "split or shorten the row"))
    if number == 1 and data.startswith(_BOM):
        note = Problem(
            "byte_order_mark", "", "the file begins with a UTF-8 byte order mark; it is skipped", "save without"
        )
        return RawLine(number, data[len(_BOM) :], note)
    return RawLine(number, data, None)


def _pieces(path: Path, limits: ReadingLimits) -> Iterator[bytes | Problem]:
    """The file's bytes, decompressed if need be, in pieces of bounded size; a Problem ends them."""
    with _opened(path) as file:
        compressed = file.read(2) == _GZIP
        file.seek(0)
        total = 0
        for piece in _inflated(file, limits) if compressed else iter(lambda: file.read(_CHUNK_BYTES), b""):
            if isinstance(piece, bytes):
                total += len(piece)
                if total > limits.total_bytes:
                    yield Problem(
                        "file_too_large", "", f"more than {limits.total_bytes:,} bytes of text", "split the data set"
                    )
                    return
            yield piece


def _opened(path: Path) -> BinaryIO:
    try:
        return open(path, "rb")
    except FileNotFoundError as error:
        raise NotFound(f"dataset: {path}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise InvalidArgument.of("dataset", f"{path} is a folder; name a file in it") from error


def _inflated(file: BinaryIO, limits: ReadingLimits) -> Iterator[bytes | Problem]:
    engine, untouched = zlib.decompressobj(wbits=31), True
    taken = given = 0
    while chunk := file.read(_CHUNK_BYTES):
        taken += len(chunk)
        while chunk:
            if untouched and given:  # between members joined end to end, tape tools leave zeros
                chunk = chunk.lstrip(b"\0")
                if not chunk:
                    break
            try:
                data = engine.decompress(chunk, _CHUNK_BYTES)
            except zlib.error as error:
                yield Problem("gzip_damaged", "", f"not valid gzip: {error}", "compress the file again")
                return
            untouched = False
            given += len(data)
            if given > max(limits.expansion * taken, limits.unpacked_free_bytes):
                message = f"its first {taken:,} bytes become more than {given:,}: a compression bomb"
                yield Problem("gzip_bomb", "", message, "send the file uncompressed")
                return
            if data:
                yield data
            chunk = engine.unconsumed_tail
            if engine.eof:
                chunk = engine.unused_data
                engine, untouched = zlib.decompressobj(wbits=31), True
    if not untouched:
        yield Problem("gzip_truncated", "", "the compressed file ends in the middle", "copy or compress it again")
