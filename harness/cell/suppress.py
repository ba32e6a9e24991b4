"""From scored boxes to detections: score threshold, several labels per box, class-wise non-maximum suppression."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from harness.cell.iou import iou

Suppress = Callable[[Tensor, Tensor, float], Tensor]
"""(boxes (n, 4), scores (n,), IoU limit) to the kept indices by falling score, as torchvision.ops.nms."""


@torch.no_grad()
def detections(
    decoded: Tensor,
    nms: Suppress,
    score_threshold: float = 0.001,
    iou_limit: float = 0.7,
    most: int = 300,
    most_candidates: int = 30_000,
) -> list[Tensor]:
    """Detections of each image from boxes and scores (batch, 4 + classes, boxes): (n, 6) float32, by falling score.

    The first four rows are centre x, y, width and height in pixels. A detection is x1, y1, x2, y2 in pixels, score,
    class. A box may be found once for each class above the threshold.
    """
    return [
        _detections_of(image, nms, score_threshold, iou_limit, most, most_candidates)
        for image in decoded.float().unbind()
    ]


def _detections_of(
    image: Tensor, nms: Suppress, score_threshold: float, iou_limit: float, most: int, most_candidates: int
) -> Tensor:
    scores = image[4:].transpose(0, 1)
    cell, label = (scores > score_threshold).nonzero(as_tuple=True)
    score, order = torch.sort(scores[cell, label], stable=True, descending=True)
    score, order = score[:most_candidates], order[:most_candidates]
    cell, label = cell[order], label[order]
    boxes = corners(image[:4].transpose(0, 1))[cell]
    kept = nms(apart(boxes, label), falling(score), iou_limit)[:most]
    return torch.cat((boxes[kept], score[kept, None], label[kept, None].to(boxes.dtype)), 1)


def corners(boxes: Tensor) -> Tensor:
    """Centre x, y, width, height to x1, y1, x2, y2: (n, 4) to (n, 4)."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    return torch.cat((centre - half, centre + half), 1)


def apart(boxes: Tensor, label: Tensor) -> Tensor:
    """Boxes (n, 4) moved so that boxes of different classes cannot overlap.

    In float64: the offset of a high class would otherwise eat the low bits of the coordinates, and with them the IoU.
    """
    boxes = boxes.double()
    if not len(boxes):
        return boxes
    span = boxes.max() - boxes.min() + 1
    return boxes + (label * span)[:, None]


def falling(score: Tensor) -> Tensor:
    """Stand-ins for sorted scores (n,) without ties, because versions of torchvision differ in how they order ties."""
    return torch.arange(len(score), 0, -1, device=score.device, dtype=torch.float64)


def greedy_nms(boxes: Tensor, scores: Tensor, iou_limit: float) -> Tensor:
    """Kept indices by falling score, ties by position: for pins without torchvision, and equal to its `nms`.

    Boxes (n, 4), scores (n,). A box is dropped if its IoU with a kept one exceeds the limit.
    """
    remaining = torch.sort(scores, stable=True, descending=True)[1]
    kept = [remaining[:0]]
    while len(remaining):
        best, remaining = remaining[:1], remaining[1:]
        kept.append(best)
        # float64, because torchvision does not round the limit to the boxes' precision before it compares
        overlap = iou(boxes[best], boxes[remaining]).double()
        # not "<=": the IoU of two empty boxes is NaN, and torchvision keeps both
        remaining = remaining[~(overlap > iou_limit)]
    return torch.cat(kept)
