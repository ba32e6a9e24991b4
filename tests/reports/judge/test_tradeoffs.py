"""The knee of what sizes bring and cost, on curves made by hand, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from inference_folders import GAINS, LATENCIES, SIZES, keep_inference, make_inference_folder
from results_folder import Folder

from reports.judge.tradeoffs import Line, knees, tradeoffs_of

Make = Callable[..., Folder]


@pytest.mark.parametrize(
    ("costs", "gains", "place"),
    [
        ([10, 20, 40], [0.30, 0.50, 0.51], 1),  # the second doubling brings one point, less than two
        ([10, 20, 40], [0.30, 0.50, 0.53], 2),  # three points
        ([10, 20, 40], [0.30, 0.31, 0.32], 0),
        ([10, 20, 40], [0.30, 0.31, 0.36], 2),  # two doublings bring six points, though the first brings one
        ([10, 20, 40], [0.30, 0.50, 0.45], 1),
        ([10, 40, 160], [0.30, 0.33, 0.90], 2),
        ([10, 40], [0.30, 0.33], 0),  # three points for two doublings
        ([10, 40], [0.30, 0.35], 1),
        ([1, 2, 4], [0.0, 0.02, 0.04], 0),  # of equal ones the cheapest
        ([10], [0.3], 0),
    ],
)
def test_the_knee_is_the_last_value_up_to_which_doublings_of_the_cost_bring_enough(
    costs: Sequence[float], gains: Sequence[float], place: int
) -> None:
    table = np.array([costs, gains], dtype=float)[..., None]
    assert knees(table[0], table[1], 0.02).tolist() == [place]


def lines(results: Folder) -> dict[tuple[str, object], Line]:
    """The lines of a folder by pin and batch."""
    return {(line.pin, line.at["batch"]): line for line in tradeoffs_of(results.matrix())["inference"]}


def test_there_is_a_line_for_every_pin_at_every_batch_along_the_sizes(folder: Make) -> None:
    found = lines(make_inference_folder(folder, ["1.10.0", "1.12.1"], rounds=2))
    assert [*found] == [(pin, batch) for batch in (1, 4) for pin in ("1.10.0", "1.12.1")]
    for (_, batch), line in found.items():
        assert line.at == {"precision": "fp32", "batch": batch}
        assert [point.value for point in line.points] == SIZES
        assert [point.gain.value for point in line.points] == pytest.approx([*GAINS.values()])
        middle = [seconds * batch * 1.005 for seconds in LATENCIES.values()]  # type: ignore[operator]
        assert [point.cost.value for point in line.points] == pytest.approx(middle)


def test_where_nothing_varies_the_knee_is_certain_and_the_intervals_are_points(folder: Make) -> None:
    line = lines(make_inference_folder(folder, ["1.10.0"]))["1.10.0", 1]
    assert line.knee.value == 64
    assert [point.share for point in line.points] == [0.0, 1.0, 0.0]
    for point in line.points:
        for one in (point.cost, point.gain):
            assert (one.low, one.high) == pytest.approx((one.value, one.value))


def test_it_is_as_uncertain_as_halves_of_the_pictures_disagree(folder: Make) -> None:
    halves = {32: [0.3] * 4, 64: [0.5] * 4, 96: [0.5, 0.5, 0.5, 0.54]}  # about their mean, which is the whole's
    line = lines(make_inference_folder(folder, ["1.10.0"], runs={"1.10.0": {"halves": halves}}))["1.10.0", 1]
    assert line.knee.value == 64
    assert [point.share for point in line.points] == pytest.approx([0.0, 0.75, 0.25], abs=0.05)
    assert sum(point.share for point in line.points) == pytest.approx(1)
    assert (line.points[2].gain.low, line.points[2].gain.high) == pytest.approx((0.5, 0.54))


def test_halves_whose_mean_is_not_that_of_all_pictures_are_moved_there(folder: Make) -> None:
    halves = {32: [0.2, 0.4], 64: [0.9, 0.9], 96: [0.1, 0.1]}
    line = lines(make_inference_folder(folder, ["1.10.0"], runs={"1.10.0": {"halves": halves}}))["1.10.0", 1]
    assert [point.gain.low for point in line.points] == pytest.approx([0.2, 0.5, 0.51])
    assert line.points[1].share == 1.0


def test_the_interval_of_a_cost_is_as_wide_as_sittings_differ_and_not_as_laps_do(folder: Make) -> None:
    noisy = [0.5, 1.0, 1.5, 1.0]
    apart = [[1.0] * 4, [1.2] * 4]
    runs = {"1.10.0": {"laps": [noisy] * 6}, "1.12.1": {"laps": apart * 3}}
    found = lines(make_inference_folder(folder, ["1.10.0", "1.12.1"], runs=runs))
    alike, differing = (found[pin, 1].points[0].cost for pin in ("1.10.0", "1.12.1"))
    assert (alike.low, alike.high) == pytest.approx((0.01, 0.01))
    assert (differing.low, differing.high) == pytest.approx((0.01, 0.012))


def test_a_pin_of_which_something_is_missing_has_no_line_and_the_others_have_theirs(folder: Make) -> None:
    results = make_inference_folder(folder, ["1.10.0", "1.12.1", "1.13.1"])
    results.fail("1.12.1", 0, case="inference")
    keep_inference(results, "1.13.1", halves={32: [], 64: [], 96: []})
    assert {pin for pin, _ in lines(results)} == {"1.10.0"}


def test_where_nothing_is_found_there_is_nothing_to_gain(folder: Make) -> None:
    nothing = {"gains": dict.fromkeys(SIZES, 0.0)}
    results = make_inference_folder(folder, ["1.10.0", "1.12.1"], runs={"1.10.0": nothing, "1.12.1": nothing})
    assert lines(results) == {}


def test_a_case_without_a_trade_off_has_none(folder: Make) -> None:
    results = folder(["1.10.0"])
    results.keep("1.10.0")
    assert tradeoffs_of(results.matrix()) == {}
