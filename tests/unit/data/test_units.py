"""Units of a parsed file: which there are, where they lie, what answers for them; for every language that is parsed."""

from __future__ import annotations

import ast
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.codebase.grammars import SHAPES
from tunesmith.data.codebase.languages import PARSED, language_named
from tunesmith.data.codebase.parsing import Failed, Parsed, parse
from tunesmith.data.codebase.units import Unit, answer, documented, units

# Text, and the units expected in it: kind, qualified name, number of statements, documentation.
PYTHON = '''\
"""Tells how far things are apart; \u00e9t\u00e9."""
import math


# Kept between calls.
@cache
@retry(times=3)  # often it is the network
async def fetch(url: str, *, timeout_s: float = 1.0) -> bytes:  # slow
    """Reads what is at a URL.

    :param url: where
    """  # noqa
    # The first try.
    answer = await get(url)
    return answer


class Plan(Base):
    """A plan of \u4e2d\u6587 rooms."""

    size: int = 0

    @property
    def area(self):
        # not documentation
        return """
    as it is
"""

    class Inner:
        """Only words here."""

    def todo(self):
        """Will be there one day."""
        raise NotImplementedError("later")


def outer():
    def inner():
        """Needs its surroundings."""
        return 1
    return inner
'''
JAVASCRIPT = """\
/** Licensed under the Apache License, Version 2.0. */

/**
 * Ways to draw a chart.
 * @module draw
 */
'use strict';

/**
 * Draws a line \u2014 a long one.
 * @param {Point} a where it begins
 */
// eslint-disable-next-line no-unused-vars
export default function line(a, b) {
  return new Line(a, b);
}

// Twice as much of it.
export const twice = (x) => x * 2;

exports.half = function (x) { return x / 2; };

Chart.prototype.scale = function scale(by) {
  this.size *= by;
};

class Chart extends Base {
  // var old = 1;
  /** Says what is wanted. */
  @bound
  async show(at) {
    const text = `
      ${at}
    `;
    return text;
  }

  hide = () => { this.shown = false; };
}

(function () {
  // Inside of the file's own function.
  function helper() { return [1].map(function () { function deep() {} }); }
})();
"""
TYPESCRIPT = """\
/** What has a \u00fcnique name. */
export interface Named { name: string; }

function pick(a: number): string;
/** Picks the one that is asked for. */
function pick(a: any): string { return String(a); }

/** Holds things for a while. */
@Component({})
export abstract class Store<T> implements Named {
  /** Puts a thing into it. */
  @log()
  public put(thing: T): void {
    this.things.push(thing);
  }
  abstract take(): T;
}

export const enum Level { Low, High }
"""
JAVA = """\
package a.b;

import java.util.List;

/**
 * Counts things of every kind, {@code int} or not.
 * <p>Not safe for threads.
 */
@Deprecated
public abstract class Counter<T> {
  private int count;

  /** Adds \u00e9verything that is {@link #count counted}. */
  @Override
  public int add(List<T> things) throws Full {
    Runnable r = new Runnable() { public void run() { } };
    count += things.size();
    return count;
  }

  abstract void reset();

  public Counter(int start) { this.count = start; }
}

enum Colour { RED, GREEN; int code() { return ordinal(); } }
"""
GO = """\
// Copyright 2020 Somebody. All rights reserved.

// Package shapes has sh\u00e4pes.
package shapes

//go:generate stringer

// Area is what it covers.
func Area(w, h int) int {
\treturn w * h
}

// Grow makes it larger.
func (s *Square[T]) Grow(by int) {
\ts.side += by
\tfunc() { type local struct{ a int } }()
}

// Square has sides.
type Square[T any] struct {
\tside int
}

func external(a int) int
"""
RUST = """\
//! Rooms of a house; \u00e9tage par \u00e9tage.

use std::fmt;

// ---------- rooms

/// A room with a door.
/// It may be locked.
#[derive(Debug)]
pub struct Room<T> { door: T }

impl<T: fmt::Debug> Room<T> {
    /// Opens the door.
    #[inline]
    pub fn open(&mut self) -> bool {
        let text = "
    kept as it is";
        self.door.push(text)
    }

    fn later(&self) { todo!() }
}

trait Lock { fn lock(&self); fn is_locked(&self) -> bool { true } }

mod inner { pub fn f() -> i32 { 1 } }
"""
C = """\
/*
 * Buffers of a \u00fcser.
 */
#include <stdlib.h>

/**
 * @brief Makes a buffer.
 * @param size in bytes
 */
static struct buffer *make(int size, char *name)
{
    struct local { int a; } here;
    return malloc(size);
}

int declared(int a);

/* int old(int a) { return a; } */
int plain(void) { return 0; }

// A pair of numbers.
typedef struct { int a, b; } pair;

struct node {
    int value;
    struct node *next;
};
"""
CPP = """\
namespace ns {

/// A stack of \u4e2d values.
template <typename T>
class Stack : public Base<T> {
 public:
  /// Makes an empty one.
  explicit Stack(int room) : room_(room) { reserve(room); }
  Stack(const Stack&) = default;
  int size() const;
  /* static */ bool operator<(const Stack& other) const { return size() < other.size(); }
};

}  // namespace ns

// Counts them all.
template <typename T>
int ns::Stack<T>::size() const {
  return [](int a) { return a; }(count_);
}

TEST(Stack, IsEmpty) { EXPECT_TRUE(true); }
"""
CSHARP = """\
using System;

namespace N
{
    /// <summary>
    /// Keeps \u00e4ccounts.
    /// </summary>
    [Serializable]
    public class Ledger : Base
    {
        /// <summary>Adds an entry.</summary>
        /// <param name="entry">what is <see cref="T:N.Entry"/></param>
        public async Task<int> Add(Entry entry)
        {
            var text = @"
  as it is";
            return entry.Amount;
        }

        public int Twice(int a) => a * 2;

        public int Sum { get { return 1; } }

        public static Ledger operator +(Ledger a, Ledger b) { return a; }
    }
}
"""
RUBY = """\
# frozen_string_literal: true

# Things of a garden.

require 'set'

# A garden with b\u00e9ds.
module Garden
  # Where things grow.
  class Bed < Base
    # Plants something.
    #
    # @param what [String] its name
    def plant(what, at = 1)
      @things << what
      text = <<~EOS
        kept
      EOS
      text
    end

    def self.<=>(other)
      0
    end

    items.each { def hidden; 1; end }
  end
end
"""
PHP = """\
<?php

namespace A\\B;

/**
 * Sends lett\u00e9rs.
 */
#[Service]
final class Mailer extends Base
{
    /** Sends one letter. */
    public function send(string $to): bool
    {
        $text = '
   as it is';
        return $this->transport->put($to, $text);
    }

    abstract function later();
}

# Says hello to all.
function hello($name) { return "Hello $name"; }

$f = function ($a) { return $a; };
"""
KOTLIN = """\
package a.b

import c.D

/** Keeps things w\u00e4rm. */
class Oven(val size: Int) : Base() {
  /** Heats it up. */
  override fun heat(to: Int): Boolean {
    val text = \"\"\"
      as it is
    \"\"\"
    return text.length > to
  }

  fun double(a: Int) = a * 2

  val on: Int get() {
    return 1
  }
}

// Makes it shorter.
fun String.shorten(by: Int): String = this.drop(by)

object Registry {
  fun clear() { entries.clear() }
}
"""
SCALA = """\
package a.b

import c.D

/** A queue of \u03b1. */
@deprecated
class Queue[A](size: Int) extends Base with Named {
  /** Puts one in. */
  override def put(a: A): Int = {
    val x = new Thing { def hidden = 1 }
    size + 1
  }
  def twice(a: Int) = a * 2
  def later(): Int = ???
  def declared(): Int
}

object Queue { def empty = new Queue(0) }
"""
BASH = """\
#!/bin/bash
# Puts things where they belong; \u00e9t\u00e9.

set -e

# Copies a file.
# Leaves the old one.
copy_file() {
  local from=$1
  cat <<EOS
   as it is
EOS
  cp "$from" "$2"
}

function quiet {
  "$@" > /dev/null
}
"""
SQL = """\
-- Adds two numbers; \u00e9t\u00e9.
CREATE FUNCTION shop.add(a integer, b integer) RETURNS integer AS $$
BEGIN
  RETURN a + b;
END;
$$ LANGUAGE plpgsql;

/* What is in the shop. */
CREATE TABLE shop.things (
  id INT PRIMARY KEY, -- counted
  name TEXT NOT NULL
);

CREATE VIEW names AS SELECT name FROM things;
"""
TSX = """\
/** A b\u00fctton that can be pressed. */
export function Button({ text }: Props) {
  return <button onClick={() => { press(text); }}>{text}</button>;
}
"""

