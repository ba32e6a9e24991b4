"""What a case hands back: what it declares and nothing else."""

import math

import msgspec
import pytest

from harness.cell.measured import Measured
from harness.core.declaration import (
    ByTrend,
    Case,
    DeclaredCheck,
    DeclaredFingerprint,
    DeclaredMetric,
    DeclaredSeries,
    Parameter,
)
from harness.core.errors import UsageError
from harness.core.record import Breakdown, Check, Fingerprint, Hashes, Metric
from harness.core.settings import CaseSettings


class Settings(CaseSettings, frozen=True):
    sizes: tuple[int, ...] = (64,)


CASE = Case(
    name="some-case",
    settings=Settings,
    parameters=(Parameter("size", "Size", "sizes"),),
    metrics=(
        DeclaredMetric("time", "Time", "s", "ratio"),
        DeclaredMetric("latency", "Latency", "s", "ratio", by=("size",)),
        DeclaredMetric("skips", "Skips", "steps", "count", applies="amp"),
        DeclaredMetric("time_spread", "Spread", "s", "spread", spread_of="time"),
    ),
    series=(DeclaredSeries("loss", "Loss"),),
    checks=(
        DeclaredCheck("holds", "It holds"),
        DeclaredCheck("with", "It holds with {part}"),
        DeclaredCheck("on_gpu", "It holds", applies="cuda"),
        DeclaredCheck("grows", "It does not grow", ByTrend("loss", "leak")),
    ),
    fingerprints=(DeclaredFingerprint("values", "Values"), DeclaredFingerprint("digest", "Digest")),
)


@pytest.fixture
def measured(spec):
    return Measured(CASE, spec, Hashes("0" * 64))


@pytest.fixture
def on_gpu(measured, spec):
    """The same of a run on a GPU in mixed precision."""
    return Measured(CASE, msgspec.structs.replace(spec, device="cuda:0", precision="amp"), Hashes("0" * 64))


def test_a_metric_has_the_unit_that_it_is_declared_in(measured):
    measured.keep_metric("time", [1.0, 2.0], warmup=[9.0])
    measured.keep_metric("latency", [0.5], at={"size": 64})
    assert measured.metrics == [Metric("time", "s", [1.0, 2.0], [9.0]), Metric("latency", "s", [0.5], at={"size": 64})]
    assert measured.metrics[1].key == "latency[size=64]"


def test_samples_that_are_not_finite_measure_nothing_and_say_so(measured):
    measured.keep_metric("time", [1.0, math.inf])
    measured.keep_metric("latency", [1.0], warmup=[math.nan], at={"size": 32})
    assert measured.metrics == []
    reason = "some samples are not finite"
    assert measured.not_measured == {"time": reason, "latency[size=32]": reason}


def test_what_does_not_apply_on_the_device_or_in_the_precision_is_left_out(measured, on_gpu):
    for one in (measured, on_gpu):
        one.keep_metric("skips", [1.0])
        one.keep_reason("skips", "no scaler")
        one.check("on_gpu", True, "seen")
    assert (measured.metrics, measured.not_measured, measured.checks) == ([], {}, [])
    assert [metric.name for metric in on_gpu.metrics] == ["skips"]
    assert [check.name for check in on_gpu.checks] == ["on_gpu"]


def test_checks_are_held_failed_or_open_and_may_be_of_a_part(measured):
    for held in (True, False, None):
        measured.check("with:1.12.1", held, "seen")
    assert measured.checks == [Check("with:1.12.1", outcome, "seen") for outcome in ("held", "failed", "open")]


def test_series_and_fingerprints_have_none_for_what_is_not_finite(measured):
    measured.keep_series("loss", [1.0, math.nan])
    measured.keep_series("loss:box", [-math.inf])
    measured.keep_fingerprint("values", [1.0, math.inf])
    measured.keep_fingerprint("digest", "abc")
    assert measured.series == {"loss": [1.0, None], "loss:box": [None]}
    assert measured.fingerprints == [Fingerprint("values", [1.0, None]), Fingerprint("digest", "abc")]


@pytest.mark.parametrize(
    ("kind", "keep"),
    [
        ("metric 'speed'", lambda measured: measured.keep_metric("speed", [1.0])),
        ("metric 'speed'", lambda measured: measured.keep_reason("speed", "it is slow")),
        ("metric 'time_spread'", lambda measured: measured.keep_metric("time_spread", [1.0])),
        ("series 'norm'", lambda measured: measured.keep_series("norm", [1.0])),
        ("check 'is_fast'", lambda measured: measured.check("is_fast", True, "seen")),
        ("check 'grows'", lambda measured: measured.check("grows", True, "seen")),
        ("fingerprint 'weights'", lambda measured: measured.keep_fingerprint("weights", "abc")),
    ],
)
def test_what_the_case_does_not_declare_for_its_runs_is_refused_by_name_and_place(measured, kind, keep):
    with pytest.raises(UsageError, match=rf"^The case some-case yields the {kind}, .* cases/some_case/__init__\.py\.$"):
        keep(measured)


@pytest.mark.parametrize(("name", "at"), [("latency", {}), ("latency", {"batch": 1}), ("time", {"size": 64})])
def test_a_metric_by_other_parameters_than_it_is_declared_by_is_refused(measured, name, at):
    with pytest.raises(UsageError, match=f"declares '{name}' by the parameters"):
        measured.keep_metric(name, [1.0], at=at)


def test_the_fields_of_a_record_are_all_but_who_asked(measured):
    measured.notes["time"] = "host clock"
    fields = measured.fields()
    assert fields["notes"] == {"time": "host clock"}
    assert not {"case", "spec"} & set(fields)
    assert "branches" in fields


def test_a_check_may_say_how_far_things_are_apart_and_what_was_warned_of(measured):
    measured.check("holds", True, "fine", apart=0.5, warnings=("old", "older"))
    assert measured.checks == [Check("holds", "held", "fine", 0.5, ["old", "older"])]


def test_a_breakdown_has_a_value_of_every_part_in_every_row_and_their_sum(measured_for):
    measured = measured_for("attribution")
    measured.keep_breakdown("time_by_layer", [{"conv": 1.0, "norm": 2.0}, {"conv": 3.0, "loss": 0.5}])
    parts = {"conv": [1.0, 3.0], "norm": [2.0, 0.0], "loss": [0.0, 0.5]}
    assert measured.breakdowns == [Breakdown("time_by_layer", "s", [3.0, 3.5], parts)]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_breakdown_with_a_part_that_is_not_known_is_refused(measured_for, value):
    with pytest.raises(UsageError, match="values that are not finite"):
        measured_for("attribution").keep_breakdown("time_by_layer", [{"conv": value}])


def test_a_breakdown_that_the_case_does_not_declare_is_refused(measured_for):
    with pytest.raises(UsageError, match="yields the breakdown 'time_by_layer'"):
        measured_for("train").keep_breakdown("time_by_layer", [{"conv": 1.0}])
