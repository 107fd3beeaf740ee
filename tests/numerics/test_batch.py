"""A batch against online predictions of the same model: the same answers, whatever stands in the way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from batching import make_batch_plan, put_lines, written_lines
from tiny_served import Home, make_home, serve_all
from tunesmith import folder
from tunesmith.batch import BatchModel, BatchPlan
from tunesmith.data import batch_input
from tunesmith.data.batch_output import ANSWERS, Answers
from tunesmith.engine import batch
from tunesmith.engine.requests import RequestReader
from tunesmith.engine.shelf import Tuned
from tunesmith.errors import Cancelled, DataLoss, Internal, InvalidArgument, NotFound
from tunesmith.folder import AttemptFolder
from tunesmith.instances import conversation_of
from tunesmith.storage import Storage

PROMPTS = [{"prefix": f"def f{i}(x): " + "return x " * (i % 5)} for i in range(20)]
DRAWING = {"max_output_tokens": 12}


class Bench:
    """A bucket, a model, and attempts at answering what lies in the bucket."""

    def __init__(self, home: Home, root: Path) -> None:
        self.home = home
        self.root = root
        self.storage = Storage(root / "buckets")
        self.storage.create_bucket("bucket", "p")
        self.read = root / "read" / "instances"
        self.attempts: list[AttemptFolder] = []

    def plan(self, tuned: Tuned | None = None, *, full: bool = False, **fields: Any) -> BatchPlan:
        model = None
        if tuned is not None:
            model = BatchModel(name=tuned.name, place=str(tuned.folder.relative_to(self.home.models)), full=full)
        said = {"base_model": str(self.home.prepared.folder), "model": model, "drawing": DRAWING}
        return make_batch_plan(**{**said, **fields})

    def put(self, lines: Sequence[Any], plan: BatchPlan) -> None:
        put_lines(self.storage, "in.jsonl", lines)
        batch_input.read(plan, self.storage, self.read, lambda *said: None)

    def attempt(self) -> AttemptFolder:
        self.attempts.append(AttemptFolder(self.root / f"attempt-{len(self.attempts) + 1}").create())
        return self.attempts[-1]

    def predict(self, plan: BatchPlan, attempt: AttemptFolder | None = None) -> dict[str, Any]:
        return batch.predict(
            plan,
            attempt or self.attempt(),
            base=self.home.base,
            base_models=self.home.root / "base-models",
            models=self.home.models,
            read=self.read,
            storage=self.storage,
            earlier=self.attempts[:-1],
        )

    def written(self, plan: BatchPlan) -> list[dict[str, Any]]:
        return written_lines(self.storage, plan.destination)

    def texts(self, plan: BatchPlan) -> list[str]:
        return [line["predictions"][0]["content"] for line in self.written(plan)]

    def online(self, instances: Sequence[Any], tuned: Tuned | None, **drawing: Any) -> list[str]:
        """What :predict answers, each instance asked of a serving process's parts by itself."""
        reader = RequestReader(self.home.base, self.home.renderer, self.home.models)
        model = {"name": tuned.name, "folder": str(tuned.folder)} if tuned else None
        found = []
        for instance in instances:
            said = {"conversation": conversation_of("generation", instance, "instances[0]"), **DRAWING, **drawing}
            ask = reader.generate(json.dumps({**said, "model": model}).encode())
            (answered,) = serve_all(self.home.batcher(self.home.shelf()), [ask])
            found.append(answered.text())
        return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return make_home(tmp_path_factory.mktemp("batch"))


@pytest.fixture
def bench(home: Home, tmp_path: Path) -> Bench:
    return Bench(home, tmp_path)


@pytest.mark.parametrize("number", [None, 7])
def test_a_batch_says_what_predict_says_at_temperature_0(bench: Bench, home: Home, number: int | None) -> None:
    tuned = None if number is None else home.tuned(number)
    plan = bench.plan(tuned)
    bench.put(PROMPTS, plan)
    result = bench.predict(plan)
    assert (result["successful"], result["failed"], result["total"]) == (20, 0, 20)
    assert [line["instance"] for line in bench.written(plan)] == PROMPTS
    assert {line["status"] for line in bench.written(plan)} == {""}
    assert bench.texts(plan) == bench.online(PROMPTS, tuned)


