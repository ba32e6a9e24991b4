"""Whether a seat is favoured: identical processes that take turns, by the place in which they were started."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from harness.core.cases import read_case
from harness.core.errors import UsageError
from reports.evidence.figures import Matrix
from reports.evidence.pairing import Turn


@dataclass(frozen=True)
class SeatShare:
    """By how much the steps of a seat are longer than the mean of its sitting, as a mean of log-ratios with its
    standard error, from `n` sittings."""

    seat: int
    mean: float
    error: float
    n: int


def seats_of(matrix: Matrix) -> list[SeatShare]:
    """Every seat, from the sittings in which all pins have a value; `UsageError` where there are fewer than two."""
    sittings = [one for one in values_by_seat(matrix).values() if len(one) == len(matrix.pins)]
    if len(sittings) < 2:
        raise UsageError(f"{matrix.plan.name} has no two sittings of all its pins: name what nox -s seats has left.")
    return [share_of(seat, [apart(values, seat) for values in sittings]) for seat in range(len(matrix.pins))]


def values_by_seat(matrix: Matrix) -> dict[Turn, dict[int, float]]:
    """By sitting, what each seat has measured."""
    found: dict[Turn, dict[int, float]] = {}
    for turn, seat, value in seated(matrix):
        found.setdefault(turn, {})[seat] = value
    return found


def seated(matrix: Matrix) -> Iterator[tuple[Turn, int, float]]:
    """Of every run that took turns its sitting, its seat, and its value of what the turns measure."""
    for one in matrix.observations:
        turns = read_case(one.spec.case).turns
        value = one.figure(turns.metric).value if turns else None
        if value is not None and one.sitting is not None and one.seat is not None:
            yield (one.spec.round, one.sitting), one.seat, value


def apart(values: dict[int, float], seat: int) -> float:
    """The log-ratio of a seat's value to the geometric mean of its sitting."""
    return math.log(values[seat]) - statistics.fmean(map(math.log, values.values()))


def share_of(seat: int, ratios: list[float]) -> SeatShare:
    """The mean of a seat's log-ratios."""
    error = statistics.stdev(ratios) / math.sqrt(len(ratios))
    return SeatShare(seat, statistics.fmean(ratios), error, len(ratios))
