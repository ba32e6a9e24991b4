"""Earlier matrices: the results folders of this machine in which the work of a plan has been done before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.plan import PLAN_FILE, PROOFS, Plan, read_plan
from harness.core.spec import RunSpec
from reports.evidence.figures import Matrix, read_matrix_figures

ALIKE = ("device", "precision", "threads", "flags", "model", "train", "recipe", "settings")
"""What the runs of a case must have in common to be as noisy. How many there are, of which pins, may differ."""


@dataclass(frozen=True)
class Earlier:
    """A matrix that was run before, and the folder that it lies in."""

    folder: Path
    matrix: Matrix

    @property
    def day(self) -> date | None:
        """The last day on which a run of it ended; None where no record gives one."""
        return self.matrix.days[-1] if self.matrix.days else None

    @property
    def ended(self) -> str:
        """When its last run ended, in UTC; empty where none did."""
        return max((one.ended for one in self.matrix.observations), default="")


def earlier_matrices(results: Path, plan: Plan, hardware: str) -> list[Earlier]:
    """The matrices in `results` that have done a case of the plan on this hardware, and it alone, the newest first;
    after all others those of proofs. A folder that cannot be read tells nothing."""
    found = []
    for where in (results, results / PROOFS):
        folders = sorted(path.parent for path in where.glob(f"*/{PLAN_FILE}"))
        read = [one for folder in folders if (one := read_earlier(folder, plan)) and one.matrix.hardware == [hardware]]
        found += sorted(read, key=lambda one: one.ended, reverse=True)
    return found


def read_earlier(folder: Path, plan: Plan) -> Earlier | None:
    """What lies in a results folder; None where it cannot be read, or has done no case of the plan."""
    try:
        earlier = read_plan(folder / PLAN_FILE)
        if not any(same_work(earlier, plan, case) for case in plan.cases):
            return None
        return Earlier(folder, read_matrix_figures(folder))
    except UsageError:
        return None


def same_work(earlier: Plan, plan: Plan, case: str) -> bool:
    """Whether two plans do a case alike: on one kind of machine, with one baseline, settings and data set."""
    one, other = first_run(earlier, case), first_run(plan, case)
    if one is None or other is None:
        return False
    return (
        earlier.machine == plan.machine
        and earlier.pins[0].name == plan.pins[0].name
        and (earlier.data, earlier.weights) == (plan.data, plan.weights)
        and earlier.shapes.get(case) == plan.shapes.get(case)
        and all(getattr(one, name) == getattr(other, name) for name in ALIKE)
    )


def first_run(plan: Plan, case: str) -> RunSpec | None:
    """The first run of a case that the plan has, of a pin without a planted fault; None where it has none."""
    return next((run for run in plan.runs if run.case == case and not run.fault), None)
