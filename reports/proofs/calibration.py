"""What `nox -s calibrate` proves: which planted faults were found, and whether a clean copy was called different."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from dataclasses import replace as with_changes
from pathlib import Path
from typing import Literal, Optional, Union

import msgspec

from harness.core.declaration import Combination
from harness.core.faults import PLANTABLE, Fault
from harness.core.files import read_text
from harness.core.plan import PROOFS
from harness.core.policy import Policy
from harness.core.record import CheckOutcome, timestamp
from harness.core.settings import Strict
from harness.core.spec import TWIN
from reports.evidence.figures import Matrix
from reports.evidence.pairing import incomparable
from reports.judge.attribution import attributions_of
from reports.judge.checks import checks_of
from reports.judge.findings import find
from reports.judge.fingerprints import likenesses_of
from reports.judge.statements import Attribution, CheckCell, CheckRow, Finding, Growth, Likeness
from reports.judge.verdict import cells_of

SCHEMA = 4
FILE = "calibration.json"


class OfMetric(Strict, frozen=True):
    """A finding, as a proof keeps it. Numbers as in `Finding`; `unit` is the recorded one."""

    case: str
    name: str
    at: Combination
    unit: str
    finding: str
    n: int
    pairs: str
    estimate: Optional[float]
    low: Optional[float]
    high: Optional[float]
    smallest: Optional[float]

    @property
    def measured(self) -> bool:
        """Whether there is any estimate."""
        return self.estimate is not None


class OfGrowth(Strict, frozen=True):
    """How much a series grew in an epoch, as a share, with its interval, over `epochs` epochs of one round; this counts
    from 0 and is None where there is one."""

    round: Optional[int]
    estimate: float
    low: float
    high: float
    epochs: int


class OfProofCheck(Strict, frozen=True):
    """A check on one pin, as a proof keeps it: its name as records have it, how many of its runs came out so, and the
    growth that was seen first, where one is looked for."""

    case: str
    name: str
    outcome: CheckOutcome
    runs: int
    alike: int
    growth: Optional[OfGrowth] = None


class OfProofPrint(Strict, frozen=True):
    """A fingerprint beside the baseline's, as a proof keeps it; `at`: what differs first."""

    case: str
    name: str
    kind: str
    rounds: int
    alike: int
    at: str


class OfProofPart(Strict, frozen=True):
    """A part of a breakdown, as a proof keeps it: by how much it is more than the baseline's, with its interval, in the
    recorded unit; `most`: whether it is the part that differs most."""

    case: str
    breakdown: str
    part: str
    value: float
    low: float
    high: float
    most: bool
    sittings: int


class Planted(Strict, frozen=True):
    """One fault and its size, whether it was found, and the finding or else the check, the fingerprint or the part that
    tells; none of them where the proof has none of those that it shows in."""

    fault: Fault
    found: bool
    metric: Optional[OfMetric] = None
    check: Optional[OfProofCheck] = None
    fingerprint: Optional[OfProofPrint] = None
    part: Optional[OfProofPart] = None


class Clean(Strict, frozen=True):
    """One metric of a clean copy of the baseline: whether it was falsely called different."""

    proof: str
    alarm: bool
    metric: OfMetric


class CleanCheck(Strict, frozen=True):
    """One check of a clean copy of the baseline, over its runs: it is to hold in all of them."""

    proof: str
    check: OfProofCheck


class Calibration(Strict, frozen=True):
    """The whole of calibration.json."""

    schema: int
    ended: str
    baseline: str
    device: str
    hardware: list[str]
    policy: str
    planted: list[Planted]
    clean: list[Clean]
    clean_checks: list[CleanCheck]

    @property
    def all_found(self) -> bool:
        """Whether every planted fault was found."""
        return all(one.found for one in self.planted)


class Stamp(msgspec.Struct):
    """The one field that is read before the rest."""

    schema: int


@dataclass(frozen=True)
class NoCalibration:
    """Why there is none that a matrix could rest on: there is no file at `path`, it cannot be used (`detail`), it is of
    another machine, or by another policy or version."""

    kind: Literal["none", "unusable", "other machine", "other rules"]
    path: Path
    detail: str = ""


def calibration_of(matrices: Mapping[str, Matrix], policy: Policy) -> Calibration:
    """What the matrices of a calibration, by proof, show; each faulty copy is judged as the one candidate of a
    matrix."""
    copies = [copy for proof, matrix in matrices.items() for copy in copies_in(proof, matrix, policy)]
    controls = [copy for copy in copies if copy.pin == TWIN]
    some = next(iter(matrices.values()))
    hardware = dict.fromkeys(name for matrix in matrices.values() for name in matrix.hardware)
    return Calibration(
        schema=SCHEMA,
        ended=timestamp(),
        baseline=some.pins[0],
        device=some.plan.runs[0].device,
        hardware=list(hardware),
        policy=policy.digest(),
        planted=[planted_in(copy.fault, copy) for copy in copies if copy.fault],
        clean=[
            Clean(copy.proof, one.alarms, kept(one))
            for copy in controls
            for one in copy.findings
            if one.measured and not one.chaotic
        ],
        clean_checks=[
            CleanCheck(copy.proof, kept_check(case, row, cell))
            for copy in controls
            for case, row, cell in copy.cells
            if row.gates
        ],
    )


@dataclass(frozen=True)
class Copy:
    """A copy of the baseline in a proof, judged as the one candidate beside the control: what was found of it."""

    proof: str
    pin: str
    fault: Fault | None
    findings: list[Finding]
    cells: Sequence[tuple[str, CheckRow, CheckCell]]
    prints: list[Likeness]
    """Its fingerprints beside the baseline's."""
    attributions: list[Attribution]


