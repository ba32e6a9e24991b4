"""Checks: how those of a pin's runs are folded, what follows from them, and where they are shown."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable, Sequence

import pytest
from markdown_it import MarkdownIt
from results_folder import Folder, check, metric, policy

from harness.core.policy import read_policy
from harness.core.record import CheckOutcome
from harness.core.spec import PACE, TWIN
from reports.__main__ import main
from reports.judge.checks import CheckCell, CheckRow
from reports.judge.verdict import StoredCheck

Make = Callable[..., Folder]
PINS = ["1.10.0", TWIN, "1.12.1"]
ALL = {"epoch": [30.0, 31.0, 30.5], "map50": [0.8, 0.81, 0.805]}
NAME = "Nothing is lost"


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


def in_words(results: Folder) -> list[str]:
    return [cell.in_words() if cell else "none" for cell in cells(results)]


# --- folding ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcomes", "shown"),
    [
        (["held"], "held"),
        (["failed"], "failed"),
        (["held", "held"], "held in 2 of 2 runs"),
        (["held", "failed", "held"], "failed in 1 of 3 runs"),
        (["open", "failed", "failed"], "failed in 2 of 3 runs"),
        (["held", "open", "held"], "open in 1 of 3 runs"),
    ],
)
def test_the_worst_outcome_of_any_run_counts_and_its_runs_are_counted(
    folder: Make, outcomes: list[CheckOutcome], shown: str
) -> None:
    assert in_words(checked(folder, outcomes, names=["1.10.0"])) == [shown]


def test_what_was_said_is_that_of_the_worst_runs_each_thing_once(folder: Make) -> None:
    results = folder(["1.10.0"], rounds=4, cases=["resume"])
    made = [check("failed", "2 lost"), check("held", "0 lost"), check("failed", "5 lost"), check("failed", "2 lost")]
    results.keep_checks("resume", "1.10.0", *([one] for one in made))
    (cell,) = cells(results)
    assert cell
    assert cell.said == ("2 lost", "5 lost")


def test_many_different_things_are_cut_off_and_it_says_so(folder: Make) -> None:
    results = folder(["1.10.0"], rounds=5, cases=["resume"])
    results.keep_checks("resume", "1.10.0", *([check("failed", f"{lost} lost")] for lost in range(5)))
    (cell,) = cells(results)
    assert cell
    assert cell.said == ("0 lost", "1 lost", "2 lost", "and 2 more")


def test_checks_are_in_the_order_in_which_runs_made_them(folder: Make) -> None:
    results = folder(["1.10.0"], cases=["resume"])
    results.keep_checks("resume", "1.10.0", [check(name=name) for name in ("zeta", "alpha", "mu")])
    assert [row.name for row in rows(results)] == ["zeta", "alpha", "mu"]


def test_a_check_that_one_run_made_twice_is_that_of_one_run_and_the_worse_of_the_two(folder: Make) -> None:
    results = folder(["1.10.0"], rounds=2, cases=["resume"])
    results.keep_checks("resume", "1.10.0", [check("failed", "first"), check("held", "second")], [check()])
    (cell,) = cells(results)
    assert cell == CheckCell("failed", 2, 1, ("first",))


def test_what_a_run_that_ended_well_did_not_make_is_open(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1"], rounds=2, cases=["resume"])
    results.keep_checks("resume", "1.10.0", [check()], [check()])
    results.keep_checks("resume", "1.12.1", [check()], [])
    assert in_words(results) == ["held in 2 of 2 runs", "open in 1 of 2 runs"]
    assert any(
        line == "Nothing is lost (resume): open for 1.12.1; a run did not make this check." for line in limits(results)
    )


def test_a_pin_of_which_no_run_ended_well_has_no_cell(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1"], rounds=2, cases=["resume"])
    results.keep_checks("resume", "1.10.0", [check()], [check()])
    for index in range(2):
        results.fail("1.12.1", index, case="resume")
    assert in_words(results) == ["held in 2 of 2 runs", "none"]
    assert "| Nothing is lost | **held in 2 of 2 runs**<br>0 of 9 | not made |" in squeezed(results.markdown())


def test_a_case_without_checks_has_none(folder: Make) -> None:
    results = folder()
    for pin in results.pins:
        results.keep(pin)
    assert results.machine().checks == {}
    assert "check" not in results.markdown().partition("## Every run")[0].replace("checked", "")


# --- what follows -----------------------------------------------------------------------------------------------


def squeezed(text: str) -> str:
    return re.sub(" +", " ", text)


def limits(results: Folder) -> list[str]:
    """What the decision record says that the evidence cannot say."""
    text = results.decision().partition("### What the evidence cannot say")[2].partition("###")[0]
    return [line.removeprefix("* ") for line in text.splitlines() if line.startswith("* ")]


def risks(results: Folder) -> list[str]:
    text = results.decision().partition("### Consequences")[2].partition("<!--")[0]
    return [line.removeprefix("* ") for line in text.splitlines() if line.startswith("* ")]


HELD: list[CheckOutcome] = ["held", "held"]
FAILED: list[CheckOutcome] = ["failed", "failed"]


def test_what_holds_on_the_baseline_and_fails_in_all_runs_of_a_candidate_is_a_hold(folder: Make) -> None:
    results = checked(folder, HELD, HELD, FAILED)
    verdict = results.verdict()
    sentence = "Nothing is lost (resume): failed in 2 of 2 runs, and held in 2 of 2 runs of 1.10.0; 0 of 9."
    assert (verdict.verdict, verdict.sentence, verdict.reasons[0]) == ("hold", sentence, sentence)
    assert sum(reason.startswith("Nothing is lost") for reason in verdict.reasons) == 1
    assert not any("Nothing is lost" in risk for risk in risks(results))  # it is no further risk: the verdict says it


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
    assert checked(folder, baseline, twin, candidate).verdict().verdict != "hold"


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
    verdict = checked(folder, baseline, twin, candidate).verdict()
    assert verdict.verdict == "inconclusive"
    assert verdict.sentence.startswith("Insufficient evidence: Nothing is lost (resume): ")
    assert sum(reason.startswith("Nothing is lost") for reason in verdict.reasons) == 1


@pytest.mark.parametrize("candidate", [HELD, ["failed", "held"], FAILED])
def test_what_is_no_worse_than_on_the_baseline_stands_in_no_upgrades_way(
    folder: Make, candidate: list[CheckOutcome]
) -> None:
    assert checked(folder, FAILED, HELD, candidate).verdict().verdict == "upgrade"


def test_one_run_of_the_baseline_is_too_few_to_say_that_it_keeps_a_check(folder: Make) -> None:
    results = folder(PINS, rounds=2, cases=["resume"], policy=policy("resumed_memory"))
    results.keep_checks("resume", "1.10.0", [check()])
    results.fail("1.10.0", 1, case="resume")
    for pin, outcome in ((TWIN, "held"), ("1.12.1", "failed")):
        results.keep_checks("resume", pin, [check(outcome)], [check(outcome)])  # type: ignore[arg-type]
    assert results.verdict().verdict == "inconclusive"


def test_without_a_control_it_holds_all_the_same(folder: Make) -> None:
    results = checked(folder, HELD, FAILED, names=["1.10.0", "1.12.1"])
    assert results.verdict().verdict == "hold"


@pytest.mark.parametrize(
    ("baseline", "twin", "said"),
    [
        (HELD, HELD, "failed in 1 of 2 runs; 0 of 9."),
        (FAILED, HELD, "failed in 1 of 2 runs, as on 1.10.0; 0 of 9."),
        (HELD, FAILED, "failed in 1 of 2 runs, as on A/A; 0 of 9."),
        (FAILED, FAILED, "failed in 1 of 2 runs, as on 1.10.0 and A/A; 0 of 9."),
    ],
)
def test_a_check_that_fails_without_holding_is_a_reason_and_a_risk(
    folder: Make, baseline: list[CheckOutcome], twin: list[CheckOutcome], said: str
) -> None:
    results = checked(folder, baseline, twin, ["failed", "held"])
    assert f"Nothing is lost (resume): {said}" in results.verdict().reasons
    assert f"1.12.1, Nothing is lost (resume): {said}" in risks(results)


def test_an_open_check_is_among_what_the_evidence_cannot_say_with_its_pins_and_why(folder: Make) -> None:
    results = checked(folder, HELD, ["open", "held"], ["open", "open"])
    assert "Nothing is lost (resume): open for A/A, 1.12.1; 0 of 9." in limits(results)


def test_checks_that_all_hold_are_no_upgrade_by_themselves(folder: Make) -> None:
    results = folder(PINS, rounds=3, cases=["resume"], policy=read_policy())
    for pin in PINS:
        results.keep_checks("resume", pin, *[[check()]] * 3)
    verdict = results.verdict()
    assert verdict.verdict == "inconclusive"
    assert "Final mAP50: not measured (the case train is not part of this matrix)." in verdict.reasons


def test_checks_without_any_metric_that_gates_are_no_upgrade(folder: Make) -> None:
    results = folder(PINS, rounds=2, cases=["resume"], policy=policy("map50", idle=["map50"]))
    for pin in PINS:
        for index in range(2):
            results.keep(pin, index, "resume", metrics=[metric("map50", "fraction", 0.8)], checks=[check()])
    verdict = results.verdict()
    assert (verdict.verdict, verdict.sentence) == ("inconclusive", "Insufficient evidence: no metric gates.")


def test_a_hold_by_a_check_beside_an_otherwise_clean_matrix(folder: Make) -> None:
    results = folder(PINS, rounds=3, cases=["train", "resume"], policy=policy("epoch_time", "map50"))
    for pin in PINS:
        results.keep_all(pin, **ALL)
        outcome: CheckOutcome = "failed" if pin == "1.12.1" else "held"
        results.keep_checks("resume", pin, *[[check(outcome)]] * 3)
    assert results.verdict().verdict == "hold"
    assert main([str(results.path), "--gate"]) == 1
    svg = (results.path / "overview.svg").read_text(encoding="utf-8")
    assert "1.12.1 hold (a check fails)" in svg


def test_the_decision_weighs_checks_beside_what_the_baseline_did(folder: Make) -> None:
    names = ["kept", "lost", "never kept", "won", "unknown"]
    outcomes: dict[str, list[CheckOutcome]] = {
        "1.10.0": ["held", "held", "failed", "failed", "held"],
        TWIN: ["held", "held", "failed", "failed", "held"],
        "1.12.1": ["held", "failed", "failed", "held", "open"],
    }
    results = folder(PINS, rounds=2, cases=["resume"], policy=policy("resumed_memory"))
    for pin, made in outcomes.items():
        checks = [check(outcome, name=name) for name, outcome in zip(names, made, strict=True)]
        results.keep_checks("resume", pin, checks, checks)
    text = results.decision()
    for sentence in (
        "Good, because these checks held, which failed on 1.10.0: won (resume).",
        "Neutral, because these checks held: kept (resume).",
        "Neutral, because these checks failed, as on 1.10.0: never kept (resume).",
        "Bad, because these checks failed: lost (resume).",
        "Open, because these checks could not tell: unknown (resume).",
        "Bad, because these checks failed there: never kept (resume); won (resume).",  # of staying
    ):
        assert f"* {sentence}\n" in text


def test_what_fails_oftener_than_on_the_baseline_is_not_neutral_in_the_decision(folder: Make) -> None:
    text = checked(folder, ["failed", "held"], HELD, FAILED).decision()
    assert "* Bad, because these checks failed: Nothing is lost (resume).\n" in text
    assert "as on 1.10.0: Nothing is lost" not in text.partition("## Pros and Cons")[2]


# --- where they are shown ---------------------------------------------------------------------------------------


def test_table_summary_terminal_and_verdict_show_each_check_of_each_pin(folder: Make) -> None:
    results = checked(folder, HELD, HELD, ["failed", "held"])
    line = (
        "| Nothing is lost | **held in 2 of 2 runs**<br>0 of 9 | **held in 2 of 2 runs**<br>0 of 9 "
        "| **failed in 1 of 2 runs**<br>0 of 9 |"
    )
    assert line in squeezed(results.markdown())
    assert line in squeezed(results.summary())
    terminal = results.terminal()
    assert "Check: Nothing is lost\n  - 1.10.0, A/A: held in 2 of 2 runs; 0 of 9\n  - 1.12.1: failed in" in terminal
    assert main([str(results.path)]) == 0
    stored = json.loads((results.path / "verdict.json").read_text(encoding="utf-8"))["machines"][0]["checks"]
    assert [(one["pin"], one["outcome"], one["alike"], one["runs"]) for one in stored] == [
        ("1.10.0", "held", 2, 2),
        (TWIN, "held", 2, 2),
        ("1.12.1", "failed", 1, 2),
    ]
    assert results.machine_verdict().checks[2] == StoredCheck(
        "resume", "Nothing is lost", "1.12.1", "failed", 2, 1, ["0 of 9"]
    )


def test_the_decisions_evidence_is_another_where_a_check_came_out_differently(folder: Make) -> None:
    def digest(results: Folder) -> str:
        return re.findall(r"^Evidence: (\w+)", results.decision(), flags=re.MULTILINE)[0]

    one = checked(folder, HELD, HELD, HELD)
    before = digest(one)
    for index in range(2):
        one.keep("1.12.1", index, "resume", metrics=[metric("resumed_memory", "ratio", 1.0)], checks=[check("open")])
    assert digest(one) != before


def test_on_a_terminal_checks_of_many_pins_keep_to_a_hundred_columns(folder: Make) -> None:
    names = [f"1.{number}.0+cu118" for number in range(12)]
    results = checked(folder, *[HELD] * 12, names=names)
    text = results.terminal()
    assert max(map(len, text.splitlines())) <= 100
    assert " ".join(text.split()).count(f"{', '.join(names)}: held in 2 of 2 runs") == 1


def test_a_check_that_is_failed_by_the_baseline_too_is_no_news_in_the_verdicts_sentence(folder: Make) -> None:
    verdict = checked(folder, FAILED, FAILED, FAILED).verdict()
    assert "Nothing is lost" not in verdict.sentence


# --- converge ---------------------------------------------------------------------------------------------------


def converged(folder: Make, **pins: Sequence[float]) -> Folder:
    """Seeds of the baseline and, as `candidate`, of 1.12.1."""
    names = {"baseline": "1.10.0", "candidate": "1.12.1"}
    rounds = max(map(len, pins.values()))
    results = folder(
        [names[one] for one in pins], rounds=rounds, cases=["converge"], policy=policy("map50", "map50_spread")
    )
    for one, scores in pins.items():
        results.keep_seeds(names[one], *scores)
    return results


def seeds(spread: float, n: int, mean: float = 0.8) -> list[float]:
    """Scores with exactly this standard deviation."""
    steps = [place - (n - 1) / 2 for place in range(n)]
    scale = math.sqrt(sum(step**2 for step in steps) / (n - 1))
    return [mean + spread * step / scale for step in steps]


@pytest.mark.parametrize(
    ("scores", "outcome", "said"),
    [
        # χ² with 19 degrees of freedom: 8.9065 and 32.8523, so √(19/χ²) is 1.4606 and 0.7605
        (seeds(0.004, 20), "held", "0.4 points [0.3, 0.6], 20 seeds"),
        (seeds(0.006, 20), "open", "0.6 points [0.5, 0.9], 20 seeds"),
        (seeds(0.02, 20), "failed", "2.0 points [1.5, 2.9], 20 seeds"),
        # with one degree of freedom: 0.00098207 and 5.0239, so 31.91 and 0.4461
        (seeds(0.001, 2), "open", "0.1 points [0.0, 3.2], 2 seeds"),
        ([0.8], "open", "one seed has no spread"),
        ([0.8, 0.8, 0.8], "open", "all 3 seeds end at the same value, from which no interval follows"),
        ([0.0, 0.0], "open", "it never left 0 in any run: nothing was learnt that could be compared"),
    ],
)
def test_the_whole_interval_of_the_spread_is_held_against_its_yardstick(
    folder: Make, scores: list[float], outcome: CheckOutcome, said: str
) -> None:
    (row,) = rows(converged(folder, baseline=scores))
    assert row.name == "Seeds end alike: the 95 % interval of the spread of their final mAP50 is below 0.8 points"
    assert row.cells == (CheckCell(outcome, 1, 1, (said,)),)


def test_a_pins_spread_is_its_standard_deviation_and_is_compared_as_a_ratio(folder: Make) -> None:
    drawn = random.Random(1)
    noise = [drawn.gauss(0, 0.001) for _ in range(10)]
    base = seeds(0.004, 10)
    wide = [score + wobble for score, wobble in zip(seeds(0.012, 10), noise, strict=True)]
    results = converged(folder, baseline=base, candidate=wide)
    found = results.finding("map50_spread")
    assert (found.outcome, found.n, found.pairs) == ("worse", 10, "rounds")
    assert found.estimate == pytest.approx(2.0, abs=0.3)
    cells_ = results.cells("Spread of final mAP50 (pt)")
    assert cells_[0] == "0.4<br>10 seeds"
    assert re.fullmatch(r"\+\d+\.\d %<br>\[\+\d+\.\d %, \+\d+\.\d %\]<br>worse", cells_[3])
    assert any("Spread of final mAP50: worse" in reason for reason in results.verdict().reasons)


def test_seeds_that_train_alike_are_equivalent_in_their_spread(folder: Make) -> None:
    results = converged(folder, baseline=seeds(0.004, 5), candidate=seeds(0.004, 5))
    assert results.finding("map50_spread").outcome == "equivalent"
    assert results.cells("Spread of final mAP50 (pt)")[3] == "0.0 %<br>[0.0 %, 0.0 %]<br>equivalent"


def test_two_seeds_are_no_finding_of_a_spread(folder: Make) -> None:
    results = converged(folder, baseline=[0.8, 0.81], candidate=[0.7, 0.81])
    found = results.finding("map50_spread")
    assert (found.outcome, found.reason) == ("inconclusive", "a spread needs three pairs of runs that differ")
    assert results.cells("Spread of final mAP50 (pt)")[3] == "no finding"


def test_a_run_without_a_score_leaves_the_spread_of_the_others(folder: Make) -> None:
    results = converged(folder, baseline=seeds(0.004, 4))
    results.keep("1.10.0", 3, "converge", metrics=[], not_measured={"map50": "no validation pictures"})
    (row,) = rows(results)
    assert row.cells[0]
    assert row.cells[0].said[0].endswith(", 3 seeds")
    assert results.cells("Spread of final mAP50 (pt)")[0] == "0.3<br>3 seeds"


def test_only_converge_has_a_spread(folder: Make) -> None:
    results = folder(["1.10.0"], rounds=3, policy=policy("map50", "map50_spread"))
    results.keep_all("1.10.0", map50=[0.8, 0.7, 0.6])
    assert results.machine().checks == {}
    assert "Spread" not in results.markdown()


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


LEAK = "Memory does not leak (RSS): the 95 % interval of its growth is below 0.2 % an epoch"
DRIFT = "The throughput does not drift: the 95 % interval of how much longer epochs get is below 1 % an epoch"
RULE = (
    "A rule of thumb, which does not gate, sees no leak: looked at every 10 epochs, memory never grows by more than "
    "3 % 3 times in a row"
)


@pytest.mark.parametrize(
    ("growth", "leak", "rule"),
    [(0.0, "held", "held"), (0.002, "open", "held"), (0.003, "failed", "held"), (0.005, "failed", "failed")],
)
def test_a_leak_is_told_by_the_whole_interval_beside_the_rule_that_sees_only_large_ones(
    folder: Make, growth: float, leak: CheckOutcome, rule: CheckOutcome
) -> None:
    found = {row.name: row.cells[0] for row in rows(soaked(folder, growth))}
    assert list(found) == [LEAK, DRIFT, RULE]
    outcomes = [cell.outcome if cell else "" for cell in found.values()]
    assert outcomes == [leak, "held", rule]


def test_epochs_that_get_longer_are_a_drift(folder: Make) -> None:
    results = folder(["1.10.0"], cases=["soak"])
    series = {"rss": [4e8] * 30, "epoch_time": [9 * 1.02**epoch for epoch in range(30)], "begun": [0.0]}
    results.keep("1.10.0", 0, "soak", metrics=[], series=series)
    found = {row.name: row.cells[0] for row in rows(results)}
    assert found[DRIFT] == CheckCell("failed", 1, 1, ("+2.000 % an epoch [+2.000, +2.000], 28 epochs",))
    assert found[LEAK] == CheckCell("held", 1, 1, ("0.000 % an epoch [0.000, 0.000], 28 epochs",))


def test_what_every_round_gave_is_said_the_worst_first(folder: Make) -> None:
    results = soaked(folder, 0.0, rounds=3)
    results.keep("1.10.0", 1, "soak", metrics=[], series={"rss": [4e8] * 5, "epoch_time": [9.0] * 5, "begun": [0.0]})
    leak, _, rule = (row.cells[0] for row in rows(results))
    assert leak
    assert rule
    assert (leak.outcome, leak.alike, leak.runs) == ("open", 1, 3)
    assert leak.said[0] == "round 2: too short: 3 epochs in one process after warm-up, and it takes 7"
    assert [said[:8] for said in leak.said] == ["round 2:", "round 1:", "round 3:"]
    assert re.fullmatch(r"round 1: \S+ % an epoch \[\S+, \S+\], 48 epochs", leak.said[1])
    assert rule.said[0] == "round 2: 5 epochs, and it cannot fire in fewer than 40"


def test_a_candidate_that_leaks_in_every_run_is_held(folder: Make) -> None:
    verdict = soaked(folder, 0.0, 0.004).verdict()
    assert verdict.verdict == "hold"
    assert verdict.sentence.startswith(
        f"{LEAK} (soak): failed in 2 of 2 runs, and held in 2 of 2 runs of 1.10.0; round 1: +0."
    )


def test_the_rule_of_thumb_alone_holds_nothing(folder: Make) -> None:
    # memory that climbs for thirty epochs and comes back fires the rule; the interval tells that no growth remains
    results = soaked(folder, 0.0)
    hill = [4e8 * math.exp(0.0035 * min(max(epoch - 9, 0), 30) - 0.0105 * max(epoch - 39, 0)) for epoch in range(50)]
    results.keep_soak("1.12.1", hill, hill)
    leak, _, rule = (row.cells[1] for row in rows(results))
    assert leak
    assert rule
    assert (leak.outcome, rule.outcome) == ("open", "failed")
    verdict = results.verdict()
    assert verdict.verdict == "inconclusive"
    assert any(reason.startswith(RULE) for reason in verdict.reasons)


def test_a_soak_without_its_series_is_open_and_says_so(folder: Make) -> None:
    results = folder(["1.10.0"], cases=["soak"])
    results.keep("1.10.0", 0, "soak", metrics=[])
    assert [(row.cells[0].outcome, row.cells[0].said) for row in rows(results) if row.cells[0]] == [
        ("open", ("the record holds no series of it",))
    ] * 3


def test_only_soak_has_checks_of_memory(folder: Make) -> None:
    results = folder(["1.10.0"])
    results.keep("1.10.0", series={"rss": [4e8] * 50, "epoch_time": [9.0] * 50, "begun": [0.0]})
    assert results.machine().checks == {}


def test_checks_and_spreads_are_explained_where_there_are_any(folder: Make) -> None:
    told = "A check is what every pin is held against by itself"
    spread = "A spread is the standard deviation over seeds"
    assert told in converged(folder, baseline=[0.8, 0.7]).markdown()
    assert spread in converged(folder, baseline=[0.8, 0.7]).markdown()
    plain = folder(["1.10.0"], cases=["train", PACE], name="plain")
    plain.keep("1.10.0")
    assert told not in plain.markdown()
    assert spread not in plain.markdown()


def test_in_markdown_the_checks_are_a_table_of_their_own_below_the_remarks(folder: Make) -> None:
    results = folder(["1.10.0"], cases=["resume"])
    made = {"metrics": [metric("resume_time", "s", 3.0)], "checks": [check()], "notes": {"resume_time": "to step 1"}}
    results.keep("1.10.0", 0, "resume", **made)
    html = MarkdownIt("commonmark").enable("table").render(results.markdown().partition("## Every run")[0])
    assert html.count("<table>") == 2
    assert html.index("<li>Time to resume: to step 1.</li>") < html.index('<th style="text-align:left">check</th>')
