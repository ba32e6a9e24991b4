"""The fixtures that make results folders, and the browser that looks at pages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from browser import BINARY, DRIVER, MISSING, Browser
from results_folder import Folder

from harness.core import cases
from harness.core.declaration import Case


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Folder]:
    """Makes a results folder with a plan: `folder(["1.10.0", "1.12.1"], rounds=3)`."""

    def make(pins: list[str] | None = None, rounds: int = 1, *, name: str = "quick", **settings: Any) -> Folder:
        return Folder(tmp_path / name, pins or ["1.10.0", "1.12.1"], rounds, **settings)

    return make


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, Case], None]]:
    """Makes a case known beside those of the project: `declare("sized", Case(...))`."""
    known = cases.case_names()
    folder = tmp_path / "cases"

    def make(name: str, case: Case) -> None:
        for each in (*known, name):
            path = folder / each.replace("-", "_") / "__init__.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        module = ModuleType(cases.package_of(name), "A case of these tests.")
        module.CASE = case  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(cases, "FOLDER", folder)
        cases.read_case.cache_clear()

    yield make
    cases.read_case.cache_clear()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium; tests that need it are skipped where there is none."""
    if not (BINARY and DRIVER):
        pytest.skip(MISSING)
    browser = Browser()
    yield browser
    browser.driver.quit()
