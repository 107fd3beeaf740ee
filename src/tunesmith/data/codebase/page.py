"""A static page in pieces: text made safe, figures as people read them, tables, blocks of code, the look.

Whatever comes from a repository passes `text`, `path` or `code` before it is on the page: markup is escaped, and
characters that cannot be seen, or that turn the direction of writing, are written as escapes in a frame. What these
functions give is HTML; so is what they take where an argument is named `html` or `cells`. The page runs no script and
loads nothing; its policy forbids both.
"""

from __future__ import annotations

import html as markup
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

LONGEST_PATH = 140
LONGEST_TEXT = 300
# Characters of HTML that one character of a text may cost on average: a text made of nothing but escapes is cut shorter
# than one that reads, and no repository makes a page much larger than another.
_COST = 2.5
# Characters within which a cut is moved to the end of a line.
_NEAR = 120


def text(value: object, most: int = LONGEST_TEXT) -> str:
    """A value as one line."""
    return _affordable(lambda limit: _safe(_cut(str(value), limit), ""), most)


def path(name: str) -> str:
    """A file's or a unit's name: its beginning and its end, if it is long."""
    return f"<code>{text(name, LONGEST_PATH)}</code>"


def code(source: str, most: int, head: float = 0.7) -> str:
    """The text of a block of code or prose, lines kept; what is cut out of the middle is counted.

    most  characters that are shown; `head` is the share of them before the cut
    """
    source = source.replace("\r\n", "\n")
    return _affordable(lambda limit: _code(source, limit, head), most)


def block(title: str, html: str, *, is_whole: bool = False) -> str:
    """What `code` gave, under its title; `is_whole` takes the whole width."""
    # A browser takes the first line end of <pre> away: that one is ours.
    return f"<div{' class=whole' if is_whole else ''}><h4>{title}</h4><pre>\n{html}</pre></div>"


def number(value: float) -> str:
    return f"{value:,.0f}"


def size(size_bytes: float) -> str:
    """In decimal units: 1.5 MB is 1,500,000 bytes."""
    if size_bytes < 1000:
        return f"{size_bytes:,.0f} B"
    for unit in ("kB", "MB"):
        size_bytes /= 1000
        if size_bytes < 999.5:
            return f"{size_bytes:,.3g} {unit}"
    return f"{size_bytes / 1000:,.1f} GB"


def share(part: float, whole: float) -> str:
    """Per cent; what is neither nothing nor all is never written as if it were."""
    if not whole or not part:
        return "0%"
    if part == whole:
        return "100%"
    return f"{min(max(100 * part / whole, 0.1), 99.9):.1f}%"


def count(amount: int, one: str, many: str = "") -> str:
    """A number with its noun: `1 file`, `1,234 files`."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


class Column(NamedTuple):
    """The head of a column of figures."""

    title: str
    is_number: bool = True
    is_extra: bool = False
    """Not shown where the page is narrow."""

    @property
    def classes(self) -> str:
        names = ["n"] * self.is_number + ["extra"] * self.is_extra
        return f' class="{" ".join(names)}"' if names else ""


def table(
    caption: str,
    columns: Sequence[Column | str],
    lines: Iterable[Sequence[str]],
    below: str = "",
    *,
    titled: bool = False,
) -> str:
    """Lines of cells; the first cell of a line is its head. A plain text among the columns is one of text.

    caption, below  HTML
    titled          the heading above says it already: the caption is there for those who do not see the page
    """
    heads = [column if isinstance(column, Column) else Column(column, False) for column in columns]
    classes = [head.classes for head in heads]
    top = "".join(f'<th scope="col"{c}>{text(h.title)}</th>' for c, h in zip(classes, heads, strict=True))
    rows = []
    for cells in lines:
        first, *rest = (f"{c}>{cell}" for c, cell in zip(classes, cells, strict=True))
        rows.append(f'<tr><th scope="row"{first}</th>' + "".join(f"<td{cell}</td>" for cell in rest) + "</tr>")
    hidden = ' class="unseen"' if titled else ""
    return (
        f'<div class="scroll"><table><caption{hidden}>{caption}</caption><thead><tr>{top}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{note(below)}"
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and what they are: a list of definitions. Both HTML."""
    return '<dl class="facts">' + "".join(f"<div><dt>{n}</dt><dd>{v}</dd></div>" for n, v in pairs) + "</dl>"


