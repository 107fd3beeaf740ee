"""Requests answered by a vLLM process on this machine, where there is one: what continuous.py's Batcher promises.

In: prompts as token ids (`Ask`), each with its model and sampling. Out: the same events. vLLM computes: it is started
as a program with the base model, is told of an adapter by name and folder when that is first asked for, and gives back
token ids, from which text, stop texts and ends are made here as for every other answer. It listens on loopback, knows a
key that only this process has, fetches nothing and reports nothing.

What differs: vLLM draws its own random numbers, so a seed repeats an answer of vLLM's and not one of the Batcher's.

Nothing of vLLM is imported. Written against its OpenAI-compatible server; docs/gpu.md says what was run.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx

from tunesmith import folder
from tunesmith.data.render import Renderer
from tunesmith.engine.adapters import ADAPTER
from tunesmith.engine.continuous import (
    Ask,
    Done,
    Event,
    Failed,
    Limits,
    Ticket,
    add_token,
    new_answer,
    seed_of,
    tell_end,
)
from tunesmith.engine.model import Prepared
from tunesmith.engine.shelf import MAX_RANK, Tuned, adapter_of, rank_of, refuse_beside_tuned, refuse_unfit
from tunesmith.errors import (
    Cancelled,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
    TunesmithError,
    Unavailable,
    from_exception,
)

log = logging.getLogger(__name__)

PROGRAM = (sys.executable, "-m", "vllm.entrypoints.openai.api_server")
START_S = 1800.0
"""A large model is read from a slow disk, and its kernels are compiled."""
LIMITS = {"rows": 128, "waiting": 1024, "adapters": 128}
"""Where nothing else is said: a GPU computes many rows for the price of one."""
_ADAPTERS_ON_DEVICE = 8
"""The others wait in the host's memory; every place on the device is as large as the largest adapter."""
_LOOK_S = 0.5
"""Between two looks whether it has loaded, or has died."""
_END_S = 10.0
"""From SIGTERM to SIGKILL, when all answers have ended."""
_RANKS = (64, 128, 256, 320, MAX_RANK)
"""Of which vLLM can make room for one."""


def is_installed() -> bool:
    """Whether this Python could start vLLM."""
    return importlib.util.find_spec("vllm") is not None


def start(
    base: Prepared, weights: Path | None, models: Path | None, context_tokens: int, limits: Limits
) -> VllmProcess:
    """vLLM with this base model, ready. Adapters may be as large as the largest in the folder of models is now."""
    process = VllmProcess(base, weights, context_tokens, limits, _room_for(models))
    try:
        process.wait_until_ready()
    except BaseException:
        process.stop()
        raise
    return process


def _room_for(models: Path | None) -> int:
    """The rank for which there must be room."""
    adapters = models.glob(f"*/*/{ADAPTER}") if models else ()
    largest = 0
    for adapter in adapters:
        with contextlib.suppress(OSError, ValueError):  # on its way in or out
            largest = max(largest, rank_of(adapter))
    return next((rank for rank in _RANKS if rank >= largest), MAX_RANK)


class VllmProcess:
    """A vLLM server with one base model: started at once, ready after `wait_until_ready`."""

    def __init__(
        self,
        base: Prepared,
        weights: Path | None,
        context_tokens: int,
        limits: Limits,
        rank: int,
    ) -> None:
        """`weights`: a fully tuned model in the base's place, which then stands alone. `rank`: at most, of adapters."""
        self.name = base.name
        self.key = secrets.token_urlsafe(32)
        self.url = f"http://127.0.0.1:{_free_port()}"
        self.rank = rank
        command = [*PROGRAM, *_arguments(self, base, weights, context_tokens, limits)]
        log.info("starting vllm url=%s", self.url)
        self._process = subprocess.Popen(command, env=_environment(self.key), stdin=subprocess.DEVNULL)

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def wait_until_ready(self, limit_s: float = START_S) -> None:
        """Until it answers with its model, to our key; Unavailable if it ends before, or is too slow."""
        deadline_s = time.monotonic() + limit_s
        with httpx.Client(base_url=self.url, headers=self.headers, timeout=10.0, trust_env=False) as client:
            while not self._answers(client):
                if self.exit_code is not None:
                    raise Unavailable(f"vLLM ended with {self.exit_code} before it answered; its log is above this")
                if time.monotonic() > deadline_s:
                    raise Unavailable(f"vLLM does not answer after {limit_s:g} s; its log is above this")
                time.sleep(_LOOK_S)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def stop(self) -> None:
        """Ends it, by force if need be."""
        self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answers(self, client: httpx.Client) -> bool:
        try:
            answer = client.get("/v1/models")
        except httpx.TransportError:
            return False
        return answer.status_code == 200 and self.name in [model["id"] for model in answer.json()["data"]]


