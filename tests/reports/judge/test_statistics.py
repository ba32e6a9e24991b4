"""The statistics against values worked by hand, against scipy's own tests, and against simulation."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from scipy import stats

from reports.judge.statistics import (
    MOST_FURTHER,
    CountEstimate,
    Estimate,
    count_of,
    holm,
    in_blocks,
    mean_of,
    quantile,
)


def estimate(*values: float) -> Estimate:
    found = mean_of(values)
    assert found is not None
    return found


def spread_out(mean: float, spread: float, n: int) -> list[float]:
    """Values with exactly this mean and standard deviation."""
    steps = np.arange(n) - (n - 1) / 2
    return [float(value) for value in mean + spread * steps / np.std(steps, ddof=1)]


def is_clear(interval: tuple[float, float]) -> bool:
    return interval[0] > 0 or interval[1] < 0


# --- means ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 10, 30])
@pytest.mark.parametrize("level", [0.05, 0.05 / 24])
def test_mean_interval_and_p_value_are_those_of_the_paired_t_test(n: int, level: float) -> None:
    drawn = np.random.default_rng(n)
    one, other = drawn.normal(1.2, 1.0, n), drawn.normal(1.0, 1.0, n)
    known = stats.ttest_rel(one, other)
    found = estimate(*(float(difference) for difference in one - other))
    assert found.value == pytest.approx(float(np.mean(one - other)))
    assert found.p_value() == pytest.approx(known.pvalue)
    assert found.interval(level) == pytest.approx(tuple(known.confidence_interval(1 - level)))


def test_two_values_are_judged_on_one_degree_of_freedom() -> None:
    # mean 2, standard error 1; with one degree of freedom t is Cauchy's: quantile tan(0.475 π) = 12.7062
    found = estimate(1.0, 3.0)
    assert (found.value, found.error, found.n) == pytest.approx((2.0, 1.0, 2))
    assert found.interval(0.05) == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-4)
    assert found.p_value() == pytest.approx(1 - 2 * math.atan(2) / math.pi)


def test_three_values_by_hand() -> None:
    # mean 2, standard deviation 1, error 1 / √3, quantile of t with two degrees of freedom 4.3027
    found = estimate(1.0, 2.0, 3.0)
    assert found.half_width(0.05) == pytest.approx(4.3027 / math.sqrt(3), abs=1e-4)


@pytest.mark.parametrize(
    "values", [[], [1.0], [1.0, math.nan], [1.0, math.inf], [math.inf, -math.inf, 0.0], [math.nan, math.nan]]
)
def test_fewer_than_two_values_or_any_that_is_not_finite_have_no_mean(values: list[float]) -> None:
    assert mean_of(values) is None


@pytest.mark.parametrize("value", [0.1, -3.0])
def test_equal_values_are_exact(value: float) -> None:
    found = estimate(*[value] * 7)
    assert (found.value, found.error, found.n) == (value, 0.0, 7)
    assert found.interval(0.01) == (value, value)
    assert found.p_value() == 0.0
    assert found.smallest_effect(0.01) == 0.0


def test_equal_zeros_are_no_difference() -> None:
    found = estimate(0.0, 0.0, 0.0)
    assert found.p_value() == 1.0
    assert found.interval(0.05) == (0.0, 0.0)


@pytest.mark.parametrize("values", [[1e200, -1e200], [1e308, 1.7e308], [5e-324, 0.0]])
def test_numbers_at_the_ends_of_what_can_be_told_raise_nothing(values: list[float]) -> None:
    found = mean_of(values)
    assert found is None or not math.isnan(found.p_value())


# --- rounds of all pins -----------------------------------------------------------------------------------------


def drawn_rows(seed: int, rounds: int, pins: int, noise: float = 1.0) -> list[list[float]]:
    """Rounds that differ much, pins that differ little, and noise that is alike everywhere."""
    draw = np.random.default_rng(seed)
    table = draw.normal(0, 9, (rounds, 1)) + draw.normal(0, 1, (1, pins)) + draw.normal(0, noise, (rounds, pins))
    return [[float(value) for value in row] for row in table]


def block(rows: list[list[float]], candidate: int = 1, baseline: int = 0) -> Estimate:
    found = in_blocks(rows, candidate, baseline)
    assert found is not None
    return found


@pytest.mark.parametrize("rounds", [2, 3, 9])
def test_of_two_pins_the_blocks_tell_what_the_paired_t_test_does(rounds: int) -> None:
    rows = drawn_rows(rounds, rounds, 2)
    known = stats.ttest_rel([row[1] for row in rows], [row[0] for row in rows])
    found = block(rows)
    assert found.p_value() == pytest.approx(known.pvalue)
    assert found.interval(0.01) == pytest.approx(tuple(known.confidence_interval(0.99)))


def test_two_rounds_of_three_pins_by_hand() -> None:
    # row means 2 and 3, column means 1.5, 3, 3: residuals 0, -0.5, 0.5 and 0, 0.5, -0.5, squares 1 on (2-1)·(3-1)
    # degrees of freedom; a difference then has the variance 2 · 1/2, its mean over two rounds half of that
    found = block([[1.0, 2.0, 3.0], [2.0, 4.0, 3.0]])
    assert (found.value, found.error, found.n, found.degrees) == pytest.approx((1.5, math.sqrt(0.5), 2, 2))


def test_what_a_round_adds_to_all_pins_changes_nothing() -> None:
    rows = drawn_rows(1, 4, 5)
    moved = [[value + 100.0 * place for value in row] for place, row in enumerate(rows)]
    one, other = block(rows), block(moved)
    assert (one.value, one.error) == pytest.approx((other.value, other.error))


def test_more_pins_tell_the_noise_on_more_degrees_of_freedom() -> None:
    rows = drawn_rows(3, 3, 6)
    assert block(rows).degrees == 2 * 5
    assert block([row[:2] for row in rows]).degrees == 2


@pytest.mark.parametrize(("rounds", "pins"), [(2, 3), (3, 3), (3, 8)])
@pytest.mark.parametrize("level", [0.05, 0.01])
def test_where_noise_is_alike_a_difference_is_found_as_rarely_as_it_should_where_there_is_none(
    rounds: int, pins: int, level: float
) -> None:
    draw = np.random.default_rng(rounds * pins)
    tables = draw.normal(0, 1, (3000, rounds, pins)).tolist()
    found = sum(block(rows).p_value() <= level for rows in tables) / len(tables)
    assert found == pytest.approx(level, abs=4 * math.sqrt(level / len(tables)))


@pytest.mark.parametrize(("rounds", "pins"), [(3, 3), (3, 4), (4, 8)])
def test_a_pin_much_noisier_than_the_others_stands_for_itself(rounds: int, pins: int) -> None:
    rows = drawn_rows(5, rounds, pins, noise=1e-3)
    for place, row in enumerate(rows):
        row[1] += (-1.0) ** place * (1 + place)
    own = mean_of([row[1] - row[0] for row in rows])
    assert own is not None
    assert block(rows).p_value() >= own.p_value() * (1 - 1e-9)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [[1.0, 2.0]],
        [[1.0, 2.0, 3.0], [1.0, math.nan, 3.0]],
        [[1.0, 2.0, 3.0], [1.0, 2.0, math.inf]],
        [[1.0, 2.0, math.nan], [1.0, 2.0, 3.0]],
    ],
)
def test_too_few_rounds_or_numbers_that_are_not_finite_have_no_estimate(rows: list[list[float]]) -> None:
    assert in_blocks(rows, 1, 0) is None


@pytest.mark.parametrize("size", [1e200, 1.7e308])
def test_a_pin_beyond_all_measure_leaves_the_others_their_own_pairs(size: float) -> None:
    pairs = [(1.0, 1.1), (1.2, 1.25), (0.9, 1.0)]
    assert in_blocks([[*pair, size * place] for place, pair in enumerate(pairs, -1)], 1, 0) == mean_of(
        [own - base for base, own in pairs]
    )


def test_pins_that_are_equal_in_all_rounds_do_not_differ() -> None:
    found = block([[1.0, 1.0, 1.0], [7.0, 7.0, 7.0]])
    assert found.value == 0.0
    assert found.p_value() == 1.0
    assert found.half_width(0.001) == pytest.approx(0.0, abs=1e-9)


# --- counts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("one", "other"), [(5, 0), (6, 0), (0, 6), (9, 2), (4, 4), (30, 12)])
def test_counts_have_the_p_value_and_the_interval_of_the_exact_binomial_test(one: int, other: int) -> None:
    known = stats.binomtest(one, one + other, 0.5)
    share = known.proportion_ci(0.95, method="exact")
    found = CountEstimate(one, other, n=4)
    assert found.p_value() == pytest.approx(known.pvalue)
    # of t events the candidate has share · t, the baseline (1 - share) · t, over 4 runs
    assert found.interval(0.05) == pytest.approx(
        tuple((end * (one + other) - (1 - end) * (one + other)) / 4 for end in (share.low, share.high))
    )


def test_six_events_against_none_by_hand() -> None:
    found = count_of([2.0, 2.0, 2.0], [0.0, 0.0, 0.0])
    assert isinstance(found, CountEstimate)
    assert found.value == 2.0
    assert found.p_value() == pytest.approx(2 / 2**6)
    low, high = found.interval(0.05)
    # Clopper and Pearson: all six are the candidate's, so the lower end of its share is (level / 2) ** (1 / 6)
    assert (low, high) == pytest.approx(((2 * 0.025 ** (1 / 6) - 1) * 2, 2.0))


def test_five_events_against_none_are_too_few() -> None:
    found = CountEstimate(5, 0, n=3)
    assert found.p_value() > 0.05
    assert not is_clear(found.interval(0.05))


def test_equal_counts_in_every_pair_are_no_difference() -> None:
    assert count_of([0.0, 3.0], [0.0, 3.0]) == Estimate(0.0, 0.0, 2)


def test_counts_that_are_equal_in_sum_only_are_not_exact() -> None:
    found = count_of([3.0, 0.0], [0.0, 3.0])
    assert found is not None
    low, high = found.interval(0.05)
    assert (found.value, found.p_value()) == (0.0, 1.0)
    assert low < 0 < high


def test_no_event_at_all_is_no_difference() -> None:
    found = CountEstimate(0, 0, n=5)
    assert (found.p_value(), found.interval(0.05)) == (1.0, (0.0, 0.0))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([], []),
        ([1.0], [0.0]),
        ([1.0, 2.0], [0.0]),
        ([0.5, 1.0], [0.0, 0.0]),
        ([0.0, 0.0], [-1.0, 0.0]),
        ([math.nan, 1.0], [0.0, 0.0]),
        ([math.inf, 1.0], [0.0, 0.0]),
    ],
)
def test_too_few_pairs_and_what_is_no_count_are_not_estimated(one: list[float], other: list[float]) -> None:
    assert count_of(one, other) is None


@pytest.mark.parametrize("many", [2.0**70, 1e308])
def test_more_events_than_can_be_raise_nothing(many: float) -> None:
    found = count_of([many, many], [0.0, 1.0])
    assert found is None or found.p_value() <= 1.0


@pytest.mark.parametrize("level", [0.05, 0.01, 0.05 / 8, 0.05 / 56, 2**-5])
def test_the_smallest_count_that_is_found_is_found_and_one_event_less_is_not(level: float) -> None:
    events = round(CountEstimate(1, 1, n=4).smallest_effect(level) * 4)
    assert CountEstimate(events, 0, 4).p_value() <= level
    assert CountEstimate(events - 1, 0, 4).p_value() > level


def test_further_rounds_of_counts_show_it_if_events_go_on_coming() -> None:
    # one event a round: 4 · 0 has p = 1/8, 6 · 0 has p = 1/32
    assert CountEstimate(4, 0, n=4).further(0.05, 0.0) == 2


@pytest.mark.parametrize(("one", "other"), [(3, 3), (0, 0)])
def test_further_rounds_do_not_show_a_difference_that_is_not_there(one: int, other: int) -> None:
    assert CountEstimate(one, other, n=3).further(0.05, 0.0) is None


# --- Holm -------------------------------------------------------------------------------------------------------


def test_four_p_values_by_hand() -> None:
    # in order: 0.005 ≤ 0.05/4, 0.01 ≤ 0.05/3, 0.03 > 0.05/2: the rest is left with that level
    assert holm([0.01, 0.04, 0.03, 0.005], 0.05) == pytest.approx([0.05 / 3, 0.05 / 2, 0.05 / 2, 0.05 / 4])


def test_where_the_smallest_does_not_pass_none_has_another_level() -> None:
    assert holm([0.5, 0.02, 0.03], 0.05) == pytest.approx([0.05 / 3] * 3)


def test_all_that_pass_go_down_to_the_whole_error_rate() -> None:
    assert holm([0.001, 0.001, 0.04], 0.05) == pytest.approx([0.05 / 3, 0.05 / 2, 0.05])


def test_ties_pass_or_fail_together() -> None:
    assert holm([0.03, 0.03], 0.05) == pytest.approx([0.025, 0.025])
    assert holm([0.02, 0.02], 0.05) == pytest.approx([0.025, 0.05])
    assert holm([0.025, 0.05], 0.05) == pytest.approx([0.025, 0.05])


def test_a_p_value_that_is_not_a_number_counts_as_one() -> None:
    assert holm([math.nan, 0.01], 0.05) == pytest.approx([0.05, 0.025])
    assert holm([math.nan], 0.05) == [0.05]


def test_no_p_value_has_no_level() -> None:
    assert holm([], 0.05) == []


def rejected(p_values: Sequence[float], error_rate: float) -> list[bool]:
    """Holm's procedure by adjusted p values: the largest, so far, of (m - i + 1) · p."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.maximum.accumulate(np.asarray(p_values)[order] * factors)
    answers = np.empty(len(p_values), dtype=bool)
    answers[order] = adjusted <= error_rate
    return [bool(answer) for answer in answers]


