"""The verdict per candidate, its reasons in sentences, and `verdict.json`."""

from __future__ import annotations

import math
from typing import Literal, Optional

from harness.core.policy import Policy
from harness.core.spec import TWIN, Strict
from reports.calibration import Calibration
from reports.figures import Matrix, Observation
from reports.findings import NOISY, Finding
from reports.text import one_line
from reports.text import sentence as ended

SCHEMA = 1
Decision = Literal["upgrade", "hold", "inconclusive"]


class StoredFinding(Strict, frozen=True):
    """One finding. Numbers are shares where `compared` is `ratio` (0.03: 3 % more than the baseline), else in `unit`;
    null where there is none. `level` is the chance with which the interval misses the true value (Holm), `smallest`
    the smallest effect that would have been found with 80 % power, `further` the further pairs that would settle an
    inconclusive finding (null: settled, or none would), `n` the pairs that it rests on, in `pairs`."""

    metric: str
    case: str
    compared: str
    unit: str
    better: str
    gates: bool
    margin: float
    finding: str
    measured: bool
    n: int
    pairs: str
    estimate: Optional[float]
    low: Optional[float]
    high: Optional[float]
    level: Optional[float]
    smallest: Optional[float]
    further: Optional[int]
    reason: str


class CandidateVerdict(Strict, frozen=True):
    """A candidate's verdict, the reasons for it in sentences, and what it rests on."""

    pin: str
    verdict: Decision
    reasons: list[str]
    findings: list[StoredFinding]


class Control(Strict, frozen=True):
    """The baseline against itself: `quiet` as long as no metric tells the two apart; `sentence` says so."""

    quiet: bool
    sentence: str
    findings: list[StoredFinding]


class VerdictFile(Strict, frozen=True):
    """The whole of verdict.json. `policy` is the digest of policy.toml as it was when this was written; `calibration`
    what `nox -s calibrate` has shown on this machine, or null."""

    schema: int
    matrix: str
    machine: str
    hardware: list[str]
    baseline: str
    policy: str
    error_rate: float
    rounds: int
    runs: dict[str, int]
    control: Control
    candidates: list[CandidateVerdict]
    calibration: Optional[Calibration]
    calibration_sentence: str


def verdict_of(
    matrix: Matrix, policy: Policy, findings: list[Finding], calibration: Calibration | None, calibrated: str
) -> VerdictFile:
    """The verdict on every candidate of a matrix."""
    control = control_of(matrix, [one for one in findings if one.pin == TWIN])
    candidates = [
        candidate_verdict(matrix, pin, [one for one in findings if one.pin == pin], control)
        for pin in matrix.pins[1:]
        if pin != TWIN
    ]
    return VerdictFile(
        schema=SCHEMA,
        matrix=matrix.plan.name,
        machine=matrix.plan.machine,
        hardware=list(dict.fromkeys(one.hardware for one in matrix.observations if one.hardware)),
        baseline=matrix.pins[0],
        policy=policy.digest(),
        error_rate=policy.error_rate,
        rounds=matrix.plan.rounds,
        runs={str(status): count for status, count in matrix.count().items()},
        control=control,
        candidates=candidates,
        calibration=calibration,
        calibration_sentence=calibrated,
    )


def control_of(matrix: Matrix, findings: list[Finding]) -> Control:
    """What the baseline's second run as if it were another pin tells of the noise."""
    alarms = [one for one in findings if one.alarms]
    known = [one for one in findings if one.measured]
    stored = [stored_finding(one) for one in findings]
    if alarms:
        said = "; ".join(f"{one.quantity.title} {one.effect()}" for one in alarms)
        sentence = (
            f"NOISE: the baseline {matrix.pins[0]} differs from itself ({said}). What candidates differ by in these "
            "metrics and is not clear of that is inconclusive: run again on a quieter machine."
        )
    elif known:
        sentence = f"The control A/A is quiet: {matrix.pins[0]} differs from itself in none of {len(known)} metrics."
    else:
        sentence = "The control A/A measured nothing that can be compared: this machine's noise is not known."
    return Control(bool(known) and not alarms, sentence, stored)


def candidate_verdict(matrix: Matrix, pin: str, findings: list[Finding], control: Control) -> CandidateVerdict:
    """Hold if anything that gates is worse or nothing runs; upgrade if all that gates was shown to be no worse than its
    margin, beside a control that tells the noise; else inconclusive."""
    gating = [one for one in findings if one.policy.gates]
    worse = [one for one in gating if one.outcome == "worse"]
    open_ = [one for one in gating if not one.harmless and one.outcome != "worse"]
    broken = never_ran(matrix, pin)
    unsound = unfinished(matrix, pin) + ([] if any(one.measured for one in control.findings) else [control.sentence])
    decision: Decision
    if worse or broken:
        decision = "hold"
    elif open_ or unsound or not gating:
        decision = "inconclusive"
    else:
        decision = "upgrade"
    reasons = [*broken, *map(reason_of, worse), *unsound, *map(reason_of, open_)]
    reasons += [reason_of(one) for one in findings if one not in worse and one not in open_]
    reasons += anomalies_of(matrix, pin)
    return CandidateVerdict(pin, decision, reasons, [stored_finding(one) for one in findings])


