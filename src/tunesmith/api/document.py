"""The OpenAPI document: what FastAPI knows of the routes, and what only we know of their paths, answers and errors.

In: an application with its routes. Out: one JSON document, of which a test holds every word against the application. A
route that is not in the tables below is described by what it says of itself; its errors and its path always are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from tunesmith import resources

ERROR_STATUSES = {
    400: "The request is wrong, or the moment: INVALID_ARGUMENT, FAILED_PRECONDITION.",
    401: "No key, or none that is in force.",
    403: "Not with this key, or not by this name of the server.",
    404: "There is no such thing.",
    409: "The name is taken, or somebody else got there first.",
    429: "A quota, memory or the disk ran out.",
    499: "The client hung up.",
    503: "Not now; the same request may work later.",
    "5XX": "A bug of the server, or bytes that were lost.",
}
_FOREIGN = "/tensorboard/{path}"
"""TensorBoard answers there as it does everywhere."""
_UNSECURED = ("/healthz", "/readyz", "/metrics", "/templates/")


def _object(required: str = "", /, **properties: Any) -> dict[str, Any]:
    """An object of these properties and no others; `required`: names with spaces between."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _page(field: str, of: str) -> dict[str, Any]:
    return _object("", **{field: _list(_ref(of)), "nextPageToken": TEXT})


TEXT: dict[str, Any] = {"type": "string"}
WHOLE: dict[str, Any] = {"type": "integer"}
NUMBER: dict[str, Any] = {"type": "number"}
FLAG: dict[str, Any] = {"type": "boolean"}
ANY_OBJECT: dict[str, Any] = {"type": "object"}
LABELS: dict[str, Any] = {"type": "object", "additionalProperties": TEXT}
SHARES: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 100}}
TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
STATUS = _object("code message", code=WHOLE, message=TEXT)
_TIMES = {"createTime": TIME, "updateTime": TIME}
_TOKENS = _object("totalTokens totalBillableCharacters", totalTokens=WHOLE, totalBillableCharacters=WHOLE)
_COUNTS = _object("inputTokenCount outputTokenCount", inputTokenCount=_TOKENS, outputTokenCount=_TOKENS)

_FIGURES = {"valid": FLAG, "examples": WHOLE, "format": {"type": ["string", "null"]}, "sha256": TEXT}
_CHECK = _object(
    "valid examples findings statistics",
    **_FIGURES,
    findings=_list(
        _object(
            "line field code severity message remedy text",
            line=WHOLE,
            field=TEXT,
            code=TEXT,
            severity={"enum": ["error", "warning"]},
            message=TEXT,
            remedy=TEXT,
            text=TEXT,
        )
    ),
    statistics=ANY_OBJECT,
    tokens=ANY_OBJECT,
    evaluation=_object("valid examples statistics", **_FIGURES, statistics=ANY_OBJECT),
)

