"""The wizard that makes a tuned model: from a file on somebody's disk to a job that runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.sync_api import Page, Route, expect

from console_pages import BUCKET, Console, training_rows, tune
from made_codebase import make_codebase
from running_service import PATHS, Service, wait_until

HOSTILE = "<img src=x onerror=alert(1)>\"'><script>document.title='taken'</script>"
JOBS = "/v1/projects/local/locations/us-central1/pipelineJobs"
DATA = f"gs://{BUCKET}/train.jsonl"
EVALUATION = f"gs://{BUCKET}/evaluation.jsonl"


@pytest.fixture(scope="module", autouse=True)
def _no_job_goes_on(service: Service) -> Iterator[None]:
    """What these tests have started need not be waited for by others."""
    yield
    for job in service.ask("GET", f"{JOBS}?pageSize=100")["pipelineJobs"]:
        name = job["name"].rpartition("/")[2]
        if name.startswith(("tune-2", "tune-large", "cloned")) and "endTime" not in job:
            service.ask("POST", f"{JOBS}/{name}:cancel", {}, expect=(200, 400))


def onward(page: Page, step: str) -> None:
    """Continues; the next step's heading is there, and has the focus."""
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name=step, level=2)).to_be_focused()


def named(page: Page, name: str, steps: str = "300") -> None:
    """Fills in the first step."""
    page.get_by_label("Tuned model name").fill(name)
    if steps != "300":
        page.get_by_text("Advanced options").click()
        page.get_by_label("Training steps").fill(steps)


def submitted(service: Service, name: str) -> dict[str, object]:
    """What the newest job of that name asked for."""
    found = service.ask("GET", f"{JOBS}?pageSize=100")["pipelineJobs"]
    job = next(job for job in found if job["displayName"] == name)
    values: dict[str, object] = job["runtimeConfig"]["parameterValues"]
    return values


def begun(console: Console, name: str, steps: str = "3", **how: str | int) -> Page:
    """The review of a job on the data in the bucket."""
    page = console.open(f"/create?dataset={DATA}", **how)  # type: ignore[arg-type]
    named(page, name, steps)
    onward(page, "Tuning data")
    expect(page.get_by_text("60 examples, none of them wrong.")).to_be_visible()
    onward(page, "Evaluation")
    onward(page, "Review and start")
    expect(page.get_by_role("heading", name="What it will take")).to_be_visible()
    return page


def test_the_data_can_be_built_from_a_repository(console: Console, service: Service) -> None:
    make_codebase(service.home / "buckets" / BUCKET / "shop", packages=1)
    page = console.open("/create?step=data")
    page.get_by_label("Build from a repository").check()
    page.get_by_label("Repository", exact=True).fill(f"gs://{BUCKET}/shop/")
    page.get_by_label("Licences taken").select_option("permissive,unknown")
    page.get_by_role("button", name="Build the data").click()
    expect(page.locator(".built")).to_be_visible()
    page.reload()
    expect(page.locator(".built")).to_contain_text("Succeeded", timeout=120_000)
    expect(page.locator(".built")).to_contain_text("train.jsonl")
    expect(page.locator(".report")).to_contain_text("examples")
    page.get_by_role("button", name="Evaluation").click()
    expect(page.get_by_label("Enable model evaluation")).to_be_checked()
    expect(page.get_by_label("File", exact=True)).to_have_value(re.compile("evaluation.jsonl$"))


def test_a_file_becomes_a_job(console: Console, service: Service, tmp_path: Path) -> None:
    file = tmp_path / "payments.jsonl"
    file.write_text(training_rows(40, first=5000))
    page = console.open("/create")
    named(page, "From a file", "3")
    onward(page, "Tuning data")
    page.locator('input[type="file"]').set_input_files(file)
    expect(page.get_by_text("40 examples, none of them wrong.")).to_be_visible()
    expect(page.get_by_role("complementary")).to_contain_text("3 steps \u00d7 8 = 24 examples seen")
    expect(page.get_by_role("complementary")).to_contain_text("0.6 epochs")
    onward(page, "Evaluation")
    page.get_by_label("Enable model evaluation").check()
    page.get_by_label("Existing JSONL file in a bucket").check()
    page.get_by_label("File", exact=True).fill(EVALUATION)
    page.get_by_label("Evaluation interval").fill("2")
    page.get_by_label("Enable early stopping").uncheck()
    expect(page.get_by_text("12 examples, none of them wrong.")).to_be_visible()
    onward(page, "Review and start")
    expect(page.get_by_text("With less than one epoch")).to_be_visible()
    page.get_by_role("button", name="Start tuning").click()
    expect(page).to_have_url(re.compile(r"/jobs/us-central1/tune-\d{14}-\w+\?project=local$"))
    values = submitted(service, "From a file")
    assert values["dataset_uri"] == f"gs://{BUCKET}/data/payments.jsonl"
    assert (values["train_steps"], values["evaluation_interval"]) == (3, 2)
    assert (values["evaluation_data_uri"], values["enable_early_stopping"]) == (EVALUATION, False)


