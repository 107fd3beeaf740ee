"""The adapters beside one loaded base model: put there when they are asked for, taken away when others need the place.

In: tuned models by name and registry folder. Out: the word by which a row of a batch says whose it is, and the logits
of a batch in which every row has its own (PEFT's mixed inference). An adapter is read from the disk only after every
byte of it was found to be what was written, and only if it belongs to these very base weights. The one that has not
been asked for longest leaves; one in use never does. One thread at a time.
"""

from __future__ import annotations

import itertools
import json
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file

from tunesmith import folder
from tunesmith.engine import sentinels
from tunesmith.engine.adapters import ADAPTER, BASE_FILE, MODEL, layout_beside, refuse_another_base, room_beside
from tunesmith.engine.model import LanguageModel, Prepared
from tunesmith.errors import DataLoss, FailedPrecondition, NotFound, ResourceExhausted

BARE = "__base__"
"""PEFT's own word for a row without an adapter."""

WEIGHTS = "adapter_model.safetensors"
MAX_RANK = 512
"""As in TuningSpec; a larger one would take the place of several."""


class Tuned(NamedTuple):
    """A tuned model of the registry: `folder` holds adapter/ or model/."""

    name: str
    folder: Path


@dataclass(slots=True)
class _Placed:
    word: str
    name: str
    uses: int = 0


class Shelf:
    """One model with what stands beside it."""

    def __init__(self, model: LanguageModel, base: Prepared, limit: int, weights: Path | None = None) -> None:
        """`limit` adapters at once; `weights` is the folder of the fully tuned model that is loaded, if one is."""
        self._model = model
        self._base = base
        self._limit = limit
        self._weights = weights
        self._peft: Any = None
        self._added = sentinels.AddedRows(model.causal_lm, [] if weights else sentinels.added(base.folder))
        self._placed: OrderedDict[tuple[str, str], _Placed] = OrderedDict()
        self._numbers = itertools.count(1)
        self.names: tuple[str, ...] = ()
        """Of the models whose adapters are here, the one asked for last at the end."""

    @property
    def device(self) -> torch.device:
        return self._model.device.torch_device

    def take(self, tuned: Tuned | None) -> str:
        """The word for rows of this model, which stays until `give_back`. None: the loaded weights themselves.

        NotFound, DataLoss or FailedPrecondition if there is no such adapter, or none that may stand here.
        """
        if tuned is None:
            return BARE
        if self._weights is not None:
            refuse_beside_tuned(tuned, self._weights)
            return BARE
        adapter = adapter_of(tuned)
        # A folder that was deleted and made again under the same name is another adapter.
        key = str(adapter), folder.file_sha256(adapter / folder.MANIFEST)
        if key not in self._placed:
            refuse_unfit(adapter, self._base)
            self._make_room()
            self._placed[key] = _Placed(self._load(adapter), tuned.name)
        self._placed.move_to_end(key)
        self._placed[key].uses += 1
        self._tell()
        return self._placed[key].word

    def give_back(self, word: str) -> None:
        """One use less of what `take` gave."""
        for placed in self._placed.values():
            if placed.word == word:
                placed.uses -= 1

    def next_logits(self, words: Sequence[str], **inputs: Any) -> torch.Tensor:
        """Logits after the last position of each row (R x V, float32), row r computed with the adapter words[r]."""
        self._added.use(words)
        if self._peft is None:
            output = self._model.causal_lm(**inputs, use_cache=True, logits_to_keep=1)
        else:
            output = self._peft(**inputs, use_cache=True, logits_to_keep=1, adapter_names=list(words))
        logits_RV: torch.Tensor = output.logits[:, -1].float()
        return logits_RV

    def _make_room(self) -> None:
        while len(self._placed) >= self._limit:
            oldest = next((key for key, placed in self._placed.items() if not placed.uses), None)
            if oldest is None:
                raise ResourceExhausted(
                    f"all {self._limit} adapters that may be loaded at once are in use; ask again, or raise `adapters`"
                )
            self._remove(self._placed.pop(oldest).word)

    def _remove(self, word: str) -> None:
        self._added.take_away(word)
        if len(self._peft.peft_config) == 1:
            # Without any, PEFT's model could not be called: the base stands alone again.
            self._peft.unload()
            self._peft = None
            return
        with warnings.catch_warnings():
            # PEFT says which adapter it makes the active one instead; here every row names its own.
            warnings.filterwarnings("ignore", "Adapter .* was active which is now deleted")
            self._peft.delete_adapter(word)

    def _load(self, adapter: Path) -> str:
        word = f"tuned_{next(self._numbers):09d}"  # of one length: PEFT looks for names as parts of other names
        try:
            unknown = self._read(adapter, word)
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, UserWarning) as error:
            if self._peft is not None and word in self._peft.peft_config:
                self._remove(word)
            if isinstance(error, torch.OutOfMemoryError):
                raise ResourceExhausted(f"too little memory for the adapter in {adapter}: {error}") from error
            raise DataLoss(f"model: the weights in {adapter} do not fit its own description: {error}") from error
        if unknown:
            self._remove(word)
            raise DataLoss(f"model: {adapter} has weights for layers that {self._base.name} has not: {unknown[0]}")
        return word

    def _read(self, adapter: Path, word: str) -> Sequence[str]:
        """Puts the adapter beside the base under that name; names of weights that no layer took."""
        if self._peft is None:
            self._peft = room_beside(self._model.causal_lm, adapter, word)
        else:
            self._peft.add_adapter(word, layout_beside(adapter))
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Found missing adapter keys")
            said = self._peft.load_adapter(str(adapter), word, torch_device=str(self.device), is_trainable=False)
        if added_of(adapter):
            self._added.put(word, _rows_of(adapter))
        return [name for name in said.unexpected_keys if not (added_of(adapter) and name.endswith(sentinels.ROWS_KEY))]

    def _tell(self) -> None:
        self.names = tuple(placed.name for placed in self._placed.values())


