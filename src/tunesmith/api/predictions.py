"""Predictions: Vertex's instances and parameters as a question to a serving process, and its answer as predictions.

In: a target (which server, which model on it), the body of :predict, :serverStreamingPredict or :countTokens. Out: the
answer, whole or as a JSON array that grows. A server that is not up yet is asked for in the store and waited for;
a client that hangs up ends its generation. Opens no tensors: tokens are counted where the model is.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import Request
from starlette.concurrency import run_in_threadpool

from tunesmith import catalog, process
from tunesmith.errors import Cancelled, InvalidArgument, TunesmithError, Unavailable, from_json
from tunesmith.instances import check_fields, conversation_of, predictions_of, sampling_of
from tunesmith.store import Model, Server, Store, Wanted, server_of

LOOK_S = 0.1
WORKER_LIMIT_S = 15.0
"""A worker looks for wanted servers several times a second: nothing after this long means that none runs."""
START_LIMIT_S = 900.0
"""60 GB of weights from a slow disk."""
AGAIN_LIMIT_S = 30.0
"""A server that died is seen and started again by its worker within this."""
PROOF_LIMIT_S = 10.0
"""For a serving process to say who it is, however busy."""
_PROOF_BYTES = 64
MAX_INSTANCES = 32


@dataclass(frozen=True, slots=True)
class Target:
    """What answers."""

    server: Wanted
    kind: catalog.Kind
    """How a prediction of it is shaped."""
    model: Model | None
    """None: the base model itself."""
    context: str = ""
    """Of a chat that brings none of its own (S52): what the model was tuned with."""
    deployed_id: str = ""

    @property
    def asked(self) -> dict[str, str] | None:
        """The model as the serving process is asked for it."""
        if self.model is None:
            return None
        return {"name": f"{self.model.name}@{self.model.version_id}", "folder": str(self.model.folder)}


def target_of(model: Model, deployed_id: str = "") -> Target:
    """A model of the registry, as what answers."""
    context = model.lineage.get("plan", {}).get("spec", {}).get("default_context", "")
    return Target(server_of(model), kind_of(model), model, context=context, deployed_id=deployed_id)


def kind_of(model: Model) -> catalog.Kind:
    """How a tuned model is asked and answers: as it was tuned, else as its data were."""
    plan, data = model.lineage.get("plan", {}), model.lineage.get("data", {})
    return "chat" if (plan.get("kind") or data.get("kind")) == "chat" else "generation"


@dataclass(slots=True)
class Answer:
    """One candidate, as far as it has got."""

    text: str = ""
    output_tokens: int = 0


def open_forwarding() -> httpx.AsyncClient:
    """The client to serving processes; answers take as long as they take."""
    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=32)
    return httpx.AsyncClient(timeout=httpx.Timeout(None, connect=5.0), limits=limits, trust_env=False)


async def predict(request: Request, target: Target, body: Mapping[str, Any]) -> dict[str, Any]:
    """All predictions of a body. Cancelled if the client has hung up."""
    check_fields(body, ("instances", "parameters", "labels"))
    instances, parameters = _instances(body), sampling_of(body.get("parameters") or {})
    questions = [{**parameters, **_question(target, one, f"instances[{i}]")} for i, one in enumerate(instances)]
    working = asyncio.ensure_future(_answer_all(request, questions, target))
    while not working.done():
        await asyncio.wait([working], timeout=LOOK_S)
        if not working.done() and await request.is_disconnected():
            working.cancel()
            raise Cancelled("the client hung up")
    answered = working.result()
    predictions: list[Any] = []
    for answers, _ in answered:
        predictions += predictions_of(target.kind, [answer.text for answer in answers])
    tokens = sum(count for _, count in answered), sum(a.output_tokens for answers, _ in answered for a in answers)
    asked = sum(_billable(one) for one in instances)
    said = sum(_letters(a.text) for answers, _ in answered for a in answers)
    return {
        "predictions": predictions,
        **_named(target),
        "metadata": {
            "tokenMetadata": {
                "inputTokenCount": {"totalTokens": tokens[0], "totalBillableCharacters": asked},
                "outputTokenCount": {"totalTokens": tokens[1], "totalBillableCharacters": said},
            }
        },
    }


async def stream(
    request: Request, target: Target, body: Mapping[str, Any], *, usage: bool = False
) -> AsyncIterator[bytes]:
    """The prediction of one instance in pieces, as the chunks of a JSON array; what is wrong is raised at once.

    `usage`: the last of the array says why the answer ended and how many tokens it took. Only a client of ours asks.
    """
    check_fields(body, ("inputs", "parameters"))
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1:
        raise InvalidArgument.of("inputs", "must be a list of one tensor")
    sampling = sampling_of(_plain(body.get("parameters") or {}, "parameters") or {})
    if sampling.get("candidates", 1) != 1:
        raise InvalidArgument.of("parameters.candidateCount", "must be 1 when the answer is streamed")
    question = {**sampling, **_question(target, _plain(inputs[0], "inputs[0]"), "inputs[0]")}
    lines = _lines(request, "/generate", question, target)
    first = await anext(lines)
    return _array(target, first, lines, usage)


async def count_tokens(request: Request, target: Target, body: Mapping[str, Any]) -> dict[str, int]:
    """Tokens and billable characters of a body's instances."""
    check_fields(body, ("instances", "model", "contents"))
    instances = _instances(body)
    total = 0
    for i, instance in enumerate(instances):
        question = _question(target, instance, f"instances[{i}]")
        async for line in _lines(request, "/count", question, target):
            total += line["tokens"]
    return {"totalTokens": total, "totalBillableCharacters": sum(map(_billable, instances))}


