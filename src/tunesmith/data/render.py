"""Conversation in, token ids and loss weights out, by the model's own chat template. docs/prompt-format.md is its twin.

    training:   example(conversation)  all ids; weight 1 on each trainable answer and on what the template ends it with
    prediction: prompt(conversation)   the ids up to where the next answer begins

Both go the same way, so a prompt is the beginning of the example that was trained. The rendered text is exactly what
the template makes of the real messages. Where each message lies in it is found by rendering once per shape of
conversation with placeholders; control tokens are looked for outside of the messages only. A prompt and its answer
are tokenised apart, at every answer. The row of a conversation whose messages a template rewrites beyond
recognition is rendered as it is, and refused if a message spells a control token.

Uses template.py for the text and encoder.py for the ids. Called by build.py, and by whatever predicts.
"""

from __future__ import annotations

import bisect
import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tunesmith.catalog import PLAIN_TEMPLATE, BaseModel, FimTokens
from tunesmith.data.encoder import AFTER_TOKEN, ALL, CONTINUED, SPACES, START, Encoded, Encoder, Piece
from tunesmith.data.formats import Conversation, Fim, Message
from tunesmith.data.template import ChatTemplate, Refused, read_template
from tunesmith.errors import FailedPrecondition, InvalidArgument, TunesmithError

# Rows encoded at once: large enough for the tokenizer's batch call, small against 10,000 rows.
_BATCH_ROWS = 256

_NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
# Where a model knows one of these, it ended its documents with it before it learnt to chat.
_END_OF_TEXT = (
    "<|endoftext|>", "<|file_separator|>", "\u2581<EOT>", "<\uff5cend\u2581of\u2581sentence\uff5c>", "</s>", "<eos>",
)  # fmt: skip
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_PLACEHOLDER = re.compile(r"Qz(\d+)placeholderZq")

Turn = dict[str, str]
"""A message as templates take it: role and content."""


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """One example: tokens int32 and weights uint8 of equal length."""

    line: int
    tokens: npt.NDArray[np.int32]
    weights: npt.NDArray[np.uint8]
    prompt_tokens: int
    """How many tokens precede the last trainable answer: what a model is given when it is asked for it."""
    fim: bool = False
    """Whether it fills a hole; else it answers."""

    @property
    def target_tokens(self) -> int:
        return int(self.weights.sum())


class NotRendered(NamedTuple):
    """A row that cannot be an example, and why."""

    line: int
    message: str


class _Outline(NamedTuple):
    """What a template writes around the contents of a conversation of one shape, and whose contents come where."""

    regions: tuple[str, ...]
    """One before each content, one at the end."""
    order: tuple[int, ...]
    """Which turn's content follows each region but the last."""
    leads: dict[int, int]
    """Of each assistant's turn: how many characters of the region before its content are part of the answer."""
    tails: dict[int, int]
    """And how many of the region after it."""


class _Placed(NamedTuple):
    """A rendered text with what has been found out about it; positions count characters."""

    text: str
    contents: list[tuple[int, int]]
    """Where messages lie: no control token is looked for in there."""
    answers: dict[int, tuple[int, int]]
    """Of each assistant's turn: from the cut before the answer to the end of what the template adds to it."""


def fim_layout(fim: Fim, tokens: FimTokens) -> list[tuple[str, str]]:
    """The sentinels in their order, each with the text that follows it, up to where the middle begins.

    The one place that knows it: a row that is trained and a hole that is to be filled both come from here. In the order
    spm the middle goes on where the prefix ends, after the last sentinel; so it does with a base whose one order that
    is (`suffix_first`), where no sentinel stands before the prefix's own.
    """
    prefix = fim.context + fim.prefix
    if tokens.suffix_first:
        return [(tokens.suffix, fim.suffix), (tokens.prefix, prefix)]
    if fim.order == "spm":
        return [(tokens.prefix, ""), (tokens.suffix, fim.suffix), (tokens.middle, prefix)]
    return [(tokens.prefix, prefix), (tokens.suffix, fim.suffix), (tokens.middle, "")]


