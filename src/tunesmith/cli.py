"""The command `tunesmith`: what a person or a script does on this machine, without a server or, with --server, on one.

Every command reads the installation's settings once, works through the same store and worker as the service, and
ends with an exit code of errors.py. Results go to standard output, as text or with --json as one JSON document;
progress, questions and errors go to standard error. The flags of `tune` are the fields of TuningSpec: their names,
help texts and defaults stand there and nowhere else. Heavy parts are imported by the command that needs them, so
that --help answers at once.
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from tunesmith import __version__, catalog, pipeline, watch
from tunesmith.build_command import data_build
from tunesmith.errors import (
    Cancelled,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    TunesmithError,
    from_json,
)
from tunesmith.folder import JobFolder, read_json
from tunesmith.printing import console as _console
from tunesmith.printing import escape as _escape
from tunesmith.printing import flat as _flat
from tunesmith.printing import messages as _messages
from tunesmith.printing import pairs as _pairs
from tunesmith.printing import print_answer, show_job, show_jobs, show_model, show_models, show_state
from tunesmith.printing import print_error as _print_error
from tunesmith.printing import print_stream as _print_stream
from tunesmith.printing import table as _table
from tunesmith.printing import text as _text
from tunesmith.printing import text_or_stdin as _text_or_stdin
from tunesmith.printing import when as _when
from tunesmith.settings import Settings, read_settings

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tunesmith.data.formats import Conversation
    from tunesmith.engine.generate import Generator
    from tunesmith.engine.model import Prepared
    from tunesmith.spec import TuningPlan
    from tunesmith.store import Job, Key, Model, Store

DEFAULT_ANSWER_TOKENS = 512

Command = Callable[..., None]

EXPORT_FORMATS = ("peft", "merged")


@dataclass(frozen=True, slots=True)
class Session:
    """One call of one command: the installation it works on and how it speaks."""

    settings: Settings
    json: bool

    def emit(self, value: Any) -> None:
        """The command's one JSON document, on standard output."""
        print(json.dumps(value, indent=2, ensure_ascii=False))

    def show(self, renderable: RenderableType) -> None:
        """A result for a person: on standard output, or on standard error where that belongs to the document."""
        _console(sys.stderr if self.json else sys.stdout).print(renderable, highlight=False)

    def say(self, text: str) -> None:
        """Progress for a person, on standard error."""
        print(text, file=sys.stderr, flush=True)

    def store(self) -> Store:
        from tunesmith.store import open_store

        return open_store(self.settings)


JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
HomeOption = Annotated[
    Path | None,
    typer.Option("--home", metavar="DIR", help="Where jobs and models are kept; TUNESMITH_HOME, else ~/.tunesmith."),
]
DebugFlag = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
JobArgument = Annotated[str, typer.Argument(metavar="ID", help="The job's id, as `tunesmith jobs list` shows it.")]
ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="Resource name, numeric id or display name of a tuned model, or a base model."
    ),
]
TunedArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Resource name, numeric id or display name of a tuned model.")
]
TemperatureOption = Annotated[
    float,
    typer.Option("--temperature", min=0.0, max=2.0, metavar="NUMBER", help="0: the likeliest answer, always the same."),
]
AnswerTokensOption = Annotated[int, typer.Option("--max-output-tokens", min=1, metavar="N", help="Longest answer.")]