# To the serving process and back.


async def _answer_all(
    request: Request, questions: Sequence[Mapping[str, Any]], target: Target
) -> list[tuple[list[Answer], int]]:
    return await asyncio.gather(*[_answer(request, question, target) for question in questions])


async def _answer(request: Request, question: Mapping[str, Any], target: Target) -> tuple[list[Answer], int]:
    answers = [Answer() for _ in range(question.get("candidates", 1))]
    input_tokens = 0
    async for line in _lines(request, "/generate", question, target):
        if "text" in line:
            answers[line["candidate"]].text += line["text"]
        elif "finish" in line:
            answers[line["candidate"]].output_tokens = line["output_tokens"]
        else:
            input_tokens = line["input_tokens"]
    return answers, input_tokens


async def _lines(
    request: Request, path: str, question: Mapping[str, Any], target: Target
) -> AsyncIterator[dict[str, Any]]:
    """The lines of a serving process's answer; its error, if it gives one, is raised as it is."""
    async with _reached(request, path, question, target) as response:
        if response.status_code != 200:
            await response.aread()
            raise _error_of(response)
        try:
            async for text in response.aiter_lines():
                line = json.loads(text)
                if "error" in line:
                    raise from_json(line["error"])
                yield line
        except httpx.TransportError as error:
            raise Unavailable("the serving process ended in the middle of the answer; ask again") from error


@asynccontextmanager
async def _reached(
    request: Request, path: str, question: Mapping[str, Any], target: Target
) -> AsyncIterator[httpx.Response]:
    """An answer of the target's server. One that has just died is waited for: its worker starts it again."""
    client: httpx.AsyncClient = request.app.state.forwarding
    deadline_s = time.monotonic() + AGAIN_LIMIT_S
    while True:
        server = await _ready(request.app.state.store, target.server)
        headers = {"Authorization": f"Bearer {server.token}"}
        sent = client.build_request("POST", f"{server.url}{path}", json=dict(question), headers=headers)
        try:
            await _check_who(client, server)
            response = await client.send(sent, stream=True)
        except httpx.TransportError as error:
            if time.monotonic() > deadline_s:
                raise Unavailable(f"the serving process of {target.server.key} does not answer; try again") from error
            await asyncio.sleep(LOOK_S)
            continue
        try:
            yield response
        finally:
            await response.aclose()
        return


async def _check_who(client: httpx.AsyncClient, server: Server) -> None:
    """A TransportError unless it is the server's own process that answers at its address.

    Of a process that died with its machine the row stays, and another program may have its port by now: neither the
    token nor a prompt is for that one to read.
    """
    assert server.token is not None
    challenge = secrets.token_hex(16)
    async with client.stream("GET", f"{server.url}/who?{challenge}", timeout=PROOF_LIMIT_S) as answer:
        is_brief = answer.headers.get("content-length") == str(_PROOF_BYTES)
        said = b"".join([piece async for piece in answer.aiter_raw()]) if is_brief else b""
    if not secrets.compare_digest(said, process.proof(server.token, challenge).encode()):
        raise httpx.ConnectError(f"another program answers at {server.url}")


async def _ready(store: Store, wanted: Wanted) -> Server:
    """The server once it answers; Unavailable if nobody starts it, or with the reason why it did not start."""
    server: Server = await run_in_threadpool(store.ask_for_server, wanted)
    began_s = time.monotonic()
    while server.state != "READY":
        waited_s = time.monotonic() - began_s
        if server.state == "FAILED":
            reason = (server.error or {}).get("message", "no reason is known")
            raise Unavailable(f"the model of {wanted.key} could not be served: {reason}")
        if server.state in ("WANTED", "STOPPED") and waited_s > WORKER_LIMIT_S:
            raise Unavailable("no worker starts the model's server; is `tunesmith work` (or `tunesmith up`) running?")
        if waited_s > START_LIMIT_S:
            raise Unavailable(f"the model of {wanted.key} is still being loaded after {START_LIMIT_S:.0f} s; ask again")
        await asyncio.sleep(LOOK_S)
        server = await run_in_threadpool(_again, store, server)
    return server


