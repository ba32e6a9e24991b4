"""From the matrix file to runs: which cells, in which order. A round is one pass over all cells, shuffled anew."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Optional

import msgspec
from msgspec import Meta

from harness.core.cases import read_case
from harness.core.errors import UsageError
from harness.core.files import read_text, to_json, write_atomically
from harness.core.settings import Shapes, Strict
from harness.core.spec import Helper, Locked, Pin, RunSpec

SCHEMA = 6
PLAN_FILE = "plan.json"
"""What a results folder answers: written when the data set is known, and read by the reports."""
RESULTS = Path("results")
"""The folder of all results folders."""
PROOFS = "proofs"
"""The folder in results/ that has the matrices of `nox -s calibrate` and `nox -s bench`, and what they proved."""
HERE = "this-machine"
"""The launcher that does runs on the machine where the matrix is started."""
ASKED_FILE = "asked.json"
"""The same before that: until its runs begin, a new plan leaves those of the last one as they are."""


class Plan(Strict, frozen=True):
    """One matrix: the runs in the order in which they are done. The first pin of `pins` is the baseline, the second
    its twin.

    Until all is prepared the specs carry an empty data digest and no weights; `data` and `weights` are what was asked
    for (a path; None for the embedded shapes, and for weights that follow from the case).
    """

    schema: int
    name: str
    machine: str
    reason: str
    profile: str
    rounds: int
    """Of the case that has the most."""
    pins: Annotated[list[Pin], Meta(min_length=1)]
    cases: list[str]
    data: Optional[str]
    shapes: dict[str, Shapes]
    """By case, what is drawn where `data` is None."""
    runs: Annotated[list[RunSpec], Meta(min_length=1)]
    weights: Optional[str] = None
    source: Optional[str] = None
    """The folder of the model, where it lies outside of the project."""
    fresh: bool = False
    """Whether runs are done again that have a valid record."""
    calibrates: bool = False
    """Whether faults may be planted: only `nox -s calibrate` plans so."""
    launcher: str = HERE
    """What does its runs, by its name in `conduct/launchers.py`."""

    def able(self, case: str) -> bool:
        """Whether the case, planned or not, can be run with the model: with a folder that has none, only a command."""
        return bool(read_case(case).command) or all(run.model.package for run in self.runs)

    def rounds_of(self, case: str) -> int:
        """How many runs of the case each pin has."""
        return 1 + max((run.round for run in self.runs if run.case == case), default=-1)

    def rounds_by_case(self) -> dict[str, int]:
        """How many rounds each case has."""
        return {case: self.rounds_of(case) for case in self.cases}

    def helpers(self) -> list[Helper]:
        """The environments beside the pins' that its runs call on."""
        return [*{helper.name: helper for run in self.runs for helper in run.helpers}.values()]

    def environments(self) -> list[Locked]:
        """All that has an environment: the pins and the helpers."""
        return [*self.pins, *self.helpers()]

    def groups(self) -> list[list[RunSpec]]:
        """The runs as they are done, one group after another: those that take turns together, the baseline first, all
        others alone."""
        groups: dict[object, list[RunSpec]] = {}
        for place, run in enumerate(self.runs):
            groups.setdefault((run.case, run.round) if read_case(run.case).turns else place, []).append(run)
        baseline = self.pins[0].name
        return [sorted(group, key=lambda run: run.pin.name != baseline) for group in groups.values()]


def order_of_round(cells: Sequence[tuple[str, str]], round_index: int) -> list[tuple[str, str]]:
    """The cells (pin, case) of one round in random order: seeded, so that a plan can be made again, and never by
    version. All cells of a case that takes turns sit together, and take one place.

    One shuffle serves as many rounds as there are places, each starting one later (a Latin square): over these,
    every cell has been in every place once. Shuffled anew each round, two pins could run in one order throughout.
    """
    by_case: dict[str, list[tuple[str, str]]] = {}
    for cell in sorted(cells):
        if read_case(cell[1]).turns:
            by_case.setdefault(cell[1], []).append(cell)
    places = [[cell] for cell in sorted(cells) if cell[1] not in by_case] + list(by_case.values())
    block, turn = divmod(round_index, len(places))
    random.Random(f"block {block}").shuffle(places)
    return [cell for place in places[turn:] + places[:turn] for cell in place]


def order_of_seats(seats: int, case: str, sitting: int) -> list[int]:
    """In which order the processes of a sitting, by their places in the plan, are started; a Latin square as in
    `order_of_round`: in as many sittings as there are seats, everybody is once the first, the second, and so on."""
    block, turn = divmod(sitting, seats)
    order = list(range(seats))
    random.Random(f"seats of {case}, block {block}").shuffle(order)
    return order[turn:] + order[:turn]


def write_plan(path: Path, plan: Plan) -> None:
    """Keep a plan, as `ASKED_FILE` or `PLAN_FILE` of a results folder."""
    write_atomically(path, to_json(plan))


def read_plan(path: Path) -> Plan:
    """Read a plan; `UsageError` where there is none or it is of another schema."""
    if not path.exists():
        raise UsageError(f"{path.parent} holds no {path.name}: nox -s matrix has not begun any runs there.")
    try:
        plan = msgspec.json.decode(read_text(path, "the plan").encode(), type=Plan)
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} cannot be used ({error}): run nox -s matrix again.") from None
    if plan.schema != SCHEMA:
        raise UsageError(f"{path} is of schema {plan.schema}, this version reads {SCHEMA}: run nox -s matrix again.")
    return plan


def write_plans(path: Path, plans: Sequence[Plan]) -> None:
    """Leave plans that nobody does, for `read_plans`."""
    write_atomically(path, to_json(plans))


def read_plans(path: Path) -> list[Plan]:
    """Read what `write_plans` has left; `UsageError` where there is no such file or it has no runs."""
    try:
        return msgspec.json.decode(read_text(path, "the file of plans").encode(), type=list[Plan])
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} cannot be used ({error}): nox -s plan makes it.") from None
