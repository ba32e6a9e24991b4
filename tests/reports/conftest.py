"""The fixture that makes results folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from results_folder import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Folder]:
    """Makes a results folder with a plan: `folder(["1.10.0", "1.12.1"], rounds=3)`."""

    def make(pins: list[str] | None = None, rounds: int = 1, *, name: str = "quick", **settings: Any) -> Folder:
        return Folder(tmp_path / name, pins or ["1.10.0", "1.12.1"], rounds, **settings)

    return make
