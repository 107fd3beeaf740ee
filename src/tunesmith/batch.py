"""What a batch prediction job is to do: a BatchPlan, with nothing left open, for the tasks that read and answer.

In: what the API has looked up (the model, its base, how answers are drawn). Out: frozen data, stored as JSON. Paths of
this machine are not in it: a tuned model is named by its place below the folder of registered models.
"""

from __future__ import annotations

import random
from typing import Annotated, Any

from pydantic import Field

from tunesmith import catalog
from tunesmith.spec import Frozen

DEFAULT_ROWS = 8
"""Answers that are made at once; 64 GB of weights leave room for so many in 80 GB."""
MAX_ROWS = 64


class BatchModel(Frozen):
    """A version of the registry."""

    name: str
    """projects/P/locations/L/models/N@VERSION"""
    place: str
    """N/VERSION: its folder, below that of registered models."""
    full: bool
    """Whether every weight was tuned: it is then loaded in the base's place."""


class BatchPlan(Frozen):
    """A batch prediction job."""

    base_model: str
    """Catalog name, hf: name or folder."""
    reference: str
    """The reference product's name, if the caller asked for a publisher's model; else empty."""
    model: BatchModel | None
    """None: the base model itself."""
    kind: catalog.Kind
    """How an instance of it is shaped, and a prediction."""
    context: str
    """Of a chat that brings none of its own (S52)."""
    sources: tuple[str, ...]
    """URIs as asked; `*`, `**`, `?` and `[...]` stand for parts of object names."""
    destination: str
    """gs://BUCKET/FOLDER of this job's own, where its objects are written."""
    drawing: dict[str, Any]
    """How answers are drawn: fields of questions.GenerateRequest."""
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    """Of the answers that are drawn, where the caller has given none: each instance then has its own."""
    rows: Annotated[int, Field(ge=1, le=MAX_ROWS)] = DEFAULT_ROWS
    """Answers that are made at once."""

    def seed_of(self, number: int) -> int:
        """Of the instance of that number. One that the caller has given is every instance's, as in a prediction."""
        given = self.drawing.get("seed")
        return random.Random(f"{self.seed}/{number}").getrandbits(63) if given is None else int(given)
