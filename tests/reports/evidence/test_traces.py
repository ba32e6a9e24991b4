"""What is kept of a run beyond its figures: little, and nothing that matters is lost."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from results_folder import Folder, anomaly, metric

from harness.core.cases import read_case
from harness.core.record import Record
from reports.evidence.traces import (
    DRAWN_ROUNDS,
    MOST_ANOMALIES,
    MOST_SAMPLES,
    MOST_STRETCHES,
    AnomalousStep,
    anomalous_steps,
    curve_of,
    evenly,
    kept,
    trace_of,
)

Make = Callable[..., Folder]
LONG = [2 * MOST_STRETCHES + 1, 999, 1000, 1001, 12_345]


def record(folder: Make, index: int = 0, **changes: object) -> Record:
    results = folder(rounds=DRAWN_ROUNDS + 1)
    return results.keep("1.10.0", index, **changes)


# --- samples ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, MOST_SAMPLES, MOST_SAMPLES + 1, 1000, 12_345])
def test_no_more_samples_are_kept_than_are_drawn(length: int) -> None:
    found = evenly([float(value) for value in range(length)])
    assert len(found) <= MOST_SAMPLES
    assert len(found) >= min(length, MOST_SAMPLES / 2)


@pytest.mark.parametrize("length", [MOST_SAMPLES + 1, 1000, 12_345])
def test_samples_that_are_kept_are_evenly_spaced_from_the_first_on(length: int) -> None:
    found = evenly([float(value) for value in range(length)])
    steps = {later - earlier for earlier, later in zip(found, found[1:], strict=False)}
    assert found[0] == 0
    assert len(steps) == 1
    assert length - found[-1] <= steps.pop()


def test_few_samples_are_all_kept() -> None:
    assert evenly([3.0, 1.0, 2.0]) == [3.0, 1.0, 2.0]


def test_samples_that_are_no_numbers_are_left_out() -> None:
    assert evenly([1.0, math.nan, math.inf, -math.inf, 2.0]) == [1.0, 2.0]
    assert evenly([math.nan] * 100) == []


# --- series -----------------------------------------------------------------------------------------------------


def test_when_processes_began_is_no_curve(folder: Make) -> None:
    found = trace_of(record(folder, series={"rss": [1.0, 2.0], "begun": [0.0, 1.0]}), read_case("soak"))
    assert found
    assert list(found.curves) == ["rss"]


def test_a_short_series_is_kept_as_it_is() -> None:
    series = [float(value) for value in range(2 * MOST_STRETCHES)]
    curve = curve_of(series)
    assert (curve.length, curve.stretch, curve.values, curve.means) == (200, 1, series, series)


@pytest.mark.parametrize("length", LONG)
def test_a_long_series_is_kept_as_no_more_stretches_than_are_drawn(length: int) -> None:
    curve = curve_of([1.0] * length)
    assert curve.length == length
    assert len(curve.means) == math.ceil(length / curve.stretch) <= MOST_STRETCHES
    assert len(curve.values) == 2 * len(curve.means)


@pytest.mark.parametrize("length", LONG)
@pytest.mark.parametrize("spike", [-1e6, 1e6])
def test_no_spike_of_a_long_series_is_lost_wherever_it_is(length: int, spike: float) -> None:
    for place in (0, 1, length // 2, length - 2, length - 1):
        series = [0.0] * length
        series[place] = spike
        curve = curve_of(series)
        smallest, largest = curve.values[0::2], curve.values[1::2]
        where = (smallest if spike < 0 else largest).index(spike)
        assert where == place // curve.stretch


def test_each_stretch_has_its_smallest_its_largest_and_its_mean() -> None:
    curve = curve_of([float(value) for value in range(300)])
    assert curve.stretch == 3
    assert curve.values[:4] == [0.0, 2.0, 3.0, 5.0]
    assert curve.means[:2] == pytest.approx([1.0, 4.0])
    assert curve.means[-1] == pytest.approx(298.0)


def test_what_is_no_number_is_a_gap_in_a_short_series() -> None:
    assert curve_of([1.0, None, math.nan, math.inf, 2.0]).values == [1.0, None, None, None, 2.0]


def test_what_is_no_number_does_not_hide_the_rest_of_its_stretch() -> None:
    series: list[float | None] = [1.0] * 300
    series[0], series[1] = None, math.nan
    series[3:6] = [None, math.inf, -math.inf]
    curve = curve_of(series)
    assert curve.values[:6] == [1.0, 1.0, None, None, 1.0, 1.0]
    assert curve.means[:3] == [1.0, None, 1.0]


def test_numbers_whose_sum_is_too_large_have_a_mean_all_the_same() -> None:
    assert curve_of([1.5e308] * 1000).means[0] == pytest.approx(1.5e308)


# --- runs -------------------------------------------------------------------------------------------------------


def test_of_a_run_the_samples_of_each_metric_and_the_series_that_are_not_empty_are_kept(folder: Make) -> None:
    metrics = [metric("epoch_time", "s", 1.0, 2.0), metric("training_memory", "bytes", 5.0)]
    trace = trace_of(record(folder, metrics=metrics, series={"loss": [3.0, None], "scale": []}), read_case("train"))
    assert trace
    assert trace.samples == {"epoch_time": [1.0, 2.0], "training_memory": [5.0]}
    assert {name: curve.values for name, curve in trace.curves.items()} == {"loss": [3.0, None]}


def test_only_the_first_rounds_are_drawn_run_by_run(folder: Make) -> None:
    assert trace_of(record(folder, DRAWN_ROUNDS - 1), read_case("train")) is not None
    assert trace_of(record(folder, DRAWN_ROUNDS), read_case("train")) is None


def test_a_run_that_failed_is_not_drawn(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0")
    results.fail("1.12.1")
    assert {one.spec.pin.name: one.trace is None for one in results.matrix().observations} == {
        "1.10.0": False,
        "1.12.1": True,
    }


# --- anomalies --------------------------------------------------------------------------------------------------


def test_the_anomalies_of_one_kind_in_one_step_are_one_and_are_counted() -> None:
    found = anomalous_steps(
        [
            anomaly(parameter="stem.weight", value="nan"),
            anomaly(parameter="head.bias", value="inf"),
            anomaly("dead gradient", parameter="head.bias", value="0"),
            anomaly(step=4),
            anomaly(epoch=2),
        ]
    )
    assert list(found.values()) == [
        AnomalousStep("non-finite gradient", 1, 3, 2, "stem.weight", "nan"),
        AnomalousStep("dead gradient", 1, 3, 1, "head.bias", "0"),
        AnomalousStep("non-finite gradient", 1, 4, 1, "stem.weight", "nan"),
        AnomalousStep("non-finite gradient", 2, 3, 1, "stem.weight", "nan"),
    ]


def test_the_first_anomalous_steps_are_kept_and_the_first_of_each_kind_however_late() -> None:
    steps = list(anomalous_steps([anomaly(step=step) for step in range(100)]).values())
    late = list(anomalous_steps([anomaly("dead gradient", step=step) for step in (200, 201)]).values())
    found = kept([*steps, *late])
    assert found == (*steps[:MOST_ANOMALIES], late[0])


def test_the_number_of_all_anomalous_steps_is_known_though_few_are_kept(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0", anomalies=[anomaly(step=step, parameter=name) for step in range(50) for name in "ab"])
    (one,) = [one for one in results.matrix().observations if one.spec.pin.name == "1.10.0"]
    assert (one.anomalous_steps, len(one.anomalies)) == (50, MOST_ANOMALIES)
