"""Whether accuracy is shown: by the score, by the same step with a score no further off than chance, or not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from accuracy_folders import SCORES, STEP_ERRORS, make_accuracy_folder, steps_of
from msgspec.structs import replace
from results_folder import Folder, check, hashes

from harness.core.policy import AccuracyRule, MetricPolicy
from harness.core.spec import TWIN
from reports.judge.accuracy import reach_of
from reports.judge.statements import OfAccuracy, OfFinding

Make = Callable[..., Folder]


def accuracy(results: Folder, pin: str = "1.12.1") -> OfAccuracy:
    """What is said of a candidate's accuracy, of which there is one score."""
    (found,) = results.verdict(pin).accuracy
    return found


def lacking(results: Folder) -> list[str]:
    """The kinds of what is missing for the same step to show it, and that nothing else does."""
    found = accuracy(results)
    assert found.shown == "not shown"
    return [lack.kind for lack in found.lacks]


def roles_of(results: Folder, name: str) -> list[str]:
    """What the finding on a metric does to the verdict."""
    return [
        one.role
        for one in results.verdict().reasons
        if isinstance(one.reason, OfFinding) and one.reason.finding.quantity.name == name
    ]


def role_of_accuracy(results: Folder) -> list[str]:
    return [one.role for one in results.verdict().reasons if isinstance(one.reason, OfAccuracy)]


# --- shown --------------------------------------------------------------------------------------------------------


def test_the_same_step_with_a_score_no_further_off_than_chance_is_an_upgrade(folder: Make) -> None:
    results = make_accuracy_folder(folder)
    assert results.finding("map50").outcome == "inconclusive"
    assert not results.finding("map50").harmless
    assert accuracy(results).shown == "by the same step"
    assert accuracy(results).lacks == ()
    assert results.verdict().decision == "upgrade"
    assert (roles_of(results, "map50"), role_of_accuracy(results)) == (["tells"], ["tells"])


@pytest.mark.parametrize("scores", [SCORES["1.10.0"], [0.9, 0.9, 0.9]])
def test_a_score_within_its_margin_or_better_shows_accuracy_without_any_step(
    folder: Make, scores: Sequence[float]
) -> None:
    results = make_accuracy_folder(folder, cases=["train"], scores={"1.12.1": scores})
    assert results.finding("map50").harmless
    assert accuracy(results).shown == "by the score"
    assert results.verdict().decision == "upgrade"
    assert role_of_accuracy(results) == ["tells"]


def test_a_score_within_its_margin_shows_accuracy_where_the_control_is_exactly_the_baseline(folder: Make) -> None:
    alike = {TWIN: SCORES["1.10.0"], "1.12.1": SCORES["1.10.0"]}
    results = make_accuracy_folder(folder, scores=alike)
    assert accuracy(results).shown == "by the score"


def test_without_a_rule_nothing_is_said_of_accuracy_and_an_open_score_keeps(folder: Make) -> None:
    results = make_accuracy_folder(folder, rule=False)
    assert results.verdict().accuracy == ()
    assert (results.verdict().decision, roles_of(results, "map50")) == ("inconclusive", ["keeps"])


# --- not shown ----------------------------------------------------------------------------------------------------


def test_without_the_case_that_measures_the_step_an_open_score_shows_nothing(folder: Make) -> None:
    results = make_accuracy_folder(folder, cases=["train"])
    assert lacking(results) == ["not run"]
    assert accuracy(results).lacks[0].metrics == ("gradient_error", "update_error")
    assert results.verdict().decision == "inconclusive"
    assert (roles_of(results, "map50"), role_of_accuracy(results)) == (["tells"], ["keeps"])


def test_a_case_of_the_step_that_is_required_and_not_planned_was_not_run(folder: Make) -> None:
    results = make_accuracy_folder(folder, cases=["train"])
    results.policy = replace(results.policy, required=["train", "fidelity"])
    assert lacking(results) == ["not run"]


def test_a_step_that_was_not_measured_shows_nothing(folder: Make) -> None:
    results = make_accuracy_folder(folder)
    for index in range(3):
        results.fail("1.12.1", index, case="fidelity")
    assert lacking(results) == ["not measured"]


