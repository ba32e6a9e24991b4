"""The seam between what is done and where: a plan's runs in groups, and what does them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from harness.conduct.process import Event
from harness.core.cases import read_case
from harness.core.plan import Plan
from harness.core.record import Record
from harness.core.spec import Data, RunSpec, Weights


@dataclass(frozen=True)
class Inputs:
    """What the runs of a case are given."""

    data: Data
    weights: Weights | None


@dataclass(frozen=True)
class Group:
    """Runs that have to be done on one machine: one by itself, or those that take turns."""

    runs: list[RunSpec]
    turns: bool
    """Whether they take turns."""
    rounds: int
    """How many of such groups there are in all."""
    fresh: bool
    """Whether nothing of an earlier try is used."""


def groups_of(plan: Plan) -> list[Group]:
    """The groups of a plan, in the order in which they are to be done."""
    return [
        Group(runs, read_case(runs[0].case).turns is not None, plan.rounds_of(runs[0].case), plan.fresh)
        for runs in plan.groups()
    ]


class Board(Protocol):
    """What shows progress."""

    def note(self, sentence: str) -> None: ...
    def say(self, text: str) -> None: ...
    def begin(self, spec: RunSpec) -> None: ...
    def hear(self, spec: RunSpec, event: Event) -> None: ...
    def end(self, spec: RunSpec, record: Record, reused: bool) -> None: ...


class Launcher(Protocol):
    """Does runs somewhere, and keeps their records there. Paths, interpreters and nodes are its own business.

    `launchers.py` has the name of each, and how it is made.
    """

    here: bool
    """Whether the runs are done on this machine, which is then held against others."""

    def prepare(self, plan: Plan, board: Board) -> dict[str, Inputs]:
        """Make ready for the plan, and prepare data set and weights of every case where its runs will be done.

        `UsageError` where nothing can be run at all: no environment, no room, bad data or weights.
        """

    def begin(self, plan: Plan) -> None:
        """From now on the plan, with its data sets and weights, is what the records answer."""

    def kept(self, group: Group) -> list[Record] | None:
        """The records of an earlier try, where all of the group are valid; else None: it has to be done."""

    def do(self, groups: Iterable[Group], board: Board) -> Iterator[list[Record]]:
        """Do groups and give the records of each when it has ended. A run that fails has a record of that, and the
        others go on. The board hears of every run's beginning, events and end."""
