"""Whether driver and GPU are those that the wheel needs.

The rules are NVIDIA's: https://docs.nvidia.com/deploy/cuda-compatibility/ and the release notes of the CUDA toolkit.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import NamedTuple, Optional

import pynvml
import torch

from cases.audit.soundness import Finding, numbers
from harness.cell.environment import driver_version
from harness.cell.preflight import can_run

Version = tuple[int, ...]

LEAST = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}
"""The least driver by which every CUDA of this major version runs that is newer than the driver's own (minor version
compatibility). Before 11 there is none."""


class Driver(NamedTuple):
    """What this process has for a driver."""

    version: str
    """Of the kernel's module."""
    cuda: Version
    """The newest CUDA that the mapped libcuda can do."""
    own_cuda: Version
    """The newest that the driver itself can do: less than `cuda` where a cuda-compat package is mapped."""


def gpu(device: str) -> Finding:
    """The driver and the GPU against the wheel's CUDA and architectures; on a CPU neither is needed."""
    if device == "cpu":
        return Finding(notes=["no GPU is asked for"])
    wheel = numbers(torch.version.cuda or "")
    capability, architectures = torch.cuda.get_device_capability(device), torch.cuda.get_arch_list()
    return judged(wheel, found_driver(), architectures, capability)


def judged(wheel: Version, driver: Driver, architectures: Sequence[str], capability: tuple[int, int]) -> Finding:
    """Likewise of what was found."""
    finding = Finding()
    problem, note, older = driver_for(wheel, driver)
    (finding.problems if problem else finding.notes).append(problem or note)
    machine_code = [one for one in architectures if one.startswith("sm_")]
    name = f"sm_{capability[0]}{capability[1]}"
    if can_run(machine_code, capability):
        finding.notes.append(f"the wheel has machine code for {name} among {', '.join(machine_code)}")
    elif not can_run(architectures, capability):
        finding.problems.append(f"the wheel is built for {', '.join(architectures)}, and the GPU is {name}")
    elif older:
        finding.problems.append(f"for {name} the wheel has PTX alone, which this driver is too old to compile")
    else:
        finding.notes.append(f"for {name} the wheel has PTX alone, which the driver compiles at the first start")
    return finding


def driver_for(wheel: Version, driver: Driver) -> tuple[Optional[str], str, bool]:
    """What is wrong with the driver for a wheel's CUDA, else what is to be said, and whether it is older than that."""
    can = f"driver {driver.version} has CUDA {text(driver.cuda)}, the wheel {text(wheel)}"
    if driver.cuda > driver.own_cuda:
        can = f"driver {driver.version} has CUDA {text(driver.cuda)} by cuda-compat, the wheel {text(wheel)}"
    if driver.cuda >= wheel:
        return None, can, False
    least = LEAST.get(wheel[0])
    if least is None or driver.cuda[0] != wheel[0] or numbers(driver.version) < numbers(least):
        wanted = f", and it takes driver {least}" if least else ""
        return f"{can}{wanted}", "", True
    return None, f"{can}, which runs as it is of the same major version", True


def found_driver() -> Driver:
    """The driver of this process; `RuntimeError` where libcuda does not answer, and it has been used before."""
    number = ctypes.c_int()
    if ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(number)):
        raise RuntimeError("libcuda does not tell its version")
    pynvml.nvmlInit()
    return Driver(
        driver_version() or "", cuda_version(number.value), cuda_version(pynvml.nvmlSystemGetCudaDriverVersion())
    )


def cuda_version(number: int) -> Version:
    """A version of CUDA as its libraries give it: 12040 is 12.4."""
    return number // 1000, number % 1000 // 10


def text(version: Version) -> str:
    """A version as it is written."""
    return ".".join(map(str, version))