def _free_port() -> int:
    # vLLM opens its port itself. Another program of this machine that takes it in between would be sent the key and
    # prompts, until vLLM ends because it cannot have the port.
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


def _arguments(
    process: VllmProcess, base: Prepared, weights: Path | None, context_tokens: int, limits: Limits
) -> list[str]:
    model = base.folder if weights is None else weights
    arguments = {
        "--model": str(model),
        "--tokenizer": str(base.folder),
        "--served-model-name": process.name,
        "--host": "127.0.0.1",
        "--port": process.url.rpartition(":")[2],
        "--max-model-len": str(context_tokens),
        "--max-num-seqs": str(limits.rows),
        "--load-format": "safetensors",
        # Not the model's own sampling: what a request does not say has our defaults.
        "--generation-config": "vllm",
    }
    said = [word for pair in arguments.items() for word in pair]
    if weights is None:
        said += ["--enable-lora", "--max-lora-rank", str(process.rank), "--max-cpu-loras", str(limits.adapters)]
        said += ["--max-loras", str(min(limits.adapters, _ADAPTERS_ON_DEVICE))]
    return said


def _environment(key: str) -> dict[str, str]:
    return {
        **os.environ,
        "VLLM_API_KEY": key,
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
    }


class _Asked(Ticket):
    """A request on its way, whose cancelling ends what waits for vLLM."""

    def __init__(self, ask: Ask, deliver: Callable[[Event], None], end: Callable[[], None]) -> None:
        super().__init__(ask, deliver)
        self._end = end

    def cancel(self) -> None:
        super().cancel()
        self._end()


class _Named:
    """An adapter that vLLM knows."""

    def __init__(self, word: str, name: str) -> None:
        self.word = word
        self.name = name
        self.uses = 0


