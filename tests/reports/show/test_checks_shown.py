"""Checks as they are told: in tables, on a terminal, in verdict.json, in reasons and in the decision record."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

import pytest
from markdown_it import MarkdownIt
from results_folder import Folder, check, metric, policy
from typical_folders import converged, seeds

from harness.core.cases import read_case
from harness.core.record import CheckOutcome
from harness.core.spec import TWIN
from reports.__main__ import main
from reports.show.verdict_file import StoredCheck, StoredSight

Make = Callable[..., Folder]
PINS = ["1.10.0", TWIN, "1.12.1"]
ALL = {"epoch": [30.0, 31.0, 30.5], "map50": [0.8, 0.81, 0.805]}
HELD: list[CheckOutcome] = ["held", "held"]
FAILED: list[CheckOutcome] = ["failed", "failed"]


def title_of(name: str, case: str = "resume") -> str:
    """What the declaration says has to hold."""
    declared = read_case(case).check(name)
    assert declared
    return declared.title


KILLED = title_of("killed")


def checked(folder: Make, *pins: Sequence[CheckOutcome], names: Sequence[str] = PINS) -> Folder:
    """A folder of `resume`; of each pin the outcomes of one check by round."""
    results = folder(list(names), rounds=len(pins[0]), cases=["resume"], policy=policy("resumed_memory"))
    for pin, outcomes in zip(names, pins, strict=True):
        results.keep_checks("resume", pin, *([check(outcome)] for outcome in outcomes))
    return results


def squeezed(text: str) -> str:
    return re.sub(" +", " ", text)


def limits(results: Folder) -> list[str]:
    """What the decision record says that the evidence cannot say."""
    text = results.decision().partition("### What the evidence cannot say")[2].partition("###")[0]
    return [line.removeprefix("* ") for line in text.splitlines() if line.startswith("* ")]


def risks(results: Folder) -> list[str]:
    text = results.decision().partition("### Consequences")[2].partition("<!--")[0]
    return [line.removeprefix("* ") for line in text.splitlines() if line.startswith("* ")]


def reasons(results: Folder) -> list[str]:
    """The reasons of the candidate's verdict that are checks."""
    (found,) = results.verdict_file().machines[0].candidates
    return [reason.sentence for reason in found.reasons if reason.kind == "check"]


def sentence(results: Folder) -> str:
    (found,) = results.verdict_file().machines[0].candidates
    return found.sentence


# --- in reasons and in the decision -----------------------------------------------------------------------------


def test_a_check_that_breaks_is_the_verdicts_sentence_and_no_further_risk(folder: Make) -> None:
    results = checked(folder, HELD, HELD, FAILED)
    (reason,) = reasons(results)
    assert reason == f"{KILLED} (resume): failed in 2 of 2 runs, but held in 2 of 2 runs of 1.10.0; 0 of 9."
    assert sentence(results) == reason
    assert not any(KILLED in risk for risk in risks(results))


def test_what_keeps_from_an_upgrade_is_the_verdicts_sentence(folder: Make) -> None:
    assert sentence(checked(folder, HELD, HELD, ["open", "held"])).startswith(
        f"Insufficient evidence: {KILLED} (resume): "
    )


@pytest.mark.parametrize(
    ("baseline", "twin", "said"),
    [
        (HELD, HELD, "failed in 1 of 2 runs, but held in 2 of 2 runs of 1.10.0; 0 of 9."),
        (FAILED, HELD, "failed in 1 of 2 runs, as on 1.10.0; 0 of 9."),
        (HELD, FAILED, "failed in 1 of 2 runs, as on A/A; 0 of 9."),
        (FAILED, FAILED, "failed in 1 of 2 runs, as on 1.10.0 and A/A; 0 of 9."),
    ],
)
def test_a_check_that_fails_without_holding_is_a_reason_and_a_risk(
    folder: Make, baseline: list[CheckOutcome], twin: list[CheckOutcome], said: str
) -> None:
    results = checked(folder, baseline, twin, ["failed", "held"])
    assert reasons(results) == [f"{KILLED} (resume): {said}"]
    assert f"1.12.1, {KILLED} (resume): {said}" in risks(results)


