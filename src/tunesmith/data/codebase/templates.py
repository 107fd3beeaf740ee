"""How rows are worded: every template, with its version, in this file.

An instruction begins as the reference product's own example does ("Write the code in Python: ...", S17) and holds what
a request to the served model holds, in the same order (S16). A version is raised with every change of a word: rows name
the version that made them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

VERSION = 2
"""Of all templates together; in the manifest, and behind the name of a template in rows.jsonl."""

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """A unit of code, as a row speaks of it."""

    language: str
    fence: str
    path: str
    qualname: str
    kind: str
    """function, method, class or module."""
    summary: str
    """Prose, one paragraph or more."""
    signature: str
    context: str
    """Signatures from other files as comments, ending with a line end; empty if there are none."""
    code: str


def instruction(asked: Asked) -> dict[str, str]:
    """A row of the generation form: what to write and where it stands, and the code in a fenced block."""
    return {"input_text": _request(asked) + _context(asked), "output_text": fenced(asked)}


def chat(asked: Asked, variant: int) -> dict[str, list[Message] | str]:
    """A row of the chat form: question, answer and follow-up on one unit, in one of CHAT_VARIANTS wordings."""
    name, place = _names(asked)
    about = f"{asked.summary}\n\n{_fence(asked.fence, asked.signature)}" if asked.signature else asked.summary
    code = fenced(asked)
    turns = (
        [_request(asked), code, f"What is {name} for?", asked.summary],
        [f"What does {place} do?", about, "Show me its code.", code],
        [f"Which {asked.kind} of {asked.path} does this? {asked.summary}", _named(asked), "How is it written?", code]
        if asked.qualname
        else [f"What is {place} for?", asked.summary, "How is it written?", code],
    )[variant % CHAT_VARIANTS]
    messages = [
        {"author": "assistant" if number % 2 else "user", "content": content} for number, content in enumerate(turns)
    ]
    row: dict[str, list[Message] | str] = {"messages": messages}
    if asked.context:
        row["context"] = f"The code is written in {asked.language}. It uses:\n{_fence(asked.fence, asked.context)}"
    return row


CHAT_VARIANTS = 3


def fill_in_the_middle(prefix: str, middle: str, suffix: str, context: str, order: str) -> dict[str, str]:
    """A row of the fim form; its sentinels are the base model's and are added when it is rendered."""
    row = {"prefix": prefix, "suffix": suffix, "middle": middle}
    if context:
        row["context"] = context
    if order != "psm":
        row["order"] = order
    return row


def fenced(asked: Asked) -> str:
    """The unit's code in a fenced block."""
    return _fence(asked.fence, asked.code)


def _request(asked: Asked) -> str:
    lines = [f"Write the code in {asked.language}: {asked.summary}", f"File: {asked.path}"]
    file = PurePosixPath(asked.path)
    # The same fields in every request (S16), of a file as a whole too.
    lines.append(f"Name: {asked.qualname or file.name}")
    lines += ["Signature:", asked.signature or f"module {file.stem}"]
    return "\n".join(lines)


def _context(asked: Asked) -> str:
    return f"\nContext:\n{asked.context.rstrip()}" if asked.context else ""


def _names(asked: Asked) -> tuple[str, str]:
    """What a chat calls the unit, and with its file; a file has no name but its path."""
    if asked.kind == "module":
        return "the module", f"the module {asked.path}"
    return f"`{asked.qualname}`", f"`{asked.qualname}` in {asked.path}"


def _named(asked: Asked) -> str:
    return f"That is `{asked.qualname}`:\n\n{_fence(asked.fence, asked.signature)}"


def _fence(word: str, code: str) -> str:
    marks = "```"
    while marks in code:  # a longer fence than any inside
        marks += "`"
    return f"{marks}{word}\n{code.rstrip()}\n{marks}"
