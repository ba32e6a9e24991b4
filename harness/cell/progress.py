"""Tells the conductor how far a run is, over a pipe. Nothing that is measured goes this way."""

from __future__ import annotations

import os
import time
from typing import Any, Optional

import msgspec

INTERVAL = 0.5
"""Seconds between two events of the same phase: the board is redrawn no faster, and writing costs a step nothing."""


class Progress:
    """Writes events as JSON lines to a file descriptor, or nowhere when there is none."""

    def __init__(self, descriptor: Optional[int]) -> None:
        self.descriptor = descriptor
        self.last = 0.0

    def due(self) -> bool:
        """Whether a tick would be sent now: what it would say need not be gathered when it would not."""
        return time.monotonic() - self.last >= INTERVAL

    def tick(self, **event: Any) -> None:
        """An event that may be left out when the last one was a moment ago."""
        if self.due():
            self.send(event)

    def tell(self, **event: Any) -> None:
        """An event that is always sent, and kept in the log."""
        print(msgspec.json.encode(event).decode())
        self.send(event)

    def send(self, event: dict[str, Any]) -> None:
        """Write to the pipe. A conductor that is gone ends the run: nobody would keep its record."""
        self.last = time.monotonic()
        if self.descriptor is None:
            return
        try:
            os.write(self.descriptor, msgspec.json.encode(event) + b"\n")
        except BrokenPipeError:
            raise SystemExit("The conductor is gone; the run ends.") from None
