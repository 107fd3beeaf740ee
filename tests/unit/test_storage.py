"""Storage: names that can mean only one thing, objects that are whole or absent, and nothing outside its folder."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunesmith import storage as module
from tunesmith.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from tunesmith.storage import HIDDEN, Draft, ObjectInfo, Storage, parse_uri

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    made = Storage(tmp_path / "root")
    made.create_bucket("bucket", "project")
    return made


def content(storage: Storage, uri: str) -> bytes:
    return b"".join(storage.open(uri).chunks())


def names(storage: Storage, prefix: str = "", delimiter: str = "", size: int = 1000) -> list[str]:
    """All pages of a listing, objects and prefixes together, in the order in which they came."""
    found: list[str] = []
    token = ""
    while True:
        page = storage.list_objects("gs://bucket", prefix, delimiter, token, size)
        assert len(page.items) + len(page.prefixes) <= size
        found += sorted([*(info.name for info in page.items), *page.prefixes])
        token = page.next_token
        if not token:
            return found


def drafts(storage: Storage) -> list[str]:
    return sorted(path.name for path in (storage.root / HIDDEN / "bucket" / "drafts").glob("*"))


def kept(storage: Storage) -> list[str]:
    return sorted(path.name for path in (storage.root / HIDDEN / "bucket" / "objects").rglob("*.json"))


# Names.

HOSTILE_KEYS = (
    "", "/", "a/", "/a", "a//b", ".", "..", "../x", "a/../b", "a/..", "./a", "a/./b", "a\\b", "..\\x", "a\0b", "a\nb",
    "a\x7fb", "\x85", "%2e%2e/x", "a%2Fb", "%252e", "%25252E", "a%5cb", "x%00", "\ud800", f"{HIDDEN}/lock",
    f"a/{HIDDEN}", "x" * 256, "ü" * 128, "ab/" * 341 + "ab",
)  # fmt: skip


@pytest.mark.parametrize("key", HOSTILE_KEYS)
def test_object_name_that_could_mean_something_else_is_refused_everywhere(storage: Storage, key: str) -> None:
    uri = f"gs://bucket/{key}"
    for call in (parse_uri, storage.stat, storage.open, storage.delete, lambda u: storage.put(u, [b"x"])):
        with pytest.raises(InvalidArgument):
            call(uri)


@pytest.mark.parametrize(
    "uri",
    ["", "bucket/x", "/etc/passwd", "file:///etc/shadow", "file://host/share", "http://127.1/x", "https://a.example/b",
     "GS://bucket/x", "gs:/bucket/x", "gs:///x", "gs://Bucket/x", "gs://bu/x", "gs://-ab/x", "gs://a..b/x",
     "gs://169.254.169.254/x", f"gs://{HIDDEN}/x", "gs://../x", "gs://bucket", "gs://a%2eb/x",
     "gs://" + "b" * 64 + "/x"],
)  # fmt: skip
def test_uri_that_is_none_is_refused_and_the_message_says_what_is_one(uri: str) -> None:
    with pytest.raises(InvalidArgument, match=r"gs://BUCKET|bucket's name"):
        parse_uri(uri)


def test_message_holds_only_the_beginning_of_a_long_value() -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_uri("http://" + "x" * 10**6)
    assert len(caught.value.message) < 500


KEYS = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\%"), min_size=1, max_size=40).filter(
        lambda segment: segment not in (".", "..", HIDDEN)
    ),
    min_size=1,
    max_size=5,
).map("/".join)


@given(key=KEYS)
def test_legal_name_is_parsed_to_itself(key: str) -> None:
    assert str(parse_uri(f"s3://my-bucket/{key}")) == f"s3://my-bucket/{key}"


@given(text=st.text())
def test_parsing_answers_or_refuses_and_does_nothing_else(text: str) -> None:
    try:
        uri = parse_uri(f"gs://{text}")
    except InvalidArgument:
        return
    assert not {"", ".", "..", HIDDEN} & set(uri.key.split("/"))


# Objects: written, read, listed, deleted.


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=KEYS, chunks=st.lists(st.binary(max_size=300), max_size=5), data=st.data())
def test_what_is_put_is_read(storage: Storage, key: str, chunks: list[bytes], data: st.DataObject) -> None:
    uri, whole = f"gs://bucket/{key}", b"".join(chunks)
    info = storage.put(uri, chunks, content_type="text/x-own")
    try:
        start = data.draw(st.integers(0, len(whole)))
        end = data.draw(st.integers(start, len(whole)))
        assert content(storage, uri) == whole
        assert b"".join(storage.open(uri).chunks(start, end)) == whole[start:end]
        assert storage.stat(uri) == info
        assert (storage.root / "bucket" / key).read_bytes() == whole
        assert names(storage) == [key]
    finally:
        storage.delete(uri)
    assert names(storage) == []
    assert list((storage.root / "bucket").iterdir()) == []
    assert kept(storage) == []
    assert drafts(storage) == []


def test_hashes_are_those_of_cloud_storage(storage: Storage) -> None:
    # Of the reference's documentation: the CRC-32C of "123456789" is e3069283.
    info = storage.put("gs://bucket/x", [b"1234", b"56789"])
    assert (info.md5, info.crc32c) == ("JfnnlDI7RTiF9RgfG2JNCw==", "4waSgw==")
    assert (info.size, info.metageneration, info.bucket, info.name) == (9, 1, "bucket", "x")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=st.lists(st.text("ab/.-é", min_size=1, max_size=8), max_size=12, unique=True), size=st.integers(1, 4),
       prefix=st.text("ab/.", max_size=3))  # fmt: skip
def test_listing_is_that_of_a_plain_set_of_names(storage: Storage, keys: list[str], size: int, prefix: str) -> None:
    there = []
    for key in keys:
        try:
            storage.put(f"gs://bucket/{key}", [b""])
        except (InvalidArgument, FailedPrecondition):
            continue
        there.append(key)
    try:
        begins = sorted(key for key in there if key.startswith(prefix))
        rests = {key: key[len(prefix) :] for key in begins}
        folded = {prefix + rest.partition("/")[0] + "/" if "/" in rest else key for key, rest in rests.items()}
        assert names(storage, prefix, size=size) == begins
        assert names(storage, prefix, "/", size=size) == sorted(folded)
    finally:
        for key in there:
            storage.delete(f"gs://bucket/{key}")


def test_generation_grows_with_each_write_whatever_the_clock_says(tmp_path: Path) -> None:
    now = [2_000_000_000.0]
    storage = Storage(tmp_path, clock=lambda: now[0])
    storage.create_bucket("bucket", None)
    generations = []
    for _ in range(3):
        generations.append(storage.put("gs://bucket/x", [b"x"]).generation)
        storage.delete("gs://bucket/x")
        now[0] -= 3600
    assert generations == sorted(set(generations))


def test_writing_only_if_the_generation_is_the_expected_one(storage: Storage) -> None:
    first = storage.put("gs://bucket/x", [b"1"], if_generation=0).generation
    for wrong in (0, first + 1):
        with pytest.raises(Aborted):
            storage.put("gs://bucket/x", [b"2"], if_generation=wrong)
        with pytest.raises(Aborted):
            storage.delete("gs://bucket/x", if_generation=wrong)
    assert content(storage, "gs://bucket/x") == b"1"
    second = storage.put("gs://bucket/x", [b"2"], if_generation=first).generation
    with pytest.raises(NotFound, match=str(second)):
        storage.open("gs://bucket/x", generation=first)


def test_of_many_that_write_if_there_is_none_one_wins(storage: Storage) -> None:
    won: list[int] = []

    def write(number: int) -> None:
        try:
            Storage(storage.root).put("gs://bucket/x", [bytes([number]) * 1000], if_generation=0)
        except Aborted:
            return
        won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [winner] = won
    assert content(storage, "gs://bucket/x") == bytes([winner]) * 1000


def test_reader_keeps_the_version_that_it_opened(storage: Storage) -> None:
    storage.put("gs://bucket/x", [b"old"])
    opened = storage.open("gs://bucket/x")
    storage.put("gs://bucket/x", [b"new, and longer"])
    assert b"".join(opened.chunks()) == b"old"


def test_file_that_a_person_changes_under_a_reader_is_noticed(storage: Storage) -> None:
    (storage.root / "bucket" / "x").write_bytes(b"a" * 3 * module.CHUNK_BYTES)
    chunks = storage.open("gs://bucket/x").chunks()
    next(chunks)
    (storage.root / "bucket" / "x").write_bytes(b"b" * 10)
    with pytest.raises(Aborted, match="changed"):
        list(chunks)


@pytest.mark.parametrize("missing", ["gs://bucket/none", "gs://bucket/x/none", "gs://nothing/x", "gs://bucket/folder"])
def test_what_is_not_there_is_not_found(storage: Storage, missing: str) -> None:
    storage.put("gs://bucket/x", [b""])
    storage.put("gs://bucket/folder/y", [b""])
    for call in (storage.stat, storage.open, storage.delete):
        with pytest.raises(NotFound):
            call(missing)


@pytest.mark.parametrize("second", ["a/b/c", "a"])
def test_name_can_not_be_object_and_folder_at_once(storage: Storage, second: str) -> None:
    storage.put("gs://bucket/a/b", [b"1"])
    with pytest.raises(FailedPrecondition, match="another name"):
        storage.put(f"gs://bucket/{second}", [b"2"])
    assert names(storage) == ["a/b"]
    assert len(kept(storage)) == 1
    assert drafts(storage) == []


# What fails leaves nothing.


def failing(error: BaseException) -> Iterator[bytes]:
    yield b"begun"
    raise error


@pytest.mark.parametrize(
    ("chunks", "keywords", "error"),
    [
        ([b"123", b"4"], {"max_bytes": 3}, InvalidArgument),
        ([b"x"], {"md5": "JfnnlDI7RTiF9RgfG2JNCw=="}, InvalidArgument),
        ([b"x"], {"crc32c": "4waSgw=="}, InvalidArgument),
        (failing(KeyboardInterrupt()), {}, KeyboardInterrupt),
    ],
)
def test_put_that_fails_leaves_the_old_object_and_nothing_else(storage, chunks, keywords, error) -> None:  # type: ignore[no-untyped-def]
    storage.put("gs://bucket/x", [b"old"])
    before = kept(storage)
    with pytest.raises(error):
        storage.put("gs://bucket/x", chunks, **keywords)
    assert content(storage, "gs://bucket/x") == b"old"
    assert (drafts(storage), kept(storage)) == ([], before)


@pytest.mark.parametrize("call", ["fsync", "rename", "utime"])
@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, ResourceExhausted), (errno.EDQUOT, ResourceExhausted), (errno.EROFS, FailedPrecondition),
     (errno.EIO, Unavailable)],
)  # fmt: skip
def test_disk_that_fails_leaves_the_old_object(storage, monkeypatch, call, number, error) -> None:  # type: ignore[no-untyped-def]
    storage.put("gs://bucket/x", [b"old"])
    before = kept(storage)

    def fail(*arguments: object, **keywords: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(module.os, call, fail)
        with pytest.raises(error):
            storage.put("gs://bucket/x", [b"new"])
    assert content(storage, "gs://bucket/x") == b"old"
    assert (drafts(storage), kept(storage)) == ([], before)


KILLED = """
import os, signal, sys
from pathlib import Path
from tunesmith import storage as module
from tunesmith.storage import Storage
point = sys.argv[2]
real = getattr(os, point) if point != "chunk" else None
calls = [0]
def die(*arguments, **keywords):
    calls[0] += 1
    if calls[0] == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **keywords)
