"""`python -m harness.cell.parts results/NAME`: print what each part of a training step costs the host, and how many
launches it takes on a GPU, with the settings of the plan that lies there and the torch that this Python has.

`nox -s bench` tells what the instruments cost altogether; this is where to look when they cost too much.
"""

from __future__ import annotations

import functools
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple

import torch
from msgspec.structs import replace
from torch.profiler import ProfilerActivity, record_function

from harness.cell.data.shapes import make_shapes
from harness.cell.environment import set_flags
from harness.cell.kernels import PROFILED, Event, covered, kernels_of, some_batches, traced, walk
from harness.cell.progress import Progress
from harness.cell.train import Hook, Loop, make_loop
from harness.core.errors import UsageError
from harness.core.plan import ASKED_FILE, Plan, read_plan
from harness.core.settings import Shapes

BOTH = (ProfilerActivity.CPU, ProfilerActivity.CUDA)
STEP = "the whole step"
LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaMemcpyAsync", "cudaMemsetAsync")
"""The beginnings of what the calls that give a GPU something to do are called."""
REPEATS = 5


class Cost(NamedTuple):
    """What a part costs in a step."""

    part: str
    milliseconds: float
    """Of the host, without the profiler."""
    launches: float
    """Kernels, copies and fills."""


def parts_of(loop: Loop) -> list[tuple[str, Any, str]]:
    """The parts of a step as far as they can be told apart: what each is called, and the method that does it. What a
    training without instruments does not have is called so."""
    learner = loop.learner
    return [
        ("forward", learner, "forward"),
        ("loss", loop, "criterion"),
        ("statistics kept", learner.statistics, "keep"),
        ("scaler: unscale", learner.scaler, "unscale_"),
        ("instruments: norms", learner.gradients, "norms"),
        ("instruments: read (waits for the GPU)", loop.result.watch, "read"),
        ("instruments: clip", learner.gradients, "clip"),
        ("optimiser", learner.scaler, "step"),
        ("average", learner.average, "update"),
        ("scaler: update", learner.scaler, "update"),
        ("gradients to none", learner.optimizer, "zero_grad"),
        ("memory probe, once an epoch", loop.result.memory, "end_epoch"),
    ]


class Stopwatch:
    """The seconds that the host spends in each part, and the marks of them in a trace."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def watch(self, part: str, owner: Any, method: str) -> None:
        """From now on the method is a part."""
        setattr(owner, method, self.watched(part, getattr(owner, method)))

    def watched(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same, timed and marked."""

        @functools.wraps(work)
        def timed(*arguments: Any, **named: Any) -> Any:
            with record_function(part):
                began = time.perf_counter()
                answer = work(*arguments, **named)
                self.seconds.setdefault(part, []).append(time.perf_counter() - began)
            return answer

        return timed


def costs_of(loop: Loop) -> tuple[list[Cost], float]:
    """What each part costs in a step of a training, the whole step last; and the seconds of a step in which kernels
    ran."""
    batches, watch = some_batches(loop), Stopwatch()
    loop.learner.network.train()
    walk(loop, batches)
    for part in parts_of(loop):
        watch.watch(*part)

    def steps() -> None:
        walk(loop, batches)
        loop.result.memory.end_epoch()

    step = watch.watched(STEP, steps)
    for _ in range(REPEATS):
        step()
    calls = {part: (statistics.median(times), len(times)) for part, times in watch.seconds.items()}
    events = traced(step, BOTH)
    of_step = len(batches)
    costs = [Cost(part, once * 1e3, launches_in(events, part)) for part, (once, _) in calls.items() if part != STEP]
    whole = Cost(STEP, calls[STEP][0] / of_step * 1e3, launches_in(events, STEP) / of_step)
    return [*costs, whole], covered(kernels_of(events)) / of_step


def launches_in(events: Sequence[Event], part: str) -> float:
    """The launches within the marks of a part, mean over the marks."""
    marks = [one for one in events if one.name == part and not one.kind.startswith("gpu")]
    begun = [one.began for one in events if one.name.startswith(LAUNCHES)]
    return sum(mark.began <= moment < mark.ended for mark in marks for moment in begun) / max(1, len(marks))


def loop_of(plan: Plan, folder: Path) -> Loop:
    """A training as the plan's first run has it, on embedded shapes that are drawn into the folder."""
    spec, train = plan.runs[0], plan.runs[0].train
    shapes = plan.shapes[spec.case]
    index = make_shapes(folder, Shapes(images=PROFILED * train.batch, validation=1, size=shapes.size))
    made = replace(spec, train=replace(train, workers=0))
    set_flags(made)
    return make_loop(made, index, Progress(None), Hook())


def main(arguments: Sequence[str]) -> int:
    """Exit code 0, or 2 with one sentence for what cannot be used."""
    try:
        if len(arguments) != 1:
            raise UsageError("Name one results folder: `python -m harness.conduct plan --handoff FILE` makes its plan.")
        with tempfile.TemporaryDirectory() as folder:
            loop = loop_of(read_plan(Path(arguments[0]) / ASKED_FILE), Path(folder))
            costs, kernels = costs_of(loop)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    train = loop.spec.train
    print(f"torch {torch.__version__}, {loop.spec.device}, {train.image_size} px, batch {train.batch}")
    print(f"{'part of a step':40} {'host ms':>9} {'launches':>9}")
    for cost in costs:
        print(f"{cost.part:40} {cost.milliseconds:9.2f} {cost.launches:9.0f}")
    print(f"kernels ran for {kernels * 1e3:.1f} ms a step")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
