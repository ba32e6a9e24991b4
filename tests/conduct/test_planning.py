import pytest

from harness.conduct import planning
from harness.conduct.arguments import parse
from harness.conduct.machine import Gpu
from harness.conduct.planning import make_plan
from harness.core.errors import UsageError


@pytest.fixture
def plan(matrix, monkeypatch):
    """Make a plan from arguments, on a machine with the GPU that is named or without one."""

    def make(*arguments, gpu=None):
        found = Gpu("a GPU", gpu) if gpu else None

        def choose(asked):
            return ("cuda:0", found) if found and asked != "cpu" else ("cpu", None)

        monkeypatch.setattr(planning, "choose_device", choose)
        return make_plan(parse(arguments), matrix)

    return make


def test_without_arguments_three_pins_run_the_quick_profile_on_the_cpu(plan):
    made = plan()
    assert (made.profile, made.name, made.machine) == ("quick", "quick", "cpu")
    assert [pin.name for pin in made.pins] == ["1.10.0", "1.12.1", "1.13.1"]
    assert len(made.runs) == 3 * made.rounds
    assert {(run.device, run.threads, run.precision) for run in made.runs} == {("cpu", 1, "fp32")}


def test_a_round_gives_all_its_runs_one_seed_and_rounds_have_different_ones(plan):
    seeds = {run.round: run.seed for run in plan("--rounds", "4").runs}
    assert len(set(seeds.values())) == 4
    assert all(run.seed == seeds[run.round] for run in plan("--rounds", "4").runs)


def test_data_on_a_gpu_means_the_full_profile_with_mixed_precision(plan, tmp_path):
    (tmp_path / "data.yaml").touch()
    made = plan("--data", str(tmp_path / "data.yaml"), gpu="sm_70")
    assert made.profile == "full"
    assert {(run.device, run.precision) for run in made.runs} == {("cuda:0", "amp")}


def test_data_without_a_gpu_keeps_the_quick_profile(plan, tmp_path):
    (tmp_path / "data.yaml").touch()
    assert plan("--data", str(tmp_path / "data.yaml")).profile == "quick"


def test_the_set_of_pins_follows_the_gpu_and_the_reason_is_said(plan):
    made = plan(gpu="sm_70")
    assert made.machine == "pascal-to-turing"
    assert "sm_70" in made.reason


def test_a_gpu_that_no_set_of_pins_lists_is_refused_with_what_to_do(plan):
    with pytest.raises(UsageError, match=r"sm_120.*--pins"):
        plan(gpu="sm_120")


def test_pins_whose_build_has_no_lock_yet_say_how_to_make_it(plan):
    with pytest.raises(UsageError, match=r"nox -s lock -- 1\.10\.0\+cu113"):
        plan(gpu="sm_86")


def test_the_first_pin_named_comes_first_in_the_plan(plan):
    assert [pin.name for pin in plan("--pins", "1.13.1", "1.10.0").pins] == ["1.13.1", "1.10.0"]


def test_the_ambient_pin_has_no_lock_and_no_versions(plan):
    (pin,) = plan("--pins", "ambient").pins
    assert (pin.lock, pin.torch) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--pins", "9.9.9"], r"Pin '9\.9\.9' has no lock.*nox -s lock -- 9\.9\.9"),
        (["--pins", "1.10.0", "1.10.0"], "twice"),
        (["--case", "tain"], "no case 'tain'.*train"),
        (["--case", "../harness/core/spec"], "no case '../harness/core/spec'"),
        (["--data", "."], "is not a file"),
        (["--profile", "fast"], "no profile 'fast'.*quick"),
        (["--data", "nowhere.yaml"], r"nowhere\.yaml is not a file"),
    ],
)
def test_a_name_that_is_not_known_gives_a_sentence_with_those_that_are(plan, arguments, said):
    with pytest.raises(UsageError, match=said):
        plan(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rounds", "0"],
        ["--rounds", "1" * 30],
        ["--threads", "99999"],
        ["--threads", "two"],
        ["--name", "../up"],
        ["--prof", "quick"],
        ["extra"],
    ],
)
def test_wrong_usage_ends_with_exit_code_2(arguments):
    with pytest.raises(SystemExit) as end:
        parse(arguments)
    assert end.value.code == 2
