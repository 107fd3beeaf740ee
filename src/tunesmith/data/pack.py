"""Rendered examples on disk: one folder of plain arrays, written row by row and read back without copying.

    tokens.npy   int32    all examples end to end
    weights.npy  uint8    1 where a token is trained; as long as tokens
    offsets.npy  int64    where each example begins in both, and at the end where the last one ends
    lines.npy    int64    the line of the data file that each example came from
    prompts.npy  int32    how many tokens of each example precede its last trainable answer
    fim.npy      uint8    1 where an example fills in the middle
    shard.json            counts

The arrays are memory-mapped: opening a shard of any size takes milliseconds, and processes share its pages.
Whole or not at all is the business of who writes the folder around it (`folder.sealed`), order and batches that of
engine/batches.py; examples are neither cut nor joined here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from tunesmith import folder
from tunesmith.data.render import Rendered
from tunesmith.errors import DataLoss, InvalidArgument

_COLUMNS: dict[str, np.dtype[Any]] = {
    "tokens": np.dtype(np.int32),
    "weights": np.dtype(np.uint8),
    "offsets": np.dtype(np.int64),
    "lines": np.dtype(np.int64),
    "prompts": np.dtype(np.int32),
    "fim": np.dtype(np.uint8),
}
_FACTS = "shard.json"


@dataclass(frozen=True, slots=True)
class Shard:
    """The examples of one folder, by index from 0. What it hands out are views: do not write into them."""

    folder: Path
    _tokens: npt.NDArray[np.int32]
    _weights: npt.NDArray[np.uint8]
    _offsets: npt.NDArray[np.int64]
    _lines: npt.NDArray[np.int64]
    _prompts: npt.NDArray[np.int32]
    _fim: npt.NDArray[np.uint8]

    @classmethod
    def open(cls, folder_: Path) -> Shard:
        """The shard in a folder; NotFound if there is none, DataLoss if its files do not belong together."""
        facts = folder.read_json(folder_ / _FACTS)
        shard = cls(folder_, *(_load(folder_ / f"{name}.npy") for name in _COLUMNS))
        ends = {int(shard._offsets[-1]), len(shard._tokens), len(shard._weights), facts["tokens"]}
        columns = (shard._lines, shard._prompts, shard._fim)
        counts = {len(shard._offsets) - 1, facts["examples"], *(len(column) for column in columns)}
        if len(ends) > 1 or len(counts) > 1:
            raise DataLoss(f"{folder_}: its arrays do not belong together; run the job again to write them anew")
        return shard

    @property
    def num_examples(self) -> int:
        return len(self._lines)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each example."""
        return np.diff(self._offsets)

    def tokens(self, index: int) -> npt.NDArray[np.int32]:
        """Ids of one example."""
        return self._tokens[self._offsets[index] : self._offsets[index + 1]]

    def weights(self, index: int) -> npt.NDArray[np.uint8]:
        """0 or 1 for each of its tokens."""
        return self._weights[self._offsets[index] : self._offsets[index + 1]]

    def prompt_tokens(self, index: int) -> int:
        """How many of its tokens precede its last trainable answer."""
        return int(self._prompts[index])

    def is_fim(self, index: int) -> bool:
        """Whether it fills in the middle; else it answers."""
        return bool(self._fim[index])

    def line(self, index: int) -> int:
        """The line of the data file that it came from, from 1."""
        return int(self._lines[index])


def write_shard(target: Path, rendered: Iterable[Rendered]) -> Shard:
    """Writes the examples into a new folder, one at a time, and opens it. InvalidArgument if there are none."""
    target.mkdir(parents=True)
    examples = tokens = trained = 0
    with contextlib.ExitStack() as stack:
        columns = {name: stack.enter_context(_column(target / f"{name}.npy", kind)) for name, kind in _COLUMNS.items()}
        columns["offsets"].append([0])
        for row in rendered:
            examples, tokens, trained = examples + 1, tokens + len(row.tokens), trained + row.target_tokens
            columns["tokens"].append(row.tokens)
            columns["weights"].append(row.weights)
            columns["offsets"].append([tokens])
            columns["lines"].append([row.line])
            columns["prompts"].append([row.prompt_tokens])
            columns["fim"].append([row.fim])
    if not examples:
        raise InvalidArgument.of("dataset", "holds no example")
    folder.write_json(target / _FACTS, {"examples": examples, "tokens": tokens, "target_tokens": trained})
    return Shard.open(target)


class _Column:
    """An .npy file of one dimension that grows; its header is written last, over the one that kept its place."""

    def __init__(self, file: IO[bytes], kind: np.dtype[Any]) -> None:
        self._file = file
        self._kind = kind
        self._length = 0
        self._write_header()
        self._start = file.tell()

    def append(self, values: Any) -> None:
        array = np.asarray(values, self._kind)
        self._file.write(array.tobytes())
        self._length += len(array)

    def finish(self) -> None:
        self._file.seek(0)
        self._write_header()
        # numpy leaves room for a length of 21 digits, so a header keeps its size.
        assert self._file.tell() == self._start

    def _write_header(self) -> None:
        facts = {"descr": np.lib.format.dtype_to_descr(self._kind), "fortran_order": False, "shape": (self._length,)}
        np.lib.format.write_array_header_1_0(self._file, facts)


@contextlib.contextmanager
def _column(path: Path, kind: np.dtype[Any]) -> Iterator[_Column]:
    with open(path, "wb") as file:
        column = _Column(file, kind)
        yield column
        column.finish()


def _load(path: Path) -> Any:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataLoss(f"{path}: not a readable array ({error}); run the job again to write it anew") from error
