"""Asking models in the browser: code, gaps and chats, the tuned model beside its base, and the same as code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, Route, expect

from console_pages import Console, tune
from running_service import PATHS, Service, wait_until

HOSTILE = "<img src=x onerror=alert(1)>\"'><script>document.title='taken'</script>"
STREAM = "**/*:serverStreamingPredict?*"


class Tuned(NamedTuple):
    """A tuned model as addresses name it (LOCATION/ID), and as people do."""

    id: str
    name: str


@pytest.fixture(scope="module")
def tuned(service: Service) -> Tuned:
    """A model for code that other pages' tests have tuned, else one of our own."""
    found = _deployed(service)
    if not found:
        path = tune(service, "try-tuned", "Asked in the browser", steps=2)
        job = wait_until(lambda: _ended(service.ask("GET", path)))
        assert job["state"] == "PIPELINE_STATE_SUCCEEDED", job.get("error")
        found = _deployed(service)
    location, _, number = found[0]["name"].split("/")[3:]
    return Tuned(f"{location}/{number}", found[0]["displayName"])


def _deployed(service: Service) -> list[dict[str, Any]]:
    models = service.ask("GET", "/v1/projects/local/locations/-/models").get("models", [])
    return [one for one in models if one.get("deployedModels") and one["tunesmith"]["kind"] == "generation"]


def _ended(job: dict[str, Any]) -> dict[str, Any] | None:
    return job if job["state"] in ("PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED") else None


def try_it(console: Console, query: str = "model=code-bison%40002", **options: object) -> Page:
    """The page; answers are kept short."""
    page = console.open(f"/try?{query}", **options)  # type: ignore[arg-type]
    if "language" not in options and options.get("width", 1280) == 1280:
        page.get_by_label("Maximum output tokens").fill("6")
    return page


def answered(text: str, tail: str = "") -> Callable[[Route], None]:
    """Answers in place of the server, with one piece of text."""
    piece = json.dumps({"outputs": [{"structVal": {"content": {"stringVal": [text]}}}]})
    return lambda route: route.fulfill(status=200, content_type="application/json", body=f"[{piece}{tail}")


def test_a_tuned_model_and_its_base_answer_side_by_side(console: Console, tuned: Tuned) -> None:
    page = try_it(console, f"model={quote(tuned.id, safe='')}")
    page.get_by_label("Prefix").fill("Write the code in Python: add 3 to x")
    page.keyboard.press("Control+Enter")
    answers = page.get_by_role("article")
    expect(answers).to_have_count(2)
    for place, name in enumerate((tuned.name, "code-bison@002")):
        expect(answers.nth(place).get_by_role("heading", name=name)).to_be_visible()
        expect(answers.nth(place).get_by_text("s to the first token")).to_be_visible()
        expect(answers.nth(place).get_by_text("6 tokens", exact=True)).to_be_visible()


def test_what_was_typed_and_answered_survives_a_reload(console: Console) -> None:
    page = try_it(console)
    page.get_by_label("Prefix").fill("def largest(numbers):")
    page.get_by_label("Temperature").fill("0.4")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_text("s in all")).to_be_visible()
    said = page.get_by_role("article").inner_text()
    page.reload()
    expect(page.get_by_label("Prefix")).to_have_value("def largest(numbers):")
    expect(page.get_by_label("Temperature")).to_have_value("0.4")
    assert page.get_by_role("article").inner_text() == said


def test_escape_stops_an_answer_and_keeps_what_came(console: Console) -> None:
    page = try_it(console)
    page.get_by_label("Maximum output tokens").fill("1900")
    page.get_by_label("Prefix").fill("def largest(numbers):")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("article").locator("pre")).not_to_be_empty()
    page.keyboard.press("Escape")
    expect(page.get_by_text("Stopped")).to_be_visible()
    expect(page.get_by_role("article").locator("pre")).not_to_be_empty()
    expect(page.get_by_role("button", name="Generate")).to_be_enabled()


def test_several_candidates_come_with_their_numbers(console: Console) -> None:
    page = try_it(console)
    page.get_by_label("Candidates").fill("3")
    page.get_by_label("Prefix").fill("def largest(numbers):")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_text("Candidate 3", exact=True)).to_be_visible()


def test_a_chat_goes_on_with_its_history_and_context(console: Console) -> None:
    page = try_it(console, "kind=chat&model=codechat-bison%40002")
    page.get_by_label("Context").fill("You write Go.")
    for message in ("What is a stack?", "And a queue?"):
        page.get_by_label("Message").fill(message)
        with page.expect_request(STREAM) as sent:
            page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("button", name="Ask again")).to_be_visible()
    instance = json.loads(sent.value.post_data or "")["inputs"][0]["structVal"]
    messages = [one["structVal"] for one in instance["messages"]["listVal"]]
    assert [one["author"]["stringVal"][0] for one in messages] == ["user", "bot", "user"]
    assert instance["context"]["stringVal"] == ["You write Go."]
    page.reload()
    expect(page.get_by_text("What is a stack?")).to_be_visible()
    expect(page.get_by_role("article")).to_have_count(2)
    page.get_by_role("button", name="Take back").click()
    expect(page.get_by_label("Message")).to_have_value("And a queue?")
    expect(page.get_by_role("article")).to_have_count(1)


