"""What is asked of one run: its pin, recipe, data, settings, and what tells its record from a stale one."""

from __future__ import annotations

from typing import Annotated, Literal, Optional, TypeVar

from msgspec import Meta

from harness.core.files import digest_of
from harness.core.settings import (
    Amount,
    CaseSettings,
    Count,
    Fraction,
    Positive,
    Strict,
    TrainSettings,
)

AMBIENT = "ambient"
"""The pin that is no pin: whatever torch the interpreter that runs nox has. Its label cannot be checked."""

TWIN = "A/A"
"""The baseline once more, from its own second environment: what it differs from the baseline by is the noise."""

PACE = "pace"
"""The case whose processes all live at once and take turns."""


Settings = TypeVar("Settings")

FaultKind = Literal["slow", "memory", "leak", "nan-gradient", "dead-branch", "labels"]


class Augment(Strict, frozen=True):
    """How training pictures are varied; zeros mean a plain letterbox. Gains as in the reference recipe."""

    mosaic: Fraction = 0.0
    flip: Fraction = 0.0
    hsv: tuple[Annotated[float, Meta(ge=0.0, le=0.03)], Fraction, Fraction] = (0.0, 0.0, 0.0)
    """Widest relative change of hue, saturation and value; the hue's turn is a small-angle one, hence its limit."""
    translate: Fraction = 0.0
    scale: Annotated[float, Meta(ge=0.0, le=0.99)] = 0.0
    mosaic_off_epochs: Count = 0
    """The last epochs, which go without mosaic."""


class Recipe(Strict, frozen=True):
    """How weights are updated. Rates are per optimiser step, times in steps or epochs as named."""

    optimizer: Literal["sgd", "adamw"]
    learning_rate: Amount
    final_fraction: Fraction
    schedule: Literal["linear", "cosine"]
    momentum: Fraction
    weight_decay: Amount
    nominal_batch: Count
    """Gradients are accumulated to about this many pictures; 0: every batch is a step."""
    warmup_epochs: Amount
    warmup_steps: Count
    """Warm-up takes the larger of `warmup_epochs` and `warmup_steps`."""
    warmup_bias_rate: Amount
    warmup_momentum: Fraction
    clip_norm: Annotated[float, Meta(gt=0.0)]
    ema_decay: Fraction
    ema_updates: Annotated[float, Meta(gt=0.0)]
    """Time constant, in updates, of the ramp decay·(1 − exp(−updates/constant))."""
    multi_scale: Annotated[float, Meta(ge=0.0, le=0.9)]
    augment: Augment


class Fault(Strict, frozen=True):
    """A fault that `nox -s calibrate` plants in a copy of the baseline, to see whether it is found.

    `size`: `slow`, share of a step's time; `memory`, share of the first epoch's peak; `leak`, share of the memory in
    use, at every epoch's end; `nan-gradient`, the optimiser step, counted from 0 over the run; `dead-branch`, none (0);
    `labels`, share of the boxes.
    """

    kind: FaultKind
    size: Amount


class Pin(Strict, frozen=True):
    """The requested exact set; `lock` is the sha256 of its lock file (None for the ambient interpreter).

    `name` is what the tables call it: the torch version, `TWIN`, or what was planted in a copy of the baseline.
    """

    name: str
    torch: Optional[str]
    torchvision: Optional[str]
    python: Optional[str]
    lock: Optional[str]

    @property
    def folder(self) -> str:
        """The name as a folder's."""
        return self.name.replace("/", "-")

    @property
    def environment(self) -> str:
        """The environment that it runs in, as the noxfile names it: the lock's name, `-twin` for the second one."""
        if self.torch is None:
            return AMBIENT
        return f"{self.torch}-twin" if self.name == TWIN else self.torch


class Peer(Strict, frozen=True):
    """Another pin whose environment a run may call on: for what is carried from one pin to another."""

    pin: Pin
    interpreter: str = ""
    """Its Python; empty where the environment was not built."""


class Data(Strict, frozen=True):
    """The data set of a run: `index` is the prepared index file, `digest` the sha256 of what it holds."""

    name: str
    digest: str
    index: str


class RunSpec(Strict, frozen=True):
    """All that one process needs to know to do one cell in one round."""

    case: str
    pin: Pin
    round: Count
    seed: Count
    device: str
    precision: Literal["fp32", "amp"]
    threads: Positive
    flags: Literal["pinned", "stock"]
    profile: str
    train: TrainSettings
    recipe: Recipe
    data: Data
    harness: str
    """sha256 of the code that runs in the cell."""
    settings: Optional[CaseSettings] = None
    """What is said of the case alone."""
    instruments: bool = True
    """Off in one copy of the baseline that `nox -s bench` takes turns with: a plain loop that looks at nothing."""
    fault: Optional[Fault] = None
    """Planted by `nox -s calibrate`, never otherwise."""
    peers: list[Peer] = []
    """The pins of the matrix, its own included, of a case that carries something from one to another."""

    def settings_as(self, kind: type[Settings]) -> Settings:
        """The settings of a case, which the plan gives to every run of it."""
        assert isinstance(self.settings, kind), f"the run of {self.case} has no {kind.__name__}"
        return self.settings

    def identity(self) -> str:
        """The digest that tells a record of this spec from a stale one. Where index and interpreters lie does not
        count."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        fields["data"] = self.data.digest
        fields["peers"] = [peer.pin for peer in self.peers]
        return digest_of(fields)
