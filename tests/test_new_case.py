"""A case that somebody adds: one folder, and everything else learns of it from there."""

import hashlib
import json
import math

import pytest

from harness.core.spec import TWIN
from tests.project import Project

FORWARD = {
    "__init__.py": '''
        """Times forward passes at several sizes.

        Shows how long the network takes for pictures of each size, in batches of each number.
        """

        from __future__ import annotations

        from msgspec import field

        from harness.core.declaration import Case, DeclaredCheck, DeclaredFingerprint, DeclaredMetric, Parameter
        from harness.core.settings import CaseSettings, Positive


        class Settings(CaseSettings, frozen=True):
            """What is passed forward."""

            sizes: list[Positive] = field(default_factory=lambda: [32, 64])
            batches: list[Positive] = field(default_factory=lambda: [1, 2])
            passes: Positive = 3


        CASE = Case(
            settings=Settings,
            parameters=(Parameter("size", "Side", "sizes", "px"), Parameter("batch", "Batch", "batches")),
            metrics=(
                DeclaredMetric(
                    "latency", "Time of a forward pass", "s", "ratio", shown="ms", by=("size", "batch"), margin=0.25
                ),
            ),
            checks=(DeclaredCheck("repeats_itself", "A forward pass puts out the same twice"),),
            fingerprints=(DeclaredFingerprint("sums", "Sums of what is put out", tolerance=1e-3, counted="pass"),),
        )
        ''',
    "body.py": '''
        """The body of the case `forward`."""

        from __future__ import annotations

        import time

        import torch

        from cases.forward import Settings
        from harness.cell.measured import Measured
        from harness.cell.model import make_network
        from harness.cell.run import Run
        from harness.cell.weights import weights_digest


        def total(output) -> float:
            """The sum of all tensors in what a network puts out, whatever its form."""
            if isinstance(output, torch.Tensor):
                return float(output.double().sum())
            return sum(total(part) for part in output)


        def measure(run: Run) -> Measured:
            """Pass pictures of ones forward."""
            settings = run.settings_as(Settings)
            network = make_network(run.spec, len(run.data.classes)).eval()
            measured = run.measured(weights_digest(network))
            sums, again = [], []
            for at in run.combinations():
                pictures = torch.ones(at["batch"], 3, at["size"], at["size"])
                seconds = []
                with torch.no_grad():
                    for _ in range(settings.passes):
                        began = time.perf_counter()
                        output = network(pictures)
                        seconds.append(time.perf_counter() - began)
                    sums.append(total(output))
                    again.append(total(network(pictures)))
                measured.keep_metric("latency", seconds[1:], seconds[:1], at)
                measured.measuring += sum(seconds)
            measured.check("repeats_itself", sums == again, f"{len(sums)} of {len(again)} passed forward twice")
            measured.keep_fingerprint("sums", sums)
            return measured
        ''',
}
PINS = ["1.10.0", "1.13.1"]
SMOKE = ("--profile", "smoke", "--pins", *PINS, "--rounds", "2")
COMBINATIONS = [(size, batch) for size in (32, 64) for batch in (1, 2)]
KEYS = {f"latency[size={size},batch={batch}]" for size, batch in COMBINATIONS}
TITLES = ("Time of a forward pass", "A forward pass puts out the same twice", "Sums of what is put out")