ServerOption = Annotated[
    str | None, typer.Option("--server", metavar="URL", help="Ask this server instead of this machine's own store.")
]
RefusedServerOption = Annotated[
    str | None, typer.Option("--server", metavar="URL", hidden=True, help="Refused: runs on this machine only.")
]
REMOTE_OPTIONS: Mapping[str, Any] = {
    "server": ServerOption,
    "project": Annotated[
        str | None,
        typer.Option("--project", metavar="P", help="With --server: the project; TUNESMITH_PROJECT, else local."),
    ],
    "location": Annotated[
        str | None, typer.Option("--location", metavar="L", help="With --server: the region; us-central1 if left out.")
    ],
    "key_file": Annotated[
        Path | None,
        typer.Option("--key-file", metavar="FILE", help="With --server: holds the key; else TUNESMITH_API_KEY does."),
    ],
}
# Commands that remote.py has too, by their functions here, and why others have no such form.
REMOTE = frozenset(
    {
        "tune", "data_build", "jobs_list", "jobs_show", "jobs_watch", "jobs_cancel", "models_list", "models_show",
        "models_delete", "predict", "chat",
    }
)  # fmt: skip
ONLY_HERE: Mapping[str, str] = {
    "jobs_resume": "a server's workers go on with its jobs by themselves; a failed one is resumed on its machine",
    "models_pull": "base models are fetched on the machine that tunes them; run this there",
    "models_export": "a server writes models into buckets (models/N:export); run this on its machine",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # TuningSpec costs 0.1 s to import: only `tune` shows its fields.
    app = build_app(spec_flags=words[:1] == ["tune"])
    typer.main.get_command(app)(words, prog_name="tunesmith")


def build_app(*, spec_flags: bool = True) -> typer.Typer:
    """All commands. Without `spec_flags`, `tune` lacks the flags that are TuningSpec's fields."""
    app = _group("Supervised tuning of code models, measured, on your own machines.")
    app.callback(invoke_without_command=True)(_root)
    app.command("tune")(_command(_with_spec_flags(tune) if spec_flags else tune))
    for name, (text, members) in GROUPS.items():
        group = _group(text)
        for member, function in members.items():
            group.command(member)(_command(function))
        app.add_typer(group, name=name)
    for name, function in ALONE.items():
        app.command(name)(_command(function))
    return app


def _group(text: str) -> typer.Typer:
    # Plain help: rich's tables cut long flags off on a terminal of 80 columns, and cost half of the start-up time.
    return typer.Typer(
        help=text,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    )


def _root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Nothing by itself: only carries --version."""


def _print_version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


def _command(function: Callable[..., None]) -> Callable[..., None]:
    """The function as a command: with --json, --home and --debug, its session, and our errors printed.

    Where remote.py has a command of the same name, --server runs that one instead.
    """
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    own = [p for p in own if p.kind is not inspect.Parameter.VAR_KEYWORD]
    remote = _remote_parameters(function.__name__, {p.name for p in own})

    @functools.wraps(function)
    def run(*, json_output: bool, home: Path | None, debug: bool, **given: Any) -> None:
        sys.excepthook = functools.partial(_report_bug, json_output, home, debug)
        there = {p.name: given.pop(p.name) for p in remote}
        try:
            session = Session(read_settings(os.environ, home), json_output)
            if there.get("server") is not None:
                _run_remotely(session, function.__name__, there, given)
            else:
                _refuse_remote_options(there)
                function(session, **given)
        except TunesmithError as error:
            _print_error(error, json_output, debug)
            raise typer.Exit(error.exit_code) from error

    named = inspect.Parameter.KEYWORD_ONLY
    common = [
        inspect.Parameter("json_output", named, default=False, annotation=JsonFlag),
        inspect.Parameter("home", named, default=None, annotation=HomeOption),
        inspect.Parameter("debug", named, default=False, annotation=DebugFlag),
    ]
    parameters = [*[p.replace(kind=named) for p in own], *remote, *common]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def _remote_parameters(name: str, own: set[str]) -> list[inspect.Parameter]:
    """The options that say which server is asked; of a command that only refuses one, the first."""
    offered = REMOTE_OPTIONS if name in REMOTE else {"server": RefusedServerOption} if name in ONLY_HERE else {}
    return [
        inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for option, annotation in offered.items()
        if option not in own
    ]


def _run_remotely(session: Session, name: str, there: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    if name in ONLY_HERE:
        raise FailedPrecondition(f"--server: {ONLY_HERE[name]}")
    from tunesmith import remote

    project = there.get("project") or given.get("project") or os.environ.get("TUNESMITH_PROJECT")
    location = there.get("location") or given.get("location")
    key = remote.read_key(there["key_file"], session.say) if there["key_file"] else os.environ.get(remote.KEY_VARIABLE)
    with remote.connect(there["server"], project, location, key or "") as client:
        remote.COMMANDS[name](session, client, **given)


def _refuse_remote_options(there: Mapping[str, Any]) -> None:
    for name, value in there.items():
        if value is not None:
            raise InvalidArgument.of(f"--{name.replace('_', '-')}", "says something of a server; give --server too")


def _report_bug(
    json_output: bool,
    home: Path | None,
    debug: bool,
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
) -> None:
    """An exception that is not ours is a bug: its traceback goes to a file, the person gets one line and the place."""
    text = "".join(traceback.format_exception(kind, error, trace))
    if debug:
        print(text, file=sys.stderr)
    folder = read_settings(os.environ, home).home / "bugs"
    file = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(f"tunesmith {__version__}\n{' '.join(sys.argv)}\n\n{text}", "utf-8")
    except OSError:
        print(text, file=sys.stderr)
    _print_error(
        Internal(f"this is a bug of Tunesmith: {kind.__name__}: {error}; please report it with {file}"),
        json_output,
        debug=False,
    )


# --- tune ------------------------------------------------------------------------------------------------------


def tune(
    session: Session,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Resolve, check and estimate; train nothing.")] = False,
    **asked: Any,
) -> None:
    """Tune a model here, without a server.

    Checks the data, says what it will do, tunes with a progress line, and ends with a report and the tuned model's
    name. Ctrl+C saves a checkpoint and says how to go on.
    """
    plan = _plan(session, asked)
    _check_data(session, plan.spec.dataset, plan.spec.evaluation_data)
    prepared = _prepared(session, plan.base_model)
    _announce(session, plan, prepared, dry_run)
    if dry_run:
        return
    store = session.store()
    job = store.create_job(plan, job_id=None, now_s=time.time())
    session.say(f"job {job.id} in {session.settings.jobs / job.id}\n")
    _finish(session, store, job.id)


def _with_spec_flags(function: Callable[..., None]) -> Callable[..., None]:
    """The function with a parameter for each field of TuningSpec in place of its **asked."""
    from tunesmith.flags import parameters

    @functools.wraps(function)
    def run(*args: Any, **given: Any) -> None:
        function(*args, **given)

    session, *own, _asked = inspect.signature(function, eval_str=True).parameters.values()
    named = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    run.__signature__ = inspect.Signature([session, *parameters(), *named])  # type: ignore[attr-defined]
    return run


def _plan(session: Session, asked: Mapping[str, Any]) -> TuningPlan:
    """The resolved job; errors name flags, since that is what the caller wrote."""
    from tunesmith.flags import in_flags
    from tunesmith.spec import TuningSpec, resolve

    given = {name: value for name, value in asked.items() if value is not None}
    for name in ("dataset", "evaluation_data", "base_model"):
        if name in given:
            given[name] = _absolute(given[name], is_model=name == "base_model")
    settings = session.settings
    try:
        spec = TuningSpec.parse(given)
        return resolve(spec, catalog.find(spec.base_model, settings.aliases, settings.base_models))
    except InvalidArgument as error:
        raise in_flags(error) from error


def _absolute(name: str, *, is_model: bool) -> str:
    """A path as every later process finds it, wherever it runs; URIs and model names as they are."""
    if "://" in name or (is_model and (name.startswith("hf:") or not ("/" in name or name.startswith(".")))):
        return name
    return str(Path(name).expanduser().absolute())


def _check_data(session: Session, dataset: str, evaluation: str | None) -> None:
    """Refuses data that cannot be trained on before any model is made ready; says what is doubtful."""
    from tunesmith import banner

    session.say("checking the data")
    for line in banner.warnings(banner.checked_data(dataset, evaluation)["findings"]):
        session.say(line)


def _prepared(session: Session, name: str) -> Prepared:
    """The base model's folder; fetched if it is not on this machine yet, and said so."""
    from tunesmith.engine import model

    settings = session.settings
    base = catalog.find(name, settings.aliases, settings.base_models).base
    try:
        return model.prepare(base, settings.base_models, session.say)
    except FailedPrecondition:
        sources = " or ".join((base.parent or base).sources)
        session.say(f"{base.name} is not on this machine yet; fetching it from {sources}")
        return model.pull(base, settings.base_models, session.say)


def _announce(session: Session, plan: TuningPlan, prepared: Prepared, dry_run: bool) -> None:
    """The start banner; for a dry run it is the result."""
    from tunesmith import banner
    from tunesmith.data.build import survey
    from tunesmith.engine.estimate import estimate

    found = survey(plan, prepared.folder)
    expected = estimate(plan, prepared.folder, found)
    if dry_run and session.json:
        session.emit(banner.figures(plan, found, expected))
        return
    console = _console(sys.stdout if dry_run else sys.stderr)
    console.print(_pairs(banner.rows(plan, found, expected)), highlight=False)


def _finish(session: Session, store: Store, job_id: str) -> None:
    """Runs the job here and says how it ended: with the report, or with the error and its exit code."""
    from tunesmith import foreground

    foreground.run(session.settings, job_id, watch.display_on(sys.stderr))
    job = store.job(job_id)
    if job.state == "SUCCEEDED":
        _report(session, job) if job.kind == "tuning" else _say_written(session, job)
        return
    error = _why(session, job)
    if session.json:
        session.emit({**_outcome(session, job), "error": error.to_json()})
    if isinstance(error, Cancelled):
        session.say(error.message)
    else:
        _print_error(error, json_output=False, debug=False)
        session.say(f"its files are in {session.settings.jobs / job.id}")
    raise typer.Exit(error.exit_code)


def _say_written(session: Session, job: Job) -> None:
    """Where a job has written its predictions, or its data set."""
    if session.json:
        session.emit(_job_json(session, job))
    what, where = ("predictions", job.batch) if job.kind == "batch" else ("data set", job.dataset)
    session.show(f"job {job.id} has written its {what} to {where.destination}")


def _report(session: Session, job: Job) -> None:
    from tunesmith import report

    found = report.read(JobFolder(session.settings.jobs / job.id), job.model)
    report.write(found)
    home = session.settings.home if session.settings.home != read_settings(os.environ).home else None
    session.show(report.terminal(found, home, _program()))
    if session.json:
        session.emit(_outcome(session, job))


def _program() -> str:
    """How this command is typed: by its name if the path finds it, else by its place from here."""
    if shutil.which("tunesmith") or not sys.argv[0].endswith("tunesmith"):
        return "tunesmith"
    return os.path.relpath(sys.argv[0])


def _outcome(session: Session, job: Job) -> dict[str, Any]:
    """What `tune --json` prints; figures are null as long as the tune task has no result."""
    folder = JobFolder(session.settings.jobs / job.id)
    results = [read_json(a.result) for a in folder.attempts(pipeline.TUNE) if a.result.is_file()]
    result = results[-1] if results else {}
    return {
        "job": job.id,
        "state": job.state,
        "model": job.model,
        "steps": result.get("steps"),
        "selected_step": result.get("selected_step"),
        "metrics": result.get("metrics", {}),
        "folder": str(folder.root),
    }


def _why(session: Session, job: Job) -> TunesmithError:
    """The error that a job which has not succeeded ends the command with."""
    if job.state == "FAILED" and job.error:
        return from_json(job.error, _exit_code(JobFolder(session.settings.jobs / job.id)))
    if job.state == "CANCELLED":
        return Cancelled(f"job {job.id} was cancelled")
    step = _saved_step(JobFolder(session.settings.jobs / job.id))
    saved = f"saved at step {step}" if step else "nothing was saved yet"
    if job.kind != "tuning":
        saved = "the answers that it has are kept" if job.kind == "batch" else "what it knows of files is kept"
    return Cancelled(f"{saved}; go on with: tunesmith jobs resume {job.id}", job=job.id, step=step)


def _exit_code(folder: JobFolder) -> int | None:
    """The exit code of the attempt that was begun last, which tells more than its status; None if it left no word."""
    newest = watch.newest_attempt(folder)
    if newest is None or not newest[2].error.is_file():
        return None
    code: int | None = read_json(newest[2].error).get("exit_code")
    return code


def _saved_step(folder: JobFolder) -> int | None:
    """The step of the newest checkpoint of any attempt."""
    names = [path.name for a in folder.attempts(pipeline.TUNE) for path in a.checkpoints.glob("step-*")]
    return max((int(name.removeprefix("step-")) for name in names), default=None)


# --- data ------------------------------------------------------------------------------------------------------


def data_check(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSONL, plain or gzip, in any of the accepted forms.")],
    evaluation_data: Annotated[
        Path | None, typer.Option("--evaluation-data", metavar="FILE", help="Held-out examples to check with it.")
    ] = None,
) -> None:
    """List every problem of a data set with its line, and its statistics.

    Exit code 2 if something in it must be mended before it can be trained on.
    """
    from tunesmith.data.check import check

    report = check(file, evaluation=evaluation_data).to_json()
    if session.json:
        session.emit(report)
    else:
        _show_check(session, file, report)
    if not report["valid"]:
        raise typer.Exit(InvalidArgument.exit_code)


def _show_check(session: Session, file: Path, report: Mapping[str, Any]) -> None:
    findings = report["findings"]
    if findings:
        table = _table("line", "field", "severity", "message", "remedy")
        for row in findings:
            cells = (row["line"], row["field"], row["severity"], row["message"], row["remedy"])
            table.add_row(*(_text(cell) for cell in cells))
        session.show(table)
    errors = sum(finding["severity"] == "error" for finding in findings)
    session.show(_pairs(list(_flat(report["statistics"]))))
    verdict = "can be trained on" if report["valid"] else "cannot be trained on"
    counts = f"{errors} errors, {len(findings) - errors} warnings"
    session.show(f"{file}: {report['examples']:,} examples, {counts}; {verdict}")


# --- jobs ------------------------------------------------------------------------------------------------------


def jobs_list(session: Session) -> None:
    """List the jobs, newest first: tuning, batch predictions, and builds of data sets."""
    show_jobs(session, [_job_json(session, job) for job in session.store().jobs()])


def jobs_show(session: Session, job_id: JobArgument) -> None:
    """Show one job: its state, its tasks, where its files are."""
    job = session.store().job(job_id)
    show_job(session, _job_json(session, job))
    if job.state == "SUCCEEDED" and job.kind == "tuning" and not session.json:
        _report(session, job)


def jobs_watch(session: Session, job_id: JobArgument) -> None:
    """Follow a job until it ends; Ctrl+C stops following, not the job."""
    from tunesmith import foreground

    job = foreground.follow(session.store(), session.settings, job_id, watch.display_on(sys.stderr))
    show_state(session, _job_json(session, job))


def jobs_cancel(session: Session, job_id: JobArgument) -> None:
    """Cancel a job: its task saves a checkpoint and leaves; the job cannot be resumed."""
    store = session.store()
    store.request_cancel(job_id)
    show_state(session, _job_json(session, store.job(job_id)), says_why=False)


def jobs_resume(session: Session, job_id: JobArgument) -> None:
    """Go on with a paused or interrupted job here, from its last checkpoint."""
    store = session.store()
    job = store.resume_job(job_id)
    step = _saved_step(JobFolder(session.settings.jobs / job.id))
    where = "where it stopped" if job.kind != "tuning" else f"from step {step}" if step else "from its beginning"
    session.say(f"job {job.id} goes on {where}")
    _finish(session, store, job.id)


def _model_of(job: Job) -> str | None:
    """The model that a tuning job has made, or that a batch prediction job asks."""
    if job.kind == "batch":
        return job.batch.model.name if job.batch.model else None
    return job.model


def _job_json(session: Session, job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "display_name": job.display_name,
        "project": job.project,
        "location": job.location,
        "base_model": getattr(job.planned, "base_model", ""),
        "reference": getattr(job.planned, "reference", ""),
        "model": _model_of(job),
        "error": job.error,
        "create_time": _when(job.create_time),
        "start_time": None if job.start_time is None else _when(job.start_time),
        "end_time": None if job.end_time is None else _when(job.end_time),
        "folder": str(session.settings.jobs / job.id),
        "tasks": [
            {"name": task.name, "state": task.state, "attempt": task.attempt, "error": task.error} for task in job.tasks
        ],
    }


# --- models ----------------------------------------------------------------------------------------------------


def models_list(
    session: Session,
    base: Annotated[bool, typer.Option("--base", help="The base models that can be tuned, instead.")] = False,
) -> None:
    """List the tuned models, newest first, or the base models."""
    if base:
        _list_base_models(session)
        return
    show_models(session, [_model_json(model) for model in session.store().models()])


def _list_base_models(session: Session) -> None:
    from tunesmith.doctor import base_models

    present = set(base_models(session.settings))
    found: list[dict[str, Any]] = [
        {
            "name": base.name,
            "here": base.name in present,
            "parameters": base.parameters,
            "context_tokens": base.context_tokens,
            "licence": base.licence,
            "fills_in_the_middle": base.fim is not None,
            "sources": list(base.sources),
        }
        for base in catalog.BASE_MODELS.values()
    ]
    aliases = {name: session.settings.aliases.get(name, catalog.EMBEDDED) for name in catalog.REFERENCE_MODELS}
    if session.json:
        session.emit({"base_models": found, "aliases": aliases})
        return
    table = _table("name", "here", "parameters", "context", "licence", "source")
    for row in found:
        size = f"{row['parameters'] / 1e9:.2g} B"
        here = "yes" if row["here"] else ""
        table.add_row(row["name"], here, size, f"{row['context_tokens']:,}", row["licence"], row["sources"][0])
    session.show(table)
    for target in sorted(set(aliases.values())):
        session.show(f"{target} stands for {', '.join(name for name in aliases if aliases[name] == target)}")


def models_show(session: Session, name: TunedArgument) -> None:
    """Show one tuned model: what it was made from, and its figures."""
    show_model(session, _model_json(_tuned(session.store(), name)))


def models_delete(session: Session, name: TunedArgument) -> None:
    """Delete a tuned model and its files; the job that made it stays."""
    store = session.store()
    model = _tuned(store, name)
    store.delete_model(model.name)
    if session.json:
        session.emit({"deleted": model.name})
    else:
        session.show(f"deleted {model.name}")


def models_pull(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A base model of the catalog, or hf:ORG/NAME.")],
) -> None:
    """Fetch a base model and make it ready."""
    from tunesmith.engine import model

    settings = session.settings
    prepared = model.pull(_to_pull(name, settings), settings.base_models, session.say)
    if session.json:
        session.emit({"name": prepared.name, "folder": str(prepared.folder), "sha256": prepared.sha256})
    else:
        session.show(f"{prepared.name} is at {prepared.folder}")


def _to_pull(name: str, settings: Settings) -> catalog.BaseModel:
    """What is known of a model that may not be here yet: of a hub model, its source alone."""
    if name.startswith("hf:"):
        return catalog.BaseModel(name, (name,), context_tokens=0, hidden_size=0, licence="unknown")
    return catalog.find(name, settings.aliases, settings.base_models).base


def models_export(
    session: Session,
    name: TunedArgument,
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="A folder that does not exist yet.")],
    kind: Annotated[
        str,
        typer.Option("--format", metavar="|".join(EXPORT_FORMATS), help="peft: the adapter. merged: a whole model."),
    ] = "peft",
) -> None:
    """Export a tuned model, and prove that the export answers as the registered model does."""
    if kind not in EXPORT_FORMATS:
        raise InvalidArgument.of("--format", f"must be one of {', '.join(EXPORT_FORMATS)}, got {kind!r}")
    from tunesmith.engine.export import export

    model = _tuned(session.store(), name)
    prepared = _prepared(session, model.base_model)
    settings = session.settings
    found = catalog.find(model.base_model, settings.aliases, settings.base_models).base
    proof = export(model.folder, prepared, found, kind, output.absolute())  # type: ignore[arg-type]
    if session.json:
        session.emit({"folder": str(output.absolute()), **proof})
    else:
        equal = f"{proof['equal']} of {proof['prompts']} greedy answers equal those of the registered model"
        session.show(_pairs([("format", kind), ("folder", str(output.absolute())), ("proof", equal)]))


