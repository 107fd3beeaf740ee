"""A Tunesmith server as a program calls it: one method for each thing that is asked of it, over REST.

In: plain values and dicts in the server's own JSON. Out: the same, pages and streams put together. Errors are those of
`errors.py`, with the violations that the server names; one of them tells which URL did not answer. What is safe to
repeat is repeated with growing waits: reads, and submits under a job id, which are the same job however often they
arrive. Everything else is sent again only if it cannot have arrived. The key is in no message and in no repr.
Sync, but for predictions, which have an async form as well. Reads no environment; knows no command and no SDK.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import re
import ssl
import time
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import httpx

from tunesmith import resources
from tunesmith.errors import (
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    TunesmithError,
    Unauthenticated,
    Unavailable,
    Violation,
    from_json,
)

DEFAULT_LOCATION = "us-central1"
CONNECT_TIMEOUT_S = 10.0
TIMEOUT_S = 60.0
"""Of one answer that needs no model."""
WATCH_TIMEOUT_S = 30.0
"""A watched job says something every half second."""
IDLE_S = 2.0
"""Servers close idle connections after 5 s or more: one that is used again just then would fail."""
FIRST_WAIT_S = 0.25
TRIES = 5
"""Waits of 0.25, 0.5, 1 and 2 s between them."""
LOOK_S = 0.5
"""Between two looks at a job that says nothing by itself."""
OUTAGE_S = 120.0
"""How long a watched server may be away: a restart with its migrations."""
PIECE_BYTES = 1 << 20
PAGE_SIZE = 1000
SAID_CHARACTERS = 200
_AGAIN_STATUS = frozenset({502, 503, 504})
_KEY = re.compile(r"[!-~]+")
_OBJECT_URI = re.compile(r"gs://([a-z0-9][-._a-z0-9]{1,220}[a-z0-9])/(.+)", re.DOTALL)
# Of an answer that is none of ours: a proxy's, or another program's at that address.
_STATUS_OF = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "UNAVAILABLE",
}
_CODE_NAMES = {
    1: "CANCELLED",
    3: "INVALID_ARGUMENT",
    5: "NOT_FOUND",
    6: "ALREADY_EXISTS",
    7: "PERMISSION_DENIED",
    8: "RESOURCE_EXHAUSTED",
    9: "FAILED_PRECONDITION",
    10: "ABORTED",
    13: "INTERNAL",
    14: "UNAVAILABLE",
    15: "DATA_LOSS",
    16: "UNAUTHENTICATED",
}
"""Of google.rpc.Code."""

Wire = dict[str, Any]


class WatchEvent(NamedTuple):
    """What a watched job has said: `state`, `progress`, `metrics` or `log`, and its data."""

    kind: str
    data: Wire


class ObjectName(NamedTuple):
    """gs://BUCKET/NAME"""

    bucket: str
    name: str

    def __str__(self) -> str:
        return f"gs://{self.bucket}/{self.name}"


def parse_object_uri(uri: str) -> ObjectName:
    """Bucket and name of gs://BUCKET/NAME; InvalidArgument if it is none."""
    match = _OBJECT_URI.fullmatch(uri)
    if match is None:
        raise InvalidArgument.of("uri", f"must be gs://BUCKET/OBJECT, got {uri!r}")
    return ObjectName(*match.groups())


