"""`decision.md`: every sentence is that of a finding, and hostile text changes nothing of its form."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date

import pytest
from markdown_it import MarkdownIt
from msgspec.structs import replace
from results_folder import Folder, anomaly, check, environment, hashes, metric, policy, train_metrics

from harness.core.policy import read_policy
from harness.core.spec import TWIN
from reports.__main__ import main
from reports.show.decision import evidence_digest, level_in_words, to_decision
from reports.show.edits import FIRST, marker, read_edits
from reports.judge.machines import read_machines
from reports.judge.verdict import VerdictFile, verdict_of

Make = Callable[..., Folder]

SAME, WORSE, OPEN, NEVER = "1.11.0", "1.12.1", "1.13.1", "2.0.0"
ALL = {"epoch": [30.0, 31.0, 30.5], "map50": [0.8, 0.81, 0.805]}
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
    terms = results[0].policy
    machines = read_machines([each.path for each in results], terms)
    verdict = verdict_of([each.verdict for each in machines], terms)
    return to_decision(machines, verdict, terms, {}), verdict


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
        "### What the evidence cannot say",
        "### Sign-off",
    ]


def test_the_context_says_what_was_compared_on_what_and_when(folder: Make) -> None:
    results = judged(folder, day="2026-03-01")
    results.keep(SAME, 2, metrics=train_metrics(), ended="2026-03-04T00:02:00.000+00:00")
    text = results.decision()
    assert items(text, "## Context and Problem Statement") == [
        "pins: 1.10.0 (baseline), A/A, 1.11.0",
        "hardware: AMD EPYC 7B13",
        "observed: 1.11.0 ran torch 1.10.0 (CUDA none) on Python 3.9.25; "
        "A/A ran torch 1.10.0 (CUDA none) on Python 3.9.25; 1.10.0 ran torch 1.10.0 (CUDA none) on Python 3.9.25",
        "settings: profile quick; epochs 4, 64 px, batch 8, recipe short; 1 thread; precision fp32; flags pinned",
        "data: shapes, digest 0123456789ab",
        "rounds: 3; runs: 9 ok",
        "runs ended: 2026-03-01 to 2026-03-04",
    ]
    assert "The control A/A is quiet: 1.10.0 was found better or worse than itself in none of 2 metrics, and" in text
    assert "\ndate: 2026-03-04\n---\n" in text


def test_the_drivers_are_the_margins_of_the_policy_in_words(folder: Make) -> None:
    drivers = items(
        judged(folder, policy=policy("epoch_time", "map50", idle=["map50"])).decision(), "## Decision Drivers"
    )
    assert drivers[0] == "A move has to be shown to be no worse than by these margins: Epoch time 3.0 %."
    assert drivers[1] == "Judged too, but holding no move: Final mAP50 (does not gate) 0.8 pt."
    assert drivers[-2].startswith("The error rate is 5 %: ")
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
    slower = results.finding("epoch_time", WORSE).effect()
    assert items(text, "## Decision Outcome") == [
        "The evidence supports moving to 1.11.0: None of the 2 metrics that gate is worse by more than its margin.",
        f"Stay on 1.10.0 rather than move to 1.12.1: Epoch time is worse, {slower} against a margin of 3.0 %.",
        "Insufficient evidence to move to 1.13.1: Final mAP50 may be worse by more than its margin.",
        "Insufficient evidence to move to 2.0.0, as it cannot run on this hardware: The wheel has no sm_90.",
    ]
    assert 'Proposed option: "Move to 1.11.0", because the evidence supports it:' in text


def test_several_upgrades_are_all_named_and_the_choice_is_left_to_people(folder: Make) -> None:
    assert part(judged(folder, ["1.10.0", TWIN, SAME, OPEN]).decision(), "## Decision Outcome").startswith(
        '\nProposed options: "Move to 1.11.0" and "Move to 1.13.1". The evidence supports each of them; '
        "which to take is left to people:\n"
    )


def test_without_an_upgrade_the_proposal_is_to_stay(folder: Make) -> None:
    results = judged(folder)
    results.keep_all(SAME, **SLOWER)
    assert 'Proposed option: "Stay on 1.10.0", because the evidence supports no move:' in results.decision()
    assert items(results.decision(), "### Consequences") == ["None that the evidence shows."]


def test_a_baseline_alone_leaves_nothing_to_decide(folder: Make) -> None:
    text = judged(folder, ["1.10.0", TWIN]).decision()
    assert 'Proposed option: "Stay on 1.10.0", because no candidate was measured.' in text
    assert items(text, "## Considered Options") == ["Stay on 1.10.0"]


# --- the evidence -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pin", [SAME, WORSE, OPEN])
def test_the_table_of_a_candidate_is_that_of_its_findings(folder: Make, pin: str) -> None:
    results = four(folder)
    found = [results.finding(name, pin) for name in ("epoch_time", "map50")]
    assert rows(results.decision(), f"### Move to {pin}") == [
        [
            one.quantity.title,
            *one.estimate_and_interval(),
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
    assert items(text, "### Move to 2.0.0") == ["Open, because it cannot run here: The wheel has no sm_90."]
    assert items(text, "### Stay on 1.10.0") == ["Good, because it avoids what is worse: Epoch time of 1.12.1."]


def test_what_is_better_speaks_for_a_move_and_against_staying(folder: Make) -> None:
    results = judged(folder)
    results.keep_all(SAME, **{**ALL, "epoch": [27.0, 27.9, 27.4]})
    text = results.decision()
    assert "Good, because better: Epoch time." in items(text, "### Move to 1.11.0")
    assert items(text, "### Stay on 1.10.0") == ["Bad, because it forgoes what is better: Epoch time of 1.11.0."]


@pytest.mark.parametrize(
    ("misses", "shown"), [(None, "—"), (0.05, "95.0 %"), (0.05 / 6, "99.2 %"), (4e-4, "99.96 %"), (1e-5, "99.999 %")]
)
def test_the_level_is_never_rounded_to_a_certainty(misses: float | None, shown: str) -> None:
    assert level_in_words(misses) == shown


# --- what it cannot say, and risks ------------------------------------------------------------------------------


def test_what_is_open_is_said_with_what_would_settle_it(folder: Make) -> None:
    results = four(folder)
    found = results.finding("map50", OPEN)
    (row,) = rows(results.decision(), "### What the evidence cannot say")
    seen = found.show(found.smallest or 0).lstrip("+")
    assert row == ["1.13.1", "Final mAP50", found.reason, seen, f"about {found.further} more rounds"]


@pytest.mark.parametrize(
    ("epoch", "control", "settles"),
    [
        ([30 * 1.0301, 31 * 1.0299, 30.5 * 1.02999], ALL, "no bearable number of rounds, as things stand"),
        (SLOWER["epoch"], {**ALL, "epoch": [34.0, 35.1, 34.6]}, "a quieter machine"),
    ],
)
def test_what_more_rounds_would_not_settle_says_what_would_or_that_nothing_does(
    folder: Make, epoch: list[float], control: dict[str, list[float]], settles: str
) -> None:
    results = judged(folder)
    results.keep_all(SAME, **{**ALL, "epoch": epoch})
    results.keep_all(TWIN, **control)
    assert [row[4] for row in rows(results.decision(), "### What the evidence cannot say")] == [settles]


def test_what_was_not_measured_is_one_row_with_its_reason(folder: Make) -> None:
    results = judged(folder)
    for index in range(3):
        results.fail(SAME, index)
    text = results.decision()
    why = "not measured: failed: The process was ended by SIGKILL."
    assert rows(text, "### What the evidence cannot say") == [["1.11.0", "Epoch time; Final mAP50", why, "—", "—"]]
    assert rows(text, "### Move to 1.11.0")[0] == ["Epoch time", "—", "—", "—", "3.0 %", "not measured", "0 rounds"]


def test_absent_runs_unsupported_pins_and_the_want_of_a_calibration_are_named(folder: Make) -> None:
    results = four(folder)
    results.fail(OPEN, 1)
    limits = items(results.decision(), "### What the evidence cannot say")
    assert limits == [
        "Nothing was measured on other hardware, data or settings than those named above.",
        "Nothing is known of 2.0.0, which cannot run here.",
        "1 of 3 runs of train of 1.13.1 are failed: The process was ended by SIGKILL.",
        "The instrument has not been calibrated on this machine: `nox -s calibrate` does it.",
    ]


def test_one_round_is_said_to_decide_nothing(folder: Make) -> None:
    results = folder(["1.10.0", TWIN, SAME], policy=policy("epoch_time", "pace"))
    for pin in results.pins:
        results.keep(pin)
    text = results.decision()
    assert "Insufficient evidence to move to 1.11.0" in text
    assert items(text, "### What the evidence cannot say")[1].startswith("One round was run of train. One pair of runs")
    assert [row[2] for row in rows(text, "### What the evidence cannot say")] == [
        "one pair of runs decides nothing",
        "not measured: the case pace is not part of this matrix",
    ]


def test_metrics_of_the_policy_that_nothing_here_measures_are_named(folder: Make) -> None:
    terms = policy("epoch_time", "map50")
    terms.metrics["peak_allocated"] = terms.metrics["epoch_time"]
    assert "The policy judges Peak GPU memory, allocated too, which this matrix does not measure." in items(
        judged(folder, policy=terms).decision(), "### What the evidence cannot say"
    )


def test_of_cases_that_were_not_run_the_case_is_named_and_not_each_of_its_metrics(folder: Make) -> None:
    said = items(judged(folder, policy=read_policy()).decision(), "### What the evidence cannot say")
    assert (
        "The policy judges what the cases batch-change, broken-images, converge, resume, soak and two-process measure "
        "too, which were not run." in said
    )
    assert not any("Time to resume" in each for each in said)


def test_one_case_that_was_not_run_is_named_alone(folder: Make) -> None:
    said = items(judged(folder, policy=policy("map50", "map50_spread")).decision(), "### What the evidence cannot say")
    assert "The policy judges what the case converge measures too, which was not run." in said


def test_without_any_risk_that_the_evidence_shows_it_says_so(folder: Make) -> None:
    assert items(judged(folder).decision(), "### Consequences") == ["None that the evidence shows."]


def test_a_risk_is_how_far_an_open_interval_reaches_to_the_worse_side(folder: Make) -> None:
    results = judged(folder)
    results.keep_all(SAME, epoch=[30 * 0.99, 31 * 0.984, 30.5 * 0.996], map50=[0.80, 0.86, 0.78])
    epoch, points = results.finding("epoch_time", SAME), results.finding("map50", SAME)
    assert (epoch.outcome, epoch.harmless) == ("inconclusive", True)
    assert epoch.high is not None
    assert points.low is not None
    assert items(results.decision(), "### Consequences") == [
        f"1.11.0 may be worse as far as its intervals reach: Epoch time by up to {epoch.show(epoch.high).lstrip('+')}, "
        f"within the margin of 3.0 %; Final mAP50 by up to {points.show(-points.low).lstrip('+')}."
    ]


def test_an_open_interval_that_is_all_on_the_better_side_is_no_risk(folder: Make) -> None:
    results = judged(folder)
    results.keep_all(SAME, **{**ALL, "epoch": [30 * 0.975, 31 * 0.973, 30.5 * 0.977]})
    assert results.finding("epoch_time", SAME).outcome == "inconclusive"
    assert items(results.decision(), "### Consequences") == ["None that the evidence shows."]


def test_what_is_worse_without_gating_is_a_risk_and_holds_nothing(folder: Make) -> None:
    results = judged(folder, policy=policy("epoch_time", "map50", idle=["epoch_time"]))
    results.keep_all(SAME, **SLOWER)
    text = results.decision()
    slower = results.finding("epoch_time", SAME).effect()
    assert items(text, "### Consequences") == [
        f"1.11.0, Epoch time: worse, {slower} against a margin of 3.0 %. It does not gate."
    ]
    assert "The evidence supports moving to 1.11.0" in text


def test_anomalies_noise_and_refused_records_are_risks(folder: Make) -> None:
    results = judged(folder)
    results.keep_all(TWIN, **SLOWER)
    results.keep(SAME, 1, anomalies=[anomaly()], hashes=hashes(data="other"), environment=environment(threads=2))
    assert items(results.decision(), "### Consequences") == [
        "The baseline differs from itself in Epoch time: so noisy is the machine there.",
        "1.11.0, non-finite gradient in round(s) 2, not in the baseline's; first in epoch 2, step 4, stem.weight.",
        "train 1.11.0, round 2: the hash of the data set differs from that in the record of 1.10.0: the same work on "
        "the same terms was not shown, so no difference is given.",
        "1.11.0 ran on 2 threads where 1 were asked for.",
    ]


# --- several machines -------------------------------------------------------------------------------------------


def test_machines_that_disagree_are_quoted_and_each_has_its_evidence(folder: Make) -> None:
    one, other = judged(folder, cpu="A"), judged(folder, name="other", cpu="B", day="2026-02-02")
    other.keep_all(SAME, **SLOWER)
    text, verdict = of_machines(one, other)
    (overall,) = verdict.candidates
    assert overall.sentence.startswith("Machines disagree: upgrade on A ")
    assert items(text, "## Decision Outcome") == [f"Stay on 1.10.0 rather than move to 1.11.0: {overall.sentence}"]
    assert 'Proposed option: "Stay on 1.10.0", because the evidence supports no move on all machines:' in text
    evidence = part(text, "### Move to 1.11.0")
    assert evidence.index("Evidence for 1.11.0 on A:") < evidence.index("Evidence for 1.11.0 on B:")
    assert [row[5] for row in rows(text, "### Move to 1.11.0") if row[0] == "Epoch time"] == ["equivalent", "worse"]
    assert items(text, "### Stay on 1.10.0") == ["Good, because it avoids what is worse: Epoch time of 1.11.0 on B."]
    assert "\ndate: 2026-02-02\n" in text


def test_builds_are_named_where_there_is_one_and_versions_where_machines_have_different_ones(folder: Make) -> None:
    one = judged(folder, ["1.10.0+cu113", TWIN, "1.11.0+cu113"], cpu="A")
    other = judged(folder, ["1.10.0", TWIN, SAME], name="other", cpu="B", day="2026-02-02")
    alone = one.decision()
    assert items(alone, "## Considered Options") == ["Stay on 1.10.0+cu113", "Move to 1.11.0+cu113"]
    assert items(alone, "## Decision Outcome")[0].startswith("The evidence supports moving to 1.11.0+cu113: None of")
    text, _ = of_machines(one, other)
    assert items(text, "## Considered Options") == ["Stay on 1.10.0", "Move to 1.11.0"]
    assert "Evidence for 1.11.0+cu113 on A:" in text
    assert "Evidence for 1.11.0 on B:" in text


def test_two_builds_of_a_version_on_one_machine_have_each_their_evidence(folder: Make) -> None:
    results = judged(folder, ["1.10.0", TWIN, "1.11.0+cu102", "1.11.0+cu113"])
    results.keep_all("1.11.0+cu113", **{**ALL, "map50": [0.80, 0.86, 0.78]})
    text = results.decision()
    first, second = items(text, "## Decision Outcome")[:2]
    assert first.startswith("The evidence supports moving to 1.11.0+cu102: ")
    assert second.startswith("Insufficient evidence to move to 1.11.0+cu113: ")
    assert "### Move to 1.11.0+cu102\n" in text
    assert "### Move to 1.11.0+cu113\n" in text


def test_a_candidate_that_one_machine_was_not_asked_about_is_said_to_be_so(folder: Make) -> None:
    one, other = (
        judged(folder, ["1.10.0", TWIN, SAME, OPEN], cpu="A"),
        judged(folder, name="other", cpu="B", day="2026-02-02"),
    )
    text, _ = of_machines(one, other)
    assert "1.13.1 was not planned on B." in items(text, "### What the evidence cannot say")
    assert "Measured on one machine of 2: upgrade on A" in text


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
    ours = {"h1", "h2", "h3", "p", "ul", "li", "em", "code", "table", "thead", "tbody", "tr", "th", "td"}
    assert set(re.findall(r"</?([a-zA-Z0-9]+)", html)) <= ours
    assert "&lt;script&gt;g&lt;/script&gt; &lt;!-- end edit: sign-off --&gt;" in html
    assert re.search(r"@(?!\u200b)", html) is None
    assert "<li>\n<ul>" not in html
    columns = {len(re.findall("<t[hd]", row)) for row in re.findall(r"<tr>.*?</tr>", html, flags=re.DOTALL)}
    assert columns == {7, 5, 4}
