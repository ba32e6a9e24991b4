from dataclasses import replace

import msgspec
import pytest

from harness.core.declaration import DeclaredMetric
from harness.core.errors import UsageError
from harness.core.plan import SCHEMA, Plan
from harness.core.policy import POLICY, AccuracyRule, MetricPolicy, read_policy
from harness.core.spec import Model

TEXT = POLICY.read_text(encoding="utf-8")


RULE = """[accuracy]
score = "map50"
same_step = ["gradient_error", "update_error"]
"""


@pytest.fixture
def read_text(tmp_path):
    """Read a policy of this text."""

    def read(text):
        path = tmp_path / "policy.toml"
        path.write_text(text, encoding="utf-8")
        return read_policy(path)

    return read


@pytest.fixture
def read(read_text):
    """Read the project's policy with something in it replaced."""

    def changed(old, new, count=1):
        assert old in TEXT
        return read_text(TEXT.replace(old, new, count))

    return changed


def test_the_projects_policy_has_a_baseline_for_every_kind_of_machine(matrix):
    baseline = read_policy().baseline
    assert set(baseline) == set(matrix.machines)
    assert all(baseline[name] in machine.pins for name, machine in matrix.machines.items())


def test_a_metric_is_judged_as_the_policy_says_else_by_the_margin_of_its_case_without_gating(policy):
    declared = DeclaredMetric("step_time", "Step time", "s", "ratio", margin=0.5)
    assert policy.rules_of(declared, "train") == MetricPolicy(margin=0.03, gates=True)
    assert policy.rules_of(replace(declared, name="latency"), "train") == MetricPolicy(margin=0.5, gates=False)
    assert policy.rules_of(replace(declared, name="latency", margin=None), "train") is None


@pytest.mark.parametrize(
    ("required", "package", "cases", "asked"),
    [
        (["train"], "a.detector", ["soak"], ["train"]),
        (["train", "soak"], "a.detector", ["train"], ["train", "soak"]),
        (["train"], "", ["script"], ["script"]),
        (["train", "script"], "", ["script"], ["script"]),
        (["train", "script"], "a.detector", ["train"], ["train", "script"]),
        (["script"], "a.detector", ["soak"], ["script"]),
        ([], "", ["script"], []),
    ],
)
def test_required_are_cases_that_can_be_run_with_the_model_and_where_none_can_those_that_are_planned(
    policy, spec, required, package, cases, asked
):
    run = msgspec.structs.replace(spec, model=Model(name="mine", package=package))
    plan = Plan(
        schema=SCHEMA, name="x", machine="cpu", reason="", profile="quick", rounds=1, pins=[run.pin], cases=cases,
        data=None, shapes={}, runs=[run],
    )  # fmt: skip
    policy = msgspec.structs.replace(policy, required=required)
    assert policy.required_of(plan) == asked
    assert policy.waived_of(plan) == [name for name in required if not package and name == "train"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("error_rate = 0.05", "error_rate = 0.05\nerror = 1", "error"),
        ("error_rate = 0.05", "", "error_rate"),
        ("error_rate = 0.05", 'error_rate = "0.05"', "error_rate"),
        ("error_rate = 0.05", "error_rate = 0.0", "error_rate"),
        ("error_rate = 0.05", "error_rate = 0.5", "error_rate"),
        ("error_rate = 0.05", "error_rate = = 0.05", "not valid TOML"),
        ("margin = 0.03", "margin = nan", "`$.metrics.step_time.margin`"),
        ("margin = 0.03", "margin = inf", "margin"),
        ("margin = 0.03", "margin = -0.03", "margin"),
        ("margin = 0.03", "margin = 0.03\nmargins = 0.03", "margins"),
        ("margin = 0.03", 'margin = 0.03\nbetter = "lower"', "better"),
        ("[metrics.step_time]", "[metrics.setp_time]", "'setp_time', which no case declares"),
        ('required = ["train"]', 'required = ["tarin"]', "'tarin', which is no case"),
        ('required = ["train"]', "", "required"),
        ('cases = ["train"]', 'cases = ["trian"]', "'trian', which is no case that has it"),
        ('cases = ["train"]', 'cases = ["resume"]', "'resume', which is no case that has it"),
        ("gates = true", "gates = 1", "gates"),
        ('cpu = "1.10.0"', "cpu = 1.10", "baseline"),
        ("leak = 0.002", "", "leak"),
        ("leak = 0.002", "leak = 0.0", "leak"),
        ("drift = 0.01", "drift = 1.0", "drift"),
        ("map50_spread = 0.008", "map50_spread = -0.008", "map50_spread"),
        ("drift = 0.01", "drift = 0.01\nsag = 0.01", "sag"),
    ],
)
def test_a_mistake_in_the_policy_is_named_with_file_and_key(read, tmp_path, old, new, said):
    with pytest.raises(UsageError) as problem:
        read(old, new)
    assert str(tmp_path / "policy.toml") in str(problem.value)
    assert said in str(problem.value)


