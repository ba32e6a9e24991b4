"""Findings: better, worse, equivalent or inconclusive, and what is never one of the first three."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import pytest
from results_folder import Folder, anomaly, hashes, metric, policy, train_metrics

from harness.core.policy import read_policy
from harness.core.spec import PACE, TWIN
from reports.judge.findings import Question, judge, outcome_of
from reports.evidence.units import quantity_of
from reports.judge.statistics import CountEstimate, Estimate

Make = Callable[..., Folder]
PINS = ["1.10.0", TWIN, "1.12.1"]

KINDS = {
    "epoch_time": ("epoch", [30.0, 31.0, 30.5, 30.2]),
    "peak_rss": ("memory", [400.0, 401.0, 400.5, 400.2]),
    "map50": ("map50", [0.8, 0.81, 0.805, 0.79]),
    "memory_growth": ("growth", [0.001, 0.0, -0.001, 0.0005]),
    "gradient_anomalies": ("anomalies", [0.0, 0.0, 0.0, 0.0]),
}
"""Metric to the argument of `train_metrics` that makes it, and the baseline's values in four rounds."""


def two_pins(folder: Make, name: str, change: Callable[[float, int], float]) -> Folder:
    """Four rounds of baseline and candidate; `change` makes the candidate's value from the baseline's and the round."""
    argument, values = KINDS[name]
    results = folder(rounds=4, policy=policy(name))
    results.keep_all("1.10.0", **{argument: values})
    results.keep_all("1.12.1", **{argument: [change(value, index) for index, value in enumerate(values)]})
    return results


NOISE = (0.0, 0.0002, -0.0001, 0.0001)
WILD = (0.2, -0.2, 0.1, -0.15)


@pytest.mark.parametrize(
    ("name", "outcome", "change"),
    [
        ("epoch_time", "worse", lambda value, index: value * (1.1 + NOISE[index])),
        ("epoch_time", "better", lambda value, index: value * (0.9 + NOISE[index])),
        ("epoch_time", "equivalent", lambda value, index: value * (1.01 + NOISE[index])),
        ("epoch_time", "inconclusive", lambda value, index: value * (1.0 + WILD[index])),
        ("peak_rss", "worse", lambda value, index: value * (1.03 + NOISE[index])),
        ("peak_rss", "equivalent", lambda value, index: value * (0.99 + NOISE[index])),
        ("map50", "worse", lambda value, index: value - 0.02 + NOISE[index]),
        ("map50", "better", lambda value, index: value + 0.02 + NOISE[index]),
        ("map50", "equivalent", lambda value, index: value - 0.004 + NOISE[index]),
        ("map50", "inconclusive", lambda value, index: value + WILD[index]),
        ("memory_growth", "worse", lambda value, index: value + 0.01 + NOISE[index]),
        ("memory_growth", "better", lambda value, index: value - 0.01 + NOISE[index]),
        ("memory_growth", "equivalent", lambda value, index: value + NOISE[index]),
        ("memory_growth", "inconclusive", lambda value, index: value + WILD[index]),
        ("gradient_anomalies", "worse", lambda value, index: value + 2),
        ("gradient_anomalies", "equivalent", lambda value, index: value),
        ("gradient_anomalies", "inconclusive", lambda value, index: value + 1),
    ],
)
def test_each_kind_of_metric_has_each_kind_of_outcome(
    folder: Make, name: str, outcome: str, change: Callable[[float, int], float]
) -> None:
    found = two_pins(folder, name, change).finding(name)
    assert found.outcome == outcome
    assert (found.reason == "") is (outcome != "inconclusive")
    assert (found.n, found.pairs) == (4, "rounds")


def test_fewer_events_than_the_baseline_has_are_better(folder: Make) -> None:
    results = folder(rounds=4, policy=policy("gradient_anomalies"))
    results.keep_all("1.10.0", anomalies=[3, 2, 3, 2])
    results.keep_all("1.12.1", anomalies=[0, 0, 1, 0])
    assert results.finding("gradient_anomalies").outcome == "better"


