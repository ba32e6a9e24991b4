"""Which cells learn which boxes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from harness.cell.iou import pairwise_ciou
from harness.cell.yolov9.assign import Assignment, assign
from harness.cell.yolov9.decode import cells_of

CELLS = cells_of([torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 2, 2)])
ABSENT = [-1.0, 0.0, 0.0, 0.0, 0.0]


def assigned(targets: list[list[list[float]]], reach: float = 12.0, classes: int = 2) -> Assignment:
    """Assignment where every cell predicts a box of `reach` pixels to each side and score 0.5 for all classes."""
    batch, cells = len(targets), len(CELLS.centres)
    boxes = torch.cat((CELLS.centres - reach, CELLS.centres + reach), 1).expand(batch, -1, -1)
    return assign(torch.full((batch, classes, cells), 0.5), boxes, CELLS.centres, torch.tensor(targets))


def cells_with(found: Assignment, image: int = 0) -> Tensor:
    return CELLS.centres[found.foreground[image]]


def test_padded_true_boxes_take_no_cell() -> None:
    alone = assigned([[[0, 4, 4, 40, 40]]])
    beside_absent = assigned([[ABSENT, [0, 4, 4, 40, 40], ABSENT]])
    assert torch.equal(alone.foreground, beside_absent.foreground)
    assert torch.equal(alone.scores, beside_absent.scores)
    assert beside_absent.true_box[beside_absent.foreground].unique().tolist() == [1]


def test_without_any_true_box_no_cell_is_foreground() -> None:
    found = assigned([[ABSENT], [ABSENT]])
    assert not found.foreground.any()
    assert not found.scores.any()


def test_an_absent_row_with_coordinates_still_takes_no_cell() -> None:
    assert not assigned([[[-1, 4, 4, 40, 40]]]).foreground.any()


def test_an_image_without_boxes_does_not_change_the_other() -> None:
    both, alone = assigned([[[1, 4, 4, 40, 40]], [ABSENT]]), assigned([[[1, 4, 4, 40, 40]]])
    assert torch.equal(both.foreground[0], alone.foreground[0])
    assert torch.equal(both.scores[0], alone.scores[0])
    assert not both.foreground[1].any()


def test_a_box_takes_at_most_ten_cells_whose_centres_lie_inside() -> None:
    found = assigned([[[0, 4, 4, 60, 60]]])
    centres = cells_with(found)
    assert len(centres) == 10
    assert bool(((centres > 4) & (centres < 60)).all())


def test_a_tiny_box_that_contains_no_centre_takes_no_cell() -> None:
    found = assigned([[[0, 5, 5, 7, 7]]])
    assert not found.foreground.any()
    assert bool(torch.isfinite(found.scores).all())


def test_a_centre_on_the_edge_is_outside() -> None:
    assert not assigned([[[0, 4, 2, 7, 6]]]).foreground.any()
    assert cells_with(assigned([[[0, 3.5, 2, 7, 6]]])).tolist() == [[4, 4]]


def test_equal_metrics_go_to_the_first_cells() -> None:
    centres = torch.tensor([[8.0, 8.0]] * 15)
    boxes = torch.tensor([[0.0, 0.0, 16.0, 16.0]] * 15)
    found = assign(torch.full((1, 1, 15), 0.5), boxes[None], centres, torch.tensor([[[0.0, 1.0, 1.0, 15.0, 15.0]]]))
    assert found.foreground[0].tolist() == [True] * 10 + [False] * 5


def test_a_contested_cell_goes_to_the_box_of_highest_overlap() -> None:
    # the cell at (20, 20) predicts 8..32; both boxes claim it, the second fits it better
    found = assigned([[[0, 2, 2, 38, 38], [1, 9, 9, 31, 31]]])
    cell = int((CELLS.centres == torch.tensor([20.0, 20.0])).all(1).nonzero()[0])
    assert bool(found.foreground[0, cell])
    assert found.true_box[0, cell] == 1
    assert found.boxes[0, cell].tolist() == [9, 9, 31, 31]
    assert found.scores[0, 0, cell] == 0


def test_a_contested_cell_may_go_to_a_box_that_did_not_claim_it() -> None:
    centres = torch.tensor([[10.0, 10.0]])
    boxes = torch.tensor([[[0.0, 0.0, 30.0, 30.0]]])
    # the third box fits the prediction exactly but for a margin that leaves the cell's centre outside
    targets = torch.tensor([[[0.0, 0.0, 0.0, 20.0, 20.0], [0.0, 0.0, 0.0, 22.0, 20.0], [0.0, 10.0, 2.0, 30.0, 30.0]]])
    overlap = pairwise_ciou(targets[..., 1:], boxes)[0, :, 0]
    assert int(overlap.argmax()) == 2
    assert assign(torch.full((1, 1, 1), 0.5), boxes, centres, targets).true_box.tolist() == [[2]]


def test_the_best_cell_of_a_box_has_the_boxs_highest_overlap_as_its_score() -> None:
    found = assigned([[[1, 8, 8, 32, 32]]])
    boxes = torch.cat((CELLS.centres - 12, CELLS.centres + 12), 1)
    overlap = pairwise_ciou(torch.tensor([[8.0, 8.0, 32.0, 32.0]]), boxes)[0]
    assert found.scores.max().item() == pytest.approx(overlap[found.foreground[0]].max().item())
    assert not found.scores[0, 0].any()


def test_fewer_than_ten_cells_are_enough() -> None:
    centres = torch.tensor([[4.0, 4.0], [12.0, 4.0]])
    boxes = torch.cat((centres - 6, centres + 6), 1)[None]
    found = assign(torch.full((1, 1, 2), 0.5), boxes, centres, torch.tensor([[[0.0, 0.0, 0.0, 16.0, 8.0]]]))
    assert found.foreground.tolist() == [[True, True]]
