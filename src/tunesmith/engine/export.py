"""A tuned model as files for other programs, each time with a proof that they answer the same.

    peft      the adapter's folder as `peft.PeftModel.from_pretrained` loads it, beside its base
    merged    the base with the adapter folded in, in safetensors, as transformers loads it; with its tokenizer

After writing, the export is loaded back from its files by transformers (and PEFT) alone, without our attention or
decoding, and answers a few prompts greedily; every answer must be the registry model's, or the export is refused.
The proof is written beside the files as proof.json.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

import torch

from tunesmith import folder
from tunesmith.catalog import BaseModel
from tunesmith.data.formats import Conversation, Fim, Message
from tunesmith.data.render import Renderer
from tunesmith.engine.adapters import ADAPTER, MODEL, copy_tokenizer, load_tuned, put_beside
from tunesmith.engine.device import Device, probe
from tunesmith.engine.generate import Generator
from tunesmith.engine.model import Prepared, quiet_transformers
from tunesmith.errors import AlreadyExists, DataLoss, InvalidArgument

Form = Literal["peft", "merged"]

PROOF_FILE = "proof.json"
_PROOF_TOKENS = 48
_PROOF_PROMPTS = (
    "Write the code in Python: return the largest of three numbers.",
    "Write the code in Python: count the vowels of a string.",
    "Write the code in Python: read a file and return its lines without blanks at their ends.",
    "Write the code in JavaScript: remove the duplicates of an array.",
    "Write the code in SQL: the number of orders of each customer.",
    "Explain in one sentence what a hash table is.",
)
_PROOF_HOLE = Fim("def largest(numbers):\n    result = numbers[0]\n", "\n    return result\n", "")
"""Asked of models that fill in the middle."""


def export(model_folder: Path, base: Prepared, found: BaseModel, form: Form, output: Path) -> dict[str, Any]:
    """Writes the tuned model of that registry folder to `output` and returns the proof.

    AlreadyExists if `output` holds anything; InvalidArgument if the model has no adapter to give out; DataLoss if
    the registry's files are damaged or an exported model answers differently.
    """
    if output.exists() and any(output.iterdir()):
        raise AlreadyExists(f"output: {output} is not empty; give a new folder, nothing is overwritten")
    tuned = model_folder / ADAPTER
    if not tuned.is_dir():
        tuned = model_folder / MODEL
    folder.verify(tuned)
    if form == "peft" and tuned.name != ADAPTER:
        raise InvalidArgument.of("format", "this model was tuned in full and has no adapter; export it as merged")
    device = probe("float32")
    with folder.sealed(output) as temporary:
        if form == "peft":
            _copy(tuned, temporary)
        else:
            _write_merged(tuned, base, device, temporary)
        proof = _prove(tuned, base, found, form, temporary, device)
        folder.write_json(temporary / PROOF_FILE, proof)
        if proof["equal"] != proof["prompts"]:
            raise DataLoss(
                f"the exported model answers {proof['prompts'] - proof['equal']} of {proof['prompts']} prompts "
                "differently from the registry's; nothing was written",
                proof=proof,
            )
    return proof


def _copy(tuned: Path, target: Path) -> None:
    for file in tuned.iterdir():
        if file.name != folder.MANIFEST:
            shutil.copyfile(file, target / file.name)


def _write_merged(tuned: Path, base: Prepared, device: Device, target: Path) -> None:
    if tuned.name == MODEL:
        _copy(tuned, target)
        return
    from transformers import AutoModelForCausalLM

    quiet_transformers()
    model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32, local_files_only=True)
    merged = put_beside(model, tuned).merge_and_unload()
    merged.save_pretrained(target)
    copy_tokenizer(base.folder, target)


def _prove(tuned: Path, base: Prepared, found: BaseModel, form: Form, exported: Path, device: Device) -> dict[str, Any]:
    """Greedy answers of the registry's model and of the exported files, counted where they are equal."""
    renderer = Renderer.open(base.folder, found)
    questions = [Conversation(0, "generation", None, (Message("user", p, False),), None) for p in _PROOF_PROMPTS]
    prompts = list(_PROOF_PROMPTS)
    if found.fim is not None:
        questions.append(Conversation(0, "fim", None, (), _PROOF_HOLE))
        prompts.append(f"{_PROOF_HOLE.prefix}[...]{_PROOF_HOLE.suffix}")
    own = Generator(load_tuned(tuned, base, device), renderer, found.context_tokens)
    wanted = own.answer(questions, max_output_tokens=_PROOF_TOKENS)
    del own
    theirs = [
        _plain_answer(model, list(renderer.prompt(question)), renderer)
        for model in [_plain_model(form, base, exported)]
        for question in questions
    ]
    return {
        "format": form,
        "prompts": len(wanted),
        "equal": sum(a == b for a, b in zip(wanted, theirs, strict=True)),
        "max_output_tokens": _PROOF_TOKENS,
        "dtype": "float32",
        "answers": [
            {"prompt": p, "registry": a, "exported": b} for p, a, b in zip(prompts, wanted, theirs, strict=True)
        ],
    }


def _plain_model(form: Form, base: Prepared, exported: Path) -> Any:
    """The export as any program would load it."""
    from transformers import AutoModelForCausalLM

    source = base.folder if form == "peft" else exported
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, local_files_only=True)
    return (put_beside(model, exported) if form == "peft" else model).eval()


@torch.no_grad()
def _plain_answer(model: Any, prompt: list[int], renderer: Renderer) -> str:
    """A greedy answer without a cache tricks or batches: the last row's most likely token, again and again."""
    tokens = torch.tensor([prompt])
    cache = None
    answer: list[int] = []
    for _ in range(_PROOF_TOKENS):
        output = model(input_ids=tokens, past_key_values=cache, use_cache=True)
        cache, token = output.past_key_values, int(output.logits[0, -1].argmax())
        if token in renderer.end_of_turn_ids:
            break
        answer.append(token)
        tokens = torch.tensor([[token]])
    return renderer.decode(answer)