def refuse_beside_tuned(tuned: Tuned, weights: Path) -> None:
    """FailedPrecondition unless the fully tuned `weights`, which stand in the base's place, are this model's."""
    if (tuned.folder / MODEL).resolve() != weights.resolve():
        raise FailedPrecondition(
            f"model: this process serves the fully tuned weights in {weights}, and {tuned.name} is not they; "
            "ask the process of its base model"
        )


def refuse_unfit(adapter: Path, base: Prepared) -> None:
    """DataLoss if a byte of it has changed, FailedPrecondition if it may not stand beside this base."""
    folder.verify(adapter)
    if not (adapter / BASE_FILE).is_file():
        raise FailedPrecondition(f"model: {adapter} does not say which base model it belongs to ({BASE_FILE})")
    refuse_another_base(adapter, base)
    _refuse_layout(adapter, sentinels.added(base.folder))


def adapter_of(tuned: Tuned) -> Path:
    """Where its adapter lies; NotFound if nowhere, FailedPrecondition if it was tuned whole."""
    adapter = tuned.folder / ADAPTER
    if adapter.is_dir():
        return adapter
    if (tuned.folder / MODEL).is_dir():
        raise FailedPrecondition(
            f"model: {tuned.name} was tuned whole, so it needs a process of its own, started with `weights`"
        )
    raise NotFound(f"model: {tuned.name} has no adapter at {adapter}; was the model deleted?", name=tuned.name)


def added_of(adapter: Path) -> list[int]:
    """Ids of the tokens whose rows the adapter brings along."""
    found = _description(adapter).get("trainable_token_indices") or []
    return found if isinstance(found, list) else [-1]  # by layer: nothing that is trained here


def _rows_of(adapter: Path) -> torch.Tensor:
    stored: dict[str, torch.Tensor] = load_file(adapter / WEIGHTS)
    found = [rows for name, rows in stored.items() if name.endswith(sentinels.ROWS_KEY)]
    if len(found) != 1 or len(found[0]) != len(added_of(adapter)):
        raise KeyError(f"one table of {len(added_of(adapter))} rows for its added tokens")
    return found[0]


def _refuse_layout(adapter: Path, added: Sequence[int]) -> None:
    """FailedPrecondition unless it is plain LoRA, which can share a batch with others, perhaps with the added rows."""
    said, rank = _description(adapter), rank_of(adapter)
    wrong = [name for name in ("use_dora", "modules_to_save") if said.get(name)]
    if added_of(adapter) not in ([], list(added)):
        wrong.append("trainable_token_indices")
    if said.get("peft_type") != "LORA" or said.get("bias", "none") != "none" or wrong:
        kind = " with ".join([str(said.get("peft_type")), *wrong])
        raise FailedPrecondition(f"model: {adapter} is {kind}; only plain LoRA adapters are served beside their base")
    if rank > MAX_RANK:
        raise FailedPrecondition(f"model: {adapter} has rank {rank}; at most {MAX_RANK} is served")


def rank_of(adapter: Path) -> int:
    """The largest of its layers' ranks, as its description says."""
    said = _description(adapter)
    ranks: list[int] = [said.get("r") or 0, *(said.get("rank_pattern") or {}).values()]
    return max(ranks)


def _description(adapter: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
    return said