def test_an_interval_at_its_level_is_clear_of_zero_exactly_where_holm_rejects() -> None:
    draw = random.Random(20)
    outcomes = set()
    for _ in range(150):
        family: list[Estimate | CountEstimate] = []
        for _ in range(draw.randint(1, 12)):
            n = draw.randint(2, 12)
            family.append(
                CountEstimate(draw.randint(0, 14), draw.randint(0, 3), n)
                if draw.random() < 0.25
                else Estimate(draw.gauss(0, 3), draw.uniform(0.3, 1.0), n)
            )
        family += family[: draw.randint(0, 2)]  # ties
        p_values = [one.p_value() for one in family]
        levels = holm(p_values, 0.05)
        found = [is_clear(one.interval(level)) for one, level in zip(family, levels, strict=True)]
        assert found == rejected(p_values, 0.05)
        outcomes.add((any(found), all(found)))
    assert outcomes == {(False, False), (True, False), (True, True)}


# --- what would settle it, and what could be seen ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "spread", "n", "margin"),
    [(0.05, 0.08, 5, 0.03), (-0.05, 0.08, 3, 0.03), (0.005, 0.06, 4, 0.03), (-0.02, 0.05, 6, 0.03), (0.1, 0.5, 2, 0.0)],
)
@pytest.mark.parametrize("pins", [2, 5])
def test_so_many_more_pairs_settle_it_and_one_fewer_does_not(
    value: float, spread: float, n: int, margin: float, pins: int
) -> None:
    level = 0.05 / 6

    def after(pairs: int) -> Estimate:
        alone = estimate(*spread_out(value, spread, pairs))
        return Estimate(alone.value, alone.error, pairs, (pairs - 1) * (pins - 1))

    def settles(pairs: int) -> bool:
        low, high = after(pairs).interval(level)
        return is_clear((low, high)) if abs(value) > margin else -margin <= low and high <= margin

    more = after(n).further(level, margin)
    assert more is not None
    assert more > 1
    assert settles(n + more)
    assert not settles(n + more - 1)


