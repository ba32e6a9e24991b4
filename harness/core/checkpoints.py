"""The first line of a checkpoint: what it is, for all who do not read the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import msgspec

from harness.core.settings import Strict

FORMAT = 3


class Header(Strict, frozen=True):
    """The first line of a checkpoint."""

    format: int
    torch: str
    """The version that wrote it."""
    run: str
    """The identity of the spec that it is of."""
    epoch: int
    step: int
    """The position at which the run goes on: of a training; of other runs as they count."""
    size: int
    sha256: str
    """Of the bytes that follow."""


def read_header(path: Path) -> Optional[Header]:
    """The header of a checkpoint of this format; None where there is no such file."""
    try:
        with path.open("rb") as file:
            header = msgspec.json.decode(file.readline(), type=Header)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return header if header.format == FORMAT else None
