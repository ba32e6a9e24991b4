"""From raw maps to boxes: where the cells are, and what the head's distances mean there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from harness.cell.yolov9.head import BINS, STRIDES, expected_distances


class Cells(NamedTuple):
    """All cells of the three levels, P3 first, row by row: centres (cells, 2) as x, y in pixels; strides (cells, 1)."""

    centres: Tensor
    strides: Tensor


def cells_of(maps: Sequence[Tensor], strides: Sequence[int] = STRIDES) -> Cells:
    """The cells of maps (batch, channels, h_i, w_i); the centre of cell i is (i + 0.5) strides from the edge."""
    centres, sizes = [], []
    for level, stride in zip(maps, strides):
        height, width = level.shape[-2:]
        y = (torch.arange(height, device=level.device, dtype=torch.float32) + 0.5) * stride
        x = (torch.arange(width, device=level.device, dtype=torch.float32) + 0.5) * stride
        centres.append(torch.stack((x.expand(height, width), y[:, None].expand(height, width)), -1).view(-1, 2))
        sizes.append(torch.full((height * width, 1), float(stride), device=level.device))
    return Cells(torch.cat(centres), torch.cat(sizes))


def flatten(maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Raw maps to box logits (batch, 64, cells) and class logits (batch, classes, cells), in float32 at least."""
    precision = torch.promote_types(maps[0].dtype, torch.float32)
    joined = torch.cat([level.to(precision).flatten(2) for level in maps], 2)
    return joined[:, : 4 * BINS], joined[:, 4 * BINS :]


def boxes_at(cells: Cells, box_logits: Tensor) -> Tensor:
    """Box logits (batch, 64, cells) to corners x1, y1, x2, y2 in pixels, (batch, cells, 4)."""
    distances = expected_distances(box_logits) * cells.strides
    return torch.cat((cells.centres - distances[..., :2], cells.centres + distances[..., 2:]), 2)


def decode(maps: Sequence[Tensor], strides: Sequence[int] = STRIDES) -> Tensor:
    """Raw maps of one group to (batch, 4 + classes, cells): centre x, y, width, height in pixels, scores in 0..1."""
    box_logits, class_logits = flatten(maps)
    first, second = boxes_at(cells_of(maps, strides), box_logits).transpose(1, 2).chunk(2, 1)
    return torch.cat(((first + second) / 2, second - first, class_logits.sigmoid()), 1)
