"""What comments and docstrings say, without their marks; and the opening of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.codebase.documentation import (
    SUMMARY_CHARACTERS,
    from_comment,
    from_docstring,
    is_directive,
    is_prose,
    summary,
)


@pytest.mark.parametrize(
    ("comment", "text"),
    [
        ("/** Adds two. */", "Adds two."),
        ("/**\n * Adds two.\n *\n *   as one\n * @param a the first\n */", "Adds two.\n\n  as one\n@param a the first"),
        ("/*\n   Adds two.\n     as one\n */", "Adds two.\n  as one"),
        ("/* Adds two,\n   as one. */", "Adds two,\nas one."),
        ("/*! \\brief Adds two.\n *  \\param a the first */", "Adds two.\n @param a the first"),
        ("/**\n * @brief Adds two. **/", "Adds two."),
        ("    /**\n     * Adds `a * b`.\n     * * one\n     */".strip(), "Adds `a * b`.\n* one"),
        ("/****************\n * Adds two.\n ****************/", "Adds two."),
        ("// Adds two,\n  // as one.", "Adds two,\nas one."),
        ("///< Adds two.", "Adds two."),
        ("//! Adds two.", "Adds two."),
        ("//------\n// Adds two.\n//------", "Adds two."),
        ("# Adds two.\n#\n#   a + b", "Adds two.\n\n  a + b"),
        ("#####\n# Adds #\n#####", "Adds"),
        ("-- Adds two.\n--| as one", "Adds two.\nas one"),
        ("=begin\nAdds two.\n=end", "Adds two."),
        ("/** See {@link #add(int) } or {@code List<T>} &lt; 3. */", "See add(int) or List<T> < 3."),
        ("/** Adds.<p>Two <b>bold</b> ones: <ul><li>a</li></ul> */", "Adds.\n\nTwo bold ones:\n\n- a"),
        (
            '/// <summary>\n/// Adds <paramref name="a"/>.\n/// </summary>\n/// <param name="a">one</param>\n'
            '/// <exception cref="T:N.Full">if full</exception>\n/// <returns>the sum</returns>',
            "Adds a.\n\n@param a one\n\n@throws N.Full if full\n\n@returns the sum",
        ),
        ("/** Uses [[http://a.b The Way]] of it. */", "Uses The Way of it."),
        ("/** Line one.\r\n * Line two.\r\n */", "Line one.\nLine two."),
    ],
)
def test_a_comment_loses_its_marks(comment: str, text: str) -> None:
    assert from_comment(comment) == text


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        ('"""Adds two."""', "Adds two."),
        ("'''\n    Adds two.\n\n      as one\n    '''", "Adds two.\n\n  as one"),
        ('"""\\\nAdds \\"two\\"."""', 'Adds "two".'),
        (r'r"""Adds \"two\"."""', r"Adds \"two\"."),
        ('"Adds \\\\n."', "Adds \\n."),
        ('u"Adds <item>."', "Adds <item>."),
        ('""', ""),
        ('b"Adds"', ""),
    ],
)
def test_a_docstring_loses_its_quotes_and_indentation(literal: str, text: str) -> None:
    assert from_docstring(literal) == text


@pytest.mark.parametrize(
    "comment",
    [
        "// Copyright 2020 Somebody",
        "/* SPDX-License-Identifier: MIT */",
        "# Licensed under the Apache License, Version 2.0",
        "/* (c) Somebody <a@b.c> */",
        "// x = 1;\n// y = x + 1;",
        "# def f(a):\n#     return a",
        "# if x is None:\n#     x = first(y)",
        "// if (a) {\n//   f(a);\n// }",
        "/* */",
    ],
)
def test_licences_and_code_are_no_documentation(comment: str) -> None:
    assert from_comment(comment) == ""


@pytest.mark.parametrize(
    "comment",
    [
        "# Returns the class of a thing",
        "// if nothing is found, return the first",
        "# @param a [String] its name (or id)\n# @return [Integer] what is left (or 0)",
        "// Sets the license of a file.",
        "/** a = b; */",
        "# Uses f(x) for it.",
    ],
)
def test_prose_is_not_taken_for_code_or_a_licence(comment: str) -> None:
    assert from_comment(comment)


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("#!/bin/sh", True),
        ("# -*- coding: utf-8 -*-", True),
        ("# noqa: E501", True),
        ("# type: ignore[x]", True),
        ("# type: (int) -> str", False),
        ("# pylint: disable=x", True),
        ("//go:build linux", True),
        ("// +build linux", True),
        ("// eslint-disable-next-line", True),
        ("// @ts-ignore", True),
        ("/* istanbul ignore next */", True),
        ("# frozen_string_literal: true", True),
        ("# shellcheck disable=SC1", True),
        ("# Copied from a.b.modeling_c.D with C->E", True),
        ("# Copied from the manual", False),
        ("//nolint:errcheck", True),
        ("// NOLINTNEXTLINE", True),
        ("//#region", False),
        ("# Pragmatic words", False),
        ("# encoding of the text", False),
        ("// flow of things", False),
        ("// exported for tests", False),
    ],
)
def test_words_for_tools_are_told_from_words(comment: str, expected: bool) -> None:
    assert is_directive(comment.encode()) == expected


