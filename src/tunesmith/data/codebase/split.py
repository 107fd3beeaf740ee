"""Which examples are trained on, which are held out, and which are left out since there are too many.

In: a few facts of each example. Out: its place, and for each file its side. Whole groups (folders, packages, or what
changed last) are held out, chosen by a hash of their names and a seed; a text that stands on both sides is left out on
one of them. So no group and no clone crosses the split, whatever the examples and in whatever order they come.
Not here: which files are copies (clones.py), and what examples give away all the same (overlap.py).
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from tunesmith.errors import FailedPrecondition, InvalidArgument

TRAINING, EVALUATION = "training", "evaluation"
LEFT_OUT = {
    "held-out-enough": "of a file that is held out, and as many examples are held out as were asked for",
    "held-out-clone": "the same text is held out in another file",
    "trained-clone": "of a file that is held out, but the same text stands in many files that are trained on",
    "cap": "more examples than a file for training may have",
}
"""Places of examples that are written nowhere: code -> what it means."""

LEAST_EVALUATION, MOST_EVALUATION = 10, 250
"""Rows of an evaluation file (S18)."""
EVALUATION_SHARE = 0.1
"""Of the examples, between those two, where nothing else is asked for."""
MOST_HELD_OUT_FILES = 0.2
MOST_HELD_OUT_EXAMPLES = 1 / 3
"""Of a side's examples that the groups held out may have together; those beyond the wanted ones are lost."""
TRAINING_EXAMPLES = 10_000
"""Rows of a file for training (S11)."""
AUTHORS = 10_000
"""Messages of all rows of a chat file together (S14)."""
SHARES: Mapping[str, float] = {"instruction": 0.5, "fim": 0.5}
"""Of the kinds in one file, where there are too many of both."""
CHAT = "chat"

By = Literal["path", "package", "time"]

_DRAWS = 8
# Orders of the groups that are tried: of five files one may be held out, and not each of them has ten examples.
_WIDESPREAD = 3
# Files. What stands in more of them tests nothing; holding it out would cost each of them the example.


class Example(NamedTuple):
    """What of an example decides where it goes."""

    id: str
    """Its own, and the same in every build."""
    kind: str
    """chat, which has files of its own; or one of SHARES."""
    path: str
    package: str = ""
    clones: tuple[str, ...] = ()
    """Ids of what must not stand on both sides: its file's cluster, its text."""
    changed_s: float | None = None
    """When its file was changed last, as seconds since 1970."""
    authors: int = 0
    """Messages, of a chat."""


class Division(NamedTuple):
    """Where examples go."""

    places: tuple[str, ...]
    """For each example, in their order: TRAINING, EVALUATION, or a code of LEFT_OUT."""
    sides: dict[str, str]
    """For each file TRAINING or EVALUATION, ordered by path."""
    by: str
    """What the groups are: package, folder, file, time; nothing if nothing is held out."""
    notes: tuple[str, ...] = ()
    """What did not come out as asked for."""


class _Wanted(NamedTuple):
    """How many examples are to be held out of each file, and of each kind at least; and how many at most."""

    rows: dict[bool, int]
    """By whether it is the chat file; only those that there are."""
    kinds: dict[str, int]
    most_files: int
    most_rows: int

    def has_all(self, counts: Mapping[str, int]) -> bool:
        rows = all(_in_file(counts, chat) >= least for chat, least in self.rows.items())
        return rows and self._kinds_of(counts) == len(self.kinds)

    def worth(self, counts: Mapping[str, int]) -> tuple[int, ...]:
        """The larger the better, where not all can be had: the least, half the rows, more kinds, enough chats."""
        found = self.first(counts)
        half = 2 * found >= self.rows[min(self.rows)]
        return found >= LEAST_EVALUATION, half, self._kinds_of(counts), counts.get(CHAT, 0) >= LEAST_EVALUATION

    def first(self, counts: Mapping[str, int]) -> int:
        """Examples for the file that must have an evaluation; one for chats beside another file need not (S18)."""
        return _in_file(counts, min(self.rows))

    def _kinds_of(self, counts: Mapping[str, int]) -> int:
        return sum(counts.get(kind, 0) >= least for kind, least in self.kinds.items())


class _Held(NamedTuple):
    """Files that are held out, and how many examples of each kind they surely give."""

    by: str
    files: set[str]
    counts: Counter[str]


