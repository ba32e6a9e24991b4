"""The model as it is deployed: without the auxiliary branch, and each RepConvN folded into one convolution."""

from __future__ import annotations

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


class FoldedRepConv(nn.Module):
    """A RepConvN with its running statistics, as one 3x3 convolution with bias."""

    def __init__(self, source: RepConvN):
        super().__init__()
        wide, narrow = source.conv1.conv, source.conv2.conv
        wide_weight, wide_bias = _absorbed(source.conv1)
        narrow_weight, narrow_bias = _absorbed(source.conv2)
        self.conv = nn.Conv2d(wide.in_channels, wide.out_channels, 3, padding=1)
        self.conv.to(narrow.weight.device, narrow.weight.dtype)
        with torch.no_grad():
            self.conv.weight.copy_(wide_weight + nn.functional.pad(narrow_weight, (1, 1, 1, 1)))
            self.conv.bias.copy_(wide_bias + narrow_bias)
        self.act = nn.SiLU()

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
            setattr(module, name, FoldedRepConv(child))
        else:
            _fold_inside(child)


def _absorbed(block: Conv) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that does the same as convolution and batch norm; float64 against rounding."""
    norm = block.bn
    scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    bias = norm.bias.detach().double() - norm.running_mean.double() * scale
    return block.conv.weight.detach().double() * scale.view(-1, 1, 1, 1), bias
