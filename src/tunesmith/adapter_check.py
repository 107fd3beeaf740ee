"""An adapter from outside, checked byte by byte without opening a tensor: its files, its layout, its weights.

In: names and sizes of files, adapter_config.json, adapter_model.safetensors, the folder of the base model. Out: what
the adapter is, or InvalidArgument with everything that is wrong. What a file could make a library do (run code, look
for a pattern without end, fetch something, change the base) is refused by name; what is left is plain LoRA on layers
that the base has. Formats: PEFT's LoraConfig, and the safetensors header (8 bytes of length, JSON, then the tensors).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tunesmith.errors import InvalidArgument, Violation

LAYOUT, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
BINDING, MANIFEST = "base.json", "manifest.json"
"""Written by Tunesmith beside an adapter: which base it belongs to, and the hashes of the files."""

MAX_LAYOUT_BYTES = 1 << 20
MAX_WEIGHTS_BYTES = 8 << 30
"""Rank 512 on every linear layer of 70 billion parameters has 7 GB in 16 bits."""
MAX_HEADER_BYTES = 16 << 20
MAX_TENSORS = 100_000
"""The largest adapters have a tenth of it, with 150 bytes of header each."""
MAX_RANK = 512
"""As TuningSpec and engine/shelf.py."""
MAX_SCALE = 1_000_000
"""Of lora_alpha; some hundreds are usual, and a larger one makes no numbers in 16 bits."""

# Files that run code when they are opened as what their names say.
_CODE = re.compile(
    r".*\.(bin|pt|pth|ckpt|pkl|pickle|joblib|dill|npy|npz|h5|hdf5|keras|pb|onnx|msgpack|py|pyc|so|dll|dylib|sh|exe"
    r"|jar|zip|tar|gz|7z)",
    re.IGNORECASE,
)
_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8,
}  # fmt: skip
_WEIGHT_TYPES = ("F32", "F16", "BF16")
_NAME = re.compile(r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*")
_TENSOR = re.compile(r"base_model\.model\.(?P<layer>[A-Za-z0-9_.]+)\.lora_(?P<side>[AB])\.weight")

# Fields of a LoraConfig that change nothing here, whatever they say.
_IGNORED = {
    "peft_version", "inference_mode", "megatron_core", "qalora_group_size", "fan_in_fan_out", "task_type", "r",
    "lora_alpha", "lora_dropout", "target_modules", "exclude_modules", "rank_pattern", "alpha_pattern", "peft_type",
    "base_model_name_or_path", "init_lora_weights", "bias", "revision", "use_rslora", "layers_to_transform",
    "layers_pattern",
}  # fmt: skip
_REFUSED = {
    "auto_mapping": "names code to run; leave it out",
    "auto_map": "names code to run; leave it out",
    "use_dora": "only plain LoRA is served; tune again without it",
    "modules_to_save": "only plain LoRA is served; tune again without it",
    "trainable_token_indices": "only plain LoRA is served; tune again without it",
    "layer_replication": "changes the base model; merge it first, and tune on the result",
}


class Layout(NamedTuple):
    """What adapter_config.json says."""

    fields: Mapping[str, Any]
    """All of it, as it was checked."""
    base: str
    """base_model_name_or_path"""
    rank: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """One entry of a safetensors header."""

    dtype: str
    shape: tuple[int, ...]


def check_files(sizes: Mapping[str, int]) -> list[str]:
    """Names of those files that are no part of an adapter, of all whose sizes in bytes are given."""
    wrong = [
        Violation(name, "can run code when it is opened, and is never taken; save the weights as safetensors alone")
        for name in sizes
        if _CODE.fullmatch(name)
    ]
    limits = {
        LAYOUT: MAX_LAYOUT_BYTES,
        WEIGHTS: MAX_WEIGHTS_BYTES,
        BINDING: MAX_LAYOUT_BYTES,
        MANIFEST: MAX_LAYOUT_BYTES,
    }
    for name in (LAYOUT, WEIGHTS):
        if name not in sizes:
            wrong.append(Violation(name, "is not there; artifactUri is the folder that PEFT's save_pretrained writes"))
    for name, limit in limits.items():
        if sizes.get(name, 0) > limit:
            wrong.append(Violation(name, f"has {sizes[name]:,} bytes; at most {limit:,}"))
    if wrong:
        raise InvalidArgument.of_all(wrong)
    return sorted(set(sizes) - set(limits))


# adapter_config.json


def read_layout(data: bytes) -> Layout:
    """The layout of a plain LoRA adapter; InvalidArgument names every field that makes it another one."""
    try:
        said = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidArgument.of(LAYOUT, f"is not JSON: {error!s:.200}") from error
    if not isinstance(said, dict):
        raise InvalidArgument.of(LAYOUT, "must be a JSON object")
    wrong = [*_wrong_kind(said), *_wrong_numbers(said), *_wrong_names(said)]
    if wrong:
        raise InvalidArgument.of_all([Violation(f"{LAYOUT}: {v.field}", v.message) for v in wrong])
    ranks = (said.get("rank_pattern") or {}).values()
    return Layout(said, said.get("base_model_name_or_path") or "", max([said["r"], *ranks]))


def _wrong_kind(said: Mapping[str, Any]) -> Iterator[Violation]:
    if said.get("peft_type") != "LORA":
        yield Violation("peft_type", f"must be LORA, got {said.get('peft_type')!r:.80}")
    if said.get("task_type") not in (None, "CAUSAL_LM"):
        yield Violation("task_type", f"must be CAUSAL_LM, got {said.get('task_type')!r:.80}")
    if said.get("bias", "none") != "none":
        yield Violation("bias", f"must be none, got {said['bias']!r:.80}; tune again without biases")
    start = said.get("init_lora_weights", True)
    if start not in (True, False, "gaussian"):
        yield Violation(
            "init_lora_weights", f"{start!r:.80} changes the base model; save the adapter converted to LoRA"
        )
    for field, value in said.items():
        if field in _REFUSED and value:
            yield Violation(field, _REFUSED[field])
        elif field not in _IGNORED and field not in _REFUSED and value:
            yield Violation(field, f"is not served, got {value!r:.80}; leave it out, or tune again without it")


def _wrong_numbers(said: Mapping[str, Any]) -> Iterator[Violation]:
    patterns = {name: said.get(name) or {} for name in ("rank_pattern", "alpha_pattern")}
    for name, pattern in patterns.items():
        if not isinstance(pattern, dict):
            yield Violation(name, f"must be an object, got {pattern!r:.80}")
            patterns[name] = {}
    ranks = {"r": said.get("r"), **{f"rank_pattern.{key}": value for key, value in patterns["rank_pattern"].items()}}
    for field, rank in ranks.items():
        if not isinstance(rank, int) or isinstance(rank, bool) or not 0 < rank <= MAX_RANK:
            yield Violation(field, f"must be a whole number from 1 to {MAX_RANK}, got {rank!r:.80}")
    scales = {"lora_alpha": said.get("lora_alpha", 8)}
    scales |= {f"alpha_pattern.{key}": value for key, value in patterns["alpha_pattern"].items()}
    for field, scale in scales.items():
        if not isinstance(scale, int | float) or isinstance(scale, bool) or not 0 < scale <= MAX_SCALE:
            yield Violation(field, f"must be a number above 0, at most {MAX_SCALE:,}, got {scale!r:.80}")
    for field in ("use_rslora", "fan_in_fan_out"):
        if said.get(field) not in (None, True, False):
            yield Violation(field, f"must be true or false, got {said[field]!r:.80}")
    dropout = said.get("lora_dropout", 0)
    if not isinstance(dropout, int | float) or isinstance(dropout, bool) or not 0 <= dropout < 1:
        yield Violation("lora_dropout", f"must be a number from 0 to below 1, got {dropout!r:.80}")


def _wrong_names(said: Mapping[str, Any]) -> Iterator[Violation]:
    """PEFT takes a text here, and every key of a pattern, for a regular expression: only plain names are taken."""
    base = said.get("base_model_name_or_path")
    if base is not None and (not isinstance(base, str) or "://" in base or len(base) > 1000):
        yield Violation("base_model_name_or_path", f"must be a model's name, and no address, got {base!r:.80}")
    if said.get("revision") not in (None, "main"):
        yield Violation("revision", f"{said['revision']!r:.80}: revisions of a base model are not told apart by name")
    targets = said.get("target_modules")
    if targets != "all-linear" and not (targets and _are_names(targets)):
        yield Violation("target_modules", f"must be a list of names of layers, or all-linear, got {targets!r:.80}")
    for field in ("exclude_modules", "layers_pattern"):
        if said.get(field) and not _are_names(said[field]):
            yield Violation(field, f"must be a list of plain names, got {said[field]!r:.80}")
    for field in ("rank_pattern", "alpha_pattern"):
        if isinstance(said.get(field), dict) and not _are_names(list(said[field])):
            yield Violation(field, "must have plain names of layers for keys")
    layers = said.get("layers_to_transform")
    numbers = layers if isinstance(layers, list) else [] if layers is None else [layers]
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        yield Violation("layers_to_transform", f"must be a list of layers' numbers, got {layers!r:.80}")


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) and _NAME.fullmatch(name) for name in value)


# adapter_model.safetensors


def read_header(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name; InvalidArgument unless they fill it exactly, each by its type."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(MAX_HEADER_BYTES, size - 8):
            most = max(0, min(MAX_HEADER_BYTES, size - 8))
            raise InvalidArgument.of(path.name, f"is not safetensors: a header of {length:,} bytes, where {most:,} fit")
        header = file.read(length)
    try:
        said = json.loads(header.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument.of(path.name, f"is not safetensors: its header is not JSON ({error!s:.200})") from error
    if not isinstance(said, dict) or not header.startswith(b"{"):
        raise InvalidArgument.of(path.name, "is not safetensors: its header is not a JSON object")
    notes = said.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(v, str) for v in notes.values()):
        raise InvalidArgument.of(path.name, "__metadata__ must map texts to texts")
    if len(said) > MAX_TENSORS:
        raise InvalidArgument.of(path.name, f"has {len(said):,} tensors; at most {MAX_TENSORS:,}")
    return _filling(path.name, said, size - 8 - length)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _filling(name: str, said: Mapping[str, Any], data_bytes: int) -> dict[str, Tensor]:
    """The entries, once it is known that their bytes follow each other from the first to the last."""
    found, places = {}, []
    for key, entry in said.items():
        if not _is_entry(entry):
            raise InvalidArgument.of(name, f"tensor {key[:200]!r} must have dtype, shape and data_offsets alone")
        dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        wanted = math.prod(shape) * _BYTES.get(dtype, 0)
        if dtype not in _BYTES:
            raise InvalidArgument.of(name, f"tensor {key[:200]!r} is of an unknown type {dtype[:40]!r}")
        if end - start != wanted:
            text = f"tensor {key[:200]!r}: {dtype} of shape {shape} has {wanted:,} bytes, its place has {end - start:,}"
            raise InvalidArgument.of(name, text)
        found[key] = Tensor(dtype, tuple(shape))
        places.append((start, end, key))
    reached = 0
    for start, end, key in sorted(places):
        if start != reached:
            word = "overlaps the one before it" if start < reached else "leaves a hole before it"
            raise InvalidArgument.of(name, f"tensor {key[:200]!r} {word}: begins at byte {start:,}, not {reached:,}")
        reached = end
    if reached != data_bytes:
        raise InvalidArgument.of(name, f"its tensors end at byte {reached:,}, its data at {data_bytes:,}")
    return found


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        return False
    numbers = [entry["shape"], entry["data_offsets"]]
    lists = all(isinstance(part, list) and all(type(n) is int and 0 <= n < 2**63 for n in part) for part in numbers)
    return isinstance(entry["dtype"], str) and lists and len(entry["shape"]) <= 8 and len(entry["data_offsets"]) == 2


def check_weights(path: Path, layout: Layout, base: Path) -> None:
    """InvalidArgument unless the file holds an A and a B for each layer, of one rank, that fit the base's layers."""
    tensors = read_header(path)
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        match = _TENSOR.fullmatch(name)
        if match is None or tensor.dtype not in _WEIGHT_TYPES or len(tensor.shape) != 2:
            what = f"tensor {name[:200]!r} ({tensor.dtype}, {list(tensor.shape)})"
            kinds = ", ".join(_WEIGHT_TYPES)
            raise InvalidArgument.of(path.name, f"{what} is not lora_A or lora_B of a linear layer in {kinds}")
        layers.setdefault(match["layer"], {})[match["side"]] = tensor
    if not layers:
        raise InvalidArgument.of(path.name, "holds no tensor")
    of_base = _tensors_of(base)
    for layer, sides in layers.items():
        _check_layer(path.name, layer, sides, layout)
        _check_beside(path.name, layer, sides, of_base)


