"""A detector of torchvision with one set of names, and without what would differ between versions by accident."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, Optional
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops.misc import FrozenBatchNorm2d

LEAST_SCORE = 0.001
MOST = 300
WRAPPED = re.compile(r"(fpn\.(?:inner|layer)_blocks\.\d+)\.0(?=\.|$)|(rpn\.head\.conv)\.0\.0(?=\.|$)")
"""The names of single convolutions that torchvision wraps from 0.13 on; without the wrapping they are as before."""
Boxes = Optional[list[dict[str, Tensor]]]
"""The true boxes of each picture as torchvision takes them."""


def one_name(name: str) -> str:
    """What a module or entry is called in all versions."""
    return WRAPPED.sub(r"\1\2", name)


class Detector(nn.Module):
    """Pictures (batch, 3, h, w) in 0..1 to what the detector makes of them: in training mode, fed the targets (batch,
    most, 5) of `harness/cell/model.py` too, its losses by name, else its detections."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        thaw(detector)
        self.detector = detector
        detector.transform = AsTheyAre()
        parts = (detector, getattr(detector, "rpn", None), getattr(detector, "roi_heads", None))
        for part in filter(None, parts):
            if hasattr(part, "fg_bg_sampler"):
                old = part.fg_bg_sampler
                part.fg_bg_sampler = Sampler(old.batch_size_per_image, old.positive_fraction)
            if hasattr(part, "detections_per_img"):
                part.score_thresh, part.detections_per_img = LEAST_SCORE, MOST

    def forward(self, images: Tensor, targets: Optional[Tensor] = None) -> Any:
        """What the detector puts out."""
        return self.detector([*images], None if targets is None else [*map(boxes_of, targets)])

    def named_modules(self, *arguments: Any, **named: Any) -> Iterator[tuple[str, nn.Module]]:
        """Every module under its one name; parameters and buffers have theirs from it."""
        return ((one_name(name), module) for name, module in super().named_modules(*arguments, **named))

    def state_dict(self, *arguments: Any, **named: Any) -> Any:
        """Every entry under its one name."""
        entries = super().state_dict(*arguments, **named)
        return OrderedDict((one_name(name), entry) for name, entry in entries.items())

    def load_state_dict(self, state_dict: Mapping[str, Any], *arguments: Any, **named: Any) -> Any:
        """The entries by their one name."""
        own = {one_name(name): name for name in super().state_dict()}
        entries = {own.get(name, name): entry for name, entry in state_dict.items()}
        return super().load_state_dict(OrderedDict(entries), *arguments, **named)


def boxes_of(rows: Tensor) -> dict[str, Tensor]:
    """Rows of class, x1, y1, x2, y2, absent ones of class -1, as torchvision takes them. Its class 0 is the
    background."""
    there = rows[rows[:, 0] >= 0]
    return {"boxes": there[:, 1:], "labels": there[:, 0].long() + 1}


def thaw(network: nn.Module) -> None:
    """Put a batch normalisation in the place of every frozen one."""
    for name, module in [*network.named_children()]:
        if isinstance(module, FrozenBatchNorm2d):
            setattr(network, name, nn.BatchNorm2d(len(module.weight), eps=module.eps))
        else:
            thaw(module)


class AsTheyAre(nn.Module):
    """In place of torchvision's transformation: pictures are normalised and not resized, and boxes are left alone."""

    MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    """Of ImageNet, as in torchvision."""

    def forward(self, images: list[Tensor], targets: Boxes = None) -> tuple[ImageList, Boxes]:
        """The pictures as one batch, with their sizes."""
        batch = torch.stack(images)
        mean, deviation = (batch.new_tensor(values).view(3, 1, 1) for values in (self.MEAN, self.DEVIATION))
        return ImageList((batch - mean) / deviation, [(one.shape[1], one.shape[2]) for one in images]), targets

    def postprocess(self, result: Any, *_: Any) -> Any:
        """Boxes are in the pixels of the pictures already."""
        return result


class Sampler:
    """In place of torchvision's random choice of the boxes that a loss looks at, which are told by what each was
    matched with: 1 and above an object, 0 the background, -1 none. The choice is drawn by numpy from the boxes that
    were matched with an object."""

    def __init__(self, most: int, positive_fraction: float) -> None:
        self.most = most
        self.positive_fraction = positive_fraction

    def __call__(self, matched: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """For each picture a mask of the chosen objects and one of the chosen background."""
        chosen = [self.chosen(one) for one in matched]
        return [one for one, _ in chosen], [one for _, one in chosen]

    def chosen(self, matched: Tensor) -> tuple[Tensor, Tensor]:
        """Likewise for one picture."""
        positive, negative = (one.nonzero().flatten() for one in (matched >= 1, matched == 0))
        random = np.random.RandomState(crc32(positive.cpu().numpy().tobytes()))
        objects = min(len(positive), int(self.most * self.positive_fraction))
        background = min(len(negative), self.most - objects)
        return mask(matched, drawn(positive, objects, random)), mask(matched, drawn(negative, background, random))


def drawn(places: Tensor, number: int, random: np.random.RandomState) -> Tensor:
    """So many of these places."""
    return places[torch.from_numpy(random.permutation(len(places))[:number]).to(places.device)]


def mask(matched: Tensor, places: Tensor) -> Tensor:
    """1 at these places, 0 at all others."""
    found = torch.zeros_like(matched, dtype=torch.uint8)
    found[places] = 1
    return found
