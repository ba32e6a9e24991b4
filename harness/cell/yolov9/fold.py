"""The model as it is deployed: without the auxiliary branch, and convolutions folded with what follows them."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Union

import torch
from torch import Tensor, nn

from harness.cell.yolov9.blocks import Conv, RepConvN
from harness.cell.yolov9.head import DetectionHead, group_maps
from harness.cell.yolov9.model import BACKBONE, HEAD, MAIN_FEATURES, NECK, YOLOv9S, run_layers


class MainHead(nn.Module):
    """The main half of a detection head, under the same names."""

    def __init__(self, head: DetectionHead):
        super().__init__()
        self.cv4 = deepcopy(head.cv4)
        self.cv5 = deepcopy(head.cv5)
        self.dfl2 = deepcopy(head.dfl2)

    def forward(self, *features: Tensor) -> list[Tensor]:
        """Features P3, P4, P5 to raw maps."""
        return group_maps(self.cv4, self.cv5, features)


class Deployed(nn.Module):
    """Backbone, neck and main head of a model, copied. What is left has the names that it had there."""

    layers = (*BACKBONE, *NECK)

    def __init__(self, model: YOLOv9S):
        super().__init__()
        self.classes = model.classes
        self.model = nn.ModuleDict({str(layer.number): deepcopy(model.model[layer.number]) for layer in self.layers})
        self.model[str(HEAD)] = MainHead(model.head)
        self.eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (batch, 3, h, w) in 0..1 to the main raw maps (batch, 64 + classes, h_i, w_i), P3 first."""
        return self.model[str(HEAD)](*run_layers(self.layers, self.model.values(), images, MAIN_FEATURES))


class Folded(nn.Module):
    """Convolutions of one input that are added, each with its batch norm's running statistics, as a single one with
    bias, and the activation. The narrower ones are laid into the middle of the first one's kernel."""

    def __init__(self, blocks: Sequence[Conv], act: nn.Module):
        super().__init__()
        first = blocks[0].conv
        size, padding = first.kernel_size[0], first.padding[0]
        shape = {"kernel_size": size, "stride": first.stride[0], "padding": padding, "groups": first.groups}
        self.conv = nn.Conv2d(first.in_channels, first.out_channels, **shape)
        self.conv.to(first.weight.device, first.weight.dtype)
        self.act = act
        weights, biases = zip(*map(_absorbed, blocks))
        with torch.no_grad():
            self.conv.weight.copy_(sum(_widened(weight, size) for weight in weights))
            self.conv.bias.copy_(sum(biases))

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x))


def deployed(model: Union[YOLOv9S, Deployed]) -> Deployed:
    """A new model for inference, in eval mode, from the running statistics of `model`, which is left as it is."""
    result = trimmed(model)
    _fold_inside(result)
    return result


def trimmed(model: Union[YOLOv9S, Deployed]) -> Deployed:
    """As `deployed` but not folded: the parameters that the paper counts (7,226,208 for 80 classes)."""
    return deepcopy(model).eval() if isinstance(model, Deployed) else Deployed(model)


def parameter_count(module: nn.Module) -> int:
    """How many numbers the module's parameters hold, trained or not."""
    return sum(parameter.numel() for parameter in module.parameters())


def _fold_inside(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, RepConvN):
            setattr(module, name, Folded([child.conv1, child.conv2], nn.SiLU()))
        elif isinstance(child, Conv):
            setattr(module, name, Folded([child], child.act))
        else:
            _fold_inside(child)


def _widened(weight: Tensor, size: int) -> Tensor:
    """A kernel (out, in, n, n) in the middle of one of `size` that is 0 elsewhere."""
    around = (size - weight.shape[-1]) // 2
    return nn.functional.pad(weight, (around,) * 4)


def _absorbed(block: Conv) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that does the same as convolution and batch norm; float64 against rounding."""
    norm = block.bn
    scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    bias = norm.bias.detach().double() - norm.running_mean.double() * scale
    return block.conv.weight.detach().double() * scale.view(-1, 1, 1, 1), bias
