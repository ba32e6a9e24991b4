"""Figures: what each run says of each metric of its case, at each combination of its parameters, or why nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from results_folder import Folder, alike, check, metric, train_metrics

from harness.core.cases import read_case
from harness.core.declaration import Case, DeclaredMetric, Parameter
from harness.core.record import Fingerprint, Sitting
from harness.core.settings import CaseSettings
from reports.evidence.figures import NOTHING_SAID, Absent, Figure, name_and_combination

Make = Callable[..., Folder]
Declare = Callable[[str, Case], None]

# --- parameters -------------------------------------------------------------------------------------------------


class Sized(CaseSettings, frozen=True):
    """Of a case that is measured at several sizes."""

    sizes: list[int]


SIZED = Case(
    settings=Sized,
    parameters=(Parameter("size", "size", "sizes", "px"),),
    metrics=(
        DeclaredMetric("latency", "Latency", "s", "ratio", by=("size",)),
        DeclaredMetric("map50", "mAP", "fraction", "points", better="higher", zero="nothing learnt", by=("size",)),
    ),
)


@pytest.fixture
def sized(folder: Make, declare: Declare) -> Folder:
    """Two rounds of a case that measures at 64 and 128 px; nothing is recorded yet."""
    declare("sized", SIZED)
    return folder(rounds=2, cases=["sized"], settings={"sized": {"sizes": [64, 128]}})


def keys(results: Folder, case: str = "sized") -> list[str]:
    return [quantity.key for quantity in results.matrix().quantities[case]]


def test_each_combination_of_parameters_is_a_row_and_a_figure_of_its_own(sized: Folder) -> None:
    sized.keep(
        "1.10.0",
        0,
        "sized",
        metrics=[metric("latency", "s", 0.2, at={"size": 128}), metric("latency", "s", 0.1, at={"size": 64})],
    )
    assert keys(sized) == ["latency[size=64]", "latency[size=128]"]  # as the settings list them
    (one,) = [one for one in sized.matrix().observations if one.status == "ok"]
    assert one.figures == {"latency[size=128]": Figure(0.2), "latency[size=64]": Figure(0.1)}


def test_where_no_run_says_anything_every_combination_has_its_row(sized: Folder) -> None:
    assert keys(sized) == ["latency[size=64]", "latency[size=128]", "map50[size=64]", "map50[size=128]"]


def test_a_combination_that_was_not_measured_is_told_by_its_key(sized: Folder) -> None:
    sized.keep("1.10.0", 0, "sized", metrics=[], not_measured={"latency[size=128]": "no memory left"})
    (quantity,) = sized.matrix().quantities["sized"]
    assert (quantity.heading(), quantity.unit) == ("Latency, size 128 px (s)", "s")


def test_a_key_that_the_case_has_no_combination_for_is_a_name_by_itself() -> None:
    assert name_and_combination(SIZED, {"sizes": [64]}, "latency[size=65]") == ("latency[size=65]", {})
    assert name_and_combination(SIZED, None, "latency[size=64]") == ("latency[size=64]", {})
    assert name_and_combination(SIZED, {"sizes": [64]}, "latency[size=64]") == ("latency", {"size": 64})


def test_what_was_learnt_at_one_size_does_not_hide_that_nothing_was_at_another(sized: Folder) -> None:
    for pin in sized.pins:
        metrics = [metric("map50", "fraction", score, at={"size": size}) for size, score in ((64, 0.0), (128, 0.5))]
        sized.keep(pin, 0, "sized", metrics=metrics)
    figures = next(one.figures for one in sized.matrix().observations if one.status == "ok")
    assert figures == {"map50[size=64]": Figure(None, Absent("unlearnt")), "map50[size=128]": Figure(0.5)}


# --- rows -------------------------------------------------------------------------------------------------------


def test_rows_are_in_the_order_of_the_declaration_and_what_nobody_declares_comes_last(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0", metrics=[metric("zeta", "s", 1.0), *reversed(train_metrics())])
    declared = [one.name for one in read_case("train").metrics]
    found = keys(results, "train")
    assert found == [*sorted(found[:-1], key=declared.index), "zeta"]


@pytest.mark.parametrize(
    ("device", "precision", "shown"), [("cpu", "amp", False), ("cuda:0", "fp32", False), ("cuda:0", "amp", True)]
)
def test_what_is_there_only_for_some_runs_is_a_row_only_where_such_are_planned(
    folder: Make, device: str, precision: str, shown: bool
) -> None:
    results = folder(device=device, precision=precision)
    results.keep("1.10.0")
    assert ("scaler_skips" in keys(results, "train")) is shown


def test_a_figure_takes_the_place_of_a_guess_at_its_unit(folder: Make) -> None:
    results = folder(rounds=2)
    results.keep("1.10.0", 0, metrics=[], not_measured={"zeta": "no reason"})
    results.keep("1.10.0", 1, metrics=[metric("zeta", "s", 1.0)])
    assert [quantity.unit for quantity in results.matrix().quantities["train"]] == ["s"]


# --- what is absent ---------------------------------------------------------------------------------------------


def figures(results: Folder, case: str = "train") -> list[dict[str, Figure]]:
    return [one.figures for one in results.matrix().by_case[case]]


def test_a_reason_that_the_record_has_is_kept_as_it_is(folder: Make) -> None:
    results = folder(["1.10.0"])
    results.keep("1.10.0", metrics=[], not_measured={"map50": "no validation pictures"})
    assert figures(results) == [{"map50": Figure(None, Absent("recorded", "no validation pictures"))}]


def test_a_map_of_0_in_every_run_is_no_value_and_one_beside_a_run_that_learnt_is(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1"])
    for pin in results.pins:
        results.keep(pin, metrics=[metric("map50", "fraction", 0.0)])
    assert [each["map50"] for each in figures(results)] == [Figure(None, Absent("unlearnt"))] * 2
    results.keep("1.12.1", metrics=[metric("map50", "fraction", 0.4)])
    assert [each["map50"] for each in figures(results)] == [Figure(0.4), Figure(0.0)]


def test_a_fraction_of_0_in_every_run_is_no_value_also_where_no_case_declares_it(folder: Make) -> None:
    results = folder(["1.10.0"])
    results.keep("1.10.0", metrics=[metric("recall", "fraction", 0.0), metric("retries", "steps", 0.0)])
    assert figures(results) == [{"recall": Figure(None, Absent("unlearnt")), "retries": Figure(0.0)}]


def test_no_change_in_any_run_is_told_from_nothing_learnt(folder: Make) -> None:
    results = folder(["1.10.0"], cases=["broken-images"])
    results.keep("1.10.0", 0, "broken-images", metrics=[metric("map50_after_faults", "fraction", 0.0)])
    assert figures(results, "broken-images") == [{"map50_after_faults": Figure(None, Absent("unchanged"))}]


def test_what_a_record_is_silent_about_is_no_figure(folder: Make) -> None:
    results = folder(["1.10.0"])
    results.keep("1.10.0")
    assert results.matrix().observations[0].figure("other") == NOTHING_SAID


def test_a_run_that_did_not_end_well_has_no_figures_checks_series_or_fingerprints(folder: Make) -> None:
    results = folder(["1.10.0"], cases=["soak"])
    left = {"checks": [check()], "series": {"rss": [1.0]}, "fingerprints": [Fingerprint("final_weights", "f")]}
    results.keep("1.10.0", 0, "soak", status="failed", reason="killed", metrics=train_metrics(), **left)
    (one,) = results.matrix().observations
    assert (one.figures, one.checks, one.series, one.fingerprints, one.trace) == ({}, (), {}, {}, None)


# --- what else is kept ------------------------------------------------------------------------------------------


def test_only_series_that_a_check_is_judged_by_are_kept_whole(folder: Make) -> None:
    series = {"rss": [1.0, 2.0], "begun": [0.0], "loss": [3.0] * 2, "epoch_time": [9.0] * 2}
    results = folder(["1.10.0"], cases=["soak", "train"])
    for case in ("soak", "train"):
        results.keep("1.10.0", 0, case, series=series)
    kept = {one.spec.case: set(one.series) for one in results.matrix().observations}
    assert kept == {"soak": {"rss", "begun", "epoch_time"}, "train": set()}


def test_a_spread_is_how_far_each_run_lies_from_the_mean_of_its_pin(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1"], rounds=2, cases=["converge"])
    results.keep_seeds("1.10.0", 0.8, 0.6)
    results.keep_seeds("1.12.1", 0.5, 0.5)
    found = [each["map50_spread"].value for one in ("1.10.0", "1.12.1") for each in of_pin(results, one)]
    assert found == pytest.approx([0.1, -0.1, 0.0, 0.0])


def of_pin(results: Folder, pin: str) -> list[dict[str, Figure]]:
    return [one.figures for one in results.matrix().runs_of("converge", pin)]


def test_the_only_run_of_a_pin_has_no_spread(folder: Make) -> None:
    results = folder(["1.10.0"], cases=["converge"])
    results.keep_seeds("1.10.0", 0.8)
    assert figures(results, "converge")[0]["map50_spread"] == Figure(None, Absent("lonely"))


def test_reading_changes_nothing_of_an_earlier_reading(folder: Make) -> None:
    results = folder(["1.10.0"], rounds=2, cases=["converge"])
    results.keep_seeds("1.10.0", 0.0, 0.0)
    before = [dict(each) for each in figures(results, "converge")]
    assert figures(results, "converge") == before


# --- turns ------------------------------------------------------------------------------------------------------


def test_of_a_run_in_turns_every_lap_is_kept_and_takes_eight_bytes(folder: Make) -> None:
    results = folder(["1.10.0"])
    results.keep_laps("1.10.0", [[0.1, 0.3], [0.2]])
    (one,) = results.matrix().observations
    assert [(sitting.name, sitting.laps) for sitting in one.sittings] == [("0.0", 2), ("0.1", 1)]
    assert [list(laps) for laps in one.laps["step_time"]] == [[0.1, 0.3], [0.2]]
    assert sum(memoryview(laps).nbytes for laps in one.laps["step_time"]) == 24  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", [[0.1, 0.2], [0.1] * 4, [0.1, 1e101, 0.1], [0.1, 0.0, 0.1], [0.1, -1.0, 0.1], []])
def test_laps_that_are_not_one_a_turn_or_cannot_be_true_are_not_kept(folder: Make, steps: list[float]) -> None:
    results = folder(["1.10.0"])
    sittings = [Sitting(name="first", seat=0, laps=2), Sitting(name="second", seat=0, laps=1)]
    results.keep("1.10.0", metrics=[metric("step_time", "s", *steps)], sittings=sittings)
    (one,) = results.matrix().observations
    assert [len(laps) for laps in one.laps["step_time"]] == [0, 0]
    assert len(one.sittings) == 2


def test_a_run_that_failed_and_a_case_without_turns_have_no_laps(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1"], cases=["train", "converge"])
    results.keep_laps("1.12.1", alike(0.1))
    results.fail("1.10.0")
    results.keep("1.10.0", 0, "converge", metrics=[metric("step_time", "s", 0.1)])
    laps = {(one.spec.case, one.spec.pin.name): len(one.laps) for one in results.matrix().observations}
    assert {place for place, number in laps.items() if number} == {("train", "1.12.1")}


# --- all runs ---------------------------------------------------------------------------------------------------


def test_runs_of_a_case_come_with_their_rounds_in_order(folder: Make) -> None:
    results = folder(rounds=3, cases=["train", "soak"])
    found = results.matrix().by_case
    assert [one.spec.round for one in found["soak"]] == [0, 0, 1, 1, 2, 2]
    assert [one.spec.round for one in results.matrix().runs_of("train", "1.12.1")] == [0, 1, 2]
    assert results.matrix().runs_of("resume", "1.12.1") == []
