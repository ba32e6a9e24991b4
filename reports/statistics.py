"""The statistics: pure functions on numbers, scipy underneath.

What is compared are pairs: a candidate's value and the baseline's of the same round or lap. Everything follows from the
paired differences by Student's t, so that one interval tells all there is to tell of a finding; counts have an exact
method of their own. Nothing here raises on numbers that say nothing (none, one, not finite, unequal lengths): the
answer is then None, which is never a finding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

POWER = 0.8
"""The chance with which the smallest effect is meant to be found."""

MOST_FURTHER = 1000
"""Further pairs beyond which nobody will run them."""


@dataclass(frozen=True)
class Estimate:
    """A mean of `n` independent differences with its standard error on `n - 1` degrees of freedom."""

    value: float
    error: float
    n: int

    def interval(self, level: float) -> tuple[float, float]:
        """The interval that misses the true value with the chance `level`: value ± t · error (Student 1908)."""
        half = self.half_width(level)
        return self.value - half, self.value + half

    def half_width(self, level: float) -> float:
        """Half the width of that interval; 0 where all differences are equal."""
        return quantile(level, self.n) * self.error if self.error else 0.0

    def p_value(self) -> float:
        """The chance of a mean so far from 0 or farther if the true one is 0: two-sided, by t."""
        if self.error == 0:
            return 1.0 if self.value == 0 else 0.0
        return float(2 * stats.t.sf(abs(self.value) / self.error, self.n - 1))

    def smallest_effect(self, level: float) -> float:
        """The smallest true difference that is found with the chance `POWER` at this error: (t of level + t of power) ·
        error, the usual approximation to the non-central t (Bloom 1995, minimum detectable effects)."""
        if self.error == 0:
            return 0.0
        return (quantile(level, self.n) + float(stats.t.ppf(POWER, self.n - 1))) * self.error

    def further(self, level: float, margin: float) -> int | None:
        """How many further pairs would settle it if estimate and spread stay what they are: until the interval is
        clear of 0 where the estimate is beyond the margin, until it is inside the margin where it is not. None where
        more than `MOST_FURTHER` would be needed: the estimate is too near to the margin."""
        size = abs(self.value)
        room = size if size > margin else margin - size
        spread = self.error * math.sqrt(self.n)
        for more in range(1, MOST_FURTHER + 1):
            if quantile(level, self.n + more) * spread / math.sqrt(self.n + more) < room:
                return more
        return None


def quantile(level: float, n: int) -> float:
    """The two-sided quantile of Student's t for `n` differences."""
    return float(stats.t.ppf(1 - level / 2, n - 1))


def differences(candidate: Sequence[float], baseline: Sequence[float], *, ratio: bool) -> list[float]:
    """The paired differences, or with `ratio` log-ratios; a pair with a number that is not finite, or for a ratio not
    above 0, is left out. Empty for sequences of unequal length: what belongs together is then not known."""
    if len(candidate) != len(baseline):
        return []
    pairs = [pair for pair in zip(candidate, baseline, strict=True) if all(map(math.isfinite, pair))]
    if ratio:
        return [math.log(one / other) for one, other in pairs if one > 0 and other > 0]
    return [one - other for one, other in pairs]


def mean_of(values: Sequence[float]) -> Estimate | None:
    """The mean of independent values with its error; None for fewer than two, or any that is not finite."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    mean = math.fsum(values) / len(values)
    if max(values) == min(values):  # the mean of equal numbers may differ from them by a rounding
        return Estimate(values[0], 0.0, len(values))
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return Estimate(mean, spread / math.sqrt(len(values)), len(values))


@dataclass(frozen=True)
class CountEstimate:
    """Events of candidate and baseline over the same work, `n` pairs of runs, by the exact conditional test: if both
    have one rate, each of all events is the candidate's with the chance 1/2 (Przyborowski and Wilenski 1940)."""

    candidate: int
    baseline: int
    n: int

    @property
    def value(self) -> float:
        """Events more in a run."""
        return (self.candidate - self.baseline) / self.n

    def interval(self, level: float) -> tuple[float, float]:
        """Events more in a run, given how many there were in all: from the interval of the candidate's share in them
        by Clopper and Pearson (1934)."""
        total = self.candidate + self.baseline
        if total == 0:
            return 0.0, 0.0
        share = stats.binomtest(self.candidate, total).proportion_ci(1 - level, method="exact")
        return (2 * share.low - 1) * total / self.n, (2 * share.high - 1) * total / self.n

    def p_value(self) -> float:
        """The chance of a split so uneven or more if both have one rate: exact, two-sided."""
        total = self.candidate + self.baseline
        return float(stats.binomtest(self.candidate, total).pvalue) if total else 1.0

    def smallest_effect(self, level: float) -> float:
        """The fewest events more in a run, with none in the baseline's, that would be found: 2 · (1/2)^k ≤ level."""
        return math.ceil(1 - math.log2(level)) / self.n

    def further(self, level: float, margin: float) -> int | None:  # noqa: ARG002 (as of every estimate)
        """How many further pairs would show it if events go on coming as they did; None for more than
        `MOST_FURTHER`, or where there is no difference to show."""
        for more in range(1, MOST_FURTHER + 1) if self.candidate != self.baseline else ():
            scale = (self.n + more) / self.n
            then = CountEstimate(round(self.candidate * scale), round(self.baseline * scale), self.n + more)
            if then.p_value() <= level:
                return more
        return None


def count_of(candidate: Sequence[float], baseline: Sequence[float]) -> Estimate | CountEstimate | None:
    """Events in pairs of runs: the exact method, or where every pair is equal the difference 0; None for fewer than two
    pairs or numbers that are no counts."""
    if len(candidate) != len(baseline) or len(candidate) < 2:
        return None
    if not all(math.isfinite(value) and value >= 0 and value == int(value) for value in (*candidate, *baseline)):
        return None
    if list(candidate) == list(baseline):
        return Estimate(0.0, 0.0, len(candidate))
    return CountEstimate(int(sum(candidate)), int(sum(baseline)), len(candidate))


def holm(p_values: Sequence[float], error_rate: float) -> list[float]:
    """For each p value the level at which Holm (1979) judges it, so that all together err with at most `error_rate`.

    The i-th smallest of m is held against error_rate / (m - i + 1) as long as all before it pass; those from the first
    that does not are left with the level of that one. An interval at its level is clear of 0 exactly where Holm's
    procedure rejects. A value that is not a number counts as 1.
    """
    known = [1.0 if math.isnan(p) else p for p in p_values]
    levels = [0.0] * len(known)
    level, passing = 0.0, True
    for place, index in enumerate(sorted(range(len(known)), key=known.__getitem__)):
        if passing:
            level = error_rate / (len(known) - place)
            passing = known[index] <= level
        levels[index] = level
    return levels
