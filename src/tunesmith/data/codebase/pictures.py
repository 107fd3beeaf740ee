"""The pictures of a report, drawn as SVG inside the page.

Each picture is as wide as its place: lengths across are shares of it, and words keep their size. Colours are classes
of the page's style: a for what is used and for training, b for evaluation, c for what was rejected, d for a second
kind. A picture that stands alone has a title and says in words what it shows; a bar in a table has its figures beside
it.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from tunesmith.data.codebase.page import text

# Bins of lengths: six a decade from 1 to 1,000,000 characters, one before them for none at all.
_PER_DECADE, _DECADES = 6, 6
_BINS = _PER_DECADE * _DECADES
_HISTOGRAM_PX, _AXIS_PX = 84, 20
_ROW_PX, _BAR_PX = 46, 20
_MAP_PX = 380
# How wide a map is taken to be when its cells are cut, and how narrow it may be; letters are some 7 wide.
_MAP_WIDTH, _NARROW_WIDTH = 580.0, 340.0


def bar(parts: Sequence[tuple[str, float]], whole: float) -> str:
    """Parts of a whole beside each other, for a cell whose figures stand in the same line.

    parts  class of colour and value; what is not nothing can be seen
    """
    left, shapes = 0.0, []
    for colour, value in parts:
        width = max(1000 * value / whole, 4.0) if value and whole else 0.0
        if width:
            shapes.append(f'<rect class="{colour}" x="{left:.1f}" width="{width:.1f}" height="8"/>')
        left += width
    inside = "".join(shapes)
    return f'<svg class="bar" viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true">{inside}</svg>'


class Step(NamedTuple):
    """One step of a funnel: what stays and what is rejected there, as figures, in short and in words."""

    name: str
    stays: float
    rejected: float
    short: str
    words: str


def funnel(title: str, steps: Sequence[Step]) -> str:
    """From all at the top to what is used at the bottom, as wide as there is of it."""
    whole = max(steps[0].stays + steps[0].rejected, 1)
    labels = "".join(f"<li><b>{text(step.name)}</b>{text(step.short)}</li>" for step in steps)
    shapes = []
    for row, step in enumerate(steps):
        top, stays, gone = row * _ROW_PX, 1000 * step.stays / whole, 1000 * step.rejected / whole
        if row + 1 < len(steps):
            next_width, bottom = 1000 * (steps[row + 1].stays + steps[row + 1].rejected) / whole, top + _ROW_PX
            middle = (top + _BAR_PX + bottom) / 2
            shapes.append(
                f'<path class="tint" d="M0 {top + _BAR_PX}H{stays:.1f}C{stays:.1f} {middle} {next_width:.1f} {middle} '
                f'{next_width:.1f} {bottom}H0Z"/>'
            )
        shapes.append(f'<rect class="a" y="{top}" width="{_seen(stays)}" height="{_BAR_PX}"/>')
        if step.rejected:
            shapes.append(f'<rect class="c" x="{stays:.1f}" y="{top}" width="{_seen(gone)}" height="{_BAR_PX}"/>')
    described = "; ".join(f"{step.name}: {step.words}" for step in steps)
    height = len(steps) * _ROW_PX
    picture = _svg(title, described, height, shapes, f'viewBox="0 0 1004 {height}" preserveAspectRatio="none" ')
    return f'<div class="funnel"><ol>{labels}</ol>{picture}</div>'


def histogram(title: str, training: array[int], evaluation: array[int]) -> str:
    """How long the texts of a part are, on an axis of powers of ten: bars for training, a line for evaluation.

    Each split by its own: heights are shares of its rows.
    """
    bars, line = _binned(training), _binned(evaluation)
    most = max(*bars, *line) or 1.0
    step = 100 / (_BINS + 1)
    shapes = [_decade(number, step) for number in range(_DECADES + 1)]
    for place, value in enumerate(bars):
        if value:
            height = max(_HISTOGRAM_PX * value / most, 1.0)
            x, y = place * step, _HISTOGRAM_PX - height
            shapes.append(
                f'<rect class="a" x="{x:.2f}%" y="{y:.1f}" width="{step * 0.86:.2f}%" height="{height:.1f}"/>'
            )
    if evaluation:
        shapes.append(_steps(line, most))
    shapes.append(f'<line class="axis" x1="0" x2="100%" y1="{_HISTOGRAM_PX}" y2="{_HISTOGRAM_PX}"/>')
    described = f"{_summary('training', training)}; {_summary('evaluation', evaluation)}"
    return _svg(title, described, _HISTOGRAM_PX + _AXIS_PX, shapes)


def quantile(values: Sequence[int], at: float) -> int:
    """Of values in order: the smallest one that at least this share of them does not exceed."""
    return values[max(math.ceil(at * len(values)) - 1, 0)] if values else 0


class Cell(NamedTuple):
    """One area of a map; `evaluation` is the share of it that is of the evaluation split."""

    name: str
    value: float
    evaluation: float
    words: str


def tree_map(title: str, described: str, cells: Sequence[Cell]) -> str:
    """Areas as large as their values; the part of each that is evaluation is at its bottom, in its own colour.

    cells  largest first, all above 0
    """
    shapes = []
    for cell, (x, y, width, height) in zip(cells, _squares([cell.value for cell in cells]), strict=True):
        low = height * cell.evaluation
        named = f"<title>{text(cell.name)}: {text(cell.words)}</title>"
        place = f'x="{100 * x / _MAP_WIDTH:.2f}%" y="{y:.1f}" width="{100 * width / _MAP_WIDTH:.2f}%"'
        parts = [f'<rect class="a cell" width="100%" height="{height:.1f}"/>'] if cell.evaluation < 1 else []
        if cell.evaluation:
            parts.append(f'<rect class="b cell" y="{height - low:.1f}" width="100%" height="{low:.1f}"/>')
        if named_inside := _inside(cell.name, 17, width, height):
            parts += [named_inside, _inside(cell.words, 33, width, height)]
        shapes.append(f'<svg {place} height="{height:.1f}">{named}{"".join(parts)}</svg>')
    return _svg(title, described, _MAP_PX, shapes)


def _inside(line: str, y: int, width: float, height: float) -> str:
    """A line of a cell's text, where there is room for it; with a class if only a wide page has that room."""
    needed = 7 * len(line) + 12
    if needed > width or y + 4 > height:
        return ""
    roomy = " roomy" if needed > width * _NARROW_WIDTH / _MAP_WIDTH else ""
    return f'<text class="in{roomy}" x="6" y="{y}">{text(line)}</text>'