def test_a_ratio_is_stated_as_a_share_and_a_fraction_in_its_own_unit(folder: Make) -> None:
    ratio = two_pins(folder, "epoch_time", lambda value, index: value * 1.1).finding("epoch_time")
    assert (ratio.estimate, ratio.low, ratio.high) == pytest.approx((0.1, 0.1, 0.1))
    assert ratio.effect() == "+10.0 % [+10.0 %, +10.0 %]"


def test_a_fraction_is_stated_in_its_own_unit_and_shown_in_points(folder: Make) -> None:
    found = two_pins(folder, "map50", lambda value, index: value - 0.02).finding("map50")
    assert found.estimate == pytest.approx(-0.02)
    assert found.effect().startswith("\N{MINUS SIGN}2.0 pt [")


def test_a_clear_difference_within_the_margin_is_not_worse(folder: Make) -> None:
    found = two_pins(folder, "epoch_time", lambda value, index: value * (1.02 + NOISE[index])).finding("epoch_time")
    assert found.low is not None
    assert found.low > 0
    assert found.outcome == "equivalent"


def test_an_estimate_beyond_the_margin_whose_interval_reaches_zero_is_open(folder: Make) -> None:
    found = two_pins(folder, "epoch_time", lambda value, index: value * (1.1 + WILD[index])).finding("epoch_time")
    assert found.estimate is not None
    assert found.estimate > 0.03
    assert (found.outcome, found.reason) == ("inconclusive", "too few or too noisy pairs to tell")
    assert found.further is not None


# --- what is never a finding ------------------------------------------------------------------------------------