class Renderer:
    """One model's way of writing conversations. Open it once and use it for all of a job's rows."""

    def __init__(self, encoder: Encoder, template: ChatTemplate, ends: _Ends, fim: FimTokens | None, name: str) -> None:
        self._encoder = encoder
        self._template = template
        self._ends = ends
        self._fim = fim
        self._name = name
        self._outlines: dict[tuple[tuple[str, ...], bool], _Outline | None] = {}
        self._takes_system: bool | None = None

    @classmethod
    def open(cls, base_folder: Path, base: BaseModel, *, now: datetime | None = None) -> Renderer:
        """The renderer of a model folder. `now` is what a template that prints the date is told.

        FailedPrecondition if the folder has no tokenizer.json, InvalidArgument if its template cannot be used.
        """
        encoder = Encoder(base_folder)
        named = _named_tokens(base_folder)
        source = read_template(base_folder) if base.chat_template else None
        template = ChatTemplate(source or PLAIN_TEMPLATE, named, now or datetime.now(UTC).astimezone())
        return cls(encoder, template, _ends(base_folder, base, encoder, named), base.fim, base.name)

    @property
    def end_of_turn_ids(self) -> tuple[int, ...]:
        """The ids that end an answer: generation stops at any of them."""
        return self._ends.all

    @property
    def special_tokens(self) -> frozenset[str]:
        """The texts that the model knows as control tokens; in a message they are plain text."""
        return frozenset(self._encoder.control)

    @property
    def vocabulary(self) -> int:
        """Number of ids that the tokenizer knows."""
        return self._encoder.vocabulary

    def example(self, conversation: Conversation, default_context: str = "") -> Rendered:
        """The conversation as a training example. InvalidArgument, with the line, if it cannot be one."""
        (row,) = self.examples([conversation], default_context)
        if isinstance(row, NotRendered):
            raise InvalidArgument.of("dataset", f"line {row.line}: {row.message}")
        return row

    def examples(
        self, conversations: Iterable[Conversation], default_context: str = ""
    ) -> Iterator[Rendered | NotRendered]:
        """As `example`, for many rows in batches, in order; a row that cannot be one does not stop the others."""
        source = iter(conversations)
        while batch := list(itertools.islice(source, _BATCH_ROWS)):
            planned = [self._planned(conversation, default_context) for conversation in batch]
            encoded = iter(self._encoder.encode([row for row in planned if isinstance(row, tuple)]))
            for conversation, row in zip(batch, planned, strict=True):
                yield (
                    NotRendered(conversation.line, row)
                    if isinstance(row, str)
                    else _rendered(conversation, next(encoded))
                )

    def prompt(self, conversation: Conversation, default_context: str = "") -> list[int]:
        """The ids with which a model is asked for the next answer; one that the conversation ends with is left out."""
        pieces, count = self._pieces(_without_answer(conversation), default_context, for_answer=True)
        (encoded,) = self._encoder.encode([(pieces[:count], count)])
        ids: list[int] = encoded.tokens.tolist()
        return ids

    def text(self, conversation: Conversation, default_context: str = "") -> str:
        """The conversation as the template writes it, for people to look at."""
        return self._template.render(self._turns(conversation, default_context))

    def decode(self, ids: Iterable[int], *, skip_special: bool = False) -> str:
        """The text of ids, with control tokens as their own text unless they are skipped."""
        return self._encoder.decode(ids, skip_special=skip_special)

    def _planned(self, conversation: Conversation, default_context: str) -> tuple[list[Piece], int] | str:
        try:
            return self._pieces(conversation, default_context, for_answer=False)
        except InvalidArgument as error:
            return "; ".join(violation.message for violation in error.violations)

    def _pieces(self, conversation: Conversation, default_context: str, *, for_answer: bool) -> tuple[list[Piece], int]:
        """What to encode, and how many of the pieces precede the last trainable answer."""
        if conversation.fim is not None:
            return self._fim_pieces(conversation.fim)
        turns = self._turns(conversation, default_context)
        placed = self._place(turns, for_answer=for_answer)
        trainable = _trainable_turns(conversation, len(turns))
        weighted = [placed.answers[turn] for turn in trainable]
        pieces, starts = self._cut(placed, weighted)
        prompt = len(pieces)
        if weighted and not for_answer:
            last = weighted[-1]
            prompt = bisect.bisect_left(starts, last[0])
            self._end(pieces, prompt, placed, last)
        return pieces, prompt

    def _end(self, pieces: list[Piece], prompt: int, placed: _Placed, last: tuple[int, int]) -> None:
        """Adds the end-of-turn token to a final answer after which the template writes none."""
        if last[1] == len(placed.text) and not any(piece.token in self._ends.all for piece in pieces[prompt:]):
            pieces.append(Piece("", self._ends.turn, weighted=ALL))

    # Fill in the middle -------------------------------------------------------------------------------------------

    def _fim_pieces(self, fim: Fim) -> tuple[list[Piece], int]:
        tokens = self._sentinels()
        named = ("context", "prefix", "suffix", "middle")
        _refuse_surrogates({name: getattr(fim, name) for name in named})
        pieces = [Piece("", token) for token in self._encoder.leading_tokens()]
        for sentinel, text in fim_layout(fim, tokens):
            pieces.append(Piece("", self._encoder.control[sentinel]))
            if text:
                pieces.append(Piece(text, -1, AFTER_TOKEN))
        prompt = len(pieces)
        if fim.middle:
            pieces.append(Piece(fim.middle, -1, AFTER_TOKEN if pieces[-1].token >= 0 else CONTINUED, ALL))
        pieces.append(Piece("", self._ends.text, weighted=ALL))
        return pieces, prompt

    def _sentinels(self) -> FimTokens:
        tokens = self._fim
        if tokens is None or any(token not in self._encoder.control for token in _used(tokens)):
            raise InvalidArgument.of(
                "base_model",
                f"{self._name} was not taught to fill in the middle (its tokenizer has no sentinels for it): use one "
                "that was, such as qwen2.5-coder-1.5b-instruct, set fim_sentinels to add (they are added to the base "
                "model's tokenizer, and trained), or give prompts and answers instead",
            )
        return tokens

    # Messages -----------------------------------------------------------------------------------------------------

    def _turns(self, conversation: Conversation, default_context: str) -> list[Turn]:
        """The messages as the template takes them, with the context before them (S15)."""
        turns = [{"role": message.author, "content": message.content} for message in conversation.messages]
        context = conversation.context
        if context is None and conversation.kind == "chat":
            context = default_context
        if turns and turns[0]["role"] == "system":
            context = "\n\n".join(text for text in (context, turns.pop(0)["content"]) if text)
        if not context:
            return turns
        if self._system_taken():
            return [{"role": "system", "content": context}, *turns]
        first = next((turn for turn in turns if turn["role"] == "user"), None)
        if first is None:
            raise InvalidArgument.of("messages", "there is no user message to put the context before")
        first["content"] = f"{context}\n\n{first['content']}"
        return turns

    def _system_taken(self) -> bool:
        """Whether the template has a place for a context, before an answer and after it; asked with placeholders.

        Some templates refuse one, and some lose it as soon as the conversation does not end with the user.
        """
        if self._takes_system is None:
            prompt = self._outline(("system", "user"), for_answer=True)
            example = self._outline(("system", "user", "assistant"), for_answer=False)
            longer = self._outline(("system", "user", "assistant", "user", "assistant"), for_answer=False)
            self._takes_system = None not in (prompt, example, longer)
        return self._takes_system

    # Where each message lies in the text ---------------------------------------------------------------------------

    def _place(self, turns: Sequence[Turn], *, for_answer: bool) -> _Placed:
        _refuse_surrogates({_name(turns, index): turn["content"] for index, turn in enumerate(turns)})
        text = self._template.render(turns, add_generation_prompt=for_answer)
        outline = self._outline(tuple(turn["role"] for turn in turns), for_answer=for_answer)
        placed = _placed(outline, text, turns) if outline is not None else None
        return placed or self._searched(text, turns)

    def _outline(self, roles: tuple[str, ...], *, for_answer: bool) -> _Outline | None:
        key = (roles, for_answer)
        if key not in self._outlines:
            self._outlines[key] = self._find_outline(roles, for_answer)
        return self._outlines[key]

    def _find_outline(self, roles: tuple[str, ...], for_answer: bool) -> _Outline | None:
        turns = [{"role": role, "content": f"Qz{index}placeholderZq"} for index, role in enumerate(roles)]
        try:
            text = self._template.render(turns, add_generation_prompt=for_answer)
            found = list(_PLACEHOLDER.finditer(text))
            order = tuple(int(match[1]) for match in found)
            edges = [0, *itertools.chain.from_iterable(match.span() for match in found), len(text)]
            regions = tuple(text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True))
            answers = [index for index, role in enumerate(roles) if role == "assistant"]
            if set(order) != set(range(len(roles))) or any(order.count(index) != 1 for index in answers):
                return None
            leads, tails = self._answer_edges(text, turns, regions, order, answers)
        except Refused:
            return None
        return _Outline(regions, order, leads, tails)

    def _answer_edges(
        self, text: str, turns: list[Turn], regions: tuple[str, ...], order: tuple[int, ...], answers: list[int]
    ) -> tuple[dict[int, int], dict[int, int]]:
        # Answers with the same text around them are alike, but the last one: so 1,000 turns cost 6 renderings.
        place = {turn: position for position, turn in enumerate(order)}
        seen: dict[tuple[str, str], tuple[int, int]] = {}
        leads, tails = {}, {}
        for answer in answers:
            around = regions[place[answer]], regions[place[answer] + 1]
            if around not in seen or answer == answers[-1]:
                seen[around] = self._lead(text, turns, answer, around[0]), self._tail(turns, answer, around[1])
            leads[answer], tails[answer] = seen[around]
        return leads, tails

    def _lead(self, text: str, turns: list[Turn], answer: int, region: str) -> int:
        """How much of the region before an answer is not part of the prompt that asks for it."""
        prompt = self._template.render(turns[:answer], add_generation_prompt=True) if answer else ""
        content = text.index(turns[answer]["content"])
        lead = content - len(prompt)
        return lead if answer and text.startswith(prompt) and 0 <= lead <= len(region) else 0

    def _tail(self, turns: list[Turn], answer: int, region: str) -> int:
        """How much of the region after an answer the template also writes where the conversation ends with it."""
        text = self._template.render(turns[: answer + 1])
        _, _, ending = text.rpartition(turns[answer]["content"])
        common = len(_common_start(region, ending))
        inside = [span.start for span in self._encoder.spans(region) if span.start < common < span.end]
        return inside[0] if inside else common

    def _searched(self, text: str, turns: Sequence[Turn]) -> _Placed:
        """For a template that rewrites messages: control tokens are looked for everywhere, so none may be in one."""
        for index, turn in enumerate(turns):
            if turn["content"].strip() not in text:
                raise _rewritten(_name(turns, index))
            spelt = next((token for token in self._encoder.control if token in turn["content"]), None)
            if spelt is not None:
                raise InvalidArgument.of(
                    "messages",
                    f"{_name(turns, index)} holds {spelt!r}, which is a control token of {self._name}, and its chat "
                    "template changes this conversation so that the two cannot be told apart; take it out",
                )
        answers: dict[int, tuple[int, int]] = {}
        position = 0
        for index, turn in enumerate(turns):
            if turn["role"] == "assistant":
                start, position = self._search_answer(text, turns, index, position)
                answers[index] = (start, position)
        return _Placed(text, [], answers)

    def _search_answer(self, text: str, turns: Sequence[Turn], answer: int, position: int) -> tuple[int, int]:
        content = turns[answer]["content"].strip()
        prompt = self._template.render(turns[:answer], add_generation_prompt=True) if answer else ""
        start = len(prompt) if answer and text.startswith(prompt) else text.find(content, position)
        if not content or start < position or content not in text[start:]:
            raise _rewritten(_name(turns, answer))
        if answer + 1 == len(turns):
            return start, len(text)
        ended = self._template.render(turns[: answer + 1])
        return start, len(ended) if text.startswith(ended) else text.index(content, start) + len(content)

    # Pieces -------------------------------------------------------------------------------------------------------

    def _cut(self, placed: _Placed, weighted: Sequence[tuple[int, int]]) -> tuple[list[Piece], list[int]]:
        """The text as pieces, and where each begins: parted at the template's control tokens and at each answer."""
        cuts = sorted(start for start, _ in placed.answers.values())
        tokens = self._tokens(placed, cuts)
        pieces: list[Piece] = []
        starts: list[int] = []
        position = 0
        for start, end, token in [*tokens, (len(placed.text), len(placed.text), -1)]:
            for piece_start, piece_end in _parted(position, start, cuts):
                place = CONTINUED if pieces and pieces[-1].token < 0 else AFTER_TOKEN if pieces else START
                fixed = not _overlaps(piece_start, piece_end, placed.contents)
                weight = _weight(piece_start, piece_end, weighted)
                pieces.append(Piece(placed.text[piece_start:piece_end], -1, place, weight, fixed))
                starts.append(piece_start)
            if token >= 0:
                pieces.append(Piece("", token, weighted=_weight(start, start + 1, weighted)))
                starts.append(start)
            position = end
        return pieces, starts

    def _tokens(self, placed: _Placed, cuts: Sequence[int]) -> list[tuple[int, int, int]]:
        """Start, end and id of the control tokens that the template wrote, with the blanks that belong to them."""
        found = []
        for start, end in _gaps(placed.contents, len(placed.text)):
            for part_start, part_end in _parted(start, end, cuts):
                for span in self._encoder.spans(placed.text[part_start:part_end]):
                    found.append((part_start + span.start, part_start + span.end, span.token))
        return [self._widened(placed.text, *token, cuts) for token in found]

    def _widened(self, text: str, start: int, end: int, token: int, cuts: Sequence[int]) -> tuple[int, int, int]:
        # A tokenizer that swallows blanks beside a token does so in messages too, but not across a cut.
        if self._encoder.swallows_after(token):
            later = bisect.bisect_left(cuts, end)
            limit = cuts[later] if later < len(cuts) else len(text)
            end = limit - len(text[end:limit].lstrip(SPACES))
        if self._encoder.swallows_before(token):
            earlier = bisect.bisect_right(cuts, start)
            limit = cuts[earlier - 1] if earlier else 0
            start = limit + len(text[limit:start].rstrip(SPACES))
        return start, end, token