SOURCES: dict[str, tuple[str, list[str]]] = {
    "Python": (
        PYTHON,
        [
            "module a.x 4 Tells how far things are apart; \u00e9t\u00e9.",
            "function fetch 2 Reads what is at a URL.\n\n:param url: where",
            "class Plan 4 A plan of \u4e2d\u6587 rooms.",
            "method Plan.area 1 ",
            "class Plan.Inner 0 Only words here.",
            "method Plan.todo 0 Will be there one day.",
            "function outer 2 ",
        ],
    ),
    "JavaScript": (
        JAVASCRIPT,
        [
            "module a.x 7 Ways to draw a chart.\n@module draw",
            "function line 1 Draws a line \u2014 a long one.\n@param {Point} a where it begins",
            "function twice 1 Twice as much of it.",
            "function half 1 ",
            "method Chart.scale 1 ",
            "class Chart 2 ",
            "method Chart.show 2 Says what is wanted.",
            "method Chart.hide 1 ",
            "function helper 1 Inside of the file's own function.",
        ],
    ),
    "TypeScript": (
        TYPESCRIPT,
        [
            "module a.x 5 ",
            "class Named 1 What has a \u00fcnique name.",
            "function pick 1 Picks the one that is asked for.",
            "class Store 2 Holds things for a while.",
            "method Store.put 1 Puts a thing into it.",
            "class Level 2 ",
        ],
    ),
    "TSX": (TSX, ["module a.x 1 ", "function Button 1 A b\u00fctton that can be pressed."]),
    "Java": (
        JAVA,
        [
            "module a.x 4 ",
            "class Counter 4 Counts things of every kind, int or not.\n\nNot safe for threads.",
            "method Counter.add 3 Adds \u00e9verything that is count counted.",
            "method Counter.Counter 1 ",
            "class Colour 3 ",
            "method Colour.code 1 ",
        ],
    ),
    "Go": (
        GO,
        [
            "module a.x 5 Package shapes has sh\u00e4pes.",
            "function Area 1 Area is what it covers.",
            "method Square.Grow 2 Grow makes it larger.",
            "class Square 1 Square has sides.",
        ],
    ),
    "Rust": (
        RUST,
        [
            "module a.x 5 Rooms of a house; \u00e9tage par \u00e9tage.",
            "class Room 1 A room with a door.\nIt may be locked.",
            "class Room 2 ",
            "method Room.open 2 Opens the door.",
            "method Room.later 0 ",
            "class Lock 2 ",
            "method Lock.is_locked 1 ",
            "function f 1 ",
        ],
    ),
    "C": (
        C,
        [
            "module a.x 6 Buffers of a \u00fcser.",
            "function make 2 Makes a buffer.\n@param size in bytes",
            "function plain 1 ",
            "class pair 1 A pair of numbers.",
            "class node 2 ",
        ],
    ),
    "C++": (
        CPP,
        [
            "module a.x 3 ",
            "class Stack 4 A stack of \u4e2d values.",
            "method Stack.Stack 1 Makes an empty one.",
            "method Stack.operator< 1 ",
            "method ns.Stack.size 1 Counts them all.",
        ],
    ),
    "C#": (
        CSHARP,
        [
            "module a.x 2 ",
            "class Ledger 4 Keeps \u00e4ccounts.",
            "method Ledger.Add 2 Adds an entry.\n\n@param entry what is N.Entry",
            "method Ledger.Twice 1 ",
            "method Ledger.operator + 1 ",
        ],
    ),
    "Ruby": (
        RUBY,
        [
            "module a.x 2 Things of a garden.",
            "class Garden 1 A garden with b\u00e9ds.",
            "class Garden.Bed 3 Where things grow.",
            "method Garden.Bed.plant 3 Plants something.\n\n@param what [String] its name",
            "method Garden.Bed.<=> 1 ",
        ],
    ),
    "PHP": (
        PHP,
        [
            "module a.x 4 ",
            "class Mailer 2 Sends lett\u00e9rs.",
            "method Mailer.send 2 Sends one letter.",
            "function hello 1 Says hello to all.",
        ],
    ),
    "Kotlin": (
        KOTLIN,
        [
            "module a.x 5 ",
            "class Oven 3 Keeps things w\u00e4rm.",
            "method Oven.heat 2 Heats it up.",
            "method Oven.double 1 ",
            "function shorten 1 Makes it shorter.",
            "class Registry 1 ",
            "method Registry.clear 1 ",
        ],
    ),
    "Scala": (
        SCALA,
        [
            "module a.x 4 ",
            "class Queue 4 A queue of \u03b1.",
            "method Queue.put 2 Puts one in.",
            "method Queue.twice 1 ",
            "method Queue.later 0 ",
            "class Queue 1 ",
            "method Queue.empty 1 ",
        ],
    ),
    "Bash": (
        BASH,
        [
            "module a.x 3 Puts things where they belong; \u00e9t\u00e9.",
            "function copy_file 3 Copies a file.\nLeaves the old one.",
            "function quiet 1 ",
        ],
    ),
    "SQL": (
        SQL,
        [
            "module a.x 3 ",
            "function shop.add 1 Adds two numbers; \u00e9t\u00e9.",
            "class shop.things 2 What is in the shop.",
            "class names 1 ",
        ],
    ),
}
LANGUAGES = tuple(SOURCES)
# Where a grammar accepts a method, or a function at all.
AROUND = {"PHP": ("<?php class X {\n%s\n}", "<?php\n%s", "%s"), "Go": ("%s\n",)}


