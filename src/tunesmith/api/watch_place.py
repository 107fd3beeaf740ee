"""How far a watcher of a job has got, as a text that an event carries and a client gives back."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
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
    """By task and attempt: how far each log has been read."""
    log_lines: dict[str, int] = field(default_factory=dict)
    """How many lines behind that have been seen, of a log that is being told."""


_NUMBERS = ("event", "attempt", "metrics_bytes")
_LOGS = ("log_bytes", "log_lines")


def written(place: Place) -> str:
    """For the id of an event; what an attempt says of itself is seen again."""
    said = {name: getattr(place, name) for name in (*_NUMBERS, *_LOGS, "measured")}
    return base64.urlsafe_b64encode(json.dumps(said, separators=(",", ":")).encode()).decode().rstrip("=")


def read(text: str) -> Place | None:
    """The place that an id stands for; None for one that is none of ours: its watcher begins anew."""
    try:
        said = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        step, evaluated = said["measured"]
        numbers = {name: said[name] for name in _NUMBERS}
        logs: dict[str, dict[str, int]] = {
            name: {str(place): count for place, count in said[name].items()} for name in _LOGS
        }
        counts = [count for log in logs.values() for count in log.values()]
        whole = all(type(count) is int and count >= 0 for count in (*numbers.values(), *counts))
        if not whole or type(step) is not int or type(evaluated) is not bool:
            return None
        return Place(**numbers, measured=(step, evaluated), log_bytes=logs["log_bytes"], log_lines=logs["log_lines"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
