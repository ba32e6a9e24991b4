"""The statistics: pure functions on numbers, on top of scipy's special functions. To import `scipy.stats`, which is
built on these, takes most of a second.

Values are compared in pairs: a candidate's and the baseline's of the same round. Student's t on the paired differences
gives one interval, from which everything else about a finding follows; counts have an exact method of their own, and
what is measured in turns has one in `laps.py`. Nothing here raises on numbers that say nothing (none, one, not finite,
unequal lengths): the answer is then None, which is never a finding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from scipy import special

POWER = 0.8
"""The chance with which the smallest effect is meant to be found."""

MOST_EVENTS = 2**53
"""Events that are still told apart one by one."""

MOST_FURTHER = 1000
"""More further pairs than that nobody will run."""


@dataclass(frozen=True)
class Estimate:
    """A mean of `n` independent differences with its standard error, on `n - 1` degrees of freedom if not on others."""

    value: float
    error: float
    n: int
    freedom: int | None = None

    @property
    def degrees(self) -> int:
        """Degrees of freedom of the error."""
        return self.n - 1 if self.freedom is None else self.freedom

    def interval(self, level: float) -> tuple[float, float]:
        """The interval that misses the true value with the chance `level`: value ± t · error (Student 1908)."""
        half = self.half_width(level)
        return self.value - half, self.value + half

    def half_width(self, level: float) -> float:
        """Half the width of that interval; 0 where all differences are equal."""
        return quantile(level, self.degrees) * self.error if self.error else 0.0

    def p_value(self) -> float:
        """The chance of a mean so far from 0 or farther if the true one is 0: two-sided, by t."""
        if self.error == 0:
            return 1.0 if self.value == 0 else 0.0
        return two_sided(abs(self.value) / self.error, self.degrees)

    def smallest_effect(self, level: float) -> float:
        """The smallest true difference that is found with the chance `POWER` at this error: (t of level + t of power) ·
        error, the usual approximation to the non-central t (Bloom 1995, minimum detectable effects)."""
        if self.error == 0:
            return 0.0
        return (quantile(level, self.degrees) + t_below(POWER, self.degrees)) * self.error

    def further(self, level: float, margin: float) -> int | None:
        """How many further pairs would settle it if estimate and spread stay what they are: until the interval is
        clear of 0 where the estimate is beyond the margin, until it is inside the margin where it is not. None where
        more than `MOST_FURTHER` would be needed: the estimate is too near to the margin."""
        size = abs(self.value)
        room = size if size > margin else margin - size
        for more in range(1, MOST_FURTHER + 1):
            if self.as_if(self.n + more).half_width(level) < room:
                return more
        return None

    def as_if(self, n: int) -> Estimate:
        """The same from `n` pairs, two at least, that spread as these do: degrees of freedom grow as n - 1 does."""
        degrees = self.degrees * (n - 1) // (self.n - 1)
        return Estimate(self.value, self.error * math.sqrt(self.n / n), n, degrees)


@lru_cache(maxsize=1000)
def quantile(level: float, degrees: int) -> float:
    """The two-sided quantile of Student's t."""
    return t_below(1 - level / 2, degrees)


def t_below(chance: float, degrees: int) -> float:
    """The number that Student's t is below with this chance."""
    return float(special.stdtrit(degrees, chance))


def two_sided(t: float, degrees: int) -> float:
    """The chance that Student's t is as far from 0 as `t`, which is not negative, or farther."""
    return float(2 * special.stdtr(degrees, -t))


def f_above(ratio: float, degrees: int, of_other: int) -> float:
    """The chance that the ratio of two variances of like noise, each on its degrees of freedom, is above `ratio`."""
    return float(special.fdtrc(degrees, of_other, ratio))


def chi_square_below(chance: float, degrees: int) -> float:
    """The number that χ² is below with this chance."""
    return float(2 * special.gammaincinv(degrees / 2, chance))


def share(log_ratio: float) -> float:
    """A log-ratio as a share; infinite where an interval is too wide for a number."""
    return math.expm1(log_ratio) if log_ratio < 700 else math.inf


def less(more: float) -> float:
    """What a share more is mirrored to: ratios are judged by their logarithms, so 50 % more goes with 33 % less."""
    return 1 / (1 + more) - 1


