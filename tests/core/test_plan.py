import pytest
from msgspec.structs import replace

from harness.core.errors import UsageError
from harness.core.plan import PLAN_FILE, SCHEMA, Plan, order_of_round, order_of_seats, read_plan, write_plan

PINS = ("1.10.0", "1.12.1", "1.13.1", "A/A")
CELLS = [(pin, "soak") for pin in PINS]
WITH_TRAIN = [(pin, case) for pin in PINS for case in ("soak", "train")]


def test_every_round_does_every_cell_once():
    assert all(sorted(order_of_round(CELLS, index)) == sorted(CELLS) for index in range(20))


@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_over_as_many_rounds_as_cells_every_cell_has_every_place_once(count):
    cells = [(f"1.{number}.0", "soak") for number in range(count)]
    for block in range(3):
        orders = [order_of_round(cells, block * count + turn) for turn in range(count)]
        assert all(sorted(place) == sorted(cells) for place in zip(*orders))


def test_the_order_changes_from_round_to_round_and_is_the_same_when_planned_again():
    orders = [order_of_round(CELLS, index) for index in range(20)]
    assert len({tuple(order) for order in orders}) > 3
    assert orders == [order_of_round(list(reversed(CELLS)), index) for index in range(20)]


def places_of(order):
    """The order with what sits together as one entry."""
    return [cell if cell[1] == "soak" else "sitting" for cell in order if cell[1] == "soak" or cell[0] == PINS[0]]


def test_the_trainings_of_a_round_sit_together_without_a_run_in_between():
    for index in range(20):
        order = order_of_round(WITH_TRAIN, index)
        assert sorted(order) == sorted(WITH_TRAIN)
        seats = [place for place, (_, case) in enumerate(order) if case == "train"]
        assert seats == list(range(seats[0], seats[0] + len(PINS)))


def test_a_sitting_takes_one_place_and_has_every_place_once():
    for block in range(3):
        orders = [places_of(order_of_round(WITH_TRAIN, block * 5 + turn)) for turn in range(5)]
        assert all(len(set(map(str, place))) == 5 for place in zip(*orders))


def test_trainings_alone_are_one_sitting_a_round():
    cells = [(pin, "train") for pin in PINS]
    assert all(sorted(order_of_round(cells, index)) == sorted(cells) for index in range(3))


@pytest.fixture
def plan(spec, alone_spec, matrix):
    """Four rounds of three pins: of trainings, which take turns, and in the first two of runs that do not. The
    baseline's name sorts last."""
    pins = [replace(spec.pin, name=name) for name in ("1.13.1", "1.10.0", "1.12.1")]
    cells = [(pin.name, case) for pin in pins for case in ("train", "converge")]
    kinds, named = {"train": spec, "converge": alone_spec}, {pin.name: pin for pin in pins}
    runs = [
        replace(kinds[case], pin=named[pin], round=number)
        for number in range(4)
        for pin, case in order_of_round(cells, number)
        if case == "train" or number < 2
    ]
    return Plan(
        schema=SCHEMA, name="x", machine="cpu", reason="", profile="smoke", rounds=4, pins=pins, data=None,
        cases=["train", "converge"],
        shapes=dict.fromkeys(["train", "converge"], matrix.profiles["smoke"].shapes),
        runs=runs,
    )  # fmt: skip


def test_the_trainings_of_a_round_take_turns_and_every_other_run_is_by_itself(plan):
    groups = plan.groups()
    assert sorted(len(group) for group in groups) == [1] * 6 + [3] * 4
    together = [{(run.case, run.round) for run in group} for group in groups if len(group) > 1]
    assert together == [{("train", index)} for index in range(4)]


def test_of_runs_that_take_turns_the_baselines_comes_first_and_the_others_as_they_were_planned(plan):
    together = [group for group in plan.groups() if len(group) > 1]
    planned = [[run for run in plan.runs if run.case == "train" and run.round == index] for index in range(4)]
    assert "1.13.1" not in {runs[0].pin.name for runs in planned}  # or the order of the plan would do as well
    for runs, group in zip(planned, together):
        others = [run for run in runs if run.pin.name != "1.13.1"]
        assert group[0].pin.name == plan.pins[0].name == "1.13.1"
        assert group[1:] == others


def test_groups_hold_every_run_once_and_come_in_the_order_of_their_first_runs(plan):
    groups = plan.groups()
    first = [min(map(plan.runs.index, group)) for group in groups]
    assert first == sorted(first)
    found = sorted(plan.runs.index(run) for group in groups for run in group)
    assert found == list(range(len(plan.runs)))


def test_every_case_has_rounds_of_its_own(plan):
    assert plan.rounds_by_case() == {"train": 4, "converge": 2}
    assert plan.rounds_of("other") == 0


def test_a_plan_reads_back_as_it_was_written(plan, tmp_path):
    write_plan(tmp_path / PLAN_FILE, plan)
    assert read_plan(tmp_path / PLAN_FILE) == plan


def test_a_plan_of_another_schema_is_refused_with_what_to_do(plan, tmp_path):
    write_plan(tmp_path / PLAN_FILE, replace(plan, schema=SCHEMA + 1))
    with pytest.raises(UsageError, match=r"plan\.json is of schema .* run nox -s matrix again"):
        read_plan(tmp_path / PLAN_FILE)


def test_a_folder_without_a_plan_is_refused_by_name(tmp_path):
    with pytest.raises(UsageError, match=PLAN_FILE):
        read_plan(tmp_path / PLAN_FILE)


def test_a_broken_plan_is_refused_by_name(tmp_path):
    (tmp_path / PLAN_FILE).write_text('{"schema": 1, "name": 3}', encoding="utf-8")
    with pytest.raises(UsageError, match=r"plan\.json cannot be used"):
        read_plan(tmp_path / PLAN_FILE)


@pytest.mark.parametrize("seats", [1, 2, 3, 4, 5])
def test_over_as_many_sittings_as_seats_everybody_is_started_once_in_every_place(seats):
    for block in range(3):
        orders = [order_of_seats(seats, "train", block * seats + turn) for turn in range(seats)]
        assert all(sorted(place) == list(range(seats)) for place in zip(*orders))


def test_the_order_of_seats_changes_from_block_to_block_and_is_the_same_when_made_again():
    orders = [order_of_seats(4, "train", sitting) for sitting in range(40)]
    assert orders == [order_of_seats(4, "train", sitting) for sitting in range(40)]
    assert len({tuple(order) for order in orders[::4]}) > 3