def test_a_bad_file_is_shown_by_line_and_does_not_start(console: Console, service: Service) -> None:
    rows = [json.dumps({"input_text": HOSTILE, "output_text": ""}), "{not json", training_rows(20, first=70)]
    service.put(BUCKET, "bad.jsonl", "\n".join(rows))
    page = console.open(f"/create?step=data&dataset=gs://{BUCKET}/bad.jsonl")
    errors = page.locator(".findings.bad li")
    expect(errors).to_have_count(2)
    expect(errors.nth(0)).to_contain_text("Line 1")
    expect(errors.nth(0)).to_contain_text("onerror=alert(1)")
    expect(errors.nth(1)).to_contain_text("{not json")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_label("File", exact=True)).to_be_focused()
    expect(page.get_by_text("The check found errors: 2.")).to_be_visible()
    assert page.title() == "New tuned model \u00b7 Tunesmith"
    assert page.locator("img").count() == 0


def test_data_that_were_mended_are_checked_again(console: Console, service: Service) -> None:
    service.put(BUCKET, "mended.jsonl", "{not json\n" + training_rows(20, first=100))
    page = console.open(f"/create?step=data&dataset=gs://{BUCKET}/mended.jsonl")
    expect(page.get_by_text("A job would refuse these data.")).to_be_visible()
    service.put(BUCKET, "mended.jsonl", training_rows(21, first=100))
    page.get_by_role("button", name="Check again").click()
    expect(page.get_by_text("21 examples, none of them wrong.")).to_be_visible()


def test_a_reload_loses_nothing_and_back_is_the_step_before(console: Console) -> None:
    page = console.open("/create")
    named(page, HOSTILE, "123")
    onward(page, "Tuning data")
    page.reload()
    expect(page.get_by_role("heading", name="Tuning data", level=2)).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Tuned model name")).to_have_value(HOSTILE)
    expect(page.get_by_label("Training steps")).to_have_value("123")
    page.get_by_role("button", name="Start over").click()
    expect(page.get_by_label("Tuned model name")).to_have_value("")


def test_data_that_are_not_there_stop_it_at_once(console: Console) -> None:
    console.expected.add("datasets:check")
    page = console.open(f"/create?step=data&dataset=gs://{BUCKET}/no-such.jsonl")
    expect(page.get_by_text("The data could not be checked")).to_be_visible()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_label("File", exact=True)).to_have_attribute("aria-invalid", "true")


def test_what_is_missing_is_said_at_its_field(console: Console) -> None:
    page = console.open("/create")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_label("Tuned model name")).to_be_focused()
    expect(page.get_by_text("Give the model a name.")).to_be_visible()
    page.get_by_role("button", name="Review and start").click()
    expect(page.get_by_text("Choose the data to tune on.")).to_be_visible()
    page.get_by_role("button", name="Start tuning").click()
    expect(page.get_by_label("Tuned model name")).to_be_focused()


