"""Findings: better, worse, equivalent or inconclusive, and what is never one of the first three."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import pytest
from results_folder import Folder, alike, anomaly, hashes, metric, policy, train_metrics
from typical_folders import of_three_cases

from harness.core.cases import read_case
from harness.core.declaration import Case, DeclaredMetric, Parameter
from harness.core.policy import read_policy
from harness.core.record import Sitting
from harness.core.settings import CaseSettings
from harness.core.spec import TWIN
from reports.evidence.figures import Absent
from reports.evidence.store import Trouble
from reports.evidence.units import guess
from reports.judge.findings import Question, judged, outcome_of
from reports.judge.statements import Anomalous, Finding, Reason, Why
from reports.judge.statistics import CountEstimate, Estimate

Make = Callable[..., Folder]
Declare = Callable[[str, Case], None]
PINS = ["1.10.0", TWIN, "1.12.1"]

KINDS = {
    "epoch_time": ("epoch", [30.0, 31.0, 30.5, 30.2]),
    "training_memory": ("memory", [400.0, 401.0, 400.5, 400.2]),
    "map50": ("map50", [0.8, 0.81, 0.805, 0.79]),
    "memory_growth": ("", [0.001, 0.0, -0.001, 0.0005]),
    "gradient_anomalies": ("anomalies", [0.0, 0.0, 0.0, 0.0]),
}
"""Metric to the argument of `train_metrics` that makes it, none where `soak` does, and the baseline's values in four
rounds."""


def two_pins(folder: Make, name: str, change: Callable[[float, int], float]) -> Folder:
    """Four rounds of baseline and candidate; `change` makes the candidate's value from the baseline's and the round."""
    argument, values = KINDS[name]
    changed = [change(value, index) for index, value in enumerate(values)]
    results = folder(rounds=4, cases=["train" if argument else "soak"], policy=policy(name))
    for pin, own in zip(results.pins, (values, changed), strict=True):
        if argument:
            results.keep_all(pin, **{argument: own})
        else:
            results.keep_growths(pin, *own)
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
        ("training_memory", "worse", lambda value, index: value * (1.03 + NOISE[index])),
        ("training_memory", "equivalent", lambda value, index: value * (0.99 + NOISE[index])),
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
    assert (found.why is None) is (outcome != "inconclusive")
    assert (found.n, found.pairs) == (4, "rounds")


def test_fewer_events_than_the_baseline_has_are_better(folder: Make) -> None:
    results = folder(rounds=4, policy=policy("gradient_anomalies"))
    results.keep_all("1.10.0", anomalies=[3, 2, 3, 2])
    results.keep_all("1.12.1", anomalies=[0, 0, 1, 0])
    assert results.finding("gradient_anomalies").outcome == "better"


def test_a_ratio_is_stated_as_a_share_and_a_fraction_in_its_own_unit(folder: Make) -> None:
    ratio = two_pins(folder, "epoch_time", lambda value, index: value * 1.1).finding("epoch_time")
    assert (ratio.estimate, ratio.low, ratio.high) == pytest.approx((0.1, 0.1, 0.1))
    assert ratio.show(0.1) == "+10.0 %"


def test_a_fraction_is_stated_in_its_own_unit_and_shown_in_points(folder: Make) -> None:
    found = two_pins(folder, "map50", lambda value, index: value - 0.02).finding("map50")
    assert found.estimate == pytest.approx(-0.02)
    assert found.show(found.estimate) == "\N{MINUS SIGN}2.0 pt"


def test_shares_differ_by_no_more_than_all_of_it(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1"], rounds=2, policy=policy("map50"))
    results.keep_all("1.10.0", map50=[0.2, 0.9])
    results.keep_all("1.12.1", map50=[0.8, 0.1])
    found = results.finding("map50")
    assert (found.outcome, found.low, found.high) == ("inconclusive", -1, 1)


def test_a_clear_difference_within_the_margin_is_not_worse(folder: Make) -> None:
    found = two_pins(folder, "epoch_time", lambda value, index: value * (1.02 + NOISE[index])).finding("epoch_time")
    assert found.low is not None
    assert found.low > 0
    assert found.outcome == "equivalent"


def test_an_estimate_beyond_the_margin_whose_interval_reaches_zero_is_open(folder: Make) -> None:
    found = two_pins(folder, "epoch_time", lambda value, index: value * (1.1 + WILD[index])).finding("epoch_time")
    assert found.estimate is not None
    assert found.estimate > 0.03
    assert (found.outcome, found.why) == ("inconclusive", Why("both sides"))
    assert found.further is not None


# --- what is never a finding ------------------------------------------------------------------------------------


def test_one_run_per_pin_is_never_a_finding(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0")
    results.keep("1.12.1", metrics=train_metrics(epoch=300, memory=4000, map50=0.1, anomalies=500))
    for found in results.findings():
        assert (found.outcome, found.measured) == ("inconclusive", False)
    assert results.finding("epoch_time").why == Why("one pair")


@pytest.mark.parametrize("together", [True, False])
def test_one_sitting_is_never_a_finding_however_many_laps_it_has(folder: Make, together: bool) -> None:
    results = folder(policy=policy("step_time"))
    results.keep_laps("1.10.0", alike(0.1, laps=600), together=together)
    results.keep_laps("1.12.1", alike(0.2, laps=600), together=together)
    found = results.finding("step_time")
    assert (found.outcome, found.measured, found.n) == ("inconclusive", False, 1)
    assert found.why == Why("one pair")


@pytest.mark.parametrize(
    ("theirs", "mine", "why"),
    [
        ([0.5, 0.5, 0.5], [0.4, 0.4, 0.4], Why("no chance")),
        ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5], None),
        ([0.5, 0.51, 0.5], [0.4, 0.4, 0.4], None),
    ],
)
def test_what_chance_draws_and_two_pins_have_alike_in_every_round_is_one_draw(
    folder: Make, declare: Declare, theirs: list[float], mine: list[float], why: Why | None
) -> None:
    score = DeclaredMetric("score", "Score", "fraction", "points", better="higher", drawn=True, margin=0.02)
    declare("drawing", Case(metrics=(score,)))
    results = folder(PINS, 3, cases=["drawing"], policy=policy("epoch_time", required=[]))
    for pin, values in zip(PINS, (theirs, theirs, mine), strict=True):
        for index, value in enumerate(values):
            results.keep(pin, index, "drawing", metrics=[metric("score", "fraction", value)])
    assert results.finding("score", "1.12.1").why == why


def test_one_round_of_three_that_both_pins_have_is_not_enough(folder: Make) -> None:
    results = folder(rounds=3, policy=policy("epoch_time"))
    results.keep("1.10.0", 0)
    results.keep("1.10.0", 1)
    results.keep("1.12.1", 1, metrics=train_metrics(epoch=60))
    results.keep("1.12.1", 2, metrics=train_metrics(epoch=60))
    assert results.finding("epoch_time").why == Why("one pair")


@pytest.mark.parametrize("numbers", [(math.nan, 0.1, 0.2), (0.1, math.nan, 0.2), (0.1, 0.05, math.inf)])
def test_what_is_no_number_is_no_outcome(numbers: tuple[float, float, float]) -> None:
    assert outcome_of(*numbers, margin=0.03, better="lower") == "inconclusive"


@pytest.mark.parametrize("estimate", [Estimate(math.nan, 0.1, 3), Estimate(0.1, math.nan, 3), Estimate(math.nan, 0, 3)])
@pytest.mark.parametrize("name", ["epoch_time", "map50"])
def test_an_estimate_that_is_not_a_number_is_never_a_finding(name: str, estimate: Estimate | CountEstimate) -> None:
    rules = policy(name).metrics[name]
    asked = Question("1.12.1", "train", guess(read_case("train"), name), rules, estimate, 3, "rounds", 3)
    (found,) = judged([asked], 0.05)
    assert (found.outcome, found.alarms, found.harmless) == ("inconclusive", False, False)


def test_an_interval_too_wide_for_a_number_is_inconclusive(folder: Make) -> None:
    candidates = [f"1.{number}.0" for number in range(11, 24)]
    results = folder(["1.10.0", *candidates], rounds=2)
    for pin in results.pins[:-1]:
        results.keep_all(pin)
    results.keep_all(results.pins[-1], epoch=[30, 1800])
    assert results.finding("epoch_time", results.pins[-1]).outcome == "inconclusive"


# --- what is paired with what -----------------------------------------------------------------------------------


def in_turns(folder: Make, **rounds: list[list[list[float]]]) -> Folder:
    """What the pins measured in turns, by round, sitting and lap: the baseline, the control and a candidate."""
    names = {"baseline": "1.10.0", "control": TWIN, "candidate": "1.12.1"}
    results = folder([names[one] for one in rounds], len(rounds["baseline"]), policy=policy("step_time"))
    for one, laps in rounds.items():
        results.keep_laps(names[one], *laps)
    return results


STEADY = [alike(0.1, 0.3), alike(0.2, 0.1)]


def test_what_is_measured_in_turns_is_paired_by_sittings(folder: Make) -> None:
    slower = [alike(0.11, 0.33), alike(0.22, 0.11)]
    found = in_turns(folder, baseline=STEADY, control=STEADY, candidate=slower).finding("step_time")
    assert (found.n, found.pairs, found.outcome) == (4, "sittings", "worse")
    assert (found.estimate, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))


def test_sittings_of_unequal_laps_are_paired_up_to_the_shorter(folder: Make) -> None:
    longer = [[[0.11] * 8 + [9.0] * 20 for _ in range(2)] for _ in range(2)]
    results = in_turns(folder, baseline=[alike(0.1, 0.1)] * 2, control=[alike(0.1, 0.1)] * 2, candidate=longer)
    found = results.finding("step_time")
    assert (found.n, found.outcome) == (4, "worse")
    assert (found.estimate, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))


def test_the_order_of_laps_matters_as_laps_are_paired_by_their_places(folder: Make) -> None:
    rising = [[[0.1 * 1.2**lap for lap in range(12)] for _ in range(2)] for _ in range(2)]
    falling = [[laps[::-1] for laps in sittings] for sittings in rising]
    outcomes = [
        in_turns(folder, baseline=rising, control=rising, candidate=laps).finding("step_time").outcome
        for laps in (rising, falling)
    ]
    assert outcomes == ["equivalent", "inconclusive"]


def test_sittings_are_paired_by_name_and_never_across(folder: Make) -> None:
    results = in_turns(folder, baseline=[alike(0.1, 0.2)] * 2, candidate=[alike(0.1, 0.2)] * 2)
    for index in range(2):
        swapped = [Sitting(name=f"{index}.{number}", seat=1, laps=8) for number in (1, 0)]
        results.keep("1.12.1", index, metrics=[metric("step_time", "s", *[0.2] * 8, *[0.1] * 8)], sittings=swapped)
    found = results.finding("step_time")
    assert (found.n, found.outcome) == (4, "equivalent")
    assert (found.estimate, found.low, found.high) == pytest.approx((0.0, 0.0, 0.0))


def test_sittings_of_one_name_in_different_rounds_are_not_paired(folder: Make) -> None:
    results = folder(PINS, rounds=2, policy=policy("step_time"))
    for pin, index in (("1.10.0", 0), (TWIN, 0), ("1.12.1", 1)):
        sittings = [Sitting(name=name, seat=0, laps=8) for name in ("first", "second")]
        results.keep(pin, index, metrics=[metric("step_time", "s", *[0.1] * 16)], sittings=sittings)
    assert results.finding("step_time", TWIN).n == 2
    assert (results.finding("step_time").n, results.finding("step_time").why) == (
        0,
        Why("run", status="missing", trouble=Trouble("not done")),
    )


def test_only_the_sittings_that_both_were_in_count(folder: Make) -> None:
    others = in_turns(folder, baseline=STEADY, control=STEADY, candidate=STEADY)
    sittings = [Sitting(name="1.0", seat=2, laps=8), Sitting(name="a later one", seat=2, laps=8)]
    others.keep("1.12.1", 1, metrics=[metric("step_time", "s", *[0.2] * 8, *[0.9] * 8)], sittings=sittings)
    found = others.finding("step_time")
    assert (found.n, found.estimate) == (3, pytest.approx(0.0))


def test_laps_of_records_that_must_not_be_compared_do_not_count(folder: Make) -> None:
    results = in_turns(folder, baseline=STEADY, control=STEADY, candidate=STEADY)
    made = results.matrix().runs_of("train", "1.12.1")[1]
    steps = metric("step_time", "s", *[9.0] * 16)
    results.keep("1.12.1", 1, metrics=[steps], sittings=list(made.sittings), hashes=hashes(data="other"))
    found = results.finding("step_time")
    assert (found.n, found.estimate) == (2, pytest.approx(0.0))


def test_two_sittings_alone_leave_the_interval_without_an_end(folder: Make) -> None:
    results = in_turns(folder, baseline=[alike(0.1, 0.1)], candidate=[alike(0.2, 0.2)])
    found = results.finding("step_time")
    assert (found.n, found.outcome, found.why) == (2, "inconclusive", Why("both sides"))
    assert found.estimate == pytest.approx(1.0)
    assert (found.low, found.high) == (-1.0, math.inf)
    assert not found.harmless


def test_a_run_alone_is_not_paired_with_one_that_took_turns(folder: Make) -> None:
    results = folder(PINS, 2, policy=policy("step_time"))
    for pin in PINS:
        results.keep_laps(pin, *STEADY, together=pin != "1.12.1")
    assert results.finding("step_time", TWIN).measured
    assert results.finding("step_time").why == Why("no pair")


def test_runs_that_had_the_machine_to_themselves_are_compared_by_rounds(folder: Make) -> None:
    results = folder(rounds=3, policy=policy("step_time"))
    results.keep_laps("1.10.0", *[alike(step, step) for step in (0.1, 0.2, 0.3)], together=False)
    results.keep_laps("1.12.1", *[alike(step, step) for step in (0.11, 0.22, 0.33)], together=False)
    found = results.finding("step_time")
    assert (found.n, found.pairs, found.outcome) == (3, "rounds", "worse")
    assert found.estimate == pytest.approx(0.1)


def test_of_a_case_that_takes_turns_all_else_is_compared_by_rounds(folder: Make) -> None:
    results = folder(rounds=3, policy=policy("epoch_time"))
    for pin in results.pins:
        results.keep_all(pin, epoch=[30, 31, 30])
    assert (results.finding("epoch_time").n, results.finding("epoch_time").pairs) == (3, "rounds")


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
    assert (found.measured, found.outcome) == (False, "inconclusive")
    assert found.why == Why("absent", Absent("recorded", "no validation pictures"))


def test_an_map_that_never_left_zero_on_either_side_is_not_equal(folder: Make) -> None:
    results = folder(rounds=3)
    for pin in results.pins:
        results.keep_all(pin, map50=[0, 0, 0])
    found = results.finding("map50")
    assert (found.measured, found.outcome) == (False, "inconclusive")
    assert found.why == Why("absent", Absent("unlearnt"))


def test_a_metric_of_runs_that_failed_is_not_measured_with_why_they_did(folder: Make) -> None:
    results = folder(rounds=2)
    results.keep_all("1.10.0")
    for index in (0, 1):
        results.fail("1.12.1", index)
    trouble = Trouble("recorded", "The process was ended by SIGKILL.")
    assert results.finding("epoch_time").why == Why("run", status="failed", trouble=trouble)


def test_a_metric_whose_case_is_not_planned_is_not_measured(folder: Make) -> None:
    results = folder(rounds=2, policy=policy("epoch_time", "memory_growth", required=["train", "soak"]))
    for pin in results.pins:
        results.keep_all(pin)
    found = results.finding("memory_growth")
    assert (found.case, found.why) == ("", Why("case not planned", case="soak"))


def test_a_metric_whose_case_failed_on_all_pins_is_not_said_to_have_no_case(folder: Make) -> None:
    judging = policy("epoch_time", "memory_growth", required=["train", "soak"])
    results = folder(rounds=2, cases=["train", "soak"], policy=judging)
    for pin in results.pins:
        results.keep_all(pin)
        for index in (0, 1):
            results.fail(pin, index, case="soak")
    found = results.finding("memory_growth")
    assert found.why
    assert (found.case, found.why.kind) == ("soak", "run")


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


def test_what_does_not_gate_is_a_family_of_its_own_and_takes_nothing_from_what_does(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1"], rounds=3, policy=policy("epoch_time", "map50", idle=["map50"]))
    results.keep_all("1.10.0", epoch=[30, 31, 30], map50=[0.8, 0.7, 0.8])
    results.keep_all("1.12.1", epoch=[31, 30, 31], map50=[0.7, 0.8, 0.7])
    assert results.finding("epoch_time").level == pytest.approx(0.05)
    assert results.finding("map50").level == pytest.approx(0.05)


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
    assert (found.outcome, found.why) == ("inconclusive", Why("noisy"))


def test_what_is_clear_of_the_noise_that_the_control_shows_stands(folder: Make) -> None:
    assert loud(folder).finding("epoch_time", "1.13.1").outcome == "worse"


def test_noise_in_one_metric_takes_nothing_from_another(folder: Make) -> None:
    results = loud(folder)
    results.keep_all("1.12.1", map50=[0.7, 0.7, 0.7, 0.7])
    assert results.finding("map50", "1.12.1").outcome == "worse"


def test_what_one_rounding_moves_as_far_as_chance_makes_no_machine_noisy(folder: Make) -> None:
    results = folder(PINS, rounds=4, policy=policy("epoch_time", "map50"))
    for pin, score in zip(results.pins, (0.80, 0.70, 0.79), strict=True):
        results.keep_all(pin, map50=[score, score + 0.001, score - 0.001, score], epoch=[30.0, 30.1, 30.2, 30.1])
    found = results.finding("map50", TWIN)
    assert (found.outcome, found.chaotic, found.tells_noise) == ("worse", True, False)
    control = results.machine_verdict().control
    assert control.state == "quiet"
    assert results.finding("map50").why == Why("noisy")


def test_a_control_of_which_only_chance_is_known_is_silent(folder: Make) -> None:
    results = folder(PINS, rounds=3, policy=policy("map50"))
    for pin in results.pins:
        results.keep_all(pin, map50=[0.8, 0.81, 0.79])
    assert results.machine_verdict().control.state == "silent"


def test_a_control_that_alarms_is_noisy(folder: Make) -> None:
    assert loud(folder).machine_verdict().control.state == "noisy"


def test_a_quiet_control_leaves_findings_alone(folder: Make) -> None:
    results = folder(PINS, rounds=3, policy=policy("epoch_time"))
    for pin, factor in zip(PINS, (1.0, 1.001, 1.1), strict=True):
        results.keep_all(pin, epoch=[30 * factor, 31 * factor, 30.5 * factor])
    assert results.machine_verdict().control.state == "quiet"
    assert results.finding("epoch_time").outcome == "worse"


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


def reasons(results: Folder) -> list[Reason]:
    return [weighed.reason for weighed in results.verdict().reasons]


def test_one_event_in_one_run_is_named_all_the_same_and_decides_nothing(folder: Make) -> None:
    last = one_event(folder).verdict().reasons[-1]
    assert last.reason == Anomalous("non-finite gradient", (1,), epoch=1, step=3, parameter="stem.weight")
    assert last.role == "tells"


def test_an_anomaly_that_the_baseline_has_in_the_same_round_is_not_named(folder: Make) -> None:
    results = one_event(folder)
    results.keep("1.10.0", 1, metrics=train_metrics(anomalies=1), anomalies=[anomaly("non-finite gradient")])
    assert not any(isinstance(reason, Anomalous) for reason in reasons(results))


def test_an_anomaly_that_the_baseline_has_after_many_others_is_not_said_to_be_missing_there(folder: Make) -> None:
    results = one_event(folder)
    many = [*[anomaly("zero gradient", step=step) for step in range(9)], anomaly("non-finite gradient", step=9)]
    results.keep("1.10.0", 1, metrics=train_metrics(anomalies=10), anomalies=many)
    assert not any(isinstance(reason, Anomalous) for reason in reasons(results))


def test_an_anomaly_after_many_that_the_baseline_has_too_is_named(folder: Make) -> None:
    results = one_event(folder)
    usual = [anomaly("zero gradient", step=step) for step in range(9)]
    results.keep("1.10.0", 1, metrics=train_metrics(anomalies=9), anomalies=usual)
    results.keep("1.12.1", 1, metrics=train_metrics(anomalies=10), anomalies=[*usual, anomaly("non-finite gradient")])
    found = [(one.kind, one.rounds) for one in reasons(results) if isinstance(one, Anomalous)]
    assert found == [("non-finite gradient", (1,))]


# --- which metrics are asked for --------------------------------------------------------------------------------


def asked(results: Folder, pin: str = "1.12.1") -> list[tuple[str, str]]:
    return [(one.case, one.quantity.key) for one in results.findings() if one.pin == pin]


def test_a_metric_that_another_case_measured_too_has_a_finding_in_both(folder: Make) -> None:
    results = of_three_cases(folder)
    assert asked(results) == [
        ("train", "training_memory"),
        ("train", "map50"),
        ("converge", "map50"),
        ("converge", "map50_spread"),
        ("soak", "training_memory"),
    ]


def test_a_metric_of_a_case_that_was_planned_and_not_measured_is_open(folder: Make) -> None:
    results = folder(rounds=2, cases=["soak"], policy=read_policy())
    for pin in results.pins:
        for index in range(2):
            results.keep(pin, index, "soak", metrics=[metric("gradient_anomalies", "steps", 0.0)])
    found = results.finding("memory_growth")
    assert (found.case, found.outcome, found.rules.gates) == ("soak", "inconclusive", False)


def test_a_metric_that_a_required_case_never_mentions_is_open_whatever_another_case_measured(folder: Make) -> None:
    results = folder(rounds=2, cases=["train", "soak"], policy=policy("training_memory"))
    for pin in results.pins:
        for index in range(2):
            results.keep(pin, index, metrics=[metric("epoch_time", "s", 30.0)])
            results.keep(pin, index, "soak", metrics=[metric("training_memory", "bytes", 4e8)])
    assert asked(results) == [("soak", "training_memory"), ("train", "training_memory")]
    found = results.findings()[1]
    assert (found.outcome, found.why) == ("inconclusive", Why("no pair"))


def test_what_a_soak_says_of_memory_is_not_what_train_says(folder: Make) -> None:
    results = folder(PINS, rounds=2, cases=["soak"], policy=policy("training_memory"))
    for pin in PINS:
        for index in range(2):
            results.keep(pin, index, "soak", metrics=[metric("training_memory", "bytes", 4e8)])
    assert asked(results) == [("soak", "training_memory"), ("", "training_memory")]
    assert results.findings()[-1].why == Why("case not planned", case="train")
    assert results.verdict().decision == "inconclusive"


def test_a_case_that_the_policy_does_not_require_and_that_was_not_run_is_not_asked_for(folder: Make) -> None:
    results = folder(PINS, rounds=2, policy=policy("epoch_time", "resumed_memory", required=["train"]))
    for pin in PINS:
        results.keep_all(pin)
    assert asked(results) == [("train", "epoch_time")]
    assert results.verdict().decision == "upgrade"


def test_a_case_that_the_policy_requires_and_that_was_not_run_blocks_the_upgrade(folder: Make) -> None:
    results = folder(PINS, rounds=2, policy=policy("epoch_time", "resumed_memory", required=["train", "resume"]))
    for pin in PINS:
        results.keep_all(pin)
    assert asked(results) == [("train", "epoch_time"), ("", "resumed_memory")]
    assert results.findings()[-1].why == Why("case not planned", case="resume")
    assert results.verdict().decision == "inconclusive"


@pytest.mark.parametrize(("device", "name"), [("cpu", "training_memory"), ("cuda:0", "peak_allocated")])
def test_of_a_case_that_was_not_run_only_what_is_there_on_the_device_is_missed(
    folder: Make, device: str, name: str
) -> None:
    results = folder(rounds=2, cases=["fidelity"], device=device, policy=read_policy())
    found = {one.quantity.name for one in results.findings() if one.why and one.why.kind == "case not planned"}
    assert {"training_memory", "peak_allocated"} & found == {name}


def test_a_metric_that_no_case_declares_is_not_judged_whatever_its_name(folder: Make) -> None:
    results = folder(rounds=2, cases=["converge"], policy=policy("training_memory", required=["converge"]))
    for pin in results.pins:
        for index in range(2):
            results.keep(pin, index, "converge", metrics=[metric("training_memory", "bytes", 1.0)])
    assert results.findings() == []


# --- parameters and declared margins ----------------------------------------------------------------------------


class Sized(CaseSettings, frozen=True):
    """Of a case that is measured at several sizes."""

    sizes: list[int]


def sized(folder: Make, declare: Declare, margin: float | None, slower: dict[int, float], **rules: float) -> Folder:
    """Four rounds of a case that measures at 64 and 128 px; the candidate takes longer by these factors. Of the policy
    `rules` has margins, of metrics that gate."""
    latency = DeclaredMetric("latency", "Latency", "s", "ratio", by=("size",), margin=margin)
    declare("sized", Case(settings=Sized, parameters=(Parameter("size", "size", "sizes", "px"),), metrics=(latency,)))
    judging = policy("epoch_time", required=[])
    own = {name: msgspec.structs.replace(judging.metrics["epoch_time"], margin=own) for name, own in rules.items()}
    judging = msgspec.structs.replace(judging, metrics={**judging.metrics, **own})
    results = folder(PINS, 4, cases=["sized"], settings={"sized": {"sizes": [64, 128]}}, policy=judging)
    for pin in PINS:
        for index, noise in enumerate(NOISE):
            times = {size: 0.1 * ((factor if pin == "1.12.1" else 1.0) + noise) for size, factor in slower.items()}
            made = [metric("latency", "s", time, at={"size": size}) for size, time in times.items()]
            results.keep(pin, index, "sized", metrics=made)
    return results


def test_each_combination_of_parameters_has_a_finding_of_its_own_by_the_rules_of_the_metric(
    folder: Make, declare: Declare
) -> None:
    results = sized(folder, declare, None, {64: 1.0, 128: 1.1}, latency=0.03)
    found: list[Finding] = [one for one in results.findings() if one.pin == "1.12.1"]
    assert [(one.quantity.key, one.outcome) for one in found] == [
        ("latency[size=64]", "equivalent"),
        ("latency[size=128]", "worse"),
    ]
    assert found[0].rules == found[1].rules == results.policy.metrics["latency"]
    assert results.verdict().decision == "hold"


def test_all_combinations_are_asked_in_one_family(folder: Make, declare: Declare) -> None:
    results = sized(folder, declare, None, {64: 1.001, 128: 1.1}, latency=0.03)
    assert results.finding("latency[size=128]").level == pytest.approx(0.025)


def test_a_combination_that_was_not_measured_is_open(folder: Make, declare: Declare) -> None:
    results = sized(folder, declare, None, {64: 1.0}, latency=0.03)
    found = results.finding("latency[size=128]")
    assert (found.outcome, found.case, found.why) == ("inconclusive", "sized", Why("no pair"))
    assert results.verdict().decision == "inconclusive"


def test_noise_at_one_combination_takes_nothing_from_another(folder: Make, declare: Declare) -> None:
    results = sized(folder, declare, None, {64: 1.05, 128: 1.05}, latency=0.03)
    for index in range(4):
        made = [metric("latency", "s", time, at={"size": size}) for size, time in ((64, 0.11), (128, 0.1))]
        results.keep(TWIN, index, "sized", metrics=made)
    assert results.finding("latency[size=64]").why == Why("noisy")
    assert results.finding("latency[size=128]").outcome == "worse"


def test_a_margin_that_only_the_case_declares_makes_a_finding_that_does_not_gate(
    folder: Make, declare: Declare
) -> None:
    found = sized(folder, declare, 0.03, {64: 1.1, 128: 1.1}).finding("latency[size=64]")
    assert (found.outcome, found.rules.margin, found.rules.gates) == ("worse", 0.03, False)


def test_the_margin_of_the_policy_goes_before_the_declared_one(folder: Make, declare: Declare) -> None:
    found = sized(folder, declare, 0.03, {64: 1.1, 128: 1.1}, latency=0.5).finding("latency[size=64]")
    assert (found.outcome, found.rules.margin, found.rules.gates) == ("equivalent", 0.5, True)


def test_a_metric_without_any_margin_has_no_finding(folder: Make, declare: Declare) -> None:
    assert sized(folder, declare, None, {64: 1.1, 128: 1.1}).findings() == []
