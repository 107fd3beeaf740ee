"""The engine: kingfisher, a scanner of secrets with some five hundred rules, run over many texts at once.

In: texts with their numbers. Out: what it found in each. It gets copies of the texts under names of ours in a private
folder, which goes away whatever happens but a kill of this process. It runs without live validation, update check,
git, archives or settings, with nothing of our environment, and honours no comment of a text that would hide a secret
from it. What it says is read here and never shown: it repeats the secrets.

The program lies in its wheel (kingfisher-bin). Without it there is no data set: a scan that was left out would look
like one that found nothing.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tunesmith.data import secrets
from tunesmith.data.codebase.secret_names import is_placeholder
from tunesmith.data.secrets import Secret
from tunesmith.errors import FailedPrecondition, Unavailable

BATCH_BYTES = 32 << 20
"""It reads 100 MB/s and more and needs 0.3 s to start: at 32 MiB that is half of its time, and the folder is small."""
TIMEOUT_S = 120.0
"""A batch takes 1 s; the first one 4 s, as the rules are compiled."""
_CONFIDENCE = "low"
"""All rules: in 31 MB of the standard library they find 5 URLs with passwords, and nothing else."""
_FOUND, _NOTHING = 200, 0
_ENDINGS = frozenset({
    ".py", ".pyi", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx", ".java", ".go", ".rs", ".c", ".cc",
    ".cpp", ".h", ".hpp", ".cs", ".rb", ".php", ".kt", ".kts", ".scala", ".sh", ".bash", ".sql", ".json", ".yaml",
    ".yml", ".toml", ".ini", ".xml", ".html", ".md", ".txt", ".ipynb", ".env", ".properties", ".tf",
})  # fmt: skip
_PLAIN_ENDING = ".txt"


class Text(NamedTuple):
    """A text to be scanned, by a number of the caller's."""

    number: int
    ending: str
    """Of its file's name; one that the engine may read as an archive, or that is odd, is replaced."""
    data: bytes


class Found(NamedTuple):
    """A find: bytes from 0, the end not in it."""

    number: int
    kind: str
    start: int
    end: int


class Engine:
    """The engine with a private folder, in which its compiled rules stay from one batch to the next.

    `rules` is a folder of ours in which they stay for the next build too: compiling them takes 3 s.
    """

    def __init__(self, timeout_s: float = TIMEOUT_S, rules: Path | None = None) -> None:
        self._program = _program()
        self._timeout_s = timeout_s
        self._running: subprocess.Popen[bytes] | None = None
        self._is_ended = False
        self._folder = Path(tempfile.mkdtemp(prefix="tunesmith-secrets-"))  # mode 0700
        self._rules = (rules or self._folder / "rules").absolute()
        if rules is not None:
            self._rules.mkdir(mode=0o700, parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def end(self) -> None:
        """Ends the scan that another thread waits for, and those that would follow: nobody wants them any more."""
        self._is_ended = True
        if self._running is not None:
            self._running.kill()

    def scan(self, texts: Iterable[Text]) -> list[Found]:
        """What is found in the texts, in their order and, within one, in its own."""
        return [found for batch in batches(texts) for found in self._scan(batch)]

    def _scan(self, batch: Sequence[Text]) -> Iterator[Found]:
        inbox = self._folder / "texts"
        inbox.mkdir(mode=0o700)
        try:
            for number, text in enumerate(batch):
                (inbox / f"{number:06d}{_ending(text)}").write_bytes(text.data)
            said = self._run()
        finally:
            shutil.rmtree(inbox, ignore_errors=True)
        found = {place for finding in said for place in _places(finding, batch)}
        yield from sorted(found)

    def _run(self) -> list[dict[str, Any]]:
        report = self._folder / "report"
        # Its own words go to a file: a full pipe would stop it. Not one of them may come into a message.
        try:
            with open(report, "wb") as file:
                self._running = subprocess.Popen(
                    [self._program, *_OPTIONS, "--rule-cache-dir", str(self._rules), "texts"],
                    cwd=self._folder,
                    env={"PATH": "", "HOME": str(self._folder), "TMPDIR": str(self._folder)},
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.DEVNULL,
                )
                if self._is_ended:  # meanwhile
                    self._running.kill()
                code = self._running.wait(self._timeout_s)
            if code not in (_FOUND, _NOTHING):
                raise Unavailable(f"the scanner kingfisher ended with status {code}; try again")
            return _findings(report)
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"the scanner kingfisher took more than {self._timeout_s:g} s for a batch") from error
        finally:
            if self._running is not None:
                self._running.kill()
                self._running.wait()
            report.unlink(missing_ok=True)


