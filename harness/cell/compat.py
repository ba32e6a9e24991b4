"""The only file that branches on what is installed. Every branch taken is noted, and ends in the record."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Optional

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from harness.cell.suppress import Suppress, greedy_nms
from harness.core.errors import UsageError

try:
    import torchvision
except ImportError:
    torchvision = None

taken: dict[str, str] = {}
"""Subject of each decision made in this process, and the side that was taken."""


def grad_scaler(enabled: bool, device: str = "cuda") -> Any:
    """The dynamic loss scaler, of CUDA where no other kind of device is named. torch 2.3 gave it a new place, and one
    for the CPU, which before has none: there it is disabled. 2.4 warns of the old place."""
    if hasattr(torch, "amp") and hasattr(torch.amp, "GradScaler"):
        taken["loss scaler"] = "torch.amp.GradScaler"
        return torch.amp.GradScaler(device, enabled=enabled)
    taken["loss scaler"] = "torch.cuda.amp.GradScaler"
    return torch.cuda.amp.GradScaler(enabled=enabled and device == "cuda")


def has_weights_only() -> bool:
    """Whether `torch.load` can be told to make nothing but tensors and plain values. 1.13 brought that; what is told to
    an earlier one goes to pickle, which does not know it."""
    has = "weights_only" in inspect.signature(torch.load).parameters
    taken["weights_only"] = "torch.load has it" if has else "torch.load does not have it"
    return has


def load_file(path: Path, device: str, weights_only: Optional[bool] = None) -> Any:
    """What `torch.load` makes of a file; `weights_only` is told to it where it has that, and None leaves it alone."""
    told = {} if weights_only is None or not has_weights_only() else {"weights_only": weights_only}
    return torch.load(path, map_location=device, **told)


def suppression() -> Suppress:
    """torchvision's non-maximum suppression, part of every pin; ours where an ambient torch has no torchvision."""
    if torchvision is None:
        taken["suppression"] = "harness.cell.suppress.greedy_nms, torchvision is not installed"
        return greedy_nms
    taken["suppression"] = "torchvision.ops.nms"
    nms: Suppress = torchvision.ops.nms
    return nms


def torchvision_detector(name: str, classes: int) -> nn.Module:
    """A detector of torchvision without any pretrained weights; which ones it would begin with is asked in other words
    from 0.13 on. `classes`: with the background."""
    if torchvision is None:
        raise UsageError("The model is one of torchvision's, which is not installed beside this torch.")
    make = getattr(torchvision.models.detection, name)
    by_weights = "weights" in inspect.signature(make).parameters
    taken["torchvision's detectors"] = "weights=None" if by_weights else "pretrained=False"
    none: dict[str, Any] = dict.fromkeys(("weights", "weights_backbone"))
    none = none if by_weights else dict.fromkeys(("pretrained", "pretrained_backbone"), False)
    made: nn.Module = make(num_classes=classes, **none)
    return made


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


class RawEvent(NamedTuple):
    """A change of memory, or a mark, that the profiler saw; the moment in microseconds."""

    mark: str
    """The name of a mark; empty of a change of memory."""
    began: float
    size: int
    """Bytes that were taken, or where it is negative given back; 0 of a mark."""
    on_gpu: bool


@contextmanager
def profiled_memory(marks: str) -> Iterator[list[RawEvent]]:
    """What the profiler sees of memory meanwhile, and marks (`record_function`) whose names begin so, in the list when
    it has ended. Older versions make an object of every event and a tree of them all, which of a training step takes
    seconds: that is left out."""
    events: list[RawEvent] = []
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        profiler.profiler._parse_kineto_results = lambda _: []
        yield events
    in_ns = hasattr(torch._C._autograd._KinetoEvent, "start_ns")
    taken["moments of the profiler"] = "start_ns" if in_ns else "start_us"
    for one in profiler.profiler.kineto_results.events():
        size = one.nbytes()
        mark = "" if size else one.name()
        if size or mark.startswith(marks):
            began = one.start_ns() / 1e3 if in_ns else one.start_us()
            events.append(RawEvent(mark, began, size, one.device_type() != torch.autograd.DeviceType.CPU))


def torchvision_version() -> Optional[str]:
    """The version of torchvision, or None where it is not installed."""
    return None if torchvision is None else str(torchvision.__version__)
