"""A plan that is only shown: what it leaves for the reports, and that it does nothing else."""

import pytest
from msgspec.structs import replace

from harness.conduct.__main__ import main
from harness.conduct.arguments import parse
from harness.conduct.jobs import plan_elsewhere
from harness.conduct.planning import plan
from harness.core.errors import UsageError
from harness.core.plan import ASKED_FILE, read_plans, write_plans

ASKED = ["--profile", "smoke", "--device", "cpu", "--rounds", "4"]


@pytest.fixture
def plans(tmp_path, capsys):
    """The plans that these arguments leave; what was printed is left for the test."""

    def leave(*arguments):
        path = tmp_path / "plans.json"
        assert main(["plan", *arguments, "--plans", str(path)]) == 0, capsys.readouterr().err
        return read_plans(path)

    return leave


def test_the_plan_that_is_shown_is_left_in_the_file_that_is_named(plans, capsys, matrix, policy):
    assert plans(*ASKED) == [plan(parse(ASKED).request, matrix, policy)]
    assert "profile: smoke\n" in capsys.readouterr().out


def test_a_plan_that_is_shown_makes_no_results_folder(plans, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plans(*ASKED)
    assert list(tmp_path.rglob(ASKED_FILE)) == []
    assert [path.name for path in tmp_path.iterdir()] == ["plans.json"]


def test_the_plans_for_other_machines_are_left_in_order(plans, tmp_path, matrix, policy):
    asked = ["--machines", "hopper", "cpu", "--profile", "quick"]
    made = plans(*asked, "--jobs", str(tmp_path / "jobs.json"))
    assert made == plan_elsewhere(["hopper", "cpu"], parse(asked[3:]).request, matrix, policy)


def test_help_leaves_no_plan(tmp_path):
    with pytest.raises(SystemExit, match="0"):
        main(["plan", "--help", "--plans", str(tmp_path / "plans.json")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "[", "{}", "[{}]", "[1]", "\x00"])
def test_a_file_that_has_no_plans_is_refused_by_its_name(tmp_path, text):
    path = tmp_path / "plans.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"plans\.json cannot be used"):
        read_plans(path)


@pytest.mark.parametrize("lacks", ["runs", "pins"])
def test_a_plan_without_runs_or_pins_is_refused(tmp_path, matrix, policy, lacks):
    path = tmp_path / "plans.json"
    write_plans(path, [replace(plan(parse(ASKED).request, matrix, policy), **{lacks: []})])
    with pytest.raises(UsageError, match=rf"plans\.json cannot be used .*length >= 1.*{lacks}"):
        read_plans(path)
