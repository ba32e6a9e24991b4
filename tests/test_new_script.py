"""A script that somebody brings: a folder, two tables in matrix.toml, and a verdict."""

import json

import pytest

from harness.core.spec import TWIN
from tests.project import Project

TABLES = """
[models.mine]
path = "{folder}"

[profiles.mine]
like = "script"
model = "mine"

[profiles.mine.script]
command = ["train.py", "--seed", "{{seed}}"]
outputs = "out.json"
higher = {{ accuracy = "fraction" }}
lower = {{ loss = "number" }}

[profiles.mine.train]
silence_seconds = 25
"""
SCRIPT = """
import json, sys, time
seed = int(sys.argv[2])
worse = 0.2 if sys.version_info[:2] == (3, 9) and "1-13-1" in sys.executable else 0.0
time.sleep(0.3)
json.dump({"accuracy": 0.9 - worse + seed / 1000, "loss": 0.5 + seed / 100}, open("out.json", "w"))
"""
HANGS = """
import sys, time
if "1-13-1" in sys.executable:
    time.sleep(600)
raise SystemExit("the data are gone")
"""
PINS = ["1.10.0", "1.13.1"]


def planned(project, *more):
    outcome = project.plan("--profile", "mine", "--pins", *PINS, *more)
    assert outcome.returncode == 0, outcome.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy that has run a script and reported it, by the policy as it is."""
    project = Project(tmp_path_factory.mktemp("new-script"))
    project.lend_environments()
    project.build("1.10.0-twin")
    project.script = tmp_path_factory.mktemp("mine") / "train.py"
    project.script.write_text(SCRIPT, encoding="utf-8")
    tables = TABLES.format(folder=project.script.parent)
    project.change("cases/matrix.toml", "# --- recipes", f"{tables.lstrip()}\n# --- recipes")
    planned(project)
    project.outcome = project.run("mine")
    assert project.outcome.returncode == 0, project.outcome.stderr
    project.reported = project.report("mine")
    return project


def read(project, name):
    return (project.folder / "results" / "mine" / name).read_text(encoding="utf-8")


def test_every_pin_runs_it_in_every_round_with_the_rounds_seed(project):
    records = project.records("mine")
    assert set(records) == {("script", pin, index) for pin in [*PINS, TWIN] for index in range(3)}
    for (_, _, index), record in records.items():
        assert record.status == "ok"
        assert record.metric("output_lower[lower=loss]").samples == [0.5 + index / 100]
        assert record.metric("script_time").samples[0] >= 0.3


def test_where_the_folder_lies_is_in_no_record(project):
    for path in (project.folder / "results" / "mine" / "runs").rglob("*.json"):
        assert str(project.script.parent) not in path.read_text(encoding="utf-8")


def test_a_worse_number_holds_the_candidate(project):
    assert project.reported.returncode == 0, project.reported.stdout + project.reported.stderr
    assert "**1.13.1: hold**" in read(project, "table.md")
    (candidate,) = json.loads(read(project, "verdict.json"))["machines"][0]["candidates"]
    findings = {one["metric"]: one["finding"] for one in candidate["findings"]}
    assert findings["output_higher"] == "worse"
    assert findings["output_lower"] == "equivalent"


def test_the_report_has_its_numbers_by_name(project):
    for name in ("table.md", "index.html"):
        for title in ("Script, wall time", "Script, peak memory", "Output, accuracy", "Output, loss"):
            assert title in read(project, name), (name, title)


def test_a_changed_script_is_run_again_and_one_that_fails_or_hangs_is_a_failed_run_with_the_reason(project):
    project.script.write_text(HANGS, encoding="utf-8")
    planned(project, "--rounds", "1")
    outcome = project.run("mine")
    assert outcome.returncode == 0, outcome.stderr
    records = {pin: record for (_, pin, _), record in project.records("mine").items()}
    assert {record.status for record in records.values()} == {"failed"}
    assert "did not end well: it ended with exit code 1" in records["1.10.0"].reason
    assert any("the data are gone" in line for line in records["1.10.0"].failure.log_tail)
    assert "reported nothing for 25 s" in records["1.13.1"].reason
    assert project.processes() == []


def test_a_command_that_is_not_there_ends_with_a_sentence(project):
    project.script.unlink()
    outcome = project.plan("--profile", "mine", "--pins", *PINS)
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("error: [profiles.mine.script]: the command begins with 'train.py', which is no ")
    assert "Traceback" not in outcome.stderr
