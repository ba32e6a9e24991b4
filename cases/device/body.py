"""The body of the case `device`."""

from __future__ import annotations

import time

from torch import Tensor

from cases.device import Settings
from harness.cell.data.index import DataIndex
from harness.cell.devices import first_usable, least_memory, look, on_device, out_of_memory_is_full
from harness.cell.environment import set_flags
from harness.cell.measured import Measured
from harness.cell.progress import Progress
from harness.cell.results import measured_of
from harness.cell.run import Run
from harness.cell.train import Hook, Loop, Position, make_loop, train_loop
from harness.core.errors import UsageError
from harness.core.spec import RunSpec


def measure(run: Run) -> Measured:
    """Try the devices in order, and train on the first that can be used."""
    settings = run.settings_as(Settings)
    needed = least_memory(run.spec, len(run.data.classes))
    began = time.monotonic()

    def attempt(device: str) -> Loop:
        run.progress.tell(phase=f"trying {device}")
        look(device, needed)
        with out_of_memory_is_full():
            return train_steps(on_device(run.spec, device), run.data, run.progress, settings.steps)

    device, loop, passed_over = first_usable(settings.wanted, attempt)
    measured = measured_of(run, loop.result, on=loop.spec)
    measured.measuring = time.monotonic() - began
    measured.keep_metric("device_time", [measured.measuring])
    measured.notes["device"] = device
    measured.notes.update({f"{name}, passed over": why for name, why in passed_over.items()})
    check_place(measured, loop, passed_over)
    check_steps(measured, loop)
    return measured


class FirstSteps(Hook):
    """Ends a training after so many optimiser steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def after_update(self, loop: Loop, following: Position) -> bool:  # noqa: ARG002
        """False after the last one."""
        return len(loop.result.losses) < self.steps


def train_steps(spec: RunSpec, index: DataIndex, progress: Progress, steps: int) -> Loop:
    """The first optimiser steps of a training on the spec's device; `UsageError` where there are not so many."""
    set_flags(spec)
    loop = make_loop(spec, index, progress, FirstSteps(steps))
    done = len(train_loop(loop).losses)
    if done < steps:
        raise UsageError(
            f"The case device trains {steps} steps, and the whole training has only {done}: give it more pictures or "
            f"epochs, or fewer steps in [profiles.{spec.profile}.device]."
        )
    return loop


def check_place(measured: Measured, loop: Loop, passed_over: dict[str, str]) -> None:
    """Everything that was trained is where it was said to be: by the tensors, not by what was asked for."""
    places = sorted({str(tensor.device) for tensor in trained(loop)})
    said = [f"trained on {' and '.join(places)}", *(f"{name} passed over, {why}" for name, why in passed_over.items())]
    measured.check("found", places == [measured.spec.device], "; ".join(said))


def trained(loop: Loop) -> list[Tensor]:
    """Weights, statistics, their averages, and the optimiser's moments: its step counts are on the CPU by design."""
    learner = loop.learner
    moments = [value for state in learner.optimizer.state.values() for value in state.values()]
    tensors = [*learner.network.state_dict().values(), *learner.average.network.state_dict().values(), *moments]
    return [tensor for tensor in tensors if isinstance(tensor, Tensor) and tensor.dim()]


def check_steps(measured: Measured, loop: Loop) -> None:
    """The steps there, as the gradient watch saw them."""
    result = loop.result
    said = f"{len(result.losses)} steps, loss {result.losses[0]:.4g} at first and {result.losses[-1]:.4g} at last"
    anomalous = result.watch.anomalous_steps
    measured.check("healthy", not anomalous, f"{said}, {anomalous} with an anomaly")
