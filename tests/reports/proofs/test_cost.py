"""What the instruments cost: a step with them against one without."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from results_folder import Folder, alike
from typical_folders import STEPS_BESIDE_PLAIN, instruments, two_rounds

from harness.core.errors import UsageError
from harness.core.spec import TWIN
from reports.proofs.cost import Cost, cost_of

Make = Callable[..., Folder]


def cost(results: Folder, level: float = 0.05) -> Cost:
    return cost_of(results.matrix(), level)


def test_the_cost_is_the_ratio_of_the_step_with_instruments_to_the_one_without(folder: Make) -> None:
    found = cost(instruments(folder, plain=1 / 1.02))
    assert (found.baseline, found.level) == ("1.10.0", 0.05)
    assert found.instruments
    assert found.instruments.n == 4
    assert (found.instruments.value, found.instruments.low, found.instruments.high) == pytest.approx((0.02,) * 3)


def test_the_control_is_the_twin_against_the_baseline(folder: Make) -> None:
    found = cost(instruments(folder, twin=1.01)).control
    assert found
    assert (found.value, found.low, found.high, found.n) == pytest.approx((0.01, 0.01, 0.01, 4))


def noisy(folder: Make) -> Folder:
    """Laps that differ by some per cent, by chance."""
    drawn = random.Random(1)
    results = instruments(folder)
    for pin in results.pins:
        laps = [[[drawn.gauss(0.1, 0.002) for _ in range(40)] for _ in range(2)] for _ in range(2)]
        results.keep_laps(pin, *laps)
    return results


def test_the_interval_holds_what_differs_between_laps(folder: Make) -> None:
    found = cost(noisy(folder)).instruments
    assert found
    assert -0.05 < found.low < found.value < found.high < 0.05


def test_the_level_is_the_one_that_is_asked_for(folder: Make) -> None:
    results = noisy(folder)
    narrow, wide = (cost(results, level).instruments for level in (0.2, 0.01))
    assert narrow
    assert wide
    assert wide.low < narrow.low < narrow.high < wide.high


def test_one_sitting_measures_nothing(folder: Make) -> None:
    results = instruments(folder)
    results.keep_laps("plain loop", alike(0.1))
    results.fail("plain loop", 1)
    found = cost(results)
    assert (found.instruments, found.control is None) == (None, False)


def test_sittings_that_are_not_shared_measure_nothing(folder: Make) -> None:
    results = instruments(folder)
    results.keep_laps("plain loop", *two_rounds(STEPS_BESIDE_PLAIN), together=False)
    assert cost(results).instruments is None


@pytest.mark.parametrize(
    ("pins", "cases"), [(["1.10.0", TWIN], ["train"]), (["1.10.0", TWIN, "1.12.1"], ["soak"]), (["1.10.0"], ["train"])]
)
def test_a_folder_without_a_plain_loop_that_takes_turns_is_bad_input(
    folder: Make, pins: list[str], cases: list[str]
) -> None:
    results = folder(pins, 2, cases=cases)
    for spec in results.plan.runs:
        results.keep(spec.pin.name, spec.round, spec.case)
    with pytest.raises(UsageError, match="goes without instruments"):
        cost(results)


def test_another_version_is_not_taken_for_the_plain_loop(folder: Make) -> None:
    results = folder(["1.10.0", TWIN, "1.12.1"], 2)
    for pin in results.pins:
        results.keep_laps(pin, alike(0.1), alike(0.1))
    with pytest.raises(UsageError, match="goes without instruments"):
        cost(results)
