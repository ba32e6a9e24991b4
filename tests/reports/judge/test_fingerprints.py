"""Fingerprints: alike, alike to a tolerance, or different from some step on, for every pair of pins."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
from results_folder import Folder, hashes

from harness.core.cases import read_case
from harness.core.declaration import Case, DeclaredFingerprint
from harness.core.record import Fingerprint
from reports.judge.fingerprints import compared, relative
from reports.judge.statements import Apart, Likeness

Make = Callable[..., Folder]
Declare = Callable[[str, Case], None]
Values = Sequence[float | None]


def of(value: str | list[float | str | None], places: Sequence[str] = ()) -> Fingerprint:
    return Fingerprint("any", value, list(places))


LOSSES = [40.0, 41.0, 42.0, 43.0]


def losses(folder: Make, first: Sequence[Values], second: Sequence[Values]) -> Likeness:
    """What two pins have in common in the losses of their first steps, by round."""
    results = folder(rounds=max(len(first), len(second)))
    for pin, rounds in zip(results.pins, (first, second), strict=True):
        results.keep_prints(pin, *({"first_losses": values} for values in rounds))
    return results.likeness("first_losses")


def tolerant(folder: Make, declare: Declare, first: Sequence[Values], second: Sequence[Values]) -> Likeness:
    """The same of a case whose fingerprint has a tolerance of one in a thousand."""
    declare("tolerant", Case(fingerprints=(DeclaredFingerprint("outputs", "Outputs", tolerance=1e-3),)))
    results = folder(rounds=len(first), cases=["tolerant"])
    for pin, rounds in zip(results.pins, (first, second), strict=True):
        results.keep_prints(pin, *({"outputs": values} for values in rounds), case="tolerant")
    return results.likeness("outputs", case="tolerant")


# --- values -----------------------------------------------------------------------------------------------------


def test_equal_values_in_all_rounds_are_alike_bit_for_bit(folder: Make) -> None:
    found = losses(folder, [LOSSES, LOSSES[::-1]], [LOSSES, LOSSES[::-1]])
    assert (found.kind, found.rounds, found.alike) == ("alike", 2, 2)
    assert (found.place, found.round, found.values, found.largest) == (None, None, None, 0.0)


def test_without_a_tolerance_the_last_bit_is_a_difference(folder: Make) -> None:
    found = losses(folder, [LOSSES], [[*LOSSES[:3], math.nextafter(43.0, 44.0)]])
    assert (found.kind, found.place, found.alike) == ("differs", 3, 0)
    assert found.values == (43.0, math.nextafter(43.0, 44.0))


def test_the_first_step_that_differs_in_any_round_is_told_with_its_round_and_both_values(folder: Make) -> None:
    late, early = [*LOSSES[:3], 99.0], [40.0, 50.0, 42.0, 99.0]
    found = losses(folder, [LOSSES] * 3, [LOSSES, late, early])
    assert (found.kind, found.rounds, found.alike) == ("differs", 3, 1)
    assert (found.place, found.round, found.values) == (1, 2, (41.0, 50.0))
    assert found.largest == pytest.approx(1 - 43 / 99)


def test_of_two_rounds_that_differ_at_the_same_step_the_first_is_told(folder: Make) -> None:
    found = losses(folder, [LOSSES] * 2, [[40.0, 44.0, 42.0, 43.0], [40.0, 45.0, 42.0, 43.0]])
    assert (found.place, found.round, found.values) == (1, 0, (41.0, 44.0))


def test_what_is_not_finite_on_both_sides_is_alike_and_on_one_side_differs(folder: Make) -> None:
    assert losses(folder, [[1.0, None]], [[1.0, None]]).kind == "alike"
    found = losses(folder, [[1.0, None]], [[1.0, 2.0]])
    assert (found.kind, found.place, found.values, found.largest) == ("differs", 1, (None, 2.0), math.inf)


def test_lists_of_unequal_length_differ_where_the_shorter_one_ends(folder: Make) -> None:
    found = losses(folder, [LOSSES], [LOSSES[:2]])
    assert (found.kind, found.place, found.values, found.largest) == ("differs", 2, None, 0.0)


def test_a_difference_before_the_end_of_the_shorter_one_is_told_first(folder: Make) -> None:
    found = losses(folder, [LOSSES], [[40.0, 50.0]])
    assert (found.kind, found.place, found.values) == ("differs", 1, (41.0, 50.0))


def test_an_empty_list_differs_from_one_that_is_not_and_not_from_itself(folder: Make) -> None:
    assert losses(folder, [[]], [[]]).kind == "alike"
    found = losses(folder, [[]], [LOSSES])
    assert (found.kind, found.place, found.values, found.largest) == ("differs", 0, None, None)


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        (1.0, 1.0, 0.0),
        (0.0, -0.0, 0.0),
        (100.0, 99.0, 0.01),
        (99.0, 100.0, 0.01),
        (-1.0, 1.0, 2.0),
        (0.0, 5.0, 1.0),
        (None, None, 0.0),
        (None, 0.0, math.inf),
    ],
)
def test_a_relative_difference_is_a_share_of_the_larger_value(
    one: float | None, other: float | None, apart: float
) -> None:
    assert relative(one, other) == pytest.approx(apart)


# --- tolerance --------------------------------------------------------------------------------------------------


def test_values_within_the_tolerance_are_so_with_the_largest_difference(folder: Make, declare: Declare) -> None:
    found = tolerant(folder, declare, [[100.0, 200.0]] * 2, [[100.0, 200.0], [100.0, 200.1]])
    assert (found.kind, found.rounds, found.alike) == ("within tolerance", 2, 1)
    assert (found.place, found.round, found.values) == (1, 1, (200.0, 200.1))
    assert found.largest == pytest.approx(5e-4, rel=1e-3)


def test_equal_values_are_alike_bit_for_bit_whatever_the_tolerance(folder: Make, declare: Declare) -> None:
    assert tolerant(folder, declare, [LOSSES], [LOSSES]).kind == "alike"


def test_beyond_the_tolerance_the_first_place_beyond_it_is_told(folder: Make, declare: Declare) -> None:
    found = tolerant(folder, declare, [[100.0, 200.0, 300.0]], [[100.01, 201.0, 900.0]])
    assert (found.kind, found.place, found.values) == ("differs", 1, (200.0, 201.0))


def test_one_round_beyond_the_tolerance_is_a_difference(folder: Make, declare: Declare) -> None:
    found = tolerant(folder, declare, [[100.0, 100.0]] * 2, [[100.01, 100.0], [100.0, 150.0]])
    assert (found.kind, found.place, found.round, found.alike) == ("differs", 1, 1, 0)


def test_the_tolerance_itself_is_within_it() -> None:
    assert not compared(of([1000.0]), of([999.0]), 1e-3).beyond
    assert compared(of([1000.0]), of([998.9]), 1e-3).beyond


# --- digests ----------------------------------------------------------------------------------------------------


def weights(folder: Make, first: Sequence[str], second: Sequence[str]) -> Likeness:
    results = folder(rounds=len(first))
    for pin, rounds in zip(results.pins, (first, second), strict=True):
        results.keep_prints(pin, *({"final_weights": digest} for digest in rounds))
    return results.likeness("final_weights")


def test_equal_digests_are_alike(folder: Make) -> None:
    found = weights(folder, ["a", "b"], ["a", "b"])
    assert (found.kind, found.rounds, found.alike, found.values, found.largest) == ("alike", 2, 2, None, None)


def test_other_digests_differ_at_no_place(folder: Make) -> None:
    found = weights(folder, ["a", "b"], ["a", "c"])
    assert (found.kind, found.alike, found.place, found.round, found.values) == ("differs", 1, None, 1, ("b", "c"))


def test_a_digest_is_not_like_values() -> None:
    found = compared(of("a"), of([1.0]), None)
    assert (found.equal, found.beyond, found.place) == (False, True, None)


# --- places with names --------------------------------------------------------------------------------------------


MODULES = ["stem", "stem.conv", "head"]


def test_of_digests_in_order_the_place_that_differs_first_is_told_by_its_name() -> None:
    found = compared(of(["a", "b", "c"], MODULES), of(["a", "x", "y"], MODULES), None)
    assert (found.equal, found.beyond, found.place, found.at, found.values) == (False, True, 1, "stem.conv", ("b", "x"))


def test_digests_in_order_that_are_equal_are_alike() -> None:
    found = compared(of(["a", "b", "c"], MODULES), of(["a", "b", "c"], MODULES), None)
    assert (found.equal, found.place, found.at) == (True, None, "")


def test_a_tolerance_does_not_make_digests_alike() -> None:
    assert compared(of(["a"], ["stem"]), of(["b"], ["stem"]), 1e-3).beyond


def test_equal_values_of_different_things_differ() -> None:
    found = compared(of([1.0, 2.0], ["loss", "gradient"]), of([1.0, 2.0], ["loss", "update"]), 1e-3)
    assert (found.beyond, found.place, found.at) == (True, 1, "gradient")


def test_a_likeness_has_the_name_of_the_place(folder: Make) -> None:
    results = folder(rounds=2)
    for pin, last in zip(results.pins, ("c", "z"), strict=True):
        for index in range(2):
            results.keep(pin, index, fingerprints=[Fingerprint("first_losses", ["a", "b", last], MODULES)])
    found = results.likeness("first_losses")
    assert (found.kind, found.place, found.at, found.values) == ("differs", 2, "head", ("c", "z"))


# --- what is not compared ---------------------------------------------------------------------------------------


def test_only_rounds_that_both_have_are_compared(folder: Make) -> None:
    found = losses(folder, [LOSSES, LOSSES], [LOSSES])
    assert (found.kind, found.rounds) == ("alike", 1)


def test_records_that_must_not_be_compared_are_not(folder: Make) -> None:
    results = folder(rounds=2)
    for index in range(2):
        for pin, value in zip(results.pins, ("a", "b"), strict=True):
            shared = hashes(data="other") if pin == "1.12.1" else hashes()
            results.keep(pin, index, hashes=shared, fingerprints=[Fingerprint("final_weights", value)])
    found = results.likeness("final_weights")
    assert (found.kind, found.rounds, found.why) == ("not compared", 0, "refused")


def test_a_pin_without_a_run_that_ended_well_is_not_compared(folder: Make) -> None:
    results = folder()
    results.keep_prints("1.10.0", {"final_weights": "a"})
    results.fail("1.12.1")
    found = results.likeness("final_weights")
    assert (found.kind, found.why) == ("not compared", "no run")


def test_records_that_do_not_hold_it_are_not_compared(folder: Make) -> None:
    results = folder()
    results.keep_prints("1.10.0", {"final_weights": "a"})
    results.keep_prints("1.12.1", {})
    found = results.likeness("final_weights")
    assert (found.kind, found.why) == ("not compared", "not recorded")


def test_a_round_in_which_one_record_does_not_hold_it_is_left_out(folder: Make) -> None:
    results = folder(rounds=2)
    results.keep_prints("1.10.0", {"final_weights": "a"}, {"final_weights": "b"})
    results.keep_prints("1.12.1", {}, {"final_weights": "b"})
    found = results.likeness("final_weights")
    assert (found.kind, found.rounds) == ("alike", 1)


# --- which ones -------------------------------------------------------------------------------------------------


def test_every_fingerprint_that_a_case_declares_is_compared_for_every_pair_of_pins(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1", "1.13.1"])
    for pin, digest in zip(results.pins, "aab", strict=True):
        results.keep_prints(pin, {"final_weights": digest})
    found = results.machine().fingerprints["train"]
    assert {one.declared for one in found} == set(read_case("train").fingerprints)
    assert [(one.first, one.second, one.kind) for one in found if one.declared.name == "final_weights"] == [
        ("1.10.0", "1.12.1", "alike"),
        ("1.10.0", "1.13.1", "differs"),
        ("1.12.1", "1.13.1", "differs"),
    ]


def test_a_case_without_fingerprints_has_none(folder: Make) -> None:
    results = folder(cases=["device"])
    for pin in results.pins:
        results.keep(pin, case="device", metrics=[])
    assert results.machine().fingerprints == {}


def test_one_that_the_case_does_not_declare_is_compared_all_the_same(folder: Make) -> None:
    results = folder(cases=["device"])
    for pin in results.pins:
        results.keep_prints(pin, {"other_thing": "a"}, case="device")
    (found,) = results.machine().fingerprints["device"]
    assert (found.declared.name, found.declared.title, found.kind) == ("other_thing", "other thing", "alike")


def test_one_pin_has_nothing_to_be_compared_with(folder: Make) -> None:
    results = folder(["1.10.0"])
    results.keep_prints("1.10.0", {"final_weights": "a"})
    assert results.machine().fingerprints == {}


def test_a_fingerprint_that_differs_decides_nothing_by_itself(folder: Make) -> None:
    alike, other = folder(rounds=2, name="alike"), folder(rounds=2, name="other")
    for results, digest in ((alike, "a"), (other, "b")):
        for pin, own in (("1.10.0", "a"), ("1.12.1", digest)):
            results.keep_prints(pin, *[{"final_weights": own}] * 2)
    assert other.likeness("final_weights").kind == "differs"
    assert other.verdict().decision == alike.verdict().decision


# --- values that belong to names ----------------------------------------------------------------------------------


def named(folder: Make, declare: Declare, *by_pin: dict[str, float], tolerance: float | None = None) -> Likeness:
    """What two pins have in common in counts by name, of a case that declares them so."""
    counts = DeclaredFingerprint("counts", "Counts", tolerance=tolerance, counted="operator", by_name=True)
    declare("counting", Case(fingerprints=(counts,)))
    results = folder(cases=["counting"])
    for pin, values in zip(results.pins, by_pin, strict=True):
        made = Fingerprint("counts", [*values.values()], [*values])
        results.keep(pin, case="counting", fingerprints=[made])
    return results.likeness("counts", case="counting")


def test_values_by_name_are_alike_in_whatever_order_they_come(folder: Make, declare: Declare) -> None:
    found = named(folder, declare, {"Conv": 3.0, "Mul": 2.0}, {"Mul": 2.0, "Conv": 3.0})
    assert (found.kind, found.apart) == ("alike", ())


def test_every_name_that_differs_is_told_also_one_that_one_pin_does_not_have(folder: Make, declare: Declare) -> None:
    found = named(folder, declare, {"Cast": 9.0, "Conv": 3.0, "Pad": 1.0}, {"Conv": 3.0, "Pad": 2.0, "Identity": 4.0})
    assert (found.kind, found.names) == ("differs", 4)
    assert found.apart == (Apart("Cast", 9.0, None), Apart("Pad", 1.0, 2.0), Apart("Identity", None, 4.0))


def test_names_within_the_tolerance_are_not_told_beside_those_beyond(folder: Make, declare: Declare) -> None:
    one, other = {"a": 1.0, "b": 1.0}, {"a": 1.0001, "b": 2.0}
    assert named(folder, declare, one, other, tolerance=0.01).apart == (Apart("b", 1.0, 2.0),)
    within = named(folder, declare, one, {"a": 1.0001, "b": 1.0}, tolerance=0.01)
    assert (within.kind, within.apart) == ("within tolerance", (Apart("a", 1.0, 1.0001),))


def test_a_fingerprint_that_runs_have_in_parts_is_compared_part_by_part(folder: Make, declare: Declare) -> None:
    declare("parted", Case(fingerprints=(DeclaredFingerprint("sums", "Sums"),)))
    results = folder(cases=["parted"])
    for pin, last in zip(results.pins, (1.0, 2.0), strict=True):
        results.keep_prints(pin, {"sums:small": [1.0], "sums:large": [last]}, case="parted")
    small, large = (results.likeness(f"sums:{part}", case="parted") for part in ("small", "large"))
    assert (small.kind, small.declared.title) == ("alike", "Sums, small")
    assert (large.kind, large.declared.title) == ("differs", "Sums, large")
    names = [one.declared.name for one in results.machine().fingerprints["parted"] if one.second == "1.12.1"]
    assert names == ["sums:small", "sums:large"]
