"""What the conductor asks of the processes that prepare a data set or weights, and what these answer."""

from __future__ import annotations

from typing import Optional

from harness.core.dataset import Summary
from harness.core.settings import Count, Shapes, Strict
from harness.core.spec import Data, RunSpec, Weights


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


class WeightsRequest(Strict, frozen=True):
    """`file` has the weights, or is None: then the baseline is trained as `spec` says, once for each spec. `index` is
    that of the data set, and `cache` the folder for what is made."""

    spec: RunSpec
    index: str
    file: Optional[str]
    same_classes: bool
    """Whether the user's weights have to be of as many classes as the data set."""
    cache: str
    source: str = ""
    """The folder of a model that lies outside of the project."""


class GivenWeights(Strict, frozen=True):
    """Weights that are ready, the file in safetensors' format that has them, and what they are, in words."""

    weights: Weights
    path: str
    said: str


class WeightsAnswer(Strict, frozen=True):
    """The weights, or the sentence that says what is wrong with them."""

    given: Optional[GivenWeights] = None
    problem: Optional[str] = None
