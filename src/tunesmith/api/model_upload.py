"""models:upload: an adapter that was tuned elsewhere, from a folder of a bucket into the registry.

In: artifactUri, a folder as PEFT writes it; which base model it belongs to, by its own word or by the label by which
the SDK finds tuned models. Out: a version like a tuned one, with hashes, that can be deployed, asked and exported. It
is checked before it is registered (adapter_check.py), and no tensor is opened: what is copied is what was checked.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Request
from pydantic import Field

import tunesmith
from tunesmith import adapter_check, catalog, fingerprint, folder, resources
from tunesmith.adapter_check import BINDING, LAYOUT, MANIFEST, WEIGHTS
from tunesmith.api import buckets, models, operations
from tunesmith.api.auth import Tuner
from tunesmith.api.wire import Encryption, Wire, body_of, documented
from tunesmith.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound, Violation
from tunesmith.resources import BASE_MODEL_LABEL, ModelName
from tunesmith.settings import Settings
from tunesmith.storage import Storage, parse_uri
from tunesmith.store import Model, Store, Uploaded

MAX_FILES = 200
LEFT_S = 86_400.0
"""A copy that is so old is what a server left that was killed."""
_STAGING = ".upload-"
_MODEL_ID = re.compile(r"[1-9][0-9]{0,17}")
_FILES = (LAYOUT, WEIGHTS, BINDING, MANIFEST)

router = APIRouter(tags=["models"])


class Container(Wire):
    """A container to serve the model with. The Google SDK asks for one: it is given back, and never run."""

    image_uri: str
    predict_route: str = ""
    health_route: str = ""


class ModelBody(Wire):
    """A Model as a client uploads it. What only the server fills in is taken and not looked at."""

    display_name: str
    description: str = ""
    version_description: str = ""
    version_aliases: list[str] = Field(default_factory=list)
    labels: dict[str, str] = Field(default_factory=dict)
    artifact_uri: str
    container_spec: Container | None = None
    predict_schemata: Any = None
    explanation_spec: Any = None
    encryption_spec: Encryption | None = None
    base_model_source: Any = None
    metadata: Any = None
    metadata_schema_uri: str = ""
    name: Any = None
    version_id: Any = None
    create_time: Any = None
    update_time: Any = None
    etag: Any = None


class Upload(Wire):
    """The body of models:upload."""

    model: ModelBody
    parent_model: str = ""
    model_id: str = ""
    service_account: str = ""


class Belongs(NamedTuple):
    """Which base model an adapter is for."""

    base: catalog.BaseModel
    reference: catalog.ReferenceModel | None
    place: Path
    sha256: str


def upload_model(
    request: Request,
    caller: Tuner,
    project: str,
    location: str,
    body: Annotated[Upload, Depends(body_of(Upload))],
) -> dict[str, Any]:
    """Registers an adapter from a bucket: a new model, or a new version of `parentModel`."""
    settings: Settings = request.app.state.settings
    store: Store = request.app.state.store
    wrong = [*_wrong_words(body, location), *_not_offered(body.model)]
    if wrong:
        raise InvalidArgument.of_all(wrong)
    buckets.refuse_closed(request.app.state.storage, caller, [body.model.artifact_uri])
    parent = _parent(store, body.parent_model, project, location)
    name = ModelName(project, location, body.model_id or resources.new_id())
    with _staging(settings) as staging:
        uploaded = _receive(body.model, name, parent, settings, request.app.state.storage, staging)
        made = store.add_uploaded(uploaded, parent=parent.name if parent else "")
    response = operations.message("UploadModelResponse", model=made.name, modelVersionId=made.version_id)
    return operations.done(store, project, location, "UploadModelOperationMetadata", response)


for _version in ("/v1", "/v1beta1"):
    router.add_api_route(
        _version + models.PARENT.removeprefix("/v1") + ":upload",
        upload_model,
        methods=["POST"],
        operation_id=f"upload_model_{_version[1:]}",
        openapi_extra=documented(Upload),
    )


# The body.


def _wrong_words(body: Upload, location: str) -> list[Violation]:
    wrong = []
    model = body.model
    if location not in catalog.REGIONS:
        wrong.append(Violation("location", f"{location!r} is not a region; known: {', '.join(catalog.REGIONS)}"))
    if not 0 < len(model.display_name) <= models.MAX_NAME:
        wrong.append(Violation("model.displayName", f"must have 1 to {models.MAX_NAME} characters"))
    for field, text in (("description", model.description), ("versionDescription", model.version_description)):
        if len(text) > models.MAX_DESCRIPTION:
            wrong.append(
                Violation(f"model.{field}", f"has {len(text):,} characters; at most {models.MAX_DESCRIPTION:,}")
            )
    if body.model_id and body.parent_model:
        wrong.append(Violation("modelId", "cannot be given beside parentModel, which has an id"))
    if body.model_id and not _MODEL_ID.fullmatch(body.model_id):
        wrong.append(Violation("modelId", f"must be a number of 1 to 18 digits here, got {body.model_id!r:.80}"))
    try:
        resources.check_labels(model.labels)
        for alias in model.version_aliases:
            resources.check_alias(alias)
        parse_uri(f"{model.artifact_uri.rstrip('/')}/{LAYOUT}")
    except InvalidArgument as error:
        fields = {"uri": "artifactUri"}
        wrong += [Violation(f"model.{fields.get(v.field, v.field)}", v.message) for v in error.violations]
    return wrong


def _not_offered(model: ModelBody) -> list[Violation]:
    asked = {
        "predictSchemata": model.predict_schemata,
        "explanationSpec": model.explanation_spec,
        "metadata": model.metadata,
        "metadataSchemaUri": model.metadata_schema_uri,
        "baseModelSource": model.base_model_source,
    }
    remedy = f"leave it out; the base model is named by adapter_config.json, or by the label {BASE_MODEL_LABEL}"
    return [Violation(f"model.{field}", f"is not offered; {remedy}") for field, value in asked.items() if value]


def _parent(store: Store, parent: str, project: str, location: str) -> Model | None:
    """The model that gets a version; None for a new model."""
    if not parent:
        return None
    try:
        name = resources.parse_model_name(parent)
    except InvalidArgument as error:
        raise InvalidArgument.of("parentModel", error.violations[0].message) from error
    if (name.project, name.location) != (project, location):
        raise InvalidArgument.of("parentModel", f"must be of projects/{project}/locations/{location}, got {parent!r}")
    return models.find(store, project, location, name.id)


# The files.


@contextlib.contextmanager
def _staging(settings: Settings) -> Iterator[Path]:
    """A place beside the registry's folders, so that one rename brings it there; afterwards it is gone."""
    for left in settings.models.glob(f".*{_STAGING[1:]}*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > LEFT_S:
                shutil.rmtree(left, ignore_errors=True)
    place = settings.models / f"{_STAGING}{secrets.token_hex(8)}"
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _receive(
    model: ModelBody, name: ModelName, parent: Model | None, settings: Settings, storage: Storage, staging: Path
) -> Uploaded:
    """Fills `staging` with a version's folder, complete and checked; what the registry's row says of it."""
    objects, left_out = _listed(model.artifact_uri, storage)
    with folder.sealed(staging) as unfinished:
        with folder.sealed(unfinished / "adapter") as adapter:
            given = _fetched(objects, storage, adapter, unfinished / "fetched")
            layout = adapter_check.read_layout((adapter / LAYOUT).read_bytes())
            label = {**(parent.labels if parent else {}), **model.labels}.get(BASE_MODEL_LABEL, "")
            belongs = _belongs(label, layout.base, settings)
            if parent is not None and parent.base_model != belongs.base.name:
                text = f"is tuned on {parent.base_model}, the adapter on {belongs.base.name}; make a model of its own"
                raise InvalidArgument.of("parentModel", text)
            _refuse_other_hashes(given, adapter, belongs)
            adapter_check.check_weights(adapter / WEIGHTS, layout, belongs.place)
            # What was checked, and not another reading of the same bytes.
            folder.write_json(adapter / LAYOUT, layout.fields)
            folder.write_json(adapter / BINDING, {"name": belongs.base.name, "sha256": belongs.sha256})
        lineage = {
            "model": parent.name if parent else str(name),
            **_lineage(model, belongs, adapter=unfinished / "adapter"),
        }
        lineage["source"]["left_out"] = left_out
        lineage["tuning"] = {"method": "lora", "rank": layout.rank}
        folder.write_json(unfinished / "lineage.json", lineage)
        folder.write_text(unfinished / "README.md", _card(model, belongs, lineage))
    reference = belongs.reference.name if belongs.reference else ""
    label = resources.base_model_label(belongs.base.name, reference)
    return Uploaded(
        name=name,
        display_name=model.display_name,
        description=model.description,
        labels={BASE_MODEL_LABEL: label, **model.labels},
        aliases=model.version_aliases,
        base_model=belongs.base.name,
        lineage=lineage,
        staging=staging,
    )


def _listed(artifact_uri: str, storage: Storage) -> tuple[dict[str, str], list[str]]:
    """The URIs of an adapter's files by name, and the names of what else lies there."""
    uri = parse_uri(f"{artifact_uri.rstrip('/')}/{LAYOUT}")
    prefix = uri.key.removesuffix(LAYOUT)
    page = storage.list_objects(f"{uri.scheme}://{uri.bucket}", prefix, page_size=MAX_FILES + 1)
    if len(page.items) > MAX_FILES:
        raise InvalidArgument.of("model.artifactUri", f"holds more than {MAX_FILES} files; give the adapter's folder")
    if not page.items:
        raise NotFound(f"model.artifactUri: there is nothing in {artifact_uri}", uri=artifact_uri)
    sizes = {item.name.removeprefix(prefix): item.size for item in page.items}
    left_out = adapter_check.check_files(sizes)
    return {name: f"{uri.scheme}://{uri.bucket}/{prefix}{name}" for name in _FILES if name in sizes}, left_out


def _fetched(objects: Mapping[str, str], storage: Storage, adapter: Path, aside: Path) -> dict[str, Any]:
    """Copies layout and weights into the adapter's folder; what Tunesmith's own files beside them say."""
    given: dict[str, Any] = {}
    for name, uri in objects.items():
        if name in (LAYOUT, WEIGHTS):
            storage.fetch(uri, adapter)
            continue
        try:
            said = folder.read_json(storage.fetch(uri, aside))
        except DataLoss as error:
            raise InvalidArgument.of(name, "is not JSON; copy it again, or leave it out") from error
        if not isinstance(said, dict):
            raise InvalidArgument.of(name, "must be a JSON object; copy it again, or leave it out")
        given[name] = said
    shutil.rmtree(aside, ignore_errors=True)
    adapter_check.check_files({path.name: path.stat().st_size for path in adapter.iterdir()})
    return given


def _refuse_other_hashes(given: Mapping[str, Any], adapter: Path, belongs: Belongs) -> None:
    """The hashes that came with the files, if some did, must be those of the files and of the base here."""
    wanted = given.get(BINDING, {}).get("sha256", belongs.sha256)
    if wanted != belongs.sha256:
        text = f"says that the base model has hash {wanted!s:.12}; {belongs.base.name} here has {belongs.sha256[:12]}"
        raise InvalidArgument.of(BINDING, text)
    listed = given.get(MANIFEST, {}).get("files", {})
    for name in (LAYOUT, WEIGHTS):
        said = listed.get(name) if isinstance(listed, dict) else None
        if isinstance(said, dict) and said.get("sha256") != folder.file_sha256(adapter / name):
            raise InvalidArgument.of(name, f"is not the file that {MANIFEST} tells of; copy the folder again")


# The base model.


def _belongs(label: str, named: str, settings: Settings) -> Belongs:
    """The base model by label and by the adapter's own word; InvalidArgument unless those that are known agree."""
    by_label, by_name = _of_label(label, settings), _of_name(named, settings)
    if label and by_label is None:
        raise InvalidArgument.of(f"model.labels.{BASE_MODEL_LABEL}", f"{label!r} is no base model; {_known()}")
    if by_label and by_name and by_label.base.name != by_name.base.name:
        text = f"{LAYOUT} names {named!r}, the label {label!r} means {by_label.base.name}: give the one that is right"
        raise InvalidArgument.of(f"model.labels.{BASE_MODEL_LABEL}", text)
    found = by_label or by_name
    if found is None:
        text = f"{named!r:.200} is no base model here; {_known()}, or set the label {BASE_MODEL_LABEL}"
        raise InvalidArgument.of(f"{LAYOUT}: base_model_name_or_path", text)
    place = fingerprint.place_of(found.base, settings.base_models)
    if not place.is_dir():
        raise FailedPrecondition(
            f"the base model {found.base.name} is not on this machine; `tunesmith models pull {found.base.name}` "
            "fetches it, then upload again"
        )
    return Belongs(found.base, found.reference, place, fingerprint.folder_sha256(place, settings.base_models))


def _of_label(label: str, settings: Settings) -> catalog.Found | None:
    stem, _, version = label.rpartition("-")
    if (reference := f"{stem}@{version}") in catalog.REFERENCE_MODELS:
        return catalog.find(reference, settings.aliases, settings.base_models)
    names = [*catalog.BASE_MODELS, *settings.aliases.values()]
    same = [name for name in names if label and resources.base_model_label(name, "") == label]
    return catalog.find(same[0], settings.aliases, settings.base_models) if same else None


def _of_name(named: str, settings: Settings) -> catalog.Found | None:
    """A catalog name, a hub's name of a known or pulled model, or what an alias of this installation stands for."""
    for base in catalog.BASE_MODELS.values():
        if named == base.name or f"hf:{named}" in base.sources:
            return catalog.Found(base, None)
    pulled = f"hf:{named}"
    if named in settings.aliases.values():
        return catalog.find(named, settings.aliases, settings.base_models)
    if named and (settings.base_models / catalog.folder_name(pulled)).is_dir():
        return catalog.find(pulled, settings.aliases, settings.base_models)
    return None


def _known() -> str:
    return "`tunesmith models list --base` shows those there are"


# What is kept.


def _lineage(model: ModelBody, belongs: Belongs, adapter: Path) -> dict[str, Any]:
    """Where the version comes from, in the form in which that of a tuned one is kept."""
    files = folder.read_json(adapter / MANIFEST)["files"]
    reference = belongs.reference
    base = {"name": belongs.base.name, "sha256": belongs.sha256, "reference": reference.name if reference else ""}
    kept = {name: getattr(model, name) for name in ("container_spec", "encryption_spec")}
    given = {name: said and said.model_dump(by_alias=True, exclude_unset=True) for name, said in kept.items()}
    return {
        "source": {"artifact_uri": model.artifact_uri, **given, "files": files},
        "base": base | {"licence": belongs.base.licence},
        "data": {"kind": reference.kind if reference else "generation"},
        "version_description": model.version_description,
        "code_version": tunesmith.__version__,
        "times": {"registered": resources.rfc3339(time.time())},
    }


def _card(model: ModelBody, belongs: Belongs, lineage: Mapping[str, Any]) -> str:
    rank = lineage["tuning"]["rank"]
    return (
        f"# {model.display_name}\n\nA LoRA adapter of rank {rank} for {belongs.base.name}, uploaded from "
        f"{model.artifact_uri}. It was not tuned here, and nothing about it was measured.\n\n"
        f"Base model: hash {belongs.sha256}, licence {belongs.base.licence}. Everything else: `lineage.json`.\n"
    )
