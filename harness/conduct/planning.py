"""From the arguments and the machine to a plan: every run that will be done, in order."""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from harness.conduct.machine import Gpu, choose_device, choose_machine
from harness.core.errors import UsageError
from harness.core.files import ROOT
from harness.core.matrix import MatrixFile, Profile
from harness.core.plan import PROOFS, SCHEMA, Plan, harness_digest, order_of_round
from harness.core.policy import POLICY, Policy
from harness.core.settings import CASES_WITH, CaseSettings, DeviceSettings
from harness.core.spec import AMBIENT, PACE, TWIN, Data, Fault, Peer, Pin, RunSpec

MATRIX = ROOT / "cases" / "matrix.toml"
LOCKS = ROOT / "cases" / "locks"


Entry = TypeVar("Entry")

CALLS_PEERS = ("resume",)
"""The cases that carry something from pin to pin."""

STABILITY = "stability"
"""The profile that has the cases of stability."""

PLAIN_LOOP = "plain loop"
"""The copy of the baseline whose training loop has no instruments."""

NARROW = 1 / 3
"""The share of the margin that the interval of a candidate's pace may be wide, on either side, when laps end: then
any difference below two thirds of the margin can be told to be inside it, and any above four thirds to be beyond."""


@dataclass(frozen=True)
class Place:
    """Where a matrix runs: device, machine kind, and why that kind."""

    device: str
    machine: str
    reason: str


def make_plan(asked: argparse.Namespace, matrix: MatrixFile, policy: Policy, elsewhere: Place | None = None) -> Plan:
    """The plan for these arguments, on this machine or elsewhere; `UsageError` for any name that is not known."""
    place = elsewhere or find_place(asked, matrix)
    profile = asked.profile or usual_profile(asked, matrix, place)
    names = pin_names_of(asked, matrix, place.machine, policy)
    baseline, *candidates = [read_pin(name, matrix) for name in names]
    return assemble(asked, matrix, policy, place, profile, baseline, {pin.name: (pin, {}) for pin in candidates})


def usual_profile(asked: argparse.Namespace, matrix: MatrixFile, place: Place) -> str:
    """The profile where none is named: `stability` where one of its cases is, else by the data and the device."""
    stability = matrix.profiles.get(STABILITY)
    if stability and any(case in stability.cases for case in asked.case or ()):
        return STABILITY
    return "full" if asked.data and place.device != "cpu" else "quick"


def make_proof(asked: argparse.Namespace, matrix: MatrixFile, policy: Policy, name: str) -> Plan:
    """The plan of one `[proofs.NAME]`: the baseline, its twin, and copies that differ by one planted thing."""
    place = find_place(asked, matrix)
    proof = known(matrix.proofs, name, "proof", f"[proofs.*] of {MATRIX.relative_to(ROOT)}")
    baseline = read_pin(pin_names_of(asked, matrix, place.machine, policy)[0], matrix)
    changes: dict[str, dict[str, object]] = {
        kind: {"fault": Fault(kind=kind, size=size)} for kind, size in proof.faults.items()
    }
    if proof.plain_loop:
        changes[PLAIN_LOOP] = {"instruments": False}
    copies = {copy: (replace(baseline, name=copy), change) for copy, change in changes.items()}
    plan = assemble(asked, matrix, policy, place, proof.profile, baseline, copies)
    return replace(plan, name=f"{PROOFS}/{name}", calibrates=bool(proof.faults))


def find_place(asked: argparse.Namespace, matrix: MatrixFile) -> Place:
    """The device that was asked for and the kind of machine that this is."""
    device, gpu = choose_device(asked.device)
    return Place(device, *machine_of(asked, matrix, gpu))


