"""Where a difference lies: which numbers are paired, how sure they are, and what they come to."""

from __future__ import annotations

import pytest
from attribution_folders import BASE, LAPS, NOISE, PINS, SETTINGS, Make, keep, looked_into
from results_folder import MIB, Folder, hashes

from harness.core.policy import Policy
from harness.core.record import Sitting, read_record, record_path, write_record
from harness.core.spec import TWIN
from reports.evidence.pairing import incomparable
from reports.judge.attribution import attributions_of
from reports.judge.statements import Attribution


def told(results: Folder, pin: str = "1.13.1", name: str = "time_by_layer") -> Attribution:
    """What is said of a pin."""
    matrix = results.matrix()
    found = attributions_of(matrix, incomparable(matrix), 0.05)["attribution"]
    return next(one for one in found if (one.pin, one.declared.name) == (pin, name))


def change(results: Folder, pin: str, **changes: object) -> None:
    """Change what a record says."""
    path = record_path(results.path, results.spec(pin, 0, "attribution"))
    record = read_record(path)
    write_record(
        path, type(record)(**{**{name: getattr(record, name) for name in record.__struct_fields__}, **changes})
    )


def test_a_part_differs_by_what_its_medians_do_and_a_disturbed_lap_does_not_count(folder: Make) -> None:
    one = told(looked_into(folder, norm_backward=-20.0))
    part = one.parts[0]
    assert part.name == "norm, backward"
    assert part.base == pytest.approx(0.05, abs=3e-4)
    assert part.own == pytest.approx(0.03, abs=3e-4)
    assert part.value == pytest.approx(-0.02, abs=1e-4)
    assert -0.0215 < part.low < -0.02 < part.high < -0.0185
    assert (one.n, one.rows) == (len(NOISE), len(NOISE) * LAPS)


def test_the_parts_that_differ_most_come_first_and_only_they_are_clear(folder: Make) -> None:
    one = told(looked_into(folder, norm_backward=-20.0, conv_forward=5.0))
    assert [part.name for part in one.parts[:2]] == ["norm, backward", "conv, forward"]
    assert [part.clear for part in one.parts] == [True, True, False, False, False]
    assert one.whole.value == pytest.approx(-0.015, abs=1e-3)


def test_parts_add_up_to_the_whole(folder: Make) -> None:
    one = told(looked_into(folder, norm_backward=-20.0))
    assert one.sum == pytest.approx(one.whole.value, abs=1e-3)
    assert one.adds_up


def test_parts_that_come_to_something_else_are_told_so(folder: Make) -> None:
    results = looked_into(folder, norm_backward=-20.0)
    path = record_path(results.path, results.spec("1.13.1", 0, "attribution"))
    (first, *rest) = read_record(path).breakdowns
    whole = [value + 0.05 for value in first.whole]
    change(results, "1.13.1", breakdowns=[type(first)(first.name, first.unit, whole, first.parts), *rest])
    assert not told(results).adds_up


def test_a_part_that_one_version_has_alone_is_0_in_the_other(folder: Make) -> None:
    (part, *_) = told(looked_into(folder, convolve_backward=30.0)).parts
    assert (part.name, part.base) == ("convolve, backward", 0.0)
    assert part.value == pytest.approx(0.03, abs=5e-4)
    assert part.clear


def test_small_parts_are_gathered_into_one_that_is_their_sum(folder: Make) -> None:
    results = looked_into(folder, a=0.3, b=0.3)
    (gathered,) = [part for part in told(results).parts if part.gathered]
    assert (gathered.name, gathered.gathered) == ("", 2)
    assert gathered.value == pytest.approx(6e-4, abs=4e-4)
    assert {part.name for part in told(results).parts} == {*BASE, ""} - {"a", "b"}


def test_a_part_that_is_large_on_one_pin_is_not_gathered(folder: Make) -> None:
    one = told(looked_into(folder, a=20.0))
    assert one.parts[0].name == "a"
    assert not any(part.gathered for part in one.parts)