def chunks():
    yield b"new" * 1000
    if point == "chunk":
        os.kill(os.getpid(), signal.SIGKILL)
if real:
    setattr(module.os, point, die)
Storage(Path(sys.argv[1])).put("gs://bucket/x", chunks(), content_type="text/new")
"""


@pytest.mark.parametrize(
    ("point", "call"), [("chunk", 1), ("fsync", 1), ("utime", 1), ("replace", 1), ("rename", 1), ("fsync", 4)]
)
def test_kill_in_the_middle_of_a_put_leaves_the_old_object_or_the_new(storage: Storage, point: str, call: int) -> None:
    old = storage.put("gs://bucket/x", [b"old"], content_type="text/old")
    command = [sys.executable, "-c", KILLED, str(storage.root), point, str(call)]
    ran = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(SOURCE)}, check=False)
    assert ran.returncode == -signal.SIGKILL
    assert names(storage) == ["x"]
    info = storage.stat("gs://bucket/x")
    new = point == "fsync" and call == 4
    assert content(storage, "gs://bucket/x") == (b"new" * 1000 if new else b"old")
    assert info.content_type == ("text/new" if new else "text/old")
    assert new or info == old
    assert storage.put("gs://bucket/x", [b"next"]).generation > info.generation


# By hand.


def test_folder_made_by_hand_is_a_bucket_without_a_project(storage: Storage) -> None:
    (storage.root / "by-hand" / "data").mkdir(parents=True)
    (storage.root / "by-hand" / "data" / "train.jsonl").write_text("{}\n")
    assert storage.get_bucket("by-hand").project is None
    assert [bucket.name for bucket in storage.list_buckets()] == ["bucket", "by-hand"]
    assert [bucket.name for bucket in storage.list_buckets("project")] == ["bucket"]
    assert content(storage, "gs://by-hand/data/train.jsonl") == b"{}\n"
    with pytest.raises(AlreadyExists):
        storage.create_bucket("by-hand", "project")


def test_file_put_by_hand_is_hashed_once_and_again_when_it_changes(storage: Storage, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    path = storage.root / "bucket" / "x.txt"
    path.write_bytes(b"123456789")
    listed = storage.list_objects("gs://bucket").items[0]
    first = storage.stat("gs://bucket/x.txt")
    assert (listed.md5, first.crc32c, first.content_type) == ("", "4waSgw==", "text/plain")
    assert listed.generation == first.generation
    with monkeypatch.context() as patch:
        patch.setattr(module, "_sums_of", None)
        assert storage.stat("gs://bucket/x.txt") == first
    path.write_bytes(b"other")
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))
    assert storage.stat("gs://bucket/x.txt").generation > first.generation
    assert storage.stat("gs://bucket/x.txt").md5 != first.md5


def test_put_over_a_file_from_the_future_has_a_greater_generation(storage: Storage) -> None:
    path = storage.root / "bucket" / "x"
    path.write_bytes(b"")
    os.utime(path, (4e9, 4e9))
    before = storage.stat("gs://bucket/x").generation
    assert storage.put("gs://bucket/x", [b""]).generation > before


@pytest.mark.parametrize("link", ["bucket/x", "bucket/folder", "bucket/folder/x", "linked"])
@pytest.mark.parametrize("target", ["outside", "inside"])
def test_symbolic_link_leads_nowhere(storage: Storage, tmp_path: Path, link: str, target: str) -> None:
    aim = (tmp_path / "outside") if target == "outside" else storage.root / "bucket" / "real"
    aim.mkdir()
    (aim / "x").write_text("secret")
    path = storage.root / link
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(aim / "x" if link.endswith("/x") else aim)
    uri = {"linked": "gs://linked/x", "bucket/folder": "gs://bucket/folder/x"}.get(link, f"gs://{link}")
    for call in (storage.stat, storage.open, storage.delete, lambda u: storage.put(u, [b"overwritten"])):
        with pytest.raises((PermissionDenied, NotFound, FailedPrecondition)):
            call(uri)
    assert (aim / "x").read_text() == "secret"
    assert names(storage) == (["real/x"] if target == "inside" else [])
    assert "linked" not in [bucket.name for bucket in storage.list_buckets()]


def test_pipe_in_a_bucket_is_no_object_and_holds_nobody(storage: Storage) -> None:
    os.mkfifo(storage.root / "bucket" / "pipe")
    with pytest.raises(NotFound):
        storage.open("gs://bucket/pipe")
    assert names(storage) == []


def test_bucket_exists_once(storage: Storage) -> None:
    with pytest.raises(AlreadyExists):
        storage.create_bucket("bucket", "other")
    assert storage.get_bucket("bucket").project == "project"
    with pytest.raises(NotFound):
        storage.get_bucket("none")
    with pytest.raises(NotFound):
        storage.put("gs://none/x", [b""])


# Fetching.


def test_fetched_file_stays_what_it_was(storage: Storage, tmp_path: Path) -> None:
    storage.put("gs://bucket/a/train.jsonl", [b"old"])
    path = storage.fetch("gs://bucket/a/train.jsonl", tmp_path / "into")
    storage.put("gs://bucket/a/train.jsonl", [b"new"])
    (storage.root / "bucket" / "a" / "train.jsonl").write_bytes(b"by hand")
    assert path == tmp_path / "into" / "train.jsonl"
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == ["train.jsonl"]


def test_fetching_while_others_replace_gives_one_whole_version(storage: Storage, tmp_path: Path) -> None:
    stop = threading.Event()
    storage.put("gs://bucket/x", [b"\0" * 300_000])

    def replace() -> None:
        number = 0
        while not stop.is_set():
            number = (number + 1) % 256
            storage.put("gs://bucket/x", [bytes([number]) * 300_000])

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        for _ in range(20):
            data = storage.fetch("gs://bucket/x", tmp_path / "into").read_bytes()
            assert data == data[:1] * 300_000
    finally:
        stop.set()
        thread.join()


# Drafts.


def test_draft_is_gone_on_with_and_becomes_the_object_once(storage: Storage) -> None:
    draft = storage.draft("gs://bucket", notes={"name": "x"})
    draft.write(b"1234")
    with pytest.raises(Unavailable):
        storage.reopen("gs://bucket", draft.token)
    draft.close()
    assert names(storage) == []
    again = Storage(storage.root).reopen("gs://bucket", draft.token)
    assert isinstance(again, Draft)
    assert (again.size, again.notes) == (4, {"name": "x"})
    again.write(b"56789")
    info = storage.publish(again, "gs://bucket/x", crc32c="4waSgw==")
    assert content(storage, "gs://bucket/x") == b"123456789"
    assert storage.reopen("gs://bucket", draft.token) == info


def test_unfinished_drafts_expire_and_are_bounded(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(module, "MAX_DRAFTS", 2)
    now = [time.time()]
    storage = Storage(tmp_path / "root", clock=lambda: now[0])
    storage.create_bucket("bucket", None)
    tokens = []
    for _ in range(2):
        draft = storage.draft("gs://bucket", notes={"name": "x"})
        draft.close()
        tokens.append(draft.token)
    with pytest.raises(ResourceExhausted, match="unfinished"):
        storage.draft("gs://bucket", notes={})
    now[0] += module.DRAFT_LIFE_S + 60
    storage.draft("gs://bucket", notes={}).discard()
    with pytest.raises(NotFound, match="expired"):
        storage.reopen("gs://bucket", tokens[0])
    assert drafts(storage) == []


@pytest.mark.parametrize("token", ["", "../lock", "0" * 32, "x" * 10_000])
def test_unknown_draft_is_not_found(storage: Storage, token: str) -> None:
    with pytest.raises(NotFound):
        storage.reopen("gs://bucket", token)


# Mapped buckets.


def test_bucket_that_is_mapped_to_a_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    storage = Storage(tmp_path / "root", {"gs://team-bucket": f"file://{tmp_path}/data"})
    info = storage.put("gs://team-bucket/a/x", [b"1"])
    assert (tmp_path / "data" / "a" / "x").read_bytes() == b"1"
    assert [item.name for item in storage.list_objects("gs://team-bucket").items] == ["a/x"]
    assert storage.stat("gs://team-bucket/a/x") == info
    assert [bucket.name for bucket in storage.list_buckets()] == ["team-bucket"]
    with pytest.raises(AlreadyExists):
        storage.create_bucket("team-bucket", "project")
    with pytest.raises(NotFound):
        storage.stat("s3://team-bucket/a/x")


@pytest.mark.parametrize(
    "target", ["/srv/data", "file://host/share", "http://a.example", "gs://", "gs://real/../x", ""]
)
def test_mapping_to_what_is_no_place_is_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(InvalidArgument):
        Storage(tmp_path, {"gs://team-bucket": target})


@pytest.fixture
def remote(tmp_path: Path, monkeypatch) -> Storage:  # type: ignore[no-untyped-def]
    """A bucket at a provider, which obstore's memory stands in for."""
    from obstore import store

    memory = store.MemoryStore()
    monkeypatch.setattr(store, "S3Store", lambda *_, **__: memory)
    return Storage(tmp_path / "root", {"gs://bucket": "s3://real-bucket/prefix"})


