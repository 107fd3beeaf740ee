"""Specs and plans: what is accepted, what is refused and how, and how every default is filled."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from making import make_plan
from tunesmith import catalog
from tunesmith.errors import InvalidArgument
from tunesmith.spec import TuningPlan, TuningSpec, pool_batch_size, resolve, schedule


def refuse(**fields: Any) -> list[tuple[str, str]]:
    """The violations of a spec that must be refused, by itself or when it is resolved."""
    with pytest.raises(InvalidArgument) as caught:
        make_plan(**fields)
    return [(v.field, v.message) for v in caught.value.violations]


# Parsing.


def test_defaults_are_the_reference_products() -> None:  # S43, S44, S45, S48, S50, S51
    spec = TuningSpec(dataset="d")
    assert (spec.train_steps, spec.learning_rate_multiplier, spec.evaluation_interval) == (300, 1.0, 20)
    assert (spec.early_stopping, spec.checkpoint_selection, spec.accelerator_type) == (True, "default", "GPU")


@pytest.mark.parametrize("steps", [20, "20", 20.0, " 20 "])
def test_whole_number_is_taken_in_any_lossless_form(steps: object) -> None:  # T5
    assert TuningSpec.parse({"dataset": "d", "train_steps": steps}).train_steps == 20


@pytest.mark.parametrize("steps", [0, -1, 1_000_001, 1.5, "1.5", "abc", "", True, None, math.nan, math.inf, [20]])
def test_other_step_counts_are_refused_by_name(steps: object) -> None:
    assert [field for field, _ in refuse(train_steps=steps)] == ["train_steps"]


@pytest.mark.parametrize("multiplier", [0, -1, 101, math.nan, math.inf, True, "x", None])
def test_multiplier_outside_its_range_is_refused_by_name(multiplier: object) -> None:
    assert [field for field, _ in refuse(learning_rate_multiplier=multiplier)] == ["learning_rate_multiplier"]


@pytest.mark.parametrize(("said", "meant"), [(True, True), ("true", True), ("FALSE", False), (False, False)])
def test_boolean_is_taken_as_a_string_too(said: object, meant: bool) -> None:  # T5
    assert TuningSpec.parse({"dataset": "d", "early_stopping": said}).early_stopping is meant


@pytest.mark.parametrize("said", ["yes", 1, 0, None, "ENABLE_EARLY_STOPPING"])
def test_other_booleans_are_refused(said: object) -> None:
    assert refuse(early_stopping=said)[0][0] == "early_stopping"


def test_unknown_field_is_refused_with_the_nearest_known_one() -> None:  # T2
    assert refuse(**{"evaluation_data:": "e"}) == [("evaluation_data:", "unknown field; did you mean evaluation_data?")]


def test_every_wrong_field_is_listed_at_once() -> None:
    found = refuse(train_steps=0, learning_rate_multiplier=-1, seed="x", tuning_method="magic")
    assert [field for field, _ in found] == ["train_steps", "learning_rate_multiplier", "tuning_method", "seed"]


def test_refusal_tells_the_value() -> None:
    assert "got 0" in refuse(train_steps=0)[0][1]


@pytest.mark.parametrize("method", ["rlhf", "RLHF", "dpo"])
def test_other_kinds_of_tuning_are_refused_by_name(method: str) -> None:  # S2
    ((field, message),) = refuse(tuning_method=method)
    assert field == "tuning_method"
    assert "supervised tuning only" in message


def test_misspelt_region_is_refused_with_the_real_name() -> None:  # T6
    ((field, message),) = refuse(location="us-centra1")
    assert field == "location"
    assert "did you mean us-central1?" in message


@pytest.mark.parametrize("region", catalog.REGIONS)
def test_thirteen_regions_are_taken(region: str) -> None:  # S27
    assert make_plan(location=region).spec.location == region


@pytest.mark.parametrize("project", ["", "P", "-p", "a/b", "p" * 64, "p\n", "\u0440"])
def test_project_that_is_none_is_refused(project: str) -> None:
    assert refuse(project=project)[0][0] == "project"


def test_spec_cannot_be_changed() -> None:
    with pytest.raises(Exception, match="frozen"):
        TuningSpec(dataset="d").train_steps = 5  # type: ignore[misc]


# Resolving.


@pytest.mark.parametrize(
    ("model", "accelerator", "context", "batch"),
    [
        ("code-bison@002", "GPU", None, 8),
        ("code-bison@002", "TPU", None, 24),
        ("codechat-bison@002", "TPU", None, 24),
        ("code-bison-32k", "GPU", None, 8),
        ("code-bison-32k", "TPU", None, 8),
        ("code-bison@002", "TPU", "32k", 8),
        ("code-bison@002", "TPU", "8k", 24),
        ("smollm2-135m-instruct", "TPU", None, 24),
    ],
)
def test_batch_size_by_accelerator_and_context(model: str, accelerator: str, context: str, batch: int) -> None:  # S53
    fields = {"base_model": model, "accelerator_type": accelerator, "max_context_length": context}
    assert make_plan(**fields).batch_size == batch


@pytest.mark.parametrize(("examples", "steps", "accelerator", "epochs"), [(240, 20, "TPU", 2.0), (240, 15, "GPU", 0.5)])
def test_epochs_of_the_reference_pages_examples(examples: int, steps: int, accelerator: str, epochs: float) -> None:
    # S54, T7: 480 are samples, not steps.
    plan = make_plan(train_steps=steps, accelerator_type=accelerator)
    assert plan.epochs(examples) == epochs


@pytest.mark.parametrize(("accelerator", "region"), [("GPU", "us-central1"), ("TPU", "europe-west4")])
def test_tuning_region_follows_the_accelerator(accelerator: str, region: str) -> None:  # S26
    assert make_plan(accelerator_type=accelerator, location="us-west1").tuning_location == region


def test_context_is_never_longer_than_the_base_models_own() -> None:
    assert make_plan(max_context_length="32k").context_tokens == 8192
    assert make_plan(base_model="qwen3-8b", max_context_length="32k").context_tokens == 32_768
    assert make_plan(base_model="qwen3-8b").context_tokens == 8192


@pytest.mark.parametrize(
    ("evaluated", "selection", "best"),
    [
        (True, "default", True),
        (True, "true", True),
        (True, "false", False),
        (False, "default", False),
        (False, "false", False),
    ],
)
def test_selection_by_default_means_best_where_there_is_evaluation_data(
    evaluated: bool, selection: str, best: bool
) -> None:  # S45
    data = {"evaluation_data": "e"} if evaluated else {}
    assert make_plan(checkpoint_selection=selection, **data).select_best is best


@pytest.mark.parametrize(("evaluated", "asked", "stops"), [(True, True, True), (True, False, False)])
def test_early_stopping_as_asked_with_evaluation_data(evaluated: bool, asked: bool, stops: bool) -> None:  # S44
    assert make_plan(evaluation_data="e", early_stopping=asked).early_stopping is stops


def test_no_early_stopping_without_evaluation_data() -> None:
    assert make_plan().early_stopping is False


@pytest.mark.parametrize(
    "fields", [{"evaluation_interval": 5}, {"early_stopping": True}, {"checkpoint_selection": "true"}]
)
def test_evaluation_options_without_evaluation_data_are_refused(fields: dict[str, Any]) -> None:  # S43-S45
    ((field, message),) = refuse(**fields)
    assert field in fields
    assert "evaluation_data" in message


def test_interval_beyond_the_steps_is_refused_if_it_was_asked_for() -> None:
    ((field, message),) = refuse(evaluation_data="e", train_steps=10, evaluation_interval=11)
    assert field == "evaluation_interval"
    assert "11" in message
    assert make_plan(evaluation_data="e", train_steps=10).evaluation_interval == 10


def test_default_context_for_what_is_no_chat_model_is_refused() -> None:  # S52
    assert refuse(default_context="c")[0][0] == "default_context"
    assert make_plan(base_model="codechat-bison@002", default_context="c").spec.default_context == "c"
    assert make_plan(base_model=catalog.EMBEDDED, default_context="c").kind is None


def test_rank_for_full_tuning_is_refused() -> None:
    assert refuse(tuning_method="full", adapter_rank=8)[0][0] == "adapter_rank"
    assert make_plan(tuning_method="full").adapter is None


def test_peak_rate_is_the_base_models_times_the_multiplier() -> None:  # S51
    base = catalog.BASE_MODELS[catalog.EMBEDDED]
    assert make_plan(learning_rate_multiplier=3).schedule.peak == pytest.approx(3 * base.rate("lora", 300))
    assert make_plan(tuning_method="full").schedule.peak == pytest.approx(base.rate("full", 300))


@pytest.mark.parametrize(
    ("steps", "warmup", "anneal"),
    [(1, 0, 1), (2, 0, 1), (10, 3, 4), (60, 5, 24), (100, 5, 40), (300, 15, 120), (1000, 50, 400), (10_000, 50, 4000)],
)
def test_schedule_by_steps(steps: int, warmup: int, anneal: int) -> None:
    found = schedule(1e-3, steps)
    assert (found.warmup_steps, found.anneal_steps) == (warmup, anneal)


@pytest.mark.parametrize(
    ("fields", "rows"),
    [
        ({"replay": 0.25}, 2),
        ({"replay": 0.3}, 3),
        ({"replay": 0.0}, 0),
        ({"replay": 1.0, "batch_size": 5}, 5),
        ({"replay": 0.25, "accelerator_type": "TPU"}, 6),
        # The base's context of 8k must not turn the batch of 8 that a context of 32k has into one of 24.
        ({"replay": 0.25, "accelerator_type": "TPU", "max_context_length": "32k"}, 2),
    ],
)
def test_replay_is_a_share_of_the_batch(fields: dict[str, Any], rows: int) -> None:
    assert make_plan(**fields).replay_rows == rows


# Names, hashes.


def test_display_name_says_model_steps_and_data() -> None:
    assert make_plan(dataset="/d.jsonl").display_name == "code-bison@002 tuned for 300 steps on /d.jsonl"
    assert make_plan(display_name="mine").display_name == "mine"


def test_long_default_name_keeps_the_tail_of_the_data() -> None:  # M.5
    names = [make_plan(dataset="/very/long" * 30 + f"/{tail}.jsonl").display_name for tail in ("a", "b")]
    assert [len(name) for name in names] == [128, 128]
    assert names[0].endswith("/a.jsonl")
    assert names[0] != names[1]


def test_plan_survives_its_json() -> None:
    plan = make_plan(evaluation_data="e", replay=0.5, max_context_length="32k", base_model="qwen3-8b")
    copy = TuningPlan.model_validate(json.loads(json.dumps(plan.model_dump(mode="json"))))
    assert copy == plan
    assert copy.sha256() == plan.sha256()


def test_hash_changes_with_anything_that_changes_the_result() -> None:
    plans = [make_plan(), make_plan(seed=1), make_plan(train_steps=301), make_plan(learning_rate_multiplier=1.1)]
    assert len({plan.sha256() for plan in plans}) == len(plans)


def test_nothing_in_a_plan_is_left_open() -> None:
    spec = TuningSpec(dataset="d")
    plan = resolve(spec, catalog.find(spec.base_model, {}, Path("/nowhere")))
    filled = plan.model_dump(exclude={"spec"})
    assert [name for name, value in filled.items() if value is None] == []
    assert pool_batch_size("GPU", plan.context_tokens) == plan.batch_size


# Sentinels.


@pytest.mark.parametrize(("asked", "name"), [({}, catalog.EMBEDDED), ({"fim_sentinels": "add"}, "+fim")])
def test_sentinels_are_added_where_they_are_asked_for(asked: dict[str, Any], name: str) -> None:
    assert make_plan(**asked).base_model.endswith(name)


def test_a_base_with_sentinels_of_its_own_stays_what_it_is() -> None:
    found = catalog.Found(catalog.BASE_MODELS["qwen3-8b"], None)
    spec = TuningSpec.parse({"dataset": "d", "base_model": "qwen3-8b", "fim_sentinels": "add"})
    assert resolve(spec, found).base_model == "qwen3-8b"
