"""Whether the accuracy of a candidate counts as shown.

Early training is chaotic: one rounding in the initial weights moves the score by more than its margin, so few rounds
cannot show that two scores are equivalent. Accuracy is shown either by the score within its margin, or by the same step
to rounding together with a score that is no further below the baseline's than chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.core.cases import read_case
from harness.core.declaration import DeclaredCheck
from harness.core.policy import AccuracyRule, Policy
from harness.core.spec import TWIN
from reports.evidence.figures import Matrix
from reports.evidence.pairing import Refused, difference_of, values_of
from reports.judge.statements import AccuracyShown, CheckRow, Checks, Finding, Lack, Likeness, OfAccuracy
from reports.judge.statistics import quantile


@dataclass(frozen=True)
class Chance:
    """What the control says of the score: how far chance may move its mean difference, and what it moved in each
    round. `reach` is None where the control says nothing."""

    reach: float | None
    moved: tuple[float, ...]


def accuracy_of(
    matrix: Matrix,
    policy: Policy,
    refused: Refused,
    findings: Sequence[Finding],
    checks: Checks,
    prints: Mapping[str, Sequence[Likeness]],
) -> dict[str, tuple[OfAccuracy, ...]]:
    """By pin, whether accuracy is shown: for each measured finding on the score. Empty without a rule."""
    rule = policy.accuracy
    found: dict[str, tuple[OfAccuracy, ...]] = {}
    if rule is None:
        return found
    for pin in matrix.pins[1:]:
        own = [one for one in findings if one.pin == pin]
        steps = tuple(one for one in own if one.quantity.name in rule.same_step)
        lacks = tuple(lacks_of_step(matrix, rule, pin, steps, checks, prints))
        found[pin] = tuple(
            weighed(one, steps, lacks, chance_of_score(matrix, policy.error_rate, refused, one))
            for one in own
            if one.quantity.name == rule.score and one.measured
        )
    return found


def weighed(score: Finding, steps: tuple[Finding, ...], lacks: tuple[Lack, ...], chance: Chance) -> OfAccuracy:
    """Whether accuracy is shown by this finding on the score, and what is missing where it is not."""
    lacks += tuple(lacks_of_chance(score, chance))
    shown: AccuracyShown = "not shown" if lacks else "by the same step"
    if any(one.outcome == "worse" for one in (score, *steps)):
        shown = "worse"
    elif score.harmless:
        shown = "by the score"
    return OfAccuracy(shown, score, steps, lacks, chance.reach, chance.moved)


# --- the same step ------------------------------------------------------------------------------------------------


def lacks_of_step(
    matrix: Matrix,
    rule: AccuracyRule,
    pin: str,
    steps: Sequence[Finding],
    checks: Checks,
    prints: Mapping[str, Sequence[Likeness]],
) -> Iterator[Lack]:
    """What is missing for the steps of a pin to be the baseline's to rounding: measured and no worse than their margins
    at every combination of parameters; what these cases check of it held in every run; and what they compute without
    rounding the same within its tolerance."""
    planned = [one for one in steps if one.case]
    absent = [name for name in rule.same_step if name not in {one.quantity.name for one in planned}]
    if absent:
        yield Lack("not run", metrics=tuple(absent))
    blank = [one for one in planned if not one.measured]
    if blank:
        yield Lack("not measured", findings=tuple(blank))
    open_ = [one for one in planned if one.measured and not one.harmless and one.outcome != "worse"]
    if open_:
        yield Lack("open step", findings=tuple(open_))
    if blank:  # what cannot be compared has neither checks nor fingerprints that tell more
        return
    cases = [*dict.fromkeys(one.case for one in planned)]
    unheld = [(case, row) for case in cases for row in unheld_checks(matrix, pin, case, checks.get(case, ()))]
    if unheld:
        yield Lack("check", checks=tuple(unheld))
    unlike = [one for case in cases for one in prints.get(case, ()) if is_unlike(one, matrix.pins[0], pin)]
    if unlike:
        yield Lack("not exact", prints=tuple(unlike))


def unheld_checks(matrix: Matrix, pin: str, case: str, rows: Sequence[CheckRow]) -> Iterator[CheckRow]:
    """The checks of a case that gate and did not hold in every run of a pin, or that no run made."""
    place = matrix.pins.index(pin)
    for row in rows:
        cell = row.cells[place]
        if row.gates and (cell is None or cell.outcome != "held"):
            yield row
    made = {row.declared.name.partition(":")[0] for row in rows if row.declared}
    for declared in read_case(case).checks:
        if declared.gates and declared.name not in made and there(matrix, case, declared):
            yield CheckRow(declared.name, declared, (None,) * len(matrix.pins))


def there(matrix: Matrix, case: str, declared: DeclaredCheck) -> bool:
    """Whether a check is there for any planned run of a case."""
    specs = [one.spec for one in matrix.by_case[case]]
    return any(declared.concerns(spec.device, spec.precision, spec.settings) for spec in specs)


def is_unlike(one: Likeness, baseline: str, pin: str) -> bool:
    """Whether a pin and the baseline are apart by more than its tolerance in a fingerprint that has one, or were not
    compared in it. Of one without a tolerance, rounding alone makes two versions differ."""
    return (
        (one.first, one.second) == (baseline, pin)
        and one.declared.tolerance is not None
        and one.kind in ("differs", "not compared")
    )


# --- chance -------------------------------------------------------------------------------------------------------


def chance_of_score(matrix: Matrix, error_rate: float, refused: Refused, score: Finding) -> Chance:
    """What the control says of a finding on the score: the baseline from weights that were nudged by one rounding,
    against the baseline in the same rounds."""
    values = values_of(matrix, score.case, score.quantity.key, refused)
    nudged, plain = values.get(TWIN, {}), values.get(matrix.pins[0], {})
    moved = tuple(difference_of(score.quantity, nudged[place], plain[place]) for place in plain if place in nudged)
    return Chance(reach_of(moved, score.n, error_rate), moved)


def reach_of(moved: Sequence[float], rounds: int, error_rate: float) -> float | None:
    """How far from 0 the mean difference of so many rounds may lie by chance: t · s / √rounds. s is the root mean
    square of the control's differences; as their true mean is 0, they have as many degrees of freedom as there are of
    them. None for fewer than two, or where all of them are 0, which says nothing of chance."""
    if len(moved) < 2 or not any(moved):
        return None
    spread = math.sqrt(math.fsum(one**2 for one in moved) / len(moved))
    return quantile(error_rate, len(moved)) * spread / math.sqrt(rounds)


def lacks_of_chance(score: Finding, chance: Chance) -> Iterator[Lack]:
    """What is missing for the score to be no further off than chance. Only a score that is worse counts against a
    candidate: one that is better by more than chance does no harm."""
    if chance.reach is None:
        yield Lack("still control" if len(chance.moved) > 1 else "no control")
    elif harm(score) > chance.reach:
        yield Lack("beyond chance")


def harm(score: Finding) -> float:
    """By how much the score is worse on average; below 0 where it is better."""
    difference = score.estimate or 0.0
    return difference if score.quantity.better == "lower" else -difference
