"""Which cells learn which boxes, and the padded targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from harness.cell.yolov9.iou import iou, pairwise_ciou
from torch import Tensor

from harness.cell.yolov9.assign import Assignment, assign, pad_targets
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


def test_targets_are_padded_image_by_image_in_their_order() -> None:
    rows = np.array([[2, 5, 0.5, 0.5, 1, 1], [0, 1, 0.25, 0.5, 0.5, 0.5], [2, 6, 0.5, 0.5, 0.5, 0.5]], dtype=np.float32)
    padded = pad_targets(rows, batch=3, width=100, height=40)
    assert padded.dtype == np.float32
    assert padded.tolist() == [
        [[1, 0, 10, 50, 30], ABSENT],
        [ABSENT, ABSENT],
        [[5, 0, 0, 100, 40], [6, 25, 10, 75, 30]],
    ]


def test_no_rows_at_all_are_padded_to_one_absent_row_per_image() -> None:
    padded = pad_targets(np.zeros((0, 6), dtype=np.float32), batch=2, width=64, height=64)
    assert padded.tolist() == [[ABSENT], [ABSENT]]


@pytest.mark.parametrize("image", [-1, 2])
def test_a_row_for_an_image_outside_the_batch_is_refused(image: int) -> None:
    with pytest.raises(ValueError, match="the batch has 2 images"):
        pad_targets(np.array([[image, 0, 0.5, 0.5, 1, 1]], dtype=np.float32), batch=2, width=64, height=64)


def test_pairwise_overlaps_of_hand_made_boxes() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [5.0, 0.0, 15.0, 10.0], [20.0, 20.0, 30.0, 30.0]])
    expected = [[1, 1 / 3, 0], [1 / 3, 1, 0]]
    for row, values in zip(iou(boxes[:2, None], boxes[None]), expected):
        assert row.tolist() == pytest.approx(values)
    # equal shapes: CIoU is IoU less the squared distance (25) over the squared diagonal (15² + 10²)
    assert pairwise_ciou(boxes[:1], boxes[1:2]).item() == pytest.approx(1 / 3 - 25 / 325, rel=1e-6)


def test_ciou_takes_its_aspect_weight_as_a_constant() -> None:
    box = torch.tensor([0.0, 0.0, 10.0, 20.0], dtype=torch.float64, requires_grad=True)
    other = torch.tensor([0.0, 0.0, 20.0, 10.0], dtype=torch.float64)
    pairwise_ciou(box[None], other[None]).sum().backward()

    def frozen(x2: float) -> float:
        """CIoU as a function of the first box's right side, with alpha held at x2 = 10."""
        shared, union = x2 * 10, x2 * 20 + 200 - x2 * 10
        distance = ((x2 - 20) ** 2 / 4 + 25) / (20**2 + 20**2)
        aspect = 4 / np.pi**2 * (np.arctan(2.0) - np.arctan(x2 / 20)) ** 2
        start = 4 / np.pi**2 * (np.arctan(2.0) - np.arctan(0.5)) ** 2
        return shared / union - distance - aspect * start / (start - 1 / 3 + 1)

    slope = (frozen(10 + 1e-5) - frozen(10 - 1e-5)) / 2e-5
    assert box.grad is not None
    assert box.grad[2].item() == pytest.approx(slope, rel=1e-5)