def _model_json(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "version_id": model.version_id,
        "display_name": model.display_name,
        "job": model.job,
        "base_model": model.base_model,
        "labels": dict(model.labels),
        "metrics": model.metrics,
        "lineage": model.lineage,
        "create_time": _when(model.create_time),
        "folder": str(model.folder),
    }


def _tuned(store: Store, name: str) -> Model:
    """The tuned model of that resource name, numeric id or display name; InvalidArgument if there are several."""
    found = [m for m in store.models() if name in (m.name, m.name.rpartition("/")[2], m.display_name)]
    if not found:
        near = catalog.nearest(name, [m.display_name for m in store.models()])
        hint = f"did you mean {near!r}?" if near else "`tunesmith models list` shows them"
        raise NotFound(f"no tuned model is called {name!r}; {hint}", name=name, nearest=near)
    if len(found) > 1:
        ids = ", ".join(m.name.rpartition("/")[2] for m in found)
        raise InvalidArgument.of("MODEL", f"{len(found)} models are called {name!r}; give one of the ids {ids}")
    return found[0]


# --- answers ---------------------------------------------------------------------------------------------------


class Target(NamedTuple):
    """A model that is to answer: found, not loaded."""

    name: str
    base: catalog.BaseModel
    registered: Model | None
    """None: the base model itself is asked."""


