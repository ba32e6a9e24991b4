"""Finds a device that can be trained on, and trains some steps there.

Shows whether this PyTorch can use the wanted devices, in their order. One that is absent, full, or of an architecture
that the wheel has no code for is passed over, and the record says which and why. A device that was named with
`--device` is the only one wanted: where it cannot be used, the run ends with that sentence.
"""

from harness.core.declaration import Case, DeclaredCheck, DeclaredMetric
from harness.core.settings import DeviceSettings, Positive


class Settings(DeviceSettings, frozen=True, kw_only=True):
    """Where it looks, and for how long it trains."""

    steps: Positive
    """Optimiser steps that are trained on the first device that can be used."""


CASE = Case(
    settings=Settings,
    finds_device=True,
    metrics=(DeclaredMetric("device_time", "Time until steps are done on a device", "s", "ratio"),),
    checks=(
        DeclaredCheck("found", "A device that can be trained on is found, and what was passed over is said"),
        DeclaredCheck("healthy", "Training steps there have no anomaly in loss or gradients"),
    ),
)