class VllmBatcher:
    """All requests of one vLLM process. `run` is its thread; the rest may be called from any."""

    def __init__(
        self,
        process: VllmProcess,
        base: Prepared,
        renderer: Renderer,
        context_tokens: int,
        limits: Limits,
        weights: Path | None = None,
    ) -> None:
        self._process = process
        self._base = base
        self._renderer = renderer
        self._context_tokens = context_tokens
        self._limits = limits
        self._weights = weights
        self._loop = asyncio.new_event_loop()
        self._changed = threading.Lock()
        self._accepts = True
        self._closing = asyncio.Event()
        self._open = 0
        """Requests taken in that have not ended."""
        self._tasks: dict[_Asked, asyncio.Task[None]] = {}
        self._adapters: OrderedDict[tuple[str, str], _Named] = OrderedDict()
        self._loading = asyncio.Lock()
        self._client = httpx.AsyncClient(
            base_url=process.url,
            headers=process.headers,
            timeout=httpx.Timeout(10.0, read=None),
            limits=httpx.Limits(max_connections=None),
            trust_env=False,
        )

    def submit(self, ask: Ask, deliver: Callable[[Event], None]) -> Ticket:
        """Takes the request in. ResourceExhausted if too many wait, Unavailable if no more are taken."""
        if ask.candidates > self._limits.rows:
            raise InvalidArgument.of("candidates", f"at most {self._limits.rows} here, got {ask.candidates}")
        ticket = _Asked(ask, deliver, lambda: self._call(lambda: self._cancel(ticket)))
        with self._changed:
            if not self._accepts:
                raise Unavailable("this model's process is about to end and takes no more requests; ask again")
            if self._open >= self._limits.waiting + self._limits.rows:
                raise ResourceExhausted(f"{self._open} requests are under way already; ask again later")
            self._open += 1
            self._loop.call_soon_threadsafe(self._begin, ticket)
        return ticket

    @property
    def accepts(self) -> bool:
        """Whether `submit` takes requests."""
        return self._accepts

    @property
    def names(self) -> tuple[str, ...]:
        """Of the models whose adapters vLLM knows, the one asked for last at the end."""
        return tuple(named.name for named in list(self._adapters.values()))

    def counts(self) -> tuple[int, int]:
        """Candidates under way (vLLM decides which of them it computes now), and none that wait here."""
        return sum(ticket.open_candidates for ticket in list(self._tasks)), 0

    def refuse_more(self) -> None:
        """From now on `submit` refuses; what it has taken in goes on."""
        with self._changed:
            self._accepts = False

    def close(self) -> None:
        """Ends `run`; what has not ended fails."""
        self.refuse_more()
        self._call(self._closing.set)

    def run(self) -> None:
        """Serves until `close`, then ends vLLM. Unavailable if that ends by itself."""
        try:
            self._loop.run_until_complete(self._run())
        finally:
            self.refuse_more()
            self._process.stop()
            self._loop.close()

    async def _run(self) -> None:
        while not self._closing.is_set() and self._process.exit_code is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), _LOOK_S)
        self.refuse_more()
        await asyncio.sleep(0)  # what was submitted until now has its task
        for task in (tasks := list(self._tasks.values())):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()
        if not self._closing.is_set():
            raise Unavailable(f"vLLM ended with {self._process.exit_code}; its log is above this")

    def _call(self, what: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and all answers with it
            self._loop.call_soon_threadsafe(what)

    def _begin(self, ticket: _Asked) -> None:
        task = self._loop.create_task(self._answer(ticket))
        self._tasks[ticket] = task
        task.add_done_callback(lambda ended: self._ended(ticket, ended))
        if ticket.cancelled:
            self._cancel(ticket)

    def _cancel(self, ticket: _Asked) -> None:
        if ticket in self._tasks:
            self._tasks[ticket].cancel()

    # One request ------------------------------------------------------------------------------------------------------

    async def _answer(self, ticket: _Asked) -> None:
        """All candidates at once, then Done."""
        async with self._taken(ticket.ask.tuned) as model, asyncio.TaskGroup() as group:
            for candidate in range(ticket.ask.candidates):
                group.create_task(self._candidate(ticket, model, candidate))
        ticket.deliver(Done(len(ticket.ask.prompt)))

    def _ended(self, ticket: _Asked, task: asyncio.Task[None]) -> None:
        """Whatever went wrong is told to whoever asked."""
        self._tasks.pop(ticket, None)
        with self._changed:
            self._open -= 1
        if task.cancelled():
            gone = Cancelled("whoever asked has gone")
            ended = Unavailable("this model's process ended before the answer did; ask again")
            ticket.deliver(Failed(gone if ticket.cancelled else ended))
        elif (error := task.exception()) is not None:
            log.warning("a request failed", exc_info=error)
            ticket.deliver(Failed(_known(error)))

    async def _candidate(self, ticket: _Asked, model: str, candidate: int) -> None:
        ask, answer = ticket.ask, new_answer(ticket.ask, self._renderer)
        budget = min(ask.max_output_tokens, self._context_tokens - len(ask.prompt))
        body = {
            "model": model,
            "prompt": list(ask.prompt),
            "max_tokens": budget,
            "temperature": ask.sampling.temperature,
            "top_p": ask.sampling.top_p,
            "seed": seed_of(ask, candidate),
            "stop_token_ids": sorted(self._renderer.end_of_turn_ids),
            "stream": True,
            "return_token_ids": True,
            **({} if ask.sampling.top_k is None else {"top_k": ask.sampling.top_k}),
        }
        async with contextlib.aclosing(self._tokens(body)) as tokens:
            async for token in tokens:
                if not add_token(ticket, candidate, answer, token, budget, self._renderer.end_of_turn_ids):
                    return
        # It ended at a token that it knows as an end and does not tell.
        tell_end(ticket, candidate, answer, "stop")

    async def _tokens(self, body: dict[str, Any]) -> AsyncGenerator[int, None]:
        """The ids as they come. Closing it ends the request at vLLM as well."""
        async with self._client.stream("POST", "/v1/completions", json=body) as answer:
            if answer.status_code != 200:
                raise FailedPrecondition(f"vLLM refused the request: {(await answer.aread()).decode()[:500]}")
            async for line in _lines(answer):
                data = line.removeprefix("data:").strip()
                if not line.startswith("data:") or data == "[DONE]":
                    continue
                said = json.loads(data)
                if "error" in said:
                    raise Unavailable(f"vLLM broke off: {said['error'].get('message', said['error'])}")
                for choice in said["choices"]:
                    for token in choice.get("token_ids") or ():
                        yield token

    # Adapters ---------------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _taken(self, tuned: Tuned | None) -> AsyncIterator[str]:
        """The name by which vLLM knows this model, which stays until the answer has ended."""
        if tuned is not None and self._weights is not None:
            refuse_beside_tuned(tuned, self._weights)
        if tuned is None or self._weights is not None:
            yield self._process.name
            return
        async with self._loading:
            named = await self._named(tuned)
            named.uses += 1
        try:
            yield named.word
        finally:
            named.uses -= 1

    async def _named(self, tuned: Tuned) -> _Named:
        adapter = adapter_of(tuned)
        key = str(adapter), await asyncio.to_thread(folder.file_sha256, adapter / folder.MANIFEST)
        if key not in self._adapters:
            await asyncio.to_thread(refuse_unfit, adapter, self._base)
            self._refuse_larger(adapter)
            await self._make_room()
            word = f"tuned-{secrets.token_hex(8)}"
            await self._tell("load", {"lora_name": word, "lora_path": str(adapter)})
            self._adapters[key] = _Named(word, tuned.name)
        self._adapters.move_to_end(key)
        return self._adapters[key]

    def _refuse_larger(self, adapter: Path) -> None:
        if (rank := rank_of(adapter)) > self._process.rank:
            raise FailedPrecondition(
                f"model: {adapter} has rank {rank}, and vLLM was started for at most {self._process.rank}; "
                "restart the service, or serve with TUNESMITH_SERVING=transformers"
            )

    async def _make_room(self) -> None:
        while len(self._adapters) >= self._limits.adapters:
            oldest = next((key for key, named in self._adapters.items() if not named.uses), None)
            if oldest is None:
                raise ResourceExhausted(
                    f"all {self._limits.adapters} adapters that may be loaded at once are in use; ask again"
                )
            await self._tell("unload", {"lora_name": self._adapters.pop(oldest).word})

    async def _tell(self, verb: str, body: dict[str, str]) -> None:
        answer = await self._client.post(f"/v1/{verb}_lora_adapter", json=body, timeout=300.0)
        if answer.status_code != 200:
            raise FailedPrecondition(f"vLLM does not {verb} the adapter {body}: {answer.text[:500]}")


def _known(error: BaseException) -> TunesmithError:
    first = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
    if isinstance(first, httpx.TransportError):
        return Unavailable(f"vLLM does not answer ({type(first).__name__}); ask again")
    return from_exception(first)


async def _lines(answer: httpx.Response) -> AsyncIterator[str]:
    """Lines as they end in server-sent events. httpx ends one at U+2028 too, which stands in JSON as it is."""
    rest = b""
    async for piece in answer.aiter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.decode().rstrip("\r")