def files_of(project):
    """What every file of the copy holds, but those that programs make."""
    made = {".nox", ".cache", "results", "__pycache__", "handoff.json"}
    return {
        str(path.relative_to(project.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(project.folder.rglob("*"))
        if path.is_file() and not made & set(path.relative_to(project.folder).parts)
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy with records of `train`, to which the case is added, and in which both are run and reported."""
    project = Project(tmp_path_factory.mktemp("new-case"))
    project.lend_environments()
    project.build("1.10.0-twin")  # the tests' session builds the pins alone
    project.change("cases/matrix.toml", "images = 64, validation = 16", "images = 16, validation = 8")
    assert project.plan(*SMOKE, "--case", "train").returncode == 0
    first = project.run("smoke")
    assert first.returncode == 0, first.stderr
    project.before = project.records("smoke")
    project.without = files_of(project)
    project.add_case("forward", FORWARD)
    project.planned = project.plan(*SMOKE, "--case", "train", "forward")
    assert project.planned.returncode == 0, project.planned.stderr
    project.outcome = project.run("smoke")
    project.reported = project.report("smoke")
    return project


def read(project, name):
    return (project.folder / "results" / "smoke" / name).read_text(encoding="utf-8")


def texts_in(value):
    """Every text in a JSON value."""
    if isinstance(value, dict):
        return {text for part in (*value.keys(), *value.values()) for text in texts_in(part)}
    if isinstance(value, list):
        return {text for part in value for text in texts_in(part)}
    return {value} if isinstance(value, str) else set()


def test_the_case_is_planned_and_run_on_every_pin(project):
    assert all(f"forward {pin}" in project.planned.stdout for pin in [*PINS, TWIN])
    assert project.outcome.returncode == 0, project.outcome.stderr
    new = {key: record for key, record in project.records("smoke").items() if key[0] == "forward"}
    assert set(new) == {("forward", pin, index) for pin in [*PINS, TWIN] for index in range(2)}
    assert {record.status for record in new.values()} == {"ok"}


def test_its_runs_keep_what_it_declares(project):
    record = project.records("smoke")["forward", "1.13.1", 0]
    assert record.spec.settings == {"sizes": [32, 64], "batches": [1, 2], "passes": 3}
    assert {metric.key for metric in record.metrics} == KEYS
    assert [(check.name, check.outcome) for check in record.checks] == [("repeats_itself", "held")]
    values = {pin: project.records("smoke")["forward", pin, 0].fingerprint("sums").value for pin in [*PINS, TWIN]}
    assert values[TWIN] == values["1.10.0"]
    assert len(values["1.13.1"]) == len(COMBINATIONS)
    assert all(math.isclose(*pair, rel_tol=1e-3) for pair in zip(values["1.13.1"], values["1.10.0"]))


def test_the_records_of_the_other_case_stay_valid(project):
    assert project.outcome.stdout.count("kept from before") == len(project.before) == 6
    after = project.records("smoke")
    assert {key: after[key] for key in project.before} == project.before


def test_the_report_has_its_metric_by_size_and_batch_its_check_and_its_fingerprint(project):
    assert project.reported.returncode == 0, project.reported.stdout + project.reported.stderr
    for name in ("table.md", "index.html"):
        text = read(project, name)
        assert [title for title in TITLES if title not in text] == [], name
    assert "Time of a forward pass" in read(project, "decision.md")
    assert "Sums of what is put out" in read(project, "decision.md")


def test_the_verdict_has_a_finding_for_each_of_its_combinations_by_its_own_margin(project):
    verdict = json.loads(read(project, "verdict.json"))
    texts = texts_in(verdict)
    assert texts >= {*KEYS, "repeats_itself", "sums", "forward"}


def test_not_one_line_elsewhere_was_touched(project):
    after = files_of(project)
    assert {name for name in after if name not in project.without} == {f"cases/forward/{name}" for name in FORWARD}
    assert {name: after[name] for name in project.without} == project.without


def test_a_change_of_the_case_makes_its_own_records_stale_and_no_others(project):
    project.change("cases/forward/__init__.py", "passes: Positive = 3", "passes: Positive = 2")
    assert project.plan(*SMOKE, "--case", "train", "forward").returncode == 0
    again = project.run("smoke")
    assert again.returncode == 0, again.stderr
    kept = [line for line in again.stdout.splitlines() if "kept from before" in line]
    assert len(kept) == 6
    assert all(line.startswith("train ") for line in kept)
