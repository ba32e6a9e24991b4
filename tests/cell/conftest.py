"""What the tests of the cell share: runs of any case, as the body of a case gets them."""

from pathlib import Path

import pytest

from harness.cell.measured import Measured
from harness.cell.progress import Progress
from harness.cell.run import Run
from harness.core.cases import read_case
from harness.core.record import Hashes

SILENT = Progress(None)


@pytest.fixture(scope="session")
def run_of():
    """A run of a spec on an index file."""

    def make(spec, index, record="0.part", progress=SILENT, interpreters=None):
        return Run(spec, read_case(spec.case), str(index), interpreters or {}, progress, Path(record))

    return make


@pytest.fixture
def measured_for(spec):
    """An empty result of a case."""
    return lambda case, on=spec: Measured(read_case(case), on, Hashes("0" * 64))
