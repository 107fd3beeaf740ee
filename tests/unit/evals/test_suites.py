"""Files of problems are read exactly or refused with their line; answers become programs."""

import gzip
import json
from pathlib import Path

import pytest

from tunesmith.errors import InvalidArgument, NotFound
from tunesmith.evals.suites import SUITES, Module, Problem, answer_program, extract_code, read_humaneval, read_problems

GOOD = {"id": "p1", "prompt": "Write the code in Python: add.", "tests": "assert add(1, 2) == 3"}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.mark.parametrize(
    ("completion", "code"),
    [
        ("```python\nx = 1\n```", "x = 1\n"),
        ("Here you are:\n\n```python\nx = 1\n```\nAnd so:\n```python\nx = 2\n```\n", "x = 1\n"),
        ("```\nx = 1\n```", "x = 1\n"),
        ("```py\nx = 1", "x = 1"),
        ("x = 1\n", "x = 1\n"),
        ('```python\ns = """a```b"""\n```', 's = """a```b"""\n'),
        ("```Python\r\nx = 1\r\n```", "x = 1\r\n"),
        ("", ""),
    ],
)
def test_code_is_taken_out_of_an_answer(completion, code):
    assert extract_code(completion) == code


def test_the_preamble_stands_before_the_answer():
    problem = Problem("p", "prompt", "tests", preamble="import math")
    assert answer_program(problem, "```python\nx = math.pi\n```") == "import math\nx = math.pi\n"


def test_problems_are_read_with_the_modules_beside_them(tmp_path):
    (tmp_path / "shop.py").write_text("RATE = 3\n", "utf-8")
    path = write(tmp_path / "problems.jsonl", GOOD, {**GOOD, "id": "p2", "entry_point": "add", "modules": ["shop.py"]})
    assert read_problems(path) == [
        Problem(**GOOD),
        Problem(**{**GOOD, "id": "p2"}, entry_point="add", modules=(Module("shop", "RATE = 3\n"),)),
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "p2", "prompt": "x"}, "`tests` is missing"),
        ({**GOOD, "promt": "x"}, "`promt` is unknown"),
        ({**GOOD, "tests": "  "}, "`tests` must be a text that is not empty"),
        ({**GOOD, "prompt": 3}, "`prompt` must be a text that is not empty, got 3"),
        ({**GOOD, "modules": "shop.py"}, "`modules` must be a list of file names"),
        ({**GOOD, "modules": ["../secret.py"]}, "without folders"),
        ({**GOOD, "modules": ["absent.py"]}, "there is no"),
        ([1], "must be an object, got list"),
    ],
)
def test_a_mistake_is_refused_with_its_line(tmp_path, row, message):
    path = write(tmp_path / "problems.jsonl", GOOD, row)
    with pytest.raises(InvalidArgument) as refused:
        read_problems(path)
    assert f"{path}:2" in refused.value.message
    assert message in refused.value.message


def test_a_line_that_is_not_json_is_refused(tmp_path):
    path = tmp_path / "problems.jsonl"
    path.write_text(json.dumps(GOOD) + "\n\n{'id': 1}\n", "utf-8")
    with pytest.raises(InvalidArgument, match=r"problems\.jsonl:3: not JSON"):
        read_problems(path)


def test_one_id_for_two_problems_is_refused(tmp_path):
    with pytest.raises(InvalidArgument, match="'p1' appears twice"):
        read_problems(write(tmp_path / "problems.jsonl", GOOD, GOOD))


def test_an_empty_file_and_an_absent_one_are_told_apart(tmp_path):
    with pytest.raises(InvalidArgument, match="holds no problems"):
        read_problems(write(tmp_path / "problems.jsonl"))
    with pytest.raises(NotFound, match="no such file"):
        read_problems(tmp_path / "absent.jsonl")


def test_the_published_format_of_humaneval_is_read_compressed_too(tmp_path):
    row = {
        "task_id": "T/0",
        "prompt": 'def inc(x):\n    """Return x + 1."""\n',
        "entry_point": "inc",
        "canonical_solution": "    return x + 1\n",
        "test": "def check(candidate):\n    assert candidate(1) == 2\n",
    }
    path = tmp_path / "problems.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(row).encode()))
    (problem,) = read_humaneval(path)
    assert problem.entry_point == "inc"
    assert problem.tests.endswith("check(candidate)\n")
    assert problem.prompt.startswith("Write the code in Python: ")
    compile(answer_program(problem, "def inc(x):\n    return x + 1\n"), "x", "exec")


def test_every_suite_says_what_it_is():
    assert {name for name, suite in SUITES.items() if len(suite.about) > 20} == set(SUITES)