def test_one_combination_that_was_not_measured_is_enough_to_show_nothing(folder: Make) -> None:
    results = make_accuracy_folder(folder)
    for index, error in enumerate(STEP_ERRORS):
        made = steps_of(error)
        results.keep("1.12.1", index, "fidelity", **{**made, "metrics": made["metrics"][:-1]})
    assert lacking(results) == ["not measured"]
    (lack,) = accuracy(results).lacks
    assert [one.quantity.key for one in lack.findings] == ["update_error[precision=fp32,size=96,batch=8]"]


def test_a_step_that_may_be_worse_than_its_margin_shows_nothing(folder: Make) -> None:
    results = make_accuracy_folder(folder)
    for index, factor in enumerate([0.3, 1.0, 3.0]):
        results.keep("1.12.1", index, "fidelity", **steps_of(STEP_ERRORS[index], update=factor))
    assert lacking(results) == ["open step"]
    assert {one.quantity.name for one in accuracy(results).lacks[0].findings} == {"update_error"}
    assert roles_of(results, "update_error") == ["keeps", "keeps"]


def test_a_step_that_is_closer_to_float64_is_no_worse(folder: Make) -> None:
    results = make_accuracy_folder(folder)
    for index, error in enumerate(STEP_ERRORS):
        results.keep("1.12.1", index, "fidelity", **steps_of(error, update=0.1))
    assert accuracy(results).shown == "by the same step"


def test_a_step_that_is_worse_holds_whatever_the_score_is(folder: Make) -> None:
    results = make_accuracy_folder(folder)
    for index, error in enumerate(STEP_ERRORS):
        results.keep("1.12.1", index, "fidelity", **steps_of(error, update=3.0))
    assert accuracy(results).shown == "worse"
    assert results.verdict().decision == "hold"
    assert roles_of(results, "update_error") == ["holds", "holds"]
    assert (roles_of(results, "map50"), role_of_accuracy(results)) == (["keeps"], [])


def test_a_score_that_is_worse_holds_though_every_step_is_the_same(folder: Make) -> None:
    worse = [score - 0.1 for score in SCORES["1.10.0"]]
    results = make_accuracy_folder(folder, scores={"1.12.1": worse})
    assert accuracy(results).shown == "worse"
    assert results.verdict().decision == "hold"
    assert (roles_of(results, "map50"), role_of_accuracy(results)) == (["holds"], [])


@pytest.mark.parametrize("outcome", ["failed", "open"])
def test_a_check_of_the_step_that_does_not_hold_in_every_run_shows_nothing(folder: Make, outcome: Any) -> None:
    results = make_accuracy_folder(folder)
    results.keep("1.12.1", 1, "fidelity", **{**steps_of(STEP_ERRORS[1]), "checks": [check(outcome, name="no_tensor")]})
    assert lacking(results) == ["check"]
    assert [(case, row.name) for case, row in accuracy(results).lacks[0].checks] == [("fidelity", "no_tensor")]


def test_a_check_that_fails_on_the_baseline_too_shows_nothing_of_the_step(folder: Make) -> None:
    results = make_accuracy_folder(folder)
    for pin in results.pins:
        for index, error in enumerate(STEP_ERRORS):
            made = {**steps_of(error), "checks": [check("failed", name="no_tensor")]}
            results.keep(pin, index, "fidelity", **made)
    assert lacking(results) == ["check"]


def test_a_check_of_the_step_that_no_run_made_shows_nothing(folder: Make) -> None:
    results = make_accuracy_folder(folder)
    for pin in results.pins:
        for index, error in enumerate(STEP_ERRORS):
            results.keep(pin, index, "fidelity", **{**steps_of(error), "checks": []})
    assert lacking(results) == ["check"]