def section(name: str, title: str, html: str, about: str = "") -> str:
    """name  what links lead to; `about` is HTML, one or two sentences under the title."""
    words = f'<p class="about">{about}</p>' if about else ""
    return (
        f'<section id="{name}" aria-labelledby="{name}-h"><h2 id="{name}-h">{text(title)}</h2>{words}{html}</section>'
    )


def figure(html: str, caption: str) -> str:
    return f"<figure><figcaption>{caption}</figcaption>{html}</figure>"


def columns(*html: str) -> str:
    """Beside each other where there is room."""
    return f'<div class="columns">{"".join(f"<div>{one}</div>" for one in html if one)}</div>'


def several(html: Iterable[str]) -> str:
    """Folded pieces, in as many columns as there is room for."""
    return f'<div class="several">{"".join(html)}</div>'


def fold(title: str, html: str, *, is_open: bool = False) -> str:
    """title  HTML"""
    return f"<details{' open' if is_open else ''}><summary>{title}</summary>{html}</details>"


def key(*colours: tuple[str, str]) -> str:
    """What the colours of a picture mean: a class of colour and its words."""
    return (
        '<p class="key">' + "".join(f'<span><i class="{c}"></i>{text(words)}</span>' for c, words in colours) + "</p>"
    )


def flattened(values: Mapping[str, Any], within: str = "") -> list[tuple[str, Any]]:
    """Values in values as one list of dotted names, each with a value that is no mapping."""
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        full = f"{within}.{name}" if within else name
        found += flattened(value, full) if isinstance(value, Mapping) else [(full, value)]
    return found


def plain(value: Any) -> str:
    """A value of JSON in words."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int | float):
        return number(value) if isinstance(value, int) else f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(plain(one) for one in value[:20]) + (", ..." if len(value) > 20 else "") or "none"
    return text(value) or "none"


def nothing(words: str) -> str:
    """What stands where a table or a picture would be empty."""
    return f'<p class="about">{words}</p>'


def more(left: int, noun: str, file: str) -> str:
    """What a list leaves out and which file has it; empty if it leaves out nothing."""
    return f"{count(left, f'more {noun}')} in <code>{file}</code>." if left > 0 else ""


def note(html: str) -> str:
    return f'<p class="note">{html}</p>' if html else ""


def document(title: str, html: str) -> str:
    """The whole page."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">\n'
        f"<title>{text(title)}</title>\n<style>{_STYLE}</style></head>\n<body>{html}</body></html>\n"
    )


def _affordable(shown: Callable[[int], str], most: int) -> str:
    """What fits of a text: shown with as many characters as do not cost too much."""
    limit = most
    while len(html := shown(limit)) > _COST * most + 200 and limit > 20:
        limit //= 2
    return html


def _cut(value: str, most: int) -> str:
    if len(value) <= most:
        return value
    end = most // 3
    return f"{value[: most - end]} ... {value[-end:]}"


def _code(source: str, most: int, head: float) -> str:
    if len(source) <= most:
        return _safe(source, "\n\t")
    end, start = int(most * head), len(source) - (most - int(most * head))
    # Lines stay whole where one ends nearby.
    end = source.rfind("\n", max(end - _NEAR, 0), end) + 1 or end
    start = source.find("\n", start, start + _NEAR) + 1 or start
    cut = f'<span class="cut">... {count(start - end, "character")} ...</span>'
    return _safe(source[:end], "\n\t") + cut + _safe(source[start:], "\n\t")


def _safe(value: str, kept: str) -> str:
    """kept  characters that stay as they are, though they cannot be seen"""
    if value.isprintable():
        return markup.escape(value)
    runs = itertools.groupby(value, key=lambda c: c.isprintable() or c in kept)
    return "".join(markup.escape("".join(run)) if seen else _escapes(run) for seen, run in runs)


def _escapes(run: Iterable[str]) -> str:
    codes = "".join(c.encode("unicode_escape").decode("ascii") for c in run)
    return f'<span class="esc">{codes}</span>'


