"""What a batch is asked: objects of buckets as instances, one a line, each checked; the task read-instances.

In: a BatchPlan. Out: a sealed folder that no later change of an object can touch:

    instances/sources.json     [{"uri", "lines", "unreadable"}], in the order of the answer
    instances/00000.jsonl      of the first source: {"line", "instance", "error"} for each of its lines, in order

A line that is no instance is kept with what is wrong with it. A source of which nothing can be read, or which ends in
the middle, ends the job: InvalidArgument with the numbers of lines. Empty lines are no instances.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path
from typing import Any

from tunesmith import folder
from tunesmith.batch import BatchPlan
from tunesmith.data.lines import RawLine, ReadingLimits, read_lines
from tunesmith.errors import InvalidArgument, NotFound, Violation
from tunesmith.instances import conversation_of
from tunesmith.storage import MAX_PAGE, Storage, Uri

SOURCES = "sources.json"
MAX_SOURCES = 10_000
MAX_INSTANCES = 1_000_000
"""Of a job. Where each answer stands is kept in memory: some 200 MB for so many."""
LIMITS = ReadingLimits(total_bytes=8 << 30)
_SHOWN = 5
_PATTERN = re.compile(r"[*?\[]")
# Faults of a line; what else the reader of lines finds is a fault of the whole file.
_OF_LINE = {"row_too_large", "byte_order_mark"}

OnProgress = Callable[..., None]


def read(plan: BatchPlan, storage: Storage, target: Path, on_progress: OnProgress) -> dict[str, Any]:
    """Fills the sealed folder `target`; how many lines it holds, and how many of them cannot be read."""
    _refuse_without_bucket(plan, storage)
    uris = _objects(plan, storage)
    sources: list[dict[str, Any]] = []
    wrong: list[Violation] = []
    with folder.sealed(target) as unfinished:
        for number, uri in enumerate(uris):
            on_progress("reading", number, len(uris))
            source = _read_source(plan, storage, uri, unfinished / file_name(number), target.parent / "fetched")
            wrong += _refused(uri, source)
            sources.append(source)
            if sum(one["lines"] for one in sources) > MAX_INSTANCES:
                raise InvalidArgument.of("inputConfig", f"has more than {MAX_INSTANCES:,} instances; make several jobs")
        if wrong:
            raise InvalidArgument.of_all(wrong)
        kept = [{key: source[key] for key in ("uri", "lines", "unreadable")} for source in sources]
        folder.write_json(unfinished / SOURCES, kept)
    counts = {name: sum(source[name] for source in kept) for name in ("lines", "unreadable")}
    return {"instances": str(target), "sources": len(sources), **counts}


def file_name(number: int) -> str:
    """Of a source's lines in the sealed folder."""
    return f"{number:05d}.jsonl"


def _refuse_without_bucket(plan: BatchPlan, storage: Storage) -> None:
    """Now, and not after hours of predicting: NotFound if the bucket of the results is not there."""
    try:
        storage.check_place(f"{plan.destination}/x")
    except NotFound as error:
        raise NotFound(f"outputConfig.gcsDestination.outputUriPrefix: {error.message}", uri=plan.destination) from error


# Which objects.


def _objects(plan: BatchPlan, storage: Storage) -> list[str]:
    """Each object once, in the order of the URIs; those that a pattern stands for by name."""
    found: dict[str, None] = {}
    for uri in plan.sources:
        found.update(dict.fromkeys(_expanded(uri, storage) if _PATTERN.search(uri) else [uri]))
        if len(found) > MAX_SOURCES:
            raise InvalidArgument.of("inputConfig.gcsSource.uris", f"stand for more than {MAX_SOURCES:,} objects")
    return list(found)


def _expanded(uri: str, storage: Storage) -> Iterator[str]:
    """The objects that a pattern stands for; NotFound if there is none."""
    scheme, _, rest = uri.partition("://")
    bucket, _, pattern = rest.partition("/")
    if _PATTERN.search(bucket):
        raise InvalidArgument.of("inputConfig.gcsSource.uris", f"a bucket is named in full, got {uri!r}")
    parts = _parts(pattern, uri)
    prefix = pattern[: _PATTERN.search(pattern).start()]  # type: ignore[union-attr]
    token, number = "", 0
    while True:
        page = storage.list_objects(f"{scheme}://{bucket}", prefix, page_token=token, page_size=MAX_PAGE)
        for item in page.items:
            if _is_meant(item.name, parts):
                number += 1
                yield str(Uri(scheme, bucket, item.name))
        token = page.next_token
        if not token:
            break
    if not number:
        raise NotFound(f"inputConfig.gcsSource.uris: no object is called as {uri}", uri=uri)


