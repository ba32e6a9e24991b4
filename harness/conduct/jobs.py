"""The jobs of CI: one for each machine kind, so that the pins of a kind stay paired on one machine."""

from __future__ import annotations

import argparse

from harness.conduct.machine import gpu_number
from harness.conduct.planning import MATRIX, Place, known, make_plan, unique
from harness.core.errors import UsageError
from harness.core.files import ROOT
from harness.core.matrix import MatrixFile
from harness.core.plan import Plan
from harness.core.policy import Policy
from harness.core.settings import Strict
from harness.core.spec import TWIN

LABELS = ("self-hosted", "torch-matrix")
"""What every runner of the matrix is labelled with, beside its machine kind."""


class Job(Strict, frozen=True):
    """One job: where it runs, what it compares, and the words that follow `nox -s matrix --` there."""

    machine: str
    labels: list[str]
    pins: list[str]
    arguments: list[str]


def check_jobs(asked: argparse.Namespace) -> None:
    """`UsageError` where --machines and --jobs do not stand together, or where runs would begin."""
    if not asked.machines and not asked.jobs:
        return
    if asked.handoff:
        raise UsageError("--machines and --jobs plan for other machines: give them to nox -s plan only.")
    if not asked.machines or not asked.jobs:
        raise UsageError("--machines and --jobs go together: name the machine kinds and the file for their jobs.")
    if asked.data and not asked.data.is_absolute():
        raise UsageError(f"--data {asked.data} is nowhere on another machine: with --machines give an absolute path.")


def make_plans(asked: argparse.Namespace, matrix: MatrixFile, policy: Policy) -> list[Plan]:
    """The plan that each kind of --machines would make; `UsageError` for a kind that matrix.toml does not have, or
    where their results would not fit into one report."""
    for kind in unique(asked.machines, "--machines"):
        known(matrix.machines, kind, "machine kind", f"[machines.*] of {MATRIX.relative_to(ROOT)}")
    plans = [make_plan(asked, matrix, policy, place_of(kind, asked.device)) for kind in asked.machines]
    if len({plan.profile for plan in plans}) > 1:
        would = ", ".join(f"{plan.machine} {plan.profile}" for plan in plans)
        raise UsageError(f"The machines would run different profiles ({would}): name one for all with --profile.")
    return plans


def place_of(kind: str, device: str) -> Place:
    """Where a machine of the kind would run; no GPU is needed here."""
    if device == "auto":
        device = "cpu" if kind == "cpu" else "cuda:0"
    if device != "cpu":
        gpu_number(device)
    if (device == "cpu") != (kind == "cpu"):
        raise UsageError(f"--device {device} is not where a machine of the kind {kind} runs: leave out one of them.")
    return Place(device, kind, "the kind was named with --machines")


def job_of(plan: Plan, asked: argparse.Namespace) -> Job:
    """The job that does the plan. It names the device: a runner whose GPU is gone then fails, and does not turn to its
    CPU. Pins are named only where they were: a machine finds those of its kind by itself."""
    arguments = ["--device", plan.runs[0].device]
    for option in ("profile", "pins", "case", "rounds", "data"):
        value = getattr(asked, option)
        if value:
            arguments += [f"--{option}", *map(str, value if isinstance(value, list) else [value])]
    if asked.threads != 1:
        arguments += ["--threads", str(asked.threads)]
    pins = [pin.name for pin in plan.pins if pin.name != TWIN]
    return Job(machine=plan.machine, labels=[*LABELS, plan.machine], pins=pins, arguments=arguments)
