"""`cases/matrix.toml`: what the matrix is made of, read strictly."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import msgspec
from msgspec import Meta

from harness.core.errors import UsageError
from harness.core.files import decoded, toml_of
from harness.core.settings import (
    CASES_WITH,
    Amount,
    BatchChangeSettings,
    BrokenImagesSettings,
    CaseSettings,
    DeviceSettings,
    Own,
    PaceSettings,
    Positive,
    ResumeSettings,
    Shapes,
    SoakSettings,
    Strict,
    TrainSettings,
    TwoProcessSettings,
)
from harness.core.spec import FaultKind, Recipe

PIN_NAME = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(\+[a-z0-9.]+)?")


class PinEntry(Strict, frozen=True):
    """One `[pins."VERSION"]` of matrix.toml: the key is the exact torch version, with its build if it has one."""

    torchvision: str
    python: Annotated[str, Meta(pattern=r"^3\.\d+$")]
    requirements: list[str] = []


class Machine(Strict, frozen=True):
    """A machine kind and the pins that can run there; `architectures` (sm_80, …) tell which GPUs are of the kind."""

    pins: Annotated[list[str], Meta(min_length=1)]
    architectures: list[str] = []


class Profile(Strict, frozen=True):
    """One `[profiles.NAME]`: how much of what is run."""

    cases: Annotated[list[str], Meta(min_length=1)]
    rounds: Positive
    flags: Literal["pinned", "stock"]
    shapes: Shapes
    train: TrainSettings
    own: dict[str, Own] = {}
    """By case, what is not as in the rest of the profile."""
    pace: Optional[PaceSettings] = None
    """This and the following: needed where the case is among `cases`."""
    soak: Optional[SoakSettings] = None
    broken_images: Optional[BrokenImagesSettings] = msgspec.field(default=None, name="broken-images")
    batch_change: Optional[BatchChangeSettings] = msgspec.field(default=None, name="batch-change")
    resume: Optional[ResumeSettings] = None
    two_process: Optional[TwoProcessSettings] = msgspec.field(default=None, name="two-process")
    device: Optional[DeviceSettings] = None

    def settings_of(self, case: str) -> Optional[CaseSettings]:
        """What is said of the case alone, or None."""
        settings: Optional[CaseSettings] = getattr(self, case.replace("-", "_"), None) if case in CASES_WITH else None
        return settings

    def train_of(self, case: str) -> TrainSettings:
        """How the case trains: as the profile says, with what is changed for the case."""
        changes = msgspec.structs.asdict(self.own[case].train) if case in self.own else {}
        changed = {name: value for name, value in changes.items() if value is not None}
        return msgspec.structs.replace(self.train, **changed)

    def shapes_of(self, case: str) -> Shapes:
        """The embedded data set that the case uses."""
        own = self.own.get(case)
        return own.shapes if own and own.shapes else self.shapes

    def rounds_of(self, case: str) -> int:
        """How often the case is run."""
        own = self.own.get(case)
        return own.rounds if own and own.rounds else self.rounds


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


def read_matrix(path: Path) -> MatrixFile:
    """Decode matrix.toml strictly; `UsageError` names the file and the key or line that is wrong."""
    tables = toml_of(path, "the matrix file")
    profiles = tables.get("profiles")
    if isinstance(profiles, dict):
        tables["profiles"] = {name: whole_profile(profiles, name, path) for name in profiles}
    matrix = decoded(tables, path, MatrixFile)
    check_names(matrix, path)
    return matrix


def whole_profile(profiles: dict[str, Any], name: str, path: Path, behind: tuple[str, ...] = ()) -> Any:
    """The table of a profile that may be `like` another one: that one's, with its own keys laid over it. What the other
    says of a case that this one does not have is left out."""
    profile = profiles[name]
    if not isinstance(profile, dict) or "like" not in profile:
        return profile
    other = profile["like"]
    if other not in profiles or other in (name, *behind):
        raise UsageError(f"{path}: [profiles.{name}] is like {other!r}, which is itself or no profile.")
    own = {key: value for key, value in profile.items() if key != "like"}
    below = whole_profile(profiles, other, path, (*behind, name))
    if isinstance(below, dict) and isinstance(below.get("own"), dict) and isinstance(own.get("cases"), list):
        below = {**below, "own": {case: of_it for case, of_it in below["own"].items() if case in own["cases"]}}
    return laid_over(below, own)


def laid_over(below: Any, above: Any) -> Any:
    """Tables key by key, anything else as it is above."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {**below, **{key: laid_over(below.get(key), value) for key, value in above.items()}}


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
        check_profile(matrix, name, profile, path)
    for name, proof in matrix.proofs.items():
        if proof.profile not in matrix.profiles:
            raise UsageError(f"{path}: [proofs.{name}] names the profile {proof.profile!r}, which there is not.")
    if "cpu" not in matrix.machines:
        raise UsageError(f"{path}: [machines.cpu] is missing: it names the pins for a machine without a GPU.")


def check_profile(matrix: MatrixFile, name: str, profile: Profile, path: Path) -> None:
    """A profile trains by recipes there are, and changes only what its own cases do."""
    for recipe in {profile.train.recipe, *(profile.train_of(case).recipe for case in profile.own)}:
        if recipe not in matrix.recipes:
            known = ", ".join(matrix.recipes)
            raise UsageError(f"{path}: [profiles.{name}] trains by the recipe {recipe!r}; known are: {known}.")
    soak = profile.soak
    limit = profile.train_of("soak").limit_hours
    if soak and "soak" in profile.cases and soak.hours >= limit:
        raise UsageError(
            f"{path}: [profiles.{name}] soaks for {soak.hours:g} h and kills a run after {limit:g} h: give "
            f"[profiles.{name}.own.soak] a train.limit_hours that leaves time to start and to evaluate."
        )
    for case in profile.own:
        if case not in profile.cases:
            raise UsageError(f"{path}: [profiles.{name}.own.{case}] is of no case that the profile has.")