def predict(
    session: Session,
    model: ModelArgument,
    prefix: Annotated[str, typer.Option("--prefix", metavar="TEXT", help="The prompt; - reads standard input.")],
    suffix: Annotated[
        str | None, typer.Option("--suffix", metavar="TEXT", help="Fill in between prefix and this text.")
    ] = None,
    temperature: TemperatureOption = 0.0,
    max_output_tokens: AnswerTokensOption = DEFAULT_ANSWER_TOKENS,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of the choice, above temperature 0.")] = 0,
) -> None:
    """Ask a model once and print its answer.

    The prompt is put into the same form as the examples that the model was tuned on.
    """
    if "-" == prefix == suffix:
        raise InvalidArgument.of("--suffix", "standard input can be read for one of --prefix and --suffix only")
    target = _target(session, model)
    if suffix is not None and target.base.fim is None:
        message = f"{target.base.name} was not made to fill in the middle; leave --suffix out or use another base model"
        raise FailedPrecondition(f"--suffix: {message}")
    if suffix is None:
        question = _talk(_default_context(target), [("user", _text_or_stdin(prefix))])
    else:
        question = _gap(_text_or_stdin(prefix), _text_or_stdin(suffix))
    generator = _loaded(session, target)
    [answer] = generator.answer([question], max_output_tokens=max_output_tokens, temperature=temperature, seed=seed)
    print_answer(session, target.name, answer)


