"""Sentinels for a base model that was taught none: added to its tokenizer once, their rows trained by each job.

    make      a base model's folder with three tokens more: tokenizer, embedding rows, and added.json, which names them
    added     the ids of the tokens that a folder was given so; none for any other
    AddedRows the rows of several adapters beside one loaded base: each row of a batch sees its own

The new folder is a base model of its own, with a name and a hash of its own (catalog.with_fim): adapters of the model
that it was made of never meet it. Each adapter brings its rows along (PEFT's trainable_token_indices), so it needs only
a table that is long enough.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tunesmith import folder
from tunesmith.catalog import FimTokens
from tunesmith.errors import FailedPrecondition

ADDED_FILE = "added.json"
ROWS_KEY = "token_adapter.trainable_tokens_delta"
"""How the name of an adapter's own rows ends in PEFT's file."""
_COPIED = ("*.json", "*.jinja", "*.model", "merges.txt")
# Of the new rows around the table's mean, in deviations of the table: enough to tell the three apart. Where they begin
# hardly matters (docs/decisions.md).
_NOISE = 0.1


def make(parent: Path, parent_sha256: str, target: Path, tokens: FimTokens) -> None:
    """Fills the folder `target` with the model in `parent` and the three tokens.

    The new rows are the table's mean with a little seeded noise, so the same parent gives the same bytes.
    """
    for pattern in _COPIED:
        for file in parent.glob(pattern):
            if not file.name.endswith(".index.json") and file.name != folder.MANIFEST:
                shutil.copyfile(file, target / file.name)
    ids = _add_to_tokenizer(target, (tokens.prefix, tokens.suffix, tokens.middle))
    _add_rows(parent, target, list(ids.values()))
    folder.write_json(target / ADDED_FILE, {"parent_sha256": parent_sha256, "tokens": ids})


def is_made_of(target: Path, parent_sha256: str) -> bool:
    """Whether the folder is there and was made of this very parent."""
    file = target / ADDED_FILE
    return file.is_file() and folder.read_json(file)["parent_sha256"] == parent_sha256


def added(base_folder: Path) -> list[int]:
    """Ids of the tokens that were added to the model in this folder, in their order; empty if none were."""
    file = base_folder / ADDED_FILE
    return list(folder.read_json(file)["tokens"].values()) if file.is_file() else []


class AddedRows:
    """Has each row of a batch see the added tokens as its own adapter knows them, in what is read and in what is said.

    PEFT copies the whole table for that, once for each adapter and token; here only the added tokens are computed.
    """

    def __init__(self, causal_lm: Any, ids: Sequence[int]) -> None:
        embedding, head = causal_lm.get_input_embeddings(), causal_lm.get_output_embeddings()
        self._ids = torch.tensor(ids, device=embedding.weight.device)
        self._rows: dict[str, torch.Tensor] = {}
        self._words: Sequence[str] = ()
        if ids:
            embedding.register_forward_hook(self._read)
        if ids and head.weight is embedding.weight:
            head.register_forward_hook(self._say)

    def put(self, word: str, rows_KD: torch.Tensor) -> None:
        """The rows of the adapter that bears this word."""
        self._rows[word] = rows_KD.to(self._ids.device)

    def take_away(self, word: str) -> None:
        self._rows.pop(word, None)

    def use(self, words: Sequence[str]) -> None:
        """Whose each row of the next batch is."""
        self._words = words

    def _read(self, module: Any, inputs: tuple[torch.Tensor, ...], output_RTD: torch.Tensor) -> torch.Tensor:
        scale = getattr(module, "embed_scale", 1.0)  # Gemma 3 scales what it reads in the table itself
        for r, rows_KD in self._known():
            for k, token in enumerate(self._ids):
                output_RTD[r, inputs[0][r] == token] = (rows_KD[k] * scale).to(output_RTD.dtype)
        return output_RTD

    def _say(self, _module: Any, inputs: tuple[torch.Tensor, ...], logits_RTV: torch.Tensor) -> torch.Tensor:
        for r, rows_KD in self._known():
            logits_RTV[r][:, self._ids] = inputs[0][r] @ rows_KD.to(inputs[0].dtype).t()
        return logits_RTV

    def _known(self) -> list[tuple[int, torch.Tensor]]:
        return [(r, self._rows[word]) for r, word in enumerate(self._words) if word in self._rows]


def _add_to_tokenizer(target: Path, texts: Sequence[str]) -> dict[str, int]:
    """Writes tokenizer.json with those control tokens; their ids."""
    from tokenizers import AddedToken, Tokenizer

    file = target / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(file))
    taken = set(tokenizer.get_vocab().values())
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in texts])
    tokenizer.save(str(file))
    vocabulary = tokenizer.get_vocab()
    ids = {text: vocabulary[text] for text in texts}
    if taken & set(ids.values()):
        raise FailedPrecondition(
            f"fim_sentinels: this base model's tokenizer has one of {', '.join(texts)} already, or its ids have holes; "
            "use a base model with sentinels of its own"
        )
    _name_in(target / "tokenizer_config.json", ids)
    return ids


def _name_in(file: Path, ids: Mapping[str, int]) -> None:
    """Older folders list added tokens a second time, and transformers believes that list."""
    facts = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    if "added_tokens_decoder" in facts:
        same = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
        facts["added_tokens_decoder"] |= {str(token): {"content": text, **same} for text, token in ids.items()}
        folder.write_json(file, facts)


@torch.no_grad()
def _add_rows(parent: Path, target: Path, ids: Sequence[int]) -> None:
    """Writes the weights with rows for those ids, in the number format that they have."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        parent, dtype="auto", local_files_only=True, trust_remote_code=False, use_safetensors=True
    )
    old = model.get_input_embeddings().weight.shape[0]
    if max(ids) >= old:
        model.resize_token_embeddings(max(ids) + 1, mean_resizing=False)
    tables = [model.get_input_embeddings().weight]
    if model.get_output_embeddings().weight is not tables[0]:
        tables.append(model.get_output_embeddings().weight)
    for table in tables:
        known = table[: min(old, min(ids))].float()
        noise = torch.randn(len(ids), table.shape[1], generator=torch.Generator().manual_seed(0))
        table[list(ids)] = (known.mean(0) + _NOISE * known.std(0) * noise).to(table.dtype)
    model.save_pretrained(target)
