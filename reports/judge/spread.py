"""Spreads: how far the runs of a pin lie apart, and the ratio of two pins' spreads. Values are taken to be normally
distributed: with heavier tails the chances of error are larger than stated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports.judge.statistics import MOST_FURTHER, POWER, chi_square_below, quantile, t_below, two_sided


@dataclass(frozen=True)
class SpreadEstimate:
    """The ratio of the standard deviations of two paired samples, as a logarithm: sums and differences of the pairs are
    uncorrelated exactly where the spreads are equal (Pitman 1939; Morgan 1939). `correlation` is that of the pairs."""

    value: float
    correlation: float
    n: int

    @property
    def unit(self) -> float:
        """What sinh of the logarithm is divided by to have Student's t on n - 2 degrees of freedom.

        That is the usual t of the correlation of sums and differences, which for a ratio ω of the standard deviations
        is (ω - 1/ω) / √((ω + 1/ω)² - 4r²).
        """
        return math.sqrt((1 - self.correlation**2) / (self.n - 2))

    def interval(self, level: float) -> tuple[float, float]:
        """The interval that misses the true value with the chance `level`: all ratios that the test does not reject."""
        half = math.asinh(quantile(level, self.n - 2) * self.unit)
        return self.value - half, self.value + half

    def p_value(self) -> float:
        """The chance of spreads so unequal or more if the true ones are equal: two-sided, by t."""
        if self.unit == 0:
            return 1.0 if self.value == 0 else 0.0
        return two_sided(abs(math.sinh(self.value)) / self.unit, self.n - 2)

    def smallest_effect(self, level: float) -> float:
        """The smallest true difference that is found with the chance `POWER`, by the approximation of `Estimate`."""
        return math.asinh((quantile(level, self.n - 2) + t_below(POWER, self.n - 2)) * self.unit)

    def further(self, level: float, margin: float) -> int | None:
        """How many further pairs would settle it if ratio and correlation stay what they are; None for more than
        `MOST_FURTHER`, or where the ratio is too near to the margin."""
        size = abs(self.value)
        room = size if size > margin else margin - size
        for more in range(1, MOST_FURTHER + 1):
            low, high = self.as_if(self.n + more).interval(level)
            if (high - low) / 2 < room:
                return more
        return None

    def as_if(self, n: int) -> SpreadEstimate:
        """The same from `n` pairs, three at least."""
        return SpreadEstimate(self.value, self.correlation, n)


def spreads_of(candidate: Sequence[float], baseline: Sequence[float]) -> SpreadEstimate | None:
    """The spreads of paired values; None for fewer than three pairs, values that are not finite, or one of the two
    without any spread."""
    if len(candidate) != len(baseline) or len(candidate) < 3:
        return None
    one, other = spread_of(candidate), spread_of(baseline)
    if not one or not other:
        return None
    if list(candidate) == list(baseline):  # rounding must not make of them two that differ
        return SpreadEstimate(0.0, 1.0, len(candidate))
    means = math.fsum(candidate) / len(candidate), math.fsum(baseline) / len(baseline)
    shared = math.fsum(
        (a - means[0]) / one * ((b - means[1]) / other) for a, b in zip(candidate, baseline, strict=True)
    )
    correlation = max(-1.0, min(1.0, shared / (len(candidate) - 1)))
    return SpreadEstimate(math.log(one) - math.log(other), correlation, len(candidate))


def spread_of(values: Sequence[float]) -> float | None:
    """The standard deviation of a sample; None for fewer than two values, or any that is not finite."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    if max(values) == min(values):  # the mean of equal numbers may differ from them by a rounding
        return 0.0
    try:
        mean = math.fsum(values) / len(values)
        return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    except OverflowError:
        return None


def spread_interval(values: Sequence[float], level: float) -> tuple[float, float] | None:
    """The interval that misses the true standard deviation with the chance `level`: s √((n - 1)/χ²) at both ends of χ²
    with n - 1 degrees of freedom. None where the sample has no spread, from which nothing follows."""
    spread, degrees = spread_of(values), len(values) - 1
    if not spread:
        return None
    low, high = (chi_square_below(chance, degrees) for chance in (1 - level / 2, level / 2))
    return spread * math.sqrt(degrees / low), spread * math.sqrt(degrees / high)
