"""A run about to be done on this machine: what it is told, how its process is started, where it leaves its record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from harness.core.spec import Order, RunSpec


class Place(NamedTuple):
    """Where a process sits that takes turns."""

    sitting: str
    """What names those that take turns with it."""
    number: int
    """The place in which it was started among them, from 0."""


@dataclass(frozen=True)
class Seat:
    """A run's order, the interpreter that it starts with, and where it leaves its record and its log."""

    order: Order
    interpreter: Path
    part: Path
    """The record beside its place, until the run has ended."""
    log: Path

    @property
    def spec(self) -> RunSpec:
        """What is done."""
        return self.order.spec

    @property
    def words(self) -> bytes:
        """The first line on the standard input of its process."""
        return msgspec.json.encode(self.order) + b"\n"

    def command(self, place: Place | None = None) -> list[str]:
        """How its process is started, by itself or at its place in a sitting."""
        together = ["--sitting", place.sitting, "--seat", str(place.number)] if place else []
        return [str(self.interpreter), "-m", "harness.cell", "--record", str(self.part.absolute()), *together]
