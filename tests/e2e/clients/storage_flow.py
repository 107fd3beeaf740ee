"""What users do with google-cloud-storage, against the server at the given URL: one line for each check.

    python storage_flow.py http://127.0.0.1:8765 [PROJECT]

Runs where google-cloud-storage is installed, which is not where Tunesmith is; 2.19.0 and 3.17.1 pass. Exits with 1 if a
check fails.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path

URL = sys.argv[1]
PROJECT = sys.argv[2] if len(sys.argv) > 2 else "myproject"
os.environ["STORAGE_EMULATOR_HOST"] = URL
os.environ.pop("GOOGLE_CLOUD_PROJECT", None)

from google.api_core import exceptions  # noqa: E402
from google.auth.credentials import AnonymousCredentials  # noqa: E402
from google.cloud import storage  # noqa: E402

STRANGE = "deep/a b/\u00fcn\u00ef\u4e2d@002:13.9/100%25+x#?&=~.jsonl"
MIB = 1 << 20
client = storage.Client(project=PROJECT, credentials=AnonymousCredentials())
NAME = f"flow-{uuid.uuid4().hex[:12]}"
bucket = client.bucket(NAME)


def absent_bucket() -> None:
    assert not bucket.exists()
    assert client.lookup_bucket(NAME) is None


def create_bucket() -> None:
    made = client.create_bucket(bucket, location="us-central1")
    assert made.name == NAME
    assert made.time_created is not None


def create_bucket_twice() -> None:
    expect(exceptions.Conflict, lambda: client.create_bucket(NAME))


def get_bucket() -> None:
    got = client.get_bucket(NAME)
    assert got.exists()
    assert int(got.project_number or 0) > 0
    assert got.location == "US-CENTRAL1"
    assert NAME in [each.name for each in client.list_buckets()]


def policy() -> None:
    got = bucket.get_iam_policy(requested_policy_version=3)
    got.bindings.append({"role": "roles/storage.objectViewer", "members": {"user:a@example.com"}})
    put = bucket.set_iam_policy(got)
    assert put.bindings[0]["role"] == "roles/storage.objectViewer"


def upload_string() -> None:
    blob = bucket.blob("data/train.jsonl")
    blob.upload_from_string(b'{"a": 1}\n', content_type="application/jsonl")
    assert blob.size == 9
    assert blob.content_type == "application/jsonl"
    assert blob.md5_hash
    assert blob.crc32c
    assert blob.generation
    assert blob.updated is not None
    assert bucket.blob("data/train.jsonl").download_as_bytes() == b'{"a": 1}\n'


def upload_empty() -> None:
    blob = bucket.blob("data/empty")
    blob.upload_from_string(b"")
    assert blob.size == 0
    assert bucket.blob("data/empty").download_as_bytes() == b""


def upload_file_with_checksums() -> None:
    for checksum in ("md5", "crc32c"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "small.bin"
            path.write_bytes(os.urandom(300_000))
            bucket.blob("data/small.bin").upload_from_filename(str(path), checksum=checksum)
            back = Path(folder) / "back.bin"
            bucket.blob("data/small.bin").download_to_filename(str(back), checksum=checksum)
            assert back.read_bytes() == path.read_bytes()


def upload_large() -> None:
    data = os.urandom(20 * MIB + 123)
    for chunk_size in (None, 4 * MIB):
        blob = bucket.blob("large/data.bin", chunk_size=chunk_size)
        blob.upload_from_file(io.BytesIO(data), size=len(data))
        assert blob.size == len(data)
        assert bucket.blob("large/data.bin").download_as_bytes() == data
    # In pieces: one request with a range for each.
    assert bucket.blob("large/data.bin", chunk_size=3 * MIB).download_as_bytes() == data


def upload_of_unknown_size() -> None:
    with bucket.blob("written/text.txt").open("w") as file:
        for number in range(200_000):
            file.write(f"line {number}\n")
    with bucket.blob("written/text.txt").open("r") as file:
        assert sum(1 for _ in file) == 200_000
    with bucket.blob("written/exact.bin", chunk_size=MIB).open("wb") as file:
        file.write(b"x" * (2 * MIB))
    assert bucket.blob("written/exact.bin").download_as_bytes() == b"x" * (2 * MIB)
    with bucket.blob("written/nothing.txt").open("w"):
        pass
    assert bucket.blob("written/nothing.txt").download_as_bytes() == b""


def download_ranges() -> None:
    bucket.blob("ranges").upload_from_string(bytes(range(256)))
    blob = bucket.blob("ranges")
    assert blob.download_as_bytes(start=10, end=19) == bytes(range(10, 20))
    assert blob.download_as_bytes(start=250) == bytes(range(250, 256))
    assert blob.download_as_bytes(start=-6) == bytes(range(250, 256))
    with blob.open("rb") as file:
        file.seek(100)
        assert file.read(3) == bytes([100, 101, 102])


def strange_names() -> None:
    bucket.blob(STRANGE).upload_from_string("strange")
    assert bucket.blob(STRANGE).download_as_text() == "strange"
    assert bucket.get_blob(STRANGE).name == STRANGE
    assert [each.name for each in client.list_blobs(NAME, prefix="deep/")] == [STRANGE]
    bucket.delete_blob(STRANGE)
    assert bucket.get_blob(STRANGE) is None


def hostile_names() -> None:
    for name in ("../x", "a/../../x", "a//b", ".tunesmith/lock", "a\\b", "%2e%2e/x"):
        expect(exceptions.BadRequest, lambda name=name: bucket.blob(name).upload_from_string("x"))


def listings() -> None:
    for name in ("list/a.txt", "list/a/1", "list/a/2", "list/b", "list/c/deep/1"):
        bucket.blob(name).upload_from_string(name)
    found = client.list_blobs(NAME, prefix="list/", delimiter="/")
    assert [each.name for each in found] == ["list/a.txt", "list/b"]
    assert sorted(found.prefixes) == ["list/a/", "list/c/"]
    names = [each.name for each in client.list_blobs(NAME, prefix="list/", page_size=2)]
    assert names == ["list/a.txt", "list/a/1", "list/a/2", "list/b", "list/c/deep/1"]
    assert [each.name for each in bucket.list_blobs(prefix="list/", max_results=3)] == names[:3]
    # A listed blob is read at its generation.
    assert next(iter(client.list_blobs(NAME, prefix="list/b"))).download_as_text() == "list/b"


def preconditions() -> None:
    blob = bucket.blob("guarded")
    blob.upload_from_string("1", if_generation_match=0)
    first = blob.generation
    expect(exceptions.PreconditionFailed, lambda: bucket.blob("guarded").upload_from_string("2", if_generation_match=0))
    bucket.blob("guarded").upload_from_string("2", if_generation_match=first)
    assert bucket.get_blob("guarded").generation > first
    expect(exceptions.NotFound, lambda: bucket.blob("guarded", generation=first).download_as_bytes())
    expect(exceptions.PreconditionFailed, lambda: bucket.blob("guarded").delete(if_generation_match=first))
    expect(
        exceptions.PreconditionFailed,
        lambda: bucket.blob("guarded").upload_from_file(
            io.BytesIO(b"x" * 9 * MIB), size=9 * MIB, if_generation_match=first
        ),
    )
    assert bucket.blob("guarded").download_as_bytes() == b"2"


def deletion() -> None:
    bucket.blob("doomed").upload_from_string("x")
    assert bucket.blob("doomed").exists()
    bucket.blob("doomed").delete()
    assert not bucket.blob("doomed").exists()
    expect(exceptions.NotFound, lambda: bucket.blob("doomed").delete())
    expect(exceptions.NotFound, lambda: bucket.blob("doomed").download_as_bytes())


def expect(kind: type[Exception], call: Callable[[], object]) -> None:
    try:
        call()
    except kind:
        return
    raise AssertionError(f"no {kind.__name__}")


CHECKS = (
    absent_bucket, create_bucket, create_bucket_twice, get_bucket, policy, upload_string, upload_empty,
    upload_file_with_checksums, upload_large, upload_of_unknown_size, download_ranges, strange_names, hostile_names,
    listings, preconditions, deletion,
)  # fmt: skip


def main() -> int:
    failed = 0
    for check in CHECKS:
        try:
            check()
        except Exception:  # noqa: BLE001 - one check's failure is its line; the others are still to be seen
            failed += 1
            print(f"FAILED {check.__name__}\n{traceback.format_exc()}", flush=True)
        else:
            print(f"ok {check.__name__}", flush=True)
    print(f"google-cloud-storage {storage.__version__}: {len(CHECKS) - failed} of {len(CHECKS)} passed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
