"""A job's folder: every path in it, and the few ways in which its files are written and read.

This is the contract between the worker and a task, who share nothing else:

    jobs/<id>/spec.json                  the resolved job (a TuningPlan), written once by the worker
    jobs/<id>/<task>/attempt-<n>/        one try of one task
        task.json STOP TENDED            written by the worker: what to do; "save and leave"; "I look after you"
        pid log.txt progress.json metrics.jsonl tensorboard/ out/ scratch/
        result.json | error.json         written by the task, the last thing it does

One writer per file. A JSON file is replaced whole (write beside, fsync, rename). A JSONL file only grows, a line
at a time; a torn last line is what a crash leaves and is not read. A sub-folder of out/ appears complete, by
rename, with a manifest of sizes and SHA-256 inside (`sealed`); `verify` proves that it still is what was written.
Knows nothing of tensors, databases or processes.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any

from tunesmith.errors import DataLoss, NotFound

MANIFEST = "manifest.json"
MARK = "ATTEMPT_FOLDER"
"""In the environment of all that an attempt starts, however far it has gone from it: the attempt's folder."""
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class AttemptFolder:
    """One try of one task: its paths, and whether it has been asked to stop."""

    root: Path

    @property
    def task_file(self) -> Path:
        return self.root / "task.json"

    @property
    def stop_file(self) -> Path:
        return self.root / "STOP"

    @property
    def tended_file(self) -> Path:
        """Written again and again while a worker looks after a served model."""
        return self.root / "TENDED"

    @property
    def pid_file(self) -> Path:
        return self.root / "pid"

    @property
    def scratch(self) -> Path:
        """Temporary files, which nobody reads once the attempt has ended."""
        return self.root / "scratch"

    @property
    def log(self) -> Path:
        return self.root / "log.txt"

    @property
    def progress(self) -> Path:
        return self.root / "progress.json"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.root / "tensorboard"

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def address(self) -> Path:
        """Where a served model listens, and the token that it asks for."""
        return self.out / "address.json"

    @property
    def checkpoints(self) -> Path:
        return self.out / "checkpoints"

    @property
    def result(self) -> Path:
        return self.root / "result.json"

    @property
    def error(self) -> Path:
        return self.root / "error.json"

    def create(self) -> AttemptFolder:
        self.out.mkdir(parents=True, exist_ok=True)
        return self

    def stop_requested(self) -> bool:
        return self.stop_file.exists()


@dataclass(frozen=True, slots=True)
class JobFolder:
    """All of one job: its spec and the attempts of its tasks."""

    root: Path

    @property
    def spec(self) -> Path:
        return self.root / "spec.json"

    def attempt(self, task: str, number: int) -> AttemptFolder:
        return AttemptFolder(self.root / task / f"attempt-{number}")

    def attempts(self, task: str) -> list[AttemptFolder]:
        """The attempts that exist, oldest first."""
        found = [p for p in (self.root / task).glob("attempt-*") if p.is_dir()]
        return [AttemptFolder(p) for p in sorted(found, key=lambda p: int(p.name.removeprefix("attempt-")))]


def write_json(path: Path, value: Any, *, mode: int = 0o666) -> None:
    """Replaces the file as one step: readers see the old text or the new one, and it survives a crash.

    mode  who may read and write it, less the process's umask; a file with a secret in it is 0o600
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", mode=mode)


def write_text(path: Path, text: str, *, mode: int = 0o666) -> None:
    """As `write_json`, for any text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of this thread's own: the API writes from several.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with open(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_directory(path.parent)


