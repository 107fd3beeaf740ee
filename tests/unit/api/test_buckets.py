"""The object-storage front, spoken to as storage clients speak: exact names, exact bytes, and nothing half stored."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient

from tunesmith import resources
from tunesmith import storage as storage_module
from tunesmith.api import buckets, uploads
from tunesmith.api.auth import Principal, principal
from tunesmith.errors import TunesmithError
from tunesmith.storage import Storage

CODES = {
    "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "NOT_FOUND": 404, "ALREADY_EXISTS": 409, "ABORTED": 409,
    "PERMISSION_DENIED": 403, "RESOURCE_EXHAUSTED": 429, "UNAVAILABLE": 503, "CANCELLED": 499,
}  # fmt: skip
BUCKET = "/storage/v1/b/bucket"
UPLOAD = "/upload/storage/v1/b/bucket/o"
ZERO_CRC32C = "AAAAAA=="


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    made = FastAPI()
    made.dependency_overrides[principal] = lambda: Principal(None, "admin")
    made.include_router(buckets.router)
    made.state.storage = Storage(tmp_path / "root")
    made.state.storage.create_bucket("bucket", "myproject")

    @made.exception_handler(TunesmithError)
    def _answer(request: Request, error: TunesmithError) -> JSONResponse:
        code = CODES[error.status]
        return JSONResponse({"error": {"code": code, "message": error.message, "status": error.status}}, code)

    return made


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app) as made:
        yield made


def put(client: TestClient, name: str, data: bytes, **query: object) -> dict[str, str]:
    answer = client.post(UPLOAD, params={"uploadType": "media", "name": name, **query}, content=data)
    assert answer.status_code == 200, answer.text
    return answer.json()


def get(client: TestClient, name: str, **headers: str):  # type: ignore[no-untyped-def]
    return client.get(f"/download{BUCKET}/o/{quote(name, safe='')}", params={"alt": "media"}, headers=headers)


def related(metadata: bytes, data: bytes, mark: str = "=mark=") -> bytes:
    head = f"--{mark}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n".encode()
    return b"%s%s\r\n--%s\r\ncontent-type: text/own\r\n\r\n%s\r\n--%s--" % (
        head, metadata, mark.encode(), data, mark.encode(),
    )  # fmt: skip


def send(client: TestClient, body: bytes | Iterator[bytes], mark: str = "=mark=", **headers: str):  # type: ignore[no-untyped-def]
    headers = {"content-type": f'multipart/related; boundary="{mark}"', **headers}
    return client.post(UPLOAD, params={"uploadType": "multipart"}, headers=headers, content=body)


def listed(client: TestClient) -> list[str]:
    return [item["name"] for item in client.get(f"{BUCKET}/o").json()["items"]]


def nothing_is_left(app: FastAPI) -> bool:
    return not list((app.state.storage.root / ".tunesmith" / "bucket").glob("drafts/*"))


# Buckets.


def test_bucket_is_created_once_and_has_its_projects_number(client: TestClient) -> None:
    made = client.post("/storage/v1/b?project=other", json={"name": "new-bucket", "location": "us-central1"})
    assert (made.status_code, made.json()["name"]) == (200, "new-bucket")
    assert made.json()["projectNumber"] == resources.project_number("other")
    assert client.get("/storage/v1/b/new-bucket?fields=name&prettyPrint=false").json() == made.json()
    assert client.post("/storage/v1/b?project=p", json={"name": "new-bucket"}).status_code == 409
    assert client.get("/storage/v1/b/absent").status_code == 404


@pytest.mark.parametrize(
    ("query", "body"),
    [("", '{"name": "abc"}'), ("?project=-", '{"name": "abc"}'), ("?project=p", '{"name": "../x"}'),
     ("?project=p", "{"), ("?project=p", "[]"), ("?project=p", '{"name": 5}'), ("?project=p", ""),
     ("?project=p", '"' + "x" * (1 << 17) + '"'), ("?project=p", "[" * 50_000)],
)  # fmt: skip
def test_bucket_that_can_not_be_is_not_created(client: TestClient, query: str, body: str) -> None:
    assert client.post(f"/storage/v1/b{query}", content=body).status_code == 400


def test_policy_is_answered_and_changes_nothing(client: TestClient) -> None:
    policy = {"bindings": [{"role": "roles/storage.objectViewer", "members": ["allUsers"]}]}
    assert client.put(f"{BUCKET}/iam", json=policy).json() == policy
    assert "bindings" not in client.get(f"{BUCKET}/iam").json()


def test_buckets_of_a_project_and_those_of_none_are_listed(app: FastAPI, client: TestClient) -> None:
    app.state.storage.create_bucket("others", "other")
    (app.state.storage.root / "by-hand").mkdir()
    items = client.get("/storage/v1/b?project=myproject").json()["items"]
    assert [item["name"] for item in items] == ["bucket", "by-hand"]


# Names.


@pytest.mark.parametrize(
    "name",
    ["a/b/c.jsonl", "a b", "ü中\U0001f600", "code-bison@002/t:1", "100%", "a%20b", "x?y#z&=+;", "o/b/o/c", "iam", "acl",
     "/storage/v1/b/x/o/y"[1:], "alt=media", "~'()*!"],
)  # fmt: skip
def test_name_is_exactly_what_was_sent(app: FastAPI, client: TestClient, name: str) -> None:
    put(client, name, b"data")
    path = f"{BUCKET}/o/{quote(name, safe='')}"
    assert (app.state.storage.root / "bucket" / name).read_bytes() == b"data"
    assert listed(client) == [name]
    assert client.get(path).json()["name"] == name
    assert client.get(f"{path}?alt=media").content == b"data"
    assert get(client, name).content == b"data"
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "sent",
    ["%2e%2e%2fx", "..%2F..%2Fetc%2Fpasswd", "a%2F..%2Fb", "%252e%252e%252fx", "a%5Cb", "a%00b", "a%2F%2Fb", "%2Fa",
     ".tunesmith%2Flock", "%ff", "a%2F"],
)  # fmt: skip
def test_hostile_name_is_refused(client: TestClient, sent: str) -> None:
    assert client.get(f"{BUCKET}/o/{sent}?alt=media").status_code == 400
    assert client.delete(f"{BUCKET}/o/{sent}").status_code == 400
    assert client.post(f"{UPLOAD}?uploadType=media&name={sent}", content=b"x").status_code in (400, 404)
    assert client.get("/storage/v1/b/..%2Fx/o/a").status_code in (400, 404)


# Uploads in one request.


def test_multipart_upload_is_stored_with_what_its_metadata_say(client: TestClient) -> None:
    metadata = {"name": "a/x", "contentType": "text/mine", "crc32c": "4waSgw==", "md5Hash": "JfnnlDI7RTiF9RgfG2JNCw=="}
    answer = send(client, related(json.dumps(metadata).encode(), b"123456789")).json()
    assert {key: answer[key] for key in metadata} == metadata
    assert (answer["size"], answer["bucket"], answer["metageneration"]) == ("9", "bucket", "1")
    assert answer["generation"].isdecimal()
    assert answer["updated"].endswith("Z")
    assert get(client, "a/x").content == b"123456789"


@pytest.mark.parametrize(
    "data", [b"", b"\r\n", b"\r\n--=mar", b"--", b"\r\n" * 50, bytes(range(256)) * 20, b"a\r\n--b"]
)
@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_data_are_what_lies_between_the_marks_however_they_arrive(client, monkeypatch, data, piece) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(uploads, "PIECE_BYTES", piece)
    body = related(b'{"name": "x"}', data)
    answer = send(client, (body[at : at + piece] for at in range(0, len(body), piece)))
    assert answer.status_code == 200, answer.text
    assert get(client, "x").content == data
    assert answer.json()["contentType"] == "text/own"


WHOLE = related(b'{"name": "x"}', b"data")


@pytest.mark.parametrize(
    "body",
    [b"", WHOLE[:-3][:-8], WHOLE[: len(WHOLE) // 2], b"no marks at all", related(b"{", b""), related(b"[]", b""),
     related(b'{"name": 3}', b""), related(b"{}", b""), related(b'{"name": "../x"}', b""),
     related(b'{"name": "x", "contentType": "a\\r\\nSet-Cookie: b"}', b""),
     related(b'{"name": "x", "crc32c": "AAAAAA=="}', b"other"), related(b'{"name": "x", "md5Hash": "AAAA"}', b""),
     related(b'{"name": "x", "y": "' + b"y" * uploads.MAX_METADATA_BYTES + b'"}', b"")],
)  # fmt: skip
def test_multipart_upload_that_is_wrong_stores_nothing(app: FastAPI, client: TestClient, body: bytes) -> None:
    assert send(client, body).status_code == 400
    assert listed(client) == []
    assert nothing_is_left(app)


def test_hash_in_the_header_is_verified(client: TestClient) -> None:
    for hashes, code in ((f"crc32c={ZERO_CRC32C}", 400), ("md5=AAAA", 400), ("crc32c=4waSgw==", 200)):
        query = {"uploadType": "media", "name": "x"}
        answer = client.post(UPLOAD, params=query, content=b"123456789", headers={"X-Goog-Hash": hashes})
        assert answer.status_code == code


def test_object_that_is_too_large_is_refused(app: FastAPI, client: TestClient) -> None:
    app.state.max_object_bytes = 10
    assert client.post(f"{UPLOAD}?uploadType=media&name=x", content=b"x" * 11).status_code == 400
    assert send(client, related(b'{"name": "x"}', b"x" * 11)).status_code == 400
    header = {"X-Upload-Content-Length": "11"}
    assert client.post(f"{UPLOAD}?uploadType=resumable&name=x", headers=header).status_code == 400
    assert (listed(client), nothing_is_left(app)) == ([], True)
    put(client, "x", b"x" * 10)


@pytest.mark.parametrize("query", ["", "?uploadType=other", "?uploadType=media", "?uploadType=media&name="])
def test_upload_of_no_kind_or_name_is_refused(client: TestClient, query: str) -> None:
    assert client.post(UPLOAD + query, content=b"x").status_code == 400


# Resumable uploads.


def begin(client: TestClient, name: str = "x", headers: dict[str, str] | None = None, **query: object) -> str:
    answer = client.post(
        UPLOAD, params={"uploadType": "resumable", **query}, json={"name": name}, headers=headers or {}
    )
    assert answer.status_code == 200, answer.text
    return answer.headers["location"]


def piece(client: TestClient, where: str, span: str, data: bytes = b"", **headers: str):  # type: ignore[no-untyped-def]
    return client.put(where, content=data, headers={"Content-Range": f"bytes {span}", **headers})


def test_resumable_upload_in_order(app: FastAPI, client: TestClient) -> None:
    where = begin(client, "a/ü x")
    assert "range" not in piece(client, where, "*/*").headers
    first = piece(client, where, "0-3/*", b"1234")
    assert (first.status_code, first.headers["range"]) == (308, "bytes=0-3")
    app.state.storage = Storage(app.state.storage.root)
    assert piece(client, where, "*/*").headers["range"] == "bytes=0-3"
    assert listed(client) == []
    last = piece(client, where, "4-8/9", b"56789", **{"X-Goog-Hash": "crc32c=4waSgw=="})
    assert (last.status_code, last.json()["size"], last.json()["crc32c"]) == (200, "9", "4waSgw==")
    assert piece(client, where, "*/*").json() == last.json()
    assert piece(client, where, "4-8/9", b"56789").json() == last.json()
    assert get(client, "a/ü x").content == b"123456789"


def test_piece_that_is_sent_again_is_taken_once(client: TestClient) -> None:
    where = begin(client)
    piece(client, where, "0-3/*", b"1234")
    assert piece(client, where, "0-3/*", b"1234").headers["range"] == "bytes=0-3"
    assert piece(client, where, "2-5/*", b"3456").headers["range"] == "bytes=0-5"
    assert piece(client, where, "*/6").json()["size"] == "6"
    assert get(client, "x").content == b"123456"


@pytest.mark.parametrize(
    ("span", "data"),
    [("5-8/9", b"6789"), ("4-8/9", b"567"), ("4-8/9", b"567890"), ("8-4/9", b""), ("4-8/8", b"56789"), ("*/2", b""),
     ("x", b""), ("-1-3/4", b""), ("0-99999999999999999999/*", b"")],
)  # fmt: skip
def test_piece_that_does_not_fit_is_refused_and_the_rest_can_follow(client: TestClient, span: str, data: bytes) -> None:
    where = begin(client)
    piece(client, where, "0-3/*", b"1234")
    assert piece(client, where, span, data).status_code == 400
    at = int(piece(client, where, "*/*").headers["range"].rpartition("-")[2]) + 1
    assert piece(client, where, f"{at}-9/10", b"1234567890"[at:]).status_code == 200
    assert get(client, "x").content == b"1234567890"


def test_resumable_upload_in_one_piece_and_of_nothing(client: TestClient) -> None:
    assert client.put(begin(client, "whole"), content=b"all").json()["size"] == "3"
    assert piece(client, begin(client, "empty"), "*/0").json()["size"] == "0"


def test_resumable_upload_of_other_bytes_than_announced_is_gone(app: FastAPI, client: TestClient) -> None:
    where = begin(client)
    assert piece(client, where, "0-0/1", b"x", **{"X-Goog-Hash": f"crc32c={ZERO_CRC32C}"}).status_code == 400
    assert piece(client, where, "*/*").status_code == 404
    assert (listed(client), nothing_is_left(app)) == ([], True)


def test_resumable_upload_is_cancelled(app: FastAPI, client: TestClient) -> None:
    where = begin(client)
    assert client.delete(where).status_code == 499
    assert piece(client, where, "0-0/1", b"x").status_code == 404
    assert nothing_is_left(app)


def test_resumable_uploads_are_bounded(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_module, "MAX_DRAFTS", 1)
    begin(client)
    assert client.post(f"{UPLOAD}?uploadType=resumable&name=y").status_code == 429


def test_upload_id_of_another_bucket_is_unknown(app: FastAPI, client: TestClient) -> None:
    app.state.storage.create_bucket("second", "myproject")
    where = begin(client)
    assert piece(client, where.replace("/b/bucket/", "/b/second/"), "0-0/1", b"x").status_code == 404


# Downloads.


@pytest.mark.parametrize(
    ("wanted", "span"),
    [("bytes=2-4", (2, 5)), ("bytes=7-", (7, 9)), ("bytes=-2", (7, 9)), ("bytes=-99", (0, 9)), ("bytes=0-99", (0, 9)),
     ("bytes=8-8", (8, 9))],
)  # fmt: skip
def test_range_is_a_part(client: TestClient, wanted: str, span: tuple[int, int]) -> None:
    put(client, "x", b"123456789")
    answer = get(client, "x", Range=wanted)
    assert (answer.status_code, answer.content) == (206, b"123456789"[slice(*span)])
    assert answer.headers["content-range"] == f"bytes {span[0]}-{span[1] - 1}/9"
    assert answer.headers["content-length"] == str(span[1] - span[0])


@pytest.mark.parametrize("wanted", ["bytes=5-2", "bytes=-", "bytes=0-1,3-4", "lines=1-2", "bytes=a-b"])
def test_what_is_no_single_range_is_passed_over(client: TestClient, wanted: str) -> None:
    put(client, "x", b"123456789")
    assert (get(client, "x", Range=wanted).status_code, get(client, "x", Range=wanted).content) == (200, b"123456789")


@pytest.mark.parametrize("wanted", ["bytes=9-", "bytes=99-100", "bytes=-0"])
def test_range_behind_the_end_can_not_be_satisfied(client: TestClient, wanted: str) -> None:
    put(client, "x", b"123456789")
    answer = get(client, "x", Range=wanted)
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */9")


def test_download_says_its_hashes_and_does_no_harm_in_a_browser(client: TestClient) -> None:
    send(client, related(b'{"name": "x", "contentType": "text/html"}', b"123456789"))
    headers = get(client, "x").headers
    assert headers["x-goog-hash"] == "crc32c=4waSgw==,md5=JfnnlDI7RTiF9RgfG2JNCw=="
    assert headers["content-type"].startswith("text/html")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("sandbox")
    assert headers["content-disposition"] == "attachment"


def test_generation_that_is_gone_is_not_found(client: TestClient) -> None:
    old = put(client, "x", b"old")["generation"]
    new = put(client, "x", b"new")["generation"]
    for path in (f"{BUCKET}/o/x?generation=", f"/download{BUCKET}/o/x?alt=media&generation="):
        assert client.get(path + old).status_code == 404
        assert client.get(path + new).status_code == 200
        assert client.get(path + "x").status_code == 400


# Preconditions.


def test_write_happens_only_if_its_preconditions_hold(client: TestClient) -> None:
    first = put(client, "x", b"1", ifGenerationMatch=0)["generation"]
    unmet = ({"ifGenerationMatch": 0}, {"ifGenerationMatch": int(first) + 1}, {"ifGenerationNotMatch": first},
             {"ifMetagenerationMatch": 2}, {"ifMetagenerationNotMatch": 1})  # fmt: skip
    for query in unmet:
        for kind in ("media", "resumable"):
            answer = client.post(UPLOAD, params={"uploadType": kind, "name": "x", **query}, content=b"")
            assert (answer.status_code, answer.json()["error"]["code"]) == (412, 412)
        assert client.delete(f"{BUCKET}/o/x", params=query).status_code == 412
    put(client, "x", b"2", ifGenerationMatch=first)
    assert get(client, "x").content == b"2"


def test_resumable_upload_that_another_overtook_stores_nothing(app: FastAPI, client: TestClient) -> None:
    where = begin(client, ifGenerationMatch=0)
    put(client, "x", b"first")
    assert piece(client, where, "0-5/6", b"second").status_code == 412
    assert get(client, "x").content == b"first"
    assert nothing_is_left(app)


def test_read_answers_whether_something_changed(client: TestClient) -> None:
    generation = put(client, "x", b"1")["generation"]
    for path in (f"{BUCKET}/o/x", f"/download{BUCKET}/o/x"):
        assert client.get(path, params={"ifGenerationNotMatch": generation}).status_code == 304
        assert client.get(path, params={"ifGenerationMatch": 5}).status_code == 412


# Listings.


def test_listing_folds_and_pages(client: TestClient) -> None:
    for name in ("a/1", "a/2", "a.txt", "b", "c/d/e"):
        put(client, name, b"")
    answer = client.get(f"{BUCKET}/o?delimiter=/&maxResults=2").json()
    assert ([i["name"] for i in answer["items"]], answer["prefixes"]) == (["a.txt"], ["a/"])
    rest = client.get(f"{BUCKET}/o", params={"delimiter": "/", "pageToken": answer["nextPageToken"]}).json()
    assert ([i["name"] for i in rest["items"]], rest["prefixes"]) == (["b"], ["c/"])
    assert "nextPageToken" not in rest
    assert [i["name"] for i in client.get(f"{BUCKET}/o?prefix=a/").json()["items"]] == ["a/1", "a/2"]


@pytest.mark.parametrize(
    "query", ["delimiter=x", "pageToken=%21", "maxResults=0", "maxResults=-1", "maxResults=x", "startOffset=a",
              "pageToken=" + base64.urlsafe_b64encode(b"\xff").decode()]
)  # fmt: skip
def test_listing_that_is_not_supported_is_refused(client: TestClient, query: str) -> None:
    assert client.get(f"{BUCKET}/o?{query}").status_code == 400


# Who may what.


def as_(app: FastAPI, asker: Principal) -> TestClient:
    app.dependency_overrides[principal] = lambda: asker
    return TestClient(app)


def writes(client: TestClient, bucket: str) -> set[int]:
    where = f"/upload/storage/v1/b/{bucket}/o"
    return {
        client.post(f"{where}?uploadType=media&name=new", content=b"x").status_code,
        client.post(f"{where}?uploadType=resumable&name=new").status_code,
        client.put(f"{where}?upload_id={'0' * 32}", content=b"").status_code,
        client.delete(f"{where}?upload_id={'0' * 32}").status_code,
        client.delete(f"/storage/v1/b/{bucket}/o/x").status_code,
        client.put(f"/storage/v1/b/{bucket}/iam", json={}).status_code,
    }


def reads(client: TestClient, bucket: str) -> set[int]:
    paths = ("", "/iam", "/o", "/o/x", "/o/x?alt=media")
    found = {client.get(f"/storage/v1/b/{bucket}{path}").status_code for path in paths}
    return found | {client.get(f"/download/storage/v1/b/{bucket}/o/x?alt=media").status_code}


@pytest.mark.parametrize(
    ("asker", "read", "write"),
    [(Principal("other", "admin"), {403}, {403}), (Principal("myproject", "viewer"), {200}, {403}),
     (Principal("myproject", "tuner"), {200}, {200, 204, 404}), (Principal(None, "admin"), {200}, {200, 204, 404})],
)  # fmt: skip
def test_bucket_of_a_project_is_for_its_people(app: FastAPI, asker: Principal, read: set[int], write: set[int]) -> None:
    app.state.storage.put("gs://bucket/x", [b"x"])
    client = as_(app, asker)
    assert (reads(client, "bucket"), writes(client, "bucket")) == (read, write)
    allowed = asker.project is None or (asker.project == "myproject" and asker.role != "viewer")
    created = client.post("/storage/v1/b?project=myproject", json={"name": "more"}).status_code
    assert created == (200 if allowed else 403)


@pytest.mark.parametrize(("role", "write"), [("viewer", {403}), ("tuner", {403}), ("admin", {200, 204, 404})])
def test_bucket_without_a_project_is_read_by_all_and_written_by_admins(app: FastAPI, role, write) -> None:  # type: ignore[no-untyped-def]
    (app.state.storage.root / "by-hand").mkdir()
    (app.state.storage.root / "by-hand" / "x").write_text("x")
    client = as_(app, Principal(None, role))
    assert (reads(client, "by-hand"), writes(client, "by-hand")) == ({200}, write)
    assert client.get("/storage/v1/b/by-hand").json()["projectNumber"] == resources.project_number("local")


def test_disconnect_leaves_nothing_of_an_upload_and_keeps_the_arrived_of_a_resumable_one(app: FastAPI) -> None:
    import asyncio

    def call(method: str, query: str) -> None:
        arriving = iter([{"type": "http.request", "body": b"abc", "more_body": True}, {"type": "http.disconnect"}])

        async def receive() -> dict[str, object]:
            return next(arriving)  # type: ignore[return-value]

        async def send_(message: object) -> None:
            pass

        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": UPLOAD,
                 "raw_path": UPLOAD.encode(), "query_string": query.encode(), "headers": [(b"host", b"x")],
                 "scheme": "http", "server": ("x", 80), "client": ("y", 1), "root_path": "",
                 "state": {}}  # fmt: skip
        asyncio.run(app(scope, receive, send_))

    call("POST", "uploadType=media&name=x")
    assert nothing_is_left(app)
    client = TestClient(app)
    where = begin(client)
    call("PUT", where.partition("?")[2])
    assert piece(client, where, "*/*").headers["range"] == "bytes=0-2"
    assert listed(client) == []


def test_projects_number_is_a_number_that_stays() -> None:
    assert resources.project_number("123456789012") == "123456789012"
    assert resources.project_number("myproject") == "534324925839"
    assert all(len(resources.project_number(f"p{n}")) == 12 for n in range(1000))


def test_upload_that_expires_is_gone(app: FastAPI, client: TestClient) -> None:
    where = begin(client)
    app.state.storage = Storage(app.state.storage.root, clock=lambda: time.time() + storage_module.DRAFT_LIFE_S + 60)
    begin(client, "another")
    assert piece(client, where, "0-0/1", b"x").status_code == 404
