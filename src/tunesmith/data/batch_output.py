"""What a batch is answered: kept as it comes, and written as objects when all of it is there.

In: answers, in any order, each by the number of its instance. Out: answers.jsonl in the attempt's own folder, a line an
answer in one write; at the end an object for each source, its lines in the source's order:

    DESTINATION/prediction.results-00000-of-00002    {"instance", "predictions": [...], "status": ""} a line

An attempt begins with the answers of those before it, so a killed one costs what it was about to answer. Objects appear
whole, under names that follow from the job: written again, they are the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from tunesmith import folder
from tunesmith.batch import BatchPlan
from tunesmith.data.batch_input import SOURCES, file_name
from tunesmith.folder import AttemptFolder
from tunesmith.storage import Storage

ANSWERS = "answers.jsonl"
MAX_FAILURES = 20
"""As Vertex shows of partial failures."""


class Line(NamedTuple):
    """One line of a source; `number` counts over all sources from 0."""

    number: int
    uri: str
    line: int
    instance: Any
    error: str


def lines_of(read: Path) -> Iterator[Line]:
    """All lines of the sealed folder that read-instances has left."""
    number = 0
    for i, source in enumerate(folder.read_json(read / SOURCES)):
        for said in _read_jsonl(read / file_name(i)):
            yield Line(number, source["uri"], said["line"], said["instance"], said["error"])
            number += 1


def _read_jsonl(path: Path) -> Iterator[Any]:
    with open(path, encoding="utf-8") as file:
        for text in file:
            yield json.loads(text)


class Answers:
    """The answers that there are: this attempt's, and those of attempts before it. One thread at a time."""

    def __init__(self, attempt: AttemptFolder, earlier: Sequence[AttemptFolder], weights: str) -> None:
        """`weights` says what answers: an earlier attempt that asked something else gives nothing."""
        self._files: list[BinaryIO] = []
        self._places: dict[int, tuple[int, int]] = {}
        """Number of an instance -> which file, and where in it."""
        self._failed: set[int] = set()
        for before in earlier:
            self._take_over(before.out / ANSWERS, weights)
        own = attempt.out / ANSWERS
        own.unlink(missing_ok=True)
        self._own = open(own, "ab", buffering=0)  # noqa: SIM115 (closed by `close`)
        self._write({"weights": weights})
        self._files.append(open(own, "rb"))  # noqa: SIM115

    @property
    def successful(self) -> int:
        return len(self._places) - len(self._failed)

    @property
    def failed(self) -> int:
        return len(self._failed)

    def has_failed(self, number: int) -> bool:
        return number in self._failed

    def __contains__(self, number: int) -> bool:
        return number in self._places

    def add(self, number: int, predictions: Sequence[Mapping[str, Any]], status: str = "") -> None:
        """Keeps an answer; with a status it is why there is none."""
        place = self._own.tell()
        self._write({"number": number, "predictions": predictions, "status": status})
        self._note(number, len(self._files) - 1, place, status)

    def of(self, number: int) -> dict[str, Any]:
        """What was kept of an instance."""
        file, place = self._places[number]
        self._files[file].seek(place)
        said: dict[str, Any] = json.loads(self._files[file].readline())
        return said

    def close(self) -> None:
        for file in (self._own, *self._files):
            file.close()

    def _write(self, said: Mapping[str, Any]) -> None:
        folder.append(self._own, (json.dumps(said) + "\n").encode())

    def _take_over(self, path: Path, weights: str) -> None:
        try:
            file = open(path, "rb")  # noqa: SIM115 (closed by `close`)
        except FileNotFoundError:
            return
        self._files.append(file)
        first = file.readline()
        if not first.endswith(b"\n") or json.loads(first) != {"weights": weights}:
            return
        while True:
            place = file.tell()
            data = file.readline()
            if not data.endswith(b"\n"):  # the end, or what a crash has torn
                return
            said = json.loads(data)
            if said["number"] not in self._places:
                self._note(said["number"], len(self._files) - 1, place, said["status"])

    def _note(self, number: int, file: int, place: int, status: str) -> None:
        self._places[number] = file, place
        if status:
            self._failed.add(number)


def write(plan: BatchPlan, storage: Storage, read: Path, answers: Answers) -> list[str]:
    """Writes every object; their URIs. All lines must be answered, or unreadable."""
    sources = folder.read_json(read / SOURCES)
    all_lines = lines_of(read)
    written = []
    for i, source in enumerate(sources):
        uri = f"{plan.destination}/prediction.results-{i:05d}-of-{len(sources):05d}"
        chunks = (_written(next(all_lines), answers) for _ in range(source["lines"]))
        storage.put(uri, chunks, content_type="application/jsonl")
        written.append(uri)
    return written


def failures(read: Path, answers: Answers) -> list[str]:
    """Why the first of those instances that have none got no prediction, with their places."""
    found: list[str] = []
    for line in lines_of(read):
        if line.error or answers.has_failed(line.number):
            status = line.error or answers.of(line.number)["status"]
            found.append(f"{line.uri} line {line.line}: {status}")
            if len(found) == MAX_FAILURES:
                break
    return found


def _written(line: Line, answers: Answers) -> bytes:
    said = {"predictions": [], "status": line.error} if line.error else answers.of(line.number)
    whole = {"instance": line.instance, "predictions": said["predictions"], "status": said["status"]}
    return (json.dumps(whole, ensure_ascii=False) + "\n").encode()