def _again(store: Store, server: Server) -> Server:
    return store.server(server.key) or server


def _error_of(response: httpx.Response) -> TunesmithError:
    try:
        said = response.json()
        error = from_json(said.get("error", said))
    except (ValueError, KeyError):
        return Unavailable(f"the serving process answered {response.status_code}")
    return error


# What comes in.


def _question(target: Target, instance: Any, where: str) -> dict[str, Any]:
    return {"model": target.asked, "conversation": conversation_of(target.kind, instance, where, target.context)}


def _instances(body: Mapping[str, Any]) -> list[Any]:
    instances = body.get("instances")
    if not isinstance(instances, list) or not 0 < len(instances) <= MAX_INSTANCES:
        raise InvalidArgument.of("instances", f"must be a list of 1 to {MAX_INSTANCES}")
    return instances


# What goes out.


def _named(target: Target) -> dict[str, str]:
    if target.model is None:
        return {}
    return {
        "deployedModelId": target.deployed_id,
        "model": target.model.name,
        "modelVersionId": target.model.version_id,
        "modelDisplayName": target.model.display_name,
    }


async def _array(
    target: Target, first: Mapping[str, Any], lines: AsyncIterator[dict[str, Any]], usage: bool
) -> AsyncIterator[bytes]:
    """`[{"outputs": [T]},\\r\\n ... ]`; cut off before its end if the answer breaks off, which every client notices."""
    yield b"["
    mark = b""
    line: Mapping[str, Any] | None = first
    ended: dict[str, Any] = {}
    while line is not None:
        ended |= {name: line[name] for name in ("finish", "input_tokens", "output_tokens") if name in line}
        if "text" in line:
            (piece,) = predictions_of(target.kind, [line["text"]])
            yield mark + json.dumps({"outputs": [_tensor(piece)]}, ensure_ascii=False).encode()
            mark = b",\r\n"
        line = await anext(lines, None)
    if usage:
        tokens = {f"{side}TokenCount": {"totalTokens": ended.get(f"{side}_tokens", 0)} for side in ("input", "output")}
        last = {"outputs": [], "finishReason": ended.get("finish", ""), "metadata": {"tokenMetadata": tokens}}
        yield mark + json.dumps(last).encode()
    yield b"]"


def _tensor(value: Any) -> dict[str, Any]:
    """A value as the API's Tensor. Left out: empty lists, which the SDK reads as null, and then fails on."""
    if isinstance(value, Mapping):
        return {"structVal": {key: _tensor(inner) for key, inner in value.items() if inner != []}}
    if isinstance(value, list):
        return {"listVal": [_tensor(inner) for inner in value]}
    if isinstance(value, bool):
        return {"boolVal": [value]}
    if isinstance(value, str):
        return {"stringVal": [value]}
    return {"floatVal": [value]}


def _plain(tensor: Any, where: str) -> Any:
    """The value of a Tensor; {} is null."""
    if not isinstance(tensor, Mapping):
        raise InvalidArgument.of(where, f"must be a tensor, got {tensor!r:.60}")
    if "structVal" in tensor and isinstance(tensor["structVal"], Mapping):
        return {key: _plain(inner, f"{where}.{key}") for key, inner in tensor["structVal"].items()}
    if "listVal" in tensor and isinstance(tensor["listVal"], list):
        return [_plain(inner, f"{where}[{i}]") for i, inner in enumerate(tensor["listVal"])]
    for name in ("stringVal", "intVal", "int64Val", "floatVal", "doubleVal", "boolVal"):
        if isinstance(tensor.get(name), list):
            values = tensor[name]
            return values[0] if len(values) == 1 else values
    if tensor:
        raise InvalidArgument.of(where, f"is not a tensor: {', '.join(tensor)}")
    return None


def _billable(instance: Any) -> int:
    if isinstance(instance, Mapping):
        return sum(_billable(value) for key, value in instance.items() if key != "author")
    if isinstance(instance, list):
        return sum(map(_billable, instance))
    return _letters(instance) if isinstance(instance, str) else 0


def _letters(text: str) -> int:
    """Characters that the reference product counted: all but white space."""
    return sum(not character.isspace() for character in text)