def copies_in(proof: str, matrix: Matrix, policy: Policy) -> Iterator[Copy]:
    """The copies of the baseline in one proof."""
    refused, checks, baseline = incomparable(matrix), checks_of(matrix, policy), matrix.pins[0]
    prints = [one for made in likenesses_of(matrix, refused).values() for one in made]
    faults = {one.spec.pin.name: one.spec.fault for one in matrix.observations}
    for pin in matrix.pins[1:]:
        alone = restricted(matrix, [baseline, TWIN, pin])
        found = find(alone, policy, refused)
        yield Copy(
            proof,
            pin,
            faults.get(pin),
            [one for one in found if one.pin == pin],
            cells_of(matrix, pin, checks),
            [one for one in prints if (one.first, one.second) == (baseline, pin)],
            [
                one
                for told in attributions_of(alone, refused, policy.error_rate).values()
                for one in told
                if one.pin == pin
            ],
        )


def planted_in(fault: Fault, copy: Copy) -> Planted:
    """Whether a fault was found: by the check, the fingerprint or the part that it is to show in where the proof has
    one, else by a finding."""
    return (
        planted_in_checks(fault, copy.cells)
        or planted_in_prints(fault, copy.prints)
        or planted_in_parts(fault, copy.attributions)
        or planted_of(fault, copy.findings)
    )


def restricted(matrix: Matrix, pins: list[str]) -> Matrix:
    """The matrix as if only these pins had been planned."""
    plan = msgspec.structs.replace(matrix.plan, pins=[pin for pin in matrix.plan.pins if pin.name in pins])
    return with_changes(
        matrix, plan=plan, observations=[one for one in matrix.observations if one.spec.pin.name in pins]
    )


def planted_of(fault: Fault, findings: Sequence[Finding]) -> Planted:
    """Whether a fault was found: called worse in one of the metrics that it is to show in."""
    able = [one for one in findings if one.quantity.name in PLANTABLE[fault.kind].worsens and one.case]
    worse = [one for one in able if one.outcome == "worse"]
    telling = next(iter(worse or sorted(able, key=lambda one: not one.measured)), None)
    return Planted(fault, bool(worse), metric=kept(telling) if telling else None)


def planted_in_checks(fault: Fault, cells: Sequence[tuple[str, CheckRow, CheckCell]]) -> Planted | None:
    """Whether a check that a fault is to break failed in every run; None where the proof makes none."""
    for case, row, cell in cells:
        if row.name in PLANTABLE[fault.kind].breaks:
            found = cell.outcome == "failed" and cell.always
            return Planted(fault, found, check=kept_check(case, row, cell))
    return None


def planted_in_prints(fault: Fault, prints: Sequence[Likeness]) -> Planted | None:
    """Whether a fingerprint that a fault is to alter differs from the baseline's in every round, by more than its
    tolerance; None where the proof has none."""
    for one in prints:
        if one.declared.name in PLANTABLE[fault.kind].alters and one.rounds:
            told = OfProofPrint(one.case, one.declared.name, one.kind, one.rounds, one.alike, one.at)
            return Planted(fault, one.kind == "differs" and not one.alike, fingerprint=told)
    return None


def planted_in_parts(fault: Fault, attributions: Sequence[Attribution]) -> Planted | None:
    """Whether a part that a fault is to swell is clearly more than the baseline's and differs most of all; None where
    the proof has none."""
    for one in attributions:
        for place, part in enumerate(one.parts):  # those that differ most come first
            if part.name in PLANTABLE[fault.kind].swells:
                told = OfProofPart(
                    case=one.case,
                    breakdown=one.declared.name,
                    part=part.name,
                    value=part.value,
                    low=part.low,
                    high=part.high,
                    most=place == 0,
                    sittings=one.n,
                )
                return Planted(fault, part.low > 0 and told.most, part=told)
    return None


def kept(found: Finding) -> OfMetric:
    """A finding as a proof keeps it."""
    quantity = found.quantity
    return OfMetric(
        case=found.case,
        name=quantity.name,
        at={parameter.name: value for parameter, value in quantity.at},
        unit=quantity.unit,
        finding=found.outcome,
        n=found.n,
        pairs=found.pairs,
        estimate=found.estimate,
        low=found.low,
        high=found.high,
        smallest=found.smallest,
    )


def kept_check(case: str, row: CheckRow, cell: CheckCell) -> OfProofCheck:
    """A check as a proof keeps it."""
    first = next((sight for sight in cell.sights if isinstance(sight.seen, Growth)), None)
    growth = OfGrowth(first.round, **asdict(first.seen)) if first else None
    return OfProofCheck(case, row.name, cell.outcome, cell.runs, cell.alike, growth)


def read_calibration(results: Path, matrix: Matrix, policy: Policy) -> Union[Calibration, NoCalibration]:
    """The calibration of the machine that a matrix ran on, or why there is none."""
    path = results.parent / PROOFS / FILE
    if not path.exists():
        return NoCalibration("none", path)
    try:
        text = read_text(path, "the calibration").encode()
        if msgspec.json.decode(text, type=Stamp).schema != SCHEMA:
            return NoCalibration("other rules", path)
        calibration = msgspec.json.decode(text, type=Calibration)
    except msgspec.DecodeError as error:
        return NoCalibration("unusable", path, str(error))
    if not set(matrix.hardware) & set(calibration.hardware):
        return NoCalibration("other machine", path)
    if calibration.policy != policy.digest():
        return NoCalibration("other rules", path)
    return calibration