SCHEMAS: Mapping[str, dict[str, Any]] = {
    "Error": _object(
        "error",
        error=_object(
            "code message status",
            code=WHOLE,
            message=TEXT,
            status=TEXT,
            details=_list(ANY_OBJECT),
            errors=_list(ANY_OBJECT),
        ),
    ),
    "Empty": _object(),
    "Health": _object("status", status=TEXT),
    "Operation": _object(
        "name metadata done response",
        name={"type": "string", "pattern": "^projects/[^/]+/locations/[^/]+/operations/[0-9]+$"},
        metadata={"type": "object", "required": ["@type"]},
        done={"const": True},
        response={"type": "object", "required": ["@type"]},
    ),
    "TaskDetail": _object(
        "taskId taskName createTime state execution",
        taskId={"type": "string", "pattern": "^[0-9]{1,19}$"},
        parentTaskId=TEXT,
        taskName=TEXT,
        createTime=TIME,
        startTime=TIME,
        endTime=TIME,
        state={"enum": sorted({*resources.TASK_TRANSITIONS, "CANCELLING"})},
        execution=ANY_OBJECT,
        error=STATUS,
    ),
    "PipelineJob": _object(
        # A readMask leaves out what it does not name.
        "",
        name={"type": "string", "pattern": "^projects/[^/]+/locations/[^/]+/pipelineJobs/[a-z][-a-z0-9]*$"},
        displayName=TEXT,
        startTime=TIME,
        endTime=TIME,
        **_TIMES,
        pipelineSpec=ANY_OBJECT,
        state={"enum": [f"PIPELINE_STATE_{state}" for state in resources.JOB_TRANSITIONS]},
        jobDetail=_object("taskDetails", taskDetails=_list(_ref("TaskDetail"))),
        error=STATUS,
        labels=LABELS,
        runtimeConfig=ANY_OBJECT,
        encryptionSpec=_object(kmsKeyName=TEXT),
        serviceAccount=TEXT,
        network=TEXT,
        reservedIpRanges=_list(TEXT),
        templateUri=TEXT,
        templateMetadata=_object("version", version=TEXT),
        tunesmith=ANY_OBJECT,
    ),
    "PipelineJobs": _page("pipelineJobs", "PipelineJob"),
    "DatasetCheck": _CHECK,
    "DatasetPreview": _object(
        "rows",
        total=WHOLE,
        rows=_list(
            _object(
                "line",
                line=WHOLE,
                kind={"enum": ["generation", "chat", "fim"]},
                context=TEXT,
                messages=_list(_object("author content trained", author=TEXT, content=TEXT, trained=FLAG)),
                prefix=TEXT,
                suffix=TEXT,
                middle=TEXT,
                order=TEXT,
                length=WHOLE,
                promptTokens=WHOLE,
                targetTokens=WHOLE,
                tooLong=FLAG,
                tokens=_list(_object("id text weight", id=WHOLE, text=TEXT, weight={"enum": [0, 1]})),
                hidden=_object("after tokens", after=WHOLE, tokens=WHOLE),
                error=TEXT,
                text=TEXT,
            )
        ),
    ),
    "Estimate": {
        **_CHECK,
        "required": [*_CHECK["required"], "refusedExamples", "batchSize", "steps", "contextTokens", "queuePosition"],
        "properties": {
            **{name: schema for name, schema in _CHECK["properties"].items() if name != "tokens"},
            **dict.fromkeys(
                (
                    "refusedExamples",
                    "batchSize",
                    "steps",
                    "contextTokens",
                    "queuePosition",
                    "evaluationExamples",
                    "tokens",
                    "targetTokens",
                    "longestTokens",
                    "memoryBytes",
                    "memoryAvailableBytes",
                ),
                WHOLE,
            ),
            **dict.fromkeys(("epochs", "seconds", "tokensPerSecond"), NUMBER),
            **dict.fromkeys(("device", "dtype", "deviceKnown"), TEXT),
        },
    },
    "DatasetBuildJob": _object(
        "",
        name={"type": "string", "pattern": "^projects/[^/]+/locations/[^/]+/datasetBuildJobs/[0-9]+$"},
        displayName=TEXT,
        labels=LABELS,
        codebaseSource=_object("repository", repository=TEXT, revision=TEXT, since=TEXT),
        outputConfig=_object(gcsDestination=_object("outputUriPrefix", outputUriPrefix=TEXT)),
        options=ANY_OBJECT,
        state={"enum": [f"JOB_STATE_{state}" for state in resources.JOB_TRANSITIONS if state != "QUEUED"]},
        error=STATUS,
        progress=_object("task attempt phase", task=TEXT, attempt=WHOLE, phase=TEXT, done=WHOLE, total=WHOLE),
        outputInfo={"type": "object", "required": ["gcsOutputDirectory"], "additionalProperties": TEXT},
        statistics=ANY_OBJECT,
        startTime=TIME,
        endTime=TIME,
        **_TIMES,
    ),
    "DatasetBuildJobs": _page("datasetBuildJobs", "DatasetBuildJob"),
    "PublisherModel": _object(
        "name versionId publisherModelTemplate predictSchemata",
        name=TEXT,
        versionId=TEXT,
        openSourceCategory=TEXT,
        launchStage=TEXT,
        publisherModelTemplate=TEXT,
        predictSchemata=_object(
            "instanceSchemaUri", instanceSchemaUri=TEXT, parametersSchemaUri=TEXT, predictionSchemaUri=TEXT
        ),
    ),
    "Model": _object(
        "",
        name={"type": "string", "pattern": "^projects/[^/]+/locations/[^/]+/models/[0-9]+$"},
        displayName=TEXT,
        description=TEXT,
        versionId=TEXT,
        versionAliases=_list(TEXT),
        versionCreateTime=TIME,
        versionUpdateTime=TIME,
        **_TIMES,
        etag=TEXT,
        labels=LABELS,
        modelSourceInfo=ANY_OBJECT,
        pipelineJob=TEXT,
        deployedModels=_list(_object("endpoint deployedModelId", endpoint=TEXT, deployedModelId=TEXT)),
        supportedDeploymentResourcesTypes=_list(TEXT),
        supportedExportFormats=_list(_object("id exportableContents", id=TEXT, exportableContents=_list(TEXT))),
        supportedInputStorageFormats=_list(TEXT),
        supportedOutputStorageFormats=_list(TEXT),
        tunesmith=ANY_OBJECT,
    ),
    "ModelCard": _object("model versionId markdown", model=TEXT, versionId=TEXT, markdown=TEXT),
    "Models": _page("models", "Model"),
    "ModelEvaluation": _object(
        "name metrics createTime",
        name=TEXT,
        displayName=TEXT,
        metricsSchemaUri=TEXT,
        metrics=ANY_OBJECT,
        createTime=TIME,
    ),
    "ModelEvaluations": _page("modelEvaluations", "ModelEvaluation"),
    "DeployedModel": _object(
        "id model modelVersionId createTime",
        id=TEXT,
        model=TEXT,
        modelVersionId=TEXT,
        displayName=TEXT,
        createTime=TIME,
        dedicatedResources=ANY_OBJECT,
        automaticResources=ANY_OBJECT,
    ),
    "Endpoint": _object(
        "",
        name={"type": "string", "pattern": "^projects/[^/]+/locations/[^/]+/endpoints/[0-9]+$"},
        displayName=TEXT,
        description=TEXT,
        labels=LABELS,
        **_TIMES,
        etag=TEXT,
        deployedModels=_list(_ref("DeployedModel")),
        trafficSplit=SHARES,
        encryptionSpec=_object(kmsKeyName=TEXT),
    ),
    "Endpoints": _page("endpoints", "Endpoint"),
    "Predictions": _object(
        "predictions metadata",
        predictions=_list(ANY_OBJECT),
        deployedModelId=TEXT,
        model=TEXT,
        modelVersionId=TEXT,
        modelDisplayName=TEXT,
        metadata=_object("tokenMetadata", tokenMetadata=_COUNTS),
    ),
    "StreamedPredictions": _list(_object("outputs", outputs=_list(ANY_OBJECT))),
    "TokenCount": _TOKENS,
    "Bucket": {"type": "object", "required": ["kind", "id", "name", "projectNumber"]},
    "Buckets": _object("kind items", kind=TEXT, items=_list(_ref("Bucket"))),
    "Policy": ANY_OBJECT,
    "StorageObject": {"type": "object", "required": ["kind", "id", "name", "bucket", "generation", "size"]},
    "StorageObjects": _object(
        "kind items", kind=TEXT, items=_list(_ref("StorageObject")), prefixes=_list(TEXT), nextPageToken=TEXT
    ),
}

