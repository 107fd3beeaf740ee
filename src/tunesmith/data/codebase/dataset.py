"""A repository becomes a data set: the build from beginning to end.

In: a repository and options. Out: a folder, complete or not there at all:

    train.jsonl, evaluation.jsonl            instruction and fill-in-the-middle rows
    train-chat.jsonl, evaluation-chat.jsonl  chat rows
    rows.jsonl       where each row comes from      ledger.jsonl      what became of each file
    clusters.jsonl   files that are near copies     overlap.jsonl     rows that were taken out again, and why
    report.html      the picture of all that        manifest.json     options, counts, hashes

The same files, options and version give the same bytes.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from tunesmith import __version__, folder
from tunesmith.data import benchmarks
from tunesmith.data.codebase import clones, ledger, overlap, split, templates
from tunesmith.data.codebase.analysis import Analysis, Cut, redacted_again
from tunesmith.data.codebase.cache import FILE_NAME, Cache, key_of, tools_sha256
from tunesmith.data.codebase.context import context_for
from tunesmith.data.codebase.crew import LOT_BYTES, Crew, Lost
from tunesmith.data.codebase.history import changed_at
from tunesmith.data.codebase.licences import Licences
from tunesmith.data.codebase.options import Options
from tunesmith.data.codebase.report import write_report
from tunesmith.data.codebase.repository import Repository
from tunesmith.data.codebase.resolution import Index
from tunesmith.data.codebase.rows import Chosen, Making, Row
from tunesmith.data.codebase.screening import decoded
from tunesmith.data.codebase.spdx import Policy, policy_of, reason_of
from tunesmith.data.codebase.survey import File, Surveyed, Tell, survey
from tunesmith.errors import DataLoss, FailedPrecondition, Internal

FORMAT = 1
"""Of the folder; raised when a file of it changes its meaning."""
_FILES: Mapping[str, str] = {"training": "train", "evaluation": "evaluation"}
_FORMS = (("instruction", "fim"), ("chat",))
# Kinds that stand in one file.
_AUTHORS_A_CHAT = 4
_WIDESPREAD = 10
# Training rows that give one held-out row away, beyond which that row tests nothing.
_SHARE_ROWS = 2000
# Training rows that one process compares at a time.
_ASKED_FILES = 256
# Analyses that are asked for at once.
_THINNED_ROWS = 80_000
# Cuts that are weighed against each other at most; of more, as many are drawn by hash.


@dataclass(frozen=True, slots=True)
class Built:
    """What a build wrote."""

    folder: Path
    manifest: dict[str, Any]


class _Written(NamedTuple):
    """A row that was made, and whose it is."""

    file: File
    side: str
    made: Row

    @property
    def kind(self) -> str:
        return str(self.made.origin["kind"])

    @property
    def name(self) -> str:
        """Of the file that the row goes into."""
        return f"{_FILES[self.side]}{'-chat' if self.kind == 'chat' else ''}.jsonl"


def build(
    repository: Repository,
    source: Mapping[str, str],
    output: Path,
    options: Options,
    *,
    since: datetime | None = None,
    cache_folder: Path | None,
    processes: int,
    tell: Tell,
) -> Built:
    """Builds the data set of an open repository into the folder `output`.

    `source` says what the repository is, for the manifest. FailedPrecondition if no row can be made of it, or if
    `output` holds something else than an earlier build.
    """
    _refuse_occupied(output)
    policy = policy_of(options.licence_policy)
    for path in options.suites:  # before anything is read
        benchmarks.open_suite(Path(path))
    with ExitStack() as stack:
        if cache_folder is None:
            cache_folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tunesmith-")))
        cache = stack.enter_context(Cache(cache_folder / FILE_NAME))
        crew = stack.enter_context(Crew(processes))
        surveyed = survey(repository, options, cache=cache, crew=crew, tools=tools_sha256(), tell=tell)
        files = surveyed.files
        _judge(files, surveyed.licences, policy)
        found = _clustered(repository, files, tell)
        candidates, division = _split(files, cache, options, _changed(repository, since), since)
        wanted = _wanted(candidates, division, cache, options.seed)
        rows = _made(repository, wanted, _around(surveyed, cache, options), cache, crew, options, tell)
        rows, taken_out = _without_leaks(rows, options, cache, crew, tell)
    if not rows:
        raise FailedPrecondition(_nothing(files))
    _count(files, rows, taken_out)
    tell("writing", 0, 0)
    with folder.sealed(output) as unfinished:
        _write_rows(unfinished, rows)
        folder.write_jsonl(unfinished / "clusters.jsonl", found)
        folder.write_jsonl(unfinished / "overlap.jsonl", taken_out)
        folder.write_jsonl(unfinished / "ledger.jsonl", (_line(file).to_json() for file in files))
        folder.write_json(unfinished / folder.MANIFEST, _manifest(source, options, files, rows, division, taken_out))
        write_report(unfinished, ledger.reasons())
    return Built(output, folder.read_json(output / folder.MANIFEST))


def _refuse_occupied(output: Path) -> None:
    """An earlier build may be replaced, and nothing else: the folder is deleted with all that is in it."""
    if output.exists() and not output.is_dir():
        raise FailedPrecondition(f"--output {output} is a file; give a folder")
    found = {path.name for path in output.iterdir()} if output.is_dir() else set()
    if others := sorted(found - _written_by_build(output)):
        raise FailedPrecondition(f"--output {output} holds {others[0]}, which no build wrote; give a new folder")


def _written_by_build(output: Path) -> set[str]:
    """The files of an earlier build, by its manifest; none if there is no such one."""
    manifest = output / folder.MANIFEST
    try:
        said = folder.read_json(manifest) if manifest.is_file() else None
    except DataLoss:
        return set()
    files = said.get("files") if isinstance(said, dict) and "tunesmith" in said else None
    return {folder.MANIFEST, *files} if isinstance(files, dict) else set()


def _judge(files: Sequence[File], stated: Licences, policy: Policy) -> None:
    """Every file that was read gets its licence; what the policy does not allow is rejected."""
    for file in files:
        if not file.sha256:
            continue
        file.licence = stated.of(file.path, file.stated_licence).expression
        if not file.reason and (reason := reason_of(file.licence, policy)):
            file.reason, file.detail = reason, file.licence


# Copies --------------------------------------------------------------------------------------------------------


def _clustered(repository: Repository, files: Sequence[File], tell: Tell) -> list[dict[str, Any]]:
    """Finds files that are copies, and rejects all but one of each group; the groups as clusters.jsonl has them."""
    alive = [file for file in files if not file.reason and file.signature is not None]
    tell("comparing files", 0, 0)

    def shingles(index: int) -> clones.Shingles:
        file = alive[index]
        return clones.shingles_of(decoded(repository.read(file.entry)).text, file.language)

    def context(index: int) -> tuple[int, int]:
        return alive[index].documented, alive[index].entry.size_bytes

    signatures = [file.signature for file in alive if file.signature is not None]
    found = clones.clusters([file.path for file in alive], signatures, shingles, context)
    for cluster in found:
        kept = alive[cluster.kept]
        kept.cluster = cluster.id
        for member in cluster.members:
            file = alive[member.file]
            file.cluster = cluster.id
            file.reason = "duplicate" if member.kind == "exact" else "near-duplicate"
            file.detail = kept.path
    for file in alive:
        file.signature = None
    return [_cluster_json(cluster, alive) for cluster in found]


def _cluster_json(cluster: clones.Cluster, files: Sequence[File]) -> dict[str, Any]:
    members = [
        {"path": files[member.file].path, "kind": member.kind, "similarity": round(member.similarity, 4)}
        for member in cluster.members
    ]
    return {"cluster": cluster.id, "kind": cluster.kind, "kept": files[cluster.kept].path, "members": members}


# Rows ----------------------------------------------------------------------------------------------------------


def _changed(repository: Repository, since: datetime | None) -> dict[str, int]:
    return changed_at(repository, since) if since is not None else {}


class _Candidate(NamedTuple):
    """A row that could be made: the file and the number of its cut."""

    file: File
    number: int
    example: split.Example


def _split(
    files: Sequence[File], cache: Cache, options: Options, changed: Mapping[str, int], since: datetime | None
) -> tuple[list[_Candidate], split.Division]:
    """What rows could be made, and where each of them goes."""
    found = list(_candidates([file for file in files if not file.reason], cache, options, changed))
    examples = [one.example for one in found]
    division = split.split(
        examples,
        options.split_by,
        evaluation_rows=options.evaluation_rows,
        since_s=since.timestamp() if since is not None else None,
        seed=options.seed,
    )
    return found, split.cap(examples, division, training_examples=options.most_rows, seed=options.seed)


def _candidates(
    files: Sequence[File], cache: Cache, options: Options, changed: Mapping[str, int]
) -> Iterator[_Candidate]:
    """Every cut of the wanted kinds; of several with the same code, one."""
    packages = split.packages_of(file.path for file in files)
    total = sum(count for file in files for kind, count in file.made.items() if kind in options.kinds)
    seen: set[tuple[str, bytes]] = set()
    for file, analysis in _analyses(files, cache):
        for number, cut in enumerate(analysis.cuts):
            if cut.kind not in options.kinds or (cut.kind, cut.key) in seen:
                continue
            if not _is_drawn(file, number, total, options.seed):
                continue
            seen.add((cut.kind, cut.key))
            yield _Candidate(
                file,
                number,
                split.Example(
                    id=f"{file.path}:{number}",
                    kind=cut.kind,
                    path=file.path,
                    package=packages[file.path],
                    clones=(cut.key.hex(),),
                    changed_s=float(changed.get(file.path, 0)),
                    authors=_AUTHORS_A_CHAT if cut.kind == "chat" else 0,
                ),
            )


def _is_drawn(file: File, number: int, total: int, seed: int) -> bool:
    """Whether a cut is weighed at all: all are, up to _THINNED_ROWS; of more, as many by hash."""
    if total <= _THINNED_ROWS:
        return True
    return int.from_bytes(_rank(seed, f"{file.path}:{number}"), "big") < _THINNED_ROWS / total * 2**64


def _wanted(candidates: Sequence[_Candidate], division: split.Division, cache: Cache, seed: int) -> list[_Wanted]:
    """The cuts that become rows, in the order of their rows: by chance, so that the first of a file are like all."""
    taken = [
        (one, side)
        for one, side in zip(candidates, division.places, strict=True)
        if side in (split.TRAINING, split.EVALUATION)
    ]
    numbers: dict[str, list[int]] = defaultdict(list)
    for one, _ in taken:
        numbers[one.file.path].append(one.number)
    files = list({one.file.path: one.file for one, _ in taken}.values())
    cuts: dict[tuple[str, int], Cut] = {}
    for file, analysis in _analyses(files, cache):
        file.side = division.sides[file.path]
        cuts.update({(file.path, number): analysis.cuts[number] for number in numbers[file.path]})
    taken.sort(key=lambda pair: _rank(seed, pair[0].example.id))
    return [_Wanted(one.file, one.number, cuts[one.file.path, one.number], side) for one, side in taken]


def _rank(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{name}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


class _Wanted(NamedTuple):
    """A cut that becomes a row."""

    file: File
    number: int
    """Of the cut in its file."""
    cut: Cut
    side: str


class _Lot(NamedTuple):
    """The rows of one file."""

    numbers: list[int]
    """Among the wanted ones."""
    key: bytes
    """Of all that they depend on, for the cache."""


def _made(
    repository: Repository,
    wanted: Sequence[_Wanted],
    around: _Around,
    cache: Cache,
    crew: Crew,
    options: Options,
    tell: Tell,
) -> list[_Written]:
    """The wanted rows, in their order; those of a file that no process came back from are missing."""
    made: list[_Written | None] = [None] * len(wanted)
    lots = _lots(wanted, around, options)
    known = cache.get([lot.key for lot in lots])
    missing = [lot for lot in lots if lot.key not in known]
    items = (_making(repository, [wanted[number] for number in lot.numbers], around, options) for lot in missing)
    done = len(lots) - len(missing)
    for lot, (_, rows) in zip(missing, crew.map("make", items, lambda item: len(item.data)), strict=True):
        if not isinstance(rows, Lost):
            known[lot.key] = rows
            cache.put(lot.key, rows)
        done += 1
        tell("cutting rows", done, len(lots))
    for lot in lots:
        for number, row in zip(lot.numbers, known.get(lot.key, ()), strict=lot.key in known):
            made[number] = _Written(wanted[number].file, wanted[number].side, row)
    return [row for row in made if row is not None]


def _lots(wanted: Sequence[_Wanted], around: _Around, options: Options) -> list[_Lot]:
    by_file: dict[str, list[int]] = defaultdict(list)
    for number, one in enumerate(wanted):
        by_file[one.file.path].append(number)
    lots = []
    for path in sorted(by_file):
        numbers = by_file[path]
        asked = [(wanted[number].number, wanted[number].side) for number in numbers]
        file = wanted[numbers[0]].file
        lots.append(_Lot(numbers, key_of(file.key, path, around.sha256, repr(options.context_characters), repr(asked))))
    return lots


def _making(repository: Repository, wanted: Sequence[_Wanted], around: _Around, options: Options) -> Making:
    file, index = wanted[0].file, around.signatures
    data = repository.read(file.entry)
    text = redacted_again(file.path, data, file.language, file.findings).encode()
    before: dict[str, str] = {}  # a unit is asked for twice
    chosen = []
    for one in wanted:
        shown = _shown(text, one.cut) if index is not None else ""
        if index is not None and shown not in before:
            before[shown] = context_for(index, file.path, used=shown, budget_characters=options.context_characters).text
        chosen.append(Chosen(one.cut, before.get(shown, ""), one.side == "evaluation"))
    return Making(file.path, data, file.language, file.findings, tuple(chosen))


def _shown(text: bytes, cut: Cut) -> str:
    """What is known where a row is asked for, by which other files' signatures are chosen: never the answer."""
    if cut.told is not None:
        return text[slice(*cut.told.shown)].decode("utf-8", "replace")
    assert cut.hole is not None
    around = text[cut.start : cut.hole.start] + b"\n" + text[cut.hole.end : cut.end]
    return around.decode("utf-8", "replace")