def read_json(path: Path) -> Any:
    """The file's value. NotFound if there is none, DataLoss if it does not parse."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such file") from error
    try:
        return json.loads(data.decode("utf-8"))
    except ValueError as error:
        raise DataLoss(f"{path}: not JSON ({error}); the file was damaged after it was written") from error


def append_jsonl(path: Path, value: Any) -> None:
    """Adds one line in one write; flushed to the system, so that a reader sees whole lines or a torn last one."""
    with open(path, "ab", buffering=0) as file:
        append(file, _line(value).encode())


def append(file: RawIOBase, data: bytes) -> None:
    """Adds all of `data` in one write; or nothing, and OSError, if the disk has room for a part of it only."""
    written = file.write(data)
    if written != len(data):
        os.truncate(file.fileno(), os.fstat(file.fileno()).st_size - (written or 0))
        raise OSError(errno.ENOSPC, f"{written} of {len(data)} bytes could be written")


def write_jsonl(path: Path, values: Iterable[Any]) -> None:
    """As `write_json`, for lines of JSONL; the file may grow from then on."""
    write_text(path, "".join(_line(value) for value in values))


def read_jsonl(path: Path) -> list[Any]:
    """All complete lines; an absent file is an empty one, a torn last line is left out."""
    return list(tail_jsonl(path, 0)[0])


def tail_jsonl(path: Path, offset_bytes: int) -> tuple[list[Any], int]:
    """The complete lines after `offset_bytes`, and the offset to go on from. DataLoss if one does not parse."""
    data, end = tail_bytes(path, offset_bytes)
    try:
        return [json.loads(line) for line in data.splitlines()], end
    except ValueError as error:
        raise DataLoss(f"{path}: damaged; a line after byte {offset_bytes} is not JSON ({error})") from error


def tail_bytes(path: Path, offset_bytes: int) -> tuple[bytes, int]:
    """The complete lines after `offset_bytes`, in one piece, and the offset to go on from."""
    try:
        with open(path, "rb") as file:
            file.seek(offset_bytes)
            data = file.read()
    except FileNotFoundError:
        return b"", offset_bytes
    end = data.rfind(b"\n") + 1
    return data[:end], offset_bytes + end


def tail_text(path: Path, offset_bytes: int, limit_bytes: int = 1 << 18) -> tuple[list[str], int]:
    """The complete lines after `offset_bytes`, and the offset to go on from; what is not UTF-8 is shown as such.

    At most about `limit_bytes` at a time: a line that is longer comes in pieces.
    """
    try:
        with open(path, "rb") as file:
            file.seek(offset_bytes)
            data = file.read(limit_bytes)
    except FileNotFoundError:
        return [], offset_bytes
    end = data.rfind(b"\n") + 1
    if end == 0:
        if len(data) < limit_bytes:
            return [], offset_bytes
        end = len(data)
    text = data[:end].decode("utf-8", "replace")
    return text.removesuffix("\n").split("\n"), offset_bytes + end


@contextlib.contextmanager
def sealed(directory: Path) -> Iterator[Path]:
    """A temporary folder to fill; on leaving it becomes `directory`, complete and with a manifest, or nothing does.

    Order: files, fsync of each, manifest with sizes and SHA-256, fsync, rename, fsync of the parent. A folder
    that is there already is what an earlier try of the same work left; it is replaced. What was put into the manifest
    before the end stays in it beside the files.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = directory.with_name(f".{directory.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        _write_manifest(temporary)
        shutil.rmtree(directory, ignore_errors=True)
        os.rename(temporary, directory)
        sync_directory(directory.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def verify(directory: Path) -> dict[str, Any]:
    """The manifest of a sealed folder whose every byte has been read and found unchanged; else DataLoss."""
    manifest: dict[str, Any] = read_json(directory / MANIFEST)
    for name, want in manifest["files"].items():
        path = directory / name
        size = path.stat().st_size if path.is_file() else 0
        if size != want["bytes"]:
            raise DataLoss(f"{directory.name} is torn: {name} has {size:,} of {want['bytes']:,} bytes", path=str(path))
        if file_sha256(path) != want["sha256"]:
            raise DataLoss(f"{directory.name} is damaged: {name} is not the file that was written", path=str(path))
    return manifest


def mtime_ns(path: Path) -> int:
    """When the file was last written; 0 if it is not there."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sync_directory(directory: Path) -> None:
    """Makes renames inside the folder survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"


def _write_manifest(directory: Path) -> None:
    manifest = directory / MANIFEST
    facts: dict[str, Any] = read_json(manifest) if manifest.exists() else {}
    files = {}
    for path in sorted(p for p in directory.rglob("*") if p.is_file() and p != manifest):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
        name = path.relative_to(directory).as_posix()
        files[name] = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    write_json(manifest, {**facts, "files": files})
