"""A run about to be done on this machine: what it is told, how its process is started, where it leaves its record."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as changed
from pathlib import Path

import msgspec
from msgspec.structs import replace

from harness.core.checkpoints import Header, read_header
from harness.core.record import beside_of, checkpoint_of_part
from harness.core.spec import Order, Place, RunSpec


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
    def command(self) -> list[str]:
        """How its process is started."""
        return [str(self.interpreter), "-m", "harness.cell", "--record", str(self.part.absolute())]

    def words(self, place: Place | None = None) -> bytes:
        """The first line on the standard input of its process, by itself or at its place among others."""
        return msgspec.json.encode(replace(self.order, place=place)) + b"\n"

    def beside(self, table: int) -> Seat:
        """The same run once more, at a further table."""
        again = beside_of(self.part, table)
        return changed(self, part=again.with_suffix(".part"), log=again.with_suffix(".log"))

    def checkpoint(self, part: int) -> Path:
        """What the process before part `part` of the run leaves for the one that does it."""
        return checkpoint_of_part(self.part, part).absolute()

    def left(self, part: int) -> Header | None:
        """The header of that, where it is there and of this run."""
        header = read_header(self.checkpoint(part))
        return header if header and header.run == self.spec.identity() else None
