"""Documented functions of the Python standard library installed on this machine, as prompts and answers.

In: the library's source files, found through `sysconfig` and read with `ast`; nothing of it is imported or run.
Out: `Row`s. The prompt is an instruction (from the docstring), the name and the signature; the answer is the code
without its docstring, in a fenced block. The same interpreter always gives the same rows in the same order.

Every top-level module belongs to exactly one of three groups, by a salted hash of its name:

    forgetting   measured before and after tuning, never trained on    forgetting_rows()
    evaluation   held out by `make tune`                               write_dataset()
    training     replayed in batches, trained on by `make tune`        replay_rows(), write_dataset()

Not here: tokens, length in tokens, mixing into batches. Another Python version has other functions, so figures
measured with these rows compare only on one version. Called by `make tune`, by replay and by the forgetting measure.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import random
import re
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from tunesmith import folder
from tunesmith.errors import FailedPrecondition, InvalidArgument, TunesmithError

Group = Literal["forgetting", "evaluation", "training"]

MAX_ANSWER_CHARS = 1_600  # about 450 tokens: a prompt and its answer stay under 600
MIN_BODY_CHARS = 40  # shorter bodies only pass a call on
MIN_DESCRIPTION_CHARS = 20
MAX_DESCRIPTION_CHARS = 400
FORGETTING_ANSWER_CHARS = (150, 900)  # 24 such rows are about 5,000 tokens: seconds to measure on two cores

# The groups were dealt with this salt; another salt makes figures of earlier jobs incomparable.
_SALT = "tunesmith-stdlib-1"
_GROUPS: tuple[Group, ...] = ("forgetting", "evaluation", "training")
_FORGETTING_PERCENT = 15
_EVALUATION_PERCENT = 15

# Not the library that people read: its tests, an editor, converters, vendored installers, generated tables.
_SKIPPED_FOLDERS = frozenset(
    {"test", "tests", "idle_test", "idlelib", "lib2to3", "site-packages", "dist-packages", "ensurepip", "encodings"}
    | {"__pycache__", "turtledemo", "__phello__", "pydoc_data", "lib-dynload"}
)
_NOT_PROSE = re.compile(r"\s|>>>|[-*+:|=]|\d+[.)]\s|\w[\w ]*:\s*$")


@dataclass(frozen=True)
class Row:
    """One function: where it stands, what is asked, what is answered."""

    module: str
    qualname: str
    input_text: str
    output_text: str


class DatasetFiles(NamedTuple):
    """Paths of the two files that `write_dataset` wrote."""

    train: Path
    evaluation: Path


def functions(*, max_answer_chars: int = MAX_ANSWER_CHARS) -> list[Row]:
    """All rows of this interpreter's library: group after group, in each by path and line; no answer twice."""
    return list(_rows_of(_GROUPS, max_answer_chars))


def forgetting_rows(n: int = 24) -> list[Row]:
    """The n fixed rows on which forgetting is measured, from as many modules as there are.

    Reads only the files of its own group. Which rows these are depends on n only in where the list ends.
    Raises FailedPrecondition if the library has fewer.
    """
    shortest, longest = FORGETTING_ANSWER_CHARS
    rows = [row for row in _rows_of(("forgetting",), MAX_ANSWER_CHARS) if shortest <= len(row.output_text) <= longest]
    return _enough(_spread_over_modules(rows), n, "forgetting rows")


def replay_rows(*, max_answer_chars: int = MAX_ANSWER_CHARS) -> list[Row]:
    """All rows of the training group: general code to mix into batches, never a module that is measured."""
    return [row for row in functions(max_answer_chars=max_answer_chars) if group_of(row.module) == "training"]


def write_dataset(output: Path, *, rows: int = 600, evaluation_rows: int = 48, seed: int = 0) -> DatasetFiles:
    """Writes train.jsonl and evaluation.jsonl into the folder `output`, each whole or not at all; returns the paths.

    No module is in both, none is in the forgetting set. The seed chooses which rows, and their order.
    Raises InvalidArgument for a count that tuning would refuse, FailedPrecondition if the library has fewer rows.
    """
    _check_count("rows", rows, 10, 10_000)
    _check_count("evaluation_rows", evaluation_rows, 10, 250)
    every = functions()
    paths = []
    for group, count, name in (("training", rows, "train.jsonl"), ("evaluation", evaluation_rows, "evaluation.jsonl")):
        members = [row for row in every if group_of(row.module) == group]
        random.Random(f"{seed}:{group}").shuffle(members)
        paths.append(_write_jsonl(output / name, _enough(members, count, f"{group} rows")))
    return DatasetFiles(*paths)


