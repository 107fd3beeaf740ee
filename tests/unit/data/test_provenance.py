"""A data file that was built says where it comes from, as long as it is as it was built."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith import folder
from tunesmith.data.provenance import provenance_of

FACTS = {"tunesmith": "1", "templates": 1, "source": {"kind": "git", "name": "till", "revision": "abc"}, "options": {}}


@pytest.fixture
def built(tmp_path: Path) -> Path:
    with folder.sealed(tmp_path / "data") as unfinished:
        (unfinished / "train.jsonl").write_text('{"input_text": "a", "output_text": "b"}\n')
        folder.write_json(unfinished / folder.MANIFEST, FACTS)
    return tmp_path / "data" / "train.jsonl"


def test_a_file_as_it_was_built_has_the_source_and_the_manifests_hash(built: Path) -> None:
    said = provenance_of(built, folder.file_sha256(built))
    assert said == {**FACTS, "manifest_sha256": folder.file_sha256(built.parent / folder.MANIFEST)}


def test_a_file_that_was_changed_has_none(built: Path) -> None:
    built.write_text("{}\n")
    assert provenance_of(built, folder.file_sha256(built)) == {}


def test_a_file_beside_the_manifest_that_is_not_in_it_has_none(built: Path) -> None:
    other = built.with_name("other.jsonl")
    other.write_bytes(built.read_bytes())
    assert provenance_of(other, folder.file_sha256(other)) == {}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"files": 1}', '{"files": {"train.jsonl": 3}}', '{"files": null}'])
def test_a_manifest_that_is_none_says_nothing(built: Path, text: str) -> None:
    (built.parent / folder.MANIFEST).write_text(text)
    assert provenance_of(built, folder.file_sha256(built)) == {}


def test_another_tools_manifest_says_nothing(tmp_path: Path) -> None:
    with folder.sealed(tmp_path / "shards") as unfinished:
        (unfinished / "train.jsonl").write_text("{}\n")
    path = tmp_path / "shards" / "train.jsonl"
    assert provenance_of(path, folder.file_sha256(path)) == {}


def test_a_file_that_stands_alone_has_none(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text("{}\n")
    assert provenance_of(path, folder.file_sha256(path)) == {}
