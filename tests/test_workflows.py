"""The CI workflows: the rules that keep them safe."""

import re

import pytest

from harness.core.files import ROOT
from tests.workflow import WORKFLOWS, read_workflow

JOBS = [(name, job) for name in WORKFLOWS for job in read_workflow(name)["jobs"]]
OURS = "github.event.pull_request.head.repo.full_name == github.repository"
"""The condition that a fork's pull request does not meet."""
each_workflow = pytest.mark.parametrize("name", WORKFLOWS)
each_job = pytest.mark.parametrize(("name", "job"), JOBS)


def job_of(name, job):
    return read_workflow(name)["jobs"][job]


@each_workflow
def test_every_action_is_pinned_by_its_commit_with_the_version_beside_it(name):
    uses = re.findall(r"uses: (.*)", WORKFLOWS[name].read_text(encoding="utf-8"))
    assert uses
    assert [use for use in uses if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)] == []


def test_an_action_is_of_one_version_everywhere():
    text = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS.values())
    uses = set(re.findall(r"uses: (actions/[a-z-]+)\S*@(\w+ # \S+)", text))
    assert len(uses) == len({action for action, _ in uses})


@each_workflow
def test_a_workflow_as_a_whole_may_do_nothing(name):
    assert read_workflow(name)["permissions"] == {}


@each_job
def test_a_job_ends_in_time_and_may_do_what_it_says_only(name, job):
    assert job_of(name, job)["timeout-minutes"] <= 24 * 60
    allowed = {"pull-requests": "write"} if job == "comment" else {"contents": "read"}
    assert job_of(name, job)["permissions"] == allowed


@each_job
def test_no_expression_is_pasted_into_a_script(name, job):
    assert [step["run"] for step in job_of(name, job)["steps"] if "${{" in step.get("run", "")] == []


@each_job
def test_a_checkout_leaves_no_credentials(name, job):
    checkouts = [step for step in job_of(name, job)["steps"] if "actions/checkout" in step.get("uses", "")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@each_workflow
def test_scripts_fail_with_any_part_of_a_pipe(name):
    assert read_workflow(name)["defaults"] == {"run": {"shell": "bash"}}


@each_workflow
def test_no_event_gives_a_fork_the_rights_of_the_repository(name):
    assert set(read_workflow(name)[True]) <= {"schedule", "workflow_dispatch", "push", "pull_request"}


@pytest.mark.parametrize("job", ["plan", "run", "comment"])
def test_a_forks_pull_request_is_neither_planned_nor_run_nor_commented_on(job):
    assert OURS in job_of("matrix", job)["if"]


@each_job
def test_what_is_not_githubs_own_runner_is_guarded_and_does_one_job_at_a_time(name, job):
    asked = job_of(name, job)
    if not re.fullmatch(r"ubuntu-[0-9.]+", str(asked["runs-on"])):
        assert OURS in asked["if"]
        assert asked["concurrency"]["group"] == "gpu-${{ matrix.machine }}"
        assert asked["concurrency"]["cancel-in-progress"] is False


def test_only_the_job_run_is_on_runners_of_ones_own():
    others = [job for job in JOBS if job_of(*job)["runs-on"] != "ubuntu-24.04"]
    assert others == [("matrix", "run")]


def test_superseded_checks_are_cancelled():
    assert read_workflow("checks")["concurrency"]["cancel-in-progress"] is True


@each_job
def test_nox_is_installed_as_the_readme_says(name, job):
    lines = [step["run"] for step in job_of(name, job)["steps"] if step["name"] == "Install nox"]
    assert all(line.splitlines()[0] in (ROOT / "README.md").read_text(encoding="utf-8") for line in lines)


def test_an_environment_never_meets_another_lock_from_the_cache():
    for job in ("tests", "smoke"):
        (step,) = [step for step in job_of("checks", job)["steps"] if "actions/cache" in step.get("uses", "")]
        assert "restore-keys" not in step["with"]
        assert "hashFiles('cases/locks/*.txt', 'cases/matrix.toml', 'requirements*.txt')" in step["with"]["key"]
        assert step["continue-on-error"] is True


def test_both_jobs_with_environments_share_one_cache():
    steps = [
        next(step for step in job_of("checks", job)["steps"] if "actions/cache" in step.get("uses", ""))
        for job in ("tests", "smoke")
    ]
    assert steps[0]["with"] == steps[1]["with"]
