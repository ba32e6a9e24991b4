"""What a job does on its node: the same as a matrix that is started there, for a part of the plan, in a results folder
of the job's own."""

from __future__ import annotations

import os
import platform
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import msgspec

from harness.conduct.board import make_board
from harness.conduct.folder import clear_beside, clear_checkpoints, kept_records
from harness.conduct.launcher import Board, Group, Inputs, groups_of
from harness.conduct.machine import choose_device
from harness.conduct.planning import MATRIX
from harness.conduct.run import at_work, run
from harness.conduct.slurm.relay import Cell, Relay, Told, cell_of
from harness.conduct.this_machine import ThisMachine
from harness.core.errors import UsageError
from harness.core.files import read_text, to_json, write_atomically
from harness.core.hardware import node_here
from harness.core.matrix import read_matrix
from harness.core.plan import ASKED_FILE, Plan, read_plan
from harness.core.record import record_path
from harness.core.settings import Strict

PART_FILE = "part.json"
"""Which part of the plan beside it a job does."""
ENDED_FILE = "ended.json"
"""Written last by a job that has done what it could."""
NODE_FILE = "node"
"""The node that has worked in the folder last."""


class Part(Strict, frozen=True):
    """The runs that a job does; None: it prepares what all runs are given."""

    runs: Optional[list[Cell]]


class Ended(Strict, frozen=True):
    """How a job has ended that did so by itself: why nothing could be done, and what it has prepared."""

    problem: list[str] = []
    inputs: Optional[dict[str, Inputs]] = None


class Node(ThisMachine):
    """The launcher of a job: what has to be as the plan has it is checked where the runs are done."""

    def prepare(self, plan: Plan, board: Board) -> dict[str, Inputs]:
        """As on any machine. `UsageError` also where the node is not of the machine kind, or what the runs are given is
        no longer what the plan names."""
        require_kind(plan)
        found = super().prepare(plan, board)
        for spec in plan.runs:
            given = found[spec.case]
            if spec.data.digest and (spec.data, spec.weights) != (given.data, given.weights):
                raise UsageError(f"What {spec.case} is given has changed since the matrix began: start it again.")
        return found


def require_kind(plan: Plan) -> None:
    """`UsageError` where this node has not the GPU that the plan is for."""
    device = plan.runs[0].device
    _, gpu = choose_device(device)
    kind = read_matrix(MATRIX).machines.get(plan.machine)
    if gpu and kind and gpu.architecture not in kind.architectures:
        raise UsageError(
            f"The node {here()} has a {gpu.name} ({gpu.architecture}), which is not of the kind {plan.machine}: say "
            f"in [machines.{plan.machine}.slurm] which nodes are, with `constraint` or `partition`."
        )


@dataclass(frozen=True)
class Work:
    """What submitit calls on the node; `ambient`: the interpreter of the pin that is no pin."""

    folder: Path
    ambient: Path

    def __call__(self) -> None:
        """Do the part of the plan that the folder names, and leave word of how that ended."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a job that is taken away clears up, as after Ctrl-C
        plan = read_plan(self.folder / ASKED_FILE)
        with make_board(plan.runs) as board:
            relay = Relay(self.folder, board)
            relay.tell(Told("at work"))
            try:
                ended = self.work(plan, relay)
            except UsageError as error:
                ended = Ended(problem=[*error.args])
            except KeyboardInterrupt:
                relay.tell(Told("stopped"))
                raise SystemExit("the job was told to stop: what was complete is kept") from None
        write_atomically(self.folder / ENDED_FILE, to_json(ended))

    def work(self, plan: Plan, board: Relay) -> Ended:
        """Prepare, or do the runs of the part."""
        part = msgspec.json.decode(read_text(self.folder / PART_FILE, "the part of the plan"), type=Part)
        node = Node(self.folder, self.ambient)
        with at_work(plan, self.folder, here=True, say=board.say):
            if part.runs is None:
                return Ended(inputs=node.prepare(plan, board))
            wanted = set(part.runs)
            groups = [group for group in groups_of(plan) if cell_of(group.runs[0]) in wanted]
            settle(self.folder, groups)
            run(plan, node, board, lambda group: cell_of(group.runs[0]) in wanted)
        return Ended()

    def checkpoint(self) -> Any:
        """What submitit puts into the queue again when the time of the job is up: the same, which goes on from what is
        in the folder."""
        from submitit.helpers import DelayedSubmission  # noqa: PLC0415, as in the queue

        return DelayedSubmission(self)


def here() -> str:
    """What the node is called."""
    return node_here(os.environ) or platform.node()


def settle(folder: Path, groups: Sequence[Group]) -> None:
    """Where another node was at work in the folder, do anew what it has not brought to an end: what is compared, which
    is the runs of a case in a round, has to be of one node."""
    mark = folder / NODE_FILE
    before = mark.read_text(encoding="utf-8") if mark.exists() else here()
    if before != here():
        compared: dict[tuple[str, int], list[Group]] = {}
        for group in groups:
            compared.setdefault((group.runs[0].case, group.runs[0].round), []).append(group)
        for some in compared.values():
            if not all(kept_records(folder, group.runs) for group in some):
                clear_runs(folder, some)
    write_atomically(mark, here().encode())


def clear_runs(folder: Path, groups: Sequence[Group]) -> None:
    """Remove the records of runs, and all from which they could go on."""
    for spec in (spec for group in groups for spec in group.runs):
        path = record_path(folder, spec)
        clear_checkpoints(path)
        clear_beside(path)
        for left in (path.with_suffix(".part"), path):
            left.unlink(missing_ok=True)
