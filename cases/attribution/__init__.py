"""Says where the time and the memory of a training step go, all pins in turns.

Shows which kinds of layers, which modules and which other parts of a step make up the difference between two versions.
In every lap each pin does a plain step and one that is traced: a hook at the beginning and end of every layer and after
every node of the backward pass reads the clock, and what the hooks do themselves is left out. Torch's own profiler was
tried and is used for memory alone: it takes time for every operator within an operator, of which the versions have
different numbers. In a step of 1.10.0 that took as long as one of 1.13.1 it saw a quarter more. The parts of a step add
up to it, so they are shares of what is seen, and no finding is made of them.
"""

from __future__ import annotations

from harness.core.declaration import Case, DeclaredBreakdown, DeclaredMetric, Turns
from harness.core.settings import CaseSettings, Positive
from harness.core.training import GPU_BUSY


class Settings(CaseSettings, frozen=True, kw_only=True):
    """How many steps are traced. Of `train`, which all profiles have, `epochs` does not count."""

    laps: Positive
    """Laps of one process: in each a plain step and a traced one."""
    sittings: Positive
    """Processes of a run, one after another, each from the initial weights. Two at least, over all rounds, tell how far
    processes differ."""


PLAIN = DeclaredMetric("plain_step_time", "Step time, plain", "s", "ratio", shown="ms")
TRACED = DeclaredMetric("traced_step_time", "Step time, traced", "s", "ratio", shown="ms")
STEP, PEAK = "time for a step", "memory at its peak"
TIMES = tuple(
    DeclaredBreakdown(name, f"Time of a step, {way}", STEP, "s", "ms", beside=(PLAIN.name, "step_time"))
    for name, way in (("time_by_layer", "by kind of layer"), ("time_by_module", "by module"))
)
MEMORY = tuple(
    DeclaredBreakdown(
        name, f"Memory at its peak, {way}", PEAK, "bytes", by_part=True, beside=("training_memory", "peak_allocated")
    )
    for name, way in (
        ("memory_by_layer", "by the kind of layer that took it"),
        ("memory_by_module", "by the module that took it"),
    )
)

CASE = Case(
    settings=Settings,
    weights="either",
    turns=Turns(metrics=(PLAIN.name, TRACED.name)),
    metrics=(PLAIN, TRACED, GPU_BUSY),
    breakdowns=(*TIMES, *MEMORY),
)
