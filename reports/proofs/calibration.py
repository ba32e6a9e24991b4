"""What `nox -s calibrate` proves: which planted faults were found, and whether a clean copy was called different.

`python -m reports.proofs.calibration results/proofs/NAME …` writes calibration.json and calibration.md beside these folders.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace as with_changes
from pathlib import Path
from typing import Optional

import msgspec
from tabulate import tabulate

from harness.core.errors import UsageError
from harness.core.files import read_text, to_json, write_atomically
from harness.core.plan import PROOFS
from harness.core.policy import Policy, read_policy
from harness.core.record import CheckOutcome, timestamp
from harness.core.settings import Strict
from harness.core.spec import TWIN, Fault
from reports.judge.checks import LEAK, CheckCell, CheckRow, checks_of
from reports.evidence.pairing import incomparable
from reports.evidence.figures import Matrix, read_matrix_figures
from reports.judge.findings import Finding, find
from reports.judge.reasons import cells_of
from reports.show.text import for_markdown, one_line

SCHEMA = 2
FILE = "calibration.json"

SHOWS = {
    "slow": ("pace",),
    "memory": ("peak_rss", "peak_reserved"),
    "leak": ("memory_growth",),
    "nan-gradient": ("gradient_anomalies",),
    "dead-branch": ("gradient_anomalies",),
    "labels": ("map50",),
}
"""The metrics in which a fault is to be found: one of them has to be called worse."""

FAILS = {"leak": LEAK}
"""How the names begin of the checks that a fault is to fail, in every run, where the proof makes them."""

SIZES = {"nan-gradient": "one, at step {:.0f}", "dead-branch": "cut off", "leak": "+{:.1%} of RSS an epoch"}


class Planted(Strict, frozen=True):
    """One fault: its size, whether it was found, and the finding that tells. Numbers as in verdict.json."""

    fault: str
    size: str
    metric: str
    found: bool
    finding: str
    shown: str
    n: int
    pairs: str
    estimate: Optional[float]
    low: Optional[float]
    high: Optional[float]


class Clean(Strict, frozen=True):
    """One metric of a clean copy of the baseline: whether it was falsely called different, and the smallest effect
    that would have been found with 80 % power."""

    metric: str
    proof: str
    alarm: bool
    shown: str
    smallest: Optional[float]
    smallest_shown: str


class CleanCheck(Strict, frozen=True):
    """One check of a clean copy of the baseline, over its runs: it is to hold in all of them."""

    check: str
    proof: str
    outcome: CheckOutcome
    shown: str


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

    def in_words(self) -> str:
        """One sentence for a verdict."""
        found = sum(one.found for one in self.planted)
        alarms = sum(one.alarm for one in self.clean)
        pace = [one for one in self.clean if one.metric.startswith("Pace")]
        seen = "; ".join(f"{one.metric} {one.smallest_shown}" for one in pace)
        missed = [one.fault for one in self.planted if not one.found]
        return (
            f"Calibrated on this machine on {self.ended[:10]}: {found} of {len(self.planted)} planted faults were found"
            + (f" (not: {', '.join(missed)})" if missed else "")
            + f", {alarms} false alarm{'' if alarms == 1 else 's'} in {len(self.clean)} comparisons of the baseline "
            + "with itself"
            + self.clean_in_words()
            + (f"; smallest effect that would have been seen: {seen}." if seen else ".")
        )

    def clean_in_words(self) -> str:
        """What became of the checks of a clean copy, as a part of a sentence; empty where none were made."""
        if not self.clean_checks:
            return ""
        failed, undecided = (sum(one.outcome == outcome for one in self.clean_checks) for outcome in ("failed", "open"))
        some = f" and {undecided} stayed open in some run" if undecided else ""
        return f", of {len(self.clean_checks)} checks of a clean copy {failed or 'none'} failed{some}"


def calibration_of(matrices: dict[str, Matrix], policy: Policy) -> Calibration:
    """What the matrices of a calibration show; each faulty copy is judged as the one candidate of a matrix."""
    planted: list[Planted] = []
    clean: list[Clean] = []
    clean_checks: list[CleanCheck] = []
    for proof, matrix in matrices.items():
        refused = incomparable(matrix)
        checks = checks_of(matrix, policy)
        faults = {one.spec.pin.name: one.spec.fault for one in matrix.observations}
        for pin in matrix.pins[1:]:
            fault = faults.get(pin)
            small = restricted(matrix, [matrix.pins[0], TWIN, pin])
            findings = [one for one in find(small, policy, refused) if one.pin == pin]
            cells = cells_of(matrix, pin, checks)
            if fault:
                planted.append(planted_in_checks(fault, cells) or planted_of(fault, findings))
            elif pin == TWIN:
                clean += [clean_of(proof, one) for one in findings if one.measured]
                clean_checks += [
                    CleanCheck(row.name, proof, cell.outcome, cell.in_words()) for _, row, cell in cells if row.gates
                ]
    some = next(iter(matrices.values()))
    hardware = dict.fromkeys(name for matrix in matrices.values() for name in matrix.hardware)
    return Calibration(
        schema=SCHEMA,
        ended=timestamp(),
        baseline=some.pins[0],
        device=some.plan.runs[0].device,
        hardware=list(hardware),
        policy=policy.digest(),
        planted=planted,
        clean=clean,
        clean_checks=clean_checks,
    )


def restricted(matrix: Matrix, pins: list[str]) -> Matrix:
    """The matrix as if only these pins had been planned."""
    plan = msgspec.structs.replace(matrix.plan, pins=[pin for pin in matrix.plan.pins if pin.name in pins])
    return with_changes(
        matrix, plan=plan, observations=[one for one in matrix.observations if one.spec.pin.name in pins]
    )


def planted_of(fault: Fault, findings: list[Finding]) -> Planted:
    """Whether a fault was found: called worse in one of the metrics that it is to show in."""
    able = [one for one in findings if one.quantity.name in SHOWS[fault.kind] and one.case]
    worse = [one for one in able if one.outcome == "worse"]
    telling = (worse or sorted(able, key=lambda one: not one.measured) or findings)[0]
    return Planted(
        fault=fault.kind,
        size=SIZES.get(fault.kind, "{:.0%}").format(fault.size),
        metric=telling.title,
        found=bool(worse),
        finding=telling.outcome if telling.measured else "not measured",
        shown=telling.effect(),
        n=telling.n,
        pairs=telling.pairs,
        estimate=telling.estimate,
        low=telling.low,
        high=telling.high,
    )


def planted_in_checks(fault: Fault, cells: Sequence[tuple[str, CheckRow, CheckCell]]) -> Planted | None:
    """Whether the check that a fault is to fail failed in every run; None where the proof does not make it."""
    for _, row, cell in cells:
        if fault.kind in FAILS and row.name.startswith(FAILS[fault.kind]):
            return Planted(
                fault=fault.kind,
                size=SIZES[fault.kind].format(fault.size),
                metric=row.name,
                found=cell.outcome == "failed" and cell.always,
                finding=cell.in_words(),
                shown=cell.said[0] if cell.said else "",
                n=cell.runs,
                pairs="runs",
                estimate=None,
                low=None,
                high=None,
            )
    return None


def clean_of(proof: str, found: Finding) -> Clean:
    """One metric of the baseline against itself."""
    return Clean(
        metric=found.title,
        proof=proof,
        alarm=found.alarms,
        shown=found.effect(),
        smallest=found.smallest,
        smallest_shown=found.show(found.smallest) if found.smallest is not None else "",
    )


def to_markdown(calibration: Calibration) -> str:
    """The table of faults and that of false alarms."""
    faults = [
        [
            for_markdown(cell)
            for cell in (
                one.fault,
                one.size,
                one.metric,
                "found" if one.found else f"not found: {one.finding}",
                one.shown,
                f"{one.n} {one.pairs}",
            )
        ]
        for one in calibration.planted
    ]
    clean = [
        [
            for_markdown(cell)
            for cell in (one.metric, one.proof, "FALSE ALARM" if one.alarm else "quiet", one.shown, one.smallest_shown)
        ]
        for one in calibration.clean
    ]
    checks = [[for_markdown(cell) for cell in (one.check, one.proof, one.shown)] for one in calibration.clean_checks]
    heads = (
        ["planted fault", "size", "found by", "outcome", "estimate [interval]", "pairs"],
        ["baseline against itself", "proof", "outcome", "estimate [interval]", "smallest effect seen with 80 % power"],
        ["check of a clean copy", "proof", "outcome"],
    )
    tables = [
        tabulate(rows, headers=head, tablefmt="pipe", disable_numparse=True)
        for head, rows in zip(heads, (faults, clean, checks), strict=True)
        if rows
    ]
    title = f"# Calibration: {for_markdown(calibration.baseline)} on {for_markdown(', '.join(calibration.hardware))}"
    return "\n\n".join([title, for_markdown(calibration.in_words()), *tables]) + "\n"


def read_calibration(results: Path, matrix: Matrix, policy: Policy) -> tuple[Calibration | None, str]:
    """The calibration of the machine that a matrix ran on, if there is one, and the sentence for its verdict."""
    path = results.parent / PROOFS / FILE
    if not path.exists():
        return None, "The instrument has not been calibrated on this machine: `nox -s calibrate` does it."
    try:
        calibration = msgspec.json.decode(read_text(path, "the calibration").encode(), type=Calibration)
    except msgspec.DecodeError as error:
        return None, f"{path} cannot be used ({one_line(str(error))}): run `nox -s calibrate` again."
    if not set(matrix.hardware) & set(calibration.hardware):
        return None, "The calibration at hand is of another machine: run `nox -s calibrate` on this one."
    if calibration.schema != SCHEMA or calibration.policy != policy.digest():
        return None, "The calibration at hand is by another policy or version: run `nox -s calibrate` again."
    return calibration, calibration.in_words()


def main(arguments: list[str]) -> int:
    """Exit code 0 when every fault was found, 1 when some was not, 2 for bad input, 3 where runs are missing."""
    folders = [Path(argument) for argument in arguments]
    try:
        if not folders:
            raise UsageError("Name the results folders of a calibration: nox -s calibrate does.")
        matrices = {folder.name: read_matrix_figures(folder) for folder in folders}
        calibration = calibration_of(matrices, read_policy())
        text = to_markdown(calibration)
        write_atomically(folders[0].parent / FILE, to_json(calibration))
        write_atomically(folders[0].parent / "calibration.md", text.encode())
    except UsageError as error:
        print(f"error: {one_line(str(error), 2000)}", file=sys.stderr)
        return 2
    print(text)
    print(f"wrote {folders[0].parent / FILE}\nwrote {folders[0].parent / 'calibration.md'}")
    if any(one.status != "ok" for matrix in matrices.values() for one in matrix.observations):
        return 3
    return 0 if all(one.found for one in calibration.planted) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
