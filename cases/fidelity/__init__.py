"""Takes the same training steps on every pin, and each once more in float64.

Shows whether another version computes the same step. The states that it begins at lie along one real training of the
baseline, so they have the same weights on every pin. What loss, gradients, update, statistics, average and outputs are
away from float64 is the rounding of a pin, which is held against the baseline's. What float64 itself comes to must be
the same on all pins: another epsilon, momentum or term of a loss shows there at any size.
"""

from __future__ import annotations

from typing import Annotated, Literal, Optional

from msgspec import Meta

from harness.core.declaration import Case, DeclaredCheck, DeclaredFingerprint, DeclaredMetric, DeclaredSeries, Parameter
from harness.core.settings import CaseSettings, Count, PictureSize, Positive, TrainSettings


class Settings(CaseSettings, frozen=True):
    """The states, and how steps are taken from them. The training that they lie along is the baseline's, on one thread
    of the CPU, where it is the same in every run."""

    states: Annotated[list[Count], Meta(min_length=1)]
    """The optimiser steps after which the baseline's training is looked at; 0: the initial weights. The last is the one
    that tells most: the longer it trains, the less a step magnifies rounding."""
    trained_size: PictureSize
    """Pixels of the pictures that it is fed."""
    trained_batch: Positive
    pictures: Positive
    """Pictures of the validation set that are looked for objects in, after the step from the last state."""
    precisions: Annotated[list[Literal["fp32", "amp"]], Meta(min_length=1)]
    """Mixed precision is left out on a CPU."""
    sizes: Annotated[list[PictureSize], Meta(min_length=1)]
    batches: Annotated[list[Positive], Meta(min_length=1)]

    def problem(self, train: TrainSettings) -> Optional[str]:  # noqa: ARG002
        """States are in the order in which the training comes to them."""
        if self.states == sorted(set(self.states)):
            return None
        return (
            f"its states {', '.join(map(str, self.states))} are optimiser steps of one training: name each once, rising"
        )


BY = ("precision", "size", "batch")


def error(name: str, what: str, *, headline: bool = True) -> DeclaredMetric:
    """The relative error of a kind of result, a sample for each state; twice as large would matter."""
    title = f"Error of {what} against float64"
    return DeclaredMetric(f"{name}_error", title, "ratio", "ratio", headline=headline, by=BY, by_part=True, margin=1.0)


CASE = Case(
    settings=Settings,
    peers=True,
    parameters=(
        Parameter("precision", "", "precisions"),
        Parameter("size", "", "sizes", "px"),
        Parameter("batch", "batch", "batches"),
    ),
    metrics=(
        error("loss", "the loss"),
        error("gradient", "the gradients"),
        error("update", "the update"),
        error("statistics", "the running statistics"),
        error("average", "the weight average"),
        error("output", "the outputs"),
        DeclaredMetric(
            "map50_error", "mAP50 away from float64's", "fraction", "points", headline=False, by=BY, margin=0.008
        ),
    ),
    series=(DeclaredSeries("gradient_error", "Error of the gradients against float64", counted="state"),),
    checks=(
        DeclaredCheck(
            "no_tensor",
            "No tensor's gradient is further from float64 than rounding explains, beside how far it moves when all "
            "weights are nudged by one rounding",
        ),
    ),
    fingerprints=(
        DeclaredFingerprint("exact_steps", "Steps in float64", tolerance=1e-9, counted="value"),
        DeclaredFingerprint("exact_detections", "Detections in float64", tolerance=1e-9, counted="value"),
        DeclaredFingerprint("forward", "Forward pass, by module", counted="module"),
        DeclaredFingerprint("backward", "Backward pass, by parameter", counted="parameter"),
        DeclaredFingerprint("statistics", "Running statistics, by buffer", counted="buffer"),
    ),
)