def never_ran(matrix: Matrix, pin: str) -> list[str]:
    """Cases in which no run of the pin ended well, in several rounds, while all of the baseline's did."""
    said = []
    for case in matrix.plan.cases:
        own, base = runs_of(matrix, case, pin), runs_of(matrix, case, matrix.pins[0])
        failed = [one for one in own if one.status == "failed"]
        if len(own) > 1 and len(failed) == len(own) and all(one.status == "ok" for one in base):
            why = ended(failed[0].reason)
            said.append(f"None of its {len(own)} runs of {case} ended well, all of the baseline's did: {why}")
    return said


def unfinished(matrix: Matrix, pin: str) -> list[str]:
    """Cases in which some run of the pin or the baseline is not there."""
    said = []
    for case in matrix.plan.cases:
        for name, whose in ((pin, "its"), (matrix.pins[0], "the baseline's")):
            runs = runs_of(matrix, case, name)
            absent = [one for one in runs if one.status != "ok"]
            if absent:
                statuses = ", ".join(dict.fromkeys(one.status for one in absent))
                said.append(f"{len(absent)} of {whose} {len(runs)} runs of {case} are {statuses}.")
    return said


def runs_of(matrix: Matrix, case: str, pin: str) -> list[Observation]:
    """All planned runs of a cell."""
    return [one for one in matrix.observations if one.spec.case == case and one.spec.pin.name == pin]


def anomalies_of(matrix: Matrix, pin: str) -> list[str]:
    """Anomalies in the pin's runs where the baseline's of the same round have none of their kind: an anomaly is named
    whether or not there are enough of them to be a finding."""
    base = {
        (one.spec.case, one.spec.round, each.kind)
        for one in matrix.observations
        if one.spec.pin.name == matrix.pins[0]
        for each in one.anomalies
    }
    seen: dict[str, list[int]] = {}
    first: dict[str, str] = {}
    for one in matrix.observations:
        for each in one.anomalies if one.spec.pin.name == pin else ():
            if (one.spec.case, one.spec.round, each.kind) not in base:
                seen.setdefault(each.kind, []).append(one.spec.round)
                place = each.parameter or "the loss"
                first.setdefault(each.kind, f"epoch {each.epoch + 1}, step {each.step + 1}, {place}")
    return [
        f"{kind} in round(s) {', '.join(str(index + 1) for index in dict.fromkeys(rounds))}, not in the baseline's; "
        f"first in {one_line(first[kind])}."
        for kind, rounds in seen.items()
    ]


def reason_of(found: Finding) -> str:
    """A finding as a sentence."""
    title = found.quantity.title
    gate = "" if found.policy.gates else " It does not gate."
    if not found.measured:
        what = "not measured" if found.n == 0 else "inconclusive"
        return f"{title}: {what} ({one_line(found.reason).rstrip('.')}).{gate}"
    margin = margin_in_words(found)
    if found.outcome == "inconclusive":
        shown = ", though surely not worse by more than the margin" if found.harmless else ""
        numbers = f"{found.effect()} against a margin of {margin}"
        return f"{title}: inconclusive, {numbers}: {found.reason}{shown}.{could_see(found)}{more(found)}{gate}"
    return f"{title}: {found.outcome}, {found.effect()} against a margin of {margin}.{gate}"


def could_see(found: Finding) -> str:
    """The smallest effect that the pairs at hand would have shown."""
    if found.smallest is None or not math.isfinite(found.smallest) or found.smallest == 0:
        return ""
    return f" The smallest effect that these pairs would show is {found.show(found.smallest).lstrip('+')}."


def more(found: Finding) -> str:
    """How many further pairs would settle it."""
    if found.reason == NOISY:
        return ""  # that is a matter of the machine
    if found.further is None:
        return f" No bearable number of further {found.pairs} would settle it as things stand."
    return f" About {found.further} more {found.pairs if found.further > 1 else found.pairs[:-1]} would settle it."


def margin_in_words(found: Finding) -> str:
    """The margin as it is shown, without a sign."""
    return found.show(found.policy.margin).lstrip("+")


def stored_finding(found: Finding) -> StoredFinding:
    """A finding as verdict.json keeps it."""
    return StoredFinding(
        metric=found.quantity.name,
        case=found.case,
        compared=found.quantity.scale.comparison,
        unit=found.quantity.unit,
        better=found.policy.better,
        gates=found.policy.gates,
        margin=found.policy.margin,
        finding=found.outcome,
        measured=found.measured,
        n=found.n,
        pairs=found.pairs,
        estimate=found.estimate,
        low=found.low,
        high=found.high,
        level=found.level,
        smallest=found.smallest,
        further=found.further,
        reason=one_line(found.reason),
    )


def held(verdict: VerdictFile) -> bool:
    """Whether the policy says hold for some candidate."""
    return any(one.verdict == "hold" for one in verdict.candidates)
