"""Waiting for one's turn: blocked on standard input, which costs the machine nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from harness.core.turns import END, TURN


def turns() -> Iterator[None]:
    """One item for each turn that the conductor gives, until it says that it was the last.

    A conductor that is gone ends the run: nobody would keep its record.
    """
    while True:
        order = sys.stdin.buffer.readline()
        if order == END:
            return
        if order != TURN:
            raise SystemExit("The conductor is gone; the run ends.")
        yield
