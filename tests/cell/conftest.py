"""What the tests of the cell share: runs of any case, as the body of a case gets them."""

import io
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from cases.train.body import measure
from harness.cell.measured import Measured
from harness.cell.progress import Progress
from harness.cell.run import Run
from harness.core.cases import read_case
from harness.core.record import Hashes
from harness.core.spec import Place
from harness.core.turns import TURN

SILENT = Progress(None)


@pytest.fixture(scope="session")
def run_of():
    """A run of a spec on an index file."""

    def make(spec, index, record="0.part", progress=SILENT, interpreters=None, place=None, weights=""):
        return Run(spec, read_case(spec.case), str(index), weights, interpreters or {}, progress, Path(record), place)

    return make


@pytest.fixture(scope="session")
def train_at_once(run_of):
    """The case `train` with all its epochs in one process, whose turn it always is."""

    def measured(spec, index, record="0.part"):
        spec = replace(spec, settings={"steps": 1, "epochs": spec.train.epochs})
        place = Place(sitting="a sitting", seat=0, seats=2, leave="")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TURN * 1000)))
            return measure(run_of(spec, index, record, place=place))

    return measured


@pytest.fixture
def measured_for(spec):
    """An empty result of a case."""
    return lambda case, on=spec: Measured(read_case(case), on, Hashes("0" * 64))
