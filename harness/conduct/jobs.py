"""The jobs of CI: one for each machine kind, so that the pins of a kind stay paired on one machine."""

from __future__ import annotations

from collections.abc import Sequence

from harness.conduct.arguments import Asked
from harness.conduct.machine import Site, gpu_number
from harness.conduct.planning import MATRIX, known, plan, require_files, unique
from harness.conduct.request import Request
from harness.core.errors import UsageError
from harness.core.files import ROOT
from harness.core.matrix import MatrixFile
from harness.core.plan import HERE, Plan
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


def check_jobs(asked: Asked) -> None:
    """`UsageError` where --machines, --jobs and --launcher do not stand together, or where runs would begin."""
    if asked.request.launcher != HERE:
        if asked.jobs or asked.proofs or len(asked.machines) != 1:
            raise UsageError(
                f"--launcher {asked.request.launcher} does a matrix on machines of one kind: name that with "
                "--machines KIND, and leave out --jobs (proofs are of the machine that they are run on)."
            )
        require_files(asked.request)
        return
    if not asked.machines and not asked.jobs:
        return
    if asked.handoff:
        raise UsageError("--machines and --jobs plan for other machines: give them to nox -s plan only.")
    if not asked.machines or not asked.jobs:
        raise UsageError("--machines and --jobs go together: name the machine kinds and the file for their jobs.")
    for option, path in {"--data": asked.request.data, "--weights": asked.request.weights}.items():
        if path and not path.is_absolute():
            raise UsageError(f"{option} {path} is nowhere on another machine: with --machines give an absolute path.")


def plan_elsewhere(kinds: Sequence[str], request: Request, matrix: MatrixFile, policy: Policy) -> list[Plan]:
    """The plan that each kind of machine would make; `UsageError` for a kind that matrix.toml does not have, or where
    their results would not fit into one report."""
    for kind in unique(kinds, "--machines"):
        known(matrix.machines, kind, "machine kind", f"[machines.*] of {MATRIX.relative_to(ROOT)}")
    plans = [plan(request, matrix, policy, site_of(kind, request.device)) for kind in kinds]
    if len({made.profile for made in plans}) > 1:
        would = ", ".join(f"{made.machine} {made.profile}" for made in plans)
        raise UsageError(f"The machines would run different profiles ({would}): name one for all with --profile.")
    return plans


def site_of(kind: str, device: str) -> Site:
    """Where a machine of the kind would run; no GPU is needed here."""
    if device == "auto":
        device = "cpu" if kind == "cpu" else "cuda:0"
    if device != "cpu":
        gpu_number(device)
    if (device == "cpu") != (kind == "cpu"):
        raise UsageError(f"--device {device} is not where a machine of the kind {kind} runs: leave out one of them.")
    return Site(device, kind, "the kind was named with --machines")


def job_of(made: Plan, request: Request) -> Job:
    """The job that does the plan of a request. It names the device: a runner whose GPU is gone then fails, and does not
    turn to its CPU. Pins are named only where they were: a machine finds those of its kind by itself."""
    options = {
        "profile": [request.profile],
        "pins": request.pins,
        "case": request.cases,
        "model": [request.model],
        "rounds": [request.rounds],
        "data": [request.data],
        "weights": [request.weights],
        "threads": [request.threads if request.threads != 1 else None],
    }
    arguments = ["--device", made.runs[0].device]
    for option, values in options.items():
        said = [str(value) for value in values if value is not None]
        arguments += [f"--{option}", *said] if said else []
    pins = [pin.name for pin in made.pins if pin.name != TWIN]
    return Job(machine=made.machine, labels=[*LABELS, made.machine], pins=pins, arguments=arguments)
