"""Object storage by URI: gs://BUCKET/KEY and s3://BUCKET/KEY, kept here or at a provider.

A bucket is a folder below the root, ROOT/BUCKET, and an object is a plain file in it, ROOT/BUCKET/KEY, which a person
may put there and see. What `mapped` says for a bucket wins: another folder (file:///srv/data), or a real bucket
(s3://real/prefix, gs://real), reached through obstore with the provider's own environment credentials.

Everything else that is known of a local object lies in a hidden folder, which no URI can name:

    ROOT/.tunesmith/BUCKET/        (a mapped folder has its own: FOLDER/.tunesmith/)
        bucket.json                project and time of creation; a bucket without it was made by hand
        lock                       held while an object changes places; holds the last generation that was given
        drafts/TOKEN.part .json    bytes that are not an object yet, and what an unfinished upload is to become
        objects/ab/HASH-GENERATION.json    hashes and content type of one version of one object

The generation of a local object is its modification time in microseconds: `publish` gives each file a greater one
than any before, then renames it into place. So file and metadata can not be mistaken for another version's, whatever
dies in between, and a file that a person changed is a new version whose hashes are computed when asked and then kept.

No path leaves its folder: keys are checked, and folders are opened one by one without following symbolic links.
Several processes may work on one root. Used by the API and by tasks. Knows neither HTTP nor who may do what.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import errno
import fcntl
import hashlib
import io
import ipaddress
import itertools
import json
import mimetypes
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from tunesmith.errors import (
    Aborted,
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    TunesmithError,
    Unavailable,
)

SCHEMES = ("gs", "s3")
HIDDEN = ".tunesmith"
MAX_KEY_BYTES = 1024
# What file systems allow for one name; held at providers too, so that an object can be fetched into a folder.
MAX_SEGMENT_BYTES = 255
MAX_PAGE = 1000
CHUNK_BYTES = 1 << 20
# Up to here `open` computes hashes that nobody has asked for yet; above, the first byte would wait for seconds.
HASH_AT_ONCE_BYTES = 64 << 20
# Cloud Storage keeps an unfinished upload for a week. An hour is ample for a client that missed the last answer.
DRAFT_LIFE_S = 7 * 86_400.0
FINISHED_LIFE_S = 3_600.0
SWEEP_EVERY_S = 60.0
MAX_DRAFTS = 1000
# Of a provider that answers 5xx or nothing; about 10 s in all.
RETRIES = 4

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
# Dots, slashes, backslashes and NUL under percent signs, also twice or more.
_ESCAPED = re.compile(r"%(25)*(2e|2f|5c|00)", re.IGNORECASE)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\\\\\ud800-\udfff]")
_TOKEN = re.compile(r"[0-9a-f]{32}")
_ACCEPTED = "gs://BUCKET/OBJECT or s3://BUCKET/OBJECT"


class Uri(NamedTuple):
    """gs://BUCKET/KEY or s3://BUCKET/KEY"""

    scheme: str
    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}"


class Bucket(NamedTuple):
    name: str
    project: str | None
    """None for a folder that was made by hand and for a bucket that is mapped."""
    created: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of one version of an object; times in seconds since 1970."""

    bucket: str
    name: str
    generation: int
    metageneration: int
    size: int
    md5: str
    """Base64, as Cloud Storage writes it; empty while nobody has asked, and for what a provider holds."""
    crc32c: str
    """As md5: base64 of four bytes, big-endian."""
    content_type: str
    created: float
    updated: float


class Page(NamedTuple):
    """A part of a listing: objects, and common prefixes where a delimiter was given; both sorted."""

    items: list[ObjectInfo]
    prefixes: list[str]
    next_token: str
    """Empty at the end."""


class Entry(NamedTuple):
    """One line of a listing: a name with `/` behind it is a folder; without info, the object is gone again."""

    name: str
    info: ObjectInfo | None


class Opened(NamedTuple):
    """One version of an object, open: it stays whole when the object is replaced."""

    info: ObjectInfo
    read: Callable[[int, int], Iterator[bytes]]
    close: Callable[[], None]

    def chunks(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from start to before end, once, then closed. Aborted if a person changes the file meanwhile."""
        return self.read(start, self.info.size if end is None else end)


def parse_uri(text: str) -> Uri:
    """The parts of an object's URI; InvalidArgument for whatever is not plainly one."""
    scheme, mark, rest = text.partition("://")
    if not mark or scheme not in SCHEMES:
        raise _refused(text, f"must be {_ACCEPTED}; a file of this machine goes into a bucket's folder first")
    bucket, _, key = rest.partition("/")
    return Uri(scheme, check_bucket_name(bucket), check_key(key))


def parse_bucket_uri(text: str) -> Uri:
    """As `parse_uri` for gs://BUCKET; the key is empty."""
    scheme, mark, bucket = text.rstrip("/").partition("://")
    if not mark or scheme not in SCHEMES:
        raise _refused(text, "must be gs://BUCKET or s3://BUCKET")
    return Uri(scheme, check_bucket_name(bucket), "")


def check_bucket_name(name: str) -> str:
    """The same name; InvalidArgument unless Cloud Storage would take it."""
    if _BUCKET.fullmatch(name) is None or ".." in name or _is_address(name):
        raise _refused(
            name,
            "a bucket's name has 3 to 63 of a-z, 0-9, - _ and . , begins and ends with a letter or a digit,"
            " has no two dots in a row, and is no IP address",
        )
    return name


def check_key(key: str) -> str:
    """The same object name; InvalidArgument if it could mean anything but one file in its bucket."""
    if not key:
        raise _refused(key, f"names no object; must be {_ACCEPTED}")
    if _CONTROL.search(key) or _ESCAPED.search(key):
        raise _refused(key, "must have no backslash, no control character, and no escaped dot or slash")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise _refused(key, f"an object's name has at most {MAX_KEY_BYTES:,} bytes in UTF-8, got {len(key.encode()):,}")
    for segment in key.split("/"):
        if segment in ("", ".", "..", HIDDEN):
            raise _refused(
                key, f"must have no part that is empty, '.', '..' or {HIDDEN!r}; write a/b without extra '/'"
            )
        if len(segment.encode()) > MAX_SEGMENT_BYTES:
            raise _refused(key, f"each part between '/' has at most {MAX_SEGMENT_BYTES} bytes in UTF-8")
    return key


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _refused(value: str, message: str) -> InvalidArgument:
    # A name may be megabytes of anything; enough of it to be recognized.
    return InvalidArgument.of("uri", f"{message}; got {value[:200]!r}{'...' if len(value) > 200 else ''}")


class Sums:
    """Size, MD5 and CRC-32C of bytes as they pass."""

    def __init__(self) -> None:
        import google_crc32c

        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc32c = google_crc32c.Checksum()

    def add(self, data: bytes) -> None:
        self.size += len(data)
        self._md5.update(data)
        self._crc32c.update(data)

    @property
    def md5(self) -> str:
        return base64.b64encode(self._md5.digest()).decode()

    @property
    def crc32c(self) -> str:
        return base64.b64encode(self._crc32c.digest()).decode()


class Draft:
    """Bytes on their way to an object: a hidden file, locked, that only grows; `Storage.publish` ends it."""

    def __init__(self, path: Path, file: io.FileIO, notes: dict[str, Any], max_bytes: int | None) -> None:
        self.path = path
        self.notes = notes
        self.size = os.fstat(file.fileno()).st_size
        self._file = file
        self._max_bytes = max_bytes
        self._synced = False
        # Of a draft that is gone on with, the first bytes are not at hand: `sums` reads the file.
        self._sums = Sums() if self.size == 0 else None

    @property
    def token(self) -> str:
        return self.path.stem

    def write(self, data: bytes) -> None:
        """Adds bytes. InvalidArgument, and nothing is added, if there would be more than is allowed."""
        if self._max_bytes is not None and self.size + len(data) > self._max_bytes:
            raise InvalidArgument.of(
                "size", f"an object has at most {self._max_bytes:,} bytes here; send a smaller one"
            )
        with _disk(str(self.path)):
            left = memoryview(data)
            while left:
                written = self._file.write(left)
                left = left[written:]
        self.size += len(data)
        self._synced = False
        if self._sums is not None:
            self._sums.add(data)

    def sums(self) -> Sums:
        """Of all bytes so far, which are on disk when this returns."""
        with _disk(str(self.path)):
            if not self._synced:
                os.fsync(self._file.fileno())
                self._synced = True
            if self._sums is None:
                self._sums = _sums_of(_read_file(self._file, 0, self.size))
        return self._sums

    def stamp(self, generation: int) -> None:
        os.utime(self._file.fileno(), ns=(generation * 1000, generation * 1000))
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Keeps what is there, for `Storage.reopen`."""
        self._file.close()

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".json").unlink(missing_ok=True)
        self.close()


def _sums_of(chunks: Iterable[bytes]) -> Sums:
    sums = Sums()
    for chunk in chunks:
        sums.add(chunk)
    return sums


def _read_file(file: io.FileIO, start: int, end: int) -> Iterator[bytes]:
    while start < end and (data := os.pread(file.fileno(), min(CHUNK_BYTES, end - start), start)):
        yield data
        start += len(data)


class Storage:
    """All buckets of one installation. Safe to use from several threads and several processes."""

    def __init__(
        self, root: Path, mapped: Mapping[str, str] | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        """`mapped`: gs://BUCKET or s3://BUCKET -> file:///FOLDER, gs://REAL[/PREFIX] or s3://REAL[/PREFIX]."""
        self.root = root.absolute().resolve()
        self._clock = clock
        self._swept: dict[Path, float] = {}
        self._mapped: dict[tuple[str, str], _Folder | _Provider] = {}
        for name, target in (mapped or {}).items():
            uri = parse_bucket_uri(name)
            self._mapped[uri.scheme, uri.bucket] = _place_of(target, self._hidden(uri.bucket))

    # Buckets.

    def create_bucket(self, name: str, project: str | None) -> Bucket:
        """The new bucket; AlreadyExists if there is one of that name, also if it was made by hand or is mapped."""
        check_bucket_name(name)
        hidden = self._hidden(name)
        with _disk(str(self.root / name)), _locked(hidden):
            if ("gs", name) in self._mapped or os.path.lexists(self.root / name):
                raise AlreadyExists(f"bucket {name!r} exists already; use it, or choose another name")
            bucket = Bucket(name, project, self._clock())
            _write_whole(hidden / "bucket.json", {"project": project, "created": bucket.created})
            (self.root / name).mkdir()
            _sync_folder(self.root)
        return bucket

    def get_bucket(self, name: str) -> Bucket:
        """NotFound if there is no such bucket."""
        return self.bucket_of("gs", name)

    def bucket_of(self, scheme: str, name: str) -> Bucket:
        """As `get_bucket`, of that scheme: where it is not mapped, s3:// names the folder that gs:// does."""
        check_bucket_name(name)
        folder = self.root / name
        if (scheme, name) in self._mapped:
            return Bucket(name, None, 0.0)
        if folder.is_symlink() or not folder.is_dir():
            raise NotFound(f"no bucket {name!r}; create it, or make the folder {folder}", bucket=name)
        kept = _read_kept(self._hidden(name) / "bucket.json")
        return Bucket(name, kept.get("project"), kept.get("created", folder.stat().st_mtime))

    def list_buckets(self, project: str | None = None) -> list[Bucket]:
        """By name: those of the project, or all for None."""
        names = {bucket for scheme, bucket in self._mapped if scheme == "gs"}
        if self.root.is_dir():
            names |= {entry.name for entry in os.scandir(self.root) if entry.is_dir(follow_symlinks=False)}
        legal = sorted(name for name in names if _is_bucket_name(name))
        found = [self.get_bucket(name) for name in legal]
        return [bucket for bucket in found if project is None or bucket.project == project]

    def check_place(self, uri: str) -> None:
        """NotFound if the bucket of an object that is to be written is not there; other errors as for `draft`."""
        self.draft(_bucket_uri(parse_uri(uri))).discard()

    # Objects.

    def stat(self, uri: str, generation: int | None = None) -> ObjectInfo:
        """With hashes. NotFound if there is no such object, or if this is not its generation any more."""
        opened = self._open(parse_uri(uri), generation, hash_bytes=None)
        opened.close()
        return opened.info

    def open(self, uri: str, generation: int | None = None) -> Opened:
        """One version, to read; its info has no hashes where they are unknown and the object is large."""
        return self._open(parse_uri(uri), generation, hash_bytes=HASH_AT_ONCE_BYTES)

    def put(
        self,
        uri: str,
        chunks: Iterable[bytes],
        *,
        content_type: str = "",
        max_bytes: int | None = None,
        md5: str = "",
        crc32c: str = "",
        if_generation: int | None = None,
    ) -> ObjectInfo:
        """Writes an object as one step: readers see the old one or the new one, and a failure leaves the old one.

        InvalidArgument for more than `max_bytes` or for bytes that have not the given hashes. Aborted if the object's
        generation is not `if_generation`; 0 stands for: there is none.
        """
        draft = self.draft(_bucket_uri(parse_uri(uri)), max_bytes=max_bytes)
        try:
            for chunk in chunks:
                draft.write(chunk)
            return self.publish(
                draft, uri, content_type=content_type, md5=md5, crc32c=crc32c, if_generation=if_generation
            )
        finally:
            draft.discard()

    def delete(self, uri: str, if_generation: int | None = None) -> None:
        """NotFound if there is none; Aborted as for `put`."""
        parsed = parse_uri(uri)
        with _disk(uri):
            self._place(parsed).delete(parsed, if_generation)

    def list_objects(
        self, bucket: str, prefix: str = "", delimiter: str = "", page_token: str = "", page_size: int = MAX_PAGE
    ) -> Page:
        """Objects of gs://BUCKET whose names begin with the prefix, by name; hashes only where they are known.

        With the delimiter `/`, what lies deeper is told by its common prefix alone. A page holds at most `page_size`
        of both. What changes between two pages is seen or not; nothing comes twice.
        """
        if delimiter not in ("", "/"):
            raise InvalidArgument.of("delimiter", f"must be '/' or absent, got {delimiter[:20]!r}")
        if page_size < 1:
            raise InvalidArgument.of("maxResults", f"must be 1 or more, got {page_size}")
        uri, after, size = parse_bucket_uri(bucket), _page_start(page_token), min(page_size, MAX_PAGE)
        place = self._place(uri)
        with _disk(bucket):
            found = place.page(uri.bucket, prefix, delimiter == "/", after, size + 1)
        token = base64.urlsafe_b64encode(found[size - 1].name.encode()).decode() if len(found) > size else ""
        items = [entry.info for entry in found[:size] if entry.info is not None]
        return Page(items, [entry.name for entry in found[:size] if entry.name.endswith("/")], token)

    def fetch(self, uri: str, into: Path) -> Path:
        """A file of its own in the folder `into`, named as the object's last part: one whole version, verified.

        A copy, not a link: a person may write into the original. DataLoss if fewer bytes come than were promised, or
        others than the known CRC-32C says.
        """
        opened = self.open(uri)
        path = into / parse_uri(uri).key.rpartition("/")[2]
        temporary = into / f".{secrets.token_hex(8)}.part"
        try:
            with _disk(str(path)):
                into.mkdir(parents=True, exist_ok=True)
                sums = _copy(opened.chunks(), temporary)
            if sums.size != opened.info.size or opened.info.crc32c not in ("", sums.crc32c):
                raise DataLoss(f"{uri}: got {sums.size:,} of {opened.info.size:,} bytes, or other bytes; try again")
            os.replace(temporary, path)
        finally:
            opened.close()
            temporary.unlink(missing_ok=True)
        return path

    # Drafts: writing in several steps.

    def draft(self, bucket: str, *, max_bytes: int | None = None, notes: Mapping[str, Any] | None = None) -> Draft:
        """An empty draft for an object of gs://BUCKET. With notes it can be closed and gone on with: `reopen`.

        ResourceExhausted while too many are unfinished.
        """
        place = self._place(parse_bucket_uri(bucket))
        place.check()
        folder = place.hidden / "drafts"
        with _disk(str(folder)):
            folder.mkdir(parents=True, exist_ok=True)
            self._sweep(folder)
            if notes is not None and sum(1 for _ in folder.glob("*.part")) >= MAX_DRAFTS:
                raise ResourceExhausted(f"{bucket} has {MAX_DRAFTS:,} unfinished uploads; finish or cancel some first")
            path = folder / f"{secrets.token_hex(16)}.part"
            file = io.FileIO(path, "xb+")
            fcntl.flock(file, fcntl.LOCK_EX)
            if notes is not None:
                _write_whole(path.with_suffix(".json"), dict(notes))
        return Draft(path, file, dict(notes or {}), max_bytes)

    def reopen(self, bucket: str, token: str, max_bytes: int | None = None) -> Draft | ObjectInfo:
        """A draft that was closed, or the object that it has become; NotFound if it is unknown or has expired.

        Unavailable while somebody else writes it.
        """
        path = self._place(parse_bucket_uri(bucket)).hidden / "drafts" / f"{token}.part"
        notes = _read_kept(path.with_suffix(".json")) if _TOKEN.fullmatch(token) else {}
        if "finished" in notes:
            return ObjectInfo(**notes["finished"])
        try:
            file = io.FileIO(path, "rb+") if notes else None
        except FileNotFoundError:
            file = None
        if file is None:
            raise NotFound(f"no unfinished upload {token[:40]!r} in {bucket}: it was finished, cancelled or expired")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise Unavailable(f"another request is writing upload {token}; try again when it has ended") from error
        file.seek(0, os.SEEK_END)
        return Draft(path, file, notes, max_bytes)

    def publish(
        self,
        draft: Draft,
        uri: str,
        *,
        content_type: str = "",
        md5: str = "",
        crc32c: str = "",
        if_generation: int | None = None,
    ) -> ObjectInfo:
        """The object that the draft has become; errors as for `put`, and then the draft is still there."""
        parsed = parse_uri(uri)
        sums = draft.sums()
        for name, want, got in (("md5Hash", md5, sums.md5), ("crc32c", crc32c, sums.crc32c)):
            if want not in ("", got):
                raise InvalidArgument.of(name, f"{uri}: the bytes that arrived have {got}, not {want}; send them again")
        content_type = content_type or _content_type(parsed.key)
        with _disk(uri):
            info = self._place(parsed).accept(draft, parsed, content_type, if_generation, self._clock())
            if draft.notes:
                _write_whole(draft.path.with_suffix(".json"), {**draft.notes, "finished": asdict(info)})
        draft.close()
        return info

    def _sweep(self, folder: Path) -> None:
        # Looks at every draft of the bucket, so not at every call.
        now = self._clock()
        if now - self._swept.get(folder, -SWEEP_EVERY_S) < SWEEP_EVERY_S:
            return
        self._swept[folder] = now
        for path in list(folder.iterdir()):
            finished = path.suffix == ".json" and not path.with_suffix(".part").exists()
            with contextlib.suppress(FileNotFoundError):
                if now - path.stat().st_mtime > (FINISHED_LIFE_S if finished else DRAFT_LIFE_S):
                    path.unlink()

    def _open(self, uri: Uri, generation: int | None, hash_bytes: int | None) -> Opened:
        with _disk(str(uri)):
            opened = self._place(uri).open(uri, hash_bytes)
        if generation not in (None, opened.info.generation):
            opened.close()
            raise NotFound(f"{uri} has generation {opened.info.generation} now; {generation} is gone", uri=str(uri))
        return opened

    def _place(self, uri: Uri) -> _Folder | _Provider:
        place = self._mapped.get((uri.scheme, uri.bucket))
        return place or _Folder(self.root / uri.bucket, self._hidden(uri.bucket))

    def _hidden(self, bucket: str) -> Path:
        return self.root / HIDDEN / bucket


def _place_of(target: str, hidden: Path) -> _Folder | _Provider:
    scheme, mark, rest = target.partition("://")
    if mark and scheme == "file" and rest.startswith("/"):
        folder = Path(unquote(urlsplit(target).path)).resolve()
        return _Folder(folder, folder / HIDDEN)
    if mark and scheme in SCHEMES:
        bucket, _, prefix = rest.strip("/").partition("/")
        return _Provider(scheme, check_bucket_name(bucket), check_key(prefix) if prefix else "", hidden)
    raise _refused(target, "a bucket is mapped to file:///FOLDER, gs://BUCKET/PREFIX or s3://BUCKET/PREFIX")


def _bucket_uri(uri: Uri) -> str:
    return f"{uri.scheme}://{uri.bucket}"


def _is_bucket_name(name: str) -> bool:
    return _BUCKET.fullmatch(name) is not None and ".." not in name and not _is_address(name)


def _page_start(token: str) -> str:
    try:
        return base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise InvalidArgument.of("pageToken", f"is no token that a listing gave, got {token[:40]!r}") from error


def _content_type(key: str) -> str:
    return mimetypes.guess_type(key, strict=False)[0] or "application/octet-stream"


def _check_generation(uri: Uri, current: int, want: int | None) -> None:
    if want not in (None, current):
        raise Aborted(f"{uri} has generation {current or 'none'}, not {want}; look at it again", generation=current)


class _Folder:
    """A bucket in a folder of this machine."""

    def __init__(self, objects: Path, hidden: Path) -> None:
        self.hidden = hidden
        self._objects = objects

    def check(self) -> None:
        """NotFound unless the bucket is there."""
        if self._objects.is_symlink() or not self._objects.is_dir():
            raise NotFound(f"no bucket {self._objects.name!r}; create it, or make the folder {self._objects}")

    def open(self, uri: Uri, hash_bytes: int | None) -> Opened:
        file = self._open_file(uri)
        try:
            status = os.fstat(file.fileno())
            info = self._info(uri.bucket, uri.key, status)
            if not info.md5 and (hash_bytes is None or info.size <= hash_bytes):
                sums = _sums_of(_unchanged(file, 0, info.size, status, uri))
                info = replace(info, md5=sums.md5, crc32c=sums.crc32c)
                # A cache: a root that can not be written is as good to read.
                with contextlib.suppress(OSError):
                    self._keep(info, status.st_mtime_ns)
        except (OSError, TunesmithError):
            file.close()
            raise
        return Opened(info, lambda start, end: _closing(file, _unchanged(file, start, end, status, uri)), file.close)

    def page(self, bucket: str, prefix: str, by_folder: bool, after: str, count: int) -> list[Entry]:
        """At most `count` entries after `after`, in order; with `by_folder`, a folder that holds any object is one."""
        self.check()
        names = itertools.islice(self._walk([], prefix, by_folder, after), count)
        return [Entry(name, None if name.endswith("/") else self._known(bucket, name)) for name in names]

    def _known(self, bucket: str, key: str) -> ObjectInfo | None:
        """What is known without reading the object; None if it is gone."""
        *folders, name = key.split("/")
        try:
            with self._folder(folders) as parent:
                status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError:
            return None
        return self._info(bucket, key, status) if stat.S_ISREG(status.st_mode) else None

    def _walk(self, folders: list[str], prefix: str, by_folder: bool, after: str) -> Iterator[str]:
        for name in self._entries(folders):
            key = "/".join((*folders, name))
            if not name.endswith("/"):
                if key.startswith(prefix) and key > after:
                    yield key
            elif not key.startswith(prefix) and not prefix.startswith(key):
                continue
            elif by_folder and len(key) > len(prefix):
                if key > after and any(True for _ in self._walk([*folders, name[:-1]], "", False, "")):
                    yield key
            elif key >= after or after.startswith(key):
                yield from self._walk([*folders, name[:-1]], prefix, by_folder, after)

    def _entries(self, folders: list[str]) -> list[str]:
        """What lies in a folder, in the order of whole names: folders have a `/` behind them."""
        try:
            with self._folder(folders) as folder, os.scandir(folder) as entries:
                found = [e.name + "/" * e.is_dir(follow_symlinks=False) for e in entries if not _is_other(e)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for name in found if _is_key("/".join((*folders, name.rstrip("/")))))

    def accept(self, draft: Draft, uri: Uri, content_type: str, if_generation: int | None, now: float) -> ObjectInfo:
        self.check()
        with _locked(self.hidden) as lock:
            current = self._current(uri)
            _check_generation(uri, current, if_generation)
            generation = _next_generation(lock, now, current)
            draft.stamp(generation)
            sums, seconds = draft.sums(), generation / 1e6
            info = ObjectInfo(
                uri.bucket, uri.key, generation, 1, sums.size, sums.md5, sums.crc32c, content_type, seconds, seconds
            )
            kept = self._keep(info, generation * 1000)
            try:
                self._rename(draft.path, uri)
            except (OSError, TunesmithError):
                kept.unlink(missing_ok=True)
                self._prune(uri.key)
                raise
            if current:
                self._kept_path(uri.key, current).unlink(missing_ok=True)
        return info

    def delete(self, uri: Uri, if_generation: int | None) -> None:
        *folders, name = uri.key.split("/")
        self.check()
        with _locked(self.hidden):
            current = self._current(uri)
            if not current:
                raise _absent(uri)
            _check_generation(uri, current, if_generation)
            with self._folder(folders) as parent:
                os.unlink(name, dir_fd=parent)
                os.fsync(parent)
            self._kept_path(uri.key, current).unlink(missing_ok=True)
            self._prune(uri.key)

    def _rename(self, path: Path, uri: Uri) -> None:
        *folders, name = uri.key.split("/")
        try:
            with self._folder(folders, create=True) as parent:
                os.rename(path, name, dst_dir_fd=parent)
                os.fsync(parent)
        except (IsADirectoryError, NotADirectoryError, FileExistsError) as error:
            message = f"{uri}: a part of this name is an object, or this is a folder; in a folder a name is only one"
            raise FailedPrecondition(f"{message}. Choose another name") from error
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            message = f"{self._objects} lies on another file system than {self.hidden}"
            raise FailedPrecondition(f"{message}; map gs://{uri.bucket} to file://{self._objects}") from error

    def _prune(self, key: str) -> None:
        """Removes the folders that held only this object: an empty one would stand in the way of an object."""
        folders = key.split("/")[:-1]
        while folders:
            try:
                with self._folder(folders[:-1]) as parent:
                    os.rmdir(folders[-1], dir_fd=parent)
            except OSError:
                return
            folders.pop()

    def _current(self, uri: Uri) -> int:
        """The generation of the object that is there; 0 if there is none."""
        try:
            file = self._open_file(uri)
        except NotFound:
            return 0
        with file:
            return _generation(os.fstat(file.fileno()))

    def _open_file(self, uri: Uri) -> io.FileIO:
        *folders, name = uri.key.split("/")
        self.check()
        # Without O_NONBLOCK a pipe that somebody put there would hold us for ever.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            with self._folder(folders) as parent:
                descriptor = os.open(name, flags, dir_fd=parent)
        except OSError as error:
            raise self._why(error, uri) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise _absent(uri)
        return io.FileIO(descriptor, "rb")

    def _why(self, error: OSError, uri: Uri) -> Exception:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and self._has_link(uri.key):
            return PermissionDenied(f"{uri}: goes through a symbolic link, and links are not followed; map the folder")
        absent = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENXIO)
        return _absent(uri) if error.errno in absent else error

    def _has_link(self, key: str) -> bool:
        # Only for the message; nothing is opened by this path.
        path = self._objects / key
        return any(p.is_symlink() for p in (path, *path.parents) if p.is_relative_to(self._objects))

    @contextlib.contextmanager
    def _folder(self, folders: list[str], create: bool = False) -> Iterator[int]:
        """A descriptor of a folder of the bucket. No link is followed, also if one appears meanwhile."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._objects, flags)
        try:
            for name in folders:
                if create:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(name, dir_fd=descriptor)
                deeper = os.open(name, flags, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = deeper
            yield descriptor
        finally:
            os.close(descriptor)

    def _info(self, bucket: str, key: str, status: os.stat_result) -> ObjectInfo:
        generation = _generation(status)
        updated = generation / 1e6
        kept = _read_kept(self._kept_path(key, generation))
        if kept.get("size") != status.st_size or kept.get("mtime_ns") != status.st_mtime_ns:
            kept = {}
        md5, crc32c = kept.get("md5", ""), kept.get("crc32c", "")
        content_type = kept.get("content_type") or _content_type(key)
        return ObjectInfo(bucket, key, generation, 1, status.st_size, md5, crc32c, content_type, updated, updated)

    def _keep(self, info: ObjectInfo, mtime_ns: int) -> Path:
        path = self._kept_path(info.name, info.generation)
        kept = {"name": info.name, "size": info.size, "mtime_ns": mtime_ns, "content_type": info.content_type}
        _write_whole(path, {**kept, "md5": info.md5, "crc32c": info.crc32c})
        return path

    def _kept_path(self, key: str, generation: int) -> Path:
        digest = hashlib.sha256(key.encode()).hexdigest()
        return self.hidden / "objects" / digest[:2] / f"{digest}-{generation}.json"


def _generation(status: os.stat_result) -> int:
    return max(1, status.st_mtime_ns // 1000)


class _Provider:
    """A bucket of a real provider, or what lies below a prefix in it. Its drafts lie here."""

    def __init__(self, scheme: str, bucket: str, prefix: str, hidden: Path) -> None:
        self.hidden = hidden
        self._target = Uri(scheme, bucket, prefix)

    @cached_property
    def _store(self) -> Any:
        # 30 ms, and an HTTP client: only for those who have such a bucket. Credentials come from the environment.
        from obstore.store import GCSStore, S3Store

        # Plain http is for an endpoint of one's own, which only the environment can name.
        options = {"connect_timeout": "10s", "timeout": "300s", "allow_http": True}
        retry = {"max_retries": RETRIES, "retry_timeout": datetime.timedelta(seconds=60)}
        kind = GCSStore if self._target.scheme == "gs" else S3Store
        with _answered(self._target):
            return kind(
                self._target.bucket, prefix=self._target.key or None, client_options=options, retry_config=retry
            )

    def check(self) -> None:
        """Whether the bucket is there is seen when it is used."""

    def open(self, uri: Uri, hash_bytes: int | None) -> Opened:
        import obstore

        with _answered(uri):
            meta = obstore.head(self._store, uri.key)
        return Opened(_info_of(uri.bucket, meta), lambda start, end: self._read(uri, meta, start, end), lambda: None)

    def _read(self, uri: Uri, meta: Mapping[str, Any], start: int, end: int) -> Iterator[bytes]:
        import obstore

        if start >= end:
            return
        options: dict[str, Any] = {"range": (start, end)}
        if meta["e_tag"]:
            options["if_match"] = meta["e_tag"]
        with _answered(uri):
            for chunk in obstore.get(self._store, uri.key, options=options).stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)

    def page(self, bucket: str, prefix: str, by_folder: bool, after: str, count: int) -> list[Entry]:
        # A provider's prefix ends at a slash in obstore.
        folder = prefix.rpartition("/")[0] or None
        found = self._folders(bucket, folder) if by_folder else self._objects(bucket, folder, after)
        with _answered(self._target):
            kept = (entry for entry in found if entry.name.startswith(prefix) and entry.name > after)
            return list(itertools.islice(kept, count))

    def _folders(self, bucket: str, folder: str | None) -> Iterator[Entry]:
        import obstore

        # All of one folder at once: obstore has no pages here.
        found = obstore.list_with_delimiter(self._store, folder)
        entries = [Entry(f"{name.rstrip('/')}/", None) for name in found["common_prefixes"]]
        entries += [Entry(meta["path"], _info_of(bucket, meta)) for meta in found["objects"]]
        yield from sorted((e for e in entries if _is_key(e.name.rstrip("/"))), key=lambda entry: entry.name)

    def _objects(self, bucket: str, folder: str | None, after: str) -> Iterator[Entry]:
        import obstore

        for batch in obstore.list(self._store, folder, offset=after or None):
            yield from (Entry(meta["path"], _info_of(bucket, meta)) for meta in batch if _is_key(meta["path"]))

    def accept(self, draft: Draft, uri: Uri, content_type: str, if_generation: int | None, now: float) -> ObjectInfo:
        """Sends the whole draft. The generation is compared before, not at the provider: two writers may both win."""
        import obstore

        if if_generation is not None:
            _check_generation(uri, self._current(uri), if_generation)
        with _answered(uri):
            obstore.put(self._store, uri.key, draft.path, attributes={"Content-Type": content_type})
            info = _info_of(uri.bucket, obstore.head(self._store, uri.key))
        draft.path.unlink(missing_ok=True)
        sums = draft.sums()
        return replace(info, size=sums.size, md5=sums.md5, crc32c=sums.crc32c, content_type=content_type)

    def delete(self, uri: Uri, if_generation: int | None) -> None:
        import obstore

        current = self._current(uri)
        if not current:
            raise _absent(uri)
        _check_generation(uri, current, if_generation)
        with _answered(uri):
            obstore.delete(self._store, uri.key)

    def _current(self, uri: Uri) -> int:
        try:
            return self.open(uri, 0).info.generation
        except NotFound:
            return 0


def _info_of(bucket: str, meta: Mapping[str, Any]) -> ObjectInfo:
    """Of obstore's metadata. Where a provider counts no generations, the time of writing stands for one."""
    updated = meta["last_modified"].timestamp()
    version = meta["version"] or ""
    generation = int(version) if version.isdecimal() else max(1, round(updated * 1e6))
    name = meta["path"]
    return ObjectInfo(bucket, name, generation, 1, meta["size"], "", "", _content_type(name), updated, updated)