class _Ends(NamedTuple):
    """Ids that end things: an answer in a chat, a text, and all at which generation stops."""

    turn: int
    text: int
    all: tuple[int, ...]


def _rendered(conversation: Conversation, encoded: Encoded) -> Rendered:
    fim = conversation.fim is not None
    return Rendered(conversation.line, encoded.tokens, encoded.weights, encoded.prompt_tokens, fim)


def _without_answer(conversation: Conversation) -> Conversation:
    messages = conversation.messages
    if messages and messages[-1].author == "assistant":
        messages = messages[:-1]
    plain = tuple(Message(message.author, message.content, False) for message in messages)
    return Conversation(conversation.line, conversation.kind, conversation.context, plain, conversation.fim)


def _trainable_turns(conversation: Conversation, turns: int) -> list[int]:
    """Indices among the turns: they are the last of the messages, whatever became of the context before them."""
    shift = turns - len(conversation.messages)
    return [index + shift for index, message in enumerate(conversation.messages) if message.trainable]


def _placed(outline: _Outline, text: str, turns: Sequence[Turn]) -> _Placed | None:
    """Walks along the text; None if it is not the outline filled with these messages, whole or stripped."""
    position = 0
    contents: list[tuple[int, int]] = []
    answers: dict[int, tuple[int, int]] = {}
    for before, after, turn in zip(outline.regions, outline.regions[1:], outline.order, strict=False):
        if not text.startswith(before, position):
            return None
        start = position + len(before)
        end = _content_end(text, start, turns[turn]["content"], after)
        if end is None:
            return None
        contents.append((start, end))
        if turn in outline.leads:
            answers[turn] = (start - outline.leads[turn], end + outline.tails[turn])
        position = end
    return _Placed(text, contents, answers) if text[position:] == outline.regions[-1] else None


