"""Settings: keys made, shown once and ended; pools; what is installed. And signing in, where there are keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from console_pages import Console, checked, tune
from running_service import Service, running_service

TABS = ("General", "Keys", "Capacity", "Installation")


@pytest.fixture
def own_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One whose keys are nobody else's business."""
    with running_service(tmp_path_factory.mktemp("keys")) as running:
        yield running


@pytest.fixture
def keyed(browser: Browser, own_service: Service) -> Iterator[Console]:
    """The console of a service that will have keys."""
    yield from checked(browser, own_service.url)


def make_key(page: Page, name: str, role: str) -> str:
    """The secret, as the page showed it once."""
    page.get_by_role("button", name="New key").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_role("radio", name=role).check()
    dialog.get_by_role("button", name="Make the key").click()
    secret = dialog.locator("pre").inner_text()
    dialog.get_by_role("button", name="I have copied it").click()
    expect(dialog).to_have_count(0)
    return secret


def sign_in(page: Page, secret: str) -> None:
    page.get_by_label("Key", exact=True).fill(secret)
    page.keyboard.press("Enter")


def test_keys_from_the_first_to_the_last(keyed: Console) -> None:
    keyed.expected |= {"status 401"}
    page = keyed.open("/settings?tab=keys")
    expect(page.get_by_text("No key is in force")).to_be_visible()
    admin = make_key(page, "Dana <script>alert(1)</script>", "Admin")
    expect(
        page.get_by_role("cell", name="Dana <script>alert(1)</script>", exact=True)
    ).to_be_visible()  # still signed in
    expect(page.get_by_text(admin)).to_have_count(0)
    viewer = make_key(page, "Kim", "Viewer")

    other = keyed.open("/settings?tab=keys")
    sign_in(other, "tsk_wrong")
    expect(other.get_by_role("alert")).to_contain_text("That key is not in force")
    expect(other.get_by_label("Key", exact=True)).to_be_focused()
    sign_in(other, viewer)
    expect(other.get_by_text("your key has the role Viewer")).to_be_visible()

    page.get_by_role("button", name="Revoke Kim").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("Kim is revoked.")).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_label("Also revoked ones (1)").check()
    expect(page.get_by_role("row", name="Kim")).to_contain_text("Revoked")
    other.get_by_role("tab", name="Capacity").click()
    expect(other.get_by_text("Your session has ended.")).to_be_visible()
    sign_in(other, admin)
    expect(other.get_by_role("heading", name="Pools")).to_be_visible()


def test_a_secret_is_not_closed_by_the_way(keyed: Console) -> None:
    page = keyed.open("/settings?tab=keys")
    page.get_by_role("button", name="New key").press("Enter")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("Robin")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="The key Robin")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog.get_by_role("alert")).to_contain_text("It is not shown again.")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_signing_in_is_accessible(keyed: Console, own_service: Service, axe: Callable[[Page], None]) -> None:
    own_service.ask("POST", "/v1/keys", {"name": "somebody", "role": "viewer"})
    page = keyed.open("/jobs", width=390, height=844, language="ko-KR")
    expect(page.get_by_role("heading", name="\ub85c\uadf8\uc778")).to_be_visible()
    axe(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_capacity_shows_pools_and_what_waits(console: Console, service: Service) -> None:
    for number in range(3):
        tune(service, f"waiting-{number}", f"Waits {number}")
    page = console.open("/settings?tab=capacity")
    expect(page.get_by_role("article", name="GPU")).to_contain_text("8 of 8 devices in use")
    expect(page.get_by_role("table", name="Queue").get_by_role("link", name="Waits 2")).to_be_visible()


def test_what_is_installed_is_told(console: Console, service: Service) -> None:
    page = console.open("/settings?tab=installation")
    expect(page.get_by_text(service.ask("GET", "/v1/installation")["version"]).last).to_be_visible()
    expect(
        page.get_by_role("table", name="Base models").get_by_role("row", name="smollm2-135m-instruct")
    ).to_contain_text("On this machine")


def test_language_and_theme_are_chosen_with_the_keyboard(console: Console) -> None:
    page = console.open("/settings")
    page.get_by_role("radio", name="English").press("ArrowDown")
    expect(page.get_by_role("heading", name="\uc124\uc815")).to_be_visible()
    page.get_by_role("radio", name="\ubc1d\uac8c").press("ArrowDown")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    expect(page.get_by_role("radio", name="\uc5b4\ub461\uac8c")).to_be_checked()


def test_tabs_move_with_the_arrows_and_stay_over_a_reload(console: Console) -> None:
    page = console.open("/settings")
    page.get_by_role("tab", name="General").press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Capacity")).to_be_focused()
    page.reload()
    expect(page.get_by_role("tab", name="Capacity")).to_have_attribute("aria-selected", "true")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_settings_are_accessible_and_fit_a_small_screen(
    console: Console, axe: Callable[[Page], None], theme: str
) -> None:
    page = console.open("/settings", theme=theme, width=390, height=844)
    for tab in TABS:
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tabpanel", name=tab)).to_be_visible()
        expect(page.get_by_role("status", name="Loading")).to_have_count(0)
        axe(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
