"""Trade-offs: what the values of a parameter bring and cost on each pin, and which of them is the knee.

The knee is the value at which the gain, less so much for every doubling of the cost, is greatest: beyond it a doubling
brings less than that. Other definitions look for the point that is farthest from the chord between the ends ("Finding a
'Kneedle' in a haystack", Satopää et al. 2011), and so for another one where another end was measured. Of three points
they can only find the middle one.

How sure it is, is told by resampling. For the cost sittings are drawn with replacement, as in each of them a process
may be faster or slower for as long as it lives. For the gain one random half of the pictures is drawn, the same at
every value: a half without replacement is off from all of them by as much as these are by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Union

import numpy as np
from numpy.typing import NDArray

from harness.core.cases import read_case
from harness.core.declaration import Case, Combination, TradeOff, key_of, part_name
from reports.evidence.figures import Matrix, Observation, settings_of
from reports.evidence.pairing import laps_of

DRAWS = 1000
LEVEL = 0.1
"""The chance with which an interval misses."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends that it has in all draws but the share `LEVEL` of them."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Point:
    """One value of the parameter: its cost and its gain in their recorded units, and the share of draws in which it is
    the knee."""

    value: Union[int, float, str]
    cost: Interval
    gain: Interval
    share: float


@dataclass(frozen=True)
class Line:
    """One pin at one combination of all other parameters. `knee` is one of its points."""

    pin: str
    at: Combination
    points: tuple[Point, ...]
    knee: Point


def tradeoffs_of(matrix: Matrix) -> dict[str, list[Line]]:
    """By case that declares one, the lines of all pins at every combination; none where a figure is missing, or where
    nothing was learnt that could be gained."""
    cases = [read_case(name) for name in matrix.plan.cases]
    return {case.name: lines_of(matrix, case, case.tradeoff) for case in cases if case.tradeoff}


def lines_of(matrix: Matrix, case: Case, one: TradeOff) -> list[Line]:
    """The lines of one case."""
    settings = settings_of(case, matrix.plan) or {}
    cost = case.metric(one.cost)
    others = tuple(name for name in cost.by if name != one.along) if cost else ()
    every = [*case.combinations(settings, cost.by if cost else ())]
    found = (
        line_of(matrix, case, one, pin, [place for place in every if at.items() <= place.items()])
        for at in case.combinations(settings, others)
        for pin in matrix.pins
    )
    return [line for line in found if line]


def line_of(matrix: Matrix, case: Case, one: TradeOff, pin: str, places: Sequence[Combination]) -> Line | None:
    """The line of a pin through these combinations."""
    costs = costs_of(matrix, case, one, pin, places)
    gains = gains_of(matrix.runs_of(case.name, pin), case, one, places)
    if costs is None or gains is None:
        return None
    random = np.random.RandomState(0)
    drawn_costs = np.nanmedian(costs[:, random.randint(0, costs.shape[1], (DRAWS, costs.shape[1]))], axis=(2, 3))
    means, halves = gains
    drawn_gains = halves[:, random.randint(0, halves.shape[1], DRAWS)] + (means - halves.mean(axis=1))[:, None]
    medians = np.nanmedian(costs, axis=(1, 2))
    shares = np.bincount(knees(drawn_costs, drawn_gains, one.worth), minlength=len(places)) / DRAWS
    points = tuple(
        Point(
            at[one.along],
            interval_of(medians[place], drawn_costs[place]),
            interval_of(means[place], drawn_gains[place]),
            float(shares[place]),
        )
        for place, at in enumerate(places)
    )
    knee = int(knees(medians[:, None], means[:, None], one.worth)[0])
    return Line(pin, {name: value for name, value in places[0].items() if name != one.along}, points, points[knee])


def knees(costs: Numbers, gains: Numbers, worth: float) -> NDArray[np.int64]:
    """The place of the knee of every column of costs and gains (values, draws); of equal ones the first."""
    found: NDArray[np.int64] = np.argmax(gains - worth * np.log2(costs), axis=0)
    return found


def interval_of(value: float, drawn: Numbers) -> Interval:
    """An estimate with the quantiles of its draws."""
    low, high = np.quantile(drawn, [LEVEL / 2, 1 - LEVEL / 2])
    return Interval(float(value), float(low), float(high))


def costs_of(matrix: Matrix, case: Case, one: TradeOff, pin: str, places: Sequence[Combination]) -> Numbers | None:
    """What the laps cost (places, sittings, laps), not a number where a sitting has fewer; None where a place has no
    lap in a sitting, or there is none."""
    laps = [laps_of(matrix, case.name, key_of(one.cost, at)).get(pin, {}) for at in places]
    if not laps[0] or any(set(own) != set(laps[0]) for own in laps):
        return None
    most = max(len(values) for own in laps for values in own.values())
    table = np.full((len(places), len(laps[0]), most), np.nan)
    for place, own in enumerate(laps):
        for number, sitting in enumerate(laps[0]):
            table[place, number, : len(own[sitting])] = own[sitting]
    return table


def gains_of(
    runs: Sequence[Observation], case: Case, one: TradeOff, places: Sequence[Combination]
) -> tuple[Numbers, Numbers] | None:
    """The mean gain over the runs (places,), and the gains of all their halves (places, halves); None where a figure is
    missing in some run, or every gain is 0."""
    gain = case.metric(one.gain)
    own = [{name: value for name, value in at.items() if gain and name in gain.by} for at in places]
    runs = [run for run in runs if run.status == "ok"]
    values = [[run.figure(key_of(one.gain, at)).value for run in runs] for at in own]
    halves = [[half for run in runs for half in run.series.get(part_name(one.draws, at), ())] for at in own]
    numbers = [number for row in (*values, *halves) for number in row]
    if None in numbers or not any(numbers) or not halves[0] or len({len(row) for row in halves}) > 1:
        return None
    return np.mean(np.array(values, dtype=float), axis=1), np.array(halves, dtype=float)
