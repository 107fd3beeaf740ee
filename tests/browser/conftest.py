"""The console in Debian's Chromium, driven by Playwright, over a real service with the tiny model.

`console(path)` opens a page that fails its test on anything that a person would find in the browser's console: an
error, a request that failed, a script or style that the content security policy kept out. `axe` looks for what keeps
people from using a page.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from console_pages import BUCKET, Console, checked, training_rows
from running_service import ROOT, Service, running_service

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
AXE = "axe-core", "4.14.1"
AXE_SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="

# Long enough for a machine that does other things as well; nobody waits for it when all is well.
expect.set_options(timeout=30_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM is None:
        mark = pytest.mark.skip(reason="no chromium: `make browser` installs Debian's where it may")
        for item in items:
            if "tests/browser" in item.path.as_posix():
                item.add_marker(mark)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all pages; a test that ends it or needs keys starts its own."""
    with running_service(tmp_path_factory.mktemp("browser")) as running:
        running.put(BUCKET, "train.jsonl", training_rows(60))
        running.put(BUCKET, "evaluation.jsonl", training_rows(12, first=1000))
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture
def console(browser: Browser, service: Service) -> Iterator[Console]:
    """The console of the shared service."""
    yield from checked(browser, service.url)


@pytest.fixture(scope="session")
def axe() -> Callable[[Page], None]:
    """Fails on a serious or critical violation of what axe-core checks."""
    script = _axe_script()

    def look(page: Page) -> None:
        page.evaluate(script)  # as a tester's tool, past the page's own policy
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious = [
            f"{one['id']} ({one['impact']}): {node['html'][:200]} {node['failureSummary'][:300]}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]
        assert serious == []

    return look


def _axe_script() -> str:
    name, version = AXE
    kept = ROOT / "build" / f"{name}-{version}.min.js"
    if not kept.is_file():
        if shutil.which("npm") is None:
            pytest.skip("axe-core is fetched with npm, which is not installed")
        kept.parent.mkdir(exist_ok=True)
        folder = kept.parent / f".{name}-{os.getpid()}"
        folder.mkdir()
        try:
            subprocess.run(
                ["npm", "pack", f"{name}@{version}", "--silent"], cwd=folder, check=True, capture_output=True
            )
            _unpack(next(folder.glob("*.tgz")), kept)
        finally:
            shutil.rmtree(folder)
    return kept.read_text("utf-8")


def _unpack(archive: Path, kept: Path) -> None:
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert found == AXE_SHA512, f"{archive.name} is not the one that was pinned: {found}"
    with tarfile.open(archive) as members:
        file = members.extractfile("package/axe.min.js")
        assert file is not None
        unfinished = kept.with_suffix(".new")
        unfinished.write_bytes(file.read())
        unfinished.replace(kept)