def test_an_open_check_is_among_what_the_evidence_cannot_say_with_its_pins_and_why(folder: Make) -> None:
    results = checked(folder, HELD, ["open", "held"], ["open", "open"])
    assert f"{KILLED} (resume): open for A/A, 1.12.1; 0 of 9." in limits(results)


def test_what_a_run_did_not_make_is_said_to_be_so(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1"], rounds=2, cases=["resume"])
    results.keep_checks("resume", "1.10.0", [check()], [check()])
    results.keep_checks("resume", "1.12.1", [check()], [])
    assert f"{KILLED} (resume): open for 1.12.1; a run did not make this check." in limits(results)


def test_a_check_that_is_failed_by_the_baseline_too_is_no_news_in_the_verdicts_sentence(folder: Make) -> None:
    assert KILLED not in sentence(checked(folder, FAILED, FAILED, FAILED))


def test_a_hold_by_a_check_ends_the_gate_and_is_in_the_overview(folder: Make) -> None:
    results = folder(PINS, rounds=3, cases=["train", "resume"], policy=policy("epoch_time", "map50"))
    for pin in PINS:
        results.keep_all(pin, **ALL)
        outcome: CheckOutcome = "failed" if pin == "1.12.1" else "held"
        results.keep_checks("resume", pin, *[[check(outcome)]] * 3)
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
    assert f"* Bad, because these checks failed: {KILLED} (resume).\n" in text
    assert f"as on 1.10.0: {KILLED}" not in text.partition("## Pros and Cons")[2]


# --- where they are shown ---------------------------------------------------------------------------------------


def test_table_summary_terminal_and_verdict_show_each_check_of_each_pin(folder: Make) -> None:
    results = checked(folder, HELD, HELD, ["failed", "held"])
    line = (
        f"| {KILLED} | **held in 2 of 2 runs**<br>0 of 9 | **held in 2 of 2 runs**<br>0 of 9 "
        "| **failed in 1 of 2 runs**<br>0 of 9 |"
    )
    assert line in squeezed(results.markdown())
    assert line in squeezed(results.summary())
    terminal = results.terminal()
    flat = " ".join(terminal.split())
    assert f"{KILLED} - 1.10.0, A/A: held in 2 of 2 runs; 0 of 9 - 1.12.1: failed in 1 of 2 runs" in flat
    assert main([str(results.path)]) == 0
    stored = json.loads((results.path / "verdict.json").read_text(encoding="utf-8"))["machines"][0]["checks"]
    assert [(one["pin"], one["outcome"], one["alike"], one["runs"]) for one in stored] == [
        ("1.10.0", "held", 2, 2),
        (TWIN, "held", 2, 2),
        ("1.12.1", "failed", 1, 2),
    ]
    assert results.verdict_file().machines[0].checks[2] == StoredCheck(
        case="resume",
        name="killed",
        gates=True,
        yardstick=None,
        pin="1.12.1",
        outcome="failed",
        runs=2,
        alike=1,
        seen=[StoredSight("said", None, {"text": "0 of 9"}, "0 of 9")],
        more=0,
        title=KILLED,
    )


def test_a_pin_of_which_no_run_ended_well_made_no_check(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1"], rounds=2, cases=["resume"])
    results.keep_checks("resume", "1.10.0", [check()], [check()])
    for index in range(2):
        results.fail("1.12.1", index, case="resume")
    assert f"| {KILLED} | **held in 2 of 2 runs**<br>0 of 9 | not made |" in squeezed(results.markdown())


def test_a_case_without_checks_says_nothing_of_them(folder: Make) -> None:
    results = folder()
    for pin in results.pins:
        results.keep(pin)
    assert "check" not in results.markdown().partition("## Every run")[0].replace("checked", "")


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


# --- what follows from what runs left ---------------------------------------------------------------------------


def only_check(results: Folder) -> StoredCheck:
    (found,) = results.verdict_file().machines[0].checks
    return found


def test_a_spread_is_told_with_its_interval_and_the_yardstick_in_its_title(folder: Make) -> None:
    found = only_check(converged(folder, baseline=seeds(0.004, 20)))
    assert found.title == "Seeds end alike: the 95 % interval of the spread of their final mAP50 is below 0.8 pt"
    assert [sight.sentence for sight in found.seen] == ["0.4 pt [0.3, 0.6], 20 seeds"]


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([0.8], "one seed has no spread"),
        ([0.8, 0.8, 0.8], "all 3 seeds end at the same value, from which no interval follows"),
        ([0.0, 0.0], "it never left 0 in any run: nothing was learnt that could be compared"),
    ],
)
def test_without_a_spread_it_is_said_why(folder: Make, scores: list[float], said: str) -> None:
    assert [sight.sentence for sight in only_check(converged(folder, baseline=scores)).seen] == [said]


