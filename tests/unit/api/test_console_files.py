"""The console's files: what lies there, how it goes out, and that it is what was pinned and written."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import tunesmith
from tunesmith.api import console
from tunesmith.api.app import create_app
from tunesmith.settings import Settings

FOLDER = Path(tunesmith.__file__).parent / "console"
OURS = sorted(path for path in FOLDER.glob("*.js"))
TEXTS = {name: (FOLDER / f"texts.{name}.js").read_text("utf-8") for name in ("en", "ko")}
PAGES = [path for path in OURS if not path.name.startswith("texts.")]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(tmp_path_factory.mktemp("home"))), base_url="http://127.0.0.1") as found:
        yield found


def keys_of(text: str) -> dict[str, str]:
    return dict(re.findall(r'^  "([^"]+)": "((?:[^"\\]|\\.)*)",$', text, re.M))


@pytest.mark.parametrize("path", ["/", "/jobs", "/jobs/us-central1/tune-1", "/create", "/settings", "/signin"])
def test_every_address_shows_the_page_under_a_strict_policy(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "<script>" not in answer.text
    assert "style=" not in answer.text


def test_files_are_kept_for_good_under_a_name_made_of_their_content(client: TestClient) -> None:
    version = client.app.state.console.version  # type: ignore[attr-defined]
    answer = client.get(f"/console/{version}/app.js")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/javascript")
    assert client.get(f"/console/{'0' * 16}/app.js").status_code == 404


def test_a_browser_that_takes_it_gets_files_packed(client: TestClient) -> None:
    version = client.app.state.console.version  # type: ignore[attr-defined]
    with client.stream("GET", f"/console/{version}/parts.js", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        packed = b"".join(answer.iter_raw())
    assert gzip.decompress(packed) == (FOLDER / "parts.js").read_bytes()


@pytest.mark.parametrize(
    "path", ["../auth.py", "..%2fauth.py", "%2e%2e/auth.py", "vendor/../../cli.py", "/etc/passwd", ""]
)
def test_no_path_leads_out(client: TestClient, path: str) -> None:
    version = client.app.state.console.version  # type: ignore[attr-defined]
    assert client.get(f"/console/{version}/{path}").status_code == 404


def test_the_version_changes_with_any_file() -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", console.read().version)
    assert "{files}" not in console.read().page


def test_vendored_files_are_those_that_were_fetched() -> None:
    listed = {entry["file"]: entry for entry in json.loads((FOLDER / "vendor" / "vendor.json").read_text("utf-8"))}
    there = {path.name for path in (FOLDER / "vendor").iterdir()} - {"vendor.json"}
    assert there == set(listed)
    for name, entry in listed.items():
        assert hashlib.sha256((FOLDER / "vendor" / name).read_bytes()).hexdigest() == entry["sha256"], name
        assert f"{entry['package']}.LICENSE" in there


def test_both_languages_have_the_same_texts_with_the_same_values() -> None:
    english, korean = keys_of(TEXTS["en"]), keys_of(TEXTS["ko"])
    assert list(english) == list(korean)
    for key, text in english.items():
        assert set(re.findall(r"\{(\w+)\}", text)) == set(re.findall(r"\{(\w+)\}", korean[key])), key


def test_every_text_that_is_used_exists_and_every_one_is_used() -> None:
    english = keys_of(TEXTS["en"])
    said = "\n".join(path.read_text("utf-8") for path in PAGES)
    asked = set(re.findall(r'"([a-z][a-zA-Z]*(?:\.[\w-]+)+)"', said))
    begun = tuple(re.findall(r"`([a-z][a-zA-Z]*(?:\.[\w-]+)*\.)\$\{", said))
    unknown = {key for key in re.findall(r'\bt\("([^"]+)"', said) if key not in english}
    assert unknown == set()
    assert [key for key in english if key not in asked and not key.startswith(begun)] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_page_makes_elements_of_text(path: Path) -> None:
    text = path.read_text("utf-8")
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert way not in text


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_page_speaks_outside_of_the_texts(path: Path) -> None:
    templates = re.findall(r">([^<>`{}$]+)<", path.read_text("utf-8"))
    words = [text.strip() for text in templates if re.search(r"[A-Za-z]{3,} [A-Za-z]{2,}", text)]
    assert [text for text in words if "=>" not in text and "(" not in text and ";" not in text] == []
