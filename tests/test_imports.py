"""Who may import whom: the rules of ARCHITECTURE.md, kept by reading every import statement."""

import ast

import pytest

from harness.core.files import ROOT

ALLOWED = {
    "harness.core": {"harness.core"},
    "harness.conduct": {"harness.conduct", "harness.core"},
    "harness.cell": {"harness.cell", "harness.core"},
    "cases": {"cases", "harness.cell", "harness.core"},
    "reports": {"reports", "harness.core"},
}
TORCH_FREE = ["harness.core", "harness.conduct", "harness.cell.data", "reports"]


def modules_of(package):
    folder = ROOT / package.replace(".", "/")
    return sorted(folder.rglob("*.py"))


def imports_of(path):
    """Every module that a file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def belongs(module, packages):
    return any(module == package or module.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_the_packages_of_ours_that_it_may(package):
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules_of(package)
        for name in imports_of(path)
        if belongs(name, ["harness", "cases", "reports"]) and name not in ("harness", "cases")
        if not belongs(name, ALLOWED[package])
    ]
    assert modules_of(package)
    assert found == []


@pytest.mark.parametrize("package", TORCH_FREE)
def test_the_packages_outside_the_pins_do_without_torch(package):
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules_of(package)
        for name in imports_of(path)
        if belongs(name, ["torch", "torchvision"])
    ]
    assert found == []


def test_only_compat_looks_at_the_version_of_torch():
    paths = [path for path in modules_of("harness.cell") if path.name != "compat.py"] + modules_of("cases")
    found = []
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare) and "torch.__version__" in ast.unparse(node):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} asks for the version")
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "hasattr" and "torch" in ast.unparse(node):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} asks what torch has")
    assert found == []
