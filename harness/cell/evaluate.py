"""Detections of the deployed model on evaluation batches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Optional

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from harness.cell import compat
from harness.cell.data.batches import EvaluationBatch, Placement
from harness.cell.model import Model
from harness.cell.progress import Progress
from harness.cell.scoring import Detections, no_detections
from harness.cell.suppress import Suppress


@torch.no_grad()
def detect(
    model: Model,
    network: nn.Module,
    batches: Iterable[EvaluationBatch],
    device: torch.device,
    amp: bool,
    progress: Progress,
    nms: Optional[Suppress] = None,
) -> Detections:
    """Detections of a network, as it is deployed, on evaluation batches; boxes in the original pictures' pixels. `nms`:
    another suppression than the pin's."""
    network = model.deployed(network).to(device).eval()
    nms = nms or compat.suppression()
    rows = [no_detections()]
    for number, batch in enumerate(batches):
        images = torch.from_numpy(batch.images).to(device).float() / 255
        with torch.autocast(device_type="cuda") if amp else contextlib.nullcontext():
            output = network(images)
        found = model.detections(output, nms)
        rows += [in_original(table.cpu().numpy(), place) for table, place in zip(found, batch.placements)]
        progress.tick(phase="evaluating", batch=number)
    return np.concatenate(rows)


def in_original(table: NDArray[np.float32], place: Placement) -> Detections:
    """Rows of one picture's detections (n, 6) x1, y1, x2, y2, score, class, in letterbox pixels, as `Detections`."""
    boxes = place.to_original(table[:, :4].astype(np.float64))
    sides = boxes[:, 2:] - boxes[:, :2]
    number = np.full((len(table), 1), place.index + 1)
    return np.hstack([number, boxes[:, :2], sides, table[:, 4:6]])
