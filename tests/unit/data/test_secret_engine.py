"""The engine's finds have their places, and nothing of a text stays behind, is sent on or comes into a message."""

from __future__ import annotations

import base64
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from planted_secrets import Chance, Planted, planted
from tunesmith.data.codebase import secret_engine
from tunesmith.data.codebase.secret_engine import Engine, Found, Text, batches
from tunesmith.errors import FailedPrecondition, Unavailable

of = Chance(9).of
TOKEN = "gh" + "p_" + of(36)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as running:
        yield running


def scanned(engine: Engine, *texts: str, ending: str = ".py") -> list[Found]:
    return engine.scan(Text(number, ending, text.encode()) for number, text in enumerate(texts))


def test_a_find_has_its_bytes(engine: Engine) -> None:
    text = f'x = "\u00e9\u20ac"\r\ny = "\U0001f600"; t = "{TOKEN}"\n'
    [found] = scanned(engine, "nothing = 1\n", text)
    assert found.number == 1
    assert found.kind == "github-token"
    assert text.encode()[found.start : found.end] == TOKEN.encode()


def test_the_same_text_and_the_same_secret_are_found_each_time(engine: Engine) -> None:
    text = f't = "{TOKEN}"\nu = "{TOKEN}"\n'
    assert [(found.number, found.start) for found in scanned(engine, text, text)] == [(0, 5), (0, 52), (1, 5), (1, 52)]


def test_of_base64_all_is_found(engine: Engine) -> None:
    blob = base64.b64encode(f'token = "{TOKEN}" # for the build'.encode()).decode()
    [found] = scanned(engine, f'x = "{blob}"\n')
    assert f'x = "{blob}"\n'[found.start : found.end].rstrip("=") == blob.rstrip("=")


def test_a_comment_cannot_hide_a_secret(engine: Engine) -> None:
    text = f't = "{TOKEN}"  # kingfisher:ignore gitleaks:allow pragma: allowlist secret noqa\n'
    assert len(scanned(engine, text)) == 1


def test_an_ending_that_could_be_an_archives_is_replaced(engine: Engine) -> None:
    assert len(scanned(engine, f't = "{TOKEN}"\n', ending=".zip")) == 1
    assert len(scanned(engine, f't = "{TOKEN}"\n', ending="/../../x.py")) == 1


def test_most_of_what_is_planted_is_found(engine: Engine) -> None:
    files: list[Planted] = [file for file in planted(4) if file.form == "python"]
    found = {found.number for found in scanned(engine, *(file.source_text for file in files))}
    assert len(found) > 0.6 * len(files)


def test_texts_go_in_batches_in_their_order() -> None:
    texts = [Text(number, ".py", b"x" * size) for number, size in enumerate([4, 5, 1, 20, 1])]
    assert [[text.number for text in batch] for batch in batches(texts, 10)] == [[0, 1, 2], [3], [4]]
    assert list(batches([])) == []


def test_nothing_is_left_behind(engine: Engine) -> None:
    with Engine() as other:
        folder = other._folder
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()
    scanned(engine, f't = "{TOKEN}"\n')
    assert [path.name for path in engine._folder.iterdir() if path.name not in ("rules", ".cache")] == []


STUB = """#!{shell}
{body}
"""


def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path, body: str) -> Engine:
    program = folder / "program"
    program.write_text(STUB.format(shell="/bin/bash", body=body))
    program.chmod(0o755)
    monkeypatch.setattr(secret_engine, "_program", lambda: str(program))
    return Engine(timeout_s=10)


def test_it_gets_nothing_of_ours_and_asks_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TUNESMITH_TEST_SECRET", TOKEN)
    seen = tmp_path / "seen"
    body = f'/usr/bin/env > {seen}; echo "$@" >> {seen}; /bin/ls texts >> {seen}; exit 3'
    with stand_in(monkeypatch, tmp_path, body) as engine, pytest.raises(Unavailable):
        scanned(engine, "x = 1")
    said = seen.read_text()
    assert TOKEN not in said
    assert {line.partition("=")[0] for line in said.splitlines() if "=" in line and not line.startswith("scan")} <= {
        "PATH", "HOME", "TMPDIR", "PWD", "SHLVL", "_", "OLDPWD",
    }  # fmt: skip
    assert {"--no-validate", "--no-update-check", "--git-history=none", "--no-ignore"} <= set(said.split())
    assert said.endswith("000000.py\n")


NOT_ALL = {"findings": [], "audit": {"summary": {"scan_failed": 1, "scan_partial": 0, "pending": 0}}}


@pytest.mark.parametrize(
    "body",
    [
        "cat texts/*; cat texts/* >&2; exit 7",
        "cat texts/*",
        'echo \'{"findings": [], "audit": {"summary": {"scan_failed": 1, "scan_partial": 0, "pending": 0}}}\'',
        "echo '{}'",
        "kill -9 $$",
    ],
)
def test_an_engine_that_fails_says_so_without_the_secret_and_leaves_nothing(
    body: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with stand_in(monkeypatch, tmp_path, body.replace("cat", "/bin/cat")) as engine:
        with pytest.raises(Unavailable) as raised:
            scanned(engine, f't = "{TOKEN}"\n')
        assert list(engine._folder.iterdir()) == []
    assert TOKEN[:12] not in repr(raised.value) + str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None or raised.value.__suppress_context__


def test_an_engine_that_takes_too_long_is_killed_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    marks = tmp_path / "pid"
    engine = stand_in(monkeypatch, tmp_path, f"echo $$ > {marks}; while true; do :; done")
    engine._timeout_s = 0.5
    with engine, pytest.raises(Unavailable, match="more than"):
        scanned(engine, f't = "{TOKEN}"\n')
    assert not engine._folder.exists()
    if marks.exists():
        with pytest.raises(ProcessLookupError):
            os.kill(int(marks.read_text()), 0)


def test_without_the_wheel_there_is_no_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FailedPrecondition, match="pip install kingfisher-bin"):
        Engine()
