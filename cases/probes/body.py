"""The body of the case `probes`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec

from cases.probes.trials import Outcome
from harness.cell.children import Child
from harness.cell.measured import Measured
from harness.cell.run import Run

SECONDS = 30.0
"""What takes a probe so long hangs."""


def measure(run: Run) -> Measured:
    """Try all probes in fresh processes, which have none of the flags that this one has set."""
    began = time.monotonic()
    with run.scratch() as scratch:
        outcomes = outcomes_of(run, scratch / "outcomes.json")
    measured = run.measured()
    measured.measuring = time.monotonic() - began
    measured.keep_metric("probing_time", [measured.measuring])
    for name, outcome in outcomes.items():
        if outcome.unable:
            measured.keep_unable(name, outcome.unable)
        else:
            measured.keep_places(name, outcome.values)
    return measured


def outcomes_of(run: Run, file: Path) -> dict[str, Outcome]:
    """What came of every probe. `RuntimeError` where the process that tries them ended before it had."""
    command = [sys.executable, "-m", "cases.probes.trials", str(file), "--seconds", str(SECONDS)]
    with Child(command) as child:
        for event in child.events():
            run.progress.tick(**event)
        failed = child.end()
    if failed:
        raise RuntimeError(f"The process that tries the probes did not end well: {failed}.")
    return msgspec.json.decode(file.read_bytes(), type=dict[str, Outcome])
