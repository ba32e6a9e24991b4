"""Which of the driver's GPUs is torch's `cuda:N`: CUDA_VISIBLE_DEVICES renumbers torch's devices and not NVML's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import pynvml

ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""Set for every run: NVML numbers GPUs by their place on the bus, CUDA by default the fastest first."""


def driver_name(index: int, environ: Mapping[str, str]) -> Optional[str]:
    """NVML's number or UUID for torch's device `index`, or None where the variables hide it."""
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return str(index)
    names = [name.strip() for name in visible.split(",") if name.strip()]
    return names[index] if index < len(names) else None


def nvml_handle(index: int, environ: Mapping[str, str]) -> Any:
    """NVML's handle for torch's device `index`; `pynvml.NVMLError` where there is no driver or no such GPU."""
    pynvml.nvmlInit()
    name = driver_name(index, environ)
    if name is None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
    if name.isdigit():
        return pynvml.nvmlDeviceGetHandleByIndex(int(name))
    return pynvml.nvmlDeviceGetHandleByUUID(name)
