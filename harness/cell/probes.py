"""What is watched during training: gradients and memory. Each probe has one moment at which it looks."""

from __future__ import annotations

import itertools
import math
import os
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional, Union

import psutil
import pynvml
import torch
from torch import Tensor

from harness.cell.model import Losses, table_of
from harness.cell.resident import fixed_cost, reset_peak, resident
from harness.core.gpus import nvml_handle
from harness.core.record import Anomaly

KEPT_ANOMALIES = 2000
"""Entries of the anomaly list that a record keeps; the counts are always whole."""

MOST_EPOCHS = 500
"""Of longer trainings every so many-th epoch is enough to tell a slope: the pairs grow with the square."""


class Reading(NamedTuple):
    """What one optimiser step looked like before clipping."""

    loss: float
    """The total, mean over the batches of the step."""
    terms: dict[str, float]
    """The terms of the loss likewise."""
    norm: float
    """Joint 2-norm of all gradients."""
    finite: bool
    """Whether the loss and every gradient is finite."""


class GradientWatch:
    """Looks at every optimiser step's gradients after unscaling and before clipping.

    Norms and loss come to the host in one transfer: the one synchronisation that a step costs. Anomalies are
    `non-finite loss`, `non-finite gradient` (one entry a parameter) and `dead branch` (all gradients of a branch are
    exactly 0 although it has targets).
    """

    def __init__(self, names: Sequence[str], branches: dict[str, list[str]]) -> None:
        self.names = list(names)
        position = {name: index for index, name in enumerate(self.names)}
        self.branches = {
            branch: [position[name] for name in members if name in position] for branch, members in branches.items()
        }
        self.anomalies: list[Anomaly] = []
        self.anomalous_steps = 0
        self.nonfinite_gradients = 0
        self.scaler_skips = 0

    def read(
        self, norms: Tensor, losses: Sequence[Losses], scale: Tensor, *, epoch: int, step: int, targets: int
    ) -> Reading:
        """Judge one step of one or more batches with these losses. `targets`: true boxes in their pictures; `scale`:
        the loss scaler's factor, 1 without one.

        A non-finite gradient under a scale above 1 with finite losses is the scaler finding its level: the scaler
        skips the step and halves its factor, which is counted apart and is no anomaly. What is not finite for another
        reason stays so, and is an anomaly once the factor has come down to 1.
        """
        means = table_of(losses).mean(0)
        values = torch.cat([means, scale.float().view(1), norms.float()]).tolist()
        loss, factor, gradients = losses[0].replaced(values), values[len(means)], values[len(means) + 1 :]
        total = float(loss.total)
        bad = {self.names[index]: value for index, value in enumerate(gradients) if not math.isfinite(value)}
        seen: list[tuple[str, str, str]] = []
        if not math.isfinite(total):
            seen.append(("non-finite loss", "", str(total)))
        if bad and factor > 1 and not seen:
            self.scaler_skips += 1
        else:
            self.nonfinite_gradients += len(bad)
            seen += [("non-finite gradient", name, str(value)) for name, value in bad.items()]
        seen += [("dead branch", branch, "0") for branch in self.dead_branches(gradients, targets, loss.reached)]
        self.anomalous_steps += bool(seen)
        self.keep([Anomaly(kind, epoch, step, parameter, value) for kind, parameter, value in seen])
        norm = math.sqrt(sum(value * value for value in gradients))
        return Reading(total, dict(loss.terms), norm, math.isfinite(total) and not bad)

    def keep(self, found: Sequence[Anomaly]) -> None:
        """Add to the list as long as a record has room for it."""
        self.anomalies += found[: KEPT_ANOMALIES - len(self.anomalies)]

    def dead_branches(self, gradients: Sequence[float], targets: int, reached: Mapping[str, float]) -> list[str]:
        """Branches whose gradients are all exactly 0 with targets there, but for those that nothing reached."""
        if not targets:
            return []
        return [
            branch
            for branch, members in self.branches.items()
            if members and reached.get(branch, 1.0) > 0 and all(gradients[index] == 0.0 for index in members)
        ]


class MemoryNames(NamedTuple):
    """The series by epoch that tell of the memory of a kind of device."""

    used: str
    """What is in use at the end of an epoch."""
    held: str
    """What the process holds then: what is free within its allocator counts in."""
    peak: str
    """The most that training had in use."""


RESIDENT_PEAKS = ("peak_rss", "training_memory")
"""The series by epoch that come from the kernel's peak of what is resident."""

MEMORY_OF = {
    "cpu": MemoryNames("rss", "rss", "training_memory"),
    "cuda": MemoryNames("allocated", "reserved", "peak_allocated"),
}