def test_what_the_server_refuses_is_said_at_its_field(console: Console) -> None:
    console.expected.add("pipelineJobs:estimate")
    page = console.open(f"/create?dataset={DATA}")
    named(page, "Too fast", "4")
    page.get_by_label("Learning rate multiplier").fill("1000")
    page.get_by_role("button", name="Review and start").click()
    refused = page.locator(".unfinished")
    expect(refused).to_contain_text("less than or equal to 100")
    refused.get_by_role("button", name="Model details").click()
    expect(page.get_by_label("Learning rate multiplier")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Learning rate multiplier").fill("2")
    expect(page.get_by_label("Learning rate multiplier")).not_to_have_attribute("aria-invalid", "true")


def test_several_step_counts_are_several_jobs_to_compare(console: Console, service: Service) -> None:
    page = begun(console, "Sweep", "2, 3")
    expect(page.locator("table.costs tbody tr")).to_have_count(2)
    page.get_by_role("button", name="Start 2 jobs").click()
    expect(page).to_have_url(re.compile(r"/compare\?"))
    jobs = re.findall(r"us-central1/tune-\d{14}-\w+-(\d)", unquote(page.url))
    assert jobs == ["2", "3"]
    assert submitted(service, "Sweep, 3 steps")["train_steps"] == 3


def test_a_job_is_tuned_again_with_changes(console: Console, service: Service) -> None:
    tune(service, "cloned", "Payments", steps=7, learning_rate_multiplier=2.5, evaluation_data_uri=EVALUATION,
         evaluation_interval=5, enable_checkpoint_selection="false")  # fmt: skip
    page = console.open("/create?from=us-central1/cloned")
    expect(page.get_by_label("Tuned model name")).to_have_value("Payments 2")
    expect(page.get_by_label("Training steps")).to_have_value("7")
    expect(page.get_by_label("Learning rate multiplier")).to_have_value("2.5")
    page.get_by_label("Training steps").fill("6")
    page.get_by_role("button", name="Review and start").click()
    expect(page.get_by_role("heading", name="What it will take")).to_be_visible()
    page.get_by_role("button", name="Start tuning").click()
    expect(page).to_have_url(re.compile("/jobs/us-central1/tune-"))
    assert submitted(service, "Payments 2") == {
        **submitted(service, "Payments"), "model_display_name": "Payments 2", "train_steps": 6,
        "accelerator_type": "GPU", "enable_early_stopping": True,
    }  # fmt: skip


def test_an_upload_replaces_nothing_unless_one_says_so(console: Console, service: Service, tmp_path: Path) -> None:
    console.expected.add("ifGenerationMatch=0")
    service.put(BUCKET, "data/taken.jsonl", training_rows(15))
    file = tmp_path / "taken.jsonl"
    file.write_text(training_rows(30))
    page = console.open("/create?step=data")
    page.locator('input[type="file"]').set_input_files(file)
    page.get_by_role("button", name=re.compile("Upload as taken-")).click()
    expect(page.get_by_text("30 examples, none of them wrong.")).to_be_visible()
    assert (service.home / "buckets" / BUCKET / "data" / "taken.jsonl").read_text() == training_rows(15)


def test_a_mended_file_takes_the_place_of_the_bad_one(console: Console, tmp_path: Path) -> None:
    console.expected.add("ifGenerationMatch=0")
    file = tmp_path / "mend-me.jsonl"
    file.write_text("{not json\n" + training_rows(20))
    page = console.open("/create?step=data")
    page.locator('input[type="file"]').set_input_files(file)
    expect(page.get_by_text("A job would refuse these data.")).to_be_visible()
    file.write_text(training_rows(20))
    page.get_by_role("button", name="Another file").click()
    page.locator('input[type="file"]').set_input_files(file)
    page.get_by_role("button", name="Replace it").click()
    expect(page.get_by_text("20 examples, none of them wrong.")).to_be_visible()


def test_an_upload_that_breaks_off_goes_on_where_it_was(console: Console, service: Service, tmp_path: Path) -> None:
    console.expected.add("failed:")
    file = tmp_path / "large.jsonl"
    file.write_text(training_rows(12) + json.dumps({"input_text": "Write the code", "output_text": "x" * 5_000_000}))
    sent: list[str] = []

    def flaky(route: Route) -> None:
        span = route.request.headers.get("content-range", "")
        sent.append(span)
        if len(sent) == 2:
            route.abort("connectionreset")
        else:
            route.continue_()

    page = console.open("/create?step=data")
    page.route("**/upload/**upload_id=**", flaky)
    page.locator('input[type="file"]').set_input_files(file)
    expect(page.get_by_label("File", exact=True)).to_have_value(f"gs://{BUCKET}/data/large.jsonl")
    assert (service.home / "buckets" / BUCKET / "data" / "large.jsonl").read_bytes() == file.read_bytes()
    assert sent[2] == f"bytes */{file.stat().st_size}"
    assert sent[3] == sent[1]


def test_a_file_is_found_in_the_buckets_by_keyboard(console: Console, service: Service) -> None:
    service.put(BUCKET, "deep/er/rows.jsonl", training_rows(12))
    page = console.open("/create?step=data")
    page.get_by_label("Existing JSONL file in a bucket").check()
    page.get_by_role("button", name="Browse").focus()
    page.keyboard.press("Enter")
    for entry in (BUCKET, "deep/", "er/"):
        page.get_by_role("dialog").get_by_role("button", name=entry, exact=True).press("Enter")
    page.get_by_role("searchbox").fill("rows")
    page.get_by_role("dialog").get_by_role("button", name=re.compile("rows.jsonl")).press("Enter")
    expect(page.get_by_label("File", exact=True)).to_have_value(f"gs://{BUCKET}/deep/er/rows.jsonl")
    expect(page.get_by_role("button", name="Browse")).to_be_focused()


def test_a_chat_model_has_no_evaluation_and_a_default_context(console: Console, service: Service) -> None:
    rows = [{"messages": [{"author": "user", "content": f"Write code that adds {n}"},
                          {"author": "assistant", "content": f"x += {n}"}]} for n in range(12)]  # fmt: skip
    service.put(BUCKET, "chats.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    page = console.open(f"/create?dataset=gs://{BUCKET}/chats.jsonl")
    named(page, "Chats", "3")
    page.get_by_label("Base model").select_option("codechat-bison@002")
    onward(page, "Tuning data")
    page.get_by_label("Default context").fill("You write Python.")
    expect(page.get_by_text("12 examples, none of them wrong.")).to_be_visible()
    onward(page, "Evaluation")
    expect(page.get_by_text("TUNESMITH_CHAT_EVALUATION")).to_be_visible()
    onward(page, "Review and start")
    page.get_by_role("button", name="Start tuning").click()
    expect(page).to_have_url(re.compile("/jobs/us-central1/"))
    assert submitted(service, "Chats")["default_context"] == "You write Python."


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_command_that_is_shown_makes_the_same_job(console: Console, service: Service) -> None:
    name = 'It\'s $HOME `and` "more" \\'
    page = begun(console, name)
    command = page.locator(".code pre").inner_text()
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["displayName"] == name
    assert submitted(service, name)["train_steps"] == 3


def test_the_program_that_is_shown_makes_the_same_job(console: Console, service: Service) -> None:
    name = "In 'Python', \"too\" \\ \u2028 \ud55c"
    page = begun(console, name)
    page.get_by_role("tab", name="Python, tunesmith").click()
    program = page.locator(".code pre").inner_text().replace("tuned = job.get_tuned_model()", "print(job.status)")
    subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": PATHS}, check=True)
    assert submitted(service, name)["train_steps"] == 3


def test_pressing_start_again_after_a_lost_answer_starts_nothing_twice(console: Console, service: Service) -> None:
    console.expected.add("failed:")
    page = begun(console, "Only once")

    def lost(route: Route) -> None:
        route.fetch()  # the server has it, and nobody hears the answer
        route.abort("connectionreset")

    page.route("**/pipelineJobs?pipelineJobId=**", lost, times=1)
    page.get_by_role("button", name="Start tuning").click()
    expect(page.get_by_text("The server cannot be reached.")).to_be_visible()
    page.get_by_role("button", name="Start tuning").click()
    expect(page).to_have_url(re.compile("/jobs/us-central1/"))
    found = wait_until(lambda: service.ask("GET", f"{JOBS}?pageSize=100")["pipelineJobs"])
    assert [job["displayName"] for job in found].count("Only once") == 1


def test_everything_goes_by_keyboard(console: Console) -> None:
    page = console.open(f"/create?dataset={DATA}")
    page.get_by_label("Tuned model name").focus()
    page.keyboard.type("By hand")
    for step in ("Tuning data", "Evaluation", "Review and start"):
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name=step, level=2)).to_be_focused()
        if step != "Review and start":
            page.get_by_role("button", name="Continue").focus()
    page.get_by_role("button", name="Back").press("Enter")
    expect(page.get_by_role("heading", name="Evaluation", level=2)).to_be_focused()


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_every_step_is_accessible_and_fits(
    console: Console, axe: Callable[[Page], None], theme: str, width: int
) -> None:
    page = console.open("/create?step=data", theme=theme, width=width)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("Choose the data to tune on.")).to_be_focused()
    axe(page)
    page = console.open(f"/create?dataset={DATA}&evaluation={EVALUATION}", theme=theme, width=width)
    page.get_by_role("button", name="Continue").click()
    named(page, "A name " + "that goes on and on" * 5, "300, 40")
    page.get_by_text("A step takes 8 examples").click()
    for step in ("Tuning data", "Evaluation", "Review and start"):
        axe(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        onward(page, step)
    expect(page.locator("table.costs tbody tr")).to_have_count(2)
    axe(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_korean_has_every_word(console: Console) -> None:
    page = console.open(f"/create?dataset={DATA}", language="ko-KR")
    page.get_by_label("\ud29c\ub2dd\ub41c \ubaa8\ub378 \uc774\ub984").fill("\uacb0\uc81c")
    for heading in ("\ud29c\ub2dd \ub370\uc774\ud130", "\ud3c9\uac00", "\uac80\ud1a0 \ubc0f \uc2dc\uc791"):
        page.get_by_role("button", name="\uacc4\uc18d").click()
        expect(page.get_by_role("heading", name=heading, level=2)).to_be_visible()
    expect(page.get_by_role("heading", name="\uc608\uc0c1 \ube44\uc6a9")).to_be_visible()
    page.get_by_role("tab", name="Python, tunesmith").click()
    expect(page.locator(".code pre")).to_contain_text('model_display_name="\uacb0\uc81c"')
