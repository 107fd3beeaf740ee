"""Continuous batching: rows join the batch between two steps and leave it as soon as they are done.

In: prompts as token ids, each with its model and sampling (`Ask`). Out: events, told to whoever asked, from the one
thread that runs `Batcher.run` and touches the model. A prompt is computed alone, in pieces of PREFILL_TOKENS between
the others' steps, and once for all of its candidates; then its rows decode with the others, each with its own
adapter, random numbers and stop texts. What a row says does not depend on who is beside it, up to the rounding of
products of another size. The number of rows and of those who wait is bounded.

Shapes: R rows, W columns of the cache (the longest row; the others are padded on the left), V vocabulary.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch.nn.functional import pad

from tunesmith.data.render import Renderer
from tunesmith.engine.generate import GREEDY, Answer, Sampling, choose
from tunesmith.engine.shelf import Shelf, Tuned
from tunesmith.errors import (
    Cancelled,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
    TunesmithError,
    Unavailable,
)

PREFILL_TOKENS = 512
"""Of a prompt at once: the others wait for so many at most between two of their tokens."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at once. An adapter for every row, so that a row never waits for another's adapter to leave."""

    rows: int = 8
    """Answers that are made at once."""
    waiting: int = 256
    """Requests that wait for a row; one more is refused."""
    adapters: int = 16
    """Adapters beside the base at once."""
    grace_s: float = 30.0
    """What runs when the process is asked to stop has so long to end."""

    def check(self) -> Limits:
        """Itself; InvalidArgument if it cannot be kept."""
        if self.rows < 1 or self.waiting < 0 or self.grace_s < 0:
            raise InvalidArgument.of("limits", f"rows from 1, waiting and grace_s from 0, got {self}")
        if self.adapters < self.rows:
            raise InvalidArgument.of(
                "limits.adapters", f"must be at least rows: each of {self.rows} may need its own, got {self.adapters}"
            )
        return self


@dataclass(frozen=True, slots=True)
class Ask:
    """What one request wants, checked."""

    prompt: tuple[int, ...]
    tuned: Tuned | None
    max_output_tokens: int
    sampling: Sampling = GREEDY
    stop: tuple[str, ...] = ()
    seed: int = 0
    candidates: int = 1


class Piece(NamedTuple):
    """Some more text of one candidate."""

    candidate: int
    text: str


class Finish(NamedTuple):
    """A candidate is done: at an end-of-turn token or stop text, or because it may not be longer."""

    candidate: int
    reason: Literal["stop", "length"]
    output_tokens: int


class Done(NamedTuple):
    """All candidates are."""

    input_tokens: int


class Failed(NamedTuple):
    """None will be; the last event."""

    error: TunesmithError


Event = Piece | Finish | Done | Failed


class Ticket:
    """One request on its way. `deliver` is called from the batching thread and must not wait."""

    def __init__(self, ask: Ask, deliver: Callable[[Event], None]) -> None:
        self.ask = ask
        self.deliver = deliver
        self.cancelled = False
        self.open_candidates = ask.candidates
        self.word = ""
        """Of its adapter, while that is taken."""

    def cancel(self) -> None:
        """Nobody waits for it any more: its rows leave before the next step."""
        self.cancelled = True


@dataclass(slots=True)
class _Row:
    """One candidate in the batch."""

    ticket: Ticket
    candidate: int
    answer: Answer
    budget: int
    """Tokens that it may have at most."""
    random: torch.Generator
    token: int = -1
    """Made last, not yet in the cache."""


@dataclass(slots=True)
class _Joining:
    """A prompt whose first `done` tokens are in its own cache."""

    ticket: Ticket
    cache: Any
    done: int = 0


