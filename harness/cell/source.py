"""The folder of a model that lies outside of the project: where it is for this process and all that it starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Optional

from harness.core import spec as asked
from harness.core.errors import UsageError
from harness.core.source import digest_of_source

VARIABLE = "TORCH_MATRIX_SOURCE"
"""Errands, and processes that share a training, have it from the process that starts them."""


def adopt(model: asked.Model, folder: str) -> None:
    """Take the folder for that of the model; `UsageError` where it does not hold what was planned."""
    if not model.source:
        return
    if digest_of_source(Path(folder)) != model.source:
        raise UsageError(f"The files in {folder} have changed since the matrix was planned: run the matrix again.")
    os.environ[VARIABLE] = folder


def source_of(model: asked.Model) -> Optional[Path]:
    """The folder of the model, whose modules can be imported from now on; None where it has none."""
    if not model.source:
        return None
    folder = os.environ[VARIABLE]
    if folder not in sys.path:
        sys.path.insert(1, folder)  # behind the project, before what is installed
    return Path(folder)
