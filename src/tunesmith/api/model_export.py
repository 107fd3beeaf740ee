"""models:export and models:card: a version's weights out of the registry into a bucket, and its card to read.

In: a version of the registry. Out: a folder of its own below the prefix that is asked for, with the files as they are
registered, after their hashes were checked; its manifest comes last, so a folder with one is whole. No tensor is
opened: an adapter folded into its base is made by `tunesmith models export`, on the server's machine.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from tunesmith import folder
from tunesmith.api import buckets, models, operations
from tunesmith.api.auth import Tuner, Viewer
from tunesmith.api.batch_request import GcsDestination, wrong_uri
from tunesmith.api.wire import Wire, body_of, documented
from tunesmith.errors import Aborted, InvalidArgument, NotFound, TunesmithError, Violation
from tunesmith.storage import CHUNK_BYTES, Storage
from tunesmith.store import Model, Store

CARD = "README.md"
_PREFIX = "outputConfig.artifactDestination.outputUriPrefix"
_FOLDERS = {models.PEFT: "adapter", models.SAFETENSORS: "model"}
"""Where in a version's folder the files of a format lie."""
_ROOM = "x" * 64
"""As long as any file's name: whether an object's name has room for it is seen before anything is written."""

router = APIRouter(tags=["models"])


class ExportTarget(Wire):
    """In which format, and where to."""

    export_format_id: str = ""
    artifact_destination: GcsDestination | None = None
    image_destination: Any = None


class Export(Wire):
    """The body of models:export."""

    output_config: ExportTarget


def export_model(
    request: Request,
    caller: Tuner,
    project: str,
    location: str,
    model: str,
    body: Annotated[Export, Depends(body_of(Export))],
) -> dict[str, Any]:
    """Writes a version's files, as they are registered, into a new folder of a bucket."""
    store: Store = request.app.state.store
    storage: Storage = request.app.state.storage
    found = models.find(store, project, location, model)
    prefix = _checked(body.output_config, found)
    buckets.refuse_closed(storage, caller, [prefix], writes=True)
    target = f"{prefix}/{_folder_name(found)}"
    _copy(found, target, storage)
    return operations.done(
        store,
        project,
        location,
        "ExportModelOperationMetadata",
        operations.message("ExportModelResponse"),
        outputInfo={"artifactOutputUri": target},
    )


for _version in ("/v1", "/v1beta1"):
    router.add_api_route(
        _version + models.PARENT.removeprefix("/v1") + "/{model}:export",
        export_model,
        methods=["POST"],
        operation_id=f"export_model_{_version[1:]}",
        openapi_extra=documented(Export),
    )


@router.get(models.PARENT + "/{model}:card")
def get_model_card(request: Request, caller: Viewer, project: str, location: str, model: str) -> dict[str, Any]:
    """The card of a version: what it is, what it was made of, how it measured, as Markdown."""
    found = models.find(request.app.state.store, project, location, model)
    try:
        markdown = (found.folder / CARD).read_text("utf-8")
    except FileNotFoundError as error:
        raise NotFound(f"{found.name}@{found.version_id} has no card in the registry", name=found.name) from error
    return {"model": found.name, "versionId": found.version_id, "markdown": markdown}


def _checked(asked: ExportTarget, model: Model) -> str:
    """The prefix, without a slash at its end; InvalidArgument for what cannot be exported, or not to there."""
    has = models.export_format(model)
    wrong = []
    if asked.export_format_id not in ("", has):
        text = (
            f"{asked.export_format_id!r:.80} is not offered, this model has {has!r}; `tunesmith models export`, on the "
            "server's machine, makes a merged one"
        )
        wrong.append(Violation("outputConfig.exportFormatId", text))
    if asked.image_destination:
        text = "is not offered: no container is made; leave it out"
        wrong.append(Violation("outputConfig.imageDestination", text))
    if asked.artifact_destination is None:
        wrong.append(Violation("outputConfig.artifactDestination", "is missing; say where the files go"))
        raise InvalidArgument.of_all(wrong)
    prefix = asked.artifact_destination.output_uri_prefix
    whole = f"{prefix.rstrip('/')}/{_folder_name(model)}/{_ROOM}" if "://" in prefix else prefix
    wrong += wrong_uri(_PREFIX, whole)
    if wrong:
        raise InvalidArgument.of_all(wrong)
    return prefix.rstrip("/")


def _folder_name(model: Model) -> str:
    """model-export-NAME-TIME as Vertex calls it, with the id and the version, since two models may have one name."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", model.display_name)[:64]
    made = datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H-%M-%S-%f")
    return f"model-export-{name}-{model.name.rpartition('/')[2]}-{model.version_id}-{made}Z"


def _copy(model: Model, target: str, storage: Storage) -> None:
    """All files of the version below `target`, or none: what was written before a failure is taken away again."""
    source = model.folder / _FOLDERS[models.export_format(model)]
    written: list[str] = []
    whole = False
    try:
        sources = {name: source / name for name in sorted(folder.verify(source)["files"])}
        if (model.folder / CARD).is_file():
            sources.setdefault(CARD, model.folder / CARD)
        for name, path in [*sources.items(), (folder.MANIFEST, source / folder.MANIFEST)]:
            storage.put(f"{target}/{name}", _chunks(path))
            written.append(f"{target}/{name}")
        whole = True
    except FileNotFoundError as error:
        raise Aborted(f"the files of {model.name}@{model.version_id} are gone; was it deleted meanwhile?") from error
    finally:
        for uri in () if whole else written:
            with contextlib.suppress(TunesmithError):
                storage.delete(uri)


def _chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