def test_provider_holds_objects(remote: Storage, tmp_path: Path) -> None:
    for name in ("a/1 ü@:#%41.txt", "a/2", "ab", "b"):
        remote.put(f"gs://bucket/{name}", [name.encode()], content_type="text/plain")
    assert names(remote) == ["a/1 ü@:#%41.txt", "a/2", "ab", "b"]
    assert names(remote, "a", size=2) == ["a/1 ü@:#%41.txt", "a/2", "ab"]
    assert names(remote, "", "/", size=1) == ["a/", "ab", "b"]
    assert names(remote, "a/", "/") == ["a/1 ü@:#%41.txt", "a/2"]
    assert content(remote, "gs://bucket/a/2") == b"a/2"
    assert b"".join(remote.open("gs://bucket/a/2").chunks(1, 2)) == b"/"
    assert remote.fetch("gs://bucket/a/2", tmp_path / "into").read_bytes() == b"a/2"
    remote.delete("gs://bucket/a/2")
    with pytest.raises(NotFound):
        remote.stat("gs://bucket/a/2")
    assert drafts(remote) == []


def test_provider_takes_what_is_whole_and_expected(remote: Storage) -> None:
    remote.put("gs://bucket/x", [b"old"])
    for chunks, keywords in (([b"12"], {"max_bytes": 1}), ([b"x"], {"md5": "JfnnlDI7RTiF9RgfG2JNCw=="})):
        with pytest.raises(InvalidArgument):
            remote.put("gs://bucket/x", chunks, **keywords)  # type: ignore[arg-type]
    with pytest.raises(Aborted):
        remote.put("gs://bucket/x", [b"new"], if_generation=0)
    assert content(remote, "gs://bucket/x") == b"old"


def test_object_of_a_provider_that_is_replaced_while_it_is_read_is_noticed(remote: Storage) -> None:
    remote.put("gs://bucket/x", [b"old"])
    opened = remote.open("gs://bucket/x")
    remote.put("gs://bucket/x", [b"new"])
    with pytest.raises(Aborted, match="changed"):
        list(opened.chunks())


def test_provider_that_does_not_answer_is_unavailable(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    for name, value in (("ENDPOINT", "http://127.0.0.1:9"), ("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setattr(module, "RETRIES", 0)
    remote = Storage(tmp_path, {"s3://bucket": "s3://real-bucket"})
    with pytest.raises(Unavailable, match="did not answer"):
        remote.stat("s3://bucket/x")


def test_info_survives_json(storage: Storage) -> None:
    info = storage.put("gs://bucket/x", [b""])
    assert ObjectInfo(**module.asdict(info)) == info
