"""The body of the case `train`."""

from __future__ import annotations

from harness.cell.evaluate import keep_detections
from harness.cell.kernels import keep_gpu_busy
from harness.cell.measured import Measured
from harness.cell.results import first_steps, measured_of
from harness.cell.run import Run
from harness.cell.train import Hook, make_loop, train_loop

DETECTIONS = ".detections.json.gz"


def measure(run: Run) -> Measured:
    """Train as the spec says; the last epoch's detections lie beside the record."""
    loop = make_loop(run.spec, run.data, run.progress, Hook())
    result = train_loop(loop)
    detections = run.record.with_name(run.record.stem + DETECTIONS)
    keep_detections(detections, result.detections)
    measured = measured_of(run, result)
    measured.files["detections"] = detections.name
    keep_gpu_busy(measured, loop, first_steps(result, run.spec))
    return measured
