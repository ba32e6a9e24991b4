"""Spreads against values worked by hand, against scipy, and against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from reports.judge.spread import SpreadEstimate, spread_interval, spread_of, spreads_of

Pairs = tuple[list[float], list[float]]


def drawn(n: int, ratio: float = 1.0, correlation: float = 0.5, seed: int = 1) -> Pairs:
    """Pairs from a normal distribution; the true spreads have this ratio."""
    covariance = [[ratio**2, correlation * ratio], [correlation * ratio, 1.0]]
    pairs = np.random.default_rng(seed).multivariate_normal([0.7, 0.8], covariance, n)
    return [float(one) for one in pairs[:, 0]], [float(other) for other in pairs[:, 1]]


def estimate(candidate: list[float], baseline: list[float]) -> SpreadEstimate:
    found = spreads_of(candidate, baseline)
    assert found is not None
    return found


# --- two spreads ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 4, 10, 40])
@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.99])
def test_the_p_value_is_that_of_the_correlation_of_sums_and_differences(n: int, correlation: float) -> None:
    one, other = (np.array(values) for values in drawn(n, 1.7, correlation, seed=n))
    known = stats.pearsonr(one + other, one - other)
    found = estimate(list(one), list(other))
    assert found.p_value() == pytest.approx(known.pvalue, rel=1e-6)
    assert found.value == pytest.approx(math.log(np.std(one, ddof=1) / np.std(other, ddof=1)))


@pytest.mark.parametrize("level", [0.05, 0.05 / 24])
def test_the_interval_ends_at_the_ratios_that_the_test_just_rejects(level: float) -> None:
    one, other = (np.array(values) for values in drawn(9, 1.4))
    for end in estimate(list(one), list(other)).interval(level):
        scaled = one / math.exp(end)
        assert stats.pearsonr(scaled + other, scaled - other).pvalue == pytest.approx(level)


def test_three_pairs_by_hand() -> None:
    # spreads 2 and √3, uncorrelated; sinh of the log-ratio is (2/√3 - √3/2) / 2 = 0.14434, its unit √(1/1) = 1; t with
    # one degree of freedom is Cauchy's: p = 1 - 2 arctan(0.14434)/π, and the quantile 12.7062 has the asinh 3.2368
    found = estimate([-2.0, 0.0, 2.0], [-1.0, 2.0, -1.0])
    assert (found.value, found.correlation) == pytest.approx((math.log(2 / math.sqrt(3)), 0.0))
    assert found.p_value() == pytest.approx(1 - 2 * math.atan(0.144338) / math.pi, abs=1e-5)
    assert found.interval(0.05) == pytest.approx((found.value - 3.2368, found.value + 3.2368), abs=1e-4)


@pytest.mark.parametrize(("n", "ratio", "correlation"), [(4, 1.0, 0.0), (6, 1.5, 0.5), (12, 0.6, 0.9)])
def test_the_interval_holds_the_true_ratio_as_often_as_it_says(n: int, ratio: float, correlation: float) -> None:
    inside = 0
    for seed in range(1500):
        low, high = estimate(*drawn(n, ratio, correlation, seed)).interval(0.1)
        inside += low <= math.log(ratio) <= high
    assert inside / 1500 == pytest.approx(0.9, abs=0.024)  # three standard errors of 1500 draws


def test_the_smallest_effect_is_found_about_as_often_as_it_says() -> None:
    smallest = estimate(*drawn(30)).smallest_effect(0.05)
    found = [estimate(*drawn(30, math.exp(smallest), seed=seed)).p_value() <= 0.05 for seed in range(600)]
    assert 0.7 < sum(found) / 600 < 0.9


@pytest.mark.parametrize("ratio", [1.0, 1.2, 1.5, 1.8, 3.0])
@pytest.mark.parametrize("level", [0.2, 0.05, 0.001])
def test_the_interval_is_clear_of_equal_spreads_exactly_where_the_test_rejects(ratio: float, level: float) -> None:
    found = estimate(*drawn(12, ratio))
    low, high = found.interval(level)
    assert (low > 0 or high < 0) == (found.p_value() <= level)


@pytest.mark.parametrize(("ratio", "settled"), [(1.5, 0.0), (1.02, math.log(1.5))])
def test_as_many_further_pairs_as_are_said_settle_it_and_one_fewer_does_not(ratio: float, settled: float) -> None:
    margin = math.log(1.2) if ratio > 1.2 else settled
    found = SpreadEstimate(math.log(ratio), 0.3, 8)
    more = found.further(0.05, margin)
    assert more is not None
    widths = [SpreadEstimate(found.value, 0.3, 8 + count).interval(0.05) for count in (more - 1, more)]
    if ratio > 1.2:  # beyond the margin: clear of 0
        assert [low > 0 for low, _ in widths] == [False, True]
    else:
        assert [-margin < low and high < margin for low, high in widths] == [False, True]


def test_more_pairs_keep_ratio_and_correlation() -> None:
    assert SpreadEstimate(0.5, 0.3, 8).as_if(20) == SpreadEstimate(0.5, 0.3, 20)


def test_a_ratio_at_the_margin_is_settled_by_no_number_of_pairs() -> None:
    assert SpreadEstimate(0.5, 0.0, 8).further(0.05, 0.5) is None
    assert SpreadEstimate(0.4999, 0.0, 8).further(0.05, 0.5) is None


@pytest.mark.parametrize(
    ("candidate", "baseline"),
    [
        ([], []),
        ([0.7, 0.8], [0.7, 0.9]),
        ([0.7, 0.8, 0.9], [0.7, 0.8]),
        ([0.7, 0.8, math.nan], [0.7, 0.9, 0.8]),
        ([0.7, 0.8, 0.9], [0.7, math.inf, 0.8]),
        ([0.1, 0.1, 0.1], [0.7, 0.9, 0.8]),
        ([0.7, 0.9, 0.8], [0.1, 0.1, 0.1]),
        ([1e200, -1e200, 0.0], [0.7, 0.9, 0.8]),
    ],
)
def test_what_says_nothing_of_two_spreads_is_none(candidate: list[float], baseline: list[float]) -> None:
    assert spreads_of(candidate, baseline) is None


def test_pins_that_train_alike_have_exactly_one_spread() -> None:
    for seed in range(50):  # a rounding would show in some of them
        scores, _ = drawn(7, seed=seed)
        found = estimate(scores, list(scores))
        assert (found.value, found.p_value(), found.interval(0.001)) == (0.0, 1.0, (0.0, 0.0))
        assert found.smallest_effect(0.05) == 0.0


def test_twice_the_deviations_in_every_pair_are_surely_twice_the_spread() -> None:
    found = estimate([0.0, 2.0, 8.0], [0.0, 1.0, 4.0])
    assert found.correlation == pytest.approx(1.0)
    assert found.interval(0.001) == pytest.approx((math.log(2), math.log(2)), abs=1e-4)
    assert found.p_value() < 1e-6


def test_mirrored_deviations_are_as_far_spread() -> None:
    found = estimate([0.0, -1.0, -4.0], [0.0, 1.0, 4.0])
    assert found.correlation == pytest.approx(-1.0)
    assert (found.value, found.p_value()) == pytest.approx((0.0, 1.0))


# --- one spread -------------------------------------------------------------------------------------------------


def test_the_spread_of_three_values_by_hand() -> None:
    # standard deviation 1; χ² with two degrees of freedom has the quantiles -2 ln(0.975) and -2 ln(0.025)
    found = spread_interval([0.0, 1.0, 2.0], 0.05)
    assert spread_of([0.0, 1.0, 2.0]) == pytest.approx(1.0)
    assert found == pytest.approx((math.sqrt(1 / -math.log(0.025)), math.sqrt(1 / -math.log(0.975))))


@pytest.mark.parametrize("n", [2, 5, 30])
def test_at_the_ends_of_the_interval_the_sample_is_as_unlikely_as_the_level_says(n: int) -> None:
    values, _ = drawn(n, 0.4)
    found = spread_interval(values, 0.1)
    assert found is not None
    squares = (n - 1) * np.var(values, ddof=1)
    assert stats.chi2.sf(squares / found[0] ** 2, n - 1) == pytest.approx(0.05)
    assert stats.chi2.cdf(squares / found[1] ** 2, n - 1) == pytest.approx(0.05)


def test_the_interval_of_one_spread_holds_the_true_one_as_often_as_it_says() -> None:
    intervals = [spread_interval(drawn(4, 2.0, seed=seed)[0], 0.1) for seed in range(1500)]
    inside = [interval is not None and interval[0] <= 2.0 <= interval[1] for interval in intervals]
    assert sum(inside) / 1500 == pytest.approx(0.9, abs=0.024)


@pytest.mark.parametrize("values", [[], [0.7], [0.7, math.nan], [0.7, math.inf], [1e300, -1e300]])
def test_of_fewer_than_two_values_or_such_as_are_no_numbers_there_is_no_spread(values: list[float]) -> None:
    assert spread_of(values) is None
    assert spread_interval(values, 0.05) is None


def test_equal_values_have_the_spread_0_from_which_no_interval_follows() -> None:
    assert spread_of([0.1] * 7) == 0.0  # whose mean is off by a rounding
    assert spread_interval([0.1] * 7, 0.05) is None
