"""A tiny causal language model for the tests: a Hugging Face folder made from a seed, with no download and no torch.

    python tests/tiny_model.py FOLDER [SEED] [--fim]

A Llama of 3 layers (hidden 64, 4 heads, 2 key-value heads, tied head) whose weights are drawn by numpy, and a
byte-level BPE tokenizer of 512 tokens trained here on the few lines below, with ChatML turns as the chat template.
The same arguments give the same bytes. It knows nothing: it is there to be loaded, tuned and compared.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 512
HIDDEN = 64
LAYERS = 3
HEADS = 4
KEY_VALUE_HEADS = 2
INTERMEDIATE = 160
CONTEXT = 2048

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# As in Qwen's tokenizer these are added tokens that are not flagged as special.
FIM_TOKENS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

CORPUS = (
    "Write the code in Python: return the largest number of a list.",
    "def largest(numbers):\n    result = numbers[0]\n    for number in numbers:\n        if number > result:\n"
    "            result = number\n    return result\n",
    "Write the code in Python: count the words of a text.",
    "def count_words(text):\n    return len(text.split())\n",
    "import json\n\n\ndef load(path):\n    with open(path) as file:\n        return json.load(file)\n",
    "class Stack:\n    def __init__(self):\n        self.items = []\n\n    def push(self, item):\n"
    "        self.items.append(item)\n\n    def pop(self):\n        return self.items.pop()\n",
    "The function takes a string and returns it without the blanks at both ends.",
    "for index in range(len(values)):\n    print(index, values[index])\n",
    "You are a careful assistant who answers questions about code with short examples.",
    "user: what does this function do?\nassistant: it adds one to every value and returns the sum.",
    "```python\nx = 1\ny = x + 1\nassert y == 2\n```\n",
)


def make_tiny_model(folder: Path, *, seed: int = 0, fim: bool = False) -> Path:
    """Writes the model into `folder` and returns it. `fim` adds the three fill-in-the-middle sentinels."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(fim=fim)
    tokenizer.save(str(folder / "tokenizer.json"))
    size = tokenizer.get_vocab_size()
    _write(folder / "tokenizer_config.json", _tokenizer_config())
    _write(folder / "config.json", _config(size))
    _write(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0})
    save_file(_weights(size, seed), str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder


def make_tokenizer(*, fim: bool = False) -> Tokenizer:
    """Byte-level BPE over the corpus above; digits are split one by one, as many code models do."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if fim:
        tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in FIM_TOKENS])
    return tokenizer


def _tokenizer_config() -> dict[str, object]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }


def _config(vocabulary: int) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_VALUE_HEADS,
        "head_dim": HIDDEN // HEADS,
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "vocab_size": vocabulary,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "torch_dtype": "float32",
    }


def _weights(vocabulary: int, seed: int) -> dict[str, np.ndarray]:
    """Every matrix normal with deviation 1 / sqrt(inputs), so that activations keep their size; the norms are ones."""
    generator = np.random.default_rng(seed)

    def matrix(outputs: int, inputs: int) -> np.ndarray:
        return (generator.standard_normal((outputs, inputs)) / np.sqrt(inputs)).astype(np.float32)

    narrow = HIDDEN // HEADS * KEY_VALUE_HEADS
    shapes = {
        "self_attn.q_proj": (HIDDEN, HIDDEN),
        "self_attn.k_proj": (narrow, HIDDEN),
        "self_attn.v_proj": (narrow, HIDDEN),
        "self_attn.o_proj": (HIDDEN, HIDDEN),
        "mlp.gate_proj": (INTERMEDIATE, HIDDEN),
        "mlp.up_proj": (INTERMEDIATE, HIDDEN),
        "mlp.down_proj": (HIDDEN, INTERMEDIATE),
    }
    weights = {"model.embed_tokens.weight": matrix(vocabulary, HIDDEN)}
    for layer in range(LAYERS):
        for name, shape in shapes.items():
            weights[f"model.layers.{layer}.{name}.weight"] = matrix(*shape)
        for name in ("input_layernorm", "post_attention_layernorm"):
            weights[f"model.layers.{layer}.{name}.weight"] = np.ones(HIDDEN, np.float32)
    weights["model.norm.weight"] = np.ones(HIDDEN, np.float32)
    return weights


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[2:] if argument != "--fim"]
    print(make_tiny_model(Path(sys.argv[1]), seed=numbers[0] if numbers else 0, fim="--fim" in sys.argv))
