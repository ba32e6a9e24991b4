"""Machines: results folders, each of one machine, judged by one policy, and whether they may stand in one report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.policy import Policy
from harness.core.record import Hashes
from reports.evidence.figures import Matrix, Observation, read_matrix_figures
from reports.evidence.pairing import HASHES, Refused, differing_hashes, incomparable
from reports.judge.accuracy import accuracy_of
from reports.judge.attribution import attributions_of
from reports.judge.checks import checks_of
from reports.judge.findings import find
from reports.judge.fingerprints import likenesses_of
from reports.judge.probes import probes_of
from reports.judge.statements import Attribution, Checks, Finding, Likeness, MachineVerdict, ProbeRow
from reports.judge.tradeoffs import Line, tradeoffs_of
from reports.judge.verdict import machine_verdict

UNKNOWN = "hardware not observed"


@dataclass(frozen=True)
class Machine:
    """A results folder and what follows from it. Nothing of one machine is compared with anything of another."""

    label: str
    """The GPU's name or the processor's; with the folder's where several machines share it."""
    results: Path
    matrix: Matrix
    refused: Refused
    findings: list[Finding]
    checks: Checks
    fingerprints: dict[str, list[Likeness]]
    """By case."""
    tradeoffs: dict[str, list[Line]]
    """By case."""
    probes: dict[str, list[ProbeRow]]
    """By case that has some."""
    attributions: dict[str, list[Attribution]]
    """By case that has some."""
    waived: list[str]
    """The cases that the policy requires and that cannot be run with the model: the planned ones decide."""
    verdict: MachineVerdict


def read_machines(folders: Sequence[Path], policy: Policy) -> list[Machine]:
    """The machines of these results folders; `UsageError` where one cannot be read or must not stand beside another."""
    resolved = [folder.resolve() for folder in folders]
    twice = [str(folder) for folder, path in zip(folders, resolved, strict=True) if resolved.count(path) > 1]
    if twice:
        raise UsageError(f"{twice[0]} is named twice: name every results folder once.")
    matrices = [read_matrix_figures(folder) for folder in folders]
    refuse_unlike(folders, matrices)
    names = [", ".join(matrix.hardware) or UNKNOWN for matrix in matrices]
    shared = Counter(names)
    return [
        machine_of(folder, matrix, name if shared[name] == 1 else f"{name} ({folder})", policy)
        for folder, matrix, name in zip(folders, matrices, names, strict=True)
    ]


def machine_of(folder: Path, matrix: Matrix, label: str, policy: Policy) -> Machine:
    """One results folder, judged."""
    refused = incomparable(matrix)
    findings = find(matrix, policy, refused)
    checks = checks_of(matrix, policy)
    fingerprints = likenesses_of(matrix, refused)
    accuracy = accuracy_of(matrix, policy, refused, findings, checks, fingerprints)
    verdict = machine_verdict(matrix, label, findings, checks, accuracy)
    tradeoffs = tradeoffs_of(matrix)
    probes = probes_of(matrix, refused)
    attributions = attributions_of(matrix, refused, policy.error_rate)
    waived = policy.waived_of(matrix.plan)
    return Machine(
        label, folder, matrix, refused, findings, checks, fingerprints, tradeoffs, probes, attributions, waived, verdict
    )


def refuse_unlike(folders: Sequence[Path], matrices: Sequence[Matrix]) -> None:
    """Refuse a folder whose records are not of the same experiment: other code, flags or work; or the same runs.

    Each is held against the first that has runs of the same case and round, as what is like that is like the others.
    """
    firsts: dict[tuple[str, int], tuple[Path, Observation]] = {}
    hashed: dict[tuple[str, int], tuple[Path, Hashes]] = {}
    ended: dict[tuple[str, int, str, str], Path] = {}
    for folder, matrix in zip(folders, matrices, strict=True):
        for place, runs in by_cell(matrix).items():
            one = runs[0]
            first, reference = firsts.setdefault(place, (folder, one))
            differing = [
                name for name in ("harness", "flags") if getattr(reference.spec, name) != getattr(one.spec, name)
            ]
            if one.hashes:
                hashed_first, hashes = hashed.setdefault(place, (folder, one.hashes))
                unlike = differing_hashes(hashes, one.hashes)
                first = hashed_first if unlike and not differing else first
                differing += [HASHES[name] for name in unlike]
            if differing:
                raise UsageError(
                    f"{folder} must not be merged with {first}: their runs {place[0]} {one.spec.pin.name}, "
                    f"round {place[1] + 1}, differ in the {' and the '.join(differing)}. Measure again what is older."
                )
            for run in runs:
                before = ended.setdefault((*place, run.spec.pin.name, run.ended), folder)
                if before != folder:
                    raise UsageError(f"{folder} holds the same runs as {before}: name each machine's results once.")


def by_cell(matrix: Matrix) -> dict[tuple[str, int], list[Observation]]:
    """The runs that ended well, by case and round."""
    found: dict[tuple[str, int], list[Observation]] = {}
    for one in matrix.done:
        found.setdefault((one.spec.case, one.spec.round), []).append(one)
    return found
