"""A run about to be done on this machine: what it is told, how its process is started, where it leaves its record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.core.spec import Order, RunSpec


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

    def command(self, sitting: str | None = None) -> list[str]:
        """How its process is started; `sitting` names those that take turns with it."""
        together = ["--sitting", sitting] if sitting else []
        return [str(self.interpreter), "-m", "harness.cell", "--record", str(self.part.absolute()), *together]
