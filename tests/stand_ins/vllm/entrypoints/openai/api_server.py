"""A stand-in for vLLM's server: the routes and arguments that engine/vllm.py uses, with greedy answers.

It knows no argument but those, answers nobody without the key, and tells at GET /seen what it was asked to do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from peft import PeftModel
from transformers import AutoModelForCausalLM


class Answers:
    """One base model, and adapters by name."""

    def __init__(self, said: argparse.Namespace) -> None:
        self.said = said
        self.folders: dict[str, str] = {}
        self.seen: dict[str, Any] = {"loaded": [], "unloaded": [], "ended": 0, "broken_off": 0, "running": 0}

    def model(self, name: str) -> Any:
        base = AutoModelForCausalLM.from_pretrained(self.said.model).eval()
        if name == self.said.served_model_name:
            return base
        return PeftModel.from_pretrained(base, self.folders[name]).eval()

    async def tokens(self, body: dict[str, Any]) -> AsyncIterator[str]:
        model, ids = self.model(body["model"]), list(body["prompt"])
        self.seen["running"] += 1
        try:
            for _ in range(body["max_tokens"]):
                with torch.no_grad():
                    token = int(model(torch.tensor([ids])).logits[0, -1].argmax())
                ids.append(token)
                ends = token in body["stop_token_ids"]
                choice = {"index": 0, "text": "", "token_ids": [token], "finish_reason": "stop" if ends else None}
                yield f"data: {json.dumps({'choices': [choice]})}\n\n"
                await asyncio.sleep(0.001)
                if ends:
                    break
            yield "data: [DONE]\n\n"
            self.seen["ended"] += 1
        except (asyncio.CancelledError, GeneratorExit):
            self.seen["broken_off"] += 1
            raise
        finally:
            self.seen["running"] -= 1


def create_app(answers: Answers) -> FastAPI:
    app = FastAPI()

    @app.middleware("http")
    async def guard(request: Request, go_on: Any) -> Response:
        if request.headers.get("authorization") != f"Bearer {os.environ['VLLM_API_KEY']}":
            return JSONResponse({"error": "Unauthorized"}, 401)
        answer: Response = await go_on(request)
        return answer

    @app.get("/v1/models")
    async def models() -> Any:
        return {"data": [{"id": name} for name in (answers.said.served_model_name, *answers.folders)]}

    @app.get("/seen")
    async def seen() -> Any:
        return {**answers.seen, "pid": os.getpid(), "arguments": vars(answers.said)}

    @app.post("/v1/load_lora_adapter")
    async def load(request: Request) -> Response:
        assert os.environ["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "True"
        body = await request.json()
        answers.folders[body["lora_name"]] = body["lora_path"]
        answers.seen["loaded"].append(body["lora_path"])
        return PlainTextResponse("Success")

    @app.post("/v1/unload_lora_adapter")
    async def unload(request: Request) -> Response:
        answers.seen["unloaded"].append(answers.folders.pop((await request.json())["lora_name"]))
        return PlainTextResponse("Success")

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        body = await request.json()
        if body["model"] not in (answers.said.served_model_name, *answers.folders):
            return JSONResponse({"error": {"message": "no such model"}}, 404)
        assert body["stream"] is True
        assert body["return_token_ids"] is True
        return StreamingResponse(answers.tokens(body), media_type="text/event-stream")

    return app


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("model", "tokenizer", "served-model-name", "host", "load-format", "generation-config"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("port", "max-model-len", "max-num-seqs"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("max-lora-rank", "max-loras", "max-cpu-loras"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--enable-lora", action="store_true")
    said = parser.parse_args()
    uvicorn.run(create_app(Answers(said)), host=said.host, port=said.port, log_level="warning")


if __name__ == "__main__":
    main()
