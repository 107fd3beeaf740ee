"""The console's files: one page for every address of it, and what that page loads.

Read once, when the application is made, and served from memory; nothing in a request becomes a path. The files lie
below a name that is made of their content, so a browser keeps them for good and a new version has new addresses.
The page speaks only the public API: here is no route for it alone.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from importlib import resources as package_resources
from importlib.resources.abc import Traversable
from typing import NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from tunesmith.errors import NotFound

PLACE = "/console"
PAGES = ("", "jobs", "create", "compare", "datasets", "models", "try", "settings", "signin")
"""First parts of the addresses that people see; the page itself knows the rest."""

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS = {
    "Content-Security-Policy": _CSP,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
_FILE_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
_TYPES = {".js": "text/javascript", ".css": "text/css", ".json": "application/json", ".svg": "image/svg+xml"}

router = APIRouter(tags=["console"])


class File(NamedTuple):
    """A file as it goes out, and packed."""

    content: bytes
    packed: bytes
    media_type: str


class Console(NamedTuple):
    """Everything that the console consists of. `version`: of the content of all files."""

    version: str
    page: str
    files: dict[str, File]


def read() -> Console:
    """The console of this installation, from the package's own files."""
    found = dict(_walk(package_resources.files("tunesmith") / "console", ""))
    page = found.pop("index.html").decode()
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(f"{name} {len(found[name])}\n".encode() + found[name])
    version = digest.hexdigest()[:16]
    files = {name: File(content, gzip.compress(content, mtime=0), _type_of(name)) for name, content in found.items()}
    return Console(version, page.replace("{files}", f"{PLACE}/{version}"), files)


def show_page(request: Request) -> HTMLResponse:
    """The console: the same page at every address, which shows what the address names."""
    console: Console = request.app.state.console
    return HTMLResponse(console.page, headers=_PAGE_HEADERS)


for _page in PAGES:
    for _path in (f"/{_page}", f"/{_page}/{{rest:path}}") if _page else ("/",):
        router.add_api_route(_path, show_page, methods=["GET"], response_class=HTMLResponse, include_in_schema=False)


@router.get(PLACE + "/{version}/{path:path}", include_in_schema=False)
def show_file(request: Request, version: str, path: str) -> Response:
    """A file of the console; only of the version that is installed."""
    console: Console = request.app.state.console
    file = console.files.get(path) if version == console.version else None
    if file is None:
        raise NotFound(f"the console has no file {path!r} in version {version!r}; load the page again", name=path)
    headers = dict(_FILE_HEADERS, Vary="Accept-Encoding")
    if "gzip" in request.headers.get("accept-encoding", "") and len(file.packed) < len(file.content):
        return Response(file.packed, media_type=file.media_type, headers={**headers, "Content-Encoding": "gzip"})
    return Response(file.content, media_type=file.media_type, headers=headers)


def _walk(folder: Traversable, below: str) -> list[tuple[str, bytes]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _walk(entry, f"{below}{entry.name}/")
        else:
            found.append((below + entry.name, entry.read_bytes()))
    return found


def _type_of(name: str) -> str:
    ending = name[name.rfind(".") :] if "." in name else ""
    return _TYPES.get(ending) or mimetypes.guess_type(name)[0] or "text/plain"
