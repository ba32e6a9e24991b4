"""From pictures and boxes to one training sample: letterbox, mosaic, scale and shift, flip, colour.

There is no rotation and no shear, so every step maps a picture's rectangle onto a rectangle of the sample. The steps
are therefore composed first, and each picture is resampled once, and only where it shows (Pillow's bilinear resize of
a box).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy
import numpy.typing
from PIL import Image

from harness.cell.data.colour import jitter
from harness.cell.data.index import COLUMNS, Item
from harness.cell.data.pictures import Size, UnreadableError, decode, read_file
from harness.core.errors import UsageError
from harness.core.spec import Augment

GREY = (114, 114, 114)
KEPT_AREA = 0.1  # a box that keeps a smaller share of its area is dropped
THINNEST = 2.0  # pixels; so is a box that becomes thinner

Planes = numpy.typing.NDArray[numpy.uint8]  # (3, size, size) RGB
Corners = tuple[float, float, float, float]  # left, top, right, bottom
Boxes = numpy.typing.NDArray[numpy.float64]  # (n, 5) rows [class, cx, cy, w, h], normalised


class LostPictureError(UsageError):
    """A picture that was fine when the data set was checked can no longer be read."""


class Rectangle(NamedTuple):
    """Edges in whole pixels of the sample; may reach beyond it."""

    left: int
    top: int
    right: int
    bottom: int


class _Zoom(NamedTuple):
    """The map of both axes from the layout (letterbox or mosaic) to the sample: out = factor · position + shift."""

    factor: float
    shift_x: float
    shift_y: float

    def of(self, left: float, top: float, right: float, bottom: float) -> Rectangle:
        x = [math.floor(self.factor * position + self.shift_x + 0.5) for position in (left, right)]
        y = [math.floor(self.factor * position + self.shift_y + 0.5) for position in (top, bottom)]
        return Rectangle(x[0], y[0], max(x[1], x[0] + 1), max(y[1], y[0] + 1))


def letterbox(item: Item, size: int) -> tuple[Planes, Boxes, Rectangle]:
    """The picture centred on a grey square of `size` pixels, its ratio kept: planes, boxes, and where the picture lies.

    UsageError when the picture can no longer be read, or is another than was checked.
    """
    canvas = Image.new("RGB", (size, size), GREY)
    rectangle = _centred(item, size)
    _paste(canvas, item, rectangle, rectangle)
    return _planes(canvas), _normalised(_edges(item, rectangle), size), rectangle


def augmented(
    items: Sequence[Item], size: int, augment: Augment, random: numpy.random.RandomState
) -> tuple[Planes, Boxes]:
    """One training sample of one picture, or of four as a mosaic: planes and boxes.

    Always draws the same amount from `random`. LostPictureError when a picture can no longer be read, UsageError when
    it is another than was checked.
    """
    centre_x, centre_y, zoom, across, down, flip, *colours = random.random_sample(9)
    if len(items) == 4:
        layout = _mosaic(items, size, (0.5 + centre_x) * size, (0.5 + centre_y) * size)
        span = 2 * size
    else:
        layout = [_centred(items[0], size)]
        span = size
    factor = 1 + augment.scale * (2 * zoom - 1)
    middle = [size * (0.5 + augment.translate * (2 * draw - 1)) for draw in (across, down)]
    place = _Zoom(factor, middle[0] - factor * span / 2, middle[1] - factor * span / 2)
    # The plain letterbox shows every box whole, however small; only what chance has cut or shrunk is sorted out.
    moved = span > size or augment.scale or augment.translate
    window = _common(place.of(0, 0, span, span), Rectangle(0, 0, size, size))
    canvas = Image.new("RGB", (size, size), GREY)
    shown = []
    for item, corners in zip(items, layout):
        rectangle = place.of(*corners)
        visible = _common(rectangle, window)
        _paste(canvas, item, rectangle, visible)
        edges = _edges(item, rectangle)
        shown.append(_clipped(edges, visible) if moved else edges)
    boxes = _normalised(numpy.concatenate(shown), size)
    if flip < augment.flip:
        canvas = canvas.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        boxes[:, 1] = 1 - boxes[:, 1]
    planes = _planes(canvas)
    if any(augment.hsv):
        hue, saturation, value = (limit * (2 * draw - 1) for limit, draw in zip(augment.hsv, colours))
        jitter(planes, hue, 1 + saturation, 1 + value)
    return planes, boxes


def _centred(item: Item, size: int) -> Rectangle:
    ratio = size / max(item.width, item.height)
    width, height = (max(1, math.floor(length * ratio + 0.5)) for length in (item.width, item.height))
    left, top = (size - width) // 2, (size - height) // 2
    return Rectangle(left, top, left + width, top + height)


def _mosaic(items: Sequence[Item], size: int, centre_x: float, centre_y: float) -> list[Corners]:
    """Where four pictures lie on a canvas of twice the size: each with one corner in the centre."""
    corners = []
    for number, item in enumerate(items):
        ratio = size / max(item.width, item.height)
        left = centre_x - (0 if number % 2 else item.width * ratio)
        top = centre_y - (0 if number // 2 else item.height * ratio)
        corners.append((left, top, left + item.width * ratio, top + item.height * ratio))
    return corners


def _common(one: Rectangle, other: Rectangle) -> Rectangle:
    """The part that both share; right ≤ left or bottom ≤ top when there is none."""
    return Rectangle(max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3]))


def _paste(canvas: Image.Image, item: Item, whole: Rectangle, visible: Rectangle) -> None:
    """Resample the visible part of a picture that would fill `whole`; one that does not show is not even read."""
    width, height = visible.right - visible.left, visible.bottom - visible.top
    if width <= 0 or height <= 0:
        return
    picture = _read(item, (whole.right - whole.left, whole.bottom - whole.top))
    across = picture.width / (whole.right - whole.left)
    down = picture.height / (whole.bottom - whole.top)
    box = (
        (visible.left - whole.left) * across,
        (visible.top - whole.top) * down,
        min((visible.right - whole.left) * across, picture.width),  # rounding may carry it past the edge
        min((visible.bottom - whole.top) * down, picture.height),
    )
    canvas.paste(picture.resize((width, height), Image.Resampling.BILINEAR, box=box), (visible.left, visible.top))


def _read(item: Item, at_least: Size) -> Image.Image:
    """The picture of an item, if it still is the one that was checked."""
    try:
        content, _ = read_file(item.path)
        picture, _ = decode(content, at_least)
    except UnreadableError as error:
        raise LostPictureError(
            f"The picture {item.path} was fine when the data set was checked, but now {error}: "
            "restore it, or run the matrix again to have the data checked anew."
        ) from error
    if item.digest and hashlib.sha256(content).hexdigest() != item.digest:
        raise UsageError(
            f"The picture {item.path} has changed since the data set was checked: "
            "restore it, or run the matrix again to have the data checked anew."
        )
    return picture


def _planes(canvas: Image.Image) -> Planes:
    side = canvas.width
    channels = [numpy.frombuffer(canvas.tobytes("raw", channel), dtype=numpy.uint8) for channel in "RGB"]
    return numpy.stack(channels).reshape(3, side, side)


def _edges(item: Item, whole: Rectangle) -> Boxes:
    """The boxes of a picture that fills `whole`: rows [class, left, top, right, bottom] in pixels of the sample."""
    rows = numpy.asarray(item.boxes, dtype=numpy.float64).reshape(-1, COLUMNS)
    spans = numpy.array([whole.right - whole.left, whole.bottom - whole.top], dtype=numpy.float64)
    edges = numpy.empty_like(rows)
    edges[:, 0] = rows[:, 0]
    edges[:, 1:3] = (rows[:, 1:3] - rows[:, 3:5] / 2) * spans + whole[:2]
    edges[:, 3:5] = (rows[:, 1:3] + rows[:, 3:5] / 2) * spans + whole[:2]
    return edges


def _clipped(edges: Boxes, visible: Rectangle) -> Boxes:
    """The edges cut to what is visible, less the boxes of which too little is left."""
    cut = edges.copy()
    cut[:, 1::2] = edges[:, 1::2].clip(visible.left, max(visible.left, visible.right))
    cut[:, 2::2] = edges[:, 2::2].clip(visible.top, max(visible.top, visible.bottom))
    lengths, before = cut[:, 3:5] - cut[:, 1:3], edges[:, 3:5] - edges[:, 1:3]
    kept = (lengths.min(axis=1) >= THINNEST) & (lengths.prod(axis=1) >= KEPT_AREA * before.prod(axis=1))
    return cut[kept]


def _normalised(edges: Boxes, size: int) -> Boxes:
    """Rows [class, cx, cy, w, h] in shares of the sample from rows [class, left, top, right, bottom] in its pixels."""
    rows = numpy.empty_like(edges)
    rows[:, 0] = edges[:, 0]
    rows[:, 1:3] = (edges[:, 1:3] + edges[:, 3:5]) / 2 / size
    rows[:, 3:5] = (edges[:, 3:5] - edges[:, 1:3]) / size
    return rows
