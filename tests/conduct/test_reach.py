"""Which change makes whose records stale. Digests are taken of a small project, and of a copy of this one."""

import pytest

from harness.conduct.reach import OwnCode
from harness.core.cases import case_names
from harness.core.files import ROOT

MODEL = "harness.cell.yolov9"


@pytest.fixture
def small(tmp_path):
    """A project with two cases and two models, as files by their names."""
    files = {
        "harness/__init__.py": "",
        "harness/cell/__init__.py": "",
        "harness/cell/__main__.py": "import json\nfrom harness.cell import measured\n",
        "harness/cell/measured.py": "from harness.core.errors import UsageError\n",
        "harness/cell/errand.py": "def late():\n    from harness.cell.learner import learn\n",
        "harness/cell/learner.py": "from harness.cell.model import build\n",
        "harness/cell/model.py": "import importlib\n",
        "harness/cell/one_model/__init__.py": "from .network import NETWORK\n",
        "harness/cell/one_model/network.py": "from .. import measured\n",
        "harness/cell/other_model.py": "",
        "harness/cell/tool/__init__.py": "",
        "harness/cell/tool/__main__.py": "",
        "harness/cell/unused.py": "",
        "harness/core/__init__.py": "",
        "harness/core/errors.py": "",
        "harness/conduct/__init__.py": "",
        "harness/conduct/run.py": "",
        "cases/__init__.py": "",
        "cases/light/__init__.py": "",
        "cases/light/body.py": "PROGRAM = ['-m', 'harness.cell.tool']\nwords = 'see harness.cell.unused'\n",
        "cases/light/parts/unnamed.py": "",
        "cases/heavy/__init__.py": "from harness.core.errors import UsageError\n",
        "cases/heavy/body.py": "PROGRAM = ['-m', 'harness.cell.errand']\n",
        "reports/__init__.py": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def stale(root, *names, cases=("light", "heavy"), model="harness.cell.one_model"):
    """The cases whose digest a change of any of these files changes."""
    before = {case: OwnCode(root).digest(case, model) for case in cases}
    for name in names:
        with (root / name).open("a", encoding="utf-8") as file:
            file.write("\n# changed\n")
    return {case for case in cases if OwnCode(root).digest(case, model) != before[case]}


@pytest.mark.parametrize(
    ("name", "cases"),
    [
        ("cases/light/__init__.py", {"light"}),
        ("cases/light/body.py", {"light"}),
        ("cases/light/parts/unnamed.py", {"light"}),
        ("cases/__init__.py", {"light", "heavy"}),
        ("harness/cell/__main__.py", {"light", "heavy"}),
        ("harness/core/errors.py", {"light", "heavy"}),
        ("harness/cell/errand.py", {"heavy"}),
        ("harness/cell/learner.py", {"heavy"}),
        ("harness/cell/tool/__main__.py", {"light"}),
        ("harness/cell/one_model/network.py", {"heavy"}),
        ("harness/cell/other_model.py", set()),
        ("harness/cell/unused.py", set()),
        ("harness/conduct/run.py", set()),
        ("reports/__init__.py", set()),
    ],
)
def test_a_change_makes_stale_what_can_reach_it_and_nothing_else(small, name, cases):
    assert stale(small, name) == cases


def test_the_model_that_is_named_counts_and_no_other(small):
    assert stale(small, "harness/cell/other_model.py", model="harness.cell.other_model") == {"heavy"}


def test_a_new_file_that_nobody_names_makes_nothing_stale(small):
    (small / "cases" / "new").mkdir()
    (small / "cases" / "new" / "__init__.py").touch()
    assert stale(small, "cases/new/__init__.py") == set()


@pytest.mark.parametrize("name", ["json", "harness.cell.no_such", "not a name", "..", "harness/cell", ""])
def test_what_is_no_module_of_ours_has_no_file(small, name):
    assert OwnCode(small).file_of(name) is None


def test_only_its_own_case_and_what_runs_in_a_cell_can_be_reached(matrix):
    code = OwnCode()
    for case in case_names():
        files = {str(path.relative_to(ROOT)) for path in code.reached(case, MODEL)}
        own = f"cases/{case.replace('-', '_')}/"
        assert {f"{own}__init__.py", f"{own}body.py", "harness/cell/__main__.py"} <= files
        beyond = {name for name in files if not name.startswith(("harness/core/", "harness/cell/", own))}
        assert beyond == {"cases/__init__.py", "harness/__init__.py"}


def test_whoever_trains_reaches_the_model_and_none_the_preparation_of_data():
    code = OwnCode()
    for case in ("train", "soak", "fidelity", "resume"):
        files = {str(path.relative_to(ROOT)) for path in code.reached(case, MODEL)}
        assert any(name.startswith("harness/cell/yolov9/") for name in files)
        assert "harness/cell/data/batches.py" in files
        assert "harness/cell/data/prepare.py" not in files


def test_a_training_that_is_an_errand_or_shared_is_reached_by_the_name_of_its_program():
    code = OwnCode()
    named = {"resume": "errand.py", "two-process": "worker.py"}
    for case, program in named.items():
        assert ROOT / "harness" / "cell" / program in code.reached(case, MODEL)
    assert ROOT / "harness" / "cell" / "distributed.py" in code.reached("two-process", MODEL)
