"""The tiny model, once a session."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tiny_model import make_tiny_model
from tiny_run import make_shards


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shards(tmp_path_factory.mktemp("data") / "shards", replay=20)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    # Tiny products gain nothing from more threads, and the suite may run beside others.
    torch.set_num_threads(1)
