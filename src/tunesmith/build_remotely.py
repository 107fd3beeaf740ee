"""`tunesmith data build REPO --server URL --output gs://BUCKET/FOLDER`: a server builds, this machine watches.

In: what was typed. Out: objects in a bucket, and the same figures as of a build here. A URL is fetched by the server;
a folder or an archive of this machine is sent into the project's staging bucket first, and said to be: of a folder the
files that a build here would read, packed.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import re
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tunesmith import resources
from tunesmith.build_command import kinds_of, progress_on, show
from tunesmith.client import Client, Wire, parse_object_uri, status_error
from tunesmith.errors import Cancelled, InvalidArgument

if TYPE_CHECKING:
    from tunesmith.cli import Session
    from tunesmith.data.codebase.options import Options
    from tunesmith.data.codebase.repository import Repository

_HERE_ONLY: Mapping[str, tuple[Any, str]] = {
    "ssh_key": (None, "a server has its own keys (TUNESMITH_GIT_SSH_KEY)"),
    "known_hosts": (None, "a server has its own host keys (TUNESMITH_GIT_KNOWN_HOSTS)"),
    "certificates": (None, "a server has its own certificates (TUNESMITH_GIT_CERTIFICATES)"),
    "network": ("private", "a server has its own list of hosts (TUNESMITH_GIT_HOSTS)"),
    "processes": (0, "a server takes one for each of its cores"),
    "cache": (True, "a server always keeps what it finds out"),
}
"""Options of a build here with their defaults, and why a server takes none."""
_NAME_CHARACTERS = 100


def data_build(session: Session, client: Client, repo: str, output: str, **given: Any) -> None:
    """As cli.data_build. Ctrl+C leaves the job running."""
    _refuse_options_of_here(given)
    options = _options(given)
    destination = output.rstrip("/")
    bucket = parse_object_uri(f"{destination}/x").bucket
    source = {"repository": _sent(session, client, repo, options), "revision": options.revision}
    if _is_url(repo):
        source["since"] = options.since
    else:
        del source["revision"]  # the files that were packed are already of it
    body = {
        "displayName": _shown_name(repo),
        "codebaseSource": {name: value for name, value in source.items() if value},
        "outputConfig": {"gcsDestination": {"outputUriPrefix": destination}},
        "options": _wire(client, options),
    }
    client.make_bucket(bucket)
    job = client.create_dataset_build(body, request_id=resources.new_job_id_of("dataset"))
    session.say(f"job {job['name']} on {client.server}")
    job = _followed(client, job["name"])
    if job["state"] != "JOB_STATE_SUCCEEDED":
        raise status_error(job["error"]) if "error" in job else Cancelled(f"job {job['name']} is {job['state']}")
    _finish(session, client, job)


def _refuse_options_of_here(given: dict[str, Any]) -> None:
    """Takes them out of what was given."""
    for name, (default, why) in _HERE_ONLY.items():
        if given.pop(name, default) != default:
            flag = "--no-cache" if name == "cache" else "--" + name.replace("_", "-")
            raise InvalidArgument.of(flag, f"{why}; leave it out, or build without --server")


def _options(given: Mapping[str, Any]) -> Options:
    """What was typed, checked before anything is sent."""
    from tunesmith.data.codebase.options import options_of

    names = {"limit": "rules", "split": "split_by", "max_rows": "most_rows", "suite": "suites"}
    chosen = {names.get(name, name): value for name, value in given.items() if value is not None}
    return options_of({**chosen, "kinds": kinds_of(given["kinds"])}, datetime.now(UTC))


def _wire(client: Client, options: Options) -> Wire:
    """Those that were chosen: the server has the same defaults."""
    from tunesmith.data.codebase.options import Options

    chosen = {}
    for field in dataclasses.fields(Options):
        value = getattr(options, field.name)
        if field.name not in ("revision", "since") and value != field.default:
            chosen[_camel(field.name)] = list(value) if isinstance(value, tuple) else value
    if options.rules:
        chosen["rules"] = options.rule_texts()
    if options.suites:
        chosen["suites"] = [_staged(client, suite) for suite in options.suites]
    return chosen


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


# What is sent.


def _is_url(repo: str) -> bool:
    from tunesmith.data.codebase.addresses import is_address

    return is_address(repo) and not Path(repo).exists()


def _sent(session: Session, client: Client, repo: str, options: Options) -> str:
    """Where the server finds the repository."""
    if _is_url(repo):
        return repo
    if options.since:
        raise InvalidArgument.of("--since", f"{repo} is sent without its history; give its URL, or leave it out")
    place = Path(repo)
    if place.is_file():
        uri = _staged(client, repo)
        session.say(f"sent {repo} to {uri}")
        return uri
    from tunesmith.data.codebase.source import open_repository

    with open_repository(place, options.revision) as repository, tempfile.NamedTemporaryFile() as file:
        name = _shown_name(repo) + _commit_of(repository)
        packed = _pack(repository, name, file)
        file.flush()
        uri = client.stage(Path(file.name), f"{client.staging}/{resources.new_job_id_of('code')}/{name}.tar.gz")
    session.say(
        f"packed {packed:,} files of {repo} and sent them to {uri}, where they stay until somebody deletes them"
    )
    return uri


def _pack(repository: Repository, top: str, file: IO[bytes]) -> int:
    """Writes what can be read of a repository as .tar.gz, all below one folder; how many files that is."""
    number = 0
    with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for entry in repository.entries():
            if not entry.reason:
                member = tarfile.TarInfo(f"{top}/{entry.path}")
                data = repository.read(entry)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
                number += 1
    return number


def _commit_of(repository: Repository) -> str:
    """`-` and the beginning of the commit's hash, of a git repository."""
    return f"-{revision[:12]}" if (revision := getattr(repository, "revision", "")) else ""


def _staged(client: Client, path: str) -> str:
    """Where the server finds a file; URIs as they are."""
    if "://" in path:
        return path
    file = Path(path).expanduser()
    if not file.is_file():
        raise InvalidArgument.of("--suite", f"{path}: no such file")
    return client.stage(file, f"{client.staging}/{resources.new_job_id_of('data')}/{file.name}")


def _shown_name(repo: str) -> str:
    """The repository's own name, with the characters that a job's folder may have."""
    from tunesmith.data.codebase.source import name_of

    return re.sub(r"[^A-Za-z0-9._-]", "_", name_of(repo).removesuffix(".git"))[:_NAME_CHARACTERS] or "codebase"


# What comes of it.


def _followed(client: Client, name: str) -> Wire:
    """Shows a job until it has ended; the job then."""
    job: Wire = {}
    with progress_on(sys.stderr) as tell:
        try:
            for job in client.watch_dataset_build(name):
                said = job.get("progress") or {"phase": "waiting"}
                tell(said["phase"], said.get("done", 0), said.get("total", 0))
        except KeyboardInterrupt as error:
            raise Cancelled(f"job {name} goes on; see {client.server}/v1/{name}", job=name) from error
    return job


def _finish(session: Session, client: Client, job: Wire) -> None:
    output = job["outputInfo"]
    manifest = json.loads(client.download(output["manifestUri"]))
    if session.json:
        session.emit({"folder": output["gcsOutputDirectory"], "job": job["name"], **manifest})
    else:
        show(session, output["gcsOutputDirectory"], manifest, client.server)
