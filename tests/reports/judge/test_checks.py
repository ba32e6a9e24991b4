"""Checks: how those of a pin's runs are folded, and what follows from them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import pytest
from results_folder import Folder, check, metric, policy
from typical_folders import converged, seeds

from harness.core.cases import read_case
from harness.core.declaration import BySpread, ByTrend, Case, DeclaredCheck, DeclaredMetric, DeclaredSeries, Parameter
from harness.core.policy import read_policy
from harness.core.record import CheckOutcome
from harness.core.settings import CaseSettings
from harness.core.spec import TWIN
from reports.evidence.figures import Absent
from reports.judge.statements import (
    CheckCell,
    CheckRow,
    DidNotGrow,
    Finding,
    Grew,
    Growth,
    NoSpread,
    NothingGates,
    NotMade,
    OfCheck,
    Role,
    Said,
    Seen,
    Sight,
    Spread,
    Untold,
    Why,
)

Make = Callable[..., Folder]
Declare = Callable[[str, Case], None]
PINS = ["1.10.0", TWIN, "1.12.1"]
ALL = {"epoch": [30.0, 31.0, 30.5], "map50": [0.8, 0.81, 0.805]}


def checked(folder: Make, *pins: Sequence[CheckOutcome], names: Sequence[str] = PINS, case: str = "resume") -> Folder:
    """A folder of one case; of each pin the outcomes of one check by round."""
    results = folder(list(names), rounds=len(pins[0]), cases=[case], policy=policy("resumed_memory"))
    for pin, outcomes in zip(names, pins, strict=True):
        results.keep_checks(case, pin, *([check(outcome)] for outcome in outcomes))
    return results


def rows(results: Folder) -> list[CheckRow]:
    (found,) = results.machine().checks.values()
    return found


def cells(results: Folder) -> list[CheckCell | None]:
    """The cells of the only check."""
    (row,) = rows(results)
    return list(row.cells)


def counted(results: Folder) -> list[tuple[CheckOutcome, int, int] | None]:
    """Of each pin the outcome of the only check, the runs that came out so, and all of its runs."""
    return [(cell.outcome, cell.alike, cell.runs) if cell else None for cell in cells(results)]


def seen(cell: CheckCell | None) -> list[Seen]:
    assert cell
    return [sight.seen for sight in cell.sights]


def said(*texts: str) -> tuple[Sight, ...]:
    return tuple(Sight(Said(text)) for text in texts)


# --- folding ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcomes", "found"),
    [
        (["held"], ("held", 1, 1)),
        (["failed"], ("failed", 1, 1)),
        (["held", "held"], ("held", 2, 2)),
        (["held", "failed", "held"], ("failed", 1, 3)),
        (["open", "failed", "failed"], ("failed", 2, 3)),
        (["held", "open", "held"], ("open", 1, 3)),
    ],
)
def test_the_worst_outcome_of_any_run_counts_and_its_runs_are_counted(
    folder: Make, outcomes: list[CheckOutcome], found: tuple[CheckOutcome, int, int]
) -> None:
    assert counted(checked(folder, outcomes, names=["1.10.0"])) == [found]


def test_what_was_said_is_that_of_the_worst_runs_each_thing_once(folder: Make) -> None:
    results = folder(["1.10.0"], rounds=4, cases=["resume"])
    made = [check("failed", "2 lost"), check("held", "0 lost"), check("failed", "5 lost"), check("failed", "2 lost")]
    results.keep_checks("resume", "1.10.0", *([one] for one in made))
    (cell,) = cells(results)
    assert cell
    assert (cell.sights, cell.more) == (said("2 lost", "5 lost"), 0)


def test_many_different_things_are_cut_off_and_counted(folder: Make) -> None:
    results = folder(["1.10.0"], rounds=5, cases=["resume"])
    results.keep_checks("resume", "1.10.0", *([check("failed", f"{lost} lost")] for lost in range(5)))
    (cell,) = cells(results)
    assert cell
    assert (cell.sights, cell.more) == (said("0 lost", "1 lost", "2 lost"), 2)


def test_checks_are_in_the_order_in_which_runs_made_them(folder: Make) -> None:
    results = folder(["1.10.0"], cases=["resume"])
    results.keep_checks("resume", "1.10.0", [check(name=name) for name in ("zeta", "alpha", "mu")])
    assert [row.name for row in rows(results)] == ["zeta", "alpha", "mu"]


def test_a_check_that_one_run_made_twice_is_that_of_one_run_and_the_worse_of_the_two(folder: Make) -> None:
    results = folder(["1.10.0"], rounds=2, cases=["resume"])
    results.keep_checks("resume", "1.10.0", [check("failed", "first"), check("held", "second")], [check()])
    (cell,) = cells(results)
    assert cell == CheckCell("failed", 2, 1, said("first"))


def test_what_a_run_that_ended_well_did_not_make_is_open(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1"], rounds=2, cases=["resume"])
    results.keep_checks("resume", "1.10.0", [check()], [check()])
    results.keep_checks("resume", "1.12.1", [check()], [])
    assert counted(results) == [("held", 2, 2), ("open", 1, 2)]
    assert seen(cells(results)[1]) == [NotMade()]


def test_a_pin_of_which_no_run_ended_well_has_no_cell(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1"], rounds=2, cases=["resume"])
    results.keep_checks("resume", "1.10.0", [check()], [check()])
    for index in range(2):
        results.fail("1.12.1", index, case="resume")
    assert counted(results) == [("held", 2, 2), None]


def test_a_case_without_checks_has_none(folder: Make) -> None:
    results = folder()
    for pin in results.pins:
        results.keep(pin)
    assert results.machine().checks == {}


def test_a_check_is_known_by_its_declaration_and_one_of_a_part_by_that_part(folder: Make) -> None:
    results = folder(["1.10.0"], cases=["resume"])
    results.keep_checks("resume", "1.10.0", [check(name="killed"), check(name="exchanged:1.12.1"), check(name="other")])
    killed, exchanged, other = rows(results)
    assert killed.declared == read_case("resume").check("killed")
    assert exchanged.declared
    assert exchanged.declared.title == "A checkpoint of 1.12.1 goes on here and the training ends"
    assert (other.name, other.declared, other.gates) == ("other", None, True)


# --- what follows -----------------------------------------------------------------------------------------------


def reasons(results: Folder, role: Role | None = None) -> list[OfCheck]:
    """The reasons of the candidate's verdict that are checks."""
    weighed = [one for one in results.verdict().reasons if role in (None, one.role)]
    return [one.reason for one in weighed if isinstance(one.reason, OfCheck)]