def test_one_run_per_pin_is_never_a_finding(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0")
    results.keep("1.12.1", metrics=train_metrics(epoch=300, memory=4000, map50=0.1, anomalies=500, growth=0.5))
    for found in results.findings():
        assert (found.outcome, found.measured) == ("inconclusive", False)
    assert results.finding("epoch_time").reason == "one pair of runs decides nothing"


@pytest.mark.parametrize("together", [True, False])
def test_one_sitting_is_never_a_finding_however_many_laps_it_has(folder: Make, together: bool) -> None:
    results = folder(cases=[PACE], policy=policy(PACE))
    results.keep_pace("1.10.0", 0.1, laps=600, together=together)
    results.keep_pace("1.12.1", 0.2, laps=600, together=together)
    found = results.finding(PACE)
    assert (found.outcome, found.measured, found.n) == ("inconclusive", False, 1)


def test_one_round_of_three_that_both_pins_have_is_not_enough(folder: Make) -> None:
    results = folder(rounds=3, policy=policy("epoch_time"))
    results.keep("1.10.0", 0)
    results.keep("1.10.0", 1)
    results.keep("1.12.1", 1, metrics=train_metrics(epoch=60))
    results.keep("1.12.1", 2, metrics=train_metrics(epoch=60))
    assert results.finding("epoch_time").reason == "one pair of runs decides nothing"


@pytest.mark.parametrize("numbers", [(math.nan, 0.1, 0.2), (0.1, math.nan, 0.2), (0.1, 0.05, math.inf)])
def test_what_is_no_number_is_no_outcome(numbers: tuple[float, float, float]) -> None:
    assert outcome_of(*numbers, margin=0.03, better="lower") == "inconclusive"


@pytest.mark.parametrize("estimate", [Estimate(math.nan, 0.1, 3), Estimate(0.1, math.nan, 3), Estimate(math.nan, 0, 3)])
@pytest.mark.parametrize("name", ["epoch_time", "map50"])
def test_an_estimate_that_is_not_a_number_is_never_a_finding(name: str, estimate: Estimate | CountEstimate) -> None:
    rules = policy(name).metrics[name]
    quantity = quantity_of(name, "s" if name == "epoch_time" else "fraction", rules.better)
    asked = Question("1.12.1", "train", quantity, rules, estimate, 3, "rounds", "")
    (found,) = judge([asked], 0.05)
    assert (found.outcome, found.alarms, found.harmless) == ("inconclusive", False, False)


def test_an_interval_too_wide_for_a_number_is_inconclusive_and_breaks_nothing(folder: Make) -> None:
    candidates = [f"1.{number}.0" for number in range(11, 24)]
    results = folder(["1.10.0", *candidates], rounds=2)
    for pin in results.pins[:-1]:
        results.keep_all(pin)
    results.keep_all(results.pins[-1], epoch=[30, 1800])
    assert results.finding("epoch_time", results.pins[-1]).outcome == "inconclusive"
    assert results.markdown()


# --- what is paired with what -----------------------------------------------------------------------------------


def test_sittings_are_paired_whatever_the_number_of_their_laps(folder: Make) -> None:
    results = folder(PINS, rounds=2, sittings=2, cases=[PACE], policy=policy(PACE))
    results.keep_pace("1.10.0", 0.100, 0.300, 0.110, 0.100, laps=40)
    results.keep_pace(TWIN, 0.100, 0.300, 0.110, 0.100, laps=9)
    results.keep_pace("1.12.1", 0.110, 0.330, 0.121, 0.110, laps=6)
    found = results.finding(PACE)
    assert (found.n, found.pairs, found.outcome) == (4, "sittings", "worse")
    assert found.estimate == pytest.approx(0.1)


def test_the_pace_is_that_of_the_quietest_third_of_the_laps(folder: Make) -> None:
    results = folder(rounds=3, cases=[PACE], policy=policy(PACE))
    disturbed = [0.1, 0.1, 0.5, 0.7, 0.1, 2.0, 0.3, 0.9, 0.2]
    for index in range(3):
        for pin, laps in (("1.10.0", disturbed), ("1.12.1", [0.11] * 9)):
            results.keep(pin, index, PACE, metrics=[metric(PACE, "s", *laps)], sitting=str(index))
    assert results.finding(PACE).estimate == pytest.approx(0.1)


def test_runs_of_different_sittings_are_not_paired(folder: Make) -> None:
    results = folder(rounds=3, cases=[PACE], policy=policy(PACE))
    for index in range(3):
        results.keep("1.10.0", index, PACE, metrics=[metric(PACE, "s", 0.1)], sitting=f"one {index}")
        results.keep("1.12.1", index, PACE, metrics=[metric(PACE, "s", 0.2)], sitting=f"other {index}")
    found = results.finding(PACE)
    assert (found.measured, found.n, found.outcome) == (False, 0, "inconclusive")
    assert found.reason == "no run of it can be paired with one of the baseline"


def test_a_run_alone_is_not_paired_with_one_that_took_turns(folder: Make) -> None:
    results = folder(rounds=3, cases=[PACE], policy=policy(PACE))
    results.keep_pace("1.10.0", 0.1, 0.1, 0.1)
    results.keep_pace("1.12.1", 0.2, 0.2, 0.2, together=False)
    assert not results.finding(PACE).measured


def test_only_the_sittings_that_both_were_in_are_paired(folder: Make) -> None:
    results = folder(rounds=3, cases=[PACE], policy=policy(PACE))
    results.keep_pace("1.10.0", 0.1, 0.1, 0.1)
    results.keep_pace("1.12.1", 0.11, 0.11, 0.5)
    results.keep("1.12.1", 2, PACE, metrics=[metric(PACE, "s", 0.5)], sitting="a later one")
    found = results.finding(PACE)
    assert found.n == 2
    assert found.estimate == pytest.approx(0.1)


def test_runs_of_pace_that_had_the_machine_to_themselves_are_paired_by_round(folder: Make) -> None:
    results = folder(rounds=3, cases=[PACE], policy=policy(PACE))
    results.keep_pace("1.10.0", 0.1, 0.2, 0.3, together=False)
    results.keep_pace("1.12.1", 0.11, 0.22, 0.33, together=False)
    found = results.finding(PACE)
    assert found.n == 3
    assert found.estimate == pytest.approx(0.1)


def test_records_whose_hashes_differ_are_not_paired(folder: Make) -> None:
    results = folder(rounds=3, policy=policy("epoch_time"))
    for index in range(3):
        results.keep("1.10.0", index)
        results.keep("1.12.1", index, metrics=train_metrics(epoch=33))
    results.keep("1.12.1", 1, metrics=train_metrics(epoch=300), hashes=hashes(batch_stream="other"))
    found = results.finding("epoch_time")
    assert found.n == 2
    assert found.estimate == pytest.approx(0.1)


def test_with_all_hashes_different_there_is_no_finding(folder: Make) -> None:
    results = folder(rounds=3)
    for index in range(3):
        results.keep("1.10.0", index)
        results.keep("1.12.1", index, metrics=train_metrics(epoch=300), hashes=hashes(data="other"))
    assert {found.outcome for found in results.findings()} == {"inconclusive"}


def test_a_candidate_whose_hashes_differ_does_not_tell_the_noise_of_another(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1", "1.13.1"], rounds=3, policy=policy("epoch_time"))
    results.keep_all("1.10.0", epoch=[30, 31, 30])
    results.keep_all("1.12.1", epoch=[33, 34.1, 33])
    for index, epoch in enumerate((1, 900, 30)):
        results.keep("1.13.1", index, metrics=train_metrics(epoch=epoch), hashes=hashes(data="other"))
    assert results.finding("epoch_time").outcome == "worse"


# --- what was not measured --------------------------------------------------------------------------------------


def test_a_metric_without_figures_is_not_measured_with_the_reason_of_the_record(folder: Make) -> None:
    results = folder(rounds=2)
    results.keep_all("1.10.0")
    for index in (0, 1):
        results.keep("1.12.1", index, metrics=train_metrics()[:3], not_measured={"map50": "no validation pictures"})
    found = results.finding("map50")
    assert (found.measured, found.outcome, found.reason) == (False, "inconclusive", "no validation pictures")


def test_an_map_that_never_left_zero_on_either_side_is_not_equal(folder: Make) -> None:
    results = folder(rounds=3)
    for pin in results.pins:
        results.keep_all(pin, map50=[0, 0, 0])
    found = results.finding("map50")
    assert (found.measured, found.outcome) == (False, "inconclusive")
    assert "never left 0" in found.reason


def test_a_metric_of_runs_that_failed_is_not_measured_with_why_they_did(folder: Make) -> None:
    results = folder(rounds=2)
    results.keep_all("1.10.0")
    for index in (0, 1):
        results.fail("1.12.1", index)
    assert results.finding("epoch_time").reason == "failed: The process was ended by SIGKILL."


def test_a_metric_whose_case_is_not_planned_is_not_measured(folder: Make) -> None:
    results = folder(rounds=2)
    for pin in results.pins:
        results.keep_all(pin)
    assert results.finding(PACE).reason == "the case pace is not part of this matrix"


def test_a_metric_whose_case_failed_on_all_pins_is_not_said_to_have_no_case(folder: Make) -> None:
    results = folder(rounds=2, cases=["train", PACE])
    for pin in results.pins:
        results.keep_all(pin)
        for index in (0, 1):
            results.fail(pin, index, case=PACE)
    assert "no case of this matrix" not in results.finding(PACE).reason


# --- Holm, and the control --------------------------------------------------------------------------------------


def test_the_more_is_asked_the_wider_the_intervals(folder: Make) -> None:
    levels = []
    for pins in (["1.10.0", "1.12.1"], ["1.10.0", "1.12.1", "1.13.1", "2.1.2"]):
        results = folder(pins, rounds=3, policy=policy("epoch_time"))
        for place, pin in enumerate(pins):
            results.keep_all(pin, epoch=[30, 31 + place, 30 - place])
        levels.append(results.finding("epoch_time").level)
    assert levels == pytest.approx([0.05, 0.05 / 3])


def test_the_control_is_a_family_of_its_own(folder: Make) -> None:
    results = folder([*PINS, "1.13.1"], rounds=3, policy=policy("epoch_time"))
    for place, pin in enumerate(results.pins):
        results.keep_all(pin, epoch=[30, 31 + place, 30 - place])
    assert results.finding("epoch_time", TWIN).level == pytest.approx(0.05)
    assert results.finding("epoch_time", "1.12.1").level == pytest.approx(0.025)


def loud(folder: Make) -> Folder:
    """A machine on which the baseline's twin is 6 % slower; one candidate is 5 % slower, the other 50 %."""
    results = folder([*PINS, "1.13.1"], rounds=4, policy=policy("epoch_time", "map50"))
    for pin, factor in zip(results.pins, (1.0, 1.06, 1.05, 1.5), strict=True):
        results.keep_all(pin, epoch=[value * factor for value in (30, 31, 30.5, 30.2)])
    return results


def test_what_is_within_the_noise_that_the_control_shows_is_inconclusive(folder: Make) -> None:
    results = loud(folder)
    assert results.finding("epoch_time", TWIN).outcome == "worse"
    found = results.finding("epoch_time", "1.12.1")
    assert (found.outcome, found.reason) == ("inconclusive", "the baseline differs from itself as much")


def test_what_is_clear_of_the_noise_that_the_control_shows_stands(folder: Make) -> None:
    assert loud(folder).finding("epoch_time", "1.13.1").outcome == "worse"


def test_noise_in_one_metric_takes_nothing_from_another(folder: Make) -> None:
    results = loud(folder)
    results.keep_all("1.12.1", map50=[0.7, 0.7, 0.7, 0.7])
    assert results.finding("map50", "1.12.1").outcome == "worse"


def test_a_control_that_alarms_says_so_before_anything_else(folder: Make) -> None:
    results = loud(folder)
    control = results.machine_verdict().control
    assert not control.quiet
    assert control.sentence.startswith("NOISE: the baseline 1.10.0 differs from itself (Epoch time +6.0 % [")
    title, first, *_ = [line for line in results.markdown().splitlines() if line]
    assert title.startswith("# ")
    assert first.startswith("> **Warning:** NOISE: the baseline 1.10.0 differs from itself")
    _, first, *_ = [line for line in results.terminal().splitlines() if line]
    assert first.startswith("WARNING: NOISE: the baseline 1.10.0 differs from itself")


def test_a_quiet_control_is_said_and_leaves_findings_alone(folder: Make) -> None:
    results = folder(PINS, rounds=3, policy=policy("epoch_time"))
    for pin, factor in zip(PINS, (1.0, 1.001, 1.1), strict=True):
        results.keep_all(pin, epoch=[30 * factor, 31 * factor, 30.5 * factor])
    assert results.machine_verdict().control.quiet
    assert results.finding("epoch_time").outcome == "worse"
    assert "NOISE" not in results.markdown()


# --- counts with the margin 0 -----------------------------------------------------------------------------------


def test_no_event_on_either_side_is_equivalent_at_the_margin_zero(folder: Make) -> None:
    results = folder(rounds=2, policy=policy("gradient_anomalies"))
    for pin in results.pins:
        results.keep_all(pin)
    found = results.finding("gradient_anomalies")
    assert (found.outcome, found.estimate, found.low, found.high) == ("equivalent", 0.0, 0.0, 0.0)


def one_event(folder: Make) -> Folder:
    results = folder(rounds=3, policy=policy("gradient_anomalies"))
    for pin in results.pins:
        results.keep_all(pin)
    results.keep("1.12.1", 1, metrics=train_metrics(anomalies=1), anomalies=[anomaly("non-finite gradient")])
    return results


def test_one_event_in_one_run_is_inconclusive(folder: Make) -> None:
    found = one_event(folder).finding("gradient_anomalies")
    assert (found.outcome, found.estimate) == ("inconclusive", pytest.approx(1 / 3))


def test_one_event_in_one_run_is_named_all_the_same(folder: Make) -> None:
    reasons = one_event(folder).verdict().reasons
    assert reasons[-1] == (
        "non-finite gradient in round(s) 2, not in the baseline's; first in epoch 2, step 4, stem.weight."
    )


def test_an_anomaly_that_the_baseline_has_in_the_same_round_is_not_named(folder: Make) -> None:
    results = one_event(folder)
    results.keep("1.10.0", 1, metrics=train_metrics(anomalies=1), anomalies=[anomaly("non-finite gradient")])
    assert not any("not in the baseline's" in reason for reason in results.verdict().reasons)


def test_an_anomaly_that_the_baseline_has_after_many_others_is_not_said_to_be_missing_there(folder: Make) -> None:
    results = one_event(folder)
    many = [*[anomaly("zero gradient", step=step) for step in range(9)], anomaly("non-finite gradient", step=9)]
    results.keep("1.10.0", 1, metrics=train_metrics(anomalies=10), anomalies=many)
    assert not any("not in the baseline's" in reason for reason in results.verdict().reasons)


def test_an_anomaly_after_many_that_the_baseline_has_too_is_named(folder: Make) -> None:
    results = one_event(folder)
    usual = [anomaly("zero gradient", step=step) for step in range(9)]
    results.keep("1.10.0", 1, metrics=train_metrics(anomalies=9), anomalies=usual)
    results.keep("1.12.1", 1, metrics=train_metrics(anomalies=10), anomalies=[*usual, anomaly("non-finite gradient")])
    assert any(reason.startswith("non-finite gradient in round(s) 2") for reason in results.verdict().reasons)


def test_a_metric_that_the_policy_misspells_is_not_measured_and_forbids_the_upgrade(folder: Make) -> None:
    right = policy("epoch_time")
    misspelt = msgspec.structs.replace(right, metrics={**right.metrics, "peak_rs": right.metrics["epoch_time"]})
    results = folder(["1.10.0", TWIN, "1.12.1"], rounds=3, policy=misspelt)
    for pin in results.pins:
        results.keep_all(pin, epoch=[30.0, 31.0, 30.5])
    verdict = results.verdict()
    assert verdict.verdict == "inconclusive"
    assert "peak rs: not measured (no case of this matrix measures it)." in verdict.reasons


def test_a_metric_that_another_case_measured_too_is_called_by_both(folder: Make) -> None:
    names = ("memory_growth", "map50", "map50_spread")
    results = folder(rounds=2, cases=["train", "converge", "soak"], policy=policy(*names))
    for pin in results.pins:
        results.keep_all(pin)
        results.keep_seeds(pin, 0.8, 0.81)
        for index in range(2):
            results.keep(pin, index, "soak", metrics=[metric("memory_growth", "1/epoch", 0.0)])
    assert [one.title for one in results.findings()] == [
        "Memory growth per epoch",
        "Final mAP50",
        "Final mAP50 (converge)",
        "Spread of final mAP50",
        "Memory growth per epoch (soak)",
    ]
    told = "\n".join([*results.verdict().reasons, results.decision()])
    assert "Final mAP50 (converge): " in told
    assert "Memory growth per epoch (soak): " in told


def test_a_metric_of_a_case_that_was_planned_and_not_measured_is_open(folder: Make) -> None:
    results = folder(rounds=2, cases=["soak"], policy=read_policy())
    for pin in results.pins:
        for index in range(2):
            results.keep(pin, index, "soak", metrics=[metric("memory_growth", "1/epoch", 0.0)])
    found = results.finding("throughput_drift")
    assert (found.case, found.outcome, found.policy.gates) == ("soak", "inconclusive", True)
