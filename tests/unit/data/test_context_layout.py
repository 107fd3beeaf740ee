"""How what other files offer stands before a target: comments, and nothing gets out of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.codebase.languages import PARSED, language_named
from tunesmith.data.codebase.parsing import Parsed, parse
from tunesmith.data.context_layout import COMMENT_MARKS, comment_line, lay_out, path_line

ANYTHING = st.text(st.one_of(st.characters(), st.sampled_from("\\\n\r\0\u2028\x85\x0b?>u000a*/#-")), max_size=40)


def test_a_block_is_paths_and_signatures_as_comments_and_an_empty_line() -> None:
    entries = [
        (
            "pkg/store.py",
            ["class Store:", "    def get(self, key: str) -> bytes", "def open_store(path: str) -> Store"],
        ),
        ("pkg/a.py", ["X = 1"]),
    ]
    assert lay_out("Python", entries) == (
        "# Path: pkg/store.py\n"
        "# class Store:\n"
        "#     def get(self, key: str) -> bytes\n"
        "# def open_store(path: str) -> Store\n"
        "# Path: pkg/a.py\n"
        "# X = 1\n"
        "\n"
    )
    assert lay_out("SQL", [("a.sql", ["CREATE TABLE t"])]) == "-- Path: a.sql\n-- CREATE TABLE t\n\n"
    assert lay_out("Go", [("a.go", ["func F()"])]) == "// Path: a.go\n// func F()\n\n"


def test_nothing_to_say_is_no_text() -> None:
    assert lay_out("Python", []) == ""
    assert lay_out("Python", [("a.py", [])]) == ""


def test_every_language_that_is_parsed_has_a_mark_and_no_other() -> None:
    assert set(COMMENT_MARKS) == {language.name for language in PARSED}
    with pytest.raises(KeyError):
        lay_out("Cobol", [("a", ["b"])])


@pytest.mark.parametrize(
    ("language", "text", "line"),
    [
        ("Python", "a\nb\r\nc\u2028d\te\0f", "# a b c d e f\n"),
        ("PHP", "f() ?> <script>", "// f() ? > <script>\n"),
        ("Java", r"char c = '\u000a'", r"// char c = '\ u000a'" + "\n"),
        ("Java", r"\\uu000a", r"// \\ uu000a" + "\n"),
        ("C", "#define A \\\\ ", "// #define A\n"),
        ("Python", "    def f()", "#     def f()\n"),
        ("Python", "", "#\n"),
    ],
)
def test_what_would_end_a_comment_is_kept_in(language: str, text: str, line: str) -> None:
    assert comment_line(language, text) == line


@given(st.sampled_from(sorted(COMMENT_MARKS)), ANYTHING, st.lists(ANYTHING, min_size=1, max_size=4))
def test_whatever_stands_in_paths_and_lines_a_grammar_finds_comments_alone(
    language: str, path: str, lines: list[str]
) -> None:
    text = lay_out(language, [(path, lines)])
    assert text.splitlines() == [*text[:-1].split("\n")[:-1], ""]
    assert len(text.split("\n")) == len(lines) + 3
    before = "<?php\n" if language == "PHP" else ""
    parsed = parse(before + text, language_named(language))
    assert isinstance(parsed, Parsed)
    kinds = {child.type for child in parsed.root.named_children}
    assert kinds - {"php_tag"} <= {"comment", "line_comment"}


@given(st.sampled_from(sorted(COMMENT_MARKS)), ANYTHING, st.lists(ANYTHING, min_size=1, max_size=4))
def test_a_block_is_as_long_as_its_lines(language: str, path: str, lines: list[str]) -> None:
    whole = path_line(language, path) + "".join(comment_line(language, line) for line in lines)
    assert lay_out(language, [(path, lines)]) == whole + "\n"
