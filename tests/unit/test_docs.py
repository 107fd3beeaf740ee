"""The documents say what the code does: commands and options, files of a job, places in the source."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])


def fill() -> ModuleType:
    """docs/fill.py, which is a script and not in a package."""
    where = importlib.util.spec_from_file_location("fill", ROOT / "docs" / "fill.py")
    assert where is not None
    assert where.loader is not None
    module = importlib.util.module_from_spec(where)
    where.loader.exec_module(module)
    return module


def test_the_tables_of_options_are_those_of_the_commands() -> None:
    for path in fill().PAGES:
        page = path.read_text("utf-8")
        assert fill().filled(page) == page, "run `make docs`"


def test_every_command_has_a_section_with_its_table_and_no_other_has() -> None:
    page = (ROOT / "docs" / "commands.md").read_text("utf-8")
    known = set(fill().commands())
    assert set(re.findall(r"^## tunesmith (.+)$", page, re.M)) == known
    assert set(re.findall(r"<!-- options: (.+?) -->", page)) == known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    text = page.read_text("utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_named_exists(page: Path) -> None:
    known = {tuple(words.split()) for words in fill().commands()}
    firsts = {words[0] for words in known}
    for call in re.findall(r"`(?:\.venv/bin/)?tunesmith ([a-z][a-z ]*)", page.read_text("utf-8")):
        words = tuple(call.split())
        assert words[0] in firsts, call
        assert words[:1] in known or words[:2] in known or len(words) == 1, call


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_verb_that_is_named_exists(page: Path) -> None:
    verbs = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    assert set(re.findall(r"`make ([a-z]+)", page.read_text("utf-8"))) <= verbs


def test_every_source_file_that_the_architecture_names_exists_and_every_one_is_named() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    [tree] = re.findall(r"```text\n(tunesmith/.*?)```", page, re.S)
    named, folders = set(), [""]
    for line in tree.splitlines()[1:]:
        indent, name = re.match(r"( *)(\S+)", line).groups()  # type: ignore[union-attr]
        del folders[len(indent) // 2 :]
        if name.endswith("/"):
            folders.append(folders[-1] + name)
        else:
            named.add(folders[-1] + name)
    source = ROOT / "src" / "tunesmith"
    there = {path.relative_to(source).as_posix() for path in source.rglob("*.py")}
    silent = {name for name in there if name.endswith("__init__.py") or name.startswith("migrations/")}
    assert named - there == set()
    assert there - silent - named == set()
