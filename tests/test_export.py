"""The case `export` on the whole road: a file that a pin writes is read in the environment of the readers."""

import pytest

from harness.core.spec import TWIN
from tests.project import Project

SMALL = """
[profiles.small]
like = "serving"
cases = ["export"]
rounds = 1
shapes = { images = 8, validation = 2 }
train = { epochs = 1, batch = 4 }

[profiles.small.export]
shapes = ["dynamic"]
asked = ["common opset"]
"""
PART = "dynamic size, common opset"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy in which the baseline and its twin have exported one file each, read in an environment built there."""
    project = Project(tmp_path_factory.mktemp("export"))
    project.lend_environments()
    project.build("1.10.0-twin")  # the tests' session builds the pins alone
    path = project.folder / "cases" / "matrix.toml"
    path.write_text(path.read_text(encoding="utf-8") + SMALL, encoding="utf-8")
    planned = project.plan("--profile", "small", "--pins", "1.10.0")
    assert planned.returncode == 0, planned.stderr
    project.build("onnx")
    project.outcome = project.run("small")
    project.reported = project.report("small")
    return project


def test_what_is_planned_takes_the_session_of_the_readers_environment(project):
    assert "helper-onnx" in (project.folder / "handoff.json").read_text(encoding="utf-8")


def test_the_files_are_valid_and_give_what_torch_does_at_both_sizes(project):
    assert project.outcome.returncode == 0, project.outcome.stdout + project.outcome.stderr
    records = project.records("small")
    assert {pin for _, pin, _ in records} == {"1.10.0", TWIN}
    for record in records.values():
        outcomes = {one.name: one.outcome for one in record.checks}
        assert {name: one for name, one in outcomes.items() if not name.startswith("opencv")} == {
            f"{name}:{PART}": "held" for name in ("exports", "valid", "agrees", "resizes")
        }
        assert f"opencv:{PART}" in outcomes
        (error,) = record.metric(f"output_error[shape=dynamic,asked={PART.split(', ')[1]}]").samples
        assert 0 < error < 1e-4
        (operators,) = [one for one in record.fingerprints if one.name == f"operators:{PART}"]
        assert dict(zip(operators.places, operators.value))["Conv"] > 100


def test_the_report_has_the_checks_and_the_operators(project):
    assert project.reported.returncode == 0, project.reported.stdout + project.reported.stderr
    table = (project.folder / "results" / "small" / "table.md").read_text(encoding="utf-8")
    assert f"It exports: {PART}" in table
    assert f"Operators, {PART}" in table
