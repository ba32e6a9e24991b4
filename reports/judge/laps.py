"""The estimate by laps: of pins that took turns, each lap of the one is paired with the same lap of the other.

The estimate is the median over all laps of the log-ratios. Which estimator it should be was measured. On a quiet
two-core AMD machine any will do. In a recording of four trainings in turns on a two-core Intel machine with busy
neighbours, three rounds of 120 laps, the median of the laps' log-ratios moves by 0.7 to 1.2 % from round to round for
all pins, the ratio of sums by 0.9 to 2.1 %, the mean of the fastest third by 0.1 % between equal pins and by 2.5 to
3.4 % between versions, Hodges and Lehmann's by 0.9 to 1.5 %. Medians of sittings must not be averaged: a burst of a
neighbour can fill a sitting, and medians of blocks of 30 laps spread by 4.6 %. Over 12 such blocks the mean of their
medians is known to ±3.8 % at the level 0.0036, the median of all laps to ±1.7 to 2.0 %.

Its interval is Woodruff's (1952, "Confidence intervals for medians and other position measures", Journal of the
American Statistical Association 47): it is found for the share of laps that lie below the median, and the quantiles of
the laps turn it into one of the median. Sittings are its clusters, as laps of one sitting are not independent. A
sitting that neighbours disturbed moves the share by its laps at most, however long they took.

The price: what strikes fewer than half of the steps does not show in the median. It is in the time of the epochs.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from reports.evidence.pairing import PinLaps, log_ratios, shared
from reports.judge.statistics import MAY_WELL, MOST_FURTHER, POWER, SURELY, f_above, quantile, t_below, two_sided


@dataclass(frozen=True)
class LapEstimate:
    """The median of the laps' log-ratios in `n` sittings; `error` is the standard error of the share of laps below it,
    on `degrees` degrees of freedom."""

    ratios: Sequence[float]
    """Of all laps, in the order of their size."""
    error: float
    n: int
    degrees: int

    @cached_property
    def value(self) -> float:
        """The log-ratio that half of the laps are below."""
        return statistics.median(self.ratios)

    def interval(self, level: float) -> tuple[float, float]:
        """The interval that misses the true median with the chance `level`."""
        return self.within(quantile(level, self.degrees) * self.error)

    def within(self, reach: float) -> tuple[float, float]:
        """The quantiles of the laps at the shares 1/2 ± `reach`; infinite where these are none."""
        place = math.ceil((0.5 - reach) * len(self.ratios))
        return (self.ratios[place - 1], self.ratios[-place]) if place > 0 else (-math.inf, math.inf)

    def p_value(self) -> float:
        """The chance of a share below 0 so far from 1/2 or farther if the true median is 0: two-sided, by t. Laps that
        are exactly 0 speak for that, so it is below a level exactly where the interval at that level is clear of 0."""
        at_most, at_least = (sum(sign * ratio <= 0 for ratio in self.ratios) for sign in (1, -1))
        apart = 0.5 - min(at_most, at_least) / len(self.ratios)
        return two_sided(max(0.0, apart) / self.error, self.degrees)

    def smallest_effect(self, level: float) -> float:
        """The smallest true difference that is found with the chance `POWER`, as of `Estimate`: half the width of the
        interval that reaches farther by the t of that chance."""
        low, high = self.within((quantile(level, self.degrees) + t_below(POWER, self.degrees)) * self.error)
        return (high - low) / 2

    def further(self, level: float, margin: float) -> int | None:
        """How many further sittings would settle it if the laps stay what they are, as of `Estimate`."""
        for more in range(1, MOST_FURTHER + 1):
            low, high = self.as_if(self.n + more).interval(level)
            if (low > 0 or high < 0) if abs(self.value) > margin else (-margin < low and high < margin):
                return more
        return None

    def as_if(self, n: int) -> LapEstimate:
        """The same estimate as if it rested on `n` sittings. Degrees of freedom grow as n - 1 does."""
        degrees = self.degrees * (n - 1) // (self.n - 1)
        return replace(self, error=self.error * math.sqrt(self.n / n), n=n, degrees=degrees)


def in_turns(laps: PinLaps, baseline: str) -> dict[str, LapEstimate]:
    """By pin, the estimate from the sittings that it shared with the baseline. There is none from fewer than two: laps
    of one do not tell how far sittings differ.

    The noise is the machine's, so all pins with laps in exactly these sittings tell it.
    """
    sittings = {pin: shared(laps, pin, baseline) for pin in laps if pin != baseline}
    ratios = {pin: log_ratios(laps, pin, baseline) for pin, both in sittings.items() if len(both) > 1}
    variances = {pin: variance_of(own) for pin, own in ratios.items()}
    found = {}
    for pin, own in ratios.items():
        others = [variances[name] for name in ratios if name != pin and sittings[name] == sittings[pin]]
        variance, degrees = pooled(variances[pin], others, len(own))
        ordered = sorted(itertools.chain.from_iterable(own))
        found[pin] = LapEstimate(ordered, math.sqrt(max(variance, binomial(len(ordered)))), len(own), degrees)
    return found


def variance_of(sittings: Sequence[Sequence[float]]) -> float:
    """The variance of the share of laps below their median, never less than if the laps were independent. A sitting
    counts by how many more of its laps are above than below: S = half of that, and n / (n - 1) · ΣS² / N² is the
    variance over n sittings of N laps."""
    ratios = [ratio for sitting in sittings for ratio in sitting]
    middle = statistics.median(ratios)
    scores = [sum((ratio > middle) - (ratio < middle) for ratio in sitting) / 2 for sitting in sittings]
    n = len(sittings)
    return max(n / (n - 1) * math.fsum(score**2 for score in scores) / len(ratios) ** 2, binomial(len(ratios)))


def binomial(laps: int) -> float:
    """The variance of that share if the laps were independent."""
    return 0.25 / laps


def pooled(own: float, others: Sequence[float], n: int) -> tuple[float, int]:
    """The variance for a candidate, and its degrees of freedom: the mean over all pins, as a table's noise is in
    `in_blocks`. Where the candidate may be noisier than the others, its own; others that are clearly noisier are
    left out."""
    calm = [
        one
        for place, one in enumerate(others)
        if len(others) < 2 or not noisier(one, [own, *others[:place], *others[place + 1 :]], n, SURELY)
    ]
    if not calm or noisier(own, calm, n, MAY_WELL):
        return own, n - 1
    return statistics.fmean([own, *calm]), degrees_of(len(calm) + 1, n)


def noisier(one: float, others: Iterable[float], n: int, level: float) -> bool:
    """Whether a pin is noisier than others: an F test of its variance against the mean of theirs."""
    rest = [*others]
    return f_above(one / statistics.fmean(rest), n - 1, degrees_of(len(rest), n)) < level


def degrees_of(pins: int, n: int) -> int:
    """The degrees of freedom of a mean over so many pins. All are held against one baseline, so their ratios correlate
    by 1/2, and the variances of these by 1/4: k pins are worth k² / (k + k (k - 1) / 4) = 4 k / (k + 3)."""
    return 4 * pins * (n - 1) // (pins + 3)
