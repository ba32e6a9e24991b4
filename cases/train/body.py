"""Case `train`: trains and evaluates YOLOv9-S.

Shows what an upgrade would change for a training run: epoch time, memory, anomalies in the gradients, and the mAP
that comes out, all from the same initial weights on the same batches.
"""

from __future__ import annotations

from pathlib import Path

from harness.cell.data.index import read_index
from harness.cell.evaluate import keep_detections
from harness.cell.measured import Measured
from harness.cell.progress import Progress
from harness.cell.results import keep_quality, measured_of
from harness.cell.train import train
from harness.core.spec import RunSpec

DETECTIONS = ".detections.json.gz"


def run(spec: RunSpec, progress: Progress, record: Path) -> Measured:
    """Train as the spec says and return what was measured; the last epoch's detections lie beside the record."""
    index = read_index(Path(spec.data.index))
    result = train(spec, index, progress)
    detections = record.with_name(record.stem + DETECTIONS)
    keep_detections(detections, result.detections)
    measured = measured_of(result, index, spec)
    keep_quality(measured, result)
    measured.files["detections"] = detections.name
    return measured