def _content_end(text: str, start: int, content: str, after: str) -> int | None:
    for form in _forms(content):
        if text.startswith(form, start) and text.startswith(after, start + len(form)):
            return start + len(form)
    return None


def _forms(content: str) -> Iterator[str]:
    """What templates make of a message: itself, or itself without the blanks or line ends around it."""
    yield content
    yield content.strip()
    yield content.lstrip()
    yield content.rstrip()
    yield content.strip("\n")
    yield content.lstrip("\n")
    yield content.rstrip("\n")


def _gaps(intervals: Sequence[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """What lies between the intervals, without empty pieces."""
    edges = [0, *itertools.chain.from_iterable(intervals), length]
    return [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if start < end]


def _parted(start: int, end: int, cuts: Sequence[int]) -> list[tuple[int, int]]:
    """The range, parted at the cuts inside it; nothing if it is empty."""
    inside = cuts[bisect.bisect_right(cuts, start) : bisect.bisect_left(cuts, end)]
    edges = [start, *inside, end]
    return [(a, b) for a, b in itertools.pairwise(edges) if a < b]


def _overlaps(start: int, end: int, intervals: Sequence[tuple[int, int]]) -> bool:
    before = bisect.bisect_left(intervals, (end, end))
    return before > 0 and intervals[before - 1][1] > start


def _weight(start: int, end: int, weighted: Sequence[tuple[int, int]]) -> int:
    """How many characters of a piece are trained, as `Piece.weighted` says it. An answer begins where a piece does."""
    before = bisect.bisect_right(weighted, (start, sys.maxsize))
    if not before or weighted[before - 1][1] <= start:
        return 0
    answer_end = weighted[before - 1][1]
    return ALL if end <= answer_end else answer_end - start


def _common_start(a: str, b: str) -> str:
    length = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return a[:length]


def _used(tokens: FimTokens) -> tuple[str, ...]:
    return (tokens.prefix, tokens.suffix) if tokens.suffix_first else (tokens.prefix, tokens.suffix, tokens.middle)


def _refuse_surrogates(texts: Mapping[str, str]) -> None:
    """InvalidArgument for a text that no encoding can write; `texts` are by the names of their places."""
    for name, text in texts.items():
        found = _SURROGATE.search(text)
        if found:
            raise InvalidArgument.of(
                "messages",
                f"{name} has half a character (\\u{ord(found[0]):x}) at {found.start()}; write the character whole, or "
                "take it out",
            )


def _name(turns: Sequence[Turn], index: int) -> str:
    """What a turn is called to its author, as in check.py: the context, or a message counted from 1."""
    if turns[0]["role"] == "system":
        return f"message {index}" if index else "context"
    return f"message {index + 1}"


def _rewritten(name: str) -> InvalidArgument:
    return InvalidArgument.of(
        "messages", f"the model's chat template leaves out or rewrites {name}; nothing can be learnt from the row"
    )


def _read(folder: Path, name: str) -> dict[str, Any]:
    file = folder / name
    facts: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return facts


def _named_tokens(folder: Path) -> dict[str, str]:
    """bos_token and the others by their names, as templates know them."""
    facts = {**_read(folder, "special_tokens_map.json"), **_read(folder, "tokenizer_config.json")}
    found = {}
    for name in _NAMED_TOKENS:
        value = facts.get(name)
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str):
            found[name] = text
    return found


def _ends(folder: Path, base: BaseModel, encoder: Encoder, named: dict[str, str]) -> _Ends:
    stops = _stop_ids(folder)
    turn = _token(encoder, base.end_of_turn or named.get("eos_token"))
    if turn is None and base.end_of_turn is not None:
        raise FailedPrecondition(f"base_model: the tokenizer in {folder} does not know {base.end_of_turn!r}")
    if turn is None and not stops:
        raise _endless(folder)
    first = stops[0] if turn is None else turn
    end = next((t for t in (_token(encoder, text) for text in _END_OF_TEXT) if t is not None), first)
    eos = _token(encoder, named.get("eos_token"))
    known = [first, *([] if eos is None else [eos]), *stops, *([end] if base.fim else [])]
    return _Ends(first, end, tuple(dict.fromkeys(known)))


def _stop_ids(folder: Path) -> list[int]:
    """eos_token_id of generation_config.json, else of config.json: one id or several."""
    for name in ("generation_config.json", "config.json"):
        value = _read(folder, name).get("eos_token_id")
        if value is not None:
            return [int(token) for token in (value if isinstance(value, list) else [value])]
    return []


def _token(encoder: Encoder, text: str | None) -> int | None:
    return None if text is None else encoder.control.get(text)


def _endless(folder: Path) -> TunesmithError:
    return FailedPrecondition(
        f"base_model: {folder} names no token that ends a text (eos_token in tokenizer_config.json, eos_token_id in "
        "generation_config.json); an answer would never end"
    )
