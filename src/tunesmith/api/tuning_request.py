"""What a client's PipelineJob asks for: its parameters (S37-S52) as a TuningSpec, and every trap refused by name.

In: a PipelineJob as it came, the project and region of the URL, the settings. Out: a plan, and what of the body is only
given back. All that is wrong is said at once, each field by its name in the body. Pure but for the look at which base
models this machine has.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import Field, field_validator

from tunesmith import catalog, resources
from tunesmith.api import templates
from tunesmith.api.templates import Template
from tunesmith.api.wire import Flag, Wire, enum_name
from tunesmith.errors import InvalidArgument, TunesmithError, Violation
from tunesmith.settings import Settings
from tunesmith.spec import TuningPlan, TuningSpec, resolve
from tunesmith.store import Asked

PARAMETERS = "runtimeConfig.parameterValues"

# Of the template's parameters, and the fields of TuningSpec that they are.
SPEC_FIELDS: Mapping[str, str] = {
    "dataset_uri": "dataset",
    "large_model_reference": "base_model",
    "model_display_name": "display_name",
    "train_steps": "train_steps",
    "learning_rate_multiplier": "learning_rate_multiplier",
    "accelerator_type": "accelerator_type",
    "max_context_length": "max_context_length",
    "default_context": "default_context",
    "evaluation_data_uri": "evaluation_data",
    "evaluation_interval": "evaluation_interval",
    "enable_early_stopping": "early_stopping",
    "enable_checkpoint_selection": "checkpoint_selection",
    "location": "location",
}
_FIELD_NAMES = {field: parameter for parameter, field in SPEC_FIELDS.items()}
_EVALUATION = ("evaluation_data_uri", "evaluation_interval", "enable_early_stopping", "enable_checkpoint_selection")

# Parameters with one value that is supported, and what to say of others.
_FIXED: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "dataset_name": (("",), "managed data sets are not offered; give the data as dataset_uri"),
    "evaluation_output_root_dir": (("",), "is not offered; evaluation results are with the job and its model"),
    "tpu_training_skip_cmek": ((False, "false", True, "true"), "must be true or false"),
}
_METHODS = ("tune_v2", "tune", "")
_BUCKET_URI = re.compile(r"(gs|s3)://[a-z0-9][-._a-z0-9]{1,220}[a-z0-9](/.*)?")
_KEY_NAME = re.compile(r"projects/[^/]+/locations/([^/]+)/keyRings/[^/]+/cryptoKeys/[^/]+")
CMEK_REGION = "us-central1"


class EncryptionSpec(Wire):
    """A customer's key."""

    kms_key_name: str = ""


class Runtime(Wire):
    """How a pipeline runs."""

    gcs_output_directory: str = ""
    parameter_values: dict[str, Any] | None = None
    parameters: dict[str, dict[str, Any]] | None = None
    """As parameterValues, in the older form."""
    failure_policy: str | None = None
    input_artifacts: dict[str, Any] | None = None
    default_runtime: dict[str, Any] | None = None

    @field_validator("failure_policy", mode="before")
    @classmethod
    def _policy(cls, value: Any) -> Any:
        names = ("UNSPECIFIED", "FAIL_SLOW", "FAIL_FAST")
        return (
            None if value is None else "PIPELINE_FAILURE_POLICY_" + enum_name(value, names, "PIPELINE_FAILURE_POLICY_")
        )


class PipelineJobBody(Wire):
    """A PipelineJob as a client sends it. What only a server fills in is taken and not looked at."""

    display_name: str | None = None
    pipeline_spec: dict[str, Any] | None = None
    runtime_config: Runtime = Runtime()
    template_uri: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    encryption_spec: EncryptionSpec | None = None
    service_account: str = ""
    network: str = ""
    reserved_ip_ranges: list[str] = Field(default_factory=list)
    psc_interface_config: dict[str, Any] | None = None
    preflight_validations: Flag = False
    original_pipeline_job_id: str | int | None = None
    name: str = ""
    create_time: Any = None
    start_time: Any = None
    end_time: Any = None
    update_time: Any = None
    state: Any = None
    job_detail: Any = None
    error: Any = None
    template_metadata: Any = None
    schedule_name: Any = None


class TuningRequest(NamedTuple):
    """A PipelineJob, understood."""

    plan: TuningPlan
    asked: Asked


