"""The seam between what is done and where: a plan's runs in groups, and what does them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from harness.conduct.process import Event
from harness.core.cases import read_case
from harness.core.plan import Plan
from harness.core.record import Record
from harness.core.spec import Data, RunSpec


@dataclass(frozen=True)
class Group:
    """Runs that have to be done on one machine: one by itself, or those of a sitting, which take turns."""

    runs: list[RunSpec]
    baseline: str
    """The name of the pin that the others are held against."""
    until: float | None
    """Of a sitting the half-width, as a share, of every candidate's interval at which it has told enough; None: the run
    is done by itself."""
    fresh: bool
    """Whether nothing of an earlier try is used."""


def groups_of(plan: Plan) -> list[Group]:
    """The groups of a plan, in the order in which they are to be done."""
    return [Group(runs, plan.pins[0].name, until_in(plan, runs[0].case), plan.fresh) for runs in plan.groups()]


def until_in(plan: Plan, case: str) -> float | None:
    """`Group.until` of a case: of one sitting so much less is asked that all together reach what is wanted."""
    if not read_case(case).turns:
        return None
    return plan.laps_until.get(case, 0.0) * math.sqrt(plan.rounds_of(case))


class Board(Protocol):
    """What shows progress."""

    def note(self, sentence: str) -> None: ...
    def begin(self, spec: RunSpec) -> None: ...
    def hear(self, spec: RunSpec, event: Event) -> None: ...
    def end(self, spec: RunSpec, record: Record, reused: bool) -> None: ...


class Launcher(Protocol):
    """Does runs somewhere, and keeps their records there. Paths, interpreters and nodes are its own business."""

    def prepare(self, plan: Plan, board: Board) -> dict[str, Data]:
        """Make ready for the plan, and prepare the data set of every case where its runs will be done.

        `UsageError` where nothing can be run at all: no environment, no room, bad data.
        """

    def begin(self, plan: Plan) -> None:
        """From now on the plan, with its data sets, is what the records answer."""

    def kept(self, group: Group) -> list[Record] | None:
        """The records of an earlier try, where all of the group are valid; else None: it has to be done."""

    def do(self, groups: Iterable[Group], board: Board) -> Iterator[list[Record]]:
        """Do groups and give the records of each when it has ended. A run that fails has a record of that, and the
        others go on. The board hears of every run's beginning, events and end."""
