"""Rendering: only answers are trained, a prompt is how its example begins, and no text becomes a control token."""

from __future__ import annotations

import dataclasses
import json
import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from chat_styles import KINDS, STYLES, UNIGRAM, make_styled_model
from tiny_model import FIM_TOKENS, SPECIAL_TOKENS, make_tiny_model
from tunesmith import catalog
from tunesmith.catalog import BaseModel, FimTokens
from tunesmith.data.formats import Conversation, Fim, Message, Order
from tunesmith.data.render import NotRendered, Renderer
from tunesmith.errors import FailedPrecondition, InvalidArgument

CONTROL = (*SPECIAL_TOKENS, *FIM_TOKENS, "<think>", "</think>", "<|eot_id|>", "<s>", "</s>", "<|EOT|>", "<end_of_turn>")

texts = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
        st.sampled_from(CONTROL),
        st.sampled_from(
            ["\n", "\r\n", "  ", "\t", "<|", "|>", "im_end|>", "<|im_", "\u2581", "### Instruction:\n", "0x"]
        ),
    ),
    max_size=6,
).map("".join)


def _chat(*pairs: tuple[str, str], context: str | None = None, trained: bool = True) -> Conversation:
    messages: list[Message] = []
    for asked, answered in pairs:
        messages += [Message("user", asked, False), Message("assistant", answered, trained)]
    return Conversation(1, "chat", context, tuple(messages), None)


def _hole(fim: Fim) -> Conversation:
    return Conversation(1, "fim", None, (), fim)


def _open(folder: Path) -> Renderer:
    return Renderer.open(folder, catalog.from_folder(folder))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Renderer:
    return _open(make_tiny_model(tmp_path_factory.mktemp("tiny"), fim=True))


@pytest.fixture(scope="module")
def styled(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Renderer]:
    folder = tmp_path_factory.mktemp("styled")
    return {
        (style, kind): _open(make_styled_model(folder / f"{style}-{kind}", STYLES[style], kind))
        for style in STYLES
        for kind in KINDS
    }


def _trained(renderer: Renderer, conversation: Conversation) -> str:
    row = renderer.example(conversation)
    return renderer.decode(row.tokens[row.weights == 1])


@settings(deadline=None)
@given(asked=texts, answered=texts)
def test_what_is_trained_is_the_answer_and_its_end(tiny: Renderer, asked: str, answered: str) -> None:
    assert _trained(tiny, _chat((asked, answered))) == answered + "<|im_end|>\n"


@settings(deadline=None)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=4))
def test_every_answer_of_a_chat_is_trained_and_nothing_else(tiny: Renderer, pairs: list[tuple[str, str]]) -> None:
    wanted = "".join(answered + "<|im_end|>\n" for _, answered in pairs)
    assert _trained(tiny, _chat(*pairs, context="Be kind.")) == wanted


@settings(deadline=None)
@given(asked=texts, answered=texts)
def test_all_ids_together_are_the_text(tiny: Renderer, asked: str, answered: str) -> None:
    conversation = _chat((asked, answered))
    assert tiny.decode(tiny.example(conversation).tokens) == tiny.text(conversation)


@settings(deadline=None, max_examples=150)
@given(
    which=st.sampled_from([(style, kind) for style in STYLES for kind in KINDS]),
    pairs=st.lists(st.tuples(texts, texts), min_size=1, max_size=3),
)
def test_a_prompt_is_how_its_example_begins(
    styled: dict[tuple[str, str], Renderer], which: tuple[str, str], pairs: list[tuple[str, str]]
) -> None:
    conversation = _chat(*pairs)
    (row,) = styled[which].examples([conversation])
    if isinstance(row, NotRendered):
        return  # a template that rewrites its messages; the test below says which rows
    assert styled[which].prompt(conversation) == row.tokens[: row.prompt_tokens].tolist()
    assert row.weights[row.prompt_tokens :].all()


