"""Every sentence about findings, checks, reasons, the control and verdicts: kinds with numbers in, words out.

Text from records comes out on one line and harmless on a terminal; what shows it elsewhere escapes it once more.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.cases import read_case
from harness.core.declaration import BySpread, ByTrend, DeclaredCheck
from harness.core.policy import Policy
from reports.evidence.figures import Absent, Matrix
from reports.evidence.pairing import HASHES, Refusal
from reports.evidence.store import Trouble
from reports.evidence.units import UNITS, guess, signed
from reports.judge.statements import (
    Anomalous,
    CandidateVerdict,
    CheckCell,
    CheckRow,
    Control,
    ControlSilent,
    DidNotGrow,
    Finding,
    Grew,
    Growth,
    Likeness,
    NeverEnded,
    NoSpread,
    NothingGates,
    NotMade,
    OfCheck,
    OfFinding,
    OverallVerdict,
    Reason,
    Said,
    Seen,
    Sight,
    Spread,
    Unfinished,
    Untold,
    Why,
)
from reports.judge.statistics import less
from reports.judge.verdict import without_build
from reports.show.text import LONGEST, one_line, sentence

WIDE = 0.1
"""From which margin on its two ends are said apart, of a ratio."""

NOT_MEASURED = "not measured"
"""What stands for a figure that an ok run does not have, and for a finding without an estimate."""

ABSENT = {
    "unlearnt": "it never left 0 in any run: nothing was learnt that could be compared",
    "unchanged": "it is exactly 0 in every run: nothing was learnt, or nothing was changed",
    "lonely": "one seed has no spread",
    "no samples": "the record holds no samples",
    "not finite": "its samples are not all finite numbers",
    "nothing said": "the record has neither a figure nor a reason",
}
"""Why a run has no figure, where no number tells it."""

WHY = {
    "noisy": "the baseline differs from itself as much",
    "margin open": "the two differ, but it is open whether by more than the margin",
    "both sides": "too few or too noisy pairs to tell",
    "one side": "the interval reaches beyond the margin on one side",
    "one pair": "one pair of runs decides nothing",
    "spread needs three": "a spread needs three pairs of runs that differ",
    "no pair": "none of its runs can be paired with one of the baseline's",
}
"""Why a finding is inconclusive, where nothing else tells it."""

UNTOLD = {
    "no series": "the record holds no series of it",
    "no starts": "the record does not say in which epochs a process began",
    "no warm-up": "what was asked for does not say how long the warm-up is",
    "gaps": "some epoch after the warm-up has no figure",
    "too short": "too short: {epochs} epochs in one process after warm-up, and it takes {needed}",
    "few epochs": "{epochs} epochs, and it cannot fire in fewer than {needed}",
    "no row": "{epochs} epochs, but in no process {needed} looks in a row",
}
"""Why a series tells nothing of a check."""

NOT_COMPARED = {
    "": "not compared",
    "no run": "not compared: no round in common",
    "refused": "not compared: not known to be the same work",
    "not recorded": "not recorded",
}
"""Why there is nothing to say of a fingerprint of two pins."""

ENDED = {"failed": "failed", "missing": "{are} missing", "unsupported": "{are} unsupported"}
"""What became of runs, as the end of a sentence."""


@dataclass(frozen=True)
class Words:
    """What the sentences about one machine need to know beside what they say."""

    baseline: str
    shared: frozenset[str]
    """The metrics that several cases declare, of those in the matrix or required: their titles name the case."""
    error_rate: float

    def title(self, found: Finding) -> str:
        """The metric's title, with the case where others have it too."""
        case = f" ({found.case})" if found.case and found.quantity.name in self.shared else ""
        return found.quantity.title + case

    def name(self, found: Finding) -> str:
        """The title, with a word where the metric does not gate."""
        return self.title(found) + ("" if found.rules.gates else " (does not gate)")

    def check(self, row: CheckRow, case: str) -> str:
        """What a check says has to hold, on one line."""
        return check_title(row.name, row.declared, case, row.yardstick, self.error_rate)

    def check_of(self, row: CheckRow, case: str) -> str:
        """The same with its case."""
        return f"{self.check(row, case)} ({case})"


