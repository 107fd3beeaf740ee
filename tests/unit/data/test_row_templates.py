"""How rows are worded: as the reference product's own example begins, and the code in a fence that holds it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tunesmith.data.codebase.templates import CHAT_VARIANTS, Asked, chat, fill_in_the_middle, instruction
from tunesmith.data.formats import Conversation, detect, parse

ASKED = Asked(
    language="Python",
    fence="python",
    path="till.py",
    qualname="Till.add",
    kind="method",
    summary="Adds a price.",
    signature="def add(self, cents: int) -> None:",
    context="",
    code="def add(self, cents: int) -> None:\n    self.sold.append(cents)\n",
)
CONTEXT = "# Path: money.py\n# def euros(cents: int) -> str\n\n"


def test_an_instruction_says_what_to_write_and_where_it_stands() -> None:
    row = instruction(ASKED)
    assert row["input_text"] == (
        "Write the code in Python: Adds a price.\nFile: till.py\nName: Till.add\nSignature:\n"
        "def add(self, cents: int) -> None:"
    )
    assert row["output_text"] == "```python\ndef add(self, cents: int) -> None:\n    self.sold.append(cents)\n```"


def test_signatures_of_other_files_end_an_instruction() -> None:
    asked = replace(ASKED, context=CONTEXT)
    assert instruction(asked)["input_text"].endswith("\nContext:\n# Path: money.py\n# def euros(cents: int) -> str")


def test_code_with_a_fence_in_it_gets_a_longer_one() -> None:
    asked = replace(ASKED, code="x = '```'")
    assert instruction(asked)["output_text"] == "````python\nx = '```'\n````"


@pytest.mark.parametrize("variant", range(CHAT_VARIANTS))
def test_every_chat_has_an_answer_a_follow_up_and_the_code(variant: int) -> None:
    row = chat(ASKED, variant)
    messages = row["messages"]
    assert isinstance(messages, list)
    assert [message["author"] for message in messages] == ["user", "assistant"] * 2
    assert any("self.sold.append(cents)" in message["content"] for message in messages[1::2])


@pytest.mark.parametrize("variant", range(CHAT_VARIANTS))
def test_a_chat_on_a_module_names_it_by_its_path(variant: int) -> None:
    module = replace(ASKED, qualname="", kind="module", signature="", summary="Keeps what a till has sold.")
    messages = chat(module, variant)["messages"]
    assert isinstance(messages, list)
    texts = [message["content"] for message in messages]
    assert any("till.py" in text for text in texts)
    assert not any("``:" in text or "```\n\n```" in text for text in texts)


def test_a_request_for_a_module_has_the_fields_of_every_request() -> None:
    module = replace(ASKED, qualname="", kind="module", signature="", summary="Keeps what a till has sold.")
    assert instruction(module)["input_text"] == (
        "Write the code in Python: Keeps what a till has sold.\nFile: till.py\nName: till.py\nSignature:\nmodule till"
    )


@pytest.mark.parametrize(
    "row",
    [
        instruction(ASKED),
        *(chat(ASKED, variant) for variant in range(CHAT_VARIANTS)),
        fill_in_the_middle("a", "b", "c", "", "psm"),
    ],
)
def test_rows_are_of_forms_that_tuning_takes(row: dict[str, object]) -> None:
    form = detect(row)
    assert isinstance(form, str)
    assert isinstance(parse(row, 1, form), Conversation)


def test_a_hole_keeps_its_texts_apart() -> None:
    row = fill_in_the_middle("def f(", "x", "): ...", "# Path: a.py\n", "spm")
    assert row == {
        "prefix": "def f(", "middle": "x", "suffix": "): ...", "context": "# Path: a.py\n", "order": "spm",
    }  # fmt: skip
