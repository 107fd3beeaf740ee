"""The model registry: the list, the page of one model, and everything that can be done with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from console_pages import BUCKET, Console, tune
from running_service import Service, wait_until

HOSTILE = "<img src=x onerror=alert(1)>\"'><script>document.title='taken'</script>"
PARENT = "/v1/projects/local/locations/us-central1"


@pytest.fixture(scope="module")
def tuned(service: Service) -> Any:
    """A model that a job made, deployed; as the API shows it."""
    job = tune(
        service, "models-1", f"Registry {HOSTILE}", steps=2, evaluation_data_uri=f"gs://{BUCKET}/evaluation.jsonl"
    )
    wait_until(lambda: service.ask("GET", job)["state"] in ("PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED"))
    found = [one for one in models(service) if one.get("pipelineJob", "").endswith("/models-1")]
    assert found, service.ask("GET", job).get("error")
    return found[0]


def models(service: Service) -> list[Any]:
    return service.ask("GET", f"{PARENT}/models").get("models", [])  # type: ignore[no-any-return]


def export(service: Service, tuned: Any) -> str:
    body = {"outputConfig": {"artifactDestination": {"outputUriPrefix": f"gs://{BUCKET}/exports"}}}
    operation = service.ask("POST", f"/v1/{tuned['name']}:export", body)
    return str(operation["metadata"]["outputInfo"]["artifactOutputUri"])


@pytest.fixture
def own(service: Service, tuned: Any, request: pytest.FixtureRequest) -> Any:
    """A model that the test may change: the same weights, uploaded; not deployed."""
    said = {"displayName": request.node.name[:100], "artifactUri": export(service, tuned)}
    made = service.ask("POST", f"{PARENT}/models:upload", {"model": said})["response"]
    return service.ask("GET", f"/v1/{made['model']}")


def place(model: Any) -> str:
    return f"/models/us-central1/{model['name'].rpartition('/')[2]}"


def test_the_registry_finds_a_model_and_keeps_the_search(console: Console, tuned: Any, own: Any) -> None:
    page = console.open("/models")
    page.get_by_role("searchbox").fill(own["displayName"].upper())
    expect(page.get_by_role("row")).to_have_count(2)
    page.reload()
    expect(page.get_by_role("searchbox")).to_have_value(own["displayName"].upper())
    page.get_by_role("link", name=own["displayName"]).click()
    expect(page.get_by_role("heading", name=own["displayName"]).first).to_be_visible()
    expect(page.get_by_text("Nothing was measured of this model")).to_be_visible()


def test_what_there_is_to_tune_stands_apart(console: Console) -> None:
    page = console.open("/models?tab=published")
    row = page.get_by_role("table", name="Models to tune").get_by_role("row").filter(has_text="code-bison@002")
    expect(row).to_contain_text("Code generation")
    expect(page.get_by_role("table", name="Base models").get_by_text("smollm2-135m-instruct")).to_be_visible()


def test_a_project_without_models_says_what_to_do_next(console: Console) -> None:
    page = console.open("/models?project=empty-project")
    expect(page.get_by_role("heading", name="No tuned models yet")).to_be_visible()
    expect(page.get_by_role("button", name="Upload an adapter").last).to_be_visible()


def test_a_model_shows_figures_lineage_and_card_and_runs_nothing_of_them(console: Console, tuned: Any) -> None:
    page = console.open(place(tuned))
    expect(page.get_by_role("heading", level=1, name=tuned["displayName"])).to_be_visible()
    expect(page.get_by_text("base model: ").first).to_be_visible()
    expect(page.get_by_role("link", name="models-1")).to_have_attribute(
        "href", re.compile("/jobs/us-central1/models-1")
    )
    expect(page.get_by_role("heading", name="Licence and limits")).to_be_visible()
    expect(page.locator(".card-of").get_by_text(HOSTILE)).to_be_visible()
    assert page.locator("img").count() == 0
    assert page.title().endswith("Tunesmith")


def test_a_model_that_is_gone_leads_back_to_the_registry(console: Console) -> None:
    console.expected.add("status 404")
    page = console.open("/models/us-central1/4")
    page.get_by_role("link", name="Model registry").last.click()
    expect(page.get_by_role("heading", level=1, name="Model registry")).to_be_visible()


def test_an_export_says_where_it_lies_and_comes_back_as_a_version(console: Console, service: Service, own: Any) -> None:
    page = console.open(place(own))
    page.get_by_role("button", name=f"Actions for {own['displayName']}").click()
    page.get_by_role("menuitem", name="Export").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Folder of a bucket").fill(f"gs://{BUCKET}/out")
    dialog.get_by_role("button", name="Export").click()
    where = dialog.get_by_text(f"gs://{BUCKET}/out/model-export-").inner_text()
    dialog.get_by_role("button", name="Close").last.click()
    page.get_by_role("button", name=f"Actions for {own['displayName']}").click()
    page.get_by_role("menuitem", name="Upload a version").click()
    dialog.get_by_label("Folder of a bucket").fill(where)
    dialog.get_by_role("button", name="Upload").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("combobox", name="Version").select_option("2")
    expect(page).to_have_url(re.compile("version=2"))
    expect(page.get_by_text(where).first).to_be_visible()
    assert [one["versionId"] for one in service.ask("GET", f"/v1/{own['name']}:listVersions")["models"]] == ["2", "1"]


def test_what_the_server_refuses_is_said_in_the_dialog(console: Console, own: Any) -> None:
    console.expected.add("status 404")
    page = console.open(place(own))
    page.get_by_role("button", name=f"Actions for {own['displayName']}").click()
    page.get_by_role("menuitem", name="Export").click()
    page.get_by_label("Folder of a bucket").fill("gs://no-such-bucket/out")
    page.get_by_role("dialog").get_by_role("button", name="Export").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("no-such-bucket")


def test_two_models_share_an_endpoint_until_one_is_taken_off(
    console: Console, service: Service, tuned: Any, own: Any
) -> None:
    page = console.open(place(own))
    page.get_by_role("button", name="Deploy", exact=True).click()
    dialog = page.get_by_role("dialog")
    endpoint = tuned["deployedModels"][0]["endpoint"]
    dialog.get_by_label("Endpoint").select_option(endpoint)
    dialog.get_by_label("Share of requests, %").fill("30")
    dialog.get_by_role("button", name="Deploy").click()
    row = page.locator(".endpoint li").filter(has_text=own["displayName"])
    expect(row).to_contain_text("30%")
    page.get_by_role("button", name="Share requests").click()
    expect(dialog.get_by_role("spinbutton")).to_have_count(2)
    first, second = dialog.get_by_role("spinbutton").all()
    first.fill("60")
    expect(dialog.get_by_role("button", name="Save")).to_be_disabled()
    second.fill("40")
    dialog.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("40%")
    assert sorted(service.ask("GET", f"/v1/{endpoint}")["trafficSplit"].values()) == [40, 60]
    page.get_by_role("button", name=f"Undeploy {own['displayName']}").click()
    dialog.get_by_role("button", name="Undeploy").click()
    expect(page.get_by_text("Not deployed. Deploy it")).to_be_visible()
    assert list(service.ask("GET", f"/v1/{endpoint}")["trafficSplit"].values()) == [100]


def test_name_labels_and_aliases_can_be_changed(console: Console, service: Service, own: Any) -> None:
    page = console.open(place(own))
    page.get_by_role("button", name=f"Actions for {own['displayName']}").click()
    page.get_by_role("menuitem", name="Edit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("Renamed")
    dialog.get_by_label("Labels").fill("team=search")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1, name="Renamed")).to_be_visible()
    page.get_by_role("button", name="Edit aliases, Version 1").click()
    dialog.get_by_label("Aliases").fill("default, canary")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("cell", name="default canary")).to_be_visible()
    changed = service.ask("GET", f"/v1/{own['name']}@canary")
    assert (changed["displayName"], changed["labels"]["team"]) == ("Renamed", "search")


def test_a_deployed_model_cannot_be_deleted_and_another_can(
    console: Console, service: Service, tuned: Any, own: Any
) -> None:
    page = console.open(place(tuned))
    page.get_by_role("button", name="Actions for").click()
    page.get_by_role("menuitem", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Undeploy it first")).to_be_visible()
    expect(dialog.get_by_role("button", name="Delete")).to_be_disabled()
    page.goto(console.url + place(own))
    page.get_by_role("button", name="Actions for").click()
    page.get_by_role("menuitem", name="Delete").click()
    console.expected.add("status 404")  # the page asks for its model while it leaves
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", level=1, name="Model registry")).to_be_visible()
    assert own["name"] not in [one["name"] for one in models(service)]


def test_the_keyboard_opens_a_dialog_and_comes_back(console: Console, own: Any) -> None:
    page = console.open(place(own))
    deploy = page.get_by_role("button", name="Deploy", exact=True)
    deploy.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(deploy).to_be_focused()


def test_a_small_screen_scrolls_nothing_sideways(console: Console, tuned: Any) -> None:
    for path in ("/models", "/models?tab=published", place(tuned)):
        page = console.open(path, width=390, height=844, language="ko-KR")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_registry_and_model_are_accessible(
    console: Console, tuned: Any, axe: Callable[[Page], None], theme: str
) -> None:
    for path, text in (
        ("/models", "Registry"),
        ("/models?tab=published", "smollm2-135m-instruct"),
        (place(tuned), "Licence and limits"),
    ):
        page = console.open(path, theme=theme)
        expect(page.get_by_text(text).first).to_be_visible()
        axe(page)
    page.get_by_role("button", name="Deploy", exact=True).click()
    axe(page)