def parsed(text: str, language: str) -> Parsed:
    found = parse(text, language_named(language))
    assert isinstance(found, Parsed)
    return found


def named(text: str, language: str) -> dict[str, Unit]:
    return {unit.qualname: unit for unit in units(parsed(text, language), "a.x")}


def one(text: str, language: str) -> Unit:
    """The only unit but the module."""
    return units(parsed(text, language), "a.x")[-1]


def is_whole(text: str, language: str) -> bool:
    """Whether the grammar understands all of a text, alone or as a member of a class."""
    around = AROUND.get(language, ("%s\n", "class X {\n%s\n}", "class X {\n%s\n};", "impl X {\n%s\n}"))
    return any(not parsed(each % text, language).root.has_error for each in around)


def test_every_language_that_is_parsed_has_a_shape_and_a_source() -> None:
    assert set(SHAPES) == {language.name for language in PARSED} == set(SOURCES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_units_of_a_text_are_found(language: str) -> None:
    text, expected = SOURCES[language]
    found = units(parsed(text, language), "a.x")
    assert [f"{unit.kind} {unit.qualname} {unit.statements} {unit.doc}" for unit in found] == expected


@pytest.mark.parametrize("language", LANGUAGES)
def test_places_fit_into_each_other(language: str) -> None:
    tree = parsed(SOURCES[language][0], language)
    for unit in units(tree, "a.x"):
        assert tree.between(unit.start, unit.end).strip()
        assert unit.start <= unit.body_start < unit.body_end <= unit.end
        assert (unit.doc == "") == (unit.doc_start == -1)
        if unit.doc and unit.kind != "module":
            assert unit.doc_end <= unit.start or unit.start < unit.doc_start < unit.end
            assert unit.doc.split()[0] in tree.between(unit.doc_start, unit.doc_end)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_answer_parses_as_its_source_did(language: str) -> None:
    tree = parsed(SOURCES[language][0], language)
    for unit in units(tree, "a.x"):
        text = answer(tree, unit)
        assert is_whole(text, language), text
        assert text == text.strip("\n")


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_answer_does_not_repeat_the_documentation(language: str) -> None:
    tree = parsed(SOURCES[language][0], language)
    for unit in units(tree, "a.x"):
        if unit.doc:
            assert unit.doc.splitlines()[0] not in answer(tree, unit)


@pytest.mark.parametrize("language", LANGUAGES)
def test_literals_keep_their_indentation(language: str) -> None:
    tree = parsed(SOURCES[language][0], language)
    for unit in units(tree, "a.x"):
        kept = [line for line in tree.between(unit.start, unit.end).splitlines() if line.strip() == "as it is"]
        assert [line for line in answer(tree, unit).splitlines() if line.strip() == "as it is"] == kept


@pytest.mark.parametrize("language", LANGUAGES)
def test_units_can_be_sent_between_processes(language: str) -> None:
    found = units(parsed(SOURCES[language][0], language), "a.x")
    assert pickle.loads(pickle.dumps(found)) == found


PIECES = (
    "\u00e9", "\u4e2d", "{", "}", "(", ")", "/*", "*/", "//", "#", "\n\n", "\r\n", "\t", ";", "<", "=", "", "@", '"',
    "'",
)  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_no_broken_text_breaks_it(language: str, data: st.DataObject) -> None:
    text = SOURCES[language][0]
    for _ in range(data.draw(st.integers(1, 3))):
        start, end, to = (data.draw(st.integers(0, len(text))) for _ in range(3))
        span = data.draw(st.sampled_from((text[start : start + 40], *PIECES)))
        text = text[:to] + span + text[to:] if data.draw(st.booleans()) else text[:start] + text[max(start, end) :]
    if not text.strip():
        return
    found = parse(text, language_named(language))
    if not isinstance(found, Parsed):
        return
    for unit in units(found, "a.x"):
        documented(unit)
        answer(found, unit)
        assert 0 <= unit.start < unit.end <= len(found.data)
        for start, end in ((unit.start, unit.end), (unit.body_start, unit.body_end), (unit.doc_start, unit.doc_end)):
            assert start == end == -1 or 0 <= start <= end <= len(found.data)
            assert start == -1 or isinstance(found.between(start, end), str)  # UnicodeDecodeError if inside a letter


def test_what_has_an_error_is_left_out_and_the_rest_is_not() -> None:
    found = named(
        "def good():\n    return 1\n\n\ndef bad():\n    return ) (\n\n\nclass A:\n    def m(self):\n        pass\n",
        "Python",
    )
    assert "good" in found
    assert not {"bad", "a.x"} & set(found)


@pytest.mark.parametrize(
    ("language", "text", "signature"),
    [
        ("Python", PYTHON, "@cache @retry(times=3) async def fetch(url: str, *, timeout_s: float = 1.0) -> bytes:"),
        ("Python", "class A(\n    B,  # first\n    C,\n):\n    x = 1\n", "class A( B, C, ):"),
        ("JavaScript", "const f = async (a,\n  b) => {\n  return a;\n};\n", "const f = async (a, b) =>"),
        ("C", "static int *f(int a)\n{\n  return 0;\n}\n", "static int *f(int a)"),
        ("C++", "template <class T>\nclass A : public B<T> { int x; };\n", "template <class T> class A : public B<T>"),
        (
            "Rust",
            "#[inline]\npub fn f<T>(a: T) -> i32\nwhere T: X { 1 }\n",
            "#[inline] pub fn f<T>(a: T) -> i32 where T: X",
        ),
        ("Kotlin", "fun String.f(a: Int): Int = a\n", "fun String.f(a: Int): Int"),
        ("Kotlin", "data class P(val a: Int)\n", "data class P(val a: Int)"),
        ("Scala", "def f(a: Int): Int = {\n  a\n}\n", "def f(a: Int): Int"),
        ("Ruby", "def f(a, b = 1)\n  a\nend\n", "def f(a, b = 1)"),
        ("Go", "type T struct {\n\ta int\n}\n", "type T struct"),
        ("Bash", "f() {\n  ls\n}\n", "f()"),
    ],
)
def test_a_signature_is_the_head_on_one_line(language: str, text: str, signature: str) -> None:
    assert signature in [unit.signature for unit in units(parsed(text, language), "a.x")]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("JavaScript", "// One thing.\n\nfunction f() { g(); }\n"),
        ("JavaScript", "let a = 1; // One thing.\nfunction f() { g(); }\n"),
        ("JavaScript", "// function f() { g(); }\nfunction f() { g(); }\n"),
        ("JavaScript", "// eslint-disable-next-line complexity\nfunction f() { g(); }\n"),
        ("JavaScript", "/* Copyright (c) 2020 Somebody */\nfunction f() { g(); }\n"),
        ("JavaScript", "/** @fileoverview Of the file. */\nfunction f() { g(); }\n"),
        ("C", "/* static */ int f(void) { return g(); }\n"),
        ("Python", "# type: ignore\ndef f():\n    return g()\n"),
        ("Python", "# x = 1\n# if x:\n#     g(x)\ndef f():\n    return g()\n"),
        ("Python", 'def f():\n    f"""{g}"""\n    return g()\n'),
        ("Python", "#!/usr/bin/python\n# -*- coding: utf-8 -*-\ndef f():\n    return g()\n"),
        ("Go", "package p\n\n//go:noinline\nfunc f() int { return g() }\n"),
        ("Rust", "//! Of the file.\nfn f() -> i32 { g() }\n"),
        ("PHP", "<?php\n// phpcs:ignore\nfunction f() { return g(); }\n"),
        ("Ruby", "# rubocop:disable Metrics\ndef f\n  g\nend\n"),
    ],
)
def test_what_is_no_documentation_is_none(language: str, text: str) -> None:
    assert one(text, language).doc == ""
    assert one(text, language).doc_start == -1


