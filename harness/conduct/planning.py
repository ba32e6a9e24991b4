"""From a request and the machine to a plan: every run that will be done, in order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from harness.conduct.machine import Gpu, Site, choose_device, choose_machine
from harness.conduct.reach import OwnCode
from harness.conduct.request import Request
from harness.core.cases import read_case
from harness.core.errors import UsageError
from harness.core.faults import Fault
from harness.core.files import ROOT
from harness.core.locks import lock_of
from harness.core.matrix import MatrixFile, ModelEntry, Profile, is_early, table_of, version_of
from harness.core.names import locked_name
from harness.core.plan import PROOFS, SCHEMA, Plan, order_of_round
from harness.core.policy import POLICY, Policy
from harness.core.settings import CaseSettings, DeviceSettings, TrainSettings
from harness.core.source import digest_of_source, source_folder
from harness.core.spec import AMBIENT, TWIN, Data, Helper, Model, Pin, RunSpec

MATRIX = ROOT / "cases" / "matrix.toml"


Entry = TypeVar("Entry")

PLAIN_LOOP = "plain loop"
"""The copy of the baseline whose training loop has no instruments."""


@dataclass(frozen=True)
class Column:
    """A pin of a plan, and what its runs have otherwise than the baseline's."""

    pin: Pin
    fault: Fault | None = None
    instruments: bool = True
    nudged: bool = False


@dataclass(frozen=True)
class Draft:
    """What all runs of a plan follow from. The first of `columns` is the baseline, the second its twin."""

    request: Request
    matrix: MatrixFile
    site: Site
    profile_name: str
    columns: Sequence[Column]

    @property
    def profile(self) -> Profile:
        """How much is run."""
        return known(self.matrix.profiles, self.profile_name, "profile", f"[profiles.*] of {MATRIX.relative_to(ROOT)}")

    @cached_property
    def model(self) -> Model:
        """What is trained; `UsageError` where its package or its folder is not there."""
        name, entry, folder = self.request.model or self.profile.model, self.entry, self.folder
        where = f"{MATRIX.relative_to(ROOT)}: [models.{name}]"
        if folder and not folder.is_dir():
            raise UsageError(f"{where} names the path {entry.path}, which is no folder here.")
        own = OwnCode(folder).file_of(entry.package) if folder else None
        if entry.package and not (own or OwnCode().file_of(entry.package)):
            raise UsageError(f"{where} names the package {entry.package}, which is not here.")
        return Model(name, entry.package, entry.entry, digest_of_source(folder) if folder else "")

    @property
    def entry(self) -> ModelEntry:
        """What matrix.toml says of the model."""
        return model_entry(self.matrix, self.request.model or self.profile.model)

    @property
    def folder(self) -> Path | None:
        """The model's folder, where it lies outside of the project."""
        return source_folder(self.entry.path, ROOT) if self.entry.path else None

    def train_of(self, case: str) -> TrainSettings:
        """How a case trains: as the profile says, by the model's own recipe if it has one."""
        train = self.profile.train_of(case)
        return replace(train, recipe=self.entry.recipe) if self.entry.recipe else train

    def cases(self) -> list[str]:
        """The cases that are run, each of which there is."""
        cases = unique(self.request.cases or self.profile.cases, "--case")
        return [read_case(case).name for case in cases]

    def rounds_of(self, case: str) -> int:
        """How many rounds the case is run in."""
        return self.request.rounds or self.profile.rounds_of(case)

    def settings_of(self, case: str) -> CaseSettings | None:
        """What is said of the case alone. A device that was named is the only one that such a case may find."""
        settings = self.profile.settings_of(case)
        if settings is None and read_case(case).settings:
            table = f"[profiles.{self.profile_name}.{table_of(case)}]"
            raise UsageError(f"The profile {self.profile_name!r} has no {table}, which the case needs.")
        if isinstance(settings, DeviceSettings) and self.request.device != "auto":
            return replace(settings, wanted=[self.request.device])
        problem = settings.problem_in(self.folder) if settings else None
        if problem:
            raise UsageError(f"[profiles.{self.profile_name}.{table_of(case)}]: {problem}.")
        return settings


def plan(request: Request, matrix: MatrixFile, policy: Policy, site: Site | None = None) -> Plan:
    """The plan of a request, on this machine or on another `site`; `UsageError` for any name that is not known."""
    site = site or find_site(request, matrix)
    profile = request.profile or usual_profile(request, matrix, site)
    names = pin_names_of(request, matrix, site.machine, policy)
    baseline, *candidates = (read_pin(name, matrix, model_of(request, matrix, profile)) for name in names)
    return plan_of(Draft(request, matrix, site, profile, columns_of(baseline, map(Column, candidates))))