def test_a_policy_by_which_nothing_could_be_held_is_refused_by_name(read):
    with pytest.raises(UsageError, match=r"policy\.toml: no metric gates"):
        read("gates = true", "gates = false", count=-1)


def test_one_metric_that_gates_is_enough(read_text):
    gating = [name for name, metric in read_policy().metrics.items() if metric.gates]
    without = TEXT.replace(RULE, "")
    policy = read_text(without.replace("gates = true", "gates = false", len(gating) - 1))
    assert [name for name, metric in policy.metrics.items() if metric.gates] == gating[-1:]


# --- the rule of accuracy -----------------------------------------------------------------------------------------


def test_the_projects_policy_says_how_accuracy_is_shown_and_one_without_a_rule_is_a_policy_too(read):
    assert read_policy().accuracy == AccuracyRule(score="map50", same_step=["gradient_error", "update_error"])
    assert read(RULE, "").accuracy is None


def test_the_rule_of_accuracy_is_part_of_the_digest(read, policy):
    fewer = read(RULE, RULE.replace(', "update_error"', ""))
    assert len({policy.digest(), fewer.digest(), read(RULE, "").digest()}) == 3


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('score = "map50"', "", "score"),
        ('score = "map50"', 'score = ["map50"]', "score"),
        ('score = "map50"', 'score = "map50"\nscores = "map50"', "scores"),
        ('score = "map50"', 'score = "map5"', "score has 'map5', which no case declares as chaotic and in points"),
        ('score = "map50"', 'score = "step_time"', "score has 'step_time', which no case declares as chaotic"),
        ('score = "map50"', 'score = "map50_95"', "score has 'map50_95', which does not gate: give it a margin"),
        ("margin = 0.008\ngates = true", "margin = 0.008\ngates = false", "score has 'map50', which does not gate"),
        ('["gradient_error", "update_error"]', "[]", "same_step"),
        ('["gradient_error", "update_error"]', '"gradient_error"', "same_step"),
        ('"update_error"]', '"updates"]', "same_step has 'updates', which does not gate"),
        ('"update_error"]', '"loss_error"]', "same_step has 'loss_error', which does not gate: give it a margin"),
        ('"update_error"]', '"epoch_time"]', "same_step has 'epoch_time', which does not gate"),
        ('"update_error"]', '"map50"]', "same_step has 'map50', which is chaotic"),
    ],
)
def test_a_mistake_in_the_rule_of_accuracy_is_named_with_file_and_key(read_text, tmp_path, old, new, said):
    assert old in TEXT
    with pytest.raises(UsageError) as problem:
        read_text(TEXT.replace(old, new, 1))
    assert str(tmp_path / "policy.toml") in str(problem.value)
    assert said in str(problem.value)
    assert "\n" not in str(problem.value)


def test_a_policy_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.toml cannot be read"):
        read_policy(tmp_path / "nowhere.toml")


def test_a_policy_that_is_no_text_is_named(tmp_path):
    (tmp_path / "policy.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"policy\.toml cannot be read: it is not UTF-8"):
        read_policy(tmp_path / "policy.toml")


def test_the_digest_is_of_what_the_policy_says_and_not_of_how_it_is_written(read, policy):
    assert read("# What would matter", "# Another comment, what would matter").digest() == policy.digest()
    assert read("error_rate = 0.05", "error_rate   =   5e-2").digest() == policy.digest()
    assert read("margin = 0.03", "margin = 0.04").digest() != policy.digest()
    assert read("gates = true", "gates = false").digest() != policy.digest()
    assert read("leak = 0.002", "leak = 0.003").digest() != policy.digest()
    assert read('cpu = "1.10.0"', 'cpu = "1.12.1"').digest() != policy.digest()


def test_a_metric_can_be_judged_of_some_cases_alone(policy):
    declared = DeclaredMetric("step_time", "Step time", "s", "ratio")
    some = msgspec.structs.replace(
        policy, metrics={"step_time": MetricPolicy(margin=0.03, gates=True, cases=["train"])}
    )
    assert some.rules_of(declared, "train") == some.metrics["step_time"]
    assert some.rules_of(declared, "soak") is None