@dataclass(slots=True)
class _Cache:
    """Keys and values of all rows, padded on the left to the longest."""

    dynamic: Any = None
    lengths: list[int] = field(default_factory=list)
    """Of each row, without padding."""

    def join(self, newcomer: Any, length: int, copies: int) -> None:
        """Adds rows that each hold what the one row of `newcomer` holds."""
        newcomer.batch_repeat_interleave(copies)
        if self.dynamic is None:
            self.dynamic = newcomer
        else:
            width = max([length, *self.lengths])
            for mine, other in zip(self.dynamic.layers, newcomer.layers, strict=True):
                mine.keys = torch.cat([_widened(mine.keys, width), _widened(other.keys, width)])
                mine.values = torch.cat([_widened(mine.values, width), _widened(other.values, width)])
        self.lengths += [length] * copies

    def keep(self, rows: Sequence[int]) -> None:
        """Leaves out the other rows, and the columns that only they filled."""
        unneeded = max(self.lengths) - max((self.lengths[r] for r in rows), default=0)
        self.lengths = [self.lengths[r] for r in rows]
        if not rows:
            self.dynamic = None
            return
        for layer in self.dynamic.layers:
            chosen = torch.tensor(rows, device=layer.keys.device)
            layer.keys = layer.keys[:, :, unneeded:][chosen]
            layer.values = layer.values[:, :, unneeded:][chosen]

    def inputs(self, tokens: Sequence[int], device: torch.device) -> dict[str, Any]:
        """What the model is called with to add one token to each row; counts it as added."""
        lengths = torch.tensor(self.lengths, device=device)[:, None]
        columns = torch.arange(max(self.lengths) + 1, device=device)
        mask = (columns >= max(self.lengths) - lengths).long()
        self.lengths = [length + 1 for length in self.lengths]
        return {
            "input_ids": torch.tensor(tokens, device=device)[:, None],
            "attention_mask": mask,
            "position_ids": lengths,
            "past_key_values": self.dynamic,
        }


def new_answer(ask: Ask, renderer: Renderer) -> Answer:
    """What a candidate of this request starts with."""
    return Answer(renderer, ask.stop)


def seed_of(ask: Ask, candidate: int) -> int:
    """Each candidate's own: the first has the request's itself."""
    return ask.seed if candidate == 0 else random.Random(f"{ask.seed}/{candidate}").getrandbits(63)


def add_token(
    ticket: Ticket, candidate: int, answer: Answer, token: int, budget: int, end_of_turn_ids: Collection[int]
) -> bool:
    """Tells what the token adds to a candidate; False, after its end was told, if it was the last."""
    if token in end_of_turn_ids:
        tell_end(ticket, candidate, answer, "stop")
        return False
    answer.add(token)
    if answer.stopped or len(answer.tokens) >= budget:
        tell_end(ticket, candidate, answer, "stop" if answer.stopped else "length")
        return False
    if piece := answer.piece():
        ticket.deliver(Piece(candidate, piece))
    return True


def tell_end(ticket: Ticket, candidate: int, answer: Answer, reason: Literal["stop", "length"]) -> None:
    """Tells a candidate's last text, and that it has ended."""
    if rest := answer.rest():
        ticket.deliver(Piece(candidate, rest))
    ticket.deliver(Finish(candidate, reason, len(answer.tokens)))
    ticket.open_candidates -= 1