def chat(
    session: Session,
    model: ModelArgument,
    context: Annotated[
        str | None, typer.Option("--context", metavar="TEXT", help="Given before the first message.")
    ] = None,
    temperature: TemperatureOption = 0.0,
    max_output_tokens: AnswerTokensOption = DEFAULT_ANSWER_TOKENS,
) -> None:
    """Talk with a model.

    One line is one message. /reset forgets what was said, /exit or the end of input leaves. With --json the
    messages are the document, printed at the end.
    """
    target = _target(session, model)
    context = _default_context(target) if context is None else context
    generator = _loaded(session, target)
    said: list[tuple[str, str]] = []
    for line in _messages():
        if line == "/reset":
            said.clear()
            continue
        said.append(("user", line))
        stream = generator.stream(_talk(context, said), max_output_tokens=max_output_tokens, temperature=temperature)
        said.append(("assistant", _print_stream(session, stream)))
    if session.json:
        session.emit({"model": target.name, "messages": [{"author": a, "content": text} for a, text in said]})


def _target(session: Session, name: str) -> Target:
    """The tuned model of that name, else the base model of that name."""
    settings = session.settings
    try:
        model = _tuned(session.store(), name)
    except NotFound as tuned_missing:
        try:
            base = catalog.find(name, settings.aliases, settings.base_models).base
        except NotFound as error:
            raise NotFound(f"{tuned_missing.message}, nor is a base model", name=name) from error
        return Target(base.name, base, None)
    return Target(model.name, catalog.find(model.base_model, settings.aliases, settings.base_models).base, model)


