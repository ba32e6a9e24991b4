"""The body of the case `audit`."""

from __future__ import annotations

import time

import torch

from cases.audit import MAPPED, REQUIRED, SETTINGS
from cases.audit.brought import requirements_about
from cases.audit.build import settings
from cases.audit.gpu import gpu
from cases.audit.mapped import look
from cases.audit.soundness import Finding, c_libraries, complete, unmixed
from harness.cell import compat
from harness.cell.measured import Measured
from harness.cell.run import Run
from harness.cell.train import Hook, Loop, Position, make_loop, train_loop


def measure(run: Run) -> Measured:
    """Do what every run does once, then look at what this very process has mapped: it has the variables that all runs
    have."""
    began = time.monotonic()
    use_once(run)
    run.progress.tell(phase="looking")
    seen, required = look(), requirements_about("torch")
    measured = run.measured()
    measured.keep_places(MAPPED.name, [(name, one.told()) for name, one in seen.named().items()])
    measured.keep_places(SETTINGS.name, settings(seen.mapped))
    needs = [(f"{one.distribution} requires {one.other}", one.specifier) for one in required]
    measured.keep_places(REQUIRED.name, needs)
    libraries, device = c_libraries(seen), gpu(run.spec.device)
    able = Finding(libraries.problems + device.problems, libraries.notes + device.notes)
    for name, finding in (("complete", complete(seen, required)), ("unmixed", unmixed(seen)), ("able", able)):
        measured.check(name, not finding.problems, finding.said())
    measured.keep_metric("mapped_size", [float(sum(one.size for one in seen.mapped))])
    measured.measuring = time.monotonic() - began
    return measured


class OneStep(Hook):
    """Ends a training after an optimiser step."""

    def after_update(self, loop: Loop, following: Position) -> bool:  # noqa: ARG002
        """False after the first one."""
        return False


def use_once(run: Run) -> None:
    """A training step on the device, and a suppression: what libraries these need is mapped afterwards."""
    train_loop(make_loop(run.spec, run.data, run.progress, OneStep()))
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]], device=run.spec.device)
    compat.suppression()(boxes, boxes[:, 0], 0.5)
