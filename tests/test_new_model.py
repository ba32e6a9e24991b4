"""A model that somebody brings: a module, a line in [models.*], and a profile that names it."""

import math
import shutil

import pytest

from harness.core.spec import TWIN
from tests.project import Project

PROFILE = """

[models.small]
package = "detectors.small"

[profiles.small]
like = "smoke"
model = "small"
cases = ["train"]
shapes = { images = 96, validation = 32 }
train = { epochs = 6, batch = 4 }
turns = { epochs = 3 }

[profiles.small.resume]
kills = 1
kills_while_writing = 1
kill_epochs = 1
checkpoint_steps = 4
"""
PINS = ["1.10.0", "1.13.1"]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy that has run its smoke matrix with a detector of its own."""
    project = Project(tmp_path_factory.mktemp("new-model"))
    project.lend_environments()
    project.build("1.10.0-twin")  # the tests' session builds the pins alone
    (project.folder / "detectors").mkdir()
    source = project.folder / "tests" / "cell" / "small_detector.py"
    shutil.copy(source, project.folder / "detectors" / "small.py")
    project.change("cases/matrix.toml", "# --- recipes", f"{PROFILE.lstrip()}\n# --- recipes")
    project.planned = project.plan("--profile", "small", "--pins", *PINS)
    assert project.planned.returncode == 0, project.planned.stderr
    outcome = project.run("small")
    assert outcome.returncode == 0, outcome.stderr
    return project


def records(project, case, name="small"):
    return {pin: record for (of_case, pin, _), record in project.records(name).items() if of_case == case}


def test_the_detector_is_small(project):
    lines = (project.folder / "detectors" / "small.py").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line]) <= 80


def test_every_run_ends_well_and_says_which_model_it_trained(project):
    assert "model: small;" in project.planned.stdout
    every = project.records("small")
    assert {(case, pin) for case, pin, _ in every} == {("train", pin) for pin in [*PINS, TWIN]}
    assert {(record.status, record.reason) for record in every.values()} == {("ok", None)}
    assert {record.spec.model.package for record in every.values()} == {"detectors.small"}


def test_gradients_memory_time_and_map_come_out(project):
    for record in records(project, "train").values():
        for name in ("epoch_time", "step_time", "peak_rss"):
            assert all(sample > 0 for sample in record.metric(name).samples)
        assert record.metric("gradient_anomalies").samples == [0.0]
        assert record.metric("map50").samples[-1] > 0.3
        steps = 6 * 96 // 4
        assert len(record.series["gradient_norm"]) == len(record.series["loss"]) == steps
        assert all(math.isfinite(norm) and norm > 0 for norm in record.series["gradient_norm"])
        terms = [name for name in record.series if name.startswith("loss:")]
        assert terms
        assert all(len(record.series[name]) == steps for name in terms)


def test_the_control_is_one_rounding_away_from_the_baseline_and_counts_as_the_same_work(project):
    baseline, control = (records(project, "train")[pin] for pin in ("1.10.0", TWIN))
    assert baseline.hashes == control.hashes
    assert (baseline.spec.nudged, control.spec.nudged) == (False, True)
    assert baseline.fingerprint("final_weights").value != control.fingerprint("final_weights").value
    ours, theirs = (record.fingerprint("first_losses").value[0] for record in (baseline, control))
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_it_trains_by_turns_and_goes_on_in_a_fresh_process(project):
    trained = records(project, "train").values()
    ((first, second),) = {tuple(sitting.name for sitting in record.sittings) for record in trained}
    assert first != second
    for record in trained:
        steps = record.metric("step_time")
        assert len(steps.samples) + len(steps.warmup) == len(record.series["loss"])


def test_it_is_killed_and_resumed(project):
    asked = ("--profile", "small", "--pins", PINS[0], "--case", "resume", "--name", "resumed")
    assert project.plan(*asked).returncode == 0
    assert project.run("resumed").returncode == 0
    for record in records(project, "resume", "resumed").values():
        outcomes = {check.name: check.outcome for check in record.checks}
        assert outcomes == dict.fromkeys(("killed", "torn", "second_process", f"exchanged:{PINS[0]}"), "held")


def test_the_report_has_a_verdict_on_it(project):
    reported = project.report("small")
    assert reported.returncode == 0, reported.stdout + reported.stderr
    table = (project.folder / "results" / "small" / "table.md").read_text(encoding="utf-8")
    assert "Final mAP50" in table
    assert "1.13.1" in table