HELD: list[CheckOutcome] = ["held", "held"]
FAILED: list[CheckOutcome] = ["failed", "failed"]


def test_what_holds_on_the_baseline_and_fails_in_all_runs_of_a_candidate_is_a_hold(folder: Make) -> None:
    results = checked(folder, HELD, HELD, FAILED)
    assert results.verdict().decision == "hold"
    (reason,) = reasons(results)
    assert (reason.case, reason.row.name, reason.also_on) == ("resume", "killed", ())
    assert (reason.cell.outcome, reason.cell.alike) == ("failed", 2)
    assert reason.base
    assert (reason.base.outcome, reason.base.alike) == ("held", 2)
    assert reasons(results, "holds") == [reason]


@pytest.mark.parametrize(
    ("baseline", "twin", "candidate"),
    [
        (["held"], ["held"], ["failed"]),  # no finding from one run
        (HELD, HELD, ["failed", "held"]),
        (HELD, HELD, ["failed", "open"]),
        (["held", "open"], HELD, FAILED),
        (["held", "failed"], HELD, FAILED),
        (FAILED, FAILED, FAILED),
        (HELD, ["held", "failed"], FAILED),  # the baseline's own second environment breaks it too
        (HELD, HELD, ["open", "open"]),
        (HELD, HELD, HELD),
    ],
)
def test_anything_less_is_no_hold(
    folder: Make, baseline: list[CheckOutcome], twin: list[CheckOutcome], candidate: list[CheckOutcome]
) -> None:
    assert checked(folder, baseline, twin, candidate).verdict().decision != "hold"