def _loaded(session: Session, target: Target) -> Generator:
    """The model, ready to answer; FailedPrecondition if its base is not the one that it was tuned on."""
    from tunesmith.engine.generate import Generator

    prepared = _prepared(session, target.base.name)
    if target.registered is None:
        return Generator.load(prepared, target.base)
    if target.registered.lineage["base"]["sha256"] != prepared.sha256:
        message = f"{prepared.folder} is not the base model that {target.name} was tuned on (its files have changed)"
        raise FailedPrecondition(f"{message}; restore it, or tune again")
    return Generator.load(prepared, target.base, _weights(target.registered.folder))


def _default_context(target: Target) -> str:
    """What stood before every example that had no context of its own when the model was tuned."""
    if target.registered is None:
        return ""
    spec = target.registered.folder / "spec.json"
    if not spec.is_file():  # it was not tuned here
        return ""
    context: str = read_json(spec)["spec"]["default_context"]
    return context


def _weights(folder: Path) -> Path:
    """The tuned part of a registered model: its adapter, or the whole model after full tuning."""
    return folder / "adapter" if (folder / "adapter").is_dir() else folder / "model"


def _gap(prefix: str, suffix: str) -> Conversation:
    from tunesmith.data.formats import Conversation, Fim

    return Conversation(line=1, kind="fim", context=None, messages=(), fim=Fim(prefix, suffix, ""))


