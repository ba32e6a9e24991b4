import math

import pytest

from harness.core.laps import quiet


def test_the_quiet_time_is_the_mean_of_the_fastest_third():
    assert quiet([9.0, 1.0, 8.0, 2.0, 7.0, 3.0]) == 1.5


@pytest.mark.parametrize(("seconds", "fastest"), [([5.0], 5.0), ([5.0, 4.0], 4.0), ([4.0, 6.0, 5.0, 7.0, 9.0], 4.5)])
def test_few_laps_have_a_quiet_time_too(seconds, fastest):
    assert quiet(seconds) == fastest


def test_steps_that_are_three_percent_slower_differ_by_the_logarithm_of_that():
    seconds = [1.0 + 0.1 * (lap % 5) for lap in range(20)]
    slower = [1.03 * each for each in seconds]
    assert math.log(quiet(slower) / quiet(seconds)) == pytest.approx(math.log(1.03), rel=1e-12)


def test_the_order_of_the_laps_does_not_matter():
    seconds = [1.0 + 0.1 * (lap % 7) for lap in range(20)]
    assert quiet(seconds[::-1]) == quiet(sorted(seconds)) == quiet(seconds)


def test_laps_that_were_disturbed_do_not_move_it():
    seconds = [1.0 + 0.01 * lap for lap in range(9)]
    assert quiet([*seconds[:4], *[1000.0] * 5]) == quiet(seconds)


def test_every_lap_counts_towards_the_third():
    assert quiet([1.0, 2.0, 3.0]) == 1.0
    assert quiet([1.0, 2.0, 3.0, 4.0, 5.0]) == 1.5


@pytest.mark.parametrize("wrong", [math.nan, math.inf, 0.0, -1.0])
def test_times_that_cannot_be_true_tell_nothing(wrong):
    assert quiet([1.0, 1.0, wrong]) is None
    assert quiet([wrong]) is None


def test_no_laps_tell_nothing():
    assert quiet([]) is None