@pytest.mark.parametrize(
    ("baseline", "twin", "candidate"),
    [
        (HELD, HELD, ["failed", "held"]),
        (HELD, HELD, ["open", "held"]),
        (["open", "open"], ["open", "open"], ["open", "open"]),  # what nobody knows is not equal
        (["failed", "held"], HELD, FAILED),  # as badly as on the baseline, and oftener
        (HELD, ["held", "failed"], FAILED),
    ],
)
def test_what_came_out_worse_than_on_the_baseline_or_is_open_is_no_upgrade_and_is_said(
    folder: Make, baseline: list[CheckOutcome], twin: list[CheckOutcome], candidate: list[CheckOutcome]
) -> None:
    results = checked(folder, baseline, twin, candidate)
    assert results.verdict().decision == "inconclusive"
    assert len(reasons(results)) == len(reasons(results, "keeps")) == 1


@pytest.mark.parametrize("candidate", [HELD, ["failed", "held"], FAILED])
def test_what_is_no_worse_than_on_the_baseline_stands_in_no_upgrades_way(
    folder: Make, candidate: list[CheckOutcome]
) -> None:
    assert checked(folder, FAILED, HELD, candidate).verdict().decision == "upgrade"


def test_one_run_of_the_baseline_is_too_few_to_say_that_it_keeps_a_check(folder: Make) -> None:
    results = folder(PINS, rounds=2, cases=["resume"], policy=policy("resumed_memory"))
    results.keep_checks("resume", "1.10.0", [check()])
    results.fail("1.10.0", 1, case="resume")
    for pin, outcome in ((TWIN, "held"), ("1.12.1", "failed")):
        results.keep_checks("resume", pin, [check(outcome)], [check(outcome)])  # type: ignore[arg-type]
    assert results.verdict().decision == "inconclusive"


def test_without_a_control_it_holds_all_the_same(folder: Make) -> None:
    results = checked(folder, HELD, FAILED, names=["1.10.0", "1.12.1"])
    assert results.verdict().decision == "hold"


@pytest.mark.parametrize(
    ("baseline", "twin", "also_on"),
    [
        (HELD, HELD, ()),
        (FAILED, HELD, ("1.10.0",)),
        (HELD, FAILED, (TWIN,)),
        (FAILED, FAILED, ("1.10.0", TWIN)),
    ],
)
def test_a_check_that_fails_without_holding_is_a_reason_and_tells_where_it_fails_too(
    folder: Make, baseline: list[CheckOutcome], twin: list[CheckOutcome], also_on: tuple[str, ...]
) -> None:
    results = checked(folder, baseline, twin, ["failed", "held"])
    (reason,) = reasons(results)
    assert (reason.cell.outcome, reason.cell.alike, reason.also_on) == ("failed", 1, also_on)
    assert reasons(results, "holds") == []


def test_an_open_check_is_not_said_to_fail_elsewhere(folder: Make) -> None:
    (reason,) = reasons(checked(folder, FAILED, FAILED, ["open", "open"]))
    assert (reason.cell.outcome, reason.also_on) == ("open", ())


def test_checks_that_all_hold_are_no_upgrade_by_themselves(folder: Make) -> None:
    results = folder(PINS, rounds=3, cases=["resume"], policy=read_policy())
    for pin in PINS:
        results.keep_checks("resume", pin, *[[check()]] * 3)
    verdict = results.verdict()
    assert verdict.decision == "inconclusive"
    missing = {one.quantity.name: one.why for one in verdict.findings if one.rules.gates and one.why}
    assert missing["map50"] == Why("case not planned", case="train")


