"""The rows cut from this interpreter's own standard library: right code, fixed order, groups that never mix."""

import ast
import json
from pathlib import Path

import pytest

from tunesmith.data import stdlib
from tunesmith.errors import FailedPrecondition, InvalidArgument


def code_of(row: stdlib.Row) -> str:
    assert row.output_text.startswith("```python\n")
    assert row.output_text.endswith("\n```")
    return row.output_text.removeprefix("```python\n").removesuffix("\n```")


def library_source(module: str) -> str:
    folder = Path(stdlib._library(), *module.split("."))
    path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    return path.read_text("utf-8")


def find_definitions(tree: ast.Module, qualname: str) -> list[ast.AST]:
    nodes: list[ast.AST] = [tree]
    for name in qualname.split("."):
        nodes = [child for node in nodes for child in node.body if getattr(child, "name", None) == name]
    return nodes


def without_docstring(function: ast.AST) -> str:
    if ast.get_docstring(function, clean=False) is not None:
        function.body = function.body[1:]
    return ast.dump(function)


def test_there_are_enough_rows_for_a_large_data_set():
    assert len(stdlib.functions()) > 1_500


def test_each_answer_is_the_librarys_function_without_its_docstring():
    modules = sorted({row.module for row in stdlib.functions()})[::5]
    trees = {module: ast.parse(library_source(module)) for module in modules}
    for row in stdlib.functions():
        if row.module not in trees:
            continue
        (answer,) = ast.parse(code_of(row)).body
        assert ast.get_docstring(answer) is None, row
        originals = [without_docstring(node) for node in find_definitions(trees[row.module], row.qualname)]
        assert ast.dump(answer) in originals, f"{row.module}.{row.qualname}"


def test_each_prompt_carries_the_same_fields_in_the_same_order():
    for row in stdlib.functions():
        instruction, name, signature, *head = row.input_text.split("\n")
        assert instruction.startswith("Write the code in Python: ")
        assert name == f"Name: {row.module}.{row.qualname}"
        assert signature == "Signature:"
        assert code_of(row).startswith("\n".join(head))
        assert "def " in "\n".join(head)


def test_no_answer_appears_twice():
    answers = [row.output_text for row in stdlib.functions()]
    assert len(set(answers)) == len(answers)


def test_answers_keep_the_length_limit():
    assert max(len(row.output_text) for row in stdlib.functions(max_answer_chars=300)) <= 300


def test_tests_and_installed_packages_are_left_out():
    tops = {part for row in stdlib.functions() for part in row.module.split(".")}
    assert not tops & {"test", "tests", "idlelib", "lib2to3", "ensurepip", "site-packages"}


def test_reading_the_files_again_gives_the_same_rows():
    first = stdlib.functions()
    stdlib._group_rows.cache_clear()
    assert stdlib.functions() == first


def test_forgetting_rows_are_of_their_own_group_and_many_modules():
    rows = stdlib.forgetting_rows()
    assert len(rows) == 24
    assert {stdlib.group_of(row.module) for row in rows} == {"forgetting"}
    assert len({row.module.split(".")[0] for row in rows}) >= 12


def test_a_longer_forgetting_list_begins_with_the_shorter():
    assert stdlib.forgetting_rows(40)[:24] == stdlib.forgetting_rows(24)


def test_replayed_modules_are_never_measured_for_forgetting():
    measured = {row.module.split(".")[0] for row in stdlib.forgetting_rows(100)}
    replayed = {row.module.split(".")[0] for row in stdlib.replay_rows()}
    assert replayed
    assert not measured & replayed


def test_no_replayed_answer_is_measured_for_forgetting():
    measured = {row.output_text for row in stdlib._group_rows("forgetting")}
    assert not measured & {row.output_text for row in stdlib.replay_rows()}


def test_a_module_and_its_python_twin_share_a_group():
    assert stdlib.group_of("_pydecimal") == stdlib.group_of("decimal")
    assert stdlib.group_of("_strptime") == stdlib.group_of("strptime.more")


def read_rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_data_set_is_split_by_module_and_leaves_the_forgetting_set_out(tmp_path):
    files = stdlib.write_dataset(tmp_path / "new", rows=200, evaluation_rows=20, seed=3)
    by_text = {(row.input_text, row.output_text): row.module for row in stdlib.functions()}
    tops = [{by_text[row["input_text"], row["output_text"]].split(".")[0] for row in read_rows(path)} for path in files]
    assert [len(read_rows(path)) for path in files] == [200, 20]
    assert not tops[0] & tops[1]
    assert "forgetting" not in {stdlib.group_of(top) for top in tops[0] | tops[1]}


def test_a_data_set_depends_on_its_seed_alone(tmp_path):
    texts = [
        stdlib.write_dataset(tmp_path / name, rows=50, evaluation_rows=10, seed=seed).train.read_text("utf-8")
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


@pytest.mark.parametrize(("rows", "evaluation_rows"), [(9, 20), (10_001, 20), (100, 9), (100, 251)])
def test_counts_that_tuning_would_refuse_are_refused(tmp_path, rows, evaluation_rows):
    with pytest.raises(InvalidArgument, match="must be 10 to"):
        stdlib.write_dataset(tmp_path / "new", rows=rows, evaluation_rows=evaluation_rows)
    assert not (tmp_path / "new").exists()


def test_asking_for_more_rows_than_there_are_says_how_many_there_are():
    with pytest.raises(FailedPrecondition, match=r"has \d+ forgetting rows, 5000 were asked for"):
        stdlib.forgetting_rows(5_000)


def test_the_command_says_what_it_wrote(tmp_path, capsys):
    assert stdlib.main(["--output", str(tmp_path), "--rows", "30", "--evaluation-rows", "12"]) == 0
    said = capsys.readouterr().out
    assert f"30 rows to train on: {tmp_path / 'train.jsonl'}" in said
    assert f"12 held-out rows from other modules: {tmp_path / 'evaluation.jsonl'}" in said


def test_the_command_ends_with_the_errors_code_and_message(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        stdlib.main(["--output", str(tmp_path), "--rows", "3"])
    assert ended.value.code == InvalidArgument.exit_code
    assert "rows: must be 10 to 10000, got 3" in capsys.readouterr().err
