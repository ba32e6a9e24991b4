"""What the instruments cost: a step with them against one without."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from results_folder import Folder
from typical_folders import STEPS_BESIDE_PLAIN, instruments

from harness.core.errors import UsageError
from harness.core.spec import TWIN
from reports.proofs.cost import Cost, cost_of, ratio

Make = Callable[..., Folder]


def cost(results: Folder) -> Cost:
    return cost_of(results.matrix(), 0.05)


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


def test_the_interval_holds_what_differs_between_sittings(folder: Make) -> None:
    results = instruments(folder)
    results.keep_pace("plain loop", 0.098, 0.101, 0.101, 0.100)
    estimate = ratio(results.matrix(), "pace", "1.10.0", "plain loop")
    assert estimate
    low, high = estimate.interval(0.05)
    assert low < estimate.value < high


def test_the_level_is_the_one_that_is_asked_for(folder: Make) -> None:
    results = instruments(folder)
    results.keep_pace("plain loop", 0.098, 0.101, 0.101, 0.100)
    narrow, wide = (cost_of(results.matrix(), level).instruments for level in (0.2, 0.01))
    assert narrow
    assert wide
    assert wide.low < narrow.low < narrow.high < wide.high


def test_one_sitting_measures_nothing(folder: Make) -> None:
    results = instruments(folder)
    for index in range(1, 4):
        results.fail("plain loop", index, case="pace")
    found = cost(results)
    assert (found.instruments, found.control is None) == (None, False)


def test_sittings_that_are_not_shared_measure_nothing(folder: Make) -> None:
    results = instruments(folder)
    results.keep_pace("plain loop", *STEPS_BESIDE_PLAIN, together=False)
    assert cost(results).instruments is None


@pytest.mark.parametrize(
    ("pins", "cases"), [(["1.10.0", TWIN], ["pace"]), (["1.10.0", TWIN, "1.12.1"], ["train"]), (["1.10.0"], ["pace"])]
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
    results = folder(["1.10.0", TWIN, "1.12.1"], 2, cases=["pace"])
    for pin in results.pins:
        results.keep_pace(pin, 0.1, 0.1)
    with pytest.raises(UsageError, match="goes without instruments"):
        cost(results)
