"""What metrics are called, and how their values read."""

from __future__ import annotations

import math

import pytest
from results_folder import MIB, metric

from harness.core.policy import read_policy
from reports.evidence.units import expected, guess, in_order, quantity_of, value_of


@pytest.mark.parametrize(
    ("name", "unit", "value", "heading", "shown"),
    [
        ("peak_rss", "bytes", 412.25 * MIB, "Peak memory, RSS (MiB)", "412.2"),
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
    ],
)
def test_a_value_is_shown_in_the_unit_of_its_heading(
    name: str, unit: str, value: float, heading: str, shown: str
) -> None:
    quantity = quantity_of(name, unit, "lower")
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
    assert quantity_of("anything", unit, "lower").shown_difference(difference) == shown


def test_the_value_of_a_run_is_the_median_of_its_samples() -> None:
    assert value_of(metric("epoch_time", "s", 9.0, 30.0, 31.0)) == (30.0, "")


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
    assert quantity_of(name, unit, "lower").shown_difference(difference) == shown


@pytest.mark.parametrize(
    ("unit", "samples"),
    [
        ("ratio", [0.0]),
        ("bytes", [0.0]),
        ("s", [0.0, 0.0]),
        ("s", []),
        ("fraction", [math.nan]),
        ("s", [1.0, math.inf, 2.0]),
    ],
)
def test_a_figure_that_cannot_be_true_is_none_with_a_reason(unit: str, samples: list[float]) -> None:
    value, reason = value_of(metric("anything", unit, *samples))
    assert value is None
    assert reason


def test_no_anomaly_is_a_figure() -> None:
    assert value_of(metric("gradient_anomalies", "steps", 0.0)) == (0.0, "")


def test_known_metrics_come_first_and_in_order() -> None:
    names = ["zeta", "map50", "alpha", "epoch_time", "peak_rss"]
    ordered = in_order(quantity_of(name, "s", "lower") for name in names)
    assert [quantity.name for quantity in ordered] == ["peak_rss", "epoch_time", "map50", "alpha", "zeta"]


@pytest.mark.parametrize(
    ("case", "names"),
    [
        ("soak", ["throughput_drift"]),
        ("resume", ["resumed_memory", "resume_time"]),
        ("batch-change", ["retained_memory"]),
        ("broken-images", ["map50_after_faults"]),
        ("two-process", ["death_report_time"]),
        ("converge", []),
        ("device", ["device_time"]),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_a_case_is_expected_to_measure_what_is_its_own_and_nothing_of_train(
    case: str, names: list[str], device: str
) -> None:
    assert [quantity.name for quantity in expected(device, case)] == names


def test_the_projects_policy_judges_in_the_direction_and_of_a_metric_that_is_known() -> None:
    for name, rules in read_policy().metrics.items():
        assert guess(name).better == rules.better
        assert guess(name).unit