def split(
    examples: Sequence[Example],
    by: By = "path",
    *,
    evaluation_rows: int | None = None,
    since_s: float | None = None,
    seed: int = 0,
) -> Division:
    """Every example on a side or left out of the evaluation; nothing is capped yet.

    by               path: whole folders are held out; package: whole packages; time: what was changed last.
                     Where whole packages or folders are too large, smaller groups are, and a note says so.
    evaluation_rows  of each file; 0: nothing is held out; None: a tenth, 10 to 250
    since_s          with by=time: what was changed then or later is held out; None: as much as is wanted
    FailedPrecondition if too few can be held out.
    """
    if evaluation_rows is not None and (evaluation_rows < 0 or 0 < evaluation_rows < LEAST_EVALUATION):
        message = f"must be 0 (none) or at least {LEAST_EVALUATION}, got {evaluation_rows}"
        raise InvalidArgument.of("evaluation_rows", message)
    paths = sorted({example.path for example in examples})
    if evaluation_rows == 0 or not examples:
        return Division((TRAINING,) * len(examples), dict.fromkeys(paths, TRAINING), "", ("nothing is held out",))
    wanted = _wanted(examples, evaluation_rows)
    held = _by_time(examples, wanted, since_s) if by == "time" else _by_groups(examples, wanted, by, seed)
    places = _placed(examples, held.files, wanted, seed)
    sides = {path: EVALUATION if path in held.files else TRAINING for path in paths}
    return Division(places, sides, held.by, tuple(_notes(examples, places, by, held.by, wanted)))


def cap(
    examples: Sequence[Example],
    division: Division,
    *,
    training_examples: int = TRAINING_EXAMPLES,
    authors: int = AUTHORS,
    shares: Mapping[str, float] = SHARES,
    seed: int = 0,
) -> Division:
    """The same with no more to train on than a file may have.

    Files take turns, so that none of them has two examples more than another that has some left; kinds have their
    shares, and what one does not need goes to the others.
    """
    trained = [at for at, place in enumerate(division.places) if place == TRAINING]
    rows = [at for at in trained if examples[at].kind != CHAT]
    chats = [at for at in trained if examples[at].kind == CHAT]
    kept = _of_kinds(examples, rows, training_examples, shares, seed) | _of_authors(examples, chats, authors, seed)
    left = set(trained) - kept
    places = tuple("cap" if at in left else place for at, place in enumerate(division.places))
    return division._replace(places=places)


def packages_of(paths: Iterable[str]) -> dict[str, str]:
    """For each file of a repository its package: the nearest folder with a manifest, or else a folder at the top.

    Folders of the top that only hold others (src, lib, packages) are looked into; a file at the top is of ".".
    """
    files = sorted(paths)
    manifests = {_folder(path) for path in files if any(fnmatchcase(_name(path), known) for known in _MANIFESTS)}
    return {path: _package(path, manifests) for path in files}


