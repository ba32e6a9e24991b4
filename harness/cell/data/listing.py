"""What the files of a data set say it holds, before any picture is opened."""

from __future__ import annotations

from typing import Optional

import msgspec

from harness.cell.data.index import Truth
from harness.core.dataset import LeftOut


class Labelled(msgspec.Struct, frozen=True):
    """A picture and its rows [class, cx, cy, w, h], normalised.

    `size` is the (width, height) in pixels that its labels were made for, where they say. `truth` and `categories`, the
    ids of the classes, are what a COCO file says, where it is from one.
    """

    path: str
    boxes: list[list[float]]
    size: Optional[tuple[int, int]] = None
    truth: Optional[Truth] = None
    categories: Optional[list[int]] = None


class Listing(msgspec.Struct, frozen=True):
    """A data set's name, class names, pictures for training and validation, and what was left out of it."""

    name: str
    classes: list[str]
    train: list[Labelled]
    val: list[Labelled]
    left_out: list[LeftOut] = []
