"""Which cell learns which true box: task-aligned assignment (arXiv:2108.07755).

Nothing here makes the host wait for the device, and no index is scattered: results are the same on every run.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from harness.cell.iou import pairwise_ciou

CELLS_PER_BOX = 10
SCORE_POWER = 0.5
OVERLAP_POWER = 6
EPSILON = 1e-9
TIE_STEP = 1e-12
"""Relative step between cells in the ranking: below float32's resolution even times 10,000 cells."""


class Assignment(NamedTuple):
    """What each cell has to learn; `true_box`, `boxes` and `scores` have a meaning where `foreground` is true."""

    foreground: Tensor
    """(batch, cells) bool."""
    true_box: Tensor
    """(batch, cells) int64, row of the padded targets."""
    boxes: Tensor
    """(batch, cells, 4): x1, y1, x2, y2 in pixels."""
    scores: Tensor
    """(batch, classes, cells) in 0..1; zero in the background and for the other classes."""


@torch.no_grad()
def assign(scores: Tensor, boxes: Tensor, centres: Tensor, targets: Tensor) -> Assignment:
    """Give each cell its true box and target score, or none.

    Predictions are scores (batch, classes, cells) in 0..1 and boxes (batch, cells, 4), corners in pixels; centres
    (cells, 2) are in pixels; targets (batch, max_boxes, 5) are as `pad_targets` makes them.
    """
    labels, true_boxes = targets[..., 0].long(), targets[..., 1:]
    present = (labels >= 0)[..., None]
    labels = labels.clamp(min=0)
    overlap = pairwise_ciou(true_boxes, boxes).clamp(min=0) * present
    metric = _scores_of(scores, labels).pow(SCORE_POWER) * overlap.pow(OVERLAP_POWER)
    claims = _claims(metric, _inside(centres, true_boxes) & present)
    true_box = _owners(claims, overlap)
    foreground = claims.any(1)
    level = _target_level(metric, overlap, true_box, foreground)
    return Assignment(
        foreground,
        true_box,
        true_boxes.gather(1, true_box[..., None].expand(-1, -1, 4)),
        _one_class(labels.gather(1, true_box), scores.shape[1]) * level[:, None],
    )


def _scores_of(scores: Tensor, labels: Tensor) -> Tensor:
    """Predicted score of each true box's class in each cell: (batch, max_boxes, cells)."""
    return scores.gather(1, labels[..., None].expand(-1, -1, scores.shape[2]))


def _inside(centres: Tensor, true_boxes: Tensor) -> Tensor:
    """Does the cell's centre lie in the true box: (batch, max_boxes, cells) bool."""
    low, high = true_boxes[:, :, None, :2], true_boxes[:, :, None, 2:]
    return ((centres - low > EPSILON) & (high - centres > EPSILON)).all(-1)


def _claims(metric: Tensor, candidate: Tensor) -> Tensor:
    """The ten best candidates of each true box: (batch, max_boxes, cells) bool.

    A candidate of metric 0 is not claimed: its target score would be 0, so nothing could be learnt from it. Equal
    metrics rank by position, because `topk` does not promise which of them it returns.
    """
    cells = metric.shape[2]
    position = torch.arange(cells, device=metric.device, dtype=torch.float64)
    rank = torch.where(candidate, metric, torch.zeros_like(metric)).double() * (1 - TIE_STEP * position)
    tenth = rank.topk(min(CELLS_PER_BOX, cells), dim=2).values[..., -1:]
    return (rank >= tenth) & (rank > 0)


def _owners(claims: Tensor, overlap: Tensor) -> Tensor:
    """One true box per cell, (batch, cells): its claimant; of several, the box of highest overlap, claimant or not."""
    contested = claims.sum(1) > 1
    return torch.where(contested, overlap.argmax(1), claims.to(torch.uint8).argmax(1))


def _target_level(metric: Tensor, overlap: Tensor, true_box: Tensor, foreground: Tensor) -> Tensor:
    """Target score of each cell for its box's class, (batch, cells): its metric, scaled to the box's best overlap."""
    rows = torch.arange(metric.shape[1], device=metric.device)[None, :, None]
    kept = (true_box[:, None] == rows) & foreground[:, None]
    metric = metric * kept
    best_metric = metric.amax(2, keepdim=True)
    best_overlap = (overlap * kept).amax(2, keepdim=True)
    return (metric * best_overlap / (best_metric + EPSILON)).amax(1)


def _one_class(labels: Tensor, classes: int) -> Tensor:
    """(batch, cells) to (batch, classes, cells) bool, without `one_hot`, which scatters and may check its input."""
    return labels[:, None] == torch.arange(classes, device=labels.device)[None, :, None]
