"""What a client's DatasetBuildJob asks for, as a plan; everything that is wrong with it is said at once.

In: a DatasetBuildJob as it came, the region of the URL, the settings. Out: a plan with every option filled, and what of
the body is only given back. The fields of `options`, their defaults and what is refused of them are those of
data/codebase/options.py; a repository is looked at here as far as that asks nobody.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple, cast

from pydantic import BeforeValidator, Field, WithJsonSchema, create_model

from tunesmith.api.batch_request import OUTPUT, GcsDestination, wrong_prefix, wrong_uri, wrong_words
from tunesmith.api.wire import Wire
from tunesmith.data.codebase.client_source import Reach, check_source, is_in_bucket
from tunesmith.data.codebase.options import KINDS, LEAST, SPLITS, Options, options_of
from tunesmith.data.codebase.service_words import in_service_words
from tunesmith.dataset import DatasetPlan
from tunesmith.errors import InvalidArgument, PermissionDenied, TunesmithError, Violation
from tunesmith.instances import WHOLE, whole
from tunesmith.settings import Settings
from tunesmith.store import Asked

MAX_TEXTS = 1000
"""Of a list of globs, rules or suites."""
MAX_CHARACTERS = 1000
"""Of one of them, and of any other text of a source."""
_LONGEST_NAME = "evaluation-chat.jsonl"
"""Of an object in the job's folder."""
_OF_SOURCE = ("revision", "since")
"""Options that stand beside the repository."""

Text = Annotated[str, Field(max_length=MAX_CHARACTERS)]
Texts = Annotated[list[Text], Field(max_length=MAX_TEXTS)]


def _kind_of(name: str) -> Any:
    """What an option's field of a body holds."""
    if name in LEAST:
        schema: dict[str, Any] = {
            "anyOf": [{"type": "integer", "minimum": LEAST[name]}, {"type": "string", "pattern": f"^{WHOLE}$"}]
        }
        return Annotated[int, BeforeValidator(whole), WithJsonSchema(schema)]
    if name == "split_by":
        return Annotated[Text, WithJsonSchema({"type": "string", "enum": list(SPLITS)})]
    if name == "kinds":
        schema = {"type": "array", "items": {"type": "string", "enum": list(KINDS)}, "minItems": 1}
        return Annotated[Texts, WithJsonSchema(schema)]
    return Texts if isinstance(getattr(Options(), name), tuple) else Text


def _fields() -> dict[str, Any]:
    """Of a body's `options`: kind and default of each."""
    found = {}
    for field in dataclasses.fields(Options):
        if field.name not in _OF_SOURCE:
            kind, default = _kind_of(field.name), field.default
            default = list(default) if isinstance(default, tuple) else default
            found[field.name] = (kind if default is not None else kind | None, default)
    return found


OptionsBody = create_model("OptionsBody", __base__=Wire, __doc__="How a data set is built.", **_fields())


class CodebaseSource(Wire):
    """Where the code is."""

    repository: Text
    revision: Text = ""
    since: Text = ""


class Output(Wire):
    """Below what the job's own folder is made."""

    gcs_destination: GcsDestination | None = None


class DatasetBuildJobBody(Wire):
    """A DatasetBuildJob as a client sends it. What only the server fills in is taken and not looked at."""

    display_name: str
    labels: dict[str, str] = Field(default_factory=dict)
    codebase_source: CodebaseSource
    output_config: Output
    options: OptionsBody = Field(default_factory=OptionsBody)  # type: ignore[valid-type]
    name: Any = None
    state: Any = None
    error: Any = None
    progress: Any = None
    output_info: Any = None
    statistics: Any = None
    create_time: Any = None
    start_time: Any = None
    end_time: Any = None
    update_time: Any = None


class DatasetRequest(NamedTuple):
    """A DatasetBuildJob, understood."""

    plan: DatasetPlan
    asked: Asked
    reads: tuple[str, ...]
    """URIs in buckets that its caller must be allowed to read."""


def understand(
    body: DatasetBuildJobBody, raw: Mapping[str, Any], location: str, job_id: str, settings: Settings
) -> DatasetRequest:
    """The plan of a DatasetBuildJob; InvalidArgument lists all that is wrong with it.

    raw  the body as it came: its hash tells a repeated request from another one of the same id
    """
    source = body.codebase_source
    given = cast(Wire, body.options).model_dump() | {name: getattr(source, name) for name in _OF_SOURCE}
    wrong = wrong_words(body.display_name, body.labels, location)
    wrong += wrong_prefix(body.output_config.gcs_destination, "the data set goes")
    wrong += _wrong(
        "codebaseSource.repository",
        lambda: check_source(source.repository, source.revision, source.since, reach_of(settings)),
    )
    for number, uri in enumerate(given["suites"]):
        wrong += wrong_uri(f"options.suites[{number}]", uri)
    wrong += _wrong("options", lambda: options_of(given, datetime.now(UTC)))
    destination = _destination(body, job_id)
    if not wrong:
        wrong += wrong_uri(OUTPUT, f"{destination}/{_LONGEST_NAME}")
    if wrong:
        raise InvalidArgument.of_all(_one_a_field(wrong))
    asked = Asked(
        location=location,
        display_name=body.display_name,
        request=_kept(body),
        body_sha256=hashlib.sha256(json.dumps(raw, sort_keys=True).encode()).hexdigest(),
    )
    places = [source.repository] if is_in_bucket(source.repository) else []
    plan = DatasetPlan(repository=source.repository, destination=destination, options=given)
    return DatasetRequest(plan, asked, (*places, *given["suites"]))


def reach_of(settings: Settings) -> Reach:
    """How far this installation lets clients reach."""
    return Reach(
        frozenset(settings.git_hosts), settings.git_ssh_key, settings.git_known_hosts, settings.git_certificates
    )


def _one_a_field(wrong: Sequence[Violation]) -> list[Violation]:
    said: dict[str, dict[str, None]] = {}
    for field, message in wrong:
        said.setdefault(field, {})[message] = None
    return [Violation(field, "; ".join(messages)) for field, messages in said.items()]


def _wrong(field: str, check: Callable[[], object]) -> list[Violation]:
    """What a check refuses, in the words of the service."""
    try:
        check()
    except (InvalidArgument, PermissionDenied) as error:
        said: TunesmithError = in_service_words(error)
        violations = said.violations if isinstance(said, InvalidArgument) else []
        # URIs, which name no field.
        return [Violation(field if v.field == "uri" else v.field, v.message) for v in violations] or [
            Violation(field, said.message)
        ]
    return []


def _destination(body: DatasetBuildJobBody, job_id: str) -> str:
    """The job's own folder: its name for people to know it by, and its id."""
    if body.output_config.gcs_destination is None:
        return ""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", body.display_name)[:128].lstrip(".")
    return f"{body.output_config.gcs_destination.output_uri_prefix.rstrip('/')}/{name or 'dataset'}-{job_id}"


def _kept(body: DatasetBuildJobBody) -> dict[str, Any]:
    """What is only given back, and what lists look for."""
    return body.model_dump(by_alias=True, exclude_unset=True, include={"codebase_source", "output_config", "labels"})