def batches(texts: Iterable[Text], batch_bytes: int = BATCH_BYTES) -> Iterator[list[Text]]:
    """The texts in their order, as many at a time as fit; one that is too large for that has a batch of its own."""
    batch: list[Text] = []
    size = 0
    for text in texts:
        if batch and size + len(text.data) > batch_bytes:
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text.data)
    if batch:
        yield batch


_OPTIONS = (
    "scan",
    "--no-validate",  # never asks a service whether a secret is good
    "--no-update-check",
    "--git-history=none",
    "--commit-metadata=false",
    "--no-extract-archives",
    "--no-ignore",  # a comment of a text hides nothing
    "--no-ignore-if-contains",
    "--no-dedup",
    f"--confidence={_CONFIDENCE}",
    "--max-file-size=0",
    "--format=json",
    "--quiet",
)


def _program() -> str:
    wheel = importlib.util.find_spec("kingfisher")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        for name in ("kingfisher", "kingfisher.exe"):
            program = Path(folder) / "bin" / name
            if os.access(program, os.X_OK):
                return str(program)
    raise FailedPrecondition(
        "the scanner of secrets is not installed: no program kingfisher in the package kingfisher-bin; run "
        "`pip install kingfisher-bin` on a platform that it has a wheel for (Linux, macOS or Windows, x86-64 or ARM)"
    )


def _ending(text: Text) -> str:
    return text.ending if text.ending in _ENDINGS else _PLAIN_ENDING


def _findings(report: Path) -> list[dict[str, Any]]:
    try:
        said = json.loads(report.read_bytes())
        findings: list[dict[str, Any]] = said["findings"]
        scan = said["audit"]["summary"]
        whole = scan["scan_failed"] == scan["scan_partial"] == scan["pending"] == 0
    except (ValueError, KeyError, TypeError):  # what was wrong with it could repeat a secret
        raise Unavailable("the scanner kingfisher ended without its report; try again") from None
    if not whole:
        raise Unavailable("the scanner kingfisher did not look at everything; try again")
    return findings


def _places(said: dict[str, Any], batch: Sequence[Text]) -> Iterator[Found]:
    """Where a finding lies: wherever its words are in the text, else what encodes them, else its line."""
    finding = said["finding"]
    text = batch[int(Path(finding["path"]).name[:6])]
    kind = _kind(said["rule"]["id"])
    for words in (finding["snippet"], *(finding.get("dependent_captures") or {}).values()):
        if is_placeholder(words):
            continue
        if len(words) < _SHORT:
            at = _line(text.data, finding["line"])[0] + finding["column_start"]
            if text.data[at : at + len(words.encode())] == words.encode():
                yield Found(text.number, kind, at, at + len(words.encode()))
                continue
        spans = list(_occurrences(text.data, words.encode())) or list(_encoding(text.data, words))
        for start, end in spans or [_line(text.data, finding["line"])]:
            yield Found(text.number, kind, start, end)


_SHORT = 8
"""Characters: a shorter value may stand elsewhere as an ordinary word, and counts only where it was found."""


def _kind(rule: str) -> str:
    name = re.split(r"[./]", rule)[-1].lower().replace("_", "-")
    return _KINDS.get(name, name)


_KINDS = {
    "github-pat": "github-token",
    "generic-api-key": "secret-value",
    "generic-credential-uri": "password-in-a-url",
    "aws-access-token": "aws-access-key",
    "jwt": "json-web-token",
}


def _occurrences(data: bytes, words: bytes) -> Iterator[tuple[int, int]]:
    at = data.find(words) if words else -1
    while at >= 0:
        yield at, at + len(words)
        at = data.find(words, at + len(words))


def _encoding(data: bytes, words: str) -> Iterator[tuple[int, int]]:
    """Where base64 or hex of a text with these words lies."""
    text = data.decode("utf-8", "replace")

    def look(inner: str) -> Iterator[Secret]:
        if words in inner:
            yield Secret("", inner.index(words) + 1, len(words), False)

    for secret in secrets.find(text, look=look):
        start = len(text[: secret.position - 1].encode())
        yield start, start + len(text[secret.position - 1 : secret.position - 1 + secret.length].encode())


def _line(data: bytes, number: int) -> tuple[int, int]:
    start = 0
    for _ in range(number - 1):
        start = data.find(b"\n", start) + 1
    end = data.find(b"\n", start)
    return start, len(data) if end < 0 else end