class _Around(NamedTuple):
    """What may stand before a row: signatures of the files that may be used, copies among them."""

    signatures: Index | None
    """None: nothing may."""
    sha256: bytes
    """Of all that the index is made of."""


def _around(surveyed: Surveyed, cache: Cache, options: Options) -> _Around:
    if not options.context_characters:
        return _Around(None, b"")
    free = [file for file in surveyed.files if not file.reason or file.reason in ("duplicate", "near-duplicate")]
    known = {}
    for analysed in _analyses(free, cache):
        if analysed.analysis.symbols is not None:
            known[analysed.file.path] = analysed.analysis.symbols
    parts = [part for file in free for part in (file.path, file.key)]
    parts += [part for path in sorted(surveyed.manifests) for part in (path, surveyed.manifests[path])]
    return _Around(Index(known, surveyed.manifests), key_of(*parts))


class _Analysed(NamedTuple):
    file: File
    analysis: Analysis


def _analyses(files: Sequence[File], cache: Cache) -> Iterator[_Analysed]:
    """The analyses of files from the cache, some at a time."""
    for start in range(0, len(files), _ASKED_FILES):
        asked = files[start : start + _ASKED_FILES]
        found = cache.get([file.key for file in asked])
        yield from (_Analysed(file, found[file.key]) for file in asked)


