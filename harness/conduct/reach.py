"""Which code a run can reach: what a change makes its record stale, and nothing else.

It is followed from all that is in the case's folder and from what every run starts with, through import statements and
through strings that are the name of a module of ours: modules are also started by `python -m`, and imported by name.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from harness.core.cases import package_of
from harness.core.files import ROOT, digest_of_files

ENTRY = "harness.cell.__main__"
"""What every run starts with."""

MODEL = "harness.cell.model"
"""Imports the model that the spec names: where it is reached, so is that."""


class OwnCode:
    """The modules of a project, each of which is read once."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.named: dict[Path, list[str]] = {}

    def digest(self, case: str, model: str) -> str:
        """sha256 of the code that a run of the case can reach with the model of that package."""
        return digest_of_files(self.reached(case, model), self.root)

    def reached(self, case: str, model: str) -> set[Path]:
        """The files of that code."""
        return self.with_model(self.follow(*self.modules_in(package_of(case)), ENTRY), model)

    def digest_of_program(self, module: str, model: str) -> str:
        """sha256 of the code that a program can reach with the model of that package."""
        return digest_of_files(self.with_model(self.follow(module), model), self.root)

    def with_model(self, files: set[Path], model: str) -> set[Path]:
        """These files, and those of the model where it is one of them that imports it."""
        return files | self.follow(model) if model and self.file_of(MODEL) in files else files

    def modules_in(self, package: str) -> list[str]:
        """All modules in the folder of a package and below: a case is a folder, whatever names what is in it."""
        files = self.root.joinpath(*package.split(".")).rglob("*.py")
        parts = sorted(file.relative_to(self.root).with_suffix("").parts for file in files)
        return [".".join(one[:-1] if one[-1] == "__init__" else one) for one in parts]

    def follow(self, *modules: str) -> set[Path]:
        """The files of these modules and of all that they lead to."""
        found: set[Path] = set()
        waiting = list(modules)
        while waiting:
            for file in self.files_of(waiting.pop()):
                if file not in found:
                    found.add(file)
                    waiting += self.names_in(file)
        return found

    def files_of(self, module: str) -> Iterator[Path]:
        """The file of a module, and those of the packages that are imported on the way; none if it is not ours."""
        file = self.file_of(module)
        if file:
            yield file
            for folder in file.parents[: module.count(".") + 1]:
                if folder != self.root and (folder / "__init__.py").is_file():
                    yield folder / "__init__.py"

    def file_of(self, module: str) -> Path | None:
        """The file of a module or package of ours, or None."""
        parts = module.split(".")
        if not all(part.isidentifier() for part in parts):
            return None
        place = self.root.joinpath(*parts)
        files = (place.with_suffix(".py"), place / "__init__.py")
        return next((file for file in files if file.is_file()), None)

    def names_in(self, file: Path) -> list[str]:
        """The names in a file that may be modules."""
        if file not in self.named:
            tree = ast.parse(file.read_bytes(), file)
            package = file.relative_to(self.root).parent.parts
            self.named[file] = [name for node in ast.walk(tree) for name in names_of(node, package)]
        return self.named[file]


def names_of(node: ast.AST, package: tuple[str, ...]) -> Iterator[str]:
    """The names that a node of a file of the package imports, or has as a string. A string with a dot, that is: one
    word alone may be anything."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package[: len(package) - node.level + 1] if node.level else ()
        module = ".".join([*above, *filter(None, [node.module])])
        yield module
        yield from (f"{module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
        yield node.value
        yield f"{node.value}.__main__"
