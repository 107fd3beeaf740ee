"""What makes a data set teach well, as the reference product advises: instructions in the prompts (S17), and fields
that stand in the same order in every prompt (S16). Heuristics: they warn and never refuse."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

# A prompt instructs if it says what to produce: a verb of making together with what is made or in which language
# ("Write the code in Python: ..."), a question, or a labelled field. "Calculate the sum of a list of integers." names a
# task and leaves open whether code, prose or a number is wanted.
_MAKING = re.compile(
    r"(?i)\b(?:write|create|generate|implement|complete|fill|add|build|make|produce|give|show|return only|translate|"
    r"convert|rewrite|refactor|fix|correct|explain|describe|document|summari[sz]e|review|answer|optimi[sz]e|define|design|test)\b"
)
_MADE = re.compile(
    r"(?i)\b(?:code|function|method|class|program|script|snippet|module|test|tests|query|command|statement|expression|"
    r"docstring|comment|comments|regex|file|answer|bug|error|type hints?|api|endpoint|schema|component|loop|line|lines|"
    r"python|javascript|typescript|java|go|golang|rust|c\+\+|c#|ruby|php|kotlin|scala|bash|shell|sql|html|css|swift|perl|"
    r"r|matlab|julia|haskell|lua|yaml|json|terraform|dockerfile|makefile)\b"
)
_LABEL = re.compile(r"(?m)^[ \t]*([A-Za-z][A-Za-z _-]{1,24}):(?=\s)")
_CODE_LIKE = re.compile(r"[(){}=;]")


class OrderAdvice(NamedTuple):
    """The usual fields of the prompts, and the lines whose prompts differ from it."""

    usual: tuple[str, ...]
    lines: list[int]
    shown: tuple[str, ...]
    """The fields of the first of these lines."""


def instructs(prompt: str) -> bool:
    """Whether a prompt says what kind of answer it wants."""
    if "?" in prompt or labels(prompt):
        return True
    return bool(_MAKING.search(prompt) and _MADE.search(prompt))


def labels(prompt: str) -> tuple[str, ...]:
    """Names of the labelled fields of a prompt (`question: ...`), in order, as a line each begins."""
    return tuple(m[1].strip().lower() for m in _LABEL.finditer(prompt) if not _CODE_LIKE.search(m[1]))


def field_order(prompts: Sequence[tuple[int, str]]) -> OrderAdvice | None:
    """Whether prompts (line, text) differ in names or order of fields, where at least half of them have fields."""
    found = [(line, labels(prompt)) for line, prompt in prompts]
    labelled = Counter(names for _, names in found if names)
    if sum(labelled.values()) < max(2, len(found) / 2):
        return None
    usual = labelled.most_common(1)[0][0]
    odd = [(line, names) for line, names in found if names != usual]
    # More kinds than a template has: the labels are part of the texts and not of a form.
    if not odd or (len(labelled) > 10 and labelled[usual] < len(found) / 2):
        return None
    return OrderAdvice(usual, [line for line, _ in odd], odd[0][1])
