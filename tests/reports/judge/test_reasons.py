"""The one sentence that each verdict is told in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from results_folder import Folder, metric, policy

from harness.core.spec import TWIN
from reports.show.plots import plot_of_intervals
from reports.judge.reasons import cannot_run, listed_in_words, why_hold
from reports.judge.verdict import CandidateVerdict

Make = Callable[..., Folder]
PINS = ["1.10.0", TWIN, "1.12.1"]
BASE = {"epoch": [30.0, 31.0, 30.5], "memory": [400.0, 401.0, 400.5], "map50": [0.8, 0.81, 0.805]}


def judged(folder: Make, **candidate: list[float]) -> Folder:
    """Three whole rounds of a candidate that differs from the baseline in these values."""
    results = folder(PINS, rounds=3, policy=policy("epoch_time", "peak_rss", "map50"))
    for pin in PINS[:2]:
        results.keep_all(pin, **BASE)
    results.keep_all("1.12.1", **{**BASE, **candidate})
    return results


def times(name: str, factor: float) -> list[float]:
    return [value * factor for value in BASE[name]]


def told(results: Folder) -> CandidateVerdict:
    """The verdict, whose sentence must be one line that ends in a full stop."""
    verdict = results.verdict()
    assert verdict.sentence.endswith(".")
    assert "\n" not in verdict.sentence
    return verdict


def test_a_hold_names_the_metric_that_is_worse_with_its_numbers_and_its_margin(folder: Make) -> None:
    verdict = told(judged(folder, epoch=times("epoch", 1.1)))
    assert verdict.verdict == "hold"
    assert verdict.sentence == "Epoch time is worse, +10.0 % [+10.0 %, +10.0 %] against a margin of 3.0 %."


def test_a_hold_by_several_metrics_names_the_others_too(folder: Make) -> None:
    worse = {"epoch": times("epoch", 1.1), "memory": times("memory", 1.1), "map50": [0.7, 0.71, 0.705]}
    assert told(judged(folder, **worse)).sentence == (
        "Peak memory, RSS is worse, +10.0 % [+10.0 %, +10.0 %] against a margin of 2.0 %; worse too: Epoch time and "
        "Final mAP50."
    )


def test_a_hold_as_nothing_runs_says_why_it_does_not(folder: Make) -> None:
    results = judged(folder)
    for index in range(3):
        results.fail("1.12.1", index, "CUDA error: no kernel image")
    assert told(results).sentence == (
        "None of its 3 runs of train ended well, all of the baseline's did: CUDA error: no kernel image."
    )


def test_what_is_worse_is_said_rather_than_what_never_ran(folder: Make) -> None:
    worse = judged(folder, epoch=times("epoch", 1.1)).finding("epoch_time")
    assert why_hold([worse], ["None of its runs ended well."]).startswith("Epoch time is worse, ")


def test_an_upgrade_says_over_how_many_metrics(folder: Make) -> None:
    verdict = told(judged(folder))
    assert verdict.verdict == "upgrade"
    assert verdict.sentence == "None of the 3 metrics that gate is worse by more than its margin."


def test_an_upgrade_by_one_metric_names_it(folder: Make) -> None:
    results = judged(folder)
    results.policy = policy("epoch_time")
    assert told(results).sentence == "Epoch time, the only metric that gates, is not worse by more than its margin."


def test_an_upgrade_names_what_is_better(folder: Make) -> None:
    found = told(judged(folder, epoch=times("epoch", 0.9), map50=[0.9, 0.91, 0.905]))
    assert found.sentence.endswith("worse by more than its margin; better: Epoch time and Final mAP50.")


def test_what_is_better_and_does_not_gate_is_not_what_an_upgrade_rests_on(folder: Make) -> None:
    results = judged(folder, epoch=times("epoch", 0.9))
    results.policy = policy("epoch_time", "peak_rss", "map50", idle=["epoch_time"])
    assert told(results).sentence == "None of the 2 metrics that gate is worse by more than its margin."


@pytest.mark.parametrize(
    ("candidate", "open_"),
    [
        ({"epoch": [30.0, 33.0, 31.0]}, "Epoch time may be worse by more than its margin."),
        (
            {"epoch": [30.0, 33.0, 31.0], "memory": [400.0, 450.0, 410.0]},
            "Peak memory, RSS and Epoch time may be worse by more than their margins.",
        ),
    ],
)
def test_an_inconclusive_verdict_names_what_is_open(
    folder: Make, candidate: dict[str, list[float]], open_: str
) -> None:
    verdict = told(judged(folder, **candidate))
    assert verdict.verdict == "inconclusive"
    assert verdict.sentence == f"Insufficient evidence: {open_}"


def test_a_candidate_that_cannot_run_here_is_inconclusive_and_says_why(folder: Make) -> None:
    results = judged(folder)
    for index in range(3):
        results.keep("1.12.1", index, status="unsupported", reason="The wheel has no sm_90", metrics=[], hashes=None)
    assert cannot_run(results.matrix(), "1.12.1") == "The wheel has no sm_90"
    assert told(results).sentence == (
        "Insufficient evidence, as it cannot run on this hardware: The wheel has no sm_90."
    )


def test_a_candidate_of_which_one_run_is_possible_can_run(folder: Make) -> None:
    results = judged(folder)
    for index in range(2):
        results.keep("1.12.1", index, status="unsupported", reason="The wheel has no sm_90", metrics=[], hashes=None)
    assert cannot_run(results.matrix(), "1.12.1") == ""
    assert "cannot run" not in told(results).sentence


def test_runs_that_are_not_there_are_why_a_verdict_is_inconclusive_where_no_metric_is_open(folder: Make) -> None:
    results = folder(PINS, rounds=4, policy=policy("epoch_time"))
    for pin in PINS:
        results.keep_all(pin, epoch=[30.0, 31.0, 30.5, 30.0])
    results.fail("1.12.1", 3)
    assert told(results).sentence == "Insufficient evidence: 1 of its 4 runs of train are failed."


def test_a_policy_in_which_nothing_gates_decides_nothing(folder: Make) -> None:
    results = judged(folder)
    results.policy = policy("epoch_time", idle=["epoch_time"])
    assert told(results).sentence == "Insufficient evidence: no metric gates."


def test_a_reason_from_a_record_is_one_short_line_in_the_sentence(folder: Make) -> None:
    results = judged(folder)
    for index in range(3):
        reason = "no\x1b[31m\r\nkernel " + "x" * 5000
        results.keep("1.12.1", index, status="unsupported", reason=reason, metrics=[], hashes=None)
    sentence = results.verdict().sentence
    assert sentence.isprintable()
    assert "no\\x1b[31m kernel" in sentence
    assert len(sentence) < 400


@pytest.mark.parametrize(("words", "said"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_words_are_listed_as_one_says_them(words: list[str], said: str) -> None:
    assert listed_in_words(words) == said


def test_the_other_end_of_a_wide_margin_is_named_where_an_estimate_lies_on_that_side(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1"], rounds=5, cases=["converge"], policy=policy("map50_spread"))
    base = [0.80, 0.81, 0.79, 0.83, 0.77]
    results.keep_seeds("1.10.0", *base)
    results.keep_seeds("1.12.1", *[0.8 + 0.6 * (score - 0.8) for score in base])
    (reason,) = [one for one in results.verdict().reasons if one.startswith("Spread of final mAP50")]
    assert "better, −40.0 %" in reason
    assert reason.endswith("against a margin of 50.0 % (−33.3 % on this side).")


def test_the_band_of_a_ratios_margin_is_that_by_which_it_is_judged(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1"], rounds=5, cases=["converge"], policy=policy("map50_spread"))
    for pin in results.pins:
        results.keep_seeds(pin, 0.80, 0.81, 0.79, 0.83, 0.77)
    machine = results.machine()
    plot = plot_of_intervals(machine, machine.findings)
    assert plot
    (band, _) = plot.figure["layout"]["shapes"]  # type: ignore[index]
    assert (band["x0"], band["x1"]) == pytest.approx((-100 / 3, 50.0))


def test_what_a_soak_says_of_memory_is_not_what_train_says(folder: Make) -> None:
    results = folder(PINS, rounds=2, cases=["soak"], policy=policy("peak_rss"))
    for pin in PINS:
        for index in range(2):
            results.keep(pin, index, "soak", metrics=[metric("peak_rss", "bytes", 4e8)])
    verdict = results.verdict()
    assert verdict.verdict == "inconclusive"
    assert "Peak memory, RSS: not measured (the case train is not part of this matrix)." in verdict.reasons
