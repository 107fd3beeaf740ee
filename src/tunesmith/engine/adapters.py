"""What trains: low-rank adapters on all linear layers (PEFT), or every weight; and how the result is written.

The tuned adapter is a folder in PEFT's own layout, the fully tuned model one in transformers' own, so that both load
without Tunesmith. `load_tuned` opens either. Export is in `export.py`.
"""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from tunesmith import folder
from tunesmith.engine import sentinels
from tunesmith.engine.device import Device
from tunesmith.engine.model import LanguageModel, Prepared, load
from tunesmith.errors import FailedPrecondition
from tunesmith.spec import Adapter, TuningPlan

ADAPTER, MODEL = "adapter", "model"
BASE_FILE = "base.json"
"""Name and hash of the base model that the weights beside it belong to."""
_TOKENIZER_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "chat_template*",
    "vocab*",
    "merges.txt",
    "added_tokens.json",
)


class Trainable:
    """The model with what trains in it. `parameters` maps names to the tensors that the optimizer updates."""

    def __init__(self, model: LanguageModel, peft_model: Any | None) -> None:
        self.model = model
        self.peft_model = peft_model
        owner = peft_model if peft_model is not None else model.causal_lm
        self.parameters: Mapping[str, torch.nn.Parameter] = {
            name: parameter for name, parameter in owner.named_parameters() if parameter.requires_grad
        }

    @property
    def num_parameters(self) -> int:
        return sum(p.numel() for p in self.parameters.values())

    @torch.no_grad()
    def restore(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Copies weights saved from `parameters` back into them; every name must be there."""
        for name, parameter in self.parameters.items():
            parameter.copy_(weights[name])

    def save(self, out: Path, base: Prepared) -> Path:
        """Writes the tuned result below `out`, complete or not at all; returns its folder."""
        target = out / (ADAPTER if self.peft_model is not None else MODEL)
        with folder.sealed(target) as temporary:
            if self.peft_model is not None:
                # The embeddings are frozen; told so, PEFT does not look for the base on a hub to find out.
                self.peft_model.save_pretrained(temporary, save_embedding_layers=False)
                (temporary / "README.md").unlink(missing_ok=True)  # PEFT's empty card; the registry writes a true one
                if sentinels.added(base.folder):
                    copy_tokenizer(base.folder, temporary)  # nobody else has it: the base that is published does not
            else:
                self.model.causal_lm.save_pretrained(temporary)
                copy_tokenizer(base.folder, temporary)
            folder.write_json(temporary / BASE_FILE, {"name": base.name, "sha256": base.sha256})
        return target


def make_trainable(plan: TuningPlan, base: Prepared, device: Device) -> Trainable:
    """The base model with new adapters (seeded by the plan), or with every weight set to train in float32."""
    if plan.adapter is None:
        model = load(base.folder, device, master_weights=True)
        model.causal_lm.requires_grad_(True)
        return Trainable(model, None)
    model = load(base.folder, device)
    return Trainable(model, _add_adapters(model, plan.adapter, base, plan.spec.seed))


def load_tuned(tuned: Path, base: Prepared, device: Device) -> LanguageModel:
    """The tuned model for measuring and answering: adapter folder beside its base, or a whole model's folder.

    FailedPrecondition if it was tuned on another base: an adapter beside the wrong weights would answer, and wrongly.
    """
    refuse_another_base(tuned, base)
    if not (tuned / "adapter_config.json").is_file():
        return load(tuned, device)
    model = load(base.folder, device)
    put_beside(model.causal_lm, tuned)
    return model


def refuse_another_base(tuned: Path, base: Prepared) -> None:
    """FailedPrecondition if the weights in `tuned` say that they belong to other base weights."""
    binding = tuned / BASE_FILE
    if binding.is_file() and (wanted := folder.read_json(binding))["sha256"] != base.sha256:
        raise FailedPrecondition(
            f"{tuned} was tuned on {wanted['name']} with hash {wanted['sha256'][:12]}; "
            f"{base.folder} has {base.sha256[:12]}: put the base model's old files back, or tune again"
        )


def put_beside(causal_lm: Any, adapter: Path) -> Any:
    """PEFT's model of the two. Its layers are put into the base model itself."""
    from peft import PeftModel

    with _without_peft_advice():
        return PeftModel.from_pretrained(causal_lm, adapter, is_trainable=False)


def room_beside(causal_lm: Any, adapter: Path, name: str) -> Any:
    """As `put_beside`, under a name of one's own; the adapter's weights are still to be read, with `load_adapter`."""
    from peft import PeftModelForCausalLM

    with _without_peft_advice():
        return PeftModelForCausalLM(causal_lm, layout_beside(adapter), adapter_name=name)


def layout_beside(adapter: Path) -> Any:
    """PEFT's description of the adapter, as one of several beside a base; the rows of added tokens are not PEFT's."""
    from peft import PeftConfig

    layout = PeftConfig.from_pretrained(adapter)
    layout.inference_mode = True
    layout.trainable_token_indices = None
    return layout


def copy_tokenizer(source: Path, target: Path) -> None:
    """The files that turn text into tokens, as they are."""
    for pattern in _TOKENIZER_FILES:
        for file in source.glob(pattern):
            shutil.copyfile(file, target / file.name)


def _add_adapters(model: LanguageModel, adapter: Adapter, base: Prepared, seed: int) -> Any:
    from peft import LoraConfig, get_peft_model

    layout = LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    if rows := sentinels.added(base.folder):
        layout.trainable_token_indices = rows
    with torch.random.fork_rng(), _without_peft_advice():
        torch.manual_seed(seed)
        peft_model = get_peft_model(model.causal_lm, layout)
    peft_model.peft_config["default"].base_model_name_or_path = base.name.removeprefix("hf:")
    peft_model.eval()
    _fuse_updates(peft_model)
    return peft_model


def _fuse_updates(peft_model: Any) -> None:
    """Has each adapted layer add its update in the product that makes it, where all of it is in one number format.

    PEFT computes result + B(A(x)) * scaling: two more passes over the layer's output each way. `lora_variant` is its
    own door for another forward; what is trained, saved and loaded stays plain LoRA.
    """
    from peft.tuners.lora import Linear

    for module in peft_model.modules():
        if isinstance(module, Linear) and module.weight.dtype == module.lora_A["default"].weight.dtype:
            module.lora_variant["default"] = _FusedUpdate


class _FusedUpdate:
    """result + (A(x) * scaling) B^T as one product; equal to PEFT's forward up to rounding."""

    @staticmethod
    def forward(module: Any, active_adapter: str, x: torch.Tensor, result: torch.Tensor, **_: Any) -> torch.Tensor:
        narrow = module.lora_A[active_adapter](x) * module.scaling[active_adapter]
        up = module.lora_B[active_adapter].weight
        flat = torch.addmm(result.flatten(0, -2), narrow.flatten(0, -2), up.t())
        return flat.view_as(result)


@contextlib.contextmanager
def _without_peft_advice() -> Iterator[None]:
    """PEFT 0.21 asks transformers 5.23 for a property under its old name, which is nothing that a user can mend."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield
