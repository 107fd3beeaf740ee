"""How Vertex writes JSON, both ways: bodies read strictly, enums by name or number, times, pages, errors, operations.

In: the bytes of a body. Out: pydantic models with snake_case fields here and camelCase outside; plain dicts that
go out as JSON. A body that is wrong is InvalidArgument with a violation for each field, or the line and column at
which it stops being JSON. Knows no route and no store.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import fastapi
from fastapi import Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, TypeAdapter, ValidationError, WithJsonSchema
from pydantic.alias_generators import to_camel
from starlette.requests import ClientDisconnect

from tunesmith import catalog, filters, resources
from tunesmith.errors import Cancelled, InvalidArgument, TunesmithError, Violation
from tunesmith.instances import WHOLE, whole
from tunesmith.store import EVERYWHERE, Query

MAX_BODY_BYTES = 8 << 20
"""A pipeline job with its template has 20 KB."""
MAX_VIOLATIONS = 100
"""That one answer lists: a body of many megabytes can be wrong in half a million places."""

BODY_LIMIT_S = 60.0
"""From the head to the end of a body, however small the client's pieces: 8 MiB at 1 Mbit/s."""
MAX_DEPTH = 64
_ESCAPED = re.compile(r"\\u(0000|d[89a-f])", re.IGNORECASE)
"""How the characters below get into a JSON text, if they do."""
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""No database, and no encoder, takes a NUL or half of a surrogate pair."""
_LIST = re.compile(r"/locations/-/[a-zA-Z]+\Z")
DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000

HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "DATA_LOSS": 500,
    "UNAVAILABLE": 503,
}
CODES = {
    "CANCELLED": 1,
    "INVALID_ARGUMENT": 3,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "DATA_LOSS": 15,
    "UNAUTHENTICATED": 16,
}
"""Of google.rpc.Code, as they stand in a job's `error`."""


class Wire(BaseModel):
    """A body, or a part of one: camelCase or snake_case, and a field that is not known is an error."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, allow_inf_nan=False
    )


W = TypeVar("W", bound=Wire)


# Reading.


async def check_text(request: Request) -> None:
    """A dependency of every route: nothing in the URL that no name and no text may hold."""
    for name, value in [*request.path_params.items(), *request.query_params.multi_items()]:
        if "\0" in str(value):
            raise InvalidArgument.of(name, "holds a NUL character")
    if "project" in request.path_params:
        resources.check_project(request.path_params["project"])
    if "location" in request.path_params:
        _check_location(request, request.path_params["location"])


def _check_location(request: Request, location: str) -> None:
    """A region; in a list also `-`, which is every region."""
    if location != EVERYWHERE:
        resources.check_location(location)
    elif request.method != "GET" or _LIST.search(request.url.path) is None:
        raise InvalidArgument.of("location", "`-` stands for every region in lists only; name the one that is meant")


async def read_body(request: Request, limit_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The body, no longer than the limit; InvalidArgument if it is longer, compressed, or not said to be JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and kind != "application/json":
        raise InvalidArgument.of("Content-Type", f"must be application/json, got {kind!r}")
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise InvalidArgument.of("Content-Encoding", f"{encoding!r} is not read; send the body as it is")
    body = await read_bytes(request, limit_bytes)
    if body and not kind:
        raise InvalidArgument.of("Content-Type", "is missing; send application/json")
    return body


async def read_bytes(request: Request, limit_bytes: int = MAX_BODY_BYTES) -> bytes:
    """A body of any type. InvalidArgument if it is too long or too slow; Cancelled if its client goes away before."""
    too_long = InvalidArgument.of("body", f"is longer than {limit_bytes:,} bytes")
    if _said_length(request) > limit_bytes:
        raise too_long
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_LIMIT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit_bytes:
                    raise too_long
    except TimeoutError as error:
        raise InvalidArgument.of("body", f"did not arrive within {BODY_LIMIT_S:g} s") from error
    except ClientDisconnect as error:
        raise Cancelled("the client went away before the end of the body") from error
    return bytes(body)


def _said_length(request: Request) -> int:
    text = request.headers.get("content-length", "")
    return int(text) if text.isdecimal() else 0  # whether it is a number is the server's to check


def parse_json(body: bytes) -> Any:
    """The value of a body. An empty one is an empty object, as Google's front takes it."""
    if not body.strip():
        return {}
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidArgument.of("body", f"is not UTF-8: byte {error.start} is {body[error.start]:#04x}") from error
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_finite, parse_int=_in_64_bits
        )
    except json.JSONDecodeError as error:
        raise InvalidArgument.of("body", _position(text, error)) from error
    except RecursionError as error:
        raise InvalidArgument.of("body", f"is nested more than {MAX_DEPTH} deep") from error
    _check_depth(value)
    if _ESCAPED.search(text):
        _check_characters(value)
    return value


def read_as(kind: type[W], value: Any, where: str = "") -> W:
    """The value as a body of that kind; InvalidArgument lists everything that is wrong with it."""
    if not isinstance(value, Mapping):
        raise InvalidArgument.of(where or "body", f"must be a JSON object, got {_kind_of(value)}")
    try:
        return kind.model_validate(dict(value))
    except ValidationError as error:
        wrong = [_violation(e, kind, where) for e in error.errors()[:MAX_VIOLATIONS]]
        if error.error_count() > MAX_VIOLATIONS:
            wrong.append(Violation(where or "body", f"has {error.error_count() - MAX_VIOLATIONS:,} more faults"))
        raise InvalidArgument.of_all(wrong) from error


def body_of(kind: type[W]) -> Callable[[Request], Any]:
    """A dependency that reads the request's body as that kind."""

    async def read(request: Request) -> W:
        return read_as(kind, parse_json(await read_body(request)))

    return read


def documented(kind: type[Wire], *, required: bool = True) -> dict[str, Any]:
    """What the OpenAPI document says of a route that reads such a body."""
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": _inlined(kind)}}}}


def enum_name(value: Any, names: Sequence[str], prefix: str = "") -> str:
    """The name of an enum's value, given by name (with the prefix or not) or by number; ValueError if unknown."""
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and int(value) == value:
        if 0 <= int(value) < len(names):
            return names[int(value)]
    elif isinstance(value, str) and value.removeprefix(prefix) in names:
        return value.removeprefix(prefix)
    raise ValueError(f"must be one of {', '.join(prefix + name for name in names)}, got {value!r}")


