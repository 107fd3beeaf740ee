"""A model's tokenizer, split in two: control tokens where we write them, plain text everywhere else.

In: rows of `Piece`s, each a plain text or one control token. Out: ids and loss weights as arrays. A control token (the
turns of a chat, fill-in-the-middle sentinels, end of text) can only come from a piece that says so: plain text is
encoded by a second tokenizer, built from the same tokenizer.json, in which no control token exists, neither as an
added token nor as an entry or merge of the vocabulary. So no text of a user can become one (faults.md, threat 7).
For all other text the ids are those of the tokenizer itself.

A control token is an added token that is flagged special or looks like markup; Qwen's sentinels are added without the
flag. Added tokens of plain characters (runs of blanks, single letters) stay what they are: text.
Knows nothing of templates or conversations. Called by render.py.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from tunesmith.errors import FailedPrecondition, Internal

# What stands directly before a plain text decides whether a tokenizer that marks word starts adds a blank to it.
START, AFTER_TOKEN, CONTINUED = range(3)

ALL = -1
"""As `Piece.weighted`: the whole piece."""

_MARKUP = re.compile(r"[<>\[\]{}|\uff5c]")
# Unicode White_Space, as the tokenizers library matches it; Python's isspace knows four characters more.
SPACES = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"  # fmt: skip # noqa: E501
# Bounds of what is remembered: what templates write is short and repeats.
_CACHED_PIECES = 4096
_CACHED_CHARS = 1024


class Piece(NamedTuple):
    """A plain text, or one control token if `token` is not negative."""

    text: str
    token: int
    place: int = START
    """START, AFTER_TOKEN or CONTINUED; of plain text only."""
    weighted: int = 0
    """How many characters at its beginning are trained: ALL, none, or a number."""
    fixed: bool = False
    """The same in many rows, so worth remembering."""


class Span(NamedTuple):
    """A control token found in a text, with the blanks that it swallows."""

    start: int
    end: int
    token: int


class Encoded(NamedTuple):
    """tokens int32 and weights uint8, of equal length; the first `prompt_tokens` came before the piece asked for."""

    tokens: npt.NDArray[np.int32]
    weights: npt.NDArray[np.uint8]
    prompt_tokens: int


class Encoder:
    """Reads tokenizer.json once; everything after that is pure."""

    def __init__(self, folder: Path) -> None:
        file = folder / "tokenizer.json"
        if not file.is_file():
            raise FailedPrecondition(
                f"base_model: {folder} has no tokenizer.json; write one with transformers: "
                "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
            )
        spec = json.loads(file.read_text("utf-8"))
        added = spec.get("added_tokens") or []
        self.control = {token["content"]: int(token["id"]) for token in added if _is_control(token)}
        self._swallows_before = {int(token["id"]) for token in added if token.get("lstrip")}
        self._swallows_after = {int(token["id"]) for token in added if token.get("rstrip")}
        self._whole = _tokenizer(spec)
        self._plain = _plain_tokenizers(spec, self.control)
        self.vocabulary = self._whole.get_vocab_size()
        unknown = _unknown_token(spec)
        self._forbidden = np.zeros(max([self.vocabulary - 1, *self.control.values()]) + 1, bool)
        self._forbidden[[token for text, token in self.control.items() if text != unknown]] = True
        self._spans: dict[str, tuple[Span, ...]] = {}
        self._remembered: dict[tuple[int, str], list[int]] = {}

    def swallows_before(self, token: int) -> bool:
        """Whether blanks before the token belong to it."""
        return token in self._swallows_before

    def swallows_after(self, token: int) -> bool:
        """Whether blanks after the token belong to it."""
        return token in self._swallows_after

    def spans(self, text: str) -> tuple[Span, ...]:
        """The control tokens in a text that a template wrote, in order, as the tokenizer itself finds them."""
        found = self._spans.get(text)
        if found is None:
            encoding = self._whole.encode(text, add_special_tokens=False)
            controls = set(self.control.values())
            found = tuple(
                Span(start, end, token)
                for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
                if token in controls
            )
            if len(text) <= _CACHED_CHARS and len(self._spans) < _CACHED_PIECES:
                self._spans[text] = found
        return found

    def leading_tokens(self) -> list[int]:
        """What the tokenizer puts before a text that stands alone: the beginning-of-text token, or nothing."""
        with_tokens = self._whole.encode("a", add_special_tokens=True).ids
        without = self._whole.encode("a", add_special_tokens=False).ids
        return with_tokens[: with_tokens.index(without[0])] if without else []

    def encode(self, rows: Sequence[tuple[Sequence[Piece], int]]) -> list[Encoded]:
        """Each row is its pieces and the number of them that form the prompt."""
        texts = self._texts({(p.place, p.text): p.fixed for pieces, _ in rows for p in pieces if p.token < 0})
        return [self._row(pieces, prompt, texts) for pieces, prompt in rows]

    def decode(self, ids: Iterable[int], *, skip_special: bool) -> str:
        """The text of ids; control tokens as their own text, or left out."""
        return str(self._whole.decode(list(ids), skip_special_tokens=skip_special))

    def _texts(self, wanted: dict[tuple[int, str], bool]) -> dict[tuple[int, str], list[int]]:
        """Ids of each plain text; what is fixed is encoded once in the encoder's life."""
        known = {key: self._remembered[key] for key in wanted if key in self._remembered}
        for place, tokenizer in enumerate(self._plain):
            keys = [key for key in wanted if key[0] == place and key not in known]
            encodings = tokenizer.encode_batch_fast([text for _, text in keys], add_special_tokens=False)
            known.update(zip(keys, (encoding.ids for encoding in encodings), strict=True))
        for key, fixed in wanted.items():
            if fixed and len(key[1]) <= _CACHED_CHARS and len(self._remembered) < _CACHED_PIECES:
                self._remembered[key] = known[key]
        return known

    def _row(self, pieces: Sequence[Piece], prompt: int, texts: dict[tuple[int, str], list[int]]) -> Encoded:
        tokens: list[int] = []
        weights = bytearray()
        prompt_tokens = 0
        for index, piece in enumerate(pieces):
            if index == prompt:
                prompt_tokens = len(tokens)
            ids = [piece.token] if piece.token >= 0 else texts[piece.place, piece.text]
            tokens += ids
            weights += self._weights(piece, len(ids))
        if prompt >= len(pieces):
            prompt_tokens = len(tokens)
        row = np.array(tokens, np.int32)
        written = sum(piece.token >= 0 and bool(self._forbidden[piece.token]) for piece in pieces)
        if int(np.count_nonzero(self._forbidden[row])) != written:
            raise Internal("a plain text was encoded as a control token; please report the tokenizer")
        return Encoded(row, np.frombuffer(bytes(weights), np.uint8), prompt_tokens)

    def _weights(self, piece: Piece, count: int) -> bytes:
        if piece.weighted in (0, ALL):
            return (b"\1" if piece.weighted else b"\0") * count
        # The piece goes on after the trained part: a token counts if it lies in that part whole.
        offsets = self._plain[piece.place].encode(piece.text, add_special_tokens=False).offsets
        return bytes(end <= piece.weighted for _, end in offsets)


