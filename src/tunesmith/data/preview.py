"""Rows of a data file as a base model will see them: what was read, and the tokens with what of them is learnt.

In: a file of this machine, a plan with its base model's folder, which rows. Out: JSON. A row with a fault is shown with
it, in its place. Writes nothing.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tunesmith.data import build
from tunesmith.data.findings import displayable
from tunesmith.data.formats import Conversation, detect, parse, parse_row
from tunesmith.data.lines import Problem, RawLine, read_lines
from tunesmith.data.render import NotRendered, Rendered, Renderer
from tunesmith.spec import TuningPlan

MOST_TOKENS = 4_000
"""Of a row; of a longer one the beginning and the end are shown, half each."""
COUNTED_BYTES = 64 << 20
"""A file up to this size is read to its end, to say how many rows it has: half a second."""
_TEXT_CHARACTERS = 2_000
# Tokens that one character may be spread over: UTF-8 has four bytes at most.
_PARTS = 4


def preview(
    path: Path, plan: TuningPlan, base_folder: Path, *, offset: int = 0, limit: int = 10, from_line: int = 0
) -> dict[str, Any]:
    """`rows`: as many as `limit`, after the first `offset` ones from that line on; `total` where it was counted.

    Blank lines are no rows. Each row has its line and kind, what was read, its tokens, or `error`.
    """
    rows = itertools.islice(_rows(path, from_line), offset, offset + limit)
    renderer = _renderer(plan, base_folder)
    said: dict[str, Any] = {"rows": [_row(raw, plan, renderer) for raw in rows]}
    if path.stat().st_size <= COUNTED_BYTES:
        said["total"] = _count(path)
    return said


def _rows(path: Path, from_line: int = 0) -> Iterator[RawLine]:
    for raw in read_lines(path):
        if raw.number >= from_line and (raw.data.strip() or _fault(raw)):
            yield raw


def _fault(raw: RawLine) -> Problem | None:
    return None if raw.problem is None or raw.problem.code == "byte_order_mark" else raw.problem


@functools.lru_cache(maxsize=64)
def _count(path: Path) -> int:
    """Of a file that does not change: each version of an object has a path of its own."""
    return sum(1 for _ in _rows(path))


@functools.lru_cache(maxsize=1)
def _opened(base_model: str, base_folder: Path, plan: str) -> Renderer:
    return build.open_renderer(TuningPlan.model_validate_json(plan), base_folder)


def _renderer(plan: TuningPlan, base_folder: Path) -> Renderer:
    """The one of before, where it is the same: a tokenizer takes a third of a second to read."""
    same = plan.model_copy(update={"spec": plan.spec.model_copy(update={"dataset": "-"})})
    return _opened(plan.base_model, base_folder, same.model_dump_json())


def _row(raw: RawLine, plan: TuningPlan, renderer: Renderer) -> dict[str, Any]:
    example = _example(raw)
    if isinstance(example, Conversation):
        return {"line": raw.number, **_said(example), **_tokens(example, plan, renderer)}
    text = raw.data[: 4 * _TEXT_CHARACTERS].decode("utf-8", "replace")
    return {"line": raw.number, "error": _in_words(example), "text": displayable(text, _TEXT_CHARACTERS)}


def _example(raw: RawLine) -> Conversation | list[Problem]:
    if fault := _fault(raw):
        return [fault]
    row = parse_row(raw.data)
    if isinstance(row, Problem):
        return [row]
    form = detect(row)
    return [form] if isinstance(form, Problem) else parse(row, raw.number, form)


def _in_words(problems: Iterable[Problem]) -> str:
    return "; ".join(
        f"{one.field + ': ' if one.field else ''}{one.message}{f' ({one.remedy})' if one.remedy else ''}"
        for one in problems
    )


def _said(example: Conversation) -> dict[str, Any]:
    if example.fim is not None:
        parts = {name: getattr(example.fim, name) for name in ("prefix", "suffix", "middle", "context", "order")}
        return {"kind": example.kind, **{name: value for name, value in parts.items() if value or name != "context"}}
    messages = [{"author": m.author, "content": m.content, "trained": m.trainable} for m in example.messages]
    context = {"context": example.context} if example.context else {}
    return {"kind": example.kind, **context, "messages": messages}


def _tokens(example: Conversation, plan: TuningPlan, renderer: Renderer) -> dict[str, Any]:
    (row,) = renderer.examples([example], plan.spec.default_context)
    if isinstance(row, NotRendered):
        return {"error": row.message}
    length = len(row.tokens)
    half = MOST_TOKENS // 2
    said: dict[str, Any] = {"length": length, "prompt_tokens": row.prompt_tokens, "target_tokens": row.target_tokens}
    if length > plan.context_tokens:
        said |= {"too_long": True, "error": f"has {length:,} tokens; the limit is {plan.context_tokens:,}"}
    if length <= MOST_TOKENS:
        return {**said, "tokens": _shown(row, 0, length, renderer)}
    shown = _shown(row, 0, half, renderer) + _shown(row, length - half, length, renderer)
    return {**said, "tokens": shown, "hidden": {"after": half, "tokens": length - MOST_TOKENS}}


def _shown(row: Rendered, start: int, end: int, renderer: Renderer) -> list[dict[str, Any]]:
    ids = row.tokens[start:end].tolist()
    weights = row.weights[start:end].tolist()
    return [
        {"id": token, "text": text, "weight": weight}
        for token, text, weight in zip(ids, _texts(ids, renderer), weights, strict=True)
    ]


def _texts(ids: Sequence[int], renderer: Renderer) -> list[str]:
    """What each token adds to the text. Where several make up one character, the first one has it, the others none."""
    texts: list[str] = []
    while len(texts) < len(ids):
        at = len(texts)
        before = ids[at - 1 : at]  # some tokenizers write the blank before a word only behind something
        known = len(renderer.decode(before))
        for width in range(1, min(_PARTS, len(ids) - at) + 1):
            text = renderer.decode([*before, *ids[at : at + width]])[known:]
            if not text.endswith("\ufffd"):
                break
        texts += [text] + [""] * (width - 1)
    return texts