def _parts(pattern: str, uri: str) -> list[str | re.Pattern[str]]:
    """Texts that stand for themselves, `*`, `**` and `?`, and what brackets stand for."""
    parts = [part for part in re.split(r"(\*\*|\*|\?|\[[^\]/]+\])", pattern) if part]
    try:
        return [re.compile(_one_of(p)) if p.startswith("[") and p.endswith("]") and len(p) > 2 else p for p in parts]
    except re.error as error:
        text = f"{uri!r} has brackets that stand for no characters; write [abc], [a-z] or [!a-z]"
        raise InvalidArgument.of("inputConfig.gcsSource.uris", text) from error


def _is_meant(name: str, parts: Sequence[str | re.Pattern[str]]) -> bool:
    """As Cloud Storage's own tools read it: `*` and `?` stay within a part of a name, `**` goes over parts.

    All places that are reached after a part are kept together: a regular expression would try them one by one, and
    with ten stars for days.
    """
    reached = {0}
    for part in parts:
        if isinstance(part, re.Pattern):
            reached = {at + 1 for at in reached if part.match(name, at)}
        elif part == "**":
            reached = set(range(min(reached), len(name) + 1))
        elif part == "*":
            reached = _within_part(name, reached)
        elif part == "?":
            reached = {at + 1 for at in reached if at < len(name) and name[at] != "/"}
        else:
            reached = {at + len(part) for at in reached if name.startswith(part, at)}
        if not reached:
            return False
    return len(name) in reached


def _within_part(name: str, reached: Set[int]) -> set[int]:
    """From each place on, up to the next `/`."""
    found: set[int] = set()
    for at in sorted(reached):
        if at not in found:
            end = name.find("/", at)
            found.update(range(at, (len(name) if end < 0 else end) + 1))
    return found


def _one_of(pattern: str) -> str:
    inside = pattern[1:-1]
    if inside.startswith("!"):
        inside = f"^{inside[1:]}"
    return "[" + inside.replace("\\", r"\\").replace("[", r"\[") + "]"


# What is in them.


def _read_source(plan: BatchPlan, storage: Storage, uri: str, target: Path, fetched: Path) -> dict[str, Any]:
    """Writes the source's lines; how many there are, and the first faults."""
    copy = storage.fetch(uri, fetched)
    source: dict[str, Any] = {"uri": uri, "lines": 0, "unreadable": 0, "faults": []}
    try:
        with open(target, "w", encoding="utf-8") as file:
            for raw in read_lines(copy, LIMITS):
                if raw.problem is not None and raw.problem.code not in _OF_LINE:
                    source["broken"] = f"line {raw.number}: {raw.problem.message}; {raw.problem.remedy}"
                    break
                if not raw.data.strip() and raw.problem is None:
                    continue
                instance, fault = _understood(plan, raw)
                source["lines"] += 1
                if fault:
                    source["unreadable"] += 1
                    source["faults"] = [*source["faults"], f"line {raw.number}: {fault}"][:_SHOWN]
                file.write(json.dumps({"line": raw.number, "instance": instance, "error": fault}) + "\n")
    finally:
        shutil.rmtree(fetched, ignore_errors=True)
    return source


def _understood(plan: BatchPlan, raw: RawLine) -> tuple[Any, str]:
    """The instance in a line, and what is wrong with it; one that is not JSON is given back as the text that it is."""
    if raw.problem is not None and raw.problem.code == "row_too_large":
        return None, f"{raw.problem.message}; {raw.problem.remedy}"
    text = raw.data.decode("utf-8", "replace")
    try:
        raw.data.decode("utf-8")
        instance = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite)
        json.dumps(instance, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        return text, f"is not UTF-8: byte {error.start} is {raw.data[error.start]:#04x}"
    except UnicodeEncodeError:
        return text, "has half a character in it (an escaped surrogate without its other half)"
    except json.JSONDecodeError as error:
        return text, f"is not JSON: column {error.colno}: {error.msg}"
    except (ValueError, RecursionError) as error:
        return text, "is nested too deep" if isinstance(error, RecursionError) else str(error)
    try:
        conversation_of(plan.kind, instance, "instance", plan.context)
    except InvalidArgument as error:
        return instance, error.message
    return instance, ""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{twice!r} stands twice in one JSON object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _finite(text: str) -> float:
    """1e999 would be written again as Infinity, which is not JSON."""
    if not math.isfinite(float(text)):
        raise ValueError(f"{text:.30} is larger than any number that is kept")
    return float(text)


def _refused(uri: str, source: dict[str, Any]) -> list[Violation]:
    """Why the job cannot go on with this source, if it cannot."""
    if "broken" in source:
        return [Violation(uri, f"cannot be read to its end: {source['broken']}")]
    if not source["lines"]:
        return [Violation(uri, "has no instances: write one JSON object a line")]
    if source["unreadable"] == source["lines"]:
        more = source["unreadable"] - len(source["faults"])
        rest = f"; and {more:,} more" if more else ""
        said = "; ".join(source["faults"]) + rest
        return [Violation(uri, f"none of its {source['lines']:,} lines is an instance: {said}")]
    return []
