"""Trends: how fast a series by epoch grows in a run, and what a common rule of thumb says of the same.

The interval of a slope has to hold whatever the noise is. A process may keep for good what it once took by chance
(memory as a random walk); the time of an epoch scatters about a level; both may have spikes. A line fitted to all
epochs takes its error from the scatter about it, which makes it far too sure of a random walk.

So the epochs of each process after its warm-up are cut into blocks of equal length, and the differences between the
medians of consecutive blocks are averaged: they add up to all that was added from the first block to the last, evenly
or in leaps. Student's t on these differences:

- Noise that is independent from epoch to epoch: neighbouring differences share a block and are correlated by -1/2, so
  their mean varies less than t makes of them, and the interval is too wide.
- A random walk: first differences of its averages are correlated by up to +1/4 (Working 1960, Econometrica 28), so
  their mean varies more. `WIDER` makes up for that.
- What lies between the two, as an autoregressive process does, has a correlation between.

Fewer blocks make the interval shorter under independent noise, but t larger: seven are near the best of both. No
interval can reveal jumps too rare to occur in the run.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.declaration import ByGrowths
from reports.evidence.figures import Values
from reports.judge.statements import DidNotGrow, Grew, Untold
from reports.judge.statistics import Estimate, mean_of, share

DIFFERENCES = 6
"""Of consecutive blocks, at least: t with 5 degrees of freedom."""
WIDER = 1.55
"""How much larger the variance of the mean of these differences may be than independent ones' is, as they estimate it.

For averages of a random walk with N differences in one process it is (N - 1/3)/N · (N - 1)/(2N/3 - 1 + 1/(3N)), which
falls from 1.545 for N = 6 to 1.5; in several processes it is less.
"""


@dataclass(frozen=True)
class Trend:
    """The growth of a quantity, as a logarithm per epoch, over `epochs` epochs after warm-up."""

    slope: Estimate
    epochs: int

    def interval(self, level: float) -> tuple[float, float]:
        """The ends of the interval that misses the true growth with the chance `level`, as shares per epoch."""
        low, high = self.slope.interval(level)
        return share(low), share(high)


def trend_of(series: Values, begun: Values, warmup: int | None) -> Trend | Untold:
    """The growth of a series by epoch, fitted across no epoch in which a process began (those of `begun`); the first
    `warmup` epochs of every process are left out."""
    processes = parted(series, begun)
    if not processes:
        return unknown(series)
    if warmup is None:
        return Untold("no warm-up")
    kept = [process[warmup:] for process in processes]
    epochs = sum(map(len, kept))
    if any(value is None or not math.isfinite(value) or value <= 0 for process in kept for value in process):
        return Untold("gaps", epochs)
    logs = [[math.log(value) for value in process if value is not None] for process in kept]
    length = block_length([len(process) for process in logs])
    if not length:
        return Untold("too short", max(map(len, logs)), DIFFERENCES + 1)
    steps = [step / length for process in logs for step in block_steps(process, length)]
    mean = mean_of(steps)
    assert mean, "logarithms of finite numbers have a mean"
    return Trend(Estimate(mean.value, mean.error * math.sqrt(WIDER), mean.n), epochs)


def parted(series: Values, begun: Values) -> list[Values]:
    """A series by process; none where the record does not say when the processes began. One that was killed before its
    first epoch ended has none."""
    starts = [int(start) for start in begun if start is not None and math.isfinite(start)]
    if not series or not starts or starts[0] != 0 or len(starts) < len(begun):
        return []
    if starts != sorted(starts):
        return []
    return [series[start:end] for start, end in zip(starts, [*starts[1:], len(series)], strict=True)]


def unknown(series: Values) -> Untold:
    """Why a series cannot be parted by process."""
    return Untold("no starts" if series else "no series")


def block_length(lengths: Sequence[int]) -> int:
    """The greatest length of blocks that leaves enough differences in processes of so many epochs; 0 where none
    does."""
    for length in range(max(lengths) // 2, 0, -1):
        if sum(max(0, epochs // length - 1) for epochs in lengths) >= DIFFERENCES:
            return length
    return 0


def block_steps(values: Sequence[float], length: int) -> list[float]:
    """The differences of the medians of consecutive blocks. What does not fill a block is left out at the start, where
    something of the warm-up may be left."""
    medians = [
        statistics.median(values[start : start + length]) for start in range(len(values) % length, len(values), length)
    ]
    return [later - earlier for earlier, later in zip(medians, medians[1:], strict=False)]


def rule_of(series: Values, begun: Values, rule: ByGrowths) -> Grew | DidNotGrow | Untold:
    """The rule of thumb on one run. It needs one look more than growths, all of them in one process."""
    processes = parted(series, begun)
    if not processes:
        return unknown(series)
    ratios: list[float] = []
    able, before = False, 0
    for process in processes:
        looks = [index for index in range(len(process)) if (before + index + 1) % rule.looks == 0]
        row = 0
        for earlier, later in zip(looks, looks[1:], strict=False):
            ratio = ratio_of(process[earlier], process[later])
            row = row + 1 if ratio else 0
            ratios += [ratio] if ratio else []
            able = able or row >= rule.growths
            if row >= rule.growths and min(ratios[-rule.growths :]) > 1 + rule.growth:
                return Grew(before + later, tuple(ratios[-rule.growths :]))
        before += len(process)
    if able:
        return DidNotGrow(before, rule.looks, max(ratios))
    least = rule.looks * (rule.growths + 1)
    return Untold("few epochs", before, least) if before < least else Untold("no row", before, rule.growths + 1)


def ratio_of(earlier: float | None, later: float | None) -> float | None:
    """What one look sees to what the one before saw; None where one of them saw nothing."""
    if not earlier or not later or not (math.isfinite(earlier) and math.isfinite(later)):
        return None
    return later / earlier
