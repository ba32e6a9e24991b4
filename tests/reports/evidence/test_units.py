"""What metrics are called, and how their values read."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from results_folder import MIB, SETTINGS, Folder, metric

from harness.core.cases import all_cases, read_case
from harness.core.declaration import UNITS as RECORDED
from harness.core.declaration import Case, DeclaredMetric, Parameter
from harness.core.settings import CaseSettings
from reports.evidence.figures import Figure, expected, figure_of, in_order
from reports.evidence.units import UNITS, guess, quantity_of

Make = Callable[..., Folder]
HOMES = {
    "throughput_drift": "soak",
    "resume_time": "resume",
    "resumed_memory": "resume",
    "retained_memory": "batch-change",
    "map50_after_faults": "broken-images",
    "map50_spread": "converge",
    "death_report_time": "two-process",
}
"""The cases of the metrics below that `train` does not measure."""


def case_of(name: str) -> Case:
    return read_case(HOMES.get(name, "train"))


@pytest.mark.parametrize(
    ("name", "unit", "value", "heading", "shown"),
    [
        ("training_memory", "bytes", 412.25 * MIB, "Memory, added by training (MiB)", "412.2"),
        ("nvml_process", "bytes", 40960 * MIB, "GPU memory at epoch end, NVML (MiB)", "40,960"),
        ("epoch_time", "s", 30.0, "Epoch time (s)", "30.00"),
        ("epoch_time", "s", 3600.4, "Epoch time (s)", "3,600"),
        ("step_time", "s", 0.4687, "Step time (ms)", "468.7"),
        ("gradient_anomalies", "steps", 7.0, "Gradient anomalies (steps)", "7"),
        ("gradient_anomalies", "steps", 2.5, "Gradient anomalies (steps)", "2.500"),
        ("skipped_steps", "steps", 0.0, "Skipped steps", "0"),
        ("map50", "fraction", 0.8, "Final mAP50", "0.800"),
        ("disk_reads", "requests", 1024.0, "disk reads (requests)", "1,024"),
        ("throughput_drift", "1/epoch", -0.0004, "Throughput drift per epoch (%)", "−0.04"),
        ("resume_time", "s", 3.1, "Time to resume (s)", "3.100"),
        ("resumed_memory", "ratio", 1.0123, "Memory after resuming (×)", "1.012"),
        ("retained_memory", "ratio", 0.98, "Largest memory after a batch change, against a fresh run (×)", "0.9800"),
        (
            "map50_after_faults",
            "fraction",
            -0.0042,
            "Lowest mAP50 after broken pictures, against the clean run (pt)",
            "−0.4",
        ),
        ("map50_spread", "fraction", 0.0123, "Spread of final mAP50 (pt)", "1.2"),
        ("death_report_time", "s", 1.25, "Time until a killed worker is reported (s)", "1.250"),
        ("wake_up", "s", 0.00012345, "wake up (s)", "0.0001234"),
        ("wake_up", "s", 0.0000845512, "wake up (s)", "8.46e−5"),
        ("wake_up", "s", 3.07e-7, "wake up (s)", "3.07e−7"),
        ("wake_up", "s", 9.9999e-5, "wake up (s)", "1.00e−4"),
    ],
)
def test_a_value_is_shown_in_the_unit_of_its_heading(
    name: str, unit: str, value: float, heading: str, shown: str
) -> None:
    quantity = quantity_of(case_of(name), name, unit)
    assert (quantity.heading(), quantity.shown(value)) == (heading, shown)


@pytest.mark.parametrize(
    ("unit", "difference", "shown"),
    [
        ("s", 1.041, "+4.1 %"),
        ("bytes", 0.98, "\N{MINUS SIGN}2.0 %"),
        ("s", 1.0, "0.0 %"),
        ("s", 0.9999, "0.0 %"),
        ("s", 11.0, "+1,000.0 %"),
        ("s", 101.0, "> +10,000 %"),
        ("s", math.inf, "> +10,000 %"),
        ("fraction", -0.008, "\N{MINUS SIGN}0.8 pt"),
        ("fraction", 0.012, "+1.2 pt"),
        ("steps", 7.0, "+7"),
        ("steps", -1.0, "\N{MINUS SIGN}1"),
        ("steps", 0.0, "0"),
        ("requests", 0.5, "+0.5000"),
    ],
)
def test_a_difference_reads_by_the_rules_of_its_unit(unit: str, difference: float, shown: str) -> None:
    assert quantity_of(read_case("train"), "anything", unit).shown_difference(difference) == shown


@pytest.mark.parametrize(
    ("unit", "low", "high", "shown"),
    [
        ("s", 1.02, 1.063, "[+2.0 %, +6.3 %]"),
        ("s", 0.97, math.inf, "[\N{MINUS SIGN}3.0 % or more]"),
        ("s", 1.02, 100.1, "[+2.0 % or more]"),
        ("s", 0.0, 1.12, "[+12.0 % or less]"),
        ("s", 0.001, 0.005, "[\N{MINUS SIGN}99.5 % or less]"),
        ("s", 0.0, math.inf, "[anything]"),
        ("s", 0.02, 99.0, "[\N{MINUS SIGN}98.0 %, +9,800.0 %]"),
        ("fraction", -1.0, 0.3, "[\N{MINUS SIGN}100.0 pt, +30.0 pt]"),
        ("steps", 0.0, 200.0, "[0, +200]"),
    ],
)
def test_an_interval_that_is_open_to_a_side_says_what_is_known(unit: str, low: float, high: float, shown: str) -> None:
    assert quantity_of(read_case("train"), "anything", unit).shown_interval(low, high) == shown


def value_of(name: str, unit: str, *samples: float, case: str = "train") -> Figure:
    return figure_of(metric(name, unit, *samples), quantity_of(read_case(case), name, unit))


def test_the_value_of_a_run_is_the_median_of_its_samples() -> None:
    assert value_of("epoch_time", "s", 9.0, 30.0, 31.0) == Figure(30.0)


@pytest.mark.parametrize(
    ("name", "unit", "difference", "shown"),
    [
        ("throughput_drift", "1/epoch", 0.004, "+0.40 %"),
        ("resumed_memory", "ratio", 1.03, "+3.0 %"),
        ("map50_after_faults", "fraction", -0.011, "−1.1 pt"),
        ("map50_spread", "fraction", 1.5, "+50.0 %"),
    ],
)
def test_a_difference_reads_by_the_rules_of_its_metric(name: str, unit: str, difference: float, shown: str) -> None:
    assert quantity_of(case_of(name), name, unit).shown_difference(difference) == shown


@pytest.mark.parametrize(
    ("unit", "samples", "kind"),
    [
        ("ratio", [0.0], "not positive"),
        ("bytes", [0.0], "not positive"),
        ("s", [0.0, 0.0], "not positive"),
        ("s", [], "no samples"),
        ("fraction", [math.nan], "not finite"),
        ("s", [1.0, math.inf, 2.0], "not finite"),
        ("steps", [1e101], "too large"),
    ],
)
def test_a_figure_that_cannot_be_true_is_none_with_a_reason(unit: str, samples: list[float], kind: str) -> None:
    figure = value_of("anything", unit, *samples)
    assert figure.value is None
    assert figure.absent
    assert figure.absent.kind == kind


def test_what_cannot_be_true_is_kept_with_its_unit() -> None:
    (too_large, not_positive) = (value_of("epoch_time", "s", sample).absent for sample in (1e120, -3.0))
    assert too_large
    assert not_positive
    assert (too_large.detail, not_positive.detail) == ("1e+120 s", "-3 s")


def test_no_anomaly_is_a_figure() -> None:
    assert value_of("gradient_anomalies", "steps", 0.0) == Figure(0.0)


def test_declared_metrics_come_first_and_in_the_order_of_the_declaration() -> None:
    names = ["zeta", "map50", "alpha", "epoch_time", "training_memory"]
    train = read_case("train")
    ordered = in_order(train, (quantity_of(train, name, "s") for name in names))
    assert [quantity.name for quantity in ordered] == ["training_memory", "epoch_time", "map50", "alpha", "zeta"]


@pytest.mark.parametrize("case", all_cases())
@pytest.mark.parametrize(("device", "others"), [("cpu", "cuda"), ("cuda:0", "cpu")])
def test_a_case_is_expected_to_measure_the_headlines_that_it_declares_for_the_device(
    folder: Make, case: str, device: str, others: str
) -> None:
    both = {"script": {**SETTINGS["script"], "higher": {"accuracy": "fraction"}}}
    names = [one.name for one in expected(read_case(case), folder(cases=[case], device=device, settings=both).plan)]
    declared = read_case(case).metrics
    assert names == [one.name for one in declared if one.headline and one.applies not in (others, "amp")]


def test_the_skips_of_a_scaler_are_expected_where_there_is_one(folder: Make) -> None:
    plan = folder(device="cuda:0", precision="amp").plan
    assert "scaler_skips" in [one.name for one in expected(read_case("train"), plan)]


def test_every_unit_that_a_declaration_may_name_has_a_way_to_be_shown() -> None:
    assert set(UNITS) == set(RECORDED)


def test_a_direction_is_that_of_the_declaration_and_of_what_nobody_declares_lower() -> None:
    assert (guess(read_case("train"), "map50").better, guess(read_case("train"), "other").better) == ("higher", "lower")


def test_a_metric_that_comes_in_another_unit_than_it_should_is_shown_by_the_rules_of_the_unit_it_has() -> None:
    quantity = quantity_of(read_case("train"), "step_time", "steps")
    assert (quantity.comparison, quantity.heading(), quantity.shown(3.0)) == ("count", "Step time (steps)", "3")


# --- parameters -------------------------------------------------------------------------------------------------


class Sized(CaseSettings, frozen=True):
    """Of a case that is measured at several sizes, in several batches."""

    sizes: list[int]
    batches: list[int]


SIZED = Case(
    name="sized",
    settings=Sized,
    parameters=(Parameter("size", "picture size", "sizes", "px"), Parameter("batch", "batch", "batches")),
    metrics=(DeclaredMetric("latency", "Latency", "s", "ratio", shown="ms", by=("size", "batch")),),
)


def test_a_metric_with_parameters_is_named_with_them_in_its_key_and_its_heading() -> None:
    quantity = quantity_of(SIZED, "latency", "s", {"size": 64, "batch": 1})
    assert quantity.key == "latency[size=64,batch=1]"
    assert quantity.heading() == "Latency, picture size 64 px, batch 1 (ms)"


def test_a_parameter_that_the_case_does_not_declare_is_called_by_its_name() -> None:
    assert quantity_of(SIZED, "latency", "s", {"depth": 3}).heading() == "Latency, depth 3 (ms)"


def test_a_metric_without_parameters_has_its_name_for_a_key() -> None:
    assert quantity_of(read_case("train"), "map50", "fraction").key == "map50"