def test_checks_without_any_metric_that_gates_are_no_upgrade(folder: Make) -> None:
    results = folder(PINS, rounds=2, cases=["resume"], policy=policy("resumed_memory", idle=["resumed_memory"]))
    for pin in PINS:
        results.keep_checks("resume", pin, [check()], [check()])
    verdict = results.verdict()
    assert verdict.decision == "inconclusive"
    assert verdict.of_role("keeps") == (NothingGates(),)


def test_a_hold_by_a_check_beside_an_otherwise_clean_matrix(folder: Make) -> None:
    results = folder(PINS, rounds=3, cases=["train", "resume"], policy=policy("epoch_time", "map50"))
    for pin in PINS:
        results.keep_all(pin, **ALL)
        outcome: CheckOutcome = "failed" if pin == "1.12.1" else "held"
        results.keep_checks("resume", pin, *[[check(outcome)]] * 3)
    verdict = results.verdict()
    assert verdict.decision == "hold"
    assert verdict.of_role("holds") == (*reasons(results),)


def test_a_check_that_does_not_gate_holds_nothing_and_keeps_from_nothing(folder: Make, declare: Declare) -> None:
    declare("idle", Case(checks=(DeclaredCheck("thumb", "A rule of thumb", gates=False),)))
    results = folder(PINS, rounds=3, cases=["train", "idle"], policy=policy("epoch_time", "map50"))
    for pin in PINS:
        results.keep_all(pin, **ALL)
        made = check("failed" if pin == "1.12.1" else "held", name="thumb")
        for index in range(3):
            results.keep(pin, index, "idle", metrics=[], checks=[made])
    assert results.verdict().decision == "upgrade"
    assert len(reasons(results, "tells")) == len(reasons(results)) == 1


def test_a_check_that_is_failed_by_the_baseline_too_only_tells(folder: Make) -> None:
    results = checked(folder, FAILED, FAILED, FAILED)
    assert len(reasons(results, "tells")) == len(reasons(results)) == 1


# --- converge ---------------------------------------------------------------------------------------------------


def spread_row(results: Folder) -> CheckRow:
    (row,) = rows(results)
    return row


@pytest.mark.parametrize(
    ("scores", "outcome", "interval"),
    [
        # χ² with 19 degrees of freedom: 8.9065 and 32.8523, so √(19/χ²) is 1.4606 and 0.7605
        (seeds(0.004, 20), "held", (0.00304, 0.00584)),
        (seeds(0.006, 20), "open", (0.00456, 0.00876)),
        (seeds(0.02, 20), "failed", (0.01521, 0.02921)),
        # with one degree of freedom: 0.00098207 and 5.0239, so 31.91 and 0.4461
        (seeds(0.001, 2), "open", (0.000446, 0.03191)),
    ],
)
def test_the_whole_interval_of_the_spread_is_held_against_its_yardstick(
    folder: Make, scores: list[float], outcome: CheckOutcome, interval: tuple[float, float]
) -> None:
    row = spread_row(converged(folder, baseline=scores))
    assert (row.name, row.declared, row.yardstick) == (
        "seeds_end_alike",
        read_case("converge").check("seeds_end_alike"),
        0.008,
    )
    (cell,) = row.cells
    assert cell
    assert (cell.outcome, cell.runs, cell.alike) == (outcome, 1, 1)
    (found,) = seen(cell)
    assert isinstance(found, Spread)
    assert (found.quantity.key, found.n) == ("map50_spread", len(scores))
    assert (found.low, found.high) == pytest.approx(interval, rel=2e-3)


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        ([0.8], NoSpread(0, Absent("lonely"))),
        ([0.8, 0.8, 0.8], NoSpread(3)),
        ([0.0, 0.0], NoSpread(0, Absent("unlearnt"))),
    ],
)
def test_without_a_spread_it_is_open_and_says_why(folder: Make, scores: list[float], why: NoSpread) -> None:
    assert spread_row(converged(folder, baseline=scores)).cells == (CheckCell("open", 1, 1, (Sight(why),)),)


