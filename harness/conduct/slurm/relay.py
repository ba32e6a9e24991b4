"""What a job tells whoever follows it: lines of a file in its folder, which the nodes and the login node share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Optional

import msgspec

from harness.conduct.launcher import Board
from harness.conduct.process import Event
from harness.core.record import Record
from harness.core.settings import Strict
from harness.core.spec import RunSpec

FILE = "progress.jsonl"
APART = 2.0
"""Seconds between two lines on the steps of a run: a turn may take milliseconds, and the file system is others' too."""

Cell = tuple[str, str, int]
"""A run: its case, pin and round."""


def cell_of(spec: RunSpec) -> Cell:
    """The run of a spec."""
    return spec.case, spec.pin.name, spec.round


class Told(Strict, frozen=True):
    """One thing that is told: that the job has begun or was stopped, or what a board is told."""

    what: Literal["at work", "stopped", "note", "say", "begin", "hear", "end"]
    text: str = ""
    run: Optional[Cell] = None
    event: dict[str, Any] = {}
    reused: bool = False


class Relay:
    """A board that passes on what it is told to another one, and to whoever reads the file."""

    def __init__(self, folder: Path, board: Board) -> None:
        self.file, self.board = folder / FILE, board
        self.last: dict[Cell, float] = {}
        self.kept: dict[Cell, Event] = {}
        """By run, what has not been told yet."""

    def tell(self, told: Told) -> None:
        """Write a line. Appended as a whole, so that a kill leaves no more than one that is torn."""
        with self.file.open("ab") as file:
            file.write(msgspec.json.encode(told) + b"\n")

    def note(self, sentence: str) -> None:
        """What goes on outside the runs."""
        self.board.note(sentence)
        self.tell(Told("note", text=sentence))

    def say(self, text: str) -> None:
        """A line that stays."""
        self.board.say(text)
        self.tell(Told("say", text=text))

    def begin(self, spec: RunSpec) -> None:
        """A run starts."""
        self.board.begin(spec)
        self.tell(Told("begin", run=cell_of(spec)))

    def hear(self, spec: RunSpec, event: Event) -> None:
        """A running run says where it is. Of its steps every few seconds are enough, of its epochs none is left out."""
        self.board.hear(spec, event)
        cell, now = cell_of(spec), time.monotonic()
        kept = self.kept.setdefault(cell, {})
        kept.update(event)
        if event.get("phase") == "epoch done" or now - self.last.get(cell, -APART) >= APART:
            self.tell(Told("hear", run=cell, event=self.kept.pop(cell)))
            self.last[cell] = now

    def end(self, spec: RunSpec, record: Record, reused: bool) -> None:
        """A run has its record."""
        self.board.end(spec, record, reused)
        self.tell(Told("end", run=cell_of(spec), reused=reused))


def told_since(folder: Path, offset: int) -> Iterator[tuple[Told, int]]:
    """What was told after the first `offset` bytes, each with how many are read then. The file is opened anew each
    time, as only then another node's lines are sure to be seen. A line that a kill has torn is left out."""
    try:
        with (folder / FILE).open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                try:
                    yield msgspec.json.decode(line, type=Told), offset
                except msgspec.DecodeError:
                    continue
    except FileNotFoundError:
        return
