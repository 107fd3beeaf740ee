"""The commands that take --server: the same words and the same output, with a server in the place of this machine.

In: a session, a client, the arguments of the command of the same name in cli.py. Out: what printing.py makes of the
facts, which have the names that they have there; `folder` is null, since a server's folders are its own business.
Opens no store and loads no model.
"""

from __future__ import annotations

import dataclasses
import stat
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from tunesmith import catalog, resources, watch
from tunesmith.build_remotely import data_build
from tunesmith.client import DEFAULT_LOCATION, Client, WatchEvent, Wire, status_error
from tunesmith.errors import (
    Cancelled,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    TunesmithError,
    Violation,
    from_json,
)
from tunesmith.printing import (
    messages,
    print_answer,
    print_error,
    print_stream,
    show_job,
    show_jobs,
    show_model,
    show_models,
    show_state,
    text_or_stdin,
)

if TYPE_CHECKING:
    from tunesmith.cli import Session

KEY_VARIABLE = "TUNESMITH_API_KEY"
_TEMPLATES = "https://us-kfp.pkg.dev/ml-pipeline/large-language-model-pipelines"
# Fields of TuningSpec, and the parameters of a pipeline that they are.
_PARAMETERS: Mapping[str, str] = {
    "dataset": "dataset_uri",
    "base_model": "large_model_reference",
    "display_name": "model_display_name",
    "location": "location",
    "train_steps": "train_steps",
    "learning_rate_multiplier": "learning_rate_multiplier",
    "evaluation_data": "evaluation_data_uri",
    "evaluation_interval": "evaluation_interval",
    "early_stopping": "enable_early_stopping",
    "checkpoint_selection": "enable_checkpoint_selection",
    "default_context": "default_context",
    "accelerator_type": "accelerator_type",
    "max_context_length": "max_context_length",
}


class Target(NamedTuple):
    """A model that is to answer."""

    name: str
    kind: catalog.Kind
    address: str
    """The endpoint or publisher model that is asked."""


def connect(server: str, project: str | None, location: str | None, key: str) -> Client:
    """The client that a command works with; errors name its options."""
    options = {"server": "--server", "project": "--project", "api_key": f"--key-file or {KEY_VARIABLE}"}
    try:
        return Client(
            server, project=project or resources.LOCAL_PROJECT, location=location or DEFAULT_LOCATION, key=key.strip()
        )
    except InvalidArgument as error:
        named = [Violation(options.get(v.field, v.field), v.message) for v in error.violations]
        raise InvalidArgument.of_all(named) from error


def read_key(file: Path, say: Callable[[str], None]) -> str:
    """The key in a file; what others may read it is said."""
    try:
        key = file.expanduser().read_text("utf-8").strip()
        mode = file.expanduser().stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument.of("--key-file", f"{file} cannot be read ({type(error).__name__})") from error
    if not key:
        raise InvalidArgument.of("--key-file", f"{file} is empty; it must hold the key that `tunesmith keys` showed")
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        say(f"{file} can be read by other users of this machine; chmod 600 {file}")
    return key


# Jobs.


def jobs_list(session: Session, client: Client) -> None:
    """As cli.jobs_list."""
    show_jobs(session, [job_facts(job) for job in client.jobs()])


def jobs_show(session: Session, client: Client, job_id: str) -> None:
    """As cli.jobs_show; in the place of the report, the figures that the model's registration holds."""
    facts = job_facts(client.job(job_id))
    show_job(session, facts)
    if facts["model"] and not session.json:
        _show_figures(session, client, facts["model"])


def jobs_watch(session: Session, client: Client, job_id: str) -> None:
    """As cli.jobs_watch."""
    follow(session, client, job_id)
    show_state(session, job_facts(client.job(job_id)))


def jobs_cancel(session: Session, client: Client, job_id: str) -> None:
    """As cli.jobs_cancel."""
    client.cancel_job(job_id)
    show_state(session, job_facts(client.job(job_id)), says_why=False)


