"""The console in a browser, as tests open it: a page on which nothing may go wrong that the test does not expect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response

from running_service import Service

BUCKET = "code"
_CSP_WATCH = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.__violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


def training_rows(count: int, first: int = 0) -> str:
    """Small examples, no two alike."""
    rows = (
        {"input_text": f"Write the code in Python: add {n} to x", "output_text": f"```python\nx = x + {n}\n```"}
        for n in range(first, first + count)
    )
    return "".join(json.dumps(row) + "\n" for row in rows)


def tuning_body(name: str, *, steps: int = 4, **parameters: Any) -> dict[str, Any]:
    """What a client sends to tune the tiny model on the rows in the bucket."""
    values = {
        "project": "local", "location": "us-central1", "model_display_name": name,
        "large_model_reference": "code-bison@002", "dataset_uri": f"gs://{BUCKET}/train.jsonl", "train_steps": steps,
    }  # fmt: skip
    return {
        "displayName": name,
        "templateUri": "https://us-kfp.pkg.dev/ml-pipeline/large-language-model-pipelines/tune-large-model/v3.0.0",
        "runtimeConfig": {"gcsOutputDirectory": f"gs://{BUCKET}/output", "parameterValues": {**values, **parameters}},
    }


def tune(service: Service, job_id: str, name: str, **parameters: Any) -> str:
    """Submits a job; its path in the API."""
    path = "/v1/projects/local/locations/us-central1/pipelineJobs"
    service.ask("POST", f"{path}?pipelineJobId={job_id}", tuning_body(name, **parameters))
    return f"{path}/{job_id}"


class Console:
    """Opens pages of the console, and knows what went wrong in them."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self.url = url
        self.contexts: list[BrowserContext] = []
        self.wrong: list[str] = []
        self.expected: set[str] = set()
        """Parts of what may go wrong in this test: a status, a path."""

    def open(
        self,
        path: str = "/",
        *,
        width: int = 1280,
        height: int = 800,
        language: str = "en-US",
        theme: str = "light",
        context: BrowserContext | None = None,
    ) -> Page:
        if context is None:
            context = self._browser.new_context(
                viewport={"width": width, "height": height}, locale=language, color_scheme=theme,  # type: ignore[arg-type]
                reduced_motion="reduce", permissions=["clipboard-read", "clipboard-write"],
            )  # fmt: skip
            context.set_default_timeout(120_000)
            context.add_init_script(_CSP_WATCH)
            self.contexts.append(context)
        page = context.new_page()
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("requestfailed", lambda request: self._failed(f"failed: {request.url} {request.failure}"))
        page.on("response", self._answered)
        page.goto(self.url + path)
        return page

    def _said(self, message: ConsoleMessage) -> None:
        # A status above 399 is told by `response` too, with its address.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.wrong.append(f"{message.type}: {message.text}")

    def _failed(self, text: str) -> None:
        if "ERR_ABORTED" not in text:  # the page had no more use for it
            self.wrong.append(text)

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.wrong.append(f"status {response.status}: {response.url}")

    def close(self) -> None:
        for context in self.contexts:
            for page in context.pages:
                if not page.is_closed():
                    self.wrong += [f"policy: {text}" for text in page.evaluate("window.__violations ?? []")]
            context.close()


def checked(browser: Browser, url: str) -> Iterator[Console]:
    """A console; at the end of the test nothing may have gone wrong but what was expected."""
    opened = Console(browser, url)
    yield opened
    opened.close()
    wrong = [text for text in opened.wrong if not any(part in text for part in opened.expected)]
    assert not wrong, wrong
