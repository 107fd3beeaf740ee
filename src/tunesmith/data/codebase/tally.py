"""What the files of a finished build say, counted: every line of them once, little of it kept.

In: the folder that a build has filled (ledger.jsonl, rows.jsonl, clusters.jsonl, manifest.json and the files of rows).
Out: a Tally. Kept are sums, the lengths of rows as numbers, and a few lines to show, which are chosen by checksum: the
same ones at every run, spread over all of them. Memory is some 100 bytes a row and far less a file. The report
(report.py) is made from it; nothing is shown, judged or mended here.
"""

from __future__ import annotations

import heapq
import json
import zlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tunesmith.data.codebase import repository, screening
from tunesmith.errors import DataLoss, NotFound
from tunesmith.folder import read_json

LEDGER, ROWS, CLUSTERS, MANIFEST = "ledger.jsonl", "rows.jsonl", "clusters.jsonl", "manifest.json"
TRAINING, EVALUATION = "training", "evaluation"
SPLITS = (TRAINING, EVALUATION)
ROW_FILES: Mapping[str, str] = {
    "train.jsonl": TRAINING,
    "train-chat.jsonl": TRAINING,
    "evaluation.jsonl": EVALUATION,
    "evaluation-chat.jsonl": EVALUATION,
}
"""Each file of rows and its split."""
KINDS = ("instruction", "chat", "fim")

STAGES = ("reading", "screening", "licence", "secrets", "duplicates", "examples")
"""Where a file can be left, in the order of the build. A reason that no table knows is of `examples`, the last one."""
_STAGE_OF = {
    **dict.fromkeys(repository.REASONS, "reading"),
    **dict.fromkeys((*screening.REASONS, "unparsable", "excluded"), "screening"),
}
_STAGE_BY_WORD = {"licence": "licence", "secret": "secrets", "personal": "secrets", "duplicate": "duplicates"}

PATHS_SHOWN = 30
"""Of each reason."""
ROWS_SHOWN = 6
"""Of each kind and split."""
CLUSTERS_SHOWN = 20
MEMBERS_SHOWN = 12
# Rows that are kept of each kind, split, language and middle, to choose those to show from.
_CANDIDATES = 24
_DEPTHS = 3
_CODES_LISTED = 200
# Reasons with paths; a build knows some thirty.


@dataclass(slots=True)
class Amount:
    """A number of files and their bytes."""

    files: int = 0
    size_bytes: int = 0

    def add(self, size_bytes: int) -> None:
        self.files += 1
        self.size_bytes += size_bytes

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.files + other.files, self.size_bytes + other.size_bytes)


class Listed(NamedTuple):
    """A file that was left, with what of it gave the reason."""

    path: str
    detail: str


class Origin(NamedTuple):
    """Where a row comes from: a line of rows.jsonl, less its byte places."""

    file: str
    line: int
    kind: str
    path: str
    unit: str
    language: str
    template: str
    middle: str

    @property
    def split(self) -> str:
        return ROW_FILES[self.file]


class Shown(NamedTuple):
    """A row to show."""

    origin: Origin
    row: Mapping[str, Any]


class Cluster(NamedTuple):
    """Files that are the same or nearly so, of which one stayed."""

    name: str
    kind: str
    kept: str
    size: int
    """Files, with the one that stayed."""
    lowest: float
    highest: float
    """Similarity of the others to it."""
    others: tuple[str, ...]
    """At most MEMBERS_SHOWN."""