def _svg(title: str, described: str, height: float, shapes: Sequence[str], box: str = "") -> str:
    # The title names the picture; the description is what it shows, for those who do not see it.
    return (
        f'<svg role="img" aria-label="{text(title)}. {text(described, 1000)}" {box}width="100%" height="{height:g}">'
        f"<title>{text(title)}</title><desc>{text(described, 1000)}</desc>{''.join(shapes)}</svg>"
    )


def _seen(width: float) -> str:
    return f"{max(width, 3.0) if width else 0.0:.1f}"


def _binned(values: array[int]) -> list[float]:
    """Share of the values in each bin; the first holds zeros, the last all that is longer."""
    bins = [0] * (_BINS + 1)
    for value in values:
        bins[min(int(_PER_DECADE * math.log10(value) + 1e-9) + 1, _BINS) if value else 0] += 1
    return [found / len(values) if values else 0.0 for found in bins]


def _decade(number: int, step: float) -> str:
    x = step * (1 + number * _PER_DECADE)
    name = ("1", "10", "100", "1k", "10k", "100k", "1M")[number]
    anchor = "end" if number == _DECADES else "middle"
    return (
        f'<line class="axis" x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="{_HISTOGRAM_PX + 4}"/>'
        f'<text class="tick" x="{x:.2f}%" y="{_HISTOGRAM_PX + 17}" text-anchor="{anchor}">{name}</text>'
    )


def _steps(line: Sequence[float], most: float) -> str:
    """The outline of all bars that are next to each other; nothing where there are none."""
    step, ground, path = 1000 / len(line), f"{_HISTOGRAM_PX}", [""]
    for place, value in enumerate([*line, 0.0]):
        if value and not path[-1]:
            path[-1] = f"M{place * step:.1f} {ground}"
        if value:
            path[-1] += f"V{_HISTOGRAM_PX - (_HISTOGRAM_PX - 1) * value / most:.1f}H{(place + 1) * step:.1f}"
        elif path[-1]:
            path = [*path[:-1], f"{path[-1]}V{ground}", ""]
    return (
        f'<svg width="100%" height="{_HISTOGRAM_PX}" viewBox="0 0 1000 {_HISTOGRAM_PX}" preserveAspectRatio="none">'
        f'<path class="step" d="{"".join(path)}"/></svg>'
    )


def _summary(split: str, values: array[int]) -> str:
    if not values:
        return f"{split}: none"
    ordered = sorted(values)
    return f"{split}: {len(values):,} texts, half of them up to {quantile(ordered, 0.5):,} characters"


def _squares(values: Sequence[float]) -> list[tuple[float, float, float, float]]:
    """Rectangles (x, y, width, height) that fill the map, as square as rows of them can be.

    Source: Bruls, Huizing and van Wijk, Squarified Treemaps, 2000.
    """
    x, y, width, height = 0.0, 0.0, _MAP_WIDTH, float(_MAP_PX)
    scale = width * height / (sum(values) or 1)
    areas, found = [value * scale for value in values], []
    while areas:
        side, taken = min(width, height), 1
        while taken < len(areas) and _worst(areas[: taken + 1], side) <= _worst(areas[:taken], side):
            taken += 1
        depth, at = sum(areas[:taken]) / side, 0.0
        for area in areas[:taken]:
            length = area / depth
            found.append((x, y + at, depth, length) if width >= height else (x + at, y, length, depth))
            at += length
        if width >= height:
            x, width = x + depth, width - depth
        else:
            y, height = y + depth, height - depth
        areas = areas[taken:]
    return found


def _worst(areas: Sequence[float], side: float) -> float:
    """The largest ratio of a rectangle's sides when these share a row along a side."""
    total = sum(areas)
    return max(max(side**2 * area / total**2, total**2 / (side**2 * area)) for area in areas)
