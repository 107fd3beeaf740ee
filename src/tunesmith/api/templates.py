"""The pipeline templates that clients fetch before they submit a job (S34-S35): ours, with the official parameter set.

A client library reads the parameters' declarations from the template and sends what they declare; the template's tasks
are for people, who see what a job consists of. Written as JSON, which is YAML too. Open to everybody: a client fetches
it before it knows a project.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from tunesmith import catalog, pipeline
from tunesmith.errors import NotFound

HOST = "us-kfp.pkg.dev"
REPOSITORY = "ml-pipeline/large-language-model-pipelines"

_TEXT, _WHOLE, _NUMBER, _FLAG = "STRING", "NUMBER_INTEGER", "NUMBER_DOUBLE", "BOOLEAN"

# M.7. None: the caller must give it.
PARAMETERS: Mapping[str, tuple[str, Any]] = {
    "project": (_TEXT, None),
    "location": (_TEXT, None),
    "model_display_name": (_TEXT, None),
    "dataset_uri": (_TEXT, ""),
    "dataset_name": (_TEXT, ""),
    "large_model_reference": (_TEXT, "text-bison@001"),
    "train_steps": (_WHOLE, 300),
    "learning_rate_multiplier": (_NUMBER, 1.0),
    "learning_rate": (_NUMBER, -1.0),
    "accelerator_type": (_TEXT, ""),
    "max_context_length": (_TEXT, ""),
    "default_context": (_TEXT, ""),
    "tensorboard_resource_id": (_TEXT, ""),
    "encryption_spec_key_name": (_TEXT, ""),
    "evaluation_data_uri": (_TEXT, ""),
    "evaluation_interval": (_WHOLE, 20),
    "enable_early_stopping": (_FLAG, True),
    # The official template declares a string; client libraries send a boolean all the same, which this type lets them.
    "enable_checkpoint_selection": (_TEXT, "default"),
    "evaluation_output_root_dir": (_TEXT, ""),
    "tpu_training_skip_cmek": (_FLAG, False),
    "tuning_method": (_TEXT, "tune_v2"),
    "api_endpoint": (_TEXT, ""),
}


@dataclass(frozen=True, slots=True)
class Template:
    """A pipeline template."""

    name: str
    version: str
    kind: catalog.Kind

    @property
    def uri(self) -> str:
        return f"https://{HOST}/{REPOSITORY}/{self.name}/{self.version}"


TEMPLATES = (
    Template("tune-large-model", "v3.0.0", "generation"),
    Template("tune-large-model", "v2.0.0", "generation"),
    Template("tune-large-chat-model", "v3.0.0", "chat"),
)

router = APIRouter()


@router.get(
    "/templates/" + REPOSITORY + "/{name}/{version}",
    tags=["templates"],
    response_class=PlainTextResponse,
    responses={200: {"description": "The template.", "content": {"application/yaml": {"schema": {"type": "string"}}}}},
)
def get_template(name: str, version: str) -> PlainTextResponse:
    """A pipeline template, as a client library fetches it from the reference product's template host."""
    template = find(f"https://{HOST}/{REPOSITORY}/{name}/{version}")
    if template is None:
        known = ", ".join(f"{t.name}/{t.version}" for t in TEMPLATES)
        raise NotFound(f"there is no pipeline template {name}/{version}; there are: {known}", name=name)
    return PlainTextResponse(text_of(template), media_type="application/yaml")


def find(uri: str) -> Template | None:
    """The template of that URI, whichever host it is fetched from; None if it is not one of ours."""
    path = uri.partition("://")[2].partition("/")[2].removeprefix("templates/")
    return next((t for t in TEMPLATES if path == f"{REPOSITORY}/{t.name}/{t.version}"), None)


def of_pipeline(name: str) -> Template | None:
    """The newest template of that pipeline name; None if it is not one of ours."""
    return next((t for t in TEMPLATES if t.name == name), None)


@cache
def text_of(template: Template) -> str:
    return json.dumps(spec_of(template), indent=2) + "\n"


@cache
def version_of(template: Template) -> str:
    """As templateMetadata.version has it."""
    return "sha256:" + hashlib.sha256(text_of(template).encode()).hexdigest()


@cache
def spec_of(template: Template) -> dict[str, Any]:
    """The pipeline's specification; shared, so not to be changed."""
    names = pipeline.tasks_for(deploys=True)
    return {
        "pipelineInfo": {
            "name": template.name,
            "description": f"Supervised tuning of a code {template.kind} model, by Tunesmith.",
        },
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.7.0",
        "components": {f"comp-{name}": {"executorLabel": f"exec-{name}"} for name in names},
        "deploymentSpec": {"executors": {f"exec-{name}": {"container": {"image": "tunesmith"}} for name in names}},
        "root": {
            "dag": {
                "tasks": {
                    name: {
                        "taskInfo": {"name": name},
                        "componentRef": {"name": f"comp-{name}"},
                        **({"dependentTasks": [names[i - 1]]} if i else {}),
                    }
                    for i, name in enumerate(names)
                }
            },
            "inputDefinitions": {"parameters": {name: _definition(*facts) for name, facts in PARAMETERS.items()}},
        },
    }


def _definition(kind: str, default: Any) -> dict[str, Any]:
    if default is None:
        return {"parameterType": kind}
    return {"parameterType": kind, "defaultValue": default, "isOptional": True}
