"""A house or a service for each test; whatever it has started is gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.house import House
from faults.service import Service


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    opened = House(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A home over the stand-in tasks, with a server; workers are the test's to start."""
    opened = Service(tmp_path)
    try:
        opened.start_server()
        yield opened
    finally:
        opened.close()