# Method and path, without the version before it -> the schema of the answer.
_IN_PROJECT = "/projects/{project}/locations/{location}"
_JOBS, _MODELS, _ENDPOINTS = (_IN_PROJECT + kind for kind in ("/pipelineJobs", "/models", "/endpoints"))
_BUILDS = _IN_PROJECT + "/datasetBuildJobs"
_PUBLISHED = "/publishers/google/models/{model}"
_TARGETS = (f"{_ENDPOINTS}/{{endpoint}}", _IN_PROJECT + _PUBLISHED)
ANSWERS: Mapping[str, str] = {
    "get /healthz": "Health",
    "get /readyz": "Health",
    f"get {_IN_PROJECT}/operations/{{operation}}": "Operation",
    f"post {_JOBS}": "PipelineJob",
    f"get {_JOBS}": "PipelineJobs",
    f"get {_JOBS}/{{job}}": "PipelineJob",
    f"post {_JOBS}/{{job}}:cancel": "Empty",
    f"delete {_JOBS}/{{job}}": "Operation",
    f"post {_JOBS}:batchDelete": "Operation",
    f"post {_JOBS}:batchCancel": "Operation",
    f"post {_JOBS}:estimate": "Estimate",
    f"post {_IN_PROJECT}/datasets:check": "DatasetCheck",
    f"post {_IN_PROJECT}/datasets:preview": "DatasetPreview",
    f"post {_BUILDS}": "DatasetBuildJob",
    f"get {_BUILDS}": "DatasetBuildJobs",
    f"get {_BUILDS}/{{job}}": "DatasetBuildJob",
    f"post {_BUILDS}/{{job}}:cancel": "Empty",
    f"delete {_BUILDS}/{{job}}": "Operation",
    f"get {_PUBLISHED}": "PublisherModel",
    f"get {_MODELS}": "Models",
    f"get {_MODELS}/{{model}}:listVersions": "Models",
    f"get {_MODELS}/{{model}}": "Model",
    f"patch {_MODELS}/{{model}}": "Model",
    f"delete {_MODELS}/{{model}}": "Operation",
    f"post {_MODELS}/{{model}}:export": "Operation",
    f"get {_MODELS}/{{model}}:card": "ModelCard",
    f"post {_MODELS}/{{model}}:mergeVersionAliases": "Model",
    f"delete {_MODELS}/{{model}}:deleteVersion": "Operation",
    f"get {_MODELS}/{{model}}/evaluations": "ModelEvaluations",
    f"get {_MODELS}/{{model}}/evaluations/{{evaluation}}": "ModelEvaluation",
    f"post {_ENDPOINTS}": "Operation",
    f"get {_ENDPOINTS}": "Endpoints",
    f"get {_ENDPOINTS}/{{endpoint}}": "Endpoint",
    f"patch {_ENDPOINTS}/{{endpoint}}": "Endpoint",
    f"delete {_ENDPOINTS}/{{endpoint}}": "Operation",
    f"post {_ENDPOINTS}/{{endpoint}}:deployModel": "Operation",
    f"post {_ENDPOINTS}/{{endpoint}}:undeployModel": "Operation",
    **{f"post {target}:predict": "Predictions" for target in _TARGETS},
    **{f"post {target}:serverStreamingPredict": "StreamedPredictions" for target in _TARGETS},
    **{f"post {target}:countTokens": "TokenCount" for target in _TARGETS},
    "get /storage/v1/b/{bucket}": "Bucket",
    "get /storage/v1/b": "Buckets",
    "post /storage/v1/b": "Bucket",
    "get /storage/v1/b/{bucket}/iam": "Policy",
    "put /storage/v1/b/{bucket}/iam": "Policy",
    "get /storage/v1/b/{bucket}/o": "StorageObjects",
}
# What the routes of the object storage take from the request, and answer, by themselves.
_BYTES: dict[str, Any] = {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
_JSON = {"content": {"application/json": {"schema": ANY_OBJECT}}}
_UNMET = {"304": {"description": "As it is known."}, "412": {"description": "A precondition does not hold.", **_JSON}}
_STORED: dict[str, Any] = {
    "200": {"description": "The object.", "content": {"application/json": {"schema": _ref("StorageObject")}}}
}
_EITHER = {
    "description": "Metadata; with alt=media the bytes.",
    "content": {**_STORED["200"]["content"], **_BYTES["content"]},
}
_PART = {
    "200": {"description": "The bytes.", **_BYTES},
    "206": {"description": "A range of the bytes.", **_BYTES},
    "416": {"description": "Nothing lies in the range.", **_JSON},
    **_UNMET,
}
_GENERATIONS = [
    {"name": name, "in": "query", "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"}}
    for name in (
        "generation", "ifGenerationMatch", "ifGenerationNotMatch", "ifMetagenerationMatch", "ifMetagenerationNotMatch",
    )
]  # fmt: skip


