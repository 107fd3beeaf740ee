"""The part of a build's report on rows: how many of which kind, how long their texts are, and some of them to read.

In: what was counted and chosen (tally.py). Out: HTML for the sections of the page (report.py).
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunesmith.data.codebase import page
from tunesmith.data.codebase.page import Column, count, number, share
from tunesmith.data.codebase.pictures import bar, histogram, quantile
from tunesmith.data.codebase.tally import EVALUATION, ROWS, SPLITS, TRAINING, Files, Rows, Shown

# Lines of a table before the rest is only counted.
_CODES = 20
# Characters of one row's texts; a row of the largest form is then about 5 kB of page.
_PROMPT, _MIDDLE, _AROUND, _CONTEXT, _TURNS = 1600, 1200, 800, 700, 6
_TITLES = {"instruction": "Instruction", "chat": "Chat", "fim": "Fill in the middle"}


def rows(files: Files, rows: Rows) -> str:
    if not rows.counts:
        return page.nothing("The build made no rows.")
    kinds = sorted({kind for kind, _ in rows.counts}, key=lambda kind: (-rows.total(kind=kind), kind))
    most = rows.total(kind=kinds[0])
    lines = [_kind_line(rows.counts, files, kind, most) for kind in kinds]
    heads = ("Kind", Column("Training"), Column("Evaluation"), Column("Left out"))
    note = "Left out: examples that were made and that a limit or a check kept from being written."
    made = page.table("Rows by kind", heads, lines, note) + page.key(("a", "training"), ("b", "evaluation"))
    return page.columns(made + _templates(rows), _middles(rows.middles))


def _kind_line(counts: Counter[tuple[str, str]], files: Files, kind: str, most: int) -> list[str]:
    training, evaluation = (counts[kind, split] for split in SPLITS)
    shown = page.text(kind) + bar([("a", training), ("b", evaluation)], most)
    return [shown, number(training), number(evaluation), number(files.left_out[kind])]


def _middles(middles: Counter[tuple[str, str]]) -> str:
    if not middles:
        return ""
    kinds = sorted({kind for kind, _ in middles}, key=lambda kind: (-_of_middle(middles, kind), kind))
    orders = sorted({order for _, order in middles})
    whole, most = sum(middles.values()), _of_middle(middles, kinds[0])
    colours = ("a", "d", "b", "c")
    lines = [
        [
            page.text(kind or "not stated")
            + bar([(colours[min(i, 3)], middles[kind, order]) for i, order in enumerate(orders)], most),
            *(number(middles[kind, order]) for order in orders),
            share(_of_middle(middles, kind), whole),
        ]
        for kind in kinds[:_CODES]
    ]
    names = [order.upper() or "Order left open" for order in orders]
    heads: list[Column | str] = ["Middle", *map(Column, names), Column("Share")]
    key = page.key(*((colours[min(i, 3)], name) for i, name in enumerate(names)))
    return page.table("Middles of fim rows, by kind and order", heads, lines) + key


def _of_middle(middles: Counter[tuple[str, str]], kind: str) -> int:
    return sum(n for (of_kind, _), n in middles.items() if of_kind == kind)


def _templates(rows: Rows) -> str:
    names = sorted({name for name, _ in rows.templates})
    if not names:
        return ""
    lines = [[page.text(name), *(number(rows.templates[name, split]) for split in SPLITS)] for name in names[:_CODES]]
    note = page.more(len(names) - _CODES, "template", ROWS)
    return page.table("Rows by template", ("Template", Column("Training"), Column("Evaluation")), lines, note)


def lengths(rows: Rows) -> str:
    if not rows.lengths:
        return page.nothing("There are no rows.")
    about = (
        '<p class="about">Characters of each text, on an axis of powers of ten. Each split is drawn as shares '
        "of its own texts, so that the two can be compared.</p>"
    )
    key = page.key(("a", "training"), ("step", "evaluation"))
    kinds = list(
        dict.fromkeys(kind for kind, _ in sorted(rows.lengths, key=lambda one: (-rows.total(kind=one[0]), one[0])))
    )
    groups = []
    for kind in kinds:
        parts = {part: by_split for (of_kind, part), by_split in rows.lengths.items() if of_kind == kind}
        pictures = "".join(_length(kind, part, parts[part]) for part in parts)
        groups.append(f'<h3>{_titled(kind)}</h3><div class="many">{pictures}</div>')
    return about + key + "".join(groups)


def _length(kind: str, part: str, by_split: Mapping[str, array[int]]) -> str:
    drawn = histogram(f"Lengths of {kind}: {part}", by_split[TRAINING], by_split[EVALUATION])
    every = sorted([*by_split[TRAINING], *by_split[EVALUATION]])
    half, most = (number(quantile(every, at)) for at in (0.5, 0.95))
    figures = f"half up to {half}, 95% up to {most}, longest {number(every[-1])}"
    return page.figure(drawn, f"{page.text(part)} <small>{figures}</small>")


# Rows to read.


def shown(shown: Sequence[Shown]) -> str:
    if not shown:
        return page.nothing("There are no rows.")
    groups: dict[tuple[str, str], list[Shown]] = {}
    for one in shown:
        groups.setdefault((one.origin.kind, one.origin.split), []).append(one)
    about = '<p class="about">Chosen by checksum, of as many languages and files as there are. Long texts are cut.</p>'
    return about + "".join(
        f"<h3>{_titled(kind)}, {split}</h3>" + "".join(_fold(one, is_open=i == 0) for i, one in enumerate(group))
        for (kind, split), group in groups.items()
    )


def _fold(shown: Shown, *, is_open: bool) -> str:
    origin = shown.origin
    unit = f" {page.path(origin.unit)}" if origin.unit else ""
    more = [origin.language, origin.template, origin.middle, shown.row.get("order", ""), f"{origin.file}:{origin.line}"]
    title = f"{page.path(origin.path)}{unit} <small>{page.text(', '.join(filter(None, more)))}</small>"
    return page.fold(title, f'<div class="blocks">{"".join(_blocks(shown.row))}</div>', is_open=is_open)


def _blocks(row: Mapping[str, Any]) -> Iterator[str]:
    """The texts of a row, each with its name above it."""
    if row.get("context"):
        yield page.block("Context", page.code(row["context"], _CONTEXT), is_whole="middle" not in row)
    if "messages" in row:
        turns = row["messages"]
        for turn in turns[:_TURNS]:
            yield _block(turn["author"].capitalize(), turn["content"], _PROMPT // 2)
        if len(turns) > _TURNS:
            yield f'<p class="note">{count(len(turns) - _TURNS, "more turn")} in the file.</p>'
    elif "middle" in row:
        yield _hole(row)
    else:
        yield _block("Prompt", row["input_text"], _PROMPT)
        yield _block("Answer", row["output_text"], _PROMPT)


def _block(name: str, source: str, most: int) -> str:
    return page.block(page.text(name), page.code(source, most))


def _hole(row: Mapping[str, Any]) -> str:
    """Prefix, middle and suffix as the text that they are; around the middle the text is whole."""
    before, after = page.code(row["prefix"], _AROUND, 0.3), page.code(row["suffix"], _AROUND)
    sizes = ", ".join(f"{name} {number(len(row[name]))}" for name in ("prefix", "middle", "suffix"))
    middle = page.code(row["middle"], _MIDDLE)
    return page.block(f"Characters: {sizes}", f"{before}<mark>{middle}</mark>{after}")


def _titled(kind: str) -> str:
    return _TITLES.get(kind, page.text(kind))
