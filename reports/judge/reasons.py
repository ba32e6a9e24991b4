"""The reasons for a verdict, in sentences that say no more than the findings do."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.core.spec import TWIN
from reports.judge.checks import SEVERITY, CheckCell, CheckRow, Checks
from reports.evidence.figures import Matrix, Observation
from reports.judge.findings import NOISY, Finding
from reports.judge.statistics import less
from reports.show.text import one_line
from reports.show.text import sentence as ended

WIDE = 0.1
"""From which margin on its two ends are said apart, of a ratio."""


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


def breaks(matrix: Matrix, pin: str, row: CheckRow) -> bool:
    """Whether a check that gates failed in every run of a pin and held in every run of the baseline's, two at least of
    either, and the baseline's second environment does not speak against the check itself."""
    mine, base = row.cells[matrix.pins.index(pin)], row.cells[0]
    if not (row.gates and mine and base and mine.always and base.always) or TWIN in failing(matrix, row):
        return False
    return (mine.outcome, base.outcome) == ("failed", "held")


def broken_checks(matrix: Matrix, pin: str, checks: Checks) -> list[str]:
    """The checks of which a candidate breaks what the baseline keeps."""
    return [
        f"{titled(row, case)}: {cell.in_words()}, and {row.cells[0].in_words()} of {matrix.pins[0]}; {said_in(cell)}."
        for case, row, cell in cells_of(matrix, pin, checks)
        if breaks(matrix, pin, row) and row.cells[0]
    ]


def unsettled_checks(matrix: Matrix, pin: str, checks: Checks) -> list[str]:
    """The checks that gate and stand in the way of an upgrade without holding it: what a candidate's runs could not
    tell, or came out worse than on the baseline in fewer runs than `breaks` asks for."""
    return [
        check_in_words(matrix, pin, case, row, cell)
        for case, row, cell in cells_of(matrix, pin, checks)
        if row.gates and not breaks(matrix, pin, row) and (cell.outcome == "open" or worse_than(cell, row.cells[0]))
    ]


def worse_than(cell: CheckCell, base: CheckCell | None) -> bool:
    """Whether a check came out worse than on the baseline, or as badly in a larger part of the runs. A baseline of
    which no run ended well is no measure."""
    if base is None or cell.outcome == "held":
        return False
    mine, other = SEVERITY.index(cell.outcome), SEVERITY.index(base.outcome)
    return mine < other or (mine == other and cell.alike * base.runs > base.alike * cell.runs)


def failed_checks(matrix: Matrix, pin: str, checks: Checks) -> list[str]:
    """The checks that failed in some run of a pin, without those that hold it."""
    return [
        check_in_words(matrix, pin, case, row, cell)
        for case, row, cell in cells_of(matrix, pin, checks)
        if cell.outcome == "failed" and not breaks(matrix, pin, row)
    ]


def check_in_words(matrix: Matrix, pin: str, case: str, row: CheckRow, cell: CheckCell) -> str:
    """A check of a pin as a sentence, with a word where it failed without any change of version."""
    as_on = [name for name in failing(matrix, row) if name in (matrix.pins[0], TWIN) and name != pin]
    also = f", as on {' and '.join(as_on)}" if as_on and cell.outcome == "failed" else ""
    return f"{titled(row, case)}: {cell.in_words()}{also}; {said_in(cell)}."


def failing(matrix: Matrix, row: CheckRow) -> list[str]:
    """The pins of which some run failed a check."""
    return [pin for pin, cell in zip(matrix.pins, row.cells, strict=True) if cell and cell.outcome == "failed"]


def cells_of(matrix: Matrix, pin: str, checks: Checks) -> list[tuple[str, CheckRow, CheckCell]]:
    """All checks of a pin that were made, with their cases."""
    place = matrix.pins.index(pin)
    found = [(case, row, row.cells[place]) for case, rows in checks.items() for row in rows]
    return [(case, row, cell) for case, row, cell in found if cell]


def titled(row: CheckRow, case: str) -> str:
    """The check with its case, on one line."""
    return f"{one_line(row.name)} ({case})"


def said_in(cell: CheckCell) -> str:
    """All that a cell says, on one line and without a full stop."""
    return "; ".join(one_line(each) for each in cell.said).rstrip(".")


def reason_of(found: Finding) -> str:
    """A finding as a sentence."""
    title = found.title
    gate = "" if found.policy.gates else " It does not gate."
    if not found.measured:
        what = "not measured" if found.n == 0 else "inconclusive"
        return f"{title}: {what} ({one_line(found.reason).rstrip('.')}).{gate}"
    margin = margin_in_words(found)
    if found.quantity.relative and found.estimate is not None and found.estimate < 0 and found.policy.margin >= WIDE:
        margin += f" ({found.show(less(found.policy.margin))} on this side)"
    if found.outcome == "inconclusive":
        shown = ", though surely not worse by more than the margin" if found.harmless else ""
        numbers = f"{found.effect()} against a margin of {margin}"
        return f"{title}: inconclusive, {numbers}: {found.reason}{shown}.{could_see(found)}{more(found)}{gate}"
    return f"{title}: {found.outcome}, {found.effect()} against a margin of {margin}.{gate}"


def could_see(found: Finding) -> str:
    """The smallest effect that the pairs at hand would have shown, as a sentence."""
    smallest = smallest_in_words(found)
    return f" The smallest effect that these pairs would show is {smallest}." if smallest else ""


def smallest_in_words(found: Finding) -> str:
    """The smallest effect that the pairs at hand would have shown; empty where there is none."""
    if found.smallest is None or not math.isfinite(found.smallest) or found.smallest == 0:
        return ""
    return found.show(found.smallest).lstrip("+")


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


def cannot_run(matrix: Matrix, pin: str) -> str:
    """Why no run of the pin is possible on this machine; empty where one is."""
    runs = [one for one in matrix.observations if one.spec.pin.name == pin]
    return one_line(runs[0].reason) if runs and all(one.status == "unsupported" for one in runs) else ""


def why_hold(worse: Sequence[Finding], broken: Sequence[str]) -> str:
    """The verdict hold in one sentence."""
    if not worse:
        return broken[0]
    first, others = worse[0], [one.title for one in worse[1:]]
    also = f"; worse too: {listed_in_words(others)}" if others else ""
    return f"{first.title} is worse, {first.effect()} against a margin of {margin_in_words(first)}{also}."


def why_upgrade(gating: Sequence[Finding]) -> str:
    """The verdict upgrade in one sentence."""
    better = [one.title for one in gating if one.outcome == "better"]
    also = f"; better: {listed_in_words(better)}" if better else ""
    if len(gating) == 1:
        return f"{gating[0].title}, the only metric that gates, is not worse by more than its margin{also}."
    return f"None of the {len(gating)} metrics that gate is worse by more than its margin{also}."


def why_inconclusive(open_: Sequence[Finding], unsound: Sequence[str], impossible: str) -> str:
    """The verdict inconclusive in one sentence."""
    if impossible:
        return ended(f"Insufficient evidence, as it cannot run on this hardware: {impossible}")
    if open_:
        titles = listed_in_words([one.title for one in open_])
        its = "its margin" if len(open_) == 1 else "their margins"
        return f"Insufficient evidence: {titles} may be worse by more than {its}."
    return f"Insufficient evidence: {unsound[0]}" if unsound else "Insufficient evidence: no metric gates."


def listed_in_words(words: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`; with `last` in place of `and`."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