def test_a_pins_spread_is_its_standard_deviation_and_is_compared_as_a_ratio(folder: Make) -> None:
    drawn = random.Random(1)
    noise = [drawn.gauss(0, 0.001) for _ in range(10)]
    base = seeds(0.004, 10)
    wide = [score + wobble for score, wobble in zip(seeds(0.012, 10), noise, strict=True)]
    found: Finding = converged(folder, baseline=base, candidate=wide).finding("map50_spread")
    assert (found.outcome, found.n, found.pairs) == ("worse", 10, "rounds")
    assert found.estimate == pytest.approx(2.0, abs=0.3)


def test_seeds_that_train_alike_are_equivalent_in_their_spread(folder: Make) -> None:
    found = converged(folder, baseline=seeds(0.004, 5), candidate=seeds(0.004, 5)).finding("map50_spread")
    assert (found.outcome, found.low, found.high) == ("equivalent", 0.0, 0.0)


def test_two_seeds_are_no_finding_of_a_spread(folder: Make) -> None:
    found = converged(folder, baseline=[0.8, 0.81], candidate=[0.7, 0.81]).finding("map50_spread")
    assert (found.outcome, found.why) == ("inconclusive", Why("spread needs three"))


def test_a_run_without_a_score_leaves_the_spread_of_the_others(folder: Make) -> None:
    results = converged(folder, baseline=seeds(0.004, 4))
    results.keep("1.10.0", 3, "converge", metrics=[], not_measured={"map50": "no validation pictures"})
    (found,) = seen(spread_row(results).cells[0])
    assert isinstance(found, Spread)
    assert found.n == 3


def test_only_a_case_that_declares_a_spread_has_one(folder: Make) -> None:
    results = folder(["1.10.0"], rounds=3, policy=policy("map50", "map50_spread"))
    results.keep_all("1.10.0", map50=[0.8, 0.7, 0.6])
    assert results.machine().checks == {}
    assert "map50_spread" not in {quantity.key for quantity in results.matrix().quantities["train"]}


class Sized(CaseSettings, frozen=True):
    """Of a case that is measured at several sizes."""

    sizes: list[int]


def test_the_spread_at_each_combination_of_parameters_is_a_check_of_its_own(folder: Make, declare: Declare) -> None:
    score = DeclaredMetric("score", "Score", "fraction", "points", better="higher", by=("size",))
    spread = DeclaredMetric("score_spread", "Spread", "fraction", "spread", spread_of="score", by=("size",))
    alike = DeclaredCheck("alike", "Runs end alike", BySpread("score_spread", "map50_spread"))
    sizes = (Parameter("size", "size", "sizes", "px"),)
    declare("sized", Case(settings=Sized, parameters=sizes, metrics=(score, spread), checks=(alike,)))
    results = folder(["1.10.0"], 3, cases=["sized"], settings={"sized": {"sizes": [64, 128]}})
    for index, step in enumerate((-1.0, 0.0, 1.0)):
        made = [
            metric("score", "fraction", 0.5 + step * wide, at={"size": size})
            for size, wide in ((64, 0.0001), (128, 0.1))
        ]
        results.keep("1.10.0", index, "sized", metrics=made)
    found = {row.name: row.cells[0] for row in rows(results)}
    assert {name: cell.outcome for name, cell in found.items() if cell} == {
        "alike[size=64]": "held",
        "alike[size=128]": "failed",
    }


# --- soak -------------------------------------------------------------------------------------------------------


def soaked(folder: Make, baseline: float, candidate: float = 0.0, rounds: int = 2, epochs: int = 50) -> Folder:
    """Soaks of two pins whose memory grows by these shares an epoch, below a noise of 0.1 %."""
    results = folder(["1.10.0", "1.12.1"], rounds=rounds, cases=["soak"], policy=policy("resumed_memory"))
    drawn = random.Random(1)
    for pin, growth in zip(results.pins, (baseline, candidate), strict=True):
        results.keep_soak(
            pin, *[[4e8 * (1 + growth) ** epoch * (1 + drawn.gauss(0, 0.001)) for epoch in range(epochs)]] * rounds
        )
    return results


