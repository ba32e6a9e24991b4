"""What the hardware of this machine is called, found without importing torch."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

import pynvml

from harness.core.gpus import nvml_handle


def cpu_model() -> str:
    """The processor's name as Linux gives it, elsewhere as Python does."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def node_here(environ: Mapping[str, str]) -> Optional[str]:
    """The node of a cluster that this is, by the name that Slurm has for it; None outside of one."""
    return environ.get("SLURMD_NODENAME")


def hardware_of(device: str) -> Optional[str]:
    """What a device, cpu or cuda:N, is called here, as records have it; None for a GPU that is not here."""
    if device == "cpu":
        return cpu_model()
    try:
        return str(pynvml.nvmlDeviceGetName(nvml_handle(int(device.partition(":")[2]), os.environ)))
    except pynvml.NVMLError:
        return None