def _is_control(token: dict[str, Any]) -> bool:
    return bool(token.get("special")) or _MARKUP.search(token["content"]) is not None


def _tokenizer(spec: dict[str, Any]) -> Tokenizer:
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _plain_tokenizers(spec: dict[str, Any], control: dict[str, int]) -> tuple[Tokenizer, Tokenizer, Tokenizer]:
    """The tokenizers of plain text at START, AFTER_TOKEN and CONTINUED, the same object where they do the same."""
    plain = copy.copy(spec)
    plain["added_tokens"] = [token for token in spec.get("added_tokens") or [] if not _is_control(token)]
    plain["post_processor"] = None  # it adds tokens and trims offsets
    plain["model"] = _without(spec["model"], control, spec.get("added_tokens") or [])
    start = _tokenizer(plain)
    after = _changed(plain, _no_blank_but_at_the_start)
    continued = _changed(plain, _no_blank)
    after_tokenizer = start if after is None else _tokenizer(after)
    return start, after_tokenizer, after_tokenizer if continued == after else _tokenizer(continued or plain)


def _without(model: dict[str, Any], control: dict[str, int], added: list[dict[str, Any]]) -> dict[str, Any]:
    """The vocabulary in which each control token has a name that no text can spell, at the same id.

    Renamed, not removed: the ids of all others, and those of added tokens that stay, depend on the size.
    """
    model = dict(model)
    names = {text: f"\ufdd0{token}\ufdd0" for text, token in control.items()}
    if isinstance(model["vocab"], list):
        pieces = [[names.get(text, text), score] for text, score in model["vocab"]]
        by_id = {int(token["id"]): names.get(token["content"], token["content"]) for token in added}
        last = max([len(pieces) - 1, *by_id])
        pieces += [[by_id.get(token, f"\ufdd0{token}\ufdd0"), 0.0] for token in range(len(pieces), last + 1)]
        return {**model, "vocab": pieces}
    vocab = {names.get(text, text): token for text, token in model["vocab"].items()}
    for token in added:
        vocab.setdefault(names.get(token["content"], token["content"]), int(token["id"]))
    taken = set(vocab.values())
    vocab.update({f"\ufdd0{hole}\ufdd0": hole for hole in range(max(taken, default=0)) if hole not in taken})
    if "merges" in model:
        model["merges"] = [merge for merge in model["merges"] if not _touches(merge, names)]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    return {**model, "vocab": vocab}


def _touches(merge: str | list[str], names: dict[str, str]) -> bool:
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left in names or right in names or left + right in names


def _changed(spec: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> dict[str, Any] | None:
    """The spec with its normalizer and pre-tokenizer changed; None if that changes nothing."""
    parts = {name: _walk(spec.get(name), change) for name in ("normalizer", "pre_tokenizer")}
    return None if all(parts[name] == spec.get(name) for name in parts) else {**spec, **parts}


def _walk(part: Any, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Any:
    if part is None:
        return None
    for key in ("normalizers", "pretokenizers"):
        if key in part:
            inner = [_walk(item, change) for item in part[key]]
            return {**part, key: [item for item in inner if item is not None]}
    return change(part)


def _no_blank_but_at_the_start(part: dict[str, Any]) -> dict[str, Any] | None:
    first = part.get("type") == "Metaspace" and part.get("prepend_scheme") == "first"
    return {**part, "prepend_scheme": "never", "add_prefix_space": False} if first else part


def _no_blank(part: dict[str, Any]) -> dict[str, Any] | None:
    if part.get("type") == "Prepend":
        return None
    if part.get("type") == "Metaspace":
        return {**part, "prepend_scheme": "never", "add_prefix_space": False}
    return {**part, "add_prefix_space": False} if part.get("add_prefix_space") else part


def _unknown_token(spec: dict[str, Any]) -> str | None:
    model = spec["model"]
    if isinstance(model["vocab"], list):
        unknown = model.get("unk_id")
        return None if unknown is None else str(model["vocab"][unknown][0])
    text: str | None = model.get("unk_token")
    return text