@settings(deadline=None, max_examples=150)
@given(which=st.sampled_from([(style, kind) for style in STYLES for kind in KINDS]), asked=texts, answered=texts)
def test_no_text_becomes_a_control_token(
    styled: dict[tuple[str, str], Renderer], which: tuple[str, str], asked: str, answered: str
) -> None:
    renderer = styled[which]
    control = [renderer._encoder.control[text] for text in renderer.special_tokens]
    (row,) = renderer.examples([_chat((asked, answered))])
    if isinstance(row, NotRendered):
        return
    harmless = renderer.example(_chat(("asked", "answered")))
    assert np.isin(row.tokens, control).sum() == np.isin(harmless.tokens, control).sum()


@pytest.mark.parametrize("token", [*SPECIAL_TOKENS, *FIM_TOKENS])
def test_a_control_token_in_a_message_stays_its_letters(tiny: Renderer, token: str) -> None:
    written = tiny._encoder.control[token]
    row = tiny.example(_chat((f"what is {token}?", token)))
    plain = tiny.example(_chat(("what is?", "x")))
    assert (row.tokens == written).sum() == (plain.tokens == written).sum()
    assert tiny.decode(row.tokens).count(token) == 2 + tiny.decode(plain.tokens).count(token)


def test_control_tokens_among_the_pieces_of_a_vocabulary_stay_letters(tmp_path: Path) -> None:
    renderer = _open(make_styled_model(tmp_path / "unigram", STYLES["llama2"], UNIGRAM))
    row = renderer.example(_chat(("what is </s>?", "<s></s>")))
    plain = renderer.example(_chat(("what is it?", "that")))
    for token in ("<s>", "</s>"):
        written = renderer._encoder.control[token]
        assert (row.tokens == written).sum() == (plain.tokens == written).sum() == 1
    assert renderer.decode(row.tokens).count("</s>") == 3


def test_only_rows_that_a_template_rewrites_are_refused(styled: dict[tuple[str, str], Renderer]) -> None:
    thinking = styled["thinking", "byte-level"]
    (row,) = thinking.examples([_chat(("q", "<think>\nhm\n</think>\n\nyes"))])
    assert isinstance(row, NotRendered)
    assert "message 2 holds '<think>'" in row.message
    assert not isinstance(next(thinking.examples([_chat(("what is <think>?", "a mark"))])), NotRendered)


def test_an_empty_thought_belongs_to_the_prompt(styled: dict[tuple[str, str], Renderer]) -> None:
    renderer = styled["thinking", "byte-level"]
    conversation = _chat(("q", "yes"))
    assert renderer.decode(renderer.prompt(conversation)).endswith("<think>\n\n</think>\n\n")
    assert _trained(renderer, conversation) == "yes<|im_end|>\n"


def test_an_answer_without_an_end_is_given_one(styled: dict[tuple[str, str], Renderer]) -> None:
    for kind in KINDS:
        renderer = styled["no-end", kind]
        row = renderer.example(_chat(("a", "b"), ("c", "d")))
        assert row.tokens[-1] == renderer.end_of_turn_ids[0]
        assert row.weights[-1] == 1
        assert (row.tokens == renderer.end_of_turn_ids[0]).sum() == 1
        assert renderer.decode(row.tokens[row.weights == 1]).replace(" ", "") == "b\nd\n</s>"


def test_prompt_and_answer_are_tokenised_apart(tiny: Renderer) -> None:
    indented = tiny.example(_chat(("q", "\n    return 1")))
    prompt = tiny.prompt(_chat(("q", "")))
    assert indented.tokens[: len(prompt)].tolist() == prompt


def test_an_answer_that_is_not_trainable_has_no_weight(tiny: Renderer) -> None:
    row = tiny.example(_chat(("a", "b"), trained=False))
    assert row.target_tokens == 0
    assert row.prompt_tokens == len(row.tokens)


def test_one_answer_of_several_can_be_trained(tiny: Renderer) -> None:
    messages = _chat(("a", "first"), ("b", "second")).messages
    only_first = (messages[0], messages[1], messages[2], Message("assistant", "second", False))
    assert _trained(tiny, Conversation(1, "chat", None, only_first, None)) == "first<|im_end|>\n"