class Client:
    """One project of one server. Usable from several threads; to be closed, or used as a context."""

    def __init__(
        self,
        server: str,
        *,
        project: str = resources.LOCAL_PROJECT,
        location: str = DEFAULT_LOCATION,
        key: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.server = check_server(server)
        self.project = resources.check_project(project)
        self.location = location
        self._headers = {"Authorization": f"Bearer {check_key(key)}"} if key else {}
        self._timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
        # A proxy of the environment is for other machines.
        self._trusts_environment = not _is_loopback(self.server)
        self._http = httpx.Client(**self._options())
        # For scripts, which close nothing.
        weakref.finalize(self, self._http.close)
        self._was_reached = False

    def __repr__(self) -> str:
        key = "with a key" if self._headers else "no key"
        return f"Client({self.server!r}, project={self.project!r}, location={self.location!r}, {key})"

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def parent(self, location: str | None = None) -> str:
        """projects/P/locations/L"""
        return f"projects/{self.project}/locations/{location or self.location}"

    # Jobs.

    def create_job(self, body: Mapping[str, Any], *, job_id: str, location: str | None = None) -> Wire:
        """Submits a PipelineJob. The same id with the same body is the same job, so that it may be sent again."""
        path = f"/v1/{self.parent(location)}/pipelineJobs"
        return self._call("POST", path, query={"pipelineJobId": job_id}, body=body, repeatable=True)

    def estimate_job(self, body: Mapping[str, Any], *, location: str | None = None) -> Wire:
        """What such a PipelineJob would cost: findings in its data, tokens, time, memory. Submits nothing."""
        return self._call("POST", f"/v1/{self.parent(location)}/pipelineJobs:estimate", body=body, repeatable=True)

    def check_data(self, dataset_uri: str, evaluation_data_uri: str = "", base_model: str = "") -> Wire:
        """What is wrong or unwise in a data file in a bucket, by line; with a base model, tokens are counted too."""
        asked = {"datasetUri": dataset_uri, "evaluationDataUri": evaluation_data_uri, "baseModel": base_model}
        return self._call("POST", f"/v1/{self.parent()}/datasets:check", body=asked, repeatable=True)

    def job_report(self, name: str) -> Wire:
        """What there is to say of a job: parameters, data, tasks and attempts, scores, examples."""
        return self._call("GET", f"/v1/{self._job_name(name)}:report")

    def job(self, name: str) -> Wire:
        """A job, by its id or its resource name."""
        return self._call("GET", f"/v1/{self._job_name(name)}")

    def jobs(self, *, filter_text: str = "", order_by: str = "", location: str | None = None) -> Iterator[Wire]:
        """The jobs of the project in a region, newest first, without their tasks."""
        return self._list(f"{self.parent(location)}/pipelineJobs", "pipelineJobs", filter_text, order_by)

    def cancel_job(self, name: str) -> None:
        """Asks for a job's end. Twice is once."""
        self._call("POST", f"/v1/{self._job_name(name)}:cancel", body={}, repeatable=True)

    def delete_job(self, name: str) -> None:
        """Deletes a job that has ended; the model that it made stays."""
        self.finish(self._call("DELETE", f"/v1/{self._job_name(name)}"))

    def watch_job(self, name: str) -> Iterator[WatchEvent]:
        """What a job says from its beginning until it rests. A connection that is lost is made again, and what was
        heard before is not said twice; Unavailable once the server has been away for OUTAGE_S.
        """
        path = f"/v1/{self._job_name(name)}:watch"
        heard = _Heard()
        lost_s: float | None = None
        while True:
            heard.begin()
            try:
                for event in self._events(path):
                    lost_s = None
                    if heard.is_new(event):
                        yield event
                if heard.rests:
                    return
            except Unavailable:
                lost_s = time.monotonic() if lost_s is None else lost_s
                if not self._was_reached or time.monotonic() > lost_s + OUTAGE_S:
                    raise
            time.sleep(FIRST_WAIT_S)

    def _job_name(self, name: str) -> str:
        if name.startswith("projects/"):
            return str(resources.parse_job_name(name))
        return f"{self.parent()}/pipelineJobs/{resources.check_job_id(name)}"

    # Models.

    def publisher_model(self, model_id: str) -> Wire:
        """A base model as it can be tuned and asked: code-bison@002, or a name of the catalog."""
        return self._call("GET", f"/v1/publishers/google/models/{quote(model_id, safe='')}")

    def models(self, *, filter_text: str = "", order_by: str = "", location: str | None = None) -> Iterator[Wire]:
        """The tuned models of the project in a region, each in its default version, newest first."""
        return self._list(f"{self.parent(location)}/models", "models", filter_text, order_by)

    def model(self, name: str) -> Wire:
        """A tuned model, by its id or its resource name; `@version` or `@alias` for another than the default one."""
        return self._call("GET", f"/v1/{self._model_name(name)}")

    def model_versions(self, name: str) -> list[Wire]:
        """All versions of a model, newest first."""
        found: list[Wire] = self._call("GET", f"/v1/{self._model_name(name)}:listVersions").get("models", [])
        return found

    def delete_model(self, name: str) -> None:
        """Deletes a model with all versions; FailedPrecondition while one is deployed."""
        self.finish(self._call("DELETE", f"/v1/{self._model_name(name)}"))

    def _model_name(self, name: str) -> str:
        full = name if name.startswith("projects/") else f"{self.parent()}/models/{name}"
        plain, version = resources.parse_model_name(full), full.partition("@")[2]
        return f"{plain}@{version}" if version else str(plain)

    # Endpoints.

    def create_endpoint(self, display_name: str, *, parent: str | None = None) -> Wire:
        """A new endpoint with nothing on it; in another project or region if `parent` names them."""
        body = {"displayName": display_name}
        return self.finish(self._call("POST", f"/v1/{parent or self.parent()}/endpoints", body=body))

    def endpoint(self, name: str) -> Wire:
        """An endpoint, by its resource name."""
        return self._call("GET", f"/v1/{resources.parse_endpoint_name(name)}")

    def endpoints(self, *, filter_text: str = "", order_by: str = "", location: str | None = None) -> Iterator[Wire]:
        """The endpoints of the project in a region, newest first."""
        return self._list(f"{self.parent(location)}/endpoints", "endpoints", filter_text, order_by)

    def deploy_model(self, endpoint: str, model: str, *, display_name: str = "") -> Wire:
        """Puts a model on an endpoint, with all of its traffic; what is deployed."""
        deployed = {"model": model, "displayName": display_name, "automaticResources": {"minReplicaCount": 1}}
        body = {"deployedModel": deployed, "trafficSplit": {"0": 100}}
        path = f"/v1/{resources.parse_endpoint_name(endpoint)}:deployModel"
        found: Wire = self.finish(self._call("POST", path, body=body))["deployedModel"]
        return found

    def deploy_on_new_endpoint(self, model: Mapping[str, Any]) -> str:
        """Puts a model on an endpoint of its own, in its own project and region; the endpoint's resource name."""
        name = resources.parse_model_name(model["name"])
        shown = str(model.get("displayName", name.id))
        parent = f"projects/{name.project}/locations/{name.location}"
        endpoint: str = self.create_endpoint(f"{shown[:119]}_endpoint", parent=parent)["name"]
        self.deploy_model(endpoint, str(name), display_name=shown)
        return endpoint

    def undeploy_model(self, endpoint: str, deployed_id: str) -> None:
        """Takes a deployed model off an endpoint."""
        path = f"/v1/{resources.parse_endpoint_name(endpoint)}:undeployModel"
        self.finish(self._call("POST", path, body={"deployedModelId": deployed_id}))

    def delete_endpoint(self, name: str) -> None:
        """Deletes an endpoint with nothing on it."""
        self.finish(self._call("DELETE", f"/v1/{resources.parse_endpoint_name(name)}"))

    # Predictions. `target`: an endpoint's or a publisher model's resource name, under projects/P/locations/L.

    def publisher_target(self, model_id: str) -> str:
        """The resource name under which a base model is asked."""
        return f"{self.parent()}/publishers/google/models/{model_id}"

    def predict(self, target: str, instances: Sequence[Any], parameters: Mapping[str, Any]) -> Wire:
        """The answer of :predict. Takes as long as the model does."""
        body = {"instances": list(instances), "parameters": dict(parameters)}
        return self._call("POST", _predicting(target, "predict"), body=body, timeout=_PATIENT)

    def stream(self, target: str, instance: Mapping[str, Any], parameters: Mapping[str, Any]) -> Iterator[Wire]:
        """One prediction in pieces, each of the form of a whole one; Unavailable if it breaks off."""
        path = _predicting(target, "serverStreamingPredict")
        reader = ArrayReader()
        opened = self._opened("POST", path, body=_tensors(instance, parameters), timeout=_PATIENT)
        with opened as response, _spelled(self, path):
            for text in response.iter_text():
                for element in reader.feed(text):
                    yield from _pieces(element)
        reader.check_ended()

    def count_tokens(self, target: str, instances: Sequence[Any]) -> Wire:
        """`totalTokens` and `totalBillableCharacters` of instances."""
        path = _predicting(target, "countTokens", version="v1beta1")
        return self._call("POST", path, body={"instances": list(instances)}, timeout=_PATIENT, repeatable=True)

    async def predict_async(self, target: str, instances: Sequence[Any], parameters: Mapping[str, Any]) -> Wire:
        """As `predict`."""
        body = {"instances": list(instances), "parameters": dict(parameters)}
        async with self._opened_async(_predicting(target, "predict"), body) as response:
            await response.aread()
            return _json(response)

    async def stream_async(
        self, target: str, instance: Mapping[str, Any], parameters: Mapping[str, Any]
    ) -> AsyncIterator[Wire]:
        """As `stream`."""
        path = _predicting(target, "serverStreamingPredict")
        reader = ArrayReader()
        async with self._opened_async(path, _tensors(instance, parameters)) as response:
            with _spelled(self, path):
                async for text in response.aiter_text():
                    for element in reader.feed(text):
                        for piece in _pieces(element):
                            yield piece
        reader.check_ended()

    # Batch predictions.

    def create_batch_prediction(self, body: Mapping[str, Any], *, request_id: str, location: str | None = None) -> Wire:
        """Submits a BatchPredictionJob. The same request id with the same body is the same job."""
        path = f"/v1/{self.parent(location)}/batchPredictionJobs"
        return self._call("POST", path, query={"requestId": request_id}, body=body, repeatable=True)

    def batch_prediction(self, name: str) -> Wire:
        """A batch prediction job, by its resource name."""
        return self._call("GET", f"/v1/{name}")

    def cancel_batch_prediction(self, name: str) -> None:
        """Asks for its end."""
        self._call("POST", f"/v1/{name}:cancel", body={}, repeatable=True)

    def delete_batch_prediction(self, name: str) -> None:
        """Deletes one that has ended; its output stays."""
        self.finish(self._call("DELETE", f"/v1/{name}"))

    # Data sets of codebases.

    def create_dataset_build(self, body: Mapping[str, Any], *, request_id: str, location: str | None = None) -> Wire:
        """Submits a DatasetBuildJob. The same request id with the same body is the same job."""
        path = f"/v1/{self.parent(location)}/datasetBuildJobs"
        return self._call("POST", path, query={"requestId": request_id}, body=body, repeatable=True)

    def dataset_build(self, name: str) -> Wire:
        """A job that builds a data set, by its resource name."""
        return self._call("GET", f"/v1/{name}")

    def dataset_builds(
        self, *, filter_text: str = "", order_by: str = "", location: str | None = None
    ) -> Iterator[Wire]:
        """Those of the project in a region, newest first."""
        return self._list(f"{self.parent(location)}/datasetBuildJobs", "datasetBuildJobs", filter_text, order_by)

    def watch_dataset_build(self, name: str) -> Iterator[Wire]:
        """The job as it is now and then, the last time when it has ended; Unavailable as of `watch_job`."""
        lost_s: float | None = None
        while True:
            try:
                job, lost_s = self.dataset_build(name), None
            except Unavailable:
                lost_s = time.monotonic() if lost_s is None else lost_s
                if not self._was_reached or time.monotonic() > lost_s + OUTAGE_S:
                    raise
            else:
                yield job
                if job["state"].removeprefix("JOB_STATE_") in resources.RESTING:
                    return
            time.sleep(LOOK_S)

    def cancel_dataset_build(self, name: str) -> None:
        """Asks for its end."""
        self._call("POST", f"/v1/{name}:cancel", body={}, repeatable=True)

    def delete_dataset_build(self, name: str) -> None:
        """Deletes one that has ended; its data set stays."""
        self.finish(self._call("DELETE", f"/v1/{name}"))

    # Operations.

    def operation(self, name: str) -> Wire:
        """A long-running operation, by its resource name."""
        return self._call("GET", f"/v1/{name}")

    def finish(self, operation: Mapping[str, Any]) -> Wire:
        """What an operation results in, waited for; its error, if it has one, is raised."""
        wait_s = FIRST_WAIT_S
        while not operation.get("done"):
            time.sleep(wait_s)
            wait_s = min(wait_s * 2, 5.0)
            operation = self.operation(operation["name"])
        if operation.get("error"):
            raise status_error(operation["error"])
        return dict(operation.get("response") or {})

    # Objects in buckets.

    @property
    def staging(self) -> str:
        """gs://BUCKET of the project's own, for data that a client brings."""
        return "gs://" + re.sub(r"[^a-z0-9-]", "-", self.project)[:50] + "-tunesmith-staging"

    def stage(self, source: bytes | Path, uri: str) -> str:
        """As `upload`, after making the bucket if there is none."""
        try:
            return self.upload(source, uri)
        except NotFound:
            self.make_bucket(parse_object_uri(uri).bucket)
            return self.upload(source, uri)

    def make_bucket(self, bucket: str) -> None:
        """Makes the bucket of the project, unless there is one of that name."""
        try:
            self._call("GET", f"/storage/v1/b/{quote(bucket, safe='')}", query={"fields": "name"})
        except NotFound:
            self._call("POST", "/storage/v1/b", query={"project": self.project}, body={"name": bucket})

    def upload(self, source: bytes | Path, uri: str) -> str:
        """Stores bytes, or a file, as an object, in place of any that was there; its URI. The server compares the hash.

        FailedPrecondition if the file changes meanwhile.
        """
        bucket, name = parse_object_uri(uri)
        digest = _md5(source)
        content = source if isinstance(source, bytes) else _FilePieces(source, source.stat().st_size)
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        headers = {
            "X-Goog-Hash": f"md5={digest}",
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size),
        }
        how = {"query": {"uploadType": "media", "name": name}, "headers": headers, "timeout": _PATIENT}
        path = f"/upload/storage/v1/b/{quote(bucket, safe='')}/o"
        try:
            self._call("POST", path, content=content, repeatable=True, **how)
        except TunesmithError as error:
            if isinstance(source, Path) and _md5(source) != digest:
                raise FailedPrecondition(f"{source} changed while it was being sent; send it again") from error
            raise
        return uri

    def download(self, uri: str) -> bytes:
        """An object's bytes; DataLoss if they are not those that were stored."""
        bucket, name = parse_object_uri(uri)
        path = f"/download/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}"
        response = self._send("GET", path, query={"alt": "media"}, timeout=_PATIENT)
        _check_md5(uri, response.headers.get("x-goog-hash", ""), response.content)
        return response.content

    def objects(self, uri: str) -> Iterator[str]:
        """The URIs of the objects whose URI begins so, in order: gs://BUCKET or gs://BUCKET/PREFIX."""
        bucket, _, prefix = uri.removeprefix("gs://").partition("/")
        token = ""
        while True:
            query = {"prefix": prefix, **({"pageToken": token} if token else {})}
            page = self._call("GET", f"/storage/v1/b/{quote(bucket, safe='')}/o", query=query)
            yield from (f"gs://{bucket}/{item['name']}" for item in page.get("items", []))
            token = page.get("nextPageToken", "")
            if not token:
                return

    # Requests.

    def _list(self, path: str, field: str, filter_text: str, order_by: str) -> Iterator[Wire]:
        query = {"pageSize": str(PAGE_SIZE)}
        query |= {"filter": filter_text} if filter_text else {}
        query |= {"orderBy": order_by} if order_by else {}
        while True:
            page = self._call("GET", f"/v1/{path}", query=query)
            yield from page.get(field, [])
            if not page.get("nextPageToken"):
                return
            query["pageToken"] = page["nextPageToken"]

    def _call(self, method: str, path: str, **how: Any) -> Wire:
        return _json(self._send(method, path, **how))

    def _send(self, method: str, path: str, *, repeatable: bool | None = None, **how: Any) -> httpx.Response:
        """The answer, whole; the server's error is raised. Repeated where that is safe.

        repeatable  whether it may arrive twice; None: if it is a GET
        """
        may_repeat = method == "GET" if repeatable is None else repeatable
        for number in range(1, TRIES + 1):
            try:
                with self._opened(method, path, **how) as response:
                    with _spelled(self, path):
                        response.read()
                    return response
            except Unavailable as error:
                if number == TRIES or not self._helps_again(error, may_repeat):
                    raise
                time.sleep(FIRST_WAIT_S * 2 ** (number - 1))
        raise AssertionError("unreachable")

    def _helps_again(self, error: Unavailable, may_repeat: bool) -> bool:
        never_sent = isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout)
        # Nobody has ever answered there: a wrong URL, rather than a server that is starting again.
        return self._was_reached and (may_repeat or never_sent)

    @contextmanager
    def _opened(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: httpx.Timeout | None = None,
    ) -> Iterator[httpx.Response]:
        """An answer that is no error, not read yet."""
        request = self._http.build_request(
            method,
            path,
            params=query,
            json=body,
            content=content,
            headers=headers,
            timeout=timeout or self._timeout,
        )
        with _spelled(self, path):
            response = self._http.send(request, stream=True)
        try:
            self._was_reached = True
            if not response.is_success:
                with _spelled(self, path):
                    response.read()
                raise _error_of(response)
            yield response
        finally:
            response.close()

    @asynccontextmanager
    async def _opened_async(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[httpx.Response]:
        # A client of its own: a connection belongs to the event loop that it was made in.
        async with httpx.AsyncClient(**self._options()) as http:
            request = http.build_request("POST", path, json=body, timeout=_PATIENT)
            with _spelled(self, path):
                response = await http.send(request, stream=True)
            try:
                self._was_reached = True
                if not response.is_success:
                    with _spelled(self, path):
                        await response.aread()
                    raise _error_of(response)
                yield response
            finally:
                await response.aclose()

    def _options(self) -> dict[str, Any]:
        return {
            "base_url": self.server,
            "headers": {"Accept": "application/json", **self._headers},
            "verify": _trusted(),
            "trust_env": self._trusts_environment,
            "follow_redirects": False,
            "limits": httpx.Limits(keepalive_expiry=IDLE_S),
        }

    def _events(self, path: str) -> Iterator[WatchEvent]:
        """Server-sent events, until the server ends them."""
        timeout = httpx.Timeout(WATCH_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        with self._opened("GET", path, headers={"Accept": "text/event-stream"}, timeout=timeout) as response:
            kind, data = "", ""
            with _spelled(self, path):
                for line in response.iter_lines():
                    name, _, value = line.partition(": ")
                    if name == "event":
                        kind = value
                    elif name == "data":
                        data += value
                    elif not line and kind:
                        event = WatchEvent(kind, json.loads(data))
                        if kind == "error":
                            raise from_json(event.data)
                        yield event
                        kind, data = "", ""


_PATIENT = httpx.Timeout(None, connect=CONNECT_TIMEOUT_S)
"""A model's first answer waits until its weights are loaded, which the server limits."""


class _Heard:
    """How far a watcher has listened: after a new connection the server begins again."""

    def __init__(self) -> None:
        self.rests = False
        self._counts: dict[tuple[Any, ...], int] = {}
        self._now: dict[tuple[Any, ...], int] = {}

    def begin(self) -> None:
        self._now = {}

    def is_new(self, event: WatchEvent) -> bool:
        if event.kind == "progress":
            return True
        # Of each kind, and of each attempt's log, the order is always the same.
        key = (event.kind, *(event.data.get(name) for name in ("task", "attempt") if event.kind == "log"))
        self._now[key] = self._now.get(key, 0) + 1
        if self._now[key] <= self._counts.get(key, 0):
            return False
        self._counts[key] = self._now[key]
        if event.kind == "state" and "task" not in event.data:
            self.rests = event.data["state"] in resources.RESTING
        return True


class ArrayReader:
    """A JSON array that arrives in pieces: its elements, each as soon as it is whole."""

    def __init__(self) -> None:
        self._rest = ""
        self._ended = False
        self._began = False

    def feed(self, text: str) -> Iterator[Any]:
        """The elements that this piece completes."""
        self._rest += text
        while True:
            self._rest = self._rest.lstrip(", \r\n\t" if self._began else " \r\n\t")
            if not self._rest:
                return
            if not self._began:
                self._begin()
                continue
            if self._rest[0] == "]":
                self._ended = True
                self._rest = self._rest[1:]
                continue
            try:
                element, end = json.JSONDecoder().raw_decode(self._rest)
            except json.JSONDecodeError:
                return
            yield element
            self._rest = self._rest[end:]

    def check_ended(self) -> None:
        """Unavailable unless the array was closed."""
        if not self._ended:
            raise Unavailable("the answer broke off before its end; ask again")

    def _begin(self) -> None:
        if self._rest[0] != "[":
            raise FailedPrecondition(f"a streamed answer must be a JSON array, got {self._rest[:SAID_CHARACTERS]!r}")
        self._rest = self._rest[1:]
        self._began = True


class _FilePieces:
    """A file's bytes, as many as it had; each time from its beginning."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size

    def __iter__(self) -> Iterator[bytes]:
        left = self.size
        with open(self.path, "rb") as file:
            while left and (piece := file.read(min(PIECE_BYTES, left))):
                left -= len(piece)
                yield piece


# What a client is made of.


def check_server(server: str) -> str:
    """The server's URL, without a slash at its end; InvalidArgument unless it is one."""
    try:
        parts = urlsplit(server)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        right = False
    if not right or parts.path.strip("/") or parts.query or parts.fragment:
        raise InvalidArgument.of("server", f"must be like http://127.0.0.1:8080, got {server!r}")
    if parts.username or parts.password:
        raise InvalidArgument.of("server", "must hold no user and no password; give a key instead")
    return f"{parts.scheme}://{parts.netloc}"


def check_key(key: str) -> str:
    """The same key; InvalidArgument, which does not repeat it, unless it can be sent."""
    if _KEY.fullmatch(key) is None:
        raise InvalidArgument.of(
            "api_key",
            f"must be printable ASCII without blanks; this one has {len(key)} characters, some of another kind",
        )
    return key


def _is_loopback(server: str) -> bool:
    host = urlsplit(server).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@cache
def _trusted() -> ssl.SSLContext:
    # 20 ms each; shared, since an async prediction has a client of its own.
    return ssl.create_default_context()


# Errors.


@contextmanager
def _spelled(client: Client, path: str) -> Iterator[None]:
    """Within, trouble on the way is Unavailable, with the URL that did not answer."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        reason = str(error) or "no answer in time"
        raise Unavailable(
            f"nothing answers at {client.server} ({reason}); is the server running there (`tunesmith up`), and is the "
            "URL right?"
        ) from error
    except httpx.TimeoutException as error:
        raise Unavailable(f"{client.server}{path} has not answered in time; try again") from error
    except httpx.RequestError as error:
        reason = str(error) or type(error).__name__
        raise Unavailable(f"the connection to {client.server}{path} broke off ({reason}); try again") from error


def _error_of(response: httpx.Response) -> TunesmithError:
    """The error that an answer is."""
    try:
        said = response.json()["error"]
        return _from_status(said["status"], said["message"], said.get("details") or [])
    except (ValueError, KeyError, TypeError):
        url = response.request.url.copy_with(query=None)
        text = " ".join(response.text.split())[:SAID_CHARACTERS]
        where = f" (it points to {response.headers['location']})" if "location" in response.headers else ""
        return from_json(
            {
                "status": _STATUS_OF.get(response.status_code, "INTERNAL"),
                "message": f"{response.request.method} {url} was answered with {response.status_code}{where}: {text}",
            }
        )


def _from_status(status: str, message: str, details: Sequence[Mapping[str, Any]]) -> TunesmithError:
    violations = [
        Violation(str(v.get("field", "")), str(v.get("description", "")))._asdict()
        for detail in details
        for v in detail.get("fieldViolations", [])
    ]
    if status == Unauthenticated.status:
        message += " (api_key, or TUNESMITH_API_KEY)"
    return from_json(
        {"status": status, "message": message, "details": {"violations": violations} if violations else {}}
    )


def status_error(status: Mapping[str, Any]) -> TunesmithError:
    """A google.rpc.Status of a job or an operation as an error."""
    name = _CODE_NAMES.get(int(status.get("code", 13)), "INTERNAL")
    return _from_status(name, str(status.get("message", "")), status.get("details") or [])


def _json(response: httpx.Response) -> Wire:
    if not response.content:
        return {}
    try:
        value = response.json()
    except ValueError:
        value = None
    if not isinstance(value, dict):
        url = response.request.url.copy_with(query=None)
        raise FailedPrecondition(
            f"{url} does not answer as a Tunesmith server does: {response.text[:SAID_CHARACTERS]!r}"
        )
    return value


# Hashes.


def _md5(source: bytes | Path) -> str:
    if isinstance(source, bytes):
        digest = hashlib.md5(source, usedforsecurity=False)
    else:
        with open(source, "rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return base64.b64encode(digest.digest()).decode()


def _check_md5(uri: str, said: str, data: bytes) -> None:
    """`said`: X-Goog-Hash, `crc32c=...,md5=...`."""
    hashes = dict(part.strip().split("=", 1) for part in said.split(",") if "=" in part)
    if "md5" in hashes and hashes["md5"] != _md5(data):
        raise DataLoss(f"{uri} arrived with other bytes than were stored; download it again")


# Predictions.


def _predicting(target: str, verb: str, version: str = "v1") -> str:
    if not target.startswith("projects/"):
        raise InvalidArgument.of("target", f"must be an endpoint's or a publisher model's full name, got {target!r}")
    return f"/{version}/{quote(target, safe='/@')}:{verb}"


def _tensors(instance: Mapping[str, Any], parameters: Mapping[str, Any]) -> Wire:
    return {"inputs": [to_tensor(instance)], "parameters": to_tensor(parameters)}


def to_tensor(value: Any) -> Wire:
    """A value as the API's Tensor; None is {}."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {"structVal": {key: to_tensor(inner) for key, inner in value.items()}}
    if isinstance(value, list | tuple):
        return {"listVal": [to_tensor(inner) for inner in value]}
    kinds: tuple[tuple[type, str], ...] = ((bool, "boolVal"), (int, "intVal"), (float, "floatVal"), (str, "stringVal"))
    for kind, name in kinds:
        if isinstance(value, kind):
            return {name: [value]}
    raise InvalidArgument.of("instance", f"cannot be sent: {value!r:.60} is a {type(value).__name__}")


def from_tensor(tensor: Mapping[str, Any]) -> Any:
    """The value of a Tensor."""
    if "structVal" in tensor:
        return {key: from_tensor(inner) for key, inner in tensor["structVal"].items()}
    if "listVal" in tensor:
        return [from_tensor(inner) for inner in tensor["listVal"]]
    for values in tensor.values():
        if isinstance(values, list):
            return values[0] if len(values) == 1 else values
    return None


def _pieces(element: Any) -> list[Wire]:
    """The predictions in one element of a streamed answer."""
    if "error" in element:
        raise status_error(element["error"])
    return [from_tensor(output) for output in element.get("outputs", [])]
