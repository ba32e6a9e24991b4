"""Overlap of boxes. A box is x1, y1, x2, y2 in the last dimension; leading dimensions broadcast."""

from __future__ import annotations

import math

import torch
from torch import Tensor

EPSILON = 1e-7


def intersection(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Shared area, elementwise: (..., 4) and (..., 4) to (...)."""
    low = torch.maximum(boxes1[..., :2], boxes2[..., :2])
    high = torch.minimum(boxes1[..., 2:], boxes2[..., 2:])
    width, height = (high - low).clamp(min=0).unbind(-1)
    return width * height


def iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Intersection over union, elementwise: (..., 4) and (..., 4) to (...). Two empty boxes give NaN."""
    shared = intersection(boxes1, boxes2)
    return shared / (area(boxes1) + area(boxes2) - shared)


def area(boxes: Tensor) -> Tensor:
    """(..., 4) to (...)."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def ciou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Complete IoU (arXiv:1911.08287), elementwise: (..., 4) and (..., 4) to (...), at most 1.

    The weight alpha of the aspect term is a constant to the gradient.
    """
    width1, height1 = _sides(boxes1)
    width2, height2 = _sides(boxes2)
    shared = intersection(boxes1, boxes2)
    overlap = shared / (width1 * height1 + width2 * height2 - shared + EPSILON)
    aspect = (4 / math.pi**2) * (torch.atan(width2 / height2) - torch.atan(width1 / height1)) ** 2
    with torch.no_grad():
        alpha = aspect / (aspect - overlap + (1 + EPSILON))
    return overlap - (_centre_distance(boxes1, boxes2) + aspect * alpha)


def pairwise_ciou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """CIoU of each with each: (..., n, 4) and (..., m, 4) to (..., n, m)."""
    return ciou(boxes1[..., :, None, :], boxes2[..., None, :, :])


def _sides(boxes: Tensor) -> tuple[Tensor, Tensor]:
    return boxes[..., 2] - boxes[..., 0] + EPSILON, boxes[..., 3] - boxes[..., 1] + EPSILON


def _centre_distance(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Squared distance of the centres over the squared diagonal of the box around both."""
    around = torch.maximum(boxes1[..., 2:], boxes2[..., 2:]) - torch.minimum(boxes1[..., :2], boxes2[..., :2])
    between = (boxes1[..., :2] + boxes1[..., 2:] - boxes2[..., :2] - boxes2[..., 2:]) / 2
    return between.square().sum(-1) / (around.square().sum(-1) + EPSILON)