def plan_proof(name: str, request: Request, matrix: MatrixFile, policy: Policy) -> Plan:
    """The plan of one `[proofs.NAME]`: the baseline, its twin, and copies that differ by one planted thing."""
    site = find_site(request, matrix)
    proof = known(matrix.proofs, name, "proof", f"[proofs.*] of {MATRIX.relative_to(ROOT)}")
    model = model_of(request, matrix, proof.profile_on(site.device))
    baseline = read_pin(pin_names_of(request, matrix, site.machine, policy)[0], matrix, model)
    copies = [Column(replace(baseline, name=kind), Fault(kind=kind, size=size)) for kind, size in proof.faults.items()]
    copies += [Column(replace(baseline, name=f"copy {number}")) for number in range(1, proof.copies + 1)]
    if proof.plain_loop:
        copies.append(Column(replace(baseline, name=PLAIN_LOOP), instruments=False))
    made = plan_of(Draft(request, matrix, site, proof.profile_on(site.device), columns_of(baseline, copies)))
    return replace(made, name=f"{PROOFS}/{name}", calibrates=bool(proof.faults))


def columns_of(baseline: Pin, others: Iterator[Column] | Sequence[Column]) -> list[Column]:
    """The baseline, its twin, and the others."""
    return [Column(baseline), Column(replace(baseline, name=TWIN), nudged=True), *others]


def plan_of(draft: Draft) -> Plan:
    """The plan that a draft comes to."""
    request, cases = draft.request, draft.cases()
    if request.weights and not any(read_case(case).weights != "drawn" for case in cases):
        raise UsageError(f"--weights {request.weights} is used by none of the cases {', '.join(cases)}: leave it out.")
    return Plan(
        schema=SCHEMA,
        name=request.name or "-".join(filter(None, [draft.profile_name, request.model])),
        machine=draft.site.machine,
        reason=draft.site.reason,
        profile=draft.profile_name,
        rounds=max(map(draft.rounds_of, cases)),
        pins=[column.pin for column in draft.columns],
        cases=cases,
        data=str(request.data.absolute()) if request.data else None,
        shapes={case: draft.profile.shapes_of(case) for case in cases},
        runs=list(runs_of(draft)),
        weights=str(request.weights.absolute()) if request.weights else None,
        source=str(draft.folder) if draft.folder else None,
        fresh=request.fresh,
        launcher=request.launcher,
    )


def runs_of(draft: Draft) -> Iterator[RunSpec]:
    """All runs in their order: round by round, and of each round the cells in a random one."""
    firsts = {case: first_run(draft, case, digest) for case, digest in digests_of(draft).items()}
    columns = {column.pin.name: column for column in draft.columns}
    cells = [(name, case) for name in columns for case in firsts]
    for number in range(max(map(draft.rounds_of, firsts))):
        for name, case in order_of_round(cells, number):
            if number < draft.rounds_of(case):
                yield run_of(firsts[case], columns[name], number)


def digests_of(draft: Draft) -> dict[str, str]:
    """By case, the digest of the code that its runs can reach."""
    code, package = OwnCode(), draft.model.package
    return {case: code.digest(case, package) for case in draft.cases()}


def first_run(draft: Draft, case: str, digest: str) -> RunSpec:
    """The baseline's run of the case in the first round. What data set it has is known when that is prepared."""
    declared, settings, train = read_case(case), draft.settings_of(case), draft.train_of(case)
    pins = [column.pin for column in draft.columns]
    return RunSpec(
        case=case,
        pin=pins[0],
        round=0,
        seed=0,
        device=draft.site.device,
        precision="fp32" if draft.site.device == "cpu" else train.precision,
        threads=draft.request.threads,
        flags=draft.profile.flags,
        profile=draft.profile_name,
        model=draft.model,
        train=train,
        recipe=draft.matrix.recipes[train.recipe],
        data=Data(name="", digest=""),
        harness=digest,
        settings=told(settings),
        peers=[pin for pin in pins if pin.name != TWIN] if declared.peers else [],
        helpers=[read_helper(name, draft.matrix) for name in declared.helpers],
    )


def told(settings: CaseSettings | None) -> dict[str, Any] | None:
    """Settings as a spec has them."""
    plain: dict[str, Any] | None = msgspec.to_builtins(settings)
    return plain


def run_of(first: RunSpec, column: Column, index: int) -> RunSpec:
    """The run of another pin in another round. The seed is the round, so a round pairs the pins."""
    own = {"fault": column.fault, "instruments": column.instruments, "nudged": column.nudged}
    return replace(first, pin=column.pin, round=index, seed=index, **own)


def usual_profile(request: Request, matrix: MatrixFile, site: Site) -> str:
    """The profile where none is named: by the data and the device, unless a case is named that it does not have. Then
    it is the first in the file that has that case."""
    usual = matrix.defaults.profile(site.device, own_data=request.data is not None)
    for case in request.cases:
        if case not in matrix.profiles[usual].cases:
            others = (name for name, profile in matrix.profiles.items() if case in profile.cases)
            return next(others, usual)
    return usual