@contextlib.contextmanager
def _answered(uri: Uri) -> Iterator[None]:
    """What a provider says, as one of our errors."""
    from obstore import exceptions

    try:
        yield
    except FileNotFoundError as error:
        raise _absent(uri) from error
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        message = "the provider refuses; check the credentials in the server's environment"
        raise PermissionDenied(f"{uri}: {message} ({_first_line(error)})") from error
    except (exceptions.PreconditionError, exceptions.NotModifiedError, exceptions.AlreadyExistsError) as error:
        raise Aborted(f"{uri}: it changed meanwhile; begin again ({_first_line(error)})") from error
    except exceptions.InvalidPathError as error:
        raise _refused(str(uri), f"the provider takes no such name ({_first_line(error)})") from error
    except exceptions.BaseError as error:
        raise Unavailable(f"{uri}: the provider did not answer as it should ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    # obstore adds a page of its internals.
    return str(error).partition("\n")[0][:300]


def _absent(uri: Uri) -> NotFound:
    return NotFound(f"no object {uri}; look at its folder for the right name", uri=str(uri))


def _is_key(name: str) -> bool:
    try:
        check_key(name)
    except InvalidArgument:
        return False
    return True


def _is_other(entry: os.DirEntry[str]) -> bool:
    return not (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False))


