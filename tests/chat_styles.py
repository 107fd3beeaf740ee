"""Chat templates in the styles of the families people use, in our own words, and tokenizers of the kinds they have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from tiny_model import CORPUS, make_tiny_model

# Templates without a place for a context, or that lose it once there is an answer.
NO_CONTEXT = ("gemma", "mistral")


class Style(NamedTuple):
    """A template with the control tokens that it writes; `end` is the one that ends an answer."""

    template: str
    control: tuple[str, ...]
    end: str


STYLES = {
    "chatml": Style(
        "{% for message in messages %}"
        "{% if loop.first and message['role'] != 'system' %}"
        "{{ '<|im_start|>system\nYou answer questions about code.<|im_end|>\n' }}{% endif %}"
        "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        ("<|im_start|>", "<|im_end|>"),
        "<|im_end|>",
    ),
    "llama3": Style(
        "{{- bos_token }}\n"
        "{%- for message in messages %}\n"
        "    {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' }}\n"
        "    {{- message.content | trim + '<|eot_id|>' }}\n"
        "{%- endfor %}\n"
        "{%- if add_generation_prompt %}\n"
        "    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}\n"
        "{%- endif %}\n",
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|eot_id|>",
    ),
    "gemma": Style(
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
        "{{ raise_exception('This model takes no system message') }}{% endif %}"
        "{% for message in messages %}"
        "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Turns must alternate between user and assistant') }}{% endif %}"
        "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
        "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
        ("<bos>", "<start_of_turn>", "<end_of_turn>"),
        "<end_of_turn>",
    ),
    "mistral": Style(
        "{%- if messages[0]['role'] == 'system' %}{%- set context = messages[0]['content'] %}"
        "{%- set rest = messages[1:] %}{%- else %}{%- set rest = messages %}{%- endif %}{{- bos_token }}"
        "{%- for message in rest %}{%- if message['role'] == 'user' %}"
        "{%- if loop.last and context is defined %}"
        "{{- '[INST] ' + context + '\n\n' + message['content'] + ' [/INST]' }}"
        "{%- else %}{{- '[INST] ' + message['content'] + ' [/INST]' }}{%- endif %}"
        "{%- else %}{{- ' ' + message['content'] + eos_token }}{%- endif %}{%- endfor %}",
        ("<s>", "</s>"),
        "</s>",
    ),
    "llama2": Style(
        "{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}{% set context = messages[0].content %}"
        "{% else %}{% set rest = messages %}{% set context = false %}{% endif %}{% for message in rest %}"
        "{% if loop.first and context %}{% set text = '<<SYS>>\n' + context + '\n<</SYS>>\n\n' + message.content %}"
        "{% else %}{% set text = message.content %}{% endif %}"
        "{% if message.role == 'user' %}{{ bos_token + '[INST] ' + text.strip() + ' [/INST]' }}"
        "{% else %}{{ ' ' + text.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
        ("<s>", "</s>"),
        "</s>",
    ),
    "deepseek": Style(
        "{% set ns = namespace(context='You write code.\n') %}"
        "{% for message in messages %}{% if message['role'] == 'system' %}"
        "{% set ns.context = message['content'] + '\n' %}{% endif %}{% endfor %}{{ bos_token }}{{ ns.context }}"
        "{% for message in messages %}{% if message['role'] == 'user' %}"
        "{{ '### Instruction:\n' + message['content'] + '\n' }}{% elif message['role'] == 'assistant' %}"
        "{{ '### Response:\n' + message['content'] + '\n<|EOT|>\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '### Response:\n' }}{% endif %}",
        ("<bot>", "<|EOT|>"),
        "<|EOT|>",
    ),
    "thinking": Style(
        "{%- set ns = namespace(last=0) %}{%- for message in messages %}"
        "{%- if message.role == 'user' %}{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}"
        "{%- for message in messages %}"
        "{%- if message.role != 'assistant' %}"
        "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
        "{%- else %}{%- set answer = message.content %}{%- set thought = '' %}"
        "{%- if '</think>' in answer %}"
        "{%- set thought = answer.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
        "{%- set answer = answer.split('</think>')[-1].lstrip('\n') %}{%- endif %}"
        "{%- if loop.index0 > ns.last %}"
        "{{- '<|im_start|>assistant\n<think>\n' + thought + '\n</think>\n\n' + answer.lstrip('\n') }}"
        "{%- else %}{{- '<|im_start|>assistant\n' + answer }}{%- endif %}"
        "{% generation %}{{- '<|im_end|>\n' }}{% endgeneration %}{%- endif %}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
        "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
        "{%- endif %}",
        ("<|im_start|>", "<|im_end|>", "<think>", "</think>"),
        "<|im_end|>",
    ),
    "no-end": Style(
        "{% for message in messages %}"
        "{{ message['role'] | capitalize + ':\n' + message['content'] + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'Assistant:\n' }}{% endif %}",
        ("</s>",),
        "</s>",
    ),
}

KINDS = ("byte-level", "swallowing", "metaspace", "prepend")
# This one has its control tokens among the pieces of its vocabulary, and an unknown token for rare characters.
UNIGRAM = "unigram"


def make_styled_model(folder: Path, style: Style, kind: str = "byte-level") -> Path:
    """A tiny model folder with that template and a tokenizer of that kind that knows the template's control tokens."""
    make_tiny_model(folder)
    tokenizer = _tokenizer(kind, style.control)
    # As Phi's tokenizer does, "swallowing" gives the blanks after a control token to the token.
    rstrip = kind == "swallowing"
    tokenizer.add_special_tokens([AddedToken(text, rstrip=rstrip, normalized=False) for text in style.control])
    tokenizer.save(str(folder / "tokenizer.json"))
    file = folder / "tokenizer_config.json"
    facts = json.loads(file.read_text("utf-8"))
    facts |= {"chat_template": style.template, "eos_token": style.end, "bos_token": style.control[0]}
    facts |= {"pad_token": style.end, "unk_token": style.end}
    file.write_text(json.dumps(facts), "utf-8")
    (folder / "generation_config.json").unlink()
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["eos_token_id"] = tokenizer.token_to_id(style.end)
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return folder


