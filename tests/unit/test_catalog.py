"""The catalog: what names stand for, and facts read from a model's folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith import catalog
from tunesmith.catalog import EMBEDDED, BaseModel, find
from tunesmith.errors import FailedPrecondition, InvalidArgument, NotFound

EMPTY = Path("/nowhere")


def make_folder(folder: Path, **facts: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(facts))
    return folder


@pytest.mark.parametrize("name", sorted(catalog.REFERENCE_MODELS))
def test_reference_name_stands_for_the_embedded_model_and_keeps_its_kind(name: str) -> None:  # S36
    found = find(name, {}, EMPTY)
    assert found.base.name == EMBEDDED
    assert found.reference is not None
    assert found.reference.kind == ("chat" if "chat" in name else "generation")
    assert found.reference.context_tokens == (32_768 if "32k" in name else 8192)


def test_twenty_reference_names_are_known() -> None:
    assert len(catalog.REFERENCE_MODELS) == 20
    assert {"code-bison@002", "codechat-bison@002", "code-bison-32k", "text-bison@001"} <= set(catalog.REFERENCE_MODELS)


def test_installation_maps_a_reference_name_to_another_base_model() -> None:
    found = find("code-bison@002", {"code-bison@002": "qwen3-8b"}, EMPTY)
    assert found.base.name == "qwen3-8b"
    assert found.reference == catalog.REFERENCE_MODELS["code-bison@002"]
    assert find("code-bison@001", {"code-bison@002": "qwen3-8b"}, EMPTY).base.name == EMBEDDED


@pytest.mark.parametrize("name", sorted(catalog.BASE_MODELS))
def test_catalog_name_stands_for_itself(name: str) -> None:
    assert find(name, {}, EMPTY) == (catalog.BASE_MODELS[name], None)


@pytest.mark.parametrize(
    ("name", "near"), [("code-bisson@002", "code-bison@002"), ("smollm2-135m", EMBEDDED), ("qwen3-9b", "qwen3-8b")]
)
def test_misspelt_name_is_refused_with_the_nearest_known_one(name: str, near: str) -> None:
    with pytest.raises(NotFound, match=f"did you mean {near}"):
        find(name, {}, EMPTY)


def test_name_like_nothing_is_refused_with_where_to_look() -> None:
    with pytest.raises(NotFound, match="models list"):
        find("zzzzzzzz", {}, EMPTY)


def test_hub_model_that_was_not_pulled_says_how_to_pull_it() -> None:
    with pytest.raises(FailedPrecondition, match="tunesmith models pull hf:Org/Name"):
        find("hf:Org/Name", {}, EMPTY)


def test_pulled_hub_model_is_described_by_its_folder(tmp_path: Path) -> None:
    make_folder(tmp_path / catalog.folder_name("hf:Org/Name"), hidden_size=640, max_position_embeddings=4096)
    base = find("hf:Org/Name", {}, tmp_path).base
    assert (base.name, base.hidden_size, base.context_tokens) == ("hf:Org/Name", 640, 4096)


@pytest.mark.parametrize(
    "facts",
    [
        {"hidden_size": 640, "max_position_embeddings": 4096},
        {"n_embd": 640, "n_positions": 4096},
        {"text_config": {"hidden_size": 640, "max_position_embeddings": 4096}, "hidden_size": 1},
    ],
)
def test_facts_of_a_folder_come_from_its_config(tmp_path: Path, facts: dict[str, object]) -> None:
    base = catalog.from_folder(make_folder(tmp_path / "model", **facts))
    assert (base.hidden_size, base.context_tokens, base.licence) == (640, 4096, "unknown")


def test_folder_without_a_config_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no config\.json"):
        find(str(tmp_path), {}, EMPTY)


def test_config_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="hidden_size"):
        catalog.from_folder(make_folder(tmp_path / "model", model_type="vit"))


def test_folders_fim_tokens_are_known_by_its_tokenizer(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", hidden_size=64, max_position_embeddings=128)
    wanted = catalog.BASE_MODELS["starcoder2-3b"].fim
    assert wanted is not None
    tokens = [{"content": token} for token in (wanted.prefix, wanted.suffix, wanted.middle, "<other>")]
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": tokens}))
    assert catalog.from_folder(folder).fim == wanted
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": tokens[1:]}))
    assert catalog.from_folder(folder).fim is None


def test_a_name_with_fim_behind_it_is_the_model_with_sentinels_added(tmp_path: Path) -> None:
    plain = catalog.BASE_MODELS[EMBEDDED]
    found = find(f"{EMBEDDED}+fim", {}, EMPTY).base
    assert (found.name, found.fim, found.parent) == (f"{EMBEDDED}+fim", catalog.ADDED_FIM, plain)
    assert (found.end_of_turn, found.licence, found.context_tokens) == ("<|im_end|>", "Apache-2.0", 8192)
    assert catalog.known(found.name) == found == catalog.with_fim(plain)
    assert find("code-bison@002+fim", {}, EMPTY).base == found
    folder = make_folder(tmp_path / "model", hidden_size=64, max_position_embeddings=128)
    assert find(f"{folder}+fim", {}, EMPTY).base.parent == catalog.from_folder(folder)


def test_a_model_that_has_sentinels_is_given_no_others() -> None:
    base = catalog.BASE_MODELS["starcoder2-3b"]
    assert find("starcoder2-3b+fim", {}, EMPTY).base is catalog.with_fim(base) is base


def test_a_folder_whose_own_name_ends_like_that_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "mine+fim", hidden_size=64, max_position_embeddings=128)
    assert find(str(folder), {}, EMPTY).base == catalog.from_folder(folder)


@pytest.mark.parametrize(
    ("hidden", "steps", "rate"),
    [
        (2000, 200, 7.5e-4),
        (2000, 201, 5e-4),
        (576, 300, 5e-5 * 10 * (2000 / 576) ** 0.78),
        (100, 100, 2e-3),
        (50_000, 1000, 1e-4),
    ],
)
def test_lora_rate_follows_the_width_rule_within_its_bounds(hidden: int, steps: int, rate: float) -> None:
    assert catalog.lora_rate(hidden, steps) == pytest.approx(rate)


@pytest.mark.parametrize(("hidden", "rate"), [(2000, 5e-5), (100, 2e-4), (100_000, 5e-6)])
def test_full_rate_follows_the_width_rule_within_its_bounds(hidden: int, rate: float) -> None:
    assert catalog.full_rate(hidden) == pytest.approx(rate)


def test_measured_rate_wins_over_the_rule() -> None:
    base = BaseModel("m", (), 1024, 2000, "MIT", lora_rate=3e-4)
    assert base.rate("lora", 100) == 3e-4
    assert base.rate("full", 100) == catalog.full_rate(2000)


def test_thirteen_regions_and_two_pools() -> None:  # S26, S27, S48, S53, S72, S73
    assert len(set(catalog.REGIONS)) == 13
    gpu, tpu = catalog.POOLS["GPU"], catalog.POOLS["TPU"]
    assert (gpu.region, gpu.batch_size_8k, gpu.batch_size_32k, gpu.quota_multiple) == ("us-central1", 8, 8, 8)
    assert (tpu.region, tpu.batch_size_8k, tpu.batch_size_32k, tpu.quota_multiple) == ("europe-west4", 24, 8, 64)


@pytest.mark.parametrize("base", catalog.BASE_MODELS.values(), ids=lambda b: b.name)
def test_every_entry_says_where_it_comes_from_and_under_which_licence(base: BaseModel) -> None:
    assert base.sources
    assert all(source.startswith(("hf:", "pypi:")) for source in base.sources)
    assert base.licence
    assert base.parameters > 1e8
    assert base.context_tokens >= 8192


@pytest.mark.parametrize("name", ["hf:Org/Name", "hf:a/b", "smollm2-135m-instruct"])
def test_folder_name_has_no_separator(name: str) -> None:
    assert "/" not in catalog.folder_name(name)
    assert ":" not in catalog.folder_name(name)