def understand(
    body: PipelineJobBody, raw: Mapping[str, Any], project: str, location: str, settings: Settings
) -> TuningRequest:
    """The plan of a PipelineJob; InvalidArgument lists everything that is wrong with it.

    raw  the body as it came: its hash tells a repeated request from another one of the same id
    """
    wrong: list[Violation] = [*_region(location), *_labels(body.labels)]
    if body.display_name is not None and not 0 < len(body.display_name) <= 128:
        wrong.append(Violation("displayName", f"must have 1 to 128 characters, has {len(body.display_name)}"))
    template, unknown = _template(body)
    wrong += unknown
    given = {name: value for name, value in _parameters(body, wrong).items() if value is not None and value != ""}
    wrong += _unknown_parameters(given)
    key, refused = _encryption(body, given)
    wrong += refused + _addresses(body, given) + _identity(given, project)
    wrong += _tensorboard(given, project, location)
    if template is not None:
        wrong += _for_model(given, template, settings)
    wrong += _fixed(given)
    plan = None
    try:
        plan = _plan(given, project, location, settings)
    except InvalidArgument as error:
        wrong += [Violation(_parameter_of(v.field), v.message) for v in error.violations]
    except TunesmithError as error:
        wrong.append(Violation(f"{PARAMETERS}.large_model_reference", error.message.removeprefix("base_model: ")))
    if wrong or plan is None or template is None:
        raise InvalidArgument.of_all(_once(wrong))
    wrong = _cmek(key, location, plan)
    if wrong:
        raise InvalidArgument.of_all(wrong)
    return TuningRequest(plan, _asked(body, raw, template, given, location, plan.spec.accelerator_type))


def _asked(
    body: PipelineJobBody,
    raw: Mapping[str, Any],
    template: Template,
    given: Mapping[str, Any],
    location: str,
    accelerator: str,
) -> Asked:
    kept = body.model_dump(
        by_alias=True,
        exclude_none=True,
        include={
            "runtime_config", "template_uri", "labels", "encryption_spec", "service_account", "network",
            "reserved_ip_ranges",
        },
    )  # fmt: skip
    kept["pipelineName"] = template.name
    kept["templateVersion"] = template.version
    spec = body.pipeline_spec
    if spec is not None and spec != templates.spec_of(template):
        kept["pipelineSpec"] = spec
    return Asked(
        location=location,
        display_name=body.display_name or "",
        request=kept,
        body_sha256=_sha256(raw),
        units=catalog.POOLS[accelerator].quota_multiple,
        deploys=True,
        tensorboard=str(given.get("tensorboard_resource_id", "")).rpartition("/")[2],
    )


