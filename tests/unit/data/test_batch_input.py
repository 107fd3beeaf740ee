"""What a batch is asked: which objects, which lines, and what is said of those that are no instances."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from batching import make_batch_plan as make_plan
from batching import put_lines
from tunesmith import folder
from tunesmith.batch import BatchPlan
from tunesmith.data import batch_input
from tunesmith.data.batch_output import Line, lines_of
from tunesmith.errors import InvalidArgument, NotFound
from tunesmith.storage import Storage

GOOD = '{"prefix": "def f("}'


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    found = Storage(tmp_path / "buckets")
    found.create_bucket("bucket", "p")
    return found


def put(storage: Storage, name: str, *lines: str) -> None:
    put_lines(storage, name, lines)


def read(storage: Storage, target: Path, plan: BatchPlan) -> list[Line]:
    batch_input.read(plan, storage, target, lambda *said: None)
    folder.verify(target)
    return list(lines_of(target))


def test_lines_keep_their_order_and_their_numbers_over_all_sources(storage: Storage, tmp_path: Path) -> None:
    put(storage, "b.jsonl", '{"prefix": "1"}', "", '{"prefix": "2"}')
    put(storage, "a.jsonl", '{"prefix": "3"}')
    lines = read(storage, tmp_path / "i", make_plan("gs://bucket/b.jsonl", "gs://bucket/a.jsonl"))
    assert [(line.number, line.line, line.instance["prefix"]) for line in lines] == [
        (0, 1, "1"),
        (1, 3, "2"),
        (2, 1, "3"),
    ]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("in/*.jsonl", ["in/a.jsonl", "in/b.jsonl"]),
        ("in/**.jsonl", ["in/a.jsonl", "in/b.jsonl", "in/deep/c.jsonl"]),
        ("in/?.jsonl", ["in/a.jsonl", "in/b.jsonl"]),
        ("in/[b-z].jsonl", ["in/b.jsonl"]),
        ("in/[!b].jsonl", ["in/a.jsonl"]),
        ("*/a.jsonl", ["in/a.jsonl"]),
        ("**/*.jsonl", ["in/a.jsonl", "in/b.jsonl", "in/deep/c.jsonl"]),
        ("i*/**c.*", ["in/deep/c.jsonl"]),
        ("*n/?.t[!y]t", ["in/a.txt"]),
        ("**", ["in/a.jsonl", "in/a.txt", "in/b.jsonl", "in/deep/c.jsonl", "other.jsonl"]),
        ("*a*a*.jsonl*", []),
    ],
)
def test_a_pattern_stands_for_the_objects_that_cloud_storages_tools_would_take(
    storage: Storage, tmp_path: Path, pattern: str, names: list[str]
) -> None:
    for name in ("in/a.jsonl", "in/b.jsonl", "in/deep/c.jsonl", "other.jsonl", "in/a.txt"):
        put(storage, name, GOOD)
    plan = make_plan(f"gs://bucket/{pattern}")
    if not names:
        with pytest.raises(NotFound):
            read(storage, tmp_path / "i", plan)
        return
    assert [line.uri for line in read(storage, tmp_path / "i", plan)] == [f"gs://bucket/{name}" for name in names]


def test_many_stars_take_no_time(storage: Storage, tmp_path: Path) -> None:
    """Tried one by one, the places of twenty stars in this name would take longer than the universe is old."""
    put(storage, "a" * 200, GOOD)
    with pytest.raises(NotFound):
        read(storage, tmp_path / "i", make_plan(f"gs://bucket/{'*a' * 20}b"))


@pytest.mark.parametrize("pattern", ["[z-a].jsonl", "[!].jsonl", "[^].jsonl"])
def test_a_pattern_that_stands_for_nothing_is_the_callers_fault(storage: Storage, tmp_path: Path, pattern: str) -> None:
    put(storage, "a.jsonl", GOOD)
    with pytest.raises(InvalidArgument, match="brackets"):
        read(storage, tmp_path / "i", make_plan(f"gs://bucket/{pattern}"))


def test_an_object_that_two_uris_stand_for_is_read_once(storage: Storage, tmp_path: Path) -> None:
    put(storage, "a.jsonl", GOOD)
    put(storage, "b.jsonl", GOOD)
    lines = read(storage, tmp_path / "i", make_plan("gs://bucket/b.jsonl", "gs://bucket/*.jsonl"))
    assert [line.uri for line in lines] == ["gs://bucket/b.jsonl", "gs://bucket/a.jsonl"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "is not JSON: column 2"),
        ("[1]", "must be an object"),
        ('"text"', "must be an object"),
        ("{}", "instance.prefix: is missing"),
        ('{"prefix": 5}', "instance.prefix: must be a text"),
        ('{"prefix": "x", "sufix": "y"}', "did you mean suffix?"),
        ('{"prefix": "x", "prefix": "y"}', "stands twice"),
        ('{"prefix": NaN}', "NaN is not a JSON value"),
        ('{"prefix": -1e999}', "-1e999 is larger than any number"),
        ('{"prefix": "\\ud800"}', "half a character"),
        ("[" * 100_000, "nested too deep"),
        ('{"messages": []}', "is not a field of this"),
    ],
)
def test_a_bad_line_is_kept_with_its_reason_and_kills_nothing(
    storage: Storage, tmp_path: Path, line: str, words: str
) -> None:
    put(storage, "in.jsonl", GOOD, line, GOOD)
    lines = read(storage, tmp_path / "i", make_plan())
    assert [bool(one.error) for one in lines] == [False, True, False]
    assert words in lines[1].error
    json.dumps(lines[1].instance, ensure_ascii=False).encode()


def test_a_line_that_is_not_utf8_is_a_bad_line(storage: Storage, tmp_path: Path) -> None:
    storage.put("gs://bucket/in.jsonl", [GOOD.encode() + b'\n{"prefix": "\xff"}\n'])
    lines = read(storage, tmp_path / "i", make_plan())
    assert "not UTF-8: byte 12 is 0xff" in lines[1].error


@pytest.mark.parametrize(
    "instance", [{"messages": 5}, {"messages": [{"author": "user", "content": "x"}], "examples": 7}]
)
def test_a_chat_instance_of_the_wrong_shape_is_a_bad_line(
    storage: Storage, tmp_path: Path, instance: dict[str, Any]
) -> None:
    good = {"messages": [{"author": "user", "content": "x"}]}
    put(storage, "in.jsonl", json.dumps(good), json.dumps(instance))
    lines = read(storage, tmp_path / "i", make_plan(kind="chat"))
    assert (lines[0].error, "must be a list" in lines[1].error) == ("", True)


def test_a_source_in_which_nothing_can_be_read_fails_the_job_with_its_lines(storage: Storage, tmp_path: Path) -> None:
    put(storage, "good.jsonl", GOOD)
    put(storage, "bad.jsonl", "", *["no"] * 7)
    put(storage, "empty.jsonl", "", " ")
    plan = make_plan(*[f"gs://bucket/{name}.jsonl" for name in ("good", "bad", "empty")])
    with pytest.raises(InvalidArgument) as caught:
        read(storage, tmp_path / "i", plan)
    bad, empty = caught.value.violations
    assert bad.field == "gs://bucket/bad.jsonl"
    assert "none of its 7 lines" in bad.message
    assert "line 2: is not JSON" in bad.message
    assert bad.message.endswith("and 2 more")
    assert (empty.field, "has no instances" in empty.message) == ("gs://bucket/empty.jsonl", True)
    assert not (tmp_path / "i").exists()


def test_gzip_is_read_and_a_torn_one_fails_the_job(storage: Storage, tmp_path: Path) -> None:
    whole = gzip.compress((GOOD + "\n").encode() * 2000)
    storage.put("gs://bucket/in.jsonl", [whole])
    assert len(read(storage, tmp_path / "i", make_plan())) == 2000
    storage.put("gs://bucket/in.jsonl", [whole[:-20]])
    with pytest.raises(InvalidArgument, match="cannot be read to its end"):
        read(storage, tmp_path / "j", make_plan())


@pytest.mark.parametrize("uri", ["gs://bucket/none.jsonl", "gs://bucket/none*.jsonl", "gs://nowhere/*.jsonl"])
def test_an_object_that_is_not_there_is_named(storage: Storage, tmp_path: Path, uri: str) -> None:
    with pytest.raises(NotFound, match=r"none|nowhere"):
        read(storage, tmp_path / "i", make_plan(uri))


def test_a_missing_bucket_of_the_results_is_found_out_before_anything_is_asked(
    storage: Storage, tmp_path: Path
) -> None:
    put(storage, "in.jsonl", GOOD)
    with pytest.raises(NotFound, match="outputUriPrefix: no bucket 'nowhere'"):
        read(storage, tmp_path / "i", make_plan(destination="gs://nowhere/x"))


def test_later_changes_of_an_object_reach_nobody(storage: Storage, tmp_path: Path) -> None:
    put(storage, "in.jsonl", '{"prefix": "before"}')
    read(storage, tmp_path / "i", make_plan())
    put(storage, "in.jsonl", '{"prefix": "after"}', GOOD)
    assert [line.instance["prefix"] for line in lines_of(tmp_path / "i")] == ["before"]


def test_stopping_is_heard_between_sources(storage: Storage, tmp_path: Path) -> None:
    put(storage, "in.jsonl", GOOD)

    def stop(*said: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        batch_input.read(make_plan(), storage, tmp_path / "i", stop)
    assert not (tmp_path / "i").exists()
