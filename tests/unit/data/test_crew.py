"""Processes work on files; one that dies or hangs on a file costs that file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.codebase.crew import LOT_ITEMS, Crew, Lost

COMMAND = (sys.executable, str(Path(__file__).parents[2] / "crew_tasks.py"))


def crew(processes: int = 2, item_timeout_s: float = 60.0) -> Crew:
    return Crew(processes, item_timeout_s, COMMAND)


def run(task: str, count: int, *, item_timeout_s: float = 60.0) -> list[tuple[int, Any]]:
    with crew(item_timeout_s=item_timeout_s) as own:
        return list(own.map(task, range(count), lambda _: 1))


def test_every_item_has_its_result_in_order() -> None:
    assert run("double", 5 * LOT_ITEMS + 3) == [(item, 2 * item) for item in range(5 * LOT_ITEMS + 3)]


def test_no_items_have_no_results() -> None:
    assert run("double", 0) == []


def test_a_process_that_dies_costs_the_item_it_died_of() -> None:
    results = run("die_at_seven", 100)
    assert results[7] == (7, Lost("the process that read it ended with 139"))
    assert [result for item, result in results if item != 7] == [item for item in range(100) if item != 7]


def test_a_process_that_hangs_is_ended_and_costs_the_item_it_hung_on() -> None:
    results = run("hang_at_seven", 9, item_timeout_s=4.0)
    assert results[7][1] == Lost("took too long, or too much memory")
    assert results[8][1] == 8


def test_a_process_without_memory_costs_the_item_that_took_it(capfd: pytest.CaptureFixture[str]) -> None:
    results = run("starve_at_seven", 70)
    assert results[7][1] == Lost("took too much memory")
    assert results[69][1] == 69
    assert capfd.readouterr().err == ""


def test_a_fault_of_ours_is_raised_with_its_trace() -> None:
    with pytest.raises(LookupError, match="seven") as error:
        run("raise_at_seven", 10)
    assert "raise_at_seven" in error.value.__notes__[0]


def test_a_crew_ends_its_processes() -> None:
    with crew() as own:
        pids = {pid for _, pid in own.map("who", range(4 * LOT_ITEMS), lambda _: 1)}
    assert pids
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_crew_that_is_left_in_the_middle_ends_its_processes() -> None:
    with crew() as own:
        results = own.map("who", iter(range(10**9)), lambda _: 1)
        pid = next(results)[1]
        results.close()  # type: ignore[attr-defined]
    assert not Path(f"/proc/{pid}").exists()


def test_items_are_asked_for_as_they_can_be_worked_on() -> None:
    asked = []

    def items() -> Any:
        for item in range(100_000):
            asked.append(item)
            yield item

    with crew() as own:
        next(own.map("double", items(), lambda _: 1))
        assert len(asked) <= 12 * LOT_ITEMS
