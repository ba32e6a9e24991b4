"""The cases there are: every folder in `cases/` that declares one."""

from __future__ import annotations

import importlib
from dataclasses import replace
from functools import cache

from harness.core.declaration import Case
from harness.core.errors import UsageError
from harness.core.files import ROOT

FOLDER = ROOT / "cases"


def case_names() -> list[str]:
    """The names of all cases: `broken-images` is in the folder broken_images."""
    return sorted(path.parent.name.replace("_", "-") for path in FOLDER.glob("[a-z]*/__init__.py"))


def package_of(case: str) -> str:
    """The package that declares the case."""
    return f"cases.{case.replace('-', '_')}"


@cache
def read_case(name: str) -> Case:
    """The declaration of a case; `UsageError` where there is none of that name, or it cannot be used."""
    names = case_names()
    if name not in names:
        raise UsageError(f"There is no case {name!r}: cases/ has {', '.join(names)}.")
    where = f"cases/{name.replace('-', '_')}/__init__.py"
    try:
        module = importlib.import_module(package_of(name))
        declared = module.CASE
    except Exception as error:  # whatever its author has done wrong
        raise UsageError(f"{where} cannot be used ({type(error).__name__}: {error}).") from None
    if not isinstance(declared, Case):
        raise UsageError(f"{where}: CASE is no harness.core.declaration.Case.")
    return replace(declared, name=name, about=(module.__doc__ or "").strip())


def all_cases() -> dict[str, Case]:
    """Every case by its name."""
    return {name: read_case(name) for name in case_names()}
