"""What a client's BatchPredictionJob asks for, as a plan, and everything that is not offered refused by name.

In: a BatchPredictionJob as it came, the project and region of the URL, the store, the settings. Out: a plan, and what
of the body is only given back. All that is wrong is said at once, each field by its name in the body.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic import Field

from tunesmith import catalog, instances, resources, storage
from tunesmith.api import models, predictions
from tunesmith.api.wire import Wire
from tunesmith.batch import DEFAULT_ROWS, MAX_ROWS, BatchModel, BatchPlan
from tunesmith.errors import InvalidArgument, Violation
from tunesmith.questions import GenerateRequest
from tunesmith.settings import Settings
from tunesmith.store import Asked, Store

POOL = "GPU"
MAX_URIS = 1000
_STATE = "JOB_STATE_"
_PUBLISHED = re.compile(r"(?:projects/[^/]+/locations/[^/]+/)?publishers/google/models/([^/]+)")
_INPUT, OUTPUT = "inputConfig.gcsSource.uris", "outputConfig.gcsDestination.outputUriPrefix"
_LONGEST_NAME = "prediction.results-00000-of-00000"
"""Of an object in the job's folder (data/batch_output.py): that it has room is known before the hours of predicting."""
# Parts of a URI that stand for others (data/batch_input.py): an object's own name holds none of them.
_PATTERN = re.compile(r"[*?\[\]]")
_WIRE_NAMES = {
    "max_output_tokens": "maxOutputTokens",
    "top_p": "topP",
    "top_k": "topK",
    "stop": "stopSequences",
    "candidates": "candidateCount",
}


class GcsSource(Wire):
    """Objects that hold instances."""

    uris: list[str]


class Source(Wire):
    """What is asked."""

    gcs_source: GcsSource | None = None
    bigquery_source: Any = None
    vertex_multimodal_dataset_source: Any = None
    instances_format: str = ""


class GcsDestination(Wire):
    """Below what the job's own folder is made."""

    output_uri_prefix: str


class Destination(Wire):
    """Where the predictions go."""

    gcs_destination: GcsDestination | None = None
    bigquery_destination: Any = None
    vertex_multimodal_dataset_destination: Any = None
    predictions_format: str = ""


class Tuning(Wire):
    """manualBatchTuningParameters."""

    batch_size: Any = 0


class BatchPredictionJobBody(Wire):
    """A BatchPredictionJob as a client sends it. What only the server fills in is taken and not looked at."""

    display_name: str
    model: str = ""
    model_version_id: Any = None
    unmanaged_container_model: Any = None
    input_config: Source
    instance_config: dict[str, Any] | None = None
    model_parameters: Any = None
    output_config: Destination
    dedicated_resources: dict[str, Any] | None = None
    service_account: str = ""
    manual_batch_tuning_parameters: Tuning = Tuning()
    generate_explanation: bool = False
    explanation_spec: Any = None
    labels: dict[str, str] = Field(default_factory=dict)
    encryption_spec: dict[str, Any] | None = None
    model_monitoring_config: Any = None
    disable_container_logging: bool = False
    name: Any = None
    state: Any = None
    error: Any = None
    output_info: Any = None
    partial_failures: Any = None
    resources_consumed: Any = None
    completion_stats: Any = None
    create_time: Any = None
    start_time: Any = None
    end_time: Any = None
    update_time: Any = None
    model_monitoring_stats_anomalies: Any = None
    model_monitoring_status: Any = None


class _Asks(NamedTuple):
    """What answers a job's instances."""

    model: BatchModel | None
    base_model: str
    reference: str
    kind: catalog.Kind
    context: str
    display_name: str
    context_tokens: int


class BatchRequest(NamedTuple):
    """A BatchPredictionJob, understood."""

    plan: BatchPlan
    asked: Asked


def understand(
    body: BatchPredictionJobBody,
    raw: Mapping[str, Any],
    project: str,
    location: str,
    job_id: str,
    settings: Settings,
    store: Store,
) -> BatchRequest:
    """The plan of a BatchPredictionJob; NotFound if there is no such model, else all that is wrong with it.

    raw  the body as it came: its hash tells a repeated request from another one of the same id
    """
    wrong = [*wrong_words(body.display_name, body.labels, location), *_not_offered(body), *_wrong_places(body)]
    asks = _model(body, project, location, settings, store)
    drawing = _drawing(body, asks, wrong)
    rows = _rows(body, wrong)
    if not wrong:
        destination = _destination(body, asks.display_name, job_id)
        wrong += wrong_uri(OUTPUT, f"{destination}/{_LONGEST_NAME}")
    if wrong:
        raise InvalidArgument.of_all(wrong)
    assert body.input_config.gcs_source is not None
    plan = BatchPlan(
        base_model=asks.base_model,
        reference=asks.reference,
        model=asks.model,
        kind=asks.kind,
        context=asks.context,
        sources=tuple(body.input_config.gcs_source.uris),
        destination=destination,
        drawing=drawing,
        seed=secrets.randbits(63),
        rows=rows,
    )
    asked = Asked(
        location=location,
        display_name=body.display_name,
        request=_kept(body, asks),
        body_sha256=hashlib.sha256(json.dumps(raw, sort_keys=True).encode()).hexdigest(),
        units=catalog.POOLS[POOL].quota_multiple,
    )
    return BatchRequest(plan, asked)


