"""Whether accuracy is shown, in words, and where they stand: verdict.json, table, summary, decision and page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from accuracy_folders import SCORES, STEP_ERRORS, make_accuracy_folder, steps_of
from results_folder import Folder, check
from saying import says

from harness.core.spec import TWIN
from reports.__main__ import main
from reports.show.accuracy import accuracy_in_words
from reports.show.decision import evidence_digest
from reports.show.findings import words_of
from reports.show.text import for_markdown
from reports.show.verdict_file import StoredAccuracy, StoredCandidate, VerdictFile

Make = Callable[..., Folder]
OFF = [0.35, 0.15, 0.25]
QUIET = {"1.10.0": [0.4, 0.4, 0.4], TWIN: [0.401, 0.399, 0.402]}
"""Scores that chance hardly moves."""


def candidate(results: Folder) -> StoredCandidate:
    (found,) = results.verdict_file().machines[0].candidates
    return found


def accuracy(results: Folder) -> StoredAccuracy:
    """What is stored of the candidate's accuracy, whose sentences have to be whole and on one line."""
    (found,) = candidate(results).accuracy
    assert found.sentence.endswith(".")
    assert found.sentence.isprintable()
    return found


def with_steps(folder: Make, **changes: object) -> Folder:
    """The candidate's steps with something changed."""
    results = make_accuracy_folder(folder)
    for index, error in enumerate(STEP_ERRORS):
        results.keep("1.12.1", index, "fidelity", **{**steps_of(error), **changes})
    return results


# --- sentences ----------------------------------------------------------------------------------------------------


def test_accuracy_by_the_same_step_says_how_far_off_the_score_is_and_how_far_chance_reaches(folder: Make) -> None:
    # the control moves by 0.02, -0.03 and 0.025: s = sqrt(0.001925 / 3) = 0.0253311, and t of 95 % at 3 is 3.182446,
    # so over 3 rounds chance reaches 3.182446 * 0.0253311 / sqrt(3) = 0.0465
    said = accuracy(make_accuracy_folder(folder)).sentence
    assert said.startswith(
        "Accuracy: shown. Every step is the same to rounding: the error of the gradients against float64 and the error "
        "of the update against float64 are no worse than 1.10.0's. Final mAP50 is on average 1.5 points lower, no more "
        "than chance: one rounding in the initial weights alone may move it by 4.7 points "
    )
    assert said.endswith("in the control A/A moved it by up to 3.0 points.")


def test_a_better_score_that_chance_does_not_explain_is_said_to_do_no_harm(folder: Make) -> None:
    said = accuracy(make_accuracy_folder(folder, scores={**QUIET, "1.12.1": [0.45, 0.65, 0.55]})).sentence
    assert says(said, "Accuracy: shown. ", "15.0 points higher", "does no harm", "may move it by 0.3 points")
    assert "no more than chance" not in said


def test_accuracy_by_the_score_says_so_and_nothing_of_steps(folder: Make) -> None:
    said = accuracy(make_accuracy_folder(folder, cases=["train"], scores={"1.12.1": SCORES["1.10.0"]})).sentence
    assert says(said, "Accuracy: shown. Final mAP50 is on average the same, ", "not lower by more than", "0.8 points.")
    assert "step" not in said
    better = accuracy(make_accuracy_folder(folder, cases=["train"], scores={"1.12.1": [0.9, 0.9, 0.9]})).sentence
    assert says(better, "Accuracy: shown. Final mAP50 is on average 9.5 points higher, ")


def test_what_is_not_shown_says_what_the_score_leaves_open_and_which_case_would_tell_the_step(folder: Make) -> None:
    said = accuracy(make_accuracy_folder(folder, cases=["train"])).sentence
    assert says(
        said,
        *("Accuracy: not shown. Final mAP50 is on average 1.5 points lower, and 3 ", " cannot tell"),
        *("margin of 0.8 points. ", "not known: the case fidelity tells it and was not run."),
    )


def test_what_was_not_measured_of_a_step_is_named(folder: Make) -> None:
    metrics = steps_of(STEP_ERRORS[0])["metrics"]
    said = accuracy(with_steps(folder, metrics=metrics[:-1])).sentence
    assert says(said, "Accuracy: not shown. ", "was not measured: Error of the update against float64, fp32, 96 px, ")
    assert "64 px" not in said


