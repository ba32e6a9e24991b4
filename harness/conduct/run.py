"""The matrix at work: every planned run that has no valid record yet is done by a launcher."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from harness.conduct.alone import Say, alone_on_machine
from harness.conduct.environments import in_use
from harness.conduct.folder import sole_use
from harness.conduct.launcher import Board, Group, Launcher, groups_of
from harness.core.errors import UsageError
from harness.core.plan import Plan
from harness.core.record import Record, Status
from harness.core.spec import RunSpec


@dataclass(frozen=True)
class Outcome:
    """What became of one run. `measuring`: seconds in which something was measured, now and not before."""

    spec: RunSpec
    status: Status
    reason: str | None
    measuring: float
    reused: bool


@contextlib.contextmanager
def at_work(plan: Plan, results: Path, *, here: bool, say: Say) -> Iterator[None]:
    """Hold what nobody else may touch while the runs of a plan are done: the results folder, the environments, and
    where the runs are done `here` the machine. `say` is told for whom one waits; `UsageError` where that is no use."""
    what = f"measuring for {results.absolute()}"
    with contextlib.ExitStack() as stack:
        stack.enter_context(sole_use(results))
        if here:
            stack.enter_context(alone_on_machine(what, say))
        stack.enter_context(in_use(plan.environments(), what, say))
        yield


def run(plan: Plan, launcher: Launcher, board: Board, wanted: Callable[[Group], bool] | None = None) -> list[Outcome]:
    """Do every run of the plan, or of its groups that are `wanted`, that has no valid record yet. What fails is
    recorded, and the others go on.

    Raises `UsageError` where nothing can be run at all, or where a plan plants faults and is not a calibration's.
    """
    if not plan.calibrates and any(spec.fault for spec in plan.runs):
        raise UsageError(f"The plan {plan.name} plants faults and is not a calibration's: plan the matrix again.")
    plan = with_inputs(plan, launcher, board)
    groups = [group for group in groups_of(plan) if wanted is None or wanted(group)]
    # all at once and before the first run, so that one that cannot be read is not found after days
    kept = [None if plan.fresh else launcher.kept(group) for group in groups]
    launcher.begin(plan)
    outcomes = []
    for record in (record for records in kept for record in records or []):
        board.end(record.spec, record, reused=True)
        outcomes.append(outcome_of(record, reused=True))
    for records in launcher.do((group for group, had in zip(groups, kept) if not had), board):
        outcomes += [outcome_of(record, reused=False) for record in records]
    return outcomes


def with_inputs(plan: Plan, launcher: Launcher, board: Board) -> Plan:
    """The plan whose specs name data sets and weights, which are prepared where the runs will be done."""
    given = launcher.prepare(plan, board)
    runs = [replace(spec, data=given[spec.case].data, weights=given[spec.case].weights) for spec in plan.runs]
    return replace(plan, runs=runs)


def outcome_of(record: Record, *, reused: bool) -> Outcome:
    """What a record says of its run, without its samples: a matrix may have ten thousand."""
    measuring = 0.0 if reused else record.measuring
    return Outcome(record.spec, record.status, record.reason, measuring, reused)
