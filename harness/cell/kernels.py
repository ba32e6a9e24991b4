"""What a GPU does while something is done on the host, as torch's profiler (Kineto) sees it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional, Union

import torch
from torch.profiler import ProfilerActivity, profile

from harness.cell.data.batches import Batch
from harness.cell.measured import Measured
from harness.cell.schedule import Schedule
from harness.cell.train import Gathered, Hook, Loop, Position, gather, start_training, training_batches, update
from harness.core.training import GPU_BUSY

ON_GPU = (ProfilerActivity.CUDA,)
PROFILED = 8
"""Batches whose kernels are looked at, or as many more as make a whole optimiser step."""


class Event(NamedTuple):
    """Something that the profiler saw; microseconds."""

    kind: str
    """In small letters: what the versions call Kernel and kernel is the same."""
    name: str
    began: float
    ended: float


def traced(work: Callable[[], object], activities: Sequence[ProfilerActivity] = ON_GPU) -> list[Event]:
    """What the profiler sees of these activities while `work` is done, until the GPU has done all of it."""
    with profile(activities=list(activities)) as profiler:
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        return events_of(json.loads(path.read_text(encoding="utf-8")))


def events_of(trace: dict[str, Any]) -> list[Event]:
    """The events of a Chrome trace that have a length."""
    return [
        Event(str(one.get("cat", "")).lower(), one["name"], float(one["ts"]), float(one["ts"]) + float(one["dur"]))
        for one in trace["traceEvents"]
        if one.get("ph") == "X" and "dur" in one
    ]


def kernels_of(events: Sequence[Event]) -> list[Event]:
    """The kernels: no copies, and none of the ranges that newer versions draw around kernels."""
    return [one for one in events if one.kind == "kernel"]


def covered(events: Sequence[Event]) -> float:
    """Seconds in which at least one of these events lasted."""
    total, end = 0.0, float("-inf")
    for one in sorted(events, key=lambda one: one.began):
        total += max(0.0, one.ended - max(one.began, end))
        end = max(end, one.ended)
    return total / 1e6


def keep_gpu_busy(measured: Measured, loop: Loop, seconds: Optional[float] = None) -> None:
    """Keep the share of a step in which kernels ran, of a training that is over.

    The profiler slows the host down and hardly the kernels. So the seconds of kernels are those of a few further
    batches under it, and the seconds of a batch those that are given, or of the epochs, which were measured without it.
    """
    if loop.learner.device.type != "cuda":
        return
    if seconds is None:
        epochs = loop.result.settled(loop.result.epoch_seconds)
        seconds = sum(epochs) / len(epochs) / loop.batches
    kernels = seconds_of_kernels(loop)
    if isinstance(kernels, str):
        measured.keep_reason(GPU_BUSY.name, kernels)
    else:
        measured.keep_metric(GPU_BUSY.name, [min(1.0, kernels / seconds)])


def seconds_of_kernels(loop: Loop) -> Union[float, str]:
    """How long kernels run in a step of a training, a batch each, or why that is not known. The training goes on for
    these steps, but nothing that it has left is changed."""
    further = replace(loop, result=start_training(loop.learner), hook=Hook(), gathered=Gathered())
    batches = some_batches(loop)
    loop.learner.network.train()
    try:
        walk(further, batches)  # what evaluation has left in caches
        kernels = kernels_of(traced(lambda: walk(further, batches)))
    except (RuntimeError, OSError, ValueError) as error:  # a GPU whose counters are not open to us, a broken trace
        return f"the profiler failed: {type(error).__name__}: {error}"
    return covered(kernels) / len(batches) if kernels else "the profiler saw no kernel"


def some_batches(loop: Loop) -> list[Batch]:
    """Batches for whole optimiser steps, the first of the training, again and again where it has few."""
    train = loop.spec.train
    accumulate = Schedule(loop.spec.recipe, train.epochs, loop.batches, train.batch).accumulate
    number = -(-PROFILED // accumulate) * accumulate
    with training_batches(loop.spec, loop.index) as stream:
        found = [batch for batch, _ in zip(stream.epoch(0), range(number)) if not batch.problem]
    return [found[place % len(found)] for place in range(number)]


def walk(loop: Loop, batches: Sequence[Batch]) -> None:
    """Train on these batches; optimiser steps are done as often as at the end of the training."""
    train = loop.spec.train
    accumulate = Schedule(loop.spec.recipe, train.epochs, loop.batches, train.batch).accumulate
    for number, batch in enumerate(batches, 1):
        gather(loop, [batch])
        if number % accumulate == 0:
            update(loop, Position(0, number - 1))
