"""Case `device`: finds a device that can be trained on, and trains some steps there.

Shows whether this PyTorch can use the devices that are wanted, in their order: one that is absent, full, or of an
architecture that the wheel has no code for is passed over, and the record says which and why. A device that was named
with `--device` is the only one wanted: where it cannot be used, the run ends with that sentence.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from torch import Tensor

from harness.cell.data.index import DataIndex, read_index
from harness.cell.devices import first_usable, least_memory, look, on_device, out_of_memory_is_full
from harness.cell.environment import set_flags
from harness.cell.measured import Measured
from harness.cell.progress import Progress
from harness.cell.results import hashes_of
from harness.cell.train import Hook, Loop, Position, train
from harness.cell.yolov9.initial import weights_digest
from harness.core.errors import UsageError
from harness.core.settings import DeviceSettings
from harness.core.spec import RunSpec

FOUND = "A device that can be trained on is found, and what was passed over is said"
HEALTHY = "Training steps there have no anomaly in loss or gradients"


def run(spec: RunSpec, progress: Progress, _: Path) -> Measured:
    """Try the devices in order, and train on the first that can be used."""
    settings = spec.settings_as(DeviceSettings)
    index = read_index(Path(spec.data.index))
    needed = least_memory(spec, len(index.classes))
    began = time.monotonic()

    def attempt(device: str) -> Loop:
        progress.tell(phase=f"trying {device}")
        look(device, needed)
        with out_of_memory_is_full():
            return train_steps(on_device(spec, device), index, progress, settings.steps)

    device, loop, passed_over = first_usable(settings.wanted, attempt)
    measured = Measured(
        hashes=hashes_of(loop.result, index),
        device=device,
        anomalies=loop.result.watch.anomalies,
        measuring=time.monotonic() - began,
    )
    measured.keep_metric("device_time", "s", "lower", [measured.measuring])
    measured.notes["device"] = device
    measured.notes.update({f"{name}, passed over": why for name, why in passed_over.items()})
    check_place(measured, loop, passed_over)
    check_steps(measured, loop)
    return measured


class EnoughError(Exception):
    """The steps are done: there is no other way out of an epoch."""


class FirstSteps(Hook):
    """Ends a training after so many optimiser steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.loops: list[Loop] = []

    def begin(self, loop: Loop) -> Position:
        """At the beginning; the loop is kept, since a training that is ended returns nothing."""
        self.loops.append(loop)
        return super().begin(loop)

    def after_update(self, loop: Loop, following: Position) -> None:  # noqa: ARG002
        """`EnoughError` after the last one."""
        if len(loop.result.losses) >= self.steps:
            raise EnoughError


def train_steps(spec: RunSpec, index: DataIndex, progress: Progress, steps: int) -> Loop:
    """The first optimiser steps of a training on the spec's device; `UsageError` where there are not so many."""
    set_flags(spec)
    hook = FirstSteps(steps)
    with contextlib.suppress(EnoughError):
        whole = train(spec, index, progress, hook)
        raise UsageError(
            f"The case device trains {steps} steps, and the whole training has only {len(whole.losses)}: give it more "
            f"pictures or epochs, or fewer steps in [profiles.{spec.profile}.device]."
        )
    (loop,) = hook.loops
    loop.result.final_weights = weights_digest(loop.learner.model)
    return loop


def check_place(measured: Measured, loop: Loop, passed_over: dict[str, str]) -> None:
    """Everything that was trained is where it was said to be: by the tensors, not by what was asked for."""
    places = sorted({str(tensor.device) for tensor in trained(loop)})
    said = [f"trained on {' and '.join(places)}", *(f"{name} passed over, {why}" for name, why in passed_over.items())]
    measured.check(FOUND, places == [measured.device], "; ".join(said))


def trained(loop: Loop) -> list[Tensor]:
    """Weights, statistics, their averages, and the optimiser's moments: its step counts are on the CPU by design."""
    learner = loop.learner
    moments = [value for state in learner.optimizer.state.values() for value in state.values()]
    tensors = [*learner.model.state_dict().values(), *learner.average.model.state_dict().values(), *moments]
    return [tensor for tensor in tensors if isinstance(tensor, Tensor) and tensor.dim()]


def check_steps(measured: Measured, loop: Loop) -> None:
    """The steps there, as the gradient watch saw them."""
    result = loop.result
    said = f"{len(result.losses)} steps, loss {result.losses[0][0]:.4g} at first and {result.losses[-1][0]:.4g} at last"
    anomalous = result.watch.anomalous_steps
    measured.check(HEALTHY, not anomalous, f"{said}, {anomalous} with an anomaly")