def _texts(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "in": "query", "schema": TEXT} for name in names]


_UPLOADING = [{"name": "upload_id", "in": "query", "required": True, "schema": TEXT}]
_KINDS = {"type": "string", "enum": ["media", "multipart", "resumable"]}
STORAGE: Mapping[str, dict[str, Any]] = {
    "get /storage/v1/b": {"parameters": _texts("project", "prefix")},
    "post /storage/v1/b": {
        "parameters": _texts("project"),
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object", "required": ["name"]}}},
        },
    },
    "put /storage/v1/b/{bucket}/iam": {"requestBody": {"required": True, **_JSON}},
    "get /storage/v1/b/{bucket}/o": {"parameters": _texts("prefix", "delimiter", "pageToken", "maxResults")},
    "get /storage/v1/b/{bucket}/o/{name}": {
        "parameters": [*_texts("alt"), *_GENERATIONS],
        "responses": {**_PART, "200": _EITHER},
    },
    "delete /storage/v1/b/{bucket}/o/{name}": {
        "parameters": _GENERATIONS,
        "responses": {"204": {"description": "It is gone."}, "412": _UNMET["412"]},
    },
    "get /download/storage/v1/b/{bucket}/o/{name}": {"parameters": _GENERATIONS, "responses": _PART},
    "post /upload/storage/v1/b/{bucket}/o": {
        "parameters": [
            {"name": "uploadType", "in": "query", "required": True, "schema": _KINDS}, *_texts("name"), *_GENERATIONS,
        ],
        "requestBody": {"required": False, **_BYTES},
        "responses": {**_STORED, "412": _UNMET["412"]},
    },
    "put /upload/storage/v1/b/{bucket}/o": {
        "parameters": _UPLOADING,
        "requestBody": {"required": False, **_BYTES},
        "responses": {
            **_STORED, "308": {"description": "So far, in the header Range."}, "412": _UNMET["412"],
        },
    },
    "delete /upload/storage/v1/b/{bucket}/o": {
        "parameters": _UPLOADING, "responses": {"499": {"description": "The upload is forgotten."}},
    },
}  # fmt: skip
_PATH_PATTERNS = {"project": f"^{resources.PROJECT}$", "location": f"^{resources.LOCATION}$"}