@pytest.mark.parametrize(
    ("language", "text", "doc"),
    [
        ("JavaScript", "/* Of the file. */\nimport a from 'a';\n", "Of the file."),
        ("JavaScript", "// Of f.\nfunction f() { g(); }\n", ""),
        ("JavaScript", "// Of the file.\n\nfunction f() { g(); }\n", "Of the file."),
        ("JavaScript", "/** @fileoverview Of the file. */\nfunction f() { g(); }\n", "Of the file."),
        ("C", "// SPDX-License-Identifier: MIT\n\n// Of the file.\n#include <a.h>\n", "Of the file."),
        ("C", "/* What f does. */\nint f(int a);\n", ""),
        ("Go", "//go:build linux\n\n// Package p is.\npackage p\n", "Package p is."),
        ("Rust", "/// Of the struct.\nmod inner;\n", ""),
        ("Bash", "#!/bin/sh\n# Of the file.\n\nls\n", "Of the file."),
        ("Python", "# Of the file.\n\nimport a\n", "Of the file."),
        ("Python", '# Not this.\n"""Of the file."""\nimport a\n', "Of the file."),
    ],
)
def test_a_file_is_documented_by_what_speaks_of_it(language: str, text: str, doc: str) -> None:
    assert units(parsed(text, language), "a.x")[0].doc == doc


