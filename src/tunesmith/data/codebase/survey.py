"""Every file of a repository, looked at once: what analysis.py says of each, from the cache or from a crew.

In: a repository and options. Out: `File` for every entry, small enough that 200,000 of them fit in memory; what is long
(symbols, cuts) stays in the cache and is asked for again file by file. Texts go by in a stream.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple

from tunesmith.data.codebase.analysis import Analysis, Item
from tunesmith.data.codebase.cache import Cache, key_of
from tunesmith.data.codebase.clones import Signature
from tunesmith.data.codebase.crew import Crew, Lost
from tunesmith.data.codebase.languages import language_of
from tunesmith.data.codebase.licences import Licences, may_matter
from tunesmith.data.codebase.limits import Rules, globs
from tunesmith.data.codebase.options import Options
from tunesmith.data.codebase.redaction import of_engine
from tunesmith.data.codebase.repository import Entry, Repository
from tunesmith.data.codebase.resolution import MANIFESTS
from tunesmith.data.codebase.screening import by_content, by_name, decoded
from tunesmith.data.codebase.secret_engine import BATCH_BYTES, Engine, Found, Text
from tunesmith.data.codebase.secret_scan import Finding

Tell = Callable[[str, int, int], None]
"""Told a phase, and how much of how much is done; may raise to stop."""
_ASKED_FILES = 256
# Files whose keys are looked up at once.
_FIRST_SCAN_BYTES = 2 << 20
# The first scan is small, so that the engine compiles its rules while the crew works; later ones grow.
_WAITING_BYTES = 2 * BATCH_BYTES
# Texts that may wait for the engine.


@dataclass(slots=True)
class File:
    """One entry, and what has become of it so far."""

    entry: Entry
    key: bytes = b""
    """Of its analysis in the cache; empty if it was not read."""
    sha256: bytes = b""
    language: str = ""
    stated_licence: str = ""
    licence: str = ""
    reason: str = ""
    detail: str = ""
    findings: tuple[Finding, ...] = ()
    redactions: Mapping[str, int] = field(default_factory=dict)
    signature: Signature | None = None
    documented: int = 0
    made: dict[str, int] = field(default_factory=dict)
    """Rows that can be made, by kind, and units that are too long for one."""
    cluster: str = ""
    side: str = ""
    """training or evaluation, if rows of it were written."""
    kept: dict[str, int] = field(default_factory=dict)
    """Rows that were written, by kind."""

    @property
    def path(self) -> str:
        return self.entry.path


class Surveyed(NamedTuple):
    """What is known of a repository."""

    files: list[File]
    licences: Licences
    manifests: dict[str, str]
    """Texts of the files that say where packages lie, by their paths."""


class _Read(NamedTuple):
    """A file with its bytes on the way to its analysis."""

    file: File
    item: Item


_Lot = list[tuple[_Read, Analysis]]


def survey(repository: Repository, options: Options, *, cache: Cache, crew: Crew, tools: str, tell: Tell) -> Surveyed:
    """Looks at every file of the repository."""
    tell("listing", 0, 0)
    files = [File(entry, reason=entry.reason) for entry in repository.entries()]
    stated = Licences(_texts(repository, files, may_matter))
    manifests = _texts(repository, files, lambda path: PurePosixPath(path).name in MANIFESTS)
    _leave_out(files, options)
    total = sum(file.entry.size_bytes for file in files if not file.reason)
    asked = _Asked(repository, options, cache, tools, tell, total)
    found_again = _analysed(asked.fresh(files), cache, crew)
    # What the engine found and the others did not: those texts are cut again without it.
    _finish(found_again, cache, crew)
    return Surveyed(files, stated, manifests)


def _texts(repository: Repository, files: Sequence[File], wanted: Callable[[str], bool]) -> dict[str, str]:
    """Of the files whose paths are wanted, whatever becomes of them as code."""
    return {
        file.path: repository.read(file.entry).decode("utf-8", "replace")
        for file in files
        if not file.reason and wanted(file.path)
    }


def _leave_out(files: Sequence[File], options: Options) -> None:
    """Rejects what globs and names reject, before anything is read."""
    wanted, unwanted = globs(options.include), globs(options.exclude)
    rules = Rules(options.rules)
    for file in files:
        if file.reason:
            continue
        if unwanted.match_file(file.path) or (options.include and not wanted.match_file(file.path)):
            file.reason = "excluded"
            continue
        named = by_name(file.path, rules.of(file.path).accept)
        file.reason, file.detail = named.reason, named.detail


class _Asked:
    """Files on their way: read, and looked up in the cache."""

    def __init__(
        self, repository: Repository, options: Options, cache: Cache, tools: str, tell: Tell, total: int
    ) -> None:
        self._repository = repository
        self._options = options
        self._rules = Rules(options.rules)
        self._cache = cache
        self._tools = tools
        self._tell = tell
        self._total = total
        self._done = 0

    def fresh(self, files: Iterable[File]) -> Iterator[_Read]:
        """Those that the cache does not know; the others get what it knows."""
        lot: list[_Read] = []
        for file in files:
            if file.reason:
                continue
            lot.append(self._read(file))
            if len(lot) == _ASKED_FILES:
                yield from self._unknown(lot)
                lot = []
        yield from self._unknown(lot)

    def _read(self, file: File) -> _Read:
        data = self._repository.read(file.entry)
        limits = self._rules.of(file.path)
        item = Item(PurePosixPath(file.path).name, data, limits, self._options.cutting)
        file.sha256 = hashlib.sha256(data).digest()
        file.key = key_of(self._tools, item.name, limits.written(), repr(item.cutting), file.sha256)
        return _Read(file, item)

    def _unknown(self, lot: Sequence[_Read]) -> Iterator[_Read]:
        known = self._cache.get([read.file.key for read in lot])
        for read in lot:
            self._done += read.file.entry.size_bytes
            self._tell("reading", self._done, self._total)
            language = language_of(read.item.name, read.item.data)
            if language is None or not language.is_parsed:  # seen at a glance, and not worth keeping
                screened = by_content(read.item.data, language, read.item.limits)
                settle(read.file, Analysis(language.name if language else "", screened.reason, screened.detail))
                continue
            analysis = known.get(read.file.key)
            if analysis is None:
                yield read
            else:
                settle(read.file, analysis)


def _analysed(fresh: Iterator[_Read], cache: Cache, crew: Crew) -> list[_Read]:
    """Analyses what is new, and lets the engine scan it meanwhile; returns those in which it found more."""
    again: list[_Read] = []
    scans: deque[tuple[_Lot, Future[list[list[Finding]]]]] = deque()
    with Engine(rules=cache.folder / "rules") as engine, ThreadPoolExecutor(1, "scan") as scanner:
        try:
            for lot in _lots(_through(fresh, crew)):
                scans.append((lot, scanner.submit(_scan, engine, lot)))
                while scans and (scans[0][1].done() or sum(_bytes(waiting) for waiting, _ in scans) > _WAITING_BYTES):
                    _settle_scanned(*scans.popleft(), cache, again)
            for scanned in scans:
                _settle_scanned(*scanned, cache, again)
        except BaseException:
            engine.end()
            raise
    return again


def _lots(analysed: Iterable[tuple[_Read, Analysis]]) -> Iterator[_Lot]:
    """In growing numbers, up to what the engine takes at once."""
    lot: _Lot = []
    held, full = 0, _FIRST_SCAN_BYTES
    for read, analysis in analysed:
        lot.append((read, analysis))
        held += len(read.item.data)
        if held >= full:
            yield lot
            lot, held, full = [], 0, min(2 * full, BATCH_BYTES)
    if lot:
        yield lot


def _bytes(lot: _Lot) -> int:
    return sum(len(read.item.data) for read, _ in lot)


def _through(fresh: Iterator[_Read], crew: Crew) -> Iterator[tuple[_Read, Analysis]]:
    """Each with its analysis; what no process came back from is unparsable."""
    waiting: deque[_Read] = deque()

    def items() -> Iterator[Item]:
        for read in fresh:
            waiting.append(read)
            yield read.item

    for _, analysis in crew.map("analyse", items(), lambda item: len(item.data)):
        yield waiting.popleft(), _or_unparsable(analysis)


def _or_unparsable(analysis: Analysis | Lost) -> Analysis:
    return Analysis(reason="unparsable", detail=analysis.detail) if isinstance(analysis, Lost) else analysis


def _scan(engine: Engine, lot: _Lot) -> list[list[Finding]]:
    """What the engine finds in each text; nothing is looked for in what is rejected anyway."""
    texts = ["" if analysis.reason else decoded(read.item.data).text for read, analysis in lot]
    asked = (
        Text(number, PurePosixPath(read.item.name).suffix, text.encode())
        for number, ((read, _), text) in enumerate(zip(lot, texts, strict=True))
        if text
    )
    found: dict[int, list[Found]] = defaultdict(list)
    for one in engine.scan(asked):
        found[one.number].append(one)
    return [of_engine(text, found[number]) for number, text in enumerate(texts)]


def _settle_scanned(lot: _Lot, scan: Future[list[list[Finding]]], cache: Cache, again: list[_Read]) -> None:
    for (read, analysis), found in zip(lot, scan.result(), strict=True):
        if analysis.reason or all(_is_covered(one, analysis.findings) for one in found):
            cache.put(read.file.key, analysis)
            settle(read.file, analysis)
        else:
            again.append(_Read(read.file, read.item._replace(findings=tuple(found))))


def _is_covered(finding: Finding, known: Sequence[Finding]) -> bool:
    return any(one.start <= finding.start and finding.end <= one.end for one in known)


def _finish(again: Sequence[_Read], cache: Cache, crew: Crew) -> None:
    for read, analysis in _through(iter(again), crew):
        cache.put(read.file.key, analysis)
        settle(read.file, analysis)


def settle(file: File, analysis: Analysis) -> None:
    """Takes over what is short."""
    file.language, file.reason, file.detail = analysis.language, analysis.reason, analysis.detail
    file.stated_licence, file.findings = analysis.licence, analysis.findings
    file.redactions, file.signature, file.documented = analysis.redactions, analysis.signature, analysis.documented
    for cut in analysis.cuts:
        file.made[cut.kind] = file.made.get(cut.kind, 0) + 1
    if analysis.too_long:
        file.made["too-long"] = analysis.too_long
