"""How verdicts are told: their reasons, the control, and the whole in one sentence.

Text from records comes out on one line and harmless on a terminal; what shows it elsewhere escapes it once more.
"""

from __future__ import annotations

from collections.abc import Sequence

from reports.judge.statements import (
    Anomalous,
    CandidateVerdict,
    Control,
    ControlSilent,
    Finding,
    NeverEnded,
    NothingGates,
    OfAccuracy,
    OfCheck,
    OfFinding,
    OverallVerdict,
    Reason,
    Unfinished,
)
from reports.show.accuracy import accuracy_in_short, accuracy_in_words
from reports.show.checks import cell_in_words, said_in
from reports.show.findings import Words, effect, finding_in_words, margin_in_words
from reports.show.text import one_line, sentence
from reports.show.words import ended_in_words, listed_in_words, trouble_in_words


def reason_in_words(reason: Reason, words: Words) -> str:
    """A reason of a verdict as a sentence, or as several."""
    if isinstance(reason, OfFinding):
        return finding_in_words(reason.finding, words)
    if isinstance(reason, OfAccuracy):
        return accuracy_in_words(reason, words)
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
    """The verdict upgrade in one sentence. A score that is open is not among what is no worse than its margin."""
    open_ = [one.score for one in verdict.accuracy if one.shown == "by the same step"]
    gating = [one for one in verdict.findings if one.rules.gates and one not in open_]
    better = [words.title(one) for one in gating if one.outcome == "better"]
    also = [accuracy_in_short(one, words) for one in verdict.accuracy]
    also += [f"better: {listed_in_words(better)}"] if better else []
    other = "other " if open_ else ""
    said = f"None of the {len(gating)} {other}metrics that gate is worse by more than its margin"
    if len(gating) == 1:
        said = f"{words.title(gating[0])}, the only {other}metric that gates, is not worse by more than its margin"
    return f"{'; '.join([said, *also])}."


def why_inconclusive(verdict: CandidateVerdict, words: Words) -> str:
    """The verdict inconclusive in one sentence."""
    if verdict.cannot_run:
        why = trouble_in_words(verdict.cannot_run)
        return sentence(f"Insufficient evidence, as it cannot run on this hardware: {why}")
    keeping = verdict.of_role("keeps")
    open_ = [words.title(one) for one in findings_in(keeping)]
    said = [accuracy_in_short(one, words) for one in keeping if isinstance(one, OfAccuracy)]
    if open_:
        its = "its margin" if len(open_) == 1 else "their margins"
        said.append(f"{listed_in_words(open_)} may be worse by more than {its}")
    if not said:
        return f"Insufficient evidence: {reason_in_words(keeping[0], words)}"
    return f"Insufficient evidence: {'; '.join(said)}."


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