def wrong_words(display_name: str, labels: Mapping[str, str], location: str) -> list[Violation]:
    """What is wrong with what a job of any kind is called, and with its region."""
    wrong = []
    if location not in catalog.REGIONS:
        near = catalog.nearest(location, catalog.REGIONS)
        hint = f"did you mean {near}? " if near else ""
        wrong.append(Violation("location", f"{location!r} is not a region; {hint}known: {', '.join(catalog.REGIONS)}"))
    if not 0 < len(display_name) <= models.MAX_NAME:
        wrong.append(Violation("displayName", f"must have 1 to {models.MAX_NAME} characters"))
    try:
        resources.check_labels(labels)
    except InvalidArgument as error:
        wrong += error.violations
    return wrong


def _not_offered(body: BatchPredictionJobBody) -> list[Violation]:
    """What would change the predictions, or where they go, and is not done here."""
    asked: dict[str, tuple[Any, str]] = {
        "inputConfig.bigquerySource": (body.input_config.bigquery_source, "give objects of a bucket as gcsSource"),
        "inputConfig.vertexMultimodalDatasetSource": (
            body.input_config.vertex_multimodal_dataset_source,
            "give objects of a bucket as gcsSource",
        ),
        "outputConfig.bigqueryDestination": (body.output_config.bigquery_destination, "give a gcsDestination"),
        "outputConfig.vertexMultimodalDatasetDestination": (
            body.output_config.vertex_multimodal_dataset_destination,
            "give a gcsDestination",
        ),
        "unmanagedContainerModel": (body.unmanaged_container_model, "name a model of the registry, or a publisher's"),
        "instanceConfig": (body.instance_config, "each line of the input is one instance, and all of it"),
        "generateExplanation": (body.generate_explanation, "leave it out"),
        "explanationSpec": (body.explanation_spec, "leave it out"),
        "modelMonitoringConfig": (body.model_monitoring_config, "leave it out"),
    }
    return [Violation(field, f"is not offered; {remedy}") for field, (value, remedy) in asked.items() if value]


def _wrong_places(body: BatchPredictionJobBody) -> list[Violation]:
    wrong = []
    for field, said in (
        ("inputConfig.instancesFormat", body.input_config.instances_format),
        ("outputConfig.predictionsFormat", body.output_config.predictions_format),
    ):
        if said != "jsonl":
            wrong.append(Violation(field, f"must be jsonl, got {said!r}"))
    uris = body.input_config.gcs_source.uris if body.input_config.gcs_source else []
    if not 0 < len(uris) <= MAX_URIS:
        wrong.append(Violation(_INPUT, f"must be 1 to {MAX_URIS:,} URIs, got {len(uris):,}"))
    for i, uri in enumerate(uris):
        wrong += wrong_uri(f"{_INPUT}[{i}]", uri)
        if uri in uris[:i]:
            wrong.append(Violation(f"{_INPUT}[{i}]", f"{uri!r} stands there twice; give it once"))
    return [*wrong, *wrong_prefix(body.output_config.gcs_destination, "the predictions go")]


def wrong_prefix(destination: GcsDestination | None, what: str) -> list[Violation]:
    """What is wrong with the place below which a job makes its folder. what: that goes there."""
    if destination is None:
        return [Violation("outputConfig.gcsDestination", f"is missing; say where {what}")]
    prefix = destination.output_uri_prefix
    wrong = wrong_uri(OUTPUT, f"{prefix.rstrip('/')}/x" if "://" in prefix else prefix)
    if _PATTERN.search(prefix):
        wrong.append(Violation(OUTPUT, f"must hold none of * ? [ ], got {prefix!r:.200}"))
    return wrong


def wrong_uri(field: str, uri: str) -> list[Violation]:
    """What is wrong with an object's URI."""
    try:
        storage.parse_uri(uri)
    except InvalidArgument as error:
        return [Violation(field, violation.message) for violation in error.violations]
    return []