def words_of(matrix: Matrix, policy: Policy) -> Words:
    """The words of one machine."""
    cases = dict.fromkeys([*matrix.plan.cases, *policy.required])
    having = Counter(metric.name for case in cases for metric in read_case(case).metrics)
    shared = frozenset(name for name, cases in having.items() if cases > 1)
    return Words(matrix.pins[0], shared, policy.error_rate)


def shown_as(pins: Sequence[str]) -> str:
    """One pin by its name; those that differ between machines by their versions."""
    return pins[0] if len(set(pins)) == 1 else " and ".join(dict.fromkeys(map(without_build, pins)))


def listed_in_words(words: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`; with `last` in place of `and`."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def some(names: Sequence[str], most: int = 6) -> str:
    """The first of many names, and how many more there are."""
    more = [f"and {len(names) - most:,} more"] if len(names) > most else []
    return "; ".join([*names[:most], *more])


def counted(number: int, noun: str) -> str:
    """`1 round`, `3 rounds`; the noun is given as more than one."""
    return f"{number:,} {noun.removesuffix('s') if number == 1 else noun}"


# --- why there is nothing -----------------------------------------------------------------------------------------


def trouble_in_words(trouble: Trouble | None, longest: int = LONGEST) -> str:
    """Why a run is not ok, on one line of at most so many characters."""
    if trouble is None:
        return ""
    if trouble.kind == "not done":
        return "There is no record of it: the run was not done."
    if trouble.kind == "stale":
        what = f"{trouble.detail} of the record" if trouble.detail else "the identity that the record carries"
        return f"stale: {what} and of the plan differ, so the run has to be done again."
    reason = trouble.detail if trouble.kind == "recorded" else "The record gives no reason."
    return one_line(f"{reason} Its log ends with: {trouble.log}" if trouble.log else reason, longest)


def absent_in_words(absent: Absent, longest: int = LONGEST) -> str:
    """Why a run has no figure of a metric, on one line of at most so many characters."""
    if absent.kind == "recorded":
        return one_line(absent.detail, longest)
    if absent.kind in ABSENT:
        return ABSENT[absent.kind]
    recorded = "a sample of it was recorded" if absent.kind == "too large" else "it was recorded"
    return one_line(f"{recorded} as {absent.detail}, which cannot be true")


def why_in_words(why: Why | None) -> str:
    """Why a finding is inconclusive, as a part of a sentence; empty where it is not."""
    if why is None:
        return ""
    if why.kind == "absent" and why.absent:
        return absent_in_words(why.absent)
    if why.kind == "run":
        return f"{why.status}: {trouble_in_words(why.trouble)}"
    if why.kind == "case not planned":
        return f"the case {why.case} is not part of this matrix"
    return WHY[why.kind]


def refusal_in_words(refusal: Refusal) -> str:
    """What two records do not share, up to the name of the second."""
    if not refusal.differing:
        return "there are no hashes here or in"
    differs = "differs from that in" if len(refusal.differing) == 1 else "differ from those in"
    return f"the {' and the '.join(map(differing_in_words, refusal.differing))} {differs}"


def differing_in_words(name: str) -> str:
    """One thing that two records do not share."""
    return one_line(HASHES.get(name, name))


# --- findings -----------------------------------------------------------------------------------------------------


def estimate_and_interval(found: Finding) -> tuple[str, str]:
    """Estimate and interval: `+4.1 %` and `[+2.0 %, +6.3 %]`; what was not measured has no interval."""
    if found.estimate is None or found.low is None or found.high is None:
        return NOT_MEASURED, ""
    return found.show(found.estimate), f"[{found.show(found.low)}, {found.show(found.high)}]"


def effect(found: Finding) -> str:
    """Estimate and interval in one: `+4.1 % [+2.0 %, +6.3 %]`."""
    return " ".join(filter(None, estimate_and_interval(found)))


def margin_in_words(found: Finding) -> str:
    """The margin as it is shown, without a sign."""
    return found.show(found.rules.margin).lstrip("+")


def smallest_in_words(found: Finding) -> str:
    """The smallest effect that the pairs at hand would have shown; empty where there is none."""
    if found.smallest is None or not math.isfinite(found.smallest) or found.smallest == 0:
        return ""
    return found.show(found.smallest).lstrip("+")


def why_open(found: Finding) -> str:
    """Why a finding is inconclusive, or there is none."""
    why = why_in_words(found.why)
    if not found.measured:
        return f"{NOT_MEASURED}: {why}" if found.n == 0 else why
    return f"{why}, though it is no worse than the margin allows" if found.harmless else why


def what_settles(found: Finding) -> str:
    """What would settle an inconclusive finding, as far as its pairs tell; empty where they tell nothing."""
    if found.why and found.why.kind == "noisy":
        return "a quieter machine"
    if found.further is not None:
        return f"about {found.further:,} more {found.pairs if found.further > 1 else found.pairs[:-1]}"
    return f"no practical number of {found.pairs}" if found.measured else ""


def finding_in_words(found: Finding, words: Words) -> str:
    """A finding as a sentence, or as several."""
    said = f"{words.title(found)}: {outcome_in_words(found)}."
    if found.measured and found.outcome == "inconclusive":
        said += could_see(found) + would_settle(found)
    return said if found.rules.gates else f"{said} It does not gate."


def outcome_in_words(found: Finding) -> str:
    """What a finding amounts to, with its numbers or why there are none."""
    if not found.measured:
        what = NOT_MEASURED if found.n == 0 else found.outcome
        return f"{what} ({why_in_words(found.why).rstrip('.')})"
    numbers = f"{found.outcome}, {effect(found)} against a margin of {margin_in_words(found)}{other_end(found)}"
    return f"{numbers}: {why_open(found)}" if found.outcome == "inconclusive" else numbers


def other_end(found: Finding) -> str:
    """The other end of a wide margin of a ratio, where the estimate lies on that side."""
    margin = found.rules.margin
    if not found.quantity.relative or found.estimate is None or found.estimate >= 0 or margin < WIDE:
        return ""
    return f" ({found.show(less(margin))} on this side)"


def could_see(found: Finding) -> str:
    """The smallest effect that the pairs at hand would have shown, as a sentence."""
    smallest = smallest_in_words(found)
    return f" The smallest effect that these pairs would show is {smallest}." if smallest else ""


def would_settle(found: Finding) -> str:
    """How many further pairs would settle a finding, as a sentence."""
    if found.why and found.why.kind == "noisy":
        return ""  # that is a matter of the machine
    if found.further is None:
        return f" No practical number of further {found.pairs} would settle it."
    return f" {what_settles(found).capitalize()} would settle it."


# --- checks -------------------------------------------------------------------------------------------------------


def check_title(name: str, declared: DeclaredCheck | None, case: str, most: float | None, error_rate: float) -> str:
    """What a check says has to hold, on one line. `most` is what an interval has to lie below, None where there is no
    yardstick."""
    if declared is None:
        return one_line(name)
    combination = name.removeprefix(declared.name).strip("[]").replace(",", ", ")
    title = f"{declared.title}, at {combination}" if combination else declared.title
    if most is None:
        return one_line(title)
    interval = f"{(1 - error_rate) * 100:g} % interval"
    scale = UNITS["1/epoch"][0]
    if isinstance(declared.judged, BySpread):
        scale = guess(read_case(case), declared.judged.metric).scale
    limit = f"{most * scale.factor:g} {scale.unit}"
    return one_line(title.replace("{interval}", interval).replace("{most}", limit))


def yardstick_of(declared: DeclaredCheck, policy: Policy) -> float | None:
    """What an interval has to lie below by the policy; None for a check that has no yardstick."""
    judged = declared.judged
    return policy.yardsticks[judged.yardstick] if isinstance(judged, (ByTrend, BySpread)) else None


def cell_in_words(cell: CheckCell) -> str:
    """`held`, or `failed in 1 of 3 runs`."""
    return outcome_in_runs(cell.outcome, cell.alike, cell.runs)


def outcome_in_runs(outcome: str, alike: int, runs: int) -> str:
    """An outcome, and in how many of several runs it came so."""
    return outcome if runs == 1 else f"{outcome} in {alike} of {runs} runs"


def lines_of(cell: CheckCell) -> list[str]:
    """What was seen of a check on one pin, line by line."""
    return [*map(sight_in_words, cell.sights), *([f"and {cell.more} more"] if cell.more else [])]


def said_in(cell: CheckCell) -> str:
    """The same on one line and without a full stop."""
    return "; ".join(lines_of(cell)).rstrip(".")


def sight_in_words(sight: Sight) -> str:
    """What was seen, with its round where that has to be told."""
    said = one_line(seen_in_words(sight.seen))
    return said if sight.round is None else f"round {sight.round + 1}: {said}"


def seen_in_words(seen: Seen) -> str:
    """What one run, or all of a pin's, showed of a check."""
    if isinstance(seen, Said):
        return seen.text
    if isinstance(seen, NotMade):
        return "a run did not make this check"
    if isinstance(seen, Untold):
        return UNTOLD[seen.kind].format(epochs=seen.epochs, needed=seen.needed)
    return measure_in_words(seen)


def measure_in_words(seen: Growth | Spread | NoSpread | Grew | DidNotGrow) -> str:
    """What was worked out from what runs left."""
    if isinstance(seen, Growth):
        growth, low, high = (signed(f"{share * 100:+,.3f}") for share in (seen.estimate, seen.low, seen.high))
        return f"{growth} % an epoch [{low}, {high}], {seen.epochs} epochs"
    if isinstance(seen, Spread):
        spread, low, high = (seen.quantity.shown(value) for value in (seen.estimate, seen.low, seen.high))
        return f"{spread} {seen.quantity.scale.unit} [{low}, {high}], {seen.n} seeds"
    if isinstance(seen, NoSpread):
        if seen.absent:
            return absent_in_words(seen.absent)
        return f"all {seen.n} seeds end at the same value, from which no interval follows"
    if isinstance(seen, Grew):
        return f"it fires at epoch {seen.epoch + 1}: {', '.join(map(grown_by, seen.ratios))}"
    return f"{seen.epochs} epochs; the largest growth in {seen.looks} of them is {grown_by(seen.largest)}"


def grown_by(ratio: float) -> str:
    """A ratio as a growth: `+3.4 %`."""
    return signed(f"{(ratio - 1) * 100:+.1f}") + " %"


# --- reasons ------------------------------------------------------------------------------------------------------


def reason_in_words(reason: Reason, words: Words) -> str:
    """A reason of a verdict as a sentence, or as several."""
    if isinstance(reason, OfFinding):
        return finding_in_words(reason.finding, words)
    if isinstance(reason, OfCheck):
        return check_in_words(reason, words)
    if isinstance(reason, Anomalous):
        return anomaly_in_words(reason)
    return runs_in_words(reason)


def runs_in_words(reason: NeverEnded | Unfinished | ControlSilent | NothingGates) -> str:
    """What runs that are not there, or not judged, mean for a verdict."""
    if isinstance(reason, NeverEnded):
        runs = f"None of its {reason.runs} `{reason.case}` runs ended well"
        return f"{runs}, all of the baseline's did: {sentence(trouble_in_words(reason.trouble))}"
    if isinstance(reason, Unfinished):
        whose = "the baseline's" if reason.of_baseline else "its"
        ended = ended_in_words(reason.absent, reason.statuses)
        return f"{reason.absent} of {whose} {reason.runs} `{reason.case}` runs {ended}."
    if isinstance(reason, ControlSilent):
        return no_control(planned=reason.planned)
    return "No metric gates."


def ended_in_words(runs: int, statuses: Sequence[str]) -> str:
    """What became of so many runs: `failed`, `are missing`, `failed or are missing`."""
    said = [ENDED[status].format(are="is" if runs == 1 else "are") for status in statuses]
    return " or ".join(said)


def check_in_words(reason: OfCheck, words: Words) -> str:
    """A check of a pin as a sentence, with a word where it failed without any change of version, and one where the
    baseline keeps what the pin breaks."""
    said = f"{words.check_of(reason.row, reason.case)}: {cell_in_words(reason.cell)}"
    if reason.also_on:
        said += f", as on {listed_in_words(reason.also_on)}"
    elif reason.cell.outcome == "failed" and reason.base and reason.base.outcome == "held":
        said += f", but {cell_in_words(reason.base)} of {words.baseline}"
    seen = said_in(reason.cell)
    return f"{said}; {seen}." if seen else f"{said}."


def anomaly_in_words(reason: Anomalous) -> str:
    """Anomalies that the baseline does not have, as a sentence."""
    rounds = [str(index + 1) for index in reason.rounds]
    where = f"round{'s' if len(rounds) > 1 else ''} {listed_in_words(rounds)}"
    place = f"epoch {reason.epoch + 1}, step {reason.step + 1}, {one_line(reason.parameter) or 'the loss'}"
    return f"{one_line(reason.kind)} in {where}, but not in the baseline's; first in {place}."


# --- fingerprints -------------------------------------------------------------------------------------------------


def likeness_in_words(one: Likeness, *, short: bool = False) -> str:
    """What two pins have in common in one fingerprint: `bit for bit alike`, or `differs from step 3 on: 41.22 and
    41.23`, and without the values where it is to be short."""
    if one.kind == "alike":
        return "bit for bit alike"
    if one.kind == "within tolerance":
        return "alike within the tolerance" if one.largest is None else f"alike to {one.largest:.1g}"
    if one.kind == "not compared":
        return NOT_COMPARED[one.why]
    rounds = f" in {one.rounds - one.alike} of {one.rounds} rounds" if one.alike else ""
    return f"differs{rounds}" if one.place is None else place_in_words(one, rounds, short=short)


def place_in_words(one: Likeness, rounds: str, *, short: bool) -> str:
    """Where two pins differ first, with the values there unless it is to be short. Digests in order say nothing."""
    here = f"from {one_line(one.declared.counted)} {(one.place or 0) + 1} on"
    told = f"differs {f'first at {one_line(one.at)}' if one.at else here}{rounds}"
    if short or (one.values and isinstance(one.values[0], str)):
        return told
    return f"{told}: {' and '.join(apart(*one.values))}" if one.values else f"{told}, where one of the two ends"


def apart(first: float | str | None, second: float | str | None) -> tuple[str, str]:
    """Two values in as few digits, four at least, as tell them apart."""
    if not (isinstance(first, float) and isinstance(second, float)):
        return value_in_words(first), value_in_words(second)
    shown = ((f"{first:.{digits}g}", f"{second:.{digits}g}") for digits in range(4, 18))
    one, other = next((pair for pair in shown if pair[0] != pair[1]), (f"{first}", f"{second}"))
    return signed(one), signed(other)


def value_in_words(value: float | str | None) -> str:
    """A value that needs no telling apart."""
    if value is None:
        return "not finite"
    return one_line(value, 20) if isinstance(value, str) else signed(f"{value:.4g}")


# --- the control and the verdicts -----------------------------------------------------------------------------------


def no_control(*, planned: bool) -> str:
    """That the noise of a machine is not known, and why."""
    what = "measured nothing that can be compared" if planned else "was not planned"
    return f"The control A/A {what}: this machine's noise is not known."


def control_in_words(control: Control, words: Words) -> str:
    """What the baseline's second run as if it were another pin tells of the noise, in one sentence or two."""
    if control.state in ("silent", "not planned"):
        return no_control(planned=control.state == "silent")
    if control.state == "noisy":
        said = "; ".join(f"{words.title(one)} {effect(one)}" for one in control.findings if one.tells_noise)
        return (
            f"NOISE: the baseline {words.baseline} differs from itself ({said}). Where a candidate's difference in "
            "these metrics is not clear of that, it is inconclusive: run again on a quieter machine."
            + chance_in_words(control, words)
        )
    known = [one for one in control.findings if one.measured and not one.chaotic]
    open_ = sum(one.outcome == "inconclusive" for one in known)
    rest = f"{open_} of them {'is' if open_ == 1 else 'are'} inconclusive" if open_ else "all of them are equivalent"
    return (
        f"The control A/A is quiet: in none of {len(known)} metrics was {words.baseline} found better or worse than "
        f"itself; {rest}.{chance_in_words(control, words)}"
    )


def chance_in_words(control: Control, words: Words) -> str:
    """How far chance reaches in what one rounding moves, as a further sentence; empty where that is not known."""
    moved = [one for one in control.findings if one.measured and one.chaotic]
    said = "; ".join(f"{words.title(one)} {effect(one)}" for one in moved)
    return f" How far chance reaches, by weights that were nudged by one rounding: {said}." if said else ""


def verdict_in_words(verdict: CandidateVerdict, words: Words) -> str:
    """A candidate's verdict on one machine, in one sentence."""
    if verdict.decision == "hold":
        return why_hold(verdict, words)
    return why_upgrade(verdict, words) if verdict.decision == "upgrade" else why_inconclusive(verdict, words)


def findings_in(reasons: Sequence[Reason]) -> list[Finding]:
    """The findings among reasons."""
    return [reason.finding for reason in reasons if isinstance(reason, OfFinding)]


def why_hold(verdict: CandidateVerdict, words: Words) -> str:
    """The verdict hold in one sentence."""
    holding = verdict.of_role("holds")
    worse = findings_in(holding)
    if not worse:
        return reason_in_words(holding[0], words)
    first, others = worse[0], [words.title(one) for one in worse[1:]]
    also = f"; worse too: {listed_in_words(others)}" if others else ""
    return f"{words.title(first)} is worse, {effect(first)} against a margin of {margin_in_words(first)}{also}."


def why_upgrade(verdict: CandidateVerdict, words: Words) -> str:
    """The verdict upgrade in one sentence."""
    gating = [one for one in verdict.findings if one.rules.gates]
    better = [words.title(one) for one in gating if one.outcome == "better"]
    also = f"; better: {listed_in_words(better)}" if better else ""
    if len(gating) == 1:
        return f"{words.title(gating[0])}, the only metric that gates, is not worse by more than its margin{also}."
    return f"None of the {len(gating)} metrics that gate is worse by more than its margin{also}."


def why_inconclusive(verdict: CandidateVerdict, words: Words) -> str:
    """The verdict inconclusive in one sentence."""
    if verdict.cannot_run:
        why = trouble_in_words(verdict.cannot_run)
        return sentence(f"Insufficient evidence, as it cannot run on this hardware: {why}")
    keeping = verdict.of_role("keeps")
    open_ = [words.title(one) for one in findings_in(keeping)]
    if not open_:
        return f"Insufficient evidence: {reason_in_words(keeping[0], words)}"
    its = "its margin" if len(open_) == 1 else "their margins"
    return f"Insufficient evidence: {listed_in_words(open_)} may be worse by more than {its}."


def overall_in_words(verdict: OverallVerdict, sentences: Sequence[tuple[str, str]]) -> str:
    """A candidate over all machines, in one sentence. `sentences`: of each machine in `verdict.on` what it is called
    here, and what it says of the candidate."""
    if verdict.machines == 1:
        return sentences[0][1]
    which = "; ".join(
        f"{one.decision} on {where} ({one.pin}: {said.rstrip('.')})"
        for (_, one), (where, said) in zip(verdict.on, sentences, strict=True)
    )
    return f"{who_agrees(verdict)}: {which}."


def who_agrees(verdict: OverallVerdict) -> str:
    """Of how many machines the verdicts are, and whether they are the same."""
    measured, machines = len(verdict.on), verdict.machines
    if measured == machines:
        return "All machines agree" if verdict.agree else "Machines disagree"
    if measured == 1:
        return f"Measured on one machine of {machines}"
    return f"Measured on {measured} machines of {machines}, which {'agree' if verdict.agree else 'disagree'}"
