"""The embedded data set: bright circles, squares and triangles on dark, noisy ground, the same on every interpreter.

It stands in for real data where there is none: small enough for a laptop, hard enough that a short training does not
saturate. All randomness comes from RandomState, whose stream NumPy has frozen (NEP 19), seeded per picture.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import msgspec
import numpy
import numpy.typing
from PIL import Image, ImageDraw

from harness.cell.data.index import SCHEMA, Content, DataIndex, Item, digest_of, read_index, write_index
from harness.cell.data.png import write_png
from harness.core.settings import Shapes

REVISION = 1  # of the drawing; a change gives other pictures and so another cache folder
CLASSES = ("circle", "square", "triangle")
CORNERS = (32, 4, 3)
FINER = 4  # shapes are drawn on a grid this much finer, then averaged down
SOLID = 128  # a pixel with at least this much of 255 of the shape counts towards its box
TRIES = 20
INDEX_NAME = "index.json"

Pixels = numpy.typing.NDArray[numpy.uint8]
Box = tuple[int, int, int, int]


class Scene(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kind of scene. Lengths are shares of the picture's width, colours 0 to 255."""

    objects: tuple[int, int] = (1, 3)
    extent: tuple[float, float] = (0.28, 0.6)
    slimmest: float = 0.8  # a shape is squeezed to at least this share of its width
    covered: float = 0.2  # at most this share of the smaller of two boxes may lie in the other
    ground: tuple[int, int] = (5, 75)
    bright: tuple[int, int] = (110, 255)
    own_colour: float = 0.9  # how often a class wears its own colour instead of any
    noise: int = 16


def make_shapes(folder: Path, settings: Shapes) -> DataIndex:
    """Draw the data set and its `index.json` into `folder` (made if absent); return that index, its paths absolute.

    UsageError on settings out of range; OSError when the folder cannot be written.
    """
    splits = {"train": settings.images, "val": settings.validation}
    items: dict[str, list[Item]] = {}
    contents: dict[str, list[Content]] = {}
    for number, (split, count) in enumerate(splits.items()):
        (folder / split).mkdir(parents=True, exist_ok=True)
        items[split], contents[split] = [], []
        for place in range(count):
            random = numpy.random.RandomState([settings.seed, number, place])
            pixels, boxes = draw_scene(random, settings.size, Scene())
            path = f"{split}/{place:06d}.png"
            write_png(folder / path, pixels)
            items[split].append(Item(path=path, width=settings.size, height=settings.size, boxes=boxes))
            contents[split].append((hashlib.sha256((folder / path).read_bytes()).hexdigest(), boxes))
    digest = digest_of(CLASSES, contents["train"], contents["val"])
    index = DataIndex(schema=SCHEMA, name="shapes", classes=list(CLASSES), digest=digest, **items)
    write_index(folder / INDEX_NAME, index)
    return read_index(folder / INDEX_NAME)


def draw_scene(random: numpy.random.RandomState, size: int, scene: Scene) -> tuple[Pixels, list[list[float]]]:
    """One picture, uint8 (size, size, 3) RGB, and its rows [class, cx, cy, w, h], normalised, as painted in turn."""
    picture = _ground(random, size, scene)
    placed: list[tuple[int, Box]] = []
    for _ in range(random.randint(scene.objects[0], scene.objects[1] + 1)):
        kind = int(random.randint(len(CLASSES)))
        colour = _colour(random, kind, scene)
        for _ in range(TRIES):
            mask, box = _shape(random, kind, size, scene)
            if all(_covered(box, other) <= scene.covered for _, other in placed):
                picture.paste(colour, (0, 0, size, size), mask)
                placed.append((kind, box))
                break
    noise = random.randint(-scene.noise, scene.noise + 1, size=(size, size, 3))
    pixels = numpy.clip(numpy.asarray(picture).astype(numpy.int64) + noise, 0, 255).astype(numpy.uint8)
    return pixels, [_row(kind, box, size) for kind, box in placed]


def _ground(random: numpy.random.RandomState, size: int, scene: Scene) -> Image.Image:
    clouds = random.randint(scene.ground[0], scene.ground[1] + 1, size=(4, 4, 3)).astype(numpy.uint8)
    return Image.fromarray(clouds).resize((size, size), Image.Resampling.BICUBIC)


def _colour(random: numpy.random.RandomState, kind: int, scene: Scene) -> tuple[int, int, int]:
    low, high = scene.bright
    channel = kind if random.random_sample() < scene.own_colour else int(random.randint(3))
    values = [int(value) for value in random.randint(low // 2, (low + high) // 2, size=3)]
    values[channel] = int(random.randint((low + high) // 2, high + 1))
    return values[0], values[1], values[2]


def _shape(random: numpy.random.RandomState, kind: int, size: int, scene: Scene) -> tuple[Image.Image, Box]:
    """A mask of the whole picture with one shape at a random place, and the shape's box in pixels."""
    extent, slim, turn, across, down = random.random_sample(5)
    reach = FINER * size * (scene.extent[0] + extent * (scene.extent[1] - scene.extent[0])) / 2
    squeeze = scene.slimmest + slim * (1 - scene.slimmest)
    angles = [2 * math.pi * (turn + corner / CORNERS[kind]) for corner in range(CORNERS[kind])]
    tilt = 2 * math.pi * slim
    outline = [_squeezed(reach * math.cos(angle), reach * math.sin(angle), tilt, squeeze) for angle in angles]
    left, top = min(x for x, _ in outline), min(y for _, y in outline)
    right, bottom = max(x for x, _ in outline), max(y for _, y in outline)
    shift_x = across * (FINER * size - 1 - (right - left)) - left
    shift_y = down * (FINER * size - 1 - (bottom - top)) - top
    fine = Image.new("L", (FINER * size, FINER * size))
    # Whole coordinates: how a fraction is rounded is Pillow's business and could change.
    ImageDraw.Draw(fine).polygon([(round(x + shift_x), round(y + shift_y)) for x, y in outline], fill=255)
    mask = fine.reduce(FINER)
    box = mask.point([255 * (level >= SOLID) for level in range(256)]).getbbox()
    assert box is not None  # the smallest shape at the smallest size is 8 px wide
    return mask, box


def _squeezed(x: float, y: float, tilt: float, squeeze: float) -> tuple[float, float]:
    """The point with its component along the direction `tilt` shortened."""
    along = (x * math.cos(tilt) + y * math.sin(tilt)) * (squeeze - 1)
    return x + along * math.cos(tilt), y + along * math.sin(tilt)


def _covered(one: Box, other: Box) -> float:
    """Intersection over the smaller of the two areas: unlike IoU it sees a small box that vanishes in a large one."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return max(width, 0) * max(height, 0) / min(areas)


def _row(kind: int, box: Box, size: int) -> list[float]:
    left, top, right, bottom = box
    centre = ((left + right) / 2 / size, (top + bottom) / 2 / size)
    return [float(kind), *centre, (right - left) / size, (bottom - top) / size]
