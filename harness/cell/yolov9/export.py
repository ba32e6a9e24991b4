"""The model as it is exported: boxes and scores in place of raw maps, by operations that exporters know."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor, nn

from harness.cell.yolov9.decode import Cells, boxes_at, cells_of, flatten
from harness.cell.yolov9.fold import Deployed
from harness.cell.yolov9.head import STRIDES


class Exportable(nn.Module):
    """A deployed network with its decoding. Where it is for one size (height, width) in pixels, where the cells are is
    part of it."""

    centres: Optional[Tensor]
    strides: Optional[Tensor]

    def __init__(self, network: Deployed, size: Optional[tuple[int, int]]):
        super().__init__()
        self.network = network
        cells = (
            cells_of([torch.empty(1, 1, size[0] // stride, size[1] // stride) for stride in STRIDES]) if size else None
        )
        self.register_buffer("centres", cells.centres if cells else None)
        self.register_buffer("strides", cells.strides if cells else None)
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (batch, 3, h, w) in 0..1 to corners x1, y1, x2, y2 in pixels, (batch, cells, 4), and scores in 0..1,
        (batch, cells, classes)."""
        maps = self.network(images)
        box_logits, class_logits = flatten(maps)
        own = None if self.centres is None or self.strides is None else Cells(self.centres, self.strides)
        return boxes_at(own or cells_of(maps), box_logits), class_logits.sigmoid().transpose(1, 2)
