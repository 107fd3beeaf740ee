"""What commands print: one JSON document, or text and tables for a person; and what they read of a person.

In: facts as the JSON documents hold them, of this machine's store or of a server. Out: standard output for results,
standard error for errors. Finds nothing out itself. rich is loaded when the first table is made.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from tunesmith.errors import TunesmithError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

# Tables in a pipe: wide enough for resource names, narrow enough for a log.
PIPE_COLUMNS = 140

Facts = Mapping[str, Any]


class Speaker(Protocol):
    """One call of one command, as far as it says something."""

    @property
    def json(self) -> bool: ...

    def emit(self, value: Any) -> None:
        """The command's one JSON document."""

    def show(self, renderable: RenderableType) -> None:
        """A result for a person."""

    def say(self, text: str) -> None:
        """Progress for a person."""


# Jobs and models.


def show_jobs(speaker: Speaker, jobs: Sequence[Facts]) -> None:
    """A list of jobs."""
    if speaker.json:
        speaker.emit({"jobs": jobs})
        return
    rows = table("id", "kind", "state", "name", "base model", "created", "model")
    for job in jobs:
        model = (job["model"] or "").rpartition("/")[2]
        cells = (
            job["id"],
            job["kind"],
            job["state"],
            job["display_name"],
            job["base_model"],
            job["create_time"],
            model,
        )
        rows.add_row(*(text(cell) for cell in cells))
    speaker.show(rows if jobs else "no jobs yet; `tunesmith tune FILE` starts one")


def show_job(speaker: Speaker, job: Facts) -> None:
    """One job with its tasks."""
    if speaker.json:
        speaker.emit(job)
        return
    shown = ("id", "kind", "state", "display_name", "base_model", "model", "create_time", "end_time", "folder")
    speaker.show(pairs([(name.replace("_", " "), str(job[name])) for name in shown if job[name]]))
    rows = table("task", "state", "attempt", "error")
    for task in job["tasks"]:
        rows.add_row(*(text(task[name]) for name in ("name", "state", "attempt")), _message(task["error"]))
    speaker.show(rows)


def show_state(speaker: Speaker, job: Facts, *, says_why: bool = True) -> None:
    """Where a job stands, in a line; with the reason, if it ended without success."""
    if speaker.json:
        speaker.emit(job)
        return
    why = f": {_message(job['error'])}" if says_why and job["error"] else ""
    speaker.show(f"job {job['id']} is {job['state']}{why}")


def show_models(speaker: Speaker, models: Sequence[Facts]) -> None:
    """A list of tuned models."""
    if speaker.json:
        speaker.emit({"models": models})
        return
    rows = table("name", "display name", "base model", "created")
    for model in models:
        cells = (model["name"], model["display_name"], model["base_model"], model["create_time"])
        rows.add_row(*(text(cell) for cell in cells))
    speaker.show(rows if models else "no tuned models yet; `tunesmith tune FILE` makes one")


def show_model(speaker: Speaker, model: Facts) -> None:
    """One tuned model, with its figures and what it was made from."""
    if speaker.json:
        speaker.emit(model)
        return
    facts = [
        ("name", model["name"]),
        ("display name", model["display_name"]),
        ("base model", model["base_model"]),
        ("made by job", model["job"] or "(deleted or uploaded)"),
        ("created", model["create_time"]),
        *([("folder", model["folder"])] if model["folder"] else []),
    ]
    speaker.show(pairs([*facts, *flat(model["metrics"]), *flat(model["lineage"])]))


# Talking.


def messages() -> Iterator[str]:
    """Lines that a person or a pipe sends, until /exit or the end; prompts only where a person reads them."""
    asks = sys.stdin.isatty()
    while True:
        if asks:
            print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line or line.strip() == "/exit":
            return
        if line.strip():
            yield line.rstrip("\r\n")


def print_stream(speaker: Speaker, pieces: Iterator[str]) -> str:
    """Prints an answer as it comes; the whole of it."""
    stream = sys.stderr if speaker.json else sys.stdout
    answer = ""
    for piece in pieces:
        print(piece, end="", file=stream, flush=True)
        answer += piece
    print(file=stream, flush=True)
    return answer


def print_answer(speaker: Speaker, model: str, answer: str) -> None:
    """The answer to one question."""
    if speaker.json:
        speaker.emit({"model": model, "predictions": [{"content": answer}]})
    else:
        print(answer)


def text_or_stdin(said: str) -> str:
    """The text; - stands for what standard input holds."""
    return sys.stdin.read() if said == "-" else said


def print_error(error: TunesmithError, json_output: bool, debug: bool) -> None:
    """One block on standard error; with --json the error is the document too."""
    if debug:
        traceback.print_exception(error)
    lines = error.message.splitlines() or [error.status]
    if len(lines) == 1:
        print(f"error: {lines[0]}", file=sys.stderr)
    else:
        print("error:\n" + "\n".join(f"  {line}" for line in lines), file=sys.stderr)
    if json_output:
        print(json.dumps({"error": error.to_json()}, indent=2, ensure_ascii=False))


# The parts of tables.


def console(stream: Any) -> Console:
    """A console on that stream."""
    from rich.console import Console

    return Console(file=stream, width=None if stream.isatty() else PIPE_COLUMNS)


def table(*titles: str) -> Table:
    """An empty table with these columns; without a head if no title says anything."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD if any(titles) else None, pad_edge=False, show_header=any(titles))
    for title in titles:
        made.add_column(title, overflow="fold")
    return made


def pairs(named: Sequence[tuple[str, str]]) -> RenderableType:
    """Names in one column, texts in the other."""
    from rich.table import Table
    from rich.text import Text

    made = Table.grid(padding=(0, 2))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in named:
        made.add_row(Text(name), Text(value))
    return made


def flat(value: Facts, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested figures as `name.part` and a text."""
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from flat(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", f"{inner:,}" if type(inner) is int else str(inner)


def text(value: Any) -> str:
    """A cell; nothing for null, and no markup in what users wrote."""
    return "" if value is None else escape(str(value))


def escape(said: str) -> str:
    """The text without markup."""
    from rich.markup import escape

    return escape(said)


def when(time_s: float) -> str:
    """RFC 3339, UTC."""
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="seconds")


def _message(error: Facts | None) -> str:
    return text(error["message"]) if error else ""