class MemoryProbe:
    """Peak memory of every epoch's training part, in bytes. The peak is reset where each epoch's training starts; what
    an evaluation before it left in the allocator's or the heap's hands counts in, as it does in any real training.

    On the CPU: resident set size by the kernel's high-water mark (Linux), and of it what training adds: the process's
    own memory less what it held before there was a model (`resident.py` says why not all of it). On CUDA: allocated and
    reserved by torch's allocator, and the process's memory at the end of the epoch as NVML sees it, which adds the
    context and libraries.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.names = MEMORY_OF[device.type]
        self.process = psutil.Process()
        self.fixed = fixed_cost()
        self.series: dict[str, list[float]] = {}
        self.reasons: dict[str, str] = {}

    def start_epoch(self) -> None:
        """The named boundary: peaks count from here."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        elif not reset_peak():
            for name in RESIDENT_PEAKS:
                self.reasons[name] = "this system does not let a process reset its peak: it counts from its start"

    def end_epoch(self) -> None:
        """Read the peaks, before the evaluation adds its own."""
        self.keep("rss", float(self.process.memory_info().rss))
        if self.device.type == "cuda":
            allocator = torch.cuda.memory_stats(self.device)  # a function for each figure would ask four times for all
            for kind in ("allocated", "reserved"):
                self.keep(kind, float(allocator[f"{kind}_bytes.all.current"]))
                self.keep(f"peak_{kind}", float(allocator[f"{kind}_bytes.all.peak"]))
            used = nvml_process_memory(self.device)
            if isinstance(used, int):
                self.keep("nvml_process", float(used))
            else:
                self.reasons["nvml_process"] = used
        else:
            now = resident()
            if now and self.fixed:
                self.keep("peak_rss", float(now.peak))
                self.keep("training_memory", float(now.own_peak - self.fixed.own))
            else:
                self.reasons.update(dict.fromkeys(RESIDENT_PEAKS, "this system does not tell what a process holds"))

    def fixed_parts(self) -> dict[str, Union[float, str]]:
        """What the process costs without its training, in bytes by the names of metrics, or why that is not known. On
        CUDA it is told when the first epoch is over: some libraries are loaded when they are needed first."""
        if self.device.type == "cuda":
            used, reserved = (self.series.get(name, [])[:1] for name in ("nvml_process", "reserved"))
            why = self.reasons.get("nvml_process", "no epoch was trained")
            return {"fixed_memory": used[0] - reserved[0] if used and reserved else why}
        if self.fixed is None:
            return dict.fromkeys(("fixed_memory", "fixed_files"), "this system does not tell what a process holds")
        return {"fixed_memory": float(self.fixed.own), "fixed_files": float(self.fixed.files)}

    def keep(self, name: str, value: float) -> None:
        """Append to a series."""
        self.series.setdefault(name, []).append(value)

    def used(self) -> list[float]:
        """Bytes in use at the end of every epoch."""
        return self.series.get(self.names.used, [])

    def in_use(self) -> float:
        """Bytes in use at the end of the last epoch."""
        return self.used()[-1]

    def peak(self) -> float:
        """The peak of the last epoch, or where the system keeps none, what was in use at its end."""
        return self.series.get(self.names.peak, [self.in_use()])[-1]

    def resident(self) -> int:
        """Memory now, for the progress display: RSS or allocated."""
        if self.device.type == "cuda":
            return int(torch.cuda.memory_allocated(self.device))
        return int(self.process.memory_info().rss)


def growth(values: Sequence[float], begun: Sequence[int] = (0,), warmup: int = 1) -> Optional[float]:
    """The share that is added to a quantity every epoch: the median slope of its logarithm over all pairs of epochs
    (Theil and Sen) of the same process. `begun`: the epochs in which processes began; the first `warmup` of each are
    apart. None where no process has three further ones."""
    slopes: list[float] = []
    for start, end in zip(begun, [*begun[1:], len(values)]):
        kept = values[start + warmup : end]
        apart = max(1, len(kept) // MOST_EPOCHS)
        kept = kept[::apart]
        if len(kept) >= 3:
            pairs = itertools.combinations(range(len(kept)), 2)
            slopes += [math.log(kept[b] / kept[a]) / ((b - a) * apart) for a, b in pairs]
    return statistics.median(slopes) if slopes else None


def nvml_process_memory(device: torch.device) -> Union[int, str]:
    """This process's GPU memory in bytes as NVML sees it, or the reason why it does not say."""
    try:
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(nvml_handle(device.index or 0, os.environ))
    except pynvml.NVMLError as error:
        return f"NVML: {error}"
    for process in processes:
        if process.pid == os.getpid():
            return "NVML does not say" if process.usedGpuMemory is None else int(process.usedGpuMemory)
    return "NVML does not list this process: its process ids are not this container's"
