"""What is asked of a served model: JSON in, prompt and sampling out, with every value checked.

Prompts are rendered as training rendered them (data/render.py). Values that no base model could serve are refused
here, before anything waits for a row; what depends on the adapter is found out when that is loaded. The folder that a
request names is another process's word: it must lie below the folder of registered models.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith import catalog
from tunesmith.catalog import BaseModel
from tunesmith.data.formats import Author, Conversation, Fim, Message
from tunesmith.data.render import Renderer
from tunesmith.engine.continuous import Ask
from tunesmith.engine.generate import Sampling
from tunesmith.engine.shelf import Tuned
from tunesmith.errors import InvalidArgument, Violation
from tunesmith.questions import Chat, Code, CountRequest, GenerateRequest, NamedModel

# "bot" is what the reference product's clients call it in a history.
_AUTHORS: Mapping[str, Author] = {"user": "user", "assistant": "assistant", "bot": "assistant"}


class RequestReader:
    """Reads the requests to one loaded base model. May be used from several threads."""

    def __init__(self, base: BaseModel, renderer: Renderer, models: Path | None) -> None:
        self._base = base
        self._renderer = renderer
        self._models = models.resolve() if models else None

    def generate(self, body: bytes) -> Ask:
        """What the request of POST /generate wants; InvalidArgument names each field that is wrong."""
        return self.ask(_fields(body))

    def ask(self, fields: dict[str, Any]) -> Ask:
        """As `generate`, of a body that has been read."""
        said = GenerateRequest.parse(fields)
        context = self._base.context_tokens
        if said.max_output_tokens > context:
            raise InvalidArgument.of(
                "max_output_tokens", f"at most the model's context of {context:,}, got {said.max_output_tokens:,}"
            )
        prompt = self._prompt(said)
        if len(prompt) + 1 > context:
            raise InvalidArgument.of(
                "conversation", f"has {len(prompt):,} tokens; the model's context is {context:,}: shorten it"
            )
        return Ask(
            prompt=prompt,
            tuned=self._tuned(said.model),
            max_output_tokens=said.max_output_tokens,
            sampling=Sampling(said.temperature, said.top_k, said.top_p),
            stop=said.stop,
            seed=secrets.randbits(63) if said.seed is None else said.seed,
            candidates=said.candidates,
        )

    def count(self, body: bytes) -> int:
        """How many tokens the prompt of the request of POST /count has."""
        said = CountRequest.parse(_fields(body))
        self._tuned(said.model)
        return len(self._prompt(said))

    def _tuned(self, model: NamedModel | None) -> Tuned | None:
        if model is None:
            return None
        if self._models is None:
            raise InvalidArgument.of("model", "this process was started without a folder of models: ask the base model")
        # Resolved once, so that what is opened later is what was looked at here.
        place = Path(model.folder).resolve()
        inside = [place, (place / "adapter").resolve(), (place / "model").resolve()]
        if place == self._models or not all(path.is_relative_to(self._models) for path in inside):
            raise InvalidArgument.of("model.folder", f"{model.folder} does not lie in the folder of registered models")
        return Tuned(model.name, place)

    def _prompt(self, said: CountRequest) -> tuple[int, ...]:
        cls = Chat if "messages" in said.conversation else Code
        try:
            asked = cls.parse(said.conversation)
        except InvalidArgument as error:
            inner = [Violation(f"conversation.{v.field}", v.message) for v in error.violations]
            raise InvalidArgument.of_all(inner) from error
        conversation = _chat(asked) if isinstance(asked, Chat) else self._code(asked)
        return tuple(self._renderer.prompt(conversation))

    def _code(self, asked: Code) -> Conversation:
        if asked.suffix:
            self._refuse_without_fim()
            return Conversation(0, "fim", None, (), Fim(asked.prefix, asked.suffix, ""))
        if not asked.prefix:
            raise InvalidArgument.of("conversation.prefix", "is empty; write the beginning of what is to be generated")
        return Conversation(0, asked.kind, None, (Message("user", asked.prefix, False),))

    def _refuse_without_fim(self) -> None:
        if self._base.fim is None:
            known = ", ".join(name for name, base in catalog.BASE_MODELS.items() if base.fim)
            raise InvalidArgument.of(
                "conversation.suffix",
                f"{self._base.name} was not taught to fill in the middle; leave it out, or use one of {known}",
            )


def _fields(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument.of("body", f"is not JSON ({error})") from error
    if not isinstance(fields, dict):
        raise InvalidArgument.of("body", f"must be a JSON object, got {type(fields).__name__}")
    return fields


def _chat(asked: Chat) -> Conversation:
    first, last = asked.messages[0], asked.messages[-1]
    if first.author != "user" or last.author != "user":
        raise InvalidArgument.of("conversation.messages", "must begin and end with the user's: what is to be answered")
    if not last.content:
        raise InvalidArgument.of("conversation.messages", "the last one is empty; write what is to be answered")
    messages = [Message(_AUTHORS[turn.author], turn.content, False) for turn in asked.messages]
    return Conversation(0, "chat", asked.context, tuple(messages))
