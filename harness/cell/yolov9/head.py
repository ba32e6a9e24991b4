"""The detection head: raw maps of the auxiliary and the main group, and the expectation over the distance bins.

A raw map is (batch, 64 + classes, height, width): four sides (left, top, right, bottom) of 16 distance bins each, then
one logit per class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from harness.cell.yolov9.blocks import Conv

BINS = 16
"""Distance bins per side (reg_max): a side is 0 to 15 strides long (arXiv:2006.04388)."""

STRIDES = (8, 16, 32)
"""Pixels per cell of the three levels P3, P4, P5."""


class HeadMaps(NamedTuple):
    """Raw maps (batch, 64 + classes, h_i, w_i) of both groups, P3 first."""

    auxiliary: list[Tensor]
    main: list[Tensor]


class Projection(nn.Module):
    """The fixed distances 0 to 15 as a 1x1 convolution's weight.

    It is here because released checkpoints have it; `expected_distances` computes with the same numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(BINS, 1, 1, bias=False).requires_grad_(False)
        self.reset()

    def reset(self) -> None:
        """Write the distances 0 to 15."""
        with torch.no_grad():
            self.conv.weight.copy_(torch.arange(BINS).view(1, BINS, 1, 1))


def sides_of(logits: Tensor) -> Tensor:
    """Box logits (batch, 64, cells) to (batch, cells, 4, 16): left, top, right, bottom, each over its 16 bins.

    The bins come last, as softmax over the last dimension rounds alike in 1.12 and 1.13, and over another does not.
    """
    batch, _, cells = logits.shape
    return logits.transpose(1, 2).reshape(batch, cells, 4, BINS)


def expected_distances(logits: Tensor) -> Tensor:
    """Mean of each side's distribution (arXiv:2006.04388): (batch, 64, cells) to (batch, cells, 4), in strides."""
    distance = torch.arange(BINS, device=logits.device, dtype=logits.dtype)
    # a sum, not a matmul: autocast leaves it in float32
    return (sides_of(logits).softmax(3) * distance).sum(3)


def box_branch(channels: int, width: int) -> nn.Sequential:
    """(channels, h, w) to (64, h, w), in four groups of channels."""
    last = nn.Conv2d(width, 4 * BINS, 1, groups=4)
    return nn.Sequential(Conv(channels, width, 3), Conv(width, width, 3, groups=4), last)


def class_branch(channels: int, width: int, classes: int) -> nn.Sequential:
    """(channels, h, w) to (classes, h, w)."""
    return nn.Sequential(Conv(channels, width, 3), Conv(width, width, 3), nn.Conv2d(width, classes, 1))


def head_branches(channels: Sequence[int], classes: int) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Box and class branches of one group, one per level; the first level's channels set the hidden widths."""
    box_width = 4 * math.ceil(max(channels[0] // 4, 4 * BINS, 16) / 4)
    class_width = max(channels[0], min(2 * classes, 128))
    boxes = nn.ModuleList([box_branch(c, box_width) for c in channels])
    return boxes, nn.ModuleList([class_branch(c, class_width, classes) for c in channels])


def group_maps(boxes: nn.ModuleList, classes: nn.ModuleList, features: Sequence[Tensor]) -> list[Tensor]:
    """Raw maps of one group from its three feature maps, P3 first."""
    return [torch.cat((box(x), cls(x)), 1) for box, cls, x in zip(boxes, classes, features)]


def set_biases(boxes: nn.ModuleList, classes: nn.ModuleList) -> None:
    """Start values of the last layers: boxes 1, classes the log odds of about 5 objects in a 640-pixel image."""
    with torch.no_grad():
        for box, cls, stride in zip(boxes, classes, STRIDES):
            box[-1].bias.fill_(1.0)
            cls[-1].bias.fill_(math.log(5 / cls[-1].out_channels / (640 / stride) ** 2))


class DetectionHead(nn.Module):
    """Head over six feature maps. `cv2`, `cv3`: boxes and classes of the auxiliary group; `cv4`, `cv5`: of the main."""

    def __init__(self, classes: int, channels: Sequence[int]):
        super().__init__()
        self.cv2, self.cv3 = head_branches(channels, classes)
        self.cv4, self.cv5 = head_branches(channels, classes)
        self.dfl = Projection()
        self.dfl2 = Projection()
        self.reset()

    def reset(self) -> None:
        """Set what is not drawn at random: the last biases and the distance projections."""
        set_biases(self.cv2, self.cv3)
        set_biases(self.cv4, self.cv5)
        self.dfl.reset()
        self.dfl2.reset()

    def forward(self, *features: Tensor) -> HeadMaps:
        """Six feature maps: auxiliary P3, P4, P5, then main P3, P4, P5."""
        return HeadMaps(group_maps(self.cv2, self.cv3, features[:3]), group_maps(self.cv4, self.cv5, features[3:]))
