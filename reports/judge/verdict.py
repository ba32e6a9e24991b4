"""The verdict per candidate, on each machine and over all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.core.spec import TWIN
from reports.evidence.figures import Matrix
from reports.evidence.store import Trouble
from reports.judge.checks import SEVERITY
from reports.judge.statements import (
    Anomalous,
    CandidateVerdict,
    CheckCell,
    CheckRow,
    Checks,
    Control,
    ControlSilent,
    Decision,
    Finding,
    MachineVerdict,
    NeverEnded,
    NothingGates,
    OfAccuracy,
    OfCheck,
    OfFinding,
    OverallVerdict,
    Reason,
    Unfinished,
    Weighed,
)


def overall_verdicts(machines: Sequence[MachineVerdict]) -> list[OverallVerdict]:
    """Every candidate over all machines."""
    found: dict[str, list[tuple[MachineVerdict, CandidateVerdict]]] = {}
    for machine in machines:
        for candidate, version in zip(machine.candidates, versions_of(machine), strict=True):
            found.setdefault(version, []).append((machine, candidate))
    return [overall(version, verdicts, len(machines)) for version, verdicts in found.items()]


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


def overall(version: str, verdicts: Sequence[tuple[MachineVerdict, CandidateVerdict]], machines: int) -> OverallVerdict:
    """One candidate over the machines that it was planned on: hold if one machine says so, upgrade if all do, else
    inconclusive."""
    said = {one.decision for _, one in verdicts}
    decision: Decision = "hold" if "hold" in said else "upgrade" if said == {"upgrade"} else "inconclusive"
    return OverallVerdict(version, decision, len(said) == 1, tuple(verdicts), machines)


def machine_verdict(
    matrix: Matrix,
    label: str,
    findings: Sequence[Finding],
    checks: Checks,
    accuracy: Mapping[str, tuple[OfAccuracy, ...]],
) -> MachineVerdict:
    """The verdict on every candidate of a matrix; `accuracy` is by candidate."""
    control = control_of(matrix, [one for one in findings if one.pin == TWIN])
    candidates = [
        candidate_verdict(
            matrix, pin, [one for one in findings if one.pin == pin], checks, control, accuracy.get(pin, ())
        )
        for pin in matrix.pins[1:]
        if pin != TWIN
    ]
    return MachineVerdict(
        label=label,
        matrix=matrix.plan.name,
        kind=matrix.plan.machine,
        hardware=tuple(matrix.hardware),
        baseline=matrix.pins[0],
        rounds=matrix.plan.rounds,
        runs=dict(matrix.count()),
        control=control,
        candidates=tuple(candidates),
    )


def control_of(matrix: Matrix, findings: Sequence[Finding]) -> Control:
    """What the baseline's second run as if it were another pin tells of the noise."""
    if any(one.tells_noise for one in findings):
        return Control("noisy", tuple(findings))
    if any(one.measured and not one.chaotic for one in findings):
        return Control("quiet", tuple(findings))
    return Control("silent" if TWIN in matrix.pins else "not planned", tuple(findings))


def candidate_verdict(
    matrix: Matrix,
    pin: str,
    findings: Sequence[Finding],
    checks: Checks,
    control: Control,
    accuracy: tuple[OfAccuracy, ...],
) -> CandidateVerdict:
    """Hold if anything that gates is worse, nothing runs, or a check breaks that holds on the baseline; upgrade if all
    that gates was shown to be no worse than its margin, or of a score that accuracy is shown otherwise, and no check to
    come out worse, beside a control that tells the noise; else inconclusive."""
    reasons = tuple(weighed(matrix, pin, findings, checks, control, accuracy))
    roles = {one.role for one in reasons}
    decision: Decision = "hold" if "holds" in roles else "inconclusive" if "keeps" in roles else "upgrade"
    return CandidateVerdict(pin, decision, reasons, tuple(findings), cannot_run(matrix, pin), accuracy)


def weighed(
    matrix: Matrix,
    pin: str,
    findings: Sequence[Finding],
    checks: Checks,
    control: Control,
    accuracy: Sequence[OfAccuracy],
) -> Iterator[Weighed]:
    """The reasons for a candidate's verdict, the gravest first. Of an open score, whether accuracy is shown takes the
    place; one that is worse speaks for itself."""
    worse = [one for one in findings if one.rules.gates and one.outcome == "worse"]
    told = [one for one in accuracy if one.shown != "worse"]
    scores = [one.score for one in told]
    open_ = [one for one in findings if one.rules.gates and not one.harmless and one not in worse + scores]
    holds: list[Reason] = [*never_ended(matrix, pin), *broken_checks(matrix, pin, checks), *map(OfFinding, worse)]
    keeps: list[Reason] = [*unfinished(matrix, pin)]
    if control.state in ("silent", "not planned"):
        keeps.append(ControlSilent(planned=control.state == "silent"))
    keeps += [one for one in told if one.shown == "not shown"]
    keeps += [*unsettled_checks(matrix, pin, checks), *map(OfFinding, open_)]
    if not any(one.rules.gates for one in findings):
        keeps.append(NothingGates())
    tells: list[Reason] = [one for one in told if one not in keeps]
    tells += [OfFinding(one) for one in findings if one not in worse and one not in open_]
    tells += [one for one in failed_checks(matrix, pin, checks) if one not in keeps]
    tells += anomalies_of(matrix, pin)
    yield from (Weighed(reason, "holds") for reason in holds)
    yield from (Weighed(reason, "keeps") for reason in keeps)
    yield from (Weighed(reason, "tells") for reason in tells)


# --- runs ---------------------------------------------------------------------------------------------------------