# Leaks ---------------------------------------------------------------------------------------------------------


class _Leaks(NamedTuple):
    """What gives held-out rows away, by the numbers of the rows."""

    widespread: dict[int, int]
    """Held-out rows that go themselves: how many training rows gave each away."""
    tasks: list[overlap.Task]
    overlaps: list[overlap.Overlap]


def _without_leaks(
    rows: Sequence[_Written], options: Options, cache: Cache, crew: Crew, tell: Tell
) -> tuple[list[_Written], list[dict[str, Any]]]:
    """The rows but for those that give others away; and these, as overlap.jsonl has them.

    A held-out row that many rows give away is what everybody writes there: it goes itself, since it tests nothing.
    """
    tell("looking for leaks", 0, 0)
    leaks = _leaks(rows, options, cache, crew)
    out: dict[int, dict[str, Any]] = {}
    for number, count in leaks.widespread.items():
        out[number] = _leak("widespread", rows[number], 1.0, {"rows": count})
    for task in leaks.tasks:
        said = {"suite": task.suite, "task": task.task, "what": task.what}
        out.setdefault(task.row, _leak("suite", rows[task.row], task.share, said))
    for one in leaks.overlaps:
        other = rows[one.evaluation_row]
        said = {"how": one.how, "other_path": other.file.path, "other_unit": other.made.origin["unit"]}
        out.setdefault(one.row, _leak("overlap", rows[one.row], one.share, said))
    return [row for number, row in enumerate(rows) if number not in out], [out[number] for number in sorted(out)]


