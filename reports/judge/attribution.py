"""Where a difference lies: a candidate against the baseline in every part of a quantity, and in the whole.

Every sitting has one value of each pin, the median over its rows of how far it is from the mean of all pins in that
row, so what slows a lap slows none of them; and the difference is the mean over sittings, with the noise that all pins
show (`in_blocks`). The median of all laps, by which findings on times are made (`laps.py`), cannot
be used: it tells hardly more than signs, and at the levels that some thirty parts leave it would take a hundred laps.
Medians of parts need not add up to the median of the whole: whether they do within its interval is told. The intervals
of all parts and candidates of a breakdown hold together (Holm), and so do those of the wholes; the control is apart
from the candidates.

Parts that are small on every pin are gathered into one before that, by their size alone and not by their difference:
each further part makes all of them tell less.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from harness.core.cases import read_case
from harness.core.declaration import Case, DeclaredBreakdown
from harness.core.spec import TWIN
from reports.evidence.figures import WHOLE, Matrix
from reports.evidence.pairing import PinLaps, PinValues, Refused, laps_of, rows_of, shared, values_of
from reports.evidence.units import guess
from reports.judge.findings import with_common_noise
from reports.judge.laps import in_turns
from reports.judge.statements import Attribution, Beside, PartApart
from reports.judge.statistics import Estimate, holm, share

SMALL = 0.01
"""The share of the whole up to which a part is small."""
GATHERED = "\0"
"""What the small parts are called here; no record can have it as a name."""

LEVEL = 0.05
"""The chance with which the interval misses that stands beside the whole."""

Rows = dict[str, PinLaps]
"""By part."""


def attributions_of(matrix: Matrix, refused: Refused, error_rate: float) -> dict[str, list[Attribution]]:
    """By case that declares some, every breakdown of every pin that can be paired with the baseline."""
    found = {}
    for name in matrix.plan.cases:
        case = read_case(name)
        told = [
            one for declared in case.breakdowns for one in of_breakdown(matrix, case, declared, refused, error_rate)
        ]
        if told:
            found[name] = told
    return found


def of_breakdown(
    matrix: Matrix, case: Case, declared: DeclaredBreakdown, refused: Refused, error_rate: float
) -> Iterator[Attribution]:
    """One breakdown of every pin."""
    baseline, *others = matrix.pins
    rows = rows_of(matrix, case.name, declared.name, refused)
    if not rows:
        return
    small = small_parts(rows)
    told = {**{part: own for part, own in rows.items() if part not in small}, **gathered(rows, small)}
    estimates = {part: estimates_of(own, baseline) for part, own in told.items()}
    levels = levels_of(estimates, error_rate)
    for pin in others:
        if pin in estimates[WHOLE]:
            parts = {
                part: replace(
                    part_apart(part, told[part], (baseline, pin), own[pin], levels[part, pin]),
                    gathered=len(small) * (part == GATHERED),
                )
                for part, own in estimates.items()
                if pin in own
            }
            whole = parts.pop(WHOLE)
            paired = shared(rows[WHOLE], pin, baseline)
            yield Attribution(
                case=case.name,
                declared=declared,
                pin=pin,
                n=len(paired),
                rows=sum(len(rows[WHOLE][pin][each]) for each in paired),
                whole=whole,
                parts=tuple(sorted(parts.values(), key=lambda part: -abs(part.value))),
                beside=tuple(beside(matrix, case, declared, pin, refused)),
            )


def small_parts(rows: Rows) -> list[str]:
    """The parts that are small on every pin; none where that is a single one."""
    wholes = {pin: median_of(own) for pin, own in rows[WHOLE].items()}
    small = [
        part
        for part, pins in rows.items()
        if part != WHOLE and all(abs(median_of(own)) <= SMALL * wholes[pin] for pin, own in pins.items())
    ]
    return small if len(small) > 1 else []


def gathered(rows: Rows, small: Sequence[str]) -> Rows:
    """The small parts as one."""
    if not small:
        return {}
    return {
        GATHERED: {
            pin: {place: [*map(sum, zip(*(rows[part][pin][place] for part in small), strict=True))] for place in own}
            for pin, own in rows[WHOLE].items()
        }
    }


def median_of(laps: Mapping[tuple[int, str], Sequence[float]]) -> float:
    """The median of all rows of a pin."""
    return statistics.median(value for own in laps.values() for value in own)


def estimates_of(laps: PinLaps, baseline: str, *, ratio: bool = False) -> dict[str, Estimate]:
    """By pin how far it is from the baseline in one part, from the sittings that it shared with it, two at least; with
    `ratio` as a log-ratio, of values above 0."""
    values: PinValues = {}
    for number, place in enumerate(laps.get(baseline, {})):
        pins = [pin for pin, own in laps.items() if place in own]
        rows = [[*map(math.log if ratio else float, row)] for row in zip(*(laps[pin][place] for pin in pins))]
        apart = [[value - statistics.fmean(row) for value in row] for row in rows]
        for pin, column in zip(pins, zip(*apart), strict=True):
            values.setdefault(pin, {})[number, 0] = statistics.median(column)
    found = {}
    for pin in values:
        places = shared(values, pin, baseline)
        if pin != baseline and len(places) > 1:
            estimate = with_common_noise(values, pin, baseline, places, ratio=False)
            if estimate:
                found[pin] = estimate
    return found


def levels_of(estimates: Mapping[str, Mapping[str, Estimate]], error_rate: float) -> dict[tuple[str, str], float]:
    """By part and pin the level at which Holm's procedure judges it: wholes apart from parts, and the control apart
    from the candidates."""
    families: dict[tuple[bool, bool], list[tuple[str, str]]] = {}
    for part, own in estimates.items():
        for pin in own:
            families.setdefault((part == WHOLE, pin == TWIN), []).append((part, pin))
    levels: dict[tuple[str, str], float] = {}
    for some in families.values():
        p_values = [estimates[part][pin].p_value() for part, pin in some]
        levels.update(zip(some, holm(p_values, error_rate), strict=True))
    return levels


def part_apart(part: str, laps: PinLaps, pins: tuple[str, str], estimate: Estimate, level: float) -> PartApart:
    """One part of the baseline and a pin."""
    base, own = (median_of(laps[pin]) for pin in pins)
    low, high = estimate.interval(level)
    return PartApart(part if part != GATHERED else "", base, own, estimate.value, low, high)


def beside(matrix: Matrix, of: Case, declared: DeclaredBreakdown, pin: str, refused: Refused) -> Iterator[Beside]:
    """What the matrix has of the whole that was measured without looking into it; what the turns of this case measure
    is compared as its parts are, and all else as findings are made of it."""
    baseline = matrix.pins[0]
    for name in matrix.plan.cases:
        case = read_case(name)
        for metric in (one for one in case.metrics if one.name in declared.beside and one.compared == "ratio"):
            laps = laps_of(matrix, name, metric.name, refused) if case.turned(metric.name) else {}
            by_turns = estimates_of(laps, baseline, ratio=True) if case is of else in_turns(laps, baseline)
            estimate = by_turns.get(pin) or by_runs(matrix, name, metric.name, (baseline, pin), refused)
            figures = [one.figure(metric.name).value for one in matrix.runs_of(name, baseline)]
            if estimate:
                base = statistics.median(value for value in figures if value is not None)
                low, high = estimate.interval(LEVEL)
                yield Beside(name, guess(case, metric.name), base, share(estimate.value), share(low), share(high))


def by_runs(matrix: Matrix, case: str, name: str, pins: tuple[str, str], refused: Refused) -> Estimate | None:
    """The log-ratio of a metric of a pin to the baseline's, by runs or parts of them; None where it cannot be told."""
    baseline, pin = pins
    values = values_of(matrix, case, name, refused)
    places = shared(values, pin, baseline)
    return with_common_noise(values, pin, baseline, places, ratio=True) if len(places) > 1 else None