def _unchanged(file: io.FileIO, start: int, end: int, before: os.stat_result, uri: Uri) -> Iterator[bytes]:
    """The file's bytes; Aborted at the end if somebody wrote into it since `before`."""
    yield from _read_file(file, start, end)
    after = os.fstat(file.fileno())
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise Aborted(f"{uri}: the file was changed while it was read; read it again")


def _closing(file: io.FileIO, chunks: Iterator[bytes]) -> Iterator[bytes]:
    with file:
        yield from chunks


def _copy(chunks: Iterable[bytes], path: Path) -> Sums:
    sums = Sums()
    with open(path, "xb") as file:
        for chunk in chunks:
            file.write(chunk)
            sums.add(chunk)
        file.flush()
        os.fsync(file.fileno())
    return sums


@contextlib.contextmanager
def _locked(hidden: Path) -> Iterator[int]:
    """Alone in the bucket, among all threads and processes; a process that dies lets go."""
    hidden.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(hidden / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _next_generation(lock: int, now: float, current: int) -> int:
    """Greater than all before, also where the clock was set back or the object was deleted in between."""
    text = os.pread(lock, 20, 0)
    last = int(text) if text.isdigit() else 0
    generation = max(int(now * 1e6), last + 1, current + 1)
    os.pwrite(lock, b"%020d" % generation, 0)
    return generation


def _read_kept(path: Path) -> dict[str, Any]:
    """A hidden JSON file; nothing if it is absent, or torn by a power cut: all in it can be found out again."""
    try:
        kept = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _write_whole(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            json.dump(value, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _disk(what: str) -> Iterator[None]:
    """What the file system says, as one of our errors."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE):
            raise ResourceExhausted(f"{what}: {error.strerror}; free some space, then try again") from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise FailedPrecondition(f"{what}: {error.strerror}; let the server's user read and write there") from error
        if error.errno in (errno.EIO, errno.ESTALE, errno.ETIMEDOUT):
            raise Unavailable(f"{what}: {error.strerror}; look at the disk, then try again") from error
        raise
