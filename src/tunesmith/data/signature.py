"""What a file is instead of JSON Lines, told by its first bytes; nothing of it is executed, unpacked or parsed.

A gzip file is told by the first bytes of what it holds. Names of files count for nothing.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from tunesmith.data.lines import Problem

HEAD_BYTES = 4096

_GZIP = b"\x1f\x8b"
_REMEDY = "write JSON Lines: one JSON object a line, as UTF-8, plain or gzip"
# Longer ones first where one begins with another.
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"PAR1", "parquet", "is a Parquet file"),
    (b"PK\x03\x04", "zip_archive", "is a zip archive (or a spreadsheet)"),
    (b"PK\x05\x06", "zip_archive", "is an empty zip archive"),
    (b"\xff\xfe\0\0", "utf32", "is UTF-32 text"),
    (b"\0\0\xfe\xff", "utf32", "is UTF-32 text"),
    (b"\xff\xfe", "utf16", "is UTF-16 text"),
    (b"\xfe\xff", "utf16", "is UTF-16 text"),
    (b"BZh", "bzip2", "is a bzip2 file"),
    (b"\xfd7zXZ", "xz", "is an xz file"),
    (b"\x28\xb5\x2f\xfd", "zstd", "is a zstandard file"),
    (b"7z\xbc\xaf", "compressed", "is a 7-Zip archive"),
    (b"\xd0\xcf\x11\xe0", "binary_file", "is an old Office document"),
    (b"ARROW1", "binary_file", "is an Arrow file"),
    (b"Obj\x01", "binary_file", "is an Avro file"),
    (b"SQLite format 3\0", "binary_file", "is an SQLite database"),
    (b"%PDF", "pdf", "is a PDF"),
    (b"\x89PNG", "binary_file", "is a picture"),
    (b"version https://git-lfs.github.com/spec/", "lfs_pointer", "is a Git LFS pointer in place of the file"),
)
_OTHER_REMEDIES = {
    "zip_archive": "unpack it, and give the JSONL file that is in it",
    "lfs_pointer": "fetch the file itself: git lfs pull",
    "web_page": "look at it: a download may have failed and left a page in place of the file",
    "pretty_printed": "write each object on one line: json.dumps without indent",
    "json_array": "write one object a line, without [ ] around them and without commas between them",
}
_CSV = re.compile(rb'"?[\w .-]{1,64}"?(?:[,;\t]"?[\w .-]{1,64}"?){1,64}')
_ARRAY = re.compile(rb"\[\s*(?:\{|\n|\r|$)")
_OBJECT_OPEN = re.compile(rb"\{[ \t]*\r?\n")
_PAGE = re.compile(rb"<(?:!doctype|html|\?xml)\b", re.I)
_CONTROL = bytes(set(range(32)) - {9, 10, 12, 13})


def foreign(path: Path) -> Problem | None:
    """What the file is, if it is plainly something else than JSON Lines."""
    return judge(head(path))


def head(path: Path) -> bytes:
    """The first bytes of the text; of what is inside if the file is gzip."""
    with open(path, "rb") as file:
        data = file.read(HEAD_BYTES)
    if not data.startswith(_GZIP):
        return data
    try:
        return zlib.decompressobj(wbits=31).decompress(data, HEAD_BYTES)
    except zlib.error:
        return b""  # lines.py says what is wrong with it


def judge(data: bytes) -> Problem | None:
    """What begins like this; None if it may be JSON Lines."""
    for magic, code, what in _MAGIC:
        if data.startswith(magic):
            return _problem(code, what)
    if data.startswith(_GZIP):
        return _problem("compressed", "is compressed twice")
    if _is_utf16(data):
        return _problem("utf16", "is UTF-16 text without a byte order mark")
    if len(data.translate(None, _CONTROL)) < 0.7 * len(data) and data.strip(b"\0"):
        return _problem("binary_file", "is not text")
    return _judge_text(data.removeprefix(b"\xef\xbb\xbf").lstrip())


def _judge_text(text: bytes) -> Problem | None:
    if _ARRAY.match(text):
        return _problem("json_array", "is one JSON array")
    if _OBJECT_OPEN.match(text):
        return _problem("pretty_printed", "has objects that are spread over several lines")
    if _PAGE.match(text):
        return _problem("web_page", "is a web page or an XML document")
    first = text.splitlines()[0].strip() if text else b""
    if _CSV.fullmatch(first):
        return _problem("csv", "is a table (CSV), not JSON Lines")
    return None


def _is_utf16(data: bytes) -> bool:
    """Text whose every other byte is NUL, mostly."""
    pairs = len(data) // 2
    odd, even = data[1::2].count(0), data[0::2].count(0)
    return pairs >= 8 and max(odd, even) > 0.7 * pairs and min(odd, even) < 0.1 * pairs


def _problem(code: str, what: str) -> Problem:
    return Problem(code, "", f"the file {what}", _OTHER_REMEDIES.get(code, _REMEDY))
