"""`cases/matrix.toml`: what the matrix is made of, read strictly."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import msgspec
from msgspec import Meta

from harness.core.cases import case_names, read_case
from harness.core.errors import UsageError
from harness.core.faults import FaultKind
from harness.core.files import decoded, toml_of
from harness.core.names import TWIN_ENDING
from harness.core.settings import Amount, CaseSettings, Own, Rounds, Shapes, Strict, TrainSettings
from harness.core.spec import Recipe

VERSION = re.compile(
    r"(?P<major>[0-9]+)\.(?P<minor>[0-9]+)\.(?P<patch>[0-9]+)"
    r"(?P<early>(?:a|b|rc)[0-9]+)?(?:\.post[0-9]+)?(?P<nightly>\.dev[0-9]+)?(?P<build>\+[a-z0-9]+(?:\.[a-z0-9]+)*)?"
)
"""A torch version as packages have it (PEP 440, normalised): 1.13.1, 2.9.0rc1, 2.10.0.dev20250901+cpu."""
ENVIRONMENT = re.compile(r"(?!ambient$)[a-z]+(-[a-z]+)*")
"""The name of an environment that is no pin's."""
BESIDE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
"""The name of a model that has requirements of its own."""
SUCH_AS = "such as 1.13.1, 1.10.0+cu113 for a build, 2.9.0rc1 or 2.10.0.dev20250901+cpu for a nightly"


def version_of(pin: str) -> re.Match[str]:
    """The parts of a pin's name; `UsageError` where it is no torch version."""
    match = VERSION.fullmatch(pin)
    if not match:
        raise UsageError(f"{pin!r} is not a torch version: give one {SUCH_AS}.")
    return match


def is_early(pin: str) -> bool:
    """Whether a pin is a release candidate, a nightly, or what else comes before a release."""
    return any(version_of(pin).group("early", "nightly"))


class PinEntry(Strict, frozen=True):
    """One `[pins."VERSION"]` of matrix.toml: the key is the exact torch version, with its build if it has one."""

    torchvision: str
    python: Annotated[str, Meta(pattern=r"^3\.\d+$")]
    requirements: list[str] = []


class EnvironmentEntry(Strict, frozen=True):
    """One `[environments.NAME]`: an environment of other programs than torch, one for all pins, for cases that call on
    it."""

    python: Annotated[str, Meta(pattern=r"^3\.\d+$")]
    requirements: Annotated[list[str], Meta(min_length=1)]


SlurmName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.,:&|()\[\]*!=+-]+$")]
"""A name, or an expression of several, as sbatch takes them: a line of its script, so without blanks."""


class SlurmResources(Strict, frozen=True):
    """One `[machines.NAME.slurm]`: what a job asks Slurm for that needs a node of the kind. What is left out is as the
    cluster has it."""

    cpus: Annotated[int, Meta(ge=1, le=4096)]
    memory_gib: Annotated[int, Meta(ge=1, le=65536)]
    hours: Annotated[float, Meta(gt=0.0, le=10_000.0)]
    """How long a job may run. One that has used it up is put into the queue again and goes on, `requeues` times."""
    gpus: Annotated[int, Meta(ge=0, le=64)] = 0
    partition: Optional[SlurmName] = None
    account: Optional[SlurmName] = None
    qos: Optional[SlurmName] = None
    constraint: Optional[SlurmName] = None
    """The features that the node must have, such as the model of its GPU."""
    exclusive: bool = True
    """Whether the node is a job's alone: what others do there would be in the times."""
    jobs: Annotated[int, Meta(ge=1, le=1000)] = 4
    """How many jobs of a matrix are in the queue at once."""
    requeues: Annotated[int, Meta(ge=0, le=1000)] = 10


class MachineKind(Strict, frozen=True):
    """A kind of machine and the pins that can run there; `architectures` (sm_80, …) tell which GPUs are of the kind."""

    pins: Annotated[list[str], Meta(min_length=1)]
    architectures: list[str] = []
    slurm: Optional[SlurmResources] = None
    """Where such machines are nodes of a cluster."""


class ModelEntry(Strict, frozen=True):
    """One `[models.NAME]`: a package that has a model, as `harness/cell/model.py` describes it, a folder of the user's,
    or both. A folder alone has a script, which can only be run."""

    package: Annotated[str, Meta(pattern=r"^([A-Za-z_]\w*(\.[A-Za-z_]\w*)*)?$")] = ""
    """A module of this project, or one in `path`."""
    path: str = ""
    """A folder outside of the project: absolute, relative to the project, or below `~`."""
    entry: str = ""
    """Which of the package's models, where it has several."""
    requirements: list[str] = []
    """What it needs beside what every lock has. Each pin then has a lock and an environment for it."""
    recipe: str = ""
    """The recipe by which it is trained, in place of the profile's."""


