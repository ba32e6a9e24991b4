"""The verdict on each candidate and its reasons, each with what it does to the verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from results_folder import SCRIPT, Folder, hashes, metric, policy, train_metrics
from typical_folders import ALL, judged, times

from harness.core.spec import TWIN
from reports.evidence.store import Trouble
from reports.judge.statements import (
    ControlSilent,
    Finding,
    NeverEnded,
    NothingGates,
    OfFinding,
    Reason,
    Role,
    Unfinished,
    Why,
)

Make = Callable[..., Folder]
PINS = ["1.10.0", TWIN, "1.12.1"]


def reasons(results: Folder, role: Role) -> tuple[Reason, ...]:
    return results.verdict().of_role(role)


def findings(results: Folder, role: Role) -> list[Finding]:
    """The findings that have this role in the candidate's verdict."""
    return [reason.finding for reason in reasons(results, role) if isinstance(reason, OfFinding)]


# --- upgrade, hold or neither -----------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1.0, 0.9, 1.01])
def test_what_is_no_worse_than_its_margin_anywhere_is_an_upgrade(folder: Make, factor: float) -> None:
    assert judged(folder, factor).verdict().decision == "upgrade"


def test_anything_worse_that_gates_is_a_hold(folder: Make) -> None:
    results = judged(folder, 1.1)
    assert results.verdict().decision == "hold"
    (found,) = findings(results, "holds")
    assert (found.quantity.key, found.outcome, found.rules.margin) == ("epoch_time", "worse", 0.03)
    assert (found.estimate, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))


def test_anything_worse_that_does_not_gate_is_said_and_holds_nothing(folder: Make) -> None:
    results = judged(folder, 1.1, policy=policy("epoch_time", "map50", idle=["epoch_time"]))
    assert results.verdict().decision == "upgrade"
    assert [one.quantity.key for one in findings(results, "tells") if one.outcome == "worse"] == ["epoch_time"]


def test_one_metric_that_is_worse_outweighs_all_that_are_better(folder: Make) -> None:
    results = judged(folder, 0.5)
    results.keep_all("1.12.1", **{**times(0.5), "map50": [0.7, 0.71, 0.705]})
    assert results.verdict().decision == "hold"
    (found,) = findings(results, "holds")
    assert found.quantity.key == "map50"
    assert found.estimate == pytest.approx(-0.1)


def test_anything_that_gates_and_is_open_is_inconclusive_and_tells_what_would_settle_it(folder: Make) -> None:
    results = judged(folder)
    results.keep_all("1.12.1", epoch=[30.0, 33.0, 31.0], map50=ALL["map50"])
    assert results.verdict().decision == "inconclusive"
    (found,) = findings(results, "keeps")
    assert (found.quantity.key, found.outcome, found.why) == ("epoch_time", "inconclusive", Why("both sides"))
    assert found.further is not None


def test_an_open_finding_that_no_more_rounds_would_settle_has_none_that_would(folder: Make) -> None:
    results = judged(folder)
    results.keep_all("1.12.1", epoch=[30 * 1.0301, 31 * 1.0299, 30.5 * 1.02999], map50=ALL["map50"])
    (found,) = findings(results, "keeps")
    assert (found.outcome, found.further) == ("inconclusive", None)


def test_what_is_open_but_surely_not_worse_stands_in_the_way_of_nothing(folder: Make) -> None:
    results = judged(folder)
    results.keep_all("1.12.1", epoch=[30 * 0.98, 31 * 0.97, 30.5 * 0.975], map50=ALL["map50"])
    found = results.finding("epoch_time")
    assert (found.outcome, found.harmless, results.verdict().decision) == ("inconclusive", True, "upgrade")
    assert found in findings(results, "tells")


def test_without_a_control_that_tells_the_noise_nothing_is_an_upgrade(folder: Make) -> None:
    results = folder(PINS, rounds=3, policy=policy("epoch_time", "map50"))
    for pin in results.pins:
        if pin != TWIN:
            results.keep_all(pin, **ALL)
    for index in range(3):
        results.fail(TWIN, index)
    verdict = results.verdict()
    assert verdict.decision == "inconclusive"
    assert ControlSilent(planned=True) in verdict.of_role("keeps")
    assert results.machine_verdict().control.state == "silent"


def test_a_control_that_was_not_planned_is_told_from_one_that_measured_nothing(folder: Make) -> None:
    results = judged(folder, pins=["1.10.0", "1.12.1"])
    assert results.machine_verdict().control.state == "not planned"
    assert reasons(results, "keeps") == (ControlSilent(planned=False),)
    assert results.verdict().decision == "inconclusive"


def test_one_run_per_pin_is_never_an_upgrade_and_never_a_hold(folder: Make) -> None:
    results = folder(PINS, policy=policy("epoch_time"))
    for pin in PINS:
        results.keep(pin, metrics=train_metrics(epoch=300 if pin == "1.12.1" else 30))
    verdict = results.verdict()
    assert verdict.decision == "inconclusive"
    assert [found.why for found in findings(results, "keeps")] == [Why("one pair")]