def test_input_text_is_the_user_message_byte_for_byte(tiny: Renderer) -> None:
    asked = "```python\r\n\tprint('{x}')\r\n\r\n```\u2028 \u4f60\u597d  "
    row = Conversation(1, "generation", None, (Message("user", asked, False), Message("assistant", "a", True)), None)
    assert tiny.text(row) == f"<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n"


# S15: a chat example's own context wins over the job's.
@pytest.mark.parametrize(("own", "default", "used"), [("A", "B", "A"), (None, "B", "B"), (None, "", None)])
def test_context(tiny: Renderer, own: str | None, default: str, used: str | None) -> None:
    text = tiny.decode(tiny.example(_chat(("q", "a"), context=own), default).tokens)
    assert text.startswith(f"<|im_start|>system\n{used}<|im_end|>\n" if used else "<|im_start|>user\n")
    assert tiny.decode(tiny.prompt(_chat(("q", "a"), context=own), default)) == text[: -len("a<|im_end|>\n")]


def test_the_default_context_is_for_chats_only(tiny: Renderer) -> None:
    row = Conversation(1, "generation", None, (Message("user", "q", False), Message("assistant", "a", True)), None)
    assert "system" not in tiny.decode(tiny.example(row, "B").tokens)


@pytest.mark.parametrize("style", ["gemma", "mistral"])
def test_a_context_goes_before_the_first_message_where_a_template_has_no_place_for_it(
    styled: dict[tuple[str, str], Renderer], style: str
) -> None:
    renderer = styled[style, "byte-level"]
    conversation = _chat(("q", "a"), ("r", "b"), context="Be kind.")
    text = renderer.decode(renderer.example(conversation).tokens)
    assert text.count("Be kind.\n\nq") == text.count("Be kind.") == 1


def test_a_template_that_refuses_a_row_names_its_line(styled: dict[tuple[str, str], Renderer]) -> None:
    twice = (Message("user", "a", False), Message("user", "b", False), Message("assistant", "c", True))
    with pytest.raises(InvalidArgument, match=r"line 7: .*must alternate"):
        styled["gemma", "byte-level"].example(Conversation(7, "chat", None, twice, None))


def test_a_row_that_fails_does_not_stop_the_others(styled: dict[tuple[str, str], Renderer]) -> None:
    bad = Conversation(2, "chat", None, (Message("assistant", "c", True),), None)
    rows = list(styled["gemma", "byte-level"].examples([_chat(("a", "b")), bad, _chat(("c", "d"))]))
    assert [isinstance(row, NotRendered) for row in rows] == [False, True, False]


def test_half_a_character_is_refused(tiny: Renderer) -> None:
    with pytest.raises(InvalidArgument, match=r"line 1: message 1 has half a character \(\\ud800\) at 2"):
        tiny.example(_chat(("ab\ud800", "c")))


def test_half_a_character_in_a_gap_is_refused(tiny: Renderer) -> None:
    with pytest.raises(InvalidArgument, match="middle has half a character"):
        tiny.example(Conversation(1, "generation", None, (), Fim("a", "b", "\udc00")))


def test_batches_and_single_rows_are_alike(tiny: Renderer) -> None:
    rows = [_chat((f"question {i}", "x" * (i % 7))) for i in range(600)]
    for row, conversation in zip(tiny.examples(rows), rows, strict=True):
        assert isinstance(row, NotRendered) or row.tokens.tolist() == tiny.example(conversation).tokens.tolist()


def test_a_chat_of_many_turns_is_rendered_in_one_piece(tiny: Renderer) -> None:
    row = tiny.example(_chat(*[("q", "a")] * 3000))
    assert row.target_tokens == 3 * 3000


# Fill in the middle


def test_fim_is_prefix_suffix_middle(tiny: Renderer) -> None:
    row = Conversation(1, "generation", None, (), Fim("def f(", "\n    pass", "x):"))
    assert tiny.decode(tiny.example(row).tokens) == (
        "<|fim_prefix|>def f(<|fim_suffix|>\n    pass<|fim_middle|>x):<|endoftext|>"
    )
    assert _trained(tiny, row) == "x):<|endoftext|>"


