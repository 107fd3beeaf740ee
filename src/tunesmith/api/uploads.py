"""The bodies of uploads: bytes as they arrive, the two parts of multipart/related, the ranges of resumable ones.

What flows in is a request whose body may be larger than memory; what flows out is metadata, and pieces of about
1 MiB. Stores nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from fastapi import Request

from tunesmith.api.wire import parse_json
from tunesmith.errors import Cancelled, InvalidArgument

# Each piece is one trip to a thread and back, about 0.1 ms.
PIECE_BYTES = 1 << 20
SILENCE_LIMIT_S = 60.0
"""Between two pieces of a body; what has arrived of a resumable upload stays, and the client may go on."""
MAX_METADATA_BYTES = 64 << 10

_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(?:(\d{1,18})|\*)")
_BOUNDARY = re.compile(r'boundary=(?:"([^"\r\n]{1,70})"|([^;\s"]{1,70}))', re.IGNORECASE)


class Related(NamedTuple):
    """A body of multipart/related: metadata, then the data and their type."""

    metadata: dict[str, Any]
    content_type: str
    data: AsyncIterator[bytes]


class ContentRange(NamedTuple):
    """Which bytes a request brings: from start to before end, none if both are None, of so many in all."""

    start: int | None
    end: int | None
    total: int | None


async def pieces(request: Request) -> AsyncIterator[bytes]:
    """The body. Cancelled, after what has arrived, if the client goes away before its end."""
    gathered = bytearray()
    async for data in _arriving(request):
        if data is None:
            yield bytes(gathered)
            raise Cancelled("the client went away, or fell silent, before the end of the body; it may send it again")
        gathered += data
        if len(gathered) >= PIECE_BYTES:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


async def _arriving(request: Request) -> AsyncIterator[bytes | None]:
    """None stands for the client's going, or its silence."""
    more = True
    while more:
        try:
            message = await asyncio.wait_for(request.receive(), SILENCE_LIMIT_S)
        except TimeoutError:
            message = {"type": "http.disconnect"}
        if message["type"] == "http.disconnect":
            yield None
            return
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def read_json(request: Request) -> dict[str, Any]:
    """A small body that is a JSON object; an empty one is an empty object."""
    body = b""
    async for piece in pieces(request):
        body += piece
        if len(body) > MAX_METADATA_BYTES:
            raise InvalidArgument.of("body", f"metadata have at most {MAX_METADATA_BYTES:,} bytes; send less")
    return _json_object(body) if body.strip() else {}


def _json_object(text: bytes) -> dict[str, Any]:
    value = parse_json(text)
    if not isinstance(value, dict):
        raise InvalidArgument.of("body", f"must be a JSON object, got {type(value).__name__}")
    return value


def text_of(metadata: dict[str, Any], name: str) -> str:
    """One field of the metadata, empty if absent; InvalidArgument if it is no string."""
    value = metadata.get(name) or ""
    if not isinstance(value, str):
        raise InvalidArgument.of(name, f"must be a string, got {type(value).__name__}")
    return value


async def split_related(request: Request) -> Related:
    """Reads until the data begin. InvalidArgument, at the latest at the end of the data, if the body is torn."""
    match = _BOUNDARY.search(request.headers.get("content-type", ""))
    if match is None:
        raise InvalidArgument.of("Content-Type", "must be multipart/related; boundary=...")
    mark = b"\r\n--" + (match[1] or match[2]).encode()
    source = pieces(request)
    buffer = b"\r\n"
    # Metadata, a mark before it, a mark behind it, and the head of the data.
    while (parts := _head(buffer, mark)) is None:
        piece = await anext(source, b"")
        if not piece or len(buffer) > MAX_METADATA_BYTES + PIECE_BYTES:
            raise InvalidArgument.of("body", "must be two parts between boundaries: JSON metadata, then the data")
        buffer += piece
    metadata, head, rest = parts
    if len(metadata) > MAX_METADATA_BYTES:
        raise InvalidArgument.of("body", f"metadata have at most {MAX_METADATA_BYTES:,} bytes; send less")
    return Related(_json_object(metadata), _type_in(head), _until(mark, rest, source))


def _head(buffer: bytes, mark: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Metadata, the headers of the second part, and what has come of the data; None while more must come first."""
    _, found, rest = buffer.partition(mark)
    metadata, found_second, second = rest.partition(mark)
    headers, found_end, data = second.partition(b"\r\n\r\n")
    if not (found and found_second and found_end):
        return None
    return metadata.partition(b"\r\n\r\n")[2], headers, data


def _type_in(headers: bytes) -> str:
    for line in headers.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-type":
            return value.strip()
    return ""


async def _until(mark: bytes, buffer: bytes, source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The data before the last mark; a mark may arrive in two halves. What follows it is read and dropped."""
    # Empty data: the mark's line break is that of the headers.
    buffer = b"\r\n" + buffer
    skip = 2
    while (at := buffer.find(mark)) < 0:
        keep = len(buffer) - len(mark)
        if keep > skip:
            yield buffer[skip:keep]
            buffer, skip = buffer[keep:], 0
        piece = await anext(source, b"")
        if not piece:
            raise InvalidArgument.of("body", "ends before its last boundary: it was torn on the way; send it again")
        buffer += piece
    if at > skip:
        yield buffer[skip:at]
    async for _ in source:
        pass


def parse_content_range(text: str) -> ContentRange:
    """Of a Content-Range header: `bytes 0-9/10`, `bytes 0-9/*`, `bytes */10` or `bytes */*`."""
    match = _CONTENT_RANGE.fullmatch(text.strip())
    start, end, total = (None if part is None else int(part) for part in match.groups()) if match else (0, 0, 0)
    if match is None or (start is not None and end is not None and (end < start or (total or end + 1) <= end)):
        raise InvalidArgument.of("Content-Range", f"must be 'bytes START-END/TOTAL' or 'bytes */TOTAL', got {text!r}")
    return ContentRange(start, None if end is None else end + 1, total)
