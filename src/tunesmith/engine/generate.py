"""Answers: batched decoding with a key-value cache, greedy or sampled from a seed.

A prompt is a Conversation without its last answer, rendered by the same function that rendered the training
examples (data/render.py), so a model is asked in the words it was tuned in. Prompts are padded on the left; a row is
done at the end-of-turn token, a stop text, or `max_output_tokens`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tunesmith.catalog import BaseModel
from tunesmith.data.formats import Conversation
from tunesmith.data.render import Renderer
from tunesmith.engine.adapters import load_tuned
from tunesmith.engine.device import Device, probe
from tunesmith.engine.model import LanguageModel, Prepared, load
from tunesmith.errors import InvalidArgument

MAX_BATCH = 8

# Below this the most likely token has all of the probability in float32, and quotients overflow a little further down.
_COLDEST = 1e-4
# A nucleus of 0.95 rarely has more tokens; looking for them costs a tenth of sorting a vocabulary.
_USUAL_NUCLEUS = 1024


class Sampling(NamedTuple):
    """How a token is drawn. Temperature 0 is greedy; None and 1.0 leave the others out."""

    temperature: float = 0.0
    top_k: int | None = None
    """Only from so many of the most likely."""
    top_p: float = 1.0
    """Only from the most likely that together have this probability, after top_k."""


GREEDY = Sampling()


class Generator:
    """A loaded model that answers."""

    def __init__(self, model: LanguageModel, renderer: Renderer, context_tokens: int) -> None:
        self._model = model
        self._renderer = renderer
        self._context_tokens = context_tokens
        set_for_decoding(model)

    @classmethod
    def load(
        cls, prepared: Prepared, base: BaseModel, tuned: Path | None = None, device: Device | None = None
    ) -> Generator:
        """The base model, or the tuned one in `tuned`, ready to answer on the best device here."""
        device = device or probe()
        model = load(prepared.folder, device) if tuned is None else load_tuned(tuned, prepared, device)
        return cls(model, Renderer.open(prepared.folder, base), base.context_tokens)

    def answer(
        self,
        conversations: Sequence[Conversation],
        *,
        max_output_tokens: int = 1024,
        temperature: float = 0.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[str]:
        """One answer a conversation, in their order. Temperature 0 is greedy.

        on_progress  is told how many tokens of how many at most a batch's answers have; may raise to stop.
        """
        prompts = [self._prompt(c, max_output_tokens) for c in conversations]
        return self.complete(
            prompts, max_output_tokens=max_output_tokens, temperature=temperature, seed=seed, stop=stop,
            on_progress=on_progress,
        )  # fmt: skip

    def complete(
        self,
        prompts: Sequence[list[int]],
        *,
        max_output_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[str]:
        """As `answer`, of prompts that are ids already and fit into the context."""
        answers = [""] * len(prompts)
        by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        for start in range(0, len(by_length), MAX_BATCH):
            chosen = by_length[start : start + MAX_BATCH]
            rows: list[list[int]] = [[] for _ in chosen]
            for tokens in self._decode([prompts[i] for i in chosen], max_output_tokens, temperature, seed, stop):
                for row, token in zip(rows, tokens, strict=True):
                    if token is not None:
                        row.append(token)
                on_progress(max(map(len, rows)), max_output_tokens)
            for i, row in zip(chosen, rows, strict=True):
                answers[i] = cut(self._renderer.decode(row), stop)
        return answers

    def stream(
        self,
        conversation: Conversation,
        *,
        max_output_tokens: int = 1024,
        temperature: float = 0.0,
        seed: int = 0,
        stop: Sequence[str] = (),
    ) -> Iterator[str]:
        """The answer in pieces as it is made; a piece never ends inside a character or a possible stop text."""
        answer = Answer(self._renderer, stop)
        prompt = self._prompt(conversation, max_output_tokens)
        for (token,) in self._decode([prompt], max_output_tokens, temperature, seed, stop):
            if token is not None:
                answer.add(token)
            if piece := answer.piece():
                yield piece
        if rest := answer.rest():
            yield rest

    def _prompt(self, conversation: Conversation, max_output_tokens: int) -> list[int]:
        if max_output_tokens < 1:
            raise InvalidArgument.of("max_output_tokens", f"must be at least 1, got {max_output_tokens}")
        prompt = list(self._renderer.prompt(conversation))
        if len(prompt) + 1 > self._context_tokens:
            raise InvalidArgument.of(
                "prompt", f"has {len(prompt):,} tokens; the model's context is {self._context_tokens:,}: shorten it"
            )
        return prompt

    @torch.no_grad()
    def _decode(
        self, prompts: Sequence[list[int]], max_output_tokens: int, temperature: float, seed: int, stop: Sequence[str]
    ) -> Iterator[list[int | None]]:
        """One token a row at a time; None for a row that is done. Ends when all are."""
        if not (math.isfinite(temperature) and temperature >= 0):
            raise InvalidArgument.of("temperature", f"must be a number from 0, got {temperature}")
        from transformers import DynamicCache

        causal_lm, device = self._model.causal_lm, self._model.device.torch_device
        width = max(len(p) for p in prompts)
        steps = min(max_output_tokens, self._context_tokens - width)
        tokens = torch.tensor([[0] * (width - len(p)) + p for p in prompts], device=device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache: Any = DynamicCache(config=causal_lm.config)
        random = torch.Generator(device).manual_seed(seed)
        rows: list[list[int]] = [[] for _ in prompts]
        done = [False] * len(prompts)
        for _ in range(steps):
            output = causal_lm(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            chosen = choose(output.logits[:, -1].float(), Sampling(temperature), random)
            made: list[int | None] = []
            for i, token in enumerate(chosen.tolist()):
                done[i] = done[i] or token in self._renderer.end_of_turn_ids
                made.append(None if done[i] else token)
                if not done[i]:
                    rows[i].append(token)
                    done[i] = bool(stop) and cut(text := self._renderer.decode(rows[i]), stop) != text
            yield made
            if all(done):
                return
            tokens = chosen[:, None]
            mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], 1)
            positions = positions[:, -1:] + 1


def cut(text: str, stop: Sequence[str]) -> str:
    """The text before the first stop text in it."""
    ends = [text.find(s) for s in stop if s and s in text]
    return text[: min(ends)] if ends else text


class Answer:
    """One answer as its tokens come: its text so far, and what of it can no longer change."""

    def __init__(self, renderer: Renderer, stop: Sequence[str]) -> None:
        self._renderer = renderer
        self._stop = stop
        self._sent = 0
        self.tokens: list[int] = []
        self.text = ""
        """Up to the first stop text."""
        self.stopped = False
        """Whether a stop text has come."""

    def add(self, token: int) -> None:
        """One token more; never one that ends a turn."""
        self.tokens.append(token)
        whole = self._renderer.decode(self.tokens)
        self.text = cut(whole, self._stop)
        self.stopped = self.text != whole

    def piece(self) -> str:
        """What may be sent now; ends neither inside a character nor inside what may become a stop text."""
        return self._send(len(self.text) - _unfinished(self.text, self._stop))

    def rest(self) -> str:
        """What is left when no token comes any more."""
        return self._send(len(self.text))

    def _send(self, end: int) -> str:
        start, self._sent = self._sent, max(self._sent, end)
        return self.text[start:end]


def set_for_decoding(model: LanguageModel) -> None:
    """Decoding has one query row against a cache: the flat attention of training is not made for it."""
    model.causal_lm.set_attn_implementation("sdpa" if model.causal_lm._supports_sdpa else "eager")


def choose(logits_RV: torch.Tensor, sampling: Sampling, random: torch.Generator) -> torch.Tensor:
    """The next token of each of R rows: the most likely one, or one drawn from what `sampling` leaves."""
    if sampling.temperature == 0:
        return logits_RV.argmax(-1)
    temperature = max(sampling.temperature, _COLDEST)
    probabilities_RV = torch.softmax((logits_RV - logits_RV.amax(-1, keepdim=True)) / temperature, -1)
    if sampling.top_k is not None:
        likely_RK = probabilities_RV.topk(min(sampling.top_k, probabilities_RV.shape[-1])).values
        probabilities_RV = probabilities_RV.where(probabilities_RV >= likely_RK[:, -1:], 0.0)
    if sampling.top_p < 1:
        probabilities_RV = probabilities_RV.where(probabilities_RV >= _nucleus(probabilities_RV, sampling.top_p), 0.0)
    return torch.multinomial(probabilities_RV, 1, generator=random)[:, 0]


def _nucleus(probabilities_RV: torch.Tensor, top_p: float) -> torch.Tensor:
    """The smallest probability among the most likely tokens that together have `top_p` of all, of each row (R x 1)."""
    enough_R1 = probabilities_RV.sum(-1, keepdim=True) * top_p
    likely_RK = probabilities_RV.topk(min(_USUAL_NUCLEUS, probabilities_RV.shape[-1])).values
    if bool((likely_RK.sum(-1, keepdim=True) < enough_R1).any()):
        likely_RK = probabilities_RV.sort(-1, descending=True).values
    before_RK = likely_RK.cumsum(-1) - likely_RK
    return likely_RK.masked_fill(before_RK >= enough_R1, torch.inf).amin(-1, keepdim=True)


def _unfinished(text: str, stop: Sequence[str]) -> int:
    """Characters at the end that may still change: half a character, or the beginning of a stop text."""
    waiting = 1 if text.endswith("\ufffd") else 0
    for s in stop:
        waiting = max([waiting, *(n for n in range(1, min(len(s), len(text) + 1)) if text.endswith(s[:n]))])
    return waiting
