"""How close greedy answers come to the wanted ones, on a few rows of a shard; rows that fill in the middle apart.

In: a shard, a loaded model. Out: for each of the two kinds the share of answers that are the wanted text, and the mean
edit similarity: 1 - (insertions, deletions and changes of characters between the two) / (length of the longer one).
Blanks at both ends of a text count for neither. Rows are asked by the very ids that they were trained with. Losses are
measured elsewhere (measure.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tunesmith.data.pack import Shard
from tunesmith.data.render import Renderer
from tunesmith.engine.generate import Generator
from tunesmith.engine.measure import kind_of

ASKED_ROWS = 24
"""Of each kind: three batches of answers, after which a share is known to within 0.2 (two standard errors)."""
ANSWER_TOKENS = 96
"""Only rows whose wanted answer is no longer are asked."""


class Closeness(NamedTuple):
    """Over the rows of one kind that were asked; None where no row has a short answer."""

    asked: int
    exact_match: float | None
    edit_similarity: float | None


def closeness(
    generator: Generator,
    renderer: Renderer,
    shard: Shard,
    rows: Sequence[int],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Closeness]:
    """Of each kind among the rows, its closeness on at most ASKED_ROWS of them, spread evenly."""
    found = {}
    for kind in sorted({kind_of(shard, row) for row in rows}):
        short = [row for row in rows if kind_of(shard, row) == kind and _answer_tokens(shard, row) <= ANSWER_TOKENS]
        asked = spread(short, ASKED_ROWS)
        if not asked:
            found[kind] = Closeness(0, None, None)
            continue
        prompts = [shard.tokens(row)[: shard.prompt_tokens(row)].tolist() for row in asked]
        longest = max(_answer_tokens(shard, row) for row in asked)
        answers = generator.complete(prompts, max_output_tokens=longest, on_progress=on_progress)
        pairs = [(answer.strip(), _wanted(renderer, shard, row)) for answer, row in zip(answers, asked, strict=True)]
        exact = sum(answer == wanted for answer, wanted in pairs) / len(pairs)
        found[kind] = Closeness(len(pairs), exact, sum(similarity(*pair) for pair in pairs) / len(pairs))
    return found


def spread(rows: Sequence[int], most: int) -> list[int]:
    """At most that many of the rows, evenly over all."""
    count = min(len(rows), most)
    return [rows[i * len(rows) // count] for i in range(count)]


def similarity(a: str, b: str) -> float:
    """1 for equal texts, 0 for those with no character in place."""
    longer = max(len(a), len(b))
    return 1 - distance(a, b) / longer if longer else 1.0


def distance(a: str, b: str) -> int:
    """Insertions, deletions and changes of one character that make one text the other (Levenshtein).

    A column of the table is two integers: the places where it rises, and those where it falls (Myers 1999, Hyyro 2003).
    """
    if not a:
        return len(b)
    whole, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    places: dict[str, int] = {}
    for i, character in enumerate(a):
        places[character] = places.get(character, 0) | 1 << i
    rises, falls, score = whole, 0, len(a)
    for character in b:
        same = places.get(character, 0)
        level = (((same & rises) + rises) ^ rises) | same
        up, down = falls | ~(level | rises) & whole, rises & level
        score += bool(up & last) - bool(down & last)
        up = (up << 1 | 1) & whole
        rises, falls = (down << 1 | ~(same | falls | up)) & whole, up & (same | falls)
    return score


def _answer_tokens(shard: Shard, row: int) -> int:
    return len(shard.tokens(row)) - shard.prompt_tokens(row)


def _wanted(renderer: Renderer, shard: Shard, row: int) -> str:
    """The answer up to the token that ends it."""
    ids = shard.tokens(row)[shard.prompt_tokens(row) :].tolist()
    end = next((i for i, token in enumerate(ids) if token in renderer.end_of_turn_ids), len(ids))
    return renderer.decode(ids[:end]).strip()
