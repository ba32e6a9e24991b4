"""Whether a seat is favoured: identical processes that take turns, by the place in which they were started."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.core.errors import UsageError
from reports.evidence.figures import Matrix
from reports.evidence.pairing import laps_by_sitting


@dataclass(frozen=True)
class SeatShare:
    """By how much the steps of a seat are longer than the mean of its sitting, as a mean of log-ratios with its
    standard error, from `n` sittings."""

    seat: int
    mean: float
    error: float
    n: int


def seats_of(matrix: Matrix) -> list[SeatShare]:
    """Every seat, from the sittings in which all pins have laps; `UsageError` where there are fewer than two."""
    sittings = [one for one in laps_by_seat(matrix) if len(one) == len(matrix.pins)]
    if len(sittings) < 2:
        raise UsageError(f"{matrix.plan.name} has no two sittings of all its pins: name what nox -s seats has left.")
    return [share_of(seat, [apart(laps, seat) for laps in sittings]) for seat in range(len(matrix.pins))]


def laps_by_seat(matrix: Matrix) -> list[dict[int, Sequence[float]]]:
    """Of every sitting the laps of each seat: of what the turns measure the first."""
    found: dict[tuple[str, int, str], dict[int, Sequence[float]]] = {}
    for one in matrix.observations:
        for sitting, laps in laps_by_sitting(one, next(iter(one.laps), "")):
            found.setdefault((one.spec.case, one.spec.round, sitting.name), {})[sitting.seat] = laps
    return [*found.values()]


def apart(sitting: Mapping[int, Sequence[float]], seat: int) -> float:
    """The median over the laps of a sitting of the log-ratio of a seat's time to the geometric mean of all."""
    ratios = []
    for lap in zip(*sitting.values(), strict=False):
        logs = dict(zip(sitting, map(math.log, lap), strict=True))
        ratios.append(logs[seat] - statistics.fmean(logs.values()))
    return statistics.median(ratios)


def share_of(seat: int, ratios: list[float]) -> SeatShare:
    """The mean of a seat's log-ratios."""
    error = statistics.stdev(ratios) / math.sqrt(len(ratios))
    return SeatShare(seat, statistics.fmean(ratios), error, len(ratios))