class Profile(Strict, frozen=True):
    """One `[profiles.NAME]`: how much of what is run."""

    cases: Annotated[list[str], Meta(min_length=1)]
    rounds: Rounds
    flags: Literal["pinned", "stock"]
    model: str
    shapes: Shapes
    train: TrainSettings
    own: dict[str, Own] = {}
    """By case, what is not as in the rest of the profile."""
    told: dict[str, dict[str, Any]] = {}
    """By case, its table of the profile, which only its declaration can read."""

    def settings_of(self, case: str) -> Optional[CaseSettings]:
        """What the case alone is told; None for a case that needs nothing of the kind, or whose table is not there."""
        kind = read_case(case).settings
        if kind is None or (case not in self.told and required_fields(kind)):
            return None
        return msgspec.convert(self.told.get(case, {}), kind)

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


class Defaults(Strict, frozen=True):
    """`[defaults]`: the profile where none is named, by the device and by whether there are data of one's own."""

    cpu: str
    cpu_with_data: str
    gpu: str
    gpu_with_data: str

    def profile(self, device: str, own_data: bool) -> str:
        """The one for this device."""
        if device == "cpu":
            return self.cpu_with_data if own_data else self.cpu
        return self.gpu_with_data if own_data else self.gpu


class Proof(Strict, frozen=True):
    """One `[proofs.NAME]`: copies of the baseline that differ from it by one planted thing, run as a matrix."""

    profile: str
    gpu: Optional[str] = None
    """The profile on a GPU, where that is another."""
    faults: dict[FaultKind, Amount] = {}
    """What `nox -s calibrate` plants, one copy each, and its size as in `Fault`."""
    plain_loop: bool = False
    """Whether there is a copy whose loop has no instruments: `nox -s bench`."""
    copies: Annotated[int, Meta(ge=0, le=100)] = 0
    """How many copies there are that differ in nothing: `nox -s seats`."""

    def profile_on(self, device: str) -> str:
        """The profile on this device."""
        return self.gpu if self.gpu and device != "cpu" else self.profile


class MatrixFile(Strict, frozen=True):
    """The whole of matrix.toml."""

    requirements: list[str]
    pins: dict[str, PinEntry]
    machines: dict[str, MachineKind]
    defaults: Defaults
    models: dict[str, ModelEntry]
    recipes: dict[str, Recipe]
    profiles: dict[str, Profile]
    proofs: dict[str, Proof]
    environments: dict[str, EnvironmentEntry] = {}


def required_fields(kind: type[CaseSettings]) -> list[str]:
    """The settings of a case that have no default."""
    return [field.name for field in msgspec.structs.fields(kind) if field.required]


def read_matrix(path: Path) -> MatrixFile:
    """Decode matrix.toml strictly; `UsageError` names the file and the key or line that is wrong."""
    tables = toml_of(path, "the matrix file")
    profiles = tables.get("profiles")
    if isinstance(profiles, dict):
        tables["profiles"] = {name: told_apart(whole_profile(profiles, name, path), path) for name in profiles}
    matrix = decoded(tables, path, MatrixFile)
    check_names(matrix, path)
    return matrix


def table_of(case: str) -> str:
    """What the table of a case is called in a profile."""
    return read_case(case).table or case


def told_apart(profile: Any, path: Path) -> Any:
    """The table of a profile with those of its cases gathered under `told`."""
    if not isinstance(profile, dict):
        return profile
    if "told" in profile:
        raise UsageError(f"{path}: a profile has the key 'told', which is none.")
    shared = {field.name for field in msgspec.structs.fields(Profile)}
    tables = {table_of(case): case for case in case_names() if read_case(case).settings}
    told = {tables[key]: table for key, table in profile.items() if key in tables and key not in shared}
    return {**{key: value for key, value in profile.items() if tables.get(key) not in told}, "told": told}