def job_facts(job: Wire) -> dict[str, Any]:
    """A job as the JSON documents of `tunesmith jobs` hold it."""
    name = resources.parse_job_name(job["name"])
    own = job.get("tunesmith", {})
    error = own.get("error") or (_error_of(job["error"]) if job.get("error") else None)
    return {
        "id": name.id,
        "kind": "tuning",
        "state": job["state"].removeprefix("PIPELINE_STATE_"),
        "display_name": job.get("displayName", ""),
        "project": name.project,
        "location": name.location,
        "base_model": own.get("baseModel", ""),
        "reference": own.get("reference", ""),
        "model": own.get("model"),
        "error": error,
        "create_time": _when(job.get("createTime")),
        "start_time": _when(job.get("startTime")),
        "end_time": _when(job.get("endTime")),
        "folder": None,
        "tasks": [{"error": None, **task} for task in own.get("tasks", [])],
    }


def follow(session: Session, client: Client, job_id: str) -> bool:
    """Shows a job until it rests; whether it was watched to its end. Ctrl+C stops the showing, not the job."""
    import sys

    with watch.display_on(sys.stderr) as display:
        try:
            for view in views(client.watch_job(job_id)):
                display.show(view)
        except KeyboardInterrupt:
            return False
    return True


def views(events: Iterator[WatchEvent]) -> Iterator[watch.View]:
    """What a watched job says, as views of it."""
    view: watch.View | None = None
    waiting: list[Wire] = []
    seen: set[int] = set()
    for event in events:
        if event.kind == "metrics" and "eval_total_loss" in event.data and event.data["step"] not in seen:
            # A resumed attempt may repeat an evaluation.
            seen.add(event.data["step"])
            waiting.append(event.data)
        elif event.kind == "progress" and event.data:
            view = watch.view_of(event.data["task"], event.data["attempt"], event.data)
        else:
            continue
        if view is not None:
            yield dataclasses.replace(view, evaluations=tuple(waiting))
            waiting = []


# Models.


def models_list(session: Session, client: Client, base: bool = False) -> None:
    """As cli.models_list, of tuned models."""
    if base:
        raise FailedPrecondition("--base: a server does not list its base models; run this on its machine")
    show_models(session, [model_facts(model) for model in client.models()])


def models_show(session: Session, client: Client, name: str) -> None:
    """As cli.models_show."""
    show_model(session, model_facts(tuned(client, name)))


def models_delete(session: Session, client: Client, name: str) -> None:
    """As cli.models_delete; refused while the model is deployed."""
    model = tuned(client, name)
    if "@" in name and name != model.get("displayName"):
        plain = name.partition("@")[0]
        raise InvalidArgument.of("MODEL", f"{name} is one version; give {plain} to delete the model with all of them")
    client.delete_model(model["name"])
    if session.json:
        session.emit({"deleted": model["name"]})
    else:
        session.show(f"deleted {model['name']}")


def model_facts(model: Wire) -> dict[str, Any]:
    """A model as the JSON documents of `tunesmith models` hold it."""
    own = model.get("tunesmith", {})
    return {
        "name": model["name"],
        "version_id": model.get("versionId"),
        "display_name": model.get("displayName", ""),
        "job": own.get("job"),
        "base_model": own.get("baseModel", ""),
        "labels": model.get("labels", {}),
        "metrics": own.get("metrics", {}),
        "lineage": own.get("lineage", {}),
        "create_time": _when(model.get("createTime")),
        "folder": None,
    }


def tuned(client: Client, name: str) -> Wire:
    """The tuned model of that resource name, numeric id or display name; InvalidArgument if there are several."""
    if name.startswith("projects/") or name.partition("@")[0].isdecimal():
        return client.model(name)
    models = list(client.models())
    found = [model for model in models if model.get("displayName") == name]
    if not found:
        near = catalog.nearest(name, [model.get("displayName", "") for model in models])
        hint = f"did you mean {near!r}?" if near else "`tunesmith models list` shows them"
        raise NotFound(f"no tuned model of {client.parent()} is called {name!r}; {hint}", name=name, nearest=near)
    if len(found) > 1:
        ids = ", ".join(model["name"].rpartition("/")[2] for model in found)
        raise InvalidArgument.of("MODEL", f"{len(found)} models are called {name!r}; give one of the ids {ids}")
    return found[0]


# Answers.


