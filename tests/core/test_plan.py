import pytest

from harness.core.errors import UsageError
from harness.core.plan import PLAN_FILE, order_of_round, read_plan

CELLS = [(pin, "train") for pin in ("1.10.0", "1.12.1", "1.13.1")]


def test_every_round_does_every_cell_once():
    assert all(sorted(order_of_round(CELLS, index)) == sorted(CELLS) for index in range(20))


@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_over_as_many_rounds_as_cells_every_cell_has_every_place_once(count):
    cells = [(f"1.{number}.0", "train") for number in range(count)]
    for block in range(3):
        orders = [order_of_round(cells, block * count + turn) for turn in range(count)]
        assert all(sorted(place) == sorted(cells) for place in zip(*orders))


def test_the_order_changes_from_round_to_round_and_is_the_same_when_planned_again():
    orders = [order_of_round(CELLS, index) for index in range(20)]
    assert len({tuple(order) for order in orders}) > 3
    assert orders == [order_of_round(list(reversed(CELLS)), index) for index in range(20)]


def test_a_folder_without_a_plan_is_refused_by_name(tmp_path):
    with pytest.raises(UsageError, match=PLAN_FILE):
        read_plan(tmp_path / PLAN_FILE)


def test_a_broken_plan_is_refused_by_name(tmp_path):
    (tmp_path / PLAN_FILE).write_text('{"schema": 1, "name": 3}', encoding="utf-8")
    with pytest.raises(UsageError, match=r"plan\.json cannot be used"):
        read_plan(tmp_path / PLAN_FILE)
