"""Which records may be compared, and which values are paired."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import pytest
from inference_folders import make_inference_folder
from results_folder import Folder, alike, environment, hashes, metric, train_metrics

from harness.core.record import Sitting, beside_of, read_record, record_path, write_record
from reports.evidence.pairing import (
    Difference,
    Refusal,
    differences,
    incomparable,
    is_turned,
    laps_of,
    log_ratios,
    shared,
    values_of,
)
from reports.evidence.units import Quantity

Make = Callable[..., Folder]

# --- refusing ---------------------------------------------------------------------------------------------------


def refused(folder: Make, **changes: object) -> Refusal | None:
    """What is refused of a candidate's record that differs from the baseline's in this."""
    results = folder()
    results.keep("1.10.0")
    results.keep("1.12.1", **changes)
    return incomparable(results.matrix()).get(("train", 0, "1.12.1"))


def test_records_of_the_same_work_may_be_compared(folder: Make) -> None:
    assert refused(folder) is None


@pytest.mark.parametrize("name", ["data", "initial_weights", "batch_stream"])
def test_a_record_of_other_work_is_refused_and_names_the_hash(folder: Make, name: str) -> None:
    assert refused(folder, hashes=hashes(**{name: "other"})) == Refusal("1.10.0", (name,))


def test_cases_that_do_without_some_hashes_may_be_compared(folder: Make) -> None:
    results = folder()
    for pin in results.pins:
        results.keep(pin, hashes=hashes(initial_weights=None, batch_stream=None))
    assert incomparable(results.matrix()) == {}


def test_a_hash_that_only_one_of_two_has_is_a_difference(folder: Make) -> None:
    assert refused(folder, hashes=hashes(batch_stream=None)) == Refusal("1.10.0", ("batch_stream",))


def test_a_record_without_hashes_is_refused_without_a_word_on_what_differs(folder: Make) -> None:
    assert refused(folder, hashes=None) == Refusal("1.10.0", ())


def test_other_hardware_and_flags_that_were_to_be_alike_are_named(folder: Make) -> None:
    observed = environment(cpu="other", flags={"setting": "pinned", "tf32": "on"})
    assert refused(folder, environment=observed) == Refusal("1.10.0", ("hardware", "flag tf32"))


def test_pairs_across_the_nodes_of_a_cluster_are_refused(folder: Make) -> None:
    assert refused(folder, environment=environment(node="n2")) == Refusal("1.10.0", ("node of the cluster",))


def test_without_the_baselines_record_the_first_pin_there_is_stands_in(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1", "1.13.1"])
    results.keep("1.12.1")
    results.keep("1.13.1", hashes=hashes(data="other"))
    assert incomparable(results.matrix()) == {("train", 0, "1.13.1"): Refusal("1.12.1", ("data",))}


# --- pairing ----------------------------------------------------------------------------------------------------


def epoch_time(results: Folder) -> Quantity:
    (found,) = [one for one in results.matrix().quantities["train"] if one.key == "epoch_time"]
    return found


def difference(results: Folder, key: str = "epoch_time", case: str = "train") -> Difference:
    matrix = results.matrix()
    (quantity,) = [one for one in matrix.quantities[case] if one.key == key]
    return differences(matrix, case, quantity, incomparable(matrix))["1.12.1"]


def test_values_are_by_pin_and_round_without_those_that_are_refused(folder: Make) -> None:
    results = folder(rounds=2)
    results.keep_all("1.10.0", epoch=[30, 31])
    results.keep_all("1.12.1", epoch=[33, 34])
    matrix = results.matrix()
    values = values_of(matrix, "train", "epoch_time", {("train", 1, "1.12.1")})
    assert values == {"1.10.0": {(0, 0): 30.0, (1, 0): 31.0}, "1.12.1": {(0, 0): 33.0}}
    assert shared(values, "1.12.1", "1.10.0") == [(0, 0)]


def test_what_each_process_of_a_run_has_is_paired_part_by_part(folder: Make) -> None:
    results = folder(rounds=2)
    for index in range(2):
        results.keep("1.10.0", index, metrics=[metric("training_memory", "bytes", 100.0, 200.0)])
        results.keep("1.12.1", index, metrics=[metric("training_memory", "bytes", 110.0, 210.0)])
    values = values_of(results.matrix(), "train", "training_memory")
    places = [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert values["1.10.0"] == dict(zip(places, [100.0, 200.0] * 2))
    assert shared(values, "1.12.1", "1.10.0") == places


def test_laps_are_by_pin_and_round_and_sitting_without_those_that_are_refused(folder: Make) -> None:
    results = folder(rounds=2)
    for pin in results.pins:
        results.keep_laps(pin, [[0.1, 0.2], [0.3]], [[0.4]])
    laps = laps_of(results.matrix(), "train", "step_time", {("train", 1, "1.12.1")})
    assert {pin: {place: list(own) for place, own in found.items()} for pin, found in laps.items()} == {
        "1.10.0": {(0, "0.0"): [0.1, 0.2], (0, "0.1"): [0.3], (1, "1.0"): [0.4]},
        "1.12.1": {(0, "0.0"): [0.1, 0.2], (0, "0.1"): [0.3]},
    }
    assert shared(laps, "1.12.1", "1.10.0") == [(0, "0.0"), (0, "0.1")]


def test_what_turns_measure_at_several_combinations_is_paired_at_each_of_them(folder: Make) -> None:
    runs = {"1.12.1": {"latencies": {32: 0.01, 64: 0.03, 96: 0.04}, "laps": [[1.0, 1.0], [1.0]]}}
    runs["1.10.0"] = {"laps": [[1.0, 1.0], [1.0]]}
    matrix = make_inference_folder(folder, ["1.10.0", "1.12.1"], runs=runs).matrix()
    for size, ratio in ((32, 1.0), (64, 1.5), (96, 1.0)):
        for name in ("latency", "network_time"):
            key = f"{name}[precision=fp32,size={size},batch=4]"
            laps = laps_of(matrix, "inference", key)
            assert log_ratios(laps, "1.12.1", "1.10.0") == [
                pytest.approx([math.log(ratio)] * number) for number in (2, 1)
            ]
            assert is_turned("inference", key)
    assert not is_turned("inference", "deployed_map50[precision=fp32,size=32]")


def test_a_sitting_that_was_all_warm_up_has_no_laps(folder: Make) -> None:
    results = folder(["1.10.0"])
    sittings = [Sitting(name="first", seat=0, laps=0), Sitting(name="second", seat=0, laps=2)]
    results.keep("1.10.0", metrics=[metric("step_time", "s", 0.1, 0.2)], sittings=sittings)
    assert [*laps_of(results.matrix(), "train", "step_time")["1.10.0"]] == [(0, "second")]


def test_the_log_ratio_is_of_a_lap_to_the_same_lap_of_the_baseline() -> None:
    laps = {"base": {(0, "a"): [0.1, 0.2, 0.4], (0, "b"): [1.0]}, "own": {(0, "b"): [math.e], (0, "a"): [0.2, 0.2]}}
    assert log_ratios(laps, "own", "base") == [pytest.approx([math.log(2), 0.0]), pytest.approx([1.0])]


def test_of_what_is_measured_in_turns_only_runs_that_took_none_are_compared_by_rounds(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1", "1.13.1"], rounds=1)
    for pin in results.pins:
        results.keep_laps(pin, alike(0.1, 0.1), together=pin != "1.13.1")
    assert [*values_of(results.matrix(), "train", "step_time")] == ["1.13.1"]


def test_the_median_over_the_pairs_is_of_ratios_or_of_differences(folder: Make) -> None:
    results = folder(rounds=3)
    results.keep_all("1.10.0", epoch=[30, 30, 30], map50=[0.8, 0.8, 0.8])
    results.keep_all("1.12.1", epoch=[33, 60, 30], map50=[0.7, 0.9, 0.85])
    assert difference(results).value == pytest.approx(1.1)
    assert difference(results, "map50").value == pytest.approx(0.05)


def test_runs_pairs_and_refusals_are_counted(folder: Make) -> None:
    results = folder(rounds=4)
    for index in range(3):
        results.keep("1.10.0", index, metrics=train_metrics(epoch=30))
    for index in (1, 2, 3):
        results.keep("1.12.1", index, metrics=train_metrics(epoch=33))
    results.keep("1.12.1", 2, metrics=train_metrics(epoch=90), hashes=hashes(data="other"))
    assert difference(results) == Difference(pytest.approx(1.1), pairs=1, runs=3, refused=1)


def test_without_a_pair_there_is_no_difference(folder: Make) -> None:
    results = folder(rounds=2)
    results.keep("1.10.0", 0)
    results.keep("1.12.1", 1)
    assert difference(results) == Difference(None, pairs=0, runs=1, refused=0)


def test_of_what_is_measured_in_turns_the_median_ratio_of_all_laps_is_described(folder: Make) -> None:
    results = folder(rounds=2)
    results.keep_laps("1.10.0", [[0.1, 0.1, 0.1], [0.1]], [[0.1]])
    results.keep_laps("1.12.1", [[0.2, 0.2, 0.2], [0.9]], [[0.9]])
    assert difference(results, "step_time") == Difference(pytest.approx(2.0), pairs=3, runs=3, refused=0)


def test_the_differences_that_are_described_rest_on_the_pairs_that_findings_rest_on(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1", "1.13.1"], rounds=3)
    for pin in results.pins:
        results.keep_laps(pin, *[alike(0.1)] * 3)
    for index, (name, steps, data) in enumerate((("0.0", 0.2, "d"), ("a later one", 0.9, "d"), ("2.0", 0.9, "other"))):
        sittings = [Sitting(name=name, seat=1, laps=8)]
        made = [metric("step_time", "s", *[steps] * 8)]
        results.keep("1.12.1", index, metrics=made, sittings=sittings, hashes=hashes(data=data))
    assert difference(results, "step_time") == Difference(pytest.approx(2.0), pairs=1, runs=3, refused=1)


def test_a_pin_that_sat_at_a_further_table_is_paired_with_what_the_baseline_did_there(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1", "1.13.1"])
    results.keep_laps("1.10.0", [[0.1, 0.2]])
    results.keep_laps("1.12.1", [[0.1, 0.2]])
    results.keep_laps("1.13.1", [[0.3, 0.4]], together=False)
    first = read_record(record_path(results.path, results.spec("1.10.0")))
    there = read_record(record_path(results.path, results.spec("1.13.1"))).sittings
    again = msgspec.structs.replace(first, sittings=there, metrics=[metric("step_time", "s", 0.15, 0.25)])
    write_record(beside_of(record_path(results.path, first.spec), 1), again)
    laps = laps_of(results.matrix(), "train", "step_time")
    assert shared(laps, "1.12.1", "1.10.0") == [(0, "0.0")]
    ((sitting),) = shared(laps, "1.13.1", "1.10.0")
    assert [*laps["1.10.0"][sitting]] == [0.15, 0.25]
    assert [*laps["1.13.1"][sitting]] == [0.3, 0.4]
