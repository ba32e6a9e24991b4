"""The launchers by name: one line each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.conduct.launcher import Launcher
from harness.conduct.planning import known
from harness.conduct.slurm.launcher import slurm_for
from harness.conduct.this_machine import ThisMachine
from harness.core.matrix import MatrixFile
from harness.core.plan import HERE, Plan

LAUNCHERS: dict[str, Callable[[Plan, Path, Path, MatrixFile], Launcher]] = {
    HERE: lambda _plan, results, ambient, _matrix: ThisMachine(results, ambient),
    "slurm": slurm_for,
}


def launcher_of(plan: Plan, results: Path, ambient: Path, matrix: MatrixFile) -> Launcher:
    """The launcher that a plan names; `UsageError` where it cannot be used for that plan, or here."""
    return known(LAUNCHERS, plan.launcher, "launcher", "conduct/launchers.py")(plan, results, ambient, matrix)
