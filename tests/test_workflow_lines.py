"""The CI workflows' own lines, executed here."""

import json
import os
import subprocess
import time

import pytest

from tests.project import Project
from tests.workflow import Job, read_workflow, words_in

HOSTILE = '$(touch owned) ; * "'
"""What someone may type in: nothing of it must be executed or expanded."""

# --- plan -------------------------------------------------------------------------------------------------------

NOTHING = {
    **{f"inputs.{name}": "" for name in ("machines", "pins", "profile", "data", "rounds")},
    **{f"vars.{name}": "" for name in ("MATRIX_MACHINES", "MATRIX_DATA")},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project in which lines are executed."""
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def plan(project, tmp_path):
    """The job `plan` with what is typed in (`inputs.…`) or configured (`vars.…`)."""

    def job(**given):
        values = {name.replace("_", ".", 1): value for name, value in given.items()}
        assert set(values) <= set(NOTHING)
        return Job(project, "matrix", "plan", {**NOTHING, **values}, tmp_path / "files")

    return job


def test_the_plan_hands_on_one_job_for_each_machine_that_is_configured(plan):
    job = plan(vars_MATRIX_MACHINES="hopper  pascal-to-turing", vars_MATRIX_DATA="/data sets/data.yaml")
    outcome = job.run("Plan")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    jobs = json.loads(job.outputs()["jobs"])
    assert [(one["machine"], one["labels"][-1]) for one in jobs] == [
        (kind, kind) for kind in ("hopper", "pascal-to-turing")
    ]
    assert [one["arguments"] for one in jobs] == [["--device", "cuda:0", "--data", "/data sets/data.yaml"]] * 2


def test_what_is_typed_in_goes_before_what_is_configured(plan):
    job = plan(
        vars_MATRIX_MACHINES="cpu",
        vars_MATRIX_DATA="/a.yaml",
        inputs_machines="hopper",
        inputs_data="/b.yaml",
        inputs_pins="2.8.0 2.1.2",
        inputs_profile="quick",
        inputs_rounds="5",
    )
    outcome = job.run("Plan")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    (one,) = json.loads(job.outputs()["jobs"])
    assert one["pins"] == ["2.8.0", "2.1.2"]
    asked = ["--profile", "quick", "--pins", "2.8.0", "2.1.2", "--rounds", "5", "--data", "/b.yaml"]
    assert one["arguments"] == ["--device", "cuda:0", *asked]


def test_without_any_machine_it_is_said_and_no_job_follows(plan):
    job = plan(vars_MATRIX_DATA="/a.yaml")
    outcome = job.run("Plan")
    assert outcome.returncode == 0
    assert outcome.stdout.startswith("::notice::No machines are configured")
    assert "MATRIX_MACHINES" in job.read("summary")
    assert job.outputs() == {"jobs": "[]"}
    assert "needs.plan.outputs.jobs != '[]'" in read_workflow("matrix")["jobs"]["run"]["if"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("inputs_machines", "error: There is no machine kind '$(touch'"),
        ("inputs_pins", "error: '$(touch' is not a torch version"),
        ("inputs_profile", f"error: There is no profile '{HOSTILE}'"),
        ("inputs_data", f"error: --data {HOSTILE} is nowhere on another machine"),
        ("inputs_rounds", f"argument --rounds: '{HOSTILE}' is not a whole number"),
    ],
)
def test_nothing_that_is_typed_in_is_executed_and_nonsense_is_refused_with_one_sentence(plan, project, name, said):
    job = plan(**{"inputs_machines": "cpu", name: HOSTILE})
    outcome = job.run("Plan")
    assert outcome.returncode == 2
    assert outcome.stderr.count("error: ") == 1
    assert said in outcome.stderr
    assert job.outputs() == {}
    assert not (project.folder / "owned").exists()


@pytest.mark.parametrize("name", ["inputs_machines", "inputs_pins"])
def test_no_option_can_be_typed_in_among_words(plan, project, name):
    job = plan(**{"inputs_machines": "cpu", name: "cpu --handoff owned"})
    outcome = job.run("Plan")
    assert outcome.returncode == 2
    assert outcome.stderr.count("\n") == 1
    assert outcome.stderr.startswith("error: --handoff is neither a machine kind nor a version")
    assert not (project.folder / "owned").exists()


def test_a_pin_whose_build_has_no_lock_stops_before_any_runner_is_taken(plan):
    job = plan(vars_MATRIX_MACHINES="ampere")
    outcome = job.run("Plan")
    assert outcome.returncode == 2
    assert "nox -s lock -- 1.10.0+cu113" in outcome.stderr
    assert job.outputs() == {}


# --- run --------------------------------------------------------------------------------------------------------


@pytest.fixture
def runner(tmp_path):
    """The job `run` on a runner that has done runs before."""
    project = Project(tmp_path / "work")
    values = {"github.run_id": "7", "toJSON(matrix.arguments)": "[]"}
    return Job(project, "matrix", "run", values, tmp_path / "files")


def test_the_words_of_the_plan_reach_the_matrix_as_they_are(runner):
    asked = ["--device", "cuda:0", "--data", f"/data sets/{HOSTILE}\nline.yaml", "--pins", "2.1.2", "2.8.0"]
    runner.values["toJSON(matrix.arguments)"] = json.dumps(asked, indent=2)
    called = runner.stand_in("nox")
    outcome = runner.run("Run the matrix")
    assert outcome.returncode == 0, outcome.stderr
    assert words_in(called) == ["-s", "matrix", "--", *asked, "--name", "run-7"]
    assert not (runner.project.folder / "owned").exists()


def test_no_matrix_is_started_where_its_words_cannot_be_read(runner):
    runner.values["toJSON(matrix.arguments)"] = "["
    called = runner.stand_in("nox")
    assert runner.run("Run the matrix").returncode != 0
    assert not called.exists()


def test_what_a_failed_matrix_says_fails_the_job(runner):
    runner.stand_in("nox", "exit 3")
    assert runner.run("Run the matrix").returncode == 3


def test_environments_and_results_stay_and_what_nobody_knows_is_cleared_away(runner):
    folder = runner.project.folder
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    kept = [folder / name / "file" for name in (".nox/pin-1-10-0", ".cache", "results/run-6", "harness/core")]
    for path in kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert runner.run("Clear away what git neither has nor ignores").returncode == 0
    assert [path.exists() for path in kept] == [True, True, True, False]
    assert (folder / "noxfile.py").exists()


def test_only_results_of_runs_a_month_ago_are_deleted(runner):
    step = "Delete results of a month ago"
    assert runner.run(step).returncode == 0
    results = runner.project.folder / "results"
    for name in ("run-5", "run-6", "proofs", "run-mine"):
        (results / name / "runs").mkdir(parents=True)
        days = 5 if name == "run-6" else 40
        os.utime(results / name, (time.time() - days * 86400,) * 2)
    assert runner.run(step).returncode == 0
    assert sorted(path.name for path in results.iterdir()) == ["proofs", "run-6", "run-mine"]


# --- report and comment -----------------------------------------------------------------------------------------

REPORT = "Report, and close the gate where the policy says hold"
PAGE = "https://example.org/report"


@pytest.fixture
def report(tmp_path):
    """The job `report` after runs on machines, of which some have left results."""

    def job(planned, done):
        project = Project(tmp_path / "work")
        for machine in done:
            folder = project.folder / "results" / "machines" / f"results-{machine}" / "run-7"
            folder.mkdir(parents=True)
            (folder / "plan.json").touch()
        values = {
            "needs.plan.outputs.jobs": json.dumps([{"machine": machine} for machine in planned]),
            "github.run_id": "7",
            "steps.upload.outputs.artifact-url": PAGE,
        }
        return Job(project, "matrix", "report", values, tmp_path / "files")

    return job


def test_all_machines_go_into_one_report_and_its_exit_code_is_the_jobs(report):
    job = report(["ampere", "hopper"], ["ampere", "hopper"])
    called = job.stand_in("nox", "echo '# the summary' > results/report/summary.md; exit 1")
    assert job.run(REPORT).returncode == 1
    folders = [f"results/machines/results-{machine}/run-7" for machine in ("ampere", "hopper")]
    assert words_in(called) == ["-s", "report", "--", *folders, "--into", "results/report", "--gate"]
    assert job.run("Show its summary").returncode == 0
    assert job.read("summary") == f"# the summary\n\n[The whole report]({PAGE})\n"


def test_a_machine_that_began_no_run_is_named_and_fails_the_job_beside_the_report_of_the_others(report):
    job = report(["ampere", "hopper"], ["hopper"])
    called = job.stand_in("nox", "echo '# the summary' > results/report/summary.md")
    outcome = job.run(REPORT)
    assert outcome.returncode == 3
    assert "::error::No run was begun on ampere" in outcome.stdout
    assert words_in(called)[3:-3] == ["results/machines/results-hopper/run-7"]
    summary = (job.project.folder / "results" / "report" / "summary.md").read_text(encoding="utf-8")
    assert summary.startswith("# the summary\n\nNo run was begun on ampere")


def test_without_any_results_or_report_that_is_the_summary(report):
    job = report(["hopper"], [])
    called = job.stand_in("nox")
    assert job.run(REPORT).returncode == 3
    assert not called.exists()
    assert job.run("Show its summary").returncode == 0
    assert "No run was begun on hopper" in job.read("summary")


def test_a_report_that_fails_leaves_a_summary_too(report):
    job = report(["hopper"], ["hopper"])
    job.stand_in("nox", "exit 2")
    assert job.run(REPORT).returncode == 2
    assert job.run("Show its summary").returncode == 0
    assert "No report could be made" in job.read("summary")


def commented(project, tmp_path, found=""):
    """How `gh` was called last when it finds these comments of ours, and what was to be posted."""
    values = {"github.token": "", "github.repository": "team/it", "github.event.pull_request.number": "12"}
    job = Job(project, "matrix", "comment", {**values, "needs.report.outputs.page": PAGE}, tmp_path / "files")
    (project.folder / "report").mkdir(exist_ok=True)
    (project.folder / "report" / "summary.md").write_text("# the summary\n", encoding="utf-8")
    called = job.stand_in("gh", found)
    assert job.run("Comment").returncode == 0
    return words_in(called), (project.folder / "report" / "comment.md").read_text(encoding="utf-8")


def test_the_summary_becomes_a_comment_on_the_pull_request(project, tmp_path):
    called, text = commented(project, tmp_path)
    assert called == ["pr", "comment", "12", "--body-file", "report/comment.md"]
    assert text == f"<!-- torch-matrix -->\n# the summary\n\n[The whole report]({PAGE})\n"


def test_a_comment_that_is_there_is_written_anew(project, tmp_path):
    called, _ = commented(project, tmp_path, found="printf '77\\n78\\n'")
    where = "repos/{owner}/{repo}/issues/comments/77"
    assert called == ["api", "--method", "PATCH", where, "-F", "body=@report/comment.md"]


# --- cache ------------------------------------------------------------------------------------------------------

WHOLE = "Throw away what did not come whole"


@pytest.fixture(params=["tests", "smoke"])
def cached(request, tmp_path):
    """A job into whose checkout the cache has brought environments, whole or not."""

    def job(hit):
        project = Project(tmp_path / "work")
        built = project.folder / ".nox" / "built"
        built.mkdir(parents=True)
        for name in ("1.10.0", "1.10.0-twin", "2.8.0+cpu"):
            (built / f"{name}.json").touch()
        return Job(project, "checks", request.param, {"steps.cache.outputs.cache-hit": hit}, tmp_path / "files")

    return job


def test_environments_that_came_whole_are_checked_and_used(cached):
    job = cached("true")
    called = job.stand_in("nox")
    assert job.run(WHOLE).returncode == 0
    assert sorted(words_in(called)) == ["-s", "pin-1.10.0", "pin-1.10.0-twin", "pin-2.8.0+cpu"]
    assert (job.project.folder / ".nox" / "built" / "1.10.0.json").exists()


@pytest.mark.parametrize(("hit", "check"), [("true", "exit 1"), ("false", ""), ("", "")])
def test_environments_that_fail_their_check_or_did_not_come_whole_are_thrown_away(cached, hit, check):
    job = cached(hit)
    job.stand_in("nox", check)
    assert job.run(WHOLE).returncode == 0
    assert not (job.project.folder / ".nox").exists()