@pytest.mark.parametrize(
    ("doc", "opening"),
    [
        ("Adds two.\nAs one.\n\nSecond paragraph.", "Adds two. As one.\n\nSecond paragraph."),
        ("Adds two.\n@param a the first", "Adds two."),
        ("Adds two.\n\n:param a: the first\n\nMore.", "Adds two."),
        ("Adds two.\n\nArgs:\n    a: the first", "Adds two."),
        ("Adds two.\n\nParameters\n----------\na : int", "Adds two."),
        ("Adds two.\n\n# Examples\n\n```\nadd(1, 2)\n```", "Adds two."),
        ("Adds two.\n\n- one\n- two\n\nMore.", "Adds two."),
        ("Adds two. These are known:\n\n- one", "Adds two."),
        ("Adds two.\n\nAs follows::\n\n    add(1)", "Adds two."),
        ("Adds what follows:\n\n- one", "Adds what follows."),
        ("Adds two.\n\n>>> add(1, 2)\n3", "Adds two."),
        ("Adds two.\n\n  add(1, 2)\n\nMore.", "Adds two."),
        ("add(a, b) -> int\n\nAdds two.", "Adds two."),
        ("Uses :class:`~a.b.C` and :py:func:`f`.", "Uses `a.b.C` and `f`."),
        ("Adds two.\n\n[Report](http://a.b)\n\n[x]: http://c.d\n\nMore.", "Adds two.\n\nMore."),
        ("Adds two, e.g.\n\n    add(1, 2)", "Adds two."),
        ("Adds two (for example:\n>>> add(1, 2)", "Adds two."),
        ("Adds two numbers, such as\n- one", "Adds two numbers."),
        ("Adds numbers, e.g. Two of them. These are known:\n\n- one", "Adds numbers, e.g. Two of them."),
        ("Adds one, two etc. and more. All of these:\n- one", "Adds one, two etc. and more."),
        ("Adds one, two etc. Then says so: all of them:\n- one", "Adds one, two etc."),
        ("Adds as J. Doe does. Like this:\n- one", "Adds as J. Doe does."),
        ("Adds one, two etc.", "Adds one, two etc."),
        ("@param a only this", ""),
        ("", ""),
    ],
)
def test_a_summary_is_the_opening_prose(doc: str, opening: str) -> None:
    assert summary(doc) == opening


def test_a_long_summary_ends_with_a_sentence() -> None:
    doc = " ".join(["This sentence says something of use."] * 100)
    assert summary(doc).endswith("of use.")
    assert SUMMARY_CHARACTERS - 40 < len(summary(doc)) <= SUMMARY_CHARACTERS


@pytest.mark.parametrize(
    "passage", ["numbers, i.e. Integers", "lists, sets etc. of numbers", "what Fig. 3 shows", "`a.b` vs. That one"]
)
def test_a_long_summary_does_not_end_at_an_abbreviation(passage: str) -> None:
    opening = "This sentence says something of use. " * 5
    doc = f"{opening}Then {passage} {'and more of it ' * 40}."
    assert summary(doc) == opening.rstrip()


@given(st.text(alphabet="ab.:*-#@<>`[](){}= \n\t\u00e9\u4e2d"))
def test_any_text_has_a_short_summary(text: str) -> None:
    for doc in (text, from_comment(f"/** {text} */"), from_comment(f"# {text}"), from_docstring(f'"""{text}"""')):
        assert len(summary(doc)) <= SUMMARY_CHARACTERS
        is_prose(doc)


@pytest.mark.parametrize(
    ("doc", "expected"),
    [
        ("Adds two numbers and says so.", True),
        ("Adds two numbers.", False),
        ("Internationalization/localization", False),
        ("`first.second.third_of_them`", False),
        ("See `first.second.third_of_them`.", False),
        (":class:`first.second.third_of_them` and :class:`first.other`", False),
        ("first.second.third_of_them", False),
        ("See Outer::Inner::of_them().", False),
        ("Reads a file of package.json.", True),
        ("Returns what `first.second` returns.", True),
        ("TODO(somebody): write what this is for.", False),
        ("Deprecated.", False),
        ("Deprecated: use what is called device_count instead.", False),
        ("Deprecated names of devices, by their new ones.", True),
        ("See: https://example.org/people/project/issues/2356", False),
        ("See https://example.org/issues/2356 for what went wrong here.", True),
        ("Standard library imports", False),
        ("Bokeh and third-party imports", False),
        ("Reads what a module imports from others", True),
        ("@return everything that there is to return", False),
        ("\u8fd4\u56de\u4e24\u4e2a\u70b9\u4e2d\u7684\u7b2c\u4e8c\u4e2a\u70b9", True),
    ],
)
def test_prose_is_some_words_that_say_something(doc: str, expected: bool) -> None:
    assert is_prose(doc) == expected


def test_more_words_can_be_asked_for() -> None:
    assert is_prose("There are two options.")
    assert not is_prose("There are two options.", 5)