def test_a_tuned_model_answers_otherwise_than_its_base(bench: Bench, home: Home) -> None:
    """Without this the test above could compare the base with itself."""
    assert bench.online(PROMPTS[:5], home.tuned(7)) != bench.online(PROMPTS[:5], None)


def test_a_model_whose_every_weight_was_tuned_answers_itself(bench: Bench, home: Home) -> None:
    tuned = home.tuned(9, "full")
    plan = bench.plan(tuned, full=True)
    bench.put(PROMPTS[:4], plan)
    bench.predict(plan)
    alone = home.batcher(home.shelf(weights=tuned.folder / "model"))
    answered = serve_all(alone, [home.ask(p["prefix"], max_output_tokens=12) for p in PROMPTS[:4]])
    assert bench.texts(plan) == [one.text() for one in answered]


def test_a_seed_that_is_given_is_predicts_own(bench: Bench) -> None:
    plan = bench.plan(drawing={**DRAWING, "temperature": 0.9, "seed": 5})
    bench.put(PROMPTS, plan)
    bench.predict(plan)
    assert bench.texts(plan) == bench.online(PROMPTS, None, temperature=0.9, seed=5)


def test_without_a_seed_equal_instances_differ_and_the_job_repeats_itself(bench: Bench) -> None:
    plan = bench.plan(drawing={**DRAWING, "temperature": 1.0})
    bench.put([PROMPTS[0]] * 6, plan)
    bench.predict(plan)
    first = bench.texts(plan)
    bench.attempts.clear()
    bench.predict(plan)
    assert bench.texts(plan) == first
    assert len(set(first)) > 1


def test_candidates_are_predictions_of_one_line(bench: Bench) -> None:
    plan = bench.plan(drawing={**DRAWING, "temperature": 1.0, "candidates": 3})
    bench.put(PROMPTS[:2], plan)
    bench.predict(plan)
    assert [len(line["predictions"]) for line in bench.written(plan)] == [3, 3]


def test_a_chat_is_answered_with_the_models_own_context(bench: Bench) -> None:
    instance = {"messages": [{"author": "user", "content": "what is 1 plus 1?"}]}
    plans = [
        bench.plan(kind="chat", context=context, destination=f"gs://bucket/{i}")
        for i, context in enumerate(("", "You add."))
    ]
    for plan in plans:
        bench.put([instance], plan)
        bench.predict(plan)
        bench.attempts.clear()
    said = [bench.written(plan)[0]["predictions"][0]["candidates"] for plan in plans]
    assert [candidates[0]["author"] for candidates in said] == ["bot", "bot"]
    assert said[0] != said[1]


def test_bad_lines_get_a_reason_and_the_others_an_answer(bench: Bench) -> None:
    plan = bench.plan()
    lines = [
        PROMPTS[0],
        "not JSON",
        {"prefix": "x", "suffix": "y"},
        {"prefix": ""},
        {"prefix": "word " * 4000},
        PROMPTS[1],
    ]
    bench.put(lines, plan)
    result = bench.predict(plan)
    assert (result["successful"], result["failed"], result["total"]) == (2, 4, 6)
    said = bench.written(plan)
    assert [bool(line["predictions"]) for line in said] == [True, False, False, False, False, True]
    words = ["", "is not JSON", "fill in the middle", "instance.prefix: is empty", "tokens; the model's context is", ""]
    for line, word in zip(said, words, strict=True):
        assert word in line["status"]
    assert [text.split(": ")[0] for text in result["failures"]] == [
        f"gs://bucket/in.jsonl line {n}" for n in (2, 3, 4, 5)
    ]


def test_a_job_in_which_nothing_could_be_answered_fails_and_writes_nothing(bench: Bench) -> None:
    plan = bench.plan()
    bench.put([{"prefix": "word " * 4000}] * 3, plan)
    with pytest.raises(InvalidArgument, match=r"not one instance could be answered: gs://bucket/in\.jsonl line 1: "):
        bench.predict(plan)
    assert bench.written(plan) == []


class Stopping(Answers):
    """Asks its attempt to stop once it holds so many answers."""

    after = 7

    def add(self, number: int, predictions: Any, status: str = "") -> None:
        super().add(number, predictions, status)
        if self.successful == self.after:
            Path(self._own.name).parents[1].joinpath("STOP").touch()  # type: ignore[arg-type]


