"""Added sentinels: a base model of their own, rows that train, and one answer however the tuned model is opened."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from tiny_model import FIM_TOKENS, make_tiny_model
from tiny_run import make_plan
from tiny_served import Home, serve_all
from tunesmith import catalog, folder
from tunesmith.data import build
from tunesmith.data.formats import Conversation, Fim, Message
from tunesmith.data.pack import Shard
from tunesmith.data.render import Renderer
from tunesmith.engine import sentinels, serve
from tunesmith.engine.adapters import load_tuned
from tunesmith.engine.continuous import Ask
from tunesmith.engine.device import Device
from tunesmith.engine.export import export
from tunesmith.engine.generate import set_for_decoding
from tunesmith.engine.measure import measure
from tunesmith.engine.model import Prepared, load, prepare
from tunesmith.engine.parallel import Ranks
from tunesmith.engine.shelf import BARE, Tuned
from tunesmith.engine.train import TrainResult, train
from tunesmith.errors import FailedPrecondition
from tunesmith.folder import AttemptFolder
from tunesmith.spec import TuningPlan

CPU = Device(torch.device("cpu"), torch.float32, "cpu", 1.0, 1.0)
HOLES = [
    {"prefix": f"def f{i}(a):\n    return ", "suffix": "\n\nprint(1)\n", "middle": f"a + {i}", "order": order}
    for i, order in enumerate(["psm", "spm"] * 10)
]
ASKED = [
    {"input_text": f"Write the code in Python: add {i} to x.", "output_text": f"x += {i}"} for i in range(len(HOLES))
]


class Place(NamedTuple):
    """A base model with sentinels added, and data for it."""

    root: Path
    parent: Path
    base: catalog.BaseModel
    prepared: Prepared
    data: Path
    evaluation: Path

    def plan(self, **fields: Any) -> TuningPlan:
        given = {"dataset": str(self.data), "train_steps": 6, "checkpoint_interval": 3, "fim_sentinels": "add"}
        return make_plan(self.parent, **{**given, **fields})

    def shards(self) -> Path:
        target = self.root / "shards"
        if not target.is_dir():
            build.build(self.plan(evaluation_data=str(self.evaluation)), self.prepared.folder, target)
        return target

    def run(self, attempt: Path, earlier: tuple[Path, ...] = (), **fields: Any) -> TrainResult:
        before = [AttemptFolder(path) for path in earlier]
        return train(
            self.plan(**fields), AttemptFolder(attempt), shards=self.shards(), base=self.prepared, earlier=before
        )


def _written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("added")
    parent = make_tiny_model(root / "tiny")
    base = catalog.find(f"{parent}+fim", {}, root / "base-models").base
    data = _written(root / "train.jsonl", [*HOLES, *ASKED])
    others = [{**row, "suffix": "\n\nprint(2)\n"} for row in HOLES[:6]]
    evaluation = _written(root / "evaluation.jsonl", [*others, *({**row, "output_text": "y"} for row in ASKED[:6])])
    return Place(root, parent, base, prepare(base, root / "base-models"), data, evaluation)


@pytest.fixture(scope="module")
def tuned(place: Place) -> Path:
    """A registry-like folder: it holds adapter/."""
    place.run(place.root / "tune", train_steps=12)
    return place.root / "tune" / "out"


def _question(fim: Fim) -> Conversation:
    return Conversation(0, "fim", None, (), fim)


# The base model


def test_the_new_base_model_is_its_parent_with_three_tokens_more(place: Place) -> None:
    folders = (place.parent, place.prepared.folder)
    before, after = (Tokenizer.from_file(str(path / "tokenizer.json")) for path in folders)
    size = before.get_vocab_size()
    assert sentinels.added(place.prepared.folder) == [size, size + 1, size + 2]
    assert [after.id_to_token(size + i) for i in range(3)] == list(FIM_TOKENS)
    for text in ("def f(x):\n    return 12", "<|im_start|>user\n", "<|fim_", "\u4f60\u597d"):
        assert after.encode(text).ids == before.encode(text).ids
    old, new = (load_file(path / "model.safetensors") for path in folders)
    assert old.keys() == new.keys()
    for name, values in old.items():
        assert torch.equal(new[name][: len(values)], values)
    assert len(new["model.embed_tokens.weight"]) == size + 3


def test_the_same_parent_gives_the_same_base_and_another_one_another(place: Place, tmp_path: Path) -> None:
    again = shutil.copytree(place.parent, tmp_path / "tiny")
    found = catalog.find(f"{again}+fim", {}, tmp_path).base
    assert prepare(found, tmp_path / "a").sha256 == place.prepared.sha256
    make_tiny_model(again, seed=1)
    assert prepare(found, tmp_path / "a").sha256 != place.prepared.sha256


def test_transformers_knows_the_tokens_of_the_new_folder(place: Place) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(place.prepared.folder)
    assert tokenizer.convert_tokens_to_ids(list(FIM_TOKENS)) == sentinels.added(place.prepared.folder)
    assert len(tokenizer) == load(place.prepared.folder, CPU).causal_lm.get_input_embeddings().weight.shape[0]
    fim = Fim("a = ", "\n", "1", "# b\n")
    text = "<|fim_prefix|># b\na = <|fim_suffix|>\n<|fim_middle|>"
    asked = Renderer.open(place.prepared.folder, place.base).prompt(_question(fim))
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == asked


# Training


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_rows_of_the_added_tokens_train(place: Place, tmp_path: Path, method: str) -> None:
    result = place.run(tmp_path / "tune", tuning_method=method)
    ids = sentinels.added(place.prepared.folder)
    before = load(place.prepared.folder, CPU).causal_lm.get_input_embeddings().weight[ids]
    after = load_tuned(Path(result.tuned), place.prepared, CPU).causal_lm.get_input_embeddings().weight[ids]
    assert bool((after != before).any(1).all())


def test_nothing_of_the_table_trains_but_the_added_rows(place: Place, tuned: Path) -> None:
    ids = sentinels.added(place.prepared.folder)
    before = load(place.prepared.folder, CPU).causal_lm.get_input_embeddings().weight
    after = load_tuned(tuned / "adapter", place.prepared, CPU).causal_lm.get_input_embeddings().weight
    assert torch.equal(after[: ids[0]], before[: ids[0]])


def test_resumed_equals_uninterrupted_to_the_bit_with_added_rows(place: Place, tmp_path: Path) -> None:
    name = Path("out") / "adapter" / "adapter_model.safetensors"
    place.run(tmp_path / "whole")
    first = AttemptFolder(tmp_path / "first")
    place.run(first.root)
    shutil.rmtree(first.checkpoints / "step-000006")
    assert place.run(tmp_path / "second", earlier=(first.root,)).resumed_from == 3
    assert (tmp_path / "second" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


# The tuned model, however it is opened


def _losses(place: Place, model: Any) -> torch.Tensor:
    return torch.from_numpy(measure(model, Shard.open(place.shards() / "evaluation"), 4096, Ranks(0, 1, 0)).example_nll)


def test_merged_equals_adapter_with_added_rows(place: Place, tuned: Path, tmp_path: Path) -> None:
    proof = export(tuned, place.prepared, place.base, "merged", tmp_path / "merged")
    assert "[...]" in proof["answers"][-1]["prompt"]
    beside = _losses(place, load_tuned(tuned / "adapter", place.prepared, CPU))
    torch.testing.assert_close(_losses(place, load(tmp_path / "merged", CPU)), beside, rtol=1e-4, atol=1e-4)
    assert catalog.from_folder(tmp_path / "merged").fim == catalog.ADDED_FIM


def test_peft_alone_opens_the_adapter_beside_the_published_base(place: Place, tuned: Path, tmp_path: Path) -> None:
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    export(tuned, place.prepared, place.base, "peft", tmp_path / "peft")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "peft")
    plain = transformers.AutoModelForCausalLM.from_pretrained(place.parent, dtype=torch.float32)
    plain.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model = peft.PeftModel.from_pretrained(plain, tmp_path / "peft").eval()
    own = load_tuned(tuned / "adapter", place.prepared, CPU).causal_lm
    own.set_attn_implementation("eager")
    tokens = tokenizer("<|fim_prefix|>def f(a):\n    return <|fim_suffix|>\n<|fim_middle|>", return_tensors="pt")
    with torch.no_grad():
        theirs, ours = model(tokens["input_ids"]).logits, own(tokens["input_ids"]).logits
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4)


def _home(place: Place, runs: dict[int, Path]) -> Home:
    home = Home(place.root, place.base, place.prepared, Renderer.open(place.prepared.folder, place.base))
    for number, out in runs.items():
        if not (home.models / str(number) / "1").is_dir():
            shutil.copytree(out / "adapter", home.models / str(number) / "1" / "adapter")
    return home


def _asks(home: Home, tuned: list[Tuned | None]) -> tuple[list[Conversation], list[Ask]]:
    said = [
        _question(Fim("def f7(a):\n    return ", "\n\nprint(1)\n", "")),
        Conversation(0, "generation", None, (Message("user", "Write the code in Python: add 3 to x.", False),)),
    ]
    return said, [Ask(tuple(home.renderer.prompt(one)), model, 16) for model in tuned for one in said]


def test_adapters_with_rows_of_their_own_disturb_nobody_in_one_batch(place: Place, tuned: Path) -> None:
    place.run(place.root / "other", train_steps=12, learning_rate_multiplier=3.0, seed=5)
    home = _home(place, {1: tuned, 2: place.root / "other" / "out"})
    one, two = home.tuned(1), home.tuned(2)
    rows = [load_file(m.folder / "adapter" / "adapter_model.safetensors") for m in (one, two)]
    (name,) = [name for name in rows[0] if name.endswith(sentinels.ROWS_KEY)]
    assert not torch.equal(rows[0][name], rows[1][name])
    order = [one, None, two, one]
    questions, asks = _asks(home, order)
    answers = [answered.text() for answered in serve_all(home.batcher(home.shelf(), rows=8), asks)]
    alone = [text for model in order for text in home.generator(model).answer(questions, max_output_tokens=16)]
    assert answers == alone
    assert len(set(alone)) > 2


def test_what_a_row_of_a_batch_may_say_is_what_its_model_alone_may_say(place: Place, tuned: Path) -> None:
    home = _home(place, {1: tuned})
    shelf = home.shelf()
    word = shelf.take(home.tuned(1))
    prompt = torch.tensor([home.renderer.prompt(_question(Fim("def f7(a):\n    return ", "\n", "")))])
    together = shelf.next_logits([word, BARE], input_ids=prompt.expand(2, -1))
    for logits_V, folder_of in zip(together, (tuned / "adapter", None), strict=True):
        model = load(place.prepared.folder, CPU) if folder_of is None else load_tuned(folder_of, place.prepared, CPU)
        set_for_decoding(model)
        with torch.no_grad():
            alone_V = model.causal_lm(input_ids=prompt).logits[0, -1]
        torch.testing.assert_close(logits_V, alone_V, rtol=1e-4, atol=1e-4)


def test_adapters_with_rows_of_their_own_leave_and_come_back(place: Place, tuned: Path) -> None:
    home = _home(place, {1: tuned})
    shutil.copytree(home.models / "1", home.models / "3", dirs_exist_ok=True)
    shelf = home.shelf(limit=1)
    one, three = home.tuned(1), home.tuned(3)
    order = [one, three, None, one]
    questions, asks = _asks(home, order)
    answers = [answered.text() for ask in asks for answered in serve_all(home.batcher(shelf), [ask])]
    alone = [text for model in order for text in home.generator(model).answer(questions, max_output_tokens=16)]
    assert answers == alone


def test_an_adapter_with_rows_of_other_tokens_is_refused(place: Place, tuned: Path, tmp_path: Path) -> None:
    version = shutil.copytree(tuned / "adapter", tmp_path / "1" / "adapter")
    (version / folder.MANIFEST).unlink()
    with folder.sealed(tmp_path / "2" / "adapter") as changed:
        shutil.copytree(version, changed, dirs_exist_ok=True)
        file = changed / "adapter_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "trainable_token_indices": [1, 2, 3]}))
    home = _home(place, {})
    with pytest.raises(FailedPrecondition, match="LORA with trainable_token_indices"):
        home.shelf().take(Tuned("m", tmp_path / "2"))


def test_vllm_is_not_asked_to_serve_adapters_with_rows_of_their_own(place: Place) -> None:
    assert not serve._uses_vllm("auto", CPU, None, place.prepared)
    with pytest.raises(FailedPrecondition, match=r"vLLM serves no adapters of .*fim, whose added sentinels"):
        serve._uses_vllm("vllm", CPU, None, place.prepared)