def describe(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    parts = document.setdefault("components", {})
    kept = {k: v for k, v in parts.get("schemas", {}).items() if k not in ("HTTPValidationError", "ValidationError")}
    parts["schemas"] = {**kept, **SCHEMAS}
    parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _complete(operation, method, path)
    app.openapi_schema = document
    return document


def _complete(operation: dict[str, Any], method: str, path: str) -> None:
    told = STORAGE.get(f"{method} {path}", {})
    answers = dict(told.get("responses") or operation["responses"])
    operation.update({**told, "responses": answers})
    answers.pop("422", None)
    answer = ANSWERS.get(f"{method} {re.sub('^/(v1|v1beta1|ui)(?=/)', '', path)}")
    if answer is not None:
        answers["200"]["content"] = {"application/json": {"schema": _ref(answer)}}
    if path == _FOREIGN:
        answers = {"default": {"description": "TensorBoard's own answer.", "content": {"*/*": {}}}}
        operation["responses"] = answers
    is_open = path.startswith(_UNSECURED)
    for status, text in ERROR_STATUSES.items():
        if path != _FOREIGN and not (is_open and status in (401, 403, 429, 499)):
            said = {"description": text, "content": {"application/json": {"schema": _ref("Error")}}}
            answers.setdefault(str(status), said)
    if not is_open:
        operation["security"] = [{"key": []}, {}]  # none is needed while no key is in force
    _name_path(operation, path)


def _name_path(operation: dict[str, Any], path: str) -> None:
    """Every part of the path that varies, also of a route that takes it from the request by itself."""
    named = {p["name"]: p for p in operation.get("parameters", []) if p["in"] == "path"}
    rest = [p for p in operation.get("parameters", []) if p["in"] != "path"]
    for name in re.findall(r"\{(\w+)\}", path):
        known = named.setdefault(name, {"name": name, "in": "path", "required": True, "schema": dict(TEXT)})
        known["schema"] = {"type": "string", "minLength": 1, **known["schema"]}
        if name in _PATH_PATTERNS:
            known["schema"]["pattern"] = _PATH_PATTERNS[name]
    if named or rest:
        operation["parameters"] = [*named.values(), *rest]
