"""The page of one job: as it runs, and what came of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from console_pages import BUCKET, Console, training_rows, tune
from running_service import Service, wait_until

HOSTILE = "<img src=x onerror=alert(2)>\"'><script>document.title='taken'</script>"
STEPS = 100_000
TABS = ("overview", "results", "data", "parameters", "log", "request")
EVALUATED = {"evaluation_data_uri": f"gs://{BUCKET}/evaluation.jsonl", "enable_early_stopping": False}


def ended(service: Service, path: str) -> str:
    """The state in which a job has come to rest."""
    states = ("SUCCEEDED", "FAILED", "CANCELLED")
    found: str = wait_until(lambda: next((s for s in states if service.ask("GET", path)["state"].endswith(s)), None))
    return found


@pytest.fixture(scope="module")
def done(service: Service) -> str:
    """A job that has succeeded, with as many points as a long one, and a log that nobody should trust."""
    path = tune(service, "page-done", HOSTILE, steps=4, evaluation_interval=2, **EVALUATED)
    assert ended(service, path) == "SUCCEEDED"
    attempt = service.home / "jobs" / "page-done" / "tune" / "attempt-1"
    with open(attempt / "metrics.jsonl", "a") as metrics:
        for step in range(5, STEPS + 1):
            loss = 900 if step == 77_777 else 1 + 1000 / step
            line = {"step": step, "wall_time": 1e9, "train_total_loss": loss}
            metrics.write(json.dumps({**line, "train_fraction_of_correct_next_step_preds": 1 / loss}) + "\n")
    with open(attempt / "log.txt", "ab") as log:
        log.write(b"".join(b"line %d of many\n" % number for number in range(900)))
        log.write(
            b"\x1b[31mred\x1b[0m \xff\xfe and \xe2\x80\xae turned " + b"x" * 10_000 + b"\n" + HOSTILE.encode() + b"\n"
        )
    return "/jobs/us-central1/page-done"


@pytest.fixture(scope="module")
def failed(service: Service) -> str:
    """A job whose data are no good."""
    rows = '{"input_text": "no answer"}\n' + training_rows(20) + "{not json\n"
    service.put(BUCKET, "bad.jsonl", rows)
    path = tune(service, "page-failed", "Bad data", dataset_uri=f"gs://{BUCKET}/bad.jsonl")
    assert ended(service, path) == "FAILED"
    return "/jobs/us-central1/page-failed"


@pytest.fixture(scope="module")
def running(service: Service, done: str, failed: str) -> Iterator[str]:
    """A job that trains for as long as the tests need it."""
    path = tune(service, "page-running", "Long", steps=50_000, evaluation_interval=50, **EVALUATED)
    wait_until(lambda: service.ask("GET", path)["tunesmith"].get("step"))
    yield "/jobs/us-central1/page-running"
    service.ask("POST", f"{path}:cancel", {}, expect=(200, 400, 404))


def figure(page: Page, label: str) -> str:
    box = page.locator(".figures > div", has=page.get_by_text(label, exact=True))
    return box.locator("dd").first.inner_text()


# What came of it.


def test_a_job_that_has_ended_says_what_it_made_and_how_good_it_is(console: Console, done: str) -> None:
    page = console.open(done)
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    expect(page.get_by_text("The tuned model is registered")).to_be_visible()
    expect(page.get_by_role("link", name="/models/")).to_have_attribute("href", re.compile(r"^/models/us-central1/\d+"))
    expect(page.locator(".job-task").filter(has_text="Succeeded")).to_have_count(5)
    assert figure(page, "Best accuracy").endswith("%")
    assert page.locator("img").count() == 0
    assert page.title().startswith("<img")


def test_a_zoom_stands_in_the_address_and_survives_a_reload(console: Console, done: str) -> None:
    page = console.open(done)
    expect(page.get_by_text("Steps measured: 100,000")).to_be_visible()
    expect(page.locator(".chart .u-over")).to_have_count(2)
    page.get_by_role("img", name="Loss").focus()
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(re.compile(r"from=\d.*to=\d"))
    expect(page.get_by_role("button", name="Show all")).to_have_count(2)
    page.reload()
    expect(page.get_by_role("button", name="Show all")).to_have_count(2)
    expect(page).to_have_url(re.compile(r"from=\d.*to=\d"))
    page.get_by_role("button", name="Show all").first.click()
    expect(page).not_to_have_url(re.compile("from="))
    expect(page.get_by_role("button", name="Show all")).to_have_count(0)


def test_what_is_zoomed_into_is_asked_for_finely(console: Console, done: str) -> None:
    page = console.open("/jobs")
    with page.expect_response(lambda answer: "fromStep" in answer.url) as asked:
        page.goto(f"{console.url}{done}?from=40000&to=41000")
    steps = asked.value.json()["series"]["train_total_loss"]["steps"]
    assert (steps[0], steps[-1]) == (39_500, 41_500)
    assert 1900 < len(steps) <= 2000


def test_no_peak_is_lost_among_a_hundred_thousand_points(console: Console, done: str) -> None:
    page = console.open("/jobs")
    with page.expect_response(lambda answer: ":metrics" in answer.url) as asked:
        page.goto(console.url + done)
    assert max(asked.value.json()["series"]["train_total_loss"]["values"]) == 900


def test_base_and_tuned_stand_side_by_side(console: Console, done: str) -> None:
    page = console.open(f"{done}?tab=results")
    table = page.get_by_role("table")
    expect(table.get_by_role("row", name="Held-out loss")).to_be_visible()
    expect(table.get_by_role("row", name="general code")).to_contain_text("95 %")
    expect(page.locator(".job-examples article")).to_have_count(3)
    expect(page.locator(".job-examples article").first).to_contain_text("Write the code in Python")


def test_chosen_parameters_stand_out_and_can_be_seen_alone(console: Console, done: str) -> None:
    page = console.open(f"{done}?tab=parameters")
    expect(page.get_by_role("row", name="train_steps")).to_contain_text("chosen the default is 300")
    expect(page.get_by_role("row", name="adapter_rank")).to_contain_text("default")
    page.get_by_label("Only what was chosen").check()
    expect(page.get_by_role("row", name="adapter_rank")).to_have_count(0)
    page.reload()
    expect(page.get_by_label("Only what was chosen")).to_be_checked()
    expect(page.get_by_role("row", name="train_steps")).to_be_visible()


def test_the_data_are_told_by_their_figures(console: Console, done: str) -> None:
    page = console.open(f"{done}?tab=data")
    expect(page.get_by_text(f"gs://{BUCKET}/train.jsonl")).to_be_visible()
    expect(page.locator(".facts > div", has_text="Examples")).to_contain_text("60 and 12 for evaluation")
    expect(page.get_by_role("row", name="Trained part")).to_be_visible()


def test_the_request_makes_the_same_job(console: Console, service: Service, done: str) -> None:
    page = console.open(f"{done}?tab=request")
    page.locator("figure.code", has_text="Tune again").get_by_role("button").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    body = json.loads(copied.partition("-d '")[2].removesuffix("'").replace("'\\''", "'"))
    job = service.ask("GET", "/v1/projects/local/locations/us-central1/pipelineJobs/page-done")
    assert body["runtimeConfig"] == job["runtimeConfig"]
    assert body["displayName"] == HOSTILE


# The log.


def test_a_log_is_text_whatever_it_holds(console: Console, done: str) -> None:
    page = console.open(f"{done}?tab=log&task=tune")
    lines = page.get_by_role("log")
    expect(lines.get_by_text(HOSTILE)).to_be_visible()
    odd = lines.get_by_text("turned")
    expect(odd).to_contain_text("red \ufffd\ufffd and \u27e8U+202E\u27e9 turned")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_a_log_is_searched_and_read_backwards(console: Console, done: str) -> None:
    page = console.open(f"{done}?tab=log&task=tune")
    lines = page.get_by_role("log")
    expect(lines.get_by_role("listitem")).to_have_count(500)
    page.get_by_role("button", name="Earlier lines").click()
    expect(page.get_by_text("line 0 of many", exact=True)).to_be_attached()
    page.get_by_role("searchbox").fill("LINE 77")
    expect(page.get_by_text("Lines found: 11")).to_be_visible()
    expect(lines.locator("mark").first).to_have_text("line 77")
    page.get_by_label("Which log").select_option(label="Check the data")
    expect(page).to_have_url(re.compile("task=validate-dataset"))


# What went wrong.


def test_bad_data_are_told_by_line_with_what_to_do(console: Console, failed: str) -> None:
    page = console.open(failed)
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("Problems in the data: 2")
    expect(problem.get_by_role("row").nth(1)).to_contain_text("output_text is missing")
    expect(problem.get_by_role("row").nth(1)).to_contain_text("add output_text")
    expect(problem.get_by_role("row").nth(2)).to_contain_text("22")
    expect(page.get_by_text("measured nothing")).to_be_visible()


def test_a_job_that_there_is_not_says_so(console: Console) -> None:
    console.expected.add("no-such-job")
    page = console.open("/jobs/us-central1/no-such-job")
    expect(page.get_by_role("heading", name="No such job").first).to_be_visible()
    page.get_by_role("link", name="All tuning jobs").click()
    expect(page).to_have_url(re.compile("/jobs[?]"))


def test_a_batch_of_predictions_has_a_page_too(console: Console, service: Service) -> None:
    service.put(BUCKET, "asked.jsonl", '{"prefix": "def f("}\n')
    body = {
        "displayName": "Nightly", "model": "publishers/google/models/code-bison@002",
        "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": [f"gs://{BUCKET}/asked.jsonl"]}},
        "outputConfig": {
            "predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": f"gs://{BUCKET}/answers"},
        },
    }  # fmt: skip
    made = service.ask("POST", "/v1/projects/local/locations/us-central1/batchPredictionJobs", body)
    page = console.open(f"/jobs/us-central1/{made['name'].rpartition('/')[2]}")
    expect(page.get_by_role("heading", name="Nightly")).to_be_visible()
    expect(page.get_by_text("Batch prediction")).to_be_visible()
    expect(page.get_by_text(f"gs://{BUCKET}/asked.jsonl")).to_be_visible()


# For everybody.


@pytest.mark.parametrize("tab", TABS)
def test_every_part_is_accessible(console: Console, done: str, axe: Callable[[Page], None], tab: str) -> None:
    page = console.open(f"{done}?tab={tab}", theme="dark" if tab in ("results", "log") else "light")
    expect(page.get_by_role("tabpanel")).not_to_be_empty()
    expect(page.locator(".skeleton")).to_have_count(0)
    axe(page)


@pytest.mark.parametrize("tab", TABS)
def test_every_part_fits_a_small_screen_in_korean(console: Console, done: str, tab: str) -> None:
    page = console.open(f"{done}?tab={tab}", width=390, height=844, language="ko-KR")
    expect(page.locator(".skeleton")).to_have_count(0)
    expect(page.get_by_role("tab", selected=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_parts_are_reached_with_the_keyboard(console: Console, done: str) -> None:
    page = console.open(done)
    page.get_by_role("tab", name="Overview").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Results")).to_be_focused()
    expect(page).to_have_url(re.compile("tab=results"))
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("tab", name="Request")).to_be_focused()


# As it runs.


def test_a_running_job_moves_by_itself(console: Console, running: str) -> None:
    page = console.open(running)
    expect(page.locator(".state").first).to_have_text("Running")
    first = figure(page, "Steps")
    expect(page.locator(".figures > div", has_text="Steps").locator("dd").first).not_to_have_text(first)
    measured = page.get_by_text("Steps measured").inner_text()
    expect(page.get_by_text(measured)).to_have_count(0)
    expect(page.get_by_text("Time left")).to_be_visible()


def test_a_log_follows_until_one_scrolls_up(console: Console, service: Service, running: str) -> None:
    log: Path = service.home / "jobs" / "page-running" / "tune" / "attempt-1" / "log.txt"
    page = console.open(f"{running}?tab=log")
    lines = page.get_by_role("log")
    expect(lines).to_be_visible()
    with open(log, "a") as file:
        file.write("".join(f"filling {number}\n" for number in range(200)))
    expect(lines.get_by_text("filling 199")).to_be_in_viewport()
    lines.evaluate("(box) => { box.scrollTop = 0; }")
    expect(page.get_by_text("Held where you read")).to_be_visible()
    with open(log, "a") as file:
        file.write("one more\n")
    page.get_by_role("button", name="New lines: 1").click()
    expect(lines.get_by_text("one more")).to_be_in_viewport()
    assert lines.get_by_text("filling 7", exact=True).count() == 1


def test_a_job_is_cancelled_and_deleted_and_a_second_tab_sees_it(
    console: Console, service: Service, running: str
) -> None:
    other = console.open(running)
    page = console.open(running)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".state").first).to_have_text("Cancelled")
    expect(other.locator(".state").first).to_have_text("Cancelled")
    page.get_by_role("button", name="Delete").click()
    console.expected.add("page-running")  # the other tab asks once more
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page).to_have_url(re.compile("/jobs[?]"))
    assert service.ask("GET", "/v1/projects/local/locations/us-central1/pipelineJobs/page-running", expect=404)
