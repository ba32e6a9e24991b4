"""What is asked for: pins, machines, recipes and profiles of `cases/matrix.toml`, and the spec of one run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Optional

from msgspec import Meta, Struct

from harness.core.errors import UsageError
from harness.core.files import digest_of, read_toml

Positive = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]
Amount = Annotated[float, Meta(ge=0.0, le=1e9)]
PIN_NAME = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(\+[a-z0-9.]+)?")

AMBIENT = "ambient"
"""The pin that is no pin: whatever torch the interpreter that runs nox has. Its label cannot be checked."""

TWIN = "A/A"
"""The baseline once more, from its own second environment: what it differs from the baseline by is the noise."""

PACE = "pace"
"""The case whose processes all live at once and take turns."""


FaultKind = Literal["slow", "memory", "leak", "nan-gradient", "dead-branch", "labels"]


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """A struct that refuses keys it does not know."""


class PinEntry(Strict, frozen=True):
    """One `[pins."VERSION"]` of matrix.toml: the key is the exact torch version, with its build if it has one."""

    torchvision: str
    python: Annotated[str, Meta(pattern=r"^3\.\d+$")]
    requirements: list[str] = []


class Machine(Strict, frozen=True):
    """A machine kind and the pins that can run there; `architectures` (sm_80, …) tell which GPUs are of the kind."""

    pins: Annotated[list[str], Meta(min_length=1)]
    architectures: list[str] = []


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


class Shapes(Strict, frozen=True):
    """The embedded data set: how many pictures, of what size in pixels."""

    images: Positive
    validation: Positive
    size: Annotated[int, Meta(ge=32, le=2048, multiple_of=32)] = 64
    seed: Count = 0


class TrainSettings(Strict, frozen=True):
    """What the case `train` does in a profile."""

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


class PaceSettings(Strict, frozen=True):
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


class Profile(Strict, frozen=True):
    """One `[profiles.NAME]`: how much of what is run."""

    cases: Annotated[list[str], Meta(min_length=1)]
    rounds: Positive
    flags: Literal["pinned", "stock"]
    shapes: Shapes
    train: TrainSettings
    pace: Optional[PaceSettings] = None
    """Needed where `pace` is among the cases."""


class Fault(Strict, frozen=True):
    """A fault that `nox -s calibrate` plants in a copy of the baseline, to see whether it is found.

    `size`: `slow`, share of a step's time; `memory`, share of the first epoch's peak; `leak`, share of the memory in
    use, at every epoch's end; `nan-gradient`, the optimiser step, counted from 0 over the run; `dead-branch`, none (0);
    `labels`, share of the boxes.
    """

    kind: FaultKind
    size: Amount


class Proof(Strict, frozen=True):
    """One `[proofs.NAME]`: copies of the baseline that differ from it by one planted thing, run as a matrix."""

    profile: str
    faults: dict[FaultKind, Amount] = {}
    """What `nox -s calibrate` plants, one copy each, and its size as in `Fault`."""
    plain_loop: bool = False
    """Whether there is a copy whose loop has no instruments: `nox -s bench`."""


class MatrixFile(Strict, frozen=True):
    """The whole of matrix.toml."""

    requirements: list[str]
    pins: dict[str, PinEntry]
    machines: dict[str, Machine]
    recipes: dict[str, Recipe]
    profiles: dict[str, Profile]
    proofs: dict[str, Proof]


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
    pace: Optional[PaceSettings] = None
    """Of the case `pace` only."""
    instruments: bool = True
    """Off in one copy of the baseline that `nox -s bench` takes turns with: a plain loop that looks at nothing."""
    fault: Optional[Fault] = None
    """Planted by `nox -s calibrate`, never otherwise."""

    def identity(self) -> str:
        """The digest that tells a record of this spec from a stale one. Where the index file lies does not count."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        fields["data"] = self.data.digest
        return digest_of(fields)


def read_matrix(path: Path) -> MatrixFile:
    """Decode matrix.toml strictly; `UsageError` names the file and the key or line that is wrong."""
    matrix = read_toml(path, "the matrix file", MatrixFile)
    check_names(matrix, path)
    return matrix


def check_names(matrix: MatrixFile, path: Path) -> None:
    """Every name that matrix.toml uses must be one that it defines, and a pin's name must be a version."""
    for pin in matrix.pins:
        if not PIN_NAME.fullmatch(pin):
            raise UsageError(f"{path}: [pins.{pin!r}] is not named by a torch version such as 1.13.1 or 1.10.0+cu113.")
    for machine, entry in matrix.machines.items():
        for pin in entry.pins:
            if pin not in matrix.pins:
                raise UsageError(f"{path}: [machines.{machine}] names the pin {pin!r}, which has no [pins.{pin!r}].")
        if not entry.architectures and machine != "cpu":
            raise UsageError(f"{path}: [machines.{machine}] names no architectures, such as sm_80.")
    for name, profile in matrix.profiles.items():
        if profile.train.recipe not in matrix.recipes:
            known = ", ".join(matrix.recipes)
            raise UsageError(
                f"{path}: [profiles.{name}.train] names the recipe {profile.train.recipe!r}; known are: {known}."
            )
    for name, proof in matrix.proofs.items():
        if proof.profile not in matrix.profiles:
            raise UsageError(f"{path}: [proofs.{name}] names the profile {proof.profile!r}, which there is not.")
    if "cpu" not in matrix.machines:
        raise UsageError(f"{path}: [machines.cpu] is missing: it names the pins for a machine without a GPU.")