def mean_of(values: Sequence[float]) -> Estimate | None:
    """The mean of independent values with its error; None for fewer than two, or any that is not finite."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    if max(values) == min(values):  # the mean of equal numbers may differ from them by a rounding
        return Estimate(values[0], 0.0, len(values))
    try:
        mean = math.fsum(values) / len(values)
        spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    except OverflowError:
        return None
    return Estimate(mean, spread / math.sqrt(len(values)), len(values))


def in_blocks(rows: Sequence[Sequence[float]], candidate: int, baseline: int) -> Estimate | None:
    """The mean difference of two columns of a table whose rows are rounds and whose columns are all pins, with the
    error that all columns together tell: the randomised complete block design (Fisher 1935).

    A row is what all pins have in common. What a cell has beyond its row and its column is the machine's noise, which
    is taken to be the same for all pins, so (rows - 1) · (columns - 1) degrees of freedom estimate it instead of
    rows - 1. Where the candidate may be noisier than the others (`noisier`), only candidate and baseline are used;
    other columns that are clearly noisier are dropped. None for fewer than two rows, or numbers that are not finite.
    """
    own = mean_of([row[candidate] - row[baseline] for row in rows])
    if own is None or not all(math.isfinite(value) for row in rows for value in row):
        return None
    try:
        calm = [
            place
            for place in range(len(rows[0]))
            if place in (candidate, baseline) or len(rows[0]) < 4 or not noisier(rows, place, SURELY)
        ]
        kept = [[row[place] for place in calm] for row in rows]
        if len(calm) < 3 or noisier(kept, calm.index(candidate), MAY_WELL):
            return own
        rest, degrees = residual(kept)
    except OverflowError:  # of a pin whose numbers are beyond all measure; they must not hide what these two show
        return own
    return Estimate(own.value, math.sqrt(2 * rest / degrees / len(rows)), len(rows), degrees)


def residual(rows: Sequence[Sequence[float]]) -> tuple[float, int]:
    """The sum of squares that neither rows nor columns explain, and its degrees of freedom."""
    columns = list(zip(*rows, strict=True))
    row_means = [math.fsum(row) / len(row) for row in rows]
    column_means = [math.fsum(column) / len(column) for column in columns]
    total = math.fsum(row_means) / len(rows)
    squares = (
        (value - row_mean - column_mean + total) ** 2
        for row, row_mean in zip(rows, row_means, strict=True)
        for value, column_mean in zip(row, column_means, strict=True)
    )
    return math.fsum(squares), (len(rows) - 1) * (len(columns) - 1)


MAY_WELL = 0.05
"""The level at which a candidate counts as noisier. To overlook it makes findings false: of a pin three times as noisy
as the others, over two to four pairs, 9 to 11 % at the level 0.05, and still 6 to 9 % if it were 0.2 here. To see it in
vain costs width: at 0.2 one interval in five, of pins that are all alike, would be up to twice as wide, and over two
pairs wider than any margin."""
SURELY = 0.001
"""The level at which another pin does: to leave it out in vain would take the noise for smaller than it is."""


def noisier(rows: Sequence[Sequence[float]], candidate: int, level: float) -> bool:
    """Whether a column is noisier than all others: an F test of its distance from their mean against what is left among
    them."""
    others = [[value for place, value in enumerate(row) if place != candidate] for row in rows]
    count = len(others[0])
    apart = mean_of([row[candidate] - math.fsum(other) / count for row, other in zip(rows, others, strict=True)])
    rest, degrees = residual(others)
    if apart is None or apart.error == 0:
        return False
    if rest == 0:
        return True
    variance = apart.error**2 * len(rows) / (1 + 1 / count)
    return f_above(variance / (rest / degrees), len(rows) - 1, degrees) < level


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
        low = special.betaincinv(self.candidate, self.baseline + 1, level / 2) if self.candidate else 0.0
        high = special.betaincinv(self.candidate + 1, self.baseline, 1 - level / 2) if self.baseline else 1.0
        return float((2 * low - 1) * total / self.n), float((2 * high - 1) * total / self.n)

    def p_value(self) -> float:
        """The chance of a split so uneven or more if both have one rate: exact, two-sided, twice that of as few or
        fewer for the one that has less, which is an incomplete beta function."""
        fewer, more = sorted((self.candidate, self.baseline))
        return min(1.0, float(2 * special.betainc(more, fewer + 1, 0.5))) if more else 1.0

    def smallest_effect(self, level: float) -> float:
        """The fewest events more in a run, with none in the baseline's, that would be found: 2 · (1/2)^k ≤ level."""
        return math.ceil(1 - math.log2(level)) / self.n

    def further(self, level: float, margin: float) -> int | None:  # noqa: ARG002 (as of every estimate)
        """How many further pairs would show it if events go on coming as they did; None for more than
        `MOST_FURTHER`, or where there is no difference to show."""
        for more in range(1, MOST_FURTHER + 1) if self.candidate != self.baseline else ():
            if self.as_if(self.n + more).p_value() <= level:
                return more
        return None

    def as_if(self, n: int) -> CountEstimate:
        """The same over `n` pairs in which events come as often."""
        return CountEstimate(round(self.candidate * n / self.n), round(self.baseline * n / self.n), n)


def count_of(candidate: Sequence[float], baseline: Sequence[float]) -> Estimate | CountEstimate | None:
    """Events in pairs of runs: the exact method, or where every pair is equal the difference 0; None for fewer than two
    pairs or numbers that are no counts."""
    if len(candidate) != len(baseline) or len(candidate) < 2:
        return None
    if not all(math.isfinite(value) and value >= 0 and value == int(value) for value in (*candidate, *baseline)):
        return None
    if sum((*candidate, *baseline)) > MOST_EVENTS:
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