def _tokenizer(kind: str, control: tuple[str, ...]) -> Tokenizer:
    if kind == UNIGRAM:
        return _unigram_tokenizer(control)
    return _line_end_tokenizer() if kind in ("byte-level", "swallowing") else _word_start_tokenizer(kind)


def _unigram_tokenizer(control: tuple[str, ...]) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    lines = pre_tokenizers.Split(Regex(r"\n|[^\n]+"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([lines, pre_tokenizers.Metaspace(prepend_scheme="first")])
    tokenizer.decoder = decoders.Replace("\u2581", " ")
    letters = [chr(code) for code in range(32, 127)]
    trainer = trainers.UnigramTrainer(
        vocab_size=300,
        special_tokens=["<unk>", *control],
        unk_token="<unk>",
        initial_alphabet=["\u2581", "\n", *letters],
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def _line_end_tokenizer() -> Tokenizer:
    """Byte-level BPE that never joins a line end with what follows it, as the tokenizers of Llama 3 and Qwen."""
    tokenizer = Tokenizer(models.BPE())
    words = Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(words, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def _word_start_tokenizer(kind: str) -> Tokenizer:
    """BPE that marks word starts with U+2581, as SentencePiece does: by a pre-tokenizer, or by a normalizer."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True))
    lines = pre_tokenizers.Split(Regex(r"\n|[^\n]+"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([lines, pre_tokenizers.Metaspace(prepend_scheme="first")])
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    letters = [chr(code) for code in range(32, 127)]
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=fallback, initial_alphabet=["\u2581", "\n", *letters], show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    spec = json.loads(tokenizer.to_str())
    spec["added_tokens"] = []
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    if kind == "prepend":
        blank = normalizers.Replace(" ", "\u2581")
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), blank])
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\n"), "isolated")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer
