"""The object-storage front: the part of the Cloud Storage JSON API that unmodified storage clients use.

Buckets, listings, metadata, downloads with ranges, and the three kinds of uploads. Names of objects are taken from
the path as it was sent, where `/` is `%2F`. What comes from where: `app.state.storage`, and `app.state.
max_object_bytes` where an installation sets one. Bytes stream both ways.

**Who may what**: reading needs the role viewer and writing the role tuner in the bucket's project. A bucket without a
project (made by hand, or mapped) may be read by every principal and written only by an admin. The same holds for what
a job or an upload names by its URI.

What is not here: access lists and policies (one that is put is answered and stored nowhere: roles decide), custom
metadata, versions, copying, and every other field of an upload's metadata than name, contentType, md5Hash, crc32c.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response, StreamingResponse

from tunesmith import resources
from tunesmith.api import uploads
from tunesmith.api.auth import Principal, principal
from tunesmith.errors import Aborted, InvalidArgument, NotFound, PermissionDenied
from tunesmith.storage import Bucket, Draft, ObjectInfo, Opened, Storage, check_key

MAX_OBJECT_BYTES = 10 << 30
# Buckets have no place here; this is what clients read where the reference has one.
LOCATION = "US-CENTRAL1"

_OBJECT = re.compile(r".*?/storage/v1/b/[^/]+/o/(.+)", re.DOTALL)
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_CONTENT_TYPE = re.compile(r"[ -~]{0,255}")
_UNSUPPORTED = ("startOffset", "endOffset", "matchGlob", "versions")
# A stored page must not run in a browser as one of this server's own.
_HARMLESS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}

router = APIRouter()
Asker = Annotated[Principal, Depends(principal)]


class Wanted(NamedTuple):
    """What an upload is to become."""

    name: str
    content_type: str
    md5: str
    crc32c: str
    if_generation: int | None


# Buckets.


@router.get("/storage/v1/b/{bucket}")
def get_bucket(request: Request, bucket: str, asker: Asker) -> dict[str, Any]:
    return _bucket_resource(_readable(request, bucket, asker), asker)


@router.post("/storage/v1/b")
async def create_bucket(request: Request, asker: Asker) -> dict[str, Any]:
    name = uploads.text_of(await uploads.read_json(request), "name")
    project = resources.check_project(request.query_params.get("project") or asker.project or "")
    asker.check(project, "tuner")
    bucket = await run_in_threadpool(_storage(request).create_bucket, name, project)
    return _bucket_resource(bucket, asker)


@router.get("/storage/v1/b")
def list_buckets(request: Request, asker: Asker) -> dict[str, Any]:
    """Those of the project, and those without one."""
    project = resources.check_project(request.query_params.get("project") or asker.project or "")
    asker.check(project, "viewer")
    prefix = request.query_params.get("prefix", "")
    found = [b for b in _storage(request).list_buckets() if b.project in (None, project) and b.name.startswith(prefix)]
    return {"kind": "storage#buckets", "items": [_bucket_resource(bucket, asker) for bucket in found]}


@router.get("/storage/v1/b/{bucket}/iam")
def get_policy(request: Request, bucket: str, asker: Asker) -> dict[str, Any]:
    """An empty policy: roles decide here."""
    _readable(request, bucket, asker)
    return {"kind": "storage#policy", "resourceId": f"projects/_/buckets/{bucket}", "version": 1, "etag": "CAE="}


@router.put("/storage/v1/b/{bucket}/iam")
async def put_policy(request: Request, bucket: str, asker: Asker) -> dict[str, Any]:
    """The policy that was put. It is stored nowhere and changes nothing: roles decide here."""
    await run_in_threadpool(_writable, request, bucket, asker)
    return await uploads.read_json(request)


# Objects.


@router.get("/storage/v1/b/{bucket}/o")
def list_objects(request: Request, bucket: str, asker: Asker) -> dict[str, Any]:
    _readable(request, bucket, asker)
    query = request.query_params
    for name in _UNSUPPORTED:
        if query.get(name, "false") not in ("", "false"):
            raise InvalidArgument.of(name, "is not supported here; use prefix and delimiter")
    size = _number(request, "maxResults")
    page = _storage(request).list_objects(
        f"gs://{bucket}",
        query.get("prefix", ""),
        query.get("delimiter", ""),
        query.get("pageToken", ""),
        1000 if size is None else size,
    )
    answer: dict[str, Any] = {"kind": "storage#objects", "items": [_object_resource(info) for info in page.items]}
    if page.prefixes:
        answer["prefixes"] = page.prefixes
    return answer | ({"nextPageToken": page.next_token} if page.next_token else {})


@router.get("/storage/v1/b/{bucket}/o/{name:path}", response_model=None)
def get_object(request: Request, bucket: str, asker: Asker) -> Response:
    """Metadata, or with alt=media the bytes."""
    if request.query_params.get("alt") == "media":
        return download(request, bucket, asker)
    _readable(request, bucket, asker)
    info = _storage(request).stat(_uri(request, bucket), _number(request, "generation"))
    return _unmet_read(request, info) or JSONResponse(_object_resource(info), headers=_marks(info))


@router.get("/download/storage/v1/b/{bucket}/o/{name:path}", response_model=None)
def download(request: Request, bucket: str, asker: Asker) -> Response:
    """The bytes of one version, all or one range; the hashes are in X-Goog-Hash where they are known."""
    _readable(request, bucket, asker)
    opened = _storage(request).open(_uri(request, bucket), _number(request, "generation"))
    unmet = _unmet_read(request, opened.info)
    if unmet is not None:
        opened.close()
        return unmet
    return _answer_bytes(opened, request.headers.get("range", ""))


@router.delete("/storage/v1/b/{bucket}/o/{name:path}", response_model=None)
def delete_object(request: Request, bucket: str, asker: Asker) -> Response:
    _writable(request, bucket, asker)
    storage, uri = _storage(request), _uri(request, bucket)
    info = storage.stat(uri, _number(request, "generation"))
    if not _is_met(request, info):
        return _refusal(f"{uri} has generation {info.generation}; look at it again")
    if_generation = _number(request, "ifGenerationMatch") or _number(request, "generation")
    try:
        storage.delete(uri, if_generation)
    except Aborted as error:
        return _refusal(error.message)
    return Response(status_code=204)


def _answer_bytes(opened: Opened, wanted: str) -> Response:
    info = opened.info
    span = _span(wanted, info.size)
    headers = {**_marks(info), **_HARMLESS, "Accept-Ranges": "bytes", "Content-Disposition": "attachment"}
    if span is None:
        opened.close()
        answer = _google_error(416, f"the object has {info.size:,} bytes, the range {wanted!r} has none of them")
        answer.headers["Content-Range"] = f"bytes */{info.size}"
        return answer
    start, end, partial = span
    headers["Content-Length"] = str(end - start)
    if partial:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{info.size}"
    return StreamingResponse(
        opened.chunks(start, end), 206 if partial else 200, headers=headers, media_type=info.content_type
    )


def _span(wanted: str, size: int) -> tuple[int, int, bool] | None:
    """From, before, and whether it is a part; None if nothing lies in it. What is no single range asks for all."""
    match = _RANGE.fullmatch(wanted.strip())
    if match is None or match.groups() == ("", ""):
        return 0, size, False
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if first and last and int(last) < start:
        return 0, size, False
    return (start, end, True) if start < end else None


# Uploads.


@router.post("/upload/storage/v1/b/{bucket}/o", response_model=None)
async def upload(request: Request, bucket: str, asker: Asker) -> Response:
    """uploadType multipart and media store an object; resumable answers where to send it."""
    await run_in_threadpool(_writable, request, bucket, asker)
    kind = request.query_params.get("uploadType", "")
    if kind == "resumable":
        return await _begin(request, bucket)
    if kind == "multipart":
        metadata, content_type, data = await uploads.split_related(request)
    elif kind == "media":
        metadata, content_type, data = {}, request.headers.get("content-type", ""), uploads.pieces(request)
    else:
        raise InvalidArgument.of("uploadType", f"must be multipart, media or resumable, got {kind[:40]!r}")
    return await _store(request, bucket, _wanted(request, metadata, content_type), data)


async def _store(request: Request, bucket: str, wanted: Wanted, data: AsyncIterator[bytes]) -> Response:
    storage = _storage(request)
    unmet = await run_in_threadpool(_unmet_write, request, bucket, wanted)
    if unmet is not None:
        return unmet
    draft = await run_in_threadpool(_new_draft, request, bucket)
    try:
        async for piece in data:
            await run_in_threadpool(draft.write, piece)
        return await run_in_threadpool(_publish, storage, draft, bucket, wanted)
    finally:
        draft.discard()


def _new_draft(request: Request, bucket: str, notes: dict[str, Any] | None = None) -> Draft:
    return _storage(request).draft(f"gs://{bucket}", max_bytes=_max_bytes(request), notes=notes)


def _publish(storage: Storage, draft: Draft, bucket: str, wanted: Wanted) -> Response:
    try:
        info = storage.publish(
            draft,
            f"gs://{bucket}/{wanted.name}",
            content_type=wanted.content_type,
            md5=wanted.md5,
            crc32c=wanted.crc32c,
            if_generation=wanted.if_generation,
        )
    except Aborted as error:
        return _refusal(error.message)
    return JSONResponse(_object_resource(info), headers=_marks(info))


async def _begin(request: Request, bucket: str) -> Response:
    metadata = await uploads.read_json(request)
    wanted = _wanted(request, metadata, request.headers.get("x-upload-content-type", ""))
    total = request.headers.get("x-upload-content-length", "")
    if total.isdecimal() and int(total) > _max_bytes(request):
        raise _too_large(int(total), _max_bytes(request))
    unmet = await run_in_threadpool(_unmet_write, request, bucket, wanted)
    if unmet is not None:
        return unmet
    draft = await run_in_threadpool(_new_draft, request, bucket, wanted._asdict())
    draft.close()
    where = f"{str(request.base_url).rstrip('/')}/upload/storage/v1/b/{quote(bucket)}/o"
    location = f"{where}?uploadType=resumable&upload_id={draft.token}"
    return Response(status_code=200, headers={"Location": location, "X-GUploader-UploadID": draft.token})


@router.put("/upload/storage/v1/b/{bucket}/o", response_model=None)
async def go_on(request: Request, bucket: str, asker: Asker) -> Response:
    """The next bytes of a resumable upload, or how far it has come: 308 with Range, or the object.

    Bytes that are there already are passed over; a gap is refused. Of a request that breaks off, what arrived stays.
    """
    await run_in_threadpool(_writable, request, bucket, asker)
    text = request.headers.get("content-range", "")
    span = uploads.parse_content_range(text) if text else uploads.ContentRange(0, None, None)
    draft = await run_in_threadpool(_reopen, request, bucket)
    if isinstance(draft, ObjectInfo):
        return JSONResponse(_object_resource(draft), headers=_marks(draft))
    try:
        if span.total is not None and span.total > _max_bytes(request):
            raise _too_large(span.total, _max_bytes(request))
        if span.start is not None:
            await _receive(request, draft, span)
        if text and draft.size != span.total:
            return _unfinished(draft, span)
        return await run_in_threadpool(_finish, request, draft, bucket)
    finally:
        draft.close()


@router.delete("/upload/storage/v1/b/{bucket}/o", response_model=None)
def cancel(request: Request, bucket: str, asker: Asker) -> Response:
    """Forgets a resumable upload; 499, as the reference answers."""
    _writable(request, bucket, asker)
    draft = _reopen(request, bucket)
    if isinstance(draft, Draft):
        draft.discard()
    return Response(status_code=499)


def _reopen(request: Request, bucket: str) -> Draft | ObjectInfo:
    token = request.query_params.get("upload_id", "")
    return _storage(request).reopen(f"gs://{bucket}", token, _max_bytes(request))


async def _receive(request: Request, draft: Draft, span: uploads.ContentRange) -> None:
    """Adds to the draft what it has not yet. InvalidArgument for a gap, and for more or less than was announced."""
    at = span.start or 0
    if at > draft.size:
        raise InvalidArgument.of("Content-Range", f"begins at {at:,}, but {draft.size:,} bytes are here; go on there")
    async for piece in uploads.pieces(request):
        end = at + len(piece) if span.end is None else min(at + len(piece), span.end)
        fresh = piece[max(0, draft.size - at) : end - at]
        if fresh:
            await run_in_threadpool(draft.write, fresh)
        at += len(piece)
    if span.end not in (None, at):
        raise InvalidArgument.of("Content-Range", f"ends before byte {span.end:,}, but the body before {at:,}")


def _unfinished(draft: Draft, span: uploads.ContentRange) -> Response:
    if span.total is not None and draft.size > span.total:
        raise InvalidArgument.of("Content-Range", f"has {span.total:,} in all, but {draft.size:,} bytes are here")
    return Response(status_code=308, headers={"Range": f"bytes=0-{draft.size - 1}"} if draft.size else {})


def _finish(request: Request, draft: Draft, bucket: str) -> Response:
    names = Wanted._fields
    wanted = Wanted(**{name: draft.notes[name] for name in names})
    hashes = _hashes(request)
    wanted = wanted._replace(md5=wanted.md5 or hashes.get("md5", ""), crc32c=wanted.crc32c or hashes.get("crc32c", ""))
    try:
        answer = _publish(_storage(request), draft, bucket, wanted)
    except InvalidArgument:
        # Other bytes than were announced: no more bytes can mend it.
        draft.discard()
        raise
    if answer.status_code == 412:
        draft.discard()
    return answer


def _wanted(request: Request, metadata: dict[str, Any], content_type: str) -> Wanted:
    """From the metadata, then the query and the headers; the name is checked before any byte is read."""
    hashes = _hashes(request)
    return Wanted(
        check_key(uploads.text_of(metadata, "name") or _name_in_query(request)),
        _check_content_type(uploads.text_of(metadata, "contentType") or content_type),
        uploads.text_of(metadata, "md5Hash") or hashes.get("md5", ""),
        uploads.text_of(metadata, "crc32c") or hashes.get("crc32c", ""),
        _number(request, "ifGenerationMatch"),
    )


def _check_content_type(text: str) -> str:
    # It comes back as a header of every download.
    if _CONTENT_TYPE.fullmatch(text) is None:
        raise InvalidArgument.of("contentType", f"must be at most 255 printable ASCII characters, got {text[:80]!r}")
    return text


def _hashes(request: Request) -> dict[str, str]:
    """Of X-Goog-Hash: `crc32c=...,md5=...`."""
    parts = (part.strip().partition("=") for part in request.headers.get("x-goog-hash", "").split(","))
    return {name: value for name, _, value in parts}


def _too_large(size: int, most: int) -> InvalidArgument:
    return InvalidArgument.of("size", f"an object has at most {most:,} bytes here, got {size:,}; send less")


# Preconditions.


def _is_met(request: Request, info: ObjectInfo | None) -> bool:
    """Whether all of ifGenerationMatch, ifGenerationNotMatch and the same of the metageneration hold."""
    generation, metageneration = (info.generation, info.metageneration) if info else (0, 0)
    for name, current in (("Generation", generation), ("Metageneration", metageneration)):
        if _number(request, f"if{name}Match") not in (None, current):
            return False
        if _number(request, f"if{name}NotMatch") == current:
            return False
    return True


def _unmet_read(request: Request, info: ObjectInfo) -> Response | None:
    if _is_met(request, info):
        return None
    if info.generation == _number(request, "ifGenerationNotMatch"):
        return Response(status_code=304, headers=_marks(info))
    return _refusal(f"the object has generation {info.generation}; look at it again")


def _unmet_write(request: Request, bucket: str, wanted: Wanted) -> Response | None:
    """Seen before any byte is sent; `ifGenerationMatch` is seen again as the object is replaced."""
    if not any(name.startswith("if") for name in request.query_params):
        return None
    try:
        opened = _storage(request).open(f"gs://{bucket}/{wanted.name}")
    except NotFound:
        info = None
    else:
        info = opened.info
        opened.close()
    return None if _is_met(request, info) else _refusal(f"{wanted.name} is not what the request expects there")


def _refusal(message: str) -> JSONResponse:
    return _google_error(412, message, "conditionNotMet")


def _google_error(code: int, message: str, reason: str = "invalid") -> JSONResponse:
    # 412 and 416 are answers of this protocol, not errors of ours.
    errors = [{"message": message, "domain": "global", "reason": reason}]
    error = {"code": code, "message": message, "errors": errors, "status": "FAILED_PRECONDITION"}
    return JSONResponse({"error": error}, code)


# Requests and resources.


def _storage(request: Request) -> Storage:
    storage: Storage = request.app.state.storage
    return storage


def _max_bytes(request: Request) -> int:
    return int(getattr(request.app.state, "max_object_bytes", MAX_OBJECT_BYTES))


def refuse_closed(storage: Storage, asker: Principal, uris: Sequence[str], *, writes: bool = False) -> None:
    """PermissionDenied for the first object, or folder, in a bucket that the asker may not read, or write.

    A bucket that is not there is NotFound to a key of one project: another one could make it before the job begins.
    """
    for uri in dict.fromkeys(uris):
        scheme, mark, rest = uri.partition("://")
        if not mark:
            continue
        try:
            bucket = storage.bucket_of(scheme, rest.partition("/")[0])
        except NotFound:
            if asker.project is None:
                continue
            raise
        try:
            _check(bucket, asker, writes)
        except PermissionDenied as error:
            raise PermissionDenied(f"{uri}: {error.message}") from error


def _check(bucket: Bucket, asker: Principal, writes: bool) -> None:
    if writes:
        asker.check(bucket.project, "admin" if bucket.project is None else "tuner")
    elif bucket.project is not None:
        asker.check(bucket.project, "viewer")


def _readable(request: Request, name: str, asker: Principal) -> Bucket:
    bucket = _storage(request).get_bucket(name)
    _check(bucket, asker, writes=False)
    return bucket


def _writable(request: Request, name: str, asker: Principal) -> None:
    _check(_storage(request).get_bucket(name), asker, writes=True)


def _uri(request: Request, bucket: str) -> str:
    """The object's URI, its name decoded once from the path as it was sent."""
    match = _OBJECT.fullmatch(request.scope["raw_path"].decode("latin-1"))
    try:
        return f"gs://{bucket}/{unquote(match[1], errors='strict') if match else ''}"
    except UnicodeDecodeError as error:
        raise InvalidArgument.of("name", f"must be UTF-8 under its percent signs: {error}") from error


