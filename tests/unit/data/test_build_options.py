"""What may be chosen of a build, and what is refused, with everything that is wrong at once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tunesmith.data.codebase.options import LEAST, Options, flag_of, options_of
from tunesmith.errors import InvalidArgument

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def refused(**given: Any) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as error:
        options_of(given, NOW)
    return {violation.field: violation.message for violation in error.value.violations}


def test_nothing_chosen_is_the_defaults() -> None:
    assert options_of({}, NOW) == Options()


def test_what_is_given_as_json_is_what_was_chosen() -> None:
    chosen = options_of({"rules": ["a/**: mean_line=50, accept=data"], "kinds": ["chat", "fim", "fim"]}, NOW)
    assert chosen.kinds == ("fim", "chat")
    assert options_of({"rules": chosen.rule_texts(), "kinds": list(chosen.kinds)}, NOW) == chosen


def test_every_fault_is_named_at_once() -> None:
    found = refused(kinds=["poem"], split_by="size", seed=-1, rules=["a", "b: longest=1"], since="soon", suites=[])
    assert set(found) == {"--kinds", "--split", "--seed", "--limit", "--since"}


@pytest.mark.parametrize("name", LEAST)
def test_a_number_below_the_least_is_refused(name: str) -> None:
    options_of({name: max(LEAST[name], 10) if name == "evaluation_rows" else LEAST[name]}, NOW)
    assert f"must be at least {LEAST[name]:,}" in refused(**{name: LEAST[name] - 1})[flag_of(name)]


@pytest.mark.parametrize("glob", ["!", "[z-a]", "*a*a*a*a", "a/**/b/**/c/**/d/**/e"])
def test_a_glob_that_fits_nothing_or_costs_hours_is_refused(glob: str) -> None:
    assert set(refused(include=[glob])) == {"--include"}
    assert set(refused(exclude=[glob])) == {"--exclude"}
    assert set(refused(rules=[f"{glob}: mean_line=1"])) == {"--limit"}


def test_a_day_that_has_not_come_is_refused() -> None:
    assert "has not come yet" in refused(since="2026-11-25", split_by="time")["--since"]
    assert options_of({"since": "2026-11-23", "split_by": "time"}, NOW).since == "2026-11-23"
