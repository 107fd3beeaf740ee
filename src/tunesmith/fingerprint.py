"""The hash that binds tuned weights to the base model they belong to: over every file in its folder that counts.

In: a base model, the folder of pulled models. Out: where the base's files lie here, and their hash. Opens no tensors.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from tunesmith import catalog, folder
from tunesmith.catalog import BaseModel

_HASHES = "hashes.json"
_BOUND_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model")


def place_of(base: BaseModel, base_models: Path) -> Path:
    """Where the base model's files lie on this machine, or will lie once they are here."""
    for source in (base.parent or base).sources:
        if not source.startswith(("hf:", "pypi:")):
            own = Path(source).absolute()
            # A folder's path can be longer than a name may be.
            short = hashlib.sha256(str(own).encode()).hexdigest()[:12]
            return own if base.parent is None else base_models / f"{own.name}-{short}{catalog.WITH_FIM}"
    return base_models / catalog.folder_name(base.name)


def folder_sha256(directory: Path, cache_folder: Path) -> str:
    """Hash over names and hashes of the files that matter; a file's hash is kept as long as its stat stays the same."""
    cache_file = cache_folder / _HASHES
    known: dict[str, str] = folder.read_json(cache_file) if cache_file.is_file() else {}
    digest = hashlib.sha256()
    changed = False
    for path in sorted({p for pattern in _BOUND_FILES for p in directory.glob(pattern) if p.name != folder.MANIFEST}):
        stat = path.stat()
        key = f"{path}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}|{stat.st_ino}"
        if key not in known:
            known[key] = folder.file_sha256(path)
            changed = True
        digest.update(f"{path.name} {known[key]}\n".encode())
    if changed:
        folder.write_json(cache_file, known)
    return digest.hexdigest()
