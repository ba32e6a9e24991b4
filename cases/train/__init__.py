"""Trains and evaluates the model.

Shows what an upgrade would change for a training: epoch time, memory, anomalies in the gradients, and the mAP that
comes out, all from the same initial weights on the same batches.
"""

from harness.core import training
from harness.core.declaration import Case

CASE = Case(
    metrics=(*training.MEMORY, *training.TIMES, training.GPU_BUSY, *training.HEALTH, *training.QUALITY),
    series=(
        *training.HEALTH_SERIES,
        *training.MEMORY_SERIES,
        *training.QUALITY_SERIES,
        *training.TIME_SERIES,
    ),
    fingerprints=training.FINGERPRINTS,
)
