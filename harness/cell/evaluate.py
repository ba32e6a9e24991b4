"""Detections of the deployed model, and their COCO figures by faster-coco-eval, at one version on all pins."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

import msgspec
import numpy as np
import torch
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray
from torch import nn

from harness.cell import compat
from harness.cell.data.batches import EvaluationBatch, Placement
from harness.cell.data.index import Item
from harness.cell.model import Model
from harness.cell.progress import Progress
from harness.cell.suppress import Suppress
from harness.core.files import write_atomically

Detections = NDArray[np.float64]
"""Rows of (image number, x, y, width, height, score, class), in pixels of the original picture."""


class Score(NamedTuple):
    """COCO average precision over all classes, as fractions; 0 where nothing was found."""

    map50: float
    map50_95: float


def no_detections() -> Detections:
    """The empty table of detections."""
    return np.zeros((0, 7))


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


def score(items: Sequence[Item], classes: Sequence[str], found: Detections) -> Score:
    """The COCO figures of detections against the true boxes of `items`."""
    if not len(found):
        return Score(0.0, 0.0)
    truth = COCO(ground_truth(items, classes))
    if not truth.anns:
        return Score(0.0, 0.0)
    evaluation = COCOeval_faster(truth, truth.loadRes(found), iouType="bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    map50_95, map50 = float(evaluation.stats[0]), float(evaluation.stats[1])
    return Score(max(map50, 0.0), max(map50_95, 0.0))


def ground_truth(items: Sequence[Item], classes: Sequence[str]) -> dict[str, object]:
    """The true boxes as a COCO data set: pictures numbered from 1 in order, classes from 0."""
    annotations = [
        {
            "image_id": number,
            "category_id": int(row[0]),
            "bbox": [
                (row[1] - row[3] / 2) * item.width,
                (row[2] - row[4] / 2) * item.height,
                row[3] * item.width,
                row[4] * item.height,
            ],
            "area": row[3] * item.width * row[4] * item.height,
            "iscrowd": 0,
        }
        for number, item in enumerate(items, start=1)
        for row in item.boxes
    ]
    return {
        "images": [{"id": n, "width": i.width, "height": i.height} for n, i in enumerate(items, start=1)],
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes)],
        # pycocotools takes an annotation id of 0 for "no match", so ids start at 1
        "annotations": [{"id": number, **annotation} for number, annotation in enumerate(annotations, start=1)],
    }


def digest_of_detections(found: Detections) -> str:
    """SHA-256 over their number and their little-endian bytes, in order."""
    digest = hashlib.sha256(f"{len(found)}\n".encode())
    digest.update(np.ascontiguousarray(found, dtype="<f8").tobytes())
    return digest.hexdigest()


def keep_detections(path: Path, found: Detections) -> None:
    """Write detections as a COCO results file (gzip), so that any COCO tool can score them again."""
    results = [
        {"image_id": int(row[0]), "category_id": int(row[6]), "bbox": row[1:5].tolist(), "score": float(row[5])}
        for row in found
    ]
    # no time stamp inside, so that equal detections make equal files
    write_atomically(path, gzip.compress(msgspec.json.encode(results), mtime=0))


def read_detections(path: Path) -> Detections:
    """The detections of a file that `keep_detections` wrote."""
    results = msgspec.json.decode(gzip.decompress(path.read_bytes()))
    rows = [[r["image_id"], *r["bbox"], r["score"], r["category_id"]] for r in results]
    return np.array(rows, dtype=np.float64).reshape(-1, 7)
