"""The search for the release in which a value changed: which releases to compare, and after how many rounds to decide.

Halving errs as soon as one of its comparisons does. Noisy comparisons are therefore repeated until each is sure enough
for all of them together, which is the plain form of noisy binary search (Karp and Kleinberg 2007, "Noisy binary search
and its applications", SODA). The error rate of the search is shared equally among the comparisons that are left in the
worst case: the two ends, halving, the neighbours. By Bonferroni's inequality all together err with at most that rate.

The noise is not known beforehand. The first rounds of the two ends, of which there are as many whatever comes out, tell
it (Stein 1945, "A two-sample test for a linear hypothesis whose power is independent of the variance", Annals of
Mathematical Statistics 16), and how far apart the ends are.

- The ends, and at last the neighbours, are compared by Student's t, looked at after every round. Their share of the
  error rate is spent over the looks, of the k-th 1 / (k (k + 1)), which add up to 1 however many there are (a spending
  function; Lan and DeMets 1983, "Discrete sequential boundaries for clinical trials", Biometrika 70).
- A release between is held against the half of the way between the two ends, which run beside it in every round: what
  the machine does to all of them cancels. Which side it is on is a sequential test of a difference of known size by
  Stein's variance (Hall 1962, "Some sequential analogs of Stein's two-stage test", Biometrika 49): `side_of`.

So rounds may be added until a comparison is settled, and a search that was killed goes on as if it had not been.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from reports.judge.statistics import MAY_WELL, Estimate, f_above, mean_of, noisier, residual

Rows = Sequence[Sequence[float]]
"""Values, or their logarithms: a row for what all pins did beside one another, a column for each pin."""

Answer = Literal["below", "above", "alike", "open", "none", "more"]
"""Of a comparison: the contrast is below 0 or above it; of what has no noise it is alike; it is still open after the
most rounds; there is no value of it; or it takes more rounds."""


@dataclass(frozen=True)
class Weighed:
    """What a comparison came to after some rounds."""

    answer: Answer
    rounds: int
    estimate: Estimate | None = None
    level: float = 1.0
    """The chance with which its interval misses the true value."""

    @property
    def surely(self) -> float:
        """How far the interval is from 0 at least; 0 where it reaches it."""
        low, high = self.interval
        return max(low, -high, 0.0)

    @property
    def interval(self) -> tuple[float, float]:
        """Of the contrast; infinite where there is no estimate."""
        return self.estimate.interval(self.level) if self.estimate else (-math.inf, math.inf)


@dataclass(frozen=True)
class Noise:
    """The sum of squares that neither rows nor columns explain, and its degrees of freedom."""

    squares: float
    degrees: int

    @property
    def variance(self) -> float:
        """Of one value."""
        return self.squares / self.degrees


def noise_of(rows: Rows) -> Noise | None:
    """The noise that all columns of a table show; None where it has fewer than two rows or columns."""
    return Noise(*residual(rows)) if len(rows) > 1 and len(rows[0]) > 1 else None


def contrast(
    rows: Rows, weights: Sequence[float], known: Noise | None = None, *, counts: bool = False
) -> Estimate | None:
    """A weighted sum of columns, its weights adding up to 0, with the noise that all columns show and what is `known`
    of it from elsewhere. Without the latter where these rows may be noisier; by the sums of its own rows alone where
    one of its columns may be noisier than the rest. Of `counts` the noise is at least that of events that come by
    chance, whose variance is their mean. None for fewer than two rows, or numbers that are not finite."""
    sums = [math.fsum(map(math.prod, zip(weights, row, strict=True))) for row in rows]
    own, squared = mean_of(sums), math.fsum(weight**2 for weight in weights)
    if own is None:
        return None
    noise = Noise(*residual(rows))
    if any(weight and noisier(rows, place, MAY_WELL) for place, weight in enumerate(weights)):
        noise = Noise(own.error**2 * own.degrees * len(rows) / squared, own.degrees)
    elif known and not is_noisier(noise, known):
        noise = Noise(noise.squares + known.squares, noise.degrees + known.degrees)
    variance = noise.variance
    if counts:
        variance = max(variance, math.fsum(map(math.fsum, rows)) / len(rows) / len(weights))
    return Estimate(own.value, math.sqrt(variance * squared / len(rows)), len(rows), noise.degrees)


def is_noisier(one: Noise, other: Noise) -> bool:
    """Whether the one may be noisier than the other: an F test of their variances."""
    if other.squares == 0:
        return one.squares > 0
    return f_above(one.variance / other.variance, one.degrees, other.degrees) < MAY_WELL


def share_of_look(look: int) -> float:
    """The share of a comparison's error rate that its look number `look`, from 1, may spend."""
    return 1 / (look * (look + 1))