def _leaks(rows: Sequence[_Written], options: Options, cache: Cache, crew: Crew) -> _Leaks:
    """What is found among the rows; or what was, from the cache."""
    suites = [Path(path) for path in options.suites]
    texts = [overlap.written(row.name, number, row.made.row) for number, row in enumerate(rows)]
    said = [key_of(text.file, text.prompt, *text.answers, text.context) for text in texts]
    key = key_of("leaks", tools_sha256(), *map(folder.file_sha256, suites), *said)
    known: _Leaks | None = cache.get([key]).get(key)
    if known is None:
        known = _looked_for(rows, texts, suites, crew)
        cache.put(key, known)
    return known


def _looked_for(
    rows: Sequence[_Written], texts: Sequence[overlap.Written], suites: Sequence[Path], crew: Crew
) -> _Leaks:
    """All training rows compared with all that is held out; then, of what goes, those that had given it away.

    Where a held-out row goes, the others find what they found before.
    """
    widespread: dict[int, int] = {}
    tasks: list[overlap.Task] = []
    overlaps: dict[int, overlap.Overlap] = {}
    # Rows of one file lie together: many of them are cut from the same text.
    ordered = asked = sorted(
        range(len(rows)), key=lambda number: (rows[number].file.path, rows[number].made.origin["start"])
    )
    while True:
        held = [number for number in range(len(rows)) if number not in widespread]
        shares = [share for form in _FORMS for share in _shares(rows, texts, form, asked, held, suites)]
        for _, result in crew.map("compare", shares, lambda share: LOT_BYTES):
            if isinstance(result, Lost):
                raise Internal(f"the rows could not be compared: {result.detail}")
            tasks += result.tasks
            overlaps.update({one.row: one for one in result.overlaps})
        given_away = Counter(one.evaluation_row for one in overlaps.values())
        gone = {number: count for number, count in given_away.items() if count > _WIDESPREAD}
        if not gone:
            return _Leaks(widespread, tasks, [overlaps[number] for number in sorted(overlaps)])
        widespread |= gone
        asked = [number for number in ordered if number in overlaps and overlaps[number].evaluation_row in gone]
        for number in asked:
            del overlaps[number]


