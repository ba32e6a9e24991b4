"""An official YOLOv9 checkout that the user has: its model, its loss and its optimizer, driven as they are.

`path` in `[models.*]` is the checkout, and `entry` the file of the model in it, such as models/detect/yolov9-s.yaml.
Nothing of the checkout is in this project. What it is asked for: `DetectionModel` of models/yolo.py, `ComputeLoss` of
utils/loss_tal_dual.py, `smart_optimizer` of utils/torch_utils.py, and the file of the hyperparameters that both of the
latter read. For the watch on dead branches it is asked from where each layer is fed, for the parts of the head, and for
what assigns true boxes in the loss. Initial weights are drawn by numpy, as of every model here; the biases of the head
are the checkout's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Optional

import torch
from torch import Tensor, nn

from harness.cell.model import Criterion, Losses, Model, by_branch
from harness.cell.official.checkout import ASSIGNERS, Checkout
from harness.cell.suppress import Suppress, detections
from harness.cell.weights import draw_weights
from harness.core.errors import UsageError
from harness.core.spec import Recipe

ENTRY = "models/detect/yolov9-s.yaml"


class Official(Model):
    """A model of the checkout with its auxiliary branch, as train_dual.py trains it."""

    def __init__(self, checkout: Optional[Checkout] = None) -> None:
        self.given = checkout

    def chosen(self, entry: str, folder: Optional[Path]) -> Official:
        """The model of that file in the checkout."""
        if folder is None:
            raise UsageError("The model is in a checkout of yours: give its folder as `path` in [models.*].")
        return Official(Checkout(folder, entry or ENTRY))

    @property
    def checkout(self) -> Checkout:
        """The user's checkout; `chosen` has looked for it."""
        assert self.given
        return self.given

    def build(self, classes: int) -> nn.Module:
        """In training form, without the lines that it prints."""
        return self.checkout.model(classes)

    def draw(self, network: nn.Module, seed: int) -> None:
        """All that is trained; the projections of the head are fixed, and its biases have values of their own."""
        fixed = {name: one.clone() for name, one in network.named_parameters() if not one.requires_grad}
        draw_weights(network, seed)
        head: Any = self.checkout.head_of(network)
        head.bias_init()
        with torch.no_grad():
            for name, one in network.named_parameters():
                if name in fixed:
                    one.copy_(fixed[name])

    def optimizer(self, network: nn.Module, recipe: Recipe, batch: int) -> torch.optim.Optimizer:
        """The checkout's, with the recipe's rates. It scales the decay of weights in the same way."""
        return self.checkout.optimizer(network, recipe, batch)

    def criterion(self, classes: int) -> Criterion:
        """The checkout's loss, which makes the host wait for the device. Its terms come with their gains."""
        return OfficialLoss(self.checkout, classes)

    def branches(self, network: nn.Module) -> dict[str, list[str]]:
        """The four parts of the head, and the layers before it."""
        return by_branch(network, self.checkout.branches_of(network))

    def sever(self, output: Sequence[Sequence[Tensor]]) -> Sequence[Sequence[Tensor]]:
        """The auxiliary group is cut off."""
        auxiliary, main = output
        return [one.detach() for one in auxiliary], main

    def detections(self, output: Any, nms: Suppress) -> list[Tensor]:
        """Of the main branch, which in eval mode the head decodes itself, suppressed as those of every model here."""
        decoded, _ = output
        return detections(decoded[1] if isinstance(decoded, (list, tuple)) else decoded, nms)


class OfficialLoss:
    """The checkout's loss behind the protocol: it wants the true boxes as rows, and the head of a network."""

    def __init__(self, checkout: Checkout, classes: int) -> None:
        self.checkout = checkout
        self.shim = checkout.shim(classes)
        self.own: Any = None
        self.device: Optional[torch.device] = None
        self.assigned: dict[str, Tensor] = {}
        """How many cells the loss has assigned to a true box, by the branch that these reach, which has no gradient
        without any."""

    def __call__(self, output: Sequence[Sequence[Tensor]], targets: Tensor, size: tuple[int, int]) -> Losses:
        """Its losses, without mixed precision, and of float64 in float64."""
        if self.device != targets.device:
            self.own, self.device = self.checkout.loss(self.shim.to(targets.device)), targets.device
            for branch, assigner in self.checkout.assigners_of(self.own).items():
                assigner.register_forward_hook(partial(self.keep_assigned, branch))
        self.assigned = {branch: targets.new_zeros(()) for branch in ASSIGNERS}
        wide = output[0][0].dtype == torch.float64
        device = targets.device.type
        low_precision = torch.bfloat16 if device == "cpu" else torch.float16
        before = torch.get_default_dtype()
        try:  # it adds its terms up in a tensor of the default type
            torch.set_default_dtype(torch.float64 if wide else torch.float32)
            with torch.autocast(device, enabled=False, dtype=low_precision):
                maps = [[one if wide else one.float() for one in group] for group in output]
                total, terms = self.own(maps, rows_of(targets, size))
        finally:
            torch.set_default_dtype(before)
        return Losses(total, dict(zip(("box", "class", "dfl"), terms.unbind())), dict(self.assigned))

    def keep_assigned(self, branch: str, _: nn.Module, __: Any, assigned: Sequence[Tensor]) -> None:
        """The last of what an assigner hands over says of every cell whether it is assigned to a true box."""
        self.assigned[branch] = assigned[-1].sum()


def rows_of(targets: Tensor, size: tuple[int, int]) -> Tensor:
    """Targets (batch, most, 5) of class, x1, y1, x2, y2 in pixels as rows of picture, class, and centre, width and
    height as shares of the picture's."""
    pictures, places = (targets[..., 0] >= 0).nonzero(as_tuple=True)
    there = targets[pictures, places]
    sides = there.new_tensor([size[1], size[0]])
    first, last = there[:, 1:3] / sides, there[:, 3:5] / sides
    return torch.cat((pictures[:, None].to(there.dtype), there[:, :1], (first + last) / 2, last - first), 1)


MODEL = Official()
