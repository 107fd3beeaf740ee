"""The language of a file: by its name, its first line, its content."""

from __future__ import annotations

import pytest

from tunesmith.data.codebase.languages import KNOWN, PARSED, language_named, language_of


@pytest.mark.parametrize(
    ("path", "data", "name"),
    [
        ("a.py", b"", "Python"),
        ("pkg/a.PYI", b"", "Python"),
        ("a.tsx", b"", "TSX"),
        ("a.d.ts", b"export type A = 1", "TypeScript"),
        ("de.ts", b'\xef\xbb\xbf<?xml version="1.0"?><!DOCTYPE TS>', "XML"),
        ("lib/a.mjs", b"", "JavaScript"),
        ("Rakefile", b"", "Ruby"),
        ("x/Gemfile", b"", "Ruby"),
        ("build.gradle.kts", b"", "Kotlin"),
        ("a.cs", b"", "C#"),
        ("a.h", b"#include <stdio.h>\nint f(void);\nstruct class_ops;\n", "C"),
        ("a.h", b"#include <vector>\n", "C++"),
        ("a.h", b"namespace a {\n", "C++"),
        ("a.h", b"struct A {\n public:\n  int x;\n};\n", "C++"),
        ("a.h", b"@interface A : NSObject\n", "Objective-C"),
        ("a.h", b"", "C"),
        ("a.m", b"#import <Foundation/Foundation.h>\n", "Objective-C"),
        ("run", b"#!/usr/bin/env python3.11\n", "Python"),
        ("run", b"#!/usr/bin/env -S A=b python3 -u\n", "Python"),
        ("run", b"#! /bin/bash -e\n", "Bash"),
        ("configure", b"#!/bin/sh\n", "Bash"),
        ("run", b"#!/usr/local/bin/node", "JavaScript"),
        ("bin/x.in", b"#!/usr/bin/perl -w\n", "Perl"),
        ("Makefile", b"", "Makefile"),
        ("docker/Dockerfile", b"", "Dockerfile"),
        ("LICENSE", b"", "Text"),
        ("n.ipynb", b"{}", "Jupyter Notebook"),
    ],
)
def test_language_is_told(path: str, data: bytes, name: str) -> None:
    assert language_of(path, data) == language_named(name)


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("a", b""),
        ("a.xyz", b"text"),
        ("matrix.m", b"x = zeros(3);\n"),
        ("run", b"#!\n"),
        ("run", b"#!/usr/bin/env\n"),
        ("run", b"#!/usr/bin/env -i A=b\n"),
        ("run", b"#!/opt/\xff\xfe\n"),
        ("run", b"\n#!/bin/sh\n"),
    ],
)
def test_what_nothing_tells_is_no_language(path: str, data: bytes) -> None:
    assert language_of(path, data) is None


def test_no_name_ending_or_interpreter_belongs_to_two_languages() -> None:
    for of in ("endings", "names", "interpreters"):
        words = [word for language in (*PARSED, *KNOWN) for word in getattr(language, of)]
        assert sorted(words) == sorted(set(words))
        assert all(word == word.lower() for word in words)


def test_languages_that_are_parsed_have_a_grammar_and_a_fence_and_others_have_not() -> None:
    assert all(language.is_parsed and language.fence for language in PARSED)
    assert not any(language.is_parsed for language in KNOWN)
    assert len({language.name for language in (*PARSED, *KNOWN)}) == len(PARSED) + len(KNOWN)