def by_check(results: Folder, place: int = 0) -> dict[str, CheckCell]:
    """The cells of one pin."""
    return {row.name: cell for row in rows(results) if (cell := row.cells[place])}


@pytest.mark.parametrize(
    ("growth", "leak", "rule"),
    [(0.0, "held", "held"), (0.002, "open", "held"), (0.003, "failed", "held"), (0.005, "failed", "failed")],
)
def test_a_leak_is_told_by_the_whole_interval_beside_the_rule_that_sees_only_large_ones(
    folder: Make, growth: float, leak: CheckOutcome, rule: CheckOutcome
) -> None:
    found = {name: cell.outcome for name, cell in by_check(soaked(folder, growth)).items()}
    assert found == {"leak_rss": leak, "drift": "held", "growths_rss": rule}
    assert list(found) == ["leak_rss", "drift", "growths_rss"]


def test_what_a_trend_is_held_against_is_in_its_row(folder: Make) -> None:
    assert {row.name: (row.yardstick, row.gates) for row in rows(soaked(folder, 0.0))} == {
        "leak_rss": (0.002, True),
        "drift": (0.01, True),
        "growths_rss": (None, False),
    }


def test_epochs_that_get_longer_are_a_drift(folder: Make) -> None:
    results = folder(["1.10.0"], cases=["soak"])
    series = {"rss": [4e8] * 30, "epoch_time": [9 * 1.02**epoch for epoch in range(30)], "begun": [0.0]}
    results.keep("1.10.0", 0, "soak", metrics=[], series=series)
    found = by_check(results)
    growth = pytest.approx(0.02)
    assert found["drift"] == CheckCell("failed", 1, 1, (Sight(Growth(growth, growth, growth, 28)),))
    assert found["leak_rss"] == CheckCell("held", 1, 1, (Sight(Growth(0.0, 0.0, 0.0, 28)),))


def test_what_every_round_gave_is_said_the_worst_first(folder: Make) -> None:
    results = soaked(folder, 0.0, rounds=3)
    results.keep("1.10.0", 1, "soak", metrics=[], series={"rss": [4e8] * 5, "epoch_time": [9.0] * 5, "begun": [0.0]})
    leak, rule = by_check(results)["leak_rss"], by_check(results)["growths_rss"]
    assert (leak.outcome, leak.alike, leak.runs) == ("open", 1, 3)
    assert leak.sights[0] == Sight(Untold("too short", epochs=3, needed=7), round=1)
    assert [sight.round for sight in leak.sights] == [1, 0, 2]
    growth = leak.sights[1].seen
    assert isinstance(growth, Growth)
    assert growth.epochs == 48
    assert rule.sights[0] == Sight(Untold("few epochs", epochs=5, needed=40), round=1)
    assert isinstance(rule.sights[1].seen, DidNotGrow)


def test_where_there_is_one_round_it_is_not_named(folder: Make) -> None:
    assert [sight.round for sight in by_check(soaked(folder, 0.0, rounds=1))["leak_rss"].sights] == [None]


def test_a_candidate_that_leaks_in_every_run_is_held(folder: Make) -> None:
    results = soaked(folder, 0.0, 0.004)
    assert results.verdict().decision == "hold"
    (reason,) = reasons(results, "holds")
    assert (reason.case, reason.row.name) == ("soak", "leak_rss")