def test_a_stopped_attempt_is_gone_on_with_and_nothing_is_lost_or_doubled(
    bench: Bench, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = bench.plan(home.tuned(7), drawing={**DRAWING, "temperature": 0.8})
    bench.put(PROMPTS, plan)
    bench.predict(plan)
    undisturbed = bench.written(plan)
    bench.attempts.clear()
    bench.root = bench.root / "again"

    monkeypatch.setattr(batch, "Answers", Stopping)
    with pytest.raises(Cancelled, match="their answers are kept"):
        bench.predict(plan)
    kept = folder.read_jsonl(bench.attempts[0].out / ANSWERS)[1:]
    assert 7 <= len(kept) < 20
    assert folder.read_jsonl(bench.attempts[0].metrics)[-1]["step"] == len(kept)
    monkeypatch.undo()

    result = bench.predict(plan)
    asked = [said["number"] for said in folder.read_jsonl(bench.attempts[1].out / ANSWERS)[1:]]
    assert sorted(asked + [said["number"] for said in kept]) == list(range(20))
    assert (result["successful"], result["failed"]) == (20, 0)
    assert bench.written(plan) == undisturbed


def test_nothing_is_written_before_all_is_answered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = bench.plan()
    bench.put(PROMPTS, plan)
    monkeypatch.setattr(batch, "Answers", Stopping)
    with pytest.raises(Cancelled):
        bench.predict(plan)
    assert bench.written(plan) == []


def test_a_line_for_which_the_memory_is_too_small_is_asked_again_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The memory runs out once, with all rows in use; every line gets its answer all the same."""
    from tunesmith.engine.shelf import Shelf

    plan = bench.plan()
    bench.put(PROMPTS, plan)
    real, calls = Shelf.next_logits, []

    def failing(self: Shelf, words: Sequence[str], **inputs: Any) -> Any:
        calls.append(len(words))
        if len(words) == 8 and calls.count(8) == 1:
            raise torch.OutOfMemoryError("made up")
        return real(self, words, **inputs)

    monkeypatch.setattr(Shelf, "next_logits", failing)
    result = bench.predict(plan)
    assert (result["successful"], result["failed"]) == (20, 0)
    monkeypatch.undo()
    assert caplog.text.count("asked again, alone") == 8
    assert bench.texts(plan) == bench.online(PROMPTS, None)


def test_what_is_wrong_with_the_model_ends_the_job(bench: Bench, home: Home) -> None:
    gone = Tuned("projects/p/locations/l/models/404@1", home.models / "404" / "1")
    plan = bench.plan(gone)
    bench.put(PROMPTS, plan)
    with pytest.raises(NotFound, match="was the model deleted"):
        bench.predict(plan)


def test_a_model_of_another_project_with_the_id_of_a_deleted_one_answers_nothing(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    bench = Bench(home, tmp_path)
    tuned = home.tuned(1)
    plan = bench.plan(tuned)
    bench.put(PROMPTS[:1], plan)
    for project, is_owner in (("other", False), ("p", True)):
        said = {"model": tuned.name.partition("@")[0].replace("projects/p/", f"projects/{project}/")}
        folder.write_json(tuned.folder / "lineage.json", said)
        if is_owner:
            assert bench.predict(plan)["successful"] == 1
            continue
        with pytest.raises(NotFound, match="is not there any more"):
            bench.predict(plan)


def test_a_bug_in_the_batch_is_told_as_it_is(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunesmith.engine.shelf import Shelf

    plan = bench.plan()
    bench.put(PROMPTS, plan)

    def failing(self: Shelf, words: Sequence[str], **inputs: Any) -> Any:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Shelf, "next_logits", failing)
    with pytest.raises((ZeroDivisionError, Internal), match="a bug"):
        bench.predict(plan)


def test_lines_that_were_damaged_after_they_were_read_are_not_asked(bench: Bench) -> None:
    plan = bench.plan()
    bench.put(PROMPTS, plan)
    (bench.read / "00000.jsonl").write_text("{}\n")
    with pytest.raises(DataLoss):
        bench.predict(plan)
