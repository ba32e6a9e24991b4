"""The body of the case `converge`."""

from __future__ import annotations

from harness.cell.measured import Measured
from harness.cell.results import measured_of
from harness.cell.run import Run
from harness.cell.train import train


def measure(run: Run) -> Measured:
    """Train to the end. Times and memory are the business of other cases."""
    return measured_of(run, train(run.spec, run.data, run.progress))
