"""`tunesmith data build REPO --output DIR`: the options, the progress and what is said at the end.

In: what was typed. Out: a folder with a data set, and its figures for a person or as one JSON document. The defaults
are those of data/codebase/options.py, the work is dataset.py's beside it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TextIO

import typer

from tunesmith.errors import InvalidArgument
from tunesmith.printing import Speaker, pairs, table, text
from tunesmith.watch import duration

if TYPE_CHECKING:
    from tunesmith.data.codebase.options import Options
    from tunesmith.settings import Settings

SAID_EVERY_S = 10.0
"""Where standard error is no terminal."""
_SHOWN_REASONS = 12
NETWORKS = ("public", "private", "any")


class Builder(Speaker, Protocol):
    """One call of the command: the installation beside the ways to speak."""

    @property
    def settings(self) -> Settings: ...


RevisionOption = Annotated[
    str,
    typer.Option(
        "--revision", metavar="REV", help="Branch, tag or commit of a git repository; else its default branch."
    ),
]
SinceOption = Annotated[
    str,
    typer.Option(
        "--since",
        metavar="DATE",
        help="Read the history from that day on: with --split time, what changed since is held out.",
    ),
]
IncludeOption = Annotated[
    list[str] | None,
    typer.Option("--include", metavar="GLOB", help="Only files that fit, as in .gitignore; may be repeated."),
]
ExcludeOption = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="GLOB", help="No files that fit; may be repeated.")
]
LimitOption = Annotated[
    list[str] | None,
    typer.Option(
        "--limit", metavar="RULE", help="Other limits for some files, as 'GLOB: NAME=VALUE'; may be repeated."
    ),
]
PolicyOption = Annotated[
    str,
    typer.Option(
        "--licence-policy",
        metavar="POLICY",
        help="permissive, weak-copyleft, any, or SPDX ids and `unknown` with commas between.",
    ),
]
KindsOption = Annotated[str, typer.Option("--kinds", metavar="KINDS", help="Kinds of rows, with commas between.")]
SplitOption = Annotated[
    str, typer.Option("--split", metavar="BY", help="What is held out whole: path, package or time.")
]
EvaluationRowsOption = Annotated[
    int | None,
    typer.Option(
        "--evaluation-rows",
        metavar="N",
        min=0,
        help="Held-out rows of each form; a tenth, 10 to 250, if left out; 0: none.",
    ),
]
MaxRowsOption = Annotated[int, typer.Option("--max-rows", metavar="N", min=1, help="Training rows at most.")]
RowCharactersOption = Annotated[int, typer.Option("--row-characters", metavar="N", min=400, help="Longest row.")]
ContextCharactersOption = Annotated[
    int,
    typer.Option(
        "--context-characters", metavar="N", min=0, help="Room in a row for signatures from other files; 0: none."
    ),
]
SuiteOption = Annotated[
    list[str] | None,
    typer.Option(
        "--suite", metavar="FILE", help="Problems, one a line, of which no row may hold any; may be repeated."
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of what is chosen by chance.")]
SshKeyOption = Annotated[Path | None, typer.Option("--ssh-key", metavar="FILE", help="Private key for an ssh URL.")]
CertificatesOption = Annotated[
    Path | None, typer.Option("--certificates", metavar="FILE", help="PEM of your own CA, for an https URL.")
]
NetworkOption = Annotated[
    str, typer.Option("--network", metavar="HOSTS", help="Where a URL may lead: public, private (and public), any.")
]
KnownHostsOption = Annotated[
    Path | None, typer.Option("--known-hosts", metavar="FILE", help="Host keys to trust; else those of your ssh.")
]
ProcessesOption = Annotated[int, typer.Option("--processes", metavar="N", min=0, help="0: one for each core.")]
CacheFlag = Annotated[bool, typer.Option("--cache/--no-cache", help="Keep what is found out about files.")]


def data_build(
    session: Builder,
    repo: Annotated[str, typer.Argument(metavar="REPO", help="A folder, an https or ssh git URL, or an archive.")],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            metavar="DIR",
            help="Folder to make; an earlier build is replaced. With --server: gs://BUCKET/FOLDER.",
        ),
    ],
    revision: RevisionOption = "",
    since: SinceOption = "",
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    limit: LimitOption = None,
    licence_policy: PolicyOption = "permissive",
    kinds: KindsOption = "instruction,fim,chat",
    split: SplitOption = "path",
    evaluation_rows: EvaluationRowsOption = None,
    max_rows: MaxRowsOption = 10_000,
    row_characters: RowCharactersOption = 8000,
    context_characters: ContextCharactersOption = 1200,
    suite: SuiteOption = None,
    seed: SeedOption = 0,
    ssh_key: SshKeyOption = None,
    known_hosts: KnownHostsOption = None,
    certificates: CertificatesOption = None,
    network: NetworkOption = "private",
    processes: ProcessesOption = 0,
    cache: CacheFlag = True,
) -> None:
    """Turn a codebase into rows to train and to evaluate on, with an account of every file.

    Nothing of the repository runs. Secrets are replaced, near copies left out, and nothing that is held out is trained
    on. DIR/report.html shows what was used, what was not, and why; docs/data.md explains every choice.
    """
    options = _options(
        revision=revision,
        since=since,
        include=include or [],
        exclude=exclude or [],
        rules=limit or [],
        licence_policy=licence_policy,
        kinds=kinds_of(kinds),
        split_by=split,
        evaluation_rows=evaluation_rows,
        most_rows=max_rows,
        row_characters=row_characters,
        context_characters=context_characters,
        suites=suite or [],
        seed=seed,
    )
    folder = _folder_of(repo, output)
    access = _access(ssh_key, known_hosts, certificates, network)
    manifest = _made(session, repo, folder, options, access, processes or len(os.sched_getaffinity(0)), cache)
    if session.json:
        session.emit({"folder": str(folder), **manifest})
    else:
        show(session, str(folder), manifest)


def _made(
    session: Builder,
    repo: str,
    output: Path,
    options: Options,
    access: Mapping[str, Any],
    processes: int,
    cache: bool,
) -> dict[str, Any]:
    """The manifest of what was built."""
    from tunesmith.data.codebase.dataset import build
    from tunesmith.data.codebase.history import moment
    from tunesmith.data.codebase.source import open_repository, said_of

    since = moment(options.since, datetime.now(UTC)) if options.since else None
    with progress_on(sys.stderr) as tell:

        def fetching(phase: str, share: float) -> None:
            tell(phase, int(100 * share), 100)

        with open_repository(repo, options.revision, since=since, progress=fetching, **access) as own:
            built = build(
                own,
                said_of(repo, own),
                output,
                options,
                since=since,
                cache_folder=session.settings.cache if cache else None,
                processes=processes,
                tell=tell,
            )
    return built.manifest


def _access(ssh_key: Path | None, known_hosts: Path | None, certificates: Path | None, network: str) -> dict[str, Any]:
    if network not in NETWORKS:
        raise InvalidArgument.of("--network", f"{network!r} is not known; choose of {', '.join(NETWORKS)}")
    return {"ssh_key": ssh_key, "known_hosts": known_hosts, "certificates": certificates, "network": network}


def _folder_of(repo: str, output: str) -> Path:
    from tunesmith.data.codebase.git import git_folder

    if "://" in output:
        raise InvalidArgument.of("--output", f"{output!r} is no folder; give one, or --server URL to build there")
    place, folder = Path(repo), Path(output)
    if place.is_dir() and git_folder(place) is None and folder.resolve().is_relative_to(place.resolve()):
        raise InvalidArgument.of("--output", f"{output} lies in REPO, and the next build would read it; give another")
    return folder


def _options(**chosen: Any) -> Options:
    from tunesmith.data.codebase.options import options_of

    return options_of(chosen, datetime.now(UTC))


def kinds_of(text: str) -> list[str]:
    """What --kinds names."""
    return [kind.strip() for kind in text.split(",") if kind.strip()]


# Progress ------------------------------------------------------------------------------------------------------


@contextmanager
def progress_on(stream: TextIO) -> Iterator[Callable[[str, int, int], None]]:
    """How far the build is: one live line on a terminal, a line now and then anywhere else."""
    if not stream.isatty():
        yield _Lines(stream).tell
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False)
    with Progress(*columns, console=Console(file=stream), transient=True) as live:
        line = live.add_task("starting")
        said = _Pace()
        yield lambda phase, done, total: live.update(line, description=said.words(phase, done, total))


class _Pace:
    """Words for how far a phase is: its share, its rate, and the time it will still take."""

    def __init__(self) -> None:
        self._phase = ""
        self._began = 0.0

    def words(self, phase: str, done: int, total: int) -> str:
        now = time.monotonic()
        if phase != self._phase:
            self._phase, self._began = phase, now
        if not total:
            return phase
        seconds = now - self._began
        words = f"{phase} {done / total:.0%}"
        if phase == "reading":
            words += f" of {total / 1e6:,.1f} MB"
            words += f", {done / 1e6 / seconds:.1f} MB/s" if seconds > 1 else ""
        if seconds > 2 and 0 < done < total:
            words += f", {duration(seconds * (total - done) / done)} left"
        return words


class _Lines:
    """A line for every phase, and within one every SAID_EVERY_S seconds."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._pace = _Pace()
        self._said = ""
        self._time = 0.0

    def tell(self, phase: str, done: int, total: int) -> None:
        words = self._pace.words(phase, done, total)
        now = time.monotonic()
        if phase != self._said or now - self._time >= SAID_EVERY_S:
            self._said, self._time = phase, now
            self._stream.write(f"{words} ...\n")
            self._stream.flush()