def _name_in_query(request: Request) -> str:
    """As sent: the framework's own reading would replace what is not UTF-8, and store under another name."""
    try:
        query: str = request.scope["query_string"].decode("latin-1")
        found = parse_qsl(query, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as error:
        raise InvalidArgument.of("name", f"must be UTF-8 under its percent signs: {error}") from error
    return dict(found).get("name", "")


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 18:
        raise InvalidArgument.of(name, f"must be a whole number, got {text[:40]!r}")
    return int(text)


def _bucket_resource(bucket: Bucket, asker: Principal) -> dict[str, Any]:
    """A bucket without a project has the number of the asker's: clients compare it with their own."""
    project = bucket.project or asker.project or resources.LOCAL_PROJECT
    return {
        "kind": "storage#bucket",
        "id": bucket.name,
        "name": bucket.name,
        "projectNumber": resources.project_number(project),
        "location": LOCATION,
        "locationType": "region",
        "storageClass": "STANDARD",
        "timeCreated": _time(bucket.created),
        "updated": _time(bucket.created),
        "metageneration": "1",
        "etag": "CAE=",
    }


def _object_resource(info: ObjectInfo) -> dict[str, Any]:
    resource = {
        "kind": "storage#object",
        "id": f"{info.bucket}/{info.name}/{info.generation}",
        "name": info.name,
        "bucket": info.bucket,
        "generation": str(info.generation),
        "metageneration": str(info.metageneration),
        "contentType": info.content_type,
        "storageClass": "STANDARD",
        "size": str(info.size),
        "md5Hash": info.md5,
        "crc32c": info.crc32c,
        "timeCreated": _time(info.created),
        "updated": _time(info.updated),
        "etag": str(info.generation),
    }
    return {name: value for name, value in resource.items() if value != ""}


def _marks(info: ObjectInfo) -> dict[str, str]:
    """Headers that say which version this is."""
    marks = {
        "ETag": f'"{info.generation}"',
        "X-Goog-Generation": str(info.generation),
        "X-Goog-Metageneration": str(info.metageneration),
        "X-Goog-Stored-Content-Length": str(info.size),
    }
    if info.md5:
        marks["X-Goog-Hash"] = f"crc32c={info.crc32c},md5={info.md5}"
    return marks


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