def assemble(
    asked: argparse.Namespace,
    matrix: MatrixFile,
    policy: Policy,
    place: Place,
    profile_name: str,
    baseline: Pin,
    others: dict[str, tuple[Pin, dict[str, object]]],
) -> Plan:
    """The plan of a baseline, its twin and others, each with what is changed in its specs."""
    profile = known(matrix.profiles, profile_name, "profile", f"[profiles.*] of {MATRIX.relative_to(ROOT)}")
    cases = [known_case(case) for case in unique(asked.case or profile.cases, "--case")]
    if asked.data and not asked.machines and not asked.data.is_file():  # other machines have data of their own
        raise UsageError(f"--data {asked.data} is not a file: give a data.yaml or a COCO instances_*.json.")
    for case in cases:
        if case in CASES_WITH and profile.settings_of(case) is None:
            table = f"[profiles.{profile_name}.{case}]"
            raise UsageError(f"The profile {profile_name!r} has no {table}, which the case needs.")
    rounds = {case: asked.rounds or profile.rounds_of(case) for case in cases}
    common = RunSpec(
        case=cases[0],
        pin=baseline,
        round=0,
        seed=0,
        device=place.device,
        precision="fp32",
        threads=asked.threads,
        flags=profile.flags,
        profile=profile_name,
        train=profile.train,
        recipe=matrix.recipes[profile.train.recipe],  # this and `train` as each case has them
        data=Data(name="", digest="", index=""),
        harness="",
    )
    cells = {baseline.name: (baseline, {}), TWIN: (replace(baseline, name=TWIN), {}), **others}
    code = {case: harness_digest(case) for case in cases}
    sittings = profile.pace.sittings if PACE in cases and profile.pace else 1
    pins = [pin for pin, _ in cells.values()]
    runs = [
        replace(
            common,
            case=case,
            pin=cells[name][0],
            round=index,
            seed=index,  # the seed is the round, so that a round pairs the pins
            harness=code[case],
            precision="fp32" if place.device == "cpu" else profile.train_of(case).precision,
            train=profile.train_of(case),
            recipe=matrix.recipes[profile.train_of(case).recipe],
            settings=settings_of(profile, case, asked.device),
            peers=[Peer(pin) for pin in pins if pin.name != TWIN] if case in CALLS_PEERS else [],
            **cells[name][1],
        )
        for number in range(max(rounds.values()))
        for name, case in order_of_round([(name, case) for name in cells for case in cases], number)
        if number < rounds[case]
        for index in (range(number * sittings, (number + 1) * sittings) if case == PACE else (number,))
    ]
    return Plan(
        schema=SCHEMA,
        name=asked.name or profile_name,
        machine=place.machine,
        reason=place.reason,
        profile=profile_name,
        rounds=max(rounds.values()),
        pins=pins,
        cases=cases,
        data=str(asked.data.absolute()) if asked.data else None,
        shapes={case: profile.shapes_of(case) for case in cases},
        runs=runs,
        fresh=asked.fresh,
        laps_until=NARROW * (policy.margin(PACE) or 0.0),
    )


def settings_of(profile: Profile, case: str, device: str) -> CaseSettings | None:
    """What is said of the case alone. A device that was named is the only one that the case `device` may use."""
    settings = profile.settings_of(case)
    if isinstance(settings, DeviceSettings) and device != "auto":
        return replace(settings, wanted=[device])
    return settings


def pin_names_of(asked: argparse.Namespace, matrix: MatrixFile, machine: str, policy: Policy) -> list[str]:
    """The pins, the baseline first: as they were named, or the machine kind's with the policy's baseline."""
    if asked.pins:
        return unique(asked.pins, "--pins")
    names = unique(matrix.machines[machine].pins, f"[machines.{machine}] of {MATRIX.relative_to(ROOT)}")
    baseline = policy.baseline.get(machine)
    if baseline not in names:
        raise UsageError(
            f"{POLICY.relative_to(ROOT)}: [baseline] has {machine} = {baseline!r}, which must be one of the pins of "
            f"[machines.{machine}]: {', '.join(names)}."
        )
    return [baseline, *(name for name in names if name != baseline)]


def machine_of(asked: argparse.Namespace, matrix: MatrixFile, gpu: Gpu | None) -> tuple[str, str]:
    """The machine kind and why; pins that were named need no kind that lists the GPU."""
    if asked.pins and gpu:
        return gpu.architecture, f"the GPU is {gpu.name}; the pins were named with --pins"
    return choose_machine(matrix.machines, gpu)


def known(entries: dict[str, Entry], name: str, what: str, where: str) -> Entry:
    """The entry of that name, or a sentence that lists those there are."""
    if name not in entries:
        raise UsageError(f"There is no {what} {name!r}: {where} has {', '.join(entries)}.")
    return entries[name]


def known_case(case: str) -> str:
    """The case's name if cases/ has its file, or a sentence that lists those there are."""
    names = sorted(path.stem.replace("_", "-") for path in (ROOT / "cases").glob("[a-z]*.py"))
    if case not in names:
        raise UsageError(f"There is no case {case!r}: cases/ has {', '.join(names)}.")
    return case


def unique(names: list[str], option: str) -> list[str]:
    """The names as given; one that is named twice is refused, since its records would fall on each other."""
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{option} names {name} twice.")
    return list(names)


def read_pin(name: str, matrix: MatrixFile) -> Pin:
    """The pin with the digest of its lock; `UsageError` where matrix.toml or cases/locks does not have it."""
    if name == AMBIENT:
        return Pin(name=AMBIENT, torch=None, torchvision=None, python=None, lock=None)
    lock: Path = LOCKS / f"{name}.txt"
    if name not in matrix.pins or not lock.exists():
        have = ", ".join(pin for pin in matrix.pins if (LOCKS / f"{pin}.txt").exists())
        raise UsageError(
            f"Pin {name!r} has no lock: make one with `nox -s lock -- {name}`"
            + (" (its build comes from an index of its own: give it to uv, see README)" if "+" in name else "")
            + f"; locked are {have or 'none'}."
        )
    entry = matrix.pins[name]
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    return Pin(name=name, torch=name, torchvision=entry.torchvision, python=entry.python, lock=digest)
