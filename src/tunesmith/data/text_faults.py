"""Characters in a text that a reader cannot see or that mean something else than they look like."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from typing import NamedTuple


class TextFault(NamedTuple):
    """One kind of character in one text, at its first place."""

    code: str
    message: str
    remedy: str


# Embeddings, overrides and isolates (Trojan Source, CVE-2021-42574): code that reads otherwise than it runs.
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]")
_ZERO_WIDTH = re.compile(
    "[\u200b\u2060\u00ad\ufeff]|(?<![\u0600-\u06ff\u0900-\u0dff\U0001f000-\U0001faff\ufe0f])[\u200c\u200d]"
)
_NUL = re.compile("\0")
_NON_ASCII = re.compile("[^\0-\x7f]")
# Turn and hole markers of the model families in the catalog.
_CONTROL_TEXT = re.compile(
    r"<\|[a-z_][a-z0-9_ ]{0,40}\|>|</?s>|\[/?INST\]|<<SYS>>|<(?:fim|file|repo)_[a-z]+>|<(?:start|end)_of_turn>"
    r"|<(?:bos|eos|pad|unk)>|\[(?:PREFIX|SUFFIX|MIDDLE)\]|<\uff5c[^\uff5c>]{1,40}\uff5c>|<(?:PRE|SUF|MID|EOT)>"
)


def not_known(special_tokens: Collection[str]) -> list[str]:
    """Those of a model's control tokens that `find` would not recognise by itself."""
    return [token for token in special_tokens if token.strip() and not _CONTROL_TEXT.fullmatch(token)]


def find(text: str, special_tokens: Collection[str] = ()) -> Iterator[TextFault]:
    """The faults of a text, one of each kind at most. Positions count characters from 1."""
    if control := _control(text, special_tokens):
        message = f"{control!r} looks like a control token of a model; it is encoded as plain text"
        yield TextFault("special_token_text", message, "remove it if it is a left-over of another model's template")
    if nul := _NUL.search(text):
        yield TextFault("nul_character", f"character {nul.start() + 1} is NUL", "remove it")
    if not _NON_ASCII.search(text):
        return
    if bidi := _BIDI.search(text):
        message = f"character {bidi.start() + 1} (U+{ord(bidi[0]):04X}) reorders how the text is shown"
        yield TextFault("bidi_control", message, "remove it: code must read as it runs")
    if invisible := _ZERO_WIDTH.search(text):
        message = f"character {invisible.start() + 1} (U+{ord(invisible[0]):04X}) is invisible"
        yield TextFault("invisible_character", message, "remove it unless the text is about it")
    if not unicodedata.is_normalized("NFC", text):
        message = "letters and their accents are separate characters (not NFC)"
        yield TextFault("not_normalized", message, "write all texts in NFC, or production prompts will not match")


def _control(text: str, special_tokens: Collection[str]) -> str | None:
    if "<" not in text and "[" not in text and not special_tokens:
        return None
    if found := _CONTROL_TEXT.search(text):
        return found[0]
    return next((token for token in special_tokens if token.strip() and token in text), None)