def _talk(context: str, said: Sequence[tuple[str, str]]) -> Conversation:
    """What was said, in the form of the examples that a model was tuned on."""
    from tunesmith.data.formats import Conversation, Message

    messages = tuple(
        Message(author="user" if author == "user" else "assistant", content=text, trainable=False)
        for author, text in said
    )
    return Conversation(line=1, kind="chat", context=context or None, messages=messages, fim=None)


# --- this machine ----------------------------------------------------------------------------------------------


def work(
    session: Session,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Leave when nothing is left to do.")] = False,
    beside: Annotated[
        int,
        typer.Option(
            "--beside", metavar="PID", hidden=True, help="Leave when that process, which started this one, ends."
        ),
    ] = 0,
) -> None:
    """Run a worker: it does what waits in the store, job after job.

    Ctrl+C has the running task save a checkpoint; the next worker goes on from there. With --json the jobs that
    changed meanwhile are the document.
    """
    from tunesmith import foreground

    _log_to_stderr()
    store = session.store()
    before = {job.id: job.update_time for job in store.jobs()}
    foreground.serve(session.settings, until_idle=until_idle, beside=beside or None)
    if session.json:
        changed = [job for job in store.jobs() if job.update_time != before.get(job.id)]
        session.emit({"jobs": [_job_json(session, job) for job in changed]})


HostOption = Annotated[str, typer.Option("--host", metavar="HOST", help="Address; without keys a loopback one.")]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, metavar="PORT", help="0: any free one.")]


