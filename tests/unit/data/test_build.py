"""Building: every row is in a shard or in the list of what is wrong; what was checked is what was rendered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tiny_model import make_tiny_model
from tunesmith import catalog, folder
from tunesmith.data.build import SHOWN_FILE, build, counterpart, open_renderer, survey
from tunesmith.data.pack import Shard
from tunesmith.errors import Aborted, InvalidArgument, NotFound
from tunesmith.spec import TuningPlan, TuningSpec, resolve

GENERATION = [{"input_text": f"Write the code in Python: add {i}.", "output_text": f"x + {i}"} for i in range(24)]
CHAT: list[dict[str, Any]] = [
    {"messages": [{"author": "user", "content": f"what is {i}?"}, {"author": "assistant", "content": f"a number {i}"}]}
    for i in range(12)
]
HELD_OUT = [{"input_text": f"Write the code in Python: subtract {i}.", "output_text": f"{i} - y"} for i in range(10)]
HELD_OUT_CHAT: list[dict[str, Any]] = [
    {"messages": [{"author": "user", "content": f"why {i}?"}, {"author": "assistant", "content": f"because of {i}"}]}
    for i in range(12)
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("base"), fim=True)


def _file(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def _plan(base: Path, dataset: Path, **fields: Any) -> TuningPlan:
    reference = fields.pop("reference", "")
    context = fields.pop("context_tokens", None)
    spec = TuningSpec.parse({"dataset": str(dataset), "base_model": str(base), "train_steps": 20, **fields})
    found = catalog.Found(catalog.from_folder(base), catalog.REFERENCE_MODELS.get(reference))
    plan = resolve(spec, found)
    return plan if context is None else plan.model_copy(update={"context_tokens": context})


def test_every_row_is_in_its_shard_as_the_renderer_makes_it(base: Path, tmp_path: Path) -> None:
    plan = _plan(base, _file(tmp_path / "train.jsonl", GENERATION))
    build(plan, base, tmp_path / "shards")
    shard, renderer = Shard.open(tmp_path / "shards" / "training"), open_renderer(plan, base)
    assert [shard.line(i) for i in range(shard.num_examples)] == list(range(1, 25))
    for i, row in enumerate(GENERATION):
        wanted = (
            f"<|im_start|>user\n{row['input_text']}<|im_end|>\n<|im_start|>assistant\n{row['output_text']}<|im_end|>\n"
        )
        assert renderer.decode(shard.tokens(i)) == wanted
        assert renderer.decode(shard.tokens(i)[shard.prompt_tokens(i) :]) == row["output_text"] + "<|im_end|>\n"


def test_the_folder_is_sealed(base: Path, tmp_path: Path) -> None:
    build(_plan(base, _file(tmp_path / "train.jsonl", GENERATION), replay=0), base, tmp_path / "shards")
    names = set(folder.verify(tmp_path / "shards")["files"])
    assert {"training/tokens.npy", "forgetting/tokens.npy", SHOWN_FILE} <= names
    assert not any(name.startswith(("evaluation/", "replay/")) for name in names)


def test_counts_are_those_of_the_shards(base: Path, tmp_path: Path) -> None:
    evaluation = _file(tmp_path / "eval.jsonl", HELD_OUT)
    plan = _plan(base, _file(tmp_path / "train.jsonl", GENERATION), evaluation_data=str(evaluation))
    built = build(plan, base, tmp_path / "shards").to_json()
    training, held_out = (Shard.open(tmp_path / "shards" / role) for role in ("training", "evaluation"))
    assert built["examples"] == 24
    assert built["evaluation_examples"] == held_out.num_examples == 10
    assert built["tokens"] == int(training.lengths.sum())
    assert built["evaluation_tokens"] == int(held_out.lengths.sum())
    assert built["target_tokens"] == sum(int(training.weights(i).sum()) for i in range(24))
    assert built["statistics"]["length"]["max"] == int(training.lengths.max())
    assert built["longest"] == max(int(training.lengths.max()), int(held_out.lengths.max()))
    assert built["sha256"]["training"] == folder.file_sha256(tmp_path / "train.jsonl")
    assert built["forgetting_examples"] == 24
    assert json.loads(json.dumps(built)) == built


def test_epochs_are_steps_times_batch_over_examples(base: Path, tmp_path: Path) -> None:
    # S54: 240 examples, 20 steps, batch 24 are 2 epochs.
    dataset = _file(tmp_path / "train.jsonl", GENERATION * 10)
    assert survey(_plan(base, dataset, batch_size=24), base).epochs == 2


def test_a_survey_counts_what_a_build_would(base: Path, tmp_path: Path) -> None:
    evaluation = _file(tmp_path / "eval.jsonl", HELD_OUT_CHAT)
    plan = _plan(
        base, _file(tmp_path / "train.jsonl", CHAT), evaluation_data=str(evaluation), default_context="Be kind."
    )
    before = sorted(tmp_path.rglob("*"))
    surveyed = survey(plan, base)
    assert sorted(tmp_path.rglob("*")) == before
    assert build(plan, base, tmp_path / "shards").survey == surveyed


def test_rows_that_are_too_long_are_all_listed(base: Path, tmp_path: Path) -> None:
    rows = [*GENERATION, *[{"input_text": "long " * 300, "output_text": "x"}] * 7]
    plan = _plan(base, _file(tmp_path / "train.jsonl", rows), context_tokens=256)
    with pytest.raises(InvalidArgument) as caught:
        build(plan, base, tmp_path / "shards")
    assert [finding["line"] for finding in caught.value.details["findings"]] == list(range(25, 32))
    assert "line 25: has " in caught.value.message
    assert "the limit is 256 (shorten the row" in caught.value.message
    assert "and 2 more" in caught.value.message
    assert not (tmp_path / "shards").exists()


def test_a_row_at_the_limit_is_kept_and_one_over_it_refused(base: Path, tmp_path: Path) -> None:
    dataset = _file(tmp_path / "train.jsonl", GENERATION)
    longest = survey(_plan(base, dataset), base).longest
    assert survey(_plan(base, dataset, context_tokens=longest), base).examples == 24
    with pytest.raises(InvalidArgument, match=f"the limit is {longest - 1}"):
        survey(_plan(base, dataset, context_tokens=longest - 1), base)


def test_what_the_check_finds_stops_the_build_before_anything_is_written(base: Path, tmp_path: Path) -> None:
    dataset = _file(tmp_path / "train.jsonl", GENERATION)
    dataset.write_text(dataset.read_text("utf-8") + "not json\n", "utf-8")
    with pytest.raises(InvalidArgument, match="line 25") as caught:
        build(_plan(base, dataset), base, tmp_path / "shards")
    assert caught.value.details["findings"][0]["line"] == 25
    assert caught.value.violations[0].field == "dataset"
    assert not (tmp_path / "shards").exists()


@pytest.mark.parametrize(
    ("reference", "rows", "other"),
    [("code-bison@002", CHAT, "codechat-bison@002"), ("chat-bison-32k", GENERATION, "text-bison-32k")],
)
def test_the_wrong_kind_of_rows_names_the_right_model(
    base: Path, tmp_path: Path, reference: str, rows: list[dict[str, Any]], other: str
) -> None:
    plan = _plan(base, _file(tmp_path / "train.jsonl", rows), reference=reference)
    with pytest.raises(InvalidArgument, match=f"{reference} takes .*train.jsonl holds .*use {other},"):
        build(plan, base, tmp_path / "shards")


@pytest.mark.parametrize(
    ("fields", "name"), [({}, "dataset"), ({"evaluation_data": "absent.jsonl"}, "evaluation_data")]
)
def test_an_absent_file_is_named_with_its_field(base: Path, tmp_path: Path, fields: dict[str, str], name: str) -> None:
    dataset = tmp_path / "absent.jsonl" if name == "dataset" else _file(tmp_path / "train.jsonl", GENERATION)
    with pytest.raises(NotFound, match=f"^{name}: .*absent.jsonl: no such file"):
        survey(_plan(base, dataset, **fields), base)


def test_every_reference_model_has_a_counterpart_of_the_other_kind() -> None:
    for name, model in catalog.REFERENCE_MODELS.items():
        other = catalog.REFERENCE_MODELS[counterpart(name)]
        assert (other.kind, other.context_tokens) == (
            {"chat": "generation", "generation": "chat"}[model.kind],
            model.context_tokens,
        )
        assert counterpart(other.name) == name


def test_a_file_that_changes_while_it_is_read_stops_the_job(base: Path, tmp_path: Path) -> None:
    # A.25
    dataset = _file(tmp_path / "train.jsonl", GENERATION)

    def replace(phase: str, done: int | None = None, total: int | None = None) -> None:
        if phase == "rendering":
            _file(dataset, [*GENERATION[:-1], {"input_text": "Write the code in Python.", "output_text": "other"}])

    with pytest.raises(Aborted, match=r"train.jsonl was changed while it was being read"):
        build(_plan(base, dataset), base, tmp_path / "shards", on_progress=replace)
    assert not (tmp_path / "shards").exists()


def test_replay_takes_as_many_rows_as_the_steps_will(base: Path, tmp_path: Path) -> None:
    plan = _plan(base, _file(tmp_path / "train.jsonl", GENERATION), replay=0.25, train_steps=10)
    built = build(plan, base, tmp_path / "shards")
    assert plan.replay_rows == 2
    assert Shard.open(tmp_path / "shards" / "replay").num_examples == built.replay_examples <= 20


def test_the_same_plan_replays_the_same_rows(base: Path, tmp_path: Path) -> None:
    dataset = _file(tmp_path / "train.jsonl", GENERATION)
    tokens = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        build(_plan(base, dataset, replay=0.25, train_steps=4, seed=seed), base, tmp_path / name)
        tokens.append(folder.file_sha256(tmp_path / name / "replay" / "tokens.npy"))
    assert tokens[0] == tokens[1] != tokens[2]


def test_three_held_out_questions_are_kept_with_their_answers(base: Path, tmp_path: Path) -> None:
    evaluation = _file(tmp_path / "eval.jsonl", HELD_OUT_CHAT)
    plan = _plan(
        base, _file(tmp_path / "train.jsonl", CHAT), evaluation_data=str(evaluation), default_context="Be kind."
    )
    build(plan, base, tmp_path / "shards")
    shown = folder.read_json(tmp_path / "shards" / SHOWN_FILE)
    assert [question["line"] for question in shown] == [3, 7, 11]
    assert shown[0]["messages"] == [{"author": "user", "content": "why 2?"}]
    assert shown[0]["wanted"] == "because of 2"
    assert shown[0]["context"] == "Be kind."


def test_fill_in_the_middle_rows_become_examples(base: Path, tmp_path: Path) -> None:
    rows = [{"prefix": f"a = {i}", "suffix": "\n", "middle": " + 1"} for i in range(12)]
    plan = _plan(base, _file(tmp_path / "train.jsonl", rows))
    build(plan, base, tmp_path / "shards")
    shard = Shard.open(tmp_path / "shards" / "training")
    text = open_renderer(plan, base).decode(shard.tokens(3))
    assert text == "<|fim_prefix|>a = 3<|fim_suffix|>\n<|fim_middle|> + 1<|endoftext|>"
    assert folder.read_json(tmp_path / "shards" / SHOWN_FILE) == []


@pytest.mark.parametrize(("reference", "rows"), [("code-bison@002", GENERATION), ("codechat-bison@002", CHAT)])
def test_holes_stand_beside_the_rows_of_either_kind_and_are_known_in_the_shard(
    base: Path, tmp_path: Path, reference: str, rows: list[dict[str, Any]]
) -> None:
    holes = [{"prefix": f"a = {i}", "suffix": "\n", "middle": " + 1", "context": "# b: int\n"} for i in range(12)]
    mixed = [row for pair in zip(holes, rows[:12], strict=True) for row in pair]
    plan = _plan(base, _file(tmp_path / "train.jsonl", mixed), reference=reference)
    build(plan, base, tmp_path / "shards")
    shard = Shard.open(tmp_path / "shards" / "training")
    assert [shard.is_fim(i) for i in range(shard.num_examples)] == [True, False] * 12
    # The questions of the end report are asked of the others only.
    shown = folder.read_json(tmp_path / "shards" / SHOWN_FILE)
    assert [question["line"] % 2 for question in shown] == [0, 0, 0]


def test_progress_can_stop_a_build_and_leaves_nothing(base: Path, tmp_path: Path) -> None:
    def stop(phase: str, done: int | None = None, total: int | None = None) -> None:
        if phase == "rendering":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(_plan(base, _file(tmp_path / "train.jsonl", GENERATION)), base, tmp_path / "shards", on_progress=stop)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["train.jsonl"]