def _model(body: BatchPredictionJobBody, project: str, location: str, settings: Settings, store: Store) -> _Asks:
    """The model that is named; NotFound if there is none: never the base model in its place."""
    published = _PUBLISHED.fullmatch(body.model)
    if published is not None:
        found = models.publisher_model(published[1], settings)
        kind: catalog.Kind = found.reference.kind if found.reference else "generation"
        base = found.base
        return _Asks(None, base.name, found.name, kind, "", found.name.partition("@")[0], base.context_tokens)
    try:
        name = resources.parse_model_name(body.model)
    except InvalidArgument as error:
        wanted = f"projects/{project}/locations/{location}/models/N, or publishers/google/models/code-bison@002"
        raise InvalidArgument.of("model", f"must be {wanted}, got {body.model!r:.200}") from error
    if (name.project, name.location) not in _own(project, location):
        raise InvalidArgument.of("model", f"must be of projects/{project}/locations/{location}, got {body.model!r}")
    version = body.model.partition("@")[2] or str(body.model_version_id or "")
    model = models.find(store, project, location, name.id + (f"@{version}" if version else ""))
    target = predictions.target_of(model)
    of_batch = BatchModel(
        name=f"{model.name}@{model.version_id}",
        place=f"{name.id}/{model.version_id}",
        full=target.server.weights is not None,
    )
    tokens = catalog.find(model.base_model, settings.aliases, settings.base_models).base.context_tokens
    return _Asks(of_batch, model.base_model, "", target.kind, target.context, model.display_name, tokens)


def _own(project: str, location: str) -> set[tuple[str, str]]:
    return {(project, location), (resources.project_number(project), location)}


def _drawing(body: BatchPredictionJobBody, asks: _Asks, wrong: list[Violation]) -> dict[str, Any]:
    """modelParameters in the words of a served model, each value within its bounds."""
    try:
        drawing = instances.sampling_of(body.model_parameters or {}, "modelParameters")
        GenerateRequest.parse({**drawing, "conversation": {}})
    except InvalidArgument as error:
        wrong += [Violation(_parameter(v.field), v.message) for v in error.violations]
        return {}
    if drawing.get("max_output_tokens", 1) > asks.context_tokens:
        text = f"at most the model's context of {asks.context_tokens:,}, got {drawing['max_output_tokens']:,}"
        wrong.append(Violation("modelParameters.maxOutputTokens", text))
    return drawing


def _parameter(field: str) -> str:
    head, dot, rest = field.partition(".")
    return field if head == "modelParameters" else f"modelParameters.{_WIRE_NAMES.get(head, head)}{dot}{rest}"


def _rows(body: BatchPredictionJobBody, wrong: list[Violation]) -> int:
    """How many answers are made at once: what the client calls a batch."""
    field = "manualBatchTuningParameters.batchSize"
    try:
        size = instances.whole(body.manual_batch_tuning_parameters.batch_size)
    except (ValueError, TypeError, OverflowError) as error:
        wrong.append(Violation(field, str(error)))
        return DEFAULT_ROWS
    if not 0 <= size <= MAX_ROWS:
        wrong.append(Violation(field, f"must be 1 to {MAX_ROWS}, or 0 for {DEFAULT_ROWS}, got {size}"))
        return DEFAULT_ROWS
    return size or DEFAULT_ROWS


def _destination(body: BatchPredictionJobBody, display_name: str, job_id: str) -> str:
    """The job's own folder: prediction-MODEL-TIME as Vertex calls it, and the id, since two may begin at one time."""
    assert body.output_config.gcs_destination is not None
    prefix = body.output_config.gcs_destination.output_uri_prefix.rstrip("/")
    name = re.sub(r"[^A-Za-z0-9._-]", "_", display_name)[:128]
    made = datetime.fromtimestamp(time.time(), UTC).strftime("%Y_%m_%dT%H_%M_%S")
    return f"{prefix}/prediction-{name}-{made}Z-{job_id}"


def _kept(body: BatchPredictionJobBody, asks: _Asks) -> dict[str, Any]:
    """What is only given back, and what lists look for."""
    names = {
        "model", "input_config", "output_config", "model_parameters", "dedicated_resources", "service_account",
        "manual_batch_tuning_parameters", "labels", "encryption_spec", "disable_container_logging",
    }  # fmt: skip
    kept = body.model_dump(by_alias=True, exclude_unset=True, include=names)
    if asks.model is not None:
        kept["model"], _, kept["modelVersionId"] = asks.model.name.partition("@")
    return {**kept, "modelDisplayName": asks.display_name}
