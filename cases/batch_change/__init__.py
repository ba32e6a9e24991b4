"""Changes the batch size every few epochs while one training runs on.

Shows whether a training survives that, down to batches of one picture: whether loss and gradients stay healthy, whether
it learns on when it is back at its first size, and how much memory stays with the process after each change, against
a fresh process that trains at that size from the start.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from msgspec import Meta

from harness.core import training
from harness.core.declaration import Case, DeclaredCheck, DeclaredMetric
from harness.core.settings import CaseSettings, Positive


class Settings(CaseSettings, frozen=True):
    """The sizes, one after another. Where the last is the first again, it shows whether the training still learns."""

    sizes: Annotated[list[Positive], Meta(min_length=2)]
    epochs: Positive
    """Epochs at each size."""


BY_PHASE = tuple(
    replace(
        one, name=f"{one.name}_{name}", title=f"{one.title}, {when}", counted="batch size, in the order of the case"
    )
    for name, when in (("by_phase", "while the batch size changes"), ("fresh", "fresh at each batch size"))
    for one in training.MEMORY_SERIES
)

CASE = Case(
    settings=Settings,
    metrics=(
        DeclaredMetric("retained_memory", "Largest memory after a batch change, against a fresh run", "ratio", "ratio"),
        *training.HEALTH,
    ),
    series=(*training.HEALTH_SERIES, *BY_PHASE),
    checks=(
        DeclaredCheck("goes_on", "Training goes on at every batch size without an anomaly in loss or gradients"),
        DeclaredCheck("single_picture", "A batch of a single picture does not crash the training"),
        DeclaredCheck(
            "learns_on", "Back at the first batch size the loss is finite and lower than in the first epochs"
        ),
    ),
    fingerprints=tuple(one for one in training.FINGERPRINTS if one.name != "detections"),
)