def test_of_pins_that_are_alike_nothing_is_clear(folder: Make) -> None:
    for pin in (TWIN, "1.13.1"):
        one = told(looked_into(folder), pin)
        assert not one.whole.clear
        assert not any(part.clear for part in one.parts)


def test_what_is_taken_once_a_process_is_compared_process_by_process(folder: Make) -> None:
    results = looked_into(folder)
    keep(results, "1.13.1", BASE, memory=130.0)
    one = told(results, name="memory_by_layer")
    assert one.rows == one.n == len(NOISE)
    (outside, weights) = one.parts
    assert (outside.name, weights.name) == ("outside", "weights")
    assert outside.value == pytest.approx(30 * MIB, rel=1e-6)
    assert (weights.value, weights.low, weights.high) == (0.0, 0.0, 0.0)


def test_the_intervals_of_more_parts_are_wider(folder: Make) -> None:
    few = looked_into(folder, norm_backward=-20.0)
    narrow = told(few).parts[0]
    strict = attributions_of(few.matrix(), {}, 0.001)["attribution"]
    wide = next(one for one in strict if one.pin == "1.13.1").parts[0]
    assert wide.low < narrow.low < narrow.high < wide.high


def test_beside_it_stands_what_the_whole_is_without_looking_into_it(folder: Make) -> None:
    results = looked_into(folder, norm_backward=-20.0)
    (beside,) = told(results).beside
    assert (beside.case, beside.quantity.name) == ("attribution", "plain_step_time")
    assert beside.base == pytest.approx(0.201, abs=1e-3)
    assert beside.value == pytest.approx(-20 / 201, abs=2e-3)
    assert beside.low <= beside.value <= beside.high


def test_beside_it_stands_the_training_too_where_that_was_run(folder: Make) -> None:
    results = folder(PINS, 1, cases=["attribution", "train"], settings=SETTINGS)
    for pin, step in zip(PINS, (0.2, 0.2, 0.18), strict=True):
        keep(results, pin, BASE)
        results.keep_laps(pin, [[step * (1 + noise / 1e3) for noise in NOISE] * 4] * 4)
    plain, training = told(results).beside
    assert (plain.case, training.case) == ("attribution", "train")
    assert training.quantity.name == "step_time"
    assert training.value == pytest.approx(-0.1, abs=1e-3)


def test_only_processes_that_took_turns_with_one_another_are_paired(folder: Make) -> None:
    results = looked_into(folder, norm_backward=-20.0)
    apart = [Sitting(f"s{number}" if number < 4 else f"other {number}", 0, LAPS) for number in range(len(NOISE))]
    change(results, "1.13.1", sittings=apart)
    assert told(results).n == 4


@pytest.mark.parametrize("laps", [LAPS - 1, LAPS + 1])
def test_a_breakdown_without_a_row_for_every_lap_tells_nothing(folder: Make, laps: int) -> None:
    results = looked_into(folder)
    change(results, "1.13.1", sittings=[Sitting(f"s{number}", 0, laps) for number in range(len(NOISE))])
    with pytest.raises(StopIteration):
        told(results)
    assert told(results, TWIN).n == len(NOISE)


def test_records_that_must_not_be_compared_are_not(folder: Make) -> None:
    results = looked_into(folder)
    change(results, "1.13.1", hashes=hashes(batch_stream="another"))
    matrix = results.matrix()
    found = attributions_of(matrix, incomparable(matrix), 0.05)["attribution"]
    assert {one.pin for one in found} == {TWIN}


def test_one_sitting_tells_nothing_and_neither_does_a_matrix_without_breakdowns(folder: Make, policy: Policy) -> None:
    results = folder(PINS, 1, cases=["attribution"], settings=SETTINGS)
    keep(results, "1.10.0", BASE)
    assert attributions_of(results.matrix(), {}, policy.error_rate) == {}
