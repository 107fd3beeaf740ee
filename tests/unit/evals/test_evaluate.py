"""Evaluation end to end with functions as samplers: what is asked, judged, written and counted."""

import json

import pytest

from tunesmith.errors import DataLoss, FailedPrecondition, InvalidArgument
from tunesmith.evals import evaluate as evaluation
from tunesmith.evals import sandbox
from tunesmith.evals.evaluate import evaluate, rescore, summarise
from tunesmith.evals.suites import Module, Problem
from tunesmith.folder import read_json, read_jsonl

PROBLEMS = [
    Problem("double", "Write double.", "assert double(2) == 4"),
    Problem("half", "Write half.", "assert half(4) == 2"),
    Problem("none", "Write nothing.", "assert nothing() is None"),
]
ANSWERS = {
    "Write double.": "Sure:\n```python\ndef double(x):\n    return x * 2\n```",
    "Write half.": "```python\ndef half(x):\n    return x\n```",
    "Write nothing.": "```python\ndef nothing(:\n```",
}


def answer_all(prompts: list[str]) -> list[str]:
    return [ANSWERS[prompt] for prompt in prompts]


def test_each_first_answer_is_judged_by_its_tests(tmp_path):
    scores = evaluate(PROBLEMS, answer_all, folder=tmp_path)
    assert (scores.problems, scores.passed, scores.pass_at_1) == (3, 1, pytest.approx(1 / 3))
    assert scores.reasons == {"failed": 1, "passed": 1, "raised": 1}


def test_the_folder_explains_each_verdict(tmp_path):
    scores = evaluate(PROBLEMS, answer_all, folder=tmp_path)
    lines = read_jsonl(tmp_path / "verdicts.jsonl")
    assert [(line["id"], line["passed"], line["reason"]) for line in lines] == [
        ("double", True, "passed"),
        ("half", False, "failed"),
        ("none", False, "raised"),
    ]
    assert lines[0]["code"] == "def double(x):\n    return x * 2\n"
    assert "SyntaxError" in lines[2]["detail"]
    assert read_json(tmp_path / "scores.json")["pass_at_1"] == scores.pass_at_1


def test_the_stored_answers_are_judged_again_without_the_model(tmp_path):
    first = evaluate(PROBLEMS, answer_all, folder=tmp_path)
    (tmp_path / "scores.json").unlink()
    assert rescore(PROBLEMS, folder=tmp_path) == first
    harder = [Problem("double", "Write double.", "assert double(2) == 5"), *PROBLEMS[1:]]
    assert rescore(harder, folder=tmp_path).passed == 0


def test_changed_prompts_are_not_scored_with_old_answers(tmp_path):
    evaluate(PROBLEMS, answer_all, folder=tmp_path)
    with pytest.raises(DataLoss, match="no completion for 1 of 1 problems"):
        rescore([Problem("double", "Write it twice.", "assert double(2) == 4")], folder=tmp_path)


def test_modules_of_a_problem_can_be_imported_by_its_answer(tmp_path):
    problem = Problem("m", "p", "assert candidate() == 3", entry_point="go", modules=(Module("shop", "RATE = 3\n"),))
    code = "from shop import RATE\ndef go():\n    return RATE\n"
    assert evaluate([problem], lambda _: [code], folder=tmp_path).passed == 1


def test_too_few_answers_are_refused(tmp_path):
    with pytest.raises(InvalidArgument, match="gave 1 completions for 3 prompts"):
        evaluate(PROBLEMS, lambda _: ["x"], folder=tmp_path)


def test_no_problems_are_refused(tmp_path):
    with pytest.raises(InvalidArgument, match="there are none"):
        evaluate([], answer_all, folder=tmp_path)


def test_without_a_sandbox_no_model_is_asked_and_nothing_is_written(tmp_path, monkeypatch):
    def refuse() -> None:
        raise FailedPrecondition("no closed room")

    monkeypatch.setattr(sandbox, "self_test", refuse)
    asked: list[list[str]] = []
    with pytest.raises(FailedPrecondition, match="no closed room"):
        evaluate(PROBLEMS, lambda prompts: asked.append(prompts) or [], folder=tmp_path / "new")
    assert asked == []
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("passed", "total", "low", "high"),
    # Wilson's interval, computed by hand from the quadratic (p - s)^2 = z^2 p (1 - p) / n.
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (70, 100, 0.6042, 0.7811)],
)
def test_the_interval_is_wilsons(passed, total, low, high):
    scores = summarise(["passed"] * passed + ["failed"] * (total - passed))
    assert (scores.low_95, scores.high_95) == (pytest.approx(low, abs=5e-4), pytest.approx(high, abs=5e-4))
    for edge in (scores.low_95, scores.high_95):
        share, z = passed / total, evaluation._Z_95
        assert (edge - share) ** 2 == pytest.approx(z**2 * edge * (1 - edge) / total, abs=1e-9)


def test_the_standard_error_is_of_a_share():
    assert summarise(["passed"] * 50 + ["died"] * 50).standard_error == pytest.approx(0.05)


def test_scores_read_as_a_sentence():
    assert str(summarise(["passed", "failed"])).startswith("pass@1 50.0% (1 of 2, 95 % interval ")


def test_lines_of_the_log_are_json_whatever_the_model_said(tmp_path):
    odd = "```python\ndef double(x):\n    return '\u2028\\ud800' if x else '\\x00'\n```\ud800"
    evaluate(PROBLEMS[:1], lambda _: [odd], folder=tmp_path)
    for name in ("completions.jsonl", "verdicts.jsonl"):
        (line,) = (tmp_path / name).read_text("utf-8").split("\n")[:-1]
        assert json.loads(line)["id"] == "double"