@pytest.mark.parametrize("kind", ["curl", "tunesmith"])
def test_the_code_shown_asks_for_the_same(console: Console, tmp_path: Path, kind: str) -> None:
    page = try_it(console)
    page.get_by_label("Prefix").fill("print('it''s \"quoted\" \\n')\n\ud55c\uae00 $HOME `x`")
    page.get_by_role("button", name="View code").click()
    page.get_by_role("tab", name=kind, exact=True).click()
    code = page.get_by_role("dialog").locator("pre").inner_text()
    script = tmp_path / "script"
    script.write_text(code, "utf-8")
    command = ["bash"] if kind == "curl" else [sys.executable]
    variables = {**os.environ, "PYTHONPATH": PATHS}
    done = subprocess.run([*command, str(script)], env=variables, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    if kind == "curl":
        assert json.loads(done.stdout)["metadata"]["tokenMetadata"]["outputTokenCount"]["totalTokens"] == 6


def test_the_tokens_of_a_prompt_are_counted_while_typing(console: Console) -> None:
    page = try_it(console)
    page.get_by_label("Prefix").fill("def f(x):")
    expect(page.locator(".tokens")).to_contain_text("tokens")


def test_a_suffix_that_the_model_cannot_take_is_told_in_the_servers_words(console: Console) -> None:
    console.expected |= {":serverStreamingPredict", ":countTokens"}
    page = try_it(console)
    page.get_by_label("Prefix").fill("def f(x):")
    page.get_by_label("Suffix").fill("    return x")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("alert")).to_contain_text("suffix")


def test_what_fills_a_gap_is_shown_in_its_place(console: Console) -> None:
    console.expected |= {":countTokens"}  # the tiny model has no tokens for gaps
    page = try_it(console)
    page.route(STREAM, answered("    y = x + 1\n", "]"))
    page.get_by_label("Prefix").fill("def f(x):\n")
    page.get_by_label("Suffix").fill("    return y")
    page.get_by_label("Seed").fill("7")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("article").locator("pre")).to_have_text("def f(x):\n    y = x + 1\n    return y")


def test_parameters_out_of_bounds_are_told_at_their_field(console: Console) -> None:
    page = try_it(console)
    page.get_by_label("Prefix").fill("def f(x):")
    page.get_by_label("Candidates").fill("9")
    expect(page.get_by_text("From 1 to 8")).to_be_visible()
    expect(page.get_by_role("button", name="Generate")).to_be_disabled()


def test_an_answer_is_text_whatever_it_holds(console: Console) -> None:
    page = try_it(console)
    page.route(STREAM, answered(HOSTILE, "]"))
    page.get_by_label("Prefix").fill(HOSTILE)
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("article").get_by_text(HOSTILE)).to_be_visible()
    assert page.title() == "Try it \u00b7 Tunesmith"
    assert page.locator("img").count() == 0


def test_an_answer_that_breaks_off_says_so_and_can_be_asked_again(console: Console) -> None:
    page = try_it(console)
    page.route(STREAM, answered("def half"), times=1)
    page.get_by_label("Prefix").fill("def f(x):")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("alert")).to_contain_text("broke off")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("s in all")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_try_is_brought_back_from_the_history(console: Console) -> None:
    page = try_it(console)
    page.get_by_label("Prefix").fill("def first():")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_text("s in all")).to_be_visible()
    page.get_by_label("Prefix").fill("something else")
    page.get_by_role("button", name="History").click()
    page.get_by_role("button", name="Bring back").click()
    expect(page.get_by_label("Prefix")).to_have_value("def first():")
    expect(page.get_by_text("s in all")).to_be_visible()


def test_a_model_on_no_endpoint_can_be_deployed(console: Console, service: Service, tuned: Tuned) -> None:
    location, _, number = tuned.id.partition("/")
    path = f"/v1/projects/local/locations/{location}/models/{number}"
    for one in service.ask("GET", path)["deployedModels"]:
        service.ask("POST", f"/v1/{one['endpoint']}:undeployModel", {"deployedModelId": one["deployedModelId"]})
    page = try_it(console, f"model={quote(tuned.id, safe='')}")
    page.get_by_label("Prefix").fill("def f(x):")
    expect(page.get_by_role("button", name="Generate")).to_be_disabled()
    page.get_by_role("button", name="Deploy").click()
    expect(page.get_by_role("button", name="Generate")).to_be_enabled()
    expect(page.get_by_role("button", name="Deploy")).to_have_count(0)


def test_who_may_only_look_is_told_so(console: Console) -> None:
    page = console.open("/")
    viewer = {"name": "eye", "project": None, "role": "viewer"}
    said = {"keysRequired": True, "signedIn": True, "version": "0", "principal": viewer}
    page.route("**/v1/session", lambda route: route.fulfill(json=said))
    page.goto(f"{console.url}/try?model=code-bison%40002")
    expect(page.get_by_text("Your key may look and not ask")).to_be_visible()
    page.get_by_label("Prefix").fill("def f(x):")
    expect(page.get_by_role("button", name="Generate")).to_be_disabled()


def test_it_fits_a_small_screen_in_korean(console: Console) -> None:
    console.expected |= {":serverStreamingPredict", ":countTokens"}  # longer than the tiny model's context
    page = try_it(console, width=390, height=844, language="ko-KR")
    page.get_by_label("\ud504\ub9ac\ud53d\uc2a4").fill("x" * 10_000)
    page.get_by_role("button", name="\uc0dd\uc131", exact=True).click()
    expect(page.get_by_role("article")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("query", ["model=code-bison%40002", "kind=chat&model=codechat-bison%40002"])
def test_asking_is_accessible(console: Console, axe: Callable[[Page], None], query: str, theme: str) -> None:
    page = try_it(console, query, theme=theme)
    page.get_by_label("Message" if "chat" in query else "Prefix").fill("def f(x):")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("s in all")).to_be_visible()
    axe(page)
    page.get_by_role("button", name="View code").click()
    axe(page)