def _tensors_of(base: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for file in sorted(base.glob("*.safetensors")):
        found |= read_header(file)
    return found


def _check_layer(name: str, layer: str, sides: Mapping[str, Tensor], layout: Layout) -> None:
    if set(sides) != {"A", "B"}:
        raise InvalidArgument.of(name, f"layer {layer} has lora_{next(iter(sides))} alone")
    ranks = sides["A"].shape[0], sides["B"].shape[1]
    allowed: Sequence[int] = [layout.fields["r"], *(layout.fields.get("rank_pattern") or {}).values()]
    if ranks[0] != ranks[1] or ranks[0] not in allowed:
        said = ", ".join(map(str, sorted(set(allowed))))
        raise InvalidArgument.of(name, f"layer {layer} is of rank {ranks[0]} and {ranks[1]}; {LAYOUT} says {said}")


def _check_beside(name: str, layer: str, sides: Mapping[str, Tensor], of_base: Mapping[str, Tensor]) -> None:
    """Where the base's own files call a layer so, its shape must be the adapter's."""
    known = of_base.get(f"{layer}.weight")
    shape = sides["B"].shape[0], sides["A"].shape[1]
    if known is not None and known.shape not in (shape, shape[::-1]):
        text = f"layer {layer} is for {list(shape)}, and the base model's has {list(known.shape)}: another base model's"
        raise InvalidArgument.of(name, text)
    if known is None and any(key.startswith("model.layers.") for key in of_base) and layer.startswith("model.layers."):
        raise InvalidArgument.of(name, f"the base model has no layer {layer}: another base model's")
