"""A repository as a client of the service names it: out of a bucket, or fetched with what the installation has."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tunesmith.data.codebase import client_source
from tunesmith.data.codebase.client_source import Reach, check_source, copy_of, open_source
from tunesmith.data.codebase.remote import Access
from tunesmith.data.codebase.repository import Repository
from tunesmith.data.codebase.service_words import in_service_words
from tunesmith.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, ResourceExhausted
from tunesmith.storage import Storage


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    made = Storage(tmp_path / "buckets")
    made.create_bucket("code", "p")
    return made


def opened(storage: Storage, scratch: Path, repository: str) -> dict[str, bytes]:
    found, _ = open_source(
        repository, "", None, Reach(), storage=storage, scratch=scratch, mark={}, progress=lambda _phase, _share: None
    )
    with found:
        return {entry.path: found.read(entry) for entry in found.entries() if not entry.reason}


def zipped(members: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def test_an_archive_of_a_bucket_is_read(storage: Storage, tmp_path: Path) -> None:
    storage.put("gs://code/a/shop.zip", [zipped({"shop/a.py": b"1", "shop/b/c.py": b"2"})])
    assert opened(storage, tmp_path / "s", "gs://code/a/shop.zip") == {"a.py": b"1", "b/c.py": b"2"}


def test_a_folder_of_a_bucket_is_read_without_what_lies_beside_it(storage: Storage, tmp_path: Path) -> None:
    for name in ("shop/a.py", "shop/b/c.py", "shop/.git/config", "shopping/x.py", "y.py"):
        storage.put(f"gs://code/{name}", [name.encode()])
    found = opened(storage, tmp_path / "s", "gs://code/shop/")
    assert found == {"a.py": b"shop/a.py", "b/c.py": b"shop/b/c.py"}


def test_a_bucket_in_another_place_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "shop").mkdir(parents=True)
    (tmp_path / "elsewhere" / "shop" / "a.py").write_bytes(b"1")
    storage = Storage(tmp_path / "buckets", {"s3://code": f"file://{tmp_path}/elsewhere"})
    assert opened(storage, tmp_path / "s", "s3://code/shop/") == {"a.py": b"1"}


def test_what_is_not_there_is_said_with_its_uri(storage: Storage, tmp_path: Path) -> None:
    for uri in ("gs://code/shop/", "gs://code/shop.zip"):
        with pytest.raises(NotFound, match=uri):
            copy_of(uri, storage, tmp_path)


def test_more_than_is_fetched_is_refused_before_it_is_copied(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_source, "MAX_FETCHED_BYTES", 10)
    for name in ("shop.zip", "shop/a.py", "shop/b.py"):
        storage.put(f"gs://code/{name}", [b"12345678"])
    copy_of("gs://code/shop.zip", storage, tmp_path / "a")
    with pytest.raises(ResourceExhausted, match="more than 10 bytes"):
        copy_of("gs://code/shop/", storage, tmp_path / "b")
    storage.put("gs://code/shop.zip", [b"12345678901"])
    with pytest.raises(ResourceExhausted):
        copy_of("gs://code/shop.zip", storage, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_an_object_that_is_a_folder_too_is_refused(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.put("gs://code/shop/a", [b"1"])
    (info,) = storage.list_objects("gs://code", "shop/").items
    both = [info, dataclasses.replace(info, name="shop/a/b")]  # as only a provider's bucket may have them

    def fetch(uri: str, into: Path) -> None:
        into.mkdir(parents=True, exist_ok=True)
        (into / uri.rpartition("/")[2]).write_bytes(b"1")

    monkeypatch.setattr(client_source, "_objects", lambda uri, storage: iter(both))
    monkeypatch.setattr(storage, "fetch", fetch)
    with pytest.raises(FailedPrecondition, match="pack it as an archive"):
        copy_of("gs://code/shop/", storage, tmp_path / "s")


def test_no_path_is_read_though_there_is_such_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.zip").write_bytes(zipped({"a.py": b"1"}))
    for path in ("shop.zip", str(tmp_path / "shop.zip"), "./shop.zip", "~/shop"):
        with pytest.raises(InvalidArgument, match="is a path"):
            check_source(path, "", "", Reach())


def test_a_url_is_fetched_with_what_the_installation_has_and_nothing_else(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str, Access, bool]] = []

    class Noted(Repository):
        def __init__(self, address: object, revision: str, access: Access, *, history: bool, progress: object) -> None:
            asked.append((address.shown, revision, access, history))  # type: ignore[attr-defined]

        entries = read = close = lambda self, *_: []  # type: ignore[assignment]

    monkeypatch.setattr(client_source, "Remote", Noted)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "git@host:").mkdir()
    (tmp_path / "git@host:" / "shop").mkdir()  # a path that is written like a URL
    reach = Reach(frozenset({"host"}), Path("/key"), Path("/hosts"), Path("/ca"))
    open_source(
        "git@host:/shop", "v1", None, reach, storage=storage, scratch=tmp_path, mark={"M": "1"},
        progress=lambda _phase, _share: None,
    )  # fmt: skip
    ((shown, revision, access, history),) = asked
    assert (shown, revision, history) == ("host:/shop", "v1", False)
    wanted = Access(Path("/key"), Path("/hosts"), Path("/ca"), "public", frozenset({"host"}), {"M": "1"})
    assert access == wanted


def test_an_error_speaks_of_what_the_client_knows() -> None:
    error = InvalidArgument.of("REPO", "/x/scratch/shop.zip is damaged; use --ssh-key, or clone it and give the folder")
    (said,) = in_service_words(error, {"/x/scratch/shop.zip": "gs://code/shop.zip"}).violations  # type: ignore[attr-defined]
    assert said.field == "codebaseSource.repository"
    assert said.message == (
        "gs://code/shop.zip is damaged; use TUNESMITH_GIT_SSH_KEY, or pack it as an archive, upload that into a bucket "
        "and give its gs:// URI"
    )
    other = in_service_words(PermissionDenied("10.1.1.1 is closed; allow it with --network private", host="h"))
    assert type(other) is PermissionDenied
    assert "TUNESMITH_GIT_HOSTS" in other.message
    assert other.details == {"host": "h"}
