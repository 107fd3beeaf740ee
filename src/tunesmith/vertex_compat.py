"""Points the unmodified Google SDK (google-cloud-aiplatform, REST) at a Tunesmith server: two lines in a script.

    from tunesmith import vertex_compat
    vertex_compat.init("http://127.0.0.1:8080", project="myproject", location="us-central1", staging_bucket="gs://b")

After it `vertexai` and `google.cloud.aiplatform` are used as before. What is changed, in this process alone: where the
storage client and the template's download go, and how a project's number is found (the SDK would ask Google for it).
Imports the SDK and nothing of Tunesmith but errors and names; runs on any machine that has it.
"""

from __future__ import annotations

import os
import urllib.parse
import urllib.request
from http.client import HTTPResponse
from typing import Any

from tunesmith import resources
from tunesmith.errors import FailedPrecondition, InvalidArgument

TEMPLATE_HOST = "-kfp.pkg.dev"
SERVER_VARIABLE = "TUNESMITH_SERVER"
KEY_VARIABLE = "TUNESMITH_API_KEY"


def init(
    server: str | None = None, *, key: str | None = None, project: str, location: str = "us-central1", **options: Any
) -> None:
    """As vertexai.init, with everything going to `server`.

    server   URL of a Tunesmith server; TUNESMITH_SERVER if left out
    key      bearer key; TUNESMITH_API_KEY if left out, none if that is empty
    options  whatever else vertexai.init takes (staging_bucket, experiment, ...)

    InvalidArgument for a URL that is none; FailedPrecondition without the SDK.
    """
    base = _checked(server or os.environ.get(SERVER_VARIABLE, ""))
    secret = key if key is not None else os.environ.get(KEY_VARIABLE, "")
    os.environ["STORAGE_EMULATOR_HOST"] = base
    try:
        import vertexai
    except ImportError as error:
        raise FailedPrecondition("the Google SDK is not installed: pip install google-cloud-aiplatform") from error
    _open_templates_at(base)
    _number_projects()
    vertexai.init(
        project=project,
        location=location,
        api_endpoint=base,
        api_transport="rest",
        credentials=_credentials(secret),
        **options,
    )
    _answer_async_calls(secret)


class _Templates(urllib.request.BaseHandler):
    """Fetches from the server what the SDK wants from the template host."""

    handler_order = 100

    def __init__(self, base: str) -> None:
        self._base = base

    def https_open(self, request: urllib.request.Request) -> HTTPResponse | None:
        if not request.host.endswith(TEMPLATE_HOST):
            return None
        answer: HTTPResponse = urllib.request.urlopen(f"{self._base}/templates{request.selector}")
        return answer


def _checked(server: str) -> str:
    parts = urllib.parse.urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise InvalidArgument.of(
            "server", f"must be like http://127.0.0.1:8080 (or set {SERVER_VARIABLE}), got {server!r}"
        )
    return f"{parts.scheme}://{parts.netloc}"


def _open_templates_at(base: str) -> None:
    urllib.request.install_opener(urllib.request.build_opener(_Templates(base)))


def _number_projects() -> None:
    """The SDK checks that a bucket belongs to the project by the project's number, which it would get from Google."""
    from google.cloud.aiplatform.utils import resource_manager_utils

    def project_number(project_id: str, *_: Any, **__: Any) -> str:
        return resources.project_number(project_id)

    resource_manager_utils.get_project_number = project_number


def _credentials(secret: str) -> Any:
    if secret:
        from google.oauth2.credentials import Credentials

        return Credentials(secret)
    from google.auth.credentials import AnonymousCredentials

    return AnonymousCredentials()


def _answer_async_calls(secret: str) -> None:
    """The SDK's async methods over REST need credentials of their own kind, which its init does not take.

    They need aiohttp as well. An SDK without either keeps its own way, gRPC, which no server of ours speaks.
    """
    from google.cloud.aiplatform import initializer

    try:
        import aiohttp  # noqa: F401
        from google.auth.aio.credentials import AnonymousCredentials, StaticCredentials
    except ImportError:
        return
    if hasattr(initializer, "_set_async_rest_credentials"):
        initializer._set_async_rest_credentials(StaticCredentials(secret) if secret else AnonymousCredentials())
