"""A job as the login node sees it: its folder, what it tells, and how it ends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.conduct.launcher import Board, Group
from harness.conduct.process import tail_of
from harness.conduct.slurm.node import ENDED_FILE, PART_FILE, Ended, Part, Work
from harness.conduct.slurm.queue import TAKEN_AWAY, JobState, Queue, log_of, numbers_in
from harness.conduct.slurm.relay import FILE, Cell, cell_of, told_since
from harness.core.errors import UsageError
from harness.core.files import to_json, write_atomically
from harness.core.plan import ASKED_FILE, Plan, read_plan, write_plan
from harness.core.record import Record, read_record, record_path
from harness.core.spec import RunSpec

PATIENCE = 60.0
"""Seconds that are waited for the last word of a job that has left the queue: a shared file system may be as late."""


class Job:
    """One job: what is done in a folder, and the runs of its groups. With no groups it prepares."""

    def __init__(self, folder: Path, name: str, plan: Plan, groups: Sequence[Group] = (), node: str = "") -> None:
        self.folder, self.name, self.plan, self.groups, self.node = folder, name, plan, [*groups], node
        self.prepares = not groups
        self.read = 0
        """So many bytes of what it tells have been heard."""
        self.begun: set[Cell] = set()
        self.ended: set[Cell] = set()
        """The runs of which the board has been told so."""
        self.stopped = False
        """Whether it was told to stop, and nothing was heard since."""
        self.state = JobState("")
        self.missed: float | None = None
        """Since when it has been out of the queue without a last word."""
        self.taken = 0
        """How often its node was taken from it and it was submitted anew."""

    @property
    def number(self) -> str:
        """Its number in the queue, the last one; empty where it was never submitted."""
        return (numbers_in(self.folder) or [""])[-1]

    @property
    def log(self) -> Path:
        """What it prints."""
        return log_of(self.folder, self.number)

    @property
    def specs(self) -> dict[Cell, RunSpec]:
        """Its runs."""
        return {cell_of(spec): spec for group in self.groups for spec in group.runs}

    def does_its_part(self) -> bool:
        """Whether what was submitted is this part of the plan, or more of it."""
        if self.asked() != self.plan:
            return False
        part = msgspec.json.decode((self.folder / PART_FILE).read_bytes(), type=Part)
        return part.runs is None if self.prepares else set(self.specs) <= set(part.runs or [])

    def asked(self) -> Plan | None:
        """The plan that was submitted; None where nothing was, or by another version."""
        with contextlib.suppress(UsageError):
            return read_plan(self.folder / ASKED_FILE)
        return None

    def submit(self, queue: Queue, ambient: Path, board: Board) -> None:
        """Have it done; what an earlier try has left in the folder is gone on from."""
        runs = None if self.prepares else [*self.specs]
        write_atomically(self.folder / PART_FILE, to_json(Part(runs)))
        write_plan(self.folder / ASKED_FILE, self.plan)
        for old in (ENDED_FILE, FILE):
            (self.folder / old).unlink(missing_ok=True)
        self.read, self.stopped, self.missed = 0, False, None
        queue.submit(self.folder, Work(self.folder.absolute(), ambient), self.node)
        board.say(f"{self.name}: Slurm job {self.number}; its log is {self.log}")

    def listen(self, board: Board) -> None:
        """Pass on what it has told since."""
        specs = self.specs
        for told, read in told_since(self.folder, self.read):
            self.read = read
            spec = specs.get(told.run) if told.run else None
            if told.what in ("at work", "stopped"):
                self.stopped = told.what == "stopped"
            elif told.what == "note":
                board.note(f"{self.name}: {told.text}")
            elif told.what == "say":
                board.say(told.text)
            elif spec and told.what == "begin":
                self.begun.add(cell_of(spec))
                board.begin(spec)
            elif spec and told.what == "hear":
                board.hear(spec, told.event)
            elif spec and record_path(self.folder, spec).exists():
                self.tell_end(spec, read_record(record_path(self.folder, spec)), board)

    def tell_end(self, spec: RunSpec, record: Record, board: Board) -> None:
        """Tell the board once that a run has its record."""
        if cell_of(spec) not in self.ended:
            if cell_of(spec) not in self.begun:
                board.begin(spec)
            board.end(spec, record, reused=False)
            self.ended.add(cell_of(spec))

    def see(self, state: JobState | None, board: Board) -> None:
        """Say where it is, when that changes."""
        state = state or JobState("")
        if state.name != self.state.name and state.name:
            where = f" on {state.node}" if state.node else f" ({state.reason})"
            board.say(f"{self.name}: Slurm job {self.number} is {state.name}{where.removesuffix(' (None)')}")
        self.state = state

    def last_word(self) -> Ended | None:
        """How it has ended by itself; None where it has not, or not yet."""
        try:
            return msgspec.json.decode((self.folder / ENDED_FILE).read_bytes(), type=Ended)
        except FileNotFoundError:
            return None

    def outcome(self) -> Ended | None:
        """How it ended, where it is out of the queue: by its last word, or as Slurm has it; None as long as that may
        still come."""
        if self.state.name and not self.state.over:
            return None
        word = self.last_word()
        if word is None and self.state.name in ("", "COMPLETED"):
            self.missed = self.missed or time.monotonic()
            if time.monotonic() - self.missed < PATIENCE:
                return None
        return word or Ended(problem=[self.death()])

    def may_go_on(self, times: int) -> bool:
        """Whether it has ended because Slurm took the node from it, and not by itself or its user; so many times."""
        stopped = self.stopped and self.state.name not in ("", "CANCELLED")
        if self.last_word() or not (stopped or self.state.name in TAKEN_AWAY) or self.taken == times:
            return False
        self.taken += 1
        return True

    def death(self) -> str:
        """The sentence for a job that ended without a last word."""
        where = f" on {self.state.node}" if self.state.node else ""
        what = f"is {self.state.name}{where}" if self.state.name else "is no longer known"
        sentence = f"The Slurm job {self.number} {what}"
        if not self.log.exists():
            return (
                f"{sentence} and has left no log: {self.folder} has to be on a file system that this node and those of "
                "the jobs share, and so has the checkout."
            )
        lines = [line for line in tail_of(self.log) if line.strip()]
        return f"{sentence} and has left no result; its log {self.log} ends: {' | '.join(lines[-3:])}"