def never_ended(matrix: Matrix, pin: str) -> Iterator[NeverEnded]:
    """Cases in which no run of the pin ended well, in several rounds, while all of the baseline's did."""
    for case in matrix.plan.cases:
        own, base = matrix.runs_of(case, pin), matrix.runs_of(case, matrix.pins[0])
        failed = [one for one in own if one.status == "failed"]
        if len(own) > 1 and len(failed) == len(own) and all(one.status == "ok" for one in base):
            yield NeverEnded(case, len(own), failed[0].trouble)


def unfinished(matrix: Matrix, pin: str) -> Iterator[Unfinished]:
    """Cases in which some run of the pin or the baseline is not there."""
    for case in matrix.plan.cases:
        for name in (pin, matrix.pins[0]):
            runs = matrix.runs_of(case, name)
            absent = [one for one in runs if one.status != "ok"]
            if absent:
                statuses = tuple(dict.fromkeys(one.status for one in absent))
                yield Unfinished(case, name, name == matrix.pins[0], len(absent), len(runs), statuses)


def cannot_run(matrix: Matrix, pin: str) -> Trouble | None:
    """Why no run of the pin is possible on this machine; None where one is."""
    runs = [one for one in matrix.observations if one.spec.pin.name == pin]
    return runs[0].trouble if runs and all(one.status == "unsupported" for one in runs) else None


def anomalies_of(matrix: Matrix, pin: str) -> list[Anomalous]:
    """Anomalies in the pin's runs where the baseline's of the same round have none of their kind: an anomaly is named
    whether or not there are enough of them to be a finding."""
    base = {
        (one.spec.case, one.spec.round, each.kind)
        for one in matrix.observations
        if one.spec.pin.name == matrix.pins[0]
        for each in one.anomalies
    }
    own = [
        (one.spec.round, each)
        for one in matrix.observations
        if one.spec.pin.name == pin
        for each in one.anomalies
        if (one.spec.case, one.spec.round, each.kind) not in base
    ]
    found = []
    for kind in dict.fromkeys(each.kind for _, each in own):
        of_kind = [(index, each) for index, each in own if each.kind == kind]
        rounds, first = tuple(dict.fromkeys(index for index, _ in of_kind)), of_kind[0][1]
        found.append(Anomalous(kind, rounds, first.epoch, first.step, first.parameter))
    return found


# --- checks -------------------------------------------------------------------------------------------------------


def cells_of(matrix: Matrix, pin: str, checks: Checks) -> list[tuple[str, CheckRow, CheckCell]]:
    """All checks of a pin that were made and speak for or against it, with their cases."""
    place = matrix.pins.index(pin)
    found = [(case, row, row.cells[place]) for case, rows in checks.items() for row in rows if row.speaks]
    return [(case, row, cell) for case, row, cell in found if cell]


def breaks(matrix: Matrix, pin: str, row: CheckRow) -> bool:
    """Whether a check that gates failed in every run of a pin and held in every run of the baseline's, two at least of
    either, and the baseline's second environment does not speak against the check itself."""
    mine, base = row.cells[matrix.pins.index(pin)], row.cells[0]
    if not (row.gates and mine and base and mine.always and base.always) or TWIN in failing(matrix, row):
        return False
    return (mine.outcome, base.outcome) == ("failed", "held")


def broken_checks(matrix: Matrix, pin: str, checks: Checks) -> list[OfCheck]:
    """The checks of which a candidate breaks what the baseline keeps."""
    return [
        of_check(matrix, pin, case, row, cell)
        for case, row, cell in cells_of(matrix, pin, checks)
        if breaks(matrix, pin, row)
    ]


def unsettled_checks(matrix: Matrix, pin: str, checks: Checks) -> list[OfCheck]:
    """The checks that gate and stand in the way of an upgrade without holding it: what a candidate's runs could not
    tell, or came out worse than on the baseline in fewer runs than `breaks` asks for."""
    return [
        of_check(matrix, pin, case, row, cell)
        for case, row, cell in cells_of(matrix, pin, checks)
        if row.gates and not breaks(matrix, pin, row) and (cell.outcome == "open" or worse_than(cell, row.cells[0]))
    ]


def failed_checks(matrix: Matrix, pin: str, checks: Checks) -> list[OfCheck]:
    """The checks that failed in some run of a pin, without those that hold it."""
    return [
        of_check(matrix, pin, case, row, cell)
        for case, row, cell in cells_of(matrix, pin, checks)
        if cell.outcome == "failed" and not breaks(matrix, pin, row)
    ]


def worse_than(cell: CheckCell, base: CheckCell | None) -> bool:
    """Whether a check came out worse than on the baseline, or as badly in a larger part of the runs. A baseline of
    which no run ended well is no measure."""
    if base is None or cell.outcome == "held":
        return False
    mine, other = SEVERITY.index(cell.outcome), SEVERITY.index(base.outcome)
    return mine < other or (mine == other and cell.alike * base.runs > base.alike * cell.runs)


def of_check(matrix: Matrix, pin: str, case: str, row: CheckRow, cell: CheckCell) -> OfCheck:
    """A check of a pin as a reason, with a word where it failed without any change of version."""
    as_on = [name for name in failing(matrix, row) if name in (matrix.pins[0], TWIN) and name != pin]
    return OfCheck(case, row, cell, row.cells[0], tuple(as_on) if cell.outcome == "failed" else ())


def failing(matrix: Matrix, row: CheckRow) -> list[str]:
    """The pins of which some run failed a check."""
    return [pin for pin, cell in zip(matrix.pins, row.cells, strict=True) if cell and cell.outcome == "failed"]
