"""The embedded data set: bright circles, squares and triangles on dark, noisy ground, the same on every interpreter.

It stands in for real data where there is none: small enough for a laptop, hard enough that a short training does not
saturate. All randomness comes from RandomState, whose stream NumPy has frozen (NEP 19), seeded per picture.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy
import numpy.typing
from PIL import Image, ImageDraw

from harness.cell.data.index import SCHEMA, Content, DataIndex, Item, digest_of, read_index, write_index
from harness.cell.data.png import write_png
from harness.cell.data.scenes import Scene, scene_of
from harness.cell.data.summary import summary_of
from harness.core.settings import Shapes

REVISION = 1  # of the drawing; a change gives other pictures and so another cache folder
CLASSES = ("circle", "square", "triangle")
CORNERS = (32, 4, 3)
FINER = 4  # shapes are drawn on a grid this much finer, then averaged down
SOLID = 128  # a pixel with at least this much of 255 of the shape counts towards its box
TRIES = 20
INDEX_NAME = "index.json"

Pixels = numpy.typing.NDArray[numpy.uint8]
Canvas = numpy.typing.NDArray[numpy.int64]
Box = tuple[int, int, int, int]


class Stamp(NamedTuple):
    """A shape at its place in the picture, cut out: how much of each pixel it has, and its box."""

    mask: Image.Image
    corner: tuple[int, int]  # where the mask's left and top go
    box: Box

    def solid(self) -> numpy.typing.NDArray[numpy.bool_]:
        return numpy.asarray(self.mask) >= SOLID

    def area_of(self, canvas: Canvas) -> Canvas:
        """The part of a canvas as large as the picture that lies under the mask."""
        left, top = self.corner
        return canvas[top : top + self.mask.height, left : left + self.mask.width]


def make_shapes(folder: Path, settings: Shapes) -> DataIndex:
    """Draw the data set and its `index.json` into `folder` (made if absent); return that index, its paths absolute.

    UsageError on settings out of range; OSError when the folder cannot be written.
    """
    scene = scene_of(settings)
    nothing = msgspec.structs.replace(scene, objects=(0, 0))
    splits = {"train": settings.images, "val": settings.validation}
    items: dict[str, list[Item]] = {}
    contents: dict[str, list[Content]] = {}
    for number, (split, count) in enumerate(splits.items()):
        (folder / split).mkdir(parents=True, exist_ok=True)
        items[split], contents[split] = [], []
        for place in range(count):
            random = numpy.random.RandomState([settings.seed, number, place])
            pixels, boxes = draw_scene(random, settings.size, nothing if place % scene.every else scene)
            path = f"{split}/{place:06d}.png"
            write_png(folder / path, pixels)
            content = hashlib.sha256((folder / path).read_bytes()).hexdigest()
            items[split].append(Item(path, settings.size, settings.size, boxes, digest=content))
            contents[split].append((content, boxes))
    digest = digest_of(CLASSES, contents["train"], contents["val"])
    summary = summary_of(CLASSES, items["train"], items["val"])
    index = DataIndex(
        schema=SCHEMA,
        name=name_of(settings),
        classes=list(CLASSES),
        train=items["train"],
        val=items["val"],
        summary=summary,
        digest=digest,
    )
    write_index(folder / INDEX_NAME, index)
    return read_index(folder / INDEX_NAME)


def name_of(settings: Shapes) -> str:
    """What reports call the data set."""
    return "shapes" if settings.scene == "plain" else f"shapes ({settings.scene})"


def draw_scene(random: numpy.random.RandomState, size: int, scene: Scene) -> tuple[Pixels, list[list[float]]]:
    """One picture, uint8 (size, size, 3) RGB, and its rows [class, cx, cy, w, h], normalised, as painted in turn."""
    picture = _ground(random, size, scene)
    sheet = Image.new("L", (FINER * size, FINER * size))
    top = numpy.zeros((size, size), dtype=numpy.int64)  # the number, from 1, of the shape that a pixel shows
    placed: list[tuple[int, Box]] = []
    areas = [size * size]  # pixels of the ground, then of every shape
    for _ in range(random.randint(scene.objects[0], scene.objects[1] + 1)):
        kind = int(random.randint(len(CLASSES)))
        colour = _colour(random, kind, scene)
        for _ in range(TRIES):
            stamp = _shape(random, kind, sheet, scene)
            apart = all(_covered(stamp.box, other) <= scene.covered for _, other in placed)
            if apart and _leaves_in_sight(stamp, top, areas, scene.seen):
                picture.paste(colour, stamp.corner, stamp.mask)
                placed.append((kind, stamp.box))
                stamp.area_of(top)[stamp.solid()] = len(placed)
                areas.append(int(stamp.solid().sum()))
                break
    noise = random.randint(-scene.noise, scene.noise + 1, size=(size, size, 3))
    pixels = numpy.clip(numpy.asarray(picture).astype(numpy.int64) + noise, 0, 255).astype(numpy.uint8)
    return pixels, [_row(kind, box, size) for kind, box in placed]


def _leaves_in_sight(stamp: Stamp, top: Canvas, areas: list[int], share: float) -> bool:
    """Whether this much of every shape would still be seen under the stamp."""
    if not share:
        return True
    hidden = numpy.bincount(stamp.area_of(top)[stamp.solid()], minlength=len(areas))
    left = numpy.bincount(top.ravel(), minlength=len(areas)) - hidden
    return bool((left[1:] >= share * numpy.array(areas[1:])).all())


def _ground(random: numpy.random.RandomState, size: int, scene: Scene) -> Image.Image:
    clouds = random.randint(scene.ground[0], scene.ground[1] + 1, size=(4, 4, 3)).astype(numpy.uint8)
    return Image.fromarray(clouds).resize((size, size), Image.Resampling.BICUBIC)


def _colour(random: numpy.random.RandomState, kind: int, scene: Scene) -> tuple[int, int, int]:
    low, high = scene.bright
    channel = kind if random.random_sample() < scene.own_colour else int(random.randint(3))
    values = [int(value) for value in random.randint(low // 2, (low + high) // 2, size=3)]
    values[channel] = int(random.randint((low + high) // 2, high + 1))
    return values[0], values[1], values[2]


def _shape(random: numpy.random.RandomState, kind: int, sheet: Image.Image, scene: Scene) -> Stamp:
    """One shape at a random place. `sheet` is the whole picture on the finer grid, empty before and after."""
    extent, slim, turn, across, down = random.random_sample(5)
    reach = sheet.width * (scene.extent[0] + extent * (scene.extent[1] - scene.extent[0])) / 2
    squeeze = scene.slimmest + slim * (1 - scene.slimmest)
    angles = [2 * math.pi * (turn + corner / CORNERS[kind]) for corner in range(CORNERS[kind])]
    tilt = 2 * math.pi * slim
    outline = [_squeezed(reach * math.cos(angle), reach * math.sin(angle), tilt, squeeze) for angle in angles]
    left, top = min(x for x, _ in outline), min(y for _, y in outline)
    right, bottom = max(x for x, _ in outline), max(y for _, y in outline)
    shift_x = across * (sheet.width - 1 - (right - left)) - left
    shift_y = down * (sheet.width - 1 - (bottom - top)) - top
    # Whole coordinates: how a fraction is rounded is Pillow's business and could change.
    ImageDraw.Draw(sheet).polygon([(round(x + shift_x), round(y + shift_y)) for x, y in outline], fill=255)
    return _cut_out(sheet, (left + shift_x, top + shift_y, right + shift_x, bottom + shift_y))


def _cut_out(sheet: Image.Image, edges: tuple[float, float, float, float]) -> Stamp:
    """What is drawn between these edges, averaged down; it is wiped off the sheet."""
    first = [max(int(edge) // FINER - 1, 0) for edge in edges[:2]]
    last = [min(int(edge) // FINER + 2, sheet.width // FINER) for edge in edges[2:]]
    region = (FINER * first[0], FINER * first[1], FINER * last[0], FINER * last[1])
    mask = sheet.reduce(FINER, region)
    sheet.paste(0, region)
    inside = mask.point([255 * (level >= SOLID) for level in range(256)]).getbbox()
    assert inside is not None  # the smallest shape at the smallest size is 3 px wide
    left, top, right, bottom = inside
    across, down = first
    return Stamp(mask, (across, down), (left + across, top + down, right + across, bottom + down))


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
