"""What the evidence for a decision cannot say, and the risks that it shows: from the records and findings alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.core.policy import Policy
from harness.core.spec import TWIN
from reports.judge.checks import Checks
from reports.evidence.figures import Matrix
from reports.judge.findings import NOISY, Finding
from reports.judge.machines import Machine
from reports.evidence.units import KNOWN, POSITIONS, guess
from reports.show.preamble import fault_warnings, hardware_warnings, labels, refusal_warnings, thread_warnings
from reports.judge.reasons import (
    anomalies_of,
    cannot_run,
    failed_checks,
    listed_in_words,
    margin_in_words,
    reason_of,
    runs_of,
    said_in,
    smallest_in_words,
    titled,
)
from reports.show.text import one_line, sentence

NONE = "—"


def limits_of(machine: Machine, policy: Policy) -> list[str]:
    """What one machine's evidence leaves out, in sentences."""
    matrix = machine.matrix
    said = [f"Nothing is known of {pin}, which cannot run here." for pin in matrix.pins if cannot_run(matrix, pin)]
    said += absent_runs(machine)
    said += open_checks(matrix, machine.checks)
    single = [case for case, rounds in matrix.plan.rounds_by_case().items() if rounds == 1]
    if single:
        said.append(
            f"One round was run of {listed_in_words(single)}. One pair of runs decides nothing: measure several "
            "(`--rounds 3`)."
        )
    return [*said, *not_judged(machine, policy), machine.verdict.calibration_sentence]


def not_judged(machine: Machine, policy: Policy) -> list[str]:
    """What the policy judges and this matrix does not: by case where that was not planned, else by metric."""
    judged = {one.quantity.name for one in machine.findings}
    homes = {name: KNOWN[POSITIONS[name]].case for name in policy.metrics if name in POSITIONS and name not in judged}
    planned = machine.matrix.plan.cases
    cases = sorted({home for home in homes.values() if home and home not in planned})
    titles = [guess(name).title for name, home in homes.items() if home in planned]
    said = []
    if cases:
        which = f"cases {listed_in_words(cases)} measure" if len(cases) > 1 else f"case {cases[0]} measures"
        said.append(f"The policy judges what the {which} too, which {'were' if len(cases) > 1 else 'was'} not run.")
    if titles:
        said.append(f"The policy judges {listed_in_words(titles)} too, which this matrix does not measure.")
    return said


def absent_runs(machine: Machine) -> list[str]:
    """The runs that are failed or missing, by pin and case, with the first reason."""
    said = []
    for pin in machine.matrix.pins:
        for case in machine.matrix.plan.cases:
            runs = runs_of(machine.matrix, case, pin)
            absent = [one for one in runs if one.status in ("failed", "missing")]
            if absent:
                statuses = " or ".join(dict.fromkeys(one.status for one in absent))
                said.append(
                    sentence(f"{len(absent)} of {len(runs)} runs of {case} of {pin} are {statuses}: {absent[0].reason}")
                )
    return said


def open_checks(matrix: Matrix, checks: Checks) -> list[str]:
    """The checks that some pin's runs could not tell, each with its pins and the first reason."""
    said = []
    for case, rows in checks.items():
        for row in rows:
            cells = {pin: cell for pin, cell in zip(matrix.pins, row.cells, strict=True) if cell}
            pins = [pin for pin, cell in cells.items() if cell.outcome == "open"]
            if pins:
                said.append(f"{titled(row, case)}: open for {', '.join(pins)}; {said_in(cells[pins[0]])}.")
    return said


def open_rows(machine: Machine, on: str) -> list[list[str]]:
    """What is open of the candidates that can run here: candidate, metrics, why, the smallest effect that would have
    been seen, and what would settle it. Metrics of which all the rest is alike share a row."""
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for found in machine.findings:
        if found.outcome == "inconclusive" and found.pin != TWIN and not cannot_run(machine.matrix, found.pin):
            key = (f"{found.pin}{on}", why_open(found), smallest_in_words(found) or NONE, what_settles(found))
            rows.setdefault(key, []).append(name_of(found))
    return [[who, "; ".join(names), why, smallest, settles] for (who, why, smallest, settles), names in rows.items()]


def name_of(found: Finding) -> str:
    """The metric's title, with a word where it does not gate."""
    return found.title + ("" if found.policy.gates else " (does not gate)")


def why_open(found: Finding) -> str:
    """Why a finding is inconclusive, or there is none."""
    why = one_line(found.reason)
    if not found.measured:
        return f"not measured: {why}" if found.n == 0 else why
    return f"{why}, though surely not worse by more than the margin" if found.harmless else why


def what_settles(found: Finding) -> str:
    """What would settle an inconclusive finding, as far as its pairs tell."""
    if found.reason == NOISY:
        return "a quieter machine"
    if found.further is not None:
        return f"about {found.further} more {found.pairs if found.further > 1 else found.pairs[:-1]}"
    return f"no bearable number of {found.pairs}, as things stand" if found.measured else NONE


def risks_of(machine: Machine) -> list[str]:
    """What speaks against trusting or moving, beside what the verdicts say already."""
    matrix, control = machine.matrix, machine.verdict.control
    alarms = [one.title for one in machine.findings if one.pin == TWIN and one.alarms]
    said = []
    if alarms:
        said.append(f"The baseline differs from itself in {listed_in_words(alarms)}: so noisy is the machine there.")
    elif not control.quiet:
        said.append("The noise of the machine is not known, as the control A/A measured nothing.")
    for pin in matrix.pins[1:]:
        if pin != TWIN:
            mine = [one for one in machine.findings if one.pin == pin]
            said += [reach for reach in [how_far_worse(pin, mine)] if reach]
            idle = [one for one in mine if one.outcome == "worse" and not one.policy.gates]
            said += [f"{pin}, {reason_of(one)}" for one in idle]
            said += [f"{pin}, {check}" for check in failed_checks(matrix, pin, machine.checks)]
            said += [f"{pin}, {anomaly}" for anomaly in anomalies_of(matrix, pin)]
    warnings = [*fault_warnings(matrix), *refusal_warnings(machine.refused, matrix)]
    unchecked = labels(matrix)
    not_locked = [sentence(f"An environment was not held against a lock: {unchecked}")] if unchecked else []
    return [*said, *warnings, *hardware_warnings(matrix), *thread_warnings(matrix), *not_locked]


def how_far_worse(pin: str, findings: Sequence[Finding]) -> str:
    """How far the intervals of inconclusive findings reach to the worse side; empty where none does."""
    reaches = []
    for found in findings:
        if found.outcome == "inconclusive" and found.low is not None and found.high is not None:
            worst = found.high if found.policy.better == "lower" else -found.low
            if worst > 0:
                by = f"by up to {found.show(worst).lstrip('+')}" if math.isfinite(worst) else "without a bound"
                within = f", within the margin of {margin_in_words(found)}" if found.harmless else ""
                reaches.append(f"{name_of(found)} {by}{within}")
    return f"{pin} may be worse as far as its intervals reach: {'; '.join(reaches)}." if reaches else ""
