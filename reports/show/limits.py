"""What the evidence for a decision cannot say, and the risks that it shows: from the records and findings alone."""

from __future__ import annotations

from harness.core.cases import all_cases
from harness.core.policy import Policy
from reports.evidence.figures import Matrix
from reports.judge.statements import Anomalous, CandidateVerdict, CheckRow, Finding, OfCheck, OfFinding
from reports.judge.verdict import cannot_run
from reports.show.checks import said_in
from reports.show.findings import Words, margin_in_words, smallest_in_words, what_settles, why_open
from reports.show.preamble import labels
from reports.show.text import sentence
from reports.show.verdict_file import Told
from reports.show.verdicts import reason_in_words
from reports.show.warnings import fault_warnings, observed_warnings, refusal_warnings
from reports.show.words import ended_in_words, listed_in_words, trouble_in_words

NONE = "—"


def limits_of(told: Told, policy: Policy) -> list[str]:
    """What one machine's evidence leaves out, in sentences."""
    matrix = told.machine.matrix
    said = [f"Nothing is known of {pin}, which cannot run here." for pin in matrix.pins if cannot_run(matrix, pin)]
    said += absent_runs(matrix)
    for case, rows in told.machine.checks.items():
        said += [open_check(told, case, row) for row in rows if row.speaks and open_pins(matrix, row)]
    single = [case for case, rounds in matrix.plan.rounds_by_case().items() if rounds == 1]
    if single:
        said.append(
            f"One round was run of {listed_in_words(single)}. One pair of runs decides nothing: measure several "
            "(`--rounds 3`)."
        )
    return [*said, *not_judged(told, policy), told.verdict.calibration_sentence]


def not_judged(told: Told, policy: Policy) -> list[str]:
    """What the policy judges and this matrix does not: by case where no case of the matrix has it, else by metric."""
    judged = {one.quantity.name for one in told.machine.findings}
    planned = told.machine.matrix.plan.cases
    cases: dict[str, None] = {}
    titles: dict[str, None] = {}
    having = {case: one for case, one in all_cases().items() if told.machine.matrix.plan.able(case)}
    for name in (name for name in policy.metrics if name not in judged):
        metrics = {case: metric for case, one in having.items() if (metric := one.metric(name))}
        here = [metric.title for case, metric in metrics.items() if case in planned]
        titles |= dict.fromkeys(here[:1])
        cases |= {} if here else dict.fromkeys(metrics)
    said = []
    if cases:
        which = f"cases {listed_in_words(sorted(cases))} measure" if len(cases) > 1 else f"case {min(cases)} measures"
        said.append(f"The policy judges what the {which} too, which {'were' if len(cases) > 1 else 'was'} not run.")
    if titles:
        said.append(f"The policy judges {listed_in_words([*titles])} too, which this matrix does not measure.")
    return said


def absent_runs(matrix: Matrix) -> list[str]:
    """The runs that are failed or missing, by pin and case, with the first reason."""
    said = []
    for pin in matrix.pins:
        for case in matrix.plan.cases:
            runs = matrix.runs_of(case, pin)
            absent = [one for one in runs if one.status in ("failed", "missing")]
            if absent:
                ended = ended_in_words(len(absent), [*dict.fromkeys(one.status for one in absent)])
                why = trouble_in_words(absent[0].trouble)
                said.append(sentence(f"{len(absent)} of the {len(runs)} `{case}` runs of {pin} {ended}: {why}"))
    return said


def open_pins(matrix: Matrix, row: CheckRow) -> list[str]:
    """The pins whose runs could not tell a check."""
    cells = zip(matrix.pins, row.cells, strict=True)
    return [pin for pin, cell in cells if cell and cell.outcome == "open"]


