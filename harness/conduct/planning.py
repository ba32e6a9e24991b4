"""From the arguments and the machine to a plan: every run that will be done, in order."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from msgspec.structs import replace

from harness.conduct.machine import Gpu, choose_device, choose_machine
from harness.core.errors import UsageError
from harness.core.files import ROOT
from harness.core.plan import SCHEMA, Plan, harness_digest, order_of_round
from harness.core.spec import AMBIENT, Data, MatrixFile, Pin, Profile, RunSpec

MATRIX = ROOT / "cases" / "matrix.toml"
LOCKS = ROOT / "cases" / "locks"


def make_plan(asked: argparse.Namespace, matrix: MatrixFile) -> Plan:
    """The plan for these arguments on this machine; `UsageError` for any name that is not known."""
    device, gpu = choose_device(asked.device)
    machine, reason = machine_of(asked, matrix, gpu)
    profile_name = asked.profile or ("full" if asked.data and gpu else "quick")
    profile = known(matrix.profiles, profile_name, "profile", f"[profiles.*] of {MATRIX.relative_to(ROOT)}")
    source = "--pins" if asked.pins else f"[machines.{machine}] of {MATRIX.relative_to(ROOT)}"
    pin_names = unique(asked.pins or matrix.machines[machine].pins, source)
    pins = [read_pin(name, matrix) for name in pin_names]
    cases = [known_case(case) for case in unique(asked.case or profile.cases, "--case")]
    if asked.data and not asked.data.is_file():
        raise UsageError(f"--data {asked.data} is not a file: give a data.yaml or a COCO instances_*.json.")
    rounds = asked.rounds or profile.rounds
    common = RunSpec(
        case=cases[0],
        pin=pins[0],
        round=0,
        seed=0,
        device=device,
        precision="fp32" if device == "cpu" else profile.train.precision,
        threads=asked.threads,
        flags=profile.flags,
        profile=profile_name,
        train=profile.train,
        recipe=matrix.recipes[profile.train.recipe],
        data=Data(name="", digest="", index=""),
        harness="",
    )
    by_name = {pin.name: pin for pin in pins}
    code = {case: harness_digest(case) for case in cases}
    runs = [
        # the seed is the round, so that a round pairs the pins
        replace(common, case=case, pin=by_name[pin], round=number, seed=number, harness=code[case])
        for number in range(rounds)
        for pin, case in order_of_round([(pin, case) for pin in by_name for case in cases], number)
    ]
    data = str(asked.data.absolute()) if asked.data else None
    return Plan(
        schema=SCHEMA,
        name=asked.name or profile_name,
        machine=machine,
        reason=reason,
        profile=profile_name,
        rounds=rounds,
        pins=pins,
        cases=cases,
        data=data,
        shapes=profile.shapes,
        runs=runs,
        fresh=asked.fresh,
    )


def machine_of(asked: argparse.Namespace, matrix: MatrixFile, gpu: Gpu | None) -> tuple[str, str]:
    """The machine kind and why; pins that were named need no kind that lists the GPU."""
    if asked.pins and gpu:
        return gpu.architecture, f"the GPU is {gpu.name}; the pins were named with --pins"
    return choose_machine(matrix.machines, gpu)


def known(entries: dict[str, Profile], name: str, what: str, where: str) -> Profile:
    """The entry of that name, or a sentence that lists those there are."""
    if name not in entries:
        raise UsageError(f"There is no {what} {name!r}: {where} has {', '.join(entries)}.")
    return entries[name]


def known_case(case: str) -> str:
    """The case's name if cases/ has its file, or a sentence that lists those there are."""
    names = sorted(path.stem for path in (ROOT / "cases").glob("[a-z]*.py"))
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