def find_site(request: Request, matrix: MatrixFile) -> Site:
    """The device that was asked for and the kind of machine that this is; `UsageError` where the data are not here."""
    require_files(request)
    device, gpu = choose_device(request.device)
    return Site(device, *machine_of(request, matrix, gpu))


def require_files(request: Request) -> None:
    """`UsageError` where the data set or weights that are asked for are not here."""
    if request.data and not request.data.is_file():
        raise UsageError(f"--data {request.data} is not a file: give a data.yaml or a COCO instances_*.json.")
    if request.weights and not request.weights.is_file():
        raise UsageError(f"--weights {request.weights} is not a file: give a .pt checkpoint or a .safetensors file.")


def pin_names_of(request: Request, matrix: MatrixFile, machine: str, policy: Policy) -> list[str]:
    """The pins, the baseline first: as they were named, or the machine kind's with the policy's baseline."""
    if request.pins:
        return unique(request.pins, "--pins")
    names = unique(matrix.machines[machine].pins, f"[machines.{machine}] of {MATRIX.relative_to(ROOT)}")
    baseline = policy.baseline.get(machine)
    if baseline not in names:
        raise UsageError(
            f"{POLICY.relative_to(ROOT)}: [baseline] has {machine} = {baseline!r}, which must be one of the pins of "
            f"[machines.{machine}]: {', '.join(names)}."
        )
    return [baseline, *(name for name in names if name != baseline)]


def machine_of(request: Request, matrix: MatrixFile, gpu: Gpu | None) -> tuple[str, str]:
    """The machine kind and why; pins that were named need no kind that lists the GPU."""
    if request.pins and gpu:
        return gpu.architecture, f"the GPU is {gpu.name}; the pins were named with --pins"
    return choose_machine(matrix.machines, gpu)


def known(entries: Mapping[str, Entry], name: str, what: str, where: str) -> Entry:
    """The entry of that name, or a sentence that lists those there are."""
    if name not in entries:
        raise UsageError(f"There is no {what} {name!r}: {where} has {', '.join(entries)}.")
    return entries[name]


def unique(names: Sequence[str], option: str) -> list[str]:
    """The names as given; one that is named twice is refused, since its records would fall on each other."""
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{option} names {name} twice.")
    return list(names)


def model_entry(matrix: MatrixFile, name: str) -> ModelEntry:
    """What matrix.toml says of a model; `UsageError` where it has none of that name."""
    return known(matrix.models, name, "model", f"[models.*] of {MATRIX.relative_to(ROOT)}")


def model_of(request: Request, matrix: MatrixFile, profile: str) -> str:
    """The name of the model that is asked for, or that the profile has."""
    named = known(matrix.profiles, profile, "profile", f"[profiles.*] of {MATRIX.relative_to(ROOT)}")
    return request.model or named.model


def read_pin(name: str, matrix: MatrixFile, model: str = "") -> Pin:
    """The pin with the digest of its lock, which for a model that has requirements of its own has these too.
    `UsageError` where matrix.toml or cases/locks does not have it, or where it is no version that could be locked."""
    if name == AMBIENT:
        return Pin(name=AMBIENT, torch=None, torchvision=None, python=None, lock=None)
    if name in matrix.pins and model and model_entry(matrix, model).requirements:
        return read_pin_beside(name, matrix, model)
    if name not in matrix.pins or not lock_of(name).exists():
        special = version_of(name)["build"] or is_early(name)
        have = ", ".join(pin for pin in matrix.pins if lock_of(pin).exists())
        raise UsageError(
            f"Pin {name!r} has no lock: make one with `nox -s lock -- {name}`"
            + (" (it comes from an index of its own: give that to uv, see README)" if special else "")
            + f"; locked are {have or 'none'}."
        )
    entry = matrix.pins[name]
    return Pin(name, torch=name, torchvision=entry.torchvision, python=entry.python, lock=digest_of_lock(name))


def read_pin_beside(name: str, matrix: MatrixFile, model: str) -> Pin:
    """The pin with the lock that has the requirements of a model too."""
    entry, locked = matrix.pins[name], locked_name(name, model)
    if not lock_of(locked).exists():
        raise UsageError(
            f"The model {model!r} has requirements of its own, and pin {name!r} has no lock with them: make it with "
            f"`nox -s lock -- {name} --model {model}`."
        )
    return Pin(name, name, entry.torchvision, entry.python, digest_of_lock(locked), beside=model)


def read_helper(name: str, matrix: MatrixFile) -> Helper:
    """The environment of that name with the digest of its lock; `UsageError` where matrix.toml or cases/locks does not
    have it."""
    entry = known(matrix.environments, name, "environment", f"[environments.*] of {MATRIX.relative_to(ROOT)}")
    if not lock_of(name).exists():
        raise UsageError(f"The environment {name!r} has no lock: make one with `nox -s lock -- {name}`.")
    return Helper(name, entry.python, digest_of_lock(name))


def digest_of_lock(name: str) -> str:
    """sha256 of the lock file of that name."""
    return hashlib.sha256(lock_of(name).read_bytes()).hexdigest()
