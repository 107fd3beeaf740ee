"""What a batch is answered: nothing twice, nothing lost, in the order of the input, whoever died in between."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import pytest

from batching import make_batch_plan as make_plan
from tunesmith import folder
from tunesmith.data.batch_output import ANSWERS, Answers, failures, write
from tunesmith.folder import AttemptFolder
from tunesmith.storage import Storage


def attempt(root: Path, number: int) -> AttemptFolder:
    return AttemptFolder(root / f"attempt-{number}").create()


def prediction(text: str) -> list[dict[str, Any]]:
    return [{"content": text}]


def make_lines(target: Path, *counts: int, bad: tuple[int, ...] = ()) -> Path:
    """Sealed lines as read-instances leaves them; `bad` are numbers over all sources."""
    number = 0
    with folder.sealed(target) as unfinished:
        sources = []
        for i, count in enumerate(counts):
            said = []
            for line in range(1, count + 1):
                error = "is not JSON" if number in bad else ""
                said.append(json.dumps({"line": line, "instance": {"prefix": f"{number}\u00e9"}, "error": error}))
                number += 1
            (unfinished / f"{i:05d}.jsonl").write_text("\n".join(said) + "\n")
            sources.append({"uri": f"gs://bucket/{i}.jsonl", "lines": count, "unreadable": 0})
        folder.write_json(unfinished / "sources.json", sources)
    return target


def written(storage: Storage, name: str) -> list[dict[str, Any]]:
    opened = storage.open(f"gs://bucket/out/prediction-m-t-1/{name}")
    return [json.loads(line) for line in b"".join(opened.chunks()).splitlines()]


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    found = Storage(tmp_path / "buckets")
    found.create_bucket("bucket", "p")
    return found


def test_an_object_for_each_source_with_its_lines_in_order(storage: Storage, tmp_path: Path) -> None:
    read = make_lines(tmp_path / "i", 2, 1, bad=(1,))
    answers = Answers(attempt(tmp_path, 1), [], "w")
    answers.add(2, prediction("two"))
    answers.add(0, [], "instance.prefix: is empty")
    uris = write(make_plan(), storage, read, answers)
    assert [uri.rpartition("/")[2] for uri in uris] == [f"prediction.results-0000{i}-of-00002" for i in (0, 1)]
    assert written(storage, "prediction.results-00000-of-00002") == [
        {"instance": {"prefix": "0\u00e9"}, "predictions": [], "status": "instance.prefix: is empty"},
        {"instance": {"prefix": "1\u00e9"}, "predictions": [], "status": "is not JSON"},
    ]
    assert written(storage, "prediction.results-00001-of-00002") == [
        {"instance": {"prefix": "2\u00e9"}, "predictions": prediction("two"), "status": ""}
    ]
    assert (answers.successful, answers.failed) == (1, 1)
    assert failures(read, answers) == [
        "gs://bucket/0.jsonl line 1: instance.prefix: is empty",
        "gs://bucket/0.jsonl line 2: is not JSON",
    ]
    answers.close()


def test_a_later_attempt_has_the_answers_of_all_before_it_and_a_torn_line_is_none(tmp_path: Path) -> None:
    first, second, third = (attempt(tmp_path, number) for number in (1, 2, 3))
    one = Answers(first, [], "w")
    one.add(0, prediction("a"))
    one.add(1, [], "too long")
    one.close()
    with open(first.out / ANSWERS, "ab") as file:
        file.write(b'{"number": 2, "predictions": [{"conte')
    two = Answers(second, [first], "w")
    assert [n in two for n in range(3)] == [True, True, False]
    two.add(2, prediction("c"))
    two.close()
    three = Answers(third, [first, second], "w")
    assert [three.of(n)["predictions"] for n in range(3)] == [prediction("a"), [], prediction("c")]
    assert (three.successful, three.failed) == (2, 1)
    three.close()


def test_answers_of_other_weights_are_not_taken_over(tmp_path: Path) -> None:
    one = Answers(attempt(tmp_path, 1), [], "these weights")
    one.add(0, prediction("a"))
    one.close()
    two = Answers(attempt(tmp_path, 2), [attempt(tmp_path, 1)], "those weights")
    assert 0 not in two
    two.close()


def test_an_attempt_that_wrote_nothing_gives_nothing(tmp_path: Path) -> None:
    empty = attempt(tmp_path, 1)
    (empty.out / ANSWERS).write_bytes(b'{"weig')
    two = Answers(attempt(tmp_path, 3), [empty, attempt(tmp_path, 2)], "w")
    assert (two.successful, two.failed) == (0, 0)
    two.close()


def test_written_twice_is_written_once(storage: Storage, tmp_path: Path) -> None:
    read = make_lines(tmp_path / "i", 3)
    answers = Answers(attempt(tmp_path, 1), [], "w")
    for number in (2, 0, 1):
        answers.add(number, prediction(str(number)))
    for _ in range(2):
        write(make_plan(), storage, read, answers)
    listed = storage.list_objects("gs://bucket", "out/").items
    assert [item.name for item in listed] == ["out/prediction-m-t-1/prediction.results-00000-of-00001"]
    said = written(storage, "prediction.results-00000-of-00001")
    assert [line["predictions"][0]["content"] for line in said] == ["0", "1", "2"]
    answers.close()


def test_answer_for_which_the_disk_had_room_in_part_is_no_answer(tmp_path: Path) -> None:
    answers = Answers(attempt(tmp_path, 1), [], "w")
    answers.add(0, prediction("zero"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    room = (attempt(tmp_path, 1).out / ANSWERS).stat().st_size + 20
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(OSError, match="20 of"):
            answers.add(1, prediction("one"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 1 not in answers
    answers.add(2, prediction("two"))
    answers.close()
    later = Answers(attempt(tmp_path, 2), [attempt(tmp_path, 1)], "w")
    assert [later.of(number)["predictions"] for number in (0, 2)] == [prediction("zero"), prediction("two")]
    later.close()