def predict(
    session: Session,
    client: Client,
    model: str,
    prefix: str,
    suffix: str | None,
    temperature: float,
    max_output_tokens: int,
    seed: int,
) -> None:
    """As cli.predict."""
    if "-" == prefix == suffix:
        raise InvalidArgument.of("--suffix", "standard input can be read for one of --prefix and --suffix only")
    target = _target(session, client, model)
    if suffix is not None and target.kind == "chat":
        raise FailedPrecondition(f"--suffix: {target.name} is a chat model; leave --suffix out")
    question = text_or_stdin(prefix)
    instance: Wire = {"prefix": question}
    if target.kind == "chat":
        instance = {"messages": [{"author": "user", "content": question}]}
    elif suffix is not None:
        instance["suffix"] = text_or_stdin(suffix)
    parameters = {"temperature": temperature, "maxOutputTokens": max_output_tokens, "seed": seed}
    (answer,) = client.predict(target.address, [instance], parameters)["predictions"]
    print_answer(session, target.name, _text_of(answer))


def chat(
    session: Session, client: Client, model: str, context: str | None, temperature: float, max_output_tokens: int
) -> None:
    """As cli.chat, with a chat model."""
    target = _target(session, client, model)
    if target.kind != "chat":
        raise FailedPrecondition(
            f"{target.name} is a code generation model, which a server asks one question at a time; use predict"
        )
    parameters = {"temperature": temperature, "maxDecodeSteps": max_output_tokens}
    said: list[tuple[str, str]] = []
    for line in messages():
        if line == "/reset":
            said.clear()
            continue
        said.append(("user", line))
        authors = [{"author": "user" if a == "user" else "bot", "content": text} for a, text in said]
        instance: Wire = {"messages": authors, **({"context": context} if context else {})}
        pieces = map(_text_of, client.stream(target.address, instance, parameters))
        said.append(("assistant", print_stream(session, pieces)))
    if session.json:
        session.emit({"model": target.name, "messages": [{"author": a, "content": text} for a, text in said]})


def _target(session: Session, client: Client, name: str) -> Target:
    """The tuned model of that name, else the base model of that name."""
    try:
        model = tuned(client, name)
    except NotFound as tuned_missing:
        try:
            published = client.publisher_model(name)
        except NotFound as error:
            raise NotFound(f"{tuned_missing.message}, nor is a base model", name=name) from error
        full = published["publisherModelTemplate"].rpartition("/")[2]
        return Target(full, _published_kind(full), client.publisher_target(full))
    deployed = model.get("deployedModels") or []
    if not deployed:
        session.say(f"{model['name']} is on no endpoint yet; putting it on a new one")
    endpoint = deployed[0]["endpoint"] if deployed else client.deploy_on_new_endpoint(model)
    return Target(model["name"], model.get("tunesmith", {}).get("kind", "generation"), endpoint)


def _published_kind(name: str) -> catalog.Kind:
    reference = catalog.REFERENCE_MODELS.get(name)
    return reference.kind if reference is not None else "generation"


def _text_of(prediction: Wire) -> str:
    first = prediction["candidates"][0] if "candidates" in prediction else prediction
    text: str = first["content"]
    return text


# Tuning.


def tune(session: Session, client: Client, dry_run: bool = False, **asked: Any) -> None:
    """As cli.tune: checks the data here, sends them, submits the job and watches it. Ctrl+C leaves it running."""
    if dry_run:
        raise FailedPrecondition("--dry-run: estimates are made for this machine; leave --server out")
    given = {name: value for name, value in asked.items() if value is not None and name != "project"}
    kind = _checked(session, given)
    given.setdefault("base_model", "codechat-bison@002" if kind == "chat" else "code-bison@002")
    given.setdefault("display_name", _default_name(given))
    for name in ("dataset", "evaluation_data"):
        if name in given:
            given[name] = _sent(client, str(given[name]))
    template = "tune-large-chat-model" if kind == "chat" else "tune-large-model"
    values = {"project": client.project} | {_PARAMETERS[name]: value for name, value in given.items()}
    body = {
        "displayName": given["display_name"],
        "runtimeConfig": {"gcsOutputDirectory": client.staging, "parameterValues": values},
        "templateUri": f"{_TEMPLATES}/{template}/v3.0.0",
    }
    job_id = resources.new_job_id_of(template)
    client.create_job(body, job_id=job_id)
    session.say(f"job {job_id} on {client.server}\n")
    if not follow(session, client, job_id):
        raise Cancelled(f"job {job_id} goes on; see tunesmith jobs watch {job_id} --server {client.server}", job=job_id)
    _finish(session, client, job_id)


