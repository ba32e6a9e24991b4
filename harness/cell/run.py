"""What the body of a case gets: one run, with all that it may ask for."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Optional, TypeVar, Union

import msgspec

from harness.cell.data.index import DataIndex, read_index
from harness.cell.measured import Measured
from harness.cell.progress import Progress
from harness.core.cases import read_case
from harness.core.declaration import Case, Combination
from harness.core.record import Hashes, scratch_of
from harness.core.settings import CaseSettings
from harness.core.spec import Helper, Order, Pin, Place, RunSpec, Weights

Settings = TypeVar("Settings", bound=CaseSettings)


@dataclass(frozen=True)
class Run:
    """One run of a case: what to do (`spec`), where things are, and who hears of it."""

    spec: RunSpec
    case: Case
    index: str
    """The prepared index file of the data set."""
    weights: str
    """The file of the weights that it is given; empty where they are drawn."""
    interpreters: Mapping[str, str]
    """By the name of a peer or helper the Python of its environment."""
    progress: Progress
    record: Path
    """The place of the record; files that the case keeps lie beside it."""
    place: Optional[Place] = None
    """Where it sits, if it takes turns."""

    @cached_property
    def data(self) -> DataIndex:
        """The data set; `UsageError` where its index cannot be read."""
        return read_index(Path(self.index))

    @property
    def given(self) -> Weights:
        """The weights that the conductor gives to every run of a case that asks for them."""
        assert self.spec.weights
        return self.spec.weights

    def settings_as(self, kind: type[Settings]) -> Settings:
        """What the case alone is told."""
        return self.spec.settings_as(kind)

    def combinations(self, *by: str) -> list[Combination]:
        """Every combination of the values that the settings have for the case's parameters, or for those of `by`."""
        kind = self.case.settings
        settings = msgspec.to_builtins(self.settings_as(kind)) if kind else {}
        return [*self.case.combinations(settings, by or None)]

    def interpreter_of(self, other: Union[Pin, Helper]) -> str:
        """The Python of a peer's or helper's environment; empty where that was not built."""
        return self.interpreters.get(other.name, "")

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for what is needed only while this lasts. A run that is killed leaves it to the conductor."""
        folder = scratch_of(self.record)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def measured(
        self,
        initial_weights: Optional[str] = None,
        batch_stream: Optional[str] = None,
        *,
        on: Optional[RunSpec] = None,
    ) -> Measured:
        """An empty result of this run. The digests are what all pins must have in common beside the data set, None
        where the case does without; `on`: the spec on the device that the case has found."""
        hashes = Hashes(self.data.digest, initial_weights, batch_stream)
        return Measured(self.case, on or self.spec, hashes)


def run_of(order: Order, progress: Progress, record: Path) -> Run:
    """The run that a launcher orders."""
    case = read_case(order.spec.case)
    return Run(
        spec=order.spec,
        case=case,
        index=order.index,
        weights=order.weights,
        interpreters=order.interpreters,
        progress=progress,
        record=record,
        place=order.place,
    )
