"""Data files in buckets, looked at before a job is started: checked, and shown as a base model will see them.

The work is done in another process (inspector.py); what comes back is given on, spelt as the API spells it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import Field
from pydantic.alias_generators import to_camel

from tunesmith import storage
from tunesmith.api import buckets
from tunesmith.api.auth import Principal, Viewer
from tunesmith.api.inspector import Inspector
from tunesmith.api.wire import Whole, Wire, body_of, documented, page_of
from tunesmith.errors import InvalidArgument, TunesmithError, Violation

PARENT = "/v1/projects/{project}/locations/{location}/datasets"
MOST_ROWS = 20
_AS_THEY_ARE = ("keys", "authors", "codes")
"""Objects whose keys are the data's own, or codes."""

router = APIRouter(tags=["datasets"])


class CheckBody(Wire):
    """Which data are to be checked, and perhaps for which model."""

    dataset_uri: str
    evaluation_data_uri: str = ""
    base_model: str = ""
    """With it, tokens are counted, and rows that are too long for it are found."""
    max_context_length: str = ""
    default_context: str = ""


class PreviewBody(Wire):
    """Which rows are to be shown, as which model sees them."""

    dataset_uri: str
    base_model: str = "code-bison@002"
    max_context_length: str = ""
    default_context: str = ""
    offset: Annotated[Whole, Field(ge=0)] = 0
    """Rows that are left out, of those from `fromLine` on."""
    limit: Annotated[Whole, Field(ge=1, le=MOST_ROWS)] = 10
    from_line: Annotated[Whole, Field(ge=0)] = 0


@router.post(PARENT + ":check", openapi_extra=documented(CheckBody))
def check_dataset(
    request: Request,
    caller: Viewer,
    project: str,
    location: str,
    body: Annotated[CheckBody, Depends(body_of(CheckBody))],
) -> Response:
    """What is wrong or unwise in a data file, by line, with statistics; the same check that a job begins with."""
    named = {"datasetUri": body.dataset_uri}
    if body.evaluation_data_uri:
        named["evaluationDataUri"] = body.evaluation_data_uri
    uris = refuse_unreadable(request, caller, named)
    spec = _spec(body, body.evaluation_data_uri) if body.base_model else None
    inspector: Inspector = request.app.state.inspector
    found = asked(
        inspector, "check", uris, dataset=body.dataset_uri, evaluation_data=body.evaluation_data_uri, spec=spec
    )
    return page_of(report(found))


@router.post(PARENT + ":preview", openapi_extra=documented(PreviewBody))
def preview_dataset(
    request: Request,
    caller: Viewer,
    project: str,
    location: str,
    body: Annotated[PreviewBody, Depends(body_of(PreviewBody))],
) -> Response:
    """Rows of a data file as the base model will see them: its tokens, and which of them are learnt."""
    uris = refuse_unreadable(request, caller, {"datasetUri": body.dataset_uri})
    inspector: Inspector = request.app.state.inspector
    place = {"offset": body.offset, "limit": body.limit, "from_line": body.from_line}
    found = asked(inspector, "preview", uris, dataset=body.dataset_uri, spec=_spec(body, ""), **place)
    return page_of(spelt(found))


def refuse_unreadable(request: Request, caller: Principal, uris: Mapping[str, str]) -> list[str]:
    """The URIs; InvalidArgument for what is none, by field, PermissionDenied for a bucket that is closed to the caller.

    Of a bucket, the caller is told no more than of one by the storage routes.
    """
    wrong = []
    for field, uri in uris.items():
        try:
            storage.parse_uri(uri)
        except InvalidArgument as error:
            wrong.append(Violation(field, error.violations[0].message if error.violations else error.message))
    if wrong:
        raise InvalidArgument.of_all(wrong)
    buckets.refuse_closed(request.app.state.storage, caller, list(uris.values()))
    return list(uris.values())


def asked(inspector: Inspector, question: str, uris: list[str], **said: Any) -> dict[str, Any]:
    """The answer; an error says which data it is about."""
    try:
        return inspector.ask(question, **said)
    except TunesmithError as error:
        if isinstance(error, InvalidArgument) and error.violations:
            raise InvalidArgument.of_all([v._replace(field=to_camel(v.field)) for v in error.violations]) from error
        if any(uri in error.message for uri in uris) or error.message.startswith("base_model"):
            raise
        raise type(error)(f"{', '.join(uris)}: {error.message}") from error


def report(found: Mapping[str, Any]) -> dict[str, Any]:
    """What the check found; the evaluation's findings stand among the others, under `evaluation` only its figures."""
    said = {name: found[name] for name in ("valid", "examples", "format", "sha256", "findings")}
    said["statistics"] = spelt(found["statistics"])
    if "survey" in found:
        said["tokens"] = spelt(found["survey"])
    if "evaluation" in found:
        inner = found["evaluation"]
        said["evaluation"] = {name: inner[name] for name in ("valid", "examples", "format", "sha256")}
        said["evaluation"]["statistics"] = spelt(inner["statistics"])
    return said


def spelt(value: Any) -> Any:
    """The value with its names in camelCase; null is left out."""
    if isinstance(value, Mapping):
        return {
            to_camel(name): inner if name in _AS_THEY_ARE else spelt(inner)
            for name, inner in value.items()
            if inner is not None
        }
    return [spelt(inner) for inner in value] if isinstance(value, list) else value


def _spec(body: CheckBody | PreviewBody, evaluation: str) -> dict[str, Any]:
    """Fields of a TuningSpec; a folder is no model's name here: a client is not to ask for the server's files."""
    name = body.base_model
    if name.startswith(".") or ("/" in name and not name.startswith("hf:")):
        raise InvalidArgument.of("baseModel", f"must be a model's name, not a folder, got {name!r}")
    given = {
        "dataset": body.dataset_uri,
        "evaluation_data": evaluation,
        "base_model": name,
        "max_context_length": body.max_context_length,
        "default_context": body.default_context,
    }
    return {field: value for field, value in given.items() if value}
