"""`decision.md`: every sentence is that of a finding, and hostile text changes nothing of its form."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date

import pytest
from markdown_it import MarkdownIt
from msgspec.structs import replace
from results_folder import Folder, anomaly, check, environment, hashes, metric, policy, train_metrics
from saying import says

from harness.core.declaration import Case, DeclaredCheck, DeclaredFingerprint
from harness.core.policy import read_policy
from harness.core.record import Check, Fingerprint
from harness.core.spec import TWIN
from reports.__main__ import main
from reports.judge.judgement import judge
from reports.show.decision import evidence_digest, level_in_words, to_decision
from reports.show.edits import FIRST, marker, read_edits
from reports.show.findings import (
    effect,
    estimate_and_interval,
    finding_in_words,
    smallest_in_words,
    what_settles,
    words_of,
)
from reports.show.verdict_file import VerdictFile, account_of

Make = Callable[..., Folder]

SAME, WORSE, OPEN, NEVER = "1.11.0", "1.12.1", "1.13.1", "2.0.0"
ALL = {"epoch": [30.0, 31.0, 30.5], "map50": [0.8, 0.81, 0.805]}
LIMITS = "### What the evidence cannot say"
SLOWER = {**ALL, "epoch": [33.0, 34.2, 33.5]}


def judged(folder: Make, pins: list[str] | None = None, **settings: object) -> Folder:
    """Three whole rounds in which all pins are alike."""
    results = folder(pins or ["1.10.0", TWIN, SAME], rounds=3, **{"policy": policy("epoch_time", "map50"), **settings})
    for pin in results.pins:
        results.keep_all(pin, **ALL)
    return results


def four(folder: Make, **settings: object) -> Folder:
    """One candidate of each kind: equivalent, worse, inconclusive and unsupported."""
    results = judged(folder, ["1.10.0", TWIN, SAME, WORSE, OPEN, NEVER], **settings)
    results.keep_all(WORSE, **SLOWER)
    results.keep_all(OPEN, **{**ALL, "map50": [0.80, 0.86, 0.78]})
    results.refuse(NEVER, "The wheel has no sm_90.")
    return results


def part(text: str, heading: str) -> str:
    """What stands below a heading up to the next one, without the backslashes of its escapes."""
    below = text.partition(f"\n{heading}\n")[2]
    return re.split(r"^#+ ", below, maxsplit=1, flags=re.MULTILINE)[0].replace("\\", "")


def items(text: str, heading: str) -> list[str]:
    """The items of the list below a heading."""
    return [line[2:] for line in part(text, heading).splitlines() if line.startswith("* ")]


def rows(text: str, heading: str) -> list[list[str]]:
    """The rows of the table below a heading, without its head."""
    lines = [line for line in part(text, heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def of_machines(*results: Folder) -> tuple[str, VerdictFile]:
    """The decision over several machines and the verdict that it rests on."""
    account = account_of(judge([each.path for each in results], results[0].policy))
    return to_decision(account, {}), account.verdict


def sentences(results: Folder) -> dict[str, str]:
    """The sentence of the verdict on each candidate."""
    return {one.version: one.sentence for one in results.verdict_file().candidates}


def with_parts(said: list[str], *parts: str) -> list[str]:
    """Those that say all of these parts."""
    return [each for each in said if says(each, *parts)]


# --- context, drivers and options -------------------------------------------------------------------------------


def test_it_has_the_headings_of_madr_in_their_order(folder: Make) -> None:
    headings = [line for line in four(folder).decision().splitlines() if re.match("#+ [^<]", line)]
    assert headings == [
        "# PyTorch 1.10.0: move to 1.11.0, 1.12.1, 1.13.1 or 2.0.0?",
        "## Context and Problem Statement",
        "## Decision Drivers",
        "## Considered Options",
        "## Decision Outcome",
        "### Consequences",
        "### Confirmation",
        "## Pros and Cons of the Options",
        "### Stay on 1.10.0",
        "### Move to 1.11.0",
        "### Move to 1.12.1",
        "### Move to 1.13.1",
        "### Move to 2.0.0",
        "## More Information",
        LIMITS,
        "### Sign-off",
    ]


def test_the_context_says_what_was_compared_on_what_and_when(folder: Make) -> None:
    results = judged(folder, day="2026-03-01")
    results.keep(SAME, 2, metrics=train_metrics(), ended="2026-03-04T00:02:00.000+00:00")
    text = results.decision()
    told = dict(item.split(": ", 1) for item in items(text, "## Context and Problem Statement"))
    assert list(told) == ["pins", "hardware", "observed", "settings", "data", "rounds", "runs ended"]
    assert told["pins"] == "1.10.0 (baseline), A/A, 1.11.0"
    assert told["hardware"] == "AMD EPYC 7B13"
    assert told["observed"].count("torch 1.10.0 (CUDA none)") == 3
    assert {"profile quick", "1 thread", "precision fp32", "flags pinned"} <= set(told["settings"].split("; "))
    assert told["data"] == "shapes, digest 0123456789ab"
    assert told["rounds"] == "3; runs: 9 ok"
    assert told["runs ended"] == "2026-03-01 to 2026-03-04"
    assert results.verdict_file().machines[0].control.sentence in part(text, "## Context and Problem Statement")
    assert "\ndate: 2026-03-04\n---\n" in text


def test_the_drivers_are_the_margins_of_the_policy_in_words(folder: Make) -> None:
    drivers = items(
        judged(folder, policy=policy("epoch_time", "map50", idle=["map50"])).decision(), "## Decision Drivers"
    )
    assert drivers[0].endswith(" margins: Epoch time 3.0 %.")
    assert says(drivers[1], "Final mAP50", "not gate", "0.8 pt.")
    assert says(drivers[-2], "error rate", "5 %")
    assert drivers[-1].endswith(f", digest {policy('epoch_time', 'map50', idle=['map50']).digest()[:12]}.")


def test_the_options_are_to_stay_and_to_move_to_each_candidate(folder: Make) -> None:
    assert items(four(folder).decision(), "## Considered Options") == [
        "Stay on 1.10.0",
        "Move to 1.11.0",
        "Move to 1.12.1",
        "Move to 1.13.1",
        "Move to 2.0.0",
    ]


# --- the outcome ------------------------------------------------------------------------------------------------


def test_the_outcome_answers_for_each_candidate_with_the_reason_of_its_verdict(folder: Make) -> None:
    results = four(folder)
    text = results.decision()
    same, worse, open_, never = items(text, "## Decision Outcome")
    said = sentences(results)
    assert says(same, "supports moving to 1.11.0: ", said[SAME])
    assert says(worse, "Stay on 1.10.0 ", "1.12.1: ", said[WORSE])
    for answer, version in ((open_, OPEN), (never, NEVER)):
        assert answer.startswith(f"Insufficient evidence to move to {version}")
        assert answer.endswith(said[version].removeprefix("Insufficient evidence"))
    assert 'Proposed option: "Move to 1.11.0"' in text


def test_several_upgrades_are_all_named_and_the_choice_is_left_to_people(folder: Make) -> None:
    outcome = part(judged(folder, ["1.10.0", TWIN, SAME, OPEN]).decision(), "## Decision Outcome")
    assert says(outcome, "Proposed options: ", '"Move to 1.11.0"', '"Move to 1.13.1"', "left to people")


def test_without_an_upgrade_the_proposal_is_to_stay(folder: Make) -> None:
    results = judged(folder)
    results.keep_all(SAME, **SLOWER)
    assert 'Proposed option: "Stay on 1.10.0", ' in results.decision()
    assert items(results.decision(), "### Consequences") == ["None that the evidence shows."]


def test_a_baseline_alone_leaves_nothing_to_decide(folder: Make) -> None:
    text = judged(folder, ["1.10.0", TWIN]).decision()
    assert 'Proposed option: "Stay on 1.10.0", ' in text
    assert "no candidate was measured" in text
    assert items(text, "## Considered Options") == ["Stay on 1.10.0"]


# --- the evidence -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pin", [SAME, WORSE, OPEN])
def test_the_table_of_a_candidate_is_that_of_its_findings(folder: Make, pin: str) -> None:
    results = four(folder)
    found = [results.finding(name, pin) for name in ("epoch_time", "map50")]
    assert rows(results.decision(), f"### Move to {pin}") == [
        [
            one.quantity.title,
            *estimate_and_interval(one),
            level_in_words(one.level),
            margin,
            one.outcome,
            "3 rounds",
        ]
        for one, margin in zip(found, ["3.0 %", "0.8 pt"], strict=True)
    ]


def test_the_arguments_are_the_outcomes_of_the_findings(folder: Make) -> None:
    text = four(folder).decision()
    assert items(text, "### Move to 1.11.0") == ["Neutral, because equivalent: Epoch time; Final mAP50."]
    assert items(text, "### Move to 1.12.1") == [
        "Neutral, because equivalent: Final mAP50.",
        "Bad, because worse: Epoch time.",
    ]
    assert items(text, "### Move to 1.13.1") == [
        "Neutral, because equivalent: Epoch time.",
        "Open, because inconclusive: Final mAP50.",
    ]
    (never,) = items(text, "### Move to 2.0.0")
    assert with_parts([never], "Open, ", "cannot run", "The wheel has no sm_90.")
    (stay,) = items(text, "### Stay on 1.10.0")
    assert with_parts([stay], "Good, ", "worse: Epoch time of 1.12.1.")


def test_what_is_better_speaks_for_a_move_and_against_staying(folder: Make) -> None:
    results = judged(folder)
    results.keep_all(SAME, **{**ALL, "epoch": [27.0, 27.9, 27.4]})
    text = results.decision()
    assert "Good, because better: Epoch time." in items(text, "### Move to 1.11.0")
    (stay,) = items(text, "### Stay on 1.10.0")
    assert with_parts([stay], "Bad, ", "better: Epoch time of 1.11.0.")


@pytest.mark.parametrize(
    ("misses", "shown"), [(None, "—"), (0.05, "95.0 %"), (0.05 / 6, "99.2 %"), (4e-4, "99.96 %"), (1e-5, "99.999 %")]
)
def test_the_level_is_never_rounded_to_a_certainty(misses: float | None, shown: str) -> None:
    assert level_in_words(misses) == shown


# --- what it cannot say, and risks ------------------------------------------------------------------------------


def test_what_is_open_is_said_with_what_would_settle_it(folder: Make) -> None:
    results = four(folder)
    found = results.finding("map50", OPEN)
    (row,) = rows(results.decision(), LIMITS)
    assert row[:2] == ["1.13.1", "Final mAP50"]
    assert row[2] in finding_in_words(found, words_of(results.matrix(), results.policy))
    assert row[3:] == [smallest_in_words(found), what_settles(found)]
    assert str(found.further) in row[4]


@pytest.mark.parametrize(
    ("epoch", "control", "settles"),
    [
        ([30 * 1.0301, 31 * 1.0299, 30.5 * 1.02999], ALL, "no practical number of rounds"),
        (SLOWER["epoch"], {**ALL, "epoch": [34.0, 35.1, 34.6]}, "a quieter machine"),
    ],
)
def test_what_more_rounds_would_not_settle_says_what_would_or_that_nothing_does(
    folder: Make, epoch: list[float], control: dict[str, list[float]], settles: str
) -> None:
    results = judged(folder)
    results.keep_all(SAME, **{**ALL, "epoch": epoch})
    results.keep_all(TWIN, **control)
    assert [row[4] for row in rows(results.decision(), LIMITS)] == [settles]


def test_what_was_not_measured_is_one_row_with_its_reason(folder: Make) -> None:
    results = judged(folder)
    for index in range(3):
        results.fail(SAME, index)
    text = results.decision()
    (row,) = rows(text, LIMITS)
    assert row[:2] + row[3:] == ["1.11.0", "Epoch time; Final mAP50", "—", "—"]
    assert with_parts([row[2]], "not measured: failed: ", "SIGKILL")
    assert rows(text, "### Move to 1.11.0")[0] == ["Epoch time", "—", "—", "—", "3.0 %", "not measured", "0 rounds"]


def test_absent_runs_unsupported_pins_and_the_want_of_a_calibration_are_named(folder: Make) -> None:
    results = four(folder)
    results.fail(OPEN, 1)
    general, never, failed, calibration = items(results.decision(), LIMITS)
    assert "other hardware" in general
    assert with_parts([never], "2.0.0", "cannot run")
    assert with_parts([failed], "1 of the 3 `train` runs", "1.13.1 failed", "SIGKILL.")
    assert with_parts([calibration], "not been calibrated", "`nox -s calibrate`")


def test_one_round_is_said_to_decide_nothing(folder: Make) -> None:
    results = folder(["1.10.0", TWIN, SAME], policy=policy("epoch_time", "memory_growth", required=["train", "soak"]))
    for pin in results.pins:
        results.keep(pin)
    text = results.decision()
    assert says(text, "Insufficient evidence", "1.11.0")
    assert with_parts(items(text, LIMITS), "One round ", "of train.", "--rounds 3")
    one_pair, not_planned = [row[2] for row in rows(text, LIMITS)]
    assert "one pair" in one_pair
    assert with_parts([not_planned], "not measured: ", "the case soak ")


def test_metrics_of_the_policy_that_nothing_here_measures_are_named(folder: Make) -> None:
    terms = policy("epoch_time", "map50")
    terms.metrics["peak_allocated"] = terms.metrics["epoch_time"]
    said = items(judged(folder, policy=terms).decision(), LIMITS)
    assert with_parts(said, "Peak GPU memory, allocated", "not measure")


def test_of_cases_that_were_not_run_the_case_is_named_and_not_each_of_its_metrics(folder: Make) -> None:
    said = items(judged(folder, policy=read_policy()).decision(), LIMITS)
    cases = "batch-change, broken-images, converge, evaluate, fidelity, inference, resume, script, soak and two-process"
    assert with_parts(said, f"the cases {cases} ", "were not run")
    assert not with_parts(said, "Time to resume")


def test_one_case_that_was_not_run_is_named_alone(folder: Make) -> None:
    said = items(judged(folder, policy=policy("map50", "map50_spread")).decision(), LIMITS)
    assert with_parts(said, "the case converge ", "was not run")


def test_without_any_risk_that_the_evidence_shows_it_says_so(folder: Make) -> None:
    assert items(judged(folder).decision(), "### Consequences") == ["None that the evidence shows."]


def test_a_risk_is_how_far_an_open_interval_reaches_to_the_worse_side(folder: Make) -> None:
    results = judged(folder)
    results.keep_all(SAME, epoch=[30 * 0.99, 31 * 0.984, 30.5 * 0.996], map50=[0.80, 0.86, 0.78])
    epoch, points = results.finding("epoch_time", SAME), results.finding("map50", SAME)
    assert (epoch.outcome, epoch.harmless) == ("inconclusive", True)
    assert epoch.high is not None
    assert points.low is not None
    (risk,) = items(results.decision(), "### Consequences")
    assert risk.startswith("1.11.0 may be worse")
    assert says(risk, f"Epoch time by up to {epoch.show(epoch.high).lstrip('+')}, ", "within", "3.0 %; ")
    assert risk.endswith(f"Final mAP50 by up to {points.show(-points.low).lstrip('+')}.")


def test_an_open_interval_that_is_all_on_the_better_side_is_no_risk(folder: Make) -> None:
    results = judged(folder)
    results.keep_all(SAME, **{**ALL, "epoch": [30 * 0.975, 31 * 0.973, 30.5 * 0.977]})
    assert results.finding("epoch_time", SAME).outcome == "inconclusive"
    assert items(results.decision(), "### Consequences") == ["None that the evidence shows."]


def test_what_is_worse_without_gating_is_a_risk_and_holds_nothing(folder: Make) -> None:
    results = judged(folder, policy=policy("epoch_time", "map50", idle=["epoch_time"]))
    results.keep_all(SAME, **SLOWER)
    text = results.decision()
    (risk,) = items(text, "### Consequences")
    assert risk.startswith(f"1.11.0, Epoch time: worse, {effect(results.finding('epoch_time', SAME))} ")
    assert "not gate" in risk
    assert "supports moving to 1.11.0" in text


def test_anomalies_noise_and_refused_records_are_risks(folder: Make) -> None:
    results = judged(folder)
    results.keep_all(TWIN, **SLOWER)
    results.keep(SAME, 1, anomalies=[anomaly()], hashes=hashes(data="other"), environment=environment(threads=2))
    noise, seen, refused, threads = items(results.decision(), "### Consequences")
    assert with_parts([noise], "baseline", "Epoch time", "noisy")
    assert with_parts([seen], "1.11.0, non-finite gradient", "round 2", "epoch 2, step 4, stem.weight")
    assert with_parts([refused], "train 1.11.0, round 2: ", "hash of the data set", "1.10.0", "not compared")
    assert with_parts([threads], "1.11.0", "2 threads")


# --- several machines -------------------------------------------------------------------------------------------


def test_machines_that_disagree_are_quoted_and_each_has_its_evidence(folder: Make) -> None:
    one, other = judged(folder, cpu="A"), judged(folder, name="other", cpu="B", day="2026-02-02")
    other.keep_all(SAME, **SLOWER)
    text, verdict = of_machines(one, other)
    (overall,) = verdict.candidates
    assert overall.sentence.startswith("Machines disagree: upgrade on A ")
    (outcome,) = items(text, "## Decision Outcome")
    assert outcome.endswith(f" move to 1.11.0: {overall.sentence}")
    assert 'Proposed option: "Stay on 1.10.0", ' in text
    evidence = part(text, "### Move to 1.11.0")
    assert evidence.index("Evidence for 1.11.0 on A:") < evidence.index("Evidence for 1.11.0 on B:")
    assert [row[5] for row in rows(text, "### Move to 1.11.0") if row[0] == "Epoch time"] == ["equivalent", "worse"]
    (stay,) = items(text, "### Stay on 1.10.0")
    assert says(stay, "worse: Epoch time", "1.11.0 on B.")
    assert "\ndate: 2026-02-02\n" in text


def test_builds_are_named_where_there_is_one_and_versions_where_machines_have_different_ones(folder: Make) -> None:
    one = judged(folder, ["1.10.0+cu113", TWIN, "1.11.0+cu113"], cpu="A")
    other = judged(folder, ["1.10.0", TWIN, SAME], name="other", cpu="B", day="2026-02-02")
    alone = one.decision()
    assert items(alone, "## Considered Options") == ["Stay on 1.10.0+cu113", "Move to 1.11.0+cu113"]
    assert " moving to 1.11.0+cu113: " in items(alone, "## Decision Outcome")[0]
    text, _ = of_machines(one, other)
    assert items(text, "## Considered Options") == ["Stay on 1.10.0", "Move to 1.11.0"]
    assert "Evidence for 1.11.0+cu113 on A:" in text
    assert "Evidence for 1.11.0 on B:" in text


def test_two_builds_of_a_version_on_one_machine_have_each_their_evidence(folder: Make) -> None:
    results = judged(folder, ["1.10.0", TWIN, "1.11.0+cu102", "1.11.0+cu113"])
    results.keep_all("1.11.0+cu113", **{**ALL, "map50": [0.80, 0.86, 0.78]})
    text = results.decision()
    first, second = items(text, "## Decision Outcome")[:2]
    assert " supports moving to 1.11.0+cu102: " in first
    assert says(second, "Insufficient evidence", " 1.11.0+cu113: ")
    assert "### Move to 1.11.0+cu102\n" in text
    assert "### Move to 1.11.0+cu113\n" in text


def test_a_candidate_that_one_machine_was_not_asked_about_is_said_to_be_so(folder: Make) -> None:
    one, other = (
        judged(folder, ["1.10.0", TWIN, SAME, OPEN], cpu="A"),
        judged(folder, name="other", cpu="B", day="2026-02-02"),
    )
    text, _ = of_machines(one, other)
    assert with_parts(items(text, LIMITS), "1.13.1", "not planned on B")
    assert says(text, "one machine of 2", "upgrade on A")


# --- the digest of the evidence ---------------------------------------------------------------------------------


def test_the_same_records_give_the_same_file_wherever_they_lie(folder: Make) -> None:
    one, moved = four(folder), four(folder, name="moved")
    assert one.decision() == one.decision()
    assert evidence_digest(one.verdict_file()) == evidence_digest(moved.verdict_file())
    assert moved.decision().replace("Matrix moved on", "Matrix quick on") == one.decision()


def test_the_order_of_the_machines_does_not_change_the_digest(folder: Make) -> None:
    one, other = judged(folder, cpu="A"), judged(folder, name="other", cpu="B", day="2026-02-02")
    other.keep_all(SAME, **SLOWER)
    digests = {evidence_digest(of_machines(*both)[1]) for both in ((one, other), (other, one))}
    assert len(digests) == 1
    assert re.fullmatch("[0-9a-f]{12}", digests.pop())


def test_other_records_or_another_policy_have_another_digest(folder: Make) -> None:
    results = judged(folder)
    before = evidence_digest(results.verdict_file())
    results.keep_all(SAME, **{**ALL, "epoch": [30.01, 31.0, 30.5]})
    after = evidence_digest(results.verdict_file())
    results.policy = policy("epoch_time", "map50", idle=["map50"])
    assert len({before, after, evidence_digest(results.verdict_file())}) == 3


@pytest.mark.parametrize(("change", "same"), [(1e-13, True), (1e-5, False)])
def test_the_digest_bears_the_last_digits_of_another_build_of_scipy(folder: Make, change: float, same: bool) -> None:
    verdict = judged(folder).verdict_file()
    (machine,) = verdict.machines
    (candidate,) = machine.candidates
    findings = [replace(one, low=(one.low or 0) - change) for one in candidate.findings]
    moved = replace(verdict, machines=[replace(machine, candidates=[replace(candidate, findings=findings)])])
    assert (evidence_digest(moved) == evidence_digest(verdict)) == same


def test_words_are_no_evidence(folder: Make) -> None:
    verdict = judged(folder).verdict_file()
    (machine,) = verdict.machines
    (candidate,) = machine.candidates
    reworded = [replace(one, sentence="In other words.") for one in candidate.reasons]
    findings = [replace(one, title="Duration", sentence="Alike.") for one in candidate.findings]
    told = replace(candidate, sentence="Do.", reasons=reworded, findings=findings)
    changed = replace(verdict, machines=[replace(machine, candidates=[told])])
    assert evidence_digest(changed) == evidence_digest(verdict)


@pytest.mark.parametrize("losses", [[3.0, 2.5], [3.0, 2.0]])
def test_fingerprints_are_evidence_for_nothing_and_part_of_the_digest(folder: Make, losses: list[float]) -> None:
    results = judged(folder)
    before = results.verdict_file()
    for pin in results.pins:
        results.keep_prints(pin, *[{"first_losses": losses if pin == SAME else [3.0, 2.5]}] * 3)
    (argument,) = with_parts(items(results.decision(), f"### Move to {SAME}"), "Losses of the first steps (train)")
    assert argument.startswith("Neutral, ")
    assert ("step 2" in argument) == (losses[1] == 2.0)
    assert sentences(results) == {one.version: one.sentence for one in before.candidates}
    assert evidence_digest(results.verdict_file()) != evidence_digest(before)


# --- hostile text -----------------------------------------------------------------------------------------------

HOSTILE = (
    "- @octocat |`c`*d* <script>g</script> <!-- end edit: sign-off --> <!-- edit: risks -->\n"
    "---\nstatus: accepted\n---\r\n# i\n<!-- edit: context -->\n| x | y |"
)


def hostile(folder: Make) -> Folder:
    """Every name, reason and message is hostile; one candidate is worse, one failed, one cannot run."""
    terms = policy("epoch_time", "map50")
    terms.metrics[HOSTILE] = terms.metrics["map50"]
    results = judged(folder, [HOSTILE, TWIN, f"{HOSTILE} 2", SAME, f"{HOSTILE}+3", f"{HOSTILE}+4"], policy=terms)
    results.keep(TWIN, 0, environment=environment(cpu=HOSTILE), ended=HOSTILE)
    for index in range(3):
        metrics = [*train_metrics(epoch=50.0), metric(HOSTILE, HOSTILE, 1.0)]
        seen = [anomaly(HOSTILE, parameter=HOSTILE)]
        changes = {"metrics": metrics, "anomalies": seen, "checks": [check("failed", HOSTILE, HOSTILE)]}
        results.keep(f"{HOSTILE} 2", index, not_measured={"map50": HOSTILE}, **changes)
    results.fail(SAME, 1, HOSTILE)
    for build in ("+3", "+4"):
        results.refuse(f"{HOSTILE}{build}", HOSTILE)
    return results


def test_hostile_text_neither_opens_nor_ends_a_section(folder: Make) -> None:
    results = hostile(folder)
    main([str(results.path)])
    assert list(read_edits(results.path / "decision.md")) == list(FIRST)
    text = (results.path / "decision.md").read_text(encoding="utf-8")
    assert all(text.count(marker(name, end=end)) == 1 for name in FIRST for end in (False, True))


def test_hostile_text_changes_nothing_of_the_front_matter(folder: Make) -> None:
    text = hostile(folder).decision()
    assert re.findall("^---$", text, flags=re.MULTILINE) == ["---", "---"]
    head = [line for line in text.split("---\n")[1].splitlines() if not line.startswith("#")]
    assert head == ["status: proposed", "decision-makers: []", f"date: {date(2026, 1, 1)}"]


def test_hostile_text_is_shown_as_it_is_and_mentions_nobody(folder: Make) -> None:
    body = hostile(folder).decision().split("---\n", 2)[2]
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(body)
    ours = {"h1", "h2", "h3", "h4", "p", "ul", "li", "em", "code", "table", "thead", "tbody", "tr", "th", "td"}
    assert set(re.findall(r"</?([a-zA-Z0-9]+)", html)) <= ours
    assert "&lt;script&gt;g&lt;/script&gt; &lt;!-- end edit: sign-off --&gt;" in html
    assert re.search(r"@(?!\u200b)", html) is None
    assert "<li>\n<ul>" not in html
    columns = {len(re.findall("<t[hd]", row)) for row in re.findall(r"<tr>.*?</tr>", html, flags=re.DOTALL)}
    assert columns == {7, 5, 4}


# --- what will bite -------------------------------------------------------------------------------------------------


def test_what_fails_comes_in_the_order_of_what_it_costs_and_the_environment_last(
    folder: Make, declare: Callable[[str, Case], None]
) -> None:
    held, worse, both, listed = "breaks", "worse", "both", DeclaredFingerprint("libraries", "Libraries", by_name=True)
    declare(
        "sound",
        Case(checks=tuple(DeclaredCheck(name, f"It {name}") for name in (both, worse, held)), fingerprints=(listed,)),
    )
    results = folder(["1.10.0", TWIN, WORSE], rounds=2, cases=["sound"])
    for pin in results.pins:
        for index in range(2):
            new = pin == WORSE
            outcomes = {both: "failed", worse: "failed" if new and index else "held", held: "failed" if new else "held"}
            checks = [Check(name, outcome, "seen") for name, outcome in outcomes.items()]  # type: ignore[arg-type]
            library = Fingerprint("libraries", ["2.0" if new else "1.0", "3.1"], ["mkl", "gomp"])
            results.keep(pin, index, "sound", metrics=[], checks=checks, fingerprints=[library])
    bites = items(results.decision(), f"#### {WORSE}")
    assert len(bites) == 4
    for bite, start in zip(
        bites, ("It breaks", "It worse", "It both", "Libraries (sound): differs in 1 of 2"), strict=True
    ):
        assert start in bite
    assert bites[3].endswith(": mkl.")


def test_a_case_that_never_ends_well_bites_first(folder: Make) -> None:
    results = judged(folder)
    for index in range(3):
        results.fail(SAME, index)
    assert says(items(results.decision(), f"#### {SAME}")[0], "SIGKILL")