def weigh(rounds: Sequence[Rows], weights: Sequence[float], level: float, most: int, known: Noise | None = None, *,
          least: int = 1, precise: bool = False, counts: bool = False) -> Weighed:  # fmt: skip
    """Whether a contrast differs from 0, by the first look at these rounds that settles it. `level`: the chance that
    the interval of any look misses the true value; the first look is after `least` rounds. `known`: of its noise from
    elsewhere. With `precise` it is not settled before the interval reaches no nearer to 0 than half of the estimate.
    After `most` rounds it is, if it is clear of 0, or else open."""
    told = Weighed("more", 0)
    for done in range(least, len(rounds) + 1):
        rows = [row for each in rounds[:done] for row in each]
        estimate, spent = contrast(rows, weights, known, counts=counts), level * share_of_look(done - least + 1)
        told = Weighed("more", done, estimate, spent)
        if estimate and told.surely and (told.surely >= abs(estimate.value) / 2 or not precise or done >= most):
            return replace(told, answer="above" if estimate.value > 0 else "below")
    if len(rounds) < max(least, most):
        return told
    return replace(told, answer="open" if told.estimate else "none")


def side_of(rounds: Sequence[Rows], weights: Sequence[float], level: float, most: int, known: Noise,
            apart: float) -> Weighed:  # fmt: skip
    """Whether a contrast is above 0 or below it, of which it is at least `apart` on the one side or on the other. The
    wrong side has at most the chance `level`.

    The sum of rows whose mean is at least d and whose variance is v ever falls to -b with at most the chance
    exp(-2 d b / v) (Lundberg's inequality). With b = a s² / (2 d), where s² estimates v on m degrees of freedom, that
    is on average (1 + 2 a / m) ** (-m / 2), which is `level` at a = m / 2 (level ** (-2 / m) - 1). Where these rows
    may be noisier than what is `known`, s² is theirs.
    """
    degrees, squared = known.degrees, math.fsum(weight**2 for weight in weights)
    reach = degrees / 2 * (level ** (-2 / degrees) - 1)
    for done in range(1, len(rounds) + 1):
        rows = [row for each in rounds[:done] for row in each]
        noise = noise_of(rows)
        variance = noise.variance if noise and is_noisier(noise, known) else known.variance
        total = math.fsum(weight * value for row in rows for weight, value in zip(weights, row, strict=True))
        if total and abs(total) >= reach * variance * squared / (2 * apart):
            return Weighed("above" if total > 0 else "below", done, contrast(rows, weights, known), level)
    told = contrast([row for each in rounds for row in each], weights, known) if rounds else None
    return Weighed("more" if len(rounds) < most else "open", len(rounds), told, level)


# --- the search ---------------------------------------------------------------------------------------------------

LOOKED = 3
"""The rounds of the two ends before the first look, and those that tell the noise."""

Pins = tuple[int, ...]
"""Releases beside one another, by their places, the first as the baseline."""


@dataclass(frozen=True)
class Course:
    """How far a search has come. Places are of the releases, from 0."""

    low: int
    """The last release that is known to be before the change."""
    high: int
    """The first one that is known to be after it."""
    ends: Weighed
    steps: dict[int, Weighed] = field(default_factory=dict)
    """What was told of releases between, in the order in which they were asked."""
    neighbours: Weighed | None = None
    wanted: Pins = ()
    """What has to be measured further; nothing where the search is at its end."""

    @property
    def differ(self) -> bool:
        """Whether the ends do."""
        return self.ends.answer in ("below", "above")


def comparisons_left(between: int) -> int:
    """How many comparisons halving takes in the worst case, with so many releases between."""
    return math.ceil(math.log2(between + 1))


def halve(last: int, error_rate: float, ask: Callable[[Pins, float, float], Weighed]) -> Course:
    """The search as far as what was measured carries it: `ask` tells what these releases came to beside one another,
    wrong with at most that chance, where the ends are at least so far apart. First the ends, then of what is left the
    release in its middle, with both ends beside it; at last the two neighbours. A release that tells nothing is passed
    over, for the nearest one."""
    level = error_rate / (comparisons_left(last - 1) + 2)
    ends = ask((0, last), level, 0.0)
    rest = error_rate - level
    course = Course(0, last, ends, wanted=(0, last) if ends.answer == "more" else ())
    if not course.differ:
        return course
    while between := [place for place in range(course.low + 1, course.high) if place not in course.steps]:
        place = min(between, key=lambda one: (abs(2 * one - course.low - course.high), one))
        level = rest / (comparisons_left(len(between)) + 1)
        told = ask((0, place, last), level, ends.surely)
        if told.answer == "more":
            return replace(course, wanted=(0, place, last))
        rest -= level if told.answer != "none" else 0.0
        course = replace(course, steps={**course.steps, place: told})
        if told.answer in ("below", "above"):
            course = replace(course, high=place) if told.answer == ends.answer else replace(course, low=place)
    both = (course.low, course.high)
    if both == (0, last):
        return course
    told = ask(both, rest, ends.surely)
    return replace(course, neighbours=told, wanted=both if told.answer == "more" else ())