@pytest.mark.parametrize(("value", "margin"), [(0.0299, 0.03), (0.03, 0.03), (0.0, 0.0), (1e-9, 0.0)])
def test_what_is_too_near_to_the_margin_no_bearable_number_of_pairs_settles(value: float, margin: float) -> None:
    assert estimate(*spread_out(value, 0.05, 4)).further(0.05, margin) is None


@pytest.mark.parametrize("pins", [2, 5])
def test_more_pairs_that_spread_alike_have_the_error_and_the_freedom_of_as_many(pins: int) -> None:
    few, many = (estimate(*spread_out(0.01, 0.05, n)) for n in (3, 12))
    found = Estimate(few.value, few.error, 3, 2 * (pins - 1)).as_if(12)
    assert found.error == pytest.approx(many.error)
    assert (found.n, found.degrees) == (12, 11 * (pins - 1))
    assert found.error == pytest.approx(few.error / 2)


def test_counts_over_more_pairs_come_as_often() -> None:
    assert CountEstimate(4, 2, n=4).as_if(6) == CountEstimate(6, 3, n=6)


def test_at_the_most_further_pairs_that_are_named_it_is_settled() -> None:
    n, spread = 3, 1.0
    room = quantile(0.05, n + MOST_FURTHER - 1) * spread / math.sqrt(n + MOST_FURTHER)
    assert estimate(*spread_out(room * (1 + 1e-6), spread, n)).further(0.05, 0.0) == MOST_FURTHER
    assert estimate(*spread_out(room * (1 - 1e-6), spread, n)).further(0.05, 0.0) is None


@pytest.mark.parametrize("n", [10, 30])
@pytest.mark.parametrize("level", [0.05, 0.005])
def test_the_smallest_effect_is_found_four_times_in_five(n: int, level: float) -> None:
    spread = 1.0
    effect = Estimate(0.0, spread / math.sqrt(n), n).smallest_effect(level)
    drawn = np.random.default_rng(7).normal(effect, spread, (20_000, n))
    t = drawn.mean(axis=1) / (drawn.std(axis=1, ddof=1) / math.sqrt(n))
    assert np.mean(np.abs(t) > quantile(level, n - 1)) == pytest.approx(0.8, abs=0.03)


def test_one_wildly_noisy_candidate_does_not_hide_what_another_shows() -> None:
    random = Random(1)
    calm = [[mean + random.gauss(0, 0.002) for mean in (4.0, 4.0, 4.06)] for _ in range(8)]
    wild = [[*row, 4.0 + random.gauss(0, 0.2)] for row in calm]
    alone, beside = in_blocks(calm, 2, 0), in_blocks(wild, 2, 0)
    assert alone is not None
    assert beside == alone