def group_of(module: str) -> Group:
    """The group of a dotted module name. `_pydecimal` and `decimal` are one module to it: the same text is in both."""
    top = module.split(".")[0]
    percent = _stable_hash(top.removeprefix("_py").lstrip("_")) % 100
    if percent < _FORGETTING_PERCENT:
        return "forgetting"
    return "evaluation" if percent < _FORGETTING_PERCENT + _EVALUATION_PERCENT else "training"


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m tunesmith.data.stdlib --output DIR`: writes the data set of `make tune` and says what is in it."""
    parser = argparse.ArgumentParser(prog="python -m tunesmith.data.stdlib", description=(main.__doc__ or "").strip())
    parser.add_argument("--output", type=Path, required=True, help="folder for train.jsonl and evaluation.jsonl")
    parser.add_argument("--rows", type=int, default=600, help="training rows (default 600)")
    parser.add_argument("--evaluation-rows", type=int, default=48, help="held-out rows, 10 to 250 (default 48)")
    parser.add_argument("--seed", type=int, default=0, help="chooses the rows (default 0)")
    chosen = parser.parse_args(arguments)
    try:
        files = write_dataset(chosen.output, rows=chosen.rows, evaluation_rows=chosen.evaluation_rows, seed=chosen.seed)
    except TunesmithError as error:
        parser.exit(error.exit_code, f"{error.message}\n")
    sys.stdout.write(
        f"Python {sys.version.split()[0]} standard library at {_library()}\n"
        f"{chosen.rows} rows to train on: {files.train}\n"
        f"{chosen.evaluation_rows} held-out rows from other modules: {files.evaluation}\n"
    )
    return 0


def _rows_of(groups: Iterable[Group], max_answer_chars: int) -> Iterator[Row]:
    """Rows of some groups, in the order of _GROUPS, so that the first group keeps an answer that two groups share."""
    seen: set[str] = set()
    for group in groups:
        for row in _group_rows(group):
            if len(row.output_text) <= max_answer_chars and row.output_text not in seen:
                seen.add(row.output_text)
                yield row


@lru_cache(maxsize=len(_GROUPS))
def _group_rows(group: Group) -> tuple[Row, ...]:
    """All rows of a group, of any length; the files of a running interpreter do not change, so they are read once."""
    return tuple(
        row
        for module, path in _source_files(_library())
        if group_of(module) == group
        for row in _file_rows(module, path)
    )


def _library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def _source_files(library: Path) -> list[tuple[str, Path]]:
    """(dotted module, path) of each source file of the library, by path."""
    found = []
    for parent, subfolders, files in os.walk(library):
        subfolders[:] = [name for name in subfolders if _is_library_folder(name)]
        for name in files:
            path = Path(parent, name)
            if name.endswith(".py") and not path.is_symlink():
                parts = path.relative_to(library).with_suffix("").parts
                found.append((".".join(parts).removesuffix(".__init__"), path))
    return sorted(found)


def _is_library_folder(name: str) -> bool:
    # config-3.11-x86_64-linux-gnu and the like hold the build's own files.
    return name not in _SKIPPED_FOLDERS and not name.startswith(("config-", "."))


def _file_rows(module: str, path: Path) -> Iterator[Row]:
    try:
        source = path.read_text("utf-8")
        tree = ast.parse(source)
    except (UnicodeDecodeError, SyntaxError):
        return  # a few files are bad on purpose, or in an old encoding
    lines = source.split("\n")
    for qualname, function in _documented(tree.body, ""):
        row = _row(module, qualname, function, lines)
        if row is not None:
            yield row


def _documented(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Functions of a module, methods of its classes; not functions inside functions, which need their surroundings."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _documented(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node, clean=False):
            yield prefix + node.name, node


def _row(module: str, qualname: str, function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> Row | None:
    """The row of one function, or None if there is too little to learn from it or its text cannot be cut cleanly."""
    docstring, *rest = function.body
    first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)]) - 1
    description = _description(ast.get_docstring(function) or "")
    if len(description) < MIN_DESCRIPTION_CHARS or _is_trivial(rest) or not _is_cut_cleanly(function, rest):
        return None
    head = _outdented(lines[first : docstring.lineno - 1], function.col_offset).rstrip()
    body = _outdented(lines[docstring.end_lineno : function.end_lineno], function.col_offset).strip("\n").rstrip()
    if len(body.strip()) < MIN_BODY_CHARS:
        return None
    return Row(
        module=module,
        qualname=qualname,
        input_text=f"Write the code in Python: {description}\nName: {module}.{qualname}\nSignature:\n{head}",
        output_text=f"```python\n{head}\n{body}\n```",
    )


def _description(docstring: str) -> str:
    """The docstring's opening paragraphs of prose on one line; examples, lists and field lists end it."""
    taken = ""
    for paragraph in docstring.split("\n\n"):
        lines = paragraph.strip("\n").split("\n")
        if not lines[0] or any(_NOT_PROSE.match(line) for line in lines):
            break
        longer = f"{taken} {' '.join(' '.join(lines).split())}".strip()
        if len(longer) > MAX_DESCRIPTION_CHARS:
            break
        taken = longer
    return taken


def _outdented(lines: list[str], columns: int) -> str:
    """The lines moved left by so many columns; comments and continuations that stand further left move to column 0."""
    return "\n".join(line.lstrip() if line[:columns].strip() else line[columns:] for line in lines)


def _is_trivial(body: list[ast.stmt]) -> bool:
    """True for a body that is empty, or one of pass, a bare value, and raise."""
    return not body or (len(body) == 1 and isinstance(body[0], ast.Pass | ast.Expr | ast.Raise))


def _is_cut_cleanly(function: ast.FunctionDef | ast.AsyncFunctionDef, rest: list[ast.stmt]) -> bool:
    """True if removing the docstring's lines and the indentation changes nothing else.

    Not so when head, docstring or body share a line, or when a string spans lines and would lose indentation with them.
    """
    docstring = function.body[0]
    shares_lines = docstring.lineno <= _head_end(function) or rest[0].lineno <= (docstring.end_lineno or 0)
    return not shares_lines and not (function.col_offset and any(_has_long_string(part) for part in rest))


def _head_end(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """A line that the head reaches at least: its own, and those of its arguments and its result's annotation."""
    parts = [part for part in (function.args, function.returns) if part is not None]
    ends = [node.end_lineno or 0 for part in parts for node in ast.walk(part) if isinstance(node, ast.expr | ast.arg)]
    return max([function.lineno, *ends])


def _has_long_string(statement: ast.stmt) -> bool:
    return any(
        isinstance(node, ast.JoinedStr | ast.Constant) and node.end_lineno != node.lineno
        for node in ast.walk(statement)
    )


def _spread_over_modules(rows: Iterable[Row]) -> list[Row]:
    """The rows in a fixed shuffled order that visits every top-level module once before any a second time."""
    visits: Counter[str] = Counter()
    ranked = []
    for row in sorted(rows, key=lambda row: _stable_hash(f"{row.module}.{row.qualname}")):
        top = row.module.split(".")[0]
        ranked.append((visits[top], row))
        visits[top] += 1
    return [row for _, row in sorted(ranked, key=lambda pair: pair[0])]


def _stable_hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{_SALT}:{text}".encode()).digest()[:8], "big")


def _enough(rows: list[Row], count: int, what: str) -> list[Row]:
    if len(rows) < count:
        raise FailedPrecondition(
            f"the standard library at {_library()} has {len(rows)} {what}, {count} were asked for: ask for fewer, "
            "or install the library's sources (some distributions ship only compiled files)"
        )
    return rows[:count]


def _check_count(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InvalidArgument.of(field, f"must be {least} to {most}, got {value}")


def _write_jsonl(path: Path, rows: Iterable[Row]) -> Path:
    lines = (json.dumps({"input_text": row.input_text, "output_text": row.output_text}) + "\n" for row in rows)
    folder.write_text(path, "".join(lines))
    return path


if __name__ == "__main__":
    sys.exit(main())