_WHOLE_SCHEMA = {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": f"^{WHOLE}$"}]}
Whole = Annotated[int, BeforeValidator(whole), WithJsonSchema(_WHOLE_SCHEMA)]
"""A field of a body that holds a whole number, as any client writes one."""
Flag = Annotated[bool, Strict()]
"""A field of a body that is true or false, and no text or number that looks like it."""


class Encryption(Wire):
    """A customer's key. It encrypts nothing here: it is given back with what it came for."""

    kms_key_name: Annotated[str, Field(max_length=1024)]


# Writing.


def timestamp(time_s: float | None) -> str | None:
    """As `resources.rfc3339`; None stays None."""
    return None if time_s is None else resources.rfc3339(time_s)


def present(**fields: Any) -> dict[str, Any]:
    """The fields that have a value, as Google's JSON leaves the others out."""
    return {key: value for key, value in fields.items() if value or isinstance(value, int | float)}


_ANY: TypeAdapter[Any] = TypeAdapter(Any)


def page_of(content: Mapping[str, Any]) -> fastapi.Response:
    """As JSONResponse, in a third of its time: a page of jobs has 300 KB."""
    return fastapi.Response(_ANY.dump_json(content), media_type="application/json")


def status_of(error: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A stored error as google.rpc.Status."""
    if not error:
        return None
    return {"code": CODES.get(error["status"], 13), "message": error["message"]}


def error_body(error: TunesmithError, status: str | None = None) -> dict[str, Any]:
    """The body of an answer that is an error: google.rpc.Status with a violation for each field."""
    name = status or error.status
    details: list[dict[str, Any]] = []
    if isinstance(error, InvalidArgument) and error.violations:
        violations = [{"field": v.field, "description": v.message} for v in error.violations]
        details = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}]
    body = {"code": HTTP_STATUS.get(name, 500), "message": error.message, "status": name}
    return {"error": body | ({"details": details} if details else {})}


def masked(resource: Mapping[str, Any], read_mask: str) -> dict[str, Any]:
    """The parts of a resource that a readMask names: camelCase or snake_case paths with dots, or `*`."""
    if not read_mask or read_mask == "*":
        return dict(resource)
    kept: dict[str, Any] = {}
    for path in read_mask.split(","):
        _copy(resource, kept, [to_camel(filters.snake_case(part)) for part in path.strip().split(".") if part])
    return kept


# Lists.


@dataclass(frozen=True, slots=True)
class Listing:
    """The query arguments of a list, as a dependency: what is wanted of it, and how the next page is asked for."""

    filter_text: Annotated[str, fastapi.Query(alias="filter")] = ""
    order_by: Annotated[str, fastapi.Query(alias="orderBy")] = ""
    page_size: Annotated[int, fastapi.Query(alias="pageSize")] = 0
    page_token: Annotated[str, fastapi.Query(alias="pageToken")] = ""
    read_mask: Annotated[str, fastapi.Query(alias="readMask")] = ""

    def query(self, parent: str, convert: Callable[[str, str], filters.Value]) -> Query:
        """For the store. InvalidArgument for a token that belongs to another list, or to none."""
        said = self._said(parent)
        return Query(
            limit=_page_size(self.page_size),
            where=filters.parse(self.filter_text, convert),
            order=_order(self.order_by),
            position=_position_of(self.page_token, said) if self.page_token else (),
        )

    def token(self, parent: str, position: Sequence[Any]) -> str | None:
        """The token with which the next page is asked for; None on the last one."""
        if not position:
            return None
        body = json.dumps(list(position), separators=(",", ":")).encode()
        check = hashlib.sha256(self._said(parent) + body).digest()[:9]
        return base64.urlsafe_b64encode(check + body).decode().rstrip("=")

    def _said(self, parent: str) -> bytes:
        """What makes two lists the same."""
        return json.dumps([parent, self.filter_text, self.order_by]).encode()


def filter_value(field: str, text: str) -> filters.Value:
    """A value in a filter as the store holds it: times as seconds, resource names as their last part."""
    if field.endswith("_time"):
        return _seconds(text)
    return text.rpartition("/")[2] if field in ("name", "model", "endpoint") else text


def _seconds(text: str) -> float:
    """Of a time in RFC 3339, or a date; UTC unless it says otherwise."""
    time = datetime.fromisoformat(text)
    try:
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except OverflowError as error:
        raise ValueError(f"{text} is out of range") from error


def _position_of(token: str, said: bytes) -> list[Any]:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        check, body = raw[:9], raw[9:]
        if hashlib.sha256(said + body).digest()[:9] != check:
            raise ValueError("made for another list")
        position = parse_json(body)
        if not isinstance(position, list):
            raise ValueError("made by somebody else")
    except (ValueError, InvalidArgument) as error:
        raise InvalidArgument.of(
            "pageToken", "is not one of this list's; repeat the request that gave it, with the same filter and order"
        ) from error
    return position


def _page_size(asked: int) -> int:
    if asked == 0:
        return DEFAULT_PAGE_SIZE
    if asked < 0:
        raise InvalidArgument.of("pageSize", f"must be 0 (the default) or more, got {asked}")
    return min(asked, MAX_PAGE_SIZE)


def _order(text: str) -> list[tuple[str, bool]]:
    """`create_time desc, display_name` as fields and whether they fall."""
    order = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        field, _, way = part.partition(" ")
        if way.strip().lower() not in ("", "asc", "desc"):
            raise InvalidArgument.of("orderBy", f"{part!r}: after a field comes asc, desc or nothing")
        order.append((filters.snake_case(field), way.strip().lower() == "desc"))
    return order


# What is wrong, in words.


def _violation(error: Mapping[str, Any], kind: type[Wire], where: str) -> Violation:
    path = [str(part) for part in error["loc"]]
    field = ".".join(filter(None, [where, *[to_camel(p) if p.isidentifier() else p for p in path]])) or "body"
    if error["type"] == "extra_forbidden":
        near = catalog.nearest(path[-1], _names_at(kind, path[:-1]))
        return Violation(field, "is not a field of this" + (f"; did you mean {near}?" if near else ""))
    message = error["msg"].removeprefix("Value error, ")
    given = "" if error["type"] in ("missing", "value_error") else f", got {_kind_of(error['input'])}"
    return Violation(field, f"{message[0].lower()}{message[1:]}{given}")


def _names_at(kind: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Names that are known at a place in a body."""
    for part in path:
        found = next((f for n, f in kind.model_fields.items() if part in (n, f.alias)), None)
        inner = found.annotation if found is not None else None
        options = [inner, *getattr(inner, "__args__", ())]
        nested = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
        if not nested:
            return []
        kind = nested[0]
    return [field.alias or name for name, field in kind.model_fields.items()]


def _position(text: str, error: json.JSONDecodeError) -> str:
    line = text.split("\n")[error.lineno - 1].strip()
    shown = line if len(line) <= 60 else line[:57] + "..."
    return f"is not JSON: line {error.lineno}, column {error.colno}: {error.msg} (the line is: {shown})"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise InvalidArgument.of(twice, "stands twice in one JSON object")
    return found


def _constant(name: str) -> Any:
    raise InvalidArgument.of("body", f"{name[:30]} is not a number that JSON or anything else can hold")


def _finite(text: str) -> float:
    return float(text) if math.isfinite(float(text)) else _constant(text)


def _in_64_bits(text: str) -> int:
    if len(text) <= 20 and -(2**63) <= int(text) < 2**63:
        return int(text)
    raise InvalidArgument.of("body", f"{text[:30]} does not fit into 64 bits")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise InvalidArgument.of("body", f"is nested more than {MAX_DEPTH} deep")


def _check_characters(value: Any) -> None:
    if isinstance(value, str):
        if found := _UNSTORABLE.search(value):
            raise InvalidArgument.of("body", f"holds U+{ord(found.group()):04X}, which is no character of a text")
    elif isinstance(value, dict):
        _check_characters([*value, *value.values()])
    elif isinstance(value, list):
        for inner in value:
            _check_characters(inner)


def _kind_of(value: Any) -> str:
    names = {dict: "an object", list: "a list", type(None): "null", bool: "a boolean"}
    return names.get(type(value)) or (repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "...")


def _copy(source: Any, target: dict[str, Any], path: Sequence[str]) -> None:
    if not path or not isinstance(source, Mapping) or path[0] not in source:
        return
    head, rest = path[0], path[1:]
    if not rest or not isinstance(source[head], Mapping):
        target[head] = source[head]
        return
    _copy(source[head], target.setdefault(head, {}), rest)


def _inlined(kind: type[Wire]) -> dict[str, Any]:
    """The kind's JSON schema with its parts written where they are used."""
    schema = kind.model_json_schema(by_alias=True)
    parts = schema.pop("$defs", {})

    def inline(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return inline(parts[value["$ref"].rpartition("/")[2]])
            return {key: inline(inner) for key, inner in value.items()}
        return [inline(inner) for inner in value] if isinstance(value, list) else value

    return dict(inline(schema))