def _shares(
    rows: Sequence[_Written],
    texts: Sequence[overlap.Written],
    form: Sequence[str],
    asked: Sequence[int],
    held: Sequence[int],
    suites: Sequence[Path],
) -> Iterator[overlap.Share]:
    """The asked training rows of a form, some at a time, each time with all that is held out of it."""
    training = [texts[number] for number in asked if rows[number].kind in form and rows[number].side == split.TRAINING]
    evaluation = [texts[n] for n in held if rows[n].kind in form and rows[n].side == split.EVALUATION]
    for start in range(0, max(len(training), 1), _SHARE_ROWS):
        yield overlap.Share(training[start : start + _SHARE_ROWS], evaluation, suites)


def _leak(why: str, row: _Written, share: float, said: Mapping[str, Any]) -> dict[str, Any]:
    return {"why": why, **said, "share": round(share, 4), "file": row.name, **row.made.origin}


# Files of the output -------------------------------------------------------------------------------------------


def _write_rows(target: Path, rows: Sequence[_Written]) -> None:
    """Each file of rows, and where every row comes from."""
    origins = []
    for name in sorted({row.name for row in rows}):
        own = [row for row in rows if row.name == name]
        folder.write_jsonl(target / name, (row.made.row for row in own))
        origins += [{"file": name, "line": line, **row.made.origin} for line, row in enumerate(own, 1)]
    folder.write_jsonl(target / "rows.jsonl", origins)


