"""Data sets: built of a codebase, looked through file by file; buckets with their objects."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from console_pages import BUCKET, Console
from running_service import Service

HOSTILE = '<b>bold</b> & "quoted".py'
FUNCTION = '''def total_{n}(prices):
    """Adds up the prices of a basket, as the till number {n} of the shop does it."""
    result = {n}
    for price in prices:
        result += price * {n}
    return result
'''


@pytest.fixture(scope="module")
def archive(service: Service) -> str:
    """A small codebase in the bucket."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as members:
        files = {f"shop/till_{n}.py": FUNCTION.format(n=n) for n in range(30)}
        files |= {
            "shop/LICENSE": "MIT License\n\nCopyright (c) 2026 Shop\n\nPermission is hereby granted, free of charge\n"
        }
        files |= {"shop/notes.md": "# Notes\n", f"shop/{HOSTILE}": "x = 1\n"}
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            members.addfile(member, io.BytesIO(text.encode()))
    (service.home / "buckets" / BUCKET / "shop.tar.gz").write_bytes(packed.getvalue())
    return f"gs://{BUCKET}/shop.tar.gz"


@pytest.fixture(scope="module")
def built(service: Service, archive: str) -> str:
    """The address of a data set that is there."""
    body = {
        "displayName": "the shop",
        "codebaseSource": {"repository": archive},
        "outputConfig": {"gcsDestination": {"outputUriPrefix": f"gs://{BUCKET}/data"}},
        "options": {"licencePolicy": "permissive,unknown"},
    }
    made = service.ask("POST", "/v1/projects/local/locations/us-central1/datasetBuildJobs", body)
    return f"/datasets/us-central1/{made['name'].rpartition('/')[2]}"


def test_a_repository_becomes_a_data_set_that_can_be_looked_through(console: Console, archive: str) -> None:
    page = console.open("/datasets")
    page.get_by_role("button", name="Build from a repository").first.click()
    page.get_by_role("textbox", name="Repository").fill(archive)
    page.get_by_role("textbox", name="Name (optional)").fill("shop by hand")
    page.get_by_role("textbox", name="Licence policy").fill("permissive,unknown")
    page.get_by_role("button", name="Build", exact=True).click()
    expect(page.get_by_role("heading", name="shop by hand")).to_be_visible()
    expect(page.get_by_role("link", name="Tune with this")).to_be_visible(timeout=120_000)
    expect(page.get_by_text("33 of 33 files")).to_be_visible()


def test_the_account_of_files_is_searched_and_survives_a_reload(console: Console, built: str) -> None:
    page = console.open(built)
    page.get_by_role("searchbox", name="Search by path").fill("till_7")
    expect(page.get_by_text("1 of 33 files")).to_be_visible(timeout=120_000)
    page.reload()
    expect(page.get_by_text("1 of 33 files")).to_be_visible()


def test_a_path_is_text_whatever_it_holds(console: Console, built: str) -> None:
    page = console.open(f"{built}?path=bold")
    expect(page.get_by_text(HOSTILE)).to_be_visible(timeout=120_000)
    assert page.locator("b").count() == 0


def test_what_the_server_refuses_stands_at_its_field(console: Console) -> None:
    console.expected.add("status 400")
    page = console.open("/datasets")
    page.get_by_role("button", name="Build from a repository").first.click()
    page.get_by_role("textbox", name="Repository").fill("/etc")
    page.get_by_role("button", name="Build", exact=True).click()
    expect(page.get_by_role("textbox", name="Repository")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("alert")).to_be_visible()


def test_a_bucket_is_gone_through_and_takes_files(console: Console, service: Service, tmp_path: Path) -> None:
    (tmp_path / "more.jsonl").write_text("{}\n")
    service.put(BUCKET, "folder/inside.txt", "x")
    page = console.open("/datasets?tab=buckets")
    page.get_by_role("link", name=f"gs://{BUCKET}").click()
    page.get_by_role("button", name="folder/").click()
    expect(page.get_by_role("link", name="inside.txt")).to_be_visible()
    page.get_by_label("Upload files").last.set_input_files(tmp_path / "more.jsonl")
    expect(page.get_by_role("link", name="more.jsonl")).to_be_visible()
    assert (service.home / "buckets" / BUCKET / "folder" / "more.jsonl").read_text() == "{}\n"


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_the_pages_are_accessible(
    console: Console, built: str, axe: Callable[[Page], None], width: int, theme: str
) -> None:
    page = console.open(built, width=width, theme=theme)
    expect(page.get_by_text("33 of 33 files")).to_be_visible(timeout=120_000)
    axe(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.goto(f"{console.url}/datasets")
    expect(page.get_by_role("link", name="the shop")).to_be_visible()
    axe(page)
