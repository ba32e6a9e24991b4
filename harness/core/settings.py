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


SceneName = Literal["plain"]


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
    """The step, counted from 0 over the run, at which the broken picture comes."""


class BatchChangeSettings(Strict, frozen=True, tag_field="case", tag="batch-change"):
    """What the case `batch-change` does: the batch size changes while the training runs."""

    sizes: Annotated[list[Positive], Meta(min_length=2)]
    """One after another."""
    epochs: Positive
    """Epochs at each size."""


class ResumeSettings(Strict, frozen=True, tag_field="case", tag="resume"):
    """What the case `resume` does: trainings that are killed and resumed, against one that is not."""

    kills: Positive
    """Kills at random steps of a training."""
    kills_while_writing: Count
    """Kills while a checkpoint is being written."""
    checkpoint_steps: Positive
    """A checkpoint is written after every so many steps."""


class TwoProcessSettings(Strict, frozen=True, tag_field="case", tag="two-process"):
    """What the case `two-process` does: the same training in one process and in several."""

    processes: Annotated[int, Meta(ge=2, le=64)]


class DeviceSettings(Strict, frozen=True, tag_field="case", tag="device"):
    """What the case `device` does: find a device that can be trained on, and train some steps there."""

    wanted: Annotated[list[str], Meta(min_length=1)]
    """Devices in the order in which they are tried: cuda:N, cpu."""
    steps: Positive


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