def test_a_gating_metric_that_was_not_measured_is_no_upgrade(folder: Make) -> None:
    results = judged(folder, policy=policy("epoch_time", "map50", "memory_growth", required=["train", "soak"]))
    assert results.verdict().decision == "inconclusive"
    assert [found.why for found in findings(results, "keeps")] == [Why("case not planned", case="soak")]


def test_a_metric_that_does_not_gate_and_was_not_measured_stands_in_the_way_of_nothing(folder: Make) -> None:
    verdict = judged(
        folder,
        policy=policy("epoch_time", "map50", "memory_growth", required=["train", "soak"], idle=["memory_growth"]),
    ).verdict()
    assert verdict.decision == "upgrade"


def test_records_that_did_other_work_are_no_upgrade(folder: Make) -> None:
    results = judged(folder)
    for index in range(3):
        results.keep("1.12.1", index, hashes=hashes(batch_stream="other"))
    assert results.verdict().decision == "inconclusive"


def test_a_difference_as_large_as_the_machines_noise_is_no_hold(folder: Make) -> None:
    results = judged(folder, 1.05)
    results.keep_all(TWIN, **times(1.06))
    assert results.verdict().decision == "inconclusive"
    assert findings(results, "keeps")[0].why == Why("noisy")


def test_each_candidate_has_a_verdict_of_its_own(folder: Make) -> None:
    results = judged(folder, 1.1, pins=[*PINS, "1.13.1"])
    assert [(one.version, one.decision) for one in results.judgement().candidates] == [
        ("1.12.1", "upgrade"),
        ("1.13.1", "hold"),
    ]


@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_every_finding_is_a_reason_and_all_but_those_of_the_verdict_only_tell(folder: Make, factor: float) -> None:
    results = judged(folder, factor, policy=policy())
    verdict = results.verdict()
    assert len(verdict.findings) == 5
    found = [weighed.reason.finding for weighed in verdict.reasons if isinstance(weighed.reason, OfFinding)]
    assert sorted(one.quantity.key for one in found) == sorted(one.quantity.key for one in verdict.findings)
    assert not any(one.alarms for one in findings(results, "keeps"))


def test_a_policy_in_which_nothing_gates_decides_nothing(folder: Make) -> None:
    results = judged(folder, policy=policy("epoch_time", idle=["epoch_time"]))
    assert results.verdict().decision == "inconclusive"
    assert reasons(results, "keeps") == (NothingGates(),)


def test_reasons_that_hold_come_first_and_those_that_only_tell_last(folder: Make) -> None:
    results = judged(folder, 1.1, policy=policy("epoch_time", "map50", "memory_growth", required=["train", "soak"]))
    order = [weighed.role for weighed in results.verdict().reasons]
    assert order == sorted(order, key=["holds", "keeps", "tells"].index)
    assert set(order) == {"holds", "keeps", "tells"}


# --- a script ---------------------------------------------------------------------------------------------------

SCRIPTS = ("script_time", "script_memory", "output_lower", "map50")
SECONDS, LOSSES = (10.0, 10.1, 10.05), (0.5, 0.51, 0.52)


def scripted(folder: Make, factor: float = 1.0, *, loss: float = 1.0, **settings: Any) -> Folder:
    """Three rounds of a script on a baseline, its twin and a candidate, by a policy that requires `train`."""
    results = folder(PINS, rounds=3, cases=["script"], model=SCRIPT, policy=policy(*SCRIPTS), **settings)
    for pin in PINS:
        mine, less = (factor, loss) if pin == "1.12.1" else (1.0, 1.0)
        results.keep_script(pin, [one * mine for one in SECONDS], [one * less for one in LOSSES])
    return results


def test_of_a_script_no_training_is_required_and_its_own_time_memory_and_outputs_decide(folder: Make) -> None:
    verdict = scripted(folder).verdict()
    assert verdict.decision == "upgrade"
    found = [(one.quantity.key, one.rules.gates, one.outcome) for one in verdict.findings]
    assert found == [(key, True, "equivalent") for key in ("script_time", "script_memory", "output_lower[lower=loss]")]


@pytest.mark.parametrize(
    ("changes", "worse"),
    [({"factor": 1.2}, "script_time"), ({"loss": 1.1}, "output_lower[lower=loss]")],
)
def test_a_script_that_is_slower_or_leaves_a_worse_number_is_a_hold(
    folder: Make, changes: dict[str, float], worse: str
) -> None:
    results = scripted(folder, **changes)
    assert results.verdict().decision == "hold"
    assert [one.quantity.key for one in findings(results, "holds")] == [worse]


def test_a_script_of_which_something_was_not_measured_is_no_upgrade(folder: Make) -> None:
    results = scripted(folder)
    for index, took in enumerate(SECONDS):
        results.keep("1.12.1", index, "script", metrics=[metric("script_time", "s", took)])
    assert results.verdict().decision == "inconclusive"
    assert {one.quantity.key for one in findings(results, "keeps")} == {"script_memory", "output_lower[lower=loss]"}


def test_a_script_of_which_no_metric_gates_is_no_upgrade(folder: Make) -> None:
    results = scripted(folder)
    results.policy = policy(*SCRIPTS, idle=SCRIPTS[:3])
    assert results.verdict().decision == "inconclusive"
    assert reasons(results, "keeps") == (NothingGates(),)


