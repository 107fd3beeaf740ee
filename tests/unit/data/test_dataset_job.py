"""The tasks of a data set build: what they leave behind when all goes well, and when they are stopped or killed."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from made_codebase import make_codebase
from tunesmith import folder
from tunesmith.data.codebase.client_source import Reach
from tunesmith.data.codebase.job import build_dataset, reach_of, upload_dataset
from tunesmith.data.codebase.options import Options
from tunesmith.dataset import DatasetPlan
from tunesmith.errors import Cancelled, DataLoss, FailedPrecondition, InvalidArgument, NotFound
from tunesmith.folder import AttemptFolder
from tunesmith.storage import Storage

DESTINATION = "gs://code/out/shop-1"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    root = tmp_path_factory.mktemp("shop")
    make_codebase(root / "shop", packages=2)
    (root / "shop" / "pyproject.toml").write_text('[project]\nname = "shop"\nlicense = "MIT"\n')
    with tarfile.open(root / "shop.tar.gz", "w:gz") as archive:
        archive.add(root / "shop", "shop")
    return (root / "shop.tar.gz").read_bytes()


@pytest.fixture
def storage(tmp_path: Path, packed: bytes) -> Storage:
    made = Storage(tmp_path / "buckets")
    made.create_bucket("code", "p")
    made.put("gs://code/shop.tar.gz", [packed])
    return made


def plan_of(repository: str = "gs://code/shop.tar.gz", destination: str = DESTINATION, **options: Any) -> DatasetPlan:
    chosen = {**Options().to_json(), **options}
    return DatasetPlan(repository=repository, destination=destination, options=chosen)


def silent(_phase: str, _done: int | None = None, _total: int | None = None) -> None:
    """Goes on."""


def built(
    root: Path,
    storage: Storage,
    plan: DatasetPlan,
    tell: Callable[..., None] = silent,
    earlier: int = 0,
    cache: Path | None = None,
) -> dict[str, Any]:
    attempts = [AttemptFolder(root / f"attempt-{number}").create() for number in range(earlier + 1)]
    return build_dataset(
        plan, attempts[-1], storage=storage, reach=Reach(), cache_folder=cache or root / "cache", earlier=attempts[:-1],
        on_progress=tell,
    )  # fmt: skip


def objects(storage: Storage) -> set[str]:
    return {item.name for item in storage.list_objects("gs://code", "out/").items}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, packed: bytes) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("made")
    storage = Storage(root / "buckets")
    storage.create_bucket("code", "p")
    storage.put("gs://code/shop.tar.gz", [packed])
    phases: list[str] = []
    before = tempfile.tempdir
    result = built(root, storage, plan_of(), lambda phase, *_: phases.append(phase))
    assert tempfile.tempdir == before
    return {**result, "phases": phases, "root": root}


def test_a_build_is_a_sealed_folder_and_its_result_what_the_manifest_says(made: dict[str, Any]) -> None:
    target = Path(made["dataset"])
    manifest = folder.verify(target)
    assert {name: made[name] for name in ("source", "counts", "overlap", "files")} == {
        name: manifest[name] for name in ("source", "counts", "overlap", "files")
    }
    assert made["manifest_sha256"] == folder.file_sha256(target / "manifest.json")
    assert made["source"]["name"] == "shop.tar.gz"
    assert made["counts"]["licences"] == {"MIT": made["counts"]["files"]["used"]}


def test_a_build_says_each_phase_and_leaves_no_scratch(made: dict[str, Any]) -> None:
    assert list(dict.fromkeys(made["phases"])) == [
        "fetching", "copying", "listing", "reading", "comparing files", "cutting rows", "looking for leaks", "writing",
    ]  # fmt: skip
    assert not (made["root"] / "attempt-0" / "scratch").exists()


def test_an_attempt_removes_the_scratch_of_those_before_it(storage: Storage, tmp_path: Path) -> None:
    left = tmp_path / "attempt-0" / "scratch" / "tunesmith-git-x"
    left.mkdir(parents=True)

    def stop(_phase: str, *_counts: int) -> None:
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        built(tmp_path, storage, plan_of(), stop, earlier=1)
    assert not left.exists()
    assert not (tmp_path / "attempt-1" / "scratch").exists()
    assert not (tmp_path / "attempt-1" / "out" / "dataset").exists()


def test_a_bucket_that_is_not_there_is_found_before_anything_is_read(storage: Storage, tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(NotFound, match=r"outputUriPrefix: no bucket 'nowhere'"):
        built(tmp_path, storage, plan_of(destination="gs://nowhere/x"), lambda phase, *_: said.append(phase))
    assert said == []


def test_a_damaged_archive_is_named_by_its_uri(storage: Storage, tmp_path: Path, packed: bytes) -> None:
    storage.put("gs://code/cut.tar.gz", [packed[: len(packed) // 2]])
    with pytest.raises(InvalidArgument) as error:
        built(tmp_path, storage, plan_of("gs://code/cut.tar.gz"))
    assert "gs://code/cut.tar.gz is damaged" in error.value.message
    assert str(tmp_path) not in error.value.message


def test_a_suite_is_fetched_and_one_that_is_none_is_named_by_its_uri(storage: Storage, tmp_path: Path) -> None:
    storage.put("gs://code/suite.jsonl", [b"{}\n"])
    with pytest.raises((InvalidArgument, FailedPrecondition, DataLoss)) as error:
        built(tmp_path, storage, plan_of(suites=["gs://code/suite.jsonl"]))
    assert "gs://code/suite.jsonl" in error.value.message
    assert str(tmp_path) not in error.value.message


def test_a_codebase_without_a_licence_is_refused_in_the_words_of_the_service(
    storage: Storage, tmp_path: Path, made: dict[str, Any]
) -> None:
    storage.put("gs://code/bare/a.py", [b'def f(x):\n    """Adds one to x, and gives that."""\n    return x + 1\n'])
    with pytest.raises(FailedPrecondition, match=r"give options.licencePolicy permissive,unknown"):
        built(tmp_path, storage, plan_of("gs://code/bare/"), cache=made["root"] / "cache")


def test_the_objects_are_the_files_and_the_manifest_comes_last(made: dict[str, Any], storage: Storage) -> None:
    there: list[set[str]] = []
    target = Path(made["dataset"])
    result = upload_dataset(plan_of(), target, storage, lambda *_: there.append(objects(storage)))
    names = sorted(path.name for path in target.iterdir())
    assert sorted(result["objects"]) == names
    assert objects(storage) == {f"out/shop-1/{name}" for name in names}
    assert not any("out/shop-1/manifest.json" in names for names in there)
    for name in names:
        assert b"".join(storage.open(f"{DESTINATION}/{name}").chunks()) == (target / name).read_bytes()
    assert upload_dataset(plan_of(), target, storage, silent) == result


@pytest.mark.parametrize("after", [0, 1, 5])
def test_an_upload_that_is_stopped_leaves_no_object(made: dict[str, Any], storage: Storage, after: int) -> None:
    def stop(_phase: str, done: int, _total: int) -> None:
        if done == after:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        upload_dataset(plan_of(), Path(made["dataset"]), storage, stop)
    assert objects(storage) == set()


def test_a_build_that_was_changed_on_the_disk_is_not_uploaded(
    made: dict[str, Any], storage: Storage, tmp_path: Path
) -> None:
    copy = shutil.copytree(made["dataset"], tmp_path / "dataset")
    (copy / "train.jsonl").write_bytes(b"{}\n")
    with pytest.raises(DataLoss, match=r"train\.jsonl"):
        upload_dataset(plan_of(), copy, storage, silent)
    assert objects(storage) == set()


def test_reach_is_what_task_json_says() -> None:
    assert reach_of({}) == Reach()
    assert reach_of({"hosts": ["a"], "ssh_key": "/k"}) == Reach(frozenset({"a"}), Path("/k"))
