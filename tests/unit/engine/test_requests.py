"""What is asked of a served model: every value that no model could serve is refused, with its field and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiny_model import CONTEXT, make_tiny_model
from tunesmith import catalog
from tunesmith.data.formats import Conversation, Fim, Message
from tunesmith.data.render import Renderer
from tunesmith.engine.generate import Sampling
from tunesmith.engine.requests import RequestReader
from tunesmith.errors import InvalidArgument
from tunesmith.questions import MAX_STOP_TEXTS

CODE = {"prefix": "def f("}


def open_reader(folder: Path, *, fim: bool) -> tuple[RequestReader, Renderer]:
    base = catalog.from_folder(make_tiny_model(folder / f"tiny-{fim}", fim=fim))
    renderer = Renderer.open(Path(base.name), base)
    models = folder / "models"
    models.mkdir(exist_ok=True)
    return RequestReader(base, renderer, models), renderer


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("requests")


@pytest.fixture(scope="module")
def plain(home: Path) -> tuple[RequestReader, Renderer]:
    return open_reader(home, fim=False)


@pytest.fixture(scope="module")
def with_fim(home: Path) -> tuple[RequestReader, Renderer]:
    return open_reader(home, fim=True)


def body(**fields: Any) -> bytes:
    return json.dumps({"conversation": CODE, **fields}).encode()


def refused(reader: RequestReader, request: bytes) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as caught:
        reader.generate(request)
    return {violation.field: violation.message for violation in caught.value.violations}


def test_a_request_is_what_it_says(plain: tuple[RequestReader, Renderer], home: Path) -> None:
    reader, _ = plain
    model = {"name": "projects/p/locations/l/models/7@1", "folder": str(home / "models" / "7" / "1")}
    ask = reader.generate(
        body(
            model=model, max_output_tokens=9, temperature=0.5, top_p=0.9, top_k=3, stop=["a", "b"], seed=4, candidates=2
        )
    )
    assert ask.sampling == Sampling(0.5, 3, 0.9)
    assert (ask.max_output_tokens, ask.stop, ask.seed, ask.candidates) == (9, ("a", "b"), 4, 2)
    assert ask.tuned == (model["name"], Path(model["folder"]))


def test_without_a_seed_each_request_has_its_own(plain: tuple[RequestReader, Renderer]) -> None:
    assert plain[0].generate(body()).seed != plain[0].generate(body()).seed


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"top_k": 0}, "top_k"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": -1}, "max_output_tokens"),
        ({"max_output_tokens": 1_000_000_000}, "max_output_tokens"),
        ({"max_output_tokens": True}, "max_output_tokens"),
        ({"candidates": 0}, "candidates"),
        ({"candidates": 1000}, "candidates"),
        ({"seed": -1}, "seed"),
        ({"stop": [""]}, "stop"),
        ({"stop": ["x" * 1001]}, "stop"),
        ({"stop": ["x"] * (MAX_STOP_TEXTS + 1)}, "stop"),
        ({"stop": ["x"] * 100_000}, "stop"),
        ({"max_tokens": 5}, "max_tokens"),
        ({"conversation": {}}, "conversation.prefix"),
        ({"conversation": {"prefix": ""}}, "conversation.prefix"),
        ({"conversation": {"prefix": "", "suffix": ""}}, "conversation.prefix"),
        ({"conversation": {"prefix": "a", "middle": "b"}}, "conversation.middle"),
        ({"conversation": {"messages": []}}, "conversation.messages"),
        ({"conversation": {"messages": [{"author": "user", "content": ""}]}}, "conversation.messages"),
        ({"conversation": {"messages": [{"author": "bot", "content": "hello"}]}}, "conversation.messages"),
        ({"conversation": {"messages": [{"author": "root", "content": "x"}]}}, "conversation.messages.0.author"),
        ({"conversation": "def f("}, "conversation"),
        ({"conversation": {"prefix": "half \ud83d"}}, "messages"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_by_its_field(
    plain: tuple[RequestReader, Renderer], fields: dict[str, Any], field: str
) -> None:
    assert list(refused(plain[0], body(**fields))) == [field]


def test_all_wrong_values_are_named_at_once(plain: tuple[RequestReader, Renderer]) -> None:
    assert set(refused(plain[0], body(temperature=9, candidates=9))) == {"temperature", "candidates"}


@pytest.mark.parametrize("request_body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(plain: tuple[RequestReader, Renderer], request_body: bytes) -> None:
    assert list(refused(plain[0], request_body)) == ["body"]


def test_a_prompt_over_the_context_is_refused_with_both_lengths(plain: tuple[RequestReader, Renderer]) -> None:
    reader, _ = plain
    longest = {"conversation": {"prefix": "x " * CONTEXT}}
    tokens = reader.count(json.dumps(longest).encode())
    message = refused(reader, json.dumps(longest).encode())["conversation"]
    assert f"{tokens:,} tokens" in message
    assert f"{CONTEXT:,}" in message


def test_code_is_asked_as_it_was_trained(plain: tuple[RequestReader, Renderer]) -> None:
    reader, renderer = plain
    trained = renderer.example(
        Conversation(1, "generation", None, (Message("user", "def f(", False), Message("assistant", "x", True)))
    )
    assert reader.generate(body()).prompt == tuple(trained.tokens[: trained.prompt_tokens].tolist())


def test_a_chat_is_asked_as_it_was_trained_with_bot_as_assistant(plain: tuple[RequestReader, Renderer]) -> None:
    reader, renderer = plain
    texts = [("user", "one"), ("assistant", "two"), ("user", "three"), ("assistant", "four")]
    trained = renderer.example(
        Conversation(1, "chat", "be brief", tuple(Message(a, t, a == "assistant") for a, t in texts))  # type: ignore[arg-type]
    )
    said = [{"author": a.replace("assistant", "bot"), "content": t} for a, t in texts[:3]]
    ask = reader.generate(body(conversation={"kind": "chat", "messages": said, "context": "be brief"}))
    assert ask.prompt == tuple(trained.tokens[: trained.prompt_tokens].tolist())


@pytest.mark.parametrize(("prefix", "suffix"), [("def f(", "return x"), ("", "return x")])
def test_a_hole_is_asked_as_it_was_trained(with_fim: tuple[RequestReader, Renderer], prefix: str, suffix: str) -> None:
    reader, renderer = with_fim
    trained = renderer.example(Conversation(1, "fim", None, (), Fim(prefix, suffix, "x = 1")))
    ask = reader.generate(body(conversation={"prefix": prefix, "suffix": suffix}))
    assert ask.prompt == tuple(trained.tokens[: trained.prompt_tokens].tolist())


@pytest.mark.parametrize("suffix", [None, ""])
def test_no_suffix_is_no_hole(with_fim: tuple[RequestReader, Renderer], suffix: str | None) -> None:
    reader, _ = with_fim
    assert reader.generate(body(conversation={**CODE, "suffix": suffix})).prompt == reader.generate(body()).prompt


def test_a_suffix_is_refused_where_no_base_was_taught_with_those_that_were(
    plain: tuple[RequestReader, Renderer],
) -> None:
    message = refused(plain[0], body(conversation={"prefix": "a", "suffix": "b"}))["conversation.suffix"]
    assert "qwen2.5-coder-1.5b-instruct" in message
    assert "starcoder2-3b" in message
    assert catalog.EMBEDDED not in message


def _above(models: Path) -> Path:
    return models / ".." / "elsewhere"


def _link(models: Path) -> Path:
    target = models.parent / "elsewhere"
    target.mkdir(exist_ok=True)
    link = models / "link"
    if not link.is_symlink():
        link.symlink_to(target)
    return link


def _linked_adapter(models: Path) -> Path:
    version = models / "8" / "1"
    version.mkdir(parents=True, exist_ok=True)
    if not (version / "adapter").is_symlink():
        (version / "adapter").symlink_to(models.parent / "elsewhere")
    return version


@pytest.mark.parametrize(
    "place",
    [_above, _link, _linked_adapter, lambda models: models, lambda models: Path("/etc"), lambda models: Path("7/1")],
    ids=["above", "link", "linked adapter", "the folder itself", "elsewhere", "relative"],
)
@pytest.mark.parametrize("verb", ["generate", "count"])
def test_a_folder_outside_of_the_registered_models_is_refused(
    plain: tuple[RequestReader, Renderer], home: Path, place: Callable[[Path], Path], verb: str
) -> None:
    model = {"name": "m", "folder": str(place(home / "models"))}
    with pytest.raises(InvalidArgument, match="does not lie in the folder"):
        getattr(plain[0], verb)(body(model=model))


def test_without_a_folder_of_models_only_the_base_is_served(home: Path) -> None:
    base = catalog.from_folder(make_tiny_model(home / "tiny-alone"))
    reader = RequestReader(base, Renderer.open(Path(base.name), base), None)
    assert list(refused(reader, body(model={"name": "m", "folder": "/m"}))) == ["model"]
    assert reader.generate(body()).tuned is None


def test_count_is_the_length_of_the_prompt(plain: tuple[RequestReader, Renderer]) -> None:
    assert plain[0].count(body()) == len(plain[0].generate(body()).prompt)
