"""What series by epoch say: against values worked by hand, and the interval against several kinds of noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from scipy import stats

from harness.core.declaration import ByGrowths
from reports.judge.statements import DidNotGrow, Grew, Untold
from reports.judge.statistics import Estimate
from reports.judge.trends import WIDER, Trend, block_length, rule_of, trend_of

RULE = ByGrowths("rss")
"""Looked at every 10 epochs, three growths in a row of more than 3 %."""
Noise = Callable[[np.random.Generator, int], np.ndarray]


def trend(series: Sequence[float | None], begun: Sequence[float | None] = (0,), warmup: int = 0) -> Trend:
    found = trend_of(series, begun, warmup)
    assert isinstance(found, Trend)
    return found


def untold(series: Sequence[float | None], begun: Sequence[float | None] = (0,), warmup: int | None = 0) -> Untold:
    """Why there is no growth of a series."""
    found = trend_of(series, begun, warmup)
    assert isinstance(found, Untold)
    return found


def slope(series: Sequence[float | None], begun: Sequence[float | None] = (0,), warmup: int = 0) -> Estimate:
    return trend(series, begun, warmup).slope


def rising(epochs: int, growth: float = 0.01, start: float = 4e8) -> list[float]:
    """Memory that grows by the same share every epoch."""
    return [start * (1 + growth) ** epoch for epoch in range(epochs)]


# --- the growth -------------------------------------------------------------------------------------------------


def test_what_grows_by_a_share_every_epoch_has_that_growth() -> None:
    found = trend(rising(60))
    assert found.epochs == 60
    assert found.interval(0.05) == pytest.approx((0.01, 0.01), abs=1e-6)


def test_seven_epochs_by_hand() -> None:
    # logarithms 0 0 0 1 0 1 0: differences 0 0 1 -1 1 -1, mean 0, sum of squares 4 on five degrees of freedom
    found = slope([math.exp(value) for value in (0, 0, 0, 1, 0, 1, 0)])
    assert (found.value, found.n) == pytest.approx((0.0, 6))
    assert found.error == pytest.approx(math.sqrt(0.8 / 6 * WIDER))


def test_fifteen_epochs_are_blocks_of_two_whose_first_epoch_is_left_out() -> None:
    # blocks (1 3) (3 5) (5 7) (7 9) (9 11) (11 13) (13 15) have medians 2 apart, and so 1 an epoch
    values = [77.0, 1, 3, 3, 5, 5, 7, 7, 9, 9, 11, 11, 13, 13, 15]
    found = slope([math.exp(value) for value in values])
    assert (found.value, found.error, found.n) == pytest.approx((1.0, 0.0, 6))


def test_one_spike_in_a_block_moves_nothing() -> None:
    calm = rising(49, 0.0)
    spiky = [value * (3 if epoch in (3, 24, 40) else 1) for epoch, value in enumerate(calm)]
    assert slope(spiky) == slope(calm)


@pytest.mark.parametrize("every", [5, 7, 10])
def test_growth_in_leaps_is_seen_wherever_they_lie_in_the_blocks(every: int) -> None:
    found = trend([4e8 * 1.05 ** (epoch // every) for epoch in range(70)])
    low, high = found.interval(0.05)
    assert low - 1e-9 < 1.05 ** (1 / every) - 1 < high + 1e-9
    assert low > 0.5 * (1.05 ** (1 / every) - 1)


def test_the_warm_up_of_every_process_tells_nothing() -> None:
    # memory fills up for three epochs, then grows by 0.1 %; killed after 20 epochs, it starts over
    process = [1e8, 2e8, 3e8, *rising(17, 0.001)]
    found = trend(process * 3, (0, 20, 40), warmup=3)
    assert found.epochs == 51
    assert found.interval(0.05) == pytest.approx((0.001, 0.001), abs=1e-6)


def test_nothing_is_fitted_across_the_beginning_of_a_process() -> None:
    series = [*rising(30), *rising(30)]
    assert trend(series, (0, 30)).interval(0.05) == pytest.approx((0.01, 0.01), abs=1e-6)
    assert trend(series, (0,)).interval(0.05)[0] < 0  # as one process, what starts over counts as a loss


def test_a_process_that_was_killed_before_its_first_epoch_ended_has_none() -> None:
    series = [*rising(30), *rising(30)]
    assert trend(series, (0, 30, 30)) == trend(series, (0, 30))


def test_memory_that_never_changes_has_no_growth_for_certain() -> None:
    assert trend([4e8] * 30).interval(0.05) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("lengths", "length"),
    [([6], 0), ([7], 1), ([13], 1), ([14], 2), ([100], 14), ([6, 6], 1), ([25, 25], 6), ([60, 12], 8), ([2, 2, 2], 0)],
)
def test_blocks_are_as_long_as_leaves_six_differences(lengths: list[int], length: int) -> None:
    assert block_length(lengths) == length


# --- why there is none ------------------------------------------------------------------------------------------


def test_too_few_epochs_after_the_warm_up_are_no_growth_and_say_how_many_it_takes() -> None:
    assert untold(rising(9), warmup=3) == Untold("too short", epochs=6, needed=7)


def test_of_several_processes_the_longest_is_named() -> None:
    assert untold(rising(9), (0, 4), warmup=3) == Untold("too short", epochs=2, needed=7)


@pytest.mark.parametrize("begun", [(), (5,), (0, None), (0, math.nan), (0, 20, 10), (None,)])
def test_without_knowing_when_the_processes_began_nothing_is_fitted(begun: tuple[float | None, ...]) -> None:
    assert untold(rising(30), begun) == Untold("no starts")


@pytest.mark.parametrize("value", [None, 0.0, -1.0, math.nan, math.inf])
def test_an_epoch_without_a_figure_is_no_growth(value: float | None) -> None:
    series = [*rising(20), value, *rising(9)]
    assert untold(series).kind == "gaps"
    assert slope([value, *rising(30)], warmup=1)


def test_a_series_that_is_not_there_is_said_to_be_so() -> None:
    assert untold([]) == Untold("no series")


def test_without_knowing_how_long_the_warm_up_is_nothing_is_fitted() -> None:
    assert untold(rising(30), warmup=None) == Untold("no warm-up")


# --- how sure it is ---------------------------------------------------------------------------------------------


def random_walk(draw: np.random.Generator, epochs: int) -> np.ndarray:
    return np.cumsum(draw.normal(0, 0.003, epochs))


def heavy_walk(draw: np.random.Generator, epochs: int) -> np.ndarray:
    return np.cumsum(0.002 * draw.standard_t(3, epochs))


def independent(draw: np.random.Generator, epochs: int) -> np.ndarray:
    return draw.normal(0, 0.01, epochs)


def spiky(draw: np.random.Generator, epochs: int) -> np.ndarray:
    return np.where(draw.random(epochs) < 0.1, draw.exponential(0.3, epochs), 0) + draw.normal(0, 0.01, epochs)


def autoregressive(draw: np.random.Generator, epochs: int) -> np.ndarray:
    """Each epoch keeps 0.8 of what the one before was off by."""
    steps = draw.normal(0, 0.01, epochs)
    for epoch in range(1, epochs):
        steps[epoch] += 0.8 * steps[epoch - 1]
    return steps


def soaks(noise: Noise, processes: Sequence[int], draws: int = 600) -> Iterator[Trend]:
    """Soaks whose memory grows by 0.2 % an epoch below this noise, started over in every process."""
    draw = np.random.default_rng(7)
    begun = [sum(processes[:place]) for place in range(len(processes))]
    for _ in range(draws):
        logs = np.concatenate([0.002 * np.arange(epochs) + noise(draw, epochs) for epochs in processes])
        yield trend([float(value) for value in np.exp(logs)], begun)


@pytest.mark.parametrize("noise", [random_walk, heavy_walk, independent, spiky, autoregressive])
@pytest.mark.parametrize("processes", [(7,), (20,), (60,), (30, 30), (12, 12, 12)])
def test_the_interval_holds_the_true_growth_whatever_the_noise(noise: Noise, processes: tuple[int, ...]) -> None:
    inside = 0
    for found in soaks(noise, processes):
        low, high = found.interval(0.05)
        inside += low <= math.expm1(0.002) <= high
    assert inside / 600 > 0.93  # 0.95 less two standard errors of 600 draws


def test_a_line_through_all_epochs_would_be_far_too_sure_of_a_random_walk() -> None:
    # the reason for blocks: the textbook's interval of a slope
    draw = np.random.default_rng(7)
    epochs = np.arange(60)
    missed = 0
    for _ in range(300):
        line = stats.linregress(epochs, random_walk(draw, 60))
        missed += abs(line.slope) > stats.t.ppf(0.975, 58) * line.stderr
    assert missed / 300 > 0.5


def test_a_leak_twice_the_yardstick_is_told_from_it_below_noise_of_a_percent() -> None:
    draw = np.random.default_rng(3)
    lows = [
        trend([float(value) for value in np.exp(0.004 * np.arange(70) + independent(draw, 70))]).interval(0.05)[0]
        for _ in range(200)
    ]
    assert sum(low > 0.002 for low in lows) > 190


def test_what_a_random_walk_needs_more_is_the_formula_at_six_differences() -> None:
    n = 6
    needed = (n - 1 / 3) / n * (n - 1) / (2 * n / 3 - 1 + 1 / (3 * n))
    assert needed == pytest.approx(WIDER, abs=0.005)


# --- the rule of thumb ------------------------------------------------------------------------------------------


def looked_at(*looks: float | None, last: int = 0) -> list[float | None]:
    """Memory with these values at every tenth epoch, and as many epochs beyond the last."""
    series: list[float | None] = []
    for look in looks:
        series += [1.0] * 9 + [look]
    return series + [1.0] * last


def test_three_growths_of_more_than_three_percent_in_a_row_fire() -> None:
    found = rule_of(looked_at(100.0, 104.0, 109.0, 114.0), (0,), RULE)
    assert found == Grew(39, pytest.approx((1.04, 109 / 104, 114 / 109)))


@pytest.mark.parametrize(
    "looks", [(100.0, 104.0, 109.0, 112.0), (100.0, 103.0, 107.0, 112.0), (100.0, 104.0, 103.0, 108.0, 113.0)]
)
def test_two_growths_or_exactly_three_percent_do_not(looks: tuple[float, ...]) -> None:
    assert isinstance(rule_of(looked_at(*looks), (0,), RULE), DidNotGrow)


def test_how_often_it_looks_and_what_it_takes_are_the_declarations() -> None:
    series = [100.0, 102.0, 104.0, 107.0]
    assert isinstance(rule_of(series, (0,), ByGrowths("rss", looks=1, growths=3, growth=0.01)), Grew)
    assert isinstance(rule_of(series, (0,), ByGrowths("rss", looks=1, growths=2, growth=0.03)), DidNotGrow)
    assert rule_of(series, (0,), ByGrowths("rss", looks=1, growths=4)) == Untold("few epochs", 4, 5)


def test_what_did_not_fire_says_how_long_it_looked_and_the_largest_growth() -> None:
    found = rule_of(looked_at(100.0, 100.0, 102.5, 101.0, last=7), (0,), RULE)
    assert found == DidNotGrow(epochs=47, looks=10, largest=pytest.approx(1.025))


@pytest.mark.parametrize("growth", [0.0, 0.5])
@pytest.mark.parametrize(("epochs", "able"), [(1, False), (39, False), (40, True)])
def test_in_fewer_than_forty_epochs_it_cannot_fire_whatever_memory_does(growth: float, epochs: int, able: bool) -> None:
    found = rule_of(rising(epochs, growth), (0,), RULE)
    assert (found == Untold("few epochs", epochs, needed=40)) is not able


def test_growths_are_not_counted_across_the_beginning_of_a_process() -> None:
    series = looked_at(100.0, 104.0, 109.0, 114.0, 119.0)
    assert isinstance(rule_of(series, (0,), RULE), Grew)
    assert rule_of(series, (0, 25), RULE) == Untold("no row", epochs=50, needed=4)


def test_every_tenth_epoch_of_the_soak_is_looked_at_whenever_its_process_began() -> None:
    found = rule_of(looked_at(100.0, 104.0, 109.0, 114.0, 119.0), (0, 5), RULE)
    assert isinstance(found, Grew)
    assert found.epoch == 39


def test_a_later_process_that_is_long_enough_can_fire_by_itself() -> None:
    found = rule_of([*[1.0] * 15, *looked_at(1.0, 1.0, 1.0, last=5)[:35], *rising(40, 0.005)], (0, 15, 50), RULE)
    assert isinstance(found, Grew)
    assert (found.epoch, found.ratios[0]) == (89, pytest.approx(1.0511, abs=1e-4))


def test_a_look_that_saw_nothing_counts_for_nothing() -> None:
    assert isinstance(rule_of(looked_at(100.0, 104.0, None, 114.0, 119.0), (0,), RULE), Untold)
    assert isinstance(rule_of(looked_at(0.0, 104.0, 109.0, 114.0), (0,), RULE), Untold)


def test_the_rule_says_too_when_there_is_nothing_to_look_at() -> None:
    assert rule_of([], (0,), RULE) == Untold("no series")
    assert rule_of(rising(50), (), RULE) == Untold("no starts")
