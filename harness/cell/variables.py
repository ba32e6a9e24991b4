"""The variables of this process's environment, which some packages change when they are imported."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def variables_kept() -> Iterator[None]:
    """Whatever is changed meanwhile is as it was afterwards: what is started later is to find the same on all pins, and
    a record says what a run had. OpenCV puts a folder of its own before LD_LIBRARY_PATH."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