def open_check(told: Told, case: str, row: CheckRow) -> str:
    """A check that some pins' runs could not tell, with what was seen of the first."""
    matrix = told.machine.matrix
    pins = open_pins(matrix, row)
    cell = row.cells[matrix.pins.index(pins[0])]
    seen = said_in(cell) if cell else ""
    return f"{told.words.check_of(row, case)}: open for {', '.join(pins)}{'; ' + seen if seen else ''}."


def open_rows(told: Told, on: str) -> list[list[str]]:
    """What is open of the candidates that can run here: candidate, metrics, why, the smallest effect that would have
    been seen, and what would settle it. Metrics of which all the rest is alike share a row."""
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for candidate in told.machine.verdict.candidates:
        for found in candidate.findings if not candidate.cannot_run else ():
            if found.outcome == "inconclusive":
                smallest, settles = smallest_in_words(found) or NONE, what_settles(found) or NONE
                key = (f"{found.pin}{on}", why_open(found), smallest, settles)
                rows.setdefault(key, []).append(told.words.name(found))
    return [[who, "; ".join(names), why, smallest, settles] for (who, why, smallest, settles), names in rows.items()]


def risks_of(told: Told) -> list[str]:
    """What speaks against trusting or moving, beside what the verdicts say already."""
    matrix, verdict = told.machine.matrix, told.machine.verdict
    alarms = [told.words.title(one) for one in verdict.control.findings if one.tells_noise]
    said = []
    if alarms:
        said.append(f"The baseline differs from itself in {listed_in_words(alarms)}: the machine is that noisy there.")
    elif verdict.control.state != "quiet":
        said.append("The noise of the machine is not known, as the control A/A measured nothing.")
    for one in verdict.candidates:
        said += risks_of_moving(one, told.words)
    warnings = [*fault_warnings(matrix), *refusal_warnings(told.machine.refused, matrix)]
    unchecked = labels(matrix)
    not_locked = [sentence(f"An environment was not held against a lock: {unchecked}")] if unchecked else []
    return [*said, *warnings, *observed_warnings(matrix), *not_locked]


def risks_of_moving(one: CandidateVerdict, words: Words) -> list[str]:
    """What speaks against moving to a candidate without holding it: how far open intervals reach, what is worse and
    does not gate, checks that fail without gating or as on the baseline, and anomalies."""
    reach = how_far_worse(one, words)
    idle = [
        weighed.reason
        for weighed in one.reasons
        if isinstance(weighed.reason, Anomalous)
        or (isinstance(weighed.reason, OfFinding) and is_idle(weighed.reason.finding))
        or (isinstance(weighed.reason, OfCheck) and weighed.reason.cell.outcome == "failed" and weighed.role != "holds")
    ]
    order = (OfFinding, OfCheck, Anomalous)
    idle.sort(key=lambda reason: order.index(type(reason)))
    return [*([reach] if reach else []), *(f"{one.pin}, {reason_in_words(reason, words)}" for reason in idle)]


def is_idle(found: Finding) -> bool:
    """Whether it is worse and holds nothing."""
    return found.outcome == "worse" and not found.rules.gates


def how_far_worse(one: CandidateVerdict, words: Words) -> str:
    """How far the intervals of inconclusive findings reach to the worse side; empty where none does."""
    reaches = []
    same = [each.score for each in one.accuracy if each.shown == "by the same step"]
    for found in one.findings:
        if found.outcome == "inconclusive" and found.low is not None and found.high is not None:
            worst = found.high if found.quantity.better == "lower" else -found.low
            if worst > 0:
                bounded = not found.quantity.is_beyond(worst + 1)
                by = f"by up to {found.show(worst).lstrip('+')}" if bounded else "without a bound"
                within = f", within the margin of {margin_in_words(found)}" if found.harmless else ""
                though = ", though accuracy is shown by the same step" if found in same else ""
                reaches.append(f"{words.name(found)} {by}{within}{though}")
    return f"{one.pin} may be worse as far as its intervals reach: {'; '.join(reaches)}." if reaches else ""
