"""What a search has cost: how many runs it did, and in how much time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from harness.core.errors import UsageError
from harness.core.files import read_text


class Span(msgspec.Struct):
    """When a run was done, in UTC: the two fields of its record that are read."""

    started: str
    ended: str


@dataclass(frozen=True)
class Spent:
    """Runs below a folder, and the seconds in which any of them was going on."""

    runs: int
    seconds: float


def spent_in(folder: Path) -> Spent:
    """What the records below a folder say; `UsageError` for a file that is none."""
    spans = sorted(map(span_of, folder.rglob("runs/*/*/[0-9]*.json")))
    seconds, until = 0.0, 0.0
    for start, end in spans:
        seconds += max(0.0, end - max(start, until))
        until = max(until, end)
    return Spent(len(spans), seconds)


def span_of(path: Path) -> tuple[float, float]:
    """When the run of a record was done, in seconds."""
    try:
        span = msgspec.json.decode(read_text(path, "the record").encode(), type=Span)
        return datetime.fromisoformat(span.started).timestamp(), datetime.fromisoformat(span.ended).timestamp()
    except (msgspec.DecodeError, ValueError) as error:
        raise UsageError(f"{path} is not a record ({error}): delete it and search again.") from None