@settings(deadline=None)
@given(prefix=texts, suffix=texts, middle=texts)
def test_fim_keeps_every_character(tiny: Renderer, prefix: str, suffix: str, middle: str) -> None:
    row = tiny.example(Conversation(1, "generation", None, (), Fim(prefix, suffix, middle)))
    ids = [tiny._encoder.control[token] for token in FIM_TOKENS]
    places = [np.flatnonzero(row.tokens == token).tolist() for token in ids]
    assert all(len(place) == 1 for place in places)
    (p,), (s,), (m,) = places
    parts = [row.tokens[p + 1 : s], row.tokens[s + 1 : m], row.tokens[m + 1 : -1]]
    assert [tiny.decode(part) for part in parts] == [prefix, suffix, middle]
    assert row.prompt_tokens == m + 1
    assert tiny.prompt(Conversation(1, "generation", None, (), Fim(prefix, suffix, ""))) == row.tokens[: m + 1].tolist()


FIM_STYLES = sorted({base.fim for base in catalog.BASE_MODELS.values() if base.fim is not None})


def _taught(folder: Path, tokens: FimTokens) -> Renderer:
    """A tiny model whose tokenizer has those sentinels."""
    make_tiny_model(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in (tokens.prefix, tokens.suffix, tokens.middle)])
    tokenizer.save(str(folder / "tokenizer.json"))
    return Renderer.open(folder, dataclasses.replace(catalog.from_folder(folder), fim=tokens))


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[FimTokens, Renderer]]:
    folder = tmp_path_factory.mktemp("taught")
    return [(tokens, _taught(folder / str(number), tokens)) for number, tokens in enumerate(FIM_STYLES)]


@settings(deadline=None)
@given(context=texts, prefix=texts, suffix=texts, middle=texts, order=st.sampled_from(["psm", "spm"]))
def test_what_fills_a_hole_is_asked_as_it_was_trained_and_reads_whole_whatever_the_sentinels(
    taught: list[tuple[FimTokens, Renderer]], context: str, prefix: str, suffix: str, middle: str, order: Order
) -> None:
    fim = Fim(prefix, suffix, middle, context, order)
    before = context + prefix
    for tokens, renderer in taught:
        row = renderer.example(_hole(fim))
        asked = renderer.prompt(_hole(dataclasses.replace(fim, middle="")))
        assert row.tokens[: row.prompt_tokens].tolist() == asked
        assert renderer.decode(row.tokens[row.weights == 1]) == middle + "<|endoftext|>"
        assert not row.weights[: row.prompt_tokens].any()
        if tokens.suffix_first:
            wanted = tokens.suffix + suffix + tokens.prefix + before
        elif order == "spm":
            wanted = tokens.prefix + tokens.suffix + suffix + tokens.middle + before
        else:
            wanted = tokens.prefix + before + tokens.suffix + suffix + tokens.middle
        assert renderer.decode(asked) == wanted


def test_a_context_is_the_beginning_of_the_prefix(tiny: Renderer) -> None:
    apart = _hole(Fim("def f(", "\n    pass", "x):", "# class A: ...\n"))
    joined = _hole(Fim("# class A: ...\ndef f(", "\n    pass", "x):"))
    assert tiny.example(apart).tokens.tolist() == tiny.example(joined).tokens.tolist()


@pytest.mark.parametrize(
    ("known", "end"),
    [
        (("<|endoftext|>", "<|im_end|>"), "<|endoftext|>"),  # Qwen, StarCoder, Granite
        (("<eos>", "<end_of_turn>", "<|file_separator|>"), "<|file_separator|>"),  # CodeGemma
        (("</s>", "\u2581<EOT>"), "\u2581<EOT>"),  # CodeLlama
        (("<\uff5cend\u2581of\u2581sentence\uff5c>", "<|EOT|>"), "<\uff5cend\u2581of\u2581sentence\uff5c>"),  # DeepSeek
        (("[INST]", "</s>"), "</s>"),  # Codestral
    ],
    ids=ascii,
)
def test_a_middle_ends_as_the_family_ends_a_text_and_generation_stops_there(
    tmp_path: Path, known: tuple[str, ...], end: str
) -> None:
    folder = make_tiny_model(tmp_path / "tiny")
    text = (folder / "tokenizer.json").read_text("utf-8").replace("<|endoftext|>", "<|another|>")
    tokenizer = Tokenizer.from_str(text)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in (*known, *FIM_TOKENS)])
    tokenizer.save(str(folder / "tokenizer.json"))
    renderer = Renderer.open(folder, dataclasses.replace(catalog.from_folder(folder), fim=FimTokens(*FIM_TOKENS)))
    row = renderer.example(_hole(Fim("a", "b", "c")))
    assert _trained(renderer, _hole(Fim("a", "b", "c"))) == "c" + end
    assert int(row.tokens[-1]) in renderer.end_of_turn_ids


