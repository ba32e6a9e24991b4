"""YOLOv9-S (arXiv:2402.13616): the table of its layers, and what executes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from harness.cell.yolov9.blocks import ELAN1, SPPELAN, AConv, Concat, Conv, RepNCSPELAN4
from harness.cell.yolov9.head import DetectionHead, HeadMaps


class Layer(NamedTuple):
    """One row of the table: its number in state-dict names, whose outputs it takes (-1: the row before), its maker."""

    number: int
    inputs: tuple[int, ...]
    build: Callable[[], nn.Module]


Upsample = partial(nn.Upsample, scale_factor=2, mode="nearest")

BACKBONE = (
    Layer(0, (-1,), partial(Conv, 3, 32, 3, 2)),
    Layer(1, (-1,), partial(Conv, 32, 64, 3, 2)),
    Layer(2, (-1,), partial(ELAN1, 64, 64, 64, 32)),
    Layer(3, (-1,), partial(AConv, 64, 128)),
    Layer(4, (-1,), partial(RepNCSPELAN4, 128, 128, 128, 64, 3)),
    Layer(5, (-1,), partial(AConv, 128, 192)),
    Layer(6, (-1,), partial(RepNCSPELAN4, 192, 192, 192, 96, 3)),
    Layer(7, (-1,), partial(AConv, 192, 256)),
    Layer(8, (-1,), partial(RepNCSPELAN4, 256, 256, 256, 128, 3)),
)

NECK = (
    Layer(9, (-1,), partial(SPPELAN, 256, 256, 128)),
    Layer(10, (-1,), Upsample),
    Layer(11, (10, 6), Concat),
    Layer(12, (-1,), partial(RepNCSPELAN4, 448, 192, 192, 96, 3)),
    Layer(13, (-1,), Upsample),
    Layer(14, (13, 4), Concat),
    Layer(15, (-1,), partial(RepNCSPELAN4, 320, 128, 128, 64, 3)),  # main P3
    Layer(16, (-1,), partial(AConv, 128, 96)),
    Layer(17, (16, 12), Concat),
    Layer(18, (-1,), partial(RepNCSPELAN4, 288, 192, 192, 96, 3)),  # main P4
    Layer(19, (-1,), partial(AConv, 192, 128)),
    Layer(20, (19, 9), Concat),
    Layer(21, (-1,), partial(RepNCSPELAN4, 384, 256, 256, 128, 3)),  # main P5
)

# Programmable gradient information (section 3.2 of the paper): trains the backbone, is not needed afterwards.
AUXILIARY_NECK = (
    Layer(22, (8,), partial(SPPELAN, 256, 256, 128)),  # auxiliary P5
    Layer(23, (-1,), Upsample),
    Layer(24, (23, 6), Concat),
    Layer(25, (-1,), partial(RepNCSPELAN4, 448, 192, 192, 96, 3)),  # auxiliary P4
    Layer(26, (-1,), Upsample),
    Layer(27, (26, 4), Concat),
    Layer(28, (-1,), partial(RepNCSPELAN4, 320, 128, 128, 64, 3)),  # auxiliary P3
)

HEAD = 29
MAIN_FEATURES = (15, 18, 21)
AUXILIARY_FEATURES = (28, 25, 22)
CHANNELS = (128, 192, 256)

LAYERS = (*BACKBONE, *NECK, *AUXILIARY_NECK)

BRANCHES = {
    "backbone": tuple(f"model.{layer.number}." for layer in BACKBONE),
    "neck": tuple(f"model.{layer.number}." for layer in NECK),
    "auxiliary neck": tuple(f"model.{layer.number}." for layer in AUXILIARY_NECK),
    "auxiliary box head": (f"model.{HEAD}.cv2.",),
    "auxiliary class head": (f"model.{HEAD}.cv3.",),
    "main box head": (f"model.{HEAD}.cv4.",),
    "main class head": (f"model.{HEAD}.cv5.",),
}
"""What the names of parameters begin with, by branch. Each trained one is in one branch."""


def run_layers(
    layers: tuple[Layer, ...], modules: Iterable[nn.Module], images: Tensor, wanted: tuple[int, ...]
) -> list[Tensor]:
    """Execute the table on images (batch, 3, h, w) and return the outputs of the rows `wanted`, in that order."""
    # Outputs that nobody asks for again are let go at once: they are most of the memory of an evaluation.
    needed_later = {source for layer in layers for source in layer.inputs}.union(wanted)
    kept: dict[int, Tensor] = {}
    latest = images
    for layer, module in zip(layers, modules):
        latest = module(*(latest if source < 0 else kept[source] for source in layer.inputs))
        if layer.number in needed_later:
            kept[layer.number] = latest
    return [kept[index] for index in wanted]


class YOLOv9S(nn.Module):
    """YOLOv9-S with its auxiliary branch: 9,804,512 parameters for 80 classes, under the releases' state-dict names."""

    def __init__(self, classes: int):
        super().__init__()
        self.classes = classes
        self.model = nn.ModuleList([*(layer.build() for layer in LAYERS), DetectionHead(classes, CHANNELS)])

    @property
    def head(self) -> DetectionHead:
        """The detection head, layer 29."""
        return self.model[HEAD]

    def forward(self, images: Tensor) -> HeadMaps:
        """Images (batch, 3, h, w) in 0..1, h and w multiples of 32, to the raw maps of both groups, in every mode."""
        return self.head(*run_layers(LAYERS, self.model, images, AUXILIARY_FEATURES + MAIN_FEATURES))
