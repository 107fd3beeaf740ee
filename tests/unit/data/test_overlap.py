"""What gives the evaluation away is found and goes; what is only short or of one form stays."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.benchmarks import Suite, open_suite
from tunesmith.data.codebase.overlap import HOW, Overlap, Task, Written, compare, written

CODE = """def settle(orders, rates):
    total = 0
    for order in orders:
        price = order.price * rates.get(order.currency, 1.0)
        total += round(price, 2)
    return total
"""
OTHER = """class Shelf:
    def __init__(self, width):
        self.width, self.books = width, []

    def put(self, book):
        if sum(each.width for each in self.books) + book.width > self.width:
            raise Full(f"no room for {book.title} on a shelf of {self.width}")
        self.books.append(book)
"""
PROMPT = "Write the function settle of shop/bills.py, which adds up orders in the shop's own currency."


def instruction(prompt: str, answer: str) -> dict[str, Any]:
    return {"input_text": prompt, "output_text": answer}


def fim(prefix: str, middle: str, suffix: str, context: str = "") -> dict[str, Any]:
    return {"prefix": prefix, "middle": middle, "suffix": suffix, "context": context}


def chat(*said: str) -> dict[str, Any]:
    authors = ["user", "assistant"] * len(said)
    return {"messages": [{"author": a, "content": c} for a, c in zip(authors, said, strict=False)]}


def trained(row: Mapping[str, Any], line: int = 1) -> Written:
    return written("train.jsonl", line, row)


def held_out(row: Mapping[str, Any], line: int = 1) -> Written:
    return written("evaluation.jsonl", line, row)


def how(training: Mapping[str, Any], evaluation: Mapping[str, Any]) -> list[str]:
    return [found.how for found in compare([trained(training)], [held_out(evaluation)]).overlaps]


QUESTION = instruction(PROMPT, CODE)


@pytest.mark.parametrize(
    ("training", "evaluation", "expected"),
    [
        (QUESTION, QUESTION, "same-row"),
        (instruction(PROMPT.replace(" ", "\n"), CODE.replace("    ", "\t")), QUESTION, "same-row"),
        (instruction(PROMPT, OTHER), QUESTION, "same-prompt"),
        (instruction("Add the orders up.", CODE), QUESTION, "same-answer"),
        (instruction(PROMPT.replace("own", "only"), CODE.replace("2)", "3)")), QUESTION, "near"),
        (instruction("Complete the class.", OTHER + CODE.replace("round", "floor")), QUESTION, "holds-answer"),
        (fim(OTHER, "x = 1\n", CODE), QUESTION, "holds-answer"),
        (fim(CODE[:90], CODE[90:150], CODE[150:] + OTHER), QUESTION, "holds-answer"),
        (fim("a", "b", "c", context=CODE), QUESTION, "holds-answer"),
        (chat("What is this?", OTHER, "And the other?", CODE), QUESTION, "same-answer"),
        (chat("What is this?", OTHER + CODE), QUESTION, "holds-answer"),
        (instruction("Complete the class.", OTHER + CODE), chat("Which?", "None.", "Which?", CODE), "holds-answer"),
        (fim(CODE[:90], "pass", CODE[150:]), fim(CODE[:90], CODE[90:150], CODE[150:]), "same-prompt"),
    ],
)
def test_what_gives_an_evaluation_row_away_is_found(
    training: Mapping[str, Any], evaluation: Mapping[str, Any], expected: str
) -> None:
    assert how(training, evaluation) == [expected]


@pytest.mark.parametrize(
    ("training", "evaluation"),
    [
        (instruction("Write the class Shelf.", OTHER), QUESTION),
        (fim(OTHER, "return total\n", ""), fim("def f():\n    ", "return total\n", "")),
        (fim("", "x = 1\n", OTHER), fim("", "y = 2\n", CODE)),
        (fim("x = ", "1", ""), fim("x = ", "2", "")),
        (fim(OTHER + "s = pd.Series([1, 2, 3])\n", "x", ""), fim(CODE, "s = pd.Series([1, 2, 3])\n", "")),
        (fim("a", "b", "c"), fim("d", "e", "f", context=CODE)),
        (instruction("Say what this is.\n" + OTHER, "A shelf."), instruction("Say what this is.\n" + CODE, "A sum.")),
    ],
)
def test_what_is_short_or_of_one_form_stays(training: Mapping[str, Any], evaluation: Mapping[str, Any]) -> None:
    assert how(training, evaluation) == []


def test_the_training_row_goes_and_the_report_says_what_it_gave_away() -> None:
    training = [trained(instruction("Write Shelf.", OTHER), 1), trained(QUESTION, 2), trained(QUESTION, 7)]
    evaluation = [held_out(chat("Who?", "I."), 4), held_out(QUESTION, 5)]
    found = compare(training, evaluation)
    assert found.overlaps == tuple(Overlap("train.jsonl", n, "evaluation.jsonl", 5, "same-row", 1.0) for n in (2, 7))
    assert {one.how for one in found.overlaps} <= HOW.keys()


TASK = {
    "task_id": "HumanEval/999",
    "prompt": 'def fold(paper: list, times: int) -> int:\n    """Fold the paper so many times and count the layers '
    'that lie above one another.\n    >>> fold([1], 3)\n    8\n    """\n',
    "canonical_solution": "    layers = 1\n    for side in range(times):\n        if not paper[side % len(paper)]:\n"
    "            raise ValueError(side)\n        layers *= 2\n    return layers\n",
    "test": "def check(candidate):\n    assert candidate([1], 3) == 8\n",
    "entry_point": "fold",
}
MBPP = {
    "task_id": 998,
    "text": "Write a function to count the ships of every harbour that are longer than a pier of the same harbour.",
    "code": "def ships(harbours):\r\n  found = {}\r\n  for name, (lengths, pier) in harbours.items():\r\n"
    "    found[name] = len([length for length in lengths if length > pier])\r\n  return found",
    "test_list": ["assert ships({}) == {}"],
}


