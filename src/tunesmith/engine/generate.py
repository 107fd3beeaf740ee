"""Answers: batched decoding with a key-value cache, greedy or sampled from a seed.

A prompt is a Conversation without its last answer, rendered by the same function that rendered the training
examples (data/render.py), so a model is asked in the words it was tuned in. Prompts are padded on the left; a row is
done at the end-of-turn token, a stop text, or `max_output_tokens`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from tunesmith.catalog import BaseModel
from tunesmith.data.formats import Conversation
from tunesmith.data.render import Renderer
from tunesmith.engine.adapters import load_tuned
from tunesmith.engine.device import Device, probe
from tunesmith.engine.model import LanguageModel, Prepared, load
from tunesmith.errors import InvalidArgument

MAX_BATCH = 8


class Generator:
    """A loaded model that answers."""

    def __init__(self, model: LanguageModel, renderer: Renderer, context_tokens: int) -> None:
        self._model = model
        self._renderer = renderer
        self._context_tokens = context_tokens
        # Decoding has one query row against a cache: the flat attention of training is not made for it.
        model.causal_lm.set_attn_implementation("sdpa" if model.causal_lm._supports_sdpa else "eager")

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
        tokens: list[int] = []
        sent = 0
        prompt = self._prompt(conversation, max_output_tokens)
        for (token,) in self._decode([prompt], max_output_tokens, temperature, seed, stop):
            if token is not None:
                tokens.append(token)
            text = cut(self._renderer.decode(tokens), stop)
            safe = len(text) - _unfinished(text, stop)
            if safe > sent:
                yield text[sent:safe]
                sent = safe
        text = cut(self._renderer.decode(tokens), stop)
        if len(text) > sent:
            yield text[sent:]

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
            chosen = _choose(output.logits[:, -1].float(), temperature, random)
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


def _choose(logits_RV: torch.Tensor, temperature: float, random: torch.Generator) -> torch.Tensor:
    if temperature == 0:
        return logits_RV.argmax(-1)
    return torch.multinomial(torch.softmax(logits_RV / temperature, -1), 1, generator=random)[:, 0]


def _unfinished(text: str, stop: Sequence[str]) -> int:
    """Characters at the end that may still change: half a character, or the beginning of a stop text."""
    waiting = 1 if text.endswith("\ufffd") else 0
    for s in stop:
        waiting = max([waiting, *(n for n in range(1, min(len(s), len(text) + 1)) if text.endswith(s[:n]))])
    return waiting