class Spread:
    """A few of many: those whose names have the smallest checksums, whatever order they come in."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[int, str, Any]] = []
        self.offered = 0

    def offer(self, name: str, value: Any) -> None:
        self.offered += 1
        key = -zlib.crc32(name.encode("utf-8", "surrogatepass"))
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, (key, name, value))
        elif key > self._heap[0][0]:
            heapq.heapreplace(self._heap, (key, name, value))

    def chosen(self) -> list[Any]:
        """The values, smallest checksum first."""
        return [value for _, _, value in sorted(self._heap, reverse=True)]


def _amounts() -> defaultdict[Any, Amount]:
    return defaultdict(Amount)


@dataclass(slots=True)
class Files:
    """What the ledger says."""

    languages: defaultdict[tuple[str, bool], Amount] = field(default_factory=_amounts)
    """By language and whether used."""
    reasons: defaultdict[str, Amount] = field(default_factory=_amounts)
    """By reason; the empty one: used."""
    licences: defaultdict[tuple[str, str], Amount] = field(default_factory=_amounts)
    """By licence and the stage where the file was left; the empty one: used."""
    redactions: defaultdict[str, Amount] = field(default_factory=_amounts)
    """By kind; `size_bytes` is the number of places here."""
    redacted_files: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """Examples that were made and not written, by kind."""
    folders: tuple[defaultdict[tuple[str, str], Amount], ...] = field(
        default_factory=lambda: tuple(_amounts() for _ in range(_DEPTHS))
    )
    """Of used files: by folder and split, for folders of one, two and three names."""
    listed: dict[str, Spread] = field(default_factory=dict)
    """By reason: files that were left."""

    @property
    def used(self) -> Amount:
        return self.reasons.get("", Amount())

    @property
    def all(self) -> Amount:
        return sum(self.reasons.values(), Amount())


@dataclass(slots=True)
class Rows:
    """What rows.jsonl and the files of rows say."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By kind and split."""
    languages: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By language and split."""
    templates: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By template and split, where a row has one."""
    middles: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Of fim rows: by kind of middle and order; the order is empty where the row leaves it open."""
    lengths: dict[tuple[str, str], dict[str, array[int]]] = field(default_factory=dict)
    """Characters, by kind and part, then by split."""
    shown: list[Shown] = field(default_factory=list)
    """Ordered by kind and split."""

    def total(self, split: str = "", kind: str = "") -> int:
        wanted = self.counts.items()
        return sum(n for (of_kind, of_split), n in wanted if split in ("", of_split) and kind in ("", of_kind))


@dataclass(slots=True)
class Clusters:
    """What clusters.jsonl says."""

    sizes: Counter[tuple[int, str]] = field(default_factory=Counter)
    """By number of files and kind of cluster."""
    similarities: Counter[int] = field(default_factory=Counter)
    """Of near-duplicates that were left: per cent, rounded down."""
    largest: list[Cluster] = field(default_factory=list)

    def dropped(self, kind: str = "") -> int:
        return sum((size - 1) * n for (size, of_kind), n in self.sizes.items() if kind in ("", of_kind))


class Tally(NamedTuple):
    """All that there is to say of a build."""

    manifest: Mapping[str, Any]
    files: Files
    rows: Rows
    clusters: Clusters


def tally(folder: Path) -> Tally:
    """Of a finished build. NotFound if a file is missing; DataLoss if one is damaged or if two do not agree."""
    manifest = read_json(folder / MANIFEST)
    return Tally(manifest, _files(folder), _rows(folder, manifest.get("files", {})), _clusters(folder))


def stage_of(reason: str) -> str:
    """Where the build leaves a file for this reason, one of STAGES; by its words where no table has it."""
    if reason in _STAGE_OF:
        return _STAGE_OF[reason]
    return next((stage for word, stage in _STAGE_BY_WORD.items() if word in reason), "examples")


# The ledger.


def _files(folder: Path) -> Files:
    files = Files()
    for number, line in _lines(folder / LEDGER):
        try:
            _count_file(files, line)
        except KeyError as error:
            raise _incomplete(LEDGER, number, error) from error
    return files


def _count_file(files: Files, line: Mapping[str, Any]) -> None:
    path, size, used = line["path"], line["bytes"], line["status"] == "used"
    reason = "" if used else line["reason"]
    files.reasons[reason].add(size)
    files.languages[line["language"], used].add(size)
    files.licences[line["licence"], "" if used else stage_of(reason)].add(size)
    for kind, places in line.get("redactions", {}).items():
        files.redactions[kind].files += 1
        files.redactions[kind].size_bytes += places
    files.redacted_files += bool(line.get("redactions"))
    files.left_out.update(line.get("left_out", {}))
    if not used:
        _list_file(files, reason, Listed(path, line.get("detail", "")))
    elif line.get("split"):
        names = path.split("/")[:-1]
        for depth, amounts in enumerate(files.folders, 1):
            amounts["/".join(names[:depth]), line["split"]].add(size)


def _list_file(files: Files, reason: str, listed: Listed) -> None:
    if reason not in files.listed:
        if len(files.listed) >= _CODES_LISTED:
            return
        files.listed[reason] = Spread(PATHS_SHOWN)
    files.listed[reason].offer(listed.path, listed)


# Rows.


def _rows(folder: Path, written: Mapping[str, Any]) -> Rows:
    rows = Rows()
    told, candidates = _origins(folder, rows)
    wanted = {(origin.file, origin.line): origin for origin in _choose(candidates)}
    found = {}
    for name, split in ROW_FILES.items():
        labels = told.get(name, {})
        if not labels and name not in written:
            continue
        for number, row in _lines(folder / name):
            if number not in labels:
                raise DataLoss(f"{name} line {number:,} is not in {ROWS}; build again")
            try:
                _count_row(rows, split, labels.pop(number), row)
            except KeyError as error:
                raise _incomplete(name, number, error) from error
            if (name, number) in wanted:
                found[name, number] = Shown(wanted[name, number], row)
        if labels:
            raise DataLoss(f"{ROWS} tells of line {min(labels):,} of {name}, which has none; build again")
    rows.shown = [found[place] for place in wanted]
    return rows


Labels = dict[str, dict[int, tuple[str, str]]]
"""By file and line: kind and middle of a row."""


def _origins(folder: Path, rows: Rows) -> tuple[Labels, dict[tuple[str, ...], Spread]]:
    """Labels of all rows, and some rows of each kind, split, language and middle."""
    told: Labels = {name: {} for name in ROW_FILES}
    labels: dict[tuple[str, str], tuple[str, str]] = {}
    candidates: dict[tuple[str, ...], Spread] = {}
    for number, line in _lines(folder / ROWS):
        try:
            origin = Origin(*(line[name] for name in Origin._fields))
            split = origin.split
        except KeyError as error:
            raise _incomplete(ROWS, number, error) from error
        label = (origin.kind, origin.middle)
        # One tuple for all rows of a label: a row then costs a number and a pointer.
        told[origin.file][origin.line] = labels.setdefault(label, label)
        rows.counts[origin.kind, split] += 1
        rows.languages[origin.language, split] += 1
        if origin.template:
            rows.templates[origin.template, split] += 1
        group = (origin.kind, split, origin.language, origin.middle)
        spread = candidates.setdefault(group, Spread(_CANDIDATES))
        spread.offer(f"{origin.path}\0{origin.unit}\0{origin.file}\0{origin.line}", origin)
    return told, candidates


def _choose(candidates: Mapping[tuple[str, ...], Spread]) -> list[Origin]:
    """At most ROWS_SHOWN of each kind and split: of as many languages, middles and files as there are."""
    chosen = []
    pools: dict[tuple[str, str], list[Origin]] = defaultdict(list)
    for group, spread in sorted(candidates.items(), key=lambda one: (-one[1].offered, one[0])):
        pools[group[0], group[1]] += spread.chosen()
    order = sorted(pools, key=lambda pool: (_place(KINDS, pool[0]), pool[0], _place(SPLITS, pool[1])))
    for kind in order:
        chosen += _spread_out(pools[kind])
    return chosen


def _place(known: tuple[str, ...], name: str) -> int:
    return known.index(name) if name in known else len(known)


def _spread_out(pool: list[Origin]) -> list[Origin]:
    seen: Counter[str] = Counter()
    taken: list[Origin] = []
    left = list(enumerate(pool))
    while left and len(taken) < ROWS_SHOWN:
        # The least seen language, then middle, then file; of equal ones the first of the pool.
        best = min(left, key=lambda one: (seen[f"l{one[1].language}"], seen[f"m{one[1].middle}"],
                                          seen[f"p{one[1].path}"], one[0]))  # fmt: skip
        left.remove(best)
        origin = best[1]
        seen.update((f"l{origin.language}", f"m{origin.middle}", f"p{origin.path}"))
        taken.append(origin)
    return taken


def _count_row(rows: Rows, split: str, label: tuple[str, str], row: Mapping[str, Any]) -> None:
    kind, middle = label
    for part, text in _parts(row):
        by_split = rows.lengths.setdefault((kind, part), {name: array("Q") for name in SPLITS})
        by_split[split].append(len(text))
    if kind == "fim":
        rows.middles[middle, row.get("order", "")] += 1


def _parts(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The texts of a row, by what they are to whoever learns from it."""
    if "messages" in row:
        for turn in row["messages"]:
            yield "question" if turn["author"] == "user" else "answer", turn["content"]
    elif "middle" in row:
        yield from ((name, row[name]) for name in ("prefix", "middle", "suffix"))
    else:
        yield from (("prompt", row["input_text"]), ("answer", row["output_text"]))
    if row.get("context"):
        yield "context", row["context"]


