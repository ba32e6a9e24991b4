"""Boxes and suppression.

torchvision's operations that every detector ends with.
"""

from __future__ import annotations

from typing import Any

import torch

from cases.probes.probing import attempt, drawn_between, probe, warned

BOXES = torch.tensor([[0, 0, 10, 10], [1, 1, 11, 11], [0, 0, 10, 10], [20, 20, 30, 30], [21, 21, 31, 31]]).float()


@probe(
    why="Boxes of equal scores are common after rounding; which of them stays decides what is counted.",
    means="Break ties yourself, by a sort that is stable, where detections have to be the same everywhere.",
)
def suppression_of_ties() -> Any:
    """nms with equal scores: which boxes stay, in which order"""
    from torchvision.ops import nms

    return {
        "all equal": nms(BOXES, torch.ones(5), 0.5),
        "pairs equal": nms(BOXES, torch.tensor([0.5, 0.9, 0.9, 0.5, 0.5]), 0.5),
        "not overlapping": nms(BOXES[[0, 3, 0, 3]] + torch.arange(4)[:, None] * 100.0, torch.ones(4), 0.5),
    }


@probe(
    why="It is said that nms with several classes in a batch runs out of its indices before torchvision 0.11.",
    means="As long as it is the same, suppression by class is no reason to stay or to move.",
    see={"": "https://github.com/pytorch/vision/pull/3426"},
)
def suppression_of_several_classes() -> Any:
    """batched_nms with several classes and pictures in a batch: what is kept"""
    from torchvision.ops import batched_nms

    corners = drawn_between(0, 40, 600, 2)
    boxes = torch.cat((corners, corners + drawn_between(8, 24, 600, 2, seed=1)), 1)
    scores = drawn_between(0, 1, 600, seed=2)
    found = {}
    for classes in (1, 2, 7, 80):
        kept = batched_nms(boxes, scores, torch.arange(600) % classes, 0.5)
        found[f"{classes} classes"] = [len(kept), int(kept.sum()), int(kept.max()), int(kept[0]), int(kept[-1])]
    return found


@probe(
    why="A picture in which nothing is found gives suppression no boxes at all.",
    means="Guard calls with no boxes if a version you use fails there.",
)
def suppression_of_nothing() -> Any:
    """nms, batched_nms and box_iou without boxes"""
    from torchvision.ops import batched_nms, box_iou, nms

    none, labels = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    return {
        "nms": attempt(lambda: [*nms(none, torch.zeros(0), 0.5).shape]),
        "batched_nms": attempt(lambda: [*batched_nms(none, torch.zeros(0), labels, 0.5).shape]),
        "box_iou": attempt(lambda: [*box_iou(none, BOXES).shape]),
    }


@probe(
    why="Half precision halves memory; not every operation knows it on a CPU.",
    means="Convert boxes and scores to float32 before suppression.",
)
def suppression_in_half_precision() -> Any:
    """nms of half and bfloat16 boxes on a CPU"""
    from torchvision.ops import nms

    scores = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5])
    return {
        str(kind): attempt(lambda kind: nms(BOXES.to(kind), scores.to(kind), 0.5).tolist(), kind)
        for kind in (torch.float16, torch.bfloat16, torch.float64)
    }


@probe(
    why="Labels with empty or turned boxes occur in every large data set.",
    means="Remove such boxes before you compare or train on them.",
)
def overlap_of_odd_boxes() -> Any:
    """box_iou and generalized_box_iou of empty, turned and enormous boxes"""
    from torchvision.ops import box_iou, generalized_box_iou

    odd = torch.tensor([[5, 5, 5, 5], [10, 10, 0, 0], [0, 0, 3e19, 3e19], [0, 0, 10, 10]])
    return {
        "box_iou": [str(value) for value in box_iou(odd, odd).flatten().tolist()],
        "generalized_box_iou": attempt(
            lambda: [str(value) for value in generalized_box_iou(odd[[0, 3]], odd[[0, 3]]).flatten().tolist()]
        ),
    }


@probe(
    why="torchvision resizes tensors with or without smoothing: other pictures, other scores.",
    means="Pass antialias= explicitly wherever a picture is resized as a tensor.",
    see={"2.2": "https://github.com/pytorch/vision/pull/7949"},
)
def torchvision_resize() -> Any:
    """torchvision's resize of a tensor by default: smoothed or not"""
    from torchvision.transforms import functional

    return functional.resize(drawn_between(0, 1, 1, 9, 9), [3, 3])


@probe(
    why="Scripts of 2021 write models.resnet18(pretrained=False).",
    means="Write weights=None or an enumerated weight instead of pretrained=.",
    see={"1.12": "https://github.com/pytorch/vision/issues/4611"},
)
def torchvision_pretrained() -> Any:
    """torchvision models with pretrained=: warnings"""
    from torchvision import models

    return warned(lambda: models.squeezenet1_1(pretrained=False))