def test_the_rule_of_thumb_alone_holds_nothing(folder: Make) -> None:
    # memory that climbs for thirty epochs and comes back fires the rule; the interval tells that no growth remains
    results = soaked(folder, 0.0)
    hill = [4e8 * math.exp(0.0035 * min(max(epoch - 9, 0), 30) - 0.0105 * max(epoch - 39, 0)) for epoch in range(50)]
    results.keep_soak("1.12.1", hill, hill)
    found = by_check(results, 1)
    assert (found["leak_rss"].outcome, found["growths_rss"].outcome) == ("open", "failed")
    assert isinstance(found["growths_rss"].sights[0].seen, Grew)
    assert results.verdict().decision == "inconclusive"
    assert [reason.row.name for reason in reasons(results, "tells")] == ["growths_rss"]


def test_a_soak_without_its_series_is_open_and_says_so(folder: Make) -> None:
    results = folder(["1.10.0"], cases=["soak"])
    results.keep("1.10.0", 0, "soak", metrics=[])
    untold = CheckCell("open", 1, 1, (Sight(Untold("no series")),))
    assert by_check(results) == {"leak_rss": untold, "drift": untold, "growths_rss": untold}


def test_a_soak_without_settings_does_not_say_how_long_the_warm_up_is(folder: Make) -> None:
    results = folder(["1.10.0"], cases=["soak"], settings={"soak": {"hours": 1.0}})
    results.keep_soak("1.10.0", [4e8] * 50)
    assert seen(by_check(results)["leak_rss"]) == [Untold("no warm-up")]


def rising(epochs: int, growth: float) -> list[float]:
    return [4e8 * (1 + growth) ** epoch for epoch in range(epochs)]


@pytest.mark.parametrize(("device", "name"), [("cpu", "rss"), ("cuda:0", "allocated")])
def test_memory_is_that_of_the_device_and_the_warm_up_that_of_the_settings(
    folder: Make, device: str, name: str
) -> None:
    results = folder(["1.10.0"], cases=["soak"], device=device)
    results.keep_soak("1.10.0", [1e8, 9e8, *rising(40, 0.003)])
    found = by_check(results)
    (growth,) = seen(found[f"leak_{name}"])
    assert isinstance(growth, Growth)
    assert growth.epochs == 40  # two of warm-up
    assert (growth.low, growth.high) == pytest.approx((0.003, 0.003), abs=1e-6)
    assert found[f"growths_{name}"].outcome == "failed"


def test_on_a_gpu_a_leak_may_show_in_the_allocator_or_in_the_memory_of_the_host(folder: Make) -> None:
    results = folder(["1.10.0"], cases=["soak"], device="cuda:0")
    flat = [5e8] * 42
    series = {"allocated": flat, "reserved": flat, "rss": rising(42, 0.003), "epoch_time": [9.0] * 42, "begun": [0.0]}
    results.keep("1.10.0", 0, "soak", metrics=[], series=series)
    assert {name: cell.outcome for name, cell in by_check(results).items()} == {
        "leak_allocated": "held",
        "leak_reserved": "held",
        "leak_host": "failed",
        "drift": "held",
        "growths_allocated": "held",
    }


def test_only_a_case_that_declares_checks_of_memory_has_them(folder: Make) -> None:
    results = folder(["1.10.0"])
    results.keep("1.10.0", series={"rss": [4e8] * 50, "epoch_time": [9.0] * 50, "begun": [0.0]})
    assert results.machine().checks == {}


def test_any_case_may_declare_a_check_on_a_trend_with_a_warm_up_of_its_own(folder: Make, declare: Declare) -> None:
    trend = DeclaredCheck("steady", "It is steady", ByTrend("latency", "drift", warmup="start"))
    latency = DeclaredSeries("latency", "Latency", "s", "epoch")
    declare("steady", Case(settings=CaseSettings, series=(latency,), checks=(trend,)))
    results = folder(["1.10.0"], cases=["steady"], settings={"steady": {"start": 5}})
    series = {"latency": [9.0] * 5 + [1.0] * 20, "begun": [0.0]}
    results.keep("1.10.0", 0, "steady", metrics=[], series=series)
    assert by_check(results)["steady"] == CheckCell("held", 1, 1, (Sight(Growth(0.0, 0.0, 0.0, 20)),))
