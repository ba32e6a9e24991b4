"""Trains once in several processes, by torchrun and DistributedDataParallel.

Shows whether they learn what one process learns from the same batches, whether a process that is killed ends the run
with a failure instead of leaving the others waiting for it, and whether the training can then be resumed to end bit
for bit as if nothing had happened.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from harness.core import training
from harness.core.declaration import Case, DeclaredCheck, DeclaredMetric, DeclaredSeries
from harness.core.settings import CaseSettings, Fraction, Positive


class Settings(CaseSettings, frozen=True):
    """The same training in one process and in several."""

    processes: Annotated[int, Meta(ge=2, le=64)]
    """Each gets an equal share of every batch, and on CUDA a GPU of its own."""
    compared_steps: Positive
    """The first steps, in which losses and gradient norms must be those of one process. They cannot be many: where two
    trainings differ by rounding alone, the difference grows a hundredfold a step until it is a tenth of the loss."""
    allowed: Fraction
    """By how much they may differ in these, as a share of the value."""
    checkpoint_steps: Positive
    """A checkpoint is written after every so many steps."""


CASE = Case(
    settings=Settings,
    metrics=(DeclaredMetric("death_report_time", "Time until a killed worker is reported", "s", "ratio"),),
    series=(
        DeclaredSeries("loss_difference", "Loss, difference to one process"),
        DeclaredSeries("loss_difference_undivided", "Loss, difference to undivided batches"),
    ),
    checks=(
        DeclaredCheck(
            "same", "Several processes have the losses and gradient norms of one process that is fed the same shares"
        ),
        DeclaredCheck(
            "reported",
            "A worker that is killed ends the run with a failure instead of hanging, and no other worker stays",
        ),
        DeclaredCheck(
            "resumed",
            "Resumed after its workers were killed, a shared training ends bit for bit as one that was not killed",
        ),
    ),
    fingerprints=tuple(one for one in training.FINGERPRINTS if one.name == "final_weights"),
)
