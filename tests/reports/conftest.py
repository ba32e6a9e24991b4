"""The fixtures that make results folders, and the browser that looks at pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import BINARY, DRIVER, MISSING, Browser
from results_folder import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Folder]:
    """Makes a results folder with a plan: `folder(["1.10.0", "1.12.1"], rounds=3)`."""

    def make(pins: list[str] | None = None, rounds: int = 1, *, name: str = "quick", **settings: Any) -> Folder:
        return Folder(tmp_path / name, pins or ["1.10.0", "1.12.1"], rounds, **settings)

    return make


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium; tests that need it are skipped where there is none."""
    if not (BINARY and DRIVER):
        pytest.skip(MISSING)
    browser = Browser()
    yield browser
    browser.driver.quit()
