"""How much each case does: the tables of a profile in `cases/matrix.toml`, and what of them a run's spec carries."""

from __future__ import annotations

from typing import Annotated, Literal, Optional, Union

from msgspec import Meta, Struct, defstruct
from msgspec.structs import fields

Positive = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]
Amount = Annotated[float, Meta(ge=0.0, le=1e9)]


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """A struct that refuses keys it does not know."""


SceneName = Literal["plain", "few-large", "many-small", "crowded", "low-light", "mostly-empty"]


class Shapes(Strict, frozen=True):
    """The embedded data set: how many pictures, of what size in pixels, of which kind of scene."""

    images: Positive
    validation: Positive
    size: Annotated[int, Meta(ge=32, le=2048, multiple_of=32)] = 64
    seed: Count = 0
    scene: SceneName = "plain"


class TrainSettings(Strict, frozen=True):
    """How a case trains in a profile."""

    recipe: str
    image_size: Annotated[int, Meta(ge=32, multiple_of=32)]
    epochs: Positive
    batch: Positive
    precision: Literal["fp32", "amp"]
    workers: Count
    warmup_batches: Count
    """Batches at the start of a run whose times are kept apart from the samples."""
    silence_seconds: Positive
    """A run that reports nothing for so long is hung: it is killed and recorded as failed."""
    limit_hours: Annotated[float, Meta(gt=0.0, le=10_000.0)]


TrainChanges = defstruct(
    "TrainChanges",
    [(field.name, Optional[field.type], None) for field in fields(TrainSettings)],
    bases=(Strict,),
    frozen=True,
    namespace={"__doc__": "Some of `TrainSettings`; None leaves the profile's."},
)


class Own(Strict, frozen=True):
    """One `[profiles.NAME.own.CASE]`: what the case does not have in common with the rest of the profile."""

    rounds: Optional[Positive] = None
    shapes: Optional[Shapes] = None
    train: TrainChanges = TrainChanges()  # type: ignore[valid-type]


class PaceSettings(Strict, frozen=True, tag_field="case", tag="pace"):
    """What the case `pace` does in a round of a profile."""

    sittings: Positive
    """How often a round the processes are started anew and sit down together."""
    steps: Positive
    """Training steps of one turn."""
    warmup_steps: Positive
    """Steps of every process before the first lap."""
    seconds: Positive
    """After so long no further lap of a sitting is begun."""
    laps: Positive
    """Laps that are done before the noise is looked at; alone, where memory cannot hold all pins, all of them."""


class SoakSettings(Strict, frozen=True, tag_field="case", tag="soak"):
    """What the case `soak` does: `train.epochs` epochs, or until its time is up."""

    hours: Annotated[float, Meta(gt=0.0, le=10_000.0)]
    """After so long no further epoch is begun."""
    warmup_epochs: Positive
    """Epochs in which allocators and caches fill up: they tell nothing of a leak."""
    checkpoint_epochs: Positive
    """A checkpoint is written after every so many epochs; a soak that was killed goes on from the last one."""


class BrokenImagesSettings(Strict, frozen=True, tag_field="case", tag="broken-images"):
    """What the case `broken-images` does: one training for every kind of broken picture, and a clean one."""

    step: Positive
    """The batch, counted from 0 over the run, in which the broken picture comes: late enough that the model has learnt
    something."""
    allowed: Fraction
    """How far the final mAP50 may lie below the clean run's before a training counts as not having recovered."""


class BatchChangeSettings(Strict, frozen=True, tag_field="case", tag="batch-change"):
    """What the case `batch-change` does: the batch size changes while the training runs."""

    sizes: Annotated[list[Positive], Meta(min_length=2)]
    """One after another. Where the last is the first again, it shows whether the training still learns."""
    epochs: Positive
    """Epochs at each size."""


class ResumeSettings(Strict, frozen=True, tag_field="case", tag="resume"):
    """What the case `resume` does: trainings that are killed and resumed, against one that is not."""

    kills: Positive
    """Kills at random moments of a training, each of a training of its own."""
    kills_while_writing: Count
    """Kills while a checkpoint is being written."""
    kill_epochs: Positive
    """Epochs of the trainings that are killed: fewer than of those that go from pin to pin, which must learn."""
    checkpoint_steps: Positive
    """A checkpoint is written after every so many steps."""


class TwoProcessSettings(Strict, frozen=True, tag_field="case", tag="two-process"):
    """What the case `two-process` does: the same training in one process and in several."""

    processes: Annotated[int, Meta(ge=2, le=64)]
    """Each gets an equal share of every batch, and on CUDA a GPU of its own."""
    compared_steps: Positive
    """The first steps, in which losses and gradient norms must be those of one process. They cannot be many: where two
    trainings differ by rounding alone, the difference grows a hundredfold a step until it is a tenth of the loss."""
    allowed: Fraction
    """By how much they may differ in these, as a share of the value."""
    checkpoint_steps: Positive
    """A checkpoint is written after every so many steps."""


class DeviceSettings(Strict, frozen=True, tag_field="case", tag="device"):
    """What the case `device` does: find a device that can be trained on, and train some steps there."""

    wanted: Annotated[list[Annotated[str, Meta(pattern="^(cpu|cuda:[0-9]{1,3})$")]], Meta(min_length=1)]
    """Devices in the order in which they are tried: cuda:N, cpu. With `--device` the one that is named there, alone."""
    steps: Positive
    """Optimiser steps that are trained on the first that can be used."""


CaseSettings = Union[
    PaceSettings,
    SoakSettings,
    BrokenImagesSettings,
    BatchChangeSettings,
    ResumeSettings,
    TwoProcessSettings,
    DeviceSettings,
]

CASES_WITH = (
    "pace",
    "soak",
    "broken-images",
    "batch-change",
    "resume",
    "two-process",
    "device",
)
"""The cases that need a table of their own in the profile."""