def test_a_comment_joins_the_lines_of_its_kind_only() -> None:
    assert one("// ----\n// Rooms\n/// A room.\n/// With a door.\nstruct Room { a: i32 }\n", "Rust").doc == (
        "A room.\nWith a door."
    )
    assert one("/* First. */\n/* Second. */\nint f(void) { return 1; }\n", "C").doc == "Second."


def test_lines_of_a_literal_are_no_comments() -> None:
    assert one('x = """\n# Not this."""\n# But this.\ndef f():\n    return 1\n', "Python").doc == "But this."


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('def f():\n    """Doc."""\n', "def f():\n    pass"),
        ('def f(): """Doc."""; return 1\n', "def f(): return 1"),
        ('def f():\n    r"""Doc."""\n\n    # why\n    return 1\n\n\n', "def f():\n    # why\n    return 1"),
        ('class A:\n  x = 1\n  def f(self):\n    "Doc."\n    return 1\n', "def f(self):\n  return 1"),
        ("if x:\n\tdef f():\n\t\ty = '''\n\ta'''\n\t\treturn y\n", "def f():\n\ty = '''\n\ta'''\n\treturn y"),
    ],
)
def test_an_answer_of_python_has_no_docstring_and_stands_alone(text: str, code: str) -> None:
    found = answer(parsed(text, "Python"), one(text, "Python"))
    assert found == code
    ast.parse(found)


