"""The faults that `nox -s calibrate` plants, all of them and nowhere else.

A fault comes with the spec, so it is in the record. Only the plan of a calibration has any, and the conductor refuses
one in any other plan.

Faults are no `Hook`: a hook is what a case does, and a training has one. A fault strikes in every case, whatever its
hook, and also where no hook may: in the loss, the gradients, the true boxes, the time of a step.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Optional

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from harness.cell import compat
from harness.cell.data.index import Item, Truth
from harness.cell.model import Losses, Model
from harness.cell.suppress import Suppress
from harness.core.faults import Fault


class Planted:
    """A fault, or none, at the moments of a training at which it may strike. None does nothing at all of them."""

    def __init__(self, fault: Optional[Fault], classes: int, model: Model) -> None:
        self.kind = fault.kind if fault else None
        self.size = fault.size if fault else 0.0
        self.classes = classes
        self.model = model
        self.ballast: list[torch.Tensor] = []

    def labels(self, targets: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows [image, class, …] of a batch; `labels` puts the share `size` of them into the next class."""
        if self.kind != "labels":
            return targets
        spoilt = targets.copy()
        spoilt[:, 1] = self.spoilt(targets[:, 1], targets[:, 2:6])
        return spoilt

    def truth(self, items: Sequence[Item]) -> Sequence[Item]:
        """The validation pictures; `labels` spoils their boxes likewise, as a broken reader would."""
        if self.kind != "labels":
            return items
        spoilt = []
        for item in items:
            rows = np.array(item.boxes, dtype=np.float64).reshape(-1, 5)
            rows[:, 0] = self.spoilt(rows[:, 0], rows[:, 1:5])
            truth = item.truth and self.spoilt_truth(item.truth, (item.width, item.height))
            spoilt.append(msgspec.structs.replace(item, boxes=rows.tolist(), truth=truth))
        return spoilt

    def spoilt_truth(self, truth: Truth, size: tuple[int, int]) -> Truth:
        """The same of what a COCO file says of a picture of that width and height."""
        boxes = np.array([one.bbox for one in truth.annotations], dtype=np.float64).reshape(-1, 4)
        labels = self.spoilt(np.array([one.label for one in truth.annotations], dtype=np.int64), boxes / [*size, *size])
        changed = [msgspec.structs.replace(one, label=int(to)) for one, to in zip(truth.annotations, labels)]
        return msgspec.structs.replace(truth, annotations=changed)

    def spoilt(self, classes: NDArray, boxes: NDArray) -> NDArray:
        """The classes (n,) of boxes (n, 4) cx, cy, w, h, about the share `size` of them one on. Which, is told by their
        sizes alone, which a flip leaves as they are: so a box is spoilt in every epoch or in none."""
        digits = np.round(boxes[:, 2:4].astype(np.float64) * 1024).astype(np.int64)
        chosen = (digits[:, 0] * 7919 + digits[:, 1] * 104729) % 1000 < 1000 * self.size
        return np.where(chosen, (classes + 1) % self.classes, classes)

    def build(self, network: nn.Module) -> nn.Module:
        """The network before anything else is made of it; `coarse-convolution` rounds the input of the one in its
        middle to `size` bits, `norm-momentum` and `norm-epsilon` change its batch normalisations, and with `slow-layer`
        these do their work `size` times more."""
        modules = list(network.modules())
        norms = [one for one in modules if isinstance(one, nn.modules.batchnorm._BatchNorm)]
        if self.kind == "coarse-convolution":
            convolutions = [one for one in modules if isinstance(one, nn.Conv2d)]
            convolutions[len(convolutions) // 2].register_forward_pre_hook(Coarse(23 - int(self.size)))
        for norm in norms:
            if self.kind == "norm-momentum" and norm.momentum is not None:
                norm.momentum *= 1 + self.size
            if self.kind == "norm-epsilon":
                norm.eps = self.size
            if self.kind == "slow-layer":
                norm.register_forward_hook(Again(int(self.size)))
        return network

    def decay(self, decay: float) -> float:
        """The decay of the weight average; `average-decay` has another."""
        return self.size if self.kind == "average-decay" else decay

    def weighed(self, losses: Losses, pictures: int) -> Losses:
        """The losses of so many pictures; `loss-term` adds the share `size` of the first term once more."""
        if self.kind != "loss-term":
            return losses
        return losses._replace(total=losses.total + self.size * pictures * next(iter(losses.terms.values())))

    def suppression(self) -> Optional[Suppress]:
        """In place of the pin's; `suppression` has the IoU limit `size`."""
        if self.kind != "suppression":
            return None
        nms, limit = compat.suppression(), self.size
        return lambda boxes, scores, _: nms(boxes, scores, limit)

    def cut(self, output: Any) -> Any:
        """The network's output; `dead-branch` cuts one of its branches off from the network."""
        return self.model.sever(output) if self.kind == "dead-branch" else output

    def harm(self, parameters: Sequence[nn.Parameter], step: int) -> None:
        """After the backward pass of optimiser step `step`; `nan-gradient` spoils one number of one gradient."""
        gradient = parameters[0].grad
        if self.kind == "nan-gradient" and step == self.size and gradient is not None:
            gradient.view(-1)[0] = float("nan")

    def linger(self, began: float, device: torch.device) -> None:
        """At the end of a training step, or of what the deployed network does with a batch, which began at the host's
        `began`; `slow` makes it longer by the share `size`."""
        if self.kind != "slow":
            return
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        until = time.perf_counter()
        until += (until - began) * self.size
        while time.perf_counter() < until:
            pass

    def hold(self, epoch: int, in_use: float, peak: float, device: torch.device) -> None:
        """At the end of an epoch, with so many bytes in use now and at its peak; `memory` once holds the share `size`
        of the peak, `leak` every time that of the bytes in use."""
        if self.kind == "leak" or (self.kind == "memory" and epoch == 0):
            amount = self.size * (in_use if self.kind == "leak" else peak)
            self.ballast.append(torch.ones(int(amount), dtype=torch.uint8, device=device))


class Again:
    """After a batch normalisation: normalises what it was given so many times more, and lets nothing come of it."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self, module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:  # noqa: ARG002
        """The work alone."""
        with torch.no_grad():
            for _ in range(self.times):
                torch.nn.functional.batch_norm(inputs[0], None, None, training=True)


class Coarse:
    """Before a module: rounds its float32 input to so many bits less, as a fast tensor core does; gradients pass by."""

    def __init__(self, bits: int) -> None:
        self.bits = bits

    def __call__(self, _: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """The inputs that the module gets instead."""
        return tuple(self.rounded(one) if one.dtype == torch.float32 else one for one in inputs)

    def rounded(self, values: torch.Tensor) -> torch.Tensor:
        """To nearest, halves away from zero."""
        digits = values.detach().clone().view(torch.int32)
        half = (1 << self.bits) >> 1
        rounded = (digits + half).bitwise_and(-(1 << self.bits)).view(torch.float32)
        return values + (rounded - values).detach()
