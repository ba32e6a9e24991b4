"""The only file that branches on what is installed. Every branch taken is noted, and ends in the record."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import torch
from torch import Tensor, nn

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


def exports_by_torchscript() -> bool:
    """Whether torch.onnx.export goes by TorchScript where nothing else is asked. From torch 2.9 on it goes by
    torch.export, and asks for the package onnxscript."""
    dynamo = inspect.signature(torch.onnx.export).parameters.get("dynamo")
    found = dynamo is None or not dynamo.default
    taken["ONNX exporter by default"] = "TorchScript" if found else "torch.export"
    return found


def export_onnx(
    network: nn.Module,
    pictures: Tensor,
    path: Path,
    *,
    names: tuple[str, Sequence[str]],
    axes: Mapping[str, Mapping[int, str]],
    opset: Optional[int],
    torchscript: bool,
) -> None:
    """Export a network with the arguments that all versions take. `names`: of its input and outputs. `axes`: those of
    them that are dynamic, by their names. `opset`: None leaves it to the version. `torchscript`: by that, where
    something else is the default.

    Raises whatever the exporter does.
    """
    told: dict[str, Any] = {"input_names": [names[0]], "output_names": [*names[1]]}
    if axes:
        told["dynamic_axes"] = axes
    if opset is not None:
        told["opset_version"] = opset
    if torchscript and not exports_by_torchscript():
        told["dynamo"] = False
    torch.onnx.export(network, (pictures,), str(path), **told)


def torchvision_version() -> Optional[str]:
    """The version of torchvision, or None where it is not installed."""
    return None if torchvision is None else str(torchvision.__version__)