def _sha256(raw: Mapping[str, Any]) -> str:
    """Of the body; 2 and 2.0 are the same number."""
    return hashlib.sha256(json.dumps(_plain(raw), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


# The parts of a body.


def _region(location: str) -> list[Violation]:
    if location in catalog.REGIONS:
        return []
    near = catalog.nearest(location, catalog.REGIONS)
    hint = f"did you mean {near}? " if near else ""
    return [Violation("location", f"{location!r} is not a region; {hint}known: {', '.join(catalog.REGIONS)}")]


def _labels(labels: Mapping[str, str]) -> list[Violation]:
    try:
        resources.check_labels(labels)
    except InvalidArgument as error:
        return error.violations
    return []


def _template(body: PipelineJobBody) -> tuple[Template | None, list[Violation]]:
    """The template that a job is of: by its URI, else by the name of the pipeline that was sent along."""
    if body.template_uri:
        found = templates.find(body.template_uri)
        if found is not None:
            return found, []
        if "rlhf" in body.template_uri or "reinforcement" in body.template_uri:
            return None, [Violation("templateUri", "code models are tuned by supervised tuning only, not by RLHF")]
        known = [t.uri for t in templates.TEMPLATES]
        near = catalog.nearest(body.template_uri, known) or known[0]
        return None, [Violation("templateUri", f"{body.template_uri!r} is not offered; did you mean {near}?")]
    if body.pipeline_spec is None:
        return None, [Violation("templateUri", f"is missing; for code generation it is {templates.TEMPLATES[0].uri}")]
    info = body.pipeline_spec.get("pipelineInfo")
    name = info.get("name") if isinstance(info, Mapping) else None
    found = templates.of_pipeline(str(name))
    if found is None:
        known = [t.name for t in templates.TEMPLATES]
        return None, [
            Violation(
                "pipelineSpec.pipelineInfo.name", f"only tuning runs here ({known[0]}, {known[-1]}), got {name!r}"
            )
        ]
    return found, []


def _parameters(body: PipelineJobBody, wrong: list[Violation]) -> dict[str, Any]:
    """parameterValues, or what the older form says."""
    values = dict(body.runtime_config.parameter_values or {})
    for name, typed in (body.runtime_config.parameters or {}).items():
        found = [typed[k] for k in ("intValue", "doubleValue", "stringValue") if k in typed]
        if len(found) != 1:
            wrong.append(
                Violation(f"runtimeConfig.parameters.{name}", "must hold intValue, doubleValue or stringValue")
            )
        elif name in values:
            wrong.append(Violation(f"runtimeConfig.parameters.{name}", "is in parameterValues too; give it once"))
        else:
            values[name] = found[0]
    return values


def _unknown_parameters(given: Mapping[str, Any]) -> list[Violation]:
    wrong = []
    for name in given:
        if name not in templates.PARAMETERS:
            # T2: a colon within the quotes would switch evaluation off without a word.
            near = catalog.nearest(name, list(templates.PARAMETERS))
            hint = f"; did you mean {near}?" if near else f"; known: {', '.join(templates.PARAMETERS)}"
            wrong.append(Violation(f"{PARAMETERS}[{name}]", f"is not a parameter of the pipeline{hint}"))
    missing = [name for name in ("model_display_name", "dataset_uri") if name not in given]
    return wrong + [Violation(f"{PARAMETERS}.{name}", "is missing or empty; the job needs it") for name in missing]


def _encryption(body: PipelineJobBody, given: Mapping[str, Any]) -> tuple[str, list[Violation]]:
    """The customer's key, which two places may name (T11)."""
    one = str(given.get("encryption_spec_key_name", ""))
    other = body.encryption_spec.kms_key_name if body.encryption_spec else ""
    if one and other and one != other:
        text = f"{one!r} differs from encryptionSpec.kmsKeyName {other!r}; give the same key twice, or once"
        return "", [Violation(f"{PARAMETERS}.encryption_spec_key_name", text)]
    key = one or other
    if key and not _KEY_NAME.fullmatch(key):
        where = f"{PARAMETERS}.encryption_spec_key_name" if one else "encryptionSpec.kmsKeyName"
        wanted = "must be projects/P/locations/us-central1/keyRings/R/cryptoKeys/K"
        return "", [Violation(where, f"{wanted}, got {key!r}")]
    return key, []


def _cmek(key: str, location: str, plan: TuningPlan) -> list[Violation]:
    """S48, S49: a key serves in one region, and for GPU jobs only."""
    if not key:
        return []
    field, wrong = f"{PARAMETERS}.encryption_spec_key_name", []
    of_key = key.split("/")[3]
    if of_key != CMEK_REGION:
        near = catalog.nearest(of_key, catalog.REGIONS)
        hint = f" (did you mean {near}?)" if near == CMEK_REGION else ""
        wrong.append(Violation(field, f"the key is in {of_key}{hint}; keys serve in {CMEK_REGION} only"))
    if plan.spec.accelerator_type == "TPU":
        wrong.append(Violation(field, "TPU jobs take no customer's key; use accelerator_type GPU or leave the key out"))
    elif (location, plan.spec.location) != (CMEK_REGION, CMEK_REGION):
        wrong.append(Violation(field, f"with a key, the job's region and location must both be {CMEK_REGION}"))
    return wrong


def _addresses(body: PipelineJobBody, given: Mapping[str, Any]) -> list[Violation]:
    places = {
        f"{PARAMETERS}.dataset_uri": given.get("dataset_uri"),
        f"{PARAMETERS}.evaluation_data_uri": given.get("evaluation_data_uri"),
        "runtimeConfig.gcsOutputDirectory": body.runtime_config.gcs_output_directory or None,
    }
    return [
        Violation(field, f"must be gs://BUCKET/OBJECT, got {uri!r}")
        for field, uri in places.items()
        if uri is not None and not (isinstance(uri, str) and _BUCKET_URI.fullmatch(uri))
    ]


def _identity(given: Mapping[str, Any], project: str) -> list[Violation]:
    said = given.get("project")
    if said is None or str(said) in (project, resources.project_number(project)):
        return []
    return [Violation(f"{PARAMETERS}.project", f"{said!r} is not the project of the URL, {project!r}")]


def _tensorboard(given: Mapping[str, Any], project: str, location: str) -> list[Violation]:
    """S46: the tensorboard must be of the job's project and region. Whether there is one, the store says."""
    said = str(given.get("tensorboard_resource_id", ""))
    parents = [
        f"projects/{name}/locations/{location}/tensorboards/" for name in (project, resources.project_number(project))
    ]
    name = next((said.removeprefix(parent) for parent in parents if said.startswith(parent)), said)
    if not said or re.fullmatch("[0-9]{1,19}", name):
        return []
    text = f"must be an id, or {parents[0]}ID (same project and region as the job), got {said!r}"
    return [Violation(f"{PARAMETERS}.tensorboard_resource_id", text)]


def _for_model(given: Mapping[str, Any], template: Template, settings: Settings) -> list[Violation]:
    """What the reference model of the job does not take."""
    field = f"{PARAMETERS}.large_model_reference"
    name = str(given.get("large_model_reference", "text-bison@001"))
    if name.startswith((".", "/")) or ("/" in name and not name.startswith("hf:")):
        return [Violation(field, f"must be a model's name, not a folder, got {name!r}")]
    reference = catalog.REFERENCE_MODELS.get(name)
    kind = reference.kind if reference is not None else template.kind
    wrong = []
    if kind != template.kind:
        wrong.append(Violation(field, f"{name} is a {kind} model; {template.name} tunes {template.kind} models"))
    if kind == "chat" and not settings.chat_evaluation:
        text = f"{name} takes no evaluation data (TUNESMITH_CHAT_EVALUATION=true allows it on this server)"
        wrong += [Violation(f"{PARAMETERS}.{name}", text) for name in _EVALUATION if _asks(given, name)]
    return wrong


def _asks(given: Mapping[str, Any], name: str) -> bool:
    return name in given and given[name] not in ("default", "false", False)


def _fixed(given: Mapping[str, Any]) -> list[Violation]:
    wrong = [
        Violation(f"{PARAMETERS}.{name}", f"{text}, got {given[name]!r}")
        for name, (values, text) in _FIXED.items()
        if name in given and given[name] not in values
    ]
    method = given.get("tuning_method", "")
    if method not in _METHODS:
        text = f"code models are tuned by supervised tuning only, not by {method}; leave it out"
        wrong.append(Violation(f"{PARAMETERS}.tuning_method", text))
    return wrong


def _plan(given: Mapping[str, Any], project: str, location: str, settings: Settings) -> TuningPlan:
    fields = {SPEC_FIELDS[name]: value for name, value in given.items() if name in SPEC_FIELDS}
    fields.setdefault("location", location)
    fields.setdefault("base_model", "text-bison@001")
    fields.setdefault("dataset", "missing")  # reported already
    chosen = fields.get("checkpoint_selection")
    if isinstance(chosen, bool):
        fields["checkpoint_selection"] = "true" if chosen else "false"
    spec = TuningSpec.parse({**fields, "project": project})
    found = catalog.find(spec.base_model, settings.aliases, settings.base_models)
    rate = given.get("learning_rate", -1)
    if rate not in (-1, "-1"):
        spec = _with_rate(spec, rate, found.base)
    return resolve(spec, found)


def _with_rate(spec: TuningSpec, rate: Any, base: catalog.BaseModel) -> TuningSpec:
    """The older parameter learning_rate, which is absolute, as a multiple of the base model's rate."""
    if "learning_rate_multiplier" in spec.model_fields_set:
        raise InvalidArgument.of("learning_rate", "cannot be given beside learning_rate_multiplier; leave it out")
    try:
        multiplier = float(rate) / base.rate(spec.tuning_method, spec.train_steps)
    except (TypeError, ValueError) as error:
        raise InvalidArgument.of("learning_rate", f"must be a number, got {rate!r}") from error
    return TuningSpec.parse({**spec.model_dump(exclude_unset=True), "learning_rate_multiplier": multiplier})


def _parameter_of(field: str) -> str:
    return f"{PARAMETERS}.{_FIELD_NAMES.get(field, field)}"


def _once(wrong: Sequence[Violation]) -> list[Violation]:
    """The first thing said of each field."""
    found: dict[str, Violation] = {}
    for violation in wrong:
        found.setdefault(violation.field, violation)
    return list(found.values())