class Batcher:
    """All requests of one served model. `run` is its thread; the rest may be called from any."""

    def __init__(self, shelf: Shelf, renderer: Renderer, context_tokens: int, limits: Limits) -> None:
        self._shelf = shelf
        self._renderer = renderer
        self._context_tokens = context_tokens
        self._limits = limits
        self._changed = threading.Condition()
        self._accepts = True
        self._closed = False
        self._waiting: deque[Ticket] = deque()
        self._joining: _Joining | None = None
        self._rows: list[_Row] = []
        self._cache = _Cache()

    def submit(self, ask: Ask, deliver: Callable[[Event], None]) -> Ticket:
        """Takes the request in. ResourceExhausted if too many wait, Unavailable if no more are taken."""
        if ask.candidates > self._limits.rows:
            raise InvalidArgument.of("candidates", f"at most {self._limits.rows} here, got {ask.candidates}")
        ticket = Ticket(ask, deliver)
        with self._changed:
            if not self._accepts:
                raise Unavailable("this model's process is about to end and takes no more requests; ask again")
            if len(self._waiting) >= self._limits.waiting:
                raise ResourceExhausted(
                    f"{len(self._waiting)} requests wait for {self._limits.rows} rows already "
                    f"(limit {self._limits.waiting}); ask again later, or raise `waiting`"
                )
            self._waiting.append(ticket)
            self._changed.notify()
        return ticket

    @property
    def accepts(self) -> bool:
        """Whether `submit` takes requests."""
        return self._accepts

    @property
    def names(self) -> tuple[str, ...]:
        """Of the models whose adapters are loaded, the one asked for last at the end."""
        return self._shelf.names

    def counts(self) -> tuple[int, int]:
        """Candidates that are being made, and requests that wait."""
        with self._changed:
            joining = self._joining.ticket.ask.candidates if self._joining else 0
            return len(self._rows) + joining, len(self._waiting)

    def refuse_more(self) -> None:
        """From now on `submit` refuses; what it has taken in goes on."""
        with self._changed:
            self._accepts = False

    def close(self) -> None:
        """Ends `run` after the step that it is in; what has not ended fails."""
        with self._changed:
            self._accepts, self._closed = False, True
            self._changed.notify()

    @torch.no_grad()
    def run(self) -> None:
        """Serves until `close`. An error that is no single request's fault ends it."""
        try:
            while self._wait_for_work():
                self._drop_cancelled()
                self._admit()
                self._prefill()
                self._step()
        finally:
            self.close()
            self._fail_all(Unavailable("this model's process ended before the answer did; ask again"))

    def _wait_for_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting or self._joining or self._rows)
            return not self._closed

    def _drop_cancelled(self) -> None:
        gone = [ticket for ticket in self._tickets() if ticket.cancelled]
        if gone:
            self._end(gone, Cancelled("whoever asked has gone"))

    def _tickets(self) -> list[Ticket]:
        """All, each once."""
        with self._changed:
            joining = [self._joining.ticket] if self._joining else []
            return list(dict.fromkeys([*(row.ticket for row in self._rows), *joining, *self._waiting]))

    def _end(self, tickets: Iterable[Ticket], error: TunesmithError) -> None:
        """Takes them out wherever they are, and tells them why."""
        ended = set(tickets)
        with self._changed:
            self._waiting = deque(ticket for ticket in self._waiting if ticket not in ended)
            if self._joining and self._joining.ticket in ended:
                self._joining = None
        self._keep_rows([row.ticket not in ended for row in self._rows])
        for ticket in ended:
            self._give_back(ticket)
            ticket.deliver(Failed(error))

    def _fail_all(self, error: TunesmithError) -> None:
        self._end(self._tickets(), error)

    # A prompt on its way into the batch ------------------------------------------------------------------------------

    def _admit(self) -> None:
        """Begins the first request that waits, if it has room."""
        with self._changed:
            if self._joining or not self._waiting:
                return
            if len(self._rows) + self._waiting[0].ask.candidates > self._limits.rows:
                return
            ticket = self._waiting.popleft()
            self._joining = _Joining(ticket, _new_cache())
        try:
            ticket.word = self._shelf.take(ticket.ask.tuned)
        except TunesmithError as error:
            self._end([ticket], error)

    def _prefill(self) -> None:
        """The next piece of the joining prompt; after the last one its rows join the batch."""
        joining = self._joining
        if joining is None:
            return
        try:
            logits_1V = self._prefilled(joining)
        except torch.OutOfMemoryError as error:
            self._end([joining.ticket], self._out_of_memory(error))
            return
        if joining.done == len(joining.ticket.ask.prompt):
            self._join(joining, logits_1V)

    def _prefilled(self, joining: _Joining) -> torch.Tensor:
        prompt, start = joining.ticket.ask.prompt, joining.done
        joining.done = end = min(start + PREFILL_TOKENS, len(prompt))
        device = self._shelf.device
        return self._shelf.next_logits(
            [joining.ticket.word],
            input_ids=torch.tensor([prompt[start:end]], device=device),
            attention_mask=torch.ones(1, end, dtype=torch.long, device=device),
            position_ids=torch.arange(start, end, device=device)[None],
            past_key_values=joining.cache,
        )

    def _join(self, joining: _Joining, logits_1V: torch.Tensor) -> None:
        ask = joining.ticket.ask
        rows = [self._new_row(joining.ticket, candidate) for candidate in range(ask.candidates)]
        try:
            self._cache.join(joining.cache, len(ask.prompt), ask.candidates)
        except torch.OutOfMemoryError as error:
            # Some layers have the new rows and some have not: none of the rows can go on.
            self._end({joining.ticket, *(row.ticket for row in self._rows)}, self._out_of_memory(error))
            return
        with self._changed:
            self._joining = None
            self._rows += rows
        self._advance(len(self._rows) - len(rows), logits_1V.expand(len(rows), -1))

    def _new_row(self, ticket: Ticket, candidate: int) -> _Row:
        return _Row(
            ticket,
            candidate,
            new_answer(ticket.ask, self._renderer),
            budget=min(ticket.ask.max_output_tokens, self._context_tokens - len(ticket.ask.prompt)),
            random=torch.Generator(self._shelf.device).manual_seed(seed_of(ticket.ask, candidate)),
        )

    # One token for every row -----------------------------------------------------------------------------------------

    def _step(self) -> None:
        if not self._rows:
            return
        words = [row.ticket.word for row in self._rows]
        try:
            inputs = self._cache.inputs([row.token for row in self._rows], self._shelf.device)
            logits_RV = self._shelf.next_logits(words, **inputs)
        except torch.OutOfMemoryError as error:
            # Some layers have the new column and some have not: none of the rows can go on.
            self._end({row.ticket for row in self._rows}, self._out_of_memory(error))
            return
        self._advance(0, logits_RV)

    def _advance(self, first: int, logits_RV: torch.Tensor) -> None:
        """Gives each row from `first` on its next token; those that are done leave."""
        if broken := self._without_numbers(first, logits_RV):
            sound = [row.ticket not in broken for row in self._rows[first:]]
            self._end(broken, FailedPrecondition("model: its weights make no numbers (NaN or infinite); tune it again"))
            logits_RV = logits_RV[torch.tensor(sound, device=logits_RV.device)]
        most_likely = logits_RV.argmax(-1).tolist()
        stays = [True] * len(self._rows)
        for i, row in enumerate(self._rows[first:]):
            sampling = row.ticket.ask.sampling
            token = most_likely[i] if sampling.temperature == 0 else _drawn(logits_RV[i : i + 1], sampling, row.random)
            stays[first + i] = self._accept(row, token)
        self._keep_rows(stays)

    def _without_numbers(self, first: int, logits_RV: torch.Tensor) -> set[Ticket]:
        """Requests for which no token can be drawn: to try it would end the process, and with it all the others."""
        sound = logits_RV.amax(-1).isfinite().tolist()
        return {row.ticket for row, is_sound in zip(self._rows[first:], sound, strict=True) if not is_sound}

    def _accept(self, row: _Row, token: int) -> bool:
        """Tells what the token adds; False if it was the row's last."""
        row.token = token
        ticket = row.ticket
        goes_on = add_token(ticket, row.candidate, row.answer, token, row.budget, self._renderer.end_of_turn_ids)
        if not ticket.open_candidates:
            self._give_back(ticket)
            ticket.deliver(Done(len(ticket.ask.prompt)))
        return goes_on

    def _keep_rows(self, stays: Sequence[bool]) -> None:
        if all(stays):
            return
        kept = [i for i, stay in enumerate(stays) if stay]
        self._cache.keep(kept)
        with self._changed:
            self._rows = [self._rows[i] for i in kept]

    def _give_back(self, ticket: Ticket) -> None:
        word, ticket.word = ticket.word, ""
        self._shelf.give_back(word)

    def _out_of_memory(self, error: Exception) -> ResourceExhausted:
        return ResourceExhausted(
            f"out of memory with {len(self._rows)} rows of up to {max(self._cache.lengths, default=0):,} tokens "
            f"({error}); serve with fewer `rows`, or ask with shorter prompts"
        )


def _new_cache() -> Any:
    """Keeps every column, also of layers that look back only so far: then all layers are padded alike."""
    from transformers import DynamicCache

    return DynamicCache()


def _widened(states: torch.Tensor, width: int) -> torch.Tensor:
    return pad(states, (0, 0, width - states.shape[2], 0))


def _drawn(logits_1V: torch.Tensor, sampling: Sampling, random: torch.Generator) -> int:
    return int(choose(logits_1V, sampling, random))
