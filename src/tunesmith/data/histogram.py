"""How some whole numbers are distributed, as a picture wants them: bins that grow as lengths of texts do."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TypedDict

MOST_BINS = 24


class Histogram(TypedDict):
    """counts[i] values lie from edges[i] to before edges[i + 1]."""

    edges: list[int]
    counts: list[int]


def histogram(values: Sequence[int]) -> Histogram:
    """Of whole numbers of 0 or more: a bin for each where they lie close, else bins each as many times as wide."""
    if not values:
        return {"edges": [], "counts": []}
    edges = _edges(min(values), max(values) + 1)
    counts = [0] * (len(edges) - 1)
    for value in values:
        counts[bisect_right(edges, value) - 1] += 1
    return {"edges": edges, "counts": counts}


def _edges(first: int, end: int) -> list[int]:
    if end - first <= MOST_BINS:
        return list(range(first, end + 1))
    start = max(first, 1)
    growth = (end / start) ** (1 / MOST_BINS)
    inner = {round(start * growth**step) for step in range(1, MOST_BINS)}
    return sorted({first, end, *(edge for edge in inner if first < edge < end)})
