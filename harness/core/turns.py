"""What the conductor and a process that takes turns say to each other: lines on its standard input, and events."""

from __future__ import annotations

TURN = b"turn\n"
END = b"end\n"

NO_ROOM = "no room"
"""The phase of a process whose device has no memory left for it."""
