"""What the conductor asks of the process that prepares a data set, and what that answers."""

from __future__ import annotations

from typing import Optional

from harness.core.dataset import Summary
from harness.core.settings import Count, Shapes, Strict
from harness.core.spec import Data


class PrepareRequest(Strict, frozen=True):
    """`data` is a data.yaml or a COCO instances_train*.json, or None for the embedded shapes.

    `cache` is the folder for what is made; `workers` processes look at the pictures, 0 does it in one.
    """

    data: Optional[str]
    shapes: Shapes
    cache: str
    workers: Count


class Prepared(Strict, frozen=True):
    """A data set that is ready, the index file that has it, and what it holds."""

    data: Data
    index: str
    summary: Summary


class PrepareAnswer(Strict, frozen=True):
    """The prepared data set, or what is wrong with it: a sentence, and lines that list it where there is more."""

    prepared: Optional[Prepared] = None
    problem: list[str] = []