def test_a_model_that_can_be_trained_has_no_upgrade_by_a_script_alone(folder: Make) -> None:
    results = scripted(folder, name="trained")
    can = folder(
        PINS,
        rounds=3,
        cases=["script"],
        policy=policy(*SCRIPTS),
        model=replace(SCRIPT, package="a.detector"),
        name="can",
    )
    for pin in PINS:
        can.keep_script(pin, SECONDS, LOSSES)
    assert (results.verdict().decision, can.verdict().decision) == ("upgrade", "inconclusive")
    assert [found.why for found in findings(can, "keeps")] == [Why("case not planned", case="train")]


# --- runs that are not there ------------------------------------------------------------------------------------


def test_a_pin_that_fails_in_all_rounds_while_the_baseline_runs_is_a_hold(folder: Make) -> None:
    results = judged(folder)
    for index in range(3):
        results.fail("1.12.1", index)
    assert results.verdict().decision == "hold"
    why = Trouble("recorded", "The process was ended by SIGKILL.")
    assert reasons(results, "holds") == (NeverEnded("train", 3, why),)


def test_a_pin_that_fails_once_is_no_hold_and_no_upgrade(folder: Make) -> None:
    results = judged(folder)
    results.fail("1.12.1", 1)
    verdict = results.verdict()
    assert verdict.decision == "inconclusive"
    assert Unfinished("train", "1.12.1", False, 1, 3, ("failed",)) in verdict.of_role("keeps")


def test_a_pin_that_fails_in_its_only_round_is_no_hold(folder: Make) -> None:
    results = folder(PINS)
    results.keep("1.10.0")
    results.fail("1.12.1")
    assert results.verdict().decision == "inconclusive"


def test_a_pin_that_fails_where_the_baseline_does_too_is_no_hold(folder: Make) -> None:
    results = judged(folder)
    for index in range(3):
        results.fail("1.12.1", index)
    results.fail("1.10.0", 2)
    verdict = results.verdict()
    assert verdict.decision == "inconclusive"
    assert Unfinished("train", "1.10.0", True, 1, 3, ("failed",)) in verdict.of_role("keeps")


def test_a_pin_that_never_runs_one_of_several_cases_is_a_hold(folder: Make) -> None:
    results = judged(folder, cases=["train", "soak"])
    for pin in PINS[:2]:
        results.keep_growths(pin, 0.0, 0.0, 0.0)
    for index in range(3):
        results.fail("1.12.1", index, case="soak")
    assert results.verdict().decision == "hold"
    (reason,) = reasons(results, "holds")
    assert isinstance(reason, NeverEnded)
    assert (reason.case, reason.runs) == ("soak", 3)


def test_runs_that_were_not_done_are_no_hold_and_no_upgrade(folder: Make) -> None:
    results = folder(PINS, rounds=3)
    for pin in PINS[:2]:
        results.keep_all(pin, **ALL)
    verdict = results.verdict()
    assert verdict.decision == "inconclusive"
    assert Unfinished("train", "1.12.1", False, 3, 3, ("missing",)) in verdict.of_role("keeps")


def test_an_unsupported_pin_is_inconclusive_with_the_reason(folder: Make) -> None:
    results = judged(folder)
    for index in range(3):
        results.keep("1.12.1", index, status="unsupported", reason="The wheel has no sm_90", metrics=[], hashes=None)
    verdict = results.verdict()
    assert verdict.decision == "inconclusive"
    assert Unfinished("train", "1.12.1", False, 3, 3, ("unsupported",)) in verdict.of_role("keeps")
    assert verdict.cannot_run == Trouble("recorded", "The wheel has no sm_90")


def test_a_candidate_of_which_one_run_is_possible_can_run(folder: Make) -> None:
    results = judged(folder)
    for index in range(2):
        results.keep("1.12.1", index, status="unsupported", reason="The wheel has no sm_90", metrics=[], hashes=None)
    assert results.verdict().cannot_run is None


def test_runs_of_several_ends_are_told_with_each_of_them_once(folder: Make) -> None:
    results = folder(PINS, rounds=3)
    for pin in PINS[:2]:
        results.keep_all(pin, **ALL)
    results.fail("1.12.1", 0)
    results.fail("1.12.1", 1)
    assert Unfinished("train", "1.12.1", False, 3, 3, ("failed", "missing")) in reasons(results, "keeps")


# --- the judgement ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("factor", "held"), [(1.0, False), (1.1, True)])
def test_a_judgement_is_held_where_some_candidate_is(folder: Make, factor: float, held: bool) -> None:
    assert judged(folder, factor).judgement().held is held


def test_a_judgement_is_complete_where_no_run_failed_or_is_missing(folder: Make) -> None:
    results = judged(folder)
    assert results.judgement().complete
    results.keep("1.12.1", 1, status="unsupported", reason="The wheel has no sm_90", metrics=[], hashes=None)
    assert results.judgement().complete
    results.fail("1.12.1", 0)
    assert not results.judgement().complete