@pytest.mark.parametrize(
    ("language", "text", "code"),
    [
        ("Python", '#!/bin/x\n# Copyright 2020 A\n#\n# All of it.\n\n"""Doc."""\n\nx = 1\n', "#!/bin/x\nx = 1"),
        ("Python", '"""Doc."""\n\n# Copyright 2020 A\n\n# Of it.\nx = 1\n', "# Of it.\nx = 1"),
        ("Python", '"""Doc."""\n# (c) 2020 A\nimport a\n# (c) 2021 A\n', "import a\n# (c) 2021 A"),
        ("Go", "// Copyright 2020 A\n\n//go:build x\n\n// Doc.\npackage a\n", "//go:build x\n\npackage a"),
        ("Java", "/*\r\n * Licensed under the MIT License.\r\n */\r\n\r\npackage a;\r\n", "package a;"),
        ("JavaScript", "/* (c) 2020 A */ /** @file Doc. */\n\n  let a = `\n  b`;\n", "let a = `\n  b`;"),
        ("C", "// Copyright 2020 A\n\n// All rights reserved.\n#pragma once\n  int a;\n", "#pragma once\n  int a;"),
        ("PHP", "<?php\n// SPDX-License-Identifier: MIT\n$a = 1;\n", "<?php\n$a = 1;"),
        ("Ruby", "# One more.\n\n# Copyright 2020 A\n\n# Doc.\n\nrequire 'a'\n", "# Doc.\n\nrequire 'a'"),
    ],
)
def test_an_answer_of_a_module_has_no_licence_above_its_code(language: str, text: str, code: str) -> None:
    assert answer(parsed(text, language), units(parsed(text, language), "a.x")[0]) == code


