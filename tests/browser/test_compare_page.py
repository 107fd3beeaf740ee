"""Tuning jobs beside each other: chosen by name, kept in the address, told apart by letter, colour and dashes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from console_pages import BUCKET, Console, tune
from running_service import Service, wait_until

HOSTILE = "<img src=x onerror=alert(1)> \u202eadd 3 to <script>document.title='taken'</script>"
BOTH = "/compare?jobs=us-central1/compare-1,us-central1/compare-2"


def ended(state: str) -> str | None:
    return state if state.endswith(("SUCCEEDED", "FAILED", "CANCELLED")) else None


@pytest.fixture(scope="module")
def jobs(service: Service) -> None:
    """Two that have ended, scored on the same rows; they differ in their steps and in the rate."""
    rows = [{"input_text": f"{n}: {HOSTILE}", "output_text": f"total += {n}"} for n in range(10)]
    held_out = service.put(BUCKET, "compare.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    common = {"evaluation_data_uri": held_out, "evaluation_interval": 2, "enable_early_stopping": False}
    paths = [
        tune(service, "compare-1", "Payments, slowly", steps=4, **common),
        tune(
            service,
            "compare-2",
            "Payments, fast",
            steps=8,
            learning_rate_multiplier=4.0,
            **common,
        ),
    ]
    for path in paths:
        state = wait_until(lambda: ended(service.ask("GET", path)["state"]))
        assert state == "PIPELINE_STATE_SUCCEEDED"


def test_jobs_are_chosen_by_name_and_the_address_keeps_them(console: Console, jobs: None) -> None:
    page = console.open("/compare")
    page.get_by_role("searchbox").fill("payments")
    expect(page.get_by_role("checkbox")).to_have_count(2)
    page.get_by_role("checkbox", name="Payments, slowly").press("Space")
    page.get_by_role("checkbox", name="Payments, fast").press("Space")
    expect(page.get_by_text("2 of 8 chosen")).to_be_visible()
    page.get_by_role("button", name="Compare 2").click()
    expect(page.get_by_role("list", name="Jobs compared").get_by_role("listitem")).to_have_count(2)
    page.reload()
    expect(page.get_by_role("list", name="Jobs compared").get_by_role("link")).to_have_text(
        ["Payments, slowly", "Payments, fast"]
    )


def test_every_curve_has_its_figures_as_a_table(console: Console, jobs: None) -> None:
    page = console.open(BOTH)
    chart = page.locator("figure.chart", has_text="Loss, held-out rows").locator(".figures-of")
    chart.locator("summary").click()
    expect(chart.locator("thead th")).to_have_text(["Step", "A", "B"])
    expect(chart.locator("tbody th")).to_have_text(["0", "2", "4", "6", "8"])
    expect(chart.locator("tbody tr").last.locator("td").first).to_be_empty()


def test_parameters_show_what_differs_and_all_of_them_if_asked(console: Console, jobs: None) -> None:
    page = console.open(BOTH)
    table = page.get_by_role("region", name="Parameters")
    expect(table.get_by_role("row", name="Learning rate multiplier 1 default 4")).to_be_visible()
    expect(table.get_by_role("row", name="Seed")).to_have_count(0)
    page.get_by_label("Also what is the same").check()
    page.reload()
    expect(table.get_by_role("row", name="Seed 0 default 0 default")).to_be_visible()


def test_the_best_score_is_marked_and_differences_are_from_a_job_of_choice(console: Console, jobs: None) -> None:
    page = console.open(BOTH)
    row = page.get_by_role("region", name="Scores").get_by_role("row", name="Loss", exact=False).first
    expect(row.locator(".best")).to_have_count(1)
    expect(row.locator("td").nth(1).locator(".delta")).to_contain_text("better")
    page.get_by_label("Differences from").select_option(label="B \u00b7 Payments, fast")
    expect(row.locator("td").nth(1)).to_contain_text("the measure")
    page.reload()
    expect(row.locator("td").nth(1)).to_contain_text("the measure")


def test_answers_to_a_prompt_stand_beside_each_other_and_are_text(console: Console, jobs: None) -> None:
    page = console.open(BOTH)
    prompt = page.locator("article.prompt").first
    expect(prompt.locator(".answers figcaption")).to_contain_text(["Base model", "Payments, slowly", "Payments, fast"])
    expect(prompt.get_by_role("group", name="Prompt")).to_contain_text(HOSTILE)
    assert page.locator("img").count() == 0
    assert page.title() == "Compare jobs \u00b7 Tunesmith"


def test_a_job_that_is_gone_says_so_and_can_be_taken_out(console: Console, jobs: None) -> None:
    console.expected.add("/pipelineJobs/deleted")
    page = console.open("/compare?jobs=us-central1/compare-1,us-central1/deleted")
    expect(page.get_by_role("alert")).to_contain_text("us-central1/deleted is not there")
    page.get_by_role("button", name="Take deleted out").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_text("One job alone compares with its base model only.")).to_be_visible()


def test_no_more_than_eight_are_shown(console: Console, jobs: None) -> None:
    console.expected.add("/pipelineJobs/more-")
    more = "".join(f",us-central1/more-{n}" for n in range(9))
    page = console.open(BOTH + more)
    expect(page.get_by_text("the first 8 are shown")).to_be_visible()
    expect(page.get_by_role("list", name="Jobs compared").get_by_role("listitem")).to_have_count(8)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_comparing_is_accessible(console: Console, jobs: None, axe: Callable[[Page], None], theme: str) -> None:
    page = console.open(BOTH + "&every=1", theme=theme)
    expect(page.locator("article.prompt").first).to_be_visible()
    axe(page)
    page.get_by_role("button", name="Choose jobs").click()
    expect(page.get_by_role("dialog").get_by_role("checkbox").first).to_be_visible()
    axe(page)


def test_comparing_fits_a_small_screen_in_korean(console: Console, jobs: None) -> None:
    page = console.open(BOTH, width=390, height=844, language="ko-KR")
    expect(page.get_by_role("heading", name="\uc791\uc5c5 \ube44\uad50")).to_be_visible()
    expect(page.locator("article.prompt").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
