"""The verdict per candidate, on each machine and over all of them, and `verdict.json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Optional

from harness.core.policy import Policy
from harness.core.record import CheckOutcome
from harness.core.settings import Strict
from harness.core.spec import TWIN
from reports.proofs.calibration import Calibration
from reports.judge.checks import Checks
from reports.evidence.figures import Matrix
from reports.judge.findings import Finding
from reports.judge.reasons import (
    anomalies_of,
    broken_checks,
    cannot_run,
    cells_of,
    failed_checks,
    never_ran,
    reason_of,
    unfinished,
    unsettled_checks,
    why_hold,
    why_inconclusive,
    why_upgrade,
)
from reports.show.text import one_line

SCHEMA = 4
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


class StoredCheck(Strict, frozen=True):
    """One check on one pin, which may be the baseline: `failed` where it did in any run, else `open` where any could
    not tell; `alike` of its `runs` came out so, and `said` is what they saw."""

    case: str
    name: str
    pin: str
    outcome: CheckOutcome
    runs: int
    alike: int
    said: list[str]


class CandidateVerdict(Strict, frozen=True):
    """A candidate's verdict on one machine, in one sentence and in all its reasons, and what it rests on."""

    pin: str
    verdict: Decision
    sentence: str
    reasons: list[str]
    findings: list[StoredFinding]


class Control(Strict, frozen=True):
    """The baseline against itself: `quiet` as long as no metric tells the two apart; `sentence` says so."""

    quiet: bool
    sentence: str
    findings: list[StoredFinding]


class MachineVerdict(Strict, frozen=True):
    """What one results folder says, which is of one machine. `calibration` is what `nox -s calibrate` has shown there,
    or null; `kind` the kind of machine in matrix.toml; `rounds` those of the case that has the most."""

    label: str
    matrix: str
    kind: str
    hardware: list[str]
    baseline: str
    rounds: int
    runs: dict[str, int]
    control: Control
    candidates: list[CandidateVerdict]
    checks: list[StoredCheck]
    calibration: Optional[Calibration]
    calibration_sentence: str


class OverallVerdict(Strict, frozen=True):
    """A candidate over all machines. `version` is the pin's without its build (1.12.1 for 1.12.1+cu113), as builds
    differ between machines, unless one machine has several. `agree`: whether all machines say the same."""

    version: str
    verdict: Decision
    agree: bool
    sentence: str


class VerdictFile(Strict, frozen=True):
    """The whole of verdict.json. `policy` is the digest of policy.toml as it was when this was written."""

    schema: int
    policy: str
    error_rate: float
    candidates: list[OverallVerdict]
    machines: list[MachineVerdict]

    @property
    def held(self) -> bool:
        """Whether the policy says hold for some candidate."""
        return any(one.verdict == "hold" for one in self.candidates)


def verdict_of(machines: list[MachineVerdict], policy: Policy) -> VerdictFile:
    """The verdict over all machines: hold if one machine says so, upgrade if all do, else inconclusive."""
    found: dict[str, list[tuple[str, CandidateVerdict]]] = {}
    several = len({without_build(machine.baseline) for machine in machines}) > 1
    for machine in machines:
        where = f"{machine.label} against {machine.baseline}" if several else machine.label
        for candidate, version in zip(machine.candidates, versions_of(machine), strict=True):
            found.setdefault(version, []).append((where, candidate))
    return VerdictFile(
        schema=SCHEMA,
        policy=policy.digest(),
        error_rate=policy.error_rate,
        candidates=[overall(version, verdicts, len(machines)) for version, verdicts in found.items()],
        machines=machines,
    )


def versions_of(machine: MachineVerdict) -> list[str]:
    """What each candidate is called beside those of other machines: its version without the build. Two builds of one
    version on one machine are two candidates, and keep their names."""
    versions = [without_build(one.pin) for one in machine.candidates]
    return [
        one.pin if versions.count(version) > 1 else version
        for one, version in zip(machine.candidates, versions, strict=True)
    ]


def without_build(pin: str) -> str:
    """The version of a pin: 1.12.1 for 1.12.1+cu113."""
    return pin.partition("+")[0]


def shown_as(pins: Sequence[str]) -> str:
    """One pin by its name; those that differ between machines by their versions."""
    return pins[0] if len(set(pins)) == 1 else " and ".join(dict.fromkeys(map(without_build, pins)))


