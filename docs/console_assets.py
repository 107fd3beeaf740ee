"""Fetches the console's browser libraries by pinned version: `python docs/console_assets.py` (needs npm).

In: packages of the npm registry, named with version and SHA-512 below. Out: the files in src/tunesmith/console/vendor,
as they were published but for two things: the line that points to a source map, and the name by which one of them
imports another, which a browser without a build step does not know. `vendor.json` lists what lies there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

VENDOR = Path(__file__).parent.parent / "src" / "tunesmith" / "console" / "vendor"


class Package(NamedTuple):
    """One package: its files as (path in it, name here)."""

    name: str
    version: str
    licence: str
    sha512: str
    files: tuple[tuple[str, str], ...]


PACKAGES = (
    Package(
        "preact",
        "10.29.8",
        "MIT",
        "ej2aVZ+vZ8WO7tvlQWRM9N63A0KzF9q4mWJfDUHgYaIofWY9hu74QdnQrjoPMmZi2/nZ5gN0bJCQF49xQqx09Q==",
        (
            ("dist/preact.module.js", "preact.js"),
            ("hooks/dist/hooks.module.js", "hooks.js"),
            ("LICENSE", "preact.LICENSE"),
        ),
    ),
    Package(
        "htm",
        "3.1.1",
        "Apache-2.0",
        "983Vyg8NwUE7JkZ6NmOqpCZ+sh1bKv2iYTlUkzlWmA5JD2acKoxd4KVxbMmxX/85mtfdnDmTFoNKcg5DGAvxNQ==",
        (("dist/htm.module.js", "htm.js"), ("LICENSE", "htm.LICENSE")),
    ),
    Package(
        "uplot",
        "1.6.32",
        "MIT",
        "KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        (
            ("dist/uPlot.iife.min.js", "uplot.js"),
            ("dist/uPlot.min.css", "uplot.css"),
            ("LICENSE", "uplot.LICENSE"),
        ),
    ),
)


def main() -> None:
    """Writes every file and vendor.json; stops at the first package that is not the one that was pinned."""
    VENDOR.mkdir(parents=True, exist_ok=True)
    listed = []
    for package in PACKAGES:
        sys.stdout.write(f"fetching {package.name} {package.version}\n")
        for name, content in _fetched(package):
            (VENDOR / name).write_bytes(content)
            facts = {"package": package.name, "version": package.version, "licence": package.licence}
            listed.append({"file": name, **facts, "sha256": hashlib.sha256(content).hexdigest()})
    (VENDOR / "vendor.json").write_text(json.dumps(listed, indent=1) + "\n", "utf-8")


def _fetched(package: Package) -> list[tuple[str, bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        what = f"{package.name}@{package.version}"
        subprocess.run(["npm", "pack", what, "--silent"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != package.sha512:
            sys.exit(f"{what} has the SHA-512 {found}, pinned is {package.sha512}; nothing of it was written")
        with tarfile.open(archive) as members:
            return [(name, _adapted(_read(members, path))) for path, name in package.files]


def _read(members: tarfile.TarFile, path: str) -> bytes:
    member = members.extractfile(f"package/{path}")
    assert member is not None, f"{path} is a folder"
    return member.read()


def _adapted(content: bytes) -> bytes:
    lines = [line for line in content.split(b"\n") if not line.startswith(b"//# sourceMappingURL=")]
    return b"\n".join(lines).rstrip(b"\n").replace(b'from"preact"', b'from"./preact.js"') + b"\n"


if __name__ == "__main__":
    main()
