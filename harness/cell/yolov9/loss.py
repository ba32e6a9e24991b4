"""The detection loss: classification, boxes (CIoU) and distance distributions (DFL), over both groups of maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.cell.iou import ciou
from harness.cell.model import Losses
from harness.cell.yolov9.assign import Assignment, assign
from harness.cell.yolov9.decode import Cells, boxes_at, cells_of, flatten
from harness.cell.yolov9.head import BINS, STRIDES, HeadMaps, sides_of


class GroupLoss(NamedTuple):
    """Unweighted terms of one group and its number of foreground cells; 0-d tensors."""

    box: Tensor
    cls: Tensor
    dfl: Tensor
    foreground: Tensor


class DetectionLoss:
    """Loss of YOLOv9 training, in float32 (float64 for float64 maps). It never makes the host wait for the device."""

    def __init__(
        self,
        classes: int,
        strides: Sequence[int] = STRIDES,
        box_gain: float = 7.5,
        class_gain: float = 0.5,
        dfl_gain: float = 1.5,
        auxiliary_weight: float = 0.25,
    ):
        self.classes = classes
        self.strides = tuple(strides)
        self.box_gain = box_gain
        self.class_gain = class_gain
        self.dfl_gain = dfl_gain
        self.auxiliary_weight = auxiliary_weight

    def __call__(self, maps: HeadMaps, targets: Tensor, size: tuple[int, int]) -> Losses:
        """Loss of raw maps against targets (batch, max_boxes, 5) of `pad_targets`; size: image (h, w) in pixels.

        The terms carry their gains and the weight of the auxiliary group; the total is their sum times the batch size.
        A box head is reached by the cells that its group assigned to a true box: with none it has no gradient.
        """
        self._check(maps, targets, size)
        device = targets.device.type
        # the type is named because 1.10 warns about its own default on the CPU
        low_precision = torch.bfloat16 if device == "cpu" else torch.float16
        with torch.autocast(device, enabled=False, dtype=low_precision):
            auxiliary = self._group(maps.auxiliary, targets)
            main = self._group(maps.main, targets)
            box = self.box_gain * (main.box + self.auxiliary_weight * auxiliary.box)
            cls = self.class_gain * (main.cls + self.auxiliary_weight * auxiliary.cls)
            dfl = self.dfl_gain * (main.dfl + self.auxiliary_weight * auxiliary.dfl)
            total = (box + cls + dfl) * targets.shape[0]
        terms = {"box": box, "class": cls, "dfl": dfl}
        reached = {"auxiliary box head": auxiliary.foreground, "main box head": main.foreground}
        return Losses(total, terms, reached)

    def _group(self, maps: Sequence[Tensor], targets: Tensor) -> GroupLoss:
        cells = cells_of(maps, self.strides)
        box_logits, class_logits = flatten(maps)
        boxes = boxes_at(cells, box_logits)
        goal = assign(class_logits.detach().sigmoid(), boxes.detach(), cells.centres, targets)
        weight = goal.scores.sum(1)
        normaliser = weight.sum().clamp(min=1)
        # Background cells take part with weight 0: picking out the foreground would need a synchronisation.
        return GroupLoss(
            ((1 - ciou(boxes, goal.boxes)) * weight).sum() / normaliser,
            F.binary_cross_entropy_with_logits(class_logits, goal.scores, reduction="sum") / normaliser,
            (distribution_loss(box_logits, cells, goal) * weight).sum() / normaliser,
            goal.foreground.sum(),
        )

    def _check(self, maps: HeadMaps, targets: Tensor, size: tuple[int, int]) -> None:
        for level, stride in zip((*maps.auxiliary, *maps.main), self.strides * 2):
            expected = (targets.shape[0], 4 * BINS + self.classes, size[0] // stride, size[1] // stride)
            if tuple(level.shape) != expected:
                raise ValueError(f"A map of stride {stride} has shape {tuple(level.shape)}, not {expected}.")


def distribution_loss(box_logits: Tensor, cells: Cells, goal: Assignment) -> Tensor:
    """Distribution focal loss (arXiv:2006.04388) of each cell, mean of its four sides: (batch, cells)."""
    sides = torch.cat((cells.centres - goal.boxes[..., :2], goal.boxes[..., 2:] - cells.centres), 2) / cells.strides
    distance = sides.clamp(0, BINS - 1 - 0.01)[..., None]
    bins = torch.arange(BINS, device=distance.device, dtype=distance.dtype)
    # the two bins around the distance share its weight linearly; as a triangle over all bins there is nothing to index
    share = (1 - (bins - distance).abs()).clamp(min=0)
    return -(share * sides_of(box_logits).log_softmax(3)).sum(3).mean(2)
