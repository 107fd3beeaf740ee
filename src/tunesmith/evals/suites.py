"""Problems with tests, and the suites they come in.

In: JSONL files. Out: `Problem`s, and for a problem and a model's completion the program to judge.
A suite says how its file is read and how a completion becomes code; the dict SUITES at the end lists all of them.
Not here: asking a model, counting (evaluate.py), running code (sandbox.py).

Our own format, one object a line: `id`, `prompt`, `tests` (examining.py lists what they can say), and optionally
`entry_point` (what `candidate` calls), `preamble` (code put before the answer), `modules` (file names beside the
JSONL that the answer may import). HumanEval's format is read as it is published.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.errors import InvalidArgument, NotFound

# The first fenced block; one that is never closed goes on to the end, as with an answer that was cut off.
_FENCED = re.compile(r"^[ \t]*```[ \t]*(?:python|py|python3)?[ \t]*\r?\n(.*?)(?:^[ \t]*```|\Z)", re.M | re.S | re.I)


@dataclass(frozen=True)
class Module:
    """A file that a solution may import: its module name and its text."""

    name: str
    source: str


@dataclass(frozen=True)
class Problem:
    """What a model is asked, and the tests that its answer must pass."""

    id: str
    prompt: str
    tests: str
    entry_point: str = ""
    preamble: str = ""
    modules: tuple[Module, ...] = ()


@dataclass(frozen=True)
class Suite:
    """Where a kind of problem comes from and how an answer to it becomes a program."""

    about: str
    read: Callable[[Path], list[Problem]]
    program: Callable[[Problem, str], str]


def extract_code(completion: str) -> str:
    """The code of an answer: its first fenced Python block, or all of it if there is no fence."""
    block = _FENCED.search(completion)
    return block.group(1) if block else completion


def answer_program(problem: Problem, completion: str) -> str:
    """The preamble, then the answer's code."""
    return f"{problem.preamble}\n{extract_code(completion)}" if problem.preamble else extract_code(completion)


def read_problems(path: Path) -> list[Problem]:
    """The problems of a file in our own format. NotFound, or InvalidArgument with the line of the first mistake."""
    problems = []
    for place, row in _rows(path):
        _check_fields(row, place, {"id", "prompt", "tests"}, {"entry_point", "preamble"}, lists={"modules"})
        modules = tuple(_read_module(path, name, place) for name in row.pop("modules", ()))
        problems.append(Problem(**row, modules=modules))
    return _distinct(problems, path)


def read_humaneval(path: Path) -> list[Problem]:
    """The problems of HumanEval's published file (task_id, prompt, entry_point, test, canonical_solution)."""
    problems = []
    for place, row in _rows(path):
        _check_fields(row, place, {"task_id", "prompt", "entry_point", "test"}, set(row))
        problems.append(
            Problem(
                id=row["task_id"],
                prompt=f"Write the code in Python: complete this function.\n```python\n{row['prompt'].strip()}\n```",
                tests=f"{row['test']}\ncheck(candidate)\n",
                entry_point=row["entry_point"],
                preamble=row["prompt"],  # its imports and finished functions; the unfinished one is a legal stub
            )
        )
    return _distinct(problems, path)


SUITES: dict[str, Suite] = {
    "problems": Suite("a JSONL file of problems in Tunesmith's own format", read_problems, answer_program),
    "humaneval": Suite("HumanEval.jsonl or .jsonl.gz as OpenAI published it", read_humaneval, answer_program),
}


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file:line, object) of each line that is not blank."""
    if not path.is_file():
        raise NotFound(f"{path}: no such file of problems")
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    for number, line in enumerate(text.split(b"\n"), start=1):
        place = f"{path}:{number}"
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InvalidArgument.of(place, f"not JSON ({error})") from error
            if not isinstance(row, dict):
                raise InvalidArgument.of(place, f"must be an object, got {type(row).__name__}")
            yield place, row


def _check_fields(
    row: dict[str, Any],
    place: str,
    needed: set[str],
    optional: set[str],
    lists: frozenset[str] | set[str] = frozenset(),
) -> None:
    for field in sorted(needed - set(row)):
        raise InvalidArgument.of(place, f"`{field}` is missing; a problem needs {', '.join(sorted(needed))}")
    for field, value in row.items():
        if field not in needed | optional | lists:
            raise InvalidArgument.of(place, f"`{field}` is unknown; remove it, or look for a spelling mistake")
        if field in lists and not (isinstance(value, list) and all(isinstance(name, str) for name in value)):
            raise InvalidArgument.of(place, f"`{field}` must be a list of file names, got {value!r}")
        if field not in lists and (not isinstance(value, str) or (field in needed and not value.strip())):
            raise InvalidArgument.of(place, f"`{field}` must be a text that is not empty, got {value!r}")


def _read_module(path: Path, name: str, place: str) -> Module:
    """A module beside the file of problems; names with a folder in them are refused, so nothing else can be read."""
    module = name.removesuffix(".py")
    source = path.parent / name
    if not name.endswith(".py") or not module.isidentifier():
        raise InvalidArgument.of(place, f"`modules` names {name!r}; it takes names such as 'tools.py', without folders")
    if not source.is_file():
        raise InvalidArgument.of(place, f"`modules` names {name!r}, but there is no {source}")
    return Module(module, source.read_text("utf-8"))


def _distinct(problems: list[Problem], path: Path) -> list[Problem]:
    if not problems:
        raise InvalidArgument.of(str(path), "holds no problems")
    seen: set[str] = set()
    for problem in problems:
        if problem.id in seen:
            raise InvalidArgument.of(str(path), f"the id {problem.id!r} appears twice")
        seen.add(problem.id)
    return problems
