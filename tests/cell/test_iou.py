"""Overlaps of boxes, against values made by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.cell.iou import iou, pairwise_ciou


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