def _line(file: File) -> ledger.Line:
    rows = sum(file.kept.values())
    left_out = {kind: count - file.kept.get(kind, 0) for kind, count in file.made.items()}
    return ledger.Line(
        path=file.path,
        status="used" if rows else "rejected",
        size_bytes=file.entry.size_bytes,
        reason=file.reason,
        detail=file.detail,
        language=file.language,
        licence=file.licence,
        sha256=file.sha256.hex(),
        cluster=file.cluster,
        split=file.side if rows else "",
        examples=file.kept,
        left_out={} if file.reason else {kind: count for kind, count in left_out.items() if count},
        redactions=file.redactions,
    )


def _count(files: Sequence[File], rows: Sequence[_Written], taken_out: Sequence[Mapping[str, Any]]) -> None:
    """Says of every file what was kept of it, and of those without a row why."""
    for row in rows:
        row.file.kept[row.kind] = row.file.kept.get(row.kind, 0) + 1
    lost = {one["path"] for one in taken_out}
    for file in files:
        if not file.reason and not file.kept:
            rows_of = sum(count for kind, count in file.made.items() if kind != "too-long")
            file.reason = "overlap" if file.path in lost else "not-chosen" if rows_of else "no-example"


def _manifest(
    source: Mapping[str, str],
    options: Options,
    files: Sequence[File],
    rows: Sequence[_Written],
    division: split.Division,
    taken_out: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """All but the hashes, which are added when the folder is complete."""
    kinds = {side: Counter(row.kind for row in rows if row.side == side) for side in _FILES}
    used = sum(bool(file.kept) for file in files)
    redactions: Counter[str] = Counter()
    for file in files:
        if file.kept:
            redactions.update(file.redactions)
    return {
        "format": FORMAT,
        "tunesmith": __version__,
        "templates": templates.VERSION,
        "source": dict(source),
        "options": options.to_json(),
        "counts": {
            "files": {"used": used, "rejected": len(files) - used},
            "bytes": {"used": sum(file.entry.size_bytes for file in files if file.kept)},
            "reasons": dict(sorted(Counter(file.reason for file in files if not file.kept).items())),
            "languages": dict(sorted(Counter(file.language for file in files if file.kept).items())),
            "licences": dict(sorted(Counter(file.licence for file in files if file.kept).items())),
            "rows": {side: dict(sorted(kinds[side].items())) for side in _FILES},
            "redactions": dict(sorted(redactions.items())),
            "held_out_whole": division.by,
            "notes": list(division.notes),
        },
        **_checks(options, taken_out),
    }


def _checks(options: Options, taken_out: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What was looked for after the fact, and how often it was found and taken out."""
    overlapping = [one for one in taken_out if one["why"] == "overlap"]
    held = [one for one in taken_out if one["why"] == "suite"]
    widespread = sum(one["why"] == "widespread" for one in taken_out)
    checks: dict[str, Any] = {
        "overlap": {"found": len(overlapping), "training_rows_taken_out": len(overlapping)}
        | {"held_out_rows_taken_out": widespread}
    }
    if options.suites:
        checks["decontamination"] = {"found": len(held), "suites": len(options.suites), "rows_taken_out": len(held)}
    return checks


def _nothing(files: Sequence[File]) -> str:
    """Why no row came of the repository, and what to do."""
    reasons = Counter(file.reason for file in files)
    listed = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common(6))
    remedy = ""
    if reasons.get("licence-unknown"):
        remedy = "; if the code is your own, or you know its licence, give --licence-policy permissive,unknown"
    return f"no row could be made of the {len(files):,} files of REPO ({listed}){remedy}"
