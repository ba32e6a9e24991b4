"""Case `converge`: the same training from several seeds, one a round.

Shows whether a training ends as well and as surely as before: the final mAP of every seed, pins paired by seed, and
how far the seeds of a pin lie apart.
"""

from __future__ import annotations

from pathlib import Path

from harness.cell.data.index import read_index
from harness.cell.measured import Measured
from harness.cell.progress import Progress
from harness.cell.results import hashes_of, keep_health, keep_quality
from harness.cell.train import train
from harness.core.spec import RunSpec


def run(spec: RunSpec, progress: Progress, _: Path) -> Measured:
    """Train to the end and return what came out. Times and memory are the business of other cases."""
    index = read_index(Path(spec.data.index))
    result = train(spec, index, progress)
    measured = Measured(
        hashes=hashes_of(result, index),
        anomalies=result.watch.anomalies,
        measuring=sum(result.epoch_seconds) + sum(result.evaluation_seconds),
    )
    keep_health(measured, result)
    keep_quality(measured, result)
    return measured