# The end -------------------------------------------------------------------------------------------------------


def show(session: Builder, output: str, manifest: Mapping[str, Any], server: str = "") -> None:
    """The figures of a build whose files lie in the folder `output`; with a server, there."""
    counts = manifest["counts"]
    rows = table("rows", "instruction", "fim", "chat", "in all")
    for split in ("training", "evaluation"):
        kinds = counts["rows"][split]
        rows.add_row(
            split, *(f"{kinds.get(kind, 0):,}" for kind in ("instruction", "fim", "chat")), f"{sum(kinds.values()):,}"
        )
    session.show(rows)
    files = counts["files"]
    session.show(f"{files['used']:,} of {files['used'] + files['rejected']:,} files used; the others:")
    reasons = sorted(counts["reasons"].items(), key=lambda pair: (-pair[1], pair[0]))
    session.show(pairs([(reason, f"{count:,}") for reason, count in reasons[:_SHOWN_REASONS]]))
    if len(reasons) > _SHOWN_REASONS:
        session.show(f"and {len(reasons) - _SHOWN_REASONS} more reasons")
    for note in counts["notes"]:
        session.show(text(note))
    if counts["redactions"]:
        session.show(text(f"{sum(counts['redactions'].values()):,} secrets and personal data were replaced"))
    at = f" --server {server}" if server else ""
    session.show(text(f"look at {output}/report.html; tune with"))
    session.show(text(f"  tunesmith tune {output}/train.jsonl --evaluation-data {output}/evaluation.jsonl{at}"))
