"""A process that looks into data files for whoever serves them: `python -m tunesmith.inspection`.

In: a question a line on stdin, as JSON. Out: an answer a line on stdout. It copies an object out of its bucket, once a
version, and asks data/ what is in it; how fast this machine is, it asks engine/. It writes nothing but these copies,
and a base model that the first look makes ready. It ends with its input, or after an answer that took the engine,
whose libraries fill the memory: `last` is true then. Called by api/inspector.py, which bounds its time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tunesmith.errors import InvalidArgument, from_exception

if TYPE_CHECKING:
    from tunesmith.spec import TuningPlan

log = logging.getLogger(__name__)

MOST_BYTES = 2 << 30
"""Of an object; more is no data set (data/lines.py reads no further)."""
KEPT_BYTES = 4 << 30
"""Of copies; those that were not looked at for longest go first."""
KEPT_S = 24 * 3600.0
"""A copy that nobody looks at, also of an object that is deleted, until the next object is copied."""

Question = Mapping[str, Any]


def main() -> int:
    """Answers until there are no more questions."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with _own_output() as answers:
        for line in sys.stdin:
            answer = answer_to(json.loads(line))
            answer["last"] = "torch" in sys.modules
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
            if answer["last"]:
                break
    return 0


def answer_to(question: Question) -> dict[str, Any]:
    """`{"answer"}`, or `{"error"}` as errors.py writes one."""
    try:
        return {"answer": QUESTIONS[question["question"]](question)}
    except Exception as error:  # whatever it is, the asker must be told
        known = from_exception(error)
        if known is not error:
            log.exception("question=%s", question["question"])
        return {"error": known.to_json()}


@contextlib.contextmanager
def _own_output() -> Iterator[IO[str]]:
    """Where answers go; what a library prints goes to the log instead."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        yield answers


# The questions.


def check(question: Question) -> dict[str, Any]:
    """What is in the data files `dataset` and perhaps `evaluation_data`; with a `spec`, for its base model."""
    from tunesmith.data import verdict

    files = {name: fetch(question[name], question) for name in ("dataset", "evaluation_data") if question.get(name)}
    training, evaluation = files["dataset"], files.get("evaluation_data")
    if question.get("spec") is None:
        return verdict.judge(training, evaluation)
    plan, base_folder = _planned(question, files)
    return verdict.judge(training, evaluation, plan, base_folder)


def estimate(question: Question) -> dict[str, Any]:
    """As `check`, and the base model's `dimensions`; None where its config.json has others than cost.py knows."""
    from tunesmith import cost

    found = check(question)
    _, base_folder = _planned(question, {})
    try:
        dimensions = asdict(cost.read_dimensions(base_folder))
    except KeyError:
        dimensions = None
    return {**found, "dimensions": dimensions}


def preview(question: Question) -> dict[str, Any]:
    """Rows of `dataset` as the base model of `spec` sees them."""
    from tunesmith.data.preview import preview

    path = fetch(question["dataset"], question)
    plan, base_folder = _planned(question, {"dataset": path})
    asked = {name: question[name] for name in ("offset", "limit", "from_line")}
    return preview(path, plan, base_folder, **asked)


def machine(question: Question) -> dict[str, Any]:
    """How fast this machine multiplies in the `precision` asked for, and its memory."""
    from tunesmith.engine import estimate

    return asdict(estimate.machine(question["precision"]))


QUESTIONS: Mapping[str, Callable[[Question], dict[str, Any]]] = {
    "check": check,
    "estimate": estimate,
    "preview": preview,
    "machine": machine,
}


# What they need.


def fetch(uri: str, question: Question) -> Path:
    """A copy of the object as it is now, in a folder of its version, so that what was read of a path stays true."""
    from tunesmith.storage import Storage

    storage = Storage(Path(question["local_buckets"]), question["buckets"])
    opened = storage.open(uri)
    opened.close()
    if opened.info.size > MOST_BYTES:
        raise InvalidArgument(f"{uri} has {opened.info.size:,} bytes; a data set has at most {MOST_BYTES:,}")
    cache = Path(question["cache"])
    version = f"{uri} {opened.info.generation} {opened.info.size}"
    place = cache / hashlib.sha256(version.encode()).hexdigest()[:32]
    copies = [path for path in place.iterdir() if not path.name.startswith(".")] if place.is_dir() else []
    if copies:
        os.utime(place)
        return copies[0]
    _make_room(cache, KEPT_BYTES - opened.info.size)
    return storage.fetch(uri, place)


def _make_room(cache: Path, most_bytes: int) -> None:
    """Removes copies that nobody has looked at for KEPT_S, then the oldest until the others have so many bytes."""
    held = sorted((place.stat().st_mtime, place) for place in cache.iterdir()) if cache.is_dir() else []
    sizes = [sum(path.stat().st_size for path in place.iterdir()) for _, place in held]
    for number, (seen_s, place) in enumerate(held):
        if seen_s >= time.time() - KEPT_S and sum(sizes[number:]) <= most_bytes:
            return
        shutil.rmtree(place, ignore_errors=True)


def _planned(question: Question, files: Mapping[str, Path]) -> tuple[TuningPlan, Path]:
    """The plan of the spec, with the files in the place of what they are copies of, and its base model's folder."""
    from tunesmith import catalog
    from tunesmith.spec import TuningSpec, resolve

    base_models = Path(question["base_models"])
    spec = TuningSpec.parse(dict(question["spec"]))
    plan = resolve(spec, catalog.find(spec.base_model, question["aliases"], base_models))
    given = {name: str(path) for name, path in files.items()}
    plan = plan.model_copy(update={"spec": plan.spec.model_copy(update=given)})
    return plan, _base_folder(plan, question["aliases"], base_models)


def _base_folder(plan: TuningPlan, aliases: Mapping[str, str], base_models: Path) -> Path:
    from tunesmith import catalog
    from tunesmith.fingerprint import place_of

    base = catalog.find(plan.base_model, aliases, base_models).base
    place = place_of(base, base_models)
    if base.parent is None and place.is_dir():
        return place
    from tunesmith.engine import model

    return model.prepare(base, base_models).folder


if __name__ == "__main__":
    sys.exit(main())
