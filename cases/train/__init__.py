"""Trains and evaluates the model, all pins in turns.

Shows what an upgrade would change for a training: the time of a step and of an epoch, memory, anomalies in the
gradients, and the mAP that comes out, all from the same initial weights on the same batches. The trainings of all pins
are alive at once and take turns of a few optimiser steps, lap by lap in shuffled order. A lap holds every pin within
seconds of each other, so what slows the machine for longer slows them alike.
"""

from typing import Annotated

from msgspec import Meta

from harness.core import training
from harness.core.declaration import Case, DeclaredMetric, Turns
from harness.core.settings import CaseSettings, Positive

STEP_TIME = DeclaredMetric("step_time", "Step time", "s", "ratio", shown="ms")


class Settings(CaseSettings, frozen=True, kw_only=True):
    """How the trainings take turns."""

    steps: Positive
    """Optimiser steps of one turn, with the loading of their batches."""
    epochs: Annotated[float, Meta(gt=0.0)]
    """After so many, or such a part of one, fresh processes go on."""


CASE = Case(
    settings=Settings,
    table="turns",
    turns=Turns(metrics=(STEP_TIME.name,), rest="epoch_time"),
    weights="either",
    metrics=(
        *training.MEMORY,
        STEP_TIME,
        *training.TIMES,
        training.GPU_BUSY,
        *training.HEALTH,
        *training.QUALITY,
    ),
    series=(
        *training.HEALTH_SERIES,
        *training.MEMORY_SERIES,
        *training.QUALITY_SERIES,
        *training.TIME_SERIES,
    ),
    fingerprints=training.FINGERPRINTS,
)
