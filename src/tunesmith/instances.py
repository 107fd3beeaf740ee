"""Vertex's instances and parameters as a question to a served model, and its answers as Vertex's predictions.

One for all who predict: the API, which asks a serving process, and the task of a batch, which asks its own model. Pure.
What is wrong is InvalidArgument with the place at which it stands in what the client sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith import catalog
from tunesmith.errors import InvalidArgument

SAFE: Mapping[str, Any] = {"blocked": False, "categories": [], "scores": [], "errors": []}
"""No text is judged here: nothing is blocked, and no category is named."""

# Wire name of a parameter -> field of the serving process.
_PARAMETERS = {
    "temperature": "temperature",
    "maxOutputTokens": "max_output_tokens",
    "maxDecodeSteps": "max_output_tokens",
    "topP": "top_p",
    "topK": "top_k",
    "stopSequences": "stop",
    "candidateCount": "candidates",
    "seed": "seed",
}
# Taken if they change nothing; refused if they would.
_WITHOUT_EFFECT = {"echo", "logprobs", "presencePenalty", "frequencyPenalty", "logitBias", "groundingConfig"}
_WHOLE = {"max_output_tokens", "top_k", "candidates", "seed"}


# What comes in.


def conversation_of(kind: catalog.Kind, instance: Any, where: str, context: str = "") -> dict[str, Any]:
    """The conversation that an instance is. `context`: of a chat that brings none of its own."""
    if not isinstance(instance, Mapping):
        raise InvalidArgument.of(where, f"must be an object, got {instance!r:.60}")
    return _chat(instance, where, context) if kind == "chat" else _code(instance, where)


def _code(instance: Mapping[str, Any], where: str) -> dict[str, Any]:
    check_fields(instance, ("prefix", "suffix", "content"), where)
    name = "content" if "content" in instance else "prefix"
    prefix, suffix = instance.get(name), instance.get("suffix")
    if not isinstance(prefix, str):
        raise InvalidArgument.of(
            f"{where}.{name}", "is missing: the text to go on from" if prefix is None else "must be a text"
        )
    if suffix is not None and not isinstance(suffix, str):
        raise InvalidArgument.of(f"{where}.suffix", "must be a text")
    return {"kind": "generation", "prefix": prefix, "suffix": suffix or None}


def _chat(instance: Mapping[str, Any], where: str, context: str) -> dict[str, Any]:
    check_fields(instance, ("messages", "context", "examples"), where)
    said = []
    examples = instance.get("examples") or []
    if not isinstance(examples, list):
        raise InvalidArgument.of(f"{where}.examples", f"must be a list, got {examples!r:.60}")
    for i, example in enumerate(examples):
        for side, author in (("input", "user"), ("output", "assistant")):
            said.append({"author": author, "content": _text_at(example, (side, "content"), f"{where}.examples[{i}]")})
    messages = instance.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidArgument.of(f"{where}.messages", "must be a list with at least one message")
    for i, message in enumerate(messages):
        place = f"{where}.messages[{i}]"
        author = _text_at(message, ("author",), place)
        if author not in ("user", "bot", "assistant", "model", "1", "0"):
            raise InvalidArgument.of(f"{place}.author", f"must be user or bot, got {author!r}")
        role = "user" if author in ("user", "0") else "assistant"
        said.append({"author": role, "content": _text_at(message, ("content",), place)})
    own = instance.get("context") or context
    if not isinstance(own, str):
        raise InvalidArgument.of(f"{where}.context", "must be a text")
    return {"kind": "chat", "messages": said, "context": own or None}


def _text_at(value: Any, path: Sequence[str], where: str) -> str:
    for part in path:
        where = f"{where}.{part}"
        value = value.get(part) if isinstance(value, Mapping) else None
    if not isinstance(value, str):
        raise InvalidArgument.of(where, "must be a text")
    return value


def sampling_of(parameters: Any, where: str = "parameters") -> dict[str, Any]:
    """How the answer is drawn, in the words of `questions.GenerateRequest`; what is left out there has its default."""
    if not isinstance(parameters, Mapping):
        raise InvalidArgument.of(where, "must be an object")
    chosen: dict[str, Any] = {}
    for name, value in parameters.items():
        if name in _WITHOUT_EFFECT:
            if value:
                raise InvalidArgument.of(f"{where}.{name}", "is not offered; leave it out")
            continue
        field = _PARAMETERS.get(name)
        if field is None:
            near = catalog.nearest(name, list(_PARAMETERS))
            raise InvalidArgument.of(f"{where}.{name}", "is not known" + (f"; did you mean {near}?" if near else ""))
        if value is not None:
            chosen[field] = _parameter(f"{where}.{name}", field, value)
    return chosen


def _parameter(where: str, field: str, value: Any) -> Any:
    try:
        if field in _WHOLE:
            return whole(value)
        if field == "stop":
            if not isinstance(value, str | list):
                raise ValueError(f"must be a list of texts, got {value!r:.60}")
            return [value] if isinstance(value, str) else value
        if isinstance(value, bool):
            raise ValueError(f"must be a number, got {value!r}")
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidArgument.of(where, str(error)) from error


def check_fields(value: Mapping[str, Any], known: Sequence[str], where: str = "") -> None:
    """InvalidArgument for the first name that is not known."""
    for name in value:
        if name not in known:
            near = catalog.nearest(name, known)
            hint = f"did you mean {near}?" if near else f"known: {', '.join(known)}"
            raise InvalidArgument.of(f"{where}.{name}".lstrip("."), f"is not a field of this; {hint}")


WHOLE = r"[+-]?[0-9]{1,19}"
"""A whole number as a text."""


def whole(value: Any) -> int:
    """2, 2.0 and "2" as 2; ValueError for anything that is not a whole number."""
    if isinstance(value, str) and re.fullmatch(WHOLE, value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not float(value).is_integer():
        raise ValueError(f"must be a whole number, got {value!r:.60}")
    return int(value)


# What goes out.


def predictions_of(kind: catalog.Kind, texts: Sequence[str]) -> list[dict[str, Any]]:
    """A prediction for each candidate of code, one with all candidates of a chat."""
    if kind != "chat":
        return [{"content": text, "safetyAttributes": SAFE, "citationMetadata": {"citations": []}} for text in texts]
    return [
        {
            "candidates": [{"author": "bot", "content": text} for text in texts],
            "safetyAttributes": [SAFE for _ in texts],
            "citationMetadata": [{"citations": []} for _ in texts],
        }
    ]
