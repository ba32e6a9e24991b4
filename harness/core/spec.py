"""What is asked of one run: its pin, model, recipe, data, settings, and what tells its record from a stale one.

Where it is done (paths, interpreters, nodes) is the launcher's: it is in the `Order` and never in the spec.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Optional, TypeVar, Union

import msgspec
from msgspec import Meta

from harness.core.faults import Fault
from harness.core.files import digest_of
from harness.core.names import TWIN_ENDING, locked_name
from harness.core.settings import Amount, CaseSettings, Count, Fraction, Positive, Strict, TrainSettings

AMBIENT = "ambient"
"""The pin that is no pin: whatever torch the interpreter that runs nox has. Its label cannot be checked."""

TWIN = "A/A"
"""The baseline once more, from its own second environment and from weights nudged by one rounding: what it differs
from the baseline by is the noise of the machine, and in what a training ends at, chance."""


Settings = TypeVar("Settings", bound=CaseSettings)


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


class Pin(Strict, frozen=True):
    """The requested exact set; `lock` is the sha256 of its lock file (None for the ambient interpreter).

    `name` is what the tables call it: the torch version, `TWIN`, or what was planted in a copy of the baseline.
    `beside` is the model whose own requirements the lock has too; empty where it is the pin's alone.
    """

    name: str
    torch: Optional[str]
    torchvision: Optional[str]
    python: Optional[str]
    lock: Optional[str]
    beside: str = ""

    @property
    def folder(self) -> str:
        """The name as a folder's."""
        return self.name.replace("/", "-")

    @property
    def locked(self) -> str:
        """What its lock is called: 1.13.1, or 1.13.1-NAME with what the model NAME requires."""
        return locked_name(self.torch or AMBIENT, self.beside)

    @property
    def environment(self) -> str:
        """The environment that it runs in, as sessions name it: the lock's name, and for the second one an ending."""
        if self.torch is None:
            return AMBIENT
        return f"{self.locked}{TWIN_ENDING}" if self.name == TWIN else self.locked


class Helper(Strict, frozen=True):
    """An environment of other programs than torch, the same one for all pins: what a case calls on, such as what reads
    an exported file. `lock` is the sha256 of its lock file."""

    name: str
    python: str
    lock: str

    @property
    def locked(self) -> str:
        """What its lock is called."""
        return self.name

    @property
    def environment(self) -> str:
        """What its environment is called."""
        return self.name


Locked = Union[Pin, Helper]
"""What has an environment."""


class Model(Strict, frozen=True):
    """The model that is trained: what the tables call it, and the package that has it (`harness/cell/model.py`), empty
    of a folder with a script, which can only be run. `entry`: which of the package's models. `source`: the digest of
    its folder outside of the project, where it has one."""

    name: str
    package: str
    entry: str = ""
    source: str = ""


class Data(Strict, frozen=True):
    """The data set of a run; `digest` is the sha256 of what it holds."""

    name: str
    digest: str


class Weights(Strict, frozen=True):
    """The weights that a run is given; `digest` is the sha256 of their entries."""

    name: str
    digest: str


class RunSpec(Strict, frozen=True):
    """All that says what one run is: one cell in one round."""

    case: str
    pin: Pin
    round: Count
    seed: Count
    device: str
    precision: Literal["fp32", "amp"]
    threads: Positive
    flags: Literal["pinned", "stock"]
    profile: str
    model: Model
    train: TrainSettings
    recipe: Recipe
    data: Data
    harness: str
    """sha256 of the code that the run can reach."""
    settings: Optional[dict[str, Any]] = None
    """What the case alone is told, as its declaration reads it."""
    instruments: bool = True
    """Off in one copy of the baseline that `nox -s bench` takes turns with: a plain loop that looks at nothing."""
    nudged: bool = False
    """Whether training begins at weights that are one rounding away from those of the seed: the twin's does."""
    fault: Optional[Fault] = None
    """Planted by `nox -s calibrate`, never otherwise."""
    weights: Optional[Weights] = None
    """None where they are drawn from the seed."""
    peers: list[Pin] = []
    """The pins of the matrix, its own included, of a case that carries something from one to another; the first is the
    baseline."""
    helpers: list[Helper] = []
    """The environments beside the pins' that the case calls on."""

    def needs(self) -> list[Locked]:
        """What has to have an environment for the run to begin: its pin, and the helpers."""
        return [self.pin, *self.helpers]

    def calls_on(self) -> list[Locked]:
        """The peers and helpers, whose interpreters it is told."""
        return [*self.peers, *self.helpers]

    def settings_as(self, kind: type[Settings]) -> Settings:
        """The settings of a case, which the plan gives to every run of it."""
        return msgspec.convert(self.settings, kind)

    def identity(self) -> str:
        """The digest that tells a record of this spec from a stale one."""
        return digest_of(self)


class Place(Strict, frozen=True):
    """Where a process sits that takes turns, and which part of its run it does."""

    sitting: str
    """What names the processes that take turns with one another."""
    seat: Count
    """The place in which it was started among them, from 0."""
    seats: Positive
    """How many they are."""
    leave: str
    """The file for a checkpoint, where another process does the rest of the run."""
    source: str = ""
    """The checkpoint that it goes on from; empty where it begins."""


class Order(Strict, frozen=True):
    """What a launcher hands to the process of a run: what to do, and where things are there."""

    spec: RunSpec
    index: str
    """The prepared index file of the data set."""
    weights: str = ""
    """The file of the weights that the run is given, in safetensors' format."""
    source: str = ""
    """The folder of a model that lies outside of the project."""
    interpreters: dict[str, str] = {}
    """By the name of a peer or helper the Python of its environment; empty where that was not built."""
    place: Optional[Place] = None
    """Of a run that takes turns."""
