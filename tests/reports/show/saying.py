"""Whether a text says something: the parts that it has to name, in their order, whatever stands between them."""

from __future__ import annotations


def says(text: str, *parts: str) -> bool:
    """Whether the text has all these parts, one after another."""
    place = 0
    for part in parts:
        place = text.find(part, place)
        if place < 0:
            return False
        place += len(part)
    return True
