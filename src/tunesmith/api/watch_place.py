"""How far a watcher of a job has got, as a text that an event carries and a client gives back."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Place:
    """How far a watcher has got."""

    event: int = 0
    state: str = ""
    attempt: int = 0
    """Of the task that writes metrics, and how far its file has been read."""
    metrics_bytes: int = 0
    measured: tuple[int, bool] = (-1, False)
    """The last line of metrics: its step, and whether it is the step's evaluation, which follows its training."""
    progress: dict[str, Any] = field(default_factory=dict)
    log_bytes: dict[str, int] = field(default_factory=dict)
    """By task and attempt."""


_NUMBERS = ("event", "attempt", "metrics_bytes")


def written(place: Place) -> str:
    """For the id of an event; what an attempt says of itself is seen again."""
    said = {**asdict(place), "progress": {}}
    return base64.urlsafe_b64encode(json.dumps(said, separators=(",", ":")).encode()).decode().rstrip("=")


def read(text: str) -> Place | None:
    """The place that an id stands for; None for one that is none of ours: its watcher begins anew."""
    try:
        said = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        step, evaluated = said["measured"]
        numbers = {name: said[name] for name in _NUMBERS}
        log_bytes = {str(place): count for place, count in said["log_bytes"].items()}
        whole = all(type(count) is int and count >= 0 for count in (*numbers.values(), *log_bytes.values()))
        if not whole or type(step) is not int or type(evaluated) is not bool:
            return None
        return Place(**numbers, measured=(step, evaluated), log_bytes=log_bytes)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
