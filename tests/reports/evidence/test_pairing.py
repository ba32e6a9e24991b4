"""Which records may be compared, and which values are paired."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from results_folder import Folder, environment, hashes, metric, train_metrics

from reports.evidence.pairing import Difference, Refusal, differences, incomparable, turns_of, values_of
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


def test_values_are_by_pin_and_turn_without_those_that_are_refused(folder: Make) -> None:
    results = folder(rounds=2)
    results.keep_all("1.10.0", epoch=[30, 31])
    results.keep_all("1.12.1", epoch=[33, 34])
    matrix = results.matrix()
    values = values_of(matrix, "train", "epoch_time", {("train", 1, "1.12.1")})
    assert values == {"1.10.0": {(0, ""): 30.0, (1, ""): 31.0}, "1.12.1": {(0, ""): 33.0}}
    assert turns_of(values, "1.12.1", "1.10.0") == [(0, "")]


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


def test_the_differences_that_are_described_rest_on_the_pairs_that_findings_rest_on(folder: Make) -> None:
    results = folder(rounds=2, cases=["pace"])
    for index in range(2):
        results.keep("1.10.0", index, "pace", metrics=[metric("pace", "s", 0.1)], sitting=f"sitting {index}")
    results.keep("1.12.1", 0, "pace", metrics=[metric("pace", "s", 0.2)], sitting="sitting 0")
    results.keep("1.12.1", 1, "pace", metrics=[metric("pace", "s", 0.9)], sitting="a later one")
    assert difference(results, "pace", "pace") == Difference(pytest.approx(2.0), pairs=1, runs=2, refused=0)