def test_a_step_that_is_open_is_named(folder: Make) -> None:
    results = make_accuracy_folder(folder)
    for index, factor in enumerate([0.3, 1.0, 3.0]):
        results.keep("1.12.1", index, "fidelity", **steps_of(STEP_ERRORS[index], update=factor))
    said = accuracy(results).sentence
    assert says(
        said, "the same is open: Error of the update", "64 px", "96 px", "may be worse by more than their margins"
    )


def test_a_check_of_the_step_that_does_not_hold_is_named(folder: Make) -> None:
    said = accuracy(with_steps(folder, checks=[check("failed", name="no_tensor")])).sentence
    assert says(said, "does not hold in every run: No tensor's gradient is further ", "(fidelity).")


def test_a_step_that_differs_without_rounding_is_named(folder: Make) -> None:
    prints = steps_of(STEP_ERRORS[0], exact=1.001)["fingerprints"]
    said = accuracy(with_steps(folder, fingerprints=prints)).sentence
    assert says(said, "not shown to be the same apart from rounding: Steps in float64 (fidelity) differs.")
    said = accuracy(with_steps(folder, fingerprints=prints[:1])).sentence
    assert "Steps in float64 (fidelity) differs; Detections in float64 (fidelity) was not compared." in said


def test_a_score_further_off_than_chance_is_said_beside_the_step_that_is_the_same(folder: Make) -> None:
    said = accuracy(make_accuracy_folder(folder, scores={**QUIET, "1.12.1": OFF})).sentence
    assert says(
        said,
        *("Accuracy: not shown. ", "15.0 points lower", "Every step is the same to rounding: "),
        *("The difference in Final mAP50 is more than chance: ", "0.3 points", "0.2 points."),
    )


def test_a_control_that_says_nothing_of_chance_is_said_with_why(folder: Make) -> None:
    still = accuracy(make_accuracy_folder(folder, scores={TWIN: SCORES["1.10.0"]})).sentence
    assert says(
        still, "Every step is the same", "is not known: in the control A/A one rounding", "not moved it at all."
    )
    absent = accuracy(make_accuracy_folder(folder, pins=["1.10.0", "1.12.1"])).sentence
    assert says(absent, "is not known: the control A/A has not measured it in two rounds.")


def test_what_is_worse_is_named(folder: Make) -> None:
    steps = with_steps(folder, **steps_of(STEP_ERRORS[0], update=5.0))
    assert says(accuracy(steps).sentence, "Accuracy: worse by Error of the update against float64, ")
    score = make_accuracy_folder(folder, scores={"1.12.1": [score - 0.1 for score in SCORES["1.10.0"]]})
    assert accuracy(score).sentence == "Accuracy: worse by Final mAP50."


def test_the_name_of_the_baseline_is_harmless(folder: Make) -> None:
    results = make_accuracy_folder(folder)
    (of,) = results.verdict().accuracy
    words = replace(words_of(results.matrix(), results.policy), baseline="1.10\x1b[31m\n0")
    assert "no worse than 1.10\\x1b[31m 0's." in accuracy_in_words(of, words)


# --- the verdict in one sentence ----------------------------------------------------------------------------------


def test_an_upgrade_by_the_same_step_does_not_say_that_the_score_is_within_its_margin(folder: Make) -> None:
    assert candidate(make_accuracy_folder(folder)).sentence == (
        "None of the 5 other metrics that gate is worse by more than its margin; accuracy is shown by the same step to "
        "rounding, with Final mAP50 no further off than chance."
    )


def test_an_upgrade_by_the_score_says_so(folder: Make) -> None:
    sentence = candidate(make_accuracy_folder(folder, scores={"1.12.1": SCORES["1.10.0"]})).sentence
    assert says(sentence, "None of the 6 metrics that gate ", "; accuracy is shown by Final mAP50 within its margin.")