def _package(path: str, manifests: Collection[str]) -> str:
    parts = PurePosixPath(path).parts[:-1]
    for depth in range(len(parts), 0, -1):
        if "/".join(parts[:depth]) in manifests:
            return "/".join(parts[:depth])
    depth = 2 if parts[:1] and parts[0] in _HOLDING else 1
    return "/".join(parts[:depth]) or "."


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _wanted(examples: Sequence[Example], evaluation_rows: int | None) -> _Wanted:
    kinds = Counter(example.kind for example in examples)
    rows = {}
    for chat in (False, True):
        count = _in_file(kinds, chat)
        share = min(MOST_EVALUATION, max(LEAST_EVALUATION, int(count * EVALUATION_SHARE)))
        # Too few chats for an evaluation of their own are all trained on.
        if count and not (chat and count < 3 * LEAST_EVALUATION and len(kinds) > 1):
            rows[chat] = evaluation_rows or share
    least = {kind: min(rows.get(False, 0) // 4, count // 10) for kind, count in kinds.items() if kind != CHAT}
    most_files = int(len({example.path for example in examples}) * MOST_HELD_OUT_FILES)
    return _Wanted(rows, least, most_files, int(len(examples) * MOST_HELD_OUT_EXAMPLES))


def _in_file(counts: Mapping[str, int], chat: bool) -> int:
    return sum(count for kind, count in counts.items() if (kind == CHAT) == chat)


def _by_groups(examples: Sequence[Example], wanted: _Wanted, by: By, seed: int) -> _Held:
    """By the coarsest groups that give all that is wanted, or else the most of it."""
    tried = []
    for level in _LEVELS[by]:
        for draw in range(_DRAWS):
            held = _chosen(examples, wanted, level, f"{seed}.{draw}")
            if wanted.has_all(held.counts):
                return held
            tried.append(held)
    return _enough(examples, wanted, max(tried, key=lambda held: wanted.worth(held.counts)))


def _enough(examples: Sequence[Example], wanted: _Wanted, held: _Held) -> _Held:
    if (found := wanted.first(held.counts)) >= LEAST_EVALUATION:
        return held
    files = len({example.path for example in examples})
    raise FailedPrecondition(
        f"evaluation: of {len(examples):,} examples in {files:,} files, {found} can be held out by {held.by} within "
        f"{MOST_HELD_OUT_FILES:.0%} of the files, and {LEAST_EVALUATION} are the least; give a larger part of the "
        "repository, or ask for no evaluation (0 rows)"
    )


def _chosen(examples: Sequence[Example], wanted: _Wanted, level: str, draw: str) -> _Held:
    """Whole groups until all that is wanted is held out, as far as the bounds let it."""
    groups = _grouped(examples, level)
    weak = _weak(examples, level)
    held = _Held(level, set(), Counter())
    rows = 0
    for name in sorted(groups, key=lambda name: _lot(draw, level, name)):
        files = {examples[at].path for at in groups[name]}
        if len(held.files) + len(files) > wanted.most_files or rows + len(groups[name]) > wanted.most_rows:
            continue
        held.files.update(files)
        held.counts.update(examples[at].kind for at in groups[name] if at not in weak)
        rows += len(groups[name])
        if wanted.has_all(held.counts):
            break
    return held


def _grouped(examples: Sequence[Example], level: str) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for at, example in enumerate(examples):
        groups[_group(example, level)].append(at)
    return groups


def _group(example: Example, level: str) -> str:
    if level == "file":
        return example.path
    return example.package if level == "package" else _folder(example.path)


def _weak(examples: Sequence[Example], level: str) -> set[int]:
    """Examples that are left out if they are held out and a widespread text of theirs is not, all of it."""
    groups: dict[str, set[str]] = defaultdict(set)
    for example in examples:
        for clone in example.clones:
            groups[clone].add(_group(example, level))
    torn = {clone for clone in _widespread(examples) if len(groups[clone]) > 1}
    return {at for at, example in enumerate(examples) if not torn.isdisjoint(example.clones)}


def _widespread(examples: Sequence[Example]) -> set[str]:
    files: dict[str, set[str]] = defaultdict(set)
    for example in examples:
        for clone in example.clones:
            files[clone].add(example.path)
    return {clone for clone, paths in files.items() if len(paths) > _WIDESPREAD}


def _by_time(examples: Sequence[Example], wanted: _Wanted, since_s: float | None) -> _Held:
    """What was changed last: since then, or until all that is wanted is held out."""
    files: dict[float, set[str]] = defaultdict(set)
    for path, changed_s in _last_changes(examples).items():
        files[changed_s].add(path)
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    weak = _weak(examples, "file")
    for at, example in enumerate(examples):
        kinds[example.path][example.kind] += at not in weak
    held = _Held("time", set(), Counter())
    for changed_s in sorted(files, reverse=True):
        if since_s is None and len(held.files) + len(files[changed_s]) > wanted.most_files:
            break
        if wanted.has_all(held.counts) if since_s is None else changed_s < since_s:
            break
        held.files.update(files[changed_s])
        for path in files[changed_s]:
            held.counts.update(kinds[path])
    if len(held.files) > wanted.most_files:
        raise FailedPrecondition(
            f"split: {len(held.files):,} files were changed since {since_s:.0f}, and at most {wanted.most_files:,} "
            f"({MOST_HELD_OUT_FILES:.0%}) are held out; give a later time, or split by path"
        )
    return _enough(examples, wanted, held)


def _last_changes(examples: Sequence[Example]) -> dict[str, float]:
    changed: dict[str, float] = {}
    for example in examples:
        if example.changed_s is None:
            message = f"split: {example.path} has no time of its last change, so REPO has no history; split by path"
            raise FailedPrecondition(message)
        changed[example.path] = max(example.changed_s, changed.get(example.path, example.changed_s))
    return changed


def _placed(examples: Sequence[Example], held: Collection[str], wanted: _Wanted, seed: int) -> tuple[str, ...]:
    """Of each example, when these files are held out."""
    trained = {clone for example in examples if example.path not in held for clone in example.clones}
    torn = _widespread(examples) & trained
    places = [TRAINING] * len(examples)
    for at, example in enumerate(examples):
        if example.path in held:
            places[at] = EVALUATION if torn.isdisjoint(example.clones) else "trained-clone"
    tested = _tested(examples, [at for at, place in enumerate(places) if place == EVALUATION], wanted, seed)
    shown = {clone for at in tested for clone in examples[at].clones}
    for at, example in enumerate(examples):
        if places[at] == EVALUATION and at not in tested:
            places[at] = "held-out-enough"
        elif places[at] == TRAINING and not shown.isdisjoint(example.clones):
            places[at] = "held-out-clone"
    return tuple(places)


def _tested(examples: Sequence[Example], held: Sequence[int], wanted: _Wanted, seed: int) -> set[int]:
    """Of those held out as many as are wanted; none for a chat file that would have too few."""
    rows = [at for at in held if examples[at].kind != CHAT]
    chats = [at for at in held if examples[at].kind == CHAT]
    found = _of_kinds(examples, rows, wanted.rows.get(False, 0), SHARES, seed)
    if len(chats) >= LEAST_EVALUATION:
        found |= set(_in_turns(examples, chats, seed)[: wanted.rows.get(True, 0)])
    return found


def _of_kinds(
    examples: Sequence[Example], places: Sequence[int], most: int, shares: Mapping[str, float], seed: int
) -> set[int]:
    """At most so many, each kind by its share."""
    kinds: dict[str, list[int]] = {}
    for at in _in_turns(examples, places, seed):
        kinds.setdefault(examples[at].kind, []).append(at)
    quotas = _quotas({kind: len(kinds[kind]) for kind in sorted(kinds)}, most, shares)
    return {at for kind, ordered in kinds.items() for at in ordered[: quotas[kind]]}


def _quotas(counts: Mapping[str, int], most: int, shares: Mapping[str, float]) -> dict[str, int]:
    """How many of each kind, at most `most` together; what a kind with fewer does not need goes to the others."""
    quotas: dict[str, int] = {}
    open_kinds = dict(counts)
    while open_kinds:
        room = most - sum(quotas.values())
        whole = sum(shares[kind] for kind in open_kinds)
        small = {kind: count for kind, count in open_kinds.items() if count <= room * shares[kind] / whole}
        if not small:
            fair = {kind: int(room * shares[kind] / whole) for kind in open_kinds}
            fair[min(fair)] += room - sum(fair.values())
            return quotas | fair
        quotas |= small
        open_kinds = {kind: count for kind, count in open_kinds.items() if kind not in small}
    return quotas


def _of_authors(examples: Sequence[Example], places: Sequence[int], most: int, seed: int) -> set[int]:
    """Chats with at most so many messages together."""
    found = set()
    for at in _in_turns(examples, places, seed):
        most -= examples[at].authors
        if most < 0:
            break
        found.add(at)
    return found


def _in_turns(examples: Sequence[Example], places: Sequence[int], seed: int) -> list[int]:
    """In an order drawn by lot in which the files take turns, for each kind of its own."""
    turns: Counter[tuple[str, str]] = Counter()
    keyed = []
    for lot, at in sorted((_lot(str(seed), "example", examples[at].id), at) for at in places):
        turn = turns[examples[at].path, examples[at].kind]
        turns[examples[at].path, examples[at].kind] += 1
        keyed.append((turn, lot, at))
    return [at for _, _, at in sorted(keyed)]


def _lot(draw: str, what: str, name: str) -> bytes:
    data = f"{draw}\0{what}\0{name}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=16).digest()


def _notes(examples: Sequence[Example], places: Sequence[str], by: By, level: str, wanted: _Wanted) -> Iterator[str]:
    if level != _LEVELS[by][0]:
        yield f"held out by {level}: whole groups by {_LEVELS[by][0]} would be too many files or too few examples"
    tested = Counter(example.kind for example, place in zip(examples, places, strict=True) if place == EVALUATION)
    for chat, rows in wanted.rows.items():
        found = _in_file(tested, chat)
        if found < rows:
            yield f"{found} {'chat ' if chat else ''}examples are held out, {rows} were wanted"
    if True not in wanted.rows and any(example.kind == CHAT for example in examples):
        yield "no chat examples are held out: there are too few"


_LEVELS: Mapping[By, tuple[str, ...]] = {
    "package": ("package", "folder", "file"),
    "path": ("folder", "file"),
    "time": ("time",),
}
_HOLDING = frozenset({"src", "lib", "libs", "packages", "pkg", "crates", "modules", "apps", "cmd", "internal"})
_MANIFESTS = (
    "pyproject.toml", "setup.py", "setup.cfg", "package.json", "Cargo.toml", "go.mod", "pom.xml", "build.gradle",
    "build.gradle.kts", "build.sbt", "composer.json", "*.gemspec", "*.csproj", "*.cabal", "CMakeLists.txt",
)  # fmt: skip
