"""The words for verdicts, findings, checks, reasons and fingerprints: what they name, and with which numbers."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from results_folder import Folder, check, metric, policy
from saying import says

from harness.core.declaration import DeclaredFingerprint
from harness.core.spec import TWIN
from reports.evidence.figures import Absent
from reports.evidence.store import Trouble
from reports.judge.statements import Apart, Likeness, Why
from reports.show.findings import effect, finding_in_words, why_in_words, words_of
from reports.show.fingerprints import apart, likeness_in_words
from reports.show.plots import plot_of_intervals
from reports.show.verdict_file import StoredCandidate, StoredReason
from reports.show.words import absent_in_words, counted, listed_in_words, trouble_in_words

Make = Callable[..., Folder]
PINS = ["1.10.0", TWIN, "1.12.1"]
BASE = {"epoch": [30.0, 31.0, 30.5], "memory": [400.0, 401.0, 400.5], "map50": [0.8, 0.81, 0.805]}


def judged(folder: Make, **candidate: list[float]) -> Folder:
    """Three whole rounds of a candidate that differs from the baseline in these values."""
    results = folder(PINS, rounds=3, policy=policy("epoch_time", "training_memory", "map50"))
    for pin in PINS[:2]:
        results.keep_all(pin, **BASE)
    results.keep_all("1.12.1", **{**BASE, **candidate})
    return results


def times(name: str, factor: float) -> list[float]:
    return [value * factor for value in BASE[name]]


def told(results: Folder, pin: str = "1.12.1") -> StoredCandidate:
    """The verdict on a candidate, whose sentences must each be one line, and whole or visibly cut off."""
    (machine,) = results.verdict_file().machines
    (verdict,) = [one for one in machine.candidates if one.pin == pin]
    for sentence in (verdict.sentence, *(reason.sentence for reason in verdict.reasons)):
        assert sentence.endswith((".", "…"))
        assert sentence.isprintable()
    return verdict


def reason(verdict: StoredCandidate, kind: str, about: str = "") -> StoredReason:
    """The one reason of a kind, and where that is given about something."""
    (found,) = [one for one in verdict.reasons if one.kind == kind and about in ("", one.about)]
    return found


# --- the one sentence that each verdict is told in ----------------------------------------------------------------


def test_a_hold_names_the_metric_that_is_worse_with_its_numbers_and_its_margin(folder: Make) -> None:
    results = judged(folder, epoch=times("epoch", 1.1))
    verdict = told(results)
    assert verdict.verdict == "hold"
    assert verdict.sentence.startswith("Epoch time is worse, ")
    assert effect(results.finding("epoch_time")) in verdict.sentence
    assert "margin of 3.0 %" in verdict.sentence


def test_a_hold_by_several_metrics_names_the_others_too(folder: Make) -> None:
    worse = {"epoch": times("epoch", 1.1), "memory": times("memory", 1.1), "map50": [0.7, 0.71, 0.705]}
    sentence = told(judged(folder, **worse)).sentence
    assert says(
        sentence, "Memory, added by training is worse", "+10.0 % ", "worse too: ", "Epoch time and Final mAP50."
    )


def test_a_hold_as_nothing_runs_says_why_it_does_not(folder: Make) -> None:
    results = judged(folder)
    for index in range(3):
        results.fail("1.12.1", index, "CUDA error: no kernel image")
    verdict = told(results)
    assert verdict.sentence == reason(verdict, "never ended").sentence
    assert all(
        part in verdict.sentence for part in ("3 `train` runs", "the baseline's", "CUDA error: no kernel image.")
    )


def test_what_is_worse_is_said_rather_than_what_else_holds(folder: Make) -> None:
    results = folder(PINS, rounds=3, cases=["train", "resume"], policy=policy("epoch_time"))
    for pin in PINS:
        results.keep_all(pin, **{**BASE, "epoch": times("epoch", 1.1 if pin == "1.12.1" else 1.0)})
        results.keep_checks("resume", pin, *[[check("failed" if pin == "1.12.1" else "held")]] * 3)
    verdict = told(results)
    assert [one.kind for one in verdict.reasons if one.role == "holds"] == ["check", "finding"]
    assert verdict.sentence.startswith("Epoch time is worse, ")


def test_an_upgrade_says_over_how_many_metrics(folder: Make) -> None:
    verdict = told(judged(folder))
    assert verdict.verdict == "upgrade"
    assert verdict.sentence.startswith("None of the 3 metrics ")


def test_an_upgrade_by_one_metric_names_it(folder: Make) -> None:
    results = judged(folder)
    results.policy = policy("epoch_time")
    assert says(told(results).sentence, "Epoch time", "only metric that gates")


def test_an_upgrade_names_what_is_better(folder: Make) -> None:
    found = told(judged(folder, epoch=times("epoch", 0.9), map50=[0.9, 0.91, 0.905]))
    assert says(found.sentence, "better: ", "Epoch time and Final mAP50.")


def test_what_is_better_and_does_not_gate_is_not_what_an_upgrade_rests_on(folder: Make) -> None:
    results = judged(folder, epoch=times("epoch", 0.9))
    results.policy = policy("epoch_time", "training_memory", "map50", idle=["epoch_time"])
    sentence = told(results).sentence
    assert sentence.startswith("None of the 2 metrics ")
    assert "Epoch time" not in sentence


@pytest.mark.parametrize(
    ("candidate", "open_"),
    [
        ({"epoch": [30.0, 33.0, 31.0]}, "Epoch time may be worse"),
        (
            {"epoch": [30.0, 33.0, 31.0], "memory": [400.0, 450.0, 410.0]},
            "Memory, added by training and Epoch time may be worse",
        ),
    ],
)
def test_an_inconclusive_verdict_names_what_is_open(
    folder: Make, candidate: dict[str, list[float]], open_: str
) -> None:
    verdict = told(judged(folder, **candidate))
    assert verdict.verdict == "inconclusive"
    assert verdict.sentence.startswith(f"Insufficient evidence: {open_} ")


def test_a_candidate_that_cannot_run_here_is_inconclusive_and_says_why(folder: Make) -> None:
    results = judged(folder)
    results.refuse("1.12.1", "The wheel has no sm_90")
    verdict = told(results)
    assert verdict.verdict == "inconclusive"
    assert says(verdict.sentence, "cannot run on this hardware: ", "The wheel has no sm_90.")


def test_a_candidate_of_which_one_run_is_possible_can_run(folder: Make) -> None:
    results = judged(folder)
    for index in range(2):
        results.keep("1.12.1", index, status="unsupported", reason="The wheel has no sm_90", metrics=[], hashes=None)
    assert "cannot run" not in told(results).sentence


def test_runs_that_are_not_there_are_why_a_verdict_is_inconclusive_where_no_metric_is_open(folder: Make) -> None:
    results = folder(PINS, rounds=4, policy=policy("epoch_time"))
    for pin in PINS:
        results.keep_all(pin, epoch=[30.0, 31.0, 30.5, 30.0])
    results.fail("1.12.1", 3)
    verdict = told(results)
    assert verdict.sentence == f"Insufficient evidence: {reason(verdict, 'unfinished').sentence}"
    assert says(verdict.sentence, "1 of its 4 ", "`train` runs failed.")


def test_a_policy_in_which_nothing_gates_decides_nothing(folder: Make) -> None:
    results = judged(folder)
    results.policy = policy("epoch_time", idle=["epoch_time"])
    verdict = told(results)
    assert verdict.sentence == f"Insufficient evidence: {reason(verdict, 'nothing gates').sentence}"


def test_a_reason_from_a_record_is_one_short_line_in_the_sentence(folder: Make) -> None:
    results = judged(folder)
    results.refuse("1.12.1", "no\x1b[31m\r\nkernel " + "x" * 5000)
    sentence = told(results).sentence
    assert "no\\x1b[31m kernel" in sentence
    assert len(sentence) < 400


# --- findings -----------------------------------------------------------------------------------------------------


def test_the_other_end_of_a_wide_margin_is_named_where_an_estimate_lies_on_that_side(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1"], rounds=5, cases=["converge"], policy=policy("map50_spread"))
    base = [0.80, 0.81, 0.79, 0.83, 0.77]
    results.keep_seeds("1.10.0", *base)
    results.keep_seeds("1.12.1", *[0.8 + 0.6 * (score - 0.8) for score in base])
    sentence = reason(told(results), "finding", "map50_spread").sentence
    assert "better, −40.0 %" in sentence
    assert says(sentence, "50.0 % (−33.3 % ", "on this side).")


def test_the_band_of_a_ratios_margin_is_that_by_which_it_is_judged(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1"], rounds=5, cases=["converge"], policy=policy("map50_spread"))
    for pin in results.pins:
        results.keep_seeds(pin, 0.80, 0.81, 0.79, 0.83, 0.77)
    plot = plot_of_intervals(results.pins, [results.finding("map50_spread")])
    assert plot
    (band, _) = plot.figure["layout"]["shapes"]  # type: ignore[index]
    assert (band["x0"], band["x1"]) == pytest.approx((-100 / 3, 50.0))


def test_what_a_soak_says_of_memory_is_not_what_train_says(folder: Make) -> None:
    results = folder(PINS, rounds=2, cases=["soak"], policy=policy("training_memory"))
    for pin in PINS:
        for index in range(2):
            results.keep(pin, index, "soak", metrics=[metric("training_memory", "bytes", 4e8)])
    verdict = told(results)
    assert verdict.verdict == "inconclusive"
    assert any("not measured" in one.sentence and "the case train" in one.sentence for one in verdict.reasons)


def test_a_metric_that_several_cases_of_the_matrix_measure_is_named_with_its_case(folder: Make) -> None:
    alone, both = (
        folder(PINS, rounds=2, name=name, cases=cases, policy=policy("map50", "step_time"))
        for name, cases in (("alone", ["train"]), ("both", ["train", "converge"]))
    )
    for results in (alone, both):
        for pin in PINS:
            results.keep_all(pin, map50=[0.8, 0.81])
            results.keep_seeds(pin, *([0.8, 0.81] if results is both else []))
    titles = [
        [words_of(results.matrix(), results.policy).title(one) for one in results.findings() if one.pin == "1.12.1"]
        for results in (alone, both)
    ]
    assert titles[0] == ["Step time", "Final mAP50"]
    assert titles[1] == ["Step time", "Final mAP50 (train)", "Final mAP50 (converge)"]


def test_an_open_finding_says_its_numbers_why_and_what_would_settle_it(folder: Make) -> None:
    results = judged(folder, map50=[0.80, 0.86, 0.78])
    found = results.finding("map50")
    sentence = finding_in_words(found, words_of(results.matrix(), results.policy))
    assert sentence.startswith(f"Final mAP50: inconclusive, {effect(found)}")
    assert why_in_words(found.why) in sentence
    assert f"About {found.further} more rounds" in sentence


def test_an_open_finding_of_what_was_measured_in_turns_asks_for_rounds_of_as_many_sittings(folder: Make) -> None:
    drawn = random.Random(1)
    sittings = {pin: [[drawn.gauss(0.1, 0.02) for _ in range(20)] for _ in range(4)] for pin in PINS}
    further = []
    for size in (1, 2):
        results = folder(PINS, rounds=4 // size, policy=policy("step_time"))
        for pin, own in sittings.items():
            results.keep_laps(pin, *[own[start : start + size] for start in range(0, 4, size)])
        found = results.finding("step_time")
        assert found.further is not None
        further.append(found.further)
        sentence = finding_in_words(found, words_of(results.matrix(), results.policy))
        assert sentence.startswith(f"Step time: inconclusive, {effect(found)}")
        assert f"About {found.further} more rounds would settle it." in sentence
    assert further[1] == math.ceil(further[0] / 2)


def test_what_does_not_gate_is_said_not_to(folder: Make) -> None:
    results = judged(folder)
    results.policy = policy("epoch_time", "map50", idle=["map50"])
    verdict = told(results)
    assert reason(verdict, "finding", "map50").sentence.endswith(" It does not gate.")
    assert "gate" not in reason(verdict, "finding", "epoch_time").sentence


# --- checks and anomalies -----------------------------------------------------------------------------------------


def checked(folder: Make, **outcomes: str) -> Folder:
    """Two rounds of `resume` in which one check came out so on the baseline, its twin and the candidate."""
    results = folder(PINS, rounds=2, cases=["resume"], policy=policy("resumed_memory", required=[]))
    for pin, key in zip(PINS, ("base", "twin", "candidate"), strict=True):
        made = check(outcomes.get(key, "held"), f"{key} saw 3 of 9")  # type: ignore[arg-type]
        results.keep_checks("resume", pin, [made], [made])
    return results


def test_a_check_that_holds_an_upgrade_says_what_was_seen_and_that_the_baseline_keeps_it(folder: Make) -> None:
    verdict = told(checked(folder, candidate="failed"))
    found = reason(verdict, "check", "killed")
    assert (verdict.verdict, found.role, found.case) == ("hold", "holds", "resume")
    assert verdict.sentence == found.sentence
    failed, held = "failed in 2 of 2", "held in 2 of 2"
    assert says(found.sentence, "(resume): ", failed, held, " of 1.10.0", "candidate saw", "3 of 9.")


def test_a_check_that_fails_without_any_change_of_version_says_so(folder: Make) -> None:
    found = reason(told(checked(folder, base="failed", twin="failed", candidate="failed")), "check", "killed")
    assert found.role == "tells"
    assert says(found.sentence, "as on ", "1.10.0 and A/A")


def test_the_yardstick_and_the_interval_of_a_check_are_those_of_the_policy(folder: Make) -> None:
    results = folder(PINS, rounds=2, cases=["converge", "soak"], policy=policy("map50_spread", error_rate=0.1))
    for pin in PINS:
        results.keep_seeds(pin, 0.8, 0.81)
        results.keep_soak(pin, *[[4e8 + epoch for epoch in range(50)]] * 2)
    titles = {one.name: one.title for one in results.verdict_file().machines[0].checks}
    assert "90 % interval" in titles["leak_rss"]
    assert titles["leak_rss"].endswith("below 0.2 % an epoch")
    assert titles["seeds_end_alike"].endswith("below 0.8 pt")


# --- why there is nothing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "parts"),
    [
        (Trouble("recorded", "It fell.", "Traceback"), ["It fell.", "Traceback"]),
        (Trouble("no reason"), ["no reason"]),
        (Trouble("not done"), ["no record"]),
        (Trouble("stale", "harness, train"), ["stale: harness, train"]),
        (Trouble("stale"), ["stale: the identity"]),
        (None, []),
    ],
)
def test_every_trouble_of_a_run_has_its_words(trouble: Trouble | None, parts: list[str]) -> None:
    said = trouble_in_words(trouble)
    assert bool(said) == bool(parts)
    assert all(part in said for part in parts)


@pytest.mark.parametrize("kind", ["unlearnt", "unchanged", "lonely", "no samples", "not finite", "nothing said"])
def test_every_reason_for_the_want_of_a_figure_has_its_words(kind: str) -> None:
    assert absent_in_words(Absent(kind))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["too large", "not positive"])
def test_a_number_that_cannot_be_true_is_told(kind: str) -> None:
    said = absent_in_words(Absent(kind, "-4 s"))  # type: ignore[arg-type]
    assert "-4 s" in said
    assert "cannot be true" in said


def test_a_reason_from_a_record_is_told_as_it_is() -> None:
    assert absent_in_words(Absent("recorded", "no\nclock")) == "no clock"
    assert why_in_words(Why("absent", absent=Absent("recorded", "no clock"))) == "no clock"
    assert why_in_words(Why("run", status="failed", trouble=Trouble("recorded", "It fell."))) == "failed: It fell."


# --- fingerprints -------------------------------------------------------------------------------------------------

LOSSES = DeclaredFingerprint("first_losses", "Losses of the first steps", tolerance=1e-5)
CLOSE = (41.2251, 41.2262)


@pytest.mark.parametrize(
    ("likeness", "said"),
    [
        ({"kind": "alike", "rounds": 3, "alike": 3}, "bit for bit alike"),
        ({"kind": "within tolerance", "rounds": 3, "largest": 1.2e-6}, "alike to 1e-06"),
        ({"kind": "differs", "rounds": 1, "place": 2, "values": CLOSE}, "differs from step 3 on: 41.225 and 41.226"),
        ({"kind": "differs", "rounds": 1, "place": 2, "values": (41.2, None)}, "step 3 on: 41.2 and not finite"),
        ({"kind": "differs", "rounds": 3, "alike": 2}, "differs in 1 of 3 rounds"),
        ({"kind": "differs", "rounds": 1, "place": 4}, "step 5 on, where one of the two ends"),
        (
            {"kind": "differs", "rounds": 2, "place": 7, "at": "model.4.cv2", "values": ("a1", "b2")},
            "differs first at model.4.cv2",
        ),
        (
            {"kind": "differs", "rounds": 1, "place": 0, "at": "loss", "values": CLOSE},
            "first at loss: 41.225 and 41.226",
        ),
        ({"kind": "not compared", "why": "not recorded"}, "not recorded"),
        ({"kind": "not compared", "why": "refused"}, "not compared: "),
        ({"kind": "not compared", "why": "no run"}, "not compared: "),
    ],
)
def test_what_two_pins_have_in_common_is_told(likeness: dict[str, object], said: str) -> None:
    one = Likeness("train", LOSSES, "1.10.0", "1.12.1", **likeness)  # type: ignore[arg-type]
    assert said in likeness_in_words(one)
    short = likeness_in_words(one, short=True)
    assert likeness_in_words(one).startswith(short)
    assert ("41" in short) is False


def test_two_values_are_shown_in_as_many_digits_as_tell_them_apart() -> None:
    assert apart(1.0, 2.0) == ("1", "2")
    assert apart(1.0, 1.0 + 2**-52) == ("1", "1.0000000000000002")
    assert apart("a" * 64, "b") == ("a" * 19 + "…", "b")


# --- the control --------------------------------------------------------------------------------------------------


def test_the_controls_sentence_tells_how_far_chance_reaches_and_counts_it_among_no_metrics(folder: Make) -> None:
    results = folder(PINS, rounds=3, policy=policy("epoch_time", "map50"))
    for pin, score in zip(PINS, (0.80, 0.70, 0.79), strict=True):
        results.keep_all(pin, map50=[score] * 3, epoch=[30.0, 30.1, 30.2])
    sentence = results.verdict_file().machines[0].control.sentence
    assert "in none of 1 metrics" in sentence
    assert "How far chance reaches" in sentence
    assert "Final mAP50 \N{MINUS SIGN}10.0 pt" in sentence


# --- lists --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "said"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_words_are_listed_as_one_says_them(words: list[str], said: str) -> None:
    assert listed_in_words(words) == said


@pytest.mark.parametrize(("number", "said"), [(0, "0 rounds"), (1, "1 round"), (2000, "2,000 rounds")])
def test_one_of_a_thing_is_not_several(number: int, said: str) -> None:
    assert counted(number, "rounds") == said


def test_where_values_belong_to_names_every_one_that_differs_is_told_with_both_values() -> None:
    operators = DeclaredFingerprint("operators", "Operators", counted="operator", by_name=True)
    differing = (Apart("Cast", 9.0, None), Apart("Pad|*", 1.0, 2.0))
    one = Likeness("train", operators, "1.10.0", "1.12.1", "differs", 1, names=22, apart=differing)
    assert likeness_in_words(one) == "differs in 2 of 22 operators: Cast 9 and none; Pad|* 1 and 2"
    assert likeness_in_words(one, short=True) == "differs in 2 of 22 operators"
