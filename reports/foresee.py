"""`python -m reports.foresee PLANS`: print what the plans in a file that `harness.conduct plan --plans` has left will
be able to tell."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.hardware import hardware_of
from harness.core.plan import RESULTS, Plan, read_plans
from harness.core.policy import Policy, read_policy
from reports.evidence.earlier import earlier_matrices
from reports.judge.foresight import foresee
from reports.show.foresight import foresight_on_terminal
from reports.show.text import one_line


def main(arguments: list[str]) -> int:
    """Exit code 0, or 2 for bad input."""
    try:
        if len(arguments) != 1:
            raise UsageError("Name the file of the plans: nox -s plan does.")
        plans, policy = read_plans(Path(arguments[0])), read_policy()
        said = [told_of(plan, policy, name=len(plans) > 1) for plan in plans]
    except UsageError as error:
        print(f"error: {one_line(str(error), 2000)}", file=sys.stderr)
        return 2
    print("\n" + "\n\n".join(said))  # below the plan
    return 0


def told_of(plan: Plan, policy: Policy, *, name: bool) -> str:
    """What a plan will be able to tell, with `name` below that of the machine's kind."""
    hardware = hardware_of(plan.runs[0].device)
    earlier = earlier_matrices(RESULTS, plan, hardware) if hardware else []
    told = foresight_on_terminal(foresee(plan, policy, earlier))
    return f"{one_line(plan.machine)}:\n{told}" if name else told


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
