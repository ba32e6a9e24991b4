"""What a process holds of the machine's memory, as the kernel counts it, and its fixed cost: what it holds before it
has a model.

Resident pages are of two kinds. Those of mapped files, such as torch's libraries, lie in the page cache: all processes
share them, and the kernel drops them where it needs room. How many of them are mapped is chance: what lies in the cache
near a page that is touched is mapped with it, and a file that was read from end to end lies there in large pieces. The
libraries of torch 1.10.0, whatever it does, are 142 MiB of a process where they were loaded on demand and 250 MiB where
something has read them whole (Linux 6.18, ext4). All other pages are the process's own, and what it needs.
"""

from __future__ import annotations

import contextlib
import ctypes
from functools import cache
from pathlib import Path
from typing import NamedTuple, Optional

import torch

STATUS = Path("/proc/self/status")


class Resident(NamedTuple):
    """Bytes of a process's resident memory (proc(5), /proc/PID/status)."""

    own: int
    """Anonymous and shared memory, of whatever no file stands for: RssAnon and RssShmem."""
    files: int
    """Pages of mapped files: RssFile."""
    peak: int
    """The most that all of it was since the last reset: VmHWM. Of its parts the kernel keeps no peak."""

    @property
    def own_peak(self) -> int:
        """The most that was its own: the peak less the mapped files of now. Files stay mapped, so it is short at most
        by what was mapped since the peak: in the first epoch the code of kernels, later nothing."""
        return self.peak - self.files


def resident() -> Optional[Resident]:
    """What this process holds now; None where /proc does not tell."""
    with contextlib.suppress(OSError, KeyError, ValueError):
        lines = (line.partition(":") for line in STATUS.read_text(encoding="ascii").splitlines())
        told = {name: rest for name, _, rest in lines}
        anonymous, shared, files, peak = (
            int(told[name].split()[0]) * 1024 for name in ("RssAnon", "RssShmem", "RssFile", "VmHWM")
        )
        return Resident(anonymous + shared, files, peak)
    return None


@cache
def fixed_cost() -> Optional[Resident]:
    """What this process held when it asked for the first time; None where /proc does not tell.

    The main program asks when torch, torchvision and all else are imported that the case's body needs, and the label
    has been checked; neither data nor model are there. A first operation comes before, so that what torch makes at its
    first use is in it.
    """
    first_operation()
    give_back()
    return resident()


def first_operation() -> None:
    """A convolution and a product of matrices, forward and backward: the libraries behind both come up."""
    weight = torch.ones(8, 3, 3, 3, requires_grad=True)
    features = torch.nn.functional.conv2d(torch.ones(1, 3, 32, 32), weight, padding=1).view(8, -1)
    torch.mm(features, features.t()).sum().backward()


def give_back() -> None:
    """Have the C library give what is free in its heap back to the kernel (malloc_trim(3), glibc). Imports leave 2 MiB
    free there, some more, some less: training would find room in them, and seem to add less."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def reset_peak() -> bool:
    """Set the kernel's peak of this process back to now (proc(5), clear_refs 5); False where that is not allowed."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True
