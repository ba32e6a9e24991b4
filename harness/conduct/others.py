"""What others do on this machine while something is measured: from the kernel's counts of time, and by NVML."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pynvml

from harness.conduct.machine import gpu_number
from harness.core.gpus import nvml_handle
from harness.core.record import Others

STAT = Path("/proc/stat")
TICKS = os.sysconf("SC_CLK_TCK")
"""In which the kernel counts time, in a second."""


@dataclass(frozen=True)
class Times:
    """Seconds since the machine was started, added up over all its processors: in all, at work for processes or the
    kernel, and taken by the hypervisor for other machines."""

    total: float
    busy: float
    stolen: float


def times_of(text: str) -> Times | None:
    """The times that the text of /proc/stat has (proc(5)); None where it has none."""
    line = next((line for line in text.splitlines() if line.startswith("cpu ")), "")
    counts = [int(count) / TICKS for count in line.split()[1:9] if count.isdigit()]
    if len(counts) < 8:
        return None
    user, nice, system, idle, waiting, hard, soft, stolen = counts
    busy = user + nice + system + hard + soft  # the guests' time is in the users'
    return Times(busy + idle + waiting + stolen, busy, stolen)


def read_times() -> Times | None:
    """The times as they are now; None where the kernel does not tell."""
    try:
        return times_of(STAT.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError):
        return None


def own_seconds() -> float:
    """Processor time of this process, and of those that it has started and that have ended, theirs included."""
    return sum(os.times()[:4])


def on_gpu(device: str) -> set[int] | None:
    """The processes that compute on a GPU; None on the CPU, or where NVML does not tell."""
    if device == "cpu":
        return None
    try:
        handle = nvml_handle(gpu_number(device), os.environ)
        return {int(process.pid) for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)}
    except pynvml.NVMLError:
        return None


class Watch:
    """Watches what others do from now on.

    Begun before processes of ours are started and asked when they have ended, it knows these by their times, and finds
    none of them on the GPU: so a container whose GPU is told of by other numbers of processes is no exception. What
    somebody of ours has killed and nobody waited for counts as others'.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.times, self.own = read_times(), own_seconds()
        self.load = load()
        self.gpu = on_gpu(device)

    def others(self) -> Others:
        """What others have done up to now."""
        gpu = on_gpu(self.device)
        seen = None if self.gpu is None or gpu is None else sorted(self.gpu | gpu)
        processors, stolen = shares(self.times, read_times(), own_seconds() - self.own)
        return Others(processors=processors, stolen=stolen, load=[*self.load, *load()], gpu=seen)


def shares(before: Times | None, after: Times | None, own: float) -> tuple[float | None, float | None]:
    """The shares of the processors' time that others and the hypervisor took; `own`: seconds of it that are ours."""
    if before is None or after is None or after.total <= before.total:
        return None, None
    total = after.total - before.total
    others = after.busy - before.busy - own
    return max(0.0, others) / total, max(0.0, after.stolen - before.stolen) / total


def load() -> list[float]:
    """The load average of the last minute; empty where the kernel does not tell."""
    try:
        return [os.getloadavg()[0]]
    except OSError:
        return []
