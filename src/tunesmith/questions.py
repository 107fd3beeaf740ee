"""What a served model is asked, as JSON: a conversation, how the answer is drawn, and which tuned model gives it.

The words between those who take predictions in (the API, the task of a batch) and the engine, which answers. Every
value is checked that can be without a model; engine/requests.py checks the rest.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from tunesmith.spec import Frozen

MAX_CANDIDATES = 8
MAX_STOP_TEXTS = 16
MAX_STOP_CHARACTERS = 1000
"""Each is looked for after every token."""


class NamedModel(Frozen):
    """A tuned model of the registry."""

    name: Annotated[str, Field(min_length=1)]
    folder: Annotated[str, Field(min_length=1)]
    """Of that version: it holds adapter/ or model/."""


class Turn(Frozen):
    """One message of a chat."""

    author: Literal["user", "assistant", "bot"]
    content: str


class Code(Frozen):
    """Code to go on with, or to fill in between prefix and suffix."""

    kind: Literal["generation", "chat"] = "generation"
    prefix: str
    suffix: str | None = None


class Chat(Frozen):
    """A chat that is asked for its next answer."""

    kind: Literal["chat"] = "chat"
    messages: Annotated[list[Turn], Field(min_length=1)]
    context: str | None = None


class CountRequest(Frozen):
    """What POST /count takes."""

    model: NamedModel | None = None
    conversation: dict[str, Any]
    """A Code or a Chat; `messages` tells which."""


class GenerateRequest(CountRequest):
    """What POST /generate takes."""

    max_output_tokens: Annotated[int, Field(ge=1, strict=True)] = 1024
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    """0: greedy."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=1, strict=True)] | None = None
    stop: Annotated[tuple[str, ...], Field(max_length=MAX_STOP_TEXTS)] = ()
    seed: Annotated[int, Field(ge=0, lt=2**63, strict=True)] | None = None
    """None: another answer every time."""
    candidates: Annotated[int, Field(ge=1, le=MAX_CANDIDATES, strict=True)] = 1

    @field_validator("stop")
    @classmethod
    def _texts(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            if not 0 < len(text) <= MAX_STOP_CHARACTERS:
                raise ValueError(f"a stop text has 1 to {MAX_STOP_CHARACTERS:,} characters, got {len(text):,}")
        return texts
