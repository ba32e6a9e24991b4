"""What this machine is: its GPU, found without importing torch, and the set of pins that can run on it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Optional

import pynvml

from harness.core.errors import UsageError
from harness.core.gpus import nvml_handle
from harness.core.matrix import MachineKind


@dataclass(frozen=True)
class Gpu:
    """One GPU as the driver reports it."""

    name: str
    architecture: str
    """Its compute capability as a wheel's architecture list writes it, such as sm_86."""


@dataclass(frozen=True)
class Site:
    """Where a matrix is run: the device, the machine kind, and why it is that kind."""

    device: str
    machine: str
    reason: str


def find_gpu(index: int) -> Optional[Gpu]:
    """The GPU of that index, or None where there is no driver or no such GPU."""
    try:
        handle = nvml_handle(index, os.environ)
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
        return Gpu(str(pynvml.nvmlDeviceGetName(handle)), f"sm_{major}{minor}")
    except pynvml.NVMLError:
        return None


def choose_device(asked: str) -> tuple[str, Optional[Gpu]]:
    """The device to run on: `auto` takes the first GPU if there is one; a device that is named must exist."""
    if asked == "cpu":
        return "cpu", None
    if asked == "auto":
        gpu = find_gpu(0)
        return ("cuda:0", gpu) if gpu else ("cpu", None)
    gpu = find_gpu(gpu_number(asked))
    if gpu is None:
        raise UsageError(f"--device {asked}: the NVIDIA driver reports no such GPU; nvidia-smi lists what there is.")
    return asked, gpu


def gpu_number(device: str) -> int:
    """N of cuda:N; `UsageError` for what is no GPU's name."""
    named = re.fullmatch("cuda:([0-9]{1,3})", device)
    if not named:
        raise UsageError(f"--device {device} is not a device: give auto, cpu or cuda:N.")
    return int(named[1])


def choose_machine(machines: dict[str, MachineKind], gpu: Optional[Gpu]) -> tuple[str, str]:
    """The machine kind and, in words, why it was chosen."""
    if gpu is None:
        return "cpu", "the NVIDIA driver reports no GPU, or --device cpu"
    for name, kind in machines.items():
        if gpu.architecture in kind.architectures:
            return name, f"the GPU is {gpu.name}, {gpu.architecture}"
    raise UsageError(
        f"No [machines.*] of cases/matrix.toml lists {gpu.architecture} ({gpu.name}): "
        "add a machine kind with the pins that can run there, name pins with --pins, or use --device cpu."
    )
