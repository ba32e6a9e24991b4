"""A soak: how fast memory grows and epochs get longer, by epoch, and what a common rule of thumb says of the same.

The interval of a slope has to hold whatever the noise is. What a process has once taken by chance it may keep for good
(memory as a random walk); the time of an epoch scatters about a level; both may have spikes. A line fitted to all
epochs takes its error from the scatter about it, and is far too sure of a random walk.

So the epochs of each process after its warm-up are cut into blocks of equal length, and what is averaged are the
differences of the medians of consecutive blocks: they sum up to all that was added from the first block to the last, at
an even pace or in leaps. Student's t on these differences:

- Noise that is independent from epoch to epoch: neighbouring differences share a block and are correlated by -1/2, so
  their mean varies less than t makes of them, and the interval is too wide.
- A random walk: first differences of its averages are correlated by up to +1/4 (Working 1960, Econometrica 28), so
  their mean varies more. `WIDER` makes up for that.
- What lies between the two, as an autoregressive process does, has a correlation between.

Fewer blocks make the interval shorter under independent noise, but t larger: seven are near the best of both. What
no interval tells is of leaps so rare that a run has none.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.record import Record
from harness.core.settings import SoakSettings
from reports.evidence.units import signed
from reports.judge.statistics import Estimate, mean_of, share

SOAK = "soak"
"""The case."""
BEGUN = "begun"
"""The series of the epochs, counted from 0, in which a process began; the first is 0."""
DIFFERENCES = 6
"""Of consecutive blocks, at least: t with 5 degrees of freedom."""
WIDER = 1.55
"""How much larger the variance of the mean of these differences may be than independent ones' is, as they estimate it.

For averages of a random walk with N differences in one process it is (N - 1/3)/N · (N - 1)/(2N/3 - 1 + 1/(3N)), which
falls from 1.545 for N = 6 to 1.5; in several processes it is less.
"""
LOOKS, GROWTHS, GROWTH = 10, 3, 0.03
"""The rule: memory looked at every 10 epochs, and growths in a row, each of more than 3 %."""

MEMORY = {"cpu": {"rss": "RSS"}, "cuda": {"allocated": "allocated", "reserved": "reserved", "rss": "RSS of the host"}}
"""By kind of device the series of memory in which a leak may show, and what they are called. The first one is what the
rule looks at."""

Values = Sequence[float | None]


@dataclass(frozen=True)
class Trend:
    """The growth of a quantity, as a logarithm per epoch, over `epochs` epochs after warm-up; or why there is none."""

    slope: Estimate | None
    epochs: int
    reason: str = ""

    def interval(self, level: float) -> tuple[float, float]:
        """The ends of the interval that misses the true growth with the chance `level`, as shares per epoch."""
        assert self.slope
        low, high = self.slope.interval(level)
        return share(low), share(high)


@dataclass(frozen=True)
class Rule:
    """What the rule of thumb says of one run: whether it fired, None where it could not, and what it rests on."""

    fired: bool | None
    said: str


@dataclass(frozen=True)
class Soak:
    """What one run of `soak` says; memory by what it is called."""

    memory: dict[str, Trend]
    time: Trend
    rule: Rule


def soak_of(record: Record) -> Soak:
    """What a run of `soak` says: from its series of memory at every epoch's end, in bytes, and of epoch times, in
    seconds."""
    settings = record.spec.settings
    warmup = settings.warmup_epochs if isinstance(settings, SoakSettings) else None
    names = MEMORY["cpu" if record.spec.device == "cpu" else "cuda"]
    begun = record.series.get(BEGUN, [])
    return Soak(
        memory={what: trend_of(record.series.get(name, []), begun, warmup) for name, what in names.items()},
        time=trend_of(record.series.get("epoch_time", []), begun, warmup),
        rule=rule_of(record.series.get(next(iter(names)), []), begun),
    )


def trend_of(series: Values, begun: Values, warmup: int | None) -> Trend:
    """The growth of a series by epoch, fitted across no epoch in which a process began; the first `warmup` epochs of
    every process are left out."""
    processes = parted(series, begun)
    if not processes:
        return Trend(None, 0, unknown(series))
    if warmup is None:
        return Trend(None, 0, "what was asked for does not say how long the warm-up is")
    kept = [process[warmup:] for process in processes]
    epochs = sum(map(len, kept))
    if any(value is None or not math.isfinite(value) or value <= 0 for process in kept for value in process):
        return Trend(None, epochs, "some epoch after the warm-up has no figure")
    logs = [[math.log(value) for value in process if value is not None] for process in kept]
    length = block_length([len(process) for process in logs])
    if not length:
        longest = max(map(len, logs))
        needed = DIFFERENCES + 1
        return Trend(None, epochs, f"too short: {longest} epochs in one process after warm-up, and it takes {needed}")
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


def unknown(series: Values) -> str:
    """Why a series cannot be parted by process."""
    return "the record does not say in which epochs a process began" if series else "the record holds no series of it"


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


def rule_of(memory: Values, begun: Values) -> Rule:
    """The rule of thumb on one run. It needs four looks at one process, and so forty epochs."""
    processes = parted(memory, begun)
    if not processes:
        return Rule(None, unknown(memory))
    ratios: list[float] = []
    able, before = False, 0
    for process in processes:
        looks = [index for index in range(len(process)) if (before + index + 1) % LOOKS == 0]
        row = 0
        for earlier, later in zip(looks, looks[1:], strict=False):
            ratio = ratio_of(process[earlier], process[later])
            row = row + 1 if ratio else 0
            ratios += [ratio] if ratio else []
            able = able or row >= GROWTHS
            if row >= GROWTHS and min(ratios[-GROWTHS:]) > 1 + GROWTH:
                grown = ", ".join(map(grown_by, ratios[-GROWTHS:]))
                return Rule(True, f"it fires at epoch {before + later + 1}: {grown}")
        before += len(process)
    if able:
        return Rule(False, f"{before} epochs; the largest growth in {LOOKS} of them is {grown_by(max(ratios))}")
    least = LOOKS * (GROWTHS + 1)
    if before < least:
        return Rule(None, f"{before} epochs, and it cannot fire in fewer than {least}")
    return Rule(None, f"{before} epochs, but in no process {GROWTHS + 1} looks in a row")


def ratio_of(earlier: float | None, later: float | None) -> float | None:
    """What one look sees to what the one before saw; None where one of them saw nothing."""
    if not earlier or not later or not (math.isfinite(earlier) and math.isfinite(later)):
        return None
    return later / earlier


def grown_by(ratio: float) -> str:
    """A ratio as a growth: `+3.4 %`."""
    return signed(f"{(ratio - 1) * 100:+.1f}") + " %"
