"""Which device can be trained on: a look at it, and the first of several on which the work succeeds.

A device is passed over for one of three reasons: it is absent, the wheel has no code for it, or it is full. Anything
else that fails there is no matter of the device, and fails the run.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator, Sequence
from typing import Callable, Literal, TypeVar

import psutil
import pynvml
import torch
from msgspec.structs import replace

from harness.cell.model import load_model
from harness.cell.preflight import unsupported_here
from harness.core.declaration import Case
from harness.core.errors import UsageError
from harness.core.gpus import nvml_handle
from harness.core.settings import DeviceSettings
from harness.core.spec import RunSpec

Kind = Literal["absent", "unsupported", "full"]
Result = TypeVar("Result")

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "status_alloc_failed")
"""What torch's errors say, in lower case, of CUDA, of the CPU (Linux and elsewhere), and of cuBLAS and cuDNN. A class
of its own they have only in later versions."""


class UnusableError(Exception):
    """A device cannot be trained on. The message is what it is and why, as the end of a sentence."""

    def __init__(self, kind: Kind, why: str) -> None:
        super().__init__(f"{kind}: {why}")
        self.kind = kind


def on_device(spec: RunSpec, device: str) -> RunSpec:
    """The spec on another device. A CPU trains in single precision, as the plan has it for every run there."""
    return replace(spec, device=device, precision="fp32" if device == "cpu" else spec.precision)


def wanted_devices(spec: RunSpec, case: Case) -> list[str]:
    """Where a case looks that finds its device by itself, in its order."""
    assert case.settings is not None
    settings = spec.settings_as(case.settings)
    assert isinstance(settings, DeviceSettings)
    return settings.wanted


def before_choice(spec: RunSpec, case: Case) -> RunSpec:
    """The spec as a run begins: on the CPU where the case is to find its device, so that no GPU is touched before.

    Where only one is wanted, and the machine has it, there is nothing to find: a wheel that has no code for it is as
    unsupported as in any other case.
    """
    if not case.finds_device:
        return spec
    device, *others = wanted_devices(spec, case)
    return on_device(spec, "cpu" if others or not is_there(device) else device)


def is_there(device: str) -> bool:
    """Whether the machine has the device, whatever this torch can do with it."""
    if device == "cpu":
        return True
    number = torch.device(device).index
    return number < torch.cuda.device_count() if torch.cuda.is_available() else is_reported(number)


def least_memory(spec: RunSpec, classes: int) -> int:
    """Bytes that any training step takes: weights, gradients, averages, the optimiser's moments, and the pictures.
    What lies between forward and backward comes on top, and shows only in the step."""
    weights = sum(parameter.numel() for parameter in load_model(spec.model).build(classes).parameters())
    moments = 2 if spec.recipe.optimizer == "adamw" else 1
    pictures = spec.train.batch * 3 * spec.train.image_size**2
    return 4 * (weights * (3 + moments) + pictures)


def look(device: str, needed: int) -> None:
    """`UnusableError` where the device is absent, not supported, or has fewer bytes free than are needed."""
    if device == "cpu":
        free = psutil.virtual_memory().available
    else:
        require_present(device)
        with starting_cuda():
            problem = unsupported_here(device)
            free = torch.cuda.mem_get_info(device)[0]
        if problem:
            raise UnusableError("unsupported", problem.rstrip("."))
    if free < needed:
        need = f"a training step needs {needed / 2**20:.0f} MiB at the least"
        raise UnusableError("full", f"{free / 2**20:.0f} MiB are free, and {need}")


def require_present(device: str) -> None:
    """`UnusableError` where there is no such GPU, or CUDA cannot start."""
    number = torch.device(device).index
    if not torch.cuda.is_available():
        why = unsupported_here(device) if is_reported(number) else "the NVIDIA driver reports no such GPU"
        raise UnusableError("absent", str(why).rstrip("."))
    if number >= torch.cuda.device_count():
        raise UnusableError("absent", f"torch sees {torch.cuda.device_count()} GPU(s), counted from cuda:0")


def is_reported(number: int) -> bool:
    """Whether the driver knows of torch's GPU of that number."""
    try:
        nvml_handle(number, os.environ)
    except pynvml.NVMLError:
        return False
    return True


@contextlib.contextmanager
def starting_cuda() -> Iterator[None]:
    """The first calls that need CUDA at work on a GPU, which takes memory there. `UnusableError` where it cannot."""
    try:
        yield
    except RuntimeError as error:
        kind: Kind = "full" if is_out_of_memory(error) else "absent"
        raise UnusableError(kind, f"CUDA cannot start there ({first_line(error)})") from None


@contextlib.contextmanager
def out_of_memory_is_full() -> Iterator[None]:
    """What runs out of memory within raises `UnusableError`; every other error stays what it is."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UnusableError("full", f"a training step ran out of memory ({first_line(error)})") from None


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory could not be had."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(phrase in said for phrase in OUT_OF_MEMORY)


def first_line(error: Exception) -> str:
    """What an error says, without the advice that CUDA's errors end with."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def first_usable(wanted: Sequence[str], attempt: Callable[[str], Result]) -> tuple[str, Result, dict[str, str]]:
    """The first device on which the attempt raises no `UnusableError`, what it returned there, and why each device
    before it was passed over; `UsageError` where there is none: what is not wanted is never taken instead."""
    passed_over: dict[str, str] = {}
    for device in wanted:
        try:
            return device, attempt(device), passed_over
        except UnusableError as error:
            passed_over[device] = str(error)
        release()
    found = "; ".join(f"{device} is {why}" for device, why in passed_over.items())
    raise UsageError(f"No device that may be used can be trained on: {found}.")


def release() -> None:
    """Give back what a failed attempt has left, before the next device is tried."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
