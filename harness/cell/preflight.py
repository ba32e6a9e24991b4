"""Checks the label: is this environment what its lock says, and can its torch run on this machine's GPU?

`python -m harness.cell.preflight LOCK` is the last step of every `pin-*` session; every run checks again.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from harness.cell.label import differences_from, matches
from harness.core.locks import lock_of
from harness.core.spec import RunSpec


def wrong_label(spec: RunSpec) -> str | None:
    """Why this environment is not the pin's, or None. The ambient interpreter has no label to check."""
    if spec.pin.lock is None:
        return None
    wrong = differences_from(lock_of(spec.pin.locked))
    return f"The environment differs from the lock: {'; '.join(wrong)}." if wrong else None


def can_run(architectures: Sequence[str], capability: tuple[int, int]) -> bool:
    """Whether a wheel built for these architectures has code for a GPU of this compute capability.

    Machine code (sm_XY) runs on GPUs of the same major version and at least that minor; PTX (compute_XY) is compiled
    by the driver for that and any newer GPU (CUDA C++ Programming Guide, binary and PTX compatibility).
    """
    for architecture in architectures:
        kind, _, digits = architecture.partition("_")
        number = re.match(r"\d+", digits)
        if not number or len(number.group()) < 2:
            continue
        major, minor = int(number.group()[:-1]), int(number.group()[-1])
        if kind == "sm" and major == capability[0] and minor <= capability[1]:
            return True
        if kind == "compute" and (major, minor) <= capability:
            return True
    return False


def why_unsupported(device: str, architectures: Sequence[str], capability: tuple[int, int] | None) -> str | None:
    """Why torch as installed cannot run on the device, or None if it can. No `capability`: CUDA cannot start."""
    if device == "cpu":
        return None
    cuda = torch.version.cuda
    if capability is None:
        if cuda is None:
            return f"This torch {torch.__version__} was built without CUDA."
        return f"CUDA {cuda} of this torch cannot start with this machine's GPU and driver."
    if not can_run(architectures, capability):
        return (
            f"The wheel is a CUDA {cuda} build for {', '.join(architectures)}; "
            f"the GPU is sm_{capability[0]}{capability[1]}, for which it has no code."
        )
    return None


def unsupported_here(device: str) -> str | None:
    """`why_unsupported` for this process's torch and this machine."""
    usable = device != "cpu" and torch.cuda.is_available()
    capability = torch.cuda.get_device_capability(device) if usable else None
    return why_unsupported(device, torch.cuda.get_arch_list() if usable else [], capability)


def main(arguments: Sequence[str]) -> int:
    """Print what was found; exit code 1 when the environment is not what the lock says."""
    if not matches(Path(arguments[0]), f"torch {torch.__version__}", f"CUDA {torch.version.cuda}"):
        return 1
    if torch.cuda.is_available():
        built_for = ", ".join(torch.cuda.get_arch_list())
        print(unsupported_here("cuda:0") or f"Built for {built_for}, which suits this machine's GPU.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