# Colours: blue and orange after Okabe and Ito, told apart with any kind of colour vision; grey for what was left. Text
# has a contrast of 4.5 and more on its ground, shapes of 3 and more, in light and in dark.
_STYLE = """
:root{--paper:#fff;--panel:#f5f7f9;--ink:#1b2128;--soft:#56616c;--line:#d9dfe5;--a:#0b62a8;--b:#b55200;--c:#87919b;
--d:#7d5ba6;--tint:#0b62a81f;--mark:#ffe2bf;--esc:#8c2f00}
@media (prefers-color-scheme:dark){:root{--paper:#11161b;--panel:#192027;--ink:#e4eaf0;--soft:#9ba8b4;--line:#303a44;
--a:#56a3df;--b:#f0924c;--c:#74808c;--d:#bb9be0;--tint:#56a3df2e;--mark:#5b3712;--esc:#ffb38a}}
*{box-sizing:border-box}
html{color-scheme:light dark;-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0 auto;max-width:1200px;padding:24px 24px 48px;background:var(--paper);color:var(--ink);
font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"Noto Sans",sans-serif}
h1{font-size:26px;line-height:1.25;margin:0;font-weight:650;overflow-wrap:anywhere}
h2{font-size:19px;line-height:1.3;margin:0 0 4px;font-weight:650}
h3{font-size:15px;margin:20px 0 6px;font-weight:650}
p{margin:0 0 10px;max-width:78ch}
a{color:var(--a)}
section{border-top:1px solid var(--line);padding-top:20px;margin-top:32px;scroll-margin-top:8px}
code,pre,.esc{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:12.5px}
code{overflow-wrap:anywhere;unicode-bidi:isolate}
pre{margin:0;padding:10px 12px;background:var(--panel);border:1px solid var(--line);border-radius:6px;line-height:1.5;
white-space:pre-wrap;overflow-wrap:anywhere;overflow:hidden;tab-size:4;unicode-bidi:isolate;direction:ltr}
pre mark{background:var(--mark);color:inherit;border-radius:3px;padding:1px 0;-webkit-box-decoration-break:clone;
box-decoration-break:clone}
mark::before{content:"\\25b8"}mark::after{content:"\\25c2"}mark::before,mark::after{color:var(--b);font-weight:700}
.esc{color:var(--esc);border:1px solid currentColor;border-radius:3px;padding:0 2px;font-size:12px}
.cut{display:block;color:var(--soft);font-family:system-ui,sans-serif;font-size:12px;text-align:center;margin:4px 0;
border-top:1px dashed var(--line);border-bottom:1px dashed var(--line);padding:1px 0}
.about,.note,.under{color:var(--soft)}
.about{margin-bottom:16px}
.note{font-size:13px;margin:6px 0 0}
.under{margin:4px 0 0}
nav{margin-top:18px;font-size:13px}
nav ul{list-style:none;margin:0;padding:0;display:flex;flex-wrap:wrap;gap:4px 18px}
nav a{display:inline-block;padding:3px 0}
a:focus-visible,summary:focus-visible{outline:2px solid var(--a);outline-offset:2px;border-radius:3px}
.tiles{display:grid;grid-template-columns:repeat(5,1fr);gap:1px;margin:20px 0 0;padding:0;
background:var(--line);border:1px solid var(--line);border-radius:8px;overflow:hidden}
.tiles div{background:var(--paper);padding:10px 14px 12px;min-width:0;box-shadow:0 0 0 1px var(--line)}
.tiles dt{font-size:12.5px;color:var(--soft)}
.tiles dd{margin:0;overflow-wrap:anywhere}
.tiles b{display:block;font-size:21px;line-height:1.3;font-weight:600;font-variant-numeric:tabular-nums}
.tiles small{display:block;font-size:12.5px;color:var(--soft);line-height:1.4}
.columns{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,30rem),1fr));gap:24px 40px;
align-items:start}
.columns>div{min-width:0}
.scroll{overflow-x:auto}
.columns>div>*+.scroll{margin-top:20px}
.several{columns:30rem;column-gap:40px}
.several details{break-inside:avoid}
.blocks{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr));gap:4px 20px}
.blocks>div{min-width:0}
.blocks>.whole{grid-column:1/-1}
h2+.columns,h2+.scroll{margin-top:12px}
.unseen{position:absolute;width:1px;height:1px;padding:0;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
table{border-collapse:collapse;width:100%;font-size:13px;line-height:1.4}
caption{text-align:left;font-weight:600;font-size:14px;padding:0 0 6px;caption-side:top}
caption small,figcaption small{font-weight:400;color:var(--soft);font-size:13px}
th,td{padding:5px 12px 5px 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top;font-weight:400}
th:last-child,td:last-child{padding-right:0}
thead th{color:var(--soft);font-size:12px;vertical-align:bottom;padding-top:0}
tbody th{min-width:7.5rem}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}thead .n{white-space:normal}
.words{color:var(--soft)}
figure{margin:0}
figcaption{font-weight:600;margin-bottom:6px}
svg{display:block}
.bar{width:100%;height:8px;margin-top:4px;background:var(--panel)}
.a{fill:var(--a);background:var(--a)}.b{fill:var(--b);background:var(--b)}.c{fill:var(--c);background:var(--c)}
.d{fill:var(--d);background:var(--d)}.tint{fill:var(--tint)}
.step{fill:none;stroke:var(--b);stroke-width:2;vector-effect:non-scaling-stroke}
.axis{stroke:var(--line);stroke-width:1;shape-rendering:crispEdges}
.tick{fill:var(--soft);font-size:12px}
.cell{stroke:var(--paper);stroke-width:2}
.in{fill:#fff;font-size:12px}
@media (prefers-color-scheme:dark){.in{fill:#0b0f13}}
.key{display:flex;flex-wrap:wrap;gap:2px 16px;font-size:12.5px;color:var(--soft);margin:0 0 8px}
.key i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:6px}
.key i.step{background:var(--b);height:3px;vertical-align:3px;width:14px}
.funnel{display:grid;grid-template-columns:10.5rem 1fr;column-gap:12px}
.funnel ol{list-style:none;margin:0;padding:0}
.funnel li{height:46px;font-size:12.5px;line-height:1.35;color:var(--soft);font-variant-numeric:tabular-nums}
.funnel b{display:block;color:var(--ink);font-weight:600;font-size:13px}
.many{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),1fr));gap:18px 28px}
.many figcaption{font-size:13px;margin-bottom:2px}
.facts{margin:0;font-size:13px;columns:28rem;column-gap:40px}
.facts div{break-inside:avoid;display:grid;grid-template-columns:minmax(9rem,15rem) 1fr;gap:2px 14px;padding:4px 0;
border-bottom:1px solid var(--line)}
.facts dt{color:var(--soft);overflow-wrap:anywhere}
.facts dd{margin:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
details{border-bottom:1px solid var(--line)}
summary{cursor:pointer;padding:7px 0;overflow-wrap:anywhere}
summary small{color:var(--soft);font-size:12.5px}
details>div,details>ul{margin:0 0 14px}
.paths{list-style:none;padding:0 0 0 14px;columns:26rem;column-gap:32px;font-size:12.5px}
.paths li{break-inside:avoid;padding:1px 0;overflow:hidden}
.paths small{color:var(--soft);font-size:12px}
.blocks h4{font-size:12.5px;font-weight:600;color:var(--soft);margin:4px 0}
footer{margin-top:40px;padding-top:14px;border-top:1px solid var(--line);color:var(--soft);font-size:13px}
@media (max-width:900px){.tiles{grid-template-columns:repeat(auto-fill,minmax(150px,1fr))}}
@media (max-width:600px){.extra,.roomy{display:none}body{padding:16px 14px 32px}h1{font-size:22px}
.tiles{grid-template-columns:1fr 1fr}.tiles b{font-size:18px}.tiles div{padding:8px 10px}
.facts div{grid-template-columns:1fr}th,td{padding-right:8px}.funnel{grid-template-columns:9.2rem 1fr}}
@media print{body{max-width:none;padding:0;font-size:11pt}nav{display:none}pre,tr,figure{break-inside:avoid}
h2,h3,caption{break-after:avoid}.scroll{overflow:visible}.bar,svg,i,mark{print-color-adjust:exact;
-webkit-print-color-adjust:exact}details::details-content{content-visibility:visible;block-size:auto}}
"""
