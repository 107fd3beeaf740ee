"""What makes a data set teach well, as the reference product advises: instructions in the prompts (S17), and fields
that stand in the same order in every prompt (S16). Heuristics: they warn and never refuse."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

# A prompt instructs if it names what is wanted: a question; a labelled field; a programming language or the word code;
# or a verb of making together with a thing that is made. "Calculate the sum of a list of integers." names a task and
# leaves open whether code, prose or a number is wanted; "Write the code in Python: calculate ..." does not.
_CODE = re.compile(
    r"(?i)\b(?:code|function|program|script|snippet|python|javascript|typescript|golang|rust|ruby|php|kotlin|scala|"
    r"bash|sql|html|css|haskell|julia|matlab|terraform|dockerfile|makefile)\b|\bC(?:\+\+|#)|\bJava\b"
)
_MAKING = re.compile(
    r"(?i)\b(?:write|create|generate|implement|complete|fill|add|build|make|produce|give|show|return only|translate|"
    r"convert|rewrite|refactor|fix|correct|explain|describe|document|summari[sz]e|review|answer|optimi[sz]e|define|"
    r"design|test|finish|continue)\b"
)
_MADE = re.compile(
    r"(?i)\b(?:methods?|class|classes|modules?|tests?|quer(?:y|ies)|commands?|statements?|expressions?|docstrings?|"
    r"comments?|regex|files?|bugs?|errors?|type hints?|api|endpoint|schema|component|loop|lines?|java|go|c|shell|swift|"
    r"perl|r|lua|yaml|json)\b"
)

# Up to three words at the beginning of a line; deeper lines are code.
_LABEL = re.compile(r"(?m)^([A-Za-z][\w-]{0,20}(?: [\w-]{1,20}){0,2}):(?=\s|$)")
_FENCE = re.compile(r"(?ms)^```.*?(?:^```|\Z)")
# Words before a colon at the beginning of a line that are code in one language or another.
_NOT_LABELS = frozenset(
    [
        "else",
        "try",
        "finally",
        "except",
        "default",
        "public",
        "private",
        "protected",
        "case",
        "do",
        "then",
        "return",
        "pass",
    ]
)


class FieldAdvice(NamedTuple):
    """The usual fields of the prompts, and the lines whose prompts differ from it."""

    usual: tuple[str, ...]
    lines: list[int]
    shown: tuple[str, ...]
    """The fields of the first of these lines."""


def instructs(prompt: str) -> bool:
    """Whether a prompt says what kind of answer it wants."""
    if "?" in prompt or _CODE.search(prompt) or labels(prompt):
        return True
    return bool(_MAKING.search(prompt) and _MADE.search(prompt))


def labels(prompt: str) -> tuple[str, ...]:
    """Names of the labelled fields of a prompt (`question: ...`), in order, as they are written.

    Code in fences, keywords and instructions ("Write code: ...") are no labels; one word ("answer:") is no instruction.
    """
    if ":" not in prompt:
        return ()
    plain = _FENCE.sub("", prompt) if "```" in prompt else prompt
    found = (match[1] for match in _LABEL.finditer(plain))
    return tuple(name for name in found if name not in _NOT_LABELS and not (" " in name and _MAKING.match(name)))


def field_order(prompts: Sequence[tuple[int, tuple[str, ...]]]) -> FieldAdvice | None:
    """Which prompts, given as line and labels, have other fields or another order than most of them.

    Only where at least half of the prompts have fields. A label that fewer than half of those have belongs to a text
    and not to the form, and does not count as a difference by itself.
    """
    labelled = [names for _, names in prompts if names]
    if len(labelled) < max(2, len(prompts) / 2):
        return None
    counts = Counter(name for names in labelled for name in set(names))
    form = {name for name, count in counts.items() if count >= len(labelled) / 2}
    kept = [(line, tuple(name for name in names if name in form), names) for line, names in prompts]
    usual = Counter(names for _, names, _ in kept if names).most_common(1)
    odd = [(line, names) for line, in_form, names in kept if usual and in_form != usual[0][0]]
    return FieldAdvice(usual[0][0], [line for line, _ in odd], odd[0][1]) if odd else None