# Clusters.


def _clusters(folder: Path) -> Clusters:
    clusters = Clusters()
    heap: list[tuple[int, int, Cluster]] = []
    for number, line in _lines(folder / CLUSTERS):
        try:
            cluster = _cluster(line, clusters.similarities)
        except KeyError as error:
            raise _incomplete(CLUSTERS, number, error) from error
        clusters.sizes[cluster.size, cluster.kind] += 1
        heapq.heappush(heap, (cluster.size, -number, cluster))
        if len(heap) > CLUSTERS_SHOWN:
            heapq.heappop(heap)
    clusters.largest = [cluster for _, _, cluster in sorted(heap, reverse=True)]
    return clusters


def _cluster(line: Mapping[str, Any], similarities: Counter[int]) -> Cluster:
    kept = line["kept"]
    others = [(member["path"], float(member["similarity"])) for member in line["members"] if member["path"] != kept]
    values = [similarity for _, similarity in others]
    if line["kind"] == "near":
        similarities.update(int(100 * value + 1e-9) for value in values)
    bounds = (min(values, default=1.0), max(values, default=1.0))
    paths = tuple(path for path, _ in others[:MEMBERS_SHOWN])
    return Cluster(line["cluster"], line["kind"], kept, len(others) + 1, *bounds, paths)


# Lines.


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and value of each line; NotFound if there is no such file."""
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                yield number, json.loads(line)
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such file; give the folder of a finished build") from error
    except ValueError as error:
        raise DataLoss(f"{path.name} line {number:,}: not JSON ({error}); build again") from error


def _incomplete(name: str, number: int, error: KeyError) -> DataLoss:
    return DataLoss(f"{name} line {number:,}: {error} is missing or unknown; build again")
