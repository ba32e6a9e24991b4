"""A detector of three convolutions and two heads, to show that the harness trains whatever is behind its protocol."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.cell.iou import iou
from harness.cell.model import Criterion, Losses, Model, by_branch
from harness.cell.suppress import Suppress, detections
from harness.cell.weights import draw_weights

STRIDE = 8


class Network(nn.Module):
    """Pictures (batch, 3, h, w) to (batch, 4 + classes, h / 8, w / 8): distances to the sides, then class logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        widths = zip((3, 32, 64), (32, 64, 64))
        layers = [(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()) for a, b in widths]
        self.body = nn.Sequential(*(part for layer in layers for part in layer))
        self.boxes = nn.Conv2d(64, 4, 3, padding=1)
        self.classes = nn.Conv2d(64, classes, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        features = self.body(images)
        return torch.cat((self.boxes(features), self.classes(features)), 1)


def decoded(output: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The centres (cells, 2), corners (batch, cells, 4) and class logits (batch, cells, classes) of all cells."""
    height, width = output.shape[2:]
    y, x = (torch.arange(size, device=output.device) for size in (height, width))
    centres = torch.stack((x.repeat(height), y.repeat_interleave(width)), 1) * float(STRIDE) + STRIDE / 2
    cells = output.to(torch.promote_types(output.dtype, torch.float32)).flatten(2).transpose(1, 2)
    sides = F.softplus(cells[..., :4]) * STRIDE
    return centres, torch.cat((centres - sides[..., :2], centres + sides[..., 2:]), 2), cells[..., 4:]


def losses_of(output: Tensor, targets: Tensor, _: tuple[int, int]) -> Losses:
    """A cell learns the first true box whose centre lies within a stride of its own."""
    centres, boxes, logits = decoded(output)
    middle = (targets[..., 1:3] + targets[..., 3:5]) / 2
    near = ((centres - middle[:, :, None]).abs() < STRIDE).all(3) & (targets[..., 0] >= 0)[..., None]
    hit, owner = near.any(1), near.to(torch.uint8).argmax(1)
    wanted = targets.gather(1, owner[..., None].expand(-1, -1, 5))
    count = hit.sum().clamp(min=1)
    box = ((1 - iou(boxes, wanted[..., 1:])) * hit).sum() / count
    kinds = (wanted[..., :1] == torch.arange(logits.shape[2], device=logits.device)) & hit[..., None]
    kind = F.binary_cross_entropy_with_logits(logits, kinds.float(), reduction="sum") / count
    return Losses((box + kind) * len(output), {"place": box.detach(), "kind": kind.detach()}, {"boxes": hit.sum()})


class SmallDetector(Model):
    def build(self, classes: int) -> nn.Module:
        return Network(classes)

    def draw(self, network: Any, seed: int) -> None:
        draw_weights(network, seed)
        nn.init.constant_(network.classes.bias, -3.0)

    def criterion(self, classes: int) -> Criterion:
        return losses_of

    def branches(self, network: nn.Module) -> dict[str, list[str]]:
        return by_branch(network, {part: [f"{part}."] for part in ("body", "boxes", "classes")})

    def detections(self, output: Tensor, nms: Suppress) -> list[Tensor]:
        _, boxes, logits = decoded(output)
        centre, sides = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
        return detections(torch.cat((centre, sides, logits.sigmoid()), 2).transpose(1, 2), nms)


MODEL = SmallDetector()
