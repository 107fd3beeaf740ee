"""The command `data build` beside the library: one set of defaults; and what it says while it works."""

from __future__ import annotations

import dataclasses
import inspect
import io

import typer

from tunesmith.build_command import data_build, progress_on
from tunesmith.data.codebase.options import LEAST, Options

CALLED = {"rules": "limit", "split_by": "split", "most_rows": "max_rows", "suites": "suite"}
"""Options by the names that the command has for them, where they differ."""


def test_the_command_has_every_option_with_its_default() -> None:
    given = inspect.signature(data_build).parameters
    for field in dataclasses.fields(Options):
        default = given[CALLED.get(field.name, field.name)].default
        ours = ",".join(field.default) if field.name == "kinds" else field.default
        assert default == (None if ours == () else ours), field.name


def test_the_command_has_the_bounds_of_the_options() -> None:
    given = inspect.signature(data_build, eval_str=True).parameters
    for name, least in LEAST.items():
        said = given[CALLED.get(name, name)].annotation.__metadata__
        (option,) = [one for one in said if isinstance(one, typer.models.OptionInfo)]
        assert option.min == least, name


def test_where_nobody_watches_each_phase_has_a_line() -> None:
    said = io.StringIO()
    with progress_on(said) as tell:
        for done in range(5):
            tell("reading", done * 1_000_000, 4_000_000)
        tell("writing", 0, 0)
    assert said.getvalue() == "reading 0% of 4.0 MB ...\nwriting ...\n"