def whole_profile(profiles: dict[str, Any], name: str, path: Path, behind: tuple[str, ...] = ()) -> Any:
    """The table of a profile that may be `like` another one: that one's, with its own keys laid over it. What the other
    says of a case that this one does not have is left out."""
    profile = profiles[name]
    if not isinstance(profile, dict) or "like" not in profile:
        return profile
    other = profile["like"]
    if not isinstance(other, str) or other not in profiles or other in (name, *behind):
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
        if not VERSION.fullmatch(pin):
            raise UsageError(f"{path}: [pins.{pin!r}] is not named by a torch version {SUCH_AS}.")
    check_environments(matrix, path)
    for name, model in matrix.models.items():
        check_model(matrix, name, model, f"{path}: [models.{name}]")
    for machine, entry in matrix.machines.items():
        check_machine(matrix, entry, f"{path}: [machines.{machine}", has_gpu=machine != "cpu")
    for name, profile in matrix.profiles.items():
        check_profile(matrix, name, profile, path)
    used = {f"proofs.{name}": [proof.profile, proof.gpu] for name, proof in matrix.proofs.items()}
    used["defaults"] = [*msgspec.structs.asdict(matrix.defaults).values()]
    for table, names in used.items():
        for profile_name in filter(None, names):
            if profile_name not in matrix.profiles:
                raise UsageError(f"{path}: [{table}] names the profile {profile_name!r}, which there is not.")
    if "cpu" not in matrix.machines:
        raise UsageError(f"{path}: [machines.cpu] is missing: it names the pins for a machine without a GPU.")


def check_environments(matrix: MatrixFile, path: Path) -> None:
    """The name of an environment is a session's and a folder's, and no pin's."""
    for name in matrix.environments:
        if not ENVIRONMENT.fullmatch(name):
            raise UsageError(f"{path}: [environments.{name!r}] is not named by small letters and hyphens alone.")


def check_machine(matrix: MatrixFile, entry: MachineKind, where: str, *, has_gpu: bool) -> None:
    """A kind of machine has pins that there are, and but for the one without a GPU, architectures."""
    for pin in entry.pins:
        if pin not in matrix.pins:
            raise UsageError(f"{where}] names the pin {pin!r}, which has no [pins.{pin!r}].")
    if has_gpu and not entry.architectures:
        raise UsageError(f"{where}] names no architectures, such as sm_80.")
    if has_gpu and entry.slurm and not entry.slurm.gpus:
        raise UsageError(f"{where}.slurm] asks for no gpus, and all runs there are on one.")


def check_model(matrix: MatrixFile, name: str, model: ModelEntry, where: str) -> None:
    """A model is a package or a folder, is trained by a recipe there is, and has a name that a file can have."""
    if not (model.package or model.path):
        raise UsageError(f"{where} has neither a package nor a path: name the module or the folder that has it.")
    if model.recipe and model.recipe not in matrix.recipes:
        raise UsageError(f"{where} names the recipe {model.recipe!r}; known are: {', '.join(matrix.recipes)}.")
    if model.requirements and (not BESIDE.fullmatch(name) or f"-{name}".endswith(TWIN_ENDING)):
        raise UsageError(
            f"{where} has requirements, so its name is a part of a file's: small letters, digits and single hyphens, "
            f"without {TWIN_ENDING[1:]!r} at the end."
        )


def check_profile(matrix: MatrixFile, name: str, profile: Profile, path: Path) -> None:
    """A profile trains a model and by recipes there are, and says only what its own cases can be told."""
    where = f"{path}: [profiles.{name}"
    if profile.model not in matrix.models:
        raise UsageError(f"{where}] trains the model {profile.model!r}; known are: {', '.join(matrix.models)}.")
    for recipe in {profile.train.recipe, *(profile.train_of(case).recipe for case in profile.own)}:
        if recipe not in matrix.recipes:
            raise UsageError(f"{where}] trains by the recipe {recipe!r}; known are: {', '.join(matrix.recipes)}.")
    for case in profile.cases:
        if case not in case_names():
            raise UsageError(f"{where}] has the case {case!r}; there are: {', '.join(case_names())}.")
    for case in profile.told:
        check_told(profile, case, f"{where}.{table_of(case)}]")
    for case in profile.own:
        if case not in profile.cases:
            raise UsageError(f"{where}.own.{case}] is of no case that the profile has.")


def check_told(profile: Profile, case: str, where: str) -> None:
    """The table of a case must be what its declaration reads, and go with how the case trains."""
    try:
        settings = profile.settings_of(case)
    except msgspec.ValidationError as error:
        raise UsageError(f"{where}: {error}.") from None
    problem = settings.problem(profile.train_of(case)) if settings and case in profile.cases else None
    if problem:
        raise UsageError(f"{where}: {problem}.")
