"""Where a data file comes from, if it was built: what the manifest beside it says, if it says it of these bytes.

`tunesmith data build` writes manifest.json beside its rows (codebase/dataset.py). A file that was changed since, or
that stands beside another build's manifest, has no provenance: nothing is claimed that the bytes do not bear out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith import folder

_MOST_BYTES = 8 << 20
_SAID = ("tunesmith", "templates", "source", "options", "counts")


def provenance_of(path: Path, sha256: str) -> dict[str, Any]:
    """What a build said of the data file with that hash; empty if it was not built, or is not as it was built."""
    manifest = path.parent / folder.MANIFEST
    said = _read(manifest)
    files = said.get("files")
    about = files.get(path.name) if isinstance(files, Mapping) else None
    if not isinstance(about, Mapping) or about.get("sha256") != sha256 or "tunesmith" not in said:
        return {}
    return {"manifest_sha256": folder.file_sha256(manifest), **{name: said[name] for name in _SAID if name in said}}


def _read(manifest: Path) -> dict[str, Any]:
    """Empty if it is none: anything may have that name."""
    if not manifest.is_file() or manifest.stat().st_size > _MOST_BYTES:
        return {}
    try:
        said = json.loads(manifest.read_bytes())
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
