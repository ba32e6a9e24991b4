"""The body of the case `train`."""

from __future__ import annotations

from harness.cell.evaluate import keep_detections
from harness.cell.measured import Measured
from harness.cell.results import measured_of
from harness.cell.run import Run
from harness.cell.train import train

DETECTIONS = ".detections.json.gz"


def measure(run: Run) -> Measured:
    """Train as the spec says; the last epoch's detections lie beside the record."""
    result = train(run.spec, run.data, run.progress)
    detections = run.record.with_name(run.record.stem + DETECTIONS)
    keep_detections(detections, result.detections)
    measured = measured_of(run, result)
    measured.files["detections"] = detections.name
    return measured