@pytest.fixture
def suites(tmp_path: Path) -> list[Suite]:
    for name, task in (("HumanEval.jsonl", TASK), ("mbpp.jsonl", MBPP)):
        (tmp_path / name).write_text(json.dumps(task) + "\n", "utf-8")
    return [open_suite(tmp_path / name) for name in ("HumanEval.jsonl", "mbpp.jsonl")]


@pytest.mark.parametrize(
    ("row", "task", "what"),
    [
        (instruction(str(TASK["prompt"]), "pass"), "HumanEval/999", "prompt"),
        (instruction("Write fold.", f"{TASK['prompt']}{TASK['canonical_solution']}"), "HumanEval/999", "prompt"),
        (fim(f"def f(paper, times):\n{TASK['canonical_solution']}", "x", ""), "HumanEval/999", "solution"),
        (fim("x", "y", "z", context=str(TASK["prompt"])), "HumanEval/999", "prompt"),
        (instruction(f"Please. {MBPP['text']}", "pass"), "998", "prompt"),
        (chat("Ships?", str(MBPP["code"]).replace("\r\n", "\n").replace("ships(", "count(")), "998", "solution"),
    ],
)
@pytest.mark.parametrize("file", ["train.jsonl", "evaluation.jsonl"])
def test_a_row_with_a_task_of_a_suite_goes_from_either_file(
    suites: list[Suite], row: Mapping[str, Any], task: str, what: str, file: str
) -> None:
    rows = [written(file, 3, row), written(file, 4, instruction("Write Shelf.", OTHER))]
    found = compare(rows, [], suites) if file == "train.jsonl" else compare([], rows, suites)
    assert [(one.file, one.row, one.task, one.what) for one in found.tasks] == [(file, 3, task, what)]
    assert found.tasks[0].share >= 0.8


def test_an_evaluation_row_that_goes_takes_no_training_row_with_it(suites: list[Suite]) -> None:
    row = instruction(str(MBPP["text"]), CODE)
    found = compare([trained(instruction("Add up.", CODE))], [held_out(row)], suites)
    assert found.overlaps == ()
    assert found.tasks == (Task("evaluation.jsonl", 1, "mbpp.jsonl", "998", "prompt", 1.0),)


def test_a_row_with_a_task_that_gives_an_evaluation_row_away_is_said_once(suites: list[Suite]) -> None:
    found = compare([trained(instruction(str(MBPP["text"]), CODE))], [held_out(QUESTION)], suites)
    assert (len(found.tasks), found.overlaps) == (1, ())


def test_a_solution_of_a_line_is_not_looked_for(tmp_path: Path) -> None:
    task = {"prompt": "Give back the part of a number behind its point, please, whatever it is.", "code": CODE[:50]}
    (tmp_path / "a.jsonl").write_text(json.dumps(task), "utf-8")
    assert compare([trained(QUESTION)], [], [open_suite(tmp_path / "a.jsonl")]).tasks == ()


WORDS = [f"w{n}" for n in range(30)]


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False))
def test_overlaps_are_those_that_sets_of_tuples_say(drawn: random.Random) -> None:
    def text() -> str:
        start = drawn.randrange(20)
        words = (WORDS * 4)[start : start + drawn.randrange(3, 60)]
        for _ in range(drawn.randrange(4)):
            words[drawn.randrange(len(words))] = drawn.choice("xyz")
        return " ".join(words)

    training = [trained(instruction(text(), text()), n) for n in range(6)]
    evaluation = [held_out(instruction(text(), text()), n) for n in range(4)]
    found = {one.row for one in compare(training, evaluation).overlaps}
    assert found == {row.line for row in training if any(overlap_by_hand(row, other) for other in evaluation)}


def overlap_by_hand(row: Written, other: Written) -> bool:
    sets = [shingles(text) for text in (row.whole, other.whole, other.answers[0])]
    near = len(sets[0] & sets[1]) / len(sets[0] | sets[1]) >= 0.7
    holds = len(sets[2]) >= 20 and len(sets[0] & sets[2]) / len(sets[2]) >= 0.8
    prompt = row.prompt == other.prompt and len(row.prompt.split()) >= 10
    answer = row.answers == other.answers and len(row.answers[0].split()) >= 10
    return near or holds or prompt or answer


def shingles(text: str) -> set[tuple[str, ...]]:
    tokens = re.findall(r"\w+|[^\w\s]", text)
    return {tuple(tokens[i : i + 5]) for i in range(max(1, len(tokens) - 4))}
