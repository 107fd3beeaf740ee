"""What a model has answered, as users of the Google SDK know it: texts, candidates, token counts.

In: the JSON of :predict, of one streamed piece, of :countTokens. Out: responses, each with the answer as it came. Asks
nothing of a server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Prediction:
    """An answer of the server as it came."""

    predictions: list[Any]
    deployed_model_id: str = ""
    metadata: Mapping[str, Any] | None = None
    model_version_id: str | None = None
    model_resource_name: str | None = None


@dataclass
class GroundingCitation:
    """A source that an answer names."""

    start_index: int | None = None
    end_index: int | None = None
    url: str | None = None
    title: str | None = None
    license: str | None = None
    publication_date: str | None = None


@dataclass(init=False)
class GroundingMetadata:
    """The sources of an answer; none here, since models answer from their weights alone."""

    citations: list[GroundingCitation] = field(default_factory=list)
    search_queries: list[str] = field(default_factory=list)

    def __init__(self, response: Mapping[str, Any] | None = None) -> None:
        said = response or {}
        self.citations = [
            GroundingCitation(**{name: one.get(_camel(name)) for name in GroundingCitation.__dataclass_fields__})
            for one in said.get("citations") or []
        ]
        self.search_queries = list(said.get("searchQueries") or [])


@dataclass
class TextGenerationResponse:
    """One answer. Printed, it is its text."""

    text: str
    _prediction_response: Any
    is_blocked: bool = False
    errors: tuple[int, ...] = ()
    safety_attributes: dict[str, float] = field(default_factory=dict)
    grounding_metadata: GroundingMetadata | None = None

    @property
    def raw_prediction_response(self) -> Prediction:
        """The server's answer as it came."""
        answer: Prediction = self._prediction_response
        return answer

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        if self.text:
            return self.text
        shown = ("text", "is_blocked", "errors", "safety_attributes", "grounding_metadata")
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


@dataclass(repr=False)
class MultiCandidateTextGenerationResponse(TextGenerationResponse):
    """The first candidate, and all of them in `candidates`."""

    candidates: list[TextGenerationResponse] = field(default_factory=list)


@dataclass
class CountTokensResponse:
    """How long a prompt is for a model."""

    total_tokens: int
    total_billable_characters: int
    _count_tokens_response: Any


def code_answer(answer: Mapping[str, Any]) -> MultiCandidateTextGenerationResponse:
    """The response of a code model: each prediction is a candidate."""
    whole = _prediction(answer)
    return _together(
        whole,
        [
            _response(whole, one["content"], one.get("safetyAttributes"), one.get("groundingMetadata"))
            for one in whole.predictions
        ],
    )


def chat_answer(answer: Mapping[str, Any]) -> MultiCandidateTextGenerationResponse:
    """The response of a chat model: one prediction holds all candidates, and for each what was found of it."""
    whole = _prediction(answer)
    (one,) = whole.predictions
    texts = [candidate["content"] for candidate in one["candidates"]]
    safety = one.get("safetyAttributes") or [None] * len(texts)
    sources = one.get("groundingMetadata") or [None] * len(texts)
    return _together(whole, [_response(whole, *parts) for parts in zip(texts, safety, sources, strict=True)])


def _prediction(answer: Mapping[str, Any]) -> Prediction:
    return Prediction(
        predictions=list(answer["predictions"]),
        deployed_model_id=answer.get("deployedModelId", ""),
        metadata=answer.get("metadata"),
        model_version_id=answer.get("modelVersionId"),
        model_resource_name=answer.get("model"),
    )


def _response(
    whole: Prediction, text: str, safety: Mapping[str, Any] | None, sources: Mapping[str, Any] | None
) -> TextGenerationResponse:
    said = safety or {}
    scores = dict(zip(said.get("categories") or [], said.get("scores") or [], strict=True))
    return TextGenerationResponse(
        text=text,
        _prediction_response=whole,
        is_blocked=bool(said.get("blocked", False)),
        errors=tuple(int(code) for code in said.get("errors") or []),
        safety_attributes=scores,
        grounding_metadata=GroundingMetadata(sources),
    )


def _together(whole: Prediction, candidates: list[TextGenerationResponse]) -> MultiCandidateTextGenerationResponse:
    first = candidates[0]
    return MultiCandidateTextGenerationResponse(
        text=first.text,
        _prediction_response=whole,
        is_blocked=first.is_blocked,
        errors=first.errors,
        safety_attributes=first.safety_attributes,
        grounding_metadata=first.grounding_metadata,
        candidates=candidates,
    )


def counted(answer: Mapping[str, Any]) -> CountTokensResponse:
    return CountTokensResponse(
        total_tokens=int(answer["totalTokens"]),
        total_billable_characters=int(answer["totalBillableCharacters"]),
        _count_tokens_response=dict(answer),
    )


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