def test_a_check_that_does_not_gate_is_not_asked_for(folder: Make) -> None:
    results = make_accuracy_folder(folder, cases=["train", "soak"])
    rule = AccuracyRule(score="map50", same_step=["throughput_drift"])
    judged = {**results.policy.metrics, "throughput_drift": MetricPolicy(margin=0.01, gates=True)}
    results.policy = replace(results.policy, accuracy=rule, metrics=judged)
    for pin in results.pins:
        results.keep_soak(pin, *[[4e8] * 30] * 3)
    outcomes = {row.name: (row.gates, row.cells[2].outcome) for row in results.machine().checks["soak"] if row.cells[2]}
    assert outcomes["growths_rss"] == (False, "open")
    assert {outcome for gates, outcome in outcomes.values() if gates} == {"held"}
    assert accuracy(results).shown == "by the same step"


def test_steps_that_differ_without_rounding_are_not_the_same(folder: Make) -> None:
    results = make_accuracy_folder(folder)
    results.keep("1.12.1", 1, "fidelity", **steps_of(STEP_ERRORS[1], exact=1.0 + 1e-6))
    assert lacking(results) == ["not exact"]
    assert [one.declared.name for one in accuracy(results).lacks[0].prints] == ["exact_steps"]


def test_steps_that_differ_without_rounding_by_no_more_than_the_tolerance_are_the_same(folder: Make) -> None:
    results = make_accuracy_folder(folder)
    results.keep("1.12.1", 1, "fidelity", **steps_of(STEP_ERRORS[1], exact=1.0 + 1e-12))
    assert accuracy(results).shown == "by the same step"


def test_a_difference_between_two_other_pins_says_nothing_of_a_candidate(folder: Make) -> None:
    results = make_accuracy_folder(folder, pins=["1.10.0", TWIN, "1.12.1", "1.13.1"])
    results.keep("1.13.1", 1, "fidelity", **steps_of(STEP_ERRORS[1], exact=1.0 + 1e-6))
    assert accuracy(results, "1.12.1").shown == "by the same step"
    assert accuracy(results, "1.13.1").shown == "not shown"


# --- chance -------------------------------------------------------------------------------------------------------


def test_chance_is_the_controls_root_mean_square_by_students_t_over_the_rounds() -> None:
    # s = sqrt((0.03² + 0.04²) / 2) = 0.035355; t of 95 % at 2 degrees of freedom is 4.302653
    assert reach_of([0.03, -0.04], 1, 0.05) == pytest.approx(4.302653 * 0.0353553, rel=1e-5)
    assert reach_of([0.03, -0.04], 4, 0.05) == pytest.approx(4.302653 * 0.0353553 / 2, rel=1e-5)
    # at 10 % it is 2.919986; at 3 degrees of freedom 3.182446
    assert reach_of([0.03, -0.04], 1, 0.1) == pytest.approx(2.919986 * 0.0353553, rel=1e-5)
    assert reach_of([0.03, 0.03, 0.03], 3, 0.05) == pytest.approx(3.182446 * 0.03 / math.sqrt(3), rel=1e-5)


def test_the_mean_of_the_control_counts_as_chance_too() -> None:
    assert reach_of([0.05, 0.05], 2, 0.05) == pytest.approx(4.302653 * 0.05 / math.sqrt(2), rel=1e-5)


@pytest.mark.parametrize("moved", [[], [0.03], [0.0, 0.0], [0.0, 0.0, 0.0]])
def test_a_control_of_one_round_or_that_moved_nothing_says_nothing_of_chance(moved: list[float]) -> None:
    assert reach_of(moved, 3, 0.05) is None


@pytest.mark.parametrize(("off", "shown"), [(0.0571, "by the same step"), (0.0572, "not shown")])
def test_a_score_is_shown_up_to_as_far_below_as_chance_reaches(folder: Make, off: float, shown: str) -> None:
    # the control moves by 0.03, 0.04 and -0.02: s = sqrt(0.0029 / 3) = 0.0310913, and t of 95 % at 3 is 3.182446,
    # so over 3 rounds chance reaches 3.182446 * 0.0310913 / sqrt(3) = 0.0571267
    own = [0.8 - off - 0.1, 0.8 - off + 0.1, 0.8 - off]
    scores = {"1.10.0": [0.8, 0.8, 0.8], TWIN: [0.83, 0.84, 0.78], "1.12.1": own}
    results = make_accuracy_folder(folder, scores=scores)
    found = accuracy(results)
    assert found.chance == pytest.approx(0.0571267, rel=1e-4)
    assert found.score.estimate == pytest.approx(-off)
    assert found.shown == shown
    assert [lack.kind for lack in found.lacks] == ([] if shown == "by the same step" else ["beyond chance"])


