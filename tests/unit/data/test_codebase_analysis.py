"""What one file gives: no two rows that ask the same and are answered differently."""

from __future__ import annotations

from tunesmith.data.codebase.analysis import Cutting, Item, analyse
from tunesmith.data.codebase.limits import Limits

TWICE = b'''
try:
    import fast

    def total(prices):
        """Adds all prices up, with the quick library where there is one."""
        return fast.add(prices) + fast.add([])
except ImportError:

    def total(prices):
        """Adds all prices up, with the quick library where there is one."""
        return sum(price for price in prices)
'''


def units_of(data: bytes) -> list[str]:
    found = analyse(Item("till.py", data, Limits(), Cutting(8000, 1200, 0)))
    return [cut.unit for cut in found.cuts if cut.kind == "instruction"]


def test_what_is_asked_for_by_the_same_words_is_asked_for_once() -> None:
    assert units_of(TWICE) == ["total"]


def test_what_differs_in_its_signature_is_asked_for_twice() -> None:
    assert units_of(TWICE.replace(b"total(prices)", b"total(prices, tax)", 1)) == ["total", "total"]
