"""The only file that branches on what is installed. Every branch taken is noted, and ends in the record."""

from __future__ import annotations

from typing import Any, Optional

import torch

from harness.cell.suppress import Suppress, greedy_nms

try:
    import torchvision
except ImportError:
    torchvision = None

taken: dict[str, str] = {}
"""Subject of each decision made in this process, and the side that was taken."""


def grad_scaler(enabled: bool) -> Any:
    """The dynamic loss scaler for CUDA. torch 2.3 gave it a new place, and 2.4 warns of the old one."""
    if hasattr(torch, "amp") and hasattr(torch.amp, "GradScaler"):
        taken["loss scaler"] = "torch.amp.GradScaler"
        return torch.amp.GradScaler("cuda", enabled=enabled)
    taken["loss scaler"] = "torch.cuda.amp.GradScaler"
    return torch.cuda.amp.GradScaler(enabled=enabled)


def suppression() -> Suppress:
    """torchvision's non-maximum suppression, part of every pin; ours where an ambient torch has no torchvision."""
    if torchvision is None:
        taken["suppression"] = "harness.cell.suppress.greedy_nms, torchvision is not installed"
        return greedy_nms
    taken["suppression"] = "torchvision.ops.nms"
    nms: Suppress = torchvision.ops.nms
    return nms


def torchvision_version() -> Optional[str]:
    """The version of torchvision, or None where it is not installed."""
    return None if torchvision is None else str(torchvision.__version__)
