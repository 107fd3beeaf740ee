"""The examples as a reader finds them: their data are what they say, their tests can fail, nothing leaks."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tunesmith.evals.evaluate import evaluate
from tunesmith.evals.sandbox import judge
from tunesmith.evals.suites import Problem, read_problems

EXAMPLE = Path(__file__).parents[2] / "examples" / "private_library"


def load(name: str) -> ModuleType:
    """A program of the example as a module, with its own folder on the path as when it is run."""
    sys.path.insert(0, str(EXAMPLE))
    try:
        spec = importlib.util.spec_from_file_location(name, EXAMPLE / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(EXAMPLE))
    return module


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    return load("generate")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """The example's data, written by its own program with its defaults."""
    folder = tmp_path_factory.mktemp("data")
    subprocess.run([sys.executable, EXAMPLE / "generate.py", "--output", folder], check=True, capture_output=True)
    return folder


def read(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_the_documented_numbers_of_rows_are_written(data):
    sizes = {name: len(read(data / f"{name}.jsonl")) for name in ("train", "evaluation", "problems", "answers")}
    assert sizes == {"train": 500, "evaluation": 48, "problems": 80, "answers": 80}


def test_one_seed_always_gives_the_same_bytes(data, generate, tmp_path):
    generate.write_all(tmp_path, rows=500, evaluation_rows=48, problems=80, seed=0)
    for file in data.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


def test_another_seed_gives_other_rows(data, generate, tmp_path):
    generate.write_all(tmp_path, rows=500, evaluation_rows=48, problems=80, seed=1)
    known = {row["input_text"] for row in read(data / "train.jsonl")}
    assert len(known & {row["input_text"] for row in read(tmp_path / "train.jsonl")}) < 50


def test_every_prompt_has_the_production_form_and_every_answer_ends_cleanly(data):
    for row in read(data / "train.jsonl") + read(data / "evaluation.jsonl"):
        assert row["input_text"].startswith("Write the code in Python with wharfline: ")
        assert row["input_text"].endswith(".")
        assert row["output_text"].startswith("```python\n")
        assert row["output_text"].endswith("\n```")
        assert row["output_text"].count("\ndef ") == 1
        compile(row["output_text"][len("```python\n") : -len("```")], "answer", "exec")
    for row in read(data / "problems.jsonl"):
        assert row["prompt"].startswith("Write the code in Python with wharfline: ")


def test_no_prompt_and_no_answer_stands_in_two_files(data):
    train, evaluation = read(data / "train.jsonl"), read(data / "evaluation.jsonl")
    answers = read(data / "answers.jsonl")
    prompts = [{r["input_text"] for r in train}, {r["input_text"] for r in evaluation}, {r["prompt"] for r in answers}]
    codes = [{r["output_text"] for r in train}, {r["output_text"] for r in evaluation}]
    codes.append({r["completion"] for r in answers})
    for sets in (prompts, codes):
        assert not sets[0] & sets[1]
        assert not sets[0] & sets[2]
        assert not sets[1] & sets[2]


def test_no_chain_of_idioms_that_is_asked_was_ever_shown(generate):
    chains = {
        group: {task.chain for task in generate.tasks_of(group, number, seed=0)}
        for group, number in (("train", 500), ("evaluation", 48), ("problems", 80))
    }
    assert not chains["train"] & chains["problems"]
    assert not chains["train"] & chains["evaluation"]
    assert not chains["evaluation"] & chains["problems"]


def test_every_idiom_that_is_asked_was_shown_often(generate):
    shown = [piece.idiom for task in generate.tasks_of("train", 500, seed=0) for piece in task.pieces]
    asked = {piece.idiom for task in generate.tasks_of("problems", 80, seed=0) for piece in task.pieces}
    assert len(asked) >= 24
    assert min(shown.count(idiom) for idiom in asked) >= 10


def test_every_wanted_answer_passes_its_tests(data, tmp_path):
    wanted = {row["prompt"]: row["completion"] for row in read(data / "answers.jsonl")}
    problems = read_problems(data / "problems.jsonl")
    scores = evaluate(problems, lambda prompts: [wanted[prompt] for prompt in prompts], folder=tmp_path)
    assert scores.passed == len(problems), scores


def test_wrong_answers_fail_in_the_sandbox_too(data, generate):
    problems = read_problems(data / "problems.jsonl")
    for problem, task in list(zip(problems, generate.tasks_of("problems", 80, seed=0), strict=True))[::16]:
        wrong = list(generate.wrong_programs(task))
        assert wrong
        for code in wrong[:3]:
            assert not verdict_of(problem, code).passed, code


def test_an_answer_that_makes_the_library_up_fails(data):
    problem = next(p for p in read_problems(data / "problems.jsonl") if "-plan-" in p.id)
    name = problem.prompt.split(": ")[1].split("(")[0]
    invented = f"import wharfline\n\ndef {name}():\n    return wharfline.Plan('Osby').load('salt', 4)\n"
    assert verdict_of(problem, invented).reason == "failed"


def verdict_of(problem: Problem, code: str):
    return judge(code, problem.tests, modules={module.name: module.source for module in problem.modules})


def test_score_judges_stored_answers_again(data, tmp_path):
    for source, target in (("problems", "problems"), ("answers", "completions")):
        lines = (data / f"{source}.jsonl").read_text("utf-8").splitlines(keepends=True)[:10]
        (tmp_path / f"{target}.jsonl").write_text("".join(lines).replace("def ", "class ", 3), "utf-8")
    (tmp_path / "wharfline.py").write_bytes((data / "wharfline.py").read_bytes())
    arguments = ["--problems", tmp_path / "problems.jsonl", "--output", tmp_path, "--again"]
    done = subprocess.run([sys.executable, EXAMPLE / "score.py", *arguments], capture_output=True, text=True)
    assert done.stdout.startswith("pass@1 70.0% (7 of 10, 95 % interval"), done


def test_run_refuses_a_folder_that_holds_something(tmp_path):
    (tmp_path / "kept").write_text("x")
    done = subprocess.run([sys.executable, EXAMPLE / "run.py", "--output", tmp_path], capture_output=True, text=True)
    assert done.returncode == 2
    assert "is not empty; name a new folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_the_library_answers_as_its_documentation_says():
    library = load("wharfline")
    plan = library.open_manifest("Osby").stow("salt", 4, deck="low").cap(20).seal()
    assert plan.on_deck("low") == ["salt"]
    assert plan.admit("coal", 9).settle(otherwise="held") == 7
    assert plan.admit("coal", 99).settle(otherwise="held") == "held"
    assert plan.admit("coal", 99).settle() == "full"
    flow = library.draw("depth") >> library.keep(above=3) >> library.total()
    assert flow.run({"depth": [2, 5, 4]}) == 9
    with pytest.raises(library.WharfError, match="needs an end"):
        library.draw("depth").run({})


def test_a_sealed_manifest_takes_nothing_more():
    library = load("wharfline")
    manifest = library.open_manifest("Osby")
    manifest.seal()
    with pytest.raises(library.WharfError, match="is sealed"):
        manifest.cap(3)
