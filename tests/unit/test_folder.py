"""The contract of files: replaced whole, appended by lines, complete or absent, and proof of it."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest

from tunesmith import folder
from tunesmith.errors import DataLoss, NotFound
from tunesmith.folder import AttemptFolder, JobFolder


def fill(directory: Path) -> None:
    with folder.sealed(directory) as unfinished:
        (unfinished / "weights.safetensors").write_bytes(b"weights" * 100)
        (unfinished / "deep").mkdir()
        (unfinished / "deep" / "state.json").write_text("{}")


def names(directory: Path) -> list[str]:
    return sorted(p.name for p in directory.iterdir())


# JSON and lines.


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, True]}, "\u2028 \u0000 \U0001f600 \u4e2d", [], 0])
def test_json_survives(tmp_path: Path, value: object) -> None:
    folder.write_json(tmp_path / "new" / "x.json", value)
    assert folder.read_json(tmp_path / "new" / "x.json") == value


def test_json_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    folder.write_json(tmp_path / "x.json", {"long": "x" * 1000})
    folder.write_json(tmp_path / "x.json", 1)
    assert folder.read_json(tmp_path / "x.json") == 1
    assert names(tmp_path) == ["x.json"]


def test_value_that_is_not_json_leaves_the_old_file(tmp_path: Path) -> None:
    folder.write_json(tmp_path / "x.json", 1)
    for value in (float("nan"), object()):
        with pytest.raises((ValueError, TypeError)):
            folder.write_json(tmp_path / "x.json", value)
    assert folder.read_json(tmp_path / "x.json") == 1


def test_line_ends_are_written_as_they_are(tmp_path: Path) -> None:
    folder.write_text(tmp_path / "x", "a\r\nb\rc\n")
    assert (tmp_path / "x").read_bytes() == b"a\r\nb\rc\n"


def test_absent_json_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"x\.json"):
        folder.read_json(tmp_path / "x.json")


@pytest.mark.parametrize("damaged", [b"", b"{", b'{"a": 1}}', b"\xff\xfe"])
def test_damaged_json_is_data_loss(tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / "x.json").write_bytes(damaged)
    with pytest.raises(DataLoss, match=r"x\.json"):
        folder.read_json(tmp_path / "x.json")


def test_lines_are_read_in_the_order_of_writing(tmp_path: Path) -> None:
    lines = [{"step": 1, "text": "a\nb\u2028c"}, {"step": 2}]
    for line in lines:
        folder.append_jsonl(tmp_path / "m.jsonl", line)
    assert folder.read_jsonl(tmp_path / "m.jsonl") == lines


def test_absent_lines_are_none(tmp_path: Path) -> None:
    assert folder.read_jsonl(tmp_path / "m.jsonl") == []
    assert folder.tail_jsonl(tmp_path / "m.jsonl", 7) == ([], 7)


def test_torn_last_line_is_left_out_at_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    whole = '{"step": 1}\n{"step": 2, "x": "\u4e2d"}\n'.encode()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        assert [line["step"] for line in folder.read_jsonl(path)] == [1, 2][: whole[:size].count(b"\n")]


def test_tail_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    seen, offset = [], 0
    for step in range(5):
        with open(path, "ab") as file:
            file.write(json.dumps({"step": step}).encode()[:-1])
        lines, offset = folder.tail_jsonl(path, offset)
        seen += lines
        with open(path, "ab") as file:
            file.write(b"}\n")
    seen += folder.tail_jsonl(path, offset)[0]
    assert [line["step"] for line in seen] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("damaged", [b'{"step": 1}\n{"st\x00\n', b'{"step": 1}\n\xff\n'])
def test_damaged_line_is_data_loss(tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / "m.jsonl").write_bytes(damaged)
    with pytest.raises(DataLoss, match=r"m\.jsonl: damaged; a line after byte 0"):
        folder.read_jsonl(tmp_path / "m.jsonl")


# Sealed folders.


def test_sealed_folder_verifies(tmp_path: Path) -> None:
    fill(tmp_path / "step-1")
    assert set(folder.verify(tmp_path / "step-1")["files"]) == {"weights.safetensors", "deep/state.json"}
    assert names(tmp_path) == ["step-1"]


def test_sealed_folder_is_absent_until_it_is_complete(tmp_path: Path) -> None:
    with folder.sealed(tmp_path / "step-1") as unfinished:
        (unfinished / "x").write_text("x")
        assert not (tmp_path / "step-1").exists()
    assert (tmp_path / "step-1" / "x").exists()


def test_failure_while_filling_leaves_nothing(tmp_path: Path) -> None:
    with contextlib.suppress(ZeroDivisionError), folder.sealed(tmp_path / "step-1") as unfinished:
        (unfinished / "x").write_text("x")
        _ = 1 / 0
    assert names(tmp_path) == []


def test_failure_while_filling_keeps_what_was_there(tmp_path: Path) -> None:
    fill(tmp_path / "step-1")
    with pytest.raises(OSError, match="full"), folder.sealed(tmp_path / "step-1"):
        raise OSError("disk full")
    folder.verify(tmp_path / "step-1")


def test_sealed_again_is_replaced_whole(tmp_path: Path) -> None:
    fill(tmp_path / "step-1")
    with folder.sealed(tmp_path / "step-1") as unfinished:
        (unfinished / "other").write_text("x")
    assert names(tmp_path / "step-1") == [folder.MANIFEST, "other"]


def test_what_a_crash_left_half_filled_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / ".step-1.tmp").mkdir()
    (tmp_path / ".step-1.tmp" / "old").write_text("half")
    fill(tmp_path / "step-1")
    assert "old" not in names(tmp_path / "step-1")


@pytest.mark.parametrize("file", ["weights.safetensors", "deep/state.json"])
def test_flipped_bit_is_found(tmp_path: Path, file: str) -> None:
    fill(tmp_path / "step-1")
    path = tmp_path / "step-1" / file
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataLoss, match="is damaged"):
        folder.verify(tmp_path / "step-1")


def test_truncation_is_found_and_told_in_bytes(tmp_path: Path) -> None:
    fill(tmp_path / "step-1")
    os.truncate(tmp_path / "step-1" / "weights.safetensors", 200)
    with pytest.raises(DataLoss, match=r"step-1 is torn: weights\.safetensors has 200 of 700 bytes"):
        folder.verify(tmp_path / "step-1")


def test_missing_file_is_found(tmp_path: Path) -> None:
    fill(tmp_path / "step-1")
    (tmp_path / "step-1" / "deep" / "state.json").unlink()
    with pytest.raises(DataLoss, match="0 of 2 bytes"):
        folder.verify(tmp_path / "step-1")


def test_missing_manifest_is_found(tmp_path: Path) -> None:
    fill(tmp_path / "step-1")
    (tmp_path / "step-1" / folder.MANIFEST).unlink()
    with pytest.raises(NotFound):
        folder.verify(tmp_path / "step-1")


# Paths.


def test_attempts_are_listed_by_number_not_by_name(tmp_path: Path) -> None:
    job = JobFolder(tmp_path)
    for number in (10, 2, 1):
        job.attempt("tune", number).create()
    assert [a.root.name for a in job.attempts("tune")] == ["attempt-1", "attempt-2", "attempt-10"]
    assert job.attempts("evaluate") == []


def test_no_two_files_of_an_attempt_have_one_path(tmp_path: Path) -> None:
    attempt = AttemptFolder(tmp_path)
    paths = [getattr(attempt, n) for n, v in vars(AttemptFolder).items() if isinstance(v, property)]
    assert len(paths) >= 11
    assert len(set(paths)) == len(paths)


def test_stop_is_requested_by_the_files_presence(tmp_path: Path) -> None:
    attempt = AttemptFolder(tmp_path)
    assert not attempt.stop_requested()
    attempt.stop_file.touch()
    assert attempt.stop_requested()


def test_text_is_followed_by_whole_lines_and_a_very_long_one_in_pieces(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert folder.tail_text(log, 0) == ([], 0)
    log.write_bytes("one\n\ntw\u2028o\nhalf".encode())
    lines, offset = folder.tail_text(log, 0)
    assert lines == ["one", "", "tw\u2028o"]
    assert folder.tail_text(log, offset) == ([], offset)
    assert folder.tail_text(log, offset, limit_bytes=2) == (["ha"], offset + 2)
