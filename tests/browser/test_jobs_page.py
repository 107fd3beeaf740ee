"""The list of tuning jobs, and the frame around it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from console_pages import Console, tune
from running_service import Service

HOSTILE = "<img src=x onerror=alert(1)>\"'><script>document.title='taken'</script>"


@pytest.fixture(scope="module")
def jobs(service: Service) -> None:
    """A few jobs that nobody waits for; they end soon."""
    tune(service, "list-1", "Payments, first try")
    tune(service, "list-2", HOSTILE)


def test_jobs_appear_by_themselves(console: Console, service: Service, jobs: None) -> None:
    page = console.open("/")
    expect(page).to_have_url(console.url + "/jobs?project=local")
    expect(page.get_by_role("link", name="Payments, first try")).to_be_visible()
    tune(service, "list-3", "Appeared later")
    expect(page.get_by_role("link", name="Appeared later")).to_be_visible()


def test_a_search_and_its_order_survive_a_reload(console: Console, jobs: None) -> None:
    page = console.open("/jobs")
    page.get_by_role("searchbox").fill("payments")
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("button", name="Name").click()
    page.reload()
    expect(page.get_by_role("searchbox")).to_have_value("payments")
    expect(page.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "descending")
    expect(page.get_by_role("row")).to_have_count(2)


def test_a_name_is_text_whatever_it_holds(console: Console, jobs: None) -> None:
    page = console.open("/jobs")
    expect(page.get_by_text(HOSTILE)).to_be_visible()
    assert page.title() == "Tuning jobs \u00b7 Tunesmith"
    assert page.locator("img").count() == 0


def test_nothing_found_says_how_to_see_all_again(console: Console, jobs: None) -> None:
    page = console.open("/jobs?q=no-such-job")
    page.get_by_role("button", name="Show all").click()
    expect(page.get_by_role("link", name="Payments, first try")).to_be_visible()


def test_a_project_without_jobs_says_what_to_do_next(console: Console) -> None:
    page = console.open("/jobs?project=empty-project")
    expect(page.get_by_role("heading", name="No tuning jobs yet")).to_be_visible()
    expect(page.get_by_role("link", name="New tuned model").first).to_be_visible()


def test_the_language_changes_at_once_and_stays(console: Console, jobs: None) -> None:
    page = console.open("/jobs")
    page.get_by_label("Language").select_option("ko")
    expect(page.get_by_role("heading", name="\ud29c\ub2dd \uc791\uc5c5")).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "ko"
    page.reload()
    expect(page.get_by_role("heading", name="\ud29c\ub2dd \uc791\uc5c5")).to_be_visible()


def test_a_browser_in_korean_begins_in_korean(console: Console) -> None:
    page = console.open("/jobs", language="ko-KR")
    expect(page.get_by_role("navigation", name="\uc8fc \uba54\ub274")).to_be_visible()


def test_a_small_screen_has_a_menu_and_no_sideways_scrolling(console: Console, jobs: None) -> None:
    page = console.open("/jobs", width=390, height=844)
    expect(page.get_by_role("link", name="Payments, first try")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Menu").click()
    expect(page.get_by_role("navigation", name="Main").get_by_role("link", name="Tuning jobs")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("navigation", name="Main")).to_be_hidden()


def test_the_keyboard_reaches_a_job_and_its_menu(console: Console, jobs: None) -> None:
    page = console.open("/jobs?q=payments")
    menu = page.get_by_role("button", name="Actions for Payments, first try")
    menu.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Tune again with changes")).to_be_focused()
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_list_is_accessible(console: Console, jobs: None, axe: Callable[[Page], None], theme: str) -> None:
    page = console.open("/jobs", theme=theme)
    expect(page.get_by_role("link", name="Payments, first try")).to_be_visible()
    axe(page)


def test_an_address_that_is_none_says_so(console: Console) -> None:
    page = console.open("/settings/no-such-page")
    expect(page.get_by_role("heading", name="There is nothing here").first).to_be_visible()


def test_the_first_page_is_small(console: Console) -> None:
    page = console.open("/jobs")
    page.wait_for_load_state("networkidle")
    sizes = page.evaluate("performance.getEntries().map((entry) => entry.transferSize ?? 0)")
    assert 0 < sum(sizes) < 150_000