def _checked(session: Session, given: Mapping[str, Any]) -> catalog.Kind:
    """What is tuned: as the base model says, else as the data do. InvalidArgument for wrong flags and wrong data."""
    from tunesmith import banner, flags
    from tunesmith.data.formats import read
    from tunesmith.spec import TuningSpec

    wrong = [name for name in given if name not in _PARAMETERS]
    if wrong:
        options = ", ".join("--" + name.replace("_", "-") for name in wrong)
        why = "no pipeline has a parameter for this; leave it out, or tune without --server"
        raise InvalidArgument.of(options, why)
    try:
        spec = TuningSpec.parse(dict(given))
    except InvalidArgument as error:
        raise flags.in_flags(error) from error
    reference = catalog.REFERENCE_MODELS.get(str(given.get("base_model", "")))
    kind: catalog.Kind = reference.kind if reference is not None else "generation"
    if "://" in spec.dataset:
        return kind
    session.say("checking the data")
    evaluation = spec.evaluation_data if spec.evaluation_data and "://" not in spec.evaluation_data else None
    report = banner.checked_data(spec.dataset, evaluation)
    for line in banner.warnings(report["findings"]):
        session.say(line)
    # Rows that fill in the middle may come first, beside either kind.
    if reference is None and any(row.kind == "chat" for row in read(Path(spec.dataset))):
        return "chat"
    return kind


def _default_name(given: Mapping[str, Any]) -> str:
    from tunesmith.spec import TuningSpec, default_name

    return default_name(TuningSpec.parse(dict(given)))


def _sent(client: Client, path: str) -> str:
    """Where the server finds the file; URIs as they are."""
    if "://" in path:
        return path
    file = Path(path).expanduser()
    return client.stage(file, f"{client.staging}/{resources.new_job_id_of('data')}/{file.name}")


def _finish(session: Session, client: Client, job_id: str) -> None:
    """Says how a job ended: with the model and its figures, or with the error and its exit code."""
    facts = job_facts(client.job(job_id))
    model = model_facts(client.model(facts["model"])) if facts["model"] else None
    metrics = model["metrics"] if model else {}
    outcome = {
        "job": job_id,
        "state": facts["state"],
        "model": facts["model"],
        "steps": metrics.get("steps"),
        "selected_step": metrics.get("selected_step"),
        "metrics": metrics.get("tuning", {}),
        "folder": None,
    }
    if facts["state"] == "SUCCEEDED":
        show_state(session, facts) if not session.json else session.emit(outcome)
        if not session.json:
            _show_figures(session, client, facts["model"])
        return
    error = _ending(facts)
    if session.json:
        session.emit({**outcome, "error": error.to_json()})
    print_error(error, json_output=False, debug=False)
    raise typer.Exit(error.exit_code)


def _ending(facts: Mapping[str, Any]) -> TunesmithError:
    if facts["state"] == "FAILED" and facts["error"]:
        return from_json(facts["error"])
    return Cancelled(f"job {facts['id']} is {facts['state']}")


def _show_figures(session: Session, client: Client, name: str) -> None:
    from tunesmith.printing import flat, pairs

    try:
        model = client.model(name)
    except NotFound:  # deleted since
        return
    session.show(pairs([("model", name), *flat(model.get("tunesmith", {}).get("metrics", {}))]))


# Values as local commands print them.


def _when(time: str | None) -> str | None:
    return None if time is None else datetime.fromisoformat(time).isoformat(timespec="seconds")


def _error_of(status: Wire) -> dict[str, Any]:
    return status_error(status).to_json()


COMMANDS: Mapping[str, Callable[..., None]] = {
    "tune": tune,
    "data_build": data_build,
    "jobs_list": jobs_list,
    "jobs_show": jobs_show,
    "jobs_watch": jobs_watch,
    "jobs_cancel": jobs_cancel,
    "models_list": models_list,
    "models_show": models_show,
    "models_delete": models_delete,
    "predict": predict,
    "chat": chat,
}
