"""What a run can be told: the struct that all settings are, and the settings that every case shares."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Optional

from msgspec import Meta, Struct, defstruct
from msgspec.structs import fields

Positive = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]
Rounds = Annotated[int, Meta(ge=1, le=1000)]
Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]
Amount = Annotated[float, Meta(ge=0.0, le=1e9)]
PictureSize = Annotated[int, Meta(ge=32, multiple_of=32)]
"""The sides of the pictures that a network is fed, in pixels."""


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
    image_size: PictureSize
    epochs: Positive
    batch: Positive
    precision: Literal["fp32", "amp"]
    workers: Count
    warmup_batches: Count
    """Batches at the start of a run whose times are kept apart from the samples."""
    silence_seconds: Positive
    """A run that reports nothing for so long is taken to hang: it is killed and recorded as failed."""
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

    rounds: Optional[Rounds] = None
    shapes: Optional[Shapes] = None
    train: TrainChanges = TrainChanges()  # type: ignore[valid-type]


class CaseSettings(Strict, frozen=True):
    """What a case is told beside how it trains: the table `[profiles.NAME.CASE]`. A case declares its own subclass."""

    def problem(self, train: TrainSettings) -> Optional[str]:  # noqa: ARG002
        """What is wrong with these settings beside those of the training, as a sentence; None where nothing is."""
        return None

    def problem_in(self, folder: Optional[Path]) -> Optional[str]:  # noqa: ARG002
        """What is wrong with these settings for a model of which this is the folder; None where nothing is. No folder:
        the model has none."""
        return None


class DeviceSettings(CaseSettings, frozen=True, kw_only=True):
    """What every case is told that finds its device by itself."""

    wanted: Annotated[list[Annotated[str, Meta(pattern="^(cpu|cuda:[0-9]{1,3})$")]], Meta(min_length=1)]
    """Devices in the order in which they are tried: cuda:N, cpu. With `--device` the one that is named there, alone."""
