"""What tests of batches need: a plan, objects of instances, and what was written for them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tunesmith.batch import BatchPlan
from tunesmith.storage import Storage


def make_batch_plan(*sources: str, **fields: Any) -> BatchPlan:
    """A plan that asks the tiny model for gs://bucket/in.jsonl, or for the sources."""
    said = {
        "base_model": "tiny",
        "reference": "",
        "model": None,
        "kind": "generation",
        "context": "",
        "sources": sources or ("gs://bucket/in.jsonl",),
        "destination": "gs://bucket/out/prediction-m-t-1",
        "drawing": {},
        "seed": 1,
    }
    return BatchPlan(**{**said, **fields})


def put_lines(storage: Storage, name: str, lines: Iterable[Any]) -> str:
    """Writes an object of bucket `bucket`: texts as they are, other values as JSON; its URI."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    storage.put(f"gs://bucket/{name}", [text.encode() + b"\n" for text in texts])
    return f"gs://bucket/{name}"


def written_lines(storage: Storage, folder: str) -> list[dict[str, Any]]:
    """All lines of all objects in a folder gs://BUCKET/..., in order."""
    bucket, _, prefix = folder.removeprefix("gs://").partition("/")
    lines = []
    for item in storage.list_objects(f"gs://{bucket}", f"{prefix}/").items:
        opened = storage.open(f"gs://{bucket}/{item.name}")
        lines += [json.loads(line) for line in b"".join(opened.chunks()).splitlines()]
    return lines