def test_the_body_begins_behind_the_docstring() -> None:
    tree = parsed(PYTHON, "Python")
    fetch = named(PYTHON, "Python")["fetch"]
    assert tree.between(fetch.body_start, fetch.body_end) == "answer = await get(url)\n    return answer"
    assert tree.between(fetch.doc_start, fetch.doc_end).startswith('"""Reads')


def test_attributes_belong_to_the_unit_and_its_comment_does_not() -> None:
    tree = parsed(RUST, "Rust")
    unit = named(RUST, "Rust")["Room.open"]
    assert tree.between(unit.start, unit.end).startswith("#[inline]\n    pub fn open")
    tree = parsed(TYPESCRIPT, "TypeScript")
    unit = named(TYPESCRIPT, "TypeScript")["Store.put"]
    assert tree.between(unit.start, unit.end).startswith("@log()\n  public put")


def test_a_semicolon_behind_a_type_belongs_to_it() -> None:
    assert answer(parsed(C, "C"), named(C, "C")["node"]).endswith("};")
    assert answer(parsed(SQL, "SQL"), named(SQL, "SQL")["names"]).endswith("things;")


@pytest.mark.parametrize(
    ("language", "text", "statements"),
    [
        ("Python", "def f():\n    pass\n", 0),
        ("Python", "def f():\n    ...\n", 0),
        ("Python", "def f():\n    return 1\n", 1),
        ("Java", "class A { void f() { } }", 0),
        ("Java", "class A { int f() { throw new UnsupportedOperationException(); } }", 0),
        ("JavaScript", "function f() { throw new Error('not implemented'); }", 0),
        ("JavaScript", "const f = (a) => a;", 1),
        ("Rust", "fn f() { unimplemented!() }", 0),
        ("Go", "package p\n\nfunc f() {\n\ta := 1\n\tg(a)\n}\n", 2),
        ("Kotlin", "fun f() {\n  TODO()\n}\n", 0),
        ("Ruby", "def f\n  raise NotImplementedError\nend\n", 0),
    ],
)
def test_a_stub_has_no_statements(language: str, text: str, statements: int) -> None:
    assert one(text, language).statements == statements


CHINESE = "\u8fd4\u56de\u4e24\u4e2a\u70b9\u4e2d\u7684\u7b2c\u4e8c\u4e2a\u70b9"
BODY = "{\n  const a = first(b);\n  return second(a, b);\n}\n"


@pytest.mark.parametrize(
    ("comment", "body", "expected"),
    [
        ("/** Finds the second of two. */", BODY, True),
        ("/** Finds it. */", BODY, False),
        ("/** @param {Point} b the point that is second of two */", BODY, False),
        ("/** TODO: say what this function is good for. */", BODY, False),
        ("/** ======================================= */", BODY, False),
        (f"/** {CHINESE} */", BODY, True),
        ("/** Finds the second of two. */", "{ return 1; }\n", False),
        ("/** Finds the second of two. */", "{ throw new Error('this is not implemented yet'); }\n", False),
    ],
)
def test_a_unit_is_documented_by_prose_and_code(comment: str, body: str, expected: bool) -> None:
    assert documented(one(f"{comment}\nfunction f(b) {body}", "JavaScript")) == expected


@pytest.mark.parametrize(
    "end", ["\n@", "\n@Foo", "\n@/*", "\r@Foo", "\n@Foo(a b", "\n@Foo\n@Bar(", "\n@Foo @Bar(", "\n@Foo(\r b", "\n/* @"]
)
def test_a_text_of_kotlin_that_ends_in_an_annotation_is_read_to_its_end(end: str) -> None:
    text = f"class A {{\n  val x = 1{end}"
    assert parsed(text, "Kotlin").data == text.encode()


def test_a_text_that_takes_too_long_is_refused() -> None:
    assert parse("x = 1\n" * 20_000, language_named("Python"), timeout_s=0.0) == Failed("not parsed in 0 s")
