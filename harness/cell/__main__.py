"""`python -m harness.cell --record PATH [--progress-fd N] < ORDER`: one run, in a pin.

The order comes as one line of JSON on standard input; a case that takes turns is told them by the lines after it. The
record is written when the run ends well, or when the environment is not what it should be; a run that fails writes
none, and the conductor does it in its place. A run that another process is to go on with leaves a checkpoint.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Optional

import msgspec

from harness.cell.devices import before_choice
from harness.cell.environment import observe, set_flags
from harness.cell.helpers import wrong_helpers
from harness.cell.measured import Measured
from harness.cell.preflight import unsupported_here, wrong_label
from harness.cell.progress import Progress
from harness.cell.resident import fixed_cost
from harness.cell.run import Run, run_of
from harness.cell.source import adopt
from harness.core.cases import package_of
from harness.core.errors import UsageError
from harness.core.record import LABEL_TRUE, SCHEMA, Record, timestamp, write_record
from harness.core.spec import Order, RunSpec


def main() -> int:
    """Exit code 0 when a record or a checkpoint was written, 2 with one sentence for bad input; anything else is a
    crash."""
    parser = argparse.ArgumentParser(prog="python -m harness.cell")
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--progress-fd", type=int)
    asked = parser.parse_args()
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    try:
        adopt(order.spec.model, order.source)
        record = record_of(run_of(order, Progress(asked.progress_fd), asked.record))
        if record:
            write_record(asked.record, record)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def record_of(run: Run) -> Optional[Record]:
    """Check the label, do the case, and return the record of the run; None where another process goes on with it."""
    spec, started = run.spec, timestamp()
    wrong = wrong_label(spec) or wrong_helpers(run)
    here = before_choice(spec, run.case)
    unsupported = unsupported_here(here.device)
    if wrong or unsupported:
        status = "failed" if wrong else "unsupported"
        return Record(
            schema=SCHEMA,
            spec=spec,
            identity=spec.identity(),
            status=status,  # type: ignore[arg-type]
            reason=wrong or unsupported,
            started=started,
            ended=timestamp(),
            environment=observe(here, "differs from the lock" if wrong else label_of(spec)),
        )
    set_flags(here)
    print(msgspec.json.encode(observe(here, label_of(spec))).decode())
    body = importlib.import_module(f"{package_of(spec.case)}.body")
    fixed_cost()  # here: all is imported, and nothing is read or built
    measured: Optional[Measured] = body.measure(run)
    if measured is None:
        return None
    return Record(
        schema=SCHEMA,
        spec=spec,
        identity=spec.identity(),
        status="ok",
        started=started,
        ended=timestamp(),
        environment=observe(measured.spec, label_of(spec)),
        data=run.data.summary,
        **measured.fields(),
    )


def label_of(spec: RunSpec) -> str:
    """What an environment is called whose label is not wrong."""
    return LABEL_TRUE if spec.pin.lock else "not checked: the ambient interpreter has no lock"


if __name__ == "__main__":
    sys.exit(main())
