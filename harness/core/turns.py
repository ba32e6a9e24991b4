"""What the conductor and a process that takes turns say to each other: lines on its standard input, and events."""

from __future__ import annotations

TURN = b"turn\n"
"""It may do what one turn is; after its last one it ends."""

READY = "ready"
"""The phase of a process that waits for its first turn."""
TURN_DONE = "turn"
"""That of one that waits for its next."""
NO_ROOM = "no room"
"""That of one whose device has no memory left for it beside the others."""
