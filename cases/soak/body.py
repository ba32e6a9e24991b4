"""The body of the case `soak`."""

from __future__ import annotations

import math
import time
from pathlib import Path

from cases.soak import Settings
from harness.cell.checkpoint import CheckpointError, Checkpoints
from harness.cell.measured import Measured
from harness.cell.results import keep_growth, measured_of
from harness.cell.run import Run
from harness.cell.train import Loop, Position, train
from harness.core.record import checkpoint_of


def measure(run: Run) -> Measured:
    """Train until the epochs or the hours are over. An epoch is a sample.

    How well it has learnt is no metric: how far a pin comes within its hours is a matter of its speed.
    """
    settings = run.settings_as(Settings)
    soaking = Soaking(checkpoint_of(run.record), settings)
    result = train(run.spec, run.data, run.progress, soaking)
    measured = measured_of(run, result, warmup_epochs=settings.warmup_epochs)
    if settings.drift:
        keep_growth(measured, "throughput_drift", result.epoch_seconds, result, settings.warmup_epochs)
    measured.keep_series("epoch_time", result.epoch_seconds)
    measured.keep_series("begun", [float(epoch) for epoch in result.begun])
    measured.notes["batch stream"] = "its hash is of the first epoch: how many follow may be a matter of time"
    measured.notes["series by step"] = "of every epoch the mean of its steps is kept"
    if len(result.begun) > 1:
        epochs = ", ".join(str(epoch + 1) for epoch in result.begun[1:])
        measured.notes["resumed"] = f"cut short and gone on from a checkpoint at epoch {epochs}"
    if soaking.refused:
        measured.notes["checkpoint"] = soaking.refused
    return measured


def fold(values: list[float], epoch: int) -> None:
    """Put the mean of an epoch's finite values in the place of its values; those of earlier epochs are folded already.

    Kept whole, the series by step of a soak of days would be the leak that it looks for.
    """
    known = [value for value in values[epoch:] if math.isfinite(value)]
    values[epoch:] = [math.fsum(known) / len(known) if known else math.nan]


class Soaking(Checkpoints):
    """Goes on from a checkpoint where there is one that it can use, and ends when the hours are over.

    The hours count what was trained and evaluated, by all processes together: a machine that was off soaked nothing.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        super().__init__(path, epochs=settings.checkpoint_epochs)
        self.seconds = settings.hours * 3600
        self.refused = ""
        self.began = 0.0
        self.earlier = 0.0

    def begin(self, loop: Loop) -> Position:
        """From the checkpoint, or anew where there is none for this run."""
        try:
            start = super().begin(loop)
        except CheckpointError as error:  # it lay there when this process began: nothing can be done but to begin anew
            self.refused = f"{error} The soak began anew."
            start = Position(0, 0)
        loop.result.stream.most = loop.batches
        self.earlier = loop.result.spent()
        self.began = time.monotonic()
        return start

    def after_epoch(self, loop: Loop, epoch: int) -> bool:
        """Fold the epoch's steps, keep a checkpoint when one is due; False when the time is up."""
        result = loop.result
        for values in (result.losses, *result.terms.values(), result.norms):
            fold(values, epoch)
        super().after_epoch(loop, epoch)
        return self.earlier + time.monotonic() - self.began < self.seconds