def serve(session: Session, host: HostOption = "127.0.0.1", port: PortOption = 8080) -> None:
    """Run the API. Jobs wait, and models do not answer, until a worker runs too: see `up`."""
    from tunesmith import up

    _log_to_stderr()
    up.run(session.settings, host, port, works=False)


def up(session: Session, host: HostOption = "127.0.0.1", port: PortOption = 8080) -> None:
    """Run the whole service: the API, and a worker beside it. Ctrl+C stops both; what ran goes on the next time."""
    from tunesmith import up as service

    _log_to_stderr()
    session.say(f"tunesmith {__version__}, home {session.settings.home}")
    service.run(session.settings, host, port, works=True)


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    for told_too_much in ("alembic", "httpx", "uvicorn"):
        logging.getLogger(told_too_much).setLevel(logging.WARNING)


# --- keys ------------------------------------------------------------------------------------------------------


def keys_create(
    session: Session,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Whose, or what for.")],
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help="viewer, tuner or admin.")] = "tuner",
    project: Annotated[str | None, typer.Option("--project", metavar="P", help="Only this one; else all.")] = None,
) -> None:
    """Make a key. Its secret is shown now and never again."""
    if role not in ("viewer", "tuner", "admin"):
        raise InvalidArgument.of("--role", f"must be viewer, tuner or admin, got {role!r}")
    made = session.store().create_key(name, project, role)  # type: ignore[arg-type]
    if session.json:
        session.emit({**_key_json(made.key), "secret": made.secret})
        return
    session.show(_pairs([("id", made.key.id), ("project", project or "all"), ("role", role), ("secret", made.secret)]))
    session.say("keep the secret now: it is stored as a hash and cannot be shown again")


def keys_list(session: Session) -> None:
    """The keys, without their secrets."""
    keys = session.store().keys()
    if session.json:
        session.emit({"keys": [_key_json(key) for key in keys]})
        return
    table = _table("id", "name", "project", "role", "created", "last use", "revoked")
    for key in keys:
        times = [_when(t) if t else "" for t in (key.create_time, key.last_use_time, key.revoke_time)]
        table.add_row(key.id, _text(key.name), key.project or "all", key.role, *times)
    session.show(table)


def keys_revoke(session: Session, key: Annotated[str, typer.Argument(metavar="ID", help="The key's id.")]) -> None:
    """End a key for good."""
    revoked = session.store().revoke_key(key)
    if session.json:
        session.emit(_key_json(revoked))
    else:
        print(f"revoked {revoked.id}")


def _key_json(key: Key) -> dict[str, Any]:
    times = {"created": key.create_time, "last_use": key.last_use_time, "revoked": key.revoke_time}
    said = {"id": key.id, "name": key.name, "project": key.project, "role": key.role}
    return said | {name: _when(t) if t else None for name, t in times.items()}


def doctor(session: Session) -> None:
    """Look at this machine: what it has, what works, what to do about what does not.

    Exit code 2 if nothing can be tuned here as it is.
    """
    from tunesmith.doctor import examine

    diagnosis = examine(session.settings)
    if session.json:
        session.emit(diagnosis.to_json())
    else:
        marks = {"ok": "[green]ok[/]", "warning": "[yellow]look[/]", "error": "[red]mend[/]"}
        table = _table("", "", "")
        for finding in diagnosis.findings:
            remedy = f"\n[bold]{finding.remedy}[/]" if finding.remedy else ""
            table.add_row(marks[finding.verdict], finding.what, f"{_escape(finding.message)}{remedy}")
        session.show(table)
    if not diagnosis.works:
        raise typer.Exit(FailedPrecondition.exit_code)


# --- all of them -----------------------------------------------------------------------------------------------

GROUPS: Mapping[str, tuple[str, Mapping[str, Command]]] = {
    "data": ("Look at a data set, or make one of a codebase.", {"check": data_check, "build": data_build}),
    "jobs": (
        "Jobs of this installation: tuning, batch predictions, and builds of data sets.",
        {"list": jobs_list, "show": jobs_show, "watch": jobs_watch, "cancel": jobs_cancel, "resume": jobs_resume},
    ),
    "keys": ("Keys of the service's users.", {"create": keys_create, "list": keys_list, "revoke": keys_revoke}),
    "models": (
        "Tuned models, and the base models that can be tuned.",
        {
            "list": models_list,
            "show": models_show,
            "delete": models_delete,
            "pull": models_pull,
            "export": models_export,
        },
    ),
}
ALONE: Mapping[str, Command] = {
    "predict": predict,
    "chat": chat,
    "up": up,
    "serve": serve,
    "work": work,
    "doctor": doctor,
}

if __name__ == "__main__":
    main()