def test_an_inconclusive_verdict_says_that_accuracy_is_not_shown_and_what_else_is_open(folder: Make) -> None:
    results = make_accuracy_folder(folder, cases=["train"])
    neither = "accuracy is shown neither by Final mAP50 within its margin nor by the same step"
    assert candidate(results).sentence == f"Insufficient evidence: {neither}."
    results.keep_all("1.12.1", map50=SCORES["1.12.1"], epoch=[30.0, 33.0, 31.0])
    assert says(candidate(results).sentence, neither, "; Epoch time may be worse by more than its margin.")


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        ({**QUIET, "1.12.1": OFF}, "but Final mAP50 is further off than chance."),
        ({TWIN: SCORES["1.10.0"]}, "but it is not known how far chance moves Final mAP50."),
    ],
)
def test_an_inconclusive_verdict_does_not_blame_a_step_that_is_the_same(
    folder: Make, scores: dict[str, list[float]], why: str
) -> None:
    sentence = candidate(make_accuracy_folder(folder, scores=scores)).sentence
    assert says(sentence, "Insufficient evidence: accuracy is not shown, as every step is the same ", why)


# --- where it stands ----------------------------------------------------------------------------------------------


def test_the_file_tells_how_accuracy_is_shown_with_its_numbers(folder: Make) -> None:
    results = make_accuracy_folder(folder)
    main([str(results.path)])
    stored = msgspec.json.decode((results.path / "verdict.json").read_bytes(), type=VerdictFile, strict=True)
    (found,) = stored.machines[0].candidates[0].accuracy
    assert (found.metric, found.case, found.shown, found.lacks) == ("map50", "train", "by the same step", [])
    assert found.rounds == 3
    assert found.difference == pytest.approx(-0.015)
    assert found.chance == pytest.approx(0.0465, abs=5e-5)
    assert found.moved == pytest.approx([0.02, -0.03, 0.025])
    (reason,) = [one for one in stored.machines[0].candidates[0].reasons if one.kind == "accuracy"]
    assert (reason.role, reason.about, reason.case) == ("tells", "map50", "train")
    assert reason.sentence == found.sentence


def test_the_file_tells_what_is_missing(folder: Make) -> None:
    found = accuracy(make_accuracy_folder(folder, cases=["train"], scores={TWIN: SCORES["1.10.0"]}))
    assert (found.shown, found.lacks, found.chance) == ("not shown", ["not run", "still control"], None)


def test_without_a_rule_no_report_says_anything_of_accuracy(folder: Make) -> None:
    results = make_accuracy_folder(folder, rule=False)
    assert candidate(results).accuracy == []
    assert not any("ccuracy" in text for text in (results.summary(), results.markdown(), results.decision()))


def test_table_terminal_and_summary_say_it_once(folder: Make) -> None:
    results = make_accuracy_folder(folder)
    said = for_markdown(accuracy(results).sentence)
    assert results.markdown().count(said) == 1
    assert f"- 1.12.1: {said}" in results.summary().splitlines()
    assert " ".join(results.terminal().split()).count("Accuracy: shown. Every step") == 1


def test_the_decision_tells_the_rule_and_what_became_of_it(folder: Make) -> None:
    text = " ".join(make_accuracy_folder(folder).decision().split())
    assert says(text, "## Decision Drivers", "Accuracy is shown by Final mAP50 within its margin, or by the same step")
    assert says(text, "moving to 1.12.1: ", "accuracy is shown by the same step")
    assert says(text, "### Consequences", "Final mAP50 by up to ", "though accuracy is shown by the same step.")
    assert says(text, "### Move to 1.12.1", "* Accuracy: shown. Every step is the same")


def test_a_score_that_shows_nothing_is_told_as_a_risk_without_an_excuse(folder: Make) -> None:
    text = make_accuracy_folder(folder, cases=["train"]).decision()
    assert "Final mAP50 by up to " in text
    assert "though accuracy" not in text


def test_the_page_says_it_with_the_reasons(folder: Make) -> None:
    results = make_accuracy_folder(folder)
    main([str(results.path)])
    assert "<li>Accuracy: shown. Every step is the same" in (results.path / "index.html").read_text(encoding="utf-8")


def test_the_evidence_has_another_digest_where_accuracy_is_shown_otherwise(folder: Make) -> None:
    results = make_accuracy_folder(folder)
    verdict = results.verdict_file()
    machine = verdict.machines[0]
    (one,) = machine.candidates
    other = msgspec.structs.replace(one.accuracy[0], shown="not shown")
    changed = msgspec.structs.replace(
        verdict,
        machines=[msgspec.structs.replace(machine, candidates=[msgspec.structs.replace(one, accuracy=[other])])],
    )
    assert evidence_digest(changed) != evidence_digest(verdict)
