"""`nox -s plan -- --machines … --jobs …`: the jobs of CI."""

import json

import pytest
from msgspec.structs import replace

from harness.conduct.__main__ import main
from harness.conduct.arguments import parse
from harness.conduct.jobs import job_of, plan_elsewhere
from harness.conduct.planning import plan
from harness.conduct.request import Request
from harness.core.spec import TWIN


@pytest.fixture
def jobs(tmp_path, capsys):
    """The jobs that are written for these arguments; what was printed is left for the test."""

    def write(*arguments):
        path = tmp_path / "jobs.json"
        assert main(["plan", *arguments, "--jobs", str(path)]) == 0, capsys.readouterr().err
        return json.loads(path.read_text(encoding="utf-8"))

    return write


@pytest.fixture
def refused(tmp_path, capsys):
    """The one sentence that these arguments are refused with, and nothing is written."""

    def say(*arguments):
        assert main(["plan", *arguments]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert said.count("\n") == 1
        assert list(tmp_path.iterdir()) == []
        return said

    return say


def test_a_machine_kind_is_one_job_in_which_all_its_pins_are_compared(jobs):
    assert jobs("--machines", "hopper", "cpu", "--profile", "quick") == [
        {
            "machine": "hopper",
            "labels": ["self-hosted", "torch-matrix", "hopper"],
            "pins": ["2.1.2", "2.8.0"],
            "arguments": ["--device", "cuda:0", "--profile", "quick"],
        },
        {
            "machine": "cpu",
            "labels": ["self-hosted", "torch-matrix", "cpu"],
            "pins": ["1.10.0", "1.12.1", "1.13.1"],
            "arguments": ["--device", "cpu", "--profile", "quick"],
        },
    ]


def test_the_plans_are_shown_and_no_gpu_is_needed(jobs, capsys):
    jobs("--machines", "pascal-to-turing", "cpu", "--profile", "quick")
    shown = capsys.readouterr().out
    assert "machine: pascal-to-turing (the kind was named with --machines); device: cuda:0" in shown
    assert "machine: cpu (the kind was named with --machines); device: cpu" in shown
    assert f"pins: 1.10.0, {TWIN}, 1.12.1, 1.13.1" in shown


def test_a_job_has_the_arguments_that_matter_to_its_run(jobs):
    asked = ["--profile", "quick", "--pins", "2.8.0", "2.1.2", "--case", "train", "soak", "--rounds", "5"]
    (job,) = jobs("--machines", "hopper", "--device", "cuda:1", *asked, "--data", "/data sets/a.yaml")
    assert job["arguments"] == ["--device", "cuda:1", *asked, "--data", "/data sets/a.yaml"]
    assert job["pins"] == ["2.8.0", "2.1.2"]


def test_a_job_has_nothing_of_what_its_caller_decides(jobs):
    (job,) = jobs("--machines", "cpu", "--gate", "--fresh", "--name", "mine", "--threads", "1")
    assert job["arguments"] == ["--device", "cpu"]


def test_threads_are_handed_on(matrix, policy):
    request = Request(threads=4)  # more than a small machine would let parse
    (planned,) = plan_elsewhere(["cpu"], request, matrix, policy)
    assert job_of(planned, request).arguments == ["--device", "cpu", "--threads", "4"]


def test_what_a_job_asks_for_is_the_plan_that_was_shown(jobs, matrix, policy):
    asked = ["--profile", "smoke", "--rounds", "2"]
    (job,) = jobs("--machines", "cpu", *asked)
    (planned,) = plan_elsewhere(["cpu"], parse(asked).request, matrix, policy)
    done = plan(parse(job["arguments"]).request, matrix, policy)
    assert done == replace(planned, reason=done.reason)


@pytest.mark.parametrize(("kind", "profile"), [("hopper", "full"), ("cpu", "quick")])
def test_data_need_not_be_here_and_mean_the_full_profile_on_a_gpu(jobs, capsys, kind, profile):
    jobs("--machines", kind, "--data", "/nowhere/here/data.yaml")
    assert f"profile: {profile}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--machines", "volta"], "no machine kind 'volta': [machines.*] of cases/matrix.toml has cpu, pascal-to-tur"),
        (["--machines", "cpu", "cpu"], "--machines names cpu twice"),
        (["--machines", "cpu", "--pins", "9.9.9"], "nox -s lock -- 9.9.9"),
        (["--machines", "cpu", "ampere"], "nox -s lock -- 1.10.0+cu113"),
        (["--machines", "cpu", "--device", "cuda:0"], "--device cuda:0 is not where a machine of the kind cpu runs"),
        (["--machines", "hopper", "--device", "cpu"], "--device cpu is not where a machine of the kind hopper runs"),
        (["--machines", "hopper", "--device", "gpu"], "--device gpu is not a device"),
        (["--machines", "hopper", "cpu", "--data", "/a.yaml"], "different profiles (hopper full, cpu quick)"),
        (["--machines", "hopper", "cpu"], "different profiles (hopper gpu, cpu quick)"),
        (["--machines", "hopper", "--data", "data.yaml"], "with --machines give an absolute path"),
    ],
)
def test_a_mistake_is_one_sentence_and_no_jobs(refused, tmp_path, arguments, said):
    assert said in refused(*arguments, "--jobs", str(tmp_path / "jobs.json"))


@pytest.mark.parametrize("arguments", [["--machines", "cpu"], ["--jobs", "jobs.json"]])
def test_machines_and_jobs_go_together(refused, arguments):
    assert "--machines and --jobs go together" in refused(*arguments)


def test_a_matrix_that_is_really_started_plans_for_its_own_machine(refused, tmp_path):
    both = ["--machines", "cpu", "--jobs", str(tmp_path / "jobs.json")]
    for some in (both, both[:2], both[2:]):
        assert "nox -s plan only" in refused(*some, "--handoff", str(tmp_path / "handoff.json"))