def test_fim_in_the_order_of_models_that_want_the_suffix_first(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "tiny", fim=True)
    base = catalog.from_folder(folder)
    swapped = BaseModel(
        name="swapped", sources=base.sources, context_tokens=64, hidden_size=64, licence="",
        fim=FimTokens(*FIM_TOKENS, suffix_first=True),
    )  # fmt: skip
    renderer = Renderer.open(folder, swapped)
    row = renderer.example(Conversation(1, "generation", None, (), Fim("P", "S", "M")))
    assert renderer.decode(row.tokens) == "<|fim_suffix|>S<|fim_prefix|>PM<|endoftext|>"


def test_fim_on_a_model_without_sentinels_is_refused(tmp_path: Path) -> None:
    renderer = _open(make_tiny_model(tmp_path / "tiny"))
    with pytest.raises(
        InvalidArgument, match=r"was not taught to fill in the middle.*use one that was.*set fim_sentinels to add"
    ):
        renderer.example(Conversation(1, "generation", None, (), Fim("a", "b", "c")))


# Opening


def test_a_model_without_a_template_gets_the_plain_one(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "tiny")
    file = folder / "tokenizer_config.json"
    facts = json.loads(file.read_text())
    del facts["chat_template"]
    file.write_text(json.dumps(facts))
    renderer = _open(folder)
    text = "<|im_start|>### Instruction:\nq\n\n### Response:\na<|im_end|>\n\n"
    assert renderer.decode(renderer.example(_chat(("q", "a"))).tokens) == text
    assert _trained(renderer, _chat(("q", "a"))) == "a<|im_end|>\n\n"


def test_a_folder_without_a_tokenizer_says_how_to_make_one(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "tiny")
    base = catalog.from_folder(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(FailedPrecondition, match="save_pretrained"):
        Renderer.open(folder, base)


def test_a_model_that_never_ends_is_refused(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "tiny")
    base = catalog.from_folder(folder)
    for name, key in (("tokenizer_config.json", "eos_token"), ("config.json", "eos_token_id")):
        facts = json.loads((folder / name).read_text())
        del facts[key]
        (folder / name).write_text(json.dumps(facts))
    (folder / "generation_config.json").unlink()
    with pytest.raises(FailedPrecondition, match="would never end"):
        Renderer.open(folder, base)


def test_generation_stops_at_every_end_that_the_model_names(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "tiny")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 2]}))
    assert set(_open(folder).end_of_turn_ids) == {0, 2}


def test_the_date_of_a_template_is_the_one_given(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "tiny")
    (folder / "chat_template.jinja").write_text(
        "{{ strftime_now('%d %b %Y') }}{% for m in messages %}|{{ m.content }}{% endfor %}"
    )
    renderer = Renderer.open(folder, catalog.from_folder(folder), now=datetime(2026, 1, 2))
    assert renderer.text(_chat(("q", "a"))) == "02 Jan 2026|q|a"


@pytest.mark.parametrize(
    "truncation", [{"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}]
)
def test_a_length_limit_in_tokenizer_json_cuts_nothing(tmp_path: Path, truncation: dict[str, object]) -> None:
    folder = make_tiny_model(tmp_path / "tiny")
    whole = _open(folder).example(_chat(("question", "a long answer"))).tokens.tolist()
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    spec = json.loads((other / "tokenizer.json").read_text())
    (other / "tokenizer.json").write_text(json.dumps({**spec, "truncation": truncation}))
    assert _open(other).example(_chat(("question", "a long answer"))).tokens.tolist() == whole
