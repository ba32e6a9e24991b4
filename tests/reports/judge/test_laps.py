"""The estimate by laps: against values worked by hand, and against matrices of which the truth is known."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from reports.evidence.pairing import PinLaps
from reports.judge.laps import LapEstimate, degrees_of, in_turns, pooled, variance_of
from reports.judge.statistics import POWER, mean_of

PINS = ("base", "own", "other", "third")
MATRICES = 400


def estimate(laps: PinLaps, pin: str = "own") -> LapEstimate:
    return in_turns(laps, "base")[pin]


def laps_of(**pins: Sequence[Sequence[float]]) -> PinLaps:
    """Laps by pin, from log-ratios to a baseline whose laps are all of one length, by sitting."""
    sittings = next(iter(pins.values()))
    return {
        pin: {(0, str(place)): [math.exp(lap) for lap in laps] for place, laps in enumerate(own)}
        for pin, own in {"base": [[0.0] * len(laps) for laps in sittings], **pins}.items()
    }


def is_clear(interval: tuple[float, float]) -> bool:
    return interval[0] > 0 or interval[1] < 0


# --- worked by hand ---------------------------------------------------------------------------------------------

TEN = [[-3.0, 1.0, 2.0, -1.0, 5.0], [4.0, -4.0, -2.0, 3.0, -5.0]]
"""Two sittings, of which the first has one lap more above the median than below, the second one more below."""


def test_the_estimate_is_the_median_of_all_laps() -> None:
    assert estimate(laps_of(own=[[0.1, 0.2, 0.3], [0.3, 0.9, 0.3]])).value == pytest.approx(0.3)


def test_the_variance_of_the_share_below_is_that_of_the_sums_of_signs_over_sittings() -> None:
    many = [[*sitting] * 10 for sitting in TEN]
    # of 100 laps the sums of ±1/2 are +5 and −5: 2/1 · 50 / 100²
    assert variance_of(many) == pytest.approx(0.01)
    assert estimate(laps_of(own=many)).error == pytest.approx(0.1)


def test_it_is_never_less_than_that_of_independent_laps() -> None:
    even = [[-1.0, 1.0, -2.0, 2.0], [-1.5, 1.5, -3.0, 3.0]]
    assert variance_of(even) == pytest.approx(0.25 / 8)
    assert variance_of([[0.0] * 4, [0.0] * 4]) == pytest.approx(0.25 / 8)


def test_the_interval_ends_at_the_quantiles_of_the_laps() -> None:
    found = LapEstimate([float(lap) for lap in range(1, 101)], 0.05, 6, 10)
    reach = stats.t.ppf(0.975, 10) * 0.05  # 0.1114: the shares 0.3886 and 0.6114
    assert found.interval(0.05) == (39.0, 62.0)
    assert 0.5 - reach == pytest.approx(0.3886, abs=1e-4)
    assert found.value == 50.5


def test_where_the_quantiles_are_none_the_interval_has_no_end() -> None:
    found = LapEstimate([1.0, 2.0, 3.0], 0.2, 2, 1)
    assert found.interval(0.05) == (-math.inf, math.inf)
    assert found.smallest_effect(0.05) == math.inf
    assert math.isfinite(found.interval(0.4)[0])


@pytest.mark.parametrize("laps", [20, 2000])
def test_two_sittings_of_two_pins_leave_the_interval_without_an_end_as_soon_as_they_differ(laps: int) -> None:
    drawn = np.random.default_rng(1)
    own = [drawn.normal(0.001 * place, 0.001, laps).tolist() for place in range(2)]
    assert estimate(laps_of(own=own)).interval(0.05) == (-math.inf, math.inf)


def test_one_sitting_is_no_estimate_however_many_laps_it_has() -> None:
    assert in_turns(laps_of(own=[[0.1] * 1000]), "base") == {}


def test_the_smallest_effect_is_half_the_interval_that_reaches_farther_by_the_t_of_the_power() -> None:
    found = LapEstimate([float(lap) for lap in range(1000)], 0.02, 6, 10)
    reach = (stats.t.ppf(0.975, 10) + stats.t.ppf(POWER, 10)) * 0.02
    assert found.smallest_effect(0.05) == pytest.approx(reach * 1000, abs=1)


# --- p value and interval ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.2, 0.05, 0.0036])
def test_the_interval_is_clear_of_zero_exactly_where_the_p_value_is_below_the_level(level: float) -> None:
    drawn = np.random.default_rng(2)
    clear = 0
    for shift in np.linspace(-0.05, 0.05, 200):
        found = LapEstimate(sorted(drawn.normal(shift, 0.05, 37).tolist()), 0.06, 6, 8)
        assert is_clear(found.interval(level)) == (found.p_value() < level)
        clear += is_clear(found.interval(level))
    assert 0 < clear < 200


def test_laps_that_are_exactly_alike_speak_for_no_difference() -> None:
    equal = LapEstimate([0.0] * 80 + [0.1] * 20, 0.05, 6, 8)
    assert (equal.p_value(), equal.interval(0.05), equal.value) == (1.0, (0.0, 0.0), 0.0)
    slower = LapEstimate([0.0] * 20 + [0.1] * 80, 0.05, 6, 8)
    assert slower.p_value() == pytest.approx(2 * stats.t.sf(0.3 / 0.05, 8))
    assert slower.interval(0.05) == (0.1, 0.1)


def test_the_other_sign_gives_the_mirrored_estimate() -> None:
    ratios = np.random.default_rng(3).normal(0.02, 0.05, 41).tolist()
    one = LapEstimate(sorted(ratios), 0.07, 6, 8)
    other = LapEstimate(sorted(-ratio for ratio in ratios), 0.07, 6, 8)
    low, high = one.interval(0.05)
    assert other.interval(0.05) == (-high, -low)
    assert (other.value, other.p_value()) == (-one.value, one.p_value())


# --- further sittings -------------------------------------------------------------------------------------------


def test_further_sittings_are_as_many_as_it_takes_until_the_interval_is_clear_of_zero() -> None:
    found = LapEstimate(sorted(np.random.default_rng(4).normal(0.05, 0.1, 500).tolist()), 0.2, 4, 6)
    more = found.further(0.05, 0.03)
    assert more
    reaches = [stats.t.ppf(0.975, 6 * (3 + each) // 3) * 0.2 * math.sqrt(4 / (4 + each)) for each in (more - 1, more)]
    assert [found.within(reach)[0] > 0 for reach in reaches] == [False, True]


def test_further_sittings_are_as_many_as_it_takes_until_the_interval_is_within_the_margin() -> None:
    found = LapEstimate(sorted(np.random.default_rng(5).normal(0.0, 0.1, 500).tolist()), 0.2, 4, 6)
    few, many = found.further(0.05, 0.1), found.further(0.05, 0.03)
    assert few
    assert many
    assert few < many


def test_an_estimate_at_the_margin_is_settled_by_no_practical_number_of_sittings() -> None:
    ratios = [0.03 + 0.0001 * lap for lap in range(-500, 501)]
    assert LapEstimate(ratios, 0.2, 4, 6).further(0.05, 0.03 + 1e-9) is None


# --- whose noise it is ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pins", "degrees"), [(1, 5), (2, 8), (3, 10), (9, 15)])
def test_pins_that_share_a_baseline_are_worth_fewer_than_they_are(pins: int, degrees: int) -> None:
    assert degrees_of(pins, 6) == degrees


def test_the_noise_is_the_mean_over_pins() -> None:
    assert pooled(0.01, [0.02], 6) == (pytest.approx(0.015), 8)
    assert pooled(0.01, [0.01, 0.01], 6) == (pytest.approx(0.01), 10)


def test_a_pin_that_may_be_noisier_than_the_others_has_its_own_noise() -> None:
    assert pooled(0.04, [0.01, 0.01], 6) == (0.04, 5)


def test_another_pin_that_is_clearly_noisier_is_left_out() -> None:
    assert pooled(0.001, [0.001, 0.1], 6) == (pytest.approx(0.001), 8)
    assert pooled(0.01, [0.01, 0.02], 6) == (pytest.approx(0.04 / 3), 10)


def test_alone_a_pin_has_its_own_noise() -> None:
    assert pooled(0.02, [], 6) == (0.02, 5)


def test_a_pin_that_was_not_in_all_of_these_sittings_tells_nothing_of_the_noise() -> None:
    drawn = np.random.default_rng(6)
    laps = matrix(drawn, 6, pins=3)
    both = estimate(laps)
    del laps["other"][0, "5"]
    assert (both.degrees, estimate(laps).degrees) == (degrees_of(2, 6), 5)


# --- where the truth is known -----------------------------------------------------------------------------------


def matrix(
    drawn: np.random.Generator, sittings: int, *, pins: int = 3, laps: int = 30, apart: float = 0.01, slow: float = 0.0
) -> PinLaps:
    """Laps of pins that are alike but for `own`, which is slower by `slow`. All of a lap share what slows the machine;
    the noise of each has heavy tails, one lap in ten is struck by a neighbour, and sittings differ by `apart`."""
    found: PinLaps = {pin: {} for pin in PINS[:pins]}
    for place in range(sittings):
        common = np.cumsum(drawn.normal(0, 0.01, laps)) + 0.02 * drawn.standard_t(3, laps)
        for pin, own in found.items():
            struck = (drawn.random(laps) < 0.1) * drawn.exponential(0.5, laps)
            noise = 0.01 * drawn.standard_t(2, laps) + drawn.normal(0, apart) + struck
            own[0, str(place)] = np.exp(common + noise + (slow if pin == "own" else 0.0)).tolist()
    return found


def burst(laps: PinLaps, pin: str, sitting: str, size: float) -> PinLaps:
    """With all laps of a pin in one sitting so much longer."""
    laps[pin][0, sitting] = [lap * math.exp(size) for lap in laps[pin][0, sitting]]
    return laps


def at_most(found: int, level: float, of: int = MATRICES) -> bool:
    """Whether so many are no more than a rate of `level` gives by chance."""
    return bool(stats.binom.sf(found - 1, of, level) > 0.001)


@pytest.mark.parametrize("apart", [0.0, 0.01, 0.03])
@pytest.mark.parametrize("sittings", [2, 3, 4, 6, 12])
def test_equal_pins_are_called_different_no_oftener_than_the_level_says(sittings: int, apart: float) -> None:
    drawn = np.random.default_rng(sittings)
    p_values = [
        estimate(matrix(drawn, sittings, pins=2 + index % 3, apart=apart)).p_value() for index in range(MATRICES)
    ]
    for level in (0.05, 0.01):
        assert at_most(sum(p < level for p in p_values), level)


@pytest.mark.parametrize("sittings", [4, 6, 12])
def test_the_interval_holds_the_truth_as_often_as_it_says(sittings: int) -> None:
    drawn = np.random.default_rng(10 + sittings)
    missed = 0
    for _ in range(MATRICES):
        low, high = estimate(matrix(drawn, sittings, slow=0.05)).interval(0.05)
        missed += not low <= 0.05 <= high
    assert at_most(missed, 0.05)


def test_it_would_not_hold_it_if_laps_of_a_sitting_were_taken_for_independent() -> None:
    drawn = np.random.default_rng(11)
    missed = 0
    for _ in range(MATRICES):
        found = estimate(matrix(drawn, 6, apart=0.03, slow=0.05))
        naive = LapEstimate(found.ratios, math.sqrt(0.25 / len(found.ratios)), found.n, found.degrees)
        low, high = naive.interval(0.05)
        missed += not low <= 0.05 <= high
    assert not at_most(missed, 0.05)


def test_a_slowdown_is_found_in_noise_with_heavy_tails() -> None:
    drawn = np.random.default_rng(12)
    found = [estimate(matrix(drawn, 6, laps=48, apart=0.005, slow=0.05)) for _ in range(100)]
    assert sum(one.interval(0.0125)[0] > 0 for one in found) >= 95
    assert statistics.median(one.value for one in found) == pytest.approx(0.05, abs=0.003)


def test_a_slowdown_is_found_though_a_burst_fills_a_sitting_and_medians_of_sittings_do_not_show_it() -> None:
    drawn = np.random.default_rng(13)
    ours = theirs = 0
    for _ in range(100):
        laps = burst(matrix(drawn, 12, apart=0.005, slow=0.05), "base", "3", 0.6)
        ours += estimate(laps).interval(0.0125)[0] > 0
        medians = mean_of(
            [
                statistics.median(math.log(a / b) for a, b in zip(own, laps["base"][place], strict=True))
                for place, own in laps["own"].items()
            ]
        )
        assert medians
        theirs += medians.interval(0.0125)[0] > 0
    assert ours >= 90
    assert theirs <= 10


def test_a_burst_moves_the_estimate_no_more_the_longer_it_is() -> None:
    moved = [
        estimate(burst(matrix(np.random.default_rng(14), 12), "own", "3", size)).value for size in (1.0, 10.0, 100.0)
    ]
    assert moved[0] == moved[1] == moved[2]


def test_what_strikes_fewer_than_half_of_the_laps_does_not_show() -> None:
    laps = laps_of(own=[[0.0, 0.0, 0.0, 0.5] * 12 for _ in range(6)])
    assert (estimate(laps).value, estimate(laps).interval(0.05)) == (0.0, (0.0, 0.0))


def test_the_order_of_laps_matters_as_each_is_held_against_the_same_lap_of_the_baseline() -> None:
    laps = matrix(np.random.default_rng(15), 6)
    shuffled = {**laps, "own": {place: own[::-1] for place, own in laps["own"].items()}}
    assert estimate(shuffled).ratios != estimate(laps).ratios
    assert estimate(shuffled).smallest_effect(0.05) > 1.5 * estimate(laps).smallest_effect(0.05)
