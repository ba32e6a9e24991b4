"""What is observed at run time, and the flags that are set alike on all pins."""

from __future__ import annotations

import os
import platform
from typing import Optional

import psutil
import pynvml
import torch

from harness.cell.compat import torchvision_version
from harness.cell.label import installed_packages
from harness.core.hardware import cpu_model, node_here
from harness.core.record import Environment
from harness.core.spec import RunSpec

SHOWN = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUBLAS_WORKSPACE_CONFIG", "LD_PRELOAD", "LD_LIBRARY_PATH")
"""Variables that are kept with the flags. By the last two a machine may find its driver or its malloc, so they are left
to a run; but by them it may also load other libraries than the wheel's."""


def set_flags(spec: RunSpec) -> None:
    """Set threads, and with `pinned` every default that differs between torch versions or lets cuDNN choose anew.

    `torch.use_deterministic_algorithms` is left off on all pins: 1.10 refuses operations that later versions have
    deterministic code for, so that turning it on would be a treatment that depends on the version.
    """
    torch.set_num_threads(spec.threads)
    if spec.device != "cpu":
        torch.cuda.set_device(spec.device)  # events and streams belong to the current device
    if spec.flags == "pinned":
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False


def observed_flags(spec: RunSpec) -> dict[str, str]:
    """The flags as they are now, whoever set them."""
    flags: dict[str, object] = {
        "setting": spec.flags,
        "cudnn.benchmark": torch.backends.cudnn.benchmark,
        "cudnn.deterministic": torch.backends.cudnn.deterministic,
        "cudnn.allow_tf32": torch.backends.cudnn.allow_tf32,
        "matmul.allow_tf32": torch.backends.cuda.matmul.allow_tf32,
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "mkldnn": torch.backends.mkldnn.is_available(),
    }
    for name in SHOWN:
        flags[name] = os.environ.get(name, "not set")
    return {name: str(value) for name, value in flags.items()}


def observe(spec: RunSpec, label: str) -> Environment:
    """The environment of this process. `label` is the outcome of the comparison with the lock."""
    on_gpu = spec.device != "cpu" and torch.cuda.is_available()
    properties = torch.cuda.get_device_properties(spec.device) if on_gpu else None
    return Environment(
        python=platform.python_version(),
        torch=str(torch.__version__),
        torchvision=torchvision_version(),
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version() if on_gpu else None,
        packages=installed_packages(),
        system=f"{platform.system()} {platform.release()}",
        cpu=cpu_model(),
        cores=psutil.cpu_count() or 1,
        threads=torch.get_num_threads(),
        gpu=properties.name if properties else None,
        gpu_architecture=f"sm_{properties.major}{properties.minor}" if properties else None,
        gpu_memory=properties.total_memory if properties else None,
        driver=driver_version() if on_gpu else None,
        wheel_architectures=torch.cuda.get_arch_list() if on_gpu else [],
        flags=observed_flags(spec),
        label=label,
        node=node_here(os.environ),
    )


def driver_version() -> Optional[str]:
    """The NVIDIA driver's version, or None where NVML does not answer."""
    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return None