def overall(version: str, verdicts: list[tuple[str, CandidateVerdict]], machines: int) -> OverallVerdict:
    """One candidate over the machines that it was planned on."""
    said = {one.verdict for _, one in verdicts}
    decision: Decision = "hold" if "hold" in said else "upgrade" if said == {"upgrade"} else "inconclusive"
    if machines == 1:
        return OverallVerdict(version, decision, True, verdicts[0][1].sentence)
    which = "; ".join(f"{one.verdict} on {label} ({one.pin}: {one.sentence.rstrip('.')})" for label, one in verdicts)
    return OverallVerdict(
        version, decision, len(said) == 1, f"{who_agrees(len(said) == 1, len(verdicts), machines)}: {which}."
    )


def who_agrees(agree: bool, measured: int, machines: int) -> str:
    """Of how many machines the verdicts are, and whether they are the same."""
    if measured == machines:
        return "All machines agree" if agree else "Machines disagree"
    if measured == 1:
        return f"Measured on one machine of {machines}"
    return f"Measured on {measured} machines of {machines}, which {'agree' if agree else 'disagree'}"


def machine_verdict(
    matrix: Matrix,
    label: str,
    findings: list[Finding],
    checks: Checks,
    calibration: Calibration | None,
    calibrated: str,
) -> MachineVerdict:
    """The verdict on every candidate of a matrix."""
    control = control_of(matrix, [one for one in findings if one.pin == TWIN])
    candidates = [
        candidate_verdict(matrix, pin, [one for one in findings if one.pin == pin], checks, control)
        for pin in matrix.pins[1:]
        if pin != TWIN
    ]
    return MachineVerdict(
        label=label,
        matrix=matrix.plan.name,
        kind=matrix.plan.machine,
        hardware=matrix.hardware,
        baseline=matrix.pins[0],
        rounds=matrix.plan.rounds,
        runs={str(status): count for status, count in matrix.count().items()},
        control=control,
        candidates=candidates,
        checks=[
            StoredCheck(case, row.name, pin, cell.outcome, cell.runs, cell.alike, list(cell.said))
            for pin in matrix.pins
            for case, row, cell in cells_of(matrix, pin, checks)
        ],
        calibration=calibration,
        calibration_sentence=calibrated,
    )


def control_of(matrix: Matrix, findings: list[Finding]) -> Control:
    """What the baseline's second run as if it were another pin tells of the noise."""
    alarms = [one for one in findings if one.alarms]
    known = [one for one in findings if one.measured]
    open_ = [one for one in known if one.outcome == "inconclusive"]
    stored = [stored_finding(one) for one in findings]
    baseline = matrix.pins[0]
    if alarms:
        said = "; ".join(f"{one.title} {one.effect()}" for one in alarms)
        sentence = (
            f"NOISE: the baseline {baseline} differs from itself ({said}). What candidates differ by in these "
            "metrics and is not clear of that is inconclusive: run again on a quieter machine."
        )
    elif known:
        rest = f"{len(open_)} of them inconclusive" if open_ else "and equivalent in all of them"
        sentence = (
            f"The control A/A is quiet: {baseline} was found better or worse than itself in none of {len(known)} "
            f"metrics, {rest}."
        )
    elif TWIN in matrix.pins:
        sentence = "The control A/A measured nothing that can be compared: this machine's noise is not known."
    else:
        sentence = "The control A/A was not planned: this machine's noise is not known."
    return Control(bool(known) and not alarms, sentence, stored)


def candidate_verdict(
    matrix: Matrix, pin: str, findings: list[Finding], checks: Checks, control: Control
) -> CandidateVerdict:
    """Hold if anything that gates is worse, nothing runs, or a check breaks that holds on the baseline; upgrade if all
    that gates was shown to be no worse than its margin and no check to come out worse, beside a control that tells the
    noise; else inconclusive."""
    gating = [one for one in findings if one.policy.gates]
    worse = [one for one in gating if one.outcome == "worse"]
    open_ = [one for one in gating if not one.harmless and one.outcome != "worse"]
    broken = never_ran(matrix, pin) + broken_checks(matrix, pin, checks)
    unsound = unfinished(matrix, pin) + ([] if any(one.measured for one in control.findings) else [control.sentence])
    unsound += unsettled_checks(matrix, pin, checks)
    decision: Decision
    if worse or broken:
        decision, sentence = "hold", why_hold(worse, broken)
    elif open_ or unsound or not gating:
        decision, sentence = "inconclusive", why_inconclusive(open_, unsound, cannot_run(matrix, pin))
    else:
        decision, sentence = "upgrade", why_upgrade(gating)
    reasons = [*broken, *map(reason_of, worse), *unsound, *map(reason_of, open_)]
    reasons += [reason_of(one) for one in findings if one not in worse and one not in open_]
    reasons += [said for said in failed_checks(matrix, pin, checks) if said not in unsound]
    reasons += anomalies_of(matrix, pin)
    return CandidateVerdict(pin, decision, sentence, reasons, [stored_finding(one) for one in findings])


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