@pytest.mark.parametrize(
    ("candidate", "cell"),
    [
        (seeds(0.004, 5), "0.0 %<br>[0.0 %, 0.0 %]<br>equivalent"),
        (seeds(0.004, 5)[:2], "no finding"),
    ],
)
def test_the_spread_of_a_pin_and_its_finding_are_in_the_table(folder: Make, candidate: list[float], cell: str) -> None:
    found = converged(folder, baseline=seeds(0.004, 5), candidate=candidate).cells("Spread of final mAP50 (pt)")
    assert found[0] == "0.4<br>5 seeds"
    assert found[3] == cell


def soaked(folder: Make, growth: float) -> list[StoredCheck]:
    """The checks of two soaks that grow by so much an epoch."""
    results = folder(["1.10.0"], rounds=2, cases=["soak"])
    series = {"rss": [4e8 * (1 + growth) ** epoch for epoch in range(50)], "epoch_time": [9.0] * 50, "begun": [0.0]}
    for index in range(2):
        results.keep("1.10.0", index, "soak", metrics=[], series=series)
    return results.verdict_file().machines[0].checks


def test_a_growth_is_told_by_round_with_its_interval_and_the_yardstick_in_its_title(folder: Make) -> None:
    leak, drift, rule = soaked(folder, 0.005)
    assert leak.title == "Memory does not leak (RSS): the 95 % interval of its growth is below 0.2 % an epoch"
    assert drift.title == (
        "The throughput does not drift: the 95 % interval of how much longer epochs get is below 1 % an epoch"
    )
    assert [sight.sentence for sight in leak.seen] == [
        "round 1: +0.500 % an epoch [+0.500, +0.500], 48 epochs",
        "round 2: +0.500 % an epoch [+0.500, +0.500], 48 epochs",
    ]
    assert (rule.gates, rule.seen[0].sentence) == (
        False,
        "round 1: it fires at epoch 40: +5.1 %, +5.1 %, +5.1 %",
    )


def test_what_the_rule_saw_is_told_where_it_does_not_fire(folder: Make) -> None:
    (_, _, rule) = soaked(folder, 0.0)
    assert rule.seen[0].sentence == "round 1: 50 epochs; the largest growth in 10 of them is 0.0 %"


def test_checks_and_spreads_are_explained_where_there_are_any(folder: Make) -> None:
    told = "A check is what every pin is held against by itself"
    spread = "A spread is the standard deviation over seeds"
    assert told in converged(folder, baseline=[0.8, 0.7]).markdown()
    assert spread in converged(folder, baseline=[0.8, 0.7]).markdown()
    plain = folder(["1.10.0"], name="plain")
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
