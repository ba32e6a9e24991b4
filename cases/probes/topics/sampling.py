"""Resizing and padding.

How pictures and feature maps are made larger, smaller and wider.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from cases.probes.probing import attempt, drawn, drawn_between, probe

PLAIN = ("nearest", "area")
SMOOTH = ("bilinear", "bicubic")


def in_modes(height: int, width: int) -> Any:
    """A small picture in another size, in every mode of two dimensions."""
    picture = drawn_between(0, 1, 1, 1, 5, 6)
    found = {mode: F.interpolate(picture, (height, width), mode=mode) for mode in PLAIN}
    for mode in SMOOTH:
        for aligned in (False, True):
            name = f"{mode}, aligned" if aligned else mode
            found[name] = F.interpolate(picture, (height, width), mode=mode, align_corners=aligned)
    return found


@probe(
    why="Necks of detectors enlarge feature maps; the last bit of a mode goes through everything after it.",
    means="Expect last bits to differ; where more does, fix the mode and align_corners.",
)
def interpolate_larger() -> Any:
    """interpolate to a larger size, in all modes"""
    return in_modes(9, 11)


@probe(
    why="Training at several sizes makes pictures smaller on the device.",
    means="Expect last bits to differ; where more does, fix the mode and align_corners.",
)
def interpolate_smaller() -> Any:
    """interpolate to a smaller size, in all modes"""
    return in_modes(3, 4)


@probe(
    why="The gradient of a feature map that is enlarged adds up what its copies get.",
    means="Expect last bits to differ in training.",
)
def interpolate_backward() -> Any:
    """Gradients of interpolate, in the modes of detectors"""
    found = {}
    for mode in ("nearest", "bilinear"):
        x = drawn(1, 2, 5, 6).requires_grad_()
        (F.interpolate(x, scale_factor=2.0, mode=mode) * drawn(1, 2, 10, 12, seed=1)).sum().backward()
        found[mode] = x.grad
    return found


@probe(
    why="A scale factor that does not divide the size is rounded, and may or may not be used as it was given.",
    means="Pass size= instead of scale_factor= where it must be exact.",
)
def interpolate_by_odd_factor() -> Any:
    """interpolate by a factor that does not divide the size: size and values"""
    small = F.interpolate(drawn(1, 1, 7, 7), scale_factor=0.6, mode="bilinear", align_corners=False)
    return {"size": [*small.shape[2:]], "values": small}


@probe(
    why="Smoothing, exact nearest neighbours and pictures of bytes came one after another.",
    means="Resize as float32 without these until all your versions have them.",
    see={
        "1.11": "https://github.com/pytorch/pytorch/pull/65142",
        "1.12": "https://github.com/pytorch/pytorch/pull/58297",
        "2.1": "https://github.com/pytorch/pytorch/pull/90771",
    },
)
def interpolate_new_kinds() -> Any:
    """interpolate: antialias, nearest-exact, uint8, bfloat16"""
    picture = drawn_between(0, 1, 1, 1, 6, 6)
    as_bytes = (picture * 255).byte()

    def resize(**how: Any) -> Any:
        return attempt(lambda: F.interpolate(how.pop("of", picture), (4, 4), **how).double())

    return {
        "antialias": resize(mode="bilinear", antialias=True),
        "nearest-exact": resize(mode="nearest-exact"),
        "uint8, nearest": resize(of=as_bytes, mode="nearest"),
        "uint8, bilinear": resize(of=as_bytes, mode="bilinear"),
        "bfloat16, bilinear": resize(of=picture.bfloat16(), mode="bilinear"),
    }


@probe(
    why="Warps of augmentation and of deformable models sample a picture at any point.",
    means="Pass align_corners= and padding_mode=; expect last bits to differ.",
)
def grid_sample_modes() -> Any:
    """grid_sample in all modes, also beyond the edge"""
    picture, grid = drawn(1, 1, 5, 5), drawn_between(-1.4, 1.4, 1, 4, 4, 2, seed=1)
    return {
        f"{mode}, {padding}": F.grid_sample(picture, grid, mode=mode, padding_mode=padding, align_corners=False)
        for mode in ("bilinear", "nearest", "bicubic")
        for padding in ("zeros", "border", "reflection")
    }


@probe(
    why="Padding modes differ in the shapes that they take.",
    means="Use shapes that all your versions take.",
)
def padding_modes() -> Any:
    """pad in all modes, and of shapes and sizes at their limits"""
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    found = {mode: F.pad(x, (2, 1, 1, 2), mode=mode) for mode in ("constant", "reflect", "replicate", "circular")}
    found["two dimensions, reflect"] = attempt(lambda: F.pad(x[0, 0], (1, 1, 1, 1), mode="reflect"))
    found["two dimensions, circular"] = attempt(lambda: F.pad(x[0, 0], (1, 1), mode="circular"))
    found["three dimensions, reflect"] = attempt(lambda: F.pad(x[0], (1, 1, 1, 1), mode="reflect"))
    found["integers, reflect"] = attempt(lambda: F.pad(x.long(), (1, 1), mode="reflect"))
    found["no picture, reflect"] = attempt(lambda: [*F.pad(x[:0], (1, 1), mode="reflect").shape])
    return found


@probe(
    why="Pooling rounds sizes up or down, and what it does with NaN hides or shows a fault.",
    means="Check inputs for NaN before pooling rather than after it.",
)
def pooling() -> Any:
    """Pooling: sizes with ceil_mode, NaN, and the largest of equal ones"""
    x = torch.arange(25.0).reshape(1, 1, 5, 5)
    dirty = x.clone()
    dirty[0, 0, 1, 1] = float("nan")
    return {
        "ceil_mode": [*F.max_pool2d(x, 2, ceil_mode=True).shape[2:]],
        "ceil_mode with padding": F.avg_pool2d(x, 2, padding=1, ceil_mode=True, count_include_pad=False),
        "of NaN": [str(value) for value in F.max_pool2d(dirty, 3, 2).flatten().tolist()],
        "place among equal ones": F.max_pool2d(torch.ones(1, 1, 4, 4), 2, return_indices=True)[1],
        "adaptive": F.adaptive_avg_pool2d(drawn(1, 2, 5, 7), 3),
        "gradient among equal ones": gradient_of_pool(),
    }


def gradient_of_pool() -> Any:
    """The gradient of the largest among equal ones."""
    x = torch.ones(1, 1, 3, 3, requires_grad=True)
    F.max_pool2d(x, 3, 1, 1).sum().backward()
    return x.grad