def test_a_score_that_is_better_by_more_than_chance_does_no_harm(folder: Make) -> None:
    scores = {"1.10.0": [0.4, 0.4, 0.4], TWIN: [0.401, 0.399, 0.402], "1.12.1": [0.45, 0.65, 0.55]}
    results = make_accuracy_folder(folder, scores=scores)
    found = accuracy(results)
    assert found.chance is not None
    assert found.score.estimate is not None
    assert found.score.estimate > found.chance
    assert (found.score.outcome, found.shown) == ("inconclusive", "by the same step")


def test_a_control_that_is_exactly_the_baseline_shows_nothing(folder: Make) -> None:
    results = make_accuracy_folder(folder, scores={TWIN: SCORES["1.10.0"]})
    assert lacking(results) == ["still control"]
    assert accuracy(results).chance is None


def test_a_control_with_one_round_of_the_score_shows_nothing(folder: Make) -> None:
    results = make_accuracy_folder(folder)
    for index in (0, 2):
        results.fail(TWIN, index)
    assert lacking(results) == ["no control"]


def test_a_matrix_without_a_control_shows_nothing(folder: Make) -> None:
    results = make_accuracy_folder(folder, pins=["1.10.0", "1.12.1"])
    assert lacking(results) == ["no control"]


def test_rounds_in_which_the_control_did_other_work_do_not_tell_of_chance(folder: Make) -> None:
    results = make_accuracy_folder(folder)
    moved = accuracy(results).moved
    assert moved == pytest.approx((0.02, -0.03, 0.025))
    results.keep(TWIN, 1, hashes=hashes(batch_stream="other"))
    assert accuracy(results).moved == pytest.approx((moved[0], moved[2]))


def test_a_control_that_lacks_a_round_tells_of_chance_by_the_others(folder: Make) -> None:
    results = make_accuracy_folder(folder)
    results.fail(TWIN, 1)
    assert accuracy(results).moved == pytest.approx((0.02, 0.025))
    assert accuracy(results).score.n == 3


# --- beside other reasons -----------------------------------------------------------------------------------------


def test_a_score_that_was_not_measured_keeps_as_any_other_metric_does(folder: Make) -> None:
    results = make_accuracy_folder(folder)
    for index in range(3):
        results.keep("1.12.1", index, metrics=[], not_measured={"map50": "out of time"})
    assert results.verdict().accuracy == ()
    assert (results.verdict().decision, roles_of(results, "map50")) == ("inconclusive", ["keeps"])


def test_another_metric_that_is_open_keeps_though_accuracy_is_shown(folder: Make) -> None:
    results = make_accuracy_folder(folder)
    results.keep_all("1.12.1", map50=SCORES["1.12.1"], epoch=[30.0, 33.0, 31.0])
    assert accuracy(results).shown == "by the same step"
    assert results.verdict().decision == "inconclusive"
    assert (roles_of(results, "epoch_time"), role_of_accuracy(results)) == (["keeps"], ["tells"])


def test_each_case_that_has_the_score_is_judged_by_its_own_control(folder: Make) -> None:
    results = make_accuracy_folder(folder, cases=["train", "fidelity", "converge"])
    for pin in results.pins:
        results.keep_seeds(pin, *(SCORES["1.12.1"] if pin == "1.12.1" else SCORES["1.10.0"]))
    found = {one.score.case: one.shown for one in results.verdict().accuracy}
    assert found == {"train": "by the same step", "converge": "not shown"}
    assert results.verdict().decision == "inconclusive"


def test_the_control_itself_has_no_accuracy_to_show(folder: Make) -> None:
    verdict = make_accuracy_folder(folder).machine_verdict()
    assert [one.pin for one in verdict.candidates] == ["1.12.1"]
