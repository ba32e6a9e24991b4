"""Who may import whom: the rules of ARCHITECTURE.md, kept by reading every import statement."""

import ast

import pytest

from harness.core import training
from harness.core.cases import all_cases
from harness.core.files import ROOT

ALLOWED = {
    "harness.core": {"harness.core"},
    "harness.conduct": {"harness.conduct", "harness.core"},
    "harness.cell": {"harness.cell", "harness.core"},
    "reports.evidence": {"reports.evidence", "harness.core"},
    "reports.judge": {"reports.judge", "reports.evidence", "harness.core"},
    "reports.proofs": {"reports.proofs", "reports.judge", "reports.evidence", "harness.core"},
    "reports": {"reports", "harness.core"},
}
CASES = sorted(path.parent for path in (ROOT / "cases").glob("*/__init__.py"))
TORCH_FREE = ["harness.core", "harness.conduct", "harness.cell.data", "reports"]
LABEL = ROOT / "harness" / "cell" / "label.py"
CONSUMERS = sorted((ROOT / "cases").glob("*/consumer/*.py"))


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


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_a_case_declares_itself_by_core_alone_and_its_body_imports_no_other_case(folder):
    own = f"cases.{folder.name}"
    declaration, *body = sorted(folder.rglob("*.py"), key=lambda path: path != folder / "__init__.py")
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (declaration, *body)
        for name in imports_of(path)
        if belongs(name, ["harness", "cases", "reports", "torch", "torchvision", "numpy"])
        and name not in ("harness", "cases")
        if not belongs(name, ["harness.core"])
        and not (path in body and belongs(name, ["harness.cell", own, "torch", "torchvision", "numpy"]))
    ]
    assert body
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


def test_what_runs_in_an_environment_that_is_no_pins_does_without_torch_and_the_cell():
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in [LABEL, *CONSUMERS]
        for name in imports_of(path)
        if belongs(name, ["torch", "torchvision", "harness.cell"])
    ]
    assert CONSUMERS
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


def constants_of(path):
    """Every text in a file's code but its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts
    }


def names_of_cases():
    """What cases and their checks are called, but for names that mean other things too."""
    cases = all_cases()
    checks = {check.name for case in cases.values() for check in case.checks if "_" in check.name}
    return (set(cases) | checks) - {"train", "device"}


SOURCES = [path for package in ("harness", "reports") for path in modules_of(package)]


def test_nothing_outside_a_cases_folder_asks_for_a_case_or_a_check_by_its_name():
    # a fault names the metrics and checks that are to find it
    known = ROOT / "harness" / "core" / "faults.py"
    found = {
        str(path.relative_to(ROOT)): names
        for path in SOURCES
        if path != known and (names := constants_of(path) & names_of_cases())
    }
    assert found == {}


def test_only_what_measures_a_metric_of_every_training_names_it():
    several = (*training.MEMORY, *training.TIMES, training.GPU_BUSY, *training.HEALTH, *training.QUALITY)
    shared = {metric.name for metric in several}
    measuring = {"harness/core/training.py", "harness/core/faults.py", "harness/cell"}
    found = {
        str(path.relative_to(ROOT)): names
        for path in SOURCES
        if not any(path.relative_to(ROOT).as_posix().startswith(place) for place in measuring)
        and (names := constants_of(path) & shared)
    }
    assert found == {}


PARTS_OF_THE_MODEL = ("yolov9", "auxiliary", "box_loss", "dfl", "headmaps", "elan", "repconv")


def test_nothing_outside_its_package_knows_the_parts_of_the_model():
    packages = {ROOT / "harness" / "cell" / name for name in ("yolov9", "official")}
    found = [
        f"{path.relative_to(ROOT)}:{number} has {part}"
        for path in [*SOURCES, *modules_of("cases")]
        if packages.isdisjoint(path.parents)
        for number, line in enumerate(path.read_text(encoding="utf-8").lower().splitlines(), 1)
        for part in PARTS_OF_THE_MODEL
        if part in line
    ]
    assert found == []
